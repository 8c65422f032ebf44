"""What is recorded under which names, and the page of MLflow that is arranged of them."""

import base64
import json
import shutil
import time
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from ports import free_port
from test_comparison import project, suite, with_variant

from tasks.cells import Cell
from tasks.tracking import page, record

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def unpacked(value: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(base64.b64decode(value.removeprefix("deflate;"))))


@pytest.mark.usefixtures("_in_a_folder_of_its_own")
def test_accuracies_come_first_then_collapse_then_cost_then_curves_and_no_name_is_refused() -> None:
    plan = suite(seeds=[0], images=["drawn", "others"], fine_tune=["mae"])
    plan = project(with_variant(plan, "mae", representations=["teacher", "backbone"]))
    names = record.names(plan)
    prefixes = sorted({name.rpartition("/")[0] for name in names})
    assert prefixes[:3] == ["accuracy", "collapse", "cost"]
    assert {"representation backbone", "transfer others", "transfer others backbone"} <= set(prefixes)
    assert not [name for name in names if set(name) & set("%,()'`")]
    key, value = page.view(plan, names)
    made = unpacked(value)
    assert (key, len(value) < 5000) == ("mlflow.sharedViewState.test", True)
    opened = [one["name"] for one in made["compareRunSections"] if one["display"]]
    assert opened == [*page.OPENED[:3], *page.FURTHER]
    charts = [one["metricKey"] for one in made["compareRunCharts"] if one["metricSectionId"] == page.OPENED[0]]
    shares = [f"accuracy/{split} {share} percent linear probe" for share in (100, 10) for split in ("val", "test")]
    assert charts == shares
    assert {one["metricKey"] for one in made["compareRunCharts"] if "metricKey" in one} == names
    assert (made["orderByKey"], made["orderByAsc"]) == (f"metrics.`{shares[0]}`", False)


@pytest.mark.usefixtures("_in_a_folder_of_its_own")
def test_without_labels_nothing_orders_methods() -> None:
    plan = project(suite(), unlabelled=("drawn",))
    made = unpacked(page.view(plan, record.names(plan))[1])
    assert (made["orderByKey"], made["orderByAsc"]) == ("tags.`variant`", True)
    assert made["compareRunSections"][0]["name"] == "Collapse"


@pytest.mark.usefixtures("_in_a_folder_of_its_own")
def test_bytes_and_overheads_are_no_charts() -> None:
    plan = project(suite())
    cell = Cell(variant="simclr", seed=0)
    assert record.costs(plan, cell) == {
        "cost/pretraining seconds": 10.0,
        "cost/pretraining GiB": 1.0,
        "cost/evaluation seconds": 20.0,
    }
    assert record.observed(plan, cell)["probe drawn"]["peak_memory_bytes"] == 2**30


@pytest.mark.slow
@pytest.mark.thorough
def test_the_page_opens_on_accuracies_best_on_val_first(finished: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from flows import serve
    from tasks.configuration import plan as plans

    for name in ("dvc.yaml", "params.yaml", "mlflow.db", "configs/compare/small.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    port = free_port()
    server = serve.start(serve.mlflow(port))
    try:
        serve.wait_for(f"http://127.0.0.1:{port}/health", [server])
        address = page.comparison(f"http://127.0.0.1:{port}", plans.read())
        base, _, asked = address.partition("/#/experiments/")
        experiment, _, query = asked.partition("/runs?")
        assert parse_qs(query) == {"viewStateShareKey": ["small"], "compareRunsMode": ["CHART"]}
        api = f"{base}/api/2.0/mlflow"
        known = httpx.get(f"{api}/experiments/get", params={"experiment_id": experiment}).json()["experiment"]["tags"]
        made = unpacked(next(tag["value"] for tag in known if tag["key"] == "mlflow.sharedViewState.small"))
        search = {"experiment_ids": [experiment], "filter": made["searchFilter"]}
        runs = httpx.post(f"{api}/runs/search", json=search | {"order_by": [f"{made['orderByKey']} DESC"]}).json()
        values = [
            next(one["value"] for one in run["data"]["metrics"] if one["key"] == made["orderByKey"][9:-1])
            for run in runs["runs"]
        ]
        assert values == sorted(values, reverse=True)
        assert len(values) == 2
        look(address)
    finally:
        serve.end(server, 10)


def look(address: str) -> None:
    """What a real browser shows first; nothing where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here, to look at the page with")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1500, "height": 1000})
        shown.goto(address)
        charts = shown.get_by_test_id("experiment-view-compare-runs-chart-area")
        charts.get_by_text("accuracy/test 100 percent linear probe").first.wait_for(timeout=60_000)
        time.sleep(1)
        said = charts.inner_text()
        browser.close()
    assert said.startswith(page.OPENED[0])
    assert said.index("accuracy/val 100 percent linear probe") < said.index("accuracy/test 100 percent linear probe")
