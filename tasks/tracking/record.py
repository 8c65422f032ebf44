"""What is recorded of a cell, as plain names and values; the same names for every cell, so that runs compare."""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.cells import FIGURES, PREPARED, Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.tracking import observations

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


def recorded(cell: Cell) -> str:
    """A digest of all that is recorded of a cell and of what made it: its figures, curves and stages' identities."""
    hashed = hashlib.sha256()
    for file in sorted((FIGURES / cell.name).rglob("*")):
        if file.is_file():
            hashed.update(f"{file.relative_to(FIGURES)}\0".encode() + file.read_bytes())
    return hashed.hexdigest()[:32]


def identity(cell: Cell) -> str:
    """The identity of the cell's pretraining."""
    return (cell.figures("pretrain") / observations.IDENTITY).read_text()


def tags(plan: Plan, cell: Cell) -> dict[str, str]:
    """What a run is found and grouped by."""
    planned, seen = plan.variants[cell.variant], observations.read(cell, "pretrain")
    return {
        "variant": cell.variant,
        "seed": str(cell.seed),
        "method": planned.method,
        "objective": planned.objective,
        "family": planned.family,
        "dataset": plan.images[0],
        **{key: str(seen.get(key, "not observed here")) for key in ("commit", "dirty", "python", "torch", "machine")},
    }


def params(plan: Plan, cell: Cell) -> dict[str, str]:
    """Everything validated that made the cell, flat: `objective.temperature`."""
    sections = files.read(files.CONFIGS / f"{cell.variant}.yaml") | {
        "images": plan.images,
        "representations": plan.variants[cell.variant].representations,
        "evaluation": plan.evaluation,
        "seed": cell.seed,
    }
    return {key: str(value)[:500] for key, value in _flat(sections, "")}


def figures(plan: Plan, cell: Cell) -> dict[str, float]:
    """The cell's figures by name, such as `test/linear.accuracy.labels_10` or `val/rankme`.

    What is not of the images pretrained on, or not of the representation that the table shows, says so in front.
    """
    return {
        _name(row, images if i else "", plan.variants[cell.variant].representations[0]): float(row["value"])
        for i, images in enumerate(plan.images)
        for stage in ("probe", "fine_tune")
        for row in _rows(cell.figures(stage, images) / "figures.csv")
    }


def curves(cell: Cell) -> list[tuple[int, str, float]]:
    """Steps, names and values of the loss terms and diagnostics of pretraining."""
    rows = _rows(cell.figures("pretrain") / "curves.csv")
    return [(int(row["step"]), f"pretrain/{row['name']}", float(row["value"])) for row in rows]


def costs(plan: Plan, cell: Cell) -> dict[str, float]:
    """What the cell's stages were observed to cost, by name; nothing of those that were not observed."""
    seen = {"pretrain": observations.read(cell, "pretrain")}
    for stage in ("embed", "probe", "fine_tune"):
        seen[stage] = observations.read(cell, stage, plan.images[0])
    return {
        f"cost/{stage}.{name}": float(of_one[name])
        for stage, of_one in seen.items()
        for name in COSTS
        if name in of_one
    }


def champion(plan: Plan) -> Cell | None:
    """The cell that is best on val (the probe on the largest share of labels); a baseline only among baselines.

    None without labels: the label-free figures compare runs of one method, not methods.
    """
    methods = [cell for cell in plan.cells if plan.variants[cell.variant].family != "baseline"]
    scores: dict[Cell, float] = {}
    for cell in methods or plan.cells:
        found = figures(plan, cell)
        shares = [name for name in found if name.startswith("val/linear.accuracy.labels_")]
        if shares:
            scores[cell] = found[max(shares, key=lambda name: float(name.rpartition("_")[2]))]
    return max(scores, key=scores.__getitem__) if scores else None


def card(plan: Plan) -> str:
    """The data card of the images pretrained on."""
    return (PREPARED / plan.images[0] / "card.json").read_text()


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open() as opened:
        return list(csv.DictReader(opened))


def _name(row: dict[str, str], images: str, shown: str) -> str:
    head = HEADS.get((row["protocol"], row["head"]), row["head"])
    other = row["representation"] if row["representation"] != shown else ""
    labels = f"labels_{100 * float(row['label_fraction']):g}" if row["label_fraction"] else ""
    return f"{row['split']}/{'.'.join(part for part in (images, other, head, row['metric'], labels) if part)}"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
