"""What is recorded of a cell, as plain names and values; the same names for every cell, so that runs compare."""

import csv
import dataclasses
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from tasks import observations
from tasks.cells import PREPARED, Cell
from tasks.parameters import Parameters

HEADS = {("feature_extraction", "linear"): "linear", ("fine_tuning", "linear"): "fine_tuned"}
COSTS = (
    "seconds",
    "overhead_seconds",
    "images_per_second",
    "peak_memory_bytes",
    "parameters",
    "flops_per_image",
    "trained_parameters",
    "step_flops_per_image",
)


def tags(settings: Parameters, cell: Cell) -> dict[str, str]:
    """What a run is found and grouped by."""
    variant = settings.variant(cell.variant)
    return {
        "variant": cell.variant,
        "seed": str(cell.seed),
        "family": variant.family,
        "objective": variant.objective.name,
        "backbone": variant.backbone.name,
        "dataset": dataset(),
        "suite": settings.suite.name,
        "data_md5": data_md5(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **code(),
    }


def dataset() -> str:
    """The prepared images' name."""
    return json.loads((PREPARED / "card.json").read_text())["name"]


def data_md5() -> str:
    """DVC's hash of the prepared images, from dvc.lock; empty where prepare was not run by DVC."""
    try:
        locked = YAML(typ="safe", pure=True).load(Path("dvc.lock"))
        return locked["stages"]["prepare"]["outs"][0]["md5"]
    except (OSError, KeyError, TypeError, IndexError):
        return ""


def code() -> dict[str, str]:
    """The commit, and whether tracked files differ from it; says so where there is no git repository."""
    try:
        asked = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        print("stopgrad: there is no git repository here; the record will not say which code ran", file=sys.stderr)
        return {"commit": "none", "dirty": "unknown"}
    commit = next(line.split()[-1] for line in said if line.startswith("# branch.oid"))
    return {"commit": commit, "dirty": str(any(not line.startswith("#") for line in said)).lower()}


def params(settings: Parameters, cell: Cell) -> dict[str, str]:
    """Everything validated that the cell depends on, flat: `objective.temperature`."""
    sections = {
        **settings.variant(cell.variant).model_dump(),
        "data": dataclasses.asdict(settings.data),
        "evaluation": dataclasses.asdict(settings.evaluation),
        "compute": dataclasses.asdict(settings.compute),
        "seed": cell.seed,
    }
    return {key: str(value)[:500] for key, value in _flat(sections, "")}


def figures(cell: Cell) -> dict[str, float]:
    """The cell's figures by name, such as `test/linear.accuracy.labels_10` or `val/rankme`."""
    with (cell.folder("evaluate") / "figures.csv").open() as opened:
        return {_name(row): float(row["value"]) for row in csv.DictReader(opened)}


def curves(cell: Cell) -> list[tuple[int, str, float]]:
    """Steps, names and values of the loss terms and diagnostics of pretraining."""
    with (cell.folder("pretrain") / "curves.csv").open() as opened:
        return [(int(row["step"]), f"pretrain/{row['name']}", float(row["value"])) for row in csv.DictReader(opened)]


def costs(identity: str, stage: str) -> dict[str, float]:
    """What the stage was observed to cost, by name; nothing where it was not observed."""
    seen = observations.read(identity).get(stage, {})
    return {f"cost/{stage}.{name}": float(seen[name]) for name in COSTS if name in seen}


def _name(row: dict[str, str]) -> str:
    head = HEADS.get((row["protocol"], row["head"]), row["head"])
    parts = [head, row["metric"]]
    if row["label_fraction"]:
        parts.append(f"labels_{100 * float(row['label_fraction']):g}")
    return f"{row['split']}/{'.'.join(part for part in parts if part)}"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
