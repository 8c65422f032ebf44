"""A suite's cells on several machines: clones with caches of their own, a remote, and the workers of a pool."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import httpx
import machines
import pytest
from conftest import PROJECT, SMALL_SUITE, clone, edit, run
from dvc.repo import Repo
from left import left
from machines import POOL, cloned, end, git, online, start_pipeline, start_worker, until
from prefect.client.orchestration import PrefectClient
from prefect.states import Pending, Running
from ruamel.yaml import YAML

from flows import clones, graph, pool, silent
from flows.edits import Written
from ssl_core.errors import Refused
from tasks import elsewhere
from tasks.configuration import files

DVCS_OWN = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")
SUITE: dict[str, Any] = {"variants": {"random": None, "simclr": None}, "seeds": [0], "fine_tune": ["simclr"]}
FIGURES, OBSERVED = Path("figures/simclr-0/probe/small"), Path("observations/probe/0123.json")
STUBS = ("prepare", "pretrain", "embed", "probe", "fine_tune", "compare", "verdict")
"""Stages that compute nothing: a digest of what they read."""
SLOW_PRETRAIN = """
import sys, time
from pathlib import Path
if Path("slow").exists():
    time.sleep(3600)
"""

LONG = pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone in which the pipeline is run, committed, with a remote beside it; its stages compute nothing."""
    folder = tmp_path_factory.mktemp("machines")
    (folder / "home").mkdir()
    project = clone(folder / "home")
    edit(project, lambda content: content.update(SUITE), SMALL_SUITE)
    stub = (PROJECT / "tests" / "stub_stage.py").read_text()
    for name in STUBS:
        slow = SLOW_PRETRAIN if name == "pretrain" else ""
        (project / "tasks" / f"{name}.py").write_text(stub.replace("import hashlib", f"{slow}\nimport hashlib", 1))
    silent = project / "flows" / "silent.py"
    assert "SILENCE_SECONDS = 90.0" in silent.read_text()
    silent.write_text(silent.read_text().replace("SILENCE_SECONDS = 90.0", "SILENCE_SECONDS = 45.0"))
    (project / "tasks" / "show.py").write_text('print("the table")\n')
    assert run("dvc", "remote", "add", "-d", "shared", str(folder / "remote"), cwd=project).returncode == 0
    git("add", "-A", cwd=project)
    git("commit", "-qm", "home", cwd=project)
    return project


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server, with the address of its API."""
    with machines.prefect(tmp_path_factory.mktemp("prefect")) as address:
        yield address


def machine(home: Path, name: str) -> Path:
    return cloned(home, home.parent / name)


@LONG
def test_two_machines_share_a_suite_and_one_is_killed(home: Path, api: str, tmp_path: Path) -> None:
    first, second = machine(home, "first"), machine(home, "second")
    alone = cloned(home, tmp_path / "alone")
    # What is chosen here is committed nowhere.
    edit(home, lambda content: content.update(seeds=[0, 1]), SMALL_SUITE)
    shutil.copy(home / SMALL_SUITE, alone / SMALL_SUITE)
    (first / "slow").touch()
    workers = [start_worker("first", first, api, tmp_path)]
    try:
        online(api, 1)
        begun = time.monotonic()
        running = start_pipeline(home, api, tmp_path)
        saying = (tmp_path / "said").read_text
        until(lambda: any("tasks.pretrain" in command for command in left(first).values()), 120, saying)
        end(workers[0])
        for pid in left(first):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        print(f"the machine was killed after {time.monotonic() - begun:.1f} s")
        workers.append(start_worker("second", second, api, tmp_path))
        code = running.wait(timeout=400)
        said = (tmp_path / "said").read_text()
        print(f"done after {time.monotonic() - begun:.1f} s\n{said}")
        assert code == 0, said
        assert not left(first)
        assert "is gone: it is started again" in said
        assert said.count("the table") == 1
    finally:
        for worker in workers:
            end(worker)
    made = run("dvc", "repro", cwd=alone)
    assert made.returncode == 0, made.stdout
    assert files.read(home / "dvc.lock") == files.read(alone / "dvc.lock")
    nothing = run("dvc", "repro", cwd=home)
    assert "Running stage" not in nothing.stdout


@LONG
def test_a_run_that_a_killed_worker_left_frees_its_slot(api: str) -> None:
    async def left_running() -> list[str | None]:
        async with PrefectClient(api) as client:
            flow = await client.create_flow_from_name("stopgrad")
            made = [await client.create_deployment(flow_id=flow, name=name, work_pool_name=POOL) for name in ("a", "b")]
            runs = [await client.create_flow_run_from_deployment(one, state=Pending()) for one in made]
            for run in runs:
                await client.set_flow_run_state(run.id, Running(), force=True)
            await silent.crash_left(client, POOL, ["a"])
            return [(await client.read_flow_run(run.id)).state_name for run in runs]

    assert asyncio.run(left_running()) == ["Crashed", "Running"]


@LONG
def test_a_worker_without_a_clone_ends_the_run_with_a_sentence(home: Path, api: str, tmp_path: Path) -> None:
    edit(home, lambda content: content.update(seeds=[0, 1, 2]), SMALL_SUITE)
    worker = start_worker("lost", None, api, tmp_path)
    try:
        online(api, 1)
        environment = {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "prefect-home")}
        done = run("python", "-m", "flows.pipeline", "--pool", POOL, cwd=home, **environment)
        unknown = run("python", "-m", "flows.pipeline", "--pool", "nowhere", cwd=home, **environment)
    finally:
        end(worker)
    assert done.returncode == 1
    said = done.stdout.strip().splitlines()[-1]
    assert f"not done: pretrain@random-2 ({pool.NO_CLONE})" in said
    assert "was killed" not in done.stdout
    assert unknown.returncode == 1
    assert (
        unknown.stdout.strip().splitlines()[-1].startswith("stopgrad: there is no work pool nowhere: on each machine")
    )


def test_a_pool_that_is_not_there_is_named_with_what_starts_it() -> None:
    async def ask() -> None:
        missing = httpx.MockTransport(lambda _: httpx.Response(404, json={"detail": "not found"}))
        async with PrefectClient("http://home/api", httpx_settings={"transport": missing}) as client:
            await pool.deployed(client, "nowhere")

    with pytest.raises(Refused, match=r"^there is no work pool nowhere: on each machine, in a clone, start "):
        asyncio.run(ask())


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, clones.Handed]:
    """Two clones of one commit, and what the first hands over; its suite is another than was committed."""
    first = clone(tmp_path / "first")
    second = cloned(first, tmp_path / "second")
    edit(first, lambda content: content.update(seeds=[0, 1]), SMALL_SUITE)
    (first / "dvc.lock").write_text("schema: '2.0'\nstages:\n  configure: {cmd: a}\n  pretrain@simclr-0: {cmd: b}\n")
    with chdir(first):
        before = graph.Stage(name="configure", upstream=(), cell="", due=False)
        return first, second, clones.handed(graph.Graph(stages=[before]), Written())


def test_a_clone_gets_what_is_written_where_the_pipeline_runs(pair: tuple[Path, Path, clones.Handed]) -> None:
    first, second, handed = pair
    with chdir(second):
        clones.receive(handed)
        assert Path(SMALL_SUITE).read_bytes() == (first / SMALL_SUITE).read_bytes()
        assert list(files.read(Path("dvc.lock"))["stages"]) == ["configure"], "what the clone shall run is locked"
        # The next run's choice replaces the last one's.
        later = handed.model_copy(update={"files": handed.files | {SMALL_SUITE: "suite: small\n"}})
        clones.receive(later)
        assert Path(SMALL_SUITE).read_text() == "suite: small\n"


def test_a_file_that_was_edited_in_a_clone_is_not_overwritten(pair: tuple[Path, Path, clones.Handed]) -> None:
    _, second, handed = pair
    edit(second, lambda content: content.update(question="Mine?"), SMALL_SUITE)
    with chdir(second):
        with pytest.raises(Refused, match=rf"^{SMALL_SUITE} was edited in the clone {second} on .*git checkout"):
            clones.receive(handed)
        assert files.read(Path(SMALL_SUITE))["question"] == "Mine?"
        assert not Path("dvc.lock").exists(), "half was written"


def test_a_clone_with_other_code_is_refused(pair: tuple[Path, Path, clones.Handed]) -> None:
    _, second, handed = pair
    with (second / "ssl_core" / "precision.py").open("a") as opened:
        opened.write("# another\n")
    with chdir(second), pytest.raises(Refused, match=rf"^the clone {second} on .* with edits\) has other code than"):
        clones.receive(handed)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with a pipeline of three stages and one remote; the first has run them."""
    made = tmp_path / "first", tmp_path / "second"
    stages = {
        "a": {"cmd": "false", "deps": ["input"], "outs": ["a"]},
        "b": {"cmd": "false", "deps": ["a"], "outs": ["b"]},
        "probe": {"cmd": "false", "deps": ["b"], "outs": [str(FIGURES)]},
    }
    for folder in made:
        folder.mkdir()
        Repo.init(str(folder), no_scm=True).close()
        remote = f"['remote \"shared\"']\n    url = {tmp_path / 'remote'}\n"
        (folder / ".dvc" / "config").write_text(f"[core]\n    no_scm = true\n    remote = shared\n{remote}")
        (folder / "input").write_text("the same")
        YAML().dump({"stages": stages}, folder / "dvc.yaml")
    for name in ("a", "b"):
        (made[0] / name).write_text(f"made by {name}")
    for name, written in ((FIGURES / "identity", "0123"), (OBSERVED, '{"seconds": 1.5}')):
        (made[0] / name).parent.mkdir(parents=True)
        (made[0] / name).write_text(written)
    with chdir(made[0]), Repo() as repo:
        for name in stages:
            repo.commit(name, force=True)
    return made


@DVCS_OWN
def test_what_one_machine_gave_another_takes_and_neither_runs_it(folders: tuple[Path, Path]) -> None:
    first, second = folders
    with chdir(first):
        elsewhere.main("give", ["a"])
    with chdir(second):
        elsewhere.main("take", ["a", "b"])
        assert (second / "a").read_text() == "made by a"
        assert not (second / "b").exists(), "what nobody gave was taken, or run"
    with chdir(first):
        elsewhere.main("give", ["a", "b", "probe"])
    with chdir(second):
        elsewhere.main("take", ["a", "b", "probe"])
    assert (second / "b").read_text() == "made by b"
    assert files.read(first / "dvc.lock") == files.read(second / "dvc.lock")


@DVCS_OWN
def test_no_more_is_taken_than_was_asked_for(folders: tuple[Path, Path]) -> None:
    first, second = folders
    with chdir(first):
        elsewhere.main("give", ["a", "b", "probe"])
    with chdir(second):
        # The lock has how it was made of another input.
        Path("input").write_text("another")
        Path("a").write_text("made of another")
        with Repo() as repo:
            repo.commit("a", force=True)
        Path("input").write_text("the same")
        elsewhere.main("take", ["a"])
        assert Path("a").read_text() == "made by a"
        kept = {file.name for file in Path(".dvc/cache/runs").rglob("*") if file.is_file()}
    assert files.read(second / "dvc.lock")["stages"]["a"] == files.read(first / "dvc.lock")["stages"]["a"]
    given = {file.name for file in (first.parent / "remote" / "runs").rglob("*") if file.is_file()}
    assert len(given) == 3
    assert len(kept & given) == 1


@DVCS_OWN
def test_what_a_stage_cost_comes_with_what_it_made(folders: tuple[Path, Path]) -> None:
    first, second = folders
    names = ["a", "b", "probe"]
    with chdir(first):
        elsewhere.main("give", names)
    with chdir(second):
        elsewhere.main("take", names)
        assert OBSERVED.read_text() == '{"seconds": 1.5}'
        # What is here is of one that was run here.
        OBSERVED.write_text('{"seconds": 2.5}')
        elsewhere.main("take", names)
        assert OBSERVED.read_text() == '{"seconds": 2.5}'
        # What is nowhere keeps nothing from coming.
        shutil.rmtree(FIGURES.parts[0])
        OBSERVED.unlink()
        (first.parent / "remote" / OBSERVED).unlink()
        elsewhere.main("take", names)
        assert (FIGURES / "identity").read_text() == "0123"
        assert not list(OBSERVED.parent.iterdir())
        elsewhere.main("give", names)


@DVCS_OWN
def test_a_remote_that_does_not_take_is_told_in_a_sentence(folders: tuple[Path, Path]) -> None:
    first, _ = folders
    remote = first.parent / "remote"
    remote.write_text("a file, not a folder")
    with chdir(first):
        with pytest.raises(Refused, match=rf"^the DVC remote shared \({remote}\) did not take .*Not a directory"):
            elsewhere.main("give", ["a"])
        config = first / ".dvc" / "config"
        config.write_text(config.read_text().replace(str(remote), "http://shared"))
        with pytest.raises(Refused, match=r"^the DVC remote shared \(http://shared\) cannot be asked what it has"):
            elsewhere.main("give", ["a"])
        config.write_text("[core]\n    no_scm = true\n")
        with pytest.raises(Refused, match=r"^there is no DVC remote"):
            elsewhere.main("give", ["a"])
