"""What a batch needs of the device's memory, and what to say when it has not enough."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ssl_core import parallel
from ssl_core.augmentation import Augment
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.precision import autocast, computed
from ssl_core.training.batches import free_memory

MEASURED = 8
"""Images whose memory is measured."""
USABLE = 0.7
"""The share of the free memory that saved activations may take; gradients and workspaces take the rest."""


@contextmanager
def refusing_what_does_not_fit(
    objective: Objective, images: Tensor, augment: Augment, batch_size: int, accumulate: int
) -> Iterator[None]:
    """Turn running out of memory into `Refused`, with the batch that fits by estimate."""
    try:
        yield
        return
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
    # Here, not in the handler: the exception holds the failed step's tensors.
    raise Refused(
        f"a batch of {batch_size} images in {accumulate} parts does not fit into the memory of {images.device}: "
        f"{_advice(_fitting(objective, images, augment, batch_size // accumulate), batch_size, accumulate)}"
    )


def _fitting(objective: Objective, images: Tensor, augment: Augment, part: int) -> int:
    """Images of a part that fits, by estimate; where several processes would have to measure, half of what did not."""
    if parallel.share()[1] > 1:
        return max(2, part // 2)
    for parameter in objective.parameters():
        parameter.grad = None
    if images.is_cuda:
        torch.cuda.empty_cache()
    try:
        measured = bytes_per_image(objective, images[:MEASURED], augment)
    except (RuntimeError, ValueError):  # the objective does not take so few images
        return max(2, part // 2)
    fits = USABLE * free_memory(images.device) / measured
    return max(2, min(int(fits), part // 2))


def _advice(fits: int, batch_size: int, accumulate: int) -> str:
    """The two settings that help: fewer images a step, or more parts, as many as divide the batch."""
    ranks = parallel.share()[1]
    parts = [n for n in range(accumulate + 1, batch_size // 2 + 1) if batch_size % (n * ranks) == 0]
    enough = next((n for n in parts if batch_size / n <= fits), None)
    lower = f"lower pretraining.batch_size to about {fits * accumulate}"
    return lower if enough is None else f"{lower}, or raise pretraining.accumulate to {enough}"


def bytes_per_image(objective: Objective, images: Tensor, augment: Augment) -> float:
    """What a training step keeps for its backward pass, by the image; measured on a few (uint8 [B, 3, H, W])."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    parameters = {p.untyped_storage().data_ptr() for p in objective.parameters()}
    views = [view.to(computed(images.device)) for view in augment(images, torch.Generator(images.device))]
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with saved_tensors_hooks(note, lambda t: t), autocast(images.device):
        terms = objective(views, labels)
    del terms
    total = sum(size for pointer, size in kept.items() if pointer not in parameters)
    return (total + sum(view.images.nbytes for view in views)) / len(images)
