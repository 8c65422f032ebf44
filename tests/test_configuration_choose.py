"""Choosing the suite and the images: only the lines that it is about change, and it says which."""

import difflib
import json
import shutil
import zipfile
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, run
from PIL import Image
from safetensors.torch import save_file

from ssl_core import backbones
from ssl_core.backbones import BackboneConfig, ResNetConfig, TimmConfig, TorchvisionConfig
from ssl_core.errors import Refused
from tasks.configuration import choose, files, parameters, resolve

FILES = ("params.yaml", "methods.yaml", "dvc.yaml")
WEIGHTS = "suites/weights.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that a user writes, as the project ships them."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "suites", root / "suites")
    for name in FILES:
        shutil.copy(PROJECT / name, root / name)
    return root


def chosen(
    project: Path, suite: str = "", data: str = "", weights: str | Path = "", model: str = ""
) -> dict[str, list[str]]:
    """What `choose` changed, as lines taken away and added by file."""
    before = {name: (project / name).read_text().splitlines() for name in (*FILES, WEIGHTS)}
    with chdir(project):
        choose.main(suite, data, str(weights), model)
    changed = {}
    for name, lines in before.items():
        after = (project / name).read_text().splitlines()
        found = [line for line in difflib.ndiff(lines, after) if line[0] in "+-"]
        if found:
            changed[name] = found
    return changed


def photos(folder: Path, side: int = 50) -> Path:
    """A folder of two classes of images."""
    for i, name in enumerate(("cat", "dog", "cat", "dog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((side, side + 20, 3), 60 * i, np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_a_suite_is_chosen_in_the_first_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen(project, suite="masking") == {
        "dvc.yaml": [
            '- vars: ["suites/default.yaml:suite,variants,seeds,fine_tune", "data/watched/switch.yaml:watched"]',
            '+ vars: ["suites/masking.yaml:suite,variants,seeds,fine_tune", "data/watched/switch.yaml:watched"]',
        ]
    }
    said = capsys.readouterr().out
    assert said == "dvc.yaml: the active suite is suites/masking.yaml, and was suites/default.yaml\n"
    with chdir(project):
        assert resolve.load().suite.suite == "masking"
    assert chosen(project, suite="masking") == chosen(project) == {}
    assert capsys.readouterr().out == ""


def test_images_are_chosen_by_the_names_of_data_sets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comment = "# pretrained on the first, evaluated on every one"
    for data, names in (("cifar10", "[cifar10]"), ("shapes, cifar10", "[shapes, cifar10]")):
        before = (project / "params.yaml").read_text()
        removed, added = chosen(project, data=data)["params.yaml"]
        assert removed.startswith("- images: [")
        assert added.startswith(f"+ images: {names} ")
        assert added.endswith(comment)
        assert removed[2:] in before
        assert f"images is {[one.strip() for one in data.split(',')]}, and was" in capsys.readouterr().out
        assert chosen(project, data=data) == {}
        assert capsys.readouterr().out == ""
    assert parameters.load(files.read(project / "params.yaml")).images == ["shapes", "cifar10"]
    written = chosen(project, data="fashion_mnist")["params.yaml"]
    assert len(written) == 2


def test_a_folder_becomes_a_data_set_and_is_found_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photos(project.parent / "my photos")
    changed = chosen(project, data=str(folder))["params.yaml"]
    (added,) = [line for line in changed if "source" in line]
    assert added == f"+   my_photos: {{source: folder, path: {folder}, image_size: 48}}"
    assert len(changed) == 3
    out = capsys.readouterr().out
    assert f"params.yaml: data has my_photos: {{'source': 'folder', 'path': '{folder}', 'image_size': 48}}" in out
    assert "params.yaml: images is ['my_photos'], and was ['fashion_mnist']" in out
    loaded = parameters.load(files.read(project / "params.yaml"))
    assert (loaded.images, loaded.image_size) == (["my_photos"], 48)
    for again in (folder, folder / "..", "../my photos", "my_photos"):
        assert again == folder / ".." or chosen(project, data=str(again)) == {}
    with chdir(project):
        assert len(resolve.load().resolved) == 6


def test_folders_of_one_name_are_told_apart(project: Path) -> None:
    first, second = photos(project.parent / "a" / "pets"), photos(project.parent / "b" / "pets", side=20)
    chosen(project, data=f"{first},{second},shapes")
    written = files.read(project / "params.yaml")
    assert written["images"] == ["pets", "pets_2", "shapes"]
    assert written["data"]["pets"] == {"source": "folder", "path": str(first), "image_size": 48}
    assert written["data"]["pets_2"] == {"source": "folder", "path": str(second), "image_size": 20}


def test_an_archive_is_a_data_set_too(project: Path) -> None:
    folder = photos(project.parent / "photos")
    archive = project.parent / "my.photos.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in folder.rglob("*.png"):
            opened.write(file, file.relative_to(folder))
    chosen(project, data=str(archive))
    assert files.read(project / "params.yaml")["images"] == ["my"]


def test_all_comments_stay(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    chosen(project, suite="transfer", data=f"{photos(project.parent / 'photos')},shapes")
    chosen(project, suite="default", data="fashion_mnist")
    after = (project / "params.yaml").read_text().splitlines()
    (added,) = [line for line in after if line.startswith("  photos: {source: folder, path: /")]
    after.remove(added)
    assert [line.split() for line in after] == [line.split() for line in before.splitlines()]


@pytest.mark.parametrize(
    ("suite", "data", "sentence"),
    [
        ("maskin", "", r"there is no suite suites/maskin\.yaml: did you mean masking\?"),
        ("", "nothing", r"DATA is 'nothing', which is neither a folder or archive nor a data set of params\.yaml"),
        ("", "cifar", r"DATA is 'cifar', .* did you mean cifar10\?"),
        ("", "shapes,shapes", r"DATA names shapes twice"),
        ("", "shapes,", r"DATA is '', which is neither"),
        ("maskin", "cifar10", "there is no suite"),
        ("masking", "nothing", "DATA is 'nothing'"),
    ],
)
def test_what_is_not_there_changes_nothing(project: Path, suite: str, data: str, sentence: str) -> None:
    before = {name: (project / name).read_bytes() for name in FILES}
    with pytest.raises(Refused, match=sentence):
        chosen(project, suite, data)
    assert {name: (project / name).read_bytes() for name in FILES} == before


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, ZeroDivisionError, Refused])
def test_what_was_stopped_is_put_back_and_nothing_else_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stopped: type[BaseException]
) -> None:
    def stop() -> None:
        assert "cifar10]" in Path("params.yaml").read_text()
        raise stopped

    monkeypatch.setattr(resolve, "load", stop)
    before = {name: (project / name).read_bytes() for name in FILES}
    with pytest.raises(stopped):
        chosen(project, suite="masking", data="shapes,cifar10")
    assert {name: (project / name).read_bytes() for name in FILES} == before
    assert capsys.readouterr().out == "nothing was changed\n"


def test_the_form_is_checked_before_anything_is_chosen(project: Path) -> None:
    suite = project / "suites" / "masking.yaml"
    suite.write_text(suite.read_text().replace("seeds: [0, 1, 2]", "seeds: []"))
    before = (project / "dvc.yaml").read_text()
    with pytest.raises(Refused, match=r"suites/masking\.yaml: seeds is \[\]"):
        chosen(project, suite="masking")
    assert (project / "dvc.yaml").read_text() == before


def test_an_empty_folder_is_refused(project: Path) -> None:
    (project / "empty").mkdir()
    with pytest.raises(Refused, match="empty"):
        chosen(project, data="empty")


def test_the_command(project: Path) -> None:
    command = ("python", "-m", "tasks.configuration.choose", "--suite", "transfer", "--data", "cifar10,shapes")
    done = run(*command, cwd=project, PYTHONPATH=str(PROJECT))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "params.yaml: images is ['cifar10', 'shapes'], and was ['fashion_mnist']",
        "dvc.yaml: the active suite is suites/transfer.yaml, and was suites/default.yaml",
    ]


def weights(file: Path, config: BackboneConfig, **metadata: str) -> Path:
    """A file of weights of a network."""
    file.parent.mkdir(exist_ok=True)
    save_file(dict(backbones.build(config, 64).network.state_dict()), file, metadata=metadata)
    return file


TINY = TimmConfig(name="timm", model="test_resnet", input_size=64)


def backbone(changed: dict[str, list[str]]) -> str:
    """The suite's backbone, which is the only line of it that changed."""
    removed, added = changed[WEIGHTS]
    assert removed.startswith("-   backbone: {")
    return added.removeprefix("+   backbone: ")


def test_a_file_of_weights_is_named_and_its_network_found_by_its_name(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = weights(project.parent / "my weights" / "test_resnet.r160_in1k.safetensors", TINY)
    changed = chosen(project, suite="weights", weights=file)
    name = "test_resnet_r160_in1k"
    assert changed["params.yaml"] == ["- weights: {}", "+ weights:", f"+   {name}: {file}"]
    assert backbone(changed) == f"{{name: timm, model: test_resnet.r160_in1k, input_size: 64, weights: {name}}}"
    assert f"params.yaml: weights has {name}: {file}" in capsys.readouterr().out
    with chdir(project):
        assert resolve.load().resolved["off_the_shelf"].variant.backbone.weights == name
    assert chosen(project, suite="weights", weights=file) == chosen(project, weights=name) == {}
    sized = (project / WEIGHTS).read_text().replace("input_size: 64", "input_size: 96")
    (project / WEIGHTS).write_text(sized)
    assert chosen(project, weights=name) == {}  # what the user said stays
    other = weights(project.parent / "w" / "other.safetensors", TINY)
    again = backbone(chosen(project, weights=other, model="test_resnet.r160_in1k"))
    assert again == "{name: timm, model: test_resnet.r160_in1k, input_size: 96, weights: other}"
    assert backbone(chosen(project, weights=other, model="test_resnet")).endswith("input_size: 64, weights: other}")


@pytest.mark.parametrize("said", ["PyTorch Lightning", "[1]", '{"network": "resnet"}', "null"])
def test_what_others_call_as_we_do_is_passed_over(project: Path, said: str) -> None:
    file = weights(project.parent / "w" / "test_resnet.safetensors", TINY, stopgrad=said)
    assert backbone(chosen(project, suite="weights", weights=file)).startswith("{name: timm, model: test_resnet, ")


def test_the_network_is_what_a_file_of_ours_says(project: Path) -> None:
    config = ResNetConfig(name="resnet10", width=8)
    said = {"network": {"name": "resnet10", "width": 8, "stem": "small", "weights": None, "frozen_stages": 1}}
    file = weights(project.parent / "simclr-0" / "backbone.safetensors", config, stopgrad=json.dumps(said))
    changed = chosen(project, suite="weights", weights=file)
    assert backbone(changed) == "{name: resnet10, width: 8, stem: small, weights: simclr_0}"


def test_a_projector_is_no_backbone(project: Path) -> None:
    file = weights(project / "w" / "projector.safetensors", TINY, stopgrad='{"network": {"layers": 2, "width": 64}}')
    with pytest.raises(Refused, match=r"^WEIGHTS say that they are of .*'width': 64.*, which is no backbone of this"):
        chosen(project, suite="weights", weights=file)
    assert files.read(project / "params.yaml")["weights"] == {}


def test_a_suite_without_defaults_gets_its_backbone(project: Path) -> None:
    text = (project / WEIGHTS).read_text()
    (project / WEIGHTS).write_text(text.replace("  backbone: {name: resnet18, weights: null}\n", ""))
    with chdir(project):
        choose.main("weights", "", "pretrained", "test_vit")
    assert files.read(project / WEIGHTS)["defaults"]["backbone"]["model"] == "test_vit"


def test_the_network_is_what_the_user_says_or_torchvisions_name(project: Path) -> None:
    small = TorchvisionConfig(name="torchvision", model="shufflenet_v2_x0_5", input_size=64)
    file = weights(project.parent / "w" / "shufflenet_v2_x0_5-f707e712.safetensors", small)
    named = backbone(chosen(project, suite="weights", weights=file))
    assert named.startswith("{name: torchvision, model: shufflenet_v2_x0_5, input_size: 64, ")
    other = file.rename(file.with_name("mine.safetensors"))
    said = backbone(chosen(project, suite="weights", weights=other, model="torchvision/shufflenet_v2_x0_5"))
    assert said == "{name: torchvision, model: shufflenet_v2_x0_5, input_size: 64, weights: mine}"
    published = backbone(chosen(project, suite="weights", weights="pretrained", model="test_vit"))
    assert published == "{name: timm, model: test_vit, input_size: 64, weights: pretrained}"


@pytest.mark.parametrize(
    ("suite", "given", "model", "sentence"),
    [
        ("weights", "", "", r"backbone\.weights is null: say `make repro SUITE=weights WEIGHTS=FILE`"),
        (
            "",
            "tiny",
            "",
            r"^WEIGHTS and MODEL are for suites/weights\.yaml, and the suite is suites/default\.yaml: say ",
        ),
        ("weights", "", "test_resnet", r"^MODEL is test_resnet, and says of which network WEIGHTS are: give it too"),
        (
            "weights",
            "nothing",
            "",
            r"^WEIGHTS is 'nothing', which is neither a file nor a name of params\.yaml's weights$",
        ),
        (
            "weights",
            "tiny",
            "",
            r"tiny\.safetensors are of is not known: say MODEL=, timm's name of it, or torchvision/",
        ),
        ("weights", "pretrained", "", r"which network pretrained weights are of is not known: say MODEL="),
        (
            "weights",
            "tiny",
            "test_resne",
            r"backbone\.model is 'test_resne', which timm does not know; nearest are test_",
        ),
        ("weights", "tiny", "keras/resnet18", r"^MODEL is keras/resnet18; timm's name of a network is needed, or "),
        (
            "weights",
            "tiny",
            "test_vit",
            r"^WEIGHTS has none of the \d+ .* taken for timm's test_vit: say another by MODEL=",
        ),
        ("weights", "notes.txt", "test_vit", r"notes\.txt ends in '\.txt'; a \.safetensors file, or one that"),
        ("weights", "broken.safetensors", "test_vit", r"broken\.safetensors is damaged, or no safetensors file"),
    ],
)
def test_weights_that_cannot_be_had_change_nothing(
    project: Path, suite: str, given: str, model: str, sentence: str
) -> None:
    (project / "notes.txt").write_text("x")
    (project / "broken.safetensors").write_text("x")
    if given == "tiny":
        given = str(weights(project / "w" / "tiny.safetensors", TINY))
    before = {name: (project / name).read_bytes() for name in (*FILES, WEIGHTS)}
    with pytest.raises(Refused, match=sentence):
        chosen(project, suite, weights=given, model=model)
    assert {name: (project / name).read_bytes() for name in before} == before
