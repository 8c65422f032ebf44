"""The tables of the views and of the evaluation, beside other libraries, from the rows that their modules measure."""

from collections.abc import Sequence

import torch

from benchmarks import evaluation, heads, views
from benchmarks.evaluation import Row
from benchmarks.page import Section

OURS, PICTURES = "stopgrad", "torchvision PIL"
SIDES = (32, 96)


def views_section(quick: bool) -> Section:
    """Two views of an image on one core; `quick` for a look at whether it works."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batch, repeats = (64, 2) if quick else (512, 9)
    rows = [row for side in SIDES for row in views.measure(side, min(batch, 512 * 32 // side), repeats)]
    torch.set_num_threads(threads)
    return views_table(rows, f"SimCLR's two views of an image, images/s of one core, {repeats} rounds in turns.")


def views_table(rows: Sequence[views.Row], measured: str) -> Section:
    """Of rows side, contender, median images/s, spread."""
    per_image = {row.size: row.rate for row in rows if row.name == PICTURES and row.rate}
    best = {
        side: max(row.rate for row in rows if row.size == side and row.name.startswith(OURS) and row.rate)
        for side in SIDES
    }
    gains = " and ".join(f"{best[side] / per_image[side]:.0f} at {side} px" for side in SIDES)
    return Section(
        title="Views",
        measured=measured,
        columns=["px", "", "images/s: median ± half the quartiles' distance", f"times {PICTURES}"],
        rows=[_views_row(*row, per_image[row.size]) for row in rows],
        meaning=f"Batched and compiled, views are {gains} times as fast as image by image.",
    )


def _views_row(side: int, name: str, rate: float | None, spread: float | None, per_image: float) -> list[str]:
    if rate is None:
        return [str(side), name, "not installed", ""]
    around = "" if spread is None else f" ± {spread:,.0f}"
    return [str(side), name, f"{rate:,.0f}{around}", f"{rate / per_image:.1f}"]


def nearest_section(quick: bool) -> Section:
    """k-NN beside others'; `quick` for a look at whether it works."""
    train, size, rounds = (2_000, 64, 1) if quick else (50_000, 512, 3)
    rows = evaluation.nearest_rows({"train": train, "val": train // 10, "test": 0}, size, rounds)
    ours, others = rows[0], rows[1:]
    best = min(others, key=lambda row: row.seconds)
    return Section(
        title="k-NN",
        measured=(
            f"{train // 10:,} of such representations by the {heads.NEIGHBOURS} nearest of {train:,}, cosine; {rounds} "
            "rounds in turns. scikit-learn's votes are not weighted."
        ),
        columns=["", "seconds: median (spread)", "accuracy on val"],
        rows=[[row.name, f"{row.seconds:.2f} ({row.spread:.2f})", f"{row.val_accuracy:.2%}"] for row in rows],
        meaning=f"The quickest of the others, {best.name}, takes {best.seconds / ours.seconds:.2f} of Stopgrad's time.",
    )


def evaluation_section(quick: bool) -> Section:
    """The probe beside scikit-learn's; `quick` for a look at whether it works."""
    train, size, rounds = (2_000, 64, 1) if quick else (50_000, 512, 2)
    iterations = 100
    counts = {"train": train, "val": train // 10, "test": train // 10}
    rows = evaluation.rows(counts, size, rounds, iterations)
    return evaluation_table(
        rows,
        f"{train:,} representations of {size} dimensions, 10 classes, the same six weight decays, chosen on val; "
        f"scikit-learn's LogisticRegression stops at {iterations} iterations; lightly's LinearClassifier has one "
        f"setting, {heads.EPOCHS} epochs of SGD; stable-pretraining's probe is trained with the backbone (below, from "
        f"files to figures). {rounds} rounds in turns.",
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
