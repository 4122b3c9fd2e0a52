# %% [markdown]
# # How do regions and words become one vector?
#
# **Minutes**: 60 to read, 36 for the exercises (optional: 8 more) · **Needs**: [01](01_feature_extraction.ipynb) · **Paper**: Sec 3.2, equations (1) to (3) · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 shapes (5) · 2 attention (15) · 3 maps (14) · 4 pooling (9) · 5 weights (11) · Break it (6)
#
# - **In hand**: `regions` [B,R,D] and `words` [B,L,D] with their masks: one row for each box and each word.
# - **Missing**: one vector for each item. A search compares vectors, and these rows know little of each other.
# - **Today**: the rows attend to each other and are pooled to `image_emb` and `text_emb` [B,D]. A search needs no more than these.

# %% [markdown] tags=["solution"]
# # Solutions to notebook 02: how do regions and words become one vector?
#
# One good answer for each exercise; the lesson is [02_fragment_relations](../02_fragment_relations.ipynb).

# %% tags=["setup"]
import numpy as np, torch
from hrem_lib import attention, checkpoints, data, metrics, plots, pooling
from hrem_lib.exercises import check
from hrem_lib.plots import features as picture_plots, fragments as draw
from hrem_lib.sample_world import detector
plots.use_style()

# %%
plots.show(
    plots.pipeline_map(2, 3),
    "Today: fragments (regions or words) attend to each other, and then become one embedding.",
    "Pipeline of eight boxes; the third and fourth, fragment relations and embeddings, are filled.",
)

# %% [markdown]
# **You will be able to**
# - compute self-attention by hand and read a map of it: the row attends, the column is attended to;
# - pool fragments with a mean, a max-k and a mix of both, and say which region gave which number;
# - write a test that catches an encoder in which padding or other pictures change an embedding.
#
# **Predict first**: an embedding is the sum of two parts. One is 0.8 times a max pool of the regions. The other is 0.2 times a mean of the regions *after they attended to each other*.
# (a) Add the lengths of both parts. What share of the sum does the second part have: about a fifth? (b) Take that part away from all pictures, without any training. How far does R@1 (image to text) fall? (c) And if you take it away from all
# captions instead? Write three numbers down; section 5 prints them.

# %% [markdown]
# ## 1. From a picture to its embedding in seven shapes
#
# The model that comes with the project was trained on the sample world (D = 128, 8 heads). We follow one picture, a man who pets a dog beside a bench, and one of its captions.
#
# | paper | code | shape |
# |---|---|---|
# | region features | `features` | [B,R,F] |
# | $R$, $C$: fragments in the joint width | `fragments` | [B,R,D], [B,L,D] |
# | attention weights | `weights[0]` | [B,H,R,R] |
# | $R^V$, $C^U$: fragments after they attended to each other | `context` | [B,R,D], [B,L,D] |
# | before the normalization | `pooled` | [B,D] |
# | $v$, $u$: embeddings | `emb` | [B,D], length 1 |

# %%
INDEX = 1
split = data.open_split(data.sample_dir(), "test")
run = checkpoints.load_run(data.sample_run())
picture, boxes = plots.picture(split, INDEX), np.array(split.boxes[INDEX])
called = [what["kind"][0] for what in detector.predictions(picture, boxes)]
crops = picture_plots.crops(picture, boxes, 40)
with torch.no_grad():
    features, mask = split.regions(range(split.n_images))
    images = run.model.encode_images(features, mask, return_weights=True)
for name, tensor in (
    ("boxes", boxes), ("features", features[INDEX]), ("fragments R", images.fragments[INDEX]),
    ("attention weights", images.weights[0][INDEX]), ("context R^V", images.context[INDEX]),
    ("pooled", images.pooled[INDEX]), ("embedding v", images.emb[INDEX]),
):  # fmt: skip
    print(f"{name:18} {tuple(tensor.shape)}")
print(f"length of v: {images.emb[INDEX].norm():.3f}")

# %% [markdown]
# ## 2. How does one region attend to the others?
#
# Each row asks all rows a question (*query*), and each row answers with its *key*. The better a key fits the query, the more of that row's *value* is taken over. With all rows stacked into a matrix $X$:
#
# $$W = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right), \qquad \mathrm{Att}(X) = W V, \qquad Q = X W_Q,\; K = X W_K,\; V = X W_V$$
#
# | symbol | code | shape |
# |---|---|---|
# | $X$, rows of one sample | `x` | [n,D] |
# | $Q, K, V$ | `q`, `k`, `v` | [n,$d_k$] each, for each head |
# | $d_k$, width of a head | `dim // heads` | D / H |
# | $W$: row attends, column is attended to; each row adds up to 1 | `weights` | [n,n] for each head |
#
# **By hand.** Three fragments a = (1, 0), b = (0, 1), c = (1, 1); let $Q = K = V = X$ and $d_k = 2$. For row a the inner products with a, b, c are 1, 0, 1; divided by $\sqrt 2$: 0.707, 0, 0.707;
# $e$ to that power: 2.028, 1, 2.028; their sum is 5.056. So a attends to a, b, c with the weights **0.401, 0.198, 0.401**. It takes over
# 0.401 (1, 0) + 0.198 (0, 1) + 0.401 (1, 1) = **(0.802, 0.599)**.

# %%
def attend(x, mask=None):
    """Self-attention with Q = K = V = x [n,D]: result [n,D] and weights [n,n]."""
    scores = x @ x.T / x.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)  # no row attends to padding
    weights = scores.softmax(-1)
    return weights @ x, weights


abc = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
result, weights = attend(abc)
print(weights.numpy().round(3))
print("row a becomes", result[0].numpy().round(3))

# %% [markdown]
# No row may attend to padding. **By hand**: if c is padding, row a has the scores 0.707 and 0 only. Its weights are 2.028 / 3.028 = **0.670** and **0.330**, and exactly 0 for c. The library's layer with identity weights gives the same, with and without mask:

# %%
layer = attention.MultiheadAttention(dim=2, heads=1)
with torch.no_grad():
    layer.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
    layer.out_proj.weight.copy_(torch.eye(2))
    for real in (torch.tensor([True, True, True]), torch.tensor([True, True, False])):
        output, used = layer(abc[None], abc[None], real[None], return_weights=True)
        assert torch.allclose(output[0], attend(abc, real)[0]) and torch.allclose(used[0, 0], attend(abc, real)[1])
print("with c as padding:", attend(abc, torch.tensor([True, True, False]))[1][0].numpy().round(3))

# %% [markdown]
# Before real maps, here are three that we know. One number says how sharp a row is: the **effective number** of fragments that it attends to, $\exp(-\sum_j w_j \ln w_j)$.
# It is 1 if one fragment gets everything, and $n$ if all $n$ get the same.

# %%
def effective(weights):
    """Effective number of fragments attended to, for each row: weights [...,n] -> [...]."""
    return torch.special.entr(weights).sum(-1).exp()


alike, longer = torch.ones(3, 2), 10 * abc
panels = {"three equal fragments": alike, "a, b, c of the example by hand": abc, "the same, ten times longer": longer}
for name, x in panels.items():
    print(f"{name:31} effective number of each row: {[round(v, 2) for v in effective(attend(x)[1]).tolist()]}")
assert torch.allclose(effective(attend(longer)[1]), torch.tensor([2.0, 2.0, 1.0]), atol=1e-3)

# %%
plots.show(
    draw.small_maps({name: attend(x)[1].numpy() for name, x in panels.items()}, ["a", "b", "c"],
                    "Long fragments make sharp attention: ten times the length is a hundred times the score"),
    "Three attention maps with known values. Row = who attends, column = who is attended to; each row adds up to 1.",
    "Three maps of three by three. Equal fragments: 0.33 everywhere. The example by hand: weights between 0.20 and 0.50. Ten times longer: only 0, 0.5 and 1.",
)  # fmt: skip

# %% [markdown]
# **What you should see**: the middle map holds your numbers by hand (0.40, 0.20, 0.40 in the first row). The right map has the *same directions*; only the length differs. Keep that in mind for section 3.
#
# **Equation (1)** of the paper, $R^V = \mathrm{SelfAtt}(R)$, is a whole Transformer encoder layer: first attention with $H$ heads (each on its own $D/H$ numbers), a residual and LayerNorm. Then a feed-forward network of width $D$, again with a
# residual and LayerNorm. There is no positional encoding: a picture has no first region. Here is the layer, from scratch, on all 200 test pictures with the trained weights:

# %%
def layer_by_hand(layer, x, mask):
    """One encoder layer: x [B,n,D], mask [B,n] -> context [B,n,D], weights [B,H,n,n]."""
    att = layer.self_attn
    q, k, v = (x @ att.in_proj_weight.T + att.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (t.unflatten(-1, (att.heads, -1)).transpose(1, 2) for t in (q, k, v))  # [B,H,n,D/H]
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # [B,H,n,n]
    weights = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
    taken = (weights @ v).transpose(1, 2).flatten(-2)  # [B,n,D]
    x = layer.norm1(x + taken @ att.out_proj.weight.T + att.out_proj.bias)
    return layer.norm2(x + layer.linear2(torch.relu(layer.linear1(x)))), weights


region_layer = run.model.image_encoder.relations.layers[0]
with torch.no_grad():
    context, weights = layer_by_hand(region_layer, images.fragments, mask)
    shuffled = run.model.encode_images(features[:, torch.randperm(12)], mask)
assert torch.allclose(context, images.context, atol=1e-4) and torch.allclose(weights, images.weights[0], atol=1e-4)
assert torch.allclose(shuffled.emb, images.emb, atol=1e-4)
print("the same context, the same weights; and boxes in another order give the same embedding")

# %% [markdown]
# ## 3. What do regions and words attend to?
#
# The maps below are the weights that this forward pass *used* (`return_weights=True`), not a second computation.

# %%
used = images.weights[0][INDEX]  # [H,R,R]
varied = used.std(1).sum(-1).argmax().item()  # the head whose rows differ most
maps = {f"head {varied}: its rows differ most": used[varied].numpy(), "mean of the 8 heads": used.mean(0).numpy()}

# %%
plots.show(
    draw.attention_maps(maps, called, "In one head a row attends to one region; the mean has a few bright columns"),
    "Attention between the 12 regions of picture 1 after training. Row = who attends, column = who is attended to. Region 0 is the whole picture.",
    "Two maps of 12 by 12 with the regions' names on both axes. Left: one head, one bright cell in nearly every row, always in one of two columns. "
    "Right: the mean of eight heads, with two bright columns, some weaker ones and the rest dark.",
)  # fmt: skip

# %%
attending = {called.index(kind): kind for kind in ("man", "dog", "bench")}
mean_weights = used.mean(0)  # [R,R]
man, dog, bench = attending

# %%
assert mean_weights[dog].argmax() == mean_weights[bench].argmax() == man
plots.show(
    draw.attention_arrows(picture, boxes, mean_weights.numpy(), attending, "The dog and the bench attend to the man most"),
    "Rows 'man', 'dog' and 'bench' of the right map, drawn on the picture: an arrow goes from the region that attends (green) to a region that it attends to. Its width is the weight; 'all' is the whole picture. "
    "A green number is the weight on itself. Weights below 0.08 are left out.",
    "The street picture three times. Arrows go from the man, the dog and the bench to the regions that they attend to; each weight is written as a number.",
)

# %% [markdown]
# **What you should see**: bright *columns* more than bright cells. Most rows attend to the same few regions: the man, the bench, the whole picture. Many weights are near 1/8, 2/8 or 3/8. In each of the 8 heads a row
# gives nearly all its weight to *one* region, and the mean counts the heads. Do not read more into a map than that. A weight says how much of a row was *taken over*, not that the model understood "pets".
#
# Is this picture typical? We compute the effective number over all test pictures, as a share of the 12 regions, and over the words of all captions. We also measure the weight of a region on itself:

# %%
tokens = run.text.encode(split.captions)
ids, _, word_mask = (torch.tensor(array) for array in tokens.gather(range(split.n_captions)))
with torch.no_grad():
    texts = run.model.encode_texts(ids, word_mask, return_weights=True)
region_share = (effective(images.weights[0]) / 12).mean((0, 2))  # [H]
word_count = word_mask.sum(1)[:, None, None]
word_share = (effective(texts.weights[0]) / word_count)  # [captions,H,L]
word_share = torch.stack([word_share[:, head][word_mask].mean() for head in range(8)])
for name, share, encoded in (("regions", region_share, images), ("words", word_share, texts)):
    length = encoded.fragments[encoded.mask].norm(dim=-1).mean()
    print(f"{name:7} attend to {100 * share.mean():.0f} % of the fragments; mean length of a fragment: {length:.1f}")
on_itself = images.weights[0].diagonal(dim1=2, dim2=3).mean().item()
print(f"weight of a region on itself: {on_itself:.2f}; if it attended to all alike: {1 / 12:.2f}")
assert region_share.mean() < 0.15 and word_share.mean() > 0.9 and abs(on_itself - 1 / 12) < 0.04

# %%
row = 5 * INDEX + 4
n = int(word_mask[row].sum())
shown_words = [run.text.words[i] for i in ids[row, :n]]

# %%
plots.show(
    draw.word_attention(texts.weights[0][row].mean(0)[:n, :n].numpy(), shown_words,
                        {"regions": region_share.numpy(), "words": word_share.numpy()},
                        "In this model a region attends to one region, and a word to all words nearly alike"),
    "Left: attention between the words of one caption. Right, a mark for each of the 8 heads: the share of the fragments that a row attends to. It is the effective number divided by the number of fragments.",
    "Left: a heat map of dull colors, all weights between 0.04 and 0.11. Right: marks for regions near the bottom; marks for words at the top, most of them at the line of a plain mean.",
)  # fmt: skip

# %% [markdown]
# **What you should see**: in each head a region attends to {{ 100 * region_share.mean():.0f }} % of the regions (within 2). That is little more than one of 12, and itself no more than any other. A word attends to nearly all words: to {{ 100 * word_share.min():.0f }} % of them or more
# in each head (within 5). Why? Section 2 has the reason: scores grow with the *square* of the length of the rows. Region rows come from a linear layer without a bound, and are long. Word rows are means of GRU states, which lie between -1 and 1,
# and are short. If that is the reason, longer word rows must make sharper maps. We multiply them:

# %%
word_layer = run.model.text_encoder.relations.layers[0]
for stretch in (1, 10, 100):
    with torch.no_grad():
        _, weights = layer_by_hand(word_layer, stretch * texts.fragments[:200], word_mask[:200])
    share = (effective(weights) / word_count[:200])[:, 0][word_mask[:200]].mean().item()
    print(f"words x {stretch:3}: a row of head 0 attends to {100 * share:.0f} % of the words")
assert share < 0.6

# %% [markdown]
# So a flat map does not mean that attention is useless here: the layer learned to add a plain mean over the sentence. And it says nothing about BERT, whose rows we did not measure.
#
# ## 4. How do twelve rows become one?
#
# Two simple ways, each with a weakness. The **mean** lets every fragment count, background too. The **maximum** of each dimension keeps what is strongest anywhere, but depends on a single fragment. The method takes max-k pooling of the fragments *before* attention (the mean of the $k$ largest values, $k$ = 2).
# It takes mean pooling of the context *after* attention. Equations (2) and (3) mix the two:
#
# $$v = \beta\,\mathrm{MaxPool}_k(R) + (1 - \beta)\,\mathrm{AvgPool}(R^V), \qquad \text{then } v \leftarrow v / \lVert v \rVert$$
#
# | paper | code | value or shape |
# |---|---|---|
# | $\beta$ | `mix` (`model.pool_mix`) | 0.8 |
# | $k$ | `k` (`model.pool_k`) | 2; the paper's formula has 1 |
# | $R$, $R^V$ | `fragments`, `context` | [B,n,D] |
# | $v$ | `emb` | [B,D] |
#
# **Why the two largest and not one?** With $k$ = 1 a single fragment decides each number. If its box is bad, the number is bad, and in training the gradient of that number reaches this fragment alone.
# With $k$ = 2 one bad box counts half, and two fragments learn. The paper writes the plain maximum. The authors' released code takes two, and so do we.
#
# **By hand.** Fragments (1, 5), (3, -1), (2, 9); context (0, 1), (2, 1), (1, 1). The two largest values of the first dimension are 3 and 2, of the second 9 and 5, so MaxPool = (2.5, 7). The mean of the context is (1, 1).
# Mix: 0.8 (2.5, 7) + 0.2 (1, 1) = **(2.2, 5.8)**. Its length is $\sqrt{2.2^2 + 5.8^2}$ = 6.203, so v = **(0.355, 0.935)**.

# %%
def pool(fragments, context, mask, mix, k):
    """Equations (2)(3) for one sample: fragments, context [n,D], mask [n] -> [D], before the normalization."""
    fragments, context = fragments[mask], context[mask]
    largest = fragments.sort(dim=0, descending=True).values[:k]  # fewer than k fragments: those that are there
    return mix * largest.mean(0) + (1 - mix) * context.mean(0)


one = torch.tensor([[1.0, 5], [3, -1], [2, 9]]), torch.tensor([[0.0, 1], [2, 1], [1, 1]])
v = pool(*one, torch.tensor([True, True, True]), mix=0.8, k=2)
print(f"mix {v.numpy().round(3)}, length {v.norm():.3f}, unit {(v / v.norm()).numpy().round(3)}")

# %%
for encoded in (images, texts):
    by_hand = [pool(f, c, m, mix=0.8, k=2) for f, c, m in zip(encoded.fragments, encoded.context, encoded.mask)]
    assert torch.allclose(torch.stack(by_hand), encoded.pooled, atol=1e-3)
    assert torch.allclose(pooling.unit(encoded.pooled), encoded.emb, atol=1e-5)
print("200 pictures and 1,000 captions: the same as the library")

# %% [markdown]
# The maximum has an advantage: we can ask *which regions* gave each number. With k = 2 there are two for each of the D = 128 dimensions. We call the first of them, the largest, the winner.

# %%
winner = images.fragments[INDEX].argmax(0)  # [D]: the region with the largest value of each dimension
shares = 100 * torch.bincount(winner, minlength=12) / len(winner)
counts = [torch.bincount(w, minlength=12) for w in images.fragments.argmax(1)]  # a line for each picture
everywhere = 100 * torch.stack(counts).float().mean(0) / len(winner)
print("winners in picture 1 (%):  ", [round(s) for s in shares.tolist()])
print("mean over 200 pictures (%):", [round(s) for s in everywhere.tolist()])
assert shares.min() > 0 and everywhere[0] > 1.2 * everywhere[6:].mean()

# %%
plots.show(
    draw.winners(shares.numpy(), crops, called, f"Region {int(shares.argmax())} wins more dimensions than any other, but every region wins some"),
    "Which region holds the largest value, over the 128 dimensions of picture 1. The dashed line: equal shares of 8.3 %.",
    "Bar chart with a bar for each of the 12 regions, between about 4 and 15 per cent; crops of the regions below the bars.",
)

# %% [markdown]
# **What you should see**: no region wins everything. Over all pictures region 0, the whole picture, wins {{ everywhere[0]:.0f }} % of the dimensions (within 4): it alone shows the setting. The last six boxes win {{ everywhere[6:].min():.0f }} to {{ everywhere[6:].max():.0f }} % each.
# The boxes come surest first, but even the last ones win something.
#
# ## 5. How much does each part weigh?
#
# Similarity is a cosine, so at the end every embedding is divided by its length. So only the *ratio* of the two parts of the mix matters, and $\beta$ = 0.8 does not say what it is. We measure both lengths.

# %%
def two_parts(encoded):
    """The max part and the context part of the mix, [B,D] each."""
    largest = pooling.masked_max_k(encoded.fragments, encoded.mask, 2)
    return 0.8 * largest, 0.2 * pooling.masked_mean(encoded.context, encoded.mask)


lengths = {}
for name, encoded in (("pictures", images), ("captions", texts)):
    first, second = (part.norm(dim=1).mean().item() for part in two_parts(encoded))
    lengths[name] = (100 * first / (first + second), 100 * second / (first + second))
    print(f"{name}: max part {first:.1f} long, context part {second:.1f} long: {lengths[name][1]:.0f} % is context")

# %%
def recall(v, u):
    """R@1 in both directions (per cent) of embeddings [200,D] and [1000,D]."""
    result = metrics.metrics((pooling.unit(v), pooling.unit(u)), split.image_of_caption)
    return result["i2t"]["R@1"], result["t2i"]["R@1"]


(image_max, image_context), (text_max, text_context) = two_parts(images), two_parts(texts)
found = {
    "all of it": recall(images.pooled, texts.pooled),
    "pictures without context": recall(image_max, texts.pooled),
    "captions without context": recall(images.pooled, text_max),
    "pictures without max": recall(image_context, texts.pooled),
    "captions without max": recall(images.pooled, text_context),
}
for name, (i2t, t2i) in found.items():
    print(f"{name:25} R@1: image to text {i2t:.1f}, text to image {t2i:.1f}")
fall = {name: sum(found["all of it"]) - sum(other) for name, other in found.items()}
assert 0 < fall["pictures without context"] < fall["captions without max"] < 20
assert 30 < fall["captions without context"] < fall["pictures without max"]

# %%
plots.show(
    draw.parts(lengths, found, "The larger the share of a part, the more is lost without it"),
    "Left: how long the two parts of the mix are, in per cent of both together. Right: R@1 on the test split if a part is taken out of the trained model, without training again.",
    "Left: two bars; pictures are nearly all max part, captions three quarters context part. Right: dots of R@1. All of it and pictures without context lie close together. Captions without max lie a little lower, "
    "captions without context far lower, and pictures without max lowest.",
)

# %% [markdown]
# Image to text does not fall at all without the pictures' context? 200 pictures are few. Lesson 00 asked how sure a number is. For a *difference* on the same pictures, they are resampled for both sides at once:

# %%
def ranks(v, u):
    """Ranks in both directions of embeddings [200,D] and [1000,D]."""
    return metrics.ranks((pooling.unit(v) @ pooling.unit(u).T).numpy(), split.image_of_caption)


everything, lost = ranks(images.pooled, texts.pooled), {}
for name, without in (("pictures", ranks(image_max, texts.pooled)), ("captions", ranks(images.pooled, text_max))):
    lost[name] = metrics.bootstrap_difference(everything, without, split.image_of_caption)
    (low, high), (least, most) = lost[name]["i2t"]["R@1"], lost[name]["rSum"]
    print(f"{name} without context lose: R@1 of i2t {low:.0f} to {high:.0f} points, rSum {least:.0f} to {most:.0f} points (95 %)")
    assert (low < 0 < high) == (name == "pictures") and most > 0

# %% [markdown]
# **What you should see** (within 3 points):
# - (a) In pictures the context is {{ lengths["pictures"][1]:.0f }} % of the length, not a fifth; in captions it is {{ lengths["captions"][1]:.0f }} %. A context row comes out of a LayerNorm, so it is about $\sqrt{128} = 11.3$ long on both sides.
#   The rows before attention have no such norm: regions are long ({{ images.fragments[images.mask].norm(dim=-1).mean():.0f }}), words short ({{ texts.fragments[texts.mask].norm(dim=-1).mean():.1f }}).
# - (b) Without their short context part the pictures have R@1 = {{ found["pictures without context"][0]:.1f }}, as with it. (Text to image falls from {{ found["all of it"][1]:.1f }} to {{ found["pictures without context"][1]:.1f }}.) The interval shows how little 200 pictures tell:
#   a loss of {{ lost["pictures"]["i2t"]["R@1"][1]:.0f }} points fits, and so does a gain of {{ -lost["pictures"]["i2t"]["R@1"][0]:.0f }}. But the interval of rSum holds losses only, so the part is of use.
# - (c) Captions depend on their context: without it R@1 is {{ found["captions without context"][0]:.1f }} (image to text) and {{ found["captions without context"][1]:.1f }} (text to image).
#
# So a weight in a formula is not a share: the same 0.2 became a tenth in pictures and three quarters in captions. And a part is worth what is lost without it: of the four, the one with the smallest share costs least, and the one with the largest share most.
# (No part was trained again; a model that is *trained* without a part may do better than these numbers.)

# %% [markdown]
# ## What differs
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | max pooling | the maximum (k = 1) | mean of the two largest | mean of the k largest, k = 2; `model.pool_k=1` gives the paper's |
# | short samples | not said | one short sample lowers k for all that follow it | each sample takes min(k, its fragments) |
# | padding | not said | influences BatchNorm and, later, the matching | no influence (tested) |
# | self-attention (1) | one Transformer encoder layer | the same, 16 heads, dropout 0.1 | the same; 8 heads and D = 128 in the sample world, 16 and 1024 in the paper's presets |
# | attention weights | not part of the method | PyTorch's layer does not hand them out | `return_weights=True` hands out those that were used |

# %% [markdown]
# ## Break it
#
# **Fault 1** is in the released code: `k = min(k, n)` inside a loop over the samples. After a picture with one region, k stays 1 for all that follow. **Fault 2** is common: padding passes the projection, whose bias turns zero rows into something else, and the pooling does not mask them.
#
# Picture A stays as it is. For fault 1, *picture B* with a single region joins the batch in front of it. For fault 2, four regions of A are padded to twelve, as they would be beside a picture with twelve.

# %%
def broken_k(x, mask, k):
    """Fault 1: mean of the k largest values, [B,n,D] -> [B,D]; k is overwritten."""
    pooled = []
    for fragments, real in zip(x, mask):
        k = min(k, int(real.sum()))  # the fault: from here on all samples use it
        pooled.append(fragments[real].sort(dim=0, descending=True).values[:k].mean(0))
    return torch.stack(pooled)


def broken_padding(features, k):
    """Fault 2: padding goes through the projection and takes part in the maximum."""
    everything = torch.ones(features.shape[:2], dtype=torch.bool)
    return run.model.image_encoder.projection(features, everything).sort(dim=1, descending=True).values[:, :k].mean(1)


with torch.no_grad():
    batch = torch.stack([torch.zeros(12, 96), features[INDEX]])  # B, then A
    batch[0, 0] = features[0, 1]  # B has one region
    batch_mask = (batch != 0).any(-1)
    rows = run.model.image_encoder.projection(batch, batch_mask)
    alone = pooling.masked_max_k(rows[1:], batch_mask[1:], 2)[0]
    short, short_mask = batch[1:, :4], batch_mask[1:, :4]  # A's first four regions: alone, then padded to 12
    padded = torch.nn.functional.pad(short, (0, 0, 0, 8))

# %%
cases = {
    "A alone": alone,
    "A after B, here": pooling.masked_max_k(rows, batch_mask, 2)[1],
    "A after B, fault 1": broken_k(rows, batch_mask, 2)[1],
}
with torch.no_grad():
    four = run.model.image_encoder.projection(short, short_mask)
    cases |= {
        "4 regions alone": pooling.masked_max_k(four, short_mask, 2)[0],
        "4 + padding, fault 2": broken_padding(padded, 2)[0],
    }
cases = {name: pooling.unit(row) for name, row in cases.items()}
kept, faulty = cases["A alone"] @ cases["A after B, here"], cases["A alone"] @ cases["A after B, fault 1"]
leaked = cases["4 regions alone"] @ cases["4 + padding, fault 2"]
print(f"cosine of A's max part, alone and after B: here {kept:.2f}, fault 1 {faulty:.2f}")
print(f"cosine of four regions, alone and padded: fault 2 {leaked:.2f}")
assert kept > 0.9999 and faulty < 0.99 and leaked < 0.9

# %%
by_fault = [{name: row.numpy() for name, row in cases.items() if name[0] == first} for first in "A4"]

# %%
plots.show(
    draw.embedding_rows(by_fault, "A picture changes because of its batch mates"),
    "The max part of the embedding. Above: picture A alone, after a picture with one region in this library, and with fault 1. Below: four regions of A alone, and padded to 12 with fault 2. "
    "At the right the cosine to the first row of each group; 1 means that nothing changed.",
    "Five colored rows of 48 values in two groups; in each group the faulty row differs from the first one, and its cosine is below 1.",
)

# %% [markdown]
# Both faults keep every shape and raise no error. In evaluation they make the *result depend on the order of the data*. A test finds them in a second: exercise 02c.

# %% [markdown]
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Masks may have holes ([True, False, True]). A result has the type of `x`, and gradients flow through it. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much later lessons rest on an exercise. All solutions: [solutions](solutions/02_fragment_relations_solutions.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 02a: mean over real fragments
#
# Difficulty: easy · Importance: high · Minutes: 6 · [solution](solutions/02_fragment_relations_solutions.ipynb)
#
# The specification: `torch.stack([x[b][mask[b]].mean(0) for b in range(len(x))])`. Write it without a loop. Even NaN in the padding must have no influence.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# A mean is a sum divided by a count. Padding must add nothing to the sum, and each sample has a count of its own.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `torch.where(condition, x, 0)`: x where True, else 0; NaN is replaced, not multiplied. `mask[..., None]`: one axis more, [B,n,1]. `.sum(1, keepdim=True)`: adds over the fragments and keeps the axis.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# real = torch.where(..., x, 0)  # [B,n,D]
# count = ...  # [B,1]
# return ... / count
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: set padding to 0, sum, and divide by each sample's own count.
# - **Usual mistake**: `x * mask`, since 0 x NaN is NaN; or a count without its axis, which fits by accident where B = D.
# - **Cost**: one copy of x; the loop needs no copy but B calls.
#
# </details>

# %% tags=["exercise"]
def masked_mean(x, mask):
    """x [B,n,D], mask [B,n] (True = real, at least one a row) -> [B,D]."""
    # BEGIN SOLUTION
    real = torch.where(mask[..., None], x, 0)  # not a product: 0 x NaN is NaN
    return real.sum(1) / mask.sum(1, keepdim=True)
    # END SOLUTION


# %% tags=["exercise"]
check("02a", masked_mean)

# %% [markdown] tags=["exercise"]
# ### Exercise 02b: mean of the k largest
#
# Difficulty: medium · Importance: high · Minutes: 10 · [solution](solutions/02_fragment_relations_solutions.ipynb)
#
# The specification, for one sample: `x[mask].sort(dim=0, descending=True).values[:k].mean(0)`. Write it for a batch, without a loop over the samples. It must also hold in half precision, where values below -10000 exist.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Padding must lose against every real number. Then each sample uses its first min(k, count) places, with equal weights.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `x.masked_fill(m, value)`: writes the value where m is True. `x.topk(k, dim=1).values`: the k largest, in order; k may not exceed n. `.clamp(max=k)`: at most k. `torch.where(condition, x, 0)`: no product, since 0 times -inf is NaN.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# k = min(k, x.shape[1])
# largest = x.masked_fill(..., ...).topk(k, dim=1).values  # [B,k,D]
# count = ...  # [B], how many of the k places are real
# real = torch.arange(k) < ...  # [B,k]
# return torch.where(real[:, :, None], ..., 0).sum(1) / ...
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: -inf loses against every number, so `topk` puts padding last; a second mask [B,k] then says which of the k places are real.
# - **Usual mistake**: a fill value that real numbers can undercut (0, -10000), or `.mean` over -inf.
# - **Cost**: a copy of x and a `topk`, which is cheaper than a whole sort.
#
# </details>

# %% tags=["exercise"]
def masked_max_k(x, mask, k):
    """x [B,n,D], mask [B,n] (True = real, at least one a row) -> mean of the k largest of each dimension [B,D]; k may exceed n."""
    # BEGIN SOLUTION
    k = min(k, x.shape[1])
    largest = x.masked_fill(~mask[..., None], -torch.inf).topk(k, dim=1).values  # [B,k,D]
    count = mask.sum(1).clamp(max=k)  # [B], each sample its own
    counts = torch.arange(k) < count[:, None]  # [B,k]
    return torch.where(counts[..., None], largest, 0).sum(1) / count[:, None]
    # END SOLUTION


# %% tags=["exercise"]
check("02b", masked_max_k)

# %% [markdown] tags=["exercise"] quoted="0.00001: what the check takes as rounding"
# ### Exercise 02c: write the test
#
# Difficulty: hard · Importance: medium · Minutes: 12 · [solution](solutions/02_fragment_relations_solutions.ipynb)
#
# You get an encoder, `encode(regions [B,n,5], mask [B,n]) -> embeddings [B,4]`. You cannot look inside; you can only call it. Return True if padding or batch mates change an embedding, False if not.
#
# What you need to know: regions may be any numbers, True marks a real region, and each picture needs at least one. `check` gives your test four faulty encoders and two good ones. Their faults are of the kinds that "Break it" shows.
# One good encoder rounds: padding moves its numbers by less than 0.00001.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Call the encoder twice with inputs that must give the same embeddings. "Break it" shows two such changes: more padding, and a picture with one region in front.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `torch.randn(3, 6, 5)`: three random pictures. `torch.nn.functional.pad(x, (0, 0, 0, 4))`: four more rows of zeros each; `(0, 4)` does it for the mask. `torch.cat([a, b])`: a stands in front of b. `.abs().max()`: the largest difference.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# x = torch.randn(3, 6, 5)
# mask = torch.ones(3, 6, dtype=torch.bool)
# alone = encode(x, mask)
# padded = encode(..., ...)  # the same pictures with more padding
# short = ...  # [1,6], the mask of a picture with one region
# together = encode(torch.cat([x[:1], x]), torch.cat([..., mask]))[1:]
# changes = ..., ...  # of `padded` and of `together`
# return max(changes) > ...  # far above rounding
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: change what must not matter, padding rows and a short batch mate in front. Compare each picture with itself by the largest absolute difference.
# - **Usual mistake**: only one of the two changes, or a comparison that hides some (a mean, a cosine, no absolute value).
# - **Cost**: three calls of the encoder; the tolerance, 0.0001, lies far above rounding and far below the faults.
#
# </details>

# %% tags=["exercise"]
def padding_matters(encode):
    """encode: ([B,n,5], bool [B,n]) -> [B,4]. Returns True if an embedding depends on padding or batch mates."""
    # BEGIN SOLUTION
    x = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 6, dtype=torch.bool)
    alone = encode(x, mask)
    padded = encode(torch.nn.functional.pad(x, (0, 0, 0, 4)), torch.nn.functional.pad(mask, (0, 4)))
    one_region = torch.arange(6) < 1  # a short picture comes first
    together = encode(torch.cat([x[:1], x]), torch.cat([one_region[None], mask]))[1:]
    return max((padded - alone).abs().max().item(), (together - alone).abs().max().item()) > 1e-4
    # END SOLUTION


# %% tags=["exercise"]
check("02c", padding_matters)

# %% [markdown] tags=["exercise"] quoted="0.00001: what the check takes as equal"
# ### Exercise 02d: our layer, their weights
#
# Difficulty: medium · Importance: medium · Minutes: 8 · [solution](solutions/02_fragment_relations_solutions.ipynb)
#
# Make an `attention.EncoderLayer(dim, heads, hidden, dropout)` that gives the same numbers as a given `torch.nn.TransformerEncoderLayer`. `check` wants a largest difference below 0.00001.
#
# What you need to know: our layer gives its weights the names that PyTorch's layer gives them. Their layer tells its sizes in `self_attn.num_heads`, `linear1.in_features` and `linear1.out_features`; `linear1` is the first half of the feed-forward part.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Weights can be copied, sizes must be read off. The number of heads shows in no shape of a weight. And a new layer is in training mode.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `theirs.state_dict()`: all weights by name. `layer.load_state_dict(state)`: copies them in, and refuses a name that does not fit. `layer.eval()`: switches dropout off and returns the layer.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# dim, heads, hidden = ..., ..., ...  # read off their layer
# ours = attention.EncoderLayer(dim, heads, hidden)
# ours.load_state_dict(...)
# return ...  # ready for inference
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: read the sizes off their layer, load their state dict (the names are the same), switch dropout off.
# - **Usual mistake**: a wrong number of heads: all weights fit, the numbers do not; and `strict=False`, which loads nothing without a word where names differ.
# - **Cost**: one copy of the weights, about 4D² + 2D x hidden numbers.
#
# </details>

# %% tags=["exercise"]
def copy_layer(theirs):
    """A torch.nn.TransformerEncoderLayer -> attention.EncoderLayer with a copy of its weights, ready for inference."""
    # BEGIN SOLUTION
    ours = attention.EncoderLayer(theirs.linear1.in_features, theirs.self_attn.num_heads, theirs.linear1.out_features)
    ours.load_state_dict(theirs.state_dict())  # the names are the same
    return ours.eval()  # no dropout
    # END SOLUTION


# %% tags=["exercise"]
check("02d", copy_layer)

# %% [markdown] tags=["exercise"]
# ### Exercise 02e (optional): let the model choose between mean and maximum
#
# Difficulty: medium · Importance: low · Minutes: 8 · [solution](solutions/02_fragment_relations_solutions.ipynb)
#
# Sort each dimension, largest value first. Then take a weighted sum, with one weight for each *place* in the order (VSE-infinity, CVPR 2021, learns such weights). For a sample with $m$ real fragments the weights are the softmax of the first $m$ logits. Which logits give the mean, which the maximum?

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# After sorting, a weight belongs to a place in the order, no longer to a fragment. A sample with m real fragments fills the first m places, wherever its holes are.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `.sort(dim=1, descending=True).values`: the largest first. `.masked_fill(m, -torch.inf)`: before a softmax this gives weight 0. `.expand_as(table)`: repeats a row. `.softmax(1)`: each row adds up to 1.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# ordered = x.masked_fill(..., ...).sort(dim=1, descending=True).values
# places = torch.arange(x.shape[1]) < ...  # [B,n], True for the first m places
# weights = logits.expand_as(places).masked_fill(..., ...).softmax(1)
# values = torch.where(places[:, :, None], ordered, ...)  # no -inf is left
# return (...).sum(1)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: sorted values belong to places, so the weights of a sample are the softmax of the first m logits, -inf after them.
# - **Usual mistake**: to mask the logits with `mask` itself: with a hole it takes away the wrong place. Or a softmax over all n, which leaves short samples less than 1.
# - **Cost**: a sort of each dimension, n log n; equal logits give the mean, a very large first one the maximum.
#
# </details>

# %% tags=["exercise"]
def sorted_pool(x, mask, logits):
    """x [B,n,D], mask [B,n], logits [n], one for each place in the order -> [B,D]."""
    # BEGIN SOLUTION
    ordered = x.masked_fill(~mask[..., None], -torch.inf).sort(dim=1, descending=True).values  # real ones first
    places = torch.arange(x.shape[1]) < mask.sum(1, keepdim=True)  # [B,n]
    weights = logits.expand_as(places).masked_fill(~places, -torch.inf).softmax(1)
    return (weights[..., None] * torch.where(places[..., None], ordered, 0)).sum(1)
    # END SOLUTION


# %% tags=["exercise"]
check("02e", sorted_pool)

# %% [markdown]
# **Explain from a plot.** In the map of section 3 the bright columns are nearly the same for all rows. What does that say about the context rows of one picture, and why is their *mean* a sensible thing to pool?
#
# <details><summary>Model answer</summary>
#
# If all rows attend to the same few regions, all rows take over nearly the same vector: the attention writes a *summary of the picture* into every row. The mean over the rows keeps this summary and averages away what differs
# between the rows. What differs is in the embedding already, through the max pool of the rows before attention. So the two parts tell different things: the strongest single regions, and what the picture is about as a whole.
#
# </details>
#
# ## Summary
#
# - Self-attention: each row takes over a weighted mean of all rows. The row attends, the column is attended to, and padding gets weight 0. Longer rows make sharper maps.
# - An embedding is 0.8 x max-k pooling (k = 2) of the rows before attention plus 0.2 x the mean of the rows after it. It is divided by its length.
# - Weights in a formula are not shares: measure the lengths, and take a part out to learn what it is worth.
# - An embedding may depend on its own sample only. A test with more padding and a short batch mate holds the code to that.
#
# **Words introduced**: fragment, query, key, value, head, self-attention, context, effective number, max-k pooling, mix, embedding.
#
# **Next**: [03](03_association_graph.ipynb): now each picture and each caption is one vector, made from its own fragments alone. When should two pictures, or a picture and a caption, attend to each other?
