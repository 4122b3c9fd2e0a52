"""Figures that once misled or could not be read: what they show now, and where."""

import base64
import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from hrem_lib import plots
from hrem_lib.plots import evidence, fragments, graph, interaction
from hrem_lib.study.claims import Difference, MainClaim

LABELS = ["hold", "ride", "crouch", "lie", "pet", "walk", "chase", "flee"]
NEAR_UNIFORM = np.full((16, 16), 1 / 16) + 0.01 * np.eye(16)


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


def row_of(name, schedule, found, p):
    return MainClaim({"claim": name, "compared": name, "expects": "more"}, schedule, found, p)


def test_claims_have_minus_signs_a_zero_line_and_bold_verdicts_only_where_all_three_agree():
    sure, unsure = Difference([7.0, 8.0, 9.0], (6, 10), (5, 11)), Difference([-0.04, 0.0, 0.01], (-5, 5), (-9, 9))
    rows = [
        row_of("fusion - base", "half", sure, 0.01),
        row_of("base - fusion", "half", Difference([-7, -8, -9], (-10, -6), (-11, -5)), 0.01),
        row_of("a - b", "half", unsure, 1.0),
        row_of("c - d", "half", sure, 0.2),
    ]
    twice = rows[0]._replace(schedule="whole", found=None, p=1.0)
    figure = evidence.eight_claims([rows[0], twice, *rows[1:]])
    ax, words = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["fusion \u2212 base", "", "base \u2212 fusion", "a \u2212 b", "c \u2212 d"]
    verdicts = {text.get_text(): text.get_fontweight() for text in words.texts}
    assert verdicts["+8.0  held"] == verdicts["\u22128.0  the opposite"] == "bold"
    assert verdicts["+0.0  not separated"] == verdicts["+8.0  not separated"] == "normal"
    assert verdicts["half, 3 seeds"] == verdicts["whole, not run yet"] == "normal"
    assert any(np.allclose(line.get_xdata(), 0) and line.get_linewidth() > 1.5 for line in ax.lines)
    found = boxes(figure, [text for text in (*ax.texts, *words.texts) if text.get_text()])
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])
    assert all(figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1) for box in found)


def test_arms_of_one_seed_are_joined_and_means_are_written():
    runs = {"base": [250.0, 252.0], "fusion": [251.0, 255.0]}
    figure = evidence.paired_runs([("first", {name: runs[name] for name in runs}), ("second", runs)])
    for ax in figure.axes:
        joined = [line.get_ydata().tolist() for line in ax.lines if len(line.get_xdata()) == 2][:2]
        assert joined == [[250.0, 251.0], [252.0, 255.0]]
        assert [text.get_text() for text in ax.texts if text.get_text()] == ["251.0", "253.0"]


def test_the_best_rate_of_each_arm_has_a_ring():
    curves = {"base": [227.0, 241.0, 254.0, 231.0], "fusion": [237.0, 247.0, 240.0, 232.0]}
    (ax,) = evidence.rate_curves([1e-3, 2e-3, 4e-3, 8e-3], curves, 2e-3).axes
    rings = [tuple(line.get_xydata()[0]) for line in ax.lines if line.get_markersize() == 15]
    assert rings == [(4e-3, 254.0), (2e-3, 247.0)]


def test_points_of_a_change_are_colored_where_zero_is_left_out():
    (ax,) = evidence.worth([("a - b", 8.0, (5, 11)), ("c - d", 1.0, (-2, 4)), ("e - f", -3.0, (-5, -1))]).axes
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colors == [evidence.RELATION, evidence.GREY, evidence.ERROR]
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["+8.0", "+1.0", "\u22123.0"]


def test_seeds_that_choose_and_seeds_that_report_are_told_apart():
    (ax,) = evidence.leads([200, 201], [3.0, 2.0], [-1.0, 0.5]).axes
    marked = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if line.get_marker() in "os"}
    assert marked == {"with the seed that chose it": [3.0, 2.0], "with all other seeds": [-1.0, 0.5]}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["200", "201"]


def test_a_row_of_attention_is_sorted_beside_equal_shares():
    figure = evidence.attention_rows({"a": [0.1, 0.5, 0.4, 0.0], "b": [0.3, 0.3, 0.4, 0.0]}, 3)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [0.5, 0.4, 0.1, 0.0]
    assert all(any(np.allclose(line.get_ydata(), 1 / 3) for line in ax.lines) for ax in figure.axes)


def test_what_few_seeds_say_and_what_many_can_see():
    left, right = evidence.seeds_needed([-2.0, 1.0, 4.0], 0.5, [3, 4, 5], [9.0, 6.0, 5.0]).axes
    assert sum(bar.get_height() for bar in left.patches) == 3
    assert {text.get_text() for text in right.texts} == {"3 seeds: 9.0", "5 seeds: 5.0"}
    assert " all seeds +0.5" in [text.get_text() for text in left.texts]
