"""The pipeline as a Prefect flow: `python -m flows.pipeline [--slots N]`, against a running server.

The graph is DVC's own, read from dvc.yaml; each stage is a task run of the stage's name in which DVC runs it. DVC keeps
the cache and dvc.lock; Prefect shows what runs when, and keeps its log.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import httpx
import torch
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.graph import Stage, locked, order_lock, stages
from flows.processes import Processes
from ssl_core.errors import Refused
from tasks import parameters
from tasks.stage import stage as command

PROCESSES = Processes()


@task(cache_policy=NO_CACHE, persist_result=False)
def run_stage(name: str, environment: dict[str, str]) -> Any:
    """Have DVC run one stage, with its output in this task run's log. Raises where it fails."""
    outcome = PROCESSES.run(name, environment, get_run_logger().info)
    if outcome.code != 0:
        raise RuntimeError(f"{name} failed: {outcome.last_line}")
    return Completed(name="Unchanged" if outcome.unchanged else "Completed")


@flow(name="stopgrad", persist_result=False, validate_parameters=False)
def pipeline(planned: list[str], slots: dict[str, int], environment: dict[str, str]) -> list[str]:
    """Run all stages, as many at once as there are slots; gives the names of those that failed or could not run.

    A stage that fails does not stop those that do not stand on it.
    """
    waiting = {stage.name: stage for stage in stages()}
    running: dict[PrefectFuture[Any], Stage] = {}
    done: dict[str, PrefectFuture[Any]] = {}
    try:
        while True:
            for stage in [stage for stage in waiting.values() if all(above in done for above in stage.upstream)]:
                if Counter(other.slots for other in running.values())[stage.slots] < slots[stage.slots]:
                    started: Any = run_stage.with_options(name=stage.name.split("@")[0], task_run_name=stage.name)
                    above = [done[name] for name in stage.upstream]
                    running[started.submit(stage.name, environment, wait_for=above)] = waiting.pop(stage.name)
            if not running:
                return [name for name in planned if name not in done]
            ended = next(iter(as_completed(list(running))))
            ended.wait()
            stage = running.pop(ended)
            if ended.state.is_completed():
                done[stage.name] = ended
    finally:
        # Here, not around the flow: Prefect waits for the threads of its tasks, and they for their processes.
        PROCESSES.end()


def main() -> None:
    """Run the pipeline, and print the table."""
    arguments = argparse.ArgumentParser(prog="python -m flows.pipeline", description="Run dvc.yaml as a Prefect flow.")
    arguments.add_argument("--slots", type=int, help="stages at once (default: cores / threads, or one for each GPU)")
    chosen: int | None = arguments.parse_args().slots
    settings = parameters.load()
    refuse_without_server(str(PREFECT_API_URL.value()))
    planned, before = stages(), locked()
    slots, environment = machine(settings.compute.threads, chosen)
    runner: Any = ThreadPoolTaskRunner(max_workers=sum(slots.values()))
    failed = pipeline.with_options(task_runner=runner)([stage.name for stage in planned], slots, environment)
    order_lock(before, planned)
    if failed:
        raise Refused(f"not done: {', '.join(failed)}; the task runs' logs say why")
    subprocess.run([sys.executable, "-m", "tasks.table"], check=True)


def refuse_without_server(address: str) -> None:
    """Raise `Refused` where no Prefect server answers."""
    try:
        httpx.get(f"{address}/health", timeout=5).raise_for_status()
    except httpx.HTTPError:
        raise Refused(
            f"no Prefect server answers at {address}: start one with `make ui`, then run this again"
        ) from None


def machine(threads: int, chosen: int | None) -> tuple[dict[str, int], dict[str, str]]:
    """How many stages run at once, by what they occupy (cpu, device), and the environment of their processes."""
    cores, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    slots = chosen or max(1, cores // threads)
    if slots < 1:
        raise Refused(f"--slots is {slots}; at least 1 is needed")
    # Threads that wait by spinning would take the cores from those that work.
    environment = {"OMP_WAIT_POLICY": "passive"} if slots * threads > cores else {}
    return {"cpu": slots, "device": chosen or gpus or slots}, environment


if __name__ == "__main__":
    with command():
        main()
