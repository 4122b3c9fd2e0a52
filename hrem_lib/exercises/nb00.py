"""Checks of notebook 00: ranks, recall with ties, exchanged directions, folds, false negatives."""

from __future__ import annotations

import numpy as np

from hrem_lib.exercises import Wrong, expect_close, expect_shape

HAND = np.array([[0.9, 0.3, 0.5, 0.9], [0.2, 0.8, 0.6, 0.4]])
HAND_OWNER = np.array([0, 0, 1, 1])


def _random(seed: int, n: int = 7, per_image: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with ties [n,m] and captions in no order."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(n), per_image))
    return rng.integers(0, 12, size=(n, len(owner))) / 8 + 0.25 * (np.arange(n)[:, None] == owner), owner


def _i2t(similarity, owner, best=max, strict=False) -> np.ndarray:
    """Ranks of i2t by loops, in the right way or with one mistake."""
    out = []
    for i, row in enumerate(similarity):
        score = best(row[owner == i])
        out.append(sum((s > score) if strict else (s >= score) for s in row[owner != i]))
    return np.array(out)


def _t2i(similarity, owner, strict=False) -> np.ndarray:
    """Ranks of t2i by loops."""
    out = []
    for j, own in enumerate(owner):
        others = np.delete(similarity[:, j], own)
        out.append(int((others > similarity[own, j]).sum() if strict else (others >= similarity[own, j]).sum()))
    return np.array(out)


def _own_wrong(similarity, owner) -> np.ndarray:
    """Every caption but the best one counted as wrong."""
    return np.array([int((row >= row[owner == i].max()).sum()) - 1 for i, row in enumerate(similarity)])


# ---- a: ranks_i2t ---------------------------------------------------------------------------------------------


def check_a(fn) -> str:
    """`ranks_i2t(similarity [n,m], image_of_caption [m]) -> [n]`."""
    for similarity, owner in ((HAND, HAND_OWNER), *(_random(seed) for seed in range(3))):
        got, wanted = np.array(fn(similarity.copy(), owner.copy())), _i2t(similarity, owner)
        if got.shape == (len(owner),):
            raise Wrong(
                f"You return {len(owner)} ranks, one a caption; i2t has {len(wanted)}, one a picture: "
                "the directions are exchanged."
            )
        expect_shape(got, wanted.shape, "array of ranks")
        known = {
            "This is the rank of the worst own caption; one good answer at the top is enough, so take the best.": _i2t(
                similarity, owner, min
            ),
            "Ties count for you here; an equally high wrong answer counts against us (>=, not >).": _i2t(
                similarity, owner, strict=True
            ),
            "Your ranks are counted from 1; inside the code they are counted from 0.": wanted + 1,
            "The picture's other captions are counted as wrong answers; leave all its own captions out.": _own_wrong(
                similarity, owner
            ),
            "This takes the first own caption of each picture; take the one with the highest similarity.": _i2t(
                similarity, owner, lambda own: own[0]
            ),
        }
        expect_close(got, wanted, "ranks", known)
    return "You counted instead of sorting, so no tie can surprise you."


def _swapped(similarity, owner):
    return _t2i(similarity, owner)


# ---- b: recall under ties -------------------------------------------------------------------------------------


def check_b(fn) -> str:
    """`t2i_recall(similarity [n,m], image_of_caption [m], k) -> per cent`."""
    equal, owner = np.full((8, 24), 0.5), np.repeat(np.arange(8), 3)
    got = float(np.asarray(fn(equal.copy(), owner.copy(), 2)))
    known = {
        "All pictures tie, and you report 100; a tie counts against us, so the recall is 0.": 100.0,
        "All pictures tie, and you let their order in the file decide (25 = 2 of 8); count instead of sorting.": 25.0,
    }
    expect_close(got, 0.0, "recall when all similarities are equal", known)
    for seed, k in ((0, 1), (1, 2), (2, 3)):
        similarity, owner = _random(seed)
        ranks = _t2i(similarity, owner)
        wanted = 100 * float((ranks < k).mean())
        known = {
            "You return a share between 0 and 1; recalls are given in per cent.": wanted / 100,
            "You also count rank k; ranks start at 0, so the first k places are the ranks below k.": 100
            * float((ranks <= k).mean()),
            "This is the recall of i2t (rows); t2i reads down the columns, one for each caption.": 100
            * float((_i2t(similarity, owner) < k).mean()),
        }
        expect_close(float(np.asarray(fn(similarity.copy(), owner.copy(), k))), wanted, f"recall at {k}", known)
    return "With all similarities equal it is 0, not 100 and not luck."


def _b(similarity, owner, k):
    return 100 * float((_t2i(similarity, owner) < k).mean())


def _b_sorted(similarity, owner, k):
    top = np.argsort(-similarity, axis=0, kind="stable")[:k]
    return 100 * float((top == owner).any(0).mean())


# ---- c: exchanged directions ----------------------------------------------------------------------------------


def check_c(fn) -> str:
    """`report(similarity [n,m], image_of_caption [m]) -> {"i2t": R@1, "t2i": R@1}`."""
    for seed in range(3):
        similarity, owner = _random(seed)
        got = fn(similarity.copy(), owner.copy())
        if not isinstance(got, dict) or set(got) != {"i2t", "t2i"}:
            raise Wrong('The report should be a dictionary with the keys "i2t" and "t2i".')
        wanted = [100 * float((ranks(similarity, owner) < 1).mean()) for ranks in (_i2t, _t2i)]
        values = [float(got["i2t"]), float(got["t2i"])]
        known = {
            "The two directions are still exchanged: the queries of i2t are the n pictures.": wanted[::-1],
            "Both directions have the value of i2t; t2i needs a rank for each caption.": [wanted[0]] * 2,
            "Both directions have the value of t2i; i2t needs a rank for each picture.": [wanted[1]] * 2,
        }
        expect_close(values, wanted, "R@1 of i2t and t2i", known)
    return "A recall is a multiple of 100 / queries: this alone would have shown the mistake."


def _exchanged(similarity, owner):
    return {"i2t": _b(similarity, owner, 1), "t2i": 100 * float((_i2t(similarity, owner) < 1).mean())}


# ---- d: folds -------------------------------------------------------------------------------------------------


def check_d(fn) -> str:
    """`predict_folds(ranks [m], folds) -> R@1 in per cent`."""
    for ranks, folds in ((np.array([0, 1, 2]), 2), (np.array([0, 0, 3, 7, 40]), 5), (np.arange(30), 4)):
        wanted = 100 * float(np.mean((1 - 1 / folds) ** ranks))
        known = {
            "This is R@1 of the full pool; with fewer strangers it must rise.": 100 * float(np.mean(ranks < 1)),
            "You divide each rank by the number of folds and cut it off, which promises that strangers leave evenly; "
            "they leave at random, so even rank 1 fails sometimes.": 100 * float(np.mean(ranks // folds < 1)),
            "You give the share of captions for which all strangers stay; they must all leave, each with probability "
            "1 - 1 / folds.": 100 * float(np.mean((1 / folds) ** ranks)),
            "You return a share between 0 and 1; recalls are given in per cent.": wanted / 100,
        }
        expect_close(float(np.asarray(fn(ranks.copy(), folds))), wanted, f"R@1 in {folds} folds", known)
    return "On the 1,000 training pictures this predicts the mean of the five folds to within a point."


# ---- e: false negatives ---------------------------------------------------------------------------------------


def _fits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    similarity, owner = _random(seed)
    fits = np.random.default_rng(seed + 10).random(similarity.shape) < 0.25
    fits[owner, np.arange(len(owner))] = True
    return similarity, owner, fits


def _e(similarity, owner, fits, strict=False) -> float:
    hit = []
    for j in range(len(owner)):
        best = similarity[fits[:, j], j].max()
        wrong = similarity[~fits[:, j], j]
        hit.append(not ((wrong > best) if strict else (wrong >= best)).any())
    return 100 * float(np.mean(hit))


def check_e(fn) -> str:
    """`recall_with_twins(similarity [n,m], fits [n,m]) -> R@1 of t2i in per cent`."""
    for seed in range(4):
        similarity, owner, fits = _fits(seed)
        wanted = _e(similarity, owner, fits)
        known = {
            "This is R@1 with the own picture as the only right one; every picture that fits is right now.": _b(
                similarity, owner, 1
            ),
            "Ties count for you here; a picture that does not fit and scores equally counts against us.": _e(
                similarity, owner, fits, True
            ),
            "You return a share between 0 and 1; recalls are given in per cent.": wanted / 100,
            "This is the share of all pairs that fit; only the first place matters.": 100 * float(fits.mean()),
        }
        expect_close(float(np.asarray(fn(similarity.copy(), fits.copy()))), wanted, "R@1", known)
    return "Some of the lost captions were never wrong."


MISTAKES = [
    ("a", "worst", lambda s, y: _i2t(s, y, min), "worst own caption"),
    ("a", "direction", _swapped, "directions are exchanged"),
    ("a", "from-one", lambda s, y: _i2t(s, y) + 1, "counted from 1"),
    ("a", "ties", lambda s, y: _i2t(s, y, strict=True), "counts against us"),
    ("a", "own-wrong", _own_wrong, "other captions are counted as wrong"),
    ("a", "first-own", lambda s, y: _i2t(s, y, lambda own: own[0]), "first own caption"),
    ("b", "ties-for-us", lambda s, y, k: 100 * float((_t2i(s, y, True) < k).mean()), "you report 100"),
    ("b", "sorted", _b_sorted, "order in the file"),
    ("b", "share", lambda s, y, k: _b(s, y, k) / 100, "per cent"),
    ("b", "one-more", lambda s, y, k: 100 * float((_t2i(s, y) <= k).mean()), "ranks below k"),
    ("b", "rows", lambda s, y, k: 100 * float((_i2t(s, y) < k).mean()), "down the columns"),
    ("c", "exchanged", _exchanged, "still exchanged"),
    ("c", "one-direction", lambda s, y: {"i2t": _b(s, y, 1), "t2i": _b(s, y, 1)}, "value of t2i"),
    ("d", "full", lambda r, f: 100 * float(np.mean(r < 1)), "full pool"),
    ("d", "divided", lambda r, f: 100 * float(np.mean(r // f < 1)), "leave at random"),
    ("d", "stay", lambda r, f: 100 * float(np.mean((1 / f) ** r)), "must all leave"),
    ("e", "own-only", lambda s, f: _b(s, _owner_of(s), 1), "only right one"),
    ("e", "ties", lambda s, f: _e(s, range(s.shape[1]), f, True), "counts against us"),
    ("e", "share-of-pairs", lambda s, f: 100 * float(f.mean()), "first place"),
]


def _owner_of(similarity: np.ndarray) -> np.ndarray:
    """The owners of the random matrix that this is (the planted mistake has to know them)."""
    for seed in range(4):
        known, owner = _random(seed)
        if np.array_equal(known, similarity):
            return owner
    raise ValueError("not one of the random matrices")
