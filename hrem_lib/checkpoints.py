"""Run folders: config, text side, weights and training state as safetensors and JSON. Nothing is unpickled.

A file is written beside its place and renamed, so that a reader (or a resumed run) finds the old one or the new one;
tensors carry a checksum. One process at a time writes into a folder. The authors' released format is in
`hrem_lib.released`.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hrem_lib import config as configs
from hrem_lib import data
from hrem_lib import text as texts
from hrem_lib.config import Config, UserError
from hrem_lib.model import HREM, build_model

MODEL, STATE, CONFIG = "model.safetensors", "training_state.safetensors", "config.json"
HISTORY, DEBUG = "history.jsonl", "debug.safetensors"
NEXT = "model.next.safetensors"  # better weights than MODEL's, whose epoch is not yet in STATE
LOCK, PART = ".lock", ".part"


def _check_folder(folder: Path, resume: bool) -> None:
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    # a run killed in its first moments leaves no more than these
    names = {name for name in names if name != LOCK and not name.endswith(PART)}
    if names and not resume:
        raise UserError(f"{folder}: exists and is not empty, wanted a new folder (or --resume {folder})")
    if names and CONFIG not in names:
        raise UserError(f"{folder}: got no {CONFIG}, wanted the folder of a run to resume")


def _lock(file: IO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # not flock: loader processes inherit that one and would hold it after this process is dead
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def claim(folder: Path, resume: bool = False) -> Iterator[None]:
    """Hold a run folder, made if it is not there, for this process alone.

    The lock is the operating system's, on the file `.lock`: it is gone with the process, however that ends.

    Raises:
        UserError: another process holds it; it is not empty, or not a run's where `resume` is set; no room is left for
            a file that is not written with `write_bytes` (text side, TensorBoard).
    """
    _check_folder(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "ab") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            raise UserError(f"{folder}: another run is writing into it, wanted a folder of its own") from None
        _check_folder(folder, resume)  # again: another run may have come and gone in between
        for left in folder.glob(f"*{PART}"):  # of a killed run
            left.unlink()
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise UserError(f"{folder}: a file could not be written ({error.strerror}), wanted more room") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: no room, no permission; the earlier file, if any, is as it was.
    """
    part = path.with_name(path.name + PART)
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path}: {len(content)} bytes could not be written ({error.strerror}), the earlier file is as it was"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_tensors(path: Path, tensors: dict[str, Tensor], info: dict | None = None) -> None:
    """Write tensors, and `info` as JSON in the header, with a checksum, whole or not at all."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    info = dict(info or {})
    # one entry only: safetensors writes several in an order that changes from process to process
    write_bytes(path, save(plain, {"info": json.dumps(info | {"crc32": _checksum(plain, info)})}))


def _checksum(tensors: dict[str, Tensor], info: dict) -> str:
    """Of names, types, shapes, values and `info`; safetensors itself does not notice a changed value."""
    crc = zlib.crc32(json.dumps(info).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), crc)
    return f"{crc:08x}"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `write_tensors` wrote; files without a checksum are accepted.

    Raises:
        UserError: missing or damaged file.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a safetensors file written by hrem train")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            info = json.loads((file.metadata() or {}).get("info", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error})") from None
    if not isinstance(info, dict):
        raise UserError(f"{path}: got {type(info).__name__} for `info`, wanted an object")
    crc = info.pop("crc32", None)
    if crc is not None and crc != _checksum(tensors, info):
        raise UserError(f"{path}: damaged, the content does not fit its checksum")
    return tensors, info


def check_weights(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Raises UserError with the first key that is missing, unknown or of another shape or kind of number."""
    wanted = model.state_dict()
    for name in [*wanted, *tensors]:
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if got != want:
            raise UserError(f"{source}: weight {name}: got {got}, wanted {want}")
        if tensors[name].dtype.is_floating_point != wanted[name].dtype.is_floating_point:
            raise UserError(f"{source}: weight {name}: got {tensors[name].dtype}, wanted {wanted[name].dtype}")


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load a state dict strictly; raises as `check_weights`."""
    check_weights(model, tensors, source)
    model.load_state_dict(tensors)


def start_run(folder: Path, config: Config, text: texts.Vocabulary | texts.WordPiece, model: HREM) -> None:
    """Write what does not change in training: config, text side, BERT's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config.to_dict())
    text.save(folder)
    bert = getattr(model.text_encoder.words, "bert", None)
    if bert is not None:
        write_json(folder / "bert_config.json", bert.config.to_diff_dict() | {"model_type": bert.config.model_type})


def load_config(folder: Path) -> Config:
    """The config of a run folder."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder}: got no {CONFIG}, wanted a run folder written by hrem train")
    return configs.load(folder / CONFIG)


def keep_config(folder: Path, config: Config) -> None:
    """Write a resumed run's config where it has changed: the data may have moved, see `config.PLACE`."""
    path = folder / CONFIG
    if path.is_file() and configs.load(path) != config:
        write_json(path, config.to_dict())


def read_text(folder: Path) -> tuple[texts.Vocabulary | texts.WordPiece, dict | None]:
    """The text side that a run folder holds, and its BERT's configuration (None: a BiGRU); `start_run` wrote them."""
    path = folder / "bert_config.json"
    return texts.load_text(folder), configs.read_json(path) if path.is_file() else None


class Run(NamedTuple):
    """A run folder, read."""

    config: Config
    text: texts.Vocabulary | texts.WordPiece
    model: HREM


def check_width(run: Run, split: data.Split, source: str = "the run") -> None:
    """Refuse a split whose features are not as wide as those that a run was trained on.

    Raises:
        UserError: with both widths.
    """
    wanted = run.model.image_encoder.projection.fc.in_features
    if split.region_dim != wanted:
        file = split.folder / f"{split.name}_ims.npy"
        raise UserError(f"{file}: got features of width {split.region_dim}, wanted {wanted}, on which {source} learned")


def load_run(folder: str | Path, device: torch.device | str = "cpu") -> Run:
    """Model, text side and config of a run folder; the model is in evaluation mode.

    Raises:
        UserError: a file is missing, damaged or does not fit the others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: not found, wanted a run folder written by hrem train")
    config = configs.load(folder / CONFIG)
    tensors, _ = read_tensors(folder / MODEL)
    text, known = read_text(folder)
    key = "image_encoder.projection.fc.weight"
    if key not in tensors:
        raise UserError(f"{folder / MODEL}: weight {key}: got nothing, wanted [D,F]")
    if tensors[key].dim() != 2:
        raise UserError(f"{folder / MODEL}: weight {key}: got {tuple(tensors[key].shape)}, wanted [D,F]")
    # first without memory: a config that asks for a huge model is refused by the file's shapes
    sizes = (config, tensors[key].size(1), text.size)
    with torch.device("meta"):
        check_weights(build_model(*sizes, bert_config=known), tensors, str(folder / MODEL))
    model = build_model(*sizes, bert_config=known)
    load_weights(model, tensors, str(folder / MODEL))
    return Run(config, text, model.to(device).eval())


def keep_best(folder: Path, best_epoch: int | None) -> None:
    """Put the weights that wait in NEXT into MODEL if they are those of `best_epoch`, else drop them.

    They wait until STATE knows their epoch, so that a kill between the two files leaves no model of an epoch that,
    repeated on other hardware, might not be the best.
    """
    waiting = folder / NEXT
    if waiting.is_file():
        with safe_open(waiting, "pt") as file:
            epoch = json.loads(file.metadata()["info"])["epoch"]
        if epoch == best_epoch:
            os.replace(waiting, folder / MODEL)
        else:
            waiting.unlink()


def _state(model: HREM, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    return tensors


def save_training_state(path: Path, model: HREM, optimizer: torch.optim.Optimizer, info: dict) -> None:
    """All that an exact continuation needs: weights (interaction too), optimizer, random state, counters (`info`)."""
    tensors = _state(model, optimizer) | {"random.torch": torch.get_rng_state()}
    for name, device in _accelerators():
        tensors[f"random.{name}"] = device.get_rng_state()
    write_tensors(path, tensors, info)


def _accelerators() -> list[tuple]:
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [(name, getattr(torch, name)) for name, there in found.items() if there]


def load_training_state(path: Path, model: HREM, optimizer: torch.optim.Optimizer) -> dict:
    """Restore what `save_training_state` wrote; returns its `info`, with the `history`.

    Raises:
        UserError: a damaged file, or another model's.
    """
    tensors, info = read_tensors(path)
    if not isinstance(info.get("history"), list):
        raise UserError(f"{path}: got no history of epochs, wanted the training state of hrem train")
    load_weights(model, {k[6:]: t for k, t in tensors.items() if k.startswith("model.")}, str(path))
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, field = rest.partition(".")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random.torch"])
        for name, device in _accelerators():
            if f"random.{name}" in tensors:
                device.set_rng_state(tensors[f"random.{name}"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: got no training state of this model ({error}), wanted one of hrem train") from None
    return info


def save_debug(path: Path, model: HREM, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], info: dict) -> None:
    """Model, optimizer, gradients and batch of a step that stopped the run; `read_tensors` reads it."""
    gradients = {f"gradient.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    tensors = _state(model, optimizer) | gradients | {f"batch.{name}": t for name, t in batch.items()}
    write_tensors(path, tensors, info)
