"""The cells of a run, each run by a worker of a Prefect work pool, on whichever machine and in whichever clone it is.

The pool is the queue; DVC's remote takes what the cells need there, and brings home what they made. A worker that dies
is noticed by Prefect, whose automation ends the run that sends no sign of life; the cell is then started once more.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.deployments.flow_runs import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from flows import clones, graph
from flows.clones import Handed
from flows.run import Run
from flows.server import Server
from flows.silent import HEARTBEAT_SECONDS, REFUSED, end_silent
from ssl_core.errors import Refused

POLL_SECONDS = 2.0
ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)
NO_CLONE = "STOPGRAD_HOME of a worker names no clone of this project"
ENTER = (
    'sh -c \'test -f "$STOPGRAD_HOME/dvc.yaml" || '
    f'{{ said="{NO_CLONE}"; '
    'prefect api POST "/flow_runs/$PREFECT__FLOW_RUN_ID/set_state" --data '
    r'"{\"force\": true, \"state\": {\"type\": \"FAILED\", \"message\": \"$said\"}}" >/dev/null; '
    'echo "$said: ${STOPGRAD_HOME:-it is not set}" >&2; exit 1; }\''
)
"""A worker's first step, as prefect.yaml has it: it gives the run a state that says why it cannot begin."""
START = 'STOPGRAD_HOME="$PWD" prefect worker start --type process --limit 1 --pool'
Say = Callable[[str], None]


class Spread:
    """Cells of a run in a pool: submitted, watched until all have ended, and what they made brought home."""

    def __init__(self, pool: str, run: Run, say: Say) -> None:
        self.pool, self.run, self.say = pool, run, say
        self.handed = Handed()
        self.deployment = UUID(int=0)
        self.running: dict[str, UUID] = {}
        self.again: set[str] = set()
        self.refused = ""

    async def cells(self, due: dict[str, list[str]], server: Server) -> None:
        """Have these cells run, and bring home the stages of those that completed.

        Raises `Refused` where there is no such pool, or where the remote does not take what the cells need.
        """
        self.handed = clones.handed(self.run.graph, self.run.written)
        await self.run.by_remote("give", self.handed.before, self.say)
        done: list[str] = []
        async with get_client() as client:
            try:
                self.deployment = await deployed(client, self.pool)
                for cell in due:
                    await self._submit(client, cell)
                while self.running and not server.gone.is_set():
                    await asyncio.sleep(POLL_SECONDS)
                    done += await self._ended(client, due)
            finally:
                await self._withdraw(client, server)
        for cell in self.running:
            self._undone(due[cell], "Prefect's server is gone; what the workers do goes on: run this again")
        await self._bring_home([stage for cell in due if cell in done for stage in due[cell]])

    async def _submit(self, client: PrefectClient, cell: str) -> None:
        """Put a cell into the pool's queue, unless a run of it that was killed has left it there."""
        given = {"name": cell, "handed": self.handed.model_dump()}
        there = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self.deployment])),
            flow_run_filter=_in(StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING),
        )
        known = [run.id for run in there if run.parameters == given and cell not in self.again]
        if known:
            self.say(f"{cell} is under way in {self.pool}")
            self.running[cell] = known[0]
            return
        made = await arun_deployment(self.deployment, client, given, timeout=0, flow_run_name=cell)
        self.running[cell] = made.id

    async def _ended(self, client: PrefectClient, due: dict[str, list[str]]) -> list[str]:
        """The cells that completed since; what became of others is noted, and a crashed one is started again, once."""
        asked = FlowRunFilter(
            id=FlowRunFilterId(any_=list(self.running.values())),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(ENDED))),
        )
        try:
            ended = {run.id: run for run in await client.read_flow_runs(flow_run_filter=asked)}
        except httpx.HTTPError:
            return []
        completed = []
        for cell, run in [(cell, ended[id]) for cell, id in self.running.items() if id in ended]:
            del self.running[cell]
            if run.state and run.state.is_completed():
                completed.append(cell)
                self.say(f"{cell} is done")
            elif run.state and run.state.is_crashed() and cell not in self.again and not self.refused:
                self.again.add(cell)
                self.say(f"the worker that ran {cell} is gone: it is started again")
                await self._submit(client, cell)
            else:
                await self._failed(client, cell, run, due)
        return completed

    async def _failed(self, client: PrefectClient, cell: str, run: FlowRun, due: dict[str, list[str]]) -> None:
        """Note it; where a clone refused, those that wait are withdrawn, as it would take and refuse one by one."""
        state = run.state
        withdrawn = bool(self.refused and state and state.is_cancelled())
        why = "" if withdrawn else _sentence(state)
        self._undone(due[cell], why)
        self.say(f"{cell} is not done: {why or 'it was not started'}")
        if state and (state.name == REFUSED or NO_CLONE in why) and not self.refused:
            self.refused = why
            waiting = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    id=FlowRunFilterId(any_=list(self.running.values())), state=_of(StateType.SCHEDULED)
                )
            )
            for run in waiting:
                await client.set_flow_run_state(
                    run.id, Cancelled(message=f"not started, as a clone refused another cell: {why}"), force=True
                )

    async def _withdraw(self, client: PrefectClient, server: Server) -> None:
        """End what still waits or runs, where this run ends before it does."""
        if server.gone.is_set():
            return
        for id in self.running.values():
            run = await client.read_flow_run(id)
            waits = run.state and run.state.is_scheduled()
            await client.set_flow_run_state(id, Cancelled() if waits else Cancelling(), force=bool(waits))

    async def _bring_home(self, stages: list[str]) -> None:
        if not stages:
            return
        self.run.written.check()
        await self.run.by_remote("take", stages, self.say)
        self.run.graph = graph.read()
        for stage in self.run.graph.stages:
            if stage.name in stages and stage.due:
                self.run.undone[stage.name] = "a worker has done it, and the remote does not give it"
        self.run.brought.update(set(stages) - set(self.run.undone))

    def _undone(self, stages: list[str], why: str) -> None:
        self.run.undone |= {stage: why if stage == stages[0] else "" for stage in stages}


async def deployed(client: PrefectClient, pool: str) -> UUID:
    """The deployment of cells in this pool, made or brought up to date, with the automation that ends silent ones.

    Each worker works in the clone that its own environment names. Raises `Refused` where the pool is not there.
    """
    try:
        await client.read_work_pool(pool)
        workers = await client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        raise Refused(f"there is no work pool {pool}: on each machine, in a clone, start {START} {pool}") from None
    if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
        raise Refused(f"no worker of {pool} is there: on each machine, in a clone, start {START} {pool}")
    steps = "prefect.deployments.steps"
    made = await client.create_deployment(
        flow_id=await client.create_flow_from_name("cell"),
        name=pool,
        description=f"One cell, by a worker of {pool}, as a run of the pipeline hands it over.",
        work_pool_name=pool,
        entrypoint="flows/cell.py:cell",
        pull_steps=[
            {f"{steps}.run_shell_script": {"script": ENTER, "stream_output": False}},
            {f"{steps}.set_working_directory": {"directory": "{{ $STOPGRAD_HOME }}"}},
        ],
        job_variables={"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}},
        enforce_parameter_schema=False,
    )
    await end_silent(client, f"A silent cell of {pool} has crashed", made)
    return made


def _sentence(state: State | None) -> str:
    """Why a cell's run did not complete."""
    return (state.message if state else "") or (state.name if state else "") or "it ended"


def _of(*types: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def _in(*types: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=_of(*types))
