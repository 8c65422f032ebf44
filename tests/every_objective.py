"""Every objective with settings for the tests' small images, the backbone that it is tested with, and views for it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core import backbones, objectives
from ssl_core.augmentation import View
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.heads import MomentumConfig
from ssl_core.objectives import OBJECTIVES, Objective
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2Config
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoderConfig
from ssl_core.objectives.jigsaw import JigsawConfig
from ssl_core.objectives.moco_v2 import MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3Config
from ssl_core.objectives.nnclr import NNCLRConfig
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.objectives.supervised import SupervisedConfig
from ssl_core.objectives.swav import SwAVConfig
from ssl_core.objectives.vicreg import VICRegConfig

SIZE, CLASSES = 16, 2

EVERY: dict[str, Any] = {
    "supervised": SupervisedConfig(name="supervised"),
    "denoising_autoencoder": DenoisingAutoencoderConfig(name="denoising_autoencoder"),
    "jigsaw": JigsawConfig(name="jigsaw", gap=0),
    "simclr": SimCLRConfig(name="simclr"),
    "simclr, momentum encoder": SimCLRConfig(name="simclr", momentum=MomentumConfig(start=0.9)),
    "simclr, no projector": SimCLRConfig(name="simclr", projector=None),
    "moco_v2": MoCoV2Config(name="moco_v2", queue=32),
    "moco_v2, no momentum encoder": MoCoV2Config(name="moco_v2", queue=32, momentum=None),
    "moco_v3": MoCoV3Config(name="moco_v3"),
    "nnclr": NNCLRConfig(name="nnclr", queue=32),
    "deepcluster_v2": DeepClusterV2Config(name="deepcluster_v2", clusters=8, memory=32, every=2),
    "swav": SwAVConfig(name="swav", prototypes=8),
    "swav, queue": SwAVConfig(name="swav", prototypes=8, queue=32),
    "vicreg": VICRegConfig(name="vicreg"),
}


def backbone_of(config: Any) -> BackboneConfig:
    """A small transformer where the objective needs one."""
    if OBJECTIVES[type(config)].transformer:
        return ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)
    return ResNetConfig(name="resnet10", width=8)


def build(config: Any, seed: int = 0, size: int = SIZE, backbone: BackboneConfig | None = None) -> Objective:
    """The objective with weights from the seed."""
    torch.manual_seed(seed)
    return objectives.build(config, backbones.build(backbone or backbone_of(config), size), size, CLASSES)


def batch(views: int, count: int = 32, size: int = SIZE) -> tuple[list[View], Tensor]:
    """Views of images that differ by more than noise: each a random 3 x 3 pattern, enlarged."""
    generator = torch.Generator().manual_seed(1)
    images = F.interpolate(torch.randn(count, 3, 3, 3, generator=generator), size)
    noise = 0.1 * torch.randn(views, *images.shape, generator=generator)
    return [View(images + noise[i]) for i in range(views)], torch.arange(count) % CLASSES
