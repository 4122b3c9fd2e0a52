"""The public layout: both ways of counting, memory maps, every fault's sentence, and batches that repeat."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hrem_lib import data
from hrem_lib.data import Batch, BatchPlan, PairDataset, find_folder, loader, open_split
from hrem_lib.errors import UserError
from hrem_lib.text import Vocabulary

PROJECT = Path(__file__).resolve().parent.parent
N, R, F = 6, 4, 8


def fixtures() -> Path:
    """The folder of reference values, or a skip."""
    places = (PROJECT / "tests" / "fixtures", PROJECT.parent / "shared" / "fixtures")
    for place in (os.environ.get("HREM_FIXTURES"), *places):
        if place and (Path(place) / "e2e" / "data_expected.json").is_file():
            return Path(place)
    pytest.skip("group e2e/ of the reference values is absent")


def features(rows=N, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, R, F)).astype(np.float32)


def write(folder: Path, split="train", ims=None, caps=None, boxes=None, ids=None) -> Path:
    """A split in the public layout; captions and boxes are made up if not given."""
    folder.mkdir(exist_ok=True)
    ims = features() if ims is None else ims
    np.save(folder / f"{split}_ims.npy", ims)
    caps = [f"caption {j} of picture {j // 5}" for j in range(5 * len(ims))] if caps is None else caps
    raw = caps if isinstance(caps, bytes) else "".join(f"{line}\n" for line in caps).encode()
    (folder / f"{split}_caps.txt").write_bytes(raw)
    if boxes is not None:
        np.save(folder / f"{split}_boxes.npy", boxes)
    if ids is not None:
        (folder / f"{split}_ids.txt").write_text("".join(f"{line}\n" for line in ids), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "toy_precomp")


def boxes() -> np.ndarray:
    return np.tile(np.array([1, 2, 30, 40], np.float32), (N, R, 1))


# Reading


def test_one_row_for_five_captions(folder):
    split = open_split(folder, "train")
    assert (split.n_images, split.n_captions, split.n_regions, split.region_dim) == (N, 5 * N, R, F)
    assert split.captions_per_image == 5 and split.captions[7] == "caption 7 of picture 1"
    assert split.image_of_caption.tolist() == [j // 5 for j in range(5 * N)]
    assert split.row_of_image.tolist() == list(range(N))
    assert split.image_of_caption.dtype == split.row_of_image.dtype == np.int64
    assert split.boxes is None and split.ids is None
    regions, mask = split.regions([2, 0, 2])
    assert regions.dtype == torch.float32 and mask.dtype == torch.bool and mask.all()
    assert np.array_equal(regions.numpy(), features()[[2, 0, 2]])


def test_features_stay_a_memory_map(folder):
    split = open_split(folder, "train")
    assert isinstance(split.features, np.memmap) and not split.features.flags.writeable
    regions, _ = split.regions([0])
    regions += 1  # a copy: the file is untouched
    assert np.array_equal(np.load(folder / "train_ims.npy"), features())


def test_repeated_rows_give_the_same_pairs(folder, tmp_path):
    once = open_split(folder, "train")
    other = write(tmp_path / "other_precomp", ims=np.repeat(features(), 5, axis=0), caps=once.captions)
    repeated = open_split(other, "train")
    assert repeated.n_images == N and repeated.row_of_image.tolist() == [5 * i for i in range(N)]
    assert np.array_equal(repeated.image_of_caption, once.image_of_caption)
    tokens = Vocabulary.build(once.captions).encode(once.captions)
    plan = BatchPlan(0, 3, np.array([0, 7, 29, 8]))
    a, b = (PairDataset(s, tokens, (3, (4, 9)), 0.2, 0.2, seed=1)[plan] for s in (once, repeated))
    assert_equal(a, b)
    assert [r.shape[0] for r, _ in data.image_batches(repeated, 4)] == [4, 2]  # each picture once


def test_pictures_that_stand_twice(tmp_path):
    folder = write(tmp_path / "p", ims=np.repeat(features(), 2, axis=0), caps=[f"c {j}" for j in range(2 * N)])
    assert open_split(folder, "train", captions_per_image=2).row_of_image.tolist() == list(range(0, 2 * N, 2))


def test_one_caption_a_picture(tmp_path):
    split = open_split(write(tmp_path / "p", ims=features(20), caps=[f"c {j}" for j in range(20)]), "train")
    assert split.captions_per_image == 1 and split.n_images == 20
    assert split.image_of_caption.tolist() == split.row_of_image.tolist() == list(range(20))


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_one_caption_a_picture_without_whole_groups(tmp_path, rows):
    split = open_split(write(tmp_path / "p", ims=features(rows), caps=["c"] * rows), "train")
    assert split.n_images == rows and split.captions_per_image == 1


def test_another_number_of_captions(tmp_path):
    folder = write(tmp_path / "p", caps=[f"c {j}" for j in range(2 * N)])
    assert open_split(folder, "train", captions_per_image=2).image_of_caption.tolist() == [j // 2 for j in range(2 * N)]


def test_two_dimensions_are_one_region(tmp_path):
    split = open_split(write(tmp_path / "p", ims=features()[:, 0]), "train")
    assert split.features.shape == (N, 1, F) and isinstance(split.features, np.memmap)
    assert np.array_equal(split.regions([4])[0].numpy(), features()[[4], :1])


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a.astype(">f4"),
        lambda a: a.astype("<f4"),
        np.asfortranarray,
        lambda a: np.asfortranarray(a.astype(">f4")),
    ],
    ids=["big-endian", "little-endian", "fortran", "fortran big-endian"],
)
def test_byte_and_axis_order(tmp_path, make):
    regions, _ = open_split(write(tmp_path / "p", ims=make(features())), "train").regions([5, 1])
    assert np.array_equal(regions.numpy(), features()[[5, 1]]) and regions.is_contiguous()


def test_half_precision(tmp_path):
    half = features().astype(np.float16)
    split = open_split(write(tmp_path / "p", ims=half), "train")
    assert split.features.dtype == np.float16
    assert np.array_equal(split.regions([0])[0].numpy(), half[:1].astype(np.float32))


def test_large_finite_values_are_accepted(tmp_path):
    ims = features()
    ims[1] = 3e38  # the sum of a row overflows, its values do not
    assert open_split(write(tmp_path / "p", ims=ims), "train").regions([1])[0].max() > 2e38
    half = np.full((N, R, 128), 60000, np.float16)
    assert open_split(write(tmp_path / "q", ims=half), "train").n_images == N


def test_zero_rows_at_the_end_are_padding(tmp_path):
    ims = features()
    ims[0, 2:] = 0
    ims[1, 1] = 0  # in the middle: a real region
    ims[2, 3] = -0.0
    _, mask = open_split(write(tmp_path / "p", ims=ims), "train").regions([0, 1, 2])
    assert mask.tolist() == [[True, True, False, False], [True] * 4, [True, True, True, False]]


def test_text_with_bom_and_crlf(tmp_path):
    caps = "\ufeff" + "".join(f"Bär {j}\u2028x \r\n" for j in range(30)) + "\r\n"
    split = open_split(write(tmp_path / "p", caps=caps.encode()), "train")
    assert split.captions == [f"Bär {j}\u2028x" for j in range(30)]


def test_boxes_and_names(tmp_path):
    names = [f"picture{i}.jpg" for i in range(N)]
    split = open_split(write(tmp_path / "p", boxes=boxes(), ids=names), "train")
    assert isinstance(split.boxes, np.memmap) and split.boxes.shape == (N, R, 4) and split.ids == names


def test_names_once_a_caption(tmp_path):
    names = [f"picture{j // 5}.jpg" for j in range(5 * N)]
    assert open_split(write(tmp_path / "p", ids=names), "train").ids == names[::5]
    assert open_split(write(tmp_path / "q", ids=range(5 * N)), "train").ids is None  # caption ids


def test_reference_data_set():
    import json

    folder = fixtures() / "e2e"
    expected = json.loads((folder / "data_expected.json").read_text(encoding="utf-8"))
    split = open_split(find_folder(folder / "data", ("train", "test")), "test")
    assert split.n_captions == expected["length"] and split.captions_per_image == expected["im_div"]
    assert split.image_of_caption.tolist() == expected["test_img_index"]


# Faults


def broken(**change):
    return lambda folder: write(folder, **change)


def with_value(value, place=(3, 1, 2)):
    ims = features()
    ims[place] = value
    return ims


def bytes_in(name, raw):
    def change(folder):
        write(folder)
        (folder / name).write_bytes(raw)

    return change


def without(name):
    def change(folder):
        write(folder)
        (folder / name).unlink()

    return change


def archive(folder):
    write(folder)
    with (folder / "train_ims.npy").open("wb") as file:
        np.savez(file, a=features())


def truncated(folder):
    write(folder)
    raw = (folder / "train_ims.npy").read_bytes()
    (folder / "train_ims.npy").write_bytes(raw[:-100])


def group_of(*kinds):
    """30 rows in groups of five; each kind says how many different pictures the group has."""
    ims = features(30)
    for group, kind in enumerate(kinds):
        for k in range(5):
            ims[5 * group + k] = ims[5 * group + min(k, kind - 1)]
    return ims


def bad_boxes(place, value):
    array = boxes()
    array[place] = value
    return array


LINES = [f"c {j}" for j in range(30)]
FAULTS = {
    "too few captions": (
        broken(caps=LINES[:29]),
        r"got 29 captions, wanted 30 \(5 for each of the 6 rows of train_ims\.npy\) or 6",
    ),
    "too many captions": (broken(caps=[*LINES, "c 30"]), r"got 31 captions, wanted 30"),
    "blank line": (broken(caps=[*LINES[:7], " ", *LINES[8:]]), r"train_caps\.txt line 8: got an empty line"),
    "latin-1": (broken(caps=b"a\nb\xe4r\n"), r"train_caps\.txt line 2: got bytes that are not UTF-8"),
    "utf-16": (
        broken(caps="a\nb\n".encode("utf-16")),
        r"train_caps\.txt line 1: got bytes that are not UTF-8",
    ),
    "utf-16 without mark": (
        broken(caps="a\nb\n".encode("utf-16-le")),
        r"train_caps\.txt line 1: got a zero byte",
    ),
    "no captions": (broken(caps=b""), r"got 0 captions, wanted 30"),
    "NaN": (
        broken(ims=with_value(np.nan)),
        r"train_ims\.npy row 3: got nan at region 1, column 2, wanted finite numbers",
    ),
    "infinity": (broken(ims=with_value(-np.inf)), r"train_ims\.npy row 3: got -inf at region 1, column 2"),
    "float16 infinity": (
        broken(ims=with_value(np.inf).astype(np.float16)),
        r"row 3: got inf at region 1, column 2",
    ),
    "no region": (broken(ims=with_value(0, 2)), r"train_ims\.npy row 2: got only zeros"),
    "integers": (
        broken(ims=np.ones((N, R, F), np.int32)),
        r"got values of type int32, wanted float32 or float16",
    ),
    "float64": (broken(ims=np.ones((N, R, F))), r"got values of type float64, wanted float32 or float16"),
    "complex": (broken(ims=np.ones((N, R, F), np.complex64)), r"got values of type complex64"),
    "four dimensions": (broken(ims=np.ones((N, R, 2, F), np.float32)), r"got shape \(6, 4, 2, 8\), wanted"),
    "one dimension": (broken(ims=np.ones(N, np.float32)), r"got shape \(6,\), wanted"),
    "no width": (
        broken(ims=np.ones((N, R, 0), np.float32)),
        r"train_ims\.npy: (got shape \(6, 4, 0\)|not readable)",
    ),
    "objects": (
        broken(ims=np.array([{}] * N, dtype=object)),
        r"train_ims\.npy: not readable as a \.npy array",
    ),
    "not npy": (bytes_in("train_ims.npy", b"hello"), r"train_ims\.npy: not readable as a \.npy array"),
    "empty npy": (bytes_in("train_ims.npy", b""), r"train_ims\.npy: not readable as a \.npy array"),
    "truncated npy": (truncated, r"train_ims\.npy: not readable as a \.npy array"),
    "archive": (archive, r"train_ims\.npy: (got an archive|not readable)"),
    "no features": (without("train_ims.npy"), r"train_ims\.npy: not found \(splits .*: none\)"),
    "no caption file": (without("train_caps.txt"), r"train_caps\.txt: not found \(splits .*: train\)"),
    "mixed group": (
        broken(ims=group_of(1, 1, 3, 1, 1, 1), caps=LINES),
        r"rows 10 to 14: got 3 different pictures, wanted 5 equal",
    ),
    "mixed groups": (
        broken(ims=group_of(1, 5, 1, 1, 1, 1), caps=LINES),
        r"repeated in rows 0 to 4 but not in rows 5 to 9",
    ),
    "cut group": (
        broken(ims=group_of(1, 1, 1, 1, 1, 1)[:28], caps=LINES[:28]),
        r"got 28 rows of pictures repeated 5 times, wanted a multiple of 5",
    ),
    "boxes count": (
        broken(boxes=boxes()[:5]),
        r"train_boxes\.npy: got shape \(5, 4, 4\), wanted \(6, 4, 4\)",
    ),
    "boxes type": (
        broken(boxes=boxes().astype(int)),
        r"train_boxes\.npy: got values of type int64, wanted float32",
    ),
    "box x": (
        broken(boxes=bad_boxes((2, 1, 2), 0.5)),
        r"train_boxes\.npy row 2, region 1: got box 1 2 0\.5 40, wanted",
    ),
    "box y": (
        broken(boxes=bad_boxes((2, 1, 1), 50)),
        r"train_boxes\.npy row 2, region 1: got box 1 50 30 40",
    ),
    "box NaN": (broken(boxes=bad_boxes((5, 3, 0), np.nan)), r"train_boxes\.npy row 5, region 3: got box nan"),
    "box infinity": (
        broken(boxes=bad_boxes((5, 3, 3), np.inf)),
        r"train_boxes\.npy row 5, region 3: got box 1 2 30 inf",
    ),
    "box outside": (
        broken(boxes=bad_boxes((5, 3), (-40, 2, -10, 40))),
        r"train_boxes\.npy row 5, region 3: got box -40 2 -10 40, wanted .* a part within the picture",
    ),
    "endless line": (
        broken(caps=[*LINES[:7], "word " * 10_000, *LINES[8:]]),
        r"train_caps\.txt line 8: got 49999 characters, wanted at most 4000",
    ),
    "ids count": (
        broken(ids=["a.jpg"] * 4),
        r"train_ids\.txt: got 4 lines, wanted 6, one a picture \(or 30, one a caption\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(tmp_path, fault):
    make, sentence = FAULTS[fault]
    folder = tmp_path / "toy_precomp"
    make(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        open_split(folder, "train")
    assert "\n" not in str(caught.value)


def test_folder_missing(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        open_split(tmp_path / "none", "train")


def test_damaged_headers_never_show_a_traceback(folder):
    """Any damage to the header is either harmless or a UserError."""
    path = folder / "train_ims.npy"
    raw, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(raw)
        for place in rng.integers(0, 100, 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            open_split(folder, "train")
        except UserError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "row 15: got nan"), (0, "row 15: got only zeros")])
def test_large_files_are_checked_batch_by_batch(tmp_path, monkeypatch, value, sentence):
    monkeypatch.setattr(data, "CHECKED_BYTES", 10)
    ims = np.repeat(with_value(value, 3), 5, axis=0)
    split = open_split(write(tmp_path / "p", ims=ims, caps=LINES), "train")
    assert not split.checked
    split.regions([0, 1, 2])
    with pytest.raises(UserError, match=rf"train_ims\.npy {sentence}"):
        split.regions([2, 3])


def test_checks_in_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 2 * R * F * 4)
    with pytest.raises(UserError, match=r"row 5: got nan"):
        open_split(write(tmp_path / "p", ims=with_value(np.nan, 5)), "train")
    monkeypatch.setattr(data, "CHUNK_BYTES", 2 * R * 4 * 4)
    with pytest.raises(UserError, match=r"row 4, region 0"):
        open_split(write(tmp_path / "q", boxes=bad_boxes((4, 0, 2), -1)), "train")


def test_same_width(tmp_path):
    train = open_split(write(tmp_path / "p"), "train")
    dev = open_split(write(tmp_path / "p", "dev", ims=np.ones((N, R + 1, F), np.float32)), "dev")
    data.check_same_width([train, dev])
    wide = [write(tmp_path / "wide", name, ims=np.ones((1, 1, 2048), np.float32)) for name in ("train", "dev")]
    data.check_same_width([open_split(wide[0], "train"), open_split(wide[1], "dev")])
    test = open_split(write(tmp_path / "p", "test", ims=np.ones((N, R, F + 2), np.float32)), "test")
    with pytest.raises(UserError, match=r"test_ims\.npy: got features of width 10, wanted 8 as in train_ims\.npy"):
        data.check_same_width([train, dev, test])


# Folders


def test_find_folder(folder, tmp_path, monkeypatch):
    assert find_folder(folder) == folder
    assert find_folder(tmp_path) == folder
    assert find_folder(tmp_path, needed=()) == find_folder(folder, needed=()) == folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_folder("~/toy_precomp") == folder
    write(tmp_path / "other_precomp", "test")
    assert find_folder(tmp_path, ("test",)).name == "other_precomp"
    assert find_folder(tmp_path, ("train",)).name == "toy_precomp"


def test_find_folder_says_what_is_missing(folder, tmp_path):
    with pytest.raises(UserError, match=r"got train_caps\.txt, train_ims\.npy, wanted dev_ims\.npy, dev_caps\.txt"):
        find_folder(folder, ("train", "dev"))
    with pytest.raises(UserError, match=r"toy_precomp: got .*wanted dev_ims.npy"):
        find_folder(tmp_path, ("train", "dev"))
    with pytest.raises(UserError, match="not a folder"):
        find_folder(tmp_path / "none")
    write(tmp_path / "a_precomp")
    with pytest.raises(UserError, match=r"got several data sets \(a_precomp, toy_precomp\)"):
        find_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"got an empty folder, wanted train_ims\.npy"):
        find_folder(tmp_path / "empty")
    with pytest.raises(UserError, match=r"got an empty folder, wanted a \{name\}_precomp folder"):
        find_folder(tmp_path / "empty", needed=())


@pytest.mark.parametrize("place", ["data_samples/sample_precomp", "hrem_lib/_data_samples/sample_precomp"])
def test_sample_folder(tmp_path, monkeypatch, place):
    """From a checkout, and from an installed wheel."""
    monkeypatch.setattr(data, "__file__", str(tmp_path / "hrem_lib" / "data.py"))
    with pytest.raises(UserError, match="sample data: not found"):
        data.sample_dir()
    (tmp_path / place).mkdir(parents=True)
    assert data.sample_dir() == (tmp_path / place).resolve() == find_folder("", needed=())


# Batches


def assert_equal(a: Batch, b: Batch):
    for name in ("regions", "region_mask", "words", "word_mask", "image_ids", "caption_ids"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.fixture
def dataset(folder):
    split = open_split(folder, "train")
    vocabulary = Vocabulary.build(split.captions)
    tokens = vocabulary.encode(split.captions)
    return PairDataset(split, tokens, (vocabulary.mask_id, vocabulary.random_range), 0.2, 0.2, seed=7)


def test_a_batch(dataset):
    plain = PairDataset(dataset.split, dataset.tokens)
    batch = plain[BatchPlan(0, 0, np.array([12, 3, 29]))]
    assert batch.size == 3 and batch.image_ids.tolist() == [2, 0, 5] and batch.caption_ids.tolist() == [12, 3, 29]
    assert np.array_equal(batch.regions.numpy(), features()[[2, 0, 5]]) and batch.region_mask.all()
    ids, _, mask = dataset.tokens.gather([12, 3, 29])
    assert np.array_equal(batch.words.numpy(), ids) and np.array_equal(batch.word_mask.numpy(), mask)
    assert (batch.words.dtype, batch.word_mask.dtype, batch.image_ids.dtype) == (
        torch.int64,
        torch.bool,
        torch.int64,
    )
    meta = batch.to("meta")
    assert meta.size == 3 and meta.regions.device.type == "meta" and meta.words.device.type == "meta"


def test_tokens_of_another_split_are_refused(dataset):
    with pytest.raises(ValueError, match="got tokens of 2 captions, wanted 30"):
        PairDataset(dataset.split, Vocabulary.build(["a"]).encode(["a", "a"]))


def test_randomness_comes_from_the_plan(dataset):
    plan = BatchPlan(2, 5, np.arange(30))
    first = dataset[plan]
    dataset[BatchPlan(0, 0, np.arange(30))]
    np.random.seed(1)
    torch.manual_seed(1)
    assert_equal(first, dataset[plan])
    for other in (BatchPlan(2, 6, np.arange(30)), BatchPlan(3, 5, np.arange(30))):
        assert not torch.equal(first.region_mask, dataset[other].region_mask)


def test_workers_make_the_same_batches(dataset):
    plans = [BatchPlan(epoch, step, np.arange(step, 30, 3)) for epoch in range(2) for step in range(4)]
    state = torch.get_rng_state()
    here, there = list(loader(dataset, plans, 0)), list(loader(dataset, plans, 2))
    assert len(here) == len(there) == 8
    for a, b in zip(here, there, strict=True):
        assert_equal(a, b)
    assert torch.equal(state, torch.get_rng_state())  # dropout draws the same numbers with and without workers


def test_a_fault_met_by_a_loader_process_is_one_sentence(tmp_path, monkeypatch):
    """torch hands over the other process's whole traceback."""
    monkeypatch.setattr(data, "CHECKED_BYTES", 10)
    split = open_split(write(tmp_path / "p", ims=with_value(np.nan)), "train")
    pairs = PairDataset(split, Vocabulary.build(split.captions).encode(split.captions))
    with pytest.raises(UserError) as caught:
        list(loader(pairs, [BatchPlan(0, step, np.arange(30)) for step in range(3)], 2))
    assert str(caught.value).endswith("train_ims.npy row 3: got nan at region 1, column 2, wanted finite numbers")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path))


def test_a_box_that_overshoots_the_picture_is_accepted(tmp_path):
    """Detectors do that; how large the picture is stands nowhere in the layout."""
    array = bad_boxes((0, 0), (-2.5, -1, 5000, 40))
    assert np.array_equal(open_split(write(tmp_path / "p", boxes=array), "train").boxes, array)


def test_fingerprint_tells_data_apart(tmp_path):
    marks = [
        open_split(write(tmp_path / name, **change), "train").fingerprint()
        for name, change in (
            ("same", {}),
            ("again", {}),
            ("captions", {"caps": LINES[::-1]}),
            ("first", {"ims": with_value(9.0, (0, 0, 0))}),
            ("last", {"ims": with_value(9.0, (N - 1, 0, 0))}),
            ("number", {"ims": features(N - 1)}),
        )
    ]
    assert marks[0] == marks[1] and len(set(marks)) == 5


def test_a_split_is_pickled_without_its_numbers(tmp_path):
    ims = np.random.default_rng(0).normal(size=(500, 16, 32)).astype(np.float32)
    split = open_split(write(tmp_path / "p", ims=ims, boxes=np.ones((500, 16, 4), np.float32)), "train")
    raw = pickle.dumps(split)
    assert len(raw) < split.features.nbytes / 4 and len(raw) < split.boxes.nbytes + 25 * split.n_captions
    again = pickle.loads(raw)
    assert isinstance(again.features, np.memmap) and isinstance(again.boxes, np.memmap)
    assert again.captions == split.captions and torch.equal(again.regions([499])[0], split.regions([499])[0])


def test_region_drop_statistics():
    mask = np.ones((4000, 36), bool)
    mask[::2, 20:] = False
    dropped = data.drop_regions(mask, np.random.default_rng(0), 0.2)
    assert not (dropped & ~mask).any() and mask.sum() == 2000 * 56  # padding stays padding; the input is untouched
    n = mask.sum()
    assert abs(dropped.sum() / n - 0.8) < 4.5 * np.sqrt(0.16 / n)
    by_place = dropped[1::2].mean(axis=0)
    assert by_place.min() > 0.75 and by_place.max() < 0.85


def test_trap_17_one_region_always_stays():
    mask = np.zeros((3000, 5), bool)
    mask[:, :1] = True
    mask[1000:, 1:3] = True
    dropped = data.drop_regions(mask, np.random.default_rng(0), 0.95)
    assert dropped.any(axis=1).all() and dropped[:1000, 0].all()
    only = dropped[1000:][dropped[1000:].sum(axis=1) == 1]
    assert np.abs(only.mean(axis=0)[:3] - 1 / 3).max() < 0.05  # no region is preferred


def test_image_batches_in_order(dataset):
    parts = list(data.image_batches(dataset.split, 4))
    assert [len(regions) for regions, _ in parts] == [4, 2]
    assert np.array_equal(torch.cat([regions for regions, _ in parts]).numpy(), features())
    assert all(mask.dtype == torch.bool and mask.shape == regions.shape[:2] for regions, mask in parts)


def test_caption_batches_cover_all_with_little_padding():
    captions = ["a " * (1 + 7 * j % 23) for j in range(50)]
    tokens = Vocabulary.build(captions).encode(captions)
    seen, cells = [], 0
    for indices, words, mask in data.caption_batches(tokens, 8):
        ids, _, expected = tokens.gather(indices.numpy())
        assert np.array_equal(words.numpy(), ids) and np.array_equal(mask.numpy(), expected)
        seen += indices.tolist()
        cells += words.numel()
    assert sorted(seen) == list(range(50))
    assert cells < 1.2 * len(tokens.ids)


def test_split_test_is_refused_beside_testall_alone(tmp_path):
    data.refuse_coco_test(tmp_path, "test")
    (tmp_path / "testall_ims.npy").touch()
    for name in ("dev", "testall"):
        data.refuse_coco_test(tmp_path, name)
    with pytest.raises(UserError, match="got split test, wanted testall"):
        data.refuse_coco_test(tmp_path, "test")


def test_the_first_bad_box_is_named(tmp_path):
    boxes = np.tile(np.float32([0, 0, 0.5, 0.5]), (3, 4, 1))  # half a pixel is a box
    np.save(tmp_path / "a.npy", boxes)
    assert data._read_boxes(tmp_path / "a.npy", 3, 4).shape == (3, 4, 4)
    boxes[1, 2], boxes[2, 0] = (5, 5, 4, 9), (0, 0, -1, -1)
    np.save(tmp_path / "a.npy", boxes)
    with pytest.raises(UserError, match="row 1, region 2: got box 5 5 4 9"):
        data._read_boxes(tmp_path / "a.npy", 3, 4)
