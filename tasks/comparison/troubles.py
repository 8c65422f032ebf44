"""The cells that collapsed or ended early: `results/<suite>/troubles.json`."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.configuration.plan import Plan
from tasks.stage import atomic_file


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a cell, a sentence; of one representation of a data set, or (both empty) with all of it."""

    cell: str
    representation: str
    images: str
    says: str

    def of(self, cell: str, representation: str, images: Sequence[str]) -> bool:
        """Whether it is wrong with what is measured of a cell's representation on these data sets."""
        everything = not self.representation
        return cell == self.cell and (everything or (representation == self.representation and self.images in images))


def write(plan: Plan, found: Sequence[Trouble]) -> None:
    """Write them, in the order given."""
    with atomic_file(plan.results / "troubles.json") as file:
        made = [dataclasses.asdict(one) for one in found]
        file.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def read(plan: Plan) -> list[Trouble]:
    """What the compare stage wrote."""
    return [Trouble(**one) for one in json.loads((plan.results / "troubles.json").read_text())]
