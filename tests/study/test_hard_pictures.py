"""Scarce and ambiguous pictures."""

import numpy as np

from hrem_lib.study import hard_pictures


def test_the_odd_one_is_scarce_and_the_twins_are_ambiguous():
    train = [f"a dog runs {n}" for n in ("fast", "slowly", "far")] * 20
    # pictures of two captions: four plain ones, a pair of twins and one of its own kind
    own = [
        "a dog runs fast", "a dog far",
        "a red car waits", "a car is red",
        "a dog slowly", "runs slowly a dog",
        "polo players gallop", "mallets swing high",
        "a red car waits", "the car is red",
        "a cat sleeps far", "a cat runs",
        "a man walks", "the man is slow",
        "a house fast", "a house runs",
    ]  # fmt: skip
    masks = hard_pictures.find(train, own, 2)
    assert set(masks) == set(hard_pictures.NAMES) and all(
        mask.sum() == 2 for mask in masks.values()
    )  # a quarter of eight
    assert masks["scarce"][3]
    assert np.flatnonzero(masks["ambiguous"]).tolist() == [1, 4]


def test_order_of_the_pictures_does_not_matter():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    lines = [" ".join(rng.choice(words, 6)) for _ in range(5 * 40)]
    order = rng.permutation(40)
    moved = [lines[5 * i + j] for i in order for j in range(5)]
    train = [" ".join(rng.choice(words, 6)) for _ in range(5 * 30)]
    before, after = hard_pictures.find(train, lines, 5), hard_pictures.find(train, moved, 5)
    for name in hard_pictures.NAMES:
        assert (before[name][order] == after[name]).all()
