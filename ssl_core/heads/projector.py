"""Projector (narrows) or expander (widens), from the representation `h` to the embedding `z`; and predictor."""

import itertools
from dataclasses import dataclass
from typing import Literal

from torch import nn

Norm = Literal["batch", "layer", "none"]


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """Number of linear `layers`, hidden `width`, `output` size, and the norm after each hidden layer.

    `last_norm`: the same norm, without its weights, after the output too. A predictor keeps its batch norm whatever the
    projector's.
    """

    layers: int = 2
    width: int = 256
    output: int = 128
    norm: Norm = "batch"
    last_norm: bool = False

    def __post_init__(self) -> None:
        for name, value in (("layers", self.layers), ("width", self.width), ("output", self.output)):
            if value < 1:
                raise ValueError(f"{name} is {value}; at least 1 is needed")
        if self.last_norm and self.norm == "none":
            raise ValueError("last_norm is true and norm is none; set norm to batch or layer")


def projector(config: ProjectorConfig | None, representation_size: int) -> tuple[nn.Module, int]:
    """The perceptron [B, representation_size] -> [B, D] and its D; the identity when there is no projector."""
    if config is None:
        return nn.Identity(), representation_size
    sizes = [representation_size, *[config.width] * (config.layers - 1)]
    hidden: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        hidden += [nn.Linear(inputs, outputs, bias=config.norm == "none"), *_norm(config.norm, outputs)]
        hidden.append(nn.ReLU(inplace=True))
    last = _norm(config.norm, config.output, weighted=False) if config.last_norm else []
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], config.output, bias=False), *last), config.output


def predictor(width: int, size: int) -> nn.Module:
    """The perceptron of one hidden layer from embeddings [B, size] to predictions [B, size] of another branch's."""
    return projector(ProjectorConfig(layers=2, width=width, output=size), size)[0]


def _norm(kind: Norm, size: int, *, weighted: bool = True) -> list[nn.Module]:
    match kind:
        case "batch":
            return [nn.BatchNorm1d(size, affine=weighted)]
        case "layer":
            return [nn.LayerNorm(size, elementwise_affine=weighted)]
        case "none":
            return []
