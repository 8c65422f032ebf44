"""The graph, run by the real DVC: to its end, from suite to suite, from clone to clone."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL_SUITE, SUITE, choose_suite, clone, edit, run
from graph import SIMCLR, executed, outcome
from ruamel.yaml import YAML

from ssl_core import backbones
from ssl_core.backbones import ResNetConfig
from tasks.cells import Cell

pytestmark = pytest.mark.slow


def test_a_clone_runs_to_a_table_and_then_has_nothing_to_do(finished: Path) -> None:
    said = (finished / "tasks.show.log").read_text()
    assert re.search(r"simclr +\d+\.\d +\d+\.\d", said)
    assert "make serve" in said
    assert (finished / "results" / "small" / "report.html").stat().st_size > 50_000
    assert executed(finished) == set()


def test_a_suite_is_switched_and_switched_back_and_cells_that_both_have_are_made_once(copied: Path) -> None:
    other = SUITE | {"suite": "other", "fine_tune": []}
    other["variants"] = {"simclr": None, "simclr-still": {"method": "simclr", "augmentation": {"flip": 0.0}}}
    YAML().dump(other, copied / "suites" / "other.yaml")
    executed(copied)
    small = outcome(copied)
    choose_suite(copied, "other")
    still = {"pretrain@simclr-still-0", "embed@simclr-still-0-small", "probe@simclr-still-0-small"}
    assert executed(copied) == {"configure", *still, "compare", "verdict"}
    assert {folder.name for folder in (copied / "figures").iterdir()} == {"simclr-0", "simclr-still-0"}
    choose_suite(copied, "small")
    # What the other suite left is removed from the figures, which is compare's work; no cell runs.
    assert executed(copied) <= {"compare", "verdict"}
    assert {name: content for name, content in outcome(copied).items() if name in small} == small
    choose_suite(copied, "other")
    assert executed(copied) <= {"compare", "verdict"}
    assert executed(copied) == set()


def test_an_edited_file_of_weights_runs_its_cells_and_no_other(copied: Path, tmp_path: Path) -> None:
    given, moved = tmp_path / "given.pth", tmp_path / "moved.pth"
    before = {file: (copied / file).read_text() for file in ("params.yaml", SMALL_SUITE)}
    torch.manual_seed(1)
    network = backbones.build(ResNetConfig(name="resnet10", width=8), 16).network
    torch.save({"state_dict": network.state_dict()}, given)
    edit(copied, lambda content: content.update(weights={"given": str(given)}))
    variants = {"random": None, "on": {"method": "simclr", "backbone": {"weights": "given"}}}
    edit(copied, lambda content: content.update(variants=variants, fine_tune=[]), SMALL_SUITE)
    cells = {"pretrain@on-0", "embed@on-0-small", "probe@on-0-small"}
    assert executed(copied) == {"weigh@given", "configure", *cells, "compare", "verdict"}
    first = given.read_bytes()
    torch.save({"state_dict": {key: tensor + 1 for key, tensor in network.state_dict().items()}}, given)
    assert executed(copied) == {"weigh@given", "configure", *cells, "compare", "verdict"}
    given.write_bytes(first)
    assert executed(copied) <= {"compare", "verdict"}
    given.rename(moved)
    edit(copied, lambda content: content.update(weights={"given": str(moved)}))
    assert executed(copied) == {"weigh@given", "configure"}
    for file, content in before.items():
        (copied / file).write_text(content)
    assert executed(copied) <= {"configure", "compare", "verdict"}
    assert not list((copied / "data" / "weights").glob("*.json"))
    assert executed(copied) == set()


def test_two_clones_end_with_the_same_lock_whatever_one_has_run_before(digested: Path, copied: Path) -> None:
    """In another folder than the first, and with nothing in its cache."""
    shutil.rmtree(copied / ".dvc" / "cache")
    before = SUITE | {"suite": "before", "variants": {"random": None}, "fine_tune": []}
    YAML().dump(before, copied / "suites" / "before.yaml")
    choose_suite(copied, "before")
    executed(copied)
    choose_suite(copied, "small")
    (copied / "suites" / "before.yaml").unlink()
    assert executed(copied) >= {"configure", *SIMCLR, "compare", "verdict"}
    (known, others) = (YAML(typ="safe").load(of / "dvc.lock")["stages"] for of in (digested, copied))
    assert {name: stage for name, stage in others.items() if name in known} == known
    assert outcome(digested) == {name: content for name, content in outcome(copied).items() if name.startswith("small")}


def test_weights_that_come_out_as_they_were_run_nothing_further(finished: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    shutil.copytree(finished, real, symlinks=True)
    file = real / "ssl_core" / "objectives" / "simclr.py"
    file.write_text(f"{file.read_text()}\n# A word.\n")
    assert executed(real) == {"configure", "pretrain@simclr-0", "compare", "verdict"}
    edit(real, lambda content: content["evaluation"].update(knn_temperature=0.2))
    executed(real)
    said = run("python", "-m", "tasks.show", cwd=real).stdout
    assert re.search(r"simclr +\d+\.\d", said)
    assert "was not observed" not in said  # the seconds of pretraining, of which nothing was edited


def test_the_outputs_hold_nothing_observed(finished: Path) -> None:
    for file in [*finished.glob("cells/**/*"), *finished.glob("figures/**/*"), *finished.glob("results/*/*.csv")]:
        if file.is_file() and file.suffix in (".csv", ".json"):
            assert not re.search(r"second|memory|run_id|machine|20\d\d-\d\d", file.read_text()), file
    cell = Cell(variant="simclr", seed=0)
    for stage in ("pretrain", "embed", "probe", "fine_tune"):
        images = "" if stage == "pretrain" else "small"
        identity = (finished / cell.figures(stage, images) / "identity").read_text()
        assert (finished / "observations" / stage / f"{identity}.json").exists()


def test_metrics_plots_and_experiments_have_their_columns(finished: Path) -> None:
    metrics = run("dvc", "metrics", "show", cwd=finished).stdout
    assert re.search(r"results/small/metrics.json +0?\.?\d", metrics)
    assert "simclr" in metrics
    shown = run("dvc", "exp", "show", "--csv", cwd=finished).stdout
    assert {"random", "simclr"} <= set(shown.splitlines()[0].split(","))
    plots = run("dvc", "plots", "show", "--json", cwd=finished)
    assert "curves/simclr.csv" in plots.stdout


def test_a_suite_that_bears_anothers_name_is_refused_by_plain_dvc(copied: Path) -> None:
    content = (copied / SMALL_SUITE).read_text()
    (copied / "suites" / "second.yaml").write_text(content)
    choose_suite(copied, "second")
    done = run("dvc", "repro", cwd=copied)
    choose_suite(copied, "small")
    (copied / "suites" / "second.yaml").unlink()
    assert done.returncode != 0
    assert "stopgrad: suites/second.yaml: suite is 'small'; it must be the file's name, second" in done.stdout
    assert executed(copied) == set()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda c: c["variants"].update(simclr={"objective": {"temprature": 1}}),
            "stopgrad: suites/small.yaml: variants.simclr.objective.temprature is not known: did you mean temperature?",
        ),
        (lambda c: c["variants"].update(simklr={}), "stopgrad: suites/small.yaml: variants.simklr has no `method`"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    project = clone(tmp_path)
    edit(project, change, SMALL_SUITE)
    done = run("dvc", "repro", cwd=project)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project / "data" / "prepared").exists()
    assert not (project / "configs").exists()
