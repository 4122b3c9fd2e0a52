"""A tiny data set in the public layout that a tiny model can learn: topic words and topic features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hrem_lib import config as configs

WORDS = "red blue green cat dog horse ball kite boat tree house road".split()


def write(folder: Path, images: tuple[int, int, int] = (40, 10, 10), regions: int = 4, width: int = 16) -> Path:
    """`folder`/tiny_precomp with train, dev and test; a picture shows three of the words."""
    folder = folder / "tiny_precomp"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((len(WORDS), width))
    for split, count in zip(("train", "dev", "test"), images, strict=True):
        lines, features = [], np.empty((count, regions, width), np.float32)
        for i in range(count):
            shown = rng.choice(len(WORDS), 3, replace=False)
            features[i] = looks[shown[np.arange(regions) % 3]] + 0.1 * rng.standard_normal((regions, width))
            for _ in range(5):
                lines.append("a " + " and a ".join(WORDS[w] for w in rng.permutation(shown)[: rng.integers(2, 4)]))
        np.save(folder / f"{split}_ims.npy", features)
        (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n")
    return folder


def config(folder: Path | str, **changes) -> configs.Config:
    """A model of width 16 that trains in a second or two; `changes` are settings with __ for the dot."""
    settings = {
        "data.folder": str(folder),
        "model.embed_dim": 16,
        "model.heads": 2,
        "model.word_dim": 12,
        "graph.top_matches": 4,
        "loss.sampling_dim": 16,
        "training.epochs": 4,
        "training.batch_size": 20,
        "training.decay_epochs": [3],
        "training.warmup_steps": 10,
        "training.learning_rate": 0.005,
        "training.device": "cpu",
        "sampling.neighbor_epoch": 0,
    }
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    return configs.preset("sample").override(settings)
