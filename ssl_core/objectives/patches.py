"""Square patches of images, as a backbone's tokens: their pixels, which are hidden, and a decoder for those.

Patches count row by row, as `TokenBackbone.embed` gives them. Which tokens come first makes no difference where they
carry their positions: nothing here is put back in order before it is looked at.
"""

import torch
from torch import Tensor, nn

from ssl_core.augmentation.mask import hidden_count
from ssl_core.backbones.tokens import take
from ssl_core.backbones.vit import Block, positions
from ssl_core.parallel import drawn


def hidden_patches(share: float, patches: int) -> int:
    """How many of an image's patches are hidden. Raises ValueError where it is none or all."""
    hidden = hidden_count(share, patches)
    if not 0 < hidden < patches:
        raise ValueError(
            f"masked_share is {share}, which hides {hidden} of an image's {patches} patches; at least one must be "
            "hidden and one be seen: take another share, or a smaller backbone.patch"
        )
    return hidden


def draw_places(images: int, patches: int, hidden: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The places of the visible and of the hidden patches, int64 [images, patches - hidden] and [images, hidden].

    Drawn for each image from torch's default generator, every choice as likely as any other; in no order.
    """
    order = drawn(torch.rand, (images, patches), device).argsort(dim=1)
    return order[:, hidden:], order[:, :hidden]


def patchify(images: Tensor, side: int) -> Tensor:
    """The pixels of the patches, [B, T, C x side x side], of images [B, C, H, W]."""
    b, channels, height, width = images.shape
    cut = images.reshape(b, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, side: int) -> Tensor:
    """The square images [B, C, S, S] of patches [B, T, C x side x side]."""
    grid = round(patches.shape[1] ** 0.5)
    cut = patches.unflatten(2, (-1, side, side)).unflatten(1, (grid, grid))
    return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def with_patches(images: Tensor, places: Tensor, pixels: Tensor, side: int) -> Tensor:
    """Square images [B, C, S, S] whose patches at the places [B, M] are `pixels` [B, M, C x side x side]."""
    index = places[:, :, None].expand_as(pixels)
    return unpatchify(patchify(images, side).scatter(1, index, pixels), side)


class PatchDecoder(nn.Module):
    """What is at the hidden places, from the tokens of the visible ones: a transformer with its own width.

    Every hidden place enters as one learnt mask token with the place's position, and attends to all others.
    """

    def __init__(self, inputs: int, outputs: int, grid: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.grid, self.width = grid, width
        self.embed = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Outputs [B, M, outputs] at the hidden places [B, M], from the tokens [B, K, inputs] at the visible [B, K]."""
        seen = self.embed(tokens)
        codes = positions(self.grid, self.grid, self.width, seen.device).expand(len(seen), -1, -1)
        asked = self.mask_token + take(codes, hidden)
        decoded = self.norm(self.blocks(torch.cat([seen + take(codes, visible), asked], dim=1)))
        return self.predict(decoded[:, visible.shape[1] :])


def check_decoder(name: str, width: int, depth: int, heads: int) -> None:
    """Raise ValueError, naming the key, where a `PatchDecoder` that an objective calls `name` cannot have this form."""
    for key, value in (("width", width), ("depth", depth), ("heads", heads)):
        if value < 1:
            raise ValueError(f"{name}_{key} is {value}; at least 1 is needed")
    if width % (4 * heads):
        raise ValueError(f"{name}_width is {width}; a multiple of 4 x {name}_heads ({4 * heads}) is needed")
