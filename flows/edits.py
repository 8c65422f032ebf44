"""Whether what a user writes is still what it was when a run began."""

from typing import Any

from ssl_core.errors import Refused
from tasks.configuration import files


class Written:
    """The files that decide what a run does, as they were when this was made; comments do not count."""

    def __init__(self) -> None:
        self.files = (files.GRAPH, files.PARAMS, files.METHODS, files.active_suite())
        self.bytes = {file: file.read_bytes() for file in self.files}
        self.content: dict[Any, Any] = {file: files.read(file) for file in self.files}

    @property
    def suite(self) -> str:
        """The name of the suite that was active."""
        return self.files[-1].stem

    def check(self) -> None:
        """Raise `Refused` where one was edited since: what would run now is no longer what was begun."""
        for file in self.files:
            there = file.read_bytes() if file.exists() else b""
            if there != self.bytes[file]:
                if not there or files.read(file) != self.content[file]:
                    raise Refused(f"{file} was edited while the pipeline ran: what was done stays; run it again")
                self.bytes[file] = there
