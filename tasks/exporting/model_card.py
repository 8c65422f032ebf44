"""The model card of an export, as Hugging Face reads it: `README.md`, YAML at its head."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

LIBRARIES = {"timm": "timm", "torchvision": "pytorch", "stopgrad": "onnx"}
"""What Hugging Face calls that which loads the weights."""
UNKNOWN = "unknown"
"""Hugging Face's word for a licence that nobody has stated."""


def text(described: dict[str, str], **facts: Any) -> str:
    """The card; `facts` are what the template beside this names."""
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return page.get_template("model_card.md.jinja").render(
        described=described,
        library=LIBRARIES[described["library"]],
        license=described.get("started_from_license", UNKNOWN),
        **facts,
    )


def markdown(rows: list[list[str]], shown: set[str]) -> str:
    """A table of the comparison, two header rows and one a variant, with the variants that are `shown`."""
    groups, names, *body = rows
    headers, group = [], ""
    for above, name in zip(groups, names, strict=True):
        group = above or group
        headers.append(f"{group} {name}" if above or name.endswith("%") else name)
    lines = [headers, ["---", *["---:"] * (len(names) - 1)], *(row for row in body if row[0] in shown)]
    return "\n".join(f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
