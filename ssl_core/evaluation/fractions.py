"""Label fractions: which training images an evaluation may see the labels of."""

import numpy as np

from ssl_core.data import targets
from ssl_core.errors import Refused


def draw(labels: np.ndarray, fraction: float, seed: int, classes: list[str]) -> np.ndarray:
    """Sorted indices of the `fraction` of each class, rounded down; images of label -1 are never drawn.

    The draw depends on the labels and the seed alone, so it is the same for every variant, and a smaller fraction lies
    inside a larger one. Raises `Refused` where a class has less than one image to give. Of several labels an image, and
    of numbers, each of their `strata` gives its fraction, and one image at least.
    """
    if targets.target(labels) != "class":
        return _of_strata(targets.strata(labels), fraction, seed)
    drawn = []
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        count = int(fraction * len(members) + 1e-9)  # 0.29 x 100 is 28.999... in binary
        if count < 1:
            raise Refused(
                f"the class '{name}' has {len(members)} labelled training images; the label fraction {fraction} "
                f"needs at least {int(np.ceil(1 / fraction - 1e-9))}: take it out of evaluation.label_fractions"
            )
        drawn.append(np.random.default_rng([seed, label]).permutation(members)[:count])
    return np.sort(np.concatenate(drawn))


def _of_strata(strata: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    drawn = []
    for stratum in range(strata.max() + 1):
        members = np.flatnonzero(strata == stratum)
        count = max(1, int(fraction * len(members) + 1e-9))
        drawn.append(np.random.default_rng([seed, stratum]).permutation(members)[:count])
    return np.sort(np.concatenate(drawn))
