"""Where half precision would lose what is asked for."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast inside: it takes matrix products of float32 tensors back to bfloat16."""
    # Tensors of shapes only (a step that is counted and not run) know no autocast. Asking PyTorch which devices know
    # it would break a compiled objective in two.
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
