"""The comparison as it is read: figures by variant and seed, joined with what their cells were observed to cost."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_core.errors import Refused
from tasks import cells, observations
from tasks.cells import Cell
from tasks.statistics import Estimate, estimate

FILE = Path("results/comparison.csv")
COLUMNS: tuple[str, ...] = (
    "variant", "family", "objective", "baseline", "seed",
    "protocol", "head", "label_fraction", "split", "metric", "value",
)  # fmt: skip
Key = tuple[str, str, str, str]
"""Protocol, head, label fraction and metric, as they are written in the file."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Test figures of every variant, `figures[variant][seed][key]`; by variant, costs over seeds.

    `baselines`: the variant with the initial weights of the same backbone, for the variants that have one.
    `troubles`: a sentence for each cell that collapsed or ended early.
    """

    families: dict[str, str]
    baselines: dict[str, str]
    figures: dict[str, dict[int, dict[Key, float]]]
    costs: dict[str, list[dict[str, dict[str, Any]]]]
    troubles: list[str]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the suite."""
        return sorted({seed for by_seed in self.figures.values() for seed in by_seed})

    @property
    def fractions(self) -> list[str]:
        """The label fractions that there are figures for, smallest first."""
        keys = {key[2] for by_seed in self.figures.values() for figures in by_seed.values() for key in figures}
        return sorted((fraction for fraction in keys if fraction), key=float)

    def figure(self, variant: str, key: Key) -> Estimate | None:
        """A test figure over the variant's seeds."""
        values = [figures[key] for figures in self.figures[variant].values() if key in figures]
        return estimate(values) if values else None

    def difference(self, variant: str, key: Key) -> Estimate | None:
        """The variant's figure less its baseline's, paired by seed."""
        initial = self.figures[self.baselines[variant]]
        pairs = [
            (mine[key], initial[seed][key])
            for seed, mine in self.figures[variant].items()
            if key in mine and key in initial.get(seed, {})
        ]
        return estimate([a - b for a, b in pairs]) if pairs else None

    def cost(self, variant: str, stage: str, name: str) -> Estimate | None:
        """What a stage was observed to cost, over the seeds that were observed; None where none was."""
        values = [float(seen[stage][name]) for seen in self.costs[variant] if name in seen.get(stage, {})]
        return estimate(values) if values else None


def read() -> Comparison:
    """What the compare stage wrote, with the observations. Raises `Refused` where there is no comparison yet."""
    if not FILE.exists():
        raise Refused(f"{FILE} is not there yet: run `make repro` (or `dvc repro`) first")
    families: dict[str, str] = {}
    baselines: dict[str, str] = {}
    figures: dict[str, dict[int, dict[Key, float]]] = {}
    with FILE.open() as opened:
        rows = csv.DictReader(opened)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise Refused(f"{FILE} was written by another version: run `make repro` (or `dvc repro`) to write it anew")
        for row in rows:
            families[row["variant"]] = row["family"]
            if row["baseline"]:
                baselines[row["variant"]] = row["baseline"]
            of_seed = figures.setdefault(row["variant"], {}).setdefault(int(row["seed"]), {})
            if row["split"] == "test":
                key = (row["protocol"], row["head"], row["label_fraction"], row["metric"])
                of_seed[key] = float(row["value"])
    written = cells.read()
    of_variants = {name: [Cell(variant=name, seed=seed) for seed in seeds] for name, seeds in figures.items()}
    return Comparison(
        families=families,
        baselines=baselines,
        figures=figures,
        costs={
            name: [observations.read(cells.identity(written, cell)) for cell in of_one]
            for name, of_one in of_variants.items()
        },
        troubles=[trouble for of_one in of_variants.values() for cell in of_one for trouble in _troubles(cell)],
    )


def _troubles(cell: Cell) -> list[str]:
    outcome, verdict = (
        json.loads(file.read_text()) if file.exists() else {}
        for file in (cell.folder("pretrain") / "outcome.json", cell.folder("evaluate") / "verdict.json")
    )
    said = [f"Ended early: {cell.name}: {outcome['stopped']}."] if outcome.get("stopped") else []
    return [*said, f"Collapsed: {cell.name}: {verdict['why']}."] if verdict.get("collapsed") else said
