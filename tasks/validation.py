"""What a user wrote as validated objects; a mistake becomes one sentence: which key, and what is allowed there."""

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ssl_core.errors import Refused

Model = TypeVar("Model", bound=BaseModel)
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


def validate(
    kind: type[Model], read: Any, where: str, written: Any = None, entries: Sequence[int] | None = None
) -> Model:
    """What was read in the section `where`, as `kind`. Raises `Refused` with a sentence on the first mistake.

    `written` is what the user wrote, where that is shorter: element i of a list that was read comes from `entries[i]`.
    """
    try:
        return kind.model_validate(read)
    except ValidationError as error:
        mistake = error.errors()[0]
        section, *place = mistake["loc"] or ("",)
        if entries and place and isinstance(place[0], int):
            mistake["loc"] = section, entries[place[0]], *place[1:]
        sentence = _sentence(mistake, kind, read if written is None else written, where)
        raise Refused(f"params.yaml: {sentence}") from None


def _sentence(mistake: Any, kind: Any, written: Any, where: str) -> str:
    path, owner = _locate(kind, written, mistake["loc"])
    key = ".".join(part for part in (where, *path) if part)
    match mistake["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{key} is not known{allowed(path[-1], _fields(owner))}"
        case "missing" | "missing_keyword_only_argument" | "missing_argument":
            return f"{key} is missing"
        case "union_tag_invalid":
            return f"{key}.name is '{mistake['ctx']['tag']}'; allowed are {mistake['ctx']['expected_tags']}"
        case "union_tag_not_found":
            return f"{key}.name is missing; it says which kind is meant"
        case "value_error":
            return f"{key}: {mistake['ctx']['error']}" if key else str(mistake["ctx"]["error"])
        case "literal_error":
            expected = mistake["ctx"]["expected"].replace("True", "true").replace("False", "false")
            return f"{key} is {mistake['input']!r}; allowed are {expected}"
        case "too_long":
            return f"{key} is {mistake['input']}; a list of {mistake['ctx']['max_length']} is needed"
    needed = next((text for kinds, text in NEEDED.items() if mistake["type"] in kinds), mistake["msg"])
    return f"{key} is {mistake['input']!r}; {needed}"


def _locate(kind: Any, written: Any, loc: tuple[str | int, ...]) -> tuple[list[str], Any]:
    """The keys of a mistake's place as a user writes them, and the class that owns the last.

    A user writes no union's tags, and no number where one mapping stands for a list of one.
    """
    path: list[str] = []
    owner = kind
    for part in loc:
        if isinstance(part, int):
            if isinstance(written, list):
                path.append(str(part))
                written = written[part] if part < len(written) else None
            continue
        options = _classes(kind)
        tagged = [option for option in options if part in typing.get_args(_hints(option).get("name"))]
        if tagged:
            kind = tagged[0]
            continue
        owner = next((option for option in options if part in _fields(option)), options[0] if options else None)
        kind = _hints(owner).get(part) if owner else None
        written = written.get(part) if isinstance(written, dict) else None
        path.append(part)
    return path, owner


def _classes(kind: Any) -> list[Any]:
    """The configuration classes among a type's alternatives."""
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return [kind]
    return [found for argument in typing.get_args(kind) for found in _classes(argument)]


def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind) if kind else {}


def _fields(kind: Any) -> list[str]:
    return [] if kind is None else [name for name in _hints(kind) if not name.startswith(("_", "model_"))]


def allowed(given: str, names: list[str]) -> str:
    """How a sentence on an unknown name ends: with the name that was meant, or all that there are."""
    near = difflib.get_close_matches(given, names, n=1)
    return f": did you mean {near[0]}?" if near else f"; allowed are {', '.join(names)}"
