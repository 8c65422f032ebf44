"""The embed, probe and fine-tune stages on small prepared images, from their configurations to figures on disk."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from ssl_core.backbones import ResNetConfig, build
from ssl_core.data import prepared
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.embedding import embed as represent
from ssl_core.heads import ProjectorConfig, projector
from tasks import cells, correct, embed, fine_tune, probe, weights
from tasks.cells import Cell
from tasks.configuration import configs
from tasks.configuration.configs import Embedding, FineTuning, Probing
from tasks.correct import Predicted

CELL = Cell(variant="simclr", seed=0)
COUNTS = {"train": 60, "val": 30, "test": 30}
BACKBONE, HEAD = ResNetConfig(name="resnet10", width=8), ProjectorConfig(width=16, output=4)
COMPUTE = {"device": "cpu", "threads": 1}
LABELS = {"label_fractions": [0.5, 1.0], "weight_decays": [0.001, 0.1]}
TUNING = {"min_steps": 2, "max_steps": 2, "batch_size": 16, "learning_rates": [0.001], "evaluations": 1}
CONFIGURED: dict[Path, Any] = {
    configs.file(Embedding, "simclr"): {"representations": ["backbone", "projector"], "compute": COMPUTE, "code": ""},
    configs.file(Probing): {"evaluation": LABELS, "compute": COMPUTE},
    configs.file(FineTuning): {**LABELS, "fine_tuning": TUNING, "compute": COMPUTE},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configurations, prepared images of two classes, and an untrained backbone with a projector."""
    monkeypatch.chdir(tmp_path)
    for file, content in CONFIGURED.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        YAML(typ="safe").dump(content, file)
    prepare(cells.PREPARED / "halves")
    torch.manual_seed(0)
    keep(build(BACKBONE, 12))
    return tmp_path


def keep(backbone: torch.nn.Module) -> None:
    folder = CELL.folder("pretrain")
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"backbone": backbone, "projector": projector(HEAD, 64)[0]}
    weights.keep(parts, BACKBONE, HEAD, prepared.load(cells.PREPARED / "halves").card, folder)


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


def evaluate() -> dict[str, bytes]:
    for stage in (embed, probe, fine_tune):
        stage.main("simclr", "0", "halves")
    folders = [CELL.folder("embed", "halves"), *(CELL.figures(s, "halves") for s in ("embed", "probe", "fine_tune"))]
    return {file.as_posix(): file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def rows(stage: str) -> list[dict[str, str]]:
    return list(csv.DictReader((CELL.figures(stage, "halves") / "figures.csv").read_text().splitlines()))


@pytest.mark.usefixtures("workspace")
def test_the_stages_write_the_same_bytes_again() -> None:
    first = evaluate()
    assert evaluate() == first
    assert {Path(name).name for name in first} == {
        "train.npy", "val.npy", "test.npy", "identity", "figures.csv", "correct.safetensors", "choices.json",
        "verdict.json",
    }  # fmt: skip
    for name, size in (("backbone", 64), ("projector", 4)):
        train = np.load(CELL.folder("embed", "halves") / name / "train.npy")
        assert (train.shape, train.dtype) == ((60, size), np.float32)
        made, data = weights.load(CELL.folder("pretrain"), name), prepared.load(cells.PREPARED / "halves")
        images = Images.of(data.images("train"), made.mean, made.std, torch.device("cpu"))
        assert np.array_equal(train, represent(made.network, images))
    frozen = rows("probe")
    assert list(frozen[0]) == [
        "representation", "protocol", "head", "label_fraction", "split", "metric", "value",
    ]  # fmt: skip
    assert {row["label_fraction"] for row in frozen} == {"", "0.5", "1.0"}
    assert {row["protocol"] for row in frozen} == {"label_free", "feature_extraction"}
    keys = ("representation", "head", "label_fraction", "split", "metric")
    probed = {tuple(row[key] for key in keys): float(row["value"]) for row in frozen}
    assert probed["backbone", "linear", "1.0", "test", "accuracy"] > 0.9
    assert probed["projector", "linear", "1.0", "test", "accuracy"] > 0.5
    verdicts = json.loads((CELL.figures("probe", "halves") / "verdict.json").read_text())
    assert set(verdicts) == {"backbone", "projector"}
    assert set(verdicts["projector"]) == {"collapsed", "why", "thresholds"}


@pytest.mark.usefixtures("workspace")
def test_what_is_fine_tuned_is_what_the_table_shows() -> None:
    evaluate()
    tuned = rows("fine_tune")
    assert {row["representation"] for row in tuned} == {"backbone"}
    assert {row["protocol"] for row in tuned} == {"fine_tuning"}
    choices = json.loads((CELL.figures("fine_tune", "halves") / "choices.json").read_text())
    assert choices["backbone"]["0.5"]["labelled_images"] == 30


@pytest.mark.usefixtures("workspace")
def test_every_test_accuracy_is_the_share_of_the_images_that_are_written_as_right() -> None:
    evaluate()
    for stage in ("probe", "fine_tune"):
        accuracies = {
            Predicted(row["representation"], row["head"], float(row["label_fraction"])): float(row["value"])
            for row in rows(stage)
            if row["split"] == "test" and row["metric"] == "accuracy"
        }
        written = correct.read(CELL.figures(stage, "halves"))
        assert {by: round(float(right.mean()), 6) for by, right in written.items()} == accuracies
        assert {(right.shape, right.dtype) for right in written.values()} == {((30,), np.dtype(bool))}
        assert len(written) == {"probe": 2 * 3 * 2, "fine_tune": 2}[stage]


@pytest.mark.usefixtures("workspace")
def test_known_factors_are_read_of_each_representation_and_of_other_images_nothing() -> None:
    card = cells.PREPARED / "halves" / "card.json"
    card.write_text(card.read_text().replace("bright", "circle").replace("dark", "star"))
    for stage in (embed, probe):
        stage.main("simclr", "0", "halves")
    without = rows("probe")
    for split, count in COUNTS.items():
        np.save(cells.PREPARED / "halves" / f"{split}_factors.npy", np.random.default_rng(0).random((count, 8), "f4"))
    known = (CELL.figures("probe", "halves") / "identity").read_text()
    probe.main("simclr", "0", "halves")
    added = [row for row in rows("probe") if row["protocol"] == "factors"]
    assert [row for row in rows("probe") if row["protocol"] != "factors"] == without
    assert {(row["representation"], row["split"]) for row in added} == {
        (name, split) for name in ("backbone", "projector") for split in ("val", "test")
    }
    assert {(row["head"], row["metric"], row["label_fraction"]) for row in added} == {
        ("shape", "accuracy", ""),
        *((head, "r2", "") for head in ("colour", "x", "y", "size", "rotation", "background")),
    }
    assert (CELL.figures("probe", "halves") / "identity").read_text() != known


@pytest.mark.usefixtures("workspace")
def test_an_identity_changes_with_what_its_stage_reads_and_with_nothing_else() -> None:
    evaluate()

    def known() -> dict[str, str]:
        return {
            stage: (CELL.figures(stage, "halves") / "identity").read_text() for stage in ("embed", "probe", "fine_tune")
        }

    first = known()
    changed = {"evaluation": {**LABELS, "knn_temperature": 0.1}, "compute": COMPUTE}
    YAML(typ="safe").dump(changed, configs.file(Probing))
    evaluate()
    second = known()
    assert {stage for stage in first if first[stage] != second[stage]} == {"probe"}


@pytest.mark.usefixtures("workspace")
def test_a_diverged_backbone_is_refused_and_leaves_nothing() -> None:
    backbone = build(BACKBONE, 12)
    with torch.no_grad():
        next(backbone.parameters()).fill_(float("nan"))
    keep(backbone)
    with pytest.raises(Refused, match=r"the backbone of simclr-0 .*not finite"):
        embed.main("simclr", "0", "halves")
    assert not CELL.folder("embed", "halves").exists()
    assert not CELL.figures("embed", "halves").exists()


@pytest.mark.usefixtures("workspace")
def test_representations_of_other_images_are_refused() -> None:
    embed.main("simclr", "0", "halves")
    np.save(CELL.folder("embed", "halves") / "backbone" / "val.npy", np.zeros((7, 64), np.float32))
    with pytest.raises(Refused, match=r"val\.npy is of 7 images, the val split has 30"):
        probe.main("simclr", "0", "halves")
    assert not CELL.figures("probe", "halves").exists()


@pytest.mark.usefixtures("workspace")
def test_probing_before_embedding_names_the_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.npy"):
        probe.main("simclr", "0", "halves")
