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

from ssl_core.data import prepared
from tasks import cells
from tasks.cells import Cell

PROJECT = Path(__file__).parent.parent
CELL = Cell(variant="simclr", seed=0)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        written = _project(folder)
        seconds = _run(folder, "prepare")
        count = sum(part["count"] for part in prepared.load(folder / cells.PREPARED).card.splits.values())
        print(f"prepare   {seconds:5.1f} s in all for {count:,} images (data already in data/raw)")
        observed = folder / "observations" / cells.identity(written, CELL)
        for stage in ("pretrain", "embed", "evaluate"):
            _run(folder, stage, CELL.variant, str(CELL.seed))
            seen = json.loads((observed / f"{stage}.json").read_text())
            print(
                f"{stage:9} {seen['seconds']:5.1f} s, overhead {seen['overhead_seconds']:.1f} s, "
                f"peak {seen['peak_memory_bytes'] / 2**30:.2f} GiB{_rate(seen)}"
            )


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


def _rate(seen: dict[str, Any]) -> str:
    if "images_per_second" not in seen:
        return ""
    rate = seen["images_per_second"]
    return f", {rate:,.0f} images/s ({10_000 / rate:.1f} s for 10,000)"
