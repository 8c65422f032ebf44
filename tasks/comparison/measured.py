"""A suite's test figures, with the outcomes that they are means of, and the contrasts that can be made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks import correct
from tasks.cells import Cell
from tasks.comparison import frame, interval
from tasks.comparison.interval import Effect
from tasks.configuration.plan import Plan
from tasks.correct import Predicted
from tasks.main_figure import ACCURACY, MAIN

STAGES = {"feature_extraction": "probe", "fine_tuning": "fine_tune"}
"""By protocol, the stage that keeps which test images were predicted correctly."""


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
class Term:
    """A figure that a contrast weighs: of a variant's representation, a mean over data sets (mostly one)."""

    variant: str
    representation: str
    images: tuple[str, ...]
    key: Key

    @classmethod
    def of(cls, place: Place, key: Key) -> "Term":
        """A figure of one place, on its data set alone."""
        return cls(variant=place.variant, representation=place.representation, images=(place.images,), key=key)


Weights = Mapping[Term, float]
"""A contrast: what is weighed with what."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A suite with its test figures by seed, in fractions; outcomes are read where a contrast asks for them, once."""

    plan: Plan
    figures: dict[Place, dict[Key, dict[int, float]]]
    _outcomes: dict[tuple[Cell, str, str], dict[Predicted, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False
    )
    _tables: dict[tuple[Term, tuple[int, ...]], dict[Term, list[float]]] = field(
        default_factory=dict, init=False, repr=False
    )

    def shown(self, variant: str, images: str) -> Place:
        """The variant's first representation of a data set: what tables and charts show."""
        return Place(variant, images, self.plan.variants[variant].representations[0])

    def fractions(self, images: str) -> list[float]:
        """The label fractions that a data set has figures for, smallest first; none without labels."""
        keys = {key for place, figures in self.figures.items() if place.images == images for key in figures}
        return sorted({key.fraction for key in keys if key.fraction is not None})

    def main(self, images: str) -> str:
        """The metric that a data set is compared by: accuracy, where it has no other."""
        of_set = (figures for place, figures in self.figures.items() if place.images == images)
        metrics = {key.metric for figures in of_set for key in figures if key.fraction is not None}
        return next((metric for metric in MAIN if metric in metrics), ACCURACY)

    def by_main(self, weights: Weights) -> Weights:
        """A contrast of accuracies, of what the data sets are compared by; those of unlike ones stay as they are."""
        made: dict[Term, float] = {}
        for term, weight in weights.items():
            mains = {self.main(images) for images in term.images}
            if term.key.metric == ACCURACY and len(mains) == 1:
                term = replace(term, key=term.key._replace(metric=mains.pop()))
            made[term] = weight
        return made

    def values(self, term: Term) -> dict[int, float]:
        """By seed, of those that have the figure on all of its data sets."""
        places = [Place(term.variant, images, term.representation) for images in term.images]
        of_sets = [self.figures.get(place, {}).get(term.key, {}) for place in places]
        shared = [seed for seed in of_sets[0] if not any(isnan(one.get(seed, np.nan)) for one in of_sets)]
        return {seed: sum(one[seed] for one in of_sets) / len(of_sets) for seed in shared}

    def effect(self, weights: Weights, seeds: Sequence[int]) -> Effect:
        """The contrast over these seeds, which all of its terms have: of the table of all that the suite has beside."""
        table: dict[Term, list[float]] = {}
        for term in weights:
            table |= self._table(term, tuple(seeds))
        c = np.array([weights.get(term, 0.0) for term in table])
        return interval.effect(np.array([*table.values()]), c, self._correct(weights, seeds))

    def _table(self, term: Term, seeds: tuple[int, ...]) -> dict[Term, list[float]]:
        """The term's figure of every variant that has it with these seeds, by seed."""
        shown = term.representation == self.plan.variants[term.variant].representations[0]
        # What is shown of a variant stands beside what is shown of the others, whichever representation that is.
        alike = replace(term, variant="", representation="" if shown else term.representation)
        if (alike, seeds) not in self._tables:
            made = {}
            for name, variant in self.plan.variants.items():
                one = replace(alike, variant=name, representation=alike.representation or variant.representations[0])
                by_seed = self.values(one)
                if all(seed in by_seed for seed in seeds):
                    made[one] = [by_seed[seed] for seed in seeds]
            self._tables[alike, seeds] = made
        return self._tables[alike, seeds]

    def _correct(self, weights: Weights, seeds: Sequence[int]) -> list[np.ndarray] | None:
        """Σ weight x outcome [n, N] of each test set; None where an outcome is unknown, or one seed has no interval."""
        if len(seeds) < 2:
            return None
        made: dict[str, list[np.ndarray | float]] = {}
        for term, weight in weights.items():
            for images in term.images:
                of_set = made.setdefault(images, [0.0] * len(seeds))
                for i, seed in enumerate(seeds):
                    right = self._right(term, Cell(variant=term.variant, seed=seed), images)
                    if right is None:
                        return None
                    of_set[i] = of_set[i] + weight / len(term.images) * right
        return [np.array(of_set) for of_set in made.values()]

    def _right(self, term: Term, cell: Cell, images: str) -> np.ndarray | None:
        key = term.key
        if key.metric != ACCURACY or key.protocol not in STAGES or key.fraction is None:
            return None
        stage = STAGES[key.protocol]
        if (cell, stage, images) not in self._outcomes:
            folder = cell.figures(stage, images)
            there = (folder / correct.FILE).exists()
            self._outcomes[cell, stage, images] = correct.read(folder) if there else {}
        return self._outcomes[cell, stage, images].get(Predicted(term.representation, key.head, key.fraction))


def read(plan: Plan) -> dict[Place, dict[Key, dict[int, float]]]:
    """The test figures that the compare stage wrote. Raises `Refused` where there is no comparison yet."""
    return by_place(frame.read(plan))


def by_place(written: pd.DataFrame) -> dict[Place, dict[Key, dict[int, float]]]:
    """The test figures among rows of comparison.csv, by what they are of, by which they are, by seed."""
    figures: dict[Place, dict[Key, dict[int, float]]] = {}
    for row in written[written["split"] == "test"].to_dict("records"):
        place = Place(row["variant"], row["images"], row["representation"])
        fraction = None if isnan(row["label_fraction"]) else row["label_fraction"]
        key = Key(row["protocol"], row["head"], fraction, row["metric"])
        figures.setdefault(place, {}).setdefault(key, {})[row["seed"]] = row["value"]
    return figures
