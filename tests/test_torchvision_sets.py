"""Public sets as torchvision keeps them on disk, written in miniature; and what is said where none is there."""

import bz2
import inspect
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as sets
from PIL import Image

from ssl_core import data
from ssl_core.data import prepared, torchvision_sets
from ssl_core.data.prepared import Prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.torchvision_sets import PUBLISHED, TorchvisionSetConfig
from ssl_core.errors import Refused
from tasks.prepare import RAW

EACH = 10
"""Images of each class and split."""
Counts = dict[str, int]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket, "create_connection", refuse)


def shade(label: int, number: int, side: int = 12) -> np.ndarray:
    """An image of a class, uint8 [side, side, 3], that no other one equals; a third of its pixels say the class."""
    pixels = np.full((side, side, 3), 50 + 60 * label, dtype=np.uint8)
    pixels[: side // 3] = np.random.default_rng(number).integers(0, 256, (side // 3, side, 1))
    return pixels


def save(file: Path, label: int, number: int, mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shade(label, number, 24)).convert(mode).save(file)


def write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def drawn(split: int, side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Images of two classes, uint8 [2 EACH, side, side, 3], and their labels."""
    labels = np.arange(2 * EACH) % 2
    return np.stack([shade(label, 100 * split + i, side) for i, label in enumerate(labels.tolist())]), labels


def mnist(raw: Path) -> None:
    (raw / "MNIST" / "raw").mkdir(parents=True)
    for split, name in enumerate(("train", "t10k")):
        images, labels = drawn(split, 28)
        for kind, content in ((f"{name}-images-idx3-ubyte", images[..., 0]), (f"{name}-labels-idx1-ubyte", labels)):
            sizes = np.array([0x800 | content.ndim, *content.shape], dtype=">i4").tobytes()
            (raw / "MNIST" / "raw" / kind).write_bytes(sizes + content.astype(np.uint8).tobytes())


def svhn(raw: Path) -> None:
    for split, name in enumerate(("train", "test")):
        images, labels = drawn(split, 32)
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels, 1, 10)[:, None]}  # ten is the digit 0
        scipy.io.savemat(raw / f"{name}_32x32.mat", content)


def usps(raw: Path) -> None:
    for split, name in enumerate(("usps.bz2", "usps.t.bz2")):
        lines = [
            " ".join(
                [str(label + 1), *(f"{i}:{value:.5f}" for i, value in enumerate((image[..., 0] / 127.5 - 1).flat))]
            )
            for image, label in zip(*drawn(split, 16), strict=True)
        ]
        (raw / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def eurosat(raw: Path) -> None:
    for i in range(2 * EACH):
        name = ("Forest", "SeaLake")[i % 2]
        save(raw / "eurosat" / "2750" / name / f"{name}_{i}.jpg", i % 2, i)


def dtd(raw: Path) -> None:
    for split, name in enumerate(("train", "val", "test")):
        files = [f"{('banded', 'dotted')[i % 2]}/{name}_{i:04}.jpg" for i in range(2 * EACH)]
        write(raw / "dtd" / "dtd" / "labels" / f"{name}1.txt", files)
        for i, file in enumerate(files):
            save(raw / "dtd" / "dtd" / "images" / file, i % 2, 100 * split + i)


def food101(raw: Path) -> None:
    for split, name in enumerate(("train", "test")):
        files = {
            food: [f"{food}/{1000 * split + 10 * label + i}" for i in range(EACH)]
            for label, food in enumerate(("apple_pie", "waffles"))
        }
        write(raw / "food-101" / "meta" / f"{name}.json", [json.dumps(files)])
        for label, numbered in enumerate(files.values()):
            for i, file in enumerate(numbered):
                save(raw / "food-101" / "images" / f"{file}.jpg", label, 100 * split + 10 * label + i)


def flowers102(raw: Path) -> None:
    folder = raw / "flowers-102"
    for number in range(1, 6 * EACH + 1):
        save(folder / "jpg" / f"image_{number:05}.jpg", number % 2, number)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.arange(1, 6 * EACH + 1)[None] % 2 + 1})
    thirds = np.arange(1, 6 * EACH + 1).reshape(3, -1)
    scipy.io.savemat(folder / "setid.mat", dict(zip(("trnid", "valid", "tstid"), thirds[:, None], strict=True)))


def caltech101(raw: Path) -> None:
    for label, name in enumerate(("accordion", "yin_yang", "BACKGROUND_Google")):
        for i in range(1, EACH + 1):
            file = raw / "caltech101" / "101_ObjectCategories" / name / f"image_{i:04}.jpg"
            save(file, label, 10 * label + i, "L" if i % 3 == 0 else "RGB")


def imagenette(raw: Path) -> None:
    for split, name in enumerate(("train", "val")):
        for i in range(2 * EACH):
            wnid = ("n01440764", "n03888257")[i % 2]
            save(raw / "imagenette2" / name / wnid / f"{wnid}_{i}.JPEG", i % 2, 100 * split + i)


def stl10(raw: Path) -> None:
    folder = raw / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    for split, name in enumerate(("train", "test", "unlabeled")):
        images, labels = drawn(split, 96)
        images.transpose(0, 3, 2, 1).tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            (labels + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "fold_indices.txt").write_text("")


CUT = {"train": 16, "val": 2, "test": 2}
HALVES = {"train": 18, "val": 2, "test": 20}
THIRDS = {"train": 20, "val": 20, "test": 20}
WRITTEN: dict[str, tuple[Callable[[Path], None], list[str], Counts]] = {
    "mnist": (mnist, ["0 - zero", "1 - one"], HALVES),
    "svhn": (svhn, ["0", "1"], HALVES),
    "usps": (usps, ["0", "1"], HALVES),
    "eurosat": (eurosat, ["Forest", "SeaLake"], CUT),
    "dtd": (dtd, ["banded", "dotted"], THIRDS),
    "food101": (food101, ["apple_pie", "waffles"], HALVES),
    "flowers102": (flowers102, ["pink primrose", "hard-leaved pocket orchid"], THIRDS),
    "caltech101": (caltech101, ["accordion", "yin_yang"], CUT),
    "imagenette": (imagenette, ["tench", "parachute"], HALVES),
    "stl10": (stl10, ["airplane", "bird"], HALVES | {"unlabelled": 20}),
}


def made(name: str, raw: Path) -> Prepared:
    config = TorchvisionSetConfig(source=name, image_size=12)  # pyright: ignore[reportArgumentType]
    reading = data.read(config, raw)
    out = raw.parent / "out"
    out.mkdir(exist_ok=True)
    prepare("mine", reading, config, out)
    return prepared.load(out)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the files, whose digests are not those of the published ones."""
    for module in (sets.svhn, sets.flowers102, sets.cifar):
        monkeypatch.setattr(module, "check_integrity", lambda file, md5=None: Path(file).is_file())
    monkeypatch.setattr(sets.STL10, "_check_integrity", lambda self: (Path(self.root) / self.base_folder).is_dir())
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_set_in_torchvisions_layout_is_read_with_its_splits_and_classes(name: str, raw: Path) -> None:
    writer, classes, counts = WRITTEN[name]
    writer(raw)
    read = made(name, raw)
    assert read.card.classes == sorted(classes)
    assert {split: part["count"] for split, part in read.card.splits.items()} == counts
    for split in counts:
        for image, label, file in zip(read.images(split), read.labels(split), read.files(split), strict=True):
            level = int(np.median(image[8:]))
            if split == "unlabelled":
                assert (label, file.count("/")) == (-1, 1)
            else:
                assert classes[round((level - 50) / 60)] == read.card.classes[label] == file.split("/")[1]
    assert sum(source["bytes"] for source in read.card.sources) > 0
    assert not read.card.skipped["count"]


def test_many_files_are_one_entry_that_tells_them_apart(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_sets, "LISTED", 2 * EACH - 1)
    eurosat(raw)
    (first,) = made("eurosat", raw).card.sources
    assert first["file"] == "eurosat"
    save(raw / "eurosat" / "2750" / "Forest" / "Forest_0.jpg", 0, 999)
    (other,) = made("eurosat", raw).card.sources
    assert other["sha256"] != first["sha256"]


def test_a_systems_leftovers_are_no_images_of_a_set(raw: Path) -> None:
    eurosat(raw)
    (raw / "eurosat" / "2750" / "Forest" / "._Forest_0.jpg").write_bytes(b"\0\5\x16\7")
    card = made("eurosat", raw).card
    assert ({split: part["count"] for split, part in card.splits.items()}, card.skipped["count"]) == (CUT, 0)


def test_a_damaged_file_is_skipped_and_named(raw: Path) -> None:
    food101(raw)
    (raw / "food-101" / "images" / "waffles" / "10.jpg").write_bytes(b"\xff\xd8 nothing")
    config = TorchvisionSetConfig(source="food101", image_size=12, max_skipped_share=0.1)
    (raw.parent / "out").mkdir()
    card = prepare("mine", data.read(config, raw), config, raw.parent / "out")
    assert [one["file"] for one in card.skipped["files"]] == ["train/00010"]


def test_the_names_are_those_of_the_table_and_torchvision_takes_its_arguments() -> None:
    assert set(get_args(get_type_hints(TorchvisionSetConfig)["source"])) == set(PUBLISHED)
    for published in PUBLISHED.values():
        kind = getattr(sets, published.kind)
        assert "train" in published.splits
        assert published.splits.keys() <= {"train", "val", "test", "unlabelled"}
        for arguments in published.splits.values():
            inspect.signature(kind).bind(RAW, **arguments)


@pytest.mark.parametrize("name", PUBLISHED)
def test_where_nothing_is_there_one_sentence_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        made(name, tmp_path / "raw")
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name} cannot be read, nor downloaded (")
    assert f"put {' and '.join(PUBLISHED[name].files)} in {tmp_path / 'raw'}, as torchvision's" in line
    assert not (tmp_path / "out").exists()
