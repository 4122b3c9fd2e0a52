"""`hrem extract`: features, boxes and captions of your own pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrem_lib.cli.arguments import DEVICE
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    extract = commands.add_parser("extract", help="features, boxes and captions of your own pictures")
    extract.add_argument("folder", type=Path, help="folder of pictures")
    extract.add_argument("--captions", type=Path, required=True, metavar="FILE", help="Flickr8k, Flickr30K, Karpathy, COCO or CSV")  # fmt: skip # noqa: E501
    extract.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write, e.g. data/mine_precomp")  # fmt: skip # noqa: E501
    extract.add_argument("--model", metavar="NAME", help="transformers detector or vision backbone, hub name or folder; or `sample` (default: PekingU/rtdetr_r50vd_coco_o365)")  # fmt: skip # noqa: E501
    extract.add_argument("--regions", type=int, metavar="R", help="most regions of a picture; for a backbone a square number (default: 36; 12 for `sample`)")  # fmt: skip # noqa: E501
    extract.add_argument("--split", metavar="NAME", help="put all pictures into this split (default: as the captions file says)")  # fmt: skip # noqa: E501
    extract.add_argument("--keep", type=Path, metavar="FILE", help="only the pictures named in this file, one a line (default: all)")  # fmt: skip # noqa: E501
    extract.add_argument("--dev", type=int, metavar="N", help="pictures drawn for dev, where the captions file has no splits (default: a tenth)")  # fmt: skip # noqa: E501
    extract.add_argument("--test", type=int, metavar="N", help="pictures drawn for test (default: a tenth)")
    extract.add_argument("--seed", type=int, default=0, metavar="N", help="of that draw (default: 0)")
    extract.add_argument("--per-image", type=int, metavar="N", help="captions a picture (default: 5, or what most have)")  # fmt: skip # noqa: E501
    extract.add_argument("--half", action="store_true", help="float16 features, half the disk")
    extract.add_argument("--workers", type=int, default=2, metavar="N", help="threads that read pictures (default: 2)")
    extract.add_argument("--batch", type=int, default=8, metavar="N", help="pictures the network looks at together (default: 8)")  # fmt: skip # noqa: E501
    extract.add_argument("--device", default="auto", help=DEVICE)
    extract.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib import training
    from hrem_lib.files import read_lines
    from hrem_lib.pictures import caption_files, networks
    from hrem_lib.pictures.extract import captions_of_others, extract_split, training_preset

    if min(args.workers, args.batch, args.per_image or 1) < 1 or args.per_image == 0:
        raise UserError("--workers, --batch and --per-image: wanted numbers from 1 on")
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: not a folder, wanted one of pictures")
    items = caption_files.read_captions(args.captions)
    if args.keep:
        names = set(read_lines(args.keep))
        items = [item for item in items if item.name in names]
        if not items:
            raise UserError(f"{args.keep}: got none of the pictures of {args.captions}, wanted some of their names")
    splits = caption_files.assign_splits(items, args.split, args.dev, args.test, args.seed)
    count = args.per_image or captions_of_others(args.out) or caption_files.per_image(items)
    model = args.model or networks.DETECTOR
    model = str(Path(model).resolve()) if Path(model).is_dir() else model  # it is kept beside the features
    extractor = networks.open_extractor(model, args.regions, training.pick_device(args.device))
    fitting = "f8k"
    for name, part in splits.items():
        done = extract_split(
            args.folder, part, args.out, name, extractor, count, half=args.half, workers=args.workers, batch=args.batch
        )
        short = f", captions of {done['repeated']} repeated to {count}" if done["repeated"] else ""
        print(f"{name}: {done['rows']} pictures, {count} captions each{short}")
        bad = done["unreadable"]
        for missing, reason in list(bad.items())[:10]:
            print(f"  left out {missing}: {reason}")
        if len(bad) > 10:
            print(f"  ... and {len(bad) - 10} more, all in {args.out / name}_extract.json")
        if name == "train":
            fitting = training_preset(done["rows"] * count)
    more = f" --data.captions_per_image {count}" if count != 5 else ""
    print(f"written to {args.out}; next: hrem train {fitting} --data {args.out}{more}")
