"""`hrem doctor`: is the installation complete, and does a data folder have the public layout?"""

from __future__ import annotations

import argparse
import platform
import re
from importlib import metadata
from pathlib import Path

from hrem_lib.cli.arguments import DATA
from hrem_lib.errors import UserError

# Published sizes (images a split; features are 36 x 2048), for folders that carry these names
PUBLIC = {
    "f30k_precomp": {"train": 29000, "dev": 1014, "test": 1000},
    "coco_precomp": {"train": 113287, "dev": 1000, "testall": 5000},
}


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    doctor = commands.add_parser("doctor", help="check the installation, and a data folder")
    doctor.add_argument("--data", type=Path, help=f"{DATA} (default: the sample data)")
    doctor.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    lines, healthy = examine(args.data)
    print("\n".join(lines), flush=True)
    if not healthy:
        failed = sum(line.startswith("[FAIL]") for line in lines)
        raise UserError(f"doctor: {failed} of {len(lines)} checks failed, see [FAIL] above")
    print(f"all {len(lines)} checks passed")


def examine(folder: str | Path | None = None) -> tuple[list[str], bool]:
    """Check the installation, then the splits of `folder` (default: the sample data).

    Returns:
        lines that each start with [OK] or [FAIL]; whether all are OK
    """
    from hrem_lib import data  # torch comes with it: only where needed

    lines = [f"[OK] Python {platform.python_version()}", *_packages(), f"[OK] device {_device()}"]
    try:
        where = data.find_folder(folder, needed=()) if folder else data.sample_dir()
    except UserError as error:
        return [*lines, f"[FAIL] {error}"], False
    lines += _folder(where)
    return lines, not any(line.startswith("[FAIL]") for line in lines)


def _device() -> str:
    import torch

    from hrem_lib import training

    device = training.pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{device} ({name})"


def _packages() -> list[str]:
    lines = []
    for requirement in metadata.requires("hrem") or []:
        if "extra ==" in requirement:
            continue
        name = re.match(r"[\w.-]+", requirement)[0]  # pyright: ignore[reportOptionalSubscript]  # it starts with a name
        try:
            lines.append(f"[OK] {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"[FAIL] {name}: not installed, wanted {requirement}")
    return lines


def _folder(folder: Path) -> list[str]:
    from hrem_lib import data

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
