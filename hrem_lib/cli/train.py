"""`hrem train`: train, select on dev, evaluate once on test."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import shlex
import sys
from pathlib import Path

from hrem_lib import config as configs
from hrem_lib.cli.arguments import DATA, absolute, check_run, settings
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    train = commands.add_parser(
        "train",
        help="train, select on dev, evaluate once on test",
        description="Any setting of hrem_lib/config.py can be set as --section.field VALUE, e.g. --training.seed 1.",
    )
    train.add_argument("preset", nargs="?", help=f"one of {', '.join(configs.PRESETS)} (with --resume: the run's)")
    train.add_argument("--data", type=Path, help=f"{DATA} (default: the sample data)")
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/PRESET-DATE)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run in its folder, with its settings (default: a new run)")  # fmt: skip # noqa: E501
    train.add_argument("--start-from", type=Path, metavar="RUN", help="a new run from the weights of another one (default: random weights)")  # fmt: skip # noqa: E501
    train.add_argument("--processes", type=int, default=1, metavar="N", help="of this machine, that share each batch, e.g. one for each GPU (default: 1)")  # fmt: skip # noqa: E501
    train.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> int | None:
    """What the command does."""
    from hrem_lib import checkpoints, distributed, evaluation, training

    if args.processes < 1:
        raise UserError(f"--processes: got {args.processes}, wanted at least 1")
    if args.processes > 1 and "WORLD_SIZE" not in os.environ:
        return distributed.launch(args.processes, [sys.executable, "-m", "hrem_lib", *args.words])
    if args.resume and args.out and args.resume != args.out:
        raise UserError(f"--out: got {args.out}, wanted {args.resume} as in --resume (or no --out)")
    out = args.resume or args.out
    changes = settings(extra)
    if args.data:
        changes["data.folder"] = str(args.data)
    before = None
    if args.resume:
        check_run(args.resume, begun=True)
        if (args.resume / "config.json").is_file():
            before = configs.load(args.resume / "config.json")
    if args.preset is None and before is None:
        raise UserError(f"preset: got none, wanted one of {', '.join(configs.PRESETS)}, e.g. hrem train sample")
    if before and args.preset not in (None, before.preset):
        raise UserError(
            f"{args.resume}: got preset {args.preset}, wanted {before.preset}, with which the run was started"
        )
    if changes.get("data.folder"):  # the run is to work from any directory
        changes["data.folder"] = absolute(changes["data.folder"])
    if args.start_from:
        changes["training.start_from"] = absolute(str(args.start_from))
    if before:
        config, followed = before.override(changes), []
    else:
        start = configs.preset(args.preset)  # pyright: ignore[reportArgumentType]  # without one we have stopped
        if args.start_from:
            source = checkpoints.load_config(args.start_from)  # its weights fit its own model and graph
            start = dataclasses.replace(start, model=source.model, graph=source.graph)
        config, followed = training.follow(start, changes)
    if out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{args.preset}-{now}"
    with distributed.processes(), checkpoints.run_folder(out) as folder:
        if distributed.rank() > 0:  # one process writes and speaks
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        print("".join(f"{line}\n" for line in [f"run folder: {out}", *followed]), end="")
        try:
            result = training.train(config, folder, resume=args.resume is not None)
        except KeyboardInterrupt:
            if (out / "config.json").is_file():
                several = f" --processes {args.processes}" if args.processes > 1 else ""
                args.next = f"hrem train --resume {shlex.quote(str(out))}{several}"
            raise
        if distributed.rank() == 0:
            from hrem_lib.plots.training import save_training_curves  # matplotlib: only where needed

            save_training_curves(checkpoints.read_history(folder), folder / "curves.png", config)
    print(f"\n{config.data.test_split} split, epoch {result['epoch']} selected on {result['selected_on']}:")
    print(evaluation.table(result["test"]))
    if result["selected_on"] == "test":
        print("Selected on the test split, as the released code does: these figures are too good by construction.")
    print(f"written to {out}: config.json history.jsonl metrics.json model.safetensors curves.png")
