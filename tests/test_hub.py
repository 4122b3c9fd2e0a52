"""Runs on the hub: the hub's own client speaks to a hub on this machine, or finds what it loaded before."""

import json
import re
import shutil
from pathlib import Path

import fake_hub
import numpy as np
import pytest
import tiny
from huggingface_hub import ModelCard, constants

import hrem_lib as hrem
from hrem_lib import checkpoints, config, data, hub, training
from hrem_lib.cli import main
from hrem_lib.errors import UserError
from hrem_lib.files import read_json, read_tensors, write_json

NAME = "org/hrem-tiny"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each text side, with paths of this machine in its config and its tokenizer's."""
    root = tmp_path_factory.mktemp("secret-place")
    folder = tiny.write(root)
    short = {"training__epochs": 1, "training__warmup_steps": 2}
    training.train(tiny.config(folder, **short), root / "bigru")
    training.train(tiny.config(folder, model__text_encoder="bert", model__bert="small", **short), root / "bert")
    for side in ("bigru", "bert"):
        stored = read_json(root / side / "config.json")
        stored["model"] |= {"glove": f"{root}/glove.txt"} if side == "bigru" else {"bert": f"{root}/my-bert"}
        stored["training"]["start_from"] = str(root / "first")
        write_json(root / side / "config.json", stored)
    told = read_json(root / "bert" / "tokenizer_config.json")
    write_json(root / "bert" / "tokenizer_config.json", told | {"name_or_path": f"{root}/my-bert"})
    return {side: root / side for side in ("bigru", "bert")}


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A hub in reach, an empty cache, a login."""
    with fake_hub.running() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", server.token)
        monkeypatch.chdir(tmp_path)
        yield server


def snapshot(folder):
    """Names, times and content of a folder."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files]


def put(server, run):
    """A run's files on the hub as they are, paths of this machine included."""
    server.repos[NAME] = {path.name: path.read_bytes() for path in Path(run).glob("[!t]*") if path.is_file()}
    server.repos[NAME] |= {path.name: path.read_bytes() for path in Path(run).glob("tok*")}


@pytest.mark.parametrize("side", ["bigru", "bert"])
def test_there_and_back(runs, there, side):
    before = snapshot(runs[side])
    mine = hrem.load(runs[side], device="cpu")
    pushed = mine.push(NAME, license="mit")
    assert snapshot(runs[side]) == before
    text = {
        "bigru": {"vocabulary.json"},
        "bert": {"bert_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"},
    }
    wanted = {"README.md", "config.json", "metrics.json", "model.safetensors", *text[side]}
    made = {".gitattributes", "pytorch_model.bin"}  # by the hub
    assert {*pushed.files} == wanted and {*there.repos[NAME]} == wanted | made and NAME not in there.private
    assert pushed.files == {name: len(content) for name, content in there.repos[NAME].items() if name in wanted}
    there.repos[NAME]["training_state.safetensors"] = b"of someone else"
    loaded = hrem.load(NAME, device="cpu")
    sentences = ["a red cat", "a boat and a tree"]
    np.testing.assert_array_equal(loaded.embed_texts(sentences), mine.embed_texts(sentences))
    rows = data.open_split(runs[side].parent / "tiny_precomp", "test").features
    np.testing.assert_array_equal(loaded.embed_images(rows), mine.embed_images(rows))
    assert {path.name for path in loaded.folder.iterdir()} == wanted - {"README.md"}
    assert loaded.push(NAME, license="mit").files == pushed.files  # as it came down


def test_what_goes_up_has_no_path_of_this_machine(runs, there):
    for side, run in runs.items():
        hrem.load(run, device="cpu").push(NAME)
        for name, content in there.repos[NAME].items():
            for place in (str(run.parent), run.parent.name, str(Path.home()), str(Path.cwd())):
                assert place.encode() not in content, (side, name, place)
        stored = config.from_dict(json.loads(there.repos[NAME]["config.json"]))
        assert stored.data.folder == "tiny_precomp" and stored.training.start_from == "first"
        assert (stored.model.glove, stored.model.bert)[side == "bert"] == {"bigru": "glove.txt", "bert": "my-bert"}[
            side
        ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", ""),
        (".", "unnamed"),
        ("/", "unnamed"),
        ("../..", "unnamed"),
        ("/home/me/f30k_precomp/", "f30k_precomp"),
        ("C:\\Users\\me\\f30k_precomp", "f30k_precomp"),
        ("bert-base-uncased", "bert-base-uncased"),
    ],
)
def test_last_names(path, name):
    """Never "" for a folder: that is the sample data."""
    assert checkpoints.last_name(path) == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("bert-base-uncased", "bert-base-uncased"),
        ("google/bert_uncased", "google/bert_uncased"),
        ("some_package:models/bert", "some_package:models/bert"),
        ("models/bert", "bert"),  # a folder that is here
        ("../bert", "bert"),
        ("~/bert", "bert"),
        ("/home/me/bert", "bert"),
        ("C:\\me\\bert", "bert"),
        ("C:/me/bert", "bert"),
        ("home/me/bert", "bert"),
    ],
)
def test_public_names(source, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "bert").mkdir(parents=True)
    assert checkpoints.public_name(source) == name
    other = config.preset("f30k").override({"model.text_encoder": "hf", "model.text_model": source})
    assert checkpoints.without_paths(other).model.text_model == name


def test_the_text_side_of_an_older_run_goes(runs, there):
    """Both in one folder: the vocabulary would be read for BERT's ids."""
    for side in ("bigru", "bert"):
        hrem.load(runs[side], device="cpu").push(NAME)
    assert "vocabulary.json" not in there.repos[NAME]
    assert hrem.load(NAME, device="cpu").tokenizer.kind == "wordpiece"


def numbers(metrics, split):
    """Cells of the card's table: recalls with their intervals."""
    for direction in ("i2t", "t2i"):
        for k in ("R@1", "R@5", "R@10"):
            low, high = metrics[split]["intervals"][direction][k]
            yield f"{metrics[split][direction][k]:.1f} ({low:.1f} to {high:.1f})"


def test_the_card_says_what_the_metrics_say():
    run = data.sample_run()
    metrics = read_json(run / "metrics.json")
    text = hub.push(run, NAME, hub.About("cc-by-4.0", "org/drawn", network="sample"), dry_run=True).card
    card = ModelCard(text)
    told = card.data.to_dict()
    assert (told["license"], told["library_name"], told["pipeline_tag"]) == ("cc-by-4.0", "hrem", "feature-extraction")
    assert told["datasets"] == ["org/drawn"] and "image-text-retrieval" in told["tags"] and told["language"] == "en"
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    wanted = {f"R@{k} {d}": metrics["test"][d][f"R@{k}"] for d in ("i2t", "t2i") for k in (1, 5, 10)}
    assert {name: value for name, value in found.items() if "@" in name} == wanted
    assert [value for name, value in found.items() if "rSum" in name] == [metrics["test"]["rSum"]]
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    cells = re.findall(r"[\d.]+ \([\d.]+ to [\d.]+\)", card.text)
    recalls = [cell for split in ("dev", "test") for cell in numbers(metrics, split)]
    assert [cell for cell in cells if float(cell.split()[0]) <= 100] == recalls
    sums = [f"{metrics[s]['rSum']:.1f} ({metrics[s]['intervals']['rSum'][0]:.1f}" for s in ("dev", "test")]
    assert [cell.rsplit(" to", 1)[0] for cell in cells if float(cell.split()[0]) > 100] == sums
    for said in (f"Epoch {metrics['epoch']} of 12 was selected on dev.", "95 % intervals from 1000 samples", "seed 0",
                 *(f"{package} {number}" for package, number in metrics["versions"].items())):  # fmt: skip
        assert said in card.text
    first, second = re.search(r"```python\n(.*)\n(.*)\n```", card.text).groups()
    assert (first, second) == ("import hrem_lib as hrem", f'run = hrem.load("{NAME}")')


def test_the_card_follows_its_run(runs, tmp_path):
    """No number is typed by hand: other figures, another seed, selection on test, folds, no intervals."""
    run = shutil.copytree(runs["bigru"], tmp_path / "run")
    metrics = read_json(run / "metrics.json")
    folds = {**metrics["test"], "folds": 5, "images": 2}
    metrics["test"] |= {"rSum": 432.1, "folds": folds}
    metrics["test"]["i2t"] = metrics["test"]["i2t"] | {"R@1": 12.345}
    del metrics["test"]["intervals"]
    write_json(run / "metrics.json", metrics | {"seed": 7, "selected_on": "test"})
    text = hub.push(run, NAME, hub.About(network="org/eyes", regions=49), dry_run=True).card
    for said in ("value: 12.35", "| test | i2t | 12.3 |", "| test | rSum | 432.1 |", "mean of 5 folds", "| seed | 7 |",
                 "was selected on test, which flatters", 'network="org/eyes", regions=49)', "`training.epochs=1`",
                 "16 numbers a region", "not stated: ask the owner"):  # fmt: skip
        assert said in text, said
    assert "intervals from" not in text and "\nlicense:" not in text and "\ndatasets:" not in text


def test_an_unfinished_run_stays_here(runs, there, tmp_path):
    run = shutil.copytree(runs["bigru"], tmp_path / "run")
    metrics = read_json(run / "metrics.json")
    write_json(run / "metrics.json", metrics | {"epoch": 2})
    with pytest.raises(UserError, match="weights of epoch 1 and figures of epoch 2"):
        hrem.load(run, device="cpu").push(NAME)
    write_json(run / "metrics.json", {"seed": 0})
    with pytest.raises(UserError, match="not the figures of a run"):
        hrem.load(run, device="cpu").push(NAME)
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"got no metrics.json, wanted a finished run"):
        hrem.load(run, device="cpu").push(NAME)
    damaged = bytearray((run / "model.safetensors").read_bytes())
    damaged[-3] ^= 1
    (run / "model.safetensors").write_bytes(damaged)
    write_json(run / "metrics.json", metrics)
    with pytest.raises(UserError, match="damaged"):
        hub.push(run, NAME, hub.About())
    assert there.asked == []


@pytest.mark.parametrize(
    ("name", "told", "match"),
    [
        ("tiny", {}, "wanted a name on the hub, ORG/NAME"),
        ("org/../x", {}, "wanted a name on the hub"),
        (NAME, {"license": "MIT License"}, "license: got 'MIT License', wanted the hub's id"),
        (NAME, {"language": "English"}, "language: got 'English'"),
        (NAME, {"dataset": "flickr"}, "dataset: got 'flickr'"),
    ],
)
def test_wrong_words(runs, name, told, match):
    with pytest.raises(UserError, match=match):
        hrem.load(runs["bigru"], device="cpu").push(name, **told, dry_run=True)


def test_private_stays_private(runs, there):
    run = hrem.load(runs["bigru"], device="cpu")
    run.push(NAME, private=True)
    assert NAME in there.private
    there.private.clear()  # someone made it public
    old = dict(there.repos[NAME])
    with pytest.raises(UserError, match="public repository that is there already"):
        run.push(NAME, private=True, license="mit")
    assert there.repos[NAME] == old


def test_no_login_wrong_login_no_network(runs, there, tmp_path, monkeypatch):
    run = hrem.load(runs["bigru"], device="cpu")
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    with pytest.raises(UserError, match="refused the login, wanted a token that may write"):
        run.push(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="could not be sent .* wanted a network"):
        run.push(NAME)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    asked = len(there.asked)
    with pytest.raises(UserError, match="got no login, wanted `hf auth login`"):
        run.push(NAME)
    assert len(there.asked) == asked and there.repos == {}


def test_loaded_once_works_without_a_network(runs, there, monkeypatch):
    hrem.load(runs["bigru"], device="cpu").push(NAME)
    wanted = hrem.load(NAME, device="cpu").embed_texts(["a red cat"])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(there.asked)
    np.testing.assert_array_equal(hrem.load(NAME, device="cpu").embed_texts(["a red cat"]), wanted)
    with pytest.raises(UserError, match="org/other: not a folder here, and the hub could not be reached"):
        hrem.load("org/other")
    assert len(there.asked) == asked


def test_revisions(runs, there, monkeypatch):
    put(there, runs["bigru"])
    first = there.sha(NAME)
    assert hrem.load(NAME, device="cpu", revision=first).folder.name == first
    with pytest.raises(UserError, match=f"{NAME}: got revision v9, wanted a branch, tag or commit"):
        hrem.load(NAME, revision="v9")
    with pytest.raises(UserError, match="got revision v9 for a folder"):
        hrem.load(runs["bigru"], revision="v9")


def test_no_such_run(there):
    with pytest.raises(UserError, match="runs/mien: neither a folder here nor a repository on the hub"):
        hrem.load("runs/mien")
    asked = len(there.asked)
    for path in (Path("runs/mien"), "runs/deep/mien", "./mien", "/mien"):  # never names on the hub
        with pytest.raises(UserError, match="not found, wanted a run folder"):
            hrem.load(path)
    assert len(there.asked) == asked


def test_a_folder_comes_first(runs, there):
    there.repos[NAME] = {}
    shutil.copytree(runs["bigru"], NAME)
    assert hrem.load(NAME, device="cpu").folder == Path(NAME) and there.asked == []


@pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors", "vocabulary.json", "bert_config.json", "tokenizer.json"]
)
def test_missing_and_damaged_files_are_named(runs, there, file):
    side = "bigru" if file == "vocabulary.json" else "bert"
    put(there, runs[side])
    content = there.repos[NAME].pop(file)
    if file == "tokenizer.json":
        del there.repos[NAME]["vocab.txt"]
    with pytest.raises(UserError, match=f"^{NAME} on the hub: got no {file}; wanted the files of a run"):
        hrem.load(NAME)
    there.repos[NAME][file] = content[: len(content) // 2]
    with pytest.raises(UserError, match=f"^{NAME} on the hub: .*; wanted the files of a run"):
        hrem.load(NAME)


def test_nothing_of_a_stranger_is_run_or_followed(runs, there):
    put(there, runs["bert"])
    files = there.repos[NAME]
    good = files["bert_config.json"]
    for bad in (
        {"auto_map": {"AutoModel": "x.Y"}},
        {"a": {"_attn_implementation": "org/kernel"}},
        {"quantization_config": {}},
    ):
        files["bert_config.json"] = json.dumps(json.loads(good) | bad).encode()
        with pytest.raises(UserError, match="which can run code"):
            hrem.load(NAME)
    files["bert_config.json"] = good
    files |= {"pytorch_model.bin": b"", "modeling_x.py": b"", "sub/config.json": b""}
    run = hrem.load(NAME, device="cpu")
    assert {*(path.name for path in run.folder.rglob("*"))} <= {*hub.FILES}
    assert run.config.data.folder == "tiny_precomp"  # the file has the whole path, which is here
    assert json.loads(files["config.json"])["data"]["folder"] != "tiny_precomp"


def test_a_run_without_a_folder(runs):
    from hrem_lib.search.embedder import Embedder

    with pytest.raises(UserError, match="a run without a folder"):
        Embedder(checkpoints.load_run(runs["bigru"])).push(NAME)


def test_the_command(runs, there, capsys):
    run = str(runs["bigru"])
    assert main(["push", run, NAME, "--license", "mit", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "library_name: hrem" in out and "model.safetensors" in out and "nothing was sent" in out
    assert there.asked == []
    assert main(["push", run, NAME, "--private"]) == 0
    assert f"sent: {there.url}/{NAME}/commit/" in capsys.readouterr().out and NAME in there.private
    assert main(["push", run, "tiny"]) == 2
    assert capsys.readouterr().err == "hrem: tiny: wanted a name on the hub, ORG/NAME\n"


def test_weights_carry_the_checksum_and_no_other_note(runs, there):
    hrem.load(runs["bigru"], device="cpu").push(NAME)
    place = Path("model.safetensors")
    place.write_bytes(there.repos[NAME]["model.safetensors"])
    tensors, info = read_tensors(place)
    assert info == {"epoch": 1} and {*tensors} == {*read_tensors(runs["bigru"] / "model.safetensors")[0]}
