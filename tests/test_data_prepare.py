"""From a source to the prepared arrays: folders, archives, drawn images; whole or refused."""

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import archives, fashion_mnist, prepared, shapes
from ssl_core.data.decode import decode
from ssl_core.data.folder import FolderConfig, folders, peek
from ssl_core.data.prepared import Prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.shapes import ShapesConfig
from ssl_core.data.source import SourceConfig
from ssl_core.errors import Refused

COLOURS = {"cat": "red", "dog": "blue", "owl": "green"}


def tree(root: Path, prefixes: tuple[str, ...] = ("",), each: int = 20) -> Path:
    for prefix in prefixes:
        for name, colour in COLOURS.items():
            folder = root / prefix / name
            folder.mkdir(parents=True)
            for i in range(each):
                image = Image.new("RGB", (10 + i % 3, 12), colour)
                image.save(folder / f"{i:02}.{'png' if i % 2 else 'jpg'}")
    return root


def prepare_folder(path: Path, out: Path, **settings: object) -> Prepared:
    config = FolderConfig(source="folder", path=str(path), image_size=8, **settings)  # pyright: ignore[reportArgumentType]
    out.mkdir(exist_ok=True)
    prepare("mine", data.read(config, out), config, out)
    return prepared.load(out)


def colours_match(made: Prepared) -> bool:
    for split in made.splits:
        for image, label in zip(made.images(split), made.labels(split), strict=True):
            wanted = Image.new("RGB", (1, 1), COLOURS[made.card.classes[label]]).getpixel((0, 0))
            if np.abs(image[4, 4].astype(int) - wanted).max() > 12:
                return False
    return True


def test_a_tree_of_classes_is_cut_by_seed_per_class(tmp_path: Path) -> None:
    made = prepare_folder(tree(tmp_path / "photos"), tmp_path / "out")
    assert made.card.classes == ["cat", "dog", "owl"]
    assert {name: part["per_class"] for name, part in made.card.splits.items()} == {
        "train": [16] * 3,
        "val": [2] * 3,
        "test": [2] * 3,
    }
    assert colours_match(made)
    assert made.card.original_sizes == {"10x12": 21, "11x12": 21, "12x12": 18}
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 400
    train = made.images("train").reshape(-1, 3) / 255
    np.testing.assert_allclose(made.card.mean, train.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(made.card.std, train.std(axis=0), atol=1e-5)


def test_the_same_input_gives_the_same_bytes_and_another_seed_another_cut(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare_folder(photos, tmp_path / name, seed=seed)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    same = [(tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files]
    assert all(same)
    assert "pixels" not in files
    assert (tmp_path / "a" / "val_images.npy").read_bytes() != (tmp_path / "c" / "val_images.npy").read_bytes()


def test_each_image_keeps_the_path_of_its_file(tmp_path: Path) -> None:
    made = prepare_folder(tree(tmp_path / "photos"), tmp_path / "out")
    for split in made.splits:
        named = list(made.files(split))
        assert len(set(named)) == len(made.labels(split))
        for name, image, label in zip(named, made.images(split), made.labels(split), strict=True):
            assert name.split("/")[0] == made.card.classes[label]
            content = (tmp_path / "photos" / name).read_bytes()
            np.testing.assert_array_equal(image, decode(content, 8, SourceConfig()).pixels)
    (tmp_path / "out" / "val_files.jsonl").unlink()
    with pytest.raises(Refused, match="an earlier version prepared these images"):
        next(made.files("val"))


@pytest.mark.parametrize("kind", ["tree", "gztar", "zip"])
def test_the_folders_that_are_named_are_those_of_the_images(tmp_path: Path, kind: str) -> None:
    photos = tree(tmp_path / "photos" / "deep", ("a-b", "a"), each=2)
    (photos / ".hidden").write_text("not meant")
    for name in ("README.txt", "a/0 notes.txt", "papers/damaged.png"):  # the last folder has no image
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text("no image")
    (photos / "a").joinpath("a link").symlink_to("../a-b", target_is_directory=True)
    given = (
        photos if kind == "tree" else Path(shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path / "photos"))
    )
    read = [name for name, _ in data.read(FolderConfig(source="folder", path=str(given)), tmp_path).examples]
    images = [name for name in read if name.endswith(".png") and "papers" not in name]
    assert set(folders(given)) == {PurePosixPath(name).parts[:-1] for name in images}
    assert len(folders(given)) < len({PurePosixPath(name).parent for name in read})


def test_the_card_tells_the_data_of_each_split_apart(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    made, other = prepare_folder(photos, tmp_path / "a"), prepare_folder(photos, tmp_path / "b", seed=1)
    for split in made.splits:
        content = made.images(split).tobytes() + made.labels(split).tobytes()
        assert made.card.splits[split]["sha256"] == hashlib.sha256(content).hexdigest()
        assert made.card.splits[split]["sha256"] != other.card.splits[split]["sha256"]


def test_splits_that_are_given_are_kept(tmp_path: Path) -> None:
    made = prepare_folder(tree(tmp_path / "photos", ("train", "valid", "test"), each=6), tmp_path / "out")
    assert {name: part["count"] for name, part in made.card.splits.items()} == {"train": 18, "val": 18, "test": 18}
    assert colours_match(made)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in photos.rglob("*.*"):
        shutil.copy(file, flat / f"{file.parent.name}{file.name}")
    made = prepare_folder(flat, tmp_path / "out")
    assert made.card.classes == []
    assert {name: part["count"] for name, part in made.card.splits.items()} == {"train": 49, "val": 5, "test": 6}
    assert (made.labels("train") == -1).all()


def test_images_beside_the_classes_are_unlabelled_ones_to_pretrain_on(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", ("train", "test"))
    Image.new("RGB", (9, 9)).save(photos / "train" / "stray.png")
    made = prepare_folder(photos, tmp_path / "out")
    assert made.card.splits["unlabelled"]["count"] == 1


@pytest.mark.parametrize("kind", ["gztar", "xztar", "tar", "zip"])
def test_an_archive_gives_what_its_tree_gives(tmp_path: Path, kind: str) -> None:
    photos = tree(tmp_path / "tree" / "photos", each=10)
    archive = shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path / "tree")
    made = prepare_folder(Path(archive), tmp_path / "a")
    assert colours_match(made)
    assert made.card.splits["train"]["count"] == prepare_folder(photos, tmp_path / "b").card.splits["train"]["count"]
    assert made.card.sources[0]["file"] == Path(archive).name


def hostile(path: Path, name: str, link: str = "") -> Path:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        archive.addfile(member, io.BytesIO(b""))
    return path


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:/out.png", "c:\\out.png"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="a path that leaves its folder"):
        prepare_folder(hostile(tmp_path / "bad.tar", name), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"")
    with pytest.raises(Refused, match="a path that leaves its folder"):
        prepare_folder(tmp_path / "bad.zip", tmp_path / "out")


@pytest.mark.parametrize(("name", "link"), [("a/link", "../../etc"), ("link", "/etc/passwd")])
def test_links_that_leave_an_archive_are_left_out_and_times_are_no_drives(tmp_path: Path, name: str, link: str) -> None:
    archive = hostile(tmp_path / "a.tar", name, link)
    with tarfile.open(archive, "a") as opened:
        opened.add(tree(tmp_path / "photos"), ".")
        opened.add(tmp_path / "photos" / "cat" / "01.png", "cat/3:45pm.png")
    made = prepare_folder(archive, tmp_path / "out")
    assert made.card.left_out[archives.BROKEN]["files"] == [name]
    assert sum(part["count"] for part in made.card.splits.values()) == 61
    assert any("cat/3:45pm.png" in made.files(split) for split in made.splits)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    whole = Path(shutil.make_archive(str(tmp_path / "archive"), "xztar", photos))
    content = whole.read_bytes()
    for kept in (len(content) // 2, len(content) - 20):
        whole.write_bytes(content[:kept])
        with pytest.raises(Refused, match="is damaged"):
            prepare_folder(whole, tmp_path / "out")


def test_what_cannot_be_read_is_skipped_counted_and_named(tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    (photos / "cat" / "notes.png").write_text("no image")
    cut = photos / "dog" / "01.png"
    cut.write_bytes(cut.read_bytes()[:40])
    (photos / ".DS_Store").write_text("not meant")
    made = prepare_folder(photos, tmp_path / "out", max_skipped_share=0.1)
    assert made.card.skipped["count"] == 2
    assert [entry["file"] for entry in made.card.skipped["files"]] == ["cat/notes.png", "dog/01.png"]
    with pytest.raises(Refused, match=r"2 of 61 files could not be read .* the first is cat/notes.png"):
        prepare_folder(photos, tmp_path / "out", max_skipped_share=0.02)


def sized(root: Path, sizes: list[tuple[int, int]]) -> Path:
    root.mkdir()
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(root / f"{i:02}.png")
    return root


@pytest.mark.parametrize(
    ("sizes", "suggested"),
    [
        ([(30, 40), (31, 200), (200, 29)], 28),
        ([(32, 32)], 32),
        ([(10, 500)], 16),
        ([(640, 480)], 64),
        ([(20, 20)] * 12 + [(60, 60)] * 8 + [(60, 60)] * 30, 20),  # the first 20 alone
    ],
)
def test_the_size_to_suggest_is_that_of_the_first_images(
    sizes: list[tuple[int, int]], suggested: int, tmp_path: Path
) -> None:
    photos = sized(tmp_path / "photos", sizes)
    (photos / "00 notes.txt").write_text("no image")
    assert peek(photos) == suggested
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", photos)
    assert peek(archive) == suggested
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "archive.zip"}


def test_no_size_is_suggested_for_what_holds_no_images(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^path is \S+missing, and nothing is there"):
        peek(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(Refused, match="which is no folder"):
        peek(tmp_path / "notes.txt")
    with pytest.raises(Refused, match="holds no image that can be read"):
        peek(tmp_path)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="holds no file"):
        prepare_folder(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(Refused, match="nothing is there"):
        prepare_folder(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(Refused, match="which is no folder"):
        prepare_folder(tmp_path / "notes.txt", tmp_path / "out")


def test_images_too_few_for_the_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no image is left for the val split"):
        prepare_folder(tree(tmp_path / "photos", ("train", "test"), each=1), tmp_path / "out")


def test_shapes_are_the_same_for_the_same_seed_and_their_factors_are_known(tmp_path: Path) -> None:
    config = ShapesConfig(source="shapes", image_size=24, count=140)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        prepare("shapes", data.read(config, tmp_path), config, tmp_path / name)
    assert (tmp_path / "a" / "train_images.npy").read_bytes() == (tmp_path / "b" / "train_images.npy").read_bytes()
    made = prepared.load(tmp_path / "a")
    assert made.card.classes == list(shapes.SHAPES)
    factors = np.load(tmp_path / "a" / "train_factors.npy")
    assert factors.shape == (len(made.labels("train")), len(shapes.FACTORS))
    circle = shapes.draw("circle", np.array([1, 0, 0, 0.5, 0.3, 0.6, 0, 0.5]), 64, np.random.default_rng(0))
    red = np.argwhere((circle[..., 0] > 200) & (circle[..., 1] < 60))
    assert red.mean(axis=0) == pytest.approx([0.6 * 64, 0.3 * 64], abs=1)
    assert len(red) == pytest.approx(np.pi * 16**2, rel=0.05)


def test_a_debian_package_is_unpacked_with_and_without_dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tmp_path / "root" / "usr" / "share"
    content.mkdir(parents=True)
    (content / "x-ubyte.gz").write_bytes(b"content")
    packed = tmp_path / "data.tar.xz"
    with tarfile.open(packed, "w:xz") as archive:
        archive.add(tmp_path / "root", arcname=".")
    package = tmp_path / "p.deb"
    parts = [("debian-binary", b"2.0\n"), ("data.tar.xz", packed.read_bytes())]
    package.write_bytes(b"!<arch>\n" + b"".join(_ar(name, part) for name, part in parts))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    fashion_mnist.unpack_deb(package, tmp_path / "without")
    assert (tmp_path / "without" / "x-ubyte.gz").read_bytes() == b"content"


def _ar(name: str, content: bytes) -> bytes:
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def test_an_archive_of_real_photographs_is_prepared(tmp_path: Path) -> None:
    archive = os.environ.get("STOPGRAD_ARCHIVE", "")
    if not Path(archive).is_file():
        pytest.skip("STOPGRAD_ARCHIVE names no archive of images")
    made = prepare_folder(Path(archive), tmp_path / "out")
    assert made.card.splits["train"]["count"] > 0
    assert made.card.skipped["share"] <= 0.01
