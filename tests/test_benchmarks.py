"""The benchmarks measure what they say; the script for a GPU machine works by itself, on what such a machine has."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, PROJECT

from benchmarks import views
from benchmarks.page import Section, page
from benchmarks.timing import ratio, take_turns

ABSENT = """
import sys
for name in ("dvc", "fastapi", "kornia", "lightly", "matplotlib", "mlflow", "pandas", "prefect", "psutil", "pydantic",
             "ruamel", "safetensors", "scipy", "sklearn", "threadpoolctl", "tqdm"):
    sys.modules[name] = None
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has PyTorch, torchvision and NumPy alone."""
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    return ENVIRONMENT | {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    folder, generator = tmp_path / "arrays", np.random.default_rng(0)
    folder.mkdir()
    for name, count in (("train", 256), ("val", 64), ("test", 64)):
        np.save(folder / f"{name}_images.npy", generator.integers(256, size=(count, 16, 16, 3), dtype=np.uint8))
        np.save(folder / f"{name}_labels.npy", generator.integers(10, size=count))
    return folder


@pytest.mark.slow
@pytest.mark.thorough
def test_the_script_for_a_gpu_machine_runs_on_a_bare_cpu(bare: dict[str, str], arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--minutes", "9"]
    done = subprocess.run(
        [*command, "--out", str(out), "--data", str(arrays)], cwd=PROJECT, env=bare, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((out / "results.json").read_text())["parts"]
    assert set(parts) == {"agreement", "resnet18", "sharing", "accuracy"}
    checks = parts["agreement"]["figures"]
    assert {check["kept"] for check in checks.values()} == {True, None}
    assert checks["captured is eager, float32"] == {"kept": None, "found": "needs CUDA"}
    assert parts["resnet18"]["figures"]["eager"]["images_per_second"]
    assert len(parts["sharing"]["figures"]["eager"]) == 2
    assert 0 <= parts["accuracy"]["figures"]["test"] <= 1
    assert "Not complete" not in (out / "results.md").read_text()


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def contender(name: str) -> int:
        calls.append(name)
        return 1

    rates = take_turns({"a": lambda: contender("a"), "b": lambda: contender("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [len(each) for each in rates.values()] == [2, 2]


def test_contenders_count_the_images_that_they_make_views_of() -> None:
    images = views.stored(32, 16)
    # torchvision is slow: it is measured on 16 images at least, not on all.
    counts = {name: make(images)() for name, make in views.CONTENDERS.items() if name.startswith("torchvision")}
    assert counts == {"torchvision PIL": 16, "torchvision tensor": 16}
    assert views.ours(images, compiled=False)() == 32


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratio([10.0, 1.0, 4.0], [5.0, 0.5, 1.0]).text(".0f") == "2 (2–4)"


def test_a_section_is_a_markdown_table() -> None:
    section = Section(title="T", measured="M.", columns=["a", "b"], rows=[["1", "2"]], meaning="So.")
    assert page("P", "I.", [section]) == "# P\n\nI.\n\n## T\n\nM.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nSo.\n"
