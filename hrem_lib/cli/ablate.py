"""`hrem ablate`: train a grid of arms and seeds, and write a result file for each."""

from __future__ import annotations

import argparse
import datetime
import shlex
from pathlib import Path

from hrem_lib.cli.arguments import DATA
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    ablate = commands.add_parser(
        "ablate",
        help="train a grid of arms and seeds, and write a result file for each",
        description="Started again, it goes on where it was. Grids: hrem_lib/study/grids.py tells how to write one.",
    )
    ablate.add_argument("grid", help="a YAML file, or the name of a grid of the reported results, e.g. sample")
    ablate.add_argument("--data", type=Path, help=f"{DATA} (default: the grid's, else the sample data)")
    ablate.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    ablate.add_argument("--runs", type=Path, default=Path("runs/ablate"), metavar="FOLDER", help="where the run folders are made (default: runs/ablate)")  # fmt: skip # noqa: E501
    ablate.add_argument("--folder", type=Path, help="of the result files; `results` holds the reported ones, which then count as finished (default: RUNS/GRID-results)")  # fmt: skip # noqa: E501
    ablate.add_argument("--again", action="store_true", help="train what is finished once more, in the new folder RUNS/DATE")  # fmt: skip # noqa: E501
    ablate.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib.study import grids, tables
    from hrem_lib.study.results import load
    from hrem_lib.study.runs import run_grid

    if args.jobs < 1:
        raise UserError(f"--jobs: got {args.jobs}, wanted at least 1")
    if args.again and args.folder:
        raise UserError("--again: got --folder, too, wanted one of them (--again has a folder of its own)")
    cells = grids.read_grid(args.grid, args.data or "")
    runs = args.runs
    if args.again:
        runs = args.runs / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        data = ["--data", str(args.data)] if args.data else []
        args.next = shlex.join(["hrem", "ablate", args.grid, *data, "--jobs", str(args.jobs), "--runs", str(runs)])
    folder = args.folder or runs / f"{cells[0].study}-results"
    run_grid(cells, runs, folder, args.jobs)
    print(tables.table(load(folder), cells[0].study))
    print(f"written to {folder}" + ("; next: hrem results (tables of the pages)" if args.folder else ""))
