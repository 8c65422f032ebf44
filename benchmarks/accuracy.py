"""How far SimCLR gets in some minutes: k-NN accuracy over time, towards 90 % on CIFAR-10.

ResNet-18, SimCLR's recipe, batch 512, LARS; as many epochs as fit. k-NN (k = 20) of val against train while it runs, of
test once at the end.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.page import Report, Section
from benchmarks.step import TINY, Case
from benchmarks.workload import STRONG, simclr, views
from ssl_core.backbones import ResNetConfig
from ssl_core.evaluation import EvaluationConfig, knn
from ssl_core.evaluation.embedding import Images, embed, on_device
from ssl_core.evaluation.metrics import accuracy
from ssl_core.evaluation.split import Split
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives import Objective
from ssl_core.training.batches import Resident
from ssl_core.training.iteration import Acceleration
from ssl_core.training.optimiser import LARSConfig
from ssl_core.training.pretraining import PretrainingConfig, pretrain

CIFAR = Case(name="ResNet-18", backbone=ResNetConfig(name="resnet18"), side=32, batch=512)
PROJECTOR = ProjectorConfig(layers=2, width=2048, output=256)
GOAL = 0.9
LOOKS = 8
"""How often k-NN is measured on the way."""
TRIAL_STEPS = 60
STARTING_SECONDS = 25.0
"""For compiling again, most of which is cached, and capturing."""


class Race:
    """A pretraining against the clock, on prepared arrays."""

    def __init__(self, folder: Path, device: torch.device, tiny: bool) -> None:
        self.case, self.device = TINY if tiny else CIFAR, device
        self.arrays = {name: np.load(folder / f"{name}_images.npy") for name in ("train", "val", "test")}
        self.labels = {name: np.load(folder / f"{name}_labels.npy") for name in self.arrays}
        colours = self.arrays["train"].reshape(-1, 3)
        self.mean = tuple((colours.mean(axis=0) / 255).tolist())
        self.std = tuple((colours.std(axis=0) / 255).tolist())
        self.resident = Resident([self.arrays["train"]], device)
        fast = device.type == "cuda"
        self.acceleration = Acceleration(compiled=fast, captured=fast)

    def pretrain(self, steps: int, record: Callable[[Objective, int, float], None], every: int) -> Objective:
        """Pretrain a new objective for some steps."""
        case, count = self.case, len(self.resident)
        objective = simclr(case.backbone, self.arrays["train"].shape[1], PROJECTOR)
        on_device(objective, self.device)
        per_epoch = count // case.batch
        optimiser = LARSConfig(learning_rate=0.4, weight_decay=1e-4, warmup=min(0.1, 10 * per_epoch / steps))
        config = PretrainingConfig(
            epochs=steps / per_epoch, batch_size=case.batch, record_every=every, optimiser=optimiser
        )
        augment = views(STRONG, self.mean, self.std, compiled=self.acceleration.compiled)

        def recorded(step: int, epoch: float, _: dict[str, float]) -> None:
            record(objective, step, epoch)

        pretrain(objective, self.resident, None, augment, config, 0, recorded, None, self.acceleration)
        return objective

    def seconds_a_step(self) -> float:
        """Measured between the middle and the end of a short pretraining, when all is compiled."""
        times: list[float] = []
        steps = min(TRIAL_STEPS, len(self.resident) // self.case.batch)

        def note(*_: object) -> None:
            times.append(time.perf_counter())

        self.pretrain(steps, note, max(1, steps // 2))
        return (times[-1] - times[1]) / max(1, steps - 1 - steps // 2)

    def knn(self, objective: Objective, name: str) -> float:
        """The accuracy of the k nearest of train on another split."""
        splits = [self._split(objective, each) for each in ("train", name)]
        classes = int(self.labels["train"].max()) + 1
        found = knn.predict(splits[0], splits[1], classes, EvaluationConfig())["knn20"]
        objective.train()
        return accuracy(found, self.labels[name])

    def _split(self, objective: Objective, name: str) -> Split:
        images = Images.of(self.arrays[name], self.mean, self.std, self.device)
        h = torch.from_numpy(embed(objective.encoder, images)).to(self.device)
        return Split(images=images, labels=self.labels[name], representations=h)


def table(folder: Path, device: torch.device, tiny: bool, left: Callable[[], float], report: Report) -> None:
    """The table of accuracies over time."""
    race = Race(folder, device, tiny)
    a_step = race.seconds_a_step()
    steps = max(2 * LOOKS, int((0.8 * left() - STARTING_SECONDS) / a_step)) if not tiny else 2 * LOOKS
    case = race.case
    done = Section(
        title=f"Towards {GOAL:.0%} k-NN accuracy",
        measured=(
            f"{case.name}, SimCLR, batch {case.batch}, LARS, {len(race.resident):,} images, "
            f"{steps / (len(race.resident) // case.batch):.0f} epochs at {case.batch / a_step:,.0f} images/s."
        ),
        columns=["epoch", "seconds", "k-NN 20, val"],
    )
    begun = time.perf_counter()

    def look(objective: Objective, step: int, epoch: float) -> None:
        if step == 0:
            return
        done.rows.append([f"{epoch:.0f}", f"{time.perf_counter() - begun:.0f}", f"{race.knn(objective, 'val'):.1%}"])
        report(done)

    objective = race.pretrain(steps, look, steps // LOOKS)
    reached = race.knn(objective, "test")
    done.figures = {"seconds_a_step": a_step, "steps": steps, "test": reached, "rows": done.rows}
    done.meaning = f"On test: {reached:.1%} after {time.perf_counter() - begun:.0f} s, evaluations included."
    report(done)
