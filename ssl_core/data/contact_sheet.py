"""A picture of the prepared images, to be looked at before anything is believed: some of each class, and what was cut.

Above them stands what was read and what was not; below, some images as they came, with what is left of them in a frame.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ssl_core.data import targets
from ssl_core.data.prepared import Card
from ssl_core.data.spellings import some

COLUMNS, ROWS, MARGIN, LINE = 10, 20, 190, 17
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "DroidSansFallbackFull.ttf", "Arial Unicode.ttf")
"""Looked for on the machine where DejaVu, which matplotlib brings, lacks a letter."""
NOBODYS = "\uffff"
"""A character that no font has: drawn as what stands for any that is lacking."""


def contact_sheet(
    images: np.ndarray, index: np.ndarray, labels: np.ndarray, card: Card, originals: Mapping[str, bytes], cut: bool
) -> Image.Image:
    """The first train images of each class (at most 20 classes), a row each; of unlabelled images, the first of all.

    Of several labels, those that have each; of numbers, those of each of some ranges.
    `images`: uint8 [N, H, W, 3], of which `index`, int64 [M], are train, and `labels` theirs, [M] as `targets` has
    them; `originals`: some files' contents by their names, of which the centre is left, or, without `cut`, all.
    """
    rows = [(name, index[which][:COLUMNS]) for name, which in _shown(labels, card)]
    if not card.classes:
        rows = [("", index[start : start + COLUMNS]) for start in range(0, min(50, len(index)), COLUMNS)]
    side = max(48, min(96, images.shape[1]))
    width = MARGIN + COLUMNS * (side + 2)
    font = _font()
    lines = [
        (part, "firebrick" if line.startswith("warning") else "black")
        for line in said(card)
        for part in textwrap.wrap(line, width // 7, subsequent_indent="    ")
    ]
    top = LINE * len(lines) + 12
    framed = _framed(originals, side, cut)
    height = top + (len(rows) + bool(framed)) * (side + 2) + LINE * bool(framed)
    sheet = Image.new("RGB", (width, height), "white")
    canvas = ImageDraw.Draw(sheet)
    for i, (line, colour) in enumerate(lines):
        canvas.text((8, 6 + i * LINE), readable(line, font), colour, font)
    for row, (name, members) in enumerate(rows):
        _put_row(sheet, name, [Image.fromarray(images[i]) for i in members], top + row * (side + 2), side)
    if framed:
        _put_row(sheet, "as they came", framed, top + len(rows) * (side + 2) + LINE, side)
    return sheet


def said(card: Card) -> list[str]:
    """What was read, what was not and why, a sentence a line."""
    counts = ", ".join(f"{split} {part['count']:,}" for split, part in card.splits.items())
    lines = [f"{card.name}: {counts}; {card.labelled_with}; {card.image_size} x {card.image_size} pixels"]
    lines += card.notes
    lines += [f"not read, {why}: {part['count']:,} ({some(part['files'])})" for why, part in card.left_out.items()]
    if card.skipped["count"]:
        first: dict[str, str] = {}
        for one in card.skipped["files"]:
            first.setdefault(one["why"], one["file"])
        damaged = some([f"{file}: {why}" for why, file in first.items()])
        lines.append(f"not read, no image or damaged: {card.skipped['count']:,} ({damaged})")
    if card.groups is not None:
        lines.append(f"the images are of {card.groups:,} groups")
    for split, classes in card.unseen.items():
        unseen = f"{some(classes)} ({len(classes):,} of the {'labels' if card.target == 'labels' else 'classes'})"
        lines.append(f"warning: {split} has no image of {unseen}, which its figures cannot tell of")
    return lines + [f"warning: {warning}" for warning in card.warnings]


def _shown(labels: np.ndarray, card: Card) -> list[tuple[str, np.ndarray]]:
    """The name of each row, and which images it is of: bool [M]."""
    match card.target:
        case "class":
            return [(name, labels == i) for i, name in enumerate(card.classes[:ROWS])]
        case "labels":
            return [(name, labels[:, i] == 1) for i, name in enumerate(card.classes[:ROWS])]
        case "number":
            ranges = targets.strata(labels)
            parts = [ranges == i for i in range(ranges.max() + 1)]
            ends = [(f"{labels[part].min():.4g}", f"{labels[part].max():.4g}", part) for part in parts if part.any()]
            return [(least if least == most else f"{least} to {most}", part) for least, most, part in ends]


def readable(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text with letters that the font lacks written as their numbers, \\u72ac, where it would draw boxes."""
    lacking = _drawn(NOBODYS, font)
    return "".join(
        letter
        if letter.isascii() or letter.isspace() or _drawn(letter, font) != lacking
        else letter.encode("ascii", "backslashreplace").decode()
        for letter in text
    )


def _drawn(letter: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> bytes:
    drawn = Image.new("1", (24, 24))
    ImageDraw.Draw(drawn).text((2, 2), letter, 1, font)
    return drawn.tobytes()


def _put_row(sheet: Image.Image, name: str, pictures: Sequence[Image.Image], top: int, side: int) -> None:
    font = next((font for font in _fonts() if readable(name, font) == name), _font())
    text = readable(name, font)
    text = text if len(text) <= 24 else f"{text[:23]}…"
    ImageDraw.Draw(sheet).text((MARGIN - 8, top + side / 2), text, "black", font, anchor="rm")
    for column, picture in enumerate(pictures):
        shown = picture.resize((side, side), Image.Resampling.NEAREST) if picture.size != (side, side) else picture
        sheet.paste(shown, (MARGIN + column * (side + 2), top))


def _framed(originals: Mapping[str, bytes], side: int, cut: bool) -> list[Image.Image]:
    """Images as they came, on white, with a red frame around the centre that a square is `cut` from."""
    made = []
    for content in originals.values():
        try:
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
        except Exception:  # whatever a damaged file makes Pillow raise, the next one is shown
            continue
        picture.thumbnail((side, side))
        square = Image.new("RGB", (side, side), "white")
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        square.paste(picture, (left, top))
        half = min(picture.size) / 2
        frame = [side / 2 - half, side / 2 - half, side / 2 + half - 1, side / 2 + half - 1]
        if cut:
            ImageDraw.Draw(square).rectangle(frame, outline="red")
        made.append(square)
    return made


def _fonts() -> list[ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The fonts that there are: DejaVu, which has European, Greek, Cyrillic, Arabic letters, and any of more."""
    found = []
    spec = find_spec("matplotlib")
    dejavu = Path(spec.origin or "").parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" if spec else Path()
    for name in (str(dejavu), *FONTS):
        try:
            found.append(ImageFont.truetype(name, 12))
        except OSError:
            continue
    return found or [ImageFont.load_default(12)]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return _fonts()[0]
