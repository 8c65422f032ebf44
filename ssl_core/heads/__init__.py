"""Networks between a representation and a loss; used in pretraining only."""

from ssl_core.heads.decoder import Decoder
from ssl_core.heads.projector import ProjectorConfig, predictor, projector
from ssl_core.heads.prototypes import Prototypes
from ssl_core.heads.teacher import MomentumConfig, Teacher

__all__ = ["Decoder", "MomentumConfig", "ProjectorConfig", "Prototypes", "Teacher", "predictor", "projector"]
