"""An MLflow store, as the record of the cells needs it. No other module imports mlflow.

Whatever is sent may be sent twice, after a request that failed and was done all the same: a metric's time is made from
its run's start and its step, so that MLflow, whose metrics are told apart by name, time, step and value, keeps one.
"""

import fcntl
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tasks.stage import root
from tasks.tracking import moved
from tasks.tracking.address import address, local, shown

_LOADING = """\
`mlflow.pytorch.load_model` gives a graph of `torch.export`: RGB pixels, uint8 [B, 3, H, W], 0 to 255, to
representations [B, D]; normalisation and resizing are inside. It needs no code of the project and no pickle, and is in
evaluation mode for good: PyTorch lets it have neither `eval()` nor `train()`. To train on, load
`extra_files/backbone.safetensors`, whose metadata say into which network (`library`, `model`)."""
MODEL = "backbone"
"""The folder of a run's artifacts that holds its model."""
BATCH, PARAMS = 1000, 100
"""MLflow takes at most so many metrics, and so many parameters, at once."""
TAG, NOTE, CUT = 5000, 4900, "\n\nThe rest is in the artifacts: summary.md.\n"
"""Of a tag, MLflow's versions keep at least 5000 characters."""
SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
}
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow's versions answer where a model, or its alias, is not there."""
Value = tuple[int, str, float]
"""Step, name, value."""


class Store:
    """An MLflow store, opened, with the experiment of a data set.

    `went_on(seconds)` is called whenever the store has done something, and before what may take it so many seconds.
    Every method raises what MLflow raises: its own exceptions, SQLAlchemy's, requests', `OSError`; see `reasons`.
    """

    def __init__(self, dataset: str, went_on: Callable[[float], None] = lambda _: None) -> None:
        self.uri, self.dataset, self.went_on = address(), dataset, went_on
        os.environ |= SILENT
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        artifacts = (root() / "mlartifacts").as_uri() if self.uri == local() else None
        with _only_one() if self.uri.startswith("sqlite:") else nullcontext():
            if artifacts:
                moved.bring_home(root() / "mlflow.db", artifacts)
            self.client = MlflowClient(self.uri)
            self.experiment = self._experiment(artifacts)
        self.went_on(0)

    def begun(self, identity: str) -> list[Any]:
        """The runs that a pretraining of this identity began and no delivery has completed, oldest first."""
        found = self.runs(f"tags.pretrain = '{identity}'")
        return [run for run in found if "recorded" not in run.data.tags]

    def runs(self, asked: str = "") -> list[Any]:
        """All runs of the experiment, or those that a filter of MLflow's finds, oldest first."""
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment], asked, page_token=token)
            found += page
            token = page.token
            self.went_on(0)
            if not token:
                return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def create(self, name: str, tags: dict[str, str]) -> Any:
        """A new run."""
        made = self.client.create_run(self.experiment, tags=tags, run_name=name)
        self.went_on(0)
        return made

    def tag(self, run_id: str, tags: dict[str, str], known: Any = None) -> None:
        """Set tags, those that the run, where it is `known`, has not yet."""
        from mlflow.entities import RunTag

        had = known.data.tags if known else {}
        new = [RunTag(key, value[:TAG]) for key, value in tags.items() if had.get(key) != value[:TAG]]
        if new:
            self.client.log_batch(run_id, tags=new)
            self.went_on(0)

    def untag(self, run: Any, keys: Collection[str]) -> None:
        """Remove those of these tags that the run has."""
        for key in keys:
            if key in run.data.tags:
                self.client.delete_tag(run.info.run_id, key)
                self.went_on(0)

    def note(self, run_id: str, markdown: str, last: str = "") -> None:
        """What the run's page says at its top, with a `last` line; cut where it is longer than MLflow takes."""
        if len(markdown) + len(last) > NOTE:
            shown = markdown[: NOTE - len(CUT) - len(last)].rpartition("\n")[0]
            # A block of code that the cut leaves open would take the last line in.
            markdown = shown + ("\n```" if shown.count("```") % 2 else "") + CUT
        self.tag(run_id, {"mlflow.note.content": markdown + last})

    def arrange(self, tag: str, page: str) -> None:
        """Keep a page of the experiment as it was arranged."""
        self.client.set_experiment_tag(self.experiment, tag, page)
        self.went_on(0)

    def text(self, run_id: str, content: str, file: str) -> None:
        """Log a text as an artifact."""
        self.client.log_text(run_id, content, file)
        self.went_on(0)

    def describe(self, run_id: str, params: dict[str, str], digest: str, card: str) -> None:
        """Log what a run was made with: parameters, and the data set with its digest and card."""
        from mlflow.entities import Dataset, DatasetInput, Param

        named = [Param(*item) for item in params.items()]
        for start in range(0, len(named), PARAMS):
            self.client.log_batch(run_id, params=named[start : start + PARAMS])
        self.client.log_inputs(
            run_id, [DatasetInput(Dataset(self.dataset, digest[:36], "local", "{}", profile=card[:10_000]), [])]
        )
        self.went_on(0)

    def log(self, run: Any, values: list[Value], again: bool = False) -> None:
        """Log metrics; `again` for values that replace those of the same step."""
        from mlflow.entities import Metric

        start_time = int(time.time() * 1000) if again else run.info.start_time
        metrics = [Metric(name, stored(value), start_time + step, step) for step, name, value in values]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])
            self.went_on(0)

    def logged(self, run: Any) -> list[Value]:
        """All that was logged of a run, every step."""
        found: list[Value] = []
        for name in run.data.metrics:
            history = self.client.get_metric_history(run.info.run_id, name)
            found += [(metric.step, name, metric.value) for metric in history]
            self.went_on(0)
        return found

    def end(self, run_id: str, status: str) -> None:
        """Let a run have ended so."""
        self.client.set_terminated(run_id, status)
        self.went_on(0)

    def drop(self, run: Any) -> None:
        """Delete a run; MLflow keeps it among the deleted ones."""
        self.client.delete_run(run.info.run_id)
        self.went_on(0)

    def files(self, run_id: str, files: Iterable[Path], folder: str | None = None) -> None:
        """Log files, or folders with what is in them, as artifacts."""
        for file in files:
            self.went_on(1 + _bytes(file) / 2**20)
            if file.is_dir():
                self.client.log_artifacts(run_id, str(file), folder)
            else:
                self.client.log_artifact(run_id, str(file), folder)
            self.went_on(0)

    def page(self, run_id: str) -> str:
        """The address of a run's page; nothing where the store is no server."""
        return f"{shown(self.uri)}/#/experiments/{self.experiment}/runs/{run_id}" if self.uri.startswith("http") else ""

    @property
    def model(self) -> str:
        """The name of the data set's registered model."""
        return f"stopgrad-{self.dataset}"

    def versions(self) -> list[Any]:
        """Those of the data set's model."""
        found = list(self.client.search_model_versions(f"name = '{self.model}'"))
        self.went_on(0)
        return found

    def champion(self) -> str:
        """The version that is the data set's champion; nothing where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_model_version_by_alias(self.model, "champion").version)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return ""
            raise

    def crown(self, version: str) -> None:
        """Let a version be the data set's champion."""
        self.client.set_registered_model_alias(self.model, "champion", version)
        self.went_on(0)

    def register(self, run_id: str, pretrained: Path, representation: str, tags: dict[str, str]) -> str:
        """Log a representation's network as an exported graph with signature, its weights beside it, as a new version.

        The graph takes raw pixels, as its signature says, and is in evaluation mode for good. It is a run's artifact
        like others, for which every MLflow server has what is needed. Gives the version.
        """
        self.went_on(600)  # the export is not the store's
        with tempfile.TemporaryDirectory() as made:
            exported = Path(made) / MODEL
            _export(pretrained, representation, exported)
            self.files(run_id, [exported], MODEL)
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{MODEL}"
        if self.uri == local():
            source = f"runs:/{run_id}/{MODEL}"  # which a moved project need not rewrite
        if not self.client.search_registered_models(f"name = '{self.model}'"):
            self.client.create_registered_model(self.model)
        made_of = self.client.create_model_version(self.model, source, run_id, tags=tags, description=_LOADING)
        self.went_on(0)
        return str(made_of.version)

    def _experiment(self, artifacts: str | None) -> str:
        known = self.client.get_experiment_by_name(self.dataset)
        if known is None:
            try:
                return self.client.create_experiment(self.dataset, artifact_location=artifacts)
            except Exception:  # another process was faster
                known = self.client.get_experiment_by_name(self.dataset)
                if known is None:
                    raise
        if known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        return known.experiment_id


def stored(value: float) -> float:
    """What a store gives back of a value: an infinite one as the largest there is."""
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value


def _export(pretrained: Path, representation: str, folder: Path) -> None:
    import torch
    from mlflow import pytorch
    from mlflow.models import infer_signature

    from tasks import weights
    from tasks.exporting import pixels

    kept = weights.load(pretrained, representation)
    network, example = pixels.FromPixels(kept).eval(), pixels.example(kept)
    with torch.inference_mode():
        signature = infer_signature(example.numpy(), network(example).numpy())
    pytorch.save_model(
        network,
        folder,
        signature=signature,
        input_example=example.numpy(),
        extra_files=[str(file) for file in sorted(pretrained.glob("*.safetensors"))],
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
    )


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")))


@contextmanager
def _only_one() -> Iterator[None]:
    """One process at a time: SQLite stores that several open at once for the first time break."""
    with (root() / "mlflow.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
