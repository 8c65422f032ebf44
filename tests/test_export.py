"""What leaves the project: weights that others load, an ONNX graph, a model card, embeddings with file names."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from conftest import run
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from pyarrow import parquet
from ruamel.yaml import YAML
from safetensors import safe_open
from safetensors.torch import load_file
from test_comparison import project, suite, with_variant

from ssl_core import backbones, data
from ssl_core.augmentation import normalise
from ssl_core.backbones import BackboneConfig, ResNetConfig, TimmConfig, TorchvisionConfig
from ssl_core.backbones.backbone import resized
from ssl_core.data import prepared
from ssl_core.data.decode import decode
from ssl_core.data.folder import FolderConfig
from ssl_core.data.preparing import prepare
from ssl_core.data.shapes import ShapesConfig
from ssl_core.data.source import SourceConfig
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.embedding import embed as represent
from tasks import compare, export, weights
from tasks.cells import PREPARED, Cell
from tasks.comparison import compared
from tasks.configuration import configs
from tasks.configuration import plan as plans
from tasks.configuration.configs import Embedding, Pretraining
from tasks.exporting import embeddings, graph, loading, timm_config
from tasks.exporting.pixels import FromPixels, example
from tasks.weights import Kept

CELL, SIDE = Cell(variant="simclr", seed=0), 32
OURS = ResNetConfig(name="resnet10", width=8)
EMBEDDED = {"representations": ["backbone"], "compute": {"device": "cpu", "threads": 1}, "code": ""}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared project whose `simclr-0` has weights, of images that were prepared, and its export."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project(suite(seeds=[0, 1]))
        shutil.rmtree(PREPARED / "drawn")
        (PREPARED / "drawn").mkdir()
        drawn = ShapesConfig(source="shapes", image_size=SIDE, count=700)
        prepare("drawn", data.read(drawn, folder), drawn, PREPARED / "drawn")
        compare.main()
        for kind, content in ((Pretraining, {"variant": "simclr"}), (Embedding, EMBEDDED)):
            configs.file(kind, "simclr").parent.mkdir(parents=True, exist_ok=True)
            YAML(typ="safe").dump(content, configs.file(kind, "simclr"))
        keep(OURS, CELL.folder("pretrain"))
        export.main("simclr", "0", folder / "out", onnx=True)
    return folder


@pytest.fixture
def inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, worked in; a test leaves it as it was."""
    monkeypatch.chdir(made)
    return made


def keep(config: BackboneConfig, folder: Path) -> None:
    """Weights with statistics of their own: a fresh batch norm would hide a wrong one."""
    torch.manual_seed(0)
    backbone = backbones.build(config, SIDE).train()
    with torch.no_grad():
        backbone(torch.rand(8, 3, SIDE, SIDE))
    folder.mkdir(parents=True, exist_ok=True)
    card = prepared.load(PREPARED / "drawn").card
    weights.keep({"backbone": backbone}, config, None, card, folder, {"method": "simclr"})


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, SIDE, SIDE), np.uint8))


def expected(images: torch.Tensor, folder: Path) -> np.ndarray:
    """In float32, what the kept network makes of images [N, 3, H, W]."""
    kept = weights.load(folder, "backbone")
    with torch.inference_mode():
        return kept.network(normalise(images, kept.mean, kept.std)).numpy()


def represented(images: np.ndarray) -> np.ndarray:
    """What the embed stage makes of images [N, H, W, 3]."""
    kept = weights.load(CELL.folder("pretrain"), "backbone")
    return represent(kept.network, Images.of(images, kept.mean, kept.std, torch.device("cpu")))


# The folder.


def test_an_export_has_weights_a_graph_and_a_card(inside: Path) -> None:
    assert {file.name for file in (inside / "out").iterdir()} == {"backbone.safetensors", "backbone.onnx", "README.md"}
    kept, given = (load_file(folder / "backbone.safetensors") for folder in (CELL.folder("pretrain"), inside / "out"))
    assert all(torch.equal(kept[name], given[name]) for name in kept | given)
    with safe_open(inside / "out" / "backbone.safetensors", framework="np") as opened:
        said = opened.metadata()
    card = prepared.load(PREPARED / "drawn").card
    assert (said["library"], said["model"], said["num_features"], said["dataset"]) == (
        "stopgrad", "resnet10", "64", "drawn",
    )  # fmt: skip
    assert (json.loads(said["mean"]), json.loads(said["std"])) == (list(card.mean), list(card.std))
    assert said["exported_at_commit"]
    with safe_open(CELL.folder("pretrain") / "backbone.safetensors", framework="np") as opened:
        assert not any("commit" in name for name in opened.metadata())


def test_the_card_is_hugging_faces_and_has_the_comparisons_figures(inside: Path) -> None:
    _, head, text = (inside / "out" / "README.md").read_text().split("---\n", 2)
    header = YAML(typ="safe").load(head)
    assert (header["pipeline_tag"], header["library_name"], header["license"]) == (
        "image-feature-extraction", "onnx", "unknown",
    )  # fmt: skip
    assert "self-supervised-learning" in header["tags"]
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("|")}
    assert set(rows) == {"variant", "---", "simclr", "random", "random_vit"}  # itself and the baselines
    mean, half = 100 * (0.70 + 0.82) / 2, 76.2  # of two seeds: Student's t with one degree of freedom, 12.706 x 0.06
    assert f"| {mean:.1f}±{half:.1f} |" in rows["simclr"]
    assert "| linear probe 10% | linear probe 100% |" in rows["variant"]
    assert "Chosen on val" in text
    assert "95 % intervals" in text
    assert all(line in text for line in loading.graph_lines())


@pytest.mark.parametrize(
    ("weights_of", "said"),
    [
        (
            {"trained": True, "weights": "imagenet"},
            "pretrained by `simclr` (joint-embedding, contrastive) on drawn, from the weights imagenet on.",
        ),
        (
            {"trained": False, "weights": "imagenet"},
            "with the weights imagenet as they come: it was measured on drawn, and nothing was trained on it.",
        ),
        (
            {"trained": False, "weights": ""},
            "with initial weights, drawn at random: a baseline that was measured on drawn, and trained on nothing.",
        ),
    ],
    ids=["continued", "off the shelf", "initial"],
)
@pytest.mark.usefixtures("inside")
def test_the_card_says_what_was_trained_on_the_images(weights_of: dict[str, Any], said: str) -> None:
    found = compared.read(plans.read())
    found = replace(found, plan=with_variant(found.plan, "simclr", **weights_of))
    described = weights.metadata(Path("out/backbone.safetensors")) | {"started_from": "imagenet"}
    text = export.card(found, CELL, "backbone", described, None)
    assert said in text.splitlines()
    if weights_of["trained"]:
        assert all(part in text for part in ("## Trained on", "; pretrained on the train images", "Started from: im"))
    else:
        assert "## Measured on" in text
        assert not re.search("pretrain|self-supervised|Trained on|[sS]tarted", body(text))
    assert ("What the training images show" in text) == (weights_of["trained"] or bool(weights_of["weights"]))


def body(text: str) -> str:
    """A card without what the comparison and the configuration say."""
    return re.sub(r"```yaml.*?## Cost", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("count", [1, 5])
def test_the_graph_takes_raw_pixels_in_batches_of_any_size(inside: Path, count: int) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(inside / "out" / "backbone.onnx", providers=["CPUExecutionProvider"])
    images = pixels(count)
    h: Any = session.run(["representation"], {"pixels": images.numpy()})[0]
    np.testing.assert_allclose(h, expected(images, CELL.folder("pretrain")), rtol=1e-4, atol=1e-5)
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert session.get_modelmeta().custom_metadata_map["num_features"] == "64"


class Unexportable(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean() if float(images.mean()) > 0 else images


class Enlarging(torch.nn.Module):
    """The least that has a graph with a resizing in it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return resized(images, SIDE + 16).flatten(1)


def kept_with(network: torch.nn.Module) -> Kept:
    return Kept(network=network, image_size=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def test_what_has_no_graph_or_another_one_is_refused_and_leaves_nothing(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match=r"^this network cannot be exported to ONNX \(.*ONNX=no"):
        graph.write(kept_with(Unexportable()), inside / "never.onnx", {})
    program = graph._exported(FromPixels(kept_with(Enlarging())), example(kept_with(Enlarging())))
    monkeypatch.setattr(graph, "_exported", lambda *_: program)
    assert graph.write(kept_with(Enlarging()), inside / "resized.onnx", {}) < 1e-5
    # The same graph beside a network that makes something else.
    monkeypatch.setattr(weights, "load", lambda *_: kept_with(torch.nn.Sequential(Enlarging(), torch.nn.Tanh())))
    with pytest.raises(Refused, match=r"^the ONNX graph differs from PyTorch by"):
        export.main("simclr", "0", inside / "never", onnx=True)
    export.main("simclr", "0", inside / "plain", onnx=False)
    assert {file.name for file in (inside / "plain").iterdir()} == {"backbone.safetensors", "README.md"}
    assert not [file for file in inside.iterdir() if "never" in file.name]


def test_an_export_is_written_over_an_export_and_over_nothing_else(inside: Path) -> None:
    export.main("simclr", "0", inside / "again", onnx=False)
    export.main("simclr", "0", inside / "again", onnx=False)
    (inside / "again" / "thesis.tex").write_text("mine")
    (inside / "file").write_text("mine")
    for place in (inside / "again", inside / "file", inside):
        with pytest.raises(Refused, match=r"^INTO is .*, which is there and is not, or not only, an export"):
            export.main("simclr", "0", place, onnx=False)
    assert (inside / "again" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(
    ("variant", "seed", "sentence"),
    [
        ("simcrl", "0", "the active suite, test, has no variant 'simcrl': did you mean simclr?"),
        ("", "0", "has no variant ''; allowed are random, simclr, random_vit, mae"),
        ("simclr", "7", "the active suite, test, has no seed 7; allowed are 0, 1"),
        ("mae", "1", "mae-1 is not pretrained yet: run `make repro`, or `dvc repro pretrain@mae-1`"),
    ],
)
@pytest.mark.usefixtures("inside")
def test_a_cell_that_is_not_there_is_refused(variant: str, seed: str, sentence: str) -> None:
    for write in (lambda: export.main(variant, seed, Path("x"), True), lambda: export.embed(variant, seed, "", ROWS)):
        with pytest.raises(Refused) as refused:
            write()
        assert sentence in str(refused.value)
    assert not Path("x").exists()
    assert not ROWS.exists()


# Without the project.


TIMM = TimmConfig(name="timm", model="test_vit", input_size=SIDE)
PUBLISHED = [
    ResNetConfig(name="resnet18", stem="imagenet"),
    TIMM,
    TimmConfig(name="timm", model="test_resnet", input_size=48),
    TorchvisionConfig(name="torchvision", model="mobilenet_v3_small", input_size=64),
]


def environment(folder: Path, *names: str) -> Path:
    """A folder of packages, which a Python without any (-S) can be given: these and all that they require, as links."""
    folder.mkdir()
    left, seen = list(names), set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another platform, or of another Python
            continue
        required = [Requirement(one) for one in found.requires or []]
        left += [
            canonicalize_name(one.name) for one in required if not one.marker or one.marker.evaluate({"extra": ""})
        ]
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(str(found.locate_file(top)))
    return folder


@pytest.mark.thorough
@pytest.mark.slow
def test_the_lines_load_the_weights_where_the_project_is_not(inside: Path, tmp_path: Path) -> None:
    """In an environment of torch, timm and what they need; onnxruntime for what neither timm nor torchvision has."""
    packages = environment(tmp_path / "packages", "torch", "timm", "numpy", "onnxruntime")
    assert not {"mlflow", "dvc", "prefect", "ssl_core", "tasks"} & {one.name for one in packages.iterdir()}
    program = [f"import os, sys; sys.path.append('{packages}'); import numpy, torch"]
    for i, config in enumerate([OURS, *PUBLISHED]):
        folder = tmp_path / str(i)
        keep(config, folder)
        described = weights.metadata(folder / "backbone.safetensors")
        assert (described["library"] == "stopgrad") == (config is OURS)
        if config is OURS:
            shutil.copy(inside / "out" / loading.GRAPH, folder)
        if config is TIMM:
            graph.write(weights.load(folder, "backbone"), folder / loading.GRAPH, described)  # checks it
        np.save(folder / "pixels.npy", pixels(4).numpy())
        program += [
            f"os.chdir('{folder}')",
            loading.imports(described),
            "pixels = numpy.load('pixels.npy')",
            *(f"{name} = torch.tensor({described[name]})[:, None, None]" for name in ("mean", "std")),
            "images = (torch.from_numpy(pixels) / 255 - mean) / std",
            "images = torch.nn.functional.interpolate("
            f"images, size={described['input_size']}, mode='bilinear', antialias=True)",
            *loading.lines(described),
            "numpy.save('h.npy', h.detach().numpy() if hasattr(h, 'detach') else h)",
        ]
    isolated = [sys.executable, "-I", "-S", "-c"]
    subprocess.run([*isolated, "\n".join(program)], cwd=tmp_path, check=True)
    absent = subprocess.run([*isolated, "import ssl_core"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "No module named 'ssl_core'" in absent.stderr
    for i, _ in enumerate([OURS, *PUBLISHED]):
        folder = tmp_path / str(i)
        np.testing.assert_allclose(np.load(folder / "h.npy"), expected(pixels(4), folder), rtol=1e-3, atol=1e-4)


def test_an_export_of_timms_networks_is_a_folder_that_timm_loads(inside: Path) -> None:
    shutil.copytree(CELL.folder("pretrain"), inside / "ours")
    try:
        keep(TIMM, CELL.folder("pretrain"))
        export.main("simclr", "0", inside / "timm", onnx=False)
        images = torch.rand(2, 3, SIDE, SIDE)
        kept: Any = weights.load(CELL.folder("pretrain"), "backbone")
    finally:
        shutil.rmtree(CELL.folder("pretrain"))
        shutil.move(inside / "ours", CELL.folder("pretrain"))
    loaded = timm.create_model(f"local-dir:{inside / 'timm'}", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), kept.network(images))
    said = json.loads((inside / "timm" / "config.json").read_text())
    assert (said["architecture"], said["num_classes"], said["num_features"]) == ("test_vit", 0, 64)
    assert (said["pretrained_cfg"]["mean"], said["pretrained_cfg"]["std"]) == (list(kept.mean), list(kept.std))
    assert said["pretrained_cfg"]["input_size"] == [3, SIDE, SIDE]
    header = (inside / "timm" / "README.md").read_text().split("---\n")[1]
    assert YAML(typ="safe").load(header)["library_name"] == "timm"


def test_timms_config_is_written_without_a_look_at_the_weights(tmp_path: Path) -> None:
    network = timm.create_model("test_vit", num_classes=0)
    network.state_dict = None  # pyright: ignore[reportAttributeAccessIssue]
    seen = {"input_size": "32", "mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]"}
    timm_config.write(network, seen, tmp_path / "config.json")
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    said = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert (said["mean"], said["input_size"], said["crop_pct"]) == ([0.1, 0.2, 0.3], [3, 32, 32], 1.0)


# Representations with the names of files.

ROWS = Path("rows.parquet")


@pytest.fixture
def photos(inside: Path, tmp_path: Path) -> Path:
    """Class folders below two splits, one file of which is no image."""
    generator = np.random.default_rng(0)
    for place in ("train/cat", "train/dog", "test/cat"):
        (tmp_path / "photos" / place).mkdir(parents=True)
        for i in range(3):
            drawn = Image.fromarray(generator.integers(0, 256, (20 + i, 18, 3), np.uint8))
            drawn.save(tmp_path / "photos" / place / f"{i}.png")
    (tmp_path / "photos" / "train" / "cat" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def rows(images: str) -> dict[str, list[Any]]:
    export.embed("simclr", "0", images, ROWS.resolve())
    written = parquet.read_table(ROWS)
    ROWS.unlink()
    assert written.column_names == ["split", "file", "label", "representation"]
    return written.to_pydict()


@pytest.mark.parametrize("named", ["", "drawn"])
@pytest.mark.usefixtures("inside")
def test_a_data_sets_rows_are_its_prepared_images_in_their_order(named: str) -> None:
    found, read = rows(named), prepared.load(PREPARED / "drawn")
    splits = {name: read.images(name) for name in ("train", "val", "test")}
    h = [represented(images) for images in splits.values()]
    np.testing.assert_array_equal(np.array(found["representation"], np.float32), np.concatenate(h))
    assert found["split"] == [name for name, images in splits.items() for _ in images]
    labels = [read.card.classes[i] for name in splits for i in read.labels(name)]
    assert found["label"] == labels
    assert [name.split("/")[0] for name in found["file"]] == labels  # a drawn image's path begins with its class
    assert len(set(found["file"])) == 700


@pytest.mark.parametrize("archived", [False, True], ids=["folder", "archive"])
def test_a_users_images_keep_their_names(
    photos: Path, archived: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.make_archive(str(tmp_path / "photos"), "gztar", photos) if archived else str(photos)
    found = rows(place)
    names = sorted(found["file"])
    assert [name.removeprefix("./") for name in names] == sorted(
        file.relative_to(photos).as_posix() for file in photos.rglob("*.png")
    )
    read = [name.removeprefix("./") for name in found["file"]]
    assert [list(said) for said in zip(found["split"], found["label"], strict=True)] == [
        name.split("/")[:2] for name in read
    ]
    images = np.stack([decode((photos / name).read_bytes(), SIDE, SourceConfig())[0] for name in read])
    np.testing.assert_array_equal(np.array(found["representation"], np.float32), represented(images))
    assert "skipped, for they are no images: 1 (" in (said := capsys.readouterr().err)
    assert "train/cat/notes.txt: texts, tables and annotations" in said


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a.png", "b.png"], [None, None]),
        (["cat/a.png", "cat/b.png"], [None, None]),
        (["a.png", "cat/b.png"], [None, "cat"]),
    ],
    ids=["flat", "common folder", "one class"],
)
def test_folders_say_what_they_say_to_prepare_and_one_class_is_enough(
    inside: Path, tmp_path: Path, names: list[str], labels: list[str | None]
) -> None:
    for name in names:
        (tmp_path / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "few" / name)
    found = rows(str(tmp_path / "few"))
    splits = ["unlabelled" if label is None and any(labels) else None for label in labels]
    assert (found["file"], found["label"], found["split"]) == (names, labels, splits)


@pytest.mark.parametrize("stray", [(), ("README.txt", "labels.csv", "papers/a.png")], ids=["images", "other files"])
@pytest.mark.parametrize(
    "places",
    [
        ("train/cat", "train/dog", "train", "val/cat", "test/cat", "unlabelled"),
        ("all/training/cat", "all/training/dog", "all/valid/dog", "all/test/cat"),
    ],
    ids=["splits", "below a folder"],
)
@pytest.mark.parametrize("archived", [False, True], ids=["folder", "archive"])
@pytest.mark.usefixtures("inside")
def test_splits_and_labels_are_those_of_prepare(
    tmp_path: Path, places: tuple[str, ...], stray: tuple[str, ...], archived: bool
) -> None:
    """Whatever else lies there: the layout is that of the images."""
    photos = folder_of(tmp_path / "photos", places, stray)
    path = shutil.make_archive(str(tmp_path / "photos"), "zip", photos) if archived else str(photos)
    config = FolderConfig(source="folder", path=path, image_size=SIDE, max_skipped_share=1)
    (tmp_path / "prepared").mkdir()
    prepare("photos", data.read(config, tmp_path), config, tmp_path / "prepared")
    made = prepared.load(tmp_path / "prepared")
    of_prepare = {
        file: (split, None if label < 0 else made.card.classes[label])
        for split in made.splits
        for file, label in zip(made.files(split), made.labels(split), strict=True)
    }
    found = rows(path)
    assert dict(zip(found["file"], zip(found["split"], found["label"], strict=True), strict=True)) == of_prepare


@pytest.mark.usefixtures("inside")
def test_files_that_are_no_images_change_nothing_in_class_folders(tmp_path: Path) -> None:
    """`prepare` cuts these splits by its seed: they are no folder's, and so none's here."""
    photos = folder_of(tmp_path / "photos", ("cat", "dog"), ("README.txt", "labels.csv"))
    found = rows(str(photos))
    assert set(zip(found["split"], found["label"], strict=True)) == {(None, "cat"), (None, "dog")}


def folder_of(root: Path, places: tuple[str, ...], stray: tuple[str, ...]) -> Path:
    """Two images in each place, and files that are none."""
    for name in [*(f"{place}/{i}.png" for place in places for i in range(2)), *stray]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name in stray:
            (root / name).write_text("no image")
        else:
            Image.new("RGB", (20, 20)).save(root / name)
    return root


@pytest.mark.usefixtures("inside")
def test_of_many_files_that_are_no_images_the_first_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "LISTED", 2)
    photos = folder_of(tmp_path / "photos", (".",), tuple(f"{i}.txt" for i in range(7)))
    source = embeddings.users_images(photos, SIDE)
    assert sum(len(chunk.files) for chunk in source.chunks) == 2
    assert (source.skipped.count, len(source.skipped.first)) == (7, 2)
    export.embed("simclr", "0", str(photos), ROWS.resolve())
    said = (parquet.read_metadata(ROWS).metadata or {})[b"skipped"].decode().splitlines()
    ROWS.unlink()
    assert [line.split(":")[0] for line in said] == ["7 files", "0.txt", "1.txt"]


@pytest.mark.usefixtures("inside")
def test_rows_are_written_in_groups_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "GROUP_BYTES", 1)
    export.embed("simclr", "0", "", ROWS.resolve())
    written = parquet.ParquetFile(ROWS)
    groups = [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)]
    ROWS.unlink()
    counts = [part["count"] for part in prepared.load(PREPARED / "drawn").card.splits.values()]
    assert groups == [min(256, count - start) for count in counts for start in range(0, count, 256)]


def test_images_that_are_not_there_are_refused_and_nothing_is_written(inside: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.png").write_text("no image")
    for images, sentence in (
        (
            "drawm",
            "EMBED is 'drawm', which is neither a folder or archive nor a data set of the suite: did you mean drawn?",
        ),
        (str(tmp_path / "empty"), "no image can be read there; files that are none: 0 (there are none)"),
        (str(tmp_path / "notes"), "no image can be read there; files that are none: 1 (a.png: "),
    ):
        with pytest.raises(Refused) as refused:
            export.embed("simclr", "0", images, ROWS.resolve())
        assert str(refused.value).startswith(sentence)
    (tmp_path / "mine.parquet").write_text("mine")
    with pytest.raises(Refused, match="which is there and is no export"):
        export.embed("simclr", "0", "", tmp_path / "mine.parquet")
    with pytest.raises(Refused, match=r"name one that ends in \.parquet"):
        export.embed("simclr", "0", "", tmp_path / "empty")
    assert not [file for file in inside.iterdir() if "parquet" in file.name]


@pytest.mark.slow
def test_make_exports_a_finished_cell(finished: Path, tmp_path: Path) -> None:
    done = run("python", "-m", "tasks.export", "simclr", "--into", str(tmp_path / "out"), cwd=finished)
    assert done.returncode == 0, done.stdout
    assert "simclr-0, backbone: " in done.stdout
    assert (tmp_path / "out" / "backbone.onnx").exists()
    done = run("python", "-m", "tasks.export", "simclr", "--embed", "--into", str(tmp_path / "h.parquet"), cwd=finished)
    assert done.returncode == 0, done.stdout
    stored = np.load(finished / CELL.folder("embed", "small") / "backbone" / "train.npy")
    written = parquet.read_table(tmp_path / "h.parquet", filters=[("split", "=", "train")])
    np.testing.assert_array_equal(np.array(written["representation"].to_pylist(), np.float32), stored)
