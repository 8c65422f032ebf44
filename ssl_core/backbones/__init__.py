"""The union of backbones: one file each, and one name here.

A backbone maps normalised images [B, 3, H, W] to representations `h` [B, `representation_size`].
"""

from ssl_core.backbones.resnet import ResNet, ResNetConfig
from ssl_core.backbones.vit import ViT, ViTConfig

BackboneConfig = ResNetConfig | ViTConfig
Backbone = ResNet | ViT


def build(config: BackboneConfig, image_size: int) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels; weights from torch's default generator."""
    if isinstance(config, ViTConfig):
        return ViT(config, image_size)
    return ResNet(config)
