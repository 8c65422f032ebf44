"""NNCLR: Dwibedi et al., 2021, arXiv:2104.14548.

For the embeddings z and predictions p = predictor(z) of two views of N images, and nn(z) the nearest of the embeddings
of past batches in a queue (the paper's support set), all of length 1 (equation 4 and algorithm 1):

    l(n, p) = mean over i of -log( exp(n_i.p_i / T) / sum_j exp(n_i.p_j / T) )
    loss    = ( l(nn(z_1), p_2) + l(nn(z_2), p_1) ) / 2

View 1's embeddings then go into the queue. Normalisation: the paper's algorithm 1. No gradient reaches the neighbours.
Deviations: the queue is short (98304 in the paper), for short runs; the last norm of the projector has no weights. All
views pass the networks in one batch. More than two views, which the paper has not: the mean of l over all pairs of a
global view, whose neighbours are taken, and another. With a momentum encoder, which the paper has not, the neighbours
are those of the teacher's embeddings, among the teacher's.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import ProjectorConfig, Queue, check_whole_batches, predictor
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, directions
from ssl_core.objectives.moco_v3 import info_nce
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class NNCLRConfig(JointEmbeddingConfig):
    """The temperature, the number of embeddings in the queue, and the hidden width of the predictor."""

    name: Literal["nnclr"]
    temperature: float = 0.1
    queue: int = 4096
    predictor: int = 256
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, last_norm=True))

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; it is a hidden width, at least 1")


class NNCLR(JointEmbedding):
    """A view predicts the nearest neighbour of the other: another image's embedding, as a rule."""

    family: ClassVar[str] = "joint-embedding, contrastive"

    def __init__(self, config: NNCLRConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature
        self.predictor = predictor(config.predictor, self.embedding_size)
        self.queue = Queue(config.queue, self.embedding_size)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a queue that does not hold whole batches."""
        super().check(config, backbone, image_size, batch_size)
        check_whole_batches("queue", config.queue, batch_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The InfoNCE loss of each global view's neighbours with the other views' predictions."""
        z = self.embed(views)
        p = [gather(each) for each in self.predictor(torch.cat(z)).chunk(len(z))]
        targets, queue = self.targets(views, z), self.queue()
        n = [gather(nearest(each, queue)) for each in targets]
        losses = [info_nce(n[target], p[view], temperature=self.temperature) for view, target in directions(views)]
        if self.training:
            self.queue.push(gather(targets[0]))
        return {"info_nce": torch.stack(losses).mean()}


@in_float32
def nearest(z_ND: Tensor, queue_QD: Tensor) -> Tensor:
    """The row of the queue, whose rows have length 1, that is nearest to each embedding: [N, D]."""
    return queue_QD[(F.normalize(z_ND, dim=1) @ queue_QD.T).argmax(dim=1)]
