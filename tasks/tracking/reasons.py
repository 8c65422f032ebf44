"""Why MLflow failed, in one sentence: what is wrong and what helps. It raises its own exceptions and others' too."""

import re
from importlib.metadata import version

LONGEST = 200
KNOWN = (
    (
        "No module named '(psycopg2|MySQLdb|pymysql|pyodbc)'",
        "the database's driver is not installed: that of PostgreSQL is, as postgresql+psycopg://…; another one's is "
        "installed beside MLflow",
    ),
    (
        "unsupported URI|No module named|Can't load plugin|maintenance mode|Could not parse",
        "tracking.uri is no store that MLflow {mlflow} has: it is http://…, https://…, sqlite:///…, "
        "postgresql+psycopg://…, mysql://… or mssql://…, or null for mlflow.db in this folder",
    ),
    (
        "not in a valid JSON format|error code 404|error code 405",
        "what answers at tracking.uri is no MLflow server: look which program has that port",
    ),
    (
        "Invalid Host header",
        "the MLflow server is not known by the name in tracking.uri: start it with --allowed-hosts and that name with "
        "its port, as home:5000",
    ),
    (
        "error code 401|error code 403|password authentication failed|Access denied",
        "the store refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the name and "
        "password in tracking.uri",
    ),
    (
        "out-of-date database schema|Can't locate revision",
        "the store is another version's than MLflow {mlflow}: an older one is lifted by `mlflow db upgrade` (keep a "
        "copy), a newer one needs the MLflow that made it",
    ),
    ("readonly database|read-only|Permission denied", "the store is read-only for this user"),
    ("file is not a database|malformed", "the file at tracking.uri is no database that SQLite can read"),
    ("database is locked", "another program holds the database"),
    ("disk is full|No space left", "the disk is full"),
    (
        "Connection refused|Max retries exceeded.*(NewConnection|ConnectTimeout|NameResolution)|Connection aborted",
        "no server answers at tracking.uri",
    ),
    ("timed out|ReadTimeout", "the server takes too long to answer"),
    ("too many (5..|429) error responses|error code 5..", "the server answers with errors"),
)
"""What is looked for in an exception's words, in this order, and what is said then."""


def reason(error: BaseException) -> str:
    """The sentence for a failure; what is not known is said in the failure's own first words, without any password."""
    said = " ".join(str(error).split())
    for pattern, sentence in KNOWN:
        if re.search(pattern, said):
            return sentence.format(mlflow=version("mlflow"))
    return re.sub(r"://[^/@\s]*@", "://…@", said)[:LONGEST] or type(error).__name__
