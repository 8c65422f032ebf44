"""TIFF that Pillow does not read, or not right, where tifffile is installed; RAW that is called .tif."""

import io

import numpy as np
from PIL import Image

from ssl_core.data.values import Unread, refusing_damage
from ssl_core.errors import Refused

SUBFILE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
BITS, PHOTOMETRIC, SAMPLES, PLANES, EXTRA, FORM = 258, 262, 277, 284, 338, 339


def opened(content: bytes) -> Unread:
    """The first page, [H, W] or [H, W, channels]. Raises `Refused` where tifffile is missing, or cannot read it."""
    try:
        import tifffile
    except ImportError:
        raise Refused(
            "TIFF of a kind that Pillow does not read (more than four channels, or other values): `pip install "
            "tifffile` reads it, and `channels: [2, 1, 0]`, for example, says which are shown"
        ) from None
    with refusing_damage("TIFF that tifffile"):
        pages = tifffile.TiffFile(io.BytesIO(content)).pages
        page, several = pages.first, pages.is_multipage

    def load() -> np.ndarray:
        with refusing_damage("TIFF that tifffile"):
            made = np.asarray(page.asarray())
        made = made.astype(np.uint8) * 255 if made.dtype == bool else made
        return np.moveaxis(made, 0, -1) if made.ndim == 3 and page.planarconfig == 2 else made

    return Unread(load, page.nbytes, several)


def channels(image: Image.Image) -> int:
    """How many channels a TIFF has, of which Pillow may have dropped some; 0 of another format."""
    return getattr(image, "tag_v2", {}).get(SAMPLES, 0)


def misread(image: Image.Image, shown: tuple[int, ...] | None) -> bool:
    """Whether Pillow makes other values of a TIFF than it has, or drops channels that are to be `shown`; by its head.

    It mixes the bytes of 16-bit colours that lie plane by plane, divides those by the transparency that they are
    multiplied with, and takes signed 8 bits for unsigned ones, and unsigned 32 for signed.
    """
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(BITS, (1,)))
    if shown and len(image.getbands()) <= max(shown) < channels(image):
        return True
    if tags.get(PHOTOMETRIC) == 2:
        return bits > 8 and (tags.get(PLANES) == 2 or tags.get(EXTRA) == (1,))
    return channels(image) in (0, 1) and (bits, max(tags.get(FORM, (1,)))) in ((8, 2), (32, 1))


def refuse_thumbnail(image: Image.Image) -> None:
    """Raise `Refused` of a camera's RAW file, whatever its name: its first picture is a thumbnail."""
    tags = getattr(image, "tag_v2", {})
    if DNG_VERSION in tags or (tags.get(SUBFILE) == 1 and SUB_IFDS in tags):
        raise Refused("a camera's RAW file: develop it into JPEG or TIFF first, its thumbnail is not taken")
