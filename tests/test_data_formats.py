"""Kinds of images that Pillow does not read, written by the libraries that do: DICOM, HEIC, TIFF of many channels."""

import io
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.decoders import rle
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from test_data_decode import deep_png
from test_data_reading import prepare_folder

from ssl_core.data import decode, dicom, kinds, opening
from ssl_core.data import values as data_values
from ssl_core.data.source import Encoded, SourceConfig
from ssl_core.errors import Refused

RANDOM = np.random.default_rng(0)


def scan(pixels: np.ndarray, **said: Any) -> bytes:
    """A DICOM file of one frame [H, W] or [H, W, 3], or of several grey ones [N, H, W] where `frames` is given."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    colours = pixels.ndim == 3 and "NumberOfFrames" not in said
    file.Rows, file.Columns = pixels.shape[:2] if colours or pixels.ndim == 2 else pixels.shape[1:]
    file.SamplesPerPixel = 3 if colours else 1
    file.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = 8 * pixels.dtype.itemsize
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in said.items():
        setattr(file, name, value)
    file.PixelData = pixels.tobytes()
    written = io.BytesIO()
    pydicom.dcmwrite(written, file, enforce_file_format=True)
    return written.getvalue()


def tiff(pixels: np.ndarray, **said: Any) -> bytes:
    written = io.BytesIO()
    tifffile.imwrite(written, pixels, **said)
    return written.getvalue()


def values(content: bytes) -> np.ndarray:
    return dicom.opened(content).load()


def test_a_scan_is_in_its_scanners_units() -> None:
    pixels = RANDOM.integers(-1000, 1000, size=(6, 5)).astype(np.int16)
    np.testing.assert_array_equal(values(scan(pixels)), pixels)
    rescaled = values(scan(pixels, RescaleSlope=2, RescaleIntercept=-24))
    assert rescaled.dtype == np.int32
    np.testing.assert_array_equal(rescaled, 2 * pixels.astype(np.int32) - 24)


@pytest.mark.parametrize(
    ("kind", "low", "high", "bits", "said"),
    [
        (np.uint8, 0, 255, 8, {}),
        (np.uint16, 0, 4095, 12, {}),
        (np.uint16, 0, 4095, 16, {}),
        (np.uint16, 0, 4095, 16, {"RescaleSlope": 1, "RescaleIntercept": 0}),
        (np.int16, -1024, 1023, 16, {"RescaleSlope": 2, "RescaleIntercept": 1}),
    ],
)
def test_a_picture_is_as_bright_whichever_end_of_its_values_is_white(
    kind: type, low: int, high: int, bits: int, said: dict[str, Any]
) -> None:
    pixels = RANDOM.integers(low, high, size=(6, 5)).astype(kind)
    pixels[0, 0] = low  # the highest of those that are stored the other way round
    said = said | {"BitsStored": bits, "HighBit": bits - 1}
    expected = values(scan(pixels, **said))
    turned = values(scan((low + high - pixels).astype(kind), PhotometricInterpretation="MONOCHROME1", **said))
    np.testing.assert_array_equal(turned, expected)
    assert turned.dtype == expected.dtype


def test_of_several_frames_the_first_is_taken_and_colours_are_red_green_and_blue() -> None:
    frames = RANDOM.integers(256, size=(3, 6, 5)).astype(np.uint8)
    opened = dicom.opened(scan(frames, NumberOfFrames=3))
    np.testing.assert_array_equal(opened.load(), frames[0])
    assert opened.several
    assert not dicom.opened(scan(frames[0])).several
    colours = RANDOM.integers(256, size=(6, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(values(scan(colours)), colours)
    grey = np.full((6, 5, 3), [90, 128, 128], np.uint8)
    np.testing.assert_array_equal(values(scan(grey, PhotometricInterpretation="YBR_FULL")), np.full((6, 5, 3), 90))


def test_of_many_frames_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    file = pydicom.dcmread(io.BytesIO(scan(RANDOM.integers(256, size=(9, 6, 5)).astype(np.uint8), NumberOfFrames=9)))
    file.compress(RLELossless)
    written, decoded = io.BytesIO(), []
    pydicom.dcmwrite(written, file)
    whole = rle._rle_decode_frame
    monkeypatch.setattr(rle, "_rle_decode_frame", lambda *of, **said: decoded.append(1) or whole(*of, **said))
    assert values(written.getvalue()).shape == (6, 5)
    assert len(decoded) == 1


def test_colours_of_a_palette_are_shown() -> None:
    palette = RANDOM.integers(65536, size=(256, 3)).astype(np.uint16)
    said: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        said[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        said[f"{colour}PaletteColorLookupTableData"] = entries.tobytes()
    pixels = RANDOM.integers(256, size=(6, 5)).astype(np.uint8)
    np.testing.assert_array_equal(values(scan(pixels, **said)), palette[pixels])


def test_a_folder_of_scans_is_prepared_and_its_range_is_said(tmp_path: Path) -> None:
    for name in ("well", "ill"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for i in range(12):
            pixels = RANDOM.integers(-1024, 2048, size=(9, 8)).astype(np.int16)
            # Without an ending, as scanners write them.
            (tmp_path / "scans" / name / f"IM{i:04d}").write_bytes(scan(pixels))
    made, _ = prepare_folder(tmp_path / "scans", tmp_path / "out")
    assert (made.card.classes, made.card.skipped["count"]) == (["ill", "well"], 0)
    assert sum(part["count"] for part in made.card.splits.values()) == 24
    assert made.images("train").std() > 30
    assert any("is shown black" in note for note in made.card.notes)


def test_scans_without_pixels_are_left_out_and_named(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "scans" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        content = scan(RANDOM.integers(256, size=(9, 8)).astype(np.uint8))
        (tmp_path / "scans" / "ab"[i % 2] / f"{i}.dcm").write_bytes(content)
    report = pydicom.dcmread(io.BytesIO(scan(np.zeros((6, 5), np.uint8))))
    for name, kind in (
        ("a/report.dcm", report.file_meta.MediaStorageSOPClassUID),
        ("DICOMDIR", MediaStorageDirectoryStorage),
    ):
        report.file_meta.MediaStorageSOPClassUID = kind
        if name != "DICOMDIR":  # its icons have pixels
            del report.PixelData
        pydicom.dcmwrite(tmp_path / "scans" / name, report)
        report.PixelData = bytes(30)
        report["PixelData"].VR = "OB"
    made, reading = prepare_folder(tmp_path / "scans", tmp_path / "out")
    assert reading.left_out == {kinds.WITHOUT_PIXELS: ["DICOMDIR", "a/report.dcm"]}
    assert (made.card.classes, made.card.skipped["count"]) == (["a", "b"], 0)


def test_what_pydicom_cannot_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="DICOM that pydicom cannot read"):
        values(scan(np.zeros((6, 5), np.uint8))[:-7])


@pytest.mark.parametrize("ending", [".heic", ".HEIC", ".jpg"])
def test_a_phones_photographs_are_read_whatever_they_are_called(tmp_path: Path, ending: str) -> None:
    heif = pytest.importorskip("pillow_heif", exc_type=ImportError)
    red = np.zeros((64, 48, 3), np.uint8)
    red[..., 0] = 200
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            written = io.BytesIO()
            heif.from_pillow(Image.fromarray(red)).save(written, quality=90)
            (tmp_path / "photos" / name / f"{i}{ending}").write_bytes(written.getvalue())
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out")
    assert sum(part["count"] for part in made.card.splits.values()) == 20
    assert np.abs(made.images("train")[..., 0].astype(int) - 200).max() < 12
    assert made.images("train")[..., 1:].max() < 12


COLOURS = RANDOM.integers(65536, size=(9, 9, 3)).astype(np.uint16)
EIGHT = (COLOURS // 256).astype(np.uint8)
OPAQUE = np.full((9, 9, 1), 65535, np.uint16)
DEEP = {
    "PNG": deep_png(COLOURS),
    "PNG with transparency": deep_png(np.concatenate([COLOURS, OPAQUE], axis=2)),
    "TIFF": tiff(COLOURS, photometric="rgb"),
    "TIFF, high byte first": tiff(COLOURS, photometric="rgb", byteorder=">"),
    "TIFF, plane by plane": tiff(np.moveaxis(COLOURS, 2, 0), photometric="rgb", planarconfig="separate"),
    "TIFF, planes compressed": tiff(
        np.moveaxis(COLOURS, 2, 0), photometric="rgb", planarconfig="separate", compression="zlib"
    ),
    "TIFF, with transparency": tiff(np.concatenate([COLOURS, OPAQUE], axis=2), extrasamples=["unassalpha"]),
    "TIFF, multiplied": tiff(np.concatenate([COLOURS, OPAQUE // 2], axis=2), extrasamples=["assocalpha"]),
    "TIFF, with a fourth channel": tiff(
        np.concatenate([COLOURS, OPAQUE], axis=2), photometric="rgb", extrasamples=["unspecified"]
    ),
    "TIFF, compressed": tiff(COLOURS, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=2),
}


@pytest.mark.parametrize("content", DEEP.values(), ids=DEEP.keys())
def test_both_bytes_of_deep_colours_are_shown(content: bytes) -> None:
    made = decode.decode(content, 9, SourceConfig(image_size=9)).pixels
    np.testing.assert_array_equal(made, COLOURS // 257)
    made = decode.decode(content, 9, SourceConfig(image_size=9, range=(30000, 30255))).pixels
    np.testing.assert_array_equal(made, (COLOURS.astype(int) - 30000).clip(0, 255))
    measured = decode.decode(Encoded(content, range=(0, 4095)), 9, SourceConfig(image_size=9))
    np.testing.assert_array_equal(measured.pixels, (COLOURS * (255 / 4095)).clip(0, 255).astype(np.uint8))
    assert "16-bit values: 0 is shown black, 4095 white" in measured.notes


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("plain", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_values_of_a_tiff_are_those_of_its_type(plain: str, order: Literal["<", ">"]) -> None:
    ends = (-1000.0, 0.5) if plain.startswith("float") else (np.iinfo(plain).min, np.iinfo(plain).max)
    pixels = np.tile(np.array([ends[0], 0, 1, ends[1]], plain), (8, 2))
    content = Encoded(tiff(pixels, byteorder=order), "x.tif")
    np.testing.assert_array_equal(opening.sampled(content), pixels.reshape(-1))
    assert opening.kind(content) is not None


def test_complex_values_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "radar").mkdir()
    for i in range(4):
        (tmp_path / "radar" / f"{i}.tif").write_bytes(tiff(np.full((8, 8), 1 + i * 1j, np.complex64)))
    with pytest.raises(Refused, match=r"4 of 4 files .* type complex64, which are no brightness: save their magnitude"):
        prepare_folder(tmp_path / "radar", tmp_path / "out")


def test_bands_of_one_bit_are_black_and_white(tmp_path: Path) -> None:
    (tmp_path / "bands").mkdir()
    for i in range(20):
        bands = RANDOM.random((8, 8, 5)) < 0.5
        (tmp_path / "bands" / f"{i}.tif").write_bytes(tiff(bands, photometric="minisblack", planarconfig="contig"))
    made, _ = prepare_folder(tmp_path / "bands", tmp_path / "out", channels=[4, 1, 0])
    assert np.unique(made.images("train")).tolist() == [0, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_deep_png_what_is_transparent_is_white(channels: int) -> None:
    pixels = np.full((8, 8, channels + 1), 2000, np.uint16)
    pixels[:4, :, -1], pixels[4:, :, -1] = 0, 65535
    made = decode.decode(deep_png(pixels), 8, SourceConfig(image_size=8, range=(0, 4000))).pixels
    assert (made[:4] == 255).all()
    assert (made[4:] == 127).all()
    alpha = decode.decode(deep_png(pixels), 8, SourceConfig(image_size=8, channels=(channels,))).pixels
    assert (alpha[:4] == 0).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_the_range_of_deep_pngs_is_measured(channels: int, tmp_path: Path) -> None:
    for i in range(20):
        pixels = RANDOM.integers(4096, size=(8, 8, channels)).astype(np.uint16)
        if channels != 3:
            pixels[..., -1] = 65535
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "ab"[i % 2] / f"{i}.png").write_bytes(deep_png(pixels))
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out")
    assert "20 of 20 images: 16-bit values: 0 is shown black, 4095 white" in made.card.notes
    assert made.card.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.05)


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_of_many_channels_some_are_shown(tmp_path: Path, planes: str) -> None:
    for name in ("a", "b"):
        (tmp_path / "bands" / name).mkdir(parents=True)
        for i in range(10):
            bands = np.tile(np.array([10, 20, 40, 80, 160, 250], np.uint8), (8, 8, 1))
            bands[0, 0] = 0
            bands[0, 1] = 255
            stored = bands if planes == "contig" else np.moveaxis(bands, -1, 0)
            tifffile.imwrite(
                tmp_path / "bands" / name / f"{i}.tif", stored, photometric="minisblack", planarconfig=planes
            )
    made, _ = prepare_folder(tmp_path / "bands", tmp_path / "out", channels=[4, 2, 0], range=(0, 255))
    np.testing.assert_array_equal(made.images("train")[0, 4, 4], [160, 40, 10])
    with pytest.raises(Refused, match="channels"):
        prepare_folder(tmp_path / "bands", tmp_path / "other")


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("pydicom", "x.dcm", "`pip install pydicom` reads it"),
        ("pillow_heif", "x.heic", "`pip install pillow-heif` reads it"),
        ("tifffile", "x.tif", "`pip install tifffile` reads it"),
    ],
)
def test_without_its_library_the_way_is_said(
    module: str, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "x.dcm": bytes(128) + b"DICM" + bytes(90),
        "x.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90),
        "x.tif": b"II*\0" + bytes(90),
    }[name]
    monkeypatch.setitem(sys.modules, module, None)
    opening._read_heif.cache_clear()
    with pytest.raises(Refused, match=said):
        opening.opened(Encoded(content, name))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_fourth_band_that_pillow_drops_is_shown_where_asked_for(kind: type, tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "bands" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        bands = RANDOM.integers(np.iinfo(kind).max, size=(8, 8, 4)).astype(kind)
        bands[..., 3] //= 8
        tifffile.imwrite(tmp_path / "bands" / "ab"[i % 2] / f"{i}.tif", bands, photometric="rgb", extrasamples=[0])
    made, _ = prepare_folder(tmp_path / "bands", tmp_path / "out", channels=[3, 2, 1])
    assert [round(one / 32) for one in made.images("train").mean((0, 1, 2))] == [0, 4, 4]
    plain, _ = prepare_folder(tmp_path / "bands", tmp_path / "plain")
    assert [round(one / 32) for one in plain.images("train").mean((0, 1, 2))] == [4, 4, 4]


def test_of_a_stack_of_bands_the_first_page_is_taken_and_that_is_said(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "bands" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pages = RANDOM.integers(256, size=(3, 8, 8, 5)).astype(np.uint8)
        pages[1:] = 0
        tifffile.imwrite(tmp_path / "bands" / "ab"[i % 2] / f"{i}.tif", pages, planarconfig="contig")
    made, _ = prepare_folder(tmp_path / "bands", tmp_path / "out", channels=[4, 2, 0])
    assert made.images("train").mean() > 90
    assert f"20 of 20 images: {decode.SEVERAL}" in made.card.notes


def test_what_would_not_fit_in_memory_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    tifffile.imwrite(written, np.zeros((64, 64, 5), np.uint16), planarconfig="contig", compression="zlib")
    monkeypatch.setattr(opening, "DECODED", 64 * 64 * 10 - 1)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    for content, name in ((written.getvalue(), "x.tif"), (scan(np.zeros((128, 64), np.uint8)), "x.dcm")):
        with pytest.raises(Refused, match="too many to be decoded"):
            opening.opened(Encoded(content, name))


def test_large_bands_are_made_smaller_a_strip_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = RANDOM.integers(4096, size=(6, 6, 5)).astype(np.uint16).repeat(16, axis=0).repeat(16, axis=1)
    config = SourceConfig(image_size=8, channels=(4, 2, 0), range=(0, 4095))
    whole = decode.decode(Encoded(drawn), 8, config)
    monkeypatch.setattr(decode, "LARGE", 4 * 96 * 8)
    looked: list[tuple[int, ...]] = []
    picked = data_values.picked
    monkeypatch.setattr(
        data_values, "picked", lambda found, channels: looked.append(found.shape) or picked(found, channels)
    )
    shrunk = decode.decode(Encoded(drawn), 8, config)
    assert max(shape[0] for shape in looked) == 8
    assert np.abs(shrunk.pixels.astype(int) - whole.pixels).max() < 12
    assert shrunk.original == (96, 96)


@pytest.mark.parametrize("few", [opening.FEW, 100])
def test_a_range_is_that_of_the_channels_that_are_shown(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FEW", few)
    drawn = RANDOM.integers(60000, size=(150, 70, 5)).astype(np.uint16)
    drawn[..., 4] //= 240
    drawn[..., 1] //= 16
    content = Encoded(tiff(drawn, photometric="minisblack", planarconfig="contig"), "x.tif")
    assert data_values.measured(opening.sampled(content, (4,))) == (0, 255)
    assert data_values.measured(opening.sampled(content, (4, 1, 4))) == (0, 4095)
    clear = np.concatenate([drawn[..., 4:], np.where(drawn[..., :1] > 30000, 65535, 40000)], axis=2)
    assert data_values.measured(opening.sampled(Encoded(deep_png(clear)))) == (0, 255)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tiff(COLOURS[..., :2], photometric="minisblack", planarconfig="contig"), "of 2 channels the first one is"),
        (
            tiff(COLOURS[..., [0, 1, 2, 2]], photometric="minisblack", planarconfig="contig"),
            "of 4 channels the first 3 are",
        ),
        (tiff(COLOURS[..., [0, 1, 2, 2]], photometric="rgb", extrasamples=[0]), "of 4 channels the first 3 are"),
        (tiff(EIGHT[..., [0, 1, 2, 2]], photometric="rgb", extrasamples=[0]), "of 4 channels the first 3 are"),
        (tiff(EIGHT[..., [0, 1, 2, 2]], photometric="rgb", extrasamples=[2]), decode.FOURTH),
        (tiff(EIGHT, photometric="rgb"), ""),
        (tiff(COLOURS, photometric="rgb"), ""),
        (deep_png(COLOURS[..., :2]), ""),
        (deep_png(COLOURS[..., [0, 1, 2, 2]]), ""),
    ],
)
def test_channels_that_are_not_shown_are_noted(content: bytes, said: str) -> None:
    notes = decode.decode(content, 9, SourceConfig(image_size=9)).notes
    assert any(said in note for note in notes) if said else not notes
    chosen = decode.decode(content, 9, SourceConfig(image_size=9, channels=(1,))).notes
    assert chosen == ((decode.FOURTH,) if said == decode.FOURTH else ())


def test_a_sample_of_values_keeps_no_image() -> None:
    drawn = RANDOM.integers(256, size=(200, 300, 4)).astype(np.uint8)
    looked = data_values.sampled(drawn[..., :3])
    assert looked.base is None
    pixels = drawn[..., :3].reshape(-1, 3)[:: 200 * 300 // data_values.PIXELS]
    np.testing.assert_array_equal(looked, pixels.reshape(-1))
