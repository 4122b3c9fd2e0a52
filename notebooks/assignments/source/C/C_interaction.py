# %% numbers=true
hand_scores = (rng.permutation(16).reshape(4, 4) / 20).round(2)
hand_scores[1, 1] = -1  # a node that is not its own best neighbor
hand_self = np.zeros((4, 4), bool)
for i in range(4):
    order = sorted((j for j in range(4) if j != i), key=lambda j: -hand_scores[i, j])
    hand_self[i, [i, order[0]]] = True
plain = np.zeros((4, 4), bool)
for i in range(4):
    plain[i, np.argsort(-hand_scores[i])[:2]] = True
strengths = [float(x) for x in (rng.permutation(6)[:4] + 1) / 2]
relevance = ((rng.permutation(16).reshape(4, 4) + 1) / 20).round(2)
angle = float(rng.choice([20, 30, 40, 50]))
drop = int(rng.integers(0, 4))

# %% [markdown]
# # Assignment C: two ways to let a batch talk
#
# **Points** 40 (32 by tests, 8 by a person) · **Hours** 3 to 4 · **Needs** notebook 04
#
# - Write code only where `NotImplementedError` stands, and text only where *Your answer here* stands. You may add cells of your own.
# - The cell below each task tests your function and answers in a sentence. **Hidden tests** give the rest of the points: other numbers, edge cases, empty rows, a
#   batch of one. They test what the task says, nothing else.
# - The tasks *change* what the lesson and the library do. A function of the library is in general **not** the answer.
# - A function leaves the arrays, tensors and lists that it is given as they are.
# - **Row = who looks, column = who is looked at**, images first. B pairs make 2B nodes.

# %% given="setup"
import numpy as np
import torch
from torch.nn import functional as F
from hrem_lib import checkpoints, data
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.grading import expect_type, gradient, part, total, unchanged

SEED = {{data_seed}}  # your course's

# %% [markdown]
# ## C1. Always listen to yourself (4 points)
#
# Equation (5) keeps the most similar nodes, and a node is most similar to itself. After matching by fragments that need not be so. New rule for one block [B,B]: each row keeps **exactly** $\max(1, \lfloor \rho B \rfloor)$ nodes (2.6 makes 2; 0.3 makes 1), **itself
# always one of them**, the others being the best of the rest (ties: the smaller index). The result is of type bool.

# %% answer="C1"
def self_loop_connection(scores, share):
    """Connection of one block in which every node keeps itself: scores [B,B], rho -> bool [B,B]."""
    ### BEGIN SOLUTION
    keep = max(1, int(share * scores.size(1) + 1e-9))
    scores = scores.clone().fill_diagonal_(torch.inf)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :keep]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)
    ### END SOLUTION

# %% test="C1" points=4
with part("C1", "four nodes by hand, two links each", 1):
    scores = torch.tensor({{hand_scores}})
    with unchanged(scores=scores):
        got = self_loop_connection(scores, 0.65)  # of 2.6 nodes
    expect_shape(got, (4, 4), "connection")
    expect_type(got, torch.bool, "connection")
    expect_close(got.double(), torch.tensor({{hand_self}}).double(), "connection", {
        "A node is missing from its own row.": torch.tensor({{plain}}).double(),
        "Rows with the node itself added hold one link too many.": (torch.tensor({{plain}}) | torch.eye(4, dtype=torch.bool)).double(),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed}})
def loop_self(s, share):
    out = torch.zeros(s.shape, dtype=torch.bool)
    for i in range(len(s)):
        rest = sorted((j for j in range(len(s)) if j != i), key=lambda j: (-s[i, j].item(), j))
        out[i, [i, *rest][: max(1, int(share * len(s) + 1e-9))]] = True
    return out
with part("C1", "random scores, several shares", 1, hidden=True):
    s = torch.randn(10, 10, generator=dice)
    for share in (0.03, 0.1, 0.25, 0.26, 0.3, 0.7, 0.99, 1.0):
        expect_close(self_loop_connection(s, share).double(), loop_self(s, share).double())
with part("C1", "many ties", 1, hidden=True):
    s = torch.randint(0, 2, (9, 9), generator=dice).double()
    expect_close(self_loop_connection(s, 0.5).double(), loop_self(s, 0.5).double())
with part("C1", "a batch of one, a tiny share", 1, hidden=True):
    expect_close(self_loop_connection(torch.tensor([[-3.0]]), 0.5).double(), torch.ones(1, 1))
    expect_close(self_loop_connection(s, 0.01).double(), torch.eye(9))
### END HIDDEN TESTS
total("C1", 4)

# %% [markdown]
# ## C2. A volume knob for each block (7 points)
#
# One λ rules all four blocks. Give each block its own: $\lambda = (\lambda_{i2i}, \lambda_{i2t}, \lambda_{t2i}, \lambda_{t2t})$, a tensor that may be **learned**, so a gradient must reach it. Where nodes are not connected the mask is minus infinity;
# a λ of 0 gives plain masked attention, never NaN (neither in the value nor in the gradient).

# %% answer="C2"
def block_mask(connection, relevance, weights):
    """Additive mask with one strength a block: connection bool [2B,2B], relevance [2B,2B], weights [4] -> [2B,2B]."""
    ### BEGIN SOLUTION
    half = len(connection) // 2
    strength = weights.view(2, 2).repeat_interleave(half, 0).repeat_interleave(half, 1)  # [2B,2B]
    return torch.where(connection, strength * relevance, -torch.inf)
    ### END SOLUTION

# %% test="C2" points=7
with part("C2", "two pairs by hand", 2):
    connection = torch.ones(4, 4, dtype=torch.bool).fill_diagonal_(False)
    relevance = torch.tensor({{relevance}})
    with unchanged(connection=connection, relevance=relevance):
        got = block_mask(connection, relevance, torch.tensor({{strengths}}))
    expect_shape(got, (4, 4), "mask")
    wanted, swapped = relevance.clone(), relevance.clone()
    for place, (rows, columns) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        wanted[rows : rows + 2, columns : columns + 2] *= {{strengths}}[place]
        swapped[columns : columns + 2, rows : rows + 2] *= {{strengths}}[place]
    expect_close(got.masked_fill(~connection, -9.0), wanted.masked_fill(~connection, -9.0), "mask", {
        "i2t and t2i have each other's strength: i2t is the upper right block.": swapped.masked_fill(~connection, -9.0),
    })
    if not (got[~connection] == -torch.inf).all():
        raise Wrong("Where nodes are not connected the mask should be minus infinity.")
with part("C2", "strength 0", 1):
    got = block_mask(connection, relevance, torch.zeros(4))
    if torch.isnan(got).any():
        raise Wrong("A strength of 0 gives NaN: 0 x infinity. Multiply first, then exclude.")
    expect_close(got[connection], torch.zeros(12), "mask of connected nodes")
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 1}})
def loop_mask(a, s, w):
    half, out = len(a) // 2, torch.full(a.shape, -torch.inf, dtype=s.dtype)
    for i in range(len(a)):
        for j in range(len(a)):
            if a[i, j]:
                out[i, j] = w[2 * (i >= half) + (j >= half)] * s[i, j]
    return out
a, s = torch.rand(10, 10, generator=dice) < 0.5, torch.randn(10, 10, generator=dice, dtype=torch.float64)
w = torch.rand(4, generator=dice, dtype=torch.float64)
with part("C2", "random graph", 1, hidden=True):
    expect_close(block_mask(a, s, w).nan_to_num(neginf=-99.0), loop_mask(a, s, w).nan_to_num(neginf=-99.0))
with part("C2", "gradient to the strengths, 0 among them", 2, hidden=True):
    w0 = torch.tensor([0.0, 1.0, 0.5, 0.0], dtype=torch.float64)
    slope = gradient(block_mask, a, s, w0, by=2)
    rows = torch.where(a, s, 0)
    expect_close(slope, torch.stack([rows[:5, :5].sum(), rows[:5, 5:].sum(), rows[5:, :5].sum(), rows[5:, 5:].sum()]))
with part("C2", "one pair, nobody connected", 1, hidden=True):
    none = block_mask(torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2), torch.zeros(4))
    expect_close(none, torch.full((2, 2), -torch.inf))
### END HIDDEN TESTS
total("C2", 7)

# %% [markdown]
# ## C3. Attention that survives an empty row (6 points)
#
# With a threshold graph a row may be empty; its softmax is 0/0. Write attention for H heads in which **a row that may look at nobody gives zeros** and has no influence on any gradient. Queries and keys may be of
# different number (the Standalone mechanism needs that).
#
# $$\mathrm{Att} = \mathrm{softmax}\!\left(\frac{q k^\top}{\sqrt{d}} + \mathrm{bias}\right) v$$

# %% answer="C3"
def safe_attention(q, k, v, bias):
    """q [H,n,d], k and v [H,m,d], bias [n,m] with -inf where excluded -> [H,n,d]; an empty row gives zeros."""
    ### BEGIN SOLUTION
    empty = (bias == -torch.inf).all(-1, keepdim=True)  # [n,1]
    scores = q @ k.transpose(1, 2) / q.size(-1) ** 0.5 + torch.where(empty, 0, bias)  # [H,n,m]
    return torch.where(empty, 0, scores.softmax(-1) @ v)
    ### END SOLUTION

# %% test="C3" points=6
with part("C3", "one head, scores of zero, by hand", 1):
    v = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]]])
    bias = torch.tensor([[0.0, 0.0, -torch.inf], [-torch.inf, -torch.inf, 0.0]])
    with unchanged(v=v, bias=bias):
        got = safe_attention(torch.zeros(1, 2, 2), torch.zeros(1, 3, 2), v, bias)
    expect_shape(got, (1, 2, 2), "output")
    expect_close(got, torch.tensor([[[0.5, 0.5], [4.0, 4.0]]]), "output")
with part("C3", "an empty row", 1):
    bias = torch.full((1, 2), -torch.inf)
    with unchanged(bias=bias):
        got = safe_attention(torch.ones(1, 1, 2), torch.ones(1, 2, 2), torch.ones(1, 2, 2), bias)
    if torch.isnan(got).any():
        raise Wrong("An empty row gives NaN; wanted zeros.")
    expect_close(got, torch.zeros(1, 1, 2), "output of an empty row", {"An empty row takes the mean of all values.": torch.ones(1, 1, 2)})
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 2}})
q, k, v = (torch.randn(3, n, 4, generator=dice, dtype=torch.float64) for n in (5, 6, 6))
links = torch.rand(5, 6, generator=dice) < 0.5
links[0, 0], links[2] = True, False
bias = torch.where(links, torch.randn(5, 6, generator=dice, dtype=torch.float64), -torch.inf)
def loop_attention(q, k, v, bias):
    out = torch.zeros(q.size(0), q.size(1), v.size(2), dtype=torch.float64)
    for h in range(q.size(0)):
        for i in range(q.size(1)):
            seen = [j for j in range(k.size(1)) if bias[i, j] > -np.inf]
            if seen:
                e = torch.stack([(q[h, i] @ k[h, j]) / q.size(2) ** 0.5 + bias[i, j] for j in seen])
                p = (e - e.max()).exp()
                out[h, i] = (p / p.sum()) @ v[h, seen]
    return out
with part("C3", "random heads against a loop", 1, hidden=True):
    expect_close(safe_attention(q, k, v, bias), loop_attention(q, k, v, bias))
with part("C3", "finite gradients to queries, keys and values", 1, hidden=True):
    for place in range(3):
        expect_close(torch.isfinite(gradient(safe_attention, q, k, v, bias, by=place)).all(), True)
    expect_close(gradient(safe_attention, q, k, v, bias, by=0)[:, 2], torch.zeros(3, 4))
with part("C3", "large scores", 1, hidden=True):
    expect_close(safe_attention(100 * q, 100 * k, v, bias), loop_attention(100 * q, 100 * k, v, bias))
with part("C3", "one query, one key", 1, hidden=True):
    expect_close(safe_attention(q[:, :1], k[:, :1], v[:, :1], torch.zeros(1, 1, dtype=torch.float64)), v[:, :1])
### END HIDDEN TESTS
total("C3", 6)

# %% [markdown]
# ## C4. Standalone, one after the other (7 points)
#
# In the lesson both branches read the other's *input*. Write a small Standalone layer without weights, in two versions. With $\mathrm{attend}(x, y, b) = \mathrm{softmax}(x y^\top / \sqrt{D} + b)\, y$ and unit length after every step,
# a branch does
#
# 1. $x' = \mathrm{unit}(x + \mathrm{attend}(x, y, b_{\mathrm{across}}))$, with y the other modality;
# 2. $x'' = \mathrm{unit}(x' + \mathrm{attend}(x', x', b_{\mathrm{within}}))$.
#
# `order = "simultaneous"`: both branches read the other's input. `order = "images first"`: the images go first, and the text branch reads the images' **result** $v''$. No row of a block is empty.

# %% answer="C4"
def standalone(v, u, bias, order):
    """Two branches without weights: v, u [B,D] unit length, bias [2B,2B], order as above -> v'' and u'' [B,D]."""
    ### BEGIN SOLUTION
    half = len(v)

    def attend(x, y, b):
        return (x @ y.T / x.size(1) ** 0.5 + b).softmax(-1) @ y

    def branch(x, y, across, within):
        x = F.normalize(x + attend(x, y, across), dim=-1)
        return F.normalize(x + attend(x, x, within), dim=-1)

    new_v = branch(v, u, bias[:half, half:], bias[:half, :half])
    seen = new_v if order == "images first" else v
    return new_v, branch(u, seen, bias[half:, :half], bias[half:, half:])
    ### END SOLUTION

# %% test="C4" points=7
with part("C4", "one pair by hand", 2):
    turn = np.deg2rad({{angle}})
    v, u = torch.tensor([[1.0, 0.0]]), torch.tensor([[float(np.cos(turn)), float(np.sin(turn))]])
    with unchanged(v=v, u=u):
        new_v, new_u = standalone(v, u, torch.zeros(2, 2), "simultaneous")
    # each sees one node only, so attention is 1: the sum of two unit vectors points half way between them
    half_way = torch.tensor([[float(np.cos(turn / 2)), float(np.sin(turn / 2))]])
    expect_close(new_v, half_way, "picture", {"The result has no unit length.": v + u})
    expect_close(new_u, half_way, "caption", {
        "The caption read the picture's result; in this order it reads its input.":
            torch.tensor([[float(np.cos(3 * turn / 4)), float(np.sin(3 * turn / 4))]]),
    })
with part("C4", "images first, by hand", 1):
    new_v, new_u = standalone(v, u, torch.zeros(2, 2), "images first")
    expect_close(new_u, torch.tensor([[float(np.cos(3 * turn / 4)), float(np.sin(3 * turn / 4))]]), "caption", {
        "The caption read the picture's input; in this order it reads its result.": half_way,
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 3}})
def slow_branch(x, y, across, within):
    for other, b in ((y, across), (None, within)):
        z = x if other is None else other
        rows = []
        for i in range(len(x)):
            e = torch.stack([x[i] @ z[j] / x.size(1) ** 0.5 + b[i, j] for j in range(len(z))])
            p = e.exp() / e.exp().sum()
            row = x[i] + sum(p[j] * z[j] for j in range(len(z)))
            rows.append(row / row.norm())
        x = torch.stack(rows)
    return x
def slow_standalone(v, u, bias, order):
    n = len(v)
    done = slow_branch(v, u, bias[:n, n:], bias[:n, :n])
    return done, slow_branch(u, done if order == "images first" else v, bias[n:, :n], bias[n:, n:])
v, u = (F.normalize(torch.randn(5, 6, generator=dice, dtype=torch.float64), dim=-1) for _ in range(2))
links = torch.rand(10, 10, generator=dice) < 0.5
for side in range(0, 10, 5):
    links[:, side : side + 5] |= torch.eye(5, dtype=torch.bool).repeat(2, 1)
bias = torch.where(links, 2 * torch.rand(10, 10, generator=dice, dtype=torch.float64), -torch.inf)
with part("C4", "random graph, simultaneous", 1, hidden=True):
    for got, slow in zip(standalone(v, u, bias, "simultaneous"), slow_standalone(v, u, bias, "simultaneous"), strict=True):
        expect_close(got, slow)
with part("C4", "random graph, images first", 1, hidden=True):
    for got, slow in zip(standalone(v, u, bias, "images first"), slow_standalone(v, u, bias, "images first"), strict=True):
        expect_close(got, slow)
with part("C4", "shuffling the pairs shuffles the result", 1, hidden=True):
    p = torch.randperm(5, generator=dice)
    both = torch.cat([p, p + 5])
    for got, slow in zip(standalone(v[p], u[p], bias[both][:, both], "simultaneous"), slow_standalone(v, u, bias, "simultaneous"), strict=True):
        expect_close(got, slow[p])
with part("C4", "inter-modal links change the across step only", 1, hidden=True):
    closed = bias.clone()
    closed[:5, 5:] = torch.where(torch.eye(5, dtype=torch.bool), 0.0, -torch.inf)
    for got, slow in zip(standalone(v, u, closed, "images first"), slow_standalone(v, u, closed, "images first"), strict=True):
        expect_close(got, slow)
### END HIDDEN TESTS
total("C4", 7)

# %% [markdown]
# ## C5. Take one out (3 points)
#
# To see what one node does to the others, cut it out: node j looks only at itself, and nobody else looks at it. The rest of the graph stays, and the connection that came in is not changed. The result is of type bool, too.

# %% answer="C5"
def isolate(connection, j):
    """connection bool [n,n], node j -> a new connection in which j is alone."""
    ### BEGIN SOLUTION
    cut = connection.clone()
    cut[j, :] = False
    cut[:, j] = False
    cut[j, j] = True
    return cut
    ### END SOLUTION

# %% test="C5" points=3
with part("C5", "four nodes, all connected", 1):
    whole = torch.ones(4, 4, dtype=torch.bool)
    got = isolate(whole, {{drop}})
    expect_shape(got, (4, 4), "connection")
    expect_type(got, torch.bool, "connection")
    others = torch.arange(4) != {{drop}}
    expect_close(got[{{drop}}].double(), (~others).double(), "row of the node")
    expect_close(got[:, {{drop}}].double(), (~others).double(), "column of the node")
    expect_close(got[others][:, others].double(), torch.ones(3, 3), "rest of the graph")
    if not whole.all():
        raise Wrong("You changed the connection that came in; work on a copy.")
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 4}})
with part("C5", "random graphs, first, last and middle node", 1, hidden=True):
    for j in (0, 3, 7):
        a = torch.rand(8, 8, generator=dice) < 0.5
        slow = torch.tensor([[(p == q == j) or (p != j and q != j and bool(a[p, q])) for q in range(8)] for p in range(8)])
        expect_close(isolate(a, j).double(), slow.double())
with part("C5", "a node that had no link, and a graph of one node", 1, hidden=True):
    expect_close(isolate(torch.zeros(3, 3, dtype=torch.bool), 1).double(), torch.diag(torch.tensor([0.0, 1.0, 0.0])))
    expect_close(isolate(torch.zeros(1, 1, dtype=torch.bool), 0).double(), torch.ones(1, 1))
### END HIDDEN TESTS
total("C5", 3)

# %% [markdown]
# ## C6. Where does the attention go? (3 points)
#
# Split the attention of the Fusion mechanism, mean over all 2B rows, into four shares: to **itself**, to its **partner** (the caption of the picture, the picture of the caption), to **others of its own modality**, to **others of the other modality**.

# %% answer="C6"
def attention_shares(attention):
    """attention [2B,2B], rows add up to one -> [4]: itself, partner, own modality, other modality."""
    ### BEGIN SOLUTION
    size = len(attention)
    half = size // 2
    own = attention.diagonal().sum()
    partner = attention[:half, half:].diagonal().sum() + attention[half:, :half].diagonal().sum()
    same = attention[:half, :half].sum() + attention[half:, half:].sum() - own
    other = attention[:half, half:].sum() + attention[half:, :half].sum() - partner
    return torch.stack([own, partner, same, other]) / size
    ### END SOLUTION

# %% test="C6" points=3
with part("C6", "two pairs by hand", 1):
    attention = torch.tensor([[0.4, 0.1, 0.3, 0.2], [0.0, 0.5, 0.2, 0.3], [0.3, 0.1, 0.6, 0.0], [0.1, 0.2, 0.2, 0.5]])
    with unchanged(attention=attention):
        got = attention_shares(attention)
    expect_shape(got, (4,), "shares")
    expect_close(got, torch.tensor([0.5, 0.275, 0.075, 0.15]), "shares", {
        "Wanted the mean over the 2B rows.": torch.tensor([2.0, 1.1, 0.3, 0.6]),
        "Partner and others of the other modality are exchanged.": torch.tensor([0.5, 0.15, 0.075, 0.275]),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 5}})
attention = torch.randn(12, 12, generator=dice, dtype=torch.float64).softmax(-1)
with part("C6", "random attention against a loop", 1, hidden=True):
    slow = torch.zeros(4, dtype=torch.float64)
    for i in range(12):
        for j in range(12):
            kind = 0 if i == j else 1 if abs(i - j) == 6 else 2 if (i < 6) == (j < 6) else 3
            slow[kind] += attention[i, j] / 12
    expect_close(attention_shares(attention), slow)
with part("C6", "one pair", 1, hidden=True):
    expect_close(attention_shares(torch.tensor([[0.9, 0.1], [0.4, 0.6]])), torch.tensor([0.75, 0.25, 0.0, 0.0]), tol=1e-6)
### END HIDDEN TESTS
total("C6", 3)

# %% [markdown]
# ## C7. What does a mechanism cost? (2 points)
#
# A **softmax** is one normalized row of attention; an **entry** is one connected pair in it. Fusion has one softmax a node over its whole row. Standalone has two a node, one over each half of the row. A row, or half a row, without any
# link is no softmax. Count both for one layer and one head.

# %% answer="C7"
def cost(connection, mechanism):
    """connection bool [2B,2B], "fusion" or "standalone" -> (number of softmaxes, number of entries)."""
    ### BEGIN SOLUTION
    half = len(connection) // 2
    parts = [connection] if mechanism == "fusion" else [connection[:, :half], connection[:, half:]]
    return sum(int(part.any(1).sum()) for part in parts), int(connection.sum())
    ### END SOLUTION

# %% test="C7" points=2
with part("C7", "three pairs, all connected", 1):
    whole = torch.ones(6, 6, dtype=torch.bool)
    with unchanged(connection=whole):
        expect_close(np.array(cost(whole, "fusion")), np.array([6, 36]), "cost of fusion")
    expect_close(np.array(cost(whole, "standalone")), np.array([12, 36]), "cost of standalone")
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 6}})
with part("C7", "sparse graphs with empty rows and halves", 1, hidden=True):
    for _ in range(3):
        a = torch.rand(8, 8, generator=dice) < 0.2
        a[0], a[5, :4], a[6, 4:] = False, False, False
        rows = [[a[i, :4].any(), a[i, 4:].any()] for i in range(8)]
        expect_close(np.array(cost(a, "fusion")), np.array([sum(int(x or y) for x, y in rows), int(a.sum())]))
        expect_close(np.array(cost(a, "standalone")), np.array([sum(int(x) + int(y) for x, y in rows), int(a.sum())]))
### END HIDDEN TESTS
total("C7", 2)

# %% [markdown]
# The next cell takes 16 pairs of the test split and builds their graph with the course's trained model; `interaction` is its Fusion, to be called as `interaction(v, u, bias, return_weights=True)`; the last result holds the attention [H,2B,2B] of each layer.

# %% given="more"
run = checkpoints.load_run(data.sample_run())
split = data.open_split(data.sample_dir(), "test")
chosen = np.sort(np.random.default_rng(SEED).choice(split.n_images, 16, replace=False))
pairs = data.PairDataset(split, run.text.encode(split.captions))
with torch.no_grad():
    batch = pairs[data.BatchPlan(0, 0, 5 * chosen + SEED % 5)]
    images = run.model.encode_images(batch.regions, batch.region_mask)
    texts = run.model.encode_texts(batch.words, batch.word_mask)
    made = run.model.relation.graph(images, texts)
interaction, A, S, v, u = run.model.relation.interaction, made.connection, made.relevance, images.emb, texts.emb
print("nodes", len(A), " links", int(A.sum()))

# %% premise="C8"
def shares_at(block, strength):
    weights = torch.ones(4)
    weights[block] = strength
    with torch.no_grad():
        attention = interaction(v, u, block_mask(A, S, weights), return_weights=True)[-1][0]  # [H,2B,2B]
    return attention_shares(attention.mean(0))


partner = [[shares_at(block, strength)[1].item() for strength in (0.0, 1.0, 6.0)] for block in range(4)]
found = {"partner": partner, "linked": int(A[:16, 16:].diagonal().sum() + A[16:, :16].diagonal().sum())}
for name, (low, _, high), down in zip(("i2i", "i2t", "t2i", "t2t"), partner, (True, False, False, True)):
    assert (high < 0.97 * low) if down else (high > 1.03 * low), (
        f"C8: raising {name} from 0 to 6 moves the partner's share from {low:.4f} to {high:.4f}, which nobody can read off a figure")
assert partner[0][1] < 0.1, f"C8: the partner's share is {partner[0][1]:.2f} from the start, not small"
assert found["linked"] < 32, "C8: every partner is connected"

# %% [markdown]
# ## C8. Turn the knobs (5 points, marked by a person)
#
# In a cell of your own: set three of the four strengths of C2 to 1 and sweep the fourth from 0 to 6, for each block in turn; draw the four `attention_shares` (mean over heads) over it. In at most 150 words:
#
# 1. What does λ of i2t do to the *pictures'* rows, and why does it hardly change the captions' rows in this one layer?
# 2. What do the four strengths do to the share of the partner, why does raising λ of i2i lower it, and why is it so small from the start?
# 3. If λ were learned, which loss term would reward a large λ of i2t, and what could go wrong?

# %% [markdown] manual="C8" points=5
# ### BEGIN SOLUTION
# A row's softmax holds two blocks. Raising i2t adds to the picture rows' scores of captions, so their attention moves from pictures (i2i) to captions, first of all to those with the largest S, the partner among them; caption rows use
# t2i and t2t, which are untouched (only the next layer would see changed pictures). i2t and t2i raise the partner's share, i2i and t2t lower it: they give the mass to the node itself (S = 1) and its lookalikes, and a softmax
# shares one unit. The partner's share is small: a partner gets no special place in equation (7), and many are not connected at all. L(v-bar, u) rewards a large i2t strength: the picture's enhanced embedding copies its caption. Then it holds little of the picture itself, the loss is easy, and v learns less from it.
# ### END SOLUTION

# %% [markdown] rubric="C8"
# ## C8 (5 points)
#
# - 1 point: a readable figure, four panels or lines named, axes named.
# - 1 point: i2t is in the picture rows only; captions would change through a further layer.
# - 1 point: competition within one softmax explains why i2i lowers the partner's share; it is small since many partners are not connected.
# - 1 point: names the crossed or enhanced loss (v̄ with u) as the one that rewards listening to the caption.
# - 1 point: says what goes wrong (the answer leaks, the plain embedding learns less, one neighbor takes all).
#
# With your seed the partner's share is {{f"{found['partner'][0][1]:.3f}"}}, {{f"{found['partner'][0][2]:.3f}"}} with i2i at 6, {{f"{found['partner'][2][2]:.3f}"}} with t2i at 6; {{32 - found["linked"]}} of the 32 links to a partner are not there.

# %% [markdown]
# ## C9. Why not at test time? (3 points, marked by a person)
#
# A colleague wants to keep the interaction for retrieval: encode the query together with 127 other queries. In at most 80 words: name two things that go wrong, and one experiment that shows one of them.

# %% [markdown] manual="C9" points=3
# ### BEGIN SOLUTION
# The result of a query then depends on who else asks at the same moment: the same caption gives different answers. And the gallery cannot be encoded once: enhanced images depend on the batch, so the cost grows from O(N) to O(N^2); a
# single query (B = 1) hears only itself and is unlike training. Experiment: encode one caption with ten different random batches and count how often its top answer changes.
# ### END SOLUTION

# %% [markdown] rubric="C9"
# ## C9 (3 points)
#
# - 1 point each for two of: depends on the batch; gallery cannot be stored; true pairs are unknown at test time, so the graph differs from training; a single query.
# - 1 point: an experiment with a number that would show it.
