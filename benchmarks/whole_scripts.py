"""What a user of each library writes to get from a folder of JPEG files to figures on test: `whole` times them.

`python -m benchmarks.whole_scripts LIBRARY FOLDER EPOCHS` prints the accuracies of probe and k-NN as JSON.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks import heads, loops, recipes
from benchmarks.heads import Features, Head
from benchmarks.sharing import SMALL
from benchmarks.workload import PLAIN
from ssl_core import backbones

RATE, DECAY = 2e-3, 1e-4
CPU, HALF = torch.device("cpu"), torch.bfloat16
WORKERS = os.cpu_count() or 1
WHOLE = [v2.ToImage(), *recipes.as_tensor()]


def adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY, fused=True)


def stopgrad(folder: Path, epochs: int) -> dict[str, float]:
    """Our core in a script: decoded once, batches and views on whole batches."""
    from benchmarks import arrays
    from benchmarks.cell import Cell, Method, probe
    from ssl_core.objectives.simclr import SimCLRConfig
    from ssl_core.training.optimiser import AdamWConfig

    found = arrays.load(folder, Path("arrays"))
    method = Method(
        objective=SimCLRConfig(name="simclr", projector=SMALL.projector),
        backbone=SMALL.backbone,
        recipes=(PLAIN,),
        optimiser=AdamWConfig(learning_rate=RATE, weight_decay=DECAY),
        batch=SMALL.batch,
    )
    cell = Cell(
        method=method, arrays=found, splits=("train",), epochs=epochs, seed=0, folder=Path("checkpoints"), device=CPU
    )
    objective, _ = cell.pretrain(10**9, lambda *_: None)
    train, val, test = (cell.split(objective.encoder, name) for name in ("train", "val", "test"))
    given = Features(
        train=train.representations,
        train_labels=torch.from_numpy(train.labels),
        test=test.representations,
        test_labels=torch.from_numpy(test.labels),
        classes=found.classes,
    )
    return {"probe": probe(train, val, test, found.classes), "knn": heads.our_knn(given)}


def lightly(folder: Path, epochs: int) -> dict[str, float]:
    """Its transform in workers, head, loss, probe and k-NN."""
    transform = recipes.lightly(PLAIN, SMALL.side)
    head, loss = loops.lightly_head(SMALL), loops.lightly_loss()
    return _plain(folder, epochs, transform, head, loss, heads.lightly_probe, heads.lightly_knn)


def torchvision(folder: Path, epochs: int) -> dict[str, float]:
    """Its transforms in workers, PyTorch's head and loss, scikit-learn's probe and k-NN."""
    one = v2.Compose([v2.ToImage(), *recipes.torchvision(PLAIN, SMALL.side), *recipes.as_tensor()])
    head = loops.plain_head(SMALL)
    return _plain(
        folder,
        epochs,
        lambda image: [one(image), one(image)],
        head,
        loops.nt_xent,
        heads.sklearn_probe,
        heads.sklearn_knn,
    )


def _plain(
    folder: Path,
    epochs: int,
    transform: Callable[[Any], list[Tensor]],
    head: nn.Module,
    loss: loops.Loss,
    probe: Head,
    nearest: Head,
) -> dict[str, float]:
    """A loop over a data loader, then the representations of both splits."""
    torch.manual_seed(0)
    backbone = backbones.build(SMALL.backbone, SMALL.side)
    step = loops.step(backbone, head, loss, HALF, CPU, adamw)
    loader = DataLoader(
        ImageFolder(folder / "train", transform),
        SMALL.batch,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    for _ in range(epochs):
        for pair, _ in loader:
            step(pair)
    backbone.eval()
    train, train_labels = _embedded(backbone, folder / "train")
    test, test_labels = _embedded(backbone, folder / "test")
    given = Features(
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=int(train_labels.max()) + 1,
    )
    return {"probe": probe(given), "knn": nearest(given)}


def _embedded(backbone: nn.Module, folder: Path) -> tuple[Tensor, Tensor]:
    loader = DataLoader(ImageFolder(folder, v2.Compose(WHOLE)), SMALL.batch, num_workers=WORKERS)
    with torch.inference_mode(), torch.autocast("cpu", HALF):
        made = [(backbone(images.contiguous(memory_format=torch.channels_last)), labels) for images, labels in loader]
    return torch.cat([h.float() for h, _ in made]), torch.cat([labels for _, labels in made])


def stable(folder: Path, epochs: int) -> dict[str, float]:
    """Its module and online callbacks by Lightning's trainer, its kornia views on batches."""
    import lightning  # pyright: ignore[reportMissingImports]
    import stable_pretraining as spt  # pyright: ignore[reportMissingImports]
    import torchmetrics  # pyright: ignore[reportMissingImports]
    from stable_pretraining import forward  # pyright: ignore[reportMissingImports]

    lightning.seed_everything(0)
    stored = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    sets = {
        "train": spt.data.FromTorchDataset(
            ImageFolder(folder / "train", stored),
            names=["image", "label"],
            gpu_transform=recipes.stable_pretraining(PLAIN, SMALL.side),
        ),
        "val": spt.data.FromTorchDataset(ImageFolder(folder / "test", v2.Compose(WHOLE)), names=["image", "label"]),
    }
    classes, count = len(sets["train"].dataset.classes), len(sets["train"])
    loaders = {
        name: DataLoader(
            each,
            SMALL.batch,
            shuffle=name == "train",
            drop_last=name == "train",
            num_workers=WORKERS,
            persistent_workers=True,
        )
        for name, each in sets.items()
    }
    backbone = backbones.build(SMALL.backbone, SMALL.side)
    module = spt.Module(
        backbone=backbone,
        projector=loops.stable_head(SMALL),
        forward=forward.simclr,
        simclr_loss=loops.stable_loss(),
        optim={"optimizer": {"type": "AdamW", "lr": RATE, "weight_decay": DECAY}, "scheduler": "ConstantLR"},
    )

    def accuracy() -> dict[str, Any]:
        return {"accuracy": torchmetrics.classification.MulticlassAccuracy(classes, average="micro")}

    probe = spt.callbacks.OnlineProbe(
        module,
        name="probe",
        input="embedding",
        target="label",
        probe=nn.Linear(backbone.representation_size, classes),
        loss=nn.CrossEntropyLoss(),
        metrics=accuracy(),
    )
    nearest = spt.callbacks.OnlineKNN(
        name="knn",
        input="embedding",
        target="label",
        queue_length=2 * count,
        metrics=accuracy(),
        input_dim=backbone.representation_size,
        num_classes=classes,
        k=heads.NEIGHBOURS,
        temperature=heads.TEMPERATURE,
        distance_metric="cosine",
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        check_val_every_n_epoch=epochs,
        num_sanity_val_steps=0,
        precision="bf16-mixed",
        accelerator="cpu",
        callbacks=[probe, nearest],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=spt.data.DataModule(**loaders))
    reached = trainer.callback_metrics
    return {kind: float(reached[f"eval/{kind}_accuracy"]) for kind in ("probe", "knn")}


if __name__ == "__main__":
    library, images, passes = sys.argv[1:]
    print(json.dumps(globals()[library](Path(images), int(passes))))
