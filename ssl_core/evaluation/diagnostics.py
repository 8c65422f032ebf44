"""What can be measured of a representation without labels. Everything in float64."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ssl_core.augmentation import Augment
from ssl_core.collapse import embedding_std, rankme
from ssl_core.evaluation import spectrum
from ssl_core.evaluation.clid import clid
from ssl_core.evaluation.embedding import BATCH, Images, on_device
from ssl_core.evaluation.lidar import lidar
from ssl_core.evaluation.split import Split
from ssl_core.precision import autocast, computed

SAMPLE = 2048
"""Images of the figures about pairs, of which uniformity takes every one, and about views; CLID's are part of them."""


def label_free(backbone: nn.Module, split: Split, augment: Augment, seed: int) -> dict[str, float]:
    """All figures by name; those of pairs and of views on the same at most 2,048 images for the same seed."""
    sample = split.sample(SAMPLE, seed)
    first, second = two_views(backbone, sample.images, augment, seed)
    eigenvalues = spectrum.eigenvalues(split.representations)
    return {
        "rankme": rankme(split.representations),
        "alpha_req": spectrum.alpha_req(eigenvalues),
        "nesum": spectrum.nesum(eigenvalues),
        "clid": clid(sample.representations, seed),
        "lidar": lidar(torch.stack([first, second], dim=1)),
        "alignment": alignment(first, second),
        "uniformity": uniformity(sample.representations),
        "embedding_std": embedding_std(split.representations),
    }


def two_views(backbone: nn.Module, images: Images, augment: Augment, seed: int) -> tuple[Tensor, Tensor]:
    """Representations float32 [N, D] of two views of each image; the views are the same for the same seed."""
    on_device(backbone, images.device).eval()
    generator = torch.Generator(images.device).manual_seed(seed)
    pairs = []
    with torch.inference_mode(), autocast(images.device):
        for start in range(0, len(images), BATCH):
            raw = images.raw(slice(start, start + BATCH))
            views = [augment(raw, generator)[0].to(computed(images.device)) for _ in range(2)]
            pairs.append([backbone(view.images).float() for view in views])
    first, second = zip(*pairs, strict=True)
    return torch.cat(first), torch.cat(second)


def alignment(first: Tensor, second: Tensor) -> float:
    """Mean squared distance between normalised representations [N, D] of two views; 0 is best (Wang & Isola, 2020).

    arXiv:2005.10242, equation 1, with exponent 2.
    """
    return (normalize(first.double(), dim=1) - normalize(second.double(), dim=1)).square().sum(dim=1).mean().item()


def uniformity(h: Tensor, t: float = 2.0) -> float:
    """log of the mean of exp(-t |u - v|^2) over pairs of different images, normalised [N, D]; lower is more uniform.

    Wang & Isola, 2020, arXiv:2005.10242, equation 2: 0 where all images share one representation.
    """
    return torch.pdist(normalize(h.double(), dim=1)).square().mul(-t).exp().mean().log().item()
