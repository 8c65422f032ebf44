"""LeJEPA: Balestriero and LeCun, 2025, arXiv:2511.08544.

For the embeddings z_nv [D] of V views of N images, some of them global (equations 6 to 9, algorithms 1 and 2):

    prediction = mean over n, v and D of (z_nv - mu_n)^2,    mu_n = mean of image n's global views
    SIGReg     = mean over views and directions a, |a| = 1, of
                 N * integral of |mean over n of exp(i t a.z_nv) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt
    loss       = (1 - lambda) prediction + lambda SIGReg

The integral is Epps and Pulley's statistic of how far a.z is from a standard normal variable. The directions are drawn
anew at every step. No gradient is stopped: mu_n moves too.

Normalisation: the authors' minimal code, whose mu_n is the mean of all views, there of one size. It integrates by the
trapezoid rule over 17 knots on [0, 3] and doubles that; the paper's algorithm 1 has 17 knots on [-5, 5]. Code and
algorithm 2 take the mean over D where equation 7 sums. So lambda does not transfer from one codebase to another, nor
from one D to another; and as SIGReg grows with N where embeddings are not normal, nor from one batch size to another.
0.02 is the minimal code's, which has 4 views, all global: `views: 4`; the paper recommends 0.05.

Deviation: algorithm 2 has no local views for a ResNet; here it may have. With a momentum encoder, which the paper does
without, mu_n is the teacher's.
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
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather

KNOTS, END = 17, 3.0
"""Where the characteristic functions are compared: so many knots on [0, END]."""


@dataclass(frozen=True, kw_only=True)
class LeJEPAConfig(JointEmbeddingConfig):
    """The weight of SIGReg (lambda; the prediction's is 1 - lambda) and its number of directions; D is 16 to 64."""

    name: Literal["lejepa"]
    sigreg: float = 0.02
    directions: int = 256
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(layers=3, width=512, output=16))

    def __post_init__(self) -> None:
        if not 0 <= self.sigreg <= 1:
            raise ValueError(f"sigreg is {self.sigreg}; it is a share of the loss, 0 <= sigreg <= 1")
        if self.directions < 1:
            raise ValueError(f"directions is {self.directions}; at least 1 is needed")


class LeJEPA(JointEmbedding):
    """All views predict the centre of the global ones; embeddings are normally distributed."""

    family: ClassVar[str] = "joint-embedding, regularised"

    def __init__(self, config: LeJEPAConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The two weighted terms of all views."""
        z = self.embed(views)
        # Without a momentum encoder the centre moves too.
        targets = self.targets(views, z) if self.teacher else z[: count_global(views)]
        z_NVD, targets_NGD, weight = torch.stack(z, dim=1), torch.stack(targets, dim=1), self.config.sigreg
        # The same on all processes.
        directions = torch.randn(z_NVD.shape[-1], self.config.directions, device=z_NVD.device)
        return {
            "prediction": (1 - weight) * prediction(z_NVD, targets_NGD),
            "sigreg": weight * sigreg(gather(z_NVD), directions),
        }


@in_float32
def prediction(z_NVD: Tensor, targets_NGD: Tensor) -> Tensor:
    """The mean squared distance of all views' embeddings to the centre of the global ones' (algorithm 2)."""
    return (z_NVD - targets_NGD.mean(dim=1, keepdim=True)).square().mean()


@in_float32
def sigreg(z_NVD: Tensor, directions_DM: Tensor) -> Tensor:
    """How far each view's embeddings are from a standard normal distribution along the directions, averaged."""
    t = torch.linspace(0, END, KNOTS, device=z_NVD.device)
    normal = (-t.square() / 2).exp()
    angles_NVMT = (z_NVD @ F.normalize(directions_DM, dim=0)).unsqueeze(-1) * t
    gap_VMT = (angles_NVMT.cos().mean(dim=0) - normal).square() + angles_NVMT.sin().mean(dim=0).square()
    # The integrand is even.
    return len(z_NVD) * torch.trapezoid(2 * gap_VMT * normal, t).mean()
