"""The graph of dvc.yaml, as DVC reads it, and the order of dvc.lock."""

from dataclasses import dataclass

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.utils.serialize import load_yaml, modify_yaml

from ssl_core.errors import Refused

LOCK = "dvc.lock"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of dvc.yaml: its name, the stages it stands on, and what it occupies while it runs (`meta: slots`)."""

    name: str
    upstream: tuple[str, ...]
    slots: str


def stages() -> list[Stage]:
    """All stages, in the order in which `dvc repro` runs them. Raises `Refused` where DVC cannot read the graph."""
    try:
        with Repo() as repo:
            graph = repo.index.graph
            return [
                Stage(
                    name=stage.addressing,
                    upstream=tuple(sorted(above.addressing for above in graph.successors(stage))),
                    slots=(stage.meta or {}).get("slots", "cpu"),
                )
                for stage in plan_repro(graph)
            ]
    except DvcException as error:
        raise Refused(f"DVC cannot read the pipeline: {error}") from None


def locked() -> list[str]:
    """The stages that dvc.lock has, in its order."""
    try:
        return list(load_yaml(LOCK).get("stages", {}))
    except FileNotFoundError:
        return []


def order_lock(before: list[str], planned: list[Stage]) -> None:
    """Put dvc.lock in the order that `dvc repro` leaves: what it had before, then what is new, as planned.

    DVC appends stages as they end; side by side they end in any order, and the same run must give the same file.
    """
    order = {name: i for i, name in enumerate(dict.fromkeys([*before, *(stage.name for stage in planned)]))}
    if locked() and locked() != sorted(locked(), key=order.__getitem__):
        with modify_yaml(LOCK) as content:
            content["stages"] = dict(sorted(content["stages"].items(), key=lambda item: order[item[0]]))
