"""Settings: presets hold the paper's numbers, faults are refused in one sentence."""

import dataclasses
import json
from pathlib import Path

import pytest

from hrem_lib import cli
from hrem_lib import config as configs
from hrem_lib.config import Config, UserError


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
