"""The files that a user writes, as they are written; and which suite is the active one."""

import difflib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from ssl_core.errors import Refused

PARAMS, METHODS, SUITES, GRAPH = Path("params.yaml"), Path("methods.yaml"), Path("suites"), Path("dvc.yaml")
WEIGHTS = SUITES / "weights.yaml"
"""The suite that is about given weights."""
CONFIGS = Path("configs")
"""What `configure` writes, and nothing else: a folder that DVC owns."""


def asked(suite: str) -> Path:
    """Where `configure` writes what a suite asks."""
    return CONFIGS / "verdict" / f"{suite}.yaml"


def read(file: Path) -> dict[str, Any]:
    """A file's mapping. Raises `Refused` where the file is missing or holds no YAML mapping."""
    try:
        written = YAML(typ="safe").load(file)
    except FileNotFoundError:
        raise Refused(f"{file} is missing: run this in the project's folder, which has one") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(written, dict):
        kind = {type(None): "empty", list: "a list", str: "a text"}.get(type(written), type(written).__name__)
        raise Refused(f"{file} must be a mapping, {{key: value}}, and is {kind}")
    return written


def active_suite(graph: Path = GRAPH) -> Path:
    """The suite's file that the first line of dvc.yaml names. Raises `Refused` where it names none."""
    try:
        with graph.open() as opened:
            first = opened.readline()
    except FileNotFoundError:
        raise Refused(f"{graph} is missing: run this in the project's folder, which has one") from None
    found = re.match(r'vars: \["(.+?):', first)
    if found is None:
        raise Refused(f'the first line of {graph} names no suite; it is: vars: ["suites/NAME.yaml:suite,variants,…"]')
    return Path(found[1])


def read_suite(file: Path) -> dict[str, Any]:
    """A suite's file. Raises `Refused` where there is none, with the names of those that there are."""
    if not file.exists():
        raise Refused(f"there is no suite {file}{allowed(file.stem, suites())}")
    return read(file)


def suites() -> list[str]:
    """The names of all suites."""
    return sorted(file.stem for file in SUITES.glob("*.yaml"))


def allowed(given: str, names: list[str]) -> str:
    """How a sentence on an unknown name ends: with the name that was meant, or all that there are."""
    near = difflib.get_close_matches(given, names, n=1)
    return f": did you mean {near[0]}?" if near else f"; allowed are {', '.join(names)}"


def free(name: str, known: Collection[object]) -> str:
    """A name that is not known yet: this one, or this with a number."""
    return next(tried for i in range(len(known) + 1) if (tried := f"{name}_{i + 1}" if i else name) not in known)


def keys(file: Path) -> Callable[[list[str | int]], str]:
    """Says where keys lead in a file: `params.yaml: compute.threads`."""
    return lambda path: f"{file}: {'.'.join(map(str, path))}" if path else str(file)
