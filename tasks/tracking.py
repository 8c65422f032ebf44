"""The record in MLflow: one run a cell, which its stages share; one parent run a suite.

A cell's run is found by the cell's identity, so that a killed stage's retry goes on in the same run. Everything but the
live loss curve is logged from the files that a stage has finished; whatever is missing (a cell that DVC's cache gave
back, a server that was away) is filled in from the same files by `complete_suite`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tasks import cells, record
from tasks.cells import PREPARED, Cell
from tasks.parameters import Parameters
from tasks.store import Store, only_one

T = TypeVar("T")
STAGES = ("pretrain", "embed", "evaluate")
FLUSH_SECONDS = 5.0


class Run:
    """A cell's run; where MLflow is away, what it is given is dropped, to be filled in later."""

    def __init__(self, store: Store | None, run_id: str, cell: Cell, identity: str, tags: dict[str, str]) -> None:
        self.store, self.run_id, self.cell, self.identity, self.tags = store, run_id, cell, identity, tags
        self.waiting: list[tuple[int, str, float]] = []
        self.flushed = time.monotonic()
        self.last_step = store.last_step(run_id) if store else -1

    def record(self, step: int, values: dict[str, float]) -> None:
        """Note a step's values; they are sent every few seconds. Steps that the run has already are not sent again."""
        if step > self.last_step:
            self.waiting += [(step, f"pretrain/{name}", value) for name, value in values.items()]
            if self.store and time.monotonic() - self.flushed > FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Send what waits."""
        self.flushed = time.monotonic()
        if self.store and self.waiting:
            self.store.log(self.run_id, self.waiting)
            self.last_step = self.waiting[-1][0]
            self.waiting = []

    def complete(self, last: str) -> None:
        """Log what the cell's stages up to `last` have written and the run does not have yet."""
        if self.store is None:
            return
        for stage in STAGES[: STAGES.index(last) + 1]:
            if self.tags.get(f"stage.{stage}") != "finished":
                getattr(self, f"_log_{stage}")()
                self.store.log(self.run_id, [(0, *cost) for cost in record.costs(self.identity, stage).items()])
                self.tag(f"stage.{stage}", "finished")
        if last == STAGES[-1]:
            self.store.client.set_terminated(self.run_id, "FINISHED")

    def tag(self, key: str, value: str) -> None:
        """Set a tag."""
        self.tags[key] = value
        if self.store:
            self.store.client.set_tag(self.run_id, key, value[:5000])

    def end(self, status: str, why: str) -> None:
        """Close the run before its time."""
        if self.store:
            self.tag("ended_because", why)
            self.store.client.set_terminated(self.run_id, status)

    def _log_pretrain(self) -> None:
        assert self.store
        self.flush()
        self.store.log(self.run_id, [row for row in record.curves(self.cell) if row[0] > self.last_step])
        self.store.client.log_artifacts(self.run_id, str(self.cell.folder("pretrain") / "pictures"), "pictures")

    def _log_embed(self) -> None:
        """The representations stay in DVC."""

    def _log_evaluate(self) -> None:
        assert self.store
        figures = [(0, *figure) for figure in record.figures(self.cell).items()]
        self.store.log(self.run_id, figures, dataset=(self.tags["dataset"], self.tags["data_md5"]))
        self.store.client.log_artifacts(self.run_id, str(self.cell.folder("evaluate")), "evaluation")
        self.tag("model_uri", self.store.log_model(self.run_id, self.cell.folder("pretrain") / "backbone.safetensors"))


@contextmanager
def cell_run(settings: Parameters, cell: Cell, stage: str) -> Iterator[Run]:
    """The cell's run, for the time of one stage; when the block ends well, what the stage wrote is logged.

    A stage that fails marks the run so; one that is killed leaves it running, and its retry continues it. MLflow's own
    failures never end a stage: they are said, and `complete_suite` delivers the record later.
    """
    identity = cells.identity(cells.read(), cell)
    run = _or_say(lambda: _open(settings, cell, identity, stage)) or Run(None, "", cell, identity, {})
    try:
        yield run
    except BaseException as error:
        status, why = ("FAILED", str(error)) if isinstance(error, Exception) else ("KILLED", type(error).__name__)
        _or_say(lambda: run.end(status, why))
        raise
    _or_say(lambda: run.complete(stage))


def complete_suite(settings: Parameters) -> None:
    """Fill in what the record of the suite's cells lacks, and let the alias `champion` point at the best of them."""
    _or_say(lambda: _complete_suite(settings))


def _complete_suite(settings: Parameters) -> None:
    written = cells.read()
    runs = []
    for cell in cells.of_suite(written):
        identity = cells.identity(written, cell)
        with only_one():
            store = Store(settings)
            found = store.find({"identity": identity, "superseded": "false"})
        run = Run(store, found.info.run_id, cell, identity, found.data.tags) if found else None
        if run is None or run.tags.get("stage.evaluate") != "finished":
            run = run or _open(settings, cell, identity, "evaluate")
            run.complete("evaluate")
        runs.append(run)
    _crown(runs)
    store = runs[0].store
    assert store
    parent = store.parent(settings.suite.name)
    store.client.log_artifact(parent, str(PREPARED / "contact_sheet.png"))
    for file in ("results/comparison.csv", "results/report.html"):
        store.client.log_artifact(parent, file)
    store.client.set_terminated(parent, "FINISHED")


def _open(settings: Parameters, cell: Cell, identity: str, stage: str) -> Run:
    """The cell's unfinished run, or a new one; a run that has finished this stage before is superseded."""
    with only_one():
        store = Store(settings)
        found = store.find({"identity": identity, "superseded": "false"})
        if found and found.data.tags.get(f"stage.{stage}") == "finished":
            store.client.set_tag(found.info.run_id, "superseded", "true")
            found = None
        if found:
            store.client.update_run(found.info.run_id, status="RUNNING")
            run = Run(store, found.info.run_id, cell, identity, dict(found.data.tags))
        else:
            run = _create(store, settings, cell, identity)
    run.tag(f"stage.{stage}", "running")
    return run


def _create(store: Store, settings: Parameters, cell: Cell, identity: str) -> Run:
    tags = record.tags(settings, cell) | {"identity": identity, "superseded": "false"}
    parent = {"mlflow.parentRunId": store.parent(settings.suite.name)}
    card = (PREPARED / "card.json").read_text()
    run_id = store.create(cell.name, tags | parent, record.params(settings, cell), card)
    return Run(store, run_id, cell, identity, tags)


def _crown(runs: list[Run]) -> None:
    """Register each run's model; `champion` is the method that is best on val (probe on all labels, else RankMe)."""
    best, champion = float("-inf"), None
    for run in runs:
        assert run.store
        client, name = run.store.client, f"stopgrad-{run.store.dataset}"
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        if "model_version" not in run.tags:
            version = client.create_model_version(name, run.tags["model_uri"], run.run_id, tags={"cell": run.cell.name})
            run.tag("model_version", str(version.version))
        if run.tags["family"] == "baseline" and not all(other.tags["family"] == "baseline" for other in runs):
            continue
        figures = record.figures(run.cell)
        score = figures.get("val/linear.accuracy.labels_100", figures["val/rankme"])
        if score > best:
            best, champion = score, (client, name, run.tags["model_version"])
    if champion:
        client, name, version = champion
        client.set_registered_model_alias(name, "champion", version)


def _or_say(work: Callable[[], T]) -> T | None:
    """The work's result; or None and a sentence, where MLflow fails."""
    try:
        return work()
    except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and urllib3's
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"stopgrad: not recorded in MLflow now, the compare stage will try again ({reason})", file=sys.stderr)
        return None
