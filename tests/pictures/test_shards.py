"""Shards of one data set: merged, they are the bytes of one process; what does not belong together is refused."""

import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_extract import color_extractor
from test_networks import saved, small_rt_detr  # noqa: F401  (a fixture)

from hrem_lib import cli, data
from hrem_lib.errors import UserError
from hrem_lib.pictures import extract, shards
from hrem_lib.pictures.caption_files import CaptionedPicture, assign_splits, read_captions
from hrem_lib.pictures.extract import extract_splits
from hrem_lib.pictures.networks import open_extractor
from hrem_lib.pictures.shards import Shard, merge, read_shard

ROOT = Path(__file__).resolve().parents[2]
N = 300  # five chunks, the last of 44: no number of shards divides it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(N):
        Image.new("RGB", (20 + i % 3, 10), (i % 256, i // 256, 7)).save(folder / f"{i}.png")
    for i in (7, 8, 130, 299):
        (folder / f"{i}.png").write_text("no picture")
    return folder


SPLITS = {
    "train": [CaptionedPicture(f"{i}.png", tuple(f"caption {i} {k}" for k in range(4 + i % 3))) for i in range(N)],
    "dev": [CaptionedPicture(f"{i}.png", ("x", "y")) for i in range(70, 170)],
    "test": [CaptionedPicture(f"{i}.png", ("x",)) for i in range(200, 205)],  # one chunk: most shards are empty
}


def run(folder, out, shard=None, extractor=None, splits=SPLITS, **settings):
    return dict(extract_splits(folder, splits, out, extractor or color_extractor(), shard=shard, **settings))


def in_shards(folder, out, n, **settings):
    """All shards, the last first, and their folders."""
    for i in reversed(range(n)):
        run(folder, out, Shard(i, n), **settings)
    return [Shard(i, n).folder(out) for i in range(n)]


def contents(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "a_precomp"
    run(folder, out)
    found = contents(out)
    assert len(found) == 15 and np.load(out / "train_ims.npy").shape == (N - 4, 3, 4)
    return found


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_merged_shards_are_the_bytes_of_one_process(folder, whole, tmp_path, count):
    places = in_shards(folder, tmp_path / "a_precomp", count)
    rows = [json.loads((place / "train_extract.json").read_text())["rows"] for place in places]
    assert sum(rows) == N - 4 and (count == 9) == (0 in rows)
    before = {place: contents(place) for place in places}
    merged = merge(places[::-1], tmp_path / "a_precomp")
    assert contents(tmp_path / "a_precomp") == whole
    assert list(merged["train"]["unreadable"]) == ["7.png", "8.png", "130.png", "299.png"]
    assert {place: contents(place) for place in places} == before
    merge(places, tmp_path / "b_precomp", delete=True)
    assert contents(tmp_path / "b_precomp") == whole and not any(place.exists() for place in places)


def test_deleting_shards_leaves_other_files(folder, tmp_path):
    places = in_shards(folder, tmp_path / "a_precomp", 2)
    (places[0] / "notes.txt").write_text("mine")
    merge(places, tmp_path / "a_precomp", delete=True)
    assert list(contents(places[0])) == ["notes.txt"] and not places[1].exists()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_batches_are_those_of_one_process(folder, tmp_path, count):
    """Networks round otherwise in batches of other sizes; this one gives the size of the batch itself."""
    colors = color_extractor()

    def look(pictures):
        return [seen._replace(features=seen.features + 1000 * len(pictures)) for seen in colors.look(pictures)]

    extractor = colors._replace(look=look)
    run(folder, tmp_path / "whole", extractor=extractor)
    merge(in_shards(folder, tmp_path / "a", count, extractor=extractor), tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")
    sizes = np.load(tmp_path / "a" / "train_ims.npy")[:, 0, 1] // 1000
    assert set(sizes) == {8, 6, 7, 3}  # of 62, 64, 63, 64 and 43 readable pictures


def extract_network(saved):  # noqa: F811
    return open_extractor(saved(small_rt_detr), 4)


def _killed_after(calls, folder, out, shard):
    extractor, made = color_extractor(), []

    def look(pictures):
        if len(made) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        made.append(pictures)
        return extractor.look(pictures)

    run(folder, out, shard, extractor._replace(look=look), batch=64)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_shard_goes_on(folder, whole, tmp_path):
    out = tmp_path / "a_precomp"
    places = [Shard(i, 2).folder(out) for i in range(2)]
    run(folder, out, Shard(0, 2), batch=64)
    for _ in range(2):  # it dies twice, each time after one more chunk
        process = multiprocessing.get_context("fork").Process(target=_killed_after, args=(1, folder, out, Shard(1, 2)))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        with pytest.raises(UserError, match=r"shard-1-of-2: split \w+ is not finished, \d+ pictures .*--shard 1/2"):
            merge(places, out)
        assert not contents(out)
    assert json.loads((places[1] / "train_extract.json").read_text())["next"] == 128
    run(folder, out, Shard(1, 2), batch=64)
    merge(places, out)
    assert contents(out) == whole


@pytest.mark.parametrize("stop", range(8))
def test_an_interrupted_merge_begins_anew(folder, whole, tmp_path, monkeypatch, stop):
    places = in_shards(folder, tmp_path, 2, splits={"train": SPLITS["train"]})
    out, done = tmp_path / "a_precomp", []

    def dies(real):
        def call(*args):
            done.append(real)
            if len(done) == stop + 1:
                raise KeyboardInterrupt
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(shards.shutil, "copyfileobj", dies(shutil.copyfileobj))
        patch.setattr(shards.Rows, "finish", dies(shards.Rows.finish))
        with pytest.raises(KeyboardInterrupt):
            merge(places, out)
    merge(places, out)
    assert contents(out) == {name: content for name, content in whole.items() if name.startswith("train")}


def spoil(path, **changes):
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | changes))


def _remove(path):
    path.unlink()


SPOILED = {  # what is done to shard 1 of 3 -> what is said
    "weights": (lambda p: spoil(p / "dev_extract.json", weights="x"), r"shard-1-of-3: got weights = x, wanted"),
    "network": (lambda p: spoil(p / "dev_extract.json", model="x"), r"shard-1-of-3: got model = x, wanted color as in"),
    "batch": (lambda p: spoil(p / "train_extract.json", batch=9), r"got batch = 9, wanted 8"),
    "pictures": (lambda p: spoil(p / "train_extract.json", items="x"), r"got items = x"),
    "N": (lambda p: spoil(p / "train_extract.json", shard="1/4"), r"got one of 4 shards, wanted one of 3"),
    "twice": (lambda p: spoil(p / "train_extract.json", shard="0/3"), r"got shard 0/3 again"),
    "split": (lambda p: _remove(p / "dev_extract.json"), r"split dev: got 2 of 3 shards, wanted 1, too"),
    "not begun": (lambda p: spoil(p / "dev_extract.json", next=0, rows=0, done=False), r"dev is not finished"),
    "cut": (lambda p: os.truncate(p / "train_ims.npy", 500), r"train_ims.npy: missing or damaged"),
    "gone": (lambda p: _remove(p / "train_boxes.npy"), r"train_boxes.npy: missing or damaged"),
    "other": (lambda p: np.save(p / "train_ims.npy", np.zeros((3, 3, 4), np.float32)), r"got the shape \(3, 3, 4\)"),
    "caption": (lambda p: (p / "train_caps.txt").write_text("a\n"), r"train_caps.txt: got 1 lines, wanted"),
    "names": (lambda p: _remove(p / "train_ids.txt"), r"train_ids.txt: got 0 lines"),
    "record": (lambda p: (p / "dev_extract.json").write_text("[]"), r"dev_extract.json: not the record of a shard"),
    "folder": (shutil.rmtree, r"shard-1-of-3: got no shard"),
}


@pytest.fixture(scope="module")
def three(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("three")
    in_shards(folder, out, 3)
    return out


@pytest.mark.parametrize("fault", SPOILED)
def test_what_does_not_belong_together_is_refused(three, tmp_path, fault):
    shutil.copytree(three, tmp_path / "x")
    places = [Shard(i, 3).folder(tmp_path / "x") for i in range(3)]
    change, words = SPOILED[fault]
    change(places[1])
    with pytest.raises(UserError, match=words):
        merge(places, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_shard_is_named(three, tmp_path):
    places = [Shard(i, 3).folder(three) for i in range(3)]
    with pytest.raises(UserError, match=r"split \w+: got 2 of 3 shards, wanted 1, too"):
        merge([places[0], places[2]], tmp_path / "out")
    with pytest.raises(UserError, match=r"got shard 0/3 again"):
        merge([*places, places[0]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_no_shard_reached_is_missed(folder, tmp_path):
    """All shards died between train and dev: dev is not forgotten."""
    places = []
    for i in range(2):
        for _ in extract_splits(folder, SPLITS, tmp_path, color_extractor(), shard=Shard(i, 2)):
            break
        places.append(Shard(i, 2).folder(tmp_path))
    with pytest.raises(UserError, match=r"split dev is not finished, 0 pictures"):
        merge(places, tmp_path)


@pytest.mark.parametrize("there", ["dev_ims.npy", "test_ids.txt", "train_extract.json", "dev_ims.npy.part"])
def test_what_is_there_is_not_overwritten(three, tmp_path, there):
    out = tmp_path / "out"
    out.mkdir()
    (out / there).write_text("{}")
    with pytest.raises(UserError, match=rf"{re.escape(there)}: is there already"):
        merge([Shard(i, 3).folder(three) for i in range(3)], out)
    assert contents(out) == {there: b"{}"}


def test_a_plain_call_that_is_going_on_is_not_overwritten(folder, three, tmp_path):
    run(folder, tmp_path)
    spoil(tmp_path / "dev_extract.json", done=False)
    with pytest.raises(UserError, match="is there already"):
        merge([Shard(i, 3).folder(three) for i in range(3)], tmp_path)
    with pytest.raises(UserError, match="is there already"):  # and no shard begins what is done
        run(folder, tmp_path, Shard(0, 2))


def test_a_shard_with_no_readable_picture_and_all_of_them(folder, tmp_path):
    items = [CaptionedPicture(f"none{i}.png", ("x",)) for i in range(64)]
    splits = {"dev": [*SPLITS["train"][:64], *items]}
    merged = merge(in_shards(folder, tmp_path, 2, splits=splits), tmp_path)
    run(folder, tmp_path / "whole", splits=splits)
    assert merged["dev"]["rows"] == 62 and len(merged["dev"]["unreadable"]) == 66
    assert contents(tmp_path) == contents(tmp_path / "whole")
    with pytest.raises(UserError, match=r"split test: got no readable picture in all 2 shards"):
        merge(in_shards(folder, tmp_path / "b", 2, splits={"test": items}), tmp_path / "b")


def test_shards_are_begun_and_resumed_with_the_same_settings(folder, tmp_path):
    run(folder, tmp_path, Shard(0, 2))
    with pytest.raises(UserError, match=r"got batch = 4, wanted 8, with which it was begun"):
        run(folder, tmp_path, Shard(0, 2), batch=4)
    with pytest.raises(UserError, match=r"got weights = other"):
        run(folder, tmp_path, Shard(0, 2), color_extractor()._replace(weights=lambda: "other"))


def test_weights_of_one_name_have_a_checksum(saved, tmp_path):  # noqa: F811
    one = extract_network(saved).weights()
    assert one == extract_network(saved).weights() and re.fullmatch("[0-9a-f]{8}", one)
    model, processor = small_rt_detr()  # the same shapes, other numbers
    model.save_pretrained(tmp_path), processor.save_pretrained(tmp_path)
    assert open_extractor(str(tmp_path), 4).weights() != one


@pytest.mark.parametrize(
    "text", ["4/4", "1", "-1/4", "a/b", "0/0", "1/4/4", "0.5/2", "", " 0/2", "٠/٢", "9999999/99999999"]
)
def test_what_is_no_shard(text):
    with pytest.raises(UserError, match=r"--shard: got .*, wanted I/N with I from 0 to N - 1"):
        read_shard(text)


def test_the_cut_is_a_partition():
    for n in (0, 1, 5, 64, 1000):
        for count in (1, 3, 7, 2000):
            parts = [Shard(i, count).cut(n) for i in range(count)]
            assert [place for part in parts for place in part] == list(range(n))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to limit what is not mapped from files")
def test_a_merge_holds_no_features(folder, tmp_path):
    """150 MB of features are merged by a process that may take 80 MB more than it has."""
    items = SPLITS["dev"][:64]
    wide = color_extractor(regions=200)
    wide = wide._replace(
        look=lambda pictures: [
            s._replace(features=np.tile(s.features, (1, 750))) for s in color_extractor().look(pictures)
        ]
    )
    places = in_shards(folder, tmp_path, 1, extractor=wide, splits={"dev": items})
    assert (places[0] / "dev_ims.npy").stat().st_size > 145e6
    process = multiprocessing.get_context("fork").Process(target=_merge_in_little_memory, args=(places, tmp_path))
    process.start()
    process.join(120)
    assert process.exitcode == 0 and (tmp_path / "dev_ims.npy").read_bytes() == (places[0] / "dev_ims.npy").read_bytes()


def _merge_in_little_memory(places, out):
    import resource

    private = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    most = int(private.split()[1]) * 1024 + 80 * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # what is mapped from files does not count
    merge(places, out)


def test_the_commands(tmp_path, capsys, monkeypatch):
    pictures, test = data.sample_dir().parent / "pictures", data.open_split(data.sample_dir(), "test")
    lines = [f"{test.ids[i]}#{k}\t{test.captions[5 * i + k]}" for i in range(12) for k in range(5)]
    (tmp_path / "captions.token").write_text("\n".join([*lines, "gone.png#0\tA picture that is not there ."]))
    monkeypatch.chdir(tmp_path)
    base = ["extract", str(pictures), "--captions", "captions.token", "--model", "sample", "--out"]
    assert cli.main([*base, "whole_precomp"]) == 0
    told = capsys.readouterr().out
    for i in range(2):
        assert cli.main([*base, "a_precomp", "--shard", f"{i}/2"]) == 0
        assert capsys.readouterr().out.endswith(
            f"written to a_precomp/shard-{i}-of-2; next, when all 2 are: "
            "hrem extract --merge a_precomp/shard-*-of-2 --out a_precomp\n"
        )
    every = [f"a_precomp/shard-{i}-of-2" for i in range(2)]
    assert cli.main(["extract", "--out", "a_precomp", "--merge", *every, "--delete-shards"]) == 0
    assert sorted(capsys.readouterr().out.replace("a_precomp", "whole_precomp").splitlines()) == sorted(
        told.splitlines()
    )
    assert "left out gone.png: not found" in told
    assert contents(tmp_path / "a_precomp") == contents(tmp_path / "whole_precomp")
    assert not list((tmp_path / "a_precomp").glob("shard*"))
    for words, said in {
        ("extract", "--merge", *every, "--out", "b"): "got no shard, wanted a folder that",
        ("extract", "--merge", *every, "--out", "b", "--shard", "0/2"): "--merge: wanted the shards' folders",
        ("extract", "a", "--delete-shards", "--out", "b"): "--merge: wanted the shards' folders",
        (*base, "b", "--shard", "2/2"): "--shard: got '2/2', wanted I/N with I from 0 to N - 1",
        ("extract", "a", "b", "--captions", "captions.token", "--out", "b"): "b: got a second folder",
        (*base, "a_precomp", "--shard", "0/3"): "is there already",
    }.items():
        assert cli.main(list(words)) == 2, words
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "b").exists()


PAGE = (ROOT / "docs" / "many-machines.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("kind", ["sbatch", "torchrun"])
def test_lines_for_slurm_and_torchrun_give_every_shard_once(tmp_path, kind):
    """With an `hrem` that writes down what it is asked."""
    (line,) = re.findall(rf"^{kind} .*hrem extract.*$", PAGE, re.MULTILINE)
    (tmp_path / "hrem").write_text('#!/bin/sh\necho "$@" > "$ASKED/$$"\n')
    (tmp_path / "hrem").chmod(0o755)
    (tmp_path / "asked").mkdir()
    known = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked")}
    words = shlex.split(line)
    if kind == "sbatch":
        first, last = map(int, re.search(r"--array=(\d+)-(\d+)", line).groups())
        count = last - first + 1
        for i in range(first, last + 1):
            task = {"SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": str(count)}
            subprocess.run(["bash", "-c", words[-1]], check=True, env=known | task)
    else:
        count = 4
        subprocess.run([sys.executable, "-m", "torch.distributed.run", *words[1:]], check=True, env=known)
    asked = [path.read_text().split() for path in (tmp_path / "asked").iterdir()]
    assert sorted(read_shard(words[-1]) for words in asked) == [Shard(i, count) for i in range(count)]
    for words in asked:
        assert words[0] == "extract" and not cli.parser().parse_known_args(words)[1]


def test_the_recipe_with_ray(tmp_path):
    pytest.importorskip("ray.data", reason="pip install hrem[ray]")
    pictures, train = data.sample_dir().parent / "pictures", data.open_split(data.sample_dir(), "train")
    lines = [f"{train.ids[i]}#{k}\t{train.captions[5 * i + k]}" for i in range(82) for k in range(5)]
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    (tmp_path / "photos").symlink_to(pictures, target_is_directory=True)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for old, new in (("networks.DETECTOR, 16, 2", '"sample", 3, 2'),
                     ("ray.init()", "ray.init(num_cpus=3, include_dashboard=False, object_store_memory=10**8)")):  # fmt: skip # noqa: E501
        assert old in code
        code = code.replace(old, new)
    (tmp_path / "recipe.py").write_text(code)
    for _ in range(3):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        done = subprocess.run([sys.executable, "recipe.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
        if "timed out during startup" not in done.stderr:
            break
    else:
        pytest.skip("Ray does not start within its 30 seconds: the machine is too busy")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "82 pictures" in done.stdout
    items = read_captions(tmp_path / "captions.csv")
    run(tmp_path / "photos", tmp_path / "whole", None, open_extractor("sample"), assign_splits(items))
    assert contents(tmp_path / "data" / "mine_precomp") == contents(tmp_path / "whole")


def test_a_split_and_its_fingerprint_are_as_before():
    import hashlib

    items = SPLITS["train"]
    written = json.dumps([[item.name, item.captions] for item in items])
    assert extract._fingerprint(items) == hashlib.sha256(written.encode()).hexdigest()[:16]
