"""A pretraining that is killed goes on from its last checkpoint, and ends with the same weights bit for bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ENVIRONMENT, PROJECT
from every_objective import EVERY, uncoloured
from test_pretraining import run, weights

from ssl_core.collapse import CollapseThresholds
from ssl_core.errors import Refused
from ssl_core.objectives.simsiam import SimSiamConfig
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.optimiser import AdamWConfig, LARSConfig, OptimiserConfig, SGDConfig

FINGERPRINT = {"configuration": "a", "data": "b"}


class KilledError(Exception):
    """Ends a run between two steps."""


class Killing(Checkpoints):
    """Checkpoints after every step; the process "dies" after some."""

    left = 10**6

    def save(self, step: int, state: dict) -> None:
        super().save(step, state)
        self.left -= 1
        if not self.left:
            raise KilledError


def killed_after(folder: Path, steps: int, **settings: Any) -> None:
    checkpoints = Killing(folder, FINGERPRINT, every_seconds=0)
    checkpoints.left = steps
    with pytest.raises(KilledError):
        run(checkpoints=checkpoints, **settings)


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_every_objective_ends_the_same_whenever_it_was_killed(config: object, tmp_path: Path) -> None:
    """Of five steps, the last of which is of the second epoch."""
    settings: dict[str, Any] = {"config": config, "recipes": uncoloured(config), "epochs": 1.25}
    whole, values, outcome = run(**settings)
    killed_after(tmp_path, 2, **settings)
    killed_after(tmp_path, 1, **settings)
    torch.manual_seed(99)  # a new process draws on from elsewhere
    resumed, again, ended = run(checkpoints=Checkpoints(tmp_path, FINGERPRINT, 0), **settings)
    assert torch.equal(weights(whole), weights(resumed))
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), resumed.buffers(), strict=True))
    assert values == again
    assert (ended.steps, ended.stopped) == (outcome.steps, None)
    assert ended.seconds_before > 0


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamWConfig(weight_decay=0.04, final_weight_decay=0.4, clip_norm=0.3, betas=(0.9, 0.95), final_rate=0.1),
        SGDConfig(learning_rate=0.5, weight_decay=0.1, final_weight_decay=0.2, clip_norm=0.3, gradient_momentum=0.8),
        LARSConfig(learning_rate=2.0, weight_decay=0.1, final_weight_decay=0.2, clip_norm=0.3, eta=0.001, clip=True),
    ],
    ids=lambda config: config.name,
)
def test_every_optimiser_with_all_that_it_has_ends_the_same(optimiser: OptimiserConfig, tmp_path: Path) -> None:
    config = SimSiamConfig(name="simsiam", constant_predictor_rate=True)
    whole, values, _ = run(config=config, optimiser=optimiser)
    killed_after(tmp_path, 3, config=config, optimiser=optimiser)
    resumed, again, _ = run(config=config, checkpoints=Checkpoints(tmp_path, FINGERPRINT, 0), optimiser=optimiser)
    assert torch.equal(weights(whole), weights(resumed))
    assert values == again


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    killed_after(tmp_path, 5)
    before, newest = sorted(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    state = Checkpoints(tmp_path, FINGERPRINT).load()
    assert state
    assert state["step"] == 4
    before.write_bytes(before.read_bytes()[:1000])
    assert Checkpoints(tmp_path, FINGERPRINT).load() is None
    assert list(tmp_path.iterdir()) == []  # damaged ones would take the places of new ones


def test_a_checkpoint_of_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    killed_after(tmp_path, 1)
    other = Checkpoints(tmp_path, FINGERPRINT | {"data": "c"})
    with pytest.raises(Refused, match=rf"the checkpoint {tmp_path}.* is of another data, .*remove the folder"):
        run(checkpoints=other)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    Checkpoints(tmp_path, FINGERPRINT).save(1, {"step": Bomb()})
    assert Checkpoints(tmp_path, FINGERPRINT).load() is None
    assert not (tmp_path / "exploded").exists()


def test_a_disk_that_fills_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """In a process of its own, which may write 100 kB at most: the system's own "file too large"."""
    checkpoints = Checkpoints(tmp_path, FINGERPRINT)
    checkpoints.save(1, {"step": 1})
    script = f"""
import resource, signal, sys
from pathlib import Path
import torch
from ssl_core.training.checkpoint import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Checkpoints(Path({str(tmp_path)!r}), {FINGERPRINT}).save(2, {{"step": 2, "weights": torch.zeros(10**6)}})
except OSError as error:
    sys.exit(f"refused by the system: {{error}}")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert "refused by the system" in done.stderr, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["000000000001.checkpoint"]
    assert checkpoints.load() == {"step": 1}


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, "tests")
import torch
from test_pretraining import run, weights
from ssl_core.training.checkpoint import Checkpoints

def pretrain():
    objective, *_ = run(epochs=10, checkpoints=Checkpoints(folder, {}, every_seconds=0))
    torch.save(weights(objective), file)

run(epochs=0)  # which imports what is imported late
folder, file = map(Path, sys.argv[1:])
generator, reached = random.Random(0), ""
for _ in range(4):
    before = set(folder.glob("*.checkpoint"))
    process = os.fork()
    if not process:
        pretrain()
        os._exit(0)
    while os.waitpid(process, os.WNOHANG)[0] == 0 and not set(folder.glob("*.checkpoint")) - before:
        time.sleep(0.01)
    time.sleep(generator.uniform(0, 0.15))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    newest = max(file.name for file in folder.glob("*.checkpoint"))
    assert newest > reached, "a killed run made no step"
    assert not file.exists(), "the run ended before it was killed"
    reached = newest
pretrain()
"""


@pytest.mark.slow
def test_kill_9_at_any_instant_changes_nothing(tmp_path: Path) -> None:
    """Processes of one that has PyTorch already and computes nothing before them; then it goes on to the end itself."""
    expected = weights(run(epochs=10)[0])
    file = tmp_path / "weights.pt"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "checkpoints"), str(file)]
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(file, weights_only=True), expected)


def test_the_state_before_a_collapse_is_the_one_that_is_kept(tmp_path: Path) -> None:
    thresholds = CollapseThresholds(embedding_std=10.0, rankme=500.0)  # which every representation is below
    checkpoints = Checkpoints(tmp_path, FINGERPRINT, every_seconds=0)
    _, _, outcome = run(checkpoints=checkpoints, collapse=thresholds, epochs=4, record_every=1)
    assert outcome.stopped
    state = checkpoints.load()
    assert state
    assert state["step"] == 2  # the warm-up's; from then on it is collapsed
    _, _, again = run(checkpoints=checkpoints, collapse=thresholds, epochs=4, record_every=1)
    assert again.stopped == outcome.stopped
