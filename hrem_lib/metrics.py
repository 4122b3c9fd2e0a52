"""Retrieval figures: ranks, recalls, folds, ensembles, bootstrap intervals (Sec 3.5 and Sec 4).

Ranks are counted, not sorted, under one stated rule: a tie counts against us. The similarity matrix is met tile by
tile, never as a whole. n = images, m = captions, `image_of_caption[j]` is the image that caption j describes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from hrem_lib.errors import UserError

RECALLS = (1, 5, 10)
DIRECTIONS = ("i2t", "t2i")  # image query with captions as answers; caption query with images as answers
Matrix = np.ndarray | torch.Tensor
Pair = tuple[Matrix, Matrix]  # image_emb [n,D], text_emb [m,D]


# ---- ranks ----------------------------------------------------------------------------------------------------


def ranks(similarity: Matrix, image_of_caption: Matrix, block: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """0-based ranks of the right answers in both directions (Sec 4).

    The rank is the number of wrong items that score at least as high as the right one (choice of this project; the
    released code sorts, and an unstable sort decides ties). i2t takes the best of the image's own captions, and
    the others are not wrong items.

    Args:
        similarity: [n,m], rows are images; numpy (a memory map too) or torch.
        image_of_caption: [m] integers from 0 to n-1; every image needs a caption. Captions may stand in any order.
        block: images in a tile; memory is about `block` x (their captions).
    Returns:
        i2t [n] and t2i [m], int64.
    Raises:
        UserError: for wrong shapes, NaN, or an image without a caption.
    """
    if similarity.ndim != 2:
        raise UserError(f"similarity: got {similarity.ndim} dimensions, wanted 2 (images x captions)")
    n, m = similarity.shape

    def tile(rows: slice, columns: slice | np.ndarray) -> torch.Tensor:
        part = _tensor(similarity[rows, columns] if isinstance(columns, slice) else similarity[rows][:, columns])
        if torch.isnan(part).any():
            raise UserError(f"similarity: got NaN in rows {rows.start} to {rows.stop - 1}, wanted numbers")
        return part

    return _count(tile, n, m, image_of_caption, block)


def ranks_from_embeddings(
    image_emb: Matrix, text_emb: Matrix, image_of_caption: Matrix, block: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """`ranks` of image_emb @ text_emb.T without ever holding that matrix.

    Each tile of the product is computed once. The ranks are exactly those of the matrix made of the same tiles, but
    for items with the same embedding, bit for bit: they always tie, though a product of another shape may differ in
    the last bit.

    Args:
        image_emb: [n,D]; text_emb: [m,D]; image_of_caption: [m].
    Raises:
        UserError: as `ranks`, and for embeddings that are not finite or differ in width.
    """
    return ensemble_ranks([(image_emb, text_emb)], image_of_caption, block)


def ensemble_ranks(pairs: Sequence[Pair], image_of_caption: Matrix, block: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """`ranks` of the mean of several models' similarity matrices, from their embeddings."""
    pairs = _checked_pairs(pairs)
    n, m = len(pairs[0][0]), len(pairs[0][1])
    return _count(_mean_product(pairs), n, m, image_of_caption, block, _twins(pairs, 0), _twins(pairs, 1))


def _mean_product(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., torch.Tensor]:
    """A function of rows and columns that gives this tile of the models' mean similarity matrix."""

    def tile(rows: slice, columns: slice | np.ndarray) -> torch.Tensor:
        total = pairs[0][0][rows] @ pairs[0][1][columns].T  # [block, captions of a block]
        for image_emb, text_emb in pairs[1:]:
            total += image_emb[rows] @ text_emb[columns].T
        return total if len(pairs) == 1 else total / len(pairs)

    return tile


def _twins(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], side: int) -> np.ndarray:
    """A number for each image (side 0) or caption (1) equal to another, bit for bit, in all models; -1: none is."""
    arrays = [pair[side].cpu().numpy() for pair in pairs]
    _, group, count = np.unique(arrays[0][:, 0], return_inverse=True, return_counts=True)  # few agree by chance
    found: dict[bytes, int] = {}
    twins = np.full(len(group), -1)
    for row in np.flatnonzero(count[group] > 1):
        twins[row] = found.setdefault(b"".join(part[row].tobytes() for part in arrays), len(found))
    alone = np.bincount(twins + 1, minlength=1)[twins + 1] == 1
    twins[alone] = -1
    return twins


def _count(
    tile: Callable[[slice, slice | np.ndarray], torch.Tensor],
    n: int,
    m: int,
    image_of_caption: Matrix,
    block: int,
    image_twins: np.ndarray | None = None,
    text_twins: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Count the wrong items at or above the right one, tile by tile.

    Tiles on the diagonal (a block of images, their own captions) come first: they hold every right pair, so that
    all other tiles can be counted at once in both directions, and none is computed twice. A wrong item that is a
    twin (see `_twins`) of the right one is counted whatever its tile says.
    """
    owner = _owners(image_of_caption, n, m)
    order, rows, spans, captions = _blocks(owner, block)
    owner = owner[order]
    image_twins = np.full(n, -1) if image_twins is None else image_twins
    text_twins = np.full(m, -1) if text_twins is None else text_twins[order]

    def part_of(a: int, b: int) -> torch.Tensor:
        return tile(rows[a], captions[b])

    wrong_i2t, wrong_t2i = torch.zeros(n, dtype=torch.int64), torch.zeros(m, dtype=torch.int64)
    best, own = [], []  # per block: score of each image's best caption, of each caption's image
    best_twins = []  # per block: (image in the block, twin number) of best captions that have twins

    def tied(image: np.ndarray, number: np.ndarray, of_caption: np.ndarray, a: int, b: int) -> tuple:
        """Cells of tile (a, b) in which an image's number is the caption's, without the right pairs."""
        some, columns = np.flatnonzero(number >= 0), np.flatnonzero(of_caption >= 0)
        i, j = np.nonzero(number[some][:, None] == of_caption[columns])
        row, column = image[some[i]], columns[j]
        wrong = owner[spans[b]][column] != rows[a].start + row
        return torch.from_numpy(row[wrong]), torch.from_numpy(column[wrong])

    def add(part: torch.Tensor, a: int, b: int) -> None:
        # ones in float32: several times faster than a sum of booleans, and exact below 2^24 items in a tile's side
        ones = torch.empty(part.shape, dtype=torch.float32, device=part.device)
        torch.ge(part, best[a][:, None], out=ones)
        ones[tied(*best_twins[a], text_twins[spans[b]], a, b)] = 1  # pyright: ignore[reportCallIssue]  # an array of two rows
        wrong_i2t[rows[a]] += ones.sum(1).long().cpu()
        torch.ge(part, own[b][None, :], out=ones)
        ones[tied(np.arange(len(part)), image_twins[rows[a]], image_twins[owner[spans[b]]], a, b)] = 1
        wrong_t2i[spans[b]] += ones.sum(0).long().cpu()

    for a in range(len(rows)):
        part = part_of(a, a)
        row = torch.from_numpy(owner[spans[a]] - rows[a].start).to(part.device)
        column = torch.arange(len(row), device=part.device)
        own.append(part[row, column])
        low = torch.full((part.shape[0],), -math.inf, dtype=part.dtype, device=part.device)
        best.append(low.scatter_reduce(0, row, own[a], "amax"))
        first = text_twins[spans[a]] >= 0
        first &= (own[a] == best[a][row]).cpu().numpy()
        best_twins.append(np.unique([row.cpu().numpy()[first], text_twins[spans[a]][first]], axis=1))
        part = part.index_put((row, column), part.new_tensor(math.nan))  # NaN >= x is false: right pairs never count
        add(part, a, a)
    for a in range(len(rows)):
        for b in range(len(rows)):
            if a != b:
                add(part_of(a, b), a, b)
    t2i = np.empty(m, dtype=np.int64)
    t2i[order] = wrong_t2i.numpy()
    return wrong_i2t.numpy(), t2i


def _blocks(owner: np.ndarray, block: int) -> tuple[np.ndarray, list[slice], list[slice], list[slice | np.ndarray]]:
    """The captions by image; blocks of images, the places of their captions in that order, and those captions."""
    if block < 1:
        raise UserError(f"block: got {block}, wanted at least 1")
    order, n = np.argsort(owner, kind="stable"), int(owner.max()) + 1
    rows = [slice(low, min(low + block, n)) for low in range(0, n, block)]
    spans = [slice(*np.searchsorted(owner[order], (r.start, r.stop)).tolist()) for r in rows]
    in_order = bool((order == np.arange(len(order))).all())  # a slice is not copied
    return order, rows, spans, [span if in_order else order[span] for span in spans]


def _tensor(values: Matrix) -> torch.Tensor:
    """A floating tensor of the same values; numpy input is copied, for a memory map may be read-only."""
    if isinstance(values, np.ndarray):
        kind = np.float32 if values.dtype in (np.float16, np.float32) else np.float64
        values = torch.from_numpy(np.array(values, dtype=kind))
    return values.detach() if values.is_floating_point() else values.double()


def _checked_pairs(pairs: Sequence[Pair]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    pairs = [_checked_pair(*pair) for pair in pairs]
    sizes = [(len(image_emb), len(text_emb)) for image_emb, text_emb in pairs]
    for n, m in sizes[1:]:
        if (n, m) != sizes[0]:
            raise UserError(
                f"ensemble: got {sizes[0][0]} images, {sizes[0][1]} captions and {n} images, {m} captions, "
                "wanted two models on the same split"
            )
    return pairs


def _checked_pair(image_emb: Matrix, text_emb: Matrix) -> tuple[torch.Tensor, torch.Tensor]:
    pair = []
    for name, emb in (("image", image_emb), ("text", text_emb)):
        if emb.ndim != 2 or 0 in emb.shape:
            raise UserError(f"{name} embeddings: got shape {tuple(emb.shape)}, wanted [items, width]")
        emb = _tensor(emb)
        pair.append(emb if emb.dtype == torch.float64 else emb.float())
    if pair[0].shape[1] != pair[1].shape[1]:
        raise UserError(f"embeddings: got width {pair[0].shape[1]} for images and {pair[1].shape[1]} for captions")
    if pair[0].dtype != pair[1].dtype:
        pair = [emb.double() for emb in pair]
    # by Cauchy-Schwarz no partial sum of the product can then overflow, so no tile holds NaN
    for name, emb in zip(("image", "text"), pair, strict=True):
        longest = emb.norm(dim=1).max().item()
        if not longest < math.sqrt(torch.finfo(emb.dtype).max) / 2:
            raise UserError(f"{name} embeddings: got NaN, infinite or huge values, wanted finite ones")
    return pair[0], pair[1]


def _owners(image_of_caption: Matrix, n: int, m: int) -> np.ndarray:
    owner = np.asarray(torch.as_tensor(image_of_caption).cpu())
    if owner.shape != (m,) or not np.issubdtype(owner.dtype, np.integer):
        raise UserError(f"image_of_caption: got {owner.dtype} of shape {owner.shape}, wanted {m} integers")
    if m == 0 or n == 0:
        raise UserError(f"got {n} images and {m} captions, wanted at least one of each")
    owner = owner.astype(np.int64)
    if owner.min() < 0 or owner.max() >= n:
        raise UserError(f"image_of_caption: got values {owner.min()} to {owner.max()}, wanted 0 to {n - 1}")
    missing = np.flatnonzero(np.bincount(owner, minlength=n) == 0)
    if len(missing):
        raise UserError(f"image {missing[0]}: got no caption, wanted at least one for each image")
    return owner


# ---- answers in order -----------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """The first answers of b queries, best first: queries [b]; answers, scores, hits (is it right?) [b,depth]."""

    queries: np.ndarray
    answers: np.ndarray
    scores: np.ndarray
    hits: np.ndarray


def best_answers(
    pairs: Sequence[Pair],
    image_of_caption: Matrix,
    direction: str,
    right: Sequence[Sequence[int]],
    depth: int,
    block: int = 512,
) -> Iterator[Answers]:
    """The first `depth` answers of every query, in the order in which `ensemble_ranks` counts, block by block.

    The same tiles are multiplied and a tie counts against us, so R@K of the hits is that of the ranks. Memory is
    about `block` x all captions.

    Args:
        pairs: float32, for each model (image_emb [n,D], text_emb [m,D])
        direction: "i2t" or "t2i"
        right: for each query its right answers; queries without any are left out
    Yields:
        parts of at most 256 queries; each query once, in the order of the images
    """
    pairs = _checked_pairs(pairs)
    n, m = len(pairs[0][0]), len(pairs[0][1])
    order, rows, spans, captions = _blocks(_owners(image_of_caption, n, m), block)
    tile, to_captions = _mean_product(pairs), direction == "i2t"
    twins = _twins(pairs, 1 if to_captions else 0)
    for asked in range(len(rows)):
        queries = np.arange(n)[rows[asked]] if to_captions else order[spans[asked]]
        scores = torch.empty(len(queries), m if to_captions else n, dtype=pairs[0][0].dtype)
        for other in range(len(rows)):
            if to_captions:
                scores[:, captions[other]] = tile(rows[asked], captions[other]).cpu()
            else:
                scores[:, rows[other]] = tile(rows[other], captions[asked]).T.cpu()
        kept = np.flatnonzero([len(right[query]) > 0 for query in queries])
        for some in (kept[low : low + 256] for low in range(0, len(kept), 256)):
            yield _in_order(queries[some], scores[some].double(), [right[q] for q in queries[some]], twins, depth)


def _in_order(
    queries: np.ndarray, scores: torch.Tensor, right: Sequence[Sequence[int]], twins: np.ndarray, depth: int
) -> Answers:
    """`best_answers` of a few queries from their scores [b,answers] in float64, which are changed."""
    row, column = np.repeat(np.arange(len(right)), [len(r) for r in right]), np.concatenate(right)
    own = scores[row, column]
    for at in own.argsort().tolist():  # a twin of a right answer ties with it; of several the best counts, so last
        if twins[column[at]] >= 0:
            scores[row[at], twins == twins[column[at]]] = own[at]
    # down by the last bit of float64: a right answer stands behind all that tie with it, before all others
    scores[row, column] = torch.nextafter(scores[row, column], scores.new_tensor(-math.inf))
    hits = torch.zeros(scores.shape, dtype=torch.bool)
    hits[row, column] = True
    best = scores.topk(min(depth, scores.shape[1]))
    return Answers(queries, best.indices.numpy(), best.values.numpy(), hits.gather(1, best.indices).numpy())


# ---- figures --------------------------------------------------------------------------------------------------


def recalls(ranks: Matrix) -> dict[str, float]:
    """R@1, R@5, R@10 in per cent, median and mean rank (1-based) from 0-based ranks (Sec 4).

    MedR = floor(median of the 0-based ranks) + 1, MeanR = mean + 1.
    """
    values = np.asarray(torch.as_tensor(ranks).cpu())
    if values.ndim != 1 or len(values) == 0:
        raise UserError(f"ranks: got shape {values.shape}, wanted at least one rank")
    figures = {f"R@{k}": 100.0 * int((values < k).sum()) / len(values) for k in RECALLS}
    return figures | {"MedR": math.floor(np.median(values)) + 1.0, "MeanR": float(values.mean()) + 1.0}


def rank_metrics(i2t_ranks: Matrix, t2i_ranks: Matrix) -> dict:
    """{"images", "captions", "i2t": recalls, "t2i": recalls, "rSum": the six recalls added} (Sec 4)."""
    result: dict = {"images": len(i2t_ranks), "captions": len(t2i_ranks)}
    result |= {"i2t": recalls(i2t_ranks), "t2i": recalls(t2i_ranks)}
    return result | {"rSum": sum(result[d][f"R@{k}"] for d in DIRECTIONS for k in RECALLS)}


def metrics(scores: Matrix | Pair, image_of_caption: Matrix, block: int = 512) -> dict:
    """All figures of a split (Sec 4), as `rank_metrics` gives them.

    Args:
        scores: the similarity matrix [n,m], or the pair (image_emb [n,D], text_emb [m,D]).
        image_of_caption: [m].
    """
    if isinstance(scores, tuple | list):
        return rank_metrics(*ranks_from_embeddings(*scores, image_of_caption, block))
    return rank_metrics(*ranks(scores, image_of_caption, block))


def mean_metrics(parts: Sequence[dict]) -> dict:
    """The mean of every figure over folds; "folds" says how many there were."""
    result: dict = {"folds": len(parts)}
    for key in ("images", "captions", "rSum"):
        result[key] = sum(part[key] for part in parts) / len(parts)
    for direction in DIRECTIONS:
        result[direction] = {k: sum(p[direction][k] for p in parts) / len(parts) for k in parts[0][direction]}
    return result


def fold_metrics(image_emb: Matrix, text_emb: Matrix, image_of_caption: Matrix, folds: int, block: int = 512) -> dict:
    """The mean over consecutive folds of equally many images, e.g. COCO 1K = 5 folds of `testall` (Sec 4).

    Raises:
        UserError: where the images cannot be divided into that many equal folds.
    """
    return _fold_metrics([(image_emb, text_emb)], image_of_caption, folds, block)


def _fold_metrics(pairs: Sequence[Pair], image_of_caption: Matrix, folds: int, block: int) -> dict:
    pairs = _checked_pairs(pairs)
    n = len(pairs[0][0])
    owner = _owners(image_of_caption, n, len(pairs[0][1]))
    if folds < 1 or n % folds:
        raise UserError(f"folds: got {folds} for {n} images, wanted a number that divides them equally")
    size, parts = n // folds, []
    for low in range(0, n, size):
        kept = np.flatnonzero((owner >= low) & (owner < low + size))
        part = [(image_emb[low : low + size], text_emb[kept]) for image_emb, text_emb in pairs]
        parts.append(rank_metrics(*ensemble_ranks(part, owner[kept] - low, block)))
    return mean_metrics(parts)


def ensemble(similarity_a: Matrix, similarity_b: Matrix, *more: Matrix) -> Matrix:
    """The mean of two (or more) models' similarity matrices [n,m] (the paper's *, Sec 4)."""
    parts = [similarity_a, similarity_b, *more]
    shapes = [tuple(part.shape) for part in parts]
    if len(set(shapes)) > 1:
        raise UserError(f"ensemble: got similarities of shape {' and '.join(map(str, shapes))}, wanted the same shape")
    if not all(isinstance(part, np.ndarray) for part in parts):
        parts = [torch.as_tensor(part) for part in parts]
    return sum(parts[1:], start=parts[0]) / len(parts)


def ensemble_metrics(pairs: Sequence[Pair], image_of_caption: Matrix, folds: int = 1, block: int = 512) -> dict:
    """`metrics` of the mean of the models' similarities, from their embeddings, tile by tile.

    Args:
        pairs: for each model (image_emb [n,D], text_emb [m,D]); widths may differ between models.
        folds: above 1 gives the figures of `fold_metrics`.
    """
    if folds == 1:
        return rank_metrics(*ensemble_ranks(pairs, image_of_caption, block))
    return _fold_metrics(pairs, image_of_caption, folds, block)


def precision_at_r(scores: Matrix, relevant: Matrix) -> dict[str, float]:
    """R-Precision and mAP@R in per cent (Musgrave et al., ECCV 2020), where a query has several right answers.

    R is the query's own number of right answers. R-P is their share among its first R answers; mAP@R weighs each right
    one among them by the precision down to its place, so that order counts. At a tie wrong answers come first.

    Args:
        scores: [q,m], rows are queries
        relevant: bool [q,m], the right answers; a query without any is left out
    Returns:
        `R-P` and `mAP@R`, means over the queries
    """
    scores, relevant = (np.asarray(torch.as_tensor(x).cpu()) for x in (scores, relevant))
    if scores.ndim != 2 or relevant.shape != scores.shape or not relevant.any():
        raise UserError(
            f"precision at R: got scores {scores.shape}, right answers {relevant.shape}, wanted [q,m] with some"
        )
    kept = relevant.any(1)
    scores, relevant = scores[kept], relevant[kept].astype(bool)
    hits = np.take_along_axis(relevant, np.lexsort((relevant, -scores), axis=1), 1)  # best first
    return precision_of_hits(hits, relevant.sum(1))


def precision_of_hits(hits: np.ndarray, r: np.ndarray) -> dict[str, float]:
    """`precision_at_r` of queries whose answers are in order.

    Args:
        hits: bool [q,depth], is the answer at this place right? depth at least max(r), or all answers
        r: [q], right answers of each query, found or not
    """
    place = np.arange(hits.shape[1])
    hits = hits & (place < r[:, None])
    precision = hits.cumsum(1) / (place + 1)
    means = {"R-P": hits.sum(1) / r, "mAP@R": (precision * hits).sum(1) / r}
    return {name: 100 * float(values.mean()) for name, values in means.items()}


def chance(n_images: int, n_captions: int, k: int) -> dict[str, float]:
    """Exact R@k in per cent of a random order, for equally many captions an image.

    i2t: one of the c own captions is among the first k of m: 1 - C(m - c, k) / C(m, k); t2i: k / n.
    """
    if n_images < 1 or n_captions < n_images or n_captions % n_images or k < 1:
        raise UserError(
            f"chance: got {n_images} images, {n_captions} captions, k = {k}, wanted a multiple of captions and k >= 1"
        )
    own = n_captions // n_images
    k_captions = min(k, n_captions)
    miss = Fraction(math.comb(n_captions - own, k_captions), math.comb(n_captions, k_captions))
    return {"i2t": float(100 * (1 - miss)), "t2i": 100.0 * min(k, n_images) / n_images}


# ---- intervals ------------------------------------------------------------------------------------------------


def bootstrap(
    i2t_ranks: Matrix,
    t2i_ranks: Matrix,
    image_of_caption: Matrix,
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict:
    """Percentile intervals (low, high) of every R@K and of rSum, by resampling images.

    An image brings its captions along: five captions of one image are not five independent queries.
    Choice of this project; the paper gives none.

    Returns:
        {"level", "samples", "i2t": {"R@1": (low, high), ...}, "t2i": {...}, "rSum": (low, high)} in per cent.
    """
    hits, captions = _hits(i2t_ranks, t2i_ranks, image_of_caption)
    return _intervals(_resampled(hits, captions, samples, seed), samples, level)


def bootstrap_difference(
    a: Pair, b: Pair, image_of_caption: Matrix, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict:
    """As `bootstrap`, for the figures of model a minus those of model b on the same images (paired).

    Args:
        a, b: (i2t_ranks [n], t2i_ranks [m]) of each model. An interval without 0 is a difference at this level.
    """
    hits_a, captions = _hits(*a, image_of_caption)
    hits_b, _ = _hits(*b, image_of_caption)
    if len(hits_a) != len(hits_b):
        raise UserError(f"bootstrap: got {len(hits_a)} and {len(hits_b)} images, wanted the same for both models")
    # the figures are linear in the hits, so the difference of the hits is resampled
    return _intervals(_resampled(hits_a - hits_b, captions, samples, seed), samples, level)


def _hits(i2t_ranks: Matrix, t2i_ranks: Matrix, image_of_caption: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """For every image its hits at each K: i2t (0 or 1), t2i (number of its captions) [n,6]; its captions [n]."""
    i2t, t2i = (np.asarray(torch.as_tensor(r).cpu()) for r in (i2t_ranks, t2i_ranks))
    owner = _owners(image_of_caption, len(i2t), len(t2i))
    columns = [(i2t < k).astype(np.float64) for k in RECALLS]
    columns += [np.bincount(owner, weights=t2i < k, minlength=len(i2t)) for k in RECALLS]
    return np.stack(columns, axis=1), np.bincount(owner, minlength=len(i2t)).astype(np.float64)


def _resampled(hits: np.ndarray, captions: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Recalls in per cent of each resampled split [samples, 6]."""
    if samples < 2:
        raise UserError(f"bootstrap: got {samples} samples, wanted at least 2")
    n, rng = len(hits), np.random.default_rng(seed)
    chunk, out = max(1, 2_000_000 // n), []
    for low in range(0, samples, chunk):
        count = min(chunk, samples - low)
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)  # how often each image was drawn
        found = weights @ hits
        found[:, :3] /= n
        found[:, 3:] /= (weights @ captions)[:, None]
        out.append(100.0 * found)
    return np.concatenate(out)


def _intervals(values: np.ndarray, samples: int, level: float) -> dict:
    if not 0 < level < 1:
        raise UserError(f"bootstrap: got level {level}, wanted a number between 0 and 1")
    values = np.column_stack([values, values.sum(1)])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0).tolist()
    pairs = list(zip(low, high, strict=True))
    result: dict = {"level": level, "samples": samples}
    for at, direction in enumerate(DIRECTIONS):
        result[direction] = {f"R@{k}": pairs[3 * at + i] for i, k in enumerate(RECALLS)}
    return result | {"rSum": pairs[6]}
