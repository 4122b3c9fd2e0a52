"""Settings: presets hold the paper's numbers, faults are refused in one sentence."""

import dataclasses
import json
from pathlib import Path

import pytest

from hrem_lib import cli
from hrem_lib import config as configs
from hrem_lib.config import Config
from hrem_lib.errors import UserError
from hrem_lib.training import follow


def test_paper_settings():
    f30k, coco = configs.preset("f30k"), configs.preset("coco")
    assert (f30k.model.embed_dim, f30k.model.heads, f30k.model.pool_mix, f30k.model.pool_k) == (1024, 16, 0.8, 2)
    assert (f30k.graph.neighbor_share, f30k.graph.top_matches, f30k.graph.layers, f30k.graph.sigma) == (0.5, 10, 1, 1.0)
    assert (f30k.loss.margin, f30k.loss.regularizer_weight, f30k.loss.sampling_dim) == (0.2, 10, 512)
    t = f30k.training
    assert (t.learning_rate, t.bert_rate_factor, t.weight_decay, t.grad_clip) == (5e-4, 0.1, 1e-4, 2.0)
    assert (t.epochs, t.decay_epochs, t.decay_rate, t.warmup_steps) == (30, (15, 25), 0.1, 8000)
    assert (t.batch_size, f30k.graph.relevance_weight, f30k.loss.cutoff) == (128, 1.0, 1.7)
    assert (coco.training.batch_size, coco.graph.relevance_weight, coco.loss.cutoff) == (256, 1.5, 1.9)
    assert (coco.data.test_split, coco.data.folds) == ("testall", 5)
    assert (f30k.data.region_drop, f30k.data.word_drop) == (0.2, 0.2)


@pytest.mark.parametrize("name", configs.PRESETS)
def test_json_round_trip(name, tmp_path):
    config = configs.preset(name)
    config.save(tmp_path / "config.json")
    assert configs.load(tmp_path / "config.json") == config


def test_override_reads_text_as_the_fields_type():
    changed = configs.preset("sample").override(
        {
            "training.epochs": "3",
            "training.decay_epochs": "1,2",
            "graph.use_relevance": "false",
            "graph.interaction": "standalone",
            "training.learning_rate": "1e-3",
            "sampling.neighbor_epoch": "0",
        }
    )
    assert changed.training.epochs == 3 and changed.training.decay_epochs == (1, 2)
    assert changed.graph.use_relevance is False and changed.graph.interaction == "standalone"
    assert changed.training.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("training.epoch", "3", ["training.epoch", "nearest", "training.epochs"]),
        ("model.interaction", "fusion", ["nearest", "graph.interaction"]),
        ("epochs", "3", ["section", "training.epochs"]),
        ("trainin.epochs", "3", ["trainin", "training"]),
        ("training.epochs", "many", ["training.epochs", "'many'", "int"]),
        ("training.epochs", "2.5", ["'2.5'", "int"]),
        ("training.learning_rate", "nan", ["training.learning_rate", "float"]),
        ("training.epochs", True, ["True", "int"]),
        ("graph.use_relevance", "perhaps", ["perhaps", "bool"]),
        ("graph.interaction", "fuson", ["'fuson'", "fusion", "standalone"]),
        ("graph.neighbor_share", "1.5", ["1.5", "up to 1"]),
        ("graph.neighbor_share", "0", ["above 0"]),
        ("model.heads", "7", ["7", "divisor", "128"]),
        ("loss.cutoff", "0.3", ["loss.cutoff", "0.3"]),
        ("loss.terms", "", ["at least one"]),
        ("sampling.clusters_per_batch", "5", ["5 x 8 = 40", "128"]),
        ("sampling.neighbor_epoch", "99", ["99", "at most"]),
        ("model.text_encoder", "hf", ["model.text_model", "''", "wanted a folder"]),
        ("model.text_model", "roberta-base", ["roberta-base", "bigru", "model.text_encoder = hf"]),
        ("model.freeze_layers", "1", ["model.freeze_layers", "BiGRU"]),
        ("model.freeze_layers", "-2", ["-2", "from -1"]),
        ("preset.x", "3", ["preset"]),
    ],
)
def test_faults_name_got_and_wanted(name, value, words):
    with pytest.raises(UserError) as caught:
        configs.preset("sample").override({name: value})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_preset():
    with pytest.raises(UserError, match="f30k"):
        configs.preset("flickr")


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', '{"modell": {}}', '{"model": {"x": 1}}', "\xff"])
def test_bad_config_files(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError) as caught:
        configs.load(path)
    assert "config.json" in str(caught.value)


def test_every_field_is_explained_and_checked_json():
    source = Path(configs.__file__).read_text(encoding="utf-8")
    for name in configs.names():
        assert f"    {name.split('.')[1]}: " in source
    assert json.loads(json.dumps(configs.preset("coco").to_dict()))["data"]["folds"] == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().preset = "other"


def test_glove_with_bert_is_refused(tmp_path, capsys):
    """GloVe has vectors of whole words, for the BiGRU; BERT has its own of pieces."""
    out = tmp_path / "run"
    command = ["train", "sample", "--model.text_encoder", "bert", "--model.bert", "small", "--out", str(out)]
    assert cli.main([*command, "--model.glove", str(tmp_path / "glove.txt")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: model.glove: got ") and "model.text_encoder = bigru" in message
    assert message.count("\n") == 1 and not out.exists()
    assert configs.preset("sample").override({"model.glove": "x"}).model.glove == "x"


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        (
            {"training.epochs": "1"},
            {"training.decay_epochs": (), "sampling.neighbor_epoch": 0, "training.warmup_steps": 16},
        ),
        (
            {"training.epochs": "6"},
            {"training.decay_epochs": (4, 5), "sampling.neighbor_epoch": 5, "training.warmup_steps": 100},
        ),
        (
            {"training.epochs": 3},
            {"training.decay_epochs": (2,), "sampling.neighbor_epoch": 3, "training.warmup_steps": 50},
        ),
        ({"training.batch_size": "100"}, {"sampling.clusters_per_batch": 10, "sampling.images_per_cluster": 10}),
        ({"training.batch_size": 64}, {"sampling.clusters_per_batch": 8}),
        ({"training.batch_size": 256}, {"training.warmup_steps": 100, "sampling.clusters_per_batch": 32}),
        ({"training.batch_size": 101}, {"sampling.neighbor_epoch": 0}),  # a prime
        ({"training.batch_size": 100, "sampling.neighbor_epoch": 0}, {}),
        ({"sampling.clusters_per_batch": "32"}, {"sampling.images_per_cluster": 4}),
        ({"sampling.images_per_cluster": 16}, {"sampling.clusters_per_batch": 8}),
        (
            {"training.epochs": 1, "graph.interaction": "none", "training.decay_epochs": "5"},
            {"sampling.neighbor_epoch": 0},
        ),
        ({"training.epochs": 30, "training.seed": 4}, {}),  # longer: as before
        ({"training.epochs": 12, "training.batch_size": 128}, {}),
    ],
    ids=str,
)
def test_settings_that_are_not_given_follow(given, followed):
    start = configs.preset("sample")
    config, lines = follow(start, given)
    changed = configs.differences(config, start, leave_out=())
    assert set(changed) == {*followed, *given} - {n for n in given if config.value(n) == start.value(n)}
    assert {name: config.value(name) for name in followed} == followed
    assert config == start.override({**given, **followed})
    assert len(lines) == len(followed)
    for name in followed:
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        cause = line.partition(", since ")[2].split(" is ")[0]
        assert cause in given and " -> " in line


def test_lines_of_settings_that_follow():
    _, lines = follow(configs.preset("sample"), {"training.epochs": 1})
    assert "sampling.neighbor_epoch 9 -> 0, since training.epochs is 1" in lines
    assert "training.decay_epochs 8,10 -> none, since training.epochs is 1" in lines
    _, (line,) = follow(configs.preset("sample"), {"training.batch_size": 101})
    assert line.endswith("since training.batch_size is 101, which has no divisor from 4 to 16")


@pytest.mark.parametrize("name", configs.PRESETS)
def test_every_preset_can_be_shorter_and_in_other_batches(name):
    start = configs.preset(name)
    for epochs in (1, 2, 5):
        for batch in (2, 16, 100, 500):
            config, _ = follow(start, {"training.epochs": epochs, "training.batch_size": batch})
            assert all(after < epochs for after in config.training.decay_epochs)
            # as late in the run as in the preset
            share = start.training.warmup_steps / (start.training.epochs / start.training.batch_size)
            assert config.training.warmup_steps <= share * epochs / batch


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"training.epochs": 1, "sampling.neighbor_epoch": 9}, "sampling.neighbor_epoch: got 9, wanted at most"),
        ({"training.batch_size": 100, "sampling.clusters_per_batch": 16}, "16 x 8 = 128, wanted training.batch_size"),
        ({"sampling.clusters_per_batch": 5}, "5 x 8 = 40, wanted training.batch_size = 128"),
        ({"sampling.clusters_per_batch": 16, "sampling.images_per_cluster": 4}, "16 x 4 = 64, wanted"),
        ({"training.epochs": "many"}, "training.epochs: got 'many'"),
        ({"sampling.neighbor_epoch": "late"}, "sampling.neighbor_epoch: got 'late', wanted int"),
        ({"training.epoch": 1}, "nearest valid name is training.epochs"),
    ],
    ids=str,
)
def test_what_is_given_is_never_changed(given, words):
    with pytest.raises(UserError, match=words):
        follow(configs.preset("sample"), given)


def test_defaults_of_the_method_are_those_of_the_settings():
    """A loss or a graph called by hand in a notebook is the one that `hrem train` makes."""
    import inspect

    from hrem_lib import attention, graph, interaction, losses

    d = configs.Config()
    loss = {"dim": d.loss.sampling_dim, **{name: getattr(d.loss, name) for name in vars(d.loss)}}
    names = {"top_k": d.graph.top_matches, "share": d.graph.neighbor_share, "matching": d.graph.matching}
    relation = {**names, "sigma": d.graph.sigma, "layers": d.graph.layers, "dropout": d.model.dropout}
    made = [losses.distance_weights, losses.triplet, losses.hinge, losses.infonce, losses.Objective]
    made = [(thing, loss) for thing in made] + [
        (thing, relation)
        for thing in (graph.AssociationGraph, interaction.Fusion, interaction.Standalone, attention.EncoderLayer)
    ]
    compared = 0
    for thing, wanted in made:
        for name, parameter in inspect.signature(thing).parameters.items():
            if parameter.default is not inspect.Parameter.empty and name in wanted:
                assert parameter.default == wanted[name], (thing.__name__, name)
                compared += 1
    assert compared >= 25
