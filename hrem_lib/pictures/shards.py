"""Features of one data set by many processes: disjoint shards, merged to the bytes that one process writes.

A shard's folder `shard-I-of-N` has the public layout, too. Its records say more than the others: which shard it is, the
batch and a checksum of the network's weights, for both decide the last bits of the features.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.files import PART, read_json, write_json
from hrem_lib.pictures.layout import Lines, Rows

SETTINGS = ("model", "regions", "dtype", "captions_per_image", "pictures", "items")  # of every record, in its order
OF_SHARDS = ("shard", "batch", "weights")  # of a shard's record only
BLOCK = 2**24  # bytes that a merge holds


def new_state() -> dict:
    """A split's state before the first picture."""
    return {"next": 0, "rows": 0, "unreadable": {}, "done": False}


class Shard(NamedTuple):
    """One of `count` disjoint shards, counted from 0."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def folder(self, out: Path) -> Path:
        return out / f"shard-{self.index}-of-{self.count}"

    def cut(self, n: int) -> range:
        """Places of this shard in a list of `n`; the shards in order are the list."""
        return range(n * self.index // self.count, n * (self.index + 1) // self.count)


def read_shard(text: str) -> Shard:
    """`I/N`, I from 0 to N - 1.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--shard: got {text!r}, wanted I/N with I from 0 to N - 1, e.g. 0/4 for the first of four")
    return Shard(int(match[1]), int(match[2]))


class _Done(NamedTuple):
    folder: Path
    record: dict


def _read(folder: Path) -> dict[str, _Done]:
    """The splits of a shard's folder."""
    found = {}
    for path in sorted(folder.glob("*_extract.json")):
        record = read_json(path)
        if not isinstance(record, dict) or {*SETTINGS, *OF_SHARDS, *new_state()} - set(record):
            raise UserError(f"{path}: not the record of a shard, wanted a folder that hrem extract --shard wrote")
        found[path.name.removesuffix("_extract.json")] = _Done(folder, record)
    if not found:
        raise UserError(f"{folder}: got no shard, wanted a folder that hrem extract --shard wrote")
    return found


def _in_order(folders: Sequence[Path]) -> dict[str, list[_Done]]:
    """The shards of each split, 0 to N - 1: all there, finished, whole, and made alike."""
    of_split: dict[str, dict[int, _Done]] = {}
    count, first = 0, folders[0]
    for folder in folders:
        for name, shard in _read(folder).items():
            index, n = read_shard(shard.record["shard"])
            count = count or n
            if n != count:
                raise UserError(f"{folder}: got one of {n} shards, wanted one of {count} as {first}")
            if other := of_split.setdefault(name, {}).get(index):
                raise UserError(f"{folder}: got shard {index}/{n} again, which is {other.folder}, wanted each once")
            of_split[name][index] = shard
    for name, shards in of_split.items():
        if missing := [i for i in range(count) if i not in shards]:
            more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
            lacking = ", ".join(map(str, missing[:8])) + more
            raise UserError(f"split {name}: got {len(shards)} of {count} shards, wanted {lacking}, too")
        for shard in shards.values():
            _check(name, shard, shards[0])
        if not any(shard.record["rows"] for shard in shards.values()):
            raise UserError(f"split {name}: got no readable picture in all {count} shards, wanted at least one")
    return {name: [shards[i] for i in range(count)] for name, shards in of_split.items()}


def _check(name: str, shard: _Done, first: _Done) -> None:
    """A finished shard with the settings of the first, whose files are whole."""
    folder, record = shard
    if record["done"] is not True:
        again = f"wanted the same hrem extract with --shard {record['shard']} again"
        raise UserError(f"{folder}: split {name} is not finished, {record['next']} pictures are done, {again}")
    for key in (*SETTINGS, *OF_SHARDS[1:]):
        if record[key] != first.record[key]:
            raise UserError(f"{folder}: got {key} = {record[key]}, wanted {first.record[key]} as in {first.folder}")
    rows, regions = record["rows"], record["regions"]
    arrays = {"ims": (rows, regions, record.get("width")), "boxes": (rows, regions, 4)} if rows else {}
    for kind, shape in arrays.items():
        path = folder / f"{name}_{kind}.npy"
        try:
            got = np.load(path, mmap_mode="r").shape
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: missing or damaged ({error}), wanted the whole shard") from None
        if got != shape:
            raise UserError(f"{path}: got the shape {got}, wanted {shape} as its record says")
    for kind, lines in (("caps", rows * record["captions_per_image"]), ("ids", rows)):
        path = folder / f"{name}_{kind}.txt"
        got = _count_lines(path) if path.is_file() else 0
        if got != lines or not path.is_file():
            raise UserError(f"{path}: got {got} lines, wanted {lines} as the shard's record says")


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


def _names(name: str) -> list[str]:
    """A split's files but its record."""
    return [f"{name}_{kind}" for kind in ("caps.txt", "ids.txt", "boxes.npy", "ims.npy")]


def merge(folders: Sequence[str | Path], out: str | Path, delete: bool = False) -> dict[str, dict]:
    """Shards -> the splits as one process writes them, byte for byte; features are copied in blocks.

    A merge that was interrupted begins anew.

    Args:
        folders: of all shards, in any order
        out: {name}_precomp folder; has none of their splits yet
        delete: delete the shards' files when all is written
    Returns:
        split -> record, as of `extract_split`
    Raises:
        UserError: a shard missing, there twice, not finished, damaged or made otherwise, or a split there already;
            nothing is written then.
    """
    out = Path(out)
    splits = _in_order([Path(folder) for folder in folders])
    records = {}
    for name, shards in splits.items():
        path = out / f"{name}_extract.json"
        records[name] = {key: shards[0].record[key] for key in SETTINGS} | new_state()
        begun = path.is_file() and read_json(path) == records[name]  # by a merge that was interrupted
        for file in (*_names(name), f"{name}_ims.npy{PART}", path.name):
            if not begun and (out / file).exists():
                raise UserError(f"{out / file}: is there already, wanted a folder without this split")
    out.mkdir(parents=True, exist_ok=True)
    for name, shards in splits.items():
        write_json(out / f"{name}_extract.json", records[name])
        records[name] = _merge(out, name, shards, records[name])
    if delete:
        for name, shards in splits.items():
            for folder, _ in shards:
                for file in (*_names(name), f"{name}_extract.json"):  # the record last: it says what there is
                    (folder / file).unlink(missing_ok=True)
        for folder in map(Path, folders):
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
    return records


def _merge(out: Path, name: str, shards: list[_Done], record: dict) -> dict:
    """One split; its record comes last."""
    rows = sum(shard.record["rows"] for shard in shards)
    filled = [shard for shard in shards if shard.record["rows"]]
    for file in _names(name):
        if file.endswith(".txt"):
            text = Lines(out / file)
            for shard in shards:
                with open(shard.folder / file, "rb") as source:
                    shutil.copyfileobj(source, text.file, BLOCK)
            text.finish()
            continue
        like = np.load(filled[0].folder / file, mmap_mode="r")
        whole = Rows(out / file, like.shape[1:], like.dtype.str, 0)
        for shard in filled:
            with open(shard.folder / file, "rb") as source:
                source.seek(np.load(shard.folder / file, mmap_mode="r").offset)  # pyright: ignore[reportAttributeAccessIssue]  # a memmap
                shutil.copyfileobj(source, whole.file, BLOCK)
        whole.finish(rows)
    record = record | {
        "next": sum(shard.record["next"] for shard in shards),
        "rows": rows,
        "unreadable": {bad: why for shard in shards for bad, why in shard.record["unreadable"].items()},
        "done": True,
        "width": filled[0].record["width"],
        "repeated": sum(shard.record["repeated"] for shard in shards),
    }
    write_json(out / f"{name}_extract.json", record)
    return record
