"""Checks of notebook 05: sampling and losses."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrem_lib import losses
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.probes import ask, expect_gradient

# ---- a: all triplets of a batch ------------------------------------------------------------------------------

HAND = (  # similarities, picture numbers, margin
    ([[0.8, 0.28, 0.9], [0.96, 0.936, 0.4], [0.8, 0.28, 0.9]], [0, 1, 0], 0.2),
    ([[0.52, 0.61, 0.37], [0.3, 0.7, 0.25], [0.1, 0.47, -0.4]], [0, 1, 0], 0.5),
    ([[0.52, 0.61, 0.37], [0.3, 0.7, 0.25], [0.1, 0.47, -0.4]], [8, 9, 7], 0.5),
    ([[0.3]], [4], 0.2),
)


def _all_triplets(
    scores: Tensor, ids: Tensor, margin: float, negative=None, positive=None, both: bool = True
) -> Tensor:
    """The slow loop; the arguments after `margin` plant mistakes."""
    size, total = len(scores), torch.zeros((), dtype=scores.dtype)
    same = ids[:, None] == ids[None, :]
    positive = same if positive is None else positive
    negative = ~same if negative is None else negative
    for s in (scores, scores.T) if both else (scores,):
        for a in range(size):
            for p in range(size):
                for n in range(size):
                    if positive[a, p] and negative[a, n]:
                        total = total + (margin - s[a, p] + s[a, n]).clamp(min=0)
    return total


def _wrong_triplets(scores: Tensor, ids: Tensor, margin: float) -> dict[str, Tensor]:
    same, eye = ids[:, None] == ids[None, :], torch.eye(len(scores), dtype=torch.bool)
    everything = torch.ones_like(eye)
    right = _all_triplets(scores, ids, margin)
    only = {
        "the positive stays among the negatives: it then adds the margin once for each positive.": _all_triplets(
            scores, ids, margin, negative=everything
        ),
        "the other caption of the same picture counts as a negative, although it describes it.": _all_triplets(
            scores, ids, margin, negative=~eye
        ),
        "only the diagonal counts as a positive: the other captions of the same picture are positives, too.": (
            _all_triplets(scores, ids, margin, positive=eye)
        ),
        "only the diagonal is right, and the other caption of the same picture is wrong; it is right, too.": (
            _all_triplets(scores, ids, margin, positive=eye, negative=~eye)
        ),
        "the pair of the diagonal is left out; it is a positive as well.": _all_triplets(
            scores, ids, margin, positive=same & ~eye
        ),
    }
    return {f"This is what you get if {text}": values for text, values in only.items()} | {
        "This is what you get with one direction only: use the transposed matrix, too.": _all_triplets(
            scores, ids, margin, both=False
        ),
        "This is what you get with margin 0.2 built in: use the argument.": _all_triplets(scores, ids, 0.2),
        "This is half of it: both directions count in full.": right / 2,
    }


def check_a(fn: Callable) -> str:
    """`fn(similarity [B,B], image_ids [B], margin)` -> sum over all triplets of a batch, scalar."""
    for rows, numbers, margin in HAND:
        scores, ids = torch.tensor(rows, dtype=torch.float64), torch.tensor(numbers)
        got = torch.as_tensor(ask(fn, scores, ids, margin))
        expect_shape(got, (), "loss")
        wrong = _wrong_triplets(scores, ids, margin)
        case = f"of similarity {rows}, image_ids {numbers} and margin {margin}"
        expect_close(got, _all_triplets(scores, ids, margin), "loss", wrong, case=case)
    draw = torch.Generator().manual_seed(5)
    scores = 2 * torch.rand(6, 6, generator=draw, dtype=torch.float64) - 1
    ids = torch.tensor([3, 1, 3, 0, 1, 3])
    got = torch.as_tensor(ask(fn, scores.float(), ids, 0.3))
    expect_close(got, _all_triplets(scores, ids, 0.3), "loss", tol=1e-3, case="of six random pairs of three pictures")
    expect_gradient(fn, _all_triplets, scores, ids, 0.3)
    return "With one negative drawn for each pair in place of all of them, this is equation (13)."


# ---- b: the law in log space ---------------------------------------------------------------------------------


def _law(distance: Tensor, allowed: Tensor, n: int) -> Tensor:
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    log_w = torch.where(allowed, log_w, -torch.inf)
    weights = torch.where(allowed, (log_w - log_w.amax(1, keepdim=True)).exp(), 0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)


def _law_late_mask(distance: Tensor, allowed: Tensor, n: int) -> Tensor:
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    weights = (log_w - log_w.amax(1, keepdim=True)).exp() * allowed
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)


def _law_plain(distance: Tensor, allowed: Tensor, n: int) -> Tensor:
    q = distance ** (n - 2) * (1 - distance**2 / 4) ** ((n - 3) / 2)
    weights = torch.where(allowed, 1 / q, 0)
    return weights / weights.sum(1, keepdim=True)


def _law_not_one(distance: Tensor, allowed: Tensor, n: int) -> Tensor:
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    log_w = torch.where(allowed, log_w, -torch.inf)
    return torch.where(allowed, (log_w - log_w.amax(1, keepdim=True)).exp(), 0)


def _law_table_top(distance: Tensor, allowed: Tensor, n: int) -> Tensor:
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    log_w = torch.where(allowed, log_w, -torch.inf)
    weights = torch.where(allowed, (log_w - log_w.max()).exp(), 0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)


def check_b(fn: Callable) -> str:
    """`fn(distance [B,B], allowed bool [B,B], n)` -> probabilities [B,B], zeros in a row without an allowed column."""
    rows = [[0.6, 1.0, 1.5], [1.0, 0.6, 1.5], [1.5, 1.0, 0.6]]
    masks = [[True, True, True], [False, True, True], [False, False, False]]
    distance, allowed = torch.tensor(rows), torch.tensor(masks)
    got = ask(fn, distance, allowed, 3)
    expect_shape(got, (3, 3), "law")
    got, wanted = torch.as_tensor(got), _law(distance, allowed, 3)
    late = _law(distance, torch.ones_like(allowed), 3) * allowed
    for row, known in enumerate((
        {"Divide each row by its sum: probabilities add up to one.": _law_not_one(distance, allowed, 3)[0]},
        {"You mask after the division, so the row does not add up to one: mask first.": late[1]},
    )):  # fmt: skip
        if (got[row][~allowed[row]] > 0).any():
            raise Wrong("A column that is not allowed has a probability above zero; mask with `allowed`.")
        case = f"of a row of distances {rows[row]}, allowed {masks[row]}, n = 3"
        expect_close(got[row], wanted[row], "law", known, case=case)
    if torch.isnan(got[2]).any():
        raise Wrong("A row in which nothing is allowed gives 0 / 0 = nan; wanted a row of zeros.")
    if got[2].any():
        raise Wrong(f"A row in which nothing is allowed adds up to {float(got[2].sum()):.3g} in yours; wanted zeros.")
    rows = [[0.6, 1.2, 1.98], [1.8, 0.9, 1.3], [1.4, 1.95, 1.75]]
    distance, allowed = torch.tensor(rows, dtype=torch.float64), torch.ones(3, 3, dtype=torch.bool)
    got, wanted = torch.as_tensor(ask(fn, distance, allowed, 8)), _law(distance, allowed, 8)
    for row, distances in enumerate(rows):
        case = f"of a row of distances {distances}, all allowed, n = 8"
        expect_close(got[row], wanted[row], "law", case=case)
    # n = 512: first without, then with a near column that is not allowed
    rows = [[0.8, 0.801, 0.9], [1.2, 1.201, 1.3], [1.0, 1.001, 1.1]]
    distance = torch.tensor(rows)
    for forbidden in (False, True):
        allowed = torch.ones(3, 3, dtype=torch.bool)
        if forbidden:
            distance[:, 2], allowed[:, 2] = 0.5, False  # a positive: much nearer than all that is allowed
        got, wanted = torch.as_tensor(ask(fn, distance, allowed, 512)), _law(distance, allowed, 512)
        if not torch.isfinite(got).all():
            raise Wrong(
                "With n = 512 a weight leaves float32 and inf / inf = nan follows: stay with logarithms until the "
                "largest of the row is taken off."
            )
        if forbidden and not got.any():
            raise Wrong(
                "With n = 512 and a column that is not allowed but nearest, all probabilities are 0: take the largest "
                "exponent of a row after the mask, not before the mask."
            )
        table = _law_table_top(distance, allowed, 512)
        for row in range(3):
            numbers = [round(x, 3) for x in distance[row].tolist()]
            case = f"of a row of distances {numbers}, allowed {allowed[row].tolist()}, n = 512"
            known = {
                "With n = 512 the largest exponent of the table makes 0 of other rows: take each row's own.": table[row]
            }
            expect_close(got[row], wanted[row], "law", known, tol=1e-3, case=case)
    one = torch.tensor([[1.0]])
    expect_close(ask(fn, one, one > 0, 512), one, "law", case="of one distance 1.0 that is allowed")
    return "This is `losses.distance_weights`, the clamps apart."


# ---- c: a test for a sampler ---------------------------------------------------------------------------------


def _drawn(kind: str) -> Tensor:
    """Distances in 8 dimensions that a sampler took, between 0.5 and 1.7."""
    draw = torch.Generator().manual_seed(8)
    anchors = torch.nn.functional.normalize(torch.randn(50, 8, generator=draw), dim=1)
    points = torch.nn.functional.normalize(torch.randn(2000, 8, generator=draw), dim=1)
    similarity = anchors @ points.T
    distance = (2 - 2 * similarity).clamp(min=0).sqrt()
    none = torch.zeros_like(similarity, dtype=torch.bool)
    law = {
        "law": losses.distance_weights(similarity, none, dim=8),
        "random": ((distance > 0.5) & (distance < 1.7)).float(),
        "middle": ((distance > 1.0) & (distance < 1.2)).float(),
        "hardest": losses.distance_weights(similarity, none, dim=512),
    }[kind]
    taken = distance.gather(1, torch.multinomial(law, 100, replacement=True, generator=draw)).flatten()
    return taken[taken >= 0.5]


def _even(mean: float, variance: float) -> Tensor:
    """1001 distances spread evenly, with this mean and variance."""
    half = (3 * variance) ** 0.5
    return torch.linspace(mean - half, mean + half, 1001)


def _says(fn: Callable, distances: Tensor, low: float, high: float) -> bool:
    try:
        answer = ask(fn, distances, low, high)
    except (TypeError, AttributeError) as error:  # np.mean and others take no tensor
        try:
            answer = ask(fn, distances.numpy(), low, high)
        except (TypeError, AttributeError):
            raise error from None
    if not isinstance(answer, bool | np.bool_):
        raise Wrong(f"The answer should be True or False, yours is of type {type(answer).__name__}.")
    return bool(answer)


def check_c(fn: Callable) -> str:
    """`fn(distances [N], low, high)` -> True if mean and variance are within 10 % of a uniform law's."""
    exact = (2.0, 1 / 3)  # of a uniform law from 1 to 3
    for low, high, mean, variance, wanted in (
        (1, 3, *exact, True),
        (1, 3, 2.0, 0.2 * exact[1], False),
        (1, 3, 2.0, 3.0 * exact[1], False),
        (1, 3, 1.5, exact[1], False),
        (1, 3, 2.5, exact[1], False),
        (1, 3, 2.0, 0.85 * exact[1], False),
        (1, 3, 2.0, 1.15 * exact[1], False),
        (1, 3, 1.7, exact[1], False),
        (1, 3, 2.3, exact[1], False),
        (1, 3, 2.14, exact[1], True),
        (1, 3, 2.0, 1.07 * exact[1], True),
        (10, 12, 11.5, exact[1], True),
    ):
        distances, middle = _even(mean, variance), (low + high) / 2
        if _says(fn, distances, float(low), float(high)) != wanted:
            off = [round(100 * abs(one / law - 1)) for one, law in ((mean, middle), (variance, exact[1]))]
            raise Wrong(
                f"Distances spread evenly from {distances[0]:.2f} to {distances[-1]:.2f} should "
                f"{'pass' if wanted else 'fail'} for low = {low}, high = {high}: mean {mean:.2f} (law {middle:.2f}, "
                f"{off[0]} % off), variance {variance:.3f} (law {exact[1]:.3f}, {off[1]} % off).",
                "counterexample",
            )
    if not _says(fn, _drawn("law"), 0.5, 1.7):
        raise Wrong("The library's law in 8 dimensions should pass: mean about 1.10, variance about 0.12.")
    for kind, name in (
        ("random", "random negatives"),
        ("middle", "negatives near 1.1 only"),
        ("hardest", "the law with n = 512"),
    ):
        if _says(fn, _drawn(kind), 0.5, 1.7):
            raise Wrong(f"{name.capitalize()} should fail: their distances crowd in one place.")
    return "A test of a random procedure looks at its distribution; a test of the shape would pass all four samplers."


# ---- d: the plateau ------------------------------------------------------------------------------------------


def check_d(answer: float) -> str:
    """Loss of a collapsed batch: 64 pairs, 60 pictures once and 2 pictures twice, margin 0.2."""
    known = {
        25.6: "You counted 64 positives: a picture that stands twice has 2 x 2 right pairs, not 2.",
        13.6: "You counted one direction: pictures look for captions and captions for pictures.",
        24.8: "You counted 62 pictures; count the right (picture, caption) pairs.",
        26.4: "That is 66 right pairs: a picture that stands twice has 2 x 2 of them, not 3.",
        64 * 63 * 2 * 0.2: "One negative is drawn for each positive, not 63.",
        2 * 0.2 * (60 * 63 + 8 * 62): "That is the loss of exercise 05a; here one negative is drawn for each positive.",
        68.0: "That is the number of right pairs; each costs the margin in two directions.",
        51.2: "That is the lesson's batch of 128 pictures; count the right pairs of this one.",
        0.4: "That is the mean over the right pairs; the loss is a sum.",
        0.0: "With equal cosines each triplet still lacks the margin, 0.2.",
    }
    for value, text in known.items():
        if abs(float(answer) - value) < 0.01:
            raise Wrong(text)
    if abs(float(answer) - 27.2) > 0.01:
        text = (
            f"The plateau is not {float(answer):.4g}: count the right pairs; each costs the margin in two directions."
        )
        raise Wrong(text, "generic")
    return "2 x (60 + 2 x 4) x 0.2 = 27.2."


# ---- e: one neighbor batch -----------------------------------------------------------------------------------


def _neighbor_batch(
    labels: np.ndarray, image_of_caption: np.ndarray, clusters: int, images: int, rng: np.random.Generator
) -> np.ndarray:
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(np.flatnonzero(labels == cluster), images, replace=False):
            batch.append(rng.choice(np.flatnonzero(image_of_caption == image)))
    return np.array(batch)


def _batch_of_images(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    return np.concatenate([rng.choice(np.flatnonzero(labels == c), images, replace=False) for c in chosen])


def _batch_with_repeats(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    picked = np.concatenate([rng.choice(np.flatnonzero(labels == c), images) for c in chosen])
    return np.array([rng.choice(np.flatnonzero(image_of_caption == i)) for i in picked])


def _batch_of_captions(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels[image_of_caption] == c), images, replace=False) for c in chosen]
    )


def _batch_first_caption(labels, image_of_caption, clusters, images, rng):
    picked = _batch_of_images(labels, image_of_caption, clusters, images, rng)
    return np.array([np.flatnonzero(image_of_caption == i)[0] for i in picked])


def _batch_same_cluster(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters)
    picked = np.concatenate([rng.choice(np.flatnonzero(labels == c), images, replace=False) for c in chosen])
    return np.array([rng.choice(np.flatnonzero(image_of_caption == i)) for i in picked])


LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0])  # 9, 3 and 3 pictures
OF_CAPTION = np.random.default_rng(1).permutation(np.repeat(np.arange(15), [4, 2, 5] * 5))  # 55 captions, mixed


def _global_states() -> list[Any]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


def _batch_from(
    fn: Callable, labels: np.ndarray, of_caption: np.ndarray, clusters: int, images: int, rng
) -> np.ndarray:
    def short(labels, image_of_caption):
        return fn(labels, image_of_caption, clusters, images, rng)

    batch = np.asarray(ask(short, labels, of_caption))
    expect_shape(batch, (clusters * images,), "batch")
    if batch.dtype.kind not in "iu" or batch.min() < 0 or batch.max() >= len(of_caption):
        raise Wrong(
            f"A batch is {batch.tolist()}; wanted caption numbers from 0 to {len(of_caption) - 1}. The places in "
            "image_of_caption where a picture stands are its captions."
        )
    return batch


def _expect_clusters(batch: np.ndarray, labels: np.ndarray, of_caption: np.ndarray, clusters: int, images: int):
    pictures, case = of_caption[batch], ""
    if len(labels) < 10:
        case = f" for labels {labels.tolist()}, image_of_caption {of_caption.tolist()}, P = {clusters}, K = {images}"
    met, counts = np.unique(labels[pictures], return_counts=True)
    shown = f"The batch {batch.tolist()}{case} shows the pictures {pictures.tolist()} of the clusters "
    shown += str(labels[pictures].tolist())
    if len(met) == clusters and len(set(pictures.tolist())) < len(pictures):
        raise Wrong(f"{shown}: a picture stands twice; draw pictures without repeats, then one caption of each.")
    if len(met) != clusters or set(counts.tolist()) != {images}:
        raise Wrong(
            f"{shown}; wanted {images} of each of {clusters} different clusters.",
            "counterexample" if case else "named",
        )


def check_e(fn: Callable) -> str:
    """`fn(labels [images], image_of_caption [captions], P, K, rng)` -> caption numbers [P*K] of one neighbor batch."""
    before = _global_states()
    few = [_batch_from(fn, LABELS, OF_CAPTION, 2, 3, np.random.default_rng(seed)).tolist() for seed in (5, 5, 6, 7, 8)]
    if _global_states() != before:
        raise Wrong("Your function draws from a global generator (np.random, random or torch); draw with `rng` only.")
    if few[0] != few[1]:
        raise Wrong("Two generators with one seed give two different batches: draw with `rng` only.")
    if all(batch == few[0] for batch in few):
        raise Wrong("Generators with four seeds give the same batch: draw with `rng`.")
    rng = np.random.default_rng(5)
    seen = np.stack([_batch_from(fn, LABELS, OF_CAPTION, 2, 3, rng) for _ in range(400)])
    if seen.max() < len(LABELS):
        raise Wrong("These are picture numbers; the batch should hold caption numbers, one caption for each picture.")
    labels, of_caption = np.array([0, 0, 1, 1]), np.array([2, 0, 3, 1, 0, 2])  # small: to be repeated by hand
    for clusters, images in [(2, 1), (1, 2)] * 20:
        batch = _batch_from(fn, labels, of_caption, clusters, images, rng)
        _expect_clusters(batch, labels, of_caption, clusters, images)
    for batch in seen:
        _expect_clusters(batch, LABELS, OF_CAPTION, 2, 3)
    pictures = OF_CAPTION[seen]
    for what, drawn, number in (
        ("clusters", LABELS[pictures], 3),
        ("pictures", pictures, len(LABELS)),
        ("captions", seen, len(OF_CAPTION)),
    ):
        missing = sorted(set(range(number)) - set(drawn.flatten().tolist()))
        if missing:
            raise Wrong(f"In 400 batches {len(missing)} of the {number} {what} never came: each must have a chance.")
    share = np.bincount(LABELS[pictures].flatten()) / (3 * len(seen))
    if np.abs(share - 2 / 3).max() > 0.13:
        raise Wrong(
            f"Of 400 batches {np.round(100 * share).astype(int).tolist()} % held cluster 0, 1 and 2 (9, 3 and 3 "
            "pictures); wanted 67 % each: clusters are equally likely, whatever their size.",
            "counterexample",
        )
    return "The library also keeps a shuffled pile for each cluster, so that pictures are seen equally often."


MISTAKES = [
    (
        "a",
        "positive-kept",
        lambda s, i, m: _all_triplets(s, i, m, negative=torch.ones_like(s, dtype=torch.bool)),
        "stays among",
    ),
    (
        "a",
        "same-image",
        lambda s, i, m: _all_triplets(s, i, m, negative=~torch.eye(len(s), dtype=torch.bool)),
        "same picture counts as a negative",
    ),
    ("a", "one-direction", lambda s, i, m: _all_triplets(s, i, m, both=False), "one direction only"),
    (
        "a",
        "diagonal",
        lambda s, i, m: _all_triplets(s, i, m, positive=torch.eye(len(s), dtype=torch.bool)),
        "only the diagonal",
    ),
    ("a", "vector", lambda s, i, m: s[0], "shape"),
    (
        "b",
        "plain-powers",
        lambda d, a, n: torch.nan_to_num(_law_plain(d, a, n)) if n == 3 else _law_plain(d, a, n),
        "logarithms",
    ),
    ("b", "late-mask", _law_late_mask, "before the mask"),
    ("b", "empty-row", _law_plain, "0 / 0"),
    ("b", "not-normalized", _law_not_one, "add up to one"),
    ("b", "no-mask", lambda d, a, n: _law(d, torch.ones_like(a), n), "mask with"),
    ("c", "mean-only", lambda d, low, high: abs(float(d.mean()) / ((low + high) / 2) - 1) < 0.1, "variance 0.067"),
    (
        "c",
        "variance-only",
        lambda d, low, high: abs(float(d.var()) * 12 / (high - low) ** 2 - 1) < 0.1,
        "mean 1.50",
    ),
    ("c", "always", lambda d, low, high: True, "should fail"),
    ("c", "never", lambda d, low, high: False, "should pass"),
    ("c", "number", lambda d, low, high: float(d.mean()), "True or False"),
    ("d", "pairs", 25.6, "stands twice"),
    ("d", "one-direction", 13.6, "one direction"),
    ("d", "pictures", 24.8, "62 pictures"),
    ("e", "images", _batch_of_images, "picture numbers"),
    ("e", "repeats", _batch_with_repeats, "stands twice"),
    ("e", "two-captions", _batch_of_captions, "stands twice"),
    ("e", "first-caption", _batch_first_caption, "captions never came"),
    ("e", "same-cluster", _batch_same_cluster, "different clusters"),
]
