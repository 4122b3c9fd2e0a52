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
from hrem_lib.search.embedder import Embedder
from hrem_lib.search.index import Index
from hrem_lib.search.index_folder import open_index, read_info

UNKNOWN = "words not known to the run: "


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
        self.folder, self.info = Path(folder), read_info(folder)
        self.embedder = Embedder(run, device, model or self.info["model"], self.info["regions"])
        self._pictures = pictures or self.info["pictures"]
        self._sides: dict[str, tuple[Index, list[str]]] = {}
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
