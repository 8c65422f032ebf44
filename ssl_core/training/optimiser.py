"""The optimisers of pretraining: AdamW, and SGD or LARS with momentum."""

# pyright: reportPrivateImportUsage=false
# As PyTorch's own optimisers, with the _foreach functions: one call for all tensors.

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ssl_core.training import schedule
from ssl_core.training.lars import LARS
from ssl_core.training.schedule import ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(ScheduleConfig):
    """AdamW (arXiv:1711.05101). `betas` of both moments; masked methods have (0.9, 0.95) (MAE, arXiv:2111.06377)."""

    name: Literal["adamw"] = "adamw"
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {list(self.betas)}; each is a share of a moment that is kept, 0 <= beta < 1")


@dataclass(frozen=True, kw_only=True)
class SGDConfig(ScheduleConfig):
    """SGD; `gradient_momentum` is the share of the last step that is kept in the next (a teacher has another)."""

    name: Literal["sgd"] = "sgd"
    gradient_momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_momentum(self.gradient_momentum)


@dataclass(frozen=True, kw_only=True)
class LARSConfig(ScheduleConfig):
    """LARS, as `lars.py` has it: solo-learn's is `eta: 0.02, clip: true`, the authors' of most methods `eta: 0.001`."""

    name: Literal["lars"] = "lars"
    gradient_momentum: float = 0.9
    eta: float = 0.02
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_momentum(self.gradient_momentum)
        if self.eta <= 0:
            raise ValueError(f"eta is {self.eta}; it must be above 0")


OptimiserConfig = AdamWConfig | SGDConfig | LARSConfig


def _check_momentum(value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"gradient_momentum is {value}; it is the share of a step that is kept, 0 <= share < 1")


def build(config: OptimiserConfig, module: nn.Module, constant: Iterable[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """The optimiser of a module's parameters that are trained; `constant` are those whose rate stays at its peak.

    Learning rates, and a weight decay that changes, are tensors on the parameters' device, which `follow` sets: a
    captured step reads them anew.
    """
    groups = _groups(config, [p for p in module.parameters() if p.requires_grad], {id(p) for p in constant})
    zero = torch.zeros_like(groups[0]["lr"])
    match config:
        case AdamWConfig():
            capturable = zero.device.type == "cuda"
            optimiser = torch.optim.AdamW(groups, lr=zero, betas=config.betas, fused=True, capturable=capturable)
        case SGDConfig():
            optimiser = torch.optim.SGD(groups, lr=zero, momentum=config.gradient_momentum, fused=True)
        case LARSConfig():
            optimiser = LARS(groups, zero, config.gradient_momentum, config.eta, config.clip)
    _before_each_step(config, optimiser)
    return optimiser


def _groups(config: OptimiserConfig, trained: list[nn.Parameter], constant: set[int]) -> list[dict[str, Any]]:
    """Matrices and vectors, and both once more where their rate is constant; none without parameters.

    Each has tensors of its own: a checkpoint restores them one by one.
    """
    groups = []
    for stays in (False, True):
        for decayed in (True, False):
            parameters = [p for p in trained if (id(p) in constant) == stays and (p.ndim > 1) == decayed]
            if not parameters:
                continue
            number = torch.zeros((), device=parameters[0].device)
            # `scaled` is what LARS reads.
            group = {"params": parameters, "lr": number, "constant": stays, "scaled": decayed, "weight_decay": 0.0}
            if decayed and config.final_weight_decay is None:
                group["weight_decay"] = config.weight_decay
            elif decayed:
                group["decay"] = number.clone()
            groups.append(group)
    return groups


def _before_each_step(config: OptimiserConfig, optimiser: torch.optim.Optimizer) -> None:
    """Have each step clip the gradients, and decay the weights by what PyTorch's own cannot read from a tensor."""
    if config.clip_norm is not None:
        largest = config.clip_norm
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        optimiser.register_step_pre_hook(lambda *_: _clip(parameters, largest))
    if config.final_weight_decay is not None and not isinstance(config, LARSConfig):
        decay = _decay_weights if isinstance(config, AdamWConfig) else _decay_gradients
        optimiser.register_step_pre_hook(lambda *_: decay(optimiser))


def _clip(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale all gradients by min(1, largest / norm), on the device."""
    clip_grad_norm_(parameters, largest)


@torch.no_grad()
def _decay_weights(optimiser: torch.optim.Optimizer) -> None:
    """AdamW's own: w <- w - r b w."""
    for group in optimiser.param_groups:
        weights = [p for p in group["params"] if p.grad is not None]
        if "decay" in group and weights:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["decay"])


@torch.no_grad()
def _decay_gradients(optimiser: torch.optim.Optimizer) -> None:
    """SGD's own: g <- g + b w."""
    for group in optimiser.param_groups:
        weights = [p for p in group["params"] if p.grad is not None]
        if "decay" in group and weights:
            gradients: list[Tensor] = [p.grad for p in weights]
            torch._foreach_add_(gradients, torch._foreach_mul(weights, group["decay"]))


def follow(optimiser: torch.optim.Optimizer, config: OptimiserConfig, step: int, steps: int, batch_size: int) -> float:
    """Set the learning rates and the weight decay of a step; gives the rate of what follows the schedule."""
    rate = schedule.rate(config, step, steps, batch_size)
    set_rate(optimiser, rate, schedule.peak(config, batch_size))
    for group in optimiser.param_groups:
        if "decay" in group:
            group["decay"].fill_(schedule.weight_decay(config, step, steps))
    return rate


def set_rate(optimiser: torch.optim.Optimizer, value: float, constant: float | None = None) -> None:
    """Set the learning rate of every group; `constant` is of those whose rate stays, the same by default."""
    for group in optimiser.param_groups:
        lr: Tensor = group["lr"]
        lr.fill_(constant if group["constant"] and constant is not None else value)
