"""DICOM, the format of medical scanners, where pydicom is installed (`pip install pydicom`).

Version 3 or newer: it makes red, green and blue of YBR by itself.
"""

import io

import numpy as np

from ssl_core.data.values import Unread, refusing_damage
from ssl_core.errors import Refused

RESCALED = 8
"""Bytes of a value in the scanner's units."""


def opened(content: bytes) -> Unread:
    """The first frame in the scanner's units (slope and intercept applied), [H, W] or [H, W, 3]; white is high.

    Raises `Refused` where pydicom is missing, or cannot read the file.
    """
    try:
        import pydicom
        from pydicom.pixels.processing import apply_color_lut, apply_rescale
        from pydicom.pixels.utils import pixel_array
    except ImportError:
        raise Refused(
            "DICOM: `pip install pydicom` reads it (compressed: pylibjpeg too); or convert it to PNG"
        ) from None
    with refusing_damage("DICOM that pydicom"):
        file = pydicom.dcmread(io.BytesIO(content), force=True)
        size = file.Rows * file.Columns * RESCALED
        several = int(file.get("NumberOfFrames") or 1) > 1

    def load() -> np.ndarray:
        with refusing_damage("DICOM that pydicom"):
            pixels = pixel_array(file, index=0)
            if file.SamplesPerPixel == 3:
                return pixels
            if file.PhotometricInterpretation == "PALETTE COLOR":
                return apply_color_lut(pixels, file)[..., :3]
            if file.PhotometricInterpretation == "MONOCHROME1":
                pixels = _inverted(pixels, file.BitsStored)
            scaled = np.asarray(apply_rescale(pixels, file))
        if scaled.dtype == np.float64 and (scaled == scaled.round()).all():
            scaled = scaled.astype(np.int32)
        return scaled

    return Unread(load, size, several)


def _inverted(pixels: np.ndarray, bits: int) -> np.ndarray:
    """What was white at its lowest, turned within the range that is stored, so that it lies where others of a set do.

    16 bits of 16 are also said by who does not know; then it is the bits that the values fill.
    """
    if pixels.dtype.kind != "u":
        return -1 - pixels
    if bits == 16:
        bits = int(pixels.max()).bit_length()
    top = pixels.dtype.type(2**bits - 1)
    return top - np.minimum(pixels, top)
