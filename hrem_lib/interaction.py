"""Relation interaction: the 2B embeddings of a batch attend to each other under A and S (Sec 3.3.2, equation (12)).

lambda S and -inf become one bias here (`additive_mask`). Training only: at inference an embedding never meets its
batch mates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrem_lib.attention import EncoderLayer, MultiheadAttention
from hrem_lib.graph import Graph


def additive_mask(connection: Tensor, relevance: Tensor, weight: float) -> Tensor:
    """`lambda S` where A = 1, -inf elsewhere: what (12) adds to the scores, the same for all heads.

    With weight = 0 it is plain masked attention. Four nodes, A = [1 0; 1 1] in a block, S = 0.8, lambda = 1:

        [[0.8, -inf],
         [0.8,  0.8]]

    Args:
        connection: A, bool [n,m]
        relevance: S, finite [n,m]
        weight: lambda
    Returns:
        [n,m], with gradient to `relevance`
    """
    # not `weight * where(...)`: 0 x -inf is NaN
    return torch.where(connection, weight * relevance, -torch.inf)


def graph_bias(graph: Graph, weight: float, use_connection: bool = True, use_relevance: bool = True) -> Tensor:
    """The additive mask of a whole graph [2B,2B]; A or S can be switched off (ablations of Tab. 3)."""
    connection = graph.connection if use_connection else torch.ones_like(graph.connection)
    return additive_mask(connection, graph.relevance, weight if use_relevance else 0.0)


class Fusion(nn.Module):
    """Fusion mechanism, Fig. 4b: images and texts are one sequence of 2B tokens under the whole graph.

    Args:
        dim: D
        heads: H
        layers: L encoder layers, feed-forward width D
        dropout: see `EncoderLayer`
    """

    def __init__(self, dim: int, heads: int, layers: int = 1, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, dim, dropout) for _ in range(layers))

    def forward(
        self, image_emb: Tensor, text_emb: Tensor, bias: Tensor, return_weights: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Relation-enhanced embeddings.

        Args:
            image_emb, text_emb: v and u [B,D]
            bias: from `additive_mask` [2B,2B]
            return_weights: also hand out the attention used
        Returns:
            v̄ and ū, unit length [B,D]; one [H,2B,2B] a layer, or an empty list
        """
        x, used = torch.cat([image_emb, text_emb])[None], []  # 2 x [B,D] -> [1,2B,D]
        for layer in self.layers:
            x, weights = layer(x, bias=bias, return_weights=return_weights)
            if return_weights:
                used.append(weights[0])
        image_rel, text_rel = F.normalize(x[0], dim=-1).chunk(2)  # [2B,D] -> 2 x [B,D]
        return image_rel, text_rel, used


class StandaloneLayer(nn.Module):
    """One layer of one branch: cross-attention to the other modality, self-attention, feed-forward; post-norm each."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.cross = MultiheadAttention(dim, heads, dropout)
        self.cross_norm = nn.LayerNorm(dim)
        self.encoder = EncoderLayer(dim, heads, dim, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, own: Tensor, other: Tensor, inter: Tensor, intra: Tensor, return_weights: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """`own` and `other` [1,B,D], bias blocks `inter` and `intra` [B,B] -> [1,B,D] and the two attentions."""
        attended, cross_weights = self.cross(own, other, bias=inter, return_weights=return_weights)
        own = self.cross_norm(own + self.dropout(attended))
        own, self_weights = self.encoder(own, bias=intra, return_weights=return_weights)
        return own, cross_weights, self_weights


class Standalone(nn.Module):
    """Standalone mechanism, Fig. 4a: an image branch and a text branch with weights of their own.

    In each layer a branch reads the other's input of that layer under its inter-modal block, then its own modality
    under its intra-modal block. The released code does not have it; this is our reading of Sec 3.3.2.

    Args:
        dim: D
        heads: H
        layers: L
        dropout: as in `EncoderLayer`
    """

    def __init__(self, dim: int, heads: int, layers: int = 1, dropout: float = 0.1):
        super().__init__()
        self.image_layers = nn.ModuleList(StandaloneLayer(dim, heads, dropout) for _ in range(layers))
        self.text_layers = nn.ModuleList(StandaloneLayer(dim, heads, dropout) for _ in range(layers))

    def forward(
        self, image_emb: Tensor, text_emb: Tensor, bias: Tensor, return_weights: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """As `Fusion.forward`.

        The returned attention is [H,2B,2B] a layer too, its four blocks being separate softmaxes: each row sums to
        one in the inter-modal half and to one in the intra-modal half.
        """
        half = image_emb.size(0)
        i2i, i2t, t2i, t2t = bias[:half, :half], bias[:half, half:], bias[half:, :half], bias[half:, half:]
        v, u, used = image_emb[None], text_emb[None], []  # [1,B,D]
        for image_layer, text_layer in zip(self.image_layers, self.text_layers, strict=True):
            (v, w_i2t, w_i2i), (u, w_t2i, w_t2t) = (
                image_layer(v, u, i2t, i2i, return_weights),
                text_layer(u, v, t2i, t2t, return_weights),
            )
            if return_weights:
                rows = torch.cat([w_i2i[0], w_i2t[0]], 2), torch.cat([w_t2i[0], w_t2t[0]], 2)  # 2 x [H,B,2B]
                used.append(torch.cat(rows, 1))
        return F.normalize(v[0], dim=-1), F.normalize(u[0], dim=-1), used
