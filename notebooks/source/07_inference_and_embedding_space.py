# %% [markdown]
# # What does the space look like, and where does it fail?
#
# **Minutes** 45 reading + 30 exercises · **Needs** [00](00_task_and_metric.ipynb), [02](02_fragment_relations.ipynb), [04](04_relation_interaction.ipynb) · **Paper** Sec 3.5, Sec 4

# %% tags=["setup"]
import numpy as np
from matplotlib import pyplot as plt
from hrem_lib import checkpoints, data, evaluation, plots, scenes
from hrem_lib.exercises import check
from hrem_lib.plots import retrieval
plots.use_style()

# %%
plots.show(
    plots.pipeline_map(3, 7),
    "Training is over. What is left are the embeddings and the search.",
    "Eight boxes in a row from pictures and captions to retrieval; the boxes embeddings and retrieval are filled.",
)

# %% [markdown]
# **You will be able to**
# - search with the two encoders and one matrix product, and say why the relation part stays at home;
# - read (and not over-read) a map of the embedding space, measure the gap between its halves and find its hubs;
# - sort failures into classes that call for different cures, and show which box supports which word.
#
# **Predict first.** You type *a dog chases a man*, then *a man chases a dog*. The trained model has seen both kinds of pictures and captions.
# Will it find different pictures, and the right ones? Write down your guess for both. Section 5 prints the answer.

# %% [markdown]
# ## 1. At search time two encoders run, once for each item
#
# The relation part needs a batch of pairs. A search has no pairs: it is looking for them. So after training only sections 3.1 and 3.2 of the paper run (Sec 3.5), and what they give for an item is stored once and used for ever.
#
# **By hand.** Three stored pictures (1, 0), (0, 1), (0.6, 0.8) and the query (0.8, 0.6). The inner products are 0.8, 0.6 and 0.48 + 0.48 = 0.96: the third picture comes first, then the first.
# Cost: to compare 200 pictures with 1,000 captions, the two encoders run 200 + 1,000 = 1,200 times. A method that looks at a picture and a caption *together* runs 200 · 1,000 = 200,000 times.
#
# $$v_i = f(\text{picture}_i), \qquad u = g(\text{query}), \qquad \text{answers} = \text{the } K \text{ largest of } v_1 \cdot u, \ldots, v_n \cdot u$$
#
# | paper | name in code | shape |
# |---|---|---|
# | $v$ | `v`, from `model.encode_images(regions, region_mask).emb` | [n, D] |
# | $u$ | `u`, from `model.encode_texts(words, word_mask).emb` | [m, D] |
# | $v \cdot u$ | `similarity` | [n, m] |

# %%
import torch

split = data.open_split(data.sample_dir(), "test")
run = checkpoints.load_run(data.sample_run())
model = run.model.double()  # 64-bit numbers, so that this page is the same on every processor


def encode_texts(sentences):
    """Text encoder on a list of sentences."""
    words, _, word_mask = run.text.encode(sentences).gather(range(len(sentences)))
    with torch.inference_mode():
        return model.encode_texts(torch.from_numpy(words), torch.from_numpy(word_mask))


regions, region_mask = split.regions(range(split.n_images))
with torch.inference_mode():
    images = model.encode_images(regions.double(), region_mask)
texts = encode_texts(split.captions)
v, u = images.emb.numpy(), texts.emb.numpy()
print("v", v.shape, " u", u.shape, " lengths", np.linalg.norm(v, axis=1).round(3)[:3])

# %% [markdown]
# The whole search engine, from scratch:

# %%
def answers(query, stored, k):
    """Numbers of the k stored items that are most similar to the query: [D], [n, D] -> [k]."""
    return np.argsort(-(stored @ query), kind="stable")[:k]


print("by hand:", answers(np.array([0.8, 0.6]), np.array([[1, 0], [0, 1], [0.6, 0.8]]), 2))
similarity, owner = v @ u.T, split.image_of_caption
first = np.array([answers(caption, v, 1)[0] for caption in u])
found = evaluation.metrics((v, u), owner)
assert abs(100 * np.mean(first == owner) - found["t2i"]["R@1"]) < 1e-9  # the library's figures, by counting
for direction in ("i2t", "t2i"):
    print(direction, " ".join(f"R@{k} {found[direction][f'R@{k}']:.0f}" for k in (1, 5, 10)))

# %% [markdown]
# Does an embedding depend on what else is in the batch? Encode picture 0 alone, and pass it through the relation part in two batches with different mates:

# %%
def part(encoded, indices):
    """Some samples of what an encoder gave."""
    return type(encoded)(*(tensor[torch.as_tensor(indices)] for tensor in encoded[:5]))


def relate(pictures):
    """The relation part on pictures and their first captions: enhanced v and u."""
    with torch.inference_mode():
        related = model.relate(part(images, pictures), part(texts, 5 * np.asarray(pictures)))
    return related.image_emb_rel.numpy(), related.text_emb_rel.numpy()


with torch.inference_mode():
    alone = model.encode_images(regions[:1].double(), region_mask[:1]).emb[0].numpy()
one, other = relate([0, *range(1, 64)])[0][0], relate([0, *range(100, 163)])[0][0]
print(f"v of picture 0, alone against in a batch: cosine {alone @ v[0]:.3f}, distance {np.linalg.norm(alone - v[0]):.3f}")
print(f"enhanced v in two batches: cosine {one @ other:.3f}, distance {np.linalg.norm(one - other):.3f}")
assert np.abs(alone - v[0]).max() < 1e-9 and np.linalg.norm(one - other) > 0.01

# %% [markdown]
# The plain embedding is the same to the last digit. The enhanced one is not: it has listened to its batch mates. It has done its work in training, as a teacher for $v$ and $u$, and stays there.

# %%
queries = [15, 73, 28, 83, 20, 150]
plots.show(
    retrieval.picture_answers(similarity, owner, queries, split, title="Two of six are found at once, and some wrong answers are not wrong"),
    "Six captions of the test split and their five most similar pictures of 200. Thick frame and tick: the picture that the caption was written for.",
    "Six rows of a caption and five pictures.",
)

# %% [markdown]
# **What you should see**: R@1 = 68 (i2t) and 48 (t2i), each within 1; chance is 0.5. Look at the wrong answers: some pictures are true of the caption as well, some have another color, some another action. Section 5 counts them.

# %%
print("ranks of the right pictures:", evaluation.ranks(similarity, owner)[1][queries])
assert abs(found["i2t"]["R@1"] - 67.5) < 1 and abs(found["t2i"]["R@1"] - 47.7) < 1

# %% [markdown]
# ## 2. Two maps of the same space
#
# The embeddings live in 128 dimensions. Two ways to flatten them, with opposite virtues:
# **PCA** turns the space and drops all directions but two. What it shows is true (it is a shadow), but most of the space is hidden.
# **UMAP** arranges the points anew so that near ones stay near. It shows more, but distances between groups, their sizes and the axes mean nothing.
#
# **PCA by hand.** Four points (2, 2), (-2, -2), (1, -1), (-1, 1). Their mean is 0. The covariance is $\frac14 \sum x x^T = \begin{pmatrix} 2.5 & 1.5 \\ 1.5 & 2.5 \end{pmatrix}$ with the eigenvalues
# $2.5 + 1.5 = 4$ along (1, 1) and $2.5 - 1.5 = 1$ along (1, -1). The first direction holds 4 / 5 = 80 % of the variance.
#
# $$X - \mu = W \Sigma V^T, \qquad \text{plane} = (X - \mu)\, V_{1,2}$$
#
# | paper | name in code | shape |
# |---|---|---|
# | (none) | `points`, $X$: images and first captions | [2n, D] |
# | | `directions`, $V_{1,2}^T$ | [2, D] |
# | | `plane` | [2n, 2] |

# %%
def pca(points, axes=2):
    """Plane of the directions with the most variance, and the share of the variance of each: [N, D] -> [N, 2], [2]."""
    centered = points - points.mean(0)
    _, sizes, directions = np.linalg.svd(centered, full_matrices=False)
    directions = directions[:axes]
    signs = np.sign(directions[np.arange(axes), np.abs(directions).argmax(1)])  # the same sign everywhere
    return centered @ (directions * signs[:, None]).T, (sizes**2 / (sizes**2).sum())[:axes]


print("by hand:", pca(np.array([[2.0, 2], [-2, -2], [1, -1], [-1, 1]]))[1].round(3))
points = np.vstack([v, u[::5]])  # 200 pictures, then the first caption of each
flat, shares = pca(points)
print("two directions of 128 hold", f"{100 * shares.sum():.0f} % of the variance")

# %%
from sklearn.decomposition import PCA

theirs = PCA(2).fit(points)
assert np.allclose(np.abs(theirs.transform(points)), np.abs(flat), atol=1e-6)
assert np.allclose(theirs.explained_variance_ratio_, shares)

# %%
truth = scenes.read_scenes(data.sample_dir() / "test_scenes.jsonl")
settings = np.array([scene["setting"] for scene in truth])
umaps = {seed: retrieval.umap_plane(points, seed) for seed in (0, 1)}
panels = {"PCA: a true shadow, crowded": flat, "UMAP, seed 0: islands": umaps[0], "UMAP, seed 1: the same islands elsewhere": umaps[1]}
plots.show(
    retrieval.map_row({title: (plane[:200], plane[200:]) for title, plane in panels.items()}, settings, ("sea", "snow", "kitchen", "rink", "meadow")),
    "200 test pictures (circles) and their first captions (open squares), pairs joined. Five of the ten settings are colored and named; grey is the rest.",
    "Three scatter plots.",
)

# %% [markdown]
# How much of the neighborhood survives? Take the ten nearest of each point in the full space and count how many of them are among its ten nearest in the plane.

# %%
def nearest(points, k=10):
    """The k nearest points of each point as a table of True: [N, D] -> [N, N]."""
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    near = np.zeros(distance.shape, dtype=bool)
    np.put_along_axis(near, distance.argsort(1, kind="stable")[:, :k], True, axis=1)
    return near


kept = {name: (nearest(points) & nearest(plane)).sum() / nearest(points).sum() for name, plane in (("PCA", flat), ("UMAP", umaps[0]))}
print(f"PCA keeps {100 * kept['PCA']:.0f} % of the neighbors; UMAP keeps more: {kept['UMAP'] > kept['PCA'] + 0.1}")
assert kept["UMAP"] > kept["PCA"] + 0.1

# %% [markdown]
# **What you should see**: TODO

# %% [markdown]
# ## 3. The gap between pictures and captions
#
# TODO

# %%
def gap(image_emb, text_emb):
    """Distance between the mean image and the mean text."""
    return np.linalg.norm(image_emb.mean(0) - text_emb.mean(0))


hand_v, hand_u = np.array([[0.8, 0.6], [0.8, -0.6]]), np.array([[-0.8, 0.6], [-0.8, -0.6]])
print(f"by hand: gap {gap(hand_v, hand_u):.2f}")
print((hand_v @ hand_u.T).round(2))

# %%
from hrem_lib.model import build_model

_ = torch.manual_seed(0)
newborn = build_model(run.config, split.region_dim, run.text.size).double().eval()
words, _, word_mask = run.text.encode(split.captions).gather(range(split.n_captions))
with torch.inference_mode():
    v0 = newborn.encode_images(regions.double(), region_mask).emb.numpy()
    u0 = newborn.encode_texts(torch.from_numpy(words), torch.from_numpy(word_mask)).emb.numpy()
v_rel, u_rel = relate(range(200))
spaces = {"before training": (v0, u0[::5]), "after training": (v, u[::5]), "enhanced, in a batch of 200": (v_rel, u_rel)}
for name, (a, b) in spaces.items():
    print(f"{name}: gap {gap(a, b):.2f}, true pairs {np.mean((a * b).sum(1)):.2f}, all pairs {np.mean(a @ b.T):.2f}")
    assert abs(np.mean(a @ b.T) - a.mean(0) @ b.mean(0)) < 1e-9

# %%
planes = {}
for name, (a, b) in spaces.items():
    plane, _ = pca(np.vstack([a, b]))
    planes[name.capitalize()] = (plane[: len(a)], plane[len(a) :])
plots.show(
    retrieval.map_row(planes, same_scale=True, height=3.6),
    "PCA of the two sides at the same scale, pairs joined.",
    "Three scatter plots at the same scale.",
)

# %%
figure, axes = plt.subplots(1, 2, figsize=plots.ROW)
for ax, (a, b), title in ((axes[0], (v0, u0), "Before: true and wrong pairs look the same"), (axes[1], (v, u), "After: the true pairs have moved up")):
    retrieval.pair_histogram(ax, a @ b.T, owner, (-0.6, 0.9))
    ax.set_title(title)
plots.show(figure, "Similarity of true and wrong pairs, each scaled to the same area.", "Two histograms.")

# %% [markdown]
# ## 4. Hubs

# %%
def occurrence_by_loop(similarity, k):
    """How often each column is among the k largest of a row: [n, m] -> [m]."""
    counts = [0] * similarity.shape[1]
    for row in similarity:
        for j in answers(np.array([1.0]), row[:, None], k):
            counts[j] += 1
    return np.array(counts)


lists = np.array([[0.9, 0.1, 0.8, 0.3], [0.7, 0.2, 0.1, 0.6], [0.2, 0.3, 0.9, 0.8]])
print("by hand:", occurrence_by_loop(lists, 2))
picture_hubs, caption_hubs = occurrence_by_loop(similarity.T, 10), occurrence_by_loop(similarity, 10)
print(picture_hubs.min(), picture_hubs.max(), round(picture_hubs.std(), 1), caption_hubs.max(), (caption_hubs == 0).mean())

# %%
figure, axes = plt.subplots(1, 2, figsize=plots.ROW)
retrieval.hub_histogram(axes[0], picture_hubs, 1000, 10)
retrieval.hub_histogram(axes[1], caption_hubs, 200, 10)
axes[0].set_title("Some pictures answer everything")
axes[1].set_title("Captions: close to random")
plots.show(figure, "cap", "alt")

# %%
order = np.argsort(-picture_hubs, kind="stable")
chosen = [*order[:3], *order[-3:]]
plots.show(retrieval.gallery(retrieval.load_pictures(split, chosen), [f"{picture_hubs[i]} times" for i in chosen], names=["hub"] * 3 + ["seldom"] * 3), "cap", "alt")

# %% [markdown]
# ## 5. Failures

# %%
names = sorted(set().union(*map(retrieval.picture_facts, truth)))
actions = np.array([scene["action"] for scene in truth])


def failure_class(wanted, found, named):
    """Why a caption found another picture: two scenes and the facts that the caption names -> name of the class."""
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    same = scenes.ACTIONS[wanted["action"]].group == scenes.ACTIONS[found["action"]].group
    return "relation" if same else "scene"


missed = np.flatnonzero(first != owner)
classes = [failure_class(truth[owner[j]], truth[first[j]], retrieval.caption_facts(split.captions[j], names)) for j in missed]
counts = {name: classes.count(name) for name in retrieval.FAILURES}
print(len(missed), counts)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(1.15, 1))
retrieval.failure_bars(axes[0], counts)
axes[0].set_title("x")
table = retrieval.action_confusion(axes[1], actions[owner], actions[first], [a for a in scenes.ACTIONS if a.startswith("dog_")])
axes[1].set_title("y")
plots.show(figure, "cap", "alt")

# %%
typed = ["a dog chases a man", "a man chases a dog", "a girl plays hockey", "a dinosaur in the kitchen"]
asked = v @ encode_texts(typed).emb.numpy().T
plots.show(
    retrieval.picture_answers(asked, np.full(4, -1), range(4), split, title="z", texts=typed), "cap", "alt"
)
e = encode_texts(typed).emb.numpy()
print(e[0] @ e[1])

# %% [markdown]
# ## 6. Evidence

# %%
def support(image, caption):
    """Cosine of regions and words of one pair, before the attention: [R, L], and the words."""
    r = images.fragments[image][images.mask[image]].numpy()
    c = texts.fragments[caption][texts.mask[caption]].numpy()
    ids = words[caption][word_mask[caption]]
    cosine = (r / np.linalg.norm(r, axis=1, keepdims=True)) @ (c / np.linalg.norm(c, axis=1, keepdims=True)).T
    return cosine, [run.text.words[i] for i in ids]


for caption in (0, 20, 83):
    pair = [owner[caption], first[caption] if first[caption] != owner[caption] else np.argsort(-similarity[:, caption])[1]]
    found_support = [support(i, caption) for i in pair]
    plots.show(
        retrieval.word_support(
            retrieval.load_pictures(split, pair), [split.boxes[i] for i in pair], [s[0][:, 1:-1] for s in found_support],
            found_support[0][1][1:-1], ["its own picture", "first wrong"], split.captions[caption],
        ), "cap", "alt",
    )
