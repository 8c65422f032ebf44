"""NNBYOL: BYOL (Grill et al., 2020, arXiv:2006.07733) with NNCLR's neighbours (Dwibedi et al., 2021, arXiv:2104.14548).

The predictor q, on the student's side alone, tells not the teacher's embedding z' of the other view but the nearest to
it, nn(z'), of the teacher's embeddings of past batches in a queue, all of length 1:

    d(q, n) = |q / |q| - n|^2 = 2 - 2 cos(q, n)
    loss    = mean over images of d(q(z_1), nn(z'_2)) + d(q(z_2), nn(z'_1))

View 1's z' then go into the queue. Normalisation and neighbours: solo-learn's code, which has the method by this name;
no paper of its own. No gradient reaches the neighbours; the teacher follows the student as in BYOL.

Deviations: the queue is short (65536 in solo-learn), for short runs, and holds random directions at first, as theirs.
Momentum as in BYOL here. More than two views, which solo-learn has not: twice the mean over all pairs of a global view,
whose neighbour is the target, and another. Without a momentum encoder z' is the student's own embedding, its gradient
stopped: what solo-learn calls NNSiam, with another projector, and 4 times its loss plus 4.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import MomentumConfig, Queue, check_whole_batches, predictor
from ssl_core.objectives.byol import distance
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, directions
from ssl_core.objectives.nnclr import nearest
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class NNBYOLConfig(JointEmbeddingConfig):
    """The hidden width of the predictor, and the number of embeddings in the queue."""

    name: Literal["nnbyol"]
    predictor: int = 256
    queue: int = 4096
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; its hidden layer is at least 1 wide")


class NNBYOL(JointEmbedding):
    """Each view's prediction is the nearest neighbour of the teacher's embedding of the other."""

    family: ClassVar[str] = "joint-embedding, distillation"

    def __init__(self, config: NNBYOLConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.predictor = predictor(config.predictor, self.embedding_size)
        self.queue = Queue(config.queue, self.embedding_size)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a queue that does not hold whole batches."""
        super().check(config, backbone, image_size, batch_size)
        check_whole_batches("queue", config.queue, batch_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The distance of the predictions to the targets' neighbours: twice the mean, the sum of the two directions."""
        z = self.embed(views)
        q = self.predictor(torch.cat(z)).chunk(len(z))
        targets, queue = self.targets(views, z), self.queue()
        neighbours = [nearest(each, queue) for each in targets]
        losses = [distance(q[view], neighbours[target]) for view, target in directions(views)]
        if self.training:
            self.queue.push(gather(targets[0]))
        return {"prediction": 2 * torch.stack(losses).mean()}
