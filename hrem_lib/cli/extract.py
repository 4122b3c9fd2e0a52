"""`hrem extract`: features, boxes and captions of your own pictures."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from hrem_lib.cli.arguments import DEVICE
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    extract = commands.add_parser("extract", help="features, boxes and captions of your own pictures")
    extract.add_argument("folder", type=Path, nargs="+", metavar="FOLDER", help="folder of pictures; without --captions, of webdataset's tar files; with --merge, all shards")  # fmt: skip # noqa: E501
    extract.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="Flickr8k, Flickr30K, Karpathy, COCO or CSV (default: the captions in tar files)",
    )
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
    extract.add_argument("--shard", metavar="I/N", help="only part I of N, from 0 to N - 1, into the folder shard-I-of-N in --out (default: all)")  # fmt: skip # noqa: E501
    extract.add_argument("--merge", action="store_true", help="join the shards to what one process writes")
    extract.add_argument("--delete-shards", action="store_true", help="with --merge: delete the shards' files afterwards")  # fmt: skip # noqa: E501
    extract.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib import training
    from hrem_lib.pictures import networks
    from hrem_lib.pictures.extract import captions_of_others, extract_splits
    from hrem_lib.pictures.shards import read_shard

    if args.merge or args.delete_shards:
        _merge(args)
        return
    if min(args.workers, args.batch, args.per_image or 1) < 1 or args.per_image == 0:
        raise UserError("--workers, --batch and --per-image: wanted numbers from 1 on")
    if len(args.folder) > 1:
        raise UserError(f"{args.folder[1]}: got a second folder, wanted one of pictures (several with --merge only)")
    (folder,) = args.folder
    shard = read_shard(args.shard) if args.shard else None
    splits, usual = _splits(args, folder)
    others = (shard.folder(args.out) if shard else args.out, args.out)
    count = args.per_image or captions_of_others(others[0]) or captions_of_others(others[1]) or usual
    model = args.model or networks.DETECTOR
    model = str(Path(model).resolve()) if Path(model).is_dir() else model  # it is kept beside the features
    extractor = networks.open_extractor(model, args.regions, training.pick_device(args.device))
    records = extract_splits(
        folder, splits, args.out, extractor, count, half=args.half, workers=args.workers, batch=args.batch, shard=shard
    )
    if shard is None:
        _report(records, args.out)
        return
    for _ in _told(records, others[0]):
        pass
    every = args.out / f"shard-*-of-{shard.count}"
    print(f"written to {others[0]}; next, when all {shard.count} are: hrem extract --merge {every} --out {args.out}")


def _splits(args: argparse.Namespace, folder: Path) -> tuple[dict, int]:
    """Pictures of each split, and the usual number of captions."""
    from hrem_lib.files import read_lines
    from hrem_lib.pictures import caption_files
    from hrem_lib.pictures.tars import Tars

    if args.captions is None:
        tars = Tars(folder)
        if args.split is None or args.keep or args.dev is not None or args.test is not None:
            raise UserError(f"{folder}: got tar files, wanted --split NAME for all of them; --keep, --dev and --test go with --captions")  # fmt: skip # noqa: E501
        return {args.split: tars}, tars.per_image()
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder, wanted one of pictures")
    items = caption_files.read_captions(args.captions)
    if args.keep:
        names = set(read_lines(args.keep))
        items = [item for item in items if item.name in names]
        if not items:
            raise UserError(f"{args.keep}: got none of the pictures of {args.captions}, wanted some of their names")
    splits = caption_files.assign_splits(items, args.split, args.dev, args.test, args.seed)
    return splits, caption_files.per_image(items)


def _merge(args: argparse.Namespace) -> None:
    from hrem_lib.pictures.shards import merge

    if not args.merge or args.shard or args.captions:
        raise UserError("--merge: wanted the shards' folders and --out, without --captions and --shard")
    _report(merge(args.folder, args.out, args.delete_shards).items(), args.out)


def _told(records: Iterable[tuple[str, dict]], out: Path) -> Iterator[tuple[str, dict]]:
    """Say what each split has and lacks."""
    for name, done in records:
        count, bad = done["captions_per_image"], done["unreadable"]
        short = f", captions of {done['repeated']} repeated to {count}" if done["repeated"] else ""
        print(f"{name}: {done['rows']} pictures, {count} captions each{short}")
        for missing, reason in list(bad.items())[:10]:
            print(f"  left out {missing}: {reason}")
        if len(bad) > 10:
            print(f"  ... and {len(bad) - 10} more, all in {out / name}_extract.json")
        yield name, done


def _report(records: Iterable[tuple[str, dict]], out: Path) -> None:
    """Say what there is, and the command that comes next."""
    from hrem_lib.pictures.extract import training_preset

    fitting, count = "f8k", 5
    for name, done in _told(records, out):
        count = done["captions_per_image"]
        if name == "train":
            fitting = training_preset(done["rows"] * count)
    more = f" --data.captions_per_image {count}" if count != 5 else ""
    print(f"written to {out}; next: hrem train {fitting} --data {out}{more}")
