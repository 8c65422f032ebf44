"""The baseline that can be downloaded: a backbone with weights that somebody else trained, evaluated as they come."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.objectives.objective import Objective


@dataclass(frozen=True, kw_only=True)
class OffTheShelfConfig:
    """Nothing to set: the weights are the backbone's."""

    name: Literal["off_the_shelf"]


class OffTheShelf(Objective):
    """There is no loss to minimise, so pretraining has no step; seeds differ in the labels that are drawn alone."""

    family: ClassVar[str] = "baseline"
    views: ClassVar[int] = 1
    masked_views: ClassVar[bool] = True
    trained: ClassVar[bool] = False
    weights: ClassVar[Literal["any", "none", "given"]] = "given"

    def __init__(self, config: OffTheShelfConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """No terms."""
        return {}
