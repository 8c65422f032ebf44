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
    if paired := differences(compared):
        parts.insert(1, "\n" + _aligned(paired))
    return "\n".join(parts)


def rows(compared: Comparison) -> list[list[str]]:
    """Two header rows and one row a variant: test accuracies in percent, or label-free figures; then the costs."""
    columns = _columns(compared)
    groups = ["", *(group for group, *_ in columns), "pretraining", ""]
    names = ["variant", *(name for _, name, _ in columns), "s", "GiB"]
    return [groups, names, *(_row(compared, variant, [key for *_, key in columns]) for variant in compared.figures)]


def differences(compared: Comparison) -> list[list[str]]:
    """Two header rows and one row a variant: the probe's points of accuracy above the same backbone's initial weights.

    Paired by seed. Nothing where there is one seed alone, or no baseline or no labels to compare by.
    """
    if len(compared.seeds) == 1 or not compared.fractions or not compared.baselines:
        return []
    keys = [("feature_extraction", "linear", fraction, "accuracy") for fraction in compared.fractions]
    made = [
        ["", "linear probe above initial weights, paired", *[""] * (len(keys) - 1)],
        ["variant", *(_percent(fraction) for fraction in compared.fractions)],
    ]
    for variant in compared.baselines:
        found = [compared.difference(variant, key) for key in keys]
        made.append([variant, *(UNKNOWN if one is None else one.text(100) for one in found)])
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
    unpaired = [v for v, family in compared.families.items() if family != "baseline" and v not in compared.baselines]
    if unpaired and compared.fractions:
        said.append(f"No initial weights of the same backbone to be compared with: {', '.join(unpaired)}.")
    if "random" in compared.figures and compared.fractions:
        said.append("random (baseline) has its initial weights: fine-tuned, it is training from scratch on that share.")
    if any(compared.cost(variant, "pretrain", "seconds") is None for variant in compared.figures):
        said.append(f"A cost of {UNKNOWN} was not observed on this machine: the cell came from a cache.")
    return said + compared.troubles


def _columns(compared: Comparison) -> list[tuple[str, str, Key]]:
    """The figures of the table: a group's name above its first column, the column's name, and the figure."""
    if not compared.fractions:
        return [("", name, ("label_free", "", "", name)) for name in LABEL_FREE]
    groups = (
        ("linear probe", "feature_extraction", "linear", compared.fractions),
        ("k-NN", "feature_extraction", "knn20", compared.fractions[-1:]),
        ("fine-tuned", "fine_tuning", "linear", compared.fractions),
    )
    accuracies = [
        (group if i == 0 else "", _percent(fraction), (protocol, head, fraction, "accuracy"))
        for group, protocol, head, fractions in groups
        for i, fraction in enumerate(fractions)
    ]
    return [*accuracies, ("", "RankMe", ("label_free", "", "", "rankme"))]


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
    """Columns side by side; a group's name may reach over the columns that follow its own."""
    groups, *rest = table
    widths = [max(map(len, column)) for column in zip(*rest, strict=True)]
    over = ""
    for i, group in enumerate(groups):
        over = over.ljust(sum(widths[:i]) + 2 * i) + group
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rest]
    return "\n".join([over.rstrip(), lines[0], "-" * len(lines[0]), *lines[1:]])


if __name__ == "__main__":
    with stage():
        main()
