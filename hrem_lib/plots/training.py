"""Figures of a training run."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrem_lib.config import Config
from hrem_lib.plots.house import ERROR, EXTRA, GREY, IMAGE, RELATION, STYLE, TEXT

TERM_NAMES = {
    "initial": ("L(v, u)", IMAGE, "-"),
    "enhanced": ("L(v̄, ū)", RELATION, "--"),
    "crossed_image": ("L(v̄, u)", TEXT, "-."),
    "crossed_text": ("L(v, ū)", EXTRA[0], ":"),
    "regularizer": ("weighted L_reg", GREY, (0, (5, 1, 1, 1, 1, 1))),
}


def loss_terms(ax: Axes, history: list[dict], collapse: float) -> None:
    """Mean loss of each term an epoch, the end of the warm-up and the level of collapse (2 x positives x margin)."""
    epochs = [line["epoch"] for line in history]
    for name, (label, color, style) in TERM_NAMES.items():
        points = [(e, line["loss"][name]) for e, line in zip(epochs, history, strict=True) if name in line["loss"]]
        if points:
            ax.plot(*zip(*points, strict=True), color=color, linestyle=style, marker="o", markersize=3, label=label)
    ax.axhline(collapse, color=ERROR, linestyle="--", linewidth=1)
    ax.text(epochs[0], collapse, "collapse", color=ERROR, va="bottom", fontsize=9)
    start = history[0]["relation_from_step"]
    steps = history[0]["steps"] / history[0]["epoch"]
    if start is not None and start > 0:
        at = start / steps + 0.5
        ax.axvline(at, color=GREY, linestyle=":", linewidth=1)
        ax.text(at, collapse * 0.9, " relation part starts", color=GREY, fontsize=9, va="top")
    ax.set(xlabel="epoch", ylabel="loss of a batch", ylim=(0, collapse * 1.12))
    ax.legend(fontsize=9, loc="center right")


def recall_curves(ax: Axes, history: list[dict]) -> None:
    """Dev R@1 of both directions an epoch, the selected epoch, chance, and where neighbor batches start."""
    epochs = [line["epoch"] for line in history]
    for key, color, marker, label in (
        ("i2t", IMAGE, "o", "image to text"),
        ("t2i", TEXT, "s", "text to image"),
    ):
        ax.plot(epochs, [h["dev"][key]["R@1"] for h in history], color=color, marker=marker, markersize=4, label=label)
    best = max(history, key=lambda line: line["dev"]["rSum"])["epoch"]
    ax.axvline(best, color=RELATION, linewidth=1)
    top = ax.get_ylim()[1]
    ax.text(best, 0.02 * top, "selected ", color=RELATION, fontsize=9, ha="right")
    chance = 100 / history[0]["dev"]["images"]
    ax.axhline(chance, color=GREY, linestyle="--", linewidth=1)
    ax.text(epochs[0], chance, "chance", color=GREY, fontsize=9, va="bottom")
    neighbor = [line["epoch"] for line in history if line["sampling"] == "neighbor"]
    if neighbor:
        ax.axvspan(neighbor[0] - 0.5, epochs[-1] + 0.5, color=GREY, alpha=0.12, hatch="//", linewidth=0)
        ax.text(neighbor[0] - 0.4, top * 0.97, "neighbor batches", color=GREY, fontsize=9, va="top")
    ax.set(xlabel="epoch", ylabel="dev R@1 (%)", ylim=(0, top * 1.05))
    ax.legend(fontsize=9, loc="center right")


def training_curves(history: list[dict], config: Config) -> Figure:
    """Loss terms, dev recalls and gradient norm of a run, side by side."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        loss_terms(left, history, 2 * config.training.batch_size * config.loss.margin)
        recall_curves(middle, history)
        epochs = [line["epoch"] for line in history]
        right.plot(epochs, [line["grad_norm"] for line in history], color=IMAGE, marker="o", markersize=3)
        right.axhline(config.training.grad_clip, color=ERROR, linestyle="--", linewidth=1)
        right.text(epochs[0], config.training.grad_clip, "clipped above", color=ERROR, fontsize=9, va="bottom")
        right.set(xlabel="epoch", ylabel="gradient norm before clipping", yscale="log")
        best = max(history, key=lambda line: line["dev"]["rSum"])
        left.set_title("Loss terms")
        middle.set_title(f"Best dev rSum {best['dev']['rSum']:.1f} in epoch {best['epoch']}")
        right.set_title("Gradient")
    return figure


def save_training_curves(history: list[dict], path: Path, config: Config) -> None:
    """`training_curves` as a PNG file."""
    training_curves(history, config).savefig(path)
