"""Images of every size and mode, decoded to uint8 RGB squares."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssl_core.data import decode as decoding
from ssl_core.data import opening
from ssl_core.data.decode import Picture
from ssl_core.data.decode import decode as decode_by
from ssl_core.data.source import Content, Encoded, SourceConfig


def decode(content: Content, size: int, **settings: Any) -> Picture:
    return decode_by(content, size, SourceConfig(**settings))


def encoded(image: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **settings)
    return written.getvalue()


def gradient(mode: str) -> Image.Image:
    values = np.linspace(0, 255, 64).reshape(8, 8)
    return Image.fromarray(values.astype(np.uint8)).convert(mode)


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    made, size, grey, _ = decode(encoded(Image.fromarray(pixels)), 8)
    np.testing.assert_array_equal(made, pixels)
    assert (size, grey) == ((8, 8), False)


def test_a_grey_array_is_what_its_picture_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    made, size, grey, _ = decode(pixels, 8)
    picture, *rest, _ = decode(encoded(Image.fromarray(pixels)), 8)
    np.testing.assert_array_equal(made, picture)
    assert [size, grey] == rest
    assert made.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_grey_is_three_equal_channels_however_it_is_kept(mode: str) -> None:
    made, _, grey, _ = decode(encoded(gradient("L").convert(mode)), 8)
    assert grey
    assert made.shape == (8, 8, 3)
    np.testing.assert_array_equal(made[..., 0], made[..., 2])


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray((np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8))
    made, *_ = decode(encoded(deep), 8)
    np.testing.assert_array_equal(made[..., 0].flatten(), np.arange(64) * 1024 // 257)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("large", [False, True])
def test_twelve_bits_in_sixteen_of_colours_are_visible(kind: str, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    values = (np.arange(192, dtype=np.uint16) * 21).reshape(8, 8, 3)
    content = deep_png(values) if kind == "PNG" else deep_tiff(values)
    monkeypatch.setattr(decoding, "LARGE", 1 if large else 1000)
    made = decode(Encoded(content, range=(0.0, 4095.0)), 1 if large else 8)
    assert abs(made.pixels[..., 0].mean() - values[..., 0].mean() / 4095 * 255) < 9
    assert "16-bit values: 0 is shown black, 4095 white" in made.notes


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits, [H, W, channels], which Pillow does not write."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "16 bits"])
def test_a_text_too_large_for_its_reader_loses_no_picture(mode: str, behind: bool) -> None:
    drawn = gradient("RGB" if mode == "16 bits" else mode)
    content = deep_png(np.asarray(drawn).astype(np.uint16) * 257) if mode == "16 bits" else encoded(drawn)
    place = content.index(b"IEND" if behind else b"IDAT") - 4
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000)))
    content = content[:place] + text + content[place:]
    np.testing.assert_array_equal(decode(content, 8).pixels, np.asarray(drawn.convert("RGB")))
    assert len(opening.sampled(Encoded(content))) == np.asarray(drawn).size
    cut = content[: place - 20] + text * behind + chunk(b"IEND", b"")
    with pytest.raises((OSError, ValueError, SyntaxError)):
        decode(cut, 8)


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "I", "F"])
def test_a_range_is_measured_on_few_pixels_of_a_large_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = gradient("L").resize((320, 480)).convert(mode)
    content = Encoded(encoded(drawn, "TIFF"))
    whole = opening.sampled(content)
    monkeypatch.setattr(opening, "FEW", 320 * 480 - 1)
    few = opening.sampled(content)
    assert len(few) < 2 * opening.SIDE**2 * len(drawn.getbands())
    np.testing.assert_allclose(np.percentile(few, [1, 50, 99]), np.percentile(whole, [1, 50, 99]), atol=6)


def deep_tiff(values: np.ndarray) -> bytes:
    written = io.BytesIO()
    tifffile.imwrite(written, values, photometric="rgb")
    return written.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LA", "RGBA"])
def test_every_mode_gives_the_picture(mode: str) -> None:
    image = gradient("L").convert(mode)
    made, *_ = decode(encoded(image, "TIFF"), 8)
    expected = np.asarray(image.convert("RGB"))
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (decode(encoded(image), 8)[0] == 255).all()
    palette = Image.new("P", (8, 8))
    assert (decode(encoded(palette, transparency=0), 8)[0] == 255).all()


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (8, 8))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to be seen upright
    made, *_ = decode(encoded(image, exif=exif), 8)
    assert made[0, 7].tolist() == [255, 255, 255]


def test_another_size_is_fitted_by_its_shorter_side_and_its_centre_taken() -> None:
    wide = Image.new("RGB", (40, 20), "red")
    wide.paste("blue", (10, 0, 30, 20))
    made, size, *_ = decode(encoded(wide), 10)
    assert size == (40, 20)
    assert (made[:, 1:-1] == (0, 0, 255)).all()


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    made, *_ = decode(encoded(Image.fromarray(stripes)), 16)
    assert np.abs(made.astype(int) - 127).max() < 20


@pytest.mark.parametrize("content", [b"", b"no image", encoded(gradient("RGB"))[:60]], ids=["empty", "text", "cut"])
def test_what_is_no_whole_image_raises(content: bytes) -> None:
    with pytest.raises((OSError, ValueError, SyntaxError)):
        decode(content, 8)
