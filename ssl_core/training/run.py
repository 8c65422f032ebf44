"""A pretraining under way: everything that it goes on from when it was killed."""

import time
from typing import Any

import torch

from ssl_core.objectives import Objective
from ssl_core.training.watch import Row


class Run:
    """Networks, optimiser, generators, steps done, what was recorded, and the seconds of killed processes before.

    The data's order follows from the step.
    """

    def __init__(self, objective: Objective, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """`generator` draws the views, on the device that trains; an objective draws from PyTorch's default ones."""
        self.objective, self.optimiser, self.generator = objective, optimiser, generator
        self.step = 0
        self.history: list[Row] = []
        self.begun, self.seconds_before = time.perf_counter(), 0.0

    def note(self, epoch: float, values: dict[str, float]) -> Row:
        """Keep what was measured at the current step; gives its row of the history."""
        self.history.append((self.step, epoch, values))
        return self.history[-1]

    def state(self) -> dict[str, Any]:
        """All of it, as tensors and plain values."""
        device = self.generator.device
        return {
            "step": self.step,
            "history": self.history,
            "seconds": self.seconds_before + time.perf_counter() - self.begun,
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "views": self.generator.get_state(),
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step, self.history = state["step"], state["history"]
        self.seconds_before = state["seconds"]
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        for group in self.optimiser.param_groups:
            for name, value in group.items():
                if isinstance(value, torch.Tensor):
                    group[name] = value.to(self.generator.device)
        self.generator.set_state(state["views"])
        torch.set_rng_state(state["cpu"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self.generator.device)
