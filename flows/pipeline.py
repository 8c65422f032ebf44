"""The pipeline as a Prefect flow: `python -m flows.pipeline [--slots N] [--hours H]`, against a running server.

The graph is DVC's own, read from dvc.yaml; each stage is a task run of the stage's name in which DVC runs it. DVC keeps
the cache and dvc.lock; Prefect shows what runs when, and keeps its log.
"""

import argparse
import os
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

from flows.artifacts import publish
from flows.graph import Stage, locked, order_lock, stages
from flows.processes import Processes
from ssl_core.errors import Refused
from tasks import forecast
from tasks.configuration import choose, files, parameters
from tasks.configuration.compute import Compute
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
def pipeline(planned: list[str], slots: dict[str, int], environments: list[dict[str, str]]) -> list[str]:
    """Run all stages, as many at once as there are slots; gives the names of those that failed or could not run.

    `environments`: one for each GPU (or group of them) that stages are spread over. A stage that fails does not stop
    those that do not stand on it. Where none did, what came of it is shown and published.
    """
    waiting = {stage.name: stage for stage in stages()}
    running: dict[PrefectFuture[Any], tuple[Stage, int]] = {}
    done: dict[str, PrefectFuture[Any]] = {}
    try:
        while True:
            for stage in [stage for stage in waiting.values() if all(above in done for above in stage.upstream)]:
                if Counter(other.slots for other, _ in running.values())[stage.slots] < slots[stage.slots]:
                    place = least_used([place for _, place in running.values()], len(environments))
                    started: Any = run_stage.with_options(name=stage.name.split("@")[0], task_run_name=stage.name)
                    above = [done[name] for name in stage.upstream]
                    future = started.submit(stage.name, environments[place], wait_for=above)
                    running[future] = waiting.pop(stage.name), place
            if not running:
                failed = [name for name in planned if name not in done]
                if not failed:
                    publish_or_say()
                return failed
            ended = next(iter(as_completed(list(running))))
            ended.wait()
            stage, _ = running.pop(ended)
            if ended.state.is_completed():
                done[stage.name] = ended
    finally:
        # Here, not around the flow: Prefect waits for the threads of its tasks, and they for their processes.
        PROCESSES.end()


def publish_or_say() -> None:
    """Show and publish what came of the suite; where that fails, say so in the log: all stages are done even so."""
    try:
        publish()
    except Exception as error:
        get_run_logger().error(f"all stages are done, but what came of them could not be shown or published: {error}")


def main() -> None:
    """Run the pipeline, which shows what came of it."""
    arguments = argparse.ArgumentParser(prog="python -m flows.pipeline", description="Run dvc.yaml as a Prefect flow.")
    arguments.add_argument(
        "--slots", type=int, help="stages at once, on each GPU if there are any (default: 1; on CPUs, cores / threads)"
    )
    arguments.add_argument("--hours", default="", help="refuse what would take longer")
    chosen = arguments.parse_args()
    choose.main(suite="", data="")
    settings = parameters.load(files.read(files.PARAMS))
    slots, environments = machine(settings.compute, chosen.slots)
    refuse_without_server(str(PREFECT_API_URL.value()))
    forecast.tell(None, chosen.hours, slots["device"])
    planned, before = stages(), locked()
    runner: Any = ThreadPoolTaskRunner(max_workers=sum(slots.values()))
    try:
        failed = pipeline.with_options(task_runner=runner)([stage.name for stage in planned], slots, environments)
    finally:
        order_lock(before, planned)
    if failed:
        raise Refused(f"not done: {', '.join(failed)}; the task runs' logs say why")


def refuse_without_server(address: str) -> None:
    """Raise `Refused` where no Prefect server answers."""
    try:
        httpx.get(f"{address}/health", timeout=5).raise_for_status()
    except httpx.HTTPError:
        raise Refused(
            f"no Prefect server answers at {address}: start one with `make ui`, then run this again"
        ) from None


def machine(compute: Compute, chosen: int | None) -> tuple[dict[str, int], list[dict[str, str]]]:
    """How many stages run at once, by what they occupy (cpu, device), and the environments that they are spread over.

    On GPUs each environment names the `compute.devices` GPUs that a stage sees; `chosen` stages share them.
    """
    cores = os.cpu_count() or 1
    slots = max(1, cores // (compute.threads * compute.devices)) if chosen is None else chosen
    if slots < 1:
        raise Refused(f"--slots is {slots}; at least 1 is needed")
    groups = gpu_groups(compute)
    if groups:
        environments = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]
        return {"cpu": slots, "device": len(groups) * (chosen or 1)}, environments
    # Threads that wait by spinning would take the cores from those that work.
    crowded = slots * compute.threads * compute.devices > cores
    return {"cpu": slots, "device": slots}, [{"OMP_WAIT_POLICY": "passive"} if crowded else {}]


def gpu_groups(compute: Compute) -> list[list[str]]:
    """The GPUs that this process sees, `compute.devices` to a group; none where stages compute on CPUs."""
    count = 0 if compute.device == "cpu" else torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")[:count]
    return [named[i : i + compute.devices] for i in range(0, count - compute.devices + 1, compute.devices)]


def least_used(places: list[int], count: int) -> int:
    """The place of 0 … count - 1 that comes least often; of equals, the first."""
    return min(range(count), key=places.count)


if __name__ == "__main__":
    with command():
        main()
