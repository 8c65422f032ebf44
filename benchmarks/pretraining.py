"""Images pretrained on per second, end to end: Stopgrad's loop beside a loop of lightly's own parts.

Both pretrain SimCLR with the same backbone, batch, recipe and sizes of projector on the same images. lightly's parts
are put together as its examples do it: PIL images, its transform in a data loader's workers, its head and loss, SGD.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks import timing
from benchmarks.page import Section
from benchmarks.workload import MEAN, PLAIN, STD, images, simclr, views
from ssl_core import backbones
from ssl_core.backbones import ResNetConfig
from ssl_core.evaluation.embedding import on_device
from ssl_core.heads import ProjectorConfig
from ssl_core.training.batches import Resident
from ssl_core.training.iteration import Acceleration
from ssl_core.training.pretraining import PretrainingConfig, pretrain

CPU = torch.device("cpu")
SIDE, BATCH = 32, 256
BACKBONE = ResNetConfig(name="resnet10", width=16)
PROJECTOR = ProjectorConfig(layers=2, width=256, output=128)
OURS, COMPILED, THEIRS = "stopgrad", "stopgrad, compiled", "lightly's parts"


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    steps, rounds = (2, 1) if quick else (12, 4)
    workers = os.cpu_count() or 1
    rates = timing.take_turns(contenders(images(steps * BATCH, SIDE), workers), rounds)
    reference = THEIRS if THEIRS in rates else OURS
    gain, compiled = (timing.ratio(rates[name], rates[reference]).text(".1f") for name in (OURS, COMPILED))
    meaning = (
        f"Stopgrad pretrains on {gain} times as many images a second as a loop of lightly's parts, compiled {compiled} "
        "times. Its row in float32, and theirs in bf16, say what the number format has in it, and what the views."
    )
    return Section(
        title="Pretraining, end to end",
        measured=(
            f"SimCLR, ResNet-10 of width 16 with the small stem, {SIDE} px, batch {BATCH}, projector 256-128, the "
            f"default recipe (crop .2-1, flip, jitter, grey): images/s, {rounds} rounds of {steps} steps in turns. "
            f"lightly's parts: `SimCLRTransform` on PIL images in {workers} workers, `SimCLRProjectionHead`, "
            "`NTXentLoss`, float32. Stopgrad: bf16, channels-last."
        ),
        columns=["", "images/s: median (least–greatest)", f"times {reference}"],
        rows=timing.rate_rows(rates, reference),
        meaning=meaning if reference == THEIRS else "lightly is not installed here: nothing is compared.",
    )


def contenders(pixels: np.ndarray, workers: int) -> dict[str, Callable[[], int]]:
    """Those that take turns; lightly's where it is installed."""
    runs = {
        OURS: ours(pixels, Acceleration()),
        COMPILED: ours(pixels, Acceleration(compiled=True)),
        f"{OURS}, float32": ours(pixels, Acceleration(precision=torch.float32)),
    }
    with contextlib.suppress(ModuleNotFoundError):
        runs[THEIRS] = theirs(pixels, workers, torch.float32)
        runs[f"{THEIRS}, bf16 and channels-last"] = theirs(pixels, workers, torch.bfloat16)
    return runs


def ours(pixels: np.ndarray, acceleration: Acceleration) -> Callable[[], int]:
    """An epoch of `ssl_core`'s loop. Losses and diagnostics are recorded twice, at its first step and its last."""
    objective = simclr(BACKBONE, SIDE, PROJECTOR)
    on_device(objective, CPU)
    augment = views(PLAIN, compiled=acceleration.compiled)
    config = PretrainingConfig(epochs=1, batch_size=BATCH, record_every=10**6)
    resident = Resident([pixels], CPU)

    def epoch() -> int:
        pretrain(objective, resident, None, augment, config, 0, lambda *_: None, None, acceleration)
        return len(pixels)

    return epoch


def theirs(pixels: np.ndarray, workers: int, precision: torch.dtype) -> Callable[[], int]:
    """An epoch of lightly's parts. Raises `ModuleNotFoundError` where lightly is not installed."""
    from lightly.loss import NTXentLoss  # pyright: ignore[reportMissingImports]
    from lightly.models.modules import SimCLRProjectionHead  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    backbone = backbones.build(BACKBONE, SIDE)
    head = SimCLRProjectionHead(backbone.representation_size, PROJECTOR.width, PROJECTOR.output)
    network = nn.Sequential(backbone, head).train()
    half = precision != torch.float32
    if half:
        on_device(network, CPU)
    criterion, optimiser = NTXentLoss(temperature=0.2), torch.optim.SGD(network.parameters(), lr=0.06)
    loader = DataLoader(
        Pictures(pixels), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True
    )

    def epoch() -> int:
        for pair in _pairs(loader, half):
            optimiser.zero_grad()
            with torch.autocast("cpu", precision, enabled=half):
                z0, z1 = (network(view) for view in pair)
            criterion(z0.float(), z1.float()).backward()
            optimiser.step()
        return len(pixels)

    return epoch


def _pairs(loader: DataLoader, channels_last: bool) -> Iterator[list[Tensor]]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for pair in loader:
        yield [view.contiguous(memory_format=layout) for view in pair]


class Pictures(Dataset[list[Tensor]]):
    """PIL images, as a data set read from files has them, in lightly's two views."""

    def __init__(self, pixels: np.ndarray) -> None:
        from lightly.transforms import SimCLRTransform  # pyright: ignore[reportMissingImports]
        from PIL import Image

        self.pictures = [Image.fromarray(image) for image in pixels]
        self.transform = SimCLRTransform(
            input_size=SIDE,
            cj_prob=0.8,
            cj_strength=1.0,
            cj_bright=0.4,
            cj_contrast=0.4,
            cj_sat=0.2,
            cj_hue=0.1,
            min_scale=0.2,
            random_gray_scale=0.2,
            gaussian_blur=0.0,
            normalize={"mean": list(MEAN), "std": list(STD)},
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(self.pictures[index])


def main() -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser(description="Images pretrained on per second, beside lightly.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    print(section(parser.parse_args().quick).markdown())


if __name__ == "__main__":
    main()
