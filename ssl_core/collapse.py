"""Whether representations have collapsed: watched in pretraining, judged in evaluation. Everything in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True, kw_only=True)
class CollapseThresholds:
    """A representation has collapsed when both figures are below: one direction for all images, and little beside it.

    Either alone misleads. Untrained deep networks put all images in a narrow cone that is still rich (measured on
    Fashion-MNIST, ResNet-50: 0.04 and 9.9); few classes learnt well are few directions far apart. Pulling two views
    together with nothing that pushes gave 0.03 and 5.0 with a ResNet-10, 0.01 and 1.4 with a ViT.
    """

    embedding_std: float = 0.1
    rankme: float = 6.0

    def __post_init__(self) -> None:
        if self.embedding_std <= 0 or self.rankme <= 0:
            raise ValueError(f"embedding_std is {self.embedding_std}, rankme {self.rankme}; each must be above 0")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a representation has collapsed, why it is said, and the thresholds that were used."""

    collapsed: bool
    why: str
    thresholds: CollapseThresholds


def verdict(std: float, rank: float, thresholds: CollapseThresholds) -> Verdict:
    """Collapsed where the embedding standard deviation and the effective rank are both below their thresholds."""
    figures = (
        ("embedding standard deviation", std, thresholds.embedding_std),
        ("effective rank (RankMe)", rank, thresholds.rankme),
    )
    said = [f"the {name} is {x:.3g}, {'below' if x < limit else 'not below'} {limit:g}" for name, x, limit in figures]
    return Verdict(collapsed=all(x < limit for _, x, limit in figures), why=" and ".join(said), thresholds=thresholds)


def embedding_std(h: Tensor) -> float:
    """Mean over dimensions of the standard deviation of normalised representations [N, D], times sqrt(D).

    1 is isotropic, 0 collapsed (Chen & He, 2020, SimSiam, arXiv:2011.10566, section 4.1, whose figure is 1 / sqrt(D)
    where this one is 1). Representations behind a ReLU are never negative, and stay below 1.
    """
    return (normalize(h.double(), dim=1).std(dim=0).mean() * h.shape[1] ** 0.5).item()


def rankme(h: Tensor, eps: float = 1e-7) -> float:
    """The effective rank of representations [N, D], between 1 and min(N, D) (Garrido et al., 2023, arXiv:2210.02885).

    exp(-sum p log p) with p = s / |s|_1 + eps over the singular values s; the representations are not centred
    (equations 1 and 2). The singular values are roots of the Gram matrix's eigenvalues: exact to 1e-8 of the largest,
    below eps, and quick.
    """
    tall = h.double() if len(h) >= h.shape[1] else h.double().T
    s = torch.linalg.eigvalsh(tall.T @ tall).clamp_min(0).sqrt()
    p = s / s.sum().clamp_min(torch.finfo(s.dtype).tiny) + eps
    return torch.exp(-(p * p.log()).sum()).item()
