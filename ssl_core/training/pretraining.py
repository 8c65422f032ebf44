"""The pretraining loop: batches of images, their views, an objective's loss, a step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from ssl_core.augmentation import Augment
from ssl_core.collapse import embedding_std
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.training import optimiser as optimisation
from ssl_core.training.optimiser import OptimiserConfig, schedule

Record = Callable[[int, float, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Passes over the unlabelled images (a part of one is allowed), images a batch, the optimiser."""

    epochs: float
    batch_size: int = 256
    record_every: int = 10
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}; it must be 0 or more")
        if self.batch_size < 2 or self.record_every < 1:
            raise ValueError(f"batch_size is {self.batch_size}, record_every {self.record_every}; at least 2 and 1")


def pretrain(
    objective: Objective,
    images: Tensor,
    labels: Tensor | None,
    augment: Augment,
    config: PretrainingConfig,
    seed: int,
    record: Record,
) -> int:
    """Minimise the sum of an objective's terms over views of `images`, in place.

    `images`: uint8 [N, 3, H, W], channels-last, on the device that trains. `labels`: int64 [N] for the supervised
    baseline, else None. `record(step, epoch, values)` is given loss terms and diagnostics every `record_every` steps.
    Returns how many images were seen, repeats counted.
    Raises `Refused` where a batch is larger than the data, or the loss is no longer finite.
    """
    if config.batch_size > len(images):
        raise Refused(
            f"pretraining.batch_size is {config.batch_size}; there are only {len(images)} images to pretrain on"
        )
    steps = round(config.epochs * (len(images) // config.batch_size))
    if steps == 0:
        return 0
    optimiser = optimisation.build(config.optimiser, objective, config.batch_size)
    rates = [group["lr"] for group in optimiser.param_groups]
    generator = torch.Generator(images.device).manual_seed(seed)
    objective.train()
    progress = tqdm(batches(len(images), config.batch_size, steps, seed), total=steps, unit="step", mininterval=1)
    for step, index in enumerate(progress):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(step, steps, config.optimiser.warmup)
        index = index.to(images.device)
        views = augment(images[index], generator)
        with torch.autocast(images.device.type, torch.bfloat16):
            terms = objective(views, None if labels is None else labels[index])
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        objective.after_step((step + 1) / steps)
        if step % config.record_every == 0 or step == steps - 1:
            values = {name: term.item() for name, term in terms.items()} | {"loss": loss.item()}
            _refuse_non_finite(values, step)
            values["learning_rate"] = optimiser.param_groups[0]["lr"]
            values["embedding_std"] = embedding_std(representations(objective, views[0]))
            record(step, (step + 1) * config.batch_size / len(images), values)
            progress.set_postfix(loss=f"{values['loss']:.3f}")
    return steps * config.batch_size


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Indices [batch_size] of `steps` batches: a new order every epoch, the rest that fills no batch dropped."""
    generator = torch.Generator().manual_seed(seed)
    left = steps
    while left > 0:
        order = torch.randperm(count, generator=generator)
        epoch = order[: count // batch_size * batch_size].view(-1, batch_size)[:left]
        left -= len(epoch)
        yield from epoch


@torch.no_grad()
def representations(objective: Objective, view: Tensor) -> Tensor:
    """The encoder's representations of up to 128 images of a view, as an evaluation would see them."""
    objective.eval()
    with torch.autocast(view.device.type, torch.bfloat16):
        h = objective.encoder(view[:128])
    objective.train()
    return h


def _refuse_non_finite(values: dict[str, float], step: int) -> None:
    broken = [name for name, value in values.items() if value - value != 0]
    if broken:
        raise Refused(f"the loss term '{broken[0]}' is {values[broken[0]]} at step {step}; lower the learning rate")
