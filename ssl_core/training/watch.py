"""What is watched while a pretraining runs, and ends it: losses that are not finite, representations that collapse."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_core import collapse, parallel
from ssl_core.augmentation import Augment, normalise
from ssl_core.collapse import CollapseThresholds, embedding_std, rankme
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.precision import autocast
from ssl_core.training.batches import TrainingImages

Row = tuple[int, float, dict[str, float]]
"""Step, epoch, and loss terms and diagnostics by name."""
Record = Callable[[int, float, dict[str, float]], None]
"""Is given a row."""
WATCHED = 256
"""Images whose representations tell whether they collapse: RankMe is at most their number, and a batch may be small."""
PATIENCE = 5
"""Rows of the history in a row that must find a collapse before it ends a pretraining."""


def losses(terms: dict[str, Tensor], step: int) -> dict[str, float]:
    """Loss terms over all processes, and their sum, `loss`. Raises `Refused` where one is not finite."""
    values = dict(zip(terms, parallel.mean(torch.stack(list(terms.values()))).tolist(), strict=True))
    for name, value in values.items():
        if value - value != 0:
            raise Refused(f"the loss term '{name}' is {value} at step {step}; lower the learning rate")
    return values | {"loss": float(sum(values.values()))}


def watched(images: TrainingImages, seed: int) -> Tensor:
    """This process's share of the images uint8 [N, 3, H, W] that are watched: the same ones from first to last."""
    rank, ranks = parallel.share()
    count = min(WATCHED, len(images)) // ranks
    chosen = np.random.default_rng(seed).permutation(len(images))[rank * count : (rank + 1) * count]
    ((_, pixels),) = images.batches(iter([chosen]))
    return pixels


@torch.no_grad()
def diagnostics(objective: Objective, images: Tensor, augment: Augment) -> dict[str, float]:
    """How far the representations of images uint8 [N, 3, H, W] have spread, as an evaluation would see them."""
    objective.eval()
    with autocast(images.device):
        h = parallel.gather(objective.encoder(normalise(images, augment.mean, augment.std)).float())
    objective.train()
    if not h.isfinite().all():
        raise Refused("the representations are not finite any more; lower the learning rate")
    return {"embedding_std": embedding_std(h), "rankme": rankme(h)}


def collapses(history: list[Row], warmed_up: float, thresholds: CollapseThresholds) -> list[str]:
    """Why each of the latest rows counts as collapsed, oldest first; none before step `warmed_up` does."""
    said: list[str] = []
    for step, _, values in reversed(history[-PATIENCE:]):
        verdict = collapse.verdict(values["embedding_std"], values["rankme"], thresholds)
        if not verdict.collapsed or step < warmed_up:
            break
        said.append(f"the representations collapsed at step {step}: {verdict.why}")
    return said[::-1]


def refuse_non_finite(losses: Tensor, objective: Objective, step: int) -> None:
    """Raise `Refused` unless all losses until now were finite (a bool scalar, as `Iteration.finite`), and the weights.

    A finite loss can have a gradient that is not: the weights tell, and are the same in all processes.
    """
    if not losses:
        raise Refused(f"a loss was not finite before step {step}; lower the learning rate")
    if not torch.stack([tensor.isfinite().all() for tensor in objective.state_dict().values()]).all():
        raise Refused(f"a weight was not finite before step {step}; lower the learning rate")
