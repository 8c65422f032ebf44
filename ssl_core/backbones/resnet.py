"""Residual networks (He et al., 2015, arXiv:1512.03385) out of torchvision's blocks, with torchvision's names.

At width 64 with the ImageNet stem, `resnet18`, `resnet34`, `resnet50` and `resnet101` are torchvision's networks layer
by layer, without the classifier `fc`: a file of theirs fits. `resnet10` has one basic block a stage; at width 16 two
CPU cores pretrain it in a minute. The small-image stem is a 3x3 convolution of stride 1 without a max-pool, as SimCLR
used for CIFAR-10 (arXiv:2002.05709, appendix B.9).

What differs from some authors' networks: the last norm of a residual branch begins at 1, as torchvision's does by
default, where others begin it at 0 (`zero_init_residual`; Goyal et al., 2017, arXiv:1706.02677, section 5.1).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from ssl_core.backbones.backbone import Backbone, BackboneSettings
from ssl_core.errors import Refused

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

    Block = type[BasicBlock] | type[Bottleneck]

DEPTHS = {
    "resnet10": (1, 1, 1, 1),
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
BOTTLENECKS = ("resnet50", "resnet101")


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(BackboneSettings):
    """A residual network: its depth, the channels of its first stage, and its stem."""

    name: Literal["resnet10", "resnet18", "resnet34", "resnet50", "resnet101"]
    width: int = 64
    stem: Literal["small", "imagenet"] = "small"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 8:
            raise ValueError(f"width is {self.width}; at least 8 is needed")

    @property
    def stride(self) -> int:
        """Pixels between two positions of the last features."""
        return 8 if self.stem == "small" else 32

    @property
    def representation_size(self) -> int:
        """Channels of the last features: bottleneck blocks have four times as many."""
        return 8 * self.width * (4 if self.name in BOTTLENECKS else 1)

    @property
    def stages(self) -> int:
        """The stem and the four stages."""
        return 1 + len(DEPTHS[self.name])

    def build(self, image_size: int) -> "ResNet":
        """The network, which is the same for images of any size."""
        return ResNet(self)

    def check(self, image_size: int, view: int | None = None) -> None:
        """Raise `Refused` where images or views are smaller than the stride.

        They would be one position of the last features, mostly padding.
        """
        super().check(image_size, view)
        side = view or image_size
        if side < self.stride:
            raise Refused(
                f"images of {side} pixels are smaller than the stride of {self.name} with backbone.stem "
                f"{self.stem}, {self.stride}; take larger images{', or the stem small' if self.stride > 8 else ''}"
            )


class ResNet(Backbone):
    """Images [B, 3, H, W] to representations [B, D]; D is 8 times the width, 32 times for bottleneck blocks."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        # Imported here: reading a configuration must not cost the seconds that torchvision takes to start.
        from torchvision.models.resnet import BasicBlock, Bottleneck

        block = Bottleneck if config.name in BOTTLENECKS else BasicBlock
        small, channels = config.stem == "small", config.width
        kernel, stride = (3, 1) if small else (7, 2)
        self.representation_size, self.stride = config.representation_size, config.stride
        self.conv1 = nn.Conv2d(3, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        layers = []
        for i, depth in enumerate(DEPTHS[config.name]):
            planes = config.width * 2**i
            layers.append(_stage(block, channels, planes, depth, stride=1 if i == 0 else 2))
            channels = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self) -> list[list[nn.Module]]:
        """The stem, then the four stages."""
        return [[self.conv1, self.bn1], [self.layer1], [self.layer2], [self.layer3], [self.layer4]]

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The last stage's features, averaged over positions in float32 also under autocast.

        Which patches are `visible` makes no difference: a convolution sees the others as they are in the images.
        """
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
        return self.avgpool(features.float()).flatten(1)


def _stage(block: "Block", channels: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    out = planes * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    first = block(channels, planes, stride, shortcut)
    return nn.Sequential(first, *(block(out, planes) for _ in range(depth - 1)))
