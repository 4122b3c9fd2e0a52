"""Ranks against the slow loop, figures by hand, statistics of the intervals, encoding of a split."""

from __future__ import annotations

import itertools
import re
from math import comb

import numpy as np
import pytest
import tiny
import torch
from reference import bootstrap_loop, precision_at_r_loop, ranks_loop
from torch import nn

from hrem_lib import data
from hrem_lib import metrics as metric_module
from hrem_lib.encoders import Encoded
from hrem_lib.errors import UserError
from hrem_lib.evaluation import encode_images, encode_texts, evaluate, table
from hrem_lib.metrics import (
    bootstrap,
    bootstrap_difference,
    chance,
    ensemble,
    ensemble_metrics,
    fold_metrics,
    metrics,
    precision_at_r,
    rank_metrics,
    ranks,
    ranks_from_embeddings,
    recalls,
)
from hrem_lib.text import Vocabulary


def uneven_owner(rng, n, m):
    """Every image has a caption, some have many, in any order."""
    return rng.permutation(np.concatenate([np.arange(n), rng.integers(n, size=m - n)]))


def integer_pair(rng, n, m, width=6):
    """Embeddings of small integers: products are exact in any order of summation, and full of ties."""
    return rng.integers(-2, 3, (n, width)).astype(np.float32), rng.integers(-2, 3, (m, width)).astype(np.float32)


def equal(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == np.int64
        assert a.tolist() == list(b)


# ---- ranks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 8, 512])
@pytest.mark.parametrize("levels", [2, 5, 1000])  # few levels: many ties
def test_ranks_are_those_of_the_slow_loop(block, levels):
    rng = np.random.default_rng(levels)
    owner = uneven_owner(rng, 8, 23)
    similarity = rng.integers(levels, size=(8, 23))
    wanted = ranks_loop(similarity.tolist(), owner.tolist())
    equal(ranks(similarity, owner, block), wanted)
    for kind in (np.float16, np.float32, ">f8"):
        equal(ranks(similarity.astype(kind), owner, block), wanted)
    equal(ranks(torch.from_numpy(similarity).float(), torch.from_numpy(owner), block), wanted)


@pytest.mark.parametrize("block", [1, 4, 7, 512])
def test_ranks_from_embeddings_are_those_of_the_matrix_ties_included(block):
    rng = np.random.default_rng(3)
    owner = uneven_owner(rng, 15, 40)
    image_emb, text_emb = integer_pair(rng, 15, 40)
    wanted = ranks_loop((image_emb @ text_emb.T).tolist(), owner.tolist())
    equal(ranks_from_embeddings(image_emb, text_emb, owner, block), wanted)
    equal(ranks_from_embeddings(torch.from_numpy(image_emb), torch.from_numpy(text_emb), owner, block), wanted)


def test_every_product_once_and_ranks_exactly_those_of_the_same_tiles(monkeypatch):
    rng = np.random.default_rng(0)
    n, m, block = 40, 200, 16
    owner = np.arange(m) // 5
    image_emb = rng.standard_normal((n, 33)).astype(np.float32)
    text_emb = np.repeat(image_emb, 5, 0) + rng.standard_normal((m, 33)).astype(np.float32)
    whole, seen, real = np.full((n, m), np.nan, np.float32), [], metric_module._count

    def spy(tile, *rest):
        def watched(rows, columns):
            part = tile(rows, columns)
            assert np.isnan(whole[rows, columns]).all()
            whole[rows, columns] = part.numpy()
            seen.append(part.numel())
            return part

        return real(watched, *rest)

    monkeypatch.setattr(metric_module, "_count", spy)
    got = ranks_from_embeddings(image_emb, text_emb, owner, block)
    monkeypatch.undo()
    assert sum(seen) == n * m
    assert max(seen) <= block * 5 * block
    equal(got, ranks(whole, owner, block=n))


def planted(n, width, seed=0):
    """Embeddings with exact twins far apart and side by side, and ranks by which all of these ties count against us.

    A right pair scores about 0.7 and others about 0, so that nothing but a twin can reach the right item.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n), 5)
    image_emb = rng.standard_normal((n, width))
    image_emb[[1, n // 2, n - 1]] = image_emb[0]  # four images alike
    image_emb[n - 2] = image_emb[n - 3]
    text_emb = image_emb[owner] + rng.standard_normal((len(owner), width))
    text_emb[5 * 7 : 5 * 8] = image_emb[7]  # one caption five times, the best there is,
    text_emb[[33, 5 * n - 18]] = image_emb[7]  # and twice at other images
    text_emb[5 * 20], text_emb[5 * (n - 4)] = image_emb[20], image_emb[20]  # the best caption of 20, and a twin
    text_emb[5 * 21 + 4] = text_emb[5 * 9 + 2]
    text_emb[-1] = text_emb[2]  # images 0 and n-1 are twins, and so are these captions
    pair = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (image_emb, text_emb)]
    # one product for all items that are equal
    (images, i), (texts, j) = (np.unique(x, axis=0, return_inverse=True) for x in pair)
    return *pair, owner, ranks((images.astype(float) @ texts.T.astype(float))[i][:, j], owner)


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("threads", "block", "noise"), [(1, 11, 0), (1, 11, 1), (1, 512, 0), (2, 512, 0)], indirect=["threads"]
)
def test_twins_in_different_tiles_tie(block, noise, monkeypatch):
    """A product's last bit depends on the shape of its tile, on some processors: `noise` does the same on all."""
    image_emb, text_emb, owner, wanted = planted(519, 256)
    assert wanted[0][[7, 8, 20, 21]].tolist() == [2, 0, 1, 0] and wanted[1][[0, 40, 5 * 517]].tolist() == [3, 0, 1]
    count = metric_module._count

    def spy(tile, *rest):
        def noisy(rows, columns):
            first = columns.start if isinstance(columns, slice) else int(columns[0])
            return tile(rows, columns) * (1 + noise * 2**-22 * ((3 * rows.start + first) % 7 - 3))

        return count(noisy, *rest)

    monkeypatch.setattr(metric_module, "_count", spy)
    equal(ranks_from_embeddings(image_emb, text_emb, owner, block), wanted)
    equal(metric_module.ensemble_ranks([(image_emb, text_emb)] * 2, owner, block), wanted)
    order = np.random.default_rng(1).permutation(len(owner))
    got = ranks_from_embeddings(image_emb, text_emb[order], owner[order], block)
    equal(got, (wanted[0], wanted[1][order]))


def test_twins_of_one_model_alone_do_not_tie_in_an_ensemble():
    rng, owner = np.random.default_rng(5), np.repeat(np.arange(60), 5)
    one, other = rng.standard_normal((2, 60, 64)).astype(np.float32)
    one[30:] = one[:30]
    first, second = (one, one[owner]), (other, other[owner])
    assert set(metric_module.ensemble_ranks([first], owner)[1]) == {1}
    i2t, t2i = metric_module.ensemble_ranks([first, second], owner)
    assert i2t.max() == t2i.max() == 0
    assert metric_module.ensemble_ranks([second, first], owner)[1].max() == 0


@pytest.mark.parametrize("block", [7, 512])
def test_embeddings_all_alike_have_the_worst_ranks(block):
    emb = np.random.default_rng(0).standard_normal((1, 256)).astype(np.float32)
    i2t, t2i = ranks_from_embeddings(emb.repeat(20, 0), emb.repeat(100, 0), np.arange(100) // 5, block)
    assert set(i2t) == {95} and set(t2i) == {19}


def test_all_equal_matrix_is_the_worst_rank():
    i2t, t2i = ranks(np.zeros((20, 100)), np.arange(100) // 5)
    assert set(i2t) == {95}
    assert set(t2i) == {19}
    assert rank_metrics(i2t, t2i)["rSum"] == 0


def test_tie_with_a_wrong_item_counts_tie_with_an_own_caption_does_not():
    owner = [0, 0, 1]
    equal(ranks(np.array([[0.5, 0.5, 0.1], [0.2, 0.1, 0.9]]), owner), ([0, 0], [0, 0, 0]))
    equal(ranks(np.array([[0.5, 0.3, 0.5], [0.2, 0.3, 0.9]]), owner), ([1, 0], [0, 1, 0]))


def test_best_own_caption_counts():
    equal(ranks(np.array([[0.1, 0.8, 0.5], [0.2, 0.7, 0.6]]), [0, 0, 1]), ([0, 1], [1, 0, 0]))


def test_one_image():
    equal(ranks(np.array([[0.1, -2.0, 0.3]]), [0, 0, 0]), ([0], [0, 0, 0]))
    assert metrics(np.array([[0.1, -2.0, 0.3]]), [0, 0, 0])["rSum"] == 600


def test_infinite_scores():
    similarity = np.array([[-np.inf, -np.inf], [np.inf, 1.0]])
    equal(ranks(similarity, [0, 1]), ranks_loop(similarity.tolist(), [0, 1]))


def test_permuting_images_and_captions_permutes_the_ranks():
    rng = np.random.default_rng(1)
    owner = uneven_owner(rng, 9, 31)
    similarity = rng.integers(6, size=(9, 31)).astype(float)
    i2t, t2i = ranks(similarity, owner, block=4)
    rows, columns = rng.permutation(9), rng.permutation(31)
    moved = ranks(similarity[rows][:, columns], np.argsort(rows)[owner][columns], block=4)
    equal(moved, (i2t[rows], t2i[columns]))


def test_input_is_left_alone():
    similarity = np.random.default_rng(0).random((4, 8))
    before = similarity.copy()
    for given in (similarity, torch.from_numpy(similarity.copy())):
        ranks(given, np.arange(8) // 2)
        assert np.array_equal(np.asarray(given), before)


def test_read_only_memory_map(tmp_path):
    similarity = np.random.default_rng(0).random((6, 12)).astype(np.float32)
    np.save(tmp_path / "s.npy", similarity)
    mapped = np.load(tmp_path / "s.npy", mmap_mode="r")
    equal(ranks(mapped, np.arange(12) // 2, block=2), ranks_loop(similarity.tolist(), list(np.arange(12) // 2)))


def nan_at(i, j):
    similarity = np.zeros((4, 8))
    similarity[i, j] = np.nan
    return similarity


EIGHT = np.arange(8) // 2
BAD = {
    "nan own": (nan_at(1, 2), EIGHT, "NaN"),
    "nan off the diagonal": (nan_at(0, 7), EIGHT, "NaN"),
    "one dimension": (np.zeros(8), EIGHT, "got 1 dimensions"),
    "too few owners": (np.zeros((4, 8)), EIGHT[:7], "wanted 8 integers"),
    "owners not integers": (np.zeros((4, 8)), EIGHT / 1.0, "wanted 8 integers"),
    "owner too high": (np.zeros((4, 8)), EIGHT + 1, "wanted 0 to 3"),
    "image without caption": (np.zeros((4, 8)), EIGHT // 2, "image 2: got no caption"),
    "nothing": (np.zeros((0, 0)), np.zeros(0, int), "at least one of each"),
}


@pytest.mark.parametrize(("similarity", "owner", "words"), BAD.values(), ids=BAD.keys())
def test_bad_matrix(similarity, owner, words):
    with pytest.raises(UserError, match=words):
        ranks(similarity, owner, block=2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, 1e19])
@pytest.mark.parametrize("which", [0, 1])
def test_bad_embeddings(bad, which):
    pair = [np.ones((4, 3), np.float32), np.ones((8, 3), np.float32)]
    pair[which][2, 1] = bad
    with pytest.raises(UserError, match="wanted finite"):
        ranks_from_embeddings(*pair, EIGHT)


@pytest.mark.parametrize(("image", "text"), [(3, 5), (5, 3)])
def test_widths_that_differ(image, text):
    with pytest.raises(UserError, match=f"width {image} for images and {text} for captions"):
        ranks_from_embeddings(np.ones((4, image)), np.ones((8, text)), EIGHT)


@pytest.mark.parametrize("shape", [(4,), (4, 3, 1), (4, 0)])
def test_shapes_that_are_no_embeddings(shape):
    with pytest.raises(UserError, match=rf"image embeddings: got shape {re.escape(str(shape))}, wanted"):
        ranks_from_embeddings(np.ones(shape), np.ones((8, 3)), EIGHT)


# ---- figures --------------------------------------------------------------------------------------------------


def test_recalls_by_hand():
    got = recalls(np.array([0, 0, 3, 4, 5, 9, 10, 100]))
    assert got == {"R@1": 25.0, "R@5": 50.0, "R@10": 75.0, "MedR": 5.0, "MeanR": 131 / 8 + 1}  # median 4.5 -> 4 -> 5
    with pytest.raises(UserError, match="at least one rank"):
        recalls([])


def test_fold_mean_is_the_mean_of_separate_evaluations():
    rng = np.random.default_rng(5)
    owner = np.arange(60) // 5
    image_emb, text_emb = integer_pair(rng, 12, 60)
    got = fold_metrics(image_emb, text_emb, owner, folds=3)
    parts = []
    for a in (0, 4, 8):
        similarity = image_emb[a : a + 4] @ text_emb[5 * a : 5 * a + 20].T
        parts.append(rank_metrics(*map(np.array, ranks_loop(similarity.tolist(), list(owner[:20])))))
    assert (got["folds"], got["images"], got["captions"]) == (3, 4, 20)
    assert got["rSum"] == pytest.approx(np.mean([p["rSum"] for p in parts]))
    for direction, key in itertools.product(("i2t", "t2i"), ("R@1", "R@5", "R@10", "MedR", "MeanR")):
        assert got[direction][key] == pytest.approx(np.mean([p[direction][key] for p in parts]))
    order = rng.permutation(60)  # captions in any order
    assert fold_metrics(image_emb, text_emb[order], owner[order], folds=3) == got
    with pytest.raises(UserError, match="got 5 for 12 images"):
        fold_metrics(image_emb, text_emb, owner, folds=5)


def test_ensemble_is_the_mean_and_its_metrics_need_no_matrix():
    rng = np.random.default_rng(6)
    owner = np.arange(60) // 5
    pairs = [integer_pair(rng, 12, 60, width) for width in (4, 7)]
    a, b = (image_emb @ text_emb.T for image_emb, text_emb in pairs)
    assert np.array_equal(ensemble(a, b), (a + b) / 2)
    assert torch.equal(ensemble(torch.from_numpy(a), b), torch.from_numpy((a + b) / 2))
    wanted = rank_metrics(*map(np.array, ranks_loop(((a + b) / 2).tolist(), list(owner))))
    assert ensemble_metrics(pairs, owner, block=5) == wanted == metrics(ensemble(a, b), owner)
    with pytest.raises(UserError, match="same shape"):
        ensemble(a, b[:, :5])
    with pytest.raises(UserError, match="got 12 images, 60 captions and 11 images, 55 captions, wanted two models on"):
        ensemble_metrics([pairs[0], integer_pair(rng, 11, 55)], owner)


@pytest.mark.parametrize(
    ("images", "i2t", "t2i"),
    [(1000, (0.10, 0.50, 1.00), (0.10, 0.50, 1.00)), (200, (0.50, 2.48, 4.91), (0.50, 2.50, 5.00))],
)
def test_chance_of_the_usual_splits(images, i2t, t2i):
    got = [chance(images, 5 * images, k) for k in (1, 5, 10)]
    assert tuple(round(g["i2t"], 2) for g in got) == i2t
    assert tuple(round(g["t2i"], 2) for g in got) == t2i


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 9])
def test_chance_by_counting_all_answer_lists(k):
    """3 images with 2 captions each; captions 0 and 1 are right."""
    lists = list(itertools.combinations(range(6), min(k, 6)))
    hits = sum(0 in answers or 1 in answers for answers in lists)
    assert len(lists) == comb(6, min(k, 6))
    assert chance(3, 6, k) == pytest.approx({"i2t": 100 * hits / len(lists), "t2i": 100 * min(k, 3) / 3})


def test_chance_needs_equally_many_captions():
    with pytest.raises(UserError, match="got 3 images, 7 captions"):
        chance(3, 7, 1)


# ---- intervals ------------------------------------------------------------------------------------------------


def flat(intervals):
    return [intervals[d][f"R@{k}"] for d in ("i2t", "t2i") for k in (1, 5, 10)] + [intervals["rSum"]]


def test_bootstrap_is_that_of_the_slow_loop_and_has_a_seed():
    rng = np.random.default_rng(2)
    owner = uneven_owner(rng, 9, 30)
    i2t, t2i = rng.integers(15, size=9), rng.integers(15, size=30)
    draws = np.random.default_rng(4).integers(9, size=(50, 9))
    values = np.array(bootstrap_loop(i2t.tolist(), t2i.tolist(), owner.tolist(), draws.tolist()))
    values = np.column_stack([values, values.sum(1)])
    got = bootstrap(i2t, t2i, owner, samples=50, seed=4, level=0.9)
    wanted = np.quantile(values, [0.05, 0.95], axis=0).T
    assert np.allclose(flat(got), wanted, rtol=0, atol=1e-9)
    assert got == bootstrap(i2t, t2i, owner, samples=50, seed=4, level=0.9)
    assert got != bootstrap(i2t, t2i, owner, samples=50, seed=5, level=0.9)


def test_bootstrap_widths_of_the_paper_figures():
    """84.4 on 1,000 queries: +-2.25; 62.4 on 5,000 captions: +-1.34 if they are independent, +-3.00 if the five
    captions of an image stand or fall together. Image resampling sees which."""
    rng, owner = np.random.default_rng(0), np.arange(5000) // 5
    i2t = np.where(np.arange(1000) < 844, 0, 20)
    spread = np.where(rng.permutation(5000) < 3120, 0, 20)
    together = np.repeat(np.where(rng.permutation(1000) < 624, 0, 20), 5)
    low, high = bootstrap(i2t, spread, owner)["i2t"]["R@1"]
    assert (high - low) / 2 == pytest.approx(2.25, abs=0.2)
    for t2i, wanted in ((spread, 1.34), (together, 3.00)):
        low, high = bootstrap(i2t, t2i, owner)["t2i"]["R@1"]
        assert (high - low) / 2 == pytest.approx(wanted, rel=0.1)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    """Captions of an image share its difficulty; the true recall is 1/2."""
    rng, owner, covered = np.random.default_rng(0), np.arange(500) // 5, np.zeros(2)
    trials = 200
    for trial in range(trials):
        difficulty = rng.beta(0.5, 0.5, 100)
        i2t = np.where(rng.random(100) < difficulty, 0, 50)
        t2i = np.where(rng.random(500) < difficulty[owner], 0, 50)
        got = bootstrap(i2t, t2i, owner, samples=200, seed=trial)
        for at, direction in enumerate(("i2t", "t2i")):
            low, high = got[direction]["R@1"]
            covered[at] += low <= 50 <= high
    assert (covered / trials > 0.89).all()
    assert (covered / trials < 0.99).all()


def test_paired_difference():
    """Model a is right wherever b is, and on 3 % more: the pair tells them apart where separate intervals overlap."""
    owner = np.arange(1000)
    b = np.where(np.arange(1000) < 700, 0, 20)
    a = np.where(np.arange(1000) < 730, 0, 20)
    low, high = bootstrap_difference((a, a), (b, b), owner)["i2t"]["R@1"]
    assert 0 < low < 3 < high
    assert bootstrap(a, a, owner)["i2t"]["R@1"][0] < bootstrap(b, b, owner)["i2t"]["R@1"][1]
    assert flat(bootstrap_difference((a, a), (a, a), owner)) == [(0.0, 0.0)] * 7
    reverse = bootstrap_difference((b, b), (a, a), owner)["i2t"]["R@1"]
    assert reverse == pytest.approx((-high, -low))


def test_bootstrap_refuses():
    hits, owner = np.zeros(4, int), np.arange(4)
    with pytest.raises(UserError, match="level 95"):
        bootstrap(hits, hits, owner, level=95)
    with pytest.raises(UserError, match="got 1 samples"):
        bootstrap(hits, hits, owner, samples=1)
    with pytest.raises(UserError, match="wanted 4 integers"):
        bootstrap(hits, hits, owner[:3])


# ---- a model on a split ---------------------------------------------------------------------------------------


class Probe(nn.Module):
    """Embeds an image as its mean region and a caption as a sum of word rows; counts what it is given."""

    def __init__(self, width, words):
        super().__init__()
        self.project, self.look = nn.Linear(width, 8), nn.Embedding(words, 8)
        self.dropout, self.frozen = nn.Dropout(0.5), nn.BatchNorm1d(8)
        self.frozen.eval()
        self.seen = {"images": 0, "captions": 0}

    def embed(self, x, mask, kind):
        assert not self.training and not self.dropout.training and not torch.is_grad_enabled()
        self.seen[kind] += len(x)
        pooled = (self.dropout(x) * mask[..., None]).sum(1)
        emb = nn.functional.normalize(pooled, dim=1)
        return Encoded(emb, emb, x, x, mask)

    def encode_images(self, regions, region_mask):
        return self.embed(self.project(regions), region_mask, "images")

    def encode_texts(self, words, word_mask):
        return self.embed(self.look(words), word_mask, "captions")


@pytest.fixture
def setting(tmp_path, sine_ramp):
    """(model in training mode, open dev split, its tokens)"""
    split = data.open_split(tiny.write(tmp_path), "dev")
    text = Vocabulary.build(split.captions, 1)
    model = sine_ramp(Probe(split.region_dim, text.size).train())
    model.frozen.eval()
    return model, split, text.encode(split.captions)


def test_encoding_in_batches_keeps_the_order_and_runs_each_item_once(setting):
    model, split, tokens = setting
    image_emb, text_emb = encode_images(model, split, batch_size=3), encode_texts(model, tokens, batch_size=7)
    assert model.seen == {"images": 10, "captions": 50}
    assert image_emb.dtype == text_emb.dtype == torch.float32
    assert not image_emb.is_inference() and not text_emb.is_inference()
    model.eval()
    with torch.no_grad():
        for i in range(10):
            torch.testing.assert_close(image_emb[i], model.encode_images(*split.regions([i])).emb[0])
        for j in range(50):
            words, _, mask = (torch.from_numpy(np.asarray(x)) for x in tokens.gather(np.array([j])))
            torch.testing.assert_close(text_emb[j], model.encode_texts(words, mask).emb[0])


class Places(Probe):
    """Adds a little that depends on the place in the batch and the batch's size, as products of other shapes do."""

    def embed(self, x, mask, kind):
        out = super().embed(x, mask, kind)
        return out._replace(emb=out.emb + 1e-6 * torch.linspace(1, len(x), len(x))[:, None] * mask.size(1))


def test_equal_inputs_in_different_batches_have_equal_embeddings(tmp_path, sine_ramp):
    folder = tiny.write(tmp_path)
    features, captions = np.load(folder / "dev_ims.npy"), (folder / "dev_caps.txt").read_text().splitlines()
    features[7], features[9] = features[1], features[1]
    features[5] = features[3]
    features[5, -1] += 1.0  # alike but for one region
    captions[3] = captions[31] = captions[44]
    np.save(folder / "dev_ims.npy", features)
    (folder / "dev_caps.txt").write_text("\n".join(captions) + "\n")
    split = data.open_split(folder, "dev")
    text = Vocabulary.build(split.captions, 1)
    model, tokens = sine_ramp(Places(split.region_dim, text.size)), text.encode(split.captions)
    image_emb, text_emb = encode_images(model, split, batch_size=3), encode_texts(model, tokens, batch_size=7)
    assert model.seen == {"images": 10, "captions": 50}
    assert not image_emb.is_inference() and not text_emb.is_inference()
    words = [tuple(tokens.ids[a:b]) for a, b in itertools.pairwise(tokens.offsets)]
    assert len(set(words)) < 50
    for emb, inputs in ((image_emb, [x.tobytes() for x in features]), (text_emb, words)):
        for i, j in itertools.combinations(range(len(emb)), 2):
            assert torch.equal(emb[i], emb[j]) == (inputs[i] == inputs[j]), (i, j)


def test_modes_are_put_back_part_by_part_even_after_an_error(setting):
    model, split, tokens = setting
    encode_images(model, split)
    assert model.training and model.dropout.training and not model.frozen.training
    model.look = nn.Embedding(1, 8)  # ids are out of range now
    with pytest.raises(IndexError):
        encode_texts(model, tokens)
    assert model.training and model.dropout.training and not model.frozen.training


def test_bfloat16_is_close_and_returns_float32(setting):
    model, split, _ = setting
    half = encode_images(model, split, precision="bfloat16")
    assert half.dtype == torch.float32
    assert 0 < (half - encode_images(model, split)).abs().max() < 0.02
    with pytest.raises(UserError, match="float16"):
        encode_images(model, split, precision="float16")


def test_evaluate_is_the_sum_of_its_parts(setting):
    model, split, tokens = setting
    image_emb, text_emb = encode_images(model, split), encode_texts(model, tokens)
    owner = split.image_of_caption
    plain = evaluate([(model, tokens)], split)
    assert plain == metrics((image_emb, text_emb), owner)
    full = evaluate([(model, tokens)], split, folds=2, intervals=True)
    assert full["folds"] == fold_metrics(image_emb, text_emb, owner, 2)
    assert full["intervals"] == bootstrap(*ranks_from_embeddings(image_emb, text_emb, owner), owner)
    assert {k: full[k] for k in plain} == plain
    assert evaluate([(model, tokens)] * 2, split) == plain  # a model and itself


def test_evaluate_refuses_tokens_of_another_split(setting):
    model, split, _ = setting
    tokens = Vocabulary.build(split.captions, 1).encode(split.captions[:-1])
    with pytest.raises(UserError, match="got tokens of 49 captions, wanted 50"):
        evaluate([(model, tokens)], split)


def test_a_model_that_gives_nan_is_refused(setting):
    model, split, tokens = setting
    nn.init.constant_(model.project.bias, float("nan"))
    with pytest.raises(UserError, match="image embeddings"):
        evaluate([(model, tokens)], split)


def test_table_by_eye():
    i2t, t2i = np.array([0, 0, 7, 12]), np.array([0, 3, 3, 8, 0, 20, 0, 0])
    lines = table(rank_metrics(i2t, t2i)).splitlines()
    assert lines == [
        "4 images, 8 captions",
        "                 R@1     R@5    R@10    MedR    MeanR",
        "i2t             50.0    50.0    75.0     4.0      5.8",
        "t2i             50.0    75.0    87.5     2.0      5.2",
        "rSum           387.5",
        "chance i2t     25.00   89.29  100.00",
        "chance t2i     25.00  100.00  100.00",
    ]


def test_table_with_folds_and_intervals(setting):
    model, split, tokens = setting
    result = evaluate([(model, tokens)], split, folds=2, intervals=True)
    text = table(result, with_chance=False)
    assert "mean of 2 folds of 5 images" in text
    assert "95 % intervals (1000 samples of the images)" in text
    assert "chance" not in text
    low, high = result["intervals"]["rSum"]
    assert f"{low:.1f} to {high:5.1f}" in text


def test_embeddings_in_float64_are_compared_in_float64():
    """A difference that float32 does not see decides; in half precision the values are taken as they are."""
    image_emb = np.eye(2)
    text_emb = np.array([[0.5, 0.5 + 1e-12], [0.5 + 1e-12, 0.5]])
    i2t, t2i = ranks_from_embeddings(image_emb, text_emb, np.array([1, 0]))
    assert i2t.tolist() == t2i.tolist() == [0, 0]
    half = torch.eye(3, dtype=torch.float16)
    assert ranks_from_embeddings(half, half, np.arange(3))[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("n", "m"), [(2, 3), (2, 5), (3, 4), (1, 4)])
def test_an_ensemble_is_of_one_split(n, m):
    pairs = [(np.eye(2), np.ones((4, 2))), (np.ones((n, 2)), np.ones((m, 2)))]
    with pytest.raises(UserError, match=f"got 2 images, 4 captions and {n} images, {m} captions"):
        ensemble_metrics(pairs, np.array([0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        ([0, 1, 1], "wanted 2 integers"),
        ([0], "wanted 2 integers"),
        ([-1, 1], "got values -1 to 1"),
        ([1, 1], "image 0"),
    ],
)
def test_owners_of_captions(owner, words):
    with pytest.raises(UserError, match=words):
        ranks(np.eye(2), np.array(owner))


@pytest.mark.parametrize("seed", range(5))
def test_precision_at_r_is_the_loop_ties_included(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (7, 20)) / 4  # many ties
    relevant = rng.random((7, 20)) < 0.3
    relevant[2] = False  # a query without a right answer
    got, wanted = precision_at_r(scores, relevant), precision_at_r_loop(scores, relevant)
    assert got == pytest.approx(wanted) and precision_at_r(torch.from_numpy(scores), torch.from_numpy(relevant)) == got


def test_precision_at_r_is_pytorch_metric_learnings():
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    rng = torch.Generator().manual_seed(0)
    query, stored = torch.randn(30, 8, generator=rng), torch.randn(90, 8, generator=rng)
    query, stored = (torch.nn.functional.normalize(x, dim=1) for x in (query, stored))
    labels, of_stored = torch.arange(30) % 6, torch.arange(90) % 6
    names = ("r_precision", "mean_average_precision_at_r")
    theirs = AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu")).get_accuracy(
        query, labels, stored, of_stored
    )
    got = precision_at_r(query @ stored.T, labels[:, None] == of_stored)
    assert got["R-P"] == pytest.approx(100 * theirs["r_precision"], abs=1e-4)
    assert got["mAP@R"] == pytest.approx(100 * theirs["mean_average_precision_at_r"], abs=1e-4)


def test_precision_at_r_by_hand():
    relevant = np.array([[1, 1, 0, 0]], bool)
    assert precision_at_r(np.array([[4, 3, 2, 1]]), relevant) == {"R-P": 100, "mAP@R": 100}
    assert precision_at_r(np.array([[3, 1, 4, 2]]), relevant) == {
        "R-P": 50,
        "mAP@R": 25,
    }  # place 2 of 2: 1/2, over R = 2
    assert precision_at_r(np.ones((1, 4)), relevant) == {"R-P": 0, "mAP@R": 0}  # all equal
    for bad in (np.zeros((1, 4), bool), relevant[:, :3]):
        with pytest.raises(UserError, match="precision at R"):
            precision_at_r(np.ones((1, 4)), bad)
