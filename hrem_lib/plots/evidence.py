"""Plots of the evidence: runs by arm, rates, seeds, the eight claims, attention over a batch (Sec 4): notebook 09.

Every plot draws numbers that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrem_lib.plots.style import ERROR, GREY, IMAGE, RELATION, ROW, TEXT
from hrem_lib.study.claims import SCHEDULES, MainClaim

LOOKS = {"base": (GREY, "s"), "fusion": (RELATION, "o"), "four draws": (TEXT, "^"), "standalone": (IMAGE, "D")}


def _signed(value: float) -> str:
    """One decimal, with a sign and a true minus; never -0.0."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "\u2212")


def paired_runs(panels: Sequence[tuple[str, Mapping[str, Sequence[float]]]], ylabel: str = "test rSum") -> Figure:
    """A dot a run, a column an arm, a thin line a seed, a thick bar the arm's mean.

    Args:
        panels: (title, arm -> a value for each seed, the seeds in one order); arms are named in `LOOKS`
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(ROW[0], 3.8), sharey=True, squeeze=False)
    for ax, (title, arms) in zip(axes[0], panels, strict=True):
        values = np.array(list(arms.values()))  # [arms, seeds]
        ax.plot(range(len(arms)), values, color="#CCCCCC", linewidth=0.9, zorder=1)
        for x, (name, row) in enumerate(zip(arms, values, strict=True)):
            color, marker = LOOKS[name]
            ax.plot([x] * len(row), row, marker, color=color, markersize=6, zorder=3)
            ax.plot([x - 0.16, x + 0.16], [row.mean()] * 2, color="black", linewidth=2.5, zorder=4)
            ax.annotate(f"{row.mean():.1f}", (x + 0.2, row.mean()), va="center", fontsize=10)
        ax.set_xticks(range(len(arms)), list(arms))
        ax.set(title=title, xlim=(-0.5, len(arms) - 0.35))
        _quiet(ax, "y")
    axes[0][0].set_ylabel(ylabel)
    return figure


def rate_curves(rates: Sequence[float], curves: Mapping[str, Sequence[float]], usual: float) -> Figure:
    """Dev rSum over the learning rate, an arm a line, its best value marked; a dotted line at the rate used first."""
    figure, ax = plt.subplots(figsize=(0.7 * ROW[0], 3.8))
    for name, values in curves.items():
        color, marker = LOOKS[name]
        ax.plot(rates, values, "-" + marker, color=color, label=name, linewidth=2)
        best = int(np.argmax(values))
        ax.plot(rates[best], values[best], marker, color=color, markersize=15, markerfacecolor="none")
    ax.axvline(usual, color="black", linewidth=1, linestyle=":")
    ax.annotate(" first comparison", (usual, 0.03), xycoords=("data", "axes fraction"), fontsize=9)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(rates), [f"{rate:g}" for rate in rates])
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set(xlabel="learning rate", ylabel="dev rSum", title="Each arm at each rate, one seed")
    ax.legend(loc="upper left")
    _quiet(ax, "y")
    return figure


def seeds_needed(few: Sequence[float], every: float, counts: Sequence[int], detectable: Sequence[float]) -> Figure:
    """Left: what any few seeds would have said, beside all of them; right: the smallest effect that n seeds see.

    Args:
        few: mean differences of subsets of seeds
        every: the mean of all seeds
        counts, detectable: numbers of seeds, and the difference found in four of five tries
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=ROW)
    left.hist(few, bins=24, color=GREY, alpha=0.75)
    left.axvline(0, color="black", linewidth=1.8)
    left.axvline(every, color=RELATION, linewidth=2.5)
    left.annotate(f" all seeds {_signed(every)}", (every, 0.93), xycoords=("data", "axes fraction"), color=RELATION)
    left.set(
        xlabel="mean difference of test rSum", ylabel="sets of three seeds", title="What three seeds would have said"
    )
    right.plot(counts, detectable, "-o", color=IMAGE)
    for n in {3, 14, max(counts)} & set(counts):
        value = detectable[list(counts).index(n)]
        right.annotate(f"{n} seeds: {value:.1f}", (n, value), (6, 6), textcoords="offset points")
    right.set(
        xlabel="seeds an arm", ylabel="points of rSum", title="The smallest difference that is found in 4 of 5 tries"
    )
    right.set(ylim=(0, 1.15 * max(detectable)), xlim=(min(counts) - 0.7, max(counts) + 2.5))
    _quiet(right, "y")
    return figure


def eight_claims(rows: Sequence[MainClaim]) -> Figure:
    """The main claims, a row a schedule: seeds (dots), 95 % over pictures (bar) and over seeds (line), the verdict.

    In color and bold only what is separated after Holm's correction.
    """
    looks = {"held": (RELATION, "bold"), "the opposite": (ERROR, "bold")}
    size, ratio = (ROW[0], 0.36 * len(rows) + 1.0), {"width_ratios": [1, 0.62]}
    figure, (ax, words) = plt.subplots(1, 2, figsize=size, gridspec_kw=ratio, sharey=True)
    ends = [end for row in rows if row.found for end in (*row.found.runs, *row.found.pictures, *row.found.seeds)]
    reach = 1.1 * max((abs(end) for end in ends), default=1.0)
    ax.axvline(0, color="black", linewidth=1.8, zorder=1)
    for y, row in enumerate(rows):
        color, weight = looks.get(row.verdict, (GREY, "normal"))
        ink = "#505050" if color == GREY else color
        seeds = "not run yet"
        if found := row.found:
            ax.plot(found.runs, [y, y], color=color, linewidth=1.2)
            ax.plot(found.pictures, [y, y], color=color, linewidth=7, alpha=0.4, solid_capstyle="butt")
            ax.plot(found.seeds, [y] * len(found.seeds), "o", color=color, markersize=3.5, zorder=3)
            words.text(0, y, f"{_signed(found.mean)}  {row.verdict}", color=ink, weight=weight, va="center")
            seeds = f"{len(found.seeds)} seeds"
        words.text(0.58, y, f"{SCHEDULES[row.schedule]}, {seeds}", color="#505050", fontsize=9, va="center")
    names = ["" if y and rows[y - 1].claim is row.claim else _label(row) for y, row in enumerate(rows)]
    ax.set_yticks(range(len(rows)), names, fontsize=9.5)
    for y, name in enumerate(names):
        if y and name:
            ax.axhline(y - 0.5, color="#E6E6E6", linewidth=0.8)
    ax.set(xlim=(-reach, reach), ylim=(len(rows) - 0.5, -1.2), xlabel="difference of test rSum")
    for side, word in ((-0.03, "second better"), (0.03, "first better")):
        ax.text(side * reach, -0.8, word, ha="right" if side < 0 else "left", va="center", fontsize=9, color="#505050")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    words.axis("off")
    _quiet(ax, "x")
    return figure


def _label(row: MainClaim) -> str:
    return row.claim["compared"].replace(" - ", " \u2212 ")


def attention_rows(weights: Mapping[str, Sequence[float]], connected: int) -> Figure:
    """One row of attention, sorted, beside the equal share of its connected nodes.

    Args:
        weights: title -> the weights of one row over the batch
        connected: how many nodes A lets through
    """
    figure, axes = plt.subplots(1, len(weights), figsize=ROW, sharey=True, squeeze=False)
    for ax, (title, row) in zip(axes[0], weights.items(), strict=True):
        ax.bar(range(len(row)), sorted(row, reverse=True), width=1.0, color=RELATION)
        ax.axhline(1 / connected, color="black", linewidth=1.2, linestyle="--")
        ax.set(title=title, xlabel="nodes of the batch, largest weight first", xlim=(-0.5, len(row) - 0.5))
        _quiet(ax, "y")
    axes[0][-1].annotate(
        f"equal shares: 1/{connected}", (len(row) - 1, 1 / connected), (0, 5), ha="right", textcoords="offset points"
    )
    axes[0][0].set_ylabel("weight")
    return figure


def worth(rows: Sequence[tuple[str, float, tuple[float, float]]]) -> Figure:
    """Points that a change brings, with its wider 95 % interval: a bar a change, colored where 0 is left out.

    Args:
        rows: (change, difference of test rSum, interval), first on top
    """
    figure, ax = plt.subplots(figsize=(ROW[0], 0.5 * len(rows) + 1.0))
    for y, (_, value, (low, high)) in enumerate(rows):
        color = RELATION if low > 0 else ERROR if high < 0 else GREY
        ax.barh(y, value, color=color, alpha=0.6, height=0.6)
        ax.plot([low, high], [y, y], color="black", linewidth=1.5)
        ax.annotate(_signed(value), (max(high, 0), y), (6, 0), textcoords="offset points", va="center")
    ax.axvline(0, color="black", linewidth=1.8)
    ax.set_yticks(range(len(rows)), [name.replace(" - ", " \u2212 ") for name, _, _ in rows])
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set(xlabel="difference of test rSum")
    _quiet(ax, "x")
    return figure


def leads(seeds: Sequence[int], chosen: Sequence[float], others: Sequence[float]) -> Figure:
    """The winner's lead over the base with the seed that chose it, and with all other seeds: a line a choice."""
    figure, ax = plt.subplots(figsize=(0.6 * ROW[0], 3.8))
    for x, (a, b) in enumerate(zip(chosen, others, strict=True)):
        ax.plot([x, x], [a, b], color="#BBBBBB", linewidth=1.2, zorder=1)
    ax.plot(range(len(chosen)), chosen, "o", color=ERROR, label="with the seed that chose it")
    ax.plot(range(len(others)), others, "s", color=IMAGE, label="with all other seeds")
    ax.axhline(0, color="black", linewidth=1.5)
    ax.set(
        xlabel="the seed that chose",
        ylabel="lead over the base, test rSum",
        title="The best of several arms, chosen by one seed",
    )
    ax.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    ax.margins(y=0.2)
    ax.legend(loc="upper center", ncols=2, fontsize=9)
    _quiet(ax, "y")
    return figure


def _quiet(ax: Axes, axis: Literal["x", "y"]) -> None:
    """A light grid behind the marks."""
    ax.grid(axis=axis, color="#E6E6E6", linewidth=0.8)
    ax.set_axisbelow(True)
