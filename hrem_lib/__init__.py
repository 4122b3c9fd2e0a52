"""HREM, "Learning Semantic Relationship among Instances for Image-Text Matching" (CVPR 2023).

    import hrem_lib as hrem

    run = hrem.load("runs/mine")
    captions = run.embed_texts(["a man riding a wave", "two dogs"])
    scores = captions @ run.embed_images("photos/").T

Read in this order: config, text, pretrained, data, attention, pooling, encoders, graph, interaction, losses, sampling,
model, training. CONTRIBUTING.md says what stands beside them, and who may import whom.

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

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"
__all__ = ["HREM", "build_model", "evaluate", "load", "preset", "train"]

if TYPE_CHECKING:
    from hrem_lib.config import preset
    from hrem_lib.evaluation import evaluate
    from hrem_lib.model import HREM, build_model
    from hrem_lib.search.embedder import load
    from hrem_lib.training import train

_HOMES = {
    "HREM": "model", "build_model": "model", "evaluate": "evaluation", "load": "search.embedder", "preset": "config",
    "train": "training",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for: torch takes a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
