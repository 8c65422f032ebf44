"""What a run of several stages at once prints: what each says behind its name, and how long it took."""

import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows.run import Run, Say
from tasks.comparison.durations import duration

CHATTER = re.compile(r"Running stage|> |\w+ing lock|Stage '.*(is cached|didn't change)|ERROR: failed to repro")
"""Lines in which DVC says what is seen here otherwise."""
PERCENT = re.compile(r"(\d+)%\|")
"""What a progress bar has."""


class Lines:
    """Lines on standard output; below them, on a terminal, one that says how far the stages under way are."""

    def __init__(self) -> None:
        self.terminal, self.lock = sys.stdout.isatty(), threading.Lock()
        self.under_way: dict[str, str] = {}
        self.ended: set[str] = set()

    @contextmanager
    def of(self, stage: str, run: Run) -> Iterator[Say]:
        """Takes the lines of a stage that runs in the block, in any thread; at its end, says how long it took."""
        begun = time.monotonic()
        with self.lock:
            self.under_way[stage] = ""
            self._state()

        def say(line: str) -> None:
            with self.lock:
                if bar := PERCENT.search(line):
                    self.under_way[stage] = f" {bar[1]} %"
                elif not CHATTER.match(line):
                    self._print(f"{stage}: {line}")
                self._state()

        try:
            yield say
        finally:
            with self.lock:
                del self.under_way[stage]
                self.ended.add(stage)
                left = sum(one.due and one.name not in self.ended for one in run.graph.stages)
                how = "not done" if stage in run.undone else duration(time.monotonic() - begun)
                self._print(f"{stage}: {how}{f', {left} to go' if left else ''}")
                self._state()

    def _print(self, line: str) -> None:
        if self.terminal:
            print("\r\033[K", end="")
        print(line, flush=True)

    def _state(self) -> None:
        if self.terminal:
            said = " · ".join(stage + how for stage, how in self.under_way.items())
            print(f"\r\033[K{said[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
