"""The downstream model: a backbone, a linear head, and the one switch between the two protocols."""

from typing import Literal

import torch
from torch import Tensor, nn

Protocol = Literal["feature_extraction", "fine_tuning"]


class LinearHead(nn.Module):
    """Representations [B, D] to logits [B, classes], float32 also under autocast: standardised, then linear.

    The mean and standard deviation are those of the labelled training representations, and are not trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, representations: Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", representations.mean(dim=0))
        std = representations.std(dim=0, correction=0)
        # A dimension that is constant here may vary on other images: it must not be blown up there.
        self.register_buffer("std", torch.where(std > 1e-4 * std.max(), std, 1.0))
        self.linear = nn.Linear(representations.shape[1], classes, device=representations.device)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def standardise(self, h: Tensor) -> Tensor:
        """Zero mean and unit variance, as on the labelled training representations."""
        return (h.float() - self.mean) / self.std

    def forward(self, h: Tensor) -> Tensor:
        """Logits of the classes."""
        with torch.autocast(h.device.type, enabled=False):
            return self.linear(self.standardise(h))


class Downstream(nn.Module):
    """What both protocols evaluate.

    Under feature extraction the backbone's output is a constant. The embed stage has computed it once, so there the
    backbone is `nn.Identity` and the inputs are stored representations.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, protocol: Protocol) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.protocol = protocol

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes."""
        h = self.backbone(x)
        h = h.detach() if self.protocol == "feature_extraction" else h
        return self.head(h)
