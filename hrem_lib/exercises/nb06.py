"""Checks of notebook 06: training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from hrem_lib import config as configs
from hrem_lib import data, losses
from hrem_lib.exercises import Wrong, expect_close
from hrem_lib.exercises.probes import answer, name_mistake, show
from hrem_lib.model import HREM, build_model
from hrem_lib.text import Vocabulary, split_words

# ---- a: does it learn one batch by heart? --------------------------------------------------------------------


def _by_heart(values: Sequence[float] | np.ndarray, collapse: float) -> bool:
    values = np.asarray(values, dtype=float)
    return bool(np.isfinite(values).all() and values[-5:].mean() < 0.1 * collapse)


def _heart_cases() -> list[tuple[list[float], float, str]]:
    """Losses, collapse level, and what decides."""
    nan, inf = float("nan"), float("inf")
    return [
        ([9, 7, 5, 3, 1, 0.5, 0.4, 0.3, 0.2, 0.1], 6.4, "the mean of the last five is 0.3, below 10 % of 6.4"),
        ([6.4] * 8, 6.4, "it stays at the collapse level"),
        ([6, 6, 1, 0.1, 0.1, 0.1, 0.1], 6.4, "the mean of the last five is 0.28, below 10 % of 6.4"),
        ([6.4, 0, 5, 5, 5, 5, 5], 6.4, "the mean of the last five is 5; a smaller value before does not count"),
        ([6, 6, 6, 6, 2, 2, 2, 2, 0], 6.4, "the mean of the last five is 1.6, not below 10 % of 6.4"),
        ([6, 6, 6, 5, 0, 0, 0, 0], 6.4, "the mean of the last five is 1, not below 10 % of 6.4"),
        (
            [64, 30, 5, 5, 5, 5, 5],
            6.4,
            "the mean of the last five is 5, not below 10 % of 6.4; the start does not count",
        ),
        ([6, 3, 0.3, 0.3, 0.3, 0.3, 0.3], 2, "the mean of the last five is 0.3, not below 10 % of 2"),
        ([20, 9, 3, 3, 3, 3, 3], 64, "the mean of the last five is 3, below 10 % of 64"),
        ([8, 1, 1, 1, 1, 1], 10, "exactly 10 % is not below 10 %"),
        ([6, nan, 0, 0, 0, 0, 0], 6.4, "NaN is not finite, whatever comes after it"),
        ([6, inf, 0, 0, 0, 0, 0], 6.4, "inf is not finite, whatever comes after it"),
        ([6, 6, 0, 0, nan, 0, 0], 6.4, "NaN is not finite"),
        ([6, 6, 0, -inf, 0, 0, 0], 6.4, "-inf is not finite"),
    ]


def check_a(fn: Callable) -> str:
    """`fn(losses [steps], collapse)` -> True if all are finite and the last five's mean is under 10 % of collapse."""
    for losses_, collapse, reason in _heart_cases():
        case = f"for losses {losses_} and collapse level {collapse}"
        got = answer(fn, case, np.array(losses_, dtype=float), collapse)
        if not isinstance(got, bool | np.bool_):
            raise Wrong(f"The answer should be True or False, yours is of type {type(got).__name__}.")
        wanted = _by_heart(losses_, collapse)
        if got != wanted:
            text = f"The answer {case} should be {wanted}, yours is {bool(got)}: {reason}."
            raise Wrong(text, "counterexample")
    return "Run it before every long training: it takes seconds."


# ---- b: which part hears nothing? ----------------------------------------------------------------------------


def _small_model(seed: int = 0) -> HREM:
    small = {"embed_dim": 16, "heads": 2, "word_dim": 8, "dropout": 0}
    settings = {f"model.{name}": value for name, value in small.items()} | {"graph.top_matches": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
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


def _silent_frozen(model: HREM) -> list[str]:
    return [n for n, part in model.named_children() if not any(p.requires_grad for p in part.parameters())]


def _after_step(fault: str, relation: bool) -> HREM:
    model = _small_model()
    model.text_encoder.words.embedding.weight.requires_grad_(fault != "frozen")  # pyright: ignore[reportAttributeAccessIssue]  # a BiGRU's words
    with torch.random.fork_rng(devices=[]):  # the losses draw dimensions
        torch.manual_seed(0)
        _loss(model, relation, fault).backward()
    return model


def _planted(weight: int, values: Sequence[float]) -> HREM:
    """A model in which one weight of the text encoder has a gradient: these values, then zeros."""
    model = _small_model()
    for p in model.image_encoder.parameters():
        p.grad = torch.ones_like(p)
    parameters = list(model.text_encoder.parameters())
    for p in parameters[::2]:  # the others stay at None
        p.grad = torch.zeros_like(p)
    grad = torch.zeros_like(parameters[weight])
    grad.view(-1)[: len(values)] = torch.tensor(values)
    parameters[weight].grad = grad
    return model


def _silent_cases() -> list[tuple[str, HREM]]:
    alone = "where, of the text encoder, only"
    names = [name for name, _ in _small_model().text_encoder.named_parameters()]
    first, last = names[0], names[-1]
    return [
        ("after a warm-up step with a detached text side", _after_step("detached", False)),
        ("where the gradient of the text side is all zeros", _after_step("zero", False)),
        ("after a warm-up step of a sound model", _after_step("", False)),
        ("after a whole step of a sound model", _after_step("", True)),
        ("where only the word vectors are frozen", _after_step("frozen", True)),
        ("where the text encoder's gradients are None for some weights and zeros for the others", _planted(0, [0.0])),
        (f"{alone} {first} has a gradient, one value of 1", _planted(0, [1.0])),
        (f"{alone} the bias {last} has a gradient, one value of 1", _planted(-1, [1.0])),
        (f"{alone} {first} has a gradient, one value of 1e-30", _planted(0, [1e-30])),
        (f"{alone} {first} has a gradient, the values 1 and -1", _planted(0, [1.0, -1.0])),
        (f"{alone} {first} has a gradient, one value of -1", _planted(0, [-1.0])),
        (f"{alone} {first} has a gradient, one value of NaN", _planted(0, [float("nan")])),
    ]


def check_b(fn: Callable) -> str:
    """`fn(model)` -> names of the parts (`image_encoder`, `text_encoder`, `relation`) that received no gradient."""
    cases = _silent_cases()
    answers, wanted = [], [sorted(_silent(model)) for _, model in cases]
    known = [[sorted(wrong(model)) for _, model in cases] for _, wrong in _SILENT_MISTAKES]
    for case, model in cases:
        names = [name for name, _ in model.named_children()]
        before = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
        got = answer(lambda model=model: fn(model), case)
        after = {name: p.grad for name, p in model.named_parameters()}
        if not isinstance(got, list | tuple | set):
            raise Wrong(f"The answer should be a list of names, yours is of type {type(got).__name__}.")
        other = [name for name in got if name not in names]
        if other:
            raise Wrong(f"The answer should hold names of parts ({', '.join(names)}), yours holds {other[0]!r}.")
        if not all(_same_grad(before[name], after[name]) for name in before):
            raise Wrong("Your function changes the gradients of the model; it should only look at them.")
        answers.append(sorted(got))
    for (text, _), wrong in zip(_SILENT_MISTAKES, known, strict=True):
        if answers == wrong:
            raise Wrong(text)
    for (case, _), got, want in zip(cases, answers, wanted, strict=True):
        if got != want:
            raise Wrong(f"The answer {case} should be {want}, yours is {got}.", "counterexample")
    return "A loss can fall although one side is silent; the gradients tell."


def _same_grad(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one.nan_to_num(), other.nan_to_num())


_MAY_LEARN = "`requires_grad` says that a weight may learn; whether it did stands in `grad`."
_SILENT_MISTAKES = [
    ("A part is silent only if all of its weights are without gradient; single ones may be.", _silent_any),
    (_MAY_LEARN, _silent_requires),
    (_MAY_LEARN, _silent_frozen),
    ("A gradient that is there but all zeros teaches nothing either: test its values, too.", _silent_none_only),
]


# ---- c: the schedule -----------------------------------------------------------------------------------------


def _rate(epoch: int, base: float, decay_epochs: Sequence[int], factor: float) -> float:
    return base * factor ** sum(epoch > after for after in decay_epochs)


_RATE_MISTAKES: list[tuple[str, Callable]] = [
    ("The rate changes one epoch too early: a decay epoch itself still runs at the old rate.",
     lambda e, b, d, f: b * f ** sum(e >= after for after in d)),
    ("The rate changes one epoch too late: the epoch after a decay epoch runs at the new rate.",
     lambda e, b, d, f: b * f ** sum(e > after + 1 for after in d)),
    ("The rate is lowered once only; it is lowered again after each further decay epoch.",
     lambda e, b, d, f: b * f if any(e > after for after in d) else b),
    ("The rate falls in every epoch after the first decay epoch; it should fall once for each decay epoch.",
     lambda e, b, d, f: b * f ** max(0, e - min(d)) if d else b),
    ("You divide by the factor; multiply.", lambda e, b, d, f: b / f ** sum(e > after for after in d)),
]  # fmt: skip


def check_c(fn: Callable) -> str:
    """`fn(epoch, base, decay_epochs, factor)` -> learning rate in an epoch, counted from 1."""
    calls: list[tuple[int, float, tuple[int, ...], float]] = [(e, 5e-4, (15, 25), 0.1) for e in (1, 15, 16, 25, 26, 30)]
    calls += [(e, 8.0, (2, 4, 6), 0.5) for e in (1, 2, 3, 5, 7, 9)] + [(3, 1.0, (2,), 0.25), (5, 1.0, (), 0.1)]
    texts = [f"rate_in_epoch({', '.join(map(str, call))})" for call in calls]
    got = [answer(fn, f"for {text}", *call) for text, call in zip(texts, calls, strict=True)]
    for value, text in zip(got, texts, strict=True):
        expect_close(value, value, f"result of {text}")  # it is a number
    name_mistake(got, [(text, [wrong(*call) for call in calls]) for text, wrong in _RATE_MISTAKES], tol=1e-12)
    for value, text, call in zip(got, texts, calls, strict=True):
        expect_close(value, _rate(*call), "result", tol=1e-9 * call[1], case=f"of {text}")
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
    word = answer.strip().lower()
    if word == _POISONED:
        return "From the message to the embeddings, from the embeddings to the captions, from the captions to the word."
    if word in ("text", "text embeddings", "initial", "text_encoder"):
        raise Wrong(
            "That is the term of the message; go on to the captions with a NaN embedding, and to their common word."
        )
    if word.startswith("<"):
        raise Wrong(f"{answer!r} is a special token; wanted is a word of the captions.")
    if len(split_words(word)) != 1:
        raise Wrong(
            f"{answer!r} is not one word; exactly one stands in every caption with a NaN embedding and in no other."
        )
    split = data.open_split(data.sample_dir(), "train")
    captions = [split_words(split.captions[i]) for i in range(0, 1000, 8)]  # the batch of the lesson
    bad, good = ([c for c in captions if (_POISONED in c) is wanted] for wanted in (True, False))
    counts = [sum(word in caption for caption in group) for group in (bad, good)]
    raise Wrong(
        f"{answer!r} stands in {counts[0]} of the {len(bad)} captions with a NaN embedding and in {counts[1]} of the "
        f"{len(good)} others; the word you look for stands in all of the first and in none of the others."
    )


# ---- e: optimism ---------------------------------------------------------------------------------------------


def _optimism(dev: np.ndarray, test: np.ndarray) -> float:
    chosen = dev.argmax(1)
    return float((test.max(1) - test[np.arange(len(test)), chosen]).mean())


_OPTIMISM_MISTAKES: list[tuple[str, Callable]] = [
    ("This compares with the dev figure; compare two test figures, of two ways to choose the epoch.",
     lambda d, t: (t.max(1) - d.max(1)).mean()),
    ("This compares with the dev figure; compare two test figures, of two ways to choose the epoch.",
     lambda d, t: (d.max(1) - t[np.arange(len(t)), d.argmax(1)]).mean()),
    ("This compares with the mean over epochs; compare with the epoch that dev chooses.",
     lambda d, t: (t.max(1) - t.mean(1)).mean()),
    ("One epoch was chosen for all runs together; choose in each run.",
     lambda d, t: (t.max(1) - t[:, d.mean(0).argmax()]).mean()),
    ("The sign is turned round: the test-selected figure minus the dev-selected one.", lambda d, t: -_optimism(d, t)),
    ("Dev and test are exchanged.", lambda d, t: _optimism(t, d)),
    ("Runs and epochs are exchanged: a row is a run.", lambda d, t: _optimism(d.T, t.T)),
    ("This is the sum over runs; take the mean.", lambda d, t: _optimism(d, t) * len(d)),
]  # fmt: skip


def check_e(fn: Callable) -> str:
    """`fn(dev [runs,epochs], test [runs,epochs])` -> mean of best test figure - test figure of dev's best epoch."""
    draw = np.random.default_rng(6)
    many = draw.normal(60, 3, (50, 20)), draw.normal(60, 3, (50, 20))
    cases = [
        ([[50, 60, 55], [70, 40, 65]], [[58, 52, 56], [61, 63, 60]]),
        ([[50, 60, 55, 40]], [[58, 52, 56, 57]]),
        ([[50, 60, 60]], [[58, 52, 56]]),
        ([[5, 6], [6, 5], [5, 6]], [[1, 9], [2, 8], [7, 1]]),
    ]
    hand, *small = [(np.array(dev, dtype=float), np.array(test, dtype=float)) for dev, test in cases]
    answer(fn, f"for dev {show(hand[0])} and test {show(hand[1])}", *hand)
    name_mistake(answer(fn, "for 50 runs of 20 epochs", *many), [(t, f(*many)) for t, f in _OPTIMISM_MISTAKES])
    for dev, test in [hand, *small]:
        case = f"for dev {show(dev)} and test {show(test)}"
        expect_close(answer(fn, case, dev, test), _optimism(dev, test), "optimism", case=case)
    expect_close(answer(fn, "for 50 runs", *many), _optimism(*many), "optimism", case="for 50 random runs of 20 epochs")
    return "It can never be negative: the best is never below any other."


MISTAKES = [
    ("a", "start", lambda v, c: bool(np.isfinite(v).all() and v[-5:].mean() < 0.1 * v[0]), "the start does not count"),
    ("a", "smallest", lambda v, c: bool(np.isfinite(v).all() and v.min() < 0.1 * c), "a smaller value before"),
    ("a", "last", lambda v, c: bool(np.isfinite(v).all() and v[-1] < 0.1 * c), "last five is 1.6"),
    ("a", "nan", lambda v, c: bool(v[-5:].mean() < 0.1 * c), "NaN"),
    ("a", "number", lambda v, c: float(v[-1]), "True or False"),
    ("a", "inf", lambda v, c: bool(not np.isnan(v).any() and v[-5:].mean() < 0.1 * c), "inf is not finite"),
    ("b", "none-only", _silent_none_only, "all zeros"),
    ("b", "any", _silent_any, "single ones"),
    ("b", "requires-grad", _silent_requires, "may learn"),
    ("b", "text", lambda model: "text_encoder", "list of names"),
    ("c", "early", lambda e, b, d, f: b * f ** sum(e >= after for after in d), "too early"),
    ("c", "once", lambda e, b, d, f: b * f if any(e > after for after in d) else b, "once only"),
    ("c", "every-epoch", lambda e, b, d, f: b * f ** max(0, e - min(d)) if d else b, "every epoch"),
    ("d", "term", "text embeddings", "term of the message"),
    ("d", "common", "the", "in 4 of the 6 captions"),
    ("d", "other", "surfboard", "in 9 of the 119 others"),
    ("e", "dev-figure", lambda d, t: (t.max(1) - d.max(1)).mean(), "two test figures"),
    ("e", "mean", lambda d, t: (t.max(1) - t.mean(1)).mean(), "mean over epochs"),
    ("e", "sign", lambda d, t: -_optimism(d, t), "sign"),
    ("e", "all-runs", lambda d, t: (t.max(1) - t[:, d.mean(0).argmax()]).mean(), "in each run"),
]
