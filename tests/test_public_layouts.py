"""Data sets as the public finds them on disk, rebuilt in miniature: from the folder to the table, by `dvc repro`."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL_SUITE, clone, edit, run
from PIL import Image, ImageDraw

from ssl_core import data
from ssl_core.data import prepared
from ssl_core.data.contact_sheet import said
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.errors import Refused

POINTER = "a Git LFS pointer stands for the file: fetch it with `git lfs pull`"

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def picture(file: Path, label: int, number: int, mode: str = "RGB") -> None:
    """A picture of its own size with a disk in it, or a square."""
    file.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng([label, number])
    width, height = map(int, drawn.integers(30, 60, 2))
    ground = Image.fromarray(drawn.integers(20, 120, (5, 5, 3)).astype(np.uint8))
    image = ground.resize((width, height), Image.Resampling.BICUBIC)
    canvas, (x, y) = ImageDraw.Draw(image), drawn.integers(4, 12, 2).tolist()
    (canvas.ellipse if label else canvas.rectangle)((x, y, x + 14, y + 14), fill=(230, 220, 200))
    image.convert(mode).save(file)


def text(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not an image\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose suite fits a few images."""
    project = clone(tmp_path_factory.mktemp("public"))
    edit(project, lambda suite: suite.update(variants={"simclr": None}, fine_tune=[]), SMALL_SUITE)
    edit(project, lambda suite: suite["defaults"]["pretraining"].update(batch_size=16), SMALL_SUITE)
    edit(project, lambda content: content["evaluation"].update(label_fractions=[0.5, 1.0]))
    return project


def finished(project: Path, name: str, **source: Any) -> tuple[Card, str]:
    """The card of a data set after all stages, of which there is a table; and what `dvc repro` said."""
    settings = {"source": "folder", "image_size": 16} | source
    edit(project, lambda content: content.update(images=[name], data={name: settings}))
    done = run("dvc", "repro", cwd=project)
    assert done.returncode == 0, done.stdout[-5000:]
    shown = run("python", "-m", "tasks.show", cwd=project)
    assert shown.returncode == 0, shown.stdout[-3000:]
    with (project / "results" / "small" / "comparison.csv").open() as opened:
        rows = [row for row in csv.DictReader(opened) if (row["head"], row["label_fraction"]) == ("linear", "1.0")]
    (accuracy,) = (float(row["value"]) for row in rows if (row["split"], row["metric"]) == ("test", "accuracy"))
    assert {(row["variant"], row["images"]) for row in rows} == {("simclr", name)}
    assert f"{100 * accuracy:.1f}" in shown.stdout
    card = prepared.load(project / "data" / "prepared" / name).card
    right = accuracy * card.splits["test"]["count"]
    assert right == pytest.approx(round(right), abs=0.01)
    for line in said(card):
        assert line in done.stdout
    return card, done.stdout


def refused(path: Path, out: Path) -> str:
    """The sentence that ends the first try, with nothing but the path said."""
    config = FolderConfig(source="folder", path=str(path), image_size=16)
    out.mkdir()
    with pytest.raises(Refused) as sentence:
        prepare("first", data.read(config, out), config, out, path)
    return str(sentence.value)


def counts(card: Card) -> dict[str, list[int]]:
    return {split: part["per_class"] for split, part in card.splits.items()}


def left_out(card: Card) -> dict[str, int]:
    return {why: part["count"] for why, part in card.left_out.items()}


def chest_xray(root: Path) -> Path:
    """Kaggle's chest-xray-pneumonia: grey JPEGs, some in colour, 16 in val, and all of it a second time inside."""
    for top in (root, root / "chest_xray"):
        for place, (split, each) in enumerate({"train": 24, "val": 8, "test": 10}.items()):
            for label, name in enumerate(("NORMAL", "PNEUMONIA")):
                for i in range(each):
                    mode = "RGB" if label and i % 7 == 6 else "L"
                    picture(top / split / name / f"{name}-{i:04}-0001.jpeg", label, 100 * place + i, mode)
        text(top, "train/.DS_Store", "train/NORMAL/.DS_Store")
    text(root, "__MACOSX/chest_xray/train/NORMAL/._NORMAL-0000-0001.jpeg")
    return root


def imagefolder(root: Path) -> Path:
    """Hugging Face's imagefolder with a metadata.csv a split: a row without its file, and a file without its row."""
    for place, (split, each) in enumerate({"train": 60, "test": 20}.items()):
        for i in range(each):
            picture(root / split / f"{i:04}.png", i % 3 > 0, 100 * place + i)
        rows = [f"{i:04}.png,{('leaf', 'rust', 'mould')[i % 3]}" for i in range(each + (split == "train"))]
        (root / split / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
    picture(root / "test" / "extra.png", 0, 999)
    text(root, "README.md", ".gitattributes", ".cache/huggingface/download/README.md.lock")
    return root


def repository(root: Path) -> Path:
    """A cloned repository, as TrashNet's: its pictures in a folder among code and words, one damaged, a logo on top."""
    for label, name in enumerate(("glass", "paper")):
        for i in range(40):
            picture(root / "Dataset" / name / f"{name}{i + 1}.jpg", label, i)
    (root / "Dataset" / "paper" / "paper41.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    picture(root / "logo.png", 0, 999)
    text(
        root,
        "README.md",
        "LICENSE",
        "train.py",
        "requirements.txt",
        ".gitignore",
        ".git/HEAD",
        "Dataset/one-indexed.txt",
    )
    return root


def test_chest_x_rays(project: Path, tmp_path: Path) -> None:
    root = chest_xray(tmp_path / "chest_xray")
    sentence = refused(root, tmp_path / "first")
    assert "named like splits (test (20), train (48), val (16)) and others are not (chest_xray (84))" in sentence
    assert "add layout: split/class to this data set to read the splits alone" in sentence
    card, _ = finished(project, "xrays", path=str(root), layout="split/class", near_duplicates=2)
    assert card.classes == ["NORMAL", "PNEUMONIA"]
    assert counts(card) == {"train": [24, 24], "val": [8, 8], "test": [10, 10]}
    assert left_out(card) == {"a system's leftovers": 5, "outside the folders of the splits": 84}
    assert (card.warnings, card.skipped["count"], card.grey) == ([], 0, False)
    assert card.duplicates == {
        "in two splits": {},
        "in two classes": 0,
        "copies": 0,
        "nearly in two splits": {},
    }


def test_an_imagefolder_with_its_metadata(project: Path, tmp_path: Path) -> None:
    card, _ = finished(project, "leaves", path=str(imagefolder(tmp_path / "leaves")))
    assert card.classes == ["leaf", "mould", "rust"]
    assert counts(card) == {"train": [18, 18, 18], "val": [2, 2, 2], "test": [7, 6, 7]}
    assert card.notes == [
        "the splits are those of the folders",
        "the labels are those of test/metadata.csv, train/metadata.csv, column label",
    ]
    assert left_out(card) == {
        "a system's leftovers": 1,
        "hidden (the name begins with a dot)": 1,
        "texts, tables and annotations": 1,
        "of val or test, without a label in the table": 1,
    }
    assert card.left_out["texts, tables and annotations"]["files"] == ["README.md"]
    assert card.warnings == [
        "1 rows of train/metadata.csv name no single file (0060.png)",
        "1 images are in no row of test/metadata.csv, train/metadata.csv (test/extra.png): no label",
    ]


def test_a_repository_with_a_data_set_in_it(project: Path, tmp_path: Path) -> None:
    root = repository(tmp_path / "trash")
    sentence = refused(root, tmp_path / "first")
    assert sentence.startswith("1 of 82 files could not be read as images, more than max_skipped_share (0.01) allows")
    assert sentence.endswith(f"the first is Dataset/paper/paper41.jpg ({POINTER})")
    card, printed = finished(project, "trash", path=str(root), max_skipped_share=0.02)
    assert card.classes == ["glass", "paper"]
    assert counts(card) == {"train": [32, 32], "val": [4, 4], "test": [4, 4]}
    assert left_out(card) == {
        "a system's leftovers": 1,
        "hidden (the name begins with a dot)": 1,
        "texts, tables and annotations": 3,
        "programs and notebooks": 1,
        "other files that are no images": 1,
        "outside the folder Dataset, which holds the images": 1,
    }
    assert (card.warnings, card.skipped["count"]) == ([], 1)
    assert f"not read, no image or damaged: 1 (Dataset/paper/paper41.jpg: {POINTER})" in printed
