"""What joint-embedding objectives have in common: projector and momentum encoder, each a switch on any of them."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import MomentumConfig, ProjectorConfig, Teacher, projector
from ssl_core.objectives.objective import Objective


@dataclass(frozen=True, kw_only=True)
class JointEmbeddingConfig:
    """The projector (null: the loss is on the representation) and the momentum encoder (null: none)."""

    projector: ProjectorConfig | None = field(default_factory=ProjectorConfig)
    momentum: MomentumConfig | None = None


class JointEmbedding(Objective):
    """A backbone and a projector, and with a momentum encoder the teacher that follows both.

    All views pass the networks in one batch a size, as in SimCLR's code: a batch norm sees the views together. Some
    authors' code (BYOL's, VICReg's) passes them one after another.
    """

    masked_views: ClassVar[bool] = True

    def __init__(self, config: JointEmbeddingConfig, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.projector_config = config.projector
        self.projector, self.embedding_size = projector(config.projector, backbone.representation_size)
        self.teacher = Teacher(config.momentum, backbone, self.projector) if config.momentum else None

    @classmethod
    def representations(cls, config: JointEmbeddingConfig) -> tuple[str, ...]:
        """With the projector and the teacher where there are any."""
        switched = {"projector": config.projector, "teacher": config.momentum}
        return *super().representations(config), *(name for name, settings in switched.items() if settings)

    def kept(self) -> dict[str, nn.Module]:
        """With the projector and the teacher's backbone where there are any."""
        projected = {} if isinstance(self.projector, nn.Identity) else {"projector": self.projector}
        return super().kept() | projected | ({"teacher": self.teacher.networks[0]} if self.teacher else {})

    def networks(self) -> tuple[nn.Module, ...]:
        """What a view passes in turn to become an embedding, and what the teacher copies."""
        return self.backbone, self.projector

    def embed(self, views: list[View]) -> list[Tensor]:
        """The embeddings [B, D] of each view."""
        return embed(views, *self.networks())

    @torch.no_grad()
    def targets(self, views: list[View], z: list[Tensor]) -> list[Tensor]:
        """The teacher's embeddings [B, D] of each view, without gradients; without a momentum encoder, `z` is them."""
        return embed(views, *self.teacher.networks) if self.teacher else [each.detach() for each in z]

    def pairs(self, views: list[View]) -> list[tuple[Tensor, Tensor]]:
        """The embeddings of two views, to be compared: (1, 2).

        With a momentum encoder two pairs, whose losses' mean is meant: (1, the teacher's 2), (2, the teacher's 1). The
        student's gradient is then half of what it is without, as each pair has one embedding of the student's.
        """
        z = z1, z2 = self.embed(views)
        if self.teacher is None:
            return [(z1, z2)]
        t1, t2 = self.targets(views, z)
        return [(z1, t2), (z2, t1)]

    def after_step(self, progress: float) -> None:
        """Move the teacher."""
        if self.teacher:
            self.teacher.follow(progress, *self.networks())


def embed(views: list[View], backbone: nn.Module, *heads: nn.Module) -> list[Tensor]:
    """Each view through backbone and heads [B, D]; views of one size and number of visible patches go together."""
    forms: dict[tuple[int, int | None], list[int]] = {}
    for i, (images, visible) in enumerate(views):
        forms.setdefault((images.shape[-1], None if visible is None else visible.shape[1]), []).append(i)
    h = [torch.empty(0)] * len(views)
    for group in forms.values():
        parts = backbone(*_together([views[i] for i in group])).chunk(len(group))
        for i, part in zip(group, parts, strict=True):
            h[i] = part
    z = torch.cat(h)
    for head in heads:
        z = head(z)
    return list(z.chunk(len(views)))


def _together(views: list[View]) -> View:
    visible = [view.visible for view in views if view.visible is not None]
    return View(torch.cat([view.images for view in views]), torch.cat(visible) if visible else None)
