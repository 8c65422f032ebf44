"""Spearman's rank correlation of few variants: with the p of a permutation test, and an interval where they are enough.

p is the share of the orders of the variants, were they due to chance, that correlate as strongly in either direction:
of all orders up to 8 variants, else of 10,000 drawn ones and the one that is there. The interval, from 8 variants on,
is by Fisher's transformation with the variance of Bonett & Wright (2000, doi:10.1007/BF02294183); it takes the variants
for a sample of such, and knows nothing of seeds.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations
from math import atanh, sqrt, tanh

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

ALL_ORDERS = 8
"""Variants up to which every order is counted, and from which on there is an interval."""
DRAWN_ORDERS = 10_000


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """In -1..1, with its two-sided p, and its limits: None below 8 variants."""

    value: float
    p: float
    lower: float | None
    upper: float | None


def spearman(a: np.ndarray, b: np.ndarray, level: float) -> Correlation | None:
    """Of a and b [K], equal values sharing their rank; `level` is the interval's, of two sides.

    None where one of both is constant.
    """
    x, y = (rankdata(each) - (len(a) + 1) / 2 for each in (a, b))
    scale = sqrt(float((x @ x) * (y @ y)))
    if scale == 0:
        return None
    value = float(x @ y) / scale
    as_strong = np.abs(y[_orders(len(a))] @ x) / scale >= abs(value) - 1e-9
    p = as_strong.mean() if len(a) <= ALL_ORDERS else (as_strong.sum() + 1) / (DRAWN_ORDERS + 1)
    lower, upper = _limits(value, len(a), level) if len(a) >= ALL_ORDERS else (None, None)
    return Correlation(value=value, p=float(p), lower=lower, upper=upper)


@cache
def _orders(count: int) -> np.ndarray:
    if count <= ALL_ORDERS:
        return np.array(list(permutations(range(count))))
    generator = np.random.default_rng(0)
    return np.array([generator.permutation(count) for _ in range(DRAWN_ORDERS)])


def _limits(value: float, count: int, level: float) -> tuple[float, float]:
    middle = atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    half = float(ndtri(1 - level / 2)) * sqrt((1 + value**2 / 2) / (count - 3))
    return tanh(middle - half), tanh(middle + half)
