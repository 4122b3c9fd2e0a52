"""Run by torchrun from test_training.py: one training by several processes, and what each of them did. Writes JSON."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from tiny import config

from hrem_lib import checkpoints, distributed, evaluation, files, sampling, training

SETTINGS = {
    "training__epochs": 3,
    "training__batch_size": 10,
    "training__warmup_steps": 25,
    "sampling__neighbor_epoch": 2,
    "sampling__clusters": 2,
    "sampling__clusters_per_batch": 1,
    "sampling__images_per_cluster": 10,
}


def main(folder: str, out: Path, resume: str) -> None:
    found: dict = {"evaluations": 0, "clusterings": 0, "written": [], "read": []}

    def count(module: object, name: str, note) -> None:
        real = getattr(module, name)

        def call(*args, **kwargs):
            note(*args)
            return real(*args, **kwargs)

        setattr(module, name, call)

    def up(what: str):
        return lambda *_: found.update({what: found[what] + 1})

    count(evaluation, "evaluate", up("evaluations"))
    count(sampling, "cluster_images", up("clusterings"))
    count(files, "write_bytes", lambda path, _: found["written"].append(path.name))
    real_fit = training.fit

    def fit(model, *args):
        history = real_fit(model, *args)
        weights = b"".join(t.cpu().numpy().tobytes() for _, t in sorted(model.state_dict().items()))
        found.update(weights=hashlib.sha256(weights).hexdigest(), epochs=[line["dev"]["rSum"] for line in history])
        return history

    training.fit = fit
    with distributed.processes(), checkpoints.run_folder(out) as mine:
        found["read"] = sorted(path.name for path in mine.iterdir() if path.stat().st_size) if mine.is_dir() else []
        result = training.train(config(folder, **SETTINGS), mine, resume == "resume")
        found["files"] = sorted(path.name for path in mine.iterdir())
        found["result"] = {name: result[name]["rSum"] for name in ("dev", "test")}
        report = out.with_name(f"{out.name}.{os.environ['RANK']}.{resume}.json")
        report.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
