"""The command line: train, evaluate, import, extract, index, search, ablate, results, samples, doctor. Thin."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import sys
from pathlib import Path

from hrem_lib import config as configs
from hrem_lib.config import UserError


def _settings(extra: list[str]) -> dict[str, str]:
    """`--any.field value` or `--any.field=value` pairs."""
    changes, rest = {}, list(extra)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            raise UserError(
                f"argument {word!r}: not understood, wanted --section.field VALUE, e.g. --training.epochs 3"
            )
        if not equals:
            if not rest:
                raise UserError(f"argument {word!r}: got no value, wanted --{name} VALUE")
            value = rest.pop(0)
        changes[name] = value
    return changes


def _train(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, distributed, evaluation, training

    if args.resume and args.out and args.resume != args.out:
        raise UserError(f"--out: got {args.out}, wanted {args.resume} as in --resume (or no --out)")
    out = args.resume or args.out
    changes = _settings(extra)
    if args.data:
        changes["data.folder"] = str(args.data)
    start = configs.preset(args.preset)
    if args.start_from:
        changes["training.start_from"] = str(args.start_from.resolve())
    begun = args.resume and (args.resume / "config.json").is_file()
    if args.start_from and not begun:
        source = checkpoints.load_config(args.start_from)  # its weights fit its own model and graph
        start = dataclasses.replace(start, model=source.model, graph=source.graph)
    if begun:
        start = configs.load(args.resume / "config.json")
        if start.preset != args.preset:
            raise UserError(
                f"{args.resume}: got preset {args.preset}, wanted {start.preset}, with which the run was started"
            )
    config, followed = (start.override(changes), []) if begun else start.follow(changes)
    if out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{args.preset}-{now}"
    with distributed.processes(), distributed.run_folder(out) as folder:
        if distributed.rank() > 0:  # one process writes and speaks
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        print("".join(f"{line}\n" for line in followed), end="")
        result = training.train(config, folder, resume=args.resume is not None)
    print(f"\n{config.data.test_split} split, epoch {result['epoch']} selected on {result['selected_on']}:")
    print(evaluation.table(result["test"]))
    if result["selected_on"] == "test":
        print("Selected on the test split, as the released code does: these figures are too good by construction.")
    print(f"written to {out}: config.json history.jsonl metrics.json model.safetensors curves.png")


def _split_of(config: configs.Config, name: str | None, folder: Path | None):
    """The split to read: the run's own test split and data, where nothing else is asked for."""
    from hrem_lib import data

    name, folder = name or config.data.test_split, folder or config.data.folder
    return data.open_split(data.find_folder(folder, (name,)), name, config.data.captions_per_image)


def _evaluate(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, evaluation, training

    _settings(extra)  # none are known: refuses stray words
    device = training.pick_device(args.device)
    runs = [checkpoints.load_run(folder, device) for folder in args.run]
    first = runs[0].config
    split = _split_of(first, args.split, args.data)
    split_name = split.name
    for run, name in zip(runs, args.run, strict=True):
        checkpoints.check_width(run, split, str(name))
    folds = args.folds or (first.data.folds if split_name == first.data.test_split else 1)
    result = evaluation.evaluate(
        [(run.model, run.text.encode(split.captions)) for run in runs], split, folds, intervals=True, device=device
    )
    print(f"{split_name}: {result['images']} images, {result['captions']} captions")
    print(evaluation.table(result))
    if args.json:
        checkpoints.write_json(args.json, {"runs": [str(r) for r in args.run], "split": split_name, **result})
        print(f"written to {args.json}")


def _ablate(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import ablate, results

    _settings(extra)
    if args.jobs < 1:
        raise UserError(f"--jobs: got {args.jobs}, wanted at least 1")
    cells = ablate.read_grid(args.grid, args.data or "")
    ablate.run_grid(cells, args.runs, args.folder, args.jobs)
    print(results.table(results.load(args.folder), cells[0].study))
    print(f"written to {args.folder}; `hrem results` brings the README's tables up to date")


def _import(args: argparse.Namespace, extra: list[str]) -> None:
    from collections import Counter

    from hrem_lib import released

    _settings(extra)
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

    _settings(extra)
    if min(args.workers, args.batch, args.per_image or 1) < 1 or args.per_image == 0:
        raise UserError("--workers, --batch and --per-image: wanted numbers from 1 on")
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


def _index(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import checkpoints, retrieval, training

    _settings(extra)
    device = training.pick_device(args.device)
    run = checkpoints.load_run(args.run, device)
    splits = [_split_of(run.config, name, args.data) for name in args.split or [None]]
    out = args.out or args.run / "index"
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

    _settings(extra)
    if (args.text is None) == (args.image is None):
        raise UserError('search: wanted either a sentence in quotation marks ("a man riding a wave") or --image FILE')
    device = training.pick_device(args.device)
    folder = args.index or args.run / "index"
    retrieval.read_info(folder)  # before the model, which takes longer
    searcher = retrieval.Searcher(checkpoints.load_run(args.run, device), folder, device, args.model, args.pictures)
    hits = searcher.images(args.text, args.k) if args.image is None else searcher.captions(args.image, args.k)
    for place, hit in enumerate(hits, start=1):
        print(f"{place:>3}  {hit.score:6.3f}  {hit.line}")
    if args.image is not None:
        return
    if searcher.picture(hits[0]) is None:
        print("no pictures to show: not found (--pictures FOLDER says where they are)")
        return
    out = args.save or args.run / "search.png"
    figure = retrieval.contact_sheet(searcher, hits, args.text)
    figure.savefig(out, dpi=100, bbox_inches="tight")
    print(f"pictures in {out}")
    if args.show:
        from PIL import Image

        Image.open(out).show(args.text)


def _results(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import results

    _settings(extra)
    results.publish(args.run, args.folder, args.readme)
    print(f"{len(args.run)} runs added to {args.folder}; tables of {args.readme} made anew")


def _samples(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import regions

    _settings(extra)
    if args.out.exists() and any(args.out.iterdir()):
        raise UserError(f"{args.out}: exists and is not empty, wanted a new folder")
    if args.part is not None and args.part < 1:
        raise UserError(f"--part: got {args.part}, wanted at least 1")
    sizes = None if args.part is None else dict.fromkeys(("train", "dev", "test"), args.part)
    regions.regenerate(args.out, sizes=sizes, train_network=args.train_network, log=True)
    print(f"written to {args.out}")


def _doctor(args: argparse.Namespace, extra: list[str]) -> None:
    from hrem_lib import doctor

    _settings(extra)
    lines, healthy = doctor.examine(args.data)
    print("\n".join(lines))
    if not healthy:
        raise UserError("doctor: something above is missing or wrong")


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    top = argparse.ArgumentParser(
        "hrem", description="HREM (CVPR 2023): image-text matching, from training to retrieval."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train, select on dev, evaluate once on test",
        description="Any setting of hrem_lib/config.py can be set as --section.field VALUE, e.g. --training.seed 1.",
    )
    train.add_argument("preset", help=f"one of {', '.join(configs.PRESETS)}")
    train.add_argument("--data", type=Path, help="the NAME_precomp folder or its parent (default: the sample data)")
    train.add_argument("--out", type=Path, help="run folder (default: runs/PRESET-DATE)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run in its folder")
    train.add_argument("--start-from", type=Path, metavar="RUN", help="a new run from the weights of another one")
    train.set_defaults(run_command=_train)

    evaluate = commands.add_parser("evaluate", help="recalls of a run, or of an ensemble of runs")
    evaluate.add_argument("run", type=Path, nargs="+", help="run folder; several are averaged")
    evaluate.add_argument("--split", help="default: the run's test split")
    evaluate.add_argument("--data", type=Path, help="the NAME_precomp folder or its parent")
    evaluate.add_argument("--folds", type=int, help="also the mean over this many folds (COCO 1K: 5)")
    evaluate.add_argument("--device", default="auto")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    evaluate.set_defaults(run_command=_evaluate)

    ablate = commands.add_parser(
        "ablate",
        help="train a grid of arms and seeds, and write a result file for each",
        description="Started again, it goes on where it was. Grids: hrem_lib/ablate.py tells how to write one.",
    )
    ablate.add_argument("grid", help="a YAML file, or the name of a grid of the reported results, e.g. sample")
    ablate.add_argument("--data", type=Path, help="the NAME_precomp folder or its parent (default: the sample data)")
    ablate.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    ablate.add_argument("--runs", type=Path, default=Path("runs/ablate"), help="where the run folders are made")
    ablate.add_argument("--folder", type=Path, default=Path("results"), help="of the result files")
    ablate.set_defaults(run_command=_ablate)
    released = commands.add_parser("import", help="read a checkpoint of the authors' released code")
    released.add_argument("file", type=Path, help="a released .pth file; nothing in it is run")
    released.add_argument("--text", type=Path, metavar="FOLDER", help="BERT's vocab.txt and bert_config.json (default: beside the file, else bert-base-uncased)")  # fmt: skip # noqa: E501
    released.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/released-NAME)")
    released.set_defaults(run_command=_import)

    extract = commands.add_parser("extract", help="features, boxes and captions of your own pictures")
    extract.add_argument("folder", type=Path, help="folder of pictures")
    extract.add_argument("--captions", type=Path, required=True, metavar="FILE", help="Flickr8k, Flickr30K, Karpathy, COCO or CSV")  # fmt: skip # noqa: E501
    extract.add_argument("--out", type=Path, required=True, help="folder to write, e.g. data/mine_precomp")
    extract.add_argument("--model", help="transformers detector or vision backbone, hub name or folder; or `sample`")
    extract.add_argument("--regions", type=int, help="most regions of a picture (36); for a backbone a square number")
    extract.add_argument("--split", metavar="NAME", help="put all pictures into this split")
    extract.add_argument("--keep", type=Path, metavar="FILE", help="only the pictures named in this file, one a line")
    extract.add_argument("--dev", type=int, help="pictures drawn for dev, where the captions file has no splits (a tenth)")  # fmt: skip # noqa: E501
    extract.add_argument("--test", type=int, help="pictures drawn for test (a tenth)")
    extract.add_argument("--seed", type=int, default=0, help="of that draw")
    extract.add_argument("--per-image", type=int, metavar="N", help="captions a picture (5, or what most have)")
    extract.add_argument("--half", action="store_true", help="float16 features, half the disk")
    extract.add_argument("--workers", type=int, default=2, help="threads that read pictures")
    extract.add_argument("--batch", type=int, default=8, help="pictures the network looks at together")
    extract.add_argument("--device", default="auto")
    extract.set_defaults(run_command=_extract)

    index = commands.add_parser("index", help="build the search index of a run")
    index.add_argument("run", type=Path, help="run folder")
    index.add_argument("--split", nargs="+", metavar="NAME", help="one or more, e.g. train dev test (default: the run's test split)")  # fmt: skip # noqa: E501
    index.add_argument("--data", type=Path, help="the NAME_precomp folder or its parent (default: the run's)")
    index.add_argument("--out", type=Path, metavar="FOLDER", help="default: RUN/index")
    index.add_argument("--kind", default="auto", help="exact, float16, compact (default: exact below 100,000 items, then float16)")  # fmt: skip # noqa: E501
    index.add_argument("--export", type=Path, metavar="FOLDER", help="also write Parquet files for Qdrant or Milvus")
    index.add_argument("--device", default="auto")
    index.set_defaults(run_command=_index)

    search = commands.add_parser("search", help="find pictures by words, or captions by a picture")
    search.add_argument("run", type=Path, help="run folder with an index")
    search.add_argument("text", nargs="?", help="a sentence in quotation marks")
    search.add_argument("--image", type=Path, metavar="FILE", help="a picture whose captions are wanted")
    search.add_argument("-k", type=int, default=10, help="answers (10)")
    search.add_argument(
        "--save", type=Path, metavar="FILE", help="where the pictures are put (default: RUN/search.png)"
    )
    search.add_argument("--show", action="store_true", help="also open them in the system's viewer")
    search.add_argument("--index", type=Path, metavar="FOLDER", help="default: RUN/index")
    search.add_argument("--pictures", type=Path, metavar="FOLDER", help="where the pictures are, if they were moved")
    search.add_argument("--model", help="network for --image, if the index does not know it (see hrem extract)")
    search.add_argument("--device", default="auto")
    search.set_defaults(run_command=_search)

    results = commands.add_parser("results", help="add finished runs to results/ and make the README's tables from it")
    results.add_argument("run", type=Path, nargs="*", help="run folder")
    results.add_argument("--folder", type=Path, default=Path("results"))
    results.add_argument("--readme", type=Path, default=Path("README.md"))
    results.set_defaults(run_command=_results)

    samples = commands.add_parser("samples", help="draw the sample world again from its seed")
    samples.add_argument("--out", type=Path, required=True, help="folder to write")
    samples.add_argument("--part", type=int, metavar="N", help="the first N pictures of each split only")
    samples.add_argument("--train-network", action="store_true", help="train the region network again, too")
    samples.set_defaults(run_command=_samples)

    doctor = commands.add_parser("doctor", help="check the installation, and a data folder")
    doctor.add_argument("--data", type=Path, help="the NAME_precomp folder or its parent")
    doctor.set_defaults(run_command=_doctor)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one sentence on standard error if the input was bad.

    1 if training stopped for a value that is not finite, or the reader of the output went away.
    """
    args, extra = parser().parse_known_args(argv)
    try:
        args.run_command(args, extra)
    except BrokenPipeError:  # e.g. `hrem ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UserError, OSError, FloatingPointError) as error:
        print("hrem:", " ".join(str(error).split()), file=sys.stderr)  # one line, whatever a file name holds
        return 1 if isinstance(error, FloatingPointError) else 2
    except (MemoryError, RuntimeError) as error:
        signs = ("out of memory", "allocate memory", "not enough memory")
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in signs):
            raise
        first = (str(error).splitlines() or ["out of memory"])[0]
        print(f"hrem: {first}; a smaller training.batch_size or model needs less", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hrem: interrupted; training goes on with --resume RUN", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
