"""Figures of the association graph and the relation interaction (Sec 3.3): notebooks 03 and 04.

Everything drawn comes out of the forward pass (`Graph`, `Related`, attention weights), never a second computation.
A matrix over a batch has 2B rows and columns, pictures first; its four blocks are set apart and carry their names.
Row = who looks, column = who is looked at. No connection is hatched gray, never a color of the scale.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image

from hrem_lib.plots.house import ERROR, EXTRA, GREY, IMAGE, RELATION, TEXT, plain

WORD = "#8A5F00"  # the text side's orange, dark enough for letters
EMPTY, HATCH = "#EDEDED", "#BDBDBD"
BOX_COLORS = (ERROR, IMAGE, RELATION, EXTRA[0], "#000000", TEXT)
BOX_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


# ------------------------------------------------------------------------------------------- pictures and captions


def crops(picture: np.ndarray, boxes: np.ndarray, size: int = 56) -> list[np.ndarray]:
    """What stands in each box [n,4] of a picture, square and gray outside: thumbnails [size,size,3]."""
    out = []
    for box in boxes:
        part = Image.fromarray(picture).crop(tuple(round(float(v)) for v in box))
        scale = size / max(part.size)
        part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))
        square = Image.new("RGB", (size, size), "#D9D9D9")
        square.paste(part, ((size - part.width) // 2, (size - part.height) // 2))
        out.append(np.asarray(square))
    return out


def _lines(text: str, width: int, most: int) -> str:
    """The text in lines of at most `width`, cut with three dots after `most` lines."""
    lines = textwrap.wrap(text, width)
    last = textwrap.shorten(" ".join(lines[most - 1 :]), width, placeholder=" …")
    return plain("\n".join([*lines[: most - 1], last]))


def batch_sheet(images: Sequence[np.ndarray], captions: Sequence[str], labels: Sequence[str] | None = None) -> Figure:
    """The pairs of a batch: numbered pictures, each with its caption; `labels` are the short names used in matrices."""
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 2.55 * rows), layout="constrained", squeeze=False)
    for n, ax in enumerate(axes.flat):
        ax.axis("off")
        if n >= len(images):
            continue
        ax.imshow(images[n])
        head = f"{n + 1}" + (f"  {plain(labels[n])}" if labels else "")
        ax.set_title(head, color=WORD, weight="bold", loc="left")
        ax.text(0, 1.0, plain(textwrap.fill(captions[n], 34)), transform=ax.transAxes, va="top", fontsize=9,
                position=(0, -0.04))  # fmt: skip
    return figure


# ------------------------------------------------------------------------------------------- the four blocks


def _gap(half: int) -> float:
    """Cells between the halves of a 2B x 2B matrix; the block names stand there."""
    return 0.1 + 0.16 * half


def _at(n: int, half: int) -> float:
    """Where node n stands on an axis whose halves are set apart."""
    return n if n < half else n + _gap(half)


def blocks(
    ax: Axes,
    values: np.ndarray,
    mask: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | ListedColormap = "cividis",
    names: bool = True,
    numbers: bool = False,
) -> AxesImage:
    """A matrix over the nodes with its four blocks set apart and named; row = who looks, column = who is looked at.

    Args:
        ax: where
        values: [2B,2B]
        mask: True where there is a value; the rest is hatched
        limits: color limits
        names: write i2i, i2t, t2i, t2t above the blocks
        numbers: write the values into the cells
    """
    values = np.asarray(values, dtype=float)
    mask = np.ones(values.shape, bool) if mask is None else np.asarray(mask)
    half = len(values) // 2
    shown = np.where(mask, values, np.nan)
    limits = limits or (np.nanmin(shown), np.nanmax(shown))
    image = None
    for r, row in enumerate("it"):
        for c, column in enumerate("it"):
            x, y = _at(c * half, half) - 0.5, _at(r * half, half) - 0.5
            part = shown[r * half : (r + 1) * half, c * half : (c + 1) * half]
            ax.add_patch(
                Rectangle((x, y), half, half, facecolor=EMPTY, hatch="////", edgecolor=HATCH, linewidth=0, zorder=0)
            )
            image = ax.imshow(
                part, extent=(x, x + half, y + half, y), vmin=limits[0], vmax=limits[1], cmap=cmap, zorder=1
            )
            for k in range(1, half):
                ax.plot([x + k, x + k], [y, y + half], color="white", linewidth=0.6, zorder=2)
                ax.plot([x, x + half], [y + k, y + k], color="white", linewidth=0.6, zorder=2)
            if names:
                ax.text(x + half / 2, y - 0.12, f"{row}2{column}", ha="center", va="bottom", fontsize=10, weight="bold")
            if numbers:
                middle = (limits[0] + limits[1]) / 2
                for i, j in np.argwhere(~np.isnan(part)):
                    color = "white" if part[i, j] < middle else "black"
                    ax.text(
                        x + j + 0.5, y + i + 0.5, f"{part[i, j]:.2f}", ha="center", va="center", fontsize=9, color=color
                    )
    end = 2 * half + _gap(half) - 0.5
    ax.set(
        xlim=(-0.6, end + 0.1),
        ylim=(end + 0.1, -0.5 - _gap(half) if names else -0.6),
        xticks=[],
        yticks=[],
        aspect="equal",
    )
    for side in ax.spines.values():
        side.set_visible(False)
    return image


def _nodes(
    ax: Axes,
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    rows: bool = True,
    columns: bool = True,
    zoom: float = 0.13,
) -> None:
    """Thumbnails for the pictures and words for the captions along a `blocks` matrix."""
    half = len(images)
    end = 2 * half + _gap(half) - 0.5
    for n, picture in enumerate(images):
        side = (picture.shape[1] - picture.shape[0]) // 2
        picture = picture[:, side : side + picture.shape[0]]  # the middle square: larger people at the same height
        for wanted, at, align, shift in ((rows, (-0.6, n), (1, 0.5), (-2, 0)), (columns, (n, end), (0.5, 1), (0, -3))):
            if wanted:
                ax.add_artist(
                    AnnotationBbox(OffsetImage(picture, zoom=zoom), at, xybox=shift, boxcoords="offset points",
                                   box_alignment=align, frameon=False, pad=0, annotation_clip=False)
                )  # fmt: skip
    for n, label in enumerate(map(plain, labels)):
        at = _at(half + n, half)
        if rows:
            ax.text(-0.7, at, label, ha="right", va="center", fontsize=9, color=WORD)
        if columns:
            ax.text(at, end + 0.1, label, ha="center", va="top", fontsize=9, rotation=90, color=WORD)


def relation_blocks(
    connection: np.ndarray,
    relevance: np.ndarray,
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    titles: tuple[str, str] = ("Connection A", "Relevance S where connected"),
) -> Figure:
    """Connection and relevance of a batch side by side, four named blocks each.

    Args:
        connection: A, bool [2B,2B]
        relevance: S [2B,2B]
        images: B thumbnails
        labels: B short names of the captions
        titles: findings
    """
    connection = np.asarray(connection)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.1), layout="constrained")
    blocks(left, np.where(connection, 1.0, np.nan), connection, (0, 1), ListedColormap(["#202020"]))
    image = blocks(right, relevance, connection)
    for ax, title, rows in ((left, titles[0], True), (right, titles[1], False)):
        _nodes(ax, images, labels, rows=rows)
        ax.set_title(title)
    left.set_ylabel("row = who looks", labelpad=48)
    for ax in (left, right):
        ax.set_xlabel("column = who is looked at", labelpad=50)
    figure.colorbar(image, ax=right, fraction=0.04, pad=0.02, label="relevance (hatched: not connected)")
    return figure


def four_nodes(
    image_angles: Sequence[float], text_angles: Sequence[float], connection: np.ndarray, relevance: np.ndarray
) -> Figure:
    """The hand example: unit vectors on a circle (degrees), A and S with numbers.

    Args:
        image_angles, text_angles: two each
        connection, relevance: A and S [4,4]
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
    circle = np.linspace(-0.12, np.pi / 2 + 0.12, 60)
    axes[0].plot(np.cos(circle), np.sin(circle), color=GREY, linewidth=0.8)
    for name, angles, color, marker in (("v", image_angles, IMAGE, "o"), ("u", text_angles, TEXT, "s")):
        for n, degrees in enumerate(angles):
            x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            axes[0].plot([0, x], [0, y], color=color, linewidth=2)
            axes[0].plot(x, y, marker, color=color, markersize=10, clip_on=False)
            align, shift = ("right", -0.07) if degrees >= 90 else ("left", 0.06)
            axes[0].text(x + shift, 1.08 * y, f"{name}{n + 1}, {degrees:g}°", ha=align, va="center")
    axes[0].set(xlim=(-0.42, 1.45), ylim=(-0.15, 1.25), aspect="equal", title="Two pictures (●), two captions (■)")
    axes[0].axis("off")
    blocks(axes[1], np.where(connection, 1.0, np.nan), connection, (0, 1), ListedColormap(["#202020"]))
    image = blocks(axes[2], relevance, limits=(0, 1), numbers=True)
    figure.colorbar(image, ax=axes[2], fraction=0.045, pad=0.02)
    for ax, title in zip(axes[1:], ("A: each row keeps one in a block", "S: how relevant"), strict=True):
        for n, label in enumerate(("v1", "v2", "u1", "u2")):
            ax.text(_at(n, 2), 3.55 + _gap(2), label, ha="center", va="top", color=IMAGE if n < 2 else WORD)
            ax.text(-0.6, _at(n, 2), label, ha="right", va="center", color=IMAGE if n < 2 else WORD)
        ax.set_title(title)
    return figure


# ------------------------------------------------------------------------------------------- regions and words


def region_word_grid(
    similarity: np.ndarray,
    picture: np.ndarray,
    boxes: np.ndarray,
    words: Sequence[str],
    title: str,
    shown: int = 5,
) -> Figure:
    """Region-word similarity of one pair: crops on one axis, words in caption order on the other, and the picture.

    A dot marks each region's best word, a square each word's best region. The picture shows the regions that are
    best for some word, with those words.

    Args:
        similarity: r.c [R,L] of real regions and words
        picture: [height,width,3]
        boxes: x0 y0 x1 y1 of the regions [R,4]
        words: L
        title: the finding
        shown: boxes drawn on the picture at most, those that are best for most words first
    """
    similarity = np.asarray(similarity)
    figure = plt.figure(figsize=(10, 4.9), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.35), height_ratios=(2.3, 1))
    left, below, right = (figure.add_subplot(part) for part in (grid[0, 0], grid[1, 0], grid[:, 1]))
    best_region, best_word = similarity.argmax(0), similarity.argmax(1)
    used = sorted(set(best_region.tolist()), key=lambda r: -(best_region == r).sum())[:shown]
    left.imshow(picture)
    left.axis("off")
    below.axis("off")
    left.set_title("Regions that are the best one of some word")
    tags = []
    for n, r in enumerate(used):
        x0, y0, x1, y1 = boxes[r]
        x, y = x0 + 3, y0 + 3
        while any(abs(x - a) < 12 and abs(y - b) < 9 for a, b in tags):  # two tags would cover each other
            x += 3
        tags.append((x, y))
        color, style = BOX_COLORS[n % 6], BOX_LINES[n % 6]
        left.add_patch(
            Rectangle(
                (x0 + 1, y0 + 1), x1 - x0 - 2, y1 - y0 - 2, fill=False, edgecolor=color, linestyle=style, linewidth=2.2
            )
        )
        left.text(x, y, r, fontsize=9, weight="bold", color="white", va="top",
                  bbox=dict(facecolor=color, edgecolor="none", pad=1.5))  # fmt: skip
        line = f"{r}: " + " ".join(words[w] for w in np.flatnonzero(best_region == r))
        below.text(0, 1 - n / shown, plain(line), transform=below.transAxes, color=color, weight="bold", va="top")
    image = right.imshow(similarity, aspect="auto", cmap="cividis")
    for i, picture_ in enumerate(crops(picture, boxes)):
        right.add_artist(
            AnnotationBbox(OffsetImage(picture_, zoom=0.5), (-0.5, i), xybox=(-20, 0), boxcoords="offset points",
                           box_alignment=(1, 0.5), frameon=False, pad=0, annotation_clip=False)
        )  # fmt: skip
        right.text(-0.75, i, str(i), ha="right", va="center", fontsize=9)
    middle = (image.norm.vmin + image.norm.vmax) / 2
    for i in range(len(similarity)):
        j = best_word[i]
        right.plot(j, i, "o", markersize=6, color="white" if similarity[i, j] < middle else "black")
    for j in range(len(words)):
        i = best_region[j]
        color = "white" if similarity[i, j] < middle else "black"
        right.add_patch(Rectangle((j - 0.42, i - 0.42), 0.84, 0.84, fill=False, edgecolor=color, linewidth=2))
    right.set_yticks([])
    right.set_xticks(range(len(words)), [*map(plain, words)], rotation=45, ha="right", fontsize=10)
    right.tick_params(length=0)
    for side in right.spines.values():
        side.set_visible(False)
    figure.colorbar(image, ax=right, fraction=0.04, pad=0.02, label="cosine of region and word")
    right.set_title(title)
    return figure


def top_matches(curves: dict[str, np.ndarray], counts: dict[str, np.ndarray], titles: tuple[str, str]) -> Figure:
    """Sorted best matches of a caption with several pictures: left by region (i2t), right by word (t2i).

    Args:
        curves: name -> q of i2t [K]
        counts: name -> q of t2i [K]
        titles: findings
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.3), layout="constrained", sharey=True)
    for ax, parts, title in zip(axes, (curves, counts), titles, strict=True):
        for n, (name, values) in enumerate(parts.items()):
            color, marker = (RELATION, "o") if n == 0 else (GREY, "vx^d"[n % 4])
            ax.plot(
                np.arange(1, len(values) + 1),
                values,
                marker=marker,
                color=color,
                linewidth=2.5 if n == 0 else 1.2,
                label=name,
            )
        ax.set(xlabel="place in the sorted list", title=title, xticks=range(1, len(next(iter(parts.values()))) + 1))
    axes[0].legend(fontsize=9, loc="lower left")
    axes[0].set_ylabel("best match of a fragment")
    return figure


# ------------------------------------------------------------------------------------------- sweeps and truth


def share_sweep(connections: dict[float, np.ndarray], titles: Sequence[str] | None = None) -> Figure:
    """The connection for several shares: {share: A [2B,2B]}."""
    figure, axes = plt.subplots(1, len(connections), figsize=(10, 2.95), layout="constrained")
    for n, (ax, (share, found)) in enumerate(zip(axes, connections.items(), strict=True)):
        found = np.asarray(found)
        blocks(ax, np.where(found, 1.0, np.nan), found, (0, 1), ListedColormap(["#202020"]))
        ax.set_title(titles[n] if titles else f"share {share:g}: {found.sum()} links")
    return figure


def agreement(shares: Sequence[float], panels: dict[str, dict[str, Sequence[float]]], default: float = 0.5) -> Figure:
    """How many related nodes of the known scenes are connected, block by block, against chance.

    Args:
        shares: values of rho
        panels: title (a finding) -> {block name: recall, one value a share}
        default: the share of the paper
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.7), layout="constrained", sharey=True)
    looks = {"i2i": (IMAGE, "o", "-"), "i2t": (ERROR, "^", "--"), "t2i": (EXTRA[0], "v", "--"), "t2t": (TEXT, "s", "-")}
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        for name, line in values.items():
            color, marker, style = looks[name]
            ax.plot(shares, line, color=color, marker=marker, linestyle=style, label=name)
        ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        ax.text(0.52, 0.475, "chance", fontsize=9, va="center")  # just below the diagonal
        ax.axvline(default, color=GREY, linewidth=1, linestyle=":")
        ax.text(default, 0.03, " ρ of the paper", fontsize=9, color="#505050")
        ax.set(xlabel="neighbor share ρ", xlim=(0, 1.02), ylim=(0, 1.03), title=title)
    axes[0].set_ylabel("related nodes that are connected")
    axes[0].legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.12))
    return figure


def guide_rows(
    before: np.ndarray, guide: np.ndarray, after: np.ndarray, labels: Sequence[str], titles: Sequence[str]
) -> Figure:
    """One row of softmax(S) and of softmax(G), with other sizes of S: bars a caption.

    Args:
        before, guide, after: shares of the captions [B] each, sum one
        labels: B captions
        titles: of the three panels
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
    place = np.arange(len(labels))
    for ax, values, color, hatch, title in zip(
        axes, (before, guide, after), (RELATION, GREY, RELATION), ("", "//", ""), titles, strict=True
    ):
        ax.bar(place, values, color=color, hatch=hatch, edgecolor="white")
        ax.axhline(1 / len(labels), color="black", linestyle="--", linewidth=1)
        ax.set_xticks(place, [*map(plain, labels)], rotation=60, ha="right", fontsize=9)
        ax.set_title(title)
    axes[0].set_ylabel("share after softmax")
    axes[0].text(len(labels) - 0.5, 1 / len(labels), "all equal", ha="right", va="bottom", fontsize=9)
    return figure


# ------------------------------------------------------------------------------------------- interaction


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
        ax.text(0.9, y, _lines(captions[n], 20, 3), fontsize=9, va="center")
    ax.text(3.55, 4.2, f"Fragment attention (notebook 02): B sequences, [B, R, {width}]", weight="bold", va="top")
    for n in range(b):
        for r in range(6):
            token(3.6 + 0.36 * r, 3.5 - 0.4 * n, "i", f"r{r + 1}", 0.34)
        for r in range(5):
            token(6.6 + 0.36 * r, 3.5 - 0.4 * n, "t", f"c{r + 1}", 0.34)
        ax.text(3.5, 3.67 - 0.4 * n, f"{n + 1}", ha="right", va="center", fontsize=9)
        ax.text(8.45, 3.67 - 0.4 * n, "a sample of its own" if n == 0 else "", va="center", fontsize=9, color=GREY)
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
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    titles: Sequence[str] = ("λS where A = 1", "+  scores QKᵀ/√d", "softmax of the sum: attention"),
) -> Figure:
    """The additive mask, the scores and the attention that results; all from one forward pass.

    Args:
        bias: lambda S, -inf where not connected [2B,2B]
        scores: QK^T/sqrt(d), mean over heads [2B,2B]
        attention: mean over heads [2B,2B]
    """
    bias = np.asarray(bias)
    mask = np.isfinite(bias)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
    top = max(np.abs(np.asarray(scores)[mask]).max(), 1e-9)
    spread = np.ptp(bias[mask])
    low = bias[mask].min()
    for ax, values, limits, cmap, title, names in zip(
        axes, (np.where(mask, bias, 0), scores, attention),
        ((low, low + spread), (-max(top, spread / 2), max(top, spread / 2)), None),
        ("cividis", "PuOr_r", "cividis"), titles, (True, False, False), strict=True,
    ):  # fmt: skip
        image = blocks(ax, values, mask, limits, cmap)
        _nodes(ax, images, labels, rows=names, zoom=0.1)
        ax.set_title(title)
        figure.colorbar(image, ax=ax, fraction=0.046, pad=0.02)
    return figure


def attention_pair(
    left: np.ndarray,
    right: np.ndarray,
    connection: np.ndarray,
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    titles: tuple[str, str],
    limit: float | None = None,
    colorbar: str = "share of the row (hatched: not connected)",
) -> Figure:
    """Two matrices over the same nodes and links side by side, e.g. the attention of Fusion and of Standalone.

    Args:
        left, right: [2B,2B]; two attentions share one color scale, a 0/1 matrix is drawn black
        connection: A [2B,2B]
        images, labels: B each
        titles: findings
        limit: top of the color scale; larger values have its color
        colorbar: its label
    """
    connection = np.asarray(connection)
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.1), layout="constrained")
    black = set(np.unique(left)) <= {0.0, 1.0}
    shown = [np.asarray(right)[connection]] + ([] if black else [np.asarray(left)[connection]])
    limits = (0, limit or max(part.max() for part in shown))
    for ax, values, title, first in zip(axes, (left, right), titles, (True, False), strict=True):
        cmap = ListedColormap(["#202020"]) if first and black else "cividis"
        image = blocks(ax, np.where(connection, values, 0), connection, (0, 1) if first and black else limits, cmap)
        _nodes(ax, images, labels, rows=first)
        ax.set_title(title)
        ax.set_xlabel("column = who is looked at", labelpad=50)
    axes[0].set_ylabel("row = who looks", labelpad=48)
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
            label=plain(labels[j]) if strong else ("the others" if place == 3 else None),
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
    """One node and whom it looks at: arrows between thumbnails and captions, width = attention.

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
            ax.text(x + 0.1, y, _lines(captions[n], 43, 2), fontsize=9, va="center",
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
