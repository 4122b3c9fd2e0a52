"""A student's own photographs (Sec 3.5): answers, boxes by words, failures by margin; the end of notebook 07.

n = photographs, m = captions, R regions, L words. The folder may hold any pictures, so titles, captions and alternative
texts are made from the numbers. Where pictures or boxes are missing, each part says so in a sentence and draws nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from hrem_lib.data import Split
from hrem_lib.pictures.extract import origin
from hrem_lib.pictures.images import picture_finder, read_picture
from hrem_lib.plots.retrieval import LITTLE
from hrem_lib.plots.style import ERROR, EXTRA, GREY, IMAGE, RELATION, TEXT, fonts_for, plain, show
from hrem_lib.plots.task import RIGHT, WRONG, ordered

Find = Callable[[int], Image.Image | None]
LONGEST = 480  # pixels of a drawn photograph: no place in these plots is wider
COLORS = (IMAGE, ERROR, RELATION, TEXT, EXTRA[0], EXTRA[3])
Found = tuple[int, int, np.ndarray, Sequence[str]]  # photograph, caption, cosines [R,L], its L words


def photograph_finder(split: Split, folder: str | Path | None = None) -> Find:
    """A function from the number of a photograph to the open picture, or None where it is not found or not readable.

    Args:
        split: of a folder in the public layout, with the file names of the pictures
        folder: of the pictures; None: where the record of `hrem extract` says
    """
    folder = folder or origin(split.folder, split.name).pictures
    places = picture_finder(folder) if folder and Path(folder).expanduser().is_dir() else None

    def find(number: int) -> Image.Image | None:
        try:
            return read_picture(places(split.ids[number])) if places and split.ids else None
        except (ValueError, OSError):
            return None

    return find


def lacking(split: Split, find: Find, numbers: Sequence[int], boxes: bool = False) -> str:
    """One sentence on what is not there of what a part draws; "" where all is there."""
    missing = sum(find(int(number)) is None for number in numbers)
    if split.ids is None:
        return f"Nothing is drawn: {split.name}_ids.txt with the photographs' file names is missing."
    if missing:
        return f"Nothing is drawn: {missing} of {len(numbers)} photographs of {split.name}_ids.txt are missing."
    if boxes and split.boxes is None:
        return f"No box is drawn: {split.name}_boxes.npy is missing."
    return ""


def _open(find: Find, number: int) -> Image.Image:
    """A photograph that is known to be there, see `lacking`."""
    picture = find(int(number))
    if picture is None:
        raise FileNotFoundError(f"photograph {number}")
    return picture


def _quiet(text: str) -> str:
    """A user's text on one line."""
    return plain(" ".join(text.split()))


def _put(ax: Axes, picture: Image.Image, color: str = GREY, width: float = 0.8) -> None:
    """A photograph in a frame; the axes keep its own pixels, in which boxes are given."""
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST))
    ax.imshow(np.asarray(small), extent=(0, picture.width, picture.height, 0), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color=color, linewidth=width)


def _tallest(pictures: Sequence[Image.Image]) -> float:
    """Height over width of the tallest, at most 1.3."""
    return min(1.3, max(picture.height / picture.width for picture in pictures))


# ---- answers --------------------------------------------------------------------------------------------------


def answers(split: Split, find: Find, similarity: np.ndarray, queries: Sequence[int], top: int = 5) -> Figure:
    """Each caption and the photographs it finds; the right one has a tick and a thick frame.

    Args:
        split, find: captions and photographs
        similarity: [n,m]
        queries: numbers of captions
        top: answers shown
    """
    owner, rows = split.image_of_caption, []
    for query in queries:
        right = np.arange(len(similarity)) == owner[query]
        order = ordered(similarity[:, query], right, len(similarity))
        rows.append((query, order[:top], int(np.flatnonzero(order == owner[query])[0]) + 1))
    pictures = {i: _open(find, i) for _, order, _ in rows for i in order}
    height = 1.58 * _tallest([*pictures.values()]) + 0.36
    figure, axes = plt.subplots(
        len(rows), top + 1, figsize=(10, height * len(rows) + 0.4), width_ratios=[1.25] + [1] * top, squeeze=False
    )
    for line, (query, order, place) in zip(axes, rows, strict=True):
        line[0].axis("off")
        text = _quiet(textwrap.shorten(split.captions[query], 130, placeholder=" ..."))
        text = textwrap.fill(f"“{text}”", 24)
        at = dict(transform=line[0].transAxes, fontsize=9.5)
        line[0].text(0, 0.45, text, va="bottom" if place > top else "center", **at)
        if place > top:
            line[0].text(0, 0.4, f"right one: place {place}", va="top", color=ERROR, **at)
        for ax, i in zip(line[1:], order, strict=False):
            right = i == owner[query]
            _put(ax, pictures[i], RELATION if right else GREY, 4 if right else 0.8)
            mark = {"color": RELATION, "weight": "bold"} if right else {"color": "#404040"}
            ax.set_title(f"{RIGHT if right else WRONG} {similarity[i, query]:.2f}", fontsize=10, loc="center", **mark)
        for ax in line[1 + len(order) :]:
            ax.axis("off")
    first = sum(place == 1 for _, _, place in rows)
    figure.suptitle(f"{first} of {len(rows)} captions find their own photograph first", x=0.01, ha="left", fontsize=11)
    return figure


def show_answers(split: Split, find: Find, similarity: np.ndarray, queries: Sequence[int], top: int = 5) -> None:
    """Show `answers`, or say what is missing."""
    owner, lists = split.image_of_caption, []
    for query in queries:
        lists.append(ordered(similarity[:, query], np.arange(len(similarity)) == owner[query], top))
    missing = lacking(split, find, np.unique(np.concatenate(lists)).tolist())
    if missing:
        print(missing)
        return
    words = [split.captions[query] for query in queries]
    said = "; ".join(
        f"“{text}”: {'right one among them' if owner[query] in found else 'right one not among them'}"
        for text, query, found in zip(words, queries, lists, strict=True)
    )
    with _fonts(words):
        figure = answers(split, find, similarity, queries, top)
    show(
        figure,
        f"Captions of the split {split.name} and the {top} most similar of its {split.n_images:,} photographs. "
        "Thick frame and tick: the photograph that the caption was written for. Numbers: cosine.",
        f"Captions, each with a row of photographs. {said}.",
        photographs=True,
    )


# ---- boxes by words -------------------------------------------------------------------------------------------


def _whole(box: np.ndarray, picture: Image.Image) -> bool:
    """Is the box the whole photograph, but for a hundredth?"""
    size = np.array([picture.width, picture.height])
    return bool((box[:2] <= 0.01 * size).all() and (box[2:] >= 0.99 * size).all())


def box_words(box: np.ndarray, cosines: np.ndarray, words: Sequence[str]) -> list[tuple[np.ndarray, list[str]]]:
    """The boxes that words find, each with its words and their cosines; little words are left out.

    Args:
        box: x0 y0 x1 y1 [R,4]; equal boxes are one
        cosines: [R,L]
        words: L
    Returns:
        (box [4], words with their cosine), the box with the largest cosine first
    """
    found: dict[tuple, dict[str, float]] = {}
    for j, word in enumerate(words):
        if word not in LITTLE and any(letter.isalnum() for letter in word):
            best = int(cosines[:, j].argmax())
            said = found.setdefault(tuple(box[best].tolist()), {})
            said[word] = max(said.get(word, -1.0), float(cosines[best, j]))
    listed = [(np.array(at), sorted(said.items(), key=lambda item: -item[1])) for at, said in found.items()]
    listed.sort(key=lambda item: -item[1][0][1])
    return [(at, [f"{word} {cosine:.2f}" for word, cosine in said]) for at, said in listed]


def _corner(box: np.ndarray, picture: Image.Image, taken: list[np.ndarray], size: float) -> np.ndarray:
    """Where a box's number stands: on the box's edge, inside the photograph, and apart from other numbers."""
    x0, y0, x1, y1 = box
    places = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x0, (y0 + y1) / 2)]
    low, high = np.full(2, 0.7 * size), np.array([picture.width, picture.height]) - 0.7 * size
    spots = [np.clip(place, low, high) for place in places]
    free = [s for s in spots if all(np.abs(s - other).max() > 1.2 * size for other in taken)]
    return (free or spots)[0]


def boxes_by_words(split: Split, find: Find, pairs: Sequence[Found]) -> Figure:
    """Photographs with the boxes that the words of a caption find, numbered; the words stand below.

    Args:
        split: boxes and captions
        find: photographs
        pairs: (photograph, caption, cosines [R,L], words L) each
    """
    pictures = [_open(find, i) for i, *_ in pairs]
    listed = [box_words(np.asarray(split.boxes)[i], cosines, words)[: len(COLORS)] for i, _, cosines, words in pairs]
    width, parts, whole = 10 / len(pairs), 0, 0
    lines = [
        [textwrap.fill(", ".join(said), int(11 * width), subsequent_indent=" ") for _, said in found]
        for found in listed
    ]
    below = max(sum(0.17 * text.count("\n") + 0.25 for text in texts) for texts in lines) + 0.05
    above = (width - 0.1) * _tallest(pictures)
    figure, axes = plt.subplots(
        2, len(pairs), figsize=(10, above + below + 0.95), height_ratios=(above, below), squeeze=False
    )
    for (ax, beside), (_, j, *_), picture, found, texts in zip(axes.T, pairs, pictures, listed, lines, strict=True):
        _put(ax, picture)
        text = textwrap.shorten(_quiet(split.captions[j]), int(30 * width), placeholder=" ...")
        ax.set_title(textwrap.fill(f"“{text}”", int(12.5 * width)), fontsize=9.5, loc="left")
        beside.axis("off")
        size, taken, y = 0.075 * max(picture.size), [], 0.0
        for number, ((box, said), color, text) in enumerate(zip(found, COLORS, texts, strict=False), start=1):
            edge = 0.008 * max(picture.size)  # a box on the frame stays in view
            x0, y0, x1, y1 = np.clip(box, edge, np.tile(picture.size, 2) - edge)
            halo = [patheffects.withStroke(linewidth=4.5, foreground="white")]
            ax.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=2.2, path_effects=halo)
            )
            taken.append(_corner(box, picture, taken, size))
            badge = dict(fontsize=9.5, weight="bold", color="white", ha="center", va="center")
            patch = dict(boxstyle="round,pad=0.2", facecolor=color, edgecolor="white", linewidth=1)
            ax.text(*taken[-1], str(number), bbox=patch, **badge)
            place = dict(transform=beside.transAxes)
            beside.text(0.03, 1 - (y + 0.12) / below, str(number), bbox=patch, **badge, **place)
            beside.text(0.08, 1 - (y + 0.04) / below, plain(text), va="top", fontsize=9.5, **place)
            y += 0.17 * text.count("\n") + 0.25
            whole, parts = whole + len(said) * _whole(box, picture), parts + len(said)
    title = f"{parts - whole} of {parts} words find a part of the photograph, {whole} the whole of it"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def show_boxes(split: Split, find: Find, pairs: Sequence[Found]) -> None:
    """Show `boxes_by_words`, or say what is missing."""
    missing = lacking(split, find, [i for i, *_ in pairs], boxes=True)
    if missing:
        print(missing)
        return
    said = []
    for number, (i, j, cosines, words) in enumerate(pairs, start=1):
        found = [", ".join(said) for _, said in box_words(np.asarray(split.boxes)[i], cosines, words)]
        said.append(f"photograph {number}, “{split.captions[j]}”: " + "; ".join(found))
    with _fonts([split.captions[j] for _, j, *_ in pairs]):
        figure = boxes_by_words(split, find, pairs)
    show(
        figure,
        "The box with the largest cosine for each word. Words that find the same box stand together, with their "
        "cosines. Little words are left out.",
        f"Photographs with numbered boxes. {'. '.join(said)}.",
        photographs=True,
    )


# ---- failures by margin ---------------------------------------------------------------------------------------


def failures_by_margin(
    split: Split, find: Find, similarity: np.ndarray, margin: np.ndarray, shown: Sequence[int]
) -> Figure:
    """How narrowly captions find or miss their photograph, and some misses with both photographs.

    Args:
        split, find: captions and photographs
        similarity: [n,m]
        margin: similarity of the own photograph minus that of the best other one [m]
        shown: captions that miss, at most three a row
    """
    first = best_other(similarity, split.image_of_caption)
    pairs = [(_open(find, split.image_of_caption[j]), _open(find, first[j])) for j in shown]
    rows, below = -(-len(shown) // 3), 1.5 * _tallest([picture for pair in pairs for picture in pair]) + 0.95
    figure = plt.figure(figsize=(10, 2.1 + below * rows))
    parts: Any = figure.subfigures(2, 1, height_ratios=(2.1, below * rows))
    top, bottom = parts
    ax, misses = top.subplots(), margin <= 0
    width = max(np.ptp(margin) / 60, 1e-6)
    edges = width * np.arange(np.floor(margin.min() / width), np.ceil(margin.max() / width) + 1)  # 0 is one of them
    ax.hist(margin[misses], edges, color=ERROR, hatch="//", edgecolor="white", label="misses")
    ax.hist(margin[~misses], edges, color=RELATION, edgecolor="white", label="hits")
    ax.axvline(0, color="black", linewidth=1.5)
    ax.set(xlabel="margin: cosine of the caption's own photograph minus that of the best other one", ylabel="captions")
    ax.legend(fontsize=9)
    near = 100 * np.mean(margin[misses] > -0.05) if misses.any() else 0
    ax.set_title(f"{100 * misses.mean():.0f} % of the captions miss, {near:.0f} % of these by less than 0.05")
    cells = bottom.subplots(rows, 6, squeeze=False)
    for cell in cells.flat:
        cell.axis("off")
    for (own, other), j, at in zip(pairs, shown, range(0, 6 * rows, 2), strict=False):
        left, right = cells.flat[at], cells.flat[at + 1]
        for cell, picture, color, width in ((left, own, RELATION, 3), (right, other, ERROR, 1.5)):
            cell.axis("on")
            _put(cell, picture, color, width)
        text = textwrap.shorten(_quiet(split.captions[j]), 96, placeholder=" ...")
        left.set_title(f"{textwrap.fill(f'“{text}”', 44)}\nmargin {margin[j]:.3f}".replace("-", "−"), fontsize=9.5)
        for cell, name, i in ((left, "own", split.image_of_caption[j]), (right, "found", first[j])):
            cell.set_xlabel(f"{name}: {similarity[i, j]:.2f}", fontsize=9.5)
    return figure


def best_other(similarity: np.ndarray, image_of_caption: np.ndarray) -> np.ndarray:
    """The photograph, apart from its own, that is most similar to each caption: [n,m], [m] -> [m]."""
    own = np.arange(len(similarity))[:, None] == image_of_caption
    return np.where(own, -np.inf, similarity).argmax(0)


def spread_of_misses(margin: np.ndarray, count: int = 6) -> list[int]:
    """Captions that miss, evenly spaced from the narrowest to the widest margin: at most `count`."""
    order = np.argsort(-margin, kind="stable")
    order = order[margin[order] <= 0]
    return order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))].tolist() if len(order) else []


def show_failures(split: Split, find: Find, similarity: np.ndarray, margin: np.ndarray) -> None:
    """Show `failures_by_margin` for narrow to wide misses, or say what is missing."""
    shown = spread_of_misses(margin)
    first = best_other(similarity, split.image_of_caption)
    missing = lacking(split, find, [*split.image_of_caption[shown], *first[shown]]) if shown else "No caption misses."
    if missing:
        print(missing)
        return
    words = [split.captions[j] for j in shown]
    with _fonts(words):
        figure = failures_by_margin(split, find, similarity, margin, shown)
    said = "; ".join(f"“{text}” {margin[j]:.3f}" for text, j in zip(words, shown, strict=True))
    show(
        figure,
        "Top: margins of all captions. Below: misses from the narrowest to the widest, each with its own photograph "
        "(thick frame) and the one found first.",
        f"A histogram of margins, misses left of zero. Below, pairs of photographs for captions with margins: {said}.",
        photographs=True,
    )


def _fonts(lines: Sequence[str]):
    """Fonts that have the letters of some texts, where this machine has any."""
    return mpl.rc_context({"font.family": fonts_for("".join(lines))[0]})
