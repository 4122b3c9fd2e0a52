"""HREM, "Learning Semantic Relationship among Instances for Image-Text Matching" (CVPR 2023).

Read in this order: config, text, data, attention, pooling, encoders, graph, interaction, losses, sampling, model,
training, evaluation. Beside the core: scenes, drawing, staging and regions (the sample world), checkpoints, released
(the authors' files), captions, vision and extract (own pictures), vector_index and retrieval (search), distributed
(several processes), plots, doctor, cli. Imports point up this list only.

Shapes, everywhere:
    B  pairs in a batch (2B graph nodes, images first)     R  regions     L  words or word pieces
    F  raw feature width     D  joint width     H  heads     K  top matches
Masks are True where real. Row = who looks (query), column = who is looked at (key).

The paper's symbols and their names here:
    R, C         regions, words [B,R,D] [B,L,D]      R^V, C^U    context, after self-attention
    v, u         image_emb, text_emb [B,D]           v̄, ū        image_emb_rel, text_emb_rel [B,D]
    p, q         match_i2t match_t2i [B,B], top_i2t top_t2i [B,B,K]
    A, S         connection, relevance [2B,2B]       blocks      i2i i2t t2i t2t
    lambda       relevance_weight                    rho         neighbor_share
    beta         pool_mix                            sigma       sigma
    alpha        margin                              L           layers
"""

__version__ = "0.1.0"
