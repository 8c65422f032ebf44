"""SimCLR's loop of other libraries' parts: same backbone, batch, recipe and sizes of projector as ours, by SGD.

Each is put together as its library's examples do it, and on its best footing: autocast and channels-last where the
format is bfloat16, no trainer around it that would cost time.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import recipes
from benchmarks.workload import PLAIN, Case
from ssl_core import backbones
from ssl_core.evaluation.embedding import on_device

Loop = Callable[[Case, np.ndarray, int, torch.dtype, torch.device], Callable[[], int]]
"""Of a case, images uint8 [N, H, W, 3], workers, number format and device: an epoch, which gives its images."""
Loss = Callable[[Tensor, Tensor], Tensor]
TEMPERATURE = 0.2
DESCRIBED = (
    "Others' parts are in plain loops around the same backbone: lightly's `SimCLRTransform` and torchvision's `v2` in "
    "a data loader's workers, stable-pretraining's `StackedMultiView` (kornia) on batches; their heads and losses "
    "(torchvision has none: PyTorch's cross-entropy)."
)


def installed() -> dict[str, Loop]:
    """The loops whose libraries are here."""
    return {name: loop for name, (module, loop) in LOOPS.items() if importlib.util.find_spec(module)}


def torchvision(
    case: Case, pixels: np.ndarray, workers: int, precision: torch.dtype, device: torch.device
) -> Callable[[], int]:
    """Its transforms on uint8 tensors, in workers; head and loss are PyTorch's own."""
    transform = v2.Compose([*recipes.torchvision(PLAIN, case.side), *recipes.as_tensor()])
    loader = _loader(Views(pixels, lambda image: [transform(image), transform(image)]), case, workers, device)
    return _epochs(lambda: iter(loader), nt_xent, plain_head(case), case, precision, device, len(pixels))


def lightly(
    case: Case, pixels: np.ndarray, workers: int, precision: torch.dtype, device: torch.device
) -> Callable[[], int]:
    """Its transform on PIL images in workers, its head and loss."""
    transform, to_picture = recipes.lightly(PLAIN, case.side), v2.ToPILImage()
    pictures = [to_picture(torch.from_numpy(image).permute(2, 0, 1)) for image in pixels]
    loader = _loader(Views(pictures, transform), case, workers, device)
    return _epochs(lambda: iter(loader), lightly_loss(), lightly_head(case), case, precision, device, len(pixels))


def stable_pretraining(
    case: Case, pixels: np.ndarray, workers: int, precision: torch.dtype, device: torch.device
) -> Callable[[], int]:
    """Its views of whole batches on the device, by kornia; its loss, and the head of its SimCLR."""
    augment = recipes.stable_pretraining(PLAIN, case.side).to(device)
    stored = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)

    def pairs() -> Iterator[list[Tensor]]:
        for index in torch.randperm(len(stored)).to(device).split(case.batch):
            batch = augment({"image": stored[index].float() / 255})
            yield [view["image"] for view in batch["views"]]

    return _epochs(pairs, stable_loss(), stable_head(case), case, precision, device, len(pixels))


LOOPS: dict[str, tuple[str, Loop]] = {
    "lightly's parts": ("lightly", lightly),
    "stable-pretraining's parts": ("stable_pretraining", stable_pretraining),
    "torchvision's parts": ("torchvision", torchvision),
}
"""By name: the module that must be installed, and the loop."""


def lightly_loss() -> Loss:
    return importlib.import_module("lightly.loss").NTXentLoss(temperature=TEMPERATURE)


def lightly_head(case: Case) -> nn.Module:
    theirs: Any = importlib.import_module("lightly.models.modules")
    return theirs.SimCLRProjectionHead(_size(case), case.projector.width, case.projector.output)


def stable_loss() -> Loss:
    return importlib.import_module("stable_pretraining.losses").NTXEntLoss(temperature=TEMPERATURE)


def stable_head(case: Case) -> nn.Module:
    theirs: Any = importlib.import_module("stable_pretraining.methods.simclr")
    return theirs._build_projector(_size(case), (case.projector.width, case.projector.output))


def plain_head(case: Case) -> nn.Module:
    width = case.projector.width
    first = nn.Linear(_size(case), width, bias=False)
    return nn.Sequential(first, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, case.projector.output))


def nt_xent(z0: Tensor, z1: Tensor) -> Tensor:
    """SimCLR's loss in PyTorch's own functions (arXiv:2002.05709, equation 1)."""
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    similarity = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(z), device=z.device).roll(len(z0)))


def _size(case: Case) -> int:
    return backbones.build(case.backbone, case.side).representation_size


class Views(Dataset[list[Tensor]]):
    """Images one by one, as a data set read from files has them, in two views."""

    def __init__(self, images: Any, transform: Callable[[Any], list[Tensor]]) -> None:
        """`images`: PIL's, or uint8 [N, H, W, 3]."""
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        image = self.images[index]
        return self.transform(torch.from_numpy(image).permute(2, 0, 1) if isinstance(image, np.ndarray) else image)


def _loader(views: Views, case: Case, workers: int, device: torch.device) -> DataLoader:
    return DataLoader(
        views,
        case.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    """As lightly's examples have it."""
    return torch.optim.SGD(network.parameters(), lr=0.06)


def step(
    backbone: nn.Module,
    head: nn.Module,
    loss: Loss,
    precision: torch.dtype,
    device: torch.device,
    optimising: Callable[[nn.Module], torch.optim.Optimizer] = sgd,
) -> Callable[[list[Tensor]], None]:
    """A step on two views, in place."""
    network = nn.Sequential(backbone, head).to(device).train()
    half = precision != torch.float32
    layout = torch.channels_last if half else torch.contiguous_format
    if half:
        on_device(network, device)
    optimiser = optimising(network)

    def made(pair: list[Tensor]) -> None:
        optimiser.zero_grad()
        pair = [view.to(device, non_blocking=True).contiguous(memory_format=layout) for view in pair]
        with torch.autocast(device.type, precision, enabled=half):
            z0, z1 = (network(view) for view in pair)
        loss(z0.float(), z1.float()).backward()
        optimiser.step()

    return made


def _epochs(
    pairs: Callable[[], Iterator[list[Tensor]]],
    loss: Loss,
    head: nn.Module,
    case: Case,
    precision: torch.dtype,
    device: torch.device,
    count: int,
) -> Callable[[], int]:
    """An epoch of steps on pairs of views."""
    torch.manual_seed(0)
    made = step(backbones.build(case.backbone, case.side), head, loss, precision, device)

    def epoch() -> int:
        for pair in pairs():
            made(pair)
        return count

    return epoch
