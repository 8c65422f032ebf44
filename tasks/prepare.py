"""Read a data set once, into arrays: `python -m tasks.prepare IMAGES`."""

from pathlib import Path

from ssl_core import data
from ssl_core.data.contact_sheet import said
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.errors import Refused
from tasks import compiler, lacking
from tasks.cells import PREPARED
from tasks.configuration import configs
from tasks.configuration.configs import Preparing
from tasks.stage import arguments, atomic_folder, stage

RAW = Path("data/raw")
SHOWN = 12
"""Classes whose images are counted in a line."""


def main(images: str) -> None:
    """Write `data/prepared/<images>`: the arrays of each split, the card, the contact sheet; say what was read."""
    config = configs.read(Preparing, images).data
    source = Path(config.path).expanduser() if isinstance(config, FolderConfig) else None
    kept = PREPARED / f".{images}.decoded"
    with atomic_folder(PREPARED / images) as folder:
        card = prepare(images, data.read(config, RAW), config, folder, source, refuse, kept)
        print("\n".join([*said(card), *counted(card)]))
        lacking.refuse(card)


def refuse(card: Card) -> None:
    """Raise `Refused` as `lacking.refuse`, after the counts that it is about."""
    try:
        lacking.refuse(card)
    except Refused:
        print("\n".join(counted(card)))
        raise


def counted(card: Card) -> list[str]:
    """The images of each class in each split, a line a split, of as many classes as a line is read of; or numbers."""
    lines = []
    for split, part in card.splits.items():
        if numbers := part.get("numbers"):
            least, greatest, mean = (f"{numbers[which]:.4g}" for which in ("least", "greatest", "mean"))
            lines.append(f"{split}: {card.classes[0]} from {least} to {greatest}, {mean} on average")
            continue
        counts = [f"{name} {count:,}" for name, count in zip(card.classes, part["per_class"], strict=True) if count]
        what = "labels" if card.target == "labels" else "classes"
        more = f", and {len(counts) - SHOWN:,} more {what}" if len(counts) > SHOWN else ""
        if counts:
            lines.append(f"{split}: {', '.join(counts[:SHOWN])}{more}")
    return lines


if __name__ == "__main__":
    with stage():
        compiler.defer()
        main(*arguments("IMAGES"))
