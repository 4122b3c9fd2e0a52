# %% [markdown]
# Planted wrong submissions of assignment B (see A.py).

# %% planted="library" answer="B1"
from hrem_lib import graph


def gaussian_relevance(a, b, sigma):
    return graph.distance_relevance(a, b, sigma)  # not squared

# %% planted="library" answer="B2"
def threshold_connection(scores, threshold):
    return graph.connection(scores, threshold)  # takes the threshold for a share

# %% planted="library" answer="B4"
def soft_match(regions, words, region_mask, word_mask, t):
    found = graph.match(regions, words, region_mask, word_mask, 4, "cosine")  # the best match, not the smooth one
    return found.match_i2t, found.match_t2i

# %% planted="directions" answer="B3"
def mutual_graph(i2i, i2t, t2i, t2t):
    left = torch.cat([i2i & i2i.T, t2i & i2t])  # compares i2t[i, j] with t2i[i, j]
    right = torch.cat([i2t & t2i, t2t & t2t.T])
    return torch.cat([left, right], 1) | torch.eye(2 * len(i2i), dtype=torch.bool)

# %% planted="directions" answer="B4"
def soft_match(regions, words, region_mask, word_mask, t):
    r, c = (torch.nn.functional.normalize(x, dim=-1) for x in (regions, words))
    cosine = torch.einsum("ird,jld->ijrl", r, c)
    i2t = (t * ((cosine / t).exp().mean(3).log())).mean(2)  # padding counts, exp overflows
    t2i = (t * ((cosine / t).exp().mean(2).log())).mean(2)  # row is the picture
    return i2t, t2i

# %% planted="no-edge-cases" answer="B1"
def gaussian_relevance(a, b, sigma):
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T  # inexact at zero
    return torch.exp(-square / sigma)

# %% planted="no-edge-cases" answer="B2"
def threshold_connection(scores, threshold):
    return scores >= threshold  # a row may stay empty

# %% planted="no-edge-cases" answer="B5"
def match_shares(best, mask, edges):
    return ((best * mask)[..., None] >= edges).float().mean(1)  # padding counts as matches of 0

# %% planted="no-edge-cases" answer="B6"
def precision_recall(connection, truth):
    links, true = connection.clone().fill_diagonal_(False), truth.clone().fill_diagonal_(False)
    right = (links & true).sum().item()
    return right / links.sum().item(), right / true.sum().item()  # recall over all rows together; divides by zero
