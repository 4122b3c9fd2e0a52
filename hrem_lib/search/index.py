"""FAISS over unit-length embeddings: exact, or approximate with its recall measured (Sec 3.5).

Search is exact below APPROXIMATE_FROM items; above, an inverted-file index looks at some of its lists only, as many as
give the wanted recall, and the recall against the exact answers is measured.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import faiss
import numpy as np

from hrem_lib.errors import UserError

APPROXIMATE_FROM = 100_000  # items from which "auto" takes the approximate index
KINDS = ("exact", "float16", "compact")
WANTED_RECALL = 0.95  # of the ten best answers, at which more lists are no longer tried
RERANKED = 20  # at first: candidates for each answer of a "compact" index, put in order by their stored embeddings


class Index(NamedTuple):
    """A searchable set of embeddings."""

    faiss_index: faiss.Index
    info: dict  # kind, items, width; for approximate ones lists, probed, reranked (compact), recall_at_10, measured_on
    vectors: np.ndarray | None = None  # float16 [n,D], where a "compact" index needs them

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines [m,k], descending, and item numbers [m,k] of the k best items for each unit-length query [m,D].

        An approximate index that finds fewer than k gives -1 for the rest, with cosine -inf.
        """
        k = min(k, self.info["items"])
        queries = np.ascontiguousarray(queries, np.float32)
        if self.vectors is None:
            scores, items = self.faiss_index.search(queries, k)
            return np.where(items < 0, -np.inf, scores), items
        _, near = self.faiss_index.search(queries, min(self.info.get("reranked", RERANKED) * k, self.info["items"]))
        found = np.where(near < 0, 0, near)
        scores = np.einsum("md,mcd->mc", queries, self.vectors[found].astype(np.float32))
        scores[near < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(near, order, 1)


def build_index(vectors: np.ndarray, queries: np.ndarray | None = None, kind: str = "auto", seed: int = 0) -> Index:
    """Index over unit-length embeddings, searched by cosine.

    Args:
        vectors: [n,D], float32 or float16 (a memory map will do)
        queries: embeddings like those that will be asked [m,D], on which recall is measured (the first 500); None:
            some of the vectors
        kind: "exact"; "float16": inverted lists of half-precision vectors; "compact": inverted lists of product-
            quantized vectors (D / 16 bytes each), whose answers are put in order by the stored `vectors`; "auto": exact
            below APPROXIMATE_FROM items, then float16
        seed: of the clustering
    Raises:
        UserError: unknown kind, or D that "compact" cannot divide.
    """
    n, width = vectors.shape
    if kind == "auto":
        kind = "exact" if n < APPROXIMATE_FROM else "float16"
    if kind not in KINDS:
        raise UserError(f"--kind: got {kind!r}, wanted auto or one of {', '.join(KINDS)}")
    info = {"kind": kind, "items": n, "width": width}
    if kind == "exact":
        return Index(filled(faiss.IndexFlatIP(width), vectors), info)
    if kind == "compact" and width % 16:
        raise UserError(f"--kind compact: got embeddings of width {width}, wanted a multiple of 16")
    lists = max(1, min(4 * math.isqrt(n), n // 39))  # 39 points a cluster are the least that FAISS finds enough
    coarse = faiss.IndexFlatIP(width)
    if kind == "float16":
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(coarse, width, lists, half, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexIVFPQ(coarse, width, lists, width // 16, 8, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = seed, 10, 64
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(n, min(n, 64 * lists), replace=False))
    index.train(np.ascontiguousarray(vectors[sample], np.float32))
    filled(index, vectors)
    made = Index(index, info, vectors if kind == "compact" else None)
    if queries is None:
        queries = vectors[np.sort(rng.choice(n, min(n, 500), replace=False))]
    queries = np.ascontiguousarray(queries[:500], np.float32)
    wanted = exact_answers(vectors, queries, 10)
    index.nprobe = min(8, lists)
    if kind == "compact":
        info["reranked"] = RERANKED
    while (reached := recall(made.search(queries, 10)[1], wanted)) < WANTED_RECALL and index.nprobe < lists:
        index.nprobe = min(2 * index.nprobe, lists)
        if kind == "compact":  # among many items the quantized order is too coarse for a fixed number of candidates
            info["reranked"] *= 2
    info |= {"lists": lists, "probed": index.nprobe, "recall_at_10": round(reached, 4), "measured_on": len(queries)}
    return made


def filled(index: faiss.Index, vectors: np.ndarray, step: int = 50_000) -> faiss.Index:
    """The FAISS index with all vectors added, `step` at a time."""
    for start in range(0, len(vectors), step):
        index.add(np.ascontiguousarray(vectors[start : start + step], np.float32))
    return index


def exact_answers(vectors: np.ndarray, queries: np.ndarray, k: int, step: int = 50_000) -> np.ndarray:
    """Numbers of the k vectors with the largest cosine for each query [m,k], a block of vectors at a time."""
    k = min(k, len(vectors))
    best, items = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), step):
        scores = queries @ np.asarray(vectors[start : start + step], np.float32).T
        best = np.concatenate([best, scores], 1)
        items = np.concatenate([items, np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)], 1)
        top = np.argpartition(-best, k - 1, axis=1)[:, :k]
        best, items = np.take_along_axis(best, top, 1), np.take_along_axis(items, top, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(items, order, 1)


def recall(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the wanted items [m,k] that are among the found ones [m,k'], order aside."""
    return float(np.mean([len(np.intersect1d(f, w)) / len(w) for f, w in zip(found, wanted, strict=True)]))
