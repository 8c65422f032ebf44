"""CLID: cluster learnability times intrinsic dimension (Lu et al., 2022, arXiv:2206.01251).

Learnability, CL: images are clustered by k-means, and the share of them is taken whose cluster is that of their nearest
neighbour among the other half of the images. Expressiveness, ID: the intrinsic dimension by two nearest neighbours. A
representation is good that has both: the same for all images is learnt at once (1) and has no dimension (0).

The paper adds the two, each scaled to the range that it has over the compared networks. One network alone has no such
range, so that here they are multiplied, whose order depends on no scale. As there, √N clusters, one neighbour and the
cosine.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

ITERATIONS = 20
SAMPLE = 1024
"""Images: every pair of them is looked at."""
LEAST = 4
"""Images, of which two clusters can be made and learnt."""
ROUNDING = 1e-15
"""Of the mean squared norm: a squared distance below is less than float32 tells apart."""


def clid(h: Tensor, seed: int) -> float:
    """CL x ID of representations [N, D], 0 to D; larger is better. Of at most 1,024 images, drawn by seed.

    Raises `ValueError` for fewer than 4 images.
    """
    if len(h) < LEAST:
        raise ValueError(f"CLID needs at least {LEAST} images; there are {len(h)}")
    sample = h[torch.from_numpy(np.random.default_rng(seed).permutation(len(h))[:SAMPLE]).to(h.device)]
    return learnability(sample, seed) * intrinsic_dimension(sample)


def learnability(h: Tensor, seed: int) -> float:
    """The share of half the images of [N, D] whose cluster is that of the nearest of the others, halved by seed."""
    generator = np.random.default_rng(seed)
    u = normalize(h.double(), dim=1)
    cluster = clusters(u, round(len(u) ** 0.5), generator)
    known, asked = torch.from_numpy(generator.permutation(len(u))).to(u.device).tensor_split(2)
    nearest = known[(u[asked] @ u[known].T).argmax(dim=1)]
    return (cluster[nearest] == cluster[asked]).double().mean().item()


def clusters(u: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """The cluster int64 [N] of each of [N, D] by k-means; the first centres are drawn far apart.

    Arthur & Vassilvitskii, 2007 (k-means++): each with a chance in proportion to its squared distance to those before.
    """
    centres = u[int(generator.integers(len(u)))][None]
    apart = _squared(u, centres)[:, 0]
    for drawn in generator.random(count - 1):
        reached = apart.cumsum(dim=0)
        chosen = torch.searchsorted(reached, drawn * reached[-1]).clamp_max(len(u) - 1)
        centres = torch.cat([centres, u[chosen][None]])
        apart = torch.minimum(apart, _squared(u, centres[-1:])[:, 0])
    assigned = _squared(u, centres).argmin(dim=1)
    for _ in range(ITERATIONS):
        sizes = torch.bincount(assigned, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, assigned, u)
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
        before, assigned = assigned, _squared(u, centres).argmin(dim=1)
        if torch.equal(before, assigned):
            break
    return assigned


def intrinsic_dimension(h: Tensor) -> float:
    """N / sum_i log(r_2 / r_1) of the distances to the two nearest of [N, D] (Facco et al., 2017, arXiv:1803.06992).

    The maximum of the likelihood, equation 3 with all images, not their fit of a line. Of images with one
    representation one counts; at most D, and 0 where no three differ.
    """
    h = torch.unique(h.double(), dim=0)
    if len(h) < 3:
        return 0.0
    centred = h - h.mean(dim=0)
    squared = _squared(centred, centred).clamp_min_(ROUNDING * h.square().sum(dim=1).mean().item())
    squared.fill_diagonal_(torch.inf)
    first, nearest = squared.min(dim=1, keepdim=True)
    second = squared.scatter_(1, nearest, torch.inf).min(dim=1, keepdim=True).values
    ratios = (second / first).log().sum().item() / 2
    return min(len(h) / max(ratios, torch.finfo(h.dtype).tiny), float(h.shape[1]))


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [A, B] of [A, D] and [B, D]."""
    norms = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
    return norms.addmm_(a, b.T, alpha=-2).clamp_min_(0)
