"""Figures of the relation interaction (Sec 3.3): notebook 04.

Everything drawn comes out of the forward pass (`Related`, attention weights), never a second computation.
Row = who attends, column = who is attended to. No connection is hatched gray, never a color of the scale.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyArrowPatch, Rectangle

from hrem_lib.plots.graph import WORD, blocks, lines, nodes
from hrem_lib.plots.style import ERROR, GREY, IMAGE, RELATION, TEXT, plain


def batch_as_sequence(images: Sequence[np.ndarray], captions: Sequence[str], width: str = "D") -> Figure:
    """B pairs -> one sequence of 2B tokens, batch size 1; above it, what fragment attention does, for comparison.

    Args:
        images: B thumbnails, 3 or 4
        captions: B
        width: what to write for D
    """
    b = len(images)
    figure, ax = plt.subplots(figsize=(10, 4.3), layout="constrained")
    ax.set(xlim=(0, 10), ylim=(0, 4.3))
    ax.axis("off")

    def token(x: float, y: float, side: str, label: str = "", size: float = 0.5) -> None:
        color = IMAGE if side == "i" else TEXT
        ax.add_patch(Rectangle((x, y), size, size, facecolor=color, edgecolor="white", linewidth=1.5))
        ax.text(x + size / 2, y + size / 2, label, ha="center", va="center", fontsize=9,
                color="white" if side == "i" else "black", weight="bold")  # fmt: skip

    ax.text(0.05, 4.2, f"B = {b} pairs", weight="bold", va="top")
    for n in range(b):
        y = 3.42 - 0.98 * n
        ax.add_artist(AnnotationBbox(OffsetImage(images[n], zoom=0.31), (0.42, y), frameon=False, pad=0))
        ax.text(0.9, y, lines(captions[n], 20, 3), fontsize=9, va="center")
    ax.text(3.55, 4.2, f"Fragment attention (lesson 02): B sequences, [B, R, {width}]", weight="bold", va="top")
    for n in range(b):
        for r in range(6):
            token(3.6 + 0.36 * r, 3.5 - 0.4 * n, "i", f"r{r + 1}", 0.34)
        for r in range(5):
            token(6.6 + 0.36 * r, 3.5 - 0.4 * n, "t", f"c{r + 1}", 0.34)
        ax.text(3.5, 3.67 - 0.4 * n, f"{n + 1}", ha="right", va="center", fontsize=9)
        ax.text(8.45, 3.67 - 0.4 * n, "each row is one item" if n == 0 else "", va="center", fontsize=9, color=GREY)
    bottom = 0.55
    ax.text(
        3.55,
        bottom + 1.12,
        f"Relation interaction (today): ONE sequence of 2B tokens, [1, 2B, {width}]",
        weight="bold",
        va="top",
    )
    for n in range(b):
        token(3.6 + 0.56 * n, bottom, "i", f"v{n + 1}")
        token(3.6 + 0.56 * (b + n), bottom, "t", f"u{n + 1}")
    mine = 3.6 + 0.25
    for target, weight in ((b, 3.0), (1, 1.6), (b + 1, 1.0)):
        x = 3.6 + 0.56 * target + 0.25
        ax.add_patch(
            FancyArrowPatch((mine, bottom + 0.52), (x, bottom + 0.54), connectionstyle="arc3,rad=-0.28",
                            arrowstyle="-|>", mutation_scale=9, color=RELATION, linewidth=weight)
        )  # fmt: skip
    ax.text(
        3.6,
        bottom - 0.12,
        "every picture and every caption is one token; batch size is 1",
        fontsize=9,
        va="top",
        color=GREY,
    )
    return figure


def attention_triptych(
    bias: np.ndarray,
    scores: np.ndarray,
    attention: np.ndarray,
    labels: Sequence[str],
    titles: Sequence[str] = ("λS where A = 1", "λS and scores", "softmax of their sum: attention"),
) -> Figure:
    """The additive mask, how large it and the scores are, and the attention that results; all from one forward pass.

    Args:
        bias: lambda S, -inf where not connected [2B,2B]
        scores: QK^T/sqrt(d), mean over heads [2B,2B]
        attention: mean over heads [2B,2B]
        labels: B short names of the pairs
        titles: of the three panels
    """
    bias, scores, attention = np.asarray(bias), np.asarray(scores), np.asarray(attention)
    mask = np.isfinite(bias)
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 3.9), layout="constrained", width_ratios=(1, 0.55, 1)
    )
    tops = max(1.0, bias[mask].max()), attention[mask].max()  # both scales start at 0
    for ax, values, top in ((left, bias, tops[0]), (right, attention, tops[1])):
        image = blocks(ax, np.where(mask, values, 0), mask, (0, top))
        nodes(ax, labels, fontsize=9)
        ax.set_xlabel("column = who is attended to", labelpad=62)
        figure.colorbar(image, ax=ax, fraction=0.046, pad=0.02)
    left.set_ylabel("row = who attends", labelpad=64)
    steps = np.linspace(min(0, scores[mask].min()), bias[mask].max(), 41)
    middle.hist(bias[mask], steps, color=RELATION, label="λS")
    middle.hist(scores[mask], steps, color=ERROR, hatch="////", edgecolor="white", label="QKᵀ/√d")
    middle.set(xlabel="size of what is added", ylabel="connected cells", box_aspect=1)
    middle.legend(loc="upper right")
    for ax, title in zip((left, middle, right), titles, strict=True):
        ax.set_title(title)
    return figure


def attention_pair(
    left: np.ndarray,
    right: np.ndarray,
    connection: np.ndarray,
    labels: Sequence[str],
    titles: tuple[str, str],
    limit: float | None = None,
    colorbar: str = "share of the row (hatched: not connected)",
) -> Figure:
    """Two matrices over the same nodes and links side by side, e.g. the attention of Fusion and of Standalone.

    Args:
        left, right: [2B,2B]; two attentions share one color scale, a 0/1 matrix is drawn black
        connection: A [2B,2B]
        labels: B short names of the pairs
        titles: findings
        limit: top of the color scale; larger values have its color
        colorbar: its label
    """
    connection = np.asarray(connection)
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.3), layout="constrained")
    black = set(np.unique(left)) <= {0.0, 1.0}
    shown = [np.asarray(right)[connection]] + ([] if black else [np.asarray(left)[connection]])
    limits = (0, limit or max(part.max() for part in shown))
    for ax, values, title, first in zip(axes, (left, right), titles, (True, False), strict=True):
        cmap = ListedColormap(["#202020"]) if first and black else "cividis"
        image = blocks(ax, np.where(connection, values, 0), connection, (0, 1) if first and black else limits, cmap)
        nodes(ax, labels, rows=first)
        ax.set_title(title)
        ax.set_xlabel("column = who is attended to", labelpad=68)
    axes[0].set_ylabel("row = who attends", labelpad=72)
    figure.colorbar(image, ax=axes[1], fraction=0.04, pad=0.02, label=colorbar)
    return figure


def relevance_sweep(
    weights: Sequence[float], rows: np.ndarray, labels: Sequence[str], effective: np.ndarray, titles: Sequence[str]
) -> Figure:
    """Attention of one row, and the effective number of neighbors of all rows, as lambda grows.

    Args:
        weights: values of lambda [n]
        rows: attention of the chosen node to its neighbors [n,m]
        labels: m names of the neighbors, those that are to be told apart first
        effective: exp of the entropy of every row [n,2B]
        titles: findings
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    colors = [RELATION, IMAGE, ERROR] + [GREY] * 40
    order = np.argsort(-rows[-1])
    for place, j in enumerate(order):
        color, strong = colors[place], place < 3
        left.plot(
            weights,
            rows[:, j],
            color=color,
            linewidth=2.4 if strong else 1,
            marker="o^s"[place] if strong else "",
            markersize=5,
            label=plain(labels[int(j)]) if strong else ("the others" if place == 3 else None),
        )
    left.set(xlabel="λ, weight of the relevance", ylabel="attention", title=titles[0], ylim=(0, None))
    left.legend(fontsize=9, loc="upper left")
    right.fill_between(weights, effective.min(1), effective.max(1), color=RELATION, alpha=0.25, linewidth=0)
    right.plot(weights, effective.mean(1), color=RELATION, marker="o", label="mean of all rows")
    right.axhline(rows.shape[1], color="black", linestyle="--", linewidth=1)
    right.text(weights[-1], rows.shape[1] - 0.1, "all neighbors alike", ha="right", va="top", fontsize=9)
    right.set(xlabel="λ, weight of the relevance", ylabel="effective number of neighbors", title=titles[1],
              ylim=(0, rows.shape[1] * 1.08))  # fmt: skip
    right.legend(fontsize=9, loc="lower left")
    return figure


def arrows(
    attention: np.ndarray,
    connection: np.ndarray,
    node: int,
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """One node and whom it attends to: arrows between thumbnails and captions, width = attention.

    Args:
        attention: mean over heads [2B,2B]
        connection: A [2B,2B]
        node: the row
        images, captions: B each
        title: the finding
    """
    b = len(images)
    attention, connection = np.asarray(attention), np.asarray(connection)
    figure, ax = plt.subplots(figsize=(10, 5.2), layout="constrained")
    ax.set(xlim=(-4.3, 5.4), ylim=(-b / 2 - 0.1, b / 2 + 0.35))
    ax.axis("off")
    widest = attention[node].max()
    heights = (b - 1) / 2 - np.arange(b)
    for j in range(2 * b):
        side, n = divmod(j, b)
        on, weight = connection[node, j], attention[node, j]
        x, y = (-3.3 if side == 0 else 2.2), heights[n]
        if side == 0:
            box = OffsetImage(images[n], zoom=0.27, alpha=1.0 if on else 0.3)
            ax.add_artist(AnnotationBbox(box, (x - 0.35, y), frameon=False, pad=0))
        else:
            ax.text(x + 0.1, y, lines(captions[n], 43, 2), fontsize=9, va="center",
                    color="black" if on else "#A0A0A0")  # fmt: skip
        if on:
            end = (x + 0.08, y) if side == 0 else (x, y)
            start = (-0.62, 0.12 * y) if side == 0 else (0.62, 0.12 * y)
            ax.add_patch(
                FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=2,
                                color=IMAGE if side == 0 else TEXT, linewidth=0.6 + 7 * weight / widest, alpha=0.85)
            )  # fmt: skip
            at = (-2.35, 0.12 * y + (y - 0.12 * y) * 0.67) if side == 0 else (1.45, 0.12 * y + (y - 0.12 * y) * 0.53)
            ax.text(*at, f"{weight:.2f}", fontsize=9, ha="center", va="center",
                    bbox=dict(facecolor="white", edgecolor="none", pad=1, alpha=0.85))  # fmt: skip
    if node < b:
        box = AnnotationBbox(OffsetImage(images[node], zoom=0.48), (0, 0), frameon=True, pad=0.2,
                             bboxprops=dict(edgecolor=IMAGE, linewidth=2))  # fmt: skip
        ax.add_artist(box)
    else:
        ax.text(0, 0, plain(textwrap.fill(captions[node - b], 18)), ha="center", va="center", fontsize=9,
                bbox=dict(facecolor="white", edgecolor=TEXT, linewidth=2), zorder=5)  # fmt: skip
    ax.text(-3.65, b / 2 + 0.3, "pictures", ha="center", va="top", color=IMAGE, weight="bold")
    ax.text(2.3, b / 2 + 0.3, "captions", va="top", color=WORD, weight="bold")
    ax.set_title(title)
    return figure


def movement(
    image_emb: np.ndarray,
    text_emb: np.ndarray,
    image_emb_rel: np.ndarray,
    text_emb_rel: np.ndarray,
    titles: Sequence[str],
    numbers: bool = True,
) -> Figure:
    """Embeddings before and after the interaction; across: main direction of v and u, up: the pictures' common step.

    Args:
        image_emb, text_emb: v, u [B,D]
        image_emb_rel, text_emb_rel: v̄, ū [B,D]
        titles: of the panels before and after
        numbers: write the number of the pair beside its points
    """
    b = len(image_emb)
    v, u, v_rel, u_rel = (np.asarray(p, dtype=float) for p in (image_emb, text_emb, image_emb_rel, text_emb_rel))
    before = np.concatenate([v, u])
    across = np.linalg.svd(before - before.mean(0), full_matrices=False)[2][0]  # [D]
    across = across * np.sign(across[np.abs(across).argmax()])  # the same sign on every machine
    up = (v_rel - v).mean(0)
    up = up - (up @ across) * across
    flat = np.concatenate([before, v_rel, u_rel]) @ np.stack([across, up / np.linalg.norm(up)], 1)  # [4B,2]
    per_point = np.ptp(flat, axis=0) / (300, 190)  # a panel is about 300 x 190 points
    around = [(11 * np.cos(a), 11 * np.sin(a)) for a in np.arange(8) * np.pi / 4]
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharex=True, sharey=True)
    for ax, start, title in zip(panels, (0, 2 * b), titles, strict=True):
        v, u = flat[start : start + b], flat[start + b : start + 2 * b]
        if start:
            for now, before in ((v, flat[:b]), (u, flat[b : 2 * b])):
                for to, come in zip(now, before, strict=True):
                    ax.annotate("", to, come, arrowprops=dict(arrowstyle="-", color=GREY, linewidth=0.7, alpha=0.7))
        for to, come in zip(v, u, strict=True):
            ax.plot(*zip(to, come, strict=True), color=RELATION, linewidth=1.2)
        ax.plot(*v.T, "o", color=IMAGE, markersize=8, label="pictures")
        ax.plot(*u.T, "s", color=TEXT, markersize=7, label="captions")
        if numbers:
            taken = [*v, *u]  # close points must not hide each other's numbers: each takes the place with most room
            for n, point in enumerate(v):
                places = [point + np.asarray(shift) * per_point for shift in around]
                room = [min(np.linalg.norm((place - other) / per_point) for other in taken) for place in places]
                taken.append(places[int(np.argmax(room))])
                ax.text(*taken[-1], str(n + 1), fontsize=9, color=IMAGE, ha="center", va="center")
        ax.set(title=title, xlabel="main direction of v and u")
    panels[0].set_ylabel("common step of the pictures")
    panels[0].legend(fontsize=9)
    return figure


def recall_bars(
    names: Sequence[str], values: Sequence[float], chance: float, title: str, honest: Sequence[bool]
) -> Figure:
    """R@1 for several ways to score, with the chance line; ways that use the answer are hatched vermilion."""
    figure, ax = plt.subplots(figsize=(8, 2.9), layout="constrained")
    for n, (value, fair) in enumerate(zip(values, honest, strict=True)):
        ax.barh(n, value, color=RELATION if fair else ERROR, hatch="" if fair else "//", edgecolor="white")
        ax.text(value + 1, n, f"{value:.1f}", va="center")
    ax.axvline(chance, color="black", linestyle="--", linewidth=1)
    ax.text(chance + 0.7, len(names) - 0.32, "chance", fontsize=9, va="center")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="R@1 in per cent", xlim=(0, 108), ylim=(len(names) - 0.1, -0.6), title=title)
    return figure
