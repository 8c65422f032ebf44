"""What is observed of a stage and not determined by it: seconds, memory, machine. Never a DVC output.

Kept by the stage's identity, a digest of all that the stage reads, in `observations/<stage>/<identity>.json`. The stage
writes its identity beside its figures, by which they are joined when a table is shown. No stage depends on them, and
git has them beside `dvc.lock`: whoever shares results commits both, as `docs/sharing.md` says. What a worker on another
machine observes comes home by the DVC remote (`tasks.elsewhere`).
"""

import json
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tasks.cells import Cell
from tasks.stage import atomic_file, experiment, root

if TYPE_CHECKING:
    import torch

IDENTITY = "identity"
"""The file of a stage's figures that holds its identity."""
FOLDER = "observations"
"""In the project's folder, also for what an experiment in a temporary copy observes."""


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
def observing(stage: str, identity: str, device: "torch.device | None" = None) -> Iterator[Observation]:
    """Measure the block; where it ends well, write what was seen.

    `seconds` is the block (and those before it), `overhead_seconds` what the process took to reach it,
    `peak_memory_bytes` the largest resident set of the process, or what CUDA allocated.
    """
    overhead = time.time() - psutil.Process().create_time()
    started, begun = datetime.now(UTC).isoformat(timespec="milliseconds"), time.perf_counter()
    observation = Observation()
    yield observation
    seconds = observation.seconds_before + time.perf_counter() - begun
    seen: dict[str, Any] = {
        "started": started,
        "seconds": round(seconds, 3),
        "overhead_seconds": round(overhead, 3),
        "peak_memory_bytes": _peak_memory(device),
        "machine": f"{platform.node()} {platform.machine()}",
        "python": platform.python_version(),
        **commit(),
        **({"dvc_experiment": experiment()} if experiment() else {}),
        **{name: value for name, value in vars(observation).items() if value},
    }
    if observation.images:
        seen["images_per_second"] = round(observation.images / seconds, 1)
    if device is not None:
        seen |= _computing(device)
    with atomic_file(file(stage, identity)) as partial:
        partial.write_text(json.dumps(seen, indent=2) + "\n")


def read(cell: Cell, stage: str, images: str = "") -> dict[str, Any]:
    """What was observed of the stage that made a cell's figures; empty where nothing was (a cache gave them)."""
    identity = cell.figures(stage, images) / IDENTITY
    return of(stage, identity.read_text().strip()) if identity.exists() else {}


def of(stage: str, identity: str) -> dict[str, Any]:
    """What was observed of a stage by its identity; empty where nothing was."""
    kept = file(stage, identity)
    return json.loads(kept.read_text()) if kept.exists() else {}


def file(stage: str, identity: str) -> Path:
    """Where what is observed of a stage is kept, by its identity."""
    return root() / FOLDER / stage / f"{identity}.json"


def _peak_memory(device: "torch.device | None") -> int:
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _computing(device: "torch.device") -> dict[str, Any]:
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads(), "torch": str(torch.__version__)}


def commit() -> dict[str, str]:
    """The commit, and whether tracked files differ from it; nothing where no commit has the project.

    `dvc.lock` and the observations do not count: a run writes them, and is not made by them.
    """
    counted = ["--", ".", ":!dvc.lock", f":!{FOLDER}"]
    try:
        made_by = _git("rev-parse", "HEAD", "HEAD:./dvc.yaml").splitlines()[0]
        dirty = _git("status", "--porcelain", "--untracked-files=no", *counted)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": made_by, "dirty": str(bool(dirty)).lower()}


def _git(*asked: str) -> str:
    return subprocess.run(["git", *asked], capture_output=True, text=True, check=True).stdout
