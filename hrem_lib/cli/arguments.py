"""What several commands share: settings on the command line, run folders, splits."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from hrem_lib import config as configs
from hrem_lib.errors import UserError

DATA = "the NAME_precomp folder or its parent"
DEVICE = "auto, cpu, cuda, mps or another torch device (default: auto, which takes a GPU if there is one)"


def settings(extra: list[str]) -> dict[str, str]:
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


def joined(argv: list[str]) -> list[str]:
    """`--section.field VALUE` as one word with "="; VALUE would be taken for the preset."""
    words = []
    for word in argv:
        last = words[-1] if words else ""
        if last.startswith("--") and "." in last and "=" not in last and not word.startswith("--"):
            words[-1] = f"{last}={word}"
        else:
            words.append(word)
    return words


def stray(args: argparse.Namespace, extra: list[str]) -> UserError:
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


def check_run(folder: Path, begun: bool = False) -> None:
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


def absolute(folder: str) -> str:
    """The whole path: a run has to work from any directory."""
    return str(Path(folder).expanduser().resolve())


def split_of(config: configs.Config, name: str | None, folder: Path | str | None):
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


def place_of(run: Path, name: str) -> Path:
    """RUN/name, where the files of index and search go; nothing is written into the run that comes with the project."""
    from hrem_lib import data

    shipped = run.resolve() == (data.sample_dir().parent / "checkpoint").resolve()
    return Path("runs") / f"sample-{name}" if shipped else run / name
