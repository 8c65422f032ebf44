"""The graph, run by the real DVC."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import clone, edit, run

from tasks import cells

pytestmark = pytest.mark.slow


def executed(project: Path, *arguments: str) -> set[str]:
    """The stages whose commands DVC ran."""
    done = run("dvc", "repro", *arguments, cwd=project)
    assert done.returncode == 0, done.stdout[-5000:]
    return set(re.findall(r"Running stage '(.+?)'", done.stdout))


def test_a_clone_runs_to_a_table_and_then_has_nothing_to_do(finished: Path) -> None:
    said = (finished / "repro.log").read_text()
    assert re.search(r"simclr +\d+\.\d +\d+\.\d", said)
    assert (finished / "results" / "report.html").stat().st_size > 50_000
    assert executed(finished) == set()
    table = run("python", "-m", "tasks.table", cwd=finished)
    assert table.returncode == 0
    assert "make ui" in table.stdout


def test_an_edit_runs_what_it_reaches_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "copy"
    shutil.copytree(finished, project, symlinks=True)
    before = (project / "params.yaml").read_text()
    lock = (project / "dvc.lock").read_bytes()
    edit(project, lambda content: content["variants"]["simclr"]["objective"].update(temperature=0.4))
    assert executed(project) == {"pretrain@simclr-0", "embed@simclr-0", "evaluate@simclr-0", "compare"}
    (project / "params.yaml").write_text(before)
    assert executed(project) == set()
    assert (project / "dvc.lock").read_bytes() == lock
    edit(project, lambda content: content["suite"].update(seeds=[0, 1]))
    new = {f"{stage}@{cell}" for stage in ("pretrain", "embed", "evaluate") for cell in ("random-1", "simclr-1")}
    assert executed(project) == {*new, "compare"}
    assert "±" in run("python", "-m", "tasks.table", cwd=project).stdout


def test_the_outputs_hold_nothing_observed(finished: Path) -> None:
    for file in [*finished.glob("cells/**/*"), *finished.glob("figures/**/*"), finished / "results/comparison.csv"]:
        if file.is_file() and file.suffix in (".csv", ".json"):
            assert not re.search(r"second|memory|run_id|machine|20\d\d-\d\d", file.read_text()), file
    identity = cells.identity(cells.read(finished / "params.yaml"), cells.Cell(variant="simclr", seed=0))
    assert {file.stem for file in (finished / "observations" / identity).iterdir()} == {"pretrain", "embed", "evaluate"}


def test_a_mistake_in_the_parameters_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    project = clone(tmp_path)
    edit(project, lambda content: content["variants"]["simclr"]["objective"].update(temprature=1))
    done = run("dvc", "repro", cwd=project)
    assert done.returncode != 0
    assert "stopgrad: params.yaml: variants.simclr.objective.temprature is not known: did you mean" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project / "data" / "prepared").exists()
