"""Teacher, target or momentum encoder: a copy of a network that follows it as an exponential moving average."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class MomentumConfig:
    """The momentum at the first step and at the last; in between half a cosine (BYOL, arXiv:2006.07733)."""

    start: float = 0.99
    end: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not 0 <= value <= 1:
                raise ValueError(f"momentum.{name} is {value}; a momentum is in [0, 1]")

    def at(self, progress: float) -> float:
        """The momentum when the share `progress` of the steps is done."""
        return self.end - (self.end - self.start) * (math.cos(math.pi * progress) + 1) / 2


class Teacher(nn.Module):
    """Copies of networks, which no gradient reaches; `follow` moves their weights to those of the originals."""

    def __init__(self, momentum: MomentumConfig, *networks: nn.Module) -> None:
        super().__init__()
        self.momentum = momentum
        self.networks = nn.ModuleList(copy.deepcopy(network).requires_grad_(False) for network in networks)

    @torch.no_grad()
    def follow(self, progress: float, *networks: nn.Module) -> None:
        """weights <- m weights + (1 - m) weights of the networks. Statistics of batch norms are each network's own."""
        for copied, network in zip(self.networks, networks, strict=True):
            for ours, theirs in zip(copied.parameters(), network.parameters(), strict=True):
                ours.lerp_(theirs, 1 - self.momentum.at(progress))
