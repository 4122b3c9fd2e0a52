"""Checks of notebook 08: names of weights, the first wrong layer, a paired difference, a reproducibility card."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hrem_lib.attention import EncoderLayer
from hrem_lib.encoders import FragmentRelations, ImageEncoder, RegionProjection
from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import answer, ask, expect_dtype, show

# ---- a: names and layout of one module ---------------------------------------------------------------------------

_PORT = {
    "ffn.first.kernel": ("linear1.weight", True),
    "ffn.first.bias": ("linear1.bias", False),
    "ffn.second.kernel": ("linear2.weight", True),
    "ffn.second.bias": ("linear2.bias", False),
}


def _port(dim: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(8)
    shapes = {name: (dim, dim) if name.endswith("kernel") else (dim,) for name in _PORT}
    return {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}


def _convert(
    state: dict[str, Tensor], transpose: bool = True, exchange: bool = False, drop: bool = False, module: bool = True
) -> dict[str, Tensor]:
    out = {}
    for name, tensor in state.items():
        name = name.removeprefix("module.") if module else name
        if name not in _PORT:
            if drop:
                continue
            raise ValueError(f"unknown name {name}")
        ours, is_kernel = _PORT[name]
        if exchange:
            ours = ours.replace("1", "x").replace("2", "1").replace("x", "2")
        out[ours] = tensor.T if is_kernel and transpose else tensor
    return out


_UNKNOWN = (
    "ffn.gate.kernel", "ffn.first.scale", "ffn.first.weight", "attention.first.bias", "ffn.module.first.bias",
    "model.ffn.first.bias",
)  # fmt: skip


def check_a(convert: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> str:
    """A port's feed-forward weights under our names and in PyTorch's layout."""
    small = {
        "ffn.first.kernel": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "ffn.first.bias": torch.tensor([5.0, 6.0]),
        "ffn.second.kernel": torch.tensor([[7.0, 8.0], [9.0, 0.0]]),
        "ffn.second.bias": torch.tensor([1.0, 0.0]),
    }
    _expect_converted(answer(convert, "for names without `module.`", small), small, "")
    state = _port(5)
    x = torch.linspace(-1, 1, 10, dtype=torch.float64).view(2, 5)
    inner = F.relu(x @ state["ffn.first.kernel"] + state["ffn.first.bias"])
    outer = inner @ state["ffn.second.kernel"] + state["ffn.second.bias"]
    got = answer(convert, "for float64 tensors of width 5", state)
    _expect_converted(got, state, "for float64 tensors of width 5")
    layer = EncoderLayer(5, 1, 5).double().eval()
    layer.load_state_dict(got, strict=False)
    expect_close(layer.feed_forward(x), outer, "output of the layer", tol=1e-10, case="in float64")
    try:
        prefixed = ask(convert, {f"module.{name}": tensor for name, tensor in small.items()})
    except (NotImplementedError, Wrong):
        raise
    except Exception:
        prefixed = {}
    if set(prefixed) != set(_convert(small)):
        raise Wrong("A leading `module.` (nn.DataParallel leaves it) has to be cut off before a name is looked up.")
    mixed = {f"module.{name}" if "second" in name else name: tensor for name, tensor in small.items()}
    case = "where only the names of ffn.second begin with `module.`"
    _expect_converted(answer(convert, case, mixed), small, case)
    for name in _UNKNOWN:
        _expect_refused(convert, small, name)
    return "Names, layout, prefix and unknown names are taken care of; the layer gives the same numbers to 1e-10."


def _expect_converted(got: Any, state: dict[str, Tensor], case: str) -> None:
    """The names, types and values of `_convert`, or a sentence."""
    wanted = _convert(state)
    if not isinstance(got, dict) or set(got) != set(wanted):
        names = ", ".join(sorted(got)) if isinstance(got, dict) else type(got).__name__
        raise Wrong(" ".join(f"The names {case} should be {', '.join(wanted)}, yours are {names or 'none'}.".split()))
    plain, exchanged = _convert(state, transpose=False), _convert(state, exchange=True)
    for name, value in wanted.items():
        if not isinstance(got[name], Tensor):
            raise Wrong(
                f"{name} should be a tensor, yours is of type {type(got[name]).__name__}, which no module can load."
            )
        text = f"{name} is not transposed: a kernel is [in, out], a weight [out, in]; being square, no shape tells."
        known = {
            text: plain[name],
            "The first and the second layer are exchanged; both are square, so no shape tells.": exchanged[name],
        }
        expect_close(got[name], value, f"tensor {name}", known, case=case or f"for {show(state)}")
        expect_dtype(got[name], value.dtype, f"tensor {name} {case}".strip())


def _expect_refused(convert: Callable, state: dict[str, Tensor], name: str) -> None:
    """A ValueError that holds the unknown name, or a sentence."""
    try:
        got = ask(convert, {**state, name: torch.full((2, 2) if name.endswith("kernel") else (2,), 9.0)})
    except (NotImplementedError, Wrong):
        raise
    except Exception as error:
        if not isinstance(error, ValueError) or name not in str(error):
            text = f"An unknown name should raise a ValueError that holds the name, here {name}"
            raise Wrong(f"{text}; yours is {type(error).__name__}: {str(error)[:80].rstrip('.')}.") from None
        return
    if isinstance(got, Exception):
        raise Wrong(f"For the unknown name {name} your function returns the error; raise it.")
    wanted = _convert(state)
    same = isinstance(got, dict) and set(got) == set(wanted)
    if same and all(torch.equal(got[key], wanted[key]) for key in wanted):
        raise Wrong(f"The unknown name {name} was dropped in silence; raise a ValueError that names it.")
    raise Wrong(f"The unknown name {name} is taken for a known one; raise a ValueError that names it.")


# ---- b: the first layer that differs -----------------------------------------------------------------------------


def planted() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Quantities of a small image encoder in order of computation, right and with one planted fault: theirs, ours."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        relations = FragmentRelations(8, 2, 1, 0.0, 0.8, 2)
        encoder = ImageEncoder(RegionProjection(6, 8, "linear"), relations).double().eval()
        regions = 3 * torch.randn(2, 5, 6, dtype=torch.float64)

    @torch.no_grad()
    def run() -> dict[str, Tensor]:
        out = encoder(regions, torch.ones(2, 5, dtype=torch.bool))
        layer: Any = encoder.relations.layers[0]  # an EncoderLayer
        attended = layer.self_attn(out.fragments, out.fragments)[0]
        seen = {"regions": out.fragments, "attended": attended, "norm": layer.norm1(out.fragments + attended)}
        return seen | {"context": out.context, "pooled": out.pooled, "emb": out.emb}

    theirs = run()
    with torch.no_grad():  # the fault: scores are not divided by sqrt(d_k)
        encoder.relations.layers[0].self_attn.in_proj_weight[:8] *= math.sqrt(4)  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]  # an EncoderLayer
    return theirs, run()


def _first(theirs: dict, ours: dict, tolerance: float, kind: str = "") -> str | None:
    if kind == "largest":
        comparable = [n for n in theirs if n in ours and theirs[n].shape == ours[n].shape]
        differences = {n: float((theirs[n] - ours[n]).abs().max()) for n in comparable}
        worst = max(differences, key=differences.__getitem__)
        return worst if differences[worst] > tolerance else None
    for name in sorted(theirs) if kind == "sorted" else theirs:
        a = theirs[name]
        if name not in ours:
            if kind == "missing":
                continue
            return name
        b = ours[name]
        if a.shape != b.shape and kind != "shape":
            return name
        difference = a - b if kind == "signed" else (a - b).abs()
        size = float(difference.mean() if kind == "mean" else difference.max())
        if size > tolerance or (kind != "nan" and not size <= tolerance):
            return name
    return None


_FAULTS = {
    "largest": "That layer has the largest difference; wanted is the first one, since later layers inherit the fault.",
    "sorted": "You go through the names by alphabet; the order of computation is that of the dictionary `theirs`.",
    "signed": "A difference with one of the two signs is missed: take the absolute difference.",
    "mean": "One wrong value among 400 is lost in the mean; take the largest difference.",
    "nan": "NaN passes as equal: `nan > tolerance` is False, so ask for a difference of at most the tolerance.",
    "shape": "Another shape passes as equal, since PyTorch broadcasts it: compare shapes first.",
    "missing": "A layer that is missing in ours passes as equal.",
}


def _fault_cases() -> list[tuple[str, dict[str, Tensor], dict[str, Tensor], float, str]]:
    """The input in words, theirs, ours, tolerance, and what decides."""
    right = {"r": [1.0, 2.0], "b": [1.0, 0.0], "z": [0.0, 3.0]}
    nan, inf = math.nan, math.inf
    cases = [
        (right, right, 1e-3, "all agree"),
        (right, right | {"b": [1.1, -0.1], "z": [6.0, -3.0]}, 1e-3, "r agrees, b is off by 0.1"),
        (right, {"r": [1.1, 1.9], "b": [1.1, -0.1], "z": [0.1, 2.9]}, 1e-3, "all are off, r is the first"),
        (right, right | {"r": [1.0, 1.9]}, 1e-3, "one value of r is off by 0.1"),
        (right, right | {"r": [1.0, 2.1]}, 1e-3, "one value of r is off by 0.1"),
        (right, right | {"r": [1.0, nan]}, 1e-3, "r holds NaN in ours"),
        (right | {"r": [1.0, nan]}, right, 1e-3, "r holds NaN in theirs"),
        (right | {"r": [1.0, nan]}, right | {"r": [1.0, nan]}, 1e-3, "r holds NaN, although in both"),
        (right, right | {"r": [1.0, inf]}, 1e-3, "r holds inf in ours alone"),
        ({"r": [[1.0, 1.0], [1.0, 1.0]]}, {"r": [1.0, 1.0]}, 1e-3, "r has another shape"),
        ({"r": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}, {"r": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}, 1e-3,
         "r has another shape"),
        (right, {"r": [1.0, 2.0], "z": [0.0, 3.0]}, 1e-3, "b is missing in ours"),
        (right, {"r": [1.0, 2.0], "b": [1.5, 0.0]}, 1e-3, "b is off by 0.5 and comes before z, which is missing"),
        ({"s": 1.0}, {"s": 1.0}, 1e-3, "all agree, and a tensor may be one number"),
        ({"s": 1.0}, {"s": 2.0}, 1e-3, "s is off by 1, and a tensor may be one number"),
        (right, {"z": [0.5, 3.0], "b": [1.5, 0.0], "r": [1.0, 2.0]}, 1e-3, "the order is that of theirs"),
        ({"r": [3.0, 4.0]}, {"r": [4.0, 3.0]}, 1e-3, "both values of r are off by 1"),
        ({"r": [[1.0, 1.0], [1.0, 1.0]]}, {"r": [[1.0, 1.0], [1.0, 2.0]]}, 1e-3, "one value of r is off by 1"),
        ({"r": [1000.0]}, {"r": [1000.005]}, 1e-3, "r is off by 0.005, however large its values are"),
        ({"r": [1.0]}, {"r": [1.5]}, 0.5, "r is off by exactly the tolerance, not by more"),
        ({"r": [1.0]}, {"r": [1.05]}, 0.1, "r is off by less than the tolerance"),
        ({"r": [1.0]}, {"r": [1.000000001]}, 1e-10, "r is off by 1e-9, more than the tolerance; tensors are float64"),
        ({"r": [1.0]}, {"r": [1.0], "extra": [1.0]}, 1e-3, "a name that only ours has does not count"),
    ]  # fmt: skip
    told = [
        (f"for theirs {show(a)}, ours {show(b)} and tolerance {tolerance}", a, b, tolerance, reason)
        for a, b, tolerance, reason in cases
    ]
    wide = {"r": [0.0] * 400, "b": [0.0]}
    words = "for theirs with 400 zeros in r, ours with 399 zeros and 0.1 and tolerance 0.001"
    told.append((words, wide, wide | {"r": [0.0] * 399 + [0.1]}, 1e-3, "one value of r is off by 0.1"))
    return [(text, _double(a), _double(b), tolerance, reason) for text, a, b, tolerance, reason in told]


def _double(values: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def _attempt(first_fault: Callable, theirs: dict, ours: dict, tolerance: float) -> Any:
    """The answer, or the error that the function raised."""
    try:
        return ask(first_fault, theirs, ours, tolerance)
    except (NotImplementedError, Wrong):
        raise
    except Exception as error:
        return error


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (isinstance(one, Exception) or bool(one == other))


def check_b(first_fault: Callable[[dict, dict, float], str | None]) -> str:
    """Name of the first quantity that differs, None if all agree."""
    cases = _fault_cases()
    answers = [_attempt(first_fault, *case[1:4]) for case in cases]
    for kind, text in _FAULTS.items():
        if all(_alike(got, _attempt(_mistake_b(kind), *case[1:4])) for got, case in zip(answers, cases, strict=True)):
            raise Wrong(text)
    for got, (words, theirs, ours, tolerance, reason) in zip(answers, cases, strict=True):
        wanted = _first(theirs, ours, tolerance)
        if isinstance(got, Exception):
            told = " ".join(str(got).split())[:120].rstrip(".")
            text = f"Your code stops {words} with {type(got).__name__}: {told}; the answer should be {wanted!r}."
            raise Wrong(text, "counterexample")
        if not _alike(got, wanted):
            text = f"The answer {words} should be {wanted!r}, yours is {got!r}: {reason}."
            raise Wrong(text, "counterexample")
    got = answer(first_fault, "on the planted encoder", *planted(), 1e-10)
    if got != "attended":
        raise Wrong(f"On the planted encoder the first difference is in 'attended', yours is {got!r}.")
    return (
        "On the planted encoder it says `attended`; the regions before it agree, so the fault is inside the attention: "
        "the scores are not divided by the square root of d_k."
    )


# ---- c: paired difference ----------------------------------------------------------------------------------------


def _pair(images: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Hits of two models that mostly agree [images,5]; the captions of a picture go together."""
    rng = np.random.default_rng(8)
    a = np.repeat((rng.random(images) < 0.6).astype(float)[:, None], 5, axis=1)
    flipped = rng.random(images) < 0.08
    return a, np.where(flipped[:, None], 1 - a, a)


def _interval(
    a: np.ndarray, b: np.ndarray, samples: int, seed: int, kind: str = "", level: float = 0.95
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    if kind == "captions":
        a, b = a.reshape(-1, 1), b.reshape(-1, 1)
    n = len(a)
    rows = rng.integers(n, size=(samples, n))
    other = rng.integers(n, size=(samples, n)) if kind == "unpaired" else rows
    values = 100 * (a.mean(1)[rows].mean(1) - b.mean(1)[other].mean(1))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _reversed(a: np.ndarray, b: np.ndarray, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    return _interval(b, a, samples, seed)


def check_c(paired_interval: Callable[..., tuple[float, float]]) -> str:
    """95 % interval of model a's recall minus model b's, in points, on the same pictures."""

    def interval(a: Any, b: Any, case: str, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
        a, b = (hits if isinstance(hits, np.ndarray) else np.array(hits, dtype=float) for hits in (a, b))
        got = answer(paired_interval, case, a, b, samples, seed)
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            raise Wrong("The result should be two numbers, the low and the high end.")
        return float(got[0]), float(got[1])

    before = np.random.get_state()
    nothing = "where a finds all captions of 10 pictures and b finds none"
    low, high = interval(np.ones((10, 5)), np.zeros((10, 5)), nothing)
    if math.isclose(high, 1, abs_tol=1e-6):
        raise Wrong(
            "A model that finds all is 100 points better than one that finds nothing, yours says 1: use per cent."
        )
    turned = {"The sign is wrong: wanted is a minus b.": [-100, -100]}
    expect_close([low, high], [100.0, 100.0], "interval", turned, case=nothing)
    a, b = _pair()
    low, high = interval(a, a, "for a model against itself")
    if (low, high) != (0, 0):
        raise Wrong(
            "A model against itself differs by nothing in every draw, your interval is not 0 to 0: take the difference "
            "in each draw, with the same pictures for both models."
        )
    wanted = _interval(a, b, 2000, 0)
    low, high = interval(a, b, "for 400 random pictures")
    if low > high and np.allclose([high, low], wanted, atol=0.6):
        raise Wrong("The low end comes first.")
    if abs((low + high) / 2 - sum(wanted) / 2) < 0.6:
        _name_width(high - low, a, b)
    _expect_small_intervals(interval)
    expect_close([low, high], wanted, "interval", tol=0.6, case="for 400 random pictures (within 0.6)")
    for dtype in (bool, np.uint8):
        case = f"for hits of type {np.dtype(dtype)}, A [[1], [1], [0], [1]] and B [[1], [0], [0], [1]]"
        got = interval(np.array([[1], [1], [0], [1]], dtype=dtype), np.array([[1], [0], [0], [1]], dtype=dtype), case)
        expect_close(got, [0.0, 75.0], "interval", case=case)
    low, high = interval(a, b, "with samples=1", samples=1)
    if low != high:
        raise Wrong(
            f"With samples=1 there is one draw, so both ends are equal; yours are {low:.2f} and {high:.2f}: draw "
            "`samples` times.",
            "counterexample",
        )
    got = [interval(a, b, "", seed=seed) for seed in (0, 1, 2, 3, 4, 5, 0)]
    if got[0] != got[-1]:
        raise Wrong("Two calls with the same seed differ: take all draws from np.random.default_rng(seed).")
    if len(set(got)) == 1:
        raise Wrong("The seeds 0 to 5 give the same interval: take the draws from np.random.default_rng(seed).")
    if not all(np.array_equal(x, y) for x, y in zip(before, np.random.get_state(), strict=True)):
        raise Wrong("Your function changes numpy's global generator; take np.random.default_rng(seed), a local one.")
    better, worse = np.ones((1000, 1)), np.ones((1000, 1))
    better[:156], worse[72:234] = 0, 0  # 84.4 and 83.8; 72 + 78 pictures change sides
    low, high = interval(better, worse, "for 1,000 pictures with a single caption each")
    change = f"{low:.0f} to {high:.0f} points, and 0 is among them"
    return f"84.4 against 83.8 on 1,000 pictures of which 150 change sides: {change}."


def _name_width(width: float, a: np.ndarray, b: np.ndarray) -> None:
    """Name the mistake that gives an interval of about this width."""
    known = {
        "That is about the width of an interval from 5 to 95 per cent; 95 per cent lie between 2.5 and 97.5.":
            _interval(a, b, 2000, 0, level=0.9),
        "Your interval is too narrow: captions of a picture are not independent, so draw pictures with all of them.":
            _interval(a, b, 2000, 0, "captions"),
        "Your interval is too wide: draw the same pictures for both models.": _interval(a, b, 2000, 0, "unpaired"),
    }  # fmt: skip
    for text, (start, end) in known.items():
        if abs(width / (end - start) - 1) < 0.09:
            raise Wrong(text)


def _expect_small_intervals(interval: Callable) -> None:
    """Intervals of two and four pictures, which no choice of seed changes."""
    for a, b, wanted in (
        ([[1], [1], [0], [1]], [[1], [0], [0], [1]], [0.0, 75.0]),
        ([[0], [1]], [[0], [0]], [0.0, 100.0]),
        ([[1], [0]], [[0], [1]], [-100.0, 100.0]),
    ):
        case = f"for hits A {a} and B {b}"
        expect_close(interval(a, b, case), wanted, "interval", case=case)
    first = np.zeros((10, 5))
    first[:, 1] = 1
    case = "where a finds caption 1 of the five of each of 10 pictures and b finds none"
    expect_close(interval(first, 0 * first, case), [20.0, 20.0], "interval", case=case)


# ---- d: a card for another paper ---------------------------------------------------------------------------------

TWINNET = (
    "We train TwinNet on the 29,000 training images of Flickr30K for 30 epochs\nand report the best epoch on the 1,000 "
    "test images with their 5,000 captions.\nAs is usual, the similarities of two models are averaged. R@1 from image\n"
    "to text is 81.3. Training takes nine hours on one GPU."
)
_SILENT = "not stated"
CARD = {
    "data": "Flickr30K",
    "test images": 1000,
    "selected on": "test",
    "models behind the number": 2,
    "seeds": _SILENT,
    "versions": _SILENT,
    "hardware": "one GPU",
    "R@1 plus or minus": 2.4,
}


def check_d(card: dict[str, Any]) -> str:
    """A filled card for the text `TWINNET`."""
    if not isinstance(card, dict) or set(card) != set(CARD):
        keys = list(card) if isinstance(card, dict) else []
        lacks = ", ".join(key for key in CARD if key not in keys) or "nothing, but holds more"
        raise Wrong(f"The card should be a dictionary with the keys {', '.join(CARD)}; yours lacks {lacks}.")

    def words(key: str) -> str:
        return " ".join(str(card[key]).lower().split())

    if "flickr30k" not in words("data").replace(" ", ""):
        raise Wrong("The text names the data set: Flickr30K.")
    for key in ("test images", "models behind the number"):
        number = words(key).replace(",", "").replace("two", "2").split(" ")[0]
        if number != str(CARD[key]):
            reason = {
                "5000": "a picture with its captions is one unit, so 5,000 captions are not 5,000 images",
                "29000": "29,000 are the training images",
            }.get(number, "the text says 1,000 test images")
            if key == "models behind the number":
                reason = "two models are averaged, so the number must not be compared with a single model's"
            raise Wrong(f"{key}: should be {CARD[key]}, yours is {card[key]!r}; {reason}.")
    if "dev" in words("selected on") or "val" in words("selected on"):
        raise Wrong("selected on: the text never mentions a dev split, and a card does not say what one hopes.")
    if "test" not in words("selected on"):
        raise Wrong(
            "selected on: the best epoch on the test images is reported, so the test split selected it: 'test'."
        )
    for key in ("seeds", "versions"):
        if words(key) != _SILENT:
            raise Wrong(f"{key}: the text is silent, and a card says so in the words 'not stated'.")
    if "gpu" not in words("hardware") or not {"one", "1", "single", "a"} & set(words("hardware").split()):
        raise Wrong(f"hardware: the text says one GPU and no more, yours is {card['hardware']!r}.")
    try:
        half = float(card["R@1 plus or minus"])
    except (TypeError, ValueError):
        raise Wrong("R@1 plus or minus: should be one number of points; 81.3 and 1,000 images are enough.") from None
    known = {
        "R@1 plus or minus: you divide by the 5,000 captions, but there are 1,000 image queries.": 1.08,
        "R@1 plus or minus: that is one standard error; a 95 % interval takes 1.96 of them.": 1.23,
        "R@1 plus or minus: that is a share; wanted are points (per cent).": 0.0242,
        "R@1 plus or minus: that is the whole width of the interval; wanted is half of it.": 4.83,
        "R@1 plus or minus: you divide by 2,000, but two models are tested on the same 1,000 images.": 1.71,
        "R@1 plus or minus: the square root is missing.": 0.0298,
    }
    for text, wrong in known.items():
        if abs(half - wrong) < 0.05 * wrong:
            raise Wrong(text)
    expect_close(half, 2.42, "half width of the interval", tol=0.1, case="for R@1 of 81.3 on 1,000 images")
    return "Best epoch on test, two models, seeds not stated: the card shows what the sentence hides."


# ---- known mistakes ----------------------------------------------------------------------------------------------


def _mistake_b(kind: str) -> Callable:
    return lambda theirs, ours, tolerance: _first(theirs, ours, tolerance, kind)


def _mistake_c(kind: str = "", level: float = 0.95, scale: float = 1.0) -> Callable:
    def answer(a: np.ndarray, b: np.ndarray, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
        low, high = _interval(a, b, samples, seed, kind, level)
        return low * scale, high * scale

    return answer


MISTAKES = [
    ("a", "not transposed", lambda state: _convert(state, transpose=False), "not transposed"),
    ("a", "layers exchanged", lambda state: _convert(state, exchange=True), "exchanged"),
    ("a", "module prefix kept", lambda state: _convert(state, module=False), "`module.`"),
    ("a", "unknown name dropped", lambda state: _convert(state, drop=True), "dropped in silence"),
    ("a", "names kept", lambda state: dict(state), "The names should be"),
    ("b", "largest instead of first", _mistake_b("largest"), "largest difference"),
    ("b", "by alphabet", _mistake_b("sorted"), "by alphabet"),
    ("b", "signed", _mistake_b("signed"), "absolute difference"),
    ("b", "mean", _mistake_b("mean"), "lost in the mean"),
    ("b", "NaN passes", _mistake_b("nan"), "NaN passes"),
    ("b", "shape broadcast", _mistake_b("shape"), "broadcasts"),
    ("b", "missing passes", _mistake_b("missing"), "missing in ours"),
    ("c", "unpaired", _mistake_c("unpaired"), "with the same pictures for both models"),
    ("c", "captions drawn", _mistake_c("captions"), "too narrow"),
    ("c", "5 to 95", _mistake_c(level=0.9), "2.5 and 97.5"),
    ("c", "share instead of per cent", _mistake_c(scale=0.01), "use per cent"),
    ("c", "b minus a", _reversed, "a minus b"),
    ("d", "hoped for dev", CARD | {"selected on": "dev"}, "never mentions a dev split"),
    ("d", "silent on selection", CARD | {"selected on": _SILENT}, "the test split selected it"),
    ("d", "one model", CARD | {"models behind the number": 1}, "two models are averaged"),
    ("d", "seed guessed", CARD | {"seeds": 0}, "the text is silent"),
    ("d", "captions as images", CARD | {"R@1 plus or minus": 1.08}, "1,000 image queries"),
    ("d", "one standard error", CARD | {"R@1 plus or minus": 1.23}, "1.96"),
]
