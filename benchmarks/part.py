"""A part of what a GPU machine measures: named pieces, each kept when it is finished, and the table that they make."""

import dataclasses
import faulthandler
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import page
from benchmarks.page import Section

Figures = dict[str, Any]
"""What a piece measured, as JSON has it."""
PACKAGES = ["torch", "torchvision", "numpy", "timm", "kornia", "lightly", "stable-pretraining"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and on what all is measured. `folder` is where a piece leaves what it goes on from; `tiny`: in seconds."""

    device: torch.device
    tiny: bool
    data: Path | None
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Part:
    """Its pieces by name, in order, and the table of those that are finished.

    `limit`: seconds after which a piece counts as hung; None where it takes long and goes on from what it has left.
    """

    pieces: dict[str, Callable[[], Figures]]
    section: Callable[[dict[str, Figures]], Section]
    limit: float | None = 240.0


@dataclass(kw_only=True)
class Kept:
    """What there is of a part: figures of finished pieces, why others failed, which this call began, in all seconds."""

    figures: dict[str, Figures] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    seconds: float = 0.0
    machines: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, file: Path) -> "Kept":
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def save(self, file: Path) -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        partial.replace(file)

    def waiting(self, part: Part) -> list[str]:
        """Pieces that this call shall still begin; those that failed before come last."""
        left = [name for name in part.pieces if name not in self.tried and not self.finished(name)]
        return sorted(left, key=lambda name: name in self.failed)

    def finished(self, name: str) -> bool:
        """A check that found something wrong is not: it is made again."""
        return name in self.figures and self.figures[name].get("kept") is not False


def work(part: Part, file: Path) -> bool:
    """Do the pieces that wait, until one fails: after that a device may be unusable. Gives whether none did."""
    kept = Kept.load(file)
    kept.machines = list(dict.fromkeys([*kept.machines, page.machine(PACKAGES)]))
    for name in kept.waiting(part):
        kept.tried.append(name)
        kept.save(file)
        if part.limit:
            faulthandler.dump_traceback_later(part.limit, exit=True)
        try:
            kept.figures[name] = part.pieces[name]()
            kept.failed.pop(name, None)
        except Exception as error:
            traceback.print_exc()
            kept.failed[name] = f"{type(error).__name__}: {str(error).strip()[:200]}".replace("\n", " ")
        finally:
            faulthandler.cancel_dump_traceback_later()
        kept.save(file)
        if name in kept.failed:
            return False
    return True


def section(part: Part, kept: Kept) -> Section:
    """The part's table so far, with what is missing and why."""
    made = part.section(kept.figures)
    missing = [name for name in part.pieces if name not in kept.figures and name not in kept.failed]
    missing += [f"{name} ({reason})" for name, reason in kept.failed.items()]
    if missing:
        made.meaning = f"{made.meaning} **Not complete:** {', '.join(missing)}.".strip()
    if len(kept.machines) > 1:
        made.measured += f" Not all on one machine: {' / '.join(kept.machines)}"
    made.figures = kept.figures
    return made


class Verdict(NamedTuple):
    """What a check found: `kept` is None where it was not made."""

    kept: bool | None
    found: str

    def figures(self) -> Figures:
        """As a piece gives it."""
        return self._asdict()


def of_checks(title: str, measured: str, figures: dict[str, Figures]) -> Section:
    """A table of verdicts."""
    said = {None: "not checked", True: "yes", False: "**no**"}
    rows = [[name, said[each["kept"]], each["found"]] for name, each in figures.items()]
    return Section(title=title, measured=measured, columns=["", "", "found"], rows=rows)
