"""Denoising autoencoder: Vincent et al., 2008 (ICML), 2010 (JMLR 11).

A view x is corrupted to x~, encoded and decoded; the decoder sees the representation alone:

    loss = mean over pixels of (decoder(backbone(x~)) - x)^2
    x~   = (x + noise e), a share of its square patches set to 0

e standard normal, x normalised (mean 0, variance 1 a channel), so that 0 is the mean colour.
Deviation: the paper's layers are trained one by one; this network is trained at once.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import Decoder
from ssl_core.objectives.objective import Objective
from ssl_core.parallel import drawn


@dataclass(frozen=True, kw_only=True)
class DenoisingAutoencoderConfig:
    """Standard deviation of the noise, share and side in pixels of the patches hidden, channels of the decoder."""

    name: Literal["denoising_autoencoder"]
    noise: float = 0.5
    masked_share: float = 0.25
    patch: int = 4
    decoder_width: int = 32

    def __post_init__(self) -> None:
        if self.noise < 0 or not 0 <= self.masked_share < 1:
            raise ValueError(f"noise is {self.noise}, masked_share {self.masked_share}; noise >= 0, 0 <= share < 1")


class DenoisingAutoencoder(Objective):
    """Restore an image from a corrupted copy of it."""

    family: ClassVar[str] = "generative"
    views: ClassVar[int] = 1

    def __init__(self, config: DenoisingAutoencoderConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.config = config
        self.decoder = Decoder(backbone.representation_size, image_size, config.decoder_width)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The squared error of the restored view."""
        clean = views[0].images.float()
        return {"reconstruction": F.mse_loss(self.decoder(self.backbone(self.corrupt(clean))).float(), clean)}

    def corrupt(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] with noise added and patches hidden, drawn from torch's default generator."""
        b, _, height, width = images.shape
        side = self.config.patch
        hidden = drawn(torch.rand, (b, 1, -(-height // side), -(-width // side)), images.device)
        kept = hidden >= self.config.masked_share
        kept = kept.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
        return (images + self.config.noise * drawn(torch.randn, images.shape, images.device)) * kept

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """Clean, corrupted and restored, a row each."""
        clean = views[0].images.float()
        corrupted = self.corrupt(clean)
        return {"reconstructions": torch.stack([clean, corrupted, self.decoder(self.backbone(corrupted)).float()])}
