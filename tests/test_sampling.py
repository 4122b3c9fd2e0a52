"""Batches: random ones and neighbor batches, tested by their statistics."""

import tracemalloc

import numpy as np
import pytest
from reference import merge_loop

from hrem_lib import sampling
from hrem_lib.errors import UserError


def test_random_epoch_has_each_caption_at_most_once():
    batches = sampling.random_batches(1000, 128, seed=3, epoch=1)
    assert batches.shape == (7, 128)
    assert len(np.unique(batches)) == batches.size
    assert not np.array_equal(batches, sampling.random_batches(1000, 128, seed=3, epoch=2))
    assert np.array_equal(batches, sampling.random_batches(1000, 128, seed=3, epoch=1))


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert sampling.random_batches(30, 128, 0, 1).shape == (1, 30)


@pytest.fixture(scope="module")
def world():
    """40 images in 4 well separated groups of unequal size, 3 captions each."""
    rng = np.random.default_rng(0)
    sizes = [4, 8, 12, 16]
    group = np.repeat(np.arange(4), sizes)
    emb = np.eye(4)[group] + 0.05 * rng.standard_normal((40, 4))
    return emb / np.linalg.norm(emb, axis=1, keepdims=True), group, np.repeat(np.arange(40), 3)


def test_clusters_are_the_groups(world):
    emb, group, _ = world
    labels = sampling.cluster_images(emb, 4, seed=0, smallest=4)
    assert len({(a, b) for a, b in zip(labels, group, strict=True)}) == 4
    assert np.array_equal(labels, sampling.cluster_images(emb, 4, seed=0, smallest=4))


def test_small_clusters_join_their_nearest(world):
    emb, group, _ = world
    labels = sampling.cluster_images(emb, 4, seed=0, smallest=6)  # the group of 4 is too small
    assert np.bincount(labels).min() >= 6 and labels.max() == 2
    assert len({*labels[group == 0]}) == 1


@pytest.mark.parametrize("smallest", [1, 3, 6, 100])
@pytest.mark.parametrize("levels", [2, 1000])  # few levels: equally near centers, and equal ones
def test_merging_is_the_slow_loop(smallest, levels):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.integers(12, size=50)
        centers = rng.integers(-levels, levels, size=(12, 3)).astype(np.float32)
        got = sampling.merge_small(labels, centers, smallest)
        assert got.tolist() == merge_loop(labels.tolist(), centers.tolist(), smallest)
        assert set(got) == set(range(got.max() + 1))


def test_merging_keeps_no_differences_of_all_pairs():
    """k^2 D numbers are 51 GB for COCO's pictures; what may be held is the k^2 distances and some copies of centers."""
    clusters, width = 500, 256
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(clusters), rng.integers(clusters // 2, size=4 * clusters)])
    centers = rng.standard_normal((clusters, width), dtype=np.float32)
    sampling.merge_small(labels[:20], centers[:20], 2)  # imports
    tracemalloc.start()
    try:
        got = sampling.merge_small(labels, centers, 4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert clusters // 3 < got.max() < clusters // 2  # many were merged, many stayed
    assert peak < 8 * clusters**2 + 4 * 8 * clusters * width


def test_clusters_are_those_of_k_means_merged(world, monkeypatch):
    """What `cluster_images` gives is k-means, then merging with the smallest size that it was asked for."""
    seen = []
    merge = sampling.merge_small
    monkeypatch.setattr(sampling, "merge_small", lambda *a: seen.append((a, merge(*a))) or seen[-1][1])
    labels = sampling.cluster_images(world[0], 12, seed=0, smallest=4)
    (((raw, centers, smallest), merged),) = seen
    assert smallest == 4 and centers.shape == (12, 4) and len(set(raw)) == 12 > len(set(labels)) > 1
    assert np.array_equal(labels, merged)
    for c in range(12):
        assert np.allclose(centers[c], world[0][raw == c].mean(0))


def test_without_a_large_cluster_all_images_are_one(world):
    assert sampling.cluster_images(world[0], 4, seed=0, smallest=17).tolist() == [0] * 40


def test_too_many_clusters(world):
    with pytest.raises(UserError, match="41.*40"):
        sampling.cluster_images(world[0], 41, 0, 2)


def test_neighbor_batch_holds_k_images_of_p_clusters_once(world):
    _, group, owner = world
    batches = sampling.neighbor_batches(group, owner, 200, 2, 4, seed=0, epoch=5)
    assert batches.shape == (200, 8)
    for batch in owner[batches]:
        assert len(np.unique(batch)) == 8  # no image twice, so no two captions of one image
        assert sorted(np.unique(group[batch], return_counts=True)[1]) == [4, 4]
    assert np.array_equal(batches, sampling.neighbor_batches(group, owner, 200, 2, 4, seed=0, epoch=5))
    assert not np.array_equal(batches, sampling.neighbor_batches(group, owner, 200, 2, 4, seed=0, epoch=6))


def test_piles_are_used_up_before_they_repeat(world):
    _, group, owner = world
    batches = owner[sampling.neighbor_batches(group, owner, 200, 2, 4, seed=1, epoch=1)]
    for c in range(4):
        seen = batches[np.isin(batches, np.flatnonzero(group == c))]
        counts = np.bincount(seen, minlength=40)[group == c]
        assert counts.max() - counts.min() <= 1


def test_images_and_captions_are_seen_about_equally():
    """One cluster a batch: drawn in proportion to size, so every image has the same expectation."""
    group = np.repeat(np.arange(4), [20, 40, 60, 80])
    owner = np.repeat(np.arange(200), 5)
    batches = sampling.neighbor_batches(group, owner, 5000, 1, 10, seed=0, epoch=1)
    per_image = np.bincount(owner[batches].ravel(), minlength=200)
    for c in range(4):
        assert per_image[group == c].mean() == pytest.approx(250, rel=0.1)
    per_caption = np.bincount(batches.ravel(), minlength=1000)
    assert per_caption.mean() == pytest.approx(50) and per_caption.std() < 15


def test_too_few_clusters(world):
    _, group, owner = world
    with pytest.raises(UserError, match="4 clusters of at least 4.*5 clusters"):
        sampling.neighbor_batches(group, owner, 1, 5, 4, 0, 1)
    with pytest.raises(UserError, match="at least 4 images.*6 images"):
        sampling.neighbor_batches(group, owner, 1, 2, 6, 0, 1)
