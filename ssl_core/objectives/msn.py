"""Masked siamese networks (MSN): Assran et al., 2022, arXiv:2204.07141.

Anchors are views of which a share of the patches is dropped, and smaller views if the recipe makes any (the authors'
focal views). An anchor's embedding z and its target z+, the teacher's embedding of another global view, are compared
with K learnt prototypes q, all of length 1:

    p = softmax(z q / T),    p+ = softmax(z+ q / T+),    T+ = sharpening x T
    loss = mean over anchors of H(p+, p) + regularisation x (log K - H(mean over anchors of p))

with H(p+, p) = -sum p+ log p, and H(p) = H(p, p). The authors' code sharpens: p+ is their softmax at T to the power of
1 / sharpening, normalised, which is the softmax at T+. Without the second term, which spreads the anchors over all
prototypes, one prototype for every image would be a solution. With `sinkhorn`, as in the authors' configuration of a
ViT-S/16, Sinkhorn-Knopp's algorithm then shares out the targets p+ among the prototypes equally. Normalisation: the
paper's and the authors' code, which adds log K as well. An anchor's target is the mean of all other global views'; with
two, a global one has one target and a smaller one two.

Deviations: all global views are anchors and targets of each other, where the authors have one target and, whatever
their number, other views as anchors, and all targets are shared out together; places are drawn for each image, theirs
once for a batch; the number of dropped patches is rounded, theirs rounded up; the projector's rectifier is not a GELU;
there are 64 prototypes (1024); the momentum rises from 0.99 to 1 along half a cosine, theirs from 0.996 in a line that
ends just below; no gradient is clipped (theirs at 3), weight decay is constant (theirs rises), and prototypes decay
(theirs are not). Our transformer has no class token unless asked. A smaller view's patches have positions that spread
over the whole image's, as the authors' have by interpolation. The authors evaluate the teacher, which is the
representation `teacher` here; `backbone` is the student. They augment as SimCLR's (recipe `simclr`), with crops of .3
to 1, and of .05 to .3 for ten focal views.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig, with_tokens
from ssl_core.backbones.tokens import take
from ssl_core.heads import MomentumConfig, ProjectorConfig, Prototypes
from ssl_core.objectives.dino import cross_entropy
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, count_global
from ssl_core.objectives.objective import in_float32
from ssl_core.objectives.patches import draw_places, hidden_patches, patchify, with_patches
from ssl_core.objectives.swav import ITERATIONS, sinkhorn
from ssl_core.parallel import gather, share


@dataclass(frozen=True, kw_only=True)
class MSNConfig(JointEmbeddingConfig):
    """Share of an anchor's patches dropped, prototypes, anchors' temperature and its share for targets, the weight.

    `sinkhorn`: whether targets are shared out equally.
    """

    name: Literal["msn"]
    masked_share: float = 0.15
    prototypes: int = 64
    temperature: float = 0.1
    sharpening: float = 0.25
    sinkhorn: bool = True
    regularisation: float = 1.0
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, width=512, output=128))
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share is {self.masked_share}; it must be above 0 and below 1")
        if self.prototypes < 2:
            raise ValueError(f"prototypes is {self.prototypes}; at least 2 are needed")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        if not 0 < self.sharpening <= 1:
            raise ValueError(f"sharpening is {self.sharpening}; it must be above 0, and 1 (none) at most")
        if self.regularisation < 0:
            raise ValueError(f"regularisation is {self.regularisation}; it must be 0 or more")


class MSN(JointEmbedding):
    """A view with hidden patches belongs to the prototypes of the whole other view."""

    family: ClassVar[str] = "joint-embedding, masked"
    views: ClassVar[int] = 2
    masked_views: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = True

    def __init__(self, config: MSNConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config, self.patch = config, with_tokens(backbone).patch
        self.patches = (image_size // self.patch) ** 2
        self.hidden = hidden_patches(config.masked_share, self.patches)
        self.prototypes = Prototypes(self.embedding_size, config.prototypes)

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse to hide none or all of the patches, and more prototypes than images, which could not all be met."""
        super().check(config, backbone, image_size, batch_size)
        hidden_patches(config.masked_share, (image_size // backbone.patch) ** 2)
        if config.prototypes > batch_size:
            raise ValueError(
                f"prototypes is {config.prototypes}; the images of a batch spread over all of them: take at most "
                f"{batch_size}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the prototypes, and what the mean prediction's entropy falls short of log K."""
        count = count_global(views)
        found = torch.stack(self.targets_of(views[:count]))
        others = [torch.cat([found[:i], found[i + 1 :]]).mean(dim=0) for i in range(len(views))]
        targets = torch.cat(others)
        anchors = torch.cat(self.embed([*(self.masked(view) for view in views[:count]), *views[count:]]))
        similarity, temperature = self.prototypes(anchors), self.config.temperature
        shortfall = entropy_shortfall(gather(similarity), temperature=temperature)
        return {
            "cross_entropy": cross_entropy(similarity, targets, temperature=temperature),
            "mean_entropy": self.config.regularisation * shortfall,
        }

    def masked(self, view: View) -> View:
        """The view with a share of its patches dropped, drawn for each image."""
        images = view.images
        return View(images, draw_places(len(images), self.patches, self.hidden, images.device)[0])

    @torch.no_grad()
    def targets_of(self, views: list[View]) -> list[Tensor]:
        """The target distributions [B, K] of each global view; without a momentum encoder, by the student."""
        temperature = self.config.sharpening * self.config.temperature
        embeddings = self.targets(views, [] if self.teacher else self.embed(views))
        targets = [(self.prototypes(z) / temperature).log_softmax(dim=1) for z in embeddings]
        if not self.config.sinkhorn:
            return [target.exp() for target in targets]
        rows = gather(torch.stack(targets, dim=1))
        shared = sinkhorn(rows.flatten(0, 1), epsilon=1.0, iterations=ITERATIONS).view_as(rows)
        rank, ranks = share()
        return list(shared.chunk(ranks)[rank].unbind(dim=1))

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The first view, and below it its anchor."""
        view = views[0].images.float()
        _, places = self.masked(View(view))
        assert places is not None
        pixels = take(patchify(view, self.patch), places)
        return {"anchors": torch.stack([view, with_patches(torch.zeros_like(view), places, pixels, self.patch)])}


@in_float32
def entropy_shortfall(similarity_NK: Tensor, *, temperature: float) -> Tensor:
    """log K - H(mean of N predictions): 0 where all prototypes are met equally, log K where one is met alone.

    In logarithms: the gradient of an entropy is infinite at a probability that has become 0.
    """
    n, k = similarity_NK.shape
    log_mean = (similarity_NK / temperature).log_softmax(dim=1).logsumexp(dim=0) - math.log(n)
    return math.log(k) + (log_mean.exp() * log_mean).sum()
