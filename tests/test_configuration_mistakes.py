"""One clear sentence for every mistake in what a user writes: the file, the key, and what is allowed there."""

import shutil
import typing
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, run
from written_files import GONE, SHIPPED, load, refusal, write

from ssl_core.errors import Refused
from ssl_core.objectives import OBJECTIVES
from tasks.configuration import form, parameters, resolve

OURS = "suites/ours.yaml: variants.simclr"
SIMCLR, JIGSAW, BYOL = "variants.simclr", "variants.jigsaw", "variants.byol"
KIND = {typing.get_args(typing.get_type_hints(config)["name"])[0]: kind for config, kind in OBJECTIVES.items()}
TIMM_VIT: dict[str, Any] = {"name": "timm", "model": "test_vit", "input_size": 64}


def test_views_of_several_kinds_are_no_mistake(tmp_path: Path) -> None:
    kinds = [{"views": 1, "solarise": 0.2}, {"views": 1, "blur": {"probability": 0.1}}]
    made = load(tmp_path, suite={f"{SIMCLR}.augmentation": kinds}).resolved["simclr"].variant
    first, second = made.augmentation
    assert (first.solarise, second.solarise, first.flip, second.flip) == (0.2, 0.0, 0.5, 0.5)
    assert first.blur is None
    assert second.blur is not None


@pytest.mark.parametrize("views", [{"views": 4}, {"name": "multi_crop"}, [{"views": 3}, {"views": 6, "size": 12}]])
def test_more_views_than_two_are_no_mistake_where_they_are_compared(tmp_path: Path, views: Any) -> None:
    methods = {name for name, one in SHIPPED["methods.yaml"].items() if KIND[one["objective"]["name"]].more_views}
    assert {"simclr", "byol", "vicreg", "lejepa", "dino", "supcon"} <= methods
    suite = {"variants": {f"{name}-more": {"method": name, "augmentation": views} for name in methods}}
    assert len(load(tmp_path, suite=suite).resolved) == len(methods)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {f"{SIMCLR}.augmentation": {"name": "strong"}},
            f"{OURS}.augmentation.name is 'strong'; allowed are simclr, byol, weak, multi_crop, mask_only",
        ),
        ({f"{SIMCLR}.augmentation": {"name": ["weak"]}}, f"{OURS}.augmentation.name is ['weak']"),
        ({f"{SIMCLR}.augmentation": {"name": "wek"}}, f"{OURS}.augmentation.name is 'wek': did you mean weak?"),
        (
            {f"{JIGSAW}.augmentation": {"mask": {"share": 0.5}, "views": 1}},
            "augmentation.mask hides patches of the views; jigsaw needs whole ones",
        ),
        (
            {
                f"{SIMCLR}.augmentation": {"name": "mask_only", "mask": {"patch": 2}},
                f"{SIMCLR}.backbone": {"name": "vit"},
            },
            "augmentation.mask.patch must be backbone.patch, 4: a transformer drops tokens",
        ),
        (
            {f"{SIMCLR}.augmentation": {"name": "mask_only", "mask": {"patch": 2}}, f"{SIMCLR}.backbone": TIMM_VIT},
            "augmentation.mask.patch is 2; a patch of timm's test_vit is 7 pixels of a view of 28, which is seen as "
            "64: set it to 7, or backbone.input_size to 28",
        ),
        ({f"{SIMCLR}.backbone": TIMM_VIT | {"model": "test_vti"}}, "timm does not know; nearest are test_vit"),
        ({f"{SIMCLR}.backbone": TIMM_VIT | {"modle": "a"}}, f"{SIMCLR}.backbone.modle is not known"),
        ({f"{SIMCLR}.backbone": {"name": "timm"}}, f"{SIMCLR}.backbone.model is missing"),
        (
            {f"{SIMCLR}.backbone.weights": "pretrained"},
            "pretrained, and nobody publishes weights of resnet10",
        ),
        ({f"{SIMCLR}.backbone.frozen_stages": 6}, "frozen_stages is 6; resnet10 has 5 stages"),
        (
            {"variants.mae.backbone": TIMM_VIT},
            "backbone.input_size is 64 where images are of 28 pixels: set backbone.input_size to 28",
        ),
        (
            {f"{JIGSAW}.representation": "projector"},
            "suites/ours.yaml: variants.jigsaw: representation is projector, and it has none: it has backbone",
        ),
        (
            {f"{SIMCLR}.augmentation": {"crop": {"scale": [0.5]}}},
            f"{OURS}.augmentation.crop.scale is [0.5]; a list of 2 is needed",
        ),
        ({f"{SIMCLR}.augmentation": {"mask": {"share": 1.0}}}, "mask.share is 1.0, which hides all 49 patches"),
        ({f"{SIMCLR}.backbone": {"name": "vit", "heads": 0}}, f"{OURS}.backbone: heads is 0; at least 1 is needed"),
        ({f"{SIMCLR}.backbone": {"name": "vit", "patch": -4}}, "patch is -4; at least 1 is needed"),
        (
            {"variants.denoising_autoencoder.objective.decoder_width": 1},
            "variants.denoising_autoencoder.objective: decoder_width is 1; at least 2 channels are needed",
        ),
        ({f"{SIMCLR}.representation": "head"}, f"{OURS}.representation is 'head'"),
        ({"variants.mae.backbone": {"name": "resnet10"}}, "the objective mae drops or replaces the tokens"),
        ({"variants.msn.backbone": {"name": "resnet10"}}, "resnet10 does not have; take backbone vit"),
        (
            {"variants.i_jepa.backbone": {"name": "resnet10"}},
            "and input_size 28, or the objective simclr, or another joint-embedding one, with augmentation.mask",
        ),
        ({"variants.i_jepa.backbone.patch": 14}, "needs at least 3 x 3: a patch of 7 at most"),
        ({"variants.colourisation.augmentation.solarise": 0.5}, "solarise to 0"),
        (
            {"variants.colourisation.augmentation.jitter.hue": 0.1},
            "augmentation changes the colours that colourisation is to tell: set its jitter to null, greyscale and ",
        ),
        (
            {"variants.dino.augmentation": [{"views": 1}, {"views": 6, "size": 12}]},
            "augmentation makes 1 global and 6 local views; the objective dino takes at least 2 global and any local",
        ),
        ({f"{BYOL}.augmentation": {"views": 1}}, "the objective byol takes at least 2 global and any local ones"),
        ({f"{JIGSAW}.objective.grid": 3}, "suites/ours.yaml: variants.jigsaw: grid is 3"),
        (
            {"variants.swav.objective.prototypes": 300},
            "prototypes is 300; the 256 images of a batch and 0 of the queue are shared out equally",
        ),
        ({"variants.msn.objective.prototypes": 300}, "prototypes is 300; the images of a"),
        (
            {"variants.moco_v2.objective.queue": 1000},
            "variants.moco_v2: queue is 1000; it must hold whole batches of 256 images: take 768 or 1024",
        ),
        (
            {"variants.w_mse.pretraining.accumulate": 4},
            "whitening_size is 128; it must divide the 64 images of a batch: take 64, or another divisor of it "
            "(pretraining.accumulate divides a batch into 4, and each part is one here)",
        ),
        (
            {f"{SIMCLR}.objective.momentum": {"start": 1.5}},
            f"{OURS}.objective.momentum: momentum.start is 1.5; a momentum is in [0, 1]",
        ),
        (
            {f"{SIMCLR}.objective.temprature": 0.1},
            f"{OURS}.objective.temprature is not known: did you mean temperature",
        ),
        (
            {f"{BYOL}.objective.momentum": {"end": 1.5}},
            "suites/ours.yaml: variants.byol.objective.momentum: momentum.end is 1.5; a momentum is in [0, 1]",
        ),
        ({f"{SIMCLR}.objective.temperature": "hot"}, f"{OURS}.objective.temperature is 'hot'; a number is needed"),
        ({f"{SIMCLR}.objective.temperature": float("nan")}, "objective.temperature is nan; a finite number is needed"),
        (
            {f"{SIMCLR}.pretraining.epochs": float("inf")},
            f"{OURS}.pretraining.epochs is inf; a finite number is needed",
        ),
        ({f"{SIMCLR}.objective.temperature": -1}, f"{OURS}.objective: temperature is -1.0; it must be above 0"),
        ({f"{SIMCLR}.objective.name": "simklr"}, f"{OURS}.objective.name is 'simklr'; allowed are 'random'"),
        ({f"{SIMCLR}.objective.projector": {"wide": 1}}, f"{OURS}.objective.projector.wide is not known"),
        (
            {f"{JIGSAW}.augmentation.views": 2},
            "augmentation makes 2 global and no local views; the objective jigsaw takes 1 global and no local ones",
        ),
        (
            {f"{JIGSAW}.augmentation": [{}, {"views": 6, "size": 12}]},
            "augmentation makes 1 global and 6 local views; the objective jigsaw takes 1 global and no local ones",
        ),
        (
            {f"{SIMCLR}.augmentation": [{"views": 6, "size": 12}, {"views": 2}]},
            "augmentation lists local views (those with a size) before global ones; global ones come first",
        ),
        ({f"{SIMCLR}.augmentation": []}, f"{OURS}.augmentation is []; a mapping, {{key: value}}, is needed"),
        (
            {f"{SIMCLR}.augmentation": {"jitter": {"hue": 0.6}}},
            f"{OURS}.augmentation.jitter: hue must be between 0 and 0.5",
        ),
        (
            {f"{SIMCLR}.augmentation": [{"views": 1}, {"views": 1, "jitter": {"hue": 0.6}}]},
            f"{OURS}.augmentation.1.jitter: hue must be between 0 and 0.5",
        ),
        ({f"{SIMCLR}.augmentation": {"jitter": {"hue": "red"}}}, f"{OURS}.augmentation.jitter.hue is 'red'"),
        (
            {f"{SIMCLR}.augmentation": [{"views": 1}, {"views": 1, "jitter": {"hew": 0.1}}]},
            f"{OURS}.augmentation.1.jitter.hew is not known: did you mean hue?",
        ),
        (
            {f"{SIMCLR}.augmentation": {"name": "byol", "jitter": {"hew": 0.1}}},
            f"{OURS}.augmentation.jitter.hew is not known: did you mean hue?",
        ),
        (
            {f"{SIMCLR}.augmentation": [{"name": "byol"}, {"views": 1, "jitter": {"hew": 0.1}}, {"views": 1}]},
            f"{OURS}.augmentation.1.jitter.hew is not known: did you mean hue?",
        ),
        (
            {f"{SIMCLR}.augmentation": {"crop": 0.3}},
            f"{OURS}.augmentation.crop is 0.3; a mapping, {{key: value}}, is needed",
        ),
        (
            {f"{SIMCLR}.augmentation": {"crop": {"scale": [0.1, 0.2, 0.3]}}},
            f"{OURS}.augmentation.crop.scale is [0.1, 0.2, 0.3]; a list of 2 is needed",
        ),
        ({f"{SIMCLR}.augmentation": ["strong"]}, f"{OURS}.augmentation is ['strong']; a mapping, {{key: value}}, is"),
        ({f"{SIMCLR}.augmentation": "strong"}, f"{OURS}.augmentation is 'strong'; a mapping, {{key: value}}, is"),
        ({f"{SIMCLR}.objective": "simclr"}, f"{OURS}.objective is 'simclr'; a mapping, {{key: value}}, is needed"),
        (
            {f"{SIMCLR}.augmentation": {"mask": {"patch": 5}}},
            f"{OURS}: augmentation: views of 28 pixels: mask.patch is 5",
        ),
        ({"variants.random.pretraining": {"epochs": 1}}, "epochs is 1.0; for the objective random it is 0: nothing is"),
        ({f"{SIMCLR}.pretraining": {"epochs": 0}}, "epochs is 0.0; for the objective simclr it is above 0"),
        (
            {f"{SIMCLR}.pretraining.accumulate": 3},
            f"{OURS}.pretraining: accumulate is 3; it must divide batch_size (256)",
        ),
        ({f"{SIMCLR}.pretraining.optimiser.name": "lion"}, f"{OURS}.pretraining.optimiser.name is 'lion'; allowed are"),
        (
            {f"{SIMCLR}.pretraining.optimiser.eta": 0.001},
            f"{OURS}.pretraining.optimiser.eta is not known to this kind, but to lars",
        ),
        (
            {f"{SIMCLR}.pretraining.optimiser": {"name": "lars", "learning_rate": 0.3, "betas": [0.9, 0.95]}},
            f"{OURS}.pretraining.optimiser.betas is not known to this kind, but to adamw",
        ),
        (
            {f"{SIMCLR}.pretraining.optimiser": {"name": "sgd"}},
            f"{OURS}.pretraining.optimiser.learning_rate is missing",
        ),
        (
            {f"{SIMCLR}.pretraining.optimiser.betas": [0.9, 1.0]},
            f"{OURS}.pretraining.optimiser: betas is [0.9, 1.0]; each is",
        ),
        ({f"{SIMCLR}.pretraining.optimiser.clip_norm": 0}, "clip_norm is 0.0; it must be above 0, or null"),
        ({f"{SIMCLR}.pretraining.optimiser.final_rate": 2}, "final_rate is 2.0; it is a share of learning_rate, 0 to"),
        ({f"{SIMCLR}.pretraining.optimiser.momentum": 0.9}, "pretraining.optimiser.momentum is not known"),
        ({f"{SIMCLR}.backbone.name": "resnet11"}, f"{OURS}.backbone.name is 'resnet11'; allowed are 'resnet10'"),
        (
            {f"{SIMCLR}.backbone.stem": "imagenet"},
            "smaller than the stride of resnet10 with backbone.stem imagenet, 32",
        ),
        ({f"{SIMCLR}.backbone": {"name": "vit", "patch": 5}}, f"{OURS}: backbone.patch is 5; it must"),
        # The suite's own keys.
        (
            {"variants.simcrl": {}},
            "variants.simcrl has no `method`, and methods.yaml has none of that name: did you mean",
        ),
        (
            {"variants.ours.method": "simcrl"},
            "variants.ours.method is 'simcrl', which is no method of methods.yaml: did",
        ),
        ({"variants.ours.method": ["simclr"]}, "variants.ours.method is '['simclr']', which is no method of methods."),
        ({"variants.-ours.method": "simclr"}, "digits, '_' and '-' only, and no '-' in front"),
        ({"defaults.augmentation": [{}]}, "suites/ours.yaml: defaults.augmentation is a list; one mapping is needed"),
        ({"variants.ours.method": None}, "variants.ours.method is 'None', which is no method of methods.yaml"),
        ({"variants": ["simclr"]}, "variants is ['simclr']; a mapping is needed, of at least one variant by name"),
        ({"variants": {}}, "variants is {}; a mapping is needed, of at least one variant by name"),
        ({SIMCLR: "weak"}, f"{OURS} is 'weak'; a mapping, or nothing for the method as it is"),
        ({"variants": GONE}, "suites/ours.yaml: variants is missing"),
        ({"fine_tune": GONE}, "suites/ours.yaml: fine_tune is missing: [] for none"),
        ({"question": GONE}, "suites/ours.yaml: question is missing"),
        ({"question": ["what"]}, "suites/ours.yaml: question is ['what']; a text is needed"),
        ({"suite": "other"}, "suites/ours.yaml: suite is 'other'; it must be the file's name, ours"),
        ({"seed": [0]}, "suites/ours.yaml: seed is not known: did you mean seeds?"),
        *(
            (
                {"seeds": seeds},
                f"seeds is {seeds!r}; a list of whole numbers is needed, at least one, each once, 0 to 2^32 - 1",
            )
            for seeds in ([], [0, 0], ["a"], [1.5], [0, -1], [True], [2**32], 3, None)
        ),
        ({"fine_tune": ["simcrl"]}, "fine_tune names 'simcrl', which is no variant of it: did you mean simclr?"),
        ({"fine_tune": [["simclr"]]}, "fine_tune names '['simclr']', which is no variant of it: did you mean simclr?"),
        ({"fine_tune": "simclr"}, "fine_tune is 'simclr'; a list of variants is needed, none twice; [] for none"),
        ({"fine_tune": ["simclr", "simclr"]}, "a list of variants is needed, none twice"),
        (
            {"representations": []},
            "representations is []; leave it out, or name backbone, projector, teacher, each once",
        ),
        ({"representations": ["backbone", "backbone"]}, "representations is ['backbone', 'backbone']; leave it out"),
        ({"variants": {"dino": {"method": "simclr"}}}, "dino is a method of its own: give the variant another name"),
        ({"representations": ["teacher"]}, "representations is teacher, of which random has none: it has backbone"),
        (
            {"representations": ["head"]},
            "suites/ours.yaml: representations.0 is 'head'; allowed are 'backbone', 'projector'",
        ),
        ({"defaults": ["vit"]}, "suites/ours.yaml: defaults is ['vit']; a mapping, {key: value}, is needed"),
        ({"defaults.backbone.widht": 8}, "suites/ours.yaml: defaults.backbone.widht is not known: did you mean width?"),
        *(
            (
                {f"variants.{name.replace('.', '%')}": None},
                f"variants names '{name}'; a name has letters of the alphabet",
            )
            for name in ("a/b", "a b", "it's", "é", "")
        ),
    ],
)
def test_mistakes_of_a_suite(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(tmp_path, suite=changes)


def test_names_that_no_dotted_path_can_say(tmp_path: Path) -> None:
    said = refusal(tmp_path, suite={"variants": {"mae-.25": {"method": "mae"}}})
    assert said.startswith("suites/ours.yaml: variants names 'mae-.25'; a name has letters of the alphabet, digits")
    for name in (25, True):
        said = refusal(tmp_path, suite={"variants": {name: {"method": "mae"}}})
        assert said == f"suites/ours.yaml: variants names {name}, which is no text to YAML: put it in quotes"


CLAIM = {"says": "It helps.", "better": "simclr", "worse": "random", "more_than": 1.0}
OF = {"better": "simclr", "worse": "random"}


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {"claims": {"helps": {key: value for key, value in CLAIM.items() if key not in keys} | more}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (without(worse="jigsaw"), "claims.helps names 'jigsaw', which is no variant of it; allowed are random, simclr"),
        (without(better=["simcrl"]), "claims.helps names 'simcrl', which is no variant of it: did you mean simclr?"),
        (without("worse"), "claims.helps has better; it needs better and worse, more and less, or between"),
        (without("better", "worse"), "claims.helps has no sides; it needs better and worse"),
        (without(between=["random", "simclr", "random"]), "claims.helps has better, between, worse; it needs"),
        (without("better", "worse", between=["random", "simclr"]), "between names 2 variants; 3 are the least"),
        (without(worse=[]), "claims.helps has a side without a variant"),
        (without(how="pairwise", worse=["random", "simclr"]), "how is pairwise; better and worse must be lists of one"),
        (without(how="most"), "claims.helps.how is 'most'; allowed are 'mean', 'every', 'best' or 'pairwise'"),
        (without("more_than"), "claims.helps.more_than is missing"),
        (without("says"), "claims.helps.says is missing"),
        (without(more_than="much"), "claims.helps.more_than is 'much'; a number is needed"),
        (without(more_than=float("nan")), "claims.helps.more_than is nan; a finite number is needed"),
        (without(figure={"labels": 0}), "claims.helps.figure.labels is 0"),
        (
            without(figure={"head": "mlp"}),
            "claims.helps.figure.head is 'mlp'; allowed are 'linear', 'knn20' or 'plain_knn200'",
        ),
        (
            without(figure={"protocol": "fine_tuning"}),
            "helps compares simclr fine-tuned, and fine_tune does not name it",
        ),
        (
            without(figure={"protocol": "fine_tuning", "head": "knn20"}) | {"fine_tune": ["random", "simclr"]},
            "claims.helps is about knn20 of a fine-tuned backbone, which has the linear head alone",
        ),
        (
            without(worse={"variant": "simclr", "representation": "projector"}),
            "claims.helps is about simclr's projector, which is not embedded",
        ),
        (
            without(figure={"data": "transfer"}),
            "claims.helps is about other images than those pretrained on, and params",
        ),
        (
            without(better={"variant": "simclr", "representation": "projector", "protocol": "fine_tuning"})
            | {"fine_tune": ["simclr"], "representations": ["backbone", "projector"]},
            "claims.helps is about simclr's projector fine-tuned; fine-tuned is what the table shows of it alone, the "
            "backbone",
        ),
        (without(worse=["random", "simclr"]), "claims.helps has simclr as better and as worse, in the same figure"),
        (
            without(better={"variant": "simclr", "representation": "backbone"}, worse="simclr", how="every"),
            "claims.helps has simclr as better and as worse, in the same figure",
        ),
        (
            without(
                "better",
                "worse",
                more={"better": "simclr", "worse": "random"},
                less={"better": "simclr", "worse": "simclr"},
            ),
            "claims.helps has simclr as better and as worse, in the same figure",
        ),
        (
            without(better=["simclr", "random"], worse=["random", "random"], how="pairwise"),
            "claims.helps has random as better and as worse, in the same figure",
        ),
        (without(figure={"metric": "rankme"}), "claims.helps.figure.metric is 'rankme'; allowed are 'accuracy' or"),
        (
            without("better", "worse", between=["random", "simclr", "random"], how="best"),
            "claims.helps.how is best, which is for better and worse; leave it out",
        ),
        (without(better=["simclr", "simclr"]), "claims.helps names simclr twice on one side, in the same figure"),
        (
            without("better", "worse", between=["random", "simclr", {"variant": "random", "labels": 1.0}]),
            "claims.helps.between names random twice, in the same figure",
        ),
        (
            without("better", "worse", more=OF, less=OF),
            "claims.helps has the same difference as more and as less",
        ),
        (without() | {"looks": 6}, "looks is 6"),
        (without() | {"looks": 0}, "looks is 0"),
        (without(worse={"variant": "random", "heat": 1}), "claims.helps.worse.0.heat is not known"),
        (without(worse=3), "claims.helps.worse.0 is 3; a mapping"),
        ({"claims": ["helps"]}, "claims is ['helps']; a mapping, {key: value}, is needed"),
    ],
)
def test_mistakes_of_claims(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(tmp_path, suite=changes)


def test_what_is_better_in_one_pair_may_be_worse_in_the_next(tmp_path: Path) -> None:
    claims = without(better=["simclr", "mae"], worse=["random", "simclr"], how="pairwise")["claims"]
    assert load(tmp_path, suite={"variants.mae": None, "claims": claims}).suite.claims


def test_a_claim_on_the_shown_representation_needs_no_name_for_it(tmp_path: Path) -> None:
    """Where a suite leaves out a method's own representation, the table shows another, and so does the claim."""
    claims = without("better", better="dino")["claims"]
    suite = {"variants.dino": None, "representations": ["backbone"], "claims": claims}
    assert load(tmp_path, suite=suite).representations("dino") == ["backbone"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation": GONE}, "params.yaml: evaluation is missing"),
        ({"data.fashion_mnist.source": "mnits"}, "params.yaml: data.fashion_mnist.source is 'mnits'; allowed are"),
        ({"data.fashion_mnist.image_sise": 28}, "data.fashion_mnist.image_sise is not known: did you mean image_size?"),
        ({"data.fashion_mnist.source": GONE}, "params.yaml: data.fashion_mnist.source is missing; it says which kind"),
        *(
            (
                {"data.mine": {"source": "folder", "path": "x", key: value}},
                f"params.yaml: data.mine.{key}{said}",
            )
            for key, value, said in [
                ("labels", {"tabel": "l.csv"}, ".tabel is not known: did you mean table?"),
                ("labels", {"file": "f"}, ".table is missing"),
                ("labels", {"table": "l.xlsx"}, ": table is l.xlsx; .csv, "),
                ("labels", {"table": "l.csv", "label": "y", "number": "z"}, ": number is z; an image has a number or"),
                ("labels", {"table": "l.csv", "label": []}, ": label is []; a column is needed"),
                ("labels", {"table": "l.csv", "label": 3}, ".label is 3; allowed are a text, or a list"),
                ("labels", {"table": "l.csv", "label": ["a", 3]}, ".label.1 is 3; a text is needed"),
                ("labels", "l.csv", " is 'l.csv'; allowed are 'folders' or 'none', or a mapping, {table: …}"),
                ("range", 255, " is 255; allowed are 'auto', or a list"),
                ("range", [0], " is [0]; a list of 2 is needed"),
                ("range", [0, 1, 2], " is [0, 1, 2]; a list of 2 is needed"),
                ("range", ["dark", 9], ".0 is 'dark'; a number is needed"),
            ]
        ),
        ({"data.my-photos": {"source": "shapes"}}, "params.yaml: data names 'my-photos'; a name has letters of the"),
        ({"images": ["fashion_minst"]}, "params.yaml: images names 'fashion_minst': did you mean fashion_mnist?"),
        ({"images": []}, "params.yaml: images is []; a list of data sets is needed, at least one, none twice"),
        ({"images": "fashion_mnist"}, "params.yaml: images is fashion_mnist; a list of data sets is needed"),
        ({"images": ["shapes", "shapes"]}, "a list of data sets is needed, at least one, none twice"),
        ({"images": GONE}, "params.yaml: images is None; a list of data sets is needed"),
        (
            {"data": ["shapes"]},
            "params.yaml: data is ['shapes']; a mapping is needed, of at least one data set",
        ),
        ({"data": None}, "params.yaml: data is None; a mapping is needed, of at least one data set by name"),
        ({"evaluation.weight_decays": [float("inf")]}, "evaluation.weight_decays.0 is inf; a finite number is needed"),
        ({"evaluation.fine_tuning.steps": 3}, "evaluation.fine_tuning.steps is not known: did you mean min_steps?"),
        (
            {"evaluation.fine_tuning.max_steps": 50},
            "fine_tuning: max_steps is 50; min_steps (100) or more",
        ),
        ({"evaluation.fine_tuning.augmentation.views": 2}, "fine_tuning.augmentation: views is 2; what is fine-tuned"),
        ({"evaluation.fine_tuning.augmentation.crop": {"size": 3}}, "fine_tuning.augmentation.crop.size is not known"),
        ({"evaluation.fine_tuning.randaugment": {"magnitude": 31}}, "magnitude is 31; 0 to 30 are allowed"),
        (
            {"evaluation.fine_tuning.layer_decay": 0},
            "fine_tuning: layer_decay is 0.0; above 0 and at most 1 (none)",
        ),
        ({"evaluation.label_fractions": [2.0]}, "params.yaml: evaluation: label_fractions is [2.0]; each is above 0"),
        (
            {"defaults.augmentation": [{"views": 2}]},
            "params.yaml: defaults.augmentation is a list; one mapping is needed",
        ),
        (
            {"defaults.pretraining.epochs": float("inf")},
            "params.yaml: defaults.pretraining.epochs is inf; a finite number",
        ),
        ({"defaults.backbone.name": "resnet11"}, "params.yaml: defaults.backbone.name is 'resnet11'; allowed are"),
        ({"defaults.pretraining.accumulate": 3}, "params.yaml: defaults.pretraining: accumulate is 3; it must divide"),
        ({"defaults.colours": 1}, "params.yaml: defaults.colours is not known"),
        ({"compute.device": "tpu"}, "params.yaml: compute.device is 'tpu'; allowed are 'auto', 'cpu' or 'cuda'"),
        ({"compute.devices": 0}, "params.yaml: compute: threads is 1, devices 0; at least 1 is needed"),
        ({"compute.compiled": "often"}, "params.yaml: compute.compiled is 'often'; allowed are 'auto', true or false"),
        ({"tracking.url": "x"}, "params.yaml: tracking.url is not known: did you mean uri?"),
        ({"computer": {}}, "params.yaml: computer is not known: did you mean compute?"),
    ],
)
def test_mistakes_of_params(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(tmp_path, params=changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"simclr.objective.temprature": 0.1}, "methods.yaml: simclr.objective.temprature is not known: did you mean"),
        ({"random": {}}, "methods.yaml: random.objective is missing"),
        ({"random": None}, "methods.yaml: random must be a mapping, {objective: …}"),
        ({"mae.objective": {"name": "mea"}}, "methods.yaml: mae.objective.name is 'mea'; allowed are"),
        ({"mae.augmentation.name": "wek"}, "methods.yaml: mae.augmentation.name is 'wek': did you mean weak?"),
        ({"mae.optimiser": {}}, "methods.yaml: mae.optimiser is not known"),
        ({"mae.method": "simclr"}, "methods.yaml: mae.method is not known"),
        ({"a/b": {"objective": {"name": "simclr"}}}, "methods.yaml names 'a/b'; a name has letters of the alphabet"),
    ],
)
def test_mistakes_of_methods(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(tmp_path, methods=changes)


@pytest.mark.parametrize(
    ("file", "key", "belongs"),
    [
        *(("params", key, "a suite, suites/NAME.yaml") for key in form.OF_SUITES),
        *(("params", key, "defaults") for key in ("backbone", "augmentation", "pretraining")),
        *(("params", key, "methods.yaml") for key in ("objective", "representation")),
        *(("methods", key, "params.yaml") for key in (*form.OF_PARAMS, "defaults")),
        *(("methods", key, "a suite, suites/NAME.yaml") for key in (*form.OF_SUITES, "suite", "variants")),
        *(("suite", key, "params.yaml") for key in form.OF_PARAMS),
        *(("suite", key, "one of its variants, or in its defaults") for key in form.OF_VARIANTS),
        *(("suite", f"variants.simclr.{key}", "params.yaml") for key in form.OF_PARAMS),
        *(("suite", f"variants.simclr.{key}", "a suite, beside its variants") for key in form.OF_SUITES),
        *(("suite", f"defaults.{key}", "params.yaml") for key in form.OF_PARAMS),
        *(("methods", f"simclr.{key}", "params.yaml") for key in form.OF_PARAMS),
    ],
)
def test_a_key_in_the_wrong_file_is_told_where_it_belongs(tmp_path: Path, file: str, key: str, belongs: str) -> None:
    said = refusal(tmp_path, **{file: {key: {"uri": "x"}}})
    name = {"params": "params.yaml", "methods": "methods.yaml", "suite": "suites/ours.yaml"}[file]
    assert said.startswith(f"{name}: {key} ")
    assert said.endswith(f"it belongs in {belongs}")


def test_a_suite_that_is_not_there_or_no_yaml(tmp_path: Path) -> None:
    with chdir(write(tmp_path)):
        suite = Path("suites/ours.yaml")
        whole = suite.read_text()
        for broken, sentence in (
            ("variants: {a: [", "suites/ours.yaml is not valid YAML: "),
            ("variants: {a: , a: }", "suites/ours.yaml is not valid YAML: "),
            ("- simclr", "suites/ours.yaml must be a mapping, {key: value}, and is a list"),
            ("", "suites/ours.yaml must be a mapping, {key: value}, and is empty"),
        ):
            suite.write_text(broken)
            with pytest.raises(Refused) as refused:
                resolve.load()
            assert str(refused.value).startswith(sentence)
            assert "\n" not in str(refused.value)
        suite.rename("suites/hours.yaml")
        Path("suites/hours.yaml").write_text(whole)
        with pytest.raises(Refused, match=r"there is no suite suites/ours\.yaml: did you mean hours\?"):
            resolve.load()
        graph = Path("dvc.yaml")
        graph.write_text("stages: {}\n")
        with pytest.raises(Refused, match=r"the first line of dvc\.yaml names no suite; it is: vars"):
            resolve.load()
        graph.unlink()
        with pytest.raises(Refused, match=r"dvc\.yaml is missing: run this in the project's folder"):
            resolve.load()


def test_two_suites_of_one_name(tmp_path: Path) -> None:
    with chdir(write(tmp_path)):
        shutil.copy("suites/ours.yaml", "suites/copy.yaml")
        with pytest.raises(Refused, match=r"suites/ours\.yaml and suites/copy\.yaml both are suite 'ours'"):
            resolve.load()
        Path("suites/copy.yaml").write_text("suite: [unfinished")
        assert resolve.load().suite.suite == "ours"


def test_a_file_that_is_missing_or_no_yaml(tmp_path: Path) -> None:
    with chdir(write(tmp_path)):
        for name in ("params.yaml", "methods.yaml"):
            whole = Path(name).read_text()
            for broken, sentence in (("data: [", "is not valid YAML"), ("- data", "must be a mapping")):
                Path(name).write_text(broken)
                with pytest.raises(Refused, match=f"{name} {sentence}"):
                    resolve.load()
            Path(name).unlink()
            with pytest.raises(Refused, match=f"{name} is missing: run this in the project's folder, which has one"):
                resolve.load()
            Path(name).write_text(whole)


def test_params_of_an_earlier_version_are_told_what_has_moved() -> None:
    earlier = {
        "data": {"name": "fashion_mnist", "image_size": 28},
        "suite": {"name": "default", "variants": ["random"], "seeds": [0]},
        "defaults": {},
        "variants": {"random": {"objective": {"name": "random"}}},
        "evaluation": {},
    }
    with pytest.raises(Refused) as refused:
        parameters.load(earlier)
    assert str(refused.value) == (
        "params.yaml has the form of an earlier version; moved are suite (now a file in suites), variants (now "
        "methods.yaml, or a suite's own in its file), data (now data sets by name, each with its `source`; `images` "
        "says which are used)"
    )


def test_a_refusal_that_no_batch_is_to_blame_for_does_not_speak_of_its_parts(tmp_path: Path) -> None:
    said = refusal(
        tmp_path, suite={"variants.mae": {"backbone": {"name": "resnet10"}, "pretraining": {"accumulate": 4}}}
    )
    assert said.endswith("or the objective denoising_autoencoder with its masking noise")


def test_a_name_that_is_neither_variant_nor_method(tmp_path: Path) -> None:
    with chdir(write(tmp_path, suite={"variants.ours": {"method": "simclr"}})):
        assert resolve.named("ours").method == resolve.named("simclr").method == "simclr"
        assert resolve.named("byol").method == "byol"
        with pytest.raises(Refused, match=r"there is no variant 'simcrl' in ours: did you mean simclr\?"):
            resolve.named("simcrl")


@pytest.mark.parametrize(
    ("command", "changes", "sentence"),
    [
        (("tasks.configure",), {"suite": {"variants.simcrl": {}}}, "variants.simcrl has no `method`"),
        (("tasks.configure", "nope"), {}, "there is no variant 'nope' in ours"),
        (("tasks.configuration.choose",), {"suite": {"seeds": [True]}}, "seeds is [True]"),
        (
            ("tasks.configuration.choose", "--suite", "hours"),
            {},
            "there is no suite suites/hours.yaml: did you mean ours?",
        ),
        (("tasks.configuration.choose", "--data", "nothing"), {}, "DATA is 'nothing', which is neither a folder or"),
    ],
)
def test_the_commands_end_with_one_sentence(tmp_path: Path, command: Any, changes: Any, sentence: str) -> None:
    done = run("python", "-m", *command, cwd=write(tmp_path, **changes), PYTHONPATH=str(PROJECT))
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("stopgrad: ")
    assert sentence in line
