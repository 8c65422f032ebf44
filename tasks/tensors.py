"""Files of weights that people have, read without running code: safetensors, and what `torch.save` wrote."""

import argparse
import hashlib
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ssl_core.errors import Refused

SAFE = ".safetensors"
SAVED = (".pth", ".pt", ".bin", ".ckpt", ".tar")
"""How the names of PyTorch's own files end; `.pth.tar` is one of them."""
KINDS = "a .safetensors file, or one that torch.save wrote (.pth, .pt, .bin, .ckpt)"


class Read(NamedTuple):
    """All tensors of a file by name, on the CPU; and what a safetensors file says beside them.

    Nested mappings, as `{"state_dict": {"conv1.weight": …}}`, become names with dots: `state_dict.conv1.weight`.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read(file: Path) -> Read:
    """Read a file of weights. Raises `Refused` where it is none, is damaged, or could be read only by running code."""
    refuse_others(file)
    found = _safetensors(file) if file.suffix == SAFE else Read(dict(_flat(_saved(file))), {})
    if not found.tensors:
        raise Refused(f"{file} has no tensors in it, and so no weights")
    return found


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bytes, whatever the order."""
    made = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        made.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        made.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return made.hexdigest()


def refuse_others(file: Path) -> None:
    """Raise `Refused` where there is no such file, or one that does not end as a file of weights."""
    if file.is_dir():
        raise Refused(f"{file} is a folder; {KINDS} is needed")
    if not file.exists():
        raise Refused(f"{file} is not there")
    if file.suffix not in (SAFE, *SAVED):
        raise Refused(f"{file} ends in '{file.suffix}'; {KINDS} is needed")


def _safetensors(file: Path) -> Read:
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
            return Read(tensors, opened.metadata() or {})
    except SafetensorError as error:
        raise Refused(f"{file} is damaged, or no safetensors file ({error})") from None


def _saved(file: Path) -> Any:
    """What `torch.save` wrote, if it is tensors in plain containers; a Namespace, as of a command's options, is one."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise Refused(
                f"{file} is a pickle that would run code ({wanted[1]}), and was not run: where you trust it, load it "
                "yourself, and save its tensors as safetensors"
            ) from None
        raise Refused(f"{file} is damaged, or was not written by torch.save") from None
    except Exception as error:  # whatever a damaged file makes of PyTorch's reader
        if "TorchScript" in str(error):
            raise Refused(f"{file} is a TorchScript program; save its state_dict's tensors as safetensors") from None
        raise Refused(f"{file} is damaged, or was not written by torch.save") from None


def _flat(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield ".".join(path), content.detach()
    elif isinstance(content, dict):
        for key, inner in content.items():
            yield from _flat(inner, (*path, str(key)))
