"""What is asked of whoever starts the pipeline: the fields of the form on Prefect's page, and their defaults.

They are made when the module is loaded, from what is written then. A file that is broken breaks nothing here: the run
says what is wrong with it.
"""

from typing import Any

from pydantic import Field

from ssl_core.errors import Refused
from tasks import slots
from tasks.configuration import files


def suite() -> Any:
    """A dropdown of all suites, with what each asks."""
    known = files.suites()
    # A blank line before each: Prefect joins other lines.
    asked = (f"\n\n- **{name}**: {_read(files.SUITES / f'{name}.yaml').get('question', '')}" for name in known)
    said = f"Which question to answer.{''.join(asked)}"
    return Field(default=active_suite(), description=said, json_schema_extra={"enum": list[Any](known)})


def images() -> Any:
    """One line."""
    known = ", ".join(map(str, _read(files.PARAMS).get("data") or ()))
    said = f"Data sets of params.yaml ({known}), folders or archives, with commas between: pretrained on the first"
    return Field(default=present_images(), description=said)


def seeds() -> Any:
    """A number, 0 for none."""
    return Field(
        default=0,
        description="Seeds of every variant, 0 for those that the suite says; below 3 a claim is hardly ever decided",
        json_schema_extra={"minimum": 0, "maximum": 100},
    )


def at_once() -> Any:
    """A number that the machine has room for."""
    return Field(
        default=usual_slots(),
        description="Cells that run at once, on each GPU if there are any",
        json_schema_extra={"minimum": 1, "maximum": slots.cores()},
    )


def hours() -> Any:
    """A number, 0 for no limit."""
    return Field(
        default=0.0,
        description="Refuse, before anything runs, what is predicted to take longer; 0 for no limit",
        json_schema_extra={"minimum": 0},
    )


def pool() -> Any:
    """One line, mostly empty."""
    return Field(default="", description="The work pool whose workers run the cells, on other machines; empty: here")


def active_suite() -> str:
    """The suite that dvc.yaml names."""
    try:
        return files.active_suite().stem
    except Refused:
        return ""


def present_images() -> str:
    """The data sets that params.yaml names."""
    written = _read(files.PARAMS).get("images")
    return ", ".join(map(str, written)) if isinstance(written, list) else ""


def usual_slots() -> int:
    """How many cells run at once on this machine where nobody says otherwise."""
    try:
        return slots.usual(slots.declared())
    except Refused:
        return 1


def _read(file: Any) -> dict[str, Any]:
    try:
        return files.read(file)
    except Refused:
        return {}
