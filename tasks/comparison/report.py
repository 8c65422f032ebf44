"""The whole comparison in one file that opens offline: `results/<suite>/report.html`."""

import csv
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from ssl_core.data import prepared
from ssl_core.data.prepared import Prepared
from tasks import weights
from tasks.cells import PREPARED, Cell
from tasks.comparison import bars, charts, heat, neighbourhoods, origins, spent, table, times, trusted, verdict_lines
from tasks.comparison.compared import Compared
from tasks.comparison.sentences import Sentence, Variant
from tasks.comparison.verdicts import Verdicts
from tasks.configuration.plan import Plan
from tasks.exporting import loading
from tasks.main_figure import MAIN, first
from tasks.stage import atomic_file
from tasks.tracking import champion

CAPTIONS = {
    "views": "Each image above the views that pretraining made of it.",
    "reconstructions": "Clean, corrupted, restored.",
    "puzzles": "The image, and its tiles as the network was given them.",
    "tiles": "The image, and the tiles that the network was given one by one, in their places.",
    "rotations": "The image, and turned as the network was given it.",
    "colours": "The image, its grey, and the colours that the network gave it.",
    "anchors": "The image, and the patches of it that are not dropped.",
    "blocks": "The image, the context that the network was given, and the blocks that it tells of.",
}
"""By the picture's name; one that has none here is captioned by its name."""
COSTS = (
    ("pretraining", "s", "pretrain", "seconds", 1, 0),
    ("", "images/s", "pretrain", "images_per_second", 1, 0),
    ("", "MiB", "pretrain", "peak_memory_bytes", 2**-20, 0),
    ("", "parameters", "pretrain", "trained_parameters", 1, 0),
    ("", "MFLOP", "pretrain", "step_flops_per_image", 1e-6, 1),
    ("embed", "s", "embed", "seconds", 1, 1),
    ("probe", "s", "probe", "seconds", 1, 1),
    ("fine-tune", "s", "fine_tune", "seconds", 1, 1),
    ("evaluated", "parameters", "pretrain", "parameters", 1, 0),
    ("", "MFLOP", "pretrain", "flops_per_image", 1e-6, 1),
)
"""Group, column, stage, name, scale and digits."""


def write(compared: Compared, verdicts: Verdicts, answer: list[Sentence], file: Path, versions: dict[str, str]) -> None:
    """Write the report. What is shown of one cell (maps, neighbours, pictures, choices) is of the first seed.

    `versions` are those of the tools. Raises `Refused` where there are no prepared images.
    """
    plan = compared.plan
    sets = {images: prepared.load(PREPARED / images) for images in plan.images}
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    page.tests["variant"] = lambda part: isinstance(part, Variant)
    content = page.get_template("report.html.jinja").render(
        plan=plan,
        answer=answer,
        verdicts=_verdicts(compared, verdicts),
        level=verdicts.level,
        looks=verdicts.looks,
        ablations=heat.ablations(compared),
        reference=heat.reference(plan),
        sets=[_of_set(compared, images, data) for images, data in sets.items()],
        mains=heat.points_of(compared),
        notes=table.notes(compared),
        cost_chart=charts.by_cost(compared, plan.images[0]) if compared.fractions(plan.images[0]) else "",
        costs=_costs(compared),
        times=times.rows(spent_by) if (spent_by := times.of_suite(plan)).parts else [],
        curves_chart=charts.loss_curves(_curves(plan), list(plan.variants)),
        pictures={name: found for name in plan.variants if (found := _pictures(_first(plan, name)))},
        captions=CAPTIONS,
        variants={name: origins.of_variant(compared, name) for name in plan.variants},
        versions=versions,
        champion=_champion(plan),
    )
    with atomic_file(file) as partial:
        partial.write_text(content)


def _of_set(compared: Compared, images: str, data: Prepared) -> dict[str, Any]:
    """What the page shows of one data set."""
    plan = compared.plan
    folders = {
        name: _first(plan, name).folder("embed", images) / one.representations[0] for name, one in plan.variants.items()
    }
    points = {name: neighbourhoods.embedding_map(folder) for name, folder in folders.items()}
    return {
        "name": images,
        "main": MAIN[compared.main(images)].words,
        "Main": first(compared.main(images)),
        "heading": "" if images == plan.images[0] else table.heading(compared, images),
        "card": data.card,
        "contact_sheet": neighbourhoods.data_uri(data.folder / "contact_sheet.png"),
        "tables": [
            rows
            for rows in (
                table.rows(compared, images),
                table.differences(compared, images),
                table.further(compared, images),
            )
            if rows
        ],
        "same": neighbourhoods.SAME[data.card.target] if data.card.classes else "",
        "coloured": neighbourhoods.COLOURED[data.card.target],
        "factors": heat.factors(compared, images),
        "trusted": trusted.groups(compared, images),
        "fractions_chart": charts.by_label_fraction(compared, images) if compared.fractions(images) else "",
        "maps_chart": charts.maps(
            {name: found for name, found in points.items() if found is not None},
            neighbourhoods.mapped_labels(data),
            data.card.classes,
        ),
        "neighbours": {
            name: found for name, folder in folders.items() if (found := neighbourhoods.nearest(folder, data))
        },
    }


def _verdicts(compared: Compared, verdicts: Verdicts) -> list[dict[str, Any]]:
    """What the page shows of each claim."""
    variant_of = {cell.name: cell.variant for cell in compared.plan.cells}
    return [
        {
            "claim": verdict,
            "effect": verdict_lines.measured(verdict),
            "to_decide": verdict_lines.to_decide(verdict),
            "bar": bars.bar(verdict),
            "contrasts": [
                (
                    {name: f"{weight:+g}" for name, weight in contrast.weights.items()},
                    verdict_lines.interval_text(contrast.effect, contrast.lower, contrast.upper),
                    contrast.images,
                )
                for contrast in verdict.contrasts
            ],
            "spent": spent.of_cells(compared, verdict.cells).text(),
            "cells": {name: variant_of.get(name, "") for name in verdict.cells},
        }
        for verdict in verdicts.claims
    ]


def _champion(plan: Plan) -> dict[str, Any] | None:
    """How the weights of the cell that is best on val are used without this project; None where none are exported."""
    cell = champion.best(plan)
    found = plan.exported(cell) if cell else None
    if found is None or not found[1].exists():
        return None
    _, file = found
    described = weights.metadata(file)
    return {
        "cell": cell,
        "file": file,
        "library": described["library"],
        "code": "\n".join([loading.imports(described), *loading.lines(described, file.name)]),
    }


def _curves(plan: Plan) -> dict[str, list[tuple[float, float]]]:
    """Epochs and losses of the variants that have a curve."""
    found = {}
    for name in plan.variants:
        curve = plan.results / "curves" / f"{name}.csv"
        if curve.exists():
            with curve.open() as opened:
                found[name] = [(float(row["epoch"]), float(row["loss"])) for row in csv.DictReader(opened)]
    return found


def _pictures(cell: Cell) -> dict[str, str]:
    folder = cell.folder("pretrain") / "pictures"
    return {picture.stem: neighbourhoods.data_uri(picture) for picture in sorted(folder.glob("*.png"))}


def _costs(compared: Compared) -> table.Rows:
    """What the cells of each variant were observed to cost, means over seeds."""
    asked = [cost for cost in COSTS if cost[2] != "fine_tune" or compared.plan.fine_tune]
    made = [["", *(group for group, *_ in asked)], ["variant", *(column for _, column, *_ in asked)]]
    for variant in compared.plan.variants:
        found = [(compared.cost(variant, stage, name), scale, digits) for _, _, stage, name, scale, digits in asked]
        texts = [table.UNKNOWN if one is None else f"{scale * one.mean:,.{digits}f}" for one, scale, digits in found]
        made.append([variant, *texts])
    return made


def _first(plan: Plan, variant: str) -> Cell:
    return Cell(variant=variant, seed=plan.seeds[0])
