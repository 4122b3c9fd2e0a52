"""Tables of the pages, made from result files; no number is typed by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.files import write_bytes
from hrem_lib.metrics import RECALLS
from hrem_lib.study import hard_pictures
from hrem_lib.study.claims import claims_table, difference, main_table, queries
from hrem_lib.study.results import from_run, load, write

ARMS = {"none": "base (no instance-level part)", "fusion": "HREM, fusion", "standalone": "HREM, standalone"}


def table(results: list[dict], study: str) -> str:
    """Markdown table of one study: a row an arm, several seeds as mean and range; `ARMS` come first."""
    lines = [
        "| model | batches | seeds | i2t R@1 / 5 / 10 | t2i R@1 / 5 / 10 | test rSum | dev rSum |",
        "|---|---|---|---|---|---|---|",
    ]
    chosen = [r for r in results if r["study"] == study]
    for arm, label in _labels(chosen).items():
        runs = [r for r in chosen if r["arm"] == arm]
        cells = [label, str(len(runs))]
        for direction in ("i2t", "t2i"):
            means = [sum(r["test"][direction][f"R@{k}"] for r in runs) / len(runs) for k in (1, 5, 10)]
            cells.append(" / ".join(f"{value:.1f}" for value in means))
        for split in ("test", "dev"):
            sums = [r[split]["rSum"] for r in runs]
            spread = f" ({min(sums):.1f} to {max(sums):.1f})" if len(sums) > 1 else ""
            cells.append(f"{sum(sums) / len(sums):.1f}{spread}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _labels(results: list[dict]) -> dict[str, str]:
    """The arms that there are, and their first two cells; `ARMS` come first."""
    there = {r["arm"]: f"{r['arm']} | {_batches(r)}" for r in results}
    main = {f"{kind}-{batches}": f"{ARMS[kind]} | {batches}" for kind in ARMS for batches in ("random", "neighbor")}
    return {arm: label for arm, label in main.items() if arm in there} | {
        arm: label for arm, label in there.items() if arm not in main
    }


def _batches(result: dict) -> str:
    return "neighbor" if result["config"]["sampling"]["neighbor_epoch"] else "random"


def subset_table(results: list[dict], study: str) -> str:
    """Markdown table of the recalls on scarce and on ambiguous pictures apart (Fig. 1), means over seeds."""
    lines = [
        "| model | batches | pictures | i2t R@1 / 5 / 10 | t2i R@1 / 5 / 10 | rSum |",
        "|---|---|---|---|---|---|",
    ]
    chosen = [r for r in results if r["study"] == study and "ranks" in r]
    for name in ("", *hard_pictures.NAMES):
        for arm, label in _labels(chosen).items():
            found = [r for r in chosen if r["arm"] == arm]
            values = []
            for run in found:
                i2t, t2i, mask = queries(run, name)
                both = i2t[mask], t2i.reshape(len(i2t), -1)[mask].ravel()
                values.append([100 * float((ranks < k).mean()) for ranks in both for k in RECALLS])
            if values:
                mean = np.mean(values, axis=0)
                count = f"{name or 'all'} ({int(mask.sum())})"
                cells = [" / ".join(f"{v:.1f}" for v in part) for part in (mean[:3], mean[3:])]
                lines.append(f"| {label} | {count} | {cells[0]} | {cells[1]} | {mean.sum():.1f} |")
    return "\n".join(lines)


# the README's one table: a column a data set, in it the arm of each row; rates as chosen on dev
ANSWER = {
    "photographs": {
        "none": "f8k-power-short/base",
        "fusion": "f8k-power-short/fusion, cosine",
        "standalone": "f8k-power-short/standalone, cosine",
        "four": "f8k-power-short/base, four draws of negatives",
    },
    "sample world": {kind: f"sample/{kind}-random" for kind in ARMS},
}


def answer_table(results: list[dict]) -> str:
    """Markdown table of the README: does the instance-level part help? Test rSum, and differences from the base."""
    lines = [f"| | {' | '.join(ANSWER)} |", "|---|---|---|"]
    for kind, label in (ARMS | {"four": "base, four draws of negatives"}).items():
        cells = []
        for arms in ANSWER.values():
            sums = [r["test"]["rSum"] for r in results if f"{r['study']}/{r['arm']}" == arms.get(kind)]
            mean = f"{sum(sums) / len(sums):.1f}" if sums else "–" if kind not in arms else "not run"
            cells.append(f"{mean} ({min(sums):.1f} to {max(sums):.1f}; {len(sums)} seeds)" if len(sums) > 1 else mean)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    for kind, name in (("fusion", "fusion"), ("standalone", "standalone"), ("four", "base with four draws")):
        cells = []
        for arms in ANSWER.values():
            if kind not in arms:
                cells.append("–")
                continue
            found = difference(results, arms[kind], arms["none"])
            low, high = min(found.pictures[0], found.runs[0]), max(found.pictures[1], found.runs[1])
            separated = "not separated" if found.verdict == "not separated" else "**separated**"
            cells.append(f"{found.mean:+.1f} ({low:+.1f} to {high:+.1f}), {separated}")
        lines.append(f"| {name} - base | {' | '.join(cells)} |")
    return "\n".join(lines)


BLOCK = re.compile(r"(<!-- (results|subsets|main|claims|answer) ?([\w-]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, results: list[dict]) -> str:
    """`text` with every block made anew: `<!-- results STUDY -->`, `subsets STUDY`, `main`, `claims`, `answer`."""
    makers = {
        "results": table, "subsets": subset_table, "main": lambda found, _: main_table(found),
        "claims": lambda found, _: claims_table(found), "answer": lambda found, _: answer_table(found),
    }  # fmt: skip
    return BLOCK.sub(lambda found: f"{found[1]}{makers[found[2]](results, found[3])}\n{found[4]}", text)


def publish(runs: list[Path], folder: Path, readme: Path) -> list[Path]:
    """Add finished runs to the result files, and make the tables of `readme` and of the folder's own pages anew.

    Returns:
        the pages made anew
    Raises:
        UserError: `readme` is not there or has no place for a table, a run is not finished; nothing is written then.
    """
    new = [from_run(run) for run in runs]
    if not readme.is_file() or not BLOCK.search(readme.read_text(encoding="utf-8")):
        raise UserError(
            f"{readme}: not a page with tables to fill (<!-- results STUDY -->), wanted the repository's README "
            "(run it there, or give --readme FILE and --folder FOLDER)"
        )
    folder.mkdir(exist_ok=True)
    for result in new:
        write(result, folder)
    pages = [readme, *sorted(folder.glob("*.md"))]
    for page in pages:
        write_bytes(page, fill(page.read_text(encoding="utf-8"), load(folder)).encode())
    return pages
