"""Where an export may go: to nothing, or over an earlier export; nothing else of anybody's is ever written over."""

from pathlib import Path

from pyarrow import ArrowException, parquet

from ssl_core.errors import Refused
from tasks import weights
from tasks.exporting import loading

WRITTEN = {loading.FILE, loading.GRAPH, "README.md", "config.json"}
"""All that an export has in its folder."""


def check_folder(into: Path) -> None:
    """Raise `Refused` where something is there that no export wrote, or that has more in it than that."""
    if not into.exists() or (into.is_dir() and not any(into.iterdir())):
        return
    if not into.is_dir() or {file.name for file in into.iterdir()} - WRITTEN or not _ours(into / loading.FILE):
        raise Refused(f"INTO is {into}, which is there and is not, or not only, an export: name another folder")


def check_rows(into: Path) -> None:
    """Raise `Refused` where a file is not called as one of representations, or is there and no export wrote it."""
    if into.suffix != ".parquet":
        raise Refused(f"INTO is {into}; of representations, a file is written: name one that ends in .parquet")
    if not into.exists():
        return
    try:
        ours = b"exported_at_commit" in (parquet.read_metadata(into).metadata or {})
    except (ArrowException, OSError):
        ours = False
    if not ours:
        raise Refused(f"INTO is {into}, which is there and is no export: name another file")


def _ours(file: Path) -> bool:
    try:
        return "exported_at_commit" in weights.metadata(file)
    except Refused:
        return False
