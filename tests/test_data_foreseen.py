"""What names alone make impossible is refused before the first image is decoded, which may take hours."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import windows
from ssl_core.data.folder import FolderConfig
from ssl_core.data.npz import NpzConfig
from ssl_core.data.parquet import ParquetConfig
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.data.table import LabelTable
from ssl_core.data.webdataset import WebDatasetConfig
from ssl_core.errors import Refused
from tasks import lacking

DAMAGED = b"\x89PNG\r\n\x1a\n and nothing that can be decoded"
TABLE = LabelTable(table="labels.csv", file="file")


def put(root: Path, **folders: int) -> Path:
    """So many images in each folder, that begin like one and cannot be decoded."""
    for folder, count in folders.items():
        for i in range(count):
            file = root / folder.replace("__", "/") / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(DAMAGED)
    return root


def refuse(card: Card) -> None:
    lacking.refuse_labels(card, [0.1, 1.0])


@pytest.mark.parametrize("kind", ["tree", "zip", "tar"])
@pytest.mark.parametrize(
    ("folders", "settings", "said"),
    [
        ({"train__a": 9, "train__b": 9, "c": 9}, {}, "some folders are named like splits"),
        ({"test__a": 9, "test__b": 9}, {}, "of the splits there is test"),
        ({"a": 9, ".": 3}, {"layout": "class"}, "there is one class only"),
        ({"a": 20, "b": 20, "docs": 3}, {}, "look like no classes"),
        ({"a": 2, "b": 2}, {}, "no image is left for the"),
        (
            {"train__a": 20, "train__b": 20, "test__a": 5, "test__b": 5, "test__wolf": 5},
            {},
            "stands in test and not in",
        ),
        ({"train__a": 20, "train__b": 20, "test__a": 5, "test__b": 5, "val__a": 5}, {}, "val shows 1 of the 2 classes"),
        ({"a": 40, "b": 5}, {}, "the class 'b': 3 labelled training images each, and 10 are needed"),
        ({"a": 20, "b": 20}, {"group": "(patient[0-9]+)"}, "is found in no path"),
        ({"a": 20, "b": 20}, {"labels": TABLE}, "no row of labels.csv names an image"),
    ],
)
def test_what_names_make_impossible_is_refused_before_an_image_is_decoded(
    folders: dict[str, int],
    settings: dict[str, object],
    said: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "decoded", lambda *_: pytest.fail("an image is decoded"))
    photos = put(tmp_path / "photos", **folders)
    (photos / "labels.csv").write_text("file,label\nx.png,p\ny.png,q\n")
    if kind != "tree":
        photos = Path(shutil.make_archive(str(tmp_path / "packed"), kind, photos))
    config = FolderConfig(source="folder", path=str(photos), image_size=8, **settings)  # pyright: ignore[reportArgumentType]
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match=said):
        prepare("mine", data.read(config, tmp_path), config, tmp_path / "out", photos, refuse)
    assert not any((tmp_path / "out").iterdir())


def test_what_is_foreseen_is_what_is_read(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(256, size=(12, 9, 9, 3), dtype=np.uint8)
    for i, image in enumerate(drawn):
        file = tmp_path / "photos" / "ab"[i % 2] / (f"{i}.png" if i % 3 else f"{i}")  # some have no ending
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file, "PNG")
    for name, content in {
        "README": "text",
        "a/notes.csv": "1,2",
        "a/.hidden.png": "x",
        "404/page.png": "<html>",
    }.items():
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_text(content)
    (tmp_path / "photos" / "a" / "link.png").symlink_to("../b/1.png")
    np.savez(tmp_path / "set.npz", train_images=drawn, train_labels=np.arange(12) % 2, test_images=drawn)
    rows = {"image": [(tmp_path / "photos/b/1.png").read_bytes()] * 100, "label": [i % 3 for i in range(100)]}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    with tarfile.open(tmp_path / "shard-0.tar", "w") as shard:
        for i in range(12):
            (tmp_path / f"{i}.cls").write_text(f"{i % 2}")
            shard.add(tmp_path / f"{i}.cls", f"{i:02}.cls")
            shard.add(tmp_path / "photos/b/1.png", f"{i:02}.png")
    configs: list[data.DataConfig] = [
        FolderConfig(source="folder", path=str(tmp_path / "photos")),
        FolderConfig(source="folder", path=shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "photos")),
        FolderConfig(source="folder", path=shutil.make_archive(str(tmp_path / "packed"), "tar", tmp_path / "photos")),
        NpzConfig(source="npz", path=str(tmp_path / "set.npz")),
        ParquetConfig(source="parquet", path=str(tmp_path / "train.parquet")),
        ParquetConfig(source="parquet", path=str(tmp_path / "train.parquet"), label=None),
        WebDatasetConfig(source="webdataset", path=str(tmp_path / "shard-0.tar")),
    ]
    for config in configs:
        reading = data.read(config, tmp_path)
        assert reading.foreseen is not None
        foreseen = sorted(reading.foreseen(), key=str)
        read = [
            (path, content.place) for path, content in reading.examples if not isinstance(content, bytes | np.ndarray)
        ]
        assert foreseen == sorted((one for one in read if "404" not in one[0]), key=str)


def test_a_folder_of_error_pages_is_no_reason_to_refuse(tmp_path: Path) -> None:
    for i in range(40):
        file = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (6 * i, 0, 0)).save(file)
    (tmp_path / "photos" / "docs").mkdir()
    (tmp_path / "photos" / "docs" / "figure.png").write_text("<html>404")
    config = FolderConfig(source="folder", path=str(tmp_path / "photos"), image_size=8, max_skipped_share=0.1)
    (tmp_path / "out").mkdir()
    card = prepare("mine", data.read(config, tmp_path), config, tmp_path / "out", refuse=refuse)
    assert card.classes == ["a", "b"]
    assert card.skipped["files"][0]["file"] == "docs/figure.png"
