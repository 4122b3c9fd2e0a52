"""The command line: the commands of the README, and one sentence with exit code 2 for every fault of the user's."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from hrem_lib import config as configs
from hrem_lib import data, evaluation, training
from hrem_lib.cli import main, parser
from hrem_lib.study import runs

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


def test_default_folder_is_below_runs_and_said_at_the_start(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "f8k", "--data", str(folder), *SMALL, "--training.epochs", "1"]) == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("f8k-") and (made / "metrics.json").is_file()
    assert capsys.readouterr().out.startswith(f"run folder: {Path('runs') / made.name}\n")


def test_a_run_works_from_every_directory(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(folder.parent.parent)
    given = str(folder.relative_to(folder.parent.parent))
    assert main(["train", "f8k", "--data", given, "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    written = tmp_path / "run" / "config.json"
    assert json.loads(written.read_text())["data"]["folder"] == str(folder.resolve())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    # a run of an older version has the path as it was given: it works from where it worked before
    tree = json.loads(written.read_text())
    tree["data"]["folder"] = given
    written.write_text(json.dumps(tree))
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    monkeypatch.chdir(folder.parent.parent)
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    for more, place in (([], given), (["--data", given], str(folder)), (["--data.folder", given], str(folder))):
        assert main(["train", "f8k", "--resume", str(tmp_path / "run"), *more]) == 0, capsys.readouterr().err
        assert json.loads(written.read_text())["data"]["folder"] == place
        written.write_text(json.dumps(tree))


def test_resume_takes_the_runs_own_settings(run, capsys):
    stored = (run / "metrics.json").read_text()
    assert main(["train", "f8k", "--resume", str(run)]) == 0  # finished already: evaluates again
    assert json.loads((run / "metrics.json").read_text())["test"] == json.loads(stored)["test"]
    assert main(["train", "f8k", "--resume", str(run), "--training.seed", "7"]) == 2
    assert "training.seed = 7, wanted 0" in capsys.readouterr().err
    assert main(["train", "sample", "--resume", str(run)]) == 2
    assert "preset" in capsys.readouterr().err
    assert main(["train", "--resume", str(run)]) == 0  # the preset is the run's
    assert json.loads((run / "metrics.json").read_text())["preset"] == "f8k"


def test_resume_and_out_name_one_folder(run, tmp_path, capsys):
    assert main(["train", "f8k", "--resume", str(run), "--out", str(tmp_path / "other")]) == 2
    assert "wanted" in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert main(["train", "f8k", "--resume", str(run), "--out", str(run)]) == 0


def test_resume_of_a_run_that_was_killed_before_it_began(folder, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".lock").touch()
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(tmp_path / "new"), *SMALL]) == 0
    assert "starts from the beginning" in capsys.readouterr().out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(tmp_path / "mine"), *SMALL]) == 2
    assert "got no config.json" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_resume_of_a_folder_that_is_not_there(run, folder, capsys):
    nowhere = run.parent / "oen"
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(nowhere), *SMALL]) == 2
    message = capsys.readouterr().err
    assert f"{nowhere}: not found" in message and str(run) in message and not nowhere.exists()
    assert main(["train", "f8k", "--data", str(folder), "--resume", str(run.parent), *SMALL]) == 2
    assert f"got a folder of runs, wanted one of them: {run}" in capsys.readouterr().err


def interrupted(arguments, capsys):
    """The command that is said to go on after Ctrl-C."""
    assert main(arguments) == 130
    message = capsys.readouterr().err
    assert message.startswith("hrem: interrupted; next: ") and message.count("\n") == 1
    return message.removeprefix("hrem: interrupted; next: ").strip()


def stop(*args, **kwargs):
    raise KeyboardInterrupt


def test_after_ctrl_c_train_goes_on_by_the_command_that_is_printed(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "f8k", "--data", str(folder), *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(training, "build_model", stop)  # nothing is written yet: the same command
        assert interrupted(command, capsys) == shlex.join(["hrem", *command])
    real = training.plan_epoch
    with monkeypatch.context() as patch:
        patch.setattr(training, "plan_epoch", lambda *a: stop() if a[3] == 2 else real(*a))
        again = interrupted(command, capsys)
    (made,) = [path.parent for path in (tmp_path / "runs").glob("*/config.json")]
    assert again == f"hrem train --resume {Path('runs') / made.name}"
    assert main(shlex.split(again)[1:]) == 0
    assert "continues" in capsys.readouterr().out
    assert len((made / "history.jsonl").read_text().splitlines()) == 2


def test_after_ctrl_c_every_other_command_goes_on_by_itself(run, tmp_path, capsys, monkeypatch):
    from hrem_lib.pictures import caption_files
    from hrem_lib.sample_world import detector
    from hrem_lib.search import index_folder

    monkeypatch.chdir(tmp_path)
    Path("my photos").mkdir()
    monkeypatch.setattr(caption_files, "read_captions", stop)
    extract = ["extract", "my photos", "--captions", "a b.csv", "--out", "x_precomp"]
    assert interrupted(extract, capsys) == "hrem extract 'my photos' --captions 'a b.csv' --out x_precomp"
    monkeypatch.setattr(index_folder, "write_index", stop)
    assert interrupted(["index", str(run)], capsys) == f"hrem index {run}"
    monkeypatch.setattr(detector, "regenerate", stop)
    assert interrupted(["samples", "--out", "new"], capsys) == "remove new, then hrem samples --out new"
    monkeypatch.setattr(runs, "run_grid", stop)
    grid = ["ablate", "sample", "--jobs", "2"]
    assert interrupted(grid, capsys) == "hrem ablate sample --jobs 2"
    place = str(tmp_path / "runs")
    going_on = shlex.split(interrupted([*grid, "--again", "--runs", place, "--data", "d"], capsys))
    assert going_on[:-1] == ["hrem", "ablate", "sample", "--data", "d", "--jobs", "2", "--runs"]
    assert Path(going_on[-1]).parent == Path(place)  # not --again, which would begin once more


def test_the_best_epoch_alone_has_the_star(folder, tmp_path, capsys, monkeypatch):
    real = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *a, **k: {**real(*a, **k), "rSum": 100.0})  # every epoch ties
    assert main(["train", "f8k", "--data", str(folder), "--out", str(tmp_path / "run"), *SMALL]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [" *" in line for line in lines] == [True, False]


def test_evaluate_in_each_runs_own_precision(run, folder, tmp_path, monkeypatch):
    half = str(tmp_path / "half")
    settings = [*SMALL, "--training.precision", "bfloat16"]
    assert main(["train", "f8k", "--data", str(folder), "--out", half, *settings]) == 0
    seen, real = [], evaluation.encode_images
    monkeypatch.setattr(evaluation, "encode_images", lambda *a: (seen.append(a[4]), real(*a))[1])
    out = str(tmp_path / "out.json")
    assert main(["evaluate", half, "--json", out]) == 0
    stored = json.loads((tmp_path / "half" / "metrics.json").read_text())["test"]
    assert json.loads(Path(out).read_text())["i2t"] == stored["i2t"] and seen == ["bfloat16"]
    assert main(["evaluate", half, str(run)]) == 0
    assert seen[1:] == ["bfloat16", "float32"]


def test_cocos_file_test_is_never_read(folder, tmp_path, capsys):
    def add(place):
        for kind in ("ims.npy", "caps.txt"):
            (place / f"testall_{kind}").write_bytes((place / f"test_{kind}").read_bytes())

    coco, out = spoiled(folder, tmp_path, add), str(tmp_path / "run")
    command = ["train", "coco", "--data", str(coco), "--out", out, *SMALL, "--model.text_encoder", "bigru"]
    assert main([*command, "--data.test_split", "test"]) == 2
    assert "got split test, wanted testall" in capsys.readouterr().err and not Path(out).exists()
    assert main([*command, "--training.batch_size", "20"]) == 0
    assert main(["evaluate", out]) == 0
    capsys.readouterr()
    for given in (["evaluate", out], ["index", out]):
        assert main([*given, "--split", "test"]) == 2
        assert "got split test, wanted testall" in capsys.readouterr().err
    assert main(["doctor", "--data", str(coco)]) == 0  # the file may lie there


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
        (["train", "f8k", "--epochs", "3"], ["--epochs", "--section.field", "--training.epochs"]),
        (["train", "f8k", "--lr", "3"], ["--training.learning_rate"]),
        (["train", "f8k", "--training.lr", "3"], ["training.lr", "training.learning_rate"]),
        (["train", "f8k", "--model.draws", "3"], ["loss.draws"]),
        (["train"], ["preset", "sample"]),
        ([], ["COMMAND"]),
        (["trian"], ["trian", "train"]),
        (["samples"], ["--out", "hrem samples --help"]),
        (["evaluate", "RUN", "--folds", "x"], ["--folds", "'x'"]),
        (["index", "RUN", "--kind", "fast"], ["fast", "float16"]),
        (["ablate", "sample", "--again", "--folder", "x"], ["--again", "--folder"]),
        (["ablate", "sample", "--data", "/nowhere/at/all"], ["/nowhere/at/all: not a folder"]),
        (["results"], ["README.md"]),
        (["train", "f8k", "stray"], ["stray"]),
        (["train", "f8k", "--training.epochs", "three"], ["three", "int"]),
        (["train", "f8k", "--data", "/nowhere/at/all"], ["/nowhere/at/all"]),
        (["evaluate", "/nowhere/run"], ["/nowhere/run"]),
        (["train", "f8k", "--training.device", "toaster"], ["toaster"]),
        (["import", "nowhere.pth"], ["nowhere.pth", "not found"]),
        (["extract", ".", "--captions", "nowhere.csv", "--out", "a_precomp"], ["nowhere.csv", "not found"]),
        (["extract", ".", "--captions", "x", "--out", "a_precomp", "--workers", "0"], ["--workers"]),
        (["index", "/nowhere/run"], ["/nowhere/run"]),
        (["search", "/nowhere/run", "a dog"], ["/nowhere/run: not found"]),
        (["search", "/nowhere/run", "a", "dog"], ["in quotation marks", '"a dog"']),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_arguments_give_one_sentence(arguments, words, capsys, monkeypatch, tmp_path, folder):
    monkeypatch.chdir(tmp_path)
    if arguments[:1] == ["train"] and len(arguments) > 1 and "--data" not in arguments:
        arguments = [*arguments[:2], "--data", str(folder), *arguments[2:]]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", ".."], ["got a folder of runs, wanted one of them: ", "one"]),
        (["evaluate", ".", "--split", "tset"], ["split tset", "dev, test, train", "nearest: test"]),
        (["index", ".", "--split", "train", "tset"], ["split tset", "nearest: test"]),
        (["evaluate", ".", "--folds", "0"], ["--folds: got 0 for 10 images"]),
        (["evaluate", ".", "--folds", "3"], ["--folds: got 3 for 10 images"]),
        (["evaluate", ".", "--json", "no/such/file.json"], ["--json", "no/such/file.json"]),
        (["evaluate", ".", "--json", "tensorboard"], ["--json", "tensorboard"]),
        (["train", "--resume", ".", "--training.seed", "7"], ["training.seed = 7, wanted 0"]),
        (["train", "--training.seed", "7", "f8k", "--resume", "."], ["training.seed = 7, wanted 0"]),
        (["train", "--resume", ".", "--training.seed", "--out", "."], ["--training.seed", "no value"]),
        (["train", "f8k", "--out", "config.json", *SMALL], ["hrem: config.json: Not a directory"]),
        (["index", ".", "--out", "config.json"], ["hrem: config.json: File exists"]),
        (["search", ".", "curves.png"], ["wanted --image curves.png"]),
        (["extract", "photos", "--captions", "history.jsonl", "--out", "y"], ["photos: not a folder"]),
        (["evaluate", ".", "--splt", "dev"], ["'--splt'", "wanted --split"]),
        (["evaluate", "./tensorboard"], ["got no config.json"]),
        (["search", ".", "a", "red", "dog"], ["quotation marks", 'hrem search . "a red dog"']),
        (["search", ".", "-k", "3", "a", "red", "dog"], ["quotation marks", 'hrem search . "a red dog"']),
        (["search", "."], ["quotation marks"]),
        (["search", ".", "a dog", "-k", "0"], ["-k: got 0"]),
        (["search", ".", "--image", "none.jpg"], ["none.jpg: not readable as a picture"]),
        (["search", ".", "a dog", "--index", "none"], ["none", "hrem index"]),
        (["results", ".."], ["got a folder of runs"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_bad_arguments_beside_a_run(run, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(run)
    before = sorted(run.rglob("*"))
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1
    for word in words:
        assert word in message
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("command", sorted(set(parser()._subparsers._group_actions[0].choices) - {"train"}))
def test_settings_are_refused_where_there_are_none(command, run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"evaluate": [run], "index": [run], "search": [run, "a dog"], "ablate": ["sample"], "import": ["a.pth"],
                 "extract": [".", "--captions", "x", "--out", "y"], "samples": ["--out", "z"],
                 "push": [run, "a/b"]}  # fmt: skip
    for setting in (["--training.epochs", "3"], ["--training.epochs=3"], ["--nonsense"]):
        assert main([command, *map(str, arguments.get(command, [])), *setting]) == 2
        message = capsys.readouterr().err
        assert f"argument '{setting[0]}': hrem {command} does not know it" in message and message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_search_makes_its_index_where_there_is_none(run, capsys, monkeypatch, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("config.json", "model.safetensors", "vocabulary.json"):
        (copy / name).write_bytes((run / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["search", str(copy), "a red dog", "-k", "3"]) == 0
    first = capsys.readouterr().out
    assert "no index yet: making one of the 10 pictures of tiny_precomp/test" in first
    written = (copy / "index" / "index.json").stat().st_mtime_ns
    assert main(["search", str(copy), "-k", "3", "a red dog"]) == 0  # options may stand first
    assert capsys.readouterr().out == first.split("\n", 1)[1]
    assert (copy / "index" / "index.json").stat().st_mtime_ns == written
    (copy / "index" / "index.json").unlink()
    assert main(["index", str(copy)]) == 0
    assert main(["search", str(copy), "a red dog", "-k", "3"]) == 0
    assert capsys.readouterr().out.endswith(first.split("\n", 1)[1])


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
    assert f"[OK] Python {sys.version.split()[0]}" in good and "[OK] device " in good
    assert good.splitlines()[-1] == f"all {good.count('[OK]')} checks passed"
    bad = spoiled(folder, tmp_path, cut_captions)
    assert main(["doctor", "--data", str(bad)]) == 2
    text, verdict = capsys.readouterr()
    assert "[FAIL]" in text and "199" in text and "[OK] bad_precomp/dev" in text
    assert verdict == f"hrem: doctor: 1 of {len(text.splitlines())} checks failed, see [FAIL] above\n"


def test_samples_draws_the_shipped_pictures_again(tmp_path, capsys):
    from PIL import Image

    assert main(["samples", "--out", str(tmp_path / "world"), "--part", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "drawing the pictures of train, dev, test" and "boxes and features of 1 dev pictures" in said
    shipped = data.sample_dir()
    for split in ("train", "dev", "test"):
        new = (tmp_path / "world" / "sample_precomp" / f"{split}_caps.txt").read_text().splitlines()
        assert new == (shipped / f"{split}_caps.txt").read_text().splitlines()[:5]
        places = [folder / "pictures" / split / "0000.png" for folder in (tmp_path / "world", shipped.parent)]
        a, b = (np.asarray(Image.open(place).convert("RGB")) for place in places)
        assert np.array_equal(a, b)
    assert main(["samples", "--out", str(tmp_path / "world")]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted; next: hrem doctor"),
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

    monkeypatch.setattr("hrem_lib.cli.doctor.execute", stopped)
    assert main(["doctor"]) == code
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1 and words in message


def test_our_own_faults_are_not_hidden(monkeypatch):
    monkeypatch.setattr("hrem_lib.cli.doctor.execute", lambda *args: {}["key"])
    with pytest.raises(KeyError):
        main(["doctor"])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for command in parser()._subparsers._group_actions[0].choices:
        assert command in text


def test_version(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"hrem {version('hrem')}\n"


def test_every_argument_has_a_help_with_its_default():
    commands = parser()._subparsers._group_actions[0].choices
    assert len(commands) == 11
    for command, options in commands.items():
        for action in options._actions:
            where = f"{command} {action.dest}"
            assert action.help and len(action.help) > 5, where
            if action.option_strings and action.nargs != 0 and not action.required:
                assert "(default: " in action.help, where
                if action.default is not None:
                    assert f"(default: {action.default}" in action.help, where


def test_the_nearest_setting():
    wanted = {"training.lr": "training.learning_rate", "lr": "training.learning_rate", "seed": "training.seed",
              "training.epoch": "training.epochs", "epochs": "training.epochs", "graph.epochs": "training.epochs",
              "training.bs": "training.batch_size", "training.batch": "training.batch_size"}  # fmt: skip
    assert {name: configs.nearest(name) for name in wanted} == wanted
