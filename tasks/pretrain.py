"""Pretrain one cell's backbone on unlabelled images: `python -m tasks.pretrain VARIANT SEED`.

With `compute.devices` above 1 the command starts a process for each, by torchrun.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ssl_core import backbones, cost, objectives, parallel
from ssl_core.augmentation import Augment
from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from ssl_core.errors import Refused
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives import Objective, Supervised
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.training import batches
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.pretraining import Outcome, pretrain
from ssl_core.training.watch import Record
from tasks import cells, parameters, torchrun, tracking, weights
from tasks.cells import Cell
from tasks.curves import Curves
from tasks.observations import Observation, observing
from tasks.parameters import Parameters
from tasks.pictures import write_pictures
from tasks.stage import atomic_folder, root, stage
from tasks.variants import Variant

SOURCE = Path(objectives.__file__).parents[2]
FOLDER = root() / "checkpoints"
CHECKPOINT_SECONDS = 60.0


class Pretrained(NamedTuple):
    """What a pretraining leaves: the objective, how it ended, and what it was made from."""

    objective: Objective
    outcome: Outcome
    data: Prepared
    augment: Augment
    checkpoints: Checkpoints


def main(variant: str, seed: str) -> None:
    """Write `cells/<cell>/pretrain`: the backbone, the curves of its loss, and pictures of what it saw."""
    settings = parameters.load()
    cell = parameters.cell(settings, variant, seed)
    refuse_what_images_lack(settings, cell)
    device = settings.compute.use()
    if settings.compute.devices > 1 and not parallel.launched():
        torchrun.start(settings.compute.devices, "tasks.pretrain", variant, seed)
        return
    with parallel.joined(device) as device:
        if parallel.share()[0] > 0:  # the first process alone writes and records
            pretrained(settings, cell, device, lambda *_: None)
            return
        with (
            tracking.cell_run(settings, cell, "pretrain") as run,
            observing(cells.identity(cells.read(), cell), "pretrain", device) as observed,
            atomic_folder(cell.folder("pretrain")) as folder,
        ):
            curves = Curves(run.record)
            done = pretrained(settings, cell, device, curves.record)
            write(done, settings.variant(variant), curves, folder)
            observe(done, settings.variant(variant), observed)
    if done.outcome.stopped:
        kept = f"; the state of before is kept in {done.checkpoints.folder}" if done.checkpoints.folder.exists() else ""
        print(f"stopgrad: {cell.name} ended early: {done.outcome.stopped}{kept}", file=sys.stderr)
    else:
        shutil.rmtree(FOLDER / cell.name, ignore_errors=True)


def pretrained(settings: Parameters, cell: Cell, device: torch.device, record: Record) -> Pretrained:
    """Pretrain the cell's objective, from its last checkpoint if there is one."""
    data, variant = prepared.load(cells.PREPARED), settings.variant(cell.variant)
    objective = build(variant, data, cell.seed).to(device).to(memory_format=torch.channels_last)
    acceleration = settings.compute.acceleration(device)
    augment = Augment(variant.augmentation, data.card.mean, data.card.std, compiled=acceleration.compiled)
    parts, labels = [data.images(split) for split in ("train", "unlabelled") if split in data.splits], None
    if isinstance(objective, Supervised):
        parts, labels = parts[:1], torch.from_numpy(data.labels("train")).to(device)
    kept = checkpoints(cell, device)
    images = batches.images(parts, device)
    outcome = pretrain(objective, images, labels, augment, variant.pretraining, cell.seed, record, kept, acceleration)
    return Pretrained(objective, outcome, data, augment, kept)


def checkpoints(cell: Cell, device: torch.device) -> Checkpoints:
    """Those of the cell with its present parameters and code; of other data or another device, they are refused.

    After an edit of parameters or code, pretraining begins anew in another folder: going on from the old state would
    end in weights that neither makes.
    """
    made_by = hashlib.sha256(cells.identity(cells.read(), cell, ("data", "compute")).encode())
    for file in code():
        made_by.update(file.read_bytes())
    fingerprint = {
        "data": hashlib.sha256((cells.PREPARED / "card.json").read_bytes()).hexdigest(),
        "device": device.type,
        "PyTorch": str(torch.__version__),
    }
    return Checkpoints(FOLDER / cell.name / made_by.hexdigest()[:16], fingerprint, CHECKPOINT_SECONDS)


def code() -> list[Path]:
    """The files of the core that the stage depends on, as dvc.yaml says."""
    depended = cells.read(SOURCE / "dvc.yaml")["stages"]["pretrain"]["deps"]
    paths = [SOURCE / path for path in depended if path.startswith("ssl_core")]
    return sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))


def write(done: Pretrained, variant: Variant, curves: Curves, folder: Path) -> None:
    """Write what the data, the code and the parameters determine."""
    network, head = kept(done.objective, variant)
    weights.save(network, variant.backbone, done.data.card.image_size, folder / "backbone.safetensors", head)
    curves.write(folder / "curves.csv")
    said = {"steps": done.outcome.steps, "stopped": done.outcome.stopped}
    (folder / "outcome.json").write_text(json.dumps(said, indent=2) + "\n")
    device = next(done.objective.parameters()).device
    shown = torch.from_numpy(done.data.images("train")[:8]).to(device).permute(0, 3, 1, 2)
    # A few views are not worth a compilation.
    augment = Augment(variant.augmentation, done.augment.mean, done.augment.std)
    write_pictures(done.objective, shown, augment, folder / "pictures")


def observe(done: Pretrained, variant: Variant, observed: Observation) -> None:
    """Note what it cost."""
    observed.images = done.outcome.steps * variant.pretraining.batch_size
    observed.seconds_before = done.outcome.seconds_before
    network, _ = kept(done.objective, variant)
    observed.parameters = sum(p.numel() for p in network.parameters())
    size = done.data.card.image_size
    observed.flops_per_image = cost.forward_flops(network, size)
    if not variant.pretraining.epochs:
        return
    observed.trained_parameters = sum(p.numel() for p in done.objective.parameters() if p.requires_grad)
    if parallel.share()[1] == 1:
        batch = variant.pretraining.batch_size // variant.pretraining.accumulate
        observed.step_flops_per_image = cost.step_flops(done.objective, variant.augmentation, size, batch)


def kept(objective: Objective, variant: Variant) -> tuple[nn.Module, ProjectorConfig | None]:
    """The network that is evaluated: the backbone, or the backbone with a projector of this configuration."""
    if variant.representation == "backbone":
        return objective.encoder, None
    assert isinstance(objective, JointEmbedding)
    assert isinstance(variant.objective, JointEmbeddingConfig)
    return nn.Sequential(objective.encoder, objective.projector), variant.objective.projector


def build(variant: Variant, data: Prepared, seed: int) -> Objective:
    """The variant's objective around its backbone; the seed alone decides the initial weights."""
    torch.manual_seed(seed)
    backbone = backbones.build(variant.backbone, data.card.image_size)
    return objectives.build(variant.objective, backbone, data.card.image_size, len(data.card.classes))


def refuse_what_images_lack(settings: Parameters, cell: Cell) -> None:
    """Raise `Refused` where an objective needs of the images what they have not: the cell's, or another of the suite.

    So the first cell says it, not the one that cannot be had, hours later.
    """
    card = prepared.load(cells.PREPARED).card
    asked = {settings.variant(name).objective.name for name in (cell.variant, *settings.suite.variants)}
    if "supervised" in asked and not card.classes:
        raise Refused("the objective supervised needs labels, and these images have none: take it out of the suite")
    if "colourisation" in asked and card.grey:
        raise Refused("the objective colourisation needs colours, and these images are grey: take it out of the suite")


if __name__ == "__main__":
    with stage():
        main(*sys.argv[1:])
