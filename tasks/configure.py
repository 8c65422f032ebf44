"""Resolve and validate all that is written: `python -m tasks.configure`; with a variant's name, print it instead.

Writes `configs`: a file a variant, data set and stage. What was validated is what runs: each stage reads its own file.
"""

import json
import sys

from ssl_core.errors import Refused
from tasks.configuration import configs, files, layers, listing, resolve, weighed
from tasks.configuration.resolve import Configuration, Resolved
from tasks.stage import atomic_folder, stage


def main() -> None:
    """Write the configurations of the active suite."""
    configuration = resolve.load()
    weighed.remove_others(configuration.parameters.weights)
    refuse_misfits(configuration)
    listing.watch(files.read(files.PARAMS))
    with atomic_folder(files.CONFIGS) as folder:
        configs.write(configuration, folder)
    variants, seeds = len(configuration.resolved), len(configuration.suite.seeds)
    print(f"{configuration.suite.suite}: {variants} variants x {seeds} seeds")


def refuse_misfits(configuration: Configuration) -> None:
    """Raise `Refused` where the weights that a variant names are of another network than its backbone."""
    known = configuration.parameters.weights
    for name, one in configuration.resolved.items():
        given = one.variant.backbone.weights
        if given in known:
            try:
                weighed.refuse_misfit(one.variant.backbone, configuration.parameters.image_size, weighed.read(given))
            except Refused as error:
                raise Refused(f"variant {name}: {files.PARAMS}: weights.{given} ({known[given]}) {error}") from None


def explain(name: str) -> str:
    """A variant of the active suite (or a method), every value with the place that it comes from."""
    one = resolve.named(name)
    return "\n".join([f"{name}: the method {one.method}" + (", changed" if one.changes else ""), "", *_lines(one)])


def _lines(one: Resolved) -> list[str]:
    found = [(list(map(str, path)), leaf) for path, leaf in layers.leaves(one.places)]
    texts = [f"{'.'.join(path)}: {json.dumps(leaf.value, ensure_ascii=False)}" for path, leaf in found]
    width = min(72, max(map(len, texts)))
    return [f"{text:<{width}}  {leaf.place.file}" for text, (_, leaf) in zip(texts, found, strict=True)]


if __name__ == "__main__":
    with stage():
        if len(sys.argv) > 1:
            print(explain(sys.argv[1]))
        else:
            main()
