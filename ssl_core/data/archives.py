"""The files of a .tar(.gz, .xz, .bz2) or .zip, read one by one without unpacking it."""

import itertools
import os
import posixpath
import re
import stat
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from ssl_core.data import kinds, names
from ssl_core.data.files import File, meant
from ssl_core.data.names import printable
from ssl_core.data.source import Reading
from ssl_core.errors import Refused

UNICODE = 0x800
"""The mark of a zip's names that are UTF-8."""
TWICE = "earlier versions of files that the archive holds twice"
BROKEN = "links to files that the archive does not hold"


def files(path: Path, reading: Reading) -> Iterator[File]:
    """The members that are files, under their own names and those of the links to them; of two versions the later.

    Raises `Refused` where it is no archive that is read here, or a path leaves its folder; what damage raises, here or
    while a member is read, `refusing_damage` makes one of.
    """
    return (_zip if is_zip(path) else _tar)(path, reading)


def is_zip(path: Path) -> bool:
    """Whether it is a zip, by its start, as a tar's end may be one; else it is a tar. Raises `Refused` of others."""
    with path.open("rb") as opened:
        head = opened.read(kinds.HEAD)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        if kinds.suffix(path.name) == ".npz":
            raise Refused(f"path is {path}, which holds arrays: say source: npz")
        return True
    try:
        tarfile.open(path).close()
    except tarfile.TarError:
        if zipfile.is_zipfile(path):  # behind a program that unpacks it
            return True
        raise Refused(f"path is {path}, which is {_neither(head, path)}") from None
    return False


def has_index(path: Path) -> bool:
    """Whether an archive's names can be had without unpacking it: a zip, or a tar that is not packed as a whole."""
    if is_zip(path):
        return True
    try:
        tarfile.open(path, "r:").close()
    except tarfile.TarError:
        return False
    return True


def _neither(head: bytes, path: Path) -> str:
    no_archive = "no folder, .tar(.gz, .xz, .bz2) or .zip"
    for mark, kind, unpacked in (
        (b"\x28\xb5\x2f\xfd", "Zstandard", f"tar --zstd -xf {path.name}"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip", f"7z x {path.name}"),
        (b"Rar!", "RAR", f"unrar x {path.name}"),
    ):
        if head.startswith(mark):
            return f"{no_archive}, but packed by {kind}: unpack it (`{unpacked}`) and give the folder"
    if head.startswith(b"PAR1"):
        return f"{no_archive}, but a parquet file: say source: parquet"
    if kinds.called_image(path.name):
        return f"{no_archive}, but one picture: give the folder that holds all of them"
    why = kinds.in_its_place(head)
    return f"{no_archive}: {why}" if why else no_archive


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Make one sentence of what an archive's damage raises."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise Refused(f"the archive {path.name} is damaged ({error}): fetch or make it again") from None
    except RuntimeError as error:
        locked = "encrypted" in str(error)
        why = "it is encrypted; unpack it with its password, and give the folder" if locked else error
        raise Refused(f"the archive {path.name} cannot be read: {why}") from None


def _tar(path: Path, reading: Reading) -> Iterator[File]:
    last: dict[str, int] = {}
    links: dict[str, str] = {}
    for i, (_, member) in enumerate(_members(path)):
        name = posixpath.normpath(member.name)
        _refuse_outside(member.name, path)
        if member.issym() or member.islnk():
            base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
            last.pop(name, None)
            links.pop(name, None)
            target = (base / member.linkname).as_posix()
            if _leaves(target):
                reading.leave_out(BROKEN, printable(name))
            else:
                links[name] = posixpath.normpath(target)
        elif member.isfile():
            last[name] = i
            links.pop(name, None)
        elif member.isdir() and name != "." and meant(name, Reading(examples=iter(()))):
            reading.folders.add(printable(name))
    linked = _Links(links)
    for i, (archive, member) in enumerate(_members(path)):
        name = posixpath.normpath(member.name)
        if member.isfile() and last.get(name) != i:
            reading.leave_out(TWICE, printable(name))
        elif member.isfile() and (named := linked.names(name, reading)):
            yield File(named, member.size, partial(_extracted, archive, member))
    linked.leave_out_broken(reading)


def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(path) as archive:
        while (member := archive.next()) is not None:
            # It keeps all, a gigabyte for a million files.
            archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
            yield archive, member
        # A compressed archive that was cut off says so only when it is read to its end.
        while archive.fileobj is not None and archive.fileobj.read(2**20):
            pass


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tarfile.ExFileObject:
    content = archive.extractfile(member)
    assert isinstance(content, tarfile.ExFileObject)  # as it is a file
    return content


def _zip(path: Path, reading: Reading) -> Iterator[File]:
    with zipfile.ZipFile(path) as archive:
        spelt = _Spelt(archive, reading)
        members: dict[str, zipfile.ZipInfo] = {}
        links: dict[str, str] = {}
        for member in archive.infolist():
            name = spelt.name(member)
            _refuse_outside(name, path)
            if member.is_dir():
                reading.folders.add(printable(name))
                continue
            if name in members:
                reading.leave_out(TWICE, printable(name))
            members[name] = member
        for name, member in list(members.items()):
            if stat.S_ISLNK(member.external_attr >> 16):
                target = posixpath.join(posixpath.dirname(name), os.fsdecode(archive.read(member)))
                del members[name]
                if _leaves(target):
                    reading.leave_out(BROKEN, printable(name))
                else:
                    links[name] = posixpath.normpath(target)
        linked = _Links(links)
        for name in sorted(members):
            if named := linked.names(name, reading):
                yield File(named, members[name].file_size, partial(archive.open, members[name]))
        linked.leave_out_broken(reading)


class _Spelt:
    """Names as they were meant, of a zip that does not say in which encoding it keeps them."""

    def __init__(self, archive: zipfile.ZipFile, reading: Reading) -> None:
        listed = archive.infolist()
        # Also of those that are marked as Unicode: who packed them anew had read them wrongly.
        self.encodings = {
            marked: names.of_zip([one.filename for one in listed if one.flag_bits & UNICODE == marked])
            for marked in (0, UNICODE)
        }
        for encoding in {encoding for encoding in self.encodings.values() if encoding}:
            reading.remarks.append(f"the archive does not say rightly how its names are written: read as {encoding}")

    def name(self, member: zipfile.ZipInfo) -> str:
        name = member.filename
        if encoding := self.encodings[member.flag_bits & UNICODE]:
            name = name.encode("cp437").decode(encoding)
        # Made on Windows by a program that wrote its own separators.
        return posixpath.normpath(name if "/" in name else name.replace("\\", "/"))


class _Links:
    """Links of an archive, each the path of one to that of its target, a file or a folder."""

    def __init__(self, links: dict[str, str]) -> None:
        self.targets: dict[str, list[str]] = defaultdict(list)
        for link, target in links.items():
            self.targets[target].append(link)
        self.followed: set[str] = set()

    def names(self, name: str, reading: Reading) -> list[str]:
        """The names under which a file is read, as they are shown; none where no one is meant."""
        found = [(name, frozenset[str]())]
        for one, through in found:  # which grows
            places = [one, *(parent.as_posix() for parent in PurePosixPath(one).parents)] if self.targets else []
            for place, link in [(target, link) for target in places for link in self.targets.get(target, [])]:
                if link not in through and not f"{link}/".startswith(f"{place}/"):  # else it leads back to itself
                    found.append((link + one[len(place) :], through | {link}))
                    self.followed.add(link)
        return [printable(one) for one in dict.fromkeys(one for one, _ in found) if meant(one, reading)]

    def leave_out_broken(self, reading: Reading) -> None:
        for link in itertools.chain.from_iterable(self.targets.values()):
            if link not in self.followed:
                reading.leave_out(BROKEN, printable(link))


def _refuse_outside(name: str, path: Path) -> None:
    if _leaves(name):
        raise Refused(f"the archive {path.name} has a path that leaves its folder, '{name}': it is not read")


def _leaves(name: str) -> bool:
    """Whether a path leads out of the folder that it is read in, on this system or on Windows."""
    parts, depth = PurePosixPath(name.replace("\\", "/")).parts, 0
    for part in parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0 or part == "/":
            return True
    return bool(parts) and re.fullmatch(r"[A-Za-z]:", parts[0]) is not None
