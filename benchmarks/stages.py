"""What a stage costs: its own overhead, its seconds and its peak memory, of the default cell on the default data.

Run in a folder of its own with the project's parameters, except that pretraining is short: neither overhead nor memory
depends on its length.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.page import Section
from ssl_core.data import prepared
from tasks.cells import PREPARED, Cell
from tasks.configuration import files
from tasks.tracking import observations

PROJECT = Path(__file__).parent.parent
CELL = Cell(variant="simclr", seed=0)


def section() -> Section:
    """The table, a row a stage."""
    done = Section(
        title="What a stage costs",
        measured=(
            "The default cell, one stage a process, pretrained for a tenth of an epoch. Overhead: from the process's "
            "start to the stage's work."
        ),
        columns=["", "seconds in all", "overhead, s", "peak memory, GiB", "images/s"],
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (images, *_) = _project(folder)
        done.rows.append(["configure", f"{_run(folder, 'configure'):.1f}", "", "", ""])
        prepare = _run(folder, "prepare", images)
        count = sum(part["count"] for part in prepared.load(folder / PREPARED / images).card.splits.values())
        done.rows.append(["prepare", f"{prepare:.1f}", "", "", f"{count / prepare:,.0f}"])
        for stage in ("pretrain", "embed", "probe", "fine_tune"):
            seconds = _run(folder, stage, CELL.variant, str(CELL.seed), images)
            with chdir(folder):
                seen = observations.read(CELL, stage, "" if stage == "pretrain" else images)
            done.rows.append([stage, f"{seconds:.1f}", *_observed(seen)])
    return done


def _project(folder: Path) -> list[str]:
    """The project's own files with a short pretraining; gives its data sets."""
    written = files.read(PROJECT / files.PARAMS)
    written["defaults"]["pretraining"]["epochs"] = 0.1
    YAML().dump(written, folder / files.PARAMS)
    shutil.copy(PROJECT / files.METHODS, folder)
    shutil.copytree(PROJECT / files.SUITES, folder / files.SUITES)
    graph = (PROJECT / files.GRAPH).read_text().partition("\n")[2]
    (folder / files.GRAPH).write_text(f'vars: ["suites/default.yaml:suite,variants,seeds,fine_tune"]\n{graph}')
    (folder / "data").mkdir()
    (PROJECT / "data" / "raw").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "raw").symlink_to(PROJECT / "data" / "raw")
    return written["images"]


def _run(folder: Path, stage: str, *arguments: str) -> float:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DVC_ROOT": str(folder)}
    begun = time.perf_counter()
    command = [sys.executable, "-m", f"tasks.{stage}", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


def _observed(seen: dict[str, Any]) -> list[str]:
    rate = f"{seen['images_per_second']:,.0f}" if "images_per_second" in seen else ""
    return [f"{seen['overhead_seconds']:.1f}", f"{seen['peak_memory_bytes'] / 2**30:.2f}", rate]
