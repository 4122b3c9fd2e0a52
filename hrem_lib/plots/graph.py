"""Figures of the association graph (Sec 3.3): notebook 03.

Everything drawn comes out of the forward pass (`Graph`), never a second computation.
A matrix over a batch has 2B rows and columns, pictures first; its four blocks are set apart and carry their names.
Row = who attends, column = who is attended to. No connection is hatched gray, never a color of the scale.
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
from matplotlib.patches import Rectangle
from PIL import Image

from hrem_lib.plots.style import ERROR, EXTRA, GREY, IMAGE, RELATION, TEXT, plain

WORD = "#8A5F00"  # the text side's orange, dark enough for letters
EMPTY, HATCH = "#EDEDED", "#BDBDBD"
BOX_COLORS = (ERROR, IMAGE, RELATION, EXTRA[0], "#000000", TEXT)
BOX_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


# ------------------------------------------------------------------------------------------- pictures and captions


def crops(picture: np.ndarray, boxes: np.ndarray, size: int = 56) -> list[np.ndarray]:
    """What stands in each box [n,4] of a picture, square and gray outside: thumbnails [size,size,3]."""
    out = []
    for box in boxes:
        part = Image.fromarray(picture).crop(tuple(round(float(v)) for v in box))  # pyright: ignore[reportArgumentType]  # four numbers
        scale = size / max(part.size)
        part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))
        square = Image.new("RGB", (size, size), "#D9D9D9")
        square.paste(part, ((size - part.width) // 2, (size - part.height) // 2))
        out.append(np.asarray(square))
    return out


def lines(text: str, width: int, most: int) -> str:
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
    """A matrix over the nodes with its four blocks set apart and named; row = who attends, column = who is attended to.

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
    return image  # pyright: ignore[reportReturnType]  # the last of the four blocks


def nodes(ax: Axes, labels: Sequence[str], rows: bool = True, fontsize: float = 10) -> None:
    """The pairs' short names along a `blocks` matrix, in both halves: below it, and at the left if `rows`."""
    half, labels = len(labels), [*map(plain, labels)]
    end, below = 2 * half + _gap(half) - 0.5, 0.62 * fontsize * max(map(len, labels)) + 8  # points
    for start, side, color in ((0, "pictures", IMAGE), (half, "captions", WORD)):
        for n, label in enumerate(labels):
            at = _at(start + n, half)
            ax.text(at, end + 0.1, label, ha="center", va="top", fontsize=fontsize, rotation=90, color=color)
            if rows:
                ax.text(-0.7, at, label, ha="right", va="center", fontsize=fontsize, color=color)
        name = {
            "color": color,
            "weight": "bold",
            "fontsize": 10,
            "textcoords": "offset points",
            "annotation_clip": False,
        }
        middle = _at(start, half) + half / 2 - 0.5
        ax.annotate(side, (middle, end), (0, -below), ha="center", va="top", **name)
        if rows:
            ax.annotate(side, (-0.7, middle), (-below, 0), ha="right", va="center", rotation=90, **name)


def relation_blocks(
    connection: np.ndarray,
    relevance: np.ndarray,
    labels: Sequence[str],
    titles: tuple[str, str] = ("Connection A", "Relevance S where connected"),
) -> Figure:
    """Connection and relevance of a batch side by side, four named blocks each.

    Args:
        connection: A, bool [2B,2B]
        relevance: S [2B,2B]
        labels: B short names of the pairs
        titles: findings
    """
    connection = np.asarray(connection)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.3), layout="constrained")
    blocks(left, np.where(connection, 1.0, np.nan), connection, (0, 1), ListedColormap(["#202020"]))
    image = blocks(right, relevance, connection, (0, 1))
    for ax, title, rows in ((left, titles[0], True), (right, titles[1], False)):
        nodes(ax, labels, rows=rows)
        ax.set_title(title)
    left.set_ylabel("row = who attends", labelpad=72)
    for ax in (left, right):
        ax.set_xlabel("column = who is attended to", labelpad=68)
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
    left.set_title("Regions that are the best of some word")
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
        line = f"{r}: " + " ".join(words[int(w)] for w in np.flatnonzero(best_region == r))
        below.text(0, 1 - n / shown, plain(line), transform=below.transAxes, color=color, weight="bold", va="top")
    image = right.imshow(similarity, aspect="auto", cmap="cividis")
    for i, picture_ in enumerate(crops(picture, boxes)):
        right.add_artist(
            AnnotationBbox(OffsetImage(picture_, zoom=0.5), (-0.5, i), xybox=(-20, 0), boxcoords="offset points",
                           box_alignment=(1, 0.5), frameon=False, pad=0, annotation_clip=False)
        )  # fmt: skip
        right.text(-0.75, i, str(i), ha="right", va="center", fontsize=9)
    middle = (image.norm.vmin + image.norm.vmax) / 2  # pyright: ignore[reportOperatorIssue]  # numbers after imshow
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
    """The connection for several shares: {share: A [2B,2B]}, each in a frame of its own."""
    figure, axes = plt.subplots(1, len(connections), figsize=(10, 2.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, wspace=0.1)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]  # the constrained one
    for n, (ax, (share, found)) in enumerate(zip(axes, connections.items(), strict=True)):
        found = np.asarray(found)
        blocks(ax, np.where(found, 1.0, np.nan), found, (0, 1), ListedColormap(["#202020"]))
        ax.set_title(titles[n] if titles else f"share {share:g}: {found.sum()} links")
        for side in ax.spines.values():
            side.set(visible=True, color=GREY, linewidth=1)
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
