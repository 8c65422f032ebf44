"""The union of objectives: one file each, and one line here."""

from ssl_core.backbones import Backbone
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2, DeepClusterV2Config
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig
from ssl_core.objectives.moco_v2 import MoCoV2, MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3, MoCoV3Config
from ssl_core.objectives.nnclr import NNCLR, NNCLRConfig
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.random import Random, RandomConfig
from ssl_core.objectives.simclr import SimCLR, SimCLRConfig
from ssl_core.objectives.supervised import Supervised, SupervisedConfig
from ssl_core.objectives.swav import SwAV, SwAVConfig
from ssl_core.objectives.vicreg import VICReg, VICRegConfig

ObjectiveConfig = (
    RandomConfig
    | SupervisedConfig
    | DenoisingAutoencoderConfig
    | JigsawConfig
    | SimCLRConfig
    | MoCoV2Config
    | MoCoV3Config
    | NNCLRConfig
    | VICRegConfig
    | DeepClusterV2Config
    | SwAVConfig
)
OBJECTIVES = {
    RandomConfig: Random,
    SupervisedConfig: Supervised,
    DenoisingAutoencoderConfig: DenoisingAutoencoder,
    JigsawConfig: Jigsaw,
    SimCLRConfig: SimCLR,
    MoCoV2Config: MoCoV2,
    MoCoV3Config: MoCoV3,
    NNCLRConfig: NNCLR,
    VICRegConfig: VICReg,
    DeepClusterV2Config: DeepClusterV2,
    SwAVConfig: SwAV,
}


def build(config: ObjectiveConfig, backbone: Backbone, image_size: int, classes: int) -> Objective:
    """The objective of a configuration around `backbone`; weights from torch's default generator."""
    return OBJECTIVES[type(config)](config, backbone, image_size, classes)


__all__ = ["OBJECTIVES", "Objective", "ObjectiveConfig", "Supervised", "build"]
