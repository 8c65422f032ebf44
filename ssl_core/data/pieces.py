"""The files of a data set that lies in pieces, each of which holds many images: parquet files, shards."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ssl_core.data import kinds, spellings
from ssl_core.errors import Refused


class Piece(NamedTuple):
    """A file, its path below the folder of all, and its split; "" where no name says one."""

    file: Path
    name: PurePosixPath
    split: str


def found(path: str, *endings: str) -> list[Piece]:
    """The file of a path, or those below it that end so, sorted. Raises `Refused` where none is, or splits are mixed.

    A folder that is called like a file (Spark's `train.parquet/`) is none; a system's leftovers are not looked into.
    """
    top = Path(path).expanduser()
    files = [top] if top.is_file() else sorted(_below(top, endings))
    if not files:
        raise Refused(f"path is {path}, and no {endings[0]} is there: give a file, or a folder of them")
    below = top if top.is_dir() else top.parent
    names = [PurePosixPath(file.relative_to(below)) for file in files]
    return [Piece(*one) for one in zip(files, names, spellings.splits_of_files(names), strict=True)]


def _below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    meant = [
        file for file in folder.rglob("*")
        if file.name.lower().endswith(endings) and not any(map(kinds.not_meant, file.relative_to(folder).parts))
    ]  # fmt: skip
    return [file for file in meant if file.is_file()]
