"""The least time that the default step can take on this machine, and how near it is: `python -m benchmarks.roofline`.

Each operation that PyTorch runs is timed, and its arithmetic and its bytes are counted, every tensor read or written
once. Its least time is the longer of the two at this machine's measured ceilings (the roofline of Williams, Waterman
and Patterson, doi:10.1145/1498765.1498785).
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks import step, timing
from benchmarks.page import Section
from benchmarks.sharing import SMALL
from benchmarks.timing import Spread
from benchmarks.workload import Case
from ssl_core.training.iteration import Acceleration, Iteration

CPU = torch.device("cpu")
VIEWS, REST = "views", "element by element, and pooling"
KINDS = {
    "convolution": "convolutions",
    "convolution_backward": "convolutions' gradients",
    "native_batch_norm": "batch norms",
    "native_batch_norm_backward": "batch norms' gradients",
    "mm": "matrix products",
    "addmm": "matrix products",
    "_to_copy": "copies and casts",
    "copy_": "copies and casts",
    "clone": "copies and casts",
    "_fused_adamw_": "the update",
}
"""By the operation's name; what is not here is `REST`."""


@dataclass(kw_only=True)
class Spent:
    """What operations of a kind cost: seconds, operations of arithmetic, bytes, and the seconds that these allow."""

    seconds: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    least: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Operations a second of a large bf16 matrix product, and bytes a second of a copy as large as an activation."""

    flops: float
    bytes: float

    def least(self, flops: float, size: float) -> float:
        """Seconds."""
        return max(flops / self.flops, size / self.bytes)


class Counting(TorchDispatchMode):
    """Counts and times every operation that runs while it is entered, by kind."""

    def __init__(self, ceilings: Ceilings) -> None:
        super().__init__()
        self.ceilings, self.within = ceilings, ""
        self.spent: dict[str, Spent] = defaultdict(Spent)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begun = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        seconds = time.perf_counter() - begun
        counted = flop_registry.get(func.overloadpacket)
        flops = float(counted(*args, **(kwargs or {}), out_val=out)) if counted else 0.0
        size = 0.0 if func.is_view else _bytes((args, kwargs, out))
        spent = self.spent[self.within or KINDS.get(func.overloadpacket.__name__, REST)]
        spent.seconds, spent.flops, spent.bytes = spent.seconds + seconds, spent.flops + flops, spent.bytes + size
        spent.least += self.ceilings.least(flops, size)
        return out

    @contextmanager
    def all_within(self, kind: str) -> Iterator[None]:
        """What runs in the block is of this kind, whatever it is."""
        self.within = kind
        yield
        self.within = ""


def _bytes(values: Any) -> float:
    """Of all tensors in a nest of arguments and results: each that lies somewhere else counts once."""
    tensors = {leaf.data_ptr(): leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)}
    return float(sum(each.numel() * each.element_size() for each in tensors.values()))


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    case, times, rounds, size = (step.TINY, 1, 1, 256) if quick else (SMALL, 3, 5, 2048)
    ceilings = measured(case, size)
    batch, iteration = step.on_device_images(case.batch, case.side, CPU), step.build(case, Acceleration(), CPU)
    for _ in range(2):
        iteration(batch)
    seconds = Spread.of(timing.seconds(lambda: iteration(batch), rounds * times, CPU)).median
    spent = counted(iteration, batch, ceilings, times)
    least = sum(each.least for each in spent.values())
    return Section(
        title="The step's limit",
        measured=(
            f"SimCLR, {case.name}, {case.side} px, batch {case.batch}, views included, bf16 and channels-last, "
            f"{torch.get_num_threads()} threads, a step: every operation by itself. The ceilings, measured here: "
            f"{ceilings.flops / 1e9:,.0f} GFLOP/s of a bf16 matrix product, {ceilings.bytes / 1e9:.1f} GB/s read and "
            "written by a copy of an activation's size. Least: the longer of what the arithmetic and the bytes take "
            "at these, each tensor read or written once."
        ),
        columns=["", "GFLOP", "MB", "least, ms", "measured, ms", "least of measured"],
        rows=[_row(name, each) for name, each in sorted(spent.items(), key=lambda item: -item[1].seconds)],
        meaning=(
            f"The ceilings allow at most {case.batch / least:,.0f} images a second. The step makes "
            f"{case.batch / seconds:,.0f}: {least / seconds:.0%} of it."
        ),
        figures={
            "ceilings": vars(ceilings),
            "step_seconds": seconds,
            "kinds": {name: vars(each) for name, each in spent.items()},
        },
    )


def _row(name: str, spent: Spent) -> list[str]:
    return [
        name,
        f"{spent.flops / 1e9:.2f}",
        f"{spent.bytes / 1e6:,.0f}",
        f"{spent.least * 1e3:.1f}",
        f"{spent.seconds * 1e3:.1f}",
        f"{spent.least / spent.seconds:.0%}",
    ]


def counted(iteration: Iteration, batch: Tensor, ceilings: Ceilings, times: int) -> dict[str, Spent]:
    """What a step costs by kind: of some steps the mean."""
    counting, make = Counting(ceilings), iteration.augment

    def views(*given: Any) -> Any:
        with counting.all_within(VIEWS):
            return make(*given)

    with patch.object(iteration, "augment", views), counting:
        for _ in range(times):
            iteration(batch)
    return {
        name: Spent(**{key: value / times for key, value in vars(each).items()})
        for name, each in counting.spent.items()
    }


def measured(case: Case, size: int) -> Ceilings:
    """The best of this machine, with as many threads as the step has; of products of `size` x `size`."""
    source = torch.ones(case.batch, 16, case.side, case.side, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    copied = min(timing.seconds(lambda: target.copy_(source), 13, CPU)[3:])
    return Ceilings(flops=step.matrix_product_rate(CPU, size), bytes=_bytes((source, target)) / copied)


def main() -> None:
    parser = argparse.ArgumentParser(description="The least time that the default step can take on this machine.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    print(section(parser.parse_args().quick).markdown())


if __name__ == "__main__":
    main()
