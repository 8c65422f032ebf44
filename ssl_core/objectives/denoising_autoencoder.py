"""Denoising autoencoder: Vincent et al., 2008 (ICML), 2010 (JMLR 11).

A view x is corrupted to x~, encoded and decoded; the decoder sees the representation alone:

    loss = distance(decoder(backbone(x~)), x)
    x~   = x + gaussian e, then a share of its pixels black or white, then a share of its square patches set to 0

e standard normal; x standardised (mean 0, variance 1 a channel), so that 0 is the mean colour. A pixel of salt and
pepper is -2 or 2 in all channels, with the same chance. Each corruption is 0 where it is switched off; with all of them
off this is a plain autoencoder. The distance is the mean squared error, as in the paper of 2010 (that of
2008 has the cross-entropy, of values from 0 to 1), or another of `reconstruction.py`. Deviations: the paper's layers
are trained one by one, this network at once; its masking noise hides single pixels, which is `patch: 1` here.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import Decoder
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.reconstruction import BLACK, WHITE, WINDOW, Reconstruction, distance
from ssl_core.parallel import drawn


@dataclass(frozen=True, kw_only=True)
class DenoisingAutoencoderConfig:
    """Standard deviation of the Gaussian noise, share of the pixels that become salt or pepper, share and side in
    pixels of the patches hidden; distance of restored and clean images; channels of the decoder.
    """

    name: Literal["denoising_autoencoder"]
    gaussian: float = 0.5
    salt_and_pepper: float = 0.0
    masked_share: float = 0.25
    patch: int = 4
    reconstruction: Reconstruction = "l2"
    decoder_width: int = 32

    def __post_init__(self) -> None:
        if self.gaussian < 0:
            raise ValueError(f"gaussian is {self.gaussian}; a standard deviation is 0 or more")
        for name, share in (("salt_and_pepper", self.salt_and_pepper), ("masked_share", self.masked_share)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; a share of the image is 0 or more and below 1")
        if self.patch < 1:
            raise ValueError(f"patch is {self.patch}; a side in pixels is 1 or more")
        if self.decoder_width < 2:
            raise ValueError(f"decoder_width is {self.decoder_width}; at least 2 channels are needed")


class DenoisingAutoencoder(Objective):
    """Restore an image from a corrupted copy of it."""

    family: ClassVar[str] = "generative"
    views: ClassVar[int] = 1

    def __init__(self, config: DenoisingAutoencoderConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.config = config
        self.decoder = Decoder(backbone.representation_size, image_size, config.decoder_width)
        self.distance = distance(config.reconstruction)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Raise ValueError where the images are smaller than SSIM's window."""
        super().check(config, backbone, image_size, batch_size)
        if config.reconstruction == "ssim" and image_size < WINDOW:
            raise ValueError(
                f"reconstruction is ssim, whose window has {WINDOW} pixels, and images have {image_size}; take l1 or l2"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The distance of the restored view from the clean one."""
        clean = views[0].images.float()
        return {"reconstruction": self.distance(self.restore(self.corrupt(clean), views[0].visible), clean)}

    def restore(self, corrupted: Tensor, visible: Tensor | None) -> Tensor:
        """The decoded images, float32 [B, 3, H, W]."""
        return self.decoder(self.backbone(corrupted, visible)).float()

    def corrupt(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] with each corruption that is on, drawn from torch's default generator."""
        b, _, height, width = images.shape
        side, device = self.config.patch, images.device
        if self.config.gaussian:
            images = images + self.config.gaussian * drawn(torch.randn, images.shape, device)
        if self.config.salt_and_pepper:
            chance = drawn(torch.rand, (b, 1, height, width), device) / self.config.salt_and_pepper
            images = torch.where(chance < 0.5, BLACK, torch.where(chance < 1, WHITE, images))
        if self.config.masked_share:
            kept = drawn(torch.rand, (b, 1, -(-height // side), -(-width // side)), device) >= self.config.masked_share
            images = images * kept.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
        return images

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """Clean, corrupted and restored, a row each."""
        clean = views[0].images.float()
        corrupted = self.corrupt(clean)
        return {"reconstructions": torch.stack([clean, corrupted, self.restore(corrupted, views[0].visible)])}
