"""Checks of notebook 00: ranks, recall with ties, exchanged directions, folds, false negatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import Case, compare

# (similarity, image_of_caption), small enough to be printed
SMALL = (
    ([[0.9, 0.3, 0.5, 0.9], [0.2, 0.8, 0.6, 0.4]], [0, 0, 1, 1]),  # a stranger ties with the best own caption
    ([[0.7, 0.2, 0.7], [0.6, 0.5, 0.1]], [0, 1, 0]),  # two own captions tie
    ([[0.4, 0.3, 0.1], [0.8, 0.3, 0.2]], [1, 0, 1]),  # the second picture's captions come first
    ([[-0.5, -0.2, -0.9, -0.4], [-0.3, -0.6, -0.8, -0.7]], [0, 1, 1, 0]),  # all negative
    ([[0.5, 0.49999], [0.2, 0.6]], [0, 1]),  # nearly a tie
    ([[0.3, 0.1]], [0, 0]),  # a single picture
)


def _random(seed: int, n: int = 7, per_image: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with ties and negative values [n,m] and captions in no order."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(n), per_image))
    return rng.integers(0, 12, size=(n, len(owner))) / 8 + 0.25 * (np.arange(n)[:, None] == owner) - seed / 2, owner


def _matrices(*k: int) -> list[Case]:
    """Cases for exercises a to c; `k` is added to the arguments, in turn."""
    cases = [
        (f"for similarity = {values} and image_of_caption = {owner}", np.array(values), np.array(owner))
        for values, owner in SMALL
    ]
    cases += [(f"for 7 pictures with 3 captions each and many ties (case {seed})", *_random(seed)) for seed in range(3)]
    single = _random(3)[0].astype(np.float32), _random(3)[1]
    cases += [("for similarities in float32", *single), ("for 60 pictures with 5 captions each", *_random(4, 60, 5))]
    return [
        (f"{words}, k = {k[i % len(k)]}" if k else words, (*args, *([k[i % len(k)]] if k else [])))
        for i, (words, *args) in enumerate(cases)
    ]


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


def _share(ranks, k) -> float:
    return 100 * float((ranks < k).mean())


# ---- a: ranks_i2t ---------------------------------------------------------------------------------------------


RANK_MISTAKES = {
    "This is the rank of the worst own caption; one good answer at the top is enough, so take the best.": (
        lambda s, y: _i2t(s, y, min)
    ),
    "Ties count for you here; an equally high wrong answer counts against us (>=, not >).": (
        lambda s, y: _i2t(s, y, strict=True)
    ),
    "Your ranks are counted from 1; inside the code they are counted from 0.": lambda s, y: _i2t(s, y) + 1,
    "The picture's other captions are counted as wrong answers; leave all its own captions out.": (
        lambda s, y: np.array([int((row >= row[y == i].max()).sum()) - 1 for i, row in enumerate(s)])
    ),
    "This takes the first own caption of each picture; take the one with the highest similarity.": (
        lambda s, y: _i2t(s, y, lambda own: own[0])
    ),
}


def check_a(fn) -> str:
    """`ranks_i2t(similarity [n,m], image_of_caption [m]) -> [n]`."""

    def differ(got: Any, wanted: Any, case: str) -> None:
        if len(np.shape(got)) == 1 and len(got) != len(wanted):
            raise Wrong(
                f"You return {len(got)} ranks {case}; i2t has {len(wanted)}, one a picture. "
                "One a caption would be the other direction, t2i."
            )
        expect_close(got, wanted, "ranks", case=case)

    compare(fn, _i2t, _matrices(), RANK_MISTAKES, differ=differ)
    return "You counted instead of sorting, so no tie can surprise you."


# ---- b: recall under ties -------------------------------------------------------------------------------------


def _b(similarity, owner, k) -> float:
    return _share(_t2i(similarity, owner), k)


def _b_sorted(similarity, owner, k) -> float:
    top = np.argsort(-similarity, axis=0, kind="stable")[:k]
    return 100 * float((top == owner).any(0).mean())


RECALL_MISTAKES = {
    "Ties count for you here, so for a collapsed model you report 100; a tie counts against us: its recall is 0.": (
        lambda s, y, k: _share(_t2i(s, y, strict=True), k)
    ),
    "Where pictures tie you let their order in the file decide, so for a collapsed model you report what chance gives; "
    "count instead of sorting.": _b_sorted,
    "You return a share between 0 and 1; recalls are given in per cent.": lambda s, y, k: _b(s, y, k) / 100,
    "You also count rank k; ranks start at 0, so the first k places are the ranks below k.": (
        lambda s, y, k: _share(_t2i(s, y), k + 1)
    ),
    "This is the recall of i2t (rows); t2i reads down the columns, one for each caption.": (
        lambda s, y, k: _share(_i2t(s, y), k)
    ),
}


def check_b(fn) -> str:
    """`t2i_recall(similarity [n,m], image_of_caption [m], k) -> per cent`."""
    equal = np.full((8, 24), 0.5), np.repeat(np.arange(8), 3), 2
    small, owner = np.array(SMALL[0][0]), np.array(SMALL[0][1])
    words = f"for similarity = {SMALL[0][0]} and image_of_caption = {SMALL[0][1]}"
    matrices = _matrices(*[1] * len(SMALL), 2, 3)
    cases = [
        ("for 8 pictures and 24 captions, all similarities equal, k = 2", equal),
        *matrices[: len(SMALL)],
        (f"{words}, k = 2", (small, owner, 2)),
        (f"{words}, k = 3, more than there are pictures,", (small, owner, 3)),
        *matrices[len(SMALL) :],
    ]
    compare(fn, _b, cases, RECALL_MISTAKES, "recall")
    return "With all similarities equal it is 0, not 100 and not luck."


# ---- c: exchanged directions ----------------------------------------------------------------------------------


def _c(similarity, owner) -> dict[str, float]:
    return {"i2t": _share(_i2t(similarity, owner), 1), "t2i": _share(_t2i(similarity, owner), 1)}


def _c_changed(change):
    return lambda s, y: dict(zip(("i2t", "t2i"), change(*_c(s, y).values()), strict=True))


REPORT_MISTAKES = {
    "The two directions are still exchanged: the queries of i2t are the n pictures.": _c_changed(lambda i, t: (t, i)),
    "Both directions have the value of i2t; t2i needs a rank for each caption.": _c_changed(lambda i, t: (i, i)),
    "Both directions have the value of t2i; i2t needs a rank for each picture.": _c_changed(lambda i, t: (t, t)),
    "You return shares between 0 and 1; recalls are given in per cent.": _c_changed(lambda i, t: (i / 100, t / 100)),
}


def check_c(fn) -> str:
    """`report(similarity [n,m], image_of_caption [m]) -> {"i2t": R@1, "t2i": R@1}`."""

    def differ(got: Any, wanted: Any, case: str) -> None:
        if not isinstance(got, dict) or set(got) != {"i2t", "t2i"}:
            raise Wrong('The report should be a dictionary with the keys "i2t" and "t2i".')
        expect_close([got["i2t"], got["t2i"]], [wanted["i2t"], wanted["t2i"]], "R@1 of i2t and t2i", case=case)

    compare(fn, _c, _matrices(), REPORT_MISTAKES, differ=differ)
    return "A recall is a multiple of 100 / queries: this alone would have shown the mistake."


# ---- d: folds -------------------------------------------------------------------------------------------------


def _d(ranks, folds) -> float:
    return 100 * float(np.mean((1 - 1 / folds) ** ranks))


FOLD_MISTAKES = {
    "This is R@1 of the full pool; with fewer strangers it must rise.": lambda r, f: _share(r, 1),
    "You divide each rank by the number of folds and cut it off, which promises that strangers leave evenly; "
    "they leave at random, so even rank 1 fails sometimes.": lambda r, f: _share(r // f, 1),
    "You give the share of captions for which all strangers stay; they must all leave, each with probability "
    "1 - 1 / folds.": lambda r, f: 100 * float(np.mean((1 / f) ** r)),
    "You return a share between 0 and 1; recalls are given in per cent.": lambda r, f: _d(r, f) / 100,
}


def check_d(fn) -> str:
    """`predict_folds(ranks [m], folds) -> R@1 in per cent`."""
    small = (([0, 1, 2], 2), ([0, 0, 3, 7, 40], 5), ([3], 3), ([0, 1, 2], 1))
    cases = [(f"for ranks = {ranks} and folds = {folds}", (np.array(ranks), folds)) for ranks, folds in small]
    many = np.random.default_rng(0).geometric(0.2, 1000) - 1
    compare(fn, _d, [*cases, ("for 1000 ranks and folds = 5", (many, 5))], FOLD_MISTAKES, "R@1")
    return "On the 1,000 training pictures this predicts the mean of the five folds to within a point."


# ---- e: false negatives ---------------------------------------------------------------------------------------


def _e(similarity, fits, strict=False) -> float:
    hit = []
    for scores, fit in zip(similarity.T, fits.T, strict=True):
        best = scores[fit].max()
        hit.append(not ((scores[~fit] > best) if strict else (scores[~fit] >= best)).any())
    return 100 * float(np.mean(hit))


def _e_first(similarity, fits) -> float:
    return _e(similarity, np.arange(len(fits))[:, None] == fits.argmax(0))


TWIN_MISTAKES = {
    "Only one fitting picture of a caption is right for you, the first in the file; all that fit are right now.": (
        _e_first
    ),
    "Ties count for you here; a picture that does not fit and scores equally counts against us.": (
        lambda s, f: _e(s, f, strict=True)
    ),
    "You return a share between 0 and 1; recalls are given in per cent.": lambda s, f: _e(s, f) / 100,
    "This is the share of all pairs that fit; only the first place matters.": lambda s, f: 100 * float(f.mean()),
}


def _fits(seed: int, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    similarity, owner = _random(seed, n)
    fits = np.random.default_rng(seed + 10).random(similarity.shape) < 0.25
    fits[owner, np.arange(len(owner))] = True
    return similarity, fits


def check_e(fn) -> str:
    """`recall_with_twins(similarity [n,m], fits [n,m]) -> R@1 of t2i in per cent`."""
    small = (
        ([[0.9, 0.3, 0.5], [0.2, 0.8, 0.6], [0.4, 0.7, 0.6]], [[1, 1, 0], [0, 1, 1], [0, 0, 0]]),  # a twin, a tie
        ([[0.6, 0.2], [0.6, 0.7], [0.1, 0.3]], [[1, 0], [1, 1], [0, 0]]),  # two fitting pictures tie
        ([[-0.5, -0.2], [-0.1, -0.6]], [[1, 1], [0, 0]]),  # all negative
        ([[0.4, 0.9], [0.6, 0.1]], [[1, 1], [1, 0]]),  # every picture fits the first caption
        ([[0.3, 0.1]], [[1, 1]]),  # a single picture
    )
    cases = []
    for values, fit in small:
        fits = np.array(fit, dtype=bool)
        cases.append((f"for similarity = {values} and fits = {fits.tolist()}", (np.array(values), fits)))
    cases += [(f"for 7 pictures, 21 captions and many ties (case {seed})", _fits(seed)) for seed in range(4)]
    cases += [("for 80 pictures and 240 captions", _fits(4, 80))]
    compare(fn, _e, cases, TWIN_MISTAKES, "R@1")
    return "Some of the lost captions were never wrong."


MISTAKES = [
    ("a", "worst", lambda s, y: _i2t(s, y, min), "worst own caption"),
    ("a", "direction", _t2i, "the other direction"),
    ("a", "from-one", lambda s, y: _i2t(s, y) + 1, "counted from 1"),
    ("a", "ties", lambda s, y: _i2t(s, y, strict=True), "counts against us"),
    ("a", "own-wrong", [*RANK_MISTAKES.values()][3], "other captions are counted as wrong"),
    ("a", "first-own", lambda s, y: _i2t(s, y, lambda own: own[0]), "first own caption"),
    ("b", "ties-for-us", lambda s, y, k: _share(_t2i(s, y, True), k), "you report 100"),
    ("b", "sorted", _b_sorted, "order in the file"),
    ("b", "share", lambda s, y, k: _b(s, y, k) / 100, "per cent"),
    ("b", "one-more", lambda s, y, k: _b(s, y, k + 1), "ranks below k"),
    ("b", "rows", lambda s, y, k: _share(_i2t(s, y), k), "down the columns"),
    ("c", "exchanged", _c_changed(lambda i, t: (t, i)), "still exchanged"),
    ("c", "one-direction", _c_changed(lambda i, t: (t, t)), "value of t2i"),
    ("c", "shares", _c_changed(lambda i, t: (i / 100, t / 100)), "per cent"),
    ("d", "full", lambda r, f: 100 * float(np.mean(r < 1)), "full pool"),
    ("d", "divided", lambda r, f: 100 * float(np.mean(r // f < 1)), "leave at random"),
    ("d", "stay", lambda r, f: 100 * float(np.mean((1 / f) ** r)), "must all leave"),
    ("e", "first-only", _e_first, "the first in the file"),
    ("e", "ties", lambda s, f: _e(s, f, True), "counts against us"),
    ("e", "share-of-pairs", lambda s, f: 100 * float(f.mean()), "first place"),
]
