"""The union of backbones: one file each, and one name here.

A backbone maps normalised images [B, 3, H, W], of which it may be told the visible patches, to representations `h`
[B, `representation_size`].
"""

from ssl_core.backbones.resnet import ResNet, ResNetConfig
from ssl_core.backbones.tokens import TokenBackbone, with_tokens
from ssl_core.backbones.vit import ViT, ViTConfig

BackboneConfig = ResNetConfig | ViTConfig
Backbone = ResNet | ViT


def check(config: BackboneConfig, image_size: int) -> None:
    """Raise `Refused` where images of `image_size` pixels are too small for the backbone, or not whole patches."""
    config.check(image_size)


def build(config: BackboneConfig, image_size: int) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels; weights from torch's default generator.

    Raises `Refused` as `check` does.
    """
    check(config, image_size)
    match config:
        case ResNetConfig():
            return ResNet(config)
        case ViTConfig():
            return ViT(config)


__all__ = [
    "Backbone",
    "BackboneConfig",
    "ResNet",
    "ResNetConfig",
    "TokenBackbone",
    "ViT",
    "ViTConfig",
    "build",
    "check",
    "with_tokens",
]
