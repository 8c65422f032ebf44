"""Optimiser and learning-rate schedule of pretraining."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_core.training.lars import LARS


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, or SGD or LARS with momentum 0.9; `learning_rate` is for a batch of 256 and scales with the batch."""

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, 0 <= warmup < 1")


def build(config: OptimiserConfig, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a module's parameters; norms and biases (vectors) are not decayed.

    Its learning rate is a tensor on the parameters' device, which `set_rate` sets: a captured step reads it anew.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    # Each group needs a tensor of its own: a checkpoint restores them one by one.
    for group in groups:
        group["lr"] = torch.zeros((), device=trained[0].device)
    zero = torch.zeros((), device=trained[0].device)
    match config.name:
        case "adamw":
            capturable = zero.device.type == "cuda"
            return torch.optim.AdamW(groups, lr=zero, fused=True, capturable=capturable)
        case "sgd":
            return torch.optim.SGD(groups, lr=zero, momentum=0.9, fused=True)
        case "lars":
            groups[1]["scaled"] = False
            return LARS(groups, lr=zero)


def set_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        lr: Tensor = group["lr"]
        lr.fill_(value)


def rate(config: OptimiserConfig, step: int, steps: int, batch_size: int) -> float:
    """The learning rate of a step, scaled with the batch (linear scaling, Goyal et al., 2017, arXiv:1706.02677)."""
    return config.learning_rate * batch_size / 256 * schedule(step, steps, config.warmup)


def schedule(step: int, steps: int, warmup: float) -> float:
    """The factor on the learning rate at a step: a linear rise over the share `warmup`, then half a cosine to 0."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
