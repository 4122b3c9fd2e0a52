# %% numbers=true
sim = rng.permutation(15).reshape(3, 5) / 10
sim[:, 0] = sim[0, 0]  # a caption that likes all three pictures alike
owner = np.array([0, 1, 2, 1, 0])


def half_ranks(s, own):
    return np.array([sum((s[i, j] > s[own[j], j]) + (s[i, j] == s[own[j], j]) / 2 for i in range(len(s)) if i != own[j])
                     for j in range(s.shape[1])], dtype=float)


hand_ranks = half_ranks(sim, owner)
some = sorted(rng.permutation(9)[:4].tolist())
while (some[1] + some[2]) % 2 == 0:  # the two in the middle have no whole mean
    some = sorted(rng.permutation(9)[:4].tolist())
values = (rng.permutation(8)[:6] / 4).round(2)
groups = np.array([0, 0, 1, 1, 2, 2])
left = np.array([values[groups != i].mean() for i in range(3)])
hand_error = float(np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum()))
a, b = sorted((rng.permutation(8)[:2] + 1).tolist())
weights = np.exp(np.array([a, b]) / 2.0)
hand_pool = float((weights * [a, b]).sum() / weights.sum())

# %% [markdown]
# # Assignment A: how good is a ranking, and how should fragments be pooled?
#
# **Points** 40 (32 by tests, 8 by a person) · **Hours** 3 to 4 · **Needs** notebooks 00 to 02
#
# - Write code only where `NotImplementedError` stands, and text only where *Your answer here* stands. You may add cells of your own.
# - The cell below each task tests your function and answers in a sentence. **Hidden tests** give the rest of the points: other numbers, edge cases, padding, a
#   batch of one. They test what the task says, nothing else.
# - The tasks *change* what the lessons and the library do. A function of the library is in general **not** the answer.
# - A function leaves the arrays, tensors and lists that it is given as they are.
# - Each call of your function may take ten seconds. Network and other processes are not there while your work is graded.

# %% given="setup"
import numpy as np
import torch
from hrem_lib import checkpoints, data
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.grading import gradient, part, total, unchanged

SEED = {{data_seed}}  # your course's

# %% [markdown]
# ## A1. A fair rule for ties (6 points)
#
# In the lesson a tie counts against us. That is safe, but it also punishes a model whose scores are coarse. Here a tie is shared: the rank of a right answer is **the number of wrong items that score higher,
# plus half the number of wrong items that score exactly the same** (however close another score is; what a random order of the tied items gives on average). Write it for **text to image**.

# %% answer="A1"
def ranks_t2i(similarity, image_of_caption):
    """Rank of each caption's own picture among all pictures, from 0; a tie counts one half.

    similarity [n,m] (rows are pictures), image_of_caption [m], in any order -> [m] float
    """
    ### BEGIN SOLUTION
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]  # [m]
    above = (similarity > own).sum(0)
    equal = (similarity == own).sum(0) - 1  # without the own picture
    return above + equal / 2
    ### END SOLUTION

# %% test="A1" points=6
with part("A1", "three pictures and five captions by hand", 2):
    similarity = np.array({{sim}})
    image_of_caption = np.array({{owner}})
    with unchanged(similarity=similarity):
        got = ranks_t2i(similarity, image_of_caption)
    expect_shape(got, (5,), "array of ranks")
    against = np.array([sum(similarity[i, j] >= similarity[o, j] for i in range(3)) - 1 for j, o in enumerate(image_of_caption)])
    expect_close(got, np.array({{hand_ranks}}), "ranks", {
        "All ties count against you; here each counts one half.": against,
        "Ranks start at 0 here: the number of wrong pictures above.": np.array({{hand_ranks + 1}}),
    })
### BEGIN HIDDEN TESTS
def loop_ranks(s, own):
    return np.array([sum((s[i, j] > s[own[j], j]) + (s[i, j] == s[own[j], j]) / 2 for i in range(len(s)) if i != own[j])
                     for j in range(s.shape[1])], dtype=float)
numbers = np.random.default_rng({{hidden_seed}})
with part("A1", "random numbers with many ties, captions in any order", 2, hidden=True):
    for n, m in ((4, 9), (7, 7), (12, 30)):
        s, own = numbers.integers(0, 4, (n, m)) / 4, numbers.integers(0, n, m)
        expect_close(ranks_t2i(s, own), loop_ranks(s, own))
with part("A1", "random numbers without ties, also very close ones", 1, hidden=True):
    for scale in (1.0, 1e-9):
        s, own = scale * numbers.standard_normal((9, 20)), numbers.integers(0, 9, 20)
        expect_close(ranks_t2i(s, own), loop_ranks(s, own))
with part("A1", "all scores equal, and one picture alone", 1, hidden=True):
    expect_close(ranks_t2i(np.full((6, 3), 0.3), np.array([5, 0, 2])), np.full(3, 2.5))
    expect_close(ranks_t2i(np.array([[0.1, 0.2]]), np.array([0, 0])), np.zeros(2))
### END HIDDEN TESTS
total("A1", 6)

# %% [markdown]
# ## A2. Two summaries of the same ranks (4 points)
#
# - **MedR**: the median of the ranks, counted from 1. Of an even number of ranks it is the mean of the two in the middle. Since A1 has half ranks, nothing is rounded.
# - **MRR**, the mean reciprocal rank: the mean of 1 / rank, counted from 1. A right answer in first place is worth 1, in second place a half, in tenth place a tenth.

# %% answer="A2"
def summary(ranks):
    """MedR and MRR: ranks [m] from 0, halves allowed -> {"MedR": ..., "MRR": ...}."""
    ### BEGIN SOLUTION
    ranks = np.asarray(ranks, dtype=float) + 1
    return {"MedR": float(np.median(ranks)), "MRR": float((1 / ranks).mean())}
    ### END SOLUTION

# %% test="A2" points=4
with part("A2", "four ranks by hand", 1):
    ranks = np.array({{[float(r) for r in some]}})
    with unchanged(ranks=ranks):
        got = summary(ranks)
    if not isinstance(got, dict) or set(got) != {"MedR", "MRR"}:
        raise Wrong("Wanted a dictionary with the keys MedR and MRR.")
    expect_close(got["MedR"], {{float(np.median(some) + 1)}}, "MedR", {
        "Ranks are counted from 1 in MedR.": {{float(np.median(some))}},
        "Nothing is rounded down here: take the mean of the two in the middle.": {{float(np.floor(np.median(some)) + 1)}},
    })
    expect_close(got["MRR"], {{float((1 / (np.array(some) + 1.0)).mean())}}, "MRR", {
        "This is 1 over the mean rank; wanted the mean of 1 over the rank.": {{float(1 / (np.mean(some) + 1))}},
    })
### BEGIN HIDDEN TESTS
with part("A2", "MedR of even and odd numbers of ranks, halves, one rank", 2, hidden=True):
    numbers = np.random.default_rng({{hidden_seed + 1}})
    for m in (1, 2, 5, 8, 14):
        ranks = numbers.integers(0, 40, m) / 2
        expect_close(summary(ranks)["MedR"], np.median(ranks) + 1)
    expect_close(summary(np.array([0, 1]))["MedR"], 1.5)
with part("A2", "MRR of random ranks", 1, hidden=True):
    for m in (1, 6, 31):
        ranks = numbers.integers(0, 60, m) / 2
        expect_close(summary(ranks)["MRR"], np.mean([1 / (r + 1) for r in ranks]))
### END HIDDEN TESTS
total("A2", 4)

# %% [markdown]
# ## A3. Recall in a part of the gallery (5 points)
#
# A shop searches only the pictures that are in stock. `gallery[i]` says whether picture i may be found. A caption whose own picture is **not** in the gallery is no query at all. For the others, count a caption
# as found if **fewer than k wrong pictures of the gallery** score at least as high as its own (here ties count against us again).

# %% answer="A3"
def recall_in_gallery(similarity, image_of_caption, gallery, k):
    """Recall at k of text to image in per cent, among the pictures of the gallery; NaN if there is no query.

    similarity [n,m], image_of_caption [m], gallery bool [n], k -> number
    """
    ### BEGIN SOLUTION
    asked = gallery[image_of_caption]  # [m]
    if not asked.any():
        return float("nan")
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    wrong = ((similarity >= own) & gallery[:, None]).sum(0) - 1  # the own picture is in the gallery
    return float(100 * (wrong < k)[asked].mean())
    ### END SOLUTION

# %% test="A3" points=5
with part("A3", "a gallery of two pictures by hand", 1):
    similarity = np.array([[0.9, 0.1, 0.4, 0.8], [0.5, 0.6, 0.7, 0.3], [0.7, 0.2, 0.6, 0.9]])
    with unchanged(similarity=similarity):
        got = recall_in_gallery(similarity, np.array([0, 1, 2, 0]), np.array([True, False, True]), 1)
    # captions 0, 2 and 3 are queries; pictures 0 and 2 compete; caption 3 prefers picture 2
    expect_close(got, 200 / 3, "recall", {
        "Captions whose picture is not in the gallery count in yours; leave them out.": 75.0,
        "Pictures outside the gallery compete in yours.": 100 / 3,
        "Wanted per cent.": 2 / 3,
    })
### BEGIN HIDDEN TESTS
def loop_recall(s, own, shown, k):
    found = []
    for j, o in enumerate(own):
        if shown[o]:
            found.append(sum(s[i, j] >= s[o, j] for i in range(len(s)) if i != o and shown[i]) < k)
    return 100 * np.mean(found)
numbers = np.random.default_rng({{hidden_seed + 2}})
with part("A3", "random galleries", 2, hidden=True):
    for k in (1, 2, 5):
        s, own = numbers.standard_normal((10, 40)), numbers.integers(0, 10, 40)
        shown = numbers.permutation(10) < 6
        expect_close(recall_in_gallery(s, own, shown, k), loop_recall(s, own, shown, k), tol=1e-4)
with part("A3", "ties", 1, hidden=True):
    s, own = numbers.integers(0, 3, (8, 50)) / 2, numbers.integers(0, 8, 50)
    shown = np.arange(8) % 2 == 0
    expect_close(recall_in_gallery(s, own, shown, 2), loop_recall(s, own, shown, 2), tol=1e-4)
with part("A3", "no query, and a gallery of one picture", 1, hidden=True):
    nothing = recall_in_gallery(np.ones((3, 2)), np.array([0, 1]), np.array([False, False, True]), 1)
    expect_close(nothing, float("nan"))
    alone = recall_in_gallery(np.zeros((3, 2)), np.array([0, 1]), np.array([False, True, False]), 1)
    expect_close(alone, 100.0)
### END HIDDEN TESTS
total("A3", 5)

# %% [markdown]
# ## A4. How sure is an MRR? The jackknife (5 points)
#
# The lesson drew pictures again and again. The **jackknife** needs no dice: leave out one *picture at a time, with all its captions*, and see how far the mean moves. With n pictures and $\theta_i$ the mean over
# all captions that do not belong to picture i,
#
# $$\mathrm{SE} = \sqrt{\frac{n-1}{n} \sum_{i=1}^{n} \left(\theta_i - \bar\theta\right)^2}, \qquad \bar\theta = \frac{1}{n}\sum_i \theta_i$$
#
# Pictures may have different numbers of captions, and their numbers need not be 0 to n - 1. With fewer than two pictures the error is not known: NaN.

# %% answer="A4"
def jackknife_error(values, image_of_caption):
    """Standard error of the mean of `values`: values [m], one a caption; image_of_caption [m] -> number."""
    ### BEGIN SOLUTION
    images = np.unique(image_of_caption)
    if len(images) < 2:
        return float("nan")
    left = np.array([values[image_of_caption != i].mean() for i in images])
    n = len(images)
    return float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    ### END SOLUTION

# %% test="A4" points=5
with part("A4", "three pictures with two captions each", 1):
    values, groups = np.array({{values}}), np.array({{groups}})
    with unchanged(values=values, groups=groups):
        got = jackknife_error(values, groups)
    expect_close(got, {{hand_error}}, "standard error", {
        "You left out one caption at a time; wanted one picture with all its captions.":
            {{float(np.std(values, ddof=1) / np.sqrt(6))}},
    })
### BEGIN HIDDEN TESTS
def loop_error(values, groups):
    left = [np.mean([v for v, g in zip(values, groups) if g != i]) for i in sorted(set(groups.tolist()))]
    n = len(left)
    return np.sqrt((n - 1) / n * sum((x - np.mean(left)) ** 2 for x in left))
numbers = np.random.default_rng({{hidden_seed + 3}})
with part("A4", "random values, five captions a picture in any order", 2, hidden=True):
    groups = numbers.permutation(np.repeat(np.arange(12), 5))
    values = numbers.random(60) + groups / 6
    expect_close(jackknife_error(values, groups), loop_error(values, groups))
with part("A4", "different numbers of captions, other picture numbers", 1, hidden=True):
    groups = np.array([3, 3, 3, 3, 10, 11, 11, 40])
    values = numbers.random(8)
    expect_close(jackknife_error(values, groups), loop_error(values, groups))
with part("A4", "one picture", 1, hidden=True):
    expect_close(jackknife_error(np.array([0.5, 1.0]), np.array([0, 0])), float("nan"))
    expect_close(jackknife_error(np.array([0.5, 1.0]), np.array([0, 1])), 0.25)  # two pictures have one
### END HIDDEN TESTS
total("A4", 5)

# %% [markdown]
# ## A5. Softmax pooling (8 points)
#
# The lesson mixes a maximum and a mean. Here one temperature moves between them. For each dimension by itself, over the real fragments of a sample,
#
# $$\mathrm{pool}(x)_d = \sum_n w_{nd}\, x_{nd}, \qquad w_{nd} = \frac{\exp(x_{nd} / t)}{\sum_m \exp(x_{md} / t)}$$
#
# For $t \to 0$ this is the maximum, for $t \to \infty$ the mean. Padding has no influence, whatever stands in it (NaN included); a large x or a tiny t gives no infinity; the gradient is right (it flows through the weights, too), finite, and zero in the padding.

# %% answer="A5"
def softmax_pool(x, mask, t):
    """Softmax pooling: fragments x [B,n,D], mask bool [B,n] (True = real, at least one a row), t > 0 -> [B,D]."""
    ### BEGIN SOLUTION
    real = mask[..., None]
    x = torch.where(real, x, 0)  # NaN in padding x weight 0 would still be NaN
    weights = (x / t).masked_fill(~real, -torch.inf).softmax(1)  # [B,n,D]
    return (weights * x).sum(1)
    ### END SOLUTION

# %% test="A5" points=8
with part("A5", "two fragments by hand", 1):
    got = softmax_pool(torch.tensor([[[{{float(a)}}], [{{float(b)}}]]]), torch.tensor([[True, True]]), 2.0)
    expect_shape(got, (1, 1), "pooled embedding")
    expect_close(got, torch.tensor([[{{hand_pool}}]]), "pooled value", {
        "This is the mean: the weights are missing.": torch.tensor([[{{(a + b) / 2}}]]),
        "You multiplied by the temperature; wanted x / t.":
            torch.tensor([[{{float((np.exp(np.array([a, b]) * 2.0) * [a, b]).sum() / np.exp(np.array([a, b]) * 2.0).sum())}}]]),
    })
with part("A5", "padding above negative fragments", 1):
    x = torch.tensor([[[-1.0, -2.0], [-3.0, -1.0], [0.0, 0.0], [7.0, 7.0]]])
    whole = softmax_pool(x[:, :2], torch.tensor([[True, True]]), 0.5)
    with unchanged(x=x):
        got = softmax_pool(x, torch.tensor([[True, True, False, False]]), 0.5)
    expect_shape(got, (1, 2), "pooled embedding")
    expect_close(got, whole, "pooled value (it must not change with padding)")
### BEGIN HIDDEN TESTS
def loop_pool(x, mask, t):
    out = torch.zeros(x.size(0), x.size(2), dtype=torch.float64)
    for b in range(x.size(0)):
        for d in range(x.size(2)):
            real = [x[b, n, d].item() for n in range(x.size(1)) if mask[b, n]]
            top = max(real)
            w = [np.exp((v - top) / t) for v in real]
            out[b, d] = sum(p * v for p, v in zip(w, real)) / sum(w)
    return out
dice = torch.Generator().manual_seed({{hidden_seed}})
x = torch.randn(4, 6, 5, generator=dice, dtype=torch.float64)
mask = torch.arange(6) < torch.tensor([[6], [1], [3], [5]])
with part("A5", "random fragments against a loop", 1, hidden=True):
    expect_close(softmax_pool(x, mask, 0.7), loop_pool(x, mask, 0.7))
with part("A5", "NaN, infinity and large numbers in the padding", 1, hidden=True):
    wanted = loop_pool(x, mask, 0.3)
    for rubbish in (float("nan"), float("inf"), -float("inf"), 1e4):
        expect_close(softmax_pool(x.masked_fill(~mask[..., None], rubbish), mask, 0.3), wanted)
with part("A5", "limits: a tiny and a huge temperature", 1, hidden=True):
    high = x.masked_fill(~mask[..., None], -torch.inf).amax(1)
    mean = torch.stack([row[keep].mean(0) for row, keep in zip(x, mask)])
    expect_close(softmax_pool(x, mask, 1e-6), high, tol=1e-4)
    expect_close(softmax_pool(x, mask, 1e6), mean, tol=1e-4)
with part("A5", "large values in float32", 1, hidden=True):
    expect_close(softmax_pool((1e3 * x).float(), mask, 0.5), 1e3 * high, tol=0.5)
with part("A5", "a batch of one with one fragment", 1, hidden=True):
    expect_close(softmax_pool(x[:1, :1], torch.ones(1, 1, dtype=torch.bool), 0.1), x[:1, 0])
with part("A5", "the gradient is right, finite, and zero in the padding", 1, hidden=True):
    for rubbish in (3.0, float("nan")):
        slope = gradient(softmax_pool, x.masked_fill(~mask[..., None], rubbish), mask, 0.5)
        expect_close(torch.isfinite(slope).all(), True)
        expect_close(slope[~mask].abs().max(), 0.0)
        weights = (x / 0.5).masked_fill(~mask[..., None], -torch.inf).softmax(1)
        expect_close(slope, weights * (1 + (x - (weights * x).sum(1, keepdim=True)) / 0.5))
### END HIDDEN TESTS
total("A5", 8)

# %% [markdown]
# ## A6. Which temperature? (4 points)
#
# The next cell encodes 80 pictures of the sample world, each with one caption, with the trained model of the course: `regions` [80,R,D] and `words` [80,L,D] are the fragments *before* attention and pooling. Pool
# both sides with **your** `softmax_pool` at temperature t, give every vector unit length, and compute the MRR of text to image with your `ranks_t2i` and `summary`.

# %% given="setup"
run = checkpoints.load_run(data.sample_run())
split = data.open_split(data.sample_dir(), "test")
chosen = np.sort(np.random.default_rng(SEED).choice(split.n_images, 80, replace=False))
pairs = data.PairDataset(split, run.text.encode(split.captions))
with torch.no_grad():
    batch = pairs[data.BatchPlan(0, 0, 5 * chosen + SEED % 5)]  # one caption of each picture
    images = run.model.encode_images(batch.regions, batch.region_mask)
    texts = run.model.encode_texts(batch.words, batch.word_mask)
regions, region_mask, words, word_mask = images.fragments, images.mask, texts.fragments, texts.mask

# %% answer="A6"
def mrr_at(regions, region_mask, words, word_mask, t):
    """MRR of text to image, caption j belonging to picture j: fragments [n,R,D] and [n,L,D], masks, t -> number."""
    ### BEGIN SOLUTION
    v = torch.nn.functional.normalize(softmax_pool(regions, region_mask, t), dim=-1)
    u = torch.nn.functional.normalize(softmax_pool(words, word_mask, t), dim=-1)
    similarity = (v @ u.T).numpy()  # [n,n]
    return summary(ranks_t2i(similarity, np.arange(len(similarity))))["MRR"]
    ### END SOLUTION

# %% test="A6" points=4
with part("A6", "a number between chance and one", 1):
    got = mrr_at(regions, region_mask, words, word_mask, 0.1)
    if not 0.2 < got <= 1:
        raise Wrong(f"Got {got:.3f}; the fragments of a trained model give more than 0.2 and at most 1.")
### BEGIN HIDDEN TESTS
def loop_mrr(r, rm, w, wm, t):
    def pool(x, m):
        top = (x / t).masked_fill(~m[..., None], -torch.inf)
        p = (top.softmax(1) * x).sum(1)
        return p / p.norm(dim=-1, keepdim=True)
    s = (pool(r, rm) @ pool(w, wm).T).numpy()
    own = s.diagonal()
    return np.mean(1 / (1 + (s > own).sum(0)))
with part("A6", "three temperatures", 2, hidden=True):
    for t in (0.03, 0.3, 3.0):
        expect_close(mrr_at(regions, region_mask, words, word_mask, t), loop_mrr(regions, region_mask, words, word_mask, t), tol=0.01)
with part("A6", "fewer pairs, padding on both sides, and vectors of very different length", 1, hidden=True):
    dice = torch.Generator().manual_seed({{hidden_seed + 4}})
    r, w = torch.randn(12, 4, 8, generator=dice), torch.randn(12, 5, 8, generator=dice)
    r = r * torch.logspace(-1, 1, 12)[:, None, None]
    rm, wm = (torch.arange(n) < torch.randint(1, n + 1, (12, 1), generator=dice) for n in (4, 5))
    expect_close(mrr_at(r, rm, w, wm, 0.5), loop_mrr(r, rm, w, wm, 0.5), tol=1e-3)
### END HIDDEN TESTS
total("A6", 4)

# %% premise="A7"
found = {t: mrr_at(regions, region_mask, words, word_mask, t) for t in (0.003, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0)}
found = {"curve": ", ".join(f"{v:.2f} (t = {t:g})" for t, v in found.items()), "best": max(found, key=found.get), "all": found}
assert found["best"] not in (0.003, 10.0), f"A7: the best temperature is {found['best']:g}, an end of the curve"

# %% [markdown]
# ## A7. Read the curve (5 points, marked by a person)
#
# Draw MRR over t from 0.003 to 10 on a logarithmic axis (in a cell of your own, with the jackknife error of A4 at each point). In at most 150 words:
#
# 1. Which two methods of the lesson stand at the two ends of the curve, and why?
# 2. Where is the best temperature, and is it better than the ends by more than the error allows you to say? The same 80 pictures stand behind all points: what does that do to the comparison?
# 3. What would be wrong with reporting the MRR at the best t of this curve as the result?

# %% [markdown] manual="A7" points=5
# ### BEGIN SOLUTION
# At small t each dimension is the maximum of the fragments (MaxPool with k = 1), at large t the mean (AvgPool): exp(x/t) becomes one-sided or flat.
# The figures of this course's curve stand in the rubric; the standard error of one point is about 0.04. Since the same pictures are used, their
# luck is common to both points: the *difference* is known better than each value, and the jackknife should be taken of the difference. The best t was chosen on these pictures, so its MRR is too good; choose t on dev and report on test once.
# ### END SOLUTION

# %% [markdown] rubric="A7"
# ## A7 (5 points)
#
# - 1 point: a readable curve with both axes named, logarithmic t, errors drawn.
# - 1 point: small t = maximum, large t = mean, with the reason (weights one-sided or flat).
# - 1 point: compares the gap with the error of the *difference*, or says that the points are paired.
# - 1 point: says honestly whether the data can tell (with 80 pictures mostly: not between neighbors).
# - 1 point: choosing t and reporting on the same pictures is optimistic; dev chooses, test judges.
#
# No point for the value of the best t as such: it depends on the course's seed. With yours the curve runs
# {{found["curve"]}}; the best of these, t = {{f"{found['best']:g}"}}, is {{f"{found['all'][found['best']] - found['all'][0.003]:.2f}"}} above the maximum's end and {{f"{found['all'][found['best']] - found['all'][10.0]:.2f}"}} above the mean's.

# %% [markdown]
# ## A8. Two papers (3 points, marked by a person)
#
# Paper 1 breaks ties at random, paper 2 counts them against itself. Both report R@1 of models whose similarity is rounded to two decimals. In at most 80 words: for which of them can a *collapsed* model (all
# similarities equal) look better than it is, what R@1 does each rule give it with n pictures, and which rule would you ask a journal to require?

# %% [markdown] manual="A8" points=3
# ### BEGIN SOLUTION
# Collapsed model, text to image: random order finds the right one with probability 1/n, so R@1 = 100/n per cent, the chance level; against itself the rank is n - 1 and R@1 = 0. Rounding makes ties, and random
# breaking (or an unstable sort) gives different numbers on each run. I would require "ties count against", or the exact expected value: both are deterministic. It must be said which.
# ### END SOLUTION

# %% [markdown] rubric="A8"
# ## A8 (3 points)
#
# - 1 point: 100/n and 0 per cent.
# - 1 point: paper 1's rule is the one that can look better, and its figure changes from run to run.
# - 1 point: a reasoned requirement (against us, or the expected value; deterministic; stated).
