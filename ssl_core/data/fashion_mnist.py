"""Fashion-MNIST (Xiao et al., 2017, arXiv:1708.07747): 70,000 grey images of clothes, 28 pixels, ten classes.

Tried in this order: the files in `data/raw`; torchvision's download; Debian's package, fetched without root.
"""

import gzip
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_core.data.source import Reading, SourceConfig, described
from ssl_core.data.torchvision_sets import offline_is_quick, sha256
from ssl_core.errors import Refused

PACKAGE = "dataset-fashion-mnist"


@dataclass(frozen=True, kw_only=True)
class FashionMNISTConfig(SourceConfig):
    """Nothing of its own to set."""

    source: Literal["fashion_mnist"]


def read(config: FashionMNISTConfig, raw: Path) -> Reading:
    """All 70,000 images. Raises `Refused` where none of the three ways leads to the files."""
    folder = raw / "FashionMNIST" / "raw"
    splits = _open(raw)
    if splits is None:
        _fetch_debian_package(folder)
        splits = _open(raw)
    if splits is None:
        raise Refused(
            "Fashion-MNIST is neither in data/raw, nor can it be downloaded, nor fetched with `apt-get download "
            f"{PACKAGE}`: put its four files, unpacked, in {folder}, or take the source shapes, which is drawn offline"
        )
    return Reading(
        examples=_examples(splits),
        count=sum(map(len, splits)),
        sources=[described(file, sha256(file)) for file in sorted(folder.glob("*-ubyte"))],
    )


def _open(raw: Path) -> list[Any] | None:
    """Train and test as torchvision reads them, from the files or its download; None without either."""
    from torchvision.datasets import FashionMNIST

    try:
        with offline_is_quick():
            return [FashionMNIST(str(raw), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError):
        return None


def _examples(splits: list[Any]) -> Iterator[tuple[str, np.ndarray]]:
    for name, images in zip(("train", "test"), splits, strict=True):
        for i, (image, label) in enumerate(zip(images.data.numpy(), images.targets.tolist(), strict=True)):
            # The class "T-shirt/top" must not read as two folders.
            yield f"{name}/{images.classes[label].replace('/', ' or ')}/{i:05}", image


def _fetch_debian_package(folder: Path) -> None:
    """Put the package's files in `folder`; nothing happens where apt-get is missing or reaches no package."""
    if shutil.which("apt-get") is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        fetched = subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=scratch, capture_output=True, check=False)
        packages = list(Path(scratch).glob("*.deb"))
        if fetched.returncode != 0 or not packages:
            return
        unpack_deb(packages[0], Path(scratch) / "tree")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (Path(scratch) / "tree").rglob("*-ubyte.gz"):
            # Debian compresses the files anew, which torchvision takes for damage; unpacked, they are the same.
            (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))


def unpack_deb(package: Path, into: Path) -> None:
    """Put a Debian package's files below `into`, with dpkg-deb or, where there is none, by reading its ar archive."""
    if shutil.which("dpkg-deb") is not None:
        subprocess.run(["dpkg-deb", "-x", str(package), str(into)], check=True, capture_output=True)
        return
    content = package.read_bytes()
    place = 8  # after the ar archive's own mark
    while place < len(content):
        header = content[place : place + 60]
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            data = Path(f"{into}.{name}")
            data.write_bytes(content[place + 60 : place + 60 + size])
            into.mkdir(parents=True)
            with tarfile.open(data) as archive:
                for member in archive:
                    if content_of := archive.extractfile(member):
                        (into / Path(member.name).name).write_bytes(content_of.read())
            return
        place += 60 + size + size % 2
    raise Refused(f"{package.name} is no Debian package that can be read here: install dpkg, or take the source shapes")
