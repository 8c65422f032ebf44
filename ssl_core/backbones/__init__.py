"""The union of backbones: one file each, and one name here.

A backbone maps normalised images [B, 3, H, W], of which it may be told the visible patches, to representations `h`
[B, `representation_size`].
"""

from ssl_core.backbones.resnet import ResNet, ResNetConfig
from ssl_core.backbones.vit import ViT, ViTConfig
from ssl_core.errors import Refused

BackboneConfig = ResNetConfig | ViTConfig
Backbone = ResNet | ViT


def check(config: BackboneConfig, image_size: int) -> None:
    """Raise `Refused` where images of `image_size` pixels are too small for the backbone, or not whole patches.

    A ResNet's last features stand `stride` pixels apart: a smaller image would be one position, mostly padding.
    """
    if isinstance(config, ViTConfig):
        if image_size % config.patch:
            raise Refused(f"backbone.patch is {config.patch}; it must divide the image size, {image_size}")
    elif image_size < config.stride:
        raise Refused(
            f"images of {image_size} pixels are smaller than the stride of {config.name} with backbone.stem "
            f"{config.stem}, {config.stride}; take larger images{', or the stem small' if config.stride > 8 else ''}"
        )


def build(config: BackboneConfig, image_size: int) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels; weights from torch's default generator.

    Raises `Refused` as `check` does.
    """
    check(config, image_size)
    if isinstance(config, ViTConfig):
        return ViT(config)
    return ResNet(config)
