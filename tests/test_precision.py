"""The type that networks compute in."""

import pytest
import torch

from ssl_core.precision import autocast, computed

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("AVX2", torch.float32), ("DEFAULT", torch.float32), ("AVX512", torch.bfloat16)],
)
def test_a_cpu_computes_in_bfloat16_where_its_kernels_are_made_for_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert computed(CPU) == expected
    with autocast(CPU):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected


def test_a_gpu_computes_in_bfloat16() -> None:
    assert computed(torch.device("cuda")) == torch.bfloat16
