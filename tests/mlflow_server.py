"""MLflow servers that start at once: a process that has imported MLflow forks one for each line `PORT STORE ARTIFACTS`.

It answers with the server's process id; the servers die with it.
"""

import ctypes
import os
import signal
import sys


def serve(port: int, store: str, artifacts: str) -> None:
    """Be `mlflow server` with one worker."""
    import uvicorn

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=port, log_level="critical")


def main() -> None:
    """Fork until the standard input ends."""
    import mlflow.server
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        port, store, artifacts = line.split()
        child = os.fork()
        if not child:
            serve(int(port), store, artifacts)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    main()
