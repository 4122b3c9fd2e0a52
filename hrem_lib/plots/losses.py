"""Figures on losses and batches: triplets, negatives, distances on spheres (Sec 3.4): notebook 05.

Every function draws numbers that the caller computed with the library; nothing is computed here but bins and means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from hrem_lib.plots.style import ERROR, EXTRA, GREY, IMAGE, RELATION, TEXT, heat_map, plain

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLORS = (IMAGE, TEXT, RELATION, ERROR, *EXTRA[:2], "#000000", GREY)


def hand_example(image_emb: np.ndarray, text_emb: np.ndarray, similarity: np.ndarray, gradient: np.ndarray) -> Figure:
    """Unit vectors in the plane, their cosines, and the derivative of the loss with respect to each cosine.

    Args:
        image_emb, text_emb: [B,2]
        similarity, gradient: [B,B], row = picture
    """
    figure, (plane, left, right) = plt.subplots(1, 3, figsize=(10, 3.2), width_ratios=(1.15, 1, 1))
    plane.add_patch(Circle((0, 0), 1, fill=False, color=GREY, linewidth=1))
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
            f"{gradient[i, j]:+g}".replace("-", "−") if gradient[i, j] else "0",
            ha="center",
            va="center",
            color="white" if strong else "black",
        )
    left.set_title("Cosine of picture and caption")
    right.set_title("Gradient: −1 pulls, +1 pushes")
    return figure


def triplet_landscape(
    positive: np.ndarray, negative: np.ndarray, loss: np.ndarray, step: tuple[np.ndarray, np.ndarray], title: str
) -> Figure:
    """Loss of one triplet over the two angles to the anchor, with the direction of a gradient step.

    Args:
        positive [n], negative [m]: angles in degrees
        loss: [m,n], row = negative
        step: minus the derivative with respect to the positive's and the negative's angle, each [m,n]
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.6))
    extent = (positive[0], positive[-1], negative[0], negative[-1])
    image = ax.imshow(loss, origin="lower", extent=extent, aspect="auto", cmap="cividis")
    ax.contour(positive, negative, loss, levels=[0.01], colors="white", linewidths=1.5, linestyles="--")
    every = max(1, len(positive) // 10)
    cut = (slice(every // 2, None, every),) * 2
    arrows = positive[cut[0]], negative[cut[0]], step[0][cut], step[1][cut]
    ax.quiver(*arrows, color="white", angles="uv", scale=26, width=0.005)
    ax.set(xlabel="angle of anchor and positive (degrees)", ylabel="angle of anchor and negative (degrees)")
    ax.text(0.03, 0.93, "loss 0: nothing to learn", transform=ax.transAxes, color="white", va="top", weight="bold")
    figure.colorbar(image, ax=ax, label="loss of the triplet", fraction=0.046, pad=0.02)
    ax.set_title(title)
    return figure


def who_was_drawn(counts: dict[str, np.ndarray], positive: np.ndarray, labels: Sequence[str]) -> Figure:
    """How often each wrong caption was drawn for each picture, one panel a rule, two a row; positives are hatched.

    Args:
        counts: {title: draws [B,B]}, row = picture (anchor), column = caption
        positive: bool [B,B]
        labels: a short name for each pair, on both axes
    """
    rows = -(-len(counts) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10, 2.8 * rows + 0.8), sharex=True, sharey=True, squeeze=False)
    for ax, (title, values) in zip(axes.flat, counts.items(), strict=False):
        share = 100 * values / values.sum(1, keepdims=True)
        image = heat_map(ax, share, mask=~positive, limits=(0, 100), rows=labels)
        ax.set_xticks(range(len(labels)), [*map(plain, labels)], rotation=45, ha="right")
        ax.set_title(title)
    for ax in axes[:, 0]:
        ax.set_ylabel("picture")
    for ax in axes[-1]:
        ax.set_xlabel("caption")
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


def negative_weights(weights: dict[str, np.ndarray], title: str) -> Figure:
    """Which negatives a loss pushes: the share of its push that the k nearest get, against k.

    Args:
        weights: {loss: shares [negatives], nearest first, sum one}
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(7.2, 3.8))
    for (label, values), color, marker in zip(weights.items(), COLORS, MARKERS, strict=False):
        style = "-" if marker in MARKERS[:2] else "--"
        few = [k - 1 for k in (1, 2, 3, 5, 10, 20, 50) if k <= len(values)]
        ax.plot(np.arange(1, len(values) + 1), 100 * values.cumsum(), style + marker, markevery=few, markersize=5,
                color=color, label=label)  # fmt: skip
    ax.set(xscale="log", xlabel="k nearest negatives", ylabel="their share of the push (%)", ylim=(0, 103), title=title)
    ticks = [1, 2, 3, 5, 10, 20, 50, len(next(iter(weights.values())))]
    ax.set_xticks(ticks, [*map(str, ticks)])
    ax.minorticks_off()
    ax.legend(fontsize=9, loc="lower right")
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
                    ax.set_title(plain(captions[name][i]), fontsize=9, loc="center", y=-0.22, va="center")
        line[0].text(-0.08, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
