"""Yardsticks beyond recall@K: ECCV Caption and CxC for COCO's test pictures, and TREC files for other tools.

A caption often fits more pictures than its own. CxC (Parekh et al., EACL 2021) and ECCV Caption (Chun et al., ECCV
2022) name such right answers for COCO's 5,000 test pictures; the package eccv-caption carries both lists, and nothing
of its code is used here. n = images, m = captions.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hrem_lib.data import Split
from hrem_lib.errors import UserError
from hrem_lib.files import PART, read_json, read_lines
from hrem_lib.metrics import DIRECTIONS, RECALLS, Answers, Pair, best_answers, precision_of_hits

# ---- ECCV Caption and CxC -------------------------------------------------------------------------------------

FILES = {"i2t": "image_to_caption", "t2i": "caption_to_image"}
FIRST_CAPTION = "A man with a red helmet on a small moped on a dirt road."  # of COCO's first test picture


class CocoIds(NamedTuple):
    """COCO's numbers of the rows of `testall`: image [5000], caption [25000], in the order of the public layout."""

    image: list[int]
    caption: list[int]


def truth_folder() -> Path:
    """The data folder of the package eccv-caption.

    Raises:
        UserError: the package is not installed.
    """
    found = importlib.util.find_spec("eccv_caption")  # found, not imported: only its data are read
    if found is None or not found.submodule_search_locations:
        raise UserError('--eccv: needs the package eccv-caption (pip install "eccv-caption>=0.1,<0.2")')
    return Path(found.submodule_search_locations[0]) / "data"


def coco_ids(folder: Path) -> CocoIds:
    """What the package knows of the order: its captions are those of the public layout, five for each image."""
    captions = np.load(folder / "coco_test_ids.npy", allow_pickle=False).tolist()
    image_of = read_json(folder / "original_caption_to_image.json")
    return CocoIds([image_of[str(caption)][0] for caption in captions[::5]], captions)


def check_coco(split: Split, ids: CocoIds) -> None:
    """Refuse a split that is not COCO's `testall` in the order of the public layout.

    The split is told by its ids file where that holds COCO's numbers (or names with them), else by its first caption.

    Raises:
        UserError: with what was found and what was wanted.
    """
    n, m, stem = len(ids.image), len(ids.caption), split.folder / split.name
    if (split.name, split.n_images, split.n_captions) != ("testall", n, m):
        raise UserError(
            f"--eccv: got split {split.name} with {split.n_images} images and {split.n_captions} captions, "
            f"wanted COCO's testall with {n} and {m}"
        )
    path = Path(f"{stem}_ids.txt")
    lines = read_lines(path) if path.is_file() else []
    found = [int((re.findall(r"\d+", line) or [-1])[-1]) for line in lines]  # COCO_val2014_000000391895.jpg, 391895
    for wanted in (ids.caption, ids.image, [image for image in ids.image for _ in range(5)]):
        if found == wanted:
            return
        if sorted(found) == sorted(wanted):
            row = next(row for row, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
            raise UserError(
                f"--eccv: {path} line {row + 1}: got {found[row]}, wanted {wanted[row]}, COCO's public order"
            )
    first, wanted = (re.sub("[^a-z]", "", text.lower()) for text in (split.captions[0], FIRST_CAPTION))
    if first != wanted:
        raise UserError(
            f"--eccv: {stem}_caps.txt line 1: got {split.captions[0]!r}, wanted COCO's {FIRST_CAPTION!r} "
            f"(or COCO's numbers in {path.name})"
        )


def eccv_figures(pairs: Sequence[Pair], image_of_caption: np.ndarray, folder: Path) -> dict:
    """CxC's recalls and ECCV Caption's mAP@R, R-P and R@1 of an ensemble on COCO's `testall`.

    A tie counts against us. R, the number of right answers, counts all that the package names: two of them are no
    captions of these pictures and are never found.

    Args:
        pairs: for each model (image_emb [5000,D], text_emb [25000,D])
        folder: of `truth_folder`
    Returns:
        {"cxc": {"i2t": {"queries", "R@1", "R@5", "R@10"}, "t2i": ...}, "eccv": {"i2t": {"queries", "mAP@R", "R-P",
        "R@1"}, "t2i": ...}}, in per cent
    """
    ids, result = coco_ids(folder), {"cxc": {}, "eccv": {}}
    row_of_image, row_of_caption = ({number: row for row, number in enumerate(side)} for side in ids)
    for name, direction in ((name, direction) for name in result for direction in DIRECTIONS):
        asked, answering = (row_of_image, row_of_caption) if direction == "i2t" else (row_of_caption, row_of_image)
        right, r = [[] for _ in asked], np.zeros(len(asked), np.int64)
        for query, answers in read_json(folder / f"{name}_{FILES[direction]}.json").items():
            row, answers = asked[int(query)], {int(answer) for answer in answers}
            right[row], r[row] = [answering[answer] for answer in answers if answer in answering], len(answers)
        parts = list(best_answers(pairs, image_of_caption, direction, right, max(*RECALLS, r.max())))
        hits, r = np.concatenate([p.hits for p in parts]), r[np.concatenate([p.queries for p in parts])]
        values = {f"R@{k}": 100 * float(hits[:, :k].any(1).mean()) for k in RECALLS}
        if name == "eccv":
            precision = precision_of_hits(hits, r)
            values = {"mAP@R": precision["mAP@R"], "R-P": precision["R-P"], "R@1": values["R@1"]}
        result[name][direction] = {"queries": len(hits), **values}
    return result


def eccv_table(found: dict) -> str:
    """The figures of `eccv_figures` as plain text for the console."""
    lines = []
    for name, title in (("cxc", "CxC"), ("eccv", "ECCV Caption")):
        columns = list(found[name]["i2t"])
        lines.append(f"{title:<12}" + "".join(f"{column:>8}" for column in columns))
        for direction in DIRECTIONS:
            queries, *values = found[name][direction].values()
            lines.append(f"{direction:<12}{queries:8}" + "".join(f"{value:8.1f}" for value in values))
    return "\n".join(lines)


# ---- TREC files -----------------------------------------------------------------------------------------------


def image_names(split: Split) -> list[str]:
    """A word for each image: its id, blanks as `_`; `image12` (rows from 0) where the split has no ids for each."""
    names = [re.sub(r"\s", "_", name) for name in split.ids or []]
    return names if names and len(set(names)) == len(names) else [f"image{row}" for row in range(split.n_images)]


def write_trec(folder: Path, pairs: Sequence[Pair], split: Split, depth: int = 1000) -> list[Path]:
    """Write `i2t-qrels.txt`, `i2t-run.txt` and the same for t2i: right answers, and the first `depth` answers.

    The order is that in which our ranks count. Tools sort by the score alone, so a score that (nearly) ties with the
    one before it is lowered: each stands at least 2^-22 of the largest below the one before, which float32 keeps.

    Args:
        folder: is there
        pairs: for each model (image_emb [n,D], text_emb [m,D])
    """
    owner, written = split.image_of_caption, []
    images, captions = image_names(split), [f"caption{row}" for row in range(split.n_captions)]
    own: list[list[int]] = [[] for _ in images]
    for caption, image in enumerate(owner.tolist()):
        own[image].append(caption)
    for direction in DIRECTIONS:
        asked, answering = (images, captions) if direction == "i2t" else (captions, images)
        right = own if direction == "i2t" else [[int(image)] for image in owner]
        lines = (f"{asked[q]} 0 {answering[a]} 1\n" for q, found in enumerate(right) for a in found)
        written.append(_write(folder / f"{direction}-qrels.txt", lines))
        parts = best_answers(pairs, owner, direction, right, depth)
        lines = (line for part in parts for line in _run_lines(part, asked, answering))
        written.append(_write(folder / f"{direction}-run.txt", lines))
    return written


def _run_lines(part: Answers, asked: list[str], answering: list[str]) -> Iterator[str]:
    """One text for each query, a line for each answer: query, Q0, answer, place, score, name of the run."""
    steps = np.arange(1, part.scores.shape[1] + 1) * 2.0**-22 * max(np.abs(part.scores).max(), 1e-30)
    scores = np.minimum.accumulate(part.scores + steps, axis=1) - steps
    for query, found, values in zip(part.queries, part.answers.tolist(), scores.tolist(), strict=True):
        start = f"{asked[query]} Q0 "
        yield "".join(
            f"{start}{answering[answer]} {place} {value:.9g} hrem\n"
            for place, (answer, value) in enumerate(zip(found, values, strict=True), start=1)
        )


def _write(path: Path, texts: Iterable[str]) -> Path:
    """As `files.write_bytes`, whole or not at all, for what is too long to be held."""
    part = path.with_name(path.name + PART)
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(texts)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
