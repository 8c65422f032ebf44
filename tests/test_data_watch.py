"""A folder of one's own under the real `dvc repro`: what was changed in it is prepared again, and nothing else is."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import clone, edit, run
from PIL import Image

RANDOM = np.random.default_rng(0)


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(file)


def repro(project: Path) -> tuple[set[str], int]:
    """The stages that ran, and the images that are prepared then."""
    done = run("dvc", "repro", "prepare", cwd=project)
    assert done.returncode == 0, done.stdout[-3000:]
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage ")}
    card = json.loads((project / "data" / "prepared" / "mine" / "card.json").read_text())
    return ran, sum(part["count"] for part in card["splits"].values())


@pytest.mark.slow
def test_a_picture_that_comes_or_goes_is_noticed_and_without_only_the_folder_is_listed(tmp_path: Path) -> None:
    for i in range(400):
        picture(tmp_path / "photos" / "ab"[i % 2] / f"{i:03}.png")
    project = clone(tmp_path / "project")
    mine = {"source": "folder", "path": str(tmp_path / "photos"), "image_size": 16}
    edit(project, lambda content: content.update(images=["mine"], data={"mine": mine}))
    assert repro(project) == ({"configure", "prepare@mine"}, 400)
    repro(project)  # the stage that lists is there from now on
    assert repro(project) == ({"watch@folders"}, 400)
    picture(tmp_path / "photos" / "a" / "new.png")
    assert repro(project) == ({"watch@folders", "configure", "prepare@mine"}, 401)
    (tmp_path / "photos" / "a" / "new.png").unlink()
    ran, count = repro(project)
    assert (ran >= {"watch@folders"}, count) == (True, 400)
    assert repro(project) == ({"watch@folders"}, 400)
