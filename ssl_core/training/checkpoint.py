"""Checkpoints: a pretraining that is killed at any instant goes on from the last one.

A file is the SHA-256 digest of its content (32 bytes), then the content as `torch.save` writes it; it is written beside
its place and moved there whole. The two newest are kept: where the newest is damaged, the one before it is used.
Loading runs no code.
"""

import hashlib
import io
import os
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from ssl_core.errors import Refused

KEPT = 2


class Checkpoints:
    """The checkpoints of one pretraining, in a folder of their own."""

    def __init__(self, folder: Path, fingerprint: dict[str, str], every_seconds: float = 60.0) -> None:
        """`fingerprint` names what a run's weights depend on, such as its configuration and its data."""
        self.folder, self.fingerprint, self.every_seconds = folder, fingerprint, every_seconds
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether the time for the next one has come."""
        return time.monotonic() - self.saved >= self.every_seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` steps; a failure (`OSError`) leaves those that are there as they are."""
        written = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, written)
        content = written.getbuffer()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / "partial"
        try:
            with partial.open("wb") as opened:
                opened.write(hashlib.sha256(content).digest())
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            partial.rename(self.folder / f"{step:012}.checkpoint")
        finally:
            partial.unlink(missing_ok=True)
        for old in self._files()[KEPT:]:
            old.unlink()
        self.saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole; None where there is none.

        Raises `Refused` where it is of a run with another fingerprint.
        """
        for file in self._files():
            found = _read(file)
            if found is None:
                file.unlink()  # it would take the place of a whole one
                continue
            other = [name for name, value in self.fingerprint.items() if found["fingerprint"].get(name) != value]
            if other:
                raise Refused(
                    f"the checkpoint {file} is of another {other[0]}, and does not fit this run: remove the folder "
                    f"{self.folder} to begin anew"
                )
            return found["state"]
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("*.checkpoint"), reverse=True)


def _read(file: Path) -> dict[str, Any] | None:
    """The content of a file, None where it is damaged."""
    content = file.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    try:
        return torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return None
