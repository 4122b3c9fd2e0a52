"""What the checks say to wrong attempts that were written by somebody who had not read them.

A sentence is "named" (it says the fault), a "counterexample" (an input, the wanted value and the student's),
"generic" (two values that differ), "stopped" (the attempt's own error), or "right".
"""

import importlib
import warnings
from collections import Counter
from pathlib import Path

import pytest
from exercises import attempts

from hrem_lib import exercises

LESSONS = sorted(path.stem[-2:] for path in Path(__file__).parent.glob("attempts/lesson_*.py"))
for _lesson in LESSONS:
    importlib.import_module(f"exercises.attempts.lesson_{_lesson}")


def told(lesson):
    """[(attempt, kind, sentence)] of a lesson."""
    found = []
    for attempt in attempts.ALL:
        if attempt.exercise.startswith(lesson):
            made = attempt.make()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append((attempt, *exercises.judge(attempt.exercise, made)))
    return found


@pytest.mark.parametrize("lesson", LESSONS)
def test_attempts_are_answered(lesson):
    found = told(lesson)
    wrong = [(attempt, kind, text) for attempt, kind, text in found if not attempt.arguable]
    kinds = Counter(kind for _, kind, _ in wrong)
    print(f"lesson {lesson}: {len(found)} attempts, {len(found) - len(wrong)} arguable;", dict(kinds))
    passed = [f"{attempt.exercise} {attempt.fault}" for attempt, kind, _ in wrong if kind == "right"]
    assert len(passed) <= 0.02 * len(wrong), passed
    assert kinds["named"] + kinds["counterexample"] >= 0.6 * len(wrong), kinds
    assert all("\n" not in text for _, _, text in found)


def test_there_are_enough_of_them():
    counts = Counter(attempt.exercise for attempt in attempts.ALL)
    assert len(attempts.ALL) >= 800 and min(counts.values()) >= 10 and len(counts) == 48
    assert sum(attempt.arguable for attempt in attempts.ALL) < 0.2 * len(attempts.ALL)
