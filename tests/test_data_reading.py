"""Images as people have them: what is read of each, what is not, and in which words."""

import gzip
import io
import os
import re
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import archives, files, folder, kinds, prepared, spellings, values
from ssl_core.data import tree as folders
from ssl_core.data.folder import FolderConfig
from ssl_core.data.npz import NpzConfig
from ssl_core.data.prepared import Prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.source import Reading, SourceConfig
from ssl_core.data.webdataset import WebDatasetConfig
from ssl_core.errors import Refused

RANDOM = np.random.default_rng(0)


def prepare_by(config: data.DataConfig, out: Path) -> tuple[Prepared, Reading]:
    out.mkdir()
    reading = data.read(config, out)
    prepare("mine", reading, config, out)
    return prepared.load(out), reading


def prepare_folder(path: Path, out: Path, **settings: object) -> tuple[Prepared, Reading]:
    config = FolderConfig(source="folder", path=str(path), image_size=8, **settings)  # pyright: ignore[reportArgumentType]
    return prepare_by(config, out)


def put(file: Path, pixels: np.ndarray | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = RANDOM.integers(256, size=(9, 8, 3), dtype=np.uint8) if pixels is None else pixels
    Image.fromarray(shown).save(file)


def tree(root: Path, classes: tuple[str, ...] = ("a", "b"), each: int = 10) -> Path:
    for name in classes:
        for i in range(each):
            put(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: RANDOM.integers(4096, size=(9, 8)).astype(np.uint16), "16-bit values: 0 is shown black, 4095 white"),
        (lambda: RANDOM.integers(256, size=(9, 8)).astype(np.int32), "32-bit values: 0 is shown black, 255 white"),
        (lambda: RANDOM.random((9, 8)).astype(np.float32), ""),
        (lambda: RANDOM.integers(2, size=(9, 8)).astype(np.uint8), "8-bit values: 0 is shown black, 1 white"),
        (lambda: RANDOM.integers(-1000, 2000, size=(9, 8)).astype(np.int32), "32-bit values: -"),
    ],
    ids=["12 bits in 16", "8 in 32", "0 to 1", "mask", "signed"],
)
def test_values_of_any_depth_are_visible(draw: Callable[[], np.ndarray], said: str, tmp_path: Path) -> None:
    for i in range(40):
        put(tmp_path / "photos" / "ab"[i % 2] / f"{i}.tif", draw())
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out")
    assert made.card.mean[0] == pytest.approx(0.5, abs=0.05)
    assert [note for note in made.card.notes if "is shown black" in note and said in note] or not said
    assert not made.card.skipped["count"]


def test_a_range_is_the_sets_and_no_images_own() -> None:
    dark, bright = np.full(100, 30, np.uint16), np.arange(0, 4000, 40, dtype=np.uint16)
    low, high = values.measured(np.concatenate([dark, bright]))
    assert (low, high) == (0, 4095)
    assert values.eight_bit(dark, low, high).max() == 1
    np.testing.assert_array_equal(
        values.eight_bit(np.arange(65536, dtype=np.uint16), 0, 65535), np.arange(65536) // 257
    )


@pytest.mark.parametrize(
    ("plain", "mark", "wanted"),
    [
        (np.arange(4096, dtype=np.uint16), 65535, (0, 4095)),
        (np.linspace(0, 1, 500, dtype=np.float32), -9999, (0, 1)),
        (np.array([0, 1, 2] * 50, np.uint8), 255, (0, 2)),
        (np.arange(-1000, 2000, dtype=np.int32), -(2**31), (-997, 1996)),
    ],
    ids=["burnt in", "no data", "not labelled", "padding"],
)
def test_a_mark_far_from_all_values_is_none(plain: np.ndarray, mark: int, wanted: tuple[float, float]) -> None:
    marked = np.concatenate([plain, np.full(len(plain) // 20, mark, plain.dtype)])
    np.testing.assert_allclose(values.measured(marked), wanted, atol=0.5)
    np.testing.assert_allclose(values.measured(plain), wanted, atol=0.5)


def test_what_nearly_all_lies_close_together_in_is_told(tmp_path: Path) -> None:
    for i in range(30):
        drawn = RANDOM.integers(2000, size=(40, 40)).astype(np.uint16)
        drawn[:4, :4] = RANDOM.integers(65536, size=(4, 4))
        put(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png", drawn)
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out", range=(0, 65535))
    assert any("30 of 30 images: nine tenths of the pixels" in warning for warning in made.card.warnings)
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "other", range=(0, 2000))
    assert not any("nine tenths of the pixels" in warning for warning in made.card.warnings)


def test_what_is_transparent_is_white_whatever_is_shown() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, 4:, 3] = 255
    written = io.BytesIO()
    Image.fromarray(clear).save(written, "PNG")
    for settings in ({}, {"channels": (2, 1, 0)}, {"channels": (0,)}, {"range": (0.0, 255.0)}):
        made = data.folder.decode(written.getvalue(), 8, SourceConfig(image_size=8, **settings))  # pyright: ignore[reportArgumentType]
        assert (made.pixels[:, :4] == 255).all(), settings
        assert (made.pixels[:, 4:] == 0).all(), settings
    alpha = data.folder.decode(written.getvalue(), 8, SourceConfig(image_size=8, channels=(3,)))
    assert (alpha.pixels[:, :4] == 0).all()


def test_what_lies_beside_images_is_no_damage_and_named(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    for name in ("README.md", "LICENSE", "labels.csv", "a/1.xml", "a/Thumbs.db", "@eaDir/x.png", ".c/0.png", "a/v.mp4"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text("no image")
    weak = bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 4, 0, 24, 0]) + bytes(48)
    (photos / "a" / "weights.bin").write_bytes(weak)  # a TGA, if its name said so
    (photos / "empty").mkdir()
    (photos / "a" / "sky.fits").write_bytes(b"SIMPLE  =")
    (photos / "a" / "annexed.png").symlink_to("nowhere")
    (photos / "a" / "loop").symlink_to(photos)
    made, reading = prepare_folder(photos, tmp_path / "out")
    assert sum(part["count"] for part in made.card.splits.values()) == 20
    assert made.card.skipped["count"] == 0
    names = {name for names in reading.left_out.values() for name in names}
    assert {"README.md", "LICENSE", "a/1.xml", "@eaDir", ".c", "a/v.mp4", "a/weights.bin", "empty"} <= names
    assert {"a/annexed.png", "a/loop"} <= names
    assert reading.left_out["images of a format that is not read here (save them as TIFF or PNG)"] == ["a/sky.fits"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
        ("x.dng", b"II*\0" + bytes(90), "a camera's RAW file"),
        ("x.jpg", b"<html>404 Not Found</html>", "an error page"),
        ("x.jpg", b"", "the file is empty"),
    ],
)
def test_what_is_called_an_image_and_is_not_read_leads_somewhere(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    photos = tree(tmp_path / "photos")
    (photos / "a" / name).write_bytes(content)
    with pytest.raises(Refused, match="1 of 21 files could not be read") as refused:
        prepare_folder(photos, tmp_path / "out")
    assert said.replace("an error page", "error page") in str(refused.value)


def test_raw_files_beside_their_pictures_are_no_loss(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    for name in ("a", "b"):
        for i in range(10):
            (photos / name / f"{i}.CR2").write_bytes(b"II*\0\x10\0\0\0CR" + bytes(90))
    made, reading = prepare_folder(photos, tmp_path / "out")
    assert sum(part["count"] for part in made.card.splits.values()) == 20
    assert made.card.skipped["count"] == 0
    assert len(reading.left_out["a camera's RAW files, whose pictures lie beside them"]) == 20
    (photos / "b" / "alone.CR2").write_bytes(bytes(90))
    with pytest.raises(Refused, match=r"1 of 21 files .* b/alone\.CR2 \(a camera's RAW file"):
        prepare_folder(photos, tmp_path / "other")


def test_a_jpeg_that_lacks_its_end_mark_alone_is_read(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.fromarray(RANDOM.integers(256, size=(24, 24, 3), dtype=np.uint8)).save(written, "JPEG")
    content, config = written.getvalue(), SourceConfig(image_size=24)
    whole = data.folder.decode(content, 24, config).pixels
    np.testing.assert_array_equal(data.folder.decode(content[:-2], 24, config).pixels, whole)
    with pytest.raises(OSError, match="truncated"):
        data.folder.decode(content[:-60], 24, config)


def test_linked_folders_are_read_and_spellings_are_one_class(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos" / "train", ("café", "b"))
    tree(tmp_path / "photos" / "test", (unicodedata.normalize("NFD", "café"), "b "))
    tree(tmp_path / "elsewhere", ("c",))
    (photos / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (tmp_path / "photos" / "test" / "c").symlink_to(tmp_path / "elsewhere" / "c")
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out")
    assert made.card.classes == ["b", "café", "c"] or made.card.classes == ["b", "c", "café"]
    assert made.card.splits["test"]["count"] == 30


def test_links_and_later_versions_in_archives(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    (photos / "b" / "link.png").symlink_to("0.png")
    (photos / "b" / "hard.png").hardlink_to(photos / "b" / "1.png")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(photos, "photos")
        put(photos / "a" / "0.png", np.full((8, 8, 3), 7, np.uint8))
        archive.add(photos / "a" / "0.png", "photos/a/0.png")
    made, reading = prepare_folder(tmp_path / "a.tar", tmp_path / "out")
    assert sum(part["count"] for part in made.card.splits.values()) == 22
    assert list(reading.left_out.values()) == [["photos/a/0.png"]]
    images = {file: image for one in made.splits for file, image in zip(made.files(one), made.images(one), strict=True)}
    assert (images["photos/a/0.png"] == 7).all()  # the later one
    assert not (images["photos/a/1.png"] == 7).all()


def test_pictures_that_show_nothing_and_one_class_that_is_nearly_all_are_warnings(tmp_path: Path) -> None:
    for i in range(60):
        put(tmp_path / "photos" / ("b" if i % 20 == 0 else "a") / f"{i}.png", np.full((8, 8, 3), 30 + i % 4, np.uint8))
    made, _ = prepare_folder(tmp_path / "photos", tmp_path / "out")
    assert any("60 of 60 images: nearly black or of one colour" in warning for warning in made.card.warnings)
    assert any("95.0% of all labelled images are of the class a" in warning for warning in made.card.warnings)
    made, _ = prepare_folder(tree(tmp_path / "other"), tmp_path / "other_out")
    assert not made.card.warnings


def test_pictures_that_show_nothing_are_named_where_they_are_few(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", ("a", "b", "c"), each=20)
    for i in range(2, 8):
        put(photos / "ab"[i % 2] / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for file in sorted(photos.rglob("*.png"), key=lambda file: (file.name, file)):
            archive.add(file, file.relative_to(photos))
    made, _ = prepare_folder(tmp_path / "a.tar", tmp_path / "out")
    assert "6 of 60 images: nearly black or of one colour (a/2.png, a/4.png, a/6.png and 3 more)" in made.card.notes
    assert not made.card.warnings


@pytest.mark.parametrize(("black", "these"), [("c", "class c"), ("bc", "classes b, c")])
def test_pictures_that_show_nothing_are_a_warning_where_they_are_all_of_a_class(
    black: str, these: str, tmp_path: Path
) -> None:
    photos = tree(tmp_path / "photos", ("a", "b", "c", "d", "e"))
    for i in range(10):
        for name in black:
            put(photos / name / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    put(photos / "a" / "0.png", np.zeros((8, 8, 3), np.uint8))
    made, _ = prepare_folder(photos, tmp_path / "out")
    said = f"{10 * len(black) + 1} of 50 images, among them all of the {these}: nearly black or of one colour: there is"
    assert any(warning.startswith(said) for warning in made.card.warnings)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tree(tmp_path / "photos")
    with (photos / "a" / "large.png").open("wb") as opened:
        opened.truncate(5000)
    monkeypatch.setattr(files, "LARGEST", 4000)
    made, _ = prepare_folder(photos, tmp_path / "out", max_skipped_share=0.5)
    assert [one["file"] for one in made.card.skipped["files"]] == ["a/large.png"]
    assert "GiB are read at most" in made.card.skipped["files"][0]["why"]


def zip_of(file: Path, names: Sequence[bytes], extra: Callable[[bytes], bytes] = lambda name: b"") -> Path:
    """A zip whose names are these bytes, in an encoding that it does not say."""
    written = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, name in enumerate(names):
            written.seek(0)
            Image.fromarray(RANDOM.integers(256, size=(9, 8, 3), dtype=np.uint8)).save(written, "PNG")
            member = zipfile.ZipInfo(f"<{i:_>{len(name) - 2}}>")
            member.extra = extra(name)
            archive.writestr(member, written.getvalue())
    content = file.read_bytes()
    for i, name in enumerate(names):
        content = content.replace(f"<{i:_>{len(name) - 2}}>".encode(), name)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("encoding", "names", "read_as"),
    [
        ("cp932", ["猫", "犬"], "cp932"),
        ("cp932", ["ﾈｺ写真", "犬ポチ"], "cp932"),
        ("gbk", ["猫咪", "小狗"], "gbk"),
        ("gbk", ["X光", "T恤"], "gbk"),
        ("gbk", ["猫", "狗"], "gbk"),
        ("cp949", ["고양이", "강아지"], "cp949"),
        ("big5", ["貓咪", "小狗"], "big5"),
        ("cp866", ["кот", "пёс"], "cp866"),
        ("cp932", ["あか", "あお"], "cp932"),
        ("cp932", ["あ", "う"], "cp932"),
        ("cp1251", ["собака", "лиса"], "cp1251"),
        ("cp437", ["Hündin", "Rüde"], "cp437"),
        ("cp437", ["niño", "señal"], "cp437"),
        ("cp850", ["Größe", "Straße"], "cp437"),
        ("cp865", ["hjælp", "fjærkre"], "cp437"),
        ("cp437", ["à la carte", "lit"], "cp437"),
        ("utf-8", ["café", "żaba"], "utf-8"),
    ],
)
def test_names_of_a_zip_that_does_not_say_their_encoding(
    encoding: str, names: list[str], read_as: str, tmp_path: Path
) -> None:
    held = [f"{name}/{i}.png".encode(encoding) for name in names for i in range(10)]
    made, _ = prepare_folder(zip_of(tmp_path / "a.zip", held), tmp_path / "out")
    assert sorted(made.card.classes) == sorted(unicodedata.normalize("NFC", name) for name in names)
    said = f"the archive does not say rightly how its names are written: read as {read_as}"
    if encoding == "utf-8":
        assert (made.card.notes[-1:], made.card.warnings) == ([said], [])
    else:
        way = "; where they look wrong, unpack it (`unzip -O ENCODING a.zip`) and give the folder"
        assert made.card.warnings == [said + way]


@pytest.mark.parametrize(("change", "classes"), [(b"", ["żaba", "кот"]), (b"?", ["????", "???"])])
def test_the_unicode_names_of_a_zip_are_taken_while_they_are_of_its_names(
    change: bytes, classes: list[str], tmp_path: Path
) -> None:
    told = {f"{'?' * len(name)}/{i}.png".encode(): f"{name}/{i}.png" for name in ("żaba", "кот") for i in range(10)}

    def extra(name: bytes) -> bytes:
        content = struct.pack("<BI", 1, zlib.crc32(change + name)) + told[name].encode()
        return struct.pack("<HHHH", 1, 0, 0x7075, len(content)) + content

    made, _ = prepare_folder(zip_of(tmp_path / "a.zip", list(told), extra), tmp_path / "out")
    assert sorted(made.card.classes) == sorted(classes)
    assert not made.card.warnings


@pytest.mark.parametrize(("fit", "kept"), [("crop", False), ("squash", True), ("pad", True)])
def test_how_a_strip_becomes_a_square(fit: str, kept: bool) -> None:
    strip = np.zeros((8, 80, 3), np.uint8)
    strip[:, :16] = 255
    made = data.folder.decode(strip, 8, SourceConfig(image_size=8, fit=fit))  # pyright: ignore[reportArgumentType]
    assert (made.pixels.max() > 100) == kept
    assert bool([note for note in made.notes if "cut away" in note]) == (fit == "crop")


def test_arrays_like_medmnists_are_read(tmp_path: Path) -> None:
    arrays = {
        f"{split}_images": RANDOM.integers(256, size=(20, 8, 8), dtype=np.uint8) for split in ("train", "val", "test")
    }
    labels = {f"{split}_labels": np.arange(20)[:, None] % 3 for split in ("train", "val", "test")}
    np.savez(tmp_path / "m.npz", **arrays, **labels)  # pyright: ignore[reportArgumentType]
    made, _ = prepare_by(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8), tmp_path / "out")
    assert made.card.classes == ["0", "1", "2"]
    assert made.card.splits["test"]["per_class"] == [7, 7, 6]
    with pytest.raises(Refused, match="say source: npz"):
        prepare_folder(tmp_path / "m.npz", tmp_path / "other")


def test_shards_of_webdataset_are_read(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", each=20)
    with tarfile.open(tmp_path / "shard-000.tar", "w") as archive:
        for i in range(40):
            for suffix, content in (
                ("cls", b"%d" % (i % 2)),
                ("png", (photos / "ab"[i % 2] / f"{i // 2}.png").read_bytes()),
            ):
                member = tarfile.TarInfo(f"{i:03}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    config = WebDatasetConfig(source="webdataset", path=str(tmp_path / "shard-000.tar"), image_size=8)
    made, _ = prepare_by(config, tmp_path / "out")
    assert made.card.classes == ["0", "1"]
    assert sum(part["count"] for part in made.card.splits.values()) == 40
    as_a_folder, _ = prepare_folder(tmp_path / "shard-000.tar", tmp_path / "other")
    assert "000.cls lies there, as in a shard of WebDataset: say source: webdataset" in " ".join(as_a_folder.card.notes)


def test_what_may_not_be_read_is_told_from_what_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "gone/1.png", "closed/1.png", "open/closed.png", "open/gone.png", "open/1.png"):
        put(tmp_path / name)
    stat = Path.stat

    def failing(path: Path, **how: bool) -> os.stat_result:
        if trouble := {"gone": FileNotFoundError, "closed": PermissionError}.get(path.stem):
            raise trouble
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", failing)
    reading = Reading(examples=iter(()))
    assert [file.names for file in folders.files(tmp_path, reading)] == [["a/1.png"], ["open/1.png"]]
    assert reading.left_out == {files.CLOSED: ["closed", "open/closed.png"], files.GONE: ["gone", "open/gone.png"]}


def test_a_folder_that_may_not_be_entered_is_no_pipe() -> None:
    class Closed:
        """A folder in one that may be listed and not entered."""

        name = "closed"

        def is_dir(self) -> bool:
            return True

        def stat(self) -> os.stat_result:
            raise PermissionError

    closed: Any = Closed()
    assert folders._kind(closed, frozenset()) == files.CLOSED  # pyright: ignore[reportPrivateUsage]


def test_an_encrypted_zip_is_refused_in_a_sentence(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", each=1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "a" / "0.png", "a/0.png")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Refused, match=r"a\.zip cannot be read: it is encrypted; unpack it with its password"):
        prepare_folder(tmp_path / "a.zip", tmp_path / "out")


def tar_of(file: Path, names: Sequence[str], mode: Literal["w", "w:gz", "w:xz", "w:bz2"] = "w") -> bytes:
    written = io.BytesIO()
    with tarfile.open(file, mode) as archive:
        for name in names:
            written.seek(0)
            Image.fromarray(RANDOM.integers(256, size=(9, 8, 3), dtype=np.uint8)).save(written, "PNG")
            member = tarfile.TarInfo(name)
            member.size = len(written.getvalue())
            written.seek(0)
            archive.addfile(member, written)
    return file.read_bytes()


NAMES = [f"{name}/{i}.png" for name in "ab" for i in range(10)]


def header_of(name: str, content: bytes) -> int:
    return content.index(name.encode() + b"\0")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tar: tar.replace(b"b/5.png\0", b"b/\xff.png\0"), "is damaged (bad checksum)"),
        (lambda tar: tar[: header_of("b/5.png", tar) + 200], "is damaged (truncated header)"),
        (lambda tar: tar + tar, "is several tars behind each other: unpack all (`tar -xif a.tar`)"),
        (lambda tar: gzip.compress(tar) + gzip.compress(tar), "is several tars behind each other"),
    ],
    ids=["a header", "cut in a header", "two", "two that are packed"],
)
@pytest.mark.parametrize("source", ["folder", "webdataset"])
def test_a_tar_is_not_read_halfway(
    change: Callable[[bytes], bytes], said: str, source: Literal["folder", "webdataset"], tmp_path: Path
) -> None:
    (tmp_path / "a.tar").write_bytes(change(tar_of(tmp_path / "whole.tar", NAMES)))
    config = FolderConfig(source="folder", path=str(tmp_path / "a.tar"), image_size=8)
    if source == "webdataset":
        config = WebDatasetConfig(source="webdataset", path=str(tmp_path / "a.tar"), image_size=8)
    with pytest.raises(Refused, match=re.escape(said)):
        prepare_by(config, tmp_path / "out")


@pytest.mark.parametrize("place", [40, 0.5])
@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_packed_tar_that_is_damaged_anywhere_is_refused(
    mode: Literal["w:gz", "w:xz", "w:bz2"], place: float, tmp_path: Path
) -> None:
    content = tar_of(tmp_path / "a.tar.x", NAMES, mode)
    at = int(place if place > 1 else place * len(content))
    (tmp_path / "a.tar.x").write_bytes(content[:at] + b"\xa5" * 40 + content[at + 40 :])
    with pytest.raises(Refused, match=r"the archive a\.tar\.x is damaged"):
        prepare_folder(tmp_path / "a.tar.x", tmp_path / "out")


@pytest.mark.parametrize(
    "cut", [lambda tar, packed: tar[:30], lambda tar, packed: packed[len(packed) // 2 :]], ids=["start", "tail"]
)
def test_a_piece_of_an_archive_is_refused(cut: Callable[[bytes, bytes], bytes], tmp_path: Path) -> None:
    packed = zip_of(tmp_path / "a.zip", [name.encode() for name in NAMES]).read_bytes()
    (tmp_path / "piece").write_bytes(cut(tar_of(tmp_path / "a.tar.gz", NAMES, "w:gz"), packed))
    for read in (folder.peek, lambda path: prepare_folder(path, tmp_path / "out")):
        with pytest.raises(Refused, match="the archive piece is damaged"):
            read(tmp_path / "piece")


def test_a_member_of_a_zip_that_is_damaged_is_skipped(tmp_path: Path) -> None:
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        for file in sorted(tree(tmp_path / "photos").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "photos"))
    content = packed.read_bytes()
    at = content.index(b"b/5.png") + 40
    packed.write_bytes(content[:at] + b"\xa5" * 40 + content[at + 40 :])
    made, _ = prepare_folder(packed, tmp_path / "out", max_skipped_share=0.1)
    assert [one["file"] for one in made.card.skipped["files"]] == ["b/5.png"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.zip",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "fetch the archives with `git lfs pull`",
        ),
        ("a.zip", b"<html>Sign in</html>", "such as a download's error page"),
        ("a.zip", b"", "the file is empty"),
        ("a.tar.lz4", b"\x04\x22\x4d\x18" + bytes(99), "`lz4 -dc a.tar.lz4 | tar -x`"),
        ("a.tar.Z", b"\x1f\x9d\x90" + bytes(99), "`tar -xZf a.tar.Z`"),
        ("a.tar.gz", gzip.compress(b"no tar" * 99, mtime=0), "something else that is packed"),
        ("a.zip.001", b"PK\3\4", "join them (`cat a.zip.* > a.zip`)"),
        ("a.z01", b"PK\7\x08", "join them (`zip -s 0 a.zip --out whole.zip`)"),
    ],
)
def test_what_is_no_archive_leads_somewhere(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=re.escape(said)):
        prepare_folder(tmp_path / name, tmp_path / "out")


def test_the_last_part_of_a_zip_is_none(tmp_path: Path) -> None:
    content = bytearray(zip_of(tmp_path / "a.zip", [name.encode() for name in NAMES]).read_bytes())
    content[content.index(b"PK\1\2") + 34] = 1  # the part that the member is in
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Refused, match=re.escape("one part of several: join them (`zip -s 0 a.zip --out whole.zip`)")):
        prepare_folder(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "said"),
    [("x.nii.gz", "arrays"), ("x.arrow", "Arrow files"), ("x.tar.gz", "archives"), ("x.gz", "archives")],
)
def test_what_a_file_beside_images_is_called(name: str, said: str) -> None:
    assert (kinds.no_image(name, b"") or "").startswith(said)


def test_a_tar_without_its_end_is_read_and_told_and_what_is_behind_an_end_does_not_matter(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a.tar", NAMES)
    for content, told in (
        (whole[: header_of("b/5.png", whole)], {archives.UNENDED: ["a.tar"]}),
        (whole + bytes(5000) + b"signature" * 99, {}),
    ):
        (tmp_path / "a.tar").write_bytes(content)
        made, reading = prepare_folder(tmp_path / "a.tar", tmp_path / f"out{len(told)}")
        assert sum(part["count"] for part in made.card.splits.values()) == (15 if told else 20)
        assert reading.left_out == told


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_names_that_are_no_text_are_told_and_show_no_controls(kind: str, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", (os.fsdecode("犬".encode("cp932")), "\x1b[31mred\n"))
    if kind == "tar":
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.add(photos, ".")
        photos = tmp_path / "a.tar"
    made, _ = prepare_folder(photos, tmp_path / "out")
    assert made.card.classes == ["\\x1b[31mred", "\\x8c¢"]
    assert made.card.warnings == [files.LATIN]


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_separators_of_windows_part_folders(kind: str, tmp_path: Path) -> None:
    held = [name.replace("/", "\\") for name in NAMES]
    if kind == "zip":
        zip_of(tmp_path / "set", [f"set/{name}".encode() for name in held])
        with zipfile.ZipFile(tmp_path / "set", "a") as archive:
            archive.writestr("set\\a\\", b"")
    elif kind == "tar":
        tar_of(tmp_path / "set", held)
    else:
        for name in (*held, "__MACOSX\\a\\._0.png"):
            put(tmp_path / "set" / name)
    made, _ = prepare_folder(tmp_path / "set", tmp_path / "out")
    assert made.card.classes == ["a", "b"]
    assert set(made.card.left_out) <= {"a system's leftovers"}


def test_a_backslash_in_few_names_is_a_letter(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    put(photos / "a" / "x\\y.png")
    made, _ = prepare_folder(photos, tmp_path / "out")
    assert made.card.classes == ["a", "b"]
    assert "a/x\\y.png" in [file for split in made.splits for file in made.files(split)]


def test_labels_show_no_controls() -> None:
    assert spellings.clean("\x1b[31mred\n") == "\\x1b[31mred"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a/0.parquet", b"PAR1", r"for images in them say source: parquet\) \(1\): a/0\.parquet"),
        ("m.npz", b"PK", r"say source: npz\) \(1\): m\.npz"),
        ("cat.zip", b"PK", r"archives inside \(unpack them, .*\) \(1\): cat\.zip"),
        ("0.cr2", b"II*\0", r"0\.cr2: a camera's RAW file \(\.cr2\): develop it"),
    ],
)
def test_a_folder_without_images_is_looked_at_and_what_it_holds_is_said(
    name: str, content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=rf"holds no image that can be read: give a folder of images \(.*{why}"):
        data.folder.peek(tmp_path)
