"""Attention against torch.nn, the two paths against each other, and the returned weights against the output."""

from __future__ import annotations

import pytest
import torch
from composition import close, mask_of
from reference import attention_loop
from torch import nn

from hrem_lib.attention import EncoderLayer, MultiheadAttention

DIM, HEADS = 8, 2
MASK = mask_of(torch.tensor([5, 2, 1]), 5)


def layers(dtype=torch.float64, dropout=0.0):
    """Our encoder layer and torch's, with the same weights, biases not zero."""
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(DIM, HEADS, 12, dropout=dropout, batch_first=True).to(dtype)
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(0.1 * torch.randn_like(value))
    ours = EncoderLayer(DIM, HEADS, 12, dropout).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def sequence(dtype=torch.float64, seed=1):
    return torch.randn(3, 5, DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("return_weights", [False, True], ids=["fast", "weights"])
def test_encoder_layer_is_torchs(train, return_weights):
    ours, theirs = layers()
    ours.train(train)
    theirs.train(train)
    x = sequence()
    got, _ = ours(x, MASK, return_weights=return_weights)
    close(got[MASK], theirs(x, src_key_padding_mask=~MASK)[MASK], 1e-10)
    bias = torch.randn(5, 5, dtype=torch.float64)
    bias[0, 3] = bias[2, 1] = -torch.inf
    close(ours(x, bias=bias, return_weights=return_weights)[0], theirs(x, src_mask=bias), 1e-10)


def test_cross_attention_and_weights_are_torchs():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double()
    nn.init.normal_(theirs.in_proj_bias)
    ours = MultiheadAttention(DIM, HEADS).double()
    ours.load_state_dict(theirs.state_dict())
    query, key = sequence()[:, :4], sequence(seed=2)
    wanted, wanted_weights = theirs(query, key, key, key_padding_mask=~MASK, average_attn_weights=False)
    got, weights = ours(query, key, MASK, return_weights=True)
    close(got, wanted, 1e-10)
    close(weights, wanted_weights, 1e-10)
    close(ours(query, key, MASK)[0], wanted, 1e-10)


def test_both_paths_are_the_same_numbers():
    ours, _ = layers(torch.float32)
    x = sequence(torch.float32)
    bias = torch.randn(3, 5, 5, requires_grad=True)
    results = []
    for return_weights in (False, True):
        bias.grad = None
        got, weights = ours(x, MASK, bias, return_weights)
        assert (weights is None) != return_weights
        got[MASK].square().sum().backward()
        results.append((got, bias.grad))
    close(results[0][0], results[1][0], 1e-6)
    close(results[0][1], results[1][1], 1e-5)
    assert results[0][1].abs().max() > 1e-3


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train-with-dropout"])
def test_returned_weights_are_those_used(train):
    """The output recomputed from the weights handed out; with dropout it only fits if they are those after it."""
    torch.manual_seed(3)
    layer = MultiheadAttention(DIM, HEADS, dropout=0.5).double().train(train)
    x = sequence()
    got, weights = layer(x, x, MASK, return_weights=True)
    value = nn.functional.linear(x, layer.in_proj_weight[2 * DIM :], layer.in_proj_bias[2 * DIM :])
    value = value.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    close(layer.out_proj((weights @ value).transpose(1, 2).flatten(-2)), got, 1e-10)
    assert (weights[1, :, :, 2:] == 0).all()
    if train:
        assert (weights[0] == 0).any()
    else:
        close(weights.sum(-1), torch.ones(3, HEADS, 5), 1e-10)


def test_one_head_is_the_loop():
    generator = torch.Generator().manual_seed(4)
    x, relevance = (torch.randn(4, n, generator=generator, dtype=torch.float64) for n in (DIM, 4))
    connection = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    layer = MultiheadAttention(DIM, 1).double()
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(DIM).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(DIM))
    bias = torch.where(connection, 1.5 * relevance, -torch.inf)
    wanted = attention_loop(x.tolist(), x.tolist(), x.tolist(), connection.tolist(), relevance.tolist(), 1.5)
    close(layer(x[None], x[None], bias=bias)[0][0], torch.tensor(wanted, dtype=x.dtype), 1e-10)


@pytest.mark.parametrize("return_weights", [False, True], ids=["fast", "weights"])
def test_row_whose_keys_are_all_excluded(return_weights):
    """It attends to nothing: the output is out_proj's bias, other rows are untouched, gradients are finite."""
    torch.manual_seed(0)
    layer = MultiheadAttention(DIM, HEADS)
    nn.init.normal_(layer.out_proj.bias)
    x = sequence(torch.float32)[:1].requires_grad_()
    plain = torch.zeros(5, 5)
    bias = plain.clone()
    bias[2] = -torch.inf
    bias.requires_grad_()
    got, weights = layer(x, x, bias=bias, return_weights=return_weights)
    close(got[0, 2], layer.out_proj.bias, 1e-6)
    others = [0, 1, 3, 4]
    close(got[0, others], layer(x, x, bias=plain)[0][0, others], 1e-6)
    if return_weights:
        assert (weights[0, :, 2] == 0).all()
    got.sum().backward()
    assert x.grad.isfinite().all()
    assert bias.grad.isfinite().all()
    assert layer.in_proj_weight.grad.isfinite().all()


@pytest.mark.parametrize("return_weights", [False, True], ids=["fast", "weights"])
def test_padding_has_no_influence(return_weights):
    ours, _ = layers()
    x = sequence()
    wanted = ours(x, MASK, return_weights=return_weights)[0]
    got = ours(torch.where(MASK[..., None], x, 99.0), MASK, return_weights=return_weights)[0]
    close(got[MASK], wanted[MASK], 1e-12)
    alone = ours(x[1:2, :2], return_weights=return_weights)[0]
    close(wanted[1, :2], alone[0], 1e-12)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="divisor of dim = 8"):
        MultiheadAttention(8, 3)
