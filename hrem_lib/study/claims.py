"""Claims: the difference of two arms, with the luck of the seeds and of the pictures, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.stats import t as student

from hrem_lib.errors import UserError
from hrem_lib.metrics import DIRECTIONS, RECALLS
from hrem_lib.study.results import unpack

WORLDS = {"sample": "sample world", "photographs": "photographs"}  # the two data sets on which claims are tested
SCHEDULES = {"half": "half", "whole": "whole"}  # the two schedules of the main claims, on the photographs


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

    @property
    def p(self) -> float:
        """Two-sided paired t-test over seeds: how often so large a mean comes of luck alone."""
        error = float(np.std(self.seeds, ddof=1)) / len(self.seeds) ** 0.5
        return 2 * float(student.sf(abs(self.mean) / max(error, 1e-12), len(self.seeds) - 1))

    @property
    def detectable(self) -> float:
        """The smallest true difference that so many seeds would find in four of five tries, by their own spread.

        Power 80 % of a two-sided paired t-test at 5 %: (t of 0.975 + t of 0.8) standard errors.
        """
        n, error = len(self.seeds), float(np.std(self.seeds, ddof=1)) / len(self.seeds) ** 0.5
        return float(student.ppf(0.975, n - 1) + student.ppf(0.8, n - 1)) * error


def difference(results: list[dict], arm: str, other: str, subset: str = "", samples: int = 2000) -> Difference:
    """How much more test rSum `arm` has than `other`, with both kinds of luck: the seed's and the pictures'.

    Args:
        arm, other: "study/arm", on the same data
        subset: of `hard_pictures.NAMES`; empty: all test pictures
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
    i2t, t2i, mask = queries(result, subset)
    hits: list[Any] = [sum((ranks < k).astype(float) for k in RECALLS) for ranks in (i2t, t2i)]
    return 100 * (hits[0] + hits[1].reshape(len(i2t), -1).mean(1))[mask]


def queries(result: dict, subset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks of all pictures [n] and captions [m], captions in order, and which pictures count [n]."""
    if "ranks" not in result:
        raise UserError(f"{result['name']}: got no test ranks, wanted a file written by hrem ablate")
    i2t, t2i = (unpack(result["ranks"][side]) for side in DIRECTIONS)
    chosen = result["subsets"][subset] if subset else "1" * len(i2t)
    return i2t, t2i, np.array([c == "1" for c in chosen])


def claims(kind: str = "others") -> list[dict]:
    """The claims that are tested: the sentence, and for each study the two arms compared (`claims.yaml`).

    Args:
        kind: `main`, the eight of the main table, with the `SCHEDULES` for keys; or `others`, with `WORLDS`
    """
    return yaml.safe_load((Path(__file__).resolve().parent / "claims.yaml").read_text(encoding="utf-8"))[kind]


def tested(results: list[dict], claim: dict, world: str) -> Difference | None:
    """The difference that tests a claim in one of `WORLDS` (`SCHEDULES`); None if its runs are not (all) there."""
    arms = claim.get(world, [])
    runs = [{r["seed"] for r in results if f"{r['study']}/{r['arm']}" == arm} for arm in arms]
    if not arms or len(set.intersection(*runs)) < 2:
        return None
    return difference(results, *arms, subset=claim.get("subset", ""))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values of several tests, each as large as a family-wise error of 5 % needs it.

    The smallest of m is multiplied by m, the next by m - 1, ...; none is smaller than one before it (Holm 1979).
    """
    order = sorted(range(len(values)), key=lambda test: values[test])
    corrected, largest = [0.0] * len(values), 0.0
    for place, test in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[test]))
        corrected[test] = largest
    return corrected


class MainClaim(NamedTuple):
    """A main claim on one schedule."""

    claim: dict
    schedule: str  # of `SCHEDULES`
    found: Difference | None  # None: not (all) run
    p: float  # after Holm's correction over all main claims that were run

    @property
    def verdict(self) -> str:
        """`held`, `the opposite`: both intervals and the corrected p leave out 0; else `not separated`; `not run`."""
        if self.found is None:
            return "not run"
        separated = self.found.verdict != "not separated" and self.p < 0.05
        return _verdict(self.found, self.claim["expects"]).strip("*") if separated else "not separated"


def main_claims(results: list[dict]) -> list[MainClaim]:
    """The eight claims, each on the schedules on which it is asked, with corrected p values."""
    rows = [
        (claim, name, tested(results, claim, name)) for claim in claims("main") for name in SCHEDULES if name in claim
    ]
    corrected = iter(holm([found.p for _, _, found in rows if found]))
    return [MainClaim(claim, name, found, next(corrected) if found else 1.0) for claim, name, found in rows]


def main_table(results: list[dict]) -> str:
    """Markdown table of the eight claims; bold where a difference is separated after correction."""
    lines = [
        "| claim | compared | schedule | seeds | test rSum | over pictures | over seeds | could see | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in main_claims(results):
        cells = [row.claim["claim"], row.claim["compared"], SCHEDULES[row.schedule]]
        if found := row.found:
            cells += [str(len(found.seeds)), f"{found.mean:+.1f}"]
            cells += [f"{low:+.1f} to {high:+.1f}" for low, high in (found.pictures, found.runs)]
            cells += [f"{found.detectable:.1f}", "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"]
        else:
            cells += ["–"] * 6
        lines.append(
            f"| {' | '.join(cells)} | {row.verdict if row.verdict.startswith('not') else f'**{row.verdict}**'} |"
        )
    return "\n".join(lines)


def claims_table(results: list[dict]) -> str:
    """Markdown table of all other claims, and what the runs on either data set say; a dash where it is not asked."""
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
                f"{len(found.seeds)} seeds {found.runs[0]:+.1f} to {found.runs[1]:+.1f}, detect {found.detectable:.1f})"
            )
        lines.append(f"| {claim['claim']} | {claim['compared']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdict(found: Difference, expects: str) -> str:
    if expects == "equal":
        return "**differs**" if found.verdict != "not separated" else "not separated"
    return {expects: "**held**", "not separated": "not separated"}.get(found.verdict, "**the opposite**")
