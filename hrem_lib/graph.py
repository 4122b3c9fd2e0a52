"""Cross-embedding association graph: connection A and relevance S over the 2B nodes of a batch (Sec 3.3.1).

Images come first. Row = the node that attends, column = the node attended to. Blocks: i2i, i2t, t2i, t2t, so that
`i2t[i, j]` is image i looking at text j and `t2i[j, i]` is text j looking at image i.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrem_lib.encoders import Encoded

_BUFFER = 2**19  # similarities held at a time by `match`: 2 MiB in float32, so that they stay in the cache


class Matches(NamedTuple):
    """Fragment matching between all images and texts of a batch, without gradient."""

    match_i2t: Tensor  # p, mean over the regions of image i of their best word in text j [B,B]
    match_t2i: Tensor  # p, mean over the words of text j of their best region in image i [B,B], row = text
    top_i2t: Tensor  # q, the K largest maxima of the regions, descending, zeros at the end [B,B,K]
    top_t2i: Tensor  # q, the same for the words [B,B,K], row = text


class Graph(NamedTuple):
    """A and S over images, then texts, with what they were made of."""

    connection: Tensor  # A, bool [2B,2B]
    relevance: Tensor  # S [2B,2B]
    matches: Matches
    regularizer: Tensor  # L_reg of (14), scalar

    def block(self, name: str, what: str = "relevance") -> Tensor:
        """One of the four blocks `i2i i2t t2i t2t` [B,B] of `relevance` or `connection`."""
        half = self.connection.size(0) // 2
        rows, columns = name.split("2")
        side = {"i": slice(0, half), "t": slice(half, None)}
        return getattr(self, what)[side[rows], side[columns]]


@torch.no_grad()
def match(
    regions: Tensor,
    words: Tensor,
    region_mask: Tensor,
    word_mask: Tensor,
    top_k: int,
    matching: str = "scan",
) -> Matches:
    """Fragment matching (6) and its K largest maxima (8), for all B_img x B_txt pairs; padding has no influence.

    `scan` (released code): the cosine goes through LeakyReLU(0.1); before the maximum over words it is L2-normalized
    over the regions, before the maximum over regions over the words. `cosine`: the plain cosine of the paper's (6).
    Images are taken in chunks, so that memory does not grow with B_img.

    Args:
        regions: R before self-attention [B_img,R,D]
        words: C before self-attention [B_txt,L,D]
        region_mask, word_mask: True where real [B_img,R], [B_txt,L]
        top_k: K
        matching: "scan" or "cosine"
    Returns:
        `Matches`, [B_img,B_txt] for i2t and [B_txt,B_img] for t2i
    """
    # zeros where masked: padding then adds nothing to a norm, whatever stood there
    regions = torch.where(region_mask[..., None], F.normalize(regions, dim=-1), 0).transpose(0, 1)  # [R,B,D]
    words = torch.where(word_mask[..., None], F.normalize(words, dim=-1), 0).transpose(0, 1)  # [L,B,D]
    region_mask, word_mask = region_mask.T, word_mask.T  # [R,B], [L,B]
    # fragments first, samples last: every maximum and sum then runs over whole contiguous rows
    step = max(1, _BUFFER // (len(regions) * word_mask.numel()))
    parts = [
        _match_chunk(r, m, words, word_mask, top_k, matching)
        for r, m in zip(regions.split(step, 1), region_mask.split(step, 1), strict=True)
    ]
    match_i2t, match_t2i, top_i2t, top_t2i = (torch.cat(part) for part in zip(*parts, strict=True))
    return Matches(match_i2t, match_t2i.T, top_i2t, top_t2i.transpose(0, 1))


def _match_chunk(
    regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor, top_k: int, matching: str
) -> tuple[Tensor, ...]:
    """`match` for c images, fragments first: regions [R,c,D], words [L,B,D], masks alike -> [c,B] and [c,B,K]."""
    similarity = regions.flatten(0, 1) @ words.flatten(0, 1).T  # [Rc,LB]
    similarity = similarity.view(*region_mask.shape, *word_mask.shape)  # [R,c,L,B]
    for_words = for_regions = similarity
    if matching == "scan":
        similarity = F.leaky_relu_(similarity, 0.1)
        square = similarity.square()
        for_words = similarity / square.sum(0).sqrt().clamp(min=1e-12)
        for_regions = similarity / square.sum(2, keepdim=True).sqrt().clamp(min=1e-12)
    best_word = for_words.masked_fill(~word_mask, -torch.inf).amax(2)  # q_max I->T [R,c,B]
    best_region = for_regions.masked_fill(~region_mask[..., None, None], -torch.inf).amax(0)  # [c,L,B]
    best_word = best_word.movedim(0, 2)  # [c,B,R]
    best_region = best_region.transpose(1, 2)  # [c,B,L]
    rows = region_mask.T[:, None].expand_as(best_word)
    columns = word_mask.T[None].expand_as(best_region)
    return (
        _mean(best_word, rows),
        _mean(best_region, columns),
        _top(best_word, rows, top_k),
        _top(best_region, columns, top_k),
    )


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0).sum(-1) / mask.sum(-1)


def _top(values: Tensor, mask: Tensor, k: int) -> Tensor:
    """The k largest valid values of the last dimension, descending; missing entries are zeros at the end."""
    top = values.masked_fill(~mask, -torch.inf).topk(min(k, values.size(-1)), dim=-1).values
    return F.pad(top.masked_fill(top == -torch.inf, 0), (0, k - top.size(-1)))


@torch.no_grad()
def connection(scores: Tensor, share: float) -> Tensor:
    """Connection of one block, (5) and (7): each row keeps its max(1, floor(rho B)) largest scores; ties go by index.

    Args:
        scores: row = the node that attends [B,B]
        share: rho
    Returns:
        bool [B,B], exactly max(1, floor(rho B)) ones in each row
    """
    keep = max(1, math.floor(share * scores.size(1) + 1e-9))  # 0.29 x 100 is 28.999... in floating point
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :keep]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


def distance_relevance(a: Tensor, b: Tensor, sigma: float) -> Tensor:
    """`exp(-||a_i - b_j|| / sigma)`: (10), and the guide G of (14).

    Differences are taken directly: the matrix-product form of the distance is off by up to 1e-3 at zero.
    The gradient at distance 0 is zero.

    Args:
        a, b: unit-length embeddings [B,D]
        sigma: distance scale
    Returns:
        [B,B] in (0, 1]
    """
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-distance / sigma)


def relevance_regularizer(relevance_i2t: Tensor, relevance_t2i: Tensor, guide: Tensor) -> Tensor:
    """Equation (14): KL(softmax(S_I2T) || softmax(G)) + KL(softmax(S_T2I) || softmax(G^T)), mean over rows.

    Args:
        relevance_i2t, relevance_t2i: inter-modal blocks of S [B,B]
        guide: G, row = image [B,B]; no gradient reaches it
    Returns:
        scalar
    """
    total = relevance_i2t.new_zeros(())
    for scores, target in ((relevance_i2t, guide.detach()), (relevance_t2i, guide.detach().T)):
        log_p, log_g = scores.log_softmax(1), target.log_softmax(1)
        total = total + (log_p.exp() * (log_p - log_g)).sum(1).mean()
    return total


class AssociationGraph(nn.Module):
    """Builds A and S of a batch (Sec 3.3.1); its only weights are the two MLPs of (9).

    Args:
        top_k: K of (8)
        share: rho of (5)(7)
        matching: "scan" or "cosine", see `match`
        sigma: distance scale of (10)(14)
    """

    def __init__(self, top_k: int = 10, share: float = 0.5, matching: str = "scan", sigma: float = 1.0):
        super().__init__()
        self.top_k, self.share, self.matching, self.sigma = top_k, share, matching, sigma
        self.mlp_i2t, self.mlp_t2i = (
            nn.Sequential(nn.Linear(top_k, top_k), nn.ReLU(), nn.Linear(top_k, 1)) for _ in range(2)
        )
        self.mlp_t2i.load_state_dict(self.mlp_i2t.state_dict())

    def forward(self, images: Encoded, texts: Encoded) -> Graph:
        """Encoded images and texts of the same B pairs -> `Graph`.

        Gradient flows into the intra-modal relevance and the MLPs, not into the connection nor the matching.
        """
        if images.emb.size(0) != texts.emb.size(0):
            raise ValueError(f"graph: got {images.emb.size(0)} images and {texts.emb.size(0)} texts, wanted pairs")
        found = match(images.fragments, texts.fragments, images.mask, texts.mask, self.top_k, self.matching)
        dtype = images.emb.dtype
        s_i2t = self.mlp_i2t(found.top_i2t.to(dtype)).squeeze(-1) + found.match_i2t  # (9) [B,B]
        s_t2i = self.mlp_t2i(found.top_t2i.to(dtype)).squeeze(-1) + found.match_t2i
        s_i2i = distance_relevance(images.emb, images.emb, self.sigma)  # (10)
        s_t2t = distance_relevance(texts.emb, texts.emb, self.sigma)
        guide = distance_relevance(images.emb.detach(), texts.emb.detach(), self.sigma)
        a_i2i = connection(images.emb @ images.emb.T, self.share)  # (5)
        a_t2t = connection(texts.emb @ texts.emb.T, self.share)
        a_i2t = connection(found.match_i2t, self.share)  # (7)
        a_t2i = connection(found.match_t2i, self.share)
        return Graph(
            connection=_assemble(a_i2i, a_i2t, a_t2i, a_t2t),
            relevance=_assemble(s_i2i, s_i2t, s_t2i, s_t2t),
            matches=found,
            regularizer=relevance_regularizer(s_i2t, s_t2i, guide),
        )


def _assemble(i2i: Tensor, i2t: Tensor, t2i: Tensor, t2t: Tensor) -> Tensor:
    """(4): four blocks [B,B] -> [2B,2B], images first."""
    return torch.cat([torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)])
