"""Search with a trained run: text -> images, image -> captions (Sec 3.5)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from hrem_lib import checkpoints
from hrem_lib.errors import UserError
from hrem_lib.pictures.images import picture_finder, read_picture
from hrem_lib.search import lance
from hrem_lib.search.embedder import Embedder
from hrem_lib.search.index import Index
from hrem_lib.search.index_folder import checksum_of, open_index, read_info

UNKNOWN = "words not known to the run: "
ENGINES = ("faiss", "lance")


class Hit(NamedTuple):
    """One answer."""

    item: int  # number in the indexed split
    score: float  # cosine
    line: str  # the picture's file name, or the caption


class Searcher:
    """A run and its index, ready for queries in words or pictures.

    Args:
        run: a run folder, read
        folder: its index folder; for the engine "lance" the folder of its tables
        device: where the model lies
        model: network for pictures of your own, if the index does not know it
        pictures: folder of the indexed pictures, if it is not where it was
        engine: "faiss", or "lance" (LanceDB)
    Raises:
        UserError: no index, a damaged one, or that of another run.
    """

    def __init__(
        self,
        run: checkpoints.Run,
        folder: str | Path,
        device: torch.device | str = "cpu",
        model: str | None = None,
        pictures: str | Path | None = None,
        engine: str = "faiss",
    ):
        if engine not in ENGINES:
            raise UserError(f"--engine: got {engine!r}, wanted one of {', '.join(ENGINES)}")
        self.folder, self.engine = Path(folder), engine
        self.info = read_info(folder) if engine == "faiss" else lance.open_table(folder, "images").info
        self._weights = checksum_of(run)
        self._check_run(self.info)
        self.embedder = Embedder(run, device, model or self.info["model"], self.info["regions"])
        self._pictures = pictures or self.info["pictures"]
        self._sides: dict[str, tuple[Index, list[str]]] = {}
        self._tables: dict[str, lance.Table] = {}
        self._find = None

    def _answers(self, side: str, query: np.ndarray, k: int) -> list[Hit]:
        if self.engine == "lance":
            if side not in self._tables:
                self._tables[side] = lance.open_table(self.folder, side)
                self._check_run(self._tables[side].info)
            table = self._tables[side]
            self._check_width(table.width, query)
            return [Hit(*row) for row in table.search(query[0], k)]
        if side not in self._sides:
            self._sides[side] = open_index(self.folder, side)
        index, lines = self._sides[side]
        self._check_width(index.info["width"], query)
        scores, items = index.search(query, k)
        return [Hit(int(i), float(s), lines[i]) for s, i in zip(scores[0], items[0], strict=True) if i >= 0]

    def _check_run(self, info: dict) -> None:
        got, wanted = info.get("weights"), self._weights
        if got not in (None, wanted):  # None: written before this was noted
            raise UserError(
                f"{self.folder}: got an index of another run or of other weights ({info['run']}, checksum {got}), "
                f"wanted one of this run (checksum {wanted}; `hrem index` writes it anew)"
            )

    def _check_width(self, width: int, query: np.ndarray) -> None:
        if query.shape[1] != width:
            raise UserError(
                f"{self.folder}: got an index of width {width}, wanted {query.shape[1]} as the run's "
                "(`hrem index` writes it anew)"
            )

    def unknown(self, text: str) -> list[str]:
        """The words of a sentence that the run's training captions did not have, so that they find nothing."""
        return [word for word, known in self.embedder.tokenizer.known_words(text).items() if not known]

    def images(self, text: str, k: int = 10) -> list[Hit]:
        """The k pictures that are most similar to a sentence.

        Raises:
            UserError: no word in it that the run knows, or k below 1.
        """
        if not text.strip() or k < 1:
            raise UserError(f"search: got {text!r} and {k} answers, wanted some words and at least one answer")
        if not any(self.embedder.tokenizer.known_words(text).values()):
            raise UserError(f"search: got {text!r}, of which the run knows no word, wanted words of its captions")
        return self._answers("images", self.embedder.embed_texts([text]), k)

    def captions(self, picture: str | Path | Image.Image, k: int = 10) -> list[Hit]:
        """The k captions that are most similar to a picture (a file, or an open one).

        Raises:
            UserError: the picture cannot be read, or it is not known which network makes its features.
        """
        return self._answers("captions", self.embedder.embed_images([picture]), k)

    def picture(self, hit: Hit) -> Image.Image | None:
        """The picture of an answer, or None where it is not to be found."""
        if self._pictures is None:
            return None
        if self._find is None:
            self._find = picture_finder(self._pictures)
        try:
            return read_picture(self._find(hit.line))
        except (ValueError, OSError):
            return None
