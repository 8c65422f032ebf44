"""What a stage costs: its own overhead, its seconds and its peak memory, of the default cell on the default data.

Run in a folder of its own with the project's parameters, except that pretraining is short: neither overhead nor memory
depends on its length.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.page import Section
from ssl_core.data import prepared
from tasks import cells
from tasks.cells import Cell

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
        written = _project(folder)
        prepare = _run(folder, "prepare")
        count = sum(part["count"] for part in prepared.load(folder / cells.PREPARED).card.splits.values())
        done.rows.append(["prepare", f"{prepare:.1f}", "", "", f"{count / prepare:,.0f}"])
        observed = folder / "observations" / cells.identity(written, CELL)
        for stage in ("pretrain", "embed", "evaluate"):
            seconds = _run(folder, stage, CELL.variant, str(CELL.seed))
            done.rows.append(
                [stage, f"{seconds:.1f}", *_observed(json.loads((observed / f"{stage}.json").read_text()))]
            )
    return done


def _project(folder: Path) -> dict[str, Any]:
    written = cells.read(PROJECT / "params.yaml")
    written["defaults"]["pretraining"]["epochs"] = 0.1
    YAML().dump(written, folder / "params.yaml")
    (folder / "data").mkdir()
    (PROJECT / "data" / "raw").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "raw").symlink_to(PROJECT / "data" / "raw")
    return written


def _run(folder: Path, stage: str, *arguments: str) -> float:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DVC_ROOT": str(folder)}
    begun = time.perf_counter()
    command = [sys.executable, "-m", f"tasks.{stage}", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


def _observed(seen: dict[str, Any]) -> list[str]:
    rate = f"{seen['images_per_second']:,.0f}" if "images_per_second" in seen else ""
    return [f"{seen['overhead_seconds']:.1f}", f"{seen['peak_memory_bytes'] / 2**30:.2f}", rate]
