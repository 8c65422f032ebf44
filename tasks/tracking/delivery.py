"""The record in MLflow: one run a cell, one run a suite, both made from the files that the stages have finished.

A cell's run is found by a digest of all that is recorded of it. The runs that a suite's table shows now, and no others,
have the tag `suite.<name>`; a cell that several suites show has several. A run that no suite shows is superseded, until
its record is a cell's again.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tasks.cells import FIGURES, Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.tracking import champion, page, patience, record
from tasks.tracking.reasons import reason
from tasks.tracking.store import Store, Value, stored

CLAIM, MEMBER = "claim.", "suite."
"""What the tags of a suite's verdicts begin with, and those of a cell's suites."""
NAMED = 3
"""So many of what is missing are named."""
Failures = dict[str, str]
"""What could not be delivered, and why."""


def deliver(plan: Plan, verdicts: Mapping[str, str]) -> str:
    """Deliver what MLflow has not yet of the suite; gives the id of the suite's run, empty where it lacks something.

    `verdicts`: each claim's, by the claim's name.

    A failure is said, and raises nothing; it withholds nothing else. What was not delivered is delivered by the next
    call. A store that is silent for a minute is left alone.
    """
    failures: Failures = {}
    suite = ""
    try:
        with patience.bounded() as went_on:
            suite = _deliver(Store(plan.images[0], went_on), plan, verdicts, failures)
    except (Exception, patience.Silence) as error:
        failures[""] = reason(error)
    if failures:
        print(f"stopgrad: {_said(failures)}", file=sys.stderr)
    return "" if failures else suite


def digest(plan: Plan, cell: Cell) -> str:
    """Of everything that is recorded of a cell for good: figures, curves, what made them, parameters, data."""
    of = [cell.name, record.recorded(cell), record.params(plan, cell), record.card(plan)]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:32]


def find(plan: Plan, cell: Cell) -> tuple[str, str] | None:
    """The id and the address of a cell's run, no address where the store is no server; None where it has no run.

    Raises whatever MLflow raises where the store cannot be asked; `reason` says it in a sentence.
    """
    store, wanted = Store(plan.images[0]), digest(plan, cell)
    found = next((run for run in store.runs() if run.data.tags.get("recorded") == wanted), None)
    return (found.info.run_id, store.page(found.info.run_id)) if found else None


def _deliver(store: Store, plan: Plan, verdicts: Mapping[str, str], failures: Failures) -> str:
    runs = store.runs()
    suite = _suite(store, plan, runs)
    shown: dict[Cell, Any] = {}
    for cell in plan.cells:
        with _told(failures, cell.name):
            shown[cell] = _cell(store, plan, cell, runs, suite)
    current: set[str] = set()
    with _told(failures, "which runs are current"):
        current = _current(store, plan, shown, runs)
    for cell, run in shown.items():
        with _told(failures, f"artifacts of {cell.name}"):
            _artifacts(store, plan, cell, run)
    with _told(failures, "the suite's run"):
        store.tag(suite, {"question": plan.question, "cells": f"tags.`{MEMBER}{plan.suite}` = 'true'"})
        store.arrange(*page.view(plan, record.names(plan)))
    with _told(failures, "artifacts of the suite"):
        store.files(suite, _visible(plan.results.glob("*.*")))
        store.files(suite, _visible(sorted(files.CONFIGS.glob("*.yaml"))), "configs")
    crowned: dict[str, str] = {}
    with _told(failures, "the champion"):
        crowned = _crown(store, plan, shown, current)
        store.tag(suite, crowned)
    with _told(failures, "the suite's run"):
        _judge(store, plan, suite, verdicts, crowned)
        store.end(suite, "FINISHED")
    return suite


def _suite(store: Store, plan: Plan, runs: list[Any]) -> str:
    """The id of the suite's run. What a request that failed, and was done all the same, left beside it is deleted."""
    found = [run for run in runs if run.data.tags.get("suite_run") == plan.suite]
    for left in found[1:]:
        store.drop(left)
    return (found[0] if found else store.create(plan.suite, {"suite_run": plan.suite})).info.run_id


def _judge(
    store: Store, plan: Plan, suite: str, verdicts: Mapping[str, str], crowned: Mapping[str, str] | None = None
) -> None:
    """Let the suite's run say what its claims came to: a tag each, by which runs are found, and its page's text.

    The text ends with the way to the champion, where there is one.

    Tags, for a verdict changes when seeds are added, and MLflow's parameters cannot.
    """
    claims = {f"{CLAIM}{name}": verdict for name, verdict in verdicts.items()}
    store.tag(suite, claims)
    run = store.client.get_run(suite)
    store.untag(run, [key for key in run.data.tags if key.startswith(CLAIM) and key not in claims])
    if plan.summary.exists():
        store.note(suite, plan.summary.read_text(), _to_champion(crowned or {}))


def _to_champion(crowned: Mapping[str, str]) -> str:
    """A line with a link that leads to the champion's page on the same server."""
    if "champion_model" not in crowned:
        return ""
    name, _, version = crowned["champion_model"].removeprefix("models:/").rpartition("/")
    link = f"[{crowned['champion']}](#/models/{quote(name)}/versions/{version})"
    return f"\n\nChampion: {link}, {crowned['champion_because']}.\n"


def _cell(store: Store, plan: Plan, cell: Cell, runs: list[Any], suite: str) -> Any:
    """The run that has all of the cell's figures; what its pretraining began beside it is deleted."""
    wanted, identity = digest(plan, cell), record.identity(cell)
    complete = [run for run in runs if run.data.tags.get("recorded") == wanted]
    begun = [run for run in runs if run.data.tags.get("pretrain") == identity and "recorded" not in run.data.tags]
    if complete:
        found = complete[0]
        had = found.data.metrics
        costs = record.costs(plan, cell)  # which a stage that ran again has others of
        changed = [(0, name, value) for name, value in costs.items() if had.get(name) != stored(value)]
        store.log(found, changed, again=True)
        store.tag(found.info.run_id, record.tags(plan, cell), found)
    else:
        found = _fill(store, plan, cell, begun, suite)
    for left in (*complete, *begun):
        if left.info.run_id != found.info.run_id:
            store.drop(left)
            runs.remove(left)
    return found


def _fill(store: Store, plan: Plan, cell: Cell, begun: list[Any], suite: str) -> Any:
    """Log all of a cell's figures, into a run that was begun for just these, or into a new one; gives it."""
    wanted, card = digest(plan, cell), record.card(plan)
    once = record.figures(plan, cell) | record.costs(plan, cell)
    values = [*record.curves(cell), *((0, name, value) for name, value in once.items())]
    tags = record.tags(plan, cell) | {"pretrain": record.identity(cell), "filling": wanted}
    for run in begun:
        logged = [_key(value) for value in store.logged(run)]
        had = set(logged)
        other = run.data.tags.get("filling", wanted) != wanted
        if not other and len(had) == len(logged) and had <= {*map(_key, values)}:
            break
    else:
        run, had = store.create(record.name(cell), tags), set()
    store.tag(run.info.run_id, tags | {"mlflow.parentRunId": suite}, run)
    store.describe(run.info.run_id, record.params(plan, cell), hashlib.sha256(card.encode()).hexdigest(), card)
    store.log(run, [value for value in values if _key(value) not in had])
    store.untag(run, ["ended_because"])
    store.end(run.info.run_id, "FINISHED")
    store.tag(run.info.run_id, {"recorded": wanted})
    return run


def _key(value: Value) -> tuple[int, str, str]:
    """By which values are the same: as text, for of numbers `nan` is not the same as itself."""
    return value[0], value[1], repr(stored(value[2]))


def _current(store: Store, plan: Plan, shown: Mapping[Cell, Any], runs: list[Any]) -> set[str]:
    """Let the runs that the table shows be the suite's, and no others; gives the ids of those that any suite shows."""
    member, ours = f"{MEMBER}{plan.suite}", {run.info.run_id for run in shown.values()}
    current = set(ours)
    for run in shown.values():
        store.tag(run.info.run_id, {"superseded": "false", member: "true"}, run)
    for run in runs:
        tags, run_id = run.data.tags, run.info.run_id
        if run_id in ours or "variant" not in tags:
            continue
        store.untag(run, [member])
        if any(key.startswith(MEMBER) and key != member for key in tags):
            current.add(run_id)
        elif "recorded" in tags or f"{tags['variant']}-{tags['seed']}" in {cell.name for cell in plan.cells}:
            # What was begun by another configuration or code than the cell's. If it goes on, its courier says so.
            store.tag(run_id, {"superseded": "true"}, run)
            if run.info.status == "RUNNING":
                store.end(run_id, "KILLED")
    return current


def _artifacts(store: Store, plan: Plan, cell: Cell, run: Any) -> None:
    """Log the files of a cell that its run has not yet."""
    config, pictures = files.CONFIGS / f"{cell.variant}.yaml", cell.folder("pretrain") / "pictures"
    folders = {"figures": FIGURES / cell.name} | ({"pictures": pictures} if pictures.exists() else {})
    there = [file for folder in folders.values() for file in sorted(folder.rglob("*"))]
    costs = record.observed(plan, cell)
    listed = hashlib.sha256(json.dumps([costs, *map(str, there)], sort_keys=True).encode()).hexdigest()[:16]
    if run.data.tags.get("artifacts") == listed:
        return
    for name, folder in folders.items():
        store.files(run.info.run_id, [folder], name)
    store.files(run.info.run_id, [config])
    store.text(run.info.run_id, json.dumps(costs, indent=2), "costs.json")
    store.tag(run.info.run_id, {"artifacts": listed})


def _crown(store: Store, plan: Plan, shown: Mapping[Cell, Any], current: set[str]) -> dict[str, str]:
    """Let the alias `champion` of the data set's model point at the best network; gives what the suite's run says.

    The best of this suite and of those that other suites registered and show still, as far as they are comparable.
    """
    standings, cell = champion.standings(plan), champion.best(plan)
    if cell is None:
        return {"champion": "none", "champion_because": champion.WITHOUT_LABELS}
    if cell not in shown:  # its failure is told
        return {}
    own, versions = standings[cell], store.versions()
    rivals = [
        (standing.rank, str(version.version), version.tags["cell"])
        for version in versions
        if version.run_id in current and (standing := champion.of_tags(version.tags)) and standing.comparable(own)
    ]
    best = max(rivals, default=None)
    if best is None or best[0] < own.rank:
        representation = plan.variants[cell.variant].representations[0]
        pretrained = cell.folder("pretrain")
        if not (pretrained / f"{representation}.safetensors").exists():
            return {"champion": "none", "champion_because": f"{pretrained} is not here; `dvc pull` brings it"}
        tags = {"cell": cell.name, "suite": plan.suite, "representation": representation}
        tags |= {"commit": record.tags(plan, cell)["commit"], **own.tags()}
        best = (own.rank, store.register(shown[cell].info.run_id, pretrained, representation, tags), cell.name)
    if store.champion() != best[1]:
        store.crown(best[1])
    why = f"best on val of the linear probe on {own.label_fraction:.0%} of the labels"
    return {"champion": best[2], "champion_because": why, "champion_model": f"models:/{store.model}/{best[1]}"}


def _visible(found: Iterable[Path]) -> list[Path]:
    return [file for file in found if not file.name.startswith(".")]


@contextmanager
def _told(failures: Failures, what: str) -> Iterator[None]:
    """Note what failed and why, and go on."""
    try:
        yield
    except Exception as error:
        failures[what] = reason(error)


def _said(failures: Failures) -> str:
    why, again = next(iter(failures.values())), "`python -m tasks.show` tries again"
    named = [what for what in failures if what]
    if not named:
        return f"not recorded in MLflow now; {again} ({why})"
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"not all recorded in MLflow now, {', '.join(named[:NAMED])}{more} missing; {again} ({why})"
