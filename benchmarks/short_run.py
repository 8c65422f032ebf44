"""A pretraining of ten steps, whose losses and weights are compared; `python -m benchmarks.short_run FILE DEVICE`.

torchrun starts it in two processes, and the first writes the losses.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.workload import PLAIN, images, simclr, views
from ssl_core import parallel
from ssl_core.backbones import ResNetConfig
from ssl_core.evaluation.embedding import on_device
from ssl_core.heads import ProjectorConfig
from ssl_core.training.batches import Resident
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.iteration import Acceleration
from ssl_core.training.optimiser import SGDConfig
from ssl_core.training.pretraining import PretrainingConfig, pretrain

SIDE, COUNT, BATCH, STEPS = 32, 320, 64, 10
RATE = 0.002
"""So low that rounding stays rounding: over the steps it grew to 2e-4 of a loss, where other draws made 2e-2."""
EXACT = Acceleration(precision=torch.float32)


def run(
    device: torch.device, acceleration: Acceleration, folder: Path | None = None, stop_at: int = -1
) -> tuple[list[float], Tensor]:
    """Losses of a short pretraining and how its weights moved; it is killed after step `stop_at`."""
    objective = simclr(ResNetConfig(name="resnet10", width=8), SIDE, ProjectorConfig())
    on_device(objective, device)
    losses: list[float] = []
    before = _weights(objective)

    def record(step: int, _: float, values: dict[str, float]) -> None:
        losses.append(values["loss"])
        if step == stop_at:
            raise KilledError

    optimiser = SGDConfig(learning_rate=RATE)
    config = PretrainingConfig(epochs=STEPS * BATCH / COUNT, batch_size=BATCH, record_every=1, optimiser=optimiser)
    checkpoints = Checkpoints(folder, {}, every_seconds=0) if folder else None
    augment = views(PLAIN, compiled=acceleration.compiled)
    resident = Resident([images(COUNT, SIDE)], device)
    pretrain(objective, resident, None, augment, config, 0, record, checkpoints, acceleration)
    return losses, _weights(objective) - before


def _weights(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()]).cpu()


class KilledError(Exception):
    """Ends a run between two steps."""


def compute_exactly() -> None:
    """Rounding alone may tell two ways apart."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def main(file: str, device: str) -> None:
    compute_exactly()
    with parallel.joined(torch.device(device)) as own:
        losses, _ = run(own, EXACT)
        if parallel.share()[0] == 0:
            Path(file).write_text(json.dumps(losses))


if __name__ == "__main__":
    main(*sys.argv[1:])
