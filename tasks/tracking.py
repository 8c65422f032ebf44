"""The record in MLflow: one run a cell, which its stages share; one parent run a suite. No other module imports mlflow.

A cell's run is found by the cell's identity, so that a killed stage's retry goes on in the same run. Everything but the
live loss curve is logged from the files that a stage has finished; whatever is missing (a cell that DVC's cache gave
back, a server that was away) is filled in from the same files by `complete_suite`.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from tasks import cells, record, weights
from tasks.cells import PREPARED, Cell
from tasks.parameters import Parameters
from tasks.stage import root

T = TypeVar("T")
STAGES = ("pretrain", "embed", "evaluate")
FLUSH_SECONDS = 5.0
BATCH = 1000
"""MLflow takes at most this many metrics at once."""


class Run:
    """A cell's run; where MLflow is away, what it is given is dropped, to be filled in later."""

    def __init__(self, store: "Store | None", run_id: str, cell: Cell, identity: str, tags: dict[str, str]) -> None:
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


class Store:
    """An MLflow store, opened, with the experiment of the prepared data set."""

    def __init__(self, settings: Parameters) -> None:
        local = f"sqlite:///{root() / 'mlflow.db'}"
        self.uri = settings.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or local
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
        os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
        os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_LOGGING_LEVEL": "ERROR"}
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.client = MlflowClient(self.uri)
        self.dataset = record.dataset()
        known = self.client.get_experiment_by_name(self.dataset)
        artifacts = (root() / "mlartifacts").as_uri() if self.uri == local else None
        self.experiment: str = (
            known.experiment_id if known else self.client.create_experiment(self.dataset, artifact_location=artifacts)
        )

    def find(self, tags: dict[str, str]) -> Any:
        """The newest run with these tags, or None."""
        asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self.client.search_runs([self.experiment], asked, order_by=["start_time DESC"], max_results=1)
        return found[0] if found else None

    def parent(self, suite: str) -> str:
        """The suite's run, which the cells' runs are children of."""
        found = self.find({"suite_run": suite})
        return (found or self.client.create_run(self.experiment, tags={"suite_run": suite}, run_name=suite)).info.run_id

    def last_step(self, run_id: str) -> int:
        """The last step of pretraining that a run has; -1 for none."""
        return max((metric.step for metric in self.client.get_metric_history(run_id, "pretrain/loss")), default=-1)

    def log(self, run_id: str, rows: list[tuple[int, str, float]], dataset: tuple[str, str] | None = None) -> None:
        """Log metrics, rows of step, name and value."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        name, digest = dataset or (None, None)
        metrics = [Metric(key, value, now, step, None, name, digest) for step, key, value in rows]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def log_model(self, run_id: str, file: Path) -> str:
        """Log a backbone as an exported graph with signature, its safetensors beside it; gives the model's address."""
        import mlflow
        from mlflow import pytorch
        from mlflow.models import infer_signature

        backbone = weights.load(file)
        size = weights.image_size(file)
        example = torch.zeros(2, 3, size, size)
        with torch.inference_mode():
            signature = infer_signature(example.numpy(), backbone(example).numpy())
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run_id):
            logged = pytorch.log_model(
                backbone,
                name="backbone",
                signature=signature,
                input_example=example.numpy(),
                extra_files=[str(file)],
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
            )
        return logged.model_uri


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
        with _only_one():
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
    with _only_one():
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
    from mlflow.entities import Dataset, DatasetInput, Param

    tags = record.tags(settings, cell) | {"identity": identity, "superseded": "false"}
    parent = {"mlflow.parentRunId": store.parent(settings.suite.name)}
    run_id = store.client.create_run(store.experiment, tags=tags | parent, run_name=cell.name).info.run_id
    store.client.log_batch(run_id, params=[Param(*item) for item in record.params(settings, cell).items()])
    card = (PREPARED / "card.json").read_text()
    used = Dataset(store.dataset, tags["data_md5"][:36] or "unknown", "local", "{}", profile=card[:10_000])
    store.client.log_inputs(run_id, [DatasetInput(used, [])])
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


@contextmanager
def _only_one() -> Iterator[None]:
    """One process at a time: SQLite stores that several open at once for the first time break."""
    with Path("mlflow.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _or_say(work: Callable[[], T]) -> T | None:
    """The work's result; or None and a sentence, where MLflow fails."""
    try:
        return work()
    except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and urllib3's
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"stopgrad: not recorded in MLflow now, the compare stage will try again ({reason})", file=sys.stderr)
        return None
