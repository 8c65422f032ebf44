"""Random numbers for the operations, always from the generator that the caller gives, on the generator's device."""

import torch
from torch import Generator, Tensor


def uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """float32 numbers of the given shape, uniform in [low, high)."""
    return torch.rand(shape, generator=generator, device=generator.device).mul_(high - low).add_(low)


def chosen(probability: float, count: int, generator: Generator) -> Tensor:
    """bool [count]: each image is chosen on its own with the given probability."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def check_probability(name: str, value: float) -> None:
    """Raise ValueError unless the value is in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability and must be between 0 and 1, not {value}.")
