"""Captions -> token ids, and the word augmentation of training (Sec 3.1).

Two encoders, `Vocabulary` (whole words, for the BiGRU) and `WordPiece` (for BERT), that training uses alike. Both know
which pieces belong to one word, since augmentation takes whole words. Padding is id 0; masks are True where real.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.files import read_json

SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")
SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LIMIT = 512  # ids of a caption, as many as BERT takes; attention grows with the square
VOCABULARY_FILE = "vocabulary.json"


@dataclass(frozen=True)
class Tokens:
    """All captions' ids one after the other: a batch is one indexed read.

    ids int32 [total]; word_index int32 [total]: 0, 1, 2.. for the pieces of each whole word of a caption, -1 for
    special tokens; offsets int64 [n + 1]: caption j is ids[offsets[j]:offsets[j + 1]].
    """

    ids: np.ndarray
    word_index: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each caption, int64 [n]."""
        return np.diff(self.offsets)

    def gather(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The captions `indices`, padded: ids [B,L] int64 (0), word_index [B,L] int64 (-1), mask [B,L] bool.

        Raises:
            IndexError: for an index outside 0..n-1.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"caption index {indices.min()}..{indices.max()} is outside 0..{len(self) - 1}")
        lengths = self.lengths[indices]
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]  # [B,L]
        places = np.where(mask, self.offsets[indices][:, None] + steps, 0)
        ids = np.where(mask, self.ids[places], 0).astype(np.int64)
        return ids, np.where(mask, self.word_index[places], -1).astype(np.int64), mask


def _pack(captions: Iterable[Sequence[Sequence[int]]], start: int, end: int, limit: int | None = None) -> Tokens:
    """Tokens from captions given as words, each a sequence of piece ids; start and end go around every caption."""
    ids, word_index, offsets = [], [], [0]
    for words in captions:
        pieces = [piece for word in words for piece in word]
        numbers = [number for number, word in enumerate(words) for _ in word]
        room = None if limit is None else limit - 2  # the end token is never cut off
        ids += [start, *pieces[:room], end]
        word_index += [-1, *numbers[:room], -1]
        offsets.append(len(ids))
    return Tokens(np.array(ids, np.int32), np.array(word_index, np.int32), np.array(offsets, np.int64))


# written without spaces: Han and kana, whose characters are words here, and Thai, whose words a dictionary tells
_HAN_KANA = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_THAI = "\u0e00-\u0e7f"
_UNSPACED = re.compile(f"[{_HAN_KANA}{_THAI}]")


@functools.cache
def _word_patterns() -> tuple[re.Pattern, re.Pattern]:
    """A word between spaces and punctuation, and the parts of a word that holds a script without spaces."""
    # marks are vowels in Hindi, Thai and others, but Python's \w leaves them out
    marks = "".join(chr(c) for c in range(0x10000) if unicodedata.category(chr(c)).startswith("M"))
    letter = rf"(?:[^\W_][{marks}]*)"
    parts = rf"[{_HAN_KANA}][{marks}]*|[{_THAI}]+|[^{_HAN_KANA}{_THAI}]+"
    return re.compile(rf"{letter}+(?:['\-]{letter}+)*"), re.compile(parts)


def split_words(caption: str) -> list[str]:
    """Lower-case words of a caption: letters, digits, inner apostrophes and hyphens; other punctuation is dropped.

    Each Han or kana character is a word; Thai is cut by PyThaiNLP's dictionary (choices of this project).

    Raises:
        UserError: Thai, and PyThaiNLP is not installed.
    """
    text = unicodedata.normalize("NFC", caption).lower().replace("\u2019", "'")
    word, parts = _word_patterns()
    words = word.findall(text)
    if not _UNSPACED.search(text):
        return words
    found = []
    for part in (part.strip("'-") for w in words for part in parts.findall(w)):
        found += _thai_words(part) if re.match(f"[{_THAI}]", part) else [part] if part else []
    return found


@functools.lru_cache(10_000)
def _thai_words(text: str) -> list[str]:
    try:
        from pythainlp.tokenize import word_tokenize  # an extra: only Thai captions need it
    except ImportError:
        # no fallback: a run's words must not depend on what is installed
        raise UserError(
            f"captions: got Thai ({text[:40]!r}), which is written without spaces, wanted the package pythainlp to cut "
            "it into words (pip install pythainlp)"
        ) from None
    return word_tokenize(text, engine="newmm", keep_whitespace=False)


class Tokenizer(Protocol):
    """Captions -> ids: words for the BiGRU (`Vocabulary`), pieces for BERT (`WordPiece`), for others `AnyTokenizer`."""

    mask_id: int  # what augmentation puts in the place of a word
    random_range: tuple[int, int]  # low <= id < high: what it draws in its place

    @property
    def size(self) -> int:
        """Number of ids, specials included."""
        ...

    def encode(self, captions: Sequence[str]) -> Tokens:
        """Ids of captions."""
        ...

    def known_words(self, caption: str) -> dict[str, bool]:
        """The words of a caption, and whether each is known."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Words of ids."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write what `pretrained.load_text` reads."""
        ...


class Vocabulary:
    """Word vocabulary of the BiGRU (Sec 3.1): <pad> 0, <start> 1, <end> 2, <unk> 3, then words by count.

    Built from training captions only, never dev or test. `random_range` is (low, high) with low <= id < high.
    """

    kind = "words"
    mask_id = 3  # <unk> stands for [MASK] in the augmentation
    special_ids = (0, 1, 2, 3)

    def __init__(self, words: Sequence[str]):
        """`words`: the ordinary words, in the order of their ids."""
        self.words = [*SPECIAL_WORDS, *words]
        self._id = {word: number for number, word in enumerate(self.words)}
        self.random_range = (len(SPECIAL_WORDS), len(self.words))

    @property
    def size(self) -> int:
        """Number of ids, specials included."""
        return len(self.words)

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> Vocabulary:
        """Vocabulary of the words seen at least `min_count` times, by count (most first), then alphabet.

        Raises:
            UserError: if no word is seen so often.
        """
        counts = Counter(word for caption in captions for word in split_words(caption))
        words = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        if not words:
            most = max(counts.values(), default=0)
            raise UserError(
                f"training captions: got no word seen more than {most} times, wanted at least one seen "
                f"model.min_word_count = {min_count} times"
            )
        return cls(words)

    def encode(self, captions: Sequence[str]) -> Tokens:
        """<start> words <end> for each caption, cut to LIMIT ids with <end> kept; unknown words are <unk>."""
        return _pack(([(self._id.get(w, 3),) for w in split_words(c)] for c in captions), start=1, end=2, limit=LIMIT)

    def known_words(self, caption: str) -> dict[str, bool]:
        """The words of a caption, and whether each has an id of its own."""
        return {word: word in self._id for word in split_words(caption)}

    def decode(self, ids: Iterable[int]) -> str:
        """Words of one caption in a line; <pad>, <start> and <end> are left out."""
        return " ".join(self.words[int(i)] for i in ids if int(i) > 2)

    def save(self, folder: str | Path) -> None:
        """Write `vocabulary.json`."""
        content = {"format": "hrem vocabulary", "version": 1, "words": self.words}
        path = Path(folder) / VOCABULARY_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Vocabulary:
        """Read `vocabulary.json`.

        Raises:
            UserError: if the file is missing, is not JSON, or is not a vocabulary.
        """
        path = Path(folder) / VOCABULARY_FILE
        content = read_json(path)
        words = content.get("words") if isinstance(content, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}: got no list of words, wanted a vocabulary")
        if tuple(words[:4]) != SPECIAL_WORDS:
            raise UserError(f"{path}: got first words {words[:4]}, wanted {list(SPECIAL_WORDS)}")
        twice = [word for word, n in Counter(words).items() if n > 1]
        if twice:
            raise UserError(f"{path}: got {twice[0]!r} more than once, wanted every word once")
        return cls(words[4:])


def glove_matrix(path: str | Path, vocabulary: Vocabulary, dim: int, seed: int) -> tuple[np.ndarray, int]:
    """Initial word embedding [vocabulary.size, dim] float32 from a GloVe text file, and how many words it had.

    Words that are not in the file are uniform in [-0.1, 0.1) (choice of this project); <pad> is zero.

    Raises:
        UserError: missing file, or a line without `dim` numbers (with its number).
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a GloVe text file (model.glove)")
    matrix = np.random.default_rng(seed).uniform(-0.1, 0.1, (vocabulary.size, dim)).astype(np.float32)
    matrix[0] = 0
    wanted = {word: number for number, word in enumerate(vocabulary.words[4:], start=4)}
    found = 0
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            line = line.rstrip()
            if not line or (number == 1 and re.fullmatch(r"\d+ \d+", line)):  # word2vec's header
                continue
            # from the right: a few GloVe words hold spaces; the first line shows the file's true width
            parts = line.split() if number == 1 else line.rsplit(" ", dim)
            if len(parts) != dim + 1:
                raise UserError(f"{path} line {number}: got {len(parts) - 1} numbers, wanted {dim} (model.word_dim)")
            row = wanted.pop(parts[0], None)  # the first of equal words counts
            if row is None:
                continue
            try:
                matrix[row] = np.array(parts[1:], dtype=np.float32)
            except ValueError:
                raise UserError(f"{path} line {number}: got a word that is no number, wanted {dim} numbers") from None
            if not np.isfinite(matrix[row]).all():
                raise UserError(f"{path} line {number}: got NaN or infinity, wanted {dim} finite numbers")
            found += 1
    return matrix, found


def _positions(folder: Path) -> int:
    """Number of positions that the checkpoint's configuration in `folder` gives; very many where none is there."""
    for name in ("bert_config.json", "config.json"):
        try:
            return int(json.loads((folder / name).read_text(encoding="utf-8"))["max_position_embeddings"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no such file, or another program's
    return 2**31


class WordPiece:
    """The word pieces of a BERT checkpoint (Sec 3.1): [CLS] pieces [SEP], grouped by whole word.

    Words are what the tokenizer's own normalizer and pre-tokenizer make (uncased BERT: lower case, accents stripped,
    punctuation split); each is then cut into pieces. `random_range` (low <= id < high) has no special or unused piece.
    """

    kind = "wordpiece"

    def __init__(self, source: str | Path, limit: int = 512):
        """`source`: a folder with vocab.txt or tokenizer.json, or a hub name.

        `limit`: most pieces of a caption, [CLS] and [SEP] included; smaller if the checkpoint has fewer positions.

        Raises:
            UserError: if there is no such folder or hub name, or it holds no BERT word pieces.
        """
        # slow to import, and the BiGRU does without
        from transformers import BertTokenizerFast  # pyright: ignore[reportAttributeAccessIssue]  # its own lazy import

        folder = Path(source).expanduser()
        files = [name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()]
        if folder.is_dir() and not files:
            raise UserError(f"{folder}: got neither vocab.txt nor tokenizer.json, wanted one of them (model.bert)")
        if not files and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)):
            raise UserError(f"{source}: not a folder, wanted a BERT folder with vocab.txt or a hub name (model.bert)")
        try:
            # a folder, never the keyword vocab_file: that one yields five tokens and no error
            tokenizer = BertTokenizerFast.from_pretrained(
                str(folder if files else source), local_files_only=bool(files), trust_remote_code=False
            )
        except Exception as error:  # the hub's client raises many kinds
            where = f"{', '.join(files)} not readable" if files else "not a folder here and not found on the hub"
            raise UserError(f"{source}: {where}, wanted a BERT folder with vocab.txt (model.bert)") from error
        backend = tokenizer.backend_tokenizer
        vocabulary = backend.get_vocab(with_added_tokens=False)
        missing = [piece for piece in SPECIAL_PIECES if piece not in vocabulary]
        if missing or type(backend.model).__name__ != "WordPiece":
            raise UserError(f"{source}: got a vocabulary without {', '.join(missing) or 'word pieces'}, wanted BERT's")
        if "vocab.txt" in files:
            lines = (folder / "vocab.txt").read_bytes().rstrip(b"\n").count(b"\n") + 1
            if len(vocabulary) != lines:
                raise UserError(f"{folder}/vocab.txt: got {len(vocabulary)} pieces, wanted {lines}, one a line")
        self.limit = min(limit, tokenizer.model_max_length, _positions(folder))
        if self.limit < 3:
            raise UserError(f"{source}: got a limit of {self.limit} pieces, wanted at least 3")
        tokenizer.model_max_length = self.limit
        self._tokenizer, self._backend = tokenizer, backend
        self.pieces = sorted(vocabulary, key=vocabulary.get)
        self.size = len(self.pieces)
        self._cls, self._sep, self.mask_id = (vocabulary[piece] for piece in ("[CLS]", "[SEP]", "[MASK]"))
        self.special_ids = tuple(sorted(vocabulary[piece] for piece in SPECIAL_PIECES))
        # the longest run of ids without specials and unused places
        barred = [
            i for i, piece in enumerate(self.pieces) if piece in SPECIAL_PIECES or re.fullmatch(r"\[unused\d+\]", piece)
        ]
        edges = [-1, *barred, self.size]
        runs = [(low + 1, high) for low, high in itertools.pairwise(edges)]
        self.random_range = max(runs, key=lambda run: run[1] - run[0])

    @classmethod
    def train(cls, captions: Sequence[str], size: int, limit: int = 512) -> WordPiece:
        """Word pieces made from training captions, at most `size`; the same captions give the same pieces.

        Every character seen (alone and as ##continuation), most frequent first, then the most frequent whole words;
        ties go by alphabet. For the small BERT that needs no download (choice of this project: the trainer of the
        `tokenizers` library gives other pieces on every run).

        Raises:
            UserError: without any word, or for a size under 57 (specials and two pieces for each of 26 letters).
        """
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        room = size - len(SPECIAL_PIECES)
        if room < 52:
            raise UserError(f"word pieces: got a size of {size}, wanted at least {52 + len(SPECIAL_PIECES)}")
        normalize, cut = BertNormalizer(lowercase=True).normalize_str, BertPreTokenizer().pre_tokenize_str
        counts = Counter(word for caption in captions for word, _ in cut(normalize(caption)))
        if not counts:
            raise UserError("training captions: got no word, wanted some to learn word pieces from")
        letters: Counter[str] = Counter()
        for word, n in counts.items():
            for letter in word:
                letters[letter] += n
        ordered = sorted(letters, key=lambda c: (-letters[c], c))[: room // 2]  # rare characters become [UNK]
        pieces = [piece for letter in ordered for piece in (letter, "##" + letter)]
        words = sorted((w for w in counts if len(w) > 1), key=lambda w: (-counts[w], w))
        lines = [*SPECIAL_PIECES, *pieces, *words[: room - len(pieces)]]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            return cls(folder, limit)

    def words(self, caption: str) -> list[str]:
        """Whole words of a caption, after the tokenizer's normalization."""
        if self._backend.normalizer is not None:
            caption = self._backend.normalizer.normalize_str(caption)
        return [word for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(caption)]

    def encode(self, captions: Sequence[str]) -> Tokens:
        """[CLS] pieces [SEP] for each caption, cut to `limit` pieces with [SEP] kept."""
        pieces = functools.cache(lambda word: [token.id for token in self._backend.model.tokenize(word)])
        return _pack(([pieces(w) for w in self.words(c)] for c in captions), self._cls, self._sep, self.limit)

    def known_words(self, caption: str) -> dict[str, bool]:
        """The words of a caption, punctuation left out, and whether each has pieces other than [UNK]."""
        words = (w for w in self.words(caption) if not all(unicodedata.category(c).startswith("P") for c in w))
        return {word: all(p.value != "[UNK]" for p in self._backend.model.tokenize(word)) for word in words}

    def decode(self, ids: Iterable[int]) -> str:
        """Words of one caption in a line, pieces joined; [PAD], [CLS] and [SEP] are left out."""
        pieces = [self.pieces[int(i)] for i in ids]
        return " ".join(p for p in pieces if p not in ("[PAD]", "[CLS]", "[SEP]")).replace(" ##", "")

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and a plain vocab.txt."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._tokenizer.save_pretrained(str(folder))
        (Path(folder) / "vocab.txt").write_text("\n".join(self.pieces) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> WordPiece:
        """What `save` wrote, or any BERT folder or hub name; the same as `WordPiece(folder)`."""
        return cls(folder)


def augment_words(
    ids: np.ndarray,
    word_index: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    drop: float,
    mask_id: int,
    random_range: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vary a padded batch of captions for training (Sec 3.1): a whole word is touched with probability `drop`.

    Of the touched words half become `mask_id` (every piece), a tenth a random id low <= id < high (drawn for each
    piece), the rest are deleted. Special tokens stay. Rows are moved to the left and cut to the longest; arrays [B,L].
    """
    if drop <= 0 or not mask.any():
        return ids, word_index, mask
    of_word = np.maximum(word_index, 0)
    draw = rng.random((len(ids), int(word_index.max(initial=0)) + 1))  # [B,W], one number a word
    draw = np.take_along_axis(draw, of_word, axis=1) / drop  # [B,L], below 1: touched
    draw = np.where(mask & (word_index >= 0), draw, 2.0)
    low, high = random_range
    other = rng.integers(low, high, ids.shape) if high > low else mask_id
    ids = np.where(draw < 0.5, mask_id, np.where(draw < 0.6, other, ids))
    keep = mask & ~((draw >= 0.6) & (draw < 1))
    length = int(keep.sum(axis=1).max())
    order = np.argsort(~keep, axis=1, kind="stable")[:, :length]  # kept tokens first, in their order
    kept = np.take_along_axis(keep, order, axis=1)
    ids = np.where(kept, np.take_along_axis(ids, order, axis=1), 0)
    return ids, np.where(kept, np.take_along_axis(word_index, order, axis=1), -1), kept
