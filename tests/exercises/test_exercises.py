"""Every known mistake of every exercise is planted, and the sentence that it gets is the one meant for it."""

import importlib
import pkgutil

import numpy as np
import pytest
import torch

from hrem_lib import exercises

MODULES = [info.name for info in pkgutil.iter_modules(exercises.__path__) if info.name.startswith("nb")]
PLANTED = [
    (name[2:] + letter, label, answer, words)
    for name in MODULES
    for letter, label, answer, words in importlib.import_module(f"hrem_lib.exercises.{name}").MISTAKES
]


@pytest.mark.parametrize(
    ("exercise", "label", "answer", "words"), PLANTED, ids=[f"{e}-{label}" for e, label, *_ in PLANTED]
)
def test_known_mistake_is_named(exercise, label, answer, words):
    text = exercises.sentence(exercise, *(answer if isinstance(answer, tuple) else (answer,)))
    assert "right." not in text and "not attempted" not in text
    assert words in text, text
    assert "\n" not in text and text.endswith(".")


@pytest.mark.parametrize("name", MODULES)
def test_every_check_has_planted_mistakes(name):
    module = importlib.import_module(f"hrem_lib.exercises.{name}")
    letters = {attribute[6:] for attribute in dir(module) if attribute.startswith("check_")}
    planted = [letter for letter, *_ in module.MISTAKES]
    assert letters and all(planted.count(letter) >= 2 for letter in letters)


def test_reversed_arrays_and_numbers_are_compared():
    exercises.expect_close(np.arange(3.0)[::-1], torch.tensor([2.0, 1.0, 0.0]))
    exercises.expect_close(2, 2.0)
    with pytest.raises(exercises.Wrong, match=r"should be \[1.0, 2.0\], yours is \[2.0, 1.0\]\."):
        exercises.expect_close(np.array([1.0, 2.0])[::-1], [1, 2])


def test_not_attempted_and_crashing_answers():
    def stub(*args):
        raise NotImplementedError

    def crash(*args):
        raise KeyError("x\ny")

    for name in MODULES:
        module = importlib.import_module(f"hrem_lib.exercises.{name}")
        for letter in {attribute[6:] for attribute in dir(module) if attribute.startswith("check_")}:
            assert exercises.sentence(f"{name[2:]}{letter}", None).endswith("not attempted yet.")
    assert "KeyError" in exercises.sentence("00a", crash)
    assert exercises.sentence("00a", stub) == "00a: not attempted yet."
