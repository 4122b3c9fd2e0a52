"""Checks of notebook 05: sampling and losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hrem_lib import losses
from hrem_lib.exercises import Wrong, expect_close, expect_shape

# ---- a: all triplets of a batch ------------------------------------------------------------------------------

HAND = torch.tensor([[0.8, 0.28, 0.9], [0.96, 0.936, 0.4], [0.8, 0.28, 0.9]], dtype=torch.float64)
HAND_IDS = torch.tensor([0, 1, 0])


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
    eye = torch.eye(len(scores), dtype=torch.bool)
    everything = torch.ones_like(eye)
    return {
        "This is what you get if the positive stays among the negatives: it then adds the margin once for each "
        "positive.": _all_triplets(scores, ids, margin, negative=everything),
        "This is what you get if the other caption of the same picture counts as a negative, although it "
        "describes it.": _all_triplets(scores, ids, margin, negative=~eye),
        "This is what you get with one direction only: use the transposed matrix, too.": _all_triplets(
            scores, ids, margin, both=False
        ),
        "This is what you get if only the diagonal counts as a positive: the other captions of the same picture are "
        "positives, too.": _all_triplets(scores, ids, margin, positive=eye),
    }


def check_a(fn: Callable) -> str:
    """`fn(similarity [B,B], image_ids [B], margin)` -> sum over all triplets of a batch, scalar."""
    got = fn(HAND.clone(), HAND_IDS.clone(), 0.2)
    expect_shape(got, (), "loss")
    expect_close(
        got, _all_triplets(HAND, HAND_IDS, 0.2), "loss of the hand example", _wrong_triplets(HAND, HAND_IDS, 0.2)
    )
    draw = torch.Generator().manual_seed(5)
    for size in (1, 6):
        scores = torch.rand(size, size, generator=draw, dtype=torch.float64)
        ids = torch.randint(0, 4, (size,), generator=draw)
        wrong = _wrong_triplets(scores, ids, 0.3)
        expect_close(fn(scores, ids, 0.3), _all_triplets(scores, ids, 0.3), f"loss of {size} random pairs", wrong)
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


def check_b(fn: Callable) -> str:
    """`fn(distance [B,B], allowed bool [B,B], n)` -> probabilities [B,B], zeros in a row without an allowed column."""
    distance = torch.tensor([[0.6, 1.0, 1.5], [1.0, 0.6, 1.5], [1.5, 1.0, 0.6]])
    allowed = torch.tensor([[True, True, True], [False, True, True], [False, False, False]])
    got = fn(distance.clone(), allowed.clone(), 3)
    expect_shape(got, (3, 3), "law")
    known = {"Divide each row by its sum: probabilities add up to one.": _law_not_one(distance, allowed, 3)[0]}
    expect_close(got[0], [0.5, 0.3, 0.2], "law of the hand example (n = 3)", known)
    if torch.isnan(got[2]).any():
        raise Wrong("A row in which nothing is allowed gives 0 / 0 = nan; wanted a row of zeros.")
    if float(got[1, 0]) > 0 or float(got[2].sum()) > 0:
        raise Wrong("A column that is not allowed has a probability above zero; mask with `allowed`.")
    draw = torch.Generator().manual_seed(5)
    distance = 0.7 + torch.rand(6, 9, generator=draw)
    distance[:, 0] = 0.5  # a positive: much nearer than all that is allowed
    allowed = torch.ones(6, 9, dtype=torch.bool)
    allowed[:, 0] = False
    got, wanted = fn(distance.clone(), allowed.clone(), 512), _law(distance, allowed, 512)
    if not torch.isfinite(got).all():
        raise Wrong("With n = 512 a power leaves float32 and inf / inf = nan follows; work with logarithms throughout.")
    known = {
        "The largest exponent was taken before the mask: a forbidden column sets it, and every allowed weight of its "
        "row becomes 0.": _law_late_mask(distance, allowed, 512)
    }
    expect_close(got, wanted, "law for n = 512", known, tol=1e-4)
    return "This is `losses.distance_weights`, the clamps apart."


# ---- c: a test for a sampler ---------------------------------------------------------------------------------


def _uniform_distances(distances: Tensor, low: float, high: float, tolerance: float = 0.1) -> bool:
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    close_mean = abs(float(distances.mean()) / mean - 1) < tolerance
    return close_mean and abs(float(distances.var()) / variance - 1) < tolerance


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


def check_c(fn: Callable) -> str:
    """`fn(distances [N], low, high)` -> True if mean and variance are within 10 % of a uniform law's."""
    exact = torch.linspace(1.0, 3.0, 1001)
    if not isinstance(fn(exact, 1.0, 3.0), bool | np.bool_):
        raise Wrong(f"The answer should be True or False, yours is of type {type(fn(exact, 1.0, 3.0)).__name__}.")
    if not fn(exact, 1.0, 3.0):
        raise Wrong("Distances spread evenly from 1 to 3 should pass: mean 2, variance (3 - 1)² / 12 = 0.333.")
    if not fn(_drawn("law"), 0.5, 1.7):
        raise Wrong("The library's law in 8 dimensions should pass: mean about 1.10, variance about 0.12.")
    if fn(_drawn("middle"), 0.5, 1.7):
        raise Wrong(
            "A sampler that takes distances near 1.1 only should fail: its mean is right, so test the variance, too."
        )
    spread = torch.linspace(1.2, 2.4, 500)
    if fn(spread, 0.5, 1.7):
        raise Wrong(
            "Distances from 1.2 to 2.4 should fail for 0.5 to 1.7: their variance is right, so test the mean, too."
        )
    for kind, name in (("random", "random negatives"), ("hardest", "the law with n = 512")):
        if fn(_drawn(kind), 0.5, 1.7):
            raise Wrong(f"{name.capitalize()} should fail: their distances crowd in one place.")
    return "A test of a random procedure looks at its distribution; a test of the shape would pass all four samplers."


# ---- d: the plateau ------------------------------------------------------------------------------------------


def check_d(answer: float) -> str:
    """Loss of a collapsed batch: 64 pairs, 60 pictures once and 2 pictures twice, margin 0.2."""
    known = {
        "You counted 64 positives: a picture that stands twice has 2 x 2 right pairs, not 2.": 25.6,
        "You counted one direction: pictures look for captions and captions for pictures.": 13.6,
        "You counted 62 pictures; count the right (picture, caption) pairs.": 24.8,
        "One negative is drawn for each positive, not 63.": 64 * 63 * 2 * 0.2,
    }
    expect_close(float(answer), 27.2, "plateau", known, tol=0.01)
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


def check_e(fn: Callable) -> str:
    """`fn(labels [images], image_of_caption [captions], P, K, rng)` -> caption numbers [P*K] of one neighbor batch."""
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 0])  # 5, 4 and 3 images
    image_of_caption = np.repeat(np.arange(12), 5)
    rng, seen = np.random.default_rng(5), []
    for _ in range(200):
        batch = np.asarray(fn(labels.copy(), image_of_caption.copy(), 2, 3, rng))
        expect_shape(batch, (6,), "batch")
        if batch.min() < 0 or batch.max() >= 60 or batch.dtype.kind not in "iu":
            raise Wrong("The batch should hold caption numbers from 0 to 59.")
        seen.append(batch)
    seen = np.stack(seen)
    if seen.max() < 12:
        raise Wrong("These are picture numbers; the batch should hold caption numbers, one caption for each picture.")
    for batch in seen:
        images = image_of_caption[batch]
        clusters, counts = np.unique(labels[images], return_counts=True)
        if len(clusters) < 2:
            raise Wrong("A batch came from one cluster: draw P different clusters.")
        if len(set(images.tolist())) < 6:
            raise Wrong("A picture stands twice in a batch: draw pictures without repeats, then one caption of each.")
        if set(counts) != {3} or len(clusters) != 2:
            raise Wrong(f"A batch has {counts.tolist()} pictures of its clusters, wanted [3, 3].")
    if len(np.unique(seen)) < 60:
        raise Wrong(
            f"In 200 batches only {len(np.unique(seen))} of the 60 captions came up: draw the caption at random, too."
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
    ("c", "mean-only", lambda d, low, high: abs(float(d.mean()) / ((low + high) / 2) - 1) < 0.1, "test the variance"),
    (
        "c",
        "variance-only",
        lambda d, low, high: abs(float(d.var()) * 12 / (high - low) ** 2 - 1) < 0.1,
        "test the mean",
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
    ("e", "first-caption", _batch_first_caption, "at random, too"),
    ("e", "same-cluster", _batch_same_cluster, "one cluster"),
]
