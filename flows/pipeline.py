"""The pipeline as a Prefect flow: `python -m flows.pipeline [--suite … --data … --seeds … --slots … --hours …]`.

The graph is DVC's own, read from dvc.yaml, and DVC runs each stage, so that it keeps the cache and dvc.lock. Prefect
shows what runs when: a bar for each cell, with its stages inside. From the command line and from the page's form the
same flow is run, against a running server.
"""

import argparse
import asyncio
import io
import platform
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from flows import artifacts, form, graph
from flows.cell import show_cell, show_stage, show_unchanged
from flows.pool import Spread
from flows.run import Run, current
from flows.server import Server, refuse_without
from flows.writer import as_writer
from ssl_core.errors import Refused
from tasks import forecast
from tasks import slots as machine
from tasks.configuration import choose
from tasks.stage import stage as command

CANCEL_SECONDS = 5.0
"""How long Prefect may take to be told what becomes of cells and stages when a run is cancelled."""


def _named() -> str:
    """What a run is called: families on cifar10."""
    given = flow_run.parameters
    suite, images = (given.get(name) for name in ("suite", "images"))
    asked = suite if isinstance(suite, str) else form.active_suite()
    return f"{asked} on {images if isinstance(images, str) and images else form.present_images()}"


@flow(name="stopgrad", flow_run_name=_named, persist_result=False)
async def pipeline(
    suite: str = form.suite(),
    images: str = form.images(),
    seeds: int = form.seeds(),
    slots: int = form.at_once(),
    hours: float = form.hours(),
    pool: str = form.pool(),
) -> State:
    """Answer a suite's question for some images: pretrain every variant with every seed, evaluate, compare.

    What was run before, here or in DVC's cache, is not run again. Ends Failed, with a sentence, where something is
    refused, or not done.
    """

    async def work() -> State:
        return await _answered(chosen(suite, images, seeds, slots, hours), pool)

    return await as_writer(work, "Failed")


async def _answered(environments: list[dict[str, str]], pool: str) -> State:
    """Run what is due. Ends Failed, saying in a sentence what is not done."""
    before, run = graph.locked(), Run(environments)
    server = Server(str(PREFECT_API_URL.value()), flow_run.id or "")
    watching = asyncio.create_task(server.watch())
    try:
        with current(run):
            if not await _unless_cancelled(everything(run, server, pool), run, server):
                return Cancelled(message="it was cancelled on Prefect's page: what was done stays")
    finally:
        run.processes.end()
        graph.order_lock(before, [stage.name for stage in run.graph.stages])
        watching.cancel()
    server.leave_in_time()
    if failed := run.failed():
        return Failed(message=failed)
    return Completed(message=f"{run.written.suite}: everything is done")


async def _unless_cancelled(work: Coroutine[Any, Any, None], run: Run, server: Server) -> bool:
    """Do the work, or end it with its stages where the run is cancelled on the page; whether it was done."""
    doing, cancelled = asyncio.create_task(work), asyncio.create_task(server.cancelling.wait())
    try:
        await asyncio.wait({doing, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            await doing
            return True
        await asyncio.to_thread(run.processes.end)
        doing.cancel()
        await asyncio.wait({doing}, timeout=CANCEL_SECONDS)
        return False
    finally:
        cancelled.cancel()
        doing.cancel()


def chosen(suite: str, images: str, seeds: int, slots: int, hours: float) -> list[dict[str, str]]:
    """Write down what was chosen, tell what it costs, and give the environments of the cells that run at once.

    Raises `Refused` where it cannot be had here.
    """
    say = get_run_logger().info
    for one in images.split(","):
        if "/" in one and not Path(one.strip()).expanduser().exists():
            raise Refused(f"images is '{one.strip()}', and there is none on {platform.node()}, where the pipeline runs")
    if not 0 <= seeds <= 100 or hours < 0:
        raise Refused(f"seeds is {seeds}, hours {hours:g}; 0 to 100 seeds are allowed, and 0 hours or more")
    environments = machine.environments(machine.declared(), slots)
    with saying(say):
        choose.main(suite, images, seeds=seeds)
        forecast.tell(None, f"{hours:g}" if hours else "", lambda: len(environments))
    return environments


@contextmanager
def saying(say: Callable[[str], None]) -> Iterator[None]:
    """Have what is printed said instead, line by line."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            say(line)


async def everything(run: Run, server: Server, pool: str) -> None:
    """What is due before the cells, the cells side by side, what is due after them, and what came of it."""

    say = get_run_logger().info

    async def one(stage: str) -> None:
        async with run.slot() as environment:
            await server.shown(lambda: show_stage(stage, environment))
            await run.finish([stage], environment, say)

    await run.prepare(one)
    due = {cell: [stage.name for stage in stages if stage.due] for cell, stages in run.graph.cells.items()}
    clean = [cell for cell, stages in due.items() if not stages]
    if clean:
        await server.shown(lambda: show_unchanged(clean, len(due)))

    async def of_cell(name: str, stages: list[str]) -> None:
        async with run.slot() as environment:
            await server.shown(lambda: show_cell(name, stages, environment))
            await run.finish(stages, environment, say)

    ran = {name: stages for name, stages in due.items() if stages}
    lacking = any(stage.name in run.undone for stage in run.graph.before)
    if pool and ran and not lacking:
        await Spread(pool, run, say).cells(ran, server)
    else:
        await asyncio.gather(*(of_cell(name, stages) for name, stages in ran.items()))
    after = [stage.name for stage in run.graph.after if stage.due]
    await run.one_by_one(after, one)
    await artifacts.publish(run, server)


def main() -> None:
    """Run the flow once, as chosen; what is wrong is one sentence, and exit code 1."""
    arguments = argparse.ArgumentParser(prog="python -m flows.pipeline", description="Run dvc.yaml as a Prefect flow.")
    arguments.add_argument("--suite", default=form.active_suite(), help="the name of a file in suites")
    arguments.add_argument("--data", default=form.present_images(), help="data sets of params.yaml, folders, archives")
    arguments.add_argument("--seeds", type=int, default=0, help="of every variant (0: as the suite says)")
    arguments.add_argument("--slots", type=int, default=form.usual_slots(), help="cells at once, on each GPU if any")
    arguments.add_argument("--hours", type=float, default=0.0, help="refuse what would take longer")
    arguments.add_argument("--pool", default="", help="the work pool whose workers run the cells (none: here)")
    given = arguments.parse_args()
    refuse_without(str(PREFECT_API_URL.value()))
    run: Any = pipeline
    try:
        state = asyncio.run(
            run(given.suite, given.data, given.seeds, given.slots, given.hours, given.pool, return_state=True)
        )
    except TerminationSignal as ended:
        print("stopgrad: the run was ended: what was done stays", file=sys.stderr)
        raise SystemExit(128 + ended.signal) from None
    if not state.is_completed():
        raise Refused(state.message or state.name)


if __name__ == "__main__":
    with command():
        main()
