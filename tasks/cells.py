"""The cells of a suite, each a variant with a seed, and where their stages put what they make."""

from dataclasses import dataclass
from pathlib import Path

from ssl_core.errors import Refused

PREPARED = Path("data/prepared")
"""A folder a data set."""
MADE, FIGURES = Path("cells"), Path("figures")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """As in stage names and folders: `simclr-0`."""
        return f"{self.variant}-{self.seed}"

    def folder(self, stage: str, images: str = "") -> Path:
        """What later stages read: weights, representations; of a data set where the stage works on one."""
        return MADE / self.name / stage / images

    def figures(self, stage: str, images: str = "") -> Path:
        """What is compared and shown, small: curves, figures, the stage's identity.

        It lies apart, so that `compare` depends on nothing else.
        """
        return FIGURES / self.name / stage / images


def named(variant: str, seed: str) -> Cell:
    """The cell that a command names. Raises `Refused` where the seed is no number."""
    if not seed.isdecimal():
        raise Refused(f"the seed is '{seed}'; a whole number, 0 or more, is needed")
    return Cell(variant=variant, seed=int(seed))
