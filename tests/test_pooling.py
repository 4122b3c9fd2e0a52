"""Pooling: equations (2)(3), each sample by itself."""

from __future__ import annotations

import pytest
import torch
from composition import close, mask_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import max_k_loop

from hrem_lib.pooling import masked_max_k, masked_mean, residual_mix, unit


def fragments(lengths, width=4, dim=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), width, dim, generator=generator, dtype=dtype)
    return x, mask_of(torch.tensor(lengths), width)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), k=st.integers(1, 7), seed=st.integers(0, 99))
def test_max_k_is_the_loop(lengths, k, seed):
    x, mask = fragments(lengths, 6, seed=seed)
    x = (x * 2).round() / 2  # with equal values too
    close(masked_max_k(x, mask, k), torch.tensor(max_k_loop(x.tolist(), mask.tolist(), k), dtype=x.dtype), 1e-12)


def test_mean_and_mix_by_hand():
    x = torch.tensor([[[1.0], [4.0], [2.0], [100.0]]])
    context = torch.tensor([[[3.0], [6.0], [0.0], [100.0]]])
    mask = mask_of(torch.tensor([3]), 4)
    close(masked_mean(context, mask), torch.tensor([[3.0]]), 1e-6)
    close(masked_max_k(x, mask, 2), torch.tensor([[3.0]]), 1e-6)
    close(residual_mix(x, context, mask, 0.8, 2), torch.tensor([[3.0]]), 1e-6)
    close(residual_mix(x, context, mask, 0.8, 1), torch.tensor([[0.8 * 4 + 0.2 * 3]]), 1e-6)


@pytest.mark.parametrize("pool", [masked_mean, lambda x, mask: masked_max_k(x, mask, 2)], ids=["mean", "max"])
def test_whatever_stands_in_the_padding(pool):
    x, mask = fragments([1, 3, 4, 2])
    mask[0] = torch.tensor([False, False, True, False])  # padding may stand in front
    wanted = pool(x, mask)
    for odd in (float("nan"), float("inf"), 1e9, -1e9):
        filled = torch.where(mask[..., None], x, odd).requires_grad_()
        got = pool(filled, mask)
        assert torch.equal(got, wanted)
        got.sum().backward()
        assert (filled.grad[~mask] == 0).all()
        assert filled.grad.isfinite().all()


def test_trap_06_a_short_sample_does_not_change_the_others():
    x, mask = fragments([1, 4, 4])
    together = masked_max_k(x, mask, 2)
    alone = torch.cat([masked_max_k(a[None], m[None], 2) for a, m in zip(x, mask, strict=True)])
    assert torch.equal(together, alone)
    two = x[1].topk(2, dim=0).values.mean(0)
    close(together[1], two, 1e-12)
    assert (two - x[1].amax(0)).abs().max() > 0.1  # k = 1, what the trap gives


def test_gradients():
    x, mask = fragments([1, 3, 4])
    assert torch.autograd.gradcheck(lambda t: masked_max_k(t, mask, 2), x.requires_grad_())
    assert torch.autograd.gradcheck(lambda t: masked_mean(t, mask), x)
    assert torch.autograd.gradcheck(unit, x)


def test_unit_of_zero_is_zero():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    close(unit(x), torch.tensor([[0.0, 0.0], [0.6, 0.8]]), 1e-6)


def test_equal_fragments():
    x = torch.full((2, 3, 4), 0.7)
    close(masked_max_k(x, mask_of(torch.tensor([2, 3]), 3), 2), torch.full((2, 4), 0.7), 1e-6)
