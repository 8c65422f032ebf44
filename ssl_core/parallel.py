"""Data-parallel pretraining: what the processes of one run share. Alone, a process is rank 0 of 1 and nothing is sent.

Every process holds an equal, contiguous part of each batch, and draws what one process would draw for the whole batch,
so that N processes compute what one does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn


def share() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def launched() -> bool:
    """Whether torchrun started this process."""
    return "LOCAL_RANK" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes that torchrun started, if it did; gives the device that is this process's own."""
    if not launched():
        yield device
        return
    backend = "gloo"
    if device.type == "cuda":
        backend, device = "nccl", torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group(backend)
    try:
        yield device
    except RuntimeError as error:
        if "closed by peer" in str(error) or isinstance(error, distributed.DistBackendError):
            raise SystemExit(1) from None  # another process ended, and has said why
        raise
    finally:
        distributed.destroy_process_group()


def gather(z: Tensor) -> Tensor:
    """The rows of all processes [R x N, …] of this one's [N, …], in the batch's order, with gradients to all."""
    return z if share()[1] == 1 else _Gather.apply(z)


def mean(values: Tensor) -> Tensor:
    """The mean over the processes, without gradients."""
    ranks = share()[1]
    if ranks > 1:
        values = values.clone()
        distributed.all_reduce(values)
        values /= ranks
    return values


def drawn(draw: Callable[..., Tensor], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """This process's rows of what `draw(shape, device=device)` gives for the whole batch; `shape[0]` is its own."""
    (rank, ranks), rows = share(), shape[0]
    return draw((ranks * rows, *shape[1:]), device=device)[rank * rows : (rank + 1) * rows]


def synchronise_batch_norm(module: nn.Module) -> None:
    """Have every batch norm inside `module` take its statistics over the batches of all processes, in place.

    Alone, nothing changes. The layers keep their parameters and names. Without it a contrastive objective can tell the
    images of one process apart by their statistics, and N processes would not compute what one does.
    """
    if share()[1] == 1:
        return
    if next(module.parameters()).is_cuda:
        _conversion(module)(module)
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                synchronised = _BatchNorm(child.num_features, child.eps, child.momentum, child.affine)
                for behind, part in child.named_children():
                    synchronised.add_module(behind, part)
                synchronised.load_state_dict(child.state_dict())
                synchronised.requires_grad_(any(p.requires_grad for p in child.parameters()))
                setattr(parent, name, synchronised)


def _conversion(module: nn.Module) -> Callable[[nn.Module], nn.Module]:
    """PyTorch's, which would lose the activations that timm has inside its batch norms, or timm's."""
    if not any(type(child).__module__.startswith("timm.") for child in module.modules()):
        return nn.SyncBatchNorm.convert_sync_batchnorm
    from timm.layers.norm_act import convert_sync_batchnorm

    return convert_sync_batchnorm


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        parts = [torch.empty_like(z) for _ in range(share()[1])]
        distributed.all_gather(parts, z.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Each process's loss depends on all rows; DistributedDataParallel divides the sum by the number of processes.
        gradient, (rank, ranks) = gradients[0].clone(memory_format=torch.contiguous_format), share()
        distributed.all_reduce(gradient)
        return gradient.chunk(ranks)[rank]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        distributed.all_reduce(gradient)
        return gradient


class _BatchNorm(nn.BatchNorm2d):
    """Over all processes on a CPU, where PyTorch has none; of inputs [N, C] as well as [N, C, H, W].

    What it has inside (timm's batch norms: an activation) comes behind it.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of sides."""

    def forward(self, input: Tensor) -> Tensor:
        normed = self._over_all(input) if self.training else super().forward(input)
        for part in self.children():
            normed = part(normed)
        return normed

    def _over_all(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        x, axes = input.float(), [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = share()[1] * x.numel() / x.shape[1]
        centre = _Sum.apply(x.sum(axes)) / count
        centred = x - centre.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(centre, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
            self.num_batches_tracked += 1
        normed = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(input.dtype)
