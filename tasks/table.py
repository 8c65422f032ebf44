"""Print the comparison with its costs: `python -m tasks.table`. Starts without PyTorch, so that it is there at once."""

from pathlib import Path

from tasks import comparison
from tasks.comparison import Comparison, Key
from tasks.stage import stage

REPORT = Path("results/report.html")
LABEL_FREE = ("rankme", "alignment", "uniformity", "embedding_std")
UNKNOWN = "-"


def main() -> None:
    """Print the table, and where to look further; write the report anew where it is missing."""
    compared = comparison.read()
    print(text(compared))
    if not REPORT.exists():
        from tasks import report

        report.write(REPORT)
    print(f"\nLook further:  make ui    and the report, {REPORT}")


def text(compared: Comparison) -> str:
    """The table with its notes."""
    parts = [_aligned(rows(compared)), *notes(compared)]
    if len(compared.seeds) > 1 and "random" in compared.figures and compared.fractions:
        parts.insert(1, "\n" + _aligned(differences(compared)))
    return "\n".join(parts)


def rows(compared: Comparison) -> list[list[str]]:
    """Header and one row a variant: test accuracies in percent, or label-free figures; then the costs."""
    columns = _columns(compared)
    header = ["variant", *columns, "pretrain s", "peak GiB"]
    return [header, *(_row(compared, variant, list(columns.values())) for variant in compared.figures)]


def differences(compared: Comparison) -> list[list[str]]:
    """Header and one row a variant: points of accuracy above `random`, paired by seed."""
    keys = {f"linear {_percent(f)}": ("feature_extraction", "linear", f, "accuracy") for f in compared.fractions}
    made = [["paired with random", *keys]]
    for variant in compared.figures:
        if variant != "random":
            found = [compared.difference(variant, "random", key) for key in keys.values()]
            made.append([variant, *(UNKNOWN if one is None else f"{one.text(100)}" for one in found)])
    return made


def notes(compared: Comparison) -> list[str]:
    """What must be known to read the table."""
    said = [""]
    if compared.fractions:
        said.append("Accuracy on test in percent, by share of the labels; everything chosen on val, test read once.")
    else:
        said.append("No labels: RankMe (higher is better) and the figures beside it rank the variants.")
    if len(compared.seeds) == 1:
        said.append("One seed: no interval, and no claim. Add seeds to suite.seeds for both.")
    else:
        said.append(f"Mean ± 95 % interval over {len(compared.seeds)} seeds.")
    if "supervised" in compared.figures:
        said.append("supervised (baseline) has seen every training label, whatever share the head is given.")
    if "random" in compared.figures and compared.fractions:
        said.append("random (baseline) has its initial weights: fine-tuned, it is training from scratch on that share.")
    if any(compared.cost(variant, "pretrain", "seconds") is None for variant in compared.figures):
        said.append(f"A cost of {UNKNOWN} was not observed on this machine: the cell came from a cache.")
    return said + [f"Collapsed: {why}." for why in compared.collapsed.values()]


def _columns(compared: Comparison) -> dict[str, Key]:
    if not compared.fractions:
        return {name: ("label_free", "", "", name) for name in LABEL_FREE}
    most = compared.fractions[-1]
    probes = {f"linear {_percent(f)}": ("feature_extraction", "linear", f, "accuracy") for f in compared.fractions}
    tuned = {f"tuned {_percent(f)}": ("fine_tuning", "linear", f, "accuracy") for f in compared.fractions}
    knn = {f"knn20 {_percent(most)}": ("feature_extraction", "knn20", most, "accuracy")}
    return {**probes, **knn, **tuned, "rankme": ("label_free", "", "", "rankme")}


def _row(compared: Comparison, variant: str, keys: list[Key]) -> list[str]:
    cells = [variant]
    for key in keys:
        found = compared.figure(variant, key)
        percent = key[0] != "label_free"
        digits = 1 if percent or key[3] == "rankme" else 3
        cells.append(UNKNOWN if found is None else found.text(100 if percent else 1, digits))
    seconds, memory = (compared.cost(variant, "pretrain", name) for name in ("seconds", "peak_memory_bytes"))
    cells.append(UNKNOWN if seconds is None else f"{seconds.mean:.0f}")
    cells.append(UNKNOWN if memory is None else f"{memory.mean / 2**30:.1f}")
    return cells


def _percent(fraction: str) -> str:
    return f"{100 * float(fraction):g}%"


def _aligned(table: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


if __name__ == "__main__":
    with stage():
        main()
