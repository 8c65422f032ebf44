"""The interval of an effect that is measured with few seeds, on a test set that is a sample too.

A contrast is a weighted sum of the suite's figures, a difference of two variants in the plainest case. With y [K, n] of
K figures by n seeds, weights c [K], and correct [K, n, N], whether a variant's cell got image i of N right:

    L_s  = Σ_v c_v y[v, s]                        a value a seed; its mean over the seeds is the effect
    s²   = ((n−1)·own + d·rest) / (n−1+d)         ν = n−1+d degrees of freedom, d = min(2, (K−2)(n−1))
    own  = the variance of L
    rest = (Σc²·SS − (n−1)·own) / ((K−2)(n−1))    at least 0; SS: residual sum of squares of y, two-way
    q    = (MS_images − MS_residual) / n          at least 0; of D[s, i] = Σ_v c_v·correct[v, s, i], two-way
    half = sqrt(t(ν, α)²·s²/n + z(α)²·q/N)

s² holds what another seed changes: initial weights, the views, the draw of the labels, the order of the batches, and
how these meet the test images. It is paired by seed, and borrows from the suite's other figures as much as two degrees
of freedom tell: little, for variants differ in how stable they are, and much, where three seeds alone have two. q holds
what other test images would change for every seed alike: the images' component of variance in a two-way random-effects
model, by the method of moments. Neither holds other data sets, budgets or settings.

Levels are of two sides. `POCOCK` has one for each look at a suite that is extended (Pocock, Biometrika 64, 1977, "Group
sequential methods in the design and analysis of clinical trials").
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf, sqrt
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.05
"""How often an interval that is looked at once errs: 95 % intervals."""
POCOCK = {1: LEVEL, 2: 0.0294, 3: 0.0221, 4: 0.0182, 5: 0.0158}
"""By how many looks there are in all, the level of each: together they err in 5 % of cases."""
BORROWED = 2
"""Degrees of freedom that the suite's other figures add at most."""
POWER = 0.8
"""How often as many seeds as are said to decide would, were effect and spread what they are measured to be."""
MOST_SEEDS = 30


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An effect and what it varies by, in the unit of its figures.

    `spread`: the variance s² of a seed's value, with `freedom` ν; `images`: q/N, the variance of the mean that the test
    images make; None where it is not counted, so that the interval is of the seeds alone. One seed has no spread.
    """

    mean: float
    spread: float
    freedom: float
    images: float | None
    seeds: int

    def half(self, level: float) -> float:
        """Half of the interval of two-sided level `level`; infinite with one seed."""
        if self.seeds < 2:
            return inf
        t, z = stdtrit(self.freedom, 1 - level / 2), ndtri(1 - level / 2)
        return sqrt(t**2 * self.spread / self.seeds + z**2 * (self.images or 0.0))

    def limits(self, level: float) -> tuple[float, float]:
        """The lower and the upper end of that interval."""
        half = self.half(level)
        return self.mean - half, self.mean + half

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        """With its 95 % interval, as in the table: `84.0±0.5`; of one seed `84.0`."""
        interval = "" if self.seeds < 2 else f"±{scale * self.half(LEVEL):.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{interval}"

    def planned(self, seeds: int) -> "Effect":
        """The same effect and spread, measured with another number of seeds."""
        return replace(self, seeds=seeds, freedom=self.freedom + seeds - self.seeds)


Decided = Literal["supported", "refuted", "undecided"]
Groups = Sequence[Sequence[Effect]]
"""What a claim is about: the greatest over groups of the least of a group's effects; a single effect is [[effect]]."""


def effect(y: np.ndarray, c: np.ndarray, correct: np.ndarray | Sequence[np.ndarray] | None = None) -> Effect:
    """The contrast of weights `c` [K] of the figures `y` [K, n], float64, K of the suite by n seeds.

    `correct` [n, N]: Σ_v c_v·(whether v predicted image i correctly) by seed and image; of several test sets that the
    figures are means over, one such array each, N of its own, already weighted; None where the figures are no means
    over images. Weights that do not sum to 0 (a variant's own mean) are no contrast: what all have in common by seed
    does not cancel, so that nothing is borrowed.
    """
    of_seed = np.asarray(c, float) @ np.asarray(y, float)
    seeds = len(of_seed)
    sets = [correct] if isinstance(correct, np.ndarray) else correct
    images = None if sets is None else sum(_of_images(one) for one in sets)
    if seeds < 2:
        return Effect(mean=float(of_seed[0]), spread=0.0, freedom=0, images=images, seeds=seeds)
    own, freedom = float(of_seed.var(ddof=1)), seeds - 1
    rest, borrowed = _rest(np.asarray(y, float), np.asarray(c, float), own)
    spread = (freedom * own + borrowed * rest) / (freedom + borrowed)
    mean = float(of_seed.mean())
    return Effect(mean=mean, spread=spread, freedom=freedom + borrowed, images=images, seeds=seeds)


def alone(values: Sequence[float]) -> Effect:
    """The mean of one value a seed, of which nothing else is known: Student's t interval. `values` is not empty."""
    return effect(np.array([values]), np.ones(1))


def _rest(y: np.ndarray, c: np.ndarray, own: float) -> tuple[float, int]:
    """What the suite's other figures say of the variance of L, and with how many degrees of freedom."""
    known = (len(y) - 2) * (y.shape[1] - 1)
    if known < 1 or abs(c.sum()) > 1e-9:
        return 0.0, 0
    residual = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
    others = (c**2).sum() * (residual**2).sum() - (y.shape[1] - 1) * own
    return max(float(others), 0.0) / known, min(BORROWED, known)


def _of_images(correct: np.ndarray) -> float:
    """q/N of a test set: correct [n, N]. With one seed, what the seed adds is in it."""
    seeds, images = correct.shape
    if images < 2:
        return 0.0
    outcomes = np.asarray(correct, float)
    of_image, of_seed = outcomes.sum(0), outcomes.sum(1)
    mean = float(of_seed.sum()) ** 2 / outcomes.size
    # Sums of squares of a two-way table, by their moments: some ten times as fast as by the residuals.
    by_image = float(np.square(of_image).sum()) / seeds - mean
    by_seed = float(np.square(of_seed).sum()) / images - mean
    residual = float(np.square(outcomes).sum()) - mean - by_image - by_seed
    between, within = by_image / (images - 1), residual / max((seeds - 1) * (images - 1), 1)
    return max(between - (within if seeds > 1 else 0.0), 0.0) / seeds / images


def value(groups: Groups) -> float:
    """The greatest over groups of the least of a group's effects."""
    return max(min(one.mean for one in group) for group in groups)


def limits(groups: Groups, level: float, power: float = 0.5) -> tuple[float, float]:
    """The interval of that value, of two-sided level `level`.

    The least of J effects: its lower limit is the least of theirs, uncorrected; its upper limit is the least of theirs
    at level/J, any of which may be its own. The greatest of P groups is the mirror. `power` above one half widens it,
    to what is decided by that share of repetitions.
    """
    lower = max(min(one.mean - _width(one, level / len(groups), power) for one in group) for group in groups)
    upper = max(min(one.mean + _width(one, level / len(group), power) for one in group) for group in groups)
    return lower, upper


def _width(one: Effect, level: float, power: float) -> float:
    if one.seeds < 2 or power == 0.5:
        return one.half(level)
    return one.half(level) + float(ndtri(power)) * sqrt(one.spread / one.seeds + (one.images or 0.0))


def decided(interval: tuple[float, float], more_than: float) -> Decided:
    """`supported`, `refuted`, or `undecided` where `more_than` lies within the interval."""
    lower, upper = interval
    return "supported" if lower > more_than else "refuted" if upper < more_than else "undecided"


def seeds_to_decide(groups: Groups, more_than: float, level: float) -> int | None:
    """How many seeds in all, up to `MOST_SEEDS`, would decide in `POWER` of cases, were all as it was measured to be.

    None where no such number would, and where one seed leaves the spread unknown.
    """
    seeds = max(one.seeds for one in chain.from_iterable(groups))
    for planned in range(seeds + 1, MOST_SEEDS + 1) if seeds > 1 else ():
        then = [[one.planned(planned) for one in group] for group in groups]
        if decided(limits(then, level, POWER), more_than) != "undecided":
            return planned
    return None


def too_few_images(groups: Groups, more_than: float, level: float) -> bool:
    """Whether it is the test images that leave open what seeds without end would not decide."""
    endless = [[replace(one, spread=0.0, seeds=max(one.seeds, 2)) for one in group] for group in groups]
    with_all = [[replace(one, images=0.0) for one in group] for group in endless]
    left_open, also_then = (decided(limits(of, level, POWER), more_than) == "undecided" for of in (endless, with_all))
    return left_open and not also_then
