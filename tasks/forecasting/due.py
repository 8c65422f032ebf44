"""Which of the suite's stages are due: told from dvc.yaml, which has the graph, and dvc.lock, which has what ran.

A stage is due where it never ran with what it would read now, or where what it stands on is due. That is DVC's own
rule, but that it leaves alone what stands on a stage which ran again and left the same.
"""

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.cells import Cell
from tasks.configuration import files
from tasks.configuration.plan import Plan
from tasks.forecasting import lock
from tasks.forecasting.lock import Locked


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of dvc.yaml with its matrix filled in; `cell` and `images` where it is of one."""

    name: str
    kind: str
    command: str
    cell: Cell | None
    images: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]


def stages(plan: Plan) -> list[Stage]:
    """All stages with a matrix, in the order of dvc.yaml."""
    known: dict[str, list[Any]] = {
        "variants": list(plan.variants),
        "seeds": plan.seeds,
        "fine_tune": plan.fine_tune,
        "images": plan.images,
    }
    found = []
    for kind, section in files.read(files.GRAPH)["stages"].items():
        matrix = {key: known[values.strip("${}")] for key, values in section.get("matrix", {}).items()}
        for values in itertools.product(*matrix.values()) if matrix else ():
            found.append(_filled(kind, section, dict(zip(matrix, values, strict=True)), plan.images[0]))
    return found


def _filled(kind: str, section: dict[str, Any], item: dict[str, Any], first: str) -> Stage:
    """A stage with the values of its matrix, and the first of the images."""

    def fill(*written: str) -> tuple[str, ...]:
        made = (text.replace("${images[0]}", first) for text in written)
        return tuple(re.sub(r"\$\{item\.(\w+)\}", lambda key: str(item[key[1]]), text) for text in made)

    return Stage(
        name=f"{kind}@{'-'.join(map(str, item.values()))}",
        kind=kind,
        command=fill(section["cmd"])[0],
        cell=Cell(variant=item["variant"], seed=item["seed"]) if "variant" in item else None,
        images=item.get("images", first),
        deps=fill(*section["deps"]),
        outs=fill(*section["outs"]),
    )


def due(planned: list[Stage], configs: Path, locked: dict[str, Locked]) -> list[Stage]:
    """Those that would run, with the configurations in the folder `configs`, which stands for the one that DVC owns."""
    makers = {path: stage for stage in planned for path in stage.outs}
    digest = cache(lock.digest)

    @cache
    def left(stage: Stage) -> dict[str, str] | None:
        """The digests of what a stage has left already; None where it is due."""
        read = {path: md5 for path in stage.deps if (md5 := now(path)) is not None}
        before = locked.get(stage.name)
        if len(read) < len(stage.deps):
            return None
        return before.outs if before and before.deps == read else lock.remembered(stage.command, read, stage.outs)

    def now(path: str) -> str | None:
        if path in makers:
            return (left(makers[path]) or {}).get(path)
        inside = Path(path).is_relative_to(files.CONFIGS)
        return digest(configs / Path(path).relative_to(files.CONFIGS) if inside else Path(path))

    return [stage for stage in planned if left(stage) is None]


def configured(locked: dict[str, Locked], suite: Path) -> bool:
    """Whether what `configure` last wrote is what it would write now, of the suite in this file."""
    before = locked.get("configure")
    if before is None or suite.as_posix() not in before.deps:
        return False
    return all(lock.digest(Path(path)) == md5 for path, md5 in before.deps.items())
