"""The union of backbones: one file each, and one name here."""

from typing import TYPE_CHECKING, Union

from ssl_core.backbones.backbone import Backbone, BackboneSettings, Normalisation, freeze, unreal
from ssl_core.backbones.resnet import ResNet, ResNetConfig
from ssl_core.backbones.timm_models import TimmConfig
from ssl_core.backbones.tokens import TokenBackbone, with_tokens
from ssl_core.backbones.torchvision_models import TorchvisionConfig
from ssl_core.backbones.vit import ViT, ViTConfig

BACKBONES = (
    ResNetConfig,
    ViTConfig,
    TimmConfig,
    TorchvisionConfig,
)

if TYPE_CHECKING:
    BackboneConfig = BackboneSettings
else:
    BackboneConfig = Union[BACKBONES]  # noqa: UP007 (of a tuple)


def build(config: BackboneConfig, image_size: int) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels; weights from torch's default generator.

    It reads no file. Raises `Refused` as the configuration's `check` does.
    """
    config.check(image_size)
    return config.build(image_size)


__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneConfig",
    "BackboneSettings",
    "Normalisation",
    "ResNet",
    "ResNetConfig",
    "TimmConfig",
    "TokenBackbone",
    "TorchvisionConfig",
    "ViT",
    "ViTConfig",
    "build",
    "freeze",
    "unreal",
    "with_tokens",
]
