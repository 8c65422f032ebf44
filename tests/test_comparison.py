"""The comparison: what compare determines, intervals over seeds, and what show makes: the table and the report."""

import csv
import dataclasses
import html
import json
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy import stats

from ssl_core.backbones import ResNetConfig, build
from ssl_core.data import prepared
from ssl_core.errors import Refused
from tasks import compare, correct, export, show, weights
from tasks.cells import PREPARED, Cell
from tasks.comparison import compared, frame, neighbourhoods, report, sources, table
from tasks.comparison.interval import effect
from tasks.comparison.verdicts import Verdicts
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan, Planned
from tasks.tracking import champion

ROOT = Path(__file__).parents[1]
VARIANTS = {
    "random": "baseline", "simclr": "joint-embedding, contrastive", "random_vit": "baseline", "mae": "generative",
}  # fmt: skip
BASELINES = {"simclr": "random", "mae": "random_vit"}
ACCURACY = {
    ("random", 0): 0.50, ("random", 1): 0.60, ("simclr", 0): 0.70, ("simclr", 1): 0.82,
    ("random_vit", 0): 0.61, ("random_vit", 1): 0.63, ("mae", 0): 0.64, ("mae", 1): 0.68,
}  # fmt: skip
BUDGET = {
    "epochs": 2.0, "min_steps": 50, "max_steps": 300, "batch_size": 64, "learning_rates": [0.001, 0.003],
    "augmentation": {"crop": {"scale": [0.6, 1.0]}, "flip": 0.5, "jitter": None}, "mixup": 0.8, "evaluations": 3,
}  # fmt: skip
CLASSES = 3
NOTHING = Verdicts(level=0.05, looks=1, claims=[], ranking=None)


def suite(seeds: list[int] | None = None, **changes: Any) -> Plan:
    """A plan of four variants; `changes` are of its fields."""
    variants = {
        name: Planned(
            method=name,
            objective="random" if family == "baseline" else name,
            family=family,
            baseline=BASELINES.get(name, ""),
            off_the_shelf="",
            weights="",
            input_size=28,
            representations=["backbone"],
            trained=family != "baseline",
            needs_labels=False,
            needs_colours=False,
            changes={},
        )
        for name, family in VARIANTS.items()
    }
    made = Plan(
        suite="test",
        question="Which is <best>?",
        source="",
        seeds=seeds or [0],
        images=["drawn"],
        fine_tune=[],
        evaluation={"fine_tuning": BUDGET},
        variants=variants,
    )
    return dataclasses.replace(made, **changes)


def with_variant(plan: Plan, name: str, **changes: Any) -> Plan:
    """The plan with one of its variants changed."""
    return dataclasses.replace(
        plan, variants=plan.variants | {name: dataclasses.replace(plan.variants[name], **changes)}
    )


def project(plan: Plan, unlabelled: tuple[str, ...] = (), classes: int = CLASSES) -> Plan:
    """What configure and the stages before compare leave behind, in the formats that they write; the plan as read."""
    generator = np.random.default_rng(0)
    Path("dvc.yaml").write_text(f'vars: ["suites/{plan.suite}.yaml:suite,variants,seeds,fine_tune"]\n')
    Path("params.yaml").write_text("tracking: {uri: null}\n")
    configure(plan)
    for images in plan.images:
        _prepared(PREPARED / images, generator, 0 if images in unlabelled else classes)
    for cell in plan.cells:
        _cell(plan, cell, generator, unlabelled)
    return plans.read()


def configure(plan: Plan) -> None:
    plans.file(plan.suite).parent.mkdir(parents=True, exist_ok=True)
    YAML().dump(dataclasses.asdict(plan), plans.file(plan.suite))


def text(plan: Plan) -> str:
    """The table of what compare makes of a project."""
    compare.main()
    return table.text(compared.read(plan))


def page(plan: Plan) -> str:
    """The report of what compare made of it."""
    report.write(compared.read(plan), NOTHING, [["Nobody knows."]], Path("report.html"), {"python": "3.11"})
    return Path("report.html").read_text()


def row(said: str, start: str, place: int = 0) -> list[str]:
    """The words of the row that begins with a variant's name, in the table at a place."""
    return [line.split() for line in said.splitlines() if line.startswith(f"{start} ")][place]


def _prepared(folder: Path, generator: np.random.Generator, classes: int) -> None:
    folder.mkdir(parents=True)
    for split, count in (("train", 60), ("val", 10), ("test", 40)):
        np.save(folder / f"{split}_images.npy", generator.integers(256, size=(count, 8, 8, 3), dtype=np.uint8))
        np.save(folder / f"{split}_labels.npy", np.arange(count) % classes if classes else np.full(count, -1))
    Image.new("RGB", (8, 8)).save(folder / "contact_sheet.png")
    card = {
        "name": "test", "image_size": 8, "classes": [f"class <{i}> $a$b$" for i in range(classes)], "mean": [0.5] * 3,
        "std": [0.2] * 3, "grey": False, "original_sizes": {"8x8": 110},
        "sources": [{"file": "a.gz", "sha256": "0" * 64}],
        "splits": {"train": {"count": 60, "per_class": []}, "test": {"count": 40, "per_class": []}},
        "skipped": {"count": 0, "share": 0.0, "files": []},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))


def _cell(plan: Plan, cell: Cell, generator: np.random.Generator, unlabelled: tuple[str, ...]) -> None:
    pictures = cell.folder("pretrain") / "pictures"
    pictures.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(pictures / "views.png")
    variant = plan.variants[cell.variant]
    losses = [(0, 0.1, 3 + cell.seed), (1, 0.2, 2 + cell.seed)] if variant.trained else []
    curves = [f"{step},{epoch},loss,{loss}\n{step},{epoch},rankme,9\n" for step, epoch, loss in losses]
    _stage(cell, "pretrain", "", "curves.csv", "step,epoch,name,value\n" + "".join(curves))
    _stage(cell, "pretrain", "", "outcome.json", json.dumps({"steps": 2, "stopped": None}))
    for images in plan.images:
        labelled = images not in unlabelled
        figures: list[tuple[Any, ...]] = []
        for representation in variant.representations:
            folder = cell.folder("embed", images) / representation
            folder.mkdir(parents=True)
            for split, count in (("train", 60), ("test", 40)):
                np.save(folder / f"{split}.npy", generator.standard_normal((count, 4), dtype=np.float32))
            figures += _probed(cell, images, representation, labelled)
        _stage(cell, "embed", images, "identity", f"embed-{cell.name}-{images}\n")
        _figures(cell, "probe", images, figures)
        verdict = {name: {"collapsed": False, "why": ""} for name in variant.representations}
        _stage(cell, "probe", images, "verdict.json", json.dumps(verdict))
        chosen = {"0.1": {"labelled_images": 6, "linear": {"weight_decay": 1e-5}, "knn": {"knn20": 6}}}
        _stage(cell, "probe", images, "choices.json", json.dumps(dict.fromkeys(variant.representations, chosen)))
        if cell.variant in plan.fine_tune:
            tuned = [("fine_tuning", "linear", f, "test", "accuracy", 0.9) for f in (0.1, 1.0)] if labelled else []
            _figures(cell, "fine_tune", images, [(variant.representations[0], *one) for one in tuned])
            made = {
                "0.1": {"labelled_images": 6, "learning_rate": 0.003, "val_accuracy": 0.8125, "step": 67, "steps": 200}
            }
            _stage(cell, "fine_tune", images, "choices.json", json.dumps({variant.representations[0]: made}))


def _probed(cell: Cell, images: str, representation: str, labelled: bool) -> list[tuple[Any, ...]]:
    """Accuracies on a further data set are a tenth lower, those of a further representation two."""
    metrics = ("rankme", "alignment", "uniformity", "embedding_std")
    splits = (("test", 12.5), ("val", 11.5))
    figures = [(representation, "label_free", "", "", split, metric, v) for split, v in splits for metric in metrics]
    lower = (0.1 if images != "drawn" else 0) + (0.2 if representation != "backbone" else 0)
    value = ACCURACY[cell.variant, cell.seed] - lower
    for fraction in (0.1, 1.0) if labelled else ():
        for split, seen in (("test", round(value if fraction == 1 else value - 0.05, 6)), ("val", 0.99)):
            heads = ("linear", "knn20")
            figures += [(representation, "feature_extraction", h, fraction, split, "accuracy", seen) for h in heads]
    return figures


def _figures(cell: Cell, stage: str, images: str, figures: list[tuple[Any, ...]]) -> None:
    header = "representation,protocol,head,label_fraction,split,metric,value\n"
    _stage(cell, stage, images, "figures.csv", header + "".join(",".join(map(str, one)) + "\n" for one in figures))


def _stage(cell: Cell, stage: str, images: str, name: str, content: str) -> None:
    """A file among a stage's figures; and its identity, under which its costs were observed."""
    folder = cell.figures(stage, images)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    identity = "-".join(part for part in (stage, cell.name, images) if part)
    (folder / "identity").write_text(identity + "\n")
    observed = Path("observations") / stage / f"{identity}.json"
    observed.parent.mkdir(parents=True, exist_ok=True)
    observed.write_text(json.dumps({"seconds": 10.0 + cell.seed, "peak_memory_bytes": 2**30}))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recorded() -> str:
    """A store as MLflow's that has one run, whose id is given."""
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:
        opened.execute("create table if not exists runs (run_uuid text)")
        opened.execute("insert into runs values ('a run')")
    return "a run"


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Suites that were given to a delivery that delivers everything."""
    given: list[str] = []

    def deliver(plan: Plan, verdicts: dict[str, str]) -> str:
        given.append(plan.suite)
        return recorded()

    monkeypatch.setattr("tasks.tracking.delivery.deliver", deliver)
    return given


@pytest.fixture
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it matters when a report is made, not what is in it."""
    monkeypatch.setattr(report, "write", lambda found, judged, said, file, versions: file.write_text("new"))


# What compare determines.


def test_the_figures_are_tidy_and_in_the_plans_order() -> None:
    plan = project(suite(seeds=[1, 0], images=["drawn", "others"], fine_tune=["mae"]))
    found = frame.gather(plan)
    assert list(found.columns) == [
        "variant", "objective", "family", "baseline", "seed", "images",
        "representation", "protocol", "head", "label_fraction", "split", "metric", "value",
    ]  # fmt: skip
    order = found[["variant", "seed", "images"]].drop_duplicates().to_numpy().tolist()
    assert order == [[name, seed, images] for name in VARIANTS for seed in (1, 0) for images in ("drawn", "others")]
    assert found["label_fraction"].isna().equals(found["protocol"] == "label_free")
    assert set(found[found["protocol"] == "fine_tuning"]["variant"]) == {"mae"}
    one = found[(found["variant"] == "simclr") & (found["seed"] == 1) & (found["images"] == "others")]
    one = one[(one["head"] == "linear") & (one["label_fraction"] == 1.0) & (one["split"] == "test")]
    assert one["value"].tolist() == [pytest.approx(0.72)]
    assert one["baseline"].tolist() == ["random"]


def test_what_compare_writes_is_what_is_read() -> None:
    plan = project(suite(seeds=[0, 1], fine_tune=["simclr"]))
    compare.main()
    pd.testing.assert_frame_equal(frame.read(plan), frame.gather(plan))
    first = {file: file.read_bytes() for file in plan.results.rglob("*") if file.is_file()}
    shutil.rmtree("observations")
    compare.main()
    assert {file: file.read_bytes() for file in plan.results.rglob("*") if file.is_file()} == first


def test_a_variant_may_be_called_as_a_missing_value_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = suite()
    plan = dataclasses.replace(plan, variants={"null": plan.variants["random"]})
    monkeypatch.setitem(ACCURACY, ("null", 0), 0.5)
    project(plan)
    compare.main()
    assert set(frame.read(plan)["variant"]) == {"null"}
    assert frame.read(plan)["head"].isna().sum() == 0


@pytest.mark.parametrize("stage", ["probe", "fine_tune"])
def test_a_cell_without_figures_is_refused_naming_the_stage(stage: str) -> None:
    plan = project(suite(fine_tune=["simclr"]))
    shutil.rmtree(Cell(variant="simclr", seed=0).figures(stage))
    with pytest.raises(Refused, match=f"run the stage {stage}@simclr-0-drawn"):
        frame.gather(plan)


def test_a_comparison_of_another_version_is_refused() -> None:
    plan = project(suite())
    compare.main()
    file = plan.results / "comparison.csv"
    file.write_text(file.read_text().replace(",baseline,", ",", 1))
    with pytest.raises(Refused, match="was written by another version: run `make repro`"):
        frame.read(plan)


def test_before_the_first_comparison_is_said_what_to_run() -> None:
    plan = project(suite())
    with pytest.raises(Refused, match="make repro"):
        frame.read(plan)
    with pytest.raises(Refused, match="make repro"):
        show.main()


def test_what_another_suite_left_is_removed_and_nothing_else() -> None:
    plan = project(suite(seeds=[0], fine_tune=["mae"]))
    kept = sorted(file for file in Path("figures").rglob("*") if file.is_file())
    for other in (
        "older-0/probe/drawn/figures.csv",  # a variant
        "simclr-1/probe/drawn/figures.csv",  # a seed
        "simclr-0/probe/others/figures.csv",  # a data set
        "simclr-0/fine_tune/drawn/figures.csv",  # a stage
        "simclr-0/evaluate/figures.csv",
        "notes.txt",
    ):
        (Path("figures") / other).parent.mkdir(parents=True, exist_ok=True)
        (Path("figures") / other).write_text("")
    outside = Path("outside")
    outside.mkdir()
    (outside / "mine.txt").write_text("")
    Path("figures/linked-0").symlink_to(outside.resolve())
    sources.remove_others(plan)
    assert sorted(file for file in Path("figures").rglob("*") if file.is_file()) == kept
    assert not Path("figures/linked-0").exists()
    assert (outside / "mine.txt").exists()


def test_the_main_figures_are_test_accuracies_with_all_labels() -> None:
    plan = project(
        with_variant(suite(seeds=[0, 1], images=["drawn", "others"]), "mae", representations=["teacher", "backbone"])
    )
    compare.main()
    found = json.loads((plan.results / "metrics.json").read_text())
    assert found == {"random": 0.55, "simclr": 0.76, "random_vit": 0.62, "mae": 0.46}


def test_without_labels_the_main_figures_are_rankme_on_test() -> None:
    plan = project(suite(images=["drawn", "others"]), unlabelled=("drawn",))
    compare.main()
    assert json.loads((plan.results / "metrics.json").read_text()) == dict.fromkeys(VARIANTS, 12.5)


def test_loss_curves_are_means_over_the_seeds_where_all_have_one() -> None:
    plan = project(suite(seeds=[0, 1]))
    with (Cell(variant="mae", seed=1).figures("pretrain") / "curves.csv").open("a") as opened:
        opened.write("2,0.3,loss,7\n")  # the other seed ended early
    compare.main()
    assert sorted(file.name for file in (plan.results / "curves").iterdir()) == ["mae.csv", "simclr.csv"]
    assert (plan.results / "curves" / "mae.csv").read_text() == "step,epoch,loss\n0,0.1,3.5\n1,0.2,2.5\n"


def test_a_cell_that_collapsed_or_ended_early_is_named() -> None:
    plan = project(with_variant(suite(), "simclr", representations=["backbone", "projector"]))
    outcome = {"steps": 7, "stopped": "the representations collapsed at step 2"}
    (Cell(variant="mae", seed=0).figures("pretrain") / "outcome.json").write_text(json.dumps(outcome))
    verdict = {
        "backbone": {"collapsed": False, "why": ""},
        "projector": {"collapsed": True, "why": "all images share one representation"},
    }
    (Cell(variant="simclr", seed=0).figures("probe", "drawn") / "verdict.json").write_text(json.dumps(verdict))
    said = text(plan)
    assert "Collapsed: simclr-0, projector: all images share one representation." in said
    assert "Ended early: mae-0: the representations collapsed at step 2." in said
    assert said.count("Ended early") == said.count("Collapsed:") == 1
    assert len(json.loads((plan.results / "troubles.json").read_text())) == 2


def test_compare_imports_neither_pytorch_nor_mlflow() -> None:
    project(suite())
    code = "import sys; from tasks import compare; compare.main(); print({'torch', 'mlflow'} & sys.modules.keys())"
    done = _python(code)
    assert (done.stdout, done.stderr) == ("set()\n", "")


# The table.


def half_above(better: list[str], worse: list[str]) -> float:
    """Half of the interval of a difference in points, of all that the suite has."""
    y = np.array([[ACCURACY[name, seed] for seed in (0, 1)] for name in VARIANTS])
    return 100 * effect(y, np.array([(name in better) - float(name in worse) for name in VARIANTS])).half(0.05)


def test_the_table_shows_means_intervals_and_paired_differences() -> None:
    plan = project(suite(seeds=[0, 1]))
    said = text(plan)
    assert said.splitlines()[0].split() == ["linear", "probe", "k-NN", "pretraining"]
    half = stats.t.ppf(0.975, 1) * statistics.stdev([70, 82]) / 2**0.5
    assert row(said, "simclr")[2] == f"76.0±{half:.1f}"
    assert row(said, "simclr")[-2:] == ["10", "1.0"]
    assert row(said, "simclr", 1)[2] == f"21.0±{half_above(['simclr'], ['random']):.1f}"
    assert row(said, "mae", 1)[2].startswith("4.0±")  # above its own backbone's initial weights, not the other's
    assert (
        "Mean ± 95 % interval over 2 seeds.\n"
        "It covers seeds and draws of the labels, not other test images, other data or another budget."
    ) in said
    assert "No initial weights" not in said
    assert "off the shelf" not in said.lower()


def test_the_tables_intervals_count_the_test_images_where_each_cells_outcomes_were_kept() -> None:
    plan = project(suite(seeds=[0, 1]))
    generator, outcomes = np.random.default_rng(0), {}
    for cell in plan.cells:
        right = {
            correct.Predicted("backbone", head, fraction): generator.random(40) < 0.7
            for head in ("linear", "knn20")
            for fraction in (0.1, 1.0)
        }
        outcomes[cell.name] = next(iter(right.values()))
        correct.write(right, cell.figures("probe", "drawn"))
    said = text(plan)
    assert "It covers seeds, draws of the labels and test images (RankMe: seeds), not other data or another" in said
    y = np.array([[ACCURACY[name, seed] - 0.05 for seed in (0, 1)] for name in VARIANTS])
    for shown, names, c in (
        (row(said, "mae")[1], ["mae"], [0, 0, 0, 1.0]),
        (row(said, "simclr", 1)[1], ["simclr", "random"], [-1, 1, 0, 0]),
    ):
        signs = (1, -1)
        right = np.array([
            sum(sign * outcomes[f"{name}-{seed}"].astype(float) for sign, name in zip(signs, names, strict=False))
            for seed in (0, 1)
        ])  # fmt: skip
        found = effect(y, np.array(c), right)
        assert found.images
        assert shown == f"{100 * found.mean:.1f}±{100 * found.half(0.05):.1f}"
    assert max(map(len, said.splitlines())) <= 120


def test_the_usual_table_is_at_most_120_wide() -> None:
    said = text(project(suite(seeds=[0, 1], fine_tune=["simclr", "mae"])))
    assert max(map(len, said.splitlines())) <= 120


def test_a_variant_without_its_backbones_initial_weights_is_named() -> None:
    said = text(project(with_variant(suite(seeds=[0, 1]), "mae", baseline="")))
    assert "No initial weights of the same backbone to be compared with: mae." in said.splitlines()
    assert len([line for line in said.splitlines() if line.startswith("mae ")]) == 1
    assert len([line for line in said.splitlines() if line.startswith("simclr ")]) == 2


def test_without_initial_weights_nothing_is_paired() -> None:
    plan = project(with_variant(with_variant(suite(seeds=[0, 1]), "mae", baseline=""), "simclr", baseline=""))
    assert "initial weights, paired" not in text(plan)
    assert "initial weights, paired" not in page(plan)


def test_what_is_above_off_the_shelf_stands_beside_what_is_above_initial_weights() -> None:
    plan = with_variant(suite(seeds=[0, 1]), "random_vit", weights="imagenet", input_size=64, trained=False)
    plan = with_variant(plan, "simclr", off_the_shelf="random_vit", weights="imagenet")
    said = text(project(plan))
    heading = next(line for line in said.splitlines() if "paired" in line)
    assert re.split(" {2,}", heading.strip()) == [
        "probe above initial weights, paired",
        "probe above off the shelf, paired",
    ]
    paired = row(said, "simclr", 1)
    above, shelf = paired[1 : len(paired) // 2 + 1], paired[len(paired) // 2 + 1 :]
    assert above[-1].startswith("21.0±")
    assert shelf[-1] == f"14.0±{half_above(['simclr'], ['random_vit']):.1f}"
    assert row(said, "mae", 1)[-1] == "-"
    assert "Off the shelf: random_vit is the weights imagenet as they come, at 64 pixels." in said.splitlines()
    assert "Pretrained on from given weights: simclr (imagenet)." in said.splitlines()
    assert "above off the shelf, paired" in page(plan)
    assert "Above off the shelf means" not in said


def test_of_several_off_the_shelf_it_is_said_which_a_variant_is_compared_with() -> None:
    plan = with_variant(suite(seeds=[0, 1]), "random_vit", weights="imagenet", trained=False)
    plan = with_variant(plan, "random", weights="others", trained=False)
    plan = with_variant(plan, "simclr", off_the_shelf="random_vit", weights="imagenet")
    plan = with_variant(plan, "mae", off_the_shelf="random", weights="others")
    said = text(project(plan)).splitlines()
    (pairs,) = [line for line in said if line.startswith("Above off the shelf means: ")]
    assert sorted(pairs.removeprefix("Above off the shelf means: ").removesuffix(".").split(", ")) == [
        "mae above random",
        "simclr above random_vit",
    ]


def test_the_names_of_groups_stand_apart_where_columns_are_narrow() -> None:
    assert text(project(suite())).splitlines()[0].split() == ["linear", "probe", "k-NN", "pretraining"]


def test_one_seed_has_no_interval_and_an_unknown_cost_is_a_dash() -> None:
    plan = project(suite())
    shutil.rmtree("observations")
    said = text(plan)
    assert "±" not in said
    assert "One seed: no interval, and no claim." in said
    assert row(said, "simclr")[-2:] == ["-", "-"]
    assert "was not observed on this machine" in said


def test_costs_of_several_machines_are_said_to_be() -> None:
    plan = project(suite())
    for count, cell in enumerate(("mae-0", "simclr-0"), start=1):
        observed = Path(f"observations/pretrain/pretrain-{cell}.json")
        observed.write_text(json.dumps(json.loads(observed.read_text()) | {"machine": f"host-{count} x86_64"}))
        assert ("ran on 2 machines: costs compare where" in text(plan)) == (count == 2)


def test_fine_tuned_columns_are_of_the_variants_that_the_suite_names_with_the_budget() -> None:
    plan = project(suite(fine_tune=["random", "simclr"]))
    said = text(plan)
    assert "fine-tuned" in said.splitlines()[0]
    assert row(said, "simclr")[4:6] == ["90.0", "90.0"]
    assert row(said, "mae")[4:6] == ["-", "-"]
    assert (
        "fine-tuned: 2 passes over the labels, at least 50 and at most 300 steps of 64 images (crop, flip, mixup).\n"
        "Its learning rate: 0.001, 0.003, the one ahead on val after 1/3 of the steps; its state: the best on val."
    ) in said
    assert "train it from scratch: random." in said
    assert "fine-tuning learning rate 0.003, step 67 of 200, 81.2 % of val right" in page(plan)


def test_a_budget_without_a_cap_and_without_augmentation() -> None:
    plain = BUDGET | {"epochs": 1.0, "max_steps": None, "learning_rates": [0.01], "augmentation": None, "mixup": 0.0}
    said = text(project(suite(fine_tune=["simclr"], evaluation={"fine_tuning": plain})))
    assert (
        "fine-tuned: 1 pass over the labels, at least 50 steps of 64 images (as they are).\n"
        "Its learning rate: 0.01; its state: the best on val."
    ) in said


def test_without_fine_tuning_nothing_is_said_of_it() -> None:
    plan = project(suite())
    said = text(plan) + page(plan)
    assert not any(word in said for word in ("fine-tun", "from scratch"))


def test_what_has_seen_all_labels_is_said_by_what_it_needs() -> None:
    plan = project(with_variant(suite(), "simclr", needs_labels=True))
    assert "Pretrained with every training label, whatever share the head is given: simclr." in text(plan)


def test_further_representations_have_a_table_and_the_first_is_named() -> None:
    plan = with_variant(suite(seeds=[0, 1]), "mae", representations=["teacher", "backbone"])
    plan = project(with_variant(plan, "simclr", representations=["backbone", "projector"]))
    said = text(plan)
    assert "Shown where it is not the backbone: mae: the teacher's backbone." in said.splitlines()
    assert row(said, "mae")[2].startswith("46.0±")
    assert row(said, "mae", 1)[2].startswith("-16.0±")  # the teacher's above the baseline's backbone
    assert row(said, "mae", 2)[:2] == ["mae", "backbone"]
    assert row(said, "mae", 2)[3].startswith("66.0±")
    assert row(said, "simclr", 2)[:2] == ["simclr", "projector"]
    assert "<th>representation</th>" in page(plan)


def test_a_further_data_set_has_tables_of_its_own() -> None:
    plan = project(suite(seeds=[0, 1], images=["drawn", "others"]))
    said = text(plan)
    first, second = said.split("Evaluated on others, pretrained on drawn")
    assert row(first, "simclr")[2].startswith("76.0±")
    assert row(second, "simclr")[2].startswith("66.0±")
    assert row(second, "simclr", 1)[2].startswith("21.0±")
    assert "pretraining" not in second.splitlines()[2]
    assert page(plan).count("Evaluated on others, pretrained on drawn") == 1


def test_without_labels_the_intervals_cover_seeds_and_no_draw_of_labels() -> None:
    said = text(project(suite(seeds=[0, 1]), unlabelled=("drawn",)))
    assert "It covers seeds, not other test images, other data or another budget." in said
    assert "draws of the labels" not in said


def test_without_labels_the_label_free_figures_are_shown() -> None:
    plan = project(suite(), unlabelled=("drawn",))
    said = text(plan)
    assert "No labels: RankMe" in said
    assert "linear probe" not in said
    assert "Nearest neighbours" in page(plan)


def test_a_further_data_set_without_labels_is_named() -> None:
    said = text(project(suite(images=["drawn", "others"], fine_tune=["simclr"]), unlabelled=("others",)))
    assert "No labels in others: RankMe" in said
    assert "Accuracy on test in percent" in said


# The report.


@pytest.mark.parametrize("classes", [3, 40])
def test_the_report_opens_offline_and_escapes_names(classes: int) -> None:
    changes = {"objective": {"temperature": 0.2}}
    plan = project(with_variant(suite(seeds=[0, 1]), "simclr", changes=changes), classes=classes)
    compare.main()
    written = page(plan)
    for heading in (
        "Which is &lt;best&gt;?",
        "Accuracy by share of the labels",
        "Accuracy against cost",
        "Loss curves",
        "Maps of the embeddings",
        "configs/simclr.yaml",
        "{&#34;objective&#34;: {&#34;temperature&#34;: 0.2}}",
    ):
        assert heading in written
    outside = [part for part in written.split('"') if part.startswith(("http:", "https:", "//"))]
    assert {part for part in outside if not part.startswith("http://www.w3.org/")} == set()
    assert "<script" not in written
    assert "class <0>" not in written
    assert "<best>" not in written


@pytest.mark.parametrize("teacher", [False, True])
def test_the_report_says_how_the_champion_is_used_elsewhere(teacher: bool) -> None:
    plan = suite() if not teacher else with_variant(suite(), "simclr", representations=["teacher", "backbone"])
    plan, folder = project(plan), Cell(variant="simclr", seed=0).folder("pretrain")
    assert "without Stopgrad" not in page_of(plan)
    config, card = ResNetConfig(name="resnet18", stem="imagenet"), prepared.load(PREPARED / "drawn").card
    network = build(config, 32)
    weights.keep({"backbone": network, "teacher": network}, config, None, card, folder)
    said = page_of(plan)
    name = "teacher" if teacher else "backbone"
    assert "The champion, without Stopgrad" in said
    assert f"<code>{folder / name}.safetensors</code>" in said
    assert (
        html.escape(f'safetensors.torch.load_file("{name}.safetensors")', quote=True).replace("&quot;", "&#34;") in said
    )


def test_of_a_projector_alone_nothing_is_exported_and_nothing_offered() -> None:
    plan = project(with_variant(suite(), "simclr", representations=["projector"]))
    cell = Cell(variant="simclr", seed=0)
    (cell.folder("pretrain") / "backbone.safetensors").write_bytes(b"")
    with pytest.raises(Refused, match="the projector's output alone is evaluated"):
        export.exported(plan, cell)
    assert champion.best(plan) == cell
    assert "without Stopgrad" not in page_of(plan)


def test_the_report_offers_the_file_that_an_export_is_made_from() -> None:
    plan = project(with_variant(suite(), "simclr", representations=["projector", "teacher"]))
    config, card = ResNetConfig(name="resnet10", width=8), prepared.load(PREPARED / "drawn").card
    cell = Cell(variant="simclr", seed=0)
    weights.keep({"backbone": build(config, 32)}, config, None, card, cell.folder("pretrain"))
    assert "without Stopgrad" not in page_of(plan)
    weights.keep({"teacher": build(config, 32)}, config, None, card, cell.folder("pretrain"))
    assert export.exported(plan, cell) == ("teacher", cell.folder("pretrain") / "teacher.safetensors")
    assert "without Stopgrad" in page_of(plan)


def page_of(plan: Plan) -> str:
    """The report, compared anew."""
    compare.main()
    return page(plan)


def test_the_report_survives_what_is_missing() -> None:
    plan = project(suite(images=["drawn", "others"]))
    compare.main()
    shutil.rmtree("cells")
    shutil.rmtree("observations")
    shutil.rmtree(plan.results / "curves")
    written = page(plan)
    assert "Maps of the embeddings" not in written
    assert "Loss curves" not in written


def test_a_collapsed_representation_has_no_map() -> None:
    project(suite())
    folder = Cell(variant="simclr", seed=0).folder("embed", "drawn") / "backbone"
    assert neighbourhoods.embedding_map(folder) is not None
    np.save(folder / "test.npy", np.full((40, 4), 0.1, dtype=np.float32))
    assert neighbourhoods.embedding_map(folder) is None


def test_costs_are_sums_over_data_sets_and_means_over_seeds() -> None:
    plan = project(suite(seeds=[0, 1], images=["drawn", "others"], fine_tune=["mae"]))
    compare.main()
    found = compared.read(plan)
    seconds = [found.cost("mae", stage, "seconds") for stage in ("pretrain", "embed", "probe", "fine_tune")]
    assert [one and one.mean for one in seconds] == [10.5, 21.0, 21.0, 21.0]
    assert found.cost("simclr", "fine_tune", "seconds") is None
    (Path("observations") / "probe" / "probe-mae-1-others.json").unlink()
    probe = compared.read(plan).cost("mae", "probe", "seconds")
    assert probe is not None
    assert probe.mean == 20.0  # of the seed that was observed whole


def test_neighbours_are_the_nearest_by_cosine() -> None:
    project(suite())
    folder, data = (
        Cell(variant="simclr", seed=0).folder("embed", "drawn") / "backbone",
        prepared.load(PREPARED / "drawn"),
    )
    train, test = (np.load(folder / f"{split}.npy") for split in ("train", "test"))
    query = test[0] / np.linalg.norm(test[0])
    best = int(np.argmax(train @ query / np.linalg.norm(train, axis=1)))
    found = neighbourhoods.nearest(folder, data)[0]
    assert found[0][0] == neighbourhoods.picture(data.images("test")[0])
    assert found[1] == (
        neighbourhoods.picture(data.images("train")[best]),
        data.labels("train")[best] == data.labels("test")[0],
    )
    assert len(found) == 6


# Show.


def test_show_prints_the_table_writes_the_report_and_delivers_once(
    delivered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = project(suite(seeds=[0, 1]))
    compare.main()
    show.main()
    first = capsys.readouterr().out
    assert first.startswith(table.text(compared.read(plan)))
    assert first.splitlines()[-1] == "Look further:  make serve    and the report, results/test/report.html"
    written = (plan.results / "report.html").stat().st_mtime_ns
    show.main()
    assert capsys.readouterr().out == first
    assert (plan.results / "report.html").stat().st_mtime_ns == written
    assert len(delivered) == 1


def test_what_could_not_be_delivered_is_tried_again(
    short_report: None, delivered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(suite())
    compare.main()
    tried: list[str] = []
    monkeypatch.setattr("tasks.tracking.delivery.deliver", lambda plan, verdicts: tried.append(plan.suite) or "")
    show.main()
    show.main()
    assert len(tried) == 2


@pytest.mark.parametrize(
    "changed",
    [
        "observations/pretrain/pretrain-simclr-0.json",
        "data/prepared/drawn/card.json",
        "results/test/report.html",
        "cells/simclr-0/pretrain/backbone.safetensors",
        "cells/simclr-0/embed/drawn/backbone/test.npy",
    ],
)
def test_whatever_it_is_made_from_makes_it_anew(short_report: None, delivered: list[str], changed: str) -> None:
    project(suite())
    compare.main()
    show.main()
    file, report_file = Path(changed), Path("results/test/report.html")
    if not file.exists():  # as before `dvc pull`
        file.touch()
    elif file == report_file or file.suffix == ".npy":
        file.unlink()
    else:
        file.write_text(file.read_text().replace("10.0", "99.0").replace("a.gz", "b.gz"))
    report_file.write_text("old") if report_file.exists() else None
    show.main()
    assert report_file.read_text() != "old"


@pytest.mark.parametrize("changed", show.BESIDE)
def test_other_code_that_decides_on_the_champion_makes_it_anew(
    short_report: None, delivered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    plan = project(suite())
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(show, "__file__", str(tmp_path / "tasks" / "show.py"))
    before = show.made_from(plan)
    with (tmp_path / "tasks" / changed).open("a") as opened:
        opened.write("# another rule\n")
    assert show.made_from(plan) != before


@pytest.mark.parametrize("changed", ["another store", "no store", "an empty store", "another suite"])
def test_what_another_store_lacks_is_delivered_without_a_new_report(
    short_report: None, delivered: list[str], changed: str
) -> None:
    project(suite())
    compare.main()
    show.main()
    Path("results/test/report.html").write_text("old")
    match changed:
        case "another store":
            Path("params.yaml").write_text("tracking: {uri: server}\n")
        case "no store":
            Path("mlflow.db").unlink()
        case "an empty store":
            Path("mlflow.db").write_bytes(b"")
        case "another suite":
            state = json.loads(show.DELIVERED.read_text())
            show.DELIVERED.write_text(json.dumps(state | {"suite": "other"}))
    show.main()
    assert Path("results/test/report.html").read_text() == "old"
    assert len(delivered) == 2


def test_the_shown_table_follows_the_observations(
    short_report: None, delivered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project(suite())
    compare.main()
    show.main()
    observed = Path("observations/pretrain/pretrain-simclr-0.json")
    observed.write_text(observed.read_text().replace("10.0", "99.0"))
    capsys.readouterr()
    show.main()
    assert row(capsys.readouterr().out, "simclr")[-2] == "99"


@pytest.mark.parametrize("changed", ["probe/drawn/figures.csv", "pretrain/outcome.json", "embed/drawn/identity"])
def test_figures_that_were_not_compared_are_refused(short_report: None, delivered: list[str], changed: str) -> None:
    project(suite())
    compare.main()
    show.main()
    file = Path("figures/simclr-0") / changed
    kept = file.read_text()
    file.write_text(kept + " ")
    with pytest.raises(Refused, match=f"figures/simclr-0/{changed} than is there now: run `dvc repro`"):
        show.main()
    file.unlink()
    with pytest.raises(Refused, match="run `dvc repro`"):
        show.main()
    file.write_text(kept)
    show.main()


@pytest.mark.parametrize("change", ["a variant less", "another question"])
def test_a_plan_that_was_not_compared_is_refused(delivered: list[str], change: str) -> None:
    plan = project(suite())
    compare.main()
    fewer = {name: one for name, one in plan.variants.items() if name != "mae"}
    changes = {"a variant less": {"variants": fewer}, "another question": {"question": "Why?"}}
    configure(dataclasses.replace(plan, **changes[change]))
    with pytest.raises(Refused, match="run `dvc repro`"):
        show.main()


def test_a_suite_that_was_never_run_is_one_sentence() -> None:
    project(suite())
    Path("dvc.yaml").write_text('vars: ["suites/other.yaml:suite"]\n')
    done = _python("-m", "tasks.show")
    assert done.returncode == 1
    assert done.stderr.startswith("stopgrad: configs/compare/other.yaml is missing: run `make repro` (or `dvc repro`)")
    assert done.stderr.count("\n") == 1


def test_shown_again_it_imports_nothing_heavy(short_report: None, delivered: list[str]) -> None:
    project(suite())
    compare.main()
    show.main()
    code = (
        "import sys; from tasks import show; show.main();"
        "print({'torch', 'mlflow', 'pandas', 'numpy', 'scipy', 'matplotlib', 'jinja2'} & sys.modules.keys())"
    )
    done = _python(code)
    assert done.stdout.splitlines()[-1] == "set()"
    assert done.stderr == ""
    assert len(delivered) == 1


def _python(*command: str) -> subprocess.CompletedProcess[str]:
    """A module (-m, name) or code, run in the current folder with this project's code."""
    code = command if command[0] == "-m" else ("-c", *command)
    environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=environment)


def test_every_figure_is_read_as_it_was_written() -> None:
    plan = project(suite())
    compare.main()
    with (plan.results / "comparison.csv").open() as opened:
        written = list(csv.DictReader(opened))
    cell = Cell(variant="simclr", seed=0)
    with (cell.figures("probe", "drawn") / "figures.csv").open() as opened:
        figures = list(csv.DictReader(opened))
    of_cell = [one for one in written if one["variant"] == "simclr"]
    assert [{name: one[name] for name in figures[0]} for one in of_cell] == figures
