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


def check_a(convert: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> str:
    """A port's feed-forward weights under our names and in PyTorch's layout."""
    small = {
        "ffn.first.kernel": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "ffn.first.bias": torch.tensor([5.0, 6.0]),
        "ffn.second.kernel": torch.tensor([[7.0, 8.0], [9.0, 0.0]]),
        "ffn.second.bias": torch.tensor([1.0, 0.0]),
    }
    got = convert(dict(small))
    wanted = _convert(small)
    if not isinstance(got, dict) or set(got) != set(wanted):
        names = ", ".join(sorted(got)) if isinstance(got, dict) else type(got).__name__
        raise Wrong(f"The names should be {', '.join(wanted)}, yours are {names or 'none'}.")
    plain, exchanged = _convert(small, transpose=False), _convert(small, exchange=True)
    for name, value in wanted.items():
        known = {
            "A kernel is [in, out], a weight [out, in]: yours is not transposed; being square, no shape tells.": plain,
            "The first and the second layer are exchanged; both are square, so no shape tells.": exchanged,
        }
        expect_close(got[name], value, f"tensor {name}", {text: wrong[name] for text, wrong in known.items()})
    state = _port(5)
    x = torch.linspace(-1, 1, 10, dtype=torch.float64).view(2, 5)
    inner = F.relu(x @ state["ffn.first.kernel"] + state["ffn.first.bias"])
    layer = EncoderLayer(5, 1, 5).double().eval()
    layer.load_state_dict(convert(dict(state)), strict=False)
    outer = inner @ state["ffn.second.kernel"] + state["ffn.second.bias"]
    expect_close(layer.feed_forward(x), outer, "output of the layer", tol=1e-10)
    try:
        prefixed = convert({f"module.{name}": tensor for name, tensor in state.items()})
    except NotImplementedError:
        raise
    except Exception:
        prefixed = {}
    if set(prefixed) != set(wanted):
        raise Wrong("A leading `module.` (nn.DataParallel leaves it) has to be cut off before a name is looked up.")
    try:
        convert({**state, "ffn.gate.kernel": torch.eye(5)})
    except Exception as error:
        if not isinstance(error, ValueError) or "ffn.gate.kernel" not in str(error):
            raise Wrong(
                "An unknown name should raise a ValueError that holds the name, here ffn.gate.kernel."
            ) from None
    else:
        raise Wrong("The unknown name ffn.gate.kernel was dropped in silence; raise a ValueError that names it.")
    return "Names, layout, prefix and unknown names are taken care of; the layer gives the same numbers to 1e-10."


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


def check_b(first_fault: Callable[[dict, dict, float], str | None]) -> str:
    """Name of the first quantity that differs, None if all agree."""

    def case(theirs: dict, ours: dict, wanted: str | None, known: dict[str, str | None], otherwise: str) -> None:
        tensors = [{n: torch.as_tensor(v, dtype=torch.float64) for n, v in side.items()} for side in (theirs, ours)]
        try:
            got = first_fault(*tensors, 1e-3)  # pyright: ignore[reportCallIssue]  # two tensors
        except NotImplementedError:
            raise
        except Exception as error:
            raise Wrong(f"{otherwise} Your function stopped with {type(error).__name__} there.") from None
        if got == wanted:
            return
        for text, answer in known.items():
            if got == answer:
                raise Wrong(text)
        raise Wrong(f"{otherwise} The answer should be {wanted!r}, yours is {got!r}.")

    right = {"r": [1.0, 2.0], "b": [1.0, 0.0], "z": [0.0, 3.0]}
    case(right, right, None, {}, "Two equal runs have no fault.")
    case(
        right, right | {"b": [1.1, -0.1], "z": [6.0, -3.0]}, "b",
        {"That layer has the largest difference; wanted is the first one, since later layers inherit the fault.": "z"},
        "With r equal, b off by 0.1 and z off by 6 the fault is in b.",
    )  # fmt: skip
    case(
        right, {"r": [1.1, 1.9], "b": [1.1, -0.1], "z": [0.1, 2.9]}, "r",
        {"You go through the names by alphabet; the order of computation is that of the dictionary `theirs`.": "b"},
        "All three are off by 0.1, so the first one, r, is meant.",
    )  # fmt: skip
    for value in (1.9, 2.1):
        case(
            right, right | {"r": [1.0, value]}, "r",
            {"A difference with one of the two signs is missed: take the absolute difference.": None},
            f"One value of r is {value} in place of 2.",
        )  # fmt: skip
    wide = {"r": [0.0] * 400, "b": [0.0]}
    case(
        wide, wide | {"r": [0.0] * 399 + [0.1]}, "r",
        {"One wrong value among 400 is lost in the mean; take the largest difference.": None},
        "One value of r is off by 0.1.",
    )  # fmt: skip
    case(
        right, right | {"r": [1.0, math.nan]}, "r",
        {"NaN passes as equal: `nan > tolerance` is False, so ask for a difference of at most the tolerance.": None},
        "r holds NaN.",
    )  # fmt: skip
    case(
        {"r": [[1.0, 1.0], [1.0, 1.0]]}, {"r": [1.0, 1.0]}, "r",
        {"Another shape passes as equal, since PyTorch broadcasts it: compare shapes first.": None},
        "r has another shape.",
    )  # fmt: skip
    case(
        right, {"r": [1.0, 2.0], "z": [0.0, 3.0]}, "b",
        {"The layer b is missing in ours, and that passes as equal.": None},
        "The layer b is missing in ours.",
    )  # fmt: skip
    answer = first_fault(*planted(), 1e-10)
    if answer != "attended":
        raise Wrong(f"On the planted encoder the first difference is in 'attended', yours is {answer!r}.")
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

    def ask(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        got = paired_interval(a.copy(), b.copy(), 2000, 0)
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            raise Wrong("The result should be two numbers, the low and the high end.")
        return float(got[0]), float(got[1])

    a, b = _pair()
    low, high = ask(a, a)
    if (low, high) != (0, 0):
        raise Wrong(
            "A model against itself differs by nothing, yours is not 0 to 0: draw the same pictures for both models."
        )
    low, high = ask(np.ones((10, 5)), np.zeros((10, 5)))
    if math.isclose(high, 1, abs_tol=1e-6):
        raise Wrong(
            "A model that finds all is 100 points better than one that finds nothing, yours says 1: use per cent."
        )
    turned = {"The sign is wrong: wanted is a minus b.": [-100, -100]}
    expect_close([low, high], [100.0, 100.0], "interval of all against nothing", turned)
    wanted = _interval(a, b, 2000, 0)
    low, high = ask(a, b)
    if low > high:
        raise Wrong("The low end comes first.")
    width = high - low
    known = {
        "That is about the width of an interval from 5 to 95 per cent; 95 per cent lie between 2.5 and 97.5.":
            _interval(a, b, 2000, 0, level=0.9),
        "Your interval is too narrow: five captions of a picture are not independent queries, so draw pictures (rows).":
            _interval(a, b, 2000, 0, "captions"),
        "Your interval is too wide: draw the same pictures for both models.": _interval(a, b, 2000, 0, "unpaired"),
    }  # fmt: skip
    if abs(width / (wanted[1] - wanted[0]) - 1) > 0.09:
        for text, (start, end) in known.items():
            if abs(width / (end - start) - 1) < 0.09:
                raise Wrong(text)
    expect_close([low, high], wanted, "interval", tol=0.6)
    better, worse = np.ones((1000, 1)), np.ones((1000, 1))
    better[:156], worse[72:234] = 0, 0  # 84.4 and 83.8; 72 + 78 pictures change sides
    low, high = ask(better, worse)
    change = f"{low:.0f} to {high:.0f} points, and 0 is among them"
    return f"84.4 against 83.8 on 1,000 pictures of which 150 change sides: {change}."


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
        raise Wrong(f"The keys of the card should be {', '.join(CARD)}.")

    def words(key: str) -> str:
        return " ".join(str(card[key]).lower().split())

    if "flickr30k" not in words("data").replace(" ", ""):
        raise Wrong("The text names the data set: Flickr30K.")
    for key in ("test images", "models behind the number"):
        if str(card[key]) != str(CARD[key]):
            reason = (
                "two models are averaged, so the number must not be compared with a single model's"
                if key == "models behind the number"
                else "a picture with its captions is one unit, so 5,000 captions are not 5,000 images"
            )
            raise Wrong(f"{key}: should be {CARD[key]}; {reason}.")
    if "dev" in words("selected on") or "val" in words("selected on"):
        raise Wrong("selected on: the text never mentions a dev split, and a card does not say what one hopes.")
    if words("selected on") != "test":
        raise Wrong(
            "selected on: the best epoch on the test images is reported, so the test split selected it: 'test'."
        )
    for key in ("seeds", "versions"):
        if words(key) != _SILENT:
            raise Wrong(f"{key}: the text is silent, and a card says so in the words 'not stated'.")
    if "gpu" not in words("hardware"):
        raise Wrong("hardware: the text says one GPU.")
    try:
        half = float(card["R@1 plus or minus"])
    except (TypeError, ValueError):
        raise Wrong("R@1 plus or minus: should be a number of points.") from None
    known = {
        "R@1 plus or minus: you divide by the 5,000 captions, but there are 1,000 image queries.": 1.08,
        "R@1 plus or minus: that is one standard error; a 95 % interval takes 1.96 of them.": 1.23,
        "R@1 plus or minus: that is a share; wanted are points (per cent).": 0.024,
    }
    for text, wrong in known.items():
        if abs(half - wrong) < 0.05 * wrong:
            raise Wrong(text)
    expect_close(half, 2.42, "half width of the interval", tol=0.1)
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
    ("c", "unpaired", _mistake_c("unpaired"), "same pictures for both"),
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
