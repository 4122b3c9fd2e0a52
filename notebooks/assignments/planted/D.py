# %% [markdown]
# Planted wrong submissions of assignment D (see A.py). `planted/D/runs.json` stands for the runs of a
# student: made-up figures that agree with each other (no recall of a trained model).

# %% planted="hardest" answer="D1"
def semi_hard(similarity, positive, margin):
    return similarity.masked_fill(positive, -2).argmax(1)  # the hardest negative

# %% planted="hardest" answer="D2"
from hrem_lib import losses


def accumulated_hinge(v, u, parts, margin):
    return losses.hinge(v, u, torch.arange(len(v)), margin, hardest=False).loss  # the whole batch

# %% planted="library" answer="D3"
def rate_at(step, total_steps, warmup, base):
    small = config.preset("sample").override({"training.learning_rate": base})
    return training.rate_at(small, 1 + step)  # falls in steps

# %% planted="library" answer="D4"
from hrem_lib import sampling


def plan_epoch(labels, clusters_per_batch, images_per_cluster, seed):
    steps = len(labels) // (clusters_per_batch * images_per_cluster)
    captions = np.arange(len(labels))
    return list(sampling.neighbor_batches(labels, captions, steps, clusters_per_batch, images_per_cluster, seed, 0))  # repeats

# %% planted="one-sided" answer="D6"
def differences(runs, split):
    base = [r[split]["rSum"] for r in runs if not r["change"]]
    changed = [r[split]["rSum"] for r in runs if r["change"]]
    return np.array(changed) - np.array(base)  # paired by place

# %% planted="one-sided" answer="D7"
def sign_flip_p(differences):
    n = len(differences)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    return float(((signs * differences).mean(1) >= np.mean(differences) - 1e-9).mean())  # one side only

# %% planted="one-sided" answer="D8"
card = {
    "question": "Is it better?", "changed setting": "interaction", "data and splits": "sample", "selection": "dev", "seeds": [0, 1, 2],
    "dev rSum, mean of each arm": [400, 410], "test rSum, mean of each arm": [400, 410], "p on dev": 0.01, "versions": "new",
    "hardware and minutes": "laptop", "not controlled": "",
}
