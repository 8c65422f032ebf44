"""What bf16, channels-last and `torch.compile` make of a training step on this machine, each alone and together.

A step is forward, backward and update on views that are ready. Of the vision transformer, bf16 with attention written
out (`ssl_core.backbones.vit`) beside PyTorch's own scaled_dot_product_attention in float32.
"""

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import timing
from benchmarks.page import Section
from benchmarks.timing import Spread
from benchmarks.workload import simclr
from ssl_core import backbones
from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig, ViTConfig, vit
from ssl_core.heads import ProjectorConfig

SIDE = 32
PLAIN = "float32, contiguous"
TOGETHER = "bf16 + channels-last + compile"
SETTINGS = {
    PLAIN: (torch.float32, False, False),
    "bf16": (torch.bfloat16, False, False),
    "channels-last": (torch.float32, True, False),
    "compile": (torch.float32, False, True),
    "bf16 + channels-last": (torch.bfloat16, True, False),
    TOGETHER: (torch.bfloat16, True, True),
}
"""Precision, channels-last, compiled."""


def sections(quick: bool) -> list[Section]:
    """The tables; `quick` for a look at whether it works."""
    rounds = 1 if quick else 5
    small = residual("ResNet-10, width 16", ResNetConfig(name="resnet10", width=16), 256, 1 if quick else 4, rounds)
    large = residual("ResNet-18", ResNetConfig(name="resnet18"), 64, 1, 1 if quick else 3)
    return [small, large, transformer(1 if quick else 2, rounds)]


def residual(name: str, config: ResNetConfig, batch: int, steps: int, rounds: int) -> Section:
    """SimCLR's step with a residual network, in all settings."""
    runs = {setting: simclr_step(config, batch, steps, *chosen) for setting, chosen in SETTINGS.items()}
    rates = timing.take_turns(runs, rounds)
    gain = timing.ratio(rates[TOGETHER], rates[PLAIN]).text(".1f")
    return Section(
        title=f"The step of {name}",
        measured=f"SimCLR, {SIDE} px, batch {batch}, views ready: images/s, {rounds} rounds in turns.",
        columns=["", "images/s: median (least–greatest)", f"times {PLAIN}"],
        rows=timing.rate_rows(rates, PLAIN),
        meaning=f"All together make the step {gain} times as fast.",
    )


def simclr_step(
    config: ResNetConfig, batch: int, steps: int, precision: torch.dtype, channels_last: bool, compiled: bool
) -> Callable[[], int]:
    """Some steps on ready views."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    objective = simclr(config, SIDE, ProjectorConfig())
    objective.to(memory_format=layout)  # pyright: ignore[reportCallIssue] (torch's stub)
    views = [View(torch.randn(batch, 3, SIDE, SIDE).contiguous(memory_format=layout)) for _ in range(2)]
    network = torch.compile(objective) if compiled else objective
    return _steps(objective, lambda: network(views)["nt_xent"], precision, steps, batch)


def transformer(steps: int, rounds: int) -> Section:
    """A vision transformer's step, pixels from patch tokens."""
    batch, config = 128, ViTConfig(name="vit", patch=4, width=192, depth=6, heads=3)
    reference = "float32, scaled_dot_product_attention"
    written, compiled = "bf16, attention written out", "bf16, attention written out, compile"
    runs = {
        written: reconstruction_step(config, batch, steps, torch.bfloat16, False),
        compiled: reconstruction_step(config, batch, steps, torch.bfloat16, False, compiled=True),
        "bf16, scaled_dot_product_attention": reconstruction_step(config, batch, steps, torch.bfloat16, True),
        "float32, attention written out": reconstruction_step(config, batch, steps, torch.float32, False),
        reference: reconstruction_step(config, batch, steps, torch.float32, True),
    }
    rates = timing.take_turns(runs, rounds)
    own, best = (timing.ratio(rates[name], rates[reference]).text(".1f") for name in (written, compiled))
    alone = Spread.of(rates[written]).median
    alone /= Spread.of(rates["bf16, scaled_dot_product_attention"]).median
    return Section(
        title="The step of a vision transformer",
        measured=(
            f"Width 192, 6 blocks, 64 patches of 4 px at {SIDE} px, a linear decoder to pixels, batch {batch}: "
            f"images/s, {rounds} rounds in turns."
        ),
        columns=["", "images/s: median (least–greatest)", f"times {reference}"],
        rows=timing.rate_rows(rates, reference),
        meaning=(
            f"The step is {own} times as fast, compiled {best} times; in bf16, writing the attention out gives "
            f"{alone:.1f} of it."
        ),
    )


def reconstruction_step(
    config: ViTConfig, batch: int, steps: int, precision: torch.dtype, fused: bool, compiled: bool = False
) -> Callable[[], int]:
    """Some steps in which an image is decoded from its representation; `fused` takes PyTorch's own attention."""
    torch.manual_seed(0)
    backbone = backbones.build(config, SIDE)
    if fused:
        for module in [m for m in backbone.modules() if isinstance(m, vit.Attention)]:
            module.__class__ = FusedAttention
    network = nn.Sequential(backbone, nn.Linear(config.width, 3 * SIDE * SIDE))
    images = torch.randn(batch, 3, SIDE, SIDE)
    run = torch.compile(network) if compiled else network
    return _steps(network, lambda: F.mse_loss(run(images).float(), images.flatten(1)), precision, steps, batch)


class FusedAttention(vit.Attention):
    """The same layer through PyTorch's scaled_dot_product_attention."""

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, c = tokens.shape
        q, k, v = self.qkv(tokens).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c))


def _steps(
    module: nn.Module, loss: Callable[[], Tensor], precision: torch.dtype, steps: int, batch: int
) -> Callable[[], int]:
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)

    def run() -> int:
        for _ in range(steps):
            optimiser.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                made = loss()
            made.backward()
            optimiser.step()
        return steps * batch

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="bf16, channels-last and compile, each alone and together.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    for section in sections(parser.parse_args().quick):
        print(section.markdown(), "\n")


if __name__ == "__main__":
    main()
