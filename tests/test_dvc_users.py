"""What users of DVC do every day, by DVC's own commands."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, PROJECT, SMALL_SUITE, clone, edit, run
from mlflow import MlflowClient
from ruamel.yaml import YAML

from tasks.cells import Cell
from tasks.tracking import observations, record

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
SIMCLR = Cell(variant="simclr", seed=0)
STUBS = ("prepare", "pretrain", "embed", "probe", "fine_tune", "compare", "verdict")
# What stands for a stage that measures: it leaves an observation, as the real one does.
OBSERVED = """
from tasks.tracking.observations import observing
if Path(sys.argv[0]).stem == "pretrain":
    with observing("pretrain", "-".join([*sys.argv[1:3], str(files.read(files.active_suite()).get("looks"))])):
        pass
"""
LOOKS = f"{SMALL_SUITE}:+looks"


def git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


def dvc(*arguments: str, cwd: Path) -> str:
    """What a command of DVC that goes well says."""
    done = run("dvc", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def unclean(project: Path) -> set[str]:
    """What `git status` shows."""
    return {line[3:] for line in git("status", "--porcelain", cwd=project).splitlines()}


def share(project: Path) -> None:
    """Commit what docs/sharing.md says."""
    git("add", "dvc.lock", "observations", cwd=project)
    git("commit", "-qm", "results", cwd=project)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has run, its lock and costs committed; its stages but `configure` digest what they read."""
    project = clone(tmp_path_factory.mktemp("users") / "made")
    stub = (PROJECT / "tests" / "stub_stage.py").read_text()
    for stage in STUBS:
        (project / "tasks" / f"{stage}.py").write_text(stub + OBSERVED)
    git("commit", "-qam", "stubs", cwd=project)
    dvc("repro", cwd=project)
    assert unclean(project) == {"dvc.lock", "observations/"}
    share(project)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


@pytest.fixture
def workers(project: Path) -> Iterator[None]:
    """Ends the processes of DVC's queue."""
    yield
    run("dvc", "queue", "stop", "--kill", cwd=project)


def test_a_second_clone_has_all_that_was_shared_and_runs_nothing(finished: Path, tmp_path: Path) -> None:
    first, second, remote = tmp_path / "first", tmp_path / "second", tmp_path / "remote"
    shutil.copytree(finished, first, symlinks=True)
    assert unclean(first) <= {"dvc.lock", "observations/", "tasks.show.log", "repro.log"}
    dvc("remote", "add", "-d", "storage", str(remote), cwd=first)
    git("add", ".dvc/config", cwd=first)
    share(first)
    dvc("push", "--run-cache", cwd=first)

    git("clone", "-q", "--depth", "1", f"file://{first}", str(second), cwd=tmp_path)  # a shallow one will do
    dvc("pull", cwd=second)
    assert unclean(second) == set()
    shown = run("python", "-m", "tasks.show", cwd=second)
    assert shown.returncode == 0, shown.stdout[-5000:]
    assert shown.stdout == (finished / "tasks.show.log").read_text()
    assert "not observed" not in (second / "results/small/report.html").read_text()
    assert "Running stage" not in dvc("repro", cwd=second)
    assert unclean(second) == set()

    client = MlflowClient(f"sqlite:///{second / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment
    runs = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert {"random-0", "simclr-0"} < set(runs)
    with chdir(second):
        seen = observations.read(SIMCLR, "pretrain")
        curve = [value for step, name, value in record.curves(SIMCLR) if name == "pretrain/loss"]
    assert runs["simclr-0"].data.tags["machine"] == seen["machine"]
    assert float(f"{seen['seconds']:.3g}") in {
        float(f"{value:.3g}") for value in runs["simclr-0"].data.metrics.values()
    }
    logged = client.get_metric_history(runs["simclr-0"].info.run_id, "pretrain/loss")
    assert [metric.value for metric in logged] == pytest.approx(curve)
    assert client.get_model_version_by_alias("stopgrad-small", "champion").run_id in {
        one.info.run_id for one in runs.values()
    }


def test_experiments_are_queued_run_two_at_once_compared_and_applied(project: Path, workers: None) -> None:
    for name, looks in (("two", "2"), ("three", "3")):
        dvc("exp", "run", "--queue", "-n", name, "-S", f"{LOOKS}={looks}", cwd=project)
    assert unclean(project) == set()
    dvc("queue", "start", "-j", "2", cwd=project)
    until = time.monotonic() + 180
    while (status := dvc("queue", "status", cwd=project)).count("Success") < 2 and time.monotonic() < until:
        assert "Failed" not in status, dvc("queue", "logs", "two", cwd=project)
        time.sleep(0.5)
    shown = json.loads(dvc("exp", "show", "--json", cwd=project))
    names = {revision["name"] for revision in shown[1]["experiments"] or [] for revision in revision["revs"]}
    assert names == {"two", "three"}
    assert list((project / ".dvc/tmp/exps").glob("tmp*")) == []

    for name, looks in (("two", 2), ("three", 3)):
        dvc("exp", "apply", name, cwd=project)
        assert YAML(typ="safe").load(project / SMALL_SUITE)["looks"] == looks
        assert dvc("status", cwd=project) == "Data and pipelines are up to date.\n"
    assert unclean(project) == {"dvc.lock", SMALL_SUITE}
    changed = json.loads(dvc("params", "diff", "--json", cwd=project))
    assert changed[SMALL_SUITE]["looks"]["new"] == 3
    assert set(changed) == {SMALL_SUITE}


def test_what_an_experiment_in_a_copy_observes_is_the_projects_and_bears_its_name(project: Path) -> None:
    key = "methods.yaml:+simclr.objective.temperature"
    dvc("exp", "run", "--temp", "-n", "warm", "-S", f"{key}=0.5", "-S", f"{LOOKS}=5", cwd=project)
    (seen,) = (json.loads(file.read_text()) for file in (project / "observations/pretrain").glob("simclr-0-5.json"))
    assert seen["dvc_experiment"] == "warm"
    assert seen["commit"] == git("rev-parse", "HEAD", cwd=project).strip()
    assert unclean(project) == {"observations/pretrain/simclr-0-5.json"}
    dvc("exp", "apply", "warm", cwd=project)
    assert unclean(project) == {"dvc.lock", "methods.yaml", SMALL_SUITE, "observations/pretrain/simclr-0-5.json"}


def test_a_run_is_called_by_its_experiment(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True, ignore=shutil.ignore_patterns(".git", ".dvc", "cells"))
    with chdir(project):
        assert record.name(SIMCLR) == "simclr-0"
        identity = record.identity(SIMCLR).strip()
        file = Path(f"observations/pretrain/{identity}.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"dvc_experiment": "warm"}))
        assert record.name(SIMCLR) == "simclr-0 (warm)"


def test_metrics_and_plots_are_compared_without_a_network(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True)
    share(project)
    # An edit that changes figures without pretraining: what a shorter curve and another figure would be.
    dvc("unprotect", "results/small/metrics.json", "results/small/curves", cwd=project)
    (project / "results/small/metrics.json").write_text('{"random": 0.25, "simclr": 0.75}\n')
    (project / "results/small/curves/simclr.csv").write_text("step,epoch,loss\n0,0.1,4.25\n")
    changed = json.loads(dvc("metrics", "diff", "--json", cwd=project))["results/small/metrics.json"]
    assert changed["simclr"]["new"] == 0.75
    assert changed["simclr"]["diff"] == pytest.approx(0.75 - changed["simclr"]["old"])
    # Without a revision DVC compares with HEAD where git sees a change, as after an edit; results it does not see.
    edit(project, lambda content: content["simclr"]["objective"].update(temperature=0.5), "methods.yaml")
    (curve,) = json.loads(dvc("plots", "diff", "--json", cwd=project))["data"]["results/small/curves/simclr.csv"]
    assert sorted(curve["revisions"]) == ["HEAD", "workspace"]
    rows = curve["content"]["data"]["values"]
    assert [row["loss"] for row in rows if row["rev"] == "workspace"] == ["4.25"]
    assert len([row for row in rows if row["rev"] == "HEAD"]) > 1
    assert "index.html" in dvc("plots", "diff", cwd=project)
    assert unclean(project) <= {"methods.yaml", "tasks.show.log", "repro.log"}


def test_costs_survive_what_removes_results(project: Path) -> None:
    kept = {file: file.read_bytes() for file in (project / "observations").rglob("*.json")}
    assert kept
    for folder in ("figures", "cells", "results"):
        shutil.rmtree(project / folder)
    dvc("checkout", "--force", cwd=project)
    dvc("gc", "-w", "--force", cwd=project)
    dvc("commit", cwd=project)
    assert dvc("status", cwd=project) == "Data and pipelines are up to date.\n"
    assert "Running stage" not in dvc("repro", cwd=project)
    assert {file: file.read_bytes() for file in (project / "observations").rglob("*.json")} == kept
    assert unclean(project) == set()


def test_another_clones_costs_run_nothing_and_are_asked_about_by_nobody(project: Path) -> None:
    (project / "observations/pretrain/another.json").write_text("{}\n")
    assert dvc("status", cwd=project) == "Data and pipelines are up to date.\n"
    assert "Running stage" not in dvc("repro", "--no-commit", cwd=project)
    assert "observations" not in (project / "dvc.lock").read_text() + (project / "dvc.yaml").read_text()


def test_all_pipelines_run_from_a_subfolder(project: Path) -> None:
    shutil.rmtree(project / "figures")
    assert "Traceback" not in dvc("repro", "-P", cwd=project / "data")
    assert (project / "figures" / "simclr-0").is_dir()
    assert unclean(project) == set()


def test_a_worktree_and_a_subfolder_of_another_repository_work(project: Path, tmp_path: Path) -> None:
    worktree, outer = tmp_path / "worktree", tmp_path / "outer"
    git("worktree", "add", "-q", str(worktree), cwd=project)
    inner = outer / "inner"
    shutil.copytree(project, inner, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    git("init", "-q", cwd=outer)
    git("add", "-A", cwd=outer)
    git("commit", "-qm", "outer", cwd=outer)
    for place in (worktree, inner):
        changes = ["-S", "methods.yaml:+simclr.objective.temperature=0.5", "-S", f"{LOOKS}=5"]
        dvc("exp", "run", "--temp", "-n", f"in-{place.name}", *changes, cwd=place)
        dvc("exp", "apply", f"in-{place.name}", cwd=place)
        observed = "observations/pretrain/simclr-0-5.json"
        assert json.loads((place / observed).read_text())["dvc_experiment"] == f"in-{place.name}"
        changed = {name.removeprefix("inner/") for name in unclean(place)}
        assert {"dvc.lock", "methods.yaml", SMALL_SUITE, observed} <= changed
        assert {name for name in changed if "observations" not in name} == {"dvc.lock", "methods.yaml", SMALL_SUITE}


def test_the_commit_is_the_projects_own(project: Path, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD", cwd=project).strip()
    with chdir(project):
        for written in ("dvc.lock", "observations/pretrain/simclr-0-None.json"):
            Path(written).write_text("{}")
        assert observations.commit() == {"commit": head, "dirty": "false"}
        Path("methods.yaml").write_text("{}")
        assert observations.commit() == {"commit": head, "dirty": "true"}
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    shutil.copy(project / "dvc.yaml", outer / "inner")
    git("init", "-q", cwd=outer)
    with chdir(outer / "inner"):
        assert observations.commit() == {}  # no commit yet
    (outer / "file").touch()
    git("add", "file", cwd=outer)
    git("commit", "-qm", "of another project", cwd=outer)
    with chdir(outer / "inner"):
        assert observations.commit() == {}
    (outer / ".gitignore").write_text("inner/\n")
    with chdir(outer / "inner"):
        assert observations.commit() == {}


@pytest.mark.parametrize("without", ["git", "dvc.yaml"])
def test_where_dvc_cannot_work_one_sentence_says_so(made: Path, tmp_path: Path, without: str) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(made, bare, symlinks=True, ignore=shutil.ignore_patterns(".git", "cells", "figures"))
    if without == "git":
        done = run("dvc", "repro", cwd=bare)
        assert done.stdout == f"ERROR: {bare} is not a git repository\n"
        dvc("config", "--local", "core.no_scm", "true", cwd=bare)
        dvc("repro", cwd=bare)
        assert (bare / "figures" / "simclr-0").is_dir()
    else:
        (bare / "dvc.yaml").unlink()
        for command in ("tasks.show", "tasks.forecast", "tasks.configure"):
            done = run("python", "-m", command, cwd=bare)
            assert re.fullmatch(r"stopgrad: dvc.yaml is missing: run this in the project's folder, .*\n", done.stdout)
