"""Whether every objective can be replayed as a CUDA graph, with the losses of its eager steps.

The objectives and their settings are those of the tests (`tests/every_objective.py`), which need PyTorch alone.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import part as parts
from benchmarks.part import Figures, Part, Setting, Verdict
from benchmarks.short_run import compute_exactly
from benchmarks.workload import MEAN, STD, images
from ssl_core.augmentation import Augment
from ssl_core.evaluation.embedding import on_device
from ssl_core.training.batches import Resident
from ssl_core.training.iteration import Acceleration
from ssl_core.training.optimiser import SGDConfig
from ssl_core.training.pretraining import PretrainingConfig, pretrain

COUNT, BATCH, STEPS = 320, 32, 8
RATE = 0.002
TOLERANCE = 1e-2
"""Of a loss. Objectives that draw (prototypes, masks, directions) do so on the device, in the graph too."""


def part(setting: Setting) -> Part:
    """One piece an objective; a few where it shall be quick."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    every: Any = importlib.import_module("every_objective")
    names = list(every.EVERY)[:: 20 if setting.tiny else 1]
    return Part(
        pieces={name: lambda name=name: _captured(every, name, setting.device) for name in names},
        section=lambda figures: parts.of_checks(
            "Every objective as a CUDA graph", f"{STEPS} steps, losses beside those of eager steps, float32.", figures
        ),
    )


def _captured(every: Any, name: str, device: torch.device) -> Figures:
    compute_exactly()
    eager = losses(every, name, device, captured=False)
    if device.type != "cuda":
        return Verdict(None, f"eager losses {eager[0]:.3f} to {eager[-1]:.3f}; a graph needs CUDA").figures()
    found = losses(every, name, device, captured=True)
    difference = float(np.max(np.abs(np.subtract(found, eager)) / np.maximum(np.abs(eager), 1)))
    return Verdict(difference < TOLERANCE, f"losses differ by at most {difference:.1e} (allowed {TOLERANCE})").figures()


def losses(every: Any, name: str, device: torch.device, captured: bool) -> list[float]:
    """Those of a short pretraining, a figure a step."""
    config = every.EVERY[name]
    objective = every.build(config)
    on_device(objective, device)
    found: list[float] = []

    def record(_step: int, _epoch: float, values: dict[str, float]) -> None:
        found.append(values["loss"])

    pixels = images(COUNT, every.SIZE)
    labels = torch.arange(COUNT, device=device) % every.CLASSES if objective.needs_labels else None
    chosen = PretrainingConfig(
        epochs=STEPS * BATCH / COUNT, batch_size=BATCH, record_every=1, optimiser=SGDConfig(learning_rate=RATE)
    )
    augment = Augment(every.uncoloured(config), MEAN, STD)
    acceleration = Acceleration(precision=torch.float32, captured=captured)
    pretrain(objective, Resident([pixels], device), labels, augment, chosen, 0, record, None, acceleration)
    return found
