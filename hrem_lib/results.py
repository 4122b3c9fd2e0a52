"""Result files: one JSON for each reported run, and the tables made from them; no number is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hrem_lib import config as configs
from hrem_lib.checkpoints import CONFIG, write_bytes, write_json
from hrem_lib.config import UserError

ARMS = {"none": "base (no instance-level part)", "fusion": "HREM, fusion", "standalone": "HREM, standalone"}


def from_run(run: str | Path, study: str = "", arm: str = "") -> dict:
    """The result of a finished run: name, study, arm, config, seed, dev and test figures, versions, seconds.

    Args:
        run: run folder
        study: which table it belongs to; default: the run's preset
        arm: row of the table; default: interaction and batches, e.g. `fusion-neighbor`
    """
    run = Path(run)
    path = run / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a finished run")
    metrics, config = json.loads(path.read_text(encoding="utf-8")), configs.load(run / CONFIG)
    study = study or config.preset
    arm = arm or f"{config.graph.interaction}-{'neighbor' if config.sampling.neighbor_epoch else 'random'}"
    settings = config.to_dict()
    settings["data"]["folder"] = Path(config.data.folder).name  # where the data lay is nobody's business
    return {
        "name": f"{study}-{arm}-{config.training.seed}",
        "study": study,
        "arm": arm,
        "config": settings,
        **{key: metrics[key] for key in ("seed", "epoch", "selected_on", "dev", "test", "versions", "seconds")},
    }


def load_file(path: Path) -> dict:
    """One result file."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        result["study"], result["arm"], result["config"], result["seed"], result["dev"]["rSum"], result["test"]["rSum"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result file written by hrem ({error})") from None
    return result


def load(folder: str | Path) -> list[dict]:
    """All result files of a folder, by name."""
    return [load_file(path) for path in sorted(Path(folder).glob("*.json"))]


def table(results: list[dict], study: str) -> str:
    """Markdown table of one study: a row an arm, several seeds as mean and range; `ARMS` come first."""
    lines = [
        "| model | batches | seeds | i2t R@1 / 5 / 10 | t2i R@1 / 5 / 10 | test rSum | dev rSum |",
        "|---|---|---|---|---|---|---|",
    ]
    chosen = [r for r in results if r["study"] == study]
    labels = {f"{kind}-{batches}": f"{ARMS[kind]} | {batches}" for kind in ARMS for batches in ("random", "neighbor")}
    labels |= {r["arm"]: f"{r['arm']} | {_batches(r)}" for r in chosen if r["arm"] not in labels}
    for arm, label in labels.items():
        runs = [r for r in chosen if r["arm"] == arm]
        if not runs:
            continue
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


def _batches(result: dict) -> str:
    return "neighbor" if result["config"]["sampling"]["neighbor_epoch"] else "random"


def fill(text: str, results: list[dict]) -> str:
    """`text` with every block `<!-- results STUDY -->...<!-- end -->` made anew."""
    return re.sub(
        r"(<!-- results ([\w-]+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{table(results, found[2])}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def publish(runs: list[Path], folder: Path, readme: Path) -> None:
    """Add finished runs to the result files, and make the README's tables anew."""
    new = [from_run(run) for run in runs]
    folder.mkdir(exist_ok=True)
    for result in new:
        write_json(folder / f"{result['name']}.json", result)
    write_bytes(readme, fill(readme.read_text(encoding="utf-8"), load(folder)).encode())
