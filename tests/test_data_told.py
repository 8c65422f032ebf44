"""Sources that say split and label beside the image: whatever these are called, no folder is guessed from them."""

import dataclasses
import io
import json
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import files, labelling, layout, npz, prepared, spellings, targets
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
    with tarfile.open(file, "w:gz" if file.suffix in (".gz", ".tgz") else "w") as archive:
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
        ("default/partial-train/0000.parquet", "train"),
        ("birds_test/part-0.parquet", "test"),
        ("birds_test/birds.tar", "test"),
        ("birds_test.tar.gz", "test"),
        ("steam-train-station/0.tar", ""),
        ("steam-train-station.tar", ""),
    ],
)
def test_a_files_split_is_what_its_name_or_folder_says(path: str, split: str) -> None:
    assert spellings.split_of_file(PurePosixPath(path)) == split


@pytest.mark.parametrize("split", ["train.tar", "birds_train/0.tar"])
def test_files_of_which_only_some_are_splits_are_refused(split: str) -> None:
    with pytest.raises(Refused, match=rf"named like splits \({split}\) and others are not \(extra.tar\)"):
        spellings.splits_of_files([PurePosixPath("extra.tar"), PurePosixPath(split)])


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


def test_what_is_no_piece_of_a_set_is_passed_by(tmp_path: Path) -> None:
    parquet(tmp_path / "p/train.parquet/part-0.snappy.parquet", ODD * 10)
    parquet(tmp_path / "p/test.parquet/part-0.snappy.parquet", ODD * 2)
    shard(tmp_path / "w/train.tar", [(f"{i}", ODD[i % 6]) for i in range(60)])
    shard(tmp_path / "w/test.TGZ", [(f"{i}", ODD[i % 6]) for i in range(12)])
    for left in ("p/train.parquet/._part-0.snappy.parquet", "p/.ipynb_checkpoints/train.parquet", "w/._train.tar"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_bytes(b"\0\5\x16\7")
    for config in (
        ParquetConfig(source="parquet", path=str(tmp_path / "p"), image_size=8),
        WebDatasetConfig(source="webdataset", path=str(tmp_path / "w"), image_size=8),
    ):
        assert counts(card(config, tmp_path / f"{config.source}_out")) == {"train": 54, "val": 6, "test": 12}
    with pytest.raises(Refused, match=r"and no \.tar is there"):
        data.read(WebDatasetConfig(source="webdataset", path=str(tmp_path / "p")), tmp_path)


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


def arrays(labels: Any, **of_splits: Any) -> dict[str, Any]:
    count = len(labels)
    return {"images": RANDOM.integers(256, size=(count, 8, 8), dtype=np.uint8), "labels": labels} | of_splits


def read_npz(tmp_path: Path, **said: Any) -> prepared.Prepared:
    np.savez(tmp_path / "m.npz", **said)
    return read(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8), tmp_path / "out")


def read(config: data.DataConfig, out: Path) -> prepared.Prepared:
    card(config, out)
    return prepared.load(out)


def all_labels(made: prepared.Prepared) -> np.ndarray:
    return np.concatenate([made.labels(split) for split in ("train", "val", "test")])


@pytest.mark.parametrize(("val", "label"), [("validation", "labels"), ("valid", "label"), ("dev", "labels")])
def test_splits_of_arrays_are_read_whatever_they_are_called_and_the_others_named(
    val: str, label: str, tmp_path: Path
) -> None:
    images, said = RANDOM.integers(256, size=(12, 8, 8), dtype=np.uint8), np.arange(12) % 2
    made = read_npz(
        tmp_path, train_images=images, extra_images=images, info=np.array([{"a": 1}], dtype=object),
        **{f"{val}_images": images + 1, f"{val}_{label}": said, f"train_{label}": said},
    )  # fmt: skip
    assert made.card.splits["val"]["per_class"] == [6, 6]
    assert [one["files"] for one in made.card.left_out.values()] == [["extra_images", "info"]]


def test_labels_of_another_name_are_pointed_at(tmp_path: Path) -> None:
    images = RANDOM.integers(256, size=(30, 8, 8), dtype=np.uint8)
    made = read_npz(tmp_path, images=images, y=np.arange(30) % 3)
    assert "images have no labels; y has as many rows: call it labels" in made.card.notes
    assert counts(made.card)["train"] == 24


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_channels_that_come_first_are_channels(channels: int, order: Any, tmp_path: Path) -> None:
    images = RANDOM.integers(256, size=(30, channels, 8, 8), dtype=np.uint8)
    said = np.arange(30) % 2
    made = read_npz(tmp_path, train_images=np.asarray(images, order=order), train_labels=said, test_images=images)
    other = np.moveaxis(images, 1, -1)
    there = {file: one for one in ("train", "val") for file, one in zip(made.files(one), made.images(one), strict=True)}
    assert all((image == other[int(file[-7:])]).all() for file, image in there.items())
    assert any("are taken for channels" in note for note in made.card.notes)


@pytest.mark.parametrize("kind", ["S", "U"])
def test_labels_of_bytes_are_texts(kind: str, tmp_path: Path) -> None:
    made = read_npz(tmp_path, **arrays(np.array(["cat", "dog"] * 15, kind)))
    assert made.card.classes == ["cat", "dog"]


def test_of_a_large_file_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_whole: list[str] = []
    whole = npz._array
    monkeypatch.setattr(npz, "_array", lambda archive, name: read_whole.append(name) or whole(archive, name))
    read_npz(tmp_path, **arrays(np.arange(60) % 2), features=np.zeros((60, 1000)))
    assert read_whole == ["labels"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "m.npz is no .npz: the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
        (b"<html>404</html>", "error page"),
        (b"\x93NUMPY\1\0", "np.savez puts images and labels into one file"),
        (b"no arrays at all", "m.npz is no .npz: no archive of arrays"),
        (b"PK\3\4 cut", "cannot be read as an .npz of arrays"),
    ],
)
def test_what_is_called_npz_and_is_none_leads_somewhere(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(Refused, match=sentence):
        read(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8), tmp_path / "out")


def test_a_damaged_array_is_one_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", **arrays(np.arange(60) % 2))
    content = bytearray((tmp_path / "m.npz").read_bytes())
    content[2000:2100] = b"\xa5" * 100
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(Refused, match=r"m\.npz cannot be read as an \.npz of arrays"):
        read(NpzConfig(source="npz", path=str(tmp_path / "m.npz"), image_size=8), tmp_path / "out")


def test_labels_that_are_objects_or_records_lead_somewhere(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"labels holds Python objects, which are not read: save labels\.astype\(str\) instead$"
    ):
        read_npz(tmp_path, **arrays(np.array(["cat", "dog"] * 15, dtype=object)))
    with pytest.raises(
        Refused, match=r"labels: a label is {'name': 'cat', 'id': 1}, .* the field that is meant \(name, id\)"
    ):
        Place.of("train", {"name": "cat", "id": 1})


def test_columns_of_an_array_are_several_labels(tmp_path: Path) -> None:
    labels = (RANDOM.random((120, 12)) < 0.3).astype(np.uint8)
    made = read_npz(tmp_path, **arrays(labels))
    assert made.card.target == "labels"
    assert made.card.classes == [f"{i:02}" for i in range(12)]
    assert all_labels(made).sum(axis=0).tolist() == labels.sum(axis=0).tolist()


def test_columns_with_one_label_in_each_row_are_classes(tmp_path: Path) -> None:
    made = read_npz(tmp_path, **arrays(np.eye(3)[np.arange(60) % 3]))
    assert (made.card.target, made.card.classes) == ("class", ["0", "1", "2"])


def test_an_array_of_fractions_is_of_numbers(tmp_path: Path) -> None:
    ages = np.round(RANDOM.random(60) * 50, 1)
    ages[:2] = 3.5, np.nan
    made = read_npz(tmp_path, **arrays(ages[:, None]))
    assert made.card.target == "number"
    assert counts(made.card)["unlabelled"] == 1
    assert sorted(all_labels(made)) == sorted(ages[~np.isnan(ages)])


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (arrays(np.arange(60).reshape(30, 2)), r"30 images have labels \[30, 2\]; one class"),
        (arrays(np.arange(60).reshape(60, 1, 1), images=np.zeros((30, 8, 8))), r"30 images have labels \[60, 1, 1\]"),
        (arrays(np.zeros((29, 2)), images=np.zeros((30, 8, 8))), r"30 images have labels \[29, 2\]"),
        (
            {"train_images": np.zeros((30, 8, 8)), "train_labels": np.zeros((30, 2)),
             "test_images": np.zeros((30, 8, 8)), "test_labels": np.zeros((30, 3))},
            "different lengths",
        ),
        (arrays(np.zeros((30, 2))), "no image of the source has a label"),
        (arrays(np.ones((30, 2))), "no label tells images apart"),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_refused(said: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=sentence):
        read_npz(tmp_path, **said)


def rows_of(tmp_path: Path, columns: dict[str, list[Any]], metadata: str = "", **said: Any) -> prepared.Prepared:
    count = len(next(iter(columns.values())))
    table = pa.table({"image": [{"bytes": png(), "path": f"{i}.png"} for i in range(count)]} | columns)
    table = table.replace_schema_metadata({"huggingface": metadata} if metadata else None)
    half = count // 2
    for part, rows in (("train-0", table[:half]), ("train-1", table[half:])):
        pq.write_table(rows, tmp_path / f"{part}.parquet")
    return read(ParquetConfig(source="parquet", path=str(tmp_path), image_size=8, **said), tmp_path / "out")


def test_lists_of_a_column_are_several_labels_by_their_names(tmp_path: Path) -> None:
    features = '{"info": {"features": {"label": {"feature": {"names": ["cat", "dog", "owl"]}}}}}'
    labels = [[0], [0, 1], [], [2, 1], None] * 12
    made = rows_of(tmp_path, {"label": labels}, features)
    assert (made.card.target, made.card.classes) == ("labels", ["cat", "dog", "owl"])
    assert all_labels(made).sum(axis=0).tolist() == [24, 24, 12]
    assert counts(made.card)["unlabelled"] == 12


def test_of_named_classes_minus_one_is_none(tmp_path: Path) -> None:
    features = '{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'
    made = rows_of(tmp_path, {"label": [0, 1, -1] * 20}, features)
    assert (made.card.classes, counts(made.card)["unlabelled"]) == (["cat", "dog"], 20)


def test_a_column_with_fractions_is_of_numbers(tmp_path: Path) -> None:
    made = rows_of(tmp_path, {"label": [3.5, 4.0, None] * 20})
    assert made.card.target == "number"
    assert sorted(set(all_labels(made))) == [3.5, 4.0]


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([[0, 1], [1, 1, 0]] * 30, "different lengths"),
        ([[0.5 * i, 1.0] for i in range(60)], "boxes, vectors and captions are none"),
        ([[f"word {i}", "cat"] for i in range(60)], "hold 61 different things for 60 images"),
        ([[], []] * 30, "no image of the source has a label"),
    ],
)
def test_lists_that_hold_no_labels_are_refused(cells: list[Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=sentence):
        rows_of(tmp_path, {"label": cells})


@pytest.mark.parametrize(
    ("cells", "target", "classes"),
    [
        ([[0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]] * 15, "labels", ["0", "1", "2"]),
        ([[True, False], [False, True], [True, True]] * 20, "labels", ["0", "1"]),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]] * 20, "class", ["0", "1", "2"]),
        ([["owl"], ["cat"], ["owl"]] * 20, "class", ["cat", "owl"]),
        ([[1.0], [1.0, 2.0], ["", None]] * 20, "labels", ["1", "2"]),
    ],
)
def test_lists_are_columns_or_hold_the_labels(cells: list[Any], target: str, classes: list[str]) -> None:
    places = labelling.meant([Place.of("train", cell) for cell in cells])
    splits = np.full(len(places), "train")
    made = labelling.of_places(places, splits)
    assert ("labels" if made else "class") == target
    named = made.names if made else sorted({place.label for place in places if place.label})
    assert named == classes


def test_whole_numbers_are_classes_wherever_they_stand() -> None:
    places = labelling.meant([Place.of("train", cell) for cell in (1, 2.0, "owl", None, float("nan"))])
    assert [place.label for place in places] == ["1", "2", "owl", None, None]
    assert {place.target for place in labelling.meant([Place.of("train", cell) for cell in (25, 25.5)])} == {25.0, 25.5}


def test_labels_of_unlabelled_images_are_not_read() -> None:
    said = [Place.of("train", ["a"]), Place.of("train", ["a", "b"]), Place.of("unlabelled", ["c"])]
    made = labelling.of_places(labelling.meant(said), np.array(["train", "train", "unlabelled"]))
    assert made is not None
    assert made.labels.tolist() == [[0], [1], [-1]]
    assert made.names == ["b"]


def test_classes_of_a_column_with_gaps_have_no_point(tmp_path: Path) -> None:
    made = rows_of(tmp_path, {"label": [1.0, 2.0, None] * 20})
    assert made.card.classes == ["1", "2"]


@pytest.mark.parametrize(("said", "target"), [([["a"], ["a", "b"], []], "labels"), ([1.5, 2.5, 3.0], "number")])
def test_lists_and_numbers_of_samples_are_labels_and_numbers(said: list[Any], target: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for i in range(60):
            for name, content in (
                (f"{i:03}.json", json.dumps({"label": said[i % 3]}).encode()),
                (f"{i:03}.png", png()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    made = read(WebDatasetConfig(source="webdataset", path=str(tmp_path / "0.tar"), image_size=8), tmp_path / "out")
    assert made.card.target == target
    assert targets.known(all_labels(made)).sum() == 60


def samples(file: Path, names: list[str], count: int = 60, apart: bool = False) -> WebDatasetConfig:
    """A shard of samples that have such files, whose contents fit the endings; `apart`: kind by kind."""
    texts = {"cls": b"%d", "CLS": b"%d", "json": b'{"class_id": %d}', "txt": b"%d", "nest": b'{"label": {"id": %d}}'}
    made = [
        (
            f"{i:03}.{name.replace('nest', 'json')}",
            texts[name] % (i % 3) if name in texts else png(),
            (names.index(name), i) if apart else (i, names.index(name)),
        )
        for i in range(count) for name in names
    ]  # fmt: skip
    with tarfile.open(file, "w") as archive:
        for name, content, _ in sorted(made, key=lambda one: one[2]):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return WebDatasetConfig(source="webdataset", path=str(file), image_size=8)


@pytest.mark.parametrize("names", [["png", "CLS"], ["depth.png", "png", "cls"], ["PNG", "mask.png", "json", "cls"]])
def test_a_samples_image_is_the_one_of_its_key_and_its_class_is_read_however_it_is_spelled(
    names: list[str], tmp_path: Path
) -> None:
    made = card(samples(tmp_path / "s.tar", names), tmp_path / "out")
    assert made.classes == ["0", "1", "2"]
    beside = [name for name in names if ".png" in name]
    assert [one["files"][0] for one in made.left_out.values()] == [f"s.tar/000.{name}" for name in beside]


@pytest.mark.parametrize(
    ("names", "apart", "sentence"),
    [
        (
            ["left.png", "right.png", "cls"],
            False,
            "000.left.png and 000.right.png, both images of the sample 000, as a",
        ),
        (["png", "cls"], True, r"s.tar has files of the sample 000 apart from its image: .*--sort=name"),
        (["png", "nest"], False, r"`label` of the sample 000 in .*tar is {'id': 0}, .* the field that is meant \(id\)"),
    ],
)
def test_samples_that_are_unclear_are_refused(names: list[str], apart: bool, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=sentence):
        card(samples(tmp_path / "s.tar", names, apart=apart), tmp_path / "out")


def test_files_of_a_sample_that_say_no_label_are_told(tmp_path: Path) -> None:
    made = card(samples(tmp_path / "s.tar", ["png", "json", "txt"]), tmp_path / "out")
    ((why, files),) = made.left_out.items()
    assert "`label:` is the key of one in a .json; a .txt is taken for a caption" in why
    assert (files["count"], files["files"][:2]) == (120, ["s.tar/000.json (class_id)", "s.tar/000.txt"])
    unlabelled = dataclasses.replace(samples(tmp_path / "s.tar", ["png", "json"]), labels="none")
    assert not card(unlabelled, tmp_path / "none").left_out


def test_a_file_without_labels_has_none_and_the_way_to_read_none_is_named(tmp_path: Path) -> None:
    parquet(tmp_path / "p/train.parquet", ODD * 10)
    rows = pq.read_table(tmp_path / "p/train.parquet").select(["image"])
    pq.write_table(rows[:12], tmp_path / "p/test.parquet")
    made = card(ParquetConfig(source="parquet", path=str(tmp_path / "p"), image_size=8), tmp_path / "out")
    assert (made.classes, sum(counts(made).values())) == (sorted(ODD), 60)
    assert made.left_out["of the test split, without a label"]["count"] == 12
    pq.write_table(rows, tmp_path / "bare.parquet")
    bare = ParquetConfig(source="parquet", path=str(tmp_path / "bare.parquet"), image_size=8)
    with pytest.raises(Refused, match=r"bare\.parquet has no column label, but image: .* or `label: null` where there"):
        data.read(bare, tmp_path)
    for i, config in enumerate((dataclasses.replace(bare, labels="none"), dataclasses.replace(bare, label=None))):
        assert card(config, tmp_path / f"bare{i}").classes == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: content[:4] + b"\xa5" * 36 + content[40:], r"parquet \(.+: fetch or make it again\)"),
        (lambda content: content[:-20], r"parquet \(.+: fetch or make it again\)"),
        (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
    ],
    ids=["page", "cut", "pointer"],
)
def test_a_damaged_parquet_file_is_named(damage: Callable[[bytes], bytes], sentence: str, tmp_path: Path) -> None:
    parquet(tmp_path / "0.parquet", ODD * 10)
    (tmp_path / "0.parquet").write_bytes(damage((tmp_path / "0.parquet").read_bytes()))
    with pytest.raises(Refused, match=rf"0\.parquet.*{sentence}"):
        card(ParquetConfig(source="parquet", path=str(tmp_path / "0.parquet"), image_size=8), tmp_path / "out")


def test_bytes_are_the_text_of_a_class_and_fields_are_none(tmp_path: Path) -> None:
    assert rows_of(tmp_path, {"label": [b"cat", "ö".encode()] * 30}).card.classes == ["cat", "ö"]
    (tmp_path / "out").rename(tmp_path / "before")
    with pytest.raises(Refused, match=r"column label of train-0.parquet is {'id': 1, .* is meant \(id, name\)"):
        rows_of(tmp_path, {"label": [{"id": 1, "name": "cat"}] * 60})


@pytest.mark.parametrize("captions", [[f"a photo of {i}" for i in range(60)], list(range(60))])
def test_what_each_image_has_for_itself_is_no_class(captions: list[Any]) -> None:
    with pytest.raises(Refused, match=r"the source has 60 different ones for 60 images, as .*labels: none reads none"):
        labelling.meant([Place.of("train", caption) for caption in captions])
    labelling.meant([Place.of("train", caption) for caption in captions[:30] * 2])


def test_images_with_different_kinds_of_labels_are_refused() -> None:
    for cells in (["a", 1.5], ["a", ["b"]], [1, ["b"]]):
        with pytest.raises(Refused, match="all must have the same"):
            labelling.meant([Place.of("train", cell) for cell in cells])
