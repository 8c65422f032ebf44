"""The pretrain stage as a command: killed and taken up again, in two processes, and what it refuses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ENVIRONMENT, clone, edit, run
from safetensors.torch import load_file

from tasks import cells, observations
from tasks.cells import Cell

pytestmark = pytest.mark.slow
SIMCLR = Cell(variant="simclr", seed=0)
OFTEN = "import tasks.pretrain as stage; stage.CHECKPOINT_SECONDS = 0; stage.main('simclr', '0')"


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A clone whose images are prepared."""
    import shutil

    made = clone(tmp_path)
    shutil.copytree(finished / "data" / "prepared", made / "data" / "prepared")
    return made


def backbone(project: Path):
    return load_file(project / SIMCLR.folder("pretrain") / "backbone.safetensors")


def test_a_killed_stage_goes_on_and_ends_as_if_nothing_had_happened(project: Path, finished: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", OFTEN], cwd=project, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not list(project.glob("checkpoints/*/*/*5.checkpoint")):
        assert started.poll() is None, "the stage ended before it was killed"
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (project / SIMCLR.folder("pretrain")).exists()
    resumed = run("python", "-m", "tasks.pretrain", "simclr", "0", cwd=project)
    assert resumed.returncode == 0, resumed.stdout
    whole = finished / SIMCLR.folder("pretrain")
    for file in ("backbone.safetensors", "curves.csv", "outcome.json"):
        assert (project / SIMCLR.folder("pretrain") / file).read_bytes() == (whole / file).read_bytes(), file
    assert not list(project.glob("checkpoints/*"))
    identity = cells.identity(cells.read(project / "params.yaml"), SIMCLR)
    seen = json.loads((project / observations.FOLDER / identity / "pretrain.json").read_text())
    assert seen["seconds_before"] > 0


@pytest.mark.parametrize(
    ("suite", "variant", "known", "sentence"),
    [
        (["random"], "supervised", {"classes": []}, "supervised needs labels, and these images have none"),
        (
            ["random", "colourisation"],
            "random",
            {"grey": True},
            "colourisation needs colours, and these images are grey",
        ),
    ],
)
def test_images_that_lack_what_an_objective_needs_are_one_sentence(
    project: Path, suite: list[str], variant: str, known: dict[str, Any], sentence: str
) -> None:
    card = project / "data" / "prepared" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | known))
    edit(project, lambda content: content["suite"].update(variants=suite))
    refused = run("python", "-m", "tasks.pretrain", variant, "0", cwd=project)
    assert refused.returncode == 1
    assert f"the objective {sentence}: take it out of the suite" in refused.stdout
    assert not (project / Cell(variant=variant, seed=0).folder("pretrain")).exists()


def test_a_checkpoint_of_other_data_is_refused_by_name(project: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", OFTEN], cwd=project, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not list(project.glob("checkpoints/*/*/*.checkpoint")):
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    card = project / "data" / "prepared" / "card.json"
    card.write_text(card.read_text() + "\n")
    refused = run("python", "-m", "tasks.pretrain", "simclr", "0", cwd=project)
    assert refused.returncode == 1
    assert "is of another data, and does not fit this run: remove the folder" in refused.stdout


def test_two_processes_give_one_cell(project: Path, finished: Path) -> None:
    edit(project, lambda content: content["compute"].update(devices=2))
    done = run("python", "-m", "tasks.pretrain", "simclr", "0", cwd=project)
    assert done.returncode == 0, done.stdout
    folder = project / SIMCLR.folder("pretrain")
    assert {file.name for file in folder.iterdir()} == {
        "backbone.safetensors",
        "curves.csv",
        "outcome.json",
        "pictures",
    }
    alone = (finished / SIMCLR.folder("pretrain") / "curves.csv").read_text().splitlines()
    together = (folder / "curves.csv").read_text().splitlines()
    losses = [[float(row.split(",")[3]) for row in rows if ",loss," in row] for rows in (alone, together)]
    # bfloat16 rounds a half batch otherwise than a whole one; the first step is the same to that.
    assert losses[0][0] == pytest.approx(losses[1][0], rel=0.02)
    assert losses[0][-1] == pytest.approx(losses[1][-1], rel=0.1)
    expected = load_file(finished / SIMCLR.folder("pretrain") / "backbone.safetensors")
    assert {name: tensor.shape for name, tensor in backbone(project).items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


def test_what_two_processes_cannot_do_is_one_sentence(project: Path) -> None:
    edit(project, lambda content: content["compute"].update(devices=3))
    refused = run("python", "-m", "tasks.pretrain", "simclr", "0", cwd=project)
    assert refused.returncode == 1
    said = [line for line in refused.stdout.splitlines() if line.startswith("stopgrad:")]
    assert "must be a multiple of pretraining.accumulate x compute.devices (1 x 3)" in said[0]
    assert "Traceback" not in refused.stdout


def test_a_collapse_ends_the_stage_early_and_is_said(project: Path) -> None:
    edit(project, lambda content: content["defaults"]["pretraining"].update(
        epochs=3, record_every=1, collapse={"embedding_std": 10.0, "rankme": 500.0}))  # fmt: skip
    done = run("python", "-m", "tasks.pretrain", "simclr", "0", cwd=project)
    assert done.returncode == 0, done.stdout
    assert "stopgrad: simclr-0 ended early: the representations collapsed at step" in done.stdout
    outcome = json.loads((project / SIMCLR.folder("pretrain") / "outcome.json").read_text())
    assert outcome["steps"] < 30
    assert "below 10" in outcome["stopped"]
