"""`hrem.load`: pictures and sentences of a trained run as rows, as the evaluation embeds them."""

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import hrem_lib as hrem
from hrem_lib import checkpoints, data, evaluation, training
from hrem_lib.errors import UserError
from hrem_lib.search.embedder import Embedder


@pytest.fixture(scope="module")
def run():
    return hrem.load(data.sample_run(), device="cpu")


@pytest.fixture(scope="module")
def split():
    return data.open_split(data.sample_dir(), "test")


def test_sentences_as_in_the_evaluation(run, split):
    stored = checkpoints.load_run(data.sample_run())
    wanted = evaluation.encode_texts(stored.model, stored.text.encode(split.captions[:30])).numpy()
    got = run.embed_texts(split.captions[:30])
    assert got.dtype == np.float32 and np.array_equal(got, wanted)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)


def test_features_as_in_the_evaluation(run, split):
    wanted = evaluation.encode_images(run.model, split).numpy()
    array = np.array(split.features[:20], np.float32)
    for features in (array, torch.from_numpy(array)):
        np.testing.assert_allclose(run.embed_images(features, batch_size=7), wanted[:20], atol=1e-6)
    padded = np.pad(array[:5], ((0, 0), (0, 3), (0, 0)))  # rows of zeros at the end are no regions
    np.testing.assert_allclose(run.embed_images(padded), wanted[:5], atol=1e-6)


def test_pictures_go_through_the_network_of_the_features(run, split):
    folder = data.sample_dir().parent / "pictures" / "test"
    wanted = evaluation.encode_images(run.model, split).numpy()
    files = [folder / f"{i:04d}.png" for i in (4, 22)]
    by_file = run.embed_images(files, batch_size=1)
    assert ((by_file @ wanted.T).argmax(1) == [4, 22]).all() and (np.sum(by_file * wanted[[4, 22]], 1) > 0.99).all()
    np.testing.assert_allclose(run.embed_images([Image.open(file) for file in files]), by_file, atol=1e-6)
    np.testing.assert_allclose(run.embed_images(Image.open(files[1])), by_file[1:], atol=1e-6)


def test_a_folder_in_the_order_of_its_paths(run, tmp_path):
    source = data.sample_dir().parent / "pictures" / "test"
    for name, number in (("b/1.PNG", 4), ("a.png", 22), ("c.png", 7)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((source / f"{number:04d}.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    wanted = run.embed_images([source / f"{number:04d}.png" for number in (22, 4, 7)])
    np.testing.assert_allclose(run.embed_images(tmp_path), wanted, atol=1e-6)
    np.testing.assert_allclose(run.embed_images(str(tmp_path)), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 3, 5), np.float32), "got features of width 5, wanted 96, the run's"),
        (np.zeros((2, 96), np.float32), r"got features of shape \[2, 96\], wanted \[pictures,R,F\]"),
        (np.full((1, 3, 96), np.nan, np.float32), "not finite"),
        ([], "got no pictures"),
        ("nowhere", "nowhere: not a folder"),
        (["nowhere.png"], "nowhere.png: not readable as a picture"),
    ],
)
def test_bad_pictures(run, images, words):
    with pytest.raises(UserError, match=words):
        run.embed_images(images)


@pytest.mark.parametrize("texts", ["a dog", []])
def test_bad_texts(run, texts):
    with pytest.raises(UserError, match="wanted a list of sentences"):
        run.embed_texts(texts)


def test_a_run_on_features_of_unknown_origin(tmp_path):
    folder = tiny.write(tmp_path)
    training.train(tiny.config(folder, training__epochs=1, training__warmup_steps=0), tmp_path / "run")
    run = hrem.load(tmp_path / "run")
    assert run.embed_images(data.open_split(folder, "test").features[:3]).shape == (3, run.config.model.embed_dim)
    with pytest.raises(UserError, match="not known which network made the features"):
        run.embed_images([Image.new("RGB", (30, 20))])
    (folder / "test_ims.npy").unlink()
    (folder / "train_ims.npy").unlink()  # the data are gone: words and features can still be embedded
    assert hrem.load(tmp_path / "run").embed_texts(["a red dog"]).shape[0] == 1


def test_padding_of_pictures_with_fewer_regions(run):
    """A network may see fewer regions in one picture than in another."""
    seen = [np.random.default_rng(i).standard_normal((r, 96)).astype(np.float32) for i, r in enumerate((3, 5))]

    class Eyes:
        prepare = staticmethod(lambda picture: picture)

        @staticmethod
        def look(pictures):
            from hrem_lib.pictures.networks import Regions

            return [
                Regions(seen[picture.width - 10], np.zeros((len(seen[picture.width - 10]), 4))) for picture in pictures
            ]

    embedder = Embedder(checkpoints.load_run(data.sample_run()), network="of this test")
    embedder._extractor = Eyes()
    both = embedder.embed_images([Image.new("RGB", (10, 9)), Image.new("RGB", (11, 9))])
    for row, features in zip(both, seen, strict=True):
        np.testing.assert_allclose(row, embedder.embed_images(features[None])[0], atol=1e-6)
