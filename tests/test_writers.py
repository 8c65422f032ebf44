"""A stage dies with what started it, and one process writes into a workspace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, clone, run, warm_path
from left import left, until_none_is_left

from flows.processes import Processes
from ssl_core.errors import Refused
from tasks import children, workspace

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told by Linux alone"),
    pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it"),
]

STAGE = """
import sys, time
from pathlib import Path
from tasks.stage import atomic_folder, stage
with stage(), atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "begun").write_text(str(time.time()))
    time.sleep(float(sys.argv[2]))
"""
REPRO = ("python", "-m", "flows.repro", "--slots", "1")
GRAPH = """\
vars: ["suites/small.yaml:suite,variants,seeds,fine_tune", "data/watched/switch.yaml:watched"]
stages:
  long: {cmd: python -m tasks.slow long 60, deps: [tasks/slow.py], outs: [long]}
  short: {cmd: python -m tasks.slow short 0, deps: [tasks/slow.py], outs: [short]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A clone with a stage that takes long and one that does not, alone; nothing of it is left running."""
    clone(tmp_path)
    for name in ("forecast", "show"):
        (tmp_path / "tasks" / f"{name}.py").write_text(f"print('{name}', flush=True)")
    (tmp_path / "tasks" / "slow.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    yield tmp_path
    for pid in left(tmp_path):
        os.kill(pid, signal.SIGKILL)


def started(project: Path, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    """A command in a session of its own, as in a terminal; the long stage has begun."""
    with (project / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=project, env=ENVIRONMENT | environment, start_new_session=True, stdout=said, stderr=said
        )
    until = time.monotonic() + 60
    while not (project / ".long.partial" / "begun").exists():
        assert process.poll() is None, (project / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def pid_of(project: Path, words: str) -> int:
    [found] = [pid for pid, command in left(project).items() if words in command and " -c " not in command]
    return found


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_stage_dies_with_its_dvc_whatever_shell_is_between(project: Path, shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"{shell} is not here")
    process = started(project, "dvc", "repro", "long", SHELL=shell)
    process.kill()
    process.wait()
    until_none_is_left(project, 2)


def test_a_stage_whose_dvc_is_dead_already_does_nothing(project: Path) -> None:
    """The first instruction comes after the death: the shell that DVC would start waits for it."""
    starter = """
import os, subprocess
subprocess.Popen(["sh", "-c", "sleep 0.5; python -m tasks.slow long 60"], env=os.environ | {"DVC_STAGE": "long"})
"""
    subprocess.run([sys.executable, "-c", starter], cwd=project, env=ENVIRONMENT, check=True, start_new_session=True)
    until_none_is_left(project, 3)
    assert not (project / ".long.partial").exists()


def test_what_a_command_starts_does_nothing_where_it_is_dead_already(project: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    environment = ENVIRONMENT | {"STOPGRAD_STARTER": str(dead.pid)}
    done = subprocess.run([sys.executable, "-m", "tasks.slow", "short", "0"], cwd=project, env=environment)
    assert done.returncode == 1
    assert not (project / "short").exists()


def test_a_stage_by_hand_outlives_who_started_it(project: Path) -> None:
    starter = "import subprocess, sys; subprocess.Popen(['nohup', sys.executable, '-m', 'tasks.slow', 'short', '1'])"
    subprocess.run(
        [sys.executable, "-c", starter],
        cwd=project,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        start_new_session=True,
    )
    until_none_is_left(project, 5)
    assert (project / "short").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_repro_told_to_end_ends_all_and_leaves_nothing_half_written(project: Path, ending: signal.Signals) -> None:
    process = started(project, *REPRO)
    # A terminal tells all that run in it.
    (os.kill if ending == signal.SIGTERM else os.killpg)(process.pid, ending)
    assert process.wait(timeout=20) == 128 + ending
    until_none_is_left(project, 1)
    assert not (project / ".long.partial").exists()
    assert "show" not in (project / "said").read_text()


def test_nohup_means_what_it_says(project: Path) -> None:
    process = started(project, "nohup", *REPRO)
    os.killpg(process.pid, signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    assert pid_of(project, "tasks.slow")
    process.kill()
    until_none_is_left(project, 2)
    process.wait()


def test_repro_whose_dvc_is_killed_shows_nothing_and_the_next_goes_on(project: Path) -> None:
    process = started(project, *REPRO)
    os.kill(pid_of(project, "--single-item long"), signal.SIGKILL)
    assert process.wait(timeout=20) != 0
    assert "show" not in (project / "said").read_text()
    until_none_is_left(project, 2)
    (project / "dvc.yaml").write_text(GRAPH.replace("long 60", "long 0"))
    done = run(*REPRO, cwd=project)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("forecast\n")
    assert done.stdout.endswith("show\n")
    assert {path.name for path in project.glob("long/*")} == {"begun"}
    assert not list(project.glob(".*.partial"))


@pytest.mark.parametrize("first", ["python -m flows.repro --slots 1", "dvc repro"])
def test_the_second_writer_is_refused_and_told_which_is_the_first(project: Path, first: str) -> None:
    process = started(project, *first.split())
    sentence = f"stopgrad: process {process.pid}, `{first}`, started "
    advice = f"writes in this folder: wait for it, or end it (kill {process.pid})"
    # The second by name is refused by its stage.
    for second in (REPRO, ("dvc", "repro", "short")):
        done = run(*second, cwd=project)
        assert done.returncode != 0
        [line] = [line for line in done.stdout.splitlines() if line.startswith(sentence)]
        assert line.endswith(advice)
        assert not (project / "short").exists()
    process.kill()
    process.wait()
    until_none_is_left(project, 2)


def test_dvcs_own_locks_are_named_by_their_holder_too(project: Path) -> None:
    """Another `dvc` may have them: a `dvc pull`, say."""
    process = started(project, "dvc", "repro")
    done = run("python", "-m", "tasks.dvc", "repro", "long", cwd=project)
    assert f"ERROR: stopgrad: process {process.pid}, `dvc repro`, started " in done.stdout
    assert "remove" not in done.stdout
    process.kill()
    process.wait()
    until_none_is_left(project, 2)

    holds = (
        "import zc.lockfile, time; held = zc.lockfile.LockFile('.dvc/tmp/lock'); print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", holds], cwd=project, stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    done = run("python", "-m", "tasks.dvc", "repro", "short", cwd=project)
    holder.kill()
    holder.communicate()
    assert f"ERROR: stopgrad: process {holder.pid}, `python -c import zc.lockfile" in done.stdout
    assert "terminated abruptly" not in done.stdout


def test_the_lock_of_a_killed_writer_is_no_obstacle(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = started(project, *REPRO)
    first.kill()
    first.wait()
    until_none_is_left(project, 2)
    monkeypatch.chdir(project)
    with workspace.writing():
        assert os.environ[workspace.HOLDER] == str(os.getpid())
        with workspace.writing():  # of a process that the writer started
            pass
        monkeypatch.setenv(workspace.HOLDER, "1")
        with pytest.raises(Refused, match=f"process {os.getpid()}, "), workspace.writing():
            pass


def cut(lock: str) -> Iterator[str]:
    """A lock as a kill leaves it: nothing, half a line, half a stage, a stage without what it wrote."""
    yield ""
    yield lock[: len(lock) // 2]
    yield lock[: lock.index("    outs:") + len("    outs:\n")]
    yield lock[: lock.rindex("      md5")]


def test_a_lock_that_was_cut_off_is_put_aside_and_nothing_runs_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def repro() -> str:
        done = run(*REPRO, cwd=project)
        assert done.returncode == 0, done.stdout
        return done.stdout

    (project / "dvc.yaml").write_text(GRAPH.replace("long 60", "long 0"))
    assert "dvc.lock was cut off" not in repro()
    whole, begun = (project / "dvc.lock").read_text(), (project / "long" / "begun").read_text()
    (project / "dvc.lock").write_text(whole[: len(whole) // 2])
    (project / ".dvc" / "tmp" / "rwlock").write_text('{"read": {')
    (project / "data" / "prepared").mkdir(parents=True)
    (project / "data" / "prepared" / ".small.partial").mkdir()
    observed = project / "observations" / "pretrain" / ".a.json.partial"
    observed.parent.mkdir(parents=True)
    for partial in (observed, project / ".methods.yaml.partial"):
        partial.touch()
    said = repro()
    assert "dvc.lock was cut off" in said
    assert (project / "long" / "begun").read_text() == begun
    assert sorted((project / "dvc.lock").read_text().splitlines()) == sorted(whole.splitlines())
    assert not list(project.rglob("*.partial"))

    monkeypatch.chdir(project)
    for content in cut(whole):
        (project / "dvc.lock").write_text(content)
        with workspace.writing():
            assert not (project / "dvc.lock").exists(), content
    assert capsys.readouterr().out.count("dvc.lock was cut off") == 4
    for content in (whole, f"<<<<<<< ours\n{whole}"):
        (project / "dvc.lock").write_text(content)
        with workspace.writing():
            assert (project / "dvc.lock").read_text() == content


class TestProcesses:
    """Of the flow: a stage run by DVC."""

    @pytest.fixture(autouse=True)
    def in_project(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project)
        monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])

    def test_a_killed_one_is_told_from_one_that_fails(self, project: Path) -> None:
        (project / "tasks" / "slow.py").write_text("import os; os.kill(os.getpid(), 9)")
        assert Processes().run("short", {}, print).killed
        (project / "tasks" / "slow.py").write_text("import sys; sys.exit('stopgrad: no')")
        outcome = Processes().run("short", {}, print)
        assert (outcome.code != 0, outcome.killed, outcome.last_line) == (True, False, "stopgrad: no")

    def test_one_that_changes_nothing_says_so_and_two_in_one_process_work(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", warm_path())
        assert not Processes().run("short", {}, print).unchanged
        processes = Processes()
        assert processes.run("short", {}, print).unchanged
        processes.end()
        assert processes.run("short", {}, print).code != 0
        assert Processes().run("short", {}, print).unchanged


def test_what_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(children, "PATIENCE_SECONDS", 0.3)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    children.end([process])
    assert process.wait(timeout=5) == -signal.SIGKILL
    process.stdout.close()
