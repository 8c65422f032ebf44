"""One backbone of each kind, small enough for tests, for images of `SIZE` pixels."""

from typing import Any

import torch

from ssl_core import backbones
from ssl_core.backbones import Backbone, ResNetConfig, TimmConfig, TorchvisionConfig, ViTConfig

SIZE = 32


def timm(model: str, input_size: int) -> TimmConfig:
    return TimmConfig(name="timm", model=model, input_size=input_size)


EVERY: dict[str, Any] = {
    "resnet": ResNetConfig(name="resnet10", width=8),
    "vit": ViTConfig(name="vit", patch=8, width=24, depth=2, heads=2),
    "vit, class token": ViTConfig(name="vit", patch=8, width=24, depth=3, heads=2, class_token=True, registers=2),
    "timm, ResNet": timm("test_resnet", 32),
    "timm, ConvNeXt": timm("test_convnext", 64),
    "timm, EfficientNet": timm("test_efficientnet", 48),
    "timm, windows": timm("test_coatnet", 64),
    "timm, ViT": timm("test_vit", 64),
    "timm, ViT with registers": timm("test_vit2", 32),
    "timm, ViT with attention pooling": timm("test_vit3", 32),
    "timm, relative positions": timm("test_vit_relpos", 32),
    "torchvision": TorchvisionConfig(name="torchvision", model="shufflenet_v2_x0_5", input_size=64),
}


def build(config: Any, seed: int = 0) -> Backbone:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return backbones.build(config, SIZE)


def images(count: int = 4, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
