"""Networks between a representation and a loss; used in pretraining only."""

from ssl_core.heads.decoder import Decoder
from ssl_core.heads.projector import ProjectorConfig, projector

__all__ = ["Decoder", "ProjectorConfig", "projector"]
