"""Parity of ranks and recalls with reference values of the released code: fixtures group `metrics`.

The released ranks come from a sort, so equal scores fall as the sort likes. `tie_bounds` in the fixtures are the
recalls with every tie for us ("best") and against us ("worst"). Ours is always the "worst" one (stated rule).
"""

from __future__ import annotations

import json
import tempfile

import numpy as np
import pytest
import torch
from fixture_io import cases
from reference import ranks_loop

from hrem_lib.metrics import ensemble, ensemble_metrics, fold_metrics, mean_metrics, metrics, rank_metrics, ranks

COLUMNS = ("R@1", "R@5", "R@10", "MedR", "MeanR")
DIRECTIONS = ("i2t", "t2i")


def found() -> list[tuple]:
    """(file stem, case name, case, stored arrays) of every file of the group."""
    out = []
    for folder, stem in cases("metrics"):
        info = json.loads((folder / f"{stem}.json").read_text())
        npz = folder / f"{stem}.npz"
        stored = dict(np.load(npz, allow_pickle=False)) if npz.is_file() else {}
        for name, case in info["cases"].items() if "cases" in info else [(stem, info)]:
            mine = {k.removeprefix(f"{name}."): v for k, v in stored.items() if k.startswith(f"{name}.")}
            out.append((name, case, mine))
    return out


FOUND = found()


def of(chosen) -> pytest.MarkDecorator:
    picked = [pytest.param(case, stored, id=name) for name, case, stored in FOUND if chosen(case, stored)]
    return pytest.mark.parametrize(("case", "stored"), picked)


over_ensembles = of(lambda case, _: "seeds" in case)
over_folds = of(lambda case, _: "folds" in case)
over_matrices = of(lambda case, _: "tie_bounds" in case)
over_stored = of(lambda _, stored: "sims" in stored)
over_clear = of(lambda case, _: case.get("ties_matter") is False)
over_ties = of(lambda case, _: case.get("ties_matter"))


def blocks(case: dict, seed: int, size: int = 1000):
    """(first row, rows) of the similarity by the fixtures' recipe."""
    rng, n = np.random.RandomState(seed), case["npts"]
    for low in range(0, n, size):
        part = rng.random_sample((min(size, n - low), 5 * n))
        row = np.repeat(np.arange(len(part)), 5)
        own = part[row, 5 * low + np.arange(len(row))]
        for _ in range(case["squarings"]):
            own = own * own
        part[row, 5 * low + np.arange(len(row))] = case["shift"] + (1 - own)
        if case.get("decimals") is not None:
            part = part.round(case["decimals"])
        yield low, part.astype(case.get("dtype", "float64"))


def drawn(case: dict, seed: int) -> np.ndarray:
    return np.concatenate([part for _, part in blocks(case, seed)])


def matrix(case: dict, stored: dict) -> tuple[np.ndarray, np.ndarray]:
    similarity = stored["sims"] if "sims" in stored else drawn(case, case["seed"])
    return similarity, np.arange(similarity.shape[1]) // 5


def same(got: dict, wanted: list[float]) -> None:
    assert [got[column] for column in COLUMNS] == pytest.approx(wanted, rel=1e-12)


@over_stored
def test_recipe_gives_the_stored_matrix(case, stored):
    assert np.array_equal(drawn(case, case["seed"]), stored["sims"])


@over_matrices
def test_recalls_are_the_bound_with_ties_against_us(case, stored):
    got = metrics(*matrix(case, stored), block=7)
    for direction in DIRECTIONS:
        recall = [got[direction][column] for column in COLUMNS[:3]]
        assert recall == pytest.approx(case["tie_bounds"][f"{direction}_worst"])


@over_clear
def test_all_figures_and_ranks_where_ties_do_not_matter(case, stored):
    similarity, owner = matrix(case, stored)
    for scores in (similarity, torch.from_numpy(similarity)):
        by_direction = dict(zip(DIRECTIONS, ranks(scores, owner), strict=True))
        got = rank_metrics(*by_direction.values())
        assert got["rSum"] == pytest.approx(case["rsum"], rel=1e-12)
        for direction in DIRECTIONS:
            same(got[direction], case[direction])
            same(got[direction], case[f"{direction}_stable"])
            if f"{direction}_ranks" in stored:
                assert np.array_equal(by_direction[direction], stored[f"{direction}_ranks"])


@over_ties
def test_trap_16_released_ranks_with_ties_lie_between_the_two_bounds(case, stored):
    """Ours is the upper bound of every single rank; counting only what is strictly above gives the lower one, and with
    it the fixtures' "best" recalls. The released ranks, by either sort, lie between and are not ours."""
    similarity, owner = matrix(case, stored)
    ours = ranks(similarity, owner)
    lower = ranks_loop(similarity.tolist(), owner.tolist(), ties_against_us=False)
    best = rank_metrics(np.array(lower[0]), np.array(lower[1]))
    moved = 0
    for direction, high, low in zip(DIRECTIONS, ours, lower, strict=True):
        assert [best[direction][c] for c in COLUMNS[:3]] == pytest.approx(case["tie_bounds"][f"{direction}_best"])
        for sort in ("", "_stable"):
            theirs = stored[f"{direction}_ranks{sort}"]
            assert (theirs <= high).all() and (theirs >= low).all()
            moved += (theirs < high).sum()
    assert moved > 0


@over_ensembles
def test_ensemble(case, stored):
    parts = [drawn(case, seed) for seed in case["seeds"]]
    n, owner = case["npts"], np.arange(5 * case["npts"]) // 5
    # unit rows against the matrix's columns: a product that is exactly the matrix, so embeddings are tested too
    pairs = [(np.eye(n), part.T) for part in parts]
    for got in (metrics(ensemble(*parts), owner), ensemble_metrics(pairs, owner, block=16)):
        for direction, wanted in case["all"]:
            same(got[direction], wanted)
    mean = ensemble(*parts)
    folds = len(case["fold5"]) // 2
    for got in (ensemble_metrics(pairs, owner, folds=folds), fold_metrics(np.eye(n), mean.T, owner, folds)):
        assert got["folds"] == folds
        for direction in DIRECTIONS:
            same(got[direction], case["fold5_mean"][direction])


@over_folds
def test_coco_5k_and_its_folds(case, stored):
    """The whole matrix from a memory map (1 GB on disk, never in memory as a whole), and each fold by itself."""
    n, size = case["npts"], case["npts"] // len(case["folds"])
    with tempfile.TemporaryFile() as file:
        similarity = np.memmap(file, dtype=case["dtype"], mode="w+", shape=(n, 5 * n))
        for low, part in blocks(case, case["seed"], size):
            similarity[low : low + len(part)] = part
        owner = np.arange(5 * n) // 5
        whole = metrics(similarity, owner)
        squares = [similarity[a : a + size, 5 * a : 5 * (a + size)] for a in range(0, n, size)]
        parts = [metrics(square, owner[: 5 * size]) for square in squares]
        del similarity, squares
    mean = mean_metrics(parts)
    for direction in DIRECTIONS:
        same(whole[direction], case[direction])
        same(mean[direction], case["folds_mean"][direction])
        for got, wanted in zip(parts, case["folds"], strict=True):
            same(got[direction], wanted[direction])
