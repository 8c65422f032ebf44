"""Which images come when, and how they get to the device."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_core.training.batches import Resident, Streamed, images, order

CPU = torch.device("cpu")


def test_every_image_comes_once_an_epoch_in_a_new_order() -> None:
    drawn = list(order(count=11, batch_size=5, first=0, steps=4, seed=0))
    assert [len(index) for index in drawn] == [5, 5, 5, 5]
    for epoch in (drawn[:2], drawn[2:]):
        assert max(Counter(np.concatenate(epoch).tolist()).values()) == 1
    assert not np.array_equal(np.concatenate(drawn[:2]), np.concatenate(drawn[2:]))
    assert not np.array_equal(drawn[0], next(order(count=11, batch_size=5, first=0, steps=4, seed=1)))


@pytest.mark.parametrize("first", range(7))
def test_the_order_goes_on_from_any_step(first: int) -> None:
    whole = list(order(count=11, batch_size=5, first=0, steps=7, seed=3))
    rest = list(order(count=11, batch_size=5, first=first, steps=7, seed=3))
    assert len(rest) == 7 - first
    assert all(np.array_equal(a, b) for a, b in zip(whole[first:], rest, strict=True))


@pytest.fixture
def parts(tmp_path: Path) -> list[np.ndarray]:
    """Two memory-mapped arrays, as train and unlabelled images lie on disk."""
    made = []
    for name, count in (("train", 30), ("unlabelled", 20)):
        pixels = np.random.default_rng(count).integers(256, size=(count, 8, 8, 3), dtype=np.uint8)
        np.save(tmp_path / f"{name}.npy", pixels)
        made.append(np.load(tmp_path / f"{name}.npy", mmap_mode="c"))
    return made


def test_streamed_batches_are_the_resident_ones(parts: list[np.ndarray]) -> None:
    resident, streamed = images(parts, CPU), images(parts, CPU, limit=1000)
    assert isinstance(resident, Resident)
    assert isinstance(streamed, Streamed)
    assert len(resident) == len(streamed) == 50
    pairs = zip(resident.batches(order(50, 16, 0, 9, 0)), streamed.batches(order(50, 16, 0, 9, 0)), strict=True)
    everything = np.concatenate(parts)
    for (index, there), (same, read) in pairs:
        assert np.array_equal(index, same)
        assert torch.equal(there, read)
        assert there.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(there.permute(0, 2, 3, 1).numpy(), everything[index])


def test_streaming_reads_a_few_batches_ahead_and_no_more(parts: list[np.ndarray]) -> None:
    asked = 0

    def indices():
        nonlocal asked
        for index in order(50, 5, 0, 40, 0):
            asked += 1
            yield index

    batches = Streamed(parts, CPU).batches(indices())
    next(batches)
    assert 1 < asked <= 4


def test_a_disk_that_cannot_be_read_ends_the_run(parts: list[np.ndarray]) -> None:
    class Unreadable(np.ndarray):
        def __getitem__(self, index: object) -> np.ndarray:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(Streamed([parts[0].view(Unreadable)], CPU).batches(iter([np.array([0, 1])])))
