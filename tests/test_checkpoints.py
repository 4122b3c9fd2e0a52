"""Run folders: whole or not at all, strict, and nothing in them runs code."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hrem_lib import checkpoints
from hrem_lib.errors import UserError
from hrem_lib.files import read_tensors, write_json, write_tensors


def test_tensors_and_info_round_trip(tmp_path):
    tensors = {"a": torch.randn(3, 4, dtype=torch.float64), "b": torch.tensor(7), "c": torch.randn(4, 4).T}
    write_tensors(tmp_path / "x.safetensors", tensors, {"epoch": 3})
    got, info = read_tensors(tmp_path / "x.safetensors")
    assert info == {"epoch": 3} and set(got) == set(tensors)
    assert all(torch.equal(got[n], tensors[n]) and got[n].dtype == tensors[n].dtype for n in tensors)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"old": True})

    def no_space(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", no_space)
    with pytest.raises(UserError, match="No space"):
        write_json(path, {"new": True})
    assert json.loads(path.read_text()) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_damaged_and_missing_files(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="not found"):
        read_tensors(path)
    for content in (b"", b"\x80\x04pickle", b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read_tensors(path)


def test_a_changed_value_is_noticed(tmp_path):
    path, tensors = tmp_path / "x.safetensors", {"a": torch.ones(50), "b": torch.zeros(0, 3, dtype=torch.bfloat16)}
    write_tensors(path, tensors, {"epoch": 3})
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    with pytest.raises(UserError, match="checksum"):
        read_tensors(path)
    path.write_bytes(whole.replace(b"epoch", b"epocH"))
    with pytest.raises(UserError, match="checksum"):
        read_tensors(path)
    save_file(tensors, path, {"info": '{"epoch": 3}'})  # of an earlier version
    assert read_tensors(path)[1] == {"epoch": 3}


def test_better_weights_wait_for_their_epoch(tmp_path):
    for best, kept in ((2, 2), (1, 1), (None, 1)):
        write_tensors(tmp_path / checkpoints.MODEL, {"a": torch.ones(1)}, {"epoch": 1})
        write_tensors(tmp_path / checkpoints.NEXT, {"a": torch.zeros(1)}, {"epoch": 2})
        checkpoints.keep_best(tmp_path, best)
        assert read_tensors(tmp_path / checkpoints.MODEL)[1] == {"epoch": kept}
        assert not (tmp_path / checkpoints.NEXT).exists()


def test_claim(tmp_path):
    """A new folder, or a run's; leftovers of a killed run are cleared away, nothing else is touched."""
    folder = tmp_path / "deep" / "run"
    with checkpoints.claim(folder):
        (folder / "config.json.part").write_text("{")
    with checkpoints.claim(folder):  # killed before its config was written
        assert [path.name for path in folder.iterdir()] == [checkpoints.LOCK]
    (folder / "notes.txt").write_text("mine")
    for resume, words in ((False, "is not empty"), (True, "got no config.json")):
        with pytest.raises(UserError, match=words), checkpoints.claim(folder, resume):
            pass
    (folder / "config.json").write_text("{}")
    with checkpoints.claim(folder, resume=True):
        assert (folder / "notes.txt").read_text() == "mine"


def test_weights_load_strictly_with_the_key_named():
    model = nn.Linear(3, 2)
    good = {name: t.clone() for name, t in model.state_dict().items()}
    checkpoints.load_weights(model, good, "file")
    for change, words in (
        ({"weight": None}, r"weight weight: got nothing, wanted \(2, 3\)"),
        ({"extra": torch.zeros(1)}, r"weight extra: got \(1,\), wanted nothing"),
        ({"bias": torch.zeros(5)}, r"weight bias: got \(5,\), wanted \(2,\)"),
    ):
        bad = {name: t for name, t in (good | change).items() if t is not None}
        with pytest.raises(UserError, match=words):
            checkpoints.load_weights(model, bad, "file")


def test_training_state_restores_weights_optimizer_and_random_numbers(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()

    step()
    checkpoints.save_training_state(tmp_path / "s.safetensors", model, optimizer, {"history": [1]})
    step()
    wanted, number = {n: t.clone() for n, t in model.state_dict().items()}, torch.rand(3)
    step()
    info = checkpoints.load_training_state(tmp_path / "s.safetensors", model, optimizer)
    step()
    assert info == {"history": [1]}
    assert all(torch.equal(wanted[n], t) for n, t in model.state_dict().items())
    assert torch.equal(torch.rand(3), number)


def test_trap_18_text_weights_load_strictly(tmp_path):
    """The released code loads text weights non-strictly: missing ones stay random in silence."""
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertModel

    from hrem_lib.pretrained import make_bert

    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path)
    assert make_bert(str(tmp_path), 20).config.hidden_size == 8
    with pytest.raises(UserError, match=r"20 word vectors, the tokenizer 21"):
        make_bert(str(tmp_path), 21)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, the first is encoder\.layer\.0\.output\.dense\.weight"):
        make_bert(str(tmp_path), 20)
    with pytest.raises(UserError, match="nowhere"):
        make_bert(str(tmp_path / "nowhere"), 20)
