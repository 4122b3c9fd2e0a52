"""Checks of notebook 09: number of seeds, Holm's correction, a base of equal cost, choosing and reporting."""

from __future__ import annotations

import functools
import itertools
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy

from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import compare

# ---- a: how many seeds? ------------------------------------------------------------------------------------------


@functools.lru_cache(None)
def _t(share: float, freedom: float) -> float:
    return float(scipy.stats.t.ppf(share, freedom))


def _factor(m: int) -> float:
    return _t(0.975, m - 1) + _t(0.8, m - 1)


def _seeds(factor: Callable = _factor, start: int = 2, shift: int = 0) -> Callable[[float, float], int]:
    """The solution; its mistakes have another factor for m seeds, another start, or another end."""

    def seeds(spread: float, effect: float) -> int:
        m = start
        while factor(m) * spread / m**0.5 > abs(effect):
            m += 1
        return m + shift

    return seeds


_NORMAL = "You take the normal distribution's 1.96 and 0.84; for few seeds Student's t for m values is larger."
_SEEDS_MISTAKES: dict[str, Callable] = {
    _NORMAL: _seeds(lambda m: 1.96 + 0.8416),
    f"{_NORMAL} Two seeds are the least.": _seeds(lambda m: 1.96 + 0.8416, start=1),
    "The power is missing: add the quantile 0.8, or half of the tries fall short.": _seeds(lambda m: _t(0.975, m - 1)),
    "Student's t for m values has m - 1 degrees of freedom, yours has m.": _seeds(lambda m: _factor(m + 1)),
    "Student's t has m - 1 degrees of freedom here, yours has m - 2.": _seeds(lambda m: _factor(m - 1), start=3),
    "You take the quantile 0.95; an interval of 95 % leaves 2.5 % out on each side, so take 0.975.":
        _seeds(lambda m: _t(0.95, m - 1) + _t(0.8, m - 1)),
    "The second quantile is added, not subtracted: the difference must stand further from zero.":
        _seeds(lambda m: _t(0.975, m - 1) - _t(0.8, m - 1)),
    "You divide by m; divide by its square root.": _seeds(lambda m: _factor(m) / m**0.5),
    "`spread` is that of the difference already: no factor for two arms.": _seeds(lambda m: 2**0.5 * _factor(m)),
    "Two seeds are enough for a large effect; start with 2, not 3.": _seeds(start=3),
    "The answer is one too high: wanted is the first number that sees the effect.": _seeds(shift=1),
    "The answer is one too low: wanted is the first number that sees the effect.": _seeds(shift=-1),
    "That is the number of steps of your loop; return m.": _seeds(shift=-2),
}  # fmt: skip


def _with_end(fn: Callable, seconds: float = 3.0) -> Callable[[float, float], Any]:
    """A search may run without an end: after some seconds it is refused, and not asked again."""
    late: list[Wrong] = []

    @functools.wraps(fn)
    def ends(spread: float, effect: float) -> Any:
        if late:
            raise late[0]
        until = time.monotonic() + seconds

        def tracer(frame: Any, event: str, argument: Any) -> Any:
            if time.monotonic() > until:
                wanted = _seeds()(spread, effect)
                text = f"Your code finds no end for spread {spread} and effect {effect}; the answer is {wanted}."
                late.append(Wrong(text, "counterexample"))
                raise late[0]
            return tracer if "packages" not in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            return fn(spread, effect)
        finally:
            sys.settrace(before)

    return ends


def _differ_a(got: Any, wanted: int, case: str) -> None:
    if isinstance(got, int | np.integer) and got == wanted:
        return
    if isinstance(got, float | np.floating) and got == wanted:
        raise Wrong(f"The number of seeds should be an int, yours is of type {type(got).__name__}.")
    told = f"{got:.4g}" if isinstance(got, float | np.floating) else repr(got)
    raise Wrong(f"The number of seeds {case} should be {wanted}, yours is {told}.", "counterexample")


def check_a(seeds_for: Callable[[float, float], int]) -> str:
    """Smallest number of seeds with which a true difference is found in four of five tries."""
    calls = [(3, 5), (3, 4), (2, 5), (4, 3), (1, 4), (0.5, 1), (6.5, 4.5), (3, 1000), (0.001, 2), (4, -3), (5, -3)]
    draw = np.random.default_rng(9)
    calls += [(s, e) for s, e in draw.uniform([1, 2], [8, 6], (3, 2)).round(1).tolist()] + [(7, 1)]
    cases = [(f"for spread {spread} and effect {effect}", (spread, effect)) for spread, effect in calls]
    compare(_with_end(seeds_for), _seeds(), cases, _SEEDS_MISTAKES, differ=_differ_a)
    few, many = (_seeds()(3, effect) for effect in (5, 2.5))
    return f"With a spread of 3 points, {few} seeds see 5 points; half the effect needs {many}."


# ---- b: Holm's correction ----------------------------------------------------------------------------------------


def _corrected(
    p: Sequence[float],
    times: Callable[[int, int], float] = lambda k, m: m - k,
    order: Sequence[int] | np.ndarray | None = None,
    running: bool = True,
    cap: bool = True,
) -> list[float]:
    """The solution; `times(k, m)` is the factor after k others, `order` the places in the order of work."""
    out, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(np.argsort(p, kind="stable") if order is None else order):
        value = times(done, len(p)) * p[i]
        largest = max(largest, value) if running else value
        out[i] = min(1.0, largest) if cap else largest
    return out


def _falling(factor: Callable[[int, int], float]) -> Callable[[Sequence[float]], list[float]]:
    """From the largest value on, with a running minimum; `factor(left, m)` where `left` is 1 for the largest."""

    def corrected(p: Sequence[float]) -> list[float]:
        m, order = len(p), np.argsort(p)[::-1]
        out = np.empty(m)
        out[order] = np.minimum.accumulate([min(1.0, factor(done + 1, m) * p[i]) for done, i in enumerate(order)])
        return out.tolist()

    return corrected


_ABOVE = "Some values are above 1; a corrected value ends at 1."
_MAXIMUM = "A larger p gets a smaller corrected value: none may be smaller than one before it, in the order of size."
_SIZE = "The values stand in the order of size; return them in the order of p."
_HOLM_MISTAKES: dict[str, Callable] = {
    _MAXIMUM: lambda p: _corrected(p, running=False),
    _ABOVE: lambda p: _corrected(p, cap=False),
    f"{_ABOVE} {_MAXIMUM}": lambda p: _corrected(p, running=False, cap=False),
    "You multiply all by m, which is Bonferroni's correction; Holm's takes m, m - 1, and so on.":
        lambda p: _corrected(p, lambda k, m: m),
    "You multiply all by m and let them pass 1; Holm's correction takes m, m - 1, and so on, and ends at 1.":
        lambda p: _corrected(p, lambda k, m: m, cap=False),
    _SIZE: lambda p: _corrected(sorted(p)),
    f"{_SIZE} And none may be smaller than one before it.": lambda p: _corrected(sorted(p), running=False),
    "You multiply by the place, 1 for the smallest; multiply by how many values are left, m for the smallest.":
        lambda p: _corrected(p, lambda k, m: k + 1),
    "You start with the largest value; the smallest is multiplied by m.":
        lambda p: _corrected(p, order=np.argsort(p)[::-1]),
    "You multiply in the order of the list; begin with the smallest.": lambda p: _corrected(p, order=range(len(p))),
    "Your running maximum goes through the list as it stands; go through it in the order of size.":
        lambda p: np.maximum.accumulate(_corrected(p, running=False)).tolist(),
    "This is the correction of Benjamini and Hochberg: p times m, divided by the place. Holm's has no division.":
        _falling(lambda left, m: m / (m - left + 1)),
    "You go from the largest to the smallest with a running minimum; Holm goes from the smallest with a maximum.":
        _falling(lambda left, m: left),
    "You multiply by m - 1, m - 2, ..., 0: a value counts itself among those that are left.":
        lambda p: _corrected(p, lambda k, m: m - k - 1),
    "You multiply by m + 1, m, ..., 2; m values are left at first.": lambda p: _corrected(p, lambda k, m: m - k + 1),
}  # fmt: skip


def _differ_b(got: Any, wanted: Sequence[float], case: str) -> None:
    if isinstance(got, list | tuple) and any(isinstance(value, bool | np.bool_) for value in got):
        raise Wrong("The result should hold corrected values, yours holds True or False.")
    expect_close(got, wanted, "list of corrected values", tol=1e-6, case=case)


def check_b(holm: Callable[[list[float]], list[float]]) -> str:
    """Holm's corrected values of a list, in its order."""
    lists = [
        [0.01, 0.04, 0.03], [0.02], [0.2, 0.3, 0.1], [0.001, 0.01, 0.3], [0.3, 0.02, 0.001], [0.02, 0.01, 0.02, 0.01],
        [0.1, 0.11, 0.12, 0.5], [0.4, 0.7, 0.9], [1.0, 0.2, 1.0], [0.0, 0.03, 0.0], [0.5, 0.5], [1.0],
    ]  # fmt: skip
    draw = np.random.default_rng(9)
    lists += [(draw.random(m) * top).round(3).tolist() for m, top in ((5, 0.1), (6, 0.3), (8, 0.2))]
    large = [(m, top, (draw.random(m) * top).tolist()) for m, top in ((40, 0.1), (9, 1))]
    cases = [(f"for p = {p}", (p,)) for p in lists]
    cases += [(f"for {m} random values up to {top}", (p,)) for m, top, p in large]
    compare(holm, _corrected, cases, _HOLM_MISTAKES, differ=_differ_b)
    return "The smallest of eight values, 0.01, ends at 0.08: many questions cost."


# ---- c: a base that costs as much --------------------------------------------------------------------------------

# Tables of faults, the solution first; b, a: an epoch's price of base and arm; e: epochs; w: warm-up; d: decay
_EPOCHS: dict[str, Callable[..., float]] = {
    "": lambda b, a, e, w: (w * b + (e - w) * a) / b,
    "The warm-up epochs have no relation part: count them at the base's price.": lambda b, a, e, w: e * a / b,
    "The warm-up epochs cost something, too: add them at the base's price.": lambda b, a, e, w: (e - w) * a / b,
    "The prices are exchanged: the warm-up costs the base's.": lambda b, a, e, w: (w * a + (e - w) * b) / b,
    "The warm-up is part of the arm's epochs; yours come on top.": lambda b, a, e, w: (w * b + e * a) / b,
    "Divide by the base's price, not by the arm's.": lambda b, a, e, w: (w * b + (e - w) * a) / a,
    "These are seconds; divide by the base's price.": lambda b, a, e, w: w * b + (e - w) * a,
}
_DECAY: dict[str, Callable[..., float]] = {  # n, x: epochs of the base, rounded and before
    "": lambda n, x, b, a, e, w, d: n * d / e,
    "The decay stays at the arm's epoch; move it to the same share of the base's.": lambda n, x, b, a, e, w, d: d,
    "The decay moves by the number of added epochs; keep its share.": lambda n, x, b, a, e, w, d: d + n - e,
    "For the decay, take the share of the base's rounded epochs.": lambda n, x, b, a, e, w, d: x * d / e,
    "The decay stands where it costs as much; it should stand at the same share of the epochs.":
        lambda n, x, b, a, e, w, d: min(d, w) + max(0, d - w) * a / b,
}  # fmt: skip
_ROUNDED: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {  # of the epochs, of the decay
    "": (_near := lambda x: math.floor(x + 0.5), _near),
    "You round down; round to the nearest whole number.": (math.floor, math.floor),
    "You round the decay down; round it to the nearest whole number.": (_near, math.floor),
    "You round up; round to the nearest whole number.": (math.ceil, math.ceil),
    "Halves are rounded to the even number, as `round` does; they go upward.": (round, round),
    "The decay's halves are rounded to the even number, as `round` does; they go upward.": (_near, round),
    "Both numbers should be rounded to the nearest whole number.": (float, float),
}
_LEAST = {"": (1, 1), "Both numbers are at least 1.": (-1e9, -1e9), "The decay is at least 1, too.": (1, -1e9)}


def _equal(epochs: str = "", decay: str = "", rounded: str = "", least: str = "") -> Callable[..., tuple[float, float]]:
    """The solution, or with the faults of these sentences."""

    def equal(b: float, a: float, e: int, w: int, d: int) -> tuple[float, float]:
        exact = _EPOCHS[epochs](b, a, e, w)
        longer = max(_LEAST[least][0], _ROUNDED[rounded][0](exact))
        return longer, max(_LEAST[least][1], _ROUNDED[rounded][1](_DECAY[decay](longer, exact, b, a, e, w, d)))

    return equal


def _named(most: int, make: Callable, *kinds: dict) -> dict[str, Callable]:
    """Answers with one fault, then with two, up to `most`, by their sentences."""
    found = {faults: sum(map(bool, faults)) for faults in itertools.product(*kinds)}
    some = sorted((faults for faults, count in found.items() if 0 < count <= most), key=found.__getitem__)
    return {" And: ".join(filter(None, faults)): make(*faults) for faults in some}


def _differ_two(first: str, second: str) -> Callable[[Any, Any, str], None]:
    """Compares two numbers that are called so."""

    def differ(got: Any, wanted: Any, case: str) -> None:
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            kind = f"{len(got)} values" if isinstance(got, tuple | list | np.ndarray) else repr(got)
            raise Wrong(f"The result should be two numbers, ({first}, {second}), yours is {kind}.")
        for name, one, other in zip((first, second), got, wanted, strict=True):
            expect_close(one, other, name, tol=1e-6, case=case)

    return differ


def check_c(equal_cost: Callable[..., tuple[int, int]]) -> str:
    """Epochs of a base of the same cost, and the epoch after which its rate falls."""
    calls: list[tuple] = [
        (10, 20, 6, 2, 3), (10, 15, 3, 1, 2), (4, 5, 10, 0, 5), (2, 3, 3, 0, 2), (2, 3, 4, 1, 2), (2, 3, 5, 0, 1),
        (10, 20, 5, 5, 3), (10, 30, 1, 0, 1), (12.5, 31.7, 30, 1, 15), (10, 1, 3, 0, 1), (10, 1, 8, 2, 1),
    ]  # fmt: skip
    draw = np.random.default_rng(10)  # no halves among these: they would hang on the last bit
    prices, whole = draw.uniform([5, 16], [15, 40], (9, 2)).round(1), draw.integers([10, 0, 1], [40, 9, 9], (9, 3))
    calls += [(*price, *numbers) for price, numbers in zip(prices.tolist(), whole.tolist(), strict=True)]
    names = ("base_seconds", "arm_seconds", "epochs", "warm_up", "decay")
    cases = [(f"for {', '.join(f'{n} {v}' for n, v in zip(names, call, strict=True))}", call) for call in calls]
    mistakes = _named(2, _equal, _EPOCHS, _DECAY, _ROUNDED, _LEAST)
    mistakes["The two numbers are exchanged: the epochs come first."] = lambda *call: _equal()(*call)[::-1]
    compare(equal_cost, _equal(), cases, mistakes, differ=_differ_two("epochs of the base", "epoch of the decay"))
    return "An arm is ahead only if it is ahead of a base that trained for the same time."


# ---- d: choose and report ----------------------------------------------------------------------------------------


def _rest(table: np.ndarray, choosing: list[int]) -> np.ndarray:
    return np.delete(table, choosing, axis=1)


_PICK: dict[str, Callable[..., np.ndarray]] = {  # d, t, c: dev, test, choosing -> the arm with the largest is chosen
    "": lambda d, t, c: d[:, c].mean(1),
    "You choose on test; choose on dev.": lambda d, t, c: t[:, c].mean(1),
    "The seeds that report choose, and on test; the others choose, on dev.": lambda d, t, c: _rest(t, c).mean(1),
    "All seeds choose; only the columns in `choosing` may.": lambda d, t, c: d.mean(1),
    "The seeds that should report choose; those in `choosing` should.": lambda d, t, c: _rest(d, c).mean(1),
    "The largest single rSum chooses; compare the means over the choosing seeds.": lambda d, t, c: d[:, c].max(1),
    "At ties the last arm wins; the first should.": lambda d, t, c: d[:, c].mean(1) + 1e-9 * np.arange(len(d)),
    "The base, arm 0, may be chosen, too.": lambda d, t, c: np.append(-np.inf, d[1:, c].mean(1)),
    "Without arm 0 all others move up by one; keep it, since it may be chosen.": lambda d, t, c: d[1:, c].mean(1),
}
_TELL: dict[str, Callable[..., float]] = {  # a: the arm
    "": lambda d, t, c, a: (_rest(t, c)[a] - _rest(t, c)[0]).mean(),
    "The seeds that chose also report; the others should.": lambda d, t, c, a: (t[a, c] - t[0, c]).mean(),
    "All seeds report; those that chose may not.": lambda d, t, c, a: (t[a] - t[0]).mean(),
    "You report on dev; report on test.": lambda d, t, c, a: (_rest(d, c)[a] - _rest(d, c)[0]).mean(),
    "This is the lead over the best other arm; wanted is the lead over arm 0.":
        lambda d, t, c, a: _rest(t, c).mean(1)[a] - np.delete(_rest(t, c).mean(1), a).max(),
    "This is the arm's own rSum; subtract arm 0's.": lambda d, t, c, a: _rest(t, c)[a].mean(),
    "The sign is turned round: wanted is the arm minus arm 0.":
        lambda d, t, c, a: (_rest(t, c)[0] - _rest(t, c)[a]).mean(),
    "This is the sum of the leads; take the mean.": lambda d, t, c, a: (_rest(t, c)[a] - _rest(t, c)[0]).sum(),
    "Take arm 0's mean over the same seeds as the arm's.": lambda d, t, c, a: _rest(t, c)[a].mean() - t[0].mean(),
}  # fmt: skip


def _reported(pick: str = "", tell: str = "") -> Callable[..., tuple[int, float]]:
    """The solution, or with the faults of these sentences."""

    def reported(dev: np.ndarray, test: np.ndarray, choosing: list[int]) -> tuple[int, float]:
        arm = int(_PICK[pick](dev, test, choosing).argmax())
        return arm, float(_TELL[tell](dev, test, choosing, arm))

    return reported


def check_d(choose_and_report: Callable[..., tuple[int, float]]) -> str:
    """The arm that some seeds choose on dev, and its lead over arm 0 on test with the others."""
    small: list[tuple[list, list, list[int]]] = [
        ([[50, 53, 51], [52, 54, 40]], [[50, 51, 52], [51, 50, 58]], [0, 1]),
        ([[52, 50, 55], [50, 51, 50], [49, 50, 60]], [[50, 51, 52], [55, 56, 57], [40, 46, 44]], [1]),
        ([[54, 50, 52], [50, 51, 50]], [[50, 51, 52], [55, 56, 57]], [0, 2]),
        ([[50, 48, 50], [50, 54, 52], [50, 52, 54]], [[50, 51, 52], [53, 50, 51], [56, 57, 50]], [2, 1]),
        ([[50, 50, 50, 50], [53, 53, 60, 41], [51, 51, 40, 51]], [[50, 51, 52, 53], [60, 61, 62, 63], [54, 55, 49, 57]],
         [3, 0, 1]),
        ([[50, 40, 50, 50], [53, 90, 49, 53], [51, 10, 53, 51]], [[50, 9, 51, 8], [70, 50, 70, 50], [60, 54, 60, 40]],
         [2, 0]),
    ]  # fmt: skip
    cases: list[tuple[str, tuple]] = [
        (f"for dev {dev}, test {test} and choosing {choosing}", (np.array(dev, float), np.array(test, float), choosing))
        for dev, test, choosing in small
    ]
    draw = np.random.default_rng(9)
    for arms, seeds, choosing in (5, 9, [7, 2, 4]), (8, 6, [5]), (6, 7, [6, 0, 1, 5, 3, 2]), (4, 12, [3, 1, 8, 6, 10]):
        dev, test = draw.normal(250, 3, (2, arms, seeds))
        cases.append((f"for {arms} arms, {seeds} random seeds and choosing {choosing}", (dev, test, choosing)))
    mistakes = _named(2, _reported, _PICK, _TELL)
    mistakes["The two results are exchanged: the arm's number comes first."] = lambda *given: _reported()(*given)[::-1]
    compare(choose_and_report, _reported(), cases, mistakes, differ=_differ_two("number of the arm", "mean lead"))
    return "The choosing seeds are spent: they cost as much as the others and report nothing."


# ---- known mistakes ----------------------------------------------------------------------------------------------

_C, _D = _named(1, _equal, _EPOCHS, _DECAY, _ROUNDED, _LEAST), _named(1, _reported, _PICK, _TELL)
_ALL = {"a": _SEEDS_MISTAKES, "b": _HOLM_MISTAKES, "c": _C, "d": _D}
MISTAKES = [(letter, words, wrong, words) for letter, known in _ALL.items() for words, wrong in known.items()]
