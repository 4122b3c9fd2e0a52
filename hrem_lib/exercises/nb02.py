"""Checks of notebook 02: masked pooling, a test for padding, loading attention weights, pooling of sorted values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hrem_lib.attention import EncoderLayer
from hrem_lib.exercises import Wrong, expect_close, expect_shape

HAND = torch.tensor([[[1.0, 5], [3, -1], [2, 9]], [[-4, 6], [0, 0], [0, 0]]], dtype=torch.float64)  # [2,3,2]
HAND_MASK = torch.tensor([[True, True, False], [True, False, False]])


def _batch(low: float = -1.0) -> tuple[Tensor, Tensor]:
    """Random fragments [5,6,4] with 6, 1, 4, 2, 6 real ones; what stands in the padding is large on purpose."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(5, 6, 4, generator=generator, dtype=torch.float64) + low
    mask = torch.arange(6) < torch.tensor([6, 1, 4, 2, 6])[:, None]
    return torch.where(mask[..., None], x, 7.0), mask


def _apply(fn: Callable[..., Tensor], x: Tensor, *rest: object) -> Tensor:
    got = fn(x.clone(), *rest)
    expect_shape(got, (x.size(0), x.size(2)), "pooled result")
    return got


# --------------------------------------------------------------------------------------------- a: mean


def _mean(x: Tensor, mask: Tensor, divide: str = "count", see: str = "real") -> Tensor:
    out = []
    for fragments, real in zip(x, {"real": mask, "all": torch.ones_like(mask), "padding": ~mask}[see], strict=True):
        total = fragments[real].sum(0)
        out.append(total / (real.sum().clamp(min=1) if divide == "count" else len(real)))
    return torch.stack(out)


MEAN_MISTAKES = (
    ("You divide by the number of rows, padding included; divide by the number of real fragments.", {"divide": "rows"}),
    ("Padding is in your mean: only rows where the mask is True count.", {"see": "all"}),
    ("The mask is inverted: True marks the real fragments.", {"see": "padding"}),
)


def check_a(fn: Callable[..., Tensor]) -> str:
    """`masked_mean(x [B,n,D], mask [B,n]) -> [B,D]`."""
    for name, (x, mask) in (("mean of the hand example", (HAND, HAND_MASK)), ("mean of random fragments", _batch())):
        known = {words: _mean(x, mask, **change) for words, change in MEAN_MISTAKES}
        expect_close(_apply(fn, x, mask), _mean(x, mask), name, known)
    x, mask = _batch()
    got = _apply(fn, torch.where(mask[..., None], x, torch.nan), mask)
    if got.isnan().any():
        raise Wrong(
            "With NaN in the padding your mean is NaN, because 0 x NaN is NaN: use torch.where instead of a product."
        )
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


MAX_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Your k shrinks for good: after a short sample all later ones use its k. Take min(k, count) for each sample.",
     {"shrink": True}),
    ("A sample with fewer than k fragments is divided by k; divide by the number of values that were taken.",
     {"divide": "k"}),
    ("You take the k-th largest value, wanted the mean of the k largest.", {"last": True}),
    ("Padding wins where all real values are negative: zeros are no lowest value, fill with -inf.", {"fill": 0.0}),
    ("Padding is in your maximum: its rows are not masked at all.", {"fill": 7.0}),
    ("You take the k smallest values, wanted the largest.", {"low": True}),
)  # fmt: skip


def check_b(fn: Callable[..., Tensor]) -> str:
    """`masked_max_k(x [B,n,D], mask [B,n], k) -> [B,D]`."""
    for name, (x, mask), k in (
        ("two largest of the hand example", (HAND, HAND_MASK), 2),
        ("maximum of negative fragments", _batch(-9.0), 1),
        ("two largest of random fragments", _batch(), 2),
        ("four largest of random fragments", _batch(), 4),
    ):
        known = {words: _max_k(x, mask, k, **change) for words, change in MAX_MISTAKES}
        expect_close(_apply(fn, x, mask, k), _max_k(x, mask, k), name, known)
    x, mask = HAND.half() - 3e4, HAND_MASK
    got = _apply(fn, x, mask, 1)
    if not torch.isfinite(got).all() or (got.double() > -2e4).any():
        raise Wrong(
            "In half precision values can lie below -10000, and then your fill value wins the maximum: fill with -inf."
        )
    return "Each sample keeps its own k, and no number can lie below minus infinity."


# ------------------------------------------------------------------------------------- c: a test for padding


def _weights() -> Tensor:
    generator = torch.Generator().manual_seed(8)
    return torch.randn(5, 4, generator=generator)


def _encode(x: Tensor, mask: Tensor, fault: str = "") -> Tensor:
    """A small encoder, affine layer and pooling, with a fault of the bug museum: [B,n,5], [B,n] -> [B,4]."""
    rows = x @ _weights() + 0.5  # the bias makes zero rows non-zero
    if fault == "leak":
        pooled = rows.mean(1)
    elif fault == "norm":
        pooled = _max_k((rows - rows.mean((0, 1))) / rows.std((0, 1)), mask, 2)
    else:
        pooled = _max_k(rows, mask, 2, shrink=fault == "shrink")
    emb = nn.functional.normalize(pooled, dim=1)
    # right, but with the rounding of a sum that is taken in another order
    return emb * (1 + 1e-6 * x.shape[1]) if fault == "rounding" else emb


ENCODERS = {
    "leak": ("padding passes the affine layer and enters the mean",
             "Add padding rows (mask False) to a picture and compare."),
    "norm": ("a batch normalization sees the padding", "Add padding rows (mask False) to a picture and compare."),
    "shrink": ("k shrinks for all samples after a short one",
               "Put a picture with a single region in front of the others and compare again."),
}  # fmt: skip


def check_c(fn: Callable[[Callable[..., Tensor]], bool]) -> str:
    """`padding_matters(encode) -> True if padding or batch mates change an embedding`."""
    for fault in ("", *ENCODERS, "rounding"):

        def encode(x: Tensor, mask: Tensor, fault: str = fault) -> Tensor:
            if x.dim() != 3 or x.size(-1) != 5 or mask.shape != x.shape[:2] or mask.dtype != torch.bool:
                raise Wrong("The encoder wants regions [B,n,5] and a bool mask [B,n].")
            if not mask.any(1).all():
                raise Wrong("A picture needs at least one real region, your mask has none for one of them.")
            return _encode(x.float(), mask, fault)

        state = torch.get_rng_state()
        try:
            found = bool(fn(encode))
        finally:
            torch.set_rng_state(state)
        if fault == "rounding" and found:
            raise Wrong("Your test calls rounding (differences around 1e-6) a fault: compare with a tolerance.")
        if not fault and found:
            raise Wrong("Your test says that padding matters in a good encoder.")
        if fault in ENCODERS and not found:
            raise Wrong("Your test misses a faulty encoder ({}): {}".format(*ENCODERS[fault]))
    return "It fails on three faulty encoders and passes two good ones: that is a test worth keeping."


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
        theirs = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.5, batch_first=True)
        for parameter in theirs.parameters():
            nn.init.normal_(parameter, std=0.3)
        x = torch.randn(2, 4, 12)
        wanted = theirs.eval()(x).detach()
        theirs.train()
        ours = fn(theirs)
        if not isinstance(ours, EncoderLayer):
            raise Wrong(f"Wanted an EncoderLayer of hrem_lib.attention, yours is a {type(ours).__name__}.")
        left = dict(theirs.named_parameters())
        off = [n for n, p in ours.named_parameters() if p.shape != left[n].shape]
        if off:
            raise Wrong(f"Weight {off[0]} has another shape: take D, heads and the hidden width from their layer.")
        off = [n for n, p in ours.named_parameters() if not torch.equal(p, left[n])]
        if off:
            raise Wrong(f"Weight {off[0]} was not copied: load their state dict into ours.")
        if ours.self_attn.heads != 3:
            raise Wrong(f"Your layer has {ours.self_attn.heads} heads, theirs has 3.")
        if ours.training:
            raise Wrong("Dropout is still on, so each call gives other numbers: call eval() before you compare.")
        with torch.no_grad():
            difference = (ours(x)[0] - wanted).abs().max().item()
    finally:
        torch.set_rng_state(state)
    if not difference < 1e-5:
        raise Wrong(f"The largest difference to their output is {difference:.2g}, wanted less than 1e-5.")
    return "Same weights, same numbers: the attention maps of this notebook belong to a standard layer."


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


SORTED_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Your weights belong to the places of the fragments: sort each dimension first, largest value first.",
     {"sort": False}),
    ("You sort upwards: the first weight belongs to the largest value.", {"up": True}),
    ("Your softmax runs over the padded places, too, so the weights of a short sample do not add up to one.",
     {"softmax": "all"}),
    ("The weights must add up to one: take the softmax of the logits.", {"softmax": "none"}),
)  # fmt: skip


def check_e(fn: Callable[..., Tensor]) -> str:
    """`sorted_pool(x [B,n,D], mask [B,n], logits [n]) -> [B,D]`."""
    x, mask = _batch()
    logits = torch.tensor([1.0, 0.5, 0, -0.5, 0.2, 0.1], dtype=torch.float64)
    for name, fragments, real, weights in (
        ("pooled hand example", HAND, HAND_MASK, torch.tensor([2.0, 1, 0], dtype=torch.float64)),
        ("pooled random fragments", x, mask, logits),
    ):
        known = {words: _sorted_pool(fragments, real, weights, **change) for words, change in SORTED_MISTAKES}
        got = _apply(fn, fragments, real, weights.clone())
        expect_close(got, _sorted_pool(fragments, real, weights), name, known)
    expect_close(
        _apply(fn, x, mask, torch.zeros(6, dtype=torch.float64)), _mean(x, mask), "result with equal logits (the mean)"
    )
    return "Equal logits give the mean, one large first logit the maximum: learned logits choose between them."


MISTAKES = [
    *[("a", "-".join(map(str, change.values())), lambda x, mask, change=change: _mean(x, mask, **change), words[:40])
      for words, change in MEAN_MISTAKES],
    ("a", "NaN in the padding", lambda x, mask: (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True),
     "0 x NaN is NaN"),
    *[("b", "-".join(map(str, change.items())), lambda *x, change=change: _max_k(*x, **change), words[:40])
      for words, change in MAX_MISTAKES],
    ("b", "-1e4 in half precision", lambda x, mask, k: _max_k(x, mask, k, fill=-1e4), "half precision"),
    ("c", "never", lambda encode: False, "misses a faulty encoder"),
    ("c", "always", lambda encode: True, "a good encoder"),
    ("c", "padding only", _test(short=False), "with a single region in front"),
    ("c", "batch mates only", _test(extra=False), "Add padding rows"),
    ("c", "no tolerance", _test(tolerance=0.0), "rounding"),
    ("d", "not loaded", lambda theirs: _copy(theirs, load=False), "was not copied"),
    ("d", "dropout on", lambda theirs: _copy(theirs, evaluate=False), "call eval()"),
    ("d", "wrong heads", lambda theirs: _copy(theirs, heads=4), "theirs has 3"),
    ("d", "hidden width", lambda theirs: _copy(theirs, load=False, hidden=12), "hidden width"),
    *[("e", "-".join(map(str, change.items())), lambda *x, change=change: _sorted_pool(*x, **change), words[:40])
      for words, change in SORTED_MISTAKES],
]  # fmt: skip
