"""Marks of the course assignments: a test cell is made of parts, each worth some points, each answered in a sentence.

    with part("A1", "three ranks by hand", 2):
        expect_close(ranks(...), [...])
    total("A1", 6)

The same cell runs in the student's notebook (where only the visible parts are left) and in the grader, where the
student's functions stand for calls into a process of their own (`notebooks/assignments/grader`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from hrem_lib.exercises import Wrong

_earned: dict[str, dict[str, tuple[float, float]]] = {}  # question -> part -> (earned, possible)


class part:
    """A part of a question: full points if its block ends without an error, none otherwise; never raises.

    Args:
        question: e.g. "A1"
        name: what is tested, in words a student may read
        points: worth of the part
        hidden: the sentence says the name only, so that it gives no test away
    """

    def __init__(self, question: str, name: str, points: float, hidden: bool = False):
        self.question, self.name, self.points, self.hidden = question, name, points, hidden

    def __enter__(self) -> None:
        _earned.setdefault(self.question, {})[self.name] = (0, self.points)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False  # the student's own interrupt
        earned = self.points if error is None else 0
        _earned[self.question][self.name] = (earned, self.points)
        verdict = "right" if error is None else "not yet"
        reason = ""
        if isinstance(error, NotImplementedError):
            verdict = "not attempted yet"
        elif self.hidden:
            pass
        elif isinstance(error, Wrong):
            reason = f" {error}"
        elif error is not None:
            text = " ".join(str(error).split())[:160]
            reason = f" Your code stopped with {getattr(error, 'kind', type(error).__name__)}: {text}"
        where = f"{self.question}, {self.name}{' (hidden test)' if self.hidden else ''}"
        print(f"{where}: {verdict}, {earned:g} of {self.points:g}.{reason}")
        return True


def total(question: str, points: float) -> float:
    """Points of a question so far; the last line of a test cell, so that its value is the mark.

    Args:
        question: e.g. "A1"
        points: what the question is worth with its hidden tests
    """
    parts = _earned.pop(question, {}).values()
    earned, possible = sum(p[0] for p in parts), sum(p[1] for p in parts)
    if possible < points:
        print(f"{question}: {earned:g} of {possible:g} here; hidden tests give up to {points - possible:g} more.")
    else:
        print(f"{question}: {earned:g} of {points:g}.")
    return float(earned)


class unchanged:
    """Refuse a function that changes what it is given: `with unchanged(scores=scores): got = f(scores)`.

    Args:
        inputs: arrays, tensors or lists by the name that the sentence gives them
    """

    def __init__(self, **inputs: Any):
        self.inputs, self.before = inputs, copy.deepcopy(inputs)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        for name, before in self.before.items():
            now = self.inputs[name]
            same = now == before if isinstance(now, list) else np.array_equal(now, before, equal_nan=True)
            if kind is None and not same:
                raise Wrong(f"Your function changed the {name} that came in; work on a copy.")


def expect_type(got: Any, wanted: Any, name: str = "result") -> None:
    """Refuse a result of another type of numbers, e.g. `expect_type(got, torch.bool, "connection")`."""
    found = getattr(got, "dtype", type(got).__name__)
    if found != wanted:
        raise Wrong(f"The {name} should be of type {wanted}, yours is {found}.")


def gradient(fn: Callable, *args: Any, by: int = 0) -> Any:
    """Gradient of the sum of all finite results of `fn(*args)` by one tensor argument.

    Args:
        fn: a function of tensors; its result is a tensor
        args: its arguments
        by: which argument
    """
    if hasattr(fn, "gradient"):  # in the grader: computed where the student's function lives
        return fn.gradient(args, by)
    import torch

    args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
    args[by].requires_grad_()
    result = fn(*args)
    if not isinstance(result, torch.Tensor) or not result.requires_grad:
        raise Wrong("No gradient flows through your function: use torch operations, without detach or no_grad.")
    torch.where(torch.isfinite(result), result, 0).sum().backward()
    return args[by].grad
