"""Result files: one JSON for each reported run, and the tables made from them; no number is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from scipy.stats import t as student

from hrem_lib import config as configs
from hrem_lib import subsets
from hrem_lib.checkpoints import CONFIG, HISTORY, write_bytes, write_json
from hrem_lib.config import UserError
from hrem_lib.evaluation import DIRECTIONS, RECALLS

WORLDS = {"sample": "sample world", "photographs": "photographs"}  # the two data sets on which claims are tested
ARMS = {"none": "base (no instance-level part)", "fusion": "HREM, fusion", "standalone": "HREM, standalone"}


def from_run(run: str | Path, study: str = "", arm: str = "") -> dict:
    """The result of a finished run: name, study, arm, config, seed, dev and test figures, dev by epoch, versions, time.

    Args:
        run: run folder
        study: which table it belongs to; default: the run's preset
        arm: row of the table; default: interaction and batches, e.g. `fusion-neighbor`
    """
    run = Path(run)
    path = run / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a finished run")
    metrics, config = configs.read_json(path), configs.load(run / CONFIG)
    if config.preset not in configs.PRESETS:  # it becomes part of a file's name
        raise UserError(f"{run / CONFIG}: got preset {config.preset!r}, wanted one of {', '.join(configs.PRESETS)}")
    kept = ("seed", "epoch", "selected_on", "dev", "test", "versions", "seconds")
    if not isinstance(metrics, dict) or set(kept) - set(metrics):
        raise UserError(f"{path}: not the figures of a run, wanted {', '.join(kept)}")
    study = study or config.preset
    arm = arm or f"{config.graph.interaction}-{'neighbor' if config.sampling.neighbor_epoch else 'random'}"
    settings = config.to_dict()
    settings["data"]["folder"] = Path(config.data.folder).name  # where the data lay is nobody's business
    settings["training"]["start_from"] = Path(config.training.start_from).name
    epochs = [json.loads(line) for line in (run / HISTORY).read_text(encoding="utf-8").splitlines()]
    return {
        "name": f"{study}-{arm}-{config.training.seed}",
        "study": study,
        "arm": arm,
        "config": settings,
        **{key: metrics[key] for key in kept},
        "dev_by_epoch": [round(line["dev"]["rSum"], 2) for line in epochs],
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


BEYOND = "-"  # a rank of 10 or more


def pack(ranks: np.ndarray) -> str:
    """0-based ranks as text, one character a query; R@1, R@5 and R@10 need no more."""
    return "".join(str(rank) if rank < 10 else BEYOND for rank in ranks.tolist())


def unpack(text: str) -> np.ndarray:
    """What `pack` wrote; ranks of 10 and more become 10."""
    return np.array([10 if c == BEYOND else int(c) for c in text])


class Difference(NamedTuple):
    """Test rSum of one arm minus another's, over the seeds that both have."""

    seeds: list[float]  # a difference for each seed
    pictures: tuple[float, float]  # 95 % interval, pictures resampled (the mean over seeds, paired)
    runs: tuple[float, float]  # 95 % interval over seeds (Student's t)

    @property
    def mean(self) -> float:
        """Over seeds."""
        return sum(self.seeds) / len(self.seeds)

    @property
    def verdict(self) -> str:
        """`more` or `less` if both intervals leave 0 out on that side, else `not separated`."""
        low, high = min(self.pictures[0], self.runs[0]), max(self.pictures[1], self.runs[1])
        return "more" if low > 0 else "less" if high < 0 else "not separated"


def difference(results: list[dict], arm: str, other: str, subset: str = "", samples: int = 2000) -> Difference:
    """How much more test rSum `arm` has than `other`, with both kinds of luck: the seed's and the pictures'.

    Args:
        arm, other: "study/arm", on the same data
        subset: of `subsets.NAMES`; empty: all test pictures
        samples: of the pictures, for the bootstrap interval
    Raises:
        UserError: an arm without runs, fewer than two seeds in common, or a run without its test ranks.
    """
    by_seed = []
    for name in (arm, other):
        runs = {r["seed"]: r for r in results if f"{r['study']}/{r['arm']}" == name}
        if not runs:
            raise UserError(f"{name}: got no result files, wanted those of `hrem ablate {name.split('/')[0]}`")
        by_seed.append({seed: _gain(run, subset) for seed, run in runs.items()})
    common = sorted(set(by_seed[0]) & set(by_seed[1]))
    if len(common) < 2:
        raise UserError(f"{arm} and {other}: got {len(common)} seeds in common, wanted at least two")
    gains = np.array([by_seed[0][seed] - by_seed[1][seed] for seed in common])  # [seeds, pictures]
    per_picture, rng = gains.mean(0), np.random.default_rng(0)
    drawn = per_picture[rng.integers(len(per_picture), size=(samples, len(per_picture)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    seeds = gains.mean(1)
    half = float(student.ppf(0.975, len(seeds) - 1) * seeds.std(ddof=1) / len(seeds) ** 0.5)
    return Difference(seeds.tolist(), (low, high), (float(seeds.mean()) - half, float(seeds.mean()) + half))


def _gain(result: dict, subset: str) -> np.ndarray:
    """What each test picture adds to rSum [pictures]: their mean is the rSum of those pictures as queries."""
    i2t, t2i, mask = _queries(result, subset)
    hits = [sum((ranks < k).astype(float) for k in RECALLS) for ranks in (i2t, t2i)]
    return 100 * (hits[0] + hits[1].reshape(len(i2t), -1).mean(1))[mask]


def _queries(result: dict, subset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks of all pictures [n] and captions [m], captions in order, and which pictures count [n]."""
    if "ranks" not in result:
        raise UserError(f"{result['name']}: got no test ranks, wanted a file written by hrem ablate")
    i2t, t2i = (unpack(result["ranks"][side]) for side in DIRECTIONS)
    chosen = result["subsets"][subset] if subset else "1" * len(i2t)
    return i2t, t2i, np.array([c == "1" for c in chosen])


def subset_table(results: list[dict], study: str) -> str:
    """Markdown table of the recalls on scarce and on ambiguous pictures apart (Fig. 1), means over seeds."""
    lines = [
        "| model | batches | pictures | i2t R@1 / 5 / 10 | t2i R@1 / 5 / 10 | rSum |",
        "|---|---|---|---|---|---|",
    ]
    chosen = [r for r in results if r["study"] == study and "ranks" in r]
    for name in ("", *subsets.NAMES):
        for arm, label in _labels(chosen).items():
            found = [r for r in chosen if r["arm"] == arm]
            values = []
            for run in found:
                i2t, t2i, mask = _queries(run, name)
                both = i2t[mask], t2i.reshape(len(i2t), -1)[mask].ravel()
                values.append([100 * float((ranks < k).mean()) for ranks in both for k in RECALLS])
            if values:
                mean = np.mean(values, axis=0)
                count = f"{name or 'all'} ({int(mask.sum())})"
                cells = [" / ".join(f"{v:.1f}" for v in part) for part in (mean[:3], mean[3:])]
                lines.append(f"| {label} | {count} | {cells[0]} | {cells[1]} | {mean.sum():.1f} |")
    return "\n".join(lines)


def claims() -> list[dict]:
    """The claims that are tested: the sentence, and for each study the two arms compared (`claims.yaml`)."""
    return yaml.safe_load((Path(__file__).resolve().parent / "claims.yaml").read_text(encoding="utf-8"))


def tested(results: list[dict], claim: dict, world: str) -> Difference | None:
    """The difference that tests a claim in one of `WORLDS`; None if its runs are not (all) there."""
    arms = claim.get(world, [])
    runs = [{r["seed"] for r in results if f"{r['study']}/{r['arm']}" == arm} for arm in arms]
    if not arms or len(set.intersection(*runs)) < 2:
        return None
    return difference(results, *arms, subset=claim.get("subset", ""))


def claims_table(results: list[dict]) -> str:
    """Markdown table: each claim, and what the runs on either data set say of it; a dash where it is not asked."""
    lines = [f"| claim | compared | {' | '.join(WORLDS.values())} |", "|---|---|---|---|"]
    for claim in claims():
        cells = []
        for world in WORLDS:
            found = tested(results, claim, world)
            if found is None:
                cells.append("not run" if world in claim else "–")
                continue
            cells.append(
                f"{found.mean:+.1f}: {_verdict(found, claim['expects'])} "
                f"(pictures {found.pictures[0]:+.1f} to {found.pictures[1]:+.1f}; "
                f"{len(found.seeds)} seeds {found.runs[0]:+.1f} to {found.runs[1]:+.1f})"
            )
        lines.append(f"| {claim['claim']} | {claim['compared']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdict(found: Difference, expects: str) -> str:
    if expects == "equal":
        return "**differs**" if found.verdict != "not separated" else "not separated"
    return {expects: "**held**", "not separated": "not separated"}.get(found.verdict, "**the opposite**")


BLOCK = re.compile(r"(<!-- (results|subsets|claims) ?([\w-]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, results: list[dict]) -> str:
    """`text` with every block `<!-- results STUDY -->`, `<!-- subsets STUDY -->` and `<!-- claims -->` made anew."""
    makers = {"results": table, "subsets": subset_table, "claims": lambda found, _: claims_table(found)}
    return BLOCK.sub(lambda found: f"{found[1]}{makers[found[2]](results, found[3])}\n{found[4]}", text)


def publish(runs: list[Path], folder: Path, readme: Path) -> list[Path]:
    """Add finished runs to the result files, and make the tables of `readme` and of the folder's own README anew.

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
        write_json(folder / f"{result['name']}.json", result)
    pages = [page for page in (readme, folder / "README.md") if page.is_file()]
    for page in pages:
        write_bytes(page, fill(page.read_text(encoding="utf-8"), load(folder)).encode())
    return pages
