"""VICReg: Bardes, Ponce, LeCun, 2021, arXiv:2105.04906.

For two batches of embeddings Z, Z' [N, D] (equations 1 to 6):

    invariance  s = mean over N and D of (Z - Z')^2            (the authors' code; the paper's text sums over D)
    variance    v(Z) = mean over D of max(0, 1 - sqrt(Var(Z_d) + 1e-4))
    covariance  c(Z) = sum over i != j of Cov(Z)_ij^2 / D
    loss = 25 s + 25 (v(Z) + v(Z')) / 2 + 1 (c(Z) + c(Z'))

Normalisation: the authors' code throughout. It halves the variance term, and not the covariance term; the paper's
equation 6 halves neither. The paper's expander is the projector here, wider than the representation. More than two
views, which the paper has not: the mean of the loss over pairs of views. With a momentum encoder (the authors' siamese
architectures need not share weights, section 4.2) Z' is the teacher's.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class VICRegConfig(JointEmbeddingConfig):
    """The three terms' weights; the projector is an expander."""

    name: Literal["vicreg"]
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, width=512, output=512))

    def __post_init__(self) -> None:
        for name in ("invariance", "variance", "covariance"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")


class VICReg(JointEmbedding):
    """Views agree, every embedding dimension varies, no two dimensions tell the same."""

    family: ClassVar[str] = "joint-embedding, regularised"

    def __init__(self, config: VICRegConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The three weighted terms, each a mean over pairs of views."""
        pairs = [terms(z1, z2) for z1, z2 in self.pairs(views)]
        agree, vary, decorrelate = torch.stack(pairs).mean(0)
        return {
            "invariance": self.config.invariance * agree,
            "variance": self.config.variance * vary,
            "covariance": self.config.covariance * decorrelate,
        }


@in_float32
def terms(z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
    """The three terms of two views' embeddings [N, D], without their weights: [3]."""
    vary = (variance(z1_ND) + variance(z2_ND)) / 2
    return torch.stack([F.mse_loss(z1_ND, z2_ND), vary, covariance(z1_ND) + covariance(z2_ND)])


@in_float32
def variance(z_ND: Tensor) -> Tensor:
    """How far each dimension's standard deviation falls short of 1, averaged (equations 1 and 2)."""
    return F.relu(1 - (z_ND.var(dim=0) + 1e-4).sqrt()).mean()


@in_float32
def covariance(z_ND: Tensor) -> Tensor:
    """The squared off-diagonal covariances, summed and divided by D (equations 3 and 4)."""
    n, d = z_ND.shape
    centred = z_ND - z_ND.mean(dim=0)
    cov = centred.T @ centred / (n - 1)
    return (cov.square().sum() - cov.diagonal().square().sum()) / d
