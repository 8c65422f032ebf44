"""A suite: one question, the variants and seeds that answer it, and the claims that would."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ssl_core.errors import Refused
from tasks.configuration import files, form
from tasks.configuration.files import allowed
from tasks.configuration.validation import validate

Representation = Literal["backbone", "projector", "teacher"]
Head = Literal["linear", "knn20", "plain_knn200"]


class Figure(BaseModel):
    """Which figure a claim is about, of those that are in percent.

    `data`: of the images pretrained on, or the mean over the further data sets (transfer). `representation`: the one
    that the table shows, where none is named. `metric`: of accuracy the interval counts that the test images are a
    sample; macro_f1 is no mean over images, and its interval is of the seeds alone. Where images have several labels,
    or a number, accuracy means what they are compared by, mean average precision or R², and the seeds alone too.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    protocol: Literal["feature_extraction", "fine_tuning"] = "feature_extraction"
    head: Head = "linear"
    labels: Annotated[float, Field(gt=0, le=1)] = 1.0
    representation: Representation | None = None
    data: Literal["pretraining", "transfer"] = "pretraining"
    metric: Literal["accuracy", "macro_f1"] = "accuracy"


class Arm(BaseModel):
    """A variant in a claim, and what of its figure differs from the claim's."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    variant: str
    protocol: Literal["feature_extraction", "fine_tuning"] | None = None
    head: Head | None = None
    labels: Annotated[float, Field(gt=0, le=1)] | None = None
    representation: Representation | None = None
    data: Literal["pretraining", "transfer"] | None = None

    def of(self, figure: Figure) -> "Arm":
        """With what it leaves out as the claim's figure has it."""
        return Arm(**figure.model_dump(exclude={"metric"}) | self.model_dump(exclude_none=True))


def _arms(written: Any) -> Any:
    listed = written if isinstance(written, list) else [written]
    return [{"variant": one} if isinstance(one, str) else one for one in listed]


Side = Annotated[list[Arm], BeforeValidator(_arms, json_schema_input_type=str | Arm | list[str | Arm])]
"""One variant or several, each by its name or as an `Arm`."""


class Difference(BaseModel):
    """How much better one side is than another."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    better: Side
    worse: Side


class Claim(BaseModel):
    """A sentence that figures support or refute: what is better than what, by more than the least that matters.

    One of three forms: `better` and `worse`; `more` and `less`, two differences; `between`, variants in an order of
    which one in the middle is best. `how`: the means of both sides, `every` one of the pairs, the `best` of a side, or
    `pairwise` in the order written. `more_than` is in points of the figure; below 0 it says "costs no more than".
    `equal`: which budget is to be the same of all that is compared, the views of each image or the passes over them.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    says: str
    source: str = ""
    figure: Figure = Figure()
    better: Side | None = None
    worse: Side | None = None
    more: Difference | None = None
    less: Difference | None = None
    between: Side | None = None
    how: Literal["mean", "every", "best", "pairwise"] = "mean"
    more_than: float
    equal: Literal["views", "passes"] = "views"

    def pairs(self) -> list[tuple[list[Arm], list[Arm]]]:
        """Each side that is to be better, with the worse one."""
        differences = [one for one in (self, self.more, self.less) if one is not None]
        return [(one.better, one.worse) for one in differences if one.better is not None and one.worse is not None]

    def sides(self) -> list[list[Arm]]:
        """All that is compared."""
        differences = [side for one in (self.more, self.less) if one for side in (one.better, one.worse)]
        return [side for side in (self.better, self.worse, self.between, *differences) if side is not None]


class Suite(BaseModel):
    """A suite's file. `fine_tune` names variants; `representations`: what is embedded and probed of those that have it.

    Where no representations are named, each variant's own is taken, which its method may say. `defaults` are what holds
    for all variants where neither they nor their methods say otherwise. `looks`: how often verdicts are read before the
    suite has its last seeds; the more, the surer each must be, so that together they err no more often.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    suite: str
    question: str
    source: str = ""
    seeds: list[int]
    variants: dict[str, dict[str, Any] | None]
    fine_tune: list[str]
    representations: list[Representation] | None = None
    defaults: dict[str, Any] = {}
    looks: Annotated[int, Field(ge=1, le=5)] = 1
    claims: dict[str, Claim] = {}


def load(file: Path, written: dict[str, Any]) -> Suite:
    """A suite's file as written, validated. Raises `Refused` with the key and what is allowed there."""
    form.check_suite(file, written)
    suite = validate(Suite, written, files.keys(file))
    named = suite.representations
    if named is not None and (not named or len(set(named)) < len(named)):
        raise Refused(
            f"{file}: representations is {named}; leave it out, or name backbone, projector, teacher, each once at most"
        )
    for name, claim in suite.claims.items():
        _check(file, suite, f"claims.{name}", claim)
    return suite


def _check(file: Path, suite: Suite, where: str, claim: Claim) -> None:
    """Refuse a claim that is none of the three forms, or compares what the suite does not make."""
    forms = ({"better", "worse"}, {"more", "less"}, {"between"})
    given = {key for form in forms for key in form if getattr(claim, key) is not None}
    if given not in forms:
        raise Refused(f"{file}: {where} has {', '.join(sorted(given)) or 'no sides'}; it needs better and worse, more "
                      "and less, or between")  # fmt: skip
    if not all(claim.sides()):
        raise Refused(f"{file}: {where} has a side without a variant")
    if claim.between is not None and len(claim.between) < 3:
        raise Refused(
            f"{file}: {where}.between names {len(claim.between)} variants; 3 are the least that have a middle"
        )
    if claim.how != "mean" and claim.better is None:
        raise Refused(f"{file}: {where}.how is {claim.how}, which is for better and worse; leave it out")
    if claim.how == "pairwise" and (claim.better is None or len(claim.better) != len(claim.worse or [])):
        raise Refused(f"{file}: {where}.how is pairwise; better and worse must be lists of one length")
    arms = [arm for side in claim.sides() for arm in side]
    _refuse_strangers(file, suite, where, [arm.variant for arm in arms])
    for arm in arms:
        asked = arm.of(claim.figure)
        if asked.protocol == "fine_tuning" and arm.variant not in suite.fine_tune:
            raise Refused(f"{file}: {where} compares {arm.variant} fine-tuned, and fine_tune does not name it")
        if asked.protocol == "fine_tuning" and asked.head != "linear":
            raise Refused(
                f"{file}: {where} is about {asked.head} of a fine-tuned backbone, which has the linear head alone"
            )


def _refuse_strangers(file: Path, suite: Suite, where: str, names: list[str]) -> None:
    for name in names:
        if name not in suite.variants:
            raise Refused(
                f"{file}: {where} names '{name}', which is no variant of it{allowed(name, list(suite.variants))}"
            )
