"""Figures of a reproduction: weights' names, layers, published figures, cost (Sec 3.5, Sec 4): notebook 08.

Every figure draws numbers that it is given; the only computation here is `layer_report`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from hrem_lib.plots.style import ERROR, EXTRA, GREY, IMAGE, RELATION, ROW, TEXT

# ---- published figures ---------------------------------------------------------------------------------------


class Published(NamedTuple):
    """One line of the paper's tables, or of the authors' figures for the checkpoints that they released."""

    model: str
    benchmark: str
    models: int  # 2: the mean of two models' similarity matrices (the paper's *)
    i2t: dict[int, float]  # R@K in per cent
    t2i: dict[int, float]
    rsum: float | None  # as printed; rounding leaves up to 0.1


def _line(model: str, benchmark: str, models: int, *figures: float) -> Published:
    half = len(figures) // 2
    i2t, t2i = (
        dict[int, float](zip((1, 5, 10), part, strict=False)) for part in (figures[:half], figures[half : 2 * half])
    )
    return Published(model, benchmark, models, i2t, t2i, figures[-1] if len(figures) % 2 else None)


# images behind a figure; COCO 1K is the mean over five folds of 1,000 images
IMAGES = {"Flickr30K 1K": 1000, "COCO 1K": 5000, "COCO 5K": 5000}
PUBLISHED = (
    _line("BERT", "Flickr30K 1K", 2, 84.0, 96.1, 98.6, 64.4, 88.0, 93.1, 524.2),
    _line("BERT", "COCO 1K", 2, 82.9, 96.9, 99.0, 67.1, 92.0, 96.6, 534.6),
    _line("BERT", "COCO 5K", 2, 64.0, 88.5, 93.7, 45.4, 75.1, 84.3, 450.9),
    _line("BERT", "Flickr30K 1K", 1, 84.4, 96.7, 62.4, 86.6),
    _line("BERT", "COCO 1K", 1, 81.9, 96.9, 65.9, 91.4),
    _line("BERT", "COCO 5K", 1, 62.5, 87.4, 44.0, 73.9),
    _line("BiGRU", "Flickr30K 1K", 2, 81.4, 96.5, 98.5, 60.9, 85.6, 91.3, 514.3),
    _line("BiGRU", "COCO 1K", 2, 81.2, 96.5, 98.9, 63.7, 90.7, 96.0, 527.1),
)


class Interval(NamedTuple):
    """R@1 with its interval, for `published_intervals`."""

    label: str
    benchmark: str
    direction: str  # "i2t" or "t2i"
    value: float  # per cent
    interval: tuple[float, float]
    widest: tuple[float, float] | None = None  # if what is not published lies as badly as it can
    ours: bool = False


def published_intervals(rows: Sequence[Interval]) -> Figure:
    """R@1 with intervals, one column a benchmark; image to text above and round, text to image below and square.

    Args:
        rows: figures in the order in which they are drawn, from the top; ours are filled green
    """
    benchmarks = list(dict.fromkeys(row.benchmark for row in rows))
    labels = list(dict.fromkeys(row.label for row in rows))
    size = (ROW[0], 1.9 + 0.85 * len(labels))
    figure, axes = plt.subplots(2, len(benchmarks), figsize=size, sharey=True, squeeze=False)
    look = {"i2t": (0, IMAGE, "o"), "t2i": (1, TEXT, "s")}
    for row in rows:
        line, color, marker = look[row.direction]
        ax, y = axes[line][benchmarks.index(row.benchmark)], labels.index(row.label)
        if row.widest:
            ax.plot(row.widest, [y, y], color=color, linewidth=1.2, marker="|", markersize=9)
        ax.plot(row.interval, [y, y], color=color, linewidth=5, solid_capstyle="butt")
        face = RELATION if row.ours else "white"
        ax.plot(row.value, y, marker, color=color, markersize=8, markerfacecolor=face, markeredgewidth=2)
        place = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 10}
        ax.annotate(f"{row.value:.1f}", (row.value, y), **place)
    for line, direction in enumerate(("image to text", "text to image")):
        for ax, benchmark in zip(axes[line], benchmarks, strict=True):
            ax.set(title=f"{benchmark}, {direction}", ylim=(len(labels) - 0.5, -0.8))
            ax.margins(x=0.08)
            ax.grid(axis="x", color="#E0E0E0", linewidth=0.8)
            ax.set_axisbelow(True)
            ax.tick_params(axis="y", length=0)
    for ax in axes[1]:
        ax.set_xlabel("R@1 in per cent")
    axes[0][0].set_yticks(range(len(labels)), labels)
    hollow = {"markerfacecolor": "white", "linewidth": 5}
    handles = [
        Line2D([], [], color=IMAGE, marker="o", label="one query a picture", **hollow),
        Line2D([], [], color=TEXT, marker="s", label="captions independent", **hollow),
        Line2D([], [], color=TEXT, marker="|", linewidth=1.2, label="five captions always agree"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    return figure


# ---- layer by layer ------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """One quantity in two implementations."""

    name: str
    difference: float  # largest absolute difference; infinite if not comparable
    ok: bool
    note: str = ""  # why it is not comparable: "missing", "shape" or "NaN"


def layer_report(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], tolerance: float) -> list[Layer]:
    """Largest absolute difference of every quantity, in the order of `theirs` (which is that of the computation).

    Args:
        theirs, ours: name -> tensor of any shape; booleans count as 0 and 1; equal infinities do not differ
        tolerance: up to this a layer is ok; 1e-5 in float32 and 1e-10 in float64 are usual
    """
    report = []
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape:
            report.append(Layer(name, math.inf, False, "missing" if got is None else "shape"))
            continue
        a, b = wanted.detach().double(), got.detach().double()
        if a.isnan().any() or b.isnan().any():
            report.append(Layer(name, math.inf, False, "NaN"))
            continue
        difference = float(torch.where(a == b, 0.0, (a - b).abs()).max())
        report.append(Layer(name, difference, difference <= tolerance))
    return report


def layer_bars(panels: Sequence[tuple[str, Sequence[Layer], float]], floor: float = 1e-17) -> Figure:
    """Bars of layer reports on a log scale, first layer on top: green and "ok", or hatched vermilion and "diff".

    Args:
        panels: (title, report, tolerance) side by side; the tolerance is a dashed line
        floor: left end of the scale; equal values have no bar and read "equal"
    """
    rows = max(len(report) for _, report, _ in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(ROW[0], 1.2 + 0.27 * rows), squeeze=False)
    for ax, (title, report, tolerance) in zip(axes[0], panels, strict=True):
        _bars(ax, report, tolerance, floor)
        ax.set_xticks([10.0**p for p in range(-16, 1, 8 if len(panels) > 2 else 4)])
        ax.set_title(title)
    return figure


def _bars(ax: Axes, report: Sequence[Layer], tolerance: float, floor: float) -> None:
    right = 1e4  # the verdicts stand in a column at the right end
    for y, layer in enumerate(report):
        end = min(max(layer.difference, floor), 10.0)
        color = RELATION if layer.ok else ERROR
        look: dict[str, Any] = {"color": color} if layer.ok else {"color": "white", "edgecolor": color, "hatch": "////"}
        ax.barh(y, end - floor, left=floor, height=0.7, linewidth=1, **look)
        word = "equal" if layer.difference == 0 else "ok" if layer.ok else layer.note or "diff"
        weight = "normal" if layer.ok else "bold"
        ax.text(right, y, word, va="center", ha="right", fontsize=10, color=color, weight=weight)
    ax.axvline(tolerance, color="black", linestyle="--", linewidth=1)
    label = f"$10^{{{round(math.log10(tolerance))}}}$"
    ax.annotate(label, (tolerance, -0.5), (3, 0), textcoords="offset points", fontsize=10, va="bottom")
    ax.set_yticks(range(len(report)), [layer.name for layer in report])
    ax.tick_params(axis="y", length=0)
    ax.set(xscale="log", xlim=(floor, right), ylim=(len(report) - 0.5, -1.4), xlabel="largest difference")
    ax.xaxis.set_minor_locator(ticker.NullLocator())


# ---- names of weights ----------------------------------------------------------------------------------------


def key_map(
    mapped: Sequence[tuple[str, str, int]], ignored: Sequence[tuple[str, str, int]], new: Sequence[tuple[str, int]]
) -> Figure:
    """Names in a released file on the left, names in our model on the right.

    Args:
        mapped: (released name, our name, number of tensors)
        ignored: (released name, why it has no place with us, number of tensors)
        new: (our name, number of tensors) for parts that the file does not hold
    """
    count = len(mapped) + len(ignored) + len(new)
    figure, ax = plt.subplots(figsize=(ROW[0], 0.6 + 0.36 * count))
    y = 0
    for left, right, tensors in mapped:
        color = IMAGE if left.startswith("img") else TEXT if left.startswith("txt") else RELATION
        _box(ax, 0, 3, y, left, color)
        _box(ax, 4, 4, y, right, color)
        ax.add_patch(FancyArrowPatch((3.05, y), (3.98, y), arrowstyle="-|>", mutation_scale=11, color=color))
        _middle(ax, y, f"{tensors}")
        y += 1
    remark = {"va": "center", "fontsize": 10, "style": "italic", "color": "#404040"}
    for left, why, tensors in ignored:
        _box(ax, 0, 3, y, left, GREY, "hatched")
        ax.text(4.05, y, why, ha="left", **remark)
        _middle(ax, y, f"✕ {tensors}")
        y += 1
    for right, tensors in new:
        ax.text(2.95, y, "not in the file: starts anew", ha="right", **remark)
        _box(ax, 4, 4, y, right, RELATION, "dashed")
        _middle(ax, y, f"+ {tensors}")
        y += 1
    for x, text in ((1.5, "name in the released file"), (3.5, "tensors"), (6.0, "name in hrem_lib")):
        ax.text(x, -0.95, text, ha="center", va="center", fontsize=10, weight="bold")
    ax.set(xlim=(-0.05, 8.1), ylim=(count - 0.45, -1.3))
    ax.axis("off")
    return figure


def _middle(ax: Axes, y: float, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    ax.text(3.5, y, text, ha="center", va="center", fontsize=10, weight="bold", color="#202020", bbox=box)


def _box(ax: Axes, x: float, width: float, y: float, text: str, color: str, kind: str = "") -> None:
    line = "--" if kind == "dashed" else "-"
    shape = ((x, y - 0.32), width, 0.64, "round,pad=0,rounding_size=0.12")
    ax.add_patch(FancyBboxPatch(*shape, facecolor="white", edgecolor=color, linewidth=1.5, linestyle=line))
    if kind == "hatched":
        ax.add_patch(FancyBboxPatch(*shape, facecolor="none", edgecolor="#C8C8C8", hatch="////", linewidth=0))
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 1} if kind == "hatched" else None
    ax.text(x + 0.1, y, text, ha="left", va="center", family="monospace", fontsize=9.5, bbox=plain)


# ---- uncertainty ---------------------------------------------------------------------------------------------


class Resampled(NamedTuple):
    """Recalls of resampled splits, for `resampled_recalls`."""

    title: str
    values: np.ndarray  # per cent [samples]
    found: float  # recall of the split itself
    interval: tuple[float, float] | None
    step: float  # width of a bar


def resampled_recalls(panels: Sequence[Resampled]) -> Figure:
    """Share of the resampled splits that give each recall, the recall found as a line, the interval shaded."""
    figure, axes = plt.subplots(1, len(panels), figsize=ROW, squeeze=False)
    for ax, (title, values, found, interval, step) in zip(axes[0], panels, strict=True):
        first = step * (np.floor(values.min() / step) - 0.5)
        edges = np.arange(first, values.max() + 1.5 * step, step)
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, edges, weights=share, color=IMAGE, edgecolor="white", rwidth=0.92)
        if len(edges) < 8:
            ax.set_xticks(edges[:-1] + step / 2)
        ax.set_ylim(top=ax.get_ylim()[1] * 1.2)
        top = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 10, "weight": "bold"}
        if interval:
            ax.axvspan(*interval, color=RELATION, alpha=0.18, linewidth=0)
            for side, shift, end in zip(("right", "left"), (-3, 3), interval, strict=True):
                ax.annotate(f"{end:.1f}", (end, 1), (shift, -12), ha=side, color="#005F45", **top)
        ax.axvline(found, color=ERROR, linestyle="--", linewidth=1.5)
        ax.annotate(f"found {found:g}", (found, 1), (4, -12), color="#A34700", **top)
        ax.set(xlabel="R@1 of a resampled split, in per cent", ylabel="share of the splits, %", title=title)
    return figure


def difference_by_disagreement(
    changed: Sequence[int], intervals: Sequence[tuple[float, float]], difference: float, images: int, title: str
) -> Figure:
    """Interval of one difference, depending on how many pictures the two models disagree about.

    Args:
        changed: number of pictures that one model finds and the other does not
        intervals: (low, high) of the difference in points, one for each
        difference: the difference itself, in points
        images: pictures in the split
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(7.5, 3.6))
    for i, (low, high) in enumerate(intervals):
        sure = low > 0 or high < 0
        color = RELATION if sure else ERROR
        dashes = "-" if sure else (0, (1.2, 0.6))
        ax.plot([i, i], [low, high], color=color, linewidth=4, solid_capstyle="butt", linestyle=dashes)
        ax.plot(i, difference, "o" if sure else "X", color=color, markersize=10, markeredgecolor="white")
        place = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 10, "color": color}
        ax.annotate("above 0" if sure else "may be 0", (i, high), **place)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(range(len(changed)), [str(c) for c in changed])
    low, high = min(i[0] for i in intervals), max(i[1] for i in intervals)
    ax.set(xlim=(-0.6, len(changed) - 0.4), ylim=(low - 0.3, high + 0.7), ylabel="difference in R@1, points")
    ax.set(xlabel=f"pictures of {images:,} that only one of the two models finds", title=title)
    return figure


# ---- cost ----------------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """A cost against the number of stored items."""

    label: str
    stored: Sequence[float]
    cost: Sequence[float]


class Costs(NamedTuple):
    """A panel of `cost_curves`."""

    title: str
    xlabel: str
    ylabel: str
    curves: Sequence[Curve]  # from formulas
    counted: Sequence[Curve]  # counted in running code, with the labels of their formulas


def cost_curves(panels: Sequence[Costs]) -> Figure:
    """Costs against the number of stored items, both on log scales: formulas as lines, counts as points."""
    styles = ((RELATION, "-", "o", 11), (TEXT, "--", "s", 7), (ERROR, "-.", "^", 8), (EXTRA[0], ":", "D", 7))
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    look: dict[str, Any] = dict(zip(labels, styles, strict=False))
    figure, axes = plt.subplots(1, len(panels), figsize=(ROW[0], 3.9), squeeze=False)
    for ax, (title, xlabel, ylabel, curves, counted) in zip(axes[0], panels, strict=True):
        for label, stored, cost in curves:
            color, style, *_ = look[label]
            ax.plot(stored, cost, color=color, linestyle=style, linewidth=2.5)
        for label, stored, cost in counted:
            color, _, marker, size = look[label]
            ax.plot(stored, cost, marker, color=color, markersize=size, markeredgecolor="black")
        ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
        ax.grid(color="#E6E6E6", linewidth=0.8)
        ax.set_axisbelow(True)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_locator(ticker.NullLocator())
    handles = [
        Line2D([], [], color=c, linestyle=s, linewidth=2.5, marker=m, markeredgecolor="black", label=label)
        for label, (c, s, m, _) in look.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=10)
    return figure
