"""The union of backbones: one file each, and one name here.

A backbone maps normalised images [B, 3, H, W], of which it may be told the visible patches, to representations `h`
[B, `representation_size`].
"""

from ssl_core.backbones.resnet import ResNet, ResNetConfig
from ssl_core.backbones.tokens import TokenBackbone, with_tokens
from ssl_core.backbones.vit import ViT, ViTConfig

BackboneConfig = ResNetConfig | ViTConfig
Backbone = ResNet | ViT


def build(config: BackboneConfig, image_size: int) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels; weights from torch's default generator.

    Raises `Refused` as the configuration's `check` does.
    """
    config.check(image_size)
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
    "with_tokens",
]
