"""Machines that share a suite: clones of a home, the workers of a pool in them, and the server that they ask."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from conftest import ENVIRONMENT, warm_path
from ports import free_port

POOL = "machines"
PATIENCE = 120.0
"""Seconds that a server which has just started may take to answer."""


def git(*words: str, cwd: Path) -> None:
    subprocess.run(["git", *words], cwd=cwd, env=ENVIRONMENT, check=True, capture_output=True)


def cloned(home: Path, into: Path) -> Path:
    git("clone", "-q", str(home), str(into), cwd=home)
    return into


def until(come: Callable[[], object], seconds: float, why: Callable[[], object]) -> None:
    """Wait until something has come about, so long at most."""
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end, why()
        time.sleep(0.2)


def answers(address: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(address, timeout=2).is_success
    return False


@contextmanager
def prefect(folder: Path, host: str = "127.0.0.1", **settings: str) -> Iterator[str]:
    """A Prefect server with an empty pool; gives the address of its API."""
    port = free_port()
    address = f"http://{host}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    environment = quiet(folder, address) | settings
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: answers(f"{address}/health"), 600, lambda: f"no server at {address}")
        made = httpx.post(f"{address}/work_pools/", json={"name": POOL, "type": "process"}, timeout=PATIENCE)
        made.raise_for_status()
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def quiet(home: Path, api: str) -> dict[str, str]:
    return ENVIRONMENT | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "true",
        "OMP_NUM_THREADS": "1",
    }


def start_worker(
    name: str, clone: Path | None, api: str, folder: Path, inside: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    """A worker as a machine has it: in its clone, with a cache of its own; `inside`: what runs a command there."""
    environment = quiet(folder / f"prefect-{name}", api) | {"PATH": warm_path(*inside)}
    environment |= {"STOPGRAD_HOME": str(clone)} if clone else {}
    command = [*inside, sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--limit", "1"]
    with (folder / f"{name}.said").open("w") as said:
        return subprocess.Popen(
            [*command, "--pool", POOL, "--name", name],
            cwd=clone or folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def start_pipeline(home: Path, api: str, folder: Path) -> subprocess.Popen[bytes]:
    """The pipeline, at home; what it says is in the folder's `said`."""
    command = ["python", "-m", "flows.pipeline", "--pool", POOL]
    environment = quiet(folder / "prefect-home", api) | {"PATH": warm_path()}
    with (folder / "said").open("w") as said:
        return subprocess.Popen(command, cwd=home, env=environment, stdout=said, stderr=said)


def end(worker: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(timeout=30)


def online(api: str, count: int) -> None:
    def there() -> bool:
        workers = httpx.post(f"{api}/work_pools/{POOL}/workers/filter", json={}, timeout=PATIENCE).raise_for_status()
        return sum(worker["status"] == "ONLINE" for worker in workers.json()) >= count

    until(there, 600, lambda: "no worker came")
