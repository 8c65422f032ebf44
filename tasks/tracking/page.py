"""The page of MLflow that compares a suite's cells: main figures first, by variant over seeds, best on val first.

MLflow keeps a page that someone arranged and shares (its button "Share") in a tag of the experiment, and makes it again
at the address `…/runs?viewStateShareKey=<key>`: filter, order, groups, columns, charts in their sections. Such a page
is written for every suite, under the suite's name. MLflow does not document that format: it is as the page of version
3.17 reads it (`mlflow/server/js/build`), and a test looks at it in a browser. A chart's title is the metric's name.
"""

import base64
import json
import os
import zlib
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from tasks.configuration.plan import Plan
from tasks.main_figure import MAIN, first
from tasks.tracking import record
from tasks.tracking.address import shown

TAG = "mlflow.sharedViewState."
TIMEOUT_SECONDS = 5.0
OF_HEAD = ("{} of the linear probe by share of labels, val beside test", "{} of k-NN", "{} fine-tuned")
FURTHER = ("Collapse", "Cost", "Curves of pretraining")
HEADS = {
    (main.section, head): title.format(first(metric))
    for metric, main in MAIN.items()
    for head, title in zip(record.MAIN.values(), OF_HEAD, strict=True)
}
"""The sections of main figures, by their prefix and their head."""
OPENED = (*HEADS.values(), *FURTHER)
"""The sections that are open, in their order, of those that there are; further ones are folded."""
OF_PREFIX = {record.COLLAPSE: "Collapse", record.COST: "Cost", record.CURVES: "Curves of pretraining"}
CURVES_FIRST = ("loss", "rankme", "embedding_std")
COSTS = [name for name, *_ in record.PRETRAINING]
SECONDS, GIB = f"{record.COST}/{COSTS[0]}", f"{record.COST}/{COSTS[2]}"
LINE = {
    "type": "LINE",
    "xAxisKey": "step",
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "lineSmoothness": 0,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}
Card = dict[str, Any]


def view(plan: Plan, names: Collection[str]) -> tuple[str, str]:
    """The experiment's tag, its name and its value, from which MLflow makes the suite's page.

    `names`: of all metrics that the suite's cells have.
    """
    sections = _sections(names)
    page = {
        **_order(plan, names),
        "selectedColumns": _columns(names),
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "variant"}]},
        # Folded, the rows are the charts' legend: a variant each, in the order and the colours of the bars.
        "groupsExpanded": {f"tag.variant.{variant}": False for variant in plan.variants},
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,  # else MLflow puts the sections in alphabetical order
        "compareRunSections": [_section(name) for name in sections],
        "compareRunCharts": [
            *_scatter(names),
            *(_card(section, name) for section in sections for name in sections[section]),
        ],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(page).encode())).decode()
    return f"{TAG}{plan.suite}", f"deflate;{packed}"


def comparison(address: str, plan: Plan) -> str:
    """The suite's page on the server at an address; the address itself where that has nothing of the suite.

    Raises `httpx.HTTPError` where no MLflow answers.
    """
    found = _experiment(address, plan.images[0])
    if found is None:
        return shown(address)
    # What MLflow would add of the page to the address is said at once: with another filter there, it ignores the key.
    asked = {"viewStateShareKey": plan.suite, "compareRunsMode": "CHART"}
    if f"{TAG}{plan.suite}" not in {tag["key"] for tag in found.get("tags", [])}:
        names = [record.main(record.compared_by(plan), "linear probe", 1.0, "val")]
        asked = {"compareRunsMode": "CHART"} | {
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in _order(plan, names).items()
            if isinstance(value, str | bool)
        }
    return f"{shown(address)}/#/experiments/{found['experiment_id']}/runs?{urlencode(asked, quote_via=quote)}"


def _experiment(address: str, name: str) -> dict[str, Any] | None:
    """What a server knows of an experiment; who may ask it is said as MLflow wants it, by its own variables."""
    user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
    try:
        answer = httpx.get(
            f"{address.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name",
            params={"experiment_name": name},
            auth=(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=TIMEOUT_SECONDS,
        )
    except httpx.InvalidURL as error:  # which is no HTTPError
        raise httpx.UnsupportedProtocol(str(error)) from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    try:
        return answer.raise_for_status().json()["experiment"]
    except (ValueError, KeyError, TypeError):
        raise httpx.DecodingError(f"what answers at {shown(address)} is not MLflow") from None


def _order(plan: Plan, names: Collection[str]) -> dict[str, Any]:
    """Which runs, best on val first; without labels by variant, for no figure then compares methods."""
    best = record.largest_share(names)
    return {
        "searchFilter": f"tags.`suite.{plan.suite}` = 'true'",
        "orderByKey": f"metrics.`{best}`" if best else "tags.`variant`",
        "orderByAsc": not best,
    }


def _columns(names: Collection[str]) -> list[str]:
    best = record.largest_share(names)
    figures = [best, best.replace("/val ", "/test ")] if best else [f"{record.COLLAPSE}/val rankme"]
    return ["tags.`variant`", "tags.`seed`", *(f"metrics.`{name}`" for name in (*figures, SECONDS, GIB))]


def _sections(names: Collection[str]) -> dict[str, list[str]]:
    """By section, the metrics of its charts, in their order; those of no open section under their own prefix."""
    found: dict[str, list[str]] = {name: [] for name in OPENED}
    for name in sorted(names, key=_rank):
        found.setdefault(_placed(name), []).append(name)
    return {section: charts for section, charts in found.items() if charts}


def _placed(name: str) -> str:
    prefix, _, what = name.rpartition("/")
    placed = (title for (section, head), title in HEADS.items() if prefix == section and what.endswith(f" {head}"))
    return next(placed, OF_PREFIX.get(prefix, prefix))


def _rank(name: str) -> tuple[Any, ...]:
    """Larger shares of labels first, val before test; curves with the loss first; costs as they are recorded."""
    prefix, _, what = name.rpartition("/")
    if prefix == record.CURVES:
        return prefix, CURVES_FIRST.index(what) if what in CURVES_FIRST else len(CURVES_FIRST), what
    if prefix == record.COST:
        return prefix, COSTS.index(what) if what in COSTS else len(COSTS), what
    words = what.split()
    share = -float(words[words.index("percent") - 1]) if "percent" in words else 0.0
    return prefix, share, words[1:], words[0] == "test"


def _section(name: str) -> Card:
    opened = name in OPENED
    return {"uuid": name, "name": name, "display": opened, "isReordered": True, "columns": 2, "cardHeight": 300}


def _card(section: str, name: str) -> Card:
    card: Card = {"type": "BAR", "uuid": name, "metricKey": name, "metricSectionId": section, "runsCountToCompare": 100}
    return card | {"isGenerated": True, "deleted": False} | (LINE if name.startswith(f"{record.CURVES}/") else {})


def _scatter(names: Collection[str]) -> Iterator[Card]:
    """What the main figure costs, where both are known."""
    best = record.largest_share(names)
    if best and SECONDS in names:
        yield {
            "type": "SCATTER",
            "uuid": f"{best.partition('/')[0]} against seconds",
            "metricSectionId": OF_PREFIX[record.COST],
            "xaxis": {"key": SECONDS, "type": "METRIC"},
            "yaxis": {"key": best, "type": "METRIC"},
            "runsCountToCompare": 100,
            "isGenerated": False,
            "deleted": False,
        }
