"""Bad input: the right answer or one sentence (exit code 2), never a traceback, a hang or a half-written file.

Byte mutation of every file that is read, and made-up values by hypothesis. `HREM_FUZZ=2000` tries that many inputs for
each file (25 else), and `-s` shows what became of them. Where the right answer is known it is compared.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import signal
import warnings
from collections import Counter
from contextlib import contextmanager

import families
import numpy as np
import pytest
import tiny
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hrem_lib import checkpoints, data, released, training
from hrem_lib import config as configs
from hrem_lib.cli import main
from hrem_lib.errors import UserError
from hrem_lib.files import LINE_LENGTH, read_tensors, write_tensors
from hrem_lib.model import build_model
from hrem_lib.pretrained import load_text
from hrem_lib.text import Vocabulary, WordPiece, glove_matrix

POSIX = hasattr(signal, "setitimer")
INPUTS = int(os.environ.get("HREM_FUZZ", "25"))
EACH = settings(
    derandomize=True, max_examples=max(INPUTS, 20), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


class Hang(BaseException):
    """More than a minute of the processor, or twenty minutes by the clock, for one input."""


@contextmanager
def guarded():
    """Warnings are errors (they would be more than one sentence), and a hang is one, too."""

    def late(*_):
        raise Hang

    timers = [(signal.ITIMER_PROF, signal.SIGPROF, 60), (signal.ITIMER_REAL, signal.SIGALRM, 1200)] if POSIX else []
    for timer, sign, seconds in timers:
        signal.signal(sign, late)
        signal.setitimer(timer, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        for timer, *_ in timers:
            signal.setitimer(timer, 0)


def outcome(action, *args):
    """("accepted", result) or ("refused", sentence); any other exception goes through and fails the test."""
    with guarded():
        try:
            return "accepted", action(*args)
        except UserError as error:
            sentence = str(error)
            assert sentence and "\n" not in sentence and len(sentence) < 2000
            return "refused", sentence


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """The file with one or more random changes of its bytes."""
    raw = whole
    while raw == whole or rng.random() < 0.3:
        a, b = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
        if rng.random() < 0.5:  # the beginning says what the rest is
            a, b = a % 200, a % 200 + rng.randint(1, 8)
        kind = rng.choice(
            ["flip", "flip", "cut", "delete", "double", "noise", "zeros", "digits", "swap", "insert", "empty"]
        )
        part = raw[a:b]
        if kind == "flip" and raw:
            place = min(a, len(raw) - 1)
            raw = raw[:place] + bytes([raw[place] ^ (1 << rng.randrange(8))]) + raw[place + 1 :]
        elif kind == "cut":
            raw = raw[:a]
        elif kind == "delete":
            raw = raw[:a] + raw[b:]
        elif kind == "double":
            raw = raw[:b] + part + raw[b:]
        elif kind == "noise":
            raw = raw[:a] + rng.randbytes(len(part)) + raw[b:]
        elif kind == "zeros":
            raw = raw[:a] + bytes(len(part)) + raw[b:]
        elif kind == "digits":
            raw = raw[:a] + bytes(rng.choice(b"0123456789-.e") if 48 <= c < 58 else c for c in part) + raw[b:]
        elif kind == "swap":
            middle = (a + b) // 2
            raw = raw[:a] + raw[middle:b] + raw[a:middle] + raw[b:]
        elif kind == "insert":
            extra = [
                b"\n",
                b"\r\n",
                b"\0",
                b"{",
                b"[" * 5000,
                b'"',
                b"\xef\xbb\xbf",
                b"9" * 400,
                b"1e999",
                b"NaN",
                b"-1",
            ]
            raw = raw[:a] + rng.choice(extra) + raw[a:]
        elif rng.random() < 0.2:
            raw = b""
    return raw


def fuzz(path, action, check=lambda result: None, seed=0):
    """Mutate the file INPUTS times, read it with `action`; `check` judges what was accepted. Prints the counts."""
    whole, counts = path.read_bytes(), Counter()
    for number in range(INPUTS):
        raw = mutated(whole, random.Random(f"{path.name} {seed} {number}"))
        path.write_bytes(raw)
        try:
            what, result = outcome(action)
            if what == "accepted":
                check(result)
            counts[what] += 1
        except BaseException:
            print(f"input {number} of {path.name}: {raw[:300]!r}")
            raise
        finally:
            path.write_bytes(whole)
    print(f"{path.name}: {sum(counts.values())} inputs, {dict(counts)}")
    assert counts["refused"] > 0


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Tiny data with boxes and picture names."""
    folder = tiny.write(tmp_path, images=(12, 6, 6))
    for split, count in (("train", 12), ("dev", 6), ("test", 6)):
        np.save(folder / f"{split}_boxes.npy", np.tile(np.array([1, 2, 30, 40], np.float32), (count, 4, 1)))
        (folder / f"{split}_ids.txt").write_text("".join(f"{split}{i}.png\n" for i in range(count)))
    return folder


def use(folder):
    """Open the training split and make a batch of all of it."""
    split = data.open_split(folder, "train")
    vocabulary = Vocabulary.build(split.captions)
    pairs = data.PairDataset(
        split, vocabulary.encode(split.captions), (vocabulary.mask_id, vocabulary.random_range), 0.2, 0.2
    )
    return split, pairs[data.BatchPlan(1, 0, np.arange(split.n_captions))]


def sound(result):
    """What is accepted is what numpy itself reads from the file, finite, and fits together."""
    split, batch = result
    raw = np.load(split.folder / "train_ims.npy", allow_pickle=False).astype(np.float32)
    assert torch.equal(split.regions(range(split.n_images))[0], torch.from_numpy(raw.reshape(split.features.shape)))
    assert batch.regions.isfinite().all() and batch.region_mask.any(1).all() and batch.word_mask.any(1).all()
    assert split.n_captions == split.n_images * split.captions_per_image
    assert split.boxes is None or split.boxes.shape == (split.n_images, split.n_regions, 4)
    assert split.ids is None or len(split.ids) == split.n_images


@pytest.mark.parametrize("name", ["train_ims.npy", "train_caps.txt", "train_boxes.npy", "train_ids.txt"])
def test_mutated_data(folder, name):
    fuzz(folder / name, lambda: use(folder), sound)


DTYPES = [
    "<f4",
    ">f4",
    "<f2",
    ">f2",
    "<f8",
    "<i4",
    "|b1",
    "<c8",
    "|O",
    "<U3",
    "|S4",
    "<M8[s]",
    "|V8",
    [("a", "<f4"), ("b", "<f4")],
]

FITTING = [(12, 4, 16), (60, 4, 16), (12, 16), (12, 64)]


@EACH
@given(
    dtype=st.sampled_from(DTYPES),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    shape=st.sampled_from([*FITTING, (11, 4, 16), (12,), (), (12, 4, 0), (0, 4, 16), (12, 4, 4, 4), (1, 12, 64)]),
)
def test_every_kind_of_npy(tmp_path_factory, dtype, fortran, version, shape):
    """Byte order, axis order, format version, type, shape: float16 and float32 that fit are read, the rest refused."""
    folder = tiny.write(tmp_path_factory.mktemp("npy"), images=(12, 1, 1))
    values = np.random.default_rng(0).normal(size=shape)
    if len(shape) > 1 and shape[0] == 60:  # one row a caption, each picture five times
        values = np.repeat(values[:12], 5, axis=0)
    try:
        array = values.astype(dtype)
    except (TypeError, ValueError):
        array = np.zeros(shape, dtype)
    array = np.asfortranarray(array) if fortran else array
    with (folder / "train_ims.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    what, result = outcome(use, folder)
    fits = shape in FITTING and dtype in ("<f4", ">f4", "<f2", ">f2")
    assert what == ("accepted" if fits else "refused"), result
    if fits:
        got = result[0].regions(range(12))[0].numpy()
        wanted = array[::5] if shape[0] == 60 else array
        assert np.array_equal(got, wanted.astype(np.float32).reshape(got.shape))


ENDINGS, MARKS = st.sampled_from(["\n", "\r\n", "\n\n\n"]), st.sampled_from(["", "\ufeff"])
CODES = st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "shift-jis"])
LINE = st.sampled_from(["a red cat", "", " ", "word " * 10_000, "a,b " * 700, "ein Hündchen"])
LINES = st.lists(st.one_of(st.text(max_size=40), LINE), min_size=58, max_size=62)


@EACH
@given(lines=LINES, ending=ENDINGS, mark=MARKS, code=CODES, last=st.booleans())
def test_every_kind_of_caption_file(tmp_path_factory, lines, ending, mark, code, last):
    """Encodings, byte order mark, line ends, blank and endless lines, counts: the lines as written, or a sentence."""
    folder = tiny.write(tmp_path_factory.mktemp("caps"), images=(12, 1, 1))
    text = mark + ending.join(lines) + (ending if last else "")
    raw = text.encode(code, errors="replace")
    (folder / "train_caps.txt").write_bytes(raw)
    what, result = outcome(use, folder)
    if what == "accepted":
        split, batch = result
        wanted = [line.strip() for line in raw.decode("utf-8-sig").split("\n")]
        while not wanted[-1]:
            wanted.pop()
        assert split.captions == wanted and len(wanted) in (60, 12)
        assert batch.words.size(1) <= 512
    elif code == "utf-8" and ending != "\n\n\n":
        simple = [line.strip() for line in lines]
        assume(not any(set(line) & set("\n\0") for line in lines))
        # refused with a reason that is there: a blank or endless line, or another number of them; or no word at all
        assert "" in simple or len(lines) != 60 or max(map(len, simple)) > LINE_LENGTH or "word" in result


# --- config -----------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.integers(), st.floats(), st.text(max_size=8),
              st.sampled_from([10**400, "1e999", "fusion", "true", "none", -0.0, 1e-320])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)  # fmt: skip


@EACH
@given(name=st.sampled_from(configs.names()), value=VALUES, other=st.sampled_from(configs.names()), second=VALUES)
def test_any_value_in_a_config(name, value, other, second):
    """A config with any values is refused in a sentence, or is whole and says of itself what it is."""
    tree = configs.preset("sample").to_dict()
    for dotted, new in ((name, value), (other, second)):
        section, _, key = dotted.partition(".")
        tree[section][key] = new
    what, config = outcome(configs.from_dict, tree)
    if what == "accepted":
        assert configs.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_mutated_config(tmp_path):
    configs.preset("sample").save(tmp_path / "config.json")
    fuzz(
        tmp_path / "config.json",
        lambda: configs.load(tmp_path / "config.json"),
        lambda c: configs.from_dict(c.to_dict()),
    )


# all settings but those that keep the run small
SETTINGS = set(configs.names()) - {
    "data.folder", "data.workers", "model.bert", "model.embed_dim", "model.word_dim", "training.batch_size",
    "training.device", "training.epochs",
}  # fmt: skip
ODD = (
    "0 1 2 -1 0.5 1e-30 1e6 64 4294967296 true false dev test hinge linear small bert standalone none cosine bfloat16"
).split()


@settings(EACH, max_examples=max(INPUTS // 4, 5))
@given(values=st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.sampled_from(["", *ODD]), min_size=1, max_size=3))
def test_any_setting_on_the_command_line(tmp_path_factory, capfd, values):
    """`hrem train` with odd settings trains, or gives one sentence: exit code 2, or 1 for what is not finite."""
    place = tmp_path_factory.mktemp("train")
    folder, out = tiny.write(place, images=(8, 4, 4)), place / "run"
    small = (
        "--model.embed_dim 8 --model.heads 2 --model.word_dim 4 --training.epochs 2 --training.batch_size 10".split()
    )
    small += "--training.warmup_steps 3 --sampling.neighbor_epoch 0 --training.device cpu".split()
    changes = [f"--{name}={value}" for name, value in values.items()]
    with guarded():
        code = main(["train", "sample", "--data", str(folder), "--out", str(out), *small, *changes])
    message = capfd.readouterr().err
    if code == 0:
        assert (out / "metrics.json").is_file()
    else:
        assert code in (1, 2) and message.startswith("hrem: ") and message.count("\n") == 1
        assert code == 1 or not (out / checkpoints.STATE).exists()


# --- run folders, checkpoints, vocabularies ---------------------------------------------------------------------------


def run_folder(tmp_path, **changes):
    """A run folder as `train` leaves it, without the training."""
    captions = [f"a {word} and a {other}" for word in tiny.WORDS for other in tiny.WORDS]
    config = tiny.config("", **changes)
    text = training.make_tokenizer(config, captions)
    model = build_model(config, 16, text.size)
    out = tmp_path / "run"
    checkpoints.start_run(out, config, text, model)
    write_tensors(out / checkpoints.MODEL, model.state_dict(), {"epoch": 1})
    return out, config, model


def test_mutated_weights(tmp_path):
    """Thanks to the checksum a file is refused or gives the very same numbers."""
    out, _, model = run_folder(tmp_path)

    def same(run):
        assert all(torch.equal(t, model.state_dict()[n]) for n, t in run.model.state_dict().items())

    fuzz(out / checkpoints.MODEL, lambda: checkpoints.load_run(out), same)


def test_mutated_training_state(tmp_path):
    out, config, model = run_folder(tmp_path)
    optimizer = training.make_optimizer(model, config)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    path = out / checkpoints.STATE
    checkpoints.save_training_state(path, model, optimizer, {"history": [{"epoch": 1}]})
    wanted = read_tensors(path)[0]

    def same(_):
        state = optimizer.state_dict()["state"]
        assert all(torch.equal(wanted[f"optimizer.{i}.{n}"], t) for i, s in state.items() for n, t in s.items())
        assert all(torch.equal(wanted[f"model.{n}"], t) for n, t in model.state_dict().items())

    fuzz(path, lambda: checkpoints.load_training_state(path, model, optimizer), same)


def test_strange_training_states(tmp_path):
    """Files that are whole but not ours: names, types and counters that do not belong there."""
    _, config, model = run_folder(tmp_path)
    optimizer, path = training.make_optimizer(model, config), tmp_path / "state.safetensors"
    weights = {f"model.{n}": t for n, t in model.state_dict().items()}
    random_state = {"random.torch": torch.get_rng_state()}
    for tensors, info in (
        (weights, {"history": []}),  # no random state
        (weights | {"random.torch": torch.zeros(3)}, {"history": []}),
        (weights | random_state | {"optimizer.x.step": torch.zeros(1)}, {"history": []}),
        (weights | random_state, {}),
        (weights | random_state, {"history": 3}),
        (random_state, {"history": []}),
    ):
        write_tensors(path, tensors, info)
        assert outcome(checkpoints.load_training_state, path, model, optimizer)[0] == "refused", (
            list(tensors)[-1],
            info,
        )


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
def test_mutated_run_folder(tmp_path, name):
    out, *_ = run_folder(tmp_path)
    fuzz(out / name, lambda: checkpoints.load_run(out))


@pytest.mark.parametrize("name", ["bert_config.json", "vocab.txt", "tokenizer.json"])
def test_mutated_bert_folder(tmp_path, name):
    out, *_ = run_folder(tmp_path, model__text_encoder="bert", model__bert="small")
    read = (
        (lambda: checkpoints.load_run(out))
        if name == "bert_config.json"
        else (lambda: load_text(out).encode(["a red cat"]))
    )
    fuzz(out / name, read)


@pytest.mark.parametrize(
    ("name", "family"),
    [("tokenizer.json", "RoBERTa"), ("tokenizer.json", "XLM-R"), ("tokenizer.json", "MPNet"),
     ("tokenizer_config.json", "CLIP"), ("bert_config.json", "SigLIP"), ("bert_config.json", "DistilBERT")],
)  # fmt: skip
def test_mutated_folder_of_another_text_encoder(tmp_path, name, family):
    checkpoint = families.save(family, tmp_path / "checkpoint")
    out, *_ = run_folder(tmp_path, model__text_encoder="hf", model__text_model=str(checkpoint))
    whole = name == "bert_config.json"
    fuzz(out / name, lambda: checkpoints.load_run(out) if whole else load_text(out).encode(["a red cat"]))


@pytest.mark.parametrize("value", [10**6, 2**62, -1, 0, "many", None])
@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "vocab_size", "model_type"])
def test_impossible_bert_configurations(tmp_path, key, value):
    """They cost neither memory nor time."""
    out, *_ = run_folder(tmp_path, model__text_encoder="bert", model__bert="small")
    content = json.loads((out / "bert_config.json").read_text())
    (out / "bert_config.json").write_text(json.dumps(content | {key: value}))
    assert outcome(checkpoints.load_run, out)[0] == "refused"


@pytest.mark.parametrize(
    "change", [{"embed_dim": 1_000_000, "heads": 1}, {"word_dim": 1_000_000}, {"fragment_layers": 64}]
)
def test_a_config_that_asks_for_a_huge_model_costs_nothing(tmp_path, change):
    out, *_ = run_folder(tmp_path)
    content = json.loads((out / "config.json").read_text())
    content["model"] |= change
    (out / "config.json").write_text(json.dumps(content))
    what, sentence = outcome(checkpoints.load_run, out)
    assert what == "refused" and "weight" in sentence


def test_mutated_glove_file(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} 0.1 -0.2 0.3\n" for word in tiny.WORDS))
    vocabulary = Vocabulary(tiny.WORDS)
    fuzz(
        path,
        lambda: glove_matrix(path, vocabulary, 3, 0),
        lambda got: np.isfinite(got[0]).all() or pytest.fail("not finite"),
    )


# --- released checkpoints and pickles ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    config = tiny.config("", model__text_encoder="bert", model__bert="small")
    small = dict(
        model_type="bert", vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = build_model(config, 16, 40, bert_config=small)
    released.write_released(folder / "x.pth", model, config)
    return folder / "x.pth", small


def test_mutated_released_checkpoint(released_file):
    path, small = released_file
    fuzz(path, lambda: released.load_released(path, small))


OPTIONS = (
    "embed_size nhead dropout topk lr_schedules dataset base_loss batch_size threshold warmup num_epochs epoch Eiters "
    "best_rsum"
).split()


@settings(EACH, max_examples=max(INPUTS // 2, 10))
@given(name=st.sampled_from(OPTIONS), value=VALUES)
def test_strange_options_of_a_released_checkpoint(released_file, name, value):
    path, small = released_file
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    if name in content:
        content[name] = value
    else:
        setattr(content["opt"], name, value)
    other = path.with_name("strange.pth")
    torch.save(content, other)
    outcome(released.load_released, other, small)


class Hostile:
    """Unpickling this makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (open, (self.marker, "w"))


def test_a_hostile_pickle_in_any_place_runs_nothing(tmp_path, folder):
    """As features, boxes, weights, state, text files, a released checkpoint, or the weights of a BERT folder."""
    marker, state = tmp_path / "ran", tmp_path / "state.safetensors"
    run, config, model = run_folder(tmp_path)
    words, *_ = run_folder(tmp_path / "bert", model__text_encoder="bert", model__bert="small")
    (words / "config.json").write_bytes((words / "bert_config.json").read_bytes())
    (words / checkpoints.MODEL).unlink()
    objects, weights = io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([Hostile(marker)] * 12, dtype=object), allow_pickle=True)
    torch.save({"embeddings.word_embeddings.weight": Hostile(marker)}, weights)
    optimizer, plain = training.make_optimizer(model, config), pickle.dumps(Hostile(marker))
    cases = [
        (folder / "train_ims.npy", objects.getvalue(), lambda: use(folder)),
        (folder / "train_boxes.npy", objects.getvalue(), lambda: use(folder)),
        (run / checkpoints.MODEL, plain, lambda: checkpoints.load_run(run)),
        (run / "vocabulary.json", plain, lambda: checkpoints.load_run(run)),
        (run / "config.json", plain, lambda: checkpoints.load_run(run)),
        (state, plain, lambda: checkpoints.load_training_state(state, model, optimizer)),
        (tmp_path / "x.pth", weights.getvalue(), lambda: released.load_released(tmp_path / "x.pth")),
        (words / "pytorch_model.bin", weights.getvalue(), lambda: bert_model(words)),
    ]
    for path, hostile, action in cases:
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(hostile)
        assert outcome(action)[0] == "refused", path
        assert not marker.exists(), path
        if before is not None:
            path.write_bytes(before)
    # the same bytes do run when read the careless way: the test can fail
    for careless in (
        lambda: np.load(io.BytesIO(objects.getvalue()), allow_pickle=True),
        lambda: torch.load(io.BytesIO(weights.getvalue()), weights_only=False),
        lambda: pickle.loads(plain),
    ):
        careless()
        assert marker.exists()
        marker.unlink()


def bert_model(folder):
    """What `hrem train --model.bert FOLDER` does with it."""
    return build_model(tiny.config("", model__text_encoder="bert", model__bert=str(folder)), 16, WordPiece(folder).size)


def test_a_bert_folder_with_code_of_its_own_is_refused_without_a_question(tmp_path, capfd):
    """transformers would ask at the terminal whether to run it."""
    marker, bert = tmp_path / "ran", tmp_path / "bert"
    bert.mkdir()
    (bert / "mine.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (bert / "config.json").write_text(
        json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}})
    )
    from hrem_lib.pretrained import make_bert

    assert outcome(make_bert, str(bert), 40)[0] == "refused"
    assert not marker.exists() and "Do you wish" not in capfd.readouterr().out


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train_ims.npy", "dev_caps.txt", "test_boxes.npy"])
def test_mutated_data_on_the_command_line(folder, tmp_path, capfd, name):
    """Exit code 2, one line, and no run folder; or it trains."""
    path, counts = folder / name, Counter()
    whole = path.read_bytes()
    small = (
        "--model.embed_dim 8 --model.heads 2 --model.word_dim 4 --training.epochs 1 --training.batch_size 30".split()
    )
    small += "--graph.interaction none --sampling.neighbor_epoch 0 --training.device cpu".split()
    for number in range(max(INPUTS // 5, 5)):
        path.write_bytes(mutated(whole, random.Random(number)))
        out = tmp_path / f"run{number}"
        with guarded():
            code = main(["train", "sample", "--data", str(folder), "--out", str(out), *small])
        message = capfd.readouterr().err
        counts[code] += 1
        if code == 0:
            assert (out / "metrics.json").is_file() and message == ""
        elif code == 2:
            assert message.startswith("hrem: ") and message.count("\n") == 1
            assert not out.exists()
        else:  # a flipped bit may make a number that is finite and far too large
            assert code == 1 and "not finite" in message and message.count("\n") == 1
    print(f"hrem train with mutated {name}: {dict(counts)}")
