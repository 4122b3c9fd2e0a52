"""Plots of pictures with boxes, their features, and captions as ids (Sec 3.1): notebook 01.

Shapes: R regions, L words, F feature width.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from PIL import Image

from hrem_lib.data import Split
from hrem_lib.plots.style import ERROR, GREY, IMAGE, TEXT, heat_map, plain
from hrem_lib.sample_world import detector, scenes

INK = "#404040"
LOOKS = {True: (IMAGE, "-", "✓"), False: (ERROR, "--", "✗"), None: ("#606060", ":", " ")}
"""Color, line style and sign of a label that is right, wrong, or of a box that fits no true object."""


# ------------------------------------------------------------------------------------- the world's own data


def truth(split: Split) -> list[dict]:
    """What is really in the pictures of a split of the sample data: setting, entities with boxes, relations."""
    return scenes.read_scenes(split.folder / f"{split.name}_scenes.jsonl")


def true_kinds(boxes: np.ndarray, scene: dict, least: float = 0.5) -> list[str | None]:
    """For each box [R,4] the kind of the true thing that it fits best, None where no overlap reaches `least`.

    The whole picture (row 0 of the sample data's boxes) stands for the setting.
    """
    things = torch.tensor([entity["box"] for entity in scene["entities"]], dtype=torch.float32)
    best, which = detector.overlap(torch.tensor(np.array(boxes)), things).max(1)
    kinds = [
        scene["entities"][k]["kind"] if b >= least else None for b, k in zip(best.tolist(), which.tolist(), strict=True)
    ]
    return [scene["setting"], *kinds[1:]]


def crops(image: Image.Image, boxes: np.ndarray, cells: int = 48) -> np.ndarray:
    """Boxes [R,4] cut out of a picture and brought to one size by RoI align: [R,cells,cells,3], values 0..1."""
    pixels = detector.to_tensor(image)[0]
    cut = detector.roi_align(pixels, torch.tensor(np.array(boxes)), cells, stride=1)  # [R,3,cells,cells]
    return cut.permute(0, 2, 3, 1).clamp(0, 1).numpy()


# ------------------------------------------------------------------------------------------ boxes and crops


def show_picture(ax: Axes, image: Image.Image, fade: float = 0.0) -> None:
    """The picture on axes whose units are pixels; `fade` of it turned to white."""
    shown = np.asarray(image, dtype=float) / 255
    ax.imshow(shown * (1 - fade) + fade, extent=(0, image.width, image.height, 0), interpolation="antialiased")
    ax.set(xlim=(-1, image.width + 1), ylim=(image.height + 1, -1))
    ax.axis("off")


def number_places(boxes: np.ndarray, size: tuple[float, float] = (10, 9)) -> list[tuple[float, float]]:
    """Where the number of each box goes: on its border, away from the numbers placed before."""
    taken: list[tuple[float, float]] = []
    for x0, y0, x1, y1 in np.asarray(boxes, dtype=float):
        spots = [(x, y) for y in np.linspace(y0, y1, 5) for x in (x0, x1)]
        spots += [(x, y) for x in np.linspace(x0, x1, 5) for y in (y0, y1)]

        def crowd(spot: tuple[float, float]) -> float:
            far = [max(abs(spot[0] - x) / size[0], abs(spot[1] - y) / size[1]) for x, y in taken]
            return -min([*far, 1.0])

        taken.append(min(spots, key=crowd))
    return taken


def draw_boxes(ax: Axes, boxes: np.ndarray, marks: Sequence[bool | None], numbers: Sequence[int] | None = None) -> None:
    """Boxes [n,4] on a picture, each with its number; style by mark (right, wrong, fits no true object)."""
    numbers = range(len(boxes)) if numbers is None else numbers
    for box, mark, number, spot in zip(boxes, marks, numbers, number_places(boxes), strict=True):
        color, line, _ = LOOKS[mark]
        x0, y0, x1, y1 = np.asarray(box, dtype=float)
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=2.6, alpha=0.7))
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle=line, linewidth=1.9))
        ax.text(*spot, str(number), color="white", fontsize=9, weight="bold", ha="center", va="center",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": color, "edgecolor": "white", "linewidth": 0.8},
                zorder=5)  # fmt: skip


def labelled_boxes(
    image: Image.Image, boxes: np.ndarray, names: Sequence[str], kinds: Sequence[str | None], title: str
) -> Figure:
    """A picture with its numbered boxes [R,4], and what the network calls them beside what is true.

    Args:
        image: the picture
        boxes: row 0 is the whole picture (listed, not drawn)
        names: what the network says, e.g. "dog 0.97"; its first word is compared with the truth
        kinds: what is true, see `true_kinds`
        title: the finding
    """
    marks = [None if kind is None else name.rsplit(" ", 1)[0] == kind for name, kind in zip(names, kinds, strict=True)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.1), width_ratios=(1.32, 1))
    show_picture(left, image)
    draw_boxes(left, np.asarray(boxes)[1:], marks[1:], range(1, len(boxes)))
    left.set_title(title)
    right.axis("off")
    right.set(xlim=(0, 1), ylim=(len(boxes) - 0.4, -1.4))
    for x, head in ((0.0, "box"), (0.12, "the network says"), (0.6, "true thing")):
        right.text(x, -0.9, head, color=INK, weight="bold", va="center")
    for row, (name, kind, mark) in enumerate(zip(names, kinds, marks, strict=True)):
        color, _, sign = LOOKS[mark]
        weight = "bold" if mark is False else "normal"
        right.text(0.03, row, str(row), color=color, weight="bold", va="center")
        right.text(0.12, row, name, color=INK, va="center", weight=weight)
        right.text(0.53, row, sign, color=color, va="center", weight="bold")
        right.text(0.6, row, kind or "nothing whole", color=INK if kind else GREY, va="center")
    return figure


def crop_rows(image: Image.Image, boxes: np.ndarray, names: Sequence[str], cells: int) -> Figure:
    """Boxes [n,4] as they lie in the picture, resampled to 48 x 48, and resampled to `cells` x `cells`."""
    figure, axes = plt.subplots(3, len(boxes), figsize=(10, 5.2), height_ratios=(1.15, 1, 1))
    fine, coarse = crops(image, boxes), crops(image, boxes, cells)
    for column, (box, name) in enumerate(zip(boxes, names, strict=True)):
        x0, y0, x1, y1 = (int(v) for v in box)
        top, *rest = axes[:, column]
        top.imshow(np.asarray(image)[y0:y1, x0:x1], interpolation="nearest")
        top.set_title(f"{name}\n{x1 - x0} x {y1 - y0} pixels", fontsize=9, loc="center")
        for ax, cut in zip(rest, (fine[column], coarse[column]), strict=True):
            ax.imshow(cut, interpolation="nearest")
    for row, head in zip(axes, ("as it is", "48 x 48", f"{cells} x {cells}"), strict=True):
        for ax in row:
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(head, fontsize=10)
    return figure


# --------------------------------------------------------------------------------------------------- features


def feature_map(features: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Features [R,F], each row of unit length; columns sorted by the row that holds their largest value, zeros last."""
    rows = np.asarray(features, dtype=float)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    largest = np.where(rows.max(0) > 0, rows.argmax(0), len(rows))
    order = np.lexsort((-rows.max(0), largest))
    figure, ax = plt.subplots(figsize=(10, 3.8))
    heat_map(ax, rows[:, order], rows=names, colorbar="value (row of unit length)")
    ax.set(xlabel=f"the {rows.shape[1]} feature columns, sorted by the region where they are largest", xticks=[])
    ax.set_title(title)
    return figure


def region_cosines(cosines: np.ndarray, kinds: Sequence[str], pictures: dict[str, np.ndarray], title: str) -> Figure:
    """Cosine between regions [n,n], sorted by true kind.

    Args:
        cosines: rows and columns in the order of `kinds`
        kinds: true kind of each region, equal ones side by side
        pictures: for each kind one crop [height,width,3]
        title: the finding
    """
    figure, ax = plt.subplots(figsize=(7.6, 6.4))
    heat_map(ax, cosines, limits=(0, 1), colorbar="cosine of two regions' features")
    names = list(dict.fromkeys(kinds))
    starts = [list(kinds).index(name) for name in names]
    ends = [*starts[1:], len(kinds)]
    for start in starts[1:]:
        ax.axhline(start - 0.5, color="white", linewidth=1.5)
        ax.axvline(start - 0.5, color="white", linewidth=1.5)
    middles = [(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)]
    ax.set_yticks(middles, names)
    ax.set_xticks([])
    for name, middle in zip(names, middles, strict=True):
        box = AnnotationBbox(OffsetImage(pictures[name], zoom=0.85), (middle, 0), xybox=(0, -4), frameon=False,
                             xycoords=("data", "axes fraction"), boxcoords="offset points", box_alignment=(0.5, 1),
                             pad=0, annotation_clip=False)  # fmt: skip
        ax.add_artist(box)
    ax.set_title(title)
    return figure


# --------------------------------------------------------------------------------------------------- captions


def word_strip(rows: Sequence[tuple[str, Sequence[str], Sequence[int], Sequence[int]]], title: str) -> Figure:
    """Captions as tokens with their ids.

    Args:
        rows: (name of the encoder, tokens, ids, word index of each token: -1 for special tokens)
        title: the finding
    """
    widths = [[max(1.0, 0.17 * len(token) + 0.35) for token in tokens] for _, tokens, _, _ in rows]
    longest = max(map(sum, widths))
    figure, axes = plt.subplots(len(rows), 1, figsize=(10, 1.35 * len(rows) + 0.35), squeeze=False)
    for ax, (name, tokens, ids, words), wide in zip(axes[:, 0], rows, widths, strict=True):
        ends = np.cumsum(wide)
        for place, (token, number, word) in enumerate(zip(tokens, ids, words, strict=True)):
            special, middle = word < 0, ends[place] - wide[place] / 2
            look = {"facecolor": "white", "edgecolor": TEXT, "linewidth": 1.6}
            if special:
                look = {"facecolor": "#EEEEEE", "edgecolor": "#D8D8D8", "linewidth": 0, "hatch": "//"}
            ax.add_patch(Rectangle((ends[place] - wide[place] + 0.04, 0), wide[place] - 0.08, 1, **look))
            ax.text(
                middle, 0.66, plain(token), ha="center", va="center", weight="normal" if special else "bold", color=INK
            )
            ax.text(middle, 0.24, str(number), ha="center", va="center", fontsize=9, color=INK)
            if place > 0 and word >= 0 and words[place - 1] == word:  # pieces of one word hang together
                ax.plot([middle - wide[place], middle], [-0.17, -0.17], color=TEXT, linewidth=3, solid_capstyle="butt")
        ax.set(xlim=(0, longest), ylim=(-0.3, 1.1))
        ax.axis("off")
        ax.set_title(name, fontsize=10)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def influence(panels: dict[str, np.ndarray], words: Sequence[str], title: str) -> Figure:
    """How much the state of each word (row) depends on each word (column), as powers of ten; zeros are hatched.

    Args:
        panels: one matrix [L,L] a network, at least zero
        words: names of rows and columns
        title: the finding
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.4), sharey=True)
    for ax, (name, values) in zip(axes, panels.items(), strict=True):
        powers = np.log10(np.maximum(values / values.max(), 1e-9))
        heat_map(ax, powers, mask=values > 0, rows=words, columns=words, limits=(-3, 0),
                 colorbar="influence (power of ten)" if ax is axes[-1] else None)  # fmt: skip
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("replaced word")
    axes[0].set_ylabel("state of")
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def left_out(
    image: Image.Image, boxes: np.ndarray, kept: Sequence[np.ndarray], captions: Sequence[str], title: str
) -> Figure:
    """What size augmentation leaves of a picture and a caption in some draws.

    Args:
        image, boxes: a picture and its boxes [R,4], row 0 the whole picture
        kept: for each draw which regions stay [R] bool
        captions: for each draw what is left of the caption
        title: the finding
    """
    figure, axes = plt.subplots(1, len(kept), figsize=(10, 3.5))
    for ax, stay, caption in zip(axes, kept, captions, strict=True):
        show_picture(ax, image, fade=0.45)
        for box, real in zip(np.asarray(boxes, dtype=float)[1:], stay[1:], strict=True):
            x0, y0, x1, y1 = box
            if real:
                ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=IMAGE, linewidth=1.6))
            else:
                ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=ERROR, linewidth=1.2,
                                       linestyle="--", hatch="///"))  # fmt: skip
        head = f"{int(np.sum(stay))} of {len(stay)} regions stay"
        ax.set_title(f"{head}\n{plain(textwrap.fill(caption, 46))}", fontsize=9.5)
    figure.suptitle(title, x=0.005, ha="left", fontsize=11)
    return figure


def drift(sizes: Sequence[int], curves: dict[str, Sequence[float]], labels: tuple[str, str], title: str) -> Figure:
    """How far a result moves when only the padding or the batch mates change; the first curve is the right one."""
    figure, ax = plt.subplots(figsize=(7, 3.4))
    for (name, values), color, line, marker in zip(
        curves.items(), (IMAGE, ERROR, TEXT), ("-", "--", "-."), "osv", strict=False
    ):
        ax.plot(sizes, values, color=color, linestyle=line, marker=marker, label=name, clip_on=False, zorder=3)
    ax.set(xlabel=labels[0], ylabel=labels[1], xticks=sizes)
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left")
    ax.set_title(title)
    return figure
