"""Which cell's network is the champion of its images: the best on val, of all seen with the same evaluation."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tasks.cells import Cell
from tasks.configuration.plan import Plan
from tasks.main_figure import MAIN
from tasks.tracking import record

WITHOUT_LABELS = (
    "no figure compares these methods: label-free figures such as RankMe compare runs of one method, say their authors"
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a network is compared by: the main figure of the linear probe on val, on the largest share of labels.

    `data` and `evaluation` are digests of the data card and of how the probe is evaluated.
    """

    val: float
    label_fraction: float
    baseline: bool
    data: str
    evaluation: str

    def comparable(self, other: "Standing") -> bool:
        """Whether both are of one scale."""
        return (self.label_fraction, self.data, self.evaluation) == (other.label_fraction, other.data, other.evaluation)

    @property
    def rank(self) -> tuple[bool, float]:
        """The greater, the better: a baseline comes after every method."""
        return not self.baseline, self.val

    def tags(self) -> dict[str, str]:
        """As a model's version carries it."""
        return {name: str(value) for name, value in asdict(self).items()}


def of_tags(tags: Mapping[str, str]) -> Standing | None:
    """The standing that a version carries; None where it was registered by another version of the project."""
    try:
        return Standing(
            val=float(tags["val"]),
            label_fraction=float(tags["label_fraction"]),
            baseline=tags["baseline"] == "True",
            data=tags["data"],
            evaluation=tags["evaluation"],
        )
    except (KeyError, ValueError):
        return None


def standings(plan: Plan) -> dict[Cell, Standing]:
    """Of every cell on the largest share of labels that the suite has; empty without labels."""
    found = {cell: _val(plan, cell) for cell in plan.cells}
    largest = max((share for shares in found.values() for share in shares), default=None)
    probed = {name: value for name, value in plan.evaluation.items() if name != "fine_tuning"}
    evaluation = hashlib.sha256(json.dumps(probed, sort_keys=True).encode()).hexdigest()[:16]
    data = hashlib.sha256(record.card(plan).encode()).hexdigest()[:16]
    return {
        cell: Standing(
            val=shares[largest],
            label_fraction=largest,
            baseline=plan.variants[cell.variant].family == "baseline",
            data=data,
            evaluation=evaluation,
        )
        for cell, shares in found.items()
        if largest in shares
    }


def best(plan: Plan) -> Cell | None:
    """The suite's best cell on val; a baseline only where there is nothing else. None without labels."""
    found = standings(plan)
    return max(found, key=lambda cell: found[cell].rank) if found else None


def _val(plan: Plan, cell: Cell) -> dict[float, float]:
    """Main figures on val by the share of labels, of the representation that the table shows."""
    shown = plan.variants[cell.variant].representations[0]
    file = cell.figures("probe", plan.images[0]) / "figures.csv"
    if not file.exists():
        return {}
    with file.open() as opened:
        return {
            float(row["label_fraction"]): float(row["value"])
            for row in csv.DictReader(opened)
            if (row["representation"], row["split"], row["head"]) == (shown, "val", "linear")
            and row["metric"] in MAIN
            and row["protocol"] == "feature_extraction"
            and row["label_fraction"]
        }
