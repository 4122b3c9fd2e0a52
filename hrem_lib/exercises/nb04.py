"""Checks of notebook 04, relation interaction (Sec 3.3.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.probes import ask, expect_dtype, expect_gradient
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
    rows = [[0.0, 2.0], [1.0, 0.5]], [[True, False], [True, True]], [[1.0, 0.3], [0.8, 0.5]]
    scores, connection, relevance = (torch.tensor(part) for part in rows)
    args = scores, connection, relevance
    case = f"for scores {rows[0]}, A {rows[1]}, S {rows[2]} and lambda = "
    got = ask(fn, *args, 2.0)
    expect_shape(got, (2, 2), "attention")
    parts = torch.exp(scores + 2 * relevance) * connection
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
        "S does not enter: this is the softmax of the scores alone where A = 1.": _weights(*args, 0.0),
        "The scores do not enter: this is the softmax of lambda S alone.": (
            _weights(0 * scores, connection, relevance, 2.0)
        ),
        "A is transposed: row = who looks.": _weights(scores, connection.T, relevance, 2.0),
        "The parts are not divided by the sum of their row.": parts,
        "You divided by the sum of the whole matrix; wanted each row by its own.": parts / parts.sum(),
    }
    expect_close(got, _weights(*args, 2.0), "attention", known, case=f"{case}2")
    plain = ask(fn, *args, 0.0)
    if torch.isnan(plain).any():
        raise Wrong(
            "lambda = 0 gives NaN, because 0 x (-inf) is not a number: multiply S by lambda before -inf comes in."
        )
    expect_close(plain, _weights(*args, 0.0), "attention", case=f"{case}0 (plain masked attention)")
    for rows in (
        ([[1.0, 1.0, 3.0]], [[True, True, False]], [[0.0, 0.5, 1.0]]),  # a connected pair with relevance 0, n != m
        ([[0.0, 30.0]], [[True, False]], [[0.5, -1.0]]),
        ([[0.3]], [[True]], [[-0.2]]),
    ):
        a, b, c = (torch.tensor(part) for part in rows)
        case = f"for scores {rows[0]}, A {rows[1]}, S {rows[2]} and lambda = 1"
        expect_close(ask(fn, a, b, c, 1.0), _weights(a, b, c, 1.0), "attention", case=case)
    scores, relevance = _random(8, 8), _random(8, 8, seed=1)
    connection = torch.eye(8, dtype=torch.bool) | (_random(8, 8, seed=2) > 0)
    slow = torch.zeros(8, 8, dtype=torch.float64)
    for i in range(8):
        parts = {j: torch.exp(scores[i, j] + 1.5 * relevance[i, j]) for j in range(8) if connection[i, j]}
        for j, part in parts.items():
            slow[i, j] = part / sum(parts.values())
    case = "of eight random nodes, against a loop"
    expect_close(ask(fn, scores, connection, relevance, 1.5), slow, "attention", tol=1e-6, case=case)
    args = torch.tensor([[1000.0, 999.0]]), torch.tensor([[True, True]]), torch.tensor([[0.0, 0.0]])
    if torch.isnan(ask(fn, *args, 1.0)).any():
        raise Wrong("Scores [[1000, 999]] give NaN: exp(1000) is infinite; softmax takes the largest off before exp.")
    for by in (0, 2):
        expect_gradient(fn, _weights, scores, connection, relevance, 1.5, by=by)
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


class _Moved(nn.Module):
    """A broken interaction: each pair gets the outputs of the pair before it."""

    def __init__(self, inner: Fusion):
        super().__init__()
        self.inner = inner

    def forward(self, v: Tensor, u: Tensor, bias: Tensor, return_weights: bool = False):
        v_rel, u_rel, weights = self.inner(v, u, bias)
        return v_rel.roll(1, 0), u_rel.roll(1, 0), weights


class _Slightly(nn.Module):
    """A broken interaction: the place in the batch adds up to 0.004 to the outputs."""

    def __init__(self, inner: Fusion):
        super().__init__()
        self.inner = inner

    def forward(self, v: Tensor, u: Tensor, bias: Tensor, return_weights: bool = False):
        v_rel, u_rel, weights = self.inner(v, u, bias)
        return v_rel + 0.001 * torch.arange(len(v))[:, None], u_rel, weights


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


def _expect_second_run(runs: list[list[Tensor]], v: Tensor, u: Tensor, bias: Tensor, order: Tensor):
    """Refuse a test that never gave the layer the pairs in the given order."""
    both = torch.cat([order, order + len(order)])
    with_v = [run for run in runs if torch.equal(run[0], v[order])]
    if not with_v:
        raise Wrong("Your test never runs the layer on v[order]: the second run gets the pairs in the given order.")
    with_u = [run for run in with_v if torch.equal(run[1], u[order])]
    if not with_u:
        raise Wrong("Your second run gets v[order], but not u[order]: pairs stay together.")
    seen = [run[2] for run in with_u]
    if any(torch.equal(one, bias[both][:, both]) for one in seen):
        return
    if any(torch.equal(one, bias) for one in seen):
        raise Wrong("The bias of your second run is not shuffled: shuffle rows and columns of both halves.")
    if any(torch.equal(one, bias[both]) or torch.equal(one, bias[:, both]) for one in seen):
        raise Wrong("Your second run shuffles only the rows or only the columns of the bias; wanted both.")
    raise Wrong(
        "The bias of your second run is not that of the shuffled pairs: wanted row and column both[n] of the old one "
        "at row and column n, where `both` holds order, then B + order."
    )


def check_b(fn) -> str:
    """`follows(layer, v, u, bias, order) -> bool`, True if shuffled pairs give outputs shuffled alike."""
    layer, v, u, bias, order = _case()
    runs: list[list[Tensor]] = []

    def watch(_, given, named):
        runs.append([part.clone() for part in (*given, *named.values()) if isinstance(part, Tensor)])

    layer.register_forward_pre_hook(watch, with_kwargs=True)
    inside = torch.where(bias.isfinite() & _inside(5), bias, -torch.inf)
    with torch.no_grad():
        got = ask(fn, layer, v, u, bias, order)
        if not isinstance(got, bool | np.bool_):
            raise Wrong(f"The answer should be True or False, yours is of type {type(got).__name__}.")
        _expect_second_run(runs, v, u, bias, order)
        if not got:
            raise Wrong(
                "Your test says False for a right Fusion layer, though its second run is right: compare that run with "
                "v_rel[order] and u_rel[order] of the first, to 1e-5 and not exactly."
            )
        if not ask(fn, layer, v[:1], u[:1], bias[[0, 5]][:, [0, 5]], torch.tensor([0])):
            raise Wrong("Your test says False for a right Fusion layer and a batch of one pair.")
        for broken, mask, fault in (
            (_Positions(layer, 5, texts=False), bias, "picture tokens depend on their place in the batch"),
            (_Positions(layer, 5, texts=True), inside, "caption tokens depend on their place: compare both outputs"),
            (_Positions(layer, 5, texts=False), inside, "picture tokens depend on their place: compare both outputs"),
        ):
            if ask(fn, broken, v, u, mask, order):
                raise Wrong(f"Your test does not see a layer whose {fault}.")
        if ask(fn, _OwnGraph(layer), v, u, bias, order):
            raise Wrong("Your test does not see a layer that uses only a part of the graph.")
        if ask(fn, _Moved(layer), v, u, bias, order):
            raise Wrong(
                "Your test does not see a layer that hands each pair the outputs of the one before: compare rows."
            )
        if ask(fn, _Slightly(layer), v, u, bias, order):
            raise Wrong("Your test does not see a layer whose outputs are off by 0.004; wanted equal to 1e-5.")
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
    for node in (1, 2):
        got = ask(fn, connection, node)
        expect_shape(got, (4, 4), "connection")
        got = torch.as_tensor(got)
        expect_dtype(got, torch.bool, "connection")
        known = {
            f"You cleared the row: then node {node} looks at nobody, but the others still look at it, in its column.": (
                _row(connection, node).double()
            ),
            f"You cleared row and column; node {node} may go on looking at others.": (
                _row_and_column(connection, node).double()
            ),
            f"Node {node} must keep the look at itself.": _without_itself(connection, node).double(),
            "You cleared one block only; captions look at pictures, too.": _one_block(connection, node).double(),
            "Nothing has changed: clear the column of the node.": connection.double(),
            f"You muted node {(node + 2) % 4}, too, the partner of node {node}; only node {node} was asked for.": (
                _isolate(_isolate(connection, node), (node + 2) % 4).double()
            ),
        }
        case = f"with all four nodes connected (but [0, 3]) and node {node} muted"
        expect_close(got.double(), _isolate(connection, node).double(), "connection", known, case=case)
    alone = torch.zeros(4, 4, dtype=torch.bool)
    if ask(fn, alone, 2).any():
        raise Wrong("Muting must not add a link: node 2 did not look at itself before.")
    layer, v, u, bias, _ = _case()
    relevance = torch.where(bias.isfinite(), bias, 0.0)
    muted = additive_mask(ask(fn, bias.isfinite(), 7), relevance, 1.0)  # node 7 = caption 3
    with torch.no_grad():
        first = torch.cat(layer(v, u, muted)[:2])
        changed = torch.cat(layer(v, u.index_fill(0, torch.tensor([2]), 0.25), muted)[:2])
    moved = (first - changed).abs().amax(1) > 1e-6
    if moved.nonzero().flatten().tolist() != [7]:
        raise Wrong(
            f"After muting node 7 a change of it reached the nodes {moved.nonzero().flatten().tolist()}, wanted [7]."
        )
    expect_close(
        torch.as_tensor(ask(fn, bias.isfinite(), 7)).double(),
        _isolate(bias.isfinite(), 7).double(),
        "connection",
        case="of ten nodes with node 7 muted",
    )
    return "A change of that node now reaches nobody else: influence runs through columns of A."


# ---------------------------------------------------------------------------- d: which terms reach a neighbor


def check_d(answer) -> str:
    """(L(v,u), L(v̄,ū), L(v̄,u), L(v,ū)): does pair 1's similarity in this term send a gradient to v_2?"""
    if not isinstance(answer, tuple | list) or len(answer) != 4 or not all(a in (True, False) for a in answer):
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
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        raise Wrong(
            "The answer should be four numbers: scores of Fusion and Standalone, weights of Fusion and Standalone."
        )
    parts = ("Scores of Fusion", "Scores of Standalone", "Weights of Fusion", "Weights of Standalone")
    wanted = (4 * b * b, 4 * b * b, 6 * d * d, 20 * d * d)
    formula = ("(2B)^2", "2 branches x 2 attentions x B^2", "(3 + 1 + 2) D^2", "2 x (4 + 4 + 2) D^2")
    known: tuple[dict[int, str], ...] = (
        {
            2 * b * b: "the sequence has 2B tokens, so there are (2B)^2 scores, not 2 B^2.",
            b * b: "the sequence has 2B tokens, pictures and captions, so there are (2B)^2 scores, not B^2.",
            16 * 4 * b * b: "that is 16 heads; the question is about one.",
        },
        {
            2 * b * b: "both branches have two attentions, across and within, of B^2 scores each.",
            8 * b * b: "that is twice as many: two branches with two attentions of B^2 scores each.",
            16 * 4 * b * b: "that is 16 heads; the question is about one.",
            6 * d * d: "that is a number of weights; the order is scores, scores, weights, weights.",
        },
        {
            4 * d * d: "you left out the feed-forward part, two more matrices of D x D.",
            5 * d * d: "Q, K, V, the output and the feed-forward part's two make six matrices, not five.",
            12 * d * d: "the feed-forward part here has width D, not 4D: two matrices of D x D.",
            20 * d * d: "that is the number of Standalone.",
        },
        {
            10 * d * d: "that is one branch; the two branches have weights of their own.",
            6 * d * d: "that is the number of Fusion; each branch has an attention more, and weights of its own.",
            12 * d * d: "each branch has two attentions, across and within, and one feed-forward part.",
            16
            * d
            * d: "a branch has two attentions of four matrices (Q, K, V, output) and a feed-forward part of two.",
            24 * d * d: "each branch has one feed-forward part, after both attentions.",
        },
    )
    for name, want, how, hints, got in zip(parts, wanted, formula, known, answer, strict=True):
        if got != want:
            if got in hints:
                raise Wrong(f"{name}: {hints[got]}")
            raise Wrong(f"{name}: wanted {how} = {want}, yours is {got}.", "generic")
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
    ("b", "bias not shuffled", _bias_stays, "is not shuffled"),
    ("b", "rows only", _rows_only, "only the rows or only the columns"),
    ("b", "outputs not shuffled", _not_back, "says False for a right"),
    ("b", "images only", _images_only, "compare both outputs"),
    ("b", "always true", lambda *args: True, "never runs the layer"),
    ("b", "a tensor", lambda *args: torch.tensor(True), "True or False"),
    ("c", "row", _row, "cleared the row"),
    ("c", "row and column", _row_and_column, "row and column"),
    ("c", "not itself", _without_itself, "keep the look at itself"),
    ("c", "in place", _in_place, "changes its argument"),
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
