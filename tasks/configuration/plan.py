"""The active suite as `configure` resolved it: what is compared, and what must be known to show it. Without PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_core.errors import Refused
from tasks.cells import Cell
from tasks.configuration import files


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A variant of the suite.

    It is paired with the suite's variants of the same backbone that train nothing: `baseline`, its initial weights;
    `off_the_shelf`, given ones as they come; each empty where there is none. `weights`: those that it starts from;
    `input_size`: the side in pixels of what its backbone sees.
    `representations`: what is embedded and probed, the first being what the table shows. `trained`: whether there is
    anything to pretrain; `needs_labels` and `needs_colours`: what its objective asks of the images. `changes`: what the
    variant says beside its method.
    """

    method: str
    objective: str
    family: str
    baseline: str
    off_the_shelf: str
    weights: str
    input_size: int
    representations: list[str]
    trained: bool
    needs_labels: bool
    needs_colours: bool
    changes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite: pretrained on the first of `images`, evaluated on every one; `fine_tune` names variants.

    `evaluation` is that section of params.yaml, for what a reader must know of budgets.
    """

    suite: str
    question: str
    source: str
    seeds: list[int]
    images: list[str]
    fine_tune: list[str]
    evaluation: dict[str, Any]
    variants: dict[str, Planned]

    @property
    def cells(self) -> list[Cell]:
        """Variant by variant."""
        return [Cell(variant=variant, seed=seed) for variant in self.variants for seed in self.seeds]

    @property
    def results(self) -> Path:
        """Where the suite's comparison lies."""
        return Path("results") / self.suite

    @property
    def summary(self) -> Path:
        """What came of the suite on one page of Markdown, which `show` writes for MLflow and Prefect."""
        return self.results / "summary.md"

    def exported(self, cell: Cell) -> tuple[str, Path] | None:
        """The representation that an export of a cell makes, the first evaluated one, and the weights' file.

        None where the projector's alone is evaluated, which is no backbone to take along.
        """
        named = [one for one in self.variants[cell.variant].representations if one != "projector"]
        return (named[0], cell.folder("pretrain") / f"{named[0]}.safetensors") if named else None


def file(suite: str) -> Path:
    """Where `configure` writes a suite's plan."""
    return files.CONFIGS / "compare" / f"{suite}.yaml"


def read(configs: Path = files.CONFIGS) -> Plan:
    """The active suite's plan, from a folder that `configure` wrote. Raises `Refused` where it has not written it."""
    suite = files.active_suite().stem
    written_to = configs / file(suite).relative_to(files.CONFIGS)
    if not written_to.exists():
        raise Refused(f"{file(suite)} is missing: run `make repro` (or `dvc repro`), which configures the suite first")
    written = files.read(written_to)
    try:
        variants = {name: Planned(**one) for name, one in written.pop("variants").items()}
        return Plan(**written, variants=variants)
    except (KeyError, TypeError, AttributeError):
        raise Refused(f"{file(suite)} was written by another version: run `make repro` (or `dvc repro`)") from None
