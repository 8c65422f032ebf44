"""Square patches of images, as a backbone's tokens: their pixels, which are hidden, and a decoder for those.

Patches count row by row, as `TokenBackbone.embed` gives them. Which tokens come first makes no difference where they
carry their positions: nothing here is put back in order before it is looked at.
"""

import math

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


def draw_distances(images: int, grid: int, aspect: float, device: torch.device) -> Tensor:
    """How far each image's patches are from a place drawn evenly in it: float32 [images, grid^2].

    The distance is that in rows or in columns, whichever is larger, so that the nearest K patches are a block, whatever
    K, of which the edge of the image may cut off a part. A block's height by its width is drawn for each image from
    1 / aspect to aspect, its logarithm evenly. From torch's default generator.
    """
    draws = drawn(torch.rand, (images, 3), device)
    stretch = (math.log(aspect) * (draws[:, :1] - 0.5)).exp()
    place, line = grid * draws[:, 1:] - 0.5, torch.arange(grid, device=device)
    rows, columns = (line - place[:, :1]).abs() / stretch, (line - place[:, 1:]).abs() * stretch
    rows, columns = rows[:, :, None].expand(-1, -1, grid), columns[:, None].expand(-1, grid, -1)
    # The smaller one tells apart the patches of a block's last side, which fills from its middle.
    return (torch.maximum(rows, columns) + 1e-3 * torch.minimum(rows, columns)).flatten(1)


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

    Every hidden place enters as one learnt mask token with the place's position, and attends to all others. Without a
    `width` it is `half` of the tokens' `inputs` channels. Positions are fixed sines, whatever the backbone's.
    Deviations from MAE's and I-JEPA's authors: norms add 1e-5 to the variance (1e-6); I-JEPA's predictor begins with
    weights of standard deviation 0.02, smaller in later blocks, where these are Xavier's, as MAE's are.
    """

    def __init__(self, inputs: int, outputs: int, grid: int, *, width: int | None, depth: int, heads: int) -> None:
        super().__init__()
        self.grid, self.width = grid, width or half(inputs, heads)
        self.embed = nn.Linear(inputs, self.width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(self.width))
        self.blocks = nn.Sequential(*(Block(self.width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(self.width)
        self.predict = nn.Linear(self.width, outputs)
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


def half(inputs: int, heads: int) -> int:
    """The width of a decoder that is narrower than its inputs: their half, in multiples of 4 x heads, at least one."""
    step = 4 * heads
    return max(1, inputs // 2 // step) * step


def check_decoder(name: str, width: int | None, depth: int, heads: int) -> None:
    """Raise ValueError, naming the key, where a `PatchDecoder` that an objective calls `name` cannot have this form."""
    for key, value in (("width", width), ("depth", depth), ("heads", heads)):
        if value is not None and value < 1:
            raise ValueError(f"{name}_{key} is {value}; at least 1 is needed")
    if width is not None and width % (4 * heads):
        raise ValueError(
            f"{name}_width is {width}; a multiple of 4 x {name}_heads ({4 * heads}) is needed, or null: half of the "
            "backbone's"
        )
