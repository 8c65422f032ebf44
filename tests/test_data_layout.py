"""Which image is what: folders' names, tables of labels, cuts, groups, duplicates, and what is refused once counted."""

import os
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import archives, cutting, duplicates, layout, prepared, spellings, structure
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.table import LabelTable
from ssl_core.errors import Refused
from tasks import lacking
from tasks.configuration import listing

OUT = ""


def places(*folders: str, kind: structure.Kind | None = None) -> dict[str, tuple[str, str | None]]:
    """What each folder is, `{folder: (split, class)}`; of those that are left out, no split."""
    parts = {folder: tuple(part for part in folder.split("/") if part) for folder in folders}
    found = structure.read(Counter(dict.fromkeys(parts.values(), 3)), kind).places
    return {folder: (OUT if found[p].why else found[p].split, found[p].label) for folder, p in parts.items()}


@pytest.mark.parametrize(
    "train", ["train", "Training", "training_set", "TrainSet", "seg_train", "train2017", "imgs-train"]
)
@pytest.mark.parametrize("test", ["test", "TESTING", "test_set", "testset", "seg_test", "test_images", "held-out"])
def test_splits_are_known_by_their_usual_spellings(train: str, test: str) -> None:
    assert (spellings.split_of(train), spellings.split_of(test)) == ("train", "test")
    found = places(f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog")
    assert set(found.values()) == {(split, name) for split in ("train", "test") for name in ("cat", "dog")}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("trn", "vld", "tst"),
        ("treino", "validação", "teste"),
        ("conjunto_de_entrenamiento", "datos de validacion", "prueba"),
        ("entrai\u0302nement", "validation", "test"),
        ("apprentissage", "val", "test"),
        ("Trainingsdaten", "Validierungsdaten", "Testdaten"),
        ("\u00dcbung", "dev", "Pru\u0308fung"),
        ("обучение", "валидация", "тест"),
        ("训练集", "验证集", "测试集"),
        ("訓練", "検証", "テスト"),
    ],
)
def test_splits_are_known_in_other_languages(train: str, val: str, test: str) -> None:
    found = places(train, val, test)
    assert found == {train: ("train", None), val: ("val", None), test: ("test", None)}


@pytest.mark.parametrize(
    "name", ["cat", "train_station", "steam train", "test tube", "validator", "images", "2019", ""]
)
def test_other_names_are_no_splits(name: str) -> None:
    assert spellings.split_of(name) is None


CASES: dict[str, dict[str, tuple[str, str | None]]] = {
    "stray beside splits": {
        "train/a": ("train", "a"),
        "train/b": ("train", "b"),
        "test/a": ("test", "a"),
        "": (OUT, None),
    },
    "ground truth": {"train/a": ("train", "a"), "train/b": ("train", "b"), "ground_truth/a": (OUT, None)},
    "class, then split": {"a/train": ("train", "a"), "a/test": ("test", "a"), "b/train": ("train", "b")},
    "unlabelled": {"a": ("train", "a"), "b": ("train", "b"), "unlabelled": ("unlabelled", None)},
    "labelled": {"labelled/a": ("train", "a"), "labelled/b": ("train", "b"), "unlabeled": ("unlabelled", None)},
    "not labelled": {"labeled/a": ("train", "a"), "labeled/b": ("train", "b"), "not_labeled": ("unlabelled", None)},
    "not annotated": {"a": ("train", "a"), "b": ("train", "b"), "unannotated": ("unlabelled", None)},
    "predictions as a class": {"a": ("train", "a"), "prediction": ("train", "prediction")},
    "dummy classes": {"train/all": ("train", None), "val/all": ("val", None)},
    "train/train": {"train/train": ("train", None), "test/test": ("test", None)},
    "no labels in test": {"train/a": ("train", "a"), "train/b": ("train", "b"), "test/unknown": (OUT, None)},
    "flat test": {"train/a": ("train", "a"), "train/b": ("train", "b"), "test": (OUT, None)},
    "images and masks": {"images": ("train", None), "masks": (OUT, None)},
    "images/train": {"images/train": ("train", None), "images/val": ("val", None), "labels/train": (OUT, None)},
    "test within classes": {"a": ("train", "a"), "a/test": ("test", "a"), "b": ("train", "b"), "b/test": ("test", "b")},
    "train and test within classes": {
        "a": (OUT, None),
        "a/train": ("train", "a"),
        "a/test": ("test", "a"),
        "b/train": ("train", "b"),
    },
    "wrapped classes": {
        "train/faces/a": ("train", "a"),
        "train/faces/b": ("train", "b"),
        "test/faces/a": ("test", "a"),
        "test/faces/b": ("test", "b"),
    },
    "wrapped in train": {"train/data/a": ("train", "a"), "train/data/b": ("train", "b"), "test/a": ("test", "a")},
    "wrapped in test": {
        "train/a": ("train", "a"),
        "train/b": ("train", "b"),
        "test/data/x/a": ("test", "a"),
        "test/data/x/b": ("test", "b"),
    },
    "wrapped images and masks": {"train/faces/images": ("train", None), "train/faces/masks": (OUT, None)},
    "wrapped without labels": {
        "train/a": ("train", "a"),
        "train/b": ("train", "b"),
        "test/all/1": (OUT, None),
        "test/all/2": (OUT, None),
    },
    "one class in train": {
        "train/good/1": ("train", "good"),
        "train/good/2": ("train", "good"),
        "test/good": ("test", "good"),
        "test/bad": ("test", "bad"),
    },
    "masks within classes of splits": {
        "train/a/images": ("train", "a"),
        "train/a/masks": (OUT, None),
        "train/b": ("train", "b"),
        "test/a": ("test", "a"),
    },
    "masks within classes": {"a/images": ("train", "a"), "a/masks": (OUT, None), "b/images": ("train", "b")},
    "mirrored masks": {"a": ("train", "a"), "b": ("train", "b"), "masks/a": (OUT, None), "masks/b": (OUT, None)},
    "mask as a class": {"mask": ("train", "mask"), "no_mask": ("train", "no_mask")},
    "predictions": {"seg_train/a": ("train", "a"), "seg_train/b": ("train", "b"), "seg_pred": ("unlabelled", None)},
    "nested": {"animals/cat": ("train", "animals"), "vehicles/train": ("train", "vehicles")},
    "flat": {"": ("train", None)},
    "labelled within train": {
        "train/labelled/a": ("train", "a"),
        "train/labelled/b": ("train", "b"),
        "train/unlabelled": ("unlabelled", None),
        "test/a": ("test", "a"),
        "test/b": ("test", "b"),
    },
    "folders of images": {"images_000/images": ("train", None), "images_001/images": ("train", None)},
    "numbered parts": {"part_1": ("train", None), "part_2": ("train", None), "masks": (OUT, None)},
    "classes in parts": {f"part {i}/{name}": ("train", name) for i in (1, 2) for name in "ab"},
    "pieces of a name": {"HAM10000_images_part_1": ("train", None), "HAM10000_images_part_2": ("train", None)},
    "classes in pieces of a name": {f"pets_part{i}/{name}": ("train", name) for i in (1, 2) for name in "ab"},
    "pieces of two names": {"cat_part_1": ("train", "cat_part_1"), "dog_part_1": ("train", "dog_part_1")},
    "classes of images": {"grade1_images": ("train", "grade1_images"), "grade2_images": ("train", "grade2_images")},
    "numbered classes": {"grade1": ("train", "grade1"), "grade2": ("train", "grade2")},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_folders_are_read_as_people_have_them(case: dict[str, tuple[str, str | None]]) -> None:
    assert places(*case) == case
    below = {f"my photos/{folder}".rstrip("/"): place for folder, place in case.items()}
    if "" not in case:  # with a picture at the top of the folder above, which is another case
        assert places(*below) == below


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["train", "bus", "car"], r"named like splits \(train \(3\)\) and others are not .* layout: class"),
        (["train/a", "test/a", "docs"], r"others are not \(docs \(3\)\)"),
        (["data/train/a", "data/test/a", "docs"], "the splits test, train are found in data and not at the top"),
        (["a", "b", "ground_truth"], "ground_truth .3. look like no classes"),
        (["data/a", "data/b", "docs"], "docs .3. look like no classes"),
        (["0", "1", "plots"], "plots .3. look like no classes"),
        (["dogs_train", "dogs_test"], "named after splits and something else"),
        (["test/a", "test/b"], r"there is test \(6\) and no train"),
        (
            [f"{top}/{name}" for top in ("color", "grayscale") for name in "ab"],
            r"color \(6\), grayscale \(6\) have .* rename them to train and test, or .* labels: none if neither are",
        ),
        ([f"{top}/{name}" for top in ("tr", "te") for name in "abc"], r"same folders in them \(a, b, c\)"),
        ([f"fold_{i}/{name}" for i in (1, 2) for name in "ab"], r"give the path of one of them"),
        ([f"{top}/{name}" for top in ("rgb", "photos") for name in "ab"], r"which of both are the classes"),
        (
            [f"{top}/{split}/{name}" for top in ("cv1", "cv2") for split in ("train", "test") for name in "ab"],
            r"have the same folders in them \(a, b\).* give the path of one of them, or .* layout: class/split if",
        ),
        (
            [f"split_{i}/{split}" for i in (1, 2) for split in ("train", "test")],
            r"in them \(test, train\).* of them, or add to this data set layout: class if they are the classes$",
        ),
        ([f"{top}/images/{name}" for top in ("amazon", "dslr") for name in "ab"], r"same folders in them \(a, b\)"),
        ([f"{top}{name}" for top in ("Plant/", "plant/Plant/") for name in "ab"], r"same folders in them \(a, b\)"),
        (["Yes", "No", "tumor/yes", "tumor/no"], r"the folder tumor \(6\) has folders .* beside it \(no, yes\)"),
        (["yes", "no", "tumor/data/yes", "tumor/data/no"], "give the path of tumor, or add layout: class"),
        (
            [f"{split}/{name}" for split in ("training", "test") for name in ("images", "1st_manual")],
            r"split has 1st_manual \(3\) beside images \(3\)",
        ),
        (["train/images", "train/text", "train/tables", "test/images"], "rename images if all are classes"),
        (["a", "a/test", "b"], "the splits test are found in a and not at the top"),
        (["test", "extra/a", "extra/b"], "rename one to train, or give the path of one of them, or .* layout: class"),
    ],
)
def test_what_contradicts_is_refused_with_what_was_seen_and_a_way_out(folders: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        places(*folders)
    assert len(places(*folders, kind="flat")) == len(folders)
    assert all(split == "train" for split, _ in places(*folders, kind="class").values())


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["a/x", "a/y", "b"], ["the folders at the top; those below (2, the first a/x)"]),
        (["train/a/x", "train/b", "test/a/x", "test/a/y"], ["the folders below the splits; those below (2, the first"]),
        (["a/train/x", "a/test", "b/train"], ["the folders at the top; those below (1, the first a/x)"]),
        (["a", "a/test", "b", "b/test"], ["lie in a class beside its splits are of train"]),
        (["train/a", "train/b/images", "train/b/masks"], []),
    ],
)
def test_what_a_tree_is_taken_for_is_said_where_it_could_be_more(folders: list[str], said: list[str]) -> None:
    notes = structure.read(Counter({tuple(folder.split("/")): 3 for folder in folders})).notes
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


def test_of_splits_alone_those_that_are_named_so_are_said_to_lack_train() -> None:
    with pytest.raises(Refused, match=r"of the splits there is test \(3\) and no train"):
        places("test", "extra/a", "extra/b", kind="split/class")
    with pytest.raises(Refused, match="of the splits there is nothing and no train"):
        places("a", "b", kind="split/class")


def test_without_labels_splits_that_are_not_read_are_said() -> None:
    read = layout.read(["dogs_train/1.png", "dogs_test/1.png"], labelled=False)
    assert read.splits.tolist() == ["train", "train"]
    assert "rename them to train and test" in read.notes[1]


def test_spellings_of_a_class_are_one_class_where_no_split_has_both() -> None:
    said = layout.read(["train/Cat/1.png", "train/caf\u00e9/1.png", "test/cat /1.png", "test/cafe\u0301/2.png"])
    assert said.classes == ["Cat", "caf\u00e9"]
    assert said.labels.tolist() == [0, 1, 0, 1]
    assert layout.read(["A/1.png", "a/1.png"]).classes == ["A", "a"]


def test_labels_none_and_masks_named_after_their_image() -> None:
    paths = ["2019/1.png", "2019/1_mask.png", "2020/1.png"]
    assert "say labels: none" in layout.read(paths).warnings[0]
    without = layout.read(paths, labelled=False)
    assert (without.classes, without.splits.tolist()) == ([], ["train", "", "train"])


@pytest.mark.parametrize(
    ("names", "doubted"),
    [
        (["2019", "2020-01-31"], True),
        (["VOC2007", "VOC2012"], True),
        (["100APPLE", "101APPLE"], True),
        (["100_FUJI", "101_FUJI"], True),
        (["00000", "01000", "02000"], True),
        (["Audi Sedan 2012", "BMW Coupe 2012"], False),
        (["00000", "00001"], False),
        (["grade1", "grade2"], False),
        (["images", "text", "tables"], False),
    ],
)
def test_classes_that_are_named_like_none_are_doubted(names: list[str], doubted: bool) -> None:
    warnings = layout.read([f"{name}/1.png" for name in names]).warnings
    assert [True for warning in warnings if "labels: none" in warning] == [True] * doubted


@pytest.mark.parametrize("ending", ["mask", "superpixels", "label", "labels", "depth", "bbox"])
def test_files_named_after_an_image_and_what_is_none_are_left_out(ending: str) -> None:
    read = layout.read(["a/x.jpg", f"a/x_{ending}.png", f"b/y_{ending}.png"])
    assert read.splits.tolist() == ["train", "", "train"]


def test_files_named_after_an_image_and_some_word_are_said_where_they_are_many() -> None:
    eyes = [f"{i}{eye}.png" for i in range(4) for eye in ("", "_L", "_mask")]
    assert any("4 images are named like another one" in warning for warning in layout.read(eyes).warnings)
    crops = [f"img{i}{crop}.png" for i in range(4) for crop in ("", "_1", "_2")]
    assert not layout.read([*crops, "img0_L.png"]).warnings


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        ({"train": "train", "extra": "train", "test": "test"}, "split/class"),
        ({"train/a": "train", "test": "test", "masks": OUT, "unlabelled": "unlabelled"}, "split/class"),
        ({"2019": "train", "docs": "train", "results": "train"}, "flat"),
        ({"images": "train", "depth": OUT}, "flat"),
        ({"mask": "train", "no mask": "train", "test": "train"}, "flat"),
        ({"a/train": "train", "a/test": "test", "b/train": "train"}, "split/class"),
    ],
)
def test_without_labels_no_name_of_a_folder_is_refused(folders: dict[str, str], splits: str) -> None:
    read = layout.read([f"{folder}/1.png" for folder in folders], labelled=False)
    assert (read.splits.tolist(), read.classes) == ([*folders.values()], [])
    assert ("the splits are those of the folders" in read.notes) == ("split" in splits)
    assert (f"the folders were read as {splits}" in read.notes) == ("split" not in splits)
    assert any("are of train" in note for note in read.notes) == (
        "extra" in folders or ("test" in folders and splits == "flat")
    )


@pytest.mark.parametrize("count", [3, 4, 12])
def test_a_class_of_three_has_one_image_in_each_split(count: int) -> None:
    labels = np.repeat(np.arange(50), count)
    splits = cutting.cut(np.full(len(labels), "train", "<U10"), labels, np.arange(len(labels)), 0.1, 0.1, 0)
    for split, least in (("val", 1), ("test", 1), ("train", count - 2)):
        assert np.bincount(labels[splits == split], minlength=50).tolist() == [least] * 50


def test_a_group_stays_in_one_split_and_the_shares_are_met() -> None:
    generator = np.random.default_rng(0)
    groups, labels = generator.integers(0, 100, 3000), generator.integers(0, 2, 3000)
    splits = cutting.cut(np.full(3000, "train", "<U10"), labels, groups, 0.1, 0.2, 1)
    assert all(len(set(splits[groups == group])) == 1 for group in range(100))
    assert np.mean(splits == "test") == pytest.approx(0.2, abs=0.02)
    assert cutting.by_pattern(["p1_a", "p1_b", "p2_a", "x"], r"(p\d)_") == (["p1", "p1", "p2", "\0x"], 1)
    with pytest.raises(Refused, match="is found in no path"):
        cutting.by_pattern(["a.png"], r"(p\d)_")


def test_equal_pixels_are_told_by_splits_and_classes() -> None:
    digests = np.frombuffer(b"".join(duplicates.digest(bytes([i])) for i in (1, 1, 2, 3, 3, 4)), duplicates.DIGEST)
    splits = np.array(["train", "test", "train", "train", "train", ""])
    found = duplicates.find(digests, splits, np.array([0, 0, 1, 0, 1, 1]), list("abcdef"))
    assert (found.leaks, found.classes, found.dropped.tolist()) == ({"train in test": 1}, 2, [True] + [False] * 5)
    assert "(a = b)" in found.leaked[0]


def picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)).save(file)


def classes(root: Path, each: int = 12) -> Path:
    for i in range(3 * each):
        picture(root / "abc"[i % 3] / f"p{i % 12}_{i}.png", i)
    return root


def made(path: Path, out: Path, **settings: object) -> Prepared:
    config = FolderConfig(source="folder", path=str(path), image_size=8, max_skipped_share=0.5, **settings)  # pyright: ignore[reportArgumentType]
    out.mkdir()
    prepare("mine", data.read(config, out), config, out, path)
    return prepared.load(out)


def test_the_order_of_an_archive_changes_nothing(tmp_path: Path) -> None:
    photos = classes(tmp_path / "photos")
    paths = sorted(photos.rglob("*.png"))
    random.Random(1).shuffle(paths)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for file in [*paths, paths[0]]:  # the first one twice
            archive.add(file, file.relative_to(photos).as_posix())
    whole, packed = made(photos, tmp_path / "whole"), made(tmp_path / "a.tar", tmp_path / "packed")
    assert whole.card.splits == packed.card.splits
    assert {why: part["count"] for why, part in packed.card.left_out.items()} == {archives.TWICE: 1}


def test_a_table_beside_class_folders_is_pointed_at_until_it_is_used(tmp_path: Path) -> None:
    photos = classes(tmp_path / "photos")
    files = [file.relative_to(photos).as_posix() for file in sorted(photos.rglob("*.png"))]
    (photos / "kinds.csv").write_text("\n".join(["name,kind", *(f"{file},{file[0] == 'a'}" for file in files)]))
    assert any("kinds.csv lies there" in note for note in made(photos, tmp_path / "out").card.notes)
    used = made(photos, tmp_path / "used", labels=LabelTable(table="kinds.csv", file="name", label="kind")).card
    assert used.classes == ["False", "True"]
    assert not any("lies there" in note for note in used.notes)


def test_leaks_are_dropped_where_that_is_asked(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / "d" / "train" / "ab"[i % 2] / f"{i}.png", i)
    for i in range(6):
        picture(tmp_path / "d" / "test" / "ab"[i % 2] / f"{i}.png", i if i < 4 else 90 + i)
    kept = made(tmp_path / "d", tmp_path / "kept").card
    assert sum(kept.duplicates["in two splits"].values()) == 4
    assert any("duplicates: drop leaves them out" in warning for warning in kept.warnings)
    dropped = made(tmp_path / "d", tmp_path / "dropped", duplicates="drop").card
    assert sum(part["count"] for part in dropped.splits.values()) == 22
    assert dropped.left_out["pixels that a split measured on has too"]["count"] == 4


def test_labels_splits_and_groups_come_from_a_table(tmp_path: Path) -> None:
    flat, rows = tmp_path / "flat", ["id,species,part,patient"]
    for i in range(30):
        picture(flat / "images" / f"{i:03}.png", i)
        rows.append(f"{i:03},{'cat' if i % 2 else 'dog'},{'test' if i % 6 < 2 else 'train'},{i // 3}")
    (flat / "labels.csv").write_text("\n".join([*rows[:-2], "missing,cat,train,99"]))
    given = {"table": "labels.csv", "file": "id", "label": "species"}
    read = made(flat, tmp_path / "out", labels=LabelTable(**given, split="part", group="patient"))
    assert (read.card.classes, read.card.splits["test"]["per_class"]) == (["cat", "dog"], [5, 5])
    assert read.card.splits["unlabelled"]["count"] == 2
    assert any("1 rows of labels.csv name no file (missing)" in warning for warning in read.card.warnings)
    for file, label in zip(read.files("train"), read.labels("train"), strict=True):
        assert label == (0 if int(Path(file).stem) % 2 else 1)
    assert "labels.csv lies there" in made(flat, tmp_path / "flat_out").card.notes[-1]
    with pytest.raises(Refused, match=r"no column kind; it has id, species, part, patient"):
        made(flat, tmp_path / "a", labels=LabelTable(table="labels.csv", file="id", label="kind"))
    (flat / "labels.csv").write_text("\n".join(["id,age", *(f"{i:03},{2 * i}" for i in range(28))]))
    with pytest.raises(Refused, match="28 different values for"):
        made(flat, tmp_path / "b", labels=LabelTable(table="labels.csv", file="id", label="age"))


def test_a_group_of_the_paths_stays_together_and_is_counted(tmp_path: Path) -> None:
    read = made(classes(tmp_path / "photos", each=24), tmp_path / "out", group=r"(p\d+)_")
    seen = {split: {file.split("/")[1].split("_")[0] for file in read.files(split)} for split in read.splits}
    assert read.card.groups == 12 == sum(map(len, seen.values()))
    with pytest.raises(ValueError, match="one pair of parentheses is needed"):
        FolderConfig(source="folder", path="x", group="p")


def test_labels_that_cannot_be_measured_are_refused_with_an_advice_that_works(tmp_path: Path) -> None:
    read = made(classes(tmp_path / "few", each=12), tmp_path / "out")
    with pytest.raises(
        Refused, match=r"10 labelled training images each, .*evaluation.label_fractions of params.yaml to \[0.1, 1.0\]"
    ):
        lacking.refuse_labels(read.card, [0.01, 0.1, 1.0])
    lacking.refuse_labels(read.card, [0.1, 1.0])
    for i, place in enumerate(["train/a", "train/b", "test/a", "test/b", "test/wolf"] * 5):
        picture(tmp_path / "wolves" / place / f"{i}.png", i)
    with pytest.raises(
        Refused, match="the class 'wolf' stands in test and not in train, so that nothing can learn it:"
    ):
        lacking.refuse_labels(made(tmp_path / "wolves", tmp_path / "w").card, [1.0])


def test_a_folder_is_listed_by_names_and_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos = classes(tmp_path / "photos")
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(photos)}, "other": {"path": "x"}}}
    (photos / "loop").symlink_to(photos)
    seen = [listing.listed(params)]
    (photos / ".hidden").write_text("")
    assert listing.listed(params) == seen[0]
    (photos / "a" / "new.png").write_text("one")
    seen.append(listing.listed(params))
    (photos / "a" / "new.png").write_text("two")
    os.utime(photos / "a" / "new.png", (1, 1))
    seen.append(listing.listed(params))
    (photos / "a" / "new.png").rename(photos / "b" / "new.png")
    seen.append(listing.listed(params))
    (photos / "b" / "new.png").unlink()
    assert len({digest["mine"] for digest in seen}) == 4
    os.utime(next(photos.rglob("*.png")), (1, 1))
    assert listing.listed(params) == seen[0]


def test_nothing_is_read_again_while_sizes_and_times_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(classes(tmp_path / "photos"))}}}
    seen = listing.listed(params)
    read: list[str] = []
    content = listing._content  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(listing, "_content", lambda path: read.append(path.name) or content(path))
    assert listing.listed(params) == seen
    assert not [name for name in read if name.endswith(".png")]
    picture(tmp_path / "photos" / "a" / "new\n.png", 99)
    assert listing.listed(params) != seen
    assert listing.listed(params) == listing.listed(params)
    assert [name for name in read if name.endswith(".png")] == ["new\n.png"]


def swap(one: Path, other: Path) -> None:
    one.rename(one.parent / "x")
    other.rename(one)
    (one.parent / "x").rename(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda photos: swap(photos / "a", photos / "b"),
        lambda photos: swap(photos / "a" / "0.png", photos / "b" / "0.png"),
        lambda photos: shutil.copy(photos / "b" / "1.png", photos / "a" / "1.png"),
    ],
    ids=["folders swapped", "files swapped", "a file replaced"],
)
def test_other_content_of_the_same_size_and_time_is_noticed(
    change: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    for i in range(4):
        file = photos / "ab"[i % 2] / f"{i // 2}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(i))
        os.utime(file, (1, 1))
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(photos)}}}
    seen = listing.listed(params)
    change(photos)
    for file in photos.rglob("*.png"):
        os.utime(file, (1, 1))
    changed = listing.listed(params)
    assert changed != seen
    elsewhere = shutil.copytree(photos, tmp_path / "clone")
    shutil.rmtree(tmp_path / ".dvc")
    params["data"]["mine"]["path"] = str(elsewhere)
    assert listing.listed(params) == changed


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(classes(tmp_path / "photos"))}}}
    os.mkfifo(tmp_path / "photos" / "pipe")
    opening = Path.open

    def refusing(path: Path, mode: str) -> IO[Any]:
        if path.suffix == ".png":
            raise PermissionError
        return opening(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        seen = listing.listed(params)
    assert listing.listed(params) != seen


class Listed(list[os.DirEntry[str]]):
    """What `os.scandir` gives."""

    def __enter__(self) -> "Listed":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_file_that_goes_away_while_its_folder_is_listed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(classes(tmp_path / "photos"))}}}
    scandir = os.scandir

    def losing(path: Path) -> Listed:
        entries = Listed(scandir(path))
        for entry in entries:
            if entry.name.endswith(".png"):
                Path(entry).unlink()
        return entries

    monkeypatch.setattr(os, "scandir", losing)
    assert len(listing.listed(params)["mine"]) == 64


def test_a_linked_or_an_empty_folder_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos = classes(tmp_path / "photos")
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(photos)}}}
    seen = [listing.listed(params)["mine"]]
    (photos / "d").symlink_to(photos / "a")
    seen.append(listing.listed(params)["mine"])
    (photos / "empty").mkdir()
    seen.append(listing.listed(params)["mine"])
    (photos / "a" / "loop").symlink_to(photos)
    assert len(set(seen)) == 3
    assert len(listing.listed(params)["mine"]) == 64


def test_where_the_files_are_not_here_the_list_is_what_it_was_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"images": ["mine"], "data": {"mine": {"source": "folder", "path": str(tmp_path / "elsewhere")}}}
    assert listing.listed(params) == {"mine": "nothing is there"}
    (tmp_path / "configs" / "prepare").mkdir(parents=True)
    (tmp_path / "configs" / "prepare" / "mine.yaml").write_text("listed: abc\n")
    assert listing.listed(params) == {"mine": "abc"}
