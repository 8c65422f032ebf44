"""LiDAR: the effective rank of what tells images apart, against what their views differ by.

Thilak et al., 2023, arXiv:2312.04000. With mean μ_x over the views of image x and μ over the images,

    Σ_b = Cov(μ_x)      Σ_w = E[(h - μ_x)(h - μ_x)'] + δ I      Σ = Σ_w^-1/2 Σ_b Σ_w^-1/2
    p_i = λ_i(Σ) / sum λ + ε                                    LiDAR = exp(-sum p_i log p_i)

the linear discriminant analysis in which every image is a class. It is defined for joint-embedding methods, and its
authors look at the embeddings as well; here it is of the representation that is evaluated, h, and of the embedding z
where a suite asks for the projector's output too.

Deviations: δ is a share of the mean variance, so that the scale of h does not matter. They take 50 views; few views
leave Σ_w / Q in the covariance of the means, which is taken out of Σ_b (the unbiased estimate of a component of
variance), so that the two views of `alignment` do.
"""

import torch
from torch import Tensor

DELTA = 1e-4
EPS = 1e-7
NOTHING = 1e-9
"""A ratio of variances that is none: what float64 leaves of images that all have one representation."""


def lidar(views: Tensor) -> float:
    """Of representations [N, Q, D] of Q views of N images: 1 where all is one, at most min(N - 1, D).

    Raises `ValueError` for fewer than 2 images or views.
    """
    images, each, size = views.shape
    if images < 2 or each < 2:
        raise ValueError(f"LiDAR needs at least 2 views of 2 images; there are {each} of {images}")
    h = views.double()
    mean = h.mean(dim=1)
    apart, differing = mean - mean.mean(dim=0), (h - mean[:, None]).flatten(0, 1)
    within = differing.T @ differing / (images * (each - 1))
    between = apart.T @ apart / (images - 1) - within / each
    variance = (within.trace() + between.trace().clamp_min(0)) / size
    # Of images that all have one representation the variance is rounding, and must not be divided by.
    rounding = 1e-12 * h.square().mean() + torch.finfo(h.dtype).tiny
    within.diagonal().add_(DELTA * variance + rounding)
    root = torch.linalg.cholesky(within)
    whitened = torch.linalg.solve_triangular(root, between, upper=False)
    whitened = torch.linalg.solve_triangular(root, whitened.T, upper=False)
    ratios = torch.linalg.eigvalsh((whitened + whitened.T) / 2).clamp_min(0)
    p = ratios / ratios.sum().clamp_min(NOTHING) + EPS
    return torch.exp(-(p * p.log()).sum()).item()
