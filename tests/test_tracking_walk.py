"""After any sequence of edits, kills, outages and reverts, MLflow's current runs are what the table shows."""

import random
from pathlib import Path
from typing import Any

import pytest
import recorded

from tasks.cells import Cell
from tasks.configuration.plan import Plan
from tasks.tracking import champion, delivery
from tasks.tracking.courier import Curve, Run
from tasks.tracking.store import Store

STEPS = 220
SUITES = (
    recorded.plan("first", "random", "simclr", "vicreg", fine_tune=("simclr",)),
    recorded.plan("second", "simclr", "vicreg", "byol"),
)


class Killed(BaseException):
    """The process ends here."""


class Unreliable:
    """A client of MLflow whose calls succeed until one fails, done or not; of an outage, all that follow do too."""

    def __init__(self, client: Any, fails: int, after: bool, error: type[BaseException], lasts: bool) -> None:
        self.client, self.fails, self.after, self.error, self.lasts = client, fails, after, error, lasts
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.fails and self.after:
                getattr(self.client, name)(*arguments, **named)
            if self.calls == self.fails or (self.lasts and self.calls > self.fails):
                raise self.error("the store is away")
            return getattr(self.client, name)(*arguments, **named)

        return call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recorded.enter(tmp_path, monkeypatch)
    return tmp_path


class Walk:
    """A project, its store, and what is done with them."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn, self.monkeypatch = random.Random(seed), monkeypatch
        self.suite: Plan = SUITES[0]
        self.editions: dict[str, int] = {}
        self.shown = self.failed = 0

    def edit_or_revert(self) -> None:
        """One of few editions, so that it is often one that was before."""
        self.editions[self.drawn.choice(["random", "simclr", "vicreg", "byol"])] = self.drawn.randrange(3)

    def switch(self) -> None:
        self.suite = self.drawn.choice(SUITES)

    def pretrain_a_part(self) -> None:
        """A pretraining that is watched, and killed, or goes on."""
        cell = self.drawn.choice(self.suite.cells)
        edition = self.drawn.choice([self.edition(cell), 3])
        curve = Curve(values=[(step, "pretrain/loss", value) for step, value in recorded.curve(cell, edition)])
        del curve.values[self.drawn.randrange(1, recorded.STEPS + 1) :]
        if self.drawn.random() < 0.3:
            curve.ending = ("FAILED", "why")
        Run(cell.variant, str(cell.seed), recorded.identity(cell, edition), "drawn").send(curve)

    def edition(self, cell: Cell) -> int:
        return self.editions.get(cell.variant, 0)

    def show(self, reliable: bool = False) -> None:
        for cell in self.suite.cells:
            recorded.finish(self.suite, cell, self.edition(cell))
        recorded.compare(self.suite)
        fails = 10**6 if reliable or self.drawn.random() < 0.3 else int(self.drawn.expovariate(0.05)) + 1
        after, lasts = self.drawn.random() < 0.5, self.drawn.random() < 0.5
        error = self.drawn.choice([OSError, Killed])

        def opened(*arguments: Any) -> Store:
            made = Store(*arguments)
            unreliable: Any = Unreliable(made.client, fails, after, error, lasts)
            made.client = unreliable
            return made

        with self.monkeypatch.context() as patched:
            patched.setattr(delivery, "Store", opened)
            try:
                done = bool(delivery.deliver(self.suite, {"a claim": "supported"}))
            except Killed:
                done = False
        self.shown, self.failed = self.shown + done, self.failed + (not done)
        assert done or not reliable
        if done:
            self.check()

    def check(self) -> None:
        client = Store("drawn").client
        recorded.check(client, self.suite)
        best = champion.best(self.suite)
        assert best
        version = client.get_model_version_by_alias("stopgrad-drawn", "champion")
        crowned = champion.of_tags(version.tags)
        assert crowned
        assert crowned.rank >= champion.standings(self.suite)[best].rank
        tags = client.get_run(str(version.run_id)).data.tags
        assert tags["superseded"] == "false"


@pytest.mark.slow
@pytest.mark.thorough
def test_current_runs_are_the_table_after_any_sequence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(0, monkeypatch)
    steps = (walk.show, walk.show, walk.edit_or_revert, walk.edit_or_revert, walk.switch, walk.pretrain_a_part)
    for _ in range(STEPS):
        walk.drawn.choice(steps)()
    for suite in SUITES:
        walk.suite = suite
        walk.show(reliable=True)
    assert walk.shown > 20
    assert walk.failed > 20
