"""Slow loops written from the equations: the oracles for the fast code. One section a module."""

from __future__ import annotations

import math

import numpy as np

# ------------------------------------------------------------------------ regions (hrem_lib.sample_world.detector)


def roi_align_loop(maps, boxes, cells, stride):
    """Crop and resize by the definition: every cell the mean of 2 x 2 bilinear samples. Lists or arrays in and out.

    maps [C, H, W], boxes [N, 4] in pixels, samples at cell quarters, map centers at (i + 0.5) * stride.
    """
    maps, boxes = np.asarray(maps, dtype=np.float64), np.asarray(boxes, dtype=np.float64)
    channels, height, width = maps.shape
    out = np.zeros((len(boxes), channels, cells, cells))
    for n, (x0, y0, x1, y1) in enumerate(boxes):
        for i in range(cells):
            for j in range(cells):
                for a in (0.25, 0.75):
                    for b in (0.25, 0.75):
                        y = min(max((y0 + (y1 - y0) * (i + a) / cells) / stride - 0.5, 0), height - 1)
                        x = min(max((x0 + (x1 - x0) * (j + b) / cells) / stride - 0.5, 0), width - 1)
                        top, left = min(int(y), height - 2), min(int(x), width - 2)
                        dy, dx = y - top, x - left
                        for c in range(channels):
                            m = maps[c]
                            value = (1 - dy) * ((1 - dx) * m[top, left] + dx * m[top, left + 1])
                            value += dy * ((1 - dx) * m[top + 1, left] + dx * m[top + 1, left + 1])
                            out[n, c, i, j] += value / 4
    return out


# --------------------------------------------------------- model (pooling, attention, graph, interaction, losses)
# Nested lists or arrays in, Python numbers out: one loop an index of the equation.


def max_k_loop(x, mask, k):
    """Mean of the min(k, valid) largest values of each dimension. x [B,n,D], mask [B,n] -> [B,D]."""
    out = []
    for sample, valid in zip(x, mask, strict=True):
        kept = [row for row, real in zip(sample, valid, strict=True) if real]
        count = min(k, len(kept))
        out.append([sum(sorted((row[d] for row in kept), reverse=True)[:count]) / count for d in range(len(kept[0]))])
    return out


def attention_loop(query, key, value, connection, relevance, weight):
    """(12) for one head: softmax over the connected columns of q.k / sqrt(d) + weight S. All [n,d], [n,n] -> [n,d]."""
    width, out = len(query[0]), []
    for i, q in enumerate(query):
        columns = [j for j in range(len(key)) if connection[i][j]]
        dots = [sum(a * b for a, b in zip(q, key[j], strict=True)) for j in columns]
        powers = [np.exp(d / width**0.5 + weight * relevance[i][j]) for d, j in zip(dots, columns, strict=True)]
        shares = [p / sum(powers) for p in powers]
        out.append([
            sum(share * value[j][d] for share, j in zip(shares, columns, strict=True)) for d in range(len(value[0]))
        ])  # fmt: skip
    return out


def match_loop(regions, words, region_mask, word_mask, k, matching):
    """(6) and (8), four loops: image, text, region, word. Real fragments only, so padding cannot matter.

    Returns p_i2t[i][j], p_t2i[j][i], q_i2t[i][j], q_t2i[j][i].
    """
    regions, words = np.asarray(regions, np.float64), np.asarray(words, np.float64)
    n_images, n_texts = len(regions), len(words)
    p_i2t, p_t2i = np.zeros((n_images, n_texts)), np.zeros((n_texts, n_images))
    q_i2t, q_t2i = np.zeros((n_images, n_texts, k)), np.zeros((n_texts, n_images, k))
    for i in range(n_images):
        for j in range(n_texts):
            real_r, real_w = np.flatnonzero(region_mask[i]), np.flatnonzero(word_mask[j])
            score = np.zeros((len(real_r), len(real_w)))
            for a, m in enumerate(real_r):
                for b, n in enumerate(real_w):
                    r, c = regions[i, m], words[j, n]
                    s = float(r @ c) / (np.sqrt(r @ r) * np.sqrt(c @ c))
                    score[a, b] = s if matching == "cosine" or s > 0 else 0.1 * s
            over_regions = over_words = score
            if matching == "scan":
                over_regions = score / np.sqrt((score**2).sum(0, keepdims=True))  # before the best word
                over_words = score / np.sqrt((score**2).sum(1, keepdims=True))  # before the best region
            best_word = sorted((max(row) for row in over_regions), reverse=True)
            best_region = sorted((max(column) for column in over_words.T), reverse=True)
            p_i2t[i, j], p_t2i[j, i] = np.mean(best_word), np.mean(best_region)
            for target, best in ((q_i2t[i, j], best_word), (q_t2i[j, i], best_region)):
                target[: min(k, len(best))] = best[:k]
    return p_i2t, p_t2i, q_i2t, q_t2i


def weights_loop(similarity, ids, dim, cutoff, min_distance):
    """Distance-weighted law of each row over its admissible negatives, in exact proportion (Wu et al.)."""
    size = len(ids)
    out = np.zeros((size, size))
    for i in range(size):
        logs = {}
        for j in range(size):
            distance = max(np.sqrt(max(2 - 2 * similarity[i][j], 0.0)), min_distance)
            if ids[i] != ids[j] and distance < cutoff:
                logs[j] = (2 - dim) * np.log(distance) - (dim - 3) / 2 * np.log(1 - distance**2 / 4)
        for j in logs:
            out[i, j] = 1 / sum(np.exp(min(other - logs[j], 700.0)) for other in logs.values())
    return out


def triplet_loop(similarity, ids, margin, negatives):
    """(13), one direction, three loops: anchor, positive, and the negative that `negatives(anchor, positive)` names."""
    total = 0.0
    for a in range(len(ids)):
        for p in range(len(ids)):
            if ids[a] != ids[p]:
                continue
            for n in range(len(ids)):
                if n == negatives(a, p):
                    total += max(0.0, margin - similarity[a][p] + similarity[a][n])
    return total


def hinge_loop(similarity, ids, margin, hardest, exclude_same_image):
    """VSE++ hinge over both directions."""
    total, size = 0.0, len(ids)
    for scores in (similarity, [list(column) for column in zip(*similarity, strict=True)]):
        for i in range(size):
            costs = [0.0]
            for j in range(size):
                if j == i or (exclude_same_image and ids[i] == ids[j]):
                    continue
                costs.append(max(0.0, margin + scores[i][j] - scores[i][i]))
            total += max(costs) if hardest else sum(costs)
    return total


def infonce_loop(similarity, ids, logit_scale, exclude_same_image):
    """Cross-entropy of the right candidate over both directions; the inverse temperature is at most 100."""
    total, size, inverse = 0.0, len(ids), min(math.exp(logit_scale), 100.0)
    for scores in (similarity, [list(column) for column in zip(*similarity, strict=True)]):
        for i in range(size):
            weights = 0.0
            for j in range(size):
                if j == i or not exclude_same_image or ids[i] != ids[j]:
                    weights += math.exp(inverse * (scores[i][j] - scores[i][i]))
            total += math.log(weights)
    return total


# ---------------------------------------------------------------------------------- sampling (hrem_lib.sampling)


def merge_loop(labels, centers, smallest):
    """Each item's cluster after clusters below `smallest` joined the nearest large one, the first of equally near."""
    large = [c for c in range(len(centers)) if sum(label == c for label in labels) >= smallest]
    if not large:
        return [0] * len(labels)
    out = []
    for label in labels:
        distance = [sum((a - b) ** 2 for a, b in zip(centers[label], centers[c], strict=True)) for c in large]
        out.append(large.index(label) if label in large else distance.index(min(distance)))
    return out


# ------------------------------------------------------------------------------ evaluation (hrem_lib.metrics)


def ranks_loop(similarity, image_of_caption, ties_against_us=True):
    """Ranks by definition, no sort: wrong items at or above the right one (or strictly above: the other bound)."""
    n_images, n_captions = len(similarity), len(image_of_caption)

    def beats(wrong, right):
        return wrong >= right if ties_against_us else wrong > right

    i2t, t2i = [], []
    for i in range(n_images):
        best = max(similarity[i][j] for j in range(n_captions) if image_of_caption[j] == i)
        i2t.append(sum(beats(similarity[i][j], best) for j in range(n_captions) if image_of_caption[j] != i))
    for j in range(n_captions):
        right = similarity[image_of_caption[j]][j]
        t2i.append(sum(beats(similarity[i][j], right) for i in range(n_images) if i != image_of_caption[j]))
    return i2t, t2i


def bootstrap_loop(i2t_ranks, t2i_ranks, image_of_caption, draws):
    """R@1, R@5, R@10 i2t, the same t2i, for each list of drawn images: a split is built image by image."""
    out = []
    for drawn in draws:
        i2t = [i2t_ranks[i] for i in drawn]
        t2i = [t2i_ranks[j] for i in drawn for j in range(len(t2i_ranks)) if image_of_caption[j] == i]
        out.append([100 * sum(r < k for r in found) / len(found) for found in (i2t, t2i) for k in (1, 5, 10)])
    return out


def precision_at_r_loop(scores, relevant):
    """R-Precision and mAP@R, one query and one answer at a time; among equal scores the wrong answers come first."""
    found = []
    for row, right in zip(scores, relevant, strict=True):
        r = sum(bool(x) for x in right)
        if not r:
            continue
        order = sorted(range(len(row)), key=lambda j: (-row[j], bool(right[j])))
        seen, weighted = 0, 0.0
        for place, j in enumerate(order[:r], start=1):
            if right[j]:
                seen += 1
                weighted += seen / place
        found.append((seen / r, weighted / r))
    return {"R-P": 100 * sum(a for a, _ in found) / len(found), "mAP@R": 100 * sum(b for _, b in found) / len(found)}
