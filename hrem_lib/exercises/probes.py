"""What every check asks of a student's function beside right numbers: inputs unchanged, gradients, types."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrem_lib.exercises import Wrong, expect_close


def ask(fn: Callable, *args: Any, **keywords: Any) -> Any:
    """Call a student's function with copies; refuse it where it changed one of them.

    Args:
        fn: the student's function
        args, keywords: its arguments; they are never touched
    """
    given = [_copy(value) for value in args]
    result = fn(*given, **keywords)
    for number, (before, after) in enumerate(zip(args, given, strict=True)):
        if not _same(before, after):
            raise Wrong(f"Your function changes its argument {_name(fn, number)}; its caller needs it: work on a copy.")
    return result


def expect_gradient(fn: Callable, slow: Callable, *args: Any, by: int = 0) -> None:
    """Refuse an answer through which no gradient flows, or another one than through the solution.

    Args:
        fn, slow: the student's function and the solution; both return a tensor
        args: their arguments, floating-point tensors in double precision where a gradient is asked for
        by: which argument gets it
    """
    grads = []
    for function in (slow, fn):
        given = [_copy(value) for value in args]
        given[by].requires_grad_()
        result = function(*given)
        if not isinstance(result, Tensor) or not result.requires_grad:
            where = _name(fn, by)
            raise Wrong(f"No gradient flows back to {where}: use torch operations, no .item(), detach or numpy.")
        weights = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).view_as(result)
        grads.append(torch.autograd.grad((result * weights).sum(), given[by])[0])
    expect_close(grads[1], grads[0], f"gradient by {_name(fn, by)}", case="of a weighted sum of the result")


def expect_dtype(got: Any, wanted: torch.dtype | np.dtype | type, name: str = "result") -> None:
    """Refuse a result of another type of numbers."""
    if getattr(got, "dtype", None) != wanted:
        raise Wrong(f"The {name} is of type {getattr(got, 'dtype', type(got).__name__)}, wanted {wanted}.")


def _name(fn: Callable, number: int) -> str:
    try:
        return f"`{list(inspect.signature(fn).parameters)[number]}`"
    except (TypeError, ValueError, IndexError):
        return f"number {number + 1}"


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor | np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    return True  # numbers and text don't change; objects of other kinds are the check's own business
