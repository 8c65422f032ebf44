"""k-nearest-neighbour classification of frozen representations, by cosine similarity.

`knn20`: each of the 20 nearest votes for its class with exp(similarity / temperature) (Wu et al., 2018,
arXiv:1805.01978, section 3.4; with k = 20 and 0.07 in DINO, arXiv:2104.14294). `plain_knn200`: each of the 200
nearest votes with 1, which is not DINO's k-NN of k = 200, whose votes are weighted too. Where the labelled images are
fewer than k, all of them vote. Of several labels each vote is for the labels that the neighbour has, and the score of a
label is its share of the votes; of numbers it is their mean, weighted by the votes.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ssl_core.evaluation.config import EvaluationConfig
from ssl_core.evaluation.split import Split

NEIGHBOURS = {"knn20": 20, "plain_knn200": 200}
CHUNK = 128, 512
"""Queries at a time, at least and at most; between these as many as dimensions, as each product reads the bank anew.

The similarities of 512 to 50,000 images are 100 MB, memory that is kept for the next ones.
"""

GROUP = 16
"""Similarities that are searched as one; about the root of 50,000 over 200, at which both searches are as long."""


def predict(bank: Split, queries: Split, classes: int, config: EvaluationConfig) -> dict[str, np.ndarray]:
    """Predicted classes int64 [Q] of the queries from the labelled images of the bank, by kind of vote.

    Of several labels scores [Q, L], of numbers [Q].
    """
    similarity, position = neighbours(queries.representations, bank.representations, max(NEIGHBOURS.values()))
    labels = torch.from_numpy(bank.labels).to(position.device)[position]
    near = NEIGHBOURS["knn20"]
    # The difference to the nearest scales all votes of a query alike, and keeps exp in range at any temperature.
    votes = ((similarity - similarity[:, :1]) / config.knn_temperature).exp()
    vote = bank.kind.vote
    return {
        "knn20": vote(labels[:, :near], votes[:, :near], classes).cpu().numpy(),
        "plain_knn200": vote(labels, torch.ones_like(votes), classes).cpu().numpy(),
    }


def neighbours(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosine similarities and bank positions [Q, min(k, bank)] of the nearest, nearest first."""
    k = min(k, len(bank))
    columns = normalize(bank, dim=1).T.contiguous()
    least, most = CHUNK
    chunk = min(max(len(columns), least), most)
    found = [largest(normalize(some, dim=1) @ columns, k) for some in queries.split(chunk)]
    return torch.cat([similarity for similarity, _ in found]), torch.cat([position for _, position in found])


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of [Q, N], largest first, and their positions, as `topk` has them.

    Sixteen values at a time: whatever is among the k largest is in one of the k groups with the largest maxima, so that
    two searches of a few thousand stand for one of all. Of equal values at the end either may be taken, as in `topk`.
    """
    rows, count = values.shape
    groups = count // GROUP
    if groups <= 2 * k:
        found, positions = values.topk(k, dim=1)
        return found, positions
    whole = groups * GROUP
    # A group is every groups-th column: maxima of whole rows of them are fast.
    best = values[:, :whole].view(rows, GROUP, groups).amax(dim=1).topk(k, dim=1, sorted=False).indices
    offsets = torch.arange(0, whole, groups, device=values.device)
    rest = torch.arange(whole, count, device=values.device).expand(rows, -1)
    positions = torch.cat([(best[:, None] + offsets[:, None]).flatten(1), rest], dim=1)
    found, place = values.gather(1, positions).topk(k, dim=1)
    return found, positions.gather(1, place)
