"""An MLflow store, as the record of the cells needs it. No other module imports mlflow."""

import fcntl
import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.configuration import files
from tasks.stage import root

_LOADING = """\
`mlflow.pytorch.load_model` gives a graph of `torch.export`: RGB pixels, uint8 [B, 3, H, W], 0 to 255, to
representations [B, D]; normalisation and resizing are inside. It needs no code of the project and no pickle, and is in
evaluation mode for good: PyTorch lets it have neither `eval()` nor `train()`. To train on, load
`extra_files/backbone.safetensors`, whose metadata say into which network (`library`, `model`)."""
BATCH = 1000
"""MLflow takes at most this many metrics at once."""
NOTE, CUT = 4900, "\n\nThe rest is in the artifacts: summary.md.\n"
"""Of a tag, MLflow's versions keep at least 5000 characters."""


class Store:
    """An MLflow store, opened, with the experiment of a data set."""

    def __init__(self, dataset: str) -> None:
        self.uri = address()
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
        os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
        os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_LOGGING_LEVEL": "ERROR"}
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.client = MlflowClient(self.uri)
        self.dataset = dataset
        artifacts = (root() / "mlartifacts").as_uri() if self.uri == _local() else None
        with _only_one():
            known = self.client.get_experiment_by_name(dataset)
            self.experiment: str = (
                known.experiment_id if known else self.client.create_experiment(dataset, artifact_location=artifacts)
            )

    def find(self, tags: dict[str, str]) -> Any:
        """The newest run with these tags, or None."""
        found = self.all(tags)
        return found[0] if found else None

    def all(self, tags: dict[str, str]) -> list[Any]:
        """All runs with these tags, newest first."""
        asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        return list(self.client.search_runs([self.experiment], asked, order_by=["start_time DESC"]))

    def create(self, name: str, tags: dict[str, str]) -> str:
        """A new run; gives its id."""
        return self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id

    def tag(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags."""
        for key, value in tags.items():
            self.client.set_tag(run_id, key, value[:5000])

    def untag(self, run_id: str, prefix: str, kept: Collection[str]) -> None:
        """Remove the tags that begin with a prefix, but for those that are kept."""
        for key in self.client.get_run(run_id).data.tags:
            if key.startswith(prefix) and key not in kept:
                self.client.delete_tag(run_id, key)

    def note(self, run_id: str, markdown: str) -> None:
        """What the run's page says at its top. What is longer than MLflow takes ends with a whole line, and says so."""
        if len(markdown) > NOTE:
            shown = markdown[: NOTE - len(CUT)].rpartition("\n")[0]
            # A block of code that the cut leaves open would take the last line in.
            markdown = shown + ("\n```" if shown.count("```") % 2 else "") + CUT
        self.client.set_tag(run_id, "mlflow.note.content", markdown)

    def describe(self, run_id: str, params: dict[str, str], digest: str, card: str) -> None:
        """Log what a run was made with: parameters, and the data set with its digest and card."""
        from mlflow.entities import Dataset, DatasetInput, Param

        self.client.log_batch(run_id, params=[Param(*item) for item in params.items()])
        self.client.log_inputs(
            run_id, [DatasetInput(Dataset(self.dataset, digest[:36], "local", "{}", profile=card[:10_000]), [])]
        )

    def last_step(self, run_id: str) -> int:
        """The last step of pretraining that a run has; -1 for none."""
        return max((metric.step for metric in self.client.get_metric_history(run_id, "pretrain/loss")), default=-1)

    def log(self, run_id: str, rows: list[tuple[int, str, float]]) -> None:
        """Log metrics, rows of step, name and value."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for step, key, value in rows]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def register(self, run_id: str, pretrained: Path, representation: str, tags: dict[str, str]) -> str:
        """Log a representation's network as an exported graph with signature, its weights beside it, as a new version.

        The graph takes raw pixels, as its signature says, and is in evaluation mode for good. Gives the version of the
        model `stopgrad-<data set>`.
        """
        import mlflow
        import torch
        from mlflow import pytorch
        from mlflow.models import infer_signature

        from tasks import weights
        from tasks.exporting import pixels

        kept = weights.load(pretrained, representation)
        network, example = pixels.FromPixels(kept).eval(), pixels.example(kept)
        with torch.inference_mode():
            signature = infer_signature(example.numpy(), network(example).numpy())
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run_id):
            logged = pytorch.log_model(
                network,
                name="backbone",
                signature=signature,
                input_example=example.numpy(),
                extra_files=[str(file) for file in sorted(pretrained.glob("*.safetensors"))],
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
            )
        name = self.model()
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        made = self.client.create_model_version(name, logged.model_uri, run_id, tags=tags, description=_LOADING)
        return str(made.version)

    def model(self) -> str:
        """The name of the data set's registered model."""
        return f"stopgrad-{self.dataset}"


def reason(error: Exception) -> str:
    """Why MLflow failed, on one line: it raises its own exceptions, SQLAlchemy's, requests' and urllib3's."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def address() -> str:
    """The store that is asked for: by params.yaml, else by MLflow's own variable, else `mlflow.db` in the project."""
    asked = (files.read(files.PARAMS).get("tracking") or {}).get("uri")
    return asked or os.environ.get("MLFLOW_TRACKING_URI") or _local()


def known() -> str:
    """The address of the store; nothing where that is a file which is not there."""
    missing = address() == _local() and not (root() / "mlflow.db").exists()
    return "" if missing else address()


def _local() -> str:
    return f"sqlite:///{root() / 'mlflow.db'}"


@contextmanager
def _only_one() -> Iterator[None]:
    """One process at a time: SQLite stores that several open at once for the first time break."""
    with (root() / "mlflow.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
