# %% [markdown]
# # Which wrong answers should we learn from, and who should share a batch?
#
# **Minutes**: 80 to read, 47 for the exercises (optional: 10 more) · **Needs**: [00](00_task_and_metric.ipynb), [02](02_fragment_relations.ipynb) · **Paper**: Sec 3.4, equation (13) · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 one triplet (10) · 2 right pairs (7) · 3 pull (6) · 4 which negative (16) · 5 dimension (22) · 6 batches (16) · Break it (4)
#
# - **In hand**: plain embeddings `image_emb` and `text_emb`, and enhanced ones, v̄ and ū, all [B,D].
# - **Missing**: a goal. Nothing says yet that a picture belongs to its caption.
# - **Today**: the loss (`losses.triplet`), the wrong answers that it draws, and the batches (`sampling`) that bring hard ones together.

# %% tags=["setup"]
import numpy as np, torch, torch.nn.functional as F
from hrem_lib import build_model, checkpoints, data, evaluation, losses, plots, sampling
from hrem_lib.exercises import check
from hrem_lib.plots import losses as figures
from hrem_lib.sample_world import scenes
plots.use_style()

# %%
plots.show(plots.pipeline_map(6), "Today: what the embeddings are asked for, and which pairs meet in a batch.",
           "Pipeline of eight boxes; the box losses and sampling is filled.")

# %% [markdown]
# **You will be able to**
#
# - write the triplet loss of equation (13) and say, pair by pair, what its gradient does;
# - explain distance-weighted sampling, and why its result depends on one number, the dimension n;
# - build neighbor batches, and measure what they change and what they cost.
#
# **Predict first.** In a batch of 128 pairs, each picture has 127 wrong captions. One is drawn, by a law that should give *every
# distance* the same chance. Take the released code's n = 512 and a trained model. How many of the 127 have a real chance: about 100, about 30, or
# fewer than 10? Section 5 prints it.

# %% [markdown]
# ## 1. What does one triplet ask for?
#
# An **anchor** (a picture) has a **positive** (a caption that describes it) and a **negative** (one that does not). The anchor's cosine
# with the positive, $s(a, p)$, should exceed the one with the negative, $s(a, n)$, by a **margin** α = 0.2. What it lacks is the loss:
#
# $$\ell(a, p, n) = [\,\alpha - s(a, p) + s(a, n)\,]_+ \qquad [x]_+ = \max(x, 0)$$
#
# | paper | name in code | shape |
# |---|---|---|
# | $v_i$, $u_j$ | `image_emb`, `text_emb` | [B,D], unit length |
# | $s(v_i, u_j)$ | `similarity` | [B,B], row = picture |
# | α | `margin` | number, 0.2 |
# | same picture | `positive` | [B,B] bool |
#
# **By hand**, two pairs in the plane:
#
# - Anchor picture 2: its caption 2 has the cosine 0.936, the wrong caption 1 has 0.96. The triplet lacks 0.2 − 0.936 + 0.96 = 0.224.
# - Anchor caption 1: this triplet lacks 0.2 − 0.8 + 0.96 = 0.36.
# - The other two triplets have their margin and cost 0. So the loss is **0.584**.

# %%
v = torch.tensor([[1.0, 0.0], [0.6, 0.8]], requires_grad=True)  # two pictures
u = torch.tensor([[0.8, 0.6], [0.28, 0.96]], requires_grad=True)  # their captions
similarity = v @ u.T
similarity.retain_grad()
print(similarity.detach().numpy().round(3))

# %%
def triplet_loops(s, ids, margin=0.2):
    total = 0.0
    for scores in (s, s.T):  # pictures ask, then captions ask
        for a in range(len(s)):
            for p in range(len(s)):
                for n in range(len(s)):
                    if ids[p] == ids[a] and ids[n] != ids[a]:
                        total = total + (margin - scores[a, p] + scores[a, n]).clamp(min=0)
    return total


loss = triplet_loops(similarity, ids := torch.tensor([0, 1]))
loss.backward()
print(f"loss {loss.item():.3f}\nderivative of the loss with respect to each cosine:\n{similarity.grad.numpy()}")
library = losses.triplet(v.detach(), u.detach(), ids)  # draws one negative for each positive: here there is only one
assert abs(library.loss.item() - 0.584) < 1e-4 and abs(loss.item() - 0.584) < 1e-4

# %% [markdown]
# This gradient is a table of whole numbers. Each triplet that lacks something pulls its right pair together (−1) and pushes its wrong pair apart (+1).
# The pair (picture 2, caption 1) is the wrong pair of both triplets, so it has +2.

# %%
plots.show(figures.hand_example(v.detach().numpy(), u.detach().numpy(), similarity.detach().numpy(), similarity.grad.numpy()),
           "Left: captions u1 and u2 both lie near picture v2. Right: u1 and v2 are pushed apart twice, both right pairs are pulled once.",
           "Unit vectors of two pictures and two captions; heat map of cosines 0.80 0.28 0.96 0.94; heat map of the gradient −1 0 2 −1.")

# %% [markdown]
# **What you should see**: the gradient is −1 on the diagonal and +2 at row v2, column u1, exactly.

# %%
assert torch.equal(similarity.grad, torch.tensor([[-1.0, 0.0], [2.0, -1.0]]))

# %% [markdown]
# ## 2. Which pairs are right, and what does a collapse cost?
#
# A picture has five captions, so it can stand in a batch twice. Then each of the two captions is right for both rows: **every in-batch
# caption of the same picture is a positive**, none is a negative. Three pairs, the third one shows picture 0 again:

# %%
ids = torch.tensor([0, 1, 0])
positive = ids[:, None] == ids[None, :]
print(positive.int())
print("right pairs P =", int(positive.sum()))

# %% [markdown]
# The loss takes one drawn negative for each of the P right pairs, in both directions:
#
# $$L(v, u) = \sum_{(i,\,p)\ \mathrm{right}} [\,\alpha - s(v_i, u_p) + s(v_i, u_n)\,]_+ \; + \; [\,\alpha - s(u_i, v_p) + s(u_i, v_n)\,]_+ \,,
# \quad n \sim \text{the law of section 4}$$
#
# If all embeddings fall onto one point (**collapse**), all cosines are 1 and each term is α: the loss is 2 P α. For the paper's batch of
# 128 pictures that is 2 × 128 × 0.2 = **51.2**. At the start of training the loss is near this level. But a loss near this level does not prove a collapse:
# with hard negatives a model that learns can stay there for long (lesson 06).

# %%
point = F.normalize(torch.ones(128, 8), dim=1)
collapsed = losses.triplet(point, point, torch.arange(128))
print(f"collapsed batch: loss {collapsed.loss:.1f} with {collapsed.positives} right pairs")
assert abs(collapsed.loss.item() - 51.2) < 0.01

# %% [markdown]
# ### The whole objective
#
# HREM has plain embeddings (v, u) and enhanced ones (v̄, ū), so it takes this loss four times, and adds the regularizer of lesson 03. The two losses that pair an enhanced embedding with a plain one are the **crossed terms**:
#
# $$L = L(v, u) + L(\bar v, \bar u) + L(\bar v, u) + L(v, \bar u) + 10\, L_{reg}$$
#
# The last four terms start after a warm-up (lesson 06).
#
# **What is the regularizer for?** The MLPs of (9) make the relevance across the modalities. The four losses reach them only through λS in the attention, which changes
# v̄ and ū little (lesson 04). $L_{reg}$ gives them a target of their own: near embeddings should be relevant, far ones less so, as within a modality. It also keeps the contrasts
# of S small. The embeddings in the target are detached, so no embedding moves to please it: its gradient reaches the two MLPs alone.

# %% [markdown]
# ## 3. How strong is the pull?
#
# The loss is linear in the cosines, but an embedding moves on the sphere, so what counts is the angle. Let the positive be x degrees away from the anchor and the
# negative y degrees. The derivative of the cosine with respect to its angle is minus the sine, which is nearly 0 at small angles. We let autograd compute it.

# %%
x = torch.linspace(0, 120, 61, dtype=torch.float64).requires_grad_()  # anchor to positive, degrees
y = torch.linspace(0, 120, 61, dtype=torch.float64).requires_grad_()  # anchor to negative
grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
grid_x.retain_grad(), grid_y.retain_grad()
loss = (0.2 - torch.cos(torch.deg2rad(grid_x)) + torch.cos(torch.deg2rad(grid_y))).clamp(min=0)
loss.sum().backward()
step = [-torch.rad2deg(grid.grad).numpy() for grid in (grid_x, grid_y)]  # per radian
at = lambda a, b: (int(a / 2), int(b / 2))  # row = negative, column = positive
print(f"push on a negative at 60 degrees: {step[1][at(60, 60)]:.3f}, at 4 degrees: {step[1][at(4, 60)]:.3f}")
assert abs(step[1][at(60, 60)] - np.sin(np.pi / 3)) < 1e-9

# %%
plots.show(figures.triplet_landscape(x.detach().numpy(), y.detach().numpy(), loss.detach().numpy(), step,
                                      "A negative very close to the anchor is hardly pushed"),
           "Loss of one triplet. Arrows: a gradient step. Above the dashed line the triplet has its margin; at the bottom the arrows have hardly any "
           "upward part, although the loss is largest there.",
           "Landscape of the loss over two angles with arrows; zero above a dashed diagonal line, highest at the bottom right.")

# %% [markdown]
# **What you should see**: the upward part of an arrow is the sine of the negative's angle, 0.866 at 60 degrees and 0.070 at 4 degrees.
# So the *hardest* negative, nearest to the anchor, gives the largest loss but hardly any push away from the anchor. An easy one (upper left)
# gives nothing at all. For this reason Wu et al. (2017) draw negatives over **all distances**, and the paper does the same.

# %% [markdown]
# ## 4. Which wrong caption?
#
# On the unit sphere in n dimensions, random points have distances $D = \sqrt{2 - 2s}$ with the density
#
# $$q(D) \propto D^{\,n-2}\,(1 - D^2/4)^{(n-3)/2}$$
#
# A negative is drawn with weight **1 / q(D)**: small where a distance is common, large where it is rare. The distances that are drawn are then spread evenly. (In
# this section D is the distance, as in Wu et al., not the width of the embeddings.)
#
# | paper / Wu et al. | name in code | shape |
# |---|---|---|
# | $D$ | `distance` | [B,B] from 0.5 (smaller ones count as 0.5) to the cut-off |
# | $n$ | `dim` | 512 in the released code, whatever the width |
# | cut-off | `cutoff` | 1.7 (Flickr30K), 1.9 (COCO) |
# | law | `distance_weights(...)` | [B,B], rows add up to one, 0 at positives |
#
# **By hand**: for n = 3 the density is just D. Three negatives at distances 0.6, 1.0, 1.5 have weights 1/0.6, 1, 1/1.5, and divided by
# their sum 3.333: **0.5, 0.3, 0.2**.

# %%
def law_by_powers(distance, n):
    q = distance ** (n - 2) * (1 - distance**2 / 4) ** ((n - 3) / 2)
    return (1 / q) / (1 / q).sum(-1, keepdim=True)


distance = torch.tensor([[0.6, 1.0, 1.5]])
print(law_by_powers(distance, 3).numpy().round(3))
none = torch.zeros(1, 3, dtype=torch.bool)  # no positive among the three
library = losses.distance_weights(1 - distance**2 / 2, none, dim=3)
assert torch.allclose(law_by_powers(distance, 3), library, atol=1e-5)
print("n = 512 by powers:", law_by_powers(distance, 512).tolist())
print("n = 512 library:  ", [round(w, 3) for w in losses.distance_weights(1 - distance**2 / 2, none, dim=512)[0].tolist()])

# %% [markdown]
# For n = 512 the powers are too large and too small for float32. The library works with logarithms (exercise 05b). And the law that should be fair has become "take the nearest".
#
# Now a trained model: twelve test pictures, each with one caption. Four rules draw a wrong caption for every picture 2,000 times.

# %%
run = checkpoints.load_run(data.sample_run())
split = data.open_split(data.sample_dir(), "test")
truth = scenes.read_scenes(data.sample_dir() / "test_scenes.jsonl")


def encode(model, split, images):
    """v and u of pictures with their first captions."""
    tokens = run.text.encode([split.captions[i * split.captions_per_image] for i in images])
    model.eval()
    with torch.no_grad():
        v = model.encode_images(*split.regions(images)).emb
    return v, evaluation.encode_texts(model, tokens)


def effective_number(law):
    """exp(entropy) of each row: 1 = always the same one, m = m of them alike."""
    return torch.exp(-torch.xlogy(law, law).sum(-1))


v, u = encode(run.model, split, np.arange(128))
similarity = v @ u.T  # [128,128]

# %%
torch.manual_seed(0)
few, own = similarity[:12, :12], torch.eye(12, dtype=torch.bool)
laws = {
    "All alike": (~own).float() / 11,
    "Law, n = 64": losses.distance_weights(few, own, dim=64),
    "Law, n = 512": losses.distance_weights(few, own),
    "Hardest": F.one_hot(few.masked_fill(own, -2).argmax(1), 12).float(),
}
counts = {name: F.one_hot(torch.multinomial(law, 2000, replacement=True), 12).sum(1) for name, law in laws.items()}
found = {name: effective_number(law).mean().item() for name, law in laws.items()}
for name, number in found.items():
    print(f"{name:<13} effective number of the 11 wrong captions: {number:.1f}")
favorite = laws["Law, n = 512"].argmax(1)  # [12]
hardest, far = favorite == laws["Hardest"].argmax(1), few[range(12), favorite] < 0
print(f"favorite of the law with n = 512: the hardest in {hardest.sum()} rows, one with a negative cosine in {far.sum()}")

# %%
actions = [truth[i]["action"].replace("_", " ") for i in range(12)]
panels = {f"{name}: {found[name]:.1f} of 11": count.numpy() for name, count in counts.items()}

# %%
plots.show(figures.who_was_drawn(panels, own.numpy(), actions),
           "Which captions were drawn. Row = picture, column = caption (both named by their action), hatched = the right caption. With n = 512 the law draws "
           "one or two captions in most rows: mostly the hardest, sometimes a far one.",
           "Four 12 by 12 heat maps of the share of 2,000 draws: even, a few brighter cells in a row, one or two bright cells in a row, one bright cell in a row.")

# %% [markdown] quoted="1.61: the root of 2 + 0.6, by hand"
# **What you should see**: the effective number (the exponential of the entropy) stands above each panel. It is 11 if all are alike, 1 for the hardest, {{ found["Law, n = 64"]:.1f }} for n = 64, and only
# {{ found["Law, n = 512"]:.1f }} for n = 512. Two details matter later:
#
# - First and last row: in both pictures somebody holds a surfboard. With n = 512 each draws mostly the other's caption. But
#   "a man is standing next to a surfboard" is nearly true for both. A sampler that prefers hard negatives also draws these (nearly) **false negatives**.
# - Where even the nearest of the eleven is not near, the law draws the *farthest*. 1/q is large at both ends, since far is as rare as near. Such a triplet has its margin
#   and teaches nothing. The cut-off at 1.7 should prevent this, but a cosine of −0.3 (D = 1.61) passes. Among 127 wrong captions there nearly always is a near one.

# %%
assert abs(found["All alike"] - 11) < 0.01 and abs(found["Hardest"] - 1) < 0.01
assert found["Law, n = 64"] > 4 and 1 < found["Law, n = 512"] < 3
assert all((count.diagonal() == 0).all() for count in counts.values()) and counts["Law, n = 512"][[0, 11], [11, 0]].min() > 200
assert hardest.sum() >= 6 and far.sum() >= 1

# %% [markdown]
# ## 5. Why does the dimension decide?
#
# Random points on a sphere of high dimension are nearly orthogonal. Their distances are all close to √2, with a spread of about
# $1/\sqrt{2n}$. A law that divides by such a narrow density needs exponents in the hundreds. The next cell takes 40 anchors among 2,000 random points, and
# draws with the law of the *true* dimension.

# %%
draw = torch.Generator().manual_seed(2)
grid = np.linspace(0.01, 1.99, 400)
random, drawn, density = {}, {}, {}
for n in (2, 8, 64, 512):
    anchors, points = (F.normalize(torch.randn(size, n, generator=draw), dim=1) for size in (40, 2000))
    s = anchors @ points.T  # [40,2000]
    distance = (2 - 2 * s).clamp(min=0).sqrt()
    law = losses.distance_weights(s, torch.zeros_like(s, dtype=torch.bool), dim=n)
    taken = torch.multinomial(law, 100, replacement=True, generator=draw)
    random[n], drawn[n] = distance.flatten(), distance.gather(1, taken).flatten()
    log_q = (n - 2) * np.log(grid) + (n - 3) / 2 * np.log(1 - grid**2 / 4)
    q = np.exp(log_q - log_q.max())
    density[n] = q / (q.sum() * (grid[1] - grid[0]))
    print(f"n = {n:>3}: random {random[n].mean():.2f} ± {random[n].std():.2f}   drawn {drawn[n].mean():.2f} ± {drawn[n].std():.2f}")

# %%
plots.show(figures.sphere_distances({n: d.numpy() for n, d in random.items()}, {n: d.numpy() for n, d in drawn.items()},
                                     density, grid, (0.5, 1.7)),
           "Above: distances from an anchor to random points (gray) and the density q (line). Below: what 1/q draws. It is flat wherever there are points: in 8 dimensions between "
           "the dashed limits 0.5 and 1.7, in 512 between 1.25 and 1.55. Rare distances are drawn as often as common ones, at both ends. (Points nearer than 0.5 "
           "count as 0.5, so in 8 dimensions some are drawn at the left of the limit.)",
           "Histograms for dimensions 2, 8, 64, 512: the random ones narrow toward 1.41; the drawn ones are flat over the range in which there are points.")

# %% [markdown]
# **What you should see**: the spread of the random distances falls to {{ random[512].std():.2f }} in 512 dimensions. In 8 dimensions the drawn ones have the mean {{ drawn[8].mean():.2f }};
# a uniform law from 0.5 to 1.7 has 1.1.
#
# So far n was the true dimension of random points. Embeddings are not random points: their cosines spread far wider than $1/\sqrt{n}$, to places where
# 1/q is steep. What counts is how $\log(1/q)$ changes with the cosine. The law is a **softmax of the cosine with a temperature** T. (For s below 0 it turns round and
# prefers the far ones.)
#
# $$\frac{1}{T} = \frac{d \log (1/q)}{ds} = \frac{n-2}{2(1-s)} - \frac{n-3}{2(1+s)}$$

# %%
assert abs(random[512].std() - 0.03) < 0.01 and abs(drawn[8].mean() - 1.1) < 0.1
temperature = lambda s, n: 1 / ((n - 2) / (2 * (1 - s)) - (n - 3) / (2 * (1 + s)))
for s in (0.2, 0.5, 0.7):
    print(f"cosine {s}: temperature {temperature(s, 512):.3f} for n = 512, {temperature(s, 64):.3f} for n = 64")

# %% [markdown]
# A temperature of 0.003 means that a negative whose cosine is 0.01 lower is drawn exp(−0.01 / 0.003) = 0.04 times as often. The same formula
# can mean anything from "all alike" to "hardest only". It depends on n and on the cosines:

# %%
def effective_numbers(cosines, positive, dims):
    return [effective_number(losses.distance_weights(cosines, positive, dim=n)).mean().item() for n in dims]


dims = [8, 16, 32, 64, 128, 256, 512, 1024]
anchors = F.normalize(torch.randn(100, 1024, generator=draw), dim=1)
others = F.normalize(torch.randn(100, 127, 1024, generator=draw), dim=2)
normal = torch.randn(100, 127, generator=draw)
no = torch.zeros(100, 127, dtype=torch.bool)
torch.manual_seed(0)
batch, untrained = torch.eye(128, dtype=torch.bool), build_model(run.config, split.region_dim, run.text.size)
v0, u0 = encode(untrained, split, np.arange(128))
curves = {
    "random points, 1024 dimensions": effective_numbers((others @ anchors[:, :, None])[..., 0], no, dims),
    "sample model before training": effective_numbers(v0 @ u0.T, batch, dims),
    "cosines 0.10 ± 0.05": effective_numbers(0.10 + 0.05 * normal, no, dims),
    "sample model, trained": effective_numbers(similarity, batch, dims),
    "cosines 0.15 ± 0.10": effective_numbers(0.15 + 0.10 * normal, no, dims),
}
law = losses.distance_weights(similarity, batch)
top = law.gather(1, similarity.masked_fill(batch, -2).argmax(1, keepdim=True)).mean().item()
for name, values in curves.items():
    print(f"{name:<31} effective number for n = 64: {values[3]:4.0f}   for n = 512: {values[6]:4.0f}")
print(f"trained, n = 512: probability of the hardest of 127: {top:.2f}")

# %%
plots.show(figures.effective_numbers(dims, curves, {"released code": 512}, 127, "The n of the formula decides how many negatives count"),
           "How many of 127 wrong captions have a real chance. With n = 512 nearly all have one before training, and hardly more than one after it.",
           "Five falling curves of the effective number against n, from about 127 at n = 8 to between 1 and 99 at n = 1024.")

# %% [markdown] quoted="518.5, 521.5: two training runs of the sample preset"
# **What you should see** at n = 512: {{ curves["sample model before training"][6]:.0f }} captions have a chance before training, and {{ curves["sample model, trained"][6]:.0f }} with the trained model. Its hardest wrong caption
# is drawn with probability {{ top:.2f }}. **Predict first**: the answer is *fewer than 10*. The same formula with the same n is nearly random sampling at first and becomes hard mining while the model learns.
#
# This sample model was trained with n = 64, half its width, as 512 is half of the paper's 1,024. At its own n about {{ curves["sample model, trained"][3]:.0f }} captions have a chance.
#
# Does n matter? The same training with n = 512 (`hrem train sample --loss.sampling_dim 512`) has a lower dev rSum in each epoch. At the end it is 518.5 against 521.5.
# One seed each does not separate the two. n = 64 is faster at the start, and not clearly better at the end.

# %%
at_512 = {name: values[6] for name, values in curves.items()}
assert at_512["random points, 1024 dimensions"] > 100 and at_512["sample model before training"] > 100
assert top > 0.9 and 1 <= at_512["sample model, trained"] < 3 and 4 < curves["sample model, trained"][3] < 9

# %% [markdown]
# ### Why not InfoNCE?
#
# Most models today (CLIP, for one) are trained with **InfoNCE**: the cross-entropy of the right caption among all captions of the batch, with s / T as logits. It draws nothing and has no margin. The
# library has it (`loss.initial=infonce`). The next cell gives both losses the cosines of the 128 test pairs and compares their gradient at the wrong pairs: the **push**.

# %%
def push(loss):
    """Gradient at the wrong pairs [128,128]; a loss that gets s and the unit matrix has s as its cosines."""
    s = similarity.clone().requires_grad_()
    loss(s, torch.eye(128), torch.arange(128)).loss.backward()
    return s.grad.masked_fill(batch, 0)


torch.manual_seed(0)
pushes = {f"triplet, n = {n}": push(lambda s, one, ids, n=n: losses.triplet(s, one, ids, dim=n, draws=200)) for n in (64, 512)}
for T in (0.07, 0.01):  # CLIP's temperature at the start, and the lowest that it allows
    pushes[f"InfoNCE, T = {T}"] = push(lambda s, one, ids, T=T: losses.infonce(s, one, ids, torch.tensor(1 / T).log()))
right, nearest = similarity.diagonal(), similarity.masked_fill(batch, -2).argsort(1, descending=True)[:, :127]
beyond = similarity < torch.minimum(right[:, None], right) - 0.2  # below both right cosines by more than the margin
profile = {name: (g.gather(1, nearest).sum(0) / g.sum()).numpy() for name, g in pushes.items()}
outside = {name: float(g[beyond].sum() / g.sum()) for name, g in pushes.items()}
for name, g in pushes.items():
    print(f"{name:<17} share of the push: nearest negative {profile[name][0]:.2f}, negatives beyond the margin {outside[name]:.2f}")
assert outside["triplet, n = 64"] == 0 < outside["InfoNCE, T = 0.07"] and profile["InfoNCE, T = 0.07"][0] < profile["triplet, n = 64"][0]

# %%
plots.show(figures.negative_weights(profile, "At T = 0.07 InfoNCE pushes more negatives; at T = 0.01 it is like the triplet loss"),
           "Of the 127 negatives of a picture, how much of the push do the k nearest get? Mean of 128 pictures.",
           "Four rising curves of the share of the push at the k nearest negatives. InfoNCE with T = 0.07 starts lowest and rises most slowly; the other three start above 60 %.")

# %% [markdown]
# **What you should see**: with T = 0.07 the nearest negative gets {{ 100 * profile["InfoNCE, T = 0.07"][0]:.0f }} % of the push. With T = 0.01 it gets {{ 100 * profile["InfoNCE, T = 0.01"][0]:.0f }} %, about as much as with the
# triplet loss. So both losses have one number that says how hard the negatives are. In InfoNCE it is learned, and all negatives count at once, without the noise of a draw. That is simpler.
#
# (With n = 512 nearly all draws take the hardest. Its share is below one, since the push comes from both directions.) The price is the margin. A triplet that has its margin gives no gradient. InfoNCE never stops: {{ 100 * outside["InfoNCE, T = 0.07"]:.0f }} % of its push (T = 0.07) goes to negatives beyond the margin.
# It also needs large batches, because all its negatives come from the batch. The paper chose the triplet loss, and so does this course. [Lesson 09](09_does_it_help.ipynb) compares training runs: does the relation part help with InfoNCE, too?

# %% [markdown]
# ## 6. Who should share a batch?
#
# A negative can only be drawn if it is in the batch. In a random batch few wrong captions are really confusing, and the graph of lesson 03
# connects pictures that have little in common. **Neighbor batch sampling** puts similar pictures together:
#
# 1. cluster all training pictures by their embeddings (k-means);
# 2. take P clusters, K pictures of each, and one caption of each picture: N = P × K.
#
# It starts late, when the embeddings mean something. It clusters again in every epoch, because the embeddings move.
#
# | paper | name in code | shape |
# |---|---|---|
# | clusters of $v$ | `labels = cluster_images(image_emb, ...)` | [images] |
# | P, K (no numbers given) | `clusters_per_batch`, `images_per_cluster` | 16, 8 |
# | batch | `neighbor_batches(labels, ...)` | [steps,P*K] caption numbers |
#
# **By hand**: four pictures at 0, 10, 80 and 90 degrees. Two clusters: {0, 10} and {80, 90}. The center of the first is the mean of
# (1, 0) and (0.985, 0.174): (0.992, 0.087).

# %%
def k_means(points, centers, rounds=10):
    for _ in range(rounds):
        nearest = ((points[:, None] - centers[None]) ** 2).sum(-1).argmin(1)  # [images,clusters] -> [images]
        centers = np.stack([points[nearest == c].mean(0) for c in range(len(centers))])
    return nearest, centers


angles = np.deg2rad([0, 10, 80, 90])
points = np.stack([np.cos(angles), np.sin(angles)], 1)  # [4,2]
labels, centers = k_means(points, points[[0, 3]])
print(labels, centers.round(3).tolist())
library = sampling.cluster_images(points, clusters=2, seed=0, smallest=2)
assert ((library[:, None] == library) == (labels[:, None] == labels)).all()  # the same parts, whatever their numbers

# %% [markdown]
# Now the 1,000 training pictures. First a small batch that can be drawn: 32 pictures, 4 clusters × 8, beside a random one.

# %%
train = data.open_split(data.sample_dir(), "train")
v, u = encode(run.model, train, np.arange(train.n_images))
labels = sampling.cluster_images(v.numpy(), clusters=31, seed=0, smallest=8)
one_each = np.arange(train.n_images)  # for this section: caption i belongs to picture i
near = sampling.neighbor_batches(labels, one_each, 1, 4, 8, seed=0, epoch=1)[0]
far = sampling.random_batches(train.n_images, 32, seed=0, epoch=1)[0]
centered = (v - v.mean(0)).numpy()
plane = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T  # [images,2]

# %%
plots.show(figures.batches_in_plane(plane, {"Random batch: from everywhere": far, "Neighbor batch: four clusters of eight": near}, labels),
           "The training pictures' embeddings in their two largest directions, with a batch of 32 marked. In the plane the clusters overlap; k-means separates them in all dimensions.",
           "Two scatter plots; the random batch is scattered, the neighbor batch forms four groups that overlap a little.")

# %%
mates = {f"cluster {k + 1}": plots.load_pictures(train, near[8 * k : 8 * k + 8]) for k in range(4)}
mates["random"] = plots.load_pictures(train, far[:8])

# %%
plots.show(figures.batch_pictures(mates, title="Each cluster has a theme; the random row has none"),
           "The 32 pictures of the neighbor batch, a cluster in each row; last row: eight pictures of the random batch. Cluster 2 is the loosest.",
           "Rows of eight drawn scenes: a park with bicycles and benches; kites, bats and balls; bicycles on a street; people in a room; unrelated ones.")

# %% [markdown]
# How hard is a batch of 128? For each picture we take its 127 wrong captions.

# %% tags=["nbval-ignore-output"]
def hardness(batch):
    """Mean cosine of the nearest wrong caption; wrong captions within the margin of the right one; mates of the same action."""
    s, off = (v[batch] @ u[batch].T).numpy(), ~np.eye(len(batch), dtype=bool)
    close = (s > s.diagonal()[:, None] - 0.2) & off
    same = (actions_of[batch][:, None] == actions_of[batch][None]) & off
    return np.where(off, s, -1).max(1).mean(), close.sum(1).mean(), same.sum(1).mean()


actions_of = np.array([scene["action"] for scene in scenes.read_scenes(data.sample_dir() / "train_scenes.jsonl")])
plans = {"random": sampling.random_batches(1000, 128, 0, 1)}
for p, k in ((16, 8), (8, 16), (4, 32)):
    parts = sampling.cluster_images(v.numpy(), clusters=31, seed=0, smallest=k)
    plans[f"{p} x {k}"] = sampling.neighbor_batches(parts, one_each, 7, p, k, 0, 1)
table = {name: np.mean([hardness(batch) for batch in batches], 0) for name, batches in plans.items()}
for name, (nearest, close, same) in table.items():
    print(f"{name:<7} nearest wrong caption {nearest:.2f}   wrong within the margin {close:3.0f}   same action {same:.1f}")
assert table["random"][1] < table["4 x 32"][1] and table["random"][2] < table["16 x 8"][2] < table["4 x 32"][2]

# %% [markdown]
# (k-means can give slightly different clusters on another processor. So a test of this notebook compares only the order of these numbers.)
#
# **What you should see**: the smaller P, the harder the batch. More mates show the same action ({{ table["random"][2]:.1f }} in a random batch, {{ table["4 x 32"][2]:.1f }} for 4 × 32), and more wrong
# captions come within the margin. With our P × K = 16 × 8 the change is small: only 7 of a picture's 127 mates come from its
# own cluster.
#
# It has a price. An epoch of 39 random batches shows nearly all 5,000 captions once. A neighbor batch takes one random caption of each of its pictures. A
# picture comes 5 times in an epoch, so each of its captions has the chance $1 - 0.8^5 = 0.67$ to be seen.

# %%
seen = {
    "random": sampling.random_batches(train.n_captions, 128, 0, 1),
    "neighbor": sampling.neighbor_batches(labels, train.image_of_caption, 39, 16, 8, 0, 1),
}
shares = {name: len(np.unique(batches)) / train.n_captions for name, batches in seen.items()}
for name, share in shares.items():
    print(f"{name:<9} {share:.1f} of the captions, {len(np.unique(train.image_of_caption[seen[name]]))} of 1000 pictures")
assert abs(shares["random"] - 0.998) < 0.001 and abs(shares["neighbor"] - 0.67) < 0.04

# %% [markdown]
# **What you should see**: all pictures in both, but only {{ shares["neighbor"]:.2f }} of the captions with neighbor batches.

# %% [markdown] quoted="1.9: the released code's cut-off for COCO"
# ## Paper, code, here
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | negatives | distance weighted | the same, n = 512 for embeddings of width 1,024 | the same; `loss.sampling_dim`: 512, in the presets for small data 64 (chosen on dev) |
# | cut-off in distance | | 1.7, 1.9 for COCO; a pair beyond it still sets its row's maximum | masked before the maximum |
# | row without a negative | | the whole direction's loss is dropped | that row alone gives nothing, and is counted |
# | margin | 0.2 | 0.2, the option is ignored | `loss.margin` |
# | other loss | | hinge of VSE++ | both, `loss.initial`, `loss.enhanced` |
# | neighbor batches | described, without P, K, number of clusters, start | not there | P = 16, K = 8, 31 clusters, from epoch 9 of 12 (preset `sample`) |

# %% [markdown]
# ## Break it
#
# Take the largest exponent **before** the mask, as the released code does. A forbidden pair (beyond the cut-off) can then set it: the exponents of all
# allowed pairs lie hundreds below, their exponentials are 0, and the row has no negative left. In low dimension there are always such pairs.

# %%
def law_max_first(s, positive, n=512, cutoff=1.7):
    distance = (2 - 2 * s).clamp(min=0).sqrt().clamp(min=0.5)
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).clamp(min=1e-12).log()
    log_w = log_w.masked_fill(positive, -torch.inf)
    weights = (log_w - log_w.amax(1, keepdim=True)).exp()  # the fault: pairs beyond the cut-off take part in the maximum
    return weights * (distance < cutoff)


own, lost = torch.eye(128, dtype=torch.bool), {}
for n in (4, 8, 16, 64, 1024):
    left, right = F.normalize(torch.randn(2, 128, n, generator=draw), dim=2)
    s = left @ right.T
    lost[n] = [int((law.sum(1) == 0).sum()) for law in (law_max_first(s, own), losses.distance_weights(s, own))]
    print(f"dimension {n:>4}: rows without a negative, of 128: maximum first {lost[n][0]:>3}, mask first {lost[n][1]}")
assert lost[4][0] > 90 and lost[16][0] > 0 and lost[1024][0] == 0 and all(right == 0 for _, right in lost.values())

# %% [markdown]
# In the released code one such row is enough: the loss of the whole direction becomes 0, without a message. In 1,024 dimensions random points never lie that far
# apart, so there the fault does not show.

# %% [markdown]
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much later lessons rest on an exercise. All solutions: [solutions](solutions/05_sampling_and_losses_solutions.ipynb).

# %% [markdown] tags=["solution"]
# # Solutions to notebook 05: sampling and losses
#
# One good answer for each exercise; the lesson is [05_sampling_and_losses](../05_sampling_and_losses.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 05a: all triplets of a batch
#
# Difficulty: easy · Importance: high · Minutes: 10 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# The loops of section 1 are the specification; write it without a loop over pairs.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Give anchor, positive and negative an axis each. Then one table of B³ numbers holds every triple, and two masks say which of them are triplets.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `s[:, :, None]` and `s[:, None, :]`: the same table, spread over a third axis. `.clamp(min=0)`: `max(x, 0)`. `~same`: True becomes False.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# same = ...  # [B,B], True: the same picture
# total = 0
# for s in (similarity, similarity.T):
#     lacking = (margin - ... + ...).clamp(min=0)  # [anchor,positive,negative]
#     total = total + (lacking * ... * ...).sum()
# return total
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: compare every positive of an anchor with every negative in a table [anchor, positive, negative], and switch off by two masks what is no triplet.
# - **Usual mistake**: the diagonal as the only positive: the other caption of the same picture is right, too.
# - **Cost**: B³ numbers a direction (2.1 million for B = 128); with one drawn negative, as in the library, one for each right pair.
#
# </details>

# %% tags=["exercise"]
def all_triplets(similarity, image_ids, margin):
    """Sum of [margin - s(a, p) + s(a, n)]+ over both directions and all (anchor, positive, negative).

    similarity [B,B], image_ids [B] (any whole numbers) -> scalar with a gradient to similarity
    """
    # BEGIN SOLUTION
    same = image_ids[:, None] == image_ids[None, :]
    total = 0
    for s in (similarity, similarity.T):
        lacking = (margin - s[:, :, None] + s[:, None, :]).clamp(min=0)  # [anchor,positive,negative]
        total = total + (lacking * same[:, :, None] * ~same[:, None, :]).sum()
    return total
    # END SOLUTION

# %% tags=["exercise"]
check("05a", all_triplets)

# %% [markdown] tags=["exercise"]
# ### Exercise 05b: the law in log space
#
# Difficulty: medium · Importance: medium · Minutes: 12 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# `law_by_powers` gave nan for n = 512. Use $\log w = (2 - n)\log D - \frac{n-3}{2}\log(1 - D^2/4)$ and subtract each row's largest *allowed* exponent
# before `exp`.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# To multiply all weights of a row by one factor changes no probability. In logarithms that is a number taken from all exponents of the row.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `torch.where(allowed, x, -torch.inf)`: hides what is not allowed. `x.amax(1, keepdim=True)`: the largest of each row, as a column. `.exp()`. A row in which nothing is allowed has -inf - (-inf) = NaN: use `torch.where` again, and `.clamp(min=1e-30)` before the division.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# log_w = (2 - n) * ... - (n - 3) / 2 * ...
# log_w = torch.where(allowed, ..., ...)  # before the largest is taken
# largest = ...  # [B,1]
# weights = torch.where(allowed, (...).exp(), 0)
# return weights / ...  # rows add up to one, or to zero
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: add logarithms, and subtract the row's largest *allowed* one, so that the largest weight is exp(0) = 1.
# - **Usual mistake**: taking the largest before the mask: a near positive sets it, and every allowed weight becomes 0.
# - **Cost**: a few passes over the B × B table.
#
# </details>

# %% tags=["exercise"]
def law_in_log_space(distance, allowed, n):
    """Probabilities in proportion to 1 / q(D); zeros where not allowed, and in rows in which nothing is allowed.

    distance [B,B] (from 0.5, always below 2), allowed bool [B,B], n -> [B,B]
    """
    # BEGIN SOLUTION
    log_w = (2 - n) * distance.log() - (n - 3) / 2 * (1 - distance**2 / 4).log()
    log_w = torch.where(allowed, log_w, -torch.inf)
    weights = torch.where(allowed, (log_w - log_w.amax(1, keepdim=True)).exp(), 0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)
    # END SOLUTION

# %% tags=["exercise"]
check("05b", law_in_log_space)

# %% [markdown] tags=["exercise"]
# ### Exercise 05c: test a sampler
#
# Difficulty: easy · Importance: low · Minutes: 8 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# A random procedure is tested by its distribution. A uniform law from a to b has mean (a + b) / 2 and variance (b − a)² / 12.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Compute the two numbers of the uniform law. Then compare the measured ones with them as ratios: within 10 % of 1 is right.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `distances.mean()`, `distances.var()`: mean and variance of all. `abs(x / y - 1)`: the relative difference. `bool(...)`: True or False instead of a tensor.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# mean, variance = ..., ...  # of the uniform law
# mean_fits = abs(...) < 0.1
# variance_fits = ...
# return bool(...)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: a random procedure has no right answer, but its distribution has a mean and a variance.
# - **Usual mistake**: testing the mean alone (all distances near the middle pass), or 10 % of the standard deviation, which is about 20 % of the variance.
# - **Cost**: one pass over N distances; the more of them, the tighter the bound may be.
#
# </details>

# %% tags=["exercise"]
def looks_uniform(distances, low, high):
    """True if mean and variance of the distances [N] are both within 10 % of a uniform law's from low to high.

    distances: a tensor (an array if yours takes no tensor), N so large that N or N - 1 does not matter -> True or False
    """
    # BEGIN SOLUTION
    mean, variance = (low + high) / 2, (high - low) ** 2 / 12
    return bool(abs(distances.mean() / mean - 1) < 0.1 and abs(distances.var() / variance - 1) < 0.1)
    # END SOLUTION

# %% tags=["exercise"]
check("05c", looks_uniform)

# %% [markdown] tags=["exercise"]
# ### Exercise 05d: predict the plateau
#
# Difficulty: easy · Importance: medium · Minutes: 5 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# A batch of 64 pairs: 60 pictures stand in it once, 2 pictures twice (with two captions each). Margin 0.2. Which loss (that of section 2, one drawn negative) does a collapsed model have?

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# In a collapsed model all cosines are equal. What does each triplet lack then? The rest is to count triplets.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# No function is needed. `positive.sum()` of section 2 counts the right pairs of a batch; section 2 prints them for three pairs, of which two show one picture.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# positives = 60 * ... + 2 * ...  # right pairs: pictures times their captions in the batch
# answer = ... * positives * ...  # directions, right pairs, what one triplet lacks
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: all cosines are equal, so each drawn triplet lacks exactly the margin. Count right pairs, times two directions, times 0.2.
# - **Usual mistake**: two right pairs for a picture that stands twice; its two rows and two captions make four.
# - **Cost**: none. A training curve that stays flat near this number has learned nothing yet.
#
# </details>

# %% tags=["exercise"]
# BEGIN SOLUTION: answer = None  # your prediction
positives = 60 * 1 + 2 * 2 * 2  # a picture that stands twice has 2 x 2 right pairs
answer = 2 * positives * 0.2
# END SOLUTION
check("05d", answer)

# %% [markdown] tags=["exercise"]
# ### Exercise 05e: one neighbor batch
#
# Difficulty: medium · Importance: medium · Minutes: 12 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# Section 6 says what a neighbor batch is. Here the clusters are given; draw one batch.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Draw three times: clusters, then pictures of each cluster, then one caption of each picture. The first two draws must not repeat anything.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `rng.choice(items, size, replace=False)`: different items. `rng.choice(items)`: one item. Where a whole number stands for the items, it means 0 to that number - 1. `np.flatnonzero(condition)`: the places of True.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# batch = []
# for cluster in rng.choice(..., clusters, replace=False):
#     for image in rng.choice(np.flatnonzero(...), ..., replace=False):
#         captions = ...  # all captions of this picture
#         batch.append(rng.choice(captions))
# return np.array(batch)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: draw without repeats at two levels (clusters, pictures), then one of each picture's captions.
# - **Usual mistake**: drawing captions of the cluster, so that a picture can meet itself; or a global generator, with which nobody can repeat the run.
# - **Cost**: a pass over all captions for each picture; a list of captions for each picture, made once, saves it.
#
# </details>

# %% tags=["exercise"]
def neighbor_batch(labels, image_of_caption, clusters, images, rng):
    """One batch: different clusters at random, different pictures of each, one random caption of each picture.

    labels [images] from 0 to labels.max(), image_of_caption [captions] -> caption numbers [clusters * images]
    All clusters are equally likely and have at least `images` pictures. A picture's captions need not stand side by side.
    rng: a numpy Generator, the only source of chance
    """
    # BEGIN SOLUTION
    batch = []
    for cluster in rng.choice(labels.max() + 1, clusters, replace=False):
        for image in rng.choice(np.flatnonzero(labels == cluster), images, replace=False):
            batch.append(rng.choice(np.flatnonzero(image_of_caption == image)))
    return np.array(batch)
    # END SOLUTION

# %% tags=["exercise"]
check("05e", neighbor_batch)

# %% [markdown] tags=["exercise"]
# ### Exercise 05f (optional): is it still "distance weighted"?
#
# Difficulty: hard · Importance: low · Minutes: 10 · [solution](solutions/05_sampling_and_losses_solutions.ipynb)
#
# There is no check. Use the curves of section 5 and the temperature. Would you still call n = 512 distance-weighted sampling? What would you change, and what might that cost?

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# The name promises that all distances are drawn alike. How many of the 127 captions have a real chance, before and after training?
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `effective_numbers(cosines, positive, dims)`: how many captions have a chance, for each n. `temperature(s, n)`: how steep the law is at a cosine.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# before, after = ..., ...  # effective numbers for n = 512, from section 5
# what_it_is = "At first it is nearly ... sampling, later nearly ... sampling, because ..."
# what_to_change = "n would have to follow ...; the price is ..."
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the name promises evenly drawn distances, so compare the effective number before and after training. It falls from more than 100 to about 1 with the same n.
# - **Usual mistake**: to judge the law by its formula. The formula is right for random points, and embeddings are not random points.
# - **Cost**: one effective number in each epoch; a smaller n costs triplets that give no gradient.
#
# </details>

# %% [markdown] tags=["exercise"]
# <details><summary>A model answer</summary>
#
# Before training the cosines of wrong pairs have a small spread, and the law is close to uniform over the 127. After training the spread is wider and the cosines are higher. The temperature is
# 0.009 and below, and one or two captions take almost all draws. So it is a schedule from random to hard mining that nobody planned: the same n means
# different things at different times. Setting n to the true width (1,024 in the paper) makes it *harder still*.
#
# To keep the drawn distances evenly spread, n would have to follow the spread of the embeddings (their intrinsic dimension, which is far lower). The price is more triplets that already
# have their margin and give no gradient. What to measure: the effective number in every epoch, beside the dev recall.
# </details>

# %% [markdown]
# ## Summary
#
# - A triplet asks for a margin between a right and a wrong pair. Its gradient pulls one and pushes the other. Every caption of the same picture is right.
# - A collapsed batch costs 2 P α; for 128 pictures and α = 0.2 that is 51.2.
# - Distance-weighted sampling draws with 1 / q(D). With n = 512 it is nearly random before training and nearly the hardest after it.
# - InfoNCE pushes all negatives of the batch, weighted by a softmax, and never stops. The triplet loss stops at its margin.
# - Neighbor batches bring hard negatives (and related graph neighbors) into a batch. The price: pictures repeat, and captions are left out.
#
# **Words introduced**: anchor, positive, negative, margin, collapse, distance-weighted sampling, effective number, temperature, InfoNCE, crossed terms, neighbor batch.
#
# **Next**: [06 Does it learn, and how do we know?](06_training.ipynb)
