"""One iteration of pretraining: views, forward, backward, update. Nothing is read back to the host."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.parallel import DistributedDataParallel

from ssl_core import parallel
from ssl_core.augmentation import Augment
from ssl_core.objectives import Objective
from ssl_core.precision import computed

WARM_UP = 3
"""Iterations that run eagerly before one is captured: libraries choose their algorithms in them."""


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How an iteration is run; the losses are the same to rounding, whatever is chosen.

    `precision`: autocast's type, by default the one that the device computes in; float32 switches autocast off.
    `compiled`: `torch.compile` of the objective and the views. `captured`: the whole iteration replayed as one CUDA
    graph, which takes the host out of it.
    """

    precision: torch.dtype | None = None
    compiled: bool = False
    captured: bool = False


class Iteration:
    """Callable with images uint8 [B, 3, H, W] on the device, B this process's rows; gives the loss terms, detached.

    `finite` is a bool scalar on the device: whether all losses were, until now.
    """

    def __init__(
        self,
        objective: Objective,
        augment: Augment,
        optimiser: torch.optim.Optimizer,
        generator: Generator,
        accumulate: int = 1,
        acceleration: Acceleration | None = None,
    ) -> None:
        self.augment, self.optimiser, self.generator, self.accumulate = augment, optimiser, generator, accumulate
        self.acceleration = acceleration or Acceleration()
        self.share = parallel.share()
        self.parallel = DistributedDataParallel(objective) if self.share[1] > 1 else None
        self.network: torch.nn.Module = self.parallel or objective
        if self.acceleration.compiled:
            # What an objective draws is then what it draws when it is not compiled.
            options: dict[str, Any] = {"fallback_random": True}
            self.network = torch.compile(self.network, options=options)  # pyright: ignore[reportAttributeAccessIssue]
        self.finite = torch.ones((), dtype=torch.bool, device=generator.device)
        self.warm_up = WARM_UP
        self.graph: _Graph | None = None

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Make one step on these images."""
        if not self.acceleration.captured:
            return self.run(images, labels)
        if self.warm_up > 0:
            self.warm_up -= 1
            with _beside():
                return self.run(images, labels)
        if self.graph is None:
            self.graph = _Graph(self, images, labels)
        return self.graph.replay(images, labels)

    def run(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """The iteration itself."""
        self.optimiser.zero_grad()
        parts = []
        for part in range(self.accumulate):
            rows = slice(part * len(images) // self.accumulate, (part + 1) * len(images) // self.accumulate)
            with self._gradients_wait(part):
                parts.append(self._accumulate(images[rows], None if labels is None else labels[rows]))
        self.optimiser.step()
        return {name: torch.stack([terms[name] for terms in parts]).mean(0) for name in parts[0]}

    def _accumulate(self, images: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        views = self.augment(images, self.generator, self.share)
        precision = self.acceleration.precision or computed(images.device)
        with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
            terms = self.network([view.to(precision) for view in views], labels)
        loss = torch.stack(list(terms.values())).sum()
        self.finite.logical_and_(loss.detach().isfinite())
        (loss / self.accumulate).backward()
        return {name: term.detach() for name, term in terms.items()}

    def _gradients_wait(self, part: int) -> AbstractContextManager[None]:
        """All parts but the last keep their gradients to this process; the last sends the sum."""
        if self.parallel and part < self.accumulate - 1:
            return self.parallel.no_sync()
        return nullcontext()


@contextmanager
def _beside() -> Iterator[None]:
    """Work on a stream beside the default one, as a capture does, so that nothing is tied to the default stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


class _Graph:
    """An iteration as a CUDA graph: its inputs and results are the same tensors at every replay."""

    def __init__(self, iteration: Iteration, images: Tensor, labels: Tensor | None) -> None:
        self.images, self.labels = images.clone(), None if labels is None else labels.clone()
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(iteration.generator)
        # Gradients made inside the capture live in the graph's memory, and are made anew by every replay.
        iteration.optimiser.zero_grad(set_to_none=True)
        # What other threads do meanwhile, such as reading the next images, is no part of the capture.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.terms = iteration.run(self.images, self.labels)

    def replay(self, images: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        self.images.copy_(images)
        if self.labels is not None and labels is not None:
            self.labels.copy_(labels)
        self.graph.replay()
        return self.terms
