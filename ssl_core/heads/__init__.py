"""Networks between a representation and a loss; used in pretraining only."""

from ssl_core.heads.decoder import Decoder
from ssl_core.heads.precision import full_precision
from ssl_core.heads.projector import ProjectorConfig, predictor, projector
from ssl_core.heads.prototypes import Prototypes
from ssl_core.heads.queue import Queue, check_whole_batches
from ssl_core.heads.teacher import MomentumConfig, Teacher

__all__ = [
    "Decoder",
    "MomentumConfig",
    "ProjectorConfig",
    "Prototypes",
    "Queue",
    "Teacher",
    "check_whole_batches",
    "full_precision",
    "predictor",
    "projector",
]
