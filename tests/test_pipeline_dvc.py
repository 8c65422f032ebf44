"""The graph, run by the real DVC."""

import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, SMALL_SUITE, SUITE, choose_suite, clone, edit, run
from ruamel.yaml import YAML

from ssl_core import backbones
from ssl_core.backbones import ResNetConfig
from tasks import forecast
from tasks.cells import Cell

pytestmark = pytest.mark.slow
SIMCLR = {"pretrain@simclr-0", "embed@simclr-0-small", "probe@simclr-0-small", "fine_tune@simclr-0-small"}
RANDOM = {"pretrain@random-0", "embed@random-0-small", "probe@random-0-small"}


def executed(project: Path, *arguments: str) -> set[str]:
    """The stages whose commands DVC ran."""
    done = run("dvc", "repro", *arguments, cwd=project)
    assert done.returncode == 0, done.stdout[-5000:]
    return set(re.findall(r"Running stage '(.+?)'", done.stdout))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has run, whose stages but `configure` digest what they read; tests put back what they change."""
    made = clone(tmp_path_factory.mktemp("graph"))
    for stage in ("prepare", "pretrain", "embed", "probe", "fine_tune", "compare", "verdict"):
        shutil.copy(PROJECT / "tests" / "stub_stage.py", made / "tasks" / f"{stage}.py")
    executed(made)
    return made


def outcome(project: Path) -> dict[str, bytes]:
    """Everything below the results."""
    folder = project / "results"
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_clone_runs_to_a_table_and_then_has_nothing_to_do(finished: Path) -> None:
    said = (finished / "tasks.show.log").read_text()
    assert re.search(r"simclr +\d+\.\d +\d+\.\d", said)
    assert "make ui" in said
    assert (finished / "results" / "small" / "report.html").stat().st_size > 50_000
    assert executed(finished) == set()


def edits() -> list[tuple[str, str, Callable[[dict[str, Any]], object], set[str]]]:
    """File, what is changed in it, and the stages that run, beside configure, compare and verdict."""
    claim = {"says": "It learns.", "better": "simclr", "worse": "random", "more_than": 1.0}

    def optimiser(content: dict[str, Any]) -> None:
        content["defaults"]["pretraining"]["optimiser"]["warmup"] = 0.2

    def overridden(content: dict[str, Any]) -> None:
        content["defaults"]["pretraining"]["batch_size"] = 64

    return [
        ("methods.yaml", "a method's value", lambda c: c["simclr"]["objective"].update(temperature=0.4), SIMCLR),
        ("methods.yaml", "a method outside the suite", lambda c: c["vicreg"]["objective"].update(variance=20.0), set()),
        (
            SMALL_SUITE,
            "a change of a variant",
            lambda c: c["variants"].update(simclr={"augmentation": {"flip": 0.0}}),
            SIMCLR,
        ),
        (
            "params.yaml",
            "the evaluation",
            lambda c: c["evaluation"].update(knn_temperature=0.1),
            {"probe@random-0-small", "probe@simclr-0-small"},
        ),
        (
            "params.yaml",
            "fine-tuning's budget",
            lambda c: c["evaluation"]["fine_tuning"].update(max_steps=6),
            {"fine_tune@simclr-0-small"},
        ),
        ("params.yaml", "a default that nothing overrides", optimiser, SIMCLR | RANDOM),
        ("params.yaml", "a default that the suite overrides", overridden, set()),
        (
            SMALL_SUITE,
            "a seed more",
            lambda c: c.update(seeds=[0, 1]),
            {stage.replace("-0", "-1") for stage in SIMCLR | RANDOM},
        ),
        (
            SMALL_SUITE,
            "a variant more",
            lambda c: c["variants"].update({"simclr-weak": {"method": "simclr", "augmentation": {"name": "weak"}}}),
            {"pretrain@simclr-weak-0", "embed@simclr-weak-0-small", "probe@simclr-weak-0-small"},
        ),
        (SMALL_SUITE, "a variant less", lambda c: c["variants"].pop("random"), set()),
        (SMALL_SUITE, "claims", lambda c: c.update(claims={"learns": claim}, looks=3), {"verdict"}),
        (SMALL_SUITE, "the question", lambda c: c.update(question="Does it still run?"), set()),
        (
            SMALL_SUITE,
            "what is embedded",
            lambda c: c.update(representations=["backbone", "projector"]),
            SIMCLR - {"pretrain@simclr-0"},
        ),
        (
            "params.yaml",
            "a data set more",
            lambda c: (c["images"].append("other"), c["data"].update(other=c["data"]["small"] | {"seed": 1})),
            {"prepare@other", *(stage.replace("small", "other") for stage in SIMCLR | RANDOM if "small" in stage)},
        ),
    ]


@pytest.mark.parametrize(("file", "what", "change", "cells"), edits(), ids=[what for _, what, _, _ in edits()])
def test_an_edit_runs_what_it_reaches_and_nothing_else(
    project: Path, file: str, what: str, change: Callable[[dict[str, Any]], object], cells: set[str]
) -> None:
    before = (project / file).read_text()
    edit(project, change, file)
    with chdir(project):
        told = forecast.forecast()
    ran = executed(project)
    (project / file).write_text(before)
    assert told is not None
    expected = {stage for stage in cells if not stage.startswith("prepare")} - {"verdict"}
    assert {one.stage.name for one in told.costs} == expected
    reaches = cells - {"verdict"} or what in ("a variant less", "the question")
    compared = {"compare", "verdict"} if reaches else set()
    assert ran == {"configure", *cells, *compared}


def test_comments_run_no_cell_and_what_was_put_back_neither(project: Path) -> None:
    before = {file: (project / file).read_text() for file in ("params.yaml", "methods.yaml", SMALL_SUITE)}
    executed(project)
    shown = outcome(project)
    for file, content in before.items():
        (project / file).write_text(f"# A word.\n{content}")
    assert executed(project) <= {"configure"}
    edit(project, lambda content: content["evaluation"].update(knn_temperature=0.5))
    executed(project)
    assert outcome(project) != shown
    for file, content in before.items():
        (project / file).write_text(content)
    assert executed(project) == set()
    assert outcome(project) == shown


@pytest.mark.parametrize(
    ("file", "cells"),
    [
        ("ssl_core/objectives/simclr.py", SIMCLR),
        ("ssl_core/objectives/byol.py", set()),
        ("ssl_core/heads/teacher.py", SIMCLR),
        ("ssl_core/objectives/objective.py", SIMCLR | RANDOM),
        ("ssl_core/training/optimiser.py", SIMCLR | RANDOM),
        ("tasks/probe.py", {"probe@random-0-small", "probe@simclr-0-small", "fine_tune@simclr-0-small"}),
    ],
)
def test_an_edit_of_code_runs_the_cells_that_stand_on_it(project: Path, file: str, cells: set[str]) -> None:
    before = (project / file).read_text()
    (project / file).write_text(f"{before}\n# A word.\n")
    ran = executed(project)
    (project / file).write_text(before)
    assert ran - {"configure", "compare", "verdict"} == cells


def test_a_new_objectives_file_runs_no_cell(project: Path) -> None:
    new = project / "ssl_core" / "objectives" / "another.py"
    new.write_text('"""Another."""\n')
    union = project / "ssl_core" / "objectives" / "__init__.py"
    before = union.read_text()
    union.write_text(f"{before}\nANOTHER = 1\n")
    assert executed(project) == {"configure"}
    new.unlink()
    union.write_text(before)
    assert executed(project) == set()


def test_a_suite_is_switched_and_switched_back_and_cells_that_both_have_are_made_once(project: Path) -> None:
    other = SUITE | {"suite": "other", "fine_tune": []}
    other["variants"] = {"simclr": None, "simclr-still": {"method": "simclr", "augmentation": {"flip": 0.0}}}
    YAML().dump(other, project / "suites" / "other.yaml")
    executed(project)
    small = outcome(project)
    choose_suite(project, "other")
    still = {"pretrain@simclr-still-0", "embed@simclr-still-0-small", "probe@simclr-still-0-small"}
    assert executed(project) == {"configure", *still, "compare", "verdict"}
    assert {folder.name for folder in (project / "figures").iterdir()} == {"simclr-0", "simclr-still-0"}
    choose_suite(project, "small")
    # What the other suite left is removed from the figures, which is compare's work; no cell runs.
    assert executed(project) <= {"compare", "verdict"}
    assert {name: content for name, content in outcome(project).items() if name in small} == small
    choose_suite(project, "other")
    assert executed(project) <= {"compare", "verdict"}
    choose_suite(project, "small")
    assert executed(project) <= {"compare", "verdict"}
    assert executed(project) == set()


def test_an_edited_file_of_weights_runs_its_cells_and_no_other(project: Path, tmp_path: Path) -> None:
    given, moved = tmp_path / "given.pth", tmp_path / "moved.pth"
    before = {file: (project / file).read_text() for file in ("params.yaml", SMALL_SUITE)}
    torch.manual_seed(1)
    network = backbones.build(ResNetConfig(name="resnet10", width=8), 16).network
    torch.save({"state_dict": network.state_dict()}, given)
    edit(project, lambda content: content.update(weights={"given": str(given)}))
    edit(project, lambda content: content["variants"].update(on={"method": "simclr", "backbone": {"weights": "given"}}),
         SMALL_SUITE)  # fmt: skip
    cells = {"pretrain@on-0", "embed@on-0-small", "probe@on-0-small"}
    assert executed(project) == {"weigh@given", "configure", *cells, "compare", "verdict"}
    first = given.read_bytes()
    torch.save({"state_dict": {key: tensor + 1 for key, tensor in network.state_dict().items()}}, given)
    assert executed(project) == {"weigh@given", "configure", *cells, "compare", "verdict"}
    given.write_bytes(first)
    assert executed(project) <= {"compare", "verdict"}
    given.rename(moved)
    edit(project, lambda content: content.update(weights={"given": str(moved)}))
    assert executed(project) == {"weigh@given", "configure"}
    for file, content in before.items():
        (project / file).write_text(content)
    assert executed(project) <= {"configure", "compare", "verdict"}
    assert not list((project / "data" / "weights").glob("*.json"))
    assert executed(project) == set()


def test_two_clones_end_with_the_same_lock_whatever_one_has_run_before(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = tmp_path_factory.mktemp("fresh") / "clone"
    made = {"configs", "cells", "figures", "results", "prepared", "dvc.lock"}
    outside = (str(project), str(project / "data"))
    shutil.copytree(
        project, fresh, symlinks=True, ignore=lambda folder, names: made & {*names} if folder in outside else []
    )
    shutil.rmtree(fresh / ".dvc" / "cache")
    YAML().dump(
        SUITE | {"suite": "before", "variants": {"random": None}, "fine_tune": []}, project / "suites/before.yaml"
    )
    choose_suite(project, "before")
    executed(project)
    choose_suite(project, "small")
    (project / "suites/before.yaml").unlink()
    executed(project)
    executed(fresh)
    (known, others) = (YAML(typ="safe").load(of / "dvc.lock")["stages"] for of in (fresh, project))
    assert {name: stage for name, stage in others.items() if name in known} == known
    assert outcome(fresh) == {name: content for name, content in outcome(project).items() if name.startswith("small")}


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


def test_a_suite_that_bears_anothers_name_is_refused_by_plain_dvc(project: Path) -> None:
    content = (project / SMALL_SUITE).read_text()
    (project / "suites" / "second.yaml").write_text(content)
    choose_suite(project, "second")
    done = run("dvc", "repro", cwd=project)
    choose_suite(project, "small")
    (project / "suites" / "second.yaml").unlink()
    assert done.returncode != 0
    assert "stopgrad: suites/second.yaml: suite is 'small'; it must be the file's name, second" in done.stdout
    assert executed(project) == set()


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
