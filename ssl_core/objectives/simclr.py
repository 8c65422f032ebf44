"""SimCLR: Chen et al., 2020, arXiv:2002.05709.

For the 2N embeddings of N images, with s(i, j) the cosine similarity of z_i and z_j and j(i) the other view of i
(equation 1):

    l_i = -log( exp(s(i, j(i)) / T) / sum_{k != i} exp(s(i, k) / T) ),    loss = mean of l_i over the 2N embeddings.

Normalisation: the paper's; the authors' code has twice that. Deviations: T is 0.2 (0.5 is the paper's best on CIFAR-10,
for long runs); the projector's last layer has no batch norm, as in the paper's text; the authors' code adds one. More
than two views, which the paper has not: the mean of the loss over pairs of views, each as if the two were all there
are, so that an image meets the negatives of its pair alone. With a momentum encoder, which the paper has not, z_i of
one view is the teacher's.
"""

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
class SimCLRConfig(JointEmbeddingConfig):
    """SimCLR's temperature."""

    name: Literal["simclr"]
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")


class SimCLR(JointEmbedding):
    """Two views of an image attract, all other images of the batch repel."""

    family: ClassVar[str] = "joint-embedding, contrastive"

    def __init__(self, config: SimCLRConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The NT-Xent loss, a mean over pairs of views."""
        losses = [nt_xent(z1, z2, temperature=self.temperature) for z1, z2 in self.pairs(views)]
        return {"nt_xent": torch.stack(losses).mean()}


@in_float32
def nt_xent(z1_ND: Tensor, z2_ND: Tensor, *, temperature: float) -> Tensor:
    """Normalised-temperature cross-entropy of two views' embeddings [N, D] (equation 1)."""
    z = F.normalize(torch.cat([z1_ND, z2_ND]), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    positives = torch.arange(len(z), device=z.device).roll(len(z1_ND))
    return F.cross_entropy(similarity, positives)
