"""The comparison as it is read: test figures over seeds, joined with what their cells were observed to cost."""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from tasks.comparison import frame, intervals
from tasks.comparison.intervals import Estimate, estimate
from tasks.comparison.sources import works
from tasks.configuration.plan import Plan
from tasks.tracking import observations


class Key(NamedTuple):
    """Which figure; `fraction` is None where it is of no share of the labels."""

    protocol: str
    head: str
    fraction: float | None
    metric: str


class Place(NamedTuple):
    """What a figure is of."""

    variant: str
    images: str
    representation: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A suite with its test figures, by seed, and with its costs, `costs[variant, stage]`: a list a cell.

    `troubles`: a sentence for each cell that collapsed or ended early.
    """

    plan: Plan
    figures: dict[Place, dict[Key, dict[int, float]]]
    costs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]]
    troubles: list[str]

    def shown(self, variant: str, images: str) -> Place:
        """The variant's first representation of a data set: what tables and charts show."""
        return Place(variant, images, self.plan.variants[variant].representations[0])

    def further(self, images: str) -> list[Place]:
        """The representations of a data set beside those."""
        return [
            Place(name, images, kind) for name, one in self.plan.variants.items() for kind in one.representations[1:]
        ]

    def fractions(self, images: str) -> list[float]:
        """The label fractions that a data set has figures for, smallest first; none without labels."""
        keys = {key for place, figures in self.figures.items() if place.images == images for key in figures}
        return sorted({key.fraction for key in keys if key.fraction is not None})

    def figure(self, place: Place, key: Key) -> Estimate | None:
        """A test figure over seeds."""
        by_seed = self._by_seed(place, key)
        return estimate(list(by_seed.values())) if by_seed else None

    def difference(self, variant: str, other: str, images: str, key: Key) -> Estimate | None:
        """The figure that is shown of a variant less that of another, paired by seed."""
        places = [self.shown(name, images) for name in (variant, other)]
        return intervals.difference(*(self._by_seed(place, key) for place in places))

    def cost(self, variant: str, stage: str, name: str) -> Estimate | None:
        """What a stage was observed to cost on all data sets, over the seeds of which all of it was observed."""
        of_cells = self.costs.get((variant, stage), {}).values()
        values = [sum(float(one[name]) for one in seen) for seen in of_cells if all(name in one for one in seen)]
        return estimate(values) if values else None

    def _by_seed(self, place: Place, key: Key) -> dict[int, float]:
        return self.figures.get(place, {}).get(key, {})


def read(plan: Plan) -> Compared:
    """What the compare stage wrote, with the observations. Raises `Refused` where there is no comparison yet."""
    written = frame.read(plan)
    figures: dict[Place, dict[Key, dict[int, float]]] = {}
    for row in written[written["split"] == "test"].to_dict("records"):
        place = Place(row["variant"], row["images"], row["representation"])
        fraction = None if row["label_fraction"] != row["label_fraction"] else row["label_fraction"]
        key = Key(row["protocol"], row["head"], fraction, row["metric"])
        figures.setdefault(place, {}).setdefault(key, {})[row["seed"]] = row["value"]
    costs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for cell, stage, images in works(plan):
        by_seed = costs.setdefault((cell.variant, stage), {})
        by_seed.setdefault(cell.seed, []).append(observations.read(cell, stage, images))
    troubles = json.loads((plan.results / "troubles.json").read_text())
    return Compared(plan=plan, figures=figures, costs=costs, troubles=troubles)
