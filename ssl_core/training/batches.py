"""Batches of images on the device that trains: which images, and how they get there."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ssl_core import parallel

MEMORY = Path("/proc/meminfo")
AHEAD = 3
"""Batches that are read while the device works on the current one."""


def order(count: int, batch_size: int, first: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Indices int64 [batch_size] of the batches `first` … `steps` - 1.

    A new order every epoch, the rest that fills no batch dropped. An epoch's order depends on the seed and the epoch
    alone, so that a resumed run goes on with the very same batches.
    """
    per_epoch = count // batch_size
    shuffled = np.empty(0, dtype=np.int64)
    for step in range(first, steps):
        epoch, place = divmod(step, per_epoch)
        if step == first or place == 0:
            shuffled = np.random.default_rng([seed, epoch]).permutation(count)
        yield shuffled[place * batch_size : (place + 1) * batch_size]


class TrainingImages(Protocol):
    """Images that batches are taken from."""

    device: torch.device

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batches(self, indices: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Each index int64 [B], with its images uint8 [B, 3, H, W], channels-last, on the device."""
        ...


class Resident:
    """All images on the device: a batch is one gather, and nothing is copied from the host."""

    def __init__(self, parts: Sequence[np.ndarray], device: torch.device) -> None:
        """`parts`: uint8 [N, H, W, 3] each; their images are numbered one part after the other."""
        self.device = device
        self.pixels = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=torch.uint8, device=device)
        start = 0
        for part in parts:
            self.pixels[start : start + len(part)] = torch.from_numpy(part)
            start += len(part)

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, indices: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Each index with its images."""
        for index in indices:
            yield index, self.pixels[on_device(index, self.device)].permute(0, 3, 1, 2)


class Streamed:
    """Images that stay on disk, memory-mapped: a thread reads the next batches while the device works on this one.

    For a GPU they pass through page-locked memory, from which the copy runs beside the computation.
    """

    def __init__(self, parts: Sequence[np.ndarray], device: torch.device) -> None:
        """`parts`: uint8 [N, H, W, 3] each, memory maps; their images are numbered one part after the other."""
        self.device, self.parts = device, parts
        self.starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batches(self, indices: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Each index with its images."""
        with ThreadPoolExecutor(1, "images") as pool:
            under_way = []
            for index in indices:
                under_way.append((index, pool.submit(self._read, index)))
                if len(under_way) > AHEAD:
                    index, read = under_way.pop(0)
                    yield index, self._to_device(read.result())
            for index, read in under_way:
                yield index, self._to_device(read.result())

    def _read(self, index: np.ndarray) -> Tensor:
        pixels = torch.empty(
            len(index), *self.parts[0].shape[1:], dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        part = np.searchsorted(self.starts, index, side="right") - 1
        for number, images in enumerate(self.parts):
            rows = np.flatnonzero(part == number)
            pixels.numpy()[rows] = images[index[rows] - self.starts[number]]
        return pixels

    def _to_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)


def images(parts: Sequence[np.ndarray], device: torch.device, limit: int | None = None) -> TrainingImages:
    """The images of all parts: on the device where they take at most `limit` bytes, streamed from disk otherwise.

    By default the limit is half of the memory that is free now.
    """
    wanted = sum(part.nbytes for part in parts)
    # Processes on one CPU share its memory.
    sharing = 1 if device.type == "cuda" else parallel.share()[1]
    fitting = free_memory(device) // (2 * sharing) if limit is None else limit
    return Resident(parts, device) if wanted <= fitting else Streamed(parts, device)


def on_device(index: np.ndarray, device: torch.device) -> Tensor:
    """An index as a tensor on the device; the host does not wait for the copy."""
    copied = torch.from_numpy(index)
    return copied.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else copied


def free_memory(device: torch.device) -> int:
    """Bytes of memory that are free on the device; on a CPU whose system does not say, half of what there is."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if MEMORY.exists():
        (available,) = (line.split()[1] for line in MEMORY.read_text().splitlines() if line.startswith("MemAvailable:"))
        return int(available) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
