"""The benchmarks measure what they say; the script for a GPU machine works by itself, on what such a machine has."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ENVIRONMENT, PROJECT
from PIL import Image

from benchmarks import accuracy, cell, evaluation, growth, heads, loops, peer_steps, roofline, step, views
from benchmarks.arrays import load as arrays_of
from benchmarks.page import Section, page
from benchmarks.part import Kept, Part, Setting, section, work
from benchmarks.sharing import SMALL
from benchmarks.step import TINY
from benchmarks.timing import against_the_best, ratio, take_turns
from benchmarks.workload import PLAIN, images, simclr
from ssl_core import cost
from ssl_core.objectives.simclr import nt_xent
from ssl_core.training.iteration import Acceleration

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


def gpu(out: Path, bare: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """The script on a CPU, with tiny parts."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--out", str(out), *options]
    return subprocess.run(command, cwd=PROJECT, env=bare, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.thorough
def test_the_script_for_a_gpu_machine_runs_on_a_bare_cpu(bare: dict[str, str], arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = gpu(out, bare, "--data", str(arrays), "--parts", "tests,agreement,capture,resnet18,sharing,race,table")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((out / "results.json").read_text())["parts"]
    checks = parts["agreement"]["figures"]
    assert {check["kept"] for check in checks.values()} == {True, None}
    assert checks["captured is eager, float32"] == {"kept": None, "found": "needs CUDA"}
    assert {check["kept"] for name in ("tests", "capture") for check in parts[name]["figures"].values()} == {None}
    assert set(parts["resnet18"]["figures"]) == {"eager", "torchvision's parts"}
    assert parts["resnet18"]["figures"]["eager"]["images_per_second"]
    assert len(parts["sharing"]["figures"]["eager"]) == 2
    assert 0 <= parts["race"]["figures"]["seed 0"]["test"] <= 1
    assert set(parts["table"]["figures"]) == {"SimCLR", "MAE", "supervised"}
    assert "Not complete" not in (out / "results.md").read_text()


def test_a_part_does_what_is_missing_and_what_failed_last(tmp_path: Path) -> None:
    file, made = tmp_path / "part.json", []

    def piece(name: str, works: bool = True) -> dict[str, bool]:
        made.append(name)
        if not works:
            raise RuntimeError("no memory")
        return {"kept": name != "wrong"}

    def part(works: bool) -> Part:
        pieces = {
            "breaks": lambda: piece("breaks", works),
            "wrong": lambda: piece("wrong"),
            "right": lambda: piece("right"),
        }
        return Part(pieces=pieces, section=lambda figures: Section(title="T", measured=", ".join(figures)))

    def call(works: bool) -> None:
        """As a call of the script does it: a process after the other until nothing waits."""
        kept = Kept.load(file)
        kept.tried = []
        kept.save(file)
        while Kept.load(file).waiting(part(works)):
            work(part(works), file)

    call(works=False)
    assert made == ["breaks", "wrong", "right"]
    shown = section(part(False), Kept.load(file))
    assert shown.measured == "wrong, right"
    assert shown.meaning == "**Not complete:** breaks (RuntimeError: no memory)."
    call(works=True)
    assert made[3:] == ["wrong", "breaks"]
    call(works=True)
    assert made[5:] == ["wrong"]
    assert not Kept.load(file).failed


def test_a_race_that_is_cut_goes_on(arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(accuracy, "LOOKS", 5)
    looks: list[str] = []
    accuracies = accuracy.knn10

    def cut(*splits: Any) -> float:
        looks.append("look")
        if len(looks) == 3:
            raise KeyboardInterrupt
        return accuracies(*splits)

    monkeypatch.setattr(accuracy, "knn10", cut)
    setting = Setting(device=torch.device("cpu"), tiny=True, data=arrays, folder=tmp_path / "race")
    with pytest.raises(KeyboardInterrupt):
        accuracy.run(setting, 0)
    first = json.loads((tmp_path / "race" / "seed0" / "looks.json").read_text())
    figures = accuracy.run(setting, 0)
    assert len(first) == 2
    assert first.items() <= figures["looks"].items()
    assert len(figures["looks"]) + 1 + 1 == len(looks)  # that which was cut, and test's
    seconds = [after for after, _ in figures["looks"].values()]
    assert seconds == sorted(seconds)
    assert figures["seconds"] >= seconds[-1]


def test_pictures_become_arrays_once(tmp_path: Path) -> None:
    for split, count in (("train", 20), ("test", 2)):
        for label, name in enumerate(("a", "b")):
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4), (label, number, 0)).save(tmp_path / "tree" / split / name / f"{number:02}.png")
    with tarfile.open(tmp_path / "tree.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "tree", "tree")
    for source in (tmp_path / "tree", tmp_path / "tree.tar.xz"):
        made = arrays_of(source, tmp_path / f"kept of {source.name}")
        assert {name: len(each) for name, each in made.images.items()} == {"train": 36, "val": 4, "test": 4}
        assert made.labels["test"].tolist() == [0, 0, 1, 1] == made.images["test"][:, 0, 0, 0].tolist()
        assert made.images["val"][:, 0, 0, 1].tolist() == [0, 10, 0, 10]


@pytest.mark.parametrize("name", sorted(loops.LOOPS))
def test_others_parts_are_given_the_same_work(name: str) -> None:
    """In the environment of `make bench` all of them, elsewhere torchvision's."""
    module, loop = loops.LOOPS[name]
    pytest.importorskip(module)
    epoch = loop(TINY, images(32, TINY.side), 0, torch.float32, torch.device("cpu"))
    assert epoch() == 32


@pytest.mark.parametrize("name", sorted(peer_steps.PARTS))
def test_others_losses_and_heads_are_ours(name: str) -> None:
    module, head, loss = peer_steps.PARTS[name]
    pytest.importorskip(module)
    z0, z1 = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss()(z0, z1), nt_xent(z0, z1, temperature=loops.TEMPERATURE))
    assert head(SMALL)(torch.randn(4, 128)).shape == (4, SMALL.projector.output)


@pytest.mark.parametrize("name", sorted(heads.NEAREST))
def test_others_neighbours_are_ours(name: str) -> None:
    """All but scikit-learn's, whose votes are not weighted."""
    module, classify = heads.NEAREST[name]
    pytest.importorskip(module)
    given = evaluation.features(evaluation.representations({"train": 400, "val": 100, "test": 0}, 16))
    assert classify(given) == pytest.approx(heads.our_knn(given), abs=0.1 if name.startswith("scikit") else 0.011)


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


def test_the_page_says_where_another_is_faster() -> None:
    rates = {"stopgrad": [2.0, 2.2], "a": [1.0, 1.1], "b": [4.0, 4.4]}
    assert against_the_best(rates, "stopgrad").endswith("b, is **faster**: stopgrad has 0.50 (0.50–0.50) of its rate.")
    assert "slower: stopgrad is 2.0" in against_the_best({name: rates[name] for name in ("stopgrad", "a")}, "stopgrad")
    assert not against_the_best({"stopgrad": [1.0]}, "stopgrad")


def test_a_section_is_a_markdown_table() -> None:
    section = Section(title="T", measured="M.", columns=["a", "b"], rows=[["1", "2"]], meaning="So.")
    assert page("P", "I.", [section]) == "# P\n\nI.\n\n## T\n\nM.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nSo.\n"


def test_the_limit_of_an_operation_is_the_longer_of_its_arithmetic_and_its_bytes() -> None:
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    with roofline.Counting(roofline.Ceilings(flops=100.0, bytes=1000.0)) as counting:
        torch.mm(a, b)
        torch.add(a, a)
    products, sums = counting.spent["matrix products"], counting.spent[roofline.REST]
    assert (products.flops, products.bytes) == (2 * 8 * 16 * 4, 4 * (8 * 16 + 16 * 4 + 8 * 4))
    assert products.least == pytest.approx(products.flops / 100)
    assert (sums.flops, sums.bytes, sums.least) == (0, 4 * 2 * 8 * 16, pytest.approx(4 * 2 * 8 * 16 / 1000))


def test_the_arithmetic_of_a_step_is_counted_whole() -> None:
    iteration, batch = step.build(TINY, Acceleration(), roofline.CPU), images(TINY.batch, TINY.side)
    pixels = torch.from_numpy(batch).permute(0, 3, 1, 2)
    spent = roofline.counted(iteration, pixels, roofline.Ceilings(flops=1e9, bytes=1e9), 2)
    expected = cost.step_flops(simclr(TINY.backbone, TINY.side, TINY.projector), [PLAIN], TINY.side, TINY.batch)
    assert sum(each.flops for name, each in spent.items() if name != roofline.VIEWS) == expected * TINY.batch
    assert spent[roofline.VIEWS].bytes > batch.nbytes


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # of DVC
@pytest.mark.skipif(not growth.PEAK.exists(), reason="Linux alone forgets a peak of memory")
@pytest.mark.parametrize("stage", [line.stage for line in growth.LINES.values() if line.grows_with != growth.VARIANTS])
def test_growth_is_measured_of_each_stage(stage: str, tmp_path: Path) -> None:
    point = growth.measure(stage, growth.LINES[stage].small[0], tmp_path)
    assert point["seconds"] > 0
    assert point["peak"] > 2**27


def test_an_exponent_is_that_of_the_two_largest_sizes() -> None:
    assert growth.exponent([1, 10, 100], [5.0, 3.0, 300.0]) == pytest.approx(2)
    assert growth.exponent([1, 2], [4.0, 4.0]) == 0
