"""Prefect's page in a real browser: a run is started from the form, another is cancelled, a schedule fires."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ENVIRONMENT, SMALL_SUITE, clone, edit, warm_path

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is here"),
    pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it"),
]
BY_DEPLOYMENT = "/deployments/name/stopgrad/pipeline"


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A clone whose page `make serve` serves, and the page's address; not on the port of prefect.toml."""
    project = clone(tmp_path_factory.mktemp("served"))
    ports = {name: str(free_port()) for name in ("mlflow", "prefect", "reports")}
    command = [sys.executable, "-m", "flows.serve", *(f"--{name}-port={port}" for name, port in ports.items())]
    environment = ENVIRONMENT | {"PATH": warm_path(), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    said = [server.stdout.readline() for _ in ports]
    assert said[-1].startswith("Reports"), said
    yield project, f"http://127.0.0.1:{ports['prefect']}"
    server.terminate()
    server.wait(timeout=60)
    server.stdout.close()


@pytest.fixture(scope="module")
def page(served: tuple[Path, str]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1100, "height": 760})
        browser.close()


def until(asked: Callable[[], Any], seconds: float) -> Any:
    """What is asked for, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := asked():
            return found
        time.sleep(0.5)
    raise AssertionError("it did not come")


def runs(address: str) -> list[dict[str, Any]]:
    """Of the pipeline, the newest first."""
    asked = {"sort": "EXPECTED_START_TIME_DESC", "flow_runs": {"parent_task_run_id": {"is_null_": True}}}
    return httpx.post(f"{address}/api/flow_runs/filter", json=asked, timeout=30).raise_for_status().json()


def submit(page: Any, address: str, suite: str) -> dict[str, Any]:
    """Fill in the form, and start a run."""
    before = {run["id"] for run in runs(address)}
    deployment = httpx.get(f"{address}/api{BY_DEPLOYMENT}", timeout=30).raise_for_status().json()["id"]
    page.goto(f"{address}/deployments/deployment/{deployment}/run")
    page.get_by_text("Which question to answer").wait_for()
    page.locator(".schema-form-property").filter(has_text="Which question").locator(".p-select").first.click()
    page.keyboard.type(suite)
    page.get_by_text(suite, exact=True).last.click()
    page.get_by_role("button", name="Submit").click()
    return until(lambda: next((run for run in runs(address) if run["id"] not in before), None), 30)


def state(address: str, run: dict[str, Any]) -> str:
    return httpx.get(f"{address}/api/flow_runs/{run['id']}", timeout=30).raise_for_status().json()["state_type"]


def test_a_run_is_started_from_the_form_and_its_answer_is_read(served: tuple[Path, str], page: Any) -> None:
    project, address = served
    started = submit(page, address, "smoke")
    assert started["parameters"]["suite"] == "smoke"
    ended = until(lambda: (now := state(address, started)) in ("COMPLETED", "FAILED", "CRASHED") and now, 240)
    assert ended == "COMPLETED"
    page.goto(f"{address}/runs/flow-run/{started['id']}")
    page.get_by_text("smoke on small").first.wait_for()
    page.get_by_text("Artifacts", exact=True).last.click()
    page.get_by_text("answer-smoke").first.wait_for()
    assert (project / "results" / "smoke" / "comparison.csv").exists()


def test_a_run_that_is_cancelled_on_the_page_ends_with_its_stages(served: tuple[Path, str], page: Any) -> None:
    project, address = served
    edit(project, lambda content: content["defaults"]["pretraining"].update(epochs=10_000), SMALL_SUITE)
    started = submit(page, address, "small")
    until((project / "cells" / "simclr-0" / ".pretrain.partial").exists, 120)
    page.goto(f"{address}/runs/flow-run/{started['id']}")
    page.locator(".p-icon-button-menu").first.click()
    page.get_by_text("Cancel", exact=True).first.click()
    page.get_by_role("button", name="Confirm").last.click()
    # Ten seconds are what is asked; a machine that has other work has a few more.
    until(lambda: not stages(project) and state(address, started) == "CANCELLED", 15)


def stages(project: Path) -> list[str]:
    """The commands of stages that work in the project."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == project:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [command for command in found if "tasks." in command]


def test_a_schedule_that_is_turned_on_fires(served: tuple[Path, str], page: Any) -> None:
    project, address = served
    edit(project, lambda content: content["defaults"]["pretraining"].update(epochs=1), SMALL_SUITE)
    deployment = httpx.get(f"{address}/api{BY_DEPLOYMENT}", timeout=30).raise_for_status().json()
    (nightly,) = deployment["schedules"]
    assert not nightly["active"]
    schedules = f"{address}/api/deployments/{deployment['id']}/schedules/{nightly['id']}"
    soon = {"schedule": {"interval": 20.0}}
    httpx.patch(schedules, json=soon, timeout=30).raise_for_status()
    before = {run["id"] for run in runs(address)}
    page.goto(f"{address}/deployments/deployment/{deployment['id']}")
    page.locator(".p-toggle, [role=switch]").last.click()
    fired = until(lambda: [run for run in runs(address) if run["id"] not in before and run["start_time"]], 90)
    httpx.patch(schedules, json={"active": False}, timeout=30).raise_for_status()
    assert fired[0]["auto_scheduled"]
