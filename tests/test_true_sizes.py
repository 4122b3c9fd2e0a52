"""The whole path at the paper's sizes (36 x 2048, bert-base, D = 1024, B = 128); a minute or more: HREM_SLOW=1."""

import os

import numpy as np
import pytest
import torch

from hrem_lib import config as configs
from hrem_lib import data, evaluation, training
from hrem_lib.model import build_model
from hrem_lib.pretrained import make_bert
from hrem_lib.text import WordPiece

pytestmark = pytest.mark.skipif(not os.environ.get("HREM_SLOW"), reason="set HREM_SLOW=1")
BERT_BASE = {"model_type": "bert", "vocab_size": 30522}  # the defaults of the configuration are bert-base's sizes


def test_one_step_and_one_evaluation(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "big_precomp"
    folder.mkdir()
    np.save(folder / "train_ims.npy", rng.standard_normal((128, 36, 2048)).astype(np.float32))
    words = "a man woman dog rides holds red blue board wave bike street park runs jumps ball".split()
    lines = [" ".join(rng.choice(words, rng.integers(8, 20))) for _ in range(640)]
    (folder / "train_caps.txt").write_text("\n".join(lines) + "\n")
    split = data.open_split(folder, "train")

    config = configs.preset("f30k").override({"training.device": "cpu"})
    text = WordPiece.train(split.captions, 200)
    tokens = text.encode(split.captions)
    torch.manual_seed(0)
    model = build_model(config, split.region_dim, text.size, bert_config=BERT_BASE)
    assert sum(p.numel() for p in make_bert("", 0, BERT_BASE).parameters()) == 108_891_648  # bert-base without pooler
    assert (config.model.embed_dim, config.training.batch_size) == (1024, 128)

    train_set = data.PairDataset(split, tokens, (text.mask_id, text.random_range), 0.2, 0.2, 0)
    batch = train_set[data.BatchPlan(1, 0, np.arange(128) * 5)]
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    report = training.train_step(model, batch, objective, optimizer, 2.0, relation=True)
    assert torch.isfinite(report.total) and {"enhanced", "regularizer"} <= set(report.terms)
    result = evaluation.evaluate([(model, tokens)], split)
    assert result["images"] == 128 and result["captions"] == 640
