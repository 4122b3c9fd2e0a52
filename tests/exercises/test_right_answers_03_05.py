"""Right answers to the exercises of lessons 03 to 05 in several forms: none may be refused."""

import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hrem_lib import exercises

SOURCES = Path(__file__).resolve().parents[2] / "notebooks" / "source"
RIGHT = []


def right(exercise):
    """The decorated function is a right answer."""

    def keep(function):
        RIGHT.append((exercise, function))
        return function

    return keep


@right("03a")
def by_loops_into_float32(regions, words):
    out = torch.zeros(len(regions), len(words), regions.size(1), words.size(1))
    for i, region in enumerate(regions):
        for j, word in enumerate(words):
            out[i, j] = (region @ word.T) / (region.norm(dim=1)[:, None] * word.norm(dim=1))
    return out


@right("03a")
def by_broadcasting(regions, words):
    return F.cosine_similarity(regions[:, None, :, None], words[None, :, None], dim=-1)


@right("03a")
def by_numpy(regions, words):
    a, b = regions.numpy(), words.numpy()
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return np.einsum("ird,jld->ijrl", a, b)


@right("03b")
def by_argsort(scores, share):
    keep = max(1, math.floor(share * len(scores)))
    out = torch.zeros(scores.shape, dtype=torch.bool)
    for row, order in enumerate(torch.argsort(-scores, dim=1, stable=True)):
        out[row, order[:keep]] = True
    return out


@right("03b")
def by_ranks(scores, share):
    above = scores[:, None, :] > scores[:, :, None]
    before = torch.ones(scores.shape, dtype=torch.bool).tril(-1)
    rank = (above | ((scores[:, None, :] == scores[:, :, None]) & before)).sum(2)
    return rank < max(1, int(share * scores.size(1)))


@right("03b")
def by_numpy_lexsort(scores, share):
    order = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, : max(1, int(share * len(scores)))]
    out = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(out, order, True, axis=1)
    return out


@right("03c")
def by_slices(i2i, i2t, t2i, t2t):
    b = len(i2i)
    out = torch.empty(2 * b, 2 * b, dtype=i2i.dtype)
    out[:b, :b], out[:b, b:], out[b:, :b], out[b:, b:] = i2i, i2t, t2i, t2t
    return out


@right("03d")
def by_loop_into_float32(best, mask, k):
    out = torch.zeros(len(best), k)
    for i, (row, real) in enumerate(zip(best, mask, strict=True)):
        kept = row[real].sort(descending=True).values[:k]
        out[i, : len(kept)] = kept
    return out


@right("03d")
def by_sort_and_second_mask(best, mask, k):
    filled = torch.where(mask, best, -torch.inf).sort(dim=1, descending=True).values
    filled = torch.cat([filled, torch.full((len(best), k), -torch.inf)], 1)[:, :k]
    return torch.where(torch.isinf(filled), 0.0, filled)


@right("03e")
def by_kl_div(scores, guide):
    return F.kl_div(guide.log_softmax(1), scores.log_softmax(1), reduction="batchmean", log_target=True)


@right("03e")
def with_a_detached_guide(scores, guide):
    log_p, log_g = F.log_softmax(scores, 1), F.log_softmax(guide.detach(), 1)
    return torch.stack([(a.exp() * (a - b)).sum() for a, b in zip(log_p, log_g, strict=True)]).mean()


@right("04a")
def by_masked_fill(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(~connection, -torch.inf).softmax(-1)


@right("04a")
def by_exp_without_the_largest(scores, connection, relevance, weight):
    total = scores + weight * relevance
    largest = total.masked_fill(~connection, -torch.inf).amax(1, keepdim=True)
    part = torch.where(connection, (total - largest).clamp(max=0).exp(), 0)
    return part / part.sum(1, keepdim=True)


@right("04b")
def by_the_inverse_order(layer, v, u, bias, order):
    both = torch.cat([order, order + len(v)])
    new = layer(v[order], u[order], bias[both[:, None], both])
    old = layer(v, u, bias)
    back = torch.argsort(order)
    return all((a - b[back]).abs().max().item() < 1e-5 for a, b in zip(old[:2], new[:2], strict=True))


@right("04b")
def by_numpy_bool(layer, v, u, bias, order):
    n = len(order)
    new_bias = torch.empty_like(bias)
    nodes = [*order.tolist(), *(order + n).tolist()]
    for i, one in enumerate(nodes):
        for j, other in enumerate(nodes):
            new_bias[i, j] = bias[one, other]
    old, new = layer(v, u, bias), layer(v[order], u[order], new_bias)
    off = [np.abs(a[order].numpy() - b.numpy()).max() for a, b in zip(old[:2], new[:2], strict=True)]
    return np.max(off) < 1e-5


@right("04c")
def by_and(connection, node):
    keep = torch.ones_like(connection)
    keep[:, node] = torch.arange(len(connection)) == node
    return connection & keep


@right("05a")
def by_gather(similarity, image_ids, margin):
    total = similarity.sum() * 0
    for s in (similarity, similarity.T):
        for anchor in range(len(s)):
            same = image_ids == image_ids[anchor]
            total = total + F.relu(margin - s[anchor, same][:, None] + s[anchor, ~same][None]).sum()
    return total


@right("05a")
def by_loops_that_start_at_a_number(similarity, image_ids, margin):
    total, n = 0.0, len(similarity)
    for s in (similarity, similarity.T):
        for a in range(n):
            for p in range(n):
                for q in range(n):
                    if image_ids[a] == image_ids[p] and image_ids[a] != image_ids[q]:
                        total = total + torch.relu(margin - s[a, p] + s[a, q])
    return total


@right("05b")
def by_softmax(distance, allowed, n):
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    return log_w.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@right("05b")
def by_logsumexp_in_float64(distance, allowed, n):
    distance = distance.double()
    log_w = (2 - n) * distance.log() - 0.5 * (n - 3) * torch.log1p(-(distance**2) / 4)
    out = torch.zeros(distance.shape, dtype=torch.float64)
    for row, real in enumerate(allowed):
        if real.any():
            out[row, real] = (log_w[row, real] - torch.logsumexp(log_w[row, real], 0)).exp()
    return out


@right("05c")
def by_numpy_mean_and_population_variance(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return abs(np.mean(distances) - mean) < 0.1 * mean and abs(np.var(distances) - variance) < 0.1 * variance


@right("05c")
def by_statistics(distances, low, high):
    values, law = distances.tolist(), ((low + high) / 2, (high - low) ** 2 / 12)
    found = statistics.fmean(values), statistics.variance(values)
    return all(0.9 <= one / other <= 1.1 for one, other in zip(found, law, strict=True))


@right("05c")
def by_population_variance_in_torch(distances, low, high):
    variance = torch.var(distances, correction=0).item()
    return (
        abs(torch.mean(distances).item() / (low + high) * 2 - 1) < 0.1 and 0.9 < variance * 12 / (high - low) ** 2 < 1.1
    )


@right("05e")
def by_permutation(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.permutation(np.unique(labels))[:clusters]:
        for image in rng.permutation(np.where(labels == cluster)[0])[:images]:
            own = np.where(image_of_caption == image)[0]
            batch.append(int(own[rng.integers(len(own))]))
    return batch


@right("05e")
def by_shuffled_captions(labels, image_of_caption, clusters, images, rng):
    """The first `images` pictures met in shuffled captions would favor those with many captions."""
    order = np.arange(len(image_of_caption))
    rng.shuffle(order)
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    pictures = [rng.choice(np.flatnonzero(labels == c), images, replace=False, shuffle=False) for c in chosen]
    return np.array([next(c for c in order if image_of_caption[c] == picture) for picture in np.concatenate(pictures)])


VALUES = [
    (
        "03e",
        lambda scores, guide: (scores.softmax(1) * (scores.log_softmax(1) - guide.log_softmax(1))).sum() / len(scores),
    ),
    ("04d", [False, True, True, True]),
    ("04d", (0, 1, 1, 1)),
    ("04e", (4.0 * 128**2, 4 * 128**2, np.int64(6 * 2**20), 20 * 2**20)),
    ("05d", torch.tensor(27.2)),
    ("05d", np.float32(27.2)),
]


@pytest.mark.parametrize(("exercise", "answer"), RIGHT + VALUES)
def test_right_answers_in_other_forms(exercise, answer):
    kind, text = exercises.judge(exercise, answer)
    assert kind == "right", text


@pytest.mark.parametrize("lesson", ["03", "04", "05"])
def test_solutions_of_the_lessons(lesson):
    found = []
    (source,) = SOURCES.glob(f"{lesson}_*.py")
    names = {"torch": torch, "np": np, "F": F, "check": lambda *answer: found.append(exercises.judge(*answer))}
    cells = re.split(r"^# %%(.*)\n", source.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for tags, cell in zip(cells[1::2], cells[2::2], strict=True):
        if "exercise" in tags and "markdown" not in tags:
            exec(cell, names)
    assert len(found) == 5 and {kind for kind, _ in found} == {"right"}, found
