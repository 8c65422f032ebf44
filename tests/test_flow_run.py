"""What a run does whether or not Prefect watches it: what is due, in which order, and what is left where one fails."""

import asyncio
import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import prefect
import pytest
from conftest import ENVIRONMENT, PROJECT, SMALL_SUITE, clone, edit
from dvc.repo import Repo
from ruamel.yaml import YAML

from flows import artifacts, form, graph, pipeline, pool, repro, serve, server
from flows.edits import Written
from flows.graph import Graph, Stage
from flows.lines import Lines
from flows.processes import KILLED, Outcome
from flows.run import Run
from flows.schedules import keeping_schedules
from flows.server import Server
from ssl_core.errors import Refused
from tasks.configuration import choose, files

DVCS_OWN = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")


def stages(*, due: bool = True) -> list[Stage]:
    """Two cells of two stages between one before and one after."""

    def one(name: str, *upstream: str, cell: str = "") -> Stage:
        return Stage(name=name, upstream=upstream, cell=cell, due=due)

    of_cells = [
        stage
        for cell in ("a-0", "b-0")
        for stage in (
            one(f"pretrain@{cell}", "configure", cell=cell),
            one(f"probe@{cell}", f"pretrain@{cell}", cell=cell),
        )
    ]
    return [one("configure"), *of_cells, one("compare", "probe@a-0", "probe@b-0")]


class Stages:
    """Stands for the processes of stages: notes which ran, which at once, and has those fail that shall."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.saying: dict[str, tuple[int, list[str]]] = {}
        self.at_once, self.most = 0, 0

    def run(self, stage: str, environment: dict[str, str], say: Any) -> Outcome:
        self.ran.append(stage)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        time.sleep(0.05)
        code, lines = self.saying.get(stage, (0, ["done"]))
        for line in lines:
            say(line)
        self.at_once -= 1
        return Outcome(code=code, unchanged=False, last_line=lines[-1], killed=bool(KILLED.search(lines[-1])))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:

    def read(ran: Collection[str] = ()) -> Graph:
        return Graph(stages=[replace(one, due=one.name not in ran) for one in stages()])

    monkeypatch.setattr(graph, "read", read)
    monkeypatch.chdir(PROJECT)
    made = Run([{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}])
    monkeypatch.setattr(made, "processes", Stages())
    return made


def said(_: str) -> None:
    """Nothing listens."""


def ran(run: Run) -> Stages:
    assert isinstance(run.processes, Stages)
    return run.processes


def test_a_graph_is_what_is_before_the_cells_the_cells_and_what_is_after() -> None:
    read = Graph(stages=stages())
    assert [stage.name for stage in read.before] == ["configure"]
    assert list(read.cells) == ["a-0", "b-0"]
    assert [stage.name for stage in read.after] == ["compare"]


def test_cells_run_side_by_side_and_their_stages_in_order(run: Run) -> None:
    asyncio.run(repro.everything(run, Lines()))
    of = ran(run)
    assert of.most == 2
    assert of.ran.index("pretrain@a-0") < of.ran.index("probe@a-0") < of.ran.index("compare") == 5
    assert run.failed() == ""


def test_a_cell_that_fails_fails_alone_and_is_told_with_what_stands_on_it(run: Run) -> None:
    ran(run).saying["pretrain@a-0"] = 1, ["stopgrad: the images have no colours"]
    asyncio.run(repro.everything(run, Lines()))
    assert sorted(ran(run).ran) == ["configure", "pretrain@a-0", "pretrain@b-0", "probe@b-0"]
    assert run.failed() == (
        "not done: pretrain@a-0 (the images have no colours); nor what stands on that: probe@a-0, compare"
    )
    assert artifacts.cells(run) == [
        {"cell": "a-0", "state": "not done", "missing": "pretrain@a-0, probe@a-0",
         "why": "pretrain@a-0: the images have no colours"},
        {"cell": "b-0", "state": "done", "missing": "", "why": ""},
        {"cell": "", "state": "not done", "missing": "compare", "why": ""},
    ]  # fmt: skip


def test_what_stages_say_stands_behind_their_names(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    ran(run).saying["pretrain@a-0"] = 0, ["Running stage 'pretrain@a-0':", "> python -m", " 33%|###  | 1/3", "a remark"]
    ran(run).saying["probe@b-0"] = 1, ["stopgrad: no", "ERROR: failed to reproduce 'probe@b-0': failed to run"]
    asyncio.run(repro.everything(run, Lines()))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("configure")] == ["configure: done", "configure: 0 s, 5 to go"]
    assert next(line for line in lines if line.startswith("pretrain@a-0")) == "pretrain@a-0: a remark"
    assert "probe@b-0: stopgrad: no" in lines
    assert any(re.fullmatch(r"probe@b-0: not done, \d to go", line) for line in lines)
    assert not [line for line in lines if "%" in line or "> python" in line or "ERROR" in line]


def test_a_terminal_has_a_line_below_that_says_how_far_all_are(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    lines = Lines()
    with lines.of("pretrain@a-0", run) as a, lines.of("pretrain@b-0", run) as b:
        a(" 33%|###  | 1/3")
        b("a remark")
    written = capsys.readouterr().out.split("\r\033[K")
    assert "pretrain@a-0 33 % · pretrain@b-0" in written
    assert "pretrain@b-0: a remark\n" in written
    assert all(len(line.rstrip("\n")) < 40 for line in written)


@pytest.mark.parametrize(
    ("line", "killed"),
    [
        ("ERROR: failed to reproduce 'x': failed to run: python -m tasks.pretrain a 0 x, exited with -9", True),
        ("ERROR: failed to reproduce 'x': failed to run: python -m tasks.pretrain a 0 x, exited with 137", True),
        ("ERROR: failed to reproduce 'x': failed to run: python -m tasks.pretrain a 0 x, exited with 1", False),
    ],
)
def test_what_was_killed_is_tried_again_and_what_was_refused_is_not(run: Run, line: str, killed: bool) -> None:
    ran(run).saying["pretrain@a-0"] = 1, [line]

    async def twice() -> None:
        await run.started("pretrain@a-0", {}, said)
        assert (run.killed == {"pretrain@a-0"}) == killed
        ran(run).saying.clear()
        await run.started("pretrain@a-0", {}, said)

    asyncio.run(twice())
    assert ran(run).ran == ["pretrain@a-0"] * 2
    assert run.undone == {}


def test_what_stands_on_a_failed_configure_is_not_begun(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def before(*ran: str) -> Graph:
        weighed, configured = "weigh" not in ran, "configure" not in ran
        return Graph(
            stages=[
                Stage(name="weigh", upstream=(), cell="", due=weighed),
                Stage(name="configure", upstream=(), cell="", due=configured),
                Stage(name="prepare", upstream=("configure", "weigh"), cell="", due=True),
                Stage(name="pretrain@a-0", upstream=("prepare",), cell="a-0", due=True),
            ]
        )

    monkeypatch.setattr(graph, "read", lambda ran=(): before(*ran))
    run.graph = before()
    ran(run).saying["configure"] = 1, ["stopgrad: no such method"]

    async def prepared() -> None:
        await run.prepare(lambda stage: run.started(stage, {}, said))
        await run.finish(["pretrain@a-0"], {}, said)

    asyncio.run(prepared())
    assert sorted(ran(run).ran) == ["configure", "weigh"]
    assert run.failed() == "not done: configure (no such method); nor what stands on that: prepare, pretrain@a-0"


def test_work_goes_on_when_nobody_waits_for_it_and_is_done_once(run: Run) -> None:
    async def abandoned() -> None:
        waiting = asyncio.create_task(asyncio.wait_for(asyncio.shield(run.started("configure", {}, said)), 0.01))
        with pytest.raises(TimeoutError):
            await waiting
        await run.finish(["configure"], {}, said)

    asyncio.run(abandoned())
    assert ran(run).ran == ["configure"]


def test_a_server_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.1)

    async def hangs() -> None:
        await asyncio.sleep(3600)

    async def lost() -> float:
        begun = time.monotonic()
        of = Server("http://127.0.0.1:9/api")
        watching = asyncio.create_task(of.watch())
        await of.shown(hangs)
        assert of.gone.is_set()
        assert not of.answers
        await watching
        return time.monotonic() - begun

    assert asyncio.run(lost()) < 5


def test_a_server_that_is_back_is_shown_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ASK_SECONDS", 0.01)
    tries: list[int] = []

    async def show() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise httpx.ConnectError("no connection")

    asyncio.run(Server("http://127.0.0.1:9/api").shown(show))
    assert tries == [0, 1, 2]


@pytest.mark.parametrize(("state", "done"), [("RUNNING", True), ("CANCELLING", False)])
def test_a_run_that_is_cancelled_on_the_page_ends_with_its_stages(
    run: Run, monkeypatch: pytest.MonkeyPatch, state: str, done: bool
) -> None:
    monkeypatch.setattr(server, "ASK_SECONDS", 0.01)
    answering = httpx.MockTransport(lambda _: httpx.Response(200, json={"state_type": state}))
    monkeypatch.setattr(httpx, "AsyncClient", functools.partial(httpx.AsyncClient, transport=answering))
    ended: list[bool] = []
    monkeypatch.setattr(ran(run), "end", lambda: ended.append(True), raising=False)

    async def raced() -> bool:
        of = Server("http://x/api", "an-id")
        watching = asyncio.create_task(of.watch())
        try:
            return await pipeline._unless_cancelled(asyncio.sleep(0.5 if done else 3600), run, of)
        finally:
            watching.cancel()

    begun = time.monotonic()
    assert asyncio.run(raced()) == done
    assert ended == ([] if done else [True])
    assert time.monotonic() - begun < 10


def test_a_record_elsewhere_has_its_own_page_and_one_in_a_database_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = clone(tmp_path)
    with chdir(project):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert f"sqlite:///{project / 'mlflow.db'}" in serve.mlflow(5000)
        for uri, elsewhere in (("postgresql://localhost/record", False), ("http://record:5000", True)):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            assert serve.elsewhere() == elsewhere
            assert uri in serve.mlflow(5000)


def test_a_server_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(address: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, json="2.20.1", request=httpx.Request("GET", address))

    monkeypatch.setattr(httpx, "get", get)
    with pytest.raises(
        Refused, match=rf"^the Prefect server at x is of version 2.20.1, and Prefect is {prefect.__version__} here"
    ):
        server.refuse_without("x")


def test_an_edit_while_a_run_goes_on_ends_it_and_a_comment_does_not(tmp_path: Path) -> None:
    project = clone(tmp_path)
    with chdir(project):
        written = Written()
        suite = project / SMALL_SUITE
        suite.write_text(f"# A word.\n{suite.read_text()}")
        written.check()
        edit(project, lambda content: content.update(seeds=[0, 1]), SMALL_SUITE)
        with pytest.raises(Refused, match=r"^suites/small.yaml was edited while the pipeline ran: what was done stays"):
            written.check()


def test_seeds_are_written_into_the_suite_and_its_comments_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = clone(tmp_path)
    suite = project / SMALL_SUITE
    suite.write_text(f"# Why these.\n{suite.read_text()}")
    with chdir(project):
        choose.main("small", "small", seeds=3)
        assert capsys.readouterr().out == "suites/small.yaml: seeds is [0, 1, 2], and was [0]\n"
        assert files.read(Path(SMALL_SUITE))["seeds"] == [0, 1, 2]
        assert suite.read_text().startswith("# Why these.\n")
        choose.main("small", "small", seeds=3)
    assert capsys.readouterr().out == ""


def test_a_lock_is_put_in_the_order_of_the_plan_behind_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"schema": "2.0", "stages": {name: {"cmd": name} for name in ("old", "c", "a", "b")}}
    YAML().dump(content, tmp_path / "dvc.lock")
    graph.order_lock(["old"], ["a", "b", "c", "old"])
    assert graph.locked() == ["old", "a", "b", "c"]
    assert files.read(tmp_path / "dvc.lock") == content


def test_a_lock_with_a_merge_conflict_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text("stages:\n<<<<<<< ours\n  a: {cmd: a}\n=======\n  a: {cmd: b}\n>>>>>>> theirs\n")
    with pytest.raises(Refused, match=r"^dvc.lock cannot be read, .*git checkout --ours dvc.lock"):
        graph.locked()


@DVCS_OWN
def test_a_lock_of_dvcs_own_is_named_by_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    holds = (
        "import zc.lockfile, time; held = zc.lockfile.LockFile('.dvc/tmp/lock'); print(1, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    with pytest.raises(Refused, match=rf"^process {process.pid}, .*, writes in this folder"):
        graph.read()
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("45%|####5     | 90/200 [00:10<01:05, 4.40step/s, loss=5.123]", "epoch 0.45 of 1, loss 5.123, 1,126 images/s"),
        ("45%|####5     | 90/200 [00:10<01:00:05, 2.00s/step]", "epoch 0.45 of 1, 128 images/s"),
    ],
)
def test_a_bar_is_told_in_the_words_of_pretraining(line: str, said: str) -> None:
    bar = artifacts.BAR.search(line)
    assert bar is not None
    assert re.fullmatch(rf"{re.escape(said)}, done about \d\d:\d\d", artifacts.described(bar, 1.0, 256))
    assert artifacts.BAR.search("0%|          | 0/200 [00:00<?, ?step/s]") is None


def test_the_form_has_every_suite_with_its_question_and_survives_a_broken_file(tmp_path: Path) -> None:
    project = clone(tmp_path)
    (project / "suites" / "broken.yaml").write_text("a: [")
    (project / "params.yaml").write_text("a: [")
    with chdir(project):
        field = form.suite()
        assert field.default == "small"
        assert field.json_schema_extra["enum"] == files.suites()
        assert "**small**: Does it run?" in field.description
        assert form.images().default == ""
        assert form.at_once().default == 1


def test_a_worker_of_the_page_looks_for_its_clone_as_one_of_a_pool_does() -> None:
    (enter, *_) = files.read(PROJECT / "prefect.yaml")["pull"]
    assert enter["prefect.deployments.steps.run_shell_script"]["script"] == pool.ENTER
    nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT__FLOW_RUN_ID": "0"}
    for home, code in ((str(PROJECT), 0), (str(PROJECT / "tests"), 1), ("", 1)):
        environment = ENVIRONMENT | nowhere | {"STOPGRAD_HOME": home}
        done = subprocess.run(shlex.split(pool.ENTER), env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert (f"{pool.NO_CLONE}: {home or 'it is not set'}" in done.stderr) == bool(code)


def test_schedules_stay_as_their_user_left_them(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {
        "schedule": {"cron": "0 4 * * *"},
        "active": True,
        "max_scheduled_runs": None,
        "parameters": {},
        "slug": "nightly",
    }
    there: list[dict[str, Any]] = [{"id": "1", **kept}, {"id": "2", **kept, "slug": None}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": "d", "schedules": there})
        if request.method == "DELETE":
            there[:] = [one for one in there if one["id"] != request.url.path.rpartition("/")[2]]
            return httpx.Response(204)
        if request.method == "PATCH":
            (patched,) = [one for one in there if one["id"] == request.url.path.rpartition("/")[2]]
            patched.update(json.loads(request.content))
            return httpx.Response(204)
        there.extend({"id": "9", **one} for one in json.loads(request.content))
        return httpx.Response(201, json=[])

    client = httpx.Client(transport=httpx.MockTransport(answer))
    for method in ("get", "post", "patch", "delete"):
        monkeypatch.setattr(httpx, method, getattr(client, method))
    with keeping_schedules("http://x/api", "stopgrad/pipeline"):
        there[:] = [{"id": "3", **kept, "active": False}, {"id": "4", **kept, "slug": "dropped"}]
    assert there == [{"id": "3", **kept}, {"id": "9", **kept, "slug": None}]


@pytest.mark.slow
@DVCS_OWN
def test_two_hundred_cells_are_planned_in_ten_seconds(tmp_path: Path) -> None:
    project = clone(tmp_path)
    seeds = list(range(50))
    variants = {"random": None, "simclr": None, "byol": None, "vicreg": None}
    edit(project, lambda content: content.update(variants=variants, seeds=seeds, fine_tune=[]), SMALL_SUITE)
    with chdir(project):
        begun = time.perf_counter()
        read = graph.read()
        seconds = time.perf_counter() - begun
    print(f"{len(read.stages)} stages planned in {seconds:.1f} s")
    assert len(read.cells) == 200
    assert len(read.stages) == 604
    assert seconds < 10


@DVCS_OWN
def test_of_the_real_graph_what_is_due_is_what_dvc_would_run(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "edited"
    shutil.copytree(finished, project, symlinks=True)
    with chdir(project):
        assert not [stage.name for stage in graph.read().stages if stage.due]
        lost = Path("figures/simclr-0/probe/small/figures.csv")
        kept = lost.read_bytes()
        # What DVC's cache has is given back, as when a suite is switched to.
        shutil.rmtree("figures/simclr-0/probe")
        assert not [stage.name for stage in graph.read().stages if stage.due]
        assert lost.read_bytes() == kept
        # What was changed is nobody's to put back; what the cache has lost is made again.
        lost.chmod(0o644)
        lost.write_text("mine")
        due = [stage.name for stage in graph.read().stages if stage.due]
        assert due == ["probe@simclr-0-small", "compare", "verdict"]
        assert lost.read_text() == "mine"
        shutil.rmtree("figures/simclr-0/probe")
        shutil.rmtree(".dvc/cache/files")
        due = [stage.name for stage in graph.read().stages if stage.due]
    assert "probe@simclr-0-small" in due
