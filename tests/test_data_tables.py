"""Tables of labels that contradict themselves or the folders, and how their files are written."""

import re
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_core import data
from ssl_core.data import cutting, prepared, table, table_file
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.data.source import Reading
from ssl_core.data.table import LabelTable, Row
from ssl_core.errors import Refused

RANDOM = np.random.default_rng(0)


def photos(root: Path, folders: tuple[str, ...] = ("",), count: int = 30) -> list[str]:
    for i in range(count):
        file = root / folders[i % len(folders)] / f"é{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(file)
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))


def labelled(root: Path, out: Path, rows: list[str], split: str | None = None, encoding: str = "utf-8") -> Card:
    name = "l.jsonl" if rows[0].startswith("{") else "l.csv"
    (root / name).write_text("\n".join(rows), encoding=encoding)
    of = LabelTable(table=name, file="f", label="l", split=split)
    config = FolderConfig(source="folder", path=str(root), image_size=8, labels=of)
    out.mkdir()
    prepare("mine", data.read(config, out), config, out, root)
    return prepared.load(out).card


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda files: ["f,l", *(f"{f},{x}" for x in "ab" for f in files)], r"the labels 'a' and 'b'"),
        (lambda files: [f'{{"f": "{f}", "l": ["a", "b"]}}' for f in files], r"has \['a', 'b'\]"),
        (lambda files: ["f,l", *(f"{f},{['a', 'b', 'a|b'][i % 3]}" for i, f in enumerate(files))], r"has 'a\|b'"),
        (lambda files: ["f,l", *(f"{f},{[0.5, 1, 2.25][i % 3]}" for i, f in enumerate(files))], r"has '0.5'"),
    ],
)
def test_several_labels_an_image_and_numbers_are_refused(
    rows: Callable[[list[str]], list[str]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=f"{said}.*: one class an image is read"):
        labelled(tmp_path / "p", tmp_path / "out", rows(photos(tmp_path / "p")))


def test_a_split_that_the_folders_contradict_is_told_and_spellings_are_as_of_folders(tmp_path: Path) -> None:
    files = photos(tmp_path / "p", ("train", "test"))
    rows = [f"{f},{'dog' if i % 2 else 'Cat' if i < 15 else 'cat'},{'test' if i < 15 else 'train'}"
            for i, f in enumerate(files)]  # fmt: skip
    made = labelled(tmp_path / "p", tmp_path / "out", ["f,l,s", *rows], split="s")
    assert made.classes == ["cat", "dog"]
    assert "'cat', 'Cat' are read as one class, cat" in made.notes
    assert not any("another split" in warning for warning in made.warnings)
    rows = [row.replace(",test", ",train") if i < 3 else row for i, row in enumerate(rows)]
    made = labelled(tmp_path / "p", tmp_path / "other", ["f,l,s", *rows], split="s")
    assert any("gives 3 images another split than their folders" in warning for warning in made.warnings)
    assert any("'Cat', 'cat' stand in one split" in warning for warning in made.warnings)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_names_are_found_however_they_are_written(form: str, encoding: str, tmp_path: Path) -> None:
    files = photos(tmp_path / "p")
    rows = [unicodedata.normalize(form, f"./{f} ,{'ab'[i % 2]}") for i, f in enumerate(files)]  # pyright: ignore[reportArgumentType]
    made = labelled(tmp_path / "p", tmp_path / "out", ["f,l", *rows], encoding=encoding)
    assert made.classes == ["a", "b"]
    assert set(made.splits) == {"train", "val", "test"}  # so that none is unlabelled


def rows_of(folder: Path, named: str = "") -> str:
    """A metadata.csv of the photos of a folder, which are `cat` and `dog` by turns."""
    names = sorted(file.name for file in folder.glob("*.png"))
    return "file_name,label\n" + "".join(f"{named}{name},{'dog' if i % 2 else 'cat'}\n" for i, name in enumerate(names))


@pytest.mark.parametrize("kind", ["tree", "zip", "gztar", "tar"])
@pytest.mark.parametrize("top", ["", "r/data/"])
def test_tables_known_by_their_name_are_those_of_the_data_set_wherever_they_lie(
    top: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "p"
    photos(root / top, ("train",))
    photos(root / top, ("test",), count=12)
    (root / top / "train" / "metadata.csv").write_text(rows_of(root / top / "train"))
    (root / top / "metadata.csv").write_text(rows_of(root / top / "test", "test/"))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "metadata.csv").write_text("file_name,label\na.png,left\nb.png,right\n")
    monkeypatch.chdir(tmp_path / "here")
    path = root if kind == "tree" else Path(shutil.make_archive(str(tmp_path / "packed"), kind, root))
    config = FolderConfig(source="folder", path=str(path), image_size=8)
    (tmp_path / "out").mkdir()
    made = prepare("mine", data.read(config, tmp_path), config, tmp_path / "out", path)
    assert made.classes == ["cat", "dog"]
    assert {split: part["count"] for split, part in made.splits.items()} == {"train": 26, "val": 4, "test": 12}
    assert not made.warnings


@pytest.mark.parametrize(
    ("content", "label"), [("{bad", "COLUMN"), ('{"file_name": "a.png", "label": ["a", "b"]}', "label")]
)
def test_a_known_table_that_cannot_be_read_is_refused_with_the_way_on(content: str, label: str, tmp_path: Path) -> None:
    photos(tmp_path / "p")
    (tmp_path / "p" / "metadata.jsonl").write_text(content)
    config = FolderConfig(source="folder", path=str(tmp_path / "p"), image_size=8)
    way = rf"labels: {{table: metadata.jsonl, file: file_name, label: {label}, …}} to this data set, labels: none to"
    with pytest.raises(Refused, match=way):
        prepare("mine", data.read(config, tmp_path), config, tmp_path, tmp_path / "p")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_given_table_of_an_archive_is_the_one_of_that_very_path(kind: str, tmp_path: Path) -> None:
    for path in ("a/t.csv", "t.csv"):
        (tmp_path / "p" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / path).write_text(path)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "p", "a"))
    with zipfile.ZipFile(packed, "a") if kind == "zip" else tarfile.open(packed, "a") as archive:
        (archive.write if isinstance(archive, zipfile.ZipFile) else archive.add)(tmp_path / "p" / "t.csv", "t.csv")
    for name, read in (("t.csv", "t.csv"), ("a/t.csv", "a/t.csv")):
        assert table_file.content(name, packed) == read.encode()


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("L.CSV", "f,l\n{0},cat\n{1},dog\n", "utf-8"),
        ("l.txt", "f;l\n{0};cat\n{1};dog\n", "utf-8"),
        ("l.csv", 'f , l, note\n{0}, cat, "x, y"\n{1}, dog,\n', "utf-8"),
        ("l.tsv", "f\tl\tnote (a, b, c, d)\n{0}\tcat\tx\n{1}\tdog\ty\n", "utf-8"),
        ("l.JSONL", '{{"f": "{0}", "l": "cat", "n": "x\u2028y"}}\r\n{{"f": "{1}", "l": "dog"}}\n', "utf-8"),
        ("l.csv", "f,l\n{0},猫\n{1},犬\n", "cp932"),
        ("l.csv", "f,l\n{0},猫\n{1},狗\n", "gbk"),
        ("l.csv", "f,l\n{0},Bär\n{1},Pérez\n", "cp1252"),
    ],
)
def test_a_table_is_read_however_its_file_is_written(name: str, text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.format("0.png", "1.png").encode(encoding))
    read = table.read(LabelTable(table=name, file="f", label="l"), tmp_path)
    labels = re.findall(r"\b(cat|dog|猫|犬|狗|Bär|Pérez)\b", text)
    assert [(row.file, row.label) for row in read] == [("0.png", labels[0]), ("1.png", labels[1])]


def rows(*files: str, split: str = "", group: str = "") -> list[Row]:
    return [Row(file=file, label="a", split=split, group=group) for file in files]


@pytest.mark.parametrize("what", ["split", "group"])
def test_two_rows_of_an_image_that_differ_in_split_or_group_are_refused(what: str) -> None:
    with pytest.raises(Refused, match=rf"rows of the table give d/1\.png the {what}s 'x' and 'y': one row an image"):
        table.matched([*rows("1.png", **{what: "x"}), *rows("d/1.png", **{what: "y"})], ["d/1.png"])


PATHS = ["d/images/0.png", "d/images/1.png", "d/more/1.png"]


@pytest.mark.parametrize(
    ("files", "places", "missing", "several"),
    [
        (["/home/me/d/images/0.png", "/home/me/d/images/1.png"], [0, 1], [], {}),
        (["C:/d/images/1", "C:/d/other/1"], [1], ["C:/d/other/1"], {}),
        (["upload/more/1.png"], [2], [], {}),
        (["0", "1"], [0], [], {"1": [1, 2]}),
        (["x/1.png", "x/2.png"], [], ["x/2.png"], {"x/1.png": [1, 2]}),
        (["x/3.png"], [], ["x/3.png"], {}),
    ],
)
def test_rows_name_images_by_the_ends_of_their_paths_or_of_the_rows(
    files: list[str], places: list[int], missing: list[str], several: dict[str, list[int]]
) -> None:
    found = table.matched(rows(*files), PATHS)
    assert ([*found.rows], found.missing, found.several) == (places, missing, several)


def test_a_row_never_loses_its_name() -> None:
    assert not table.matched(rows("a/0.png", "1.png"), ["more/more.png"], "more").rows


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            [f"é{i:02}" for i in range(30)],
            "30 rows of l.csv name several images .*: é00 stands for test/é00.png, train/",
        ),
        (
            [f"x{i:02}" for i in range(30)],
            "no row of l.csv names an image; its column f has x00, x01, x02, …, and must",
        ),
    ],
)
def test_rows_that_name_no_image_alone_are_refused_with_what_they_name(
    files: list[str], said: str, tmp_path: Path
) -> None:
    photos(tmp_path / "p" / "train")
    photos(tmp_path / "p" / "test")
    with pytest.raises(Refused, match=said):
        labelled(tmp_path / "p", tmp_path / "out", ["f,l", *(f"{f},{'ab'[i % 2]}" for i, f in enumerate(files))])


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_tables_of_an_archive_none_is_taken_unless_it_is_named(kind: str, tmp_path: Path) -> None:
    for name in ("test/l.csv", "train/l.csv", "l.tsv", "train/l.tsv"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_text(name)
    made = Path(shutil.make_archive(str(tmp_path / "q"), kind, tmp_path / "p"))
    with pytest.raises(
        Refused, match=r"the table l\.csv stands for .*test/l\.csv, .*train/l\.csv: give the whole name"
    ):
        table_file.content("l.csv", made)
    for name in ("test/l.csv", "l.tsv"):
        assert table_file.content(name, made) == name.encode()


def test_a_split_column_without_train_is_told_by_its_name(tmp_path: Path) -> None:
    files = photos(tmp_path / "p")
    rows = [f"{f},{'ab'[i % 2]},{['val', 'test'][i % 4 // 2]}" for i, f in enumerate(files)]
    with pytest.raises(Refused, match=r"the column s of l\.csv says train of no image that has a label: say train of"):
        labelled(tmp_path / "p", tmp_path / "out", ["f,l,s", *rows], split="s")


def test_groups_are_said_once() -> None:
    with pytest.raises(ValueError, match=r"group is '\(p\)', and labels have group patient: leave out one of them"):
        FolderConfig(source="folder", path="x", group="(p)", labels=LabelTable(table="l.csv", group="patient"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.jsonl", '{\n "a": 1\n}\n', "the table metadata.jsonl cannot be read"),
        (
            "metadata.csv",
            "file_name,label\n" + "".join(f"a/é{i:02}.png,{i * 0.37}\n" for i in range(20)),
            "has '0.0': one class",
        ),
        ("metadata.csv", "file_name,label\nx.png,a\n", "no row of metadata.csv names an image"),
    ],
)
def test_a_table_that_nobody_named_does_not_stand_in_the_way_of_class_folders(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    photos(tmp_path / "p", ("a", "b"))
    (tmp_path / "p" / name).write_text(text)
    config = FolderConfig(source="folder", path=str(tmp_path / "p"), image_size=8)
    (tmp_path / "out").mkdir()
    card = prepare("mine", data.read(config, tmp_path), config, tmp_path / "out", tmp_path / "p")
    assert card.classes == ["a", "b"]
    assert any(said in one and one.endswith("; the classes are those of the folders") for one in card.warnings)
    for i, file in enumerate((tmp_path / "p").rglob("*.png")):
        file.rename(tmp_path / "p" / f"{i}.png")
    with pytest.raises(Refused, match=said):
        prepare("mine", data.read(config, tmp_path), config, tmp_path / "out", tmp_path / "p")


def test_a_group_that_is_not_there_is_none() -> None:
    assert cutting.by_pattern(["p1_a", "x"], "(p[0-9]+)?") == (["p1", "\0x"], 1)
    with pytest.raises(Refused, match="is found in no path"):
        cutting.by_pattern(["x"], "(p[0-9]+)?")


def test_a_file_that_goes_away_while_others_are_read_is_left_out(tmp_path: Path) -> None:
    names = photos(tmp_path / "p", count=4)
    reading: Reading = data.read(FolderConfig(source="folder", path=str(tmp_path / "p")), tmp_path)
    examples = iter(reading.examples)
    next(examples)
    (tmp_path / "p" / names[2]).unlink()
    assert [name for name, _ in examples] == [names[1], names[3]]
    assert reading.left_out == {"files that were gone when they were to be read": [names[2]]}
