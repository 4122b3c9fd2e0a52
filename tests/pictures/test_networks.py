"""Regions from `transformers` models with random weights, built from configurations: no hub, the real loading code."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrem_lib import data
from hrem_lib.errors import UserError
from hrem_lib.pictures import networks
from hrem_lib.pictures.networks import as_map, open_extractor, pool_boxes, select_boxes
from hrem_lib.sample_world.detector import roi_align

ROOT = Path(networks.__file__).resolve().parents[2]
RESNET = dict(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic")


def small_detr():
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor, ResNetConfig

    backbone = ResNetConfig(**RESNET, out_features=["stage4"])
    sizes = dict(encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=20,
                 num_labels=5, d_model=16, encoder_attention_heads=2, decoder_attention_heads=2)  # fmt: skip
    model = DetrForObjectDetection(DetrConfig(backbone_config=backbone, use_timm_backbone=False, **sizes))
    return model, DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 160})


def small_rt_detr():
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(**RESNET, out_features=["stage2", "stage3", "stage4"])
    sizes = dict(encoder_hidden_dim=16, encoder_in_channels=[12, 16, 20], d_model=16, encoder_ffn_dim=16,
                 num_queries=15, decoder_ffn_dim=16, decoder_layers=1, encoder_attention_heads=2, num_labels=5,
                 decoder_attention_heads=2, decoder_in_channels=[16, 16, 16], num_denoising=0)  # fmt: skip
    model = RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, **sizes))
    return model, RTDetrImageProcessor(size={"height": 96, "width": 96})


def small_resnet():
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

    return ResNetModel(ResNetConfig(**RESNET)), ConvNextImageProcessor(size={"shortest_edge": 96})


VIT = dict(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=96, patch_size=16
)


def small_vit():
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    return ViTModel(ViTConfig(**VIT)), ViTImageProcessor(size={"height": 96, "width": 96})


def small_dinov2():
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    size = dict(size={"shortest_edge": 110}, crop_size={"height": 96, "width": 96})
    return Dinov2Model(Dinov2Config(**VIT)), BitImageProcessor(**size)


def small_siglip():
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=30)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=VIT))
    return model, SiglipImageProcessor(size={"height": 96, "width": 96})


def small_swin():
    from transformers import SwinConfig, SwinModel, ViTImageProcessor

    config = SwinConfig(image_size=96, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)
    return SwinModel(config), ViTImageProcessor(size={"height": 96, "width": 96})


DETECTORS = {"detr": (small_detr, 20), "rt_detr": (small_rt_detr, 20)}
BACKBONES = {"resnet": (small_resnet, 20, 9), "vit": (small_vit, 16, 36), "dinov2": (small_dinov2, 16, 36),
             "siglip": (small_siglip, 16, 36), "swin": (small_swin, 16, 36)}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """saved(make) -> folder of a model as `save_pretrained` leaves it."""
    made = {}

    def save(make):
        if make not in made:
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp(make.__name__)
            for part in make():
                part.save_pretrained(folder)
            made[make] = str(folder)
        return made[make]

    return save


@pytest.fixture(scope="module")
def pictures():
    """Three drawn pictures, one turned on its side and one cut: three sizes, twice the first."""
    folder = data.sample_dir().parent / "pictures" / "test"
    one, two, three = (Image.open(folder / f"000{i}.png").convert("RGB") for i in range(3))
    return [one, two.transpose(Image.Transpose.ROTATE_90), three.crop((0, 0, 150, 100)), one]


def see(extractor, pictures):
    return extractor.look([extractor.prepare(p) for p in pictures])


@pytest.mark.parametrize("kind", DETECTORS)
def test_detectors(saved, pictures, kind):
    make, width = DETECTORS[kind]
    extractor = open_extractor(saved(make), 6)
    found = see(extractor, pictures)
    for regions, picture in zip(found, pictures, strict=True):
        r = len(regions.boxes)
        assert 1 <= r <= 6 and regions.features.shape == (r, width) and regions.features.dtype == np.float32
        assert (regions.boxes[:, 2:] - regions.boxes[:, :2] >= 1).all() and regions.boxes.min() >= 0
        assert (regions.boxes.max(0)[2:] <= picture.size).all()
    for i, picture in enumerate(pictures):  # what is seen does not depend on batch mates
        (alone,) = see(extractor, [picture])
        np.testing.assert_allclose(alone.features, found[i].features, atol=1e-4)
        np.testing.assert_allclose(alone.boxes, found[i].boxes, atol=1e-2)
    assert np.ptp([r.features.mean() for r in found]) > 0  # and it does depend on the picture


def test_detector_features_are_the_mean_of_the_backbones_last_map(saved, pictures):
    make, _ = DETECTORS["detr"]
    extractor = open_extractor(saved(make), 6)
    from transformers import DetrForObjectDetection

    model = DetrForObjectDetection.from_pretrained(saved(make)).eval()
    pixels, (width, height) = extractor.prepare(pictures[0])
    with torch.no_grad():
        features = model.model.backbone(pixels, torch.ones(pixels.shape[0], *pixels.shape[2:]))
    last = features[-1][0][0]
    (found,) = see(extractor, pictures[:1])
    assert last.shape[0] == 20 and found.features.shape[1] == 20
    for values, box in zip(found.features, found.boxes / [width, height, width, height], strict=True):
        spots = np.meshgrid(*[(np.arange(14) + 0.5) / 14 * (box[2 + a] - box[a]) + box[a] for a in (0, 1)])
        grid = torch.tensor(np.stack(spots, -1), dtype=torch.float32)[None] * 2 - 1
        slow = torch.nn.functional.grid_sample(last[None], grid, padding_mode="border", align_corners=False)
        np.testing.assert_allclose(values, slow.mean((2, 3))[0].numpy(), atol=1e-4)


def test_pooling_agrees_with_roi_align():
    torch.manual_seed(0)
    maps = torch.randn(3, 9, 12)
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.55, 0.52]])
    wanted = roi_align(maps, boxes * torch.tensor([12.0, 9, 12, 9]), cells=7, stride=1).mean((2, 3))
    torch.testing.assert_close(pool_boxes(maps, boxes), wanted)


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbones(saved, pictures, kind):
    make, width, regions = BACKBONES[kind]
    extractor = open_extractor(saved(make), regions)
    found = see(extractor, pictures)
    for seen, picture in zip(found, pictures, strict=True):
        assert seen.features.shape == (regions, width)
        assert seen.boxes[0, :2].tolist() == [0, 0] and seen.boxes[-1, 2:].tolist() == list(picture.size)
    np.testing.assert_allclose(see(extractor, pictures[1:2])[0].features, found[1].features, atol=1e-5)
    assert not np.allclose(found[0].features, found[1].features)


def test_a_cell_shows_its_own_place(saved):
    """A picture black but for one corner: the corner's cell differs most from that of a black picture."""
    extractor = open_extractor(saved(small_vit), 36)
    black = Image.new("RGB", (192, 144))
    for corner, cell in (((0, 0), 0), ((160, 0), 5), ((160, 120), 35)):
        lit = black.copy()
        lit.paste((255, 255, 255), (*corner, corner[0] + 32, corner[1] + 24))
        before, after = see(extractor, [black, lit])
        assert np.abs(after.features - before.features).sum(1).argmax() == cell
        assert after.boxes[cell].tolist() == [*corner, corner[0] + 32, corner[1] + 24]


def test_cells_are_the_windows_of_the_pooling():
    values = torch.arange(7.0).repeat(7, 1)[None]  # the column's number
    pooled = torch.nn.functional.adaptive_avg_pool2d(values, 3)[0].flatten()
    boxes = networks._cells(3, 7, 7) * 7
    for mean, (x0, _, x1, _) in zip(pooled.tolist(), boxes.tolist(), strict=True):
        assert mean == pytest.approx((x0 + x1 - 1) / 2, abs=1e-4)


def test_a_network_of_its_own_for_the_sample_world(pictures):
    split = data.open_split(data.sample_dir(), "test")
    extractor = open_extractor("sample")
    found, turned = see(extractor, [pictures[0], pictures[1]])
    np.testing.assert_allclose(found.features, split.regions([0])[0][0].numpy(), atol=0.01)
    np.testing.assert_array_equal(found.boxes, split.boxes[0])
    assert (turned.boxes.max(0)[2:] <= pictures[1].size).all() and turned.boxes[0].tolist() == [0, 0, 144, 192]


def test_surest_boxes():
    inverse = lambda p: float(np.log(p / (1 - p)))  # noqa: E731
    logits = torch.tensor([[inverse(0.2), -9], [-9, inverse(0.9)], [inverse(0.8), -9], [inverse(0.99), -9]])
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.6, 0.6, 0.4, 0.4], [0.61, 0.6, 0.4, 0.4], [0.5, 0.5, 0.001, 0.5]])
    kept = select_boxes(
        logits, boxes, 2, 3, (100, 100)
    )  # the second covers the third, the fourth is a tenth of a pixel wide
    torch.testing.assert_close(kept, torch.tensor([[0.4, 0.4, 0.8, 0.8], [0.1, 0.1, 0.3, 0.3]]))
    torch.testing.assert_close(select_boxes(logits, boxes, 2, 1, (100, 100)), kept[:1])
    nothing = torch.cat([logits, torch.tensor([[9.0], [0.0], [9.0], [9.0]])], 1)  # with "nothing" as a third answer
    assert select_boxes(nothing, boxes, 2, 1, (100, 100))[0, 0] == pytest.approx(0.4)
    assert select_boxes(logits[3:], boxes[3:], 2, 3, (100, 100)).tolist() == [[0, 0, 1, 1]]


def test_tokens_without_a_place_are_left_out():
    rows = torch.arange(6.0)[None, :, None].expand(1, 6, 4)
    assert as_map(torch.cat([torch.full((1, 5, 4), -1.0), rows], 1), 32, 48, 16)[0, 0].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    with pytest.raises(ValueError, match="last hidden state"):
        as_map(torch.zeros(1, 100, 4), 32, 48, 16)
    with pytest.raises(ValueError, match="last hidden state"):  # channels last
        as_map(torch.zeros(1, 2, 3, 4), 32, 48, 16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "could not be read"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "could not be read"),
        (lambda f: (f / "config.json").write_text("{"), "could not be read"),
    ],
)
def test_damaged_folders(saved, tmp_path, change, words):
    folder = tmp_path / "model"
    shutil.copytree(saved(small_vit), folder)
    change(folder)
    with pytest.raises(UserError, match=words):
        open_extractor(str(folder))


def test_missing_weights_are_not_replaced_by_random_ones(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(saved(small_vit), folder)
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if "layernorm" in n)
    save_file({n: w for n, w in weights.items() if n != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights"):
        open_extractor(str(folder))


def test_wrong_numbers_of_regions(saved, pictures):
    with pytest.raises(UserError, match="got 30, wanted a square number such as 25"):
        open_extractor(saved(small_vit), 30)
    with pytest.raises(UserError, match=r"got 49, wanted at most 36: .* has 6 x 6 cells"):
        see(open_extractor(saved(small_vit), 49), pictures[:1])
    with pytest.raises(UserError, match="from 1 to 1000"):
        open_extractor(saved(small_vit), 0)


def test_a_hub_name_offline_gives_one_sentence():
    with pytest.raises(UserError, match="could not be read") as error:
        open_extractor("nobody/nothing-of-this-name")
    assert "\n" not in str(error.value)


def test_code_in_a_networks_folder_is_never_run(saved, tmp_path):
    """The name may come from another's index.json; transformers would ask at the terminal, and "yes" stands there."""
    marker = tmp_path / "ran"

    def network(name, make, file, **changes):
        folder = tmp_path / name
        shutil.copytree(saved(make), folder)
        (folder / "mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass C: pass\n")
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))
        return str(folder)

    kinds = {"AutoConfig": "mine.C", "AutoModel": "mine.C", "AutoModelForObjectDetection": "mine.C"}
    processor = {"image_processor_type": "Mine", "auto_map": {"AutoImageProcessor": "mine.C"}}
    within = {"model_type": "bert", "auto_map": {"AutoBackbone": f"{tmp_path / 'within'}--mine.C"}}
    folders = [
        network("model", small_vit, "config.json", model_type="mine", auto_map=kinds),
        network("processor", small_vit, "preprocessor_config.json", **processor),
        network("within", small_detr, "config.json", backbone_config=within),
    ]
    code = """import sys
from hrem_lib.errors import UserError
from hrem_lib.pictures.networks import open_extractor
for folder in sys.argv[1:]:
    try:
        open_extractor(folder, 9)
    except UserError as error:
        print(error, file=sys.stderr)"""
    command = [sys.executable, "-c", code, *folders]
    done = subprocess.run(command, input="yes\n" * 99, capture_output=True, text=True, cwd=ROOT)
    assert not marker.exists() and done.stdout == ""
    wanted = "brings code of its own, which is never run here, wanted a network that is part of transformers"
    assert done.stderr.splitlines() == [f"--model {folder}: {wanted}" for folder in folders]


def test_every_network_is_loaded_without_code_of_its_own():
    calls = []
    for path in (ROOT / "hrem_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
            if name in ("from_pretrained", "from_config", "pipeline"):
                calls.append(f"{path.name} line {node.lineno}")
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                assert getattr(given.get("trust_remote_code"), "value", None) is False, calls[-1]
    assert len(calls) >= 6
