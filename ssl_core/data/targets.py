"""What an image is labelled with: a class, several labels, or a number; and how each lies in an array.

`class`: int64 [N], -1 for none. `labels`: int8 [N, L], 1 where an image has a label, 0 where not, a row of -1 for none.
`number`: float64 [N], NaN for none. The array alone tells which it is.
"""

from typing import Literal

import numpy as np

Target = Literal["class", "labels", "number"]
BINS, IN_A_BIN = 10, 20
"""The most ranges that numbers are cut into, and the least images of each."""


def target(labels: np.ndarray) -> Target:
    """Which of the three an array holds."""
    if labels.ndim == 2:
        return "labels"
    return "number" if np.issubdtype(labels.dtype, np.floating) else "class"


def known(labels: np.ndarray) -> np.ndarray:
    """Which images have a label: bool [N]."""
    match target(labels):
        case "labels":
            return labels[:, 0] >= 0
        case "number":
            return ~np.isnan(labels)
        case "class":
            return labels >= 0


def per_class(labels: np.ndarray, classes: int) -> np.ndarray:
    """How many images each class or label has: int64 [classes]; none of numbers."""
    match target(labels):
        case "class":
            return np.bincount(labels[labels >= 0], minlength=classes)
        case "labels":
            return (labels == 1).sum(axis=0)
        case "number":
            return np.zeros(classes, np.int64)


def codes(labels: np.ndarray) -> np.ndarray:
    """One number for all that are labelled alike, -1 for none: int64 [N]; classes are their own."""
    if target(labels) == "class":
        return labels
    alike = np.unique(labels, axis=0, return_inverse=True)[1].reshape(len(labels))
    return np.where(known(labels), alike, -1)


def strata(labels: np.ndarray) -> np.ndarray:
    """The parts that each split and each draw has its share of: int64 [N], -1 for none.

    Of classes, each. Of several labels an image is counted for the rarest that it has, as rare ones are those that a
    draw misses (Sechidis et al., 2011, doi:10.1007/978-3-642-23808-6_10, who also begin with them); those that have
    none are a part of their own. Of numbers, up to ten ranges with equally many images, twenty at the least.
    """
    there = known(labels)
    found = np.full(len(labels), -1)
    match target(labels):
        case "class":
            return labels
        case "labels":
            often = (labels[there] == 1).sum(axis=0)
            rarest_first = np.argsort(often, kind="stable")
            has = labels[there][:, rarest_first] == 1
            found[there] = np.where(has.any(axis=1), rarest_first[has.argmax(axis=1)], labels.shape[1])
        case "number":
            bins = int(np.clip(there.sum() // IN_A_BIN, 1, BINS))
            edges = np.quantile(labels[there], np.arange(1, bins) / bins) if there.any() else np.empty(0)
            found[there] = np.searchsorted(edges, labels[there], side="right")
    return found
