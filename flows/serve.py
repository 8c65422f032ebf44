"""The pages on this machine, and a worker that runs what is started there: `python -m flows.serve`; Ctrl-C ends all.

Prefect's server with the deployments of prefect.yaml, MLflow's server on the store of the record (none where a server
has that already), and the reports.
"""

import argparse
import asyncio
import functools
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient

from flows.artifacts import MLFLOW, REPORTS
from flows.schedules import keeping_schedules
from flows.silent import HEARTBEAT_SECONDS, crash_left, end_silent
from ssl_core.errors import Refused
from tasks.configuration import plan as plans
from tasks.stage import stage as command
from tasks.tracking import address, page

HOST = "127.0.0.1"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STARTUP_SECONDS = 300
"""A machine that pretrains beside it has little left for it."""
POOL = "stopgrad"
"""The work pool of prefect.yaml, in which this machine's worker looks for what is to be run."""
DEPLOYED = {"pipeline": "stopgrad/pipeline", "cell": "cell/cell"}
"""The deployments of prefect.yaml, with the names that Prefect finds them by."""


def main() -> None:
    """Start all, print the addresses when they answer, and end all when told to or when one of them ends."""
    arguments = argparse.ArgumentParser(prog="python -m flows.serve")
    arguments.add_argument("--prefect-port", type=int, default=4200)
    arguments.add_argument("--mlflow-port", type=int, default=5000)
    arguments.add_argument("--reports-port", type=int, default=4300)
    chosen = arguments.parse_args()
    ports = {"prefect": chosen.prefect_port, "mlflow": chosen.mlflow_port, "reports": chosen.reports_port}
    pages = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    if elsewhere():
        pages["mlflow"] = address.address().rstrip("/")
        del ports["mlflow"]
    for name, port in ports.items():
        refuse_port_in_use(name, port)
    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda *_: sys.exit(0))
    servers: list[subprocess.Popen[bytes]] = []
    guard = subprocess.Popen(
        [sys.executable, "-m", "flows.guard"], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        serve(ports, pages, servers, guard)
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
        raise Refused("one of the servers ended; the others were ended too")
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave some
        # The worker first, that it may tell the server what becomes of its run; without a server it would wait for one.
        patience = 10.0 if all(server.poll() is None for server in servers) else 1.0
        for server in reversed(servers):
            end(server, patience)
        guard.communicate()


def serve(
    ports: dict[str, int],
    pages: dict[str, str],
    servers: list[subprocess.Popen[bytes]],
    guard: subprocess.Popen[str],
) -> None:
    """Start what has a port, and the worker, into `servers`, which the guard is told of; print the addresses."""

    def begin(server: list[str], settings: dict[str, str] | None = None) -> None:
        servers.append(start(server, settings))
        print(servers[-1].pid, file=guard.stdin, flush=True)

    api = f"{pages['prefect']}/api"
    if "mlflow" in ports:
        begin(mlflow(ports["mlflow"]))
    begin(prefect(ports["prefect"]), of_server(api))
    serve_reports(ports["reports"])
    if "mlflow" in ports:
        wait_for(f"{pages['mlflow']}/health", servers)
    wait_for(f"{api}/health", servers)
    deploy(api)
    begin(worker(), {"PREFECT_API_URL": api, MLFLOW: pages["mlflow"], REPORTS: pages["reports"], **of_worker()})
    print(f"MLflow   {comparison(pages['mlflow'])}")
    print(f"Prefect  {pages['prefect']}/deployments")
    print(f"Reports  {pages['reports']}", flush=True)


def elsewhere() -> bool:
    """Whether the record is on a server that is there already."""
    return address.address().startswith(("http://", "https://"))


def mlflow(port: int) -> list[str]:
    """MLflow's server on the store that the record is in."""
    listens = ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level=error"]
    artifacts = Path("mlartifacts").resolve().as_uri()
    store = ["--backend-store-uri", address.address(), "--default-artifact-root", artifacts]
    return ["mlflow", "server", *store, *listens]


def prefect(port: int) -> list[str]:
    """Prefect's server, with its database in the project's `.prefect`."""
    return ["prefect", "server", "start", "--host", HOST, "--port", str(port)]


def of_server(api: str) -> dict[str, str]:
    """What decides which address the server's page calls: on another port it would call that of prefect.toml."""
    return {"PREFECT_API_URL": api, "PREFECT_UI_API_URL": api}


def worker() -> list[str]:
    """A worker that runs each flow in a process of its own."""
    return ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]


def of_worker() -> dict[str, str]:
    """What a worker's runs need: this clone, which prefect.yaml has them work in; and a sign of life of each."""
    here = str(Path.cwd())
    return {
        "STOPGRAD_HOME": here,
        "PYTHONPATH": here,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    }


def deploy(api: str) -> None:
    """Deploy what prefect.yaml describes; schedules stay as they were set on the page, if they ever were."""
    # Refused where it is there already; a machine that pretrains takes its time.
    httpx.post(f"{api}/work_pools/", json={"name": POOL, "type": "process"}, timeout=STARTUP_SECONDS)
    with keeping_schedules(api, DEPLOYED["pipeline"]):
        done = subprocess.run(
            ["prefect", "--no-prompt", "deploy", "--all"],
            env=environment({"PREFECT_API_URL": api, "PYTHONPATH": str(Path.cwd())}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise Refused(f"prefect.yaml could not be deployed: {' '.join(done.stdout.split()[-60:])}")
    asyncio.run(_free(api))


async def _free(api: str) -> None:
    """Free the slots of runs that a killed worker left, and have Prefect do so from now on."""
    async with PrefectClient(api) as client:
        await crash_left(client, POOL, list(DEPLOYED))
        for deployment in DEPLOYED.values():
            made = await client.read_deployment_by_name(deployment)
            await end_silent(client, f"A silent run of {deployment} has crashed", made.id)


def serve_reports(port: int) -> None:
    """Serve what is in `results`, in a thread: a browser opens no file that another page links to."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    Path("results").mkdir(exist_ok=True)
    serving = http.server.ThreadingHTTPServer((HOST, port), functools.partial(Quiet, directory="results"))
    threading.Thread(target=serving.serve_forever, daemon=True).start()


def comparison(server: str) -> str:
    """MLflow's page of the active suite; the address while there is none, or nothing to be shown."""
    try:
        return page.comparison(server, plans.read())
    except (Refused, httpx.HTTPError):
        return server


def start(server: list[str], settings: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A server in a session of its own, silent but for its errors."""
    return subprocess.Popen(server, env=environment(settings or {}), stdout=subprocess.DEVNULL, start_new_session=True)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's, with what keeps servers silent and in the project's folder, and further settings."""
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
    return os.environ | silent | settings


def end(server: subprocess.Popen[bytes], seconds: float) -> None:
    """End a server with all that it started: told to, and killed where that takes longer than so many seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=seconds)
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
                f"(python -m flows.serve --{name}-port {port + 1})"
            ) from None


def wait_for(address: str, servers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the address answers. Raises `Refused` where a server ends first, or `STARTUP_SECONDS` pass."""
    until = time.monotonic() + STARTUP_SECONDS
    with httpx.Client(timeout=2) as client:  # one: each would read the system's certificates, a core's work
        while time.monotonic() < until and all(server.poll() is None for server in servers):
            with suppress(httpx.HTTPError):
                if client.get(address).is_success:
                    return
            time.sleep(0.3)
    raise Refused(f"no server came up at {address}; what it said stands above")


if __name__ == "__main__":
    with command():
        main()
