"""What runs after an edit, with the real DVC."""

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_SUITE, edit
from graph import RANDOM, SIMCLR, executed, outcome

from tasks import forecast

pytestmark = pytest.mark.slow


def edits() -> list[tuple[str, str, Callable[[dict[str, Any]], object], set[str]]]:
    """File, what is changed in it, and the stages that run, beside configure, compare and verdict."""
    claim = {"says": "It learns.", "better": "simclr", "worse": "random", "more_than": 1.0}

    def optimiser(content: dict[str, Any]) -> None:
        content["defaults"]["pretraining"]["optimiser"]["warmup"] = 0.2

    return [
        ("methods.yaml", "a method's value", lambda c: c["simclr"]["objective"].update(temperature=0.4), SIMCLR),
        (
            SMALL_SUITE,
            "a change of a variant",
            lambda c: c["variants"].update(simclr={"augmentation": {"flip": 0.0}}),
            SIMCLR,
        ),
        ("params.yaml", "a default that nothing overrides", optimiser, SIMCLR | RANDOM),
        (
            SMALL_SUITE,
            "a seed more",
            lambda c: c.update(seeds=[0, 1]),
            {stage.replace("-0", "-1") for stage in SIMCLR | RANDOM},
        ),
        (SMALL_SUITE, "a variant less", lambda c: c["variants"].pop("random"), set()),
        (SMALL_SUITE, "claims", lambda c: c.update(claims={"learns": claim}, looks=3), {"verdict"}),
        (SMALL_SUITE, "the question", lambda c: c.update(question="Does it still run?"), set()),
        (
            SMALL_SUITE,
            "what is embedded",
            lambda c: c.update(representations=["backbone", "projector"]),
            SIMCLR - {"pretrain@simclr-0"},
        ),
        (
            "params.yaml",
            "a data set more",
            lambda c: (c["images"].append("other"), c["data"].update(other=c["data"]["small"] | {"seed": 1})),
            {"prepare@other", *(stage.replace("small", "other") for stage in SIMCLR | RANDOM if "small" in stage)},
        ),
    ]


def foretold(copied: Path) -> set[str]:
    """The stages of cells that the forecast says will run."""
    with chdir(copied):
        told = forecast.forecast()
    assert told is not None
    return {one.stage.name for one in told.costs}


def add_a_word(file: Path) -> None:
    file.write_text(f"# A word.\n{file.read_text()}")


@pytest.mark.parametrize(("file", "what", "change", "cells"), edits(), ids=[what for _, what, _, _ in edits()])
def test_an_edit_runs_what_it_reaches_and_nothing_else(
    copied: Path, file: str, what: str, change: Callable[[dict[str, Any]], object], cells: set[str]
) -> None:
    edit(copied, change, file)
    expected = {stage for stage in cells if not stage.startswith("prepare")} - {"verdict"}
    assert foretold(copied) == expected
    reaches = cells - {"verdict"} or what in ("a variant less", "the question")
    compared = {"compare", "verdict"} if reaches else set()
    assert executed(copied) == {"configure", *cells, *compared}


def test_two_edits_of_which_neither_reaches_what_the_other_does(copied: Path) -> None:
    edit(copied, lambda content: content["evaluation"]["fine_tuning"].update(max_steps=6))
    weak = {"method": "simclr", "augmentation": {"name": "weak"}}
    edit(copied, lambda content: content["variants"].update({"simclr-weak": weak}), SMALL_SUITE)
    more = {"pretrain@simclr-weak-0", "embed@simclr-weak-0-small", "probe@simclr-weak-0-small"}
    assert foretold(copied) == {*more, "fine_tune@simclr-0-small"}
    assert executed(copied) == {"configure", *more, "fine_tune@simclr-0-small", "compare", "verdict"}


def test_what_no_cell_stands_on_runs_none(copied: Path) -> None:
    """Comments, a method and a default that the suite does not take, another objective's code, and a new objective."""
    edit(copied, lambda content: content["vicreg"]["objective"].update(variance=20.0), "methods.yaml")
    edit(copied, lambda content: content["defaults"]["pretraining"].update(batch_size=64))
    objectives = copied / "ssl_core" / "objectives"
    (objectives / "another.py").write_text('"""Another."""\n')
    files = (copied / "params.yaml", copied / "methods.yaml", copied / SMALL_SUITE)
    for file in (*files, objectives / "byol.py", objectives / "__init__.py"):
        add_a_word(file)
    assert foretold(copied) == set()
    assert executed(copied) == {"configure"}


def test_what_was_put_back_runs_nothing_and_comes_out_as_it_was(copied: Path) -> None:
    before, shown = (copied / "params.yaml").read_text(), outcome(copied)
    edit(copied, lambda content: content["evaluation"].update(knn_temperature=0.1))
    probes = {"probe@random-0-small", "probe@simclr-0-small"}
    assert foretold(copied) == probes
    assert executed(copied) == {"configure", *probes, "compare", "verdict"}
    assert outcome(copied) != shown
    (copied / "params.yaml").write_text(before)
    assert executed(copied) == set()
    assert outcome(copied) == shown


@pytest.mark.parametrize(
    ("file", "cells"),
    [
        # Which objectives and backbones stand on a file of the core, test_configuration.py asks of every one.
        ("ssl_core/objectives/simclr.py", SIMCLR),
        ("ssl_core/training/optimiser.py", SIMCLR | RANDOM),
        ("tasks/probe.py", {"probe@random-0-small", "probe@simclr-0-small", "fine_tune@simclr-0-small"}),
    ],
)
def test_an_edit_of_code_runs_the_cells_that_stand_on_it(copied: Path, file: str, cells: set[str]) -> None:
    add_a_word(copied / file)
    assert executed(copied) - {"configure", "compare", "verdict"} == cells
