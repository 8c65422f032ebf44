"""Images as people have them: what is read of each, what is not, and in which words."""

import io
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import files, prepared, values
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
    (photos / "a" / "annexed.png").symlink_to("nowhere")
    (photos / "a" / "loop").symlink_to(photos)
    made, reading = prepare_folder(photos, tmp_path / "out")
    assert sum(part["count"] for part in made.card.splits.values()) == 20
    assert made.card.skipped["count"] == 0
    names = {name for names in reading.left_out.values() for name in names}
    assert {"README.md", "LICENSE", "a/1.xml", "@eaDir", ".c", "a/v.mp4", "a/weights.bin", "empty"} <= names
    assert {"a/annexed.png", "a/loop"} <= names


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


def test_names_of_a_japanese_zip_are_read(tmp_path: Path) -> None:
    tree(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "photos").rglob("*.png")):
            name = f"{ {'a': '猫', 'b': '犬'}[file.parent.name] }/{file.name}"
            archive.writestr(name.encode("cp932").decode("cp437"), file.read_bytes())
    made, _ = prepare_folder(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(made.card.classes) == sorted(["猫", "犬"])


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
