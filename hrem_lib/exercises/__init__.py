"""Checks for the notebooks' exercises: `check("03b", connection)` answers in one sentence and names known mistakes.

Each notebook NN has a module `nbNN` with a function for each exercise and a table `MISTAKES` of wrong answers with
the words that the sentence must hold; `tests/exercises/test_exercises.py` plants every one of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


class Wrong(Exception):
    """An answer that is not right; its text is the sentence that the student reads.

    Args:
        text: the sentence
        kind: "named" (it says what the fault is), "counterexample" (an input, the wanted value and the student's), or
            "generic" (two values that differ, no more)
    """

    def __init__(self, text: str, kind: str = "named"):
        super().__init__(text)
        self.kind = kind


def check(exercise: str, *answer: Any) -> None:
    """Print one sentence about an answer: right, not attempted yet, or what is wrong.

    Args:
        exercise: number and letter, e.g. "03b"
        answer: the student's function(s) or value(s)
    """
    print(sentence(exercise, *answer))


def sentence(exercise: str, *answer: Any) -> str:
    """What `check` prints."""
    return judge(exercise, *answer)[1]


def judge(exercise: str, *answer: Any) -> tuple[str, str]:
    """The kind of a sentence about an answer, and the sentence.

    Kinds: "right", "not attempted", "stopped" (the student's code raised an error), and those of `Wrong`.
    """
    number, letter = exercise[:2], exercise[2:]
    function: Callable[..., str] = getattr(importlib.import_module(f"hrem_lib.exercises.nb{number}"), f"check_{letter}")
    if any(part is None or part is Ellipsis for part in answer):
        return "not attempted", f"{exercise}: not attempted yet."
    try:
        return "right", f"{exercise}: right. {function(*answer)}".rstrip()
    except NotImplementedError:
        return "not attempted", f"{exercise}: not attempted yet."
    except Wrong as wrong:
        return wrong.kind, f"{exercise}: not yet. {wrong}"
    except Exception as error:  # the student's own code may raise anything; a sentence helps more than a traceback
        text = " ".join(str(error).split())[:160]
        return "stopped", f"{exercise}: your code stopped with {type(error).__name__}: {text}"


def expect_shape(got: Any, wanted: tuple[int, ...], name: str = "result") -> None:
    """Refuse a result of another shape."""
    shape = tuple(getattr(got, "shape", ()))
    if not hasattr(got, "shape") or shape != tuple(wanted):
        raise Wrong(f"The {name} has shape {shape if hasattr(got, 'shape') else type(got).__name__}, wanted {wanted}.")


def expect_close(
    got: Any,
    wanted: Any,
    name: str = "result",
    known: dict[str, Any] | None = None,
    tol: float = 1e-5,
    case: str = "",
) -> None:
    """Refuse values that differ, with the place where they differ most.

    Args:
        got, wanted: tensors, arrays or numbers
        name: what is compared
        known: {sentence: values of a known mistake}
        tol: largest difference
        case: the input in words, e.g. "for a batch of one"; a sentence with it is a counterexample
    """
    got, wanted = _tensor(got, name), _tensor(wanted, name)
    if _close(got, wanted, tol):
        return
    for text, values in (known or {}).items():
        if _close(got, _tensor(values, name), tol):
            raise Wrong(text)
    where = f"{name} {case}".strip()
    if got.shape != wanted.shape:
        raise Wrong(f"The {where} has shape {tuple(got.shape)}, wanted {tuple(wanted.shape)}.")
    kind = "counterexample" if case else "generic"
    if 1 < wanted.numel() <= 9 and (texts := [_list(wanted), _list(got)]) and texts[0] != texts[1]:
        raise Wrong(f"The {where} should be {texts[0]}, yours is {texts[1]}.", kind)
    far = torch.where(got == wanted, 0.0, (got - wanted).abs()).nan_to_num(torch.inf, posinf=torch.inf)
    far = torch.where(got.isnan() & wanted.isnan(), 0.0, far)
    place = [int(i) for i in torch.unravel_index(far.argmax(), far.shape)]
    one, other = _apart(wanted[tuple(place)].item(), got[tuple(place)].item())
    at = f" at {place}" if place else ""
    many = f"; {int((far > tol).sum())} of {far.numel()} values differ" if far.numel() > 1 else ""
    raise Wrong(f"The {where} should be {one}{at}, yours is {other}{many}.", kind)


def _close(one: torch.Tensor, other: torch.Tensor, tol: float) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=tol, equal_nan=True)


def _tensor(values: Any, name: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().to(torch.float64)
    if values is None:  # numpy takes it for NaN
        raise Wrong(f"The {name} is None, wanted numbers: does your function return something?")
    try:
        return torch.from_numpy(np.array(values, dtype=np.float64))  # a copy: torch takes no negative strides
    except (TypeError, ValueError):
        raise Wrong(f"The {name} is a {type(values).__name__}, wanted numbers.") from None


def _list(values: torch.Tensor) -> str:
    return str([round(v, 3) for v in values.flatten().tolist()])


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers with so many digits that they look different."""
    for digits in range(4, 17):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
