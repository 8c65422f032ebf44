"""The tables of the views and of the evaluation, beside other libraries, from the rows that their modules measure."""

from collections.abc import Sequence

import torch

from benchmarks import evaluation, views
from benchmarks.evaluation import Row
from benchmarks.page import Section
from benchmarks.workload import images

OURS, PICTURES = "stopgrad", "torchvision PIL"
SIDES = (32, 96)


def views_section(quick: bool) -> Section:
    """Two views of an image; `quick` for a look at whether it works."""
    batch, repeats = (64, 2) if quick else (512, 9)
    rows: list[tuple[int, str, float | None, float | None]] = []
    for side in SIDES:
        pixels = torch.from_numpy(images(batch, side)).permute(0, 3, 1, 2)
        rows += [(side, name, rate, None) for name, rate in views.rates(pixels, repeats).items()]
    return views_table(rows, f"Two views of an image by the same recipe, images/s, {repeats} rounds in turns.")


def views_table(rows: Sequence[tuple[int, str, float | None, float | None]], measured: str) -> Section:
    """Of rows side, contender, median images/s, spread; None is not installed or not known."""
    per_image = {side: rate for side, name, rate, _ in rows if name == PICTURES and rate}
    best = {
        side: max(rate for s, name, rate, _ in rows if s == side and name.startswith(OURS) and rate) for side in SIDES
    }
    gains = " and ".join(f"{best[side] / per_image[side]:.0f} at {side} px" for side in SIDES)
    return Section(
        title="Views",
        measured=measured,
        columns=["px", "", "images/s: median ± spread", f"times {PICTURES}"],
        rows=[_views_row(side, name, rate, spread, per_image[side]) for side, name, rate, spread in rows],
        meaning=f"Batched on the device, views are {gains} times as fast as image by image.",
    )


def _views_row(side: int, name: str, rate: float | None, spread: float | None, per_image: float) -> list[str]:
    if rate is None:
        return [str(side), name, "not installed", ""]
    around = "" if spread is None else f" ± {spread:,.0f}"
    return [str(side), name, f"{rate:,.0f}{around}", f"{rate / per_image:.1f}"]


def evaluation_section(quick: bool) -> Section:
    """The probe beside scikit-learn's; `quick` for a look at whether it works."""
    train, size, rounds = (2_000, 64, 1) if quick else (50_000, 512, 2)
    iterations = 100
    counts = {"train": train, "val": train // 10, "test": train // 10}
    rows = evaluation.rows(counts, size, rounds, iterations)
    return evaluation_table(
        rows,
        f"{train:,} representations of {size} dimensions, 10 classes, the same six weight decays, chosen on val; "
        f"scikit-learn's LogisticRegression stops at {iterations} iterations. {rounds} rounds in turns.",
    )


def evaluation_table(rows: Sequence[Row], measured: str) -> Section:
    """Of contenders' rows, scikit-learn's last."""
    theirs = rows[-1]
    probe = next(row for row in rows if row.name == "stopgrad probe")
    return Section(
        title="Evaluation",
        measured=measured,
        columns=["", "seconds: median (spread)", f"times as fast as {theirs.name}", "accuracy on val"],
        rows=[
            [
                row.name,
                f"{row.seconds:.1f} ({row.spread:.1f})",
                f"{theirs.seconds / row.seconds:.1f}",
                f"{row.val_accuracy:.2%}",
            ]
            for row in rows
        ],
        meaning=(
            f"The same choice is made {theirs.seconds / probe.seconds:.1f} times as fast; 'whole' is all that a cell's "
            "evaluation does with frozen representations."
        ),
    )
