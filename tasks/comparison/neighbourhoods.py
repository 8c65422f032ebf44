"""Where images lie in a representation: a 2-D map of test images, and the nearest training images of a few."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from ssl_core.data import targets
from ssl_core.data.prepared import Prepared

MAPPED, QUERIES, NEAREST = 600, 6, 5
SAME = {
    "class": "Green: the same class; orange and dashed: another.",
    "labels": "Green: a label in common; orange and dashed: none.",
    "number": "",
}
"""What the frames of neighbours say, by what images are labelled with."""
COLOURED = {
    "class": "",
    "labels": " An image has the colour of the rarest of its labels, and is grey without one.",
    "number": " The brighter a point, the larger its image's number.",
}


def embedding_map(representations: Path) -> np.ndarray | None:
    """Up to 600 test images in two dimensions [N, 2] by t-SNE; None where there is nothing to map:
    the folder has no representations, or they are few or all the same.

    Van der Maaten and Hinton, 2008, as scikit-learn has it, from the first two principal components.
    """
    file = representations / "test.npy"
    if not file.exists():
        return None
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    h = np.load(file, mmap_mode="r")
    h = np.array(h[_spread(len(h), MAPPED)], dtype=np.float32)
    if len(h) < 10 or not np.ptp(h, axis=0).any():
        return None
    h = (h - h.mean(axis=0)) / h.std(axis=0).clip(1e-6)
    # So few points are mapped many times faster by one thread than by several that wait for each other.
    with threadpool_limits(1):
        return TSNE(init="pca", random_state=0, perplexity=min(30, len(h) // 4), max_iter=500).fit_transform(h)


def mapped_labels(data: Prepared) -> np.ndarray:
    """The labels of the images on the map, [N], by which they are coloured: of several an image its rarest."""
    labels = data.labels("test")
    if data.card.target == "labels":
        rarest = targets.strata(labels)
        labels = np.where(rarest < len(data.card.classes), rarest, -1)
    return labels[_spread(len(labels), MAPPED)]


def nearest(representations: Path, data: Prepared) -> list[list[tuple[str, bool | None]]]:
    """For six test images: the image, then its five nearest training images by cosine, as data URIs.

    Beside each, whether its class is the query's, or one of its labels; None where labels are missing, or numbers.
    Empty where the folder has no representations.
    """
    files = {split: representations / f"{split}.npy" for split in ("train", "test")}
    if not all(file.exists() for file in files.values()):
        return []
    train, test = (np.load(files[split], mmap_mode="r") for split in ("train", "test"))
    queries = _spread(len(test), QUERIES)
    similarity = _normalised(np.array(test[queries])) @ _normalised(np.array(train)).T
    found = np.argsort(-similarity, axis=1, kind="stable")[:, :NEAREST]
    pictures, labels = {s: data.images(s) for s in files}, {s: data.labels(s) for s in files}
    rows = []
    for query, members in zip(queries, found, strict=True):
        row: list[tuple[str, bool | None]] = [(picture(pictures["test"][query]), None)]
        for member in members:
            row.append((picture(pictures["train"][member]), _same(labels["test"][query], labels["train"][member])))
        rows.append(row)
    return rows


def _same(own: np.ndarray, other: np.ndarray) -> bool | None:
    """Whether an image's labels have anything in common with another's."""
    match targets.target(np.stack([own, other])):
        case "class":
            return bool(own == other) if own >= 0 else None
        case "labels":
            return bool(((own == 1) & (other == 1)).any()) if own[0] >= 0 else None
        case "number":
            return None


def picture(pixels: np.ndarray) -> str:
    """An image uint8 [H, W, 3] as a data URI."""
    written = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(written, "PNG")
    return data_uri(written.getvalue())


def data_uri(png: bytes | Path) -> str:
    """A PNG that a page can hold."""
    content = png.read_bytes() if isinstance(png, Path) else png
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _spread(count: int, wanted: int) -> np.ndarray:
    """Up to `wanted` places, evenly spread over 0 … count - 1: the same ones for every variant."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(np.int64))


def _normalised(h: np.ndarray) -> np.ndarray:
    return h / np.linalg.norm(h, axis=1, keepdims=True).clip(1e-12)
