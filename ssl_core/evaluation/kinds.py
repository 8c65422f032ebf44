"""What evaluation does differently where an image has one class, several labels, or a number. Nothing else asks which.

A head has an output for each class, for each label (one sigmoid a label), or one for the number. What a data set is
compared by, and what is chosen by on val, is the first of a kind's metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.data.targets import Target, target
from ssl_core.evaluation import logistic, ridge
from ssl_core.evaluation.metrics import accuracy, macro_f1, mean_average_precision, r2

CHUNK = 128
"""Images whose neighbours' labels are averaged at a time."""
Metric = Callable[[np.ndarray, np.ndarray], float]
Fits = tuple[Tensor, Tensor]
"""Weights [K, C, D] and biases [K, C], float32, for K weight decays and C outputs."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Functions of tensors and arrays, by which a kind differs from the others.

    `fit`: the linear probe of centred representations [N, D], labels, C and weight decays. `read`: the predictions of
    outputs [N, C]: classes int64 [N], scores [N, L], numbers [N]. `vote`: those of the labels and the votes [Q, k] of
    neighbours. `wanted`: what `loss` holds outputs against, float32 [B, C], of labels. `outcomes`: whether an image is
    right or wrong, so that a figure is a mean over images. `stronger`: weight decays tried beside those of the grid.
    """

    metrics: tuple[Metric, ...]
    fit: Callable[[Tensor, Tensor, int, Sequence[float]], Fits]
    read: Callable[[Tensor], Tensor]
    vote: Callable[[Tensor, Tensor, int], Tensor]
    wanted: Callable[[Tensor, int], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    outcomes: bool = False
    stronger: tuple[float, ...] = ()


def of(labels: np.ndarray) -> Kind:
    """The kind of a split's labels."""
    return KINDS[target(labels)]


def winner(labels: Tensor, votes: Tensor, classes: int) -> Tensor:
    """The class with most votes, int64 [Q], from labels and votes [Q, k]; of equals, the lowest class."""
    return votes.new_zeros(len(votes), classes).scatter_add_(1, labels, votes).argmax(dim=1)


def weighted_mean(labels: Tensor, votes: Tensor, outputs: int) -> Tensor:
    """The mean of neighbours' labels [Q, k, L] or numbers [Q, k], weighted by their votes [Q, k]: [Q, L] or [Q]."""
    weights = votes.double() / votes.double().sum(dim=1, keepdim=True)
    parts = zip(labels.split(CHUNK), weights.split(CHUNK), strict=True)
    return torch.cat([torch.einsum("qk,qk...->q...", weight, part.double()) for part, weight in parts])


def _regression(x: Tensor, y: Tensor, outputs: int, weight_decays: Sequence[float]) -> Fits:
    """Ridge regression in float64."""
    mean = y.double().mean()
    weights = ridge.solve(x.double(), y.double()[:, None] - mean, weight_decays)
    return weights.transpose(1, 2).float(), mean.float().expand(len(weight_decays), 1)


KINDS: dict[Target, Kind] = {
    "class": Kind(
        metrics=(accuracy, macro_f1),
        fit=logistic.solve,
        read=lambda outputs: outputs.argmax(dim=1),
        vote=winner,
        wanted=lambda labels, outputs: F.one_hot(labels, outputs).float(),
        loss=F.cross_entropy,
        outcomes=True,
    ),
    "labels": Kind(
        metrics=(mean_average_precision,),
        fit=lambda x, y, outputs, weight_decays: logistic.solve_each(x, y, weight_decays),
        # A diverged network ranks no image above another; NaN would rank them by their order, in which labels may be.
        read=lambda outputs: outputs.nan_to_num(nan=0.0),
        vote=weighted_mean,
        wanted=lambda labels, outputs: labels.float(),
        loss=F.binary_cross_entropy_with_logits,
    ),
    "number": Kind(
        metrics=(r2,),
        fit=_regression,
        # A diverged network says no more than train's mean; R² would be NaN, than which no other rate's is larger.
        read=lambda outputs: outputs[:, 0].nan_to_num(nan=0.0, posinf=0.0, neginf=0.0),
        vote=weighted_mean,
        wanted=lambda labels, outputs: labels.float()[:, None],
        loss=F.mse_loss,
        # A grid for logits stops short of it: the strongest leaves the mean alone, so that what tells nothing reads 0.
        stronger=(1e1, 1e2, 1e3),
    ),
}
