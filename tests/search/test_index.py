"""FAISS against a plain matrix product, and the recall that an approximate index says it has."""

import numpy as np
import pytest

from hrem_lib.errors import UserError
from hrem_lib.search import index as search_index
from hrem_lib.search.index import KINDS, build_index, exact_answers, recall


def vectors(n, width=32, seed=0):
    """Unit-length vectors around n / 50 centers, as embeddings are."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(9).standard_normal((max(2, n // 50), width))
    found = centers[rng.integers(len(centers), size=n)] + 0.5 * rng.standard_normal((n, width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def stored():
    return vectors(4000)


@pytest.fixture(scope="module")
def queries():
    return vectors(200, seed=1)


def test_exact_answers_are_those_of_a_full_sort(stored, queries):
    wanted = np.argsort(-(queries @ stored.T), axis=1, kind="stable")[:, :7]
    assert np.array_equal(exact_answers(stored, queries, 7, step=999), wanted)
    scores, items = build_index(stored).search(queries, 7)
    assert np.array_equal(items, wanted)
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ stored.T, wanted, 1), atol=1e-5)


def test_more_answers_than_items(stored):
    scores, items = build_index(stored[:3]).search(stored[:1], 10)
    assert items.shape == scores.shape == (1, 3) and items[0, 0] == 0


@pytest.mark.parametrize("kind", ["float16", "compact"])
def test_approximate_index_has_the_recall_it_tells(stored, queries, kind):
    index = build_index(stored, queries[:100], kind)
    assert index.info["kind"] == kind and index.info["probed"] <= index.info["lists"] == 102
    wanted = np.argsort(-(queries @ stored.T), axis=1)[:, :10]
    measured = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(index.search(queries[:100], 10)[1], wanted[:100])])  # noqa: B905
    assert index.info["recall_at_10"] == pytest.approx(measured, abs=1e-4)
    assert measured > 0.9
    scores, items = index.search(queries, 10)
    assert (np.diff(scores, axis=1) <= 1e-6).all() and recall(items, wanted) > 0.88  # other queries, too
    np.testing.assert_allclose(scores, np.einsum("md,mkd->mk", queries, stored[items]), atol=2e-3)


def test_lists_are_probed_until_the_recall_is_there(monkeypatch):
    """Vectors without groups, where few lists are never enough."""
    stored = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    monkeypatch.setattr(search_index, "WANTED_RECALL", 0.1)
    few = build_index(stored, stored[:100], "float16").info
    monkeypatch.setattr(search_index, "WANTED_RECALL", 0.97)
    many = build_index(stored, stored[:100], "float16").info
    assert few["probed"] == 8 < many["probed"] <= many["lists"]
    assert few["recall_at_10"] < 0.9 and many["recall_at_10"] >= 0.97


def test_auto_is_approximate_from_a_number_of_items_on(stored, monkeypatch):
    assert build_index(stored).info["kind"] == "exact"
    monkeypatch.setattr(search_index, "APPROXIMATE_FROM", 4000)
    assert build_index(stored).info["kind"] == "float16" and build_index(stored[1:]).info["kind"] == "exact"
    assert KINDS == ("exact", "float16", "compact")


def test_same_seed_same_index(stored, queries):
    one, two = (build_index(stored, queries, "float16").search(queries, 5)[1] for _ in range(2))
    assert np.array_equal(one, two)


def test_recall():
    assert recall(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 2, 9], [6, 5, 4]])) == pytest.approx((2 / 3 + 1) / 2)
    assert recall(np.array([[-1, -1]]), np.array([[0, 1]])) == 0


def test_refusals(stored):
    with pytest.raises(UserError, match="'fast', wanted auto or one of exact"):
        build_index(stored, kind="fast")
    with pytest.raises(UserError, match="width 30"):
        build_index(stored[:, :30], kind="compact")
