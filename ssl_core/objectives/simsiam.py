"""SimSiam: Chen and He, 2020, arXiv:2011.10566.

The predictor h tells the embedding of the other view, through which no gradient goes (equations 1 and 4):

    D(p, z)  = -cos(p, stopgrad(z))
    loss     = mean over images of D(h(z_1), z_2) / 2 + D(h(z_2), z_1) / 2,    in [-1, 1]

Normalisation: the paper's and the authors'. The predictor is a bottleneck, a quarter as wide as its input, and the
projector ends in a batch norm, without weights as in the authors' code.

Deviations: the predictor's learning rate decays with the rest; the authors keep it constant, which is a little better.
The predictor's last layer has no bias. Both views pass the networks in one batch. With a momentum encoder, which the
paper does without, z is the teacher's: BYOL with another projector, and a quarter of its loss less 1.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import ProjectorConfig, predictor
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig(JointEmbeddingConfig):
    """The hidden width of the predictor; the projector has a norm after its output too."""

    name: Literal["simsiam"]
    predictor: int = 128
    projector: ProjectorConfig | None = field(
        default_factory=lambda: ProjectorConfig(layers=3, width=512, output=512, last_norm=True)
    )

    def __post_init__(self) -> None:
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; its hidden layer is at least 1 wide")


class SimSiam(JointEmbedding):
    """Each view's prediction is the embedding of the other."""

    family: ClassVar[str] = "joint-embedding, distillation"
    views: ClassVar[int] = 2

    def __init__(self, config: SimSiamConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.predictor = predictor(config.predictor, self.embedding_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The negative cosine similarity of the predictions with their targets."""
        z = self.embed(views)
        t1, t2 = self.targets(views, z)
        p1, p2 = self.predictor(torch.cat(z)).chunk(2)
        return {"similarity": negative_cosine(p1, t2) / 2 + negative_cosine(p2, t1) / 2}


@in_float32
def negative_cosine(p_ND: Tensor, target_ND: Tensor) -> Tensor:
    """The mean of -cos of predictions and targets [N, D] (equation 1)."""
    return -F.cosine_similarity(p_ND, target_ND).mean()
