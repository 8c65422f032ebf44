"""Evaluate one cell's backbone and representations: `python -m tasks.evaluate VARIANT SEED`."""

import csv
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_core.augmentation import Augment, Recipe
from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.evaluation import Figure, evaluate
from ssl_core.evaluation.split import Split
from tasks import cells, parameters, tracking, weights
from tasks.cells import Cell
from tasks.observations import observing
from tasks.stage import atomic_folder, stage

ALIGNMENT_VIEWS = Recipe(views=1)
"""The views of the alignment figure: the standard recipe, whatever a variant was pretrained with."""


def main(variant: str, seed: str) -> None:
    """Write `cells/<cell>/evaluate`: the figures, what was chosen on val, and the collapse verdict."""
    settings = parameters.load()
    cell = parameters.cell(settings, variant, seed)
    device = settings.compute.use()
    with (
        tracking.cell_run(settings, cell, "evaluate"),
        observing(cells.identity(cells.read(), cell), "evaluate", device),
        atomic_folder(cell.folder("evaluate")) as folder,
    ):
        data = prepared.load(cells.PREPARED)
        backbone = weights.load(cell.folder("pretrain") / "backbone.safetensors")
        augment = Augment([ALIGNMENT_VIEWS], data.card.mean, data.card.std)
        evaluation = evaluate(
            backbone, read_splits(data, cell, device), data.card.classes, augment, settings.evaluation
        )
        write_figures(evaluation.figures, folder / "figures.csv")
        write_json(evaluation.choices, folder / "choices.json")
        write_json(dataclasses.asdict(evaluation.verdict), folder / "verdict.json")


def read_splits(data: Prepared, cell: Cell, device: torch.device) -> dict[str, Split]:
    """Images, labels and the cell's stored representations of train, val and test."""
    splits = {}
    for name in ("train", "val", "test"):
        file = cell.folder("embed") / f"{name}.npy"
        images = Images.of(data.images(name), data.card.mean, data.card.std, device)
        representations = torch.from_numpy(np.load(file)).to(device)
        if len(representations) != len(images):
            raise Refused(
                f"{file} is of {len(representations)} images, the {name} split has {len(images)}: embed again"
            )
        splits[name] = Split(images=images, labels=data.labels(name), representations=representations)
    return splits


def write_figures(figures: list[Figure], file: Path) -> None:
    """One figure a row, to six decimals: the same figures are the same bytes."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(Figure._fields)
        writer.writerows(figure._replace(value=round(figure.value, 6)) for figure in figures)


def write_json(content: dict[str, Any], file: Path) -> None:
    """Indented, so that two cells can be compared line by line."""
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    with stage():
        main(*sys.argv[1:])
