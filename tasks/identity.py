"""A stage's identity: a digest of all that it reads, by which checkpoints and observations are found again."""

import hashlib
from pathlib import Path

from tasks.cells import Cell
from tasks.configuration import files

SOURCE = Path(__file__).parents[1]


def identity(stage: str, cell: Cell, *read: Path) -> str:
    """The digest (16 hexadecimal digits) of the cell's name, the files that are read, and the code that they pass.

    The code is what dvc.yaml says that the stage depends on.
    """
    hashed = hashlib.sha256(f"{stage} {cell.name}".encode())
    for file in (*read, *code(stage)):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:16]


def code(stage: str) -> list[Path]:
    """The files of code that dvc.yaml names for a stage."""
    depended = files.read(SOURCE / files.GRAPH)["stages"][stage]["deps"]
    paths = [SOURCE / path for path in depended if path.startswith(("ssl_core", "tasks"))]
    return sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))
