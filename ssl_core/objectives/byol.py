"""BYOL: Grill et al., 2020, arXiv:2006.07733.

The predictor q, on the student's side alone, tells the teacher's embedding of the other view (equation 2):

    d(q, z') = |q / |q| - z' / |z'||^2 = 2 - 2 cos(q, z')
    loss     = mean over images of d(q(z_1), z'_2) + d(q(z_2), z'_1)

No gradient reaches z'; the teacher follows the student as an exponential moving average, whose momentum rises to 1.
Normalisation: the paper's and the authors', the sum of the two directions.

Deviations: momentum starts from 0.99, as the authors' for 100 and 300 epochs (0.996 for 1000). The linear layers before
a batch norm have no bias. Both views pass the networks in one batch. More than two views, which the paper has not:
twice the mean of d over all pairs of a global view, the target, and another. Without a momentum encoder z' is the
student's own embedding, its gradient stopped: SimSiam with another projector, and 4 times its loss plus 4.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import MomentumConfig, predictor
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, directions
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class BYOLConfig(JointEmbeddingConfig):
    """The hidden width of the predictor; the paper has a momentum encoder."""

    name: Literal["byol"]
    predictor: int = 256
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; its hidden layer is at least 1 wide")


class BYOL(JointEmbedding):
    """Each view's prediction is the teacher's embedding of the other."""

    family: ClassVar[str] = "joint-embedding, distillation"

    def __init__(self, config: BYOLConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.predictor = predictor(config.predictor, self.embedding_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The distance of the predictions to their targets: twice the mean, the sum of the two directions."""
        z = self.embed(views)
        targets = self.targets(views, z)
        q = self.predictor(torch.cat(z)).chunk(len(z))
        losses = [distance(q[view], targets[target]) for view, target in directions(views)]
        return {"prediction": 2 * torch.stack(losses).mean()}


@in_float32
def distance(q_ND: Tensor, target_ND: Tensor) -> Tensor:
    """The mean squared distance of predictions and targets [N, D] on the unit sphere (equation 2)."""
    return 2 - 2 * F.cosine_similarity(q_ND, target_ND).mean()
