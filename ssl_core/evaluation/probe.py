"""The linear probe: multinomial logistic regression on frozen, standardised representations.

minimise  mean cross-entropy + weight_decay / 2 x |W|^2   (the bias is not decayed)

by full-batch L-BFGS, which needs no learning rate and no shuffling. In scikit-learn's terms C = 1 / (weight_decay x N).
At most 100 iterations a fit: 1,000 took several times as long on 54,000 representations of 128 dimensions, for a loss
0.2 % lower and the same accuracy within 0.05 points.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.evaluation.downstream import Downstream, LinearHead
from ssl_core.evaluation.metrics import accuracy
from ssl_core.evaluation.split import Split


def fit(head: LinearHead, standardised: Tensor, labels: Tensor, weight_decay: float) -> None:
    """Fit the head's linear layer in place, from where it stands; `standardised` float32 [N, D], `labels` int64 [N]."""
    weight, bias = head.linear.weight, head.linear.bias
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=100, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def objective() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(head.linear(standardised), labels) + weight_decay / 2 * weight.square().sum()
        loss.backward()
        return loss.item()

    optimiser.step(objective)


def choose(train: Split, val: Split, classes: int, weight_decays: Sequence[float]) -> tuple[LinearHead, float]:
    """The fitted head that is most accurate on val, and its weight decay; of equals, the strongest decay.

    Each fit starts from the next stronger decay's solution.
    """
    head = LinearHead(train.representations, classes)
    standardised = head.standardise(train.representations)
    labels = torch.from_numpy(train.labels).to(standardised.device)
    best, chosen, best_accuracy = head, max(weight_decays), -1.0
    for weight_decay in sorted(weight_decays, reverse=True):
        fit(head, standardised, labels, weight_decay)
        reached = accuracy(predict(head, val), val.labels)
        if reached > best_accuracy:
            best, chosen, best_accuracy = copy.deepcopy(head), weight_decay, reached
    return best, chosen


def predict(head: LinearHead, split: Split) -> np.ndarray:
    """Predicted classes int64 [N] of a split's stored representations."""
    model = Downstream(nn.Identity(), head, "feature_extraction")
    with torch.inference_mode():
        return model(split.representations).argmax(dim=1).cpu().numpy()
