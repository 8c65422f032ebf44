"""Names of files as texts that can be shown, compared and written, whatever bytes they are kept in."""

import re
import unicodedata
from collections.abc import Callable, Collection
from pathlib import PurePosixPath


def printable(name: str) -> str:
    """A path in composed Unicode (NFC), its parts without blanks around them; bytes that are no UTF-8 as Latin-1's.

    Control characters, which a terminal obeys, are written as \\x1b.
    """
    if not name.isascii():
        kept = name.encode("utf-8", "surrogateescape")
        name = unicodedata.normalize("NFC", kept.decode("utf-8" if is_unicode(name) else "latin-1"))
    return "/".join(without_controls(part.strip() or part) for part in PurePosixPath(name).parts)


def is_unicode(name: str) -> bool:
    """Whether a name's bytes are UTF-8, as Python reads them of a file system or a tar."""
    try:
        name.encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError:
        return False
    return True


def without_controls(text: str) -> str:
    """The text with control characters, which a terminal obeys, written as \\x1b."""
    return text if text.isprintable() else re.sub(r"[\0-\x1f\x7f-\x9f]", lambda one: f"\\x{ord(one[0]):02x}", text)


def of_windows(names: Collection[str]) -> bool:
    """Whether most paths have Windows' separators, as what is unpacked wrongly has; some names have a backslash."""
    return sum("\\" in name for name in names) > len(names) / 2


def of_zip(names: list[str]) -> str | None:
    """The encoding of names that were read as code page 437, of old zips; None where they are ASCII, or Unicode.

    All names have to make sense in it, as words of the script that it is for; where they do in none, it is cp437.
    """
    try:
        kept = b"\n".join(name.encode("cp437") for name in names if not name.isascii())
    except UnicodeEncodeError:
        return None
    for encoding, makes_sense in ZIPPED_IN if kept else ():
        try:
            if makes_sense(kept.decode(encoding)):
                return encoding
        except UnicodeDecodeError:
            continue
    return "cp437" if kept else None


def _cyrillic(text: str) -> bool:
    """Whether words are as in Russian and its like: without Latin letters, or capitals inside, and with vowels.

    Those of one Cyrillic encoding have no vowels in the other.
    """
    words = _words(text)
    letters = "".join(words)
    return (
        all(_of(letter, "CYRILLIC") for letter in (*letters, *_beyond_ascii(text)))
        and all(word.islower() or word.istitle() for word in words)
        and any(len(word) > 2 for word in words)
        and sum(letter in "аеио" for letter in letters) > len(letters) / 8
    )


def _eastern(text: str, *scripts: str) -> bool:
    letters = _beyond_ascii(text)
    return any(_of(letter, *scripts) for letter in letters) and all(
        _of(letter, *scripts, "IDEOGRAPHIC", "FULLWIDTH") for letter in letters
    )


def _korean(text: str) -> bool:
    """Whether it is Hangul, of which some is common: Chinese that is read as Korean is Hangul too, and none is."""
    letters = _beyond_ascii(text)
    return _eastern(text, "HANGUL") and sum(letter in _COMMON_HANGUL for letter in letters) >= len(letters) / 4


def _chinese(text: str) -> bool:
    """Whether it is Chinese, most of it of the letters that GB 2312 has too: European names would be of rare ones."""
    letters = _beyond_ascii(text)
    return _eastern(text, _HAN) and len("".join(letters).encode("gb2312", "ignore")) > len(letters)


def _apart(text: str, *scripts: str) -> bool:
    """Whether it is of these scripts, and most words without Latin letters.

    An accent of a European name and the letter behind it would be one of theirs too, within a word.
    """
    words = _words(text)
    mixed = sum(any(letter.isascii() for letter in word) for word in words)
    return _eastern(text, *scripts) and mixed <= len(words) / 2


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]


def _beyond_ascii(text: str) -> list[str]:
    return [letter for letter in text if not letter.isascii()]


def _of(letter: str, *scripts: str) -> bool:
    return unicodedata.name(letter, "").startswith(scripts)


_HAN = "CJK UNIFIED"
_JAPANESE = (_HAN, "HIRAGANA", "KATAKANA")
_COMMON_HANGUL = set(
    "이다가고기지사아나정상비대한국시자리인수도로마하일어장부주원전동공서구소유과보오무선제조경해성신모미세중파양화바여안음물생차라개말행"
)
ZIPPED_IN: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("utf-8", lambda text: True),
    ("cp866", _cyrillic),
    ("cp1251", _cyrillic),
    ("cp932", lambda text: _apart(text, *_JAPANESE)),
    ("cp949", _korean),
    ("gbk", _chinese),
    ("big5", lambda text: _apart(text, _HAN)),
    ("cp932", lambda text: _apart(text, *_JAPANESE, "HALFWIDTH KATAKANA")),
)
"""Encodings of a zip that does not say its own, and whether names make sense in it.

They are tried in this order: one stands behind those whose own names would make sense in it too.
"""
