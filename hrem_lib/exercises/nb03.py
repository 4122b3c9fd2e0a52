"""Checks of notebook 03, connection and relevance (Sec 3.3.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hrem_lib import graph
from hrem_lib.exercises import Wrong, expect_close, expect_shape


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------- a: region-word similarity


def _similarity(regions: Tensor, words: Tensor) -> Tensor:
    return torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=-1), F.normalize(words, dim=-1))


def check_a(fn) -> str:
    """`region_word_similarity(regions [B_img,R,D], words [B_txt,L,D]) -> [B_img,B_txt,R,L]`."""
    regions = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])  # one picture, two regions
    words = torch.tensor([[[1.0, 0.0], [3.0, 4.0]], [[0.0, -1.0], [1.0, 0.0]]])  # two captions, two words
    got = fn(regions, words)
    expect_shape(got, (1, 2, 2, 2), "similarity of 1 picture and 2 captions")
    wanted = torch.tensor([[[[1.0, 0.6], [0.0, 0.8]], [[0.0, 1.0], [-1.0, 0.0]]]])
    expect_close(
        got,
        wanted,
        "similarity of the hand example",
        {
            "These are inner products without normalization: divide every fragment by its length first.": (
                torch.einsum("ird,jld->ijrl", regions, words)
            ),
            "The last two axes are word and region; wanted region, then word.": wanted.transpose(2, 3),
            "You normalized over the fragments; each fragment has its length over the last axis, D.": (
                torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=1), F.normalize(words, dim=1))
            ),
        },
    )
    regions, words = _random(3, 4, 5), _random(2, 6, 5, seed=1)
    got = fn(regions, words)
    expect_shape(got, (3, 2, 4, 6), "similarity of 3 pictures and 2 captions")
    slow = torch.zeros(3, 2, 4, 6, dtype=torch.float64)
    for i in range(3):
        for j in range(2):
            for r in range(4):
                for w in range(6):
                    a, b = regions[i, r], words[j, w]
                    slow[i, j, r, w] = (a @ b) / (a.norm() * b.norm())
    expect_close(got, slow, "similarity against four loops")
    return "One line does the work of four loops."


# ----------------------------------------------------------------------------------------- b: connection


def _global(scores: Tensor, share: float) -> Tensor:
    keep = max(1, int(share * scores.size(1))) * scores.size(0)
    chosen = torch.zeros(scores.numel(), dtype=torch.bool)
    chosen[scores.flatten().sort(descending=True, stable=True).indices[:keep]] = True
    return chosen.view_as(scores)


def _threshold(scores: Tensor, share: float) -> Tensor:
    keep = max(1, int(share * scores.size(1)))
    return scores >= scores.topk(keep, dim=1).values[:, -1:]


def _columns(scores: Tensor, share: float) -> Tensor:
    return graph.connection(scores.T.contiguous(), share).T


def _no_floor(scores: Tensor, share: float) -> Tensor:
    keep = int(share * scores.size(1))
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter_(1, scores.sort(dim=1, descending=True, stable=True).indices[:, :keep], True)


def _least(scores: Tensor, share: float) -> Tensor:
    return graph.connection(-scores, share)


def check_b(fn) -> str:
    """`connection(scores [B,B], share) -> bool [B,B]`."""
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.2, 0.3, 0.1, 0.0], [0.0, 0.1, 0.2, 0.3], [0.6, 0.1, 0.2, 0.5]])
    got = fn(scores, 0.5)
    expect_shape(got, (4, 4), "connection")
    if got.dtype != torch.bool:
        raise Wrong(f"The connection should be of type torch.bool, yours is {got.dtype}.")
    expect_close(
        got.double(),
        graph.connection(scores, 0.5).double(),
        "connection of the hand example",
        {
            "You ranked the whole matrix: some rows keep more than two links, others fewer. Rank each row alone.": (
                _global(scores, 0.5).double()
            ),
            "You ranked the columns: row i must keep the nodes that i looks at.": _columns(scores, 0.5).double(),
            "You kept the smallest scores; wanted the largest.": _least(scores, 0.5).double(),
        },
    )
    tied = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.1, 0.7, 0.7, 0.7], [0.0, 0.0, 0.0, 1.0], [0.3, 0.3, 0.2, 0.2]])
    rows = fn(tied, 0.5).sum(1).tolist()
    if rows != [2, 2, 2, 2]:
        raise Wrong(f"With ties the rows keep {rows} links, wanted exactly 2 each: ties go to the smaller index.")
    expect_close(
        fn(tied, 0.5).double(), graph.connection(tied, 0.5).double(), "connection with ties (smaller index first)"
    )
    if int(fn(torch.tensor([[0.2]]), 0.5).sum()) != 1:
        raise Wrong("A batch of one pair keeps no link, because floor(0.5 x 1) = 0; wanted at least one.")
    random = _random(10, 10)
    for share in (0.1, 0.29, 0.5, 1.0):
        expect_close(
            fn(random, share).double(), graph.connection(random, share).double(), f"connection with share {share}"
        )
    return "Exactly max(1, floor(share x B)) links in each row, ties or not."


# ------------------------------------------------------------------------------------- c: the four blocks


def _assemble(i2i: Tensor, i2t: Tensor, t2i: Tensor, t2t: Tensor) -> Tensor:
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)])


def check_c(fn) -> str:
    """`assemble(i2i, i2t, t2i, t2t) -> [2B,2B]`, pictures first."""
    blocks = [10 * (n + 1) + torch.tensor([[1.0, 2.0], [3.0, 4.0]]) for n in range(4)]
    i2i, i2t, t2i, t2t = blocks
    got = fn(*blocks)
    expect_shape(got, (4, 4), "assembled matrix of two pairs")
    expect_close(
        got,
        _assemble(*blocks),
        "assembled matrix",
        {
            "The block t2i is transposed: its row must be the text that looks.": _assemble(i2i, i2t, t2i.T, t2t),
            "i2t and t2i have changed places: images are the first B rows, so i2t stands in the upper right part.": (
                _assemble(i2i, t2i, i2t, t2t)
            ),
            "i2t and t2i have changed places and are transposed: you put the blocks by column, not by row.": (
                _assemble(i2i, t2i.T, i2t.T, t2t)
            ),
            "t2i is a copy of i2t, turned around: the two directions have scores of their own.": (
                _assemble(i2i, i2t, i2t.T, t2t)
            ),
            "Texts come first in yours; wanted images first.": _assemble(t2t, t2i, i2t, i2i),
        },
    )
    blocks = [_random(3, 3, seed=n) for n in range(4)]
    expect_close(fn(*blocks), _assemble(*blocks), "assembled matrix of three pairs")
    return "Row = who looks, column = who is looked at, images first."


# ------------------------------------------------------------------------------------------ d: top matches


def _top(best: Tensor, mask: Tensor, k: int) -> Tensor:
    top = best.masked_fill(~mask, -torch.inf).topk(min(k, best.size(-1)), dim=-1).values
    return F.pad(top.masked_fill(top == -torch.inf, 0), (0, k - top.size(-1)))


def _padding_counts(best: Tensor, mask: Tensor, k: int) -> Tensor:
    return F.pad(best.topk(min(k, best.size(-1)), dim=-1).values, (0, max(0, k - best.size(-1))))


def _zeros_sorted(best: Tensor, mask: Tensor, k: int) -> Tensor:
    filled = F.pad(torch.where(mask, best, 0), (0, k))
    return filled.topk(k, dim=-1).values


def _left_inf(best: Tensor, mask: Tensor, k: int) -> Tensor:
    return F.pad(best.masked_fill(~mask, -torch.inf), (0, k), value=-torch.inf).topk(k, dim=-1).values


def _too_short(best: Tensor, mask: Tensor, k: int) -> Tensor:
    return _top(best, mask, min(k, best.size(-1)))


def check_d(fn) -> str:
    """`top_matches(best [B,n], mask [B,n], k) -> [B,k]`."""
    best = torch.tensor([[0.2, 0.9, -0.3, 0.5], [0.4, -0.1, 0.8, 0.7]])
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    got = fn(best, mask, 3)
    expect_shape(got, (2, 3), "top matches with k = 3")
    known = {
        "Padding got among the top matches: take only fragments whose mask is True.": _padding_counts(best, mask, 3),
        "A zero for a missing entry stands before a real negative match; the zeros belong at the end.": (
            _zeros_sorted(best, mask, 3)
        ),
        "Missing entries are -inf; wanted 0, because an MLP reads them.": _left_inf(best, mask, 3),
        "The values go up; wanted the largest first.": _top(best, mask, 3).flip(-1),
    }
    expect_close(got, torch.tensor([[0.9, 0.5, 0.2], [0.4, -0.1, 0.0]]), "top matches of the hand example", known)
    short = fn(best, mask, 6)  # fewer than k fragments in every sample
    if getattr(short, "shape", None) == (2, 4):
        raise Wrong("With four fragments and k = 6 there are only 4 values; wanted zeros up to k.")
    expect_shape(short, (2, 6), "top matches with k = 6 of four fragments")
    known = {
        "A zero for a missing entry stands before a real negative match; the zeros belong at the end.": (
            _zeros_sorted(best, mask, 6)
        ),
        "Missing entries are -inf; wanted 0, because an MLP reads them.": _left_inf(best, mask, 6),
    }
    expect_close(short, _top(best, mask, 6), "top matches with k = 6", known)
    best, mask = _random(5, 7), torch.arange(7) < torch.tensor([[7], [1], [3], [6], [2]])
    slow = torch.zeros(5, 4, dtype=torch.float64)
    for i in range(5):
        for place, value in enumerate(sorted((best[i, n].item() for n in range(7) if mask[i, n]), reverse=True)[:4]):
            slow[i, place] = value
    expect_close(fn(best, mask, 4), slow, "top matches against a loop")
    return "A caption of one word works, and so does a batch of short captions."


# ---------------------------------------------------------------------------------------------- e: the guide


def _kl(scores: Tensor, guide: Tensor) -> Tensor:
    log_p, log_g = scores.log_softmax(1), guide.log_softmax(1)
    return (log_p.exp() * (log_p - log_g)).sum(1).mean()


def _kl_columns(scores: Tensor, guide: Tensor) -> Tensor:
    return _kl(scores.T, guide.T)


def _kl_mean(scores: Tensor, guide: Tensor) -> Tensor:
    return _kl(scores, guide) / scores.size(1)


def _kl_raw(scores: Tensor, guide: Tensor) -> Tensor:
    log_p = scores.log_softmax(1)
    return (log_p.exp() * (log_p - guide.log())).sum(1).mean()


def check_e(fn) -> str:
    """`row_kl(scores [B,B], guide [B,B]) -> scalar`, KL(softmax(scores) || softmax(guide))."""
    scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).log1p()
    scores = torch.cat([scores, torch.tensor([[0.5, 0.2, 0.9]])])
    guide = torch.tensor([[0.9, 0.3, 0.2], [0.3, 0.8, 0.4], [0.2, 0.4, 0.7]])
    got = torch.as_tensor(fn(scores, guide))
    if got.dim() != 0:
        raise Wrong(f"The result has shape {tuple(got.shape)}, wanted one number: the mean over rows.")
    expect_close(
        got,
        _kl(scores, guide),
        "KL of the hand example",
        {
            "This is KL(guide || scores); wanted the learned scores first.": _kl(guide, scores),
            "You took the softmax over columns; wanted over each row.": _kl_columns(scores, guide),
            "You averaged over all entries; wanted the sum over a row, then the mean over rows.": _kl_mean(
                scores, guide
            ),
            "The guide went in without its softmax: its rows do not add up to one.": _kl_raw(scores, guide),
        },
        tol=1e-6,
    )
    scores, guide = 3 * _random(6, 6), _random(6, 6, seed=1).abs()
    slow = 0.0
    for p_row, g_row in zip(scores.softmax(1), guide.softmax(1), strict=True):
        slow += sum(float(p * torch.log(p / g)) for p, g in zip(p_row, g_row, strict=True)) / 6
    expect_close(torch.as_tensor(fn(scores, guide)), slow, "KL against a loop")
    if abs(float(fn(guide, guide))) > 1e-8:
        raise Wrong("A matrix against itself must give 0, whatever its values.")
    return "Zero only where the two rows agree."


MISTAKES = [
    ("a", "not normalized", lambda r, w: torch.einsum("ird,jld->ijrl", r, w), "without normalization"),
    ("a", "word before region", lambda r, w: _similarity(r, w).transpose(2, 3), "word and region"),
    ("a", "normalized over fragments", lambda r, w: torch.einsum(
        "ird,jld->ijrl", F.normalize(r, dim=1), F.normalize(w, dim=1)), "over the fragments"),
    ("a", "only pairs", lambda r, w: torch.einsum("brd,bld->brl", r, w[:1]), "shape"),
    ("b", "global", _global, "whole matrix"),
    ("b", "columns", _columns, "ranked the columns"),
    ("b", "ties", _threshold, "With ties"),
    ("b", "batch of one", _no_floor, "batch of one"),
    ("b", "smallest", _least, "smallest"),
    ("b", "not bool", lambda s, share: graph.connection(s, share).float(), "torch.bool"),
    ("c", "t2i transposed", lambda a, b, c, d: _assemble(a, b, c.T, d), "t2i is transposed"),
    ("c", "exchanged", lambda a, b, c, d: _assemble(a, c, b, d), "have changed places"),
    ("c", "by column", lambda a, b, c, d: _assemble(a, c.T, b.T, d), "by column"),
    ("c", "copied", lambda a, b, c, d: _assemble(a, b, b.T, d), "copy of i2t"),
    ("c", "texts first", lambda a, b, c, d: _assemble(d, c, b, a), "images first"),
    ("d", "padding", _padding_counts, "Padding got among"),
    ("d", "zeros sorted in", _zeros_sorted, "before a real negative"),
    ("d", "minus infinity", _left_inf, "-inf"),
    ("d", "ascending", lambda b, m, k: _top(b, m, k).flip(-1), "largest first"),
    ("d", "too short", _too_short, "zeros up to k"),
    ("e", "reversed", lambda s, g: _kl(g, s), "learned scores first"),
    ("e", "columns", _kl_columns, "over columns"),
    ("e", "mean of entries", _kl_mean, "averaged over all entries"),
    ("e", "guide without softmax", _kl_raw, "without its softmax"),
]  # fmt: skip
