"""HREM: two encoders for inference, and the relation part that teaches them in training (Fig. 2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrem_lib.config import Config
from hrem_lib.encoders import (
    BertWords,
    BiGRUWords,
    Encoded,
    FragmentRelations,
    ImageEncoder,
    RegionProjection,
    TextEncoder,
)
from hrem_lib.errors import UserError
from hrem_lib.graph import AssociationGraph, Graph
from hrem_lib.interaction import Fusion, Standalone, graph_bias
from hrem_lib.pretrained import freeze, make_bert


class Related(NamedTuple):
    """What the relation part makes of a batch."""

    image_emb_rel: Tensor  # v̄, unit length [B,D]
    text_emb_rel: Tensor  # ū, unit length [B,D]
    graph: Graph
    bias: Tensor  # additive mask of (12) [2B,2B]
    weights: list[Tensor]  # attention used, one [H,2B,2B] a layer, if asked for


class Relation(nn.Module):
    """Association graph and interaction (Sec 3.3): needed in training only.

    Args:
        graph: builds A and S
        interaction: `Fusion` or `Standalone`
        relevance_weight: lambda of (12)
        use_connection, use_relevance: switch A or S off (ablations)
        normalize_input: feed unit-length embeddings (else the pooled ones) to the interaction
    """

    def __init__(
        self,
        graph: AssociationGraph,
        interaction: Fusion | Standalone,
        relevance_weight: float = 1.0,
        use_connection: bool = True,
        use_relevance: bool = True,
        normalize_input: bool = True,
    ):
        super().__init__()
        self.graph, self.interaction = graph, interaction
        self.relevance_weight, self.normalize_input = relevance_weight, normalize_input
        self.use_connection, self.use_relevance = use_connection, use_relevance

    def forward(self, images: Encoded, texts: Encoded, return_weights: bool = False) -> Related:
        """Encoded images and texts of the same B pairs -> `Related`."""
        graph = self.graph(images, texts)
        bias = graph_bias(graph, self.relevance_weight, self.use_connection, self.use_relevance)
        v, u = (images.emb, texts.emb) if self.normalize_input else (images.pooled, texts.pooled)
        v_rel, u_rel, used = self.interaction(v, u, bias, return_weights)
        return Related(v_rel, u_rel, graph, bias, used)


class HREM(nn.Module):
    """The whole model; `encode_images` and `encode_texts` are all that inference needs (Sec 3.5).

    Args:
        image_encoder, text_encoder: Sec 3.1, 3.2
        relation: Sec 3.3, or None for the base model
    """

    def __init__(self, image_encoder: ImageEncoder, text_encoder: TextEncoder, relation: Relation | None = None):
        super().__init__()
        self.image_encoder, self.text_encoder, self.relation = image_encoder, text_encoder, relation
        self.register_parameter("logit_scale", None)  # the learned temperature of `losses.infonce`, where it is used

    def encode_images(self, regions: Tensor, region_mask: Tensor, return_weights: bool = False) -> Encoded:
        """Region features [B,R,F] and mask [B,R] -> `Encoded`, `emb` = v."""
        return self.image_encoder(regions, region_mask, return_weights)

    def encode_texts(self, words: Tensor, word_mask: Tensor, return_weights: bool = False) -> Encoded:
        """Word ids [B,L] and mask [B,L] -> `Encoded`, `emb` = u."""
        return self.text_encoder(words, word_mask, return_weights)

    def relate(self, images: Encoded, texts: Encoded, return_weights: bool = False) -> Related:
        """Relation-enhanced embeddings of a batch of pairs; for training and pictures, never for retrieval."""
        if self.relation is None:
            raise ValueError("relate: this model was built with graph.interaction = none")
        return self.relation(images, texts, return_weights)


def build_model(
    config: Config,
    region_dim: int,
    vocabulary_size: int,
    word_vectors: Tensor | None = None,
    bert_config: dict | None = None,
) -> HREM:
    """HREM from a config.

    Args:
        config: all settings
        region_dim: F of the features
        vocabulary_size: of the words or word pieces
        word_vectors: initial word embedding of the BiGRU [vocabulary_size, word_dim]
        bert_config: build BERT from this configuration, with random weights, instead of `model.bert`
    Raises:
        UserError: sizes that do not fit.
    """
    m, g = config.model, config.graph

    def relations() -> FragmentRelations:
        layers = m.fragment_layers if m.fragment_attention else 0
        return FragmentRelations(m.embed_dim, m.heads, layers, m.dropout, m.pool_mix, m.pool_k)

    image_encoder = ImageEncoder(RegionProjection(region_dim, m.embed_dim, m.projection), relations())
    if m.text_encoder != "bigru":
        name, setting = (m.bert, "model.bert") if m.text_encoder == "bert" else (m.text_model, "model.text_model")
        bert = make_bert(name, vocabulary_size, bert_config, setting)
        freeze(bert, m.freeze_layers)
        words = BertWords(bert, m.embed_dim)
    else:
        words = BiGRUWords(vocabulary_size, m.word_dim, m.embed_dim)
        if word_vectors is not None:
            if word_vectors.shape != words.embedding.weight.shape:
                got, wanted = tuple(word_vectors.shape), tuple(words.embedding.weight.shape)
                raise UserError(f"model.glove: got vectors {got}, wanted {wanted}")
            with torch.no_grad():
                words.embedding.weight.copy_(word_vectors)
    text_encoder = TextEncoder(words, relations())
    relation = None
    if g.interaction != "none":
        kind = {"fusion": Fusion, "standalone": Standalone}[g.interaction]
        relation = Relation(
            AssociationGraph(g.top_matches, g.neighbor_share, g.matching, g.sigma),
            kind(m.embed_dim, m.heads, g.layers, m.dropout),
            g.relevance_weight,
            g.use_connection,
            g.use_relevance,
            g.normalize_input,
        )
    model = HREM(image_encoder, text_encoder, relation)
    if config.loss.initial == "infonce":
        model.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())  # CLIP's start
    return model
