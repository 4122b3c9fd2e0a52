"""Every constant of HREM in one place, one sentence a field.

Numbers without a remark are the paper's (Sec 3 and Sec 4.1) or, where the paper is silent, the released code's;
"choice of this project" marks ours. A config is frozen, is checked when made, and is saved as JSON beside every result.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hrem_lib.errors import UserError
from hrem_lib.files import read_json


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{name}: got {_shown(value)}, wanted one of {', '.join(allowed)}")


def _between(name: str, value: float, low: float, high: float, open_low: bool = False) -> None:
    if not low <= value <= high or (open_low and value == low):
        raise UserError(
            f"{name}: got {value}, wanted a number {'above' if open_low else 'from'} {low} and up to {high}"
        )


@dataclass(frozen=True)
class DataConfig:
    """Which files are read and how a training pair is varied (Sec 3.1)."""

    folder: str = ""  # the {name}_precomp folder or its parent; empty: the sample data that comes with the project
    captions_per_image: int = 5  # lines of {split}_caps.txt that belong to one image
    test_split: str = "test"  # split for the final figures ("testall" for COCO, whose file "test" is never used)
    folds: int = 1  # 5 for COCO: the mean over five folds of 1,000 images is reported beside the full figures
    region_drop: float = 0.2  # probability that a region is left out in training; at least one stays
    word_drop: float = 0.2  # probability that a whole word is masked, replaced or deleted in training
    train_share: float = 1.0  # share of the training images that is used, drawn by the seed (ablation: few pictures)
    wrong_captions: float = 0.0  # share of the training captions that are exchanged with each other (ablation: noise)
    workers: int = 0  # loader processes; 0 works everywhere, Jupyter on Windows included

    def __post_init__(self):
        _between("data.captions_per_image", self.captions_per_image, 1, 1000)
        _between("data.folds", self.folds, 1, 1000)
        _between("data.region_drop", self.region_drop, 0, 0.95)
        _between("data.word_drop", self.word_drop, 0, 0.95)
        _between("data.train_share", self.train_share, 0, 1, open_low=True)
        _between("data.wrong_captions", self.wrong_captions, 0, 1)
        _between("data.workers", self.workers, 0, 256)


@dataclass(frozen=True)
class ModelConfig:
    """Encoders and fragment-level relations (Sec 3.1, Sec 3.2)."""

    embed_dim: int = 1024  # D, width of the joint space
    projection: str = "mlp"  # "mlp": FC(x) + MLP(x), as released; "linear": the paper's single FC layer
    text_encoder: str = "bert"  # "bert", "bigru", or "hf": any text encoder of transformers, `text_model`
    # folder or hub name of a BERT-type checkpoint, PACKAGE:FOLDER for a folder inside an installed Python package, or
    # "small" for a small one with random weights
    bert: str = "bert-base-uncased"
    text_model: str = ""  # of text_encoder = hf: a folder, a hub name, or PACKAGE:FOLDER
    freeze_layers: int = 0  # of BERT or text_model: embeddings and this many lower layers do not learn; -1: none does
    word_dim: int = 300  # width of the word embedding in front of the BiGRU
    min_word_count: int = 4  # words seen less often in the training captions become <unk> (as in SCAN)
    glove: str = ""  # optional GloVe text file that initializes the BiGRU's word embedding
    fragment_attention: bool = True  # (1) self-attention within a sample; False is an ablation of Sec 3.2
    fragment_layers: int = 1  # encoder layers of (1)
    heads: int = 16  # H, attention heads in (1) and (12)
    dropout: float = 0.1  # in the encoder layers of (1) and (12)
    pool_mix: float = 0.8  # beta of (2)(3): share of max pooling against mean pooling
    pool_k: int = 2  # max pooling is the mean of the k largest values; 1 is the paper's letter

    def __post_init__(self):
        _choice("model.projection", self.projection, ("mlp", "linear"))
        _choice("model.text_encoder", self.text_encoder, ("bert", "bigru", "hf"))
        _between("model.freeze_layers", self.freeze_layers, -1, 1000)
        if (self.text_encoder == "hf") != bool(self.text_model):
            raise UserError(
                f"model.text_model: got {_shown(self.text_model)} with model.text_encoder = {self.text_encoder}, "
                "wanted a folder or hub name, and model.text_encoder = hf"
            )
        if self.freeze_layers and self.text_encoder == "bigru":
            raise UserError(
                f"model.freeze_layers: got {self.freeze_layers} with a BiGRU, wanted 0: nothing is pre-trained"
            )
        _between("model.pool_mix", self.pool_mix, 0, 1)
        _between("model.dropout", self.dropout, 0, 0.95)
        _between("model.fragment_layers", self.fragment_layers, 1, 64)
        for name in ("embed_dim", "word_dim", "heads", "pool_k", "min_word_count"):
            _between(f"model.{name}", getattr(self, name), 1, 1_000_000)
        if self.embed_dim % self.heads:
            raise UserError(f"model.heads: got {self.heads}, wanted a divisor of model.embed_dim = {self.embed_dim}")
        if self.glove and self.text_encoder != "bigru":
            raise UserError(
                f"model.glove: got {_shown(self.glove)}, vectors of whole words, with model.text_encoder = "
                f"{self.text_encoder}, wanted model.text_encoder = bigru"
            )


@dataclass(frozen=True)
class GraphConfig:
    """Cross-embedding association graph and relation interaction (Sec 3.3)."""

    interaction: str = "fusion"  # "fusion" (Fig. 4b), "standalone" (Fig. 4a) or "none" (no instance-level part)
    layers: int = 1  # L, interaction layers
    matching: str = "scan"  # fragment matching of (6): "scan" as released, "cosine" as printed in the paper
    neighbor_share: float = 0.5  # rho of (5)(7): share of the batch that a row is connected to, in each block
    top_matches: int = 10  # K of (8)
    sigma: float = 1.0  # distance scale of (10) and (14)
    relevance_weight: float = 1.0  # lambda of (12): 1.0 for Flickr30K, 1.5 for COCO
    use_connection: bool = True  # A of (12); False connects every node to every node (ablation)
    use_relevance: bool = True  # S of (12); False is lambda = 0 (ablation)
    normalize_input: bool = True  # the interaction reads unit-length embeddings

    def __post_init__(self):
        _choice("graph.interaction", self.interaction, ("none", "fusion", "standalone"))
        _choice("graph.matching", self.matching, ("scan", "cosine"))
        _between("graph.layers", self.layers, 1, 64)
        _between("graph.neighbor_share", self.neighbor_share, 0, 1, open_low=True)
        _between("graph.top_matches", self.top_matches, 1, 10_000)
        _between("graph.sigma", self.sigma, 0, 1e6, open_low=True)
        _between("graph.relevance_weight", self.relevance_weight, 0, 1e6)


@dataclass(frozen=True)
class LossConfig:
    """Objective (Sec 3.4)."""

    initial: str = "triplet"  # loss on the plain embeddings L(v, u): "triplet", "hinge" or "infonce" (CLIP's)
    enhanced: str = "triplet"  # loss on the terms with relation-enhanced embeddings: "triplet" or "hinge"
    terms: tuple[str, ...] = ("initial", "enhanced", "crossed")  # which L(.,.) count once the relation part has started
    regularizer_weight: float = 10.0  # weight of (14)
    margin: float = 0.2  # alpha of (13)
    cutoff: float = 1.7  # negatives beyond this distance are not drawn: 1.7 for Flickr30K, 1.9 for COCO
    min_distance: float = 0.5  # distances are clamped from below before they are weighted
    sampling_dim: int = 512  # n of the weight formula; fixed in the released code, whatever D is
    draws: int = 1  # negatives drawn for each anchor and positive of (13), their mean counts; the paper draws one
    hinge_sum_epochs: int = 1  # the hinge sums over all negatives in the first epochs, then takes the hardest
    exclude_same_image: bool = True  # pairs of the same image are no negatives of the hinge and of InfoNCE

    def __post_init__(self):
        object.__setattr__(self, "terms", tuple(self.terms))
        _choice("loss.initial", self.initial, ("triplet", "hinge", "infonce"))
        _choice("loss.enhanced", self.enhanced, ("triplet", "hinge"))
        for term in self.terms:
            _choice("loss.terms", term, ("initial", "enhanced", "crossed"))
        if not self.terms:
            raise UserError("loss.terms: got none, wanted at least one of initial, enhanced, crossed")
        _between("loss.margin", self.margin, 0, 2)
        _between("loss.min_distance", self.min_distance, 0, 2, open_low=True)
        _between("loss.cutoff", self.cutoff, self.min_distance, 2)
        _between("loss.sampling_dim", self.sampling_dim, 2, 1_000_000)
        _between("loss.draws", self.draws, 1, 1000)
        _between("loss.regularizer_weight", self.regularizer_weight, 0, 1e6)


@dataclass(frozen=True)
class TrainingConfig:
    """The loop (Sec 4.1)."""

    epochs: int = 30  # passes over all image-caption pairs
    batch_size: int = 128  # B: 128 for Flickr30K, 256 for COCO
    learning_rate: float = 5e-4  # of AdamW
    bert_rate_factor: float = 0.1  # BERT's own weights learn at this share of the rate
    relation_rate_factor: float = 1.0  # the instance-level part's weights learn at this share of the rate
    weight_decay: float = 1e-4  # of AdamW
    decay_epochs: tuple[int, ...] = (15, 25)  # the rate is multiplied by decay_rate after these many epochs
    decay_rate: float = 0.1
    grad_clip: float = 2.0  # largest norm of the whole gradient
    warmup_steps: int = 8000  # steps with L(v, u) alone before the relation part starts
    select_on: str = "dev"  # split that picks the epoch; "test" repeats the released code and says so
    seed: int = 0
    device: str = "auto"  # "auto": CUDA, then MPS, then CPU; or a torch device name
    precision: str = "float32"  # "float32" or "bfloat16" (autocast)
    start_from: str = ""  # run folder whose weights and text side a new run starts from; empty: random weights

    def __post_init__(self):
        object.__setattr__(self, "decay_epochs", tuple(self.decay_epochs))
        _choice("training.select_on", self.select_on, ("dev", "test"))
        _choice("training.precision", self.precision, ("float32", "bfloat16"))
        _between("training.epochs", self.epochs, 1, 1_000_000)
        _between("training.batch_size", self.batch_size, 1, 1_000_000)
        _between("training.learning_rate", self.learning_rate, 0, 10, open_low=True)
        _between("training.bert_rate_factor", self.bert_rate_factor, 0, 1e6)
        _between("training.relation_rate_factor", self.relation_rate_factor, 0, 1e6)
        _between("training.weight_decay", self.weight_decay, 0, 1e6)
        _between("training.decay_rate", self.decay_rate, 0, 1)
        _between("training.grad_clip", self.grad_clip, 0, 1e9, open_low=True)
        _between("training.seed", self.seed, 0, 2**32 - 1)
        _between("training.warmup_steps", self.warmup_steps, 0, 1_000_000_000)


@dataclass(frozen=True)
class SamplingConfig:
    """Neighbor batch sampling (Sec 3.4). The paper gives no number; all four here are choices of this project."""

    # first epoch (counted from 1) with neighbor batches; 0: never. Late, when clusters mean something
    neighbor_epoch: int = 0
    clusters: int = 0  # k-means clusters over the training images; 0: one for every 4 x images_per_cluster images
    clusters_per_batch: int = 16  # P: clusters drawn for a batch
    images_per_cluster: int = 8  # K: images drawn of each; P x K = batch size. Few enough that a batch is not one topic

    def __post_init__(self):
        _between("sampling.neighbor_epoch", self.neighbor_epoch, 0, 1_000_000)
        _between("sampling.clusters", self.clusters, 0, 10_000_000)
        _between("sampling.clusters_per_batch", self.clusters_per_batch, 1, 1_000_000)
        _between("sampling.images_per_cluster", self.images_per_cluster, 1, 1_000_000)


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    preset: str = "f30k"  # the preset that this config started from
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self):
        sampling, batch = self.sampling, self.training.batch_size
        product = sampling.clusters_per_batch * sampling.images_per_cluster
        if sampling.neighbor_epoch and product != batch:
            raise UserError(
                f"sampling.clusters_per_batch x images_per_cluster: got {sampling.clusters_per_batch} x "
                f"{sampling.images_per_cluster} = {product}, wanted training.batch_size = {batch}"
            )
        if sampling.neighbor_epoch > self.training.epochs:
            raise UserError(
                f"sampling.neighbor_epoch: got {sampling.neighbor_epoch}, wanted at most training.epochs = "
                f"{self.training.epochs} (0 turns neighbor batches off)"
            )

    def to_dict(self) -> dict:
        """Plain nested dictionaries, ready for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def value(self, name: str) -> object:
        """The setting called by a dotted name, e.g. "training.epochs"."""
        section, _, key = name.partition(".")
        return getattr(getattr(self, section), key)

    def save(self, path: str | Path) -> None:
        """Write the config as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def override(self, changes: Mapping[str, object]) -> Config:
        """A copy with fields changed by dotted name, e.g. `{"training.epochs": 3}`; text is read as the field's type.

        Raises:
            UserError: for an unknown name (with the nearest valid one) or a value of the wrong type.
        """
        tree = self.to_dict()
        for name, value in changes.items():
            section, dot, key = name.partition(".")
            if not dot:
                raise UserError(f"setting {name!r}: got no section, wanted a name such as {nearest(name)}")
            tree.setdefault(section, {})
            if not isinstance(tree[section], dict):
                raise UserError(f"setting {name!r}: unknown, the nearest valid name is {nearest(name)}")
            tree[section][key] = value
        return from_dict(tree)


# name -> class
_SECTIONS: dict[str, typing.Any] = {f.name: f.default_factory for f in dataclasses.fields(Config) if f.name != "preset"}
# settings of where a run happens, on which its result does not depend
PLACE = ("data.folder", "data.workers", "training.device")


def differences(one: Config, other: Config, leave_out: tuple[str, ...] = PLACE) -> list[str]:
    """Names of the settings in which two configs differ."""
    return [name for name in names() if name not in leave_out and one.value(name) != other.value(name)]


def names() -> list[str]:
    """All dotted field names, e.g. `training.epochs`."""
    return [f"{s}.{f.name}" for s, cls in _SECTIONS.items() for f in dataclasses.fields(cls)]


def nearest(name: str) -> str:
    """The valid name most like a wrong one: of the same field, of these initials (lr), else the nearest spelling."""
    section, _, leaf = name.rpartition(".")
    inside = [n for n in names() if n.startswith(f"{section}.")] or names()
    for group in (inside, names()):
        fields = {n: n.split(".")[1] for n in group}
        same = [n for n, field in fields.items() if field == leaf]
        initials = [n for n, field in fields.items() if "".join(word[0] for word in field.split("_")) == leaf]
        if same or initials:
            return (same or initials)[0]
    return difflib.get_close_matches(name, inside, n=1, cutoff=0.0)[0]


def cast(name: str, kind: type, value: object) -> typing.Any:
    """`value` as the type `kind`; text from the command line is understood, nothing is guessed."""
    wrong = UserError(f"{name}: got {_shown(value)}, wanted {getattr(kind, '__name__', kind)}")
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        parts = [p for p in value.replace(" ", "").split(",") if p] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise UserError(f"{name}: got {_shown(value)}, wanted a list of {item.__name__} values separated by commas")
        return tuple(cast(name, item, part) for part in parts)
    if kind is bool:
        lookup = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in lookup:
            return lookup[value.lower()]
        raise wrong
    if kind is str:
        if not isinstance(value, str):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise wrong from None
    if number != number or number in (float("inf"), float("-inf")):
        raise wrong
    if kind is int:
        if number != int(number):
            raise wrong
        return int(number)
    return number


def from_dict(tree: dict, source: str = "config") -> Config:
    """A checked Config from nested dictionaries, as `Config.to_dict` writes them.

    Raises:
        UserError: for unknown names, wrong types, values out of range and contradictions.
    """
    if not isinstance(tree, dict):
        raise UserError(
            f"{source}: got {type(tree).__name__}, wanted an object with the sections {', '.join(_SECTIONS)}"
        )
    parts = {}
    for section, values in tree.items():
        if section == "preset":
            parts["preset"] = cast("preset", str, values)
            continue
        if section not in _SECTIONS:
            raise UserError(f"{source}: unknown section {_shown(section)}, wanted one of {', '.join(_SECTIONS)}")
        if not isinstance(values, dict):
            raise UserError(f"{source}: section {section!r}: got {type(values).__name__}, wanted an object")
        kinds = typing.get_type_hints(_SECTIONS[section])
        for key in values:
            if key not in kinds:
                near = nearest(f"{section}.{key}")
                raise UserError(f"{source}: unknown name {section}.{key[:100]}, the nearest valid name is {near}")
        read = {key: cast(f"{section}.{key}", kinds[key], value) for key, value in values.items()}
        parts[section] = _SECTIONS[section](**read)
    return Config(**parts)


def load(path: str | Path) -> Config:
    """Read a config that `Config.save` wrote."""
    return from_dict(read_json(path), str(path))


# Presets. `f30k` and `coco` are the paper's settings; the others are choices of this project, scaled to their data.
PRESETS: dict[str, dict] = {
    "f30k": {},
    "coco": {
        "data": {"test_split": "testall", "folds": 5},
        "graph": {"relevance_weight": 1.5},
        "loss": {"cutoff": 1.9},
        "training": {"batch_size": 256},
    },
    # Flickr8k photographs with 12 x 512 features, 234 steps an epoch. A BiGRU on little data wants a larger
    # rate and a softer law of negatives (small n) than BERT on the full data; both were chosen on dev
    # graph.matching stays as released: dev of the photographs has 250.6 with cosine, 250.8 with scan (f8k-power-short)
    "f8k": {
        "model": {"embed_dim": 256, "text_encoder": "bigru"},
        "loss": {"sampling_dim": 64},
        "training": {"learning_rate": 2e-3, "epochs": 6, "decay_epochs": [4], "warmup_steps": 470},
    },
    # the drawn sample world: 5,000 pairs of 12 x 96 features, 39 steps an epoch; small enough for a laptop
    "sample": {
        "model": {"embed_dim": 128, "text_encoder": "bigru", "heads": 8, "word_dim": 128, "min_word_count": 1},
        "graph": {"top_matches": 6},
        "loss": {"sampling_dim": 64},
        "training": {"learning_rate": 2e-3, "epochs": 12, "decay_epochs": [8, 10], "warmup_steps": 200},
        "sampling": {"neighbor_epoch": 9},
    },
}


def preset(name: str) -> Config:
    """The preset called `name` (`sample`, `f8k`, `f30k` or `coco`)."""
    if name not in PRESETS:
        raise UserError(f"preset: got {name!r}, wanted one of {', '.join(PRESETS)}")
    return from_dict({"preset": name, **PRESETS[name]})
