"""Images through a network in evaluation mode: representations, or a downstream model's logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ssl_core.augmentation import normalise
from ssl_core.precision import autocast
from ssl_core.progress import Bar

BATCH = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Some of a split's prepared images, handed out in batches on a device.

    `pixels`: uint8 [M, H, W, 3], may be a memory map. `index`: int64 [N], the images that are meant. `mean`, `std`: of
    the three colours, in 0..1.
    """

    pixels: np.ndarray
    index: np.ndarray
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device

    @classmethod
    def of(cls, pixels: np.ndarray, mean: Sequence[float], std: Sequence[float], device: torch.device) -> "Images":
        """All images of a split."""
        return cls(pixels=pixels, index=np.arange(len(pixels)), mean=mean, std=std, device=device)

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: np.ndarray) -> "Images":
        """The images at positions `index` of these."""
        return replace(self, index=self.index[index])

    def raw(self, which: slice | np.ndarray) -> Tensor:
        """Images as prepared: uint8 [B, 3, H, W], channels-last."""
        return torch.from_numpy(self.pixels[self.index[which]]).to(self.device).permute(0, 3, 1, 2)

    def batch(self, which: slice | np.ndarray) -> Tensor:
        """Normalised images: float32 [B, 3, H, W], channels-last."""
        return normalise(self.raw(which), self.mean, self.std)


def embed(network: nn.Module, images: Images, progress: str = "") -> np.ndarray:
    """The network's outputs, float32 [N, D]; `progress` names a progress bar.

    The network is put into evaluation mode on the images' device. It runs in the type that the device computes in,
    so that the figures' last digits depend on that.
    """
    on_device(network, images.device).eval()
    starts = range(0, len(images), BATCH)
    bar = Bar(starts, len(starts), "batch", name=progress, shown=bool(progress))
    return np.concatenate([outputs(network, images, slice(start, start + BATCH)) for start in bar])


def project(head: nn.Module, h: np.ndarray, device: torch.device) -> np.ndarray:
    """What a projector makes of representations float32 [N, D], which may be a memory map: as of the images."""
    head.to(device).eval()
    made = []
    with torch.inference_mode(), autocast(device):
        for start in range(0, len(h), BATCH):
            part = torch.from_numpy(h[start : start + BATCH].copy()).to(device)
            made.append(head(part).float().cpu().numpy())
    return np.concatenate(made)


def outputs(network: nn.Module, images: Images, which: slice) -> np.ndarray:
    """Those of one batch of the images, float32 [B, D], of a network that is on their device and in evaluation mode."""
    with torch.inference_mode(), autocast(images.device):
        return network(images.batch(which)).float().cpu().numpy()


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, moved to the device, its convolutions channels-last."""
    return network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's stub)
