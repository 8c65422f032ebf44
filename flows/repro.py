"""Run what was not run, and show it: `python -m flows.repro`, which is `make repro`.

A forecast, the graph as many cells at once as the machine has room for, and the table, by one writer
(`tasks.workspace`), with whom they end however it ends. It needs no server, and leaves what `dvc repro` would.
"""

import argparse
import asyncio
from collections.abc import Sequence

from flows import graph
from flows.graph import Graph
from flows.lines import Lines
from flows.run import Run
from ssl_core.errors import Refused
from tasks import children, workspace
from tasks.stage import stage as command


def main(slots: str, chosen: Sequence[str]) -> None:
    """Forecast (which takes what was chosen), run, show; the first that fails gives the exit code."""
    with workspace.writing():
        _or_leave(children.run("tasks.forecast", *chosen, "--slots", slots))
        found = graph.read()
        if any(stage.due for stage in found.stages):
            _repeat(found, slots)
        _or_leave(children.run("tasks.show"))


def _repeat(found: Graph, slots: str) -> None:
    """Run what is due. Raises `Refused`, saying in a sentence what is not done."""
    from tasks import slots as machine  # takes PyTorch, to see GPUs

    before, run = graph.locked(), Run(machine.asked(slots), found)
    try:
        asyncio.run(everything(run, Lines()))
    finally:
        run.processes.end()
        graph.order_lock(before, [stage.name for stage in run.graph.stages])
    if failed := run.failed():
        raise Refused(failed)


async def everything(run: Run, lines: Lines) -> None:
    """What is due before the cells, the cells side by side, and what is due after them."""

    async def one(stage: str, environment: dict[str, str]) -> None:
        with lines.of(stage, run) as say:
            await run.started(stage, environment, say)

    async def alone(stage: str) -> None:
        async with run.slot() as environment:
            await one(stage, environment)

    async def of_cell(stages: list[str]) -> None:
        async with run.slot() as environment:
            await run.one_by_one(stages, lambda stage: one(stage, environment))

    await run.prepare(alone)
    due = [[stage.name for stage in stages if stage.due] for stages in run.graph.cells.values()]
    await asyncio.gather(*map(of_cell, filter(None, due)))
    await run.one_by_one([stage.name for stage in run.graph.after if stage.due], alone)


def _or_leave(code: int) -> None:
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    with command():
        parser = argparse.ArgumentParser(prog="python -m flows.repro", description="What else is given, forecast has.")
        parser.add_argument("--slots", default="", help="cells at once, on each GPU if any")
        given, rest = parser.parse_known_args()
        main(given.slots, rest)
