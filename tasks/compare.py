"""Compare the suite's cells: `python -m tasks.compare`."""

import csv

from ssl_core.errors import Refused
from tasks import cells, comparison, parameters, report, table, tracking
from tasks.cells import Cell
from tasks.comparison import COLUMNS
from tasks.parameters import Parameters
from tasks.stage import atomic_file, stage


def main() -> None:
    """Write `results/comparison.csv`; then, joined with what was observed, print the table and write the report."""
    settings = parameters.load()
    of_suite = cells.of_suite(cells.read())
    gathered = [row for cell in of_suite for row in figures(settings, cell)]
    with atomic_file(comparison.FILE) as file, file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(gathered)
    print(table.text(comparison.read()))
    report.write(table.REPORT)
    tracking.complete_suite(settings)


def figures(settings: Parameters, cell: Cell) -> list[dict[str, str]]:
    """A cell's figures, as rows of the comparison. Raises `Refused` where the cell was not evaluated."""
    file = cell.folder("evaluate") / "figures.csv"
    if not file.exists():
        raise Refused(f"{file} is missing: run the stage evaluate@{cell.name}, or `dvc repro`, first")
    variant = settings.variant(cell.variant)
    names = {
        "variant": cell.variant,
        "family": variant.family,
        "objective": variant.objective.name,
        "baseline": baseline(settings, cell.variant),
        "seed": str(cell.seed),
    }
    with file.open() as opened:
        return [{**names, **row} for row in csv.DictReader(opened)]


def baseline(settings: Parameters, name: str) -> str:
    """The suite's variant that has the initial weights of the same backbone; nothing where there is no other."""
    wanted = settings.variant(name).backbone
    others = (other for other in settings.suite.variants if other != name)
    untrained = (o for o in others if settings.variant(o).objective.name == "random")
    return next((other for other in untrained if settings.variant(other).backbone == wanted), "")


if __name__ == "__main__":
    with stage():
        main()
