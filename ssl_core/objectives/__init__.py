"""The union of objectives: one file each, and one name here."""

from typing import TYPE_CHECKING, Protocol, Union

from ssl_core.backbones import Backbone
from ssl_core.objectives.barlow_twins import BarlowTwins, BarlowTwinsConfig
from ssl_core.objectives.byol import BYOL, BYOLConfig
from ssl_core.objectives.colourisation import Colourisation, ColourisationConfig
from ssl_core.objectives.dcl import DCL, DCLConfig
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2, DeepClusterV2Config
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.dino import DINO, DINOConfig
from ssl_core.objectives.i_jepa import IJEPA, IJEPAConfig
from ssl_core.objectives.ibot import IBOT, IBOTConfig
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig
from ssl_core.objectives.lejepa import LeJEPA, LeJEPAConfig
from ssl_core.objectives.mae import MAE, MAEConfig
from ssl_core.objectives.moco_v2 import MoCoV2, MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3, MoCoV3Config
from ssl_core.objectives.msn import MSN, MSNConfig
from ssl_core.objectives.nnbyol import NNBYOL, NNBYOLConfig
from ssl_core.objectives.nnclr import NNCLR, NNCLRConfig
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.off_the_shelf import OffTheShelf, OffTheShelfConfig
from ssl_core.objectives.random import Random, RandomConfig
from ssl_core.objectives.relative_location import RelativeLocation, RelativeLocationConfig
from ssl_core.objectives.rotation import Rotation, RotationConfig
from ssl_core.objectives.simclr import SimCLR, SimCLRConfig
from ssl_core.objectives.simmim import SimMIM, SimMIMConfig
from ssl_core.objectives.simsiam import SimSiam, SimSiamConfig
from ssl_core.objectives.supcon import SupCon, SupConConfig
from ssl_core.objectives.supervised import Supervised, SupervisedConfig
from ssl_core.objectives.swav import SwAV, SwAVConfig
from ssl_core.objectives.vicreg import VICReg, VICRegConfig
from ssl_core.objectives.visreg import VISReg, VISRegConfig
from ssl_core.objectives.w_mse import WMSE, WMSEConfig

OBJECTIVES = {
    RandomConfig: Random,
    OffTheShelfConfig: OffTheShelf,
    SupervisedConfig: Supervised,
    SupConConfig: SupCon,
    DenoisingAutoencoderConfig: DenoisingAutoencoder,
    MAEConfig: MAE,
    SimMIMConfig: SimMIM,
    JigsawConfig: Jigsaw,
    RotationConfig: Rotation,
    RelativeLocationConfig: RelativeLocation,
    ColourisationConfig: Colourisation,
    SimCLRConfig: SimCLR,
    DCLConfig: DCL,
    MoCoV2Config: MoCoV2,
    MoCoV3Config: MoCoV3,
    NNCLRConfig: NNCLR,
    VICRegConfig: VICReg,
    BarlowTwinsConfig: BarlowTwins,
    WMSEConfig: WMSE,
    LeJEPAConfig: LeJEPA,
    VISRegConfig: VISReg,
    BYOLConfig: BYOL,
    NNBYOLConfig: NNBYOL,
    SimSiamConfig: SimSiam,
    DINOConfig: DINO,
    SwAVConfig: SwAV,
    DeepClusterV2Config: DeepClusterV2,
    MSNConfig: MSN,
    IJEPAConfig: IJEPA,
    IBOTConfig: IBOT,
}

if TYPE_CHECKING:

    class ObjectiveConfig(Protocol):
        """A key of `OBJECTIVES`, which its `name` tells from the others."""

        @property
        def name(self) -> str:
            """As params.yaml has it."""
            ...
else:
    ObjectiveConfig = Union[tuple(OBJECTIVES)]  # noqa: UP007 (of a tuple)


def build(config: ObjectiveConfig, backbone: Backbone, image_size: int, classes: int) -> Objective:
    """The objective of a configuration around `backbone`; weights from torch's default generator."""
    return OBJECTIVES[type(config)](config, backbone, image_size, classes)


__all__ = ["OBJECTIVES", "Objective", "ObjectiveConfig", "build"]
