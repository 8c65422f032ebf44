"""The floating-point type that networks compute in: bfloat16 where the device has it, else float32."""

import torch


def computed(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU and on a CPU with AVX-512, whose kernels are faster in it; float32 on any other.

    On a CPU with AVX2 alone, a convolution forward and backward was seen to take 12 times as long in bfloat16.
    """
    if device.type == "cpu" and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return torch.float32
    return torch.bfloat16


def autocast(device: torch.device) -> torch.autocast:
    """Autocast to the type that the device computes in; none where that is float32."""
    precision = computed(device)
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)
