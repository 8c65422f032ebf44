"""What fine-tuning sees: batches of labelled images, augmented on the device, with the shares of their classes."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from ssl_core.augmentation import Augment, normalise
from ssl_core.evaluation.config import FineTuningConfig, RandAugmentConfig
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.split import Split
from ssl_core.precision import computed


def batches(train: Split, classes: int, config: FineTuningConfig, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """As many batches as the budget has steps: normalised images [B, 3, H, W], and targets float32 [B, classes].

    RandAugment comes first, then the recipe, then mixup. The seed draws order, crops and mixtures; what RandAugment
    does comes from PyTorch's default generator.
    """
    device = train.images.device
    view = _view(train.images, config, Generator(device).manual_seed(seed))
    mixtures = np.random.default_rng([seed, 1])
    for index in order(len(train), config.batch_size, config.steps(len(train)), seed):
        images = view(index)
        targets = train.kind.wanted(torch.from_numpy(train.labels[index]).to(device), classes)
        if config.mixup:
            share = mixtures.beta(config.mixup, config.mixup)
            partners = torch.from_numpy(mixtures.permutation(len(index))).to(device)
            images, targets = mixed(images, partners, share), mixed(targets, partners, share)
        yield images, targets


def order(count: int, batch_size: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Positions of the batches: a new order every pass, the rest that fills no batch dropped."""
    size = min(batch_size, count)
    generator = np.random.default_rng(seed)
    positions = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(positions) < size:
            positions = generator.permutation(count)
        yield positions[:size]
        positions = positions[size:]


def mixed(batch: Tensor, partners: Tensor, share: float) -> Tensor:
    """Mixup (Zhang et al., 2017, arXiv:1710.09412, equation in section 2): share x + (1 - share) x[partners].

    Of images and of targets alike; the share is drawn from Beta(alpha, alpha), one for a batch as in the authors' code.
    """
    return share * batch + (1 - share) * batch[partners]


def _view(images: Images, config: FineTuningConfig, generator: Generator) -> Callable[[np.ndarray], Tensor]:
    """Makes the images at some positions what the network sees."""
    raw = _randaugmented(images, config.randaugment) if config.randaugment else images.raw
    if config.augmentation is None:
        return lambda index: normalise(raw(index), images.mean, images.std)
    augment, precision = Augment([config.augmentation], images.mean, images.std), computed(images.device)
    return lambda index: augment(raw(index), generator)[0].images.to(precision)


def _randaugmented(images: Images, config: RandAugmentConfig) -> Callable[[np.ndarray], Tensor]:
    """torchvision's RandAugment, drawn for each image by itself: uint8 [B, 3, H, W]."""
    # Imported here: reading a configuration must not cost the seconds that torchvision takes to start.
    from torchvision.transforms.v2 import RandAugment

    change = RandAugment(config.operations, config.magnitude)
    return lambda index: torch.stack([change(image) for image in images.raw(index)])
