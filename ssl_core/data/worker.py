"""A process that decodes windows of images for the one that reads them: `python -m ssl_core.data.worker`.

Threads decode small images no faster than one does, as Python runs one of them at a time. A worker imports no more than
decoding needs, is told its share of the memory, and lives as long as the pipe that it reads: when what started it ends,
however, so does it.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from ssl_core.data import memory
from ssl_core.data.source import SourceConfig
from ssl_core.data.window import Window, Windowful, decoded
from ssl_core.errors import Refused


class Worker:
    """The other end of a worker."""

    def __init__(self, config: SourceConfig, share: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ssl_core.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            process_group=0,  # a terminal's Ctrl-C is for the one that reads
        )
        self._send((config, share))

    def decode(self, window: Window) -> Windowful:
        """A window decoded there; as `decoded`."""
        self._send(window)
        assert self.process.stdout
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise _ended() from None

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _send(self, what: Any) -> None:
        assert self.process.stdin
        try:
            pickle.dump(what, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise _ended() from None


def _ended() -> Refused:
    return Refused(
        "a process that decodes images was ended from outside, as a system does that runs out of memory: run the same "
        "command again, and it goes on"
    )


def main() -> None:
    """Decode what comes in until nothing does."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no window
    config, share = pickle.load(source)
    memory.MEMORY.size, memory.MEMORY.share = share, True
    while True:
        try:
            window = pickle.load(source)
        except EOFError:
            return
        try:
            pickle.dump(decoded(window, config), sink, pickle.HIGHEST_PROTOCOL)
            sink.flush()
        except BrokenPipeError:
            os._exit(1)


if __name__ == "__main__":
    main()
