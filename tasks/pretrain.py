"""Pretrain a cell's backbone on unlabelled images: `python -m tasks.pretrain VARIANT SEED IMAGES`.

With `compute.devices` above 1 the command starts a process for each, by torchrun.
"""

import csv
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from ssl_core import backbones, cost, objectives, parallel
from ssl_core.augmentation import Augment
from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from ssl_core.objectives import Objective
from ssl_core.training import batches, torchrun
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.pictures import write_pictures
from ssl_core.training.pretraining import Outcome, pretrain
from ssl_core.training.watch import Record, Row
from tasks import cells, lacking, starting, weights
from tasks.cells import Cell
from tasks.configuration import configs
from tasks.configuration.configs import Pretraining
from tasks.identity import identity
from tasks.stage import arguments, atomic_folder, root, stage
from tasks.tracking import observations
from tasks.tracking.live import live
from tasks.tracking.observations import Observation

FOLDER = root() / "checkpoints"
CHECKPOINT_SECONDS = 60.0


class Pretrained(NamedTuple):
    """What a pretraining leaves: the objective, how it ended, and what it was made from.

    `started_from` is the sha256 of given weights; `step_flops` a step's, by the image, None where none was counted.
    """

    objective: Objective
    outcome: Outcome
    data: Prepared
    augment: Augment
    started_from: str | None
    step_flops: int | None


def main(variant: str, seed: str, images: str) -> None:
    """Write `cells/<cell>/pretrain`, weights and pictures of what was seen, and `figures/<cell>/pretrain`, curves."""
    config, cell = configs.read(Pretraining, variant), cells.named(variant, seed)
    data = prepared.load(cells.PREPARED / images)
    lacking.refuse(data.card)
    device = config.compute.use()
    if config.compute.devices > 1 and not parallel.launched():
        torchrun.start(config.compute.devices, "tasks.pretrain", variant, seed, images)
        return
    known = identity("pretrain", cell, configs.file(Pretraining, variant), data.folder / "card.json")
    kept = checkpoints(cell, known, device)
    with parallel.joined(device) as device:
        if parallel.share()[0] > 0:  # the first process alone writes and records
            pretrained(config, cell, data, device, kept, lambda *_: None)
            return
        rows: list[Row] = []
        with (
            live(cell, known, data.card.name) as run,
            observations.observing("pretrain", known, device) as observed,
            atomic_folder(cell.folder("pretrain")) as folder,
            atomic_folder(cell.figures("pretrain")) as figures,
        ):

            def record(step: int, epoch: float, values: dict[str, float]) -> None:
                rows.append((step, epoch, values))
                run.record(step, values)

            done = pretrained(config, cell, data, device, kept, record)
            write(done, config, folder)
            write_figures(rows, done.outcome, known, figures)
            observe(done, config, observed)
    if done.outcome.stopped:
        left = f"; the state of before is kept in {kept.folder}" if kept.folder.exists() else ""
        print(f"stopgrad: {cell.name} ended early: {done.outcome.stopped}{left}", file=sys.stderr)
    else:
        shutil.rmtree(kept.folder, ignore_errors=True)
        with suppress(OSError):  # not empty: another configuration of the cell was interrupted
            kept.folder.parent.rmdir()


def pretrained(
    config: Pretraining, cell: Cell, data: Prepared, device: torch.device, kept: Checkpoints, record: Record
) -> Pretrained:
    """Pretrain the cell's objective, from its last checkpoint if there is one."""
    objective, started_from = build(config, data, cell.seed)
    objective = objective.to(device).to(memory_format=torch.channels_last)
    parts, labels = [data.images(split) for split in ("train", "unlabelled") if split in data.splits], None
    if objective.needs_labels:
        parts, labels = parts[:1], torch.from_numpy(data.wanted("train")).to(device)
    images = batches.images(parts, device)
    flops = _step_flops(objective, config, data)
    operations = None if flops is None else flops * config.pretraining.epochs * len(images)
    acceleration = config.compute.acceleration(device, operations)
    mean, std = weights.standardised_with(config.backbone, data.card, config.normalisation)
    augment = Augment(config.augmentation, mean, std, compiled=acceleration.compiled)
    outcome = pretrain(objective, images, labels, augment, config.pretraining, cell.seed, record, kept, acceleration)
    return Pretrained(objective, outcome, data, augment, started_from, flops)


def _step_flops(objective: Objective, config: Pretraining, data: Prepared) -> int | None:
    """Those of a step by the image, counted for one process."""
    if not objective.trained or parallel.share()[1] > 1:
        return None
    batch = config.pretraining.batch_size // config.pretraining.accumulate
    return cost.step_flops(objective, config.augmentation, data.card.image_size, batch)


def checkpoints(cell: Cell, known: str, device: torch.device) -> Checkpoints:
    """Those of the cell with its present configuration, data and code; of another device, they are refused.

    After an edit of any of these, pretraining begins anew in another folder: going on from the old state would end in
    weights that neither makes.
    """
    fingerprint = {"device": device.type, "PyTorch": str(torch.__version__)}
    return Checkpoints(FOLDER / cell.name / known, fingerprint, CHECKPOINT_SECONDS)


def write(done: Pretrained, config: Pretraining, folder: Path) -> None:
    """Write what later stages read, and pictures."""
    origin = {"method": config.method, "objective": config.objective.name, "variant": config.variant}
    if done.started_from:
        origin["started_from_sha256"] = done.started_from
    head, card = done.objective.projector_config, done.data.card
    weights.keep(done.objective.kept(), config.backbone, head, card, folder, origin, config.normalisation)
    device = next(done.objective.parameters()).device
    shown = torch.from_numpy(done.data.images("train")[:8]).to(device).permute(0, 3, 1, 2)
    # A few views are not worth a compilation.
    augment = Augment(config.augmentation, done.augment.mean, done.augment.std)
    write_pictures(done.objective, shown, augment, folder / "pictures")


def write_figures(rows: list[Row], outcome: Outcome, known: str, folder: Path) -> None:
    """Write loss terms and diagnostics, one value a row, and how it ended."""
    with (folder / "curves.csv").open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(("step", "epoch", "name", "value"))
        for step, epoch, values in rows:
            writer.writerows((step, f"{epoch:.6g}", name, f"{value:.6g}") for name, value in values.items())
    said = {"steps": outcome.steps, "stopped": outcome.stopped}
    (folder / "outcome.json").write_text(json.dumps(said, indent=2) + "\n")
    (folder / observations.IDENTITY).write_text(known)


def observe(done: Pretrained, config: Pretraining, observed: Observation) -> None:
    """Note what it cost."""
    observed.images = done.outcome.steps * config.pretraining.batch_size
    observed.seconds_before = done.outcome.seconds_before
    encoder, size = done.objective.encoder, done.data.card.image_size
    observed.parameters = sum(p.numel() for p in encoder.parameters())
    observed.flops_per_image = cost.forward_flops(encoder, size)
    if not done.objective.trained:
        return
    observed.trained_parameters = sum(p.numel() for p in done.objective.parameters() if p.requires_grad)
    observed.step_flops_per_image = done.step_flops


def build(config: Pretraining, data: Prepared, seed: int) -> tuple[Objective, str | None]:
    """The variant's objective around its backbone; the seed alone decides the initial weights. And what it starts from.

    Given weights are loaded before the objective is built: its teacher, if it has one, is a copy of them.
    """
    torch.manual_seed(seed)
    backbone = backbones.build(config.backbone, data.card.image_size)
    started_from = starting.start(backbone, config.backbone, config.weights_sha256)
    backbones.freeze(backbone, config.backbone.frozen_stages)
    built = objectives.build(config.objective, backbone, data.card.image_size, len(data.card.classes))
    return built, started_from


if __name__ == "__main__":
    with stage():
        main(*arguments("VARIANT", "SEED", "IMAGES"))
