"""Figures with a user's own text: captions, file names and queries are drawn letter by letter, in any script."""

import dataclasses
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.text import Text
from PIL import Image

from hrem_lib import data
from hrem_lib.plots import features, fragments, graph, interaction, losses, task
from hrem_lib.plots import retrieval as plots
from hrem_lib.search import panel, searcher

FORMULA = r"$\bar$"  # no formula that matplotlib can draw: it raises
PICTURES, TEXTS, ALIKE = [np.zeros((60, 80, 3), np.uint8)] * 4, [FORMULA] * 4, np.full((4, 4), 0.25)
ONE, BOXES, EVERY = np.arange(4), np.array([[0, 0, 80, 60]] * 4), np.full((8, 8), 0.125)


def pictures_of_the_sample(**settings):
    split = data.open_split(data.sample_dir(), "test")
    return task.picture_answers(ALIKE, ONE, [0], dataclasses.replace(split, captions=TEXTS), 2, **settings)


FIGURES = {
    "gallery": lambda: task.gallery(PICTURES, TEXTS, names=TEXTS, title=FORMULA),
    "caption_answers": lambda: task.caption_answers(ALIKE, ONE, [0], PICTURES[:1], TEXTS, 2),
    "picture_answers": pictures_of_the_sample,
    "notes of picture_answers": lambda: pictures_of_the_sample(texts=["a"] * 4, notes={0: FORMULA}),
    "word_support": lambda: plots.word_support(PICTURES[:2], [BOXES] * 2, [ALIKE] * 2, TEXTS, ["a", "b"], "t"),
    "batch_sheet": lambda: graph.batch_sheet(PICTURES, TEXTS, TEXTS),
    "relation_blocks": lambda: graph.relation_blocks(EVERY > 0, EVERY, TEXTS),
    "region_word_grid": lambda: graph.region_word_grid(ALIKE, PICTURES[0], BOXES, TEXTS, "t"),
    "guide_rows": lambda: graph.guide_rows(ONE / 6, ONE / 6, ONE / 6, TEXTS, "abc"),
    "batch_as_sequence": lambda: interaction.batch_as_sequence(PICTURES, TEXTS),
    "relevance_sweep": lambda: interaction.relevance_sweep(
        [0, 1], np.full((2, 4), 0.25), TEXTS, np.full((2, 8), 8.0), "ab"
    ),
    "arrows of a picture": lambda: interaction.arrows(EVERY, EVERY > 0, 0, PICTURES, TEXTS, "t"),
    "arrows of a caption": lambda: interaction.arrows(EVERY, EVERY > 0, 5, PICTURES, ["a", FORMULA, "b", "c"], "t"),
    "who_was_drawn": lambda: losses.who_was_drawn({"a": ALIKE, "b": ALIKE}, np.eye(4, dtype=bool), TEXTS),
    "batch_pictures": lambda: losses.batch_pictures({"a": PICTURES}, {"a": TEXTS}),
    "word_strip": lambda: features.word_strip([("a", TEXTS, ONE, ONE)], "t"),
    "influence": lambda: features.influence({"a": ALIKE, "b": ALIKE}, TEXTS, "t"),
    "left_out": lambda: features.left_out(Image.new("RGB", (80, 60)), BOXES, [np.ones(4, bool)] * 2, TEXTS[:2], "t"),
    "attention_maps": lambda: fragments.attention_maps({"a": ALIKE, "b": ALIKE}, TEXTS, "t"),
    "attention_triptych": lambda: interaction.attention_triptych(EVERY, 0 * EVERY, EVERY, TEXTS),
    "attention_pair": lambda: interaction.attention_pair(EVERY, EVERY, EVERY > 0, TEXTS, ("a", "b")),
    "word_attention": lambda: fragments.word_attention(ALIKE, TEXTS, {"a": [0.1, 0.2]}, "t"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_users_text_is_never_a_formula(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    drawn = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text)]
    plt.close(figure)
    assert any(FORMULA in letters for letters, _ in drawn)
    assert not any("bar" in letters and formula for letters, formula in drawn)


@pytest.mark.parametrize("name", FIGURES)
def test_no_letter_is_tiny(name):
    figure = FIGURES[name]()
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
    plt.close(figure)
    assert min(sizes) >= 9


class Nowhere:
    """Stands for a `Searcher` whose pictures are not to be found."""

    def picture(self, hit):
        return None


def sheet(title, *names):
    """All that is drawn in the contact sheet; a warning is an error."""
    hits = [searcher.Hit(i, 0.5, name) for i, name in enumerate(names)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = panel.contact_sheet(Nowhere(), hits, title)
        figure.canvas.draw()
    texts = [text._preprocess_math(text.get_text())[0] for text in figure.findobj(Text)]
    plt.close(figure)
    return texts


@pytest.fixture
def no_fonts(monkeypatch):
    """A machine with matplotlib's own fonts alone."""
    own = [f for f in font_manager.fontManager.ttflist if f.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def test_letters_that_no_font_has_are_named_in_one_line(no_fonts, capfd):
    texts = sheet("两只狗 $5$\tZwölf", "狗.png", "dog $1$.png", "\udcff.png")
    assert {"□□□ $5$ Zwölf", "□.png", "dog $1$.png"} <= set(texts)
    message = capfd.readouterr().err
    assert message.count("\n") == 1 and "两" in message and "狗" in message and "no font here" in message
    assert "a dog" in sheet("a dog", "dog.png") and capfd.readouterr().err == ""


def test_a_font_that_has_the_letters_is_used(no_fonts, tmp_path, capfd):
    from fontTools.fontBuilder import FontBuilder  # matplotlib needs it, too
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((0, 900))
    pen.lineTo((900, 900))
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "dog"])
    made.setupCharacterMap({ord("狗"): "dog"})
    made.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "dog": pen.glyph()})
    made.setupHorizontalMetrics({".notdef": (1000, 0), "dog": (1000, 0)})
    made.setupHorizontalHeader(ascent=900, descent=-100)
    made.setupNameTable({"familyName": "Dogs Alone", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(tmp_path / "dogs.ttf")
    font_manager.fontManager.addfont(tmp_path / "dogs.ttf")
    assert "□狗.png" in sheet("狗", "两狗.png") and "'两'" in capfd.readouterr().err
    assert {"狗", "dog 狗.png"} <= set(sheet("狗", "dog 狗.png")) and capfd.readouterr().err == ""
