"""The pretraining loop: batches of images, an iteration on each, and what is watched, kept and taken up again."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssl_core import parallel
from ssl_core.augmentation import Augment
from ssl_core.collapse import CollapseThresholds
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.progress import Bar
from ssl_core.training import batches, memory, watch
from ssl_core.training import optimiser as optimisation
from ssl_core.training.batches import TrainingImages
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.iteration import Acceleration, Iteration
from ssl_core.training.optimiser import AdamWConfig, OptimiserConfig
from ssl_core.training.run import Run
from ssl_core.training.watch import Record


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Passes over the unlabelled images (a part of one is allowed), images a step, the optimiser.

    A step's batch can be worked through in `accumulate` equal parts, which takes less memory; batch norms and
    objectives that compare images then see a part at a time. From the end of the warm-up on, a collapse (both figures
    below their thresholds, five times in a row) ends the pretraining.
    """

    epochs: float
    batch_size: int = 256
    accumulate: int = 1
    record_every: int = 10
    optimiser: OptimiserConfig = field(default_factory=AdamWConfig)
    collapse: CollapseThresholds = field(default_factory=CollapseThresholds)

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}; it must be 0 or more")
        if self.batch_size < 2 or self.record_every < 1:
            raise ValueError(f"batch_size is {self.batch_size}, record_every {self.record_every}; at least 2 and 1")
        if self.accumulate < 1 or self.batch_size % self.accumulate or self.batch_size < 2 * self.accumulate:
            raise ValueError(
                f"accumulate is {self.accumulate}; it must divide batch_size ({self.batch_size}) into parts of at "
                "least 2 images"
            )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Steps done; seconds of killed processes before, if it was resumed; why it ended before its time, if it did."""

    steps: int = 0
    seconds_before: float = 0.0
    stopped: str | None = None


def pretrain(
    objective: Objective,
    images: TrainingImages,
    labels: Tensor | None,
    augment: Augment,
    config: PretrainingConfig,
    seed: int,
    record: Record,
    checkpoints: Checkpoints | None = None,
    acceleration: Acceleration | None = None,
) -> Outcome:
    """Minimise the sum of an objective's terms over views of `images`, in place; goes on from the last checkpoint.

    `labels`: [N] or [N, L] as `data.targets` has them, on the images' device; None where the objective needs none.
    `record(step, epoch, values)` is given loss terms and diagnostics every `record_every` steps; on a resume, first all
    that were recorded before. Raises `Refused` where a batch cannot be made or does not fit into memory, or a loss is
    not finite.
    """
    if config.epochs == 0:
        return Outcome()
    steps = round(config.epochs * (len(images) // config.batch_size))
    _refuse_impossible_batch(config, len(images), steps)
    parallel.synchronise_batch_norm(objective)
    optimiser = optimisation.build(config.optimiser, objective, objective.constant_rate())
    run = Run(objective, optimiser, torch.Generator(images.device).manual_seed(seed))
    if checkpoints and (state := checkpoints.load()):
        run.restore(state)
    for row in run.history:
        record(*row)
    iteration = Iteration(objective, augment, optimiser, run.generator, config.accumulate, acceleration)
    objective.train()
    watched = watch.watched(images, seed)
    indices = batches.order(len(images), config.batch_size, run.step, steps, seed)
    own_batches = images.batches(_own_rows(index, config.accumulate) for index in indices)
    bar = Bar(own_batches, steps, "step", done=run.step, shown=parallel.share()[0] == 0)
    for index, batch in bar:
        rate = optimisation.follow(optimiser, config.optimiser, run.step, steps, config.batch_size)
        with memory.refusing_what_does_not_fit(objective, batch, augment, config.batch_size, config.accumulate):
            terms = iteration(batch, None if labels is None else labels[batches.on_device(index, images.device)])
        objective.after_step((run.step + 1) / steps)
        if run.step % config.record_every == 0 or run.step == steps - 1:
            values = watch.losses(terms, run.step) | watch.diagnostics(objective, watched, augment)
            epoch = (run.step + 1) * config.batch_size / len(images)
            record(*run.note(epoch, values | {"learning_rate": rate}))
            bar.note(f"loss={values['loss']:.3f}")
        run.step += 1
        collapses = watch.collapses(run.history, config.optimiser.warmup * steps, config.collapse)
        if len(collapses) == watch.PATIENCE:
            return Outcome(steps=run.step, seconds_before=run.seconds_before, stopped=collapses[0])
        if checkpoints and checkpoints.due() and not collapses and parallel.share()[0] == 0:
            watch.refuse_non_finite(iteration.finite, objective, run.step)
            checkpoints.save(run.step, run.state())
    watch.refuse_non_finite(iteration.finite, objective, run.step)
    return Outcome(steps=run.step, seconds_before=run.seconds_before)


def _own_rows(index: np.ndarray, accumulate: int) -> np.ndarray:
    """This process's rows of each part of a batch."""
    rank, ranks = parallel.share()
    return index.reshape(accumulate, ranks, -1)[:, rank].ravel()


def _refuse_impossible_batch(config: PretrainingConfig, count: int, steps: int) -> None:
    ranks = parallel.share()[1]
    if config.batch_size > count:
        raise Refused(f"pretraining.batch_size is {config.batch_size}; there are only {count} images to pretrain on")
    if steps == 0:
        raise Refused(
            f"pretraining.epochs is {config.epochs}, which is not one step: an epoch of {count} images has "
            f"{count // config.batch_size} of pretraining.batch_size {config.batch_size}"
        )
    if config.batch_size % (config.accumulate * ranks):
        raise Refused(
            f"pretraining.batch_size is {config.batch_size}; it must be a multiple of pretraining.accumulate x "
            f"compute.devices ({config.accumulate} x {ranks})"
        )
