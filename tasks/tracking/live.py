"""The loss curve of a pretraining in MLflow while it runs, where it runs for long enough to be watched.

It is a courtesy: what is not sent is delivered afterwards, from the files. So all of it happens in a thread that the
pretraining never waits for, and a failure of MLflow's is said once and ends nothing.
"""

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.cells import Cell
from tasks.tracking.store import Store, reason

SHORT_SECONDS = 20.0
"""A pretraining that is over by then is not watched: opening MLflow takes seconds."""
FLUSH_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
"""How long the last values may take at the end."""
Value = tuple[int, str, float]


class Live:
    """Takes what is recorded, and has it sent every few seconds."""

    def __init__(self, cell: Cell, identity: str, dataset: str) -> None:
        self.cell, self.identity, self.dataset = cell, identity, dataset
        self.values: queue.SimpleQueue[Value] = queue.SimpleQueue()
        self.begun, self.over = time.monotonic(), threading.Event()
        self.ending = ("FINISHED", "")
        self.thread = threading.Thread(target=self._send_all, daemon=True)

    def record(self, step: int, values: dict[str, float]) -> None:
        """Note a step's values."""
        for name, value in values.items():
            self.values.put((step, f"pretrain/{name}", float(f"{value:.6g}")))
        if time.monotonic() - self.begun > SHORT_SECONDS and self.thread.ident is None:
            self.thread.start()

    def end(self, status: str, why: str) -> None:
        """Send what is left, for a while; the run then has this status."""
        self.ending = (status, why)
        self.over.set()
        if self.thread.ident is not None:
            self.thread.join(PATIENCE_SECONDS)

    def _send_all(self) -> None:
        try:
            self._send()
        except Exception as error:
            print(f"stopgrad: the curve is not shown in MLflow while it grows ({reason(error)})", file=sys.stderr)

    def _send(self) -> None:
        store = Store(self.dataset)
        found = store.find({"pretrain": self.identity})
        tags = {"pretrain": self.identity, "variant": self.cell.variant, "seed": str(self.cell.seed)}
        run_id = found.info.run_id if found else store.create(self.cell.name, tags | {"superseded": "false"})
        store.client.update_run(run_id, status="RUNNING")
        last = store.last_step(run_id)
        while True:
            over = self.over.wait(FLUSH_SECONDS)
            waiting = [self.values.get() for _ in range(self.values.qsize())]
            store.log(run_id, [value for value in waiting if value[0] > last])
            if over:
                break
        status, why = self.ending
        if why:
            store.tag(run_id, {"ended_because": why})
        store.client.set_terminated(run_id, status)


@contextmanager
def live(cell: Cell, identity: str, dataset: str) -> Iterator[Live]:
    """Watch a pretraining; one that fails marks its run so, one that is killed leaves it running for its retry."""
    watched = Live(cell, identity, dataset)
    try:
        yield watched
    except BaseException as error:
        status, why = ("FAILED", str(error)) if isinstance(error, Exception) else ("KILLED", type(error).__name__)
        watched.end(status, why)
        raise
    watched.end("FINISHED", "")
