"""VISReg: Wu, Balestriero, Levine, 2026, arXiv:2606.02572.

For the embeddings z_nv [D] of V views of N images, some of them global (equations 1 to 8, algorithm 1):

    prediction = mean over n, v and D of (z_nv - mu_n)^2,    mu_n = mean of image n's global views
    centre     = mean over v and D of (mean over n of z_nv)^2
    scale      = mean over v and D of (1 - s_v)^2,    s_v = standard deviation of z_nv over n (dividing by N)
    shape      = mean over v, directions a, |a| = 1, and n of (the n-th smallest of a.y_nv - G(n / (N + 1)))^2,
                 y_nv = (z_nv - mean over n) / stopgrad(s_v)
    loss       = (1 - lambda) prediction + lambda (centre + scale + shape)

with G the quantiles of the standard normal distribution: the shape is a sliced Wasserstein distance from it. Scale and
shape are apart, so that the scale's gradient does not vanish at a collapse as SIGReg's does (see `lejepa`). The
directions are drawn anew at every step; no other gradient is stopped.

Normalisation: the authors' code, which does not divide by less than 1e-6. lambda is 0.6, theirs for Imagenette (0.9 for
ImageNet); their weights in the sum are 1. Deviations: 256 directions (4096), and D is 64 (128 for Imagenette), for
short runs; the statistics are those of the batch of all processes, which share their directions, where the paper lets
each process draw its own; no gradient is clipped (theirs at 1). Their 4 global views are `views: 4`. With a momentum
encoder, which the paper does without, mu_n is the teacher's.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig, count_global
from ssl_core.objectives.lejepa import prediction
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather


@dataclass(frozen=True, kw_only=True)
class VISRegConfig(JointEmbeddingConfig):
    """The share of the regularisation (lambda), its three terms' weights, and the number of directions."""

    name: Literal["visreg"]
    regularisation: float = 0.6
    centre: float = 1.0
    scale: float = 1.0
    shape: float = 1.0
    directions: int = 256
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, width=512, output=64))

    def __post_init__(self) -> None:
        if not 0 <= self.regularisation <= 1:
            raise ValueError(f"regularisation is {self.regularisation}; it is a share of the loss, from 0 to 1")
        for name in ("centre", "scale", "shape"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if self.directions < 1:
            raise ValueError(f"directions is {self.directions}; at least 1 is needed")


class VISReg(JointEmbedding):
    """All views predict the centre of the global ones; embeddings have the scale and the shape of normal ones."""

    family: ClassVar[str] = "joint-embedding, regularised"

    def __init__(self, config: VISRegConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The four weighted terms of all views."""
        z, share = self.embed(views), self.config.regularisation
        # Without a momentum encoder the centre of an image's views moves too.
        targets = self.targets(views, z) if self.teacher else z[: count_global(views)]
        z_NVD = torch.stack(z, dim=1)
        everyones = gather(z_NVD)
        # The same on all processes.
        directions = torch.randn(z_NVD.shape[-1], self.config.directions, device=z_NVD.device)
        return {
            "prediction": (1 - share) * prediction(z_NVD, torch.stack(targets, dim=1)),
            "centre": share * self.config.centre * centre(everyones),
            "scale": share * self.config.scale * scale(everyones),
            "shape": share * self.config.shape * shape(everyones, directions),
        }


@in_float32
def centre(z_NVD: Tensor) -> Tensor:
    """The squared mean of each dimension of each view, averaged (equation 6)."""
    return z_NVD.mean(dim=0).square().mean()


@in_float32
def scale(z_NVD: Tensor) -> Tensor:
    """How far each dimension's standard deviation is from 1, squared and averaged (equation 1)."""
    return (1 - z_NVD.std(dim=0, correction=0)).square().mean()


@in_float32
def shape(z_NVD: Tensor, directions_DM: Tensor) -> Tensor:
    """The squared Wasserstein distance of each view's standardised embeddings along the directions (equations 2 to 5).

    From the quantiles of a standard normal distribution, averaged.
    """
    n = len(z_NVD)
    deviation = z_NVD.detach().std(dim=0, correction=0).clamp_min(1e-6)
    standardised = (z_NVD - z_NVD.mean(dim=0)) / deviation
    sliced = (standardised @ F.normalize(directions_DM, dim=0)).sort(dim=0).values
    quantiles = torch.special.ndtri(torch.arange(1, n + 1, device=z_NVD.device) / (n + 1))
    return (sliced - quantiles[:, None, None]).square().mean()
