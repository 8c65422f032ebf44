"""The comparison as it is read: test figures over seeds, joined with what their cells were observed to cost."""

from dataclasses import dataclass
from typing import Any

from tasks.comparison import interval, measured, troubles
from tasks.comparison.interval import Effect
from tasks.comparison.measured import Key, Measured, Place, Term
from tasks.comparison.sources import works
from tasks.configuration.plan import Plan
from tasks.tracking import observations


@dataclass(frozen=True, kw_only=True)
class Compared(Measured):
    """A suite with its test figures, by seed, and with its costs, `costs[variant, stage]`: a list a cell.

    `troubles`: a sentence for each cell that collapsed or ended early.
    """

    costs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]]
    troubles: list[str]

    def further(self, images: str) -> list[Place]:
        """The representations of a data set beside those that tables and charts show."""
        return [
            Place(name, images, kind) for name, one in self.plan.variants.items() for kind in one.representations[1:]
        ]

    def figure(self, place: Place, key: Key) -> Effect | None:
        """A test figure over the seeds that have it."""
        term = Term.of(place, key)
        seeds = [*self.values(term)]
        return self.effect({term: 1.0}, seeds) if seeds else None

    def difference(self, variant: str, other: str, images: str, key: Key) -> Effect | None:
        """The figure that is shown of a variant less that of another, paired by the seeds that both have."""
        mine, theirs = (Term.of(self.shown(name, images), key) for name in (variant, other))
        known = self.values(theirs)
        seeds = [seed for seed in self.values(mine) if seed in known]
        return self.effect({mine: 1.0, theirs: -1.0}, seeds) if seeds else None

    def cost(self, variant: str, stage: str, name: str) -> Effect | None:
        """What a stage was observed to cost on all data sets, over the seeds of which all of it was observed."""
        of_cells = self.costs.get((variant, stage), {}).values()
        values = [sum(float(one[name]) for one in seen) for seen in of_cells if all(name in one for one in seen)]
        return interval.alone(values) if values else None


def read(plan: Plan) -> Compared:
    """What the compare stage wrote, with the observations. Raises `Refused` where there is no comparison yet."""
    figures = measured.read(plan)
    costs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for cell, stage, images in works(plan):
        by_seed = costs.setdefault((cell.variant, stage), {})
        by_seed.setdefault(cell.seed, []).append(observations.read(cell, stage, images))
    return Compared(plan=plan, figures=figures, costs=costs, troubles=[one.says for one in troubles.read(plan)])
