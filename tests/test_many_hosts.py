"""A suite of twelve cells on hosts with networks and names of their own; MLflow over PostgreSQL, and a host killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import machines
import pytest
import recorded
from conftest import SMALL_SUITE, clone, edit, run
from mlflow.exceptions import MlflowException
from ports import free_port
from postgresql import postgresql

from tasks.comparison import compared
from tasks.configuration import files
from tasks.configuration import plan as plans
from tasks.tracking.store import SILENT, Store

pytestmark = pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it")
BRIDGE, HOME = f"sg{os.getpid()}", "10.87.0.1"
SUITE: dict[str, Any] = {"variants": {"random": None, "simclr": None, "vicreg": None}, "seeds": [0, 1, 2, 3]}
SHORT = "SHORT_SECONDS = 60.0\n"
WATCHED = 'SHORT_SECONDS = 0.0 if os.path.exists("slow") else 60.0\n'
FEEDS = "            self._feed(self.courier)\n\n    def end"
HANGS = FEEDS.replace("\n\n", '\n            if os.path.exists("slow"):\n                time.sleep(3600)\n\n')
"""A pretraining in a clone that has a file `slow` shows its first step in MLflow, and does no other."""


class Host:
    """A network of its own, in which 127.0.0.1 is another's, and a name; `inside`: what runs a command there."""

    def __init__(self, name: str, number: int) -> None:
        self.network, port = f"{BRIDGE}-{name}", f"{BRIDGE}.{number}"
        self.inside = (
            *("ip", "netns", "exec", self.network, "unshare", "--uts"),
            *("sh", "-c", 'hostname "$0"; exec "$@"', name),
        )
        ip("netns", "add", self.network)
        ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.network)
        ip("link", "set", port, "master", BRIDGE, "up")
        ip("-n", self.network, "address", "add", f"10.87.0.{number}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            ip("-n", self.network, "link", "set", link, "up")

    def running(self) -> list[int]:
        """The processes of the host."""
        return [int(pid) for pid in ip("netns", "pids", self.network).split()]

    def kill(self) -> None:
        """End all that runs there, as a cut of power does."""
        while left := self.running():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, text=True, capture_output=True).stdout


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two, which reach this one by HOME."""
    if shutil.which("ip") is None or subprocess.run(["unshare", "--net", "--uts", "true"]).returncode:
        pytest.skip("no network can be made here: that takes root, on Linux, and iproute2")
    made: list[Host] = []
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", f"{HOME}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        made += [Host("first", 2), Host("second", 3)]
        yield made[0], made[1]
    finally:
        for host in made:
            host.kill()
            ip("netns", "delete", host.network)
        ip("link", "delete", BRIDGE)


@contextmanager
def mlflow(folder: Path, database: str) -> Iterator[str]:
    """MLflow's server over PostgreSQL, as docs/scaling.md has it."""
    port = free_port()
    listens = ["--host", HOME, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level=error"]
    stores = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "mlflow", "server", *stores, *listens],
        cwd=folder,
        env=os.environ | SILENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    try:
        there = f"http://{HOME}:{port}/health"
        machines.until(lambda: server.poll() is not None or machines.answers(there), 600, lambda: "no MLflow came")
        assert server.poll() is None
        yield f"http://{HOME}:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture
def servers(hosts: object, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """MLflow and Prefect where the hosts reach them, a database of PostgreSQL behind each: their addresses."""
    with (
        postgresql("record", "prefect") as database,
        mlflow(tmp_path, f"postgresql+psycopg://{database}/record") as record,
    ):
        behind = {"PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}/prefect"}
        with machines.prefect(tmp_path / "prefect", HOME, **behind) as api:
            yield record, api


def prepared(folder: Path, record: str) -> Path:
    """The clone at home, committed, with a remote beside it; its stages are the real ones."""
    project = clone(folder)
    edit(project, lambda content: content.update(SUITE), SMALL_SUITE)
    edit(project, lambda content: content.update(tracking={"uri": record}))
    for file, old, new in (
        ("tasks/tracking/live.py", SHORT, WATCHED),
        ("tasks/tracking/live.py", FEEDS, HANGS),
    ):
        assert old in (project / file).read_text()
        (project / file).write_text((project / file).read_text().replace(old, new))
    assert run("dvc", "remote", "add", "-d", "shared", str(folder.parent / "remote"), cwd=project).returncode == 0
    machines.git("add", "-A", cwd=project)
    machines.git("commit", "-qm", "home", cwd=project)
    return project


def one_is_running() -> bool:
    """Whether the record has a run that goes on; a server that is busy is asked again."""
    with suppress(MlflowException):
        return any(run.info.status == "RUNNING" for run in Store("small").runs())
    return False


def test_twelve_cells_over_two_hosts_one_of_which_is_killed_end_as_on_one(
    hosts: tuple[Host, Host], servers: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    (record, api), saying = servers, (tmp_path / "said").read_text
    home = prepared(tmp_path / "home", record)
    for other in ("first", "second", "alone"):
        machines.cloned(home, tmp_path / other)
    monkeypatch.chdir(home)
    workers = [
        machines.start_worker(clone.name, clone, api, tmp_path, host.inside)
        for host, clone in zip(hosts, (first, second), strict=True)
    ]
    try:
        machines.online(api, 2)
        running = machines.start_pipeline(home, api, tmp_path)
        machines.until(lambda: any(first.glob("observations/probe/*.json")), 900, saying)
        (first / "slow").touch()
        machines.until(one_is_running, 600, saying)
        hosts[0].kill()
        code = running.wait(timeout=1800)
    finally:
        for worker in workers:
            machines.end(worker)
    said = saying()
    print(said)
    assert code == 0, said
    assert said.count("is gone: it is started again") == 1
    assert said.count("Mean ± 95 % interval over 4 seeds.") == 1

    made = run("dvc", "repro", cwd=tmp_path / "alone")
    assert made.returncode == 0, made.stdout
    assert files.read(home / "dvc.lock") == files.read(tmp_path / "alone" / "dvc.lock")
    assert "Running stage" not in run("dvc", "repro", cwd=home).stdout

    plan = plans.read()
    recorded.check(Store("small").client, plan)
    found = Store("small").runs()
    assert {run.info.status for run in found} == {"FINISHED"}
    runs = [run for run in found if "variant" in run.data.tags]
    assert sorted(run.info.run_name for run in runs) == sorted(cell.name for cell in plan.cells)
    assert {run.data.tags["machine"].split()[0] for run in runs} == {"first", "second"}
    costs = {"cost/pretraining seconds", "cost/pretraining GiB", "cost/evaluation seconds"}
    assert all(run.data.metrics.keys() >= costs for run in runs)

    shown = compared.read(plan)
    for (_, stage), by_seed in shown.costs.items():
        for seen in by_seed.values():
            assert [one.keys() >= {"seconds", "peak_memory_bytes", "machine"} for one in seen] == [True], stage
    assert "not observed" not in said
