"""The whole method in one drawing: the README's picture and the door of notebook 00."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from hrem_lib import checkpoints, data
from hrem_lib.plots import graph
from hrem_lib.plots.style import ERROR, GREY, IMAGE, RELATION, TEXT, picture

ITEMS = (22, 170, 60, 140)  # pictures of the test split
ALT = (
    "Regions and words attend to each other and are pooled to v and u. In training the batch is a graph, and attention "
    "over it gives enhanced embeddings, whose losses teach v and u. Retrieval is the cosine of v and u. "
    "A small square on each part holds the number of its lesson."
)


def overview() -> Figure:
    """Two encoders, and between them the batch as a graph; a square holds the number of the lesson that builds a part.

    The graph is that of four pairs of the sample data, made by the trained model that comes with the project.
    """
    split = data.open_split(data.sample_dir(), "test")
    run = checkpoints.load_run(data.sample_run())
    tokens = run.text.encode([split.captions[5 * i] for i in ITEMS])
    words, _, mask = (torch.from_numpy(a) for a in tokens.gather(range(len(ITEMS))))
    with torch.inference_mode():
        images, texts = run.model.encode_images(*split.regions(ITEMS)), run.model.encode_texts(words, mask)
        related = run.model.relate(images, texts)
    connection, relevance = related.graph.connection.numpy(), related.graph.relevance.numpy()

    figure = plt.figure(figsize=(11, 4.7), layout="none")
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, 11), ylim=(0, 4.7))
    page.axis("off")

    def box(x, y, width, height, text, color, size=9.5):
        shape = "round,pad=0.02,rounding_size=0.08"
        page.add_patch(
            FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor="white", edgecolor=color, linewidth=1.6)
        )
        page.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size)

    def arrow(start, end, color=GREY):
        page.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=color))

    def lesson(x, y, numbers):
        around = {"boxstyle": "square,pad=0.25", "facecolor": "#404040", "edgecolor": "white"}
        page.text(x, y, numbers, ha="center", va="center", fontsize=8, color="white", weight="bold", bbox=around)

    for row, item in enumerate(ITEMS[:2]):  # pictures with their regions
        ax = figure.add_axes((0.015, 0.76 - 0.235 * row, 0.155, 0.215))
        ax.imshow(np.asarray(picture(split, item)))
        for x0, y0, x1, y1 in split.boxes[item][1:7]:  # pyright: ignore[reportOptionalSubscript]  # the sample data has them
            ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=ERROR, linewidth=0.9))
        ax.axis("off")
    for row, item in enumerate(ITEMS[:2]):
        lines = graph.lines(split.captions[5 * item], 25, 3).rstrip()
        page.text(0.15, 1.75 - 0.8 * row, f"“{lines}”", fontsize=8.5, va="top")

    box(2.25, 3.0, 1.55, 0.9, "regions attend\nto each other,\nthen pooling", IMAGE)
    box(2.25, 0.85, 1.55, 0.9, "words attend\nto each other,\nthen pooling", TEXT)
    box(4.3, 3.2, 0.55, 0.5, "v", IMAGE, 13)
    box(4.3, 1.05, 0.55, 0.5, "u", TEXT, 13)
    for y in (3.45, 1.3):
        arrow((1.95, y), (2.2, y))
        arrow((3.85, y), (4.25, y))
        arrow((4.9, y), (5.35, 2.65 if y > 2 else 2.15))

    graph.blocks(figure.add_axes((0.495, 0.295, 0.21, 0.46)), relevance, connection, names=False)
    page.text(
        6.6, 3.8, "the batch as a graph:\nwho is connected (A), how relevant (S)", ha="center", va="center", fontsize=9
    )
    for place, text in ((6.1, "pictures"), (7.1, "captions")):
        page.text(place, 3.45, text, ha="center", fontsize=8.5, color=GREY)
    box(8.05, 1.95, 1.25, 0.9, "attention\nover all nodes", RELATION)
    arrow((7.75, 2.4), (8.0, 2.4))
    box(9.7, 2.65, 0.55, 0.5, "v̄", IMAGE, 13)
    box(9.7, 1.65, 0.55, 0.5, "ū", TEXT, 13)
    arrow((9.35, 2.5), (9.65, 2.85))
    arrow((9.35, 2.3), (9.65, 1.95))
    page.text(9.98, 1.35, "losses teach\nv and u", ha="center", va="top", fontsize=9)
    page.plot([5.1, 10.9, 10.9, 5.1, 5.1], [0.62, 0.62, 4.35, 4.35, 0.62], color=RELATION, linestyle="--", linewidth=1)
    page.text(10.85, 4.22, "in training only", ha="right", va="top", fontsize=9, color=RELATION, weight="bold")
    arrow((4.57, 1.0), (4.57, 0.38), color="black")
    page.text(4.57, 0.16, "retrieval: the cosine of v and u, nothing else", ha="center", fontsize=9.5, weight="bold")
    for x, y, numbers in (
        (2.0, 3.75, "01"), (2.0, 1.6, "01"), (2.25, 3.9, "02"), (2.25, 1.75, "02"), (5.55, 3.93, "03"),
        (8.05, 2.85, "04"), (10.62, 1.05, "05"), (10.45, 0.62, "06"), (6.6, 0.22, "00"), (6.95, 0.22, "07"),
    ):  # fmt: skip
        lesson(x, y, numbers)
    return figure
