"""The command line: the commands of the README, and one sentence with exit code 2 for every fault of the user's."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

from hrem_lib import data
from hrem_lib.cli import main

SMALL = (
    "--model.embed_dim 16 --model.heads 2 --model.word_dim 12 --training.epochs 2 --training.batch_size 20 "
    "--training.warmup_steps 5 --sampling.neighbor_epoch 0 --training.device cpu --training.decay_epochs 1"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "one"
    assert main(["train", "f8k", "--data", str(folder), "--out", str(out), *SMALL]) == 0
    return out


def test_train_then_evaluate_gives_the_same_figures(run, folder, tmp_path, capsys):
    stored = json.loads((run / "metrics.json").read_text())["test"]
    assert main(["evaluate", str(run), "--data", str(folder.parent), "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["rSum"] == pytest.approx(stored["rSum"]) and written["split"] == "test"
    assert f"{stored['rSum']:.1f}" in capsys.readouterr().out


def test_evaluate_finds_the_runs_own_data_and_other_splits(run, capsys):
    assert main(["evaluate", str(run), "--split", "dev"]) == 0
    assert "dev: 10 images, 50 captions" in capsys.readouterr().out


def test_folds(run, tmp_path):
    assert main(["evaluate", str(run), "--folds", "2", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["folds"]["images"] == 5


def test_ensemble_of_a_run_with_itself_is_the_run(run, tmp_path):
    assert main(["evaluate", str(run), str(run), "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["rSum"] == pytest.approx(json.loads((run / "metrics.json").read_text())["test"]["rSum"])


def test_progress_is_one_line_an_epoch_where_there_is_no_terminal(folder, tmp_path):
    command = [sys.executable, "-m", "hrem_lib", "train", "f8k", "--data", str(folder), "--out", str(tmp_path / "r")]
    done = subprocess.run(
        [*command, *SMALL], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("epoch ") for line in done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_default_folder_is_below_runs(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "f8k", "--data", str(folder), *SMALL, "--training.epochs", "1"]) == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("f8k-") and (made / "metrics.json").is_file()


def test_resume_takes_the_runs_own_settings(run, capsys):
    stored = (run / "metrics.json").read_text()
    assert main(["train", "f8k", "--resume", str(run)]) == 0  # finished already: evaluates again
    assert json.loads((run / "metrics.json").read_text())["test"] == json.loads(stored)["test"]
    assert main(["train", "f8k", "--resume", str(run), "--training.seed", "7"]) == 2
    assert "training.seed = 7, wanted 0" in capsys.readouterr().err
    assert main(["train", "sample", "--resume", str(run)]) == 2
    assert "preset" in capsys.readouterr().err


def test_resume_and_out_name_one_folder(run, tmp_path, capsys):
    assert main(["train", "f8k", "--resume", str(run), "--out", str(tmp_path / "other")]) == 2
    assert "wanted" in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert main(["train", "f8k", "--resume", str(run), "--out", str(run)]) == 0


def test_resume_of_a_run_that_was_killed_before_it_began(folder, tmp_path, capsys):
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(tmp_path / "new"), *SMALL]) == 0
    assert "starts from the beginning" in capsys.readouterr().out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(tmp_path / "mine"), *SMALL]) == 2
    assert "got no config.json" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_not_finite_is_one_line_and_exit_code_1(folder, tmp_path, capsys, monkeypatch):
    from hrem_lib import training

    monkeypatch.setattr(
        training, "make_objective", lambda config: lambda *args, **kwargs: ({"initial": args[0].sum() / 0}, {})
    )
    assert main(["train", "f8k", "--data", str(folder), "--out", str(tmp_path / "run"), *SMALL]) == 1
    message = capsys.readouterr().err
    assert message.startswith("hrem: epoch 1 step 0: not finite: initial") and message.count("\n") == 1


def spoiled(folder, tmp_path, change):
    """A copy of the data with something wrong."""
    copy = tmp_path / "bad_precomp"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    change(copy)
    return copy


def without(name):
    return lambda folder: (folder / name).unlink()


def cut_captions(folder):
    lines = (folder / "train_caps.txt").read_text().splitlines()
    (folder / "train_caps.txt").write_text("\n".join(lines[:-1]) + "\n")


def empty_caption(folder):
    lines = (folder / "dev_caps.txt").read_text().splitlines()
    lines[6] = " "
    (folder / "dev_caps.txt").write_text("\n".join(lines) + "\n")


def features(name, change):
    def apply(folder):
        array = change(np.load(folder / name).copy())
        np.save(folder / name, array)

    return apply


def nan_at(array):
    array[7, 2, 3] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("train_ims.npy"), ["train_ims.npy"]),
        (without("test_caps.txt"), ["test_caps.txt"]),
        (cut_captions, ["train_caps.txt", "199", "200"]),
        (empty_caption, ["dev_caps.txt", "line 7"]),
        (features("test_ims.npy", lambda a: a[..., :5]), ["test_ims.npy", "5", "16"]),
        (features("train_ims.npy", nan_at), ["train_ims.npy", "row 7", "nan"]),
        (features("dev_ims.npy", lambda a: a.astype(np.int64)), ["dev_ims.npy", "int64", "float32"]),
    ],
    ids=["no features", "no captions", "count", "empty caption", "width", "nan", "dtype"],
)
def test_bad_data_gives_one_sentence_and_writes_nothing(folder, tmp_path, capsys, change, words):
    bad = spoiled(folder, tmp_path, change)
    assert main(["train", "f8k", "--data", str(bad), "--out", str(tmp_path / "run"), *SMALL]) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1
    for word in words:
        assert word in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "flickr"], ["flickr", "f30k"]),
        (["train", "f8k", "--training.epoch", "3"], ["training.epoch", "training.epochs"]),
        (["train", "f8k", "--training.epochs"], ["no value"]),
        (["train", "f8k", "--epochs", "3"], ["--epochs", "--section.field"]),
        (["train", "f8k", "stray"], ["stray"]),
        (["train", "f8k", "--training.epochs", "three"], ["three", "int"]),
        (["train", "f8k", "--data", "/nowhere/at/all"], ["/nowhere/at/all"]),
        (["evaluate", "/nowhere/run"], ["/nowhere/run"]),
        (["train", "f8k", "--training.device", "toaster"], ["toaster"]),
        (["import", "nowhere.pth"], ["nowhere.pth", "not found"]),
        (["extract", ".", "--captions", "nowhere.csv", "--out", "a_precomp"], ["nowhere.csv", "not found"]),
        (["extract", ".", "--captions", "x", "--out", "a_precomp", "--workers", "0"], ["--workers"]),
        (["index", "/nowhere/run"], ["/nowhere/run"]),
        (["search", "/nowhere/run", "a dog"], ["/nowhere/run/index"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_arguments_give_one_sentence(arguments, words, capsys, monkeypatch, tmp_path, folder):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "train" and "--data" not in arguments:
        arguments = [*arguments[:2], "--data", str(folder), *arguments[2:]]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocabulary.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_runs(run, tmp_path, capsys, name, damage):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    if damage == "missing":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes((copy / name).read_bytes()[:-20])
    assert main(["evaluate", str(copy)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and (name in message or copy.name in message)


def test_weights_that_do_not_fit_are_named(run, tmp_path, capsys):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    config["model"]["embed_dim"] = 32
    (copy / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", str(copy)]) == 2
    assert "weight" in capsys.readouterr().err


def test_doctor(folder, tmp_path, capsys):
    assert main(["doctor", "--data", str(folder)]) == 0
    good = capsys.readouterr().out
    assert "[OK] torch" in good and "tiny_precomp/train: 40 images, 200 captions, 4 x 16 features" in good
    bad = spoiled(folder, tmp_path, cut_captions)
    assert main(["doctor", "--data", str(bad)]) == 2
    text = capsys.readouterr().out
    assert "[FAIL]" in text and "199" in text and "[OK] bad_precomp/dev" in text


def test_samples_draws_the_shipped_pictures_again(tmp_path, capsys):
    from PIL import Image

    assert main(["samples", "--out", str(tmp_path / "world"), "--part", "1"]) == 0
    shipped = data.sample_dir()
    for split in ("train", "dev", "test"):
        new = (tmp_path / "world" / "sample_precomp" / f"{split}_caps.txt").read_text().splitlines()
        assert new == (shipped / f"{split}_caps.txt").read_text().splitlines()[:5]
        places = [folder / "pictures" / split / "0000.png" for folder in (tmp_path / "world", shipped.parent)]
        a, b = (np.asarray(Image.open(place).convert("RGB")) for place in places)
        assert np.array_equal(a, b)
    capsys.readouterr()
    assert main(["samples", "--out", str(tmp_path / "world")]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "--resume"),
        (OSError(28, "No space left on device"), 2, "No space left"),
        (MemoryError(), 2, "batch_size"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), 2, "Tried to allocate 2 GiB; a smaller"),
        (FloatingPointError("not finite: initial"), 1, "initial"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_stops_a_command_is_one_line(monkeypatch, capsys, error, code, words):
    def stopped(*args):
        raise error

    monkeypatch.setattr("hrem_lib.cli._doctor", stopped)
    assert main(["doctor"]) == code
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1 and words in message


def test_our_own_faults_are_not_hidden(monkeypatch):
    monkeypatch.setattr("hrem_lib.cli._doctor", lambda *args: {}["key"])
    with pytest.raises(KeyError):
        main(["doctor"])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for command in ("train", "evaluate", "import", "extract", "index", "search", "samples", "doctor"):
        assert command in text
