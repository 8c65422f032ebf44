"""Choosing the suite and the images: only the lines that it is about change, and it says which."""

import difflib
import shutil
import zipfile
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, run
from PIL import Image

from ssl_core.errors import Refused
from tasks.configuration import choose, files, parameters, resolve

FILES = ("params.yaml", "methods.yaml", "dvc.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that a user writes, as the project ships them."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "suites", root / "suites")
    for name in FILES:
        shutil.copy(PROJECT / name, root / name)
    return root


def chosen(project: Path, suite: str = "", data: str = "") -> dict[str, list[str]]:
    """What `choose` changed, as lines taken away and added by file."""
    before = {name: (project / name).read_text().splitlines() for name in FILES}
    with chdir(project):
        choose.main(suite, data)
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
            '- vars: ["suites/default.yaml:suite,variants,seeds,fine_tune"]',
            '+ vars: ["suites/masking.yaml:suite,variants,seeds,fine_tune"]',
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
