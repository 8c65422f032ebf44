"""What preparing a tree of small image files costs: `python -m benchmarks.preparing [--images N] [--into FOLDER]`.

The files are made first, JPEG and PNG of 40 x 48 pixels in a hundred class folders. Each run is a process of its own,
with all cores and with one; its peak memory, and its workers', is the
operating system's.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ssl_core import data
from ssl_core.data.folder import FolderConfig
from ssl_core.data.preparing import prepare

CLASSES = 100
PICTURES = 500
"""Different ones: what a file holds does not change what reading it costs."""


def make(root: Path, count: int) -> None:
    """Write `count` files below `root`, where they are not yet."""
    contents = list(map(_encoded, range(PICTURES)))
    for label in range(CLASSES):
        (root / f"c{label:03}").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        kind, content = contents[i % PICTURES]
        (root / f"c{i % CLASSES:03}" / f"{i:07}.{kind}").write_bytes(content)


def _encoded(seed: int) -> tuple[str, bytes]:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(256, size=(6, 5, 3), dtype=np.uint8))
    written, kind = io.BytesIO(), ("jpg", "png")[seed % 2]
    coarse.resize((40, 48), Image.Resampling.BICUBIC).save(written, {"jpg": "JPEG", "png": "PNG"}[kind])
    return kind, written.getvalue()


def measure(root: Path) -> None:
    """Prepare the files in this process; print images, seconds, and the peak memory in GiB."""
    config = FolderConfig(source="folder", path=str(root))
    with tempfile.TemporaryDirectory(dir=root.parent) as out:
        start = time.perf_counter()
        card = prepare("many", data.read(config, Path()), config, Path(out))
        seconds = time.perf_counter() - start
    count = sum(part["count"] for part in card.splits.values())
    cores = len(os.sched_getaffinity(0))
    own, worker = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = (own + cores * worker) / 2**20  # of workers the largest is known
    print(f"{count:,} images, {cores} cores: {seconds:.1f} s, {count / seconds:,.0f} images/s, {peak:.2f} GiB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description="What preparing a tree of small image files costs.")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--into", type=Path, default=None, help="where the files are made, and kept")
    parser.add_argument("--measure", type=Path, default=None, help="prepare the files of a folder, in this process")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = (given.into or Path(scratch)) / "images"
        make(root, given.images)
        cores = sorted(os.sched_getaffinity(0))
        for some in (cores, cores[:1]):
            command = [sys.executable, "-m", "benchmarks.preparing", "--measure", str(root)]
            subprocess.run(["taskset", "-c", ",".join(map(str, some)), *command], check=True)


if __name__ == "__main__":
    main()
