"""webdataset's tar files as input, also those that somebody made to do harm; nothing is ever unpacked."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image
from test_extract import color_extractor
from test_shards import contents, in_shards

from hrem_lib import cli, data
from hrem_lib.errors import UserError
from hrem_lib.pictures import tars
from hrem_lib.pictures.caption_files import CaptionedPicture
from hrem_lib.pictures.extract import extract_split
from hrem_lib.pictures.shards import Shard, merge
from hrem_lib.pictures.tars import Tars


def png(number):
    file = io.BytesIO()
    Image.new("RGB", (20 + number % 3, 10), (number % 256, number // 256, 7)).save(file, "png")
    return file.getvalue()


def write(path, members, form=tarfile.PAX_FORMAT):
    """A tar of (name, bytes) or TarInfo."""
    with tarfile.open(path, "w", format=form) as tar:
        for member in members:
            if not isinstance(member, tarfile.TarInfo):
                name, content = member
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                tar.addfile(member)
    return path


def pair(i, name=None):
    name = name or f"{i:05d}"
    return [(f"{name}.png", png(i)), (f"{name}.txt", f"caption {i} a\ncaption  {i} b\n".encode())]


def taken(path):
    """Captions of what is taken, and what is left out, of one tar."""
    items = [item for part in Tars(path).chunks(Shard(0, 1)) for item in part]
    names = [item.name for item in items]
    assert len(set(names)) == len(names)
    good = {item.name.removeprefix(f"{path.name}/"): item.captions for item in items if item.fault is None}
    return good, {item.name.removeprefix(f"{path.name}/"): item.fault for item in items if item.fault is not None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven tars with 0 to 130 pictures; one picture is damaged."""
    folder, at = tmp_path_factory.mktemp("tars"), 0
    for number, size in enumerate((130, 1, 64, 0, 65, 20, 3)):
        members = [member for i in range(at, at + size) for member in pair(i)]
        if number == 2:
            members[10] = (members[10][0], members[10][1][:50])
        write(folder / f"{number:04d}.tar", members)
        at += size
    return folder


def test_the_tars_give_what_a_folder_gives(folder, tmp_path):
    done = extract_split(folder, Tars(folder), tmp_path / "a", "train", color_extractor(), 2)
    assert done["rows"] == 282 and list(done["unreadable"]) == ["0002.tar/00136.png"] and done["repeated"] == 0
    split = data.open_split(tmp_path / "a", "train", 2)
    assert split.ids[:2] == ["0000.tar/00000.png", "0000.tar/00001.png"] and split.ids[131] == "0002.tar/00131.png"
    assert split.captions[2 * 131 : 2 * 131 + 2] == ["caption 131 a", "caption 131 b"]
    numbers = [i for i in range(283) if i != 136]
    values = np.load(tmp_path / "a" / "train_ims.npy")[:, 0]
    assert (values[:, 0] + 256 * (np.arange(282) >= 255)).tolist() == numbers
    (tmp_path / "pictures").mkdir()
    for i in range(283):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(png(i))
    items = [CaptionedPicture(f"{i}.png", (f"caption {i} a", f"caption {i} b")) for i in numbers]
    extract_split(tmp_path / "pictures", items, tmp_path / "b", "train", color_extractor(), 2)
    for name in ("train_ims.npy", "train_boxes.npy", "train_caps.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("count", [2, 4, 9])
def test_merged_shards_of_tars_are_the_bytes_of_one_process(folder, tmp_path, count):
    extract_split(folder, Tars(folder), tmp_path / "whole", "dev", color_extractor(), 2)
    places = in_shards(folder, tmp_path / "a", count, splits={"dev": Tars(folder)}, count=2)
    merge(places, tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_batches_do_not_reach_over_tars(folder):
    """Else a shard's batches would not be those of one process."""
    of_shards = [[item.name for item in part] for i in range(4) for part in Tars(folder).chunks(Shard(i, 4))]
    assert of_shards == [[item.name for item in part] for part in Tars(folder).chunks(Shard(0, 1))]
    assert [len(part) for part in of_shards] == [64, 64, 2, 1, 64, 64, 1, 20, 3]


def test_tars_go_on_where_they_stopped(folder, tmp_path):
    extract_split(folder, Tars(folder), tmp_path / "whole", "dev", color_extractor(), 2)
    calls = []
    extractor = color_extractor(calls)

    def look(pictures):
        if len(calls) == 3:
            raise KeyboardInterrupt
        return extractor.look(pictures)

    with pytest.raises(KeyboardInterrupt):
        extract_split(folder, Tars(folder), tmp_path / "a", "dev", extractor._replace(look=look), 2, batch=64)
    extract_split(folder, Tars(folder), tmp_path / "a", "dev", extractor, 2, batch=64)
    assert sum(calls) == 282 and contents(tmp_path / "a") == contents(tmp_path / "whole")
    write(folder / "9999.tar", pair(1))
    try:
        with pytest.raises(UserError, match="got items = "):
            extract_split(folder, Tars(folder), tmp_path / "a", "dev", extractor, 2)
    finally:
        (folder / "9999.tar").unlink()


def test_forms_of_captions(tmp_path):
    form = {
        "a": ("json", b'{"caption": "one"}', ("one",)),
        "b": ("json", b'{"key": 3, "captions": ["one", " two  words ", ""]}', ("one", "two words")),
        "c": ("json", b'["one", "two"]', ("one", "two")),
        "d": ("txt", "\ufeffein Café\r\n\r\nzwei".encode(), ("ein Café", "zwei")),
        "e": ("JSON", b'{"raw": "one"}', ("one",)),
    }
    members = [m for key, (kind, text, _) in form.items() for m in ((f"{key}.{kind}", text), (f"./{key}.jpg", png(1)))]
    members += [("f.json", b'{"caption": "no"}'), ("f.cls", b"7"), ("f.jpg", png(1)), ("f.txt", b"yes")]
    members += [("sub/g.1.jpg", png(1)), ("README", b"x"), (".hidden", b"x"), ("h.seg.png", png(1))]
    good, bad = taken(write(tmp_path / "x.tar", members))
    assert good == {f"{key}.jpg": captions for key, (_, _, captions) in form.items()} | {"f.jpg": ("yes",)}
    assert bad == {"sub/g": "no picture of this name", "h": "no picture of this name"}
    assert Tars(tmp_path / "x.tar").per_image() == 1


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("txt", b"\xff\xfe", "cannot be read"),
        ("txt", b" \n ", "no caption in its"),
        ("txt", b"a" * 4001, "longer than 4000"),
        ("txt", b"a\0b", "no text"),
        ("json", b"{", "cannot be read"),
        ("json", b"[" * 100_000, "cannot be read"),
        ("json", b'{"caption": "\\ud800"}', "no text"),
        ("json", b'{"caption": 5}', "no caption in its"),
        ("json", b'{"title": "x"}', "no caption in its"),
        ("json", b"5", "no caption in its"),
        ("cls", b"5", "no .txt and no .json beside it"),
        ("txt", b"a" * (2**20 + 1), "captions of 1048577 bytes"),
    ],
)
def test_captions_that_are_none(tmp_path, kind, content, words):
    good, bad = taken(write(tmp_path / "x.tar", [*pair(0), ("a.png", png(0)), (f"a.{kind}", content), *pair(1)]))
    assert list(good) == ["00000.png", "00001.png"] and list(bad) == ["a.png"] and words in bad["a.png"]


def other(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_hostile_members_are_left_out_and_nothing_is_unpacked(tmp_path):
    (tmp_path / "in").mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    names = [
        "../out",
        "/out",
        "a/../../out",
        "..\\out",
        "C:\\out",
        "\\out",
        "line\nbreak",
        "\x1b[2Jx",
        "\udcff",
        "n" * 1001,
    ]
    members = [member for name in names for member in pair(3, name)]
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z")
    members += [other(f"link{i}.png", kind, str(secret)) for i, kind in enumerate(kinds)]
    members += [other("link0.txt", tarfile.SYMTYPE, "/etc/passwd"), other("folder.png", tarfile.DIRTYPE)]
    members += [*pair(1), *pair(2), ("00001.png", png(5)), ("00001.txt", b"other"), other("00002.png", tarfile.SYMTYPE)]
    path = write(tmp_path / "in" / "x.tar", members)
    good, bad = taken(path)
    assert good == {f"0000{i}.png": (f"caption {i} a", f"caption {i} b") for i in (1, 2)}
    assert sum("leads out" in why for why in bad.values()) == 12
    assert sum("cannot be printed" in why for why in bad.values()) == 8
    assert sum(why.startswith("a link") for why in bad.values()) == 7
    assert {name: why for name, why in bad.items() if "#" in name} == {
        "00001.png#2": "its name stands twice in the tar",
        "00002.png#2": "its name stands twice in the tar",
    }
    assert len(bad) == 29 and all("\n" not in name and name.isprintable() for name in bad)
    before = sorted(tmp_path.rglob("*"))
    done = extract_split(path, Tars(path), tmp_path / "o", "dev", color_extractor(), 1)
    assert done["rows"] == 2 and len(done["unreadable"]) == 29
    assert data.open_split(tmp_path / "o", "dev", 1).ids == ["x.tar/00001.png", "x.tar/00002.png"]
    written = {tmp_path / "o", *(tmp_path / "o" / f"dev_{kind}" for kind in ("ims.npy", "boxes.npy", "caps.txt", "ids.txt", "extract.json"))}  # fmt: skip # noqa: E501
    assert set(tmp_path.rglob("*")) - set(before) == written


def test_a_huge_member_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "LARGEST", 1000)
    good, bad = taken(write(tmp_path / "x.tar", [("a.png", bytes(1001)), ("a.txt", b"x"), *pair(1)]))
    assert list(good) == ["00001.png"] and bad == {"a.png": "1001 bytes, wanted at most 1000"}


def test_headers_that_hold_or_fill_pythons_reader(tmp_path):
    """A negative size in a pax header sent tarfile backwards for ever; a long name is read whole before one sees it."""
    path = write(tmp_path / "a.tar", pair(1))
    start = path.read_bytes()[: 4 * 512]  # two members
    negative = tarfile.TarInfo("b.png")
    negative.pax_headers = {"size": "-4096"}
    path.write_bytes(start + negative.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    good, bad = taken(path)
    assert list(good) == ["00001.png"] and list(bad) == ["a.tar"] and "damaged after 00001.txt" in bad["a.tar"]
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 2**40
    path.write_bytes(start + long.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    good, bad = taken(path)
    assert list(good) == ["00001.png"] and "a header of 1099511627776 bytes" in bad["a.tar"]


@pytest.mark.parametrize(
    "kind", ["cut in data", "cut in header", "no end", "header", "behind the end", "gzip", "empty", "text"]
)
def test_a_damaged_tar_is_named_and_what_comes_before_is_taken(tmp_path, kind):
    path = write(tmp_path / "x.tar", [*pair(1), *pair(2)])
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        third, last = tar.getmembers()[2].offset, tar.getmembers()[3].offset
    if kind == "gzip":
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("a.png"))
    else:
        path.write_bytes({
            "cut in data": whole[: third + 520], "cut in header": whole[: third + 100], "no end": whole[: last + 1024],
            "header": whole[:third] + b"?" * 300 + whole[third + 300 :], "behind the end": whole + whole,
            "empty": b"", "text": b"no tar" * 200,
        }[kind])  # fmt: skip
    good, bad = taken(path)
    assert len(good) == {"no end": 2, "behind the end": 2, "gzip": 0, "empty": 0, "text": 0}.get(kind, 1)
    assert "x.tar" in bad and "wanted a whole tar" in bad["x.tar"] and "\n" not in bad["x.tar"]


def test_commands_with_tars(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    base = ["extract", str(folder), "--model", "sample", "--out"]
    for words, said in {
        (*base, "a"): "got tar files, wanted --split NAME",
        (*base, "a", "--split", "dev", "--test", "3"): "--keep, --dev and --test go with --captions",
        ("extract", "none", "--out", "a"): "got no tar files, wanted --captions FILE",
        ("extract", "none/x.tar", "--out", "a"): "got no tar files, wanted --captions FILE",
    }.items():
        assert cli.main(list(words)) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    small = tmp_path / "small"
    small.mkdir()
    for i in range(2):
        write(small / f"{i}.tar", [member for k in range(3) for member in pair(3 * i + k)])
    base[1] = str(small)
    assert cli.main([*base, "whole", "--split", "train"]) == 0
    assert "train: 6 pictures, 2 captions each" in capsys.readouterr().out
    for i in range(2):
        assert cli.main([*base, "a", "--split", "train", "--shard", f"{i}/2"]) == 0
    assert cli.main(["extract", "--merge", "a/shard-0-of-2", "a/shard-1-of-2", "--out", "a"]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")
    assert json.loads((tmp_path / "a" / "train_extract.json").read_text())["pictures"] == str(small)


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """A tar's headers are let go one by one."""
    path = tmp_path / "x.tar"
    with open(path, "wb") as file:
        for i in range(5_000):
            header = tarfile.TarInfo(f"{i}.cls")
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(1024))
    import tracemalloc

    tracemalloc.start()
    count = sum(1 for _ in tars._members(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_000 and most < 2e6
