"""Pre-trained text encoders of `transformers`: BERT as in the paper (Sec 3.1), and others.

What a folder or the hub holds is read, never run: weights as tensors, no code of a checkpoint's own.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hrem_lib.errors import UserError, brief
from hrem_lib.text import LIMIT, VOCABULARY_FILE, Tokenizer, Tokens, Vocabulary, WordPiece

# A BERT small enough for a laptop, with random weights: for offline work, not for results
SMALL_BERT: dict[str, Any] = dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256,
                  max_position_embeddings=512)  # fmt: skip


def make_bert(
    name: str, vocabulary_size: int, bert_config: dict | None = None, setting: str = "model.bert"
) -> nn.Module:
    """BERT or another text encoder through `transformers`; of a model with several towers (CLIP, SigLIP) the text's.

    Args:
        name: folder or hub name; "small" is a small BERT with random weights
        vocabulary_size: of the tokenizer, checked against the model's
        bert_config: build from this configuration with random weights (a saved run restores its own weights)
        setting: what `name` was given as
    Raises:
        UserError: the checkpoint cannot be read, lacks weights, does not fit the vocabulary, or is no text encoder.
    """
    from transformers import AutoConfig, AutoModel, BertConfig, BertModel  # seconds to import: only where needed

    if bert_config is not None:
        try:
            known = dict(bert_config)
            layers = int(known.get("num_hidden_layers", known.get("n_layers", 12)))
            if layers > 1000:
                raise ValueError(f"{layers} layers")
            with loading():
                settings = _without_kernels(AutoConfig.for_model(known.pop("model_type", "bert"), **known))
                kind = _model_class(settings)
                model = kind.from_config(settings, trust_remote_code=False) if kind is AutoModel else kind(settings)
                return _without_head(model)
        except Exception as error:  # transformers checks little, and wrong values fail anywhere
            raise UserError(
                f"BERT configuration: not usable ({brief(error)}), wanted that of a BERT-type model"
            ) from None
    if name == "small" and setting == "model.bert":
        return _without_head(BertModel(BertConfig(vocab_size=vocabulary_size, **SMALL_BERT)))
    settings = read_settings(name, setting)
    try:
        # trust_remote_code: else a folder that brings code of its own asks at the terminal whether to run it
        with loading():
            model, report = _model_class(settings).from_pretrained(
                name, config=settings, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
    except Exception as error:  # a damaged or hostile folder can fail anywhere
        raise _unreadable(name, setting, error) from None
    missing = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
    if missing:
        raise UserError(f"{setting}: {name!r} lacks {len(missing)} weights, the first is {missing[0]}")
    if settings.vocab_size < vocabulary_size:
        raise UserError(
            f"{setting}: {name!r} has {settings.vocab_size} word vectors, the tokenizer {vocabulary_size} pieces"
        )
    if setting != "model.bert":
        _check_padding(model, f"{setting}: {name!r} ({settings.model_type})")
    return _without_head(model)


def read_settings(name: str, setting: str) -> Any:
    """The configuration of a text encoder; of a model with several towers that of the text's.

    Raises:
        UserError: it cannot be read, or is that of a decoder or of an encoder with a decoder.
    """
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto as auto

    try:
        with loading():
            settings = AutoConfig.from_pretrained(name, trust_remote_code=False).get_text_config()
    except Exception as error:
        raise _unreadable(name, setting, error) from None
    kind = settings.model_type
    if settings.is_encoder_decoder:
        raise UserError(f"{setting}: {name!r} is {kind}, an encoder with a decoder, wanted an encoder alone")
    if kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise UserError(f"{setting}: {name!r} is {kind}, which writes text (a decoder), wanted an encoder")
    return _without_kernels(settings)


def _unreadable(name: str, setting: str, error: Exception) -> UserError:
    small = ', or "small"' if setting == "model.bert" else ""
    return UserError(
        f"{setting}: {name!r} could not be read ({brief(error)}); wanted a folder with the checkpoint of a text "
        f"encoder, a hub name that can be reached{small}"
    )


def _without_kernels(settings: Any) -> Any:
    """The usual attention: a configuration could name one of the hub's, which is code."""
    settings._attn_implementation = None
    return settings


def _model_class(settings: Any) -> Any:
    """AutoModel, which does not know the text towers of SigLIP."""
    import transformers

    towers = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
    return getattr(transformers, towers.get(settings.model_type, "AutoModel"))


def _check_padding(model: nn.Module, what: str) -> None:
    """Refuse a model that wants more than ids and mask, or in which padding changes the words before it."""
    real = torch.tensor([[True] * 4 + [False] * 8, [True] * 12])
    ids = torch.arange(12) * real
    try:
        with torch.no_grad(), loading():
            padded = model(input_ids=ids, attention_mask=real.long()).last_hidden_state[0, :4]
            alone = model(input_ids=ids[:1, :4], attention_mask=real[:1, :4].long()).last_hidden_state[0]
    except Exception as error:  # whatever such a model raises
        raise UserError(f"{what} does not take ids and mask alone ({brief(error)}), wanted a text encoder") from None
    if not torch.allclose(padded, alone, rtol=1e-3, atol=1e-3):
        raise UserError(f"{what} gives a caption another embedding where it is padded, wanted one that takes a mask")


def freeze(bert: nn.Module, layers: int) -> None:
    """Stop the lower part of a text encoder from learning: its embeddings and its first `layers` layers.

    Args:
        layers: 0 for none, -1 for all of it
    Raises:
        UserError: it has fewer layers, or none of its own (ALBERT, whose layers share their weights).
    """
    if layers <= 0:
        bert.requires_grad_(layers == 0)
        return
    settings: Any = bert.config
    count = settings.num_hidden_layers
    stacks = [name for name, m in bert.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not stacks or layers > count:
        raise UserError(f"model.freeze_layers: got {layers}, wanted at most {count if stacks else 0}, or -1 for all")
    upper = [f"{stacks[0]}.{i}." for i in range(layers, count)]
    for name, parameter in bert.named_parameters():
        # a closing norm learns, what all layers share (positions in MPNet and DeBERTa) does not
        parameter.requires_grad_(name.startswith(("final", *upper)))


# their positions begin after the padding's
_OFFSET = re.compile("roberta|camembert|mpnet|longformer|data2vec-text|xmod|luke")


class AnyTokenizer:
    """The tokenizer of any checkpoint of `transformers`: its own special tokens, words as it tells them apart.

    Augmentation puts the mask token in the place of a word; where a tokenizer has none, the unknown token (SigLIP), and
    where that is one of those around a caption, the piece of a full stop (CLIP).
    """

    def __init__(self, source: str | Path, limit: int = LIMIT, saved: bool = False):
        """`source`: a folder or a hub name, or, with `saved`, a folder that `save` wrote.

        `limit`: most pieces of a caption, special tokens included; smaller if tokenizer or model want fewer.

        Raises:
            UserError: no text encoder, or a tokenizer that does not tell words apart or puts nothing around a caption.
        """
        where = str(source) if saved else f"model.text_model: {str(source)!r}"
        settings = None if saved else read_settings(str(source), "model.text_model")
        positions = getattr(settings, "max_position_embeddings", None) or limit
        if settings and _OFFSET.search(settings.model_type):
            positions -= (settings.pad_token_id or 0) + 1
        try:
            with loading():
                self._tokenizer = tokenizer = _read_tokenizer(str(source), saved)
            self.limit = tokenizer.model_max_length = min(limit, positions, int(tokenizer.model_max_length))
            self._backend = backend = tokenizer.backend_tokenizer
            backend.no_padding()
            backend.enable_truncation(self.limit)
            backend.encode_special_tokens = True  # "[MASK]" in a caption is text
            self._apart = len({*backend.encode("a b", add_special_tokens=False).word_ids}) > 1
            vocabulary, around = backend.get_vocab(), backend.encode("").ids
            unknown, stop = tokenizer.unk_token_id, backend.encode(".", add_special_tokens=False).ids
            stand_ins = [tokenizer.mask_token_id, None if unknown in around else unknown, *stop]
            self.mask_id = next(i for i in stand_ins if i is not None)
            self.size = max(vocabulary.values()) + 1
        except Exception as error:  # a damaged folder, or the hub's client: many kinds
            raise UserError(
                f"{where}: got no tokenizer that tells words apart ({brief(error)}), wanted one with tokenizer.json"
            ) from None
        # the longest run of ids without specials and unused places
        barred = {i for piece, i in vocabulary.items() if re.fullmatch(r"[\[<]unused\d+[\]>]", piece)}
        edges = [-1, *sorted(barred.union(tokenizer.all_special_ids)), self.size]
        runs = [(low + 1, high) for low, high in itertools.pairwise(edges)]
        self.random_range = low, high = max(runs, key=lambda run: run[1] - run[0])
        if high - low < 10:  # what transformers makes up where there is none
            raise UserError(f"{where}: got no tokenizer but {self.size} special pieces, wanted one with tokenizer.json")
        if not around or self.limit <= len(around):
            raise UserError(
                f"{where}: got a tokenizer with {len(around)} special tokens around a caption of at most {self.limit} "
                "pieces, wanted at least one, and room for others"
            )

    def encode(self, captions: Sequence[str]) -> Tokens:
        """Pieces and special tokens of each caption, cut to `limit`; those that close it are kept."""
        ids, word_index, offsets = [], [], [0]
        for start in range(0, len(captions), 10_000):  # an encoding is many times as large as its ids
            part = list(captions[start : start + 10_000])
            for caption, encoding in zip(part, self._backend.encode_batch(part), strict=True):
                ids += encoding.ids
                word_index += self._words(caption, encoding)
                offsets.append(len(ids))
        return Tokens(np.array(ids, np.int32), np.array(word_index, np.int32), np.array(offsets, np.int64))

    def _words(self, caption: str, encoding: Any) -> list[int]:
        """The word of each piece; between spaces for a tokenizer that takes a caption for one word (SigLIP 2)."""
        if self._apart:
            return [-1 if word is None else word for word in encoding.word_ids]
        begins = [one.isspace() > two.isspace() for one, two in itertools.pairwise(f" {caption}")]
        number = np.cumsum([0, *begins])  # of words begun before each place
        spans = zip(encoding.word_ids, encoding.offsets, strict=True)
        return [-1 if word is None else max(int(number[end]), 1) - 1 for word, (_, end) in spans]

    def known_words(self, caption: str) -> dict[str, bool]:
        """The words between spaces, those of punctuation left out, and whether each has pieces without the unknown."""
        words = (w for w in caption.split() if not all(unicodedata.category(c).startswith("P") for c in w))
        pieces = {word: self._backend.encode(word, add_special_tokens=False).ids for word in words}
        return {word: bool(ids) and self._tokenizer.unk_token_id not in ids for word, ids in pieces.items()}

    def decode(self, ids: Iterable[int]) -> str:
        """One caption in a line, without special tokens."""
        text = self._backend.decode([int(i) for i in ids], skip_special_tokens=True)
        return text.replace("</w>", " ").strip()  # CLIP's end of a word

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._tokenizer.save_pretrained(str(folder))
        (Path(folder) / "vocab.txt").unlink(missing_ok=True)  # by it `load_text` knows a `WordPiece`


def _read_tokenizer(source: str, saved: bool) -> Any:
    """The one that AutoTokenizer makes; for a run and for SigLIP, whose own is slow, what tokenizer.json says."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # slow to import

    if not saved:
        with suppress(ImportError):  # SigLIP's own wants sentencepiece
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            kind = type(tokenizer).__name__
            if tokenizer.is_fast:
                return tokenizer
            if kind != "SiglipTokenizer":
                raise ValueError(f"{kind} is a slow one")
    return PreTrainedTokenizerFast.from_pretrained(source, trust_remote_code=False)


def load_text(folder: str | Path) -> Tokenizer:
    """The text side saved in `folder`: `Vocabulary`, `WordPiece` or `AnyTokenizer`, by the files that are there.

    Raises:
        UserError: if none is there.
    """
    if (Path(folder) / VOCABULARY_FILE).is_file():
        return Vocabulary.load(folder)
    if (Path(folder) / "vocab.txt").is_file():
        return WordPiece.load(folder)
    if not (Path(folder) / "tokenizer.json").is_file():
        raise UserError(f"{folder}: got no {VOCABULARY_FILE}, tokenizer.json or vocab.txt, wanted one of them")
    return AnyTokenizer(folder, saved=True)


@contextmanager
def loading() -> Iterator[None]:
    """Around what `transformers` loads: no bars and notes beside what we say ourselves, and no code of a folder's own.

    `trust_remote_code=False` does not reach a part within a model (a detector's backbone): without time to answer,
    its question at the terminal is a refusal.
    """
    from transformers import dynamic_module_utils
    from transformers.utils import logging

    logging.disable_progress_bar()
    level, patience = logging.get_verbosity(), dynamic_module_utils.TIME_OUT_REMOTE_CODE
    logging.set_verbosity(logging.CRITICAL)  # pyright: ignore[reportPrivateImportUsage]  # Python's logging has it
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        logging.set_verbosity(level)
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = patience


def _without_head(bert: nn.Module) -> nn.Module:
    """Pooler and head (SigLIP) take no part here: weights that never learn would only fill optimizer and files."""
    if getattr(bert, "pooler", None) is not None:
        bert.pooler = None  # pyright: ignore[reportArgumentType]  # a part may be None
    if isinstance(getattr(bert, "head", None), nn.Linear):
        bert.head = nn.Identity()
    return bert
