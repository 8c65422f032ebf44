"""Several processes compute what one does: gloo on a CPU, started by torchrun as a user would."""

import copy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from conftest import ENVIRONMENT, PROJECT
from every_objective import EVERY
from test_pretraining import run, weights
from torch import nn

from ssl_core import parallel
from ssl_core.augmentation import Recipe
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.training import watch
from ssl_core.training.iteration import Acceleration
from ssl_core.training.optimiser import SGDConfig

SETTINGS: dict[str, Any] = {
    "acceleration": Acceleration(precision=torch.float32),
    "epochs": 0.75,
    "record_every": 1,
    # AdamW would turn the rounding of gradients near 0 into whole steps.
    "optimiser": SGDConfig(learning_rate=0.08),
}
FEW = 8
"""Images are watched where losses are recorded: at every step here."""
SIMCLR = SimCLRConfig(name="simclr")
MORE_VIEWS = [Recipe(views=3, blur=None), Recipe(size=8, blur=None)]
WITH_MORE = ["simclr", "supcon", "moco_v2", "nnclr, momentum encoder", "w_mse, plain", "visreg", "nnbyol", "simsiam"]
SCRIPT = Path(__file__).parent / "parallel_run.py"


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What two processes computed, by objective."""
    file = tmp_path_factory.mktemp("parallel") / "results.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(file)], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(file, weights_only=True)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("name", "more"), [*((name, False) for name in EVERY), *((name, True) for name in WITH_MORE)])
def test_two_halves_give_the_losses_and_weights_of_the_whole(
    name: str, more: bool, of_two: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCHED", FEW)
    config = EVERY[name]
    objective, values, _ = run(config=config, recipes=MORE_VIEWS if more else None, **SETTINGS)
    theirs = of_two[f"{name}, more views" if more else name]
    ours = torch.tensor([row[2]["loss"] for row in values])
    torch.testing.assert_close(theirs["losses"], ours, rtol=1e-4, atol=1e-5)
    moved = (weights(objective) - weights(run(config=config, epochs=0)[0])).norm()
    assert (weights(objective) - theirs["weights"]).norm() < 0.02 * moved
    assert torch.equal(theirs["weights"], theirs["weights of the other"])


@pytest.mark.slow
@pytest.mark.thorough
def test_a_batch_in_parts_is_the_same_in_two_processes(of_two: dict[str, dict]) -> None:
    alone = weights(run(config=SIMCLR, accumulate=2, **SETTINGS)[0])
    moved = (alone - weights(run(config=SIMCLR, epochs=0)[0])).norm()
    assert (alone - of_two["in parts"]["weights"]).norm() < 0.02 * moved


@pytest.mark.slow
@pytest.mark.thorough
def test_two_processes_go_on_from_one_checkpoint(of_two: dict[str, dict]) -> None:
    assert of_two["resumed"]["same"].all()


@pytest.mark.slow
@pytest.mark.thorough
def test_the_processes_share_one_draw_and_one_gradient(of_two: dict[str, dict]) -> None:
    torch.manual_seed(5)
    assert torch.equal(of_two["pieces"]["drawn"], torch.randn(6, 3))
    rows = torch.arange(6.0).reshape(6, 1).requires_grad_()
    (rows.T @ rows).square().sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(of_two["pieces"]["gathered"], rows.detach())
    # DistributedDataParallel takes the mean over the two.
    torch.testing.assert_close(of_two["pieces"]["gradient"] / 2, rows.grad)


@pytest.mark.slow
@pytest.mark.thorough
def test_batch_norm_is_that_of_the_whole_batch(of_two: dict[str, dict]) -> None:
    pieces = of_two["pieces"]
    torch.manual_seed(7)
    inputs = torch.randn(8, 3, 4, 4).requires_grad_()
    norm = nn.Sequential(nn.BatchNorm2d(3))
    made = norm(inputs)
    (made.cos() * inputs.detach()).mean().backward()
    torch.testing.assert_close(pieces["normalised"], made.detach())
    torch.testing.assert_close(pieces["input gradient"] / 2, inputs.grad)
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(pieces["norm"][name], value)


def test_alone_nothing_changes() -> None:
    z = torch.randn(4, 2)
    module = nn.Sequential(nn.BatchNorm1d(2))
    parallel.synchronise_batch_norm(module)
    assert type(module[0]) is nn.BatchNorm1d
    assert parallel.share() == (0, 1)
    assert parallel.gather(z) is z
    torch.manual_seed(0)
    expected = torch.randint(5, (4,))
    torch.manual_seed(0)
    assert torch.equal(parallel.drawn(partial(torch.randint, 5), (4,), torch.device("cpu")), expected)


def test_synchronised_norms_of_timm_keep_their_activations_and_their_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two processes that hold the same half of a batch, statistics are those of either half."""
    network = timm.create_model("test_efficientnet", num_classes=0)
    converted = copy.deepcopy(network)
    monkeypatch.setattr(parallel, "share", lambda: (0, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(2))
    parallel.synchronise_batch_norm(converted)
    norms = [module for module in converted.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert {type(module) for module in norms} == {parallel._BatchNorm}
    assert list(converted.state_dict()) == list(network.state_dict())
    images = torch.randn(8, 3, 64, 64)
    torch.testing.assert_close(converted(images), network(images), rtol=1e-3, atol=1e-4)
    converted.load_state_dict(network.state_dict())
    torch.testing.assert_close(converted.eval()(images), network.eval()(images))
