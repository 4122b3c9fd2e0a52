"""Captions to ids: both encoders, reading in batches, and the statistics of word augmentation."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tiny

from hrem_lib import training
from hrem_lib.errors import UserError
from hrem_lib.pretrained import load_text
from hrem_lib.text import Tokens, Vocabulary, WordPiece, augment_words, glove_matrix, split_words

PROJECT = Path(__file__).resolve().parent.parent
CAPTIONS = [
    "A man rides a surf-board.",
    "The dog's ball, the dog and a man!",
    "Two dogs running",
    "A café near the street…",
    "a",
]
PIECES = [
    "[PAD]",
    "[unused0]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused1]",
    "a",
    "man",
    "run",
    "##ning",
    "##s",
    "caf",
    "##e",
    ".",
]


def fixtures() -> Path:
    """The folder of reference values, or a skip."""
    places = (PROJECT / "tests" / "fixtures", PROJECT.parent / "shared" / "fixtures")
    for place in (os.environ.get("HREM_FIXTURES"), *places):
        if place and (Path(place) / "e2e" / "data_expected.json").is_file():
            return Path(place)
    pytest.skip("group e2e/ of the reference values is absent")


@pytest.fixture
def bert_folder(tmp_path):
    """A folder with nothing but vocab.txt."""
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man, a plan!", ["a", "man", "a", "plan"]),
        ("dog's surf-board -- 'quoted'", ["dog's", "surf-board", "quoted"]),
        ("dog\u2019s", ["dog's"]),
        ("Zwölf Bären, 東京 №5 snake_case", ["zwölf", "bären", "東", "京", "5", "snake", "case"]),
        ("cafe\u0301", ["caf\u00e9"]),  # a decomposed accent is the same word
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel marks stay in the word
        ("... !?", []),
    ],
)
def test_split_words(caption, words):
    assert split_words(caption) == words


SCRIPTS = {
    "Chinese": ("一个女人在冲浪，旁边有2只狗。", "一 个 女 人 在 冲 浪 旁 边 有 2 只 狗"),
    "Chinese with Latin": ("穿T恤的男孩用wi-fi，X-光", "穿 t 恤 的 男 孩 用 wi-fi x 光"),
    "Chinese beyond the first plane": ("𠮷野家と〇々", "𠮷 野 家 と 〇 々"),
    "Japanese": ("サーファーが、波に乗っている。", "サ ー フ ァ ー が 波 に 乗 っ て い る"),
    "Japanese, decomposed and narrow": ("か\u3099くせい・ﾃﾚﾋ", "が く せ い ﾃ ﾚ ﾋ"),
    "Korean": ("여자가 파도를 탑니다.", "여자가 파도를 탑니다"),
    "German": ("Zwölf Bären müßten's wissen: Nord-Süd", "zwölf bären müßten's wissen nord-süd"),
    "Hindi": ("एक महिला लहर पर सर्फिंग कर रही है।", "एक महिला लहर पर सर्फिंग कर रही है"),
    "Arabic": ("امرأةٌ تركب الأمواج، وكلبٌ.", "امرأةٌ تركب الأمواج وكلبٌ"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_of_many_scripts(script):
    caption, words = SCRIPTS[script]
    assert split_words(caption) == words.split()


def test_thai_words_are_cut_by_pythainlp():
    pytest.importorskip("pythainlp")
    words = "ผู้หญิง คน หนึ่ง กำลัง โต้คลื่น ใน ทะเล"
    assert split_words(words.replace(" ", "")) == words.split()
    assert split_words("สุนัขใส่T恤 (2)") == ["สุนัข", "ใส่", "t", "恤", "2"]


def test_thai_without_pythainlp_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize", None)
    with pytest.raises(UserError, match=r"got Thai .*'ผู้หญิงใน'.*wanted the package pythainlp") as caught:
        Vocabulary.build(["a woman", "ผู้หญิงใน ทะเล"])
    assert "\n" not in str(caught.value)


def test_words_of_other_scripts_are_those_of_older_runs():
    """The rule before characters were words of their own: vocabularies of runs in these scripts still fit."""
    marks = "".join(c for c in map(chr, range(0x10000)) if unicodedata.category(c).startswith("M"))
    letter = rf"(?:[^\W_][{marks}]*)"
    older = re.compile(rf"{letter}+(?:['\-]{letter}+)*")
    rng = random.Random(0)
    places = [(0x20, 0x7F), (0xC0, 0x24F), (0x370, 0x6FF), (0x900, 0xDFF), (0xE80, 0x11FF), (0x1E00, 0x2E7F)]
    places += [(0xAC00, 0xD7A3)]
    for _ in range(3000):
        text = "".join(rng.choice(" '-_") + chr(rng.randint(*rng.choice(places))) for _ in range(12)).replace(" ", "")
        plain = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
        assert split_words(text) == older.findall(plain)


def test_a_chinese_run_learns(tmp_path):
    """A caption that is one word is unknown in the test split: text to image finds 6 of 100 at first place then."""
    chinese = dict(
        zip(["a", "and", *tiny.WORDS], "一个 和 红色 蓝色 绿色 猫 狗 马 球 风筝 船 树 房子 路".split(), strict=True)
    )
    folder = tiny.write(tmp_path, (60, 10, 30))
    for path in folder.glob("*_caps.txt"):
        lines = ["".join(chinese[word] for word in line.split()) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = tiny.config(folder, training__epochs=12, training__decay_epochs=[10], graph__interaction="none")
    result = training.train(config, tmp_path / "run")["test"]
    assert result["images"] == 30 and min(result["t2i"]["R@1"], result["i2t"]["R@1"]) > 30  # chance: 3.3


def test_vocabulary_order_and_specials():
    vocabulary = Vocabulary.build(["b b a a c", "c d b"])
    assert vocabulary.words == ["<pad>", "<start>", "<end>", "<unk>", "b", "a", "c", "d"]
    assert (vocabulary.size, vocabulary.mask_id, vocabulary.special_ids) == (8, 3, (0, 1, 2, 3))
    assert vocabulary.random_range == (4, 8)
    assert Vocabulary.build(["c d b", "b b a a c"]).words == vocabulary.words


def test_rare_and_unseen_words_are_unknown():
    vocabulary = Vocabulary.build(["dog dog cat", "dog cat bird"], min_count=2)
    tokens = vocabulary.encode(["Bird, dog zebra", "..."])
    assert tokens.ids.tolist() == [1, 3, 4, 3, 2, 1, 2]
    assert tokens.word_index.tolist() == [-1, 0, 1, 2, -1, -1, -1]
    assert tokens.offsets.tolist() == [0, 5, 7]
    assert (tokens.ids.dtype, tokens.word_index.dtype, tokens.offsets.dtype) == (np.int32, np.int32, np.int64)
    assert vocabulary.decode(tokens.ids[:5]) == "<unk> dog <unk>"


def test_a_long_caption_is_cut_as_berts_are():
    vocabulary = Vocabulary.build(["dog"])
    tokens = vocabulary.encode(["dog " * 600, "dog"])
    assert tokens.lengths.tolist() == [512, 3]
    assert tokens.ids[[0, 1, 510, 511]].tolist() == [1, 4, 4, 2]


@pytest.mark.parametrize("captions", [[], ["one two"], ["..."]])
def test_vocabulary_without_words_is_refused(captions):
    with pytest.raises(UserError, match=r"model\.min_word_count = 2"):
        Vocabulary.build(captions, min_count=2)


def test_vocabulary_saved_and_loaded(tmp_path):
    vocabulary = Vocabulary.build(CAPTIONS)
    vocabulary.save(tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "vocabulary.json").read_text(encoding="utf-8"))
    assert stored == {"format": "hrem vocabulary", "version": 1, "words": vocabulary.words}
    again = load_text(tmp_path / "run")
    assert again.kind == "words" and again.words == vocabulary.words
    assert again.encode(CAPTIONS).ids.tolist() == vocabulary.encode(CAPTIONS).ids.tolist()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not readable as JSON"),
        ("[1]", "got no list of words"),
        ('{"words": [1, 2]}', "got no list of words"),
        ('{"words": ["a"]}', "got first words"),
        ('{"words": ["a", "b", "c", "d", "e"]}', r"got first words \['a', 'b', 'c', 'd'\], wanted"),
        (json.dumps({"words": ["<pad>", "<start>", "<end>", "<unk>", "a", "a"]}), "'a' more than once"),
    ],
)
def test_bad_vocabulary_file(tmp_path, content, sentence):
    (tmp_path / "vocabulary.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        load_text(tmp_path)


def test_load_text_of_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"got no vocabulary\.json, tokenizer\.json or vocab\.txt"):
        load_text(tmp_path)
    with pytest.raises(UserError, match="not found"):
        Vocabulary.load(tmp_path)


def test_gather_equals_a_loop():
    tokens = Vocabulary.build(CAPTIONS).encode(CAPTIONS)
    for indices in ([0, 1, 2, 3, 4], [3, 3, 0], [4], []):
        ids, word_index, mask = tokens.gather(indices)
        assert ids.dtype == np.int64 and mask.dtype == bool and ids.shape == word_index.shape == mask.shape
        assert len(ids) == len(indices)
        for row, j in enumerate(indices):
            part = slice(tokens.offsets[j], tokens.offsets[j + 1])
            n = part.stop - part.start
            assert ids[row].tolist() == tokens.ids[part].tolist() + [0] * (ids.shape[1] - n)
            assert word_index[row].tolist() == tokens.word_index[part].tolist() + [-1] * (ids.shape[1] - n)
            assert mask[row].tolist() == [True] * n + [False] * (ids.shape[1] - n)
        assert mask.any(axis=0).all()  # no column of padding alone


@pytest.mark.parametrize("indices", [[5], [-1]])
def test_gather_outside(indices):
    with pytest.raises(IndexError):
        Vocabulary.build(CAPTIONS).encode(CAPTIONS).gather(indices)


def test_tokens_of_no_captions():
    tokens = Vocabulary.build(CAPTIONS).encode([])
    assert len(tokens) == 0 and tokens.gather([])[0].shape == (0, 0)


def test_which_words_of_a_caption_are_known(bert_folder):
    vocabulary = Vocabulary.build(["a dog", "a 狗"])
    assert vocabulary.known_words("A zebra, a 大狗!") == {"a": True, "zebra": False, "大": False, "狗": True}
    assert vocabulary.known_words("...") == {}
    known = WordPiece(bert_folder).known_words("A running zebra, café 狗?!")
    assert known == {"a": True, "running": True, "zebra": False, "cafe": True, "狗": False}


# GloVe


def glove(tmp_path, text):
    path = tmp_path / "glove.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_glove_fills_known_words(tmp_path):
    vocabulary = Vocabulary(["dog", "cat"])
    path = glove(tmp_path, "dog 1 2 3\nzebra 9 9 9\n. . . 7 7 7\ndog 5 5 5\n")
    matrix, found = glove_matrix(path, vocabulary, 3, seed=1)
    assert found == 1 and matrix.dtype == np.float32 and matrix.shape == (6, 3)
    assert matrix[4].tolist() == [1, 2, 3] and matrix[0].tolist() == [0, 0, 0]
    assert np.abs(matrix[5]).max() <= 0.1 and np.abs(matrix[5]).min() > 0
    assert np.array_equal(matrix, glove_matrix(path, vocabulary, 3, seed=1)[0])
    assert not np.array_equal(matrix[5], glove_matrix(path, vocabulary, 3, seed=2)[0][5])


def test_glove_with_a_header_line(tmp_path):
    assert glove_matrix(glove(tmp_path, "1 3\ndog 1 2 3\n"), Vocabulary(["dog"]), 3, 0)[1] == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dog 1 2 3 4\n", "line 1: got 4 numbers, wanted 3"),
        ("dog 1 2\n", "line 1: got 2 numbers, wanted 3"),
        ("a 1 2 3\ndog 1 2\n", "line 2: got 2 numbers, wanted 3"),
        ("a 1 2 3\ndog 1 x 3\n", "line 2: got a word that is no number"),
        ("dog 1 nan 3\n", "line 1: got NaN or infinity"),
    ],
)
def test_bad_glove_line(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        glove_matrix(glove(tmp_path, text), Vocabulary(["dog"]), 3, 0)


def test_glove_missing(tmp_path):
    with pytest.raises(UserError, match="not found"):
        glove_matrix(tmp_path / "none.txt", Vocabulary(["dog"]), 3, 0)


# WordPiece


def test_wordpiece_groups_whole_words(bert_folder):
    text = WordPiece(bert_folder)
    assert text.kind == "wordpiece" and text.size == len(PIECES)
    tokens = text.encode(["A man running.", "Café xyz"])
    assert [text.pieces[i] for i in tokens.ids] == [
        "[CLS]", "a", "man", "run", "##ning", ".", "[SEP]", "[CLS]", "caf", "##e", "[UNK]", "[SEP]",
    ]  # fmt: skip
    assert tokens.word_index.tolist() == [-1, 0, 1, 2, 2, 3, -1, -1, 0, 0, 1, -1]
    assert text.decode(tokens.ids[:7]) == "a man running ."


def test_wordpiece_attributes(bert_folder):
    text = WordPiece(bert_folder)
    assert text.mask_id == 5 and text.special_ids == (0, 2, 3, 4, 5)
    assert text.random_range == (7, len(PIECES))  # neither specials nor unused places


def test_literal_special_pieces_are_plain_words(bert_folder):
    text = WordPiece(bert_folder)
    ids = text.encode(["a [MASK] [SEP] man"]).ids.tolist()
    assert text.mask_id not in ids and ids.count(PIECES.index("[SEP]")) == 1


def test_truncation_keeps_sep(bert_folder):
    tokens = WordPiece(bert_folder).encode(["a " * 600, "a " * 510, "a"])
    assert tokens.lengths.tolist() == [512, 512, 3]
    assert tokens.ids[511] == tokens.ids[1023] == PIECES.index("[SEP]")
    assert WordPiece(bert_folder, limit=4).encode(["a a a a"]).lengths.tolist() == [4]


def test_limit_follows_the_checkpoint(bert_folder):
    (bert_folder / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 64}', encoding="utf-8")
    assert WordPiece(bert_folder).limit == 64


def test_wordpiece_saved_and_loaded(bert_folder, tmp_path):
    text = WordPiece(bert_folder, limit=40)
    run = tmp_path / "run"
    text.save(run)
    (run / "config.json").write_text('{"preset": "sample", "model": {}}', encoding="utf-8")  # a run's own settings
    again = load_text(run)
    assert again.kind == "wordpiece" and again.pieces == text.pieces and again.limit == 40
    for name in ("ids", "word_index", "offsets"):
        a, b = (getattr(t.encode(CAPTIONS), name) for t in (text, again))
        assert np.array_equal(a, b)


def test_bad_wordpiece_sources(tmp_path, bert_folder, monkeypatch):
    with pytest.raises(UserError, match=r"got neither vocab\.txt nor tokenizer\.json"):
        WordPiece(tmp_path)
    with pytest.raises(UserError, match="not a folder, wanted a BERT folder"):
        WordPiece(tmp_path / "none")
    (bert_folder / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"without .*\[CLS\]"):
        WordPiece(bert_folder)
    (bert_folder / "vocab.txt").write_text("\n".join([*PIECES, "a"]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="got 15 pieces, wanted 16"):
        WordPiece(bert_folder)
    (bert_folder / "vocab.txt").unlink()
    (bert_folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json not readable"):
        WordPiece(bert_folder)


def test_hub_out_of_reach(monkeypatch):
    from transformers import BertTokenizerFast

    def fail(*args, **kwargs):
        raise OSError("no connection\nand a long explanation")

    monkeypatch.setattr(BertTokenizerFast, "from_pretrained", fail)
    with pytest.raises(UserError, match="bert-base-uncased: not a folder here and not found on the hub") as caught:
        WordPiece.load("bert-base-uncased")
    assert "\n" not in str(caught.value)


def test_trained_pieces():
    text = WordPiece.train(CAPTIONS * 3, 80)
    assert text.pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] and text.size <= 80
    assert {"a", "the", "##g"} <= set(text.pieces)
    ids = text.encode(CAPTIONS).ids
    assert text.pieces.index("[UNK]") not in ids.tolist()  # every character of the captions is a piece
    assert text.decode(text.encode(["Surf dogs"]).ids) == "surf dogs"
    for size in (60, 70, 80, 90):  # ties go by alphabet, not by who comes first
        assert WordPiece.train(CAPTIONS[::-1], size).pieces == WordPiece.train(CAPTIONS, size).pieces
    with pytest.raises(UserError, match="got no word"):
        WordPiece.train([" "], 80)
    for size in (20, 56):
        with pytest.raises(UserError, match=f"got a size of {size}, wanted at least 57"):
            WordPiece.train(CAPTIONS, size)


def test_word_pieces_keep_the_most_frequent_words():
    words = [a + b for a in "abcdefg" for b in "abcdefg"]  # 49, with room for 38
    pieces = WordPiece.train([" ".join(words), "gf gg gg"], 57).pieces
    assert len(pieces) == 57 and pieces[19:22] == ["gg", "gf", "aa"]
    assert "gd" not in pieces


def test_word_pieces_leave_rare_letters_out():
    """Letters and their continuations take all the room there is, and no more."""
    letters = list("абвгдежзиклмнопрстуфхцчшщъыьэю")  # the first four of the thirty are the rarest
    text = WordPiece.train([" ".join(letters[i:]) for i in range(30)], 57)
    assert text.size == 57
    ids = text.encode([letters[0], letters[3], letters[4], letters[29]]).ids.reshape(4, 3)[:, 1]
    assert [text.pieces[i] for i in ids] == ["[UNK]", "[UNK]", letters[4], letters[29]]


def test_trained_pieces_are_the_same_in_every_process():
    code = f"from hrem_lib.text import WordPiece; print(WordPiece.train({CAPTIONS!r}, 70).pieces)"
    runs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            check=True,
            encoding="utf-8",
        )
        runs.add(result.stdout)
    assert runs == {f"{WordPiece.train(CAPTIONS, 70).pieces}\n"}


def test_ids_equal_the_reference():
    folder = fixtures() / "e2e"
    text = WordPiece(folder)
    captions = (folder / "data" / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").split("\n")[:-1]
    expected = json.loads((folder / "data_expected.json").read_text(encoding="utf-8"))["test_token_ids"]
    tokens = text.encode(captions)
    got = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
    assert len(expected) == 100 and got == expected


# Augmentation

MASK, RANGE = 5, (100, 200)


def captions_of(words: int, pieces: int, rows: int):
    """`rows` equal captions; piece p of word w has id 1000 + 10 w + p; specials 2 and 3."""
    number = np.repeat(np.arange(words), pieces)
    ids = np.concatenate([[2], 1000 + 10 * number + np.tile(np.arange(pieces), words), [3]])
    word_index = np.concatenate([[-1], number, [-1]])
    return np.tile(ids, (rows, 1)), np.tile(word_index, (rows, 1)), np.ones((rows, len(ids)), bool)


def test_augmentation_rates_and_whole_words():
    words, pieces, rows, drop = 10, 3, 2000, 0.2
    ids, word_index, mask = captions_of(words, pieces, rows)
    new_ids, new_index, new_mask = augment_words(ids, word_index, mask, np.random.default_rng(0), drop, MASK, RANGE)
    counts = {"kept": 0, "masked": 0, "random": 0, "deleted": 0}
    same_random_piece = []
    for row in range(rows):
        real = new_mask[row]
        assert new_ids[row, real][0] == 2 and new_ids[row, real][-1] == 3  # specials stay, at both ends
        for word in range(words):
            got = new_ids[row][new_index[row] == word]
            assert len(got) in (0, pieces)  # a word is whole or gone
            if len(got) == 0:
                counts["deleted"] += 1
            elif (got == MASK).all():
                counts["masked"] += 1
            elif ((got >= RANGE[0]) & (got < RANGE[1])).all():
                counts["random"] += 1
                same_random_piece.append(got[0] == got[1])
            else:
                assert got.tolist() == [1000 + 10 * word + p for p in range(pieces)]
                counts["kept"] += 1
    for kind, share in {"kept": 0.8, "masked": 0.1, "random": 0.02, "deleted": 0.08}.items():
        wanted = share * words * rows
        assert abs(counts[kind] - wanted) < 4.5 * np.sqrt(wanted * (1 - share)), (kind, counts)
    assert np.mean(same_random_piece) < 0.1  # each piece is drawn for itself


def test_augmented_rows_are_left_aligned_and_trimmed():
    vocabulary = Vocabulary.build(CAPTIONS)
    ids, word_index, mask = vocabulary.encode(CAPTIONS).gather(range(5))
    rng = np.random.default_rng(3)
    for _ in range(200):
        new_ids, new_index, new_mask = augment_words(ids, word_index, mask, rng, 0.9, 3, vocabulary.random_range)
        lengths = new_mask.sum(axis=1)
        assert lengths.max() == new_mask.shape[1] and lengths.min() >= 2
        assert np.array_equal(new_mask, np.arange(new_mask.shape[1]) < lengths[:, None])
        assert (new_ids[~new_mask] == 0).all() and (new_index[~new_mask] == -1).all()
        for row in new_index:  # order kept
            row = row[row >= 0]
            assert (np.diff(row) > 0).all()
        assert (new_ids[np.arange(5), lengths - 1] == 2).all()


def test_no_drop_changes_nothing():
    ids, word_index, mask = Vocabulary.build(CAPTIONS).encode(CAPTIONS).gather([1, 4])
    after = augment_words(ids, word_index, mask, np.random.default_rng(0), 0.0, 3, (4, 9))
    for new, old in zip(after, (ids, word_index, mask), strict=True):
        assert np.array_equal(new, old)


def test_inputs_of_augmentation_stay_as_they_are():
    ids, word_index, mask = captions_of(5, 2, 50)
    before = ids.copy(), word_index.copy(), mask.copy()
    augment_words(ids, word_index, mask, np.random.default_rng(0), 0.5, MASK, RANGE)
    assert all(np.array_equal(a, b) for a, b in zip(before, (ids, word_index, mask), strict=True))


def test_empty_random_range_falls_back_to_the_mask():
    ids, word_index, mask = captions_of(5, 1, 200)
    new_ids, _, _ = augment_words(ids, word_index, mask, np.random.default_rng(0), 0.9, MASK, (4, 4))
    assert set(np.unique(new_ids)) <= {0, 2, 3, MASK, *range(1000, 1050)}


def test_captions_of_specials_alone():
    tokens = Tokens(np.array([1, 2], np.int32), np.array([-1, -1], np.int32), np.array([0, 2]))
    ids, _, mask = augment_words(*tokens.gather([0, 0]), np.random.default_rng(0), 0.9, 3, (4, 9))
    assert ids.tolist() == [[1, 2], [1, 2]] and mask.all()


def test_trained_pieces_are_of_lower_case():
    text = WordPiece.train(["A Dog", "The DOG and a dog"], 60)
    assert "dog" in text.pieces and not any(c.isupper() for piece in text.pieces[5:] for c in piece)
    assert text.known_words("DOG") == {"dog": True}
