"""Ends the servers of `make serve` where that is killed: `python -m flows.guard`, told their groups on standard input.

The input ends with the process that writes to it, however that ends. A server has processes of its own, so that a
signal at its parent's death, which one process gets, would leave those.
"""

import os
import signal
import sys
import time
from contextlib import suppress

PATIENCE_SECONDS = 3.0


def main() -> None:
    """Wait for the end of the input, then end what is left of the groups that it named, one a line."""
    groups = [int(line) for line in sys.stdin]
    _tell(groups, signal.SIGTERM)
    until = time.monotonic() + PATIENCE_SECONDS
    while any(map(_lives, groups)) and time.monotonic() < until:
        time.sleep(0.1)
    _tell(groups, signal.SIGKILL)


def _tell(groups: list[int], number: signal.Signals) -> None:
    for group in reversed(groups):
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def _lives(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


if __name__ == "__main__":
    main()
