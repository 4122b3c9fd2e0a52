"""The benchmark runs, at toy sizes, and its report says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
