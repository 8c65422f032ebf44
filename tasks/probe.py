"""Evaluate a cell's frozen representations on a data set: `python -m tasks.probe VARIANT SEED IMAGES`."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_core.augmentation import Augment, GaussianBlur, Recipe
from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from ssl_core.errors import Refused
from ssl_core.evaluation import evaluation
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.evaluation import Figure
from ssl_core.evaluation.split import Split
from tasks import cells, weights
from tasks.configuration import configs
from tasks.configuration.configs import Embedding, Probing
from tasks.identity import identity
from tasks.stage import arguments, atomic_folder, stage
from tasks.tracking import observations
from tasks.weights import Kept

COLUMNS = ("representation", *Figure._fields)
ALIGNMENT_VIEWS = Recipe(views=1, blur=GaussianBlur())
"""The views of the alignment figure: with every standard operation, whatever a variant was pretrained with."""


def main(variant: str, seed: str, images: str) -> None:
    """Write `figures/<cell>/probe/<images>`: figures, what was chosen on val, and by representation its collapse."""
    config, cell = configs.read(Probing), cells.named(variant, seed)
    device, data = config.compute.use(), prepared.load(cells.PREPARED / images)
    names = configs.read(Embedding, variant).representations
    known = identity("probe", cell, configs.file(Probing), *inputs(cell, images, names))
    with (
        observations.observing("probe", known, device),
        atomic_folder(cell.figures("probe", images)) as folder,
    ):
        found = {}
        for name in names:
            kept = weights.load(cell.folder("pretrain"), name)
            augment = Augment([ALIGNMENT_VIEWS], kept.mean, kept.std)
            splits = read_splits(data, kept, cell.folder("embed", images) / name, device)
            found[name] = evaluation.probe(
                kept.network, splits, data.card.classes, augment, config.evaluation, cell.seed
            )
        write_figures({name: of_one.figures for name, of_one in found.items()}, folder)
        write_json({name: of_one.choices for name, of_one in found.items()}, folder / "choices.json")
        verdicts = {name: dataclasses.asdict(of_one.verdict) for name, of_one in found.items()}
        write_json(verdicts, folder / "verdict.json")
        (folder / observations.IDENTITY).write_text(known)


def inputs(cell: cells.Cell, images: str, names: list[str]) -> list[Path]:
    """The files that tell what is evaluated: the data set's card, the weights, the representations."""
    weights_files = sorted(cell.folder("pretrain").glob("*.safetensors"))
    embedded = [cell.folder("embed", images) / name / f"{s}.npy" for name in names for s in ("train", "val", "test")]
    return [cells.PREPARED / images / "card.json", *weights_files, *embedded]


def read_splits(data: Prepared, kept: Kept, embedded: Path, device: torch.device) -> dict[str, Split]:
    """Images, labels and stored representations of train, val and test."""
    splits = {}
    for name in ("train", "val", "test"):
        images = Images.of(data.images(name), kept.mean, kept.std, device)
        representations = torch.from_numpy(np.load(embedded / f"{name}.npy")).to(device)
        if len(representations) != len(images):
            raise Refused(
                f"{embedded / name}.npy is of {len(representations)} images, the {name} split has {len(images)}: "
                "embed again"
            )
        splits[name] = Split(images=images, labels=data.labels(name), representations=representations)
    return splits


def write_figures(figures: dict[str, list[Figure]], folder: Path) -> None:
    """One figure a row, by representation, to six decimals: the same figures are the same bytes."""
    with (folder / "figures.csv").open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, of_one in figures.items():
            writer.writerows((name, *figure._replace(value=round(figure.value, 6))) for figure in of_one)


def write_json(content: dict[str, Any], file: Path) -> None:
    """Indented, so that two cells can be compared line by line."""
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    with stage():
        main(*arguments("VARIANT", "SEED", "IMAGES"))
