"""Pictures in a folder: found by name, and read as RGB."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from hrem_lib.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def picture_files(folder: str | Path) -> list[Path]:
    """All pictures in a folder and the folders in it, by their `SUFFIXES`, in the order of their paths.

    Raises:
        UserError: not a folder.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder, wanted one of pictures")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def picture_finder(folder: str | Path) -> Callable[[str], Path]:
    """A function from a name in a caption file to the picture's path: as given, else by file name anywhere in `folder`.

    A name that leads out of the folder (`../x.png`, `/x.png`) is never followed, for the names may be another's; links
    in the folder are the user's own.

    Raises:
        UserError: not a folder. The function raises FileNotFoundError, also where several files have the name.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder, wanted one of pictures")
    below: dict[str, list[Path]] = {}
    lock = threading.Lock()  # several threads ask

    def find(name: str) -> Path:
        path = Path(os.path.normpath(folder / name))
        inside = path.is_relative_to(folder)
        if inside and path.is_file():
            return path
        with lock:
            for path in () if below else folder.rglob("*"):
                below.setdefault(path.name, []).append(path)
        places = below.get(Path(name).name, [])
        if len(places) != 1:
            missing = "not found" if inside else "lies outside the folder of pictures"
            raise FileNotFoundError(f"{len(places)} files of this name" if places else missing)
        return places[0]

    return find


def read_picture(path: str | Path | BinaryIO) -> Image.Image:
    """A picture in RGB, turned as its EXIF data says.

    Raises:
        ValueError: it cannot be read, with the reason.
    """
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as error:  # a damaged file can fail anywhere in Pillow, with many kinds
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None
