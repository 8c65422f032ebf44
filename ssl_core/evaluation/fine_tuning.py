"""Fine-tuning: the downstream model without the stop-gradient, from the fitted probe's head.

The head starts as the probe because a head that knows nothing sends gradients that distort the pretrained
representation before it has learnt (Kumar et al., 2022, arXiv:2202.10054: LP-FT, linear probing then fine-tuning).
AdamW, cosine to 0, batch norm in training mode. Learning rate and step are chosen on a sample of val: all rates are
tried until the first comparison, and the best goes on alone (successive halving, arXiv:1502.07943).
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl_core.backbones import Backbone
from ssl_core.evaluation import labelled_batches
from ssl_core.evaluation.config import FineTuningConfig
from ssl_core.evaluation.downstream import Downstream, LinearHead
from ssl_core.evaluation.embedding import embed, on_device
from ssl_core.evaluation.split import Split
from ssl_core.precision import autocast


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuned:
    """A state of the model: where it came from, and how good it is on val, by the kind's first metric."""

    model: Downstream
    learning_rate: float
    step: int
    reached: float


def choose(
    backbone: nn.Module, head: LinearHead, train: Split, val: Split, config: FineTuningConfig, seed: int
) -> FineTuned:
    """Fine-tune copies of the backbone and the head; of what was compared on `val`, the best state.

    Of equals, the earliest rate and step. The backbone and the head that are given stay as they are, and so do
    PyTorch's default generators, which draw a backbone's drop path.
    """
    device = train.images.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        tried = [_states(backbone, head, rate, train, val, config, seed) for rate in config.learning_rates]
        first = [next(states) for states in tried]
        reached = [state.reached for state in first]
        ahead = reached.index(max(reached))
        best = first[ahead]
        for state in tried[ahead]:
            best = state if state.reached > best.reached else best
    return best


def predict(model: Downstream, split: Split) -> np.ndarray:
    """Predicted classes int64 [N] of a split's images; scores [N, L] of labels, or numbers [N]."""
    return split.kind.read(torch.from_numpy(embed(model, split.images))).numpy()


def _states(
    backbone: nn.Module, head: LinearHead, rate: float, train: Split, val: Split, config: FineTuningConfig, seed: int
) -> Iterator[FineTuned]:
    """The states after each of `evaluations` equal parts of the steps, which are done as they are asked for."""
    model = Downstream(copy.deepcopy(backbone), copy.deepcopy(head), "fine_tuning")
    device, steps = train.images.device, config.steps(len(train))
    on_device(model, device)
    optimiser = torch.optim.AdamW(layer_rates(model, rate, config.layer_decay), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    stops = {round(part * steps / config.evaluations) for part in range(1, config.evaluations + 1)}
    batches = labelled_batches.batches(train, head.linear.out_features, config, seed)
    for step, (images, targets) in enumerate(batches, start=1):
        model.train()
        with autocast(device):
            loss = train.kind.loss(model(images), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step in stops:
            reached = val.kind.metrics[0](predict(model, val), val.labels)
            yield FineTuned(model=copy.deepcopy(model), learning_rate=rate, step=step, reached=reached)


def layer_rates(model: Downstream, rate: float, decay: float) -> list[dict[str, Any]]:
    """Parameter groups with the rate of each: the last stage has `decay` x that of the head, the one before decay^2, ….

    As BEiT (arXiv:2106.08254) and MAE (arXiv:2111.06377, appendix A), but that a last norm goes with the last stage. A
    projector that is part of what is fine-tuned goes with the head.
    """
    trained = {id(p): p for p in model.parameters() if p.requires_grad}
    if decay == 1:
        return [{"params": list(trained.values()), "lr": rate}]
    (backbone,) = (module for module in model.modules() if isinstance(module, Backbone))
    stages, groups = backbone.stages(), []
    for i, modules in enumerate(stages):
        parameters = [p for module in modules for p in module.parameters()]
        parameters = [trained.pop(id(p)) for p in parameters if id(p) in trained]
        groups.append({"params": parameters, "lr": rate * decay ** (len(stages) - i)})
    groups.append({"params": list(trained.values()), "lr": rate})
    return [group for group in groups if group["params"]]
