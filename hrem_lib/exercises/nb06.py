"""Checks of notebook 06: training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from hrem_lib import config as configs
from hrem_lib import losses
from hrem_lib.exercises import Wrong, expect_close, expect_shape
from hrem_lib.model import HREM, build_model
from hrem_lib.text import Vocabulary

# ---- a: does it learn one batch by heart? --------------------------------------------------------------------


def _by_heart(values: Sequence[float] | np.ndarray, collapse: float) -> bool:
    values = np.asarray(values, dtype=float)
    return bool(np.isfinite(values).all() and values[-5:].mean() < 0.1 * collapse)


def check_a(fn: Callable) -> str:
    """`fn(losses [steps], collapse)` -> True if all are finite and the last five's mean is under 10 % of collapse."""
    good = np.linspace(6.6, 0, 40)
    first = fn(good.copy(), 6.4)
    if not isinstance(first, bool | np.bool_):
        raise Wrong(f"The answer should be True or False, yours is of type {type(first).__name__}.")
    cases = [
        (good, True, "A loss that falls from 6.6 to 0 should pass."),
        (np.full(40, 6.4), False, "A loss that stays at the collapse level 6.4 should fail."),
        (
            np.r_[np.linspace(64, 5, 35), np.full(5, 5.0)],
            False,
            "A loss that falls from 64 to 5 should fail for collapse 6.4: compare with that level, not with the start.",
        ),
        (
            np.r_[6.4, 3.0, 0.0, np.full(30, 5.0)],
            False,
            "A loss that was 0 once and ends at 5 should fail: look at the last steps, not at the smallest value.",
        ),
        (
            np.r_[np.linspace(6.4, 2.0, 39), 0.0],
            False,
            "One lucky last step should fail: take the mean of the last five.",
        ),
        (
            np.r_[6.4, np.nan, np.zeros(30)],
            False,
            "A run with a NaN on the way should fail, whatever came after it.",
        ),
    ]
    for values, wanted, sentence in cases:
        if bool(fn(values.copy(), 6.4)) != wanted:
            raise Wrong(sentence)
    return "Run it before every long training: it takes seconds."


# ---- b: which part hears nothing? ----------------------------------------------------------------------------


def _small_model(seed: int = 0) -> HREM:
    torch.manual_seed(seed)
    small = {"embed_dim": 16, "heads": 2, "word_dim": 8, "dropout": 0}
    settings = {f"model.{name}": value for name, value in small.items()} | {"graph.top_matches": 3}
    return build_model(configs.preset("sample").override(settings), 6, 20)


def _loss(model: HREM, relation: bool = True, fault: str = "") -> Tensor:
    """A loss on random input; `fault` cuts the gradient of the text side or makes it zero."""
    draw = torch.Generator().manual_seed(1)
    regions, words = torch.randn(4, 5, 6, generator=draw), torch.randint(4, 20, (4, 7), generator=draw)
    images = model.encode_images(regions, torch.ones(4, 5, dtype=torch.bool))
    texts = model.encode_texts(words, torch.ones(4, 7, dtype=torch.bool))
    if fault == "detached":
        texts = texts._replace(emb=texts.emb.detach(), fragments=texts.fragments.detach())
    if fault == "zero":
        texts = texts._replace(emb=0 * texts.emb + texts.emb.detach())
    ids = torch.arange(4)
    total = losses.triplet(images.emb, texts.emb, ids, margin=1.0, dim=8).loss
    if relation:
        related = model.relate(images, texts)
        total = total + losses.triplet(related.image_emb_rel, related.text_emb_rel, ids, margin=1.0, dim=8).loss
        total = total + related.graph.regularizer
    return total


def _silent(model: HREM) -> list[str]:
    parts = []
    for name, part in model.named_children():
        if all(p.grad is None or not p.grad.any() for p in part.parameters()):
            parts.append(name)
    return parts


def _silent_none_only(model: HREM) -> list[str]:
    return [n for n, part in model.named_children() if all(p.grad is None for p in part.parameters())]


def _silent_any(model: HREM) -> list[str]:
    return [
        n for n, part in model.named_children() if any(p.grad is None or not p.grad.any() for p in part.parameters())
    ]


def _silent_requires(model: HREM) -> list[str]:
    return [n for n, part in model.named_children() if not all(p.requires_grad for p in part.parameters())]


def check_b(fn: Callable) -> str:
    """`fn(model)` -> names of the parts (`image_encoder`, `text_encoder`, `relation`) that received no gradient."""
    cases = [
        ("detached", False, ["text_encoder", "relation"], "After a warm-up step with a detached text side"),
        ("zero", False, ["text_encoder", "relation"], "Where the gradient of the text side is all zeros"),
        ("", False, ["relation"], "After a warm-up step of a sound model"),
        ("", True, [], "After a whole step of a sound model"),
        ("frozen", True, [], "Where only the word vectors are frozen"),
    ]
    for fault, relation, wanted, when in cases:
        model = _small_model()
        model.text_encoder.words.embedding.weight.requires_grad_(fault != "frozen")  # pyright: ignore[reportAttributeAccessIssue]  # a BiGRU's words
        _loss(model, relation, fault).backward()
        got = fn(model)
        if not isinstance(got, list | tuple | set):
            raise Wrong(f"The answer should be a list of names, yours is of type {type(got).__name__}.")
        if sorted(got) == sorted(wanted):
            continue
        if sorted(got) == sorted(_silent_any(model)):
            raise Wrong("A part is silent only if all of its weights are without gradient; single ones may be.")
        if sorted(got) == sorted(_silent_requires(model)):
            raise Wrong("`requires_grad` says that a weight may learn; whether it did stands in `grad`.")
        if sorted(got) == sorted(_silent_none_only(model)) and fault == "zero":
            raise Wrong("A gradient that is there but all zeros teaches nothing either: test its values, too.")
        raise Wrong(f"{when} the answer should be {wanted}, yours is {sorted(got)}.")
    return "A loss can fall although one side is silent; the gradients tell."


# ---- c: the schedule -----------------------------------------------------------------------------------------


def _rate(epoch: int, base: float, decay_epochs: Sequence[int], factor: float) -> float:
    return base * factor ** sum(epoch > after for after in decay_epochs)


def check_c(fn: Callable) -> str:
    """`fn(epoch, base, decay_epochs, factor)` -> learning rate in an epoch, counted from 1."""
    epochs = (1, 15, 16, 25, 26, 30)
    got = [fn(epoch, 5e-4, (15, 25), 0.1) for epoch in epochs]
    expect_shape(torch.tensor(got), (6,), "list of rates")
    scale = np.array(got, dtype=float) / 5e-4
    known = {
        "The rate changes one epoch too early: epochs 15 and 25 still run at the old rate.": [
            1,
            0.1,
            0.1,
            0.01,
            0.01,
            0.01,
        ],
        "The rate is lowered once only; after the second decay epoch it is lowered again.": [1, 1, 0.1, 0.1, 0.1, 0.1],
        "The rate falls in every epoch after the first decay epoch; it should fall once for each decay epoch.": [
            0.1 ** max(0, epoch - 15) for epoch in epochs
        ],
    }
    expect_close(scale, [1, 1, 0.1, 0.1, 0.01, 0.01], "rate in epochs 1 15 16 25 26 30, in units of 5e-4", known, 1e-9)
    expect_close(fn(5, 1.0, (), 0.1), 1.0, "rate without any decay epoch")
    expect_close(fn(9, 8.0, (2, 4, 6), 0.5), 1.0, "rate in epoch 9 with decay 0.5 after epochs 2, 4 and 6", tol=1e-9)
    return "This is `training.rate_at`."


# ---- d: where does the NaN come from? ------------------------------------------------------------------------

_POISONED = "umbrella"


def poison(model: HREM, text: Vocabulary) -> None:
    """Plant the fault of exercise 06d: one weight vector becomes NaN."""
    with torch.no_grad():
        model.text_encoder.words.embedding.weight[text.words.index(_POISONED)] = float("nan")  # pyright: ignore[reportAttributeAccessIssue, reportIndexIssue]  # a BiGRU's words


def check_d(answer: str) -> str:
    """The word whose vector is NaN."""
    if not isinstance(answer, str):
        raise Wrong(f"The answer should be a word, yours is of type {type(answer).__name__}.")
    if answer.lower() == _POISONED:
        return "From the message to the embeddings, from the embeddings to the captions, from the captions to the word."
    if answer.lower() in ("text", "text embeddings", "initial", "text_encoder"):
        raise Wrong(
            "That is the term of the message; go on to the captions with a NaN embedding, and to their common word."
        )
    if answer.lower() in ("a", "the", "in", "on", "with", "under", "is", "and", "an", "of"):
        raise Wrong(f"All bad captions may hold {answer!r}, but captions with finite embeddings hold it, too.")
    raise Wrong(f"{answer!r} is not it: the word stands in every bad caption and in no good one.")


# ---- e: optimism ---------------------------------------------------------------------------------------------


def _optimism(dev: np.ndarray, test: np.ndarray) -> float:
    chosen = dev.argmax(1)
    return float((test.max(1) - test[np.arange(len(test)), chosen]).mean())


def check_e(fn: Callable) -> str:
    """`fn(dev [runs,epochs], test [runs,epochs])` -> mean of best test figure - test figure of dev's best epoch."""
    dev = np.array([[50.0, 60.0, 55.0], [70.0, 40.0, 65.0]])
    test = np.array([[58.0, 52.0, 56.0], [61.0, 63.0, 60.0]])

    def wrong(d: np.ndarray, t: np.ndarray) -> dict[str, float]:
        return {
            "This compares with the dev figure; compare two test figures, of two ways to choose the epoch.": float(
                (t.max(1) - d.max(1)).mean()
            ),
            "This compares with the mean over epochs; compare with the epoch that dev chooses.": float(
                (t.max(1) - t.mean(1)).mean()
            ),
            "The epoch was chosen over all runs together; choose in each run.": float(
                (t.max(1) - t[:, d.mean(0).argmax()]).mean()
            ),
            "The sign is turned round: the test-selected figure minus the dev-selected one.": -_optimism(d, t),
        }

    expect_close(fn(dev.copy(), test.copy()), 4.0, "optimism of the hand example (6 and 2)", wrong(dev, test))
    draw = np.random.default_rng(6)
    dev, test = draw.normal(60, 3, (50, 20)), draw.normal(60, 3, (50, 20))
    expect_close(fn(dev, test), _optimism(dev, test), "optimism of 50 random runs", wrong(dev, test))
    return "It can never be negative: the best is never below any other."


MISTAKES = [
    ("a", "start", lambda v, c: bool(np.isfinite(v).all() and v[-5:].mean() < 0.1 * v[0]), "not with the start"),
    ("a", "smallest", lambda v, c: bool(np.isfinite(v).all() and v.min() < 0.1 * c), "not at the smallest"),
    ("a", "last", lambda v, c: bool(np.isfinite(v).all() and v[-1] < 0.1 * c), "lucky"),
    ("a", "nan", lambda v, c: bool(v[-5:].mean() < 0.1 * c), "NaN"),
    ("a", "number", lambda v, c: float(v[-1]), "True or False"),
    ("b", "none-only", _silent_none_only, "all zeros"),
    ("b", "any", _silent_any, "single ones"),
    ("b", "requires-grad", _silent_requires, "may learn"),
    ("b", "text", lambda model: "text_encoder", "list of names"),
    ("c", "early", lambda e, b, d, f: b * f ** sum(e >= after for after in d), "too early"),
    ("c", "once", lambda e, b, d, f: b * f if any(e > after for after in d) else b, "once only"),
    ("c", "every-epoch", lambda e, b, d, f: b * f ** max(0, e - min(d)) if d else b, "every epoch"),
    ("d", "term", "text embeddings", "term of the message"),
    ("d", "common", "the", "finite embeddings"),
    ("d", "other", "surfboard", "in no good one"),
    ("e", "dev-figure", lambda d, t: (t.max(1) - d.max(1)).mean(), "two test figures"),
    ("e", "mean", lambda d, t: (t.max(1) - t.mean(1)).mean(), "mean over epochs"),
    ("e", "sign", lambda d, t: -_optimism(d, t), "sign"),
    ("e", "all-runs", lambda d, t: (t.max(1) - t[:, d.mean(0).argmax()]).mean(), "in each run"),
]
