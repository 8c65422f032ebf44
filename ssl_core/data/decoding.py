"""Have every image of a source decoded, a window of them at a time, and note what becomes of each."""

from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tqdm import tqdm

from ssl_core.data import duplicates, kinds, near_duplicates, remarks
from ssl_core.data.source import Content, Encoded, Reading, SourceConfig
from ssl_core.data.spool import Spool
from ssl_core.data.structure import Place
from ssl_core.data.windows import windows
from ssl_core.errors import Refused

SHOWN, SHOWN_BYTES = 10, 2**23
"""Files that the contact sheet shows as they came, and how large they may be."""


@dataclass
class Decoded:
    """What is known of the images whose pixels lie in the file: in its order, their paths; and what was skipped.

    `digests`: 16 bytes an image, of its pixels; `hashes`: 8, where near duplicates are looked for. `files`: whether any
    was read from one, whose order may be chance. `notes`: what `decode` noted, and of which images, by number.
    `first`: the content of the first one in each of some folders. `places`: what the source itself says of each path,
    empty where that is the path. `renamed`: paths that another image had already, made others.
    """

    paths: list[str] = field(default_factory=list)
    digests: bytearray = field(default_factory=bytearray)
    hashes: bytearray = field(default_factory=bytearray)
    sizes: Counter[str] = field(default_factory=Counter)
    skipped: list[dict[str, str]] = field(default_factory=list)
    grey: bool = True
    notes: dict[str, "array[int]"] = field(default_factory=dict)
    files: bool = False
    first: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)


def decode_all(reading: Reading, config: SourceConfig, spool: Spool) -> Decoded:
    """Have every image's pixels in the spool, in the order of the reading; what cannot be read is noted."""
    decoded = Decoded()
    progress = tqdm(total=reading.count, desc="prepare", unit="image", mininterval=0.5)
    with progress, closing(windows(reading, config, spool)) as decoding:
        reading.examples = _noting_files(_apart(reading.examples, decoded), decoded)
        for window in decoding:
            for path, made in window:
                if isinstance(made, str):
                    decoded.skipped.append({"file": path, "why": made})
                    continue
                decoded.digests += duplicates.digest(made.pixels.tobytes())
                if config.near_duplicates is not None:
                    decoded.hashes += near_duplicates.difference_hash(made.pixels)
                for note in made.notes:
                    decoded.notes.setdefault(note, array("Q")).append(len(decoded.paths))
                decoded.paths.append(path)
                decoded.sizes["{}x{}".format(*made.original)] += 1
                decoded.grey &= made.grey
            progress.total = reading.count  # known once the first file is read
            progress.update(len(window))
    _leave_out_developed(reading, decoded)
    return decoded


def _leave_out_developed(reading: Reading, decoded: Decoded) -> None:
    """Take a camera's RAW files for no loss where the picture that was developed of each lies beside it."""
    raw = [one["file"] for one in decoded.skipped if kinds.suffix(one["file"]) in kinds.RAW]
    if not raw:
        return
    there = {PurePosixPath(path).with_suffix("") for path in decoded.paths}
    developed = {path for path in raw if PurePosixPath(path).with_suffix("") in there}
    for path in sorted(developed):
        reading.leave_out("a camera's RAW files, whose pictures lie beside them", path)
    decoded.skipped = [one for one in decoded.skipped if one["file"] not in developed]


def _apart(examples: Iterator[tuple[str, Content]], decoded: Decoded) -> Iterator[tuple[str, Content]]:
    """The examples under paths of their own, where several print alike: `1.png`, `1 (2).png`; and what is said of each.

    Names of files that differ in how an é is composed, or in blanks, are read as the same.
    """
    seen = set[str]()
    for path, content in examples:
        own, number = path, 1
        while own in seen:
            number += 1
            own = str(PurePosixPath(path).with_stem(f"{PurePosixPath(path).stem} ({number})"))
        if own != path:
            decoded.renamed.append(own)
        seen.add(own)
        if isinstance(content, Encoded) and content.place is not None:
            decoded.places[own] = content.place
        yield own, content


def _noting_files(examples: Iterator[tuple[str, Content]], decoded: Decoded) -> Iterator[tuple[str, Content]]:
    folders = set[str]()
    for path, content in examples:
        encoded = content.content if isinstance(content, Encoded) else content
        if isinstance(encoded, bytes):
            decoded.files = True
            folder = path.rpartition("/")[0]
            if len(decoded.first) < SHOWN and folder not in folders and len(encoded) < SHOWN_BYTES:
                folders.add(folder)
                decoded.first[path] = encoded
        yield path, content


def refuse_unreadable(reading: Reading, decoded: Decoded, config: SourceConfig) -> None:
    """Raise `Refused` where nothing is an image, or more than `max_skipped_share` could not be read."""
    tried = len(decoded.paths) + len(decoded.skipped)
    if tried == 0:
        found = "; ".join(remarks.left_out(reading))
        raise Refused(
            f"the source holds no file that is an image: give a folder of images, or an archive of one"
            f"{found and f' ({found})'}"
        )
    if not decoded.paths or len(decoded.skipped) / tried > config.max_skipped_share:
        first = decoded.skipped[0]
        raise Refused(
            f"{len(decoded.skipped)} of {tried} files could not be read as images, more than max_skipped_share "
            f"({config.max_skipped_share}) allows; the first is {first['file']} ({first['why']})"
        )
