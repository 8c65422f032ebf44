"""A table of objectives at 100 epochs: ResNet-18 at CIFAR's size, each with settings that were published for it.

They are those of solo-learn's CIFAR recipes, made for batch 256 and 1000 epochs, as far as ours have the same; LeJEPA's
and MAE's are their papers'. One seed: a look at which objective works on a device, no verdict between them.
"""

from dataclasses import replace
from typing import Any

from benchmarks import arrays
from benchmarks.cell import Cell, Method, knn10, probe
from benchmarks.page import Section
from benchmarks.part import Figures, Part, Setting
from benchmarks.workload import STRONG
from ssl_core.augmentation import ColourJitter, GaussianBlur, RandomResizedCrop, Recipe
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.heads import MomentumConfig
from ssl_core.objectives.barlow_twins import BarlowTwinsConfig
from ssl_core.objectives.byol import BYOLConfig
from ssl_core.objectives.dino import DINOConfig
from ssl_core.objectives.lejepa import LeJEPAConfig
from ssl_core.objectives.mae import MAEConfig
from ssl_core.objectives.moco_v2 import MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3Config
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.objectives.simsiam import SimSiamConfig
from ssl_core.objectives.supervised import SupervisedConfig
from ssl_core.objectives.swav import SwAVConfig
from ssl_core.objectives.vicreg import VICRegConfig
from ssl_core.training.optimiser import AdamWConfig, LARSConfig, OptimiserConfig, SGDConfig

EPOCHS, BATCH = 100, 256
RESNET, VIT = ResNetConfig(name="resnet18"), ViTConfig(name="vit", width=192, depth=12, heads=3)

FAINT = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
BYOL = Recipe(views=1, crop=RandomResizedCrop(scale=(0.08, 1.0)), jitter=FAINT)
BYOLS = (BYOL, replace(BYOL, solarise=0.2))
VICREGS = Recipe(crop=RandomResizedCrop(scale=(0.2, 1.0)), jitter=FAINT, solarise=0.1)
MOCOS = Recipe(crop=RandomResizedCrop(scale=(0.2, 1.0)), jitter=replace(FAINT, saturation=0.4), blur=GaussianBlur())
WEAK = Recipe(views=1, crop=RandomResizedCrop(scale=(0.2, 1.0)), jitter=None, greyscale=0.0)


def lars(rate: float, decay: float) -> LARSConfig:
    return LARSConfig(learning_rate=rate, weight_decay=decay, eta=0.02, clip=True)


def sized(config: Any, width: int, output: int, layers: int | None = None) -> Any:
    """The configuration with its projector at another size."""
    ours = config.projector
    return replace(config, projector=replace(ours, width=width, output=output, layers=layers or ours.layers))


def method(
    objective: Any,
    recipes: tuple[Recipe, ...],
    optimiser: OptimiserConfig,
    backbone: BackboneConfig = RESNET,
    representation: str = "backbone",
) -> Method:
    return Method(
        objective=objective,
        backbone=backbone,
        recipes=recipes,
        optimiser=optimiser,
        batch=BATCH,
        representation=representation,
    )


SLOW = MomentumConfig(start=0.99, end=1.0)
METHODS = {
    "SimCLR": method(sized(SimCLRConfig(name="simclr"), 2048, 256), (STRONG,), lars(0.4, 1e-4)),
    "BYOL": method(sized(BYOLConfig(name="byol", predictor=4096, momentum=SLOW), 4096, 256), BYOLS, lars(1.0, 1e-5)),
    "Barlow Twins": method(sized(BarlowTwinsConfig(name="barlow_twins"), 2048, 2048), BYOLS, lars(0.3, 1e-4)),
    "VICReg": method(sized(VICRegConfig(name="vicreg"), 2048, 2048), (VICREGS,), lars(0.3, 1e-4)),
    "MoCo v2+": method(
        sized(MoCoV2Config(name="moco_v2", queue=32768), 2048, 256),
        (MOCOS,),
        SGDConfig(learning_rate=0.3, weight_decay=1e-4),
    ),
    "MoCo v3": method(sized(MoCoV3Config(name="moco_v3", predictor=4096), 4096, 256), BYOLS, lars(0.3, 1e-6)),
    "SimSiam": method(
        sized(SimSiamConfig(name="simsiam", predictor=512, constant_predictor_rate=True), 2048, 2048),
        (MOCOS,),
        SGDConfig(learning_rate=0.5, weight_decay=1e-5),
    ),
    "SwAV": method(sized(SwAVConfig(name="swav", prototypes=3000), 2048, 128), (STRONG,), lars(0.6, 1e-6)),
    "DINO": method(
        sized(
            DINOConfig(
                name="dino",
                prototypes=4096,
                teacher_temperature=0.07,
                momentum=MomentumConfig(start=0.9995, end=1.0),
            ),
            2048,
            256,
        ),
        BYOLS,
        lars(0.3, 1e-6),
        representation="teacher",
    ),
    "LeJEPA": method(
        sized(LeJEPAConfig(name="lejepa"), 2048, 64),
        (replace(BYOL, views=4),),
        AdamWConfig(learning_rate=2e-3, weight_decay=0.05),
    ),
    "MAE": method(
        MAEConfig(name="mae"),
        (WEAK,),
        AdamWConfig(learning_rate=2e-4, weight_decay=0.05, betas=(0.9, 0.95)),
        backbone=VIT,
    ),
    "supervised": method(SupervisedConfig(name="supervised"), (WEAK,), SGDConfig(learning_rate=0.1, weight_decay=5e-4)),
}


def part(setting: Setting) -> Part:
    """One piece an objective."""
    names = ["SimCLR", "MAE", "supervised"] if setting.tiny else list(METHODS)
    pieces = {name: lambda name=name: run(setting, METHODS[name], name) for name in names}
    return Part(pieces=pieces, section=section, limit=None)


def run(setting: Setting, chosen: Method, name: str) -> Figures:
    """Pretrain on train, evaluate on test."""
    assert setting.data, "it needs --data"
    if setting.tiny:
        vit = isinstance(chosen.backbone, ViTConfig)
        small = ViTConfig(name="vit", width=24, depth=1, heads=2) if vit else ResNetConfig(name="resnet10", width=8)
        chosen = replace(chosen, backbone=small, batch=64)
    cell = Cell(
        method=chosen,
        arrays=arrays.load(setting.data, setting.folder.parent / "arrays"),
        splits=("train",),
        epochs=1 if setting.tiny else EPOCHS,
        seed=0,
        folder=setting.folder / name.replace(" ", "_"),
        device=setting.device,
    )
    objective, figures = cell.pretrain(10**9, lambda *_: None)
    network, classes = objective.kept()[chosen.representation], cell.arrays.classes
    train, val, test = (cell.split(network, each) for each in ("train", "val", "test"))
    return {**figures, "knn": knn10(train, test, classes), "probe": probe(train, val, test, classes)}


def section(figures: dict[str, Figures]) -> Section:
    """A row an objective."""
    return Section(
        title=f"Objectives at {EPOCHS} epochs",
        measured=(
            f"ResNet-18 (MAE: a transformer of width {VIT.width} and {VIT.depth} blocks), batch {BATCH}, published "
            "settings, one seed; on test, k-NN of the 10 nearest by cosine and a linear probe."
        ),
        columns=["", "probe", "k-NN", "minutes", "images/s"],
        rows=[
            [
                name,
                f"{each['probe']:.1%}",
                f"{each['knn']:.1%}",
                f"{each['seconds'] / 60:.1f}",
                f"{each['images'] / each['seconds']:,.0f}",
            ]
            for name, each in figures.items()
        ],
    )
