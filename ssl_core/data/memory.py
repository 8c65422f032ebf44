"""How many images are decoded at once, by the memory that they take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 4_000_000
"""Bytes below which nothing is counted."""
ALL = 2**29
"""Bytes of decoded images at once: so one of 400 megapixels is alone."""


class TooLargeHereError(Exception):
    """An image is to be decoded by the process that counts the memory of all."""


class Budget:
    """Bytes that threads share: who wants more than is left waits; who wants more than there are, until he is alone.

    Of a worker's `share` nobody is alone: who wants more raises `TooLargeHereError`.
    """

    def __init__(self, size: int, share: bool = False) -> None:
        self.size, self.share, self.used = size, share, 0
        self.freed = threading.Condition()

    @contextmanager
    def of(self, wanted: int) -> Iterator[None]:
        """Hold so many bytes."""
        if wanted < SMALL:
            yield
            return
        if self.share and wanted > self.size:
            raise TooLargeHereError
        with self.freed:
            self.freed.wait_for(lambda: not self.used or self.used + wanted <= self.size)
            self.used += wanted
        try:
            yield
        finally:
            with self.freed:
                self.used -= wanted
                self.freed.notify_all()


MEMORY = Budget(ALL)
