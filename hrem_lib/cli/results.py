"""`hrem results`: add finished runs to results/ and make the tables of the pages from it."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.cli.arguments import check_run


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    results = commands.add_parser(
        "results",
        help="add finished runs to results/ and make the tables of the pages from it",
        description="To be run in the repository: it writes into results/ and README.md.",
    )
    results.add_argument("run", type=Path, nargs="*", help="run folder; none: only the tables")
    results.add_argument("--folder", type=Path, default=Path("results"), help="of the result files (default: results)")
    results.add_argument("--readme", type=Path, default=Path("README.md"), metavar="FILE", help="page whose tables are made anew (default: README.md)")  # fmt: skip # noqa: E501
    results.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib.study import tables

    for run in args.run:
        check_run(run)
    pages = tables.publish(args.run, args.folder, args.readme)
    print(f"{len(args.run)} runs added to {args.folder}; tables made anew in {' and '.join(map(str, pages))}")
