"""Figures of training (Sec 4): curves, overfitting, ablations, selection on the test split: notebook 06."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hrem_lib.config import Config
from hrem_lib.files import write_bytes
from hrem_lib.plots.losses import COLORS, MARKERS
from hrem_lib.plots.style import ERROR, EXTRA, GREY, IMAGE, RELATION, STYLE, TEXT

TERM_NAMES = {
    "initial": ("L(v, u)", IMAGE, "-"),
    "enhanced": ("L(v̄, ū)", RELATION, "--"),
    "crossed_image": ("L(v̄, u)", TEXT, "-."),
    "crossed_text": ("L(v, ū)", EXTRA[0], ":"),
    "regularizer": ("weighted L_reg", GREY, (0, (5, 1, 1, 1, 1, 1))),
}


def loss_terms(ax: Axes, history: list[dict]) -> None:
    """Mean loss of each term an epoch, the end of the warm-up and the level of collapse (2 x positives x margin)."""
    epochs = [line["epoch"] for line in history]
    for name, (label, color, style) in TERM_NAMES.items():
        points = [(e, line["loss"][name]) for e, line in zip(epochs, history, strict=True) if name in line["loss"]]
        if points:
            ax.plot(*zip(*points, strict=True), color=color, linestyle=style, marker="o", markersize=3, label=label)
    collapse = [line["collapse"] for line in history]  # neighbor batches hold fewer positives
    top = 1.12 * max(*collapse, *(v for h in history for n, v in h["loss"].items() if n in TERM_NAMES))
    ax.plot(epochs, collapse, color=ERROR, linestyle="--", linewidth=1)
    ax.text(
        0.99, max(collapse) / top, "collapse", color=ERROR, va="bottom", ha="right", fontsize=9, transform=ax.transAxes
    )
    start = history[0]["relation_from_step"]
    if start:
        at = start / (history[0]["steps"] / history[0]["epoch"]) + 0.5
        ax.axvline(at, color=GREY, linestyle=":", linewidth=1)
        ax.text(at, top * 0.03, " relation part starts", color=GREY, fontsize=9, va="bottom")
    ax.set(xlabel="epoch", ylabel="loss of a batch", ylim=(0, top))
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(0, 0.45))


def recall_curves(ax: Axes, history: list[dict]) -> None:
    """Dev R@1 of both directions an epoch, the selected epoch, chance, and where neighbor batches start."""
    epochs = [line["epoch"] for line in history]
    for key, color, marker, label in (
        ("i2t", IMAGE, "o", "image to text"),
        ("t2i", TEXT, "s", "text to image"),
    ):
        values = [line["dev"][key]["R@1"] for line in history]
        ax.plot(epochs, values, color=color, marker=marker, markersize=4)
        # named at the end of the line: no legend covers it
        ax.annotate(f"   {label}", (epochs[-1], values[-1]), color=color, fontsize=9, va="center")
    best = max(history, key=lambda line: line["dev"]["rSum"])
    for key in ("i2t", "t2i"):
        ax.plot(best["epoch"], best["dev"][key]["R@1"], marker="o", markersize=10, color=RELATION, fillstyle="none")
    chance = 100 / history[0]["dev"]["images"]
    ax.axhline(chance, color=GREY, linestyle="--", linewidth=1)
    ax.annotate(" chance", (epochs[-1], chance), color=GREY, fontsize=9, va="bottom")
    neighbor = [line["epoch"] for line in history if line["sampling"] == "neighbor"]
    if neighbor:
        ax.axvspan(neighbor[0] - 0.5, epochs[-1] + 0.5, facecolor=GREY, alpha=0.15)
        middle = (neighbor[0] + epochs[-1]) / 2
        ax.text(middle, 0.06, "neighbor\nbatches", color="#505050", fontsize=9, va="bottom", ha="center",
                transform=ax.get_xaxis_transform())  # fmt: skip
    ax.set(xlabel="epoch", ylabel="dev R@1 (%)", xlim=(0.3, epochs[-1] + 0.35 * len(epochs)), ylim=(0, None))


def training_curves(history: list[dict], config: Config) -> Figure:
    """Loss terms, dev recalls and gradient norm of a run, side by side."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        loss_terms(left, history)
        recall_curves(middle, history)
        epochs = [line["epoch"] for line in history]
        right.plot(epochs, [line["grad_norm"] for line in history], color=IMAGE, marker="o", markersize=3)
        right.axhline(config.training.grad_clip, color=ERROR, linestyle="--", linewidth=1)
        right.text(epochs[0], config.training.grad_clip, "clipped above", color=ERROR, fontsize=9, va="bottom")
        right.set(xlabel="epoch", ylabel="gradient norm before clipping", yscale="log")
        for ax in (left, middle, right):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        best = max(history, key=lambda line: line["dev"]["rSum"])
        left.set_title("Loss terms")
        middle.set_title(f"Best (ring): dev rSum {best['dev']['rSum']:.1f}")
        right.set_title("Gradient")
    return figure


def save_training_curves(history: list[dict], path: Path, config: Config) -> None:
    """`training_curves` as a PNG file."""
    buffer = io.BytesIO()
    training_curves(history, config).savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def overfit_curve(losses: Sequence[float], collapse: float, title: str) -> Figure:
    """Loss of one batch that is repeated, with the level of collapse.

    Args:
        losses: [steps]
        collapse: 2 x positives x margin
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    ax.plot(range(1, len(losses) + 1), losses, color=IMAGE, marker="o", markersize=3)
    ax.axhline(collapse, color=ERROR, linestyle="--", linewidth=1)
    ax.text(len(losses), collapse, "collapse", color=ERROR, fontsize=9, ha="right", va="bottom")
    ax.set(xlabel="step", ylabel="loss L(v, u)", ylim=(-0.1, 1.15 * max(collapse, *losses)), title=title)
    return figure


def ablation(arms: dict[str, Sequence[tuple[float, float]]]) -> Figure:
    """Dev and test rSum of all runs, side by side on one scale; the title compares arms with seeds.

    Args:
        arms: {arm: (dev rSum, test rSum) of each seed}
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.62 * len(arms) + 1.4), sharex=True, sharey=True)
    for column, (ax, split) in enumerate(zip(axes, ("dev", "test"), strict=True)):
        values = {arm: [pair[column] for pair in pairs] for arm, pairs in arms.items()}
        means = [np.mean(dots) for dots in values.values()]
        spread = max(max(dots) - min(dots) for dots in values.values())
        title = f"{split}: arms differ by up to {max(means) - min(means):.1f}, seeds by up to {spread:.1f}"
        title = title if spread else f"{split}: one seed only"
        ablation_dots(ax, values, f"{split} rSum", title)
    return figure


def ablation_dots(ax: Axes, values: Mapping[str, Sequence[float]], xlabel: str, title: str) -> None:
    """One row an arm, one dot a seed, a bar at the mean, the mean and the range in words.

    Args:
        ax: where
        values: {arm: one figure a seed}, first arm on top
        xlabel, title: words
    """
    for row, dots in enumerate(values.values()):
        color, marker = COLORS[row % len(COLORS)], MARKERS[row % len(MARKERS)]
        mean = float(np.mean(dots))
        ax.plot([mean, mean], [row - 0.28, row + 0.28], color="black", linewidth=2)
        ax.scatter(
            dots,
            row + 0.12 * np.linspace(-1, 1, len(dots)) * (len(dots) > 1),
            color=color,
            marker=marker,
            s=45,
            zorder=3,
        )
        text = f"{mean:.1f}" + (f" ({min(dots):.1f} to {max(dots):.1f})" if len(dots) > 1 else " (one seed)")
        ax.text(1.01, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    ax.set_yticks(range(len(values)), list(values))
    ax.set(ylim=(len(values) - 0.5, -0.5), xlabel=xlabel, title=title)
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)


def selection_optimism(gaps: dict[str, np.ndarray], title: str) -> Figure:
    """How much a reported figure exceeds the truth, over many runs, one outline a way of selecting.

    Args:
        gaps: {label: reported minus true figure [runs]}
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(7.5, 3.8))
    low, high = min(g.min() for g in gaps.values()), max(g.max() for g in gaps.values())
    bins = np.arange(np.floor(low) - 0.25, high + 1, 1.0)  # figures come in steps of 100 / queries: no edge on a step
    for (label, values), color, style in zip(gaps.items(), (IMAGE, ERROR, RELATION), ("-", "--", ":"), strict=False):
        ax.hist(values, bins, histtype="step", color=color, linestyle=style, linewidth=2, label=label)  # pyright: ignore[reportArgumentType]  # an array will do
        ax.axvline(values.mean(), color=color, linestyle=style, linewidth=1)
        ax.text(
            values.mean(), 1.01, f"{values.mean():+.1f}", color=color, ha="center", transform=ax.get_xaxis_transform()
        )
    ax.set(xlabel="reported minus true R@1 (points)", ylabel="runs")
    ax.set_title(title, pad=18)
    ax.legend(fontsize=9)
    return figure
