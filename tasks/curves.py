"""Loss terms and diagnostics over a pretraining, one value a row."""

import csv
from collections.abc import Callable
from pathlib import Path


class Curves:
    """Collects what the loop records, passes it on while it happens, and writes it as `step,epoch,name,value`."""

    def __init__(self, observe: Callable[[int, dict[str, float]], None]) -> None:
        self.observe = observe
        self.rows: list[tuple[int, str, str, str]] = []

    def record(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Keep the values of a step."""
        written = {name: f"{value:.6g}" for name, value in values.items()}
        self.rows += [(step, f"{epoch:.6g}", name, value) for name, value in written.items()]
        self.observe(step, {name: float(value) for name, value in written.items()})

    def write(self, file: Path) -> None:
        """Write all rows."""
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(("step", "epoch", "name", "value"))
            writer.writerows(self.rows)
