"""What a backbone with tokens offers to the objectives that drop or replace some of them."""

from typing import Protocol, cast

from torch import Tensor, nn


class TokenBackbone(Protocol):
    """Images in patches of `patch` x `patch` pixels, each of which becomes a token [C]; C is `representation_size`.

    Tokens count row by row, and carry their positions: their order makes no difference to `encode`. Class token and
    registers, where it has any, are not among them: `encode` adds them and takes them off again. A configuration tells
    a backbone with tokens by its own `patch`, which is 0 where there are none. Patches are of what the backbone sees:
    where it enlarges images, its `patch` pixels are fewer of the image's.
    """

    patch: int
    representation_size: int

    def __call__(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """Representations [B, C] of all patches, or of the `visible` ones, int64 [B, K]."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Tokens [B, T, C] of images [B, 3, H, W], with their positions."""
        ...

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens [B, K, C] that have attended to each other, of some or all of an image's."""
        ...

    def encode_and_pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Representations [B, C] of tokens [B, K, C], some or all of an image's, and what `encode` makes of them."""
        ...

    def positions(self, rows: int, columns: int) -> Tensor:
        """What `embed` adds to each token of rows x columns patches, spread over a whole image: [rows x columns, C]."""
        ...


def with_tokens(backbone: nn.Module) -> TokenBackbone:
    """The same backbone, which has tokens: `Objective.check` refuses any other to an objective that needs them."""
    return cast("TokenBackbone", backbone)


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """Each image's tokens [B, K, C] at its places, int64 [B, K], of all its tokens [B, T, C]."""
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[-1]))
