"""Several labels an image, and numbers: from a table's cells to prepared arrays, splits and the card."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import prepared, targets
from ssl_core.data.contact_sheet import said
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Card, Prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.table import LabelTable
from ssl_core.errors import Refused
from tasks import lacking
from tasks.prepare import counted

COUNT = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    drawn = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(drawn.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(root / f"{i:03}.png")
    return root


def made(photos: Path, out: Path, columns: Mapping[str, Sequence[Any]], **said: Any) -> Prepared:
    """Prepared with a table of these columns, as JSON lines where a cell is a list; `labels: {table:, **said}`."""
    rows = [
        {"file": f"{i:03}.png"} | dict(zip(columns, cells, strict=True))
        for i, cells in enumerate(zip(*columns.values(), strict=True))
    ]
    listed = any(isinstance(cell, list) for row in rows for cell in row.values())
    table = out.parent / f"{out.name}.{'jsonl' if listed else 'csv'}"
    text = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    table.write_text("\n".join([json.dumps(row) for row in rows] if listed else text))
    config = FolderConfig(
        source="folder", path=str(photos), image_size=8, labels=LabelTable(table=str(table), file="file", **said)
    )
    out.mkdir()
    prepare("mine", data.read(config, out), config, out, photos)
    return prepared.load(out)


def in_order(made: Prepared) -> np.ndarray:
    """The labels of all images by the number in their names."""
    named = [(file, label) for split in made.splits for file, label in zip(made.files(split), made.labels(split),
                                                                           strict=True)]  # fmt: skip
    return np.array([label for _, label in sorted(named, key=lambda one: one[0])])


CAT = [i % 2 for i in range(COUNT)]
DOG = [int(i % 5 == 0) for i in range(COUNT)]


@pytest.mark.parametrize(
    "spelled", [("0", "1"), ("-1", "1"), ("false", "True"), ("No", "yes"), ("0.0", "1.0"), ("", "1")]
)
def test_labels_are_columns_of_yes_and_no(spelled: tuple[str, str], photos: Path, tmp_path: Path) -> None:
    columns = {"dog": [spelled[one] for one in DOG], "cat": [spelled[one] for one in CAT]}
    read = made(photos, tmp_path / "out", columns, label=("dog", "cat"))
    np.testing.assert_array_equal(in_order(read), np.stack([DOG, CAT], axis=1))
    assert (read.card.target, read.card.classes) == ("labels", ["dog", "cat"])
    assert {read.labels(split).dtype for split in read.splits} == {np.dtype(np.int8)}
    for split in ("train", "val", "test"):
        assert read.card.splits[split]["per_class"] == read.labels(split).sum(axis=0).tolist()
        assert min(read.card.splits[split]["per_class"]) > 0
    assert "2 labels, several an image" in said(read.card)[0]
    assert "the labels are those of out.csv, columns dog, cat" in " ".join(read.card.notes).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("separator", ["|", ";", "list", "list's text", "array's text"])
def test_labels_are_the_parts_of_a_cell(separator: str, photos: Path, tmp_path: Path) -> None:
    tags = [[n for n, on in (("Dog", DOG[i]), ("cat", CAT[i]), ("dog", i == 1)) if on] for i in range(COUNT)]
    cells: Sequence[Any] = tags
    if "text" in separator:
        quoted = [" ".join(map(repr, one)) if "array" in separator else repr(one)[1:-1] for one in tags]
        cells = [f'"[{one}]"' for one in quoted]
    elif separator != "list":
        cells = [f" {separator} ".join([*one, ""]) for one in tags]
    read = made(photos, tmp_path / "out", {"tags": cells}, label="tags", separator=separator)
    # Dog and dog stand in one split, and are two labels; no file of a table says which is meant.
    assert read.card.classes == ["Dog", "cat", "dog"]
    expected = np.stack([DOG, CAT, [int(i == 1) for i in range(COUNT)]], axis=1)
    empty = expected.sum(axis=1) == 0
    np.testing.assert_array_equal(in_order(read)[~empty], expected[~empty])
    # A text without a part says nothing of an image, a list without one that it has no label.
    assert (in_order(read)[empty] == (-1 if separator in "|;" else 0)).all()


def test_rows_without_a_label_and_labels_that_tell_nothing_are_counted(photos: Path, tmp_path: Path) -> None:
    tags = ["" if i < 12 else f"every|{'ab'[i % 2]}" for i in range(COUNT)]
    read = made(photos, tmp_path / "a", {"tags": tags}, label="tags", separator="|")
    assert (read.card.classes, read.card.splits["unlabelled"]["count"]) == (["a", "b"], 12)
    assert "rows without a label: 12" in read.card.notes
    assert "labels that all images have, or none, tell nothing and are left out: every" in read.card.warnings
    cat = ["" if i == 3 else one for i, one in enumerate(CAT)]
    partly = made(photos, tmp_path / "b", {"cat": cat, "dog": DOG}, label=("cat", "dog"))
    assert partly.card.splits["unlabelled"]["count"] == 1
    assert (in_order(partly)[3] == -1).all()


def test_a_number_is_kept_as_it_is_and_standardised_by_train_where_it_is_to_be_told(
    photos: Path, tmp_path: Path
) -> None:
    ages: list[Any] = [round(20 + 1.5 * i, 2) for i in range(COUNT)]
    ages[4], ages[9] = "", "N/A"
    read = made(photos, tmp_path / "out", {"age": ages}, number="age")
    told = in_order(read)
    assert np.flatnonzero(np.isnan(told)).tolist() == [4, 9]
    np.testing.assert_array_equal(told[~np.isnan(told)], [one for one in ages if not isinstance(one, str)])
    assert (read.card.target, read.card.classes) == ("number", ["age"])
    numbers = read.card.splits["train"]["numbers"]
    assert (numbers["mean"], numbers["std"]) == (read.labels("train").mean(), read.labels("train").std())
    wanted = read.wanted("train")
    assert wanted.dtype == np.float32
    assert (wanted.mean(), wanted.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    np.testing.assert_allclose(read.wanted("test") * numbers["std"] + numbers["mean"], read.labels("test"), rtol=1e-6)
    assert counted(read.card)[0].startswith("train: age from ")
    assert f"a number, age, from {numbers['least']:.4g} to " in said(read.card)[0]


@pytest.mark.parametrize(
    ("columns", "config", "sentence"),
    [
        ({"age": ["abc", *range(59)]}, {"number": "age"}, r"age of .* has 'abc', which is no number \(1 of 60 rows\)"),
        ({"age": ["inf", *range(59)]}, {"number": "age"}, "has 'inf', which is no number"),
        ({"age": [3] * 60}, {"number": "age"}, "has 3 alone; two different numbers are needed"),
        ({"age": [""] * 60}, {"number": "age"}, "has no number; two different numbers are needed"),
        ({"a": [1] * 60}, {"number": "b"}, "has no column b"),
        ({"tags": [""] * 60}, {"label": "tags", "separator": "|"}, "labels: no row of .* has a label$"),
        ({"a": [1] * 60, "b": [0] * 60}, {"label": ("a", "b")}, r"no label tells images apart: .* \(a, b\)"),
        (
            {"a": [2] * 60, "b": CAT},
            {"label": ("a", "b")},
            "the column a of .* has '2'; a column of one label has 1 or",
        ),
        ({"a": [-1, 0, 1] * 20, "b": CAT}, {"label": ("a", "b")}, "the column a of .* has '-1'; a column of one label"),
        (
            {"a": [-1, "", 1] * 20, "b": CAT},
            {"label": ("a", "b")},
            "the column a of .* has '-1'; a column of one label",
        ),
        ({"tags": ["a;b", "a", "b"] * 20}, {"label": "tags"}, "several labels are with separator"),
        ({"tags": ["a b", "b c", "a", "b", "c"] * 12}, {"label": "tags"}, "has 'a b': one class an image"),
        ({"tags": ["a;b", "b;c", "a;c"] * 20}, {"label": "tags"}, "has 'a;b': one class an image"),
        ({"tags": ["['a']", "['b']"] * 30}, {"label": "tags"}, r"has \"\['a'\]\": one class an image"),
        ({"age": [i / 7 for i in range(60)]}, {"label": "age"}, "numbers with number: COLUMN"),
    ],
)
def test_what_tells_nothing_is_refused_in_a_sentence(
    columns: dict[str, Sequence[Any]], config: dict[str, Any], sentence: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=sentence):
        made(photos, tmp_path / "out", columns, **config)


def test_classes_of_several_words_are_classes_and_one_called_nan_is_warned_of(photos: Path, tmp_path: Path) -> None:
    kinds = ["hot", "dog", "hot dog", "big dog|x", "nan"]
    card = made(photos, tmp_path / "out", {"kind": kinds * 12}, label="kind").card
    assert card.classes == sorted(kinds)
    assert "a class is called nan: if that is none, leave the cells empty" in card.warnings


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"label": ()}, "label is"),
        ({"label": ("a", "a")}, "each once"),
        ({"label": ("a", "b"), "separator": "|"}, "separator is"),
        ({"separator": ""}, "separator is"),
        ({"number": "age", "label": "kind"}, "leave out label or number"),
        ({"number": "age", "separator": "|"}, "separator is"),
        ({"number": ""}, "number is ''"),
        ({"label": ("a", "")}, "label is"),
    ],
)
def test_a_table_that_says_two_things_is_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LabelTable(table="t.csv", **config)


@pytest.mark.parametrize(
    ("config", "cells", "without"),
    [
        ({"number": "age"}, [{"age": i} for i in range(COUNT)], np.nan),
        ({"label": ("cat", "dog")}, [{"cat": CAT[i], "dog": DOG[i]} for i in range(COUNT)], -1),
        ({"label": "tags", "separator": "|"}, [{"tags": f"{CAT[i]}|{DOG[i] + 2}"} for i in range(COUNT)], -1),
    ],
)
def test_a_line_without_the_key_says_nothing(
    config: dict[str, Any], cells: list[dict[str, Any]], without: float, photos: Path, tmp_path: Path
) -> None:
    lines = [{"file": f"{i:03}.png"} | (cell if i not in (0, 7) else {}) for i, cell in enumerate(cells)]
    lines.append(cells[0])
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)))
    source = FolderConfig(source="folder", path=str(photos), image_size=8,
                          labels=LabelTable(table=str(table), file="file", **config))  # fmt: skip
    prepare("mine", data.read(source, tmp_path), source, tmp_path, photos)
    read = prepared.load(tmp_path)
    assert read.card.splits["unlabelled"]["count"] == 2
    np.testing.assert_array_equal(in_order(read)[7], np.full_like(in_order(read)[7], without))


@pytest.mark.parametrize(
    ("name", "content"), [("t.parquet", b"no parquet"), ("t.jsonl", b"5\n6"), ("t.jsonl", b"{"), ("t.jsonl", b"null")]
)
def test_bytes_that_are_no_table_are_refused(name: str, content: bytes, photos: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    config = FolderConfig(source="folder", path=str(photos), labels=LabelTable(table=str(tmp_path / name),
                                                                               number="age"))  # fmt: skip
    with pytest.raises(Refused, match=f"labels: the table .*{name} cannot be read: "):
        prepare("mine", data.read(config, tmp_path), config, tmp_path, photos)


def test_two_rows_of_an_image_must_say_the_same(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,age\n" + "".join(f"{i:03}.png,{i}\n" for i in range(COUNT)) + "000.png,7\n")
    config = FolderConfig(source="folder", path=str(photos), labels=LabelTable(table=str(table), file="file",
                                                                               number="age"))  # fmt: skip
    with pytest.raises(Refused, match=r"two rows of the table label 000\.png, not alike"):
        prepare("mine", data.read(config, tmp_path), config, tmp_path, photos)


def test_an_image_counts_for_its_rarest_label_and_a_number_for_its_range() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0], [-1, -1, -1], [1, 0, 0]], np.int8)
    assert targets.strata(labels).tolist() == [0, 1, 2, 1, 3, -1, 0]
    numbers = np.random.default_rng(0).permutation(np.append(np.arange(100.0), np.nan))
    ranges = targets.strata(numbers)
    assert (ranges[np.isnan(numbers)] == -1).all()
    assert np.bincount(ranges[ranges >= 0]).tolist() == [20] * 5
    order = ranges[np.argsort(numbers)][:100]
    assert (np.diff(order) >= 0).all()
    classes = np.array([0, -1, 2])
    assert targets.strata(classes) is classes


def test_images_alike_with_unlike_labels_are_told(tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i // 2).integers(256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i:03}.png")
    ages = [i // 2 if i > 3 else i for i in range(COUNT)]
    card = made(root, tmp_path / "n", {"age": ages}, number="age").card
    assert card.duplicates["in two classes"] == 4
    assert any(warning.startswith("4 images of the same pixels have different numbers") for warning in card.warnings)


def card_of(target: str, **splits: dict[str, Any]) -> Card:
    return Card(
        name="mine", image_size=8, classes=["a", "b"] if target == "labels" else ["age"], splits=splits, grey=False,
        mean=(0.5,) * 3, std=(0.2,) * 3, original_sizes={}, sources=[], skipped={}, target=target,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def test_a_split_that_can_tell_nothing_is_refused_when_images_are_counted() -> None:
    varied, constant = {"least": 1.0, "greatest": 2.0}, {"least": 3.0, "greatest": 3.0}
    card = card_of("number", train={"numbers": varied}, val={"numbers": constant}, test={"numbers": varied})
    with pytest.raises(Refused, match="val has age 3 alone, and R² needs two different numbers"):
        lacking.refuse_labels(card, [0.01, 1.0])
    card = card_of("labels", train={"per_class": [5, 5]}, val={"per_class": [1, 0]}, test={"per_class": [0, 0]})
    with pytest.raises(Refused, match="test shows none of the 2 labels"):
        lacking.refuse_labels(card, [0.01, 1.0])
    card = card_of("labels", train={"per_class": [5, 0]}, val={"per_class": [1, 1]}, test={"per_class": [1, 0]})
    with pytest.raises(Refused, match="mine: the label 'b' stands in val and not in train"):
        lacking.refuse_labels(card, [1.0])
    card = card_of("labels", train={"per_class": [5, 0]}, val={"per_class": [1, 0]}, test={"per_class": [1, 0]})
    with pytest.raises(
        Refused, match="mine: the label 'b' stands in no split that is left, so that nothing can learn it"
    ):
        lacking.refuse_labels(card, [1.0])


def test_further_labels_are_counted_as_labels() -> None:
    card = card_of("labels", train={"per_class": [1] * 40})
    card = dataclasses.replace(card, classes=[f"l{i}" for i in range(40)])
    assert counted(card)[0].endswith(" more labels")
