"""Killed at any instant, a suite leaves nothing that writes, and the next run ends as one that nobody disturbed.

Kill -9 of a command, its DVC, a stage, a stage's own process, a server, or all at once, drawn from a seed. Most are of
stages that write slowly and compute nothing; `make torture` kills a hundred times, and real stages.
"""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ENVIRONMENT, PROJECT, clone
from left import left, until_none_is_left
from mlflow import MlflowClient
from ruamel.yaml import YAML

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells of a death"),
    pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it"),
]
SEED = int(os.environ.get("STOPGRAD_SEED", "15"))
TORTURE = int(os.environ.get("STOPGRAD_KILLS", "0"))
"""How many kills of real stages `make torture` asks for."""
SLOW = ("pretrain", "embed", "probe", "fine_tune", "compare", "verdict")
MADE = ("configs", "cells", "figures", "data/prepared")
REPRO = ("python", "-m", "flows.repro")
FLOW = ("python", "-m", "flows.pipeline", "--slots", "2")
LOADS = "a stage's process"
VICTIMS = {
    "the command": ("flows.repro", "flows.pipeline"),
    "DVC": ("tasks.dvc",),
    "a stage": tuple(f"tasks.{name} " for name in ("configure", "prepare", *SLOW)),
    LOADS: ("tasks.loader", "compile_worker", "tasks.tracking."),
    "everything": ("",),
}
LOADER = """
import sys, time
while True:
    open(sys.argv[1], "a").write(".")
    time.sleep(0.02)
"""


@dataclass
class Trial:
    """A project that is killed: how it is started, how long it takes, and how it must end."""

    template: Path
    command: tuple[str, ...]
    seconds: float
    expected: dict[str, Any]
    generator: random.Random
    environment: dict[str, str] = field(default_factory=dict)
    loads: bool = True
    """Whether its stages have processes of their own."""

    def kill(self, project: Path, count: int) -> None:
        """Start, kill and see what is left, so often; then let it end, and compare."""
        for number in range(count):
            process = self.start(project)
            instant = self.generator.uniform(0.1, self.seconds)
            time.sleep(instant)
            struck = self.strike(project, process)
            print(f"kill {number + 1} of {count}, seed {SEED}: after {instant:.2f} s {struck or 'it was over'}")
            code = process.wait(timeout=60)
            until_none_is_left(project, 5)
            assert code == 0 or struck, (project / "said").read_text()[-5000:]
            if code == 0:  # it was over
                self.compare(project)
                shutil.rmtree(project)
                shutil.copytree(self.template, project, symlinks=True)
        process = self.start(project)
        assert process.wait(timeout=600) == 0, (project / "said").read_text()[-5000:]
        self.compare(project)

    def start(self, project: Path) -> subprocess.Popen[bytes]:
        with (project / "said").open("w") as said:
            return subprocess.Popen(
                self.command, cwd=project, env=ENVIRONMENT | self.environment, stdout=said, stderr=said
            )

    def strike(self, project: Path, process: subprocess.Popen[bytes]) -> str:
        """Kill one of a kind that is drawn, or all, as soon as there is one; says whom, nothing where all was over."""
        name = self.generator.choice([name for name in VICTIMS if self.loads or name != LOADS])
        place = self.generator.random()
        while process.poll() is None:
            running = left(project).items()
            there = sorted(pid for pid, command in running if any(word in command for word in VICTIMS[name]))
            for pid in there if name == "everything" else there[int(place * len(there)) :][:1]:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            if there:
                return name
            time.sleep(0.02)
        return ""

    def compare(self, project: Path) -> None:
        found = state(project)
        assert found["stages"] == self.expected["stages"]
        assert found == self.expected


def state(project: Path) -> dict[str, Any]:
    """All that DVC determines, by content; and what must not be: stages that ran twice, what is half written."""
    files = [file for folder in MADE for file in sorted((project / folder).rglob("*")) if file.is_file()]
    results = [file for name in ("comparison.csv", "claims.json") for file in sorted(project.glob(f"results/*/{name}"))]
    return {
        "stages": YAML(typ="safe").load(project / "dvc.lock")["stages"],
        "files": {str(file.relative_to(project)): digest(file) for file in files + results},
        "twice": [file.name for file in project.glob("witness/* ran twice")],
        "half": [str(file) for folder in MADE for file in (project / folder).rglob(".*.partial")],
    }


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def ended(template: Path, project: Path) -> dict[str, Any]:
    """How a copy ends that nobody disturbs."""
    shutil.copytree(template, project, symlinks=True)
    subprocess.run(REPRO, cwd=project, env=ENVIRONMENT, check=True, capture_output=True)
    return state(project)


@pytest.fixture(scope="module")
def slow(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A clone whose cells are yet to be made, by stages that are slow and compute nothing; and how it ends."""
    folder = tmp_path_factory.mktemp("slow")
    template = folder / "template"
    shutil.copytree(finished, template, symlinks=True)
    for name in SLOW:
        shutil.copy(PROJECT / "tests" / "slow_stage.py", template / "tasks" / f"{name}.py")
    shutil.copy(PROJECT / "tests" / "stub_stage.py", template / "tasks" / "stub_stage.py")
    (template / "tasks" / "loader.py").write_text(LOADER)
    (template / "tasks" / "show.py").write_text("print('shown')\n")
    for made in ("cells", "figures", "results"):
        shutil.rmtree(template / made)
    return template, ended(template, folder / "undisturbed")


def test_repro_is_killed_at_any_instant(slow: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    template, expected = slow
    project = tmp_path / "killed"
    shutil.copytree(template, project, symlinks=True)
    Trial(template, REPRO, 7, expected, random.Random(SEED)).kill(project, 12)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of Prefect's: its address."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    home = tmp_path_factory.mktemp("prefect")
    environment = ENVIRONMENT | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "said").open("w") as said:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=said, stderr=said, start_new_session=True)
    address, until = f"http://127.0.0.1:{port}/api", time.monotonic() + 120
    while not _answers(f"{address}/health"):
        assert server.poll() is None, (home / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.3)
    yield address
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.HTTPError:
        return False


def test_the_flow_is_killed_at_any_instant(slow: tuple[Path, dict[str, Any]], prefect: str, tmp_path: Path) -> None:
    template, expected = slow
    project = tmp_path / "killed"
    shutil.copytree(template, project, symlinks=True)
    server = {"PREFECT_API_URL": prefect}
    Trial(template, FLOW, 15, expected, random.Random(SEED), server).kill(project, 4)


def test_a_real_pretraining_is_killed_at_any_instant(finished: Path, tmp_path: Path) -> None:
    """Of one cell alone: what stands on it is as it was, where its weights are."""
    template, project = tmp_path / "template", tmp_path / "killed"
    shutil.copytree(finished, template, symlinks=True)
    expected = state(template)
    lock = template / "dvc.lock"
    content = YAML().load(lock)
    del content["stages"]["pretrain@simclr-0"]
    YAML().dump(content, lock)
    shutil.rmtree(template / ".dvc" / "cache" / "runs")
    for made in ("cells", "figures"):
        shutil.rmtree(template / made / "simclr-0" / "pretrain")
    shutil.copytree(template, project, symlinks=True)
    Trial(template, REPRO, 9, expected, random.Random(SEED), loads=False).kill(project, 4)
    assert runs(project) == runs(finished)


@pytest.mark.skipif(not TORTURE, reason="make torture runs it: it takes an hour or more")
def test_all_real_stages_in_a_flow_are_killed_at_any_instant(finished: Path, prefect: str, tmp_path: Path) -> None:
    template, project = clone(tmp_path / "template"), tmp_path / "killed"
    shutil.copytree(template, project, symlinks=True)
    server = {"PREFECT_API_URL": prefect}
    Trial(template, FLOW, 60, state(finished), random.Random(SEED), server, loads=False).kill(project, TORTURE)
    assert runs(project) == runs(finished)


def runs(project: Path) -> list[tuple[str, str]]:
    """MLflow's, by name and status: none twice, none that runs for ever."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = [(run.info.run_name or "", run.info.status) for run in client.search_runs(experiments)]
    assert {status for _, status in found} == {"FINISHED"}
    assert len(dict(found)) == len(found)
    return sorted(found)
