"""LARS: layer-wise adaptive rate scaling (You, Gitman, Ginsburg, 2017, arXiv:1708.03888, algorithm 1).

For a layer's weights w with gradient g, weight decay b, momentum m and learning rate r:

    local = eta |w| / (|g| + b |w|),     v <- m v + r local (g + b w),     w <- w - v.

With `clip`, min(local / r, 1) is in the place of local: r is the most that a layer's rate can be, and with a large eta
LARS is mostly SGD. Biases and norms are neither scaled nor decayed (BYOL, arXiv:2006.07733, appendix C.1): for them
local = 1 and b = 0.

Who has which: the codes of VICReg and Barlow Twins have eta 0.001 and no clip; solo-learn's recipes eta 0.02 and the
clip. A rate that was published for one is another's only with its eta and clip: eta 0.02 without clip, the default
here, moves the weights 20 times as far as eta 0.001 does. Differences that stay: those codes, and solo-learn's, have r
outside of v, w <- w - r v, which is another step only while r changes; and the authors' denominator is |g + b w|,
which is another where b |w| is not small beside |g|.
"""

# pyright: reportPrivateImportUsage=false
# PyTorch's own optimisers are built of the _foreach functions, which it documents and does not export by name.

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Parameter groups with `scaled` True follow the algorithm, those with False plain SGD with momentum.

    The learning rate is the group's `lr`, a number or a tensor on the parameters' device; the weight decay is its
    `weight_decay`, a number, or where it has one its `decay`, such a tensor. No value is read back to the host, so
    that a step can be captured in a CUDA graph.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float | Tensor,
        momentum: float = 0.9,
        eta: float = 0.02,
        clip: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "eta": eta, "clip": clip, "weight_decay": 0.0, "scaled": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the parameters that have gradients."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            gradients: list[Tensor] = [p.grad for p in weights]
            if not weights:
                continue
            velocities = [self._velocity(p) for p in weights]
            if "decay" in group:
                steps = torch._foreach_add(gradients, torch._foreach_mul(weights, group["decay"]))
            else:
                steps = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
            if group["scaled"]:
                torch._foreach_mul_(steps, _factors(weights, gradients, group))
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_mul_(steps, group["lr"])
            torch._foreach_add_(velocities, steps)
            torch._foreach_sub_(weights, velocities)

    def _velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        return state["velocity"]


def _factors(weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """What each layer's step is multiplied by beside r; 1 where the weights or the gradients are all 0."""
    sizes = torch.stack(torch._foreach_norm(weights))
    slopes = torch.stack(torch._foreach_norm(gradients))
    local = group["eta"] * sizes / (slopes + group.get("decay", group["weight_decay"]) * sizes)
    if group["clip"]:
        local = (local / group["lr"]).clamp(max=1)
    return list(torch.where((sizes > 0) & (slopes > 0), local, 1.0).unbind())
