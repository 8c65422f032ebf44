"""MoCo v3: Chen, Xie, He, 2021, arXiv:2104.02057.

For the predictions q of one view (backbone, projector, predictor) and the keys k of the other (the teacher's backbone
and projector) of the batch's N images, all of length 1 (equation 1 and algorithm 1):

    ctr(q, k) = mean over i of -log( exp(q_i.k_i / T) / sum_j exp(q_i.k_j / T) )
    loss      = 2 T (ctr(q_1, k_2) + ctr(q_2, k_1))

The other images of the batch, of all processes, are the negatives; there is no queue. Normalisation: the authors' code,
2 T included. The projector ends in a norm without weights and the predictor does not, as in their code for ResNets (for
transformers theirs both do, and the projector has 3 layers). Deviations: T is 0.2, theirs for transformers (1 for
ResNets); a transformer's patch projection is trained here; theirs is frozen. More than two views, which theirs has not:
4 T times the mean of ctr over all pairs of a global view, the key, and another. Without a momentum encoder the keys are
the student's embeddings, without gradients.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import MomentumConfig, ProjectorConfig, predictor
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, directions
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class MoCoV3Config(JointEmbeddingConfig):
    """The temperature, and the hidden width of the predictor."""

    name: Literal["moco_v3"]
    temperature: float = 0.2
    predictor: int = 256
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(last_norm=True))
    momentum: MomentumConfig | None = field(default_factory=lambda: MomentumConfig(start=0.99, end=1.0))

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; it is a hidden width, at least 1")


class MoCoV3(JointEmbedding):
    """A view predicts the teacher's embedding of the other, and none of the batch's other images'."""

    family: ClassVar[str] = "joint-embedding, contrastive"

    def __init__(self, config: MoCoV3Config, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature = config.temperature
        self.predictor = predictor(config.predictor, self.embedding_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The InfoNCE loss of each view's predictions with the others' keys: 2 T times the sum of two directions."""
        z = self.embed(views)
        q = [gather(each) for each in self.predictor(torch.cat(z)).chunk(len(z))]
        k = [gather(each) for each in self.targets(views, z)]
        losses = [info_nce(q[view], k[target], temperature=self.temperature) for view, target in directions(views)]
        return {"info_nce": 4 * self.temperature * torch.stack(losses).mean()}


@in_float32
def info_nce(query_ND: Tensor, key_ND: Tensor, *, temperature: float) -> Tensor:
    """The cross-entropy of each query's own key among the keys of all N images."""
    similarity = F.normalize(query_ND, dim=1) @ F.normalize(key_ND, dim=1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))
