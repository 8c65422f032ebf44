"""Names of files as texts that can be shown, compared and written, whatever bytes they are kept in."""

import unicodedata
from pathlib import PurePosixPath

ZIPPED_IN = ("utf-8", "cp932", "gbk", "cp949")
"""Of names in a zip that does not say so: Unicode, Japanese, Chinese, Korean, tried in this order."""


def printable(name: str) -> str:
    """A path in composed Unicode (NFC), its parts without blanks around them; bytes that are no UTF-8 as Latin-1's."""
    if not name.isascii():
        kept = name.encode("utf-8", "surrogateescape")
        try:
            name = kept.decode()
        except UnicodeDecodeError:
            name = kept.decode("latin-1")
        name = unicodedata.normalize("NFC", name)
    return "/".join(part.strip() or part for part in PurePosixPath(name).parts)


def of_zip(names: list[str]) -> str | None:
    """The encoding of names that were read as code page 437, of old zips; None where that, or Unicode, is right.

    All names have to make sense in it, as words of the script that it is for.
    """
    try:
        kept = b"\n".join(name.encode("cp437") for name in names if not name.isascii())
    except UnicodeEncodeError:
        return None
    for encoding in ZIPPED_IN if kept else ():
        try:
            letters = [letter for letter in kept.decode(encoding) if not letter.isascii()]
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or (all(map(_eastern, letters)) and any(map(_of_words, letters))):
            return encoding
    return None


def _of_words(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL"))


def _eastern(letter: str) -> bool:
    return _of_words(letter) or unicodedata.name(letter, "").startswith(("IDEOGRAPHIC", "FULLWIDTH"))
