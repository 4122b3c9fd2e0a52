"""Wrong answers to the exercises of lesson 09, written before the checks were."""
# ruff: noqa: F811  every attempt has the name that the exercise gives it

import itertools
import math

import numpy as np
import scipy
from exercises.attempts import attempt

# ---- 09a: how many seeds? ----


def t(share, freedom):
    return scipy.stats.t.ppf(share, freedom)


def seen(spread, m):
    return (t(0.975, m - 1) + t(0.8, m - 1)) * spread / m**0.5


@attempt("09a", "1.96 and 0.84 in place of Student's t")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (1.96 + 0.84) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "the normal distribution's quantiles")
def seeds_for(spread, effect):
    normal = scipy.stats.norm
    for m in itertools.count(2):
        if (normal.ppf(0.975) + normal.ppf(0.8)) * spread / np.sqrt(m) <= abs(effect):
            return m


@attempt("09a", "solved for m with normal quantiles; one seed at least")
def seeds_for(spread, effect):
    return max(1, math.ceil(((1.96 + 0.84) * spread / effect) ** 2))


@attempt("09a", "no power: the quantile 0.8 is left out")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if t(0.975, m - 1) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "m degrees of freedom")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m) + t(0.8, m)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "m - 2 degrees of freedom, as for two groups")
def seeds_for(spread, effect):
    for m in itertools.count(3):
        if (t(0.975, m - 2) + t(0.8, m - 2)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "one-sided: 0.95")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.95, m - 1) + t(0.8, m - 1)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "both quantiles two-sided: 0.975 and 0.9")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m - 1) + t(0.9, m - 1)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "divides by the root of m - 1")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m - 1) + t(0.8, m - 1)) * spread / (m - 1) ** 0.5 <= abs(effect):
            return m


@attempt("09a", "divides by m, not by its root")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m - 1) + t(0.8, m - 1)) * spread / m <= abs(effect):
            return m


@attempt("09a", "does not divide by the root of m")
def seeds_for(spread, effect):
    for m in range(2, 100):
        if (t(0.975, m - 1) + t(0.8, m - 1)) * spread <= abs(effect):
            return m
    return 100


@attempt("09a", "multiplies by the root of m and never ends")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m - 1) + t(0.8, m - 1)) * spread * m**0.5 <= abs(effect):
            return m


@attempt("09a", "the sign of the effect: a loss is never seen, without an end")
def seeds_for(spread, effect):
    m = 2
    while seen(spread, m) > effect:
        m += 1
    return m


@attempt("09a", "the sign of the effect, in a search with an end: None")
def seeds_for(spread, effect):
    for m in range(2, 500):
        if seen(spread, m) <= effect:
            return m


@attempt("09a", "the sign of the effect: abs stands on the other side")
def seeds_for(spread, effect):
    return next(m for m in itertools.count(2) if abs(seen(spread, m)) <= effect)


@attempt("09a", "from 3 on")
def seeds_for(spread, effect):
    return next(m for m in itertools.count(3) if seen(spread, m) <= abs(effect))


@attempt("09a", "one too many")
def seeds_for(spread, effect):
    m = 2
    while seen(spread, m) > abs(effect):
        m += 1
    return m + 1


@attempt("09a", "the last number that does not see it")
def seeds_for(spread, effect):
    m = 2
    while seen(spread, m + 1) > abs(effect):
        m += 1
    return m


@attempt("09a", "counts the steps of the loop")
def seeds_for(spread, effect):
    for steps, m in enumerate(itertools.count(2)):
        if seen(spread, m) <= abs(effect):
            return steps


@attempt("09a", "the comparison turned round")
def seeds_for(spread, effect):
    for m in range(2, 500):
        if seen(spread, m) >= abs(effect):
            return m
    return 2


@attempt("09a", "no more than 99 seeds are tried")
def seeds_for(spread, effect):
    for m in range(2, 100):
        if seen(spread, m) <= abs(effect):
            return m


@attempt("09a", "a grid of numbers: 2, 3, 5, 10, 20, 50, ...")
def seeds_for(spread, effect):
    for m in (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000):
        if seen(spread, m) <= abs(effect):
            return m


@attempt("09a", "the squared spread")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread**2, m) <= abs(effect):
            return m


@attempt("09a", "the root of the variance divided by m, and the spread taken for a variance")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread**0.5, m) <= abs(effect):
            return m


@attempt("09a", "the spread of each arm: twice the variance")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread * 2**0.5, m) <= abs(effect):
            return m


@attempt("09a", "the second quantile is subtracted")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if (t(0.975, m - 1) + t(0.2, m - 1)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "the detectable difference, not the number of seeds")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread, m) <= abs(effect):
            return seen(spread, m)


@attempt("09a", "cdf in place of ppf")
def seeds_for(spread, effect):
    cdf = scipy.stats.t.cdf
    for m in itertools.count(2):
        if (cdf(0.975, m - 1) + cdf(0.8, m - 1)) * spread / m**0.5 <= abs(effect):
            return m


@attempt("09a", "Student's t of the normal answer, looked up once")
def seeds_for(spread, effect):
    first = max(2, math.ceil((2.8 * spread / effect) ** 2))
    factor = t(0.975, first - 1) + t(0.8, first - 1)
    return max(2, math.ceil((factor * spread / effect) ** 2))


@attempt("09a", "prints the number")
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread, m) <= abs(effect):
            "print(m)"
            break


@attempt("09a", "a float", arguable=True)
def seeds_for(spread, effect):
    for m in itertools.count(2):
        if seen(spread, m) <= abs(effect):
            return float(m)


# ---- 09b: Holm's correction ----


def by_size(p):
    return sorted(range(len(p)), key=lambda i: p[i])


@attempt("09b", "no running maximum")
def holm(p):
    corrected = [0.0] * len(p)
    for done, i in enumerate(by_size(p)):
        corrected[i] = min(1.0, (len(p) - done) * p[i])
    return corrected


@attempt("09b", "Bonferroni: all times m")
def holm(p):
    return [min(1.0, len(p) * value) for value in p]


@attempt("09b", "Bonferroni without the cap")
def holm(p):
    return [len(p) * value for value in p]


@attempt("09b", "in the order of size")
def holm(p):
    corrected, largest = [], 0.0
    for done, value in enumerate(sorted(p)):
        largest = max(largest, min(1.0, (len(p) - done) * value))
        corrected.append(largest)
    return corrected


@attempt("09b", "in the order of size, and no running maximum")
def holm(p):
    return [min(1.0, (len(p) - done) * value) for done, value in enumerate(sorted(p))]


@attempt("09b", "times the place: the smallest times 1, the largest times m")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, min(1.0, (done + 1) * p[i]))
        corrected[i] = largest
    return corrected


@attempt("09b", "the largest is multiplied by m")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(reversed(by_size(p))):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = largest
    return corrected


@attempt("09b", "not capped at 1")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, (len(p) - done) * p[i])
        corrected[i] = largest
    return corrected


@attempt("09b", "Benjamini and Hochberg's correction")
def holm(p):
    corrected, least = [0.0] * len(p), 1.0
    for place, i in reversed(list(enumerate(by_size(p), 1))):
        least = min(least, p[i] * len(p) / place)
        corrected[i] = least
    return corrected


@attempt("09b", "Hochberg's step-up: a running minimum from the largest on")
def holm(p):
    corrected, least = [0.0] * len(p), 1.0
    for left, i in enumerate(reversed(by_size(p)), 1):
        least = min(least, left * p[i])
        corrected[i] = least
    return corrected


@attempt("09b", "the running maximum in the order of p")
def holm(p):
    corrected = [0.0] * len(p)
    for done, i in enumerate(by_size(p)):
        corrected[i] = min(1.0, (len(p) - done) * p[i])
    return list(np.maximum.accumulate(corrected))


@attempt("09b", "no sorting at all: the first times m, the next times m - 1")
def holm(p):
    corrected, largest = [], 0.0
    for done, value in enumerate(p):
        largest = max(largest, min(1.0, (len(p) - done) * value))
        corrected.append(largest)
    return corrected


@attempt("09b", "m - 1, m - 2, ..., 0")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p), 1):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = largest
    return corrected


@attempt("09b", "m + 1, m, ..., 2")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, min(1.0, (len(p) - done + 1) * p[i]))
        corrected[i] = largest
    return corrected


@attempt("09b", "the smallest times m, all others times m - 1")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, min(1.0, (len(p) - min(done, 1)) * p[i]))
        corrected[i] = largest
    return corrected


@attempt("09b", "sorts the given list")
def holm(p):
    order = by_size(p)
    p.sort()
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - done) * p[done]))
        corrected[i] = largest
    return corrected


@attempt("09b", "writes into the given list")
def holm(p):
    largest = 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        p[i] = largest
    return p


@attempt("09b", "sorts the given list and returns it corrected")
def holm(p):
    p.sort()
    for done in range(len(p)):
        p[done] = min(1.0, (len(p) - done) * p[done])
    return p


@attempt("09b", "a tie is written to the same place twice")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, value in enumerate(sorted(p)):
        largest = max(largest, min(1.0, (len(p) - done) * value))
        corrected[p.index(value)] = largest
    return corrected


@attempt("09b", "m is the number of different values")
def holm(p):
    values = sorted(set(p))
    corrected, largest = {}, 0.0
    for done, value in enumerate(values):
        largest = max(largest, min(1.0, (len(values) - done) * value))
        corrected[value] = largest
    return [corrected[value] for value in p]


@attempt("09b", "argsort taken for ranks")
def holm(p):
    ranks = np.argsort(p)
    corrected = np.minimum(1, (len(p) - ranks) * np.array(p))
    order = by_size(p)
    corrected[order] = np.maximum.accumulate(corrected[order])
    return corrected.tolist()


@attempt("09b", "put back with the order in place of its inverse")
def holm(p):
    order = np.argsort(p)
    sizes = np.sort(p) * np.arange(len(p), 0, -1)
    return np.minimum(1, np.maximum.accumulate(sizes))[order].tolist()


@attempt("09b", "compares with the product before, not with the largest so far")
def holm(p):
    corrected, before = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        now = (len(p) - done) * p[i]
        corrected[i] = min(1.0, max(before, now))
        before = now
    return corrected


@attempt("09b", "the running maximum of p, not of the products")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, p[i])
        corrected[i] = min(1.0, (len(p) - done) * largest)
    return corrected


@attempt("09b", "all after the first above 0.05 are 1")
def holm(p):
    corrected, stopped = [1.0] * len(p), False
    for done, i in enumerate(by_size(p)):
        stopped = stopped or (len(p) - done) * p[i] > 0.05
        if not stopped:
            corrected[i] = (len(p) - done) * p[i]
    return corrected


@attempt("09b", "True and False at 0.05")
def holm(p):
    corrected, largest = [False] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, (len(p) - done) * p[i])
        corrected[i] = largest < 0.05
    return corrected


@attempt("09b", "Sidak's form of the correction")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, 1 - (1 - p[i]) ** (len(p) - done))
        corrected[i] = largest
    return corrected


@attempt("09b", "sums what came before")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = min(1.0, largest + (len(p) - done) * p[i])
        corrected[i] = largest
    return corrected


@attempt("09b", "divided in place of multiplied")
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, p[i] / (len(p) - done))
        corrected[i] = largest
    return corrected


@attempt("09b", "rounded to two digits", arguable=True)
def holm(p):
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(by_size(p)):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = round(largest, 2)
    return corrected


# ---- 09c: a base that costs as much ----


def near(x):
    return max(1, math.floor(x + 0.5))


@attempt("09c", "the warm-up is forgotten: all epochs at the arm's price")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(epochs * arm_seconds / base_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "the warm-up is left out of the cost")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near((epochs - warm_up) * arm_seconds / base_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "the two prices exchanged in the sum")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near((warm_up * arm_seconds + (epochs - warm_up) * base_seconds) / base_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "the warm-up comes on top of all epochs")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near((warm_up * base_seconds + epochs * arm_seconds) / base_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "divided by the arm's price")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near((warm_up * base_seconds + (epochs - warm_up) * arm_seconds) / arm_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "the ratio upside down")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(epochs * base_seconds / arm_seconds)
    return longer, near(longer * decay / epochs)


@attempt("09c", "the decay stays at its old epoch")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    return near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds), decay


@attempt("09c", "the decay moves by as many epochs as there are more")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, max(1, decay + longer - epochs)


@attempt("09c", "the decay when the arm's has cost as much")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    def cost(last):
        return near(min(last, warm_up) + max(0, last - warm_up) * arm_seconds / base_seconds)

    return cost(epochs), cost(decay)


@attempt("09c", "the decay's share counted after the warm-up")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    share = (decay - warm_up) / (epochs - warm_up) if epochs > warm_up else 1
    return longer, near(warm_up + share * (longer - warm_up))


@attempt("09c", "the decay's share of the epochs before rounding")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = warm_up + (epochs - warm_up) * arm_seconds / base_seconds
    return near(longer), near(longer * decay / epochs)


@attempt("09c", "the decay times the ratio of the two prices")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, near(decay * arm_seconds / base_seconds)


@attempt("09c", "both rounded down")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, int(warm_up + (epochs - warm_up) * arm_seconds / base_seconds))
    return longer, max(1, int(longer * decay / epochs))


@attempt("09c", "whole division")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, (warm_up * base_seconds + (epochs - warm_up) * arm_seconds) // base_seconds)
    return longer, max(1, longer * decay // epochs)


@attempt("09c", "the epochs rounded, the decay rounded down")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, max(1, longer * decay // epochs)


@attempt("09c", "rounded up")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, math.ceil(warm_up + (epochs - warm_up) * arm_seconds / base_seconds))
    return longer, max(1, math.ceil(longer * decay / epochs))


@attempt("09c", "round: halves to the even number")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, round(warm_up + (epochs - warm_up) * arm_seconds / base_seconds))
    return longer, max(1, round(longer * decay / epochs))


@attempt("09c", "the epochs by int(x + 0.5), the decay by round")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, max(1, round(longer * decay / epochs))


@attempt("09c", "halves downward")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, math.ceil(warm_up + (epochs - warm_up) * arm_seconds / base_seconds - 0.5))
    return longer, max(1, math.ceil(longer * decay / epochs - 0.5))


@attempt("09c", "not at least 1")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = int(warm_up + (epochs - warm_up) * arm_seconds / base_seconds + 0.5)
    return longer, int(longer * decay / epochs + 0.5)


@attempt("09c", "only the epochs are at least 1")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, int(longer * decay / epochs + 0.5)


@attempt("09c", "never fewer epochs than the arm")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(epochs, near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds))
    return longer, near(longer * decay / epochs)


@attempt("09c", "the ratio of the prices is rounded first")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * near(arm_seconds / base_seconds))
    return longer, near(longer * decay / epochs)


@attempt("09c", "the seconds, not the epochs")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    seconds = near(warm_up * base_seconds + (epochs - warm_up) * arm_seconds)
    return seconds, near(seconds * decay / epochs)


@attempt("09c", "the epochs alone")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    return near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)


@attempt("09c", "the two results exchanged")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return near(longer * decay / epochs), longer


@attempt("09c", "how many epochs more")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer - epochs, near(longer * decay / epochs)


@attempt("09c", "not rounded")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = max(1, warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, max(1, longer * decay / epochs)


@attempt("09c", "the share upside down")
def equal_cost(base_seconds, arm_seconds, epochs, warm_up, decay):
    longer = near(warm_up + (epochs - warm_up) * arm_seconds / base_seconds)
    return longer, near(longer * epochs / decay)


# ---- 09d: choose and report ----


@attempt("09d", "the seeds that chose also report")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    return arm, float((test[arm, choosing] - test[0, choosing]).mean())


@attempt("09d", "all seeds report")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    return arm, float((test[arm] - test[0]).mean())


@attempt("09d", "chooses on test")
def choose_and_report(dev, test, choosing):
    arm = int(test[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "chooses on test, with the seeds that report: the winner's curse")
def choose_and_report(dev, test, choosing):
    rest = np.delete(test, choosing, axis=1)
    arm = int(rest.mean(1).argmax())
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "all seeds choose")
def choose_and_report(dev, test, choosing):
    arm = int(dev.mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "all seeds choose and all report")
def choose_and_report(dev, test, choosing):
    arm = int(dev.mean(1).argmax())
    return arm, float((test[arm] - test[0]).mean())


@attempt("09d", "the other seeds choose, the choosing ones report")
def choose_and_report(dev, test, choosing):
    arm = int(np.delete(dev, choosing, axis=1).mean(1).argmax())
    return arm, float((test[arm, choosing] - test[0, choosing]).mean())


@attempt("09d", "the other seeds choose and report")
def choose_and_report(dev, test, choosing):
    arm = int(np.delete(dev, choosing, axis=1).mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "reports on dev")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(dev, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the lead over the best other arm")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    means = np.delete(test, choosing, axis=1).mean(1)
    return arm, float(means[arm] - np.delete(means, arm).max())


@attempt("09d", "the lead over the mean of the other arms")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    means = np.delete(test, choosing, axis=1).mean(1)
    return arm, float(means[arm] - np.delete(means, arm).mean())


@attempt("09d", "the arm's rSum, not its lead")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    return arm, float(np.delete(test, choosing, axis=1)[arm].mean())


@attempt("09d", "the arm with the largest single rSum")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].max(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "argmax of the whole table: no arm's number")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "each choosing seed votes")
def choose_and_report(dev, test, choosing):
    arm = int(np.bincount(dev[:, choosing].argmax(0)).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the first choosing seed alone chooses")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing[0]].argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the median chooses")
def choose_and_report(dev, test, choosing):
    arm = int(np.median(dev[:, choosing], axis=1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the last at ties")
def choose_and_report(dev, test, choosing):
    means = dev[:, choosing].mean(1)
    arm = int(len(means) - 1 - means[::-1].argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the base cannot be chosen")
def choose_and_report(dev, test, choosing):
    arm = 1 + int(dev[1:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the base left out, and the number one too low")
def choose_and_report(dev, test, choosing):
    arm = int(dev[1:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "arms counted from 1")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm + 1, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the least mean")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmin())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "rows for columns: choosing picks arms")
def choose_and_report(dev, test, choosing):
    arm = int(dev[choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "np.delete without axis")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "np.delete along the arms")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=0)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the first columns, as many as choose")
def choose_and_report(dev, test, choosing):
    k = len(choosing)
    arm = int(dev[:, :k].mean(1).argmax())
    return arm, float((test[arm, k:] - test[0, k:]).mean())


@attempt("09d", "a slice from the first choosing column to the last")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing[0] : choosing[-1] + 1].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "the columns after the last choosing one report")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = test[:, max(choosing) + 1 :]
    return arm, float((rest[arm] - rest[0]).mean())


@attempt("09d", "base minus arm")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[0] - rest[arm]).mean())


@attempt("09d", "the lead without its sign")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float(abs(rest[arm] - rest[0]).mean())


@attempt("09d", "the sum of the leads")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).sum())


@attempt("09d", "a lead a seed, not their mean")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, rest[arm] - rest[0]


@attempt("09d", "the base's mean over all seeds")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    return arm, float(np.delete(test, choosing, axis=1)[arm].mean() - test[0].mean())


@attempt("09d", "the largest lead of a seed")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).max())


@attempt("09d", "the lead alone")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return float((rest[arm] - rest[0]).mean())


@attempt("09d", "lead and arm exchanged")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return float((rest[arm] - rest[0]).mean()), arm


@attempt("09d", "subtracts the base from the given table")
def choose_and_report(dev, test, choosing):
    arm = int(dev[:, choosing].mean(1).argmax())
    test -= test[0].copy()
    return arm, float(np.delete(test, choosing, axis=1)[arm].mean())


@attempt("09d", "sorts the given list of columns")
def choose_and_report(dev, test, choosing):
    choosing.sort()
    arm = int(dev[:, choosing].mean(1).argmax())
    rest = np.delete(test, choosing, axis=1)
    return arm, float((rest[arm] - rest[0]).mean())
