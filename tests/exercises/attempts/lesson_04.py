"""Wrong answers to the exercises of lesson 04, written by somebody who had not read the checks."""

# ruff: noqa: F811

import torch
from exercises.attempts import attempt, attempt_value


@attempt("04a", "weight times the finished mask: NaN for weight 0")
def relation_weights(scores, connection, relevance, weight):
    mask = relevance.masked_fill(~connection, -torch.inf)
    return (scores + weight * mask).softmax(-1)


@attempt("04a", "masks after the softmax: rows add up to less than 1")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).softmax(-1) * connection


@attempt("04a", "the scores are forgotten")
def relation_weights(scores, connection, relevance, weight):
    return (weight * relevance).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "the weight is forgotten")
def relation_weights(scores, connection, relevance, weight):
    return (scores + relevance).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "the relevance is forgotten: masked attention only")
def relation_weights(scores, connection, relevance, weight):
    return scores.masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "softmax over the columns: who is looked at, not who looks")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(~connection, -torch.inf).softmax(0)


@attempt("04a", "no relevance where not connected, but not excluded")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance * connection).softmax(-1)


@attempt("04a", "the whole sum is 0, not -inf, where not connected")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(~connection, 0).softmax(-1)


@attempt("04a", "-10 where not connected: a little is left")
def relation_weights(scores, connection, relevance, weight):
    return (scores + torch.where(connection, weight * relevance, -10.0)).softmax(-1)


@attempt("04a", "multiplies: softmax of the scores times weighted relevance, made to add up to 1")
def relation_weights(scores, connection, relevance, weight):
    part = scores.masked_fill(~connection, -torch.inf).softmax(-1) * weight * relevance
    return part / part.sum(-1, keepdim=True)


@attempt("04a", "the weight multiplies the scores, too")
def relation_weights(scores, connection, relevance, weight):
    return (weight * (scores + relevance)).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "divides the scores by a square root once more")
def relation_weights(scores, connection, relevance, weight):
    scores = scores / scores.size(-1) ** 0.5
    return (scores + weight * relevance).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "the mask turned round: only nodes that are not connected are heard")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(connection, -torch.inf).softmax(-1)


@attempt("04a", "the connection transposed")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(~connection.T, -torch.inf).softmax(-1)


@attempt("04a", "a connected node with relevance 0 is taken for not connected")
def relation_weights(scores, connection, relevance, weight):
    part = connection * relevance
    return (scores + weight * part).masked_fill(part == 0, -torch.inf).softmax(-1)


@attempt("04a", "weight 0 is taken for no restriction: all nodes are heard")
def relation_weights(scores, connection, relevance, weight):
    if not weight:
        return scores.softmax(-1)
    return (scores + weight * relevance).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "adds the connection, not the relevance")
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * connection).masked_fill(~connection, -torch.inf).softmax(-1)


@attempt("04a", "parts that do not add up to 1: the division is forgotten")
def relation_weights(scores, connection, relevance, weight):
    return torch.exp(scores + weight * relevance) * connection


@attempt("04a", "divides by the sum of the whole matrix")
def relation_weights(scores, connection, relevance, weight):
    part = torch.exp(scores + weight * relevance) * connection
    return part / part.sum()


@attempt("04a", "the largest one gets everything")
def relation_weights(scores, connection, relevance, weight):
    best = (scores + weight * relevance).masked_fill(~connection, -torch.inf).argmax(-1)
    return torch.zeros_like(scores).scatter_(-1, best[:, None], 1)


@attempt("04a", "exp without taking the maximum off: NaN for large scores", arguable=True)
def relation_weights(scores, connection, relevance, weight):
    part = torch.exp(scores + weight * relevance) * connection
    return part / part.sum(-1, keepdim=True)


@attempt("04a", "writes -inf into the scores that it was given", arguable=True)
def relation_weights(scores, connection, relevance, weight):
    scores[~connection] = -torch.inf
    return (scores + weight * relevance).softmax(-1)


@attempt("04a", "the gradient to scores and relevance is lost", arguable=True)
def relation_weights(scores, connection, relevance, weight):
    return (scores + weight * relevance).masked_fill(~connection, -torch.inf).softmax(-1).detach()


def near(a, b):
    """Equal to 1e-5."""
    return bool(torch.allclose(a, b, atol=1e-5))


def shuffled(layer, v, u, bias, order):
    """Outputs of the shuffled pairs."""
    both = torch.cat([order, order + len(order)])
    return layer(v[order], u[order], bias[both][:, both])[:2]


@attempt("04b", "the bias is not shuffled: a right layer seems broken")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias)
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "rows of the bias are shuffled, columns are not")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, order + len(order)])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "the captions' half of the bias gets the pictures' rows")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, order])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both][:, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "bias[both, both] takes the diagonal, not a matrix")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, order + len(order)])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "the captions' half of the bias stays as it was")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, torch.arange(len(order), 2 * len(order))])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both][:, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "the captions are not shuffled on the way in")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, order + len(order)])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u, bias[both][:, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "looks at the pictures only")
def follows(layer, v, u, bias, order):
    return near(layer(v, u, bias)[0][order], shuffled(layer, v, u, bias, order)[0])


@attempt("04b", "looks at the captions only")
def follows(layer, v, u, bias, order):
    return near(layer(v, u, bias)[1][order], shuffled(layer, v, u, bias, order)[1])


@attempt("04b", "one of the two sides is enough")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return near(v_rel[order], v_new) or near(u_rel[order], u_new)


@attempt("04b", "always True")
def follows(layer, v, u, bias, order):
    return True


@attempt("04b", "exactly equal: rounding makes a right layer seem broken")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return torch.equal(v_rel[order], v_new) and torch.equal(u_rel[order], u_new)


@attempt("04b", "shuffles the second outputs again instead of the first: right only for exchanges")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return near(v_rel, v_new[order]) and near(u_rel, u_new[order])


@attempt("04b", "compares outputs in the old order: True for a layer that forgets the shuffle")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return near(v_rel, v_new) and near(u_rel, u_new)


@attempt("04b", "compares sums over the batch: a wrong order is not seen")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return near(v_rel.sum(0), v_new.sum(0)) and near(u_rel.sum(0), u_new.sum(0))


@attempt("04b", "adds the differences up with their signs: up and down cancel")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return bool((v_rel[order] - v_new).sum() < 1e-5 and (u_rel[order] - u_new).sum() < 1e-5)


@attempt("04b", "a tolerance of 0.5: outputs of length one hardly differ more")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return bool((v_rel[order] - v_new).abs().max() < 0.5 and (u_rel[order] - u_new).abs().max() < 0.5)


@attempt("04b", "eight pairs, whatever comes in")
def follows(layer, v, u, bias, order):
    both = torch.cat([order, order + 8])
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new, _ = layer(v[order], u[order], bias[both][:, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "runs the layer once and shuffles that result: the layer is never asked")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = v_rel[order], u_rel[order]
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "a shuffle of its own in place of the order given")
def follows(layer, v, u, bias, order):
    own = torch.arange(len(v) - 1, -1, -1)
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, own)
    return near(v_rel[own], v_new) and near(u_rel[own], u_new)


@attempt("04b", "a bias of zeros: whether the layer reads its mask right is not tested")
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, torch.zeros_like(bias))
    v_new, u_new, _ = layer(v[order], u[order], torch.zeros_like(bias))
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04b", "a tensor, not True or False", arguable=True)
def follows(layer, v, u, bias, order):
    v_rel, u_rel, _ = layer(v, u, bias)
    v_new, u_new = shuffled(layer, v, u, bias, order)
    return ((v_rel[order] - v_new).abs() < 1e-5).all() & ((u_rel[order] - u_new).abs() < 1e-5).all()


@attempt("04b", "leaves v and u shuffled", arguable=True)
def follows(layer, v, u, bias, order):
    v_rel, u_rel = (x.clone() for x in layer(v, u, bias)[:2])
    both = torch.cat([order, order + len(order)])
    v[:], u[:] = v[order], u[order]
    v_new, u_new, _ = layer(v, u, bias[both][:, both])
    return near(v_rel[order], v_new) and near(u_rel[order], u_new)


@attempt("04c", "the row: the node goes deaf, not mute")
def mute(connection, node):
    muted = connection.clone()
    muted[node] = False
    muted[node, node] = connection[node, node]
    return muted


@attempt("04c", "row and column: the node goes deaf, too")
def mute(connection, node):
    muted = connection.clone()
    muted[:, node] = muted[node] = False
    muted[node, node] = connection[node, node]
    return muted


@attempt("04c", "no copy: the connection itself is changed")
def mute(connection, node):
    itself = connection[node, node].clone()
    connection[:, node] = False
    connection[node, node] = itself
    return connection


@attempt("04c", "the node does not look at itself any more")
def mute(connection, node):
    muted = connection.clone()
    muted[:, node] = False
    return muted


@attempt("04c", "the node looks at itself afterwards, even if it did not before")
def mute(connection, node):
    muted = connection.clone()
    muted[:, node] = False
    muted[node, node] = True
    return muted


@attempt("04c", "every node looks at itself afterwards")
def mute(connection, node):
    muted = connection.clone()
    muted[:, node] = False
    return muted | torch.eye(len(connection), dtype=torch.bool)


@attempt("04c", "the partner is muted, too")
def mute(connection, node):
    half = len(connection) // 2
    muted = connection.clone()
    for one in (node, (node + half) % (2 * half)):
        muted[:, one] = False
        muted[one, one] = connection[one, one]
    return muted


@attempt("04c", "captions may still look at it")
def mute(connection, node):
    muted = connection.clone()
    muted[: len(connection) // 2, node] = False
    muted[node, node] = connection[node, node]
    return muted


@attempt("04c", "only a node below B is muted: captions are counted from 0 again")
def mute(connection, node):
    node = node % (len(connection) // 2)
    muted = connection.clone()
    muted[:, node] = False
    muted[node, node] = connection[node, node]
    return muted


@attempt("04c", "counts nodes from 1")
def mute(connection, node):
    muted = connection.clone()
    muted[:, node - 1] = False
    muted[node - 1, node - 1] = connection[node - 1, node - 1]
    return muted


@attempt("04c", "the node is cut out of the graph")
def mute(connection, node):
    rest = torch.arange(len(connection)) != node
    return connection[rest][:, rest]


@attempt("04c", "numbers, not bool")
def mute(connection, node):
    muted = connection.float()
    muted[:, node] = 0
    muted[node, node] = float(connection[node, node])
    return muted


@attempt("04c", "the other nodes: everybody but the node is muted")
def mute(connection, node):
    muted = torch.zeros_like(connection)
    muted[:, node] = connection[:, node]
    return muted | (connection & torch.eye(len(connection), dtype=torch.bool))


@attempt("04c", "adds -inf to the column as if it were the additive mask")
def mute(connection, node):
    muted = torch.where(connection, 0.0, -torch.inf)
    itself = muted[node, node].clone()
    muted[:, node] = -torch.inf
    muted[node, node] = itself
    return muted


@attempt("04c", "the partner may still look at it")
def mute(connection, node):
    partner = (node + len(connection) // 2) % len(connection)
    muted = connection.clone()
    muted[:, node] = False
    for one in (node, partner):
        muted[one, node] = connection[one, node]
    return muted


@attempt("04c", "nothing is changed")
def mute(connection, node):
    return connection.clone()


@attempt_value("04d", "only the enhanced pair: a single vector with a bar is taken for not enough")
def reaches_v2():
    return (False, True, False, False)


@attempt_value("04d", "the example of the stub")
def reaches_v2():
    return (True, True, False, False)


@attempt_value("04d", "all of them: the plain pair is taken for connected, too")
def reaches_v2():
    return (True, True, True, True)


@attempt_value("04d", "only the crossed terms")
def reaches_v2():
    return (False, False, True, True)


@attempt_value("04d", "turned round: the plain term only")
def reaches_v2():
    return (True, False, False, False)


@attempt_value("04d", "only terms with an enhanced picture, for v_2 is a picture")
def reaches_v2():
    return (False, True, True, False)


@attempt_value("04d", "only terms with an enhanced caption")
def reaches_v2():
    return (False, True, False, True)


@attempt_value("04d", "none: pair 1 trains pair 1")
def reaches_v2():
    return (False, False, False, False)


@attempt_value("04d", "three answers: the plain term is left out")
def reaches_v2():
    return (True, True, True)


@attempt_value("04d", "five answers")
def reaches_v2():
    return (False, True, True, True, True)


@attempt_value("04d", "one answer for all")
def reaches_v2():
    return True


@attempt_value("04d", "words, not truth values")
def reaches_v2():
    return ("False", "True", "True", "True")


@attempt_value("04d", "left as None")
def reaches_v2():
    return None


@attempt_value("04d", "a list in place of a tuple", arguable=True)
def reaches_v2():
    return [False, True, True, True]


@attempt_value("04d", "0 and 1 in place of False and True", arguable=True)
def reaches_v2():
    return (0, 1, 1, 1)


MILLION = 1024**2  # D x D


@attempt_value("04e", "scores of one branch of Standalone only")
def counts():
    return (65_536, 32_768, 6 * MILLION, 20 * MILLION)


@attempt_value("04e", "weights of one branch of Standalone only")
def counts():
    return (65_536, 65_536, 6 * MILLION, 10 * MILLION)


@attempt_value("04e", "output matrices forgotten")
def counts():
    return (65_536, 65_536, 5 * MILLION, 16 * MILLION)


@attempt_value("04e", "a feed-forward part of width 4D, as in other Transformers")
def counts():
    return (65_536, 65_536, 12 * MILLION, 32 * MILLION)


@attempt_value("04e", "B tokens in Fusion, not 2B")
def counts():
    return (16_384, 65_536, 6 * MILLION, 20 * MILLION)


@attempt_value("04e", "four blocks of one branch each: scores of Standalone counted twice")
def counts():
    return (65_536, 131_072, 6 * MILLION, 20 * MILLION)


@attempt_value("04e", "biases and norms counted, too")
def counts():
    fusion = 6 * MILLION + 10 * 1024
    branch = 10 * MILLION + 16 * 1024
    return (65_536, 65_536, fusion, 2 * branch)


@attempt_value("04e", "scores and weights of Fusion first, then those of Standalone")
def counts():
    return (65_536, 6 * MILLION, 65_536, 20 * MILLION)


@attempt_value("04e", "Standalone without the attention across")
def counts():
    return (65_536, 32_768, 6 * MILLION, 12 * MILLION)


@attempt_value("04e", "two feed-forward parts in a branch, one after each attention")
def counts():
    return (65_536, 65_536, 6 * MILLION, 24 * MILLION)


@attempt_value("04e", "weights of the branches shared")
def counts():
    return (65_536, 65_536, 6 * MILLION, 6 * MILLION)


@attempt_value("04e", "weights in millions")
def counts():
    return (65_536, 65_536, 6.3, 21.0)


@attempt_value("04e", "all sixteen heads, not one")
def counts():
    return (16 * 65_536, 16 * 65_536, 6 * MILLION, 20 * MILLION)


@attempt_value("04e", "D = 128, as in the sample world")
def counts():
    return (65_536, 65_536, 6 * 128**2, 20 * 128**2)


@attempt_value("04e", "a million taken for D x D")
def counts():
    return (65_536, 65_536, 6_000_000, 20_000_000)


@attempt_value("04e", "Fusion and Standalone exchanged")
def counts():
    return (65_536, 65_536, 20 * MILLION, 6 * MILLION)


@attempt_value("04e", "left as None")
def counts():
    return None


@attempt_value("04e", "floats in place of whole numbers", arguable=True)
def counts():
    return (65_536.0, 65_536.0, 6.0 * MILLION, 20.0 * MILLION)


@attempt_value("04e", "names in place of an order", arguable=True)
def counts():
    return {
        "scores of Fusion": 65_536,
        "scores of Standalone": 65_536,
        "weights of Fusion": 6 * MILLION,
        "weights of Standalone": 20 * MILLION,
    }
