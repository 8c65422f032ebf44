"""MoCo v2: He et al., 2019, arXiv:1911.05722 (equation 1), Chen et al., 2020, arXiv:2003.04297.

For the query q of an image, the student's embedding of its view 1, the key k+, the teacher's embedding of its view 2,
and the keys k of the Q images of past batches in a queue, all of length 1:

    l = -log( exp(q.k+ / T) / (exp(q.k+ / T) + sum_k exp(q.k / T)) ),    loss = mean of l over the N images.

The keys k+ then go into the queue. Normalisation: the paper's and the authors'; not symmetrised, as in their code.
Deviations: the authors' momentum is .999 throughout; it rises here from .99, since a short pretraining ends before a
teacher of .999 has followed. The authors shuffle the images among the processes for the keys' batch norms, so that no
query shares its key's statistics; here nothing is shuffled, and the statistics are those of the whole batch of a view
(over all processes). The queue is short (the authors' has 65536), for short runs; the projector has no batch norm, as
the authors' has none, and no bias in its last layer, where theirs has one. More than two views, which the authors have
not: view 2 alone makes keys, all others, global and local, make queries, and the loss is their mean. Without a momentum
encoder the keys are the student's own, without gradients.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import MomentumConfig, ProjectorConfig, Queue, check_whole_batches
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class MoCoV2Config(JointEmbeddingConfig):
    """The temperature, and the number of keys in the queue."""

    name: Literal["moco_v2"]
    temperature: float = 0.2
    queue: int = 4096
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(norm="none"))
    momentum: MomentumConfig | None = field(default_factory=lambda: MomentumConfig(start=0.99, end=0.999))

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")


class MoCoV2(JointEmbedding):
    """Two views of an image attract, the images of past batches repel."""

    family: ClassVar[str] = "joint-embedding, contrastive"

    def __init__(self, config: MoCoV2Config, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature
        self.queue = Queue(config.queue, self.embedding_size)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a queue that does not hold whole batches."""
        super().check(config, backbone, image_size, batch_size)
        check_whole_batches("queue", config.queue, batch_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The InfoNCE loss of all other views' queries with view 2's keys and those of the queue."""
        queries, second = self.embed([*views[:1], *views[2:]]), views[1:2]
        (key,) = self.targets(second, [] if self.teacher else self.embed(second))
        queue = self.queue()
        losses = [info_nce(query, key, queue, temperature=self.temperature) for query in queries]
        if self.training:
            self.queue.push(gather(key))
        return {"info_nce": torch.stack(losses).mean()}


@in_float32
def info_nce(query_ND: Tensor, key_ND: Tensor, queue_QD: Tensor, *, temperature: float) -> Tensor:
    """The cross-entropy of each query's own key among it and the queue's."""
    query, key, queue = (F.normalize(z, dim=1) for z in (query_ND, key_ND, queue_QD))
    similarity = torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue.T], dim=1) / temperature
    return -similarity.log_softmax(dim=1)[:, 0].mean()
