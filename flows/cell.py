"""A cell as a Prefect flow: one bar on the page, its stages inside; in a run of the pipeline, or started alone."""

import asyncio
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows import artifacts, graph
from flows.clones import Handed, receive
from flows.run import CURRENT, Run, current
from flows.silent import REFUSED
from flows.writer import as_writer
from tasks.configuration import files

NOTHING = Handed()
"""What is handed to a cell that is run where it was started."""
RETRY_SECONDS = [10.0, 60.0]
"""What a killed stage waits before it is tried again: a machine that had no memory may have some by then."""


@flow(name="cell", flow_run_name="{name}", persist_result=False)
async def cell(
    name: str = Field(description="A variant with a seed, such as simclr-0"),
    stages: list[str] = Field(default=[], description="Which of its stages; none for those that are due"),
    environment: dict[str, str] = Field(default={}, description="Of its processes, such as a GPU"),
    handed: Handed = Field(default=NOTHING, description="What a run of the pipeline hands to a worker"),
) -> State:
    """Run the stages of a cell, a variant with a seed, one after another. Ends Failed, saying why, where one fails."""
    run = CURRENT.get(None)
    if run is not None:
        return await _run(run, stages, environment)
    return await as_writer(lambda: _alone(name, stages, environment, handed), REFUSED)


async def _alone(name: str, stages: list[str], environment: dict[str, str], handed: Handed) -> State:
    """Run a cell that is part of no run here.

    What it stands on is run first, or, where a run of the pipeline hands that over, had from the remote, which is then
    given what the cell made.
    """
    if handed.before:
        receive(handed)
    locked, run, say = graph.locked(), Run([environment]), get_run_logger().info
    try:
        with current(run):
            if handed.before:
                await run.by_remote("fetch", handed.before, say)
                run.graph = graph.read()
            else:
                await run.prepare(lambda stage: show_stage(stage, environment))
            if name not in run.graph.cells:
                return Failed(message=f"there is no cell {name}{files.allowed(name, list(run.graph.cells))}")
            if failed := run.failed():
                return Failed(message=failed)
            own = [stage.name for stage in run.graph.cells[name]]
            if handed.before:
                await run.by_remote("take", own, say)
                run.graph = graph.read()
            due = stages or [stage.name for stage in run.graph.cells[name] if stage.due]
            state = await _run(run, due, environment)
            if handed.before and state.is_completed():
                await run.by_remote("give", own, say)
            return state
    finally:
        run.processes.end()
        graph.order_lock(locked, [stage.name for stage in run.graph.stages])


async def _run(run: Run, stages: list[str], environment: dict[str, str]) -> State:
    async def watched(stage: str) -> None:
        await show_stage(stage, environment)

    await run.one_by_one(stages, watched)
    undone = {stage: run.undone[stage] for stage in stages if stage in run.undone}
    why = "; ".join(f"{stage}: {said}" for stage, said in undone.items() if said)
    return Failed(message=why or "what it stands on is not done") if undone else Completed()


async def show_cell(name: str, stages: list[str], environment: dict[str, str]) -> None:
    """Run stages of a cell as a flow run of its name. What becomes of them the run that it is part of knows."""
    shown: Any = cell
    await shown(name, stages, environment, return_state=True)


async def show_stage(stage: str, environment: dict[str, str]) -> None:
    """Run a stage as a task run of its name. What becomes of it the run that it is part of knows."""
    shown: Any = run_stage.with_options(name=stage.split("@")[0], task_run_name=stage)
    await shown(stage, environment, return_state=True)


async def show_unchanged(cells: list[str], count: int) -> None:
    """Say in one task run which of `count` cells have nothing to do."""
    shown: Any = unchanged.with_options(task_run_name=f"{len(cells)} of {count} cells have nothing to do")
    await shown(cells, return_state=True)


def _may_pass(task: Any, run: Any, state: Any) -> bool:
    """Whether a stage may do better when tried again: it was killed, and did not refuse what it was given."""
    return run.name in CURRENT.get().killed


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_SECONDS),
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=_may_pass,
)
async def run_stage(stage: str, environment: dict[str, str]) -> State:
    """Have DVC run one stage, with its output in this task run's log."""
    run = CURRENT.get()
    work = run.started(stage, environment, get_run_logger().info)
    await artifacts.progress(run, stage, work)
    outcome = await asyncio.shield(work)
    if outcome.code != 0:
        return Failed(message=run.undone.get(stage) or outcome.last_line)
    return Completed(name="Unchanged" if outcome.unchanged else "Completed")


@task(cache_policy=NO_CACHE, persist_result=False)
async def unchanged(cells: list[str]) -> State:
    """Name them in the log."""
    get_run_logger().info(f"nothing to do: {', '.join(cells)}")
    return Completed(name="Unchanged")
