"""Checks of notebook 01: RoI align, vocabulary, masks, BatchNorm and padding, nearest neighbors of regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hrem_lib import data, text
from hrem_lib.exercises import Wrong
from hrem_lib.exercises.probes import Case, answer, compare, expect_dtype

# ------------------------------------------------------------------------------------------- a: RoI align


def _roi(maps: Tensor, boxes: Tensor, cells: int, stride: int, half: float = 0.5, samples: int = 2, clamp: bool = True,
         swap: bool = False, scaled: bool = True) -> Tensor:  # fmt: skip
    """The loop of the notebook; the options are the known mistakes. maps [C,H,W], boxes [N,4] -> [N,C,cells,cells]."""
    channels, height, width = maps.shape
    out = maps.new_zeros(len(boxes), channels, cells, cells)

    def at(y: float, x: float) -> Tensor:
        if clamp:
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        value = maps.new_zeros(channels)
        for row in range(int(np.floor(y)), int(np.floor(y)) + 2):
            for column in range(int(np.floor(x)), int(np.floor(x)) + 2):
                if 0 <= row < height and 0 <= column < width:
                    value = value + (1 - abs(y - row)) * (1 - abs(x - column)) * maps[:, row, column]
        return value

    for n, (x0, y0, x1, y1) in enumerate((boxes / (stride if scaled else 1)).tolist()):
        for i, j in np.ndindex(cells, cells):
            for a, b in np.ndindex(samples, samples):
                y = y0 + (y1 - y0) * (i + (a + 0.5) / samples) / cells - half
                x = x0 + (x1 - x0) * (j + (b + 0.5) / samples) / cells - half
                out[n, :, j if swap else i, i if swap else j] += at(y, x) / samples**2
    return out


ROI_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Your samples sit half a pixel too far to the right and down: pixel i has its center at i + 0.5, so subtract 0.5.",
     {"half": 0.0}),
    ("You take one sample in the middle of each cell; here a cell is the mean of 2 x 2 samples.", {"samples": 1}),
    ("Rows and columns are exchanged: y runs down (the first cell axis), x to the right (the second).", {"swap": True}),
    ("A sample outside the map must take the nearest pixel (clamp its place to 0 .. size - 1), not fade to zero.",
     {"clamp": False}),
    ("The boxes are in pixels of the picture: divide by the stride to get places on the map.", {"scaled": False}),
)  # fmt: skip


def _roi_cases() -> list[Case]:
    """Two crops that are printed, then random ones."""
    cases: list[Case] = []
    for rows, box, cells, stride in (
        ([[1, 2, 3, 4], [1, 2, 3, 4]], [1, 0, 3, 2], 2, 1),
        ([[1, 2, 3, 4], [1, 2, 3, 4]], [0, 0, 2, 2], 2, 1),
        ([[1, 2, 3], [4, -5, 6], [7, 8, 9], [-3, 2, 0]], [1, 2, 5, 8], 2, 2),
    ):
        maps, boxes = torch.tensor([rows]).float(), torch.tensor([box]).float()
        words = f"for maps = {maps.tolist()}, boxes = {boxes.tolist()}, cells = {cells}, stride = {stride}"
        cases.append((words, (maps, boxes, cells, stride)))
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 6, 9, generator=generator, dtype=torch.float64)
    corner = torch.rand(5, 2, generator=generator, dtype=torch.float64) * torch.tensor([20.0, 12.0])
    boxes = torch.cat([corner, corner + 3 + 13 * torch.rand(5, 2, generator=generator, dtype=torch.float64)], 1)
    return [
        *cases,
        ("for five random boxes on maps of [3,6,9], cells = 3, stride = 4", (maps.float(), boxes.float(), 3, 4)),
        ("for a single box and a single cell", (maps[:, :5].float(), boxes[:1].float(), 1, 2)),
        ("for maps and boxes in float64", (maps, boxes, 3, 4)),
    ]


def check_a(fn: Callable[..., Tensor]) -> str:
    """`roi_align(maps [C,H,W], boxes [N,4], cells, stride) -> [N,C,cells,cells]`."""
    compare(fn, _roi, _roi_cases(), {words: partial(_roi, **change) for words, change in ROI_MISTAKES}, "crop", 1e-4)
    return "Boxes of any size now give blocks of one size, and no box was rounded to whole cells."


# ------------------------------------------------------------------------------------------ b: vocabulary


def _vocabulary(splits: Mapping[str, Sequence[str]], min_count: int = 1, used: Sequence[str] = ("train",),
                order: str = "count", specials: bool = True) -> list[str]:  # fmt: skip
    counts = Counter(w for name in used for caption in splits[name] for w in text.split_words(caption))
    kept = [w for w, n in counts.items() if n >= min_count]
    if order == "count":
        kept.sort(key=lambda w: (-counts[w], w))
    elif order == "alphabet":
        kept.sort()
    elif order == "count only":  # ties stay as they were first seen
        kept.sort(key=lambda w: -counts[w])
    return [*(text.SPECIAL_WORDS if specials else ()), *kept]


def _split_at_spaces(splits: Mapping[str, Sequence[str]], min_count: int) -> list[str]:
    counts = Counter(w for caption in splits["train"] for w in caption.split())
    kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
    return [*text.SPECIAL_WORDS, *kept]


VOCABULARY_MISTAKES = {
    "Words of the test captions are in your vocabulary: that leaks the test split into the model.": (
        {"used": ("train", "test")}
    ),
    "Words of the dev and test captions are in your vocabulary: that leaks the test split into the model.": (
        {"used": ("train", "dev", "test")}
    ),
    "Words of the dev captions are in your vocabulary: only training captions may be read.": {"used": ("train", "dev")},
    "Words of one count must be sorted by the alphabet, else the ids depend on the order of the captions.": (
        {"order": "count only"}
    ),
    "The most frequent words come first; yours are sorted by the alphabet alone.": {"order": "alphabet"},
    "The four special words <pad> <start> <end> <unk> must take the ids 0 to 3.": {"specials": False},
}


def check_b(fn: Callable[..., list[str]]) -> str:
    """`vocabulary(splits: dict of caption lists, min_count) -> list of words in the order of their ids`."""
    small = {
        "train": ["A dog runs.", "The dog, a big one", "the cat"],
        "dev": ["a horse runs"],
        "test": ["A zebra runs"],
    }
    twice = {"train": ["a dog sees a dog", "the cat", "the man"], "dev": [], "test": []}
    folder = data.sample_dir()
    real = {name: list(data.open_split(folder, name).captions) for name in ("train", "dev", "test")}
    cases: list[Case] = [
        (f"for splits = {splits} and min_count = {k}", (splits, k))
        for splits, k in ((small, 1), (small, 2), (twice, 1))
    ]
    cases.append(("for the captions of the sample data and min_count = 3", (real, 3)))

    def differ(got: Any, wanted: list[str], case: str) -> None:
        if not isinstance(got, list | tuple):
            raise Wrong(f"The vocabulary is a {type(got).__name__}, wanted a list of words in the order of their ids.")
        if strange := [word for word in got if not isinstance(word, str)]:
            raise Wrong(f"Your list holds {strange[0]!r}, wanted words only.")
        if list(got) == wanted:
            return
        if leaked := set(got) & ({"zebra", "horse"} - set(wanted)):
            raise Wrong(f"The word {min(leaked)!r} is in no training caption: it leaked from another split.")
        if len(wanted) <= 12:
            raise Wrong(f"The vocabulary {case} should be {wanted}, yours is {list(got)}.", "counterexample")
        place = next(
            (i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted))
        )
        there = [repr(words[place]) if place < len(words) else "missing" for words in (wanted, got)]
        raise Wrong(f"The word with id {place} {case} should be {there[0]}, yours is {there[1]}.", "counterexample")

    mistakes = {words: partial(_vocabulary, **change) for words, change in VOCABULARY_MISTAKES.items()}
    mistakes |= {
        "Upper and lower case or punctuation make two words of one; use text.split_words.": _split_at_spaces,
        "You ignore min_count: with min_count = 2 a word must be seen at least twice to get an id.": (
            lambda splits, k: _vocabulary(splits)
        ),
        "Words seen exactly min_count times are missing: they belong to the vocabulary, too.": (
            lambda splits, k: _vocabulary(splits, k + 1)
        ),
    }
    compare(fn, _vocabulary, cases, mistakes, differ=differ)
    return "No test word has an id: at test time it becomes <unk>, as it would for a new user."


# --------------------------------------------------------------------------------------------- c: collate


def _collate(captions: Sequence[Sequence[int]], limit: int, keep_end: bool = True, invert: bool = False,
             left: bool = False, cut: bool = True, full: bool = False) -> tuple[Tensor, Tensor]:  # fmt: skip
    rows = []
    for caption in captions:
        row = list(caption)
        if cut and len(row) > limit:
            row = [*row[: limit - 1], row[-1]] if keep_end else row[:limit]
        rows.append(row)
    length = limit if full else max(map(len, rows))
    ids, mask = torch.zeros(len(rows), length, dtype=torch.int64), torch.zeros(len(rows), length, dtype=torch.bool)
    for b, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[b, place], mask[b, place] = torch.tensor(row), True
    return ids, ~mask if invert else mask


COLLATE_MISTAKES = (
    ("The mask is inverted: True marks real tokens, False marks padding.", {"invert": True}),
    ("A caption that was cut lost its end token: keep the first limit - 1 tokens and the last one.",
     {"keep_end": False}),
    ("Padding goes to the right: real tokens first.", {"left": True}),
    ("A caption longer than the limit must be cut.", {"cut": False}),
    ("Pad to the longest caption of the batch, not to the limit: the rest would be wasted work.", {"full": True}),
)  # fmt: skip


def check_c(fn: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """`collate(captions: lists of ids, limit) -> ids [B,L] int64, mask [B,L] bool`."""
    generator = np.random.default_rng(0)
    many = [[1, *generator.integers(4, 40, n).tolist(), 2] for n in generator.integers(0, 14, 200)]
    cases: list[Case] = [
        (f"for captions = {captions} and limit = {limit}", (captions, limit))
        for captions, limit in (
            ([[1, 4, 5, 2], [1, 6, 2], [1, 4, 5, 6, 7, 8, 2]], 5),
            ([[1, 4, 5, 2], [1, 6, 2]], 9),
            ([[101, 7, 8, 9, 102]], 4),
        )
    ]
    cases.append(("for 200 random captions and limit = 10", (many, 10)))

    def differ(got: Any, wanted: tuple[Tensor, Tensor], case: str) -> None:
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong(f"Wanted two tensors, ids and mask, yours is a {type(got).__name__}.")
        for part, name, right in zip(got, ("ids", "mask"), wanted, strict=True):
            if not isinstance(part, Tensor):
                raise Wrong(f"The {name} are a {type(part).__name__}, wanted a tensor.")
            expect_dtype(part, right.dtype, f"tensor of the {name}")
            if part.shape != right.shape:
                raise Wrong(f"The {name} have shape {tuple(part.shape)} {case}, wanted {tuple(right.shape)}.")
            if not torch.equal(part, right):
                b = int((part != right).any(1).nonzero()[0])
                row, mine = right[b].tolist(), part[b].tolist()
                raise Wrong(f"Row {b} of the {name} {case} should be {row}, yours is {mine}.", "counterexample")

    mistakes = {words: partial(_collate, **change) for words, change in COLLATE_MISTAKES}
    compare(fn, _collate, cases, mistakes, differ=differ)
    return "From here on nobody needs to count tokens: the mask says what is real."


# --------------------------------------------------------------------------------- d: BatchNorm and padding


def _project(features: Tensor, mask: Tensor, fc: nn.Module, mlp: nn.Module, rows: str = "real", zero: bool = True,
             use: str = "both") -> Tensor:  # fmt: skip
    features = torch.where(mask[..., None], features, 0) if rows == "zeroed" else features
    chosen = {"real": mask, "padding": ~mask}.get(rows, torch.ones_like(mask))
    real = features[chosen]
    projected = (fc(real) if use in ("both", "fc") else 0) + (mlp(real) if use in ("both", "mlp") else 0)
    out = projected.new_zeros(*mask.shape, projected.size(-1))  # pyright: ignore[reportAttributeAccessIssue]  # FC, MLP or both
    out[chosen] = projected
    return torch.where(mask[..., None], out, 0) if zero else out


PROJECT_MISTAKES = (
    ("BatchNorm still sees the padding: its mean and variance must come from real regions only.", {"rows": "all"}),
    ("BatchNorm still sees the padding, as rows of zeros: its mean and variance must come from real regions only.",
     {"rows": "zeroed"}),
    ("BatchNorm sees the padding, and the padded rows are not zero either: take the real rows out before the layers.",
     {"rows": "all", "zero": False}),
    ("The mask is inverted: you project the padding and leave the real regions out.",
     {"rows": "padding", "zero": False}),
    ("Only the FC layer is there: the projection is FC(x) + MLP(x).", {"use": "fc"}),
    ("Only the MLP is there: the projection is FC(x) + MLP(x).", {"use": "mlp"}),
)  # fmt: skip


def _layers(dtype: torch.dtype) -> tuple[nn.Module, nn.Sequential]:
    state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        fc = nn.Linear(5, 6).to(dtype)
        return fc, nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 6)).to(dtype).train()
    finally:
        torch.set_rng_state(state)


def _project_cases() -> list[Case]:
    features = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(5))
    prefix = torch.arange(4) < torch.tensor([2, 4, 1])[:, None]
    holes = torch.tensor([[True, False, True, False], [False, True, True, True], [True, False, False, True]])
    return [
        ("for 3 pictures with 2, 4 and 1 real regions", (torch.where(prefix[..., None], features, 0), prefix)),
        (f"for masks with holes, {holes.tolist()}", (torch.where(holes[..., None], features, 0), holes)),
        ("for a batch of one", (features[:1], holes[:1])),
        ("with NaN in the padding", (torch.where(holes[..., None], features, torch.nan), holes)),
    ]


def _expect_trained(out: Tensor, fc: nn.Module, mlp: nn.Sequential) -> None:
    """Refuse a projection that does not train both layers, or runs BatchNorm more than once."""
    for name, layer in (("FC", fc), ("the MLP", mlp)):
        weights = list(layer.parameters())
        grads = (
            torch.autograd.grad(out.sum(), weights, retain_graph=True, allow_unused=True)
            if out.requires_grad
            else [None]
        )
        if any(gradient is None for gradient in grads):
            raise Wrong(f"No gradient reaches {name}, so it cannot learn: no torch.no_grad, detach or numpy.")
    runs = int(mlp[1].num_batches_tracked)  # pyright: ignore[reportArgumentType]  # a buffer of BatchNorm
    if runs != 1:
        raise Wrong(
            f"Your function runs the MLP {runs} times, so the running mean of BatchNorm moves {runs} times: once."
        )


def check_d(fn: Callable[..., Tensor]) -> str:
    """`project(features [B,R,F], mask [B,R], fc, mlp) -> regions [B,R,D]` with masked rows zero."""

    def run(function: Callable[..., Tensor], layers_too: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
        def project(features: Tensor, mask: Tensor) -> Tensor:
            fc, mlp = _layers(features.dtype)
            out = function(features, mask, fc, mlp)
            if not isinstance(out, Tensor):
                raise Wrong(f"The result is a {type(out).__name__}, wanted a tensor.")
            if not (fc.training and mlp.training):
                raise Wrong(
                    "Your function puts the layers into inference; whether they train is for its caller to say."
                )
            if layers_too:
                _expect_trained(out, fc, mlp)
            return out.detach()

        return project

    cases = _project_cases()
    compare(
        run(fn), run(_project), cases, {w: run(partial(_project, **c)) for w, c in PROJECT_MISTAKES}, "regions", 1e-4
    )
    for case, args in cases:
        answer(run(fn, True), case, *args)
        expect_dtype(answer(run(fn), case, *args), args[0].dtype, f"result {case}")
    return "Padding passes no layer now, so it cannot change anything."


# ----------------------------------------------------------------------------- e: neighbors of the same kind


def _agreement(
    features: Tensor, kinds: Sequence[str], unit: bool = True, itself: bool = False, far: bool = False
) -> float:
    x = torch.as_tensor(features, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True) if unit else x
    similar = x @ x.T
    if not itself:
        similar.fill_diagonal_(torch.inf if far else -torch.inf)
    nearest = (similar.argmin(1) if far else similar.argmax(1)).tolist()
    return sum(kinds[i] == kinds[j] for i, j in enumerate(nearest)) / len(kinds)


AGREEMENT_MISTAKES = (
    ("Every region found itself: leave the diagonal out.", {"itself": True}),
    ("Long features win: divide by the lengths, so that the product is a cosine.", {"unit": False}),
    ("You took the least similar region, wanted the most similar one.", {"far": True}),
)


def check_e(fn: Callable[..., float]) -> str:
    """`neighbor_agreement(features [n,F], kinds: n names) -> share of regions whose nearest has their kind`."""
    small = (
        ([[1.0, 0], [2, 0.25], [0, 1], [0.25, 9], [1, 0.5]], ["dog", "dog", "cat", "cat", "cat"]),
        ([[1, 0], [-1, 0.5], [-2, -0.25]], ["cat", "dog", "cat"]),  # all others point away from the first
        ([[1.0, 2], [1, 2], [2, 1]], ["dog", "cat", "cat"]),  # two equal regions of different kinds
        ([[1, 0], [0.5, 1]], ["dog", "dog"]),
    )
    cases: list[Case] = [
        (f"for features = {torch.tensor(rows).tolist()} and kinds = {kinds}", (torch.tensor(rows), kinds))
        for rows, kinds in small
    ]
    generator = torch.Generator().manual_seed(2)
    kinds = [("dog", "cat", "ball")[i % 3] for i in range(200)]
    random = torch.randn(200, 4, generator=generator, dtype=torch.float64)
    random = random * (1 + 5 * torch.rand(200, 1, generator=generator, dtype=torch.float64))
    random[torch.arange(200), torch.arange(200) % 3] += 2
    cases += [
        ("for 200 random regions", (random, kinds)),
        ("for 30 regions in float32", (random[:30].float(), kinds[:30])),
    ]
    mistakes = {words: partial(_agreement, **change) for words, change in AGREEMENT_MISTAKES}
    compare(fn, _agreement, cases, mistakes, "share")
    return "Compare networks with it: the higher, the better the features tell kinds apart."


def _wrong_vocabulary(**change: Any) -> Callable[..., list[str]]:
    return lambda splits, min_count: _vocabulary(splits, min_count, **change)


MISTAKES = [
    *[("a", next(iter(change)), lambda *x, change=change: _roi(*x, **change), words[:40])
      for words, change in ROI_MISTAKES],
    ("b", "test captions leak", _wrong_vocabulary(used=("train", "dev", "test")), "leaks the test split"),
    ("b", "dev captions leak", _wrong_vocabulary(used=("train", "dev")), "only training captions"),
    ("b", "ties as first seen", _wrong_vocabulary(order="count only"), "sorted by the alphabet"),
    ("b", "no special words", _wrong_vocabulary(specials=False), "<pad> <start> <end> <unk>"),
    ("b", "min_count ignored", lambda splits, min_count: _vocabulary(splits), "at least twice"),
    *[("c", next(iter(change)), lambda *x, change=change: _collate(*x, **change), words[:30])
      for words, change in COLLATE_MISTAKES],
    *[("d", "-".join(map(str, change.values())), lambda *x, change=change: _project(*x, **change), words[:40])
      for words, change in PROJECT_MISTAKES],
    *[("e", next(iter(change)), lambda *x, change=change: _agreement(*x, **change), words[:30])
      for words, change in AGREEMENT_MISTAKES],
]  # fmt: skip
