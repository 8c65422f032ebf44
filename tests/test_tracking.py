"""The record in a real MLflow store."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ENVIRONMENT, SMALL_SUITE, SUITE, choose_suite, clone, edit, run
from ruamel.yaml import YAML
from safetensors.torch import load_file

from ssl_core.augmentation import normalise
from tasks import weights
from tasks.cells import Cell

pytestmark = pytest.mark.slow
SIMCLR = Cell(variant="simclr", seed=0)
WATCHED = "import tasks.tracking.live as live; live.SHORT_SECONDS, live.FLUSH_SECONDS = 0.0, 0.2; "
PRETRAIN = "import tasks.pretrain as stage; stage.CHECKPOINT_SECONDS = 0; stage.main('simclr', '0', 'small')"
HALFWAY = """
import time
record = live.Live.record
def wait_to_be_killed(run, step, values):
    record(run, step, values)
    time.sleep(600 if step == 8 else 0)
live.Live.record = wait_to_be_killed
"""


def store(project: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path, cell: Cell = SIMCLR, superseded: str = "false") -> list[Any]:
    client = store(project)
    experiment = client.get_experiment_by_name("small")
    asked = f"tags.`mlflow.runName` = '{cell.name}' and tags.superseded = '{superseded}'"
    return client.search_runs([experiment.experiment_id], asked)


def by_hand(project: Path, *stages: str) -> None:
    """Run stages without DVC, one after another."""
    for stage in stages:
        module, *arguments = stage.split()
        done = run("python", "-m", f"tasks.{module}", *arguments, cwd=project)
        assert done.returncode == 0, done.stdout[-3000:]


def show(project: Path, **environment: str) -> str:
    done = run("python", "-m", "tasks.show", cwd=project, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A finished clone, to be changed, that MLflow knows nothing of."""
    project = tmp_path / "copy"
    shutil.copytree(finished, project, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts"))
    return project


def test_a_cell_is_one_run_that_says_everything(finished: Path) -> None:
    client = store(finished)
    (found,) = runs(finished)
    assert found.info.status == "FINISHED"
    tags, metrics = found.data.tags, found.data.metrics
    assert (tags["family"], tags["objective"], tags["method"]) == ("joint-embedding, contrastive", "simclr", "simclr")
    assert (tags["dataset"], tags["suite.small"], tags["seed"]) == ("small", "true", "0")
    assert re.fullmatch(r"[0-9a-f]{40}", tags["commit"])
    assert found.data.params["objective.temperature"] == "0.2"
    assert found.data.params["evaluation.fine_tuning.max_steps"] == "4"
    assert 0 < metrics["accuracy/test 100 percent linear probe"] <= 1
    assert 0 < metrics["accuracy/test 100 percent fine-tuned"] <= 1
    assert metrics["cost/pretraining seconds"] > 0
    assert "costs.json" in {file.path for file in client.list_artifacts(found.info.run_id)}
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "pretrain/nt_xent")]
    assert steps == sorted(set(steps))
    assert len(steps) > 1
    assert found.inputs.dataset_inputs[0].dataset.name == "small"
    parent = client.get_run(tags["mlflow.parentRunId"])
    assert parent.data.tags["suite_run"] == "small"
    assert parent.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(found.info.run_id, "pictures")} >= {"pictures/views.png"}
    # Which of them is differs between processors: they have seen next to nothing.
    assert re.match(r"# Does it run\?\n\n(random|simclr) is ahead with ", parent.data.tags["mlflow.note.content"])
    assert {"comparison.csv", "report.html", "summary.md"} <= {
        file.path for file in client.list_artifacts(parent.info.run_id)
    }


def test_a_suites_run_has_the_verdicts_that_are_there_and_no_others(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.configuration import plan as plans
    from tasks.tracking import delivery
    from tasks.tracking.store import Store

    for name in ("dvc.yaml", "params.yaml", "mlflow.db", "configs/compare/small.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    plan = plans.read()
    plan.results.mkdir(parents=True)
    opened = Store("small")
    run_id = opened.create("small", {"claimed": "not one of them"}).info.run_id
    for verdicts in ({"a": "undecided", "b": "supported"}, {"a": "refuted"}):
        plan.summary.write_text("# Why?\n\n```\n" + "a table\n" * 2000 + "```\n")
        delivery._judge(opened, plan, run_id, verdicts)
        tags = opened.client.get_run(run_id).data.tags
        assert {key.removeprefix("claim."): tags[key] for key in tags if key.startswith("claim.")} == verdicts
    assert tags["claimed"] == "not one of them"
    note = tags["mlflow.note.content"]
    assert len(note) <= 5000
    assert note.startswith("# Why?\n\n```\na table\n")
    assert note.endswith("a table\n```\n\nThe rest is in the artifacts: summary.md.\n")


def test_the_champion_loads_without_running_code(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished / 'mlflow.db'}")
    from mlflow import pytorch, set_tracking_uri
    from mlflow.models import get_model_info

    set_tracking_uri(f"sqlite:///{finished / 'mlflow.db'}")
    address = "models:/stopgrad-small@champion"
    loaded: Any = pytorch.load_model(address)
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    kept = weights.load(finished / SIMCLR.folder("pretrain"), "backbone")
    with torch.inference_mode():
        expected = kept.network(normalise(pixels, kept.mean, kept.std))
        torch.testing.assert_close(loaded(pixels), expected, rtol=1e-4, atol=1e-5)
    signature = get_model_info(address).signature
    assert signature is not None
    assert [(one.type, one.shape) for one in signature.inputs.inputs] == [(np.dtype("uint8"), (-1, 3, 16, 16))]
    # PyTorch's, of every exported program. When it is gone, so may be the version's word on it.
    with pytest.raises(NotImplementedError, match="eval"):
        loaded.eval()
    version = store(finished).get_model_version_by_alias("stopgrad-small", "champion")
    assert "neither `eval()` nor" in version.description
    assert version.tags["cell"] == "simclr-0"
    beside = next((finished / "mlartifacts").rglob("backbone.safetensors"))
    assert load_file(beside).keys() == kept.network.state_dict().keys()


@pytest.mark.thorough
def test_a_killed_pretraining_is_continued_by_its_retry_and_by_the_delivery_in_the_same_run(tmp_path: Path) -> None:
    project = clone(tmp_path)
    longer = {"method": "simclr", "pretraining": {"epochs": 4, "record_every": 1}}
    edit(project, lambda content: content.update(variants={"simclr": longer}, fine_tune=[]), SMALL_SUITE)
    by_hand(project, "configure", "prepare small")
    command = [sys.executable, "-c", WATCHED + PRETRAIN]
    halfway = [sys.executable, "-c", WATCHED + HALFWAY + PRETRAIN]
    killed = subprocess.Popen(halfway, cwd=project, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 600
    while not has_curve(project) and time.monotonic() < until:
        time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (left,) = runs(project)
    assert left.info.status == "RUNNING"
    assert not (project / SIMCLR.folder("pretrain")).exists()

    done = run(*command, cwd=project)
    assert done.returncode == 0, done.stdout
    by_hand(project, "embed simclr 0 small", "probe simclr 0 small", "compare", "verdict")
    assert "not recorded" not in show(project)
    (continued,) = runs(project)
    assert (continued.info.run_id, continued.info.status) == (left.info.run_id, "FINISHED")
    assert "accuracy/test 100 percent linear probe" in continued.data.metrics
    history = store(project).get_metric_history(continued.info.run_id, "pretrain/loss")
    steps = [metric.step for metric in history]
    assert len(steps) == len(set(steps))
    assert sorted(steps) == list(range(max(steps) + 1))


def has_curve(project: Path) -> bool:
    """Whether a run has a loss; asked of the database, for MLflow would set one up that another process sets up."""
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{project / 'mlflow.db'}?mode=ro", uri=True)) as opened:
            return opened.execute("select count(*) from metrics").fetchone()[0] > 0
    except sqlite3.OperationalError:
        return False


def test_a_short_pretraining_does_not_open_mlflow(finished: Path, tmp_path: Path) -> None:
    project = clone(tmp_path)
    for folder in ("data/prepared", "configs"):
        shutil.copytree(finished / folder, project / folder)
    done = run("python", "-m", "tasks.pretrain", "simclr", "0", "small", cwd=project)
    assert done.returncode == 0
    assert not (project / "mlflow.db").exists()


def test_mlflow_away_is_said_once_and_what_it_lacks_is_delivered_the_next_time(copy: Path, finished: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    said = show(copy, **away)
    assert said.count("stopgrad: not recorded in MLflow now; `python -m tasks.show` tries again") == 1
    assert re.search(r"simclr +\d+\.\d", said)
    assert "not recorded" not in show(copy)
    (found,), (original,) = runs(copy), runs(finished)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == original.data.metrics
    before = (copy / "mlflow.db").read_bytes()
    show(copy)
    assert (copy / "mlflow.db").read_bytes() == before
    elsewhere = copy / "elsewhere.db"
    show(copy, MLFLOW_TRACKING_URI=f"sqlite:///{elsewhere}")
    assert elsewhere.exists()


def test_current_runs_are_what_the_table_shows_after_an_edit_and_when_it_is_put_back(copy: Path) -> None:
    show(copy)
    (first,) = runs(copy)
    params = (copy / "params.yaml").read_text()
    edit(copy, lambda content: content["evaluation"].update(knn_temperature=1.0))
    by_hand(copy, "configure", "probe simclr 0 small", "compare", "verdict")
    show(copy)
    (second,) = runs(copy)
    assert second.info.run_id != first.info.run_id
    assert [old.info.run_id for old in runs(copy, superseded="true")] == [first.info.run_id]
    (copy / "params.yaml").write_text(params)
    by_hand(copy, "configure", "probe simclr 0 small", "compare", "verdict")
    show(copy)
    (third,) = runs(copy)
    assert third.info.run_id == first.info.run_id
    determined = [
        {name: run.data.metrics[name] for name in run.data.metrics if "cost/" not in name} for run in (first, third)
    ]
    assert determined[0] == determined[1]


def test_two_suites_that_share_a_cell_show_each_its_own_run_of_it_and_a_run_that_both_show(copy: Path) -> None:
    """One does not fine-tune it, so that what is recorded of it differs; of the random backbone it is the same."""
    show(copy)
    (tuned,) = runs(copy)
    (random,) = runs(copy, Cell(variant="random", seed=0))
    YAML().dump(SUITE | {"suite": "other", "fine_tune": []}, copy / "suites" / "other.yaml")
    choose_suite(copy, "other")
    assert run("dvc", "repro", cwd=copy).returncode == 0
    for suite in ("other", "small", "other"):
        choose_suite(copy, suite)
        assert run("dvc", "repro", cwd=copy).returncode == 0
        show(copy)
        (kept, frozen) = sorted(runs(copy), key=lambda one: "suite.other" in one.data.tags)
        assert kept.info.run_id == tuned.info.run_id
        assert "suite.other" not in kept.data.tags
        assert "suite.small" not in frozen.data.tags
        assert "test/fine_tuned.accuracy.labels_100" not in frozen.data.metrics
        (shared,) = runs(copy, Cell(variant="random", seed=0))
        assert shared.info.run_id == random.info.run_id
        assert {"suite.small", "suite.other"} <= shared.data.tags.keys()
