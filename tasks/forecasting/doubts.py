"""What is known of a suite's claims before it runs: whether they can be decided, and compare like with like."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.configuration import files

if TYPE_CHECKING:
    from tasks.configuration.resolve import Configuration


def undecided(seeds: list[int]) -> Iterator[str]:
    """A sentence where the active suite has claims, and one seed, which decides nothing."""
    file = files.active_suite()
    if len(seeds) == 1 and files.read_suite(file).get("claims"):
        yield f"{file}: there is one seed, so that every verdict on its claims will be undecided; two are the least"


def unasked(configuration: "Configuration") -> Iterator[str]:
    """A sentence for each claim about a share of the labels that no head is given."""
    shares = configuration.parameters.evaluation.label_fractions
    for name, claim in configuration.suite.claims.items():
        arms = (arm.of(claim.figure) for side in claim.sides() for arm in side)
        for share in dict.fromkeys(arm.labels for arm in arms if arm.labels not in shares):
            yield (
                f"claims.{name} will be undecided: it is about {share:g} of the labels, which no head is given; "
                f"{files.PARAMS}'s evaluation.label_fractions are {', '.join(f'{one:g}' for one in shares)}"
            )


def unequal(configuration: "Configuration") -> Iterator[str]:
    """A sentence for each claim whose variants have unlike budgets."""
    from tasks.configuration import budgets  # which takes seconds to import

    for name, what in budgets.unlike(configuration).items():
        yield f"claims.{name} compares unlike budgets: {what}; give one of them other pretraining.epochs"
