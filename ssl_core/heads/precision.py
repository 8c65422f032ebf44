"""Where half precision would lose what is asked for."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast inside: it takes matrix products of float32 tensors back to bfloat16."""
    # Tensors of shapes only (a step that is counted and not run) know no autocast.
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
