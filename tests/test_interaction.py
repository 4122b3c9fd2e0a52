"""Relation interaction: additive mask, fusion, standalone (Sec 3.3.2)."""

from __future__ import annotations

import pytest
import torch
from composition import close
from torch.nn import functional as F

from hrem_lib.graph import Graph
from hrem_lib.interaction import Fusion, Standalone, additive_mask, graph_bias

B, DIM, HEADS = 3, 8, 2
KINDS = pytest.mark.parametrize("kind", [Fusion, Standalone])


def embeddings(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(F.normalize(torch.randn(B, DIM, generator=generator, dtype=dtype), dim=1) for _ in range(2))


def graph_parts(seed=0, dtype=torch.float64):
    """A and S of 2B nodes; every row of every block keeps a node."""
    generator = torch.Generator().manual_seed(seed)
    connection = torch.rand(2 * B, 2 * B, generator=generator) < 0.5
    connection |= torch.eye(B, dtype=torch.bool).repeat(2, 2)
    return connection, torch.randn(2 * B, 2 * B, generator=generator, dtype=dtype)


def build(kind, layers=1, dropout=0.0):
    torch.manual_seed(0)
    return kind(DIM, HEADS, layers, dropout).double()


def test_additive_mask_of_the_docstring():
    connection = torch.tensor([[True, False], [True, True]])
    got = additive_mask(connection, torch.full((2, 2), 0.8), 1.0)
    close(got, torch.tensor([[0.8, -torch.inf], [0.8, 0.8]]), 0.0)


def test_additive_mask_gradient():
    connection, relevance = graph_parts()
    relevance.requires_grad_()
    kept = lambda s: additive_mask(connection, s, 1.5)[connection]  # noqa: E731
    assert torch.autograd.gradcheck(kept, relevance)
    kept(relevance).sum().backward()
    close(relevance.grad, 1.5 * connection, 0.0)


@KINDS
def test_trap_02_lambda_zero_is_plain_masked_attention(kind):
    """0 x -inf is NaN in the released code."""
    connection, relevance = graph_parts()
    model, (v, u) = build(kind), embeddings()
    bias = additive_mask(connection, relevance, 0.0)
    assert not bias.isnan().any()
    plain = torch.zeros_like(relevance).masked_fill(~connection, -torch.inf)
    for got, wanted in zip(model(v, u, bias)[:2], model(v, u, plain)[:2], strict=True):
        assert got.isfinite().all()
        close(got, wanted, 1e-12)


def test_switches():
    connection, relevance = graph_parts()
    graph = Graph(connection, relevance, None, None)
    close(graph_bias(graph, 1.5), additive_mask(connection, relevance, 1.5), 0.0)
    close(graph_bias(graph, 1.5, use_connection=False), 1.5 * relevance, 0.0)
    close(graph_bias(graph, 1.5, use_relevance=False), additive_mask(connection, relevance, 0.0), 0.0)
    close(graph_bias(graph, 1.5, False, False), torch.zeros_like(relevance), 0.0)


@KINDS
def test_outputs(kind):
    connection, relevance = graph_parts()
    v_rel, u_rel, used = build(kind, layers=2)(*embeddings(), additive_mask(connection, relevance, 1.0), True)
    close(v_rel.norm(dim=1), torch.ones(B), 1e-10)
    close(u_rel.norm(dim=1), torch.ones(B), 1e-10)
    assert [w.shape for w in used] == [(HEADS, 2 * B, 2 * B)] * 2
    # a softmax over all nodes, or one for each half
    close(torch.stack(used).sum(-1), torch.full((2, HEADS, 2 * B), 1.0 if kind is Fusion else 2.0), 1e-10)
    for weights in used:
        assert (weights[:, ~connection] == 0).all()
        assert (weights[:, connection] > 0).all()


@KINDS
def test_weights_path_gives_the_same(kind):
    connection, relevance = graph_parts()
    model, bias = build(kind, layers=2), additive_mask(connection, relevance, 1.0)
    slow, fast = model(*embeddings(), bias, True), model(*embeddings(), bias)
    close(slow[0], fast[0], 1e-10)
    close(slow[1], fast[1], 1e-10)
    assert fast[2] == []


@KINDS
def test_the_order_of_the_batch_does_not_matter(kind):
    connection, relevance = graph_parts()
    model, (v, u), bias = build(kind, layers=2), embeddings(), additive_mask(connection, relevance, 1.0)
    order = torch.tensor([2, 0, 1])
    nodes = torch.cat([order, order + B])
    wanted, got = model(v, u, bias), model(v[order], u[order], bias[nodes][:, nodes])
    close(got[0], wanted[0][order], 1e-10)
    close(got[1], wanted[1][order], 1e-10)


def test_fusion_is_equivariant_to_any_order_of_its_nodes():
    """Images and texts are one sequence without positions: nodes may be mixed."""
    connection, relevance = graph_parts()
    model, (v, u), bias = build(Fusion), embeddings(), additive_mask(connection, relevance, 1.0)
    order = torch.tensor([4, 0, 3, 5, 1, 2])
    x = torch.cat([v, u])[order]
    got = torch.cat(model(x[:B], x[B:], bias[order][:, order])[:2])
    close(got, torch.cat(model(v, u, bias)[:2])[order], 1e-10)


@KINDS
def test_isolated_node(kind):
    """Connected to nothing: it keeps its own way through the layer, and no other node sees it."""
    connection, relevance = graph_parts()
    model, (v, u) = build(kind), embeddings()
    connection[1] = connection[:, 1] = False
    bias = additive_mask(connection, relevance, 1.0)
    first = model(v, u, bias)
    assert torch.cat(first[:2]).isfinite().all()
    moved = v.clone()
    moved[1] = -moved[1]
    second = model(moved, u, bias)
    others = [0, 2]
    close(second[0][others], first[0][others], 1e-12)
    close(second[1], first[1], 1e-12)
    assert (second[0][1] - first[0][1]).abs().max() > 1e-3
    elsewhere = model(torch.stack([-v[0], v[1], -v[2]]), -u, bias)
    close(elsewhere[0][1], first[0][1], 1e-12)


def test_standalone_reads_the_other_branchs_input():
    """Each branch by itself, from both inputs: so neither can have read the other's output."""
    connection, relevance = graph_parts()
    model, (v, u), bias = build(Standalone), embeddings(), additive_mask(connection, relevance, 1.0)
    v_rel, u_rel, _ = model(v, u, bias)
    i2i, i2t, t2i, t2t = bias[:B, :B], bias[:B, B:], bias[B:, :B], bias[B:, B:]
    text_first = model.text_layers[0](u[None], v[None], t2i, t2t, False)[0][0]
    image_second = model.image_layers[0](v[None], u[None], i2t, i2i, False)[0][0]
    close(u_rel, F.normalize(text_first, dim=1), 1e-12)
    close(v_rel, F.normalize(image_second, dim=1), 1e-12)
    after = model.text_layers[0](u[None], v_rel[None], t2i, t2t, False)[0][0]
    assert (F.normalize(after, dim=1) - u_rel).abs().max() > 1e-3


def test_standalone_layer_adds_what_it_attended_to():
    """Post-norm residual of the cross-attention, then the encoder layer under the intra-modal block."""
    connection, relevance = graph_parts()
    model, (v, u), bias = build(Standalone), embeddings(), additive_mask(connection, relevance, 1.0)
    layer, v, u = model.image_layers[0], v[None], u[None]
    attended = layer.cross(v, u, bias=bias[:B, B:])[0]
    wanted = layer.encoder(layer.cross_norm(v + attended), bias=bias[:B, :B])[0]
    close(layer(v, u, bias[:B, B:], bias[:B, :B], False)[0], wanted, 1e-12)


def test_standalone_branches_are_mirror_images():
    """Modalities exchanged, with their weights and the graph: the outputs exchange. So the order of branches means
    nothing, in two layers too, and each direction uses its own blocks."""
    connection, relevance = graph_parts()
    model, (v, u), bias = build(Standalone, layers=2), embeddings(), additive_mask(connection, relevance, 1.0)
    mirror = build(Standalone, layers=2)
    mirror.image_layers.load_state_dict(model.text_layers.state_dict())
    mirror.text_layers.load_state_dict(model.image_layers.state_dict())
    swap = torch.tensor([3, 4, 5, 0, 1, 2])
    v_rel, u_rel, _ = model(v, u, bias)
    other_v, other_u, _ = mirror(u, v, bias[swap][:, swap])
    close(other_v, u_rel, 1e-12)
    close(other_u, v_rel, 1e-12)


def test_gradient_reaches_relevance():
    connection, relevance = graph_parts()
    for kind in (Fusion, Standalone):
        leaf = relevance.clone().requires_grad_()
        v_rel, u_rel, _ = build(kind)(*embeddings(), additive_mask(connection, leaf, 1.0))
        (v_rel[:, 0].sum() + u_rel[:, 0].sum()).backward()
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[~connection] == 0).all()
        assert leaf.grad.abs().max() > 1e-6
