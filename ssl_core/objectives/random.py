"""The lower baseline: a backbone with its initial weights, evaluated like every other."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.objectives.objective import Objective


@dataclass(frozen=True, kw_only=True)
class RandomConfig:
    """Nothing to set."""

    name: Literal["random"]


class Random(Objective):
    """An untrained backbone; there is no loss to minimise, so pretraining has no step."""

    family: ClassVar[str] = "baseline"
    views: ClassVar[int] = 1
    masked_views: ClassVar[bool] = True
    trained: ClassVar[bool] = False
    weights: ClassVar[Literal["any", "none", "given"]] = "none"

    def __init__(self, config: RandomConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """No terms."""
        return {}
