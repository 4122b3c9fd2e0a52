"""From a folder of pictures to the public layout: what is written, resumed, left out and refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from test_networks import saved, small_vit  # noqa: F401  (a fixture)

from hrem_lib import cli, data
from hrem_lib.errors import UserError
from hrem_lib.pictures import extract, images, networks
from hrem_lib.pictures.caption_files import CaptionedPicture, read_captions
from hrem_lib.pictures.networks import RegionExtractor, Regions

N = 150  # more than two chunks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures whose color tells their number, in two folders; two of them cannot be read, one is not there."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for i in range(N):
        Image.new("RGB", (20 + i % 3, 10), (i, 0, 7)).save(folder / ("more" if i % 2 else ".") / f"{i}.png")
    (folder / "3.txt").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:50])
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def items():
    found = [CaptionedPicture(f"{i}.png", tuple(f"caption {i} {k}" for k in range(5 + i % 2))) for i in range(N)]
    found.insert(70, CaptionedPicture("cut.png", ("x",)))
    found.insert(5, CaptionedPicture("text.jpg", ("x",)))
    found.append(CaptionedPicture("nowhere.png", ("x",)))
    return found


def color_extractor(calls=None, regions=3):
    """One region for even pictures, two for odd ones; the feature is the color."""

    def look(pictures):
        if calls is not None:
            calls.append(len(pictures))
        found = []
        for (number, _, blue), (width, height) in pictures:
            r = 1 + number % 2
            values = np.tile(np.array([number, 1, blue, 2], np.float32), (r, 1))
            found.append(Regions(values, np.tile(np.array([0, 0, width, height], np.float32), (r, 1))))
        return found

    return RegionExtractor(lambda picture: (picture.getpixel((0, 0)), picture.size), look, regions, "color")


def test_layout(folder, items, tmp_path):
    done = extract.extract_split(folder, items, tmp_path / "mine_precomp", "test", color_extractor())
    assert done["rows"] == N and done["repeated"] == 0
    assert set(done["unreadable"]) == {"cut.png", "text.jpg", "nowhere.png"}
    assert done["unreadable"]["nowhere.png"] == "not found" and "identify" in done["unreadable"]["text.jpg"]
    split = data.open_split(tmp_path / "mine_precomp", "test")
    assert split.n_images == N and split.captions_per_image == 5 and split.ids == [f"{i}.png" for i in range(N)]
    regions, mask = split.regions(range(N))
    assert regions[:, 0, 0].tolist() == list(range(N)) and regions.dtype.is_floating_point
    assert mask.sum(1).tolist() == [1 + i % 2 for i in range(N)]
    assert split.captions[5 * 7 : 5 * 7 + 2] == ["caption 7 0", "caption 7 1"]
    assert split.boxes[4, 0].tolist() == [0, 0, 21, 10] and split.boxes[4, 2].tolist() == [0, 0, 0, 0]
    assert not list((tmp_path / "mine_precomp").glob("*.part"))


def test_an_interrupted_call_goes_on_and_gives_the_same(folder, items, tmp_path):
    whole, calls = tmp_path / "whole_precomp", []
    extract.extract_split(folder, items, whole, "train", color_extractor())
    broken = color_extractor(calls)

    def stop_late(pictures):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return broken.look(pictures)

    part = tmp_path / "part_precomp"
    with pytest.raises(KeyboardInterrupt):
        extract.extract_split(folder, items, part, "train", broken._replace(look=stop_late), batch=64)
    with open(part / "train_ims.npy.part", "ab") as file:  # written, but the machine stopped before the record
        file.write(b"half a row")
    assert (
        not (part / "train_ims.npy").exists() and json.loads((part / "train_extract.json").read_text())["next"] == 128
    )
    extract.extract_split(folder, items, part, "train", color_extractor(calls), batch=64)
    assert calls == [63, 63, N - 126]
    for name in ("train_ims.npy", "train_boxes.npy", "train_caps.txt", "train_ids.txt", "train_extract.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name
    extract.extract_split(folder, items, part, "train", color_extractor(calls))  # done already
    assert len(calls) == 3


@pytest.mark.parametrize("stage", ["captions", "last record"])
def test_stopped_after_the_last_picture(folder, items, tmp_path, monkeypatch, stage):
    out = tmp_path / "a_precomp"

    def no_space(*args):
        if stage == "captions" or args[1]["done"]:
            raise OSError("disk full")
        write_json(*args)

    write_json = extract.write_json
    with monkeypatch.context() as patch:
        patch.setattr(*((extract.Lines, "finish") if stage == "captions" else (extract, "write_json")), no_space)
        with pytest.raises(OSError, match="disk full"):
            extract.extract_split(folder, items, out, "train", color_extractor())
    done = extract.extract_split(folder, items, out, "train", color_extractor())
    assert done["done"] and data.open_split(out, "train").regions(range(N))[0][:, 0, 0].tolist() == list(range(N))


def test_other_settings_are_refused(folder, items, tmp_path):
    out = tmp_path / "a_precomp"
    extract.extract_split(folder, items, out, "dev", color_extractor())
    for words, change in {
        "got half|got dtype = float16": {"half": True},
        "captions_per_image = 2": {"count": 2},
        "got regions = 4": {"extractor": color_extractor(regions=4)},
        "got items": {"items": items[:50]},
    }.items():
        with pytest.raises(UserError, match=words):
            extract.extract_split(
                **{
                    "folder": folder,
                    "items": items,
                    "out": out,
                    "split": "dev",
                    "extractor": color_extractor(),
                    **change,
                }
            )
    (out / "dev_extract.json").unlink()
    with pytest.raises(UserError, match="is there already"):
        extract.extract_split(folder, items, out, "dev", color_extractor())


def test_float16_and_values_that_do_not_fit(folder, items, tmp_path):
    extract.extract_split(folder, items, tmp_path / "a_precomp", "dev", color_extractor(), half=True)
    assert np.load(tmp_path / "a_precomp" / "dev_ims.npy").dtype == np.float16
    extractor = color_extractor()

    def large(pictures):
        return [Regions(1e6 * seen.features, seen.boxes) for seen in extractor.look(pictures)]

    with pytest.raises(UserError, match=r"0.png: got features with NaN or infinity in float16"):
        extract.extract_split(folder, items, tmp_path / "b_precomp", "dev", extractor._replace(look=large), half=True)


def test_nothing_readable(folder, tmp_path):
    with pytest.raises(UserError, match=r"no readable picture of 1 \(text.jpg"):
        extract.extract_split(
            folder, [CaptionedPicture("text.jpg", ("x",))], tmp_path / "a_precomp", "dev", color_extractor()
        )
    with pytest.raises(UserError, match="not a folder"):
        extract.extract_split(folder / "none", [CaptionedPicture("a", ("x",))], tmp_path, "dev", color_extractor())


def test_pictures_are_found_by_name_below_the_folder(tmp_path):
    for place in ("a/1.png", "b/1.png", "b/2.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    find = images.picture_finder(tmp_path)
    assert find("a/1.png") == tmp_path / "a" / "1.png" and find("2.png") == tmp_path / "b" / "2.png"
    assert find("val2014/2.png") == tmp_path / "b" / "2.png"
    with pytest.raises(FileNotFoundError, match="2 files of this name"):
        find("1.png")


def test_a_name_that_leads_out_of_the_folder_is_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    for path in ("secret.png", "pictures/a/b.png", "pictures-2/c.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "0.png", tmp_path / path)
    monkeypatch.chdir(tmp_path / "pictures")
    outside = ["../secret.png", "a/../../secret.png", str(tmp_path / "secret.png"), "../pictures-2/c.png"]
    for pictures in (tmp_path / "pictures", "."):
        find = images.picture_finder(pictures)
        for name in outside:
            with pytest.raises(FileNotFoundError, match="lies outside the folder of pictures"):
                find(name)
        for name in ("a/b.png", "b.png", "a/../a/b.png", "../pictures/a/b.png", str(tmp_path / "pictures/a/b.png")):
            assert find(name) == tmp_path / "pictures" / "a" / "b.png"
        assert find("/elsewhere/val2014/b.png") == tmp_path / "pictures" / "a" / "b.png"  # by its file name, as before
        with pytest.raises(FileNotFoundError, match="not found"):
            find("none.png")
    named = [CaptionedPicture(name, ("x",)) for name in ("../secret.png", "a/b.png")]
    done = extract.extract_split(tmp_path / "pictures", named, tmp_path / "out", "test", color_extractor())
    assert done["rows"] == 1 and done["unreadable"] == {"../secret.png": "lies outside the folder of pictures"}


def test_links_within_the_folder_are_the_users_own(folder, tmp_path):
    (tmp_path / "pictures").mkdir()
    try:
        (tmp_path / "pictures" / "more").symlink_to(folder / "more", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert images.read_picture(images.picture_finder(tmp_path / "pictures")("more/1.png")).size == (21, 10)


def test_pictures_in_other_modes_and_turned(tmp_path):
    for mode in ("P", "L", "RGBA", "CMYK", "I;16"):
        path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
        Image.new(mode, (4, 3)).save(path)
        assert images.read_picture(path).mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held on its side
    Image.new("RGB", (4, 3)).save(tmp_path / "turned.jpg", exif=exif)
    assert images.read_picture(tmp_path / "turned.jpg").size == (3, 4)


@pytest.mark.parametrize("captions", [30_000, 11_000, 5_600, 2_300, 700])
def test_the_command_that_follows_can_train(captions):
    from hrem_lib import config as configs
    from hrem_lib import sampling, training

    name, *settings = extract.training_preset(captions).split()
    pairs = {k.removeprefix("--"): v for k, v in zip(settings[::2], settings[1::2], strict=True)}
    config = configs.preset(name).override(pairs)
    training.check_schedule(config, sampling.steps_per_epoch(captions, config.training.batch_size))
    assert (name == "f8k") == (captions >= 11_000)


def test_command_with_a_transformers_model(saved, tmp_path, capsys):  # noqa: F811
    pictures = data.sample_dir().parent / "pictures"
    split = data.open_split(data.sample_dir(), "test")
    lines = [f"{split.ids[i]}#{k}\t{split.captions[5 * i + k]}" for i in range(20) for k in range(5 - (i % 3 == 0))]
    lines.append("gone.png#0\tA picture that is not there .")
    (tmp_path / "captions.token").write_text("\n".join(lines))
    out = tmp_path / "mine_precomp"
    command = ["extract", str(pictures), "--captions", str(tmp_path / "captions.token"), "--out", str(out)]
    command += ["--model", saved(small_vit), "--regions", "9", "--device", "cpu"]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert (
        "left out gone.png: not found" in text
        and "repeated to 5" in text
        and "hrem train sample --training.warmup_steps 4" in text
    )
    sizes = {name: data.open_split(out, name).n_images for name in ("train", "dev", "test")}
    assert sum(sizes.values()) == 20 and sizes["dev"] + sizes["test"] in (3, 4)
    train = data.open_split(out, "train")
    (one,) = networks.open_extractor(saved(small_vit), 9).look(
        [networks.open_extractor(saved(small_vit), 9).prepare(images.read_picture(pictures / train.ids[0]))]
    )
    np.testing.assert_allclose(train.regions([0])[0][0].numpy(), one.features, atol=1e-5)
    assert cli.main(command) == 0  # again: done already
    (tmp_path / "keep.txt").write_text("\n".join(split.ids[:2]))
    assert cli.main([*command[:-6], "--model", saved(small_vit), "--split", "extra", "--regions", "9", "--keep", str(tmp_path / "keep.txt")]) == 0  # fmt: skip # noqa: E501
    assert data.open_split(out, "extra").ids == split.ids[:2]
    (tmp_path / "keep.txt").write_text("other.png\n")
    assert cli.main([*command, "--keep", str(tmp_path / "keep.txt")]) == 2
    assert len(read_captions(tmp_path / "captions.token")) == 21


@pytest.mark.parametrize("content", ["[]", "{}", '{"pictures": "p"}', "no JSON"])
def test_a_damaged_record_of_extract_is_one_sentence(tmp_path, content):
    assert extract.origin(tmp_path, "test") == extract.Origin()
    (tmp_path / "test_extract.json").write_text(content)
    with pytest.raises(UserError, match=r"test_extract\.json: not"):
        extract.origin(tmp_path, "test")
