"""`hrem doctor`: is the installation complete, and does a data folder have the public layout?"""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

import torch

from hrem_lib import data, training
from hrem_lib.config import UserError

# Published sizes (images a split; features are 36 x 2048), for folders that carry these names
PUBLIC = {
    "f30k_precomp": {"train": 29000, "dev": 1014, "test": 1000},
    "coco_precomp": {"train": 113287, "dev": 1000, "testall": 5000},
}


def examine(folder: str | Path | None = None) -> tuple[list[str], bool]:
    """Check the installation, then the splits of `folder` (default: the sample data).

    Returns:
        lines that each start with [OK] or [FAIL]; whether all are OK
    """
    lines = [f"[OK] Python {platform.python_version()}", *_packages(), f"[OK] device {_device()}"]
    try:
        where = data.find_folder(folder, needed=()) if folder else data.sample_dir()
    except UserError as error:
        return [*lines, f"[FAIL] {error}"], False
    lines += _folder(where)
    return lines, not any(line.startswith("[FAIL]") for line in lines)


def _device() -> str:
    device = training.pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{device} ({name})"


def _packages() -> list[str]:
    lines = []
    for requirement in metadata.requires("hrem") or []:
        if "extra ==" in requirement:
            continue
        name = re.match(r"[\w.-]+", requirement)[0]
        try:
            lines.append(f"[OK] {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"[FAIL] {name}: not installed, wanted {requirement}")
    return lines


def _folder(folder: Path) -> list[str]:
    lines, splits = [], []
    expected = PUBLIC.get(folder.name, {})
    found = {path.name.removesuffix("_ims.npy") for path in folder.glob("*_ims.npy")}
    for name in [*(expected or ("train", "dev", "test")), *sorted(found)]:
        if any(name == split.name for split in splits):
            continue
        try:
            split = data.open_split(folder, name)
        except UserError as error:
            if f"[FAIL] {error}" not in lines:
                lines.append(f"[FAIL] {error}")
            continue
        splits.append(split)
        size = f"{split.n_images} images, {split.n_captions} captions, {split.n_regions} x {split.region_dim} features"
        extras = f"{'with' if split.boxes is not None else 'no'} boxes, {'with' if split.ids else 'no'} file names"
        wanted = expected.get(name, split.n_images)
        state = "[OK]" if split.n_images == wanted else "[FAIL]"
        lines.append(
            f"{state} {folder.name}/{name}: {size}, {extras}" + ("" if state == "[OK]" else f", wanted {wanted} images")
        )
    try:
        data.check_same_width(splits)
    except UserError as error:
        lines.append(f"[FAIL] {error}")
    return lines
