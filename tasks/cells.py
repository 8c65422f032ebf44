"""The cells of a suite, read from `params.yaml` as it is written: names, folders, identities. Starts in no time."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from ssl_core.errors import Refused

FILE = Path("params.yaml")
PREPARED = Path("data/prepared")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """As in stage names and folders: `simclr-0`."""
        return f"{self.variant}-{self.seed}"

    def folder(self, stage: str) -> Path:
        """Where a stage of this cell puts its output; figures lie apart, so that `compare` depends on them alone."""
        return Path("figures") / self.name if stage == "evaluate" else Path("cells") / self.name / stage


def read(file: Path = FILE) -> dict[str, Any]:
    """The parameters as written. Raises `Refused` where the file is missing or is no YAML mapping."""
    try:
        written = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError:
        raise Refused(f"{file} is missing: run this in the project's folder, which has one") from None
    except YAMLError as error:
        raise Refused(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(written, dict):
        raise Refused(f"{file} must be a mapping of sections, such as data, variants and suite")
    return written


def of_suite(written: dict[str, Any]) -> list[Cell]:
    """The suite's cells, variant by variant."""
    suite = written["suite"]
    return [Cell(variant=variant, seed=seed) for variant in suite["variants"] for seed in suite["seeds"]]


def resolve(written: dict[str, Any], variant: str) -> dict[str, Any]:
    """A variant's whole configuration: the defaults with its overrides, section by section."""
    return merge(written["defaults"], written["variants"][variant])


def merge(defaults: Any, overrides: Any) -> Any:
    """Overrides win, key by key; where a `name` differs, the section is another kind and nothing is inherited.

    A list of overrides of one mapping is a list of such mappings, each with its own overrides.
    """
    if isinstance(defaults, dict) and isinstance(overrides, list):
        return [merge(defaults, each) for each in overrides]
    if not isinstance(defaults, dict) or not isinstance(overrides, dict):
        return overrides
    if "name" in overrides and overrides["name"] != defaults.get("name"):
        return overrides
    both = {key: merge(defaults[key], overrides[key]) for key in defaults.keys() & overrides.keys()}
    return {**defaults, **overrides, **both}


def identity(written: dict[str, Any], cell: Cell, sections: tuple[str, ...] = ("data", "evaluation", "compute")) -> str:
    """A hash of everything in the parameters that a cell's figures depend on (16 hexadecimal digits).

    That is its variant, its seed, and the sections.
    """
    read_by_cell = {
        "variant": cell.variant,
        "seed": cell.seed,
        "configuration": resolve(written, cell.variant),
        **{section: written[section] for section in sections},
    }
    return hashlib.sha256(json.dumps(read_by_cell, sort_keys=True).encode()).hexdigest()[:16]
