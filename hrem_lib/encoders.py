"""Image and text encoders: raw features or word ids -> fragments -> one unit-length embedding (Sec 3.1, Sec 3.2).

In evaluation mode an embedding depends on its own sample alone, never on padding or batch mates.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hrem_lib.attention import EncoderLayer
from hrem_lib.pooling import residual_mix, unit


class Encoded(NamedTuple):
    """What an encoder gives for B samples of up to n fragments."""

    emb: Tensor  # v or u, unit length [B,D]
    pooled: Tensor  # the same before L2 normalization [B,D]
    fragments: Tensor  # R or C, before self-attention [B,n,D]
    context: Tensor  # R^V or C^U, after self-attention [B,n,D]
    mask: Tensor  # True where real [B,n]
    weights: list[Tensor] | None = None  # attention used in each layer [B,H,n,n], if asked for


class FragmentRelations(nn.Module):
    """Self-attention among the fragments of a sample, then pooling: (1), (2), (3).

    Args:
        dim, heads, layers, dropout: of the encoder layers; layers = 0 leaves the relations out (ablation)
        mix: beta of (2)(3)
        pool_k: k of the max pooling
    """

    def __init__(self, dim: int, heads: int, layers: int, dropout: float, mix: float, pool_k: int):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, dim, dropout) for _ in range(layers))
        self.mix, self.pool_k = mix, pool_k

    def forward(self, fragments: Tensor, mask: Tensor, return_weights: bool = False) -> Encoded:
        """Fragments [B,n,D] and mask [B,n] -> `Encoded`."""
        context, weights = fragments, []
        for layer in self.layers:
            context, used = layer(context, mask, return_weights=return_weights)
            weights.append(used)
        pooled = residual_mix(fragments, context, mask, self.mix, self.pool_k)
        return Encoded(unit(pooled), pooled, fragments, context, mask, weights if return_weights else None)


class RegionProjection(nn.Module):
    """Region features F -> D: `FC(x) + MLP(x)` as released, or the paper's single FC layer (Sec 3.1).

    The MLP is F -> D/2 (BatchNorm, ReLU) -> D. BatchNorm sees real regions only.
    Xavier-uniform weights and zero biases on these layers.
    """

    def __init__(self, region_dim: int, dim: int, kind: str = "mlp"):
        super().__init__()
        self.fc = nn.Linear(region_dim, dim)
        self.mlp = None
        if kind == "mlp":
            half = dim // 2
            self.mlp = nn.Sequential(nn.Linear(region_dim, half), nn.BatchNorm1d(half), nn.ReLU(), nn.Linear(half, dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Features [B,R,F] and mask [B,R] -> regions [B,R,D]; masked rows are zero."""
        rows = mask.flatten().nonzero().squeeze(1)  # places of real regions; whole rows copy faster than by the mask
        real = features.flatten(0, 1).index_select(0, rows)  # [valid,F]
        projected = self.fc(real)
        if self.mlp is not None:
            projected = projected + self.mlp(real)
        out = projected.new_zeros(mask.numel(), projected.size(-1)).index_copy_(0, rows, projected)
        return out.unflatten(0, mask.shape)  # [B,R,D]


class ImageEncoder(nn.Module):
    """Region features -> v (Sec 3.1, Sec 3.2)."""

    def __init__(self, projection: RegionProjection, relations: FragmentRelations):
        super().__init__()
        self.projection, self.relations = projection, relations

    def forward(self, regions: Tensor, region_mask: Tensor, return_weights: bool = False) -> Encoded:
        """Features [B,R,F] and mask [B,R] -> `Encoded`."""
        return self.relations(self.projection(regions, region_mask), region_mask, return_weights)


class BiGRUWords(nn.Module):
    """Word ids -> words: embedding, one bidirectional GRU of width D, the mean of its two directions (Sec 3.1).

    The paper adds an FC layer to D; a GRU of width D does not need it, so there is none.
    """

    def __init__(self, vocabulary_size: int, word_dim: int, dim: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, word_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.gru = nn.GRU(word_dim, dim, batch_first=True, bidirectional=True)

    def forward(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Ids [B,L] and mask [B,L] (real words first) -> words [B,L,D]."""
        packed = pack_padded_sequence(
            self.embedding(words), word_mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=words.size(1))
        forward, backward = states.chunk(2, dim=-1)  # [B,L,2D] -> 2 x [B,L,D]
        return (forward + backward) / 2


class BertWords(nn.Module):
    """Word-piece ids -> words: last hidden states of BERT or of another text encoder, then Linear to D (Sec 3.1).

    Every piece counts, [CLS] and [SEP] included. Captions go through in up to `GROUPS` groups of like length, each cut
    to its longest: in one group nearly half of the work is padding. More groups would cut little more, and each costs a
    pass over the gradients of all layers. On a GPU there is one group: the host would have to wait for the lengths.
    The mask covers padding, also for SigLIP, which was trained without one, with every caption padded to 64 pieces.
    """

    GROUPS, SMALLEST = 4, 16  # groups a batch, captions a group

    def __init__(self, bert: nn.Module, dim: int):
        super().__init__()
        self.bert: Any = bert  # of `transformers`, with more than a Module has
        self.linear = nn.Linear(self.bert.config.hidden_size, dim)
        # the text towers of CLIP and SigLIP take ids only
        self.takes = "inputs_embeds" if "inputs_embeds" in inspect.signature(bert.forward).parameters else "input_ids"

    def train(self, mode: bool = True) -> BertWords:
        """As for every module, but what is frozen (`pretrained.freeze`) stays in evaluation mode: without dropout."""
        super().train(mode)
        for part in self.bert.modules():
            learns = [p.requires_grad for p in part.parameters()]
            if learns and not any(learns):
                part.eval()
        return self

    def forward(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Ids [B,L] and mask [B,L] -> words [B,L,D]."""
        # looked up once, not a group at a time: the gradient of the table is as large as the table
        embedded = self.bert.get_input_embeddings()(words) if self.takes == "inputs_embeds" else words
        step = max(self.SMALLEST, math.ceil(len(words) / self.GROUPS))
        if len(words) <= step or words.device.type != "cpu":
            return self._encode(embedded, word_mask)
        width = words.size(1)
        length = (word_mask * torch.arange(1, width + 1)).amax(1)  # place of the last real piece [B]
        order, parts = length.argsort(), []
        for group in order.split(step):
            longest = int(length[group[-1]])
            part = self._encode(embedded.index_select(0, group)[:, :longest], word_mask[group, :longest])
            parts.append(F.pad(part, (0, 0, 0, width - longest)))
        return torch.cat(parts).index_select(0, order.argsort())

    def _encode(self, embedded: Tensor, word_mask: Tensor) -> Tensor:
        states = self.bert(**{self.takes: embedded}, attention_mask=word_mask.long()).last_hidden_state
        return self.linear(states)


class TextEncoder(nn.Module):
    """Word ids -> u (Sec 3.1, Sec 3.2)."""

    def __init__(self, words: BiGRUWords | BertWords, relations: FragmentRelations):
        super().__init__()
        self.words, self.relations = words, relations

    def forward(self, words: Tensor, word_mask: Tensor, return_weights: bool = False) -> Encoded:
        """Ids [B,L] and mask [B,L] -> `Encoded`."""
        return self.relations(self.words(words, word_mask), word_mask, return_weights)
