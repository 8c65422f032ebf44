"""The record in MLflow: one run a cell, one run a suite, both made from the files that the stages have finished.

A cell's run is found by a digest of all that is recorded of it. A run of the same cell with another record is
superseded, until that record is the cell's again: MLflow's current runs are what the table shows.
"""

import hashlib
import sys
from collections.abc import Mapping

from tasks.cells import FIGURES, Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.tracking import record
from tasks.tracking.store import Store, reason

CLAIM = "claim."
"""What the tags of a suite's verdicts begin with."""


def deliver(plan: Plan, verdicts: Mapping[str, str]) -> bool:
    """Deliver what MLflow has not yet of the suite; gives whether it has all of it now.

    `verdicts`: each claim's, by the claim's name.

    A failure is said, and raises nothing. What was not delivered is delivered by the next call.
    """
    try:
        _deliver(plan, verdicts)
    except Exception as error:
        said = f"not recorded in MLflow now; `python -m tasks.show` tries again ({reason(error)})"
        print(f"stopgrad: {said}", file=sys.stderr)
        return False
    return True


def _deliver(plan: Plan, verdicts: Mapping[str, str]) -> None:
    store = Store(plan.images[0])
    found = store.find({"suite_run": plan.suite})
    suite = found.info.run_id if found else store.create(plan.suite, {"suite_run": plan.suite})
    runs = {cell: _cell(store, plan, cell, suite) for cell in plan.cells}
    champion = record.champion(plan)
    if champion:
        _crown(store, plan, champion, runs[champion])
    store.tag(suite, {"question": plan.question, "champion": champion.name if champion else "none"})
    _judge(store, plan, suite, verdicts)
    for file in (*plan.results.glob("*.*"), *sorted(files.CONFIGS.glob("*.yaml"))):
        if not file.name.startswith("."):
            folder = "configs" if file.parent == files.CONFIGS else None
            store.client.log_artifact(suite, str(file), folder)
    store.client.set_terminated(suite, "FINISHED")


def _judge(store: Store, plan: Plan, suite: str, verdicts: Mapping[str, str]) -> None:
    """Let the suite's run say what its claims came to: a tag each, by which runs are found, and its page's text.

    Tags, for a verdict changes when seeds are added, and MLflow's parameters cannot.
    """
    claims = {f"{CLAIM}{name}": verdict for name, verdict in verdicts.items()}
    store.tag(suite, claims)
    store.untag(suite, CLAIM, claims)
    if plan.summary.exists():
        store.note(suite, plan.summary.read_text())


def _cell(store: Store, plan: Plan, cell: Cell, suite: str) -> str:
    """The cell's run, complete and current; gives its id."""
    recorded = record.recorded(cell)
    found = store.find({"recorded": recorded, "variant": cell.variant, "seed": str(cell.seed)})
    if found is None:
        run_id = _fill(store, plan, cell)
        store.tag(run_id, {"recorded": recorded, "mlflow.parentRunId": suite})
    else:
        run_id = found.info.run_id
    store.tag(run_id, {"superseded": "false", f"suite.{plan.suite}": "true"})
    for other in store.all({"variant": cell.variant, "seed": str(cell.seed), "superseded": "false"}):
        if other.info.run_id != run_id:
            store.tag(other.info.run_id, {"superseded": "true"})
    return run_id


def _fill(store: Store, plan: Plan, cell: Cell) -> str:
    """Log all of a cell, into the run that its pretraining began or a new one; gives its id."""
    begun = [run for run in store.all({"pretrain": record.identity(cell)}) if "recorded" not in run.data.tags]
    tags = record.tags(plan, cell) | {"pretrain": record.identity(cell)}
    run_id = begun[0].info.run_id if begun else store.create(cell.name, tags)
    store.tag(run_id, tags)
    card = record.card(plan)
    store.describe(run_id, record.params(plan, cell), hashlib.sha256(card.encode()).hexdigest(), card)
    last = store.last_step(run_id)
    store.log(run_id, [row for row in record.curves(cell) if row[0] > last])
    once = record.figures(plan, cell) | record.costs(plan, cell)
    store.log(run_id, [(0, name, value) for name, value in once.items()])
    pictures = cell.folder("pretrain") / "pictures"
    if pictures.exists():
        store.client.log_artifacts(run_id, str(pictures), "pictures")
    store.client.log_artifacts(run_id, str(FIGURES / cell.name), "figures")
    store.client.log_artifact(run_id, str(files.CONFIGS / f"{cell.variant}.yaml"))
    store.client.set_terminated(run_id, "FINISHED")
    return run_id


def _crown(store: Store, plan: Plan, cell: Cell, run_id: str) -> None:
    """Let the alias `champion` of the data set's model point at the cell's network."""
    version = store.client.get_run(run_id).data.tags.get("model_version")
    if version is None:
        shown = plan.variants[cell.variant].representations[0]
        version = store.register(run_id, cell.folder("pretrain"), shown, {"cell": cell.name, "representation": shown})
        store.tag(run_id, {"model_version": version})
    store.client.set_registered_model_alias(store.model(), "champion", version)
