"""Counterexamples in words: a call that stops is told with its input, a known mistake only if all of its values fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import Tensor

from hrem_lib.exercises import Wrong
from hrem_lib.exercises.probes import ask


def answer(fn: Callable, case: str, *args: Any) -> Any:
    """Result of a student's function for copies of the arguments; where it stops, the sentence tells the case."""
    try:
        return ask(fn, *args)
    except (NotImplementedError, Wrong):
        raise
    except Exception as error:  # the student's own code may raise anything
        text = " ".join(str(error).split())[:200].rstrip(".")
        raise Wrong(f"Your code stops {case} with {type(error).__name__}: {text}.", "counterexample") from None


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
