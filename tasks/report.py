"""The whole comparison in one file that opens offline: `results/report.html`."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from ssl_core.data import prepared
from tasks import cells, charts, comparison, neighbourhoods, table
from tasks.cells import PREPARED, Cell
from tasks.comparison import Comparison
from tasks.stage import atomic_file

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
TOOLS = ("torch", "torchvision", "dvc", "mlflow", "prefect")


def write(file: Path) -> None:
    """Write the report of the last comparison."""
    compared, data, written = comparison.read(), prepared.load(PREPARED), cells.read()
    of_variants = {name: Cell(variant=name, seed=compared.seeds[0]) for name in compared.figures}
    points = {name: neighbourhoods.embedding_map(cell) for name, cell in of_variants.items()}
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    content = page.get_template("report.html.jinja").render(
        suite=written["suite"]["name"],
        card=data.card,
        contact_sheet=neighbourhoods.data_uri(data.folder / "contact_sheet.png"),
        rows=table.rows(compared),
        differences=table.differences(compared),
        notes=[note for note in table.notes(compared) if note],
        families=compared.families,
        seeds=compared.seeds,
        first_seed=compared.seeds[0],
        fractions_chart=charts.by_label_fraction(compared) if compared.fractions else "",
        cost_chart=charts.by_cost(compared) if compared.fractions else "",
        curves_chart=charts.loss_curves(of_variants),
        maps_chart=charts.maps(
            {name: found for name, found in points.items() if found is not None},
            neighbourhoods.mapped_labels(data),
            data.card.classes,
        ),
        neighbours={name: found for name, c in of_variants.items() if (found := neighbourhoods.nearest(c, data))},
        pictures={name: found for name, cell in of_variants.items() if (found := _pictures(cell))},
        captions=CAPTIONS,
        choices={name: _choices(cell) for name, cell in of_variants.items()},
        overrides={name: json.dumps(written["variants"][name]) for name in of_variants},
        costs=_costs(compared),
        versions={"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}},
    )
    with atomic_file(file) as partial:
        partial.write_text(content)


def _pictures(cell: Cell) -> dict[str, str]:
    folder = cell.folder("pretrain") / "pictures"
    return {file.stem: neighbourhoods.data_uri(file) for file in sorted(folder.glob("*.png"))}


def _choices(cell: Cell) -> dict[str, Any]:
    file = cell.folder("evaluate") / "choices.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _costs(compared: Comparison) -> list[list[str]]:
    """Two header rows, and a row a variant of what its cells were observed to cost, means over seeds."""
    asked = [
        ("pretraining", "s", "pretrain", "seconds", 1, 0),
        ("", "images/s", "pretrain", "images_per_second", 1, 0),
        ("", "MiB", "pretrain", "peak_memory_bytes", 2**-20, 0),
        ("", "parameters", "pretrain", "trained_parameters", 1, 0),
        ("", "MFLOP", "pretrain", "step_flops_per_image", 1e-6, 1),
        ("embed", "s", "embed", "seconds", 1, 1),
        ("evaluate", "s", "evaluate", "seconds", 1, 1),
        ("evaluated", "parameters", "pretrain", "parameters", 1, 0),
        ("", "MFLOP", "pretrain", "flops_per_image", 1e-6, 1),
    ]
    made = [["", *(group for group, *_ in asked)], ["variant", *(column for _, column, *_ in asked)]]
    for variant in compared.figures:
        found = [(compared.cost(variant, stage, name), scale, digits) for _, _, stage, name, scale, digits in asked]
        texts = [table.UNKNOWN if one is None else f"{scale * one.mean:,.{digits}f}" for one, scale, digits in found]
        made.append([variant, *texts])
    return made
