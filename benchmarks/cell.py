"""A pretraining on arrays that goes on from its last checkpoint, and what its representations are worth."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.arrays import Arrays
from benchmarks.part import Figures
from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment, Recipe
from ssl_core.backbones import BackboneConfig
from ssl_core.evaluation import EvaluationConfig, kinds, knn, linear_probe
from ssl_core.evaluation.embedding import Images, embed, on_device
from ssl_core.evaluation.metrics import accuracy
from ssl_core.evaluation.split import Split
from ssl_core.objectives import Objective
from ssl_core.training.batches import Resident
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.iteration import Acceleration
from ssl_core.training.optimiser import OptimiserConfig
from ssl_core.training.pretraining import PretrainingConfig, pretrain

CHECKPOINT_SECONDS = 20.0
"""What a call that is cut loses at most."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """An objective's configuration with all that it is pretrained by, and which representation is evaluated."""

    objective: Any
    backbone: BackboneConfig
    recipes: tuple[Recipe, ...]
    optimiser: OptimiserConfig
    batch: int
    representation: str = "backbone"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A method with a seed on some splits of the arrays; `folder` has its checkpoints."""

    method: Method
    arrays: Arrays
    splits: Sequence[str]
    epochs: float
    seed: int
    folder: Path
    device: torch.device

    def pretrain(self, every: int, look: Callable[[Objective, int, float], None]) -> tuple[Objective, Figures]:
        """The objective at the end; `look(objective, step, seconds)` every so many steps.

        Seconds are those of all calls that worked on it: compilations, looks, and what a cut one did after its last
        checkpoint not included.
        """
        method, fast = self.method, self.device.type == "cuda"
        torch.manual_seed(self.seed)
        side = self.arrays.images["train"].shape[1]
        network = backbones.build(method.backbone, side)
        objective = objectives.build(method.objective, network, side, self.arrays.classes)
        on_device(objective, self.device)
        resident = Resident([self.arrays.images[name] for name in self.splits], self.device)
        checkpoints = Checkpoints(self.folder, {"seed": str(self.seed), "method": repr(method)}, CHECKPOINT_SECONDS)
        before = (checkpoints.load() or {"seconds": 0.0})["seconds"]
        begun = time.perf_counter()

        def record(step: int, *_: object) -> None:
            if step:
                look(objective, step, before + time.perf_counter() - begun)
                objective.train()

        outcome = pretrain(
            objective,
            resident,
            self._labels() if objective.needs_labels else None,
            Augment(method.recipes, self.arrays.mean, self.arrays.std, compiled=fast),
            PretrainingConfig(
                epochs=self.epochs, batch_size=method.batch, record_every=every, optimiser=method.optimiser
            ),
            self.seed,
            record,
            checkpoints,
            Acceleration(compiled=fast, captured=fast),
        )
        seconds = before + time.perf_counter() - begun
        return objective, {"seconds": seconds, "images": outcome.steps * method.batch}

    def _labels(self) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([self.arrays.labels[name] for name in self.splits])).to(self.device)

    def split(self, network: torch.nn.Module, *names: str) -> Split:
        """Representations of one or several splits together."""
        pixels, labels = (
            np.concatenate([kind[name] for name in names]) for kind in (self.arrays.images, self.arrays.labels)
        )
        images = Images.of(pixels, self.arrays.mean, self.arrays.std, self.device)
        h = torch.from_numpy(embed(network, images)).to(self.device)
        return Split(images=images, labels=labels, representations=h)


def knn10(bank: Split, queries: Split, classes: int) -> float:
    """The accuracy of the vote of the 10 nearest by cosine, each with one vote."""
    similarity, position = knn.neighbours(queries.representations, bank.representations, 10)
    labels = torch.from_numpy(bank.labels).to(position.device)[position]
    found = kinds.winner(labels, torch.ones_like(similarity), classes).cpu().numpy()
    return accuracy(found, queries.labels)


def probe(train: Split, val: Split, test: Split, classes: int) -> float:
    """The accuracy on test of the linear probe whose weight decay is the best on val."""
    head, _ = linear_probe.choose(train, val, classes, EvaluationConfig().weight_decays)
    return accuracy(linear_probe.predict(head, test), test.labels)
