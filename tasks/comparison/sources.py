"""What a suite's comparison is made from: which figures those are, and whether they still are what it was made from."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ssl_core.errors import Refused
from tasks.cells import FIGURES, Cell
from tasks.configuration import plan as plans
from tasks.configuration.plan import Plan
from tasks.stage import atomic_file


class Work(NamedTuple):
    """One stage of one cell; `images` is empty where it works on no one data set."""

    cell: Cell
    stage: str
    images: str


def works(plan: Plan) -> Iterator[Work]:
    """Everything that the suite's cells do, cell by cell."""
    for cell in plan.cells:
        yield Work(cell, "pretrain", "")
        for images in plan.images:
            stages = ("embed", "probe", "fine_tune") if cell.variant in plan.fine_tune else ("embed", "probe")
            yield from (Work(cell, stage, images) for stage in stages)


def remove_others(plan: Plan) -> None:
    """Remove from the figures' folder what none of the suite's work made, as another suite's."""
    wanted = {work.cell.figures(work.stage, work.images) for work in works(plan)}
    on_the_way = {parent for folder in wanted for parent in folder.parents}
    for path in _found(FIGURES, on_the_way) if FIGURES.is_dir() else ():
        if path in wanted or path in on_the_way:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def digests(plan: Plan) -> dict[str, str]:
    """The SHA-256 of every file of the suite's figures, and of its plan, by path."""
    folders = [work.cell.figures(work.stage, work.images) for work in works(plan)]
    files = [plans.file(plan.suite), *(file for folder in folders for file in folder.rglob("*") if file.is_file())]
    return {file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def write(plan: Plan) -> None:
    """Keep the digests beside the comparison."""
    with atomic_file(_file(plan)) as partial:
        partial.write_text(json.dumps(digests(plan), indent=2) + "\n")


def check(plan: Plan) -> None:
    """Raise `Refused` where the figures, or the plan, are not those that the comparison was made from."""
    kept = json.loads(_file(plan).read_text()) if _file(plan).exists() else {}
    present = digests(plan)
    differing = [path for path in sorted(kept | present) if kept.get(path) != present.get(path)]
    if differing:
        raise Refused(
            f"{plan.results / 'comparison.csv'} was made from another {differing[0]} than is there now: run `dvc repro`"
        )


def _file(plan: Plan) -> Path:
    return plan.results / "sources.json"


def _found(folder: Path, entered: set[Path]) -> Iterator[Path]:
    """What is in a folder, and in those of its folders that are to be entered."""
    for path in sorted(folder.iterdir()):
        yield path
        if path in entered and path.is_dir():
            yield from _found(path, entered)
