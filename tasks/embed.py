"""Compute one cell's representations of the prepared images: `python -m tasks.embed VARIANT SEED`."""

import sys

import numpy as np

from ssl_core.data import prepared
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import Images, embed
from tasks import cells, parameters, tracking, weights
from tasks.observations import observing
from tasks.stage import atomic_folder, stage


def main(variant: str, seed: str) -> None:
    """Write `cells/<cell>/embed`: the representations float32 [N, D] of each split, `<split>.npy`."""
    settings = parameters.load()
    cell = parameters.cell(settings, variant, seed)
    device = settings.compute.use()
    with (
        tracking.cell_run(settings, cell, "embed"),
        observing(cells.identity(cells.read(), cell), "embed", device) as observed,
        atomic_folder(cell.folder("embed")) as folder,
    ):
        data = prepared.load(cells.PREPARED)
        backbone = weights.load(cell.folder("pretrain") / "backbone.safetensors")
        for split in ("train", "val", "test"):
            images = Images.of(data.images(split), data.card.mean, data.card.std, device)
            representations = embed(backbone, images, progress=split)
            if not np.isfinite(representations).all():
                raise Refused(f"the backbone of {cell.name} gives figures that are not finite: pretraining diverged")
            np.save(folder / f"{split}.npy", representations)
            observed.images = (observed.images or 0) + len(representations)


if __name__ == "__main__":
    with stage():
        main(*sys.argv[1:])
