"""Figures of inference and of the embedding space (Sec 3.5): notebook 07.

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
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from hrem_lib.plots.style import (  # fmt: skip
    ERROR,
    EXTRA,
    GREY,
    IMAGE,
    RELATION,
    TEXT,
    heat_map,
    plain,
)
from hrem_lib.plots.task import frame
from hrem_lib.sample_world import catalog
from hrem_lib.text import split_words

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
    say = {name: name for name in names if name not in catalog.PLACES} | SYNONYMS
    say |= {phrase: place for place, phrases in catalog.PLACES.items() for phrase in phrases}
    return {fact for phrase, fact in say.items() if f" {phrase} " in text}


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
            init="random",  # the default, a rough layout of the data, hides how much a map depends on its start
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
        line: width of the lines that join pairs, of the shown groups if there are any
    """
    names = np.asarray(groups if groups is not None else [""] * len(images))
    joined = np.isin(names, list(shown)) if len(shown) else np.ones(len(names), dtype=bool)
    segments = np.stack([images, texts, np.full_like(images, np.nan)], axis=1)[joined].reshape(-1, 2)
    ax.plot(*segments.T, color="#C8C8C8", linewidth=line, zorder=1)
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
        Line2D([], [], marker="o", color=GREY if shown else IMAGE, linestyle="none", label="picture"),
        Line2D(
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
        ax.hist(values, edges, density=True, color=color, alpha=0.6, hatch=hatch, edgecolor="white", label=label)  # pyright: ignore[reportArgumentType]  # an array will do
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


def action_shares(
    wanted: Sequence[str] | np.ndarray, found: Sequence[str] | np.ndarray, actions: Sequence[str]
) -> np.ndarray:
    """Of the captions with each action: in which action's picture do they find their first answer? Shares a row.

    Args:
        wanted, found: action of each caption's picture and of the first answer [m]
        actions: keys of `catalog.ACTIONS`; answers with other actions are left out of the table, not of the shares
    Returns:
        the shares [actions,actions]
    """
    wanted, found = np.asarray(wanted), np.asarray(found)
    return np.array([[np.mean(found[wanted == row] == column) for column in actions] for row in actions])


def action_confusion(ax: Axes, table: np.ndarray, actions: Sequence[str]) -> None:
    """The shares of `action_shares` as a heat map with numbers.

    Args:
        ax: where
        table: [actions,actions]
        actions: keys of `catalog.ACTIONS`
    """
    names = [catalog.ACTIONS[action].predicate for action in actions]
    heat_map(ax, table, rows=names, columns=names, numbers=True, limits=(0, 1))
    ax.set(ylabel="caption tells", xlabel="first picture shows")


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
        frame(ax, pictures[at], color, 3)
        ax.set_title(titles[at], color=color, weight="bold", fontsize=10)
        best = evidence[at].argmax(0)
        for number, r in enumerate(dict.fromkeys(best.tolist()), start=1):
            x0, y0, x1, y1 = np.clip(boxes[at][r], 4, (187, 139, 187, 139))  # a box on the frame stays in view
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
