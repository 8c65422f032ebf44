"""How far representations have spread, or collapsed: watched in pretraining, judged in evaluation."""

from torch import Tensor
from torch.nn.functional import normalize


def embedding_std(h: Tensor) -> float:
    """Mean over dimensions of the standard deviation of normalised representations [N, D], times sqrt(D).

    1 is isotropic, 0 collapsed (Chen & He, 2020, SimSiam, arXiv:2011.10566, section 4.1, whose figure is 1 / sqrt(D)
    where this one is 1). Representations behind a ReLU are never negative, and stay below 1.
    """
    return (normalize(h.double(), dim=1).std(dim=0).mean() * h.shape[1] ** 0.5).item()
