"""Plots of fragments that attend to each other inside one picture or caption (Sec 3.2): notebook 02.

Attention is drawn from the weights that the forward pass handed out. Shapes: R regions, L words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image

from hrem_lib.plots.features import INK, number_places, show_picture
from hrem_lib.plots.style import GREY, IMAGE, RELATION, TEXT, heat_map, thumbnails

# -------------------------------------------------------------------------------------------------- attention


def small_maps(panels: dict[str, np.ndarray], names: Sequence[str], title: str) -> Figure:
    """A few small attention maps [n,n] side by side, with their numbers; for reading maps whose values are known."""
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.2))
    for ax, (head, weights) in zip(axes, panels.items(), strict=True):
        last = ax is axes[-1]
        heat_map(
            ax, weights, rows=names, columns=names, numbers=True, limits=(0, 1), colorbar="weight" if last else None
        )
        ax.set_title(head, fontsize=10)
        ax.set_xlabel("is attended to")
    axes[0].set_ylabel("attends")
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def attention_maps(panels: dict[str, np.ndarray], names: Sequence[str], title: str) -> Figure:
    """Attention between regions, the number and the name of each region on both axes.

    Args:
        panels: weights [R,R] by name, row = who attends
        names: R
        title: the finding
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 5.5), sharey=True)
    names = [f"{k} {name}" for k, name in enumerate(names)]
    for ax, (head, weights) in zip(axes, panels.items(), strict=True):
        last = ax is axes[-1]
        heat_map(ax, weights, rows=names, columns=names, limits=(0, 1), colorbar="weight" if last else None)
        ax.set_aspect("equal")
        ax.set_title(head, fontsize=10)
    axes[0].set_ylabel("who attends")
    figure.supxlabel("who is attended to", fontsize=10)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def attention_arrows(
    image: Image.Image, boxes: np.ndarray, weights: np.ndarray, asking: dict[int, str], title: str, least: float = 0.08
) -> Figure:
    """Attention drawn on the picture: arrows from a region to those it attends to, as wide as the weight.

    Args:
        image, boxes: a picture and its boxes [R,4]; row 0, the whole picture, has its number in a corner
        weights: [R,R], row = who attends
        asking: which regions attend, one panel each, with their names
        title: the finding
        least: weights below this are not drawn
    """
    figure, axes = plt.subplots(1, len(asking), figsize=(10, 3.15))
    boxes = np.asarray(boxes, dtype=float)
    half = np.array([15.0, 6.0])  # of a number's box, in pixels of the picture
    for ax, (region, name) in zip(axes, asking.items(), strict=True):
        show_picture(ax, image, fade=0.35)
        x0, y0, x1, y1 = boxes[region]
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=RELATION, linewidth=2.4))
        row = weights[region]
        drawn = [region, *(int(k) for k in np.argsort(-row) if k != region and row[k] >= least)]
        places = np.clip(number_places(boxes[drawn], (70, 45)), half, (image.width, image.height) - half)
        rims = [Rectangle(place - half, *(2 * half), transform=ax.transData) for place in places]
        for other, spot, rim in zip(drawn, places, rims, strict=True):
            a, b, c, d = boxes[other]
            if other not in (0, region):
                ax.add_patch(
                    Rectangle((a, b), c - a, d - b, fill=False, edgecolor=IMAGE, linewidth=1.2, linestyle="--")
                )
            if other != region:  # from the edge of one number's box to that of the other
                arrow = FancyArrowPatch(places[0], spot, patchA=rims[0], patchB=rim, arrowstyle="-|>", zorder=4,
                                        mutation_scale=11, linewidth=1 + 9 * row[other], color=IMAGE, alpha=0.85,
                                        shrinkA=0, shrinkB=0, connectionstyle="arc3,rad=0.18")  # fmt: skip
                ax.add_patch(arrow)
            label = f"{'all' if other == 0 else other}: {row[other]:.2f}"
            ax.text(*spot, label, ha="center", va="center", fontsize=9, color="white", zorder=6,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": RELATION if other == region else IMAGE,
                          "edgecolor": "white", "linewidth": 0.6})  # fmt: skip
        ax.set_title(f"{name} (region {region}) attends to ...", fontsize=10)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def word_attention(weights: np.ndarray, words: Sequence[str], counts: dict[str, Sequence[float]], title: str) -> Figure:
    """Attention between the words of a caption, beside how many fragments a row attends to, a mark for each head.

    Args:
        weights: [L,L], row = who attends
        words: L words
        counts: for each kind of fragments the effective number in each head, as a share of all
        title: the finding
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), width_ratios=(1.35, 1))
    heat_map(left, weights, rows=words, columns=words, limits=(0, 0.3), colorbar="weight (mean of the heads)")
    left.set(xlabel="is attended to", ylabel="attends")
    left.set_title("one caption", fontsize=10)
    for place, (values, color, marker) in enumerate(zip(counts.values(), (IMAGE, TEXT), "os", strict=False)):
        spread = np.linspace(-0.18, 0.18, len(values))
        right.scatter(place + spread, values, color=color, marker=marker, s=42, zorder=3)
    right.axhline(1, color=GREY, linestyle="--", linewidth=1)
    right.text(-0.45, 1.0, "all alike: a plain mean", color=INK, fontsize=9, va="bottom")
    right.set(xlim=(-0.5, len(counts) - 0.5), ylim=(0, 1.12), ylabel="share of the fragments attended to")
    right.set_xticks(range(len(counts)), list(counts))
    right.set_title("all of the test split, a mark for each head", fontsize=10)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


# ---------------------------------------------------------------------------------------------------- pooling


def winners(shares: np.ndarray, pictures: Sequence[np.ndarray], names: Sequence[str], title: str) -> Figure:
    """How many dimensions of the max pool each region wins (bars, in per cent), with the crops below."""
    figure, ax = plt.subplots(figsize=(10, 3.6))
    ax.bar(range(len(shares)), shares, color=IMAGE, width=0.7)
    for place, share in enumerate(shares):
        ax.text(place, share + 0.015 * max(shares), f"{share:.0f}", ha="center", va="bottom", fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
    ax.axhline(100 / len(shares), color=GREY, linestyle="--", linewidth=1)
    ax.text(len(shares) - 0.45, 100 / len(shares), "equal\nshares", color=INK, fontsize=9, va="center")
    ax.set(ylabel="dimensions won (%)", xlim=(-0.6, len(shares) + 0.2), ylim=(0, 1.1 * max(shares)))
    thumbnails(ax, pictures, "x", zoom=40 / len(pictures[0]), pad=4)
    labels = [f"{k} {name}" for k, name in enumerate(names)]
    ax.set_xticks(range(len(shares)), labels, rotation=20, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="x", pad=46, labelsize=9, length=0)
    ax.set_title(title)
    return figure


def parts(lengths: dict[str, tuple[float, float]], recall: dict[str, tuple[float, float]], title: str) -> Figure:
    """How long the two parts of the mix are, and what R@1 is without one of them.

    Args:
        lengths: for pictures and captions the shares (per cent) of max part and context part
        recall: R@1 (i2t, t2i) by what was left out
        title: the finding
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.3), width_ratios=(1, 1.25))
    for place, (first, second) in enumerate(lengths.values()):
        for start, value, color, hatch, name in (
            (0, first, IMAGE, None, "max part, weight 0.8"),
            (first, second, RELATION, "//", "context part, weight 0.2"),
        ):
            left.barh(place, value, left=start, color=color, hatch=hatch, edgecolor="white", height=0.6,
                      label=name if place == 0 else None)  # fmt: skip
            if value > 12:
                left.text(start + value / 2, place, f"{value:.0f} %", ha="center", va="center", color="white",
                          weight="bold", bbox={"facecolor": color, "edgecolor": "none", "pad": 2})  # fmt: skip
    left.set_yticks(range(len(lengths)), list(lengths))
    left.set(xlim=(0, 100), ylim=(len(lengths) - 0.5, -1.3), xlabel="share of the length (%)")
    left.legend(loc="upper center", fontsize=9, ncols=1)
    for place, values in enumerate(recall.values()):
        for value, color, marker, name in zip(
            values, (IMAGE, TEXT), "os", ("image to text", "text to image"), strict=True
        ):
            right.scatter(value, place, color=color, marker=marker, s=50, zorder=3, label=name if place == 0 else None)
            side = "center" if abs(values[0] - values[1]) > 10 else "right" if value == min(values) else "left"
            right.text(value, place - 0.16, f"{value:.1f}", ha=side, va="bottom", fontsize=9)
    right.set_yticks(range(len(recall)), list(recall))
    right.set(xlim=(0, 100), ylim=(len(recall) - 0.5, -1.3), xlabel="test R@1 (%)")
    right.grid(axis="y", color="#DDDDDD", linewidth=1)
    right.legend(loc="upper left", fontsize=9, ncols=2)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def embedding_rows(groups: Sequence[dict[str, np.ndarray]], title: str, shown: int = 48) -> Figure:
    """Embeddings [D] of one sample under several conditions, a row each.

    Args:
        groups: each {condition: embedding}; the cosine beside a row is that to the first row of its group
        title: the finding
        shown: how many dimensions are drawn (the cosine takes all)
    """
    figure, axes = plt.subplots(len(groups), 1, figsize=(10, 0.42 * sum(map(len, groups)) + 1.1), sharex=True,
                                height_ratios=[len(group) for group in groups], squeeze=False)  # fmt: skip
    top = max(np.abs(row[:shown]).max() for group in groups for row in group.values())
    for ax, group in zip(axes[:, 0], groups, strict=True):
        rows = list(group.values())
        image = heat_map(ax, np.stack([row[:shown] for row in rows]), rows=list(group), signed=True, limits=(-top, top))
        for place, row in enumerate(rows):
            cosine = float(row @ rows[0] / np.linalg.norm(row) / np.linalg.norm(rows[0]))
            ax.text(shown - 0.2, place, f"cosine {cosine:.2f}", va="center", fontsize=9, color=INK)
            ax.axhline(place + 0.5, color="white", linewidth=2)
    axes[-1, 0].set(xlabel=f"the first {shown} dimensions", xticks=[])
    figure.colorbar(image, ax=axes[:, 0], label="value", fraction=0.03, pad=0.11)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure
