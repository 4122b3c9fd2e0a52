"""Checks for the notebooks' exercises: `check("03b", connection)` answers in one sentence and names known mistakes.

Each notebook NN has a module `nbNN` with a function for each exercise and a table `MISTAKES` of wrong answers with
the words that the sentence must hold; `tests/exercises/test_exercises.py` plants every one of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


class Wrong(Exception):
    """An answer that is not right; its text is the sentence that the student reads."""


def check(exercise: str, *answer: Any) -> None:
    """Print one sentence about an answer: right, not attempted yet, or what is wrong.

    Args:
        exercise: number and letter, e.g. "03b"
        answer: the student's function(s) or value(s)
    """
    print(sentence(exercise, *answer))


def sentence(exercise: str, *answer: Any) -> str:
    """What `check` prints."""
    number, letter = exercise[:2], exercise[2:]
    function: Callable[..., str] = getattr(importlib.import_module(f"hrem_lib.exercises.nb{number}"), f"check_{letter}")
    if any(part is None or part is Ellipsis for part in answer):
        return f"{exercise}: not attempted yet."
    try:
        return f"{exercise}: right. {function(*answer)}".rstrip()
    except NotImplementedError:
        return f"{exercise}: not attempted yet."
    except Wrong as wrong:
        return f"{exercise}: not yet. {wrong}"
    except Exception as error:  # the student's own code may raise anything; a sentence helps more than a traceback
        text = " ".join(str(error).split())[:160]
        return f"{exercise}: your code stopped with {type(error).__name__}: {text}"


def expect_shape(got: Any, wanted: tuple[int, ...], name: str = "result") -> None:
    """Refuse a result of another shape."""
    shape = tuple(getattr(got, "shape", ()))
    if not hasattr(got, "shape") or shape != tuple(wanted):
        raise Wrong(f"The {name} has shape {shape if hasattr(got, 'shape') else type(got).__name__}, wanted {wanted}.")


def expect_close(
    got: Any, wanted: Any, name: str = "result", known: dict[str, Any] | None = None, tol: float = 1e-5
) -> None:
    """Refuse values that differ; `known` maps a sentence about a mistake to the values which that mistake gives.

    Args:
        got, wanted: tensors, arrays or numbers
        name: what is compared
        known: {sentence: values of a known mistake}
        tol: largest difference
    """
    import torch

    def close(a: Any, b: Any) -> bool:
        a, b = _tensor(a), _tensor(b)
        return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=tol, equal_nan=True)

    if close(got, wanted):
        return
    for text, values in (known or {}).items():
        if close(got, values):
            raise Wrong(text)
    raise Wrong(f"The {name} should be {_short(wanted)}, yours is {_short(got)}.")


def _tensor(values: Any) -> Any:
    import numpy as np
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach().to(torch.float64)
    return torch.from_numpy(np.array(values, dtype=np.float64))  # a copy: torch takes no negative strides


def _short(values: Any) -> str:
    tensor = _tensor(values)
    if tensor.numel() == 1:
        return f"{tensor.item():.4g}"
    if tensor.numel() <= 9:
        return str([round(v, 3) for v in tensor.flatten().tolist()])
    return f"{[round(v, 3) for v in tensor.flatten()[:4].tolist()]}... (the first four)"
