"""Which pairs share a batch: at random, or by neighbor batch sampling (Sec 3.4).

An epoch is an array of caption indices [steps,B]. It depends on the seed, the epoch and (for neighbor batches) the
embeddings only: a resumed run repeats it. Every epoch has floor(captions / B) steps, whatever the sampling.
"""

from __future__ import annotations

import math

import numpy as np

from hrem_lib.errors import UserError


def steps_per_epoch(n_captions: int, batch_size: int) -> int:
    """floor(captions / B), at least one: a small last batch would have another graph; its pairs wait an epoch."""
    return max(1, n_captions // batch_size)


def random_batches(n_captions: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Every caption at most once an epoch, in random order.

    Args:
        n_captions, batch_size: sizes; B is cut to n_captions
        seed, epoch: all that the order depends on
    Returns:
        caption indices [steps,B]
    """
    steps = steps_per_epoch(n_captions, batch_size)
    order = np.random.default_rng([seed, epoch]).permutation(n_captions)
    return order[: steps * batch_size].reshape(steps, -1)


def cluster_images(image_emb: np.ndarray, clusters: int, seed: int, smallest: int) -> np.ndarray:
    """k-means over image embeddings; a cluster with fewer than `smallest` images joins the nearest one that has them.

    Args:
        image_emb: v of all training images, unit length [images,D]
        clusters: how many to ask for
        seed: of the k-means start
        smallest: K, images drawn of a cluster
    Returns:
        cluster of each image [images], numbered from 0 without gaps
    Raises:
        UserError: more clusters than images.
    """
    from sklearn.cluster import KMeans  # more than a second to import: only where needed

    if clusters > len(image_emb):
        raise UserError(f"sampling.clusters: got {clusters}, wanted at most the {len(image_emb)} training images")
    means = KMeans(clusters, n_init=1, max_iter=30, random_state=seed).fit(image_emb)  # pyright: ignore[reportArgumentType]  # the stub has the default's type
    labels, centers = means.labels_.astype(np.int64), means.cluster_centers_  # pyright: ignore[reportOptionalMemberAccess]  # fitted
    return merge_small(labels, centers, smallest)


def merge_small(labels: np.ndarray, centers: np.ndarray, smallest: int) -> np.ndarray:
    """Clusters with fewer than `smallest` items join the nearest one that has them (ties by index).

    Args:
        labels: cluster of each item [items]
        centers: [clusters,D]
    Returns:
        cluster of each item [items], numbered from 0 without gaps; all 0 where no cluster is large enough
    """
    from scipy.spatial.distance import cdist

    sizes = np.bincount(labels, minlength=len(centers))
    large, small = np.flatnonzero(sizes >= smallest), np.flatnonzero(sizes < smallest)
    place = np.zeros(len(centers), np.int64)
    if len(large):
        place[large] = np.arange(len(large))
        # pair by pair: takes no more than [small,large], and equal centers stay equally far
        place[small] = cdist(centers[small], centers[large], "sqeuclidean").argmin(1)
    return place[labels]


def batch_shape(
    labels: np.ndarray, clusters_per_batch: int, images_per_cluster: int, processes: int = 1
) -> tuple[int, int] | None:
    """P and K that the clusters of a small data set allow (choice of this project).

    Those asked for where there are P clusters of K images; else fewer clusters of more images, P x K as near the batch
    as possible but never above it, of two such batches the one with fewer clusters. None where not even half of the
    batch comes together, or one cluster is left: that batch would be small, or one of random pictures. It follows from
    the labels alone: a resumed run repeats it.

    Args:
        labels: cluster of each image [images]
        clusters_per_batch, images_per_cluster: P, K asked for
        processes: P x K is a multiple of this
    """
    sizes, batch = np.bincount(labels), clusters_per_batch * images_per_cluster
    if len(sizes) >= clusters_per_batch and sizes.min() >= images_per_cluster:
        return clusters_per_batch, images_per_cluster
    found = []
    for p in range(2, min(len(sizes), clusters_per_batch) + 1):
        k = min(batch // p, int(sizes.min()))
        found.append((p, k - k % (processes // math.gcd(p, processes))))
    best = max(found, key=lambda shape: (shape[0] * shape[1], -shape[0]), default=(0, 0))
    return best if 2 * best[0] * best[1] >= batch else None


def neighbor_batches(
    labels: np.ndarray,
    image_of_caption: np.ndarray,
    steps: int,
    clusters_per_batch: int,
    images_per_cluster: int,
    seed: int,
    epoch: int,
) -> np.ndarray:
    """P clusters at random, K images of each, one caption for each image: N = P x K (Sec 3.4).

    A cluster is drawn in proportion to its size and its images are taken from a shuffled pile that is shuffled again
    when used up: over an epoch images are seen about equally often. No image stands twice in a batch.
    Choices of this project: the paper gives P, K, the clusters and the start no number.

    Args:
        labels: cluster of each image [images]; every cluster has at least K images
        image_of_caption: [captions]
        steps: batches to draw
        clusters_per_batch, images_per_cluster: P, K
        seed, epoch: all that the draws depend on besides the labels
    Returns:
        caption indices [steps,P*K]
    Raises:
        UserError: fewer than P clusters, or a cluster with fewer than K images.
    """
    sizes = np.bincount(labels)
    if len(sizes) < clusters_per_batch or sizes.min() < images_per_cluster:
        raise UserError(
            f"sampling: got {len(sizes)} clusters of at least {sizes.min()} images, wanted "
            f"{clusters_per_batch} clusters (clusters_per_batch) of {images_per_cluster} images (images_per_cluster)"
        )
    rng = np.random.default_rng([seed, epoch, 1])
    members = [np.flatnonzero(labels == c) for c in range(len(sizes))]
    piles: list[np.ndarray] = [np.empty(0, np.int64)] * len(sizes)
    by_image = np.argsort(image_of_caption, kind="stable")
    first = np.searchsorted(image_of_caption[by_image], np.arange(len(labels) + 1))
    batches = np.empty((steps, clusters_per_batch * images_per_cluster), np.int64)
    for step in range(steps):
        chosen = rng.choice(len(sizes), clusters_per_batch, replace=False, p=sizes / sizes.sum())
        images = []
        for c in chosen:
            if len(piles[c]) < images_per_cluster:
                # what is left goes first; the fresh pile behind it leaves those out, so nothing repeats
                fresh = rng.permutation(np.setdiff1d(members[c], piles[c]))
                piles[c] = np.concatenate([piles[c], fresh])
            images.append(piles[c][:images_per_cluster])
            piles[c] = piles[c][images_per_cluster:]
        images = np.concatenate(images)
        pick = (rng.random(len(images)) * (first[images + 1] - first[images])).astype(np.int64)
        batches[step] = by_image[first[images] + pick]
    return batches
