# %% numbers=true
angles = sorted((10 * rng.permutation(10)[:3]).tolist())
others = sorted((10 * rng.permutation(10)[:2] + 5).tolist())
sigma = float(rng.choice([0.5, 0.8, 1.5]))


def vectors(degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], 1)


square = ((vectors(angles)[:, None] - vectors(others)[None]) ** 2).sum(-1)
hand_relevance = np.exp(-square / sigma)
hand_scores = (rng.permutation(16).reshape(4, 4) / 20).round(2)
hand_scores[2] = hand_scores[2].min() / 2  # a row in which nothing reaches the threshold, all tied
threshold = float(sorted(hand_scores[[0, 1, 3]].flatten().tolist())[-5])  # stands in the matrix: >= and > differ
hand_connection = hand_scores >= threshold
for row in np.flatnonzero(~hand_connection.any(1)):
    hand_connection[row, hand_scores[row].argmax()] = True
no_fallback = hand_scores >= threshold
one, two = (float(x) for x in (rng.permutation(6)[:2] + 2) / 10)

# %% [markdown]
# # Assignment B: who should listen to whom, and how much?
#
# **Points** 40 (32 by tests, 8 by a person) · **Hours** 3 to 4 · **Needs** notebook 03
#
# - Write code only where `NotImplementedError` stands, and text only where *Your answer here* stands. You may add cells of your own.
# - The cell below each task tests your function and answers in a sentence. **Hidden tests** give the rest of the points: other numbers, edge cases, padding, a
#   batch of one. They test what the task says, nothing else.
# - The tasks *change* what the lesson and the library do. A function of the library is in general **not** the answer.
# - A function leaves the arrays, tensors and lists that it is given as they are.
# - One rule as in the course: **row = who looks, column = who is looked at**, images first. Masks are True where real.

# %% given="setup"
import numpy as np
import torch
from hrem_lib import checkpoints, data
from hrem_lib.sample_world import scenes
from hrem_lib.exercises import expect_close, expect_shape
from hrem_lib.exercises.grading import expect_type, gradient, part, total, unchanged

SEED = {{data_seed}}  # your course's


def unit_vectors(degrees):
    """Angles [n] -> unit vectors [n,2]."""
    radians = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([radians.cos(), radians.sin()], 1)

# %% [markdown]
# ## B1. A Gaussian relevance (6 points)
#
# Equation (10) lets the relevance fall with the distance, $\exp(-d/\sigma)$. A cousin falls with its **square**:
#
# $$S_{ij} = \exp\!\left(-\frac{\lVert a_i - b_j \rVert^2}{\sigma}\right)$$
#
# It is flat at d = 0, so near neighbors are all "almost myself". Any two sets of vectors of the same width may come in, of any length. A vector has the relevance exactly 1 to itself, nothing is above 1, and the gradient is finite.

# %% answer="B1"
def gaussian_relevance(a, b, sigma):
    """exp(-squared distance / sigma): a [n,D], b [m,D] -> [n,m], with gradient."""
    ### BEGIN SOLUTION
    square = (a[:, None] - b[None]).square().sum(-1)  # differences first: |a|^2 + |b|^2 - 2ab is inexact at zero
    return torch.exp(-square / sigma)
    ### END SOLUTION

# %% test="B1" points=6
with part("B1", "three and two unit vectors by hand", 2):
    left, right = unit_vectors({{angles}}), unit_vectors({{others}})
    with unchanged(a=left, b=right):
        got = gaussian_relevance(left, right, {{sigma}})
    expect_shape(got, (3, 2), "relevance")
    distance = torch.cdist(unit_vectors({{angles}}), unit_vectors({{others}}))
    expect_close(got, torch.tensor({{hand_relevance}}), "relevance", {
        "The distance is not squared; that is the lesson's (10).": torch.exp(-distance / {{sigma}}),
        "You divided by sigma squared; wanted sigma.": torch.exp(-distance.square() / {{sigma}} ** 2),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed}})
a, b = torch.randn(5, 7, generator=dice, dtype=torch.float64), torch.randn(4, 7, generator=dice, dtype=torch.float64)
with part("B1", "random vectors of any length, against a loop", 1, hidden=True):
    slow = torch.tensor([[np.exp(-sum((x - y) ** 2 for x, y in zip(r.tolist(), c.tolist())) / 3.0) for c in b] for r in a])
    expect_close(gaussian_relevance(a, b, 3.0), slow)
with part("B1", "exactly 1 to itself and never above, in float32", 1, hidden=True):
    many = torch.nn.functional.normalize(torch.randn(40, 64, generator=dice), dim=-1)
    near = torch.cat([many, many * (1 + 1e-4)])
    got = gaussian_relevance(near, near, 0.1)
    expect_close(got.diagonal(), torch.ones(80), tol=0)
    expect_close((got <= 1).all(), True)
with part("B1", "the gradient is right, and finite at distance 0", 1, hidden=True):
    slope = gradient(gaussian_relevance, a, a.clone(), 2.0)
    same = a.clone().requires_grad_()
    torch.exp(-(same[:, None] - a[None]).square().sum(-1) / 2).sum().backward()
    expect_close(slope, same.grad)
with part("B1", "one vector on each side", 1, hidden=True):
    expect_close(gaussian_relevance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 2.0), torch.tensor([[np.exp(-1.0)]]))
### END HIDDEN TESTS
total("B1", 6)

# %% [markdown]
# ## B2. A threshold in place of a share (5 points)
#
# The paper keeps the same number of neighbors for everybody. Here **a link needs a score of at least the threshold** ($\ge$), so a popular node may keep many. But nobody shall be alone: a row in which nothing reaches
# the threshold keeps its single best score, the one with the smallest index if several are equal.

# %% answer="B2"
def threshold_connection(scores, threshold):
    """Connection by threshold, at least one link a row: scores [n,m], number -> bool [n,m]."""
    ### BEGIN SOLUTION
    chosen = scores >= threshold
    highest = scores == scores.amax(1, keepdim=True)
    best = highest & (highest.cumsum(1) == 1)  # the first of them; argmax promises no index at ties
    return torch.where(chosen.any(1, keepdim=True), chosen, best)
    ### END SOLUTION

# %% test="B2" points=5
with part("B2", "four rows by hand", 2):
    scores = torch.tensor({{hand_scores}})
    with unchanged(scores=scores):
        got = threshold_connection(scores, {{threshold}})
    expect_shape(got, (4, 4), "connection")
    expect_type(got, torch.bool, "connection")
    expect_close(got.double(), torch.tensor({{hand_connection}}).double(), "connection", {
        "A row without a link stays empty; it should keep its best score.": torch.tensor({{no_fallback}}).double(),
        "In a row where all are equal and below the threshold you keep all; wanted the first.":
            torch.where(torch.tensor({{no_fallback}}).any(1, keepdim=True), torch.tensor({{no_fallback}}), scores == scores.amax(1, keepdim=True)).double(),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 1}})
def loop_connection(s, t):
    out = torch.zeros(s.shape, dtype=torch.bool)
    for i in range(s.size(0)):
        row = s[i].tolist()
        hits = [j for j, v in enumerate(row) if v >= t] or [row.index(max(row))]
        out[i, hits] = True
    return out
with part("B2", "random scores, more columns than rows", 1, hidden=True):
    s = torch.randn(6, 9, generator=dice)
    for t in (-0.5, 0.8, 1.5):
        expect_close(threshold_connection(s, t).double(), loop_connection(s, t).double())
with part("B2", "many ties, also at the threshold", 1, hidden=True):
    s = torch.randint(0, 3, (8, 8), generator=dice) / 2
    for t in (0.5, 1.0, 2.0):
        expect_close(threshold_connection(s, t).double(), loop_connection(s, t).double())
with part("B2", "a batch of one, negative scores", 1, hidden=True):
    expect_close(threshold_connection(torch.tensor([[-0.7]]), 0.0).double(), torch.ones(1, 1))
    expect_close(threshold_connection(torch.tensor([[-0.7, -0.2, -0.2]]), 0.0).double(), torch.tensor([[0.0, 1.0, 0.0]]))
### END HIDDEN TESTS
total("B2", 5)

# %% [markdown]
# ## B3. Only mutual links (5 points)
#
# In HREM picture 1 may listen to caption 2 while caption 2 does not listen to picture 1. Build the graph of **mutual** links from the four blocks (each bool [B,B]): a link stays if both nodes look at each other.
# Every node is linked to itself in any case. The result is of type bool, as the blocks are. Mind which block holds the other direction, and how its rows run.

# %% answer="B3"
def mutual_graph(i2i, i2t, t2i, t2t):
    """Four blocks, each bool [B,B] with row = who looks -> connection of mutual links, bool [2B,2B], images first."""
    ### BEGIN SOLUTION
    whole = torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)])  # [2B,2B]
    return (whole & whole.T) | torch.eye(len(whole), dtype=torch.bool)
    ### END SOLUTION

# %% test="B3" points=5
with part("B3", "two pairs by hand", 1):
    i2i, t2t = torch.tensor([[True, True], [False, False]]), torch.tensor([[True, True], [True, False]])
    i2t, t2i = torch.tensor([[True, True], [False, False]]), torch.tensor([[True, True], [False, True]])
    # mutual: the two captions; picture 1 with caption 1 only (caption 2 looks at picture 2, which does not look back)
    wanted = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1]])
    with unchanged(i2i=i2i, i2t=i2t, t2i=t2i, t2t=t2t):
        got = mutual_graph(i2i, i2t, t2i, t2t)
    expect_shape(got, (4, 4), "mutual graph")
    expect_type(got, torch.bool, "mutual graph")
    blockwise = torch.cat([torch.cat([i2i & i2i.T, i2t & t2i], 1), torch.cat([t2i & i2t, t2t & t2t.T], 1)])
    expect_close(got.double(), wanted.double(), "mutual graph", {
        "You compared i2t[i, j] with t2i[i, j]; the other direction of picture i and caption j is t2i[j, i].":
            (blockwise | torch.eye(4, dtype=torch.bool)).double(),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 2}})
def loop_mutual(blocks):
    ii, it, ti, tt = blocks
    size = len(ii)
    def looks(p, q):
        side = {(0, 0): ii, (0, 1): it, (1, 0): ti, (1, 1): tt}[(p // size, q // size)]
        return bool(side[p % size, q % size])
    return torch.tensor([[p == q or (looks(p, q) and looks(q, p)) for q in range(2 * size)] for p in range(2 * size)])
with part("B3", "random blocks against a loop", 2, hidden=True):
    for size in (3, 6):
        blocks = [torch.rand(size, size, generator=dice) < 0.5 for _ in range(4)]
        expect_close(mutual_graph(*blocks).double(), loop_mutual(blocks).double())
with part("B3", "symmetric, and everybody keeps itself", 1, hidden=True):
    blocks = [torch.rand(7, 7, generator=dice) < 0.3 for _ in range(4)]
    got = mutual_graph(*blocks)
    expect_close(got.double(), got.T.double())
    expect_close(got.diagonal().double(), torch.ones(14))
with part("B3", "a batch of one, and no link at all", 1, hidden=True):
    yes, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    expect_close(mutual_graph(no, yes, no, no).double(), torch.eye(2))
    expect_close(mutual_graph(no, yes, yes, no).double(), torch.ones(2, 2))
### END HIDDEN TESTS
total("B3", 5)

# %% [markdown]
# ## B4. A soft match (8 points)
#
# The match of equation (6) takes the *best* word of each region. Here all real words have a say through a **smooth maximum** with temperature t:
#
# $$p^{I \to T}_{ij} = \frac{1}{R_i} \sum_{m} \; t \,\log\!\left( \frac{1}{L_j} \sum_{n} \exp\!\left(\frac{r_m \cdot c_n}{t}\right) \right)$$
#
# and the same for $p^{T \to I}_{ji}$ with regions and words exchanged (row = text). $r \cdot c$ is the cosine; $R_i$ and $L_j$ count **real** fragments only. For $t \to 0$ it is the best match, for $t \to \infty$ the mean. Padding has
# no influence, whatever stands in it; a tiny t gives no infinity. There may be more texts than pictures.

# %% answer="B4"
def soft_match(regions, words, region_mask, word_mask, t):
    """Soft match of all pairs.

    regions [B_img,R,D], words [B_txt,L,D], masks bool [B_img,R], [B_txt,L], t > 0
    -> match_i2t [B_img,B_txt] and match_t2i [B_txt,B_img]
    """
    ### BEGIN SOLUTION
    r = torch.nn.functional.normalize(torch.where(region_mask[..., None], regions, 0), dim=-1)
    c = torch.nn.functional.normalize(torch.where(word_mask[..., None], words, 0), dim=-1)
    cosine = torch.einsum("ird,jld->ijrl", r, c)  # [B_img,B_txt,R,L]
    rows, columns = region_mask[:, None, :, None], word_mask[None, :, None, :]
    count_r, count_l = region_mask.sum(1), word_mask.sum(1)  # [B_img], [B_txt]

    def smooth(mask, axis, count):
        return t * ((cosine / t).masked_fill(~mask, -torch.inf).logsumexp(axis) - count.log())

    for_regions = smooth(columns, 3, count_l[None, :, None])  # [B_img,B_txt,R]
    for_words = smooth(rows, 2, count_r[:, None, None])  # [B_img,B_txt,L]
    i2t = torch.where(rows[..., 0], for_regions, 0).sum(2) / count_r[:, None]
    t2i = torch.where(columns[:, :, 0], for_words, 0).sum(2) / count_l[None]
    return i2t, t2i.T
    ### END SOLUTION

# %% test="B4" points=8
with part("B4", "one region and two words by hand", 1):
    regions, words = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])  # cosines 0.6 and 1
    i2t, t2i = soft_match(regions, words, torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool), {{one}})
    expect_shape(i2t, (1, 1), "match_i2t")
    expect_close(i2t, torch.tensor([[{{float(one * np.log((np.exp(0.6 / one) + np.exp(1 / one)) / 2))}}]]), "match_i2t", {
        "You took the sum over words; wanted their mean inside the logarithm.":
            torch.tensor([[{{float(one * np.log(np.exp(0.6 / one) + np.exp(1 / one)))}}]]),
        "This is the best match; wanted the smooth maximum.": torch.tensor([[1.0]]),
        "Wanted the cosine: divide every fragment by its length.":
            torch.tensor([[{{float(one * np.log((np.exp(6 / one) + np.exp(2 / one)) / 2))}}]]),
    })
    expect_close(t2i, torch.tensor([[0.8]]), "match_t2i (one region, so the mean of the cosines)")
with part("B4", "two pictures and three texts: rows of both", 1):
    some = torch.arange(12.0).view(2, 2, 3).sin(), torch.arange(18.0).view(3, 2, 3).cos()
    with unchanged(regions=some[0], words=some[1]):
        got = soft_match(*some, torch.ones(2, 2, dtype=torch.bool), torch.ones(3, 2, dtype=torch.bool), {{two}})
    expect_shape(got[0], (2, 3), "match_i2t")
    expect_shape(got[1], (3, 2), "match_t2i")
### BEGIN HIDDEN TESTS
def loop_match(r, c, rm, cm, t):
    i2t, t2i = torch.zeros(len(r), len(c), dtype=torch.float64), torch.zeros(len(c), len(r), dtype=torch.float64)
    for i in range(len(r)):
        for j in range(len(c)):
            a, b = r[i][rm[i]].double(), c[j][cm[j]].double()
            cos = (a / a.norm(dim=-1, keepdim=True)) @ (b / b.norm(dim=-1, keepdim=True)).T
            i2t[i, j] = (t * ((cos / t).logsumexp(1) - np.log(len(b)))).mean()
            t2i[j, i] = (t * ((cos / t).logsumexp(0) - np.log(len(a)))).mean()
    return i2t, t2i
dice = torch.Generator().manual_seed({{hidden_seed + 3}})
r, c = torch.randn(4, 5, 6, generator=dice, dtype=torch.float64), torch.randn(3, 7, 6, generator=dice, dtype=torch.float64)
rm, cm = torch.arange(5) < torch.tensor([[5], [1], [4], [2]]), torch.arange(7) < torch.tensor([[7], [3], [1]])
whole = torch.ones(4, 5, dtype=torch.bool), torch.ones(3, 7, dtype=torch.bool)
with part("B4", "random fragments without padding", 1, hidden=True):
    for got, slow in zip(soft_match(r, c, *whole, 0.3), loop_match(r, c, *whole, 0.3), strict=True):
        expect_close(got, slow)
with part("B4", "padding in pictures and texts", 1, hidden=True):
    for got, slow in zip(soft_match(r, c, rm, cm, 0.3), loop_match(r, c, rm, cm, 0.3), strict=True):
        expect_close(got, slow)
with part("B4", "rubbish in the padding", 1, hidden=True):
    for rubbish in (float("nan"), 1e6):
        bad = r.masked_fill(~rm[..., None], rubbish), c.masked_fill(~cm[..., None], rubbish)
        for got, slow in zip(soft_match(*bad, rm, cm, 0.2), loop_match(r, c, rm, cm, 0.2), strict=True):
            expect_close(got, slow)
with part("B4", "limits: a tiny and a huge temperature, in float32", 1, hidden=True):
    for t in (1e-3, 1e3):
        for got, slow in zip(soft_match(r.float(), c.float(), rm, cm, t), loop_match(r, c, rm, cm, t), strict=True):
            expect_close(got, slow, tol=2e-3)
with part("B4", "one pair with one fragment each", 1, hidden=True):
    i2t, t2i = soft_match(r[:1, :1], c[:1, :1], whole[0][:1, :1], whole[1][:1, :1], 0.5)
    cosine = torch.nn.functional.cosine_similarity(r[0, 0], c[0, 0], dim=0)
    expect_close(i2t, cosine.view(1, 1))
    expect_close(t2i, cosine.view(1, 1))
with part("B4", "a pair's value does not depend on the batch", 1, hidden=True):
    alone = soft_match(r[2:3], c[1:2], rm[2:3], cm[1:2], 0.4)
    both = loop_match(r, c, rm, cm, 0.4)
    expect_close(alone[0], both[0][2:3, 1:2])
    expect_close(alone[1], both[1][1:2, 2:3])
### END HIDDEN TESTS
total("B4", 8)

# %% [markdown]
# ## B5. Shares in place of the top K (4 points)
#
# The relevance network of equations (8)(9) reads the K largest best matches, so a caption of three words and one of fifteen look different. Give it something that has the same meaning at every length: **the share of the
# real fragments whose best match is at least e**, for each edge e. Edges come in any order and may be equal.

# %% answer="B5"
def match_shares(best, mask, edges):
    """Shares of good matches: best [B,n], mask bool [B,n] (at least one True a row), edges [E] -> [B,E] in [0,1]."""
    ### BEGIN SOLUTION
    good = (best[..., None] >= edges) & mask[..., None]  # [B,n,E]
    return good.sum(1) / mask.sum(1)[:, None]
    ### END SOLUTION

# %% test="B5" points=4
with part("B5", "two samples by hand", 1):
    best = torch.tensor([[0.9, 0.2, 0.5, 0.5], [0.4, 0.8, 0.9, 0.9]])
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    with unchanged(best=best, mask=mask):
        got = match_shares(best, mask, torch.tensor([0.0, 0.5, 0.85]))
    expect_shape(got, (2, 3), "shares")
    expect_close(got, torch.tensor([[1.0, 0.75, 0.25], [1.0, 0.5, 0.0]]), "shares", {
        "Padding counts as good.": torch.tensor([[1.0, 0.75, 0.25], [2.0, 1.5, 1.0]]),
        "You divided by n; wanted the number of real fragments.": torch.tensor([[1.0, 0.75, 0.25], [0.5, 0.25, 0.0]]),
        "A match that equals the edge counts.": torch.tensor([[1.0, 0.25, 0.25], [1.0, 0.5, 0.0]]),
    })
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 4}})
best, mask = torch.randint(-4, 5, (6, 8), generator=dice) / 4, torch.arange(8) < torch.randint(1, 9, (6, 1), generator=dice)
edges = torch.tensor([0.5, -0.25, 1.0, 0.0, 0.5, -1.0])
with part("B5", "random matches with padding, and with ties at the edges", 1, hidden=True):
    slow = torch.tensor([[np.mean([v >= e for v, m in zip(row, keep) if m]) for e in edges.tolist()] for row, keep in zip(best.tolist(), mask.tolist())])
    expect_close(match_shares(best, mask, edges), slow)
with part("B5", "rubbish in the padding", 1, hidden=True):
    for rubbish in (float("nan"), float("inf")):
        expect_close(match_shares(best.masked_fill(~mask, rubbish), mask, edges), slow)
with part("B5", "one fragment, one edge", 1, hidden=True):
    expect_close(match_shares(torch.tensor([[0.3]]), torch.tensor([[True]]), torch.tensor([0.3])), torch.ones(1, 1))
### END HIDDEN TESTS
total("B5", 4)

# %% [markdown]
# ## B6. Does the graph tell the truth? (4 points)
#
# In the sample world we know what is in a picture. `truth[i, j]` says that pictures i and j show the same action. Judge a connection (**the diagonal never counts**):
#
# - **precision**: of all links between different nodes, the share that is true (all rows together); NaN if there is no link;
# - **recall**: for each row that has at least one true other node, the share of them that it is linked to; then the mean over **those rows**; NaN if there is no such row.

# %% answer="B6"
def precision_recall(connection, truth):
    """connection, truth: bool [n,n] -> (precision, recall), two numbers."""
    ### BEGIN SOLUTION
    other = ~torch.eye(len(truth), dtype=torch.bool)
    links, true = connection & other, truth & other
    right = links & true
    precision = (right.sum() / links.sum()).item()  # 0 / 0 is NaN
    wanted = true.sum(1)
    shares = (right.sum(1) / wanted)[wanted > 0]
    return precision, shares.mean().item()
    ### END SOLUTION

# %% test="B6" points=4
with part("B6", "four nodes by hand", 1):
    connection = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]]).bool()
    truth = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).bool()
    with unchanged(connection=connection, truth=truth):
        precision, recall = precision_recall(connection, truth)
    expect_close(precision, 2 / 5, "precision", {"The diagonal counts in yours.": 6 / 9})
    expect_close(recall, 1.0, "recall", {"Rows without any true other node count in yours.": 0.5})
### BEGIN HIDDEN TESTS
dice = torch.Generator().manual_seed({{hidden_seed + 5}})
def loop_truth(a, t):
    n, links, hits, shares = len(a), 0, 0, []
    for i in range(n):
        true = [j for j in range(n) if j != i and t[i, j]]
        mine = [j for j in range(n) if j != i and a[i, j]]
        links, hits = links + len(mine), hits + len(set(true) & set(mine))
        if true:
            shares.append(len(set(true) & set(mine)) / len(true))
    return hits / links, np.mean(shares)
with part("B6", "random connections, precision", 1, hidden=True):
    kinds = torch.randint(0, 6, (15,), generator=dice)
    a, t = torch.rand(15, 15, generator=dice) < 0.4, kinds[:, None] == kinds[None]
    expect_close(precision_recall(a, t)[0], loop_truth(a, t)[0])
with part("B6", "random connections, recall", 1, hidden=True):
    expect_close(precision_recall(a, t)[1], loop_truth(a, t)[1])
with part("B6", "no link, and nothing to find", 1, hidden=True):
    own = torch.eye(3, dtype=torch.bool)
    expect_close(precision_recall(own, torch.ones(3, 3, dtype=torch.bool))[0], float("nan"))
    expect_close(precision_recall(torch.ones(3, 3, dtype=torch.bool), own)[1], float("nan"))
### END HIDDEN TESTS
total("B6", 4)

# %% [markdown]
# The next cell encodes 60 pictures of the test split with the course's trained model: `v` [60,D] are their embeddings, `same_action` is the truth of B6.

# %% given="more"
run = checkpoints.load_run(data.sample_run())
split = data.open_split(data.sample_dir(), "test")
chosen = np.sort(np.random.default_rng(SEED).choice(split.n_images, 60, replace=False))
with torch.no_grad():
    v = run.model.encode_images(*split.regions(chosen)).emb
action = {row["picture"]: row["action"] for row in scenes.read_scenes(split.folder / "test_scenes.jsonl")}
kinds = np.array([action[split.ids[i]] for i in chosen])
same_action = torch.from_numpy(kinds[:, None] == kinds[None])
print("pairs of different pictures with the same action:", (int(same_action.sum()) - 60) // 2)

# %% premise="B7"
from hrem_lib.graph import connection as by_share

scores = v @ v.T
half, tenth = (precision_recall(by_share(scores, share), same_action) for share in (0.5, 0.1))
base, others = (same_action.sum().item() - 60) / (60 * 59), same_action.sum(1) - 1
same = min((precision_recall(threshold_connection(scores, t), same_action) for t in np.linspace(-0.5, 0.99, 300)),
           key=lambda point: abs(point[1] - tenth[1]))
found = {"half": half, "tenth": tenth, "same": same, "base": base}
assert half[1] > 0.8 and half[0] < 3 * base, f"B7: at rho = 0.5 precision is {half[0]:.2f} and recall {half[1]:.2f}, more than a base rate"
assert len(set(others.tolist())) > 1, "B7: all actions are equally frequent"

# %% [markdown]
# ## B7. Share or threshold? (5 points, marked by a person)
#
# In a cell of your own: sweep the share ρ of the paper (`hrem_lib.graph.connection(v @ v.T, share)`) from 0.02 to 1 and your threshold of B2 over the range of the scores, and draw both as precision-recall curves in one figure.
# In at most 150 words:
#
# 1. Does one of the two find the truth better at the same recall? What does each do wrong with common and with rare actions?
# 2. Where on the curve does the paper's ρ = 0.5 stand, and what does that mean for the word *connection*?
# 3. What happens to each rule if the batch becomes twice as large?

# %% [markdown] manual="B7" points=5
# ### BEGIN SOLUTION
# The two curves lie close together where all actions are about equally rare, so that rows want about equally many links. With a share every row gets
# the same number, so a picture whose action nobody shares must take strangers, and one of a common action must leave true neighbors out; with a threshold a picture that is like everybody collects links. At rho = 0.5 recall is near 1 and precision
# about twice the base rate: "connection" there excludes the less similar half, it does not select neighbors; the relevance must do that. In a
# batch of twice the size the share doubles the number of links of each row, true or not, and precision stays; with a threshold the number of links grows as there are more similar nodes, and nothing else changes for a pair.
# ### END SOLUTION

# %% [markdown] rubric="B7"
# ## B7 (5 points)
#
# - 1 point: a readable figure with both curves, axes named, the point of ρ = 0.5 marked.
# - 1 point: compares at the same recall and reports what the own figure shows (with most seeds: hardly any difference).
# - 1 point: reason by numbers of true neighbors (a share forces links upon rare actions, a threshold lets some rows collect many).
# - 1 point: ρ = 0.5 excludes the worse half and selects little: precision near the base rate.
# - 1 point: batch size: the share scales the number of links, a threshold judges each pair by itself.
#
# With your seed: precision {{f"{found['tenth'][0]:.2f}"}} at recall {{f"{found['tenth'][1]:.2f}"}} with a share of 0.1, {{f"{found['same'][0]:.2f}"}} at {{f"{found['same'][1]:.2f}"}} with a threshold; at ρ = 0.5 precision {{f"{found['half'][0]:.2f}"}}, recall {{f"{found['half'][1]:.2f}"}}; base rate {{f"{found['base']:.2f}"}}.

# %% [markdown]
# ## B8. The missing partner (3 points, marked by a person)
#
# The paper does not force a picture to be connected with its own caption (equation 7). In at most 80 words: one reason for and one reason against forcing it, and how you would measure which is better.

# %% [markdown] manual="B8" points=3
# ### BEGIN SOLUTION
# For: the partner is the one neighbor known to be right, and a mismatch early in training would otherwise keep the pair apart. Against: the partner is known in training only as a label; forcing it leaks the answer into the enhanced
# embeddings, so the crossed losses become easy and teach less. Measure: train both with at least three seeds, same settings, and compare dev rSum of the plain embeddings.
# ### END SOLUTION

# %% [markdown] rubric="B8"
# ## B8 (3 points)
#
# - 1 point: a reason for (sure neighbor, early training, matching is noisy).
# - 1 point: a reason against (label leak: the loss becomes easy; the graph no longer shows what the model believes).
# - 1 point: an experiment that changes only this, several seeds, judged on dev with the plain embeddings.
