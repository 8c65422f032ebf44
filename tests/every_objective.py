"""Every objective with settings for the tests' small images, the backbone that it is tested with, and views for it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core import backbones, objectives
from ssl_core.augmentation import Recipe, View
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.heads import MomentumConfig, ProjectorConfig
from ssl_core.objectives import OBJECTIVES, Objective
from ssl_core.objectives.barlow_twins import BarlowTwinsConfig
from ssl_core.objectives.byol import BYOLConfig
from ssl_core.objectives.colourisation import ColourisationConfig
from ssl_core.objectives.dcl import DCLConfig
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2Config
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoderConfig
from ssl_core.objectives.dino import DINOConfig
from ssl_core.objectives.i_jepa import IJEPAConfig
from ssl_core.objectives.ibot import IBOTConfig
from ssl_core.objectives.jigsaw import JigsawConfig
from ssl_core.objectives.lejepa import LeJEPAConfig
from ssl_core.objectives.mae import MAEConfig
from ssl_core.objectives.moco_v2 import MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3Config
from ssl_core.objectives.msn import MSNConfig
from ssl_core.objectives.nnbyol import NNBYOLConfig
from ssl_core.objectives.nnclr import NNCLRConfig
from ssl_core.objectives.relative_location import RelativeLocationConfig
from ssl_core.objectives.rotation import RotationConfig
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.objectives.simmim import SimMIMConfig
from ssl_core.objectives.simsiam import SimSiamConfig
from ssl_core.objectives.supcon import SupConConfig
from ssl_core.objectives.supervised import SupervisedConfig
from ssl_core.objectives.swav import SwAVConfig
from ssl_core.objectives.vicreg import VICRegConfig
from ssl_core.objectives.visreg import VISRegConfig
from ssl_core.objectives.w_mse import WMSEConfig

SIZE, CLASSES = 16, 2
QUICK = MomentumConfig(start=0.9)
EXPANDER = ProjectorConfig(layers=3, width=64, output=64)

EVERY: dict[str, Any] = {
    "supervised": SupervisedConfig(name="supervised"),
    "supcon": SupConConfig(name="supcon"),
    "denoising_autoencoder": DenoisingAutoencoderConfig(name="denoising_autoencoder"),
    "denoising_autoencoder, salt and pepper, ssim": DenoisingAutoencoderConfig(
        name="denoising_autoencoder", gaussian=0.0, salt_and_pepper=0.2, masked_share=0.0, reconstruction="ssim"
    ),
    "denoising_autoencoder, features": DenoisingAutoencoderConfig(
        name="denoising_autoencoder", reconstruction="features"
    ),
    "mae": MAEConfig(name="mae", decoder_width=24, decoder_depth=1, decoder_heads=2),
    "mae, plain pixels": MAEConfig(name="mae", normalised=False, decoder_depth=1),
    "simmim": SimMIMConfig(name="simmim", square=2),
    "jigsaw": JigsawConfig(name="jigsaw", gap=0),
    "rotation": RotationConfig(name="rotation"),
    "rotation, eight angles": RotationConfig(name="rotation", angles=8),
    "relative_location": RelativeLocationConfig(name="relative_location", gap=1),
    "colourisation": ColourisationConfig(name="colourisation", bins=5),
    "simclr": SimCLRConfig(name="simclr"),
    "simclr, momentum encoder": SimCLRConfig(name="simclr", momentum=MomentumConfig(start=0.9)),
    "simclr, no projector": SimCLRConfig(name="simclr", projector=None),
    "dcl": DCLConfig(name="dcl"),
    "dcl, weighted": DCLConfig(name="dcl", sigma=0.5),
    "moco_v2": MoCoV2Config(name="moco_v2", queue=32),
    "moco_v2, no momentum encoder": MoCoV2Config(name="moco_v2", queue=32, momentum=None),
    "moco_v3": MoCoV3Config(name="moco_v3"),
    "moco_v3, no momentum encoder": MoCoV3Config(name="moco_v3", momentum=None),
    "nnclr": NNCLRConfig(name="nnclr", queue=32),
    "nnclr, momentum encoder": NNCLRConfig(name="nnclr", queue=32, momentum=QUICK),
    "deepcluster_v2": DeepClusterV2Config(name="deepcluster_v2", clusters=8, memory=32, every=2, momentum=QUICK),
    "deepcluster_v2, no momentum encoder": DeepClusterV2Config(
        name="deepcluster_v2", clusters=8, memory=32, every=2, momentum=None
    ),
    "swav": SwAVConfig(name="swav", prototypes=8),
    "swav, queue": SwAVConfig(name="swav", prototypes=8, queue=32),
    "vicreg": VICRegConfig(name="vicreg"),
    "vicreg, momentum encoder": VICRegConfig(name="vicreg", momentum=QUICK),
    "msn": MSNConfig(name="msn", prototypes=16),
    "msn, no momentum encoder": MSNConfig(name="msn", prototypes=16, momentum=None),
    "msn, no Sinkhorn": MSNConfig(name="msn", prototypes=16, sinkhorn=False),
    "i_jepa": IJEPAConfig(name="i_jepa", predictor_width=24, predictor_depth=1, predictor_heads=2),
    "ibot": IBOTConfig(name="ibot", prototypes=64, momentum=QUICK),
    "ibot, as DINOv2": IBOTConfig(
        name="ibot", prototypes=64, momentum=QUICK, shared_head=False, centring="sinkhorn", koleo_weight=0.1
    ),
    "ibot, no momentum encoder": IBOTConfig(name="ibot", prototypes=64, momentum=None, shared_head=False),
    "barlow_twins": BarlowTwinsConfig(name="barlow_twins", projector=EXPANDER),
    "barlow_twins, momentum encoder": BarlowTwinsConfig(name="barlow_twins", projector=EXPANDER, momentum=QUICK),
    "w_mse": WMSEConfig(name="w_mse", whitening_size=16, projector=ProjectorConfig(width=64, output=8)),
    "w_mse, plain": WMSEConfig(
        name="w_mse", whitening_size=8, normalised=False, projector=ProjectorConfig(width=64, output=4), momentum=QUICK
    ),
    "lejepa": LeJEPAConfig(name="lejepa", directions=64),
    "lejepa, momentum encoder": LeJEPAConfig(name="lejepa", directions=64, momentum=QUICK),
    "visreg": VISRegConfig(name="visreg", directions=64),
    "visreg, momentum encoder": VISRegConfig(name="visreg", directions=64, momentum=QUICK),
    "byol": BYOLConfig(name="byol", momentum=QUICK),
    "byol, no momentum encoder": BYOLConfig(name="byol", momentum=None),
    "nnbyol": NNBYOLConfig(name="nnbyol", queue=32, momentum=QUICK),
    "simsiam": SimSiamConfig(name="simsiam"),
    "simsiam, constant predictor rate": SimSiamConfig(name="simsiam", constant_predictor_rate=True),
    "dino": DINOConfig(name="dino", prototypes=64, momentum=QUICK),
}


def backbone_of(config: Any) -> BackboneConfig:
    """A small transformer where the objective needs one, or makes tiles too small for a residual network."""
    if OBJECTIVES[type(config)].needs_tokens or isinstance(config, RelativeLocationConfig):
        return ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)
    return ResNetConfig(name="resnet10", width=8)


def uncoloured(config: Any) -> list[Recipe]:
    """Views that are cropped and flipped: colours take a third of a small network's step."""
    return [Recipe(views=OBJECTIVES[type(config)].views, jitter=None, greyscale=0.0, blur=None)]


def build(config: Any, seed: int = 0, size: int = SIZE, backbone: BackboneConfig | None = None) -> Objective:
    """The objective with weights from the seed; one thread, which is quicker for networks this small."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return objectives.build(config, backbones.build(backbone or backbone_of(config), size), size, CLASSES)


@torch.no_grad()
def halve_student(objective: Objective) -> None:
    """Make the student another network than its teacher."""
    for p in objective.backbone.parameters():
        p.mul_(0.5)


def batch(views: int, count: int = 32, size: int = SIZE) -> tuple[list[View], Tensor]:
    """Views of images that differ by more than noise: each a random 3 x 3 pattern, enlarged."""
    generator = torch.Generator().manual_seed(1)
    images = F.interpolate(torch.randn(count, 3, 3, 3, generator=generator), size)
    noise = 0.1 * torch.randn(views, *images.shape, generator=generator)
    return [View(images + noise[i]) for i in range(views)], torch.arange(count) % CLASSES
