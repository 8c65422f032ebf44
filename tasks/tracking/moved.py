"""A project that was moved or copied: its `mlflow.db` still names the old folder, for MLflow's addresses are absolute.

MLflow has no call that changes them. So the tables are edited, by their own schema, in one transaction; a copy has its
own `mlflow.db`, and the original keeps what is its own.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = "mlartifacts"
BUSY_SECONDS = 20.0
NAMED = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""The columns that hold addresses of artifacts."""


def bring_home(database: Path, artifacts: str) -> None:
    """Let a database that names another folder of artifacts than the project's name this one.

    `artifacts`: the `file:` address of the project's folder `mlartifacts`. Nothing happens where there is no database,
    or where it is MLflow's no more. Raises `sqlite3.Error` where it cannot be read or written.
    """
    if not database.exists():
        return
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as opened:
        if not _columns(opened, "experiments"):
            return
        for old in _elsewhere(opened, artifacts):
            with opened:  # one transaction
                opened.execute("BEGIN IMMEDIATE")
                for table, columns in NAMED.items():
                    for column in _columns(opened, table).intersection(columns):
                        _rewrite(opened, table, column, old, artifacts)


def _elsewhere(opened: sqlite3.Connection, artifacts: str) -> list[str]:
    """The folders of artifacts that the experiments of this project had before."""
    known = opened.execute("SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL")
    return [old for (old,) in known if old.startswith("file:") and old.endswith(f"/{FOLDER}") and old != artifacts]


def _columns(opened: sqlite3.Connection, table: str) -> set[str]:
    return {name for _, name, *_ in opened.execute(f"PRAGMA table_info({table})")}


def _rewrite(opened: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    """Put one folder for another in front of a column's addresses."""
    opened.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
    )
