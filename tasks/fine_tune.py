"""Fine-tune a cell's backbone on a data set's labels: `python -m tasks.fine_tune VARIANT SEED IMAGES`."""

from ssl_core.data import prepared
from ssl_core.evaluation import evaluation
from tasks import cells, probe, weights
from tasks.configuration import configs
from tasks.configuration.configs import Embedding, FineTuning
from tasks.identity import identity
from tasks.stage import arguments, atomic_folder, stage
from tasks.tracking import observations


def main(variant: str, seed: str, images: str) -> None:
    """Write `figures/<cell>/fine_tune/<images>`: figures of the representation that the table shows.

    With which test images are right, and what was chosen. It starts from the linear probe's head, fitted here anew.
    """
    config, cell = configs.read(FineTuning), cells.named(variant, seed)
    device, data = config.compute.use(), prepared.load(cells.PREPARED / images)
    name = configs.read(Embedding, variant).representations[0]
    known = identity("fine_tune", cell, configs.file(FineTuning), *probe.inputs(cell, images, [name]))
    with (
        observations.observing("fine_tune", known, device),
        atomic_folder(cell.figures("fine_tune", images)) as folder,
    ):
        kept = weights.load(cell.folder("pretrain"), name)
        splits = probe.read_splits(data, kept, cell.folder("embed", images) / name, device)
        tuned = evaluation.fine_tune(
            kept.network,
            splits,
            data.card.classes,
            config.label_fractions,
            config.weight_decays,
            config.fine_tuning,
            cell.seed,
        )
        probe.write_figures({name: tuned.figures}, folder)
        probe.write_correct({name: tuned.correct}, folder)
        probe.write_json({name: tuned.choices}, folder / "choices.json")
        (folder / observations.IDENTITY).write_text(known)


if __name__ == "__main__":
    with stage():
        main(*arguments("VARIANT", "SEED", "IMAGES"))
