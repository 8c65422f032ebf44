"""Sends a pretraining's curve to MLflow while it grows: started by `tasks.tracking.live`, by nobody else.

It reads lines of JSON, `[step, name, value]` or at the end `[status, why]`, and sends them every few seconds. What
fails is said once, kept, and sent with the next; what is sent twice is one value in MLflow. It ends with its parent.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

PARENT_DEATH_SIGNAL = 1


@dataclass
class Curve:
    """What was read and is not sent yet, and how the pretraining ended, where it has."""

    values: list[tuple[int, str, float]] = field(default_factory=list)
    ending: tuple[str, str] | None = None
    over: bool = False
    partial: bytes = b""

    def read(self, seconds: float) -> None:
        """Read what comes in so many seconds, or until the end."""
        until = time.monotonic() + seconds
        while not self.over and select.select([0], [], [], max(0.0, until - time.monotonic()))[0]:
            came = os.read(0, 1 << 16)
            *lines, self.partial = (self.partial + came).split(b"\n")
            for line in map(json.loads, lines):
                if len(line) == 2:
                    self.ending = (line[0], line[1])
                else:
                    self.values.append((line[0], line[1], line[2]))
            self.over = not came or self.ending is not None


class Run:
    """The run of a pretraining, found or begun when the first values are sent."""

    def __init__(self, variant: str, seed: str, identity: str, dataset: str) -> None:
        self.dataset, self.identity, self.found = dataset, identity, None
        self.tags = {"pretrain": identity, "variant": variant, "seed": seed, "superseded": "false"}
        self.name = f"{variant}-{seed}"
        experiment = os.environ.get("DVC_EXP_NAME")
        if experiment:  # several experiments may have the same cell at once
            self.tags["dvc_experiment"] = experiment
            self.name += f" ({experiment})"

    def send(self, curve: Curve) -> None:
        """Send the values, and the ending; what was sent is taken out of the curve."""
        from tasks.tracking.store import BATCH

        store, run = self.found or self._open()
        self.found = None  # until all went well: else it is asked for anew
        if curve.values:
            store.tag(run.info.run_id, {"superseded": "false"})
        while curve.values:
            store.log(run, curve.values[:BATCH])
            del curve.values[:BATCH]
        if curve.ending:
            status, why = curve.ending
            if why:
                store.tag(run.info.run_id, {"ended_because": why})
            store.end(run.info.run_id, status)
        self.found = (store, run)

    def _open(self) -> tuple[Any, Any]:
        """The store, and the run that this pretraining began, now running again, or a new one."""
        from tasks.tracking.store import Store

        store = Store(self.dataset)
        begun = store.begun(self.identity)
        run = begun[0] if begun else store.create(self.name, self.tags)
        store.client.update_run(run.info.run_id, status="RUNNING")
        return store, run


def main(variant: str, seed: str, identity: str, dataset: str, flush_seconds: str, parent: str) -> None:
    """Send until the parent says how it ended, or is gone."""
    _end_with(int(parent))
    curve, run, said = Curve(), Run(variant, seed, identity, dataset), False
    while not curve.over:
        curve.read(float(flush_seconds))
        if curve.over and curve.ending is None:
            return  # the pretraining was killed; its retry goes on in the same run
        try:
            run.send(curve)
        except Exception as error:
            if not said:
                from tasks.tracking.reasons import reason

                why = f"the curve is not in MLflow now, and is sent later ({reason(error)})"
                print(f"stopgrad: {why}", file=sys.stderr, flush=True)
            said = True


def _end_with(parent: int) -> None:
    """Be killed when the parent dies (Linux; elsewhere its pipe's end tells), but not by an interruption."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(19)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
