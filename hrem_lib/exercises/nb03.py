"""Checks of notebook 03, connection and relevance (Sec 3.3.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hrem_lib import graph
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.exercises.probes import ask, expect_dtype, expect_gradient


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------- a: region-word similarity


def _similarity(regions: Tensor, words: Tensor) -> Tensor:
    return torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=-1), F.normalize(words, dim=-1))


def _similarity_loops(regions: Tensor, words: Tensor) -> Tensor:
    slow = regions.new_zeros(len(regions), len(words), regions.size(1), words.size(1))
    for i in range(len(regions)):
        for j in range(len(words)):
            for r in range(regions.size(1)):
                for w in range(words.size(1)):
                    a, b = regions[i, r], words[j, w]
                    slow[i, j, r, w] = (a @ b) / (a.norm() * b.norm())
    return slow


def check_a(fn) -> str:
    """`region_word_similarity(regions [B_img,R,D], words [B_txt,L,D]) -> [B_img,B_txt,R,L]`."""
    one, two = [[[2.0, 0.0], [0.0, 3.0]]], [[[1.0, 0.0], [3.0, 4.0]], [[0.0, -1.0], [1.0, 0.0]]]
    regions, words = torch.tensor(one), torch.tensor(two)
    got = ask(fn, regions, words)
    expect_shape(got, (1, 2, 2, 2), "similarity of 1 picture and 2 captions")
    wanted = torch.tensor([[[[1.0, 0.6], [0.0, 0.8]], [[0.0, 1.0], [-1.0, 0.0]]]])
    known = {
        "These are inner products without normalization: divide every fragment by its length first.": (
            torch.einsum("ird,jld->ijrl", regions, words)
        ),
        "The last two axes are word and region; wanted region, then word.": wanted.transpose(2, 3),
        "You normalized over the fragments; each fragment has its length over the last axis, D.": (
            torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=1), F.normalize(words, dim=1))
        ),
        "Only the regions are divided by their lengths; do the same with the words.": (
            torch.einsum("ird,jld->ijrl", F.normalize(regions, dim=-1), words)
        ),
        "Only the words are divided by their lengths; do the same with the regions.": (
            torch.einsum("ird,jld->ijrl", regions, F.normalize(words, dim=-1))
        ),
    }
    expect_close(got, wanted, "similarity", known, case=f"of the regions {one} and the words {two}")
    for sizes in ((3, 2, 4, 6), (2, 3, 1, 1)):
        images, texts, n, m = sizes
        regions, words = _random(images, n, 5), _random(texts, m, 5, seed=1)
        case = f"of {images} pictures of {n} and {texts} captions of {m} random fragments"
        expect_close(ask(fn, regions, words), _similarity_loops(regions, words), "similarity", case=case)
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


def _links(fn, scores: Tensor, share: float, case: str, known: dict[str, Tensor] | None = None) -> None:
    """Refuse a connection with a wrong number of links in a row, or with other links."""
    wanted, got = graph.connection(scores, share), ask(fn, scores, share)
    expect_shape(got, tuple(scores.shape), f"connection {case}")
    got = torch.as_tensor(got)
    expect_dtype(got, torch.bool, "connection")
    for text, values in (known or {}).items():
        if torch.equal(got, values):
            raise Wrong(text)
    rows, keep = got.sum(1).tolist(), int(wanted[0].sum())
    if set(rows) != {keep}:
        found = rows[0] if len(set(rows)) == 1 else rows if len(rows) <= 10 else f"{min(rows)} to {max(rows)}"
        raise Wrong(f"The rows keep {found} links {case}, wanted {keep} in each.", "counterexample")
    expect_close(got.double(), wanted.double(), "connection", case=case)


def check_b(fn) -> str:
    """`connection(scores [B,B], share) -> bool [B,B]`."""
    rows = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.1, 0.3, 0.0], [0.0, 0.1, 0.2, 0.3], [0.6, 0.1, 0.2, 0.5]]
    scores = torch.tensor(rows)
    known = {
        "You ranked the whole matrix: some rows keep more than two links, others fewer. Rank each row alone.": (
            _global(scores, 0.5)
        ),
        "You ranked the columns: row i must keep the nodes that i looks at.": _columns(scores, 0.5),
        "You kept the smallest scores; wanted the largest.": _least(scores, 0.5),
    }
    _links(fn, scores, 0.5, f"for share 0.5 and the scores {rows}", known)
    rows = [[0.5, 0.5, 0.5, 0.5], [0.1, 0.7, 0.7, 0.7], [0.0, 0.0, 0.0, 1.0], [0.3, 0.3, 0.2, 0.2]]
    _links(fn, torch.tensor(rows), 0.5, f"with ties (smaller index first; share 0.5 and the scores {rows})")
    rows = [[0.5, 0.5001, 0.5002, 0.5003]] * 4
    _links(fn, torch.tensor(rows), 0.5, f"where scores are close (share 0.5 and four rows {rows[0]})")
    if int(torch.as_tensor(ask(fn, torch.tensor([[-0.2]]), 0.5)).sum()) != 1:
        raise Wrong("A batch of one pair keeps no link, because floor(0.5 x 1) = 0; wanted at least one.")
    random = _random(10, 10)
    for share, floor in ((0.1, 1), (0.29, 2), (0.5, 5), (1.0, 10)):
        _links(fn, random, share, f"for B = 10 and share {share}, where floor({share} x 10) = {floor}")
    tied = torch.randint(4, (200, 200), generator=torch.Generator().manual_seed(1)) / 4
    _links(fn, tied, 0.3, "for 200 nodes with many ties (smaller index first)")
    return "Exactly max(1, floor(share x B)) links in each row, ties or not."


# ------------------------------------------------------------------------------------- c: the four blocks


def _assemble(i2i: Tensor, i2t: Tensor, t2i: Tensor, t2t: Tensor) -> Tensor:
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)])


def check_c(fn) -> str:
    """`assemble(i2i, i2t, t2i, t2t) -> [2B,2B]`, pictures first."""
    rows = [[[10 * n + 1.0, 10 * n + 2.0], [10 * n + 3.0, 10 * n + 4.0]] for n in (1, 2, 3, 4)]
    blocks = [torch.tensor(block) for block in rows]
    i2i, i2t, t2i, t2t = blocks
    got = ask(fn, *blocks)
    expect_shape(got, (4, 4), "assembled matrix of two pairs")
    known = {
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
        "The whole matrix is transposed: row = who looks.": _assemble(i2i, i2t, t2i, t2t).T,
    }
    names = ", ".join(f"{name} = {block}" for name, block in zip(("i2i", "i2t", "t2i", "t2t"), rows, strict=True))
    expect_close(got, _assemble(*blocks), "assembled matrix", known, case=f"of {names}")
    for size, case in ((1, "of one pair"), (3, "of three pairs")):
        blocks = [_random(size, size, seed=n) for n in range(4)]
        expect_close(ask(fn, *blocks), _assemble(*blocks), "assembled matrix", case=case)
    expect_dtype(ask(fn, *(block > 0 for block in blocks)), torch.bool, "assembled matrix of four bool blocks")
    expect_gradient(fn, _assemble, *blocks, by=1)
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


def _top_loop(best: Tensor, mask: Tensor, k: int) -> Tensor:
    slow = best.new_zeros(len(best), k)
    for i, row in enumerate(best):
        for place, value in enumerate(sorted(row[mask[i]].tolist(), reverse=True)[:k]):
            slow[i, place] = value
    return slow


def _top_known(best: Tensor, mask: Tensor, k: int) -> dict[str, Tensor]:
    index = best.masked_fill(~mask, -torch.inf).topk(min(k, best.size(1)), dim=1).indices
    return {
        "Padding got among the top matches: take only fragments whose mask is True.": _padding_counts(best, mask, k),
        "A zero stands where a real negative match belongs; zeros are for missing entries, at the end.": (
            _zeros_sorted(best, mask, k)
        ),
        "A zero for a missing entry stands before a real negative match; the zeros belong at the end.": (
            _top(best, mask, k).sort(dim=1, descending=True).values
        ),
        "Missing entries are -inf; wanted 0, because an MLP reads them.": _left_inf(best, mask, k),
        "The values go up; wanted the largest first.": _top(best, mask, k).flip(-1),
        "These are the places of the top matches (indices); wanted their values.": F.pad(index, (0, k - index.size(1))),
    }


def check_d(fn) -> str:
    """`top_matches(best [B,n], mask [B,n], k) -> [B,k]`."""
    yes, no = True, False
    hand = [[0.2, 0.9, -0.3, 0.5], [0.4, -0.1, 0.8, 0.7]], [[yes] * 4, [yes, yes, no, no]]
    for rows, real, k in (
        (*hand, 4),
        (*hand, 3),
        ([[0.1, 0.8, 0.5]], [[yes, no, yes]], 2),  # a batch of one, a mask that has a hole
        ([[-1.0, 0.3, 0.6]], [[yes, yes, no]], 3),
        ([[0.3, -0.2], [0.4, 0.5]], [[yes, yes], [no, no]], 2),
        ([[0.3, float("nan"), -0.2, float("inf")]], [[yes, no, yes, no]], 2),
    ):
        best, mask = torch.tensor(rows), torch.tensor(real)
        got = ask(fn, best, mask, k)
        expect_shape(got, (len(best), k), f"list of top matches for k = {k} and a batch of {len(best)}")
        case = f"for best {rows}, mask {real} and k = {k}"
        expect_close(got, _top_loop(best, mask, k), "list of top matches", _top_known(best, mask, k), case=case)
    best, mask = torch.tensor(hand[0]), torch.tensor(hand[1])
    try:
        short = ask(fn, best, mask, 6)  # fewer than k fragments in every sample
    except (RuntimeError, IndexError, ValueError) as error:
        text = " ".join(str(error).split())[:80]
        raise Wrong(f"With four fragments and k = 6 your code stops ({text}); wanted zeros up to k.") from None
    if getattr(short, "shape", None) == (2, 4):
        raise Wrong("With four fragments and k = 6 there are only 4 values; wanted zeros up to k.")
    known = _top_known(best, mask, 6)
    expect_close(short, _top(best, mask, 6), "list of top matches", known, case=f"for best {hand[0]} and k = 6")
    best, mask = _random(5, 7), torch.arange(7) < torch.tensor([[7], [1], [3], [6], [2]])
    case = "of five samples with 7, 1, 3, 6 and 2 of 7 random fragments"
    expect_close(ask(fn, best, mask, 4), _top_loop(best, mask, 4), "list of top matches", case=case)
    return "A caption of one word works, and so does a batch of short captions."


# ---------------------------------------------------------------------------------------------- e: the guide


def _kl_parts(scores: Tensor, guide: Tensor) -> Tensor:
    log_p, log_g = scores.log_softmax(1), guide.log_softmax(1)
    return log_p.exp() * (log_p - log_g)


def _kl(scores: Tensor, guide: Tensor) -> Tensor:
    return _kl_parts(scores, guide).sum(1).mean()


def _kl_columns(scores: Tensor, guide: Tensor) -> Tensor:
    return _kl(scores.T, guide.T)


def _kl_mean(scores: Tensor, guide: Tensor) -> Tensor:
    return _kl(scores, guide) / scores.size(1)


def _kl_raw(scores: Tensor, guide: Tensor) -> Tensor:
    log_p = scores.log_softmax(1)
    return (log_p.exp() * (log_p - guide.log())).sum(1).mean()


def check_e(fn) -> str:
    """`row_kl(scores [B,B], guide [B,B]) -> scalar`, KL(softmax(scores) || softmax(guide))."""
    rows = [[2.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.2, 0.9]], [[0.9, 0.3, 0.2], [0.3, 0.8, 0.4], [0.2, 0.4, 0.7]]
    scores, guide = torch.tensor(rows[0]), torch.tensor(rows[1])
    got = torch.as_tensor(ask(fn, scores, guide))
    if got.dim() != 0:
        raise Wrong(f"The result has shape {tuple(got.shape)}, wanted one number: the mean over rows.")
    one_row = _kl_parts(scores, guide)
    known = {
        "This is KL(guide || scores); wanted the learned scores first.": _kl(guide, scores),
        "You took the softmax over columns; wanted over each row.": _kl_columns(scores, guide),
        "You averaged over all entries; wanted the sum over a row, then the mean over rows.": _kl_mean(scores, guide),
        "The guide went in without its softmax: its rows do not add up to one.": _kl_raw(scores, guide),
        "You added the rows up; wanted their mean.": one_row.sum(),
        "You took the largest of the rows; wanted their mean.": one_row.sum(1).max(),
        "Logarithms to base 2; wanted natural ones.": _kl(scores, guide) / torch.tensor(2.0).log(),
        "You added the KL of the columns, as for both halves of (14); wanted that of the rows alone.": (
            _kl(scores, guide) + _kl_columns(scores, guide)
        ),
        "This is the cross-entropy: the row's own log p is missing beside log g.": -(
            scores.softmax(1) * guide.log_softmax(1)
        ).sum(1).mean(),
    }  # fmt: skip
    case = f"for scores {rows[0]} and guide {rows[1]}"
    expect_close(got, _kl(scores, guide), "KL", known, tol=1e-6, case=case)
    scores, guide = 3 * _random(6, 6), _random(6, 6, seed=1).abs()
    slow = 0.0
    for p_row, g_row in zip(scores.softmax(1), guide.softmax(1), strict=True):
        slow += sum(float(p * torch.log(p / g)) for p, g in zip(p_row, g_row, strict=True)) / 6
    expect_close(torch.as_tensor(ask(fn, scores, guide)), slow, "KL", case="of six random rows, against a loop")
    if abs(float(ask(fn, guide, guide))) > 1e-6:
        raise Wrong("A matrix against itself must give 0, whatever its values.")
    apart = torch.tensor([[0.0, 200.0], [200.0, 0.0]])
    if not torch.isfinite(far := torch.as_tensor(ask(fn, apart, guide[:2, :2].float()))):
        raise Wrong(f"For scores {apart.tolist()} you give {float(far)}: exp(-200) is 0 in float32; use log_softmax.")
    expect_close(torch.as_tensor(ask(fn, guide[:1, :1], scores[:1, :1])), 0.0, "KL", case="of a batch of one")
    expect_gradient(fn, _kl, scores, guide)
    return "Zero only where the two rows agree."


MISTAKES = [
    ("a", "not normalized", lambda r, w: torch.einsum("ird,jld->ijrl", r, w), "without normalization"),
    ("a", "word before region", lambda r, w: _similarity(r, w).transpose(2, 3), "word and region"),
    ("a", "normalized over fragments", lambda r, w: torch.einsum(
        "ird,jld->ijrl", F.normalize(r, dim=1), F.normalize(w, dim=1)), "over the fragments"),
    ("a", "only pairs", lambda r, w: torch.einsum("brd,bld->brl", r, w[:1]), "shape"),
    ("b", "global", _global, "whole matrix"),
    ("b", "columns", _columns, "ranked the columns"),
    ("b", "ties", _threshold, "with ties"),
    ("b", "batch of one", _no_floor, "batch of one"),
    ("b", "smallest", _least, "smallest"),
    ("b", "not bool", lambda s, share: graph.connection(s, share).float(), "torch.bool"),
    ("c", "t2i transposed", lambda a, b, c, d: _assemble(a, b, c.T, d), "t2i is transposed"),
    ("c", "exchanged", lambda a, b, c, d: _assemble(a, c, b, d), "have changed places"),
    ("c", "by column", lambda a, b, c, d: _assemble(a, c.T, b.T, d), "by column"),
    ("c", "copied", lambda a, b, c, d: _assemble(a, b, b.T, d), "copy of i2t"),
    ("c", "texts first", lambda a, b, c, d: _assemble(d, c, b, a), "images first"),
    ("d", "padding", _padding_counts, "Padding got among"),
    ("d", "zeros sorted in", _zeros_sorted, "real negative match"),
    ("d", "minus infinity", _left_inf, "-inf"),
    ("d", "ascending", lambda b, m, k: _top(b, m, k).flip(-1), "largest first"),
    ("d", "too short", _too_short, "zeros up to k"),
    ("e", "reversed", lambda s, g: _kl(g, s), "learned scores first"),
    ("e", "columns", _kl_columns, "over columns"),
    ("e", "mean of entries", _kl_mean, "averaged over all entries"),
    ("e", "guide without softmax", _kl_raw, "without its softmax"),
]  # fmt: skip
