"""A picture -> regions: features and boxes, from any `transformers` detector or vision backbone (Sec 3.1).

A detector gives its surest boxes, and a region is the mean of its backbone's last map inside a box, as in bottom-up
attention. A backbone without boxes gives a grid of cells. "sample" is the sample world's own network
(`sample_world.detector`). Hub names are downloaded by `transformers` on first use; a folder is read as it is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hrem_lib.errors import UserError, brief
from hrem_lib.pretrained import loading
from hrem_lib.sample_world.canvas import HEIGHT, WIDTH
from hrem_lib.sample_world.detector import N_REGIONS, features, load_region_network, overlap, propose

DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"
"""Default detector: RT-DETR with a ResNet-50, learned on COCO and Objects365 (choice of this project)."""
COVERED = 0.7  # of two boxes that overlap more than this, the surer one stays
SAMPLES = 14  # points along each side of a box whose mean is its feature


class Regions(NamedTuple):
    """What is seen in one picture."""

    features: np.ndarray  # float32 [r,F], r at most R
    boxes: np.ndarray  # float32 [r,4], x0 y0 x1 y1 in pixels of the picture


class RegionExtractor(NamedTuple):
    """A network that finds regions; what it finds in a picture never depends on the other pictures."""

    prepare: Callable[[Image.Image], tuple]  # a picture (RGB) -> the network's input; may run in threads
    look: Callable[[list[tuple]], list[Regions]]
    regions: int  # R, most regions of a picture
    name: str
    weights: Callable[[], str] = str  # a checksum: one name may stand for other weights on another machine


def open_extractor(
    name: str = DETECTOR, regions: int | None = None, device: torch.device | str = "cpu"
) -> RegionExtractor:
    """Open a network by name.

    Args:
        name: "sample", or hub name or folder of a detector (DETR, RT-DETR, ...) or backbone (ResNet, ViT, DINOv2, ...)
        regions: R; a square number for backbones, whose cells form a grid; None: 36 (12 for "sample")
        device: where it runs
    Raises:
        UserError: not found, weights missing, or an R that does not fit.
    """
    if regions is not None and not 1 <= regions <= 1000:
        raise UserError(f"--regions: got {regions}, wanted a number from 1 to 1000")
    if name == "sample":
        return _sample_extractor(regions or N_REGIONS)
    model, processor, detects = _load(name)
    model = model.to(device).eval()
    kind = _detector if detects else _backbone
    return kind(name, model, processor, regions or 36, torch.device(device))


def _load(name: str) -> tuple[torch.nn.Module, Any, bool]:
    """Model with all its weights, image processor, and whether it detects objects."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForObjectDetection
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

    try:
        with loading():
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
            detects = config.model_type in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES
            kind = AutoModelForObjectDetection if detects else AutoModel
            model, report = kind.from_pretrained(name, output_loading_info=True, trust_remote_code=False)
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except ImportError as error:
        first = next(line.strip() for line in str(error).splitlines() if line.strip())
        raise UserError(f"--model {name}: needs a package that is not installed ({first})") from None
    except (OSError, ValueError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"--model {name}: brings code of its own, which is never run here, wanted a network that is part of "
                "transformers"
            ) from None
        raise UserError(
            f"--model {name}: could not be read ({brief(error)}); wanted a folder with config.json, "
            "preprocessor_config.json and weights, or a hub name that can be reached"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)
    if missing:
        raise UserError(f"--model {name}: lacks {len(missing)} weights, the first is {missing[0]}")
    if not detects:
        model = getattr(model, "vision_model", model)  # CLIP and its like have a text side, too
    return model, processor, detects


def _checksum(model: torch.nn.Module) -> str:
    """Of a network's weights, in their order."""
    crc = 0
    for name, value in model.state_dict().items():
        plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        crc = zlib.crc32(plain, zlib.crc32(name.encode(), crc))  # pyright: ignore[reportArgumentType]  # an array is a buffer
    return f"{crc:08x}"


def pool_boxes(feature_map: Tensor, boxes: Tensor) -> Tensor:
    """Mean of a map inside each box, by SAMPLES x SAMPLES bilinear samples; [C,h,w], [r,4] in 0..1 -> [r,C].

    A bilinear sample is a tent-shaped weighting of each axis: the mean is two matrix products.
    """

    def weights(low: Tensor, high: Tensor, size: int) -> Tensor:
        steps = (torch.arange(SAMPLES, device=low.device, dtype=low.dtype) + 0.5) / SAMPLES
        spots = ((low[:, None] + (high - low)[:, None] * steps) * size - 0.5).clamp(0, size - 1)  # [r,samples]
        cells = torch.arange(size, device=low.device, dtype=low.dtype)
        return (1 - (spots[..., None] - cells).abs()).clamp(min=0).mean(1)  # [r,size]

    boxes = boxes.to(feature_map)
    down = weights(boxes[:, 1], boxes[:, 3], feature_map.size(1))
    across = weights(boxes[:, 0], boxes[:, 2], feature_map.size(2))
    return torch.einsum("rh,chr->rc", down, feature_map @ across.T)


# ---- detectors ------------------------------------------------------------------------------------------------


def select_boxes(logits: Tensor, boxes: Tensor, labels: int, keep: int, size: tuple[int, int]) -> Tensor:
    """The surest boxes of a picture that do not cover each other, surest first; at least the whole picture.

    Args:
        logits: of each query [Q,labels], or [Q,labels + 1] with "nothing" last
        boxes: center x, y, width, height in 0..1 [Q,4]
        labels: number of things the detector knows
        keep: most boxes
        size: width and height in pixels; boxes less than a pixel wide or high are left out
    Returns:
        x0 y0 x1 y1 in 0..1 [r,4], r at most `keep`
    """
    scores = logits.softmax(-1)[:, :-1] if logits.size(-1) == labels + 1 else logits.sigmoid()
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = torch.cat([center - half, center + half], 1).clamp(0, 1)
    pixels = (corners[:, 2:] - corners[:, :2]) * corners.new_tensor(size)
    order = scores.amax(-1).argsort(descending=True, stable=True)
    order = order[(pixels.amin(1) >= 1)[order]]
    corners = corners[order]
    covers = (overlap(corners, corners) > COVERED).cpu().numpy()
    kept: list[int] = []
    for i in range(len(corners)):
        if len(kept) < keep and not covers[i, kept].any():
            kept.append(i)
    return corners[kept] if kept else corners.new_tensor([[0.0, 0.0, 1.0, 1.0]])


def _maps(output: object) -> list[Tensor]:
    """All maps [B,C,h,w] in what a detector's backbone returns, the deepest last."""
    if isinstance(output, Tensor):
        return [output] if output.dim() == 4 else []
    if isinstance(output, list | tuple):
        return [found for part in output for found in _maps(part)]
    return []


def _detector(name: str, model: torch.nn.Module, processor: Any, regions: int, device: torch.device) -> RegionExtractor:
    backbone = next((m for n, m in model.named_modules() if n.split(".")[-1] == "backbone"), None)
    if backbone is None:
        raise UserError(f"--model {name}: got a detector without a backbone of its own, wanted DETR, RT-DETR or alike")
    seen: dict[str, object] = {}
    # a pair (maps, positions) or (maps, masks) starts with the maps; a list is all maps
    backbone.register_forward_hook(lambda _, __, out: seen.update(out=out[0] if isinstance(out, tuple) else out))

    def prepare(picture: Image.Image) -> tuple:
        return processor(images=picture, return_tensors="pt")["pixel_values"], picture.size

    @torch.inference_mode()
    def look(pictures: list[tuple]) -> list[Regions]:
        found: list[Regions | None] = [None] * len(pictures)
        # only pictures of one size share a batch: padding changes what a network sees near the border
        for shape in dict.fromkeys(pixels.shape for pixels, _ in pictures):
            places = [i for i, (pixels, _) in enumerate(pictures) if pixels.shape == shape]
            out = model(pixel_values=torch.cat([pictures[i][0] for i in places]).to(device))
            maps = _maps(seen["out"])
            if not maps or maps[-1].size(0) != len(places):
                raise UserError(f"--model {name}: its backbone gives no map, wanted DETR, RT-DETR or alike")
            for i, feature_map, logits, boxes in zip(places, maps[-1], out.logits, out.pred_boxes, strict=True):
                size = pictures[i][1]
                corners = select_boxes(logits.float(), boxes.float(), model.config.num_labels, regions, size)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]  # a detector's config
                values = pool_boxes(feature_map.float(), corners)
                found[i] = Regions(values.cpu().numpy(), (corners.cpu() * torch.tensor([*size, *size])).numpy())
        return found  # pyright: ignore[reportReturnType]  # none is left out

    return RegionExtractor(prepare, look, regions, name, cache(lambda: _checksum(model)))


# ---- backbones ------------------------------------------------------------------------------------------------


def _input_size(processor: Any, name: str) -> tuple[int, int]:
    """Height and width that a backbone was made for."""
    sizes = [getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None,
             getattr(processor, "size", None)]  # fmt: skip
    for size in sizes:
        if size is None:
            continue
        get: Any = size.get if hasattr(size, "get") else lambda key, size=size: getattr(size, key, None)
        if get("height") and get("width"):
            return int(get("height")), int(get("width"))
        if get("shortest_edge"):
            return int(get("shortest_edge")), int(get("shortest_edge"))
    raise UserError(f"--model {name}: its preprocessor_config.json gives no size, wanted height and width")


def as_map(hidden: Tensor, height: int, width: int, patch: int) -> Tensor:
    """A backbone's last hidden state as a map [B,C,h,w].

    Maps stay; tokens [B,T,C] lose those in front that stand for no place ([CLS], registers) and are laid out in rows.

    Raises:
        ValueError: neither a map nor tokens of a grid.
    """
    if hidden.dim() == 4 and hidden.size(2) * width == hidden.size(3) * height:
        return hidden
    if hidden.dim() == 3:
        for step in (patch * 2**k for k in range(6)):  # some transformers merge patches on the way
            h, w = height // step, width // step
            extra = hidden.size(1) - h * w
            if 0 <= extra <= 16 and h * w > 0:
                return hidden[:, extra:].transpose(1, 2).unflatten(2, (h, w))
    raise ValueError(f"got a last hidden state {tuple(hidden.shape)} for pictures of {height} x {width}")


def _backbone(name: str, model: torch.nn.Module, processor: Any, regions: int, device: torch.device) -> RegionExtractor:
    side = math.isqrt(regions)
    if side * side != regions:
        raise UserError(
            f"--regions: got {regions}, wanted a square number such as {side * side}: {name} has no boxes, its cells "
            "form a grid"
        )
    height, width = _input_size(processor, name)
    patch = getattr(model.config, "patch_size", 1) or 1
    patch = patch[0] if isinstance(patch, list | tuple) else patch
    normalizes = getattr(processor, "do_normalize", False)
    mean = torch.tensor(processor.image_mean if normalizes else [0.0] * 3).view(3, 1, 1)
    std = torch.tensor(processor.image_std if normalizes else [1.0] * 3).view(3, 1, 1)
    how = getattr(processor, "resample", None)
    how = how if isinstance(how, int) else Image.Resampling.BICUBIC

    def prepare(picture: Image.Image) -> tuple:
        # the whole picture is squeezed into the network's square: no part is cropped away, and cells have true boxes
        pixels = np.array(picture.resize((width, height), how), np.float32)
        return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std, picture.size

    @torch.inference_mode()
    def look(pictures: list[tuple]) -> list[Regions]:
        hidden = model(pixel_values=torch.stack([p for p, _ in pictures]).to(device)).last_hidden_state
        try:
            maps = as_map(hidden.float(), height, width, patch)
        except ValueError as error:
            raise UserError(f"--model {name}: {error}, wanted a backbone whose output is a map or a grid") from None
        if side > min(maps.shape[2:]):
            h, w = maps.shape[2:]
            raise UserError(f"--regions: got {regions}, wanted at most {min(h, w) ** 2}: {name} has {h} x {w} cells")
        values = F.adaptive_avg_pool2d(maps, side).flatten(2).transpose(1, 2).cpu().numpy()  # [B,R,C]
        cells = _cells(side, *maps.shape[2:])
        return [Regions(v, cells * np.array([*size, *size], np.float32)) for v, (_, size) in zip(values, pictures, strict=True)]  # fmt: skip # noqa: E501

    return RegionExtractor(prepare, look, regions, name, cache(lambda: _checksum(model)))


def _cells(side: int, h: int, w: int) -> np.ndarray:
    """Boxes in 0..1 [side^2,4] of the windows that `adaptive_avg_pool2d` takes of a map h x w, row by row."""

    def ends(size: int) -> tuple[np.ndarray, np.ndarray]:
        at = np.arange(side)
        return at * size // side / size, -((at + 1) * size // -side) / size

    (top, bottom), (left, right) = ends(h), ends(w)
    rows, columns = (part.ravel() for part in np.indices((side, side)))
    return np.stack([left[columns], top[rows], right[columns], bottom[rows]], 1).astype(np.float32)


# ---- the sample world's own network ---------------------------------------------------------------------------


def _sample_extractor(regions: int) -> RegionExtractor:
    network = load_region_network()

    def prepare(picture: Image.Image) -> tuple:
        fits = picture.size == (WIDTH, HEIGHT)
        return picture if fits else picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), picture.size

    def look(pictures: list[tuple]) -> list[Regions]:
        found = []
        for picture, (width, height) in pictures:
            boxes = propose(picture, regions, network)
            scale = np.array([width / WIDTH, height / HEIGHT] * 2, np.float32)
            found.append(Regions(features(picture, boxes, network).astype(np.float32), boxes * scale))
        return found

    return RegionExtractor(prepare, look, regions, "sample", cache(lambda: _checksum(network)))
