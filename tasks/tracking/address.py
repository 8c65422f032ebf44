"""Where the record lies."""

import os
import sqlite3
from contextlib import closing, suppress
from urllib.parse import urlsplit, urlunsplit

from tasks.configuration import files
from tasks.stage import root


def address() -> str:
    """The store that is asked for: by params.yaml, else by MLflow's own variable, else `mlflow.db` in the project."""
    asked = (files.read(files.PARAMS).get("tracking") or {}).get("uri")
    return asked or os.environ.get("MLFLOW_TRACKING_URI") or local()


def known() -> str:
    """The address of the store; nothing where that is a file which is not there."""
    missing = address() == local() and not (root() / "mlflow.db").exists()
    return "" if missing else address()


def shown(uri: str) -> str:
    """An address without a password, and without a last slash."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def has(run_id: str) -> bool:
    """Whether the store still has a run that was delivered to it; where that cannot be told soon, it is taken to.

    A store may be lost, and another one stand in its place. It is asked without MLflow, whose import takes seconds.
    """
    uri = address()
    if uri.startswith("sqlite:///"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{uri[10:]}?mode=ro", uri=True)) as opened:
            return opened.execute("select 1 from runs where run_uuid = ?", (run_id,)).fetchone() is not None
        return False
    if uri.startswith("http"):
        import httpx

        with suppress(httpx.HTTPError, httpx.InvalidURL):
            asked = f"{uri.rstrip('/')}/api/2.0/mlflow/runs/get"
            return httpx.get(asked, params={"run_id": run_id}, timeout=5).status_code != httpx.codes.NOT_FOUND
    return True


def local() -> str:
    """The project's own store."""
    return f"sqlite:///{root() / 'mlflow.db'}"
