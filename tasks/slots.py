"""How many cells run at once on this machine, and on which GPUs."""

import os

import psutil
import torch

from ssl_core.errors import Refused
from tasks.configuration import files, parameters
from tasks.configuration.compute import Compute

CELL_BYTES = 2 * 2**30
"""What a small cell takes at its peak, with room beside it."""


def asked(slots: str = "") -> list[dict[str, str]]:
    """The environment of each cell that runs at once, as params.yaml and the machine have it; or of so many, a number.

    Raises `Refused` where it is no number, or there is no place for as many.
    """
    compute = declared()
    if slots and not slots.isdecimal():
        raise Refused(f"SLOTS is {slots}; a number of cells at once is needed, 1 to {cores()}")
    return environments(compute, int(slots) if slots else usual(compute))


def declared() -> Compute:
    """What params.yaml says of it."""
    return parameters.load(files.read(files.PARAMS)).compute


def usual(compute: Compute) -> int:
    """How many cells run at once where nobody says otherwise: one on each GPU; on CPUs, by cores and by memory."""
    if gpu_groups(compute):
        return 1
    room = psutil.virtual_memory().available // CELL_BYTES
    return max(1, min(cores() // (compute.threads * compute.devices), room))


def environments(compute: Compute, at_once: int) -> list[dict[str, str]]:
    """The environment of each cell that runs at once; `at_once`: how many, on each GPU if there are any.

    On GPUs each environment names the `compute.devices` GPUs that a stage sees. Raises `Refused` where the machine has
    no place for as many.
    """
    if not 1 <= at_once <= cores():
        raise Refused(f"slots is {at_once}; this machine has {cores()} cores: 1 to {cores()} are allowed")
    if groups := gpu_groups(compute):
        return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups] * at_once
    # Threads that wait by spinning would take the cores from those that work.
    crowded = at_once * compute.threads * compute.devices > cores()
    return [{"OMP_WAIT_POLICY": "passive"} if crowded else {}] * at_once


def cores() -> int:
    """How many this machine has."""
    return os.cpu_count() or 1


def gpu_groups(compute: Compute) -> list[list[str]]:
    """The GPUs that this process sees, `compute.devices` to a group; none where stages compute on CPUs."""
    count = 0 if compute.device == "cpu" else torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")[:count]
    return [named[i : i + compute.devices] for i in range(0, count - compute.devices + 1, compute.devices)]
