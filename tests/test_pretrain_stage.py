"""The pretrain stage as a command: killed and taken up again, in two processes, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ENVIRONMENT, SMALL_SUITE, clone, edit, run
from safetensors.torch import load_file

from tasks import weights
from tasks.cells import Cell

pytestmark = pytest.mark.slow
SIMCLR = Cell(variant="simclr", seed=0)
OFTEN = "import tasks.pretrain as stage; stage.CHECKPOINT_SECONDS = 0; stage.main('simclr', '0', 'small')"
PRETRAIN = ("python", "-m", "tasks.pretrain", "simclr", "0", "small")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A clone that is configured and whose images are prepared."""
    made = clone(tmp_path)
    for folder in ("data/prepared", "configs"):
        shutil.copytree(finished / folder, made / folder)
    return made


def configured(project: Path, change: Callable[[dict[str, Any]], object], file: str = SMALL_SUITE) -> None:
    """Change a file, and configure anew."""
    edit(project, change, file)
    done = run("python", "-m", "tasks.configure", cwd=project)
    assert done.returncode == 0, done.stdout


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
    resumed = run(*PRETRAIN, cwd=project)
    assert resumed.returncode == 0, resumed.stdout
    made, figures = SIMCLR.folder("pretrain"), SIMCLR.figures("pretrain")
    for file in (made / "backbone.safetensors", made / "projector.safetensors", figures / "curves.csv"):
        assert (project / file).read_bytes() == (finished / file).read_bytes(), file
    for file in ("outcome.json", "identity"):
        assert (project / figures / file).read_bytes() == (finished / figures / file).read_bytes(), file
    assert not list(project.glob("checkpoints/*"))
    identity = (project / figures / "identity").read_text()
    seen = json.loads((project / "observations" / "pretrain" / f"{identity}.json").read_text())
    assert seen["seconds_before"] > 0


@pytest.mark.parametrize(
    ("suite", "variant", "known", "sentence"),
    [
        (
            ["random", "supervised"],
            "supervised",
            {"classes": []},
            "supervised needs labels, and these images have none",
        ),
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
    card = project / "data" / "prepared" / "small" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | known))
    configured(project, lambda content: content.update(variants=dict.fromkeys(suite), fine_tune=[]))
    refused = run("python", "-m", "tasks.pretrain", variant, "0", "small", cwd=project)
    assert refused.returncode == 1
    assert f"the objective {sentence}: take it out of the suite" in refused.stdout
    assert not (project / Cell(variant=variant, seed=0).folder("pretrain")).exists()


def test_after_an_edit_pretraining_begins_anew_and_a_checkpoint_of_another_pytorch_is_refused(project: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", OFTEN], cwd=project, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not list(project.glob("checkpoints/*/*/*.checkpoint")):
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    other = "import torch; torch.__version__ = '0'; " + OFTEN
    command = f"from tasks.stage import stage\nwith stage():\n    {other}"
    refused = run(sys.executable, "-c", command, cwd=project)
    assert refused.returncode == 1
    assert "is of another PyTorch, and does not fit this run: remove the folder" in refused.stdout
    configured(project, lambda content: content["defaults"]["pretraining"].update(epochs=0.5))
    assert run(*PRETRAIN, cwd=project).returncode == 0
    identity = (project / SIMCLR.figures("pretrain") / "identity").read_text()
    seen = json.loads((project / "observations" / "pretrain" / f"{identity}.json").read_text())
    assert "seconds_before" not in seen


def test_a_librarys_network_sees_its_own_normalisation_and_a_frozen_stage_keeps_its_weights(project: Path) -> None:
    network = {"name": "timm", "model": "test_efficientnet", "input_size": 32, "frozen_stages": 1}
    configured(project, lambda content: content.update(fine_tune=[], defaults={
        "backbone": network, "pretraining": {"epochs": 1, "batch_size": 128}}))  # fmt: skip
    for variant in ("random", "simclr"):
        done = run("python", "-m", "tasks.pretrain", variant, "0", "small", cwd=project)
        assert done.returncode == 0, done.stdout
    folders = (Cell(variant=variant, seed=0).folder("pretrain") for variant in ("random", "simclr"))
    initial, trained = (load_file(project / folder / "backbone.safetensors") for folder in folders)
    changed = [name for name in initial if not torch.equal(initial[name], trained[name])]
    assert changed
    assert not [name for name in changed if "blocks" not in name and ("conv_stem" in name or "bn1" in name)]
    loaded = weights.load(project / SIMCLR.folder("pretrain"), "backbone")
    assert (loaded.image_size, loaded.mean, loaded.std) == (16, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.thorough
def test_two_processes_give_one_cell(project: Path, finished: Path) -> None:
    configured(project, lambda content: content["compute"].update(devices=2), "params.yaml")
    done = run(*PRETRAIN, cwd=project)
    assert done.returncode == 0, done.stdout
    folder = project / SIMCLR.folder("pretrain")
    assert {file.name for file in folder.iterdir()} == {"backbone.safetensors", "projector.safetensors", "pictures"}
    curves = SIMCLR.figures("pretrain") / "curves.csv"
    alone, together = ((of / curves).read_text().splitlines() for of in (finished, project))
    losses = [[float(row.split(",")[3]) for row in rows if ",loss," in row] for rows in (alone, together)]
    # bfloat16 rounds a half batch otherwise than a whole one; the first step is the same to that.
    assert losses[0][0] == pytest.approx(losses[1][0], rel=0.02)
    assert losses[0][-1] == pytest.approx(losses[1][-1], rel=0.1)
    expected = load_file(finished / SIMCLR.folder("pretrain") / "backbone.safetensors")
    assert {name: tensor.shape for name, tensor in backbone(project).items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


@pytest.mark.thorough
def test_what_two_processes_cannot_do_is_one_sentence(project: Path) -> None:
    configured(project, lambda content: content["compute"].update(devices=3), "params.yaml")
    refused = run(*PRETRAIN, cwd=project)
    assert refused.returncode == 1
    said = [line for line in refused.stdout.splitlines() if line.startswith("stopgrad:")]
    assert "must be a multiple of pretraining.accumulate x compute.devices (1 x 3)" in said[0]
    assert "Traceback" not in refused.stdout


def test_a_collapse_ends_the_stage_early_and_is_said(project: Path) -> None:
    configured(project, lambda content: content["defaults"]["pretraining"].update(
        epochs=3, record_every=1, collapse={"embedding_std": 10.0, "rankme": 500.0}))  # fmt: skip
    done = run(*PRETRAIN, cwd=project)
    assert done.returncode == 0, done.stdout
    assert "stopgrad: simclr-0 ended early: the representations collapsed at step" in done.stdout
    outcome = json.loads((project / SIMCLR.figures("pretrain") / "outcome.json").read_text())
    assert outcome["steps"] < 30
    assert "below 10" in outcome["stopped"]
