"""Run folders: config, text side, weights and training state as safetensors and JSON. Nothing is unpickled.

A file is written beside its place and renamed: a reader (or a resumed run) finds the old one or the new one;
tensors carry a checksum. One process at a time writes into a folder. The authors' released format is in
`hrem_lib.released`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from hrem_lib import config as configs
from hrem_lib import data, distributed, pretrained
from hrem_lib import text as texts
from hrem_lib.config import Config
from hrem_lib.errors import UserError
from hrem_lib.files import PART, read_json, read_tensors, write_json, write_tensors
from hrem_lib.model import HREM, build_model

MODEL, STATE, CONFIG = "model.safetensors", "training_state.safetensors", "config.json"
HISTORY, DEBUG = "history.jsonl", "debug.safetensors"
NEXT = "model.next.safetensors"  # better weights than MODEL's, whose epoch is not yet in STATE
LOCK = ".lock"


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


@contextmanager
def run_folder(out: Path) -> Iterator[Path]:
    """`out` for process 0, the one that writes; for the others a copy, which goes away, of what a resume reads."""
    if distributed.rank() == 0:
        if distributed.world_size() > 1:
            distributed.wait()  # nothing is written before the others have their copy
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(folder) / "run"
        mine.mkdir()
        for path in out.glob("*"):
            if path.suffix in (".json", ".txt") or path.name == STATE:  # config, text side
                shutil.copy(path, mine)
            elif path.name != LOCK:
                (mine / path.name).touch()  # a name: a folder that process 0 refuses is refused here, too
        distributed.wait()
        yield mine


def start_run(folder: Path, config: Config, text: texts.Tokenizer, model: HREM) -> None:
    """Write what does not change in training: config, text side, BERT's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config.to_dict())
    text.save(folder)
    bert = getattr(model.text_encoder.words, "bert", None)
    if bert is not None:
        write_json(folder / "bert_config.json", bert.config.to_diff_dict() | {"model_type": bert.config.model_type})


def last_name(path: str) -> str:
    """The last name of a path, of this system or another; "unnamed" where it has none."""
    name = PureWindowsPath(path).name  # cuts at both / and \\
    return "unnamed" if path and name in ("", ".", "..", "~") else name


def public_name(source: str) -> str:
    """A hub name or PACKAGE:FOLDER as it is; of a path the last name alone."""
    public = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?|[A-Za-z_]\w+:\w[\w./-]*", source)
    return source if public and not Path(source).exists() else last_name(source)


def without_paths(config: Config) -> Config:
    """A copy that can leave this machine: of each path it has the last name alone."""
    paths = ("data.folder", "model.glove", "training.start_from")
    changes: dict[str, object] = {name: last_name(str(config.value(name))) for name in paths}
    changes |= {name: public_name(str(config.value(name))) for name in ("model.bert", "model.text_model")}
    return config.override(changes)


def load_config(folder: Path) -> Config:
    """The config of a run folder."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder}: got no {CONFIG}, wanted a run folder written by hrem train")
    return configs.load(folder / CONFIG)


def read_history(folder: Path) -> list[dict]:
    """What each epoch of a run gave."""
    return [json.loads(line) for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines()]


def keep_config(folder: Path, config: Config) -> None:
    """Write a resumed run's config where it has changed: the data may have moved, see `config.PLACE`."""
    path = folder / CONFIG
    if path.is_file() and configs.load(path) != config:
        write_json(path, config.to_dict())


def read_text(folder: Path) -> tuple[texts.Tokenizer, dict | None]:
    """The text side that a run folder holds, and its BERT's configuration (None: a BiGRU); `start_run` wrote them."""
    path = folder / "bert_config.json"
    return pretrained.load_text(folder), read_json(path) if path.is_file() else None


class Run(NamedTuple):
    """A run folder, read."""

    config: Config
    text: texts.Tokenizer
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


# settings without which the weights of a run mean nothing, of the encoders and of the relation part
FITTING = (
    "model.text_encoder", "model.embed_dim", "model.heads", "model.projection", "model.word_dim",
    "model.fragment_attention", "model.fragment_layers",
)  # fmt: skip
FITTING_RELATION = ("graph.layers", "graph.top_matches")


def check_start(config: Config, source: Run, train: data.Split) -> None:
    """Refuse a run `training.start_from` whose weights do not fit the settings or the data.

    Raises:
        UserError: with the setting or width, got and wanted.
    """
    run, name = source.config, config.training.start_from
    both = run.graph.interaction == config.graph.interaction != "none"
    for setting in FITTING + (FITTING_RELATION if both else ()):
        got, wanted = config.value(setting), run.value(setting)
        if got != wanted:
            raise UserError(f"{setting}: got {got}, wanted {wanted} as in {name}, from whose weights the run starts")
    check_width(source, train, name)


def take_weights(model: HREM, source: Run, config: Config) -> str:
    """Put the weights of another run into a new model, the relation part's if it is of one kind; what was taken."""
    tensors, taken = source.model.state_dict(), "encoders and relation part"
    if source.config.graph.interaction != config.graph.interaction:
        own = {name: t for name, t in model.state_dict().items() if name.startswith("relation.")}
        tensors = {name: t for name, t in tensors.items() if not name.startswith("relation.")} | own
        taken = "encoders; the relation part is new" if own else "encoders"
    elif model.relation is None:
        taken = "encoders"
    load_weights(model, tensors, config.training.start_from)
    return taken


def keep_best(folder: Path, best_epoch: int | None) -> None:
    """Put the weights that wait in NEXT into MODEL if they are those of `best_epoch`, else drop them.

    They wait until STATE knows their epoch: a kill between the two files leaves no model of an epoch that,
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
