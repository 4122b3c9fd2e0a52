"""`compare`: which sentence a wrong function gets."""

import pytest
import torch

from hrem_lib.exercises import Wrong
from hrem_lib.exercises.probes import compare

CASES = [("for x = [2.0]", (torch.tensor([2.0]),)), ("for x = [3.0, -1.0]", (torch.tensor([3.0, -1.0]),))]
MISTAKES = {"You double.": lambda x: 2 * x, "You stop.": lambda x: x.no_such_name}


def told(fn):
    with pytest.raises(Wrong) as caught:
        compare(fn, lambda x: x**2 + x - x, CASES, MISTAKES)
    return caught.value.kind, str(caught.value)


def test_right_answers_pass():
    assert compare(lambda x: x * x, torch.square, CASES, MISTAKES) is None


def test_a_mistake_is_named_where_it_explains_all_answers():
    assert told(lambda x: x + x) == ("named", "You double.")


def test_equal_numbers_in_one_case_do_not_name_a_mistake():
    # x + 2 is 2 x for x = 2, where it is right, too
    kind, text = told(lambda x: x + 2)
    assert kind == "counterexample" and text.startswith("The result for x = [3.0, -1.0] should be [9.0, 1.0]")
    kind, text = told(lambda x: 2 * x.abs())
    assert kind == "counterexample" and "You double" not in text


def test_the_case_stands_where_the_code_stops():
    kind, text = told(lambda x: x.view(1) ** 2)
    assert kind == "stopped" and text.startswith("Your code stops for x = [3.0, -1.0] with RuntimeError")


def test_a_changed_argument_spoils_no_expectation():
    kind, text = told(lambda x: x.mul_(x))
    assert kind == "named" and text.startswith("Your function changes its argument `x`")
    assert CASES[0][1][0].item() == 2


def test_a_stub_is_no_answer():
    def stub(x):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        compare(stub, torch.square, CASES, MISTAKES)
