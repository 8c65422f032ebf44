"""Fine-tuning: the downstream model without the stop-gradient, from the fitted probe's head.

The head starts as the probe because a head that knows nothing sends gradients that distort the pretrained
representation before it has learnt (Kumar et al., 2022, arXiv:2202.10054: LP-FT, linear probing then fine-tuning).
AdamW, cosine to 0, batch norm in training mode, no augmentation. Learning rate and step are chosen on a sample of val.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ssl_core.evaluation.config import FineTuningConfig
from ssl_core.evaluation.downstream import Downstream, LinearHead
from ssl_core.evaluation.embedding import embed, on_device
from ssl_core.evaluation.metrics import accuracy
from ssl_core.evaluation.split import Split
from ssl_core.precision import autocast


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuned:
    """The model that was best on val, and where it came from."""

    model: Downstream
    learning_rate: float
    step: int
    accuracy: float


def choose(
    backbone: nn.Module, head: LinearHead, train: Split, val: Split, config: FineTuningConfig, seed: int
) -> FineTuned:
    """Fine-tune copies of the backbone and the head with each learning rate; keep the state that is best on `val`.

    Of equals, the earliest. The backbone and head that are given stay as they are.
    """
    best = None
    for rate in config.learning_rates:
        model = Downstream(copy.deepcopy(backbone), copy.deepcopy(head), "fine_tuning")
        for step in _fine_tune(model, train, rate, config, seed):
            reached = accuracy(predict(model, val), val.labels)
            if best is None or reached > best.accuracy:
                best = FineTuned(model=copy.deepcopy(model), learning_rate=rate, step=step, accuracy=reached)
    assert best is not None  # the configuration has a learning rate and an evaluation
    return best


def predict(model: Downstream, split: Split) -> np.ndarray:
    """Predicted classes int64 [N] of a split's images."""
    return embed(model, split.images).argmax(axis=1)


def _fine_tune(model: Downstream, train: Split, rate: float, config: FineTuningConfig, seed: int) -> Iterator[int]:
    """Fine-tune in place, and stop for the caller after each of `evaluations` equal parts of the steps."""
    device = train.images.device
    on_device(model, device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    stops = {round(part * config.steps / config.evaluations) for part in range(1, config.evaluations + 1)}
    for step, index in enumerate(_batches(len(train.labels), config, seed), start=1):
        model.train()
        labels = torch.from_numpy(train.labels[index]).to(device)
        with autocast(device):
            loss = F.cross_entropy(model(train.images.batch(index)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step in stops:
            yield step


def _batches(count: int, config: FineTuningConfig, seed: int) -> Iterator[np.ndarray]:
    """Positions of `steps` batches: a new order every pass, the rest that fills no batch dropped."""
    size = min(config.batch_size, count)
    generator = np.random.default_rng(seed)
    order = np.empty(0, dtype=np.int64)
    for _ in range(config.steps):
        if len(order) < size:
            order = generator.permutation(count)
        yield order[:size]
        order = order[size:]
