"""What a linear probe reads of the factors that drawn images are known to differ by, from a frozen representation.

The shape by the logistic probe, its accuracy; every other factor by ridge regression on standardised representations,
with the weight decay that is best on val: R². A factor that the augmentation varies, and that the objective therefore
has to ignore, should read less than from initial weights.

Rotation is an angle, and a shape that turns into itself k times in a full turn shows k times the angle alone. The
cosine and sine of that are read, for each shape by a regression of its own, as one k is not another's, and the mean
over shapes is given. A circle and a ring have none.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ssl_core.data.shapes import FACTORS
from ssl_core.evaluation import ridge
from ssl_core.evaluation.downstream import LinearHead
from ssl_core.evaluation.evaluation import MEASURED, Figure
from ssl_core.evaluation.split import Split

COLUMNS = {
    "colour": ("red", "green", "blue"),
    "x": ("x",),
    "y": ("y",),
    "size": ("size",),
    "background": ("background",),
}
"""The columns of a factor; of several, the mean R²."""
SYMMETRY = {"circle": 0, "cross": 4, "ellipse": 2, "ring": 0, "square": 4, "star": 5, "triangle": 3}
"""How often a shape turns into itself in a full turn; 0: it always does."""
WEIGHT_DECAYS = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Of the regressions, on dimensions of variance 1: the strongest leaves the mean alone, so that nothing reads 0."""
Scores = dict[str, Tensor]
"""R² [K, T] on val and on test, for K weight decays and T targets."""


def figures(
    splits: dict[str, Split],
    factors: dict[str, np.ndarray],
    classes: list[str],
    probed: list[Figure],
) -> list[Figure]:
    """Protocol `factors`: a head a factor; `accuracy` of the shape, `r2` of the others, on val and on test.

    `factors`: float32 [N, 8] of each split, as `shapes.FACTORS` names the columns. `probed`: the figures of
    `evaluation.probe`, whose linear probe with the most labels read the shape. Rotation is of the shapes that have at
    least two images in every split; without any there is none.
    """
    h = {name: split.representations.double() for name, split in splits.items()}
    y = {name: torch.from_numpy(known).to(h[name]) for name, known in factors.items()}
    scores = _scores(h, y)
    read = {name: _chosen(scores, [FACTORS.index(of) for of in columns]) for name, columns in COLUMNS.items()}
    turned = [_chosen(_scores(*of_shape), [0, 1]) for of_shape in _turned(splits, h, y, classes)]
    if turned:
        read["rotation"] = {name: sum(one[name] for one in turned) / len(turned) for name in MEASURED}
    found = [Figure("factors", head, None, name, "r2", of[name]) for head, of in read.items() for name in MEASURED]
    return _shape(probed) + found


def _shape(probed: list[Figure]) -> list[Figure]:
    """The linear probe's accuracy with the most labels, under the factor's name."""
    by = ("feature_extraction", "linear", "accuracy")
    linear = [one for one in probed if (one.protocol, one.head, one.metric) == by]
    most = max((one.label_fraction or 0.0 for one in linear), default=0.0)
    shape = [one for one in linear if one.label_fraction == most]
    return [one._replace(protocol="factors", head="shape", label_fraction=None) for one in shape]


def _turned(
    splits: dict[str, Split], h: dict[str, Tensor], y: dict[str, Tensor], classes: list[str]
) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Of each shape that has a rotation, its representations and the cosine and sine of k times the angle."""
    angle = FACTORS.index("rotation")
    for label, shape in enumerate(classes):
        of = {name: torch.from_numpy(split.labels == label).to(h[name].device) for name, split in splits.items()}
        if SYMMETRY[shape] == 0 or min(int(which.sum()) for which in of.values()) < 2:
            continue
        turns = {name: y[name][which, angle] * (SYMMETRY[shape] * math.pi / 180) for name, which in of.items()}
        yield (
            {name: h[name][which] for name, which in of.items()},
            {name: torch.stack([turn.cos(), turn.sin()], dim=1) for name, turn in turns.items()},
        )


def _scores(h: dict[str, Tensor], y: dict[str, Tensor]) -> Scores:
    """Fitted on train."""
    head, mean = LinearHead(h["train"], y["train"].shape[1]), y["train"].mean(dim=0)
    weights = ridge.solve(head.standardise(h["train"]).double(), y["train"] - mean, WEIGHT_DECAYS)
    return {name: ridge.r2(head.standardise(h[name]).double() @ weights + mean, y[name]) for name in MEASURED}


def _chosen(scores: Scores, targets: list[int]) -> dict[str, float]:
    """The mean R² of the targets, by split, with the weight decay that is best on val; of equals, the strongest."""
    best = int(scores["val"][:, targets].mean(dim=1).argmax())
    return {name: of_all[best, targets].mean().item() for name, of_all in scores.items()}
