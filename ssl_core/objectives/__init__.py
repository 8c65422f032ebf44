"""The union of objectives: one file each, and one line here."""

from ssl_core.backbones import Backbone
from ssl_core.objectives.barlow_twins import BarlowTwins, BarlowTwinsConfig
from ssl_core.objectives.byol import BYOL, BYOLConfig
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.dino import DINO, DINOConfig
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig
from ssl_core.objectives.lejepa import LeJEPA, LeJEPAConfig
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.random import Random, RandomConfig
from ssl_core.objectives.simclr import SimCLR, SimCLRConfig
from ssl_core.objectives.simsiam import SimSiam, SimSiamConfig
from ssl_core.objectives.supervised import Supervised, SupervisedConfig
from ssl_core.objectives.vicreg import VICReg, VICRegConfig
from ssl_core.objectives.w_mse import WMSE, WMSEConfig

ObjectiveConfig = (
    RandomConfig
    | SupervisedConfig
    | DenoisingAutoencoderConfig
    | JigsawConfig
    | SimCLRConfig
    | VICRegConfig
    | BarlowTwinsConfig
    | WMSEConfig
    | LeJEPAConfig
    | BYOLConfig
    | SimSiamConfig
    | DINOConfig
)
OBJECTIVES = {
    RandomConfig: Random,
    SupervisedConfig: Supervised,
    DenoisingAutoencoderConfig: DenoisingAutoencoder,
    JigsawConfig: Jigsaw,
    SimCLRConfig: SimCLR,
    VICRegConfig: VICReg,
    BarlowTwinsConfig: BarlowTwins,
    WMSEConfig: WMSE,
    LeJEPAConfig: LeJEPA,
    BYOLConfig: BYOL,
    SimSiamConfig: SimSiam,
    DINOConfig: DINO,
}


def build(config: ObjectiveConfig, backbone: Backbone, image_size: int, classes: int) -> Objective:
    """The objective of a configuration around `backbone`; weights from torch's default generator."""
    return OBJECTIVES[type(config)](config, backbone, image_size, classes)


__all__ = ["OBJECTIVES", "Objective", "ObjectiveConfig", "Supervised", "build"]
