"""Note what a file of params.yaml's `weights` holds: `python -m tasks.weigh NAME`. No copy of the file is kept."""

from pathlib import Path

from ssl_core.errors import Refused
from tasks.configuration import files, form, weighed
from tasks.stage import arguments, stage


def main(name: str) -> None:
    """Write `data/weights/<name>.json`: the file's digest, and the names, shapes and types of its tensors."""
    written = files.read(files.PARAMS)
    form.check_params(written)
    known = written["weights"]
    if name not in known:
        raise Refused(f"{files.PARAMS}: weights has no '{name}'{files.allowed(name, list(known))}")
    try:
        made = weighed.weigh(Path(known[name]))
    except Refused as error:
        raise Refused(f"{files.PARAMS}: weights.{name}: {error}") from None
    weighed.write(name, made)
    print(f"{name}: {len(made.tensors)} tensors, {made.bytes / 2**20:.1f} MiB")


if __name__ == "__main__":
    with stage():
        main(*arguments("NAME"))
