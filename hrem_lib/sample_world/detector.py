"""Pictures to region features: the sample world's own small detector (paper Sec 3.1, "bottom-up attention" in small).

The paper takes 36 regions a photograph from a detector trained on object and attribute labels (Anderson et al.,
CVPR 2018). Here the same in small: a convolutional network learns kinds, colors, postures and box corrections from
the TRAIN pictures' boxes, never from captions or relations. It proposes the boxes itself, from pixels, with its
errors, and its last hidden layer is the feature. For photographs, any detector or backbone that offers
`propose` and `features` with the shapes below can stand in its place (for example one of `transformers`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hrem_lib.errors import UserError
from hrem_lib.sample_world.canvas import COLORS, HEIGHT, WIDTH
from hrem_lib.sample_world.catalog import ACTIONS, PEOPLE, SEED, SPLIT_SIZES, Scene
from hrem_lib.sample_world.places import SETTINGS
from hrem_lib.sample_world.scenes import save_picture, to_palette, write_world

N_REGIONS, FEATURE_DIM = 12, 96
STRIDE, CELLS = 4, 6
KINDS = ("background", *PEOPLE, "dog", "cat", "horse", "bird", "surfboard", "bicycle", "skateboard", "ball", "skis",
         "sled", "kite", "umbrella", "cake", "table", "guitar", "book", "sofa", "bench", "chair", "car", "racket",
         "baseball bat", "hockey stick", "cricket bat", "mallet", *SETTINGS)  # fmt: skip
POSES = tuple(sorted({action.pose for action in ACTIONS.values()} | {"flying"}))
PALETTE = tuple(COLORS)
ANCHORS = (
    (11, 11, 9),
    (20, 20, 14),
    (34, 28, 16),
    (26, 54, 16),
    (34, 70, 18),
    (62, 20, 16),
    (62, 42, 18),
    (90, 62, 24),
)
"""Width, height and step, in pixels, of the boxes that are tried over the whole picture."""


class Guess(NamedTuple):
    """What the network sees in N boxes: log-odds, and the hidden layer that becomes the feature."""

    hidden: Tensor  # [N, F]
    kind: Tensor  # [N, kinds]
    color: Tensor  # [N, colors]
    lower: Tensor  # [N, colors], a person's pants or skirt
    pose: Tensor  # [N, poses]
    shift: Tensor  # [N, 4] box correction


def roi_align(maps: Tensor, boxes: Tensor, cells: int = CELLS, stride: int = STRIDE) -> Tensor:
    """Crop and resize: bilinear samples of maps [C, H, W] in boxes [N, 4] (pixels) -> [N, C, cells, cells].

    Each cell is the mean of 2 x 2 samples (He et al., ICCV 2017). A bilinear sample is a tent-shaped weighting of each
    axis, so the whole crop is two matrix products.
    """

    def tents(low: Tensor, high: Tensor, size: int) -> Tensor:
        steps = (torch.arange(2 * cells, device=low.device, dtype=low.dtype) + 0.5) / (2 * cells)
        spots = (low[:, None] + (high - low)[:, None] * steps) / stride - 0.5
        spots = spots.clamp(0, size - 1)
        weights = (1 - (spots[..., None] - torch.arange(size, device=low.device, dtype=low.dtype)).abs()).clamp(min=0)
        return weights.unflatten(1, (cells, 2)).mean(2)  # [N, cells, size]

    boxes = boxes.to(maps.dtype)
    spans, same = boxes[:, [1, 3]].unique(dim=0, return_inverse=True)  # boxes side by side share their rows
    down = tents(spans[:, 0], spans[:, 1], maps.shape[1])
    across = tents(boxes[:, 0], boxes[:, 2], maps.shape[2])
    rows = torch.einsum("nih,chw->nicw", down, maps)
    order = same.argsort(stable=True)
    groups = across[order].split(same.bincount().tolist())
    crops = torch.cat([torch.einsum("icw,njw->nicj", row, group) for row, group in zip(rows, groups, strict=True)])
    return crops[order.argsort()].transpose(1, 2)


class RegionNetwork(nn.Module):
    """Five convolutions over the picture, then one hidden layer and five answers for each box."""

    def __init__(self, hidden: int = FEATURE_DIM) -> None:
        super().__init__()
        widths = ((3, 24, 2, 1), (24, 32, 1, 1), (32, 48, 2, 1), (48, 48, 1, 1), (48, 48, 1, 2))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=step, padding=wide, dilation=wide, bias=False) for a, b, step, wide in widths
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _, _ in widths)
        self.hidden = nn.Linear(48 * CELLS * CELLS, hidden)
        self.heads = nn.ModuleDict({"kind": nn.Linear(hidden, len(KINDS)), "color": nn.Linear(hidden, len(PALETTE)),
                                    "lower": nn.Linear(hidden, len(PALETTE)), "pose": nn.Linear(hidden, len(POSES)),
                                    "shift": nn.Linear(hidden, 4)})  # fmt: skip

    def maps(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, height, width] in 0..1 -> feature maps [B, 48, height / 4, width / 4]."""
        x = pictures - 0.5
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.relu(norm(convolution(x)))
        return x

    def look(self, maps: Tensor, boxes: Tensor) -> Guess:
        """One picture's maps [C, H, W] and boxes [N, 4] -> what is in each box."""
        hidden = functional.relu(self.hidden(roi_align(maps, boxes).flatten(1)))
        return Guess(hidden, *(self.heads[name](hidden) for name in ("kind", "color", "lower", "pose", "shift")))


def to_tensor(picture: Image.Image) -> Tensor:
    """A picture as float64 [1, 3, height, width] in 0..1."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def anchors() -> Tensor:
    """All boxes that are tried, [N, 4] in pixels; the whole picture comes first."""
    boxes = [[0, 0, WIDTH, HEIGHT]]
    for wide, high, step in ANCHORS:
        for y in range(high // 2, HEIGHT - high // 2 + step, step):
            for x in range(wide // 2, WIDTH - wide // 2 + step, step):
                boxes.append([x - wide // 2, y - high // 2, x + (wide + 1) // 2, y + (high + 1) // 2])
    return clip(torch.tensor(boxes, dtype=torch.float64))


def clip(boxes: Tensor) -> Tensor:
    """Boxes cut at the picture's border."""
    limit = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limit)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] and [M, 4] -> [N, M]."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return shared / (area_a[:, None] + area_b[None] - shared).clamp(min=1e-9)


def shift_to(boxes: Tensor, target: Tensor) -> Tensor:
    """The correction [N, 4] that leads from boxes to target: centers in box sizes, sizes as logarithms."""
    size, wanted = boxes[:, 2:] - boxes[:, :2], target[:, 2:] - target[:, :2]
    center = (target[:, :2] + target[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    return torch.cat([4 * center / size, 2 * (wanted / size).log()], 1)


def move(boxes: Tensor, shift: Tensor) -> Tensor:
    """The inverse of `shift_to`, rounded to whole pixels and cut at the border."""
    size = boxes[:, 2:] - boxes[:, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + shift[:, :2] / 4 * size
    half = size * (shift[:, 2:] / 2).clamp(-2, 2).exp() / 2
    return clip(torch.cat([center - half, center + half], 1).round())


@torch.no_grad()
def propose(picture: Image.Image, n: int = N_REGIONS, network: RegionNetwork | None = None) -> np.ndarray:
    """The n boxes [n, 4] float32 (x0 y0 x1 y1, whole pixels) where the network sees something, surest first.

    Row 0 is the whole picture. All tried boxes are judged and corrected, the best 80 twice more, and of boxes that
    cover each other the surest stays. Computed in float64 and compared after rounding, and the choice
    does not depend on the processor (choice of this project).
    """
    network = (network or load_region_network()).double()
    maps = network.maps(to_tensor(picture))[0]
    boxes = anchors()
    things, people = KINDS.index(SETTINGS[0]), len(PEOPLE)  # kinds: background, people, things, settings
    for keep in (80, 80, None):
        guess = network.look(maps, boxes)
        kinds = guess.kind.softmax(1)
        sure = kinds[:, 1:things].sum(1).mul(1e6).round()
        order = sure.argsort(descending=True, stable=True)[:keep]
        boxes, sure, names = move(boxes, guess.shift)[order], sure[order], kinds[order, 1:things].argmax(1)
    whole = torch.tensor([[0, 0, WIDTH, HEIGHT]], dtype=torch.float64)
    names = torch.cat([torch.tensor([-1]), names.clamp(min=people - 1)])  # men, women, children count as one kind
    boxes = torch.cat([whole, boxes])
    covered = overlap(boxes, boxes)
    covered = (covered > 0.65) | ((covered > 0.35) & (names[:, None] == names[None]))
    valid = ((boxes[:, 2:] - boxes[:, :2]).min(1).values >= 3).tolist()
    kept: list[int] = []
    for i in range(len(boxes)):
        if valid[i] and not covered[i, kept].any():
            kept.append(i)
    spare = [i for i in range(len(boxes)) if valid[i] and i not in kept]  # too few: near copies fill up
    return boxes[(kept + spare)[:n]].float().numpy()


@torch.no_grad()
def features(picture: Image.Image, boxes: np.ndarray, network: RegionNetwork | None = None) -> np.ndarray:
    """Hidden layer of the network for boxes [R, 4] (pixels) of a picture -> [R, F] float16 (computed in float64)."""
    network = (network or load_region_network()).double()
    maps = network.maps(to_tensor(picture))[0]
    return network.look(maps, torch.as_tensor(boxes)).hidden.numpy().astype(np.float16)


@torch.no_grad()
def predictions(picture: Image.Image, boxes: np.ndarray, network: RegionNetwork | None = None) -> list[dict]:
    """For each box the surest kind, color and pose with probabilities: {"kind": (name, p), "color": ..., ...}."""
    network = (network or load_region_network()).double()
    guess = network.look(network.maps(to_tensor(picture))[0], torch.as_tensor(boxes))
    rows: list[dict] = [{} for _ in boxes]
    for title, names in (("kind", KINDS), ("color", PALETTE), ("lower", PALETTE), ("pose", POSES)):
        chance, best = getattr(guess, title).softmax(1).max(1)
        for row, p, k in zip(rows, chance.tolist(), best.tolist(), strict=True):
            row[title] = (names[k], p)
    return rows


# --------------------------------------------------------------------------------------------- training


def true_labels(scene: Scene) -> tuple[Tensor, Tensor]:
    """True boxes [N, 4] and labels [N, 4] (kind, color, lower, pose; -100 unknown); the setting is the last box."""
    boxes, labels = [], []
    for e in scene.entities.values():
        boxes.append(e.box)
        labels.append([KINDS.index(e.kind), PALETTE.index(e.color) if e.color else -100,
                       PALETTE.index(e.bottom) if e.bottom else -100,
                       POSES.index(e.pose) if e.pose else -100])  # fmt: skip
    boxes.append([0, 0, WIDTH, HEIGHT])
    labels.append([KINDS.index(scene.setting), -100, -100, -100])
    return torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels)


def practice_boxes(truth: Tensor, tried: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes to learn from and, for each, the index of the true box (-1 background): true, jittered and tried ones."""
    near = truth.repeat(5, 1)
    size = near[:, 2:] - near[:, :2]
    center = (near[:, :2] + near[:, 2:]) / 2 + (torch.rand(len(near), 2, generator=draw) - 0.5) * 0.5 * size
    half = size * (0.4 * (torch.rand(len(near), 2, generator=draw) * 2 - 1)).exp() / 2
    near = clip(torch.cat([center - half, center + half], 1))
    far = tried[torch.randint(len(tried), (40,), generator=draw)]
    boxes = torch.cat([truth, near, far])
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1).values >= 2]
    best, which = overlap(boxes, truth).max(1)
    which = torch.where(best >= 0.45, which, torch.full_like(which, -1))
    clear = (best >= 0.45) | (best < 0.35)
    return boxes[clear], which[clear]


def train_region_network(scenes: list[Scene], pictures: list[Image.Image], epochs: int = 12, batch: int = 8,
                         rate: float = 3e-3, seed: int = SEED, log: bool = False) -> RegionNetwork:  # fmt: skip
    """Train on object and attribute labels of the scenes' boxes (seeded; not bit for bit across processors)."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    network, tried = RegionNetwork(), anchors().float()
    images = torch.cat([to_tensor(p).float() for p in pictures])
    truths = [true_labels(s) for s in scenes]
    steps = epochs * (len(scenes) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        order, total = torch.randperm(len(scenes), generator=draw).tolist(), 0.0
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            flip = torch.rand(batch, generator=draw) < 0.5
            x = torch.where(flip[:, None, None, None], images[chosen].flip(3), images[chosen])
            maps, guesses, wanted, shifts = network.maps(x), [], [], []
            for k, i in enumerate(chosen):
                truth, labels = truths[i]
                if flip[k]:
                    truth = torch.stack([WIDTH - truth[:, 2], truth[:, 1], WIDTH - truth[:, 0], truth[:, 3]], 1)
                boxes, which = practice_boxes(truth, tried, draw)
                guesses.append(network.look(maps[k], boxes))
                background = torch.tensor([0, -100, -100, -100])
                wanted.append(torch.where(which[:, None] >= 0, labels[which], background))
                shifts.append(shift_to(boxes, truth[which]))
            guess = Guess(*(torch.cat(parts) for parts in zip(*guesses, strict=True)))
            want, there = torch.cat(wanted), torch.cat(wanted)[:, 0] > 0
            loss = functional.cross_entropy(guess.kind, want[:, 0])
            for column, weight, answer in ((1, 0.6, guess.color), (2, 0.3, guess.lower), (3, 0.6, guess.pose)):
                loss = loss + weight * functional.cross_entropy(answer, want[:, column])
            loss = loss + functional.smooth_l1_loss(guess.shift[there], torch.cat(shifts)[there], beta=0.2)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if log:
            print(
                f"region network, epoch {epoch + 1} of {epochs}: loss {total / (len(scenes) // batch):.3f}", flush=True
            )
    return network.eval()


@torch.no_grad()
def label_accuracy(scenes: list[Scene], pictures: list[Image.Image], network: RegionNetwork) -> dict[str, float]:
    """Share of right answers on true boxes; `found`: share of true boxes that a proposal meets (IoU 0.5)."""
    right: dict[str, list[float]] = {"kind": [], "color": [], "lower": [], "pose": [], "found": []}
    for scene, picture in zip(scenes, pictures, strict=True):
        boxes, labels = true_labels(scene)
        network.double()
        guess = network.look(network.maps(to_tensor(picture))[0], boxes)
        for column, title in enumerate(("kind", "color", "lower", "pose")):
            known = labels[:, column] >= 0
            hit = getattr(guess, title).argmax(1)[known] == labels[known, column]
            right[title] += hit.double().tolist()
        proposed = torch.from_numpy(propose(picture, N_REGIONS, network))
        right["found"] += (overlap(boxes[:-1], proposed).max(1).values >= 0.5).double().tolist()
    return {title: sum(values) / len(values) for title, values in right.items()}


# ----------------------------------------------------------------------------------------------- storage


def samples_folder() -> Path:
    """The folder `data_samples`: inside the installed package, else the repository's."""
    here = Path(__file__).resolve().parents[1]
    return here / "_data_samples" if (here / "_data_samples").is_dir() else here.parent / "data_samples"


def save_region_network(network: RegionNetwork, folder: Path) -> None:
    """Write region_network.safetensors (float32) and region_network.json (names of the answers)."""
    save_file(
        {k: (v.float() if v.is_floating_point() else v).contiguous() for k, v in network.state_dict().items()},
        folder / "region_network.safetensors",
    )
    (folder / "region_network.safetensors").chmod(0o644)  # safetensors makes it private
    names = {
        "kinds": KINDS,
        "colors": PALETTE,
        "poses": POSES,
        "feature_dim": FEATURE_DIM,
        "stride": STRIDE,
        "cells": CELLS,
    }
    (folder / "region_network.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8", newline="\n")


def load_region_network(folder: Path | None = None) -> RegionNetwork:
    """The shipped network, ready to look. Raises UserError where the weights are missing or of another shape."""
    path = (folder or samples_folder()) / "region_network.safetensors"
    if not path.is_file():
        raise UserError(f"{path}: got no file, wanted the region network (`hrem samples --train-network` makes one)")
    network = RegionNetwork()
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise UserError(f"{path}: got other weights, wanted those of {type(network).__name__}") from error
    return network.eval()


def regenerate(out_dir: Path | str, seed: int = SEED, sizes: dict[str, int] | None = None, train_network: bool = False,
               log: bool = False) -> None:  # fmt: skip
    """Make the sample world in `out_dir` again, as `hrem samples` does.

    Pictures (their pixels), captions, boxes and truth come out exactly as shipped; features, computed from the shipped
    network, equal the stored float16 within one unit in the last place on any processor. `train_network` trains the
    network anew first (about ten minutes on one core; not bit for bit across processors). `sizes` makes less.
    """
    folder = Path(out_dir)
    if train_network and "train" not in (sizes or SPLIT_SIZES):
        raise UserError(f"train_network: got splits {', '.join(sizes or ())}, wanted train among them")
    say = print if log else lambda *args, **kwargs: None
    say(f"drawing the pictures of {', '.join(sizes or SPLIT_SIZES)}", flush=True)
    worlds = write_world(folder, seed, sizes)
    pictures = {split: [Image.open(folder / "pictures" / s.picture_name).convert("RGB") for s in scenes]
                for split, scenes in worlds.items()}  # fmt: skip
    if train_network:
        network = train_region_network(worlds["train"], pictures["train"], log=log)
    else:
        network = load_region_network()
    save_region_network(network, folder)
    for split, shown in pictures.items():
        say(f"boxes and features of {len(shown)} {split} pictures", flush=True)
        bar = tqdm(shown, split, unit=" pictures", disable=not log or not sys.stderr.isatty(), leave=False)
        boxes = np.stack([propose(p, N_REGIONS, network) for p in bar])
        values = np.stack([features(p, b, network) for p, b in zip(shown, boxes, strict=True)])
        np.save(folder / "sample_precomp" / f"{split}_boxes.npy", boxes.astype(np.float32))
        np.save(folder / "sample_precomp" / f"{split}_ims.npy", values)


__all__ = ["RegionNetwork", "features", "load_region_network", "predictions", "propose", "regenerate", "roi_align",
           "save_picture", "to_palette", "train_region_network"]  # fmt: skip
