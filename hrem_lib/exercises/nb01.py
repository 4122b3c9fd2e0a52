"""Checks of notebook 01: RoI align, vocabulary, masks, BatchNorm and padding, nearest neighbors of regions."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hrem_lib import data, text
from hrem_lib.exercises import Wrong, expect_close, expect_shape

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


def check_a(fn: Callable[..., Tensor]) -> str:
    """`roi_align(maps [C,H,W], boxes [N,4], cells, stride) -> [N,C,cells,cells]`."""
    ramp = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64).repeat(4, 1)[None]
    box = torch.tensor([[1.0, 0, 3, 2]], dtype=torch.float64)
    got = fn(ramp, box, 2, 1)
    expect_shape(got, (1, 1, 2, 2), "crop of one box with 2 x 2 cells")
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 6, 9, generator=generator, dtype=torch.float64)
    corner = torch.rand(5, 2, generator=generator, dtype=torch.float64) * torch.tensor([20.0, 12.0])
    boxes = torch.cat([corner, corner + 3 + 13 * torch.rand(5, 2, generator=generator, dtype=torch.float64)], 1)
    cases = (
        ("crop of the box 1 0 3 2 from the rows 1 2 3 4", ramp, box, 2, 1),
        (
            "crop of the box 0 0 2 2 (at the border) from the rows 1 2 3 4",
            ramp,
            box - torch.tensor([1.0, 0, 1, 0]),
            2,
            1,
        ),
        ("crop of five random boxes", maps, boxes, 3, 4),
    )
    for name, plane, where, cells, stride in cases:
        known = {words: _roi(plane, where, cells, stride, **change) for words, change in ROI_MISTAKES}
        got = fn(plane, where, cells, stride)
        expect_shape(got, (len(where), len(plane), cells, cells), name)
        expect_close(got, _roi(plane, where, cells, stride), name, known)
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


def check_b(fn: Callable[..., list[str]]) -> str:
    """`vocabulary(splits: dict of caption lists, min_count) -> list of words in the order of their ids`."""
    splits = {
        "train": ["A dog runs.", "The dog, a big one", "a cat"],
        "dev": ["a horse runs"],
        "test": ["A zebra runs"],
    }
    got = fn(splits, 1)
    if not isinstance(got, list | tuple) or not all(isinstance(word, str) for word in got):
        raise Wrong(f"The vocabulary is a {type(got).__name__}, wanted a list of words in the order of their ids.")
    known = {
        "Words of the test captions are in your vocabulary: that leaks the test split into the model.": [
            _vocabulary(splits, used=("train", "dev", "test")),
            _vocabulary(splits, used=("train", "test")),
        ],
        "Words of the dev captions are in your vocabulary: only training captions may be read.": [
            _vocabulary(splits, used=("train", "dev"))
        ],
        "Words of one count must be sorted by the alphabet, else the ids depend on the order of the captions.": [
            _vocabulary(splits, order="count only"),
        ],
        "The most frequent words come first; yours are sorted by the alphabet alone.": [
            _vocabulary(splits, order="alphabet")
        ],
        "The four special words <pad> <start> <end> <unk> must take the ids 0 to 3.": [
            _vocabulary(splits, specials=False)
        ],
        "Upper and lower case or punctuation make two words of one; use text.split_words.": [
            [*text.SPECIAL_WORDS, *sorted(c, key=lambda w, c=c: (-c[w], w))]
            for c in [Counter(w for caption in splits["train"] for w in caption.split())]
        ],
    }
    wanted = _vocabulary(splits)
    if list(got) != wanted:
        for words, lists in known.items():
            if list(got) in lists:
                raise Wrong(words)
        leaked = {"zebra", "horse"} & set(got)
        if leaked:
            raise Wrong(f"The word {min(leaked)!r} is in no training caption: it leaked from another split.")
        raise Wrong(f"Wanted {wanted}, yours is {list(got)}.")
    if list(fn(splits, 2)) != _vocabulary(splits, 2):
        raise Wrong("With min_count = 2 a word must be seen at least twice to get an id.")
    folder = data.sample_dir()
    real = {name: data.open_split(folder, name).captions for name in ("train", "dev", "test")}
    if list(fn(real, 3)) != text.Vocabulary.build(real["train"], 3).words:
        raise Wrong("The hand example is right, but the sample data gives other words than text.Vocabulary.build.")
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
    random = [[1, *generator.integers(4, 40, n).tolist(), 2] for n in (3, 0, 7, 12, 5)]
    for name, captions, limit in (
        ("first example", [[1, 4, 5, 2], [1, 6, 2], [1, 4, 5, 6, 7, 8, 2]], 5),
        ("short captions", [[1, 4, 5, 2], [1, 6, 2]], 9),
        ("random captions", random, 10),
    ):
        got = fn(captions, limit)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong(f"Wanted two tensors, ids and mask, yours is a {type(got).__name__}.")
        ids, mask = got
        wanted_ids, wanted_mask = _collate(captions, limit)
        if getattr(mask, "dtype", None) != torch.bool or getattr(ids, "dtype", None) != torch.int64:
            raise Wrong("Ids are int64 and the mask is bool; another type breaks the embedding or the masking.")
        for words, change in COLLATE_MISTAKES:
            wrong_ids, wrong_mask = _collate(captions, limit, **change)
            same_as_right = torch.equal(wrong_ids, wanted_ids) and torch.equal(wrong_mask, wanted_mask)
            if not same_as_right and torch.equal(ids, wrong_ids) and torch.equal(mask, wrong_mask):
                raise Wrong(words)
        expect_shape(ids, tuple(wanted_ids.shape), f"ids of the {name}")
        expect_close(ids, wanted_ids, f"ids of the {name}")
        expect_close(mask, wanted_mask, f"mask of the {name}")
    return "From here on nobody needs to count tokens: the mask says what is real."


# --------------------------------------------------------------------------------- d: BatchNorm and padding


def _project(features: Tensor, mask: Tensor, fc: nn.Module, mlp: nn.Module, rows: str = "real", zero: bool = True,
             use: str = "both") -> Tensor:  # fmt: skip
    chosen = {"real": mask, "all": torch.ones_like(mask), "padding": ~mask}[rows]
    real = features[chosen]
    projected = (fc(real) if use in ("both", "fc") else 0) + (mlp(real) if use in ("both", "mlp") else 0)
    out = projected.new_zeros(*mask.shape, projected.size(-1))  # pyright: ignore[reportAttributeAccessIssue]  # FC, MLP or both
    out[chosen] = projected
    return torch.where(mask[..., None], out, 0) if zero else out


PROJECT_MISTAKES = (
    ("BatchNorm still sees the padding: its mean and variance must come from real regions only.", {"rows": "all"}),
    ("BatchNorm sees the padding, and the padded rows are not zero either: take the real rows out before the layers.",
     {"rows": "all", "zero": False}),
    ("The mask is inverted: you project the padding and leave the real regions out.",
     {"rows": "padding", "zero": False}),
    ("Only the FC layer is there: the projection is FC(x) + MLP(x).", {"use": "fc"}),
    ("Only the MLP is there: the projection is FC(x) + MLP(x).", {"use": "mlp"}),
)  # fmt: skip


def check_d(fn: Callable[..., Tensor]) -> str:
    """`project(features [B,R,F], mask [B,R], fc, mlp) -> regions [B,R,D]` with masked rows zero."""
    torch_state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        fc = nn.Linear(5, 6).double()
        mlp = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 6)).double().train()
        features = torch.randn(3, 4, 5, dtype=torch.float64)
    finally:
        torch.set_rng_state(torch_state)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True], [True, False, False, False]])
    features = torch.where(mask[..., None], features, 0)

    def run(function: Callable[..., Tensor], **change: object) -> tuple[Tensor, Any]:
        layers = copy.deepcopy(mlp)
        out = function(features.clone(), mask.clone(), fc, layers, **change)
        return out, layers[1].running_mean

    got, seen = run(fn)
    expect_shape(got, (3, 4, 6), "projected regions")
    got = got.detach()
    known = {words: run(_project, **change)[0].detach() for words, change in PROJECT_MISTAKES}
    wanted, wanted_seen = run(_project)
    expect_close(got, wanted.detach(), "projected regions", known)
    expect_close(seen, wanted_seen, "running mean of BatchNorm afterwards")
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
    hand = torch.tensor([[1.0, 0.0], [2.0, 0.2], [0.0, 1.0], [0.3, 9.0], [1.0, 0.4]], dtype=torch.float64)
    names = ["dog", "dog", "cat", "cat", "cat"]
    generator = torch.Generator().manual_seed(2)
    kinds = [("dog", "cat", "ball")[i % 3] for i in range(30)]
    random = torch.randn(30, 4, generator=generator, dtype=torch.float64).abs()
    random = random * (1 + 5 * torch.rand(30, 1, generator=generator, dtype=torch.float64))
    random[torch.arange(30), torch.arange(30) % 3] += 2
    for name, features, labels in (
        ("share in the hand example", hand, names),
        ("share of 30 random regions", random, kinds),
    ):
        got = fn(features.clone(), list(labels))
        known = {words: _agreement(features, labels, **change) for words, change in AGREEMENT_MISTAKES}
        expect_close(float(got), _agreement(features, labels), name, known)
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
