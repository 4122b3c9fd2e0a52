"""`hrem import`: read a checkpoint of the authors' released code."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    released = commands.add_parser("import", help="read a checkpoint of the authors' released code")
    released.add_argument("file", type=Path, help="a released .pth file; nothing in it is run")
    released.add_argument("--text", type=Path, metavar="FOLDER", help="BERT's vocab.txt and bert_config.json (default: beside the file, else bert-base-uncased)")  # fmt: skip # noqa: E501
    released.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/released-NAME)")
    released.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from collections import Counter

    from hrem_lib import released

    out = args.out or Path("runs") / f"released-{args.file.stem}"
    config, report = released.import_run(args.file, out, args.text)
    print(f"{len(report.mapped)} weights taken over, {len(report.ignored)} left out, none missing, none unknown")
    for why, count in Counter(report.ignored.values()).items():
        print(f"  left out: {count} of {why}")
    print("  new: the relation part, which the released files do not hold and retrieval does not need")
    m = config.model
    print(f"D {m.embed_dim}, {m.heads} heads, K {config.graph.top_matches}; written to {out}")
    print(f"next: hrem evaluate {out} --data FOLDER")
