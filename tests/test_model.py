"""The whole model: built from a config, encoders for inference, relation part for training."""

from __future__ import annotations

import inspect

import pytest
import torch
from composition import close, mask_of

from hrem_lib.config import preset
from hrem_lib.errors import UserError
from hrem_lib.graph import AssociationGraph
from hrem_lib.interaction import Fusion, Standalone
from hrem_lib.losses import Objective, distance_weights, hinge, triplet
from hrem_lib.model import Relation, build_model

FEATURES, VOCABULARY = 12, 30
INTERACTIONS = pytest.mark.parametrize("interaction", ["fusion", "standalone"])


def build(dtype=torch.float64, **changes):
    settings = {"model.embed_dim": 16, "model.heads": 4, "model.word_dim": 6, "graph.top_matches": 4}
    config = preset("sample").override(settings | {k.replace("__", "."): v for k, v in changes.items()})
    torch.manual_seed(0)
    return build_model(config, FEATURES, VOCABULARY).to(dtype).eval()


def batch(size=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randn(size, 6, FEATURES, generator=generator, dtype=dtype)
    words = torch.randint(1, VOCABULARY, (size, 7), generator=generator)
    # at least two regions: a single one matches all texts alike, and ties go by index
    counts, lengths = (torch.randint(2, n, (size,), generator=generator) for n in (7, 8))
    return regions, mask_of(counts, 6), words, mask_of(lengths, 7)


def encode(model, inputs):
    return model.encode_images(*inputs[:2]), model.encode_texts(*inputs[2:])


def all_losses(model, inputs):
    images, texts = encode(model, inputs)
    related = model.relate(images, texts)
    terms, _ = Objective(cutoff=1.9)(
        images.emb, texts.emb, torch.arange(len(inputs[0])), related.image_emb_rel, related.text_emb_rel,
        related.graph.regularizer,
    )  # fmt: skip
    return related, terms


def test_built_as_the_config_says():
    assert isinstance(build().relation.interaction, Fusion)
    standalone = build(graph__interaction="standalone", graph__layers=2).relation.interaction
    assert isinstance(standalone, Standalone)
    assert len(standalone.image_layers) == len(standalone.text_layers) == 2
    assert len(build(model__fragment_attention=False).image_encoder.relations.layers) == 0
    assert len(build(model__fragment_layers=2).text_encoder.relations.layers) == 2
    assert build(model__projection="linear").image_encoder.projection.mlp is None
    relation = build(
        graph__relevance_weight=1.5, graph__use_connection=False, graph__neighbor_share=0.3, graph__sigma=2.0,
        graph__matching="cosine", graph__normalize_input=False, model__pool_mix=0.6, model__pool_k=3,
    )  # fmt: skip
    part = relation.relation
    assert (part.relevance_weight, part.use_connection, part.use_relevance, part.normalize_input) == (
        1.5,
        False,
        True,
        False,
    )
    assert (part.graph.share, part.graph.sigma, part.graph.matching, part.graph.top_k) == (0.3, 2.0, "cosine", 4)
    assert (relation.image_encoder.relations.mix, relation.text_encoder.relations.pool_k) == (0.6, 3)


def test_defaults_are_the_configs():
    """A constant stands in config.py; where a function has it as a default too, it is the same."""
    f30k = preset("f30k")
    settings = {
        name: getattr(section, name) for section in (f30k.model, f30k.graph, f30k.loss) for name in vars(section)
    }
    other_names = {"share": "neighbor_share", "top_k": "top_matches", "dim": "sampling_dim"}
    compared = set()
    for function in (distance_weights, triplet, hinge, Objective, Fusion, Standalone, AssociationGraph, Relation):
        for name, parameter in inspect.signature(function).parameters.items():
            setting = other_names.get(name, name)
            if parameter.default is not inspect.Parameter.empty and setting in settings:
                assert parameter.default == settings[setting], (function.__name__, name)
                compared.add(setting)
    assert {"layers", "dropout", "margin", "cutoff", "min_distance", "sampling_dim", "neighbor_share"} <= compared


def test_base_model_has_no_relation_part():
    model = build(graph__interaction="none")
    assert model.relation is None
    with pytest.raises(ValueError, match=r"graph\.interaction = none"):
        model.relate(*encode(model, batch()))


def test_word_vectors():
    config = preset("sample").override({"model.word_dim": 6})
    vectors = torch.randn(VOCABULARY, 6)
    model = build_model(config, FEATURES, VOCABULARY, vectors)
    assert torch.equal(model.text_encoder.words.embedding.weight, vectors)
    with pytest.raises(UserError, match=r"got vectors \(29, 6\), wanted \(30, 6\)"):
        build_model(config, FEATURES, VOCABULARY, vectors[1:])


@INTERACTIONS
def test_order_of_the_pairs(interaction):
    model, inputs, order = build(graph__interaction=interaction), batch(), torch.tensor([3, 0, 4, 1, 2])
    wanted = model.relate(*encode(model, inputs))
    got = model.relate(*encode(model, [x[order] for x in inputs]))
    close(got.image_emb_rel, wanted.image_emb_rel[order], 1e-10)
    close(got.text_emb_rel, wanted.text_emb_rel[order], 1e-10)
    close(got.graph.regularizer, wanted.graph.regularizer, 1e-10)


def test_encoded_items_meet_no_batch_mates_and_related_ones_do():
    model, inputs = build(), batch()
    others = [torch.cat([a[:1], b[1:]]) for a, b in zip(inputs, batch(seed=1), strict=True)]
    first, second = encode(model, inputs), encode(model, others)
    close(second[0].emb[0], first[0].emb[0], 1e-12)
    close(second[1].emb[0], first[1].emb[0], 1e-12)
    assert (model.relate(*first).image_emb_rel[0] - model.relate(*second).image_emb_rel[0]).abs().max() > 1e-4


@INTERACTIONS
def test_attention_is_handed_out(interaction):
    model, inputs = build(graph__interaction=interaction), batch()
    plain, shown = (model.relate(*encode(model, inputs), return_weights=r) for r in (False, True))
    close(shown.image_emb_rel, plain.image_emb_rel, 1e-10)
    assert plain.weights == []
    assert [w.shape for w in shown.weights] == [(4, 10, 10)]
    assert ((shown.weights[0] > 0) == shown.graph.connection).all()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("graph__use_connection", False), ("graph__use_relevance", False), ("graph__normalize_input", False),
        ("graph__relevance_weight", 0.0), ("graph__matching", "cosine"), ("graph__neighbor_share", 1.0),
    ],
)  # fmt: skip
def test_every_switch_has_an_effect(setting, value):
    inputs = batch()
    plain, switched = build(), build(**{setting: value})
    switched.load_state_dict(plain.state_dict())
    wanted, got = (m.relate(*encode(m, inputs)).image_emb_rel for m in (plain, switched))
    assert got.isfinite().all()
    assert (got - wanted).abs().max() > 1e-5


def test_relevance_off_is_lambda_zero():
    inputs = batch()
    off, zero = build(graph__use_relevance=False), build(graph__relevance_weight=0.0)
    close(off.relate(*encode(off, inputs)).bias, zero.relate(*encode(zero, inputs)).bias, 0.0)


@INTERACTIONS
@pytest.mark.parametrize("size", [1, 2, 5])
def test_trap_07_small_batches_train(interaction, size):
    """A batch of one has no negative and one node a block: the loss is finite, and so is every gradient."""
    torch.manual_seed(0)
    model = build(graph__interaction=interaction).train()
    related, terms = all_losses(model, batch(size))
    assert related.graph.connection.any(1).all()
    total = sum(terms.values())
    assert total.isfinite()
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_duplicated_pairs_train():
    """The same pair five times: distances 0, cosines 1, every score tied."""
    model = build().train()
    inputs = [x[:1].repeat_interleave(5, 0) for x in batch(1)]
    _, terms = all_losses(model, inputs)
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_regularizer_teaches_the_relevance_mlps_alone():
    model, inputs = build().train(), batch()
    model.relate(*encode(model, inputs)).graph.regularizer.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and (p.grad != 0).any()}
    assert reached
    assert all(n.startswith(("relation.graph.mlp_i2t.", "relation.graph.mlp_t2i.")) for n in reached)
    assert {n.split(".")[2] for n in reached} == {"mlp_i2t", "mlp_t2i"}


@INTERACTIONS
def test_the_objective_reaches_every_weight(interaction):
    model = build(graph__interaction=interaction).train()
    _, terms = all_losses(model, batch())
    sum(terms.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
