"""Search with a trained run: text -> images, image -> captions (Sec 3.5); `vector_index` does the search.

An index folder holds `index.json`, and for each side `images` and `captions`: NAME.npy (embeddings), NAME.txt (file
names or captions, a line each) and, if approximate, NAME.faiss.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import torch
from PIL import Image

from hrem_lib import checkpoints, data, evaluation, extract, vision
from hrem_lib.config import UserError
from hrem_lib.vector_index import Index, build_index, filled

SIDES = ("images", "captions")
UNKNOWN = "words not known to the run: "


# ---- index folders --------------------------------------------------------------------------------------------


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
    info |= {"captions_per_image": splits[0].captions_per_image, **_origin(splits[0])}
    (folder / "index.json").unlink(missing_ok=True)  # without it a folder that is half written is no index
    for side, other in (("images", "captions"), ("captions", "images")):
        index = build_index(embeddings[side], embeddings[other], kind)
        info[side] = index.info
        exact = index.info["kind"] == "exact"
        np.save(folder / f"{side}.npy", embeddings[side].astype(np.float32 if exact else np.float16))
        checkpoints.write_bytes(folder / f"{side}.txt", "".join(f"{line}\n" for line in lines[side]).encode())
        (folder / f"{side}.faiss").unlink(missing_ok=True)
        if not exact:
            faiss.write_index(index.faiss_index, str(folder / f"{side}.faiss.part"))
            os.replace(folder / f"{side}.faiss.part", folder / f"{side}.faiss")
    checkpoints.write_json(folder / "index.json", info)
    return info


def _origin(split: data.Split) -> dict:
    """Where a split's pictures lie and which network made its features, as far as the data folder tells."""
    record = split.folder / f"{split.name}_extract.json"
    if record.is_file():
        made = json.loads(record.read_text(encoding="utf-8"))
        return {"pictures": made["pictures"], "model": made["model"], "regions": made["regions"]}
    pictures = split.folder.parent / "pictures"
    if split.folder.name == "sample_precomp" and pictures.is_dir():
        return {"pictures": str(pictures.resolve()), "model": "sample", "regions": split.n_regions}
    return {"pictures": None, "model": None, "regions": None}


def open_index(folder: str | Path, side: str) -> tuple[Index, list[str]]:
    """The index of one side, "images" or "captions", and the line that belongs to each item.

    Raises:
        UserError: no index, or files that do not fit each other.
    """
    folder, info = Path(folder), read_info(folder)[side]
    lines = data.read_lines(folder / f"{side}.txt")
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


def export_parquet(folder: str | Path, out: str | Path) -> list[Path]:
    """Write `images.parquet` and `captions.parquet` for a search engine of its own: id, vector, payload.

    Columns: id int64, vector list of float32 (unit length), and `name`; for captions `caption` and `image`, the id of
    their image. Needs pyarrow.

    Raises:
        UserError: pyarrow is not installed, or no index.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("--export: needs the package pyarrow (pip install pyarrow)") from None
    folder, out = Path(folder), Path(out)
    info, written = read_info(folder), []
    out.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        vectors, lines = np.load(folder / f"{side}.npy", mmap_mode="r"), data.read_lines(folder / f"{side}.txt")
        payload = [("name", pa.string())] if side == "images" else [("caption", pa.string()), ("image", pa.int64())]
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32())), *payload])
        path = out / f"{side}.parquet"
        with parquet.ParquetWriter(path, schema) as writer:
            for start in range(0, len(vectors), 10_000):
                block = np.asarray(vectors[start : start + 10_000], np.float32)
                ids = np.arange(start, start + len(block))
                ends = pa.array(np.arange(0, block.size + 1, block.shape[1], dtype=np.int32))
                columns = [pa.array(ids), pa.ListArray.from_arrays(ends, pa.array(block.ravel())), lines[start : start + len(block)]]  # fmt: skip # noqa: E501
                columns += [pa.array(ids // info["captions_per_image"])] if side == "captions" else []
                writer.write_table(pa.table(columns, schema=schema))
        written.append(path)
    return written


# ---- searching ------------------------------------------------------------------------------------------------


class Hit(NamedTuple):
    """One answer."""

    item: int  # number in the indexed split
    score: float  # cosine
    line: str  # the picture's file name, or the caption


class Searcher:
    """A run and its index, ready for queries in words or pictures.

    Args:
        run: a run folder, read
        folder: its index folder
        device: where the model lies
        model: network for pictures of your own, if the index does not know it
        pictures: folder of the indexed pictures, if it is not where it was
    """

    def __init__(
        self,
        run: checkpoints.Run,
        folder: str | Path,
        device: torch.device | str = "cpu",
        model: str | None = None,
        pictures: str | Path | None = None,
    ):
        self.run, self.folder, self.device, self.info = run, Path(folder), torch.device(device), read_info(folder)
        self._model, self._pictures = model or self.info["model"], pictures or self.info["pictures"]
        self._sides: dict[str, tuple[Index, list[str]]] = {}
        self._looker: vision.Looker | None = None
        self._find = None

    def _answers(self, side: str, query: np.ndarray, k: int) -> list[Hit]:
        if side not in self._sides:
            self._sides[side] = open_index(self.folder, side)
        index, lines = self._sides[side]
        if query.shape[1] != index.info["width"]:
            raise UserError(
                f"{self.folder}: got an index of width {index.info['width']}, wanted {query.shape[1]} as the run's "
                "(`hrem index` writes it anew)"
            )
        scores, items = index.search(query, k)
        return [Hit(int(i), float(s), lines[i]) for s, i in zip(scores[0], items[0], strict=True) if i >= 0]

    def unknown(self, text: str) -> list[str]:
        """The words of a sentence that the run's training captions did not have, so that they find nothing."""
        return [word for word, known in self.run.text.known_words(text).items() if not known]

    def images(self, text: str, k: int = 10) -> list[Hit]:
        """The k pictures that are most similar to a sentence.

        Raises:
            UserError: no word in it that the run knows, or k below 1.
        """
        if not text.strip() or k < 1:
            raise UserError(f"search: got {text!r} and {k} answers, wanted some words and at least one answer")
        if not any(self.run.text.known_words(text).values()):
            raise UserError(f"search: got {text!r}, of which the run knows no word, wanted words of its captions")
        emb = evaluation.encode_texts(self.run.model, self.run.text.encode([text]), device=self.device)
        return self._answers("images", emb.numpy(), k)

    def captions(self, picture: str | Path | Image.Image, k: int = 10) -> list[Hit]:
        """The k captions that are most similar to a picture (a file, or an open one).

        Raises:
            UserError: the picture cannot be read, or it is not known which network makes its features.
        """
        if not isinstance(picture, Image.Image):
            try:
                picture = extract.read_picture(picture)
            except ValueError as error:
                raise UserError(f"{picture}: not readable as a picture ({error})") from None
        if self._looker is None:
            if self._model is None:
                raise UserError(
                    f"{self.folder}: does not know which network made its features, wanted --model NAME "
                    "(the public features' detector is not to be had: train on features of hrem extract)"
                )
            self._looker = vision.open_looker(self._model, self.info["regions"], self.device)
        (seen,) = self._looker.look([self._looker.prepare(picture.convert("RGB"))])
        weight = self.run.model.image_encoder.projection.fc.weight
        regions, wanted = torch.from_numpy(seen.features)[None].to(weight), weight.size(1)
        if regions.size(2) != wanted:
            raise UserError(
                f"--model {self._model}: got features of width {regions.size(2)}, wanted {wanted}, the run's"
            )
        with torch.inference_mode():
            mask = torch.ones(regions.shape[:2], dtype=torch.bool, device=self.device)
            emb = self.run.model.encode_images(regions, mask).emb
        return self._answers("captions", emb.float().cpu().numpy(), k)

    def picture(self, hit: Hit) -> Image.Image | None:
        """The picture of an answer, or None where it is not to be found."""
        if self._pictures is None:
            return None
        if self._find is None:
            self._find = extract.picture_finder(self._pictures)
        try:
            return extract.read_picture(self._find(hit.line))
        except (ValueError, OSError):
            return None


def contact_sheet(searcher: Searcher, hits: Sequence[Hit], title: str):
    """Figure of the answers' pictures, best first, each with its place and cosine; grey where one is missing.

    Letters that no font of this machine has are boxes, and a line on standard error says so.
    """
    import matplotlib  # only where needed

    from hrem_lib.plots.house import fonts_for
    from hrem_lib.plots.retrieval import gallery

    lines, title = [hit.line for hit in hits], " ".join(title.split())
    families, lacking = fonts_for("".join([title, *lines]))
    if lacking:
        several = f"{lacking[:20]!r}{'...' * (len(lacking) > 20)}"
        print(f"boxes in the pictures' sheet stand for {several}: no font here has them", file=sys.stderr)
    box = dict.fromkeys(map(ord, lacking), "□")
    shown = [searcher.picture(hit) or Image.new("RGB", (160, 120), "lightgrey") for hit in hits]
    names = [f"{place}: {hit.score:.2f}" for place, hit in enumerate(hits, start=1)]
    with matplotlib.rc_context({"font.family": families}):
        return gallery(
            [np.asarray(p) for p in shown],
            [line.translate(box) for line in lines],
            columns=5,
            names=names,
            title=title.translate(box),
        )


def panel(searcher: Searcher, k: int = 10, height: int = 96):
    """A text box for JupyterLab with the best pictures below it, as thumbnails; answers come on Enter.

    What the run cannot find (unknown words) is said above them.
    """
    import ipywidgets

    box = ipywidgets.Text(placeholder="a man riding a wave", description="find", continuous_update=False)
    answers = ipywidgets.HTML()

    def search(change: dict) -> None:
        if not change["new"].strip():
            return
        try:
            hits, unknown = searcher.images(box.value, k), searcher.unknown(box.value)
        except UserError as error:
            answers.value = f"<p>{html.escape(str(error))}</p>"
            return
        note = f"<p>{html.escape(UNKNOWN + ', '.join(unknown))}</p>" if unknown else ""
        answers.value = note + "".join(_thumbnail(searcher.picture(hit), hit, height) for hit in hits)

    box.observe(search, "value")
    return ipywidgets.VBox([box, answers])


def _thumbnail(picture: Image.Image | None, hit: Hit, height: int) -> str:
    name = html.escape(hit.line)
    inner = f"<div style='height:{height}px'>{name}</div>"
    if picture is not None:
        file = io.BytesIO()
        picture.resize((max(1, picture.width * height // picture.height), height)).save(file, "JPEG", quality=80)
        inner = f"<img alt='{name}' src='data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}'>"
    return f"<figure style='display:inline-block;margin:4px'>{inner}<figcaption>{hit.score:.2f}</figcaption></figure>"
