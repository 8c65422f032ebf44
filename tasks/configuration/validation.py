"""What a user wrote as validated objects; a mistake becomes one sentence: which file and key, and what is allowed."""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from ssl_core.errors import Refused
from tasks.configuration.files import allowed

Model = TypeVar("Model", bound=BaseModel)
Where = Callable[[list[str | int]], str]
"""Says how a user finds the place at which some keys lead to a mistake: `params.yaml: compute.threads`."""
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
NEEDED = {
    ("dict_type", "model_type", "model_attributes_type", "dataclass_type"): "a mapping, {key: value}",
    ("list_type", "tuple_type"): "a list",
    ("float_type", "float_parsing"): "a number",
    ("finite_number",): "a finite number",
    ("int_type", "int_parsing", "int_from_float"): "a whole number",
    ("bool_type", "bool_parsing"): "true or false",
    ("string_type",): "a text",
}
"""What is needed where a value is of another type, by pydantic's names of mistakes."""


def validate(kind: type[Model], written: Any, where: Where) -> Model:
    """What was written as `kind`. Raises `Refused` with a sentence on the first mistake.

    A list's elements are counted from 0 in the keys that `where` is given.
    """
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        mistakes = _meant(error.errors(), kind, written)
        raise Refused(_sentence(mistakes, kind, written, where)) from None


def _meant(mistakes: list[Any], kind: Any, written: Any) -> list[Any]:
    """The mistakes of which one is told: all that stand in the place of the first; several where no kind of it fits.

    Where a value may be of several types it is each one's mistake, and that of the type which it has is meant.
    """
    depth = 0
    while depth < len(branches := _locate(kind, written, mistakes[0]["loc"]).branches):
        above = mistakes[0]["loc"][: branches[depth]]
        mistakes = [one for one in mistakes if one["loc"][: len(above)] == above]
        inside = [one for one in mistakes if len(one["loc"]) > len(above) + 1 or not _needed(one, None)]
        if not inside:
            return mistakes
        mistakes, depth = inside, depth + 1
    above = mistakes[0]["loc"][:-1]
    beside = [one for one in mistakes if one["loc"][:-1] == above]
    # A key that is not known may be the one that is missing, misspelled.
    return [one for one in beside if one["type"] in UNKNOWN][:1] or mistakes[:1]


def _needed(mistake: Any, kind: Any) -> str:
    """What a value of another type should be, which is of this one; empty where the type is right."""
    if mistake["type"] == "literal_error":
        return mistake["ctx"]["expected"].replace("True", "true").replace("False", "false")
    if dataclasses.is_dataclass(kind) and mistake["type"] == "dataclass_type":
        keys = [one.name for one in dataclasses.fields(kind) if one.default is one.default_factory]
        return f"a mapping, {{{', '.join(f'{key}: …' for key in keys)}}}"
    return next((text for kinds, text in NEEDED.items() if mistake["type"] in kinds), "")


def _sentence(mistakes: list[Any], kind: Any, written: Any, where: Where) -> str:
    mistake = mistakes[0]
    path, owner, section, others, *_ = _locate(kind, written, mistake["loc"])
    key = where(path)
    if len(mistakes) > 1:
        needed = [_needed(one, _locate(kind, written, one["loc"]).kind) for one in mistakes]
        return f"{key} is {mistake['input']!r}; allowed are {', or '.join(needed)}"
    match mistake["type"]:
        case unknown if unknown in UNKNOWN:
            return _not_known(key, str(path[-1]), owner, others)
        case "missing" if isinstance(path[-1], int):
            count = len(typing.get_args(_locate(kind, written, mistake["loc"][:-1]).kind))
            return f"{where(path[:-1])} is {mistake['input']}; a list of {count} is needed"
        case "missing" | "missing_keyword_only_argument" | "missing_argument":
            return f"{key} is missing"
        case "union_tag_invalid":
            tag = mistake["ctx"]["discriminator"].strip("'")
            return f"{where([*path, tag])} is '{mistake['ctx']['tag']}'; allowed are {mistake['ctx']['expected_tags']}"
        case "union_tag_not_found":
            tag = mistake["ctx"]["discriminator"].strip("'")
            return f"{where([*path, tag])} is missing; it says which kind is meant"
        case "value_error":
            said = str(mistake["ctx"]["error"])
            named = said.partition(" ")[0]
            if isinstance(section, dict) and named in section:
                # The sentence is about a key of the section, which may stand elsewhere than the rest of it.
                key = where([*path, named]).removesuffix(f".{named}")
            return f"{key}: {said}"
        case "literal_error":
            return f"{key} is {mistake['input']!r}; allowed are {_needed(mistake, None)}"
        case "too_long":
            return f"{key} is {mistake['input']}; a list of {mistake['ctx']['max_length']} is needed"
    found = _needed(mistake, None)
    comma = "," if found.endswith("}") else ""
    return f"{key} is {mistake['input']!r}; {f'{found}{comma} is needed' if found else mistake['msg']}"


class Place(NamedTuple):
    """The keys of a mistake's place, without what pydantic calls the kinds of a union; the class that owns the last.

    `section`: what is written there. `others`: the kinds that the owner was chosen among by its tag; none where it was
    not. `kind`: the type that is needed there. `branches`: which parts of the mistake's place name one of a union's
    kinds that no tag tells apart.
    """

    path: list[str | int]
    owner: Any
    section: Any
    others: list[Any]
    kind: Any
    branches: list[int]


def _locate(kind: Any, written: Any, loc: tuple[str | int, ...]) -> Place:
    path: list[str | int] = []
    owner, among, others = kind, [], []
    branches: list[int] = []
    for i, part in enumerate(loc):
        if isinstance(part, int):
            path.append(part)
            kind = next(iter(typing.get_args(kind)), None)
            written = written[part] if isinstance(written, list) and part < len(written) else None
            continue
        if typing.get_origin(kind) is dict:
            # The keys of a mapping by name are the user's own, and may be called as a union's tag is.
            kind = typing.get_args(kind)[1]
            written = written.get(part) if isinstance(written, dict) else None
            path.append(part)
            continue
        options = _classes(kind)
        tagged = [option for option in options if part in _tags(option)]
        if tagged:
            among, kind = options, tagged[0]
            continue
        if len(kinds := _kinds(kind)) > 1:
            branches.append(i)
            kind = next((one for one in kinds if part in (str(one), getattr(one, "__name__", ""))), None)
            continue
        others, among = among, []
        owner = next((option for option in options if part in _fields(option)), options[0] if options else None)
        hinted = _hints(owner) if owner else {}
        kind = hinted.get(part)
        written = written.get(part) if isinstance(written, dict) else None
        path.append(part)
    return Place(path, owner, written, others, kind, branches)


def _not_known(key: str, last: str, owner: Any, others: list[Any]) -> str:
    """Of a key that another kind of the section may have."""
    having = [tag for kind in others if last in _fields(kind) for tag in _tags(kind)]
    if not having:
        return f"{key} is not known{allowed(last, _fields(owner))}"
    more = " and others" if len(having) > 3 else ""
    return f"{key} is not known to this kind, but to {', '.join(having[:3])}{more}"


def _classes(kind: Any) -> list[Any]:
    """The configuration classes among a type's alternatives."""
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return [kind]
    return [found for argument in typing.get_args(kind) for found in _classes(argument)]


def _kinds(kind: Any) -> list[Any]:
    """Those of a union; a value may be null besides."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return [one for one in typing.get_args(kind) if one is not types.NoneType] if union else []


def _tags(kind: Any) -> tuple[str, ...]:
    hints = _hints(kind)
    return typing.get_args(hints.get("name")) + typing.get_args(hints.get("source"))


def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind) if kind else {}


def _fields(kind: Any) -> list[str]:
    return [] if kind is None else [name for name in _hints(kind) if not name.startswith(("_", "model_"))]
