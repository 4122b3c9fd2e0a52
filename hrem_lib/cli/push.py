"""`hrem push`: put a finished run on the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.cli.arguments import check_run


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    push = commands.add_parser("push", help="put a finished run on the Hugging Face hub, with a card made from it")
    push.add_argument("run", type=Path, help="run folder; nothing in it is changed")
    push.add_argument("name", metavar="ORG/NAME", help="where on the hub; the files of a run that is there are replaced")  # fmt: skip # noqa: E501
    push.add_argument("--private", action="store_true", help="for the owner's eyes (default: as the owner's settings on the hub say, usually public)")  # fmt: skip # noqa: E501
    push.add_argument("--license", metavar="ID", help="the hub's id, e.g. mit or cc-by-4.0 (default: not stated)")
    push.add_argument("--dataset", metavar="ORG/NAME", help="the data on the hub, for the card (default: the data folder's name only)")  # fmt: skip # noqa: E501
    push.add_argument("--language", default="en", metavar="ID", help="of the captions, for the card (default: en)")
    push.add_argument("--dry-run", action="store_true", help="show the card and the files, send nothing")
    push.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib.search.embedder import load

    check_run(args.run)
    run = load(args.run, device="cpu")
    pushed = run.push(args.name, args.private, args.license, args.dataset, args.language, args.dry_run)
    if args.dry_run:
        print(pushed.card)
    for name, size in pushed.files.items():
        print(f"{size:>12,}  {name}")
    print(f"dry run: nothing was sent to {args.name}" if pushed.url is None else f"sent: {pushed.url}")
