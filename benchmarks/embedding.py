"""Representations with file names (`make export EMBED=…`), beside the same network's alone: images a second.

Both read one prepared split and take turns; that with names also writes parquet.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.page import Section
from benchmarks.timing import rate_rows, ratio, take_turns
from benchmarks.workload import MEAN, STD, images
from ssl_core import backbones
from ssl_core.backbones import ResNetConfig
from ssl_core.data import prepared
from ssl_core.data.prepared import Card, Prepared
from ssl_core.evaluation.embedding import Images, embed
from tasks.exporting import embeddings
from tasks.weights import Kept

SIDE, WIDTH = 32, 16
ALONE, NAMED = "representations alone", "with file names, as parquet"


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    count, rounds = (512, 1) if quick else (8192, 7)
    rates = measure(count, rounds)
    share = ratio(rates[NAMED], rates[ALONE])
    return Section(
        title="Embedding",
        measured=f"ResNet-10 of width {WIDTH}, {count:,} images of {SIDE} px: images/s, {rounds} rounds in turns.",
        columns=["", "images/s: median (least–greatest)", f"times {ALONE}"],
        rows=rate_rows(rates, ALONE),
        meaning=f"Names and parquet leave {share.text('.2f')} of the rate.",
    )


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of both in each round."""
    torch.manual_seed(0)
    network = backbones.build(ResNetConfig(name="resnet10", width=WIDTH), SIDE).eval()
    kept = Kept(network=network, image_size=SIDE, mean=MEAN, std=STD)
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        data = _prepared(Path(scratch), count)
        described = {"num_features": json.dumps(network.representation_size)}

        def alone() -> int:
            return len(embed(network, Images.of(data.images("test"), kept.mean, kept.std, device)))

        def named() -> int:
            file = Path(scratch) / "embeddings.parquet"
            return embeddings.write(embeddings.prepared_images(data), kept, device, file, described)

        return take_turns({ALONE: alone, NAMED: named}, rounds)


def _prepared(folder: Path, count: int) -> Prepared:
    card = Card(
        name="drawn",
        image_size=SIDE,
        classes=["a", "b"],
        splits={"test": {"count": count}},
        mean=MEAN,
        std=STD,
        grey=False,
        original_sizes={},
        sources=[],
        skipped={},
    )
    (folder / "card.json").write_text(json.dumps(asdict(card)))
    np.save(folder / "test_images.npy", images(count, SIDE))
    np.save(folder / "test_labels.npy", np.arange(count) % 2)
    names = (json.dumps(f"test/a folder/image-{i:08d}.jpg") for i in range(count))
    (folder / "test_files.jsonl").write_text("\n".join(names))
    return prepared.load(folder)


if __name__ == "__main__":
    print(section(quick=False).markdown())
