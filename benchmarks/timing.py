"""Contenders timed side by side: they take turns, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median of a figure over the rounds, its least and its greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median=statistics.median(values), low=min(values), high=max(values))

    def text(self, form: str = ",.0f") -> str:
        """The median (least–greatest)."""
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"


def take_turns(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Images per second of each contender in each round.

    A contender does its work, to the end, and returns of how many images it was. A first round warms up, unmeasured.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            begun = time.perf_counter()
            count = run()
            if number:
                rates[name].append(count / (time.perf_counter() - begun))
    return rates


def ratio(rates: Sequence[float], reference: Sequence[float]) -> Spread:
    """How many times as fast as the reference, round by round: what slowed a round slowed both."""
    return Spread.of([a / b for a, b in zip(rates, reference, strict=True)])


def against_the_best(rates: dict[str, list[float]], ours: str) -> str:
    """A sentence on which of the others is the fastest, and how many times as fast ours is; "" without others."""
    others = {name: Spread.of(each).median for name, each in rates.items() if not name.startswith("stopgrad")}
    if not others:
        return ""
    best = max(others, key=others.__getitem__)
    share = ratio(rates[ours], rates[best])
    return f"The fastest of the others, {best}, is {_beside(share, ours)}."


def _beside(share: Spread, ours: str) -> str:
    if share.low > 1:
        return f"slower: {ours} is {share.text('.1f')} times as fast"
    if share.high < 1:
        return f"**faster**: {ours} has {share.text('.2f')} of its rate"
    return f"about as fast: {ours} has {share.text('.2f')} of its rate"


def rate_rows(rates: dict[str, list[float]], reference: str) -> list[list[str]]:
    """A table's rows: contender, images/s, and how many times as fast as the reference."""
    return [
        [name, Spread.of(each).text(), "1" if name == reference else ratio(each, rates[reference]).text(".2f")]
        for name, each in rates.items()
    ]


def seconds(work: Callable[[], object], times: int, device: torch.device) -> list[float]:
    """Seconds of each of some calls, the device's work included."""
    measured = []
    for _ in range(times):
        finish(device)
        begun = time.perf_counter()
        work()
        finish(device)
        measured.append(time.perf_counter() - begun)
    return measured


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
