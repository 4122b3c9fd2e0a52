"""Figures of retrieval and of the embedding space (Sec 3.5, Sec 4): notebooks 00 and 07.

n = images, m = captions, `image_of_caption[j]` is the image that caption j describes. Right answers are bold,
ticked and green, never green alone. Pictures are arrays [height,width,3].
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hrem_lib import evaluation, scenes
from hrem_lib.data import Split
from hrem_lib.plots.house import (
    ERROR,
    EXTRA,
    GREY,
    IMAGE,
    RELATION,
    TEXT,
    heat_map,
    load_pictures,
    plain,
    thumbnails,
)  # fmt: skip
from hrem_lib.text import split_words

RIGHT, WRONG = "✓", "✗"
SIDES = {"i2t": ("image to text", IMAGE, "o", "-"), "t2i": ("text to image", TEXT, "s", "--")}


SYNONYMS = {
    "birds": "bird", "dogs": "dog", "cats": "cat", "guy": "man", "lady": "woman", "kid": "child", "puppy": "dog",
    "kitten": "cat", "board": "surfboard", "bike": "bicycle", "couch": "sofa",
}  # fmt: skip


def picture_facts(scene: dict) -> set[str]:
    """Place, things and colors of a picture of the sample world, from its truth; not who does what."""
    facts = {scene["setting"]}
    for entity in scene["entities"]:
        facts |= {entity["kind"], entity.get("color"), entity.get("bottom"), entity.get("hat")}
    return (facts | {"child"} if facts & {"boy", "girl"} else facts) - {None}


def caption_facts(caption: str, names: Sequence[str]) -> set[str]:
    """The facts among `names` that a caption of the sample world states, synonyms included."""
    text = f" {' '.join(split_words(caption))} "
    say = {name: name for name in names if name not in scenes.PLACES} | SYNONYMS
    say |= {phrase: place for place, phrases in scenes.PLACES.items() for phrase in phrases}
    return {fact for phrase, fact in say.items() if f" {phrase} " in text}


def ordered(scores: np.ndarray, right: np.ndarray, top: int) -> np.ndarray:
    """Numbers of the `top` best answers; at a tie the wrong one stands first, as in `evaluation.ranks`.

    Args:
        scores, right: [answers]
        top: how many
    """
    return np.lexsort((right, -scores))[:top]


def _frame(ax: Axes, picture: np.ndarray, color: str | None = None, width: float = 1.0) -> None:
    """A picture in a colored frame, without ticks."""
    ax.imshow(picture)
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
        _frame(ax, picture)
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
    halo = [patheffects.withStroke(linewidth=5, foreground="white")]
    for i in range(n):
        own = np.flatnonzero(image_of_caption == i)
        box = Rectangle((own[0] - 0.46, i - 0.44), len(own) - 0.08, 0.88, fill=False, edgecolor=ERROR, linewidth=2)
        box.set_path_effects(halo)
        ax.add_patch(box)
        if i:
            ax.axvline(own[0] - 0.5, color="white", linewidth=1)
    thumbnails(ax, pictures, "y", zoom=0.24)
    middle = [np.flatnonzero(image_of_caption == i).mean() for i in range(n)]
    ax.set_xticks(middle, [f"captions of {i}" for i in range(n)])
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
        _frame(left, picture, IMAGE, 2)
        right.axis("off")
        right.set(xlim=(0, 1), ylim=(top - 0.4, -0.6))
        true = image_of_caption == query
        for place, j in enumerate(ordered(similarity[query], true, top)):
            text = f"{RIGHT if true[j] else WRONG}  {similarity[query, j]:.2f}  {textwrap.shorten(captions[j], wrap)}"
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
            _frame(ax, picture, RELATION if true[i] else GREY, 4 if true[i] else 0.8)
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
    chance = [evaluation.chance(n, m, int(k))["t2i"] for k in at]
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
    keys = [f"R@{k}" for k in evaluation.RECALLS]
    at = np.arange(len(keys))
    mean = [np.mean([fold[key] for fold in folds]) for key in keys]
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


# ---- the embedding space --------------------------------------------------------------------------------------

SHADES = (IMAGE, TEXT, RELATION, ERROR, *EXTRA[:2])


def umap_plane(points: np.ndarray, seed: int, neighbors: int = 15) -> np.ndarray:
    """Two-dimensional UMAP of some points; repeats on one machine, not across versions (never compare coordinates).

    Limits: only who is near whom means something; distances between groups, their sizes and the axes do not.

    Args:
        points: [n,D]
        seed: of its random start
        neighbors: how many neighbors of a point count as near
    Returns:
        [n,2]
    """
    import umap  # seconds to import, and its first fit compiles for seconds: only where needed
    from sklearn.neighbors import NearestNeighbors

    points = np.asarray(points, dtype=np.float32)
    distance, index = NearestNeighbors(n_neighbors=neighbors).fit(points).kneighbors(points)
    known = index.astype(np.int32), distance.astype(np.float32)  # half of the compiling is UMAP's own neighbor search
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it cannot place new points
        plane = umap.UMAP(
            n_neighbors=neighbors,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=known,
            force_approximation_algorithm=True,
        ).fit_transform(points)
    return np.asarray(plane, dtype=np.float64)


def embedding_map(
    ax: Axes,
    images: np.ndarray,
    texts: np.ndarray,
    groups: Sequence[str] | None = None,
    shown: Sequence[str] = (),
    line: float = 0.5,
) -> None:
    """Pairs in a plane: circles are images, squares texts, a line joins each pair.

    Args:
        ax: where
        images, texts: [B,2], row i of both is pair i
        groups: name of each pair's group; those in `shown` get a color of their own and their name beside the images
        shown: at most six groups; without any, images and texts have the colors of their side
        line: width of the joining lines
    """
    segments = np.stack([images, texts, np.full_like(images, np.nan)], axis=1).reshape(-1, 2)
    ax.plot(*segments.T, color="#C8C8C8", linewidth=line, zorder=1)
    names = np.asarray(groups if groups is not None else [""] * len(images))
    parts = [(np.isin(names, list(shown), invert=True), GREY if len(shown) else IMAGE, GREY if len(shown) else TEXT)]
    parts += [(names == name, color, color) for name, color in zip(shown, SHADES, strict=False)]
    for part, image_color, text_color in parts:
        ax.scatter(*images[part].T, s=20, marker="o", color=image_color, linewidths=0, zorder=2)
        ax.scatter(*texts[part].T, s=18, marker="s", facecolor="white", edgecolor=text_color, linewidths=1.2, zorder=2)
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    for name, color in zip(shown, SHADES, strict=False):
        x, y = np.median(images[names == name], axis=0)
        ax.text(
            x, y, name, fontsize=10, weight="bold", color=color, ha="center", va="center", zorder=3, path_effects=halo
        )
    ax.set(xticks=[], yticks=[])


def map_row(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    groups: Sequence[str] | None = None,
    shown: Sequence[str] = (),
    same_scale: bool = False,
    height: float = 3.9,
) -> Figure:
    """`embedding_map` panels side by side.

    Args:
        panels: {title: (images [B,2], texts [B,2])}
        groups, shown: see `embedding_map`
        same_scale: the same limits everywhere, as for before and after
        height: inches
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(10, height))
    for ax, (title, (images, texts)) in zip(axes, panels.items(), strict=True):
        embedding_map(ax, images, texts, groups, shown)
        ax.set_title(title)
    if same_scale:
        every = np.concatenate([part for pair in panels.values() for part in pair])
        low, high = every.min(0), every.max(0)
        margin = 0.05 * (high - low).max()
        for ax in axes:
            ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
    handles = [
        plt.Line2D([], [], marker="o", color=GREY if shown else IMAGE, linestyle="none", label="image"),
        plt.Line2D(
            [],
            [],
            marker="s",
            color=GREY if shown else TEXT,
            markerfacecolor="white",
            linestyle="none",
            label="its caption",
        ),
    ]
    axes[0].legend(handles=handles, loc="lower left", fontsize=9, frameon=True, framealpha=0.9, handletextpad=0.1)
    return figure


def pair_histogram(ax: Axes, similarity: np.ndarray, image_of_caption: np.ndarray, limits: tuple[float, float]) -> None:
    """Similarity of the true pairs against all wrong pairs, each as a density.

    Args:
        ax: where
        similarity: [n,m]
        image_of_caption: [m]
        limits: of the axis
    """
    true = np.arange(len(similarity))[:, None] == image_of_caption
    edges = np.linspace(*limits, 50)
    for part, color, hatch, label in ((~true, GREY, "", "wrong pairs"), (true, RELATION, "//", "true pairs")):
        values = similarity[part]
        ax.hist(values, edges, density=True, color=color, alpha=0.6, hatch=hatch, edgecolor="white", label=label)
        ax.axvline(values.mean(), color=color, linestyle="--", linewidth=2)
    ax.set(xlabel="similarity (dashed: mean)", yticks=[], xlim=limits)
    ax.legend(fontsize=9)


def hub_histogram(ax: Axes, counts: np.ndarray, queries: int, k: int) -> None:
    """How many items stand how often among the first k answers, beside what lists drawn at random would give.

    Args:
        ax: where
        counts: N_k of each item [items]
        queries: number of queries
        k: length of a list
    """
    items, mean = len(counts), queries * k / len(counts)
    rng = np.random.default_rng(0)
    chance = rng.binomial(queries, k / items, size=(200, items))  # each list holds an item with probability k / items
    high = max(counts.max(), chance.max()) + 1
    edges = np.arange(0, high + 1) if high <= 30 else np.linspace(0, high, 30)
    weights = np.full(chance.size, 1 / 200)
    ax.hist(counts, edges, color=TEXT if mean < 20 else IMAGE, edgecolor="white", label="this model")
    ax.hist(chance.ravel(), edges, weights=weights, histtype="step", color="black", linewidth=1.5, label="random lists")
    ax.set(xlabel=f"times among the first {k} of {queries:,} queries", ylabel="items")
    ax.legend(fontsize=9)


FAILURES = {
    "twin": ("also true", RELATION, ""),
    "attribute": ("wrong person, color or thing", TEXT, "//"),
    "relation": ("wrong relation, same things", ERROR, "xx"),
    "scene": ("something else", GREY, ".."),
}


def failure_bars(ax: Axes, counts: Mapping[str, int]) -> None:
    """How many failed searches fall into each class (`FAILURES`).

    Args:
        ax: where
        counts: {class: number}
    """
    total = sum(counts.values())
    for at, (name, (_, color, hatch)) in enumerate(FAILURES.items()):
        ax.barh(at, counts.get(name, 0), 0.7, color=color, hatch=hatch, edgecolor="white")
        share = f"{counts.get(name, 0)}  ({100 * counts.get(name, 0) / total:.0f} %)"
        ax.text(counts.get(name, 0) + 0.01 * total, at, share, va="center")
    ax.set_yticks(range(4), [f"{name}:\n{label}" for name, (label, *_) in FAILURES.items()])
    ax.set(xlabel="failed text-to-image searches", ylim=(3.6, -0.6), xlim=(0, 1.4 * max(counts.values())))


def action_confusion(ax: Axes, wanted: Sequence[str], found: Sequence[str], actions: Sequence[str]) -> np.ndarray:
    """Of the captions with each action: in which action's picture do they find their first answer? Shares a row.

    Args:
        ax: where
        wanted, found: action of each caption's picture and of the first answer [m]
        actions: keys of `scenes.ACTIONS`; answers with other actions are left out of the figure, not of the shares
    Returns:
        the shares [actions,actions]
    """
    wanted, found = np.asarray(wanted), np.asarray(found)
    table = np.array([[np.mean(found[wanted == row] == column) for column in actions] for row in actions])
    names = [scenes.ACTIONS[action].predicate for action in actions]
    heat_map(ax, table, rows=names, columns=names, numbers=True, limits=(0, 1))
    ax.set(ylabel="caption tells", xlabel="first picture shows")
    return table


LITTLE = frozenset("a an the is are in on of to with and by at there".split())


def word_support(
    pictures: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    evidence: Sequence[np.ndarray],
    words: Sequence[str],
    titles: Sequence[str],
    title: str,
) -> Figure:
    """Two pictures for one caption: which box supports which word, and how well; little words are left out.

    Args:
        pictures: two
        boxes: x0 y0 x1 y1 of the regions of each [R,4]
        evidence: for each picture, cosine of its regions and the words [R,L]
        words: L
        titles: of the two pictures
        title: the finding
    """
    kept = [j for j, word in enumerate(words) if word not in LITTLE]
    evidence, words = [part[:, kept] for part in evidence], [words[j] for j in kept]
    figure = plt.figure(figsize=(10, 4.2))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    grid = figure.add_gridspec(2, 4, width_ratios=(1.5, 1, 1.5, 1), height_ratios=(1.9, 1))
    sides = ((RELATION, "-", ""), (ERROR, "--", "//"))
    for at, (color, style, _) in enumerate(sides):
        ax, beside = figure.add_subplot(grid[0, 2 * at]), figure.add_subplot(grid[0, 2 * at + 1])
        beside.axis("off")
        _frame(ax, pictures[at], color, 3)
        ax.set_title(titles[at], color=color, weight="bold", fontsize=10)
        best = evidence[at].argmax(0)
        for number, r in enumerate(dict.fromkeys(best.tolist()), start=1):
            x0, y0, x1, y1 = boxes[at][r]
            ax.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle=style, linewidth=2)
            )
            x, y, across, up = ((x0, y0, "right", "bottom"), (x1, y0, "left", "bottom"), (x1, y1, "left", "top"),
                                (x0, y1, "right", "top"))[(number - 1) % 4]  # fmt: skip
            ax.text(np.clip(x, 10, 182), np.clip(y, 10, 134), str(number), fontsize=9, color="white", ha=across, va=up,
                    weight="bold", bbox=dict(facecolor="#202020", edgecolor="none", pad=1.5))  # fmt: skip
            line = f"{number}: " + " ".join(words[j] for j in np.flatnonzero(best == r))
            line = textwrap.fill(line, 20, subsequent_indent="    ")
            beside.text(0, 1.02 - 0.17 * number, plain(line), transform=beside.transAxes, va="center", fontsize=10)
    ax = figure.add_subplot(grid[1, :])
    for at, (color, _, hatch) in enumerate(sides):
        places = np.arange(len(words)) + (-0.2, 0.2)[at]
        bars = ax.bar(places, evidence[at].max(0), 0.38, color=color, hatch=hatch, edgecolor="white", label=titles[at])
        ax.bar_label(bars, [f"{value:.2f}" for value in evidence[at].max(0)], fontsize=9, padding=1)
    ax.set_xticks(range(len(words)), [*map(plain, words)])
    ax.set(ylabel="cosine of\nthe best box", ylim=(0, 1.25 * max(part.max() for part in evidence)))
    return figure
