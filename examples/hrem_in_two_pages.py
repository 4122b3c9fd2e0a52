"""HREM on two pages: the whole method in plain PyTorch, trained on the sample world in some minutes.

    python examples/hrem_in_two_pages.py

Notebook 06 shows these cells one by one and asserts that loss and gradients are the library's. Only reading the data
is left to the library. Not here: BERT, Standalone, neighbor batches, and speed.
"""

# %% part="imports"
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hrem_lib import data, text

D, H, K, RHO, LAMBDA, BETA, N, MARGIN = 128, 8, 6, 0.5, 1.0, 0.8, 64, 0.2  # sizes and constants of the preset `sample`


# %% part="fragments"
def layer(dropout):
    return nn.TransformerEncoderLayer(D, H, D, dropout, batch_first=True)


def embed(fragments, mask, attend):
    """Fragments [B,n,D] -> self-attention, pooling, unit length [B,D]: (1) to (3)."""
    context = attend(fragments, src_key_padding_mask=~mask)
    mean = (context * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    top = fragments.masked_fill(~mask[..., None], -torch.inf).topk(2, dim=1).values  # the two largest [B,2,D]
    top = top.masked_fill(top == -torch.inf, 0).sum(1) / mask.sum(1, keepdim=True).clamp(max=2)
    pooled = BETA * top + (1 - BETA) * mean
    return pooled / (pooled.norm(dim=-1, keepdim=True) + 1e-8)


# %% part="images"
class Images(nn.Module):
    """Region features [B,R,F] -> regions [B,R,D] by FC + MLP, real ones only, and v [B,D] (Sec 3.1)."""

    def __init__(self, width, dropout):
        super().__init__()
        self.fc = nn.Linear(width, D)
        self.mlp = nn.Sequential(nn.Linear(width, D // 2), nn.BatchNorm1d(D // 2), nn.ReLU(), nn.Linear(D // 2, D))
        self.attend = layer(dropout)
        for linear in (self.fc, self.mlp[0], self.mlp[3]):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, features, mask):
        regions = features.new_zeros(*mask.shape, D)
        regions[mask] = self.fc(features[mask]) + self.mlp(features[mask])
        return regions, embed(regions, mask, self.attend)


# %% part="texts"
class Texts(nn.Module):
    """Word ids [B,L] -> words [B,L,D], the mean of a GRU's two directions, and u [B,D] (Sec 3.1)."""

    def __init__(self, vocabulary, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, D)
        self.gru = nn.GRU(D, D, batch_first=True, bidirectional=True)
        self.attend = layer(dropout)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, ids, mask):
        packed = pack_padded_sequence(self.embedding(ids), mask.sum(1), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=ids.size(1))
        words = (states[..., :D] + states[..., D:]) / 2
        return words, embed(words, mask, self.attend)


# %% part="matching"
@torch.no_grad()
def match(regions, words, region_mask, word_mask):
    """Mean and K largest of the best matches, for both directions: (6), (8) as released ("scan")."""
    s = torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=-1), F.normalize(words, dim=-1))
    real = region_mask[:, None, :, None] & word_mask[None, :, None, :]  # [B,B,R,L]
    s = F.leaky_relu(s, 0.1).masked_fill(~real, 0)
    found = []
    for over, other, mask in ((3, 2, region_mask[:, None]), (2, 3, word_mask[None])):
        best = F.normalize(s, dim=other).masked_fill(~real, -torch.inf).amax(over)  # [B,B,R]; [B,B,L]
        best = best.masked_fill(~mask, -torch.inf)
        mean = best.masked_fill(best == -torch.inf, 0).sum(-1) / mask.sum(-1)
        top = best.topk(K).values
        found += [mean, top.masked_fill(top == -torch.inf, 0)]
    return found[0], found[1], found[2].T, found[3].transpose(0, 1)  # row = who attends


# %% part="blocks"
def connect(scores):
    """A of one block: each row keeps its floor(rho B) largest (5)(7)."""
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, : max(1, int(RHO * len(scores)))]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


def close(a, b):
    """exp(-distance): (10)."""
    return torch.exp(-torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"))


# %% part="graph"
class Relations(nn.Module):
    """Association graph and Fusion: v, u [B,D] -> enhanced v, u and the regularizer, (4) to (12) and (14)."""

    def __init__(self, dropout):
        super().__init__()
        self.mlp_i2t = nn.Sequential(nn.Linear(K, K), nn.ReLU(), nn.Linear(K, 1))
        self.mlp_t2i = nn.Sequential(nn.Linear(K, K), nn.ReLU(), nn.Linear(K, 1))
        self.mlp_t2i.load_state_dict(self.mlp_i2t.state_dict())
        self.attend = layer(dropout)

    def forward(self, regions, v, region_mask, words, u, word_mask):
        p_i2t, q_i2t, p_t2i, q_t2i = match(regions, words, region_mask, word_mask)
        i2t, t2i = self.mlp_i2t(q_i2t)[..., 0] + p_i2t, self.mlp_t2i(q_t2i)[..., 0] + p_t2i  # (9)
        S = torch.cat([torch.cat([close(v, v), i2t], 1), torch.cat([t2i, close(u, u)], 1)])
        rows = [connect(v @ v.T), connect(p_i2t)], [connect(p_t2i), connect(u @ u.T)]
        A = torch.cat([torch.cat(row, 1) for row in rows])
        bias = torch.where(A, LAMBDA * S, -torch.inf)  # [2B,2B]
        enhanced = F.normalize(self.attend(torch.cat([v, u])[None], src_mask=bias)[0], dim=-1)
        G = close(v, u).detach()
        kl = [F.kl_div(g.log_softmax(1), s.log_softmax(1), reduction="batchmean", log_target=True)
              for s, g in ((i2t, G), (t2i, G.T))]  # fmt: skip
        return *enhanced.chunk(2), sum(kl)


# %% part="loss"
def triplet(a, b, image_ids):
    """(13), negatives drawn by distance, both directions, summed over all pairs that show one picture."""
    total, same = 0, image_ids[:, None] == image_ids
    anchor, positive = same.nonzero().T
    for s in (a @ b.T, b @ a.T):
        d = (2 - 2 * s.detach()).clamp(min=0).sqrt().clamp(min=0.5)
        log_w = (2 - N) * d.log() - (N - 3) / 2 * (1 - d**2 / 4).clamp(min=1e-12).log()
        law = log_w.masked_fill(same | (d >= 1.7), -torch.inf).softmax(1).nan_to_num()  # a row without a negative: 0
        some = law.sum(1)[anchor] > 0
        negative = torch.multinomial(torch.where(some[:, None], law[anchor], 1), 1)[:, 0]
        total = total + (some * F.relu(MARGIN - s[anchor, positive] + s[anchor, negative])).sum()
    return total


# %% part="objective"
def loss_of(model, batch, relate):
    """The whole objective of a batch: L(v,u), and after the warm-up three more and the regularizer."""
    regions, v = model["images"](batch.regions, batch.region_mask)
    words, u = model["texts"](batch.words, batch.word_mask)
    sides, regularizer = [(v, u)], 0
    if relate:
        v_rel, u_rel, regularizer = model["relations"](regions, v, batch.region_mask, words, u, batch.word_mask)
        sides += [(v_rel, u_rel), (v_rel, u), (v, u_rel)]
    return sum(triplet(*side, batch.image_ids) for side in sides) + 10 * regularizer


# %% part="training"
def build(width, vocabulary, dropout=0.1):
    parts = {"images": Images(width, dropout), "texts": Texts(vocabulary, dropout), "relations": Relations(dropout)}
    return nn.ModuleDict(parts)


def train(model, pairs, epochs, decays, warmup, rate=2e-3, batch=128, seed=0):
    """AdamW, clipped gradients, random batches; yields after each epoch."""
    optimizer, step = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4), 0
    for epoch in range(1, epochs + 1):
        optimizer.param_groups[0]["lr"] = rate * 0.1 ** sum(epoch > after for after in decays)
        order = np.random.default_rng([seed, epoch]).permutation(len(pairs))
        model.train()
        for k, captions in enumerate(order[: len(order) // batch * batch].reshape(-1, batch)):
            loss = loss_of(model, pairs[data.BatchPlan(epoch, k, captions)], relate=step >= warmup)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            step += 1
        yield epoch


# %% part="search"
@torch.no_grad()
def recalls(model, split, tokens):
    """R@1, R@5, R@10 in per cent, pictures to captions and back: encoders only, no graph."""
    model.eval()
    v = torch.cat([model["images"](*batch)[1] for batch in data.image_batches(split, 128)])
    u = torch.empty(split.n_captions, D)
    for places, words, mask in data.caption_batches(tokens, 128):
        u[places] = model["texts"](words, mask)[1]
    s, owner = v @ u.T, torch.from_numpy(split.image_of_caption)
    own = owner == torch.arange(len(v))[:, None]  # [images,captions]
    best = s.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    i2t = ((s >= best) & ~own).sum(1)  # wrong captions before the first right one
    t2i = (s >= s[owner, torch.arange(len(owner))]).sum(0) - 1  # wrong pictures before the right one
    return [100 * (ranks < k).double().mean().item() for ranks in (i2t, t2i) for k in (1, 5, 10)]


# %% part="main"
if __name__ == "__main__":
    torch.manual_seed(0)
    splits = {name: data.open_split(data.sample_dir(), name) for name in ("train", "dev", "test")}
    words = text.Vocabulary.build(splits["train"].captions)
    tokens = {name: words.encode(split.captions) for name, split in splits.items()}
    pairs = data.PairDataset(splits["train"], tokens["train"], (words.mask_id, words.random_range), 0.2, 0.2)
    model, best = build(splits["train"].region_dim, words.size), (0, None)
    for epoch in train(model, pairs, epochs=12, decays=(8, 10), warmup=200):
        dev = recalls(model, splits["dev"], tokens["dev"])
        print(f"epoch {epoch:2}  dev R@1 {dev[0]:.1f} {dev[3]:.1f}  rSum {sum(dev):.1f}", flush=True)
        if sum(dev) > best[0]:
            best = sum(dev), {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best[1])
    test = recalls(model, splits["test"], tokens["test"])
    print("test", *(f"{value:.1f}" for value in test), f" rSum {sum(test):.1f}")
