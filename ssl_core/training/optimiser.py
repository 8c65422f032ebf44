"""Optimiser and learning-rate schedule of pretraining."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, or SGD with momentum 0.9; `learning_rate` is for a batch of 256 and scales with the batch."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, 0 <= warmup < 1")


def build(config: OptimiserConfig, module: nn.Module, batch_size: int) -> torch.optim.Optimizer:
    """The optimiser of a module's parameters; norms and biases (vectors) are not decayed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = config.learning_rate * batch_size / 256
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=rate)


def schedule(step: int, steps: int, warmup: float) -> float:
    """The factor on the learning rate at a step: a linear rise over the share `warmup`, then half a cosine to 0."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
