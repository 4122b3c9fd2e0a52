"""Image and text encoders (Sec 3.1, 3.2): an embedding depends on its own sample alone."""

from __future__ import annotations

import json

import pytest
import torch
from composition import close, mask_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hrem_lib.attention import EncoderLayer
from hrem_lib.encoders import (
    BertWords,
    BiGRUWords,
    FragmentRelations,
    ImageEncoder,
    RegionProjection,
    TextEncoder,
)
from hrem_lib.errors import UserError
from hrem_lib.pooling import masked_max_k, masked_mean, unit
from hrem_lib.pretrained import make_bert

DIM, FEATURES, VOCABULARY = 8, 12, 30
BERT = dict(model_type="bert", vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, max_position_embeddings=32)  # fmt: skip


def relations(dropout=0.1):
    return FragmentRelations(DIM, 2, 1, dropout, 0.8, 2)


def text_words(kind):
    if kind == "bert":
        return BertWords(make_bert("", VOCABULARY, BERT), DIM)
    return BiGRUWords(VOCABULARY, 6, DIM)


def build(kind):
    torch.manual_seed(0)
    if kind == "image":
        encoder = ImageEncoder(RegionProjection(FEATURES, DIM), relations())
        nn.init.normal_(encoder.projection.mlp[1].running_mean)
    else:
        encoder = TextEncoder(text_words(kind), relations())
    return encoder.double().eval()


ENCODERS = {kind: build(kind) for kind in ("image", "bert", "bigru")}
ALL = pytest.mark.parametrize("kind", ENCODERS)


def sample(kind, lengths, seed=0):
    """Inputs and mask of samples with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    if kind == "image":
        x = torch.randn(len(lengths), width, FEATURES, generator=generator, dtype=torch.float64)
    else:
        x = torch.randint(1, VOCABULARY, (len(lengths), width), generator=generator)
    return x, mask_of(torch.tensor(lengths), width)


@ALL
@settings(derandomize=True, max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4), extra=st.integers(0, 6), odd=st.integers(0, 29))
def test_trap_01_padding_and_batch_mates_change_nothing(kind, lengths, extra, odd):
    """In evaluation mode: each sample alone, against the same sample in a batch with anything in the padding."""
    encoder, (x, mask) = ENCODERS[kind], sample(kind, lengths)
    wide_mask = F.pad(mask, (0, extra))
    wide = F.pad(x, (0, 0, 0, extra) if kind == "image" else (0, extra))
    wide = torch.where(wide_mask if kind != "image" else wide_mask[..., None], wide, odd)
    together = encoder(wide, wide_mask)
    for row, length in enumerate(lengths):
        alone = encoder(x[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool))
        close(together.emb[row], alone.emb[0], 1e-10)
        close(together.fragments[row, :length], alone.fragments[0], 1e-10)
        close(together.context[row, :length], alone.context[0], 1e-10)


@ALL
def test_order_of_the_batch(kind):
    x, mask = sample(kind, [3, 7, 1, 5])
    order = torch.tensor([2, 0, 3, 1])
    close(ENCODERS[kind](x[order], mask[order]).emb, ENCODERS[kind](x, mask).emb[order], 1e-10)


@ALL
def test_what_is_handed_out(kind):
    x, mask = sample(kind, [3, 7, 1])
    got = ENCODERS[kind](x, mask)
    close(got.emb.norm(dim=1), torch.ones(3), 1e-6)
    close(got.emb, unit(got.pooled), 0.0)
    # (2)(3): the maximum before the attention, the mean after it
    close(got.pooled, 0.8 * masked_max_k(got.fragments, mask, 2) + 0.2 * masked_mean(got.context, mask), 1e-10)
    assert (got.context - got.fragments)[mask].abs().max() > 0.1
    assert got.weights is None
    assert got.mask is mask
    slow = ENCODERS[kind](x, mask, return_weights=True)
    close(slow.emb, got.emb, 1e-10)
    assert [w.shape for w in slow.weights] == [(3, 2, 7, 7)]
    assert (slow.weights[0][0, :, :, 3:] == 0).all()


@ALL
def test_gradient_reaches_every_weight(kind):
    encoder, (x, mask) = build(kind).train(), sample(kind, [3, 7, 1])
    encoder(x, mask).emb[:, 0].sum().backward()
    without = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_no_relation_layers_is_pooling_alone():
    pooled = FragmentRelations(DIM, 2, 0, 0.1, 0.8, 2)
    x = torch.randn(2, 4, DIM)
    got = pooled(x, mask_of(torch.tensor([4, 2]), 4))
    assert torch.equal(got.context, got.fragments)
    assert not list(pooled.parameters())


# --- region projection ------------------------------------------------------------------------------------------------


def test_projection_is_fc_plus_mlp():
    torch.manual_seed(0)
    layer = RegionProjection(FEATURES, DIM).eval()
    x, mask = torch.randn(2, 3, FEATURES), mask_of(torch.tensor([3, 1]), 3)
    wanted = layer.fc(x) + layer.mlp[3](layer.mlp[1](layer.mlp[0](x).flatten(0, 1)).relu()).unflatten(0, (2, 3))
    got = layer(x, mask)
    close(got[mask], wanted[mask], 1e-6)
    assert (got[~mask] == 0).all()
    assert (layer.mlp[0].out_features, layer.mlp[3].out_features) == (DIM // 2, DIM)


def test_linear_projection_is_the_papers_one_layer():
    layer = RegionProjection(FEATURES, DIM, "linear")
    assert len(list(layer.parameters())) == 2
    x = torch.randn(1, 3, FEATURES)
    close(layer(x, torch.ones(1, 3, dtype=torch.bool)), layer.fc(x), 1e-6)


def test_initialization():
    """Xavier-uniform and zero bias on the projection; torch's own elsewhere."""
    torch.manual_seed(0)
    layer = RegionProjection(400, 200)
    for linear in (layer.fc, layer.mlp[0], layer.mlp[3]):
        bound = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert (linear.bias == 0).all()
        assert 0.99 * bound < linear.weight.abs().max() <= bound
    assert EncoderLayer(DIM, 2, DIM).linear1.bias.abs().max() > 0


def test_batchnorm_sees_real_regions_only():
    """In training the statistics, running ones too, are those of the valid rows."""
    torch.manual_seed(0)
    layer = RegionProjection(FEATURES, DIM).double().train()
    x, mask = sample("image", [3, 5, 1])
    x = torch.where(mask[..., None], x, 1e6)
    got = layer(x, mask)
    hidden = layer.mlp[0](x[mask])
    close(layer.mlp[1].running_mean, 0.1 * hidden.mean(0), 1e-10)
    normal = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    close(got[mask], layer.fc(x[mask]) + layer.mlp[3](normal.relu()), 1e-10)


# --- words ------------------------------------------------------------------------------------------------------------


def test_bigru_is_the_mean_of_two_directions():
    torch.manual_seed(0)
    words = BiGRUWords(VOCABULARY, 6, DIM)
    x, mask = sample("bigru", [4, 2])
    got = words(x, mask)
    assert got.shape == (2, 4, DIM)
    assert (got[1, 2:] == 0).all()
    one_way = nn.GRU(6, DIM, batch_first=True)
    states = []
    for suffix, turn in (("", lambda t: t), ("_reverse", lambda t: t.flip(1))):
        one_way.load_state_dict({k: getattr(words.gru, k + suffix) for k in one_way.state_dict()})
        states.append(turn(one_way(turn(words.embedding(x[1:, :2])))[0]))
    close(got[1, :2], ((states[0] + states[1]) / 2)[0], 1e-6)


def test_bert_reads_every_piece():
    """The last hidden states, [CLS] and [SEP] included, then one linear layer."""
    words = ENCODERS["bert"].words
    x, mask = sample("bert", [5, 3])
    states = words.bert(input_ids=x, attention_mask=mask.long()).last_hidden_state
    close(words(x, mask), words.linear(states), 1e-10)


def test_bert_groups_leave_out_padding(monkeypatch):
    """Captions of like length go together, cut to their longest; values, order and gradient are those of one group."""
    words = build("bert").words
    x, mask = sample("bert", [9, 2, 8, 3, 1])
    whole = words(x, mask)
    shapes, encode = [], words._encode
    monkeypatch.setattr(BertWords, "SMALLEST", 2)
    monkeypatch.setattr(words, "_encode", lambda x, mask: shapes.append(tuple(mask.shape)) or encode(x, mask))
    got = words(x, mask)
    assert shapes == [(2, 2), (2, 8), (1, 9)]
    close(got[mask], whole[mask], 1e-10)
    gradients = [torch.autograd.grad(y[mask].square().sum(), words.linear.weight)[0] for y in (got, whole)]
    close(*gradients, 1e-8)


def test_bert_of_a_folder(tmp_path):
    """Weights are read whole or refused; the checks name both numbers."""
    model = make_bert("", VOCABULARY, BERT)
    model.save_pretrained(tmp_path)
    again = make_bert(str(tmp_path), VOCABULARY)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    with pytest.raises(UserError, match="has 30 word vectors, the tokenizer 31"):
        make_bert(str(tmp_path), VOCABULARY + 1)


def test_bert_that_lacks_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    make_bert("", VOCABULARY, BERT).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, the first is encoder\.layer\.0\.output\.dense\.weight"):
        make_bert(str(tmp_path), VOCABULARY)


def test_no_bert_there(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for name in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(UserError) as error:
            make_bert(name, VOCABULARY)
        assert "\n" not in str(error.value)
        assert "could not be read" in str(error.value)


def test_small_bert():
    model = make_bert("small", 50)
    assert (model.config.vocab_size, model.config.hidden_size, model.pooler) == (50, 128, None)
