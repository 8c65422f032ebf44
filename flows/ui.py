"""The MLflow and Prefect pages on this machine: `python -m flows.ui`; Ctrl-C ends both."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

from ssl_core.errors import Refused
from tasks.stage import stage as command

HOST = "127.0.0.1"
STARTUP_SECONDS = 120


def main() -> None:
    """Start both, print their addresses when they answer, and end both when told to or when either ends."""
    arguments = argparse.ArgumentParser(prog="python -m flows.ui")
    arguments.add_argument("--mlflow-port", type=int, default=5000)
    arguments.add_argument("--prefect-port", type=int, default=4200)
    chosen = arguments.parse_args()
    for name, port in (("mlflow", chosen.mlflow_port), ("prefect", chosen.prefect_port)):
        refuse_port_in_use(name, port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    servers: list[subprocess.Popen[bytes]] = []
    try:
        servers += [start(mlflow(chosen.mlflow_port)), start(prefect(chosen.prefect_port))]
        wait_for(f"http://{HOST}:{chosen.mlflow_port}/health", servers)
        wait_for(f"http://{HOST}:{chosen.prefect_port}/api/health", servers)
        print(f"MLflow   {comparison(f'http://{HOST}:{chosen.mlflow_port}')}")
        print(f"Prefect  http://{HOST}:{chosen.prefect_port}", flush=True)
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
        raise Refused("one of the two servers ended; the other was ended too")
    finally:
        for server in servers:
            end(server)


def mlflow(port: int) -> list[str]:
    """MLflow's server on the project's own store."""
    store, artifacts = f"sqlite:///{Path('mlflow.db').resolve()}", Path("mlartifacts").resolve().as_uri()
    address = ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level=error"]
    return ["mlflow", "server", "--backend-store-uri", store, "--default-artifact-root", artifacts, *address]


def prefect(port: int) -> list[str]:
    """Prefect's server, with its database in the project's `.prefect`."""
    return ["prefect", "server", "start", "--host", HOST, "--port", str(port)]


def comparison(address: str) -> str:
    """The page that compares the latest run's experiment cell by cell, best first; the address while there is no run.

    MLflow's first page shows neither: it nests the cells under their suite unless they are sorted by a metric.
    """
    known = httpx.post(f"{address}/api/2.0/mlflow/experiments/search", json={"max_results": 1000}).raise_for_status()
    experiments = [experiment["experiment_id"] for experiment in known.json().get("experiments", [])]
    latest = {"experiment_ids": experiments, "max_results": 1, "order_by": ["start_time DESC"]}
    runs = httpx.post(f"{address}/api/2.0/mlflow/runs/search", json=latest).raise_for_status().json().get("runs")
    if not runs:
        return address
    chosen = {
        "workflowType": "machine_learning",
        "compareRunsMode": "CHART",
        "searchFilter": "tags.superseded = 'false'",
        "orderByKey": "metrics.`test/linear.accuracy.labels_100`",
        "orderByAsc": "false",
    }
    return f"{address}/#/experiments/{runs[0]['info']['experiment_id']}/runs?{urlencode(chosen, quote_via=quote)}"


def start(server: list[str]) -> subprocess.Popen[bytes]:
    """A server in a session of its own, silent but for its errors."""
    silent = {
        "PREFECT_HOME": str(Path(".prefect").resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "DO_NOT_TRACK": "true",
    }
    return subprocess.Popen(server, env=os.environ | silent, stdout=subprocess.DEVNULL, start_new_session=True)


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def refuse_port_in_use(name: str, port: int) -> None:
    """Raise `Refused` where another process listens on the port."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            raise Refused(
                f"port {port} is in use: end what listens there, or choose another with --{name}-port "
                f"(python -m flows.ui --{name}-port {port + 1})"
            ) from None


def wait_for(address: str, servers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the address answers. Raises `Refused` where a server ends first, or two minutes pass."""
    until = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < until and all(server.poll() is None for server in servers):
        try:
            if httpx.get(address, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise Refused(f"no server came up at {address}; what it said stands above")


if __name__ == "__main__":
    with command():
        main()
