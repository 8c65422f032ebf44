"""How many images are decoded at once, by the memory that they take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 4_000_000
"""Bytes below which nothing is counted."""


class Budget:
    """Bytes that threads share: who wants more than is left waits; who wants more than there are, until he is alone."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0
        self.freed = threading.Condition()

    @contextmanager
    def of(self, wanted: int) -> Iterator[None]:
        """Hold so many bytes."""
        if wanted < SMALL:
            yield
            return
        with self.freed:
            self.freed.wait_for(lambda: not self.used or self.used + wanted <= self.size)
            self.used += wanted
        try:
            yield
        finally:
            with self.freed:
                self.used -= wanted
                self.freed.notify_all()


MEMORY = Budget(2**29)
"""Of decoded images: so one of 400 megapixels is alone."""
