"""What a user wrote as validated objects; a mistake becomes one sentence: which file and key, and what is allowed."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ssl_core.errors import Refused
from tasks.configuration.files import allowed

Model = TypeVar("Model", bound=BaseModel)
Where = Callable[[list[str | int]], str]
"""Says how a user finds the place at which some keys lead to a mistake: `params.yaml: compute.threads`."""
NEEDED = {
    ("dict_type", "model_type", "model_attributes_type", "dataclass_type"): "a mapping, {key: value}, is needed",
    ("list_type", "tuple_type"): "a list is needed",
    ("float_type", "float_parsing"): "a number is needed",
    ("finite_number",): "a finite number is needed",
    ("int_type", "int_parsing", "int_from_float"): "a whole number is needed",
    ("bool_type", "bool_parsing"): "true or false is needed",
    ("string_type",): "a text is needed",
}
"""What a sentence says of a value of another type, by pydantic's names of mistakes."""


def validate(kind: type[Model], written: Any, where: Where) -> Model:
    """What was written as `kind`. Raises `Refused` with a sentence on the first mistake.

    A list's elements are counted from 0 in the keys that `where` is given.
    """
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        raise Refused(_sentence(error.errors()[0], kind, written, where)) from None


def _sentence(mistake: Any, kind: Any, written: Any, where: Where) -> str:
    path, owner, section, others = _locate(kind, written, mistake["loc"])
    key = where(path)
    match mistake["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return _not_known(key, str(path[-1]), owner, others)
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
            expected = mistake["ctx"]["expected"].replace("True", "true").replace("False", "false")
            return f"{key} is {mistake['input']!r}; allowed are {expected}"
        case "too_long":
            return f"{key} is {mistake['input']}; a list of {mistake['ctx']['max_length']} is needed"
    needed = next((text for kinds, text in NEEDED.items() if mistake["type"] in kinds), mistake["msg"])
    return f"{key} is {mistake['input']!r}; {needed}"


def _locate(kind: Any, written: Any, loc: tuple[str | int, ...]) -> tuple[list[str | int], Any, Any, list[Any]]:
    """The keys of a mistake's place, without the union's tags; the class that owns the last; what is written there.

    And the kinds that the owner was chosen among by its tag; none where it was not.
    """
    path: list[str | int] = []
    owner, among, others = kind, [], []
    for part in loc:
        if isinstance(part, int):
            path.append(part)
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
        others, among = among, []
        owner = next((option for option in options if part in _fields(option)), options[0] if options else None)
        hinted = _hints(owner) if owner else {}
        kind = hinted.get(part)
        written = written.get(part) if isinstance(written, dict) else None
        path.append(part)
    return path, owner, written, others


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


def _tags(kind: Any) -> tuple[str, ...]:
    hints = _hints(kind)
    return typing.get_args(hints.get("name")) + typing.get_args(hints.get("source"))


def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind) if kind else {}


def _fields(kind: Any) -> list[str]:
    return [] if kind is None else [name for name in _hints(kind) if not name.startswith(("_", "model_"))]
