"""A small vision transformer (Dosovitskiy et al., 2020, arXiv:2010.11929), pre-norm, with fixed 2-D sine positions.

The representation is the mean of the patch tokens after the last norm (no class token), as MAE's authors evaluate
(arXiv:2111.06377, appendix A).
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.backbones.tokens import take
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """A vision transformer: pixels of a patch's side, token width, number of blocks and of attention heads."""

    name: Literal["vit"]
    patch: int = 4
    width: int = 96
    depth: int = 4
    heads: int = 4

    def __post_init__(self) -> None:
        for name in ("patch", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.width % (4 * self.heads):
            raise ValueError(f"width is {self.width}; a multiple of 4 x heads ({4 * self.heads}) is needed")

    @property
    def stride(self) -> int:
        """Pixels between two tokens."""
        return self.patch

    @property
    def representation_size(self) -> int:
        """The size of the mean token."""
        return self.width

    def check(self, image_size: int) -> None:
        """Raise `Refused` where images of `image_size` pixels are not whole patches."""
        if image_size % self.patch:
            raise Refused(f"backbone.patch is {self.patch}; it must divide the image size, {image_size}")


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
    """Attention, then a two-layer perceptron, each on normed tokens and added back."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, C] to tokens [B, T, C]."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class ViT(nn.Module):
    """Images [B, 3, H, W] to representations [B, width].

    In parts: `embed` makes tokens of patches, `encode` lets them attend to each other. A method that hides patches
    drops or replaces tokens between the two.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.representation_size, self.stride, self.patch = config.representation_size, config.stride, config.patch
        self.patches = nn.Conv2d(3, config.width, config.patch, stride=config.patch)
        self.blocks = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The mean token of all patches, or of the `visible` ones, int64 [B, K]: the others' tokens are left out."""
        tokens = self.embed(images)
        return self.encode(tokens if visible is None else take(tokens, visible)).mean(dim=1)

    def embed(self, images: Tensor) -> Tensor:
        """Tokens of the patches with their positions [B, T, width], row by row.

        In float32 under autocast too, and so is what the blocks add to: in bfloat16 that sum rounds small parts away.
        """
        grid = self.patches(images)
        return grid.flatten(2).transpose(1, 2) + self.positions(*grid.shape[2:])

    def positions(self, rows: int, columns: int) -> Tensor:
        """What `embed` adds to each token, float32 [rows x columns, width]."""
        return positions(rows, columns, self.representation_size, self.patches.weight.device)

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens [B, K, width] after all blocks and the last norm."""
        return self.norm(self.blocks(tokens))


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v of [B, H, T, D] each.

    Written out on a CPU, where in bfloat16 the backward pass of PyTorch's own takes half of a transformer's step.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v


def positions(rows: int, columns: int, width: int, device: torch.device | None = None) -> Tensor:
    """Fixed sine-cosine positions [rows x columns, width]; half of the channels tell the row, half the column."""
    frequency = 10_000 ** (-torch.arange(width // 4, device=device) / (width // 4))
    row = torch.arange(rows, device=device)[:, None] * frequency
    column = torch.arange(columns, device=device)[:, None] * frequency
    row_code = torch.cat([row.sin(), row.cos()], dim=1)[:, None].expand(rows, columns, -1)
    column_code = torch.cat([column.sin(), column.cos()], dim=1)[None].expand(rows, columns, -1)
    return torch.cat([row_code, column_code], dim=-1).reshape(rows * columns, width)
