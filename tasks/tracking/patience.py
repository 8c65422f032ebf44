"""How long a store is waited for: not while it does nothing, and not for ever while it does little."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_SECONDS, WHOLE_SECONDS = 60.0, 300.0
AGAIN_SECONDS = 5.0


class Silence(BaseException):
    """The store is waited for no longer. No `Exception`: libraries that try again after one would swallow it."""


@contextmanager
def bounded() -> Iterator[Callable[[float], None]]:
    """Raise `Silence` in the block once the store was silent for a minute, or after five.

    Gives what is called whenever the store has done something, with the seconds that the next thing may take longer.
    Only the main thread can be interrupted: in another there is no bound.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: None
        return
    until = time.monotonic() + WHOLE_SECONDS

    def went_on(longer: float) -> None:
        left = max(min(SILENT_SECONDS, until - time.monotonic()), 0.001)
        # Again: the first may be swallowed where Python cannot raise, in a destructor.
        signal.setitimer(signal.ITIMER_REAL, left + longer, AGAIN_SECONDS)

    def give_up(*_: object) -> None:
        over = time.monotonic() > until
        said = f"more than {WHOLE_SECONDS:g} s in all" if over else f"nothing was heard for {SILENT_SECONDS:g} s"
        raise Silence(f"the store is too slow: {said}")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        went_on(0)
        yield went_on
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
