"""Barlow Twins: Zbontar, Jing, Misra, LeCun, Deny, 2021, arXiv:2103.03230.

For two views' embeddings Z, Z' [N, D], every dimension standardised over the batch (equations 1 and 2):

    C_ij = sum over n of Z_ni Z'_nj / N
    loss = scale ( sum over i of (1 - C_ii)^2  +  lambda sum over i != j of C_ij^2 ),    lambda = 0.0051

Normalisation: the authors' code, which divides the variance by N and adds 1e-5 to it, and does not divide the sums over
D. It has no scale (1); 0.1 is solo-learn's on CIFAR-10. The paper's projector is an expander, 8192 wide for a
representation of 2048. More than two views, which the paper has not: the mean of the loss over pairs of views. With a
momentum encoder, which the paper has not, Z' is the teacher's.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsConfig(JointEmbeddingConfig):
    """The weight of the redundancy (lambda) and of the whole; the projector is an expander."""

    name: Literal["barlow_twins"]
    redundancy: float = 0.0051
    scale: float = 0.1
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, width=512, output=512))

    def __post_init__(self) -> None:
        if self.redundancy < 0:
            raise ValueError(f"redundancy is {self.redundancy}; it must be 0 or more")
        if self.scale <= 0:
            raise ValueError(f"scale is {self.scale}; it must be above 0")


class BarlowTwins(JointEmbedding):
    """The cross-correlation of two views' embeddings is the identity."""

    family: ClassVar[str] = "joint-embedding, regularised"

    def __init__(self, config: BarlowTwinsConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The two weighted terms, each a mean over pairs of views."""
        pairs = [terms(z1, z2) for z1, z2 in self.pairs(views)]
        agree, decorrelate = torch.stack(pairs).mean(0)
        scale = self.config.scale
        return {"invariance": scale * agree, "redundancy": scale * self.config.redundancy * decorrelate}


@in_float32
def terms(z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
    """How far the correlations are from 1 on the diagonal and from 0 off it, squared and summed: [2]."""
    correlation = cross_correlation(z1_ND, z2_ND)
    diagonal = correlation.diagonal()
    return torch.stack([(1 - diagonal).square().sum(), (correlation - diagonal.diag()).square().sum()])


@in_float32
def cross_correlation(z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
    """The correlation of each dimension of one view with each of the other over the batch [D, D] (equation 2)."""
    return standardise(z1_ND).T @ standardise(z2_ND) / len(z1_ND)


def standardise(z_ND: Tensor) -> Tensor:
    """Every dimension with mean 0 and variance 1 over the batch, as a batch norm without weights."""
    variance, mean = torch.var_mean(z_ND, dim=0, correction=0)
    return (z_ND - mean) * (variance + 1e-5).rsqrt()
