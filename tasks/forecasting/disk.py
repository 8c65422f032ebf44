"""How much disk a suite takes: its cells' weights and representations, in the project and in DVC's cache."""

import fcntl
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks.forecasting import lock, seen

FICLONE = 0x40049409
"""Linux' request to share a file's blocks with another (ioctl_ficlone(2))."""


def kept(kind: str, variant: dict[str, Any], representations: list[str], images: str, image_size: int) -> float | None:
    """Bytes that a stage keeps for others: float32 weights, or float32 representations; None while N is not known.

    embed: N x D x 4 of each representation. pretrain: the backbone's parameters, and its teacher's as many.
    """
    if kind not in ("pretrain", "embed"):
        return 0.0
    # Here, because they take seconds to import; where such a cell was seen, it is known without.
    from pydantic import TypeAdapter

    from ssl_core import backbones

    config: Any = TypeAdapter(backbones.BackboneConfig).validate_python(variant["backbone"])
    objective = variant["objective"]
    if kind == "pretrain":
        network = backbones.unreal(lambda: backbones.build(config, image_size))
        return 4.0 * sum(p.numel() for p in network.parameters()) * (2 if objective.get("momentum") else 1)
    h, projector = config.representation_size, objective.get("projector")
    widths = {"projector": projector["output"] if projector else h}
    count = sum(seen.counted(images).get(split, 0) for split in ("train", "val", "test"))
    return 4.0 * count * sum(widths.get(name, h) for name in representations) if count else None


def copies() -> int:
    """How often DVC keeps the bytes of an output: once where its cache is linked, twice where it is copied.

    By its setting `cache.type`; without, it tries reflinks, which few file systems have, and copies.
    """
    first = lock.setting("cache", "type", "reflink,copy").split(",")[0].strip()
    return 1 if first in ("hardlink", "symlink") or (first == "reflink" and _reflinks(Path(".dvc"))) else 2


def _reflinks(folder: Path) -> bool:
    """Whether files of a folder can share their blocks."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        source.write(b"stopgrad")
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError:
            return False
    return True
