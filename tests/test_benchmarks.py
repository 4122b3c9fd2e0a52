"""The benchmark runs, at toy sizes, and its report says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from hrem_lib import training

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_tiny_form(tmp_path):
    command = [sys.executable, BENCHMARKS / "run.py", "--form", "tiny", "--out", tmp_path, "--scratch", tmp_path]
    subprocess.run([*command, "--only", "loader", "graph", "pooling", "step"], check=True, capture_output=True)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {row["group"] for row in found["rows"]} == {"loader", "graph", "pooling", "training step", "optimizer"}
    assert all(row["seconds"] > 0 and row.get("share", 1) > 0 for row in found["rows"])
    after = next(row for row in found["rows"] if row["name"] == "bert-2, after warm-up")
    assert set(after["parts"]) == {"images", "texts", "relation", "losses", "backward", "clipping", "optimizer"}
    assert 0.5 < sum(after["parts"].values()) / after["seconds"] < 1
    table = (tmp_path / "bench.md").read_text()
    assert "| graph: matching, forward | N = 8 | float32 |" in table
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("shares.png", "roofline.png"))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["bench.json", "bench.md", "roofline.png", "shares.png"]  # the sparse file is gone


def test_query_times(tmp_path):
    command = [sys.executable, BENCHMARKS / "query.py", "--items", "50", "200", "--fragments", "50"]
    subprocess.run([*command, "--json", tmp_path / "query.json"], check=True, capture_output=True)
    small, large = json.loads((tmp_path / "query.json").read_text())["rows"]
    assert small["embeddings_ms"] > 0 < small["score_based_ms"] and "score_based_ms" not in large


def test_engines(tmp_path):
    """All that are installed; the others are named."""
    command = [sys.executable, BENCHMARKS / "engines.py", "--items", "600", "--queries", "5", "--width", "32"]
    done = subprocess.run([*command, "--json", tmp_path / "found.json"], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 12 and "failed" not in done.stdout
    rows = {row["engine"]: row for row in json.loads((tmp_path / "found.json").read_text())["rows"]}
    assert len(rows) == 12 - done.stdout.count("left out: ") >= 3
    for name in ("numpy, exact", "FAISS, exact"):
        assert rows[name]["recall_at_10"] == 1 and 0 <= rows[name]["memory_mb"] < 200
    assert all(row["recall_at_10"] == 1 for name, row in rows.items() if "flat" in name and "IVF" not in name)


def test_clusters(tmp_path):
    command = [sys.executable, BENCHMARKS / "clusters.py", "--images", "1500", "--width", "32"]
    subprocess.run([*command, "--json", tmp_path / "found.json"], check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["clusters"] == 46 == found["clusters left"] + found["small clusters"]
    assert found["k-means"]["cpu_seconds"] > 0 and found["merging"]["peak_gb"] < 1


@pytest.mark.parametrize(("kind", "share"), [("fusion", 0.5), ("standalone", 0.5), ("fusion", 1.0)])
def test_what_the_relation_part_adds(tmp_path, kind, share):
    change = {"graph__interaction": kind, "graph__neighbor_share": share, "training__warmup_steps": 2}
    config = tiny.config(tiny.write(tmp_path), training__epochs=1, **change)
    training.train(config, tmp_path / "run")
    command = [sys.executable, BENCHMARKS / "relations.py", tmp_path / "run", "--batches", "2"]
    subprocess.run([*command, "--json", tmp_path / "found.json"], check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    connected = round(share * 40) if kind == "fusion" else 10  # of 20 pairs, in each block
    own = [found["own caption connected (i2t)"], found["own picture connected (t2i)"]]
    assert own == [1, 1] if share == 1 else all(0 < value <= 1 for value in own)
    assert found["connected nodes"] == connected and 1 <= found["effective nodes"] <= connected
    assert -1 <= found["gradient cosine, enhanced"] <= 1 and 0 < found["gradient cosine, L(v, u), another draw"] < 1
