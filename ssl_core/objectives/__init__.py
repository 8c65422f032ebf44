"""The union of objectives: one file each, and one line here."""

from ssl_core.backbones import Backbone
from ssl_core.objectives.colourisation import Colourisation, ColourisationConfig
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.i_jepa import IJEPA, IJEPAConfig
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig
from ssl_core.objectives.msn import MSN, MSNConfig
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.random import Random, RandomConfig
from ssl_core.objectives.relative_location import RelativeLocation, RelativeLocationConfig
from ssl_core.objectives.rotation import Rotation, RotationConfig
from ssl_core.objectives.simclr import SimCLR, SimCLRConfig
from ssl_core.objectives.supervised import Supervised, SupervisedConfig
from ssl_core.objectives.vicreg import VICReg, VICRegConfig

ObjectiveConfig = (
    RandomConfig
    | SupervisedConfig
    | DenoisingAutoencoderConfig
    | JigsawConfig
    | RotationConfig
    | RelativeLocationConfig
    | ColourisationConfig
    | SimCLRConfig
    | VICRegConfig
    | MSNConfig
    | IJEPAConfig
)
OBJECTIVES = {
    RandomConfig: Random,
    SupervisedConfig: Supervised,
    DenoisingAutoencoderConfig: DenoisingAutoencoder,
    JigsawConfig: Jigsaw,
    RotationConfig: Rotation,
    RelativeLocationConfig: RelativeLocation,
    ColourisationConfig: Colourisation,
    SimCLRConfig: SimCLR,
    VICRegConfig: VICReg,
    MSNConfig: MSN,
    IJEPAConfig: IJEPA,
}


def build(config: ObjectiveConfig, backbone: Backbone, image_size: int, classes: int) -> Objective:
    """The objective of a configuration around `backbone`; weights from torch's default generator."""
    return OBJECTIVES[type(config)](config, backbone, image_size, classes)


__all__ = ["OBJECTIVES", "Objective", "ObjectiveConfig", "Supervised", "build"]
