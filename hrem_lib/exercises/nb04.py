"""Checks of notebook 04, relation interaction (Sec 3.3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.interaction import Fusion, additive_mask


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --------------------------------------------------------------------------------- a: attention under A and S


def _weights(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return (scores + torch.where(connection, weight * relevance, -torch.inf)).softmax(-1)


def _zero_times_inf(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return (scores + weight * torch.where(connection, relevance, -torch.inf)).softmax(-1)


def _after(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return (scores + weight * relevance).softmax(-1) * connection


def _product(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return (scores + weight * relevance * connection).softmax(-1)


def _columns(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return (scores + torch.where(connection, weight * relevance, -torch.inf)).softmax(0)


def _no_weight(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return _weights(scores, connection, relevance, 1.0)


def _inverted(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return _weights(scores, ~connection, relevance, weight)


def _outside(scores: Tensor, connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    return _weights(scores, connection, torch.zeros_like(relevance), 1.0) + weight * relevance * connection


def check_a(fn) -> str:
    """`relation_weights(scores, connection, relevance, weight) -> [n,m]`, softmax(scores + lambda S) where A = 1."""
    connection = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    relevance = torch.tensor([[1.0, 0.3, 0.8], [0.3, 1.0, 0.2], [0.8, 0.2, 1.0]])
    scores = torch.tensor([[0.0, 2.0, 0.5], [0.1, 0.0, -0.4], [0.7, 0.2, 0.0]])
    args = (scores, connection, relevance)
    got = fn(*args, 2.0)
    expect_shape(got, (3, 3), "attention")
    known = {
        "The mask came after the softmax: excluded nodes still take their share, so rows do not add up to one.": (
            _after(*args, 2.0)
        ),
        "A product with A makes excluded scores 0, and exp(0) = 1 is not nothing; wanted -inf there.": _product(
            *args, 2.0
        ),
        "You took the softmax over columns; wanted over each row, the node that looks.": _columns(*args, 2.0),
        "The weight lambda does not enter.": _no_weight(*args, 2.0),
        "A is inverted: True means connected, so the others are excluded.": _inverted(*args, 2.0),
        "S was added after the softmax; wanted inside, beside the scores.": _outside(*args, 2.0),
    }
    expect_close(got, _weights(*args, 2.0), "attention with lambda = 2", known)
    plain = fn(*args, 0.0)
    if torch.isnan(plain).any():
        raise Wrong(
            "lambda = 0 gives NaN, because 0 x (-inf) is not a number: multiply S by lambda before -inf comes in."
        )
    expect_close(plain, _weights(*args, 0.0), "attention with lambda = 0, plain masked attention", {})
    scores, relevance = _random(8, 8), _random(8, 8, seed=1)
    connection = torch.eye(8, dtype=torch.bool) | (_random(8, 8, seed=2) > 0)
    slow = torch.zeros(8, 8, dtype=torch.float64)
    for i in range(8):
        parts = {j: torch.exp(scores[i, j] + 1.5 * relevance[i, j]) for j in range(8) if connection[i, j]}
        for j, part in parts.items():
            slow[i, j] = part / sum(parts.values())
    expect_close(fn(scores, connection, relevance, 1.5), slow, "attention against a loop", tol=1e-6)
    return "Each row adds up to one, and what is not connected gets exactly zero."


# ------------------------------------------------------------------------------------- b: a permutation test


class _Positions(nn.Module):
    """A broken interaction: it adds something that depends on the place in the batch."""

    def __init__(self, inner: Fusion, size: int, texts: bool):
        super().__init__()
        self.inner, self.texts, self.place = inner, texts, 0.3 * _random(size, 16, seed=7).float()

    def forward(self, v: Tensor, u: Tensor, bias: Tensor, return_weights: bool = False):
        return self.inner(v, u + self.place, bias) if self.texts else self.inner(v + self.place, u, bias)


class _OwnGraph(nn.Module):
    """A broken interaction: each modality forgets half of the bias."""

    def __init__(self, inner: Fusion):
        super().__init__()
        self.inner = inner

    def forward(self, v: Tensor, u: Tensor, bias: Tensor, return_weights: bool = False):
        return self.inner(v, u, torch.where(torch.ones_like(bias, dtype=torch.bool).triu(), bias, 0.0))


def _case() -> tuple[Fusion, Tensor, Tensor, Tensor, Tensor]:
    state = torch.random.get_rng_state()
    torch.manual_seed(3)
    layer = Fusion(16, 2, 1).eval()
    torch.random.set_rng_state(state)
    layer.requires_grad_(False)
    for p in layer.parameters():
        p.mul_(3)  # large weights, so that a wrong graph shows
    v, u = (F.normalize(_random(5, 16, seed=n).float(), dim=-1) for n in (1, 2))
    a = torch.eye(5, dtype=torch.bool).repeat(2, 2) | (_random(10, 10, seed=4) > 0.5)
    bias = additive_mask(a, 2 * _random(10, 10, seed=5).float(), 1.0)
    return layer, v, u, bias, torch.tensor([3, 0, 4, 1, 2])


def _follows(layer, v: Tensor, u: Tensor, bias: Tensor, order: Tensor) -> bool:
    both = torch.cat([order, order + len(order)])
    v1, u1 = layer(v, u, bias)[:2]
    v2, u2 = layer(v[order], u[order], bias[both][:, both])[:2]
    return bool(torch.allclose(v1[order], v2, atol=1e-5) and torch.allclose(u1[order], u2, atol=1e-5))


def _bias_stays(layer, v: Tensor, u: Tensor, bias: Tensor, order: Tensor) -> bool:
    v1, u1 = layer(v, u, bias)[:2]
    v2, u2 = layer(v[order], u[order], bias)[:2]
    return bool(torch.allclose(v1[order], v2, atol=1e-5) and torch.allclose(u1[order], u2, atol=1e-5))


def _rows_only(layer, v: Tensor, u: Tensor, bias: Tensor, order: Tensor) -> bool:
    both = torch.cat([order, order + len(order)])
    v1, u1 = layer(v, u, bias)[:2]
    v2, u2 = layer(v[order], u[order], bias[both])[:2]
    return bool(torch.allclose(v1[order], v2, atol=1e-5) and torch.allclose(u1[order], u2, atol=1e-5))


def _not_back(layer, v: Tensor, u: Tensor, bias: Tensor, order: Tensor) -> bool:
    both = torch.cat([order, order + len(order)])
    v1, u1 = layer(v, u, bias)[:2]
    v2, u2 = layer(v[order], u[order], bias[both][:, both])[:2]
    return bool(torch.allclose(v1, v2, atol=1e-5) and torch.allclose(u1, u2, atol=1e-5))


def _images_only(layer, v: Tensor, u: Tensor, bias: Tensor, order: Tensor) -> bool:
    both = torch.cat([order, order + len(order)])
    return bool(
        torch.allclose(layer(v, u, bias)[0][order], layer(v[order], u[order], bias[both][:, both])[0], atol=1e-5)
    )


def check_b(fn) -> str:
    """`follows(layer, v, u, bias, order) -> bool`, True if shuffled pairs give outputs shuffled alike."""
    layer, v, u, bias, order = _case()
    with torch.no_grad():
        got = fn(layer, v, u, bias, order)
        if not isinstance(got, bool):
            raise Wrong(f"The answer should be True or False, yours is of type {type(got).__name__}.")
        if not got:
            raise Wrong(
                "Your test says False for a right Fusion layer: shuffle v, u, and rows and columns of the bias in both "
                "halves, and compare with the outputs shuffled alike."
            )
        if fn(_Positions(layer, 5, texts=False), v, u, bias, order):
            raise Wrong("Your test does not see a layer whose picture tokens depend on their place in the batch.")
        if fn(
            _Positions(layer, 5, texts=True), v, u, torch.where(bias.isfinite() & _inside(5), bias, -torch.inf), order
        ):
            raise Wrong(
                "Your test does not see a layer whose caption tokens depend on their place: compare both outputs."
            )
        if fn(_OwnGraph(layer), v, u, bias, order):
            raise Wrong("Your test does not see a layer that uses only a part of the graph.")
    return "A batch is a set: its order means nothing."


def _inside(b: int) -> Tensor:
    """True in the two blocks within a modality, so that a fault of the captions stays with them."""
    half = torch.arange(2 * b) < b
    return half[:, None] == half[None]


# ----------------------------------------------------------------------------------------- c: isolate a node


def _isolate(connection: Tensor, node: int) -> Tensor:
    out = connection.clone()
    out[:, node] = False
    out[node, node] = connection[node, node]
    return out


def _row(connection: Tensor, node: int) -> Tensor:
    out = connection.clone()
    out[node] = False
    out[node, node] = connection[node, node]
    return out


def _row_and_column(connection: Tensor, node: int) -> Tensor:
    out = _isolate(connection, node)
    out[node] = False
    out[node, node] = connection[node, node]
    return out


def _without_itself(connection: Tensor, node: int) -> Tensor:
    out = connection.clone()
    out[:, node] = False
    return out


def _in_place(connection: Tensor, node: int) -> Tensor:
    keep = connection[node, node].clone()
    connection[:, node] = False
    connection[node, node] = keep
    return connection


def _one_block(connection: Tensor, node: int) -> Tensor:
    out, half = connection.clone(), len(connection) // 2
    side = slice(0, half) if node < half else slice(half, None)
    out[side, node] = False
    out[node, node] = connection[node, node]
    return out


def check_c(fn) -> str:
    """`mute(connection, node) -> bool [2B,2B]`: nobody but the node itself looks at it; all else stays."""
    connection = torch.ones(4, 4, dtype=torch.bool)
    connection[0, 3] = False
    before = connection.clone()
    got = fn(connection, 1)
    expect_shape(got, (4, 4), "connection")
    if not torch.equal(connection, before):
        raise Wrong("Your function changed its argument; work on a copy (clone).")
    expect_close(
        got.double(),
        _isolate(connection, 1).double(),
        "connection with node 1 muted",
        {
            "You cleared the row: then node 1 looks at nobody, but the others still look at it, in its column.": (
                _row(connection, 1).double()
            ),
            "You cleared row and column; node 1 may go on looking at others.": _row_and_column(connection, 1).double(),
            "Node 1 must keep the look at itself.": _without_itself(connection, 1).double(),
            "You cleared one block only; captions look at pictures, too.": _one_block(connection, 1).double(),
        },
    )
    alone = torch.zeros(4, 4, dtype=torch.bool)
    if fn(alone, 2).any():
        raise Wrong("Muting must not add a link: node 2 did not look at itself before.")
    layer, v, u, bias, _ = _case()
    relevance = torch.where(bias.isfinite(), bias, 0.0)
    muted = additive_mask(fn(bias.isfinite(), 7), relevance, 1.0)  # node 7 = caption 3
    with torch.no_grad():
        first = torch.cat(layer(v, u, muted)[:2])
        changed = torch.cat(layer(v, u.index_fill(0, torch.tensor([2]), 0.25), muted)[:2])
    moved = (first - changed).abs().amax(1) > 1e-6
    if moved.nonzero().flatten().tolist() != [7]:
        raise Wrong(
            f"After muting node 7 a change of it reached the nodes {moved.nonzero().flatten().tolist()}, wanted [7]."
        )
    return "A change of that node now reaches nobody else: influence runs through columns of A."


# ---------------------------------------------------------------------------- d: which terms reach a neighbor


def check_d(answer) -> str:
    """(L(v,u), L(v̄,ū), L(v̄,u), L(v,ū)): does pair 1's similarity in this term send a gradient to v_2?"""
    if not isinstance(answer, tuple | list) or len(answer) != 4 or not all(isinstance(a, bool) for a in answer):
        raise Wrong("The answer should be four times True or False, for L(v,u), L(v̄,ū), L(v̄,u), L(v,ū).")
    plain, enhanced, image, text = answer
    if plain:
        raise Wrong("L(v,u): v_1 and u_1 were encoded alone, so v_2 has no part in s(v_1, u_1).")
    if enhanced and image and not text:
        raise Wrong("L(v,ū): v_1 is plain, but ū_1 has looked at picture 2, so the gradient reaches v_2 through ū_1.")
    if enhanced and not image and not text:
        raise Wrong("The crossed terms count, too: one bar is enough, because v̄_1 or ū_1 has looked at picture 2.")
    if not enhanced:
        raise Wrong("L(v̄,ū): v̄_1 is a mix with v_2 in it, so the gradient of s(v̄_1, ū_1) reaches v_2.")
    if not image:
        raise Wrong("L(v̄,u): v̄_1 is a mix with v_2 in it, so the gradient reaches v_2 through v̄_1.")
    return "Every term with a bar trains a pair's neighbors along with it."


# ----------------------------------------------------------------------------------------------- e: counting


def check_e(answer) -> str:
    """(scores of Fusion, of Standalone, weights of Fusion, of Standalone) for B = 128, D = 1024, one layer."""
    b, d = 128, 1024
    wanted = (4 * b * b, 4 * b * b, 6 * d * d, 20 * d * d)
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        raise Wrong(
            "The answer should be four numbers: scores of Fusion and Standalone, weights of Fusion and Standalone."
        )
    fusion, standalone, small, large = answer
    if fusion == 2 * b * b:
        raise Wrong("Scores of Fusion: the sequence has 2B tokens, so there are (2B)^2 scores, not 2 B^2.")
    if fusion != wanted[0]:
        raise Wrong(f"Scores of Fusion: wanted (2B)^2 = {wanted[0]}, yours is {fusion}.")
    if standalone == 2 * b * b:
        raise Wrong("Scores of Standalone: each branch has two attentions, across and within, of B^2 scores each.")
    if standalone != wanted[1]:
        raise Wrong(
            f"Scores of Standalone: wanted 2 branches x 2 attentions x B^2 = {wanted[1]}, yours is {standalone}."
        )
    if small == 4 * d * d:
        raise Wrong("Weights of Fusion: you left out the feed-forward part, two more matrices of D x D.")
    if small != wanted[2]:
        raise Wrong(f"Weights of Fusion: wanted (3 + 1 + 2) D^2 = {wanted[2]}, yours is {small}.")
    if large == 10 * d * d:
        raise Wrong("Weights of Standalone: that is one branch; the two branches have weights of their own.")
    if large != wanted[3]:
        raise Wrong(f"Weights of Standalone: wanted 2 x (4 + 4 + 2) D^2 = {wanted[3]}, yours is {large}.")
    return "The same number of scores, more than three times the weights."


_RIGHT_E = (65_536, 65_536, 6_291_456, 20_971_520)
MISTAKES = [
    ("a", "zero times minus infinity", _zero_times_inf, "0 x (-inf)"),
    ("a", "mask after softmax", _after, "after the softmax: excluded"),
    ("a", "product with A", _product, "exp(0) = 1"),
    ("a", "columns", _columns, "over columns"),
    ("a", "no lambda", _no_weight, "does not enter"),
    ("a", "inverted", _inverted, "inverted"),
    ("a", "S outside", _outside, "S was added after"),
    ("b", "bias not shuffled", _bias_stays, "says False for a right"),
    ("b", "rows only", _rows_only, "says False for a right"),
    ("b", "outputs not shuffled", _not_back, "says False for a right"),
    ("b", "images only", _images_only, "compare both outputs"),
    ("b", "always true", lambda *args: True, "does not see a layer"),
    ("b", "a tensor", lambda *args: torch.tensor(True), "True or False"),
    ("c", "row", _row, "cleared the row"),
    ("c", "row and column", _row_and_column, "row and column"),
    ("c", "not itself", _without_itself, "keep the look at itself"),
    ("c", "in place", _in_place, "changed its argument"),
    ("c", "one block", _one_block, "one block only"),
    ("d", "all", ((True, True, True, True),), "encoded alone"),
    ("d", "only enhanced", ((False, True, False, False),), "crossed terms count"),
    ("d", "not through the caption", ((False, True, True, False),), "through ū_1"),
    ("d", "none", ((False, False, False, False),), "is a mix with v_2"),
    ("e", "two blocks", ((2 * 128**2, *_RIGHT_E[1:]),), "2B tokens"),
    ("e", "half", ((65_536, 2 * 128**2, *_RIGHT_E[2:]),), "across and within"),
    ("e", "no feed-forward", ((65_536, 65_536, 4 * 1024**2, 20 * 1024**2),), "left out the feed-forward"),
    ("e", "one branch", ((65_536, 65_536, 6 * 1024**2, 10 * 1024**2),), "one branch"),
]
