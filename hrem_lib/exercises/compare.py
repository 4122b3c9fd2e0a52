"""Comparing a student's function with the solution, case by case, in lessons 00 to 02."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import ask

Case = tuple[str, tuple]  # the input in words, e.g. "for a batch of one", and the arguments


def answer(fn: Callable, case: str, *args: Any) -> Any:
    """What a student's function gives for copies of the arguments; where it stops, the sentence names the case."""
    try:
        return ask(fn, *args)
    except (Wrong, NotImplementedError):
        raise
    except Exception as error:  # the student's own code may raise anything
        text = textwrap.shorten(str(error), 240).rstrip(".")
        raise Wrong(f"Your code stopped {case} with {type(error).__name__}: {text}.", "stopped") from error


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
