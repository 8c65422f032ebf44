"""JSON schemas of the three kinds of file, for editors: `python -m tasks.configuration.schemas` writes them anew."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.configuration.parameters import Parameters
from tasks.configuration.suite import Suite
from tasks.configuration.variant import Written
from tasks.stage import atomic_file

FOLDER = Path("schemas")


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas of params.yaml, methods.yaml and a suite's file, by their names."""
    section = _partial(TypeAdapter(Written).json_schema())
    variant = section | {"properties": section["properties"] | {"method": {"type": "string"}}}
    params, suite = Parameters.model_json_schema(), Suite.model_json_schema()
    definitions = section.pop("$defs")
    variant.pop("$defs", None)
    # What is a default, or differs from one, may leave anything out.
    params["$defs"] = params.get("$defs", {}) | definitions
    params["properties"]["defaults"] = section
    suite["$defs"] = suite.get("$defs", {}) | definitions
    suite["properties"]["defaults"] = section
    suite["properties"]["variants"] = {
        "type": "object",
        "additionalProperties": {"anyOf": [variant, {"type": "null"}]},
    }
    methods = {"title": "Methods", "type": "object", "additionalProperties": section, "$defs": definitions}
    return {"params": params, "methods": methods, "suite": suite}


def _partial(schema: Any) -> Any:
    """A schema in which nothing is required; one mapping, or a recipe by its name, may stand for a list of views.

    Without its name a section may be of several kinds (`oneOf` would have it of exactly one).
    """
    if isinstance(schema, list):
        return [_partial(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = ("required", "discriminator")
    made = {"anyOf" if key == "oneOf" else key: _partial(value) for key, value in schema.items() if key not in left_out}
    views = made.get("properties", {}).get("augmentation") if isinstance(made.get("properties"), dict) else None
    if views:
        kind = views["items"]
        made["properties"]["augmentation"] = {"anyOf": [kind, {"type": "array", "items": kind}]}
    if made.get("title") == "Recipe":
        made["properties"]["name"] = {"type": "string", "description": "a recipe that what stands beside it changes"}
    return made


def main() -> None:
    """Write the schemas."""
    for name, schema in schemas().items():
        with atomic_file(FOLDER / f"{name}.json") as file:
            file.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
