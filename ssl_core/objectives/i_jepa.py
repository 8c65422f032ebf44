"""Image-based joint-embedding predictive architecture (I-JEPA): Assran et al., 2023, arXiv:2301.08243.

Of one view, four blocks of patches are targets, and patches outside of all of them the context. The teacher is given
the whole view, the student the context alone; a narrow transformer, the predictor, predicts one block at a time the
teacher's tokens from the student's and a mask token at every place of the block:

    loss = mean over blocks, their tokens and channels of smooth-L1(predictor(backbone(x_context), block) - y_block)
    y    = LN(teacher(x))

with smooth-L1(d) = d^2 / 2 where |d| < 1, else |d| - 1/2, and LN to mean 0 and variance 1 over a token's channels.
Normalisation: the authors' code; the paper's text has squared distances, and no LN. There is no projector: the loss is
on the tokens. Without a teacher, the student's own tokens as targets, nothing keeps them from becoming all the same.

Deviations, so that a step has always the same shape:
- Blocks. The authors draw a size for every batch, a share of .15 to .2 of the image at an aspect of .75 to 1.5, and
  places for each image. Here all blocks have the same number of patches, the nearest to .175 of the image that can be
  cut at an aspect of .75 to 1.33 (8 x 8 patches: 4 x 3; 14 x 14: 6 x 6), and lie or stand, as is drawn for each image.
- Context. The authors' is a block of .85 to 1 of the image without the targets, of which the whole batch then keeps as
  many patches as the image that has least, and loses the last rows: with 128 images 11 of 7 x 7 patches, 13 of 8 x 8,
  50 of 14 x 14, 69 of 16 x 16 on average. Here it is always a share of .23, or 11, 15, 45, 59 patches:
  those outside of the targets that are nearest to a drawn place, a block with the targets cut out.

Others: the predictor is half as wide as the backbone (the authors': 384 of 768, 1024 or 1280) and 2 blocks deep (6 or
12), for short runs. The momentum rises from 0.99 along half a cosine, theirs from 0.996 in a line; weight decay is
constant, where theirs rises from .04 to .4 (`final_weight_decay`). A class token, where the backbone has one, sees the
context, and no loss is on it. The authors evaluate the teacher, which is the representation `teacher` here; `backbone`
is the student.

The authors augment by nothing but a crop: jitter null, greyscale 0, flip 0, crop.scale [0.3, 1].
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig, with_tokens
from ssl_core.backbones.tokens import take
from ssl_core.heads import MomentumConfig, Teacher
from ssl_core.objectives.objective import Objective, in_float32
from ssl_core.objectives.patches import PatchDecoder, check_decoder, draw_distances, patchify, with_patches
from ssl_core.parallel import drawn

BLOCKS, LARGEST_SHARE, USUAL_SHARE, LONGEST = 4, 0.2, 0.175, 4 / 3
CONTEXT_SHARE = 0.23
"""The authors' sampling leaves .23, .20, .26, .27 of 7 x 7, 8 x 8, 14 x 14, 16 x 16 patches, in batches of 128."""


@dataclass(frozen=True, kw_only=True)
class IJEPAConfig:
    """The predictor's width (null: half of the backbone's), depth and heads; the momentum encoder (null: the student
    makes its own targets).
    """

    name: Literal["i_jepa"]
    predictor_width: int | None = None
    predictor_depth: int = 2
    predictor_heads: int = 4
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        check_decoder("predictor", self.predictor_width, self.predictor_depth, self.predictor_heads)


class IJEPA(Objective):
    """Tell the teacher's tokens of hidden blocks from the tokens around them."""

    family: ClassVar[str] = "joint-embedding, masked"
    views: ClassVar[int] = 1
    needs_tokens: ClassVar[bool] = True

    def __init__(self, config: IJEPAConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.patch = with_tokens(backbone).patch
        self.grid = image_size // self.patch
        self.teacher = Teacher(config.momentum, backbone) if config.momentum else None
        self.predictor = PatchDecoder(
            backbone.representation_size,
            backbone.representation_size,
            self.grid,
            width=config.predictor_width,
            depth=config.predictor_depth,
            heads=config.predictor_heads,
        )

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse images of too few patches for a block."""
        super().check(config, backbone, image_size, batch_size)
        grid = image_size // backbone.patch
        if grid < 3:
            most = max(side for side in range(1, image_size // 3 + 1) if image_size % side == 0)
            raise ValueError(
                f"backbone.patch is {backbone.patch}, which makes {grid} x {grid} patches of images of {image_size} "
                f"pixels; the objective i_jepa needs at least 3 x 3: a patch of {most} at most"
            )

    @classmethod
    def representations(cls, config: IJEPAConfig) -> tuple[str, ...]:
        """With the teacher where there is one."""
        return *super().representations(config), *(("teacher",) if config.momentum else ())

    def kept(self) -> dict[str, nn.Module]:
        """With the teacher's backbone where there is one."""
        return super().kept() | ({"teacher": self.teacher.networks[0]} if self.teacher else {})

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The smooth L1 distance of the blocks' predicted tokens from the teacher's."""
        images = views[0].images
        context, blocks = draw_blocks(len(images), self.grid, images.device)
        predicted = self.predict(images, context, blocks)
        return {"prediction": distance(predicted, take(self.targets(images), blocks.flatten(1)))}

    def predict(self, images: Tensor, context: Tensor, blocks: Tensor) -> Tensor:
        """Predicted tokens [B, BLOCKS x b, C] at the blocks [B, BLOCKS, b], from the context [B, K] alone."""
        backbone = with_tokens(self.backbone)
        tokens = backbone.encode(take(backbone.embed(images), context))
        # A block must not see which the other blocks are: each goes through the predictor by itself.
        apart = self.predictor(
            tokens.repeat_interleave(BLOCKS, dim=0), context.repeat_interleave(BLOCKS, dim=0), blocks.flatten(0, 1)
        )
        return apart.unflatten(0, (-1, BLOCKS)).flatten(1, 2)

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """The teacher's tokens [B, T, C] of whole images, normalised, without gradients."""
        teacher = with_tokens(self.teacher.networks[0] if self.teacher else self.backbone)
        tokens = teacher.encode(teacher.embed(images)).float()
        return F.layer_norm(tokens, tokens.shape[-1:])

    def after_step(self, progress: float) -> None:
        """Move the teacher."""
        if self.teacher:
            self.teacher.follow(progress, self.backbone)

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, their contexts, and their target blocks."""
        view = views[0].images.float()
        context, blocks = draw_blocks(len(view), self.grid, view.device)
        pixels = patchify(view, self.patch)
        shown = [
            with_patches(torch.zeros_like(view), places, take(pixels, places), self.patch)
            for places in (context, blocks.flatten(1))
        ]
        return {"blocks": torch.stack([view, *shown])}


def block_sides(grid: int) -> tuple[int, int]:
    """The longer and the shorter side of a block, in patches, of an image of grid x grid: at least 1 x 1 of 3 x 3."""
    sides = [(long, short) for long in range(1, grid) for short in range(1, long + 1) if long <= LONGEST * short]
    fitting = [(long, short) for long, short in sides if long * short <= LARGEST_SHARE * grid**2]
    return min(fitting, key=lambda pair: abs(pair[0] * pair[1] - USUAL_SHARE * grid**2))


def context_patches(grid: int) -> int:
    """How many patches of grid x grid the student sees: at most as many as blocks leave that do not overlap."""
    long, short = block_sides(grid)
    return min(max(1, round(CONTEXT_SHARE * grid**2)), grid**2 - BLOCKS * long * short)


def draw_blocks(images: int, grid: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The places of the context, int64 [images, K], and of the blocks, int64 [images, BLOCKS, long x short].

    Drawn for each image from torch's default generator. Blocks may overlap.
    """
    long, short = block_sides(grid)
    lying = drawn(torch.rand, (images, 1, 1), device) < 0.5
    height, width = torch.where(lying, short, long), torch.where(lying, long, short)
    corner = drawn(torch.rand, (images, BLOCKS, 2), device)
    top, left = ((corner[..., i, None] * (grid + 1 - side)).long() for i, side in enumerate((height, width)))
    within = torch.arange(long * short, device=device)
    blocks = (top + within // width) * grid + left + within % width
    distances = draw_distances(images, grid, 1.0, device)
    # No patch is as far from a place in the image as two of its sides.
    outside = distances.scatter(1, blocks.flatten(1), 2.0 * grid)
    return outside.argsort(dim=1)[:, : context_patches(grid)], blocks


@in_float32
def distance(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean smooth L1 distance of tokens [B, M, C]."""
    return F.smooth_l1_loss(predicted, target)
