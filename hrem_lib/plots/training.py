"""Figures of a training run."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrem_lib.checkpoints import write_bytes
from hrem_lib.config import Config
from hrem_lib.plots.house import ERROR, EXTRA, GREY, IMAGE, RELATION, STYLE, TEXT

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
        # named at the end of the line, so that no legend covers it
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
        figure = Figure(figsize=(13, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        loss_terms(left, history)
        recall_curves(middle, history)
        epochs = [line["epoch"] for line in history]
        right.plot(epochs, [line["grad_norm"] for line in history], color=IMAGE, marker="o", markersize=3)
        right.axhline(config.training.grad_clip, color=ERROR, linestyle="--", linewidth=1)
        right.text(epochs[0], config.training.grad_clip, "clipped above", color=ERROR, fontsize=9, va="bottom")
        right.set(xlabel="epoch", ylabel="gradient norm before clipping", yscale="log")
        best = max(history, key=lambda line: line["dev"]["rSum"])
        left.set_title("Loss terms")
        middle.set_title(f"Best dev rSum {best['dev']['rSum']:.1f} in epoch {best['epoch']} (circled)")
        right.set_title("Gradient")
    return figure


def save_training_curves(history: list[dict], path: Path, config: Config) -> None:
    """`training_curves` as a PNG file."""
    buffer = io.BytesIO()
    training_curves(history, config).savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
