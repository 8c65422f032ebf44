"""The comparison: figures joined with costs, intervals over seeds, the table and the report."""

import csv
import dataclasses
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy import stats

from ssl_core.errors import Refused
from tasks import cells, compare, comparison, neighbourhoods, parameters, report, table
from tasks.cells import Cell
from tasks.comparison import COLUMNS
from tasks.statistics import estimate

ROOT = Path(__file__).parents[1]
VARIANTS = {
    "random": "baseline", "simclr": "joint-embedding, contrastive", "random_vit": "baseline", "mae": "generative",
}  # fmt: skip
BASELINES = {"simclr": "random", "mae": "random_vit"}
ACCURACY = {
    ("random", 0): 0.50, ("random", 1): 0.60, ("simclr", 0): 0.70, ("simclr", 1): 0.82,
    ("random_vit", 0): 0.61, ("random_vit", 1): 0.63, ("mae", 0): 0.64, ("mae", 1): 0.68,
}  # fmt: skip


def project(
    folder: Path, seeds: list[int], classes: int = 3, labelled: bool = True, baselines: dict[str, str] | None = None
) -> None:
    """What the stages leave behind, in the formats that they write, in the current folder."""
    baselines = BASELINES if baselines is None else baselines
    generator = np.random.default_rng(0)
    written = {
        "data": {}, "evaluation": {}, "compute": {}, "defaults": {}, "variants": {name: {} for name in VARIANTS},
        "suite": {"name": "test", "variants": list(VARIANTS), "seeds": seeds},
    }  # fmt: skip
    YAML().dump(written, folder / "params.yaml")
    _prepared(folder / "data" / "prepared", generator, classes if labelled else 0)
    rows: list[dict[str, Any]] = []
    for variant, family in VARIANTS.items():
        for seed in seeds:
            names = {"variant": variant, "family": family, "objective": variant, "seed": seed, "split": "test"}
            names["baseline"] = baselines.get(variant, "")
            figures = [("label_free", "", "", metric, 12.5) for metric in table.LABEL_FREE]
            if labelled:
                for fraction in ("0.1", "1.0"):
                    heads = (
                        ("feature_extraction", "linear"),
                        ("feature_extraction", "knn20"),
                        ("fine_tuning", "linear"),
                    )
                    figures += [(*head, fraction, "accuracy", ACCURACY[variant, seed]) for head in heads]
            rows += [
                names | dict(zip(("protocol", "head", "label_fraction", "metric", "value"), f, strict=True))
                for f in figures
            ]
            _cell(Cell(variant=variant, seed=seed), written, generator)
    (folder / "results").mkdir()
    with (folder / "results" / "comparison.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _prepared(folder: Path, generator: np.random.Generator, classes: int) -> None:
    folder.mkdir(parents=True)
    for split, count in (("train", 60), ("val", 10), ("test", 40)):
        np.save(folder / f"{split}_images.npy", generator.integers(256, size=(count, 8, 8, 3), dtype=np.uint8))
        np.save(folder / f"{split}_labels.npy", np.arange(count) % classes if classes else np.full(count, -1))
    Image.new("RGB", (8, 8)).save(folder / "contact_sheet.png")
    card = {
        "name": "test", "image_size": 8, "classes": [f"class <{i}>" for i in range(classes)], "mean": [0.5] * 3,
        "std": [0.2] * 3, "grey": False, "original_sizes": {"8x8": 110}, "sources": [],
        "splits": {"train": {"count": 60, "per_class": []}, "test": {"count": 40, "per_class": []}},
        "skipped": {"count": 0, "share": 0.0, "files": []},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))


def _cell(cell: Cell, written: dict[str, Any], generator: np.random.Generator) -> None:
    cell.folder("embed").mkdir(parents=True)
    for split, count in (("train", 60), ("test", 40)):
        np.save(cell.folder("embed") / f"{split}.npy", generator.standard_normal((count, 4), dtype=np.float32))
    pictures = cell.folder("pretrain") / "pictures"
    pictures.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(pictures / "views.png")
    (cell.folder("pretrain") / "curves.csv").write_text("step,epoch,name,value\n0,0.1,loss,3\n1,0.2,loss,2\n")
    cell.folder("evaluate").mkdir(parents=True)
    (cell.folder("evaluate") / "verdict.json").write_text(json.dumps({"collapsed": False, "why": ""}))
    (cell.folder("evaluate") / "choices.json").write_text("{}")
    folder = Path("observations") / cells.identity(written, cell)
    folder.mkdir(parents=True)
    (folder / "pretrain.json").write_text(json.dumps({"seconds": 10.0 + cell.seed, "peak_memory_bytes": 2**30}))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("count", [2, 3, 10, 21])
def test_intervals_are_students(count: int) -> None:
    values = np.random.default_rng(0).random(count).tolist()
    low, high = stats.t.interval(0.95, count - 1, np.mean(values), stats.sem(values))
    found = estimate(values)
    assert found.half is not None
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.half == pytest.approx((high - low) / 2, rel=2e-3)
    assert estimate([0.5]).half is None


def test_the_table_shows_means_intervals_and_paired_differences(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0, 1])
    lines = table.text(comparison.read()).splitlines()
    assert "linear probe" in lines[0]
    (simclr, paired) = (line.split() for line in lines if line.startswith("simclr"))
    half = 12.706 * statistics.stdev([70, 82]) / 2**0.5
    assert simclr[1] == f"76.0±{half:.1f}"
    assert simclr[-2:] == ["10", "1.0"]
    assert paired[1] == f"21.0±{12.706 * statistics.stdev([20, 22]) / 2**0.5:.1f}"
    _, mae = (line.split() for line in lines if line.startswith("mae"))
    assert mae[1].startswith("4.0±")  # above its own backbone's initial weights, not above the other's
    assert "Mean ± 95 % interval over 2 seeds." in lines
    assert not any("No initial weights" in line for line in lines)
    assert max(map(len, lines)) <= 120


def test_a_variant_without_its_backbones_initial_weights_is_named(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0, 1], baselines={"simclr": "random"})
    lines = table.text(comparison.read()).splitlines()
    assert "No initial weights of the same backbone to be compared with: mae." in lines
    assert len([line for line in lines if line.startswith("mae")]) == 1
    assert len([line for line in lines if line.startswith("simclr")]) == 2


def test_a_comparison_of_another_version_is_refused(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0])
    file = Path("results/comparison.csv")
    file.write_text(file.read_text().replace(",baseline,", ",", 1))
    with pytest.raises(Refused, match="was written by another version: run `make repro`"):
        comparison.read()


def test_without_initial_weights_nothing_is_paired(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0, 1], baselines={})
    assert "initial weights, paired" not in table.text(comparison.read())
    report.write(Path("results/report.html"))
    assert "initial weights, paired" not in Path("results/report.html").read_text()


def test_a_variant_is_compared_with_the_initial_weights_of_its_own_backbone() -> None:
    suite = ["random", "simclr", "mae", "random_vit", "i_jepa"]
    settings = parameters.load(ROOT / "params.yaml")
    settings = settings.model_copy(update={"suite": dataclasses.replace(settings.suite, variants=suite)})
    wanted = {"simclr": "random", "mae": "random_vit", "i_jepa": "random_vit", "random": "", "random_vit": ""}
    assert {name: compare.baseline(settings, name) for name in suite} == wanted
    without = dataclasses.replace(settings.suite, variants=["random", "mae"])
    assert compare.baseline(settings.model_copy(update={"suite": without}), "mae") == ""


def test_one_seed_has_no_interval_and_an_unknown_cost_is_a_dash(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0])
    shutil.rmtree("observations")
    said = table.text(comparison.read())
    assert "±" not in said
    assert "One seed: no interval, and no claim." in said
    assert next(line.split() for line in said.splitlines() if line.startswith("simclr"))[-2:] == ["-", "-"]
    assert "was not observed on this machine" in said


def test_a_cell_that_collapsed_or_ended_early_is_named(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0])
    outcome = Cell(variant="random", seed=0).folder("pretrain") / "outcome.json"
    outcome.write_text(json.dumps({"steps": 7, "stopped": "the representations collapsed at step 2"}))
    verdict = Cell(variant="simclr", seed=0).folder("evaluate") / "verdict.json"
    verdict.write_text(json.dumps({"collapsed": True, "why": "all images share one representation"}))
    said = table.text(comparison.read())
    assert "Collapsed: simclr-0: all images share one representation." in said
    assert "Ended early: random-0: the representations collapsed at step 2." in said
    assert said.count("Ended early") == said.count("Collapsed:") == 1


def test_without_labels_the_label_free_figures_rank(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0], labelled=False)
    said = table.text(comparison.read())
    assert "No labels: RankMe" in said
    assert "linear probe" not in said
    report.write(Path("results/report.html"))
    assert "Nearest neighbours" in Path("results/report.html").read_text()


@pytest.mark.parametrize("classes", [3, 40])
def test_the_report_opens_offline_and_escapes_names(tmp_path: Path, classes: int) -> None:
    project(tmp_path, seeds=[0, 1], classes=classes)
    report.write(Path("results/report.html"))
    page = Path("results/report.html").read_text()
    for heading in (
        "Accuracy by share of the labels",
        "Accuracy against cost",
        "Loss curves",
        "Maps of the embeddings",
    ):
        assert heading in page
    outside = [part for part in page.split('"') if part.startswith(("http:", "https:", "//"))]
    assert {part for part in outside if not part.startswith("http://www.w3.org/")} == set()
    assert "<script" not in page
    assert "class <0>" not in page


def test_the_report_survives_what_is_missing(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0])
    shutil.rmtree("cells")
    shutil.rmtree("observations")
    report.write(Path("results/report.html"))
    assert "Maps of the embeddings" not in Path("results/report.html").read_text()


def test_neighbours_are_the_nearest_by_cosine(tmp_path: Path) -> None:
    from ssl_core.data import prepared

    project(tmp_path, seeds=[0])
    cell, data = Cell(variant="simclr", seed=0), prepared.load(Path("data/prepared"))
    train, test = (np.load(cell.folder("embed") / f"{split}.npy") for split in ("train", "test"))
    query = test[0] / np.linalg.norm(test[0])
    best = int(np.argmax(train @ query / np.linalg.norm(train, axis=1)))
    row = neighbourhoods.nearest(cell, data)[0]
    assert row[0][0] == neighbourhoods.picture(data.images("test")[0])
    assert row[1] == (
        neighbourhoods.picture(data.images("train")[best]),
        data.labels("train")[best] == data.labels("test")[0],
    )
    assert len(row) == 6


def test_before_the_first_comparison_the_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="make repro"):
        comparison.read()
