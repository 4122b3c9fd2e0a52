"""Attention that can hand out the weights it used and takes an additive bias: equations (1) and (12).

Parameters carry the names and shapes of `torch.nn.MultiheadAttention` and `torch.nn.TransformerEncoderLayer`,
so their weights (and the authors') load unchanged. PyTorch's own layers give no per-head weights in their fast path,
and the encoder layer gives none at all; pictures of attention must come from the forward pass that is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Packing:
    """Real fragments of a padded batch one after the other: [B,n,D] <-> [T,D], T = number of real fragments.

    What a layer does to each fragment by itself is then done to real ones only; a third of a batch is padding. On a GPU
    nothing is packed: to count the real fragments the host would have to wait for the device.

    Args:
        mask: True where real [B,n]; None or all True: nothing to leave out
    """

    def __init__(self, mask: Tensor | None):
        self.mask, self.rows = mask, None
        if mask is not None and mask.device.type == "cpu":
            self.rows = mask.flatten().nonzero().squeeze(1)
            if len(self.rows) == mask.numel():
                self.mask = self.rows = None

    def pack(self, x: Tensor) -> Tensor:
        """[B,n,D] -> [T,D]"""
        return x if self.rows is None else x.flatten(0, 1).index_select(0, self.rows)

    def unpack(self, x: Tensor) -> Tensor:
        """[T,D] -> [B,n,D], zeros where there is padding"""
        if self.rows is None:
            return x
        return x.new_zeros(self.mask.numel(), x.size(-1)).index_copy_(0, self.rows, x).unflatten(0, self.mask.shape)  # pyright: ignore[reportOptionalMemberAccess]  # rows come with a mask


class MultiheadAttention(nn.Module):
    """`softmax(Q K^T / sqrt(d_k) + bias) V`, H heads: (12) with `bias` = lambda S where A = 1, -inf elsewhere,
    as `interaction.additive_mask` makes it.

    A row whose keys are all excluded attends to nothing (output of the heads is zero), it does not become NaN.

    Args:
        dim: D, width of queries, keys, values and output
        heads: H
        dropout: on the attention weights, in training
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads: got {heads}, wanted a divisor of dim = {dim}")
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        key_mask: Tensor | None = None,
        bias: Tensor | None = None,
        return_weights: bool = False,
        packing: Packing | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `query` to `key` (which also gives the values).

        Args:
            query: rows that look [B,n,D]
            key: columns that are looked at [B,m,D]
            key_mask: True where real [B,m]
            bias: added to the scores, the same for all heads [n,m] or [B,n,m]; -inf excludes
            return_weights: hand out the weights that were used (slower path, same numbers)
            packing: query, key and output are packed, [T,D] in place of [B,n,D]; its mask is `key_mask`
        Returns:
            output [B,n,D]; weights [B,H,n,m] (after dropout) or None
        """
        dim, packing = query.size(-1), packing or Packing(None)
        if query is key:
            qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            q, k, v = packing.unpack(qkv).chunk(3, dim=-1)
        else:
            q = F.linear(query, self.in_proj_weight[:dim], self.in_proj_bias[:dim])
            k, v = F.linear(key, self.in_proj_weight[dim:], self.in_proj_bias[dim:]).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))  # [B,H,n,D/H]
        additive = _additive(key_mask, bias, q.dtype)
        dropout = self.dropout if self.training else 0.0
        if return_weights:
            scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5  # [B,H,n,m]
            weights = _softmax(scores if additive is None else scores + additive)
            weights = F.dropout(weights, dropout)
            mixed = weights @ v
        else:
            weights = None
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=additive, dropout_p=dropout)
        mixed = mixed.transpose(1, 2).flatten(-2)  # [B,H,n,D/H] -> [B,n,D]
        return self.out_proj(packing.pack(mixed)), weights


def _additive(key_mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """One additive tensor that broadcasts to [B,H,n,m] from the two ways to exclude a key."""
    if bias is not None:
        bias = bias.to(dtype)[None, None] if bias.dim() == 2 else bias.to(dtype)[:, None]  # [.,1,n,m]
    if key_mask is None:
        return bias
    if bias is None:
        bias = torch.zeros((), dtype=dtype, device=key_mask.device)
    return torch.where(key_mask[:, None, None, :], bias, -torch.inf)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension; a row of -inf gives zeros, as the fused kernel does."""
    empty = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.masked_fill(empty, 0).softmax(-1).masked_fill(empty, 0)


class EncoderLayer(nn.Module):
    """Post-norm Transformer encoder layer with ReLU: (1), and with `bias` the layer of (12).

    Args:
        dim: D
        heads: H
        hidden: width of the feed-forward part (D in this method)
        dropout: after attention, in and after the feed-forward part, on the attention weights
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float = 0.1):
        super().__init__()
        self.self_attn = MultiheadAttention(dim, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """One layer over a sequence.

        Args:
            x: [B,n,D]
            mask: True where real [B,n]
            bias: additive, see `MultiheadAttention`
            return_weights: hand out the attention weights
        Returns:
            output [B,n,D], of no meaning where there is padding; weights [B,H,n,n] or None
        """
        packing = Packing(mask)
        x = packing.pack(x)
        attended, weights = self.self_attn(x, x, packing.mask, bias, return_weights, packing)
        x = self.norm1(x + self.dropout(attended))
        x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return packing.unpack(x), weights

    def feed_forward(self, x: Tensor) -> Tensor:
        """Two linear layers with ReLU between, [..., D] -> [..., D]."""
        return self.linear2(self.dropout(F.relu(self.linear1(x))))
