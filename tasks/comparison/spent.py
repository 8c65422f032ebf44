"""What cells were observed to cost, in seconds of all their stages."""

from collections.abc import Collection
from dataclasses import dataclass

from tasks.comparison.compared import Compared
from tasks.comparison.durations import duration


@dataclass(frozen=True)
class Spent:
    """Seconds of `observed` cells out of `cells`; what a cache gave was not observed."""

    seconds: float
    observed: int
    cells: int

    def text(self) -> str:
        """As in a sentence: `2 h 6 min in 12 cells`."""
        if not self.observed:
            return "not observed on this machine"
        least = "at least " if self.observed < self.cells else ""
        return f"{least}{duration(self.seconds)} in {self.cells} cell{'s' if self.cells > 1 else ''}"


def of_cells(compared: Compared, names: Collection[str]) -> Spent:
    """What the cells of these names were observed to cost, pretraining and evaluation on every data set.

    A cell counts as observed where its pretraining was.
    """
    cells = [cell for cell in compared.plan.cells if cell.name in names]
    total, observed = 0.0, 0
    for cell in cells:
        for (variant, stage), by_seed in compared.costs.items():
            seen = [float(one["seconds"]) for one in by_seed.get(cell.seed, []) if "seconds" in one]
            if variant == cell.variant:
                total += sum(seen)
                observed += stage == "pretrain" and bool(seen)
    return Spent(total, observed, len(cells))
