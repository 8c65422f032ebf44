"""Sources that say split and label beside the image: whatever these are called, no folder is guessed from them."""

import io
import tarfile
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import files, layout, prepared, spellings
from ssl_core.data.folder import FolderConfig
from ssl_core.data.npz import NpzConfig
from ssl_core.data.parquet import ParquetConfig
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.data.structure import Place
from ssl_core.data.webdataset import WebDatasetConfig
from ssl_core.errors import Refused

RANDOM = np.random.default_rng(0)
ODD = ["photo", "mask", "depth", "test", "T-shirt/top", "image"]
"""Labels that are named like folders that are no classes."""


def png() -> bytes:
    written = io.BytesIO()
    Image.fromarray(RANDOM.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(written, "PNG")
    return written.getvalue()


def card(config: data.DataConfig, out: Path) -> Card:
    out.mkdir()
    prepare("mine", data.read(config, out), config, out)
    return prepared.load(out).card


def counts(made: Card) -> dict[str, int]:
    return {split: part["count"] for split, part in made.splits.items()}


def parquet(file: Path, labels: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"image": {"bytes": png(), "path": "0.png"}, "label": label} for label in labels]
    pq.write_table(pa.Table.from_pylist(rows), file)


def shard(file: Path, samples: list[tuple[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for key, label in samples:
            for name, content in ((f"{key}.cls", label.encode()), (f"{key}.png", png())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.parquet", "train"),
        ("test_000.tar", "test"),
        ("data/validation-00000-of-00001.parquet", "val"),
        ("test/0000.parquet", "test"),
        ("imagenet1k-train-0000.tar", "train"),
        ("shardA-00000.tar", ""),
        ("2023/part-0.parquet", ""),
        ("steam-train-station.tar", ""),
    ],
)
def test_a_files_split_is_what_its_name_or_folder_says(path: str, split: str) -> None:
    assert spellings.split_of_file(PurePosixPath(path)) == split


def test_files_of_which_only_some_are_splits_are_refused() -> None:
    with pytest.raises(Refused, match=r"named like splits \(train.tar\) and others are not \(extra.tar\)"):
        spellings.splits_of_files([PurePosixPath("extra.tar"), PurePosixPath("train.tar")])


@pytest.mark.parametrize("names", [("train", "test"), ("train_000", "test_000"), ("train/0", "test/0")])
def test_test_rows_stay_test_rows_and_equal_names_in_two_folders_lose_none(
    names: tuple[str, str], tmp_path: Path
) -> None:
    for name, count in zip(names, (60, 30), strict=True):
        parquet(tmp_path / "p" / f"{name}.parquet", (ODD * 10)[:count])
        keys = [f"{'cat' if i % 2 else 'dog'}/{i // 2:04}" for i in range(count)]
        shard(tmp_path / "w" / f"{name}.tar", list(zip(keys, (ODD * 10)[:count], strict=True)))
    for config in (
        ParquetConfig(source="parquet", path=str(tmp_path / "p"), image_size=8),
        WebDatasetConfig(source="webdataset", path=str(tmp_path / "w"), image_size=8),
    ):
        made = card(config, tmp_path / f"{config.source}_out")
        assert made.classes == sorted(ODD)
        assert counts(made) == {"train": 54, "val": 6, "test": 30}
        assert not made.left_out


@pytest.mark.parametrize("names", [("shardA-00000", "shardB-00000"), ("2023/0", "2024/0")])
def test_what_is_no_split_is_no_class_either(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        parquet(tmp_path / "p" / f"{name}.parquet", ODD * 5)
    made = card(ParquetConfig(source="parquet", path=str(tmp_path / "p"), image_size=8), tmp_path / "out")
    assert (made.classes, sum(counts(made).values())) == (sorted(ODD), 60)


def test_labels_of_arrays_are_classes_whatever_they_are_called(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "images": RANDOM.integers(256, size=(60, 8, 8), dtype=np.uint8), "labels": np.array(ODD * 10)
    }  # fmt: skip
    np.savez(tmp_path / "m.npz", **arrays)
    made = card(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8), tmp_path / "out")
    assert (made.classes, sum(counts(made).values())) == (sorted(ODD), 60)
    none = card(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8, labels="none"), tmp_path / "none")
    assert (none.classes, sum(counts(none).values())) == ([], 60)


def test_what_has_no_label_is_unlabelled_in_train_and_not_read_elsewhere() -> None:
    said = [Place("train", "a"), Place("train", "b"), Place("train"), Place("test", "a"), Place("test")]
    read = layout.told([str(i) for i in range(5)], said)
    assert read.splits.tolist() == ["train", "train", "unlabelled", "test", ""]
    assert read.left_out == {"of the test split, without a label": ["4"]}
    with pytest.raises(Refused, match="there is test and no train"):
        layout.told(["0"], [Place("test", "a")])


def test_paths_that_print_alike_are_images_of_their_own(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for folder in ("cat", "cat ", "dog"):
        for name in ("café", "b"):
            for form in ("NFC", "NFD"):
                file = photos / folder / f"{unicodedata.normalize(form, name)}{len(form + folder)}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png())
    there = len(list(photos.rglob("*.png")))
    made = card(FolderConfig(source="folder", path=str(photos), image_size=8), tmp_path / "out")
    assert sum(counts(made).values()) == there == 9
    assert any("read like that of another image" in warning for warning in made.warnings)
    named = [path for split in made.splits for path in prepared.load(tmp_path / "out").files(split)]
    assert len(set(named)) == there
    assert "dog/café6 (2).png" in named


def test_a_shards_file_that_is_too_large_is_skipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "s.tar", [(f"{i:04}", "ab"[i % 2]) for i in range(20)])
    monkeypatch.setattr(files, "LARGEST", 100)
    config = WebDatasetConfig(source="webdataset", path=str(tmp_path / "s.tar"), image_size=8)
    with pytest.raises(Refused, match=r"20 of 20 files could not be read .* the first is s/0000 \(it has 0.0 GiB"):
        card(config, tmp_path / "out")
