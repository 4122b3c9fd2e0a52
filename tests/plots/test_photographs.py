"""A student's own photographs: planted answers, boxes and misses as they are drawn, and what is said is missing."""

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from hrem_lib import data, plots
from hrem_lib.plots import photographs
from tests import tiny

SIZE = (60, 40)  # of a photograph: width, height
OWNER = np.repeat(np.arange(10), 5)


@pytest.fixture
def folder(tmp_path):
    """Ten photographs with file names and boxes in the public layout; photograph i is of one gray, 20 i."""
    made, pictures = tiny.write(tmp_path), tmp_path / "album"
    pictures.mkdir()
    names = [f"{i}.png" for i in range(10)]
    for i, name in enumerate(names):
        Image.new("RGB", SIZE, (20 * i,) * 3).save(pictures / name)
    (made / "test_ids.txt").write_text("\n".join(names) + "\n")
    boxes = np.array([[0, 0, 60, 40], [5, 5, 20, 30], [30, 10, 55, 35], [30, 10, 55, 35]], np.float32)
    np.save(made / "test_boxes.npy", np.tile(boxes, (10, 1, 1)))
    return made


@pytest.fixture
def album(folder):
    split = data.open_split(folder, "test")
    return split, photographs.photograph_finder(split, folder.parent / "album")


def similarity(*misses):
    """Cosines [10,50]: own 0.5, others 0.1, but for (caption, photograph, cosine) in `misses`."""
    cosines = np.where(np.arange(10)[:, None] == OWNER, 0.5, 0.1)
    for caption, photograph, cosine in misses:
        cosines[photograph, caption] = cosine
    return cosines


def drawn(figure):
    """The gray of each photograph in the order in which they are drawn, divided by 20."""
    return [int(ax.get_images()[0].get_array()[0, 0, 0]) // 20 for ax in figure.findobj(plt.Axes) if ax.get_images()]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_answers_stand_best_first_and_the_right_one_is_framed(album):
    split, find = album
    scores = similarity((0, 7, 0.9), (0, 4, 0.6), *((6, i, 0.8 + 0.01 * i) for i in range(3, 9)))
    figure = photographs.answers(split, find, scores, [0, 6], top=3)
    assert drawn(figure) == [7, 4, 0, 8, 7, 6]
    framed = [ax for ax in figure.axes if ax.get_images() and ax.spines["left"].get_linewidth() > 2]
    assert [int(ax.get_images()[0].get_array()[0, 0, 0]) for ax in framed] == [0]
    assert to_hex(framed[0].spines["left"].get_edgecolor()).upper() == plots.RELATION
    assert framed[0].get_title() == "✓ 0.50" and "right one: place 7" in texts(figure)
    assert figure.get_suptitle() == "0 of 2 captions find their own photograph first"


def test_few_photographs_leave_places_empty(album):
    split, find = album
    assert len(drawn(photographs.answers(split, find, similarity(), [3], top=12))) == 10


def test_words_are_put_to_the_box_of_their_largest_cosine():
    boxes = np.array([[0, 0, 60, 40], [5, 5, 20, 30], [30, 10, 55, 35], [30, 10, 55, 35]])
    cosines = np.array([[0.1, 0.9, 0.1, 0.3, 0.9], [0.8, 0.1, 0.2, 0.1, 0.1], [0, 0, 0.6, 0, 0], [0, 0, 0, 0.7, 0]])
    found = photographs.box_words(boxes, cosines, ["dog", "a", "red", "ball", "."])
    assert [(box.tolist(), words) for box, words in found] == [
        ([5, 5, 20, 30], ["dog 0.80"]),
        ([30, 10, 55, 35], ["ball 0.70", "red 0.60"]),  # two equal boxes are one
    ]
    assert photographs.box_words(boxes, cosines[:, :2], ["dog", "dog"])[0][1] == ["dog 0.90"]


def test_boxes_stand_where_they_are_in_pixels_of_the_photograph(album):
    split, find = album
    cosines = np.array([[0.0, 0.9], [0.8, 0.0], [0.1, 0.1], [0.1, 0.1]])
    figure = photographs.boxes_by_words(split, find, [(3, 15, cosines, ["dog", "park"])] * 2)
    for ax in figure.axes[:2]:
        assert ax.get_images()[0].get_extent() == [0, 60, 40, 0]
        whole, part = [patch.get_bbox().extents for patch in ax.patches if isinstance(patch, Rectangle)]
        assert np.allclose(part, [5, 5, 20, 30]) and np.allclose(whole, [0, 0, 60, 40], atol=1)
        numbers = [text.get_position() for text in ax.texts]
        assert len(numbers) == 2 and np.abs(np.subtract(*numbers)).max() > 4
    assert figure.get_suptitle() == "2 of 4 words find a part of the photograph, 2 the whole of it"
    assert {"dog 0.80", "park 0.90"} <= set(texts(figure))


def test_a_large_photograph_keeps_its_boxes_and_is_drawn_small(album):
    split, _ = album
    figure = photographs.boxes_by_words(
        split, lambda i: Image.new("RGB", (3000, 2000)), [(0, 0, np.eye(4)[:, :1], ["dog"])]
    )
    image = figure.axes[0].get_images()[0]
    assert image.get_array().shape == (320, 480, 3) and image.get_extent() == [0, 3000, 2000, 0]


def test_misses_are_those_at_or_below_zero_and_spread_from_narrow_to_wide(album):
    split, find = album
    wide = [(j, 9, 0.5 + 0.01 * j) for j in range(0, 40, 2)]  # caption 0 ties: a miss
    scores = similarity(*wide)
    rivals = np.where(np.arange(10)[:, None] == OWNER, -1, scores).max(0)
    margin = 0.5 - rivals
    shown = photographs.spread_of_misses(margin)
    assert shown == [0, 8, 16, 22, 30, 38] and photographs.spread_of_misses(np.ones(5)) == []
    assert photographs.spread_of_misses(np.array([1.0, -1.0])) == [1]
    figure = photographs.failures_by_margin(split, find, scores, margin, shown[1:])
    assert drawn(figure) == [1, 9, 3, 9, 4, 9, 6, 9, 7, 9]
    assert "40 % of the captions miss, 15 % of these by less than 0.05" in texts(figure)
    ax = next(ax for ax in figure.findobj(plt.Axes) if ax.get_ylabel() == "captions")
    bars = [bar for bar in ax.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in bars) == 50
    assert not any(bar.get_x() < -1e-9 and bar.get_x() + bar.get_width() > 1e-9 for bar in bars)  # none crosses zero


def test_the_best_other_photograph_is_never_the_own_one():
    scores = np.array([[0.5, 0.2], [0.5, 0.9]])
    assert photographs.best_other(scores, np.array([0, 1])).tolist() == [1, 0]


WAYS = {
    "answers": lambda split, find: photographs.show_answers(split, find, similarity(), [0, 6]),
    "boxes": lambda split, find: photographs.show_boxes(split, find, [(0, 0, np.eye(4), ["dog", "red", "ball", "a"])]),
    "failures": lambda split, find: photographs.show_failures(
        split, find, similarity((0, 7, 0.9)), np.where(np.arange(50) == 0, -0.4, 0.4)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_part_shows_all_colors_with_a_caption_and_words_for_screen_readers(way, album, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what: shown.extend(what))
    WAYS[way](*album)
    picture, metadata = shown[0]._repr_mimebundle_()[0]["image/png"], shown[0]._repr_mimebundle_()[1]["image/png"]
    image = Image.open(io.BytesIO(base64.b64decode(picture) if isinstance(picture, str) else picture))
    assert image.width == 1400 and image.mode != "P" and capsys.readouterr().out == ""
    assert album[0].captions[0] in metadata["alt"] and shown[1].data.startswith("*")


@pytest.mark.parametrize("way", WAYS)
def test_each_part_says_in_one_sentence_what_is_missing(way, album, folder, capsys):
    split, find = album
    WAYS[way](dataclasses.replace(split, ids=None), find)
    WAYS[way](split, photographs.photograph_finder(split))
    WAYS[way](split, photographs.photograph_finder(split, folder / "nowhere"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and all(line.endswith("missing.") for line in said)
    assert "test_ids.txt" in said[0] and said[1] == said[2]


def test_missing_boxes_are_said_and_a_run_without_misses_too(album, capsys):
    split, find = album
    WAYS["boxes"](dataclasses.replace(split, boxes=None), find)
    photographs.show_failures(split, find, similarity(), np.full(50, 0.4))
    assert capsys.readouterr().out.splitlines() == ["No box is drawn: test_boxes.npy is missing.", "No caption misses."]


def test_the_record_of_extract_tells_where_the_photographs_are(folder, album):
    split, _ = album
    assert photographs.photograph_finder(split)(0) is None
    record = {"pictures": str(folder.parent / "album"), "model": "m", "regions": 4}
    (folder / "test_extract.json").write_text(json.dumps(record))
    assert photographs.photograph_finder(split)(3).getpixel((0, 0)) == (60, 60, 60)
    (folder.parent / "album" / "3.png").write_bytes(b"no picture")
    assert photographs.photograph_finder(split)(3) is None


def test_a_users_caption_is_never_a_formula_and_no_letter_is_tiny(album):
    split, find = album
    split = dataclasses.replace(split, captions=[r"$\bar$"] * 50)
    for figure in (
        photographs.answers(split, find, similarity(), [0]),
        photographs.boxes_by_words(split, find, [(0, 0, np.eye(4), [r"$\bar$", "b", "c", "d"])]),
        photographs.failures_by_margin(split, find, similarity((0, 7, 0.9)), np.full(50, -0.4), [0]),
    ):
        figure.canvas.draw()
        drawn_texts = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text)]
        assert not any("bar" in letters and formula for letters, formula in drawn_texts)
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()) >= 9
