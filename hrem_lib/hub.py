"""Runs on the Hugging Face hub: the files of one go up with a card made from them, and come down again.

A run is a folder, so the hub's `upload_folder` and `snapshot_download` fit: one commit, no file beside those named in
FILES, a cache that works offline. The hub's mixin does not: it wants to build the module itself, writes a config.json
of its own over the run's, and knows nothing of the text side or of checksums.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hrem_lib import __version__, checkpoints, data
from hrem_lib import config as configs
from hrem_lib.checkpoints import CONFIG, MODEL, Run
from hrem_lib.errors import UserError, brief
from hrem_lib.files import read_json, read_tensors, write_bytes, write_json, write_tensors
from hrem_lib.metrics import DIRECTIONS, RECALLS

METRICS, CARD, BERT = "metrics.json", "README.md", "bert_config.json"
WORDS, PIECES = (
    ("vocabulary.json",),
    ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
)
# all that comes down; the card goes up, too. Never the training state, and no format that can hold code
FILES = (CONFIG, METRICS, MODEL, BERT, *WORDS, *PIECES)
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
ASKED = {"i2t": "picture asks, captions answer", "t2i": "caption asks, pictures answer"}


def is_name(source: object) -> bool:
    """Whether `source` means a run on the hub: a word ORG/NAME, and no such folder is here."""
    return isinstance(source, str) and bool(NAME.fullmatch(source)) and not Path(source).exists()


# down


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder, in the hub's cache, with the files of the run `name`; without a network what was loaded before.

    Args:
        name: ORG/NAME
        revision: branch, tag or commit; None: the newest
    Raises:
        UserError: no such run, none that this login may read, no network, or no room.
    """
    from huggingface_hub import errors, snapshot_download  # a second to import: only where needed

    try:
        folder = snapshot_download(
            name, revision=revision, allow_patterns=list(FILES), library_name="hrem", library_version=__version__
        )
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: got revision {revision}, wanted a branch, tag or commit of it") from None
    except errors.GatedRepoError:
        raise UserError(f"{name}: got no access, wanted its terms agreed to on the hub's page, and a login") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{name}: neither a folder here nor a repository on the hub (or a private one), wanted a run's folder, or "
            "ORG/NAME of one that `hf auth login` may read"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        at = f" at revision {revision}" if revision else ""
        raise UserError(
            f"{name}: not a folder here, and the hub could not be reached, wanted a run's folder, a network, or a run "
            f"that was loaded{at} before"
        ) from None
    except Exception as error:  # the hub's client raises many kinds
        raise UserError(f"{name}: could not be loaded from the hub ({brief(error)}), wanted a run's files") from None
    return Path(folder)


def load_run(name: str, revision: str | None = None, device: torch.device | str = "cpu") -> tuple[Run, Path]:
    """`checkpoints.load_run` for a run on the hub, and its folder in the hub's cache.

    The files may be a stranger's: only JSON, text and safetensors are read, none may ask for code, and a path in the
    config is not followed.

    Raises:
        UserError: as `fetch`; a file is missing, damaged or does not fit the others.
    """
    folder = fetch(name, revision)
    try:
        _check_files(folder)
        run = checkpoints.load_run(folder, device)
    except UserError as error:
        raise UserError(f"{name} on the hub: {error}; wanted the files of a run as hrem push writes them") from None
    return run._replace(config=checkpoints.without_paths(run.config)), folder


def _check_files(folder: Path) -> None:
    for name in (CONFIG, MODEL):
        if not (folder / name).is_file():
            raise UserError(f"got no {name}")
    if configs.load(folder / CONFIG).model.text_encoder == "bigru":
        if not (folder / WORDS[0]).is_file():
            raise UserError(f"got no {WORDS[0]}")
        return
    if not (folder / BERT).is_file():  # without it the name in the config would be looked up
        raise UserError(f"got no {BERT}")
    if not any((folder / name).is_file() for name in PIECES[::3]):
        raise UserError(f"got no {PIECES[0]}")
    # these have transformers fetch and run code from the hub
    asks = re.search(r'"(auto_map|\w*implementation|quantization\w*)": (?!null)', json.dumps(read_json(folder / BERT)))
    if asks:
        raise UserError(f"{BERT}: got {asks[1]}, which can run code")


# up


class Pushed(NamedTuple):
    """What went up, or would."""

    card: str
    files: dict[str, int]  # name -> bytes
    url: str | None  # None: a dry run


class About(NamedTuple):
    """What the card says and the run's files do not know."""

    license: str | None = None  # the hub's id, e.g. "mit", "cc-by-4.0"
    dataset: str | None = None  # the hub's id of the data
    language: str = "en"  # of the captions, ISO 639
    network: str | None = None  # that made the features
    regions: int | None = None  # R of these


def push(folder: str | Path, name: str, about: About, private: bool = False, dry_run: bool = False) -> Pushed:
    """Put a finished run on the hub, with its card. Nothing is written into the run's folder, and nothing is asked.

    What was there under `name` is replaced in one commit; older ones stay in its history.

    Args:
        folder: run folder
        name: ORG/NAME
        about: for the card
        private: for the owner's eyes; False: as the owner's settings say, usually public
        dry_run: make the card and the files, send nothing
    Raises:
        UserError: not a finished run, a bad name or license, no login, no network, no right to write there; `private`,
            and a public repository is there.
    """
    with tempfile.TemporaryDirectory() as place:
        card = prepare(Path(folder), Path(place), name, about)
        files = {path.name: path.stat().st_size for path in sorted(Path(place).iterdir())}
        return Pushed(card, files, None if dry_run else _upload(Path(place), name, private))


def _upload(place: Path, name: str, private: bool) -> str:
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise UserError("the hub: got no login, wanted `hf auth login` with a token that may write (or HF_TOKEN set)")
    with _said(name):
        api = HfApi(library_name="hrem", library_version=__version__)
        api.create_repo(name, private=private or None, exist_ok=True)
        public = private and not api.model_info(name).private
    if public:
        raise UserError(f"{name}: got a public repository that is there already, wanted a private or a new one")
    with _said(name):
        # what is ours and not in this run (the other text side, say) goes: it would be read with the new files
        found = api.upload_folder(
            repo_id=name, folder_path=place, delete_patterns=list(FILES), commit_message="A run of hrem"
        )
    return found.commit_url


@contextmanager
def _said(name: str) -> Iterator[None]:
    """The hub's refusals in one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UserError(f"{name}: the hub refused the login, wanted a token that may write there") from None
        raise UserError(f"{name}: the hub refused it ({brief(error)}), wanted a place to write a run") from None
    except Exception as error:  # the hub's client raises many kinds
        raise UserError(f"{name}: could not be sent ({brief(error)}), wanted a network and the hub in reach") from None


def prepare(run: Path, out: Path, name: str, about: About) -> str:
    """Write what goes up into the empty folder `out`, without the paths of this machine; returns the card.

    Raises:
        UserError: as `push`.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name}: wanted a name on the hub, ORG/NAME")
    for what, value in (("license", about.license), ("language", about.language)):
        if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", value):
            raise UserError(f"{what}: got {value!r}, wanted the hub's id, e.g. {'mit' if what == 'license' else 'en'}")
    if about.dataset is not None and not NAME.fullmatch(about.dataset):
        raise UserError(f"dataset: got {about.dataset!r}, wanted its name on the hub, ORG/NAME")
    metrics = _metrics(run)
    config = checkpoints.load_config(run)
    shown = _data_name(config)
    tensors, info = read_tensors(run / MODEL)
    if info.get("epoch", metrics["epoch"]) != metrics["epoch"]:
        raise UserError(f"{run}: got weights of epoch {info['epoch']} and figures of epoch {metrics['epoch']}, "
                        "wanted a finished run")  # fmt: skip
    write_tensors(out / MODEL, tensors, {"epoch": metrics["epoch"]})
    write_json(out / CONFIG, checkpoints.without_paths(config).to_dict())
    write_json(out / METRICS, _pathless(metrics))
    for part in (BERT, *WORDS, *PIECES):
        if not (run / part).is_file():
            continue
        if part in (BERT, "tokenizer_config.json"):  # the others hold words, of which one may look like a path
            write_json(out / part, _pathless(read_json(run / part)))
        else:
            write_bytes(out / part, (run / part).read_bytes())
    made = checkpoints.load_run(out)  # what goes up can be loaded
    text = card(made, metrics, name, shown, about)
    write_bytes(out / CARD, text.encode())
    return text


def _metrics(run: Path) -> dict:
    if not run.is_dir():
        raise UserError(f"{run}: not found, wanted the folder of a finished run")
    if not (run / METRICS).is_file():
        raise UserError(f"{run}: got no {METRICS}, wanted a finished run")
    metrics = read_json(run / METRICS)
    wanted = ("seed", "epoch", "selected_on", "dev", "test", "versions")
    if not isinstance(metrics, dict) or set(wanted) - set(metrics):
        raise UserError(f"{run / METRICS}: not the figures of a run, wanted {', '.join(wanted)}")
    return metrics


def _data_name(config: configs.Config) -> str:
    """The data folder's own name; where its parent was given and is here, that of the folder in it."""
    if not config.data.folder:
        return "sample_precomp"
    try:
        return data.find_folder(config.data.folder, ()).resolve().name
    except UserError:
        return checkpoints.without_paths(config).data.folder


def _pathless(value: Any) -> Any:
    """JSON in which a whole path is its last name alone."""
    if isinstance(value, dict):
        return {key: _pathless(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_pathless(inside) for inside in value]
    whole = isinstance(value, str) and re.match(r"[/\\~].|[A-Za-z]:[/\\]|file:", value)
    return checkpoints.last_name(value) if whole else value


# the card


def card(run: Run, metrics: dict, name: str, data_name: str, about: About) -> str:
    """The model card: the hub's front matter, then text; each number comes from the run's files.

    Args:
        run, metrics: as they go up
        name: ORG/NAME
        data_name: of the data folder
        about: what the files do not know
    """
    from huggingface_hub import EvalResult, ModelCardData

    test = metrics["test"]
    results = [
        EvalResult(
            task_type="image-text-retrieval", task_name="Image-text retrieval",
            dataset_type=about.dataset or data_name, dataset_name=data_name,
            dataset_split=run.config.data.test_split, metric_type=kind, metric_name=label, metric_value=round(value, 2),
        )
        for kind, label, value in _figures(test)
    ]  # fmt: skip
    front = ModelCardData(
        language=about.language, license=about.license, library_name="hrem", pipeline_tag="feature-extraction",
        tags=["hrem", "image-text-retrieval", "image-text-matching"], model_name=name.split("/")[1],
        datasets=[about.dataset] if about.dataset else None, eval_results=results,
    )  # fmt: skip
    return f"---\n{front.to_yaml(line_break=chr(10))}\n---\n\n{_text(run, metrics, name, _plain(data_name), about)}"


def _figures(split: dict) -> Iterator[tuple[str, str, float]]:
    for direction in DIRECTIONS:
        for k in RECALLS:
            yield f"recall_at_{k}", f"R@{k} {direction}", split[direction][f"R@{k}"]
    yield "rsum", "rSum, the sum of the six recalls", split["rSum"]


def _plain(text: str) -> str:
    """A folder's name without what Markdown would read."""
    return re.sub(r"[^\w .,()-]", "-", text)


def _between(value: float, interval: list[float] | None) -> str:
    return f"{value:.1f}" + (f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else "")


def _table(metrics: dict, test_split: str) -> str:
    lines = [f"| split | direction | {' | '.join(f'R@{k}' for k in RECALLS)} |", "|---|---|" + "---|" * len(RECALLS)]
    parts = [("dev", metrics["dev"]), (test_split, metrics["test"])]
    for split, found in list(parts):
        if isinstance(found.get("folds"), dict):
            parts.append((f"{split}, mean of {found['folds']['folds']} folds", found["folds"]))
    for split, found in parts:
        spans = found.get("intervals") or {}
        for direction in DIRECTIONS:
            span = spans.get(direction, {})
            cells = [_between(found[direction][f"R@{k}"], span.get(f"R@{k}")) for k in RECALLS]
            lines.append(f"| {split} | {direction} | {' | '.join(cells)} |")
        lines.append(f"| {split} | rSum | {_between(found['rSum'], spans.get('rSum'))} |{' |' * (len(RECALLS) - 1)}")
    return "\n".join(lines)


def _text(run: Run, metrics: dict, name: str, data_name: str, about: About) -> str:
    config, test, dev = run.config, metrics["test"], metrics["dev"]
    made = f', network="{checkpoints.public_name(about.network)}"' if about.network and config.data.folder else ""
    made += f", regions={about.regions}" if made and about.regions else ""
    network = f"`{checkpoints.public_name(about.network)}`" if about.network else "a network that the run does not name"
    pictures = '"photos/"' if about.network else "features"
    width = run.model.image_encoder.projection.fc.in_features
    millions = sum(p.numel() for p in run.model.parameters()) / 1e6
    intervals = test.get("intervals")
    known = config.preset in configs.PRESETS
    base = configs.preset(config.preset) if known else configs.Config()
    changed = [n for n in configs.differences(config, base) if n not in ("training.seed",)]
    settings = ", ".join(f"`{n}={config.value(n)}`" for n in changed) or "none"
    versions = ", ".join(f"{package} {number}" for package, number in metrics["versions"].items())
    lines = [
        f"# {name.split('/')[1]}",
        "",
        "Retrieval of pictures by sentences, and of captions by pictures: HREM, *Learning Semantic Relationship among "
        "Instances for Image-Text Matching* (Fu, Mao, Song, Zhang; CVPR 2023), trained with the library `hrem`.",
        "",
        "## Load it",
        "",
        "```python",
        "import hrem_lib as hrem",
        f'run = hrem.load("{name}"{made})',
        "```",
        "",
        f'Then `run.embed_texts(["a man riding a wave"]) @ run.embed_images({pictures}).T` are cosines. '
        "Only safetensors, JSON and text are read; no code comes with them.",
        "",
        "## Recalls",
        "",
        _table(metrics, config.data.test_split),
        "",
        f"In percent; i2t: {ASKED['i2t']}; t2i: {ASKED['t2i']}. dev has {dev['images']:g} pictures and "
        f"{dev['captions']:g} captions, {config.data.test_split} {test['images']:g} and {test['captions']:g}. "
        f"Epoch {metrics['epoch']} of {config.training.epochs} was selected on {metrics['selected_on']}"
        + ("" if metrics["selected_on"] == "dev" else ", which flatters the figures of that split")
        + ".",
    ]
    if intervals:
        lines.append(
            f"In brackets: {100 * intervals['level']:g} % intervals from {intervals['samples']} samples of the "
            f"pictures. This is one run (seed {metrics['seed']}); how much another seed changes is not in them."
        )
    lines += [
        "",
        "## Training",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data_name}"
        + (f" ([{about.dataset}](https://huggingface.co/datasets/{about.dataset}))" if about.dataset else "")
        + " |",
        f"| features of pictures | {width} numbers a region, made by {network} |",
        f"| text side | {config.model.text_encoder}, {run.text.size} ids |",
        f"| relation part | {config.graph.interaction} (training only: retrieval needs the two encoders) |",
        f"| size | {millions:.2f} M parameters, embeddings of width {config.model.embed_dim} |",
        f"| seed | {metrics['seed']} |",
        f"| preset | {_plain(config.preset)}; other than {'its' if known else 'the default'} settings: {settings} |",
        f"| versions | hrem {__version__} (when sent), {versions} |",
        "",
        "All settings are in `config.json`, all figures in `metrics.json`.",
        "",
        "## Intended use and limits",
        "",
        "It is for retrieval only: it puts captions and pictures in order, and neither writes captions nor answers "
        "questions.",
        f"It knows captions in the language it was trained on ({about.language}), and pictures through features of "
        f"{network} only.",
        f"The license of the data ({data_name}) holds for what was learned from them, beside the license of these "
        f"files ({about.license or 'not stated: ask the owner'}).",
    ]
    return "\n".join(lines) + "\n"
