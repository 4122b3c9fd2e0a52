"""Caption files in all the forms that are read, their known faults, and how pictures get their splits."""

import json

import pytest

from hrem_lib.errors import UserError
from hrem_lib.pictures.caption_files import CaptionedPicture, assign_splits, fixed_number, per_image, read_captions

TWO = [CaptionedPicture("a.jpg", ("A dog runs .", "The dog, again .")), CaptionedPicture("b.jpg", ("A cat sleeps .",))]


def karpathy(**more):
    return {
        "images": [
            {"filename": "a.jpg", "sentences": [{"raw": "A dog runs ."}, {"raw": "The dog, again ."}], **more},
            {"filename": "b.jpg", "sentences": [{"raw": "A cat sleeps ."}], **more},
        ],
        "dataset": more.pop("dataset", "flickr8k"),
    }


COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "A dog runs ."},
        {"image_id": 3, "caption": "A cat sleeps .\n"},
        {"image_id": 7, "caption": "The dog, again ."},
    ],
}


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg#0\tA dog runs .\na.jpg#1\tThe dog, again .\nb.jpg#0\tA cat sleeps .\n",
        'image,caption\na.jpg,A dog runs .\na.jpg,"The dog, again ."\nb.jpg,A cat sleeps .\n',
        "image,caption\na.jpg,A dog runs .\na.jpg,The dog, again .\nb.jpg,A cat sleeps .\n",
        "image_name| comment_number| comment\na.jpg| 0| A dog runs .\n"
        "a.jpg| 1| The dog, again .\nb.jpg| 0   A cat sleeps .\n",
        'raw,sentids,filename\n"[""A dog runs ."", ""The dog, again .""]","[0, 1]",a.jpg\n'
        '"[""A cat sleeps .""]",[2],b.jpg\n',
        "file_name;text\r\na.jpg;A dog  runs .\r\na.jpg;The dog, again .\r\nb.jpg;A cat sleeps .\r\n",
        "a.jpg,A dog runs .\na.jpg,The dog, again .\nb.jpg,A cat sleeps .\n",
        "caption\timage\nA dog runs .\ta.jpg\nThe dog, again .\ta.jpg\n\nA cat sleeps .\tb.jpg\n",
        json.dumps(karpathy()),
        json.dumps(COCO),
        "\ufeffimage,caption\na.jpg,A dog runs .\na.jpg,The dog, again .\nb.jpg,A cat sleeps .\nb.jpg,\n",
    ],
    ids=["token", "captions.txt", "unquoted comma", "Flickr30K CSV and its faulty row", "lists in cells", "semicolons",
         "no header", "tabs", "Karpathy", "COCO", "byte order mark and an empty caption"],
)  # fmt: skip
def test_every_form_gives_the_same(tmp_path, text):
    (tmp_path / "file").write_text(text, encoding="utf-8", newline="")
    assert read_captions(tmp_path / "file") == TWO


def test_quotation_marks_stay_where_they_are_no_quoting(tmp_path):
    (tmp_path / "f").write_text('image|caption\na.jpg|"Stop" says the sign .\n')
    assert read_captions(tmp_path / "f")[0].captions == ('"Stop" says the sign .',)
    (tmp_path / "f").write_text('a.jpg#0\t"Stop" says the sign .\n')
    assert read_captions(tmp_path / "f")[0].captions == ('"Stop" says the sign .',)


def test_splits_and_folders_of_karpathys_form(tmp_path):
    content = karpathy(split="restval", filepath="val2014", dataset="coco")
    content["images"][1]["split"] = "test"
    (tmp_path / "f.json").write_text(json.dumps(content))
    found = read_captions(tmp_path / "f.json")
    assert [(i.name, i.split) for i in found] == [("val2014/a.jpg", "train"), ("val2014/b.jpg", "testall")]
    content["dataset"] = "flickr30k"
    (tmp_path / "f.json").write_text(json.dumps(content))
    assert [i.split for i in read_captions(tmp_path / "f.json")] == ["train", "test"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.jpg#0\tA dog .\nno tab here\n", "line 2"),
        ("image,caption,split\na.jpg,A dog .,holdout\n", "'holdout'"),
        ("image,caption,split\na.jpg,A dog .,train\na.jpg,A cat .,val\n", "a.jpg in the splits train and dev"),
        ("image,caption,split\na.jpg,A dog .\n", "line 2"),
        ("one,two,three\n1,2,3\n", "column caption"),
        ("{", "JSON"),
        ('{"images": [{"id": 1}]}', "'filename'"),
        ("[1]", "another form"),
        ("image,caption\na.jpg,\n", "no caption"),
        ("", "column caption"),
    ],
)
def test_faults_are_named(tmp_path, text, words):
    (tmp_path / "f").write_text(text)
    with pytest.raises(UserError, match=words):
        read_captions(tmp_path / "f")


def test_a_file_that_is_no_text_and_one_that_is_not_there(tmp_path):
    (tmp_path / "f").write_bytes(b"a.jpg#0\t\xff\xfe")
    with pytest.raises(UserError, match="UTF-8 at place 8"):
        read_captions(tmp_path / "f")
    with pytest.raises(UserError, match="not found"):
        read_captions(tmp_path / "g")


def many(n, split=None):
    return [CaptionedPicture(f"{i}.jpg", ("x",), split) for i in range(n)]


def test_drawn_splits_are_whole_repeatable_and_about_a_tenth():
    parts = assign_splits(many(50))
    assert {name: len(part) for name, part in parts.items()} == {"train": 40, "dev": 5, "test": 5}
    assert sorted(int(i.name[:-4]) for part in parts.values() for i in part) == list(range(50))
    assert parts == assign_splits(many(50)) != assign_splits(many(50), seed=1)
    assert [len(p) for p in assign_splits(many(50), dev=3, test=0).values()] == [47, 3]
    assert len(assign_splits(many(30000))["dev"]) == 1000


def test_splits_of_the_file_and_one_split_for_all():
    both = many(3, "dev") + many(2, "train")
    assert {n: len(p) for n, p in assign_splits(both).items()} == {"dev": 3, "train": 2}
    assert list(assign_splits(both, only="test")) == ["test"]
    with pytest.raises(UserError, match="3 pictures with a split and 1 without"):
        assign_splits(many(3, "dev") + many(1))
    with pytest.raises(UserError, match="got 2 pictures"):
        assign_splits(many(2))


def test_a_fixed_number_of_captions():
    items = [CaptionedPicture("a", tuple("12345"))] * 3 + [CaptionedPicture("b", tuple("12"))]
    assert (
        per_image(items) == 5
        and per_image(items[-2:]) == 2
        and per_image([CaptionedPicture("c", tuple("1234567"))]) == 5
    )
    assert list(fixed_number(items[-1], 5)) == ["1", "2", "1", "2", "1"]
    assert list(fixed_number(items[0], 2)) == ["1", "2"]
