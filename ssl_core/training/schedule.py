"""Learning rate and weight decay over the steps of a pretraining, for every optimiser."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """What every optimiser has: its rate, its weight decay, how both go on, and how large a gradient may be.

    `learning_rate`: the highest, for a batch of 256; it scales with the batch. `warmup`: the share of the steps in
    which it rises from 0. Then it falls as half a cosine, to the share `final_rate` of the highest: 0 as a rule, 0.001
    in VICReg's and Barlow Twins' codes. `final_weight_decay`: null for a constant one; else the weight decay goes
    there as half a cosine over all steps (DINO, arXiv:2104.14294, section 3.2: 0.04 to 0.4; MSN and I-JEPA too).
    `clip_norm`: gradients are scaled down where the norm of all of them together is above it; null for never.

    What has two dimensions and more is decayed, and nothing else: not norms, biases and mask tokens [D], but prototypes
    [K, D] (whose lengths alone that changes) and, of backbones that have them, class tokens and learnt positions
    [1, T, D], as the codes of DINO and MAE have it; timm's own pretrainings leave the latter out.
    """

    learning_rate: float
    weight_decay: float = 1e-4
    warmup: float = 0.1
    final_rate: float = 0.0
    final_weight_decay: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        for name in ("weight_decay", "final_weight_decay"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, 0 <= warmup < 1")
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f"final_rate is {self.final_rate}; it is a share of learning_rate, 0 to 1")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"clip_norm is {self.clip_norm}; it must be above 0, or null for no clipping")


def peak(config: ScheduleConfig, batch_size: int) -> float:
    """The highest learning rate, scaled with the batch (linear scaling, Goyal et al., 2017, arXiv:1706.02677)."""
    return config.learning_rate * batch_size / 256


def rate(config: ScheduleConfig, step: int, steps: int, batch_size: int) -> float:
    """The learning rate of a step."""
    return peak(config, batch_size) * schedule(step, steps, config.warmup, config.final_rate)


def weight_decay(config: ScheduleConfig, step: int, steps: int) -> float:
    """The weight decay b of a step: b_end + (b_start - b_end) (1 + cos(pi step / steps)) / 2, or the constant one."""
    start, end = config.weight_decay, config.final_weight_decay
    return start if end is None else end + (start - end) * _half_cosine(step / steps)


def schedule(step: int, steps: int, warmup: float, final: float = 0.0) -> float:
    """The factor on the learning rate at a step: a linear rise over the share `warmup`, then half a cosine to `final`.

    The first step's is above 0; the last step's a little above `final`, which the one after it would have.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return final + (1 - final) * _half_cosine((step - rise) / max(1, steps - rise))


def _half_cosine(share: float) -> float:
    """1 at 0, 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * share))
