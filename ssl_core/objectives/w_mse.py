"""W-MSE: Ermolov, Siarohin, Sangineto, Sebe, 2020, arXiv:2007.06346.

The embeddings V of one view are whitened, sub-batch by sub-batch:

    w(v) = L^-1 (v - mean(V)),    L L^T = (1 - e) Cov(V) + e tr(Cov(V)) / D I,  L lower triangular
    loss = mean over images of d(w(v), w(v')),    d(a, b) = 2 - 2 cos(a, b),  or the mean over D of (a - b)^2

Each view is whitened by itself, as in the authors' code, over `whitening_size` images of the batch, in the authors'
settings twice the embedding's size. Normalisation: the authors' code, whose default is the first d. e is 1e-5, of the
mean variance, and the whitening is computed in float64; the authors have e 0 and float32.

More than two views: the mean over their pairs, as in the authors' code, who have 2 and 4.

Deviations: one division of the batch into sub-batches a step, as the authors on CIFAR-10 (4 on STL-10), in the batch's
order, which is random already. With a momentum encoder, which the paper has not, v' is the teacher's.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather

EPSILON = 1e-5
"""The identity's share of the covariance that is factorised (e): it has a factor even where a dimension is constant.

It has the mean variance of the dimensions: of embeddings that shrink it is no larger share, so that to shrink gains
nothing.
"""
SMALLEST = 1e-24
"""Added for embeddings that are all the same."""


@dataclass(frozen=True, kw_only=True)
class WMSEConfig(JointEmbeddingConfig):
    """Images that are whitened together, and whether whitened embeddings are normalised; embeddings are small."""

    name: Literal["w_mse"]
    whitening_size: int = 128
    normalised: bool = True
    projector: ProjectorConfig | None = field(default_factory=lambda: ProjectorConfig(width=256, output=64))

    def __post_init__(self) -> None:
        if self.whitening_size < 2:
            raise ValueError(f"whitening_size is {self.whitening_size}; at least 2 is needed")


class WMSE(JointEmbedding):
    """Whitened embeddings of two views agree; whitened, they can't collapse."""

    family: ClassVar[str] = "joint-embedding, regularised"

    def __init__(self, config: WMSEConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.config = config

    @classmethod
    def check(cls, config: WMSEConfig, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """The batch is whole sub-batches, each of more images than the embedding has dimensions."""
        super().check(config, backbone, image_size, batch_size)
        size = config.whitening_size
        if batch_size % size:
            raise ValueError(
                f"whitening_size is {size}; it must divide the {batch_size} images of a batch: take {batch_size}, or "
                "another divisor of it"
            )
        embedding = config.projector.output if config.projector else backbone.representation_size
        if embedding >= size:
            raise ValueError(
                f"{'projector.output' if config.projector else 'the representation without a projector'} is "
                f"{embedding}; whitening_size {size} carries {size - 1} dimensions at most, the authors' use is half "
                f"of it, {size // 2}, and whitening_size may be as large as a batch, {batch_size}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The distance of whitened views, a mean over their pairs."""
        distance = normalised_mse if self.config.normalised else mse
        pairs = self.pairs(views, lambda z: whiten(gather(z), size=self.config.whitening_size))
        return {"whitened_mse": torch.stack([distance(w1, w2) for w1, w2 in pairs]).mean()}


@in_float32
def whiten(v_ND: Tensor, *, size: int) -> Tensor:
    """Embeddings [N, D] with mean 0 and covariance I in every `size` of them that follow each other, float64."""
    v = v_ND.double().unflatten(0, (-1, size))
    centred = v - v.mean(dim=1, keepdim=True)
    covariance = centred.mT @ centred / (size - 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[:, None, None]
    identity = torch.eye(v.shape[-1], dtype=v.dtype, device=v.device)
    # Without the check of its success, which would make the host wait for the device.
    factor = torch.linalg.cholesky_ex((1 - EPSILON) * covariance + (EPSILON * variance + SMALLEST) * identity).L
    return torch.linalg.solve_triangular(factor, centred.mT, upper=False).mT.flatten(0, 1)


@in_float32
def normalised_mse(w1_ND: Tensor, w2_ND: Tensor) -> Tensor:
    """Squared distance on the unit sphere."""
    return 2 - 2 * F.cosine_similarity(w1_ND, w2_ND).mean()


@in_float32
def mse(w1_ND: Tensor, w2_ND: Tensor) -> Tensor:
    """Squared distance, a mean over N and D."""
    return F.mse_loss(w1_ND, w2_ND)
