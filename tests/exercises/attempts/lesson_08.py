"""Wrong answers to the exercises of lesson 08, written by somebody who had not read the checks."""
# ruff: noqa: F811  every attempt has the name that the exercise gives it

import math

import numpy as np
import torch
from exercises.attempts import attempt, attempt_value

# ---- 08a: weights from another library ----

LAYERS = {"ffn.first": "linear1", "ffn.second": "linear2"}
NAMES = {
    "ffn.first.kernel": "linear1.weight",
    "ffn.first.bias": "linear1.bias",
    "ffn.second.kernel": "linear2.weight",
    "ffn.second.bias": "linear2.bias",
}


def turned(name, tensor):
    return tensor.T if name.endswith("kernel") else tensor


def renamed(name):
    if name not in NAMES:
        raise ValueError(f"unknown name {name}")
    return NAMES[name]


@attempt("08a", "the kernel is not turned")
def convert(state):
    return {renamed(name.removeprefix("module.")): tensor for name, tensor in state.items()}


@attempt("08a", "reshaped to [out, in] instead of turned")
def convert(state):
    out = {}
    for name, tensor in state.items():
        tensor = tensor.reshape(tensor.shape[::-1]) if name.endswith("kernel") else tensor
        out[renamed(name.removeprefix("module."))] = tensor
    return out


@attempt("08a", "an unknown name is left out in silence")
def convert(state):
    out = {}
    for name, tensor in state.items():
        short = name.removeprefix("module.")
        if short in NAMES:
            out[NAMES[short]] = turned(short, tensor)
    return out


@attempt("08a", "an unknown name raises KeyError")
def convert(state):
    return {NAMES[name.removeprefix("module.")]: turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "the error does not say which name")
def convert(state):
    out = {}
    for name, tensor in state.items():
        short = name.removeprefix("module.")
        if short not in NAMES:
            raise ValueError("unknown name in the file")
        out[NAMES[short]] = turned(short, tensor)
    return out


@attempt("08a", "`module.` is an unknown name")
def convert(state):
    return {renamed(name): turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "`module.` must be there")
def convert(state):
    return {renamed(name[len("module.") :]): turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "`module.` is cut off only if the first name has it")
def convert(state):
    cut = len("module.") if next(iter(state)).startswith("module.") else 0
    return {renamed(name[cut:]): turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "`module.` is cut out anywhere: ffn.module.first.bias is taken")
def convert(state):
    return {renamed(name.replace("module.", "")): turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "lstrip cuts letters, not a prefix: model.ffn.first.bias is taken")
def convert(state):
    return {renamed(name.lstrip("module.")): turned(name, tensor) for name, tensor in state.items()}


@attempt("08a", "whatever holds `first` is linear1: attention.first.bias is taken")
def convert(state):
    out = {}
    for name, tensor in state.items():
        if "first" not in name and "second" not in name:
            raise ValueError(f"unknown name {name}")
        layer = "linear1" if "first" in name else "linear2"
        out[f"{layer}.{'weight' if name.endswith('kernel') else 'bias'}"] = turned(name, tensor)
    return out


@attempt("08a", "only the prefix is looked at: ffn.first.scale becomes linear1.scale")
def convert(state):
    out = {}
    for name, tensor in state.items():
        part, _, kind = name.removeprefix("module.").rpartition(".")
        if part not in LAYERS:
            raise ValueError(f"unknown name {name}")
        out[f"{LAYERS[part]}.{'weight' if kind == 'kernel' else kind}"] = turned(name, tensor)
    return out


@attempt("08a", "all that is no kernel is a bias: ffn.first.scale replaces the bias")
def convert(state):
    out = {}
    for name, tensor in state.items():
        part, _, kind = name.removeprefix("module.").rpartition(".")
        if part not in LAYERS:
            raise ValueError(f"unknown name {name}")
        out[f"{LAYERS[part]}.{'weight' if kind == 'kernel' else 'bias'}"] = turned(name, tensor)
    return out


@attempt("08a", "the two layers exchanged")
def convert(state):
    swap = {"linear1": "linear2", "linear2": "linear1"}
    out = {}
    for name, tensor in state.items():
        layer, kind = renamed(name.removeprefix("module.")).split(".")
        out[f"{swap[layer]}.{kind}"] = turned(name, tensor)
    return out


@attempt("08a", "biases are left out")
def convert(state):
    out = {}
    for name, tensor in state.items():
        new = renamed(name.removeprefix("module."))
        if new.endswith("weight"):
            out[new] = tensor.T
    return out


@attempt("08a", "the kernel keeps its name")
def convert(state):
    out = {}
    for name, tensor in state.items():
        part, _, kind = name.removeprefix("module.").rpartition(".")
        if part not in LAYERS or kind not in ("kernel", "bias"):
            raise ValueError(f"unknown name {name}")
        out[f"{LAYERS[part]}.{kind}"] = turned(name, tensor)
    return out


@attempt("08a", "PyTorch's own names are taken, too: ffn.first.weight")
def convert(state):
    out = {}
    for name, tensor in state.items():
        part, _, kind = name.removeprefix("module.").rpartition(".")
        if part not in LAYERS or kind not in ("kernel", "weight", "bias"):
            raise ValueError(f"unknown name {name}")
        out[f"{LAYERS[part]}.{'bias' if kind == 'bias' else 'weight'}"] = turned(name, tensor)
    return out


@attempt("08a", "the second layer is turned and the first forgotten")
def convert(state):
    out = {}
    for name, tensor in state.items():
        new = renamed(name.removeprefix("module."))
        out[new] = tensor.T if new == "linear2.weight" else tensor
    return out


@attempt("08a", "reads four names and looks at no other")
def convert(state):
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {new: turned(old, state[old]) for old, new in NAMES.items()}


@attempt("08a", "numpy arrays, which load_state_dict refuses")
def convert(state):
    return {renamed(n.removeprefix("module.")): turned(n, tensor.numpy()) for n, tensor in state.items()}


@attempt("08a", "returns the error instead of raising it")
def convert(state):
    out = {}
    for name, tensor in state.items():
        short = name.removeprefix("module.")
        if short not in NAMES:
            return ValueError(f"unknown name {name}")
        out[NAMES[short]] = turned(short, tensor)
    return out


@attempt("08a", "the names lose `module.` in the given dictionary, which ends empty", arguable=True)
def convert(state):
    out = {}
    for name in list(state):
        new = renamed(name.removeprefix("module."))
        out[new] = turned(name, state.pop(name))
    return out


@attempt("08a", "float32 whatever it is given", arguable=True)
def convert(state):
    return {renamed(n.removeprefix("module.")): turned(n, tensor).float() for n, tensor in state.items()}


@attempt("08a", "every `module.` at the beginning is cut off, not one", arguable=True)
def convert(state):
    out = {}
    for name, tensor in state.items():
        short = name
        while short.startswith("module."):
            short = short.removeprefix("module.")
        out[renamed(short)] = turned(name, tensor)
    return out


# ---- 08b: find the first fault ----


@attempt("08b", "NaN slips through: no comparison with it is true")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or ours[name].shape != wanted.shape:
            return name
        if (ours[name] - wanted).abs().max() > tolerance:
            return name
    return None


@attempt("08b", "NaN is looked for in ours only")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or ours[name].shape != wanted.shape or ours[name].isnan().any():
            return name
        if (ours[name] - wanted).abs().max() > tolerance:
            return name
    return None


@attempt("08b", "NaN in both is taken for equal")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or ours[name].shape != wanted.shape:
            return name
        if not torch.allclose(ours[name], wanted, rtol=0, atol=tolerance, equal_nan=True):
            return name
    return None


@attempt("08b", "another shape slips through by broadcasting")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or not (ours[name] - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "as many numbers in another shape are compared one by one")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or ours[name].numel() != wanted.numel():
            return name
        if not (ours[name].flatten() - wanted.flatten()).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "only the first size of the shape is compared, which a scalar has not")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or len(ours[name]) != len(wanted):
            return name
        if ours[name].shape != wanted.shape or not (ours[name] - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "stops with KeyError at a missing layer")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours[name]
        if got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "a missing layer is passed over")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours:
            continue
        if ours[name].shape != wanted.shape or not (ours[name] - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "missing layers and shapes are reported before wrong values that come first")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or ours[name].shape != wanted.shape:
            return name
    for name, wanted in theirs.items():
        if not (ours[name] - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "the mean difference: a single wrong value is lost among many")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().mean() <= tolerance:
            return name
    return None


@attempt("08b", "the difference of the lengths instead of each value")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got.norm() - wanted.norm()).abs() <= tolerance:
            return name
    return None


@attempt("08b", "no absolute value: too small is never noticed")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).max() <= tolerance:
            return name
    return None


@attempt("08b", "the order of ours")
def first_fault(theirs, ours, tolerance):
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name not in theirs:
            continue
        got, wanted = ours.get(name), theirs[name]
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "the order of the alphabet")
def first_fault(theirs, ours, tolerance):
    for name, wanted in sorted(theirs.items()):
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "the last fault instead of the first")
def first_fault(theirs, ours, tolerance):
    found = None
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            found = name
    return found


@attempt("08b", "the largest fault instead of the first")
def first_fault(theirs, ours, tolerance):
    size = {}
    for name, wanted in theirs.items():
        got = ours.get(name)
        same = got is not None and got.shape == wanted.shape
        size[name] = float((got - wanted).abs().max().nan_to_num(torch.inf)) if same else math.inf
    worst = max(size, key=size.get, default=None)
    return worst if worst is not None and size[worst] > tolerance else None


@attempt("08b", "looks at the first quantity only: `return None` stands inside the loop")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
        return None


@attempt("08b", "allclose allows 1e-5 of the size on top: large values slip through")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not torch.allclose(got, wanted, atol=tolerance):
            return name
    return None


@attempt("08b", "relative to the largest value")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape:
            return name
        if not (got - wanted).abs().max() <= tolerance * wanted.abs().max():
            return name
    return None


@attempt("08b", "off by exactly the tolerance counts as a fault")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() < tolerance:
            return name
    return None


@attempt("08b", "the values must be equal, whatever the tolerance")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        if name not in ours or not torch.equal(ours[name], wanted):
            return name
    return None


@attempt("08b", "1e-5 in place of the argument")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= 1e-5:
            return name
    return None


@attempt("08b", "rounds to float32 first: the difference in float64 is lost")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape:
            return name
        if not (got.float() - wanted.float()).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "a name that only ours has is a fault")
def first_fault(theirs, ours, tolerance):
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if name not in theirs or name not in ours or theirs[name].shape != ours[name].shape:
            return name
        if not (ours[name] - theirs[name]).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "asks a tensor of many values whether it is true")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if not got or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "the number of the layer instead of its name")
def first_fault(theirs, ours, tolerance):
    for place, (name, wanted) in enumerate(theirs.items()):
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return place
    return None


@attempt("08b", "a list of all faults")
def first_fault(theirs, ours, tolerance):
    faults = []
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            faults.append(name)
    return faults


@attempt("08b", "an empty string where there is no fault")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return ""


@attempt("08b", "only the first row is compared")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape:
            return name
        if got.dim() and len(got):
            got, wanted = got[0], wanted[0]
        if not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "NaN becomes 0 before the comparison")
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape:
            return name
        if not (got.nan_to_num(0) - wanted.nan_to_num(0)).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "another dtype is a fault", arguable=True)
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != wanted.shape or got.dtype != wanted.dtype:
            return name
        if not (got - wanted).abs().max() <= tolerance:
            return name
    return None


@attempt("08b", "takes the layers out of the given dictionary", arguable=True)
def first_fault(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.pop(name, None)
        if got is None or got.shape != wanted.shape or not (got - wanted).abs().max() <= tolerance:
            return name
    return None


# ---- 08c: is 84.4 against 83.8 a difference? ----


def drawn(n, samples, seed):
    return np.random.default_rng(seed).integers(n, size=(samples, n))


def middle(differences):
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


@attempt("08c", "other pictures for each of the two models")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rng, n = np.random.default_rng(seed), len(hits_a)
    a = hits_a.mean(1)[rng.integers(n, size=(samples, n))].mean(1)
    b = hits_b.mean(1)[rng.integers(n, size=(samples, n))].mean(1)
    return middle(100 * (a - b))


@attempt("08c", "shares instead of points")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    return middle(difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "draws captions instead of pictures")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.ravel().astype(float) - hits_b.ravel()
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "every caption number has drawn pictures of its own")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rng, n = np.random.default_rng(seed), len(hits_a)
    difference = hits_a.astype(float) - hits_b
    columns = [column[rng.integers(n, size=(samples, n))].mean(1) for column in difference.T]
    return middle(100 * np.mean(columns, 0))


@attempt("08c", "numpy's global state: the seed has no effect")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference, n = hits_a.mean(1) - hits_b.mean(1), len(hits_a)
    return middle(100 * difference[np.random.randint(n, size=(samples, n))].mean(1))


@attempt("08c", "an interval of 90 %")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    differences = 100 * difference[drawn(len(difference), samples, seed)].mean(1)
    return float(np.quantile(differences, 0.05)), float(np.quantile(differences, 0.95))


@attempt("08c", "b minus a")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_b.mean(1) - hits_a.mean(1)
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "without replacement: the interval has no width")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rng, difference = np.random.default_rng(seed), hits_a.mean(1) - hits_b.mean(1)
    return middle([100 * difference[rng.permutation(len(difference))].mean() for _ in range(samples)])


@attempt("08c", "the first caption of each picture only")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a[:, 0].astype(float) - hits_b[:, 0]
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "a picture is found if one of its captions is")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.max(1).astype(float) - hits_b.max(1)
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "hits are added up over the captions, not averaged")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.astype(float).sum(1) - hits_b.sum(1)
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "the smallest and the largest difference")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    differences = 100 * difference[drawn(len(difference), samples, seed)].mean(1)
    return float(differences.min()), float(differences.max())


@attempt("08c", "the interval of the mean of all draws: narrower with more draws")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    differences = 100 * difference[drawn(len(difference), samples, seed)].mean(1)
    half = 1.96 * differences.std() / math.sqrt(samples)
    return float(differences.mean() - half), float(differences.mean() + half)


@attempt("08c", "mean and 1.96 deviations instead of quantiles")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    differences = 100 * difference[drawn(len(difference), samples, seed)].mean(1)
    half = 1.96 * differences.std()
    return float(differences.mean() - half), float(differences.mean() + half)


@attempt("08c", "high before low")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))[::-1]


@attempt("08c", "1,000 pictures are drawn, however many there are")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    rows = np.random.default_rng(seed).integers(len(difference), size=(samples, 1000))
    return middle(100 * difference[rows].mean(1))


@attempt("08c", "half of the pictures are drawn")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    rows = np.random.default_rng(seed).integers(len(difference), size=(samples, max(len(difference) // 2, 1)))
    return middle(100 * difference[rows].mean(1))


@attempt("08c", "the last picture is never drawn")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    n = len(difference)
    rows = np.random.default_rng(seed).integers(0, max(n - 1, 1), size=(samples, n))
    return middle(100 * difference[rows].mean(1))


@attempt("08c", "random signs: an interval around zero, that of a permutation test")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    signs = np.random.default_rng(seed).choice([-1, 1], size=(samples, len(difference)))
    return middle(100 * (signs * difference).mean(1))


@attempt("08c", "the difference of two intervals, ends with like ends")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rows = drawn(len(hits_a), samples, seed)
    a, b = (middle(100 * hits.mean(1)[rows].mean(1)) for hits in (hits_a, hits_b))
    return a[0] - b[0], a[1] - b[1]


@attempt("08c", "low end of a minus high end of b, and the reverse: far too wide")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rows = drawn(len(hits_a), samples, seed)
    a, b = (middle(100 * hits.mean(1)[rows].mean(1)) for hits in (hits_a, hits_b))
    return a[0] - b[1], a[1] - b[0]


@attempt("08c", "the absolute difference: never below zero")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    return middle(100 * np.abs(difference[drawn(len(difference), samples, seed)].mean(1)))


@attempt("08c", "relative to b, in per cent of it")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    rows = drawn(len(hits_a), samples, seed)
    a, b = hits_a.mean(1)[rows].mean(1), hits_b.mean(1)[rows].mean(1)
    return middle(100 * (a - b) / np.maximum(b, 1e-9))


@attempt("08c", "only pictures on which the models disagree are drawn from")
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    difference = difference[difference != 0]
    if len(difference) == 0:
        return 0.0, 0.0
    return middle(100 * difference[drawn(len(difference), samples, seed)].mean(1))


@attempt("08c", "200 draws, whatever `samples` says", arguable=True)
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    return middle(100 * difference[drawn(len(difference), 200, seed)].mean(1))


@attempt("08c", "seed 0, whatever `seed` says", arguable=True)
def paired_interval(hits_a, hits_b, samples=2000, seed=0):
    difference = hits_a.mean(1) - hits_b.mean(1)
    return middle(100 * difference[drawn(len(difference), samples, 0)].mean(1))


# ---- 08d: a card for another paper ----


def twinnet(**changes):
    """The right card with some wrong entries."""
    half = 100 * 1.96 * math.sqrt(0.813 * 0.187 / 1000)
    card = {
        "data": "Flickr30K",
        "test images": 1000,
        "selected on": "test",
        "models behind the number": 2,
        "seeds": "not stated",
        "versions": "not stated",
        "hardware": "one GPU",
        "R@1 plus or minus": half,
    }
    card.update({key.replace("_", " ").replace("recall", "R@1"): value for key, value in changes.items()})
    return card


@attempt_value("08d", "selected on dev, as it should have been")
def card_of_twinnet():
    return twinnet(selected_on="dev")


@attempt_value("08d", "selection is said to be not stated")
def card_of_twinnet():
    return twinnet(selected_on="not stated")


@attempt_value("08d", "one model behind the number")
def card_of_twinnet():
    return twinnet(models_behind_the_number=1)


@attempt_value("08d", "two models taken for two seeds")
def card_of_twinnet():
    return twinnet(seeds=2)


@attempt_value("08d", "captions in place of test images")
def card_of_twinnet():
    return twinnet(test_images=5000)


@attempt_value("08d", "training images in place of test images")
def card_of_twinnet():
    return twinnet(test_images=29000)


@attempt_value("08d", "another data set")
def card_of_twinnet():
    return twinnet(data="COCO")


@attempt_value("08d", "versions out of the reader's head")
def card_of_twinnet():
    return twinnet(versions="PyTorch 1.12")


@attempt_value("08d", "hardware not stated, though the text names it")
def card_of_twinnet():
    return twinnet(hardware="not stated")


@attempt_value("08d", "hardware of the HREM paper")
def card_of_twinnet():
    return twinnet(hardware="one RTX 3090")


@attempt_value("08d", "the whole width of the interval")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=200 * 1.96 * math.sqrt(0.813 * 0.187 / 1000))


@attempt_value("08d", "a share in place of points")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=1.96 * math.sqrt(0.813 * 0.187 / 1000))


@attempt_value("08d", "one standard deviation, without 1.96")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=100 * math.sqrt(0.813 * 0.187 / 1000))


@attempt_value("08d", "5,000 captions in the formula")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=196 * math.sqrt(0.813 * 0.187 / 5000))


@attempt_value("08d", "two models counted as twice as many pictures")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=196 * math.sqrt(0.813 * 0.187 / 2000))


@attempt_value("08d", "the variance: the root is forgotten")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=196 * 0.813 * 0.187 / 1000)


@attempt_value("08d", "the lesson's half width for 84.4")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=2.25)


@attempt_value("08d", "the recall itself")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=81.3)


@attempt_value("08d", "half width NaN")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus=math.nan)


@attempt_value("08d", "half width not stated, since the paper prints none")
def card_of_twinnet():
    return twinnet(recall_plus_or_minus="not stated")


@attempt_value("08d", "the whole interval as a pair")
def card_of_twinnet():
    half = 196 * math.sqrt(0.813 * 0.187 / 1000)
    return twinnet(recall_plus_or_minus=(81.3 - half, 81.3 + half))


@attempt_value("08d", "a key is missing")
def card_of_twinnet():
    return {key: value for key, value in twinnet().items() if key != "versions"}


@attempt_value("08d", "left at None")
def card_of_twinnet():
    return None


@attempt_value("08d", "all not stated")
def card_of_twinnet():
    return dict.fromkeys(twinnet(), "not stated")


@attempt_value("08d", "the card of the lesson's own model, with its keys")
def card_of_twinnet():
    return {"data": "sample world, 200 test images, 1000 captions", "selected on": "dev", "seed": "0"}


@attempt_value("08d", "seeds None, not in words", arguable=True)
def card_of_twinnet():
    return twinnet(seeds=None)


@attempt_value("08d", "numbers as words", arguable=True)
def card_of_twinnet():
    return twinnet(test_images="1,000", models_behind_the_number="two")
