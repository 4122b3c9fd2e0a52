"""A small model with random weights, and its tokenizer, of each family of text encoders: `save(family, folder)`."""

from __future__ import annotations

import json
from pathlib import Path

import tiny
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = [
    "a red cat and a blue dog, and a green horse.",
    "A kite; a boat and a tree! The house by the road, and a ball",
    " and a ".join(tiny.WORDS),
]
BYTES = pre_tokenizers.ByteLevel.alphabet()
LIMIT = 40  # pieces of a caption
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _around(tokenizer: Tokenizer, start: str, end: str) -> Tokenizer:
    names = [name for name in (start, end) if name]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(filter(None, (start, "$A", end))), special_tokens=[(n, tokenizer.token_to_id(n)) for n in names]
    )
    return tokenizer


def _word_piece(pad: str, unknown: str, start: str, end: str, mask: str) -> tuple[Tokenizer, dict]:
    special = [start, pad, end, unknown, mask] if start == "<s>" else [pad, unknown, start, end, mask]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *".,;!", *tiny.WORDS]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = dict(pad_token=pad, unk_token=unknown, cls_token=start, sep_token=end, mask_token=mask)
    return _around(tokenizer, start, end), names


def _byte_level(special: str) -> tuple[Tokenizer, dict]:
    start, pad, end, unknown, mask = special.split()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=270, special_tokens=special.split(), initial_alphabet=BYTES, show_progress=False)  # fmt: skip # noqa: E501
    tokenizer.train_from_iterator(TEXT, trainer)
    names = dict(pad_token=pad, unk_token=unknown, cls_token=start, sep_token=end, mask_token=mask)
    return _around(tokenizer, start, end), names


def _unigram(start: str, pad: str, end: str, unknown: str, mask: str) -> tuple[Tokenizer, dict]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = [name for name in (start, pad, end, unknown, mask) if name]
    trainer = trainers.UnigramTrainer(vocab_size=50, special_tokens=special, unk_token=unknown, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    names = dict(pad_token=pad, unk_token=unknown, cls_token=start, sep_token=end, mask_token=mask)
    if not start:
        names = dict(pad_token=end, unk_token=unknown, eos_token=end)
    return _around(tokenizer, start, end), names


def _clip() -> tuple[Tokenizer, dict]:
    """Its special tokens are the last of the vocabulary, and the closing one is the unknown one, too."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    words = pre_tokenizers.Split(Regex(CLIP_WORDS), "removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=BYTES, end_of_word_suffix="</w>", show_progress=False)  # fmt: skip # noqa: E501
    tokenizer.train_from_iterator(TEXT, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = learned["vocab"] | {start: len(learned["vocab"]), end: len(learned["vocab"]) + 1}
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer.model = models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=end)
    return _around(tokenizer, start, end), dict(bos_token=start, eos_token=end, unk_token=end, pad_token=end)


def _gemma() -> tuple[Tokenizer, dict]:
    """Spaces become letters before words are cut: all of a caption is one word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = [word for line in TEXT for word in line.replace(" ", " \u2581").split(" ")]
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    names = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>")
    return _around(tokenizer, "", "<eos>"), names


def _encoder(kind: str, **more):
    """`kind` of transformers with `SIZES` and `more`."""

    def make(size: int) -> torch.nn.Module:
        config = getattr(transformers, f"{kind}Config")(**{"vocab_size": size, "max_position_embeddings": LIMIT, **SIZES, **more})  # fmt: skip # noqa: E501
        return getattr(transformers, f"{kind}Model")(config)

    return make


def _towers(kind: str):
    """A model with the two towers of CLIP or SigLIP."""

    def make(size: int) -> torch.nn.Module:
        pictures = dict(**SIZES, image_size=8, patch_size=4, projection_dim=16)
        words = dict(**SIZES, vocab_size=size, max_position_embeddings=LIMIT, projection_dim=16, projection_size=16,
                     bos_token_id=size - 2, eos_token_id=size - 1, pad_token_id=1)  # fmt: skip
        config = getattr(transformers, f"{kind}Config")(text_config=words, vision_config=pictures, projection_dim=16)
        return getattr(transformers, f"{kind}Model")(config)

    return make


BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = "<s> <pad> </s> <unk> <mask>"
AFTER_PADDING = dict(max_position_embeddings=LIMIT + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2)
RELATIVE = dict(relative_attention=True, pos_att_type=["c2p", "p2c"], position_biased_input=False, type_vocab_size=0)
T5 = dict(d_model=16, num_layers=1, num_heads=2, d_kv=8, d_ff=16)
BART = dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=8, decoder_ffn_dim=8)  # fmt: skip
# name in the table of docs/usage.md -> tokenizer, the name of its class in transformers, model
WORKING = {
    "BERT": (lambda: _word_piece(*BERT), "BertTokenizer", _encoder("Bert")),
    "DistilBERT": (lambda: _word_piece(*BERT), "DistilBertTokenizer",
                   _encoder("DistilBert", dim=16, n_layers=2, n_heads=2, hidden_dim=24)),
    "ELECTRA": (lambda: _word_piece(*BERT), "ElectraTokenizer", _encoder("Electra", embedding_size=8)),
    "MPNet": (lambda: _word_piece("<pad>", "[UNK]", "<s>", "</s>", "<mask>"), "MPNetTokenizer",
              _encoder("MPNet", **AFTER_PADDING)),
    "RoBERTa": (lambda: _byte_level(ROBERTA), "RobertaTokenizer", _encoder("Roberta", **AFTER_PADDING)),
    "XLM-R": (lambda: _unigram(*ROBERTA.split()), "XLMRobertaTokenizer", _encoder("XLMRoberta", **AFTER_PADDING)),
    "multilingual MiniLM": (lambda: _unigram(*ROBERTA.split()), "XLMRobertaTokenizer", _encoder("Bert")),
    "ModernBERT": (lambda: _byte_level("[CLS] [PAD] [SEP] [UNK] [MASK]"), "PreTrainedTokenizerFast",
                   _encoder("ModernBert", pad_token_id=1, bos_token_id=0, eos_token_id=2, cls_token_id=0,
                            sep_token_id=2, local_attention=4, global_attn_every_n_layers=2,
                            embedding_dropout=0.1, attention_dropout=0.1)),
    "DeBERTa": (lambda: _byte_level("[CLS] [PAD] [SEP] [UNK] [MASK]"), "DebertaTokenizer",
                _encoder("Deberta", **RELATIVE)),
    "DeBERTa v2, v3": (lambda: _unigram("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"), "DebertaV2Tokenizer",
                       _encoder("DebertaV2", **RELATIVE, norm_rel_ebd="layer_norm", position_buckets=8)),
    "CLIP": (_clip, "CLIPTokenizer", _towers("CLIP")),
    "SigLIP": (lambda: _unigram("", "<pad>", "</s>", "<unk>", ""), "SiglipTokenizer", _towers("Siglip")),
    "SigLIP 2": (_gemma, "GemmaTokenizer", _towers("Siglip")),
}  # fmt: skip
REFUSED = {
    "T5": (lambda: _unigram("", "<pad>", "</s>", "<unk>", ""), "T5Tokenizer", _encoder("T5", **T5)),
    "BART": (lambda: _byte_level(ROBERTA), "BartTokenizer", _encoder("Bart", **BART)),
    "GPT-2": (lambda: _byte_level(ROBERTA), "GPT2Tokenizer", _encoder("GPT2", n_embd=16, n_layer=1, n_head=2)),
    "FNet": (lambda: _unigram(*ROBERTA.split()), "PreTrainedTokenizerFast",
             _encoder("FNet", tpu_short_seq_length=LIMIT)),
}  # fmt: skip


def save(family: str, folder: Path, limit: int | None = LIMIT) -> Path:
    """Write model and tokenizer into `folder`; `limit` None: the tokenizer names none, as some on the hub."""
    make, kind, model = (WORKING | REFUSED)[family]
    backend, names = make()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    torch.manual_seed(0)
    model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"tokenizer_class": kind}
    if limit:
        settings["model_max_length"] = limit
    path.write_text(json.dumps(settings))
    return folder
