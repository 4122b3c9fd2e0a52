"""Search over many embeddings: recall, time a query and memory of the approximate indexes beside the exact one.

    python benchmarks/index.py --items 100000 1000000 --kind float16 compact --json results.json

Embeddings are made, not learned: loose groups of about 100 in a cloud whose 128 directions get weaker one after the
other, as those of learned embeddings do. (A cloud as wide in all directions would be too hard for any index, tight
groups too easy.) Queries come from the same cloud and are not among the items. Each index has a process and so memory
of its own (Linux).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from hrem_lib.search.index import KINDS, build_index, exact_answers, recall

NOISE = 3.0  # length of the cloud's part for a center of length 1: groups overlap, and lists cut through them


def draw(centers: np.ndarray, directions: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit-length vectors [count,D] around centers drawn at random."""
    noise = rng.standard_normal((count, len(directions)), dtype=np.float32) @ directions
    found = centers[rng.integers(len(centers), size=count)] + NOISE * noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def cloud(items: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centers of groups of about 100 items, and the cloud's directions, for `draw`."""
    centers = rng.standard_normal((max(2, items // 100), width), dtype=np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    strength = np.arange(1, 129, dtype=np.float32) ** -0.5
    strength /= np.linalg.norm(strength)
    return centers, strength[:, None] * rng.standard_normal((128, width), dtype=np.float32) / np.sqrt(width)


def make(folder: Path, items: int, queries: int, width: int, step: int = 50_000) -> None:
    """items.npy (float16) and queries.npy (float32) in `folder`."""
    rng = np.random.default_rng(0)
    centers, directions = cloud(items, width, rng)
    stored = np.lib.format.open_memmap(folder / "items.npy", "w+", np.float16, (items, width))
    for start in range(0, items, step):
        stored[start : start + step] = draw(centers, directions, min(step, items - start), rng)
    stored.flush()
    np.save(folder / "queries.npy", draw(centers, directions, queries, rng))


def resident() -> float:
    """Memory of this process in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):  # without mapped files
            return int(line.split()[1]) / 1e6
    return float("nan")


def measure(folder: Path, kind: str) -> dict:
    """Build an index of one kind and search it."""
    stored, queries = np.load(folder / "items.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    before, began = resident(), time.perf_counter()
    index = build_index(stored, queries, kind)
    built, memory = time.perf_counter() - began, resident() - before
    wanted = exact_answers(stored, queries[:500], 10)
    times = []
    for query in queries[:100]:
        began = time.perf_counter()
        index.search(query[None], 10)
        times.append(time.perf_counter() - began)
    began = time.perf_counter()
    found = index.search(queries[:500], 10)[1]
    together = (time.perf_counter() - began) / len(found)
    return {
        **index.info,
        "recall_at_10": round(recall(found, wanted), 4),
        "build_s": round(built, 1),
        "one_query_ms": round(1e3 * float(np.median(times)), 2),
        "query_of_500_ms": round(1e3 * together, 2),
        "memory_gb": round(memory, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000])
    parser.add_argument("--kind", nargs="+", default=["float16"], choices=KINDS, help="beside exact")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where the vectors are put (default: a temporary folder)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    if args.measure:
        print(json.dumps(measure(args.folder, args.measure)))
        return
    rows = []
    print(f"{'items':>9} {'kind':<8} {'lists':>6} {'probed':>6} {'recall@10':>9} {'one query':>11} {'of 500':>10} {'memory':>8} {'build':>8}")  # fmt: skip # noqa: E501
    for items in args.items:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            make(Path(folder), items, args.queries, args.width)
            for kind in dict.fromkeys(["exact", *args.kind]):
                command = [
                    sys.executable,
                    __file__,
                    "--measure",
                    kind,
                    "--folder",
                    folder,
                    "--threads",
                    str(args.threads),
                ]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                row = json.loads(done.stdout)
                rows.append(row)
                print(
                    f"{items:>9} {kind:<8} {row.get('lists', ''):>6} {row.get('probed', ''):>6} "
                    f"{row['recall_at_10']:>9.4f} {row['one_query_ms']:>8.2f} ms {row['query_of_500_ms']:>7.2f} ms "
                    f"{row['memory_gb']:>5.2f} GB {row['build_s']:>6.0f} s",
                    flush=True,
                )
    if args.json:
        about = {"faiss": faiss.__version__, "machine": platform.machine(), "threads": args.threads}
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
