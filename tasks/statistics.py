"""Means over seeds with their 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
"""The 0.975 quantile of Student's t distribution for 1, 2, … 20 degrees of freedom; above, the normal one's is near."""


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
    freedom = len(values) - 1
    quantile = T_975[freedom - 1] if freedom <= len(T_975) else 1.96
    return Estimate(mean(values), quantile * stdev(values) / sqrt(len(values)))
