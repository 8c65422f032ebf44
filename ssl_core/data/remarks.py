"""What was read, what was not, and what was noted, in sentences for who has never seen these images."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from ssl_core.data import targets
from ssl_core.data.decode import CROWDED, CUT, NEARLY_CONSTANT
from ssl_core.data.source import Reading
from ssl_core.data.spellings import clean
from ssl_core.data.table import KINDS

NAMED = 3
"""Files that a line names."""
LOUD = {
    CUT: "their centre is taken; `fit: squash` or `fit: pad` keeps all of them",
    NEARLY_CONSTANT: "there is little to learn; look at contact_sheet.png, and where they should not be, "
    "`range: [black, white]` says which values are shown",
    CROWDED: "look at contact_sheet.png; `range: [black, white]` says which values are shown",
}
"""What is a warning where it holds for most images, or for all of a class, and what to do then."""
EMPTY = "folders without an image that could be read"


def noted(
    notes: Mapping[str, np.ndarray], paths: Sequence[str], labels: np.ndarray, classes: Sequence[str]
) -> tuple[list[str], list[str]]:
    """What `decode` noted of images, by the places in `paths` of those it was noted of; apart, what is a warning."""
    said, warnings = [], []
    every = targets.per_class(labels, len(classes))
    for note, places in sorted(notes.items(), key=lambda item: (-len(item[1]), item[0])):
        of = f"{len(places):,} of {len(paths):,} images"
        whole = np.flatnonzero((targets.per_class(labels[places], len(classes)) == every) & (every > 0))
        if note not in LOUD:
            said.append(f"{of}: {note}")
        elif len(places) > len(paths) / 2:
            warnings.append(f"{of}: {note}: {LOUD[note]}")
        elif len(whole):
            these = f"the class{'es' * (len(whole) > 1)} {named([classes[int(i)] for i in whole])}"
            warnings.append(f"{of}, among them all of {these}: {note}: {LOUD[note]}")
        else:
            said.append(f"{of}: {note} ({named([paths[int(i)] for i in places])})")
    return said, warnings


def left_out(reading: Reading) -> list[str]:
    """Sentences on what was not read: how many of each kind, and the first ones' names."""
    return [f"left out: {why} ({len(names):,}): {named(names)}" for why, names in reading.left_out.items()]


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def without_images(reading: Reading, read: Iterable[str], skipped: Iterable[str]) -> list[str]:
    """The folders that were seen, or that held what was left out or failed, below which no image was read."""
    # Each folder once: there may be millions of names.
    folders = {name.rpartition("/")[0] for name in read}
    held = {parent for folder in folders for parent in _around(f"{folder}/-")}
    seen = set(reading.folders) | {str(PurePosixPath(name).parent) for name in skipped}
    lost = {folder for folder in seen if folder != "." and folder not in held}
    return sorted(folder for folder in lost if not lost.intersection(_around(folder)))


def without_tables(left_out: dict[str, list[str]], tables: Sequence[str]) -> dict[str, list[str]]:
    """What was left out but for the tables that were read."""
    read = tuple(f"/{table}" for table in tables)
    without = {why: [file for file in files if not f"/{file}".endswith(read)] for why, files in left_out.items()}
    return {why: files for why, files in without.items() if files} if tables else left_out


def hints(unread: Sequence[str], by_folders: bool) -> list[str]:
    """How to have labels read that lie among the files that were not; `by_folders`: the folders said the classes."""
    table = next((path for path in unread if path.lower().endswith(KINDS)), None)
    shard = next((path for path in unread if path.endswith(".cls")), None)
    said = []
    if table and by_folders:
        said.append(
            f"{clean(table)} lies there: if it has the labels, add labels: {{table: {clean(table)}, file: COLUMN, "
            "label: COLUMN} to this data set"
        )
    if shard:
        said.append(
            f"{clean(shard)} lies there, as in a shard of WebDataset: say source: webdataset, and the labels are read"
        )
    return said


def _around(name: str) -> list[str]:
    return [parent.as_posix() for parent in PurePosixPath(name).parents][:-1]
