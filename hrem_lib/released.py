"""The authors' released checkpoint format, read and written: nothing that a file holds is run.

A released file is `torch.save` of a dictionary: `model` (state dictionaries of the image and the text encoder),
`opt` (an argparse namespace), `epoch`, `best_rsum`, `Eiters`. The relation part is not in it: inference does not need
it (Sec 3.5).
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrem_lib import checkpoints
from hrem_lib.config import Config, preset
from hrem_lib.errors import UserError, brief
from hrem_lib.files import write_bytes, write_tensors
from hrem_lib.model import HREM, build_model
from hrem_lib.text import WordPiece

# (released, ours), longest first; the modules below keep PyTorch's own names in both
_PREFIXES = (
    ("img_enc.fc.fc.", "image_encoder.projection.fc."),
    ("img_enc.fc.mlp.layers.0.", "image_encoder.projection.mlp.0."),
    ("img_enc.fc.mlp.bns.0.", "image_encoder.projection.mlp.1."),
    ("img_enc.fc.mlp.layers.1.", "image_encoder.projection.mlp.3."),
    ("img_enc.aggr.layers.", "image_encoder.relations.layers."),
    ("txt_enc.bert.", "text_encoder.words.bert."),
    ("txt_enc.linear.", "text_encoder.words.linear."),
    ("txt_enc.aggr.layers.", "text_encoder.relations.layers."),
    ("criterion.adj_model.adj_learning.mlp_i2t.0.", "relation.graph.mlp_i2t.0."),
    ("criterion.adj_model.adj_learning.mlp_i2t.3.", "relation.graph.mlp_i2t.2."),
    ("criterion.adj_model.adj_learning.mlp_t2i.0.", "relation.graph.mlp_t2i.0."),
    ("criterion.adj_model.adj_learning.mlp_t2i.3.", "relation.graph.mlp_t2i.2."),
    ("criterion.gnn.layers.", "relation.interaction.layers."),
)
_IGNORED = (
    (r"img_enc\.fc\.mlp\.bns\.1\.", "a BatchNorm that the released forward pass never uses"),
    (r"txt_enc\.bert\.embeddings\.position_ids$", "a constant that newer versions of transformers do not store"),
    (r"txt_enc\.bert\.pooler\.", "BERT's pooler, whose output the method never uses"),
)


@dataclass(frozen=True)
class Released:
    """What a released checkpoint holds."""

    model_states: tuple[dict[str, Tensor], dict[str, Tensor]]  # image, text encoder; released names, no `module.`
    options: dict[str, object]  # the namespace `opt`
    epoch: int  # epochs finished
    best_rsum: float  # on the split that selected it (the test split, in the released code)
    iterations: int  # optimizer steps
    path: str = ""

    def named(self) -> dict[str, Tensor]:
        """All tensors, with `img_enc.` or `txt_enc.` in front of the names."""
        image, text = self.model_states
        return {f"img_enc.{k}": v for k, v in image.items()} | {f"txt_enc.{k}": v for k, v in text.items()}


@dataclass(frozen=True)
class KeyReport:
    """What becomes of every name; each released name is in exactly one of `mapped`, `ignored`, `unexpected`."""

    mapped: dict[str, str] = field(default_factory=dict)  # released name -> ours
    ignored: dict[str, str] = field(default_factory=dict)  # released name -> why
    missing: tuple[str, ...] = ()  # ours, with nothing in the file
    unexpected: tuple[str, ...] = ()  # released names that we do not know
    misshapen: tuple[str, ...] = ()  # "name: got shape, wanted shape"

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.misshapen)


def our_name(released: str) -> str | None:
    """Our parameter name for a released one (`img_enc.`, `txt_enc.` or `criterion.` in front), None without one."""
    if _why_ignored(released):
        return None
    return next((ours + released[len(theirs) :] for theirs, ours in _PREFIXES if released.startswith(theirs)), None)


def released_name(ours: str) -> str | None:
    """The reverse of `our_name`."""
    return next((theirs + ours[len(mine) :] for theirs, mine in _PREFIXES if ours.startswith(mine)), None)


def to_hrem(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dictionary under our names; what has no place with us is left out (see `key_report`)."""
    mapped = {our_name(name): tensor for name, tensor in named.items()}
    return {name: tensor for name, tensor in mapped.items() if name is not None}


def from_hrem(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dictionary under the released names; the BiGRU and standalone interaction have none and are left out."""
    mapped = {released_name(name): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in mapped.items() if name is not None}


def _why_ignored(name: str) -> str | None:
    return next((why for pattern, why in _IGNORED if re.match(pattern, name)), None)


def key_report(named: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> KeyReport:
    """Compare a released state with a model's; nothing is dropped in silence.

    Args:
        named: released names -> tensors, as `Released.named` gives
        wanted: the state dictionary of an `HREM`
    """
    mapped, ignored, unexpected, misshapen = {}, {}, [], []
    for name, tensor in named.items():
        ours, why = our_name(name), _why_ignored(name)
        if why is not None:
            ignored[name] = why
        elif ours is None or ours not in wanted:
            unexpected.append(name)
        elif tensor.shape != wanted[ours].shape:
            misshapen.append(f"{name}: got {tuple(tensor.shape)}, wanted {tuple(wanted[ours].shape)}")
        else:
            mapped[name] = ours
    missing = _missing(wanted, {our_name(name) for name in named})
    return KeyReport(mapped, ignored, missing, tuple(unexpected), tuple(misshapen))


def _missing(wanted: Iterable[str], present: set) -> tuple[str, ...]:
    # the relation part is not saved by the released code
    return tuple(name for name in wanted if name not in present and not name.startswith("relation."))


def read_released(path: str | Path) -> Released:
    """Read a checkpoint in the released format. Tensors and one argparse namespace are accepted, nothing else.

    Raises:
        UserError: no such file, not this format, or a file that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a checkpoint in the released format")
    try:
        # weights_only: the unpickler builds tensors and plain containers, and calls nothing
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it asks for {name[1]}" if name else "it is not a file of tensors"
        raise UserError(f"{path}: refused, {what}; wanted tensors and one argparse namespace only") from None
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise UserError(f"{path}: not a file of torch.save ({brief(error)}), wanted a released checkpoint") from None
    return _checked(found, str(path))


def _checked(found: object, path: str) -> Released:
    form = "wanted a dictionary with `model` (two state dictionaries) and `opt`"
    if not isinstance(found, dict) or not {"model", "opt"} <= found.keys():
        got = f"the keys {', '.join(map(str, list(found)[:6]))}" if isinstance(found, dict) else type(found).__name__
        raise UserError(f"{path}: got {got}, {form}")
    states = found["model"]
    if not isinstance(states, list | tuple) or len(states) != 2 or not all(isinstance(s, dict) for s in states):
        raise UserError(f"{path}: got another kind of `model`, {form}")
    if not isinstance(found["opt"], argparse.Namespace):
        raise UserError(f"{path}: got {type(found['opt']).__name__} for `opt`, wanted an argparse namespace")
    clean = []
    for state in states:
        odd = [str(k) for k, v in state.items() if not isinstance(v, Tensor)]
        if odd:
            raise UserError(f"{path}: {odd[0]!r} is no tensor, {form}")
        # nn.DataParallel's prefix (option multi_gpu)
        clean.append({name.removeprefix("module."): tensor for name, tensor in state.items()})
    try:
        epoch, best, steps = (float(found.get(key, 0)) for key in ("epoch", "best_rsum", "Eiters"))
        return Released(tuple(clean), dict(vars(found["opt"])), int(epoch), best, int(steps), path)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several numbers
        raise UserError(f"{path}: epoch, best_rsum or Eiters is no number, {form}") from None


_TRIP_MARGIN = 0.2  # hard-coded there


def config_from_options(options: Mapping[str, object]) -> Config:
    """Our config for the options of a released run; options of machine and logging have no counterpart.

    Dropout, batch size, rate and loss settings are taken too, and training can go on as it was. `max_violation`
    has no counterpart: the released code sets it itself after `vse_mean_warmup_epochs`, and a file saved later has
    it. Its loss `trip` has a margin of 0.2, whatever `margin` says.

    Raises:
        UserError: an option that we need is missing or out of range, or the two losses have two margins.
    """
    try:
        o: dict[str, Any] = dict(options)
        dataset = o["dataset"]
        start = preset("coco" if "coco" in str(dataset) else "f30k")
        kinds = {"trip": "triplet", "vse": "hinge"}
        terms = ["initial", "enhanced"] + (["crossed"] if o.get("cross_loss", 1) else [])
        margins = {_TRIP_MARGIN if loss == "trip" else o["margin"] for loss in (o["base_loss"], o["gnn_loss"])}
        if len(margins) > 1:
            raise UserError(f"released options: got margin {o['margin']} for vse, wanted {_TRIP_MARGIN}, that of trip")
        settings = {
            "model.embed_dim": o["embed_size"],
            "model.heads": o["nhead"],
            "model.text_encoder": "bert",
            "model.bert": o["bert_path"],
            "model.dropout": o["dropout"],
            "model.pool_mix": o["residual_weight"],
            "graph.layers": o["num_layers_enc"],
            "graph.neighbor_share": o["threshold"],
            "graph.top_matches": o["topk"],
            "graph.relevance_weight": o["mask_weight"],
            "graph.normalize_input": bool(o.get("norm_input", 1)),
            "loss.initial": kinds[o["base_loss"]],
            "loss.enhanced": kinds[o["gnn_loss"]],
            "loss.terms": terms,
            "loss.margin": margins.pop(),
            "loss.regularizer_weight": o["reg_loss_weight"],
            "loss.exclude_same_image": bool(o.get("mask_repeat", 1)),
            "loss.hinge_sum_epochs": o.get("vse_mean_warmup_epochs", 1),
            "training.epochs": o["num_epochs"],
            "training.batch_size": o["batch_size"],
            "training.learning_rate": o["learning_rate"],
            "training.relation_rate_factor": o.get("graph_lr_factor", 1.0),
            "training.decay_epochs": list(o["lr_schedules"]),
            "training.decay_rate": o["decay_rate"],
            "training.grad_clip": o["grad_clip"],
            "training.warmup_steps": o["warmup"],
            "data.region_drop": start.data.region_drop if o.get("size_augment", 1) else 0.0,
            "data.word_drop": start.data.word_drop if o.get("size_augment", 1) else 0.0,
        }
    except (KeyError, TypeError) as error:
        raise UserError(
            f"released options: got none called or valued {error}, wanted those of a released run"
        ) from None
    return start.override(settings)


# transformers' own defaults are those of bert-base-uncased
_BERT_BASE = {"model_type": "bert", "vocab_size": 30522}


def load_released(path: str | Path, bert_config: dict | None = None) -> tuple[HREM, Config, KeyReport]:
    """Our model with the weights of a released checkpoint; its relation part, which the file lacks, is new.

    Args:
        path: the file
        bert_config: configuration of the BERT it was trained with, a `transformers` dictionary; None: bert-base-uncased
    Returns:
        the model in evaluation mode, the config, and what became of every name
    Raises:
        UserError: as `read_released`; a weight is missing, unknown or of another shape.
    """
    released = read_released(path)
    config = config_from_options(released.options)
    named = released.named()
    features = named.get("img_enc.fc.fc.weight")
    if features is None or features.dim() != 2:
        raise UserError(f"{path}: got no img_enc.fc.fc.weight, wanted the weights of a released image encoder")
    bert_config = bert_config or _BERT_BASE
    sizes = (config, features.size(1), bert_config["vocab_size"])
    with torch.device("meta"):  # first without memory: options that ask for a huge model are refused by the shapes
        report = key_report(named, build_model(*sizes, bert_config=bert_config).state_dict())
    if not report.complete:
        faults = [f"missing {n}" for n in report.missing] + [f"unknown {n}" for n in report.unexpected]
        faults += report.misshapen
        raise UserError(f"{path}: got {len(faults)} weights that do not fit this model, the first is: {faults[0]}")
    model = build_model(*sizes, bert_config=bert_config)
    model.load_state_dict({ours: named[name] for name, ours in report.mapped.items()}, strict=False)
    return model.eval(), config, report


def _text_source(path: Path, text: str | Path | None) -> tuple[str | Path, dict]:
    """Where the word pieces of a released file come from, and BERT's configuration as a `transformers` dictionary."""
    beside = (path.parent / "vocab.txt").is_file() and (path.parent / "bert_config.json").is_file()
    if text is None and not beside:
        return "bert-base-uncased", _BERT_BASE
    folder = path.parent if text is None else Path(text).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder, wanted one with vocab.txt and bert_config.json (or config.json)")
    for name in ("bert_config.json", "config.json"):
        if (folder / name).is_file():
            try:
                known = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{folder / name}: not readable as JSON ({error})") from None
            if not isinstance(known, dict) or not isinstance(known.get("vocab_size"), int):
                raise UserError(f"{folder / name}: got no vocab_size, wanted BERT's configuration")
            return folder, known
    raise UserError(f"{folder}: got neither bert_config.json nor config.json, wanted BERT's configuration")


def import_run(path: str | Path, out: str | Path, text: str | Path | None = None) -> tuple[Config, KeyReport]:
    """Write a run folder with the weights of a released checkpoint; `hrem evaluate` then takes it like any other.

    Args:
        path: the released file
        out: run folder to write
        text: folder with vocab.txt and bert_config.json (or config.json) of the BERT it was trained with; None: the
            folder of `path` if it has both, else bert-base-uncased, from the hub or its local store
    Returns:
        the config, from the stored options, and what became of every name
    Raises:
        UserError: as `load_released`; `out` is not empty; word pieces and word vectors differ in number. Nothing is
            written in these cases.
    """
    path, out = Path(path), Path(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: exists and is not empty, wanted a new folder")
    read_released(path)  # a wrong file is named before a missing vocabulary
    source, bert_config = _text_source(path, text)
    pieces = WordPiece.load(source)
    if pieces.size != bert_config["vocab_size"]:
        raise UserError(f"{source}: got {pieces.size} word pieces, wanted {bert_config['vocab_size']} (vocab_size)")
    torch.manual_seed(0)  # the relation part is new
    model, config, report = load_released(path, bert_config)
    checkpoints.start_run(out, config, pieces, model)
    write_tensors(out / checkpoints.MODEL, model.state_dict(), {"imported_from": path.name})
    return config, report


def options_from_config(config: Config, region_dim: int) -> dict[str, object]:
    """The released code's options for our config: the reverse of `config_from_options`.

    Raises:
        UserError: a setting that the released code does not know.
    """
    m, g, loss, t = config.model, config.graph, config.loss, config.training
    known = (
        ("model.text_encoder", m.text_encoder, "bert"),
        ("model.projection", m.projection, "mlp"),
        ("model.fragment_attention", m.fragment_attention, True),
        ("model.fragment_layers", m.fragment_layers, 1),
        ("model.pool_k", m.pool_k, 2),
    )
    if "triplet" in (loss.initial, loss.enhanced):
        known += (("loss.margin", loss.margin, _TRIP_MARGIN),)
    for name, got, wanted in known:
        if got != wanted:
            raise UserError(f"{name}: got {got!r}, wanted {wanted!r}, the only value that the released format knows")
    kinds = {"triplet": "trip", "hinge": "vse"}
    return {
        "dataset": "coco" if loss.cutoff > 1.8 else "f30k", "data_path": "data", "logger_name": "runs",
        "model_name": "runs", "workers": 0, "log_step": 200, "val_step": 500, "gpu_id": 0, "multi_gpu": 0,
        "save_results": 1, "no_imgnorm": False, "no_txtnorm": False, "graph_lr_factor": t.relation_rate_factor,
        "img_dim": region_dim, "embed_size": m.embed_dim, "nhead": m.heads, "bert_path": m.bert,
        "dropout": m.dropout, "residual_weight": m.pool_mix, "num_layers_enc": g.layers,
        "threshold": g.neighbor_share, "topk": g.top_matches, "mask_weight": g.relevance_weight,
        "norm_input": int(g.normalize_input), "cross_loss": int("crossed" in loss.terms),
        "base_loss": kinds[loss.initial], "gnn_loss": kinds[loss.enhanced], "margin": loss.margin,
        "reg_loss_weight": loss.regularizer_weight, "mask_repeat": int(loss.exclude_same_image),
        "max_violation": loss.hinge_sum_epochs == 0, "vse_mean_warmup_epochs": loss.hinge_sum_epochs,
        "num_epochs": t.epochs, "batch_size": t.batch_size, "learning_rate": t.learning_rate,
        "lr_schedules": list(t.decay_epochs), "decay_rate": t.decay_rate, "grad_clip": t.grad_clip,
        "warmup": t.warmup_steps, "size_augment": int(bool(config.data.region_drop or config.data.word_drop)),
    }  # fmt: skip


def write_released(
    path: str | Path, model: HREM, config: Config, epoch: int = 0, best_rsum: float = 0.0, iterations: int = 0
) -> None:
    """Write our encoders in the released format; the relation part is left out, as there.

    The released model has one BatchNorm that it never uses; a fresh one is written in its place. BERT's pooler, which
    it never uses either, is not written: the released code reads text weights without asking for all of them.

    Raises:
        UserError: the model has parts that the format does not know (BiGRU, single FC layer, several local layers).
    """
    region_dim = model.image_encoder.projection.fc.in_features
    options = argparse.Namespace(**options_from_config(config, region_dim))
    encoders = {k: v for k, v in model.state_dict().items() if not k.startswith("relation.")}
    named = {k: v.detach().cpu() for k, v in from_hrem(encoders).items()}
    unused = torch.nn.BatchNorm1d(config.model.embed_dim).state_dict()
    named |= {f"img_enc.fc.mlp.bns.1.{k}": v for k, v in unused.items()}
    left = [name for name in encoders if released_name(name) is None]
    if left:
        raise UserError(f"{path}: {left[0]} has no place in the released format, wanted BERT and the mlp projection")
    states = [
        {name.removeprefix(f"{side}."): tensor for name, tensor in named.items() if name.startswith(f"{side}.")}
        for side in ("img_enc", "txt_enc")
    ]
    content = {"epoch": epoch, "model": states, "best_rsum": best_rsum, "opt": options, "Eiters": iterations}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(Path(path), buffer.getvalue())
