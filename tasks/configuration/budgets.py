"""Whether a claim compares budgets that are alike."""

from typing import Literal

from tasks.configuration.resolve import Configuration
from tasks.configuration.variant import Variant

SEEN = {"views": "views of each image", "passes": "passes over the images"}


def unlike(configuration: Configuration) -> dict[str, str]:
    """What differs, in words, by the claims whose variants see unlike many views of an image (passes x views of each).

    A claim whose `equal` is passes is held to these instead. What is not trained here sees none.
    """
    found = {}
    for name, claim in configuration.suite.claims.items():
        arms = {arm.variant: configuration.resolved[arm.variant].variant for side in claim.sides() for arm in side}
        seen = {key: _seen(one, claim.equal) for key, one in arms.items() if one.objective_class.trained}
        if len(set(seen.values())) > 1:
            most, least = max(seen, key=seen.__getitem__), min(seen, key=seen.__getitem__)
            found[name] = f"{most} has {seen[most]:g} {SEEN[claim.equal]}, {least} {seen[least]:g}"
    return found


def _seen(variant: Variant, equal: Literal["views", "passes"]) -> float:
    views = 1 if equal == "passes" else sum(kind.views for kind in variant.augmentation)
    return round(variant.pretraining.epochs * views, 9)
