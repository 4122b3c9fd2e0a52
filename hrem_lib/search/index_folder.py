"""Index folders, written and read.

One holds `index.json`, and for each side `images` and `captions`: NAME.npy (embeddings), NAME.txt (file names or
captions, a line each) and, if approximate, NAME.faiss.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import torch

from hrem_lib import checkpoints, data, evaluation
from hrem_lib.errors import UserError
from hrem_lib.files import checksum, read_lines, write_bytes, write_json
from hrem_lib.pictures.extract import origin
from hrem_lib.search.index import Index, build_index, filled

SIDES = ("images", "captions")


def write_index(
    run: checkpoints.Run,
    splits: Sequence[data.Split],
    folder: str | Path,
    kind: str = "auto",
    device: torch.device | str = "cpu",
    source: str = "the run",
) -> dict:
    """Embed the images and captions of some splits and write the index folder; items are numbered through the splits.

    Args:
        run, source: the trained model and its name in messages
        splits: what is to be found
        folder: to write; an index that is there is replaced
        kind: as in `build_index`
        device: where the model lies
    Returns:
        the content of `index.json`
    """
    for split in splits:
        checkpoints.check_width(run, split, source)
        if split.captions_per_image != splits[0].captions_per_image:
            got, wanted = split.captions_per_image, splits[0].captions_per_image
            raise UserError(f"{split.name}: got {got} captions an image, wanted {wanted} as in {splits[0].name}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"device": device, "precision": run.config.training.precision}
    images = [evaluation.encode_images(run.model, split, **settings).numpy() for split in splits]
    texts = [
        evaluation.encode_texts(run.model, run.text.encode(split.captions), **settings).numpy() for split in splits
    ]
    embeddings = {"images": np.concatenate(images), "captions": np.concatenate(texts)}
    named = [split.ids or [f"{split.name} {i}" for i in range(split.n_images)] for split in splits]
    lines = {
        "images": [name for names in named for name in names],
        "captions": [caption for split in splits for caption in split.captions],
    }
    info = {"data": str(splits[0].folder.resolve()), "splits": [split.name for split in splits]}
    made = origin(splits[0].folder, splits[0].name)
    info |= {"captions_per_image": splits[0].captions_per_image, "run": source, "weights": checksum_of(run)}
    info |= {"pictures": made.pictures, "model": made.network, "regions": made.regions}
    (folder / "index.json").unlink(missing_ok=True)  # without it a folder that is half written is no index
    for side, other in (("images", "captions"), ("captions", "images")):
        index = build_index(embeddings[side], embeddings[other], kind)
        info[side] = index.info
        exact = index.info["kind"] == "exact"
        np.save(folder / f"{side}.npy", embeddings[side].astype(np.float32 if exact else np.float16))
        write_bytes(folder / f"{side}.txt", "".join(f"{line}\n" for line in lines[side]).encode())
        (folder / f"{side}.faiss").unlink(missing_ok=True)
        if not exact:
            faiss.write_index(index.faiss_index, str(folder / f"{side}.faiss.part"))
            os.replace(folder / f"{side}.faiss.part", folder / f"{side}.faiss")
    write_json(folder / "index.json", info)
    return info


def checksum_of(run: checkpoints.Run) -> str:
    """Of a run's weights: an index is searched with the weights that made it."""
    return checksum({name: t.detach().cpu().contiguous() for name, t in run.model.state_dict().items()}, {})


def open_index(folder: str | Path, side: str) -> tuple[Index, list[str]]:
    """The index of one side, "images" or "captions", and the line that belongs to each item.

    Raises:
        UserError: no index, or files that do not fit each other.
    """
    folder, info = Path(folder), read_info(folder)[side]
    lines = read_lines(folder / f"{side}.txt")
    exact = info["kind"] == "exact"
    vectors = np.load(folder / f"{side}.npy", mmap_mode=None if exact else "r", allow_pickle=False)
    if len(lines) != info["items"] or vectors.shape != (info["items"], info["width"]):
        raise UserError(
            f"{folder}: got {len(lines)} lines and {vectors.shape} embeddings of {side}, wanted {info['items']} "
            "(`hrem index` writes it anew)"
        )
    if exact:
        return Index(filled(faiss.IndexFlatIP(info["width"]), vectors), info), lines
    try:
        index = faiss.read_index(str(folder / f"{side}.faiss"))
    except RuntimeError as error:
        raise UserError(f"{folder / side}.faiss: not readable ({str(error).splitlines()[-1][:150]})") from None
    return Index(index, info, vectors if info["kind"] == "compact" else None), lines


def read_info(folder: str | Path) -> dict:
    """The content of an index folder's `index.json`.

    Raises:
        UserError: it is not there or not readable.
    """
    path = Path(folder) / "index.json"
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted an index (`hrem index RUN` writes one)")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
