"""The authors' checkpoint format: read without running anything, mapped name by name, written back."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch
from composition import CHECKPOINTS, FIXTURES, bert_config_of

from hrem_lib.checkpoints import load_run
from hrem_lib.config import preset
from hrem_lib.errors import UserError
from hrem_lib.model import build_model
from hrem_lib.released import (
    config_from_options,
    from_hrem,
    import_run,
    load_released,
    options_from_config,
    our_name,
    read_released,
    released_name,
    to_hrem,
    write_released,
)

BERT = dict(model_type="bert", vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=32)  # fmt: skip


def tiny_config(**changes):
    return preset("f30k").override({"model.embed_dim": 16, "model.heads": 4, "graph.top_matches": 3, **changes})


def tiny_model(config, bert_config=BERT):
    torch.manual_seed(0)
    model = build_model(config, 12, 40, bert_config=bert_config)
    for value in model.state_dict().values():  # running statistics too
        if value.is_floating_point():
            value.add_(torch.rand_like(value))
    return model


@pytest.fixture
def written(tmp_path):
    config = tiny_config()
    model = tiny_model(config)
    write_released(tmp_path / "ours.pth", model, config, epoch=3, best_rsum=321.5, iterations=99)
    return tmp_path / "ours.pth", model, config


def changed(path: Path, change) -> Path:
    """A copy of a checkpoint with its content changed by `change(content)`."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    out = path.with_name("changed.pth")
    replaced = change(content)
    torch.save(content if replaced is None else replaced, out)
    return out


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize("path", CHECKPOINTS, ids=[p.stem for p in CHECKPOINTS])
def test_reads_the_authors_files(path):
    found = read_released(path)
    info = json.loads((FIXTURES / "e2e" / "expected.json").read_text())
    assert (found.epoch, found.best_rsum, found.iterations) == (7, 123.4, 1234)
    assert found.options == info["options"]
    assert not [name for state in found.model_states for name in state if name.startswith("module.")]


@pytest.mark.parametrize("path", CHECKPOINTS, ids=[p.stem for p in CHECKPOINTS])
def test_every_name_of_the_authors_files_is_accounted_for(path):
    model, config, report = load_released(path, bert_config_of())
    named = read_released(path).named()
    assert report.complete
    assert report.mapped.keys() | report.ignored.keys() == named.keys()
    unused = {name: name.rpartition(".")[0] for name in report.ignored}
    assert sorted(set(unused.values()) - {"txt_enc.bert.embeddings"}) == [
        "img_enc.fc.mlp.bns.1",
        "txt_enc.bert.pooler.dense",
    ]
    assert [n for n, place in unused.items() if place == "txt_enc.bert.embeddings"] == [
        n for n in named if n.endswith("position_ids")
    ]
    assert all(report.ignored.values())
    ours = model.state_dict()
    for name, mine in report.mapped.items():
        assert torch.equal(ours[mine], named[name]), name
    assert {n for n in ours if not n.startswith("relation.")} == set(report.mapped.values())
    assert not model.training
    assert config.graph.top_matches == 4


def test_names_map_both_ways():
    model = tiny_model(tiny_config(**{"graph.layers": 2}))
    theirs = {name: released_name(name) for name in model.state_dict()}
    assert None not in theirs.values()
    assert len(set(theirs.values())) == len(theirs)
    assert {name: our_name(their) for name, their in theirs.items()} == {name: name for name in theirs}
    back = to_hrem(from_hrem(model.state_dict()))
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())
    assert our_name("img_enc.fc.mlp.bns.1.weight") is None
    assert released_name("text_encoder.words.gru.weight_ih_l0") is None


def test_config_from_options():
    theirs = options_from_config(tiny_config(), 12) | {
        "dataset": "coco", "mask_weight": 1.5, "threshold": 0.25, "residual_weight": 0.7, "num_layers_enc": 2,
        "base_loss": "vse", "gnn_loss": "trip", "cross_loss": 0, "norm_input": 0, "mask_repeat": 0,
        "max_violation": True, "warmup": 123, "lr_schedules": [4, 6], "size_augment": 0, "embed_size": 32, "nhead": 8,
        "graph_lr_factor": 0.1,
    }  # fmt: skip
    got = config_from_options(theirs)
    assert (got.loss.cutoff, got.data.test_split, got.graph.relevance_weight) == (1.9, "testall", 1.5)
    assert (got.graph.neighbor_share, got.model.pool_mix, got.graph.layers) == (0.25, 0.7, 2)
    assert (got.loss.initial, got.loss.enhanced, got.loss.terms) == ("hinge", "triplet", ("initial", "enhanced"))
    assert (got.graph.normalize_input, got.loss.exclude_same_image, got.loss.margin) == (False, False, 0.2)
    assert (got.loss.hinge_sum_epochs, got.training.warmup_steps, got.training.decay_epochs) == (1, 123, (4, 6))
    assert (got.data.region_drop, got.data.word_drop) == (0, 0)
    assert (got.model.embed_dim, got.model.heads, got.training.relation_rate_factor) == (32, 8, 0.1)
    assert config_from_options(theirs | {"dataset": "f30k"}).loss.cutoff == 1.7


@pytest.mark.parametrize("sums", [0, 1, 3])
def test_max_violation_is_set_by_the_released_code_itself(sums):
    """From the epoch on at which it changes over, it stands in every file saved."""
    options = options_from_config(tiny_config(**{"loss.hinge_sum_epochs": sums}), 12)
    for saved in (False, True):
        assert config_from_options(options | {"max_violation": saved}).loss.hinge_sum_epochs == sums


def test_trap_04_margin_is_not_that_of_trip():
    """The released triplet loss ignores the option."""
    options = options_from_config(tiny_config(), 12) | {"margin": 0.3}
    losses = {"trip": "triplet", "vse": "hinge"}
    for loss, margin in (("trip", 0.2), ("vse", 0.3)):
        got = config_from_options(options | {"base_loss": loss, "gnn_loss": loss}).loss
        assert (got.initial, got.enhanced, got.margin) == (losses[loss], losses[loss], margin)
    mixed = {"base_loss": "vse", "gnn_loss": "trip"}
    assert config_from_options(options | mixed | {"margin": 0.2}).loss.margin == 0.2
    with pytest.raises(UserError) as error:
        config_from_options(options | mixed)
    assert "margin 0.3" in one_sentence(error)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "graph.relevance_weight": 0.5,
            "loss.terms": ["initial", "enhanced"],
            "loss.initial": "hinge",
            "training.relation_rate_factor": 0.5,
        },
        {"loss.initial": "hinge", "loss.enhanced": "hinge", "loss.margin": 0.3, "loss.hinge_sum_epochs": 2},
    ],
)
def test_options_and_config_are_inverse(changes):
    config = tiny_config(**changes)
    assert config_from_options(options_from_config(config, 12)) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [({"base_loss": "other"}, "other"), ({"threshold": 3.0}, "neighbor_share"), ({"nhead": 7}, "heads")],
)
def test_bad_options_are_named(change, named):
    with pytest.raises(UserError) as error:
        config_from_options(options_from_config(tiny_config(), 12) | change)
    assert named in one_sentence(error)


def test_missing_option_is_named():
    options = options_from_config(tiny_config(), 12)
    del options["topk"]
    with pytest.raises(UserError, match="topk"):
        config_from_options(options)


def test_writes_and_reads_back(written):
    path, model, config = written
    back, back_config, report = load_released(path, BERT)
    assert report.complete
    ours = model.state_dict()
    for name, value in back.state_dict().items():
        if not name.startswith("relation."):
            assert torch.equal(value, ours[name]), name
    assert back_config == config
    found = read_released(path)
    assert (found.epoch, found.best_rsum, found.iterations) == (3, 321.5, 99)
    assert found.options["img_dim"] == 12


@pytest.mark.skipif(not CHECKPOINTS, reason="e2e: no checkpoints among the fixtures")
def test_written_file_has_the_authors_names(written):
    """Same names in both state dictionaries (for one BERT layer), the unused BatchNorm among them."""
    path, *_ = written
    ours, theirs = read_released(path).model_states, read_released(CHECKPOINTS[0]).model_states
    assert ours[0].keys() == theirs[0].keys()
    assert ours[1].keys() == {n for n in theirs[1] if ".layer.1." not in n and ".pooler." not in n}
    with torch.serialization.safe_globals([argparse.Namespace]):
        contents = [torch.load(p, weights_only=True) for p in (path, CHECKPOINTS[0])]
    assert contents[0].keys() == contents[1].keys()
    assert vars(contents[0]["opt"]).keys() == vars(contents[1]["opt"]).keys()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model.text_encoder": "bigru"}, "bigru"),
        ({"model.projection": "linear"}, "projection"),
        ({"model.pool_k": 1}, "pool_k"),
        ({"loss.margin": 0.3}, "margin"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path, changes, named):
    config = tiny_config(**changes)
    with pytest.raises(UserError) as error:
        write_released(tmp_path / "x.pth", build_model(config, 12, 40, bert_config=BERT), config)
    assert named in one_sentence(error)
    assert not (tmp_path / "x.pth").exists()


def drop(name):
    return lambda content: None if content["model"][0].pop(name) is not None else content


def add(content):
    content["model"][1]["odd.weight"] = torch.zeros(1)


def reshape(content):
    content["model"][0]["fc.fc.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop("fc.fc.bias"), "image_encoder.projection.fc.bias"),
        (drop("fc.fc.weight"), "img_enc.fc.fc.weight"),
        (add, "txt_enc.odd.weight"),
        (reshape, "(3,)"),
    ],
    ids=["missing", "no-features", "unknown", "misshapen"],
)
def test_weights_that_do_not_fit_are_named(written, change, named):
    with pytest.raises(UserError) as error:
        load_released(changed(written[0], change), BERT)
    assert named in one_sentence(error)


def put(key, value):
    return lambda content: content | {key: value}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: [content],
        lambda content: {"weights": content["model"]},
        put("model", [{}]),
        put("model", [{}, {"a": 1}]),
        put("model", None),
        put("opt", {"topk": 1}),
        put("epoch", "seven"),
    ],
    ids=["list", "other-keys", "one-state", "no-tensor", "no-model", "dict-opt", "text-epoch"],
)
def test_other_content_is_refused(written, change):
    path = changed(written[0], change)
    with pytest.raises(UserError) as error:
        read_released(path)
    assert one_sentence(error).startswith(str(path))


class Hostile:
    """Unpickling this makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (open, (self.marker, "w"))


class Harmless:
    """Not a threat, but not on the list either."""


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["torch.save", "pickle", "in-options", "legacy"])
def test_hostile_pickle_runs_nothing(tmp_path, how):
    marker, path = tmp_path / "ran", tmp_path / "hostile.pth"
    bad = Hostile(marker)
    if how == "torch.save":
        torch.save({"model": [{}, {}], "opt": bad}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(bad))
    elif how == "in-options":
        torch.save({"model": [{}, {}], "opt": argparse.Namespace(topk=bad)}, path)
    else:
        torch.save({"model": bad}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError) as error:
        read_released(path)
    assert str(path) in one_sentence(error)
    assert not marker.exists()
    # the same file does run when read the careless way: the test can fail
    try:
        torch.load(path, weights_only=False)
    except Exception:
        pickle.loads(path.read_bytes())
    assert marker.exists()


def test_other_classes_are_refused_and_named(tmp_path):
    torch.save({"model": [{}, {}], "opt": Harmless()}, tmp_path / "x.pth")
    with pytest.raises(UserError, match="Harmless"):
        read_released(tmp_path / "x.pth")
    # what was allowed for one reading is not left allowed
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_files_that_are_no_checkpoint(tmp_path, written):
    whole = written[0].read_bytes()
    for name, content in (("text", b"hello\nworld"), ("empty", b""), ("cut", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            read_released(tmp_path / name)
        assert name in one_sentence(error)
    with pytest.raises(UserError, match="not found"):
        read_released(tmp_path / "nowhere.pth")


# --------------------------------------------------------------------------------------------------- hrem import


@pytest.fixture
def bert_folder(tmp_path):
    """Vocabulary and configuration of the tiny BERT, as a checkpoint's folder has them."""
    folder = tmp_path / "bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(35))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "config.json").write_text(json.dumps(BERT))
    return folder


@pytest.fixture
def lone_file(tmp_path):
    """A released file with nothing beside it."""
    config = tiny_config()
    (tmp_path / "alone").mkdir()
    path = tmp_path / "alone" / "model.pth"
    write_released(path, tiny_model(config), config)
    return path


def test_import_takes_the_text_side_from_a_folder(lone_file, bert_folder, tmp_path):
    config, report = import_run(lone_file, tmp_path / "run", bert_folder)
    run = load_run(tmp_path / "run")
    assert run.config == config and run.text.size == 40 and report.complete
    wanted, got = tiny_model(tiny_config()).state_dict(), run.model.state_dict()
    assert report.mapped and all(torch.equal(got[ours], wanted[ours]) for ours in report.mapped.values())


@pytest.mark.parametrize("fault", ["no folder", "no configuration", "not JSON", "no size", "other size", "full"])
def test_faulty_imports_write_nothing(lone_file, bert_folder, tmp_path, fault):
    out, words = tmp_path / "run", {"no folder": "not a folder", "no configuration": "neither bert_config.json",
                                    "not JSON": "readable as JSON", "no size": "no vocab_size",
                                    "other size": "got 40 word pieces, wanted 41", "full": "not empty"}  # fmt: skip
    text, file = bert_folder, bert_folder / "config.json"
    if fault == "no folder":
        text = tmp_path / "nowhere"
    elif fault == "no configuration":
        file.unlink()
    elif fault == "full":
        out.mkdir()
        (out / "mine.txt").write_text("keep")
    else:
        file.write_text({"not JSON": "{", "no size": "{}", "other size": json.dumps(BERT | {"vocab_size": 41})}[fault])
    with pytest.raises(UserError, match=words[fault]):
        import_run(lone_file, out, text)
    assert [p.name for p in out.glob("*")] == (["mine.txt"] if fault == "full" else [])


def test_import_without_a_text_folder_asks_for_bert_base(lone_file, tmp_path):
    """Offline it is not to be had, and the message says what was looked for."""
    with pytest.raises(UserError, match="bert-base-uncased"):
        import_run(lone_file, tmp_path / "run")
