"""What holds for every model and batch, as properties over random shapes, lengths and settings."""

from __future__ import annotations

import math

import pytest
import torch
from composition import close, mask_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hrem_lib.config import preset
from hrem_lib.encoders import Encoded
from hrem_lib.graph import connection
from hrem_lib.interaction import Fusion, additive_mask
from hrem_lib.losses import Objective, distance_weights, draw_negatives
from hrem_lib.model import build_model
from hrem_lib.training import make_objective, make_optimizer, train_step

VOCABULARY = 40
BERT = dict(model_type="bert", vocab_size=VOCABULARY, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=40)  # fmt: skip
PROPERTY = settings(derandomize=True, max_examples=12, deadline=None)
# at least two regions and words: one region alone matches all texts alike, and ties go by index, not by name
PAIRS = st.lists(st.tuples(st.integers(2, 7), st.integers(2, 9)), min_size=1, max_size=6)


@st.composite
def models(draw, dtype=torch.float64, **fixed):
    """(config, model in evaluation mode, F) of random sizes and settings."""
    heads = draw(st.sampled_from([1, 2, 4]))
    chosen = {
        "model.heads": heads,
        "model.embed_dim": heads * draw(st.sampled_from([2, 4, 6])),
        "model.word_dim": draw(st.integers(3, 9)),
        "model.text_encoder": draw(st.sampled_from(["bigru", "bert"])),
        "model.projection": draw(st.sampled_from(["mlp", "linear"])),
        "model.fragment_attention": draw(st.booleans()),
        "model.fragment_layers": draw(st.integers(1, 2)),
        "model.pool_mix": draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])),
        "model.pool_k": draw(st.integers(1, 5)),
        "graph.interaction": draw(st.sampled_from(["fusion", "standalone"])),
        "graph.layers": draw(st.integers(1, 2)),
        "graph.matching": draw(st.sampled_from(["scan", "cosine"])),
        "graph.neighbor_share": draw(st.sampled_from([0.1, 0.29, 0.5, 1.0])),
        "graph.top_matches": draw(st.integers(1, 12)),
        "graph.sigma": draw(st.sampled_from([0.3, 1.0, 5.0])),
        "graph.relevance_weight": draw(st.sampled_from([0.0, 1.0, 1.5])),
        "graph.normalize_input": draw(st.booleans()),
        "training.batch_size": 8,
        "sampling.neighbor_epoch": 0,
    }
    config = preset("sample").override(chosen | {name.replace("__", "."): v for name, v in fixed.items()})
    width = draw(st.integers(3, 10))
    torch.manual_seed(draw(st.integers(0, 999)))
    model = build_model(config, width, VOCABULARY, bert_config=BERT if config.model.text_encoder == "bert" else None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
    return config, model.to(dtype).eval(), width


def inputs(lengths, width, seed, dtype=torch.float64, room=0):
    """Regions, words and masks of pairs; `room` more columns of padding, with anything in them."""
    generator = torch.Generator().manual_seed(seed)
    counts, words = (torch.tensor(column) for column in zip(*lengths, strict=True))
    regions = torch.zeros(len(lengths), int(counts.max()) + room, width, dtype=dtype)
    ids = torch.zeros(len(lengths), int(words.max()) + room, dtype=torch.int64)
    for row, (n, m) in enumerate(lengths):  # item by item, so that an item is the same whatever the room
        regions[row, :n] = torch.randn(n, width, generator=generator, dtype=dtype)
        ids[row, :m] = torch.randint(1, VOCABULARY, (m,), generator=generator)
    region_mask, word_mask = mask_of(counts, regions.size(1)), mask_of(words, ids.size(1))
    if room:
        regions = torch.where(region_mask[..., None], regions, 1e3 * torch.randn(regions.shape, dtype=dtype))
        ids = torch.where(word_mask, ids, torch.randint(0, VOCABULARY, ids.shape))
    return regions, region_mask, ids, word_mask


def encode(model, parts):
    return model.encode_images(*parts[:2]), model.encode_texts(*parts[2:])


def reordered(encoded: Encoded, order) -> Encoded:
    return Encoded(*(None if part is None else part[order] for part in encoded[:5]), None)


@PROPERTY
@given(made=models(dtype=torch.float32), lengths=PAIRS, room=st.integers(0, 5), seed=st.integers(0, 999))
def test_an_embedding_depends_on_its_own_sample_alone(made, lengths, room, seed):
    """In float32, as used: each picture and caption alone, against the same one in a padded batch."""
    _, model, width = made
    tight, wide = (inputs(lengths, width, seed, torch.float32, r) for r in (0, room))
    together = encode(model, wide)
    for row, (n, m) in enumerate(lengths):
        pieces = (x[row : row + 1, :count] for x, count in zip(tight, (n, n, m, m), strict=True))
        for alone, batch in zip(encode(model, tuple(pieces)), together, strict=True):
            close(batch.emb[row], alone.emb[0], 1e-6)


@PROPERTY
@given(made=models(), lengths=PAIRS, room=st.integers(1, 5), seed=st.integers(0, 999))
def test_p_q_s_and_a_do_not_depend_on_padding(made, lengths, room, seed):
    _, model, width = made
    with torch.no_grad():
        tight, wide = (model.relate(*encode(model, inputs(lengths, width, seed, room=r))) for r in (0, room))
    for got, wanted in zip(wide.graph.matches, tight.graph.matches, strict=True):
        close(got, wanted, 1e-10)
    close(wide.graph.relevance, tight.graph.relevance, 1e-10)
    assert torch.equal(wide.graph.connection, tight.graph.connection)
    close(wide.image_emb_rel, tight.image_emb_rel, 1e-9)
    close(wide.text_emb_rel, tight.text_emb_rel, 1e-9)


@PROPERTY
@given(made=models(), lengths=PAIRS, seed=st.integers(0, 999), data=st.data())
def test_permuting_the_batch_permutes_everything(made, lengths, seed, data):
    _, model, width = made
    order = torch.tensor(data.draw(st.permutations(range(len(lengths)))))
    nodes = torch.cat([order, order + len(order)])
    ids = torch.arange(len(order)) // 2  # every two pairs show one image
    with torch.no_grad():
        images, texts = encode(model, inputs(lengths, width, seed))
        there = model.relate(images, texts, return_weights=True)
        moved = reordered(images, order), reordered(texts, order)
        here = model.relate(*moved, return_weights=True)
        objective = Objective(initial="hinge", enhanced="hinge")  # nothing drawn
        losses = [
            objective(a.emb, b.emb, which, r.image_emb_rel, r.text_emb_rel, r.graph.regularizer)[0]
            for a, b, which, r in ((images, texts, ids, there), (*moved, ids[order], here))
        ]
        law = [distance_weights(a.emb @ b.emb.T, which[:, None] == which, 16, 1.9)
               for a, b, which in ((images, texts, ids), (*moved, ids[order]))]  # fmt: skip
    close(here.graph.relevance, there.graph.relevance[nodes][:, nodes], 1e-10)
    assert torch.equal(here.graph.connection, there.graph.connection[nodes][:, nodes])
    for got, wanted in zip(here.graph.matches, there.graph.matches, strict=True):
        close(got, wanted[order][:, order], 1e-10)
    for got, wanted in zip(here.weights, there.weights, strict=True):
        close(got, wanted[:, nodes][:, :, nodes], 1e-10)
    close(here.image_emb_rel, there.image_emb_rel[order], 1e-9)
    close(here.text_emb_rel, there.text_emb_rel[order], 1e-9)
    close(law[1], law[0][order][:, order], 1e-8)
    for name, value in losses[0].items():
        close(losses[1][name], value, 1e-8)


@PROPERTY
@given(
    size=st.integers(1, 60),
    share=st.floats(0.001, 1),
    values=st.sampled_from(["random", "few", "one", "infinite"]),
    seed=st.integers(0, 999),
)
def test_exact_number_of_ones_in_each_row(size, share, values, seed):
    """Whatever ties, and the largest ones: no zero of a row scores above a one."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(size, size, generator=generator)
    scores = {"random": scores, "few": scores.round(), "one": torch.ones_like(scores), "infinite": scores / 0}[values]
    got = connection(scores, share)
    assert got.sum(1).tolist() == [max(1, math.floor(share * size + 1e-9))] * size
    kept, left = scores.masked_fill(~got, torch.inf).amin(1), scores.masked_fill(got, -torch.inf).amax(1)
    assert (kept >= left).all()


@PROPERTY
@given(made=models(), lengths=PAIRS, seed=st.integers(0, 999))
def test_exact_number_of_ones_in_each_block(made, lengths, seed):
    config, model, width = made
    graph = model.relate(*encode(model, inputs(lengths, width, seed))).graph
    wanted = max(1, math.floor(config.graph.neighbor_share * len(lengths) + 1e-9))
    for block in ("i2i", "i2t", "t2i", "t2t"):
        assert graph.block(block, "connection").sum(1).tolist() == [wanted] * len(lengths)


@PROPERTY
@given(size=st.integers(1, 6), heads=st.sampled_from([1, 2]), share=st.floats(0.01, 1), seed=st.integers(0, 999))
def test_lambda_zero_is_torchs_masked_attention(size, heads, share, seed):
    """Against torch's own encoder layer with a boolean mask, S anything."""
    torch.manual_seed(seed)
    ours = Fusion(4 * heads, heads, 1, 0.0).double().eval()
    theirs = nn.TransformerEncoderLayer(4 * heads, heads, 4 * heads, 0.0, batch_first=True).double().eval()
    theirs.load_state_dict(ours.layers[0].state_dict())
    x = F.normalize(torch.randn(2 * size, 4 * heads, dtype=torch.float64), dim=1)
    linked = torch.cat([torch.cat([connection(torch.randn(size, size), share) for _ in range(2)], 1) for _ in range(2)])
    bias = additive_mask(linked, 1e6 * torch.randn(2 * size, 2 * size, dtype=torch.float64), 0.0)
    got = torch.cat(ours(*x.chunk(2), bias)[:2])
    close(got, F.normalize(theirs(x[None], src_mask=~linked)[0], dim=-1), 1e-10)


def special(kind, width, seed):
    """Batches at the edge: what they are called, and which image each pair shows."""
    size = {"one pair": 1, "five captions of one image": 5}.get(kind, 4)
    lengths = [(1, 1)] * size if kind == "one region, one word" else [(1 + i % 3, 1 + i % 4) for i in range(size)]
    parts = list(inputs(lengths, width, seed, torch.float32))
    images = torch.arange(size)
    if kind in ("all alike", "duplicate images", "five captions of one image"):
        images = torch.zeros(size, dtype=torch.int64) if kind.startswith("five") else images
        parts[0], parts[1] = (x[:1].expand_as(x).clone() for x in parts[:2])
    if kind == "all alike":
        parts[2], parts[3] = (x[:1].expand_as(x).clone() for x in parts[2:])
    return parts, images


KINDS = ("one pair", "one region, one word", "all alike", "duplicate images", "five captions of one image")


@pytest.mark.parametrize("kind", KINDS)
@settings(PROPERTY, max_examples=4)
@given(made=models(dtype=torch.float32), seed=st.integers(0, 999))
def test_batches_at_the_edge_train(kind, made, seed):
    """A step on them is finite, gradients included, and says how many rows had no negative."""
    from hrem_lib.data import Batch

    config, model, width = made
    (regions, region_mask, words, word_mask), images = special(kind, width, seed)
    model.train(kind != "all alike")  # dropout would tell them apart
    if regions[region_mask].size(0) < 2:  # batch statistics of one number do not exist
        model.image_encoder.eval()
    batch = Batch(regions, region_mask, words, word_mask, images, torch.arange(len(images)))
    optimizer, objective = make_optimizer(model, config), make_objective(config)
    report = train_step(model, batch, objective, optimizer, 2.0, relation=True)
    assert all(torch.isfinite(value) for value in [*report.terms.values(), report.total, report.grad_norm])
    assert all(p.isfinite().all() for p in model.parameters())
    if len(set(images.tolist())) == 1:  # no negatives at all: four L(.,.), each row of both directions
        assert int(report.without_negative) == 4 * 2 * len(images)
        assert float(report.total) == pytest.approx(float(report.terms["regularizer"]), abs=1e-6)
    if kind == "all alike" and not report.without_negative:  # images may lie beyond the cut-off from all texts
        assert report.collapse == pytest.approx(2 * config.loss.margin * len(images))
        near = {name for name, standing in report.at_collapse.items() if standing}
        assert near == {"initial", "enhanced", "crossed_image", "crossed_text"}


@settings(PROPERTY, max_examples=6)
@given(made=models(model__dropout=0.0), lengths=st.lists(st.tuples(st.integers(2, 4), st.integers(2, 5)), min_size=3,
       max_size=5), seed=st.integers(0, 999))  # fmt: skip
def test_gradients_of_the_whole_objective(made, lengths, seed):
    """In float64, along a random direction: autograd against central differences, draws fixed.

    L(v, u) for the encoders; all terms for the relation part (matching and guide carry no gradient by definition, so
    that the encoders' differences of those terms are other numbers).
    """
    _, model, width = made
    parts, ids = inputs(lengths, width, seed), torch.arange(len(lengths))
    hardest = Objective(initial="hinge", enhanced="hinge", margin=1.0)

    def loss(all_terms):
        images, texts = encode(model, parts)
        if not all_terms:
            return hardest(images.emb, texts.emb, ids, hardest=False)[0]["initial"]
        r = model.relate(images, texts)
        enhanced = (r.image_emb_rel, r.text_emb_rel, r.graph.regularizer)
        return sum(hardest(images.emb, texts.emb, ids, *enhanced, hardest=False)[0].values())

    for all_terms in (False, True):
        weights = [p for n, p in model.named_parameters() if n.startswith("relation.") == all_terms]
        generator = torch.Generator().manual_seed(seed)
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in weights]
        gradients = torch.autograd.grad(loss(all_terms), weights, allow_unused=True)
        wanted = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
        step, values = 1e-7, []
        with torch.no_grad():
            for sign in (1, -2):  # ahead, then behind
                for p, d in zip(weights, direction, strict=True):
                    p += sign * step * d
                values.append(float(loss(all_terms)))
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
        with torch.no_grad():
            for p, d in zip(weights, direction, strict=True):
                p += step * d


@settings(PROPERTY, max_examples=5)
@given(size=st.integers(3, 8), dim=st.sampled_from([4, 16, 64]), seed=st.integers(0, 999))
def test_drawn_negatives_follow_their_law(size, dim, seed):
    """Chi-square of 3,000 draws a row: within six standard deviations of its mean."""
    torch.manual_seed(seed)
    v, u = (F.normalize(torch.randn(size, 6, dtype=torch.float64), dim=1) for _ in range(2))
    positive = torch.eye(size, dtype=torch.bool)
    law = distance_weights(v @ u.T, positive, dim, cutoff=1.9)
    drawn, found = draw_negatives(law, torch.arange(size).repeat_interleave(3000))
    for row, columns in enumerate(drawn.view(size, 3000)):
        assert bool(found.view(size, 3000)[row, 0]) == bool(law[row].sum() > 0)
        if not found.view(size, 3000)[row, 0]:
            continue
        seen, wanted = torch.bincount(columns, minlength=size).double(), 3000 * law[row]
        assert (seen[law[row] == 0] == 0).all()
        frequent = wanted > 5
        square = float(((seen - wanted).square() / wanted)[frequent].sum())
        freedom = max(1, int(frequent.sum()) - 1)
        assert square < freedom + 6 * math.sqrt(2 * freedom)
