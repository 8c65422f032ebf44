"""What is said when a batch does not fit into memory."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import PROJECT

from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment, GaussianBlur, Recipe
from ssl_core.backbones import ResNetConfig
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.objectives.w_mse import WMSEConfig
from ssl_core.training.memory import bytes_per_image, refusing_what_does_not_fit

AUGMENT = Augment([Recipe(blur=GaussianBlur())], (0.5,) * 3, (0.25,) * 3)


def objective(width: int = 8) -> Objective:
    return objectives.build(
        SimCLRConfig(name="simclr"), backbones.build(ResNetConfig(name="resnet10", width=width), 16), 16, 0
    )


def images(count: int) -> torch.Tensor:
    return torch.zeros(count, 3, 16, 16, dtype=torch.uint8)


def test_an_images_memory_grows_with_the_network_and_not_with_the_batch() -> None:
    narrow, wide = objective(8), objective(32)
    assert bytes_per_image(narrow, images(8), AUGMENT) == pytest.approx(
        bytes_per_image(narrow, images(16), AUGMENT), rel=0.2
    )
    assert bytes_per_image(wide, images(8), AUGMENT) > 2 * bytes_per_image(narrow, images(8), AUGMENT)


def test_an_objective_that_takes_no_few_images_is_told_half() -> None:
    torch.manual_seed(0)
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
    whitening = objectives.build(WMSEConfig(name="w_mse"), backbone, 16, 0)
    with pytest.raises(Refused) as refusal, refusing_what_does_not_fit(whitening, images(512), AUGMENT, 512, 1):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert "lower pretraining.batch_size to about 256" in str(refusal.value)


def test_running_out_says_what_fits() -> None:
    with pytest.raises(Refused) as refusal, refusing_what_does_not_fit(objective(), images(512), AUGMENT, 512, 2):
        raise torch.OutOfMemoryError("CUDA out of memory")
    said = str(refusal.value)
    assert "a batch of 512 images in 2 parts does not fit into the memory of cpu" in said
    # The memory of this machine would take more: half of what did not fit is the most that is said.
    assert said.endswith("lower pretraining.batch_size to about 256, or raise pretraining.accumulate to 4")


def test_the_advice_divides_the_batch_and_follows_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    each = bytes_per_image(objective(), images(8), AUGMENT)
    monkeypatch.setattr("ssl_core.training.memory.free_memory", lambda _: 20.5 * each / 0.7)
    with pytest.raises(Refused) as refusal, refusing_what_does_not_fit(objective(), images(96), AUGMENT, 96, 1):
        raise torch.OutOfMemoryError("CUDA out of memory")
    # 96 in 5 parts would fit, but 5 does not divide it.
    assert str(refusal.value).endswith("batch_size to about 20, or raise pretraining.accumulate to 6")


def test_another_error_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), refusing_what_does_not_fit(objective(), images(8), AUGMENT, 8, 1):
        raise RuntimeError("the shapes do not fit")


@pytest.mark.thorough
@pytest.mark.slow
def test_a_real_lack_of_memory_on_a_cpu_is_one_sentence() -> None:
    script = """
import resource, sys
sys.path.insert(0, "tests")
from test_memory import AUGMENT, images, objective
from ssl_core.errors import Refused
from ssl_core.training.memory import refusing_what_does_not_fit
import torch
made, batch = objective(64), images(4096)
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    with refusing_what_does_not_fit(made, batch, AUGMENT, 4096, 1), torch.autocast("cpu", torch.bfloat16):
        made(AUGMENT(batch, torch.Generator()))
except Refused as refused:
    sys.exit(f"stopgrad: {refused}")
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.stderr.startswith("stopgrad: a batch of 4096 images in 1 parts does not fit into the memory of cpu"), (
        done.stderr
    )
