"""What checks ask of a student's function: right on every case, inputs unchanged, gradients, types.

On a hand example two mistakes often give the same numbers. So a mistake is named only if it gives the student's
answers everywhere; else the first case that differs is the counterexample.
"""

from __future__ import annotations

import copy
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrem_lib.exercises import Wrong, expect_close

Case = tuple[str, tuple]  # the input in words, e.g. "for a batch of one", and the arguments


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


def answer(fn: Callable, case: str, *args: Any) -> Any:
    """As `ask`; where the student's code stops, the sentence tells the case."""
    try:
        return ask(fn, *args)
    except (Wrong, NotImplementedError):
        raise
    except Exception as error:  # the student's own code may raise anything
        text = textwrap.shorten(str(error), 200).rstrip(".")
        raise Wrong(f"Your code stops {case} with {type(error).__name__}: {text}.", "stopped") from None


def compare(
    fn: Callable,
    slow: Callable,
    cases: Sequence[Case],
    mistakes: Mapping[str, Callable],
    name: str = "result",
    tol: float = 1e-5,
    differ: Callable[[Any, Any, str], None] | None = None,
) -> None:
    """Refuse a function that differs from the solution in one of the cases.

    A known mistake is named only where it gives the student's answers in *all* cases: in one of them it may be chance.
    Otherwise the first case that differs is the counterexample.

    Args:
        fn, slow: the student's function and the solution
        cases: small ones first
        mistakes: {sentence: function with this mistake}
        name, tol: as for `expect_close`
        differ: `differ(got, wanted, case)` raises `Wrong` where two answers differ; default `expect_close`
    """
    differ = differ or (lambda got, wanted, case: expect_close(got, wanted, name, tol=tol, case=case))
    wanted = [slow(*copy.deepcopy(args)) for _, args in cases]
    answers, faults = [], []
    for (case, args), right in zip(cases, wanted, strict=True):
        try:
            got = answer(fn, case, *args)
        except Wrong as wrong:
            faults.append(wrong)
            continue
        wrong = _difference(differ, got, right, case)
        answers.append((args, got, wrong is not None))
        faults += [wrong] if wrong else []
    if faults:
        for words, mistake in mistakes.items():
            if _explains(mistake, answers, differ):
                raise Wrong(words)
        raise faults[0]


def _difference(differ: Callable, got: Any, wanted: Any, case: str) -> Wrong | None:
    try:
        differ(got, wanted, case)
    except Wrong as wrong:
        return wrong
    return None


def _explains(mistake: Callable, answers: list[tuple[tuple, Any, bool]], differ: Callable) -> bool:
    """Whether a mistake gives all the student's answers, and a wrong one among them."""
    explained = False
    for args, got, wrong in answers:
        try:
            value = mistake(*copy.deepcopy(args))
        except Exception:  # the mistake has no answer here, so this case says nothing
            continue
        if _difference(differ, got, value, ""):
            return False
        explained = explained or wrong
    return explained


def name_mistake(got: Any, known: Iterable[tuple[str, Any]], tol: float = 1e-6) -> None:
    """Name the mistake that gives the student's values, if there is one.

    Args:
        got: the student's values on an input on which no two mistakes agree by chance
        known: (sentence, values of the mistake)
        tol: largest difference
    """
    for text, values in known:
        try:
            one, other = np.asarray(got, dtype=float), np.asarray(values, dtype=float)
        except (TypeError, ValueError, RuntimeError):
            continue
        if one.shape == other.shape and np.allclose(one, other, rtol=0, atol=tol, equal_nan=True):
            raise Wrong(text)


def show(values: Any) -> str:
    """A small array or tensor, or a dictionary of them, as a student would type it."""
    if isinstance(values, dict):
        return "{" + ", ".join(f"{name!r}: {show(value)}" for name, value in values.items()) + "}"
    return str(values.tolist()) if isinstance(values, np.ndarray | Tensor) else str(values)


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
    if isinstance(one, bool | int | float | str):  # as an element of a list
        return one == other or (one != one and other != other)
    return True  # objects of other kinds are the check's own business
