"""Grids of arms and seeds."""

import json
import re

import numpy as np
import pytest
import tiny

from hrem_lib import evaluation, metrics
from hrem_lib.cli import main
from hrem_lib.errors import UserError
from hrem_lib.metrics import rank_metrics
from hrem_lib.study import grids, results, tables
from hrem_lib.study.runs import run_grid

GRID = """
preset: f8k
settings:
  model.embed_dim: 16
  model.heads: 2
  model.word_dim: 12
  model.min_word_count: 1
  graph.top_matches: 4
  loss.sampling_dim: 16
  training.batch_size: 16
  training.epochs: 1
  training.warmup_steps: 2
  training.decay_epochs: []
seeds: [0, 1]
arms:
  "lambda = 0": {graph.relevance_weight: 0}
  none-random: {graph.interaction: none}
pairs:
  both: ["lambda = 0", none-random]
"""


def test_grids_that_come_with_the_library():
    assert {"sample", "f8k"} <= {path.stem for path in grids.GRIDS.glob("*.yaml")}
    for path in grids.GRIDS.glob("*.yaml"):
        cells = grids.read_grid(path.stem)
        wanted = 1 if "-choice" in path.stem else 3  # a choice on dev is no result
        assert len({c.config.training.seed for c in cells}) >= wanted
        assert [c.name for c in cells] == list(dict.fromkeys(c.name for c in cells))


def test_main_grids_name_the_arms_of_the_table():
    for study in ("sample", "f8k"):
        arms = {cell.arm for cell in grids.read_grid(study)}
        assert {f"{kind}-{batches}" for kind in tables.ARMS for batches in ("random", "neighbor")} <= arms
        for cell in grids.read_grid(study):
            if cell.arm.split("-")[0] not in tables.ARMS:
                continue
            kind, batches = cell.config.graph.interaction, cell.config.sampling.neighbor_epoch
            assert cell.arm == f"{kind}-{'neighbor' if batches else 'random'}"


def test_grid_is_run_resumed_and_left_alone_when_finished(tmp_path, capfd):
    data = tiny.write(tmp_path)
    grid = tmp_path / "small.yaml"
    grid.write_text(GRID)
    places = ["--data", str(data), "--runs", str(tmp_path / "runs"), "--folder", str(tmp_path / "out"), "--jobs", "2"]
    assert main(["ablate", str(grid), *places]) == 0
    table = capfd.readouterr().out
    assert f"small-lambda-0-0: starts, {tmp_path / 'runs' / 'small-lambda-0-0.log'}\n" in table
    assert re.findall(r": dev rSum [\d.]+; (\d of 6) done, \d+ s", table) == [f"{k} of 6" for k in range(1, 7)]
    assert "| lambda = 0 | random | 2 |" in table and "| base (no instance-level part) | random | 2 |" in table
    files = sorted((tmp_path / "out" / "small").glob("small-*.json"))
    assert [f.stem for f in files] == [
        "small-both-0", "small-both-1",
        "small-lambda-0-0", "small-lambda-0-1", "small-none-random-0", "small-none-random-1",
    ]  # fmt: skip
    pair = json.loads(files[1].read_text())
    assert pair["members"] == ["small-lambda-0-1", "small-none-random-0"]  # the second with the next seed
    command = ["evaluate", *(str(tmp_path / "runs" / name) for name in pair["members"]), "--json"]
    assert main([*command, str(tmp_path / "pair.json")]) == 0
    assert json.loads((tmp_path / "pair.json").read_text())["rSum"] == pair["test"]["rSum"]
    files = files[2:]
    result = results.load_file(files[1])
    i2t, t2i = (results.unpack(result["ranks"][side]) for side in ("i2t", "t2i"))
    stored, again = result["test"], rank_metrics(i2t, t2i)
    assert again["rSum"] == stored["rSum"] and again["i2t"]["R@5"] == stored["i2t"]["R@5"]
    assert set(result["subsets"]) == {"scarce", "ambiguous"} and result["subsets"]["scarce"].count("1") == 2
    assert result["seed"] == 1 and result["config"]["graph"]["relevance_weight"] == 0 and result["study"] == "small"
    assert str(tmp_path) not in files[1].read_text()

    assert len(result["dev_by_epoch"]) == 1 and result["dev_by_epoch"][0] == pytest.approx(
        result["dev"]["rSum"], abs=0.01
    )
    del result["config"]["loss"]["draws"]  # a file of an older version: without that setting, beside the folder
    files[1].unlink()
    files[1] = tmp_path / "out" / files[1].name
    files[1].write_text(json.dumps(result))
    before = files[0].stat().st_mtime_ns, files[1].stat().st_mtime_ns
    files[2].unlink()  # its run is still there: only the file is written again
    assert main(["ablate", str(grid), *places]) == 0
    assert "5 of them finished before" in capfd.readouterr().out and files[2].is_file()
    assert before == (files[0].stat().st_mtime_ns, files[1].stat().st_mtime_ns)

    grid.write_text(GRID.replace("training.epochs: 1", "training.epochs: 2"))
    assert main(["ablate", str(grid), *places]) == 2
    assert "got a result with other settings" in capfd.readouterr().err


def test_ranks_are_made_in_the_precision_of_the_run(tmp_path, monkeypatch):
    data = tiny.write(tmp_path)
    grid = tmp_path / "small.yaml"
    arms = "  half: {training.precision: bfloat16}\n"
    grid.write_text(GRID.split("arms:")[0].replace("[0, 1]", "[0]") + "arms:\n" + arms)
    seen, encode = [], evaluation.encode_split
    monkeypatch.setattr(evaluation, "encode_split", lambda *a, **k: (seen.append(k["precision"]), encode(*a, **k))[1])
    (path,) = run_grid(grids.read_grid(grid, data), tmp_path / "runs", tmp_path / "out")
    result = json.loads(path.read_text())
    again = rank_metrics(*(results.unpack(result["ranks"][side]) for side in metrics.DIRECTIONS))
    assert seen == [["bfloat16"]] and again["rSum"] == result["test"]["rSum"]


def one_run(tmp_path, arms="  base: {}\n", seeds="[0]"):
    """A grid file of few runs."""
    grid = tmp_path / "small.yaml"
    grid.write_text(GRID.split("arms:")[0].replace("[0, 1]", seeds) + "arms:\n" + arms)
    return grid


def test_a_grid_trains_beside_its_runs_and_again_in_a_folder_of_its_own(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    command = ["ablate", str(one_run(tmp_path)), "--data", str(tiny.write(tmp_path))]
    (tmp_path / "results").mkdir()  # the reported ones: another result of that name is no reason to train nothing
    (tmp_path / "results" / "small-base-0.json").write_text("{}")
    assert main(command) == 0
    first = tmp_path / "runs" / "ablate" / "small-results" / "small" / "small-base-0.json"
    assert first.is_file() and (tmp_path / "results" / "small-base-0.json").read_text() == "{}"
    assert f"written to {first.parents[1].relative_to(tmp_path)}" in capfd.readouterr().out
    assert main(command) == 0
    assert "1 runs, 1 of them finished before" in capfd.readouterr().out
    assert main([*command, "--again"]) == 0
    assert "1 runs, 0 of them finished before" in capfd.readouterr().out
    (second,) = tmp_path.glob("runs/ablate/*/small-results/small/small-base-0.json")
    assert (second.parents[2] / "small-base-0" / "metrics.json").is_file() and second != first
    assert json.loads(second.read_text())["ranks"] == json.loads(first.read_text())["ranks"]
    assert main([*command, "--folder", "elsewhere"]) == 0  # its run is there: only the file is written
    assert "starts" not in capfd.readouterr().out and (tmp_path / "elsewhere" / "small" / "small-base-0.json").is_file()


def test_an_interrupted_run_of_a_grid_goes_on(tmp_path, capfd):
    data = tiny.write(tmp_path)
    cells = grids.read_grid(one_run(tmp_path), data)
    runs = tmp_path / "runs"
    (path,) = run_grid(cells, runs, tmp_path / "out")
    path.unlink()
    (runs / cells[0].name / "metrics.json").unlink()  # as if it was killed after its last epoch
    capfd.readouterr()
    assert run_grid(cells, runs, tmp_path / "out") == [path]
    assert f"{cells[0].name}: goes on" in capfd.readouterr().out
    assert "continues" in (runs / f"{cells[0].name}.log").read_text()
    path.unlink()
    for name in (
        path.name for path in list((runs / cells[0].name).iterdir()) if path.is_file() and path.name != ".lock"
    ):
        (runs / cells[0].name / name).unlink()
    for left in (runs / cells[0].name / "tensorboard").iterdir():
        left.unlink()
    (runs / cells[0].name / "tensorboard").rmdir()  # killed in its first moments: the folder and its lock
    assert run_grid(cells, runs, tmp_path / "out") == [path]
    assert f"{cells[0].name}: starts" in capfd.readouterr().out


def test_a_test_split_with_one_caption_a_picture(tmp_path):
    data = tiny.write(tmp_path)
    rng = np.random.default_rng(1)
    np.save(data / "test_ims.npy", rng.standard_normal((20, 4, 16)).astype(np.float32))
    lines = [f"a {word} dog and a {word} tree" for word in tiny.WORDS + tiny.WORDS[:8]]
    (data / "test_caps.txt").write_text("\n".join(lines) + "\n")
    (path,) = run_grid(grids.read_grid(one_run(tmp_path), data), tmp_path / "runs", tmp_path / "out")
    result = results.load_file(path)
    assert len(result["ranks"]["i2t"]) == len(result["ranks"]["t2i"]) == 20
    assert {name: len(mask) for name, mask in result["subsets"].items()} == {"scarce": 20, "ambiguous": 20}
    assert "| scarce (5) |" in tables.subset_table([result], "small")


def test_an_ensemble_reads_each_member_in_its_own_precision(tmp_path, monkeypatch):
    grid = one_run(tmp_path, "  base: {}\n  half: {training.precision: bfloat16}\npairs:\n  both: [half, base]\n")
    seen, encode = [], evaluation.encode_images
    monkeypatch.setattr(evaluation, "encode_images", lambda *a: (seen.append(a[4]), encode(*a))[1])
    run_grid(grids.read_grid(grid, tiny.write(tmp_path)), tmp_path / "runs", tmp_path / "out")
    assert seen == ["float32", "bfloat16", *["bfloat16", "float32"] * 2]  # base, half, both on test and on dev


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path, capfd):
    data = tiny.write(tmp_path)
    grid = tmp_path / "small.yaml"
    # batches of 2,000 pairs cannot be drawn from 200
    arms = '  large: {training.batch_size: 2000}\n  "lambda = 0": {graph.relevance_weight: 0}\n'
    grid.write_text(GRID.split("arms:")[0].replace("[0, 1]", "[0]") + "arms:\n" + arms)
    places = ["--data", str(data), "--runs", str(tmp_path / "runs"), "--folder", str(tmp_path / "out")]
    assert main(["ablate", str(grid), *places]) == 2
    assert "small-large-0.log: the run ended with code 2" in capfd.readouterr().err
    assert [f.stem for f in (tmp_path / "out").rglob("small-*.json")] == ["small-lambda-0-0"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("preset: f8k", "preset: f9k"), "preset: got 'f9k'"),
        (("graph.relevance_weight: 0", "graph.relevance_wait: 0"), "nearest valid name is graph.relevance_weight"),
        (("seeds: [0, 1]", "seeds: [1, 1]"), "wanted a list of different numbers"),
        (("seeds: [0, 1]", "seeds: 3"), "wanted a list of different numbers"),
        (("  none-random: {", '  "lambda: 0": {}\n  none-random: {'), "wanted names that make files apart"),
        (("arms:", "arm:"), "unknown key 'arm'"),
        (('"lambda = 0", none-random]', "base]"), "wanted a name and two arms for each"),
        (('"lambda = 0", none-random]', "base, none-random]"), "pairs: got 'base', wanted one of"),
        (("preset: f8k", "preset: [f8k"), "not readable as YAML"),
    ],
)
def test_bad_grids(tmp_path, change, sentence):
    path = tmp_path / "bad.yaml"
    path.write_text(GRID.replace(*change))
    with pytest.raises(UserError, match=r"bad\.yaml|preset") as error:
        grids.read_grid(path)
    assert sentence in str(error.value)


def test_unknown_grid():
    with pytest.raises(UserError, match=r"no-such: not found, wanted a YAML file or one of .*sample"):
        grids.read_grid("no-such")
