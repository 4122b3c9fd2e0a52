"""`hrem samples`: draw the sample world again from its seed."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    samples = commands.add_parser("samples", help="draw the sample world again from its seed")
    samples.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    samples.add_argument("--part", type=int, metavar="N", help="the first N pictures of each split only (default: all)")
    samples.add_argument("--train-network", action="store_true", help="train the region network again, too")
    samples.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib.sample_world import detector

    if args.out.exists() and any(args.out.iterdir()):
        raise UserError(f"{args.out}: exists and is not empty, wanted a new folder")
    if args.part is not None and args.part < 1:
        raise UserError(f"--part: got {args.part}, wanted at least 1")
    sizes: dict[str, int] | None = None if args.part is None else dict.fromkeys(("train", "dev", "test"), args.part)
    args.next = f"remove {args.out}, then {args.next}"  # a folder that is half made is refused
    detector.regenerate(args.out, sizes=sizes, train_network=args.train_network, log=True)
    print(f"written to {args.out}")
