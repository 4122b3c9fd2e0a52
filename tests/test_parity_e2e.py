"""From a released checkpoint to recalls: fixtures group `e2e`, what the released evaluation makes of a toy data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from composition import CHECKPOINTS, FIXTURES, bert_config_of, close, mask_of
from safetensors.torch import load_file

from hrem_lib import checkpoints, cli, data, evaluation
from hrem_lib.metrics import rank_metrics, ranks
from hrem_lib.released import load_released

E2E = FIXTURES / "e2e"
pytestmark = pytest.mark.skipif(not CHECKPOINTS, reason="e2e: this group is not among the fixtures")


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=[p.stem for p in CHECKPOINTS])
def model(request):
    return load_released(request.param, bert_config_of())[0]


@pytest.fixture(scope="module")
def expected():
    return load_file(E2E / "expected.safetensors"), json.loads((E2E / "expected.json").read_text())


@torch.no_grad()
def test_embeddings_of_a_padded_batch(model, expected):
    t, _ = expected
    images, captions = t["input.images"], t["input.captions"]
    image_emb = model.encode_images(images, mask_of(t["input.image_lengths"], images.size(1))).emb
    text_emb = model.encode_texts(captions, mask_of(t["input.lengths"], captions.size(1))).emb
    close(image_emb, t["img_emb"], 1e-5)
    close(text_emb, t["cap_emb"], 1e-5)


@torch.no_grad()
def test_recalls_of_the_test_split(model, expected):
    """Each image encoded once (the released evaluation encodes it five times), captions in one padded batch."""
    t, info = expected
    per_image = len(t["test.cap_embs"]) // info["npts"]
    features = torch.from_numpy(np.load(E2E / "data" / "f30k_precomp" / "test_ims.npy"))
    pieces = json.loads((E2E / "data_expected.json").read_text())["test_token_ids"]
    lengths = torch.tensor([len(p) for p in pieces])
    words = torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in pieces], batch_first=True)
    image_emb = model.encode_images(features, torch.ones(features.shape[:2], dtype=torch.bool)).emb
    text_emb = model.encode_texts(words, mask_of(lengths, words.size(1))).emb
    close(image_emb.repeat_interleave(per_image, 0), t["test.img_embs"], 1e-5)
    close(text_emb, t["test.cap_embs"], 1e-5)
    similarity = image_emb @ text_emb.T
    close(similarity, t["test.sims"], 1e-5)
    i2t, t2i = ranks(similarity.numpy(), np.arange(len(pieces)) // per_image)
    assert i2t.tolist() == info["metrics"]["i2t"]["ranks"]
    assert t2i.tolist() == info["metrics"]["t2i"]["ranks"]
    figures = rank_metrics(i2t, t2i)
    for direction in ("i2t", "t2i"):
        got = [figures[direction][key] for key in ("R@1", "R@5", "R@10", "MedR", "MeanR")]
        assert got == pytest.approx(info["metrics"][direction]["result"])


@pytest.mark.parametrize("path", CHECKPOINTS, ids=[p.stem for p in CHECKPOINTS])
def test_imported_run_gives_the_released_embeddings_and_recalls(path, expected, tmp_path, capsys):
    """`hrem import`, then `hrem evaluate`: vocabulary and BERT's configuration lie beside the file."""
    t, info = expected
    out, figures = tmp_path / "run", tmp_path / "figures.json"
    assert cli.main(["import", str(path), "--out", str(out)]) == 0
    report = capsys.readouterr().out
    assert "74 weights taken over" in report and "none missing, none unknown" in report
    run = checkpoints.load_run(out)
    split = data.open_split(E2E / "data" / "f30k_precomp", "test")
    text_emb = evaluation.encode_texts(run.model, run.text.encode(split.captions))
    close(text_emb, t["test.cap_embs"], 1e-5)
    close(evaluation.encode_images(run.model, split).repeat_interleave(5, 0), t["test.img_embs"], 1e-5)
    assert cli.main(["evaluate", str(out), "--data", str(E2E / "data"), "--json", str(figures)]) == 0
    written = json.loads(figures.read_text())
    for direction in ("i2t", "t2i"):
        got = [written[direction][key] for key in ("R@1", "R@5", "R@10", "MedR", "MeanR")]
        assert got == pytest.approx(info["metrics"][direction]["result"])
    capsys.readouterr()
    assert cli.main(["evaluate", str(out)]) == 2  # the sample data's features are 96 wide
    message = capsys.readouterr().err
    assert "got features of width 96, wanted 48" in message and message.count("\n") == 1
