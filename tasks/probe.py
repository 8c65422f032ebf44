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
from ssl_core.evaluation import evaluation, factors
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.evaluation import Evaluation, Figure, Outcomes
from ssl_core.evaluation.split import Split
from tasks import cells, compiler, correct, weights
from tasks.configuration import configs
from tasks.configuration.configs import Embedding, Probing
from tasks.correct import Predicted
from tasks.identity import identity
from tasks.stage import arguments, atomic_folder, stage
from tasks.tracking import observations
from tasks.weights import Kept

COLUMNS = ("representation", *Figure._fields)
SPLITS = ("train", "val", "test")
ALIGNMENT_VIEWS = Recipe(views=1, blur=GaussianBlur())
"""The views of the alignment figure: with every standard operation, whatever a variant was pretrained with."""


def main(variant: str, seed: str, images: str) -> None:
    """Write `figures/<cell>/probe/<images>`: figures, which test images are right, what was chosen, who collapsed."""
    config, cell = configs.read(Probing), cells.named(variant, seed)
    device, data = config.compute.use(), prepared.load(cells.PREPARED / images)
    names = configs.read(Embedding, variant).representations
    known = identity("probe", cell, configs.file(Probing), *inputs(cell, images, names), *factor_files(data).values())
    with (
        observations.observing("probe", known, device),
        atomic_folder(cell.figures("probe", images)) as folder,
    ):
        found = {name: evaluate(name, cell, data, config, device) for name in names}
        write_figures({name: of_one.figures for name, of_one in found.items()}, folder)
        write_correct({name: of_one.correct for name, of_one in found.items()}, folder)
        write_json({name: of_one.choices for name, of_one in found.items()}, folder / "choices.json")
        verdicts = {name: dataclasses.asdict(of_one.verdict) for name, of_one in found.items()}
        write_json(verdicts, folder / "verdict.json")
        (folder / observations.IDENTITY).write_text(known)


def evaluate(name: str, cell: cells.Cell, data: Prepared, config: Probing, device: torch.device) -> Evaluation:
    """One representation of a cell on a data set, and what it keeps of the factors where these are known."""
    kept = weights.load(cell.folder("pretrain"), name)
    splits = read_splits(data, kept, cell.folder("embed", data.folder.name) / name, device)
    augment = Augment([ALIGNMENT_VIEWS], kept.mean, kept.std)
    of_one = evaluation.probe(kept.network, splits, data.card.classes, augment, config.evaluation, cell.seed)
    known = {split: np.load(file) for split, file in factor_files(data).items()}
    if not known:
        return of_one
    read = factors.figures(splits, known, data.card.classes, of_one.figures)
    return dataclasses.replace(of_one, figures=of_one.figures + read)


def factor_files(data: Prepared) -> dict[str, Path]:
    """By split, the file of the factors that drawn images are known to differ by; none of other images."""
    files = {split: data.folder / f"{split}_factors.npy" for split in SPLITS}
    return {split: file for split, file in files.items() if file.exists()}


def inputs(cell: cells.Cell, images: str, names: list[str]) -> list[Path]:
    """The files that tell what is evaluated: the data set's card, the weights, the representations."""
    weights_files = sorted(cell.folder("pretrain").glob("*.safetensors"))
    embedded = [cell.folder("embed", images) / name / f"{split}.npy" for name in names for split in SPLITS]
    return [cells.PREPARED / images / "card.json", *weights_files, *embedded]


def read_splits(data: Prepared, kept: Kept, embedded: Path, device: torch.device) -> dict[str, Split]:
    """Images, labels and stored representations of train, val and test."""
    splits = {}
    for name in SPLITS:
        images = Images.of(data.images(name), kept.mean, kept.std, device)
        representations = torch.from_numpy(np.load(embedded / f"{name}.npy")).to(device)
        if len(representations) != len(images):
            raise Refused(
                f"{embedded / name}.npy is of {len(representations)} images, the {name} split has {len(images)}: "
                "embed again"
            )
        splits[name] = Split(images=images, labels=data.wanted(name), representations=representations)
    return splits


def write_figures(figures: dict[str, list[Figure]], folder: Path) -> None:
    """One figure a row, by representation, to six decimals: the same figures are the same bytes."""
    with (folder / "figures.csv").open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, of_one in figures.items():
            writer.writerows((name, *figure._replace(value=round(figure.value, 6))) for figure in of_one)


def write_correct(outcomes: dict[str, Outcomes], folder: Path) -> None:
    """Which test images were got right, by representation, head and label fraction."""
    of = {
        Predicted(name, head, fraction): right
        for name, of_one in outcomes.items()
        for (head, fraction), right in of_one.items()
    }
    correct.write(of, folder)


def write_json(content: dict[str, Any], file: Path) -> None:
    """Indented, so that two cells can be compared line by line."""
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    with stage():
        compiler.defer()
        main(*arguments("VARIANT", "SEED", "IMAGES"))
