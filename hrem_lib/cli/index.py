"""`hrem index`: build the search index of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.cli.arguments import DATA, DEVICE, check_run, place_of, split_of
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    index = commands.add_parser("index", help="build the search index of a run")
    index.add_argument("run", type=Path, help="run folder")
    index.add_argument("--split", nargs="+", metavar="NAME", help="one or more, e.g. train dev test (default: the run's test split)")  # fmt: skip # noqa: E501
    index.add_argument("--data", type=Path, help=f"{DATA} (default: the run's)")
    index.add_argument("--out", type=Path, metavar="FOLDER", help="where to write it (default: RUN/index; runs/sample-index for the included run)")  # fmt: skip # noqa: E501
    index.add_argument("--kind", default="auto", choices=("auto", "exact", "float16", "compact"), help="how it is searched (default: auto, exact below 100,000 items, then float16)")  # fmt: skip # noqa: E501
    index.add_argument("--export", type=Path, metavar="FOLDER", help="write the vectors for another engine, too (default: none)")  # fmt: skip # noqa: E501
    index.add_argument("--engine", choices=("parquet", "lance"), help="of --export: parquet, files for Qdrant, Milvus or PostgreSQL, or lance, tables of LanceDB for hrem search --engine lance (default: parquet)")  # fmt: skip # noqa: E501
    index.add_argument("--device", default="auto", help=DEVICE)
    index.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib import checkpoints, training
    from hrem_lib.search import export, index_folder, lance

    check_run(args.run)
    if args.engine and not args.export:
        raise UserError(f"--engine {args.engine}: wanted --export FOLDER, too, where the vectors are put")
    write = lance.write_tables if args.engine == "lance" else export.export_parquet
    if args.export:  # before the index, which takes longer
        export.needed("lancedb" if args.engine == "lance" else "pyarrow.parquet")
    device = training.pick_device(args.device)
    run = checkpoints.load_run(args.run, device)
    splits = [split_of(run.config, name, args.data) for name in args.split or [None]]
    out = args.out or place_of(args.run, "index")
    info = index_folder.write_index(run, splits, out, args.kind, device, str(args.run))
    for side in index_folder.SIDES:
        about = info[side]
        how = "exact search"
        if about["kind"] != "exact":
            how = (
                f"{about['kind']} index, {about['probed']} of {about['lists']} lists probed, recall@10 "
                f"{about['recall_at_10']:.3f} of the exact answers ({about['measured_on']} queries)"
            )
        print(f"{' '.join(info['splits'])}: {about['items']} {side} of width {about['width']}, {how}")
    print(f"written to {out}")
    if args.export:
        print(f"exported to {' '.join(map(str, write(out, args.export)))}")
