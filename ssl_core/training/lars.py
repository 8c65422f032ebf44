"""LARS: layer-wise adaptive rate scaling (You, Gitman, Ginsburg, 2017, arXiv:1708.03888, algorithm 1).

For a layer's weights w with gradient g, weight decay b, momentum m and learning rate r:

    local = eta |w| / (|g| + b |w|),     v <- m v + r local (g + b w),     w <- w - v.

Biases and norms are neither scaled nor decayed (BYOL, arXiv:2006.07733, appendix C.1): for them local = 1 and b = 0.
"""

# pyright: reportPrivateImportUsage=false
# PyTorch's own optimisers are built of the _foreach functions, which it documents and does not export by name.

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Parameter groups with `scaled` True follow the algorithm, those with False plain SGD with momentum.

    The learning rate is the group's `lr`, a number or a tensor on the parameters' device. No value is read back to the
    host, so that a step can be captured in a CUDA graph.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float | Tensor, momentum: float = 0.9, eta: float = 0.02):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "eta": eta, "weight_decay": 0.0, "scaled": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the parameters that have gradients."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            gradients: list[Tensor] = [p.grad for p in weights]
            if not weights:
                continue
            velocities = [self._velocity(p) for p in weights]
            steps = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
            if group["scaled"]:
                torch._foreach_mul_(steps, _local_rates(weights, gradients, group["weight_decay"], group["eta"]))
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_mul_(steps, group["lr"])
            torch._foreach_add_(velocities, steps)
            torch._foreach_sub_(weights, velocities)

    def _velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        return state["velocity"]


def _local_rates(weights: list[Tensor], gradients: list[Tensor], weight_decay: float, eta: float) -> list[Tensor]:
    """eta |w| / (|g| + b |w|) of each layer; 1 where the weights or the gradients are all 0."""
    sizes = torch.stack(torch._foreach_norm(weights))
    slopes = torch.stack(torch._foreach_norm(gradients))
    rates = eta * sizes / (slopes + weight_decay * sizes)
    return list(torch.where((sizes > 0) & (slopes > 0), rates, 1.0).unbind())
