"""What a user wrote as validated objects; a mistake becomes one sentence: which key, and what is allowed there."""

import dataclasses
import difflib
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ssl_core.errors import Refused

Model = TypeVar("Model", bound=BaseModel)


def validate(kind: type[Model], written: Any, where: str) -> Model:
    """What `written` says, as `kind`, in the section `where`. Raises `Refused` with a sentence on the first mistake."""
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        raise Refused(f"params.yaml: {_sentence(error.errors()[0], kind, written, where)}") from None


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
    return f"{key} is {mistake['input']!r}; {mistake['msg'][0].lower()}{mistake['msg'][1:]}"


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
