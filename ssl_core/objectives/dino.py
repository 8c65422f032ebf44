"""DINO: Caron et al., 2021, arXiv:2104.14294.

Student and teacher g score an embedding by its cosine similarity with K prototypes; their distributions over the
prototypes agree between different views x, x' (equations 1 to 4):

    P_s(x) = softmax(g_s(x) / T_s),    P_t(x) = softmax((g_t(x) - c) / T_t)
    loss   = mean over images, global views x and all other views x' of  -P_t(x) . log P_s(x')
    c      <- 0.9 c + 0.1 (mean of g_t over the batch, or the part of it worked through, and the global views)

The teacher, prototypes included, follows the student as an exponential moving average. T_t, lower than T_s, sharpens,
the centre c spreads out: neither alone prevents a collapse. Normalisation: the authors' code, the mean over pairs of
views, where the paper's equation 3 sums. The prototypes' length is 1, as the authors' last layer with norm_last_layer.

Deviations: the paper evaluates the teacher, which is the representation `teacher` here; `backbone` is the student.
Momentum starts from 0.99 (the paper's from 0.996) and K is 256 (65536), for short runs; it may exceed the images of a
batch, as nothing shares them out equally. The projector has ReLU and batch norms, where the paper's has GELU and no
norm; the last one, after its output, tells images apart from the first step (without it the loss of short runs stays
near log K). The prototypes learn from the first step, the authors' after an epoch. No gradient is clipped; weight decay
is constant, and shortens the prototypes too, as the authors' does: as their lengths are divided out, this changes how
far a step turns them, and nothing else. More than two global views are all the teacher's; the authors' are two, of 0.4
of the image at least (0.25 in their longer runs; crops as in `multi_crop`), beside eight local ones. T_t is 0.04 from
first to last, where the paper's rises to 0.07: with `teacher_temperature: 0.07` it does, over the share `warmup` of the
steps. Without a momentum encoder the teacher is the student as it is.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core import parallel
from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import MomentumConfig, ProjectorConfig, Prototypes, Teacher
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32

CENTRE_MOMENTUM = 0.9


@dataclass(frozen=True, kw_only=True)
class DINOConfig(JointEmbeddingConfig):
    """The number of prototypes and the temperatures; the teacher's rises over the share `warmup` of the steps."""

    name: Literal["dino"]
    prototypes: int = 256
    student_temperature: float = 0.1
    teacher_temperature_start: float = 0.04
    teacher_temperature: float = 0.04
    warmup: float = 0.3
    projector: ProjectorConfig | None = field(
        default_factory=lambda: ProjectorConfig(layers=3, width=512, output=64, last_norm=True)
    )
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        if self.prototypes < 2:
            raise ValueError(f"prototypes is {self.prototypes}; at least 2 are needed")
        for name in ("student_temperature", "teacher_temperature_start", "teacher_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, 0 <= warmup <= 1")


class DINO(JointEmbedding):
    """All views tell which prototypes the teacher finds in the global ones."""

    centre: Tensor
    teacher_temperature: Tensor

    family: ClassVar[str] = "joint-embedding, distillation"

    def __init__(self, config: DINOConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config
        self.prototypes = Prototypes(self.embedding_size, config.prototypes)
        self.teacher = Teacher(config.momentum, *self.networks()) if config.momentum else None
        self.register_buffer("centre", torch.zeros(config.prototypes))
        first = config.teacher_temperature_start if config.warmup else config.teacher_temperature
        self.register_buffer("teacher_temperature", torch.tensor(first))

    def networks(self) -> tuple[nn.Module, ...]:
        """With the prototypes, so that what is called an embedding are the scores, of the teacher too."""
        return *super().networks(), self.prototypes

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of each pair of a global view, the teacher's, and another, the student's."""
        scores = self.embed(views)
        targets = self.targets(views, scores)
        losses = []
        for i, target in enumerate(targets):
            assigned = sharpened(target, self.centre, self.teacher_temperature)
            others = scores[:i] + scores[i + 1 :]
            losses += [cross_entropy(score, assigned, temperature=self.config.student_temperature) for score in others]
        if self.training:
            self.centre.lerp_(parallel.mean(torch.cat(targets).mean(dim=0)), 1 - CENTRE_MOMENTUM)
        return {"cross_entropy": torch.stack(losses).mean()}

    def after_step(self, progress: float) -> None:
        """Move the teacher, and its temperature towards the last."""
        super().after_step(progress)
        start, end, warmup = self.config.teacher_temperature_start, self.config.teacher_temperature, self.config.warmup
        self.teacher_temperature.fill_(start + (end - start) * (progress / warmup if progress < warmup else 1))


@in_float32
def sharpened(scores_NK: Tensor, centre_K: Tensor, temperature: Tensor) -> Tensor:
    """The teacher's distributions over the prototypes [N, K]."""
    return ((scores_NK - centre_K) / temperature).softmax(dim=1)


@in_float32
def cross_entropy(scores_NK: Tensor, targets_NK: Tensor, *, temperature: float) -> Tensor:
    """The mean cross-entropy of the student's scores with target distributions [N, K]."""
    return -(targets_NK * F.log_softmax(scores_NK / temperature, dim=1)).sum(dim=1).mean()
