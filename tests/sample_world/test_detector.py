"""Region features of the sample world: the crop, the boxes, the network, and the shipped files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reference import roi_align_loop
from safetensors.torch import save_file

from hrem_lib.errors import UserError
from hrem_lib.sample_world import detector
from hrem_lib.sample_world.canvas import HEIGHT, WIDTH
from hrem_lib.sample_world.catalog import SPLIT_SIZES
from hrem_lib.sample_world.detector import (
    KINDS,
    PALETTE,
    POSES,
    RegionNetwork,
    anchors,
    clip,
    features,
    label_accuracy,
    load_region_network,
    move,
    overlap,
    practice_boxes,
    predictions,
    propose,
    regenerate,
    roi_align,
    samples_folder,
    shift_to,
    train_region_network,
    true_labels,
)
from hrem_lib.sample_world.scenes import read_scenes, sample_scene

FOLDER = samples_folder()


def random_boxes(n: int, seed: int, width: int = WIDTH, height: int = HEIGHT) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    ends = torch.rand(n, 2, 2, generator=draw, dtype=torch.float64) * torch.tensor([width, height])
    return torch.cat([ends.min(1).values, ends.max(1).values + 1], 1)


@pytest.fixture(scope="module")
def network() -> RegionNetwork:
    return load_region_network()


@pytest.fixture(scope="module")
def dev_samples() -> list:
    return [sample_scene("dev", index) for index in range(20)]


def shipped_picture(name: str) -> Image.Image:
    with Image.open(FOLDER / "pictures" / name) as picture:
        return picture.convert("RGB")


@pytest.mark.parametrize(("cells", "stride"), [(6, 4), (2, 1), (3, 8)])
def test_roi_align_equals_the_slow_loop(cells: int, stride: int) -> None:
    maps = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    boxes = random_boxes(8, 2, 12 * stride, 9 * stride)
    boxes[0] = torch.tensor([0.0, 0.0, 12.0 * stride, 9.0 * stride])
    boxes[1] = boxes[2]  # equal spans share their rows: the order must survive
    fast = roi_align(maps, boxes, cells, stride)
    assert fast.shape == (8, 3, cells, cells)
    np.testing.assert_allclose(fast.numpy(), roi_align_loop(maps, boxes, cells, stride), atol=1e-12)


def test_roi_align_of_a_slope_gives_the_cells_own_places() -> None:
    across = (torch.arange(48, dtype=torch.float64) + 0.5) * 4  # each map value is its own pixel x
    maps = across.expand(1, 36, 48)
    crop = roi_align(maps, torch.tensor([[40.0, 20.0, 100.0, 80.0]]), 6, 4)
    assert crop[0, 0, 3].tolist() == pytest.approx([45, 55, 65, 75, 85, 95])


def test_roi_align_has_a_gradient() -> None:
    maps = torch.randn(2, 6, 8, dtype=torch.float64, requires_grad=True)
    boxes = random_boxes(3, 3, 32, 24)
    assert torch.autograd.gradcheck(lambda m: roi_align(m, boxes, 2, 4), (maps,))


def test_overlap_by_hand() -> None:
    a = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    b = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0], [9.0, 9.0, 10.0, 10.0]])
    assert overlap(a, b)[0].tolist() == pytest.approx([1, 1 / 3, 0])


def test_box_correction_is_undone_by_move() -> None:
    boxes, target = random_boxes(20, 4), random_boxes(20, 5).round()
    target = clip(target)
    good = (target[:, 2:] - target[:, :2]).min(1).values >= 8
    near = shift_to(boxes, target)[:, 2:].abs().max(1).values < 4  # move() limits the change of size
    reached = move(boxes, shift_to(boxes, target))
    assert (good & near).sum() > 5
    assert torch.allclose(reached[good & near], target[good & near], atol=1)


def test_anchors_lie_in_the_picture_whole_picture_first() -> None:
    boxes = anchors()
    assert boxes[0].tolist() == [0, 0, WIDTH, HEIGHT]
    assert 300 < len(boxes) < 2000
    assert bool((boxes[:, :2] >= 0).all())
    assert bool((boxes[:, 2] <= WIDTH).all()) and bool((boxes[:, 3] <= HEIGHT).all())


def test_true_labels_know_only_objects_and_attributes() -> None:
    scene, _ = sample_scene("train", 3)
    boxes, labels = true_labels(scene)
    assert len(boxes) == len(scene.entities) + 1
    assert KINDS[labels[-1, 0]] == scene.setting and labels[-1, 1:].tolist() == [-100] * 3
    actor = scene.entities["actor"]
    assert KINDS[labels[0, 0]] == actor.kind and PALETTE[labels[0, 1]] == actor.color
    assert PALETTE[labels[0, 2]] == actor.bottom and POSES[labels[0, 3]] == actor.pose


def test_every_kind_and_pose_of_the_world_has_a_name() -> None:
    for split in SPLIT_SIZES:
        for row in read_scenes(FOLDER / "sample_precomp" / f"{split}_scenes.jsonl"):
            for entity in row["entities"]:
                assert entity["kind"] in KINDS
                assert entity.get("pose") is None or entity["pose"] in POSES


def test_practice_boxes_are_labelled_by_overlap() -> None:
    truth, _ = true_labels(sample_scene("train", 5)[0])
    boxes, which = practice_boxes(truth, anchors().float(), torch.Generator().manual_seed(0))
    best = overlap(boxes, truth).max(1).values
    assert bool((best[which >= 0] >= 0.45).all()) and bool((best[which < 0] < 0.35).all())
    assert (which >= 0).sum() >= len(truth) and (which < 0).sum() >= 5


def test_training_is_seeded_and_learns() -> None:
    world = [sample_scene("train", i) for i in range(4)]
    scenes, pictures = [s for s, _ in world], [p for _, p in world]
    one, two = (train_region_network(scenes, pictures, epochs=2, batch=2, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    other = train_region_network(scenes, pictures, epochs=1, batch=4, seed=6)
    assert not torch.equal(one.hidden.weight, other.hidden.weight)


def test_shipped_network_knows_its_world(network: RegionNetwork, dev_samples: list) -> None:
    """On pictures that it never saw; with errors, as a real detector has them.

    All 200 dev pictures give kind 0.86, color 0.96, pose 0.96, found 0.93; the limits leave room for a sample of 20.
    """
    score = label_accuracy([s for s, _ in dev_samples], [p for _, p in dev_samples], network)
    assert score["kind"] > 0.75 and score["color"] > 0.85 and score["pose"] > 0.85 and score["found"] > 0.8
    assert min(score.values()) < 0.999


def test_missing_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got no file"):
        load_region_network(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "region_network.safetensors")
    with pytest.raises(UserError, match="other weights"):
        load_region_network(tmp_path)
    with pytest.raises(UserError, match="wanted train"):
        regenerate(tmp_path, sizes={"dev": 1}, train_network=True)


def test_names_of_the_answers_are_shipped() -> None:
    names = json.loads((FOLDER / "region_network.json").read_text(encoding="utf-8"))
    assert tuple(names["kinds"]) == KINDS and tuple(names["colors"]) == PALETTE and tuple(names["poses"]) == POSES


def test_proposals_are_whole_pixels_inside_and_repeatable(network: RegionNetwork, dev_samples: list) -> None:
    for _, picture in dev_samples[:5]:
        boxes = propose(picture, 12, network)
        assert boxes.shape == (12, 4) and boxes.dtype == np.float32
        assert boxes[0].tolist() == [0, 0, WIDTH, HEIGHT]
        assert np.array_equal(boxes, boxes.round()) and (boxes[:, 2:] - boxes[:, :2] >= 3).all()
        assert len(np.unique(boxes, axis=0)) == 12
        assert np.array_equal(boxes, propose(picture, 12, network))
        assert np.array_equal(boxes[:4], propose(picture, 4, network))


def test_proposals_come_from_pixels(network: RegionNetwork) -> None:
    """A mirrored picture has other boxes: nothing but the pixels goes in."""
    picture = shipped_picture("dev/0000.png")
    mirrored = propose(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 12, network)
    assert not np.array_equal(propose(picture, 12, network), mirrored)


def test_features_depend_on_the_box_not_on_its_neighbors(network: RegionNetwork) -> None:
    picture = shipped_picture("dev/0001.png")
    boxes = propose(picture, 6, network)
    values = features(picture, boxes, network)
    assert values.shape == (6, detector.FEATURE_DIM) and values.dtype == np.float16
    alone = features(picture, boxes[2:3], network)[0].astype(np.float32)
    np.testing.assert_allclose(alone, values[2].astype(np.float32), rtol=2e-3, atol=1e-6)
    assert not np.array_equal(values[1], values[2])


def test_predictions_are_names_with_probabilities(network: RegionNetwork) -> None:
    picture = shipped_picture("dev/0000.png")
    rows = predictions(picture, propose(picture, 5, network), network)
    assert len(rows) == 5
    for row in rows:
        assert row["kind"][0] in KINDS and row["color"][0] in PALETTE and row["pose"][0] in POSES
        assert all(0 < p <= 1 for _, p in row.values())


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_shipped_arrays_have_the_public_layout(split: str) -> None:
    values = np.load(FOLDER / "sample_precomp" / f"{split}_ims.npy", mmap_mode="r")
    boxes = np.load(FOLDER / "sample_precomp" / f"{split}_boxes.npy", mmap_mode="r")
    n = SPLIT_SIZES[split]
    assert values.shape == (n, detector.N_REGIONS, detector.FEATURE_DIM) and values.dtype == np.float16
    assert boxes.shape == (n, detector.N_REGIONS, 4) and boxes.dtype == np.float32
    assert np.isfinite(values).all() and values.max() < 1000 and (values > 0).any(axis=2).all()


def test_a_part_is_regenerated_as_shipped(tmp_path: Path) -> None:
    """Pictures, captions, boxes and truth exactly; features within one unit in the last place."""
    regenerate(tmp_path, sizes={split: 12 for split in SPLIT_SIZES})
    for split in SPLIT_SIZES:
        for name, lines in (("caps.txt", 60), ("ids.txt", 12), ("scenes.jsonl", 12)):
            new = (tmp_path / "sample_precomp" / f"{split}_{name}").read_text(encoding="utf-8").splitlines()
            shipped = (FOLDER / "sample_precomp" / f"{split}_{name}").read_text(encoding="utf-8").splitlines()
            assert new == shipped[:lines]
        for name in (tmp_path / "pictures" / split).iterdir():
            with Image.open(name) as picture:
                assert np.array_equal(
                    np.asarray(picture.convert("RGB")), np.asarray(shipped_picture(f"{split}/{name.name}"))
                )
        boxes, values = (np.load(tmp_path / "sample_precomp" / f"{split}_{part}.npy") for part in ("boxes", "ims"))
        stored = np.load(FOLDER / "sample_precomp" / f"{split}_ims.npy")[:12]
        assert np.array_equal(boxes, np.load(FOLDER / "sample_precomp" / f"{split}_boxes.npy")[:12])
        step = np.abs(values.view(np.int16).astype(int) - stored.view(np.int16).astype(int))
        assert step.max() <= 1
    assert (tmp_path / "region_network.safetensors").is_file()
