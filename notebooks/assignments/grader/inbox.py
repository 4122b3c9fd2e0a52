"""What a learning platform or a folder hands over: which file is whose, and its bytes within limits.

Archives are read in memory, file by file; nothing is unpacked, so no name in them can lead out of a folder.
"""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import itertools
import lzma
import os
import re
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hrem_lib.errors import UserError

T = TypeVar("T")
# Name_1234567_assignsubmission_file_ is a folder of Moodle's, or begins the name of a file
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<rest>.*))?", re.DOTALL)
# name_LATE_user_file_own-name.ipynb is a file of Canvas', name_user_text.html what was typed there; "anon_" has no name
CANVAS = re.compile(
    r"(?:(?P<late_anon>LATE_)?(?=anon_)|(?P<name>.*?[^\d_].*?)_(?P<late>LATE_)?)(?P<id>\d{2,}|anon_\w{5})"
    r"_(?:(?P<file>\d{3,})_(?P<rest>.+)|(?:text|link)\.html)",
    re.DOTALL,
)
READ = re.compile(r"\.(ipynb|zip|tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)$", re.IGNORECASE)
NOT_READ = re.compile(r"\.(7z|rar|gz|bz2|xz|zst|lz|lzma|z)$", re.IGNORECASE)
# what systems, editors and Jupyter write by themselves
BY_ITSELF = re.compile(
    r"(^|/)(\.DS_Store|\._[^/]*|\.localized|\.ipynb_checkpoints|\.virtual_documents|\.git|\.vscode|\.idea|\.venv"
    r"|__MACOSX|__pycache__|Thumbs\.db|desktop\.ini)(/|$)"
)
OUT = re.compile(r"(^|/)\.\.(/|$)")
DEEPEST = 3  # an archive in an archive in a folder's archive; deeper ones are made to harm


class Unreadable(Exception):
    """A file that is left out; the text says why."""


@dataclass
class Item:
    """A file, wherever it lies: path, size as its folder or archive says, time, and how to read so many bytes of it."""

    path: str
    size: int
    time: float
    read: Callable[[int], bytes]


@dataclass
class Handed:
    """What came under one name.

    `key` is the platform's number for the student, as a column of the roster and its value; `sure` is False for a file
    that is a submission only if the roster knows its name.
    """

    name: str
    entries: list[str]
    parts: list[Iterable[Item]]
    key: tuple[str, str] | None = None
    sure: bool = True
    notes: list[str] = field(default_factory=list)


def attempt(what: str, notes: list[str], do: Callable[[], T]) -> T | None:
    """The result of reading something of one student's, or None and a note.

    What a student hands in may be damaged in any way, and zipfile, tarfile, zlib, lzma, json and nbformat each raise
    errors of their own: this is the one place where all of them are caught, so that they concern one student only.
    """
    try:
        return do()
    except Unreadable as error:
        notes.append(f"{what} was left out: {error}")
    except Exception as error:
        kind = type(error)
        name = f"{kind.__module__}.error" if kind.__name__ == "error" else kind.__name__  # zlib's and struct's
        reason = error.strerror if isinstance(error, OSError) and error.strerror else name
        notes.append(f"{what} can't be read ({reason})")
    return None


def plain(text: str) -> str:
    """A name from outside, fit to be printed: no control characters, no bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in text)


def some(names: list[str]) -> str:
    """The first five names, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read(inbox: Path) -> list[Handed]:
    """Who handed in what, without reading a file yet.

    Args:
        inbox: a folder, or a platform's whole download as a zip
    Raises:
        UserError: no folder and no zip
    """
    if inbox.is_dir():
        try:
            entries = list(os.scandir(inbox))
        except OSError as error:
            raise UserError(f"{inbox}: can't be read ({error.strerror}), wanted a folder of submissions") from None
        tops = [(e.name, e.is_dir(follow_symlinks=False), _walk(Path(e.path), e.name)) for e in entries]
        odd = {name for name, folder, _ in tops if not folder and not _regular(inbox / name)}
    elif inbox.is_file() and zipfile.is_zipfile(inbox):
        tops, odd = _tops(inbox), set()
    else:
        raise UserError(f"{inbox}: not a folder and no zip, wanted a folder of submissions or a platform's download")
    numbers = [match["file"] for name, _, _ in tops if (match := CANVAS.fullmatch(name))]
    found: dict[Any, Handed] = {}
    for name, folder, items in sorted(tops, key=lambda top: top[0]):
        canvas = None if folder else CANVAS.fullmatch(name)
        if canvas and canvas["file"] and numbers.count(canvas["file"]) > 1:
            canvas = None  # Canvas never gives a file's number twice: hw_05_2024_anna.ipynb and hw_05_2024_ben.ipynb
        one = _handed(name, folder, items, canvas)
        one.sure = (one.sure or name in odd) and not BY_ITSELF.search(name)
        same = found.setdefault(one.key or name, one)  # several files of one student on a platform
        if same is not one:
            same.entries += one.entries
            same.parts += one.parts
            same.notes += [note for note in one.notes if note not in same.notes]
    return list(found.values())


def _handed(entry: str, folder: bool, items: Iterable[Item], canvas: re.Match | None) -> Handed:
    """Whose an entry of the inbox is, by the names that Moodle and Canvas give, or by its own."""
    moodle = MOODLE.fullmatch(entry)
    if moodle:
        one = Handed(moodle["name"], [plain(entry)], [], ("moodle_id", moodle["id"]))
        if moodle["kind"] != "file":
            one.notes.append(f"{plain(entry)} was left out: text typed into Moodle is not read")
        else:
            rest = moodle["rest"] or ""
            one.parts.append(items if folder else (replace(item, path=plain(rest)) for item in items))
    elif canvas:
        one = Handed(canvas["name"] or "", [plain(entry)], [], ("canvas_id", canvas["id"]))
        if canvas["late"] or canvas["late_anon"]:
            one.notes.append("handed in late (Canvas)")
        if not canvas["rest"]:
            one.notes.append(f"{plain(entry)} was left out: what was typed into Canvas is not read")
        else:
            one.parts.append(replace(item, path=plain(canvas["rest"])) for item in items)
    else:
        suffix = None if folder else READ.search(entry) or NOT_READ.search(entry)
        name = entry if folder else entry[: suffix.start()] if suffix else Path(entry).stem
        one = Handed(name, [plain(entry)], [items], sure=folder or suffix is not None)
    return one


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # it vanished; reading it will say so
        return False


def _walk(path: Path, name: str) -> Iterator[Item]:
    """The file itself, or the files of a folder, before those of the folders in it. No link is followed."""
    waiting = [(path, name)]
    while waiting:
        path, name = waiting.pop(0)
        try:
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode):
                inside = sorted(os.scandir(path), key=lambda e: (e.is_dir(follow_symlinks=False), e.name))
                waiting += [(Path(entry.path), f"{name}/{entry.name}") for entry in inside]
                continue
        except OSError as error:
            yield Item(plain(name), 0, 0.0, _refuse(error.strerror or "not there"))
            continue
        if stat.S_ISLNK(about.st_mode):
            yield Item(plain(name), 0, 0.0, _refuse("a link, wanted the file itself"))
        elif not stat.S_ISREG(about.st_mode):
            yield Item(plain(name), 0, 0.0, _refuse("no plain file"))
        else:
            yield Item(plain(name), about.st_size, about.st_mtime, lambda most, path=path: _from_disk(path, most))


def _from_disk(path: Path, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)


def _refuse(why: str) -> Callable[[int], bytes]:
    def refuse(_: int) -> bytes:
        raise Unreadable(why)

    return refuse


def _tops(inbox: Path) -> list[tuple[str, bool, Iterable[Item]]]:
    """The entries of a whole download, as `read` has those of a folder."""
    try:
        items = [item for item in _zip(zipfile.ZipFile(inbox)) if not BY_ITSELF.search(item.path)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{inbox}: damaged ({error}), wanted a platform's download as a zip") from None
    outer = {item.path.split("/")[0] for item in items}
    rests = [item.path.partition("/")[2] for item in items]
    inside = {rest.split("/")[0] for rest in rests if "/" in rest or READ.search(rest)}
    if len(outer) == 1 and len(inside) > 1 and not MOODLE.fullmatch(min(outer)):
        items = [replace(item, path=item.path.partition("/")[2]) for item in items]  # a folder of submissions, zipped
    tops: dict[tuple[str, bool], list[Item]] = {}
    for item in items:
        tops.setdefault((item.path.split("/")[0], "/" in item.path), []).append(item)
    return [(top, folder, inside) for (top, folder), inside in tops.items()]


def contents(handed: Handed, limits: dict) -> list[tuple[Item, bytes]]:
    """The files of a submission, those of its archives included; what is left out is added to its notes.

    Args:
        handed: see there; its parts are read once
        limits: `file_mb`, the largest file; `unpacked_mb`, all files together; `files`, how many; `seconds` for all
    """
    found: list[tuple[Item, bytes]] = []
    large, seen, left = [], 0, limits["unpacked_mb"] * 2**20
    until = time.monotonic() + limits["seconds"]
    end = Item("", 0, 0.0, _refuse("the end"))
    stack: list[tuple[str, Iterator[Item]]] = [("the submission", itertools.chain.from_iterable(handed.parts))]
    while stack:
        name, items = stack[-1]
        item = attempt(name, handed.notes, partial(next, items, end))
        if item is end:
            stack.pop()
        if item is None or item is end or BY_ITSELF.search(item.path):
            continue
        seen += 1
        if seen > limits["files"]:
            handed.notes.append(f"only the first {limits['files']} files were read")
            break
        if time.monotonic() > until:
            handed.notes.append(f"only what could be unpacked in {limits['seconds']} seconds was read")
            break
        most = min(limits["file_mb"] * 2**20, left)
        read = _refuse("its name leads out of the folder") if OUT.search(item.path) else item.read
        data = b"" if item.size > most else attempt(item.path, handed.notes, partial(read, most + 1))
        if data is None:
            continue
        if item.size > most or len(data) > most:
            large.append(item.path)
        elif NOT_READ.search(item.path) and not READ.search(item.path):
            handed.notes.append(f"{item.path} was left out: of the archives only zip and tar are read")
        elif READ.search(item.path) and not item.path.lower().endswith(".ipynb"):
            if len(stack) > DEEPEST:
                handed.notes.append(f"{item.path} was left out: an archive too deep in others")
            else:
                stack.append((item.path, _archive(data, left)))
        else:
            left -= len(data)
            found.append((item, data))
    if large:
        most, whole = limits["file_mb"], limits["unpacked_mb"]
        handed.notes.append(f"too large, wanted at most {most} MB a file and {whole} MB in all: {some(large)}")
    return found


def _archive(data: bytes, most: int) -> Iterator[Item]:
    """The files of an archive; it goes by what it is, not by its name."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        archive = zipfile.ZipFile(io.BytesIO(data))
        yield from _zip(archive)
        at = data.rfind(b"PK\x05\x06")  # the end record; zipfile does not look at its number of files
        if len(archive.infolist()) % 65536 != int.from_bytes(data[at + 10 : at + 12], "little"):
            yield Item("a part of an archive", 0, 0.0, _refuse("the list of its files is damaged"))
        return
    for start, reader in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if data.startswith(start):
            yield from _tar(reader(io.BytesIO(data)), most)
            return
    if data[257:262] != b"ustar":
        raise Unreadable("damaged, or neither zip nor tar")
    yield from _tar(io.BytesIO(data), most)


def _zip(archive: zipfile.ZipFile) -> Iterator[Item]:
    for info in sorted(archive.infolist(), key=lambda info: info.filename.count("/")):
        name = info.filename.replace("\\", "/")
        if not info.flag_bits & 0x800:  # no mark that the name is UTF-8; macOS writes UTF-8 without it
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                name = info.filename.replace("\\", "/")
        try:
            changed = datetime.datetime(*info.date_time).timestamp()
        except (ValueError, OverflowError):  # month 0 and the like
            changed = 0.0
        if not info.is_dir() or info.file_size:  # a folder with bytes is a damaged name
            yield Item(plain(name), info.file_size, changed, lambda most, info=info: _from_zip(archive, info, most))


def _from_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """At most so many bytes, whatever the header says of the size."""
    if info.flag_bits & 1:
        raise Unreadable("locked with a password")
    with archive.open(info) as file:
        return file.read(most)


def _tar(stream: Any, most: int) -> Iterator[Item]:
    """The plain files of a tar; links, devices and folders are left out."""
    capped: Any = _Capped(stream, most)
    with tarfile.open(fileobj=capped, mode="r|") as archive:
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            read = file.read if file else _refuse("a link or a device in a tar")
            yield Item(plain(member.name), member.size, float(member.mtime), read)


class _Capped:
    """A stream that fails once more than so many bytes were unpacked, headers and skipped files included."""

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.left = stream, most

    def read(self, size: int) -> bytes:
        """Raises Unreadable where the limit is passed."""
        self.left -= size
        if self.left < 0:
            raise Unreadable("too large when unpacked")
        return self.stream.read(size)
