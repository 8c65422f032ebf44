"""Where stages compute."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ssl_core.errors import Refused
from ssl_core.training.iteration import Acceleration

REPAID = 1e16
"""Floating-point operations of a pretraining on a GPU that repay its compilation.

On an H100, half a minute of it is repaid by 2.4 million images of ResNet-18 at 32 pixels, or 0.23 million of ViT-S at
224: by 1.6 or 1.3e16. From the cache, in a next cell of the same shapes, it was seen to take a fifth of that.
"""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where the stages compute, and with how many threads (the figures' last digits depend on all of this).

    `devices`: processes that share a pretraining. `compiled`: auto compiles on a GPU, where that is repaid.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    devices: int = 1
    compiled: Literal["auto", True, False] = "auto"

    def __post_init__(self) -> None:
        if self.threads < 1 or self.devices < 1:
            raise ValueError(f"threads is {self.threads}, devices {self.devices}; at least 1 is needed")

    def use(self) -> torch.device:
        """Set the threads of this process, and give the device. Raises `Refused` where CUDA is asked for and absent."""
        torch.set_num_threads(self.threads)
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise Refused("compute.device is cuda, but PyTorch sees no CUDA device here; set it to auto or cpu")
        device = torch.device("cuda" if available and self.device != "cpu" else "cpu")
        if device.type == "cuda" and self.devices > torch.cuda.device_count():
            raise Refused(f"compute.devices is {self.devices}; this machine has {torch.cuda.device_count()}")
        return device

    def acceleration(self, device: torch.device, operations: float | None) -> Acceleration:
        """How pretraining iterates there: on one GPU as a CUDA graph.

        `operations`: the floating-point ones of the whole pretraining, None where they are not known. Raises `Refused`
        where it shall be compiled and there is nothing to compile with.
        """
        on_gpu, possible = device.type == "cuda", can_compile()
        if self.compiled is True and not possible:
            raise Refused(
                "compute.compiled is true, but there is no C++ compiler with Python's headers here: install g++ and "
                "python3-dev, or set it to auto"
            )
        repaid = on_gpu and possible and (operations is None or operations >= REPAID)
        compiled = repaid if self.compiled == "auto" else self.compiled
        return Acceleration(compiled=compiled, captured=on_gpu and self.devices == 1)


def can_compile() -> bool:
    """Whether `torch.compile` has what it needs: a C++ compiler and Python's headers."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return headers.exists() and any(map(shutil.which, ("g++", "c++", "clang++")))
