"""`hrem search`: find pictures by words, or captions by a picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hrem_lib.cli.arguments import DEVICE, check_run, place_of, split_of
from hrem_lib.errors import UserError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its flags."""
    search = commands.add_parser("search", help="find pictures by words, or captions by a picture")
    search.add_argument("run", type=Path, help="run folder; without an index, one of its test split is made")
    search.add_argument("text", nargs="?", help="a sentence in quotation marks")
    search.add_argument("--image", type=Path, metavar="FILE", help="a picture whose captions are wanted (default: search by the sentence)")  # fmt: skip # noqa: E501
    search.add_argument("-k", type=int, default=10, metavar="N", help="how many answers (default: 10)")
    search.add_argument("--save", type=Path, metavar="FILE", help="where the pictures are put (default: RUN/search.png; runs/sample-search.png for the included run)")  # fmt: skip # noqa: E501
    search.add_argument("--show", action="store_true", help="open them in the system's viewer, too")
    search.add_argument("--index", type=Path, metavar="FOLDER", help="written by hrem index --out, or by --export with --engine lance (default: RUN/index, RUN/lance)")  # fmt: skip # noqa: E501
    search.add_argument("--engine", default="faiss", choices=("faiss", "lance"), help="what answers: faiss, or the tables of hrem index --engine lance (default: faiss)")  # fmt: skip # noqa: E501
    search.add_argument("--pictures", type=Path, metavar="FOLDER", help="where the pictures are, if they were moved (default: as the index says)")  # fmt: skip # noqa: E501
    search.add_argument("--model", metavar="NAME", help="network for --image, if the index does not know it, see hrem extract (default: as the index says)")  # fmt: skip # noqa: E501
    search.add_argument("--device", default="auto", help=DEVICE)
    search.set_defaults(run_command=execute)


def execute(args: argparse.Namespace, extra: list[str]) -> None:
    """What the command does."""
    from hrem_lib import checkpoints, training
    from hrem_lib.search import index_folder, lance, panel
    from hrem_lib.search.searcher import UNKNOWN, Searcher

    check_run(args.run)
    if (args.text is None) == (args.image is None):
        raise UserError('search: wanted either a sentence in quotation marks ("a man riding a wave") or --image FILE')
    if args.text and Path(args.text).is_file():
        raise UserError(f"search: got the file {args.text}, wanted --image {args.text}, or a sentence")
    if args.k < 1:
        raise UserError(f"-k: got {args.k}, wanted at least one answer")
    if args.image is not None and not args.image.is_file():
        raise UserError(f"{args.image}: not readable as a picture (not found)")
    device = training.pick_device(args.device)
    faiss = args.engine == "faiss"
    folder = args.index or place_of(args.run, "index" if faiss else "lance")
    make = faiss and args.index is None and not (folder / "index.json").is_file()
    if not make:  # before the model, which takes longer
        index_folder.read_info(folder) if faiss else lance.open_table(folder, "images")
    run = checkpoints.load_run(args.run, device)
    if make:
        split = split_of(run.config, None, None)
        print(
            f"no index yet: making one of the {split.n_images} pictures of {split.folder.name}/{split.name} in "
            f"{folder} (hrem index takes other splits)"
        )
        index_folder.write_index(run, [split], folder, device=device, source=str(args.run))
    searcher = Searcher(run, folder, device, args.model, args.pictures, args.engine)
    hits = searcher.images(args.text, args.k) if args.image is None else searcher.captions(args.image, args.k)
    if args.image is None and (unknown := searcher.unknown(args.text)):
        print(UNKNOWN + ", ".join(unknown), file=sys.stderr)
    for place, hit in enumerate(hits, start=1):
        print(f"{place:>3}  {hit.score:6.3f}  {hit.line}")
    if args.image is not None:
        return
    if searcher.picture(hits[0]) is None:
        print("no pictures to show: not found (--pictures FOLDER says where they are)")
        return
    out = args.save or place_of(args.run, "search.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure = panel.contact_sheet(searcher, hits, args.text)
    figure.savefig(out, dpi=100, bbox_inches="tight")
    print(f"pictures in {out}")
    if args.show:
        from PIL import Image

        Image.open(out).show(args.text)
