"""The record in a real MLflow store."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import ENVIRONMENT, clone, edit, run

from tasks import cells
from tasks.cells import Cell

pytestmark = pytest.mark.slow
SIMCLR = Cell(variant="simclr", seed=0)


def store(project: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path, cell: Cell = SIMCLR) -> list[Any]:
    client = store(project)
    experiment = client.get_experiment_by_name("shapes")
    return client.search_runs([experiment.experiment_id], f"tags.`mlflow.runName` = '{cell.name}'")


def has_metrics(database: Path) -> bool:
    """Whether a run has logged anything; MLflow itself would set up a store that another process sets up."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            return opened.execute("select count(*) from metrics").fetchone()[0] > 0
    except sqlite3.OperationalError:
        return False


@pytest.fixture(scope="module")
def prepared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose images are prepared and nothing else."""
    project = clone(tmp_path_factory.mktemp("prepared"))
    shutil.copytree(finished / "data" / "prepared", project / "data" / "prepared")
    return project


def test_a_cell_is_one_run_that_says_everything(finished: Path) -> None:
    client = store(finished)
    (found,) = runs(finished)
    assert found.info.status == "FINISHED"
    tags, metrics = found.data.tags, found.data.metrics
    assert (tags["family"], tags["objective"], tags["backbone"]) == (
        "joint-embedding, contrastive",
        "simclr",
        "resnet10",
    )
    assert (tags["dataset"], tags["suite"], tags["seed"]) == ("shapes", "small", "0")
    assert re.fullmatch(r"[0-9a-f]{40}", tags["commit"])
    assert tags["data_md5"].endswith(".dir")
    assert found.data.params["objective.temperature"] == "0.2"
    assert found.data.params["evaluation.fine_tuning.steps"] == "4"
    assert 0 < metrics["test/linear.accuracy.labels_100"] <= 1
    assert metrics["cost/pretrain.seconds"] > 0
    projector = 64 * 256 + 2 * 256 + 256 * 128
    assert metrics["cost/pretrain.trained_parameters"] == metrics["cost/pretrain.parameters"] + projector
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "pretrain/nt_xent")]
    assert steps == sorted(set(steps))
    assert len(steps) > 1
    assert found.inputs.dataset_inputs[0].dataset.name == "shapes"
    parent = client.get_run(tags["mlflow.parentRunId"])
    assert parent.data.tags["suite_run"] == "small"
    assert {file.path for file in client.list_artifacts(found.info.run_id, "pictures")} >= {"pictures/views.png"}


def test_every_cell_has_the_same_figures(finished: Path) -> None:
    names = [
        {
            name
            for name in runs(finished, Cell(variant=variant, seed=0))[0].data.metrics
            if not name.startswith("pretrain/")
        }
        for variant in ("random", "simclr")
    ]
    assert {name for name in names[0] ^ names[1] if not name.startswith("cost/")} == set()


def test_the_champion_loads_without_running_code(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import load_file

    client = store(finished)
    champion = client.get_model_version_by_alias("stopgrad-shapes", "champion")
    assert champion.tags["cell"] == "simclr-0"
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished / 'mlflow.db'}")
    from mlflow import pytorch, set_tracking_uri
    from mlflow.models import get_model_info

    set_tracking_uri(f"sqlite:///{finished / 'mlflow.db'}")
    address = "models:/stopgrad-shapes@champion"
    h = pytorch.load_model(address)(torch.zeros(3, 3, 16, 16))  # pyright: ignore[reportCallIssue]
    assert h.shape == (3, 64)
    signature = get_model_info(address).signature
    assert signature is not None
    weights = next((finished / "mlartifacts").rglob("backbone.safetensors"))
    assert len(load_file(weights)) > 10


def test_a_killed_pretraining_is_continued_by_its_retry_in_the_same_run(prepared: Path) -> None:
    before = (prepared / "params.yaml").read_text()
    edit(prepared, lambda content: content["variants"]["simclr"].update(pretraining={"epochs": 40, "record_every": 1}))
    command = [sys.executable, "-m", "tasks.pretrain", "simclr", "0"]
    killed = subprocess.Popen(command, cwd=prepared, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and not has_metrics(prepared / "mlflow.db"):
        time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (left,) = runs(prepared)
    assert left.info.status == "RUNNING"
    assert "pretrain/loss" in left.data.metrics
    assert not (prepared / "cells" / "simclr-0" / "pretrain").exists()

    done = run(*command, cwd=prepared)
    assert done.returncode == 0, done.stdout
    (continued,) = runs(prepared)
    assert continued.info.run_id == left.info.run_id
    history = store(prepared).get_metric_history(continued.info.run_id, "pretrain/loss")
    steps = [metric.step for metric in history]
    assert len(steps) == len(set(steps))
    assert sorted(steps) == list(range(max(steps) + 1))
    (prepared / "params.yaml").write_text(before)


def test_cells_that_start_together_share_a_fresh_store(prepared: Path, tmp_path: Path) -> None:
    project = tmp_path / "fresh"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns("mlflow.db*", "cells"))
    commands = [[sys.executable, "-m", "tasks.pretrain", variant, "0"] for variant in ("random", "simclr", "vicreg")]
    started = [
        subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert not any("stopgrad:" in text for text in said)
    parents = {runs(project, Cell(variant=v, seed=0))[0].data.tags["mlflow.parentRunId"] for v in ("random", "simclr")}
    assert len(parents) == 1


def test_with_mlflow_away_the_stage_finishes_and_says_so(prepared: Path, tmp_path: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = run("python", "-m", "tasks.pretrain", "random", "0", cwd=prepared, **away)
    assert done.returncode == 0
    assert done.stdout.count("stopgrad: not recorded in MLflow now") == 1
    assert (prepared / "cells" / "random-0" / "pretrain" / "backbone.safetensors").exists()


def test_what_is_missing_is_delivered_by_compare(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "copy"
    shutil.copytree(finished, project, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts", ".git"))
    done = run("python", "-m", "tasks.compare", cwd=project)
    assert done.returncode == 0, done.stdout
    assert "there is no git repository here" in done.stdout
    (found,) = runs(project)
    (original,) = runs(finished)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == original.data.metrics
    assert found.data.tags["commit"] == "none"


def test_an_identity_finds_its_run_whatever_else_changes(finished: Path) -> None:
    (found,) = runs(finished)
    assert found.data.tags["identity"] == cells.identity(cells.read(finished / "params.yaml"), SIMCLR)
