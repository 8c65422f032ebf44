"""How many cells run at once on this machine, and on which GPUs."""

import os

import torch

from ssl_core.errors import Refused
from tasks.configuration.compute import Compute


def usual(compute: Compute) -> int:
    """How many cells run at once where nobody says otherwise: one on each GPU; on CPUs, cores by threads."""
    return 1 if gpu_groups(compute) else max(1, cores() // (compute.threads * compute.devices))


def slots(compute: Compute, at_once: int) -> list[dict[str, str]]:
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
