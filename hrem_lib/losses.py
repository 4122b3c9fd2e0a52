"""Objective (Sec 3.4): triplet loss with distance-weighted negatives (13), VSE++ hinge, InfoNCE, and the named total.

Similarity is the cosine of unit-length embeddings. Rows of a similarity matrix are the anchors; the other direction is
its transpose. Every in-batch pair with the same image is a positive.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def distance_weights(
    similarity: Tensor, positive: Tensor, dim: int = 512, cutoff: float = 1.7, min_distance: float = 0.5
) -> Tensor:
    """Distance-weighted sampling law over the negatives of each row (Wu et al., ICCV 2017).

    `D = max(sqrt(2 - 2 s), min_distance)`, `log w = (2 - n) log D - (n - 3)/2 log(1 - D^2/4)`, admissible where
    D < cutoff and not positive; a softmax over the admissible ones, in log space and at least float32.
    Limit: with n = 512 (released code, whatever D is) the law is close to taking the hardest.

    Args:
        similarity: cosines, row = anchor [B,B]
        positive: same image, bool [B,B]
        dim: n of the formula
        cutoff, min_distance: on D, in [0, 2]
    Returns:
        probabilities [B,B]; a row without an admissible negative is all zeros
    """
    similarity = similarity.float() if similarity.dtype in (torch.float16, torch.bfloat16) else similarity
    distance = (2 - 2 * similarity).clamp(min=0).sqrt().clamp(min=min_distance)
    allowed = ~positive & (distance < cutoff)
    log_w = (2 - dim) * distance.log() - (dim - 3) / 2 * (1 - distance.square() / 4).clamp(min=1e-12).log()
    log_w = torch.where(allowed, log_w, -torch.inf)  # before the maximum, else an excluded pair can set it
    top = log_w.amax(1, keepdim=True)
    weights = torch.where(allowed, (log_w - top).exp(), 0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)


@torch.no_grad()
def draw_negatives(weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """One negative for each anchor in `rows`, drawn by the law in `weights`.

    Args:
        weights: probabilities [B,B], zero rows allowed
        rows: anchors, repeats allowed [P]
    Returns:
        column drawn [P]; whether the row had an admissible negative, bool [P]
    """
    law = weights[rows]
    found = law.sum(1) > 0
    law = torch.where(found[:, None], law, 1.0)
    return torch.multinomial(law, 1).squeeze(1), found


def _similarity(image_emb: Tensor, text_emb: Tensor) -> Tensor:
    """Cosines [B,B]; a product in half precision (autocast) goes on in float32, else the sum would have 8 bits."""
    product = image_emb @ text_emb.T
    return product.float() if product.dtype in (torch.float16, torch.bfloat16) else product


class PairLoss(NamedTuple):
    """One L(a, b) and what is worth watching about it."""

    loss: Tensor  # sum over positives and both directions, scalar
    positives: int  # (anchor, positive) pairs of one direction
    without_negative: Tensor  # rows without an admissible negative, both directions, scalar
    spread: Tensor  # see `spread`, scalar
    level: float | Tensor  # what it costs when all embeddings are alike; triplet and hinge: 2 x positives x margin


@torch.no_grad()
def spread(similarity: Tensor) -> Tensor:
    """How far apart an anchor's candidates are: standard deviation in a row, mean over rows, of the flatter direction.

    0 when all images, or all texts, have one embedding: then every candidate looks alike to an anchor.

    Args:
        similarity: cosines [B,B]
    """
    s = similarity.float()
    return torch.minimum(s.std(1, correction=0).mean(), s.std(0, correction=0).mean())


def triplet(
    image_emb: Tensor,
    text_emb: Tensor,
    image_ids: Tensor,
    margin: float = 0.2,
    dim: int = 512,
    cutoff: float = 1.7,
    min_distance: float = 0.5,
    draws: int = 1,
    draw=draw_negatives,
) -> PairLoss:
    """Equation (13): `[margin - s(a, p) + s(a, n)]_+` summed over both directions and all (anchor, positive) pairs.

    One negative is drawn for each pair (the paper); of several draws the mean counts. A row without an admissible
    negative contributes nothing and takes nothing away from the others.

    Args:
        image_emb, text_emb: unit length [B,D]
        image_ids: equal where two pairs show the same image [B]
        margin: alpha
        dim, cutoff, min_distance: see `distance_weights`
        draws: negatives for each pair
        draw: how negatives are drawn from the law
    """
    similarity = _similarity(image_emb, text_emb)
    positive = image_ids[:, None] == image_ids[None, :]
    anchors, matches = positive.nonzero().repeat(draws, 1).T  # [draws P], P >= B
    total, missing = similarity.new_zeros(()), 0
    for scores in (similarity, similarity.T):  # i2t, t2i; `positive` is symmetric
        weights = distance_weights(scores.detach(), positive, dim, cutoff, min_distance)
        negatives, found = draw(weights, anchors)
        violation = F.relu(margin - scores[anchors, matches] + scores[anchors, negatives])
        total = total + torch.where(found, violation, 0).sum() / draws
        missing = missing + (weights.sum(1) == 0).sum()
    pairs = anchors.numel() // draws
    return PairLoss(total, pairs, missing, spread(similarity), 2 * pairs * margin)


def hinge(
    image_emb: Tensor,
    text_emb: Tensor,
    image_ids: Tensor,
    margin: float = 0.2,
    hardest: bool = True,
    exclude_same_image: bool = True,
) -> PairLoss:
    """VSE++ hinge: the sum over all negatives, or the hardest one of each row and column; summed over the batch.

    Args:
        image_emb, text_emb: unit length [B,D]
        image_ids: equal where two pairs show the same image [B]
        margin: alpha
        hardest: take the hardest negative only
        exclude_same_image: pairs of the same image are no negatives
    """
    similarity = _similarity(image_emb, text_emb)
    size = similarity.size(0)
    own = torch.eye(size, dtype=torch.bool, device=similarity.device)
    excluded = (image_ids[:, None] == image_ids[None, :]) if exclude_same_image else own
    total = similarity.new_zeros(())
    for scores in (similarity, similarity.T):
        cost = F.relu(margin + scores - scores.diagonal()[:, None]).masked_fill(excluded, 0)
        total = total + (cost.amax(1) if hardest else cost).sum()
    return PairLoss(total, size, 2 * excluded.all(1).sum(), spread(similarity), 2 * size * margin)


def infonce(
    image_emb: Tensor, text_emb: Tensor, image_ids: Tensor, logit_scale: Tensor, exclude_same_image: bool = True
) -> PairLoss:
    """InfoNCE as in CLIP (Radford et al., ICML 2021, Sec 2.3): cross-entropy of the right candidate, both directions.

    `- log softmax_j(exp(t) s(i, j))[i]`, summed over the batch and both directions like the other losses (CLIP
    takes the mean; the gradient's norm is clipped). It is not part of HREM.

    Args:
        image_emb, text_emb: unit length [B,D]
        image_ids: equal where two pairs show the same image [B]
        logit_scale: t, log of the inverse temperature, learned, scalar; at most log 100, as in CLIP
        exclude_same_image: the other pairs of the same image are no candidates
    """
    similarity = _similarity(image_emb, text_emb)
    size = similarity.size(0)
    own = torch.eye(size, dtype=torch.bool, device=similarity.device)
    excluded = (image_ids[:, None] == image_ids[None, :]) & ~own & exclude_same_image
    logits = (similarity * logit_scale.clamp(max=math.log(100)).exp()).masked_fill(excluded, -torch.inf)
    right = torch.arange(size, device=similarity.device)
    total = sum(F.cross_entropy(scores, right, reduction="sum") for scores in (logits, logits.T))
    candidates = (~excluded).sum(1)
    level = 2 * candidates.float().log().sum()
    return PairLoss(total, size, 2 * (candidates == 1).sum(), spread(similarity), level)  # pyright: ignore[reportArgumentType]  # a sum of two tensors


def at_collapse(pair: PairLoss, margin: float) -> Tensor:
    """Whether L(a, b) stands where it stands when all embeddings are alike, and they are; bool scalar.

    The loss is within 2 % of `PairLoss.level`, and the similarities of an anchor's candidates differ by less than
    a hundredth of the margin (measured: 1.8 hundredths and more while a model learns, 0.7 and less after a
    collapse). The loss alone does not tell: a law that draws negatives about as near as the positive (n = 512, the
    hardest) holds a model that learns at that level for hundreds of steps.
    """
    return ((pair.loss.detach() - pair.level).abs() < 0.02 * pair.level) & (pair.spread < margin / 100)


class Objective(NamedTuple):
    """The whole objective of a step, by named terms; settings are those of `hrem_lib.config.LossConfig`."""

    initial: str = "triplet"
    enhanced: str = "triplet"
    terms: tuple[str, ...] = ("initial", "enhanced", "crossed")
    regularizer_weight: float = 10.0
    margin: float = 0.2
    cutoff: float = 1.7
    min_distance: float = 0.5
    sampling_dim: int = 512
    exclude_same_image: bool = True
    draws: int = 1
    logit_scale: Tensor | None = None  # of `infonce`, the model's

    def pair(self, kind: str, image_emb: Tensor, text_emb: Tensor, image_ids: Tensor, hardest: bool) -> PairLoss:
        """One L(a, b) of the chosen kind, "triplet", "hinge" or "infonce"."""
        if kind == "triplet":
            law = (self.sampling_dim, self.cutoff, self.min_distance)
            return triplet(image_emb, text_emb, image_ids, self.margin, *law, self.draws)
        if kind == "infonce":
            return infonce(image_emb, text_emb, image_ids, self.logit_scale, self.exclude_same_image)  # pyright: ignore[reportArgumentType]  # a model with infonce has it
        if kind == "hinge":
            return hinge(image_emb, text_emb, image_ids, self.margin, hardest, self.exclude_same_image)
        raise ValueError(f"loss {kind!r}: no function for it")

    def __call__(
        self,
        image_emb: Tensor,
        text_emb: Tensor,
        image_ids: Tensor,
        image_emb_rel: Tensor | None = None,
        text_emb_rel: Tensor | None = None,
        regularizer: Tensor | None = None,
        hardest: bool = True,
    ) -> tuple[dict[str, Tensor], dict[str, PairLoss]]:
        """`L(v,u) + L(v̄,ū) + L(v̄,u) + L(v,ū) + weight L_reg`; without enhanced embeddings (warm-up) `L(v,u)` alone.

        Args:
            image_emb, text_emb: v, u [B,D]
            image_ids: [B]
            image_emb_rel, text_emb_rel: v̄, ū [B,D], or None before the relation part starts
            regularizer: L_reg
            hardest: see `hinge`
        Returns:
            weighted terms to be added up, by name (`initial`, `enhanced`, `crossed_image`, `crossed_text`,
            `regularizer`); the `PairLoss` of each L
        """
        pairs: dict[str, PairLoss] = {}
        v, u = image_emb, text_emb
        if image_emb_rel is None:
            pairs["initial"] = self.pair(self.initial, v, u, image_ids, hardest)
            return {name: p.loss for name, p in pairs.items()}, pairs
        v_rel, u_rel = image_emb_rel, text_emb_rel
        if "initial" in self.terms:
            pairs["initial"] = self.pair(self.initial, v, u, image_ids, hardest)
        if "enhanced" in self.terms:
            pairs["enhanced"] = self.pair(self.enhanced, v_rel, u_rel, image_ids, hardest)  # pyright: ignore[reportArgumentType]  # with image_emb_rel
        if "crossed" in self.terms:
            pairs["crossed_image"] = self.pair(self.enhanced, v_rel, u, image_ids, hardest)
            pairs["crossed_text"] = self.pair(self.enhanced, v, u_rel, image_ids, hardest)  # pyright: ignore[reportArgumentType]  # with image_emb_rel
        terms = {name: p.loss for name, p in pairs.items()}
        if self.regularizer_weight:
            terms["regularizer"] = self.regularizer_weight * regularizer  # pyright: ignore[reportOperatorIssue]  # with image_emb_rel
        return terms, pairs
