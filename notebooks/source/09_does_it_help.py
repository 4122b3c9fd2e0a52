# %% [markdown]
# # Does it help?
#
# **Minutes**: 50 to read, 34 for the exercises · **Needs**: [04](04_relation_interaction.ipynb), [05](05_sampling_and_losses.ipynb), [08](08_reproducing_the_paper.ipynb) · **Paper**: Sec 4 · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 first look (12) · 2 the base (8) · 3 new seeds (9) · 4 eight claims (9) · 5 both true (10) · Break it (3)
#
# - **In hand**: a model, a loss, a training, and proof that we compute what the authors compute.
# - **Missing**: an answer to the mystery of lesson 00. 03 to 05 built a machine. Is retrieval better for it?
# - **Today**: runs with the relation part and without it, read as a detective reads them. You compute one answer yourself.

# %% [markdown] tags=["solution"]
# # Solutions to notebook 09: does it help?
#
# One good answer for each exercise, with its idea, the usual mistake and the cost; the lesson is [09_does_it_help](../09_does_it_help.ipynb).

# %% tags=["setup"]
import itertools, math, numpy as np, scipy, torch
from hrem_lib import checkpoints, data, interaction, plots, sampling, training
from hrem_lib.exercises import check
from hrem_lib.plots import evidence
from hrem_lib.study import claims, results
plots.use_style()

# %% [markdown]
# **You will be able to**
#
# 1. compute the difference of two models from stored ranks, with its two intervals, and say which luck each of them knows;
# 2. say which control a claim needs, and how many seeds, *before* you train;
# 3. explain how the graph can decide the attention and yet leave retrieval as it is.
#
# **Predict first.** The base has the encoders and the triplet loss, and nothing of 03 and 04. On real photographs it reaches a test rSum of about 250 of 600. How many points does the
# relation part add, trained with the same data, seeds and number of steps? Write down a number, and how far off you may be. Section 1 has a first answer,
# Section 3 a second one.

# %% [markdown]
# ## 1. A first look
#
# **Idea.** With given weights one can check a program (08). Whether a *method* is better shows only in training: with it and without it, several times.
#
# **The photographs** are Flickr8k: 6,000 pictures to train on, 1,000 for dev, 1,000 for test, five captions each. A picture is 12 regions: the whole picture, the seven surest boxes
# of a small detector, and 2 x 2 cells. Each is a vector of 512 numbers from a small network. The pictures are not in this repository, and you do not need them: `results/`
# holds a file for each run, and in it the rank of every test query. The encoders are a BiGRU and attention over fragments, as in 01 and 02, with D = 256.
#
# **A run** is three passes over the data (half of the whole schedule); the relation part joins after the first. Two **arms** differ in one thing: here, the relation part. Runs of two arms
# with the same **seed** start from the same encoder weights and see the same batches. So we compare them seed by seed.

# %%
all_runs = results.load(data.sample_dir().parents[1] / "results")

def runs_of(study, arm):
    """The runs of one arm, by seed."""
    return {run["seed"]: run for run in all_runs if (run["study"], run["arm"]) == (study, arm)}

first_base, first_fusion = runs_of("f8k-short", "base"), runs_of("f8k-short", "cosine matching")
for seed in first_base:
    print(f"seed {seed}: base {first_base[seed]['test']['rSum']:.1f}, fusion {first_fusion[seed]['test']['rSum']:.1f}")

# %% [markdown]
# **By hand.** Two arms differ by 3, 1 and 2 points with seeds 0, 1 and 2. The mean is 2, the standard deviation 1. With three values Student's $t$ is 4.30 (not 1.96), so
# the half width is 4.30 x 1 / 1.73 = 2.5: from -0.5 to 4.5. Three wins out of three, and yet zero is inside.
#
# $$\bar\Delta \pm t_{0.975,\,m-1} \frac{s}{\sqrt{m}}$$
#
# | symbol | meaning | by hand |
# |---|---|---|
# | $\bar\Delta$, $s$ | mean and standard deviation of the differences, seed by seed | 2, 1 |
# | $m$ | seeds | 3 |
# | $t_{0.975,\,m-1}$ | the factor for few values | 4.30 |
#
# This interval knows the luck of **seeds**: other weights at the start, other batches. It says nothing about the luck of **pictures**: another test set. For that we draw pictures with replacement, as in 08.
# Both need the same table: for every seed and every test picture, how many points that picture adds.

# %%
def gains(run):
    """What each test picture adds to rSum [n]: their mean is the rSum."""
    i2t, t2i = (results.unpack(run["ranks"][side]) for side in ("i2t", "t2i"))  # [n], [5n], ranks from 0
    hits = [sum((ranks < k).astype(float) for k in (1, 5, 10)) for ranks in (i2t, t2i)]
    return 100 * (hits[0] + hits[1].reshape(len(i2t), -1).mean(1))  # five captions a picture

def compare(ours, theirs, draws=2000):
    """Mean difference of test rSum, its interval over seeds, its interval over pictures."""
    table = np.array([gains(ours[seed]) - gains(theirs[seed]) for seed in sorted(set(ours) & set(theirs))])  # [seeds,n]
    by_seed, by_picture = table.mean(1), table.mean(0)
    half = scipy.stats.t.ppf(0.975, len(table) - 1) * by_seed.std(ddof=1) / len(table) ** 0.5
    drawn = np.random.default_rng(0).integers(table.shape[1], size=(draws, table.shape[1]))
    return by_seed.mean(), (by_seed.mean() - half, by_seed.mean() + half), np.quantile(by_picture[drawn].mean(1), [0.025, 0.975])

mean, over_seeds, over_pictures = compare(first_fusion, first_base)
print(f"fusion - base: {mean:+.1f}, over seeds {over_seeds[0]:+.1f} to {over_seeds[1]:+.1f}, over pictures {over_pictures[0]:+.1f} to {over_pictures[1]:+.1f}")

# %%
library = claims.difference(all_runs, "f8k-short/cosine matching", "f8k-short/base")
ours, theirs = [mean, *over_seeds, *over_pictures], [library.mean, *library.runs, *library.pictures]
assert np.allclose([*ours, gains(first_base[0]).mean()], [*theirs, first_base[0]["test"]["rSum"]])
assert abs(scipy.stats.t.ppf(0.975, 2) * np.std([3, 1, 2], ddof=1) / 3**0.5 - 2.48) < 0.01  # the example by hand

# %% [markdown]
# **What you should see**: fusion is ahead with every seed, by {{ mean:.1f }} points, and both intervals leave out zero. It is a clean result. Most papers would stop here, with one seed instead of three.
#
# A difference whose two intervals both leave out zero is called **separated**.
#
# ## 2. Is the base as good as it can be?
#
# **Idea.** Those runs used one learning rate, 2e-3, for both arms. Who chose it? A rate that suits one arm may be wrong for the other, and then we compare a tuned model with an
# untuned one. So give both arms the *same list* of rates, and let **dev** choose for each. (The arms' names say n 64: the n of the law of 05 was chosen in the same way.)

# %%
rates = ("1e-3", "2e-3", "4e-3", "8e-3")
names = {"base": "base, rate {}, n 64", "fusion": "fusion, cosine, rate {}, n 64"}
by_rate = {
    arm: [next(iter(runs_of("f8k-choice", name.format(rate)).values()))["dev"]["rSum"] for rate in rates]
    for arm, name in names.items()
}
ahead = np.subtract(by_rate["fusion"], by_rate["base"])
for arm, values in by_rate.items():
    print(f"{arm:<7}", "  ".join(f"rate {rate}: {value:.1f}" for rate, value in zip(rates, values, strict=True)))

# %%
plots.show(
    evidence.rate_curves([float(rate) for rate in rates], by_rate, 2e-3),
    "Dev rSum of one run for each arm and rate; a ring marks the best. The dotted line is the rate of section 1.",
    "Two curves over four learning rates. Fusion lies above the base at the two small rates, by about ten and six points; at 4e-3 both are best and near each other; at 8e-3 both fall.",
)

# %% [markdown]
# **What you should see**: at the two smaller rates fusion is ahead, by {{ ahead[0]:.1f }} and {{ ahead[1]:.1f }} points. At 4e-3, the best rate of
# both, {{ ahead[2]:.1f }} points are left. **The base had been trained with too small a rate.** This is the most common way in which a method "wins". The new arm got the
# care, and the base got the settings that were there.
#
# So the difference of section 1 is true at its rate. But it answers another question: *what helps a base that learns too slowly?* (One seed chose here. The last {{ ahead[2]:.1f }} points may be luck, and the next section asks.)
#
# ## 3. New seeds
#
# **Idea.** The choice above used one seed, and it used dev. Now the test: the chosen rate for both arms, and **seeds that chose nothing**. How many? Decide before you look. Section 1 had three seeds.
#
# A difference $\Delta$ is found in four of five tries if it is as large as
#
# $$\Delta = (t_{0.975,\,m-1} + t_{0.8,\,m-1}) \frac{s}{\sqrt m}$$
#
# | symbol | meaning |
# |---|---|
# | $s$ | how much the difference changes from seed to seed |
# | $t_{0.975}$ | so far must the mean stand from zero to be separated |
# | $t_{0.8}$ | and so much further, or half of the tries would fall short of it |
#
# The share of tries that find it, here 80 %, is called **power**.

# %%
base, fusion = runs_of("f8k-power-short", "base"), runs_of("f8k-power-short", "fusion, cosine")
mean, over_seeds, over_pictures = compare(fusion, base)
seeds = sorted(set(fusion) & set(base))
differences = np.array([fusion[seed]["test"]["rSum"] - base[seed]["test"]["rSum"] for seed in seeds])
counts = np.arange(3, 31)
detectable = [(scipy.stats.t.ppf(0.975, m - 1) + scipy.stats.t.ppf(0.8, m - 1)) * differences.std(ddof=1) / m**0.5 for m in counts]
threes = [np.mean(chosen) for chosen in itertools.combinations(differences, 3)]
risen = [np.mean([r["test"]["rSum"] for r in new.values()]) - np.mean([r["test"]["rSum"] for r in old.values()]) for old, new in ((first_base, base), (first_fusion, fusion))]
first_spread = np.std([first_fusion[s]["test"]["rSum"] - first_base[s]["test"]["rSum"] for s in first_base], ddof=1)
print(f"{len(seeds)} seeds, fusion - base: {mean:+.1f}, over seeds {over_seeds[0]:+.1f} to {over_seeds[1]:+.1f}, over pictures {over_pictures[0]:+.1f} to {over_pictures[1]:+.1f}")
print(f"any three of them: {min(threes):+.1f} to {max(threes):+.1f}; more than 3 points off zero in {100 * np.mean(np.abs(threes) > 3):.0f} % of the sets")

# %%
plots.show(
    evidence.paired_runs([
        ("First look: rate 2e-3, three seeds", {"base": [r["test"]["rSum"] for r in first_base.values()], "fusion": [first_fusion[s]["test"]["rSum"] for s in first_base]}),
        (f"Rate chosen on dev: 4e-3, {len(seeds)} new seeds", {name: [arm[s]["test"]["rSum"] for s in seeds] for name, arm in (("base", base), ("fusion", fusion))}),
    ]),
    "Test rSum of each run. A gray line joins the two runs of a seed; thick lines are means.",
    "Left: three lines, all rising from base to fusion by about six points. Right: many lines, rising and falling, the two means on nearly one height, between the base and fusion of the left panel or near its fusion.",
)

# %%
plots.show(
    evidence.seeds_needed(threes, mean, counts.tolist(), detectable),
    "Left: the mean difference of every set of three seeds; green: of all. Right: power 80 %, with the spread of these runs.",
    "Left: a histogram around zero that reaches several points to both sides. Right: a curve that falls steeply up to ten seeds and slowly after it.",
)

# %% [markdown]
# **What you should see**: {{ mean:+.1f }} points. What was separated in section 1 is gone. From the left panel to the right, the base rose by {{ risen[0]:.1f }} points and fusion by {{ risen[1]:+.1f }}. **A better rate gave the base what the relation part had given it.**
#
# The histogram shows what three seeds are worth. The mean of three of these goes from {{ min(threes):+.1f }} to {{ max(threes):+.1f }}. Nobody has to cheat: a table with three seeds, made once, is a draw from it.
# The right panel says what the question costs. Three seeds find a difference of {{ detectable[0]:.1f }} points. {{ len(seeds) }} seeds find {{ detectable[len(seeds) - 3]:.1f }}. Published gains of this kind are three to five points.
# (To plan, you need s before you train. The three seeds of section 1 would have said {{ first_spread:.1f }}; it is {{ differences.std(ddof=1):.1f }}. Three values tell a spread badly, too.)
#
# **What these runs cannot say**: three passes over 6,000 pictures are a short training, and the relation part is there for two of them.
#
# ## 4. Eight claims
#
# **Idea.** One comparison does not settle a method. Perhaps the other mechanism helps, or another matching, another text encoder, another loss, noisy captions. We wrote down eight claims and the two arms
# that test each, *before* looking at a difference. All are on these photographs.
#
# Each question says yes by luck once in twenty times. So of three lists of eight questions one holds a false yes. **Holm's correction** makes each harder to pass. Of m values p, the smallest is multiplied by m, the next by m - 1, and so on.
# None may be smaller than one before it.
#
# **By hand.** Three tests have p = 0.01, 0.04 and 0.03. In order: 0.01 x 3 = 0.03, then 0.03 x 2 = 0.06, then 0.04 x 1 = 0.04. The last may not be smaller than the one before it, so it is 0.06, too. Corrected: 0.03, 0.06, 0.06. One of the three stays below 0.05; before, all did.

# %%
rows = claims.main_claims(all_runs)
said = {row.claim["compared"]: row.found for row in rows if row.schedule == "half"}
for row in rows:
    found = f"{row.found.mean:+6.1f}, corrected p {max(row.p, 0.001):.3f}" if row.found else ""
    print(f"{row.claim['compared']:<38}{row.schedule:<7}{row.verdict:<15}{found}")

# %%
assert np.allclose(claims.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])  # the example by hand
assert not any(row.verdict == "held" for row in rows)
plots.show(
    evidence.eight_claims(rows),
    "Dots: seeds; thick bars: 95 % over pictures; thin lines: 95 % over seeds. Color and bold: both leave out zero, and the corrected p is below 0.05. Gray: not separated.",
    "A row a claim and schedule, with a line at zero. Fusion minus base, and cosine minus scan, lie on the line; fusion minus the base with four draws, and standalone minus base, lie left of it, in color.",
)

# %% [markdown]
# A claim **held** if both intervals leave out zero on its side and the corrected p is below 0.05; *the opposite* is the same on the other side. The correction is over the rows that were run.
#
# **What you should see**: no claim held. Fusion against the base is {{ said["fusion - base"].mean:+.1f }} points. The control is clearer. Fusion's four losses draw four negatives a pair. A base whose one
# loss draws four is {{ -said["fusion - base with four draws"].mean:.1f }} points *better* than fusion. Whatever the relation part brings, more draws bring more; why its losses do not bring as much, we do not know. Standalone is {{ -said["standalone - base"].mean:.1f }} points behind the base. (The rate was chosen for
# the other two, so this row is a little unfair.) Which matching builds the graph makes no difference.
#
# Rows without dots are not run yet. Each takes many hours, and this lesson is built anew when they are there.
#
# The others, some fifty comparisons with three seeds each, are on a page of their own: `results/claims.md`. Some of them are large. What a change brought, in the same unit:

# %%
by_name = {claim["compared"]: claim for claim in claims.claims()}  # what is compared: the first arm minus the second
worth = [(name, claims.tested(all_runs, by_name[name], "photographs")) for name in ("weighted - hardest negatives, base", "two fusions averaged - one")]
new_runs = (("four draws - one, base", "base, four draws of negatives"), ("fusion - base", "fusion, cosine"))
worth += [(name, claims.difference(all_runs, f"f8k-power-short/{arm}", "f8k-power-short/base")) for name, arm in new_runs]
for name, found in worth:
    print(f"{name:<45} {found.mean:+.1f}")

# %%
plots.show(
    evidence.worth([(name, d.mean, (min(d.pictures[0], d.runs[0]), max(d.pictures[1], d.runs[1]))) for name, d in worth]),
    "Points of test rSum on the photographs; lines: the wider of the two 95 % intervals. The first two rows: three seeds at the rate of section 1. The others: the runs of section 3.",
    "Four bars: weighted against hardest negatives about 44, two models averaged about 22, four draws instead of one about 8, fusion instead of the base about zero.",
)

# %% [markdown] quoted="0.7: an answer to choose from"
# The law that draws negatives (05) is worth {{ worth[0][1].mean:.0f }} points, against the hardest ones. A second model is worth {{ worth[1][1].mean:.0f }}. Four draws instead of one bring {{ worth[2][1].mean:.0f }}. The relation part stands beside them with {{ worth[3][1].mean:+.1f }}.
#
# ## 5. How can both be true?
#
# **The contradiction.** Lesson 04 found that A and S decide the attention: whoever is not connected gets weight zero, and the learned scores change little. Now look at the arm in which A and S are both switched off, so that everybody attends to everybody:

# %%
for world, name in claims.WORLDS.items():
    found = claims.tested(all_runs, by_name["A and S - neither"], world)
    print(f"{name}: A and S - neither: {found.mean:+.1f} (three seeds, over seeds {found.runs[0]:+.1f} to {found.runs[1]:+.1f})")

# %% [markdown] quoted="60, 30, 8: answers to choose from"
# Nothing is lost. How can the graph decide everything and change nothing?
#
# **Predict first.** Take the trained model of the sample world and a batch. Replace A: each row keeps as many nodes, but *random* ones. Then take the **opposite** of A: each node attends to those whom the graph had ruled out, and to itself.
# By what angle does an enhanced embedding turn: about (a) 60°, (b) 30°, (c) 8°? And how much does the *gradient* change?

# %%
run = checkpoints.load_run(data.sample_run())
train = data.open_split(data.sample_dir(), "train")
pairs = data.PairDataset(train, run.text.encode(train.captions))
batch = pairs[data.BatchPlan(1, 0, sampling.random_batches(len(pairs), 64, 1, 1)[0])]
with torch.no_grad():
    images = run.model.encode_images(batch.regions, batch.region_mask)
    texts = run.model.encode_texts(batch.words, batch.word_mask)
    related = run.model.relate(images, texts, return_weights=True)
A, S, B = related.graph.connection, related.graph.relevance, 64
torch.manual_seed(0)
order = torch.rand(2 * B, 2, B).argsort(2).argsort(2).flatten(1)  # a random order in each block
itself = torch.eye(2 * B, dtype=torch.bool)
graphs = {"A and S": (A, S), "random nodes, S": (order < B // 2, S), "the opposite of A, S": (~A | itself, S), "neither A nor S": (A | ~A, 0 * S)}

def enhance(v, u, connection, relevance):
    """v̄ and ū of the batch under another graph [2B,2B]."""
    bias = interaction.additive_mask(connection, relevance, run.config.graph.relevance_weight)
    return run.model.relation.interaction(v, u, bias)[:2]

weights = related.weights[0].mean(0)  # over heads [2B,2B]
nodes = (-(weights * weights.clamp(min=1e-30).log()).sum(1)).exp()  # effective number of a row
own = {name: 100 * related.graph.block(name, "connection").diagonal().float().mean() for name in ("i2t", "t2i")}
print(f"a row attends to {nodes.mean():.1f} of {A.sum(1).float().mean():.0f} connected nodes; own caption connected: {own['i2t']:.0f} %, own picture: {own['t2i']:.0f} %")

# %%
def angle(a, b):
    """Mean angle between the rows, in degrees."""
    return torch.rad2deg((a * b).sum(1).clamp(-1, 1).arccos()).mean().item()

plain = torch.cat([images.emb, texts.emb])  # [2B,D]
with torch.no_grad():
    embeddings = {name: torch.cat(enhance(images.emb, texts.emb, *graph)) for name, graph in graphs.items()} | {"no interaction": plain}
turned = {name: angle(e, embeddings["A and S"]) for name, e in embeddings.items()}

objective = training.make_objective(run.config)

def gradient(graph, draw):
    """Gradient of the three losses with a bar at v and u, for a graph and a draw of negatives."""
    v, u = images.emb.clone().requires_grad_(), texts.emb.clone().requires_grad_()
    v_rel, u_rel = enhance(v, u, *graph)
    torch.manual_seed(draw)
    terms, _ = objective(v, u, batch.image_ids, v_rel, u_rel, related.graph.regularizer)
    loss = terms["enhanced"] + terms["crossed_image"] + terms["crossed_text"]
    return torch.cat(torch.autograd.grad(loss, (v, u))).flatten()

pull = gradient(graphs["A and S"], 0)
same = {name: torch.cosine_similarity(pull, gradient(graph, 0), dim=0).item() for name, graph in graphs.items()}
same["A and S, another draw"] = torch.cosine_similarity(pull, gradient(graphs["A and S"], 1), dim=0).item()

# %%
for name in (*graphs, "no interaction", "A and S, another draw"):
    print(f"{name:<22}", f"turned by {turned[name]:4.1f} degrees" if name in turned else " " * 23, f"  gradient: cosine {same[name]:.2f}" if name in same else "")

# %%
assert turned["the opposite of A, S"] < 0.5 * turned["no interaction"] and nodes.mean() > 60
assert same["the opposite of A, S"] > same["A and S, another draw"] + 0.02
plots.show(
    evidence.attention_rows({"A picture's row": weights[0].tolist(), "A caption's row": weights[B].tolist()}, int(A[0].sum())),
    "The attention of two nodes over the batch, mean over heads. Half of the nodes get nothing, the others nearly the same.",
    "Two bar charts: 64 bars of nearly one height on the dashed line of equal shares, the first of them nearly twice as high, then 64 bars of height zero.",
)

# %% [markdown] quoted="120, 19, 10, 0.97, 0.92: benchmarks/relations.py on a run of section 3"
# **What you should see**: answer (c). Three facts make both sentences true.
#
# 1. **A decides who, but not how much.** Half of the batch is ruled out. Over the other half the attention is nearly equal: a row attends to {{ nodes.mean():.0f }} of 64 nodes. What it gathers is the mean of half of a batch.
# 2. **Means of halves are much alike.** The interaction turns an embedding by {{ turned["no interaction"]:.0f }}°; the residual connection carries v through. Random nodes turn the result by {{ turned["random nodes, S"]:.0f }}°. Even the opposite of A turns it by {{ turned["the opposite of A, S"]:.0f }}° only.
# 3. **The gradient feels the graph less than chance.** v̄ is thrown away; what stays is the gradient of its losses. Under the opposite graph it has a cosine of {{ same["the opposite of A, S"]:.2f }} with the right one. Another *draw of negatives* changes it more: {{ same["A and S, another draw"]:.2f }}. And negatives are drawn anew in every step.
#
# Is it so on photographs, too? `benchmarks/relations.py` asks the same of a fusion run of section 3, with the printed matching. A row attends to 120 of 128 nodes. The interaction turns an embedding by 19°, the opposite graph by 10°.
# The gradient has a cosine of 0.97 under the opposite graph, and of 0.92 under another draw.
#
# The graph is not even the one that one has in mind. With the released matching (`scan`, 03) A holds a picture's own caption in {{ own["i2t"]:.0f }} % of the rows here. A coin would give 50 %. With the printed matching it nearly always does (03). Section 4 compared the two: no difference.
#
# **What we do not know.** These facts say why the *graph* makes no difference. They do not say why four losses bring less than four draws.
#
# **Is the paper wrong, then?** That does not follow. The paper has five to twenty times the pictures, a pre-trained BERT and thirty epochs. Sharper scores or other batches may wake the attention up; what we tried did not (`results/README.md`). What follows
# is smaller, and it holds for any paper. A gain belongs to a method only if three things are true:
#
# - the base was tuned with the same care;
# - the seeds that report the gain are not those that chose;
# - the difference is larger than what so many seeds can see.
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | models behind a number | two, averaged | one checkpoint | one a seed, {{ len(seeds) }} seeds |
# | interval | none | none | over seeds and over pictures |
# | settings of the base | another paper's results | the base is not there | same list, chosen on dev for each arm |
# | selection | | on test | on dev; test is read once |
# | matching | inner product (6) | LeakyReLU and normalization | both |

# %% [markdown]
# ## Break it
#
# Take one seed and several arms, and report the best arm. Everybody did this once. Here each of our seeds plays the one seed and chooses its best arm by *test* rSum. Then the other seeds say what the choice is worth.

# %%
def choose(arms):
    """Seeds; and for each the lead of its best arm over the first: with this seed, and the mean lead with all others."""
    found = [runs_of("f8k-power-short", arm) for arm in arms]
    common = sorted(set.intersection(*map(set, found)))
    table = np.array([[runs[seed]["test"]["rSum"] for seed in common] for runs in found])  # [arms,seeds]
    leads = [table[table[:, i].argmax()] - table[0] for i in range(len(common))]  # of each seed's best arm
    return common, np.array([lead[i] for i, lead in enumerate(leads)]), np.array([np.delete(lead, i).mean() for i, lead in enumerate(leads)])

alike = ["base", "fusion, cosine", "fusion, scan"]
for title, arms in (("with four draws", [*alike, "base, four draws of negatives"]), ("the three alike", alike)):
    common, chosen, others = choose(arms)
    print(f"{title:<16} mean lead with the seed that chose {chosen.mean():+.1f}, with the others {others.mean():+.1f}")

# %%
assert chosen.min() >= 0 and chosen.mean() > others.mean()
plots.show(
    evidence.leads(common, chosen, others),
    "Base and the two fusions. The lead with which a seed would be published (red), and what the other seeds say of the same arm (blue). Where the base is best, both are zero.",
    "Pairs of points over the seeds: the red ones are all at or above zero, the blue ones lie around zero.",
)

# %% [markdown]
# **What you should see**: of three arms that are alike the best leads by {{ chosen.mean():.1f }} points, with the seed that chose it. With the others it is {{ others.mean():+.1f }}. This is the **winner's curse**: choosing by luck selects the lucky. A real difference survives it: with the four draws among the arms, the lead stays. The
# cure is cheap: choose on dev, with seeds that you then throw away.
#
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much your own experiments rest on an exercise. All solutions: [solutions](solutions/09_does_it_help_solutions.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 09a: how many seeds?
#
# Difficulty: medium · Importance: high · Minutes: 8 · [solution](solutions/09_does_it_help_solutions.ipynb)
#
# Before you train: the difference of two arms changes by `spread` points from seed to seed, and you care for `effect` points. Use the formula of Section 3 to say how many seeds you need.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# More seeds see smaller differences. Try 2, 3, 4, ... and stop at the first number that sees the effect.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `scipy.stats.t.ppf(0.975, m - 1)`: Student's t for m values. `itertools.count(2)`: 2, 3, 4, ... without an end. `abs(effect)`: a loss of 3 points is as hard to see as a gain of 3.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# for m in ...:
#     seen = (scipy.stats.t.ppf(0.975, ...) + scipy.stats.t.ppf(0.8, ...)) * ...
#     if seen <= ...:
#         return m
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the formula falls with m, so the first m that sees the effect is the answer.
# - **Usual mistake**: 1.96 and 0.84 in place of Student's t. With few seeds they promise far too much: a spread of 3 and an effect of 5 would need 3 seeds, and needs 5.
# - **Cost**: two look-ups for each number tried; the seeds themselves cost hours.
#
# </details>

# %% tags=["exercise"]
def seeds_for(spread, effect):
    """Smallest number of seeds, from 2 on, with which a true difference is found in four of five tries (Section 3).

    Args: spread: standard deviation of the difference from seed to seed, above 0; effect: the true difference, of either sign, not 0
    Returns: int
    """
    # BEGIN SOLUTION
    for m in itertools.count(2):
        seen = (scipy.stats.t.ppf(0.975, m - 1) + scipy.stats.t.ppf(0.8, m - 1)) * spread / m**0.5
        if seen <= abs(effect):
            return m
    # END SOLUTION

# %% tags=["exercise"]
check("09a", seeds_for)

# %% [markdown] tags=["exercise"]
# ### Exercise 09b: Holm's correction
#
# Difficulty: medium · Importance: medium · Minutes: 8 · [solution](solutions/09_does_it_help_solutions.ipynb)
#
# Section 4 has the rule and an example by hand.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Go through the values from the smallest on. Each is multiplied by the number of values that are left, itself included. Remember the largest result so far.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `sorted(range(len(p)), key=lambda i: p[i])`: the places, smallest value first. `enumerate(order)`: 0, 1, 2, ... beside them. `max(largest, ...)` and `min(1.0, ...)`.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# corrected, largest = [0.0] * len(p), 0.0
# for done, i in enumerate(sorted(...)):
#     largest = max(largest, min(1.0, ...))
#     corrected[...] = largest
# return corrected
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: multiply in order of size by m, m - 1, ..., and never let a result fall below one before it.
# - **Usual mistake**: to leave out the running maximum, so that a larger p gets a smaller corrected one. Or to return them in the order of size.
# - **Cost**: one sort.
#
# </details>

# %% tags=["exercise"]
def holm(p):
    """Holm's corrected values.

    Args: p: list of m values from 0 to 1, at least one, in any order
    Returns: list of m values, none above 1, in the order of p
    """
    # BEGIN SOLUTION
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = largest
    return corrected
    # END SOLUTION

# %% tags=["exercise"]
check("09b", holm)

# %% [markdown] tags=["exercise"]
# ### Exercise 09c: a base that costs as much
#
# Difficulty: easy · Importance: medium · Minutes: 6 · [solution](solutions/09_does_it_help_solutions.ipynb)
#
# An epoch with the relation part takes longer. So a base of the same cost may train for more epochs. Its learning rate falls at the same share of its schedule.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Add up the arm's seconds: the warm-up at the base's price, the rest at its own. Divide by the base's price.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `math.floor(x + 0.5)`: the nearest whole number, halves upward (`round` takes halves to the even one). `max(1, ...)`.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# seconds = warm_up * ... + (epochs - warm_up) * ...
# longer = max(1, math.floor(... + 0.5))
# return longer, max(1, math.floor(longer * ... + 0.5))
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: the cost is a sum over epochs, and the base's epochs are that sum in units of its own price.
# - **Usual mistake**: to forget the warm-up, in which the arm pays the base's price. Or to leave the decay at its old epoch: then the base trains on at a tenth of the rate.
# - **Cost**: none; measure the seconds on a quiet machine.
#
# </details>

# %% tags=["exercise"]
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    """Epochs of a base that costs as much as an arm, and the epoch after which its learning rate falls.

    Both are rounded to the nearest whole number, halves upward, and are at least 1.
    The second is a share of the rounded first.
    Args: base_seconds, arm_seconds: an epoch of the base, an epoch of the arm with its relation part; epochs: of the arm;
        warm_up: how many of them are still without the relation part; decay: the arm's rate falls after this epoch
    Returns: (epochs of the base, the base's rate falls after this epoch)
    """
    # BEGIN SOLUTION
    seconds = warm_up * base_seconds + (epochs - warm_up) * arm_seconds
    longer = max(1, math.floor(seconds / base_seconds + 0.5))
    return longer, max(1, math.floor(longer * decay / epochs + 0.5))
    # END SOLUTION

# %% tags=["exercise"]
check("09c", equal_cost)

# %% [markdown] tags=["exercise"]
# ### Exercise 09d: choose and report
#
# Difficulty: medium · Importance: high · Minutes: 8 · [solution](solutions/09_does_it_help_solutions.ipynb)
#
# The cure for the winner's curse in one function: some seeds choose, on dev; the others report, on test.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Two sets of columns. In `dev` look at the choosing seeds alone. In `test` look at the others alone.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `dev[:, choosing].mean(1)`: a mean for each arm. `.argmax()`: the first of the largest. `np.delete(test, choosing, axis=1)`: all other columns.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# arm = int(dev[:, ...].mean(1).argmax())
# rest = np.delete(test, ..., axis=1)
# return arm, float((rest[...] - rest[...]).mean())
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: nothing that chose may report, neither the split nor the seeds.
# - **Usual mistake**: to choose on dev and report on test with the *same* seeds. A lucky seed is lucky on both, since dev and test share its weights.
# - **Cost**: the choosing seeds are spent.
#
# </details>

# %% tags=["exercise"]
def choose_and_report(dev, test, choosing):
    """The arm that the choosing seeds prefer on dev, and its lead on test with all other seeds.

    Args: dev, test: arrays [arms,seeds] of rSum, arm 0 is the base; choosing: list of columns, neither none nor all
    Returns: (number of the arm with the largest mean, the first at ties; its mean lead over arm 0)
    """
    # BEGIN SOLUTION
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())
    # END SOLUTION

# %% tags=["exercise"]
check("09d", choose_and_report)

# %% [markdown] tags=["exercise"] quoted="513.5, 518.1: made up"
# ### Exercise 09e: referee
#
# Difficulty: easy · Importance: medium · Minutes: 4 · [solution](solutions/09_does_it_help_solutions.ipynb)
#
# There is no check. From an abstract that we made up: *"Our relation module lifts rSum on Flickr30K from 513.5 (reported by its authors) to 518.1. We train for 40 epochs, twice as long, and report the best epoch on the test set."* Ask four questions.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Go through this lesson section by section. Each names one thing that can stand in for a method.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# Section 1: seeds and pictures. Section 2: the base. Section 3: how small a difference is seen. Break it: who chose, and where.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# questions = [
#     "How many ..., and what is the interval?",
#     "What does the base reach with ...?",
#     "What does the base reach in ... epochs?",
#     "Which epoch would ... have chosen?",
# ]
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: whatever differs between the two numbers, apart from the module, is a question.
# - **Usual mistake**: to ask for more benchmarks. A second benchmark with the same faults says nothing new.
# - **Cost**: four sentences in a review.
#
# </details>

# %% [markdown] tags=["exercise"]
# <details><summary>A model answer</summary>
#
# 1. How many seeds stand behind each number, and how far do they spread? 1,000 pictures alone leave some points of luck (08).
# 2. What does the base reach in *your* code, with its rate chosen from the same list as yours?
# 3. What does the base reach in 40 epochs?
# 4. Which epoch does dev choose, and what is test there?
# </details>

# %% [markdown]
# ## Summary
#
# - A difference has two kinds of luck: the seeds' and the pictures'. It is separated if both intervals leave out zero.
# - A separated difference can still be the wrong comparison. Ask for **controls**: a base tuned alike, of equal cost, with as many negatives.
# - Say before training how many seeds you need. Three see large differences only.
# - Many questions need a correction; a choice needs seeds that then do not report.
# - The graph decides who attends to whom. What is gathered hardly depends on it, and the gradient less than on the draw of negatives.
#
# **Words introduced**: control, Holm's correction, power, separated, winner's curse.
#
# **Next**: your own experiment. Write a grid (`hrem_lib/study/grid_files/`), run `hrem ablate`, and answer it with `compare`. Section 1's `gains` is all you need.
