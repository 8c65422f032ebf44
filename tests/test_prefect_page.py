"""Prefect's page in a real browser: a run is started from the form, another is cancelled, a schedule fires."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ENVIRONMENT, SMALL_SUITE, clone, edit
from left import left
from ports import free_port

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is here"),
    pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it"),
]
BY_DEPLOYMENT = "/deployments/name/stopgrad/pipeline"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
RUN_SECONDS = 600
ASKING = httpx.Client(timeout=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A clone whose page `make serve` serves, and the page's address; not on the port of prefect.toml."""
    project = clone(tmp_path_factory.mktemp("served"))
    ports = {name: str(free_port()) for name in ("mlflow", "prefect", "reports")}
    command = [sys.executable, "-m", "flows.serve", *(f"--{name}-port={port}" for name, port in ports.items())]
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    said = [server.stdout.readline() for _ in ports]
    assert said[-1].startswith("Reports"), said
    yield project, f"http://127.0.0.1:{ports['prefect']}"
    server.terminate()
    server.wait(timeout=60)
    server.stdout.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": 760})
        shown.set_default_timeout(60_000)
        yield shown
        browser.close()


def until(found: Callable[[], Any], seconds: float) -> Any:
    """What is asked for, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise AssertionError("it did not come")


def asked(method: str, address: str, given: Any = None) -> httpx.Response:
    """What Prefect answers; where its database is busy (503) it is asked again."""
    return until(lambda: (said := ASKING.request(method, address, json=given)).status_code != 503 and said, 60)


def got(address: str) -> Any:
    return asked("GET", address).raise_for_status().json()


def runs(address: str) -> list[dict[str, Any]]:
    """Of the pipeline, the newest first."""
    newest = {"sort": "EXPECTED_START_TIME_DESC", "flow_runs": {"parent_task_run_id": {"is_null_": True}}}
    return asked("POST", f"{address}/api/flow_runs/filter", newest).raise_for_status().json()


def new_run(address: str, before: set[str]) -> Any:
    return until(lambda: next((run for run in runs(address) if run["id"] not in before), None), 30)


def field(page: Any, said: str) -> Any:
    """The form's, by its description."""
    return page.locator(".schema-form-property").filter(has_text=said)


def opened(page: Any, address: str) -> None:
    """Open the form as a user does, from the deployment's page, where its address is not known."""
    page.goto(f"{address}/deployments")
    page.get_by_text("pipeline", exact=True).first.click()
    page.locator(".run-menu__run-button").click()
    page.get_by_text("Custom run").click()
    page.get_by_text("Which question to answer").wait_for()


def submit(page: Any, address: str, suite: str) -> dict[str, Any]:
    """Fill in the form, and start a run."""
    before = {run["id"] for run in runs(address)}
    opened(page, address)
    field(page, "Which question").locator(".p-select").click()
    page.keyboard.type(suite)  # the list shows a few at a time
    page.locator(".p-select-option").filter(has_text=suite).click()
    submitting = page.get_by_role("button", name="Submit")
    submitting.click()
    try:
        started = new_run(address, before)
    except AssertionError:  # a server without a processor for itself says so, and may be asked again
        page.get_by_text("Something went wrong").wait_for()
        submitting.click()
        started = new_run(address, before)
    assert started["parameters"]["suite"] == suite
    return started


def cancelled(page: Any) -> None:
    """Cancel the run whose page is open, and say that this is meant."""
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Confirm").click()


def state(address: str, run: dict[str, Any]) -> dict[str, Any]:
    return got(f"{address}/api/flow_runs/{run['id']}")["state"]


def completed(address: str, run: dict[str, Any]) -> None:
    """Wait for the run's end, which is to be that."""
    ended = until(lambda: (now := state(address, run))["type"] in ENDED and now, RUN_SECONDS)
    assert ended["type"] == "COMPLETED", ended


def test_the_form_refuses_what_the_machine_does_not_have(served: tuple[Path, str], page: Any) -> None:
    _, address = served
    opened(page, address)
    many = (os.cpu_count() or 1) + 1
    field(page, "Cells that run at once").locator("input").fill(str(many))
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(f"{many} is greater than the maximum of {many - 1}").first.wait_for()
    assert runs(address) == []


def test_a_run_is_started_from_the_form_and_its_answer_is_read(served: tuple[Path, str], page: Any) -> None:
    project, address = served
    started = submit(page, address, "smoke")
    completed(address, started)
    page.goto(f"{address}/runs/flow-run/{started['id']}")
    page.get_by_text("smoke on small").first.wait_for()
    page.get_by_text("Artifacts", exact=True).last.click()
    for key in ("cells-smoke", "mlflow-smoke", "report-smoke", "answer-smoke"):
        page.get_by_text(key).first.wait_for()
    page.get_by_text("answer-smoke").first.click()
    page.get_by_text("byol-small-no-crop").first.wait_for()
    answer = (project / "results" / "smoke" / "summary.md").read_text().split("```")[1]
    assert answer.strip() in page.locator("pre", has_text="linear probe").inner_text()


def test_a_run_that_is_cancelled_on_the_page_ends_with_its_stages_and_the_next_begins(
    served: tuple[Path, str], page: Any
) -> None:
    project, address = served
    edit(project, lambda content: content["defaults"]["pretraining"].update(epochs=10_000), SMALL_SUITE)
    started = submit(page, address, "small")
    until((project / "cells" / "simclr-0" / ".pretrain.partial").exists, RUN_SECONDS)
    assert any("tasks.pretrain" in command for command in left(project).values())
    waiting = submit(page, address, "smoke")
    until(lambda: state(address, waiting)["name"] == "AwaitingConcurrencySlot", 60)
    page.goto(f"{address}/runs/flow-run/{started['id']}")
    cancelled(page)
    until(lambda: state(address, started)["type"] in ("CANCELLING", "CANCELLED"), 60)
    begun = time.monotonic()
    # Ten seconds are what is asked; a machine that has other work has a few more.
    until(lambda: not any("tasks.pretrain" in command for command in left(project).values()), 15)
    print(f"the stages ended {time.monotonic() - begun:.1f} s after")
    assert until(lambda: (now := state(address, started))["type"] in ENDED and now, RUN_SECONDS)["type"] == "CANCELLED"
    assert not (project / "cells" / "simclr-0" / ".pretrain.partial").exists()
    completed(address, waiting)


def test_a_schedule_that_is_turned_on_fires(served: tuple[Path, str], page: Any) -> None:
    _, address = served
    deployment = got(f"{address}/api{BY_DEPLOYMENT}")
    (nightly,) = deployment["schedules"]
    assert not nightly["active"]
    schedules = f"{address}/api/deployments/{deployment['id']}/schedules/{nightly['id']}"
    asked("PATCH", schedules, {"schedule": {"interval": 20.0}}).raise_for_status()
    before = {run["id"] for run in runs(address)}
    page.goto(f"{address}/deployments/deployment/{deployment['id']}")
    toggle = page.locator(".p-toggle__control:visible").first
    toggle.click()
    until(lambda: [run for run in runs(address) if run["id"] not in before and run["start_time"]], 240)
    toggle.click()
    until(lambda: not got(f"{address}/api{BY_DEPLOYMENT}")["schedules"][0]["active"], 60)
    (fired,) = [run for run in runs(address) if run["id"] not in before and run["start_time"]]
    assert fired["auto_scheduled"]
    assert fired["parameters"] == {}
    completed(address, fired)
