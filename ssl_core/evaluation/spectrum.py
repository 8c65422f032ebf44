"""What the eigenvalues of a representation's covariance say of it: α-ReQ and NESum, both from one decomposition.

They are of the centred covariance, as both papers have it. RankMe (`ssl_core.collapse`) has other eigenvalues, as its
paper does not centre.
"""

import torch
from torch import Tensor

FLOOR = 1e-7
"""Of the largest eigenvalue: what is below counts as this in α-ReQ, so that a lost dimension has a finite price."""
ROUNDING = 1e-12
"""Of the mean squared norm: a variance below is what float32 rounds away."""


def eigenvalues(h: Tensor) -> Tensor:
    """Of the covariance of representations [N, D], over the largest: float64 [min(N, D)], from 1 downwards.

    A representation that is the same for all images has 1, 0, 0, …: the limit of one direction that dies out. Raises
    `ValueError` for fewer than 2 images.
    """
    if len(h) < 2:
        raise ValueError(f"a covariance needs at least 2 images; there are {len(h)}")
    h = h.double()
    tall = h - h.mean(dim=0) if len(h) >= h.shape[1] else (h - h.mean(dim=0)).T
    found = torch.linalg.eigvalsh(tall.T @ tall / len(h)).flip(0).clamp_min(0)
    found = torch.where(found > ROUNDING * h.square().sum(dim=1).mean(), found, 0.0)
    relative = found / found[0].clamp_min(torch.finfo(found.dtype).tiny)
    relative[0] = 1
    return relative


def alpha_req(relative: Tensor) -> float:
    """α of the power law λ_i ∝ i^-α that fits the eigenvalues best (Agrawal et al., 2022, NeurIPS: α-ReQ).

    Weighted least squares of log λ_i on log i, with weights 1/i as the power law's fit of Stringer et al. (2019,
    doi:10.1038/s41586-019-1346-5) has them: each doubling of the rank counts alike. About 1 is best; 0 is white, and
    the more is lost the larger it is. Unlike there, all ranks are fitted, because representations may have few
    dimensions, and none counts less than 1e-7 of the first.
    """
    rank = torch.arange(1, len(relative) + 1, dtype=relative.dtype, device=relative.device)
    x, y, weight = rank.log(), relative.clamp_min(FLOOR).log(), 1 / rank
    x = x - (weight * x).sum() / weight.sum()
    return (-(weight * x * y).sum() / (weight * x.square()).sum().clamp_min(torch.finfo(x.dtype).tiny)).item()


def nesum(relative: Tensor) -> float:
    """sum_i λ_i / λ_1, from 1, one direction, to D, white (He & Ozay, 2022, ICML, PMLR 162: normalised eigenvalue sum).

    They call both ends bad, collapse and whitening.
    """
    return relative.sum().item()
