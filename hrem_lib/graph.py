"""Cross-embedding association graph: connection A and relevance S over the 2B nodes of a batch (Sec 3.3.1).

Images come first. Row = the node that attends, column = the node attended to. Blocks: i2i, i2t, t2i, t2t, so that
`i2t[i, j]` is image i looking at text j and `t2i[j, i]` is text j looking at image i.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrem_lib.encoders import Encoded

# images x texts that `match` takes at a time: 64 x 32 pairs of 36 x 14 fragments are 4 MiB, which stay in the cache
_TILE, _TILE_GPU = (64, 32), (256, 256)


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
    A bfloat16 product (autocast) is taken further in float32. Done in tiles of images x texts: the similarities
    of all fragments are never held at once; samples of like length share a tile, and little of it is padding.

    Args:
        regions: R before self-attention [B_img,R,D]
        words: C before self-attention [B_txt,L,D]
        region_mask, word_mask: True where real [B_img,R], [B_txt,L]
        top_k: K
        matching: "scan" or "cosine"
    Returns:
        `Matches`, [B_img,B_txt] for i2t and [B_txt,B_img] for t2i
    """
    image_step, text_step = _TILE if regions.device.type == "cpu" else _TILE_GPU
    dtype = torch.promote_types(regions.dtype, torch.float32)
    best_word = torch.full((regions.size(1), len(words), len(regions)), -torch.inf, dtype=dtype, device=regions.device)
    best_region = torch.full((words.size(1), len(words), len(regions)), -torch.inf, dtype=dtype, device=regions.device)
    texts = list(_groups(words, word_mask, text_step))
    for image, region, region_bias in _groups(regions, region_mask, image_step):
        for text, word, word_bias in texts:
            similarity = word.flatten(0, 1) @ region.flatten(0, 1).T  # [Lt,Ri]; t texts, i images
            similarity = similarity.to(dtype).view(*word_bias.shape, *region_bias.shape)  # [L,t,R,i]
            of_region, of_word = _match_tile(similarity, region_bias, word_bias, matching)
            best_word[: len(region), text[:, None], image] = of_region.movedim(1, 0)
            best_region[: len(word), text[:, None], image] = of_word
    (match_i2t, top_i2t), (match_t2i, top_t2i) = _mean_and_top(best_word, top_k), _mean_and_top(best_region, top_k)
    return Matches(match_i2t.T, match_t2i, top_i2t.transpose(0, 1), top_t2i)


def _groups(fragments: Tensor, mask: Tensor, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Samples [B,n,D] in groups of like length, cut to the longest: numbers [b], unit fragments [n,b,D], bias.

    Real fragments come first; the others are zero and have -inf in the bias [n,b]. On a GPU nothing is sorted or cut:
    lengths would have to be read by the host.
    """
    order, longest = torch.arange(len(mask), device=mask.device), [mask.size(1)] * len(mask)
    if mask.device.type == "cpu":
        lengths, order = mask.sum(1).sort()
        longest = lengths.tolist()
    real_first = mask.int().argsort(dim=1, descending=True, stable=True)  # [B,n]
    for start in range(0, len(mask), step):
        samples = order[start : start + step]
        place = real_first[samples, : longest[start + len(samples) - 1]].T  # [n,b]
        real = mask[samples, place]
        unit = F.normalize(fragments[samples, place], dim=-1)
        bias = torch.where(real, 0.0, -torch.inf).to(torch.promote_types(unit.dtype, torch.float32))
        # zeros: padding then adds nothing to a norm, whatever stood there
        yield samples, unit.masked_fill_(~real[..., None], 0), bias


def _match_tile(similarity: Tensor, region_bias: Tensor, word_bias: Tensor, matching: str) -> tuple[Tensor, Tensor]:
    """Best word of each region [t,R,i], best region of each word [L,t,i]; -inf where there is padding.

    Args:
        similarity: cosines [L,t,R,i], overwritten; images last: each pass goes over long rows
        region_bias, word_bias: 0 where real, else -inf [R,i], [L,t]
    """
    word_bias = word_bias[..., None, None]
    per_region = per_word = similarity.new_ones(())
    if matching == "scan":
        F.leaky_relu_(similarity, 0.1)
        square = similarity.square()
        per_region = square.sum(0).sqrt_().clamp_(min=1e-12).reciprocal_()  # over the words [t,R,i]
        per_word = square.sum(2, keepdim=True).sqrt_().clamp_(min=1e-12).reciprocal_()  # over the regions [L,t,1,i]
    best_word = torch.addcmul(word_bias, similarity, per_word).amax(0)
    best_region = torch.addcmul(region_bias, similarity, per_region).amax(2)
    return best_word + region_bias, best_region + word_bias[..., 0]


def _mean_and_top(best: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """p and q of best matches [n,...] (-inf: none): mean [...] and the k largest [...,k], zeros at the end."""
    missing = best == -torch.inf
    mean = best.masked_fill(missing, 0).sum(0) / (~missing).sum(0)
    top = _largest(best, min(k, len(best)))
    return mean, F.pad(top.masked_fill(top == -torch.inf, 0), (0, k - top.size(-1)))


def _largest(values: Tensor, k: int) -> Tensor:
    """The k largest along the first dimension, descending, [n,...] -> [...,k]."""
    if values.device.type != "cpu":
        return values.topk(k, dim=0).values.movedim(0, -1)
    top: list[Tensor] = []
    for value in values:  # put into the sorted list, all pairs at once: 3 times faster than topk of many short columns
        for place, held in enumerate(top):
            top[place], value = torch.maximum(held, value), torch.minimum(held, value)
        if len(top) < k:
            top.append(value)
    return torch.stack(top, -1)


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
