"""A model on a split: embed it, and all figures of it as numbers and as a table (Sec 3.5 and Sec 4).

Only the encoders run (Sec 3.5): each image once, each caption once. n = images, m = captions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch

from hrem_lib import data
from hrem_lib.errors import UserError
from hrem_lib.metrics import (
    DIRECTIONS,
    RECALLS,
    Pair,
    bootstrap,
    chance,
    ensemble_metrics,
    ensemble_ranks,
    rank_metrics,
)
from hrem_lib.text import Tokens


@contextmanager
def inference(model: torch.nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """Evaluation mode without gradient; the modes are put back one by one, since a part may have been frozen before."""
    if precision not in ("float32", "bfloat16"):
        raise UserError(f"precision: got {precision!r}, wanted float32 or bfloat16")
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        for module, flag in flags:
            module.training = flag


def encode_images(
    model: torch.nn.Module,
    split: data.Split,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> torch.Tensor:
    """Embed every image of a split once, in evaluation mode (Sec 3.5).

    Args:
        model: offers encode_images(regions [B,R,F], region_mask [B,R]).emb
        split: an open split
        device: where the model lies
        precision: "float32" or "bfloat16" (autocast)
    Returns:
        image_emb [n,D], float32 on the CPU; equal features have equal embeddings, bit for bit
    """
    device, parts, starts = torch.device(device), [], []
    with inference(model, device, precision):
        for regions, region_mask in data.image_batches(split, batch_size):
            starts += [hash(first.tobytes()) for first in regions[:, 0].numpy()]
            parts.append(model.encode_images(regions.to(device), region_mask.to(device)).emb.float().cpu())  # pyright: ignore[reportCallIssue]  # see Args: offered by the model

    def content(i: int) -> bytes:
        return hashlib.sha256(b"".join(x.numpy().tobytes() for x in split.regions([i]))).digest()

    # all features of an image are looked at only where its first region is another's too
    count = Counter(starts)
    return torch.cat(parts)[_first_of_equal(content(i) if count[s] > 1 else i for i, s in enumerate(starts))]


def _first_of_equal(keys: Iterable[Hashable]) -> list[int]:
    """Where each key stands first: a product's last bit depends on the batch, so equal inputs take one embedding."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, place) for place, key in enumerate(keys)]


def encode_texts(
    model: torch.nn.Module,
    tokens: Tokens,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> torch.Tensor:
    """Embed every caption once, in evaluation mode, captions of like length together (Sec 3.5).

    Args:
        model: offers encode_texts(words [B,L], word_mask [B,L]).emb
        tokens: the captions
        device, precision: see `encode_images`
    Returns:
        text_emb [m,D], float32 on the CPU, in the order of `tokens`; equal captions have equal embeddings, bit for bit
    """
    device, text_emb = torch.device(device), None
    with inference(model, device, precision):
        for indices, words, word_mask in data.caption_batches(tokens, batch_size):
            emb = model.encode_texts(words.to(device), word_mask.to(device)).emb.float().cpu()  # pyright: ignore[reportCallIssue]  # see Args: offered by the model
            if text_emb is None:
                text_emb = emb.new_empty(len(tokens), emb.shape[1])
            text_emb[torch.as_tensor(indices)] = emb
    return text_emb[_first_of_equal(tokens.ids[a:b].tobytes() for a, b in pairwise(tokens.offsets))]  # pyright: ignore[reportOptionalSubscript]  # a split has captions


def encode_split(
    models: Sequence[tuple[torch.nn.Module, Tokens]],
    split: data.Split,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    precision: str | Sequence[str] = "float32",
) -> list[Pair]:
    """For each (model, the split's captions as its tokens): image_emb [n,D], text_emb [m,D] (Sec 3.5).

    Args:
        precision: as in `encode_images`, one for all or one for each model
    Raises:
        UserError: tokens of another number of captions.
    """
    pairs, each = [], [precision] * len(models) if isinstance(precision, str) else precision
    for (model, tokens), own in zip(models, each, strict=True):
        if len(tokens) != split.n_captions:
            raise UserError(f"{split.name}: got tokens of {len(tokens)} captions, wanted {split.n_captions}")
        settings = (batch_size, device, own)
        pairs.append((encode_images(model, split, *settings), encode_texts(model, tokens, *settings)))
    return pairs


def evaluate(
    models: Sequence[tuple[torch.nn.Module, Tokens]],
    split: data.Split,
    folds: int = 1,
    intervals: bool = False,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    precision: str | Sequence[str] = "float32",
) -> dict:
    """All figures of a model, or of an ensemble of models, on a split (Sec 4).

    Args:
        models: (model, the split's captions as its tokens); the similarities of several are averaged
        split: an open split
        folds: also give the mean over this many consecutive folds
        intervals: also give bootstrap intervals over images
        device, precision: see `encode_split`
    Returns:
        as `rank_metrics`; "folds" as `fold_metrics`, "intervals" as `bootstrap`
    """
    pairs = encode_split(models, split, batch_size, device, precision)
    return figures(pairs, split.image_of_caption, folds, intervals)


def figures(pairs: Sequence[Pair], image_of_caption: np.ndarray, folds: int = 1, intervals: bool = False) -> dict:
    """What `evaluate` returns, from the embeddings that `encode_split` gives."""
    i2t, t2i = ensemble_ranks(pairs, image_of_caption, 512)
    result = rank_metrics(i2t, t2i)
    if folds > 1:
        result["folds"] = ensemble_metrics(pairs, image_of_caption, folds)
    if intervals:
        result["intervals"] = bootstrap(i2t, t2i, image_of_caption)
    return result


def table(result: dict, with_chance: bool = True) -> str:
    """The figures of `evaluate` as plain text for the console."""
    n, m = result["images"], result["captions"]
    lines = [f"{n:.10g} images, {m:.10g} captions", f"{'':<12}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'MedR':>8}{'MeanR':>9}"]

    def rows(figures: dict, label: str = "") -> None:
        for direction in DIRECTIONS:
            f = figures[direction]
            recall = "".join(f"{f[f'R@{k}']:8.1f}" for k in RECALLS)
            lines.append(f"{label + direction:<12}{recall}{f['MedR']:8.1f}{f['MeanR']:9.1f}")
        lines.append(f"{label + 'rSum':<12}{figures['rSum']:8.1f}")

    rows(result)
    if isinstance(result.get("folds"), dict):
        lines.append(f"mean of {result['folds']['folds']} folds of {result['folds']['images']:g} images")
        rows(result["folds"])
    if "intervals" in result:
        found = result["intervals"]
        lines.append(f"{100 * found['level']:g} % intervals ({found['samples']} samples of the images)")
        for direction in DIRECTIONS:
            spans = "".join(f"{low:8.1f} to {high:5.1f}" for low, high in found[direction].values())
            lines.append(f"{direction:<12}{spans}")
        lines.append(f"{'rSum':<12}{found['rSum'][0]:8.1f} to {found['rSum'][1]:5.1f}")
    if with_chance and m % n == 0:
        levels = {k: chance(int(n), int(m), k) for k in RECALLS}
        for direction in DIRECTIONS:
            lines.append(f"{'chance ' + direction:<12}" + "".join(f"{levels[k][direction]:8.2f}" for k in RECALLS))
    return "\n".join(lines)
