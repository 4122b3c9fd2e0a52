"""Plots of the task and its metric (Sec 4): notebook 00.

n = images, m = captions, `image_of_caption[j]` is the image that caption j describes. Right answers are bold,
ticked and green, never green alone. Pictures are arrays [height,width,3].
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hrem_lib import metrics
from hrem_lib.data import Split
from hrem_lib.plots.style import (  # fmt: skip
    ERROR,
    GREY,
    IMAGE,
    RELATION,
    TEXT,
    heat_map,
    load_pictures,
    plain,
    thumbnails,
)

RIGHT, WRONG = "✓", "✗"
SIDES = {"i2t": ("image to text", IMAGE, "o", "-"), "t2i": ("text to image", TEXT, "s", "--")}


def ordered(scores: np.ndarray, right: np.ndarray, top: int) -> np.ndarray:
    """Numbers of the `top` best answers; at a tie the wrong one stands first, as in `metrics.ranks`.

    Args:
        scores, right: [answers]
        top: how many
    """
    return np.lexsort((right, -scores))[:top]


def frame(ax: Axes, picture: np.ndarray, color: str | None = None, width: float = 1.0) -> None:
    """A picture in a colored frame, without ticks."""
    ax.imshow(picture, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=color is not None, color=color or GREY, linewidth=width)


def _mark(right: bool) -> dict:
    """How the text of an answer looks."""
    return {"color": RELATION if right else "#404040", "weight": "bold" if right else "normal"}


# ---- pictures and answers -------------------------------------------------------------------------------------


def gallery(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int = 6,
    wrap: int = 24,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Pictures in a grid, each with its name (or "picture" and number) above and a text below."""
    rows = -(-len(pictures) // columns)
    texts = [textwrap.fill(caption, wrap) for caption in captions]
    height = 10 / columns * 0.72 + 0.4 + 0.17 * max(text.count("\n") + 1 for text in texts)  # picture, number, lines
    figure, axes = plt.subplots(rows, columns, figsize=(10, height * rows + 0.3 * bool(title)), squeeze=False)
    if title:
        figure.suptitle(plain(title), x=0.01, ha="left", fontsize=11)
    for ax in axes.flat[len(pictures) :]:
        ax.axis("off")
    for i, (ax, picture, text) in enumerate(zip(axes.flat, pictures, texts, strict=False)):
        frame(ax, picture)
        ax.set_title(plain(names[i]) if names else f"picture {i}", fontsize=10)
        ax.set_xlabel(plain(text), fontsize=9)
    return figure


def similarity_heatmap(
    similarity: np.ndarray, image_of_caption: np.ndarray, pictures: Sequence[np.ndarray], title: str = ""
) -> Figure:
    """Heat map rows = pictures (queries), columns = their captions; the true pairs are outlined.

    Args:
        similarity: [n,m], captions in the order of their images
        image_of_caption: [m]
        pictures: the n pictures
        title: the finding
    """
    n = len(similarity)
    figure, ax = plt.subplots(figsize=(10, 0.52 * n + 1.5))
    heat_map(ax, similarity, limits=(0, 1), colorbar="similarity")
    halo: list[patheffects.AbstractPathEffect] = [patheffects.withStroke(linewidth=5, foreground="white")]
    for i in range(n):
        own = np.flatnonzero(image_of_caption == i)
        box = Rectangle((own[0] - 0.46, i - 0.44), len(own) - 0.08, 0.88, fill=False, edgecolor=ERROR, linewidth=2)
        box.set_path_effects(halo)
        ax.add_patch(box)
        if i:
            ax.axvline(own[0] - 0.5, color="white", linewidth=1)
    thumbnails(ax, pictures, "y", zoom=0.24)
    middle = [np.flatnonzero(image_of_caption == i).mean() for i in range(n)]
    ax.set_xticks(middle, [f"of picture {i}" for i in range(n)])
    ax.set_xlabel("captions")
    ax.set_yticks(range(n), [f"picture {i}" for i in range(n)])
    ax.tick_params(axis="y", pad=54)  # left of the small pictures
    ax.set_title(title)
    return figure


def caption_answers(
    similarity: np.ndarray,
    image_of_caption: np.ndarray,
    queries: Sequence[int],
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    top: int = 5,
    title: str = "",
    wrap: int = 88,
) -> Figure:
    """Image to text: each query picture and its best captions; the right ones are ticked and bold.

    Args:
        similarity: [n,m]
        image_of_caption: [m]
        queries: numbers of images
        pictures: one for each query
        captions: all m
        top: answers shown
        title: the finding
        wrap: longest line
    """
    figure, axes = plt.subplots(
        len(queries), 2, figsize=(10, 1.25 * len(queries) + 0.4), width_ratios=(1, 4.6), squeeze=False
    )
    for (left, right), query, picture in zip(axes, queries, pictures, strict=True):
        frame(left, picture, IMAGE, 2)
        right.axis("off")
        right.set(xlim=(0, 1), ylim=(top - 0.4, -0.6))
        true = image_of_caption == query
        for place, j in enumerate(ordered(similarity[query], true, top)):
            text = (
                f"{RIGHT if true[j] else WRONG}  {similarity[query, j]:.2f}  {textwrap.shorten(captions[int(j)], wrap)}"
            )
            right.text(0, place, plain(text), va="center", fontsize=10, **_mark(true[j]))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def picture_answers(
    similarity: np.ndarray,
    image_of_caption: np.ndarray,
    queries: Sequence[int],
    split: Split,
    top: int = 5,
    title: str = "",
    texts: Sequence[str] | None = None,
    notes: Mapping[int, str] | None = None,
) -> Figure:
    """Text to image: each query caption and its best pictures; the right one has a tick and a thick frame.

    Args:
        similarity: [n,m]
        image_of_caption: [m]; -1 for a text of your own, which has no right answer
        queries: numbers of captions
        split: captions and pictures of the sample world
        top: answers shown
        title: the finding
        texts: what to write instead of the split's captions
        notes: for a query, words that are put above its caption
    """
    texts = split.captions if texts is None else texts
    figure, axes = plt.subplots(len(queries), top + 1, figsize=(10, 1.32 * len(queries) + 0.4), squeeze=False)
    for row, query in zip(axes, queries, strict=True):
        row[0].axis("off")
        text = f"“{textwrap.fill(texts[query], 21)}”"
        row[0].text(0, 0.5, plain(text), transform=row[0].transAxes, va="center", fontsize=9.5, color="#202020")
        if notes and query in notes:
            row[0].set_title(plain(notes[query]), fontsize=10, color=ERROR)
        true = np.arange(len(similarity)) == image_of_caption[query]
        order = ordered(similarity[:, query], true, top)
        for ax, i, picture in zip(row[1:], order, load_pictures(split, order), strict=True):
            frame(ax, picture, RELATION if true[i] else GREY, 4 if true[i] else 0.8)
            sign = "" if image_of_caption[query] < 0 else RIGHT if true[i] else WRONG
            ax.set_title(f"{sign} {similarity[i, query]:.2f}", fontsize=10, loc="center", **_mark(true[i]))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


# ---- ranks and recalls ----------------------------------------------------------------------------------------


def recall_curve(ax: Axes, ranks: Mapping[str, np.ndarray], largest: int = 50) -> None:
    """Recall at K of both directions over K, with the exact chance level as a dashed line.

    Args:
        ax: where
        ranks: {"i2t": 0-based [n], "t2i": [m]}
        largest: largest K
    """
    at = np.arange(1, largest + 1)
    for direction, values in ranks.items():
        label, color, marker, _ = SIDES[direction]
        recall = [100 * np.mean(values < k) for k in at]
        ax.plot(at, recall, color=color, marker=marker, markevery=[0, 4, 9], markersize=7, label=label)
    n, m = len(ranks["i2t"]), len(ranks["t2i"])
    chance = [metrics.chance(n, m, int(k))["t2i"] for k in at]
    ax.plot(at, chance, color=GREY, linestyle="--", linewidth=1.5)
    ax.text(at[-1], chance[-1], "chance ", color=GREY, ha="right", va="bottom", fontsize=10)
    ax.set(xscale="log", xlim=(0.93, largest), ylim=(0, 101))
    ax.set(xlabel="K answers shown (log scale)", ylabel="recall at K (%)")
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= largest]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    ax.legend(loc="center right")


def rank_histogram(ax: Axes, ranks: Mapping[str, np.ndarray]) -> None:
    """Share of the queries whose right answer stands at place 1, 2, 3-5, ... of the list.

    Args:
        ax: where
        ranks: {"i2t": 0-based [n], "t2i": [m]}
    """
    edges, names = [0, 1, 2, 5, 10, 50, np.inf], ["1", "2", "3–5", "6–10", "11–50", "51+"]
    for shift, (direction, values) in zip((-0.2, 0.2), ranks.items(), strict=True):
        label, color, *_ = SIDES[direction]
        share = 100 * np.histogram(values, edges)[0] / len(values)
        hatch = "" if direction == "i2t" else "//"
        bars = ax.bar(np.arange(6) + shift, share, 0.38, color=color, hatch=hatch, edgecolor="white", label=label)
        ax.bar_label(bars, [f"{s:.0f}" for s in share], fontsize=9, padding=1)
    ax.set_xticks(range(6), names)
    ax.set(xlabel="place of the right answer", ylabel="share of the queries (%)")
    ax.margins(y=0.12)
    ax.legend()


def level_dots(ax: Axes, rows: Mapping[str, Sequence[float]], xlabel: str, digits: int = 1) -> None:
    """One line for each name: every value a dot, their mean written beside it.

    Args:
        ax: where
        rows: {name: values}
        xlabel: of the values
        digits: decimals of the written mean
    """
    colors = (ERROR, GREY, RELATION, IMAGE, TEXT)
    low, high = min(map(min, rows.values())), max(map(max, rows.values()))
    step = (high - low) or 1.0
    for at, (values, color, marker) in enumerate(zip(rows.values(), colors, "osD^v", strict=False)):
        ax.plot(values, [at] * len(values), marker, color=color, markersize=8, alpha=0.7, linestyle="none")
        ax.text(max(values) + 0.05 * step, at, f"{np.mean(values):.{digits}f}", va="center", fontsize=11)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=xlabel, xlim=(low - 0.15 * step, high + 0.25 * step), ylim=(len(rows) - 0.5, -0.5))
    ax.grid(axis="x", color="#E0E0E0")
    ax.set_axisbelow(True)


def fold_bars(
    ax: Axes, full: Mapping[str, float], folds: Sequence[Mapping[str, float]], names: tuple[str, str]
) -> None:
    """R@1, R@5, R@10 among all answers beside the mean over folds; every fold is a dot.

    Args:
        ax: where
        full: {"R@1": per cent, ...}
        folds: the same for each fold
        names: of the two kinds of bars
    """
    keys = [f"R@{k}" for k in metrics.RECALLS]
    at = np.arange(len(keys))
    mean = [float(np.mean([fold[key] for fold in folds])) for key in keys]
    bars = (-0.2, [full[key] for key in keys], GREY, "", names[0]), (0.2, mean, TEXT, "//", names[1])
    for shift, values, color, hatch, name in bars:
        ax.bar(at + shift, values, 0.38, color=color, hatch=hatch, edgecolor="white", label=name)
        for x, key, value in zip(at + shift, keys, values, strict=True):
            top = value if shift < 0 else max(fold[key] for fold in folds)
            ax.text(x, top + 3, f"{value:.1f}", ha="center")
    for fold in folds:
        ax.plot(at + 0.2, [fold[key] for key in keys], "o", color="black", markersize=4)
    ax.set_xticks(at, keys)
    ax.set(ylim=(0, 132), yticks=range(0, 101, 20), ylabel="per cent")
    ax.legend(loc="upper left", ncols=2)


def interval_lines(ax: Axes, rows: Sequence[tuple[str, float, float, float, str]], xlabel: str) -> None:
    """Values with their intervals, one a line.

    Args:
        ax: where
        rows: (name, value, low, high, color)
        xlabel: of the values
    """
    for at, (_, value, low, high, color) in enumerate(rows):
        ax.plot([low, high], [at, at], color=color, linewidth=3, solid_capstyle="butt")
        for end in (low, high):
            ax.plot([end, end], [at - 0.16, at + 0.16], color=color, linewidth=2)
        ax.plot(value, at, "o", color=color, markersize=8)
        ax.text(value, at - 0.22, f"{value:.1f}  ({low:.1f} to {high:.1f})", ha="center", va="bottom", fontsize=10)
    ax.set_yticks(range(len(rows)), [row[0] for row in rows])
    ax.set(ylim=(len(rows) - 0.6, -0.7), xlabel=xlabel)
    ax.grid(axis="x", color="#E0E0E0")
    ax.set_axisbelow(True)
