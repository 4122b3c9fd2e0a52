"""Wrong answers to the exercises of lesson 03, written by somebody who had not read the checks."""

# ruff: noqa: F811

import math

import torch
from exercises.attempts import attempt
from torch.nn import functional as F


def cosines(regions, words, pattern="ird,jld->ijrl"):
    """All cosines, right with the default pattern."""
    return torch.einsum(pattern, F.normalize(regions, dim=-1), F.normalize(words, dim=-1))


@attempt("03a", "inner products: nothing is divided by the lengths")
def region_word_similarity(regions, words):
    return torch.einsum("ird,jld->ijrl", regions, words)


@attempt("03a", "captions first, pictures second")
def region_word_similarity(regions, words):
    return cosines(regions, words, "ird,jld->jirl")


@attempt("03a", "words before regions")
def region_word_similarity(regions, words):
    return cosines(regions, words, "ird,jld->ijlr")


@attempt("03a", "normalizes along the fragments, not along D")
def region_word_similarity(regions, words):
    return torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=1), F.normalize(words, dim=1))


@attempt("03a", "divides by the sum of the sizes, not by the length")
def region_word_similarity(regions, words):
    return torch.einsum("ird,jld->ijrl", F.normalize(regions, p=1, dim=-1), F.normalize(words, p=1, dim=-1))


@attempt("03a", "only each picture with its own caption")
def region_word_similarity(regions, words):
    return cosines(regions, words, "ird,ild->irl")


@attempt("03a", "own pairs only, repeated to the wanted shape")
def region_word_similarity(regions, words):
    own = cosines(regions, words, "ird,ild->irl")
    return own[:, None].expand(-1, len(words), -1, -1)


@attempt("03a", "divides by the norm of the whole matrix of a sample")
def region_word_similarity(regions, words):
    whole = [x / x.flatten(1).norm(dim=1)[:, None, None] for x in (regions, words)]
    return torch.einsum("ird,jld->ijrl", *whole)


@attempt("03a", "one large product, then view without permute: numbers in the wrong cells")
def region_word_similarity(regions, words):
    flat = F.normalize(regions, dim=-1).flatten(0, 1) @ F.normalize(words, dim=-1).flatten(0, 1).T
    return flat.view(len(regions), len(words), regions.size(1), words.size(1))


@attempt("03a", "squeeze() loses a batch of one")
def region_word_similarity(regions, words):
    return cosines(regions, words).squeeze()


@attempt("03a", "normalizes the regions only")
def region_word_similarity(regions, words):
    return torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=-1), words)


@attempt("03a", "divides by the squared lengths")
def region_word_similarity(regions, words):
    regions = regions / regions.square().sum(-1, keepdim=True)
    words = words / words.square().sum(-1, keepdim=True)
    return torch.einsum("ird,jld->ijrl", regions, words)


@attempt("03a", "a table of R x R: fails if a caption has more words than a picture has regions")
def region_word_similarity(regions, words):
    out = regions.new_zeros(len(regions), len(words), regions.size(1), regions.size(1))
    out[..., : words.size(1)] = cosines(regions, words)
    return out


@attempt("03a", "as many captions as pictures: fails for other numbers")
def region_word_similarity(regions, words):
    regions, words = F.normalize(regions, dim=-1), F.normalize(words, dim=-1)
    pairs = range(len(regions))
    return torch.stack([torch.stack([regions[i] @ words[j].T for j in pairs]) for i in pairs])


@attempt("03a", "negative cosines become 0")
def region_word_similarity(regions, words):
    return cosines(regions, words).clamp(min=0)


@attempt("03a", "float32 whatever comes in", arguable=True)
def region_word_similarity(regions, words):
    out = torch.zeros(len(regions), len(words), regions.size(1), words.size(1))
    for i, region in enumerate(F.normalize(regions, dim=-1)):
        for j, word in enumerate(F.normalize(words, dim=-1)):
            out[i, j] = region @ word.T
    return out


@attempt("03a", "makes its arguments unit length in place", arguable=True)
def region_word_similarity(regions, words):
    regions /= regions.norm(dim=-1, keepdim=True)
    words /= words.norm(dim=-1, keepdim=True)
    return torch.einsum("ird,jld->ijrl", regions, words)


@attempt("03a", "NaN for a padding row of zeros", arguable=True)
def region_word_similarity(regions, words):
    lengths = regions.norm(dim=-1)[:, None, :, None] * words.norm(dim=-1)[None, :, None]
    return torch.einsum("ird,jld->ijrl", regions, words) / lengths


def keep_of(scores, share):
    """How many a row keeps."""
    return max(1, int(share * scores.size(1) + 1e-9))


def largest(scores, keep):
    """The first `keep` of each row, ties to the smaller index."""
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :keep]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


@attempt("03b", "a threshold keeps more than k where scores are equal")
def connection(scores, share):
    return scores >= scores.topk(keep_of(scores, share), dim=1).values[:, -1:]


@attempt("03b", "above the threshold only: one too few, and none where all are equal")
def connection(scores, share):
    return scores > scores.topk(keep_of(scores, share), dim=1).values[:, -1:]


@attempt("03b", "a batch of one pair keeps none")
def connection(scores, share):
    return largest(scores, int(share * scores.size(1) + 1e-9))


@attempt("03b", "rounds to the nearest number")
def connection(scores, share):
    return largest(scores, max(1, round(share * scores.size(1))))


@attempt("03b", "rounds up")
def connection(scores, share):
    return largest(scores, math.ceil(share * scores.size(1) - 1e-9))


@attempt("03b", "one too many")
def connection(scores, share):
    return largest(scores, keep_of(scores, share) + 1)


@attempt("03b", "chooses by column: each column keeps the largest")
def connection(scores, share):
    return largest(scores.T, keep_of(scores, share)).T


@attempt("03b", "ties go to the larger index")
def connection(scores, share):
    order = scores.sort(dim=1, stable=True).indices.flip(1)[:, : keep_of(scores, share)]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


@attempt("03b", "topk: which of equal scores stay is not defined")
def connection(scores, share):
    order = scores.topk(keep_of(scores, share), dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


@attempt("03b", "the smallest scores")
def connection(scores, share):
    return largest(-scores, keep_of(scores, share))


@attempt("03b", "always connects a node with its partner, as one more")
def connection(scores, share):
    return largest(scores, keep_of(scores, share)) | torch.eye(len(scores), dtype=torch.bool)


@attempt("03b", "symmetric: connected if one of the two wants it")
def connection(scores, share):
    chosen = largest(scores, keep_of(scores, share))
    return chosen | chosen.T


@attempt("03b", "nobody may look at its own number")
def connection(scores, share):
    own = torch.eye(len(scores), dtype=torch.bool)
    return largest(scores.masked_fill(own, -torch.inf), keep_of(scores, share))


@attempt("03b", "0 and 1 as floats, not bool")
def connection(scores, share):
    return largest(scores, keep_of(scores, share)).float()


@attempt("03b", "the largest of the whole matrix, not of each row")
def connection(scores, share):
    keep = keep_of(scores, share) * len(scores)
    return largest(scores.reshape(1, -1), keep).view_as(scores)


@attempt("03b", "all scores above the row's mean")
def connection(scores, share):
    return scores > scores.mean(dim=1, keepdim=True)


@attempt("03b", "by quantile: the interpolated threshold keeps another number")
def connection(scores, share):
    return scores >= scores.quantile(1 - share, dim=1, keepdim=True)


@attempt("03b", "share is ignored: always half")
def connection(scores, share):
    return largest(scores, max(1, scores.size(1) // 2))


@attempt("03b", "four links, as in the batch of the notebook")
def connection(scores, share):
    return largest(scores, 4)


@attempt("03b", "breaks ties by a small step for each column, which also turns close scores round")
def connection(scores, share):
    return largest(scores - 1e-3 * torch.arange(scores.size(1)), keep_of(scores, share))


@attempt("03b", "the column numbers of the kept nodes, not a matrix")
def connection(scores, share):
    return scores.sort(dim=1, descending=True, stable=True).indices[:, : keep_of(scores, share)]


@attempt("03b", "int(share * B): one too few where 0.29 x 100 is 28.999...", arguable=True)
def connection(scores, share):
    return largest(scores, max(1, int(share * scores.size(1))))


@attempt("03b", "overwrites the scores that it has chosen", arguable=True)
def connection(scores, share):
    out = torch.zeros_like(scores, dtype=torch.bool)
    rows = torch.arange(len(scores))
    for _ in range(keep_of(scores, share)):
        best = scores.argmax(1)
        out[rows, best] = True
        scores[rows, best] = -torch.inf
    return out


@attempt("03c", "i2t and t2i exchanged")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([torch.cat([i2i, t2i], 1), torch.cat([i2t, t2t], 1)])


@attempt("03c", "captions first")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([torch.cat([t2t, t2i], 1), torch.cat([i2t, i2i], 1)])


@attempt("03c", "t2i is taken for the transpose of i2t")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([i2t.T, t2t], 1)])


@attempt("03c", "block_diag: nothing across the modalities")
def assemble(i2i, i2t, t2i, t2t):
    return torch.block_diag(i2i, t2t)


@attempt("03c", "a stack of four matrices")
def assemble(i2i, i2t, t2i, t2t):
    return torch.stack([i2i, i2t, t2i, t2t])


@attempt("03c", "stacked and reshaped: rows of the blocks end up in the wrong places")
def assemble(i2i, i2t, t2i, t2t):
    half = len(i2i)
    return torch.stack([i2i, i2t, t2i, t2t]).reshape(2 * half, 2 * half)


@attempt("03c", "picture 1, caption 1, picture 2, caption 2, ...")
def assemble(i2i, i2t, t2i, t2t):
    rows = torch.stack([torch.stack([i2i, i2t], 2), torch.stack([t2i, t2t], 2)], 1)
    return rows.flatten(2).flatten(0, 1)


@attempt("03c", "four pairs, whatever comes in")
def assemble(i2i, i2t, t2i, t2t):
    out = i2i.new_zeros(8, 8)
    for row, column, block in ((0, 0, i2i), (0, 4, i2t), (4, 0, t2i), (4, 4, t2t)):
        out[row : row + len(block), column : column + len(block)] = block
    return out


@attempt("03c", "side by side only: [B,4B]")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([i2i, i2t, t2i, t2t], 1)


@attempt("03c", "the sum of both directions in both blocks across")
def assemble(i2i, i2t, t2i, t2t):
    out = torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)])
    return out | out.T if out.dtype == torch.bool else (out + out.T) / 2


@attempt("03c", "t2t is forgotten: i2i stands twice")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, i2i], 1)])


@attempt("03c", "the blocks transposed: the column looks")
def assemble(i2i, i2t, t2i, t2t):
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)]).T


@attempt("03c", "fills a float32 table: a connection is bool no more", arguable=True)
def assemble(i2i, i2t, t2i, t2t):
    half = len(i2i)
    out = torch.zeros(2 * half, 2 * half)
    out[:half, :half], out[:half, half:], out[half:, :half], out[half:, half:] = i2i, i2t, t2i, t2t
    return out


@attempt("03c", "through lists: the gradient of the relevance is lost", arguable=True)
def assemble(i2i, i2t, t2i, t2t):
    above = [a + b for a, b in zip(i2i.tolist(), i2t.tolist(), strict=True)]
    below = [a + b for a, b in zip(t2i.tolist(), t2t.tolist(), strict=True)]
    return torch.tensor(above + below, dtype=i2i.dtype)


def top_of(best, mask, k, hidden=-torch.inf):
    """The min(k, n) largest, `hidden` where there are fewer."""
    return best.masked_fill(~mask, hidden).topk(min(k, best.size(1)), dim=1).values


def to_k(top, k, value=0.0):
    """Filled up to k, -inf becomes `value`."""
    return F.pad(top.masked_fill(top == -torch.inf, value), (0, k - top.size(1)), value=value)


@attempt("03d", "crashes where k is larger than n")
def top_matches(best, mask, k):
    top = best.masked_fill(~mask, -torch.inf).topk(k, dim=1).values
    return top.masked_fill(top == -torch.inf, 0)


@attempt("03d", "the smallest of the k largest first")
def top_matches(best, mask, k):
    top = best.masked_fill(~mask, -torch.inf).topk(min(k, best.size(1)), dim=1).values.flip(1)
    return F.pad(top.masked_fill(top == -torch.inf, 0), (0, k - top.size(1)))


@attempt("03d", "zeros at the front where there are fewer than k fragments in the table")
def top_matches(best, mask, k):
    top = top_of(best, mask, k)
    return F.pad(top.masked_fill(top == -torch.inf, 0), (k - top.size(1), 0))


@attempt("03d", "-inf stays in the list")
def top_matches(best, mask, k):
    top = top_of(best, mask, k)
    return F.pad(top, (0, k - top.size(1)), value=-torch.inf)


@attempt("03d", "hides padding with 0: zeros stand before negative values")
def top_matches(best, mask, k):
    return to_k(top_of(best, mask, k, hidden=0.0), k)


@attempt("03d", "fills up with zeros and sorts again: zeros before negative values at the end")
def top_matches(best, mask, k):
    return to_k(top_of(best, mask, k), k).sort(dim=1, descending=True).values


@attempt("03d", "the mask is forgotten")
def top_matches(best, mask, k):
    return to_k(top_of(best, torch.ones_like(mask), k), k)


@attempt("03d", "takes the mask as a prefix: wrong with holes")
def top_matches(best, mask, k):
    prefix = torch.arange(best.size(1)) < mask.sum(1, keepdim=True)
    return to_k(top_of(best, prefix, k), k)


@attempt("03d", "the largest by size, without sign")
def top_matches(best, mask, k):
    index = best.abs().masked_fill(~mask, -1).topk(min(k, best.size(1)), dim=1).indices
    return to_k(best.masked_fill(~mask, -torch.inf).gather(1, index), k)


@attempt("03d", "the first k real ones, not sorted")
def top_matches(best, mask, k):
    order = (~mask).long().sort(dim=1, stable=True).indices[:, :k]
    return to_k(best.masked_fill(~mask, -torch.inf).gather(1, order), k)


@attempt("03d", "repeats the smallest real one at the end, no zeros")
def top_matches(best, mask, k):
    top = to_k(top_of(best, mask, k), k)
    last = mask.sum(1, keepdim=True).clamp(1, k) - 1
    return torch.where(torch.arange(k) <= last, top, top.gather(1, last))


@attempt("03d", "negative matches become 0")
def top_matches(best, mask, k):
    return to_k(top_of(best, mask, k), k).clamp(min=0)


@attempt("03d", "hides padding with -1, the smallest cosine: a real -1 becomes 0")
def top_matches(best, mask, k):
    top = top_of(best, mask, k, hidden=-1.0)
    return F.pad(top.masked_fill(top == -1, 0), (0, k - top.size(1)))


@attempt("03d", "only n wide where k is larger")
def top_matches(best, mask, k):
    top = top_of(best, mask, k)
    return top.masked_fill(top == -torch.inf, 0)


@attempt("03d", "the shortest sample sets the number for all")
def top_matches(best, mask, k):
    fewest = min(k, int(mask.sum(1).min()))
    return to_k(top_of(best, mask, fewest), k)


@attempt("03d", "squeeze() loses a batch of one")
def top_matches(best, mask, k):
    return to_k(top_of(best, mask, k), k).squeeze()


@attempt("03d", "k of the notebook (6) in place of the argument")
def top_matches(best, mask, k):
    return to_k(top_of(best, mask, 6), 6)


@attempt("03d", "the largest along the batch, not along the fragments")
def top_matches(best, mask, k):
    return to_k(top_of(best.T, mask.T, k).T, best.size(1))


@attempt("03d", "indices, not values")
def top_matches(best, mask, k):
    index = best.masked_fill(~mask, -torch.inf).topk(min(k, best.size(1)), dim=1).indices
    return F.pad(index, (0, k - index.size(1)))


@attempt("03d", "hides the padding of its argument in place", arguable=True)
def top_matches(best, mask, k):
    best[~mask] = -torch.inf
    return to_k(top_of(best, mask, k), k)


@attempt("03d", "float32 whatever comes in, and no gradient", arguable=True)
def top_matches(best, mask, k):
    out = torch.zeros(len(best), k)
    for i, (row, real) in enumerate(zip(best, mask, strict=True)):
        kept = sorted(row[real].tolist(), reverse=True)[:k]
        out[i, : len(kept)] = torch.tensor(kept)
    return out


def kl(log_p, log_g):
    """KL of each entry."""
    return log_p.exp() * (log_p - log_g)


@attempt("03e", "turned round: KL(guide || scores)")
def row_kl(scores, guide):
    return kl(guide.log_softmax(1), scores.log_softmax(1)).sum(1).mean()


@attempt("03e", "softmax over the columns")
def row_kl(scores, guide):
    return kl(scores.log_softmax(0), guide.log_softmax(0)).sum(0).mean()


@attempt("03e", "the mean over all entries")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).mean()


@attempt("03e", "the sum over the rows, not their mean")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).sum()


@attempt("03e", "the guide is divided by its sum, no softmax")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), (guide / guide.sum(1, keepdim=True)).log()).sum(1).mean()


@attempt("03e", "the mean of both orders")
def row_kl(scores, guide):
    p, g = scores.log_softmax(1), guide.log_softmax(1)
    return (kl(p, g) + kl(g, p)).sum(1).mean() / 2


@attempt("03e", "cross-entropy: the row's own entropy is not taken off")
def row_kl(scores, guide):
    return -(scores.softmax(1) * guide.log_softmax(1)).sum(1).mean()


@attempt("03e", "logarithm to base 2")
def row_kl(scores, guide):
    p, g = scores.softmax(1), guide.softmax(1)
    return (p * (p / g).log2()).sum(1).mean()


@attempt("03e", "the size of each term, without its sign")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).abs().sum(1).mean()


@attempt("03e", "squared differences of the two softmaxes")
def row_kl(scores, guide):
    return (scores.softmax(1) - guide.softmax(1)).square().sum(1).mean()


@attempt("03e", "both halves of (14)")
def row_kl(scores, guide):
    there = kl(scores.log_softmax(1), guide.log_softmax(1)).sum(1).mean()
    return there + kl(scores.T.log_softmax(1), guide.T.log_softmax(1)).sum(1).mean()


@attempt("03e", "one softmax over the whole matrix")
def row_kl(scores, guide):
    return kl(scores.flatten().log_softmax(0), guide.flatten().log_softmax(0)).sum()


@attempt("03e", "kl_div with log_target forgotten")
def row_kl(scores, guide):
    return F.kl_div(guide.log_softmax(1), scores.log_softmax(1), reduction="batchmean")


@attempt("03e", "kl_div with scores that are no logarithms")
def row_kl(scores, guide):
    return F.kl_div(guide.softmax(1), scores.softmax(1), reduction="batchmean")


@attempt("03e", "only the own pairs on the diagonal")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).diagonal().mean()


@attempt("03e", "0.01 added inside the logarithm against zeros")
def row_kl(scores, guide):
    p, g = scores.softmax(1), guide.softmax(1)
    return (p * ((p + 0.01) / (g + 0.01)).log()).sum(1).mean()


@attempt("03e", "the larger of the rows, not their mean")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).sum(1).max()


@attempt("03e", "one number for each row")
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).sum(1)


@attempt("03e", "p log(p / g) as written: NaN for scores with large differences", arguable=True)
def row_kl(scores, guide):
    p, g = scores.softmax(1), guide.softmax(1)
    return (p * (p / g).log()).sum(1).mean()


@attempt("03e", "a Python number: nothing can be learned from it", arguable=True)
def row_kl(scores, guide):
    return kl(scores.log_softmax(1), guide.log_softmax(1)).sum(1).mean().item()
