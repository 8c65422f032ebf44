"""Read the images of `params.yaml`'s data section once, into arrays: `python -m tasks.prepare`."""

from pathlib import Path

from ssl_core import data
from ssl_core.data.preparing import prepare
from tasks import cells, parameters
from tasks.stage import atomic_folder, stage

RAW = Path("data/raw")


def main() -> None:
    """Write `data/prepared`: the arrays of each split, the card, the contact sheet."""
    config = parameters.load().data
    with atomic_folder(cells.PREPARED) as folder:
        name = Path(config.path).name.split(".")[0] if config.name == "folder" else config.name
        card = prepare(name, data.read(config, RAW), config, folder)
    counts = ", ".join(f"{split} {part['count']:,}" for split, part in card.splits.items())
    skipped = f"; {card.skipped['count']} files skipped, see card.json" if card.skipped["count"] else ""
    print(f"{card.name}: {counts}; {len(card.classes)} classes{skipped}")


if __name__ == "__main__":
    with stage():
        main()
