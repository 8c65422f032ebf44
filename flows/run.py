"""One run of the pipeline: which stages ran and how they ended, as many cells at once as there are slots.

It does not need Prefect. Prefect's runs are shown beside it (`cell.py`): each waits for the work that is kept here
by the stage's name, so that a server which goes away takes nothing with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from flows import graph
from flows.edits import Written
from flows.graph import Graph
from flows.processes import Outcome, Processes
from ssl_core.errors import Refused

Say = Callable[[str], None]
ADVICE = ("To track the changes", "git add ", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")
"""What DVC says after every stage."""
SHOWN = 8
"""So many stages are named in a sentence."""
CURRENT: ContextVar["Run"] = ContextVar("run")
"""The run that a cell is part of; none where the cell was started alone."""


@contextmanager
def current(run: "Run") -> Iterator[None]:
    """Have cells and stages that begin in the block be part of the run."""
    token = CURRENT.set(run)
    try:
        yield
    finally:
        CURRENT.reset(token)


class Run:
    """Stages by name: those under way or ended (`work`), and those that are not done, each with why (`undone`).

    `brought`: those that were done elsewhere, and are here now.
    """

    def __init__(self, environments: list[dict[str, str]], found: Graph | None = None) -> None:
        """`environments`: of each cell that runs at once; `found`: the graph, where it was read just now."""
        self.graph: Graph = found or graph.read()
        self.written = Written()
        self.processes = Processes()
        self.slots: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        for environment in environments:
            self.slots.put_nowait(environment)
        self.threads = ThreadPoolExecutor(len(environments), thread_name_prefix="stage")
        self.work: dict[str, asyncio.Task[Outcome]] = {}
        self.undone: dict[str, str] = {}
        self.brought: set[str] = set()
        self.killed: set[str] = set()
        self.last_lines: dict[str, str] = {}

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[dict[str, str]]:
        """The environment of a slot, which is nobody else's meanwhile."""
        environment = await self.slots.get()
        try:
            yield environment
        finally:
            self.slots.put_nowait(environment)

    def started(self, stage: str, environment: dict[str, str], say: Say) -> asyncio.Task[Outcome]:
        """The stage's work, which begins where it is neither under way nor done. It goes on if nobody waits for it."""
        if stage not in self.work or (self.work[stage].done() and stage in self.undone):
            self.work[stage] = asyncio.create_task(self._run(stage, environment, say))
        return self.work[stage]

    async def _run(self, stage: str, environment: dict[str, str], say: Say) -> Outcome:
        self.killed.discard(stage)

        def hear(line: str) -> None:
            if not line or line.lstrip().startswith(ADVICE):
                return
            self.last_lines[stage] = line
            say(line)

        try:
            self.written.check()
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self.threads, self.processes.run, stage, environment, hear)
        except (Refused, OSError) as error:
            outcome = Outcome(code=1, unchanged=False, last_line=str(error))
        if outcome.killed:
            self.killed.add(stage)
        if outcome.code == 0:
            self.undone.pop(stage, None)
        else:
            self.undone[stage] = outcome.last_line.removeprefix("stopgrad: ")
        return outcome

    async def one_by_one(self, stages: list[str], watched: Callable[[str], Awaitable[object]]) -> None:
        """Run stages in order; what stands on one that is not done is not done either."""
        for stage in stages:
            above = next(one.upstream for one in self.graph.stages if one.name == stage)
            lacking = [name for name in above if name in self.undone]
            if lacking:
                self.undone[stage] = ""
            else:
                await watched(stage)

    async def finish(self, stages: list[str], environment: dict[str, str], say: Say) -> None:
        """Run what of these stages is neither done nor failed: what Prefect would have run, had its server answered."""

        async def plainly(stage: str) -> None:
            if stage not in self.undone:
                await self.started(stage, environment, say)

        await self.one_by_one(stages, plainly)

    async def by_remote(self, word: str, stages: list[str], say: Say) -> None:
        """Fetch, take or give stages by DVC's remote (`tasks.elsewhere`). Raises `Refused` where it does not."""
        await self.command(["tasks.elsewhere", word, *stages], lambda line: say(line) if line else None)

    async def command(self, words: list[str], say: Say) -> None:
        """Run `python -m` with these words, as stages are run. Raises `Refused` where it fails."""
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self.threads, self.processes.command, words, {}, say)
        if outcome.code:
            raise Refused(outcome.last_line.removeprefix("stopgrad: "))

    async def prepare(self, watched: Callable[[str], Awaitable[object]]) -> None:
        """Run what is due before the cells. DVC is asked anew after each round: what comes out as it was is clean.

        What stands on one that is not done is not begun, and not done either.
        """
        tried: set[str] = set()
        while True:
            due = {stage.name for stage in self.graph.before if stage.due}
            ready = [
                stage.name
                for stage in self.graph.before
                if stage.name in due - tried and not due.intersection(stage.upstream)
            ]
            if not ready:
                break
            await asyncio.gather(*map(watched, ready))
            tried.update(ready)
            self.graph = graph.read(tried - set(self.undone))
        for name in due - tried:
            self.undone[name] = ""

    def failed(self) -> str:
        """What is not done, and why, in a sentence; empty where everything is."""
        own = [f"{stage} ({why})" for stage, why in self.undone.items() if why]
        others = [stage for stage, why in self.undone.items() if not why]
        if not own:
            return ""
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        stands = f"; nor what stands on that: {', '.join(others[:SHOWN])}{more}" if others else ""
        return f"not done: {', '.join(own)}{stands}"
