"""The same graph, run by the real Prefect against a real server."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import ENVIRONMENT, SMALL_SUITE, clone, edit, run, warm_path
from ports import free_port

pytestmark = pytest.mark.slow
CELLS = "random-0", "simclr-0"
MEETING = """#!/bin/sh
case "$*" in *tasks.pretrain*)
    touch "$(dirname "$0")/$3.came"
    until [ "$(ls "$(dirname "$0")" | grep -c came)" = 2 ]; do
        waited=$((waited + 1))
        [ $waited -gt 1200 ] && echo "$3 waited for another cell, and none came" && exit 1
        sleep 0.1
    done
esac
exec PYTHON "$@"
"""
"""A `python` whose pretrainings begin when there are two, as they never are where cells run one after another."""


@pytest.fixture(scope="module")
def pages(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Both pages on a finished record, as `make serve` starts them: the addresses of MLflow and Prefect."""
    project = clone(tmp_path_factory.mktemp("pages"))
    shutil.copy(finished / "mlflow.db", project)
    ports = free_port(), free_port(), free_port()
    named = zip(("--mlflow-port", "--prefect-port", "--reports-port"), map(str, ports), strict=True)
    command = [sys.executable, "-m", "flows.serve", *(word for pair in named for word in pair)]
    server = subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    said = [server.stdout.readline() for _ in ports]
    assert "MLflow" in said[0], said
    yield said[0].split()[-1], said[1].split()[-1].removesuffix("/deployments")
    server.terminate()  # Ctrl-C is ignored where the tests run in a script's background
    server.wait(timeout=30)
    server.stdout.close()
    for port in ports:
        with socket.socket() as tried:
            assert tried.connect_ex(("127.0.0.1", port)) != 0, "a server outlived its page"


def with_cache(finished: Path, into: Path) -> Path:
    """A clone that has run nothing, whose DVC remembers what the finished one ran."""
    project = clone(into)
    shutil.copytree(finished / ".dvc" / "cache", project / ".dvc" / "cache")
    return project


def test_the_flow_gives_the_same_lock_as_dvc_and_shows_every_stage(
    finished: Path, pages: tuple[str, str], tmp_path: Path
) -> None:
    project = clone(tmp_path)
    api = f"{pages[1]}/api"
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    (meeting / "python").write_text(MEETING.replace("PYTHON", f"'{shutil.which('python', path=warm_path())}'"))
    (meeting / "python").chmod(0o755)
    path = f"{meeting}{os.pathsep}{warm_path()}"
    done = run("python", "-m", "flows.pipeline", "--slots", "2", cwd=project, PREFECT_API_URL=api, PATH=path)
    assert done.returncode == 0, done.stdout[-5000:]
    assert sorted(one.name for one in meeting.glob("*.came")) == ["random.came", "simclr.came"]
    assert (project / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    assert re.search(r"simclr +\d+\.\d", done.stdout)

    flows = httpx.post(f"{api}/flow_runs/filter", json={}).raise_for_status().json()
    assert sorted(run["name"] for run in flows) == [*CELLS, "small on small"]
    assert {run["state_type"] for run in flows} == {"COMPLETED"}
    of_cells = {run["parent_task_run_id"] for run in flows}
    runs = httpx.post(f"{api}/task_runs/filter", json={}).raise_for_status().json()
    runs = [run for run in runs if run["id"] not in of_cells]
    cells = [f"pretrain@{v}-0" for v in ("random", "simclr")]
    cells += [f"{stage}@{v}-0-small" for stage in ("embed", "probe") for v in ("random", "simclr")]
    cells.append("fine_tune@simclr-0-small")
    assert sorted(run["name"] for run in runs) == sorted(["configure", "prepare@small", *cells, "compare", "verdict"])
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    (flow,) = (run for run in flows if run["name"] == "small on small")
    published = httpx.post(f"{api}/artifacts/filter", json={}).raise_for_status().json()
    of_flow = {one["key"]: one for one in published if one["flow_run_id"] == flow["id"]}
    assert {"answer-small", "cells-small"} <= set(of_flow)
    answer = of_flow["answer-small"]
    assert [row["state"] for row in json.loads(of_flow["cells-small"]["data"])] == ["done", "done"]
    assert answer["data"] == (project / "results" / "small" / "summary.md").read_text()

    again = run("python", "-m", "flows.pipeline", cwd=project, PREFECT_API_URL=api)
    assert again.returncode == 0
    assert re.search(r"^  +\S", again.stdout, re.MULTILINE), "the table lost its columns"
    assert "2 of 2 cells have nothing to do" in again.stdout
    assert "Running stage" not in again.stdout
    assert "didn't change" not in again.stdout, "a stage that is clean was started"

    (project / "tasks" / "show.py").write_text("import sys; sys.exit('stopgrad: the disk is full')")
    unshown = run("python", "-m", "flows.pipeline", cwd=project, PREFECT_API_URL=api)
    assert unshown.returncode == 1
    assert unshown.stdout.splitlines()[-1] == "stopgrad: the disk is full"


def test_a_schedule_that_is_turned_on_has_runs(pages: tuple[str, str]) -> None:
    api = f"{pages[1]}/api"
    deployment = httpx.get(f"{api}/deployments/name/stopgrad/pipeline").raise_for_status().json()
    (nightly,) = deployment["schedules"]
    assert not nightly["active"]
    schedule = f"{api}/deployments/{deployment['id']}/schedules/{nightly['id']}"
    httpx.patch(schedule, json={"active": True}).raise_for_status()
    asked = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until = time.monotonic() + 60
    while not (runs := httpx.post(f"{api}/flow_runs/filter", json=asked).raise_for_status().json()):
        assert time.monotonic() < until, "the scheduler schedules nothing"
        time.sleep(0.5)
    httpx.patch(schedule, json={"active": False}).raise_for_status()
    assert all(run["auto_scheduled"] and run["expected_start_time"][11:16] == "02:00" for run in runs)


def test_verdicts_are_published_in_prefect_and_recorded_in_mlflow(
    finished: Path, pages: tuple[str, str], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    project = tmp_path / "judged"
    shutil.copytree(finished, project, symlinks=True)
    claim = {
        "says": "SimCLR learns.", "source": "", "verdict": "supported", "why": "", "effect": 5.0, "lower": 4.0,
        "upper": 6.0, "more_than": 1.0, "seeds": [0], "contrasts": [], "seeds_to_decide": None, "cells": ["simclr-0"],
    }  # fmt: skip
    judged = json.loads((project / "results" / "small" / "claims.json").read_text()) | {"claims": {"learns": claim}}
    (project / "results" / "small" / "claims.json").write_text(json.dumps(judged))
    published = (
        "import asyncio; from prefect import flow; from flows.artifacts import publish; from flows.run import Run; "
        "from flows.server import Server\n"
        "async def judged(): await publish(Run([{}]), Server(''))\n"
        "asyncio.run(flow(persist_result=False)(judged)())"
    )
    api = f"{pages[1]}/api"
    done = run("python", "-c", published, cwd=project, PREFECT_API_URL=api)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "supported  SimCLR learns." in done.stdout

    asked = {"artifacts": {"key": {"any_": ["verdicts-small"]}}}
    (table,) = httpx.post(f"{api}/artifacts/filter", json=asked).raise_for_status().json()
    assert (table["type"], table["description"]) == ("table", "Does it run?")
    (row,) = json.loads(table["data"])
    assert (row["claim"], row["verdict"], row["effect"]) == ("learns", "supported", "+5.0 ± 1.0 points (> 1.0)")
    newest = {"artifacts": {"key": {"any_": ["answer-small"]}}, "sort": "CREATED_DESC"}
    answer = httpx.post(f"{api}/artifacts/filter", json=newest).raise_for_status().json()[0]
    summary = (project / "results" / "small" / "summary.md").read_text()
    assert (answer["type"], answer["data"]) == ("markdown", summary)
    assert answer["flow_run_id"]

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    (suite,) = client.search_runs([experiment.experiment_id], "tags.suite_run = 'small'")
    assert suite.data.tags["claim.learns"] == "supported"
    assert suite.data.tags["mlflow.note.content"].startswith(summary.rstrip())


def test_a_stage_that_fails_stops_what_stands_on_it_alone(
    finished: Path, pages: tuple[str, str], tmp_path: Path
) -> None:
    project = with_cache(finished, tmp_path)
    large = {"method": "simclr", "pretraining": {"batch_size": 5000}}
    edit(project, lambda content: content["variants"].update(simclr=large), SMALL_SUITE)
    api = f"{pages[1]}/api"
    done = run("python", "-m", "flows.pipeline", "--slots", "2", cwd=project, PREFECT_API_URL=api)
    assert done.returncode == 1
    said = done.stdout.splitlines()[-1]
    assert said.startswith(
        "stopgrad: not done: pretrain@simclr-0 (small has 1,295 images to pretrain on, fewer than some"
    )
    below = [f"{stage}@simclr-0-small" for stage in ("embed", "probe", "fine_tune")]
    assert said.endswith(f"nor what stands on that: {', '.join([*below, 'compare', 'verdict'])}")
    runs = httpx.post(f"{api}/flow_runs/filter", json={"sort": "START_TIME_DESC", "limit": 3}).raise_for_status().json()
    states = {run["name"]: run for run in runs}
    assert states["random-0"]["state_type"] == "COMPLETED"
    assert states["simclr-0"]["state_type"] == "FAILED"
    assert states["small on small"]["state"]["message"] == said.removeprefix("stopgrad: ")
    assert (project / "figures" / "random-0" / "probe" / "small" / "figures.csv").exists()
    assert not (project / "cells" / "simclr-0").exists() or not any((project / "cells" / "simclr-0").iterdir())


@pytest.mark.thorough
def test_a_flow_that_is_ended_ends_its_stages_also_where_ctrl_c_is_ignored(
    finished: Path, pages: tuple[str, str], tmp_path: Path
) -> None:
    project = with_cache(finished, tmp_path)
    edit(project, lambda content: content["defaults"]["pretraining"].update(epochs=10_000), SMALL_SUITE)
    environment = ENVIRONMENT | {"PREFECT_API_URL": f"{pages[1]}/api"}
    deaf = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]  # as `&` in a script makes it
    command = [*deaf, sys.executable, "-m", "flows.pipeline", "--slots", "2"]
    flow = subprocess.Popen(command, cwd=project, env=environment)
    started = project / "cells" / "simclr-0" / ".pretrain.partial"
    until = time.monotonic() + 90
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.5)
    assert started.exists()
    flow.send_signal(signal.SIGTERM)
    assert flow.wait(timeout=60) != 0
    left = [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and _works_in(pid, project)]
    assert left == []
    assert not started.exists()


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder and int(process.name) != os.getpid()
    except OSError:
        return False


def test_without_a_server_the_flow_says_how_to_start_one(finished: Path) -> None:
    done = run("python", "-m", "flows.pipeline", cwd=finished, PREFECT_API_URL=f"http://127.0.0.1:{free_port()}/api")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("stopgrad: no Prefect server answers at")
    assert "make serve" in done.stdout


def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        project = clone(tmp_path)
        done = run(
            "python", "-m", "flows.serve", "--prefect-port", str(port), "--mlflow-port", str(free_port()), cwd=project
        )
    assert done.returncode == 1
    assert done.stdout.strip().startswith(f"stopgrad: port {port} is in use")
    assert not (project / "mlflow.db").exists()
