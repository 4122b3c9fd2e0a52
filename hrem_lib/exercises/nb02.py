"""Checks of notebook 02: masked pooling, a test for padding, loading attention weights, pooling of sorted values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hrem_lib.attention import EncoderLayer
from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import Case, answer, compare, expect_dtype, expect_gradient


def _padded(x: list, mask: list) -> tuple[Tensor, Tensor]:
    return torch.tensor(x).float(), torch.tensor(mask)


# x [B,n,D] and mask [B,n], small enough to be printed
HAND = _padded([[[1, 5], [3, -1], [2, 9]], [[-4, 6], [0, 0], [0, 0]]], [[True, True, False], [True, False, False]])
HOLES = _padded([[[1, -2], [8, 8], [3, -6]], [[9, 9], [0, 4], [-2, 0]]], [[True, False, True], [False, True, True]])
ONE = _padded([[[2, -3, 5], [4, -1, 0]]], [[True, True]])


def _batch(low: float = -1.0) -> tuple[Tensor, Tensor]:
    """Random fragments [5,6,4] with 6, 1, 4, 2, 6 real ones; what stands in the padding is large on purpose."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(5, 6, 4, generator=generator, dtype=torch.float64) + low
    mask = torch.arange(6) < torch.tensor([6, 1, 4, 2, 6])[:, None]
    return torch.where(mask[..., None], x, 7.0), mask


def _cases(name: str = "", *values: Any) -> list[Case]:
    """Cases for the exercises a, b and e: x, mask and, where it has a name, a third argument with its ten values."""
    x, mask = _batch()
    generator = torch.Generator().manual_seed(6)
    large = torch.randint(-9, 3, (3, 300, 2), generator=generator).double() / 4
    cases: list[Case] = [
        *((f"for x = {x.tolist()}, mask = {mask.tolist()}", (x, mask)) for x, mask in (HAND, HOLES, ONE)),
        ("for x in float64, 5 samples with 6, 1, 4, 2 and 6 real fragments", (x, mask)),
        ("for a batch of one with 4 real fragments of 6", (x[2:3], mask[2:3])),
        ("where all real values are negative", _batch(-9.0)),
        ("with NaN in the padding", (torch.where(mask[..., None], x, torch.nan), mask)),
        ("with inf in the padding", (torch.where(mask[..., None], x, torch.inf), mask)),
        ("for 3 x 300 fragments with ties and holes", (large, torch.rand(3, 300, generator=generator) < 0.7)),
        ("for x in float32", (x.float(), mask)),
    ]
    if not name:
        return cases
    shown = [value.tolist() if isinstance(value, Tensor) else value for value in values]
    words = ["" if isinstance(value, list) and len(value) > 6 else f", {name} = {value}" for value in shown]
    return [(case + word, (*args, v)) for (case, args), word, v in zip(cases, words, values, strict=True)]


def _pooled(got: Any, wanted: Tensor, case: str) -> None:
    """Refuse another value, shape or type of a pooled result."""
    expect_close(got, wanted, "result", case=case, tol=1e-4)
    expect_dtype(got, wanted.dtype, f"result {case}")


# --------------------------------------------------------------------------------------------- a: mean


def _mean(x: Tensor, mask: Tensor, divide: str = "count", see: str = "real") -> Tensor:
    out = []
    for fragments, real in zip(x, {"real": mask, "all": torch.ones_like(mask), "padding": ~mask}[see], strict=True):
        total = fragments[real].sum(0)
        out.append(total / (real.sum().clamp(min=1) if divide == "count" else len(real)))
    return torch.stack(out)


MEAN_MISTAKES: dict[str, Callable] = {
    "You divide by the number of rows, padding included; divide by the number of real fragments.": (
        partial(_mean, divide="rows")
    ),
    "Padding is in your mean: only rows where the mask is True count.": partial(_mean, see="all"),
    "The mask is inverted: True marks the real fragments.": partial(_mean, see="padding"),
    "With NaN in the padding your mean is NaN, because 0 x NaN is NaN: use torch.where instead of a product.": (
        lambda x, mask: (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    ),
}


def check_a(fn: Callable[..., Tensor]) -> str:
    """`masked_mean(x [B,n,D], mask [B,n]) -> [B,D]`."""
    compare(fn, _mean, _cases(), MEAN_MISTAKES, differ=_pooled)
    expect_gradient(fn, _mean, *_batch())
    return "Whatever stands in the padding, even NaN, has no influence."


# --------------------------------------------------------------------------------------------- b: max-k


def _max_k(x: Tensor, mask: Tensor, k: int, shrink: bool = False, divide: str = "count", last: bool = False,
           fill: float | None = None, low: bool = False) -> Tensor:  # fmt: skip
    out = []
    for fragments, real in zip(x, mask, strict=True):
        if shrink:
            k = min(k, int(real.sum()))
        values = fragments[real] if fill is None else torch.where(real[:, None], fragments, fill)
        top = values.sort(0, descending=not low).values[: min(k, int(real.sum()))]
        out.append(top[-1] if last else top.sum(0) / (len(top) if divide == "count" else k))
    return torch.stack(out)


MAX_MISTAKES: dict[str, Callable] = {
    "Your k shrinks for good: after a short sample all later ones use its k. Take min(k, count) for each sample.": (
        partial(_max_k, shrink=True)
    ),
    "A sample with fewer than k fragments is divided by k; divide by the number of values that were taken.": (
        partial(_max_k, divide="k")
    ),
    "You take the k-th largest value, wanted the mean of the k largest.": partial(_max_k, last=True),
    "Padding wins where all real values are negative: zeros are no lowest value, fill with -inf.": (
        partial(_max_k, fill=0.0)
    ),
    "In half precision values can lie below -10000, and then your fill value wins the maximum: fill with -inf.": (
        partial(_max_k, fill=-1e4)
    ),
    "Padding is in your maximum: its rows are not masked at all.": (
        lambda x, mask, k: x.topk(min(k, x.size(1)), dim=1).values.mean(1)
    ),
    "You take the k smallest values, wanted the largest.": partial(_max_k, low=True),
}


def check_b(fn: Callable[..., Tensor]) -> str:
    """`masked_max_k(x [B,n,D], mask [B,n], k) -> [B,D]`."""
    x, mask = HAND
    words = f"for x = {x.tolist()}, mask = {mask.tolist()}"
    cases = [
        *_cases("k", 2, 2, 1, 2, 2, 1, 2, 2, 50, 4),
        (f"{words}, k = 1", (x, mask, 1)),
        (f"{words}, k = 5, more than there are fragments,", (x, mask, 5)),
        ("in half precision for values around -30000, k = 1", (x.half() - 3e4, mask, 1)),
    ]
    compare(fn, _max_k, cases, MAX_MISTAKES, differ=_pooled)
    expect_gradient(lambda x: fn(x, mask, 2), lambda x: _max_k(x, mask, 2), x.double())
    return "Each sample keeps its own k, and no number can lie below minus infinity."


# ------------------------------------------------------------------------------------- c: a test for padding


def _weights() -> Tensor:
    generator = torch.Generator().manual_seed(8)
    return torch.randn(5, 4, generator=generator)


def _encode(x: Tensor, mask: Tensor, fault: str = "") -> Tensor:
    """A small encoder, affine layer and pooling, with a fault of the bug museum: [B,n,5], [B,n] -> [B,4]."""
    rows = x @ _weights() + 0.5  # the bias makes zero rows non-zero
    if fault == "divide":
        return torch.where(mask[..., None], rows.abs(), 0).mean(1)  # all values shrink by one factor
    if fault == "leak":
        pooled = rows.mean(1)
    elif fault == "norm":
        pooled = _max_k((rows - rows.mean((0, 1))) / (rows.var((0, 1), correction=0) + 1e-5).sqrt(), mask, 2)
    else:
        pooled = _max_k(rows, mask, 2, shrink=fault == "shrink")
    emb = nn.functional.normalize(pooled, dim=1)
    # right, but with the rounding of a sum that is taken in another order
    return emb + 4e-6 * float(np.cos(x.shape[1])) if fault == "rounding" else emb


ENCODERS = {
    "leak": "padding passes the affine layer and enters the mean: "
    "a few rows of padding change the embeddings of random regions",
    "norm": "a batch normalization sees the padding: a few rows of padding change the embeddings of random regions",
    "divide": "its mean divides by all rows: a few rows of padding make each value of an embedding smaller",
    "shrink": "k shrinks for all samples after a short one: a picture with a single region in front of the others "
    "changes their embeddings",
}


def check_c(fn: Callable[[Callable[..., Tensor]], bool]) -> str:
    """`padding_matters(encode) -> True if padding or batch mates change an embedding`."""
    for fault in ("", *ENCODERS, "rounding"):

        def encode(x: Tensor, mask: Tensor, fault: str = fault) -> Tensor:
            if x.dim() != 3 or x.size(-1) != 5 or mask.shape != x.shape[:2] or mask.dtype != torch.bool:
                shapes = f"{tuple(x.shape)} and {tuple(mask.shape)} of type {mask.dtype}"
                raise Wrong(f"The encoder wants regions [B,n,5] and a bool mask [B,n], it got {shapes}.")
            if not mask.any(1).all():
                raise Wrong("A picture needs at least one real region, your mask has none for one of them.")
            return _encode(x.float(), mask, fault)

        state = torch.get_rng_state()
        try:
            torch.manual_seed(0)  # a test that draws its regions gets the same in every check
            found = fn(encode)
        finally:
            torch.set_rng_state(state)
        if not isinstance(found, bool | np.bool_) and getattr(found, "dtype", None) != torch.bool:
            raise Wrong(f"Your test returns a {type(found).__name__}, wanted True or False.")
        if fault == "rounding" and found:
            raise Wrong("Your test calls rounding (differences below 0.00001) a fault: allow for such differences.")
        if not fault and found:
            raise Wrong(
                "Your test says that padding matters in a good encoder. Let each picture keep its real regions, add "
                "only padding (mask False) or other pictures, and compare it with itself."
            )
        if fault in ENCODERS and not found:
            raise Wrong(f"Your test misses a faulty encoder ({ENCODERS[fault]}).")
    return "It fails on four faulty encoders and passes two good ones: that is a test worth keeping."


def _test(extra: bool = True, short: bool = True, tolerance: float = 1e-4) -> Callable[..., bool]:
    """A student's test, with parts left out."""

    def padding_matters(encode: Callable[..., Tensor]) -> bool:
        torch.manual_seed(0)
        x, mask = torch.randn(3, 6, 5), torch.ones(3, 6, dtype=torch.bool)
        alone, worst = encode(x, mask), 0.0
        if extra:
            longer, longer_mask = nn.functional.pad(x, (0, 0, 0, 4)), nn.functional.pad(mask, (0, 4))
            worst = max(worst, (encode(longer, longer_mask) - alone).abs().max().item())
        if short:
            first = torch.arange(6) < 1
            both, both_mask = torch.cat([x[:1], x]), torch.cat([first[None], mask])
            worst = max(worst, (encode(both, both_mask)[1:] - alone).abs().max().item())
        return worst > tolerance

    return padding_matters


# --------------------------------------------------------------------------------- d: weights of another layer


def check_d(fn: Callable[[nn.TransformerEncoderLayer], EncoderLayer]) -> str:
    """`copy_layer(theirs) -> EncoderLayer` with the same weights, ready for inference."""
    state = torch.get_rng_state()
    try:
        torch.manual_seed(5)
        for dim, heads, hidden in ((12, 3, 20), (8, 2, 6)):
            theirs = nn.TransformerEncoderLayer(dim, heads, hidden, dropout=0.5, batch_first=True)
            for parameter in theirs.parameters():
                nn.init.normal_(parameter, std=0.3)
            _expect_same_layer(fn, theirs, f"for a layer with D = {dim}, {heads} heads and a hidden width of {hidden}")
    finally:
        torch.set_rng_state(state)
    return "Same weights, same numbers: the attention maps of this notebook belong to a standard layer."


def _expect_same_layer(fn: Callable, theirs: nn.TransformerEncoderLayer, case: str) -> None:
    x = torch.randn(2, 4, theirs.linear1.in_features)
    wanted = theirs.eval()(x).detach()
    left = {name: parameter.detach().clone() for name, parameter in theirs.named_parameters()}
    theirs.train()
    ours = answer(lambda: fn(theirs), case)
    if not isinstance(ours, EncoderLayer):
        raise Wrong(f"Wanted an EncoderLayer of hrem_lib.attention, yours is a {type(ours).__name__}.")
    for name, parameter in ours.named_parameters():
        if parameter.shape != left[name].shape:
            raise Wrong(f"Weight {name} has another shape: take D, heads and the hidden width from their layer.")
    for name, parameter in ours.named_parameters():
        if not torch.equal(parameter, left[name]):
            far = (parameter - left[name]).abs().max().item()
            raise Wrong(f"Weight {name} was not copied as it is (off by {far:.2g}): load their state dict into ours.")
        if any(parameter.data_ptr() == other.data_ptr() for other in theirs.parameters()):
            raise Wrong(f"Weight {name} is theirs, not a copy: training one layer would change the other.")
    if ours.self_attn.heads != theirs.self_attn.num_heads:
        raise Wrong(f"Your layer has heads = {ours.self_attn.heads}, theirs has {theirs.self_attn.num_heads}.")
    if ours.training:
        raise Wrong("Your layer is still in training mode: call its eval(), which switches dropout off.")
    with torch.no_grad():
        difference = (ours(x)[0] - wanted).abs().max().item()
    if not difference < 1e-5:
        raise Wrong(f"The largest difference to their output is {difference:.2g}, wanted less than 1e-5.")


def _copy(theirs: nn.TransformerEncoderLayer, load: bool = True, evaluate: bool = True, heads: int | None = None,
          hidden: int | None = None) -> EncoderLayer:  # fmt: skip
    dim = theirs.linear1.in_features
    ours = EncoderLayer(dim, heads or theirs.self_attn.num_heads, hidden or theirs.linear1.out_features)
    if load:
        ours.load_state_dict(theirs.state_dict())
    return ours.eval() if evaluate else ours


# ------------------------------------------------------------------------------------- e: pooling of sorted values


def _sorted_pool(
    x: Tensor, mask: Tensor, logits: Tensor, sort: bool = True, up: bool = False, softmax: str = "valid"
) -> Tensor:
    out = []
    for fragments, real in zip(x, mask, strict=True):
        values, n = fragments[real], int(real.sum())
        if sort:
            values = values.sort(0, descending=not up).values
        if softmax == "valid":
            weights = logits[:n].softmax(0)
        else:
            weights = logits.softmax(0)[:n] if softmax == "all" else logits[:n]
        out.append((weights[:, None] * values).sum(0))
    return torch.stack(out)


SORTED_MISTAKES: dict[str, Callable] = {
    "Your weights belong to the places of the fragments: sort each dimension first, largest value first.": (
        partial(_sorted_pool, sort=False)
    ),
    "You sort upwards: the first weight belongs to the largest value.": partial(_sorted_pool, up=True),
    "Your softmax runs over the padded places, too, so the weights of a short sample do not add up to one.": (
        partial(_sorted_pool, softmax="all")
    ),
    "The weights must add up to one: take the softmax of the logits.": partial(_sorted_pool, softmax="none"),
}


def check_e(fn: Callable[..., Tensor]) -> str:
    """`sorted_pool(x [B,n,D], mask [B,n], logits [n]) -> [B,D]`."""
    (x, mask), (holed, holes) = HAND, HOLES
    down, up, two = torch.tensor([2.0, 1, 0]), torch.tensor([0.0, 1, 2]), torch.tensor([1.0, -1])
    six = torch.tensor([1.0, 0.5, 0, -0.5, 0.2, 0.1], dtype=torch.float64)
    many = torch.linspace(3, -3, 300, dtype=torch.float64)
    cases = [
        *_cases("logits", down, up, two, six, six, six, six, six, many, six.float()),
        (f"for x = {x.tolist()}, mask = {mask.tolist()}, equal logits (the mean)", (x, mask, 0 * down)),
    ]
    compare(fn, _sorted_pool, cases, SORTED_MISTAKES, differ=_pooled)
    for by in (0, 1):
        expect_gradient(
            lambda x, logits: fn(x, holes, logits),
            lambda x, logits: _sorted_pool(x, holes, logits),
            holed.double(),
            up.double(),
            by=by,
        )
    return "Equal logits give the mean, one large first logit the maximum: learned logits choose between them."


MISTAKES = [
    *[("a", f"mean {i}", mistake, words[:40]) for i, (words, mistake) in enumerate(MEAN_MISTAKES.items())],
    *[("b", f"max {i}", mistake, words[:40]) for i, (words, mistake) in enumerate(MAX_MISTAKES.items())],
    ("c", "never", lambda encode: False, "misses a faulty encoder"),
    ("c", "always", lambda encode: True, "a good encoder"),
    ("c", "padding only", _test(short=False), "with a single region in front"),
    ("c", "batch mates only", _test(extra=False), "a few rows of padding"),
    ("c", "no tolerance", _test(tolerance=0.0), "rounding"),
    ("c", "a number", lambda encode: 0.0, "wanted True or False"),
    ("d", "not loaded", lambda theirs: _copy(theirs, load=False), "was not copied"),
    ("d", "dropout on", lambda theirs: _copy(theirs, evaluate=False), "call its eval()"),
    ("d", "wrong heads", lambda theirs: _copy(theirs, heads=4), "theirs has 3"),
    ("d", "hidden width", lambda theirs: _copy(theirs, load=False, hidden=12), "hidden width"),
    *[("e", f"sorted {i}", mistake, words[:40]) for i, (words, mistake) in enumerate(SORTED_MISTAKES.items())],
]
