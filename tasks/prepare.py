"""Read a data set once, into arrays: `python -m tasks.prepare IMAGES`."""

from pathlib import Path

from ssl_core import data
from ssl_core.data.preparing import prepare
from ssl_core.errors import Refused
from tasks.cells import PREPARED
from tasks.configuration import configs
from tasks.configuration.configs import Preparing
from tasks.stage import arguments, atomic_folder, stage

RAW = Path("data/raw")


def main(images: str) -> None:
    """Write `data/prepared/<images>`: the arrays of each split, the card, the contact sheet."""
    config = configs.read(Preparing, images)
    with atomic_folder(PREPARED / images) as folder:
        card = prepare(images, data.read(config.data, RAW), config.data, folder)
        if config.labels_needed and not card.classes:
            raise Refused(
                f"params.yaml: images names '{images}' to be evaluated on, and it has no labels: give it class "
                "folders, or take it out"
            )
    counts = ", ".join(f"{split} {part['count']:,}" for split, part in card.splits.items())
    skipped = f"; {card.skipped['count']} files skipped, see card.json" if card.skipped["count"] else ""
    print(f"{card.name}: {counts}; {len(card.classes)} classes{skipped}")


if __name__ == "__main__":
    with stage():
        main(*arguments("IMAGES"))
