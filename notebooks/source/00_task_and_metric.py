# %% [markdown]
# # What does it mean to find the right caption?
#
# **Minutes**: 45 to read, 35 for the exercises (optional: 10 more) · **Needs**: a little Python · **Paper**: Sec 3.5, Sec 4 · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 one table (9) · 2 ranks (9) · 3 recall and chance (8) · 4 ties (5) · 5 folds (5) · 6 intervals (6) · Break it (3)
#
# **The paper**: Zheren Fu, Zhendong Mao, Yan Song and Yongdong Zhang, *Learning Semantic Relationship among Instances for Image-Text Matching*,
# [CVPR 2023](https://openaccess.thecvf.com/content/CVPR2023/html/Fu_Learning_Semantic_Relationship_Among_Instances_for_Image-Text_Matching_CVPR_2023_paper.html).
# Its method is **HREM**, *Hierarchical RElation Modeling*: it relates the parts of a picture or caption to each other, then whole pictures and captions.
#
# | pictures, five captions each | train | dev | test |
# |---|---|---|---|
# | Flickr30K, photographs | 29,000 | 1,014 | 1,000 |
# | COCO, photographs | 113,287 | 1,000 | 5,000: one pool (5K), or the mean of five pools of 1,000 (1K) |
# | our sample world, drawings | 1,000 | 200 | 200 |
#
# COCO's test pictures are its file `testall`. Do not use its file `test`: it gives
# [higher results](https://github.com/Paranioar/SGRAF/issues/7), which compare with nobody's (section 5).
#
# **The mystery.** Lessons 03 to 05 build a machine in which the pictures and captions of a batch attend to each other. Does it help?
# The last lesson finds out ([09](09_does_it_help.ipynb)). The answer is not what the paper's table suggests.

# %% tags=["setup"]
import matplotlib.pyplot as plt, numpy as np
from hrem_lib import data, metrics, plots
from hrem_lib.exercises import check
from hrem_lib.plots import method, retrieval, task
from hrem_lib.sample_world import catalog, scenes
plots.use_style()

# %%
plots.show(
    method.overview(),
    "The whole method. A dark square holds the number of the lesson that builds the part; 06 trains it all, 08 compares it with the authors' program, 09 asks whether it helps.",
    method.ALT,
)

# %%
plots.show(
    plots.pipeline_map(0, 7),
    "The whole course in eight boxes. Today: the two ends, what goes in and how the result is judged.",
    "Eight boxes in a row, joined by arrows, from pictures and captions to retrieval; the first and the last box are filled.",
)

# %% [markdown]
# **You will be able to**
# - turn a table of similarities into ranks, in both directions, with five right captions for a picture;
# - compute R@K, MedR, MeanR and rSum, and say what pure chance would get;
# - say what ties, the size of the test set and luck do to a published number.
#
# **Predict first.** 200 test pictures have five captions each. A program that knows nothing puts the 1,000 captions in a random
# order for every picture. In how many of 100 searches is one of the five right captions among the first ten? And if it puts the 200
# pictures in a random order for every caption? Write down two numbers. Section 3 prints them.

# %% [markdown]
# ## 1. A search reads one line of a table
#
# The task: given a picture, find its captions among all captions (**image to text**, `i2t`). Given a caption, find its picture among all
# pictures (**text to image**, `t2i`). Nothing is written or drawn; everything is there already and must be put in order.
#
# The course works in a small drawn world, so that you can look at every case and every step runs on a laptop. Here are six of the 200 test
# pictures, with one of the five captions of each.

# %%
split = data.open_split(data.sample_dir(), "test")
first = plots.load_pictures(split, range(6))

# %%
plots.show(
    task.gallery(first, split.captions[0:30:5]),
    f"Six of the {split.n_images} test pictures with one caption each. The other four captions use other words and leave other things out.",
    "Six drawn scenes with a caption below each. A man with a surfboard, a man with a dog, a man with a cake. "
    "A boy lying on a surfboard, a woman kicking a ball, a boy asleep on a bench.",
)

# %% [markdown]
# To compare a picture with a sentence, both must become the same kind of thing: a vector of length one, called **embedding**. From lesson 01 on a
# network learns these vectors from pixels. Today we make them **by hand**, and we cheat: we read the truth from which the pictures were drawn.
# A picture's vector has a 1 for each true fact (place, things, colors). A caption's vector has a 1 for each fact that it names.

# %%
import re

truth = scenes.read_scenes(data.sample_dir() / "test_scenes.jsonl")


def facts_of_picture(scene):
    """Place, things and colors of a picture. Not who does what: remember that."""
    facts = {scene["setting"]}
    for entity in scene["entities"]:
        facts |= {entity["kind"], entity.get("color"), entity.get("bottom"), entity.get("hat")}
    return (facts | {"child"} if facts & {"boy", "girl"} else facts) - {None}


names = sorted(set().union(*map(facts_of_picture, truth)))
say = {name: name for name in names if name not in catalog.PLACES} | {"birds": "bird", "dogs": "dog", "cats": "cat"}
say |= {"guy": "man", "lady": "woman", "kid": "child", "puppy": "dog", "kitten": "cat", "board": "surfboard"}
say |= {"bike": "bicycle", "couch": "sofa"}
say |= {phrase: place for place, phrases in catalog.PLACES.items() for phrase in phrases}  # "on the sand": "beach"


def facts_of_caption(caption):
    """The facts that a caption names."""
    text = f" {' '.join(re.findall('[a-z]+', caption.lower()))} "
    return {fact for phrase, fact in say.items() if f" {phrase} " in text}


# %% tags=["lesson"]
assert all(retrieval.picture_facts(scene) == facts_of_picture(scene) for scene in truth)  # the library has the same
assert all(retrieval.caption_facts(caption, names) == facts_of_caption(caption) for caption in split.captions)

# %% [markdown]
# Two pictures and two captions are enough to check the numbers by hand:

# %%
typed = ["A man stands next to a green surfboard.", "A guy strokes a white puppy."]
for name, facts in (
    ("picture 0", facts_of_picture(truth[0])), ("picture 1", facts_of_picture(truth[1])),
    (typed[0], facts_of_caption(typed[0])), (typed[1], facts_of_caption(typed[1])),
):
    print(f"{name}\n    {len(facts)} facts: {', '.join(sorted(facts))}")

# %% [markdown]
# Picture 0 and the first caption share three facts (green, man, surfboard). A vector with $a$ ones has length $\sqrt{a}$, so after division by the
# lengths their inner product is $3/\sqrt{6 \cdot 3} = 0.707$. Picture 1 shares only "man" with that caption: $1/\sqrt{8 \cdot 3} = 0.204$. The caption about
# the puppy gets $1/\sqrt{6 \cdot 3} = 0.236$ with picture 0 and $3/\sqrt{8 \cdot 3} = 0.612$ with picture 1. Both captions prefer the right picture.
#
# $$s_{ij} = v_i \cdot u_j, \qquad \lVert v_i \rVert = \lVert u_j \rVert = 1$$
#
# | paper | name in code | shape |
# |---|---|---|
# | $v$, embeddings of pictures | `image_emb` | [n, D] |
# | $u$, embeddings of captions | `text_emb` | [m, D] |
# | $v \cdot u$ | `similarity` | [n, m], row = picture, column = caption |
# | | `image_of_caption` | [m], which picture a caption belongs to |

# %%
def vectors(fact_sets):
    """Rows of length one, [items, D]; an item without facts stays zero."""
    rows = np.array([[float(name in facts) for name in names] for facts in fact_sets])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


image_emb = vectors(map(facts_of_picture, truth))
hand = image_emb[:2] @ vectors(map(facts_of_caption, typed)).T
print(hand.round(3))

# %%
text_emb = vectors(map(facts_of_caption, split.captions))
similarity = (image_emb @ text_emb.T).round(6)  # rounded: what is equal on paper is equal on every processor
image_of_caption = split.image_of_caption
by_hand = [[3 / 18**0.5, 1 / 18**0.5], [1 / 24**0.5, 3 / 24**0.5]]
loop = sum(image_emb[1, d] * text_emb[6, d] for d in range(len(names)))
assert np.allclose(hand, by_hand) and abs(similarity[1, 6] - loop) < 1e-6
print("image_emb", image_emb.shape, "text_emb", text_emb.shape, "similarity", similarity.shape)

# %%
small = similarity[:6, :30]
own_block = small[image_of_caption[:30], np.arange(30)]
inside, outside = own_block.mean(), (small.sum() - own_block.sum()) / (small.size - 30)
print(f"mean similarity inside {inside:.2f}, outside {outside:.2f}")
assert abs(inside - 0.66) < 0.01 and abs(outside - 0.11) < 0.01

# %%
plots.show(
    task.similarity_heatmap(
        small, image_of_caption[:30], first, "The true pairs are bright, but some wrong pairs are, too"
    ),
    "Similarity of the six pictures (rows) and their 30 captions (columns). The true pairs are outlined. i2t reads along a row, t2i down a column.",
    "Heat map with six rows and thirty columns. Six outlined blocks on the diagonal are bright, the rest is mostly dark with some "
    "cells of medium brightness.",
)

# %% [markdown]
# **What you should see**: six outlined groups of cells on the diagonal, brighter than the rest. The mean similarity is {{ inside:.2f }} inside the
# outlines and {{ outside:.2f }} outside (± 0.01). In every heat map of the course the row asks and the column is asked (later: attends, is attended to).

# %% [markdown]
# ## 2. A rank counts the wrong answers that stand above
#
# Two pictures with two captions each, and similarities that are easy to sort:
#
# | | a (of 0) | b (of 0) | c (of 1) | d (of 1) |
# |---|---|---|---|---|
# | **picture 0** | **0.9** | **0.3** | 0.5 | 0.9 |
# | **picture 1** | 0.2 | 0.8 | **0.6** | **0.4** |
#
# - **i2t, picture 0.** Its best own caption is a with 0.9. Of the wrong ones (c, d) one is at least as high: d, an exact tie. A tie counts against us, so the rank
#   is 1, counted from 0. Its other caption b is far down. That does not matter: *one* good answer at the top is a successful search.
# - **i2t, picture 1.** Its best own caption is c with 0.6. Of the wrong ones only b is higher: rank 1.
# - **t2i** reads columns, and each caption has exactly one right picture. a: 0.9 against 0.2, rank 0. b: 0.3 against 0.8, rank 1. c: 0.6 against 0.5, rank 0. d: 0.4 against 0.9, rank 1.
#
# $$r^{i2t}_i = \#\{j : y_j \neq i,\; s_{ij} \ge \max_{k:\, y_k = i} s_{ik}\}, \qquad r^{t2i}_j = \#\{i : i \neq y_j,\; s_{ij} \ge s_{y_j j}\}$$
#
# | paper | name in code | shape |
# |---|---|---|
# | $y_j$ | `image_of_caption` | [m] |
# | $r^{i2t}$, rank of the best own caption | `i2t_ranks` | [n], from 0 to m - 1 |
# | $r^{t2i}$, rank of the own picture | `t2i_ranks` | [m], from 0 to n - 1 |

# %%
def ranks_by_loop(similarity, image_of_caption):
    """Both kinds of ranks, as the two formulas say."""
    n, m = similarity.shape
    i2t, t2i = [], []
    for i in range(n):
        best = max(similarity[i, j] for j in range(m) if image_of_caption[j] == i)
        i2t.append(sum(similarity[i, j] >= best for j in range(m) if image_of_caption[j] != i))
    for j in range(m):
        own = image_of_caption[j]
        t2i.append(sum(similarity[i, j] >= similarity[own, j] for i in range(n) if i != own))
    return np.array(i2t), np.array(t2i)


tiny = np.array([[0.9, 0.3, 0.5, 0.9], [0.2, 0.8, 0.6, 0.4]])
print("i2t", ranks_by_loop(tiny, [0, 0, 1, 1])[0], "  t2i", ranks_by_loop(tiny, [0, 0, 1, 1])[1])

# %% [markdown]
# Loops over 5,000 pictures and 25,000 captions take minutes. The library compares many cells of the table at once, and never sorts. It must give the
# same ranks, here on all 200 pictures:

# %%
i2t_ranks, t2i_ranks = metrics.ranks(similarity, image_of_caption)
slow = ranks_by_loop(similarity, image_of_caption)
assert (slow[0] == i2t_ranks).all() and (slow[1] == t2i_ranks).all()
tied = metrics.ranks(tiny, np.array([0, 0, 1, 1]))
assert tied[0].tolist() == [1, 1] and tied[1].tolist() == [0, 1, 0, 1]
print("ranks of the first six pictures", i2t_ranks[:6])
print("ranks of the captions of picture 1", t2i_ranks[5:10])

# %%
asked = [0, 4, 5]

# %%
plots.show(
    task.caption_answers(
        similarity, image_of_caption, asked, [first[i] for i in asked], split.captions,
        title="Picture 4 gets the captions of other pictures first",
    ),
    "Image to text: the first five of 1,000 captions. Ticked and bold: captions that belong to the picture.",
    "Three pictures, each with five ranked captions and their similarity. For the surfer and the sleeping boy the right captions stand first; "
    "for the soccer player the first captions are wrong.",
)

# %% [markdown]
# Picture 4 shows an orange ball and a green skirt. The first wrong caption is about a *green ball*. Both words are facts of the picture, but they do not belong together there.
# A set of facts does not say so.

# %%
queries = [3, 0, 20]

# %%
plots.show(
    task.picture_answers(
        similarity, image_of_caption, queries, split,
        title="Wrong pictures show the same things in another action",
    ),
    "Text to image: the first five of 200 pictures. Thick frame, tick and bold number: the right picture.",
    "Three captions, each with five ranked pictures. A man holding a green surfboard by the sea is found at once; for the other two captions "
    "pictures with the same things and another action stand above the right one.",
)

# %%
print("ranks in the two plots: i2t", i2t_ranks[asked], " t2i", t2i_ranks[queries])
assert i2t_ranks[asked].tolist() == [0, 7, 0] and t2i_ranks[queries[0]] == 0

# %% [markdown]
# **What you should see**: in the first plot the ranks are {{ i2t_ranks[0] }}, {{ i2t_ranks[4] }} and {{ i2t_ranks[5] }}. Picture 4 has seven wrong captions above its own, and the
# plot shows five of them. In the second plot the ranks are {{ t2i_ranks[3] }}, {{ t2i_ranks[0] }} and {{ t2i_ranks[20] }}.
#
# Our vectors know *what* is in a picture, not *who does what*. To stand next to a board, to lie on it and to ride it are the same facts. The title of the paper says what is missing:
# relationship.

# %% [markdown]
# ## 3. From ranks to one number, and what chance would get
#
# **Recall at K** (R@K) is the share of queries whose rank is below K: a right answer was among the first K. **MedR** and **MeanR** are the median and the mean rank, counted from 1.
# **rSum** adds six recalls: R@1, R@5, R@10 of both directions, so the best possible rSum is 600.
#
# $$\mathrm{R@}K = \frac{100}{|r|}\,\#\{q : r_q < K\}, \qquad
# \mathrm{chance}_{t2i} = \frac{100\,K}{n}, \qquad \mathrm{chance}_{i2t} = 100\left(1 - \binom{m-5}{K} \Big/ \binom{m}{K}\right)$$
#
# | paper | name in code | shape |
# |---|---|---|
# | R@K | `metrics.recalls(ranks)["R@1"]` | per cent |
# | $r_q$ | `i2t_ranks`, `t2i_ranks` | [n], [m] |
#
# **By hand**, with the two pictures and four captions of section 2. For a picture a random first caption is right in 2 of 4 cases, so R@1 = 50 for i2t. For a caption a random first
# picture is right in 1 of 2, so R@1 = 50 for t2i. At K = 2, i2t fails only if both wrong captions come first. That is one of $\binom{4}{2} = 6$ choices, so R@2 = 83.3. For t2i both pictures are shown: R@2 = 100.

# %%
import math


def recall(ranks, k):
    """Per cent of the queries with a right answer among the first k."""
    return 100 * sum(rank < k for rank in ranks) / len(ranks)


def chance_i2t(m, own, k):
    """Per cent of random orders that have one of `own` right captions among the first k of m."""
    return 100 * (1 - math.comb(m - own, k) / math.comb(m, k))


print(f"by hand: {chance_i2t(4, 2, 1):.1f}  {chance_i2t(4, 2, 2):.1f}")
for n in (200, 1000, 5000):
    i2t = [f"{chance_i2t(5 * n, 5, k):.2f}" for k in (1, 5, 10)]
    t2i = [f"{100 * k / n:.2f}" for k in (1, 5, 10)]
    print(f"chance with {n:5,} pictures   i2t {'  '.join(i2t)}   t2i {'  '.join(t2i)}")

# %% [markdown]
# **Your prediction**: with 200 pictures a right answer is among the first ten in {{ chance_i2t(1000, 5, 10):.2f }} of 100 searches for i2t, and in {{ 100 * 10 / 200:.2f }} for t2i. Five right captions among 1,000 are almost as good as one
# right picture among 200. They are a little worse, because two right captions in the first ten help no more than one.

# %%
found = metrics.metrics(similarity, image_of_caption)
for direction, ranks in (("i2t", i2t_ranks), ("t2i", t2i_ranks)):
    values = found[direction]
    assert all(abs(values[f"R@{k}"] - recall(ranks, k)) < 1e-9 for k in (1, 5, 10))
    print(direction, {name: round(value, 1) for name, value in values.items()})
for k in (1, 5, 10):
    assert abs(metrics.chance(200, 1000, k)["i2t"] - chance_i2t(1000, 5, k)) < 1e-9
print("rSum", round(found["rSum"], 1))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=plots.ROW)
task.recall_curve(left, {"i2t": i2t_ranks, "t2i": t2i_ranks})
left.set_title("Both curves start far above chance")
task.rank_histogram(right, {"i2t": i2t_ranks, "t2i": t2i_ranks})
right.set_title("Most right answers stand first; a few are lost")
plots.show(
    figure,
    "Left: recall at K; the marks are K = 1, 5, 10. Right: where the right answers stand.",
    "Left, two rising curves: image to text from 65 per cent at K = 1 to 100, text to image from 53 to 99; a dashed chance curve "
    "far below. Right, bars: 65 and 53 per cent of the right answers stand at place 1.",
)

# %% [markdown]
# **What you should see**: R@1 = {{ found["i2t"]["R@1"]:.1f }} (i2t) and {{ found["t2i"]["R@1"]:.1f }} (t2i), within 0.5. i2t is the easier direction: one good caption of five is enough.
# MeanR of t2i ({{ found["t2i"]["MeanR"]:.1f }}) is well above MedR ({{ found["t2i"]["MedR"]:.0f }}): a few captions are lost far down and raise the mean. The next cell prints the worst one.

# %%
assert abs(found["i2t"]["R@1"] - 65) < 0.5 and abs(found["t2i"]["R@1"] - 53.2) < 0.5
lost = int(t2i_ranks.argmax())
named = facts_of_caption(split.captions[lost])
print(f"rank {t2i_ranks[lost]} of 199: “{split.captions[lost]}” names {len(named)} facts")

# %% [markdown]
# ## 4. Equal scores need a rule
#
# That caption names no fact, since its word for the sled is not on our list. Its similarity is 0 with all pictures, and every tie counts against us.
#
# Now give every pair the same similarity, 0.5. A program that sorts will still put something first. With luck, or with the right answer first in the file, it is the right one. Is R@1 then 0, 0.5 or 100?
#
# **By hand**, with three pictures and one caption, all equal: two wrong pictures score at least as high, so our rule gives rank 2. Counting only those that are strictly higher gives rank 0. Random order gives 0, 1 or 2.
#
# $$\underbrace{\#\{s_{\text{wrong}} > s_{\text{right}}\}}_{\text{best case}} \;\le\; r \;\le\; \underbrace{\#\{s_{\text{wrong}} \ge s_{\text{right}}\}}_{\text{our rule}}$$
#
# | paper | name in code | shape |
# |---|---|---|
# | (not stated) | `best_case`, `t2i_ranks` | [m] |

# %%
right_score = similarity[image_of_caption, np.arange(1000)]
best_case = (similarity > right_score).sum(0)
ties = t2i_ranks - best_case
rng = np.random.default_rng(0)
shuffled = [recall(best_case + rng.integers(0, ties + 1), 1) for _ in range(10)]
expected = 100 * np.mean((best_case == 0) / (ties + 1))
print(f"captions with a tie: {100 * np.mean(ties > 0):.1f} %")
for name, value in (("best case", recall(best_case, 1)), ("expected of a random order", expected), ("our rule", recall(t2i_ranks, 1))):
    print(f"R@1 of t2i, {name}: {value:.1f}")

# %%
equal = np.full((200, 1000), 0.5)
assert metrics.metrics(equal, image_of_caption)["rSum"] == 0
assert metrics.ranks(np.full((3, 3), 0.5), np.arange(3))[1].tolist() == [2, 2, 2]

# %%
figure, ax = plt.subplots(figsize=(8, 2.6))
task.level_dots(
    ax,
    {
        "a tie counts against us": [recall(t2i_ranks, 1)],
        "ten random orders": shuffled,
        "a tie counts for us": [recall(best_case, 1)],
    },
    "R@1 of text to image (%)",
)
ax.set_title(f"One table, three rules: R@1 differs by {recall(best_case, 1) - recall(t2i_ranks, 1):.1f} points")
plots.show(
    figure,
    "The same similarities under three tie rules. Each dot in the middle is one random order of the tied pictures.",
    "Three lines of dots: 53 if a tie counts against us, about 60 for random orders, 70 if a tie counts for us.",
)

# %% [markdown]
# **What you should see**: {{ recall(t2i_ranks, 1):.1f }} and {{ recall(best_case, 1):.1f }} at the ends (± 0.5), ten dots near {{ expected:.0f }} (± 2) between them.
#
# Trained networks rarely tie in 32-bit numbers. They do tie in 16-bit numbers, or where a picture stands twice in the data. In a collapsed model all vectors are equal, and a
# tie that counts for us gives 100 %. The released code sorts without a stated rule. Here **a tie counts against us**, always.

# %%
assert all(abs(value - 60) < 3 for value in shuffled) and abs(recall(best_case, 1) - recall(t2i_ranks, 1) - 16.5) < 0.5

# %% [markdown] quoted="62.5, 81.9: the released checkpoint on COCO"
# ## 5. Fewer pictures give a higher recall
#
# The released HREM model finds the right caption first for 62.5 % of the COCO pictures, or for 81.9 %. Same model, same pictures! The first number is **COCO 5K**: 5,000 pictures and their 25,000 captions in one pool.
# The second is **COCO 1K**: the 5,000 are cut into five **folds** of 1,000. Each is searched alone, and the five results are averaged.
#
# **By hand**: four pictures have the similarities 0.6 (right), 0.7, 0.2 and 0.8 with a caption. Its rank is 2. In folds of two pictures the right one meets a single wrong one: the rank is 1, 0 or 1. It can only fall,
# and no vector has become better.
#
# $$\mathrm{R@}K^{1K} = \frac{1}{5} \sum_{f=1}^{5} \mathrm{R@}K(\text{fold } f)$$
#
# | paper | name in code | shape |
# |---|---|---|
# | fold $f$ | `part`, consecutive pictures | n / 5 of them |
# | COCO 1K | `metrics.fold_metrics(image_emb, text_emb, image_of_caption, folds=5)` | recalls |
#
# Our test split is too small for this. Nothing is trained today, so the 1,000 pictures of the training split may serve: one pool of 1,000 against five folds of 200.

# %%
train = data.open_split(data.sample_dir(), "train")
many_images = vectors(map(facts_of_picture, scenes.read_scenes(data.sample_dir() / "train_scenes.jsonl")))
many_texts = vectors(map(facts_of_caption, train.captions))
many = (many_images @ many_texts.T).round(6)
full = metrics.metrics(many, train.image_of_caption)
folds = []
for low in range(0, 1000, 200):
    part = many[low : low + 200, 5 * low : 5 * low + 1000]
    folds.append(metrics.metrics(part, image_of_caption))
mean = metrics.mean_metrics(folds)
for direction in ("i2t", "t2i"):
    print(f"{direction} R@1: one pool {full[direction]['R@1']:.1f}, mean of five folds {mean[direction]['R@1']:.1f}")

# %%
alone = [metrics.ranks(np.array([[0.6, 0], [other, 1]]), np.arange(2))[1][0] for other in (0.7, 0.2, 0.8)]
counts = (many_images > 0) * 1.0, (many_texts > 0) * 1.0  # whole numbers: both ways are exactly equal
mine = []
for low in range(0, 1000, 200):
    part = counts[0][low : low + 200] @ counts[1][5 * low : 5 * low + 1000].T
    mine.append(metrics.metrics(part, image_of_caption))
library = metrics.fold_metrics(*counts, train.image_of_caption, folds=5)
assert alone == [1, 0, 1] and library["rSum"] == metrics.mean_metrics(mine)["rSum"]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for ax, direction, name in ((left, "i2t", "Image to text"), (right, "t2i", "Text to image")):
    task.fold_bars(ax, full[direction], [fold[direction] for fold in folds], ("one pool of 1,000", "folds of 200"))
    ax.set_title(f"{name}: five folds add {mean[direction]['R@1'] - full[direction]['R@1']:.0f} points to R@1")
plots.show(
    figure,
    "The same vectors, judged in one pool and in five folds. Black dots: the single folds.",
    "Two groups of bars for R@1, R@5 and R@10. In both directions the bars of the folds are higher than those of the one pool.",
)

# %%
gains = [mean[direction]["R@1"] - full[direction]["R@1"] for direction in ("i2t", "t2i")]
assert np.allclose(gains, (32.4, 29.2), atol=1)

# %% [markdown] quoted="62.5, 81.9: the released checkpoint on COCO"
# **What you should see**: R@1 rises by {{ gains[0]:.0f }} points for i2t and by {{ gains[1]:.0f }} for t2i (± 1). HREM's rise from 62.5 to 81.9 is of the same kind. Never compare a 1K number with a 5K number.
#
# **Why nobody uses COCO's file `test`.** It holds 1,000 pictures with 5,000 captions: one pool, where 1K is the mean of five. The dots in the plot show how much single pools differ, and this one gives
# higher results than the mean. So its numbers cannot be compared with published ones: both 5K and 1K come from `testall`.

# %% [markdown] quoted="84.4, 84.0, 95, 1.96, 2.25: released checkpoint, the paper, the usual level, and by hand"
# ## 6. How sure is a number?
#
# Flickr30K has 1,000 test pictures. The released single model reaches R@1 = 84.4 (i2t), the paper's two models together 84.0. Which one is better? Suppose that another 1,000 photographs had been chosen. A share $p$ of $N$ independent
# queries has the standard error $\sqrt{p(1-p)/N}$, and about 95 % of such shares lie within 1.96 standard errors. By hand: $1.96 \sqrt{0.844 \cdot 0.156 / 1000} = 0.0225$. So the interval is 84.4 ± 2.25, and 84.0 lies well inside.
#
# For t2i there are 5,000 queries, but always five share a picture, and one that is hard to find fails for all five. So we do not trust the formula. We **resample** the pictures: a thousand times we choose 200 of them
# at random, with replacement, each with its five captions. The middle 95 % of the thousand recalls is the interval (**bootstrap**).
#
# $$b^{(t)} = 100 \cdot \frac{\sum_{i \in I_t} h_i}{5\,n}, \qquad I_t: n \text{ pictures chosen with replacement}$$
#
# | paper | name in code | shape |
# |---|---|---|
# | (none given) | `hits`, found captions of each picture | [n], 0 to 5 |
# | | `drawn`, $I_t$ | [1000, n] |

# %%
rng = np.random.default_rng(0)
drawn = rng.integers(200, size=(1000, 200))  # 1,000 times 200 pictures, with replacement
hits = (t2i_ranks < 1).reshape(200, 5).sum(1)  # [n], captions that found their picture at once
by_image = 100 * hits[drawn].sum(1) / 1000
low, high = np.quantile(by_image, [0.025, 0.975])
captions = rng.integers(1000, size=(1000, 1000))  # wrong: as if captions were independent
by_caption = np.quantile(100 * (t2i_ranks < 1)[captions].mean(1), [0.025, 0.975])
print(f"t2i R@1 {found['t2i']['R@1']:.1f}, pictures resampled: {low:.1f} to {high:.1f}")
print(f"captions resampled as if they were independent: {by_caption[0]:.1f} to {by_caption[1]:.1f}")

# %%
interval = metrics.bootstrap(i2t_ranks, t2i_ranks, image_of_caption)
assert np.allclose(interval["t2i"]["R@1"], (low, high))
half = 196 * (0.844 * 0.156 / 1000) ** 0.5
print(f"published: 84.4 from {84.4 - half:.1f} to {84.4 + half:.1f}")

# %%
figure, ax = plt.subplots(figsize=(9, 3.4))
task.interval_lines(
    ax,
    [
        ("our t2i, captions\nresampled (too narrow)", found["t2i"]["R@1"], *by_caption, plots.GREY),
        ("our t2i, pictures\nresampled", found["t2i"]["R@1"], low, high, plots.TEXT),
        ("our i2t, pictures\nresampled", found["i2t"]["R@1"], *interval["i2t"]["R@1"], plots.IMAGE),
        ("HREM, Flickr30K i2t,\n1,000 pictures", 84.4, 84.4 - half, 84.4 + half, plots.RELATION),
    ],
    "R@1 (%)",
)
ax.set_title("With 200 pictures R@1 is known to within four to seven points")
plots.show(
    figure,
    "95 % intervals of R@1. The last line uses the formula, since the ranks behind the published number are not public.",
    "Four horizontal intervals: captions resampled, 50 to 56; pictures resampled, 49 to 57; image to text, 58 to 71; HREM, 82 to 87.",
)

# %% [markdown]
# **What you should see**: ± {{ (interval["i2t"]["R@1"][1] - interval["i2t"]["R@1"][0]) / 2:.1f }} for our i2t and ± {{ (high - low) / 2:.1f }} for our t2i (each within 1). The interval from resampled pictures is wider than the one
# from resampled captions. A difference that is smaller than such an interval is not yet a result.

# %%
assert high - low > by_caption[1] - by_caption[0]
assert abs(high - low - 8) < 2 and 5.5 < (interval["i2t"]["R@1"][1] - interval["i2t"]["R@1"][0]) / 2 < 7.5

# %% [markdown]
# ## Paper, released code, here
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | a tie | not stated | as an unstable sort leaves it, which differs between processors | counts against us |
# | COCO 1K | mean over five folds of 1,000 | the same, of `testall` | the same (`data.folds = 5`) |
# | a picture in evaluation | encoded once | encoded once for each of its captions | encoded once |
# | which epoch is kept | not stated | the best on the test split | the best on dev; test is read once |
# | interval | none | none | bootstrap over pictures |

# %% [markdown]
# ## Break it
#
# One mistake of evaluation costs most and raises no error: `image_of_caption` is in another order than the captions. Five captions *in a row* belong to a picture (`repeat`); here somebody wrote `tile`.

# %%
wrong_order = np.tile(np.arange(200), 5)  # 0, 1, 2, ... instead of 0, 0, 0, 0, 0, 1, 1, ...
broken = metrics.metrics(similarity, wrong_order)
for direction in ("i2t", "t2i"):
    print(direction, {name: round(broken[direction][name], 1) for name in ("R@1", "R@5", "R@10")})
print("chance", {k: round(metrics.chance(200, 1000, k)["t2i"], 1) for k in (1, 5, 10)})
assert broken["rSum"] < 20 < found["rSum"]

# %% [markdown]
# All recalls fall to chance. When a good model suddenly finds nothing, check the order before you check the model.

# %% [markdown]
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much later lessons rest on an exercise. All solutions: [solutions](solutions/00_task_and_metric_solutions.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 00a: ranks of image to text
#
# Difficulty: easy · Importance: high · Minutes: 8 · [solution](solutions/00_task_and_metric_solutions.ipynb)
#
# Count, do not sort. `image_of_caption` may be in any order.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# A rank is a count: how many wrong captions are at least as high as the best own one? First find which columns belong to which row.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `a[:, None] == b`: compares every pair, a table [n,m]. `np.where(table, x, y)`: x where True, y elsewhere. `.max(1, keepdims=True)`: the largest of each row, as a column. `.sum(1)`: counts True in each row.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# own = ... == ...  # [n,m]: which captions belong to which picture
# best = np.where(own, similarity, ...).max(1, keepdims=True)  # [n,1]
# return (... & ...).sum(1)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the rank counts wrong captions that are at least as high as the best own one; `own` [n,m] says which captions are right.
# - **Usual mistake**: `similarity * own` to hide wrong captions: 0 beats a negative own similarity, so hide with -inf.
# - **Cost**: n x m comparisons; sorting would cost a factor of log m more and leaves ties to chance.
#
# </details>

# %% tags=["exercise"]
def ranks_i2t(similarity, image_of_caption):
    """Rank of the best own caption of each picture, from 0; a tie counts against us.

    similarity [n,m], image_of_caption [m] -> [n]. As a loop:
        for i: best = the largest similarity[i, j] with image_of_caption[j] == i
               rank = how many j with image_of_caption[j] != i have similarity[i, j] >= best
    """
    # BEGIN SOLUTION
    own = np.arange(len(similarity))[:, None] == image_of_caption  # [n,m]
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return ((similarity >= best) & ~own).sum(1)
    # END SOLUTION


# %% tags=["exercise"]
check("00a", ranks_i2t)

# %% [markdown] tags=["exercise"]
# ### Exercise 00b: recall when everything is equal
#
# Difficulty: easy · Importance: medium · Minutes: 7 · [solution](solutions/00_task_and_metric_solutions.ipynb)
#
# Write the recall of text to image with ties against us. In a collapsed model (all similarities equal) every rank is n - 1. `k` may be larger than n.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Each caption has exactly one right picture. Read its similarity from the table, then count the pictures in that column that are at least as high.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `table[rows, columns]` with two lists of numbers: one entry for each pair of numbers. `.sum(0)`: counts True in each column. `np.mean`: of True and False it gives the share of True.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# own = similarity[..., ...]  # [m], the score of the right picture
# ranks = (...).sum(0) - ...  # who is in the count and should not be?
# return 100 * np.mean(...)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: each caption has one right picture, so its score is picked by an index and the column is counted.
# - **Usual mistake**: `argsort` or `>`: a collapsed model then gets what the order of the file gives, or 100.
# - **Cost**: n x m comparisons, and `k` costs nothing: it can exceed n, where a sorted list has no entry k.
#
# </details>

# %% tags=["exercise"]
def t2i_recall(similarity, image_of_caption, k):
    """Per cent of the captions whose own picture is among the first k; a tie counts against us.

    similarity [n,m], image_of_caption [m] -> number from 0 to 100
    """
    # BEGIN SOLUTION
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]  # [m]
    ranks = (similarity >= own).sum(0) - 1  # the own picture is at least as high as itself
    return 100 * np.mean(ranks < k)
    # END SOLUTION


# %% tags=["exercise"]
check("00b", t2i_recall)

# %% [markdown] tags=["exercise"] quoted="47.3, 60.5: made up"
# ### Exercise 00c: find the mistake
#
# Difficulty: medium · Importance: low · Minutes: 8 · [solution](solutions/00_task_and_metric_solutions.ipynb)
#
# A colleague reports for a test of 200 pictures with 1,000 captions: *i2t R@1 = 47.3, t2i R@1 = 60.5*. The **decimals** alone show that something is wrong. What is it? Then write a correct report.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Which values can R@1 take with 200 queries, and which with 1,000? Compare the two reported numbers with that.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `colleague(similarity, image_of_caption)`: you may call it. Try it first on two pictures with two captions each, where you can count by hand. `found["i2t"]`: one entry of a dictionary.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# found = colleague(similarity, image_of_caption)  # R@1 of 200 queries: a multiple of ...; of 1,000: of ...
# return {"i2t": ..., "t2i": ...}
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: ask which values are possible: R@1 over 200 pictures is a multiple of 0.5, over 1,000 captions a multiple of 0.1.
# - **Usual mistake**: to turn the matrix: then `image_of_caption` no longer counts its columns; only the names were exchanged.
# - **Cost**: nothing to run. Write the number of queries beside a recall, and every reader can find such a mistake.
#
# </details>

# %% tags=["exercise"]
def colleague(similarity, image_of_caption):
    n, m = similarity.shape
    own = np.arange(n)[:, None] == image_of_caption
    score = similarity[image_of_caption, np.arange(m)]
    best = np.where(own, similarity, -np.inf).max(1)
    for_columns = ((similarity >= score[None, :]) & ~own).sum(0)
    for_rows = ((similarity >= best[:, None]) & ~own).sum(1)
    return {"i2t": 100 * np.mean(for_columns < 1), "t2i": 100 * np.mean(for_rows < 1)}


def report(similarity, image_of_caption):
    """R@1 in per cent, ties against us: similarity [n,m], image_of_caption [m] -> {"i2t": ..., "t2i": ...}."""
    # BEGIN SOLUTION
    # 47.3 is no multiple of 0.5 = 100 / 200, so it cannot come from 200 picture queries: the names are exchanged
    exchanged = colleague(similarity, image_of_caption)
    return {"i2t": exchanged["t2i"], "t2i": exchanged["i2t"]}
    # END SOLUTION


# %% tags=["exercise"]
check("00c", report)

# %% [markdown] tags=["exercise"]
# ### Exercise 00d: predict the small test from the large one
#
# Difficulty: hard · Importance: low · Minutes: 12 · [solution](solutions/00_task_and_metric_solutions.ipynb)
#
# You know the ranks of text to image in the full pool. Cut it into `folds` parts at random: every wrong picture that stood above the right one lands in another part with probability (nearly) $1 - 1/F$. What R@1 do you expect?
# Write it, then apply it to `metrics.ranks(many, train.image_of_caption)[1]` of section 5 and compare with the mean of the five folds there.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# The caption is found if *every* wrong picture above the right one lands in another part. How do the chances of several such events combine?
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `np.power(base, exponents)`: one power for each exponent of an array. `np.mean`: the mean over the captions. Which of the two comes first?
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# elsewhere = ...  # chance that one wrong picture lands in another part
# first = ...  # [m], chance that all wrong pictures above the right one do
# return 100 * np.mean(first)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: a caption is found if *all* `rank` wrong pictures above land elsewhere, so the probabilities are multiplied; then the mean over the captions.
# - **Usual mistake**: `rank // folds`, or the power of the mean rank: the mean of powers is another number, as few captions have long ranks.
# - **Cost**: m powers, where cutting folds costs many rankings. It is exact only for many pictures: with few, each wrong one in the own part leaves less room for the next.
#
# </details>

# %% tags=["exercise"]
def predict_folds(ranks, folds):
    """Expected R@1 in per cent of one fold: ranks [m] from 0 in the full pool, folds from 1 -> number."""
    # BEGIN SOLUTION
    return 100 * np.mean((1 - 1 / folds) ** ranks)  # all of the `rank` strangers above must be elsewhere
    # END SOLUTION


# %% tags=["exercise"]
check("00d", predict_folds)

# %% [markdown] tags=["exercise"] quoted="55.1, 44.0, 73.9, 65.9: the solution of 00d, and the released checkpoint on COCO"
# <details><summary>What you find on the training pictures</summary>
#
# Predicted 55.1, found 56.0; the full pool has 26.8. The published numbers behave alike. On COCO 5K the released model has t2i R@1 = 44.0 and R@5 = 73.9, and its 1K value, 65.9, lies between them.
# A right picture in place 1 stays there, and one in the places 2 to 5 often moves up to 1.
# </details>

# %% [markdown] tags=["exercise"]
# ### Exercise 00e (optional): answers that were never wrong
#
# Difficulty: medium · Importance: low · Minutes: 10 · [solution](solutions/00_task_and_metric_solutions.ipynb)
#
# *"A kid is napping on a bench"* may be true of several pictures (twins), and the test calls all but one of them wrong. `fits[i, j]` says that caption j is true of picture i. Count a caption as found if the best **fitting** picture beats all pictures that do not fit.
# (COCO has the same problem: a later benchmark, ECCV Caption, searched for such captions and found many.)

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# For each caption two numbers decide: the best picture that fits, and the best picture that does not fit.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `np.where(fits, x, y)`: x where True, y elsewhere; both may be a single number. `-np.inf`: lower than every similarity. `.max(0)`: the largest of each column.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# best = np.where(fits, ..., ...).max(0)  # [m], the best picture that fits
# wrong = np.where(fits, ..., ...).max(0)  # [m], the best of the others
# return 100 * np.mean(...)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the best of the fitting pictures against the best of the others, a column at a time.
# - **Usual mistake**: to hide with 0 (wrong for negative similarities), or `argmax`, which gives a tie to the first picture.
# - **Cost**: two copies of the [n,m] matrix; where every picture fits, the other side is empty and -inf stands for it.
#
# </details>

# %% tags=["exercise"]
def recall_with_twins(similarity, fits):
    """R@1 of text to image in per cent, where every fitting picture is right; a tie with a wrong one counts against us.

    similarity [n,m], fits bool [n,m] with one True or more a column (perhaps only True) -> number from 0 to 100
    """
    # BEGIN SOLUTION
    best = np.where(fits, similarity, -np.inf).max(0)  # [m]
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong < best)
    # END SOLUTION


# %% tags=["exercise"]
check("00e", recall_with_twins)

# %% [markdown]
# How many captions are in that case? A picture fits if it has the action of the caption's own picture and all facts that the caption names.

# %%
action = np.array([scene["action"] for scene in truth])
named = [facts_of_caption(caption) for caption in split.captions]
fits = np.array([[facts <= facts_of_picture(scene) for facts in named] for scene in truth])
fits &= action[:, None] == action[image_of_caption]
print(f"captions that fit more than one of the 200 pictures: {100 * np.mean(fits.sum(0) > 1):.0f} %")
print(f"best R@1 of t2i that is possible on average: {100 * np.mean(1 / fits.sum(0)):.0f} %")
assert fits[image_of_caption, np.arange(1000)].all() and 30 < 100 * np.mean(fits.sum(0) > 1) < 50

# %% [markdown]
# So {{ 100 * np.mean(fits.sum(0) > 1):.0f }} % of the captions are true of a second picture, as far as our facts tell. If every twin counts as right, R@1 of the hand-made vectors rises from {{ found["t2i"]["R@1"]:.1f }} to
# {{ 100 * np.mean(np.where(fits, similarity, -9).max(0) > np.where(fits, -9, similarity).max(0)):.1f }}. Your `recall_with_twins(similarity, fits)` gives the same.

# %% [markdown]
# ## Summary
#
# - Retrieval puts existing items in order. All of it is read from one table, `similarity`: rows for i2t, columns for t2i.
# - A rank counts wrong answers at or above the right one. For i2t the best of the five captions counts and the other four are not wrong.
# - R@K depends on the tie rule, on the size of the pool and on which pictures were chosen. Report all three.
# - Vectors that know only *what* is in a picture fail where pictures differ in *who does what*.
#
# **Words introduced**: embedding, similarity, i2t and t2i, rank, recall at K, MedR, MeanR, rSum, chance, tie, fold, bootstrap.
#
# **Next**: in [01](01_feature_extraction.ipynb) the cheating ends. A network has to find the things and colors in the pixels.
