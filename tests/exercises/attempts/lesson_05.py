"""Wrong answers to the exercises of lesson 05, written by somebody who had not read the checks."""
# ruff: noqa: F811  every attempt has the name that the exercise gives it

import numpy as np
import torch
import torch.nn.functional as F
from exercises.attempts import attempt, attempt_value

# what the lesson's cells have left behind in the notebook
ids = torch.tensor([0, 1, 0])
margin_of_lesson = 0.2

# ---- 05a: all triplets of a batch ----


def triplets(similarity, positive, negative, margin):
    """Both directions, for given tables of positives and negatives."""
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[:, None, :]).clamp(min=0)
        total = total + (lacking * positive[:, :, None] * negative[:, None, :]).sum()
    return total


@attempt("05a", "pictures look for captions only, not captions for pictures")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    lacking = (margin - similarity[:, :, None] + similarity[:, None, :]).clamp(min=0)
    return (lacking * same[:, :, None] * ~same[:, None, :]).sum()


@attempt("05a", "mean over the table instead of the sum")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[:, None, :]).clamp(min=0)
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).mean()
    return total


@attempt("05a", "the diagonal is right and all else is wrong: a picture's second caption is a negative")
def all_triplets(similarity, image_ids, margin):
    eye = torch.eye(len(similarity), dtype=torch.bool)
    return triplets(similarity, eye, ~eye, margin)


@attempt("05a", "only the diagonal is a positive, a picture's second caption is neither")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, torch.eye(len(similarity), dtype=torch.bool), ~same, margin)


@attempt("05a", "the second caption of a picture is a positive and a negative")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, same, ~torch.eye(len(similarity), dtype=torch.bool), margin)


@attempt("05a", "an anchor's own pair is left out, as in losses of one modality")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, same & ~torch.eye(len(similarity), dtype=torch.bool), ~same, margin)


@attempt("05a", "margin 0.2 in place of the argument")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, same, ~same, margin_of_lesson)


@attempt("05a", "no clamp: content triplets count negative")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = margin - s[:, :, None] + s[:, None, :]
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return total


@attempt("05a", "clamped after the sum over negatives")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[:, None, :]) * same[:, :, None] * ~same[:, None, :]
        total = total + lacking.sum(2).clamp(min=0).sum()
    return total


@attempt("05a", "positive and negative exchanged in the hinge")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin + s[:, :, None] - s[:, None, :]).clamp(min=0)
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return total


@attempt("05a", "the hardest negative of each pair alone")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[:, None, :]).clamp(min=0)
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).amax(2).sum()
    return total


@attempt("05a", "the negative's cosine is taken from another row than the anchor's")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[None, :, :]).clamp(min=0)
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return total


@attempt("05a", "the positive is always the diagonal's cosine")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s.diagonal()[:, None, None] + s[:, None, :]).clamp(min=0)
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return total


@attempt("05a", "numpy in the middle: the loss has no gradient")
def all_triplets(similarity, image_ids, margin):
    s, numbers = similarity.detach().numpy(), image_ids.numpy()
    same = numbers[:, None] == numbers[None, :]
    total = 0.0
    for table in (s, s.T):
        lacking = np.maximum(margin - table[:, :, None] + table[:, None, :], 0)
        total += (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return torch.tensor(total)


@attempt("05a", "picture numbers must be smaller than the batch")
def all_triplets(similarity, image_ids, margin):
    one_hot = F.one_hot(image_ids, len(image_ids))
    same = (one_hot @ one_hot.T).bool()
    return triplets(similarity, same, ~same, margin)


@attempt("05a", "reads the lesson's variable ids")
def all_triplets(similarity, image_ids, margin):
    same = ids[:, None] == ids[None, :]
    return triplets(similarity, same, ~same, margin)


@attempt("05a", "halved, as if each triplet were counted twice")
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, same, ~same, margin) / 2


@attempt("05a", "the same picture only if the two rows are neighbors")
def all_triplets(similarity, image_ids, margin):
    group = torch.cat([torch.zeros(1, dtype=torch.long), (image_ids[1:] != image_ids[:-1]).long().cumsum(0)])
    same = group[:, None] == group[None, :]
    return triplets(similarity, same, ~same, margin)


@attempt("05a", "the result has the shape [1]", arguable=True)
def all_triplets(similarity, image_ids, margin):
    same = image_ids[:, None] == image_ids[None, :]
    return triplets(similarity, same, ~same, margin).reshape(1)


# ---- 05b: the law in log space ----


def exponents(distance, n):
    return (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()


def shares(weights):
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)


@attempt("05b", "the largest exponent is taken before the mask")
def law_in_log_space(distance, allowed, n):
    log_w = exponents(distance, n)
    weights = (log_w - log_w.amax(1, keepdim=True)).exp() * allowed
    return shares(weights)


@attempt("05b", "exponents that are not allowed become 0 and are drawn all the same")
def law_in_log_space(distance, allowed, n):
    return (exponents(distance, n) * allowed).softmax(1)


@attempt("05b", "rows in which nothing is allowed become NaN")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, n).masked_fill(~allowed, -torch.inf).softmax(1)


@attempt("05b", "rows in which nothing is allowed become uniform")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, n).masked_fill(~allowed, -1e9).softmax(1)


@attempt("05b", "rows in which nothing is allowed are left out")
def law_in_log_space(distance, allowed, n):
    rows = allowed.any(1)
    return exponents(distance, n)[rows].masked_fill(~allowed[rows], -torch.inf).softmax(1)


@attempt("05b", "the largest exponent of the whole table: other rows leave the range of numbers")
def law_in_log_space(distance, allowed, n):
    log_w = exponents(distance, n).masked_fill(~allowed, -torch.inf)
    return shares((log_w - log_w.max()).exp())


@attempt("05b", "columns add up to one instead of rows")
def law_in_log_space(distance, allowed, n):
    log_w = exponents(distance, n).masked_fill(~allowed, -torch.inf)
    weights = (log_w - log_w.amax(0, keepdim=True)).exp().nan_to_num(0)
    return weights / weights.sum(0, keepdim=True).clamp(min=1e-30)


@attempt("05b", "not divided by the sum")
def law_in_log_space(distance, allowed, n):
    log_w = exponents(distance, n).masked_fill(~allowed, -torch.inf)
    return (log_w - log_w.amax(1, keepdim=True)).exp().nan_to_num(0)


@attempt("05b", "by powers, with NaN for a large n")
def law_in_log_space(distance, allowed, n):
    q = distance ** (n - 2) * (1 - distance**2 / 4) ** ((n - 3) / 2)
    return shares(torch.where(allowed, 1 / q, 0))


@attempt("05b", "by powers, and NaN becomes 0")
def law_in_log_space(distance, allowed, n):
    weights = (1 / (distance ** (n - 2) * (1 - distance**2 / 4) ** ((n - 3) / 2))) * allowed
    return (weights / weights.sum(1, keepdim=True)).nan_to_num(0, posinf=0)


@attempt("05b", "drawn in proportion to q instead of 1 / q")
def law_in_log_space(distance, allowed, n):
    log_w = (-exponents(distance, n)).masked_fill(~allowed, -torch.inf)
    return log_w.softmax(1).nan_to_num(0)


@attempt("05b", "n - 3 is not halved")
def law_in_log_space(distance, allowed, n):
    log_w = (2 - n) * distance.log() - (n - 3) * (1 - distance**2 / 4).log()
    return log_w.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "whole-number division: (n - 3) // 2")
def law_in_log_space(distance, allowed, n):
    log_w = (2 - n) * distance.log() - (n - 3) // 2 * (1 - distance**2 / 4).log()
    return log_w.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "the logarithm of base 10")
def law_in_log_space(distance, allowed, n):
    log_w = (2 - n) * distance.log10() - (n - 3) / 2 * (1 - distance**2 / 4).log10()
    return log_w.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "n = 512 in place of the argument")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, 512).masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "True in `allowed` is taken for a positive, as in the library")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, n).masked_fill(allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "the lesson's cut-off of 1.7 is applied, although `allowed` decides")
def law_in_log_space(distance, allowed, n):
    allowed = allowed & (distance < 1.7)
    return exponents(distance, n).masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "the second logarithm is kept away from 0 by 0.1: wrong near D = 2")
def law_in_log_space(distance, allowed, n):
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).clamp(min=0.1).log()
    return log_w.masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "masked with exponent -10: what is not allowed keeps a small chance")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, n).masked_fill(~allowed, -10).softmax(1) * allowed.any(1, keepdim=True)


@attempt("05b", "the mask comes after the division: rows add up to less than one")
def law_in_log_space(distance, allowed, n):
    return exponents(distance, n).softmax(1) * allowed


@attempt("05b", "rounds to float32 whatever it is given", arguable=True)
def law_in_log_space(distance, allowed, n):
    return exponents(distance.float(), n).masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


@attempt("05b", "writes 1 into the given distances where nothing is allowed", arguable=True)
def law_in_log_space(distance, allowed, n):
    distance[~allowed] = 1.0
    return exponents(distance, n).masked_fill(~allowed, -torch.inf).softmax(1).nan_to_num(0)


# ---- 05c: test a sampler ----


def near(found, expected):
    return bool(abs(found / expected - 1) < 0.1)


@attempt("05c", "standard deviation compared with the variance")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2) and near(distances.std(), (high - low) ** 2 / 12)


@attempt("05c", "10 % of the standard deviation, which is 20 % of the variance")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2) and near(distances.std(), (high - low) / 12**0.5)


@attempt("05c", "the mean alone")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2)


@attempt("05c", "the variance alone")
def looks_uniform(distances, low, high):
    return near(distances.var(), (high - low) ** 2 / 12)


@attempt("05c", "one of the two is enough")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2) or near(distances.var(), (high - low) ** 2 / 12)


@attempt("05c", "off by 0.1 is allowed, not by 10 %")
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(abs(distances.mean() - mean) < 0.1 and abs(distances.var() - variance) < 0.1)


@attempt("05c", "too small is never noticed: no absolute value")
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(distances.mean() / mean - 1 < 0.1 and distances.var() / variance - 1 < 0.1)


@attempt("05c", "too large is never noticed")
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(distances.mean() > 0.9 * mean and distances.var() > 0.9 * variance)


@attempt("05c", "the width is not squared")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2) and near(distances.var(), (high - low) / 12)


@attempt("05c", "the mean of the law is half the width")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (high - low) / 2) and near(distances.var(), (high - low) ** 2 / 12)


@attempt("05c", "0.5 and 1.7 of the lesson in place of low and high")
def looks_uniform(distances, low, high):
    return near(distances.mean(), 1.1) and near(distances.var(), 0.12)


@attempt("05c", "only that all values lie between low and high")
def looks_uniform(distances, low, high):
    return bool((distances >= low).all() and (distances <= high).all())


@attempt("05c", "1 % instead of 10 %")
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(abs(distances.mean() / mean - 1) < 0.01 and abs(distances.var() / variance - 1) < 0.01)


@attempt("05c", "compares with 10, not with 10 %")
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(abs(distances.mean() / mean - 1) < 10 and abs(distances.var() / variance - 1) < 10)


@attempt("05c", "the mean may be off by 10 % of the width")
def looks_uniform(distances, low, high):
    right = abs(distances.mean() - (low + high) / 2) < 0.1 * (high - low)
    return bool(right) and near(distances.var(), (high - low) ** 2 / 12)


@attempt("05c", "says yes to everything")
def looks_uniform(distances, low, high):
    return True


@attempt("05c", "the mean square in place of the variance")
def looks_uniform(distances, low, high):
    return near(distances.mean(), (low + high) / 2) and near((distances**2).mean(), (high - low) ** 2 / 12)


@attempt("05c", "spread around the law's mean, not around its own", arguable=True)
def looks_uniform(distances, low, high):
    mean = (low + high) / 2
    return near(distances.mean(), mean) and near(((distances - mean) ** 2).mean(), (high - low) ** 2 / 12)


@attempt("05c", "returns a tensor, not True or False", arguable=True)
def looks_uniform(distances, low, high):
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return (abs(distances.mean() / mean - 1) < 0.1) & (abs(distances.var() / variance - 1) < 0.1)


# ---- 05d: predict the plateau ----


@attempt_value("05d", "64 right pairs: a picture that stands twice has 2, not 4")
def plateau():
    return 2 * 64 * 0.2


@attempt_value("05d", "one direction only")
def plateau():
    return 68 * 0.2


@attempt_value("05d", "62 right pairs: pictures, not pairs")
def plateau():
    return 2 * 62 * 0.2


@attempt_value("05d", "the number of right pairs, not the loss")
def plateau():
    return 60 + 2 * 2 * 2


@attempt_value("05d", "the lesson's value for 128 pictures")
def plateau():
    return 51.2


@attempt_value("05d", "all negatives of each right pair, not one drawn")
def plateau():
    return 2 * 0.2 * (60 * 63 + 8 * 62)


@attempt_value("05d", "66 right pairs: three for a picture that stands twice")
def plateau():
    return 2 * (60 + 2 * 3) * 0.2


@attempt_value("05d", "mean over the right pairs")
def plateau():
    return 2 * 0.2


@attempt_value("05d", "zero: all cosines are equal, so nothing is lacking")
def plateau():
    return 0.0


@attempt_value("05d", "left at None")
def plateau():
    return None


# ---- 05e: one neighbor batch ----


def members(labels, cluster):
    return np.flatnonzero(labels == cluster)


def caption_of(image_of_caption, image, rng):
    return rng.choice(np.flatnonzero(image_of_caption == image))


@attempt("05e", "the same cluster can come twice")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.integers(labels.max() + 1, size=clusters):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "the same picture can come twice")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "always the first caption of a picture")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(np.flatnonzero(image_of_caption == image)[0])
    return np.array(batch)


@attempt("05e", "every picture is taken to have five captions in a row")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(5 * image + rng.integers(5))
    return np.array(batch)


@attempt("05e", "numpy's global state in place of the given generator")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in np.random.choice(labels.max() + 1, clusters, replace=False):
        for image in np.random.choice(members(labels, cluster), images, replace=False):
            batch.append(np.random.choice(np.flatnonzero(image_of_caption == image)))
    return np.array(batch)


@attempt("05e", "a generator of its own with seed 0: the same batch in every call")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    rng = np.random.default_rng(0)
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "picture numbers instead of caption numbers")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    return np.concatenate([rng.choice(members(labels, c), images, replace=False) for c in chosen])


@attempt("05e", "draws captions of the cluster, so that two can belong to one picture")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    of_caption = labels[image_of_caption]
    return np.concatenate([rng.choice(members(of_caption, c), images, replace=False) for c in chosen])


@attempt("05e", "always the first clusters")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in range(clusters):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "always the first pictures of a cluster")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in members(labels, cluster)[:images]:
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "the last cluster is never drawn")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(max(labels.max(), clusters), clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "31 clusters, as in the lesson")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(31, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "a table [clusters, images] instead of a row")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(labels.max() + 1, clusters, replace=False)
    mates = [rng.choice(members(labels, c), images, replace=False) for c in chosen]
    return np.array([[caption_of(image_of_caption, image, rng) for image in row] for row in mates])


@attempt("05e", "a random batch: the clusters are not looked at")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    chosen = rng.choice(len(labels), clusters * images, replace=False)
    return np.array([caption_of(image_of_caption, image, rng) for image in chosen])


@attempt("05e", "sorts the given labels in place, so that they no longer belong to the pictures")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    labels.sort()
    batch = []
    for cluster in rng.choice(labels[-1] + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "all captions of each picture")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.extend(np.flatnonzero(image_of_caption == image))
    return np.array(batch)


@attempt("05e", "the last caption of a picture is never drawn")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            own = np.flatnonzero(image_of_caption == image)
            batch.append(own[rng.integers(max(len(own) - 1, 1))])
    return np.array(batch)


@attempt("05e", "the clusters are drawn `images` at a time and the pictures `clusters` at a time")
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, images, replace=False):
        for image in rng.choice(members(labels, cluster), clusters, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "the captions of a picture are taken to stand side by side", arguable=True)
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            first = np.flatnonzero(image_of_caption == image)[0]
            batch.append(first + rng.integers((image_of_caption == image).sum()))
    return np.array(batch)


@attempt("05e", "large clusters are drawn more often", arguable=True)
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    met = dict.fromkeys(labels[rng.permutation(len(labels))].tolist())
    batch = []
    for cluster in list(met)[:clusters]:
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(caption_of(image_of_caption, image, rng))
    return np.array(batch)


@attempt("05e", "a list instead of an array", arguable=True)
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(members(labels, cluster), images, replace=False):
            batch.append(int(caption_of(image_of_caption, image, rng)))
    return batch
