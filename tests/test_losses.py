"""Objective (13): triplet with distance-weighted negatives, hinge, the named total."""

from __future__ import annotations

import math
from unittest import mock

import pytest
import torch
from composition import close, first_of_best, one_direction
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import hinge_loop, infonce_loop, triplet_loop, weights_loop
from torch.nn import functional as F

from hrem_lib.losses import (
    Objective,
    PairLoss,
    at_collapse,
    distance_weights,
    draw_negatives,
    hinge,
    infonce,
    spread,
    triplet,
)

IDS = torch.tensor([7, 3, 7, 1, 9, 3])


def unit_vectors(n=6, dim=5, seed=0, dtype=torch.float64):
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return F.normalize(x, dim=1)


def positives(ids):
    return ids[:, None] == ids[None]


def on_circle(*degrees, dtype=torch.float32):
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], 1).to(dtype)


# --- the law ----------------------------------------------------------------------------------------------------------


@settings(derandomize=True, max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), dim=st.sampled_from([4, 16, 512]), cutoff=st.sampled_from([0.9, 1.4, 1.9]))
def test_law_is_the_loop(seed, dim, cutoff):
    similarity = unit_vectors(seed=seed) @ unit_vectors(seed=seed + 100).T
    wanted = weights_loop(similarity.tolist(), IDS.tolist(), dim, cutoff, 0.5)
    got = distance_weights(similarity, positives(IDS), dim, cutoff)
    close(got, torch.from_numpy(wanted), 1e-10)
    full = got.sum(1) > 0
    close(got[full].sum(1), torch.ones(int(full.sum())), 1e-10)


@pytest.mark.parametrize("dim", [8, 16])
def test_law_is_pytorch_metric_learnings(dim):
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    module = "pytorch_metric_learning.miners.distance_weighted_miner.lmu.get_random_triplet_indices"
    x, ids = unit_vectors(20, dim), torch.arange(20) // 2
    miner = miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)
    with mock.patch(
        module, side_effect=lambda *a, **k: (captured.append(k["weights"]), (torch.zeros(0).long(),) * 3)[1]
    ):
        captured: list = []
        miner(x, ids)
    theirs = captured[0].double()
    got = distance_weights(x @ x.T, positives(ids), dim, 1.4)
    full = theirs.sum(1) > 0
    assert full.sum() > 10
    close(got[full], theirs[full] / theirs[full].sum(1, keepdim=True), 1e-6)


def test_trap_08_similarity_slightly_above_one():
    """Rounding gives cosines beyond 1; the square root of 2 - 2s would be NaN."""
    similarity = torch.full((3, 3), 1 + 1e-6)
    got = distance_weights(similarity, torch.eye(3, dtype=torch.bool))
    close(got, (1 - torch.eye(3)) / 2, 1e-6)
    x = F.normalize(torch.ones(3, 7), dim=1).requires_grad_()
    loss = triplet(x, x * (1 + 1e-6), torch.arange(3)).loss
    loss.backward()
    close(loss, torch.tensor(6 * 0.2), 1e-5)
    assert x.grad.isfinite().all()


def test_opposite_vectors():
    """Distance 2 makes 1 - D^2/4 zero, its logarithm infinite."""
    got = distance_weights(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.eye(2, dtype=torch.bool), cutoff=2.0)
    assert (got == 0).all()
    wide = distance_weights(torch.tensor([[1.0, -0.999999], [0.0, 1.0]]), torch.eye(2, dtype=torch.bool), cutoff=2.0)
    close(wide, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 1e-6)


@pytest.mark.parametrize("cutoff", [1.7, 1.9])
def test_trap_15_a_pair_beyond_the_cutoff_does_not_set_the_maximum(cutoff):
    """Opposite pairs have a huge log weight in 512 dimensions; the admissible ones would underflow to nothing."""
    v, u = on_circle(0, 90, 10), on_circle(0, 178, 60)
    similarity, positive = v @ u.T, torch.eye(3, dtype=torch.bool)
    got = distance_weights(similarity, positive, 512, cutoff)
    distance = (2 - 2 * similarity).sqrt()
    assert distance[0, 1] > cutoff
    assert got[0, 1] == 0
    close(got[0, 2], torch.tensor(1.0), 1e-6)
    close(got.sum(1), torch.ones(3), 1e-5)
    assert triplet(v, u, torch.arange(3), cutoff=cutoff, draw=one_direction("i2t")).loss > 0


def test_law_in_half_precision():
    """Computed in float32 at least."""
    similarity = (unit_vectors(dtype=torch.float32) @ unit_vectors(seed=1, dtype=torch.float32).T).bfloat16()
    got = distance_weights(similarity, positives(IDS))
    assert got.dtype == torch.float32
    close(got, distance_weights(similarity.float(), positives(IDS)), 0.0)


# --- drawn negatives --------------------------------------------------------------------------------------------------


def test_drawn_negatives_follow_the_law():
    torch.manual_seed(0)
    law = torch.tensor([[0.0, 0.7, 0.3], [0.0, 0.0, 0.0], [0.25, 0.75, 0.0]])
    drawn, found = draw_negatives(law, torch.tensor([0, 1, 2]).repeat(4000))
    drawn, found = drawn.view(-1, 3), found.view(-1, 3)
    assert found.all(0).tolist() == [True, False, True]
    for row in (0, 2):
        shares = torch.bincount(drawn[:, row], minlength=3) / 4000
        close(shares, law[row], 0.03)
        assert (shares[law[row] == 0] == 0).all()


def test_drawn_distances_are_spread_evenly():
    """What the sampling is for (Wu et al.): in 8 dimensions random pairs crowd near sqrt(2), the drawn ones are close
    to uniform from 0.5 to the cut-off. Never a positive, never beyond the cut-off."""
    torch.manual_seed(0)
    n, dim, cutoff = 3000, 8, 1.4
    v, u = unit_vectors(n, dim, dtype=torch.float32), unit_vectors(n, dim, seed=1, dtype=torch.float32)
    similarity, positive = v @ u.T, positives(torch.arange(n) // 2)
    columns, found = draw_negatives(distance_weights(similarity, positive, dim, cutoff), torch.arange(n))
    assert found.all()
    assert not positive[torch.arange(n), columns].any()
    distance = (2 - 2 * similarity[torch.arange(n), columns]).clamp(min=0).sqrt()
    assert distance.max() < cutoff
    inside = distance[distance > 0.55]  # below min_distance the law is flat
    low = float(inside.min())
    mean, variance = (low + cutoff) / 2, (cutoff - low) ** 2 / 12
    assert abs(float(inside.mean()) - mean) < 0.1 * mean
    assert abs(float(inside.var()) - variance) < 0.1 * variance
    everything = (2 - 2 * similarity).clamp(min=0).sqrt()
    everything = everything[(everything > low) & (everything < cutoff)]
    assert abs(float(everything.var()) - variance) > 0.3 * variance  # plain random pairs fail the test


# --- triplet ----------------------------------------------------------------------------------------------------------


@settings(derandomize=True, max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), margin=st.sampled_from([0.0, 0.2, 0.7]))
def test_triplet_is_the_loop(seed, margin):
    """With an arbitrary negative for each (anchor, positive): not one an anchor."""
    v, u = unit_vectors(seed=seed), unit_vectors(seed=seed + 100)
    chosen = {}

    def draw(weights, rows):
        columns = (torch.arange(len(rows)) * 5 + seed) % 6
        chosen[len(chosen)] = columns.tolist()
        return columns, torch.ones_like(rows, dtype=torch.bool)

    got = triplet(v, u, IDS, margin, draw=draw)
    index = {(a, p): at for at, (a, p) in enumerate(positives(IDS).nonzero().tolist())}
    wanted = sum(
        triplet_loop(s.tolist(), IDS.tolist(), margin, lambda a, p, side=side: chosen[side][index[a, p]])
        for side, s in enumerate((v @ u.T, u @ v.T))
    )
    close(got.loss, torch.tensor(wanted, dtype=torch.float64), 1e-10)
    assert got.positives == len(index) == 10


def test_several_draws_are_the_mean_of_single_ones():
    """Same mean over many repeats, a quarter of the variance; a level of collapse that does not move."""
    v, u, repeats = unit_vectors(), unit_vectors(seed=1), 3000
    torch.manual_seed(0)
    one, four = (
        torch.stack([triplet(v, u, IDS, 0.7, dim=4, cutoff=1.99, draws=draws).loss for _ in range(repeats)])
        for draws in (1, 4)
    )
    error = float((one.var() / repeats + four.var() / repeats).sqrt())
    assert abs(float(one.mean() - four.mean())) < 4 * error
    assert 0.21 < float(four.var() / one.var()) < 0.29
    same = [triplet(v, u, IDS, 0.7, draws=draws, draw=first_of_best) for draws in (1, 4)]
    close(same[1].loss, same[0].loss, 1e-12)
    assert same[0].positives == same[1].positives and same[0].without_negative == same[1].without_negative


def test_trap_03_one_row_without_negative_takes_nothing_away():
    """Image 0 has no admissible caption. The others' loss is what it would be without that row."""
    v, u = on_circle(180, 0, 20, dtype=torch.float64), on_circle(5, 10, 15, dtype=torch.float64)
    ids = torch.arange(3)
    got = triplet(v, u, ids, draw=one_direction("i2t"))
    similarity = v @ u.T
    assert distance_weights(similarity, positives(ids)).sum(1).bool().tolist() == [False, True, True]
    wanted = triplet_loop(similarity.tolist(), ids.tolist(), 0.2, lambda a, p: {1: 0, 2: 0}.get(a))
    assert wanted > 0.3
    close(got.loss, torch.tensor(wanted, dtype=torch.float64), 1e-10)
    assert int(got.without_negative) >= 1


def test_no_negative_at_all():
    v = unit_vectors(3).requires_grad_()
    for size in (1, 3):
        got = triplet(v[:size], unit_vectors(3, seed=1)[:size], torch.zeros(size))
        assert got.loss == 0
        assert int(got.without_negative) == 2 * size
        got.loss.backward()
    assert (v.grad == 0).all()


@pytest.mark.parametrize("kind", ["triplet", "hinge"])
def test_trap_04_the_margin_counts(kind, monkeypatch):
    """Also when it comes through the objective."""
    monkeypatch.setattr(triplet, "__defaults__", (*triplet.__defaults__[:-1], first_of_best))
    v, u = unit_vectors(), unit_vectors(seed=1)
    losses = [Objective(kind, kind, margin=m, cutoff=1.9)(v, u, IDS)[0]["initial"] for m in (0.0, 0.2, 1.0)]
    assert losses[0] < losses[1] < losses[2]


def test_collapse_costs_the_margin_of_every_pair():
    """All embeddings equal: 2 x positives x margin."""
    v = unit_vectors(1).expand(6, -1)
    got = triplet(v, v, IDS)
    close(got.loss, torch.tensor(2 * got.positives * 0.2, dtype=torch.float64), 1e-10)


@pytest.mark.parametrize(("loss", "near"), [(4.0, True), (4.07, True), (3.93, True), (4.09, False), (3.91, False)])
def test_at_collapse_is_two_percent_and_no_spread(loss, near):
    flat, wide = torch.tensor(0.0019), torch.tensor(0.0021)  # a hundredth of the margin: 0.002
    assert bool(at_collapse(PairLoss(torch.tensor(loss), 10, torch.tensor(0), flat, 4.0), 0.2)) == near
    assert not at_collapse(PairLoss(torch.tensor(loss), 10, torch.tensor(0), wide, 4.0), 0.2)
    assert not at_collapse(PairLoss(torch.tensor(float("nan")), 10, torch.tensor(0), flat, 4.0), 0.2)


def test_spread_is_that_of_the_flatter_direction():
    """Rows differ and columns do not, or the other way round: for one side all candidates look alike."""
    s = torch.tensor([[0.1, 0.5, 0.3], [0.1, 0.5, 0.3]])
    assert spread(s) == 0 and spread(s.T) == 0
    by_hand = torch.tensor([[0.0, 0.2], [0.4, 0.0]])  # within rows 0.1 and 0.2, within columns 0.2 and 0.1
    close(spread(by_hand), torch.tensor(0.15), 1e-7)
    assert spread(torch.ones(1, 1)) == 0


@pytest.mark.parametrize("law", [{"sampling_dim": 512}, {"initial": "hinge"}])
def test_hard_negatives_of_a_model_that_learns_are_no_collapse(law):
    """Negatives as near as the positive: the loss is at the level, the embeddings are as different as ever."""
    image = unit_vectors(64, 256)
    text = F.normalize(image + image.roll(1, 0), dim=1)  # each caption lies as near to a wrong picture
    _, pairs = Objective(**law)(image, text, torch.arange(64))
    loss, level = float(pairs["initial"].loss), 2 * 64 * 0.2
    assert abs(loss - level) < 0.02 * level
    assert not at_collapse(pairs["initial"], 0.2)
    point = image[:1].expand(64, -1)
    for v, u in ((point, point), (point, text), (image, point)):  # one modality is enough for spread
        assert Objective(**law)(v, u, torch.arange(64))[1]["initial"].spread < 1e-6


# --- InfoNCE ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("scale", [0.0, 2.66, 9.0])  # the last one is above CLIP's limit, log 100
def test_infonce_is_the_loop(exclude, scale):
    v, u = unit_vectors(), unit_vectors(seed=1)
    got = infonce(v, u, IDS, torch.tensor(scale, dtype=torch.float64), exclude)
    wanted = infonce_loop((v @ u.T).tolist(), IDS.tolist(), scale, exclude)
    close(got.loss, torch.tensor(wanted, dtype=torch.float64), 1e-10)


def test_infonce_without_scale_is_chance_and_that_is_its_level():
    """All candidates alike: the logarithm of their number, which is smaller where a picture stands twice."""
    v = unit_vectors(1).expand(6, -1)
    got = infonce(v, v, IDS, torch.tensor(2.0))
    by_hand = 2 * (4 * math.log(5) + 2 * math.log(6))  # 7 and 3 stand twice, 1 and 9 once
    assert float(got.loss) == pytest.approx(by_hand) and float(got.level) == pytest.approx(by_hand)
    assert at_collapse(got, 0.2) and int(got.without_negative) == 0
    assert not at_collapse(infonce(unit_vectors(), unit_vectors(seed=1), IDS, torch.tensor(2.0)), 0.2)
    alone = infonce(v[:2], v[:2], torch.tensor([4, 4]), torch.tensor(2.0))
    assert float(alone.loss) == 0 and int(alone.without_negative) == 4


def test_infonce_learns_its_temperature_up_to_a_hundred():
    v, u = unit_vectors(), unit_vectors(seed=1)
    for start, moves in ((2.0, True), (4.7, False)):  # log 100 = 4.605
        scale = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        infonce(v, u, IDS, scale).loss.backward()
        assert bool(scale.grad != 0) == moves


def test_infonce_is_a_choice_for_the_plain_embeddings():
    v, u = unit_vectors(), unit_vectors(seed=1)
    scale = torch.tensor(2.0, dtype=torch.float64)
    terms, _ = Objective("infonce", logit_scale=scale)(v, u, IDS, u, v, torch.tensor(0.0))
    close(terms["initial"], infonce(v, u, IDS, scale).loss, 1e-12)
    _, pairs = Objective("infonce", "hinge", logit_scale=scale)(v, u, IDS, u, v, torch.tensor(0.0))
    close(pairs["enhanced"].loss, hinge(u, v, IDS).loss, 1e-12)


def test_permuting_the_batch_changes_nothing():
    v, u, order = unit_vectors(), unit_vectors(seed=1), torch.tensor([4, 2, 0, 5, 1, 3])
    for loss in (lambda *a: triplet(*a, draw=first_of_best), hinge):
        close(loss(v[order], u[order], IDS[order]).loss, loss(v, u, IDS).loss, 1e-10)


def test_gradients():
    v, u = unit_vectors().requires_grad_(), unit_vectors(seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: triplet(a, b, IDS, draw=first_of_best).loss, (v, u))
    for hardest in (False, True):
        assert torch.autograd.gradcheck(lambda a, b, h=hardest: hinge(a, b, IDS, hardest=h).loss, (v, u))


# --- hinge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("exclude", [False, True])
def test_hinge_is_the_loop(hardest, exclude):
    v, u = unit_vectors(), unit_vectors(seed=1)
    wanted = hinge_loop((v @ u.T).tolist(), IDS.tolist(), 0.2, hardest, exclude)
    close(hinge(v, u, IDS, 0.2, hardest, exclude).loss, torch.tensor(wanted, dtype=torch.float64), 1e-10)


def test_hinge_of_one_pair():
    got = hinge(unit_vectors(1), unit_vectors(1, seed=1), torch.zeros(1))
    assert got.loss == 0
    assert int(got.without_negative) == 2


# --- the total --------------------------------------------------------------------------------------------------------


def test_named_terms():
    v, u, v_rel, u_rel = (unit_vectors(seed=s) for s in range(4))
    regularizer = torch.tensor(0.3, dtype=torch.float64)
    terms, pairs = Objective("hinge", "hinge")(v, u, IDS, v_rel, u_rel, regularizer)
    assert list(terms) == ["initial", "enhanced", "crossed_image", "crossed_text", "regularizer"]
    for name, (a, b) in {
        "initial": (v, u), "enhanced": (v_rel, u_rel), "crossed_image": (v_rel, u), "crossed_text": (v, u_rel),
    }.items():  # fmt: skip
        close(terms[name], hinge(a, b, IDS).loss, 1e-12)
        close(pairs[name].loss, terms[name], 0.0)
    close(terms["regularizer"], torch.tensor(3.0), 1e-6)


def test_terms_and_kinds_are_chosen():
    v, u, v_rel, u_rel = (unit_vectors(seed=s) for s in range(4))
    objective = Objective("triplet", "hinge", terms=("initial", "enhanced"), regularizer_weight=0.0)
    terms, pairs = objective(v, u, IDS, v_rel, u_rel, torch.tensor(1.0))
    assert list(terms) == ["initial", "enhanced"]
    assert pairs["initial"].positives == 10
    assert pairs["enhanced"].positives == 6
    sums, _ = objective(v, u, IDS, v_rel, u_rel, torch.tensor(1.0), hardest=False)
    assert sums["enhanced"] > terms["enhanced"]


@pytest.mark.parametrize(("initial", "enhanced"), [("hinge", "triplet"), ("triplet", "hinge")])
def test_crossed_terms_are_of_the_enhanced_kind(initial, enhanced, monkeypatch):
    """They hold enhanced embeddings, so their kind is `enhanced`'s."""
    monkeypatch.setattr(triplet, "__defaults__", (*triplet.__defaults__[:-1], first_of_best))
    v, u, v_rel, u_rel = (unit_vectors(seed=s) for s in range(4))
    terms, _ = Objective(initial, enhanced, cutoff=1.9)(v, u, IDS, v_rel, u_rel, torch.tensor(0.0))
    kinds = {"hinge": hinge, "triplet": lambda *pair: triplet(*pair, cutoff=1.9)}
    for name, kind, (a, b) in (
        ("initial", initial, (v, u)),
        ("enhanced", enhanced, (v_rel, u_rel)),
        ("crossed_image", enhanced, (v_rel, u)),
        ("crossed_text", enhanced, (v, u_rel)),
    ):
        losses = {which: loss(a, b, IDS).loss for which, loss in kinds.items()}
        assert abs(losses["hinge"] - losses["triplet"]) > 0.1  # the kinds can be told apart
        close(terms[name], losses[kind], 1e-12, note=name)


def test_before_the_relation_part_starts():
    """L(v, u) alone, whatever terms come later."""
    v, u = unit_vectors(), unit_vectors(seed=1)
    terms, _ = Objective("hinge", "triplet", terms=("enhanced",))(v, u, IDS)
    assert list(terms) == ["initial"]
    close(terms["initial"], hinge(v, u, IDS).loss, 1e-12)


def test_settings_reach_the_law():
    """Cut-off, dimension and smallest distance of the objective are those used."""
    v, u = unit_vectors(), unit_vectors(seed=1)
    with mock.patch("hrem_lib.losses.distance_weights", side_effect=distance_weights) as spy:
        Objective(cutoff=1.2, sampling_dim=16, min_distance=0.3).pair("triplet", v, u, IDS, True)
    assert {call.args[2:] for call in spy.call_args_list} == {(16, 1.2, 0.3)}


@pytest.mark.parametrize("kind", ["triplet", "hinge sum", "hinge hardest"])
def test_sums_of_half_precision_scores_have_all_bits(kind):
    """Under autocast the scores are bfloat16; what is logged is their sum in float32, not rounded to 8 bits."""
    torch.manual_seed(0)
    v, u = (F.normalize(torch.randn(24, 16), dim=1).requires_grad_() for _ in range(2))
    ids = torch.arange(24) // 2
    scores = (v.detach().bfloat16() @ u.detach().bfloat16().T).double()
    with torch.autocast("cpu", torch.bfloat16):
        if kind == "triplet":
            last = lambda weights, rows: (23 - rows // 2, torch.ones_like(rows, dtype=torch.bool))  # noqa: E731
            got = triplet(v, u, ids, 0.2, draw=last).loss
        else:
            got = hinge(v, u, ids, 0.2, hardest=kind == "hinge hardest").loss
    if kind == "triplet":
        wanted = sum(triplet_loop(s.tolist(), ids.tolist(), 0.2, lambda a, _: 23 - a // 2) for s in (scores, scores.T))
    else:
        wanted = hinge_loop(scores.tolist(), ids.tolist(), 0.2, kind == "hinge hardest", True)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(wanted, rel=1e-6)
    assert abs(wanted - float(torch.tensor(wanted).bfloat16())) > 1e-5 * wanted  # 8 bits would not do
    got.backward()
    assert v.grad.isfinite().all() and v.grad.abs().max() > 0


def test_a_kind_without_a_function_is_no_hinge():
    v, u = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    with pytest.raises(ValueError, match="loss 'mine': no function"):
        Objective().pair("mine", v, u, torch.arange(4), True)
