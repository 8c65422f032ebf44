"""Decoupled contrastive learning (DCL, DCLW): Yeh et al., 2021, arXiv:2110.06848.

SimCLR without the positive pair in the denominator. For the 2N embeddings of N images, with s(i, j) the cosine
similarity of z_i and z_j, j(i) the other view of i, and k over the 2N - 2 embeddings of the other images (equation 6):

    l_i  = -w_i s(i, j(i)) / T + log sum_k exp(s(i, k) / T),    loss = mean of l_i over the 2N embeddings
    w_i  = 1, or with a `sigma` (DCLW)  2 - exp(s(i, j(i)) / sigma) / (mean over the N images of the same)

so that an image whose views are alike already weighs less; the weights' mean is 1. Normalisation: the paper's
equations, as a mean where they sum. Deviations: no gradient goes through w, of which the paper says nothing. The
projector's last layer has no batch norm, as SimCLR's here. T is 0.1; the paper's sigma is 0.5. More than two views and
a momentum encoder, which the paper has not, as in SimCLR.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class DCLConfig(JointEmbeddingConfig):
    """The temperature, and sigma of the positive pairs' weights (null: all weigh the same; DCLW has 0.5)."""

    name: Literal["dcl"]
    temperature: float = 0.1
    sigma: float | None = None

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        if self.sigma is not None and self.sigma <= 0:
            raise ValueError(f"sigma is {self.sigma}; it must be above 0, or null for no weights")


class DCL(JointEmbedding):
    """Two views of an image attract, all other images of the batch repel, and neither holds the other back."""

    family: ClassVar[str] = "joint-embedding, contrastive"

    def __init__(self, config: DCLConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature
        self.sigma = config.sigma or math.inf  # of which all weights are 1

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The decoupled loss, a mean over pairs of views."""
        losses = [decoupled(z1, z2, temperature=self.temperature, sigma=self.sigma) for z1, z2 in self.pairs(views)]
        return {"decoupled": torch.stack(losses).mean()}


@in_float32
def decoupled(z1_ND: Tensor, z2_ND: Tensor, *, temperature: float, sigma: float) -> Tensor:
    """The loss of two views' embeddings [N, D], its positive pairs weighted (equation 6)."""
    z = F.normalize(torch.cat([z1_ND, z2_ND]), dim=1)
    own_image = torch.eye(len(z1_ND), dtype=torch.bool, device=z.device).repeat(2, 2)
    negatives = (z @ z.T / temperature).masked_fill(own_image, -torch.inf).logsumexp(dim=1)
    positives = F.cosine_similarity(z1_ND, z2_ND)
    return negatives.mean() - (weights(positives, sigma=sigma) * positives).mean() / temperature


def weights(similarity_N: Tensor, *, sigma: float) -> Tensor:
    """The weights [N] of positive pairs by their similarity, a negative von Mises-Fisher density; their mean is 1."""
    return 2 - len(similarity_N) * (similarity_N.detach() / sigma).softmax(dim=0)
