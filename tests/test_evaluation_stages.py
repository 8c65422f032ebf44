"""The embed and evaluate stages on a small prepared folder, from parameters to figures on disk."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from ssl_core.backbones import ResNetConfig, build
from ssl_core.errors import Refused
from tasks import cells, embed, evaluate, weights
from tasks.cells import Cell

CELL = Cell(variant="simclr", seed=0)
COUNTS = {"train": 60, "val": 30, "test": 30}
BACKBONE = ResNetConfig(name="resnet10", width=8)
EVALUATION = {
    "label_fractions": [0.5, 1.0],
    "weight_decays": [0.001, 0.1],
    "fine_tuning": {"steps": 2, "batch_size": 16, "learning_rates": [0.001], "evaluations": 1},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's parameters with a small evaluation, prepared images of two classes, and an untrained backbone."""
    written = cells.read(Path(__file__).parents[1] / "params.yaml") | {
        "evaluation": EVALUATION,
        "compute": {"device": "cpu", "threads": 1},
    }
    monkeypatch.chdir(tmp_path)
    YAML(typ="safe").dump(written, Path("params.yaml"))
    prepare(Path("data/prepared"))
    folder = CELL.folder("pretrain")
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights.save(build(BACKBONE, 12), BACKBONE, 12, folder / "backbone.safetensors")
    return tmp_path


def prepare(folder: Path) -> None:
    folder.mkdir(parents=True)
    for seed, (split, count) in enumerate(COUNTS.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 3), np.uint8)
        labels = np.arange(count) % 2
        pixels[labels == 1] //= 2
        np.save(folder / f"{split}_images.npy", pixels)
        np.save(folder / f"{split}_labels.npy", labels)
    card = {
        "name": "halves",
        "image_size": 12,
        "classes": ["bright", "dark"],
        "splits": {split: {"count": count, "per_class": [count // 2] * 2} for split, count in COUNTS.items()},
        "mean": [0.4] * 3,
        "std": [0.3] * 3,
        "original_sizes": {"12x12": 120},
        "sources": [],
        "skipped": {"count": 0, "share": 0.0, "files": []},
        "grey": False,
    }
    (folder / "card.json").write_text(json.dumps(card))


def written(stage: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in CELL.folder(stage).iterdir()}


@pytest.mark.usefixtures("workspace")
def test_the_stages_write_the_same_bytes_again() -> None:
    embed.main("simclr", "0")
    evaluate.main("simclr", "0")
    first = written("embed") | written("evaluate")
    assert sorted(first) == ["choices.json", "figures.csv", "test.npy", "train.npy", "val.npy", "verdict.json"]
    embed.main("simclr", "0")
    evaluate.main("simclr", "0")
    assert written("embed") | written("evaluate") == first
    train = np.load(CELL.folder("embed") / "train.npy")
    assert (train.shape, train.dtype) == ((60, 64), np.float32)
    rows = list(csv.DictReader((CELL.folder("evaluate") / "figures.csv").read_text().splitlines()))
    assert list(rows[0]) == ["protocol", "head", "label_fraction", "split", "metric", "value"]
    assert {row["label_fraction"] for row in rows} == {"", "0.5", "1.0"}
    [probed] = [
        float(row["value"])
        for row in rows
        if (row["head"], row["label_fraction"], row["split"], row["metric"]) == ("linear", "1.0", "test", "accuracy")
        and row["protocol"] == "feature_extraction"
    ]
    assert probed > 0.9
    verdict = json.loads((CELL.folder("evaluate") / "verdict.json").read_text())
    assert set(verdict) == {"collapsed", "why", "thresholds"}


@pytest.mark.usefixtures("workspace")
def test_a_diverged_backbone_is_refused_and_leaves_nothing() -> None:
    file = CELL.folder("pretrain") / "backbone.safetensors"
    backbone = weights.load(file)
    with torch.no_grad():
        next(backbone.parameters()).fill_(float("nan"))
    weights.save(backbone, BACKBONE, 12, file)
    with pytest.raises(Refused, match=r"simclr-0 .*not finite"):
        embed.main("simclr", "0")
    assert [folder.name for folder in CELL.folder("embed").parent.iterdir()] == ["pretrain"]


@pytest.mark.usefixtures("workspace")
def test_representations_of_other_images_are_refused() -> None:
    embed.main("simclr", "0")
    np.save(CELL.folder("embed") / "val.npy", np.zeros((7, 64), np.float32))
    with pytest.raises(Refused, match=r"val\.npy is of 7 images, the val split has 30"):
        evaluate.main("simclr", "0")
    assert not CELL.folder("evaluate").exists()


@pytest.mark.usefixtures("workspace")
def test_evaluating_before_embedding_names_the_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.npy"):
        evaluate.main("simclr", "0")
