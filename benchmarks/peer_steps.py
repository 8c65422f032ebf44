"""SimCLR's step on views that are ready, with others' heads and losses: `python -m benchmarks.peer_steps`.

The backbone is the same; ours is stepped by AdamW, which costs more than the others' SGD.
"""

import importlib.util
from collections.abc import Callable

import torch
from torch import nn

from benchmarks import loops, precision, timing
from benchmarks.page import Section
from benchmarks.pretraining import HALF
from benchmarks.sharing import SMALL
from benchmarks.workload import Case
from ssl_core import backbones
from ssl_core.backbones import ResNetConfig

PARTS: dict[str, tuple[str, Callable[[Case], nn.Module], Callable[[], loops.Loss]]] = {
    "lightly's": ("lightly", loops.lightly_head, loops.lightly_loss),
    "stable-pretraining's": ("stable_pretraining", loops.stable_head, loops.stable_loss),
    "PyTorch's": ("torch", loops.plain_head, lambda: loops.nt_xent),
}
"""By name: the module that must be installed, head and loss."""
OURS, COMPILED = "stopgrad", "stopgrad, compiled"


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    steps, rounds = (1, 1) if quick else (4, 5)
    rates = timing.take_turns(contenders(SMALL, steps), rounds)
    reference = f"PyTorch's, {HALF}"
    return Section(
        title="The step, beside others' heads and losses",
        measured=(
            f"SimCLR, {SMALL.name}, {SMALL.side} px, batch {SMALL.batch}, views ready: images/s, {rounds} rounds in "
            "turns. Stopgrad: bf16, channels-last."
        ),
        columns=["", "images/s: median (least–greatest)", f"times {reference}"],
        rows=timing.rate_rows(rates, reference),
        meaning=timing.against_the_best(rates, COMPILED),
        figures=dict(rates),
    )


def contenders(case: Case, steps: int) -> dict[str, Callable[[], int]]:
    """Some steps of each on ready views."""
    assert isinstance(case.backbone, ResNetConfig)
    runs = {
        name: precision.simclr_step(case.backbone, case.batch, steps, torch.bfloat16, True, compiled)
        for name, compiled in ((OURS, False), (COMPILED, True))
    }
    for name, (module, head, loss) in PARTS.items():
        if importlib.util.find_spec(module):
            runs[name] = _theirs(case, head(case), loss(), torch.float32, steps)
            runs[f"{name}, {HALF}"] = _theirs(case, head(case), loss(), torch.bfloat16, steps)
    return runs


def _theirs(case: Case, head: nn.Module, loss: loops.Loss, number: torch.dtype, steps: int) -> Callable[[], int]:
    layout = torch.contiguous_format if number == torch.float32 else torch.channels_last
    shape = case.batch, 3, case.side, case.side
    views = [torch.randn(shape).contiguous(memory_format=layout) for _ in range(2)]
    torch.manual_seed(0)
    step = loops.step(backbones.build(case.backbone, case.side), head, loss, number, torch.device("cpu"))

    def run() -> int:
        for _ in range(steps):
            step(views)
        return steps * case.batch

    return run


if __name__ == "__main__":
    print(section(quick=False).markdown())
