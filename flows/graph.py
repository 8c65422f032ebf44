"""The graph of dvc.yaml, as DVC reads it, which of it is due, and the order of dvc.lock."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage
from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml, modify_yaml

from ssl_core.errors import Refused
from tasks import workspace
from tasks.cells import FIGURES, MADE
from tasks.dvc import holder

LOCK = "dvc.lock"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of dvc.yaml: its name, the stages it stands on, and the cell that it is of; empty where of none.

    `due`: DVC would run it, or what it stands on, whatever that leaves.
    """

    name: str
    upstream: tuple[str, ...]
    cell: str
    due: bool


@dataclass(frozen=True, kw_only=True)
class Graph:
    """All stages, in the order in which `dvc repro` runs them."""

    stages: list[Stage]

    @cached_property
    def cells(self) -> dict[str, list[Stage]]:
        """The stages of each cell."""
        found: dict[str, list[Stage]] = {}
        for stage in self.stages:
            if stage.cell:
                found.setdefault(stage.cell, []).append(stage)
        return found

    @cached_property
    def after(self) -> list[Stage]:
        """Those of no cell that stand on cells."""
        below: set[str] = set()
        for stage in self.stages:
            if stage.cell or below.intersection(stage.upstream):
                below.add(stage.name)
        return [stage for stage in self.stages if stage.name in below and not stage.cell]

    @cached_property
    def before(self) -> list[Stage]:
        """Those that stand on no cell: what they leave decides which cells are due."""
        after = {stage.name for stage in self.after}
        return [stage for stage in self.stages if not stage.cell and stage.name not in after]


def read(ran: Collection[str] = ()) -> Graph:
    """The graph, and which of it is due: DVC is asked in this process, and of what stands on a due stage not at all.

    What a stage that is otherwise as it was has lost is given back from DVC's cache, without a process for each: the
    figures of a suite that was switched from. `ran`: stages that are due no more, though DVC always would run them.
    Raises `Refused` where DVC cannot read it.
    """
    found: dict[str, Stage] = {}
    try:
        with Repo() as repo, repo.lock:
            graph = repo.index.graph
            for stage in plan_repro(graph):
                upstream = tuple(sorted(above.addressing for above in graph.successors(stage)))
                due = any(found[name].due for name in upstream) or (stage.addressing not in ran and _is_due(stage))
                found[stage.addressing] = Stage(name=stage.addressing, upstream=upstream, cell=_cell(stage), due=due)
    except LockError as error:
        raise Refused(workspace.busy(holder(error))) from None
    except DvcException as error:
        raise Refused(f"DVC cannot read the pipeline: {error}") from None
    return Graph(stages=list(found.values()))


def _is_due(stage: PipelineStage) -> bool:
    if stage.changed_stage() or stage.changed_deps():
        return True
    for out in stage.outs:
        if not out.exists and out.hash_info and not out.changed_cache():
            out.checkout(allow_missing=True)
    return stage.changed_outs()


def _cell(stage: PipelineStage) -> str:
    """The cell whose folders a stage writes: every stage of a cell has one."""
    written = (Path(str(out)).parts for out in stage.outs)
    return next((parts[1] for parts in written if parts[0] in (MADE.name, FIGURES.name)), "")


def locked() -> list[str]:
    """The stages that dvc.lock has, in its order. Raises `Refused` where it is no YAML, as a merge leaves it."""
    try:
        return list(load_yaml(LOCK).get("stages", {}))
    except FileNotFoundError:
        return []
    except YAMLFileCorruptedError:
        raise Refused(
            f"{LOCK} cannot be read, as where a merge left its conflicts there: take one side of it "
            f"(git checkout --ours {LOCK}), then run this again"
        ) from None


def order_lock(before: list[str], planned: list[str]) -> None:
    """Put dvc.lock in the order that `dvc repro` leaves: what it had before, then what is new, as planned.

    DVC appends stages as they end; side by side they end in any order, and the same run must give the same file.
    """
    order = {name: i for i, name in enumerate(dict.fromkeys([*before, *planned]))}
    if locked() and locked() != sorted(locked(), key=order.__getitem__):
        with modify_yaml(LOCK) as content:
            content["stages"] = dict(sorted(content["stages"].items(), key=lambda item: order[item[0]]))
