"""A trained run that embeds pictures and sentences; only the encoders run (Sec 3.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hrem_lib import checkpoints, data, hub, training
from hrem_lib.config import Config
from hrem_lib.errors import UserError
from hrem_lib.evaluation import encode_texts, inference
from hrem_lib.model import HREM
from hrem_lib.pictures import networks
from hrem_lib.pictures.extract import Origin, origin
from hrem_lib.pictures.images import picture_files, read_picture
from hrem_lib.text import Tokenizer

Pictures = str | Path | Image.Image | Sequence[str | Path | Image.Image] | np.ndarray | torch.Tensor


def load(
    folder: str | Path,
    device: str = "auto",
    network: str | None = None,
    regions: int | None = None,
    revision: str | None = None,
) -> Embedder:
    """A run, ready to embed.

    Args:
        folder: written by `train`, `hrem train` or `hrem import`; or ORG/NAME, a run on the hub, of which only the
            files that it needs are loaded (`hub.FILES`)
        device: "auto" takes a GPU if there is one
        network, regions: makes the features of pictures, and R, see `pictures.networks.open_extractor`; None: as the
            features were made that the run was trained on, as far as the data folder tells
        revision: branch, tag or commit on the hub; None: the newest
    Raises:
        UserError: a file is missing, damaged or does not fit the others; no such run on the hub, or no network.
    """
    place = training.pick_device(device)
    if hub.is_name(folder):
        run, folder = hub.load_run(str(folder), revision, place)
    elif revision is not None:
        raise UserError(f"{folder}: got revision {revision} for a folder, wanted it for ORG/NAME, a run on the hub")
    else:
        run = checkpoints.load_run(folder, place)
    if network is None:
        try:
            made = origin(data.find_folder(run.config.data.folder, ()), run.config.data.test_split)
        except UserError:  # the data are not here
            made = Origin()
        network, regions = made.network, regions or made.regions
    return Embedder(run, place, network, regions, Path(folder))


class Embedder:
    """Sentences and pictures -> unit-length rows: their products are cosines.

    Args:
        run: a run folder, read
        device: where its model lies
        network, regions: the network that makes features of pictures, and R; None: not known
        folder: where it was read, for `push`
    """

    def __init__(
        self,
        run: checkpoints.Run,
        device: torch.device | str = "cpu",
        network: str | None = None,
        regions: int | None = None,
        folder: Path | None = None,
    ):
        self.config: Config = run.config
        self.model: HREM = run.model
        self.tokenizer: Tokenizer = run.text
        self.device, self.network, self.regions = torch.device(device), network, regions
        self.folder = folder
        self._extractor: networks.RegionExtractor | None = None

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Sentences -> text_emb [m,D], float32.

        Raises:
            UserError: one string instead of several, or none at all.
        """
        if isinstance(texts, str) or not len(texts):
            raise UserError(f"embed_texts: got {texts!r}, wanted a list of sentences")
        precision = self.config.training.precision
        tokens = self.tokenizer.encode(list(texts))
        return encode_texts(self.model, tokens, device=self.device, precision=precision).numpy()

    def embed_images(self, images: Pictures, batch_size: int = 64) -> np.ndarray:
        """Pictures -> image_emb [n,D], float32.

        Args:
            images: a folder (all pictures in it, by path, see `pictures.images.picture_files`), an open
                picture, a list of files or open pictures, or features [n,R,F], where rows of zeros at the end of a
                picture are padding
            batch_size: pictures at a time
        Raises:
            UserError: no pictures, one that cannot be read, features of another width than the run's, or a network
                that is not known.
        """
        if isinstance(images, (np.ndarray, torch.Tensor)):
            batches = self._of_arrays(images, batch_size)
        else:
            if isinstance(images, Image.Image):
                images = [images]
            files = picture_files(images) if isinstance(images, (str, Path)) else list(images)
            if not files:
                raise UserError(f"embed_images: got no pictures in {images}, wanted at least one")
            batches = (self._seen(files[low : low + batch_size]) for low in range(0, len(files), batch_size))
        parts = []
        with inference(self.model, self.device, self.config.training.precision):
            for regions, mask in batches:
                parts.append(self.model.encode_images(regions.to(self.device), mask.to(self.device)).emb.float().cpu())
        return torch.cat(parts).numpy()

    def push(
        self,
        name: str,
        private: bool = False,
        license: str | None = None,
        dataset: str | None = None,
        language: str = "en",
        dry_run: bool = False,
    ) -> hub.Pushed:
        """Put the run on the hub as ORG/NAME, with a card made from it; see `hub.push` and `hub.About`.

        Raises:
            UserError: not a finished run, a bad name or license, no login, no network, no right to write there.
        """
        if self.folder is None:
            raise UserError("push: got a run without a folder, wanted one of hrem.load(FOLDER)")
        about = hub.About(license, dataset, language, self.network, self.regions)
        return hub.push(self.folder, name, about, private, dry_run)

    def _of_arrays(self, features: np.ndarray | torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        array = np.asarray(features, dtype=np.float32)
        if array.ndim != 3 or 0 in array.shape:
            raise UserError(f"embed_images: got features of shape {list(array.shape)}, wanted [pictures,R,F]")
        if not np.isfinite(array).all():
            raise UserError("embed_images: got features that are not finite numbers, wanted finite ones")
        self._check_width(array.shape[2], "embed_images")
        for low in range(0, len(array), size):
            part = array[low : low + size].copy()  # a memory map cannot be written to, which torch asks for
            yield torch.from_numpy(part), torch.from_numpy(data.region_mask(part))

    def _seen(self, pictures: Sequence[str | Path | Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [B,R,F] of some pictures, padded to the one with most regions, and their mask."""
        if self._extractor is None:
            if self.network is None:
                raise UserError(
                    "pictures: it is not known which network made the features of the run, wanted --model NAME "
                    "(in Python: network); the public features' detector cannot be had: train on those of hrem extract"
                )
            self._extractor = networks.open_extractor(self.network, self.regions, self.device)
        opened = []
        for picture in pictures:
            try:
                opened.append(picture.convert("RGB") if isinstance(picture, Image.Image) else read_picture(picture))
            except ValueError as error:
                raise UserError(f"{picture}: not readable as a picture ({error})") from None
        found = [seen.features for seen in self._extractor.look([self._extractor.prepare(p) for p in opened])]
        self._check_width(found[0].shape[1], f"--model {self.network}")
        features = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(f).float() for f in found], batch_first=True)
        counts = torch.tensor([len(f) for f in found])
        return features, torch.arange(features.size(1)) < counts[:, None]

    def _check_width(self, width: int, source: str) -> None:
        wanted = self.model.image_encoder.projection.fc.in_features
        if width != wanted:
            raise UserError(f"{source}: got features of width {width}, wanted {wanted}, the run's")
