"""Result files and the tables made from them."""

import json

import pytest

from hrem_lib import config as configs
from hrem_lib import results
from hrem_lib.config import UserError


def fake_run(folder, seed, value, interaction="fusion", neighbor=0):
    folder.mkdir()
    config = configs.preset("f8k").override({"training.seed": seed, "graph.interaction": interaction})
    config = config.override({"sampling.neighbor_epoch": neighbor, "data.folder": "/somewhere/private/f8kmix_precomp"})
    config.save(folder / "config.json")
    side = {"R@1": value, "R@5": value + 1, "R@10": value + 2, "MedR": 3, "MeanR": 9.0}
    figures = {"images": 10, "captions": 50, "i2t": side, "t2i": side, "rSum": 6 * value + 6}
    metrics = {"seed": seed, "epoch": 2, "selected_on": "dev", "dev": figures, "test": figures}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"versions": {}, "seconds": 1}))
    return folder


def test_publish_writes_files_and_fills_the_table(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results f8k -->\nold\n<!-- end -->\nafter\n")
    runs = [fake_run(tmp_path / f"run{seed}", seed, value) for seed, value in ((0, 10.0), (1, 20.0))]
    runs.append(fake_run(tmp_path / "base", 0, 5.0, "none"))
    results.publish(runs, tmp_path / "results", readme)
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == ["f8k-fusion-random-0.json", "f8k-fusion-random-1.json", "f8k-none-random-0.json"]
    text = readme.read_text()
    assert "old" not in text and text.startswith("before") and text.endswith("after\n")
    assert "| HREM, fusion | random | 2 | 15.0 / 16.0 / 17.0 | 15.0 / 16.0 / 17.0 | 96.0 (66.0 to 126.0) |" in text
    assert text.index("base") < text.index("HREM, fusion")
    assert "/somewhere" not in (tmp_path / "results" / "f8k-none-random-0.json").read_text()
    again = results.fill(text, results.load(tmp_path / "results"))
    assert again == text


def test_neighbor_batches_are_an_arm_of_their_own(tmp_path):
    assert results.from_run(fake_run(tmp_path / "run", 3, 1.0, "standalone", 4))["name"] == "f8k-standalone-neighbor-3"


def test_unfinished_run(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.json: not found"):
        results.from_run(tmp_path)
