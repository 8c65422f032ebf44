"""What is recorded of a cell, as plain names and values; the same names for every cell, so that runs compare."""

import csv
import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tasks import main_figure
from tasks.cells import FIGURES, PREPARED, Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.tracking import observations

COLLAPSE, COST, CURVES = "collapse", "cost", "pretrain"
SECONDARY, WITHOUT_LABELS, KEPT = "secondary", "without labels", "what is kept"
"""What stands before the `/` of a name, as `accuracy` does, or what else images are compared by: MLflow shows a section
each. A page that nobody arranged has them in alphabetical order, which is why accuracy and these three come first."""
MAIN = {
    ("feature_extraction", "linear"): "linear probe",
    ("feature_extraction", "knn20"): "k-NN",
    ("fine_tuning", "linear"): "fine-tuned",
}
"""By protocol and head, those whose main figure is compared first."""
COLLAPSING = ("rankme", "embedding_std")
"""The figures of the verdict on collapse; the others without labels stand apart."""
EVALUATION = ("embed", "probe", "fine_tune")
PRETRAINING = (
    ("pretraining seconds", "seconds", 1.0),
    ("pretraining images per second", "images_per_second", 1.0),
    ("pretraining GiB", "peak_memory_bytes", 2.0**-30),
)
"""Costs that are compared, with the observation that each is, scaled."""


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


def name(cell: Cell) -> str:
    """What a cell's run is called: with the experiment that pretrained it (`dvc exp run`), where one did."""
    experiment = observations.read(cell, "pretrain").get("dvc_experiment")
    return f"{cell.name} ({experiment})" if experiment else cell.name


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
        **{key: seen[key] for key in ("dvc_experiment",) if key in seen},
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
    """The cell's figures by name, such as `accuracy/val 10 percent linear probe` or `collapse/test rankme`.

    What is not of the images pretrained on, or not of the representation that the table shows, has a section of its
    own: `transfer photos/…`, `representation teacher/…`. MLflow refuses a name with `%`.
    """
    return {
        _name(row, images if i else "", plan.variants[cell.variant].representations[0]): float(row["value"])
        for i, images in enumerate(plan.images)
        for stage in ("probe", "fine_tune")
        for row in _rows(cell.figures(stage, images) / "figures.csv")
    }


def main(metric: str, head: str, fraction: float, split: str) -> str:
    """The name of a main figure of the first data set, such as an accuracy; `head` as `MAIN` calls it.

    It is a chart's title, which ends where the chart does: what tells charts of a section apart comes first.
    """
    return f"{main_figure.MAIN[metric].section}/{split} {100 * fraction:g} percent {head}"


def curves(cell: Cell) -> list[tuple[int, str, float]]:
    """Steps, names and values of the loss terms and diagnostics of pretraining."""
    rows = _rows(cell.figures("pretrain") / "curves.csv")
    return [(int(row["step"]), f"{CURVES}/{row['name']}", float(row["value"])) for row in rows]


def costs(plan: Plan, cell: Cell) -> dict[str, float]:
    """The costs that are compared, by name; nothing of stages that were not observed. All: `observed`."""
    of_stages = observed(plan, cell)
    pretrained = of_stages.get("pretrain", {})
    found = {
        f"{COST}/{shown}": scale * float(pretrained[name]) for shown, name, scale in PRETRAINING if name in pretrained
    }
    evaluated = [one for stage, one in of_stages.items() if stage.partition(" ")[0] in EVALUATION]
    if evaluated and all("seconds" in one for one in evaluated):
        found[f"{COST}/evaluation seconds"] = sum(float(one["seconds"]) for one in evaluated)
    return found


def observed(plan: Plan, cell: Cell) -> dict[str, dict[str, Any]]:
    """All that was observed of the cell's stages, by stage and data set: `probe photos`. It is an artifact of its run.

    A stage that has figures and was not observed here has nothing to say.
    """
    works = [("pretrain", ""), *((stage, images) for images in plan.images for stage in EVALUATION)]
    return {
        f"{stage} {images}".strip(): observations.read(cell, stage, images)
        for stage, images in works
        if (cell.figures(stage, images) / observations.IDENTITY).exists()
    }


def names(plan: Plan) -> set[str]:
    """Of all metrics that the suite's cells have."""
    found: set[str] = set()
    for cell in plan.cells:
        found |= {*figures(plan, cell), *costs(plan, cell), *(name for _, name, _ in curves(cell))}
    return found


def largest_share(names: Collection[str]) -> str:
    """The name of what cells are ordered by: the linear probe on val with the largest share of labels.

    Empty without labels.
    """
    for metric in main_figure.MAIN:
        start, end = main(metric, "linear probe", 1.0, "val").split("100")
        shares = [name for name in names if name.startswith(start) and name.endswith(end)]
        if shares:
            return max(shares, key=lambda name: float(name.removeprefix(start).removesuffix(end)))
    return ""


def compared_by(plan: Plan) -> str:
    """The metric that the images pretrained on are compared by: accuracy, where they are not prepared yet."""
    file = PREPARED / plan.images[0] / "card.json"
    target = json.loads(file.read_text()).get("target", "class") if file.exists() else "class"
    return main_figure.OF_TARGET[target]


def card(plan: Plan) -> str:
    """The data card of the images pretrained on."""
    return (PREPARED / plan.images[0] / "card.json").read_text()


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open() as opened:
        return list(csv.DictReader(opened))


def _name(row: dict[str, str], images: str, shown: str) -> str:
    other = row["representation"] if row["representation"] != shown else ""
    section, what = _section(row)
    main = main_figure.MAIN.get(row["metric"])
    if main and section == main.section != main_figure.ACCURACY and (images or other):
        what = f"{what} {section}"
    if images:
        section = f"transfer {images}{f' {other}' if other else ''}"
    elif other:
        section = f"representation {other}"
    share = f"{100 * float(row['label_fraction']):g} percent" if row["label_fraction"] else ""
    return f"{section}/{' '.join(filter(None, (row['split'], share, what)))}"


def _section(row: dict[str, str]) -> tuple[str, str]:
    """Where a figure stands, were it of the first data set and representation, and what it is called there."""
    protocol, head, metric = row["protocol"], row["head"], row["metric"]
    called = MAIN.get((protocol, head), head)
    if protocol == "label_free":
        return COLLAPSE if metric in COLLAPSING else WITHOUT_LABELS, metric
    if protocol == "factors":
        return KEPT, f"{head} {metric}"
    if metric in main_figure.MAIN and called != head:
        return main_figure.MAIN[metric].section, called
    return SECONDARY, f"{called} {metric}"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
