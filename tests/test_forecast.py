"""What a suite will cost, told before it runs: against the runs that were seen, and against what was really written."""

import json
import runpy
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT, edit, run
from ruamel.yaml import YAML
from written_files import OURS, changed, load, write

from ssl_core.errors import Refused
from tasks import configure, forecast
from tasks.configuration import files, plan
from tasks.forecast import Forecast
from tasks.forecasting import disk, doubts, due, lock, seen
from tasks.forecasting.lock import Locked

SPLITS = {"train": {"count": 800}, "val": {"count": 100}, "test": {"count": 100}}
SECONDS = {"pretrain": 100.0, "embed": 20.0, "probe": 30.0, "fine_tune": 50.0}
CLAIM = {"says": "It learns.", "better": "simclr", "worse": "random", "more_than": 1.0}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite `ours`, `random` and `simclr` with seed 0, of prepared images."""
    write(tmp_path)
    graph = (PROJECT / "dvc.yaml").read_text().replace("suites/default.yaml", "suites/ours.yaml", 1)
    (tmp_path / "dvc.yaml").write_text(graph)
    prepared = tmp_path / "data" / "prepared" / "fashion_mnist"
    prepared.mkdir(parents=True)
    (prepared / "card.json").write_text(json.dumps({"splits": SPLITS}))
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewrite(root: Path, **suite: Any) -> None:
    """Change keys of the suite, by dotted paths with `__` for the dots."""
    changes = {key.replace("__", "."): value for key, value in suite.items()}
    YAML().dump(changed(OURS, changes), root / "suites" / "ours.yaml")


def ran() -> None:
    """Leave what a run of the suite leaves: configurations, the lock, figures with identities, and observations."""
    configure.main()
    stages = due.stages(plan.read())
    outs = {path: f"of-{path}" for stage in stages for path in stage.outs}
    written: dict[str, Any] = {}
    for stage in stages:
        deps = {path: outs.get(path) or lock.digest(Path(path)) for path in stage.deps}
        written[stage.name] = {
            "cmd": stage.command,
            "deps": [{"path": path, "hash": "md5", "md5": md5} for path, md5 in deps.items() if md5],
            "outs": [{"path": path, "hash": "md5", "md5": outs[path], "size": 1000} for path in stage.outs],
        }
        for path in stage.outs if stage.cell else ():
            if path.startswith("figures"):
                Path(path).mkdir(parents=True, exist_ok=True)
                (Path(path) / "identity").write_text(stage.name)
                observed = Path("observations") / stage.kind / f"{stage.name}.json"
                observed.parent.mkdir(parents=True, exist_ok=True)
                observed.write_text(json.dumps({"seconds": SECONDS[stage.kind] - 5.0, "overhead_seconds": 5.0}))
    YAML().dump({"schema": "2.0", "stages": written}, lock.LOCK)


@pytest.fixture(autouse=True)
def code_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder has no code: its digests are the same for ever."""
    digest = lock.digest
    monkeypatch.setattr(lock, "digest", lambda path: "code" if path.parts[0] in ("ssl_core", "tasks") else digest(path))


def foretold() -> Forecast:
    told = forecast.forecast()
    assert told is not None
    return told


def said() -> str:
    return forecast.said(foretold())


def test_of_what_was_never_run_it_says_what_is_not_known(project: Path) -> None:
    told = said()
    assert told.startswith(
        "ours: 2 of 2 cells to run; how long is not known, as no cell like these was timed here; about "
    )
    (project / "data" / "prepared" / "fashion_mnist" / "card.json").unlink()
    assert said().endswith("; how much disk is known once the images are counted")


def test_what_was_run_is_not_run_again(project: Path) -> None:
    ran()
    assert said() == "ours: nothing to run, all 2 cells are there"


def test_a_seed_more_takes_as_long_as_the_seed_before(project: Path) -> None:
    ran()
    rewrite(project, seeds=[0, 1, 2], fine_tune=["simclr"])
    told = foretold()
    assert {one.stage.cell.seed for one in told.costs if one.stage.cell and one.stage.kind == "pretrain"} == {1, 2}
    per_cell = SECONDS["pretrain"] + SECONDS["embed"] + SECONDS["probe"]
    assert told.seconds(["simclr"], [1]) == pytest.approx(per_cell)
    assert told.seconds(["simclr", "random"], [0, 1, 2]) == pytest.approx(4 * per_cell)
    assert forecast.said(told).startswith(
        "ours: at least 5 of 6 cells to run, 4 of them from pretraining on; at least 10 min, as no fine_tune was timed "
    )


def test_twice_the_passes_take_twice_as_long_and_another_backbone_is_like_no_other(project: Path) -> None:
    ran()
    twice = {"method": "simclr", "pretraining": {"epochs": 1.6}}
    rewrite(
        project,
        variants__twice=twice,
        variants__jigsaw=None,
        variants__wide={"method": "simclr", "backbone": {"width": 32}},
    )
    told = foretold()
    of = {(one.stage.cell.variant, one.stage.kind): one for one in told.costs if one.stage.cell}
    assert of["twice", "pretrain"].seconds == pytest.approx(200)
    assert of["twice", "probe"].seconds == pytest.approx(30)
    # One view of an image in place of two, as no jigsaw was seen; of random, where nothing is trained, it says nothing.
    assert of["jigsaw", "pretrain"].seconds == pytest.approx(50)
    assert of["twice", "embed"].size == 1000
    assert of["wide", "embed"].size == 1000 * 256 * 4


def test_images_more_take_longer(project: Path) -> None:
    ran()
    (project / "data" / "prepared" / "shapes").mkdir()
    card = {"splits": {"train": {"count": 100}, "test": {"count": 100}}}
    (project / "data" / "prepared" / "shapes" / "card.json").write_text(json.dumps(card))
    edit(project, lambda content: content["images"].append("shapes"))
    told = foretold()
    assert {one.stage.images for one in told.costs} == {"shapes"}
    assert {(one.stage.kind, one.seconds) for one in told.costs} == {("embed", 20 / 5), ("probe", 30 / 5)}


def test_too_many_hours_are_refused_with_what_would_fit(project: Path) -> None:
    ran()
    rewrite(project, seeds=[0, 1, 2, 3])
    told = foretold()  # 150 s each of six cells
    forecast.refuse(told, 0.25)
    with pytest.raises(Refused) as refused:
        forecast.refuse(told, 700 / 3600)
    assert str(refused.value) == (
        "ours would take about 15 min, and HOURS is 0.194444: 3 of its 4 seeds, or the first 1 of its 2 variants would "
        "fit; edit suites/ours.yaml, or give it more hours"
    )
    forecast.refuse(told, 700 / 3600, at_once=2)
    rewrite(project, seeds=[2, 3])
    told = foretold()
    with pytest.raises(Refused, match=r"HOURS is 0\.01: not one of its seeds or variants would fit; edit"):
        forecast.refuse(told, 0.01)
    for hours in ("none", "-1", "0", "nan", "inf"):
        with pytest.raises(Refused, match=f"HOURS is {hours}; a number of hours above 0 is needed"):
            forecast.tell(None, hours)


def test_the_hours_are_those_of_the_command_not_of_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOURS", "none")
    monkeypatch.setattr("sys.argv", ["tasks.forecast"])
    monkeypatch.delitem(sys.modules, "tasks.forecast")
    runpy.run_module("tasks.forecast", run_name="__main__")
    assert capsys.readouterr().out.startswith("ours: ")


def test_more_disk_than_is_free_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = foretold()
    needed, _ = forecast.needed_and_free(told)
    embedded = 2 * 1000 * 128 * 4
    assert needed > disk.copies() * embedded
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(Refused, match=r"ours would take about \d+ MB of disk, and \d+ MB are free: free some, or take"):
        forecast.refuse(told, None)
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n[cache]\n    type = hardlink,copy\n")
    assert disk.copies() == 1
    forecast.refuse(told, None)


def test_one_seed_is_told_to_decide_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert foretold().notes == []
    rewrite(project, claims__learns=CLAIM)
    forecast.tell(None, "")
    assert (
        "ours.yaml: there is one seed, so that every verdict on its claims will be undecided" in capsys.readouterr().out
    )
    rewrite(project, claims__learns=CLAIM, seeds=[0, 1])
    assert foretold().notes == []


def test_weights_that_no_stage_has_read_yet_are_no_reason_to_refuse(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, lambda content: content["weights"].update(mine="/mine.safetensors"))
    rewrite(project, variants__mine={"method": "simclr", "backbone": {"weights": "mine"}})
    forecast.tell(None, "8")
    assert capsys.readouterr().out == "ours: what will run is known once its files of weights are read\n"


def test_unlike_budgets_are_told_unless_the_claim_asks_for_equal_passes(tmp_path: Path) -> None:
    variants = {"random": None, "simclr": None, "jigsaw": None}
    variants |= {"twice": {"method": "jigsaw", "pretraining": {"epochs": 1.6}}}

    def unequal(**changes: str) -> list[str]:
        claim = {"says": "Two views are better.", "better": "simclr", "worse": "jigsaw", "more_than": 1.0} | changes
        return list(doubts.unequal(load(tmp_path, suite={"variants": variants, "claims.c": claim})))

    assert unequal() == [
        "claims.c compares unlike budgets: simclr has 1.6 views of each image, jigsaw 0.8; give one of them other "
        "pretraining.epochs"
    ]
    assert unequal(equal="passes") == []
    assert unequal(says="It passes.") == unequal()
    (told,) = unequal(equal="passes", worse="twice")
    assert "twice has 1.6 passes over the images, simclr 0.8;" in told
    assert unequal(worse="twice") == []
    assert unequal(worse="random") == []


def test_a_claim_about_a_share_of_labels_that_no_head_is_given_is_told(tmp_path: Path) -> None:
    claim = {"says": "It helps.", "better": {"variant": "simclr", "labels": 0.2}, "worse": "random", "more_than": 1.0}
    made = load(tmp_path, suite={"variants": {"random": None, "simclr": None}, "claims.c": claim})
    assert list(doubts.unasked(made)) == [
        "claims.c will be undecided: it is about 0.2 of the labels, which no head is given; params.yaml's "
        "evaluation.label_fractions are 0.01, 0.1, 1"
    ]


def test_the_lock_is_read_as_a_parser_reads_it(project: Path) -> None:
    ran()
    parsed = YAML(typ="safe").load(lock.LOCK)["stages"]
    assert lock.read() == {
        name: Locked(
            deps={dep["path"]: dep["md5"] for dep in stage["deps"]},
            outs={out["path"]: out["md5"] for out in stage["outs"]},
            sizes={out["path"]: out["size"] for out in stage["outs"]},
        )
        for name, stage in parsed.items()
    }


@pytest.mark.slow
def test_in_a_project_that_has_run_nothing_is_due_and_nothing_heavy_is_imported(finished: Path) -> None:
    asked = (
        "import sys; from tasks import forecast; forecast.tell(None, ''); "
        "print({'torch', 'pydantic', 'dvc', 'pandas'} & sys.modules.keys())"
    )
    done = run("python", "-c", asked, cwd=finished)
    assert done.stdout.splitlines() == ["small: nothing to run, all 2 cells are there", "set()"]


@pytest.mark.slow
def test_what_a_run_kept_is_what_was_told(finished: Path) -> None:
    """Of a project that DVC ran: the bytes of its weights and arrays, by the formula; and what each stage took."""
    with chdir(finished):
        locked = lock.read()
        for path, md5 in locked["configure"].deps.items():
            assert lock.digest(finished / path) == md5, "a folder's digest is DVC's"
        found = seen.read(locked)
        assert {kind for kind, _ in found} == {"pretrain", "embed", "probe", "fine_tune"}
        assert all(one.seconds > 1 for like in found.values() for one in like)
        for name in plan.read().variants:
            variant = files.read(files.CONFIGS / f"{name}.yaml")
            arrays = sum(np.load(file).nbytes for file in Path("cells", f"{name}-0", "embed").rglob("*.npy"))
            assert disk.kept("embed", variant, ["backbone"], "small", 16) == arrays
            weights = Path("cells", f"{name}-0", "pretrain", "backbone.safetensors").stat().st_size
            assert disk.kept("pretrain", variant, ["backbone"], "small", 16) == pytest.approx(weights, rel=0.05)
