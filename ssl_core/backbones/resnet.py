"""Residual networks (He et al., 2015, arXiv:1512.03385) out of torchvision's blocks.

At width 64 with the ImageNet stem, `resnet18` and `resnet50` are torchvision's networks, layer by layer. `resnet10` has
one basic block a stage; at width 16 two CPU cores pretrain it in a minute. The small-image stem is a 3x3 convolution
of stride 1 without a max-pool, as SimCLR used for CIFAR-10 (arXiv:2002.05709, appendix B.9).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from ssl_core.errors import Refused

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

    Block = type[BasicBlock] | type[Bottleneck]

DEPTHS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A residual network: its depth, the channels of its first stage, and its stem."""

    patch: ClassVar[int] = 0  # it has no tokens
    name: Literal["resnet10", "resnet18", "resnet50"]
    width: int = 64
    stem: Literal["small", "imagenet"] = "small"

    def __post_init__(self) -> None:
        if self.width < 8:
            raise ValueError(f"width is {self.width}; at least 8 is needed")

    @property
    def stride(self) -> int:
        """Pixels between two positions of the last features."""
        return 8 if self.stem == "small" else 32

    @property
    def representation_size(self) -> int:
        """Channels of the last features: bottleneck blocks have four times as many."""
        return 8 * self.width * (4 if self.name == "resnet50" else 1)

    def check(self, image_size: int) -> None:
        """Raise `Refused` where images of `image_size` pixels are smaller than the stride.

        They would be one position of the last features, mostly padding.
        """
        if image_size < self.stride:
            raise Refused(
                f"images of {image_size} pixels are smaller than the stride of {self.name} with backbone.stem "
                f"{self.stem}, {self.stride}; take larger images{', or the stem small' if self.stride > 8 else ''}"
            )


class ResNet(nn.Module):
    """Images [B, 3, H, W] to representations [B, D]; D is 8 times the width, 32 times for bottleneck blocks."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        # Imported here: reading a configuration must not cost the seconds that torchvision takes to start.
        from torchvision.models.resnet import BasicBlock, Bottleneck

        block = Bottleneck if config.name == "resnet50" else BasicBlock
        self.representation_size, self.stride = config.representation_size, config.stride
        self.stem = _stem(config)
        stages, channels = [], config.width
        for i, depth in enumerate(DEPTHS[config.name]):
            planes = config.width * 2**i
            stages.append(_stage(block, channels, planes, depth, stride=1 if i == 0 else 2))
            channels = planes * block.expansion
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The last stage's features, averaged over positions in float32 also under autocast.

        Which patches are `visible` makes no difference: a convolution sees the others as they are in the images.
        """
        return self.pool(self.stages(self.stem(images)).float()).flatten(1)


def _stem(config: ResNetConfig) -> nn.Sequential:
    small = config.stem == "small"
    kernel, stride = (3, 1) if small else (7, 2)
    convolution = nn.Conv2d(3, config.width, kernel, stride, padding=kernel // 2, bias=False)
    layers = [convolution, nn.BatchNorm2d(config.width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([] if small else [nn.MaxPool2d(3, stride=2, padding=1)]))


def _stage(block: "Block", channels: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    out = planes * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    first = block(channels, planes, stride, shortcut)
    return nn.Sequential(first, *(block(out, planes) for _ in range(depth - 1)))
