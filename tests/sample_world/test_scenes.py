"""The sample world: reproducible, true to its tables, and described truthfully."""

from __future__ import annotations

import json
import re
from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import Image

from hrem_lib.sample_world import catalog, scenes
from hrem_lib.sample_world.actions import STAGES
from hrem_lib.sample_world.canvas import HEIGHT, WIDTH, Canvas
from hrem_lib.sample_world.captions import write_captions
from hrem_lib.sample_world.catalog import ACTIONS, EXTRAS, PAINT, PEOPLE, PLACES, SCHEDULE, WORDS
from hrem_lib.sample_world.detector import samples_folder
from hrem_lib.sample_world.figures import two_link
from hrem_lib.sample_world.places import draw_setting
from hrem_lib.sample_world.scenes import sample_scene, to_palette

FOLDER = samples_folder()
SAMPLES = [sample_scene("dev", index)[0] for index in range(0, 200)]


def words_of(caption: str) -> list[str]:
    return re.sub(r"[.,]", "", caption.lower()).split()


def test_tables_fit_together() -> None:
    assert set(ACTIONS) == set(STAGES)
    assert len(SCHEDULE) == 200
    for action in ACTIONS.values():
        assert set(action.settings) <= set(PLACES) == set(EXTRAS)
        for verb in action.verbs:
            assert "/" in verb.split()[0], verb
    groups = Counter(a.group for a in ACTIONS.values() if not a.scarce)
    assert min(groups.values()) >= 2, "a hard group needs two relations to confuse"
    assert sum(a.scarce for a in ACTIONS.values()) == 3


def test_every_200_scenes_hold_each_action_equally_often() -> None:
    for start in (0, 200, 777):
        seen = Counter(SCHEDULE[73 * i % 200] for i in range(start, start + 200))
        assert seen == {key: action.slots for key, action in ACTIONS.items()}


def test_scene_depends_on_seed_split_and_index_only() -> None:
    first, picture = sample_scene("train", 7)
    sample_scene("train", 8)
    again, same = sample_scene("train", 7)
    assert first == again and first.captions == again.captions
    assert np.array_equal(np.asarray(picture), np.asarray(same))
    for other in (sample_scene("dev", 7), sample_scene("train", 7, seed=1)):
        assert not np.array_equal(np.asarray(picture), np.asarray(other[1]))


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_shipped_world_is_drawn_again(split: str) -> None:
    captions = (FOLDER / "sample_precomp" / f"{split}_caps.txt").read_text(encoding="utf-8").splitlines()
    ids = (FOLDER / "sample_precomp" / f"{split}_ids.txt").read_text(encoding="utf-8").splitlines()
    truth = scenes.read_scenes(FOLDER / "sample_precomp" / f"{split}_scenes.jsonl")
    assert len(captions) == 5 * len(ids) == 5 * len(truth) == 5 * catalog.SPLIT_SIZES[split]
    for index in range(0, len(ids), len(ids) // 12):
        scene, picture = sample_scene(split, index)
        assert scene.picture_name == ids[index]
        assert scene.captions == captions[5 * index : 5 * index + 5]
        assert json.loads(scene.as_json()) == truth[index]
        with Image.open(FOLDER / "pictures" / ids[index]) as shipped:
            assert np.array_equal(np.asarray(shipped.convert("RGB")), np.asarray(to_palette(picture).convert("RGB")))


def test_write_world_matches_sampling(tmp_path) -> None:
    scenes.write_world(tmp_path, sizes={"dev": 3})
    rows = (tmp_path / "sample_precomp" / "dev_caps.txt").read_text(encoding="utf-8").splitlines()
    assert rows == [c for i in range(3) for c in sample_scene("dev", i)[0].captions]
    assert sorted(p.name for p in (tmp_path / "pictures" / "dev").iterdir()) == ["0000.png", "0001.png", "0002.png"]


def test_boxes_lie_in_the_picture_and_hold_ink() -> None:
    for index in range(0, 40):
        scene, picture = sample_scene("test", index)
        pixels = np.asarray(picture)
        for entity in scene.entities.values():
            x0, y0, x1, y1 = entity.box
            assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT
            assert (x1 - x0) >= 5 and (y1 - y0) >= 5, (scene.picture_name, entity)
            assert pixels[y0:y1, x0:x1].std() > 2


def test_relations_name_entities_and_sides_are_true() -> None:
    sides = 0
    for scene in SAMPLES:
        for subject, predicate, other in scene.relations:
            assert subject in scene.entities and other in scene.entities
            if predicate in ("left of", "right of"):
                a, b = scene.entities[subject].box, scene.entities[other].box
                gap = (a[0] + a[2]) - (b[0] + b[2])
                assert (gap < 0) == (predicate == "left of"), scene.picture_name
                sides += 1
    assert sides > 40


def test_captions_are_five_different_ones_and_true() -> None:
    """Colors, people and counts that a caption names are in the picture; the place is the picture's."""
    kinds_of = {word: {k for k in PEOPLE if word in WORDS[k]} for k in PEOPLE for word in WORDS[k]}
    for scene in SAMPLES:
        assert len(set(scene.captions)) == 5
        entities = scene.entities.values()
        colors = {c for e in entities for c in (e.color, e.bottom, e.hat)}
        kinds = {e.kind for e in entities}
        for caption in scene.captions:
            words = words_of(caption)
            assert {w for w in words if w in {*PAINT, "black", "gray"}} <= colors, caption
            for word in words:
                if word in kinds_of:
                    assert kinds_of[word] & kinds, caption
            numbers = {"two": 2, "three": 3, "four": 4}
            for word in numbers.keys() & set(words):
                assert scene.entities["extra"].count == numbers[word], caption
            for setting, phrases in PLACES.items():
                named = [p for p in phrases if caption.rstrip(" .").lower().endswith(p)]
                if named:
                    assert any(p in named for p in PLACES[scene.setting]), (setting, caption)
            assert "  " not in caption and "{" not in caption and "/" not in caption


def test_articles_are_right() -> None:
    for scene in SAMPLES:
        for caption in scene.captions:
            assert not re.search(r"\b[aA] [aeiou]", caption), caption
            assert not re.search(r"\b[aA]n [^aeiou]", caption), caption


def test_vocabulary_and_variety() -> None:
    train = (FOLDER / "sample_precomp" / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {w for c in train for w in words_of(c)}
    assert 150 <= len(vocabulary) <= 350
    dev = [c for s in SAMPLES for c in s.captions]
    assert not {w for c in dev for w in words_of(c)} - vocabulary
    repeated = sum(n for n in Counter(dev).values() if n > 1) / len(dev)
    assert repeated < 0.05, "captions must mostly tell the pictures apart"


def test_captions_omit() -> None:
    """Not every caption tells the place, nor the color of the top."""
    told = [any(p in c for p in PLACES[s.setting]) for s in SAMPLES for c in s.captions]
    colored = [s.entities["actor"].color in c for s in SAMPLES for c in s.captions]
    assert 0.2 < np.mean(told) < 0.8 and 0.4 < np.mean(colored) < 0.95


def test_captions_come_from_truth_alone() -> None:
    """The same truth and draw give the same captions, without the picture."""
    scene, _ = sample_scene("dev", 11)
    assert write_captions(scene, Random(3)) == write_captions(scene, Random(3)) != write_captions(scene, Random(4))


def test_two_links_reach_the_target_or_point_at_it() -> None:
    start, joint, end = two_link((0, 0), (5, 3), 4, 4, 1)
    assert end == pytest.approx((5, 3)) and np.hypot(*joint) == pytest.approx(4)
    assert np.hypot(end[0] - joint[0], end[1] - joint[1]) == pytest.approx(4)
    far = two_link((0, 0), (30, 40), 4, 4, 1)[2]
    assert far[1] / far[0] == pytest.approx(4 / 3) and np.hypot(*far) == pytest.approx(7.9)
    assert start == (0, 0)


def test_canvas_box_is_the_drawn_extent_and_smooth() -> None:
    canvas = Canvas()
    canvas.rectangle(0, 0, WIDTH, HEIGHT, (255, 255, 255), outline=False)
    canvas.owner = "disk"
    canvas.disk((50, 40), 10, (0, 0, 0), outline=False)
    assert canvas.box("disk") == [40, 30, 60, 50]
    pixels = np.asarray(canvas.finish())[..., 0]
    ys, xs = np.nonzero(pixels < 255)
    assert abs(int(xs.min()) - 40) <= 1 and abs(int(ys.max()) - 50) <= 1
    assert ((pixels > 20) & (pixels < 235)).any(), "edges must be averaged"


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="moon"):
        draw_setting(Canvas(), Random(0), "moon")
