"""Means over seeds with their 95 % intervals, and differences that are paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half of its 95 % interval; one seed has none."""

    mean: float
    half: float | None

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        """As in the table: `84.0`, or `84.0±0.5` with two or more seeds."""
        interval = "" if self.half is None else f"±{scale * self.half:.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{interval}"


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value a seed, with Student's t interval. `values` is not empty."""
    if len(values) < 2:
        return Estimate(values[0], None)
    quantile = float(stdtrit(len(values) - 1, 0.975))
    return Estimate(mean(values), quantile * stdev(values) / sqrt(len(values)))


def difference(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """The mean of mine less theirs over the seeds that both have, keyed by seed; None where they share none."""
    pairs = [value - theirs[seed] for seed, value in mine.items() if seed in theirs]
    return estimate(pairs) if pairs else None
