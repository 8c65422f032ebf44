"""k-nearest-neighbour classification of frozen representations, by cosine similarity.

`weighted`: each of the k nearest votes for its class with exp(similarity / temperature) (Wu et al., 2018,
arXiv:1805.01978, section 3.4; k = 20 and 0.07 as DINO evaluates, arXiv:2104.14294). `plain`: each votes with 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

CHUNK = 512


def neighbours(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Similarities and bank positions [Q, k] of the k nearest, nearest first; k is at most the size of the bank."""
    k = min(k, len(bank))
    bank = normalize(bank, dim=1).T.contiguous()
    found = [(normalize(chunk, dim=1) @ bank).topk(k, dim=1) for chunk in queries.split(CHUNK)]
    return torch.cat([similarity for similarity, _ in found]), torch.cat([position for _, position in found])


def weighted(similarity: Tensor, labels: Tensor, classes: int, temperature: float) -> Tensor:
    """Classes int64 [Q] from the similarities and labels [Q, k] of the neighbours; of equals, the lowest class."""
    # Shifted by the largest, which scales all votes of a query alike and keeps exp in range at any temperature.
    votes = ((similarity - similarity[:, :1]) / temperature).exp()
    return _most(labels, votes, classes)


def plain(labels: Tensor, classes: int) -> Tensor:
    """The majority class int64 [Q] among the labels [Q, k] of the neighbours; of equals, the lowest class."""
    return one_hot(labels, classes).sum(dim=1).argmax(dim=1)


def _most(labels: Tensor, votes: Tensor, classes: int) -> Tensor:
    return votes.new_zeros(len(votes), classes).scatter_add_(1, labels, votes).argmax(dim=1)
