"""What is observed of a stage and not determined by it: seconds, memory, machine. Never a DVC output.

Kept by the cell's identity in `observations/<identity>/<stage>.json`, beside the results, and joined in when a table is
shown.
"""

import json
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tasks.stage import atomic_file

if TYPE_CHECKING:
    import torch

FOLDER = Path("observations")


@dataclass
class Observation:
    """What a stage says of itself while it is observed; None where it has nothing to say.

    `seconds_before` are those of killed processes from whose checkpoint this one went on. `parameters` and
    `flops_per_image` are of what is evaluated; `trained_parameters` and `step_flops_per_image` of the whole objective.
    """

    images: int | None = None
    seconds_before: float = 0.0
    parameters: int | None = None
    flops_per_image: int | None = None
    trained_parameters: int | None = None
    step_flops_per_image: int | None = None


@contextmanager
def observing(identity: str, stage: str, device: "torch.device | None" = None) -> Iterator[Observation]:
    """Measure the block; where it ends well, write what was seen.

    `seconds` is the block (and those before it), `overhead_seconds` what the process took to reach it,
    `peak_memory_bytes` the largest resident set of the process, or what CUDA allocated.
    """
    overhead = time.time() - psutil.Process().create_time()
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    observation = Observation()
    yield observation
    seconds = observation.seconds_before + time.perf_counter() - begun
    seen: dict[str, Any] = {
        "started": started,
        "seconds": round(seconds, 3),
        "overhead_seconds": round(overhead, 3),
        "peak_memory_bytes": _peak_memory(device),
        "machine": f"{platform.node()} {platform.machine()}",
        **{name: value for name, value in vars(observation).items() if value},
    }
    if observation.images:
        seen["images_per_second"] = round(observation.images / seconds, 1)
    if device is not None:
        seen |= _computing(device)
    with atomic_file(FOLDER / identity / f"{stage}.json") as file:
        file.write_text(json.dumps(seen, indent=2) + "\n")


def read(identity: str) -> dict[str, dict[str, Any]]:
    """What was observed of a cell, by stage; empty where nothing was, as for a cell that a cache gave back."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((FOLDER / identity).glob("*.json"))}


def _peak_memory(device: "torch.device | None") -> int:
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _computing(device: "torch.device") -> dict[str, Any]:
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads()}
