"""Ridge regression for a whole grid of weight decays at once.

minimise  mean |x w + b - y|^2 / 2 + weight_decay / 2 x |w|^2   (the bias is not decayed)

which in the principal axes of X is one division for each axis and weight decay.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_core.evaluation.logistic import principal_axes


def solve(x: Tensor, y: Tensor, weight_decays: Sequence[float]) -> Tensor:
    """Weights [K, D, T] of centred x [N, D] and centred y [N, T], for each of K weight decays."""
    axes = principal_axes(x)
    z = x @ axes
    decay = z.square().mean(dim=0) + x.new_tensor(weight_decays)[:, None]
    return axes @ ((z.T @ y / len(x)) / decay[:, :, None])


def r2(predicted: Tensor, y: Tensor) -> Tensor:
    """1 - the residual's share of the variance of y [N, T], by target: [..., T] of predictions [..., N, T].

    1 where all is told, 0 where no more than the mean of y is, below where less.
    """
    residual = (predicted - y).square().sum(dim=-2)
    return 1 - residual / (y - y.mean(dim=0)).square().sum(dim=0).clamp_min(torch.finfo(y.dtype).tiny)
