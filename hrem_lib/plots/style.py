"""The house style: palette, sizes, how a figure is shown, the pipeline map, and the heat map that all notebooks share.

Color-blind safe (Okabe-Ito), never color alone: image side blue and round, text side orange and square, relation green,
errors vermilion. What is masked is hatched gray, never the color of zero. Heat maps: row = who looks, column = who is
looked at.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import PIL.Image
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.rcsetup import cycler

from hrem_lib.data import Split
from hrem_lib.pictures.images import picture_finder

IMAGE, TEXT, RELATION, ERROR, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
EXTRA = ("#CC79A7", "#56B4E9", "#F0E442", "#000000")
STYLE: dict[Any, Any] = {  # the stub wants its own names, not text
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[IMAGE, TEXT, RELATION, ERROR, *EXTRA[:2]]),
    "image.cmap": "cividis",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
ROW, SINGLE = (10, 3.2), (5, 4)  # inches: a row of panels, a single one
SHARP = 140  # pixels an inch: a full row is 1,400 pixels wide


def use_style() -> None:
    """Set the house style for all figures that follow."""
    mpl.rcParams.update(STYLE)


def show(figure: Figure, caption: str, alt: str, photographs: bool = False) -> None:
    """Show a figure as PNG in a notebook, with its caption below and its text for screen readers; closes it.

    Args:
        figure: any figure
        caption: one sentence with what to see; Markdown
        alt: what the picture shows, for those who cannot see it
        photographs: keep all colors, which makes a large file
    """
    from IPython.display import Image, Markdown, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SHARP)
    plt.close(figure)
    png = buffer.getvalue() if photographs else small_png(PIL.Image.open(buffer).convert("RGB"))
    display(Image(png, alt=alt))
    display(Markdown(f"*{caption}*"))


def small_png(image: PIL.Image.Image) -> bytes:
    """PNG with 32 colors where they hardly differ from all, else 96: a notebook with pictures stays under 500 kB."""
    for colors in (32, 96):
        few = image.quantize(colors, PIL.Image.Quantize.MAXCOVERAGE, kmeans=1, dither=PIL.Image.Dither.NONE)
        if np.abs(np.asarray(few.convert("RGB"), dtype=int) - np.asarray(image)).max(2).mean() < 0.6:  # of 255
            break
    buffer = io.BytesIO()
    few.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def plain(text: str) -> str:
    """A user's text (caption, name, query) for matplotlib, drawn letter by letter: its `$` starts no formula."""
    return text.replace("$", r"\$")


def fonts_for(text: str) -> tuple[list[str], str]:
    """Font families that draw a text, to be tried in turn, and its characters that no font of this machine has.

    The style's own first; what they lack is looked for in the installed fonts, the upright and regular ones first.
    """
    families, lacking = list(mpl.rcParams["font.family"]), {c for c in text if not c.isspace()}
    own = [font_manager.findfont(font_manager.FontProperties(family=[name])) for name in families]
    installed = sorted(font_manager.fontManager.ttflist, key=lambda f: (f.style != "normal", f.weight != 400))
    installed = [f for f in installed if not re.search("last ?resort", f.name, re.IGNORECASE)]  # boxes for all letters
    for path, name in [*((path, None) for path in own), *((f.fname, f.name) for f in installed)]:
        if not lacking:
            break
        try:
            has = {c for c in lacking if font_manager.get_font(path).get_char_index(ord(c))}
        except (OSError, RuntimeError):  # uninstalled since matplotlib made its list, or damaged
            continue
        lacking -= has
        families += [name] if has and name else []
    return families, "".join(sorted(lacking))


def picture(split: Split, index: int) -> PIL.Image.Image:
    """Picture `index` of a split of the sample data, RGB."""
    with PIL.Image.open(picture_finder(split.folder.parent / "pictures")(split.ids[index])) as image:  # pyright: ignore[reportOptionalSubscript]  # the sample data has them
        return image.convert("RGB")


def load_pictures(split: Split, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Pictures of a split of the sample data, uint8 [height,width,3] each."""
    return [np.asarray(picture(split, i)) for i in indices]


STEPS = (
    "pictures\nand captions", "features\nand words", "fragment\nrelations", "embeddings",
    "association\ngraph", "relation\ninteraction", "losses and\nsampling", "retrieval",
)  # fmt: skip


def pipeline_map(*today: int) -> Figure:
    """The whole method as eight boxes; the blocks of this notebook are filled and marked with a dot.

    Args:
        today: numbers of the blocks, from 0
    """
    figure, ax = plt.subplots(figsize=(10, 1.15), layout="constrained")
    for i, name in enumerate(STEPS):
        lit = i in today
        box = FancyBboxPatch(
            (i * 1.25, 0), 1.0, 0.8, boxstyle="round,pad=0.02,rounding_size=0.08", linewidth=1.5,
            facecolor=RELATION if lit else "white", edgecolor=RELATION if lit else GREY,
        )  # fmt: skip
        ax.add_patch(box)
        ax.text(
            i * 1.25 + 0.5, 0.4, name, ha="center", va="center", fontsize=9,
            color="white" if lit else "#404040", weight="bold" if lit else "normal",
        )  # fmt: skip
        if lit:  # never color alone
            ax.text(i * 1.25 + 0.05, 0.7, "●", ha="center", va="center", fontsize=6, color="white")
        if i:
            ax.add_patch(
                FancyArrowPatch(
                    (i * 1.25 - 0.22, 0.4), (i * 1.25 - 0.03, 0.4), arrowstyle="-|>", mutation_scale=9, color=GREY
                )
            )
    ax.set(xlim=(-0.08, 9.85), ylim=(-0.12, 0.92))
    ax.axis("off")
    return figure


def thumbnails(ax: Axes, pictures: Sequence[np.ndarray], axis: str, zoom: float = 0.18, pad: float = 6) -> None:
    """Put small pictures where the tick labels of an axis would be.

    Args:
        ax: a heat map's axes, one cell a picture
        pictures: arrays [height,width,3]
        axis: "x" (below) or "y" (left)
        zoom: size
        pad: distance from the axis in points
    """
    for i, picture in enumerate(pictures):
        at, to, align = ((i, 0), (0, -pad), (0.5, 1)) if axis == "x" else ((0, i), (-pad, 0), (1, 0.5))
        coords = ("data", "axes fraction") if axis == "x" else ("axes fraction", "data")
        box = AnnotationBbox(
            OffsetImage(picture, zoom=zoom), at, xybox=to, xycoords=coords, boxcoords="offset points",
            box_alignment=align, frameon=False, pad=0, annotation_clip=False,
        )  # fmt: skip
        ax.add_artist(box)
    getattr(ax, f"set_{axis}ticks")([])


def heat_map(
    ax: Axes,
    values: np.ndarray,
    mask: np.ndarray | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    numbers: bool = False,
    half: int | None = None,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    colorbar: str | None = None,
) -> AxesImage:
    """Heat map; row = who looks (query), column = who is looked at (key).

    Args:
        ax: where
        values: [n,m]
        mask: True where there is a value; the rest is hatched gray
        rows, columns: labels; None leaves the axis bare (e.g. for `thumbnails`)
        numbers: write the values into the cells
        half: draw a thin line after this row and column (between images and texts)
        signed: diverging colors around 0 with equal limits
        limits: color limits
        colorbar: its label
    """
    values = np.asarray(values, dtype=float)
    shown = values if mask is None else np.where(mask, values, np.nan)
    if limits is None and signed:
        top = np.nanmax(np.abs(shown)) or 1.0
        limits = (-top, top)
    low, high = limits or (None, None)
    cmap = "PuOr_r" if signed else "cividis"
    image = ax.imshow(shown, cmap=cmap, vmin=low, vmax=high, aspect="auto")
    if mask is not None:
        for i, j in np.argwhere(~np.asarray(mask)):
            ax.add_patch(
                Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#E6E6E6", hatch="////", edgecolor="#B0B0B0", linewidth=0)
            )
    if half is not None:
        ax.axhline(half - 0.5, color="white", linewidth=2)
        ax.axvline(half - 0.5, color="white", linewidth=2)
    if rows is not None:
        ax.set_yticks(range(len(rows)), [*map(plain, rows)])
    if columns is not None:
        turn: dict[str, Any] = {"ha": "center"}
        if max(map(len, columns), default=0) > 3:  # a label ends at the middle of its column
            turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(columns)), [*map(plain, columns)], **turn)
    if numbers:
        middle = np.nanmean([image.norm.vmin, image.norm.vmax])  # pyright: ignore[reportCallIssue, reportArgumentType]  # numbers after imshow
        for i, j in np.ndindex(*values.shape):
            if mask is None or mask[i, j]:
                dark = shown[i, j] < middle if not signed else False
                ax.text(
                    j, i, f"{shown[i, j]:.2f}", ha="center", va="center", fontsize=9, color="white" if dark else "black"
                )
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    if colorbar is not None:
        ax.figure.colorbar(image, ax=ax, label=colorbar, fraction=0.046, pad=0.02)
    return image
