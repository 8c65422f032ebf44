"""iBOT and DINOv2: Zhou et al., 2021, arXiv:2111.07832; Oquab et al., 2023, arXiv:2304.07193.

DINO's loss on images and the same on hidden patches. The student sees some global views with a mask token at hidden
places; the teacher sees every global view as it is. Of an image or a patch i, the student's and the teacher's cosine
similarities with K prototypes are s_i and t_i, both behind a head, and P_i is the teacher's distribution:

    H_i     = -P_i . log softmax(s_i / T_s)
    image   = mean over images, global views x and all other views x' of H, P of x and s of x'
    patches = mean over images and global views of the mean over the hidden patches of H, P and s of one view (0 of a
              view without hidden patches)
    koleo   = sum over global views of -mean over images of log(min over other images j of |h_i - h_j| + 1e-8)
    loss    = image_weight x image + patch_weight x patches + koleo_weight x koleo

h are the student's representations, scaled to length 1. P_i = softmax((t_i - c) / T_t), with a centre c of images and
one of hidden patches that follow t as DINO's does (`centring: centre`), or exp(t / T_t) shared out by three iterations
of Sinkhorn-Knopp's algorithm, images among themselves and hidden patches among themselves (`sinkhorn`). Prototypes and
head are the same for images and patches with `shared_head`. iBOT: centre, shared head, no KoLeo. DINOv2: Sinkhorn, a
head of their own for patches, KoLeo with a weight of 0.1. Normalisation: DINOv2's code, and iBOT's of the first two.

Deviations: of each image half of the global views, drawn, have hidden patches; iBOT's authors draw for each view,
DINOv2's half of a batch's views. Hidden is always a share of .3, the mean of theirs, which is drawn from .1 to .5, and
one block of an aspect of .3 to 3.3; theirs are several that may overlap. The centre of patches is of hidden ones, as
DINOv2's (iBOT's: of all). A shared head's batch norms take images and patches each by their own statistics; the running
ones, which evaluate the representation `projector`, mix the two. KoLeo's neighbours are of the whole batch, theirs of a
process's part. T_t is one for images and patches, and 0.04 from first to last; theirs rises to 0.07, as here with
`teacher_temperature: 0.07`. What `dino` says of its projector, its few prototypes (8192 in iBOT, 65536 or 131072 in
DINOv2), gradients and weight decay holds here too; DINOv2's layers have smaller rates the earlier they are. The
momentum starts from .99 (iBOT's from .996, DINOv2's from .992). An image's representation is what the backbone makes of
its tokens: our transformer's mean, or the class token, as the authors'. Both evaluate the teacher, which is the
representation `teacher` here; `backbone` is the student.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core import parallel
from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig, TokenBackbone, with_tokens
from ssl_core.heads import Prototypes, Teacher, projector
from ssl_core.objectives.dino import CENTRE_MOMENTUM, DINO, DINOConfig, cross_entropy, sharpened
from ssl_core.objectives.joint_embedding import count_global, directions, embed
from ssl_core.objectives.objective import in_float32
from ssl_core.objectives.patches import draw_distances, hidden_patches, patchify, unpatchify
from ssl_core.objectives.swav import ITERATIONS, sinkhorn

LONGEST = 1 / 0.3
"""The largest aspect of a block of hidden patches."""


@dataclass(frozen=True, kw_only=True)
class IBOTConfig(DINOConfig):
    """DINO's; the weights of the terms, the share of a view's patches that is hidden, whether patches have the images'
    head, and what spreads the teacher's distributions.
    """

    name: Literal["ibot"]  # pyright: ignore[reportIncompatibleVariableOverride]
    image_weight: float = 1.0
    patch_weight: float = 1.0
    koleo_weight: float = 0.0
    masked_share: float = 0.3
    shared_head: bool = True
    centring: Literal["centre", "sinkhorn"] = "centre"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("image_weight", "patch_weight", "koleo_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if self.image_weight == self.patch_weight == 0:
            raise ValueError("image_weight and patch_weight are both 0; at least one must be above 0")
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share is {self.masked_share}; it must be above 0 and below 1")


class IBOT(DINO):
    """DINO, and hidden patches tell which prototypes the teacher finds in them."""

    patch_centre: Tensor

    family: ClassVar[str] = "joint-embedding, masked"
    masked_views: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = True

    def __init__(self, config: IBOTConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone, image_size, classes)
        self.config, self.patch, width = config, with_tokens(backbone).patch, backbone.representation_size
        self.grid = image_size // self.patch
        self.hidden = hidden_patches(config.masked_share, self.grid**2)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.patch_head = self.patch_teacher = None
        if not config.shared_head:
            prototypes = Prototypes(self.embedding_size, config.prototypes)
            self.patch_head = nn.Sequential(projector(config.projector, width)[0], prototypes)
            self.patch_teacher = Teacher(config.momentum, self.patch_head) if config.momentum else None
        self.register_buffer("patch_centre", torch.zeros(config.prototypes))

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse to hide none or all of the patches."""
        super().check(config, backbone, image_size, batch_size)
        hidden_patches(config.masked_share, (image_size // backbone.patch) ** 2)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The weighted terms; KoLeo's where it has a weight."""
        config, count = self.config, count_global(views)
        images = torch.cat([view.images for view in views[:count]])
        hidden = self.draw(count, len(views[0].images), images.device)
        of_images, of_patches = self.targets_of(images, hidden)
        backbone, image_head, patch_head = self.branch()
        h, tokens = backbone.encode_and_pool(self.masked(images, hidden))
        local = embed(views[count:], self.backbone) if views[count:] else []
        scores = image_head(torch.cat([h, *local])).chunk(len(views))
        temperature, targets = config.student_temperature, of_images.chunk(count)
        pairs = [cross_entropy(scores[i], targets[j], temperature=temperature) for i, j in directions(views)]
        patches = cross_entropy(patch_head(at(tokens, hidden)), of_patches, temperature=temperature)
        terms = {
            "image": config.image_weight * torch.stack(pairs).mean(),
            "patches": config.patch_weight * len(hidden) / len(images) * patches,
        }
        if config.koleo_weight:
            near = torch.stack([koleo(parallel.gather(each)) for each in h.chunk(count)])
            terms["koleo"] = config.koleo_weight * near.sum()
        return terms

    def branch(self, *, teacher: bool = False) -> tuple[TokenBackbone, nn.Module, nn.Module]:
        """The backbone, the head of images and that of patches, of the student or of the teacher where there is one."""
        networks, patch_head = self.networks(), self.patch_head
        if teacher and self.teacher:
            networks = tuple(self.teacher.networks)
            patch_head = self.patch_teacher.networks[0] if self.patch_teacher else None
        head = nn.Sequential(*networks[1:])
        return with_tokens(networks[0]), head, head if patch_head is None else patch_head

    def draw(self, views: int, images: int, device: torch.device) -> Tensor:
        """Places of hidden patches, int64 [N, M], among all T patches of `views` x `images` global views, view by view.

        Of each image half of the global views have a block of hidden patches: N is that half, M the patches of a block.
        """
        chosen = parallel.drawn(torch.rand, (images, views), device).argsort(dim=1)[:, : views // 2]
        rows = (chosen * images + torch.arange(images, device=device)[:, None]).flatten()
        distances = draw_distances(len(rows), self.grid, LONGEST, device)
        return rows[:, None] * self.grid**2 + distances.argsort(dim=1)[:, : self.hidden]

    def masked(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The student's tokens [B, T, C] before they are encoded: the mask token at the hidden places."""
        backbone = with_tokens(self.backbone)
        tokens = backbone.embed(images)
        replaced = torch.zeros_like(tokens[..., 0], dtype=torch.bool).flatten().scatter(0, hidden.flatten(), value=True)
        mask = self.mask_token + backbone.positions(self.grid, self.grid)
        return torch.where(replaced.view(*tokens.shape[:2], 1), mask, tokens)

    @torch.no_grad()
    def targets_of(self, images: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's distributions of global views [B, K] and of their hidden patches [N x M, K]."""
        backbone, image_head, patch_head = self.branch(teacher=True)
        h, tokens = backbone.encode_and_pool(backbone.embed(images))
        found = self.distributions(image_head(h), self.centre)
        return found, self.distributions(patch_head(at(tokens, hidden)), self.patch_centre)

    def distributions(self, scores_NK: Tensor, centre_K: Tensor) -> Tensor:
        """The teacher's distributions over the prototypes [N, K]; moves the centre where it is what spreads them."""
        if self.config.centring == "sinkhorn":
            rank, ranks = parallel.share()
            rows = parallel.gather(scores_NK) / self.teacher_temperature
            return sinkhorn(rows, epsilon=1.0, iterations=ITERATIONS).chunk(ranks)[rank]
        found = sharpened(scores_NK, centre_K, self.teacher_temperature)
        if self.training:
            centre_K.lerp_(parallel.mean(scores_NK.mean(dim=0)), 1 - CENTRE_MOMENTUM)
        return found

    def after_step(self, progress: float) -> None:
        """Move the teacher, its temperature, and its patches' head."""
        super().after_step(progress)
        if self.patch_teacher and self.patch_head:
            self.patch_teacher.follow(progress, self.patch_head)

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The first two views, and below each what the student sees of it."""
        images = torch.cat([view.images.float() for view in views[:2]])
        hidden = self.draw(2, len(images) // 2, images.device)
        pixels = patchify(images, self.patch)
        seen = pixels.flatten(0, 1).index_fill(0, hidden.flatten(), 0).view_as(pixels)
        rows = zip(images.chunk(2), unpatchify(seen, self.patch).chunk(2), strict=True)
        return {"hidden": torch.stack([row for pair in rows for row in pair])}


def at(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens [N x M, C] at the places [N, M] among all of [B, T, C], counted through."""
    return tokens.flatten(0, 1).index_select(0, places.flatten())


@in_float32
def koleo(h_NC: Tensor) -> Tensor:
    """The mean negative logarithm of the distances of representations [N, C], of length 1, to their nearest ones."""
    h = F.normalize(h_NC, dim=1)
    nearest = (h @ h.T).detach().fill_diagonal_(-2).argmax(dim=1)
    # The first small number keeps the gradient finite where two are the same; both are the authors'.
    distances = (h - h.index_select(0, nearest) + 1e-8).norm(dim=1)
    return -(distances + 1e-8).log().mean()
