"""The record in real servers that are killed, and in stores that are no good."""

import http.server
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import recorded
from conftest import ENVIRONMENT, PROJECT, choose_suite, clone, edit, run
from ports import free_port
from postgresql import postgresql

from tasks.cells import Cell
from tasks.configuration import plan as plans
from tasks.tracking import delivery, live, moved, patience, store
from tasks.tracking.courier import Curve, Run
from tasks.tracking.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
SUITE = recorded.plan("first", "random", "simclr", fine_tune=("simclr",))
SIMCLR = Cell(variant="simclr", seed=0)
KILLS = 20
Start = Callable[[str], "Server"]


class Server:
    """An MLflow server, which can be killed and started again."""

    def __init__(self, forge: "subprocess.Popen[str]", backend: str, artifacts: Path) -> None:
        self.forge, self.backend, self.artifacts = forge, backend, artifacts
        self.port = free_port()
        self.uri, self.process = f"http://127.0.0.1:{self.port}", 0

    def start(self) -> None:
        assert self.forge.stdin
        assert self.forge.stdout
        self.forge.stdin.write(f"{self.port} {self.backend} {self.artifacts}\n")
        self.forge.stdin.flush()
        self.process = int(self.forge.stdout.readline())
        wait(self.uri)

    def kill(self) -> None:
        if self.process:
            os.kill(self.process, signal.SIGKILL)
        self.process = 0


def wait(uri: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if httpx.get(f"{uri}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"no server at {uri}")


@pytest.fixture(scope="module")
def forge() -> Iterator["subprocess.Popen[str]"]:
    """What servers are forked from."""
    made = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(PROJECT / "tests" / "mlflow_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | store.SILENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    assert made.stdout
    assert made.stdout.readline() == "ready\n"
    yield made
    made.communicate()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recorded.enter(tmp_path, monkeypatch)
    finish(0)
    return tmp_path


def finish(edition: int) -> None:
    for cell in SUITE.cells:
        recorded.finish(SUITE, cell, edition)
    recorded.compare(SUITE)


def send(edition: int, first: int, last: int) -> None:
    """What a courier does with a part of a curve."""
    values = [(step, "pretrain/loss", value) for step, value in recorded.curve(SIMCLR, edition)[first:last]]
    Run("simclr", "0", recorded.identity(SIMCLR, edition), "drawn").send(Curve(values=values))


def delivered() -> bool:
    return bool(delivery.deliver(SUITE, {}))


def test_a_server_killed_at_any_instant_has_it_all_afterwards(
    project: Path, forge: "subprocess.Popen[str]", fresh: Path
) -> None:
    shutil.copy(fresh, project / "server.db")
    server = Server(forge, f"sqlite:///{project / 'server.db'}", project / "artifacts")
    recorded.choose(server.uri)
    drawn = random.Random(0)
    for kill in range(KILLS):
        finish(kill)
        server.start()
        threading.Timer(drawn.uniform(0.0, 0.6), server.kill).start()
        with suppress(Exception):  # as a courier does
            send(kill, 0, 8)
            send(kill, 4, 12)
        delivered()
        while server.process:
            time.sleep(0.01)
        if drawn.random() < 0.3:
            server.start()
            assert delivered()
            recorded.check(Store("drawn").client, SUITE)
            server.kill()
    server.start()
    assert delivered()
    recorded.check(Store("drawn").client, SUITE)
    server.kill()


@pytest.mark.skipif("STOPGRAD_LONG" not in os.environ, reason="takes minutes: make torture runs it")
def test_real_stages_whose_server_is_killed_at_any_instant_are_recorded_whole(
    tmp_path: Path, forge: "subprocess.Popen[str]", fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite `smoke`, again and again with another seed, until the server was killed so often."""
    project = clone(tmp_path / "project")
    choose_suite(project, "smoke")
    watching = project / "tasks" / "tracking" / "live.py"
    code = watching.read_text()
    for name, value in (("SHORT", "60.0"), ("FLUSH", "5.0")):  # so short a pretraining is not watched else
        assert f"{name}_SECONDS = {value}\n" in code
        code = code.replace(f"{name}_SECONDS = {value}\n", f"{name}_SECONDS = 0.2\n")
    watching.write_text(code)
    shutil.copy(fresh, tmp_path / "server.db")
    server = Server(forge, f"sqlite:///{tmp_path / 'server.db'}", tmp_path / "artifacts")
    edit(project, lambda content: content["tracking"].update(uri=server.uri))
    drawn, kills = random.Random(14), 0
    for seed in range(KILLS):
        edit(project, lambda content, seeds=[seed]: content.update(seeds=seeds), "suites/smoke.yaml")
        with (tmp_path / "said").open("w") as said:
            running = subprocess.Popen(
                [sys.executable, "-m", "flows.repro"], cwd=project, env=ENVIRONMENT, stdout=said, stderr=said
            )
        while running.poll() is None:
            server.start()
            with suppress(subprocess.TimeoutExpired):
                running.wait(drawn.uniform(0.1, 3.0))
            kills += running.poll() is None
            server.kill()
            with suppress(subprocess.TimeoutExpired):
                running.wait(drawn.uniform(0.0, 2.0))
        assert running.returncode == 0, (tmp_path / "said").read_text()[-5000:]
        assert "Traceback" not in (tmp_path / "said").read_text()
        if kills >= KILLS:
            break
    server.start()
    monkeypatch.chdir(project)
    shown = run("python", "-m", "tasks.show", cwd=project)
    assert shown.returncode == 0
    assert "not recorded" not in shown.stdout
    recorded.check(Store("small").client, plans.read())
    server.kill()


def test_a_courier_whose_server_is_away_speaks_once_and_sends_all_when_it_is_back(
    project: Path,
    forge: "subprocess.Popen[str]",
    fresh: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(fresh, project / "server.db")
    server = Server(forge, f"sqlite:///{project / 'server.db'}", project / "artifacts")
    recorded.choose(server.uri)
    monkeypatch.setattr(live, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 30.0)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    with live.live(SIMCLR, recorded.identity(SIMCLR, 0), "drawn") as watched:
        said = ""
        for step, value in recorded.curve(SIMCLR, 0):
            watched.record(step, {"loss": value})
            while step == 5 and "sent later" not in said:
                said += capfd.readouterr().err
                time.sleep(0.1)
        time.sleep(1.0)
        server.start()
    said += capfd.readouterr().err
    why = "the curve is not in MLflow now, and is sent later (no server answers at tracking.uri)"
    assert said == f"stopgrad: {why}\n"
    opened = Store("drawn")
    (run,) = opened.runs()
    assert (run.info.status, len(opened.logged(run))) == ("FINISHED", recorded.STEPS)
    assert delivered()
    recorded.check(opened.client, SUITE)
    server.kill()


def test_a_locked_database_holds_up_no_pretraining(project: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(fresh, project / "mlflow.db")
    monkeypatch.setattr(live, "SHORT_SECONDS", 0.0)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    with closing(sqlite3.connect("mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        with live.live(SIMCLR, "identity", "drawn") as watched:
            for step in range(20_000):  # more than a pipe holds
                watched.record(step, {"loss": 1.0})
        assert time.monotonic() - begun < 10
        assert watched.courier
        assert watched.courier.returncode is not None


def test_postgresql_behind_a_server_has_it_all(project: Path, forge: "subprocess.Popen[str]") -> None:
    with postgresql("record") as database:
        server = Server(forge, f"postgresql+psycopg://{database}/record", project / "artifacts")
        recorded.choose(server.uri)
        server.start()
        send(0, 0, 8)
        send(0, 4, 12)
        assert delivered()
        recorded.check(Store("drawn").client, SUITE)
        assert Store("drawn").champion() == "1"
        server.kill()


def test_mlflow_2_has_it_all(project: Path) -> None:
    command = os.environ.get("STOPGRAD_MLFLOW2")
    if not command:
        pytest.skip("STOPGRAD_MLFLOW2 names no `mlflow` of 2.22, in an environment of its own")
    port = str(free_port())
    backend = ["--backend-store-uri", f"sqlite:///{project / 'two.db'}", "--artifacts-destination", "artifacts"]
    server = subprocess.Popen(
        [command, "server", "--host", "127.0.0.1", "--port", port, "--workers", "1", *backend],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        recorded.choose(f"http://127.0.0.1:{port}")
        wait(f"http://127.0.0.1:{port}")
        send(0, 0, 8)
        send(0, 4, 12)
        assert delivered()
        recorded.check(Store("drawn").client, SUITE)
        assert Store("drawn").champion() == "1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


class Answer(http.server.BaseHTTPRequestHandler):
    """Another product, or a proxy: answers everything with one code, after a while."""

    code, seconds, body = 200, 0.0, "<html></html>"

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body.encode())

    do_POST = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def answering(code: int, seconds: float = 0.0, body: str = Answer.body) -> str:
    handler = type("Handler", (Answer,), {"code": code, "seconds": seconds, "body": body})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (lambda: "foo://x", "is no store that MLflow"),
        (
            lambda: "postgresql://127.0.0.1:9/record",
            "driver is not installed: that of PostgreSQL is, as postgresql+psycopg",
        ),
        (lambda: answering(200), "is no MLflow server"),
        (lambda: answering(404), "is no MLflow server"),
        (lambda: answering(401), "refuses this user"),
        (lambda: answering(403, body="Invalid Host header - possible attack"), "start it with --allowed-hosts"),
        (lambda: answering(500), "the server answers with errors"),
        (lambda: "http://127.0.0.1:9", "no server answers"),
        (lambda: "sqlite:///newer.db", "a newer one needs the MLflow that made it"),
        (lambda: "sqlite:///broken.db", "is no database that SQLite can read"),
        (lambda: f"sqlite:///file:{Path('read.db').resolve()}?mode=ro&uri=true", "read-only for this user"),
    ],
)
def test_a_store_that_is_no_good_is_one_sentence(
    project: Path, fresh: Path, capsys: pytest.CaptureFixture[str], uri: Callable[[], str], said: str
) -> None:
    shutil.copy(fresh, "read.db")
    shutil.copy(fresh, "newer.db")
    with closing(sqlite3.connect("newer.db")) as opened, opened:
        opened.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    Path("broken.db").write_text("no database" * 1000)
    recorded.choose(uri())
    assert not delivered()
    told = capsys.readouterr()
    assert told.err.startswith("stopgrad: not recorded in MLflow now; `python -m tasks.show` tries again (")
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    recorded.choose(None)
    shutil.copy(fresh, "mlflow.db")
    assert delivered()
    recorded.check(Store("drawn").client, SUITE)


def test_a_disk_that_fills_is_one_sentence_and_what_it_withheld_is_delivered_when_there_is_room(
    project: Path, fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = project / "small disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here: that takes root")
    try:
        shutil.copy(fresh, place / "mlflow.db")
        recorded.choose(f"sqlite:///{place / 'mlflow.db'}")
        with suppress(OSError), (place / "full").open("wb", buffering=0) as opened:
            while True:
                opened.write(bytes(4096))
        assert not delivered()
        told = capsys.readouterr()
        assert "the disk is full" in told.err
        assert told.err.count("\n") == 1
        (place / "full").unlink()
        assert delivered()
        recorded.check(Store("drawn").client, SUITE)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_server_that_says_nothing_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.choose(answering(200, seconds=30))
    monkeypatch.setattr(patience, "SILENT_SECONDS", 1.0)
    begun = time.monotonic()
    assert not delivered()
    assert time.monotonic() - begun < 8
    assert "(the store is too slow: nothing was heard for 1 s)" in capsys.readouterr().err


def test_a_copy_writes_where_it_is_and_the_original_keeps_its_own(
    project: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shutil.copy(fresh, "mlflow.db")
    assert delivered()
    copy = tmp_path_factory.mktemp("copied") / "it's a copy"
    shutil.copytree(project, copy)
    before = (project / "mlflow.db").read_bytes()
    shutil.move(project / "mlartifacts", project / "away")
    monkeypatch.chdir(copy)
    from mlflow.tracking._tracking_service import utils

    # MLflow keeps where a run's artifacts lie; a command in a copy is another process.
    utils._artifact_repos_cache.clear()
    assert delivered()
    client = Store("drawn").client
    recorded.check(client, SUITE)
    assert str(client.get_model_version_by_alias("stopgrad-drawn", "champion").source).startswith("runs:/")
    finish(1)
    assert delivered()
    assert not (project / "mlartifacts").exists()
    assert (project / "mlflow.db").read_bytes() == before
    with closing(sqlite3.connect("mlflow.db")) as opened:
        for table, columns in moved.NAMED.items():
            for column in columns:
                found = opened.execute(f"SELECT {column} FROM {table} WHERE {column} LIKE '%mlartifacts%'")
                assert all(address.startswith((copy / "mlartifacts").as_uri()) for (address,) in found)
