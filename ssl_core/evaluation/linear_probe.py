"""The linear probe: multinomial logistic regression on frozen, standardised representations.

The weight decay is chosen on val. In scikit-learn's terms C = 1 / (weight_decay x N). Of several labels an image it is
a logistic regression for each, of numbers ridge regression, in whose terms alpha = weight_decay x N.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ssl_core.evaluation.downstream import Downstream, LinearHead
from ssl_core.evaluation.split import Split


def choose(train: Split, val: Split, classes: int, weight_decays: Sequence[float]) -> tuple[LinearHead, float]:
    """The fitted head that is best on val by the kind's first metric, and its weight decay; of equals, the strongest.

    `classes`: how many outputs it has. Beside the `weight_decays`, the kind's stronger ones are tried.
    """
    head = LinearHead(train.representations, classes)
    strongest_first = sorted([*weight_decays, *train.kind.stronger], reverse=True)
    fits = fit(head, train, strongest_first)
    reached = []
    for weight, bias in fits:
        _set(head, weight, bias)
        reached.append(val.kind.metrics[0](predict(head, val), val.labels))
    best = reached.index(max(reached))
    _set(head, *fits[best])
    return head, strongest_first[best]


def fit(head: LinearHead, train: Split, weight_decays: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
    """The weight [C, D] and bias [C] that each weight decay gives the head's linear layer."""
    standardised = head.standardise(train.representations)
    labels = torch.from_numpy(train.labels).to(standardised.device)
    weights, biases = train.kind.fit(standardised, labels, head.linear.out_features, weight_decays)
    return list(zip(weights, biases, strict=True))


def predict(head: LinearHead, split: Split) -> np.ndarray:
    """Predicted classes int64 [N] of a split's stored representations; scores [N, L] of labels, or numbers [N]."""
    model = Downstream(nn.Identity(), head, "feature_extraction")
    with torch.inference_mode():
        return split.kind.read(model(split.representations)).cpu().numpy()


def _set(head: LinearHead, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        head.linear.weight.copy_(weight)
        head.linear.bias.copy_(bias)
