"""`hrem evaluate`: recalls of a run, or of an ensemble of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.cli.arguments import DATA, DEVICE, check_run, split_of
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    evaluate = commands.add_parser("evaluate", help="recalls of a run, or of an ensemble of runs")
    evaluate.add_argument("run", type=Path, nargs="+", help="run folder; several are averaged")
    evaluate.add_argument("--split", metavar="NAME", help="train, dev, test, ... (default: the run's test split)")
    evaluate.add_argument("--data", type=Path, help=f"{DATA} (default: the run's)")
    evaluate.add_argument("--folds", type=int, metavar="N", help="also the mean over this many folds (default: the run's data.folds, 5 for COCO 1K, on its test split)")  # fmt: skip # noqa: E501
    evaluate.add_argument("--device", default="auto", help=DEVICE)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too (default: no file)")
    evaluate.add_argument("--eccv", action="store_true", help="also CxC and ECCV Caption, for COCO's testall; needs the package eccv-caption (default: no)")  # fmt: skip # noqa: E501
    evaluate.add_argument("--trec", type=Path, metavar="FOLDER", help="write right answers and first answers as TREC files, too (default: no files)")  # fmt: skip # noqa: E501
    evaluate.add_argument("--depth", type=int, metavar="N", help="with --trec: answers written for each query (default: 1000)")  # fmt: skip # noqa: E501
    evaluate.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib import checkpoints, evaluation, training, yardsticks
    from hrem_lib.files import write_json

    for folder in args.run:
        check_run(folder)
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise UserError(f"--json: got {args.json}, wanted a file in a folder that is there")
    if args.trec and args.trec.exists() and not args.trec.is_dir():
        raise UserError(f"--trec: got {args.trec}, wanted a folder, or the name of a new one")
    if args.depth is not None and (args.depth < 1 or not args.trec):
        raise UserError(f"--depth: got {args.depth}, wanted at least 1, and --trec FOLDER")
    truth = yardsticks.truth_folder() if args.eccv else None
    device = training.pick_device(args.device)
    runs = [checkpoints.load_run(folder, device) for folder in args.run]
    first = runs[0].config
    split = split_of(first, args.split, args.data)
    split_name = split.name
    for run, name in zip(runs, args.run, strict=True):
        checkpoints.check_width(run, split, str(name))
    if truth:
        yardsticks.check_coco(split, yardsticks.coco_ids(truth))
    folds = args.folds
    if folds is None:
        folds = 5 if truth else first.data.folds if split_name == first.data.test_split else 1
    if folds < 1 or split.n_images % folds:
        raise UserError(f"--folds: got {folds} for {split.n_images} images, wanted a number that divides them equally")
    if args.trec:
        args.trec.mkdir(parents=True, exist_ok=True)
    pairs = evaluation.encode_split(
        [(run.model, run.text.encode(split.captions)) for run in runs], split, device=device,
        precision=[run.config.training.precision for run in runs],
    )  # fmt: skip
    result = evaluation.figures(pairs, split.image_of_caption, folds, intervals=True)
    print(f"{split_name}: {result['images']} images, {result['captions']} captions")
    print(evaluation.table(result))
    if truth:
        found = yardsticks.eccv_figures(pairs, split.image_of_caption, truth)
        print(yardsticks.eccv_table(found))
        result |= found
    if args.json:
        write_json(args.json, {"runs": [str(r) for r in args.run], "split": split_name, **result})
        print(f"written to {args.json}")
    if args.trec:
        written = yardsticks.write_trec(args.trec, pairs, split, args.depth or 1000)
        print(f"written to {' '.join(map(str, written))}")
