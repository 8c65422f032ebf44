"""The suite's figures as one tidy table: a figure a row, with the variant, the seed and the images that it is of."""

from pathlib import Path

import pandas as pd

from ssl_core.errors import Refused
from tasks.cells import Cell
from tasks.configuration.plan import Plan
from tasks.stage import atomic_file

WRITTEN = ["representation", "protocol", "head", "label_fraction", "split", "metric", "value"]
"""The columns of a cell's figures.csv."""
COLUMNS = ["variant", "objective", "family", "baseline", "seed", "images", *WRITTEN]
NUMBERS = {"seed": "int64", "label_fraction": "float64", "value": "float64"}


def gather(plan: Plan) -> pd.DataFrame:
    """Every figure of the suite, `COLUMNS`, in the plan's order: by variant, seed and data set.

    `label_fraction` is NaN where there is none; every other column is text, but for `seed` and `value`. Raises
    `Refused` where a cell was not evaluated.
    """
    return pd.concat([_of_cell(plan, cell, images) for cell in plan.cells for images in plan.images], ignore_index=True)


def write(figures: pd.DataFrame, file: Path) -> None:
    """Write the figures to six decimals: the same figures are the same bytes."""
    with atomic_file(file) as partial:
        figures.round({"value": 6}).to_csv(partial, index=False, lineterminator="\n")


def read(plan: Plan) -> pd.DataFrame:
    """What the compare stage wrote. Raises `Refused` where there is none, or one of another version."""
    file = plan.results / "comparison.csv"
    if not file.exists():
        raise Refused(f"{file} is not there yet: run `make repro` (or `dvc repro`) first")
    return _read(file, COLUMNS)


def _of_cell(plan: Plan, cell: Cell, images: str) -> pd.DataFrame:
    stages = ["probe", *(["fine_tune"] if cell.variant in plan.fine_tune else [])]
    parts = [_read(_figures(cell, stage, images), WRITTEN) for stage in stages]
    figures, variant = pd.concat(parts, ignore_index=True), plan.variants[cell.variant]
    return figures.assign(
        variant=cell.variant,
        objective=variant.objective,
        family=variant.family,
        baseline=variant.baseline,
        seed=cell.seed,
        images=images,
    )[COLUMNS]


def _figures(cell: Cell, stage: str, images: str) -> Path:
    file = cell.figures(stage, images) / "figures.csv"
    if not file.exists():
        raise Refused(f"{file} is missing: run the stage {stage}@{cell.name}-{images}, or `dvc repro`, first")
    return file


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    """A file of figures. Text stays text: a variant may be called `null`, and an empty head is no missing value."""
    kinds: dict[str, str] = {name: NUMBERS.get(name, "str") for name in columns}
    with file.open() as opened:
        if opened.readline().rstrip("\n").split(",") != columns:
            raise Refused(f"{file} was written by another version: run `make repro` (or `dvc repro`) to write it anew")
    return pd.read_csv(file, dtype=kinds, keep_default_na=False, na_values={"label_fraction": [""], "value": [""]})
