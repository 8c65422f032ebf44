"""What a suite's claims are about, checked against what its stages will make."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from ssl_core.errors import Refused
from tasks.configuration import files
from tasks.configuration.parameters import Parameters
from tasks.configuration.suite import Arm, Claim, Suite


def refuse_impossible(file: Path, asked: Suite, parameters: Parameters, embedded: Mapping[str, Sequence[str]]) -> None:
    """Raise `Refused` on the first claim about what no cell will have, or of something against itself.

    Not on a share of the labels that no head is given: small data sets have too few images for some, and what else the
    suite claims holds there too. Such a claim is undecided. `embedded`: the representations that are evaluated of each
    variant, first what the table shows.
    """
    for name, claim in asked.claims.items():
        where = f"{file}: claims.{name}"
        for arm in _arms(claim):
            _refuse_unmade(where, arm, parameters, embedded[arm.variant])
        _refuse_contradictions(where, claim, embedded)


def _refuse_contradictions(where: str, claim: Claim, embedded: Mapping[str, Sequence[str]]) -> None:
    between = [_whole(arm, claim, embedded) for arm in claim.between or ()]
    if again := [arm.variant for arm in between if between.count(arm) > 1]:
        raise Refused(f"{where}.between names {again[0]} twice, in the same figure")
    differences = [[[_whole(arm, claim, embedded) for arm in side] for side in pair] for pair in claim.pairs()]
    for above, below in differences:
        # A pair's own sides alone contradict each other: pairs may be steps of one order, and name a variant again.
        for one, other in zip(above, below, strict=True) if claim.how == "pairwise" else product(above, below):
            if one == other:
                raise Refused(f"{where} has {one.variant} as better and as worse, in the same figure")
        for side in (above, below):
            again = [arm.variant for arm in side if side.count(arm) > 1]
            if again and claim.how != "pairwise":
                raise Refused(f"{where} names {again[0]} twice on one side, in the same figure")
    if len(differences) == 2 and len({tuple(map(frozenset, one)) for one in differences}) == 1:
        raise Refused(f"{where} has the same difference as more and as less")


def _refuse_unmade(where: str, arm: Arm, parameters: Parameters, embedded: Sequence[str]) -> None:
    if arm.representation not in (None, *embedded):
        raise Refused(
            f"{where} is about {arm.variant}'s {arm.representation}, which is not embedded: {', '.join(embedded)} is"
        )
    if arm.protocol == "fine_tuning" and arm.representation not in (None, embedded[0]):
        raise Refused(
            f"{where} is about {arm.variant}'s {arm.representation} fine-tuned; fine-tuned is what the table shows "
            f"of it alone, the {embedded[0]}"
        )
    if arm.data == "transfer" and len(parameters.images) == 1:
        raise Refused(
            f"{where} is about other images than those pretrained on, and {files.PARAMS} names "
            f"none: add a data set to images, behind {parameters.images[0]}"
        )


def _arms(claim: Claim) -> Iterator[Arm]:
    for side in claim.sides():
        yield from (arm.of(claim.figure) for arm in side)


def _whole(arm: Arm, claim: Claim, embedded: Mapping[str, Sequence[str]]) -> Arm:
    """With the representation that is meant where none is named."""
    made = arm.of(claim.figure)
    return made.model_copy(update={"representation": made.representation or embedded[made.variant][0]})
