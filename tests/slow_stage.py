"""Stands for a stage that is killed: like the stub, but writes slowly, with a process of its own that writes too.

It notes in `witness` what must not be: that the same stage runs twice beside itself.
"""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks.stub_stage import digest, paths  # pyright: ignore[reportMissingImports]: copied there

from tasks.stage import atomic_file, stage

WITNESS = Path("witness")
SECONDS = 0.4


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Note where another process is in the block with this name."""
    WITNESS.mkdir(exist_ok=True)
    with (WITNESS / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (WITNESS / f"{name} ran twice").touch()
        yield


def main(name: str, arguments: list[str]) -> None:
    """Write the digest a character at a time."""
    digested = digest(name, arguments)
    with alone("-".join([name, *arguments])), ExitStack() as whole:
        files = [whole.enter_context(atomic_file(path)) for path in paths(name, "outs", arguments)]
        loader = subprocess.Popen([sys.executable, "-m", "tasks.loader", str(WITNESS / "loaded")])
        for character in digested:
            for file in files:
                with file.open("a") as opened:
                    opened.write(character)
            if loader.poll() is not None:
                sys.exit("the loader is gone")
            time.sleep(SECONDS / len(digested))
        loader.kill()
        loader.wait()


if __name__ == "__main__":
    with stage():
        main(Path(sys.argv[0]).stem, sys.argv[1:])
