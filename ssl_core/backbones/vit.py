"""A small vision transformer (Dosovitskiy et al., 2020, arXiv:2010.11929), pre-norm, with fixed 2-D sine positions.

The representation is the mean of the patch tokens after the last norm, as MAE's authors evaluate (arXiv:2111.06377,
appendix A), or with a class token that token. Registers (Darcet et al., 2023, arXiv:2309.16588) are tokens that carry
nothing in and are left out of the representation.

A view smaller than the image is seen at its own scale: its tokens stand at places that spread over the whole image's
grid, as a learnt grid of positions is interpolated for it (Caron et al., 2021, arXiv:2104.14294), not in its corner.

Layer norms have PyTorch's epsilon, 1e-5; the authors' networks and timm's have 1e-6.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.backbones.backbone import Backbone, BackboneSettings
from ssl_core.backbones.tokens import take
from ssl_core.errors import Refused
from ssl_core.parallel import drawn


@dataclass(frozen=True, kw_only=True)
class ViTConfig(BackboneSettings):
    """A vision transformer: pixels of a patch's side, token width, number of blocks and of attention heads.

    `class_token`: whether the representation is a token of its own. `registers`: how many. `drop_path`: how often the
    last block's branches are left out of an image while training (Huang et al., 2016, arXiv:1603.09382); which ones
    depends on how many processes share the pretraining.
    """

    name: Literal["vit"]
    patch: int = 4  # pyright: ignore[reportIncompatibleMethodOverride] (a field here)
    width: int = 96
    depth: int = 4
    heads: int = 4
    class_token: bool = False
    registers: int = 0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("patch", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.width % (4 * self.heads):
            raise ValueError(f"width is {self.width}; a multiple of 4 x heads ({4 * self.heads}) is needed")
        if self.registers < 0:
            raise ValueError(f"registers is {self.registers}; it must be 0 or more")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path is {self.drop_path}; it is a probability, 0 <= drop_path < 1")

    @property
    def stride(self) -> int:
        """Pixels between two tokens."""
        return self.patch

    @property
    def representation_size(self) -> int:
        """The size of a token."""
        return self.width

    @property
    def stages(self) -> int:
        """The patches' embedding and the blocks."""
        return 1 + self.depth

    def build(self, image_size: int) -> "ViT":
        """The network."""
        return ViT(self, image_size)

    def check(self, image_size: int, view: int | None = None) -> None:
        """Raise `Refused` where images or views are not whole patches."""
        super().check(image_size, view)
        side = view or image_size
        if side % self.patch:
            raise Refused(f"backbone.patch is {self.patch}; it must divide the image size, {side}")


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, T, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Each token's mix of the values of all tokens."""
        b, t, c = tokens.shape
        q, k, v = self.qkv(tokens).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(attention(q, k, v).transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on normed tokens and added back.

    While training, each is left out of an image with the probability `drop_path`.
    """

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, C] to tokens [B, T, C]."""
        tokens = tokens + self.dropped(self.attention(self.norm1(tokens)))
        return tokens + self.dropped(self.mlp(self.norm2(tokens)))

    def dropped(self, branch: Tensor) -> Tensor:
        """A branch [B, T, C] that is 0 in some images, and larger in the others so that its mean stays.

        Nothing is left out where no gradients are taken: a teacher and what is watched are whole.
        """
        if not (self.drop_path and self.training and torch.is_grad_enabled()):
            return branch
        kept = drawn(torch.rand, (len(branch), 1, 1), branch.device) >= self.drop_path
        return branch * (kept.to(branch.dtype) / (1 - self.drop_path))


class ViT(Backbone):
    """Images [B, 3, H, W] to representations [B, width].

    In parts: `embed` makes tokens of patches, `encode` lets them attend to each other. A method that hides patches
    drops or replaces tokens between the two. Class token and registers go along inside `encode`.
    """

    def __init__(self, config: ViTConfig, image_size: int) -> None:
        super().__init__()
        self.representation_size, self.stride, self.patch = config.representation_size, config.stride, config.patch
        self.grid, self.has_class_token = image_size // config.patch, config.class_token
        self.patches = nn.Conv2d(3, config.width, config.patch, stride=config.patch)
        rates = [config.drop_path * i / max(1, config.depth - 1) for i in range(config.depth)]
        self.blocks = nn.Sequential(*(Block(config.width, config.heads, rate) for rate in rates))
        self.norm = nn.LayerNorm(config.width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        extra = config.class_token + config.registers
        self.extra = nn.Parameter(0.02 * torch.randn(extra, config.width)) if extra else None

    def stages(self) -> list[list[nn.Module]]:
        """The patches' embedding with the extra tokens, then the blocks, the last with the norm."""
        extra = [] if self.extra is None else [nn.ParameterList([self.extra])]
        *blocks, last = self.blocks
        return [[self.patches, *extra], *([block] for block in blocks), [last, self.norm]]

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The class token or the mean token of all patches, or of the `visible` ones, int64 [B, K].

        The others' tokens are left out.
        """
        tokens = self.embed(images)
        return self.encode_and_pool(tokens if visible is None else take(tokens, visible))[0]

    def embed(self, images: Tensor) -> Tensor:
        """Tokens of the patches with their positions [B, T, width], row by row.

        In float32 under autocast too, and so is what the blocks add to: in bfloat16 that sum rounds small parts away.
        """
        grid = self.patches(images)
        return grid.flatten(2).transpose(1, 2) + self.positions(*grid.shape[2:])

    def positions(self, rows: int, columns: int) -> Tensor:
        """What `embed` adds to each token, float32 [rows x columns, width]."""
        return positions(rows, columns, self.representation_size, self.patches.weight.device, whole=self.grid)

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens [B, K, width] of patches after all blocks and the last norm."""
        return self.of_patches(self.attended(tokens))

    def attended(self, tokens: Tensor) -> Tensor:
        """Extra tokens and those of patches, [B, extra + K, width], after all blocks and the last norm."""
        if self.extra is not None:
            tokens = torch.cat([self.extra.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.norm(self.blocks(tokens))

    def encode_and_pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The class token or the mean token [B, width], and what `encode` makes of the tokens [B, K, width]."""
        tokens = self.attended(tokens)
        patches = self.of_patches(tokens)
        return tokens[:, 0] if self.has_class_token else patches.mean(dim=1), patches

    def of_patches(self, tokens: Tensor) -> Tensor:
        """Without the extra tokens."""
        return tokens if self.extra is None else tokens[:, len(self.extra) :]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v of [B, H, T, D] each.

    Written out on a CPU, where in bfloat16 the backward pass of PyTorch's own takes half of a transformer's step.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v


def positions(
    rows: int, columns: int, width: int, device: torch.device | None = None, whole: int | None = None
) -> Tensor:
    """Fixed sine-cosine positions [rows x columns, width]; half of the channels tell the row, half the column.

    `whole`: patches of a side that the rows and columns spread over, if there are more or fewer of these.
    """
    frequency = 10_000 ** (-torch.arange(width // 4, device=device) / (width // 4))
    row = places(rows, whole, device)[:, None] * frequency
    column = places(columns, whole, device)[:, None] * frequency
    row_code = torch.cat([row.sin(), row.cos()], dim=1)[:, None].expand(rows, columns, -1)
    column_code = torch.cat([column.sin(), column.cos()], dim=1)[None].expand(rows, columns, -1)
    return torch.cat([row_code, column_code], dim=-1).reshape(rows * columns, width)


def places(count: int, whole: int | None = None, device: torch.device | None = None) -> Tensor:
    """Where `count` patches that cover the side of a grid of `whole` have their middles, in units of its patches.

    The first of the grid's own is at 0. As interpolation has it: place i is (i + 0.5) whole / count - 0.5.
    """
    return (torch.arange(count, device=device) + 0.5) * ((whole or count) / count) - 0.5
