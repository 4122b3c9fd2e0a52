"""Table and pictures of a bench.json: `python benchmarks/report.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from hrem_lib.plots.style import EXTRA, GREY, STYLE, use_style

GROUPS = ("graph", "pooling", "attention", "losses", "optimizer", "training step", "loader", "encoding", "metrics")
PALETTE = (*STYLE["axes.prop_cycle"].by_key()["color"], *EXTRA[2:], GREY)
COLORS = dict(zip(GROUPS, PALETTE, strict=True))
MARKERS = dict(zip(GROUPS, "osD^vPX*h", strict=True))
PARTS = ("images", "texts", "relation", "losses", "backward", "clipping", "optimizer")
ISSUE_RATE = 345e9  # FLOP/s in float32 of the machine on which the released implementation took 4.39 s a step
HEAD = "| part | size | precision | time | limit | share | peak memory | rate |\n|---|---|---|---|---|---|---|---|"


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def size(value: float | None) -> str:
    return "" if value is None else f"{value / 2**20:,.0f} MiB"


def share(row: dict) -> str:
    return f"{100 * row['share']:.0f} %" if "share" in row else ""


def rate(row: dict) -> str:
    if "items_per_second" in row:
        return f"{row['items_per_second']:,.0f} {row['unit']}/s"
    return f"{row['flops'] / row['seconds'] / 1e9:,.1f} GFLOP/s" if row.get("flops") else ""


def line(row: dict) -> str:
    """One row for the console."""
    parts = f"{row['group']}: {row['name']}", row["size"], row["precision"], seconds(row["seconds"]), share(row)
    return f"{parts[0]:<58}{parts[1]:<18}{parts[2]:<10}{parts[3]:>10}{parts[4]:>7} of the limit"


def table(found: dict) -> str:
    """The whole report as Markdown."""
    machine, rows = found["machine"], found["rows"]
    rates = ", ".join(f"{name} {value / 1e9:,.0f} GFLOP/s" for name, value in machine["product_rates"].items())
    lines = [
        f"{machine['device']}, {machine['threads']} threads, {machine['instructions']}, torch {machine['torch']}, "
        f"{machine['clock']}; products 1024 x 1024 x 1024: {rates}; form {machine['form']}, "
        f"{machine['minutes']:.1f} minutes.",
        "",
    ]
    if machine["precisions"] == ["float32"]:
        lines += ["bfloat16 products are not faster than float32 here: not measured.", ""]
    lines.append(HEAD)
    for row in rows:
        memory = row.get("peak_bytes", row.get("anonymous_bytes"))
        limit = seconds(row["limit_seconds"]) if "limit_seconds" in row else ""
        cells = (f"{row['group']}: {row['name']}", row["size"], row["precision"], seconds(row["seconds"]), limit,
                 share(row), size(memory), rate(row))  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    if wanted := bounds(found):
        lines += ["", "| bound | wanted | found |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in wanted)]
    with_parts = [row for row in rows if row.get("parts")]
    if with_parts:
        names = [name for name in PARTS if any(name in row["parts"] for row in with_parts)]
        lines += ["", "The training step by part:", "", f"| step | {' | '.join(names)} | rest | whole |"]
        lines.append("|---" * (len(names) + 3) + "|")
        for row in with_parts:
            rest = row["seconds"] - sum(row["parts"].values())
            cells = [seconds(row["parts"][n]) if n in row["parts"] else "" for n in names]
            title = f"{row['name']}, {row['size']}, {row['precision']}"
            lines.append(f"| {title} | {' | '.join(cells)} | {seconds(rest)} | {seconds(row['seconds'])} |")
    return "\n".join(lines) + "\n"


def bounds(found: dict) -> list[tuple[str, str, str]]:
    """The bounds that the project has set itself, as far as this run has measured them: name, wanted, found."""
    rows = {(row["name"], row["size"], row["precision"]): row for row in found["rows"]}
    scale = found["machine"]["product_rates"]["float32"] / ISSUE_RATE
    result = []

    def add(row: tuple[str, str, str] | None, name: str, wanted: str, value) -> None:
        if row in rows:
            result.append((name, wanted, value(rows[row])))

    for n in (128, 256):
        key = "matching, forward", f"N = {n}"
        add((*key, "float32"), f"matching, N = {n}: share of the product rate", "50 % or more", share)
        low, plain = (rows.get((*key, precision)) for precision in ("bfloat16", "float32"))
        if low and plain:
            times = f"{low['seconds'] / plain['seconds']:.2f}"
            result.append((f"matching, N = {n}: bfloat16 against float32", "0.55 or less", times))
        pool = rows.get(("four poolings, forward + backward", f"N = {n}", "float32"))
        if pool:
            add(("bert-2, after warm-up", f"N = {n}", "float32"), f"four poolings against the step, N = {n}",
                "under 10 %", lambda step, pool=pool: f"{100 * pool['seconds'] / step['seconds']:.1f} %")  # fmt: skip
            if n == 256:
                add(("four poolings, forward + backward", "N = 128", "float32"), "four poolings, 256 against 128",
                    "about 2", lambda half, pool=pool: f"{pool['seconds'] / half['seconds']:.2f}")  # fmt: skip
    for precision, most in (("float32", 3.0), ("bfloat16", 1.5)):
        add(("bert-2, after warm-up", "N = 128", precision), f"step, bert-2, N = 128, {precision}, on 345 GFLOP/s",
            f"{most} s or less",
            lambda row: f"{row['seconds'] * scale:.2f} s ({seconds(row['seconds'])} here)")  # fmt: skip
    for row in found["rows"]:
        if row["name"] == "ranks and five folds":
            result.append((f"ranks and folds, {row['size']}: against the product alone", "1.5 or less",
                           f"{row['seconds'] / row['limit_seconds']:.2f}"))  # fmt: skip
        if row["group"] == "loader" and "share" in row:
            result.append((f"{row['name']}: rows/s against memory", "95 % or more", share(row)))
        elif row["group"] == "loader":
            result.append((row["name"], "under 2 s and 1 GB (RssAnon)",
                           f"{seconds(row['seconds'])}, {size(row['anonymous_bytes'])}"))  # fmt: skip
    return result


def shares(found: dict) -> plt.Figure:
    """Every figure as a share of the machine's limit."""
    rows = [row for row in found["rows"] if "share" in row]
    figure, ax = plt.subplots(figsize=(9, 1 + 0.22 * len(rows)))
    at = np.arange(len(rows))[::-1]
    ax.barh(at, [100 * row["share"] for row in rows], color=[COLORS[row["group"]] for row in rows], height=0.7)
    for y, row in zip(at, rows, strict=True):
        ax.text(100 * row["share"] + 1, y, seconds(row["seconds"]), va="center", fontsize=7)
    ax.set_yticks(at, [f"{r['group']}: {r['name']}, {r['size']}, {r['precision']}" for r in rows], fontsize=7)
    ax.axvline(100, color="black", linewidth=1)
    ax.set(xlabel="share of the limit measured in the same run, %", ylim=(-0.7, len(rows) - 0.3),
           title="How near each part is to what the machine can do")  # fmt: skip
    return figure


def roofline(found: dict) -> plt.Figure:
    """Products done in a second against products a byte: under a slope (moving bytes) and flat roofs (products)."""
    rows = [row for row in found["rows"] if row.get("flops") and row.get("bytes")]
    figure, ax = plt.subplots(figsize=(8, 5))
    x = np.logspace(-1, 4, 200)
    bandwidth = max(row["bandwidth"] for row in found["rows"] if "bandwidth" in row)
    for precision, style in zip(found["machine"]["precisions"], ("-", "--"), strict=False):
        measured = [r["product_rate"] for r in rows if "product_rate" in r and r["precision"] == precision]
        top = max([found["machine"]["product_rates"][precision], *measured])
        ax.plot(x, np.minimum(x * bandwidth, top) / 1e9, style, color="black", linewidth=1)
        ax.text(x[-1], top / 1e9 * 1.06, f"{precision} products", ha="right", fontsize=8)
    ax.text(1, bandwidth / 1.3e9, f"  moving bytes, {bandwidth / 1e9:.0f} GB/s", fontsize=8, va="top")
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        for precision, face in (("float32", COLORS[group]), ("bfloat16", "white")):
            some = [row for row in mine if row["precision"] == precision]
            label = f"{group}{', bfloat16' if face == 'white' else ''}"
            if not some:
                continue
            points = [(r["flops"] / r["bytes"], r["flops"] / r["seconds"] / 1e9) for r in some]
            intensity, reached = zip(*points, strict=True)
            look = {"marker": MARKERS[group], "facecolor": face, "edgecolor": COLORS[group], "s": 36, "zorder": 3}
            ax.scatter(intensity, reached, label=label, **look)
    ax.set(xscale="log", yscale="log", xlabel="FLOP for each byte that must be moved", ylabel="GFLOP/s",
           title="Roofline: what is reached, and the roofs measured beside it")  # fmt: skip
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    ax.legend(fontsize=8, loc="lower right")
    return figure


def write(folder: Path) -> None:
    """bench.md, shares.png and roofline.png beside `folder`/bench.json."""
    found = json.loads((folder / "bench.json").read_text())
    (folder / "bench.md").write_text(table(found))
    use_style()
    for name, draw in (("shares", shares), ("roofline", roofline)):
        figure = draw(found)
        figure.savefig(folder / f"{name}.png")
        plt.close(figure)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
