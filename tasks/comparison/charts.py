"""The report's charts, as SVG that a page can hold. Greys in the middle read on light and on dark paper."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks.comparison import points
from tasks.comparison.compared import Compared
from tasks.comparison.measured import Key
from tasks.main_figure import MAIN

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6fd1", "#a0522d")
GREY = "#7f7f7f"
MARKERS = "osD^vP"
"""A suite of more variants than colours has the colours again, with another marker."""

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "stopgrad", "text.parse_math": False,
    "font.family": "sans-serif", "font.size": 10,
    "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GREY, "grid.alpha": 0.2,
    "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.transparent": True,
})  # fmt: skip


def colours(variants: Sequence[str]) -> dict[str, str]:
    """A colour for each variant, the same in every chart."""
    return {variant: COLOURS[i % len(COLOURS)] for i, variant in enumerate(variants)}


def markers(variants: Sequence[str]) -> dict[str, str]:
    """A marker for each variant, which tells those of one colour apart."""
    return {variant: MARKERS[i // len(COLOURS) % len(MARKERS)] for i, variant in enumerate(variants)}


def by_label_fraction(compared: Compared, images: str) -> str:
    """A data set's main test figure against the share of labels: the probe, and fine-tuning where there is any."""
    protocols = {"feature_extraction": "linear probe", "fine_tuning": "fine-tuned"}
    shown = list(protocols)[: 2 if compared.plan.fine_tune else 1]
    figure = Figure(figsize=(9 if len(shown) == 2 else 5.5, 3.6), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    fractions = compared.fractions(images)
    for panel, protocol in zip(panels, shown, strict=True):
        for variant, colour in colours(list(compared.plan.variants)).items():
            _with_intervals(panel, compared, images, variant, protocol, colour)
        panel.set(title=protocols[protocol], xscale="log", xlabel="share of the labels")
        panel.set_xticks(fractions, [f"{100 * fraction:g} %" for fraction in fractions])
        panel.minorticks_off()
    panels[0].set_ylabel(f"test {MAIN[compared.main(images)]}, %")
    named = panels[0].get_legend_handles_labels()
    columns = min(3 * len(shown), max(1, len(named[1])))
    figure.legend(*named, loc="outside lower center", ncols=columns, fontsize=8)
    return _svg(figure)


def by_cost(compared: Compared, images: str) -> str:
    """The probe's main test figure on all labels against the seconds of pretraining; empty where no cost is known.

    The names stand in a column beside the panel, in its order, so that many close ones stay readable.
    """
    key = Key("feature_extraction", "linear", compared.fractions(images)[-1], compared.main(images))
    known: dict[str, tuple[float, float, float]] = {}
    for variant in compared.plan.variants:
        seconds = compared.cost(variant, "pretrain", "seconds")
        reached = compared.figure(compared.shown(variant, images), key)
        if seconds and reached:
            known[variant] = seconds.mean, 100 * reached.mean, points.half(reached) or 0.0
    figure = Figure(figsize=(9, max(3.6, 0.8 + 0.2 * len(known))), layout="constrained")
    panel = figure.subplots()
    shades, shapes = (of(list(compared.plan.variants)) for of in (colours, markers))
    for variant, (seconds, reached, half) in known.items():
        panel.errorbar(seconds, reached, half, marker=shapes[variant], markersize=5, color=shades[variant])
    panel.set(xlabel="pretraining, seconds", ylabel=f"linear probe, test {MAIN[key.metric]}, %")
    panel.margins(x=0.08, y=0.1)
    _named_beside(panel, {name: (x, y) for name, (x, y, _) in known.items()}, shades)
    return _svg(figure) if known else ""


def _named_beside(panel: Axes, places: Mapping[str, tuple[float, float]], shades: Mapping[str, str]) -> None:
    """Name points in a column to the right of a panel, each as high as its point if the others leave room."""
    low, high = panel.get_ylim()
    apart = (high - low) / max(18, len(places))
    order = sorted(places, key=lambda name: places[name][1])
    heights: list[float] = []
    for i, name in enumerate(order):
        least = heights[-1] + apart if heights else low
        most = high - apart * (len(order) - 1 - i)
        heights.append(min(max(places[name][1], least), most))
    for name, height in zip(order, heights, strict=True):
        shown = panel.annotate(
            name, places[name], xytext=(1.03, (height - low) / (high - low)), textcoords="axes fraction",
            fontsize=9, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": shades[name], "alpha": 0.35, "linewidth": 0.8, "shrinkB": 3},
        )  # fmt: skip
        shown.set_url(f"#variant-{name}")


def loss_curves(of_variants: Mapping[str, Sequence[tuple[float, float]]], variants: Sequence[str]) -> str:
    """Losses by epoch, each variant's on its own scale; `variants` are all, for their colours. Empty without any."""
    shades = colours(variants)
    return _panels(of_variants, 3, 2.2, lambda panel, variant, rows: (
        panel.plot(*zip(*rows, strict=True), color=shades[variant]),
        panel.set(title=variant, xlabel="epoch"),
    ))  # fmt: skip


def maps(of_variants: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> str:
    """Points [N, 2] of each variant, coloured by class; with more than 20 classes, without a legend.

    By their rank where labels are numbers, float [N].
    """
    palette = matplotlib.colormaps["tab20" if len(classes) > 10 else "tab10"]
    if numbers := np.issubdtype(labels.dtype, np.floating):
        ranks = np.searchsorted(np.sort(labels), labels) / max(1, len(labels) - 1)
        shade = [*matplotlib.colormaps["viridis"](ranks)]
    else:
        shade = [palette(label % palette.N) if label >= 0 else GREY for label in labels]

    def scatter(panel: Axes, variant: str, points: np.ndarray) -> None:
        panel.scatter(points[:, 0], points[:, 1], c=shade, s=5, linewidths=0)
        panel.set(title=variant, xticks=[], yticks=[])
        panel.grid(visible=False)

    named = (
        [(name, palette(i % palette.N)) for i, name in enumerate(classes)] if len(classes) <= 20 and not numbers else []
    )
    return _panels(of_variants, 3, 3.0, scatter, named)


def _panels(
    content: Mapping[str, Any],
    columns: int,
    height: float,
    draw: Callable[[Axes, str, Any], object],
    named: Sequence = (),
) -> str:
    if not content:
        return ""
    rows = -(-len(content) // columns)
    figure = Figure(figsize=(9, height * rows + (0.5 if named else 0)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, (variant, of_one) in zip(panels, content.items(), strict=False):
        draw(panel, variant, of_one)
    for panel in panels[len(content) :]:
        panel.set_visible(False)
    handles = [Line2D([], [], marker="o", linestyle="", color=colour) for _, colour in named]
    if named:
        figure.legend(handles, [name for name, _ in named], loc="outside lower center", ncols=5, fontsize=8)
    return _svg(figure)


def _with_intervals(panel: Axes, compared: Compared, images: str, variant: str, protocol: str, colour: str) -> None:
    place = compared.shown(variant, images)
    keys = [Key(protocol, "linear", fraction, compared.main(images)) for fraction in compared.fractions(images)]
    found = [(key.fraction, compared.figure(place, key)) for key in keys]
    known = [(fraction, 100 * one.mean, points.half(one) or 0.0) for fraction, one in found if one]
    if known:
        dashed = "--" if compared.plan.variants[variant].family == "baseline" else "-"
        x, y, half = zip(*known, strict=True)
        marker = markers(list(compared.plan.variants))[variant]
        panel.errorbar(x, y, half, marker=marker, markersize=4, linestyle=dashed, color=colour, label=variant)


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return written.getvalue()[written.getvalue().index("<svg") :]
