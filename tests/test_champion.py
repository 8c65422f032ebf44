"""Which network MLflow's alias `champion` names: the best on val of all that are comparable, and why."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded

from tasks.cells import Cell
from tasks.configuration.plan import Plan
from tasks.tracking import champion, delivery
from tasks.tracking.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def project(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recorded.enter(tmp_path, monkeypatch)
    shutil.copy(fresh, "mlflow.db")
    return tmp_path


Reach = Callable[..., None]


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Reach:
    """Let variants reach these accuracies on val; on test the contrary, so that who chooses on test is seen."""

    def let(**on_val: float) -> None:
        def accuracy(cell: Cell, of: str) -> float:
            return 1 - on_val[cell.variant] if " test " in of else on_val[cell.variant]

        monkeypatch.setattr(recorded, "accuracy", accuracy)

    return let


def show(suite: Plan) -> None:
    for cell in suite.cells:
        recorded.finish(suite, cell)
    recorded.compare(suite)
    assert delivery.deliver(suite, {})


def crowned() -> dict[str, str]:
    """The tags of the champion's version."""
    store = Store("drawn")
    return store.client.get_model_version_by_alias(store.model, "champion").tags


def of_suite(name: str) -> dict[str, str]:
    """The tags of a suite's run."""
    (run,) = (run for run in Store("drawn").runs() if run.data.tags.get("suite_run") == name)
    return run.data.tags


def test_it_is_the_best_on_val_and_a_baseline_only_where_there_is_nothing_else(reach: Reach) -> None:
    reach(random=0.9, simclr=0.5, vicreg=0.6)
    show(recorded.plan("alone", "random"))
    assert crowned()["cell"] == "random-0"
    show(recorded.plan("first", "random", "simclr", "vicreg"))
    assert crowned()["cell"] == "vicreg-0"
    assert of_suite("first")["champion"] == "vicreg-0"
    assert of_suite("first")["champion_because"] == "best on val of the linear probe on 100% of the labels"
    # It has what its figure stands on, and the run that made it.
    tags = crowned()
    assert (tags["suite"], tags["val"], tags["label_fraction"], tags["baseline"]) == ("first", "0.6", "1.0", "False")
    assert {"commit", "data", "evaluation", "representation"} <= tags.keys()


def test_a_worse_one_of_another_suite_does_not_replace_it_and_a_better_does(reach: Reach) -> None:
    reach(simclr=0.7, vicreg=0.6, byol=0.8)
    first, worse, better = (recorded.plan(name, name) for name in ("simclr", "vicreg", "byol"))
    for suite, cell, version in ((first, "simclr-0", "1"), (worse, "simclr-0", "1"), (better, "byol-0", "2")):
        show(suite)
        assert (crowned()["cell"], Store("drawn").champion()) == (cell, version)
        assert of_suite(suite.suite)["champion"] == cell


def test_what_no_suite_shows_any_more_is_no_rival(reach: Reach) -> None:
    reach(simclr=0.7, vicreg=0.6)
    show(recorded.plan("first", "simclr", "vicreg"))
    show(recorded.plan("first", "vicreg"))
    assert crowned()["cell"] == "vicreg-0"


@pytest.mark.parametrize("other", ["evaluation", "images"])
def test_figures_of_another_scale_are_no_rivals(reach: Reach, other: str) -> None:
    reach(simclr=0.7, vicreg=0.6)
    show(recorded.plan("first", "simclr"))
    second = recorded.plan("second", "vicreg")
    if other == "evaluation":
        second = dataclasses.replace(second, evaluation=second.evaluation | {"weight_decays": [0.1]})
    else:
        Path("data/prepared/drawn/card.json").write_text('{"name": "drawn", "image_size": 16}')
    show(second)
    assert crowned()["cell"] == "vicreg-0"


def test_without_labels_none_is_named_and_it_is_said_why(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(simclr=0.7, vicreg=0.6)
    monkeypatch.setattr(champion, "_val", lambda _plan, _cell: {})
    show(recorded.plan("first", "simclr", "vicreg"))
    tags = of_suite("first")
    assert (tags["champion"], tags["champion_because"]) == ("none", champion.WITHOUT_LABELS)
    assert Store("drawn").champion() == ""
    assert Store("drawn").versions() == []
