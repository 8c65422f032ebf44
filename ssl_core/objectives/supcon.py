"""Supervised contrastive learning (SupCon): Khosla et al., 2020, arXiv:2004.11362.

A reference that is given every label, for contrastive objectives as `supervised` is for all. For the 2N embeddings of N
images, with s(i, a) the cosine similarity of z_i and z_a and P(i) the other embeddings of i's class, i's own other view
among them (equation 2, L_out):

    l_i  = -mean over p in P(i) of log( exp(s(i, p) / T) / sum_{a != i} exp(s(i, a) / T) ),    loss = mean of l_i

An image without a label (-1) is a class of its own: its other view alone attracts it. Without any label this is SimCLR.
Normalisation: a mean where the paper's equation sums, as in the authors' code, without that code's factor T / 0.07; T
is 0.1, the paper's. Deviations: the projector's hidden layer has a batch norm. With more than two views, the mean over
pairs of views, where the authors' code compares the embeddings of all views at once. With a momentum encoder (the
authors have one with a queue, for small batches) z_i of one view is the teacher's.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import full_precision
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class SupConConfig(JointEmbeddingConfig):
    """The temperature."""

    name: Literal["supcon"]
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")


class SupCon(JointEmbedding):
    """Views of images of one class attract, those of other classes repel."""

    family: ClassVar[str] = "baseline"
    needs_labels: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True

    def __init__(self, config: SupConConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The supervised contrastive loss, a mean over pairs of views."""
        assert labels is not None, "supervised contrastive learning was given no labels"
        everyones = gather(labels)
        losses = [sup_con(z1, z2, everyones, temperature=self.temperature) for z1, z2 in self.pairs(views)]
        return {"sup_con": torch.stack(losses).mean()}


def sup_con(z1_ND: Tensor, z2_ND: Tensor, labels_N: Tensor, *, temperature: float) -> Tensor:
    """L_out of two views' embeddings [N, D] and the images' labels, int64 [N], -1 for none (equation 2)."""
    with full_precision(z1_ND.device):
        z = F.normalize(torch.cat([z1_ND, z2_ND]).float(), dim=1)
        likelihood = (z @ z.T / temperature).fill_diagonal_(-torch.inf).log_softmax(dim=1)
    same_image = torch.eye(len(labels_N), dtype=torch.bool, device=z.device)
    same_class = (labels_N[:, None] == labels_N) & (labels_N != -1) | same_image
    positive = same_class.repeat(2, 2).fill_diagonal_(False)
    return -(likelihood.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()
