"""`hrem index` and `hrem search` on the shipped model: the answers are those of the evaluation's similarity matrix."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from hrem_lib import checkpoints, cli, data, evaluation
from hrem_lib.errors import UserError
from hrem_lib.plots import style
from hrem_lib.search import export, index_folder
from hrem_lib.search import index as search_index
from hrem_lib.search.index import recall
from hrem_lib.search.panel import _thumbnail, panel
from hrem_lib.search.searcher import Hit, Searcher
from hrem_lib.text import WordPiece


@pytest.fixture(scope="module")
def run():
    return checkpoints.load_run(data.sample_run())


@pytest.fixture(scope="module")
def split():
    return data.open_split(data.sample_dir(), "test")


@pytest.fixture(scope="module")
def folder(run, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    index_folder.write_index(run, [split], folder)
    return folder


@pytest.fixture(scope="module")
def searcher(run, folder):
    return Searcher(run, folder)


@pytest.fixture(scope="module")
def similarity(run, split):
    images = evaluation.encode_images(run.model, split)
    return (images @ evaluation.encode_texts(run.model, run.text.encode(split.captions)).T).numpy()


def test_text_finds_the_images_of_the_similarity_matrix(searcher, similarity, split):
    for caption in (3, 400, 999):
        hits = searcher.images(split.captions[caption], 7)
        wanted = np.argsort(-similarity[:, caption])[:7]
        assert [hit.item for hit in hits] == wanted.tolist()
        np.testing.assert_allclose([hit.score for hit in hits], similarity[wanted, caption], atol=1e-5)
        assert hits[0].line == split.ids[wanted[0]]


def test_a_picture_file_finds_the_captions_of_the_similarity_matrix(searcher, similarity, split):
    """Regions are found anew, from pixels; stored features are rounded to half precision, so scores differ a little."""
    path = data.sample_dir().parent / "pictures" / split.ids[11]
    hits = searcher.captions(path, 5)
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(similarity[11])[::-1][:5], atol=0.01)
    assert hits[0].line == split.captions[hits[0].item] and hits[0].item in np.argsort(-similarity[11])[:3]
    assert searcher.captions(Image.open(path), 5) == hits


def test_what_the_folder_says(folder, split):
    info = index_folder.read_info(folder)
    assert info["images"] == {"kind": "exact", "items": 200, "width": 128}
    assert info["captions"]["items"] == 1000 and info["model"] == "sample" and info["splits"] == ["test"]
    assert (folder / "captions.txt").read_text().splitlines() == split.captions


def test_approximate_folder_is_read_as_it_was_written(run, split, tmp_path, similarity, monkeypatch):
    monkeypatch.setattr(search_index, "APPROXIMATE_FROM", 1000)
    info = index_folder.write_index(run, [split], tmp_path)
    assert info["images"]["kind"] == "exact" and info["captions"]["kind"] == "float16"
    assert info["captions"]["recall_at_10"] >= 0.9 and (tmp_path / "captions.faiss").is_file()
    index, lines = index_folder.open_index(tmp_path, "captions")
    images = evaluation.encode_images(run.model, split).numpy()
    wanted = np.argsort(-similarity, axis=1)[:, :10]
    assert recall(index.search(images, 10)[1], wanted) == pytest.approx(info["captions"]["recall_at_10"], abs=1e-3)
    assert lines == split.captions


def test_several_splits_are_numbered_through(run, split, folder, tmp_path):
    dev = data.open_split(data.sample_dir(), "dev")
    info = index_folder.write_index(run, [dev, split], tmp_path)
    assert info["images"]["items"] == 400 and info["splits"] == ["dev", "test"]
    both, alone = Searcher(run, tmp_path), Searcher(run, folder)
    hits = both.images("a dog chases a man", 400)
    assert [(h.item - 200, h.line) for h in hits if h.item >= 200] == [
        (h.item, h.line) for h in alone.images("a dog chases a man", 200)
    ]
    assert {h.line for h in hits if h.item < 200} == set(dev.ids)


def test_export(folder, tmp_path, split, run):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert [p.name for p in export.export_parquet(folder, tmp_path)] == ["images.parquet", "captions.parquet"]
    images, captions = (parquet.read_table(tmp_path / f"{side}.parquet") for side in index_folder.SIDES)
    assert images.column_names == ["id", "vector", "name"] and images["name"].to_pylist() == split.ids
    np.testing.assert_array_equal(np.array(images["vector"].to_pylist(), np.float32), np.load(folder / "images.npy"))
    assert captions["caption"].to_pylist() == split.captions and captions["id"].to_pylist() == list(range(1000))
    assert captions["image"].to_pylist() == split.image_of_caption.tolist()


def test_panel_shows_thumbnails_on_enter(searcher):
    box, answers = panel(searcher, k=4).children
    assert answers.value == ""
    box.value = "a man surfing a wave"
    assert answers.value.count("<img alt='test/") == 4 and answers.value.count("base64,/9j/") == 4
    first = searcher.images("a man surfing a wave", 1)[0]
    assert first.line in answers.value.split("</figure>")[0] and f"{first.score:.2f}" in answers.value
    before = answers.value
    box.value = "a dog"
    assert answers.value != before
    box.value = "  "  # no question, no change
    assert answers.value.count("<img") == 4


def test_names_are_escaped_in_the_panel(searcher):
    text = _thumbnail(None, Hit(0, 0.5, "<script>'x'"), 50)
    assert "<script>" not in text and "&lt;script&gt;&#x27;x&#x27;" in text


def test_commands(folder, tmp_path, capsys, split):
    run = tmp_path / "run"
    shutil.copytree(data.sample_run(), run)
    assert cli.main(["search", str(run), "a dog", "--index", str(run / "index")]) == 2  # without --index one is made
    assert "hrem index RUN" in capsys.readouterr().err
    assert cli.main(["index", str(run), "--export", str(tmp_path / "export")]) == 0
    assert "200 images of width 128, exact search" in capsys.readouterr().out
    assert (tmp_path / "export" / "captions.parquet").is_file()
    assert cli.main(["search", str(run), "a man surfing a wave", "-k", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0].split()[2] in split.ids and lines[0].startswith("  1   0.")
    assert Image.open(run / "search.png").width > 500
    picture = data.sample_dir().parent / "pictures" / split.ids[0]
    assert cli.main(["search", str(run), "--image", str(picture), "-k", "3"]) == 0
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either a sentence"),
        (["a dog", "--image", "x.png"], "either a sentence"),
        (["  "], "wanted some words"),
        (["a dog", "-k", "0"], "at least one answer"),
        (["--image", "nowhere.png"], "not readable as a picture"),
        (["a dog", "--index", "nowhere"], "nowhere/index.json: not found"),
    ],
)
def test_faulty_searches_give_one_sentence(folder, arguments, words, capsys):
    command = ["search", str(data.sample_run()), *arguments]
    if "--index" not in arguments:
        command += ["--index", str(folder)]
    assert cli.main(command) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_words_that_the_run_does_not_know_are_named(folder, capsys, tmp_path):
    def search(text):
        settings = ["--index", str(folder), "--save", str(tmp_path / "x.png"), "-k", "2"]
        return cli.main(["search", str(data.sample_run()), text, *settings])

    assert search("a dog") == 0
    plain = capsys.readouterr()
    assert plain.err == ""
    assert search("a zzz dog, ZZZ qqq") == 0
    other = capsys.readouterr()
    assert other.err == "words not known to the run: zzz, qqq\n" and other.out.count("\n") == 3
    for nothing in ("zzz qqq", "..."):
        assert search(nothing) == 2
        message = capsys.readouterr()
        assert message.out == "" and message.err.count("\n") == 1
        assert f"got {nothing!r}, of which the run knows no word" in message.err


def test_the_panel_names_unknown_words(searcher):
    box, answers = panel(searcher, k=2).children
    box.value = "a dog <b>zzz"
    assert answers.value.count("<figure") == 2 and "words not known to the run: b, zzz<" in answers.value
    box.value = "<b>zzz</b>"
    assert "of which the run knows no word" in answers.value and "<figure" not in answers.value
    assert "<b>" not in answers.value
    box.value = "a dog"
    assert "known" not in answers.value and answers.value.count("<figure") == 2


def test_unknown_pieces_of_a_bert_run(folder, run):
    searcher = Searcher(run._replace(text=WordPiece.train(["a dog runs"], 80)), folder)
    assert searcher.unknown("A dog, 狗 xyz!") == ["狗", "xyz"]
    with pytest.raises(UserError, match="of which the run knows no word"):
        searcher.images("狗!")


def test_damaged_folders(folder, tmp_path, run):
    def copy(name):
        shutil.copytree(folder, tmp_path / name)
        return tmp_path / name

    short = copy("short")
    (short / "images.txt").write_text("one\n")
    with pytest.raises(UserError, match="got 1 lines"):
        index_folder.open_index(short, "images")
    other = copy("other")
    info = json.loads((other / "index.json").read_text())
    info["captions"]["width"] = 64
    np.save(other / "captions.npy", np.ones((1000, 64), np.float32))
    (other / "index.json").write_text(json.dumps(info | {"model": None}))
    searcher = Searcher(run, other)
    with pytest.raises(UserError, match="wanted --model NAME"):
        searcher.captions(Image.new("RGB", (9, 9)))
    with pytest.raises(UserError, match="index of width 64, wanted 128"):
        Searcher(run, other, model="sample").captions(Image.new("RGB", (9, 9)))
    (other / "index.json").write_text("{")
    with pytest.raises(UserError, match="readable as JSON"):
        index_folder.read_info(other)


def test_a_picture_outside_its_folder_is_not_opened(run, folder, split, tmp_path):
    """The names of an index or a split may be another's."""
    (tmp_path / "pictures" / "test").mkdir(parents=True)
    for path in ("secret.png", "pictures/test/in.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / path)
    searcher = Searcher(run, folder, pictures=tmp_path / "pictures")
    assert searcher.picture(Hit(0, 1.0, "test/in.png")).size == (8, 6)
    for name in ("../secret.png", "test/../../secret.png", str(tmp_path / "secret.png")):
        assert searcher.picture(Hit(0, 1.0, name)) is None
        other = dataclasses.replace(split, folder=tmp_path / "sample_precomp", ids=[name])
        with pytest.raises(FileNotFoundError, match="outside the folder"):
            style.picture(other, 0)


def test_pictures_that_were_moved(run, folder, tmp_path):
    info = json.loads((folder / "index.json").read_text())
    away = tmp_path / "away"
    shutil.copytree(folder, away)
    (away / "index.json").write_text(json.dumps(info | {"pictures": None}))
    hit = Hit(0, 1.0, "test/0000.png")
    assert Searcher(run, away).picture(hit) is None
    moved = Searcher(run, away, pictures=data.sample_dir().parent / "pictures")
    assert moved.picture(hit).size == (192, 144) and moved.picture(hit._replace(line="none.png")) is None
