"""Compute a cell's representations of a data set's images: `python -m tasks.embed VARIANT SEED IMAGES`."""

from typing import cast

import numpy as np
from torch import nn

from ssl_core.data import prepared
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import Images, embed, project
from tasks import cells, compiler, weights
from tasks.configuration import configs
from tasks.configuration.configs import Embedding
from tasks.identity import identity
from tasks.stage import arguments, atomic_folder, stage
from tasks.tracking import observations


def main(variant: str, seed: str, images: str) -> None:
    """Write `cells/<cell>/embed/<images>`: of each representation, float32 [N, D] of each split, `<split>.npy`."""
    config, cell = configs.read(Embedding, variant), cells.named(variant, seed)
    device, kept = config.compute.use(), cell.folder("pretrain")
    data = prepared.load(cells.PREPARED / images)
    read = [configs.file(Embedding, variant), data.folder / "card.json", *sorted(kept.glob("*.safetensors"))]
    known = identity("embed", cell, *read)
    with (
        observations.observing("embed", known, device) as observed,
        atomic_folder(cell.folder("embed", images)) as folder,
        atomic_folder(cell.figures("embed", images)) as figures,
    ):
        for name in sorted(config.representations):
            made = weights.load(kept, name)
            (folder / name).mkdir()
            for split in ("train", "val", "test"):
                shown = Images.of(data.images(split), made.mean, made.std, device)
                before = folder / "backbone" / f"{split}.npy"
                if name == "projector" and before.exists():  # which is nearly all of its work
                    h = project(cast("nn.Sequential", made.network)[1], np.load(before, mmap_mode="r"), device)
                else:
                    h = embed(made.network, shown, progress=f"{name}, {split}")
                    observed.images = (observed.images or 0) + len(h)
                if not np.isfinite(h).all():
                    raise Refused(f"the {name} of {cell.name} gives figures that are not finite: pretraining diverged")
                np.save(folder / name / f"{split}.npy", h)
        (figures / observations.IDENTITY).write_text(known)


if __name__ == "__main__":
    with stage():
        compiler.defer()
        main(*arguments("VARIANT", "SEED", "IMAGES"))
