"""A picture of the prepared images: some of each class, to be looked at before anything is believed."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

COLUMNS, ROWS, MARGIN = 10, 20, 150


def contact_sheet(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """The first images of each class (at most 20 classes), a row each; of unlabelled images, the first of all.

    `images`: uint8 [N, H, W, 3]; `labels`: int64 [N].
    """
    rows = [(name, np.flatnonzero(labels == i)[:COLUMNS]) for i, name in enumerate(classes[:ROWS])]
    if not classes:
        rows = [("", np.arange(start, min(start + COLUMNS, len(images)))) for start in range(0, 50, COLUMNS)]
    side = max(48, min(96, images.shape[1]))
    sheet = Image.new("RGB", (MARGIN + COLUMNS * (side + 2), len(rows) * (side + 2)), "white")
    canvas = ImageDraw.Draw(sheet)
    for row, (name, members) in enumerate(rows):
        top = row * (side + 2)
        canvas.text((MARGIN - 8, top + side / 2), name[:22], fill="black", anchor="rm")
        for column, index in enumerate(members):
            picture = Image.fromarray(images[index]).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (MARGIN + column * (side + 2), top))
    return sheet
