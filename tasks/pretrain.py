"""Pretrain one cell's backbone on unlabelled images: `python -m tasks.pretrain VARIANT SEED`."""

import sys

import torch
from torch import Tensor

from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment
from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from ssl_core.errors import Refused
from ssl_core.objectives import Objective, Supervised
from ssl_core.training.pretraining import pretrain
from tasks import cells, parameters, tracking, weights
from tasks.curves import Curves
from tasks.observations import flops_per_image, observing
from tasks.parameters import Variant
from tasks.pictures import write_pictures
from tasks.stage import atomic_folder, stage


def main(variant_name: str, seed: str) -> None:
    """Write `cells/<cell>/pretrain`: the backbone, the curves of its loss, and pictures of what it saw."""
    settings = parameters.load()
    cell, variant = parameters.cell(settings, variant_name, seed), settings.variant(variant_name)
    device = settings.compute.use()
    with (
        tracking.cell_run(settings, cell, "pretrain") as run,
        observing(cells.identity(cells.read(), cell), "pretrain", device) as observed,
        atomic_folder(cell.folder("pretrain")) as folder,
    ):
        data = prepared.load(cells.PREPARED)
        objective = build(variant, data, cell.seed).to(device).to(memory_format=torch.channels_last)
        augment = Augment(variant.augmentation, data.card.mean, data.card.std)
        images, labels = training_images(data, device), None
        if isinstance(objective, Supervised):
            labels = torch.from_numpy(data.labels("train")).to(device)
            images = images[: len(labels)]
        curves = Curves(run.record)
        observed.images = pretrain(objective, images, labels, augment, variant.pretraining, cell.seed, curves.record)
        observed.parameters = sum(p.numel() for p in objective.encoder.parameters())
        observed.flops_per_image = flops_per_image(objective.encoder, data.card.image_size)
        weights.save(objective.encoder, variant.backbone, data.card.image_size, folder / "backbone.safetensors")
        curves.write(folder / "curves.csv")
        write_pictures(objective, images[:8], augment, folder / "pictures")


def build(variant: Variant, data: Prepared, seed: int) -> Objective:
    """The variant's objective around its backbone; the seed alone decides the initial weights."""
    torch.manual_seed(seed)
    backbone = backbones.build(variant.backbone, data.card.image_size)
    classes = data.card.classes
    if variant.objective.name == "supervised" and not classes:
        raise Refused("the objective supervised needs labels, and these images have none: take it out of the suite")
    return objectives.build(variant.objective, backbone, data.card.image_size, len(classes))


def training_images(data: Prepared, device: torch.device) -> Tensor:
    """The images to pretrain on, uint8 [N, 3, H, W] channels-last: train, then those that came without labels."""
    parts = [data.images(split) for split in ("train", "unlabelled") if split in data.splits]
    images = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=torch.uint8, device=device)
    start = 0
    for part in parts:
        images[start : start + len(part)] = torch.from_numpy(part)
        start += len(part)
    return images.permute(0, 3, 1, 2)


if __name__ == "__main__":
    with stage():
        main(*sys.argv[1:])
