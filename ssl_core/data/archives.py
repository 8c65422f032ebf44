"""The files of a .tar(.gz, .xz, .bz2) or .zip, read one by one without unpacking it."""

import bz2
import errno
import gzip
import itertools
import lzma
import os
import posixpath
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tarfile import HeaderError, ReadError
from typing import Self

from ssl_core.data import kinds, names
from ssl_core.data.files import DAMAGED, File, meant, shown
from ssl_core.data.names import printable
from ssl_core.data.source import Reading
from ssl_core.errors import Refused

UNICODE = 0x800
"""The mark of a zip's names that are UTF-8."""
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""What a tar may be packed by, by its mark."""
TWICE = "earlier versions of files that the archive holds twice"
BROKEN = "links to files that the archive does not hold"
UNENDED = "what may follow in archives without a mark at their end, which may have been cut off"
ENDS = (tarfile.EmptyHeaderError, tarfile.EOFHeaderError)  # pyright: ignore[reportAttributeAccessIssue]
"""What stands for a header where a tar ends."""


def files(path: Path, reading: Reading) -> Iterator[File]:
    """The members that are files, under their own names and those of the links to them; of two versions the later.

    Raises `Refused` where it is no archive that is read here, or a path leaves its folder; what damage raises, here or
    while a member is read, `refusing_damage` makes one of.
    """
    return (_zip if is_zip(path) else _tar)(path, reading)


def is_zip(path: Path) -> bool:
    """Whether it is a zip, by its start, as a tar's end may be one; else it is a tar. Raises `Refused` of others."""
    if part := re.fullmatch(r"(.+)\.(?:(z\d\d)|\d{3})", path.name):
        raise _one_part(path, f"zip -s 0 {part[1]}.zip --out whole.zip" if part[2] else f"cat {part[1]}.* > {part[1]}")
    with path.open("rb") as opened:
        head = opened.read(kinds.HEAD)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        if kinds.suffix(path.name) == ".npz":
            raise Refused(f"path is {path}, which holds arrays: say source: npz")
        return True
    with refusing_damage(path):
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


def _one_part(path: Path, joining: str) -> Refused:
    return Refused(f"path is {path}, which is one part of several: join them (`{joining}`) and give the whole")


def _neither(head: bytes, path: Path) -> str:
    no_archive = "no folder, .tar(.gz, .xz, .bz2) or .zip"
    for mark, kind, unpacked in (
        (b"\x28\xb5\x2f\xfd", "Zstandard", f"tar --zstd -xf {path.name}"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip", f"7z x {path.name}"),
        (b"Rar!", "RAR", f"unrar x {path.name}"),
        (b"\x04\x22\x4d\x18", "LZ4", f"lz4 -dc {path.name} | tar -x"),
        (b"\x1f\x9d", "compress", f"tar -xZf {path.name}"),
    ):
        if head.startswith(mark):
            return f"{no_archive}, but packed by {kind}: unpack it (`{unpacked}`) and give the folder"
    for mark, unpacking in PACKED.items():
        if head.startswith(mark):
            with unpacking(path) as opened:
                opened.read(2**20)  # which raises where it is damaged
            return f"{no_archive}, but something else that is packed: unpack it and give the folder"
    if head.startswith(b"PAR1"):
        return f"{no_archive}, but a parquet file: say source: parquet"
    if why := kinds.instead(head, "archive"):
        return f"{no_archive}: {why}"
    if kinds.called_image(path.name):
        return f"{no_archive}, but one picture: give the folder that holds all of them"
    return no_archive


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Make one sentence of what an archive's damage raises."""
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, *DAMAGED) as error:
        # A place before the start of the file is asked for by an archive of which that is lost.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise Refused(f"the archive {path.name} is damaged ({error}): fetch or make it again") from None
    except RuntimeError as error:
        locked = "encrypted" in str(error)
        why = "it is encrypted; unpack it with its password, and give the folder" if locked else error
        raise Refused(f"the archive {path.name} cannot be read: {why}") from None


def _tar(path: Path, reading: Reading) -> Iterator[File]:
    last: dict[str, int] = {}
    links: dict[str, str] = {}
    for i, (_, member) in enumerate(_members(path, reading)):
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
    windows = names.of_windows(last)
    for i, (archive, member) in enumerate(_members(path, reading)):
        name = posixpath.normpath(member.name)
        if member.isfile() and last.get(name) != i:
            reading.leave_out(TWICE, printable(name))
        elif member.isfile() and (named := linked.names(_parted(name) if windows else name, reading)):
            yield File(named, member.size, partial(_extracted, archive, member))
    linked.leave_out_broken(reading)


class _Header(tarfile.TarInfo):
    """A member as its header says it; a damaged one, which tarfile takes for the archive's end, is damage."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except ENDS:
            raise
        except HeaderError as error:
            raise ReadError(str(error)) from None


def _members(path: Path, reading: Reading) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(path, tarinfo=_Header) as archive:
        while (member := archive.next()) is not None:
            # It keeps all, a gigabyte for a million files.
            archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
            yield archive, member
        assert archive.fileobj is not None  # as it is open
        if archive.fileobj.tell() == archive.offset:  # where a block of zeros would stand
            reading.leave_out(UNENDED, path.name)
        # A compressed archive that was cut off says so only when it is read to its end.
        while block := archive.fileobj.read(tarfile.BLOCKSIZE):
            if block[257:262] == b"ustar":
                raise Refused(
                    f"the archive {path.name} is several tars behind each other: unpack all (`tar -xif {path.name}`) "
                    "and give the folder"
                )


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tarfile.ExFileObject:
    content = archive.extractfile(member)
    assert isinstance(content, tarfile.ExFileObject)  # as it is a file
    return content


def _zip(path: Path, reading: Reading) -> Iterator[File]:
    with zipfile.ZipFile(path) as archive:
        if any(member.volume for member in archive.infolist()):
            raise _one_part(path, f"zip -s 0 {path.name} --out whole.zip")
        spelt = _Spelt(archive, path, reading)
        members: dict[str, zipfile.ZipInfo] = {}
        links: dict[str, str] = {}
        for member in archive.infolist():
            spelling = spelt.name(member)
            name = posixpath.normpath(spelling)
            _refuse_outside(name, path)
            if spelling.endswith("/"):
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

    def __init__(self, archive: zipfile.ZipFile, path: Path, reading: Reading) -> None:
        listed = [one for one in archive.infolist() if _told(one) is None]
        # Also of those that are marked as Unicode: who packed them anew had read them wrongly.
        self.encodings = {
            marked: names.of_zip([one.filename for one in listed if one.flag_bits & UNICODE == marked])
            for marked in (0, UNICODE)
        }
        guessed = {encoding for marked, encoding in self.encodings.items() if encoding != "cp437" or not marked}
        for encoding in sorted(encoding for encoding in guessed if encoding):
            said = f"the archive does not say rightly how its names are written: read as {encoding}"
            if encoding == "utf-8":  # which other names do not happen to be
                reading.remarks.append(said)
            else:
                reading.warnings.append(
                    f"{said}; where they look wrong, unpack it (`unzip -O ENCODING {path.name}`) and give the folder"
                )

    def name(self, member: zipfile.ZipInfo) -> str:
        name = _told(member)
        if name is None:
            encoding = self.encodings[member.flag_bits & UNICODE]
            name = member.filename.encode("cp437").decode(encoding) if encoding else member.filename
        return _parted(name)


def _told(member: zipfile.ZipInfo) -> str | None:
    """The name in Unicode that Info-ZIP and WinRAR keep beside one in an older encoding, where it is of the same name.

    APPNOTE.TXT of PKWARE, 4.6.9; zipfile before Python 3.13 leaves it.
    """
    extra = member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == 0x7075 and not member.flag_bits & UNICODE:
            crc = zlib.crc32(member.orig_filename.encode("cp437"))
            return extra[9 : 4 + size].decode(errors="replace") if extra[5:9] == crc.to_bytes(4, "little") else None
        extra = extra[4 + size :]
    return None


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
        return [shown(one, reading) for one in dict.fromkeys(one for one, _ in found) if meant(one, reading)]

    def leave_out_broken(self, reading: Reading) -> None:
        for link in itertools.chain.from_iterable(self.targets.values()):
            if link not in self.followed:
                reading.leave_out(BROKEN, printable(link))


def _parted(name: str) -> str:
    """A path that a program on Windows wrote with its own separators."""
    return name.replace("\\", "/")


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
