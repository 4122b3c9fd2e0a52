"""The public data layout -> batches (Sec 4.1).

`{name}_precomp/{split}_ims.npy` (region features) and `{split}_caps.txt` (captions, a few for each picture, in order),
optional `{split}_boxes.npy` and `{split}_ids.txt`. Features are memory-mapped, never read whole. Every file is checked
when it is opened, and what is wrong is said in one sentence. Masks are True where real. The random numbers of a batch
come from (seed, epoch, step) alone.
"""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hrem_lib.errors import UserError, brief
from hrem_lib.files import read_lines
from hrem_lib.text import Tokens, augment_words

CHECKED_BYTES = 2**30  # features up to this size are read once in full when they are opened
CHUNK_BYTES = 2**26
PROBED_GROUPS = 16  # groups of rows looked at to tell a repeated picture from pictures of their own


def sample_dir() -> Path:
    """Folder of the data set that comes with the project: in a checkout, or inside the installed package."""
    here = Path(__file__).resolve().parent
    places = [here.parent / "data_samples" / "sample_precomp", here / "_data_samples" / "sample_precomp"]
    for place in places:
        if place.is_dir():
            return place
    raise UserError(f"sample data: not found, looked for {places[0]} and {places[1]} (`hrem samples` makes them)")


def sample_run() -> Path:
    """Run folder of the trained model that comes with the project; `HREM_SAMPLE_RUN` names another one."""
    return Path(os.environ.get("HREM_SAMPLE_RUN") or sample_dir().parent / "checkpoint")


def _lacking(folder: Path, needed: Sequence[str]) -> list[str]:
    names = [f"{split}_{kind}" for split in needed for kind in ("ims.npy", "caps.txt")]
    return [name for name in names if not (folder / name).is_file()]


def find_folder(path: str | Path, needed: Sequence[str] = ("train",)) -> Path:
    """The {name}_precomp folder meant by `path`: itself, or the one in it that has the `needed` splits.

    "" is the sample data; `needed=()` accepts any split.

    Raises:
        UserError: naming what was looked for and what was found.
    """
    if str(path) == "":
        return sample_dir()
    path = Path(path).expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: not a folder, wanted a {{name}}_precomp folder or its parent")
    own = any(path.glob("*_ims.npy")) or any(path.glob("*_caps.txt"))
    if own and not _lacking(path, needed):
        return path
    inside = [] if own else sorted(child for child in path.glob("*_precomp") if child.is_dir())
    fitting = [child for child in inside if not _lacking(child, needed)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(child.name for child in fitting)
        raise UserError(f"{path}: got several data sets ({names}), wanted the path of one of them")
    where = inside[0] if len(inside) == 1 else path
    # a folder of many data sets is described by their names, a data set by the files that it lacks
    found = [child.name for child in inside] if len(inside) > 1 else [f.name for f in sorted(where.iterdir())]
    shown = ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")
    wanted = ", ".join(_lacking(where, needed)) or "a {name}_precomp folder"
    raise UserError(f"{where}: got {shown or 'an empty folder'}, wanted {wanted}")


def _read_array(path: Path) -> np.ndarray:
    """A .npy file as a memory map; nothing in it can run code."""
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted an array in numpy's .npy format")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header makes numpy raise many kinds
        raise UserError(f"{path}: not readable as a .npy array ({brief(error)})") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: got an archive of arrays (.npz), wanted one array (.npy)")
    return array


def _read_features(path: Path) -> np.ndarray:
    """Features [rows,R,F]; (rows, F) is read as one region a picture."""
    array = _read_array(path)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4):
        raise UserError(f"{path}: got values of type {array.dtype}, wanted float32 or float16")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(f"{path}: got shape {array.shape}, wanted (pictures, regions, width) or (pictures, width)")
    return array if array.ndim == 3 else array[:, None]


def region_mask(features: np.ndarray) -> np.ndarray:
    """[B,R,F] -> bool [B,R]: False for all-zero rows at the end of a picture; one in the middle is real."""
    nonzero = (features != 0).any(axis=-1)  # [B,R]
    real = np.logical_or.accumulate(nonzero[:, ::-1], axis=1)[:, ::-1]
    return real.copy()  # torch takes no negative strides


def _check_features(path: Path, rows: np.ndarray, features: np.ndarray, mask: np.ndarray) -> None:
    """Refuse NaN, infinity and pictures without a region; `rows`: where `features` [B,R,F] lie in the file."""
    with np.errstate(over="ignore", invalid="ignore"):
        # [B]; cheaper than looking at each value
        suspect = ~np.isfinite(features.sum(axis=-1, dtype=np.float32)).all(axis=-1)
    for place in np.flatnonzero(suspect):
        bad = np.argwhere(~np.isfinite(features[place]))
        if len(bad):
            region, column = bad[0]
            value = features[place, region, column]
            raise UserError(
                f"{path} row {rows[place]}: got {value} at region {region}, column {column}, wanted finite numbers"
            )
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise UserError(f"{path} row {rows[empty[0]]}: got only zeros, wanted at least one region that is not zero")


def _chunks(array: np.ndarray) -> Iterator[slice]:
    step = max(1, CHUNK_BYTES // max(1, array[0].nbytes))
    return (slice(start, start + step) for start in range(0, len(array), step))


@dataclass(frozen=True, eq=False)
class Split:
    """One split of a data set, checked and memory-mapped (open_split makes it).

    features memmap [rows,R,F] float16 or float32; image_of_caption int64 [n_captions]; row_of_image int64 [n_images],
    the row of the file; boxes memmap [n_images,R,4] or None, float32 x0 y0 x1 y1 in pixels; ids: picture file names
    or None.
    """

    folder: Path
    name: str
    features: np.ndarray
    captions: list[str]
    captions_per_image: int
    image_of_caption: np.ndarray
    row_of_image: np.ndarray
    boxes: np.ndarray | None
    ids: list[str] | None
    checked: bool  # values were all looked at when the file was opened

    @property
    def n_images(self) -> int:
        """Number of pictures."""
        return len(self.row_of_image)

    @property
    def n_captions(self) -> int:
        """Number of captions."""
        return len(self.captions)

    @property
    def n_regions(self) -> int:
        """R, regions a picture, padding included."""
        return self.features.shape[1]

    @property
    def region_dim(self) -> int:
        """F, width of a feature."""
        return self.features.shape[2]

    def fingerprint(self) -> str:
        """The same data or others? Of the captions, and of number, shape, first and last of the pictures."""
        crc = zlib.crc32("\n".join(self.captions).encode())
        for row in (0, -1):
            crc = zlib.crc32(np.ascontiguousarray(self.features[row]), crc)  # pyright: ignore[reportArgumentType]  # an array is a buffer
        return f"{crc:08x} {self.features.shape} {self.n_images}"

    def regions(self, image_indices: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of some pictures: float32 [B,R,F], region_mask bool [B,R].

        All-zero rows at the end of a picture are padding: own pictures may have fewer than R regions (choice of
        this project; the public files have none).

        Raises:
            UserError: NaN, infinity or a picture without any region, in a file too large to be checked when opened.
        """
        rows = self.row_of_image[np.asarray(image_indices, dtype=np.int64)]
        # a copy in the machine's own byte order, rows contiguous
        features = np.array(self.features[rows], dtype=np.float32, order="C", subok=False)
        mask = region_mask(features)
        if not self.checked:
            _check_features(self.folder / f"{self.name}_ims.npy", rows, features, mask)
        return torch.from_numpy(features), torch.from_numpy(mask)

    def __getstate__(self) -> dict:
        # a memory map would be pickled as all its numbers; loader processes open the file again
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**state, "features": None, "boxes": self.boxes is not None}

    def __setstate__(self, state: dict) -> None:
        stem = f"{state['folder']}/{state['name']}"
        state["features"] = _read_features(Path(f"{stem}_ims.npy"))
        state["boxes"] = _read_array(Path(f"{stem}_boxes.npy")) if state["boxes"] else None
        for name, value in state.items():
            object.__setattr__(self, name, value)


def _rows_repeat(path: Path, features: np.ndarray, group: int) -> bool:
    """True if every `group` rows are one picture again and again, False if they are pictures of their own.

    Looks at up to PROBED_GROUPS groups, evenly spaced.
    """
    whole = len(features) // group
    starts = np.unique(np.linspace(0, max(whole - 1, 0), min(PROBED_GROUPS, max(whole, 1))).astype(np.int64)) * group
    seen: dict[bool, int] = {}
    for start in starts.tolist():
        rows = features[start : start + group]
        kinds = len({row.tobytes() for row in rows})
        if 1 < kinds < len(rows):
            raise UserError(
                f"{path} rows {start} to {start + len(rows) - 1}: got {kinds} different pictures, wanted "
                f"{len(rows)} equal rows (one picture repeated) or {len(rows)} different ones"
            )
        if len(rows) > 1:
            seen.setdefault(kinds == 1, start)
    if len(seen) == 2:
        raise UserError(
            f"{path}: got a picture repeated in rows {seen[True]} to {seen[True] + group - 1} but not in rows "
            f"{seen[False]} to {seen[False] + group - 1}, wanted the same everywhere"
        )
    if True in seen and len(features) % group:
        raise UserError(
            f"{path}: got {len(features)} rows of pictures repeated {group} times, wanted a multiple of {group}"
        )
    return True in seen


def _read_boxes(path: Path, n_images: int, n_regions: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    boxes = _read_array(path)
    if boxes.dtype.kind != "f" or boxes.dtype.itemsize != 4:
        raise UserError(f"{path}: got values of type {boxes.dtype}, wanted float32")
    if boxes.shape != (n_images, n_regions, 4):
        raise UserError(
            f"{path}: got shape {boxes.shape}, wanted {(n_images, n_regions, 4)} (pictures, regions, x0 y0 x1 y1)"
        )
    for part in _chunks(boxes):
        block = boxes[part]
        # written so that NaN fails too; the picture's far edges are not known here
        ordered, inside = block[..., 2:] >= block[..., :2], block[..., 2:] >= 0
        bad = np.argwhere(~(ordered.all(axis=-1) & inside.all(axis=-1) & np.isfinite(block).all(axis=-1)))
        if len(bad):
            row, region = bad[0]
            got = " ".join(f"{value:g}" for value in block[row, region])
            raise UserError(
                f"{path} row {part.start + row}, region {region}: got box {got}, "
                "wanted finite x0 y0 x1 y1 with x1 >= x0, y1 >= y0 and a part within the picture"
            )
    return boxes


def _read_ids(path: Path, n_images: int, n_captions: int) -> list[str] | None:
    """Picture names, one a picture or repeated for each caption; None where each caption has an id of its own."""
    if not path.is_file():
        return None
    ids = read_lines(path)
    if len(ids) == n_images:
        return ids
    if len(ids) != n_captions:
        raise UserError(
            f"{path}: got {len(ids)} lines, wanted {n_images}, one a picture (or {n_captions}, one a caption)"
        )
    group = n_captions // n_images
    names = ids[::group]
    return names if ids == [name for name in names for _ in range(group)] else None


def open_split(folder: str | Path, name: str, captions_per_image: int = 5) -> Split:
    """Open, check and memory-map the split `name` of a {name}_precomp folder.

    The file holds one row for every `captions_per_image` captions, or one row a caption: then either each picture is
    repeated, as in the public dev and test files, or there is really one caption a picture (the rows themselves tell).

    Raises:
        UserError: for anything wrong, naming file, row, what was found and what was wanted.
    """
    folder = Path(folder).expanduser()
    images, texts = folder / f"{name}_ims.npy", folder / f"{name}_caps.txt"
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder, wanted a {{name}}_precomp folder")
    if not images.is_file() or not texts.is_file():
        has = sorted(p.name[: -len("_ims.npy")] for p in folder.glob("*_ims.npy"))
        lacking = images if not images.is_file() else texts
        raise UserError(f"{lacking}: not found (splits with features in this folder: {', '.join(has) or 'none'})")
    features, captions = _read_features(images), read_lines(texts)
    rows, count, group = len(features), len(captions), captions_per_image
    if rows * group == count:
        row_of_image = np.arange(rows, dtype=np.int64)
    elif rows == count:
        repeated = _rows_repeat(images, features, group)
        group = group if repeated else 1
        row_of_image = np.arange(0, rows, group, dtype=np.int64)
    else:
        raise UserError(
            f"{texts}: got {count} captions, wanted {rows * group} ({group} for each of the {rows} rows of "
            f"{images.name}) or {rows} (one a row)"
        )
    checked = features.nbytes <= CHECKED_BYTES
    for part in _chunks(features) if checked else ():
        block = np.asarray(features[part])
        _check_features(images, np.arange(part.start, part.start + len(block)), block, region_mask(block))
    n_images = len(row_of_image)
    return Split(
        folder=folder,
        name=name,
        features=features,
        captions=captions,
        captions_per_image=group,
        image_of_caption=np.arange(count, dtype=np.int64) // group,
        row_of_image=row_of_image,
        boxes=_read_boxes(folder / f"{name}_boxes.npy", n_images, features.shape[1]),
        ids=_read_ids(folder / f"{name}_ids.txt", n_images, count),
        checked=checked,
    )


def refuse_coco_test(folder: Path, name: str) -> None:
    """Refuse the file `test` of COCO, where `testall` is the test split (Sec 4); a folder with both is COCO's.

    Raises:
        UserError: with the split to take.
    """
    if name == "test" and (folder / "testall_ims.npy").is_file():
        raise UserError(f"{folder}: got split test, wanted testall, COCO's own test split (data.test_split, --split)")


def check_same_width(splits: Sequence[Split]) -> None:
    """Refuse splits whose features have another width F than the first one's (R may differ)."""
    for split in splits[1:]:
        if split.region_dim != splits[0].region_dim:
            raise UserError(
                f"{split.folder / split.name}_ims.npy: got features of width {split.region_dim}, wanted "
                f"{splits[0].region_dim} as in {splits[0].name}_ims.npy"
            )


@dataclass(frozen=True, eq=False)
class Batch:
    """B image-caption pairs.

    regions [B,R,F] float32, region_mask [B,R] bool, words [B,L] int64, word_mask [B,L] bool; image_ids and caption_ids
    [B] int64, numbers within the split.
    """

    regions: torch.Tensor
    region_mask: torch.Tensor
    words: torch.Tensor
    word_mask: torch.Tensor
    image_ids: torch.Tensor
    caption_ids: torch.Tensor

    @property
    def size(self) -> int:
        """B, the number of pairs."""
        return len(self.caption_ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        tensors = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Batch(**{name: tensor.to(device, non_blocking=non_blocking) for name, tensor in tensors.items()})


class BatchPlan(NamedTuple):
    """Which captions make a batch, and where in training it stands: its random numbers follow from that."""

    epoch: int
    step: int
    caption_ids: np.ndarray


class PairDataset:
    """A map from BatchPlan to Batch, with the size augmentation of training (Sec 3.1).

    Each real region is masked with probability `region_drop` (at least one stays; features stay in place); words as in
    `augment_words` with `text = (mask_id, random_range)`; None leaves captions as they are. The same plan gives the
    same batch in any process and after a resume.
    """

    def __init__(
        self,
        split: Split,
        tokens: Tokens,
        text: tuple[int, tuple[int, int]] | None = None,
        region_drop: float = 0.0,
        word_drop: float = 0.0,
        seed: int = 0,
    ):
        if len(tokens) != split.n_captions:
            raise ValueError(
                f"got tokens of {len(tokens)} captions, wanted {split.n_captions} as in split {split.name}"
            )
        self.split, self.tokens, self.text = split, tokens, text
        self.region_drop, self.word_drop, self.seed = region_drop, word_drop, seed

    def __len__(self) -> int:
        """Number of pairs, one for each caption."""
        return len(self.tokens)

    def __getitem__(self, plan: BatchPlan) -> Batch:
        rng = np.random.default_rng([self.seed, plan.epoch, plan.step])
        captions = np.asarray(plan.caption_ids, dtype=np.int64)
        images = self.split.image_of_caption[captions]
        regions, region_mask = self.split.regions(images)
        if self.region_drop > 0:
            region_mask = torch.from_numpy(drop_regions(region_mask.numpy(), rng, self.region_drop))
        ids, word_index, word_mask = self.tokens.gather(captions)
        if self.text is not None:
            ids, word_index, word_mask = augment_words(ids, word_index, word_mask, rng, self.word_drop, *self.text)
        return Batch(regions, region_mask, *map(torch.from_numpy, (ids, word_mask, images, captions)))


def drop_regions(mask: np.ndarray, rng: np.random.Generator, drop: float) -> np.ndarray:
    """region_mask [B,R] with each real region left out with probability `drop`, at least one kept (Sec 3.1)."""
    draw = np.where(mask, rng.random(mask.shape), -1.0)
    # the region with the largest draw always stays
    return mask & ((draw >= drop) | (draw == draw.max(axis=1, keepdims=True)))


def loader(dataset: PairDataset, plans: Iterable[BatchPlan], workers: int = 0) -> Iterable[Batch]:
    """The batches of `plans` in order, made here (workers = 0) or by `workers` processes: they are the same."""
    if workers == 0:
        return (dataset[plan] for plan in plans)
    return _from_workers(dataset, list(plans), workers)


def _from_workers(dataset: PairDataset, plans: list[BatchPlan], workers: int) -> Iterator[Batch]:
    # its own generator: the loader would else take a number from torch's, and a run with workers would differ
    own = torch.Generator().manual_seed(dataset.seed)
    answers: Any = _Answers(dataset)  # the loader asks for no more than `__getitem__`
    for batch in torch.utils.data.DataLoader(
        answers, batch_size=None, sampler=plans, num_workers=workers, generator=own
    ):
        if isinstance(batch, UserError):
            raise batch
        yield batch


class _Answers:
    """A data set that gives a fault of the user's as a value: raised in a worker it would become a traceback."""

    def __init__(self, dataset: PairDataset):
        self.dataset = dataset

    def __getitem__(self, plan: BatchPlan) -> Batch | UserError:
        try:
            return self.dataset[plan]
        except UserError as error:
            return error


def image_batches(split: Split, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(regions [b,R,F], region_mask [b,R]) of all pictures in order, each once, at most `size` at a time."""
    for start in range(0, split.n_images, size):
        yield split.regions(np.arange(start, min(start + size, split.n_images)))


def caption_batches(tokens: Tokens, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(indices [b], words [b,L], word_mask [b,L]) of all captions, each once, shortest first to have little padding."""
    order = np.argsort(tokens.lengths, kind="stable")
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        ids, _, mask = tokens.gather(indices)
        yield torch.from_numpy(indices), torch.from_numpy(ids), torch.from_numpy(mask)
