"""Figures that once misled or could not be read: what they show now, and where."""

import base64
import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from hrem_lib import plots
from hrem_lib.plots import fragments, graph, interaction, reproduction
from hrem_lib.study.claims import Difference

LABELS = ["hold", "ride", "crouch", "lie", "pet", "walk", "chase", "flee"]
NEAR_UNIFORM = np.full((16, 16), 1 / 16) + 0.01 * np.eye(16)


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def boxes(figure, texts):
    """Where texts stand once the figure is drawn, in pixels."""
    figure.canvas.draw()
    return [text.get_window_extent() for text in texts]


def test_a_full_row_is_1400_pixels_wide_and_keeps_its_colors(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what: shown.extend(what))
    figure, ax = plt.subplots(figsize=plots.ROW)
    ax.bar(range(6), 6 * [1], color=[plots.IMAGE, plots.TEXT, plots.RELATION, plots.ERROR, plots.GREY, "black"])
    plots.show(figure, "A caption.", "What it shows")
    picture, metadata = shown[0]._repr_mimebundle_()[0]["image/png"], shown[0]._repr_mimebundle_()[1]["image/png"]
    image = Image.open(io.BytesIO(base64.b64decode(picture) if isinstance(picture, str) else picture))
    assert image.width == 1400 and metadata["alt"] == "What it shows"
    found = {color for _, color in image.convert("RGB").getcolors(1 << 20)}
    for name in (plots.IMAGE, plots.TEXT, plots.RELATION, plots.ERROR):
        wanted = [int(name[k : k + 2], 16) for k in (1, 3, 5)]
        assert min(np.abs(np.subtract(color, wanted)).max() for color in found) <= 3


def test_few_colors_for_a_chart_and_more_for_pictures():
    rng = np.random.default_rng(0)
    chart = Image.fromarray(np.tile(np.array([[255, 255, 255], [0, 114, 178]], np.uint8), (50, 50, 1)))
    photo = Image.fromarray(rng.integers(0, 256, (100, 100, 3), dtype=np.uint8))
    counts = [len(Image.open(io.BytesIO(plots.style.small_png(i))).getcolors()) for i in (chart, photo)]
    assert counts[0] == 2 and 32 < counts[1] <= 96


@pytest.mark.parametrize("weights", [NEAR_UNIFORM, np.eye(16)], ids=["near uniform", "sharp"])
def test_scales_of_attention_start_at_zero(weights):
    figure = interaction.attention_triptych(weights + 0.3, 0 * weights, weights, LABELS)
    figure_of_two = interaction.attention_pair(weights, weights, weights > -1, LABELS, ("a", "b"))
    images = [image for part in (figure, figure_of_two) for ax in part.axes for image in ax.get_images()]
    assert len(images) == 16 and all(image.get_clim()[0] == 0 for image in images)


def test_matrices_name_pictures_and_captions_by_words_on_both_axes():
    figure = graph.relation_blocks(NEAR_UNIFORM > 0, NEAR_UNIFORM, LABELS)
    texts = [text for text in figure.axes[0].texts if text.get_text() in LABELS]
    assert sorted(text.get_text() for text in texts) == sorted(4 * LABELS)  # two halves on two axes
    assert {"pictures", "captions"} <= {text.get_text() for text in figure.axes[0].texts}
    found = boxes(figure, [text for text in figure.axes[0].texts if text.get_text()])
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])


def test_the_four_shares_stand_farther_apart_than_their_blocks():
    figure = graph.share_sweep({share: NEAR_UNIFORM > 0 for share in (0.125, 0.25, 0.5, 1.0)})
    figure.canvas.draw()
    first, second = (ax.get_window_extent() for ax in figure.axes[:2])
    left, right = figure.axes[0].get_images()[:2]
    to_pixels = figure.axes[0].transData.transform
    within = to_pixels((right.get_extent()[0], 0))[0] - to_pixels((left.get_extent()[1], 0))[0]
    assert second.x0 - first.x1 > 1.1 * within
    assert all(side.get_visible() for ax in figure.axes for side in ax.spines.values())  # a frame a group


def test_arrows_end_where_the_numbers_begin():
    picture = Image.new("RGB", (192, 144))
    regions = np.array(
        [[0, 0, 192, 144], [130, 80, 185, 110], [45, 60, 80, 115], [72, 85, 95, 120], [40, 75, 100, 115]]
    )
    weights = np.full((5, 5), 0.2)
    figure = fragments.attention_arrows(picture, regions, weights, {2: "man", 3: "dog"}, "t")
    for ax in figure.axes:
        numbers = [text for text in ax.texts if text.get_text()]
        found = boxes(figure, numbers)
        assert len(found) == 5 and not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])
        inside = ax.get_window_extent().padded(1)
        assert all(inside.containsx(box.x0) and inside.containsx(box.x1) for box in found)
        arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
        tips = [arrow.get_transform().transform(arrow.get_path().vertices) for arrow in arrows]
        assert len(tips) == 4
        middles = [box.padded(-4) for box in found]
        assert not any(box.contains(*tip) for tip in np.concatenate(tips) for box in middles[1:])


def claims_figure(**differences):
    rows = [(name.replace("_", " - "), [found, None]) for name, found in differences.items()]
    return reproduction.differences({"A group": rows}, ["sample world", "photographs"])


def test_claims_have_minus_signs_a_zero_line_and_bold_means_where_zero_is_left_out():
    sure, unsure = Difference([7.0, 8.0, 9.0], (6, 10), (5, 11)), Difference([-0.04, 0.0, 0.01], (-5, 5), (-9, 9))
    figure = claims_figure(fusion_base=sure, base_fusion=Difference([-7, -8, -9], (-10, -6), (-11, -5)), a_b=unsure)
    left, right = figure.axes
    names = [label.get_text().strip() for label in left.get_yticklabels()]
    assert names == ["A group", "fusion \u2212 base", "base \u2212 fusion", "a \u2212 b"]
    means = {text.get_text(): text.get_fontweight() for text in left.texts}
    assert means["+8.0"] == means["\u22128.0"] == "bold" and means["+0.0"] == "normal"
    assert any(np.allclose(line.get_xdata(), 0) and line.get_linewidth() > 1.5 for line in left.lines)
    assert sum(text.get_text() == "not run" for text in right.texts) == 3
    found = boxes(figure, [text for text in left.texts if text.get_text()])
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])
