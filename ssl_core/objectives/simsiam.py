"""SimSiam: Chen and He, 2020, arXiv:2011.10566.

The predictor h tells the embedding of the other view, through which no gradient goes (equations 1 and 4):

    D(p, z)  = -cos(p, stopgrad(z))
    loss     = mean over images of D(h(z_1), z_2) / 2 + D(h(z_2), z_1) / 2,    in [-1, 1]

Normalisation: the paper's and the authors'. More than two views are FastSiam (Pototzky, Sultan, Schmidt-Thieme, 2022,
GCPR, LNCS 13485), which has 4: each view tells the mean of the other global views' embeddings, which is a steadier
target, and the loss is the mean over the views. That is not the mean over pairs, which other objectives have: lengths
count in the mean of embeddings. The predictor is a bottleneck, a quarter as wide as its input, and the
projector ends in a batch norm, without weights as in the authors' code.

Deviations: the predictor's learning rate warms up and decays with the rest, which short runs were tuned with; the
authors keep it constant (table 1: 68.1 against 67.7), as `constant_predictor_rate: true` does, from the first step on,
as they have no warm-up. The predictor's last layer has no bias. Both views pass the networks in one batch. With a
momentum encoder, which the paper does without, z is the teacher's: BYOL with another projector, and a quarter of its
loss less 1.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import ProjectorConfig, predictor
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig(JointEmbeddingConfig):
    """The predictor's hidden width, and whether its rate is constant; the projector has a norm after its output too."""

    name: Literal["simsiam"]
    predictor: int = 128
    constant_predictor_rate: bool = False
    projector: ProjectorConfig | None = field(
        default_factory=lambda: ProjectorConfig(layers=3, width=512, output=512, last_norm=True)
    )

    def __post_init__(self) -> None:
        if self.predictor < 1:
            raise ValueError(f"predictor is {self.predictor}; its hidden layer is at least 1 wide")


class SimSiam(JointEmbedding):
    """Each view's prediction is the embedding of the other."""

    family: ClassVar[str] = "joint-embedding, distillation"

    def __init__(self, config: SimSiamConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.predictor = predictor(config.predictor, self.embedding_size)
        self.constant_predictor_rate = config.constant_predictor_rate

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The negative cosine similarity of each view's predictions with the mean of the other global views."""
        z = self.embed(views)
        targets = self.targets(views, z)
        losses = []
        for view, p in enumerate(self.predictor(torch.cat(z)).chunk(len(z))):
            others = torch.stack(targets[:view] + targets[view + 1 :]).float()
            losses.append(negative_cosine(p, others.mean(dim=0)))
        return {"similarity": torch.stack(losses).mean()}

    def constant_rate(self) -> list[nn.Parameter]:
        """The predictor's parameters, where it has a constant rate."""
        return list(self.predictor.parameters()) if self.constant_predictor_rate else []


@in_float32
def negative_cosine(p_ND: Tensor, target_ND: Tensor) -> Tensor:
    """The mean of -cos of predictions and targets [N, D] (equation 1)."""
    return -F.cosine_similarity(p_ND, target_ND).mean()
