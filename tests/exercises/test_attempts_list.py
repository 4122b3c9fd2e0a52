"""The wrong attempts can be imported, and none of them is lost."""

from collections import Counter
from importlib import import_module

import pytest
from exercises.attempts import ALL

LESSONS = {"00": 67, "01": 83, "02": 95, "03": 96, "04": 95}


@pytest.mark.parametrize("lesson", LESSONS)
def test_attempts_of_a_lesson(lesson):
    import_module(f"exercises.attempts.lesson_{lesson}")
    mine = [each for each in ALL if each.exercise.startswith(lesson)]
    assert len(mine) == LESSONS[lesson]
    counts = Counter(each.exercise for each in mine)
    assert sorted(counts) == [f"{lesson}{letter}" for letter in "abcde"] and min(counts.values()) >= 4
    assert len({(each.exercise, each.fault) for each in mine}) == len(mine)  # no two with one fault
    assert sum(each.arguable for each in mine) <= len(mine) / 5
    for each in mine:
        each.make()
