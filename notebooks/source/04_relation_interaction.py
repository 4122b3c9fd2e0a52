# %% [markdown]
# # What changes when the batch becomes a sequence?
#
# **Minutes**: 60 to read, 35 for the exercises (optional: 10 more) · **Needs**: [03](03_association_graph.ipynb) · **Paper**: Sec 3.3.2, equation (12), Fig. 4 · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 sequence (7) · 2 one row (6) · 3 Fusion (12) · 4 λ (6) · 5 Standalone (8) · 6 what changes (17) · Break it (4)
#
# - **In hand**: `connection` A (who may attend to whom) and `relevance` S (how much), both [2B,2B].
# - **Missing**: a layer that uses them. So far no item has taken anything over from another.
# - **Today**: attention over the batch gives `image_emb_rel` and `text_emb_rel` (v̄ and ū), the **relation-enhanced embeddings**. They train the plain ones.

# %% tags=["setup"]
import torch, torch.nn.functional as F
from hrem_lib import checkpoints, data, graph, interaction, plots
from hrem_lib.exercises import check
from hrem_lib.plots import interaction as draw
plots.use_style()

# %%
plots.show(
    plots.pipeline_map(5),
    "Today: the pictures and captions of a batch attend to each other (block 6 of 8).",
    "Eight boxes in a row, from pictures and captions to retrieval; the box relation interaction is filled.",
)

# %% [markdown]
# **You will be able to**
#
# 1. compute one row of attention under A and S by hand, and write the whole layer in 15 lines;
# 2. tell the two mechanisms of the paper apart, Fusion and Standalone;
# 3. say what the interaction changes, what it does not, and why it is dropped after training.
#
# **Predict first.** The layer has learned query and key weights, as every attention has. In the trained model, who decides how
# much node i attends to node j: (a) mostly the learned scores, (b) scores and relevance alike, (c) almost only A and S? Section 3 measures it.

# %% [markdown]
# ## 1. B pairs become one sequence of 2B tokens
#
# In lesson 02 one *item* was a sequence: the 12 regions of a picture, or the words of a caption. The batch was only a way to compute many at once, and
# no item attended to another. Now **each item becomes one token**, its embedding, and the batch itself is the sequence. There is only one such
# sequence, so the batch size is 1.

# %%
run = checkpoints.load_run(data.sample_run())
split = data.open_split(data.sample_dir(), "test")
pairs = data.PairDataset(split, run.text.encode(split.captions))

@torch.no_grad()
def encode(caption_ids):
    """Captions with their pictures -> batch, encoded images, encoded texts."""
    batch = pairs[data.BatchPlan(epoch=0, step=0, caption_ids=caption_ids)]
    images = run.model.encode_images(batch.regions, batch.region_mask)
    return batch, images, run.model.encode_texts(batch.words, batch.word_mask)

caption_ids = [3, 110, 224, 17, 9, 211, 117, 171]  # the batch of lesson 03: four surfers, four dogs
labels = ["hold", "ride", "crouch", "lie", "pet", "walk", "chase", "flee"]
batch, images, texts = encode(caption_ids)
pictures, captions = plots.load_pictures(split, batch.image_ids.tolist()), [split.captions[c] for c in caption_ids]
v, u = images.emb, texts.emb  # [B,D] each
tokens = torch.cat([v, u])[None]  # 2 x [B,D] -> [1,2B,D]
print("regions", list(images.fragments.shape), " v", list(v.shape), " u", list(u.shape), " one sequence", list(tokens.shape))

# %%
plots.show(
    draw.batch_as_sequence(pictures[:4], captions[:4]),
    "Above: fragment attention, every item alone. Below: the interaction, one sequence in which every picture and caption is one token.",
    "Four pairs on the left. Upper right: four rows of region tokens and four rows of word tokens. Lower right: a single row "
    "of eight tokens v1 to v4 and u1 to u4, with arrows from v1 to v2, u1 and u2.",
)

# %% [markdown]
# **What you should see**: the first axis counts sequences. It is B = 8 for the regions and 1 for the tokens. The second axis counts the members of a sequence: 12 regions, or 2B = 16 tokens. Two consequences:
#
# - The order of a batch means nothing, so there is no positional encoding. Shuffle the pairs, and the outputs are shuffled alike (exercise 04b).
# - The result for a picture depends on who else is in the batch. That is wanted in training, and for this reason the layer is dropped afterwards (section 6).

# %%
assert images.fragments.shape[0] == 8 and list(tokens.shape)[:2] == [1, 16]

# %% [markdown]
# ## 2. One row of attention, by hand
#
# Equation (12) is the attention of lesson 02 with one term more:
#
# $$\mathrm{Att}(Q, K, V; A, S) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + \lambda S\right) V, \qquad \text{nodes with } A = 0 \text{ excluded}$$
#
# A and S together make **one additive mask**: λS where connected, minus infinity elsewhere, because exp(-∞) = 0.
#
# | paper | name in code | shape |
# |---|---|---|
# | Q, K, V | from `in_proj_weight` | [H, 2B, D/H] |
# | λ = 1 (COCO: 1.5) | `relevance_weight` | number |
# | λS or -∞ | `bias` | [2B, 2B], the same for all heads |
#
# **By hand**: take the four nodes of lesson 03 (pictures at 0° and 90°, captions at 10° and 80°). Let all scores $QK^\top$ be zero and λ = 1. Picture 1 is
# connected to itself (S = 1) and to its caption (S = 0.840). Its row of the sum is (1, -∞, 0.840, -∞), and
#
# - exp(1) = 2.718, exp(0.840) = 2.317, together 5.035
# - attention to itself 2.718 / 5.035 = **0.540**, to its caption 2.317 / 5.035 = **0.460**, to the others 0.

# %%
radians = torch.deg2rad(torch.tensor([0.0, 90.0, 10.0, 80.0]))
nodes = torch.stack([radians.cos(), radians.sin()], 1)  # [4,2]: v1, v2, u1, u2
four_S = torch.exp(-(nodes[:, None] - nodes[None]).norm(dim=-1))
four_A = torch.eye(2, dtype=torch.bool).repeat(2, 2)  # itself and the partner
bias = torch.where(four_A, 1.0 * four_S, -torch.inf)  # lambda = 1; multiply first, then exclude
row = torch.exp(bias[0]) / torch.exp(bias[0]).sum()
print("sum      ", [f"{x:.3f}" for x in bias[0].tolist()])
print("attention", [f"{x:.3f}" for x in row.tolist()])
assert torch.equal(bias, interaction.additive_mask(four_A, four_S, weight=1.0))
assert torch.allclose(row, torch.tensor([0.540, 0.0, 0.460, 0.0]), atol=1e-3)

# %% [markdown]
# ## 3. Fusion: one attention over the whole graph
#
# The **Fusion** mechanism (Fig. 4b) is one Transformer encoder layer over the 2B tokens with this mask. The layer around the
# attention is that of lesson 02: add and normalize, feed-forward, add and normalize. At the end the sequence is cut into its halves,
# and each embedding gets unit length. From scratch, with the weights of the trained layer:

# %%
def attend(x, bias, weights):
    """Multi-head attention of (12): tokens [n,D], additive mask [n,n] -> output [n,D], scores and attention [H,n,n]."""
    q, k, values = F.linear(x, weights.in_proj_weight, weights.in_proj_bias).chunk(3, dim=-1)  # [n,D] each
    q, k, values = (t.unflatten(-1, (weights.heads, -1)).transpose(0, 1) for t in (q, k, values))  # [H,n,D/H]
    scores = q @ k.transpose(1, 2) / q.size(-1) ** 0.5  # [H,n,n]
    attention = (scores + bias).softmax(-1)
    mixed = (attention @ values).transpose(0, 1).flatten(1)  # [H,n,D/H] -> [n,D]
    return weights.out_proj(mixed), scores, attention

def fusion_layer(v, u, bias, layer):
    """v, u [B,D] and mask [2B,2B] -> enhanced v, u [B,D], scores and attention [H,2B,2B]."""
    x = torch.cat([v, u])  # [2B,D]
    attended, scores, attention = attend(x, bias, layer.self_attn)
    x = layer.norm1(x + attended)
    x = layer.norm2(x + layer.linear2(F.relu(layer.linear1(x))))
    v_rel, u_rel = F.normalize(x, dim=-1).chunk(2)  # [2B,D] -> 2 x [B,D]
    return v_rel, u_rel, scores, attention

# %% [markdown]
# The graph is made as in lesson 03, by equation (6) as printed (`cosine`). The model itself was trained with the released matching (`scan`). With `scan` the links
# across the modalities differ; the findings of this notebook are the same.

# %%
fusion = run.model.relation.interaction
settings = run.config.graph
maker = graph.AssociationGraph(settings.top_matches, settings.neighbor_share, "cosine", settings.sigma)
maker.load_state_dict(run.model.relation.graph.state_dict())  # the trained MLPs of (9)
with torch.no_grad():
    made = maker(images, texts)
    A, S = made.connection, made.relevance
    bias = interaction.additive_mask(A, S, settings.relevance_weight)  # [2B,2B]
    v_rel, u_rel, scores, attention = fusion_layer(v, u, bias, fusion.layers[0])
    library_v, library_u, used = fusion(v, u, bias, return_weights=True)
assert torch.allclose(v_rel, library_v, atol=1e-5) and torch.allclose(u_rel, library_u, atol=1e-5)
assert len(fusion.layers) == 1 and torch.allclose(attention, used[0], atol=1e-5)
print("attention", list(attention.shape), " each row adds up to one:", bool(torch.allclose(attention.sum(-1), torch.ones(()))))
print(f"largest lambda S: {float(bias.max()):.1f},  all scores below 0.1 in size:", bool(scores.abs().max() < 0.1))

# %%
plots.show(
    draw.attention_triptych(bias, scores.mean(0), attention.mean(0), labels),
    "Left: λS. Middle: λS and the scores that are added to it; the scores lie close to 0, so λS decides. Right: the softmax of the sum, mean over heads.",
    "Left and right 16 by 16 matrices with four named blocks. Left: relevance where connected, 1 on the diagonals of i2i and t2t. Middle: histogram "
    "of λS between 0.2 and 1, and of the scores, all close to zero. Right: attention, about 0.11 where connected and 0.22 on the diagonals.",
)

# %%
torch.manual_seed(0)
fresh = interaction.Fusion(v.size(1), fusion.layers[0].self_attn.heads).eval()  # as it is before any training
with torch.no_grad():
    _, _, untrained = fresh(v, u, bias, return_weights=True)
from_graph = bias.softmax(-1)  # what A and S alone would give
for name, weights, limit in (("before training", untrained[0], 0.005), ("after training", attention, 0.01)):
    largest = float((weights - from_graph).abs().max())  # over all heads and nodes
    print(f"{name}: every attention weight is within {limit} of softmax(lambda S):", largest < limit)
    assert largest < limit

# %% [markdown]
# **What you should see** (the answer to *predict first* is **c**): before training the attention is softmax(λS) to within 0.005, and after training to
# within 0.01. The inputs are unit vectors, so their D numbers are small (about 1/√D each). Scores made of products of such
# numbers are small, too. **The graph decides who attends to whom**; Q and K change it very little. This was measured with the small model of
# the sample world. The reason, unit-length inputs, holds for the large one, too, before it is trained.

# %%
walk = 5  # picture 6
mean_attention = attention.mean(0)

# %%
plots.show(
    draw.arrows(mean_attention, A, walk, pictures, captions,
                f"Picture 6 gives {float(mean_attention[walk, walk]):.2f} to itself and shares the rest among seven others"),
    "To whom picture 6 attends. Width and number: attention, mean over heads. Pale: not connected.",
    "A picture of a child walking a dog in the middle; arrows to four pictures on the left and four captions on the right, the widest to itself.",
)
assert int(A[walk].sum()) == 8 and mean_attention[walk].argmax() == walk and A[walk, 8 + 1]

# %% [markdown]
# The four pictures that it attends to are the dogs. Two of the four captions are about surfers. One of them shares the word *orange* with picture 6 (a board there, a car here), the other one the child.
# An error of the graph becomes an error of the attention.
#
# ## 4. How strong is the relevance? A sweep of λ
#
# λ = 0 is plain masked attention: A decides who, and nothing decides how much. With a large λ a node attends only to its most relevant
# neighbor, and that is the node itself (S = 1). How many neighbors does a row really use? The exponential of its entropy counts them: 8 equal shares
# give 8, one share of 1 gives 1.
#
# **By hand**: eight equal shares have the entropy -8 · (1/8) log(1/8) = log 8, and exp(log 8) = 8.

# %%
strengths = [0, 0.5, 1, 1.5, 2, 3, 4]
rows, effective = [], []
with torch.no_grad():
    for strength in strengths:
        _, _, weights = fusion(v, u, interaction.additive_mask(A, S, strength), return_weights=True)
        shares = weights[0].mean(0)  # [2B,2B]
        entropy = -torch.where(shares > 0, shares * shares.log(), 0).sum(-1)
        rows.append(shares[walk][A[walk]])
        effective.append(entropy.exp())
rows, effective = torch.stack(rows), torch.stack(effective)  # [n,8], [n,2B]
short = [f"picture {n + 1} ({name})" for n, name in enumerate(labels)] + [f"caption {n + 1} ({name})" for n, name in enumerate(labels)]
for strength, each in zip(strengths, effective, strict=True):
    print(f"lambda {strength:<4} effective neighbors {float(each.mean()):.1f}")

# %%
plots.show(
    draw.relevance_sweep(strengths, rows.numpy(), [name for name, on in zip(short, A[walk], strict=True) if on], effective.numpy(),
                         ("The larger λ, the more a node attends to itself", "At λ = 1 nearly all neighbors still count")),
    "Left: attention of picture 6 to its eight neighbors. Right: effective number of neighbors, mean and range of all 16 rows.",
    "Left: lines start together at one eighth; the line of the picture itself rises with lambda, the others fall. Right: the effective "
    "number of neighbors starts at eight and falls.",
)
assert abs(float(effective[0].mean()) - 8) < 0.1 and abs(float(effective[2].mean()) - 7.7) < 0.3 and effective[-1].mean() < 4

# %% [markdown]
# **What you should see**: {{ effective[0].mean():.1f }} neighbors at λ = 0, {{ effective[2].mean():.1f }} at the paper's λ = 1, and {{ effective[-1].mean():.1f }} at λ = 4. A growing λ turns
# "attend to everyone connected" gradually into "attend to the most relevant".
#
# ## 5. Standalone: first across, then within
#
# The other mechanism of the paper (Fig. 4a) keeps two **branches**, one for pictures and one for captions, with weights of their own. In each layer a branch
#
# 1. attends **across**: queries from its own modality, keys and values from the other, under the block i2t (or t2i);
# 2. attends **within**: its own modality, under i2i (or t2t);
# 3. applies the feed-forward part. Each step is followed by add and normalize.
#
# Both branches read the other's *input* of the layer, so neither goes first. The released code has Fusion only; this is our reading of the text.
#
# **By hand**, picture 1 of the four nodes. In **Fusion** it splits *one* share between itself and its caption: 0.540 and 0.460. In **Standalone** there are *two*
# softmaxes. Across, its caption is the only one connected and gets 1. Within, picture 1 itself is the only one and gets 1. The two blocks do not compete.
#
# No trained Standalone comes with the course. So the next cells compare **a trained Fusion with an untrained Standalone** (random weights). This is fair for what we ask here: how much
# attention each block gets. In Standalone it is 1 for any weights, trained or not. It would not be fair for asking which one retrieves better.

# %%
def standalone_layer(v, u, bias, image_layer, text_layer):
    """One Standalone layer: v, u [B,D] and mask [2B,2B] -> enhanced v, u [B,D] and the four attentions, one a block."""
    half, outputs, blocks = len(v), [], {}
    i2i, i2t, t2i, t2t = bias[:half, :half], bias[:half, half:], bias[half:, :half], bias[half:, half:]
    for own, other, across, within, layer, name in (
        (v, u, i2t, i2i, image_layer, "i"), (u, v, t2i, t2t, text_layer, "t"),
    ):
        attended, blocks[f"{name} across"] = layer.cross(own[None], other[None], bias=across, return_weights=True)
        own = layer.cross_norm(own + attended[0])
        own, blocks[f"{name} within"] = layer.encoder(own[None], bias=within, return_weights=True)
        outputs.append(F.normalize(own[0], dim=-1))
    return *outputs, blocks

torch.manual_seed(0)
standalone = interaction.Standalone(v.size(1), fusion.layers[0].self_attn.heads).eval()  # untrained
with torch.no_grad():
    mine_v, mine_u, blocks = standalone_layer(v, u, bias, standalone.image_layers[0], standalone.text_layers[0])
    their_v, their_u, two_softmaxes = standalone(v, u, bias, return_weights=True)
    _, _, four = standalone_layer(F.pad(nodes[:2], (0, v.size(1) - 2)), F.pad(nodes[2:], (0, v.size(1) - 2)),
                                  interaction.additive_mask(four_A, four_S, 1.0), standalone.image_layers[0], standalone.text_layers[0])
assert torch.allclose(mine_v, their_v, atol=1e-5) and torch.allclose(mine_u, their_u, atol=1e-5)
print("picture 1 of the hand example, across:", four["i across"][0, 0, 0].tolist(), " within:", four["i within"][0, 0, 0].tolist())

# %%
separate = two_softmaxes[0].mean(0)  # [2B,2B]
across = mean_attention[:8, 8:].sum(1)
print(f"share of its attention that a picture gives to captions: Fusion {float(across.mean()):.2f}, Standalone {float(separate[:8, 8:].sum(1).mean()):.2f}")

# %%
plots.show(
    draw.attention_pair(mean_attention, separate, A, labels,
                        ("Fusion (trained): one share for a whole row", "Standalone (untrained): one share for each block")),
    "Attention of both mechanisms under the same A and S: Fusion trained, Standalone with random weights. In Fusion a row adds up to 1, in Standalone each half of a row does.",
    "Two 16 by 16 attention matrices with the same connections. The values of the right one are about twice as large.",
)
assert torch.allclose(separate[:8, 8:].sum(1), torch.ones(8), atol=1e-5) and abs(across.mean() - 0.44) < 0.05

# %% [markdown]
# **What you should see**: in Fusion a picture gives {{ across.mean():.2f }} of its attention to captions. They compete with the pictures, and the diagonal with S = 1
# takes more. In Standalone the captions have a softmax of their own, so they always get exactly 1. The authors found Fusion simpler and better (issue 8 of their repository).
#
# ## 6. What changes, and what does not
#
# **The embeddings.** By which step does v become v̄? Each picture gathers the mean of half a batch. Such means are much alike, so the steps may have a large common part. How much of the movement is *common*?
#
# $$\text{common share} = \frac{\lVert \text{mean of } (\bar v_i - v_i) \rVert^2}{\text{mean of } \lVert \bar v_i - v_i \rVert^2}$$
#
# **By hand**, for two pictures:
#
# - the steps (1, 0) and (1, 0) give 1;
# - the steps (1, 0) and (0, 1) give (0.25 + 0.25) / 1 = 0.5;
# - the steps (1, 0) and (-1, 0) give 0.

# %%
moved = v_rel - v
common = float(moved.mean(0).square().sum() / moved.square().sum(1).mean())
with torch.no_grad():
    alone = interaction.additive_mask(torch.eye(16, dtype=torch.bool), S, 1.0)  # every node attends to itself only
    v_alone, u_alone, _ = fusion(v, u, alone)
    everyone = fusion(v, u, interaction.additive_mask(torch.ones_like(A), S, 1.0))[0]
print(f"cosine of v and v-bar: {float((v * v_rel).sum(1).mean()):.1f}")
print(f"cosine of v-bar with the graph and without any neighbor: {float((v_rel * v_alone).sum(1).mean()):.2f}")
print(f"cosine of v-bar with the graph and with everyone connected: {float((v_rel * everyone).sum(1).mean()):.2f}")

# %%
plots.show(
    draw.movement(v, u, v_rel, u_rel, ("Before: v and u", f"After: {100 * common:.0f} % of the pictures' movement is one common step")),
    "The batch before and after the interaction. Up is the direction of the pictures' mean step. Green: pairs. Gray: the step of each node.",
    "Two scatter plots with pictures as circles and captions as squares, joined in pairs. On the right thin gray lines show that the "
    "pictures all moved upward by about the same step.",
)
assert 0.39 < common < 0.69 and (v_rel * v_alone).sum(1).min() > 0.9

# %% [markdown]
# **What you should see**: about half of the movement ({{ 100 * common:.0f }} %) is one common step. A step that all share cannot tell one node from another. v̄ with its graph is close to v̄ without any neighbor (mean cosine {{ (v_rel * v_alone).sum(1).mean():.2f }}). A node's own
# vector passes the layer unchanged (the residual); what it takes over from its neighbors is a small correction. With *everyone* connected v̄ is nearly the same again ({{ (v_rel * everyone).sum(1).mean():.2f }}). Remember this number: [lesson 09](09_does_it_help.ipynb) comes back to it. So is the whole part useless?
#
# **The gradients.** After training v̄ is not used, but in training its *gradient* is. The similarity s(v̄₁, u₁) depends on every picture and caption that picture 1 attends to, so its
# gradient reaches them all. The loss of one pair trains its neighbors, too. In the next plot, row i shows how strongly this similarity changes with each node j *through the interaction*: the plain side, u₁, is held fixed, and the partner counts as one neighbor among others.

# %%
plain_v, plain_u = v.clone().requires_grad_(), u.clone().requires_grad_()
enhanced_v, enhanced_u, _ = fusion(plain_v, plain_u, bias)
similarities = [*(enhanced_v * u).sum(1), *(v * enhanced_u).sum(1)]  # s(v̄_i, u_i), then s(v_i, ū_i)
pull = torch.zeros(16, 16)
for i, s in enumerate(similarities):
    of_v, of_u = torch.autograd.grad(s, (plain_v, plain_u), retain_graph=True)  # [B,D] each
    pull[i] = torch.cat([of_v, of_u]).norm(dim=1)
others = 1 - pull.diagonal() / pull.sum(1)
print("gradient is exactly zero where A = 0, and only there:", bool(torch.equal(pull > 0, A)))

# %%
plots.show(
    draw.attention_pair(A.float(), pull / pull.sum(1, keepdim=True), A, labels,
                        ("Connection A", f"Gradient: {100 * float(others.mean()):.0f} % goes to the neighbors"),
                        limit=0.06, colorbar="share of the gradient (yellow: 0.06 or more)"),
    "Left: who attends to whom. Right: the shares of the gradient of each node's pair similarity. The diagonal is above the color scale.",
    "Two 16 by 16 matrices with the same pattern of connections. The right one is strongest on its diagonal and exactly empty where A is empty.",
)
assert (pull[~A] == 0).all() and (pull[A] > 0).all() and abs(others.mean() - 0.24) < 0.08

# %% [markdown]
# **What you should see**: the gradient reaches a node only where A connects. {{ 100 * others.mean():.0f }} % of what passes the interaction goes to the neighbors: the caption about a
# surfer *lying* on a board also moves the picture in which somebody *rides* one. This gradient comes from the losses with a bar, L(v̄,ū), L(v̄,u) and L(v,ū) (lesson 05). [Lesson 09](09_does_it_help.ipynb) asks whether it helps.
#
# ### At test time nothing of this runs
#
# Could we search with v̄ and ū instead? The next cell tries it with 200 test pairs in batches of 20: once with their partners in the batch, and once with the
# captions of *other* pictures.

# %%
orders = [torch.randperm(200, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
_, all_images, all_texts = encode(list(range(0, 1000, 5)))  # the first caption of each picture

@torch.no_grad()
def enhanced(images_of, texts_of):
    """Picture numbers and caption numbers, [200] each, batch after batch of 20 -> v̄, ū [200,D]."""
    v_bar, u_bar = torch.zeros_like(all_images.emb), torch.zeros_like(all_texts.emb)
    for i, j in zip(images_of.split(20), texts_of.split(20), strict=True):
        related = run.model.relate(encode((5 * i).tolist())[1], encode((5 * j).tolist())[2])
        v_bar[i], u_bar[j] = related.image_emb_rel, related.text_emb_rel
    return v_bar, u_bar

(with_partner, with_others), *other_shuffles = [(enhanced(order, order), enhanced(order, order.roll(20))) for order in orders]
best = {"plain v, u": (all_images.emb, all_texts.emb), "v̄, ū, partner in the batch": with_partner, "v̄, ū, partner elsewhere": with_others}
best = {name: (a @ b.T).argmax(1) for name, (a, b) in best.items()}
right = {name: top == torch.arange(200) for name, top in best.items()}
hits = {name: int(each.sum()) for name, each in right.items()}
changed = int((best["v̄, ū, partner in the batch"] != best["v̄, ū, partner elsewhere"]).sum())
print("own caption first, of 200 pictures:", hits)
shuffles = sorted([changed, *(int(((a @ b.T).argmax(1) != (c @ d.T).argmax(1)).sum()) for (a, b), (c, d) in other_shuffles)])
print(f"first answers that change with the batch mates: {changed} of 200; in five shuffles {shuffles}")
plain, *other = right.values()
sides = [(int((each & ~plain).sum()), int((plain & ~each).sum())) for each in other]  # newly found, lost
print("against plain v, u, newly found and lost: partner in the batch {}, partner elsewhere {}".format(*sides))

# %%
plots.show(
    draw.recall_bars(list(hits), [n / 2 for n in hits.values()], 0.5, f"{shuffles[0]} to {shuffles[-1]} of 200 first answers depend on who shares the batch", [True, False, False]),
    "R@1 from picture to caption among 200 pairs. Hatched: not a fair way to search, because the answer depends on the batch.",
    "Three bars: plain embeddings, enhanced with the partner in the batch, enhanced with the partner elsewhere.",
)
assert 10 < changed < 34 and min(hits.values()) > 80 and sides[0][0] > sides[0][1] + 2

# %% [markdown]
# **What you should see**: {{ shuffles[0] }} to {{ shuffles[-1] }} of 200 first answers change, by the shuffle, although the picture did not. A search engine whose answers depend on who else asks is of no use, and a single
# query has no batch at all. Besides, the interaction would have to run on a query together with every stored item. So the encoders alone are kept. Encoding N pairs then costs 2N network runs, and one
# query a single run.
#
# The higher bars are no gain. With the partner in the batch {{ sides[0][0] }} more own captions are found and {{ sides[0][1] }} lost. But these pictures have **attended to their own caption** before
# the search: a part of the answer is already in the query. With the partner elsewhere it is {{ sides[1][0] }} against {{ sides[1][1] }}, a difference that chance can explain.
#
# ## The paper, the released code, and this library
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | mechanisms | Fusion and Standalone | Fusion only | both; `graph.interaction`, Standalone is our reading of the text |
# | λ = 0 | plain masked attention | NaN (0 × -∞) | plain masked attention |
# | node without neighbors | not said | not handled; a batch of one pair has only such nodes | attends to nobody, keeps itself through the residual |
# | input | v, u | unit length (option) | unit length (`graph.normalize_input`) |
# | order of the branches | not said | - | both read the other's input of the layer |
# | after training | dropped | not saved | saved to continue training and to draw these plots, never used in retrieval |

# %% [markdown]
# ## Break it
#
# **Fault 1: λ times the finished mask.** `weight * mask` gives the same as masking `weight * S`, until λ = 0: zero times minus infinity is not a number (NaN).
#
# **Fault 2: a node without any neighbor.** Its row is minus infinity everywhere, and the softmax divides 0 by 0. In both cases a single NaN spreads to every weight of the network at the next step of training.

# %%
wrong = 0.0 * torch.where(four_A, four_S, -torch.inf)
right = interaction.additive_mask(four_A, four_S, weight=0.0)
print("fault 1, first row, wrong:", wrong[0].tolist(), " right:", right[0].tolist())

lonely = A.clone()
lonely[0] = False  # picture 1 may attend to nobody, not even to itself
lonely_bias = interaction.additive_mask(lonely, S, 1.0)
with torch.no_grad():
    by_hand = fusion_layer(v, u, lonely_bias, fusion.layers[0])[0]
    library = fusion(v, u, lonely_bias, return_weights=True)
print("fault 2, plain softmax: NaN in picture 1:", bool(by_hand[0].isnan().any()), " in picture 2:", bool(by_hand[1].isnan().any()))
print("library: attention of picture 1 adds up to", library[2][0][:, 0].sum().item(), " any NaN:", bool(library[0].isnan().any()))

# %% [markdown]
# The library treats an empty row as "attends to nobody": the attention adds 0, and the picture goes on with its own vector. The NaN of picture 1 does not reach picture 2 *within* the layer. But
# the loss adds all pairs up, so it becomes NaN, and every gradient with it.

# %% [markdown]
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much later lessons rest on an exercise. All solutions: [solutions](solutions/04_relation_interaction_solutions.ipynb).

# %% [markdown] tags=["solution"]
# # Solutions to notebook 04: relation interaction
#
# One good answer for each exercise; the lesson is [04_relation_interaction](../04_relation_interaction.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 04a: attention under A and S
#
# Difficulty: easy · Importance: high · Minutes: 10 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#
# Section 2 does it for a single row. Write it for all rows. λ may be 0.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# The softmax turns minus infinity into exactly 0 and divides by what is left. So who is not connected must get minus infinity *before* it.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `torch.where(condition, x, -torch.inf)`: x where True, minus infinity elsewhere. `.softmax(dim=-1)`: each row adds up to one. Mind that 0 times infinity is NaN: multiply first, exclude then.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# bias = torch.where(..., ..., ...)  # [n,m]
# return (...).softmax(dim=-1)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the bias is λS where A = 1 and -inf elsewhere; softmax makes exactly 0 of it and divides by what is left.
# - **Usual mistake**: λ times the finished mask (0 × -∞ is NaN), or a mask after the softmax (rows no longer add up to one).
# - **Cost**: one table of n × m numbers, the same for all heads.
#
# </details>

# %% tags=["exercise"]
def relation_weights(scores, connection, relevance, weight):
    """Attention of one head under (12): softmax of scores + weight x relevance over the connected nodes of each row.

    scores, relevance [n,m] (may be large), connection bool [n,m] with a True in each row, weight a number (0 included)
    -> [n,m], with a gradient to scores and relevance

    for each row i:
        part[j] = exp(scores[i, j] + weight * relevance[i, j]) where connection[i, j], else 0
        out[i] = part / part.sum()
    """
    # BEGIN SOLUTION
    bias = torch.where(connection, weight * relevance, -torch.inf)
    return (scores + bias).softmax(dim=-1)
    # END SOLUTION

# %% tags=["exercise"]
check("04a", relation_weights)

# %% [markdown] tags=["exercise"]
# ### Exercise 04b: a test for order
#
# Difficulty: medium · Importance: medium · Minutes: 10 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#
# You write the *test*. `check` runs it on a right layer and on broken ones.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Nobody knows the right output, but two outputs must fit together. The nodes are all pictures, then all captions, so a shuffle of pairs moves both halves.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `v[order]`: the rows in a new order. `bias[rows][:, columns]`: new order of rows and of columns. `torch.cat([a, b])`: one list after the other. `torch.allclose(a, b, atol=1e-5)`: equal but for rounding.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# both = ...  # [2B], the new order of the nodes
# v_rel, u_rel, _ = layer(v, u, bias)
# v_new, u_new, _ = layer(v[order], u[order], ...)
# same_v = torch.allclose(..., v_new, atol=1e-5)
# return bool(same_v and ...)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: run twice and shuffle what goes in; what comes out must be shuffled alike. The bias has four blocks, so rows *and* columns of both halves move.
# - **Usual mistake**: comparing exactly, although sums in another order differ in the last digits; or testing one modality only.
# - **Cost**: two runs of the layer. No expected number is needed: such a test fits every layer.
#
# </details>

# %% tags=["exercise"]
def follows(layer, v, u, bias, order):
    """True if the outputs of the interaction follow a shuffle of the pairs.

    layer(v, u, bias) -> (v_rel, u_rel, attention); v, u [B,D], bias [2B,2B], order [B] a shuffle of 0..B-1
    -> True or False, not a tensor

    1. run the layer
    2. run it again on pair order[0], order[1], ...: shuffle v, u, and in the bias rows and columns of both halves
    3. compare: output n of the second run = output order[n] of the first, for v_rel and u_rel, to 1e-5
    """
    # BEGIN SOLUTION
    both = torch.cat([order, order + len(order)])  # nodes: pictures, then captions
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both][:, both])
    return bool(torch.allclose(v_rel[order], v_new, atol=1e-5) and torch.allclose(u_rel[order], u_new, atol=1e-5))
    # END SOLUTION

# %% tags=["exercise"]
check("04b", follows)

# %% [markdown] tags=["exercise"]
# ### Exercise 04c: mute a node
#
# Difficulty: easy · Importance: low · Minutes: 5 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#
# Row or column? `check` then changes the muted node and says which other nodes change.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# A row says to whom a node attends, a column says who attends to it. Which of them must become False, and which entry stays?
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `x.clone()`: a copy, so that A stays as it is. `x[i]` and `x[:, j]`: a row and a column; both can be written to.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# muted = ...
# muted[...] = False
# muted[node, node] = ...  # as it was
# return muted
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: who attends to the node stands in its column.
# - **Usual mistake**: clearing the row: then the node attends to nobody, but others still attend to it. The second one is to change A itself.
# - **Cost**: a copy of 4 B² bytes.
#
# </details>

# %% tags=["exercise"]
def mute(connection, node):
    """A copy of A in which nobody but the node itself attends to `node`; all else stays: its own row and A[node, node].

    connection bool [2B,2B], node a number from 0 to 2B - 1 -> bool [2B,2B]
    """
    # BEGIN SOLUTION
    muted = connection.clone()
    muted[:, node] = False  # the column: who attends to the node
    muted[node, node] = connection[node, node]
    return muted
    # END SOLUTION

# %% tags=["exercise"]
check("04c", mute)

# %% [markdown] tags=["exercise"]
# ### Exercise 04d: which loss trains the neighbors?
#
# Difficulty: medium · Importance: high · Minutes: 5 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Ask of each vector of pair 1: has it attended to picture 2? v and u were encoded alone; v̄ and ū come out of the interaction.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# Paper is enough. To try it: `torch.autograd.grad(s, (plain_v, plain_u))` of section 6 gives the gradient of a similarity; row 1 of its first part belongs to picture 2.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# met = {"v": ..., "u": ..., "v_bar": ..., "u_bar": ...}  # has this vector of pair 1 attended to v_2?
# reaches_v2 = (met["v"] or met["u"], ..., ..., ...)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: follow who has attended to picture 2. v_1 and u_1 have not; v̄_1 and ū_1 have, so one bar is enough.
# - **Usual mistake**: taking L(v,ū) for plain, because its picture side has no bar.
# - **Cost**: the three terms with a bar need the graph and the interaction in the backward pass; L(v,u) alone does not.
#
# </details>

# %% tags=["exercise"]
# Everyone attends to v_2. Does the similarity of PAIR 1 in this term send a gradient to v_2? True or False for
# (L(v,u), L(v̄,ū), L(v̄,u), L(v,ū)); pair 1 has the similarities s(v_1,u_1), s(v̄_1,ū_1), s(v̄_1,u_1), s(v_1,ū_1)
# BEGIN SOLUTION: reaches_v2 = None  # e.g. (True, True, False, False)
reaches_v2 = (False, True, True, True)
# END SOLUTION

# %% tags=["exercise"]
check("04d", reaches_v2)

# %% [markdown] tags=["exercise"]
# ### Exercise 04e (optional): count
#
# Difficulty: hard · Importance: low · Minutes: 10 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#
# Is Standalone cheaper, because its blocks are smaller?

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Count tables of scores first, then matrices of D × D. Standalone has two branches, and each branch attends twice.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# No function is needed. An attention has the matrices Q, K, V and one for its output; the feed-forward part has two. To check Fusion: `sum(p.numel() for p in layer.parameters() if p.dim() == 2)` counts the weights of `layer = interaction.Fusion(1024, 16)`.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# B, D = 128, 1024
# fusion_matrices = ... + ... + ...  # Q K V, output, feed-forward
# branch_matrices = ... + ... + ...  # across, within, feed-forward
# counts = (..., ..., fusion_matrices * D**2, ... * branch_matrices * D**2)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: count blocks: one table of (2B)² against four of B², the same number. Weights are counted in matrices of D × D.
# - **Usual mistake**: forgetting that each branch has two attentions and weights of its own.
# - **Cost**: Standalone has 20 such matrices against 6, so it saves no scores and has 3.3 times the weights.
#
# </details>

# %% tags=["exercise"]
# B = 128, D = 1024, one layer: (scores of Fusion, scores of Standalone, weights of Fusion, weights of Standalone)
# Standalone: both branches and all their attentions added up. The feed-forward part has width D.
# scores: entries of QK^T of one head; weights: numbers in the D x D matrices, without biases and norms
# BEGIN SOLUTION: counts = None
B, D = 128, 1024
fusion_matrices = 3 + 1 + 2  # Q K V, output, feed-forward
branch_matrices = (3 + 1) + (3 + 1) + 2  # across, within, feed-forward
counts = ((2 * B) ** 2, 2 * 2 * B**2, fusion_matrices * D**2, 2 * branch_matrices * D**2)
# END SOLUTION

# %% tags=["exercise"]
check("04e", counts)

# %% [markdown] tags=["exercise"]
# ### Exercise 04f: why does the part disappear at test time?
#
# Difficulty: medium · Importance: high · Minutes: 5 · [solution](solutions/04_relation_interaction_solutions.ipynb)
#
# There is no check. Write two sentences: why can v̄ not be used in retrieval, and how does v learn from it nevertheless? Then open the answer.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# First sentence: what does v̄ depend on that a query does not have? Second sentence: of which vectors is v̄ made?
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# Two cells of section 6 measure it. `enhanced(images_of, texts_of)`: v̄ and ū with given batch mates. `torch.autograd.grad(s, (plain_v, plain_u))`: whom a similarity with a bar reaches.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# why_not = "v̄ depends on ..., and a query has no ..."
# how = "In training v̄ is made of ..., so the losses with a bar send ... to ..."
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: follow what each vector is made of. v is made of one picture; v̄ is made of all nodes that are connected with it.
# - **Usual mistake**: to say that v̄ is dropped because it is no better. It could not be computed for a query even if it were.
# - **Cost**: with v̄ a query would have to meet every stored item in a batch; with v it costs one run of an encoder.
#
# </details>

# %% [markdown] tags=["exercise"]
# <details><summary>Answer</summary>
#
# v̄ of a picture depends on the batch it is computed in, and a query has none. To run the interaction on a query with each stored item would cost one run for each item. In training v̄ is a function of the v of all connected
# nodes. So the losses with a bar send gradients along A into the encoders. They train the plain embeddings to work well *after* they are mixed with their neighbors, and the plain embeddings stay when the mixing is gone.
# </details>

# %% [markdown]
# ## Summary
#
# - B pairs become one sequence of 2B tokens, batch size 1. λS where connected and -∞ elsewhere is added to the scores.
# - Fusion has one softmax over a whole row. Standalone attends across, then within, with a softmax for each step and weights for each modality.
# - With unit-length inputs the attention is almost softmax(λS): the graph decides who attends to whom.
# - What a node takes over from its neighbors changes v̄ little. The gradient runs along A and trains a pair's neighbors, too. After training the part is dropped.
#
# **Words introduced**: token, additive mask, relation-enhanced embedding, Fusion, Standalone, branch, effective number of neighbors.
#
# **Next**: [05 Sampling and losses](05_sampling_and_losses.ipynb): which wrong answers to learn from, and who should share a batch.
