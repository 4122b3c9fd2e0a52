"""A folder of pictures and a caption file -> the public data layout, with boxes and file names (Sec 4.1).

Resumable: rows are appended to `{split}_ims.npy.part`, and after every chunk `{split}_extract.json` says how far it is;
it stays as the record of how the features were made. Pictures that cannot be read are named there and left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from hrem_lib import config as configs
from hrem_lib import data, sampling
from hrem_lib.errors import UserError
from hrem_lib.files import read_json, write_bytes, write_json
from hrem_lib.pictures.caption_files import CaptionedPicture, fixed_number
from hrem_lib.pictures.images import picture_finder, read_picture
from hrem_lib.pictures.networks import RegionExtractor, Regions

CHUNK = 64  # pictures between two savings


class _Rows:
    """A .npy file that grows: rows are appended to NAME.part, and the header gets the true count at the end."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, rows: int):
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.shape, self.dtype = shape, np.dtype(dtype)
        if rows and not self.part.exists():  # stopped between renaming and the last record
            os.replace(path, self.part)
        self.file = open(self.part, "r+b" if rows else "w+b")  # noqa: SIM115
        self._header(rows)
        # what was written after the last saving is written again
        self.file.truncate(self.file.tell() + rows * self.dtype.itemsize * int(np.prod(shape)))
        self.file.seek(0, os.SEEK_END)

    def _header(self, rows: int) -> None:
        """numpy leaves room in a header for a growing first dimension: its length stays."""
        self.file.seek(0)
        form = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": form, "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, self.dtype).tobytes())

    def save(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def finish(self, rows: int) -> None:
        self._header(rows)
        self.save()
        self.file.close()
        os.replace(self.part, self.path)


def _fingerprint(items: Sequence[CaptionedPicture]) -> str:
    return hashlib.sha256(json.dumps([[i.name, i.captions] for i in items]).encode()).hexdigest()[:16]


def _start(path: Path, settings: dict) -> dict:
    """The state of a split: a new one, or the one in `path` if its settings are the same."""
    if not path.is_file():
        return {**settings, "next": 0, "rows": 0, "unreadable": {}, "done": False}
    state = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if state.get(name) != value:
            raise UserError(f"{path}: got {name} = {value}, wanted {state.get(name)}, with which it was begun")
    return state


class Origin(NamedTuple):
    """Where a data folder's pictures lie and which network made its features; None: the folder does not tell."""

    pictures: str | None = None
    network: str | None = None
    regions: int | None = None


def origin(folder: Path, name: str) -> Origin:
    """The origin of the features of split `name`, as `hrem extract` recorded it, or the sample world's.

    Raises:
        UserError: a record that is not one.
    """
    record = folder / f"{name}_extract.json"
    if record.is_file():
        made = read_json(record)
        if not isinstance(made, dict) or {"pictures", "model", "regions"} - set(made):
            raise UserError(f"{record}: not the record of hrem extract, wanted pictures, model and regions")
        return Origin(made["pictures"], made["model"], made["regions"])
    pictures = folder.parent / "pictures"
    if folder.name == "sample_precomp" and pictures.is_dir():
        return Origin(str(pictures.resolve()), "sample", data.open_split(folder, name).n_regions)
    return Origin()


def captions_of_others(out: str | Path) -> int | None:
    """Captions a picture in the splits that are in a folder already; all splits of a data set have as many."""
    records = sorted(Path(out).glob("*_extract.json"))
    return json.loads(records[0].read_text(encoding="utf-8"))["captions_per_image"] if records else None


def extract_split(
    folder: str | Path,
    items: Sequence[CaptionedPicture],
    out: str | Path,
    split: str,
    extractor: RegionExtractor,
    count: int = 5,
    half: bool = False,
    workers: int = 2,
    batch: int = 8,
) -> dict:
    """Write one split in the public layout; goes on where an interrupted call stopped, does nothing if it is done.

    Args:
        folder: of the pictures
        items: pictures and captions, in the order to write
        out: {name}_precomp folder
        split: train, dev, test, ...
        extractor: finds the regions
        count: captions a picture; more are left out, fewer are repeated
        half: features in float16 instead of float32
        workers: threads that read pictures
        batch: pictures that the network looks at together; a matter of memory and speed only
    Returns:
        the record, as in `{split}_extract.json`: settings, `rows`, `unreadable` (name -> reason), `repeated` (pictures
        with fewer than `count` captions), ...
    Raises:
        UserError: other settings than those it was begun with, no readable picture, or features that are not finite.
    """
    out = Path(out)
    find = picture_finder(folder)
    out.mkdir(parents=True, exist_ok=True)
    record = out / f"{split}_extract.json"
    if (out / f"{split}_ims.npy").exists() and not record.is_file():
        raise UserError(f"{out / split}_ims.npy: is there already, wanted a folder without this split")
    pictures = str(Path(folder).expanduser().resolve())
    state = _start(record, {
        "model": extractor.name, "regions": extractor.regions, "dtype": "float16" if half else "float32",
        "captions_per_image": count, "pictures": pictures, "items": _fingerprint(items),
    })  # fmt: skip
    if state["done"]:
        return state

    def prepared(item: CaptionedPicture) -> tuple | ValueError:
        try:
            return extractor.prepare(read_picture(find(item.name)))
        except (ValueError, OSError) as error:
            return ValueError(str(error))

    files = _open_rows(out / split, state) if state["rows"] else []
    bar = tqdm(total=len(items), initial=state["next"], desc=split, unit=" pictures", disable=not sys.stderr.isatty())
    with ThreadPoolExecutor(workers) as pool, bar:
        for part, inputs in _ahead(pool, prepared, items, state["next"]):
            good = [x for x in inputs if not isinstance(x, ValueError)]
            seen = [regions for at in range(0, len(good), batch) for regions in extractor.look(good[at : at + batch])]
            if seen and not files:
                state["width"] = seen[0].features.shape[1]
                files = _open_rows(out / split, state)
            for item, x in zip(part, inputs, strict=True):
                if isinstance(x, ValueError):
                    state["unreadable"][item.name] = str(x)
                    continue
                for file, values in zip(files, _padded(item.name, seen.pop(0), extractor.regions, half), strict=True):
                    file.append(values)
                state["rows"] += 1
            for file in files:
                file.save()
            state["next"] += len(part)
            write_json(record, state)
            bar.update(len(part))
    if not state["rows"]:
        name, reason = next(iter(state["unreadable"].items()))
        record.unlink()
        raise UserError(f"{split}: got no readable picture of {len(items)} ({name}: {reason}), wanted at least one")
    kept = [item for item in items if item.name not in state["unreadable"]]
    lines = "".join(caption + "\n" for item in kept for caption in fixed_number(item, count))
    write_bytes(out / f"{split}_caps.txt", lines.encode())
    write_bytes(out / f"{split}_ids.txt", "".join(item.name + "\n" for item in kept).encode())
    for file in files:
        file.finish(state["rows"])
    state |= {"repeated": sum(len(item.captions) < count for item in kept), "done": True}
    write_json(record, state)
    return state


def _open_rows(stem: Path, state: dict) -> list[_Rows]:
    """The growing files of features and boxes, as far as `state` says they are written."""
    shapes = {"ims": (state["width"], state["dtype"]), "boxes": (4, "float32")}
    return [_Rows(stem.with_name(f"{stem.name}_{kind}.npy"), (state["regions"], width), dtype, state["rows"])
            for kind, (width, dtype) in shapes.items()]  # fmt: skip


def _ahead(pool: ThreadPoolExecutor, work: Callable, items: Sequence, start: int) -> Iterator[tuple[Sequence, list]]:
    """Chunks of items with their results; the next chunk is already being read while one is looked at."""
    parts = [items[at : at + CHUNK] for at in range(start, len(items), CHUNK)]
    if not parts:
        return
    running = [pool.submit(work, item) for item in parts[0]]
    for part, after in zip(parts, [*parts[1:], []], strict=True):
        done = [future.result() for future in running]
        running = [pool.submit(work, item) for item in after]
        yield part, done


def _padded(name: str, seen: Regions, regions: int, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features [R,F] and boxes [R,4] of a picture; rows beyond what was seen are zeros."""
    with np.errstate(over="ignore"):
        values = seen.features.astype(np.float16 if half else np.float32)
    if not np.isfinite(values).all() or not values.any():
        what = "only zeros" if np.isfinite(values).all() else "NaN or infinity" + " in float16" * half
        raise UserError(f"{name}: got features with {what}, wanted finite numbers from the network")
    room = ((0, regions - len(values)), (0, 0))
    return np.pad(values, room), np.pad(seen.boxes.astype(np.float32), room)


def training_preset(captions: int) -> str:
    """Preset for so many training captions, as `hrem train` takes it: with too few, the relation part of the larger one
    would never start. Choice of this project.
    """
    for name in ("f8k", "sample"):
        t = configs.preset(name).training
        steps = t.epochs * sampling.steps_per_epoch(captions, t.batch_size)
        if t.warmup_steps < steps:
            return name
    return f"sample --training.warmup_steps {steps // 3}"
