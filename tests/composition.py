"""Our modules composed so that they repeat the released code, for the parity tests. The library has no such switch.

The released code (a) never masks regions in the graph, (b) lets padded rows into BatchNorm in training, (c) fills short
captions with padding words, (d) keeps ties at a threshold, (e) lets the k of pooling shrink after a short sample.
(a) and (b) are a choice of masks. (c) and (e) are composed here too, for whole-model comparisons of cases that have
short samples; the tests that compare a single stage start from the stored upstream tensor and need neither.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from fixture_io import cases
from torch import Tensor
from torch.nn import functional as F

from hrem_lib import graph, losses
from hrem_lib.config import Config
from hrem_lib.encoders import Encoded
from hrem_lib.graph import Matches, match
from hrem_lib.losses import Objective, PairLoss
from hrem_lib.model import HREM, Related, build_model
from hrem_lib.pooling import masked_max_k, masked_mean, unit
from hrem_lib.released import config_from_options, our_name, to_hrem

# folder of the fixtures and the released checkpoints in it
FIXTURES = next((Path(f).parent for f, _ in cases("e2e")), Path("e2e"))
CHECKPOINTS = sorted((FIXTURES / "e2e").glob("*.pth"))
_DERIVED = tempfile.TemporaryDirectory()


def _derived(path: Path) -> list[Path]:
    """The same checkpoint as training on several GPUs saves it, and as transformers before 4.31 did."""
    folder = Path(_DERIVED.name)
    for beside in ("vocab.txt", "bert_config.json"):
        shutil.copy(path.with_name(beside), folder)
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    image, text = content["model"]
    several = [{f"module.{name}": tensor for name, tensor in state.items()} for state in (image, text)]
    ids = torch.arange(len(text["bert.embeddings.position_embeddings.weight"]))[None]
    kinds = {"multi_gpu": several, "position_ids": [image, {"bert.embeddings.position_ids": ids, **text}]}
    for kind, states in kinds.items():
        torch.save({**content, "model": states}, folder / f"{path.stem}_{kind}.pth")
    return sorted(folder.glob("*.pth"))


if len(CHECKPOINTS) == 1:
    CHECKPOINTS += _derived(CHECKPOINTS[0])
# above this many rows the released distances take the matrix-product form: up to 1e-3 off in float32, 1e-7 in float64
CDIST_MM = 25
# released name of a loss term -> ours
TERMS = {
    "base": "initial",
    "gnn_vs_gnn": "enhanced",
    "img_gnn_vs_cap": "crossed_image",
    "img_vs_cap_gnn": "crossed_text",
}


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under `prefix`, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def close(got: Tensor, wanted: Tensor, atol: float, rtol: float = 0.0, note: str = "") -> None:
    """Equal within atol + rtol |wanted|; infinities must stand in the same places."""
    torch.testing.assert_close(got, wanted.to(got.dtype), atol=atol, rtol=rtol, msg=lambda text: f"{note}: {text}")


def mask_of(lengths: Tensor, width: int) -> Tensor:
    return torch.arange(width) < lengths[:, None]


def encoded(emb: Tensor, fragments: Tensor, mask: Tensor) -> Encoded:
    """What the graph reads of an `Encoded`."""
    return Encoded(emb, emb, fragments, fragments, mask)


def bert_config_of() -> dict:
    """BERT's configuration of the e2e fixtures."""
    return json.loads((FIXTURES / "e2e" / "bert_config.json").read_text())


def config_of(info: dict) -> Config:
    return config_from_options(info["options"])


def model_of(tensors: dict[str, Tensor], info: dict, dtype: torch.dtype = torch.float32) -> HREM:
    """Our model with the weights of a case; every stored weight has a place but the unused BatchNorm."""
    model = build_model(
        config_of(info), info["options"]["img_dim"], info["bert_vocab"], bert_config=info["bert_config"]
    )
    state = to_hrem(with_prefix(tensors, "state."))
    missing, unexpected = model.load_state_dict(state, strict=False)
    relation_stored = any(k.startswith("relation.") for k in state)
    assert not unexpected
    assert not [k for k in missing if relation_stored or not k.startswith("relation.")]
    return model.to(dtype)


def parameter(model: HREM, released: str) -> Tensor:
    """Parameter or buffer of `model` by its released name."""
    return model.state_dict(keep_vars=True)[our_name(released)]


def first_of_best(weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Arg-max of the law in place of a draw, first of equals."""
    law = weights[rows]
    return (law == law.amax(1, keepdim=True)).int().argmax(1), law.sum(1) > 0


def one_direction(direction: str):
    """A `draw` for `triplet` that finds negatives in one direction only: i2t is called first, t2i second."""
    calls = iter(("i2t", "t2i"))

    def draw(weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        columns, found = first_of_best(weights, rows)
        return columns, found & (next(calls) == direction)

    return draw


@dataclass
class Batch:
    images: Tensor
    image_lengths: Tensor
    captions: Tensor
    lengths: Tensor
    img_ids: Tensor


def batch_of(tensors: dict[str, Tensor], prefix: str = "input.") -> Batch:
    return Batch(**with_prefix(tensors, prefix))


def shrinking_max_k(x: Tensor, mask: Tensor, k: int) -> Tensor:
    """(e): k falls to the length of a short sample and stays there for all later ones."""
    rows = []
    for row, valid in zip(x, mask, strict=True):
        k = min(k, int(valid.sum()))
        rows.append(masked_max_k(row[None], valid[None], k))
    return torch.cat(rows)


def _encoded(relations, fragments: Tensor, mask: Tensor, graph_mask: Tensor) -> Encoded:
    seen = relations(fragments, mask)
    mix = relations.mix
    pooled = mix * shrinking_max_k(fragments, mask, relations.pool_k) + (1 - mix) * masked_mean(seen.context, mask)
    if mask.sum(1).min() >= relations.pool_k:
        torch.testing.assert_close(pooled, seen.pooled)  # without short samples it is our own pooling
        pooled = seen.pooled
    return seen._replace(pooled=pooled, emb=unit(pooled), mask=graph_mask)


def encode_images(model: HREM, images: Tensor, region_mask: Tensor) -> Encoded:
    """The image encoder. The region mask returned is that of the released graph, all True: (a)."""
    everything = torch.ones_like(region_mask)
    regions = model.image_encoder.projection(images, everything)  # (b); in evaluation it matters to (a) alone
    return _encoded(model.image_encoder.relations, regions, region_mask, everything)


def encode_texts(model: HREM, captions: Tensor, word_mask: Tensor) -> Encoded:
    """The text encoder."""
    words = model.text_encoder.words(captions, word_mask)
    return _encoded(model.text_encoder.relations, words, word_mask, word_mask)


def encode(model: HREM, batch: Batch) -> tuple[Encoded, Encoded]:
    """Both encoders."""
    images = batch.images.to(next(model.parameters()).dtype)
    region_mask = mask_of(batch.image_lengths, images.size(1))
    word_mask = mask_of(batch.lengths, batch.captions.size(1))
    return encode_images(model, images, region_mask), encode_texts(model, batch.captions, word_mask)


@torch.no_grad()
def match_with_fill(regions, words, region_mask, word_mask, top_k, matching="scan") -> Matches:
    """(c): the row of a caption under `top_k` words is normalized over, and its q picked from, padding words too.

    The rest is our own `match`. Its p is a mean over real words, and no image looks at a padding word.
    """
    ours = match(regions, words, region_mask, word_mask, top_k, matching)
    lengths = word_mask.sum(1)
    if lengths.min() >= top_k:
        return ours
    filled = mask_of(lengths.clamp(min=top_k), words.size(1))
    match_t2i, top_t2i = ours.match_t2i.clone(), ours.top_t2i.clone()
    for j in (lengths < top_k).nonzero().flatten().tolist():
        cosine = F.normalize(regions, dim=-1) @ F.normalize(words[j, filled[j]], dim=-1).T  # [B,R,top_k]
        scores = F.leaky_relu(cosine, 0.1)
        best = F.normalize(scores, dim=2).amax(1)  # [B,top_k]
        match_t2i[j] = best[:, : lengths[j]].mean(1)
        top_t2i[j] = best.sort(dim=1, descending=True).values
    return ours._replace(match_t2i=match_t2i, top_t2i=top_t2i)


def relate(model: HREM, images: Encoded, texts: Encoded, monkeypatch, return_weights: bool = False) -> Related:
    """`model.relate` with (c); identical to it where no caption is short."""
    with monkeypatch.context() as patch:
        patch.setattr(graph, "match", match_with_fill)
        return model.relate(images, texts, return_weights)


def objective_of(config: Config) -> Objective:
    loss = config.loss
    return Objective(
        loss.initial, loss.enhanced, loss.terms, loss.regularizer_weight, loss.margin, loss.cutoff,
        loss.min_distance, loss.sampling_dim, loss.exclude_same_image,
    )  # fmt: skip


def objective_terms(
    config: Config,
    images: Encoded,
    texts: Encoded,
    img_ids: Tensor,
    related: Related | None,
    monkeypatch,
    hardest=False,
) -> tuple[dict[str, Tensor], dict[str, PairLoss]]:
    """The library's objective, with the arg-max for the draw; `hardest` is a case's option `max_violation`."""
    enhanced = (None,) * 3
    if related is not None:
        enhanced = related.image_emb_rel, related.text_emb_rel, related.graph.regularizer
    triplet = losses.triplet
    with monkeypatch.context() as patch:
        patch.setattr(losses, "triplet", lambda *args: triplet(*args, draw=first_of_best))
        return objective_of(config)(images.emb, texts.emb, img_ids, *enhanced, hardest)


def four_groups(model: HREM, rate: float, bert_factor: float = 0.1, graph_factor: float = 1.0) -> list[dict]:
    """The released optimizer's groups: text without BERT, BERT, image, relation."""
    text, bert = [], []
    for name, value in model.text_encoder.named_parameters():
        (bert if ".bert." in f".{name}" else text).append(value)
    return [
        {"params": text, "lr": rate},
        {"params": bert, "lr": rate * bert_factor},
        {"params": list(model.image_encoder.parameters()), "lr": rate},
        {"params": list(model.relation.parameters()), "lr": rate * graph_factor},
    ]
