"""Run folders: config, text side, weights and training state as safetensors and JSON. Nothing is unpickled.

A file is written beside its place and renamed, so that a reader (or a resumed run) finds the old one or the new one.
The authors' released format is in `hrem_lib.released`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_tensors(path: Path, tensors: dict[str, Tensor], info: dict | None = None) -> None:
    """Write tensors, and `info` as JSON in the header, whole or not at all."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_bytes(path, save(plain, {"info": json.dumps(info or {})}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `write_tensors` wrote.

    Raises:
        UserError: missing or damaged file.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a safetensors file written by hrem train")
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, json.loads(
                (file.metadata() or {}).get("info", "{}")
            )
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error})") from None


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load a state dict strictly.

    Raises:
        UserError: with the first key that is missing, unknown or of another shape.
    """
    wanted = model.state_dict()
    for name in [*wanted, *tensors]:
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if got != want:
            raise UserError(f"{source}: weight {name}: got {got}, wanted {want}")
    model.load_state_dict(tensors)


def start_run(folder: Path, config: Config, text: texts.Vocabulary | texts.WordPiece, model: HREM) -> None:
    """Write what does not change in training: config, text side, BERT's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config.to_dict())
    text.save(folder)
    bert = getattr(model.text_encoder.words, "bert", None)
    if bert is not None:
        write_json(folder / "bert_config.json", bert.config.to_diff_dict() | {"model_type": bert.config.model_type})


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
    text = texts.load_text(folder)
    key = "image_encoder.projection.fc.weight"
    if key not in tensors:
        raise UserError(f"{folder / MODEL}: weight {key}: got nothing, wanted [D,F]")
    bert_config = folder / "bert_config.json"
    known = json.loads(bert_config.read_text(encoding="utf-8")) if bert_config.is_file() else None
    model = build_model(config, tensors[key].size(1), text.size, bert_config=known)
    load_weights(model, tensors, str(folder / MODEL))
    return Run(config, text, model.to(device).eval())


def save_training_state(path: Path, model: HREM, optimizer: torch.optim.Optimizer, info: dict) -> None:
    """All that an exact continuation needs: weights (interaction too), optimizer, random state, counters (`info`)."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    write_tensors(path, tensors, info)


def load_training_state(path: Path, model: HREM, optimizer: torch.optim.Optimizer) -> dict:
    """Restore what `save_training_state` wrote; returns its `info`."""
    tensors, info = read_tensors(path)
    load_weights(model, {k[6:]: t for k, t in tensors.items() if k.startswith("model.")}, str(path))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, field = rest.partition(".")
            state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return info
