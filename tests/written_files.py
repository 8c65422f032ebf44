"""The files that a user writes, in a folder of their own: the project's, changed, and a suite of its own."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from ruamel.yaml import YAML

from ssl_core.errors import Refused
from tasks.configuration import files, layers, resolve
from tasks.configuration.layers import Path as Keys
from tasks.configuration.resolve import Configuration, Resolved

GONE = object()
"""Stands for a key that is taken away."""
OURS: dict[str, Any] = {
    "suite": "ours",
    "question": "?",
    "seeds": [0],
    "variants": {"random": None, "simclr": None},
    "fine_tune": [],
}
SHIPPED = {name: files.read(PROJECT / name) for name in ("params.yaml", "methods.yaml")}
METHODS = [name for name in SHIPPED["methods.yaml"] if name != "off_the_shelf"]
"""All that need no file of weights."""
Changes = dict[str, Any]
"""Values by dotted paths; sections on the way are made."""


def write(
    root: Path, *, params: Changes | None = None, methods: Changes | None = None, suite: Changes | None = None
) -> Path:
    """Write the project's params.yaml and methods.yaml and the suite `ours`, changed, and a dvc.yaml that names it."""
    (root / "suites").mkdir(exist_ok=True)
    (root / "dvc.yaml").write_text('vars: ["suites/ours.yaml:suite,variants,seeds,fine_tune"]\n\nstages: {}\n')
    for name, changes in (("params.yaml", params), ("methods.yaml", methods)):
        if changes:
            YAML(typ="safe").dump(changed(SHIPPED[name], changes), root / name)
        else:
            shutil.copy(PROJECT / name, root / name)
    YAML(typ="safe").dump(changed(OURS, suite), root / "suites" / "ours.yaml")
    return root


def changed(content: dict[str, Any], changes: Changes | None) -> dict[str, Any]:
    """A copy with changes."""
    content = copy.deepcopy(content)
    for path, value in (changes or {}).items():
        *sections, key = path.split(".")
        place = content
        for section in sections:
            place[section] = place.get(section) or {}
            place = place[section]
        if value is GONE:
            del place[key]
        else:
            place[key] = value
    return content


def load(root: Path, **changed: Changes | None) -> Configuration:
    """What the changed files say."""
    with chdir(write(root, **changed)):
        return resolve.load()


def variants(root: Path, **sections: Any) -> dict[str, Resolved]:
    """What these variants are."""
    return load(root, suite={"variants": sections}).resolved


def refusal(root: Path, **changed: Changes | None) -> str:
    """The one sentence on what is wrong with the changed files."""
    with pytest.raises(Refused) as refused:
        load(root, **changed)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def values(one: Resolved) -> dict[Keys, Any]:
    """Every value of a variant by its keys."""
    return dict(layers.leaves(layers.values(one.places)))


def differing(one: Resolved, other: Resolved) -> dict[Keys, Any]:
    """What `other` has otherwise than `one`, by its keys; what it does not have is `GONE`."""
    before, after = values(one), values(other)
    keys = sorted(before.keys() | after.keys(), key=str)
    return {key: after.get(key, GONE) for key in keys if before.get(key, GONE) != after.get(key, GONE)}


def suites() -> Iterator[Path]:
    """The suites that the project ships."""
    yield from sorted((PROJECT / "suites").glob("*.yaml"))
