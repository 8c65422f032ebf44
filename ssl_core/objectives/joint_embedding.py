"""What joint-embedding objectives have in common: projector, momentum encoder and any number of views.

Which views of an image are compared, one rule for all, DINO's and SwAV's: each global view is the target of every other
view, global or local (smaller). The loss is the mean over these pairs (where the two can change places, each pair
counts once); of two views it is what the papers have. Every view passes the networks once, however many pairs it is in.
Where the authors of an objective compare more than two views in another way, the objective does, or says how it
differs.

What surrounds the loss is the same for all methods, as params.yaml and methods.yaml say, and not what each paper has.
The optimiser is AdamW with PyTorch's betas (0.9, 0.999), DINO's and MSN's; SimCLR, BYOL, Barlow Twins, VICReg, SwAV and
MoCo v3 with a ResNet have LARS, MoCo v2 and SimSiam SGD, with a momentum of 0.9, which `optimiser: {name: lars}` and
`sgd` have here. Norms and biases are not decayed, prototypes are. The crop takes at least 0.2 of the image, as MoCo
v2's and SimSiam's; SimCLR's, BYOL's, Barlow Twins' and VICReg's 0.08, SwAV's 0.14. It is scaled bilinearly and
antialiased, as the crops of MoCo, SimSiam and SwAV are; those of SimCLR, BYOL, Barlow Twins, VICReg and DINO are
bicubic.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import MomentumConfig, ProjectorConfig, Teacher, projector
from ssl_core.objectives.objective import Objective
from ssl_core.parallel import gather


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

    views: ClassVar[int] = 2
    more_views: ClassVar[bool] = True
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
        """The teacher's embeddings [B, D] of each global view, without gradients; without a momentum encoder `z`'s."""
        count = count_global(views)
        return embed(views[:count], *self.teacher.networks) if self.teacher else [each.detach() for each in z[:count]]

    def pairs(self, views: list[View], prepare: Callable[[Tensor], Tensor] = gather) -> list[tuple[Tensor, Tensor]]:
        """The embeddings of views that are compared, two by two, for a loss in which the two can change places.

        Without a momentum encoder each pair once: (1, 2) of two views. With one, each pair is a view of the student's
        and a global one of the teacher's: (1, the teacher's 2), (2, the teacher's 1). The student's gradient is then
        half of what it is without, as each pair has one embedding of the student's. `prepare` makes what is compared
        of an embedding [B, D], once for each view; by default the rows of all processes.
        """
        z = self.embed(views)
        prepared = [prepare(each) for each in z]
        if self.teacher is None:
            return [(prepared[target], prepared[view]) for view, target in directions(views) if target < view]
        targets = [prepare(each) for each in self.targets(views, z)]
        return [(prepared[view], targets[target]) for view, target in directions(views)]

    def after_step(self, progress: float) -> None:
        """Move the teacher."""
        if self.teacher:
            self.teacher.follow(progress, *self.networks())


def count_global(views: list[View]) -> int:
    """How many views are global: as large as the first. Smaller, local ones follow."""
    return sum(view.images.shape[-1] == views[0].images.shape[-1] for view in views)


def directions(views: list[View]) -> list[tuple[int, int]]:
    """Which view is compared with which target: every one with each global view but itself; (1, 2), (2, 1) of two."""
    return [(view, target) for view in range(len(views)) for target in range(count_global(views)) if target != view]


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
