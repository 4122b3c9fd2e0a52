"""Right answers to lesson 09 are never refused: the lesson's solutions, and other forms of each; checks are quick."""

import itertools
import sys
import time
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch

from hrem_lib import exercises
from hrem_lib.study import claims

jupytext = pytest.importorskip("jupytext")
SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "source"


def test_every_solution_is_right():
    sys.path.insert(0, str(SOURCE))
    import build

    kinds = {}

    def check(exercise, *answer):
        kinds[exercise] = exercises.judge(exercise, *answer)

    names = {}
    (source,) = SOURCE.glob("09_*.py")
    for cell in jupytext.read(source).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and ("setup" in tags or "exercise" in tags):
            exec(build.solved(cell.source), names)
            names["check"] = check
    assert list(kinds) == ["09a", "09b", "09c", "09d"] and all(kind == "right" for kind, _ in kinds.values()), kinds


def seeds_while(spread, effect):
    t = scipy.stats.t.ppf
    m = 1  # no degree of freedom: NaN, which sees nothing
    while not (t(0.975, m - 1) + t(0.8, m - 1)) * spread / np.sqrt(m) <= np.abs(effect):
        m += 1
    return m


def seeds_all_at_once(spread, effect):
    m = np.arange(2, 20_000)
    seen = scipy.stats.t.ppf([[0.975], [0.8]], m - 1).sum(0) * spread / np.sqrt(m)
    return m[seen <= abs(effect)][0]  # numpy's integer


def seeds_halved(spread, effect):
    def short(m):
        student = scipy.stats.t(m - 1)
        return ((student.ppf(0.975) + student.ppf(0.8)) * spread / effect) ** 2 > m

    low, high = 1, 2
    while short(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


def seeds_frozen(spread, effect):
    def seen(m):
        student = scipy.stats.t(df=m - 1)
        return (student.isf(0.025) + student.isf(0.2)) * spread * m**-0.5

    return next(m for m in itertools.count(2) if seen(m) <= abs(effect))


def holm_numpy(p):
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected


def holm_definition(p):
    """For each value the largest product up to it, without a sort."""
    return [min(1.0, max(sum(other >= v for other in p) * v for v in p if v <= value)) for value in p]


def holm_pairs(p):
    done, largest = {}, 0.0
    for left, (value, place) in zip(range(len(p), 0, -1), sorted((v, i) for i, v in enumerate(p)), strict=True):
        done[place] = largest = max(largest, left * value)
    return tuple(min(1.0, done[i]) for i in range(len(p)))


def cost_ratio(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, int(warm_up + (epochs - warm_up) * arm_seconds / base_seconds + 0.5))
    return [longer, max(1, int(longer * (decay / epochs) + 0.5))]


def cost_loop(base_seconds, arm_seconds, epochs, warm_up, decay):
    seconds = sum(base_seconds if epoch < warm_up else arm_seconds for epoch in range(epochs))
    longer = max(1, np.floor(seconds / base_seconds + 0.5))
    return longer, max(1, np.floor(decay * longer / epochs + 0.5))


def cost_decimal(base_seconds, arm_seconds, epochs, warm_up, decay):
    def near(x):
        return max(1, int(x.quantize(Decimal(1), ROUND_HALF_UP)))

    base, arm = Decimal(str(base_seconds)), Decimal(str(arm_seconds))
    longer = near((warm_up * base + (epochs - warm_up) * arm) / base)
    return longer, near(Decimal(longer * decay) / epochs)


def cost_whole(base_seconds, arm_seconds, epochs, warm_up, decay):
    base, arm = Fraction(base_seconds), Fraction(arm_seconds)
    seconds = epochs * arm - warm_up * (arm - base)
    longer = max(1, (2 * seconds + base) // (2 * base))
    return longer, max(1, (2 * longer * decay + epochs) // (2 * epochs))


def choose_mask(dev, test, choosing):
    others = ~np.isin(np.arange(dev.shape[1]), choosing)
    arm = np.argmax(dev[:, ~others].sum(axis=1))
    return arm, test[arm, others].mean() - test[0, others].mean()


def choose_loop(dev, test, choosing):
    rest = sorted(set(range(len(dev[0]))) - set(choosing))
    sums = [sum(row[seed] for seed in choosing) for row in dev.tolist()]
    arm = sums.index(max(sums))
    return [arm, sum(test[arm][seed] - test[0][seed] for seed in rest) / len(rest)]


def choose_torch(dev, test, choosing):
    dev, test = torch.from_numpy(dev), torch.from_numpy(test)
    rest = [seed for seed in range(dev.shape[1]) if seed not in choosing]
    lead = dev[:, choosing] - dev[0, choosing]  # who is best is who leads most
    means = lead.mean(1).tolist()
    arm = max(range(len(means)), key=means.__getitem__)
    return torch.tensor(arm), (test[arm] - test[0])[rest].mean()


RIGHT = [
    ("09a", seeds_while), ("09a", seeds_all_at_once), ("09a", seeds_halved), ("09a", seeds_frozen),
    ("09b", holm_numpy), ("09b", holm_definition), ("09b", holm_pairs), ("09b", claims.holm),
    ("09c", cost_ratio), ("09c", cost_loop), ("09c", cost_decimal), ("09c", cost_whole),
    ("09d", choose_mask), ("09d", choose_loop), ("09d", choose_torch),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "answer"), RIGHT, ids=[f"{e}-{a.__name__}" for e, a in RIGHT])
def test_other_forms_are_right(exercise, answer):
    kind, text = exercises.judge(exercise, answer)
    assert kind == "right", text


def test_the_numbers_in_the_text_of_09a():
    text = next(SOURCE.glob("09_*.py")).read_text(encoding="utf-8")
    assert "a spread of 3 and an effect of 5 would need 3 seeds, and needs 5." in text
    normal = ((scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * 3 / 5) ** 2
    assert 2 < normal <= 3 and seeds_while(3, 5) == 5


def test_a_search_without_an_end_is_stopped():
    def endless(spread, effect):
        m = 2
        while effect < 0 or 30 / m > effect:
            m += 1
        return m

    before, start = sys.gettrace(), time.monotonic()
    kind, text = exercises.judge("09a", endless)
    assert kind == "counterexample" and time.monotonic() - start < 30 and sys.gettrace() is before, text

    def only_losses(spread, effect):
        m = seeds_while(spread, effect)
        while effect < 0:
            m += 1
        return m

    assert "finds no end for spread 4 and effect -3; the answer is 16" in exercises.sentence("09a", only_losses)
    assert sys.gettrace() is before
