"""Projector (narrows) or expander (widens): a perceptron from the representation `h` to the embedding `z`."""

import itertools
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """Hidden `width`, `output` size and number of linear `layers` of a projector or expander."""

    layers: int = 2
    width: int = 256
    output: int = 128

    def __post_init__(self) -> None:
        for name, value in (("layers", self.layers), ("width", self.width), ("output", self.output)):
            if value < 1:
                raise ValueError(f"{name} is {value}; at least 1 is needed")


def projector(config: ProjectorConfig | None, representation_size: int) -> tuple[nn.Module, int]:
    """The network [B, representation_size] -> [B, D] and its D; the identity when there is no projector."""
    if config is None:
        return nn.Identity(), representation_size
    sizes = [representation_size, *[config.width] * (config.layers - 1)]
    hidden: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        hidden += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], config.output, bias=False)), config.output
