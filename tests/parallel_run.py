"""What tests/test_parallel.py has torchrun start: every objective in two processes, and the pieces by themselves."""

import sys
from pathlib import Path
from typing import Any

import torch
from every_objective import EVERY
from test_parallel import FEW, MORE_VIEWS, SETTINGS, SIMCLR, WITH_MORE
from test_pretraining import run, weights
from torch import Tensor, distributed, nn

from ssl_core import parallel
from ssl_core.training import watch
from ssl_core.training.checkpoint import Checkpoints

LONGER: dict[str, Any] = SETTINGS | {"epochs": 2}


class Ending(Checkpoints):
    """Leaves the state after three steps, as a killed run does; the processes go on together to the end."""

    def due(self) -> bool:
        return True

    def save(self, step: int, state: dict) -> None:
        if step == 3:
            super().save(step, state)


def everyones(tensor: Tensor) -> Tensor:
    """The rows of both processes."""
    return parallel.gather(tensor.detach())


def pieces() -> dict[str, Any]:
    rank, _ = parallel.share()
    torch.manual_seed(5)
    drawn = parallel.drawn(torch.randn, (3, 3), torch.device("cpu"))
    rows = (torch.arange(3.0) + 3 * rank).reshape(3, 1).requires_grad_()
    gathered = parallel.gather(rows)
    (gathered.T @ gathered).square().sum().backward()
    torch.manual_seed(7)
    half = torch.randn(8, 3, 4, 4)[4 * rank : 4 * rank + 4].requires_grad_()
    norm = nn.Sequential(nn.BatchNorm2d(3))
    parallel.synchronise_batch_norm(norm)
    made = norm(half)
    (made.cos() * half.detach()).mean().backward()
    assert rows.grad is not None
    assert half.grad is not None
    return {
        "drawn": everyones(drawn),
        "gathered": gathered.detach(),
        "gradient": everyones(rows.grad),
        "normalised": everyones(made),
        "input gradient": everyones(half.grad),
        "norm": norm.state_dict(),
    }


def main(file: str) -> None:
    results: dict[str, dict[str, Any]] = {}
    watch.WATCHED = FEW
    with parallel.joined(torch.device("cpu")):
        results["pieces"] = pieces()
        more = {f"{name}, more views": name for name in WITH_MORE}
        for key, name in ({name: name for name in EVERY} | more).items():
            recipes = MORE_VIEWS if key in more else None
            objective, values, _ = run(config=EVERY[name], recipes=recipes, **SETTINGS)
            both = everyones(weights(objective)[None])
            results[key] = {
                "losses": torch.tensor([row[2]["loss"] for row in values]),
                "weights": both[0],
                "weights of the other": both[1],
            }
        results["in parts"] = {"weights": everyones(weights(run(config=SIMCLR, accumulate=2, **SETTINGS)[0])[None])[0]}
        folder = Path(file).parent / "checkpoints"
        whole, *_ = run(config=SIMCLR, **LONGER)
        run(config=SIMCLR, checkpoints=Ending(folder, {}, 0), **LONGER)
        distributed.barrier()
        resumed, *_ = run(config=SIMCLR, checkpoints=Checkpoints(folder, {}), **LONGER)
        results["resumed"] = {"same": everyones((weights(whole) == weights(resumed)).all()[None])}
        if distributed.get_rank() == 0:
            torch.save(results, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
