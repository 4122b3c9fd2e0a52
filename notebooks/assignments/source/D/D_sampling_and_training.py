# %% numbers=true
order = rng.permutation(5)
base_scores = np.array([0.15, 0.35, 0.55, 0.65, 0.9])
hand = np.stack([rng.permutation(base_scores) for _ in range(5)])
np.fill_diagonal(hand, [0.7, 0.6, 0.2, 0.95, 0.5])
hand = hand.round(2)


def rule(s, p, margin):
    out = []
    for i in range(len(s)):
        neg = [j for j in range(s.shape[1]) if not p[i, j]]
        below = [j for j in neg if s[i, j] < s[i, i]]
        semi = [j for j in below if s[i, j] > s[i, i] - margin]
        if not neg:
            out.append(-1)
        elif semi or below:
            out.append(max(semi or below, key=lambda j: (s[i, j], -j)))
        else:
            out.append(min(neg, key=lambda j: (s[i, j], j)))
    return out


own = np.eye(5, dtype=bool)
hand_semi = rule(hand, own, 0.2)
hardest = [int(np.where(own[i], -9, hand[i]).argmax()) for i in range(5)]
total_steps, warm = int(rng.choice([40, 60, 80])), int(rng.choice([4, 5, 8]))
differences_hand = [*(float(x) for x in rng.permutation([2, 4, 7])[:2]), -1.0]
flips = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)])
hand_p = float(np.mean(np.abs((flips * differences_hand).mean(1)) >= abs(np.mean(differences_hand)) - 1e-9))

# %% [markdown]
# # Assignment D: an ablation of your own, with three seeds
#
# **Points** 40 (32 by tests, 8 by a person) · **Hours** 4 to 5, some minutes of which your laptop works alone · **Needs** notebooks 05, 06, 08 and 09
#
# - Write code only where `NotImplementedError` stands, and text only where *Your answer here* stands. You may add cells of your own.
# - The cell below each task tests your function and answers in a sentence. **Hidden tests** give the rest of the points: other numbers, edge cases,
#   a batch of one. They test what the task says, nothing else.
# - The tasks *change* what the lessons and the library do. A function of the library is in general **not** the answer.
# - A function leaves the arrays, tensors and lists that it is given as they are.
# - D5 trains six small models and writes `runs.json`. **Hand this file in with the notebook.** Your training is not repeated in grading, but a run may be repeated to see that its figures are what the seed gives.

# %% given="setup"
import json
import tempfile
from pathlib import Path
import numpy as np
import torch
from hrem_lib import checkpoints, config, data, evaluation, metrics, training
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.grading import expect_type, gradient, part, total, unchanged
from hrem_lib.study import claims, results

SEED = {{data_seed}}  # your course's

# %% [markdown]
# ## D1. Semi-hard negatives (6 points)
#
# HREM draws negatives by distance. An older rule takes the **semi-hard** one: a negative that is less similar than the own pair, but by less than the margin. For each row i with own similarity $s_{ii}$:
#
# 1. among the negatives with $s_{ii} - \text{margin} < s_{ij} < s_{ii}$, the **most** similar;
# 2. if there is none, the most similar of those with $s_{ij} < s_{ii}$;
# 3. if there is none either (all negatives are at least as similar as the own pair), the **least** similar negative;
# 4. if there is no negative at all, -1.
#
# `positive[i, j]` is True where pair j shows the same picture (also for j = i): those are no negatives. Of equal ones take the smaller index. The indices are int64.

# %% answer="D1"
def semi_hard(similarity, positive, margin):
    """Index of the semi-hard negative of each row: similarity [B,B], positive bool [B,B], margin -> int64 [B]."""
    ### BEGIN SOLUTION
    negative, own = ~positive, similarity.diagonal()[:, None]  # [B,B], [B,1]
    below = negative & (similarity < own)
    semi = below & (similarity > own - margin)
    chosen = torch.where(semi.any(1, keepdim=True), semi, below)

    def first_best(scores, among):
        scores = scores.masked_fill(~among, -torch.inf)
        best = (scores == scores.amax(1, keepdim=True)) & among
        return torch.where(best.any(1), (best.cumsum(1) == 1).logical_and(best).int().argmax(1), -1)

    return torch.where(below.any(1), first_best(similarity, chosen), first_best(-similarity, negative))
    ### END SOLUTION

# %% test="D1" points=6
with part("D1", "five rows by hand, margin 0.2", 2):
    similarity, positive = torch.tensor({{hand}}), torch.eye(5, dtype=torch.bool)
    with unchanged(similarity=similarity, positive=positive):
        got = semi_hard(similarity, positive, 0.2)
    expect_shape(got, (5,), "indices")
    expect_type(got, torch.int64, "array of indices")
    expect_close(got, torch.tensor({{hand_semi}}), "negatives", {
        "These are the hardest negatives; a semi-hard one is less similar than the own pair.": torch.tensor({{hardest}}),
    })
### BEGIN HIDDEN TESTS
def loop_semi(s, p, margin):
    out = []
    for i in range(len(s)):
        neg = [j for j in range(len(s)) if not p[i, j]]
        below = [j for j in neg if s[i, j] < s[i, i]]
        semi = [j for j in below if s[i, j] > s[i, i] - margin]
        if not neg:
            out.append(-1)
        elif below:
            out.append(max(semi or below, key=lambda j: (s[i, j].item(), -j)))
        else:
            out.append(min(neg, key=lambda j: (s[i, j].item(), j)))
    return torch.tensor(out)
dice = torch.Generator().manual_seed({{hidden_seed}})
with part("D1", "random similarities, one pair a picture", 1, hidden=True):
    for margin in (0.1, 0.5):
        s = torch.rand(12, 12, generator=dice)
        expect_close(semi_hard(s, torch.eye(12, dtype=torch.bool), margin), loop_semi(s, torch.eye(12).bool(), margin))
with part("D1", "several captions of a picture in the batch", 1, hidden=True):
    ids = torch.randint(0, 5, (14,), generator=dice)
    s, p = torch.rand(14, 14, generator=dice), ids[:, None] == ids[None]
    expect_close(semi_hard(s, p, 0.3), loop_semi(s, p, 0.3))
with part("D1", "many ties", 1, hidden=True):
    s = torch.randint(0, 4, (16, 16), generator=dice) / 4
    for margin in (0.25, 0.3):  # differences of exactly the margin among them
        expect_close(semi_hard(s, torch.eye(16, dtype=torch.bool), margin), loop_semi(s, torch.eye(16).bool(), margin))
with part("D1", "no negative: a batch of one, and one picture only", 1, hidden=True):
    expect_close(semi_hard(torch.tensor([[0.4]]), torch.tensor([[True]]), 0.2), torch.tensor([-1]))
    expect_close(semi_hard(torch.rand(3, 3, generator=dice), torch.ones(3, 3, dtype=torch.bool), 0.2), torch.full((3,), -1))
### END HIDDEN TESTS
total("D1", 6)

# %% [markdown]
# ## D2. Two half batches are not one batch (4 points)
#
# Gradient accumulation cuts a batch of B pairs into consecutive parts of $\lceil B / \text{parts} \rceil$ pairs (the last may be smaller) and adds up their losses. Compute this sum for the hinge over all negatives, both directions:
#
# $$L = \sum_{\text{parts}} \sum_{i \ne j} \left[m - s_{ii} + s_{ij}\right]_+ + \left[m - s_{ii} + s_{ji}\right]_+, \qquad s = v u^\top$$
#
# with i and j in the same part. All pairs show different pictures. (`hrem_lib.losses` knows whole batches only.)

# %% answer="D2"
def accumulated_hinge(v, u, parts, margin):
    """Sum of the parts' hinge losses: v, u [B,D] unit length, number of parts, margin -> scalar tensor with gradient."""
    ### BEGIN SOLUTION
    total = v.new_zeros(())
    size = -(-len(v) // parts)
    for a, b in zip(v.split(size), u.split(size), strict=True):
        s = a @ b.T
        own = torch.eye(len(s), dtype=torch.bool)
        for scores in (s, s.T):
            total = total + (margin + scores - scores.diagonal()[:, None]).relu().masked_fill(own, 0).sum()
    return total
    ### END SOLUTION

# %% test="D2" points=4
with part("D2", "four equal vectors: every pair of different items costs the margin", 1):
    same = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    with unchanged(v=same):
        got = accumulated_hinge(same, same, 1, 0.2)
    expect_close(got, 2 * 12 * 0.2, "loss of one batch", {
        "The own pair is no negative.": 2 * 16 * 0.2, "Wanted both directions.": 12 * 0.2, "Wanted the sum, not the mean.": 2 * 12 * 0.2 / 4,
    })
    expect_close(accumulated_hinge(same, same, 2, 0.2), 2 * 4 * 0.2, "loss of two parts", {
        "You did not cut the batch: pairs of different parts meet.": 2 * 12 * 0.2,
    })
### BEGIN HIDDEN TESTS
def loop_hinge(v, u, parts, margin):
    size, value = -(-len(v) // parts), 0.0
    for i in range(len(v)):
        for j in range(len(v)):
            if i != j and i // size == j // size:
                own = (v[i] @ u[i]).item()
                value += max(0, margin - own + (v[i] @ u[j]).item()) + max(0, margin - own + (v[j] @ u[i]).item())
    return value
dice = torch.Generator().manual_seed({{hidden_seed + 1}})
v, u = (torch.nn.functional.normalize(torch.randn(10, 6, generator=dice, dtype=torch.float64), dim=-1) for _ in range(2))
with part("D2", "random embeddings, parts that do not divide the batch", 1, hidden=True):
    for parts in (1, 2, 3, 4):
        expect_close(accumulated_hinge(v, u, parts, 0.3), loop_hinge(v, u, parts, 0.3))
with part("D2", "parts of one pair, a batch of one", 1, hidden=True):
    expect_close(accumulated_hinge(v, u, 10, 0.3), 0.0)
    expect_close(accumulated_hinge(v[:1], u[:1], 1, 0.3), 0.0)
with part("D2", "gradient", 1, hidden=True):
    step = torch.zeros(10, 6, dtype=torch.float64)
    step[4, 2] = 1e-6
    for by, (dv, du) in enumerate(((step, 0), (0, step))):
        slope = (loop_hinge(v + dv, u + du, 3, 0.3) - loop_hinge(v - dv, u - du, 3, 0.3)) / 2e-6
        expect_close(gradient(accumulated_hinge, v, u, 3, 0.3, by=by)[4, 2], slope, tol=1e-4)
### END HIDDEN TESTS
total("D2", 4)

# %% [markdown]
# ## D3. Warm up, then cool down (3 points)
#
# The paper's rate falls in steps. Now: in the first `warmup` steps it rises in a straight line, so that step 0 has base / warmup and step warmup - 1 has the full base; from there on it falls along half a cosine,
#
# $$\text{rate} = \text{base} \cdot \frac{1 + \cos(\pi p)}{2}, \qquad p = \frac{\text{step} - \text{warmup}}{\text{total} - \text{warmup}}$$
#
# Steps run from 0 to total - 1. There may be no warm-up at all.

# %% answer="D3"
def rate_at(step, total_steps, warmup, base):
    """Learning rate of a step: four numbers -> number."""
    ### BEGIN SOLUTION
    if step < warmup:
        return base * (step + 1) / warmup
    return base * (1 + np.cos(np.pi * (step - warmup) / (total_steps - warmup))) / 2
    ### END SOLUTION

# %% test="D3" points=3
with part("D3", "first, last warm-up, and middle step", 1):
    expect_close(rate_at(0, {{total_steps}}, {{warm}}, 0.01), {{0.01 / warm}}, "rate of step 0", {"Step 0 should already learn a little.": 0.0})
    expect_close(rate_at({{warm - 1}}, {{total_steps}}, {{warm}}, 0.01), 0.01, "rate of the last warm-up step")
    expect_close(rate_at({{(total_steps + warm) // 2}}, {{total_steps}}, {{warm}}, 0.01),
                 {{float(0.005 * (1 + np.cos(np.pi * ((total_steps + warm) // 2 - warm) / (total_steps - warm))))}}, "rate half way")
### BEGIN HIDDEN TESTS
with part("D3", "every step of several schedules", 1, hidden=True):
    for all_steps, w in ((50, 7), (9, 3), (30, 29)):
        got = np.array([rate_at(k, all_steps, w, 2.0) for k in range(0, all_steps, 1 + all_steps // 12)])
        wanted = [2.0 * (k + 1) / w if k < w else 1 + np.cos(np.pi * (k - w) / (all_steps - w)) for k in range(0, all_steps, 1 + all_steps // 12)]
        expect_close(got, np.array(wanted))
with part("D3", "no warm-up", 1, hidden=True):
    expect_close(rate_at(0, 10, 0, 0.5), 0.5)
    expect_close(rate_at(9, 10, 0, 0.5), 0.25 * (1 + np.cos(0.9 * np.pi)))
### END HIDDEN TESTS
total("D3", 3)

# %% [markdown]
# ## D4. Neighbor batches without repeats (6 points)
#
# The library draws clusters again and again, so that a picture may be seen twice in an epoch. Plan an epoch in which **no picture is seen twice**: a batch takes K pictures from each of P different clusters, in an order that
# the seed decides, and the epoch goes on **until fewer than P clusters have K unused pictures left**. The same seed gives the same epoch, another seed another one.

# %% answer="D4"
def plan_epoch(labels, clusters_per_batch, images_per_cluster, seed):
    """Neighbor batches without repeats: cluster of each picture [n], P, K, seed -> list of int arrays [P*K]."""
    ### BEGIN SOLUTION
    dice = np.random.default_rng(seed)
    piles = {c: dice.permutation(np.flatnonzero(labels == c)).tolist() for c in np.unique(labels)}
    batches = []
    while True:
        able = [c for c, pile in piles.items() if len(pile) >= images_per_cluster]
        if len(able) < clusters_per_batch:
            return batches
        chosen = dice.choice(able, clusters_per_batch, replace=False)
        batches.append(np.array([piles[c].pop() for c in chosen for _ in range(images_per_cluster)]))
    ### END SOLUTION

# %% test="D4" points=6
with part("D4", "three clusters, two of them a batch", 2):
    labels = np.array([2, 0, 1, 0, 2, 1, 1, 0, 2, 2])
    with unchanged(labels=labels):
        batches = plan_epoch(labels, 2, 2, 0)
    if not batches:
        raise Wrong("The epoch is empty.")
    expect_shape(np.array(batches[0]), (4,), "first batch")
    seen = np.concatenate(batches).tolist()
    if len(seen) != len(set(seen)):
        raise Wrong("A picture is seen twice in the epoch.")
    for batch in batches:
        counts = np.bincount(labels[np.array(batch)], minlength=3)
        if sorted(counts.tolist()) != [0, 2, 2]:
            raise Wrong(f"A batch has {counts.tolist()} pictures of the three clusters, wanted 2 of each of two clusters.")
### BEGIN HIDDEN TESTS
def faults(labels, p, k, batches):
    seen = [int(i) for b in batches for i in b]
    bad = len(seen) != len(set(seen)) or any(not 0 <= i < len(labels) for i in seen)
    for b in batches:
        counts = np.bincount(labels[np.array(b, dtype=int)])
        bad |= sorted(counts[counts > 0].tolist()) != [k] * p
    left = np.bincount(np.delete(labels, seen), minlength=labels.max() + 1)
    return bad, int((left >= k).sum()) >= p
numbers = np.random.default_rng({{hidden_seed + 2}})
with part("D4", "random clusters: P clusters, K pictures of each, nobody twice", 1, hidden=True):
    for p, k in ((3, 4), (2, 1), (4, 2)):
        labels = numbers.integers(0, 7, 150)
        batches = plan_epoch(labels, p, k, 5)
        expect_close(faults(labels, p, k, batches)[0], False)
        expect_close(len(batches) > 0, True)
with part("D4", "the epoch goes on as long as it can", 1, hidden=True):
    for p, k in ((3, 4), (5, 1), (2, 6)):
        labels = numbers.integers(0, 8, 120)
        batches = plan_epoch(labels, p, k, 9)
        expect_close(faults(labels, p, k, batches), (False, False))
        expect_close(len(batches) > 0, True)
with part("D4", "the seed decides", 1, hidden=True):
    labels = numbers.integers(0, 5, 100)
    one, two, three = (np.concatenate(plan_epoch(labels, 3, 3, s)).tolist() for s in (1, 1, 2))
    expect_close([one == two, one != three], [True, True])
with part("D4", "too few clusters, cluster numbers with gaps", 1, hidden=True):
    expect_close(len(plan_epoch(np.array([4, 4, 4, 9]), 2, 2, 0)), 0)
    expect_close(len(plan_epoch(np.array([4, 9, 4, 9]), 2, 2, 0)), 1)
### END HIDDEN TESTS
total("D4", 6)

# %% [markdown]
# ## D5. Your ablation (4 points)
#
# Choose **one** setting of `hrem_lib/config.py` in the sections `model`, `graph`, `loss` or `sampling` and a hypothesis about it: for instance `{"graph.interaction": "none"}`, `{"graph.interaction": "standalone"}`, `{"model.pool_mix": 0.0}`, `{"graph.neighbor_share": 0.1}`,
# `{"loss.sampling_dim": 8}`, `{"sampling.neighbor_epoch": 4}`. Write down **before** you train what you expect.
#
# `train_once` trains a small model on the sample world for five epochs (about half a minute on a laptop), chooses the epoch on dev and reads test once.

# %% given="helper"
SMALL = {
    "model.embed_dim": 64, "model.word_dim": 64, "model.heads": 4, "loss.sampling_dim": 32, "sampling.neighbor_epoch": 0,
    "training.epochs": 5, "training.decay_epochs": [4], "training.warmup_steps": 39, "training.learning_rate": 3e-3,
    "model.dropout": 0.0, "data.word_drop": 0.0, "data.region_drop": 0.0,
}


def train_once(change, seed):
    """One small run with some settings changed; its figures, its seconds and the test rank of every query."""
    settings = config.preset("sample").override({**SMALL, **change, "training.seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        found = training.train(settings, Path(folder) / "run")
        run = checkpoints.load_run(Path(folder) / "run")
    split = data.open_split(data.sample_dir(), "test")
    encoded = evaluation.encode_split([(run.model, run.text.encode(split.captions))], split)
    ranks = metrics.ensemble_ranks(encoded, split.image_of_caption)
    kept = {name: {k: found[name][k] for k in ("i2t", "t2i", "rSum")} for name in ("dev", "test")}
    kept["ranks"] = {side: results.pack(r) for side, r in zip(metrics.DIRECTIONS, ranks)}
    return {"change": change, "seed": seed, **{k: found[k] for k in ("selected_on", "epoch", "versions", "seconds")}, **kept}

# %% answer="D5"
CHANGE, SEEDS = {}, []  # e.g. {"graph.interaction": "none"}, and at least three seeds of your own
### BEGIN SOLUTION
CHANGE, SEEDS = {"graph.interaction": "none"}, [0, 1, 2]
### END SOLUTION

# %% [markdown]
# The next cell trains what `runs.json` does not hold yet, so an interrupted session goes on where it stopped.

# %% given="training" skip=true
path = Path("runs.json")
runs = json.loads(path.read_text()) if path.is_file() else []
for change in ({}, CHANGE):
    for seed in SEEDS:
        if not any(r["change"] == change and r["seed"] == seed for r in runs):
            runs.append(train_once(change, seed))
            path.write_text(json.dumps(runs))
print(len(runs), "runs")

# %% given="reading"
runs = json.loads(Path("runs.json").read_text()) if Path("runs.json").is_file() else []
for r in runs:
    print(r["change"] or "base", "seed", r["seed"], f"dev rSum {r['dev']['rSum']:.1f}, test rSum {r['test']['rSum']:.1f}")

# %% test="D5" points=4
with part("D5", "two arms, the same three seeds or more in both", 1):
    if not runs:
        raise NotImplementedError
    arms = {json.dumps(r["change"]): set() for r in runs}
    for r in runs:
        arms[json.dumps(r["change"])].add(r["seed"])
    if len(arms) != 2 or "{}" not in arms:
        raise Wrong(f"runs.json holds {len(arms)} arm(s), wanted two: the base and one change.")
    one, two = arms.values()
    if one != two or len(one) < 3:
        raise Wrong(f"The arms have the seeds {sorted(one)} and {sorted(two)}; wanted the same ones, three at least.")
with part("D5", "one setting changed, chosen on dev", 1):
    if not runs:
        raise NotImplementedError
    changed = {name for r in runs for name in r["change"]}
    if len(changed) != 1 or not changed.pop().startswith(("model.", "graph.", "loss.", "sampling.")):
        raise Wrong("Wanted one setting of the sections model, graph, loss or sampling to be changed.")
    if any(r["selected_on"] != "dev" for r in runs):
        raise Wrong("A run was not selected on dev.")
### BEGIN HIDDEN TESTS
with part("D5", "the figures of each run agree with each other", 2, hidden=True):
    if not runs:
        raise NotImplementedError
    for r in runs:
        for name in ("dev", "test"):
            recalls = [[r[name][d][f"R@{k}"] for k in (1, 5, 10)] for d in ("i2t", "t2i")]
            expect_close(sum(map(sum, recalls)), r[name]["rSum"], tol=0.01)
            for row, grid in zip(recalls, (200, 1000)):
                if sorted(row) != row or not 0 <= row[0] <= row[2] <= 100 or any(abs(x * grid / 100 - round(x * grid / 100)) > 1e-3 for x in row):
                    raise Wrong("figures")
    if len({json.dumps(r["test"]) for r in runs}) != len(runs):
        raise Wrong("equal runs")
### END HIDDEN TESTS
total("D5", 4)

# %% [markdown]
# ## D6. Differences, seed by seed (3 points)
#
# Runs with the same seed share their start values and their order of batches. Subtract them pair by pair: **changed minus base**, for seeds that both arms have, in ascending order of the seed. An arm is told by its `change` (base: an empty dictionary).

# %% answer="D6"
def differences(runs, split):
    """rSum of the changed arm minus rSum of the base, seed by seed: list of runs, "dev" or "test" -> array [seeds]."""
    ### BEGIN SOLUTION
    base = {r["seed"]: r[split]["rSum"] for r in runs if not r["change"]}
    changed = {r["seed"]: r[split]["rSum"] for r in runs if r["change"]}
    return np.array([changed[s] - base[s] for s in sorted(set(base) & set(changed))])
    ### END SOLUTION

# %% test="D6" points=3
with part("D6", "two seeds in any order", 1):
    made = [{"change": c, "seed": s, "dev": {"rSum": d}, "test": {"rSum": t}} for c, s, d, t in (
        ({}, 7, 300.0, 290.0), ({"x.y": 1}, 3, 310.0, 300.0), ({"x.y": 1}, 7, 305.0, 280.0), ({}, 3, 302.0, 301.0))]
    with unchanged(runs=made):
        got = np.array(differences(made, "dev"))
    expect_close(got, np.array([8.0, 5.0]), "differences on dev", {
        "Wanted changed minus base.": np.array([-8.0, -5.0]), "Wanted ascending seeds.": np.array([5.0, 8.0]),
        "You paired the runs by their place, not by their seed.": np.array([10.0, 3.0]),
    })
### BEGIN HIDDEN TESTS
numbers = np.random.default_rng({{hidden_seed + 3}})
with part("D6", "random runs in random order, on test", 1, hidden=True):
    values = {(c, s): float(numbers.integers(200, 400)) for c in (0, 1) for s in (11, 2, 30, 5)}
    mixed = [{"change": {"a.b": 2} if c else {}, "seed": s, "dev": {"rSum": 0.0}, "test": {"rSum": x}} for (c, s), x in values.items()]
    mixed = [mixed[i] for i in numbers.permutation(8)]
    expect_close(np.array(differences(mixed, "test")), np.array([values[1, s] - values[0, s] for s in (2, 5, 11, 30)]))
with part("D6", "a seed that one arm lacks", 1, hidden=True):
    for arm in (True, False):
        gap = [r for r in mixed if r["seed"] != 5 or bool(r["change"]) == arm]
        expect_close(np.array(differences(gap, "test")), np.array([values[1, s] - values[0, s] for s in (2, 11, 30)]))
### END HIDDEN TESTS
total("D6", 3)

# %% [markdown]
# ## D7. Could it be luck? (3 points)
#
# If the change did nothing, each difference could as well have had the other sign. The **sign-flip test** takes all $2^n$ ways to give signs to the n differences; p is the share of them (the one observed included) whose mean is **at least as far from
# 0, on either side**, as the observed mean (allow for rounding: $10^{-9}$).

# %% answer="D7"
def sign_flip_p(differences):
    """Two-sided p of the exact sign-flip test: differences [n] -> number in (0, 1]."""
    ### BEGIN SOLUTION
    differences = np.asarray(differences, dtype=float)
    n = len(differences)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # [2^n,n]
    means = (signs * differences).mean(1)
    return float((np.abs(means) >= abs(differences.mean()) - 1e-9).mean())
    ### END SOLUTION

# %% test="D7" points=3
with part("D7", "three differences by hand", 1):
    hand = np.array({{differences_hand}})
    with unchanged(differences=hand):
        got = sign_flip_p(hand)
    expect_close(got, {{hand_p}}, "p")
### BEGIN HIDDEN TESTS
def loop_p(d):
    n, hits = len(d), 0
    for code in range(2**n):
        mean = sum(x if code >> i & 1 else -x for i, x in enumerate(d)) / n
        hits += abs(mean) >= abs(sum(d) / n) - 1e-9
    return hits / 2**n
numbers = np.random.default_rng({{hidden_seed + 4}})
with part("D7", "random differences", 1, hidden=True):
    for n in (2, 4, 7):
        d = numbers.standard_normal(n) + 0.8
        expect_close(sign_flip_p(d), loop_p(d))
with part("D7", "one seed, no difference at all, and equal up to rounding", 1, hidden=True):
    expect_close(sign_flip_p(np.array([0.1, 0.2, -0.3, 0.05])), 1.0)
    expect_close(sign_flip_p(np.array([3.0])), 1.0)
    expect_close(sign_flip_p(np.zeros(3)), 1.0)
### END HIDDEN TESTS
total("D7", 3)

# %% [markdown]
# ## D8. The reproducibility card (3 points)
#
# Fill in the card of notebook 08 for your own experiment, as a dictionary: each value is a text (or number, or list) from which another student could repeat it. Take the numbers from `runs`, do not type them; p is that of D7 for the differences on dev.

# %% answer="D8"
card = {
    "question": "", "changed setting": "", "data and splits": "", "selection": "", "seeds": [],
    "dev rSum, mean of each arm": [], "test rSum, mean of each arm": [], "p on dev": None, "versions": "", "hardware and minutes": "", "not controlled": "",
}
### BEGIN SOLUTION
base, changed = ([r for r in runs if bool(r["change"]) == kind] for kind in (False, True))
card = {
    "question": "Does the relation part help the plain embeddings after five epochs?",
    "changed setting": "graph.interaction: fusion (base) against none",
    "data and splits": "sample world of hrem_lib, 1,000 / 200 / 200 pictures with five captions each",
    "selection": "epoch with the best dev rSum; test read once",
    "seeds": sorted({r["seed"] for r in runs}),
    "dev rSum, mean of each arm": [float(np.mean([r["dev"]["rSum"] for r in arm])) for arm in (base, changed)],
    "test rSum, mean of each arm": [float(np.mean([r["test"]["rSum"] for r in arm])) for arm in (base, changed)],
    "p on dev": sign_flip_p(differences(runs, "dev")) if runs else None,
    "versions": str(runs[0]["versions"]) if runs else "",
    "hardware and minutes": "a laptop with two cores, no GPU, about 4 minutes for six runs",
    "not controlled": "number of threads, processor; settings were tuned for the base, not for the changed arm",
}
### END SOLUTION

# %% test="D8" points=3
with part("D8", "nothing is left empty", 1):
    wanted = ["question", "changed setting", "data and splits", "selection", "seeds", "dev rSum, mean of each arm", "test rSum, mean of each arm",
              "p on dev", "versions", "hardware and minutes", "not controlled"]
    missing = [name for name in wanted if card.get(name) in ("", None, [], ())]
    if len(missing) == len(wanted):
        raise NotImplementedError
    if missing:
        raise Wrong(f"Not filled in: {', '.join(missing)}.")
### BEGIN HIDDEN TESTS
with part("D8", "the numbers are those of the runs", 2, hidden=True):
    if not runs:
        raise NotImplementedError
    expect_close(sorted(card["seeds"]), sorted({r["seed"] for r in runs}))
    rsum = {(bool(r["change"]), r["seed"]): r["dev"]["rSum"] for r in runs}
    gaps = np.array([rsum[True, s] - rsum[False, s] for kind, s in rsum if kind and (False, s) in rsum][:12])
    signs = 1 - 2 * ((np.arange(2 ** len(gaps))[:, None] >> np.arange(len(gaps))) & 1)
    if len(rsum) <= 24:
        expect_close(float(card["p on dev"]), np.mean(abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9), tol=0.01)
    for name in ("dev", "test"):
        means = [np.mean([r[name]["rSum"] for r in runs if bool(r["change"]) == kind]) for kind in (False, True)]
        expect_close(np.array(card[f"{name} rSum, mean of each arm"], dtype=float), np.array(means), tol=0.06)
### END HIDDEN TESTS
total("D8", 3)

# %% [markdown]
# ## D9. What do you conclude? (5 points, marked by a person)
#
# The next cell prints your difference on **test** as the results pages of the project give theirs, with both kinds of luck: an interval over pictures, one over seeds, and the smallest true difference that so many seeds would find in four of five tries
# ("detect"). Then the mean seconds of a run.

# %% given="luck"
if len(runs) >= 6 and all("ranks" in r for r in runs):
    found = claims.difference([{**r, "name": "own", "study": "own", "arm": "changed" if r["change"] else "base"} for r in runs], "own/changed", "own/base")
    over = [f"{low:+.1f} to {high:+.1f}" for low, high in (found.pictures, found.runs)]
    print(f"changed - base, test rSum: {found.mean:+.1f} (pictures {over[0]}; {len(found.seeds)} seeds {over[1]}; detect {found.detectable:.1f})")
    print("seconds a run:", {name: round(float(np.mean([r["seconds"] for r in runs if bool(r["change"]) == kind])), 1) for name, kind in (("base", False), ("changed", True))})

# %% [markdown]
# Draw every run as a dot (dev and test, both arms) in a cell of your own. Then find the row that is closest to your change in the project's results, `results/README.md` in its repository, and the pages that it links. Look which arm is called base there. In at most 250 words:
#
# - What did you expect, and what did you find? Give the difference with its interval over seeds **and** over pictures.
# - Can your seeds tell? What is the smallest difference that they can detect, and the smallest p that three differences can give?
# - What was chosen on dev, and how often did you look at test?
# - Do both arms cost the same? What would change at equal training time?
# - Does the row of the results agree with you? Which single next experiment could refute you?
#
# A difference that is not separated from 0 is a result: say so, and do not call it an effect. It is not a proof that there is none either.

# %% [markdown] manual="D9" points=5
# ### BEGIN SOLUTION
# I expected that the relation part helps, so that the arm without it loses. It did: without the part test rSum changes by -6.7 (95 % interval over 200 test pictures -13.0 to -0.7, over three seeds -12.0 to -1.3), and all three differences have the same sign on dev,
# too (-5.1, -8.6, -6.8). Three seeds with this spread can detect 6.7 at best, so this is at the edge; three differences can give no p below 2 / 8 = 0.25, and six seeds are needed for 0.03. The setting and the three seeds were fixed before training; the epoch was chosen
# on dev in each run; test was read once a run.
#
# The arms do not cost the same: about 21 seconds a run with the part, 17 without. In equal time the arm without it could train one epoch more, and its rSum was still rising, so part of the difference may be time. The closest row of the results, fusion - base on the
# sample world with the whole schedule (their base is my changed arm, so signs are turned), is +0.9 (pictures -3.3 to +5.2, seeds -11.4 to +13.2): not separated, a null result. At equal training time it is -7.2. So I do not conclude that the part helps: my runs are short, and a head start after five epochs need
# not last. Next: the arm without the part with six epochs, the same seeds and five more, dev only. If it catches up, my difference was time.
# ### END SOLUTION

# %% [markdown] rubric="D9"
# ## D9 (5 points)
#
# One point a line: full 1, half 0.5, none 0. A negative, undecided or unexpected result earns full points.
#
# | | full (1 point), for instance | half (0.5), for instance | none (0), for instance |
# |---|---|---|---|
# | **Both kinds of luck**: the difference with an interval over seeds and one over pictures; a figure with every run as a dot, arms and splits named | "-6.7 on test; over pictures -13.0 to -0.7, over three seeds -12.0 to -1.3." | One interval, or both without saying of what, or no figure: "-6.7 ± 5.4." | "The mean fell from 463.5 to 456.8, so it is worse." |
# | **What the seeds can tell**: the smallest detectable effect is named, and the smallest p of three differences (0.25), with the conclusion that is due | "Three seeds find 6.7 at best and can never give p below 0.25, so a smaller effect would stay unseen." | A number without a conclusion: "detect is 6.7." | "p = 0.25, so there is no effect." |
# | **Dev and test**: expectation stated (also if it was wrong), the choice made on dev, test read once | "I expected a gain. The epoch was chosen on dev; the setting was fixed before I saw test." | Dev is named, and test was looked at before the setting was final, which is said. | "I tried three settings and report the one with the best test rSum." |
# | **Equal cost**: what the arms cost, and what equal training time would change, or another serious explanation (tuning, length of training) | "21 against 17 seconds; in equal time the arm without it gets one epoch more, and it was still rising." | "The base is slower", without what follows from it. | Cost is not mentioned. |
# | **The matching row**: compared with the closest row of the results pages; a null result told as one, there and here; a next experiment that changes one thing and could refute the finding | "The row fusion - base (signs turned) says +0.9, not separated: no effect was shown there. Mine is shorter; next: six epochs for the arm without it." | The right row without its verdict, or no next experiment: "The results say +0.9." | "The results also show that HREM helps (+0.9)." |

# %% [markdown]
# ## D10. Judge a card (3 points, marked by a person)
#
# A paper says: *"Our method gains 1.9 rSum on Flickr30K 1K (518.1 against 516.2). We report the best of five runs on the test set; the baseline's figure is taken from its paper."* In at most 100 words: name the three worst faults and how each could be mended.

# %% [markdown] manual="D10" points=3
# ### BEGIN SOLUTION
# Best of five on test: the maximum of noise; report mean and range, choose on dev. The baseline had one run, perhaps chosen otherwise: run both arms in the same code with the same number of seeds. 1.9 of rSum with 1,000 pictures is well inside the interval (R@1 alone
# is known to about 2 points): give a paired bootstrap over images and the spread over seeds.
# ### END SOLUTION

# %% [markdown] rubric="D10"
# ## D10 (3 points)
#
# - 1 point each: best of five on test (selection); unequal treatment of the baseline; a gain inside the noise (seeds and pictures). Half a point each without the remedy.
