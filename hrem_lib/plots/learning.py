"""Figures on learning: triplets, negatives, distances on spheres, batches, ablations (05, 06; Sec 3.4, Sec 4).

Every function draws numbers that the caller computed with the library; nothing is computed here but bins and means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrem_lib.plots.house import ERROR, EXTRA, GREY, IMAGE, RELATION, TEXT, heat_map, plain, thumbnails

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLORS = (IMAGE, TEXT, RELATION, ERROR, *EXTRA[:2], "#000000", GREY)


def hand_example(image_emb: np.ndarray, text_emb: np.ndarray, similarity: np.ndarray, gradient: np.ndarray) -> Figure:
    """Unit vectors in the plane, their cosines, and the gradient of the loss by the cosines.

    Args:
        image_emb, text_emb: [B,2]
        similarity, gradient: [B,B], row = picture
    """
    figure, (plane, left, right) = plt.subplots(1, 3, figsize=(10, 3.2), width_ratios=(1.15, 1, 1))
    plane.add_patch(plt.Circle((0, 0), 1, fill=False, color=GREY, linewidth=1))
    for letter, points, color, marker in (("v", image_emb, IMAGE, "o"), ("u", text_emb, TEXT, "s")):
        for i, (x, y) in enumerate(points, start=1):
            plane.plot([0, x], [0, y], color=color, linewidth=1.5)
            plane.plot(x, y, marker, color=color, markersize=8)
            plane.annotate(f"{letter}{i}", (x, y), (1.13 * x, 1.13 * y), ha="center", va="center", weight="bold")
    plane.set(xlim=(-0.1, 1.32), ylim=(-0.12, 1.18), aspect="equal", title="Embeddings of two pairs")
    size = len(image_emb)
    names = [f"v{i + 1}" for i in range(size)], [f"u{i + 1}" for i in range(size)]
    heat_map(left, similarity, rows=names[0], columns=names[1], numbers=True, limits=(0, 1))
    heat_map(right, gradient, rows=names[0], columns=names[1], signed=True)
    for i, j in np.ndindex(*gradient.shape):
        strong = abs(gradient[i, j]) == np.abs(gradient).max()
        right.text(
            j,
            i,
            f"{gradient[i, j]:+g}" if gradient[i, j] else "0",
            ha="center",
            va="center",
            color="white" if strong else "black",
        )
    left.set_title("Cosine of picture and caption")
    right.set_title("Loss by cosine: −1 pull, +1 push")
    return figure


def triplet_landscape(
    positive: np.ndarray, negative: np.ndarray, loss: np.ndarray, step: tuple[np.ndarray, np.ndarray], title: str
) -> Figure:
    """Loss of one triplet over the two angles to the anchor, with the direction of a gradient step.

    Args:
        positive [n], negative [m]: angles in degrees
        loss: [m,n], row = negative
        step: minus the gradient by the positive's and by the negative's angle, each [m,n]
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.6))
    extent = (positive[0], positive[-1], negative[0], negative[-1])
    image = ax.imshow(loss, origin="lower", extent=extent, aspect="auto", cmap="cividis")
    ax.contour(positive, negative, loss, levels=[1e-6], colors="white", linewidths=1.5, linestyles="--")
    every = max(1, len(positive) // 10)
    cut = (slice(every // 2, None, every),) * 2
    arrows = positive[cut[0]], negative[cut[0]], step[0][cut], step[1][cut]
    ax.quiver(*arrows, color="white", angles="uv", scale=26, width=0.005)
    ax.set(xlabel="angle of anchor and positive (degrees)", ylabel="angle of anchor and negative (degrees)")
    ax.text(0.03, 0.95, "loss 0: nothing to learn", transform=ax.transAxes, color="white", va="top", weight="bold")
    figure.colorbar(image, ax=ax, label="loss of the triplet", fraction=0.046, pad=0.02)
    ax.set_title(title)
    return figure


def who_was_drawn(
    counts: dict[str, np.ndarray], positive: np.ndarray, pictures: Sequence[np.ndarray], captions: Sequence[str]
) -> Figure:
    """How often each wrong caption was drawn for each picture, one panel a rule; positives are hatched.

    Args:
        counts: {title: draws [B,B]}, row = picture (anchor), column = caption
        positive: bool [B,B]
        pictures: [height,width,3] each
        captions: a few words each
    """
    figure, axes = plt.subplots(1, len(counts), figsize=(10, 3.7))
    for ax, (title, values) in zip(axes, counts.items(), strict=True):
        share = 100 * values / values.sum(1, keepdims=True)
        image = heat_map(ax, share, mask=~positive, limits=(0, 100))
        ax.set_xticks(range(len(captions)), [*map(plain, captions)], rotation=90, fontsize=8)
        ax.set_yticks([])
        ax.set_title(title, fontsize=10)
    thumbnails(axes[0], pictures, "y", zoom=0.1)
    figure.colorbar(image, ax=axes, label="share of the draws (%)", fraction=0.02, pad=0.01)
    return figure


def sphere_distances(
    random: dict[int, np.ndarray],
    drawn: dict[int, np.ndarray],
    density: dict[int, np.ndarray],
    grid: np.ndarray,
    limits: tuple[float, float],
) -> Figure:
    """Distances of random points on spheres (above, with the density) and of those that the law drew (below).

    Args:
        random, drawn: {dimension: distances [points]}
        density: {dimension: q(D) on `grid`, area 1}
        grid: distances in (0, 2)
        limits: smallest and largest distance that the law tells apart
    """
    figure, axes = plt.subplots(2, len(random), figsize=(10, 4.2), sharex=True)
    bins = np.linspace(0, 2, 51)
    for column, dim in enumerate(random):
        above, below = axes[:, column]
        above.hist(random[dim], bins, density=True, color=GREY, alpha=0.55)
        above.plot(grid, density[dim], color="black", linewidth=1.2)
        below.hist(drawn[dim], bins, density=True, color=RELATION)
        above.set_title(f"dimension {dim}")
        below.set_xlabel("distance D")
        for ax in (above, below):
            ax.set_yticks([])
            for limit in limits:
                ax.axvline(limit, color=ERROR, linestyle="--", linewidth=1)
    axes[0, 0].set_ylabel("random")
    axes[1, 0].set_ylabel("drawn by the law")
    return figure


def effective_numbers(
    dims: Sequence[int], curves: dict[str, np.ndarray], marks: dict[str, int], all_of_them: int, title: str
) -> Figure:
    """Effective number of negatives against the n of the formula, one curve a set of cosines.

    Args:
        dims: values of n
        curves: {label: effective numbers [len(dims)]}
        marks: {label: n}, vertical lines
        all_of_them: negatives in a row, the largest possible number
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(7.2, 4.2))
    for (label, values), color, marker in zip(curves.items(), COLORS, MARKERS, strict=False):
        ax.plot(dims, values, color=color, marker=marker, markersize=5, label=label)
    ax.set(xscale="log", yscale="log", xlabel="n of the formula", ylabel="effective number of negatives", title=title)
    ax.set_xticks(dims, [str(n) for n in dims], fontsize=9)
    ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.minorticks_off()
    ax.set_ylim(0.85, 1.9 * all_of_them)
    ax.axhline(all_of_them, color=GREY, linestyle="--", linewidth=1)
    ax.text(dims[0], 1.05 * all_of_them, f"all {all_of_them} alike", color=GREY, fontsize=9, va="bottom")
    ax.axhline(1, color=GREY, linestyle="--", linewidth=1)
    ax.text(dims[0], 1.04, "hardest only", color=GREY, fontsize=9, va="bottom")
    for label, n in marks.items():
        ax.axvline(n, color=ERROR, linestyle=":", linewidth=1)
        ax.text(n, 1.75 * all_of_them, f"{label} ", color=ERROR, fontsize=9, va="top", ha="right")
    ax.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 0.1))
    return figure


def batches_in_plane(plane: np.ndarray, batches: dict[str, np.ndarray], groups: np.ndarray) -> Figure:
    """Embedding plane of all pictures with the members of a batch marked, one panel a batch.

    Args:
        plane: [images,2]
        batches: {title: picture numbers [B]}
        groups: cluster of each picture [images]; a batch of at most eight clusters has a color and a shape for each
    """
    figure, axes = plt.subplots(1, len(batches), figsize=(10, 4), sharex=True, sharey=True)
    for ax, (title, members) in zip(axes, batches.items(), strict=True):
        ax.scatter(*plane.T, s=6, color=GREY, alpha=0.35, linewidth=0)
        found = list(dict.fromkeys(groups[members].tolist()))
        for number, group in enumerate(found):
            own = members[groups[members] == group]
            few = len(found) <= len(MARKERS)
            style = {"color": COLORS[number], "marker": MARKERS[number]} if few else {"color": "black", "marker": "o"}
            ax.scatter(*plane[own].T, s=40, edgecolor="white", linewidth=0.6, **style)
        ax.set(title=title, xticks=[], yticks=[])
    return figure


def batch_pictures(
    rows: dict[str, Sequence[np.ndarray]], captions: dict[str, Sequence[str]] | None = None, title: str = ""
) -> Figure:
    """Pictures in rows, each row with its name at the left.

    Args:
        rows: {name: pictures [height,width,3]}, equally many in each row
        captions: {name: short words under each picture}
        title: the finding
    """
    count = max(map(len, rows.values()))
    figure, axes = plt.subplots(
        len(rows), count, figsize=(10, (1.12 if captions else 0.98) * len(rows) + 0.3), squeeze=False
    )
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for i, ax in enumerate(line):
            ax.axis("off")
            if i < len(pictures):
                ax.imshow(pictures[i])
                if captions:
                    ax.set_title(plain(captions[name][i]), fontsize=8, loc="center", y=-0.22, va="center")
        line[0].text(-0.08, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


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


def ablation_dots(ax: Axes, values: dict[str, Sequence[float]], xlabel: str, title: str) -> None:
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
        ax.hist(values, bins, histtype="step", color=color, linestyle=style, linewidth=2, label=label)
        ax.axvline(values.mean(), color=color, linestyle=style, linewidth=1)
        ax.text(
            values.mean(), 1.01, f"{values.mean():+.1f}", color=color, ha="center", transform=ax.get_xaxis_transform()
        )
    ax.set(xlabel="reported minus true R@1 (points)", ylabel="runs")
    ax.set_title(title, pad=18)
    ax.legend(fontsize=9)
    return figure
