"""The command line: train, evaluate, import, extract, index, search, ablate, results, samples, doctor. Thin."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import difflib
import os
import shlex
import sys
import time
from pathlib import Path

from hrem_lib import __version__
from hrem_lib import config as configs
from hrem_lib.config import UserError


def _settings(extra: list[str]) -> dict[str, str]:
    """`--any.field value` or `--any.field=value` pairs."""
    changes, rest = {}, list(extra)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            like = f", e.g. --{configs.nearest(name)}" if word.startswith("--") else ""
            raise UserError(f"argument {word!r}: not understood, wanted --section.field VALUE{like}")
        if not equals:
            if not rest:
                raise UserError(f"argument {word!r}: got no value, wanted --{name} VALUE")
            value = rest.pop(0)
        changes[name] = value
    return changes


def _joined(argv: list[str]) -> list[str]:
    """`--section.field VALUE` as one word with "=", so that VALUE is not taken for the preset."""
    words = []
    for word in argv:
        last = words[-1] if words else ""
        if last.startswith("--") and "." in last and "=" not in last and not word.startswith("--"):
            words[-1] = f"{last}={word}"
        else:
            words.append(word)
    return words


def _stray(args: argparse.Namespace, extra: list[str]) -> UserError:
    """What to say of words that a command without settings does not know."""
    word = next((word for word in extra if word.startswith("-")), extra[0])
    if args.command == "search" and not word.startswith("-"):
        sentence = " ".join([args.text, *extra])
        return UserError(
            f'search: got several words, wanted the sentence in quotation marks: hrem search {args.run} "{sentence}"'
        )
    near = difflib.get_close_matches(word.partition("=")[0], args.options, n=1)
    known = f"wanted {near[0]}" if near else f"wanted one of {' '.join(args.options)}"
    if "." in word and word.startswith("--") and not near:
        known = "settings stand in the run's config.json and are given to hrem train only"
    return UserError(f"argument {word!r}: hrem {args.command} does not know it, {known}")


def _runs_in(folder: Path) -> str:
    """Names of the runs in a folder, the newest first; empty if there are none."""
    found = sorted(folder.glob("*/config.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return ", ".join(str(path.parent) for path in found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")


def _check_run(folder: Path, begun: bool = False) -> None:
    """Refuse what is no run folder, with the names of the runs in it or beside it.

    Args:
        begun: a folder without config.json will do, as a run leaves it that was stopped in its first moments
    """
    if (folder / "config.json").is_file():
        return
    if not folder.is_dir():
        beside = _runs_in(folder.parent)
        there = f"; runs in {folder.parent}: {beside}" if beside else ""
        raise UserError(f"{folder}: not found, wanted a run folder written by hrem train{there}")
    if inside := _runs_in(folder):
        raise UserError(f"{folder}: got a folder of runs, wanted one of them: {inside}")
    if not begun:
        raise UserError(f"{folder}: got no config.json, wanted a run folder written by hrem train")


def _absolute(folder: str) -> str:
    return str(Path(folder).expanduser().resolve())


def _train(args: argparse.Namespace, extra: list[str]) -> int | None:
    from hrem_lib import checkpoints, distributed, evaluation, training

    if args.processes < 1:
        raise UserError(f"--processes: got {args.processes}, wanted at least 1")
    if args.processes > 1 and "WORLD_SIZE" not in os.environ:
        return distributed.launch(args.processes, [sys.executable, "-m", "hrem_lib", *args.words])
    if args.resume and args.out and args.resume != args.out:
        raise UserError(f"--out: got {args.out}, wanted {args.resume} as in --resume (or no --out)")
    out = args.resume or args.out
    changes = _settings(extra)
    if args.data:
        changes["data.folder"] = str(args.data)
    before = None
    if args.resume:
        _check_run(args.resume, begun=True)
        if (args.resume / "config.json").is_file():
            before = configs.load(args.resume / "config.json")
    if args.preset is None and before is None:
        raise UserError(f"preset: got none, wanted one of {', '.join(configs.PRESETS)}, e.g. hrem train sample")
    if before and args.preset not in (None, before.preset):
        raise UserError(
            f"{args.resume}: got preset {args.preset}, wanted {before.preset}, with which the run was started"
        )
    if changes.get("data.folder"):  # the run is to work from any directory
        changes["data.folder"] = _absolute(changes["data.folder"])
    if args.start_from:
        changes["training.start_from"] = _absolute(str(args.start_from))
    if before:
        config, followed = before.override(changes), []
    else:
        start = configs.preset(args.preset)
        if args.start_from:
            source = checkpoints.load_config(args.start_from)  # its weights fit its own model and graph
            start = dataclasses.replace(start, model=source.model, graph=source.graph)
        config, followed = training.follow(start, changes)
    if out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{args.preset}-{now}"
    with distributed.processes(), distributed.run_folder(out) as folder:
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
    print(f"\n{config.data.test_split} split, epoch {result['epoch']} selected on {result['selected_on']}:")
    print(evaluation.table(result["test"]))
    if result["selected_on"] == "test":
        print("Selected on the test split, as the released code does: these figures are too good by construction.")
    print(f"written to {out}: config.json history.jsonl metrics.json model.safetensors curves.png")


def _split_of(config: configs.Config, name: str | None, folder: Path | None):
    """The split to read: the run's own test split and data, where nothing else is asked for."""
    from hrem_lib import data

    name, folder = name or config.data.test_split, folder or config.data.folder
    try:
        place = data.find_folder(folder, (name,))
    except UserError:
        place = data.find_folder(folder, ())  # what is wrong with the folder itself is said here
    known = sorted(path.name.removesuffix("_ims.npy") for path in place.glob("*_ims.npy"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        like = f" (nearest: {near[0]})" if near else ""
        raise UserError(f"split {name}: not in {place}, wanted one of {', '.join(known)}{like}")
    data.refuse_coco_test(place, name)
    return data.open_split(place, name, config.data.captions_per_image)


def _evaluate(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, evaluation, training

    for folder in args.run:
        _check_run(folder)
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise UserError(f"--json: got {args.json}, wanted a file in a folder that is there")
    device = training.pick_device(args.device)
    runs = [checkpoints.load_run(folder, device) for folder in args.run]
    first = runs[0].config
    split = _split_of(first, args.split, args.data)
    split_name = split.name
    for run, name in zip(runs, args.run, strict=True):
        checkpoints.check_width(run, split, str(name))
    folds = args.folds
    if folds is None:
        folds = first.data.folds if split_name == first.data.test_split else 1
    if folds < 1 or split.n_images % folds:
        raise UserError(f"--folds: got {folds} for {split.n_images} images, wanted a number that divides them equally")
    result = evaluation.evaluate(
        [(run.model, run.text.encode(split.captions)) for run in runs], split, folds, intervals=True, device=device,
        precision=[run.config.training.precision for run in runs],
    )  # fmt: skip
    print(f"{split_name}: {result['images']} images, {result['captions']} captions")
    print(evaluation.table(result))
    if args.json:
        checkpoints.write_json(args.json, {"runs": [str(r) for r in args.run], "split": split_name, **result})
        print(f"written to {args.json}")


def _ablate(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import ablate, results

    if args.jobs < 1:
        raise UserError(f"--jobs: got {args.jobs}, wanted at least 1")
    if args.again and args.folder:
        raise UserError("--again: got --folder, too, wanted one of them (--again has a folder of its own)")
    cells = ablate.read_grid(args.grid, args.data or "")
    runs = args.runs
    if args.again:
        runs = args.runs / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        data = ["--data", str(args.data)] if args.data else []
        args.next = shlex.join(["hrem", "ablate", args.grid, *data, "--jobs", str(args.jobs), "--runs", str(runs)])
    folder = args.folder or runs / f"{cells[0].study}-results"
    ablate.run_grid(cells, runs, folder, args.jobs)
    print(results.table(results.load(folder), cells[0].study))
    print(f"written to {folder}" + ("; next: hrem results (tables of the pages)" if args.folder else ""))


def _import(args: argparse.Namespace, extra: list[str]) -> None:
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


def _extract(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import captions, data, extract, training, vision

    if min(args.workers, args.batch, args.per_image or 1) < 1 or args.per_image == 0:
        raise UserError("--workers, --batch and --per-image: wanted numbers from 1 on")
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: not a folder, wanted one of pictures")
    items = captions.read_captions(args.captions)
    if args.keep:
        names = set(data.read_lines(args.keep))
        items = [item for item in items if item.name in names]
        if not items:
            raise UserError(f"{args.keep}: got none of the pictures of {args.captions}, wanted some of their names")
    splits = captions.assign_splits(items, args.split, args.dev, args.test, args.seed)
    count = args.per_image or extract.captions_of_others(args.out) or captions.per_image(items)
    model = args.model or vision.DETECTOR
    model = str(Path(model).resolve()) if Path(model).is_dir() else model  # it is kept beside the features
    looker = vision.open_looker(model, args.regions, training.pick_device(args.device))
    fitting = "f8k"
    for name, part in splits.items():
        done = extract.extract_split(
            args.folder, part, args.out, name, looker, count, half=args.half, workers=args.workers, batch=args.batch
        )
        short = f", captions of {done['repeated']} repeated to {count}" if done["repeated"] else ""
        print(f"{name}: {done['rows']} pictures, {count} captions each{short}")
        bad = done["unreadable"]
        for missing, reason in list(bad.items())[:10]:
            print(f"  left out {missing}: {reason}")
        if len(bad) > 10:
            print(f"  ... and {len(bad) - 10} more, all in {args.out / name}_extract.json")
        if name == "train":
            fitting = extract.training_preset(done["rows"] * count)
    more = f" --data.captions_per_image {count}" if count != 5 else ""
    print(f"written to {args.out}; next: hrem train {fitting} --data {args.out}{more}")


def _place_of(run: Path, name: str) -> Path:
    """RUN/name, where the files of index and search go; nothing is written into the run that comes with the project."""
    from hrem_lib import data

    shipped = run.resolve() == (data.sample_dir().parent / "checkpoint").resolve()
    return Path("runs") / f"sample-{name}" if shipped else run / name


def _index(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, retrieval, training

    _check_run(args.run)
    device = training.pick_device(args.device)
    run = checkpoints.load_run(args.run, device)
    splits = [_split_of(run.config, name, args.data) for name in args.split or [None]]
    out = args.out or _place_of(args.run, "index")
    info = retrieval.write_index(run, splits, out, args.kind, device, str(args.run))
    for side in retrieval.SIDES:
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
        files = retrieval.export_parquet(out, args.export)
        print(f"exported to {' '.join(map(str, files))}")


def _search(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, retrieval, training

    _check_run(args.run)
    if (args.text is None) == (args.image is None):
        raise UserError('search: wanted either a sentence in quotation marks ("a man riding a wave") or --image FILE')
    if args.text and Path(args.text).is_file():
        raise UserError(f"search: got the file {args.text}, wanted --image {args.text}, or a sentence")
    if args.k < 1:
        raise UserError(f"-k: got {args.k}, wanted at least one answer")
    if args.image is not None and not args.image.is_file():
        raise UserError(f"{args.image}: not readable as a picture (not found)")
    device = training.pick_device(args.device)
    folder = args.index or _place_of(args.run, "index")
    if args.index or (folder / "index.json").is_file():
        retrieval.read_info(folder)  # before the model, which takes longer
    run = checkpoints.load_run(args.run, device)
    if args.index is None and not (folder / "index.json").is_file():
        split = _split_of(run.config, None, None)
        print(
            f"no index yet: making one of the {split.n_images} pictures of {split.folder.name}/{split.name} in "
            f"{folder} (hrem index takes other splits)"
        )
        retrieval.write_index(run, [split], folder, device=device, source=str(args.run))
    searcher = retrieval.Searcher(run, folder, device, args.model, args.pictures)
    hits = searcher.images(args.text, args.k) if args.image is None else searcher.captions(args.image, args.k)
    if args.image is None and (unknown := searcher.unknown(args.text)):
        print(retrieval.UNKNOWN + ", ".join(unknown), file=sys.stderr)
    for place, hit in enumerate(hits, start=1):
        print(f"{place:>3}  {hit.score:6.3f}  {hit.line}")
    if args.image is not None:
        return
    if searcher.picture(hits[0]) is None:
        print("no pictures to show: not found (--pictures FOLDER says where they are)")
        return
    out = args.save or _place_of(args.run, "search.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure = retrieval.contact_sheet(searcher, hits, args.text)
    figure.savefig(out, dpi=100, bbox_inches="tight")
    print(f"pictures in {out}")
    if args.show:
        from PIL import Image

        Image.open(out).show(args.text)


def _results(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import results

    for run in args.run:
        _check_run(run)
    pages = results.publish(args.run, args.folder, args.readme)
    print(f"{len(args.run)} runs added to {args.folder}; tables made anew in {' and '.join(map(str, pages))}")


def _samples(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import regions

    if args.out.exists() and any(args.out.iterdir()):
        raise UserError(f"{args.out}: exists and is not empty, wanted a new folder")
    if args.part is not None and args.part < 1:
        raise UserError(f"--part: got {args.part}, wanted at least 1")
    sizes = None if args.part is None else dict.fromkeys(("train", "dev", "test"), args.part)
    args.next = f"remove {args.out}, then {args.next}"  # a folder that is half made is refused
    regions.regenerate(args.out, sizes=sizes, train_network=args.train_network, log=True)
    print(f"written to {args.out}")


def _doctor(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import doctor

    lines, healthy = doctor.examine(args.data)
    print("\n".join(lines), flush=True)
    if not healthy:
        failed = sum(line.startswith("[FAIL]") for line in lines)
        raise UserError(f"doctor: {failed} of {len(lines)} checks failed, see [FAIL] above")
    print(f"all {len(lines)} checks passed")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One sentence, as for every other fault of the user's, instead of the usage."""
        raise UserError(f"{message} ({self.prog} --help shows what there is)")


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    top = _Parser("hrem", description="HREM (CVPR 2023): image-text matching, from training to retrieval.")
    top.add_argument("--version", action="version", version=f"hrem {__version__}", help="show the version and end")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command", help="hrem COMMAND --help shows its options")  # fmt: skip # noqa: E501
    data = "the NAME_precomp folder or its parent"
    device = "auto, cpu, cuda, mps or another torch device (default: auto, which takes a GPU if there is one)"

    train = commands.add_parser(
        "train",
        help="train, select on dev, evaluate once on test",
        description="Any setting of hrem_lib/config.py can be set as --section.field VALUE, e.g. --training.seed 1.",
    )
    train.add_argument("preset", nargs="?", help=f"one of {', '.join(configs.PRESETS)} (with --resume: the run's)")
    train.add_argument("--data", type=Path, help=f"{data} (default: the sample data)")
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/PRESET-DATE)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run in its folder, with its settings (default: a new run)")  # fmt: skip # noqa: E501
    train.add_argument("--start-from", type=Path, metavar="RUN", help="a new run from the weights of another one (default: random weights)")  # fmt: skip # noqa: E501
    train.add_argument("--processes", type=int, default=1, metavar="N", help="of this machine, that share each batch, e.g. one for each GPU (default: 1)")  # fmt: skip # noqa: E501
    train.set_defaults(run_command=_train)

    evaluate = commands.add_parser("evaluate", help="recalls of a run, or of an ensemble of runs")
    evaluate.add_argument("run", type=Path, nargs="+", help="run folder; several are averaged")
    evaluate.add_argument("--split", metavar="NAME", help="train, dev, test, ... (default: the run's test split)")
    evaluate.add_argument("--data", type=Path, help=f"{data} (default: the run's)")
    evaluate.add_argument("--folds", type=int, metavar="N", help="also the mean over this many folds (default: the run's data.folds, 5 for COCO 1K, on its test split)")  # fmt: skip # noqa: E501
    evaluate.add_argument("--device", default="auto", help=device)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too (default: no file)")
    evaluate.set_defaults(run_command=_evaluate)

    ablate = commands.add_parser(
        "ablate",
        help="train a grid of arms and seeds, and write a result file for each",
        description="Started again, it goes on where it was. Grids: hrem_lib/ablate.py tells how to write one.",
    )
    ablate.add_argument("grid", help="a YAML file, or the name of a grid of the reported results, e.g. sample")
    ablate.add_argument("--data", type=Path, help=f"{data} (default: the grid's, else the sample data)")
    ablate.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    ablate.add_argument("--runs", type=Path, default=Path("runs/ablate"), metavar="FOLDER", help="where the run folders are made (default: runs/ablate)")  # fmt: skip # noqa: E501
    ablate.add_argument("--folder", type=Path, help="of the result files; `results` holds the reported ones, which then count as finished (default: RUNS/GRID-results)")  # fmt: skip # noqa: E501
    ablate.add_argument("--again", action="store_true", help="train what is finished once more, in the new folder RUNS/DATE")  # fmt: skip # noqa: E501
    ablate.set_defaults(run_command=_ablate)

    released = commands.add_parser("import", help="read a checkpoint of the authors' released code")
    released.add_argument("file", type=Path, help="a released .pth file; nothing in it is run")
    released.add_argument("--text", type=Path, metavar="FOLDER", help="BERT's vocab.txt and bert_config.json (default: beside the file, else bert-base-uncased)")  # fmt: skip # noqa: E501
    released.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/released-NAME)")
    released.set_defaults(run_command=_import)

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
    extract.add_argument("--device", default="auto", help=device)
    extract.set_defaults(run_command=_extract)

    index = commands.add_parser("index", help="build the search index of a run")
    index.add_argument("run", type=Path, help="run folder")
    index.add_argument("--split", nargs="+", metavar="NAME", help="one or more, e.g. train dev test (default: the run's test split)")  # fmt: skip # noqa: E501
    index.add_argument("--data", type=Path, help=f"{data} (default: the run's)")
    index.add_argument("--out", type=Path, metavar="FOLDER", help="where to write it (default: RUN/index; runs/sample-index for the included run)")  # fmt: skip # noqa: E501
    index.add_argument("--kind", default="auto", choices=("auto", "exact", "float16", "compact"), help="how it is searched (default: auto, exact below 100,000 items, then float16)")  # fmt: skip # noqa: E501
    index.add_argument("--export", type=Path, metavar="FOLDER", help="write Parquet files for Qdrant or Milvus, too (default: none)")  # fmt: skip # noqa: E501
    index.add_argument("--device", default="auto", help=device)
    index.set_defaults(run_command=_index)

    search = commands.add_parser("search", help="find pictures by words, or captions by a picture")
    search.add_argument("run", type=Path, help="run folder; without an index, one of its test split is made")
    search.add_argument("text", nargs="?", help="a sentence in quotation marks")
    search.add_argument("--image", type=Path, metavar="FILE", help="a picture whose captions are wanted (default: search by the sentence)")  # fmt: skip # noqa: E501
    search.add_argument("-k", type=int, default=10, metavar="N", help="how many answers (default: 10)")
    search.add_argument("--save", type=Path, metavar="FILE", help="where the pictures are put (default: RUN/search.png; runs/sample-search.png for the included run)")  # fmt: skip # noqa: E501
    search.add_argument("--show", action="store_true", help="open them in the system's viewer, too")
    search.add_argument("--index", type=Path, metavar="FOLDER", help="written by hrem index --out (default: RUN/index)")
    search.add_argument("--pictures", type=Path, metavar="FOLDER", help="where the pictures are, if they were moved (default: as the index says)")  # fmt: skip # noqa: E501
    search.add_argument("--model", metavar="NAME", help="network for --image, if the index does not know it, see hrem extract (default: as the index says)")  # fmt: skip # noqa: E501
    search.add_argument("--device", default="auto", help=device)
    search.set_defaults(run_command=_search)

    results = commands.add_parser(
        "results",
        help="add finished runs to results/ and make the tables of the pages from it",
        description="To be run in the repository: it writes into results/ and README.md.",
    )
    results.add_argument("run", type=Path, nargs="*", help="run folder; none: only the tables")
    results.add_argument("--folder", type=Path, default=Path("results"), help="of the result files (default: results)")
    results.add_argument("--readme", type=Path, default=Path("README.md"), metavar="FILE", help="page whose tables are made anew (default: README.md)")  # fmt: skip # noqa: E501
    results.set_defaults(run_command=_results)

    samples = commands.add_parser("samples", help="draw the sample world again from its seed")
    samples.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    samples.add_argument("--part", type=int, metavar="N", help="the first N pictures of each split only (default: all)")
    samples.add_argument("--train-network", action="store_true", help="train the region network again, too")
    samples.set_defaults(run_command=_samples)

    doctor = commands.add_parser("doctor", help="check the installation, and a data folder")
    doctor.add_argument("--data", type=Path, help=f"{data} (default: the sample data)")
    doctor.set_defaults(run_command=_doctor)

    for command in commands.choices.values():
        command.set_defaults(options=[name for name in command._option_string_actions if name.startswith("--")])
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one sentence on standard error if the input was bad.

    1 if training stopped for a value that is not finite, or the reader of the output went away.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    # `next`: what to type after Ctrl-C; a command may say better
    args = argparse.Namespace(words=argv, next=shlex.join(["hrem", *argv]))
    try:
        args, extra = parser().parse_known_args(_joined(argv) if argv[:1] == ["train"] else argv, args)
        if args.command == "search" and args.text is None and extra and not extra[0].startswith("-"):
            args.text = extra.pop(0)  # argparse takes no optional word behind options
        if extra and args.command != "train":
            raise _stray(args, extra)
        return args.run_command(args, extra) or 0
    except BrokenPipeError:  # e.g. `hrem ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UserError, OSError, FloatingPointError) as error:
        if int(os.environ.get("LOCAL_RANK", 0)):
            time.sleep(5)  # process 0 says the same, whereupon the others are ended
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"  # as the other sentences, without Python's [Errno 17]
        print("hrem:", " ".join(text.split()), file=sys.stderr)  # one line, whatever a file name holds
        return 1 if isinstance(error, FloatingPointError) else 2
    except (MemoryError, RuntimeError) as error:
        signs = ("out of memory", "allocate memory", "not enough memory")
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in signs):
            raise
        first = (str(error).splitlines() or ["out of memory"])[0]
        print(f"hrem: {first}; a smaller training.batch_size or model needs less", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not int(os.environ.get("LOCAL_RANK", 0)):
            print(f"hrem: interrupted; next: {args.next}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
