"""Caption files in the forms people have them -> picture names with their captions, and splits (Sec 4.1).

Flickr8k and Flickr30K (`Flickr8k.token.txt`, `results_20130124.token`, `captions.txt`, `results.csv`), Karpathy's
`dataset_*.json`, COCO's `captions_*.json`, and any CSV with a column of file names and one of captions.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.pictures.images import SUFFIXES

PICTURE_NAMES = ("image", "image_name", "filename", "file_name", "file", "picture", "name", "path")
CAPTION_NAMES = ("caption", "captions", "comment", "raw", "text", "sentence", "description")
SPLIT_NAMES = {
    "train": "train", "training": "train", "restval": "train",
    "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "test": "test", "testing": "test", "testall": "testall",
}  # fmt: skip


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture's file name, its captions in the file's order, and its split where the file names one."""

    name: str
    captions: tuple[str, ...]
    split: str | None = None


def read_captions(path: str | Path) -> list[CaptionedPicture]:
    """Read a caption file; its form is told from its content.

    Returns:
        one entry a picture, in order of first appearance; white space in captions is single, empty ones are left out
    Raises:
        UserError: missing file, none of the forms, or a line that does not fit (with its number).
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a caption file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: got bytes that are not UTF-8 at place {error.start}, wanted UTF-8 text") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip()[:1] in ("{", "["):
        rows = _json_rows(path, text)
    elif re.match(r"[^\t]+#\d+\t", first):
        rows = _token_rows(path, text)
    else:
        rows = _csv_rows(path, text)
    captions: dict[str, list[str]] = {}
    splits: dict[str, str | None] = {}
    for name, caption, split in rows:
        captions.setdefault(name, [])
        if splits.setdefault(name, split) != split:
            raise UserError(f"{path}: got {name} in the splits {splits[name]} and {split}, wanted one")
        if caption := " ".join(caption.split()):
            captions[name].append(caption)
    found = [CaptionedPicture(name, tuple(lines), splits[name]) for name, lines in captions.items() if lines]
    if not found:
        raise UserError(f"{path}: got no caption, wanted picture names with captions")
    return found


Rows = Iterable[tuple[str, str, str | None]]  # picture, caption, split


def _token_rows(path: Path, text: str) -> Rows:
    """`name.jpg#0<tab>caption`, one a line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        match = re.match(r"([^\t]+)#\d+\t(.*)", line)
        if match is None:
            raise UserError(f"{path} line {number}: got {line.strip()[:40]!r}, wanted name.jpg#0, a tab and a caption")
        yield match[1], match[2], None


def _json_rows(path: Path, text: str) -> Rows:
    """Karpathy's form (captions stand with the picture) or COCO's (annotations point to it)."""
    wanted = "wanted Karpathy's dataset_*.json or COCO's captions_*.json"
    try:
        content = json.loads(text)
        images = content["images"]
        if "annotations" in content:
            names = {image["id"]: image["file_name"] for image in images}
            return [(names[a["image_id"]], a["caption"], None) for a in content["annotations"]]
        coco = content.get("dataset") == "coco"  # its 5,000 test pictures are the split `testall`
        rows = []
        for image in images:
            name = f"{image['filepath']}/{image['filename']}" if image.get("filepath") else image["filename"]
            split = _split_name(path, image["split"]) if "split" in image else None
            split = "testall" if coco and split == "test" else split
            rows += [(name, sentence["raw"], split) for sentence in image["sentences"]]
        return rows
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: got JSON of another form ({error} is not there), {wanted}") from None


def _split_name(path: Path, name: str) -> str:
    if name.strip().lower() not in SPLIT_NAMES:
        raise UserError(f"{path}: got the split {name!r}, wanted one of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[name.strip().lower()]


def _csv_rows(path: Path, text: str) -> Rows:
    """A header that names a picture column and a caption column, or no header and two columns."""
    header = text.lstrip("\n").split("\n", 1)[0]
    delimiter = max("|\t,;", key=header.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter, quoting=_quoting(delimiter))
    numbered = ((lines.line_num, row) for row in lines if any(cell.strip() for cell in row))
    number, names = next(numbered, (1, []))
    names = [name.strip().lower() for name in names]
    if len(names) > 1 and names[0].split("#")[0].endswith(SUFFIXES):  # no header
        rows = csv.reader(io.StringIO(text), delimiter=delimiter, quoting=_quoting(delimiter))
        numbered, names = ((rows.line_num, row) for row in rows if row), ["image", "caption"]
    picture = next((names.index(n) for n in PICTURE_NAMES if n in names), None)
    caption = next((names.index(n) for n in CAPTION_NAMES if n in names), None)
    if picture is None or caption is None:
        raise UserError(
            f"{path} line {number}: got {header.strip()[:60]!r}, wanted name#0, a tab and a caption, "
            f"Karpathy's or COCO's JSON, or a CSV with a column image and a column caption"
        )
    split = names.index("split") if "split" in names else None
    for number, row in numbered:
        row = _fitted(row, names, caption, delimiter)
        if row is None:
            raise UserError(
                f"{path} line {number}: got another number of columns, wanted {len(names)} ({header.strip()})"
            )
        where = _split_name(path, row[split]) if split is not None else None
        for line in _several(row[caption]):
            yield row[picture].strip(), line, where


def _quoting(delimiter: str) -> Literal[0, 3]:  # csv's own numbers
    # in the forms with | and tabs a quotation mark is part of a caption
    return csv.QUOTE_NONE if delimiter in "|\t" else csv.QUOTE_MINIMAL


def _fitted(row: list[str], names: list[str], caption: int, delimiter: str) -> list[str] | None:
    """A row with as many cells as the header has, where that can be had; else None."""
    if len(row) > len(names) and caption == len(names) - 1:  # a delimiter inside an unquoted caption
        return [*row[:caption], delimiter.join(row[caption:])]
    if len(row) == len(names) - 1 == caption:  # Flickr30K's CSV has a row with number and caption in one cell
        match = re.match(r"(\d+)\s+(.+)", row[-1].strip())
        return [*row[:-1], match[1], match[2]] if match else None
    return row if len(row) == len(names) else None


def _several(cell: str) -> Sequence[str]:
    """All captions of a picture may stand in one cell, as a JSON list."""
    if cell.lstrip().startswith("["):
        try:
            lines = json.loads(cell)
        except json.JSONDecodeError:
            return [cell]
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            return lines
    return [cell]


def assign_splits(
    items: Sequence[CaptionedPicture],
    only: str | None = None,
    dev: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> dict[str, list[CaptionedPicture]]:
    """Splits of the pictures: all in `only`, or as the file says, or drawn by chance from `seed`.

    Args:
        items: as `read_captions` gives
        only: name of the one split
        dev, test: pictures to draw where the file names no splits; None: a tenth each, 1,000 at most
    Returns:
        name -> pictures, in the file's order
    Raises:
        UserError: some pictures have a split and some not, or there are too few pictures.
    """
    if only is not None:
        return {only: list(items)}
    named = Counter(item.split is not None for item in items)
    if len(named) == 2:
        raise UserError(
            f"captions: got {named[True]} pictures with a split and {named[False]} without, wanted all or none"
        )
    if named[True]:
        return {name: [i for i in items if i.split == name] for name in dict.fromkeys(i.split for i in items)}  # pyright: ignore[reportReturnType]  # each has a split
    tenth = max(1, min(1000, len(items) // 10))
    counts = {"dev": tenth if dev is None else dev, "test": tenth if test is None else test}
    left = len(items) - sum(counts.values())
    if left < 1 or min(counts.values()) < 0:
        raise UserError(f"splits: got {len(items)} pictures, wanted more than {sum(counts.values())} for dev and test")
    order = np.random.default_rng(seed).permutation(len(items))
    ends = np.cumsum([left, counts["dev"], counts["test"]])
    parts = np.split(order, ends[:-1])
    names = ("train", "dev", "test")
    return {name: [items[i] for i in sorted(part)] for name, part in zip(names, parts, strict=True) if len(part)}


def per_image(items: Sequence[CaptionedPicture]) -> int:
    """Captions a picture in the public layout: five where most pictures have as many, else what most have."""
    counts = sorted(len(item.captions) for item in items)
    return min(5, counts[(len(counts) - 1) // 2])


def fixed_number(item: CaptionedPicture, count: int) -> Iterator[str]:
    """The first `count` captions; those of a picture with fewer are repeated in order."""
    return (item.captions[i % len(item.captions)] for i in range(count))
