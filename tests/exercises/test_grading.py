"""Parts and marks of the assignments' test cells, as a student sees them."""

import pytest
import torch

from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.grading import gradient, part, total


def test_parts_give_points_and_sentences(capsys):
    with part("X1", "by hand", 2):
        expect_close(1.0, 1.0)
    with part("X1", "a known mistake", 1):
        expect_close(2.0, 1.0, "sum", {"You counted twice.": 2.0})
    with part("X1", "stub", 1):
        raise NotImplementedError
    with part("X1", "crash", 1):
        {}["key"]
    assert total("X1", 5) == 2.0
    assert capsys.readouterr().out.splitlines() == [
        "X1, by hand: right, 2 of 2.",
        "X1, a known mistake: not yet, 0 of 1. You counted twice.",
        "X1, stub: not attempted yet, 0 of 1.",
        "X1, crash: not yet, 0 of 1. Your code stopped with KeyError: 'key'",
        "X1: 2 of 5.",
    ]


def test_hidden_part_says_its_name_only(capsys):
    with part("X2", "ties", 3, hidden=True):
        expect_close(41.5, 42.5, "secret")
    assert total("X2", 3) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "X2, ties (hidden test): not yet, 0 of 3." and "42" not in said


def test_total_tells_what_hidden_tests_may_add_and_a_cell_may_run_again(capsys):
    for earned in (0, 1):
        with part("X3", "visible", 1):
            expect_close(earned, 1)
        assert total("X3", 4) == earned
    assert capsys.readouterr().out.splitlines()[-1] == "X3: 1 of 1 here; hidden tests give up to 3 more."


def test_interrupt_of_the_student_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), part("X4", "slow", 1):
        raise KeyboardInterrupt
    assert total("X4", 1) == 0


def test_gradient_leaves_out_infinite_results():
    x = torch.tensor([1.0, 2.0])
    slope = gradient(lambda k, v: torch.stack([k * v.sum(), -torch.inf * v[0].exp()]), 3.0, x, by=1)
    assert torch.equal(slope[1], torch.tensor(3.0)) and not x.requires_grad
    with pytest.raises(Wrong, match="No gradient flows"):
        gradient(lambda v: v.detach(), x)
