"""The upper baseline: the same backbone trained from scratch on every label, with the same budget and the same views.

Its representation has seen all training labels, whatever fraction of them the downstream head is then given. Of several
labels an image it is told each by a logistic regression of its own, of a number by least squares.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.objectives.objective import Objective


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Nothing to set."""

    name: Literal["supervised"]


class Supervised(Objective):
    """Cross-entropy of a linear classifier on the representation; unlabelled images do not count."""

    family: ClassVar[str] = "baseline"
    views: ClassVar[int] = 1
    masked_views: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def __init__(self, config: SupervisedConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.classifier = nn.Linear(backbone.representation_size, classes)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The mean cross-entropy of the labelled images; of numbers the mean squared error."""
        assert labels is not None, "the supervised baseline was given no labels"
        logits = self.classifier(self.backbone(*views[0])).float()
        if labels.is_floating_point():
            error = torch.where(labels.isnan(), 0.0, logits[:, 0] - labels)
            return {"squared_error": error.square().sum() / (~labels.isnan()).sum().clamp(min=1)}
        if labels.dim() == 2:
            known = labels >= 0
            each = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
            return {"cross_entropy": (each * known).sum() / known.sum().clamp(min=1)}
        total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        return {"cross_entropy": total / (labels != -1).sum().clamp(min=1)}
