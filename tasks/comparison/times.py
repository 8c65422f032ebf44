"""Where a suite's time went: what its stages, the starts of their processes, and the time between them took."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tasks.comparison import sources
from tasks.comparison.durations import duration
from tasks.configuration.plan import Plan
from tasks.tracking import observations

STARTS, BETWEEN = "starts of their processes", "between them: DVC, configure, prepare, compare"
PAUSE_SECONDS = 180.0
"""A longer time without any stage is none of the suite's: nothing ran."""


@dataclass(frozen=True)
class Part:
    """What one kind of thing took: how many there were (0: no number of things), and seconds in all."""

    name: str
    count: int
    seconds: float


@dataclass(frozen=True)
class Times:
    """Where the time went, and how long it was by the clock; `missing` stages were not seen."""

    parts: list[Part]
    clock_seconds: float
    missing: int


@dataclass(frozen=True)
class _Run:
    """When a stage's process began and ended, seconds since the epoch, and how much of it the start was."""

    stage: str
    begun: float
    ended: float
    starting: float


def of_suite(plan: Plan) -> Times:
    """Where the active suite's time went, as far as its stages were observed."""
    works = list(sources.works(plan))
    runs = sorted((run for work in works for run in _observed(work)), key=lambda run: run.begun)
    stages = dict.fromkeys(work.stage for work in works)
    parts = [_stage(name, [run for run in runs if run.stage == name]) for name in stages]
    parts.append(Part(STARTS, len(runs), sum(run.starting for run in runs)))
    between, clock = _between(runs)
    parts.append(Part(BETWEEN, 0, between))
    return Times([part for part in parts if part.seconds], clock, len(works) - len(runs))


def rows(times: Times) -> list[tuple[str, ...]]:
    """A table, its heading first. Shares are of what was worked, which side by side is more than the clock shows."""
    worked = sum(part.seconds for part in times.parts)
    made: list[tuple[str, ...]] = [("", "how many", "each", "in all", "share")]
    for part in times.parts:
        of_each = (str(part.count), f"{part.seconds / part.count:.1f} s") if part.count else ("", "")
        made.append((part.name, *of_each, duration(part.seconds), f"{part.seconds / worked:.0%}"))
    made.append((f"in all, {duration(times.clock_seconds)} by the clock", "", "", duration(worked), ""))
    return made


def text(times: Times) -> str:
    """The table for a terminal."""
    if not times.parts:
        return "where the time went: no stage of the suite was observed here"
    table = rows(times)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in table
    ]
    missing = (
        [f"{times.missing} stages were not observed here: not run yet, or given by a cache"] if times.missing else []
    )
    return "\n".join([line.rstrip() for line in lines] + missing)


def _observed(work: sources.Work) -> Iterator[_Run]:
    seen = observations.read(*work)
    if "started" in seen:
        working = datetime.fromisoformat(seen["started"]).timestamp()
        starting = float(seen["overhead_seconds"])
        seconds = float(seen["seconds"]) - float(seen.get("seconds_before", 0))  # those are of processes killed before
        yield _Run(work.stage, working - starting, working + seconds, starting)


def _stage(name: str, runs: list[_Run]) -> Part:
    return Part(name, len(runs), sum(run.ended - run.begun - run.starting for run in runs))


def _between(runs: list[_Run]) -> tuple[float, float]:
    """Seconds in which no stage ran, and seconds by the clock; without pauses."""
    between = clock = 0.0
    until = runs[0].begun if runs else 0.0
    for run in runs:
        gap = max(0.0, run.begun - until)
        if gap <= PAUSE_SECONDS:
            between += gap
            clock += gap
        clock += max(0.0, run.ended - max(until, run.begun))
        until = max(until, run.ended)
    return between, clock
