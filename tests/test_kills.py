"""Killed at any instant, a suite leaves nothing that writes, and the next run ends as one that nobody disturbed.

Kill -9 of a command, its DVC, a stage, a stage's own process, a worker, a server, or all at once, drawn from a seed.
Twenty are of stages that write slowly and compute nothing; `make torture` kills what is served too, and a hundred times
real stages.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ENVIRONMENT, PROJECT, clone
from left import left
from ports import free_port
from ruamel.yaml import YAML
from trial import LOADERS, SERVED, STAGES, VICTIMS, Trial, runs, state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells of a death"),
]
LONG = pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it")
TORTURE = int(os.environ.get("STOPGRAD_KILLS", "0"))
"""How many kills of real stages `make torture` asks for."""
SLOW = STAGES[2:]
REPRO = ("python", "-m", "flows.repro")
FLOW = ("python", "-m", "flows.pipeline", "--slots", "2")
SERVE = ("python", str(PROJECT / "tests" / "served_run.py"))
LOADER = """
import sys, time
while True:
    open(sys.argv[1], "a").write(".")
    time.sleep(0.02)
"""


@dataclass
class Slow:
    """A clone whose cells are yet to be made, by stages that are slow and compute nothing."""

    template: Path
    expected: dict[str, Any]
    seconds: float
    """How long `make repro` takes where nobody disturbs it: longer where the machine has other work."""

    def copied(self, into: Path) -> Path:
        return shutil.copytree(self.template, into, symlinks=True)

    def trial(self, command: tuple[str, ...], times: float, victims: dict[str, tuple[str, ...]], **given: Any) -> Trial:
        return Trial(self.template, command, times * self.seconds, self.expected, victims, **given)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Slow:
    folder = tmp_path_factory.mktemp("slow")
    template = clone(folder / "template")
    for name in SLOW:
        shutil.copy(PROJECT / "tests" / "slow_stage.py", template / "tasks" / f"{name}.py")
    shutil.copy(PROJECT / "tests" / "stub_stage.py", template / "tasks" / "stub_stage.py")
    (template / "tasks" / "loader.py").write_text(LOADER)
    (template / "tasks" / "show.py").write_text("print('shown')\n")
    subprocess.run(("dvc", "repro", "prepare"), cwd=template, env=ENVIRONMENT, check=True, capture_output=True)
    undisturbed = shutil.copytree(template, folder / "undisturbed", symlinks=True)
    begun = time.monotonic()
    subprocess.run(REPRO, cwd=undisturbed, env=ENVIRONMENT, check=True, capture_output=True)
    return Slow(template, state(undisturbed), time.monotonic() - begun)


def test_repro_is_killed_at_any_instant(slow: Slow, tmp_path: Path) -> None:
    slow.trial(REPRO, 0.4, VICTIMS | LOADERS).kill(slow.copied(tmp_path / "killed"), 14)


class Prefect:
    """A server of Prefect's, which can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.home, self.api = home, f"http://127.0.0.1:{self.port}/api"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Nothing where it is there."""
        if self.process:
            return
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        settings = {"PREFECT_HOME": str(self.home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        with (self.home / "said").open("w") as said:
            process = self.process = subprocess.Popen(
                command, cwd=self.home, env=ENVIRONMENT | settings, stdout=said, stderr=said, start_new_session=True
            )
        until = time.monotonic() + 240
        while not self.answers():
            assert process.poll() is None, (self.home / "said").read_text()
            assert time.monotonic() < until
            time.sleep(0.3)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    server = Prefect(tmp_path_factory.mktemp("prefect"))
    yield server
    server.kill()


@pytest.fixture
def prefect(one: Prefect) -> Prefect:
    """There, also where another test has killed it."""
    one.start()
    return one


def test_the_flow_is_killed_at_any_instant(slow: Slow, prefect: Prefect, tmp_path: Path) -> None:
    server = {"PREFECT_API_URL": prefect.api}
    slow.trial(FLOW, 0.6, VICTIMS | LOADERS, environment=server).kill(slow.copied(tmp_path / "killed"), 6)


@LONG
def test_what_is_served_is_killed_at_any_instant(slow: Slow, tmp_path: Path) -> None:
    """A run that a worker has: with the worker, the servers or `make serve` itself its stages end too."""
    slow.trial(SERVE, 1.5, SERVED, begun="the run begins").kill(slow.copied(tmp_path / "killed"), 6)


@LONG
@pytest.mark.parametrize("seconds", [30, None], ids=["for 30 s", "for good"])
def test_a_server_that_is_gone_takes_no_work_with_it(
    slow: Slow, prefect: Prefect, tmp_path: Path, seconds: float | None
) -> None:
    """In the middle of the cells. Where it is back, its page has all; where not, the run ends within a minute."""
    project = slow.copied(tmp_path / "lost")
    with (project / "said").open("w") as said:
        environment = ENVIRONMENT | {"PREFECT_API_URL": prefect.api}
        running = subprocess.Popen(FLOW, cwd=project, env=environment, stdout=said, stderr=said)
    until = time.monotonic() + 120
    while not any("tasks.embed" in command for command in left(project).values()):
        assert running.poll() is None, (project / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    prefect.kill()
    begun = time.monotonic()
    if seconds:
        time.sleep(seconds)
        prefect.start()
    code = running.wait(timeout=180)
    took, told = time.monotonic() - begun, (project / "said").read_text()
    print(f"gone {seconds or 'for good'}: the run ended {took:.1f} s later, with exit code {code}")
    assert "shown" in told
    assert state(project) == slow.expected
    if seconds:
        assert code == 0, told[-5000:]
        oldest_first = {"sort": "START_TIME_ASC"}
        asked = httpx.post(f"{prefect.api}/flow_runs/filter", json=oldest_first, timeout=30).raise_for_status().json()
        newest = {run["name"]: run["state_type"] for run in asked}
        assert newest == dict.fromkeys(("small on small", "random-0", "simclr-0"), "COMPLETED")
    else:
        assert code != 0
        assert took < 60 + slow.seconds


@LONG
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
    Trial(template, REPRO, 6, expected, VICTIMS).kill(project, 4)
    assert runs(project) == runs(finished)


@pytest.mark.skipif(not TORTURE, reason="make torture runs it: it takes an hour or more")
def test_all_real_stages_in_a_flow_are_killed_at_any_instant(finished: Path, prefect: Prefect, tmp_path: Path) -> None:
    template, project = clone(tmp_path / "template"), tmp_path / "killed"
    shutil.copytree(template, project, symlinks=True)
    server = {"PREFECT_API_URL": prefect.api}
    Trial(template, FLOW, 25, state(finished), VICTIMS, server).kill(project, TORTURE)
    assert runs(project) == runs(finished)


@pytest.mark.skipif(not TORTURE, reason="make torture runs it: it takes an hour or more")
def test_all_real_stages_that_are_served_are_killed_at_any_instant(finished: Path, tmp_path: Path) -> None:
    template, project = clone(tmp_path / "template"), tmp_path / "killed"
    shutil.copytree(template, project, symlinks=True)
    Trial(template, SERVE, 40, state(finished), SERVED, begun="the run begins").kill(project, TORTURE // 5)
    assert runs(project) == runs(finished)
