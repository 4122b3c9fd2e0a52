"""Checks of notebook 07: matrix search, hubs, centering, classes of failures, re-ranking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.plots.retrieval import picture_facts
from hrem_lib.sample_world import catalog


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# ---- a: search ------------------------------------------------------------------------------------------------

STORED = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])
QUERY = np.array([0.8, 0.6])


def _search(query, stored, k):
    scores = [float(sum(a * b for a, b in zip(query, row, strict=True))) for row in stored]
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    return np.array(order), np.array([scores[i] for i in order])


def check_a(fn) -> str:
    """`search(query [D], stored [n,D], k) -> (indices [k], scores [k])`, best first, ties by index."""
    rng = np.random.default_rng(0)
    cases = [(QUERY, STORED, 2), *((_unit(rng.normal(size=5)), _unit(rng.normal(size=(9, 5))), 4) for _ in range(3))]
    cases.append((np.array([1.0, 0.0]), np.array([[0.6, 0.8], [0.6, -0.8], [0.0, 1.0], [0.6, 0.8]]), 3))
    for query, stored, k in cases:
        got = fn(query.copy(), stored.copy(), k)
        if not isinstance(got, tuple) or len(got) != 2:
            raise Wrong("Return two arrays: the numbers of the items and their similarities.")
        indices, scores = (np.array(part) for part in got)  # a copy: torch takes no negative strides
        wanted, best = _search(query, stored, k)
        expect_shape(indices, (k,), "array of item numbers")
        every = stored @ query
        known = {
            "Your list begins with the least similar item; a larger inner product is better.": np.argsort(
                every, kind="stable"
            )[:k],
            "The right items, but not in order; the best answer stands first.": np.argpartition(-every, k - 1)[:k],
            "Items that tie stand in the wrong order; take the smaller number first (a stable sort of the negative "
            "scores).": np.argsort(every, kind="stable")[::-1][:k].copy(),
        }
        expect_close(indices, wanted, "list of items", known)
        known = {
            "The second result should hold similarities, yours holds distances.": np.sqrt(np.clip(2 - 2 * best, 0, 4))
        }
        expect_shape(scores, (k,), "array of similarities")
        expect_close(scores, best, "array of similarities", known)
    return "One matrix product and a sort: this is the whole search engine."


# ---- b: hubs --------------------------------------------------------------------------------------------------

LISTS = np.array([[0.9, 0.1, 0.8, 0.3], [0.7, 0.2, 0.1, 0.6], [0.2, 0.3, 0.9, 0.8]])


def _occurrence(similarity, k, sign=1.0):
    counts = np.zeros(similarity.shape[1], dtype=int)
    for row in similarity:
        for j in sorted(range(len(row)), key=lambda j: -sign * row[j])[:k]:
            counts[j] += 1
    return counts


def check_b(fn) -> str:
    """`occurrence(similarity [n,m], k) -> [m]`: how often each column is among the first k of a row."""
    rng = np.random.default_rng(1)
    for similarity, k in ((LISTS, 2), (rng.normal(size=(8, 11)), 3), (rng.normal(size=(5, 6)), 1)):
        got, wanted = np.array(fn(similarity.copy(), k)), _occurrence(similarity, k)
        if got.shape == (len(similarity),):
            raise Wrong("You count for the queries (rows); a hub is an answer, so count for the columns.")
        expect_shape(got, wanted.shape, "array of counts")
        known = {
            "You count the k least similar items of each query.": _occurrence(similarity, k, -1.0),
            "You count one place more than k.": _occurrence(similarity, k + 1),
            "You give shares; count the lists instead.": wanted / len(similarity),
            "You count the first place only; each of the first k places holds an item number, count each number.": (
                _lists_first_only(similarity, k)
            ),
        }
        expect_close(got, wanted, "array of counts", known)
    return f"The counts of {len(LISTS)} lists of 2 add up to {2 * len(LISTS)}, whatever the model does."


# ---- c: centering ---------------------------------------------------------------------------------------------

HAND_V = np.array([[0.8, 0.6], [0.8, -0.6]])
HAND_U = np.array([[-0.8, 0.6], [-0.8, -0.6]])


def _center(v, u):
    return _unit(v - v.mean(0)), _unit(u - u.mean(0))


def _center_together(v, u):
    mean = np.concatenate([v, u]).mean(0)
    return _unit(v - mean), _unit(u - mean)


def _center_other(v, u):
    return _unit(v - u.mean(0)), _unit(u - v.mean(0))


def _center_short(v, u):
    return v - v.mean(0), u - u.mean(0)


def _center_wide(v, u):
    return _unit(v - v.mean(1, keepdims=True)), _unit(u - u.mean(1, keepdims=True))


def check_c(fn) -> str:
    """`center(image_emb [n,D], text_emb [m,D]) -> the two, centered each, unit length`."""
    rng = np.random.default_rng(2)
    for v, u in ((HAND_V, HAND_U), (_unit(rng.normal(size=(6, 4)) + 1), _unit(rng.normal(size=(9, 4)) - 1))):
        got = fn(v.copy(), u.copy())
        if not isinstance(got, tuple) or len(got) != 2:
            raise Wrong("Return two arrays: the centered images and the centered texts.")
        got = [np.asarray(part) for part in got]
        wanted = _center(v, u)
        for part, want, name in zip(got, wanted, ("images", "texts"), strict=True):
            expect_shape(part, want.shape, f"array of {name}")
        known: dict[str, Callable] = {
            "The gap is still there: you take away one common mean; each side has its own.": _center_together,
            "Each side lost the mean of the other one.": _center_other,
            "The means are gone, but also the length one; normalize again after centering.": _center_short,
            "You take the mean along D, of each vector alone; the mean goes over the items.": _center_wide,
        }
        flat = {text: np.concatenate(wrong(v, u)) for text, wrong in known.items() if _finite(wrong, v, u)}
        expect_close(np.concatenate(got), np.concatenate(wanted), "centered vectors", flat)
    return "In the hand example both pairs now have similarity 1."


def _finite(wrong: Callable, v: np.ndarray, u: np.ndarray) -> bool:
    return bool(np.isfinite(np.concatenate(wrong(v, u))).all())


# ---- d: classes of failures -----------------------------------------------------------------------------------


def _scene(action: str, kind: str, color: str, setting: str = "beach", thing: str = "green") -> dict:
    actor = {"name": "actor", "kind": kind, "color": color}
    return {
        "setting": setting,
        "action": action,
        "entities": [actor, {"name": "object", "kind": "surfboard", "color": thing}],
    }


WANTED = _scene("surf_hold", "man", "black")
CASES = [
    (_scene("surf_hold", "man", "red"), {"man", "surfboard"}, "twin"),
    (_scene("surf_hold", "man", "red"), {"man", "black", "surfboard"}, "attribute"),
    (_scene("surf_hold", "woman", "black"), {"man"}, "attribute"),
    (_scene("surf_ride", "man", "black", "sea"), {"man", "black"}, "relation"),
    (_scene("surf_ride", "woman", "red", "sea"), {"man", "black"}, "relation"),
    (_scene("kite_fly", "man", "black"), {"man", "black"}, "scene"),
    (_scene("kite_carry", "girl", "pink"), {"man"}, "scene"),
]


def _class(wanted: dict, found: dict, named: set) -> str:
    if wanted["action"] == found["action"]:
        return "twin" if named <= picture_facts(found) else "attribute"
    groups = [catalog.ACTIONS[scene["action"]].group for scene in (wanted, found)]
    return "relation" if groups[0] == groups[1] else "scene"


def check_d(fn) -> str:
    """`failure_class(wanted, found, named) -> "twin" | "attribute" | "relation" | "scene"`."""
    for found, named, right in CASES:
        got = fn(WANTED, found, set(named))
        if got not in ("twin", "attribute", "relation", "scene"):
            raise Wrong(f"The answer should be one of twin, attribute, relation, scene, yours is {got!r}.")
        if got == right:
            continue
        told = f"a caption of {WANTED['action']} that names {', '.join(sorted(named))} and finds {found['action']}"
        if got == "twin" and right in ("relation", "scene"):
            raise Wrong(f"For {told}: the named things are there, but the action is another one, so it is {right}.")
        if right == "twin":
            raise Wrong(
                f"For {told}: it differs only in what the caption leaves out, so the caption is true of it: twin."
            )
        if got == "twin":
            raise Wrong(f"For {told}: the action is right, but not all named facts are there, so it is attribute.")
        if got == "scene" and right == "relation":
            raise Wrong(f"For {told}: the two actions belong to the same hard group, so it is relation.")
        if got == "relation" and right == "scene":
            raise Wrong(f"For {told}: the two actions belong to different hard groups, so it is scene.")
        raise Wrong(f"For {told} the answer should be {right}, yours is {got}.")
    return "A twin is no failure of the model but of the test."


# ---- e: re-ranking --------------------------------------------------------------------------------------------


def _rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


def check_e(fn) -> str:
    """`rerank(scores [n], support [n], k, weight) -> all n items, the first k in their new order`."""
    rng = np.random.default_rng(3)
    hand = (np.array([0.5, 0.9, 0.8, 0.1]), np.array([0.9, 0.1, 0.4, 1.0]), 2, 0.5)
    for scores, support, k, weight in (hand, *((rng.random(9), rng.random(9), 5, 0.7) for _ in range(3))):
        got, wanted = np.array(fn(scores.copy(), support.copy(), k, weight)), _rerank(scores, support, k, weight)
        if got.shape == (k,):
            raise Wrong("The items behind the first k are missing; they keep their places.")
        expect_shape(got, wanted.shape, "list of items")
        order = np.argsort(-scores, kind="stable")
        known = {
            "You re-rank all items; only the first k get the costly support, the rest keeps its order.": np.argsort(
                -(scores + weight * support), kind="stable"
            ),
            "The first k are ordered by the support alone; it should be added to the first score.": np.concatenate(
                [order[:k][np.argsort(-support[order[:k]], kind="stable")], order[k:]]
            ),
            "You add the support of the items 0 to k - 1, not of those that stand in the first k places.": (
                _by_position(scores, support, k, weight)
            ),
            "Nothing has moved: this is the order of the first score.": order,
        }
        expect_close(got, wanted, "list of items", known)
    return "The cheap search proposes, the costly one decides."


def _drop_rest(scores, support, k, weight):
    return _rerank(scores, support, k, weight)[:k]


def _by_position(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    new = scores[order[:k]] + weight * support[:k]
    return np.concatenate([order[:k][np.argsort(-new, kind="stable")], order[k:]])


def _lists_first_only(similarity, k):
    return np.bincount(np.argsort(-similarity, axis=1)[:, 0], minlength=similarity.shape[1])


def _ascending(query, stored, k):
    order = np.argsort(stored @ query, kind="stable")[:k]
    return order, (stored @ query)[order]


def _no_order(query, stored, k):
    order = np.argpartition(-(stored @ query), k - 1)[:k]
    return order, (stored @ query)[order]


def _distances(query, stored, k):
    order, scores = _search(query, stored, k)
    return order, np.sqrt(np.clip(2 - 2 * scores, 0, 4))


def _reversed(query, stored, k):
    order = np.argsort(stored @ query, kind="stable")[::-1][:k]
    return order, (stored @ query)[order]


MISTAKES = [
    ("a", "ascending", _ascending, "least similar"),
    ("a", "distances", _distances, "distances"),
    ("a", "reversed", _reversed, "stand in the wrong order"),
    ("a", "one-result", lambda q, s, k: _search(q, s, k)[0], "two arrays"),
    ("b", "rows", lambda s, k: np.full(len(s), k), "count for the columns"),
    ("b", "least", lambda s, k: _occurrence(s, k, -1.0), "least similar"),
    ("b", "one-more", lambda s, k: _occurrence(s, k + 1), "more than k"),
    ("b", "shares", lambda s, k: _occurrence(s, k) / len(s), "count the lists"),
    ("b", "first-only", _lists_first_only, "count each number"),
    ("c", "together", _center_together, "one common mean"),
    ("c", "other", _center_other, "of the other one"),
    ("c", "no-length", _center_short, "normalize again"),
    ("c", "along-width", _center_wide, "over the items"),
    (
        "d",
        "things-only",
        lambda w, f, n: "twin" if n <= picture_facts(f) else _class(w, f, n),
        "the action is another one",
    ),
    ("d", "strict", lambda w, f, n: "attribute" if _class(w, f, n) == "twin" else _class(w, f, n), "true of it"),
    ("d", "no-names", lambda w, f, n: "twin" if w["action"] == f["action"] else _class(w, f, n), "not all named facts"),
    ("d", "no-group", lambda w, f, n: "scene" if w["action"] != f["action"] else _class(w, f, n), "same hard group"),
    (
        "d",
        "all-relation",
        lambda w, f, n: "relation" if w["action"] != f["action"] else _class(w, f, n),
        "different hard groups",
    ),
    ("e", "all", lambda s, p, k, w: np.argsort(-(s + w * p), kind="stable"), "re-rank all"),
    (
        "e",
        "support-only",
        lambda s, p, k, w: _rerank(0 * s - np.argsort(np.argsort(-s)) * 1e-9, p, k, 1.0),
        "support alone",
    ),
    ("e", "position", _by_position, "in the first k places"),
    ("e", "cut", _drop_rest, "behind the first k"),
]
