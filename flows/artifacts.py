"""What Prefect's page shows beside the bars: how far a pretraining is, the answer, tables of verdicts and of cells.

Keys are by suite or by cell, so that Prefect keeps the history of each. Nothing that Prefect does not take stops a run:
the work is done whether or not its page has it.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from flows.run import Run
from flows.server import Server
from tasks.comparison import verdict_lines, verdicts
from tasks.configuration import files
from tasks.configuration import plan as plans

PROGRESS_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
"""How long a server may take to be told of progress."""
BAR = re.compile(
    r"(?P<percent>\d+)%\|.*\| (?P<done>\d+)/(?P<total>\d+) \[[\d:]+<(?P<left>[\d:]+), "
    r" *(?P<rate>[\d.]+)(?P<unit>step/s|s/step)(?:, loss=(?P<loss>[-\d.]+))?"
)
"""A progress bar's line, as pretraining prints it."""
MLFLOW, REPORTS = "STOPGRAD_MLFLOW", "STOPGRAD_REPORTS"
"""Where `make serve` says at which addresses these pages are."""


async def progress(run: Run, stage: str, work: asyncio.Task[Any]) -> None:
    """While a pretraining works, show every few seconds how far it is, in the task run that awaits it."""
    artifact: UUID | None = None
    while not work.done():
        await asyncio.wait({work}, timeout=PROGRESS_SECONDS)
        bar = BAR.search(run.last_lines.get(stage, ""))
        if bar is None or not stage.startswith("pretrain@"):
            continue
        said = described(bar, *_pretraining(stage))
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE_SECONDS):
                percent = float(bar["percent"])
                if artifact is None:
                    artifact = await acreate_progress_artifact(percent, key(stage), said)
                else:
                    await aupdate_progress_artifact(artifact, percent, said)


def described(bar: re.Match[str], epochs: float, batch_size: int) -> str:
    """Epoch, loss, images a second and the end that is to be expected, from a progress bar's line."""
    done, total, rate = int(bar["done"]), int(bar["total"]), float(bar["rate"])
    steps = rate if bar["unit"] == "step/s" else 1 / max(rate, 1e-9)
    seconds = sum(int(part) * 60**i for i, part in enumerate(reversed(bar["left"].split(":"))))
    end = datetime.now() + timedelta(seconds=seconds)
    loss = f"loss {bar['loss']}, " if bar["loss"] else ""
    speed = f"{steps * batch_size:,.0f} images/s"
    return f"epoch {epochs * done / total:.3g} of {epochs:g}, {loss}{speed}, done about {end:%H:%M}"


def _pretraining(stage: str) -> tuple[float, int]:
    """Epochs and batch size of a cell's pretraining."""
    variant = stage.removeprefix("pretrain@").rpartition("-")[0]
    settings = files.read(files.CONFIGS / f"{variant}.yaml")["pretraining"]
    return settings["epochs"], settings["batch_size"]


def key(name: str) -> str:
    """A name as one of Prefect's keys, which have small letters, digits and '-' alone."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


async def publish(run: Run, server: Server) -> None:
    """Show what came of the suite, as `make repro` does at its end, and publish it; in a flow's run.

    Where something is not done, the table of cells says what and why, and nothing else is published. Raises `Refused`
    where the suite cannot be shown, or was edited since.
    """
    suite = run.written.suite
    await _told(server, lambda: acreate_table_artifact(cells(run), key(f"cells-{suite}"), f"The cells of {suite}"))
    if run.undone:
        return
    run.written.check()
    shown: list[str] = []
    try:
        await run.command(["tasks.show"], shown.append)
    finally:
        get_run_logger().info("\n".join([f"what came of {suite}:", *shown]))
    await _told(server, _answer)


async def _told(server: Server, publish: Callable[[], Awaitable[Any]]) -> None:
    """Publish it, in a minute at most, on a server that is there."""
    try:
        if not server.gone.is_set():
            await asyncio.wait_for(publish(), 60)
    except Exception as error:
        get_run_logger().error(f"what came of the suite could not be published: {error}")


async def _answer() -> None:
    """Publish the answer, the verdicts, and where to look further."""
    plan = plans.read()
    suite = plan.suite
    await acreate_markdown_artifact(plan.summary.read_text(), key(f"answer-{suite}"), plan.question)
    if rows := verdict_lines.rows(verdicts.read(plan)):
        await acreate_table_artifact(rows, key(f"verdicts-{suite}"), plan.question)
    if mlflow := os.environ.get(MLFLOW):
        from flows.serve import comparison

        page = await asyncio.to_thread(comparison, mlflow)
        await acreate_link_artifact(page, "The cells in MLflow, best first", key(f"mlflow-{suite}"), plan.question)
    if reports := os.environ.get(REPORTS):
        report = f"{reports}/{suite}/report.html"
        await acreate_link_artifact(report, f"The report of {suite}", key(f"report-{suite}"), plan.question)


def cells(run: Run) -> list[dict[str, str]]:
    """What became of each cell, and of the stages of none that are not done: a table."""
    rows = []
    for name, stages in run.graph.cells.items():
        undone = {stage.name: run.undone[stage.name] for stage in stages if stage.name in run.undone}
        ran = any(stage.name in run.work or stage.name in run.brought for stage in stages)
        state = "not done" if undone else "done" if ran else "was there"
        why = "; ".join(f"{stage}: {said}" for stage, said in undone.items() if said)
        rows.append({"cell": name, "state": state, "missing": ", ".join(undone), "why": why})
    for stage in (*run.graph.before, *run.graph.after):
        if stage.name in run.undone:
            rows.append({"cell": "", "state": "not done", "missing": stage.name, "why": run.undone[stage.name]})
    return rows
