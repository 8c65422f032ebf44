"""Tables as data, and the Markdown that shows them."""

import datetime
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


@dataclass(kw_only=True)
class Section:
    """One table: what was measured, its columns and rows, one sentence of what it means, and the figures behind."""

    title: str
    measured: str
    columns: Sequence[str] = ()
    rows: list[list[str]] = field(default_factory=list)
    meaning: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        table = [self.columns, ["---"] * len(self.columns), *self.rows] if self.rows else []
        lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
        return "\n\n".join(part for part in (f"## {self.title}", self.measured, lines, self.meaning) if part)


Report = Callable[[Section], None]
"""Is given a table whenever there is something new in it."""


def page(title: str, introduction: str, sections: Iterable[Section]) -> str:
    """A whole page of sections."""
    return "\n\n".join([f"# {title}", introduction, *(section.markdown() for section in sections)]) + "\n"


def machine(packages: Sequence[str]) -> str:
    """The date, the processor or GPU, and the versions of what is installed of some packages."""
    versions = ", ".join(f"{name} {version}" for name in packages if (version := _version(name)))
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {_processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads{_gpus()}; Python {platform.python_version()}, {versions}."
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> str:
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "".join(f", {name}" for name in names)
