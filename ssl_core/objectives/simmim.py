"""SimMIM: Xie et al., 2021, arXiv:2111.09886.

A share of an image's patches is hidden, in squares of `square` x `square` that are drawn evenly for each image: their
embeddings are replaced by one learnt mask token, the positions stay. The encoder sees all tokens, and one linear layer
says each hidden patch's pixels:

    loss = mean over the pixels of hidden patches of |linear(backbone(x~)) - x|

Normalisation: the paper's and the authors' code (the sum of absolute errors by the number of hidden pixels).
Deviations: squares are one patch, which fill any image; the authors' ViT hides 2 x 2 patches (32 pixels), which are to
be had by `square: 2` where an image's patches divide into them. The share is rounded to whole squares, where the
authors round up; sine positions, or the backbone's own, in place of relative ones; no gradient is clipped (theirs at
5). Crops are of .2 to 1 of the image, as MAE's, where the authors' are of .67 to 1 (crop.scale); bilinear and
antialiased are both. Transformers with tokens only, where the paper has Swin too: a convolutional network has none to
replace, and with the hidden pixels set to 0 it is the objective denoising_autoencoder with `gaussian: 0`, its masking
noise and `reconstruction: l1`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.augmentation.mask import hidden_count
from ssl_core.backbones import Backbone, BackboneConfig, with_tokens
from ssl_core.backbones.tokens import take
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.patches import draw_places, patchify, with_patches


@dataclass(frozen=True, kw_only=True)
class SimMIMConfig:
    """Share of the patches hidden, and patches a side of the squares that are hidden together."""

    name: Literal["simmim"]
    masked_share: float = 0.6
    square: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share is {self.masked_share}; it must be above 0 and below 1")
        if self.square < 1:
            raise ValueError(f"square is {self.square}; at least 1 is needed")


class SimMIM(Objective):
    """Tell the pixels of hidden patches by one linear layer on the encoder's tokens."""

    family: ClassVar[str] = "generative"
    views: ClassVar[int] = 1
    needs_tokens: ClassVar[bool] = True

    def __init__(self, config: SimMIMConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.patch = with_tokens(backbone).patch
        self.grid = image_size // self.patch
        self.square, squares = config.square, self.grid // config.square
        self.hidden = hidden_count(config.masked_share, squares**2)
        self.mask_token = nn.Parameter(0.02 * torch.randn(backbone.representation_size))
        self.head = nn.Linear(backbone.representation_size, 3 * self.patch**2)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse squares that do not fill the image, and to hide none or all of them."""
        super().check(config, backbone, image_size, batch_size)
        grid = image_size // backbone.patch
        possible = [
            side
            for side in range(1, grid + 1)
            if grid % side == 0 and 0 < hidden_count(config.masked_share, (grid // side) ** 2) < (grid // side) ** 2
        ]
        if config.square not in possible:
            raise ValueError(
                f"square is {config.square} and masked_share {config.masked_share}: an image's {grid} x {grid} patches "
                "must divide into such squares, of which that share hides at least one and leaves one; possible "
                f"squares with this share: {', '.join(map(str, possible)) or 'none, take another or a smaller patch'}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The absolute error of the hidden patches' pixels."""
        images = views[0].images
        visible, hidden = self.draw(images)
        pixels = take(patchify(images.float(), self.patch), hidden)
        return {"reconstruction": F.l1_loss(self.predict(images, visible, hidden), pixels)}

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The places of the visible and of the hidden patches, int64 [B, K] and [B, M], drawn for each image."""
        squares = self.grid // self.square
        visible, hidden = draw_places(len(images), squares**2, self.hidden, images.device)
        return self.within(visible), self.within(hidden)

    def within(self, squares: Tensor) -> Tensor:
        """The places of the patches, int64 [B, N x square^2], within squares [B, N], which count row by row."""
        a_row, inside = self.grid // self.square, torch.arange(self.square, device=squares.device)
        rows = (squares // a_row * self.square)[..., None] + inside
        columns = (squares % a_row * self.square)[..., None] + inside
        return (rows[..., :, None] * self.grid + columns[..., None, :]).flatten(1)

    def predict(self, images: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """The hidden patches' pixels, float32 [B, M, P], of which the encoder sees none."""
        backbone = with_tokens(self.backbone)
        seen = take(backbone.embed(images), visible)
        codes = backbone.positions(self.grid, self.grid).expand(len(seen), -1, -1)
        masked = self.mask_token + take(codes, hidden)
        encoded = backbone.encode(torch.cat([seen, masked], dim=1))
        return self.head(encoded[:, visible.shape[1] :]).float()

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """Original, masked and restored, a row each."""
        images = views[0].images.float()
        visible, hidden = self.draw(images)
        restored = self.predict(images, visible, hidden)
        masked = with_patches(images, hidden, torch.zeros_like(restored), self.patch)
        return {"reconstructions": torch.stack([images, masked, with_patches(images, hidden, restored, self.patch)])}
