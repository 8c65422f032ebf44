"""Public data sets by torchvision's names: put into `data/raw` by hand, or downloaded there where they still can be."""

import hashlib
import io
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ssl_core.data import kinds
from ssl_core.data.decode import explained
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.spellings import TEST, TRAIN, UNLABELLED, VAL
from ssl_core.data.structure import Place
from ssl_core.errors import Refused

WINDOW = 64
"""Images that are read side by side."""
LISTED = 100
"""Files that the card names one by one; more are one entry."""


class Published(NamedTuple):
    """torchvision's class, what it reads in `data/raw`, its arguments for each split, and whether it can download."""

    kind: str
    files: tuple[str, ...]
    splits: dict[str, dict[str, Any]]
    downloads: bool = True


def _split(**names: str) -> dict[str, dict[str, Any]]:
    return {split: {"split": name} for split, name in names.items()}


HALVES: dict[str, dict[str, Any]] = {TRAIN: {"train": True}, TEST: {"train": False}}
ONE_POOL: dict[str, dict[str, Any]] = {TRAIN: {}}
TWO = _split(train="train", test="test")
THREE = TWO | {VAL: {"split": "val"}}
PUBLISHED = {
    "caltech101": Published("Caltech101", ("caltech101",), ONE_POOL),
    "cifar10": Published("CIFAR10", ("cifar-10-batches-py",), HALVES),
    "cifar100": Published("CIFAR100", ("cifar-100-python",), HALVES),
    "country211": Published("Country211", ("country211",), TWO | {VAL: {"split": "valid"}}),
    "dtd": Published("DTD", ("dtd",), THREE),
    "emnist": Published("EMNIST", ("EMNIST",), {half: {"split": "balanced"} | HALVES[half] for half in HALVES}),
    "eurosat": Published("EuroSAT", ("eurosat",), ONE_POOL),
    "fer2013": Published("FER2013", ("fer2013",), TWO, downloads=False),
    "fgvc_aircraft": Published("FGVCAircraft", ("fgvc-aircraft-2013b",), THREE),
    "flowers102": Published("Flowers102", ("flowers-102",), THREE),
    "food101": Published("Food101", ("food-101",), TWO),
    "gtsrb": Published("GTSRB", ("gtsrb",), TWO),
    # Accuracies are published of its val; it has no test.
    "imagenette": Published("Imagenette", ("imagenette2",), _split(train="train", test="val")),
    "kmnist": Published("KMNIST", ("KMNIST",), HALVES),
    "mnist": Published("MNIST", ("MNIST",), HALVES),
    "oxford_iiit_pet": Published("OxfordIIITPet", ("oxford-iiit-pet",), _split(train="trainval", test="test")),
    "pcam": Published("PCAM", ("pcam",), THREE),
    "qmnist": Published("QMNIST", ("QMNIST",), HALVES),
    "rendered_sst2": Published("RenderedSST2", ("rendered-sst2",), THREE),
    "stanford_cars": Published("StanfordCars", ("stanford_cars",), TWO, downloads=False),
    "stl10": Published("STL10", ("stl10_binary",), TWO | {UNLABELLED: {"split": "unlabeled"}}),
    "svhn": Published("SVHN", ("train_32x32.mat", "test_32x32.mat"), TWO),
    "usps": Published("USPS", ("usps.bz2", "usps.t.bz2"), HALVES),
}
"""Sets of classes whose images torchvision gives in one order on every machine (SUN397 comes as a disk lists it)."""


@dataclass(frozen=True, kw_only=True)
class TorchvisionSetConfig(SourceConfig):
    """A set that torchvision reads, in the splits it is published in; of STL-10 the unlabelled images too."""

    source: Literal[
        "caltech101", "cifar10", "cifar100", "country211", "dtd", "emnist", "eurosat", "fer2013", "fgvc_aircraft",
        "flowers102", "food101", "gtsrb", "imagenette", "kmnist", "mnist", "oxford_iiit_pet", "pcam", "qmnist",
        "rendered_sst2", "stanford_cars", "stl10", "svhn", "usps",
    ]  # fmt: skip


def read(config: TorchvisionSetConfig, raw: Path) -> Reading:
    """All images of the set's splits. Raises `Refused` where its files are neither there nor to be downloaded."""
    published = PUBLISHED[config.source]
    try:
        with offline_is_quick():
            splits = {split: _opened(published, raw, arguments) for split, arguments in published.splits.items()}
    except Exception as error:  # whatever torchvision, and what it reads with, make of files that lack or are damaged
        raise Refused(
            f"{config.source} cannot be read, nor downloaded ({' '.join(str(error).split()).rstrip('.')}): put "
            f"{' and '.join(published.files)} in {raw}, as torchvision's {published.kind} has it, or take the source "
            "folder or shapes"
        ) from None
    return Reading(
        examples=(example for split, images in splits.items() for example in _examples(split, images)),
        count=sum(map(len, splits.values())),
        sources=_sources(raw, published.files),
    )


def _opened(published: Published, raw: Path, arguments: dict[str, Any]) -> Any:
    """The images of a split as torchvision reads them; downloaded, if they are not there or not whole."""
    import torchvision.datasets as sets

    kind: Any = getattr(sets, published.kind)
    try:
        images = kind(raw, **arguments)
    except (RuntimeError, OSError):
        if not published.downloads:
            raise
        images = kind(raw, download=True, **arguments)
    if isinstance(images, sets.ImageFolder):  # which lists all that is called .jpg, a Mac's ._1.jpg too
        images.samples = [one for one in images.samples if not kinds.not_meant(Path(one[0]).name)]
    return images


def _examples(split: str, images: Any) -> Iterator[tuple[str, Encoded]]:
    """A split's images with their classes' names, which are numbers where torchvision knows none."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), WINDOW):
            window = range(start, min(start + WINDOW, len(images)))
            for i, (image, name) in zip(window, pool.map(partial(_image, images), window), strict=True):
                path = f"{split}/{i:05}" if name is None else f"{split}/{name.replace('/', ' or ')}/{i:05}"
                yield path, replace(image, place=Place(split, name))


def _image(images: Any, i: int) -> tuple[Encoded, str | None]:
    """An image as torchvision gives it, and its class."""
    try:
        image, label = images[i]
        content = Encoded(np.asarray(image))
    except Exception as error:  # whatever a damaged file makes Pillow raise, the next one is read
        return Encoded(b"", trouble=explained(error)), None
    if label is None or int(label) < 0:
        return content, None
    names = getattr(images, "classes", None) or getattr(images, "categories", None)
    name = names[int(label)] if names else label
    return content, str(name[0] if isinstance(name, tuple) else name)


def _sources(raw: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """The files that the images are of; of many, one entry."""
    paths = [path for name in names for path in ((raw / name).rglob("*") if (raw / name).is_dir() else [raw / name])]
    files = sorted(path for path in paths if path.is_file())
    digests = {file: sha256(file) for file in files}
    if len(files) <= LISTED:
        return [described(file, digests[file]) for file in files]
    listed = "".join(f"{file.relative_to(raw).as_posix()}\0{digest}\n" for file, digest in digests.items())
    size = sum(file.stat().st_size for file in files)
    return [{"file": " ".join(names), "bytes": size, "sha256": hashlib.sha256(listed.encode()).hexdigest()}]


@contextmanager
def offline_is_quick() -> Iterator[None]:
    """Give up on a network that does not answer within ten seconds, without torchvision's own words about it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)
