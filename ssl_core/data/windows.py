"""Images decoded side by side, by all cores, in the order of their reading."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ssl_core.data.decode import Picture, decode, explained
from ssl_core.data.source import Content, Encoded, Reading, SourceConfig

WINDOW = 128
"""Images that a thread is given at once: one by one, small ones cost more to hand over than to decode;"""
WINDOW_BYTES = 2**22
"""but no more bytes of files, so that of large ones each core has some."""
BYTES_AHEAD = 2**27
"""Bytes of files that are read while earlier ones are decoded."""

Example = tuple[str, Content]
Made = tuple[str, Picture | str]
"""The path of an image, and what `decode` makes of it, or a word on why that is none."""


def windows(reading: Reading, config: SourceConfig) -> Iterator[list[Made]]:
    """The reading's images in its order, decoded, some at a time; the next ones are read and decoded meanwhile."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[Future[list[Made]], int]] = deque()
    held = 0
    with ThreadPoolExecutor(cores) as pool:
        for window, size in _windows(reading.examples):
            while waiting and (len(waiting) > 2 * cores or held + size > BYTES_AHEAD):
                first, of_it = waiting.popleft()
                held -= of_it
                yield first.result()
            waiting.append((pool.submit(_decoded, window, config), size))
            held += size
        while waiting:
            yield waiting.popleft()[0].result()


def _windows(examples: Iterator[Example]) -> Iterator[tuple[list[Example], int]]:
    """Some examples, and how many bytes they are."""
    window: list[Example] = []
    size = 0
    for path, content in examples:
        window.append((path, content))
        size += _size(content)
        if len(window) == WINDOW or size > WINDOW_BYTES:
            yield window, size
            window, size = [], 0
    if window:
        yield window, size


def _size(content: Content) -> int:
    found = content.content if isinstance(content, Encoded) else content
    return found.nbytes if isinstance(found, np.ndarray) else len(found)


def _decoded(window: list[Example], config: SourceConfig) -> list[Made]:
    return [(path, _decode(content, config)) for path, content in window]


def _decode(content: Content, config: SourceConfig) -> Picture | str:
    try:
        return decode(content, config.image_size, config)
    except Exception as error:  # whatever a damaged file makes Pillow raise, the next file is read
        return explained(error)
