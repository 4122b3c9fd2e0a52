"""Wrong attempts at the exercises, by lesson: what students may hand in. Written without a look at the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """One wrong answer.

    Args:
        exercise: number and letter, e.g. "03b"
        fault: what is wrong with it, in a few words
        arguable: whether a teacher could accept it
        make: gives the answer as `check` takes it
    """

    exercise: str
    fault: str
    arguable: bool
    make: Callable[[], Any]


ALL: list[Attempt] = []


def attempt(exercise: str, fault: str, arguable: bool = False) -> Callable:
    """The decorated function is the answer."""

    def keep(function: Callable) -> Callable:
        ALL.append(Attempt(exercise, fault, arguable, lambda: function))
        return function

    return keep


def attempt_value(exercise: str, fault: str, arguable: bool = False) -> Callable:
    """The decorated function returns the answer: a value, or a tuple where `check` takes several."""

    def keep(make: Callable) -> Callable:
        ALL.append(Attempt(exercise, fault, arguable, make))
        return make

    return keep
