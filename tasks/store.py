"""An MLflow store, as the record of the cells needs it. No other module imports mlflow."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tasks import record, weights
from tasks.parameters import Parameters
from tasks.stage import root

BATCH = 1000
"""MLflow takes at most this many metrics at once."""


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

    def create(self, name: str, tags: dict[str, str], params: dict[str, str], card: str) -> str:
        """A new run of the data set with this card; gives its id."""
        from mlflow.entities import Dataset, DatasetInput, Param

        run_id = self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
        self.client.log_batch(run_id, params=[Param(*item) for item in params.items()])
        used = Dataset(self.dataset, tags["data_md5"][:36] or "unknown", "local", "{}", profile=card[:10_000])
        self.client.log_inputs(run_id, [DatasetInput(used, [])])
        return run_id

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
def only_one() -> Iterator[None]:
    """One process at a time: SQLite stores that several open at once for the first time break."""
    with Path("mlflow.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
