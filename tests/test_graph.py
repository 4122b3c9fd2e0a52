"""Association graph: matching (6)(8), connection (5)(7), relevance (9)(10), regularizer (14)."""

from __future__ import annotations

import math

import pytest
import torch
from composition import close, encoded, mask_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import match_loop
from torch.nn import functional as F

from hrem_lib import graph as graph_module
from hrem_lib.graph import AssociationGraph, connection, distance_relevance, match, relevance_regularizer

MATCHINGS = pytest.mark.parametrize("matching", ["scan", "cosine"])
FEW = settings(derandomize=True, max_examples=10, deadline=None)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pairs(region_counts, word_counts, dim=6, extra=0, seed=0, dtype=torch.float64):
    """Regions, words and masks; `extra` more columns of padding."""
    shapes = max(region_counts) + extra, max(word_counts) + extra
    regions = normal(len(region_counts), shapes[0], dim, seed=seed, dtype=dtype)
    words = normal(len(word_counts), shapes[1], dim, seed=seed + 1, dtype=dtype)
    masks = mask_of(torch.tensor(region_counts), shapes[0]), mask_of(torch.tensor(word_counts), shapes[1])
    return regions, words, *masks


@MATCHINGS
@FEW
@given(
    region_counts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    word_counts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    k=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_match_is_the_four_loops(matching, region_counts, word_counts, k, seed):
    inputs = pairs(region_counts, word_counts, extra=1, seed=seed)
    got = match(*inputs, k, matching)
    for ours, wanted in zip(got, match_loop(*(x.numpy() for x in inputs), k, matching), strict=True):
        close(ours, torch.from_numpy(wanted), 1e-10)


@MATCHINGS
@FEW
@given(
    region_counts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    word_counts=st.lists(st.integers(1, 14), min_size=1, max_size=4),
    extra=st.integers(0, 12),
    odd=st.sampled_from([0.0, 50.0, float("nan"), float("inf")]),
)
def test_trap_01_padding_and_batch_mates_change_nothing(matching, region_counts, word_counts, extra, odd):
    """p and q of each pair alone, against the same pair in a padded batch with anything in the padding."""
    regions, words, region_mask, word_mask = pairs(region_counts, word_counts)
    wide = [F.pad(x, (0, 0, 0, extra)) for x in (regions, words)]
    masks = [F.pad(m, (0, extra)) for m in (region_mask, word_mask)]
    filled = [torch.where(m[..., None], x, odd) for x, m in zip(wide, masks, strict=True)]
    got = match(*filled, *masks, 10, matching)
    for i, r in enumerate(region_counts):
        for j, n in enumerate(word_counts):
            every = torch.ones(1, r, dtype=torch.bool), torch.ones(1, n, dtype=torch.bool)
            alone = match(regions[i : i + 1, :r], words[j : j + 1, :n], *every, 10, matching)
            for ours, wanted, at in zip(got, alone, [(i, j), (j, i)] * 2, strict=True):
                close(ours[at], wanted[0, 0], 1e-12)


@MATCHINGS
def test_trap_05_fewer_fragments_than_k_everywhere(matching):
    """The whole batch is shorter than K: zeros at the end, after negative values too."""
    inputs = pairs([3, 1], [2, 4])
    got = match(*inputs, 10, matching)
    assert got.top_i2t.shape == (2, 2, 10)
    assert (got.top_i2t[0, :, 3:] == 0).all()
    assert (got.top_t2i[0, :, 2:] == 0).all()
    opposite = match(-torch.ones(1, 2, 3), torch.ones(1, 2, 3), *pairs([2], [2])[2:], 4, matching)
    assert opposite.top_i2t[0, 0, :2].max() < 0
    assert opposite.top_i2t[0, 0, 2:].tolist() == [0, 0]


def test_trap_20_top_matches_descend():
    """They feed a linear layer, so their order counts."""
    torch.manual_seed(0)
    inputs = pairs([5, 7], [4, 6], seed=3)
    got = match(*inputs, 5)
    for top, count in ((got.top_i2t[0], 5), (got.top_t2i[1], 5)):
        assert (top[..., : count - 1] >= top[..., 1:count]).all()
        assert (top[..., 0] > top[..., 1]).all()
    mlp = AssociationGraph(5).double().mlp_i2t
    assert (mlp(got.top_i2t) - mlp(got.top_i2t.flip(-1))).abs().max() > 1e-3


@MATCHINGS
@pytest.mark.parametrize("tile", [(1, 1), (2, 2), (5, 1), (9, 9)])
def test_tiles_change_nothing(matching, tile, monkeypatch):
    inputs = pairs([5, 2, 4, 1, 3], [3, 6, 2])
    wanted = match(*inputs, 4, matching)
    monkeypatch.setattr(graph_module, "_TILE", tile)
    for got, whole in zip(match(*inputs, 4, matching), wanted, strict=True):
        close(got, whole, 1e-14)


class CountProducts(torch.overrides.TorchFunctionMode):
    """Counts matrix products while it is entered."""

    names = frozenset({"matmul", "__matmul__", "mm", "bmm", "einsum", "linear", "__rmatmul__", "addmm", "baddbmm"})

    def __init__(self):
        super().__init__()
        self.products = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.products += getattr(func, "__name__", "") in self.names
        return func(*args, **(kwargs or {}))


def test_trap_13_one_product_a_tile(monkeypatch):
    """No loop over samples: 128 pairs take as many products as there are tiles, and no more memory than a tile."""
    inputs = pairs([3] * 128, [4] * 128, dim=4, dtype=torch.float32)
    for tile, products in (((128, 128), 1), ((64, 32), 8)):
        monkeypatch.setattr(graph_module, "_TILE", tile)
        with CountProducts() as count:
            match(*inputs, 3)
        assert count.products == products


@MATCHINGS
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_products_go_on_in_float32(matching, autocast):
    inputs = pairs([5, 2, 4], [3, 6, 2], dtype=torch.float32)
    wanted = match(*inputs, 4, matching)
    low = inputs if autocast else (*(x.bfloat16() for x in inputs[:2]), *inputs[2:])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = match(*low, 4, matching)
    for ours, exact in zip(got, wanted, strict=True):
        assert ours.dtype == torch.float32
        close(ours, exact, 0.02)
        assert not torch.equal(ours, exact)


def test_length_groups_leave_out_padding(monkeypatch):
    """One long caption does not make the others long: the products hold real fragments and no others."""
    products = []
    monkeypatch.setattr(graph_module, "_TILE", (2, 2))
    tile = graph_module._match_tile
    monkeypatch.setattr(graph_module, "_match_tile", lambda s, r, w, m: products.append(s.numel()) or tile(s, r, w, m))
    inputs = pairs([3, 5, 3, 5], [9, 2, 2, 9])
    match(*inputs, 3)
    assert sum(products) == (3 + 5 + 3 + 5) * (9 + 2 + 2 + 9)


# --- connection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("share", [0.01, 0.29, 0.5, 0.7, 1.0])
def test_exact_number_of_neighbors(size, share):
    keep = max(1, math.floor(share * size + 1e-9))
    for scores in (normal(size, size), torch.zeros(size, size)):
        assert connection(scores, share).sum(1).tolist() == [keep] * size
    assert connection(torch.zeros(size, size), share)[:, :keep].all()  # ties go by index, in long rows too
    assert (size, share) != (100, 0.29) or keep == 29


def test_connection_keeps_the_largest_and_ties_go_by_index():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.7], [0.4, 0.4, 0.4, 0.4], [0.0, 1.0, 1.0, 1.0], [-3.0, -2.0, -1.0, -1.0]])
    assert connection(scores, 0.5).int().tolist() == [[0, 1, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


# --- relevance ------------------------------------------------------------------------------------------------------


def test_distance_relevance_by_hand():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    got = distance_relevance(a, a, 2.0)
    near, far = math.exp(-math.sqrt(2) / 2), math.exp(-1)
    close(got, torch.tensor([[1, near, far], [near, 1, near], [far, near, 1]]), 1e-6)


@pytest.mark.parametrize("size", [3, 40])
def test_trap_14_diagonal_and_gradient_of_duplicates(size):
    """`torch.cdist` has another way above 25 rows: diagonals off by 1e-3, gradient noise for near duplicates."""
    v = F.normalize(normal(size, 1024, dtype=torch.float32), dim=1)
    v[1] = v[0]  # exact duplicate
    v[2] = F.normalize(v[0] + 1e-4 * F.normalize(normal(1024, seed=9, dtype=torch.float32), dim=0), dim=0)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        x = v.to(dtype, copy=True).requires_grad_()
        s = distance_relevance(x, x, 1.0)
        assert (s.diagonal() == 1).all()
        assert s[0, 1] == 1
        s.sum().backward()
        assert x.grad.isfinite().all()
        gradients.append(x.grad)
    close(gradients[0], gradients[1], 1e-3)  # the near pair's direction has three digits in float32
    if size > 25:  # the test can fail: the default way does
        assert (torch.cdist(v, v).diagonal() > 1e-4).any()


def test_distance_relevance_gradients():
    a, b = (F.normalize(normal(4, 5, seed=s), dim=1).requires_grad_() for s in (0, 1))
    assert torch.autograd.gradcheck(lambda x, y: distance_relevance(x, y, 0.7), (a, b))
    x = a.detach().clone().requires_grad_()
    distance_relevance(x, x.detach(), 1.0).diagonal().sum().backward()
    assert (x.grad == 0).all()  # distance 0: neither NaN nor a direction out of nothing
    # away from itself the diagonal adds nothing to the gradient of the whole
    x.grad = None
    assert torch.autograd.gradcheck(lambda t: distance_relevance(t, t, 1.0)[~torch.eye(4, dtype=torch.bool)], x)


def test_regularizer_is_torchs():
    s_i2t, s_t2i, guide = normal(4, 4), normal(4, 4, seed=1), normal(4, 4, seed=2)
    wanted = sum(
        F.kl_div(g.log_softmax(1), s.log_softmax(1), reduction="batchmean", log_target=True)
        for s, g in ((s_i2t, guide), (s_t2i, guide.T))
    )
    close(relevance_regularizer(s_i2t, s_t2i, guide), wanted, 1e-12)
    close(relevance_regularizer(guide, guide.T, guide), torch.zeros(()), 1e-12)
    leaf = guide.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: relevance_regularizer(a, b, guide), (s_i2t.requires_grad_(), s_t2i.requires_grad_())
    )
    relevance_regularizer(s_i2t, s_t2i, leaf).backward()
    assert leaf.grad is None


# --- the whole graph ------------------------------------------------------------------------------------------------


def graph_inputs(region_counts, word_counts, dim=6, grad=False, dtype=torch.float64):
    regions, words, region_mask, word_mask = pairs(region_counts, word_counts, dim, dtype=dtype)
    embs = [F.normalize(normal(len(region_counts), dim, seed=s, dtype=dtype), dim=1) for s in (7, 8)]
    leaves = [x.requires_grad_(grad) for x in (*embs, regions, words)]
    return encoded(leaves[0], leaves[2], region_mask), encoded(leaves[1], leaves[3], word_mask)


def test_relevance_mlps_start_equal():
    torch.manual_seed(0)
    built = AssociationGraph(4)
    for a, b in zip(built.mlp_i2t.parameters(), built.mlp_t2i.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a is not b
    assert [type(x).__name__ for x in built.mlp_i2t] == ["Linear", "ReLU", "Linear"]


def test_blocks_stand_where_they_should():
    built = AssociationGraph(3, share=0.5).double()
    images, texts = graph_inputs([3, 4, 2, 5], [2, 6, 4, 3])
    got = built(images, texts)
    assert got.connection.dtype == torch.bool
    close(got.block("i2i"), distance_relevance(images.emb, images.emb, 1.0), 1e-12)
    close(got.block("t2t"), distance_relevance(texts.emb, texts.emb, 1.0), 1e-12)
    matches = got.matches
    close(got.block("i2t"), built.mlp_i2t(matches.top_i2t).squeeze(-1) + matches.match_i2t, 1e-12)
    close(got.block("t2i"), built.mlp_t2i(matches.top_t2i).squeeze(-1) + matches.match_t2i, 1e-12)
    assert torch.equal(got.block("i2t", "connection"), connection(matches.match_i2t, 0.5))
    assert torch.equal(got.block("t2i", "connection"), connection(matches.match_t2i, 0.5))
    assert torch.equal(got.block("t2t", "connection"), connection(texts.emb @ texts.emb.T, 0.5))
    guide = distance_relevance(images.emb, texts.emb, 1.0)
    close(got.regularizer, relevance_regularizer(got.block("i2t"), got.block("t2i"), guide), 1e-12)
    close(got.relevance[0, 4:], got.block("i2t")[0], 0.0)
    close(got.relevance[4:, 1], got.block("t2i")[:, 1], 0.0)


def test_gradient_of_the_graph():
    """Of S, into the MLPs and the embeddings alone; of L_reg, into the two MLPs alone."""
    built = AssociationGraph(3).double()
    images, texts = graph_inputs([3, 4, 2], [2, 6, 4], grad=True)
    got = built(images, texts)
    got.regularizer.backward(retain_graph=True)
    leaves = images.emb, texts.emb, images.fragments, texts.fragments
    assert [leaf.grad is None or bool((leaf.grad == 0).all()) for leaf in leaves] == [True] * 4
    assert all(p.grad.abs().max() > 0 for n, p in built.named_parameters() if n.endswith("weight"))
    got.relevance.square().sum().backward()
    assert images.emb.grad.abs().max() > 0
    assert texts.emb.grad.abs().max() > 0
    assert images.fragments.grad is None
    assert texts.fragments.grad is None


def test_permuting_the_batch_permutes_the_graph():
    built = AssociationGraph(3).double()
    images, texts = graph_inputs([3, 4, 2, 5, 2], [2, 6, 4, 3, 2])  # one region alone would match all texts alike: ties
    order = torch.tensor([3, 0, 4, 1, 2])
    nodes = torch.cat([order, order + 5])
    got = built(*(type(e)(*(x[order] for x in e[:5])) for e in (images, texts)))
    wanted = built(images, texts)
    close(got.relevance, wanted.relevance[nodes][:, nodes], 1e-12)
    assert torch.equal(got.connection, wanted.connection[nodes][:, nodes])
    close(got.regularizer, wanted.regularizer, 1e-12)


@pytest.mark.parametrize(("region_counts", "word_counts"), [([4], [5]), ([1], [1]), ([1, 1], [1, 1])])
def test_trap_07_a_batch_of_one_and_single_fragments(region_counts, word_counts):
    """floor(0.5 x 1) is 0: every row keeps one node all the same."""
    built = AssociationGraph(10).double()
    got = built(*graph_inputs(region_counts, word_counts, grad=True))
    for block in ("i2i", "i2t", "t2i", "t2t"):
        assert got.block(block, "connection").sum(1).tolist() == [1] * len(region_counts)
    assert got.relevance.isfinite().all()
    assert got.regularizer.isfinite()
    (got.relevance.sum() + got.regularizer).backward()
    assert all(p.grad.isfinite().all() for p in built.parameters())


def test_all_equal_items():
    """Nothing to choose by: rows keep the first nodes, S is 1 within a modality, nothing is NaN."""
    images, texts = graph_inputs([3] * 4, [3] * 4)
    images, texts = (
        encoded(e.emb[:1].expand(4, -1).clone().requires_grad_(), e.fragments[:1, :1].expand(4, 3, -1), e.mask)
        for e in (images, texts)
    )
    got = AssociationGraph(3).double()(images, texts)
    for block in ("i2i", "i2t", "t2i", "t2t"):
        assert got.block(block, "connection").int().tolist() == [[1, 1, 0, 0]] * 4
    close(got.block("i2i"), torch.ones(4, 4), 1e-12)
    got.relevance.sum().backward()
    assert images.emb.grad.isfinite().all()


def test_zero_fragments():
    """A region that is the zero vector matches nothing; it makes no NaN."""
    regions, words, *masks = pairs([3, 2], [2, 3])
    regions[0, 1] = 0
    got = match(regions, words, *masks, 4)
    assert all(x.isfinite().all() for x in got)


def test_unequal_numbers_are_refused():
    images, _ = graph_inputs([2, 2], [2, 2])
    _, texts = graph_inputs([2], [2])
    with pytest.raises(ValueError, match="got 2 images and 1 texts"):
        AssociationGraph(3).double()(images, texts)
