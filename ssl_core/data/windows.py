"""Images decoded side by side, by all cores, in the order of their reading.

By threads, and from some thousands on by processes: these take a second to start.
"""

import itertools
import os
import queue
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ssl_core.data import memory
from ssl_core.data.source import Content, Encoded, Reading, SourceConfig
from ssl_core.data.spool import MANY, Spool, digest
from ssl_core.data.window import Example, Made, Window, Windowful, completed, decoded, unpacked
from ssl_core.data.worker import Worker

WINDOW = 128
"""Images that a thread is given at once: one by one, small ones cost more to hand over than to decode;"""
WINDOW_BYTES = 2**22
"""but no more bytes of files, so that of large ones each core has some."""
BYTES_AHEAD = 2**27
"""Bytes of files that are read while earlier ones are decoded."""
CORES = 16
"""Cores that are used at most: one that reads files feeds no more, and each worker has 40 MiB."""


def windows(reading: Reading, config: SourceConfig, spool: Spool | None = None) -> Generator[list[Made]]:
    """The reading's images in its order, decoded, some at a time; the next ones are read and decoded meanwhile.

    Those that the spool has are taken from it, and it is given the others.
    """
    pieces = _windows(reading.examples)
    if spool:
        for window, size in pieces:
            if (found := spool.taken(window)) is None:
                pieces = itertools.chain([(window, size)], pieces)
                break
            yield _made(window, found, config)
        spool.cut()
    with _Decoding(config, key=spool is not None) as decoding:
        for window, key, found in decoding.side_by_side(pieces):
            if spool:
                spool.add(key, found)
            yield _made(window, found, config)


class _Decoding:
    """Threads, each of which decodes itself or has a worker do it."""

    def __init__(self, config: SourceConfig, key: bool) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.config, self.key, self.cores = config, key, min(cores, CORES)
        self.pool = ThreadPoolExecutor(self.cores)
        self.idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self.workers: list[Worker] = []

    def __enter__(self) -> "_Decoding":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.end()
        self.pool.shutdown()

    def side_by_side(self, pieces: Iterator[tuple[Window, int]]) -> Iterator[tuple[Window, bytes, Windowful]]:
        """Each window with what it was made from and what was made of it."""
        waiting: deque[tuple[Window, Future[tuple[bytes, Windowful]], int]] = deque()
        held = seen = 0
        for window, size in pieces:
            while waiting and (len(waiting) > 2 * self.cores or held + size > BYTES_AHEAD):
                first, future, of_it = waiting.popleft()
                held -= of_it
                yield first, *future.result()
            seen += len(window)
            if seen > MANY and not self.workers and self.cores > 1 and not isinstance(window[0][1], np.ndarray):
                self._start()
            waiting.append((window, self.pool.submit(self._decoded, window), size))
            held += size
        while waiting:
            first, future, _ = waiting.popleft()
            yield first, *future.result()

    def _start(self) -> None:
        for _ in range(self.cores):
            self.workers.append(Worker(self.config, memory.ALL // self.cores))
            self.idle.put(self.workers[-1])

    def _decoded(self, window: Window) -> tuple[bytes, Windowful]:
        key = digest(window, self.config) if self.key else b""
        if not self.workers or isinstance(window[0][1], np.ndarray):  # drawn pixels cost more to send than to decode
            return key, decoded(window, self.config)
        worker = self.idle.get()
        try:
            found = worker.decode(window)
        finally:
            self.idle.put(worker)
        return key, completed(window, found, self.config)


def _made(window: Window, found: Windowful, config: SourceConfig) -> list[Made]:
    return [(path, one) for path, one in unpacked(window, found, config) if one is not None]


def _windows(examples: Iterator[Example]) -> Iterator[tuple[Window, int]]:
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
