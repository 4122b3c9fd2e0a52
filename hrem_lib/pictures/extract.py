"""A folder of pictures and a caption file -> the public data layout, with boxes and file names (Sec 4.1).

Resumable: rows are appended to `{split}_ims.npy.part`, and after every chunk `{split}_extract.json` says how far it is;
it stays as the record of how the features were made. Pictures that cannot be read are named there and left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from hrem_lib import config as configs
from hrem_lib import data, sampling
from hrem_lib.errors import UserError
from hrem_lib.files import read_json, write_json
from hrem_lib.pictures.caption_files import CaptionedPicture, fixed_number
from hrem_lib.pictures.images import picture_finder, read_picture
from hrem_lib.pictures.layout import Lines, Rows
from hrem_lib.pictures.networks import RegionExtractor, Regions
from hrem_lib.pictures.shards import Shard, new_state
from hrem_lib.pictures.tars import CHUNK, Tars


class _Folder:
    """Pictures of a folder that a caption file names."""

    def __init__(self, folder: str | Path, items: Sequence[CaptionedPicture]):
        self.items, self.place = items, Path(folder).expanduser().resolve()
        self._find = picture_finder(folder)

    def fingerprint(self) -> str:
        return _fingerprint(self.items)

    def chunks(self, shard: Shard) -> Iterator[Sequence[CaptionedPicture]]:
        """A shard has whole chunks: its batches are those of one process, and so are the last bits of its features."""
        for at in shard.cut(-(-len(self.items) // CHUNK)):
            yield self.items[at * CHUNK : (at + 1) * CHUNK]

    def count(self, shard: Shard) -> int:
        return sum(map(len, self.chunks(shard)))

    def read(self, item: CaptionedPicture) -> Image.Image:
        return read_picture(self._find(item.name))


def _fingerprint(items: Sequence[CaptionedPicture]) -> str:
    """Of `json.dumps([[name, captions], ...])`, one entry at a time."""
    digest = hashlib.sha256(b"[")
    for at, item in enumerate(items):
        digest.update((", " * (at > 0) + json.dumps([item.name, item.captions])).encode())
    digest.update(b"]")
    return digest.hexdigest()[:16]


def _start(path: Path, settings: dict) -> dict:
    """The state of a split: a new one, or the one in `path` if its settings are the same."""
    if not path.is_file():
        return settings | new_state()
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


def extract_splits(
    folder: str | Path,
    splits: Mapping[str, Sequence[CaptionedPicture] | Tars],
    out: str | Path,
    extractor: RegionExtractor,
    count: int = 5,
    half: bool = False,
    workers: int = 2,
    batch: int = 8,
    shard: Shard | None = None,
) -> Iterator[tuple[str, dict]]:
    """`extract_split` of each, one after another; all are begun first, so that `merge` knows which a shard lacks."""
    for name, items in splits.items() if shard else ():
        begun = _begin(_source(folder, items), Path(out), name, extractor, count, half, batch, shard)
        write_json(*begun)
    for name, items in splits.items():
        yield name, extract_split(folder, items, out, name, extractor, count, half, workers, batch, shard)


def _source(folder: str | Path, items: Sequence[CaptionedPicture] | Tars) -> _Folder | Tars:
    return items if isinstance(items, Tars) else _Folder(folder, items)


def _begin(
    source: _Folder | Tars,
    out: Path,
    split: str,
    extractor: RegionExtractor,
    count: int,
    half: bool,
    batch: int,
    shard: Shard | None,
) -> tuple[Path, dict]:
    """A split's record and state, as an earlier call left it or a new one."""
    place = shard.folder(out) if shard else out
    place.mkdir(parents=True, exist_ok=True)
    record = place / f"{split}_extract.json"
    for there in (place, out):
        if (there / f"{split}_ims.npy").exists() and not record.is_file():
            raise UserError(f"{there / split}_ims.npy: is there already, wanted a folder without this split")
    settings = {
        "model": extractor.name, "regions": extractor.regions, "dtype": "float16" if half else "float32",
        "captions_per_image": count, "pictures": str(source.place), "items": source.fingerprint(),
    }  # fmt: skip
    if shard:
        settings |= {"shard": str(shard), "batch": batch, "weights": extractor.weights()}
    return record, _start(record, settings)


def extract_split(
    folder: str | Path,
    items: Sequence[CaptionedPicture] | Tars,
    out: str | Path,
    split: str,
    extractor: RegionExtractor,
    count: int = 5,
    half: bool = False,
    workers: int = 2,
    batch: int = 8,
    shard: Shard | None = None,
) -> dict:
    """Write one split in the public layout; goes on where an interrupted call stopped, does nothing if it is done.

    Features are never held for more than two chunks.

    Args:
        folder: of the pictures
        items: pictures and captions, in the order to write; or tar files with both
        out: {name}_precomp folder
        split: train, dev, test, ...
        extractor: finds the regions
        count: captions a picture; more are left out, fewer are repeated
        half: features in float16 instead of float32
        workers: threads that read pictures
        batch: pictures that the network looks at together; a matter of memory and speed, and of the last bits
        shard: this part of the pictures only, into the folder `shard-I-of-N` in `out`; `shards.merge` joins them
    Returns:
        the record, as in `{split}_extract.json`: settings, `rows`, `unreadable` (name -> reason), `repeated` (pictures
        with fewer than `count` captions), ...
    Raises:
        UserError: other settings than those it was begun with, no readable picture, or features that are not finite.
    """
    source = _source(folder, items)
    record, state = _begin(source, Path(out), split, extractor, count, half, batch, shard)
    if state["done"]:
        return state

    def prepared(item: CaptionedPicture) -> tuple | ValueError:
        try:
            return extractor.prepare(source.read(item))
        except (ValueError, OSError) as error:
            return ValueError(str(error))

    stem = record.with_name(split)
    captions, names = (Lines(stem.with_name(f"{split}_{kind}.txt")) for kind in ("caps", "ids"))
    repeated = 0

    def keep(part: Sequence[CaptionedPicture]) -> None:
        """Captions and names of the pictures that could be read."""
        nonlocal repeated
        for item in part:
            if item.name not in state["unreadable"]:
                names.append(item.name)
                for caption in fixed_number(item, count):
                    captions.append(caption)
                repeated += len(item.captions) < count

    part_of = shard or Shard(0, 1)
    parts, done = source.chunks(part_of), 0
    while done < state["next"]:  # of the call that was interrupted: only the text is written again
        part = next(parts, ())
        done += len(part)
        if not part or done > state["next"]:
            raise UserError(f"{record}: got {done} pictures, wanted the {state['next']} with which it was begun")
        keep(part)
    files = _open_rows(stem, state) if state["rows"] else []
    bar = tqdm(total=source.count(part_of), initial=done, desc=split, unit=" pictures", disable=not sys.stderr.isatty())
    with ThreadPoolExecutor(workers) as pool, bar:
        for part, inputs in _ahead(pool, prepared, parts):
            good = [x for x in inputs if not isinstance(x, ValueError)]
            seen = [regions for at in range(0, len(good), batch) for regions in extractor.look(good[at : at + batch])]
            if seen and not files:
                state["width"] = seen[0].features.shape[1]
                files = _open_rows(stem, state)
            for item, x in zip(part, inputs, strict=True):
                if isinstance(x, ValueError):
                    state["unreadable"][item.name] = str(x)
                    continue
                for file, values in zip(files, _padded(item.name, seen.pop(0), extractor.regions, half), strict=True):
                    file.append(values)
                state["rows"] += 1
            keep(part)
            for file in files:
                file.save()
            state["next"] += len(part)
            write_json(record, state)
            bar.update(len(part))
    if not state["rows"] and not shard:
        for file in (captions, names):
            file.drop()
        record.unlink(missing_ok=True)
        name, reason = next(iter(state["unreadable"].items()), (source.place, "nothing in it"))
        raise UserError(f"{split}: got no readable picture of {state['next']} ({name}: {reason}), wanted at least one")
    for file in (captions, names):
        file.finish()
    for file in files:
        file.finish(state["rows"])
    state |= {"repeated": repeated, "done": True}
    write_json(record, state)
    return state


def _open_rows(stem: Path, state: dict) -> list[Rows]:
    """The growing files of features and boxes, as far as `state` says they are written."""
    shapes = {"ims": (state["width"], state["dtype"]), "boxes": (4, "float32")}
    return [Rows(stem.with_name(f"{stem.name}_{kind}.npy"), (state["regions"], width), dtype, state["rows"])
            for kind, (width, dtype) in shapes.items()]  # fmt: skip


def _ahead(pool: ThreadPoolExecutor, work: Callable, parts: Iterable[Sequence]) -> Iterator[tuple[Sequence, list]]:
    """Chunks of items with their results; the next chunk is already being read while one is looked at."""
    before: tuple[Sequence, list] | None = None
    for part in parts:
        done = before and (before[0], [future.result() for future in before[1]])
        before = part, [pool.submit(work, item) for item in part]
        if done:
            yield done
    if before:
        yield before[0], [future.result() for future in before[1]]


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
