"""Checks of notebook 07: matrix search, hubs, centering, classes of failures, re-ranking."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import answer, expect_dtype, name_mistake, show
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


def _search_cases() -> list[tuple[np.ndarray, np.ndarray, int, str]]:
    """Query, stored vectors, k, and the input in words."""
    small = [
        (QUERY, STORED, 2),
        ([1.0, 0.0], [[-0.6, 0.8], [-1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]], 3),  # negative ones
        ([1.0, 1.0], [[3.0, 0.0], [0.5, 0.6], [1.0, 1.0]], 2),  # other lengths
        ([1.0, 0.0, 0.0], [[0.501, 0.0, 0.1], [0.504, 0.1, 0.0]], 2),  # near ones
        ([0.6, 0.8], [[1.0, 0.0]], 1),
        ([1.0, 0.0], [[0.6, 0.8], [0.6, -0.8], [0.0, 1.0], [0.6, 0.8]], 3),  # ties
        (QUERY, STORED, 4),
        (QUERY, STORED, 6),
    ]
    cases = [(np.array(query), np.array(stored), k, "") for query, stored, k in small]
    cases = [(q, s, k, f"for query {show(q)}, stored {show(s)} and k = {k}") for q, s, k, _ in cases]
    words = "for query [1.0], stored np.arange(300.0)[:, None] % 4 (many ties) and k = 100"
    return [*cases, (np.array([1.0]), np.arange(300.0)[:, None] % 4, 100, words)]


def check_a(fn) -> str:
    """`search(query [D], stored [n,D], k) -> (numbers [k], similarities [k])`, best first, ties by number."""
    rng = np.random.default_rng(0)
    many = rng.normal(size=5), rng.normal(size=(40, 5)), 7, "for 40 random items and k = 7"
    hand, *cases = _search_cases()
    _two_arrays(fn, *hand)
    indices, scores = _two_arrays(fn, *many)
    wanted, best = _search(*many[:3])
    every = many[1] @ many[0]
    name_mistake(indices, [
        ("Your list begins with the least similar item; a larger inner product is better.", np.argsort(every)[:7]),
        ("The two results are exchanged: item numbers first, then similarities.", best),
        ("These are the places of the items 0 to k - 1; wanted are the items, in order of place.",
         np.argsort(np.argsort(-every))[:7]),
        ("The best item is left out; a query is no stored item.", np.argsort(-every)[1:8]),
    ])  # fmt: skip
    if indices.shape == wanted.shape and not np.array_equal(indices, wanted) and set(indices) == set(wanted):
        raise Wrong("The right items, but not in order; the best answer stands first.")
    name_mistake(scores, [
        ("The second result holds the similarities of the items 0 to k - 1, not of those in the list.", every[:7]),
        ("The similarities have the other sign.", -best),
    ])  # fmt: skip
    indices, scores = _two_arrays(fn, *hand)
    distances = np.sqrt(2 - 2 * _search(*hand[:3])[1])
    name_mistake(scores, [("The second result should hold similarities, yours holds distances.", distances)])
    for query, stored, k, case in [hand, *cases, many]:
        indices, scores = _two_arrays(fn, query, stored, k, case)
        wanted, best = _search(query, stored, k)
        every = stored @ query
        tied = np.argsort(every, kind="stable")[::-1][:k]
        text = "Items that tie stand in the wrong order; take the smaller number first: a stable sort of the negative"
        expect_close(indices, wanted, "list of items", {f"{text} similarities.": tied}, case=case)
        if indices.dtype.kind not in "iu":
            raise Wrong(f"The item numbers should be whole numbers, which can be an index; yours are {indices.dtype}.")
        expect_close(scores, best, "array of similarities", case=case)
        expect_dtype(scores, np.dtype("float64"), "array of similarities for float64 input")
    return "One matrix product and a sort: this is the whole search engine."


def _two_arrays(fn, query, stored, k, case) -> tuple[np.ndarray, np.ndarray]:
    got = answer(fn, case, query, stored, k)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("Return two arrays: the numbers of the items and their similarities.")
    return np.asarray(got[0]), np.asarray(got[1])


# ---- b: hubs --------------------------------------------------------------------------------------------------

LISTS = np.array([[0.9, 0.1, 0.8, 0.3], [0.7, 0.2, 0.1, 0.6], [0.2, 0.3, 0.9, 0.8]])


def _occurrence(similarity, k, sign=1.0):
    counts = np.zeros(similarity.shape[1], dtype=int)
    for row in similarity:
        for j in sorted(range(len(row)), key=lambda j: -sign * row[j])[:k]:
            counts[j] += 1
    return counts


_HUB_MISTAKES: list[tuple[str, Callable]] = [
    ("You count for the queries (rows); a hub is an answer, so count for the columns.",
     lambda s, k: np.full(len(s), k)),
    ("You take the k largest of each column; a row is a query and has a list.", lambda s, k: _occurrence(s.T, k)),
    ("You count the k least similar items of each query.", lambda s, k: _occurrence(s, k, -1.0)),
    ("You count one place more than k.", lambda s, k: _occurrence(s, k + 1)),
    ("You count one place less than k.", lambda s, k: _occurrence(s, k - 1)),
    ("You leave out the best item of each row.", lambda s, k: _occurrence(s, k + 1) - _occurrence(s, 1)),
    ("You give shares; count the lists instead.", lambda s, k: _occurrence(s, k) / len(s)),
    ("You count each item once at most: `counts[lists] += 1` adds 1 to an item, however often it stands in `lists`.",
     lambda s, k: np.minimum(_occurrence(s, k), 1)),
    ("You count the first place only; each of the first k places holds an item number, count each number.",
     lambda s, k: _lists_first_only(s, k)),
]  # fmt: skip


def check_b(fn) -> str:
    """`occurrence(similarity [n,m], k) -> [m]`: how often each column is among the first k of a row."""
    rng = np.random.default_rng(1)
    many = rng.normal(size=(20, 11)), 3
    small = [
        (LISTS, 2),
        (np.array([[-0.1, -0.5, -0.3], [-0.9, -0.8, -0.7]]), 2),  # negative ones
        (np.array([[0.9, 0.1, 0.8, 0.05, 0.2]]), 2),  # one query
        (np.array([[0.5, 0.5, 0.2, 0.5], [0.1, 0.3, 0.3, 0.3]]), 2),  # ties
        (LISTS, 4),
        (LISTS, 6),
    ]
    cases = [(s, k, f"for similarity {show(s)} and k = {k}") for s, k in small]
    ties = np.arange(600.0).reshape(2, 300) % 4
    cases += [
        (ties, 100, "for similarity np.arange(600.0).reshape(2, 300) % 4 (many ties) and k = 100"),
        (np.tile([0.1, 0.9, 0.5], (300, 1)), 1, "for similarity np.tile([0.1, 0.9, 0.5], (300, 1)) and k = 1"),
        (*many, "for 20 random queries, 11 items and k = 3"),
    ]
    answer(fn, cases[0][2], *small[0])
    got = answer(fn, cases[-1][2], *many)
    name_mistake(got, [(text, wrong(*many)) for text, wrong in _HUB_MISTAKES])
    for similarity, k, case in cases:
        got = np.asarray(answer(fn, case, similarity, k))
        expect_close(got, _occurrence(similarity, k), "array of counts", case=case)
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
    many = _unit(rng.normal(size=(6, 4)) + 1), _unit(rng.normal(size=(9, 4)) - 1)
    other = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0.0, 1.0], [0.8, 0.6], [-0.6, 0.8]])
    cases = [(v, u, f"for images {show(v)} and texts {show(u)}") for v, u in ((HAND_V, HAND_U), other)]
    cases.append((*many, "for 6 random images and 9 texts"))
    got = _two_sides(fn, *cases[0])
    got = _two_sides(fn, *cases[-1])
    known: dict[str, Callable] = {
        "The gap is still there: you take away one common mean; each side has its own.": _center_together,
        "Each side lost the mean of the other one.": _center_other,
        "The means are gone, but also the length one; normalize again after centering.": _center_short,
        "You take the mean along D, of each vector alone; the mean goes over the items.": _center_wide,
    }
    if [part.shape for part in got] == [(6, 4), (9, 4)]:
        name_mistake(np.concatenate(got), [(text, np.concatenate(wrong(*many))) for text, wrong in known.items()])
    name_mistake(got[0], [("The two results are exchanged: images first, then texts.", _center(*many)[1])])
    for v, u, case in cases:
        got, wanted = _two_sides(fn, v, u, case), _center(v, u)
        for part, want, name in zip(got, wanted, ("images", "texts"), strict=True):
            expect_close(part, want, f"array of {name}", case=case)
            expect_dtype(part, np.dtype("float64"), f"array of {name} for float64 input")
        got = _two_sides(fn, v.astype(np.float32), u.astype(np.float32), f"{case} in float32")
        for part, name in zip(got, ("images", "texts"), strict=True):
            expect_dtype(part, np.dtype("float32"), f"array of {name} for float32 input")
    return "In the hand example both pairs now have similarity 1."


def _two_sides(fn, v, u, case) -> list[np.ndarray]:
    got = answer(fn, case, v, u)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("Return two arrays: the centered images and the centered texts.")
    return [np.asarray(part) for part in got]


# ---- d: classes of failures -----------------------------------------------------------------------------------


def _scene(action: str, kind: str, color: str, setting: str = "beach", thing: str = "green") -> dict:
    actor = {"name": "actor", "kind": kind, "color": color}
    return {
        "setting": setting,
        "action": action,
        "entities": [actor, {"name": "object", "kind": catalog.ACTIONS[action].thing, "color": thing}],
    }


WANTED = _scene("surf_hold", "man", "black")
CASES = [
    (WANTED, _scene("surf_hold", "man", "red"), {"man", "surfboard"}, "twin"),
    (WANTED, _scene("surf_hold", "man", "red"), {"man", "black", "surfboard"}, "attribute"),
    (WANTED, _scene("surf_hold", "woman", "black"), {"man"}, "attribute"),
    (WANTED, _scene("surf_ride", "man", "black", "sea"), {"man", "black"}, "relation"),
    (WANTED, _scene("surf_ride", "woman", "red", "sea"), {"man", "black"}, "relation"),
    (WANTED, _scene("kite_fly", "man", "black"), {"man", "black"}, "scene"),
    (WANTED, _scene("kite_carry", "girl", "pink"), {"man"}, "scene"),
    (WANTED, _scene("surf_hold", "man", "red"), {"man", "surfboard", "red", "green", "beach"}, "twin"),
    (WANTED, _scene("surf_hold", "girl", "red"), set(), "twin"),
    (_scene("book_read", "man", "red", "room"), _scene("sofa_sleep", "man", "red", "room"), {"man"}, "relation"),
    (_scene("sled_ride", "man", "red", "snow"), _scene("ski_ride", "man", "red", "snow"), {"man"}, "relation"),
]


def _class(wanted: dict, found: dict, named: set) -> str:
    if wanted["action"] == found["action"]:
        return "twin" if named <= picture_facts(found) else "attribute"
    groups = [catalog.ACTIONS[scene["action"]].group for scene in (wanted, found)]
    return "relation" if groups[0] == groups[1] else "scene"


def check_d(fn) -> str:
    """`failure_class(wanted, found, named) -> "twin" | "attribute" | "relation" | "scene"`."""
    for wanted, found, named, right in CASES:
        names = ", ".join(sorted(named)) or "nothing"
        missing = ", ".join(sorted(named - picture_facts(found)))
        told = (
            f"for a caption of {wanted['action']} that names {names}, and a found picture of {found['action']} with "
            f"{', '.join(sorted(picture_facts(found)))}"
        )
        scenes = [json.loads(json.dumps(scene)) for scene in (wanted, found)]  # as from a file
        given = set(named)
        got = answer(lambda wanted, found, given=given: fn(wanted, found, given), told, *scenes)
        if given != named:
            raise Wrong("Your function changes its argument `named`; its caller needs it: work on a copy.")
        if got not in ("twin", "attribute", "relation", "scene"):
            raise Wrong(f"The answer {told} should be one of twin, attribute, relation, scene, yours is {got!r}.")
        reason = {
            "twin": "the action is right, and all that the caption names is there",
            "attribute": f"the action is right, but the caption names {missing}, which is not there",
            "relation": "the action is another one, but both actions belong to the same hard group",
            "scene": "the action is another one, and the two belong to different hard groups",
        }[right]
        if got != right:
            raise Wrong(f"The answer {told} should be {right}, yours is {got}: {reason}.", "counterexample")
    return "A twin is no failure of the model but of the test."


# ---- e: re-ranking --------------------------------------------------------------------------------------------


def _rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


_RERANK_MISTAKES: list[tuple[str, Callable]] = [
    ("You re-rank all items; only the first k get the costly support, the rest keeps its order.",
     lambda s, p, k, w: np.argsort(-(s + w * p), kind="stable")),
    ("The first k are ordered by the support alone; it should be added to the first score.",
     lambda s, p, k, w: _rerank(0 * s - np.argsort(np.argsort(-s)) * 1e-9, p, k, 1.0)),
    ("You add the support of the items 0 to k - 1, not of those that stand in the first k places.",
     lambda s, p, k, w: _by_position(s, p, k, w)),
    ("Nothing has moved: this is the order of the first score.", lambda s, p, k, w: np.argsort(-s)),
    ("The items behind the first k are missing; they keep their places.", lambda s, p, k, w: _drop_rest(s, p, k, w)),
    ("The weight is left out.", lambda s, p, k, w: _rerank(s, p, k, 1.0)),
    ("The worst of the first k comes first.",
     lambda s, p, k, w: np.concatenate([_drop_rest(s, p, k, w)[::-1], _rerank(s, p, k, w)[k:]])),
    ("These are the places of the items; wanted are the items, in order of place.",
     lambda s, p, k, w: np.argsort(_rerank(s, p, k, w))),
    ("The items behind the first k stand by number; they keep their places.",
     lambda s, p, k, w: np.concatenate([_drop_rest(s, p, k, w), np.sort(_rerank(s, p, k, w)[k:])])),
]  # fmt: skip


def check_e(fn) -> str:
    """`rerank(scores [n], support [n], k, weight) -> all n items, the first k in their new order`."""
    rng = np.random.default_rng(3)
    many = rng.random(40), rng.random(40), 12, 0.7
    small = [
        ([0.5, 0.9, 0.8, 0.1], [0.9, 0.1, 0.4, 1.0], 2, 0.5),
        ([0.5, 0.4, 0.2, 0.3, 0.6], [0.1, 0.9, 0.8, 0.2, 0.3], 3, 0.2),
        ([0.9, 0.5, 0.1], [0.2, 0.5, 0.9], 2, 1.0),
        ([0.9, 0.8, 0.7, 0.1], [-1.0, -2.0, -0.5, 3.0], 3, 1.0),  # negative support
        ([0.4], [0.5], 1, 1.0),
        ([0.5, 0.9, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0], 2, 1.0),  # scores tie
        ([0.25, 0.5, 0.125], [0.5, 0.25, 0.0], 2, 1.0),  # new scores tie
        ([0.5, 0.9, 0.8, 0.1], [0.9, 0.1, 0.4, 1.0], 4, 0.5),
        ([0.5, 0.9, 0.8, 0.1], [0.9, 0.1, 0.4, 1.0], 6, 0.5),
    ]
    cases = [
        (np.array(s), np.array(p), k, w, f"for scores {s}, support {p}, k = {k} and weight {w}") for s, p, k, w in small
    ]
    cases.append((
        np.arange(300.0) % 4, np.arange(300.0) % 3, 200, 1.0,
        "for scores np.arange(300.0) % 4, support np.arange(300.0) % 3 (many ties), k = 200 and weight 1",
    ))  # fmt: skip
    cases.append((*many, "for 40 random items, k = 12 and weight 0.7"))
    answer(fn, cases[0][4], *cases[0][:4])
    name_mistake(answer(fn, cases[-1][4], *many), [(text, wrong(*many)) for text, wrong in _RERANK_MISTAKES])
    for *args, case in cases:
        got = np.asarray(answer(fn, case, *args))
        expect_close(got, _rerank(*args), "list of items", case=case)
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
    ("d", "strict", lambda w, f, n: "attribute" if _class(w, f, n) == "twin" else _class(w, f, n), "names is there"),
    ("d", "no-names", lambda w, f, n: "twin" if w["action"] == f["action"] else _class(w, f, n), "which is not there"),
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
