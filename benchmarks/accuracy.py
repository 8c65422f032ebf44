"""How long SimCLR takes to 90 % k-NN accuracy on CIFAR-10, over seeds.

ResNet-18, SimCLR's recipe, batch 512, LARS, a schedule of fixed length. The rule is that of the open challenge of
github.com/dkobak/simclr-cifar10: the 10 nearest of the 50,000 train images, by cosine, vote on the 10,000 of test.
Its SimCLR got there in 500 epochs, in 99 minutes of an A100. All train images are pretrained on, val's among them,
without labels; on the way val is classified by the others, test once, at the end.
"""

import json
import statistics
from pathlib import Path

from benchmarks import arrays
from benchmarks.cell import Cell, Method, knn10
from benchmarks.page import Section
from benchmarks.part import Figures, Part, Setting
from benchmarks.step import CASES, TINY
from benchmarks.workload import STRONG
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives import Objective
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.training.optimiser import LARSConfig

GOAL = 0.9
EPOCHS, LOOKS, SEEDS = 500, 20, 3


def part(setting: Setting) -> Part:
    """One piece a seed."""
    seeds = range(1 if setting.tiny else SEEDS)
    pieces = {f"seed {seed}": lambda seed=seed: run(setting, seed) for seed in seeds}
    return Part(pieces=pieces, section=section, limit=None)


def method(tiny: bool) -> Method:
    """SimCLR as the challenge's."""
    case = TINY if tiny else CASES["resnet18"]
    projector = ProjectorConfig(layers=2, width=2048, output=256)
    return Method(
        objective=SimCLRConfig(name="simclr", projector=projector),
        backbone=case.backbone,
        recipes=(STRONG,),
        optimiser=LARSConfig(learning_rate=0.4, weight_decay=1e-4, warmup=10 / EPOCHS),
        batch=case.batch,
    )


def run(setting: Setting, seed: int) -> Figures:
    """A whole pretraining, with looks on the way that outlive a cut call."""
    assert setting.data, "it needs --data"
    data, chosen = arrays.load(setting.data, setting.folder.parent / "arrays"), method(setting.tiny)
    cell = Cell(
        method=chosen,
        arrays=data,
        splits=("train", "val"),
        epochs=1 if setting.tiny else EPOCHS,
        seed=seed,
        folder=setting.folder / f"seed{seed}",
        device=setting.device,
    )
    file = cell.folder / "looks.json"
    looks: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {}
    per_epoch = sum(len(data.images[name]) for name in cell.splits) // chosen.batch

    def look(objective: Objective, step: int, seconds: float) -> None:
        epoch = f"{(step + 1) / per_epoch:.2f}"
        if epoch not in looks:  # those of before a cut are told again
            train, val = (cell.split(objective.encoder, name) for name in ("train", "val"))
            looks[epoch] = [seconds, knn10(train, val, data.classes)]
            _keep(file, looks)

    objective, figures = cell.pretrain(max(1, int(cell.epochs * per_epoch) // LOOKS), look)
    bank, test = cell.split(objective.encoder, "train", "val"), cell.split(objective.encoder, "test")
    return {**figures, "looks": looks, "test": knn10(bank, test, data.classes)}


def _keep(file: Path, looks: dict[str, list[float]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(looks))
    partial.replace(file)


def section(figures: dict[str, Figures]) -> Section:
    """A row a seed: when val reached the goal, what test was at the end, and when that was."""
    done = Section(
        title=f"To {GOAL:.0%} k-NN accuracy",
        measured=(
            f"ResNet-18, SimCLR, batch 512, LARS, {EPOCHS} epochs. Minutes are those of the pretraining, looks "
            "included; k-NN: 10 nearest, cosine."
        ),
        columns=["", f"val at {GOAL:.0%} after, minutes", "test at the end", "after, minutes"],
    )
    for name, each in figures.items():
        first = next((f"{seconds / 60:.1f}" for seconds, reached in each["looks"].values() if reached >= GOAL), "not")
        done.rows.append([name, first, f"{each['test']:.2%}", f"{each['seconds'] / 60:.1f}"])
    if len(figures) > 1:
        reached, minutes = ([each[key] for each in figures.values()] for key in ("test", "seconds"))
        spread = f"{statistics.mean(reached):.2%} ± {statistics.stdev(reached):.2%}"
        done.meaning = f"Test: {spread} after {statistics.mean(minutes) / 60:.1f} minutes."
    return done
