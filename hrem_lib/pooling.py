"""Pooling of fragments into one embedding: equations (2) and (3), Sec 3.2.

Every function treats each sample alone: neither padding nor the batch mates change a result.
"""

from __future__ import annotations

import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """L2 normalization of the last dimension, x / (||x|| + 1e-8), [..., D] -> [..., D]; a zero vector stays zero."""
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-8)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid fragments: AvgPool of (2)(3).

    Args:
        x: fragments [B,n,D]
        mask: True where real [B,n], at least one a row
    Returns:
        means [B,D]
    """
    weights = mask.to(x.dtype) / mask.sum(1, keepdim=True).to(x.dtype)
    # where, not a product: whatever stands in the padding (NaN included) has no influence
    x = torch.where(mask[..., None], x, 0)
    return torch.einsum("bn,bnd->bd", weights, x)


def masked_max_k(x: Tensor, mask: Tensor, k: int) -> Tensor:
    """Mean of the k largest values of each dimension over the valid fragments: MaxPool of (2)(3).

    A sample with fewer than k fragments takes the mean over those it has; other samples keep their k.

    Args:
        x: fragments [B,n,D]
        mask: True where real [B,n], at least one a row
        k: how many values; k = 1 is the maximum
    Returns:
        pooled values [B,D]
    """
    with torch.no_grad():
        rest = x.masked_fill(~mask[..., None], -torch.inf)
        picks = []
        for _ in range(min(k, x.size(1))):  # k passes of max are much faster than a sort along n
            picks.append(rest.max(1).indices)  # [B,D]; four times faster than argmax on a CPU
            rest.scatter_(1, picks[-1][:, None], -torch.inf)
        order = torch.stack(picks, 1)  # [B,k,D]
        count = mask.sum(1).clamp(max=order.size(1))  # [B]
        weights = (torch.arange(order.size(1), device=x.device) < count[:, None]).to(x.dtype) / count[:, None]
    values = x.gather(1, order)  # [B,k,D]; beyond `count` a masked fragment may be picked, with weight 0
    values = torch.where(weights[..., None] > 0, values, 0)
    return torch.einsum("bk,bkd->bd", weights, values)


def residual_mix(fragments: Tensor, context: Tensor, mask: Tensor, mix: float, k: int) -> Tensor:
    """Equations (2)(3): `beta MaxPool(R) + (1 - beta) AvgPool(R^V)`, before the L2 normalization.

    Args:
        fragments: R or C, before self-attention [B,n,D]
        context: R^V or C^U, after self-attention [B,n,D]
        mask: True where real [B,n]
        mix: beta, share of max pooling
        k: see `masked_max_k`
    Returns:
        pooled embedding [B,D], not normalized
    """
    return mix * masked_max_k(fragments, mask, k) + (1 - mix) * masked_mean(context, mask)
