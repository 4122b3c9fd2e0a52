"""Tar files with pictures and captions, as `webdataset` lays them out -> pictures in the tars' order (Sec 4.1).

`cat.jpg` beside `cat.txt` (a caption a line) or `cat.json` (`caption`, `captions`, ...). Pictures are read in their
place: nothing is unpacked. A tar may be another's: what cannot be taken from it is named and left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hrem_lib.errors import UserError, brief
from hrem_lib.files import LINE_LENGTH
from hrem_lib.pictures.caption_files import CAPTION_NAMES, CaptionedPicture
from hrem_lib.pictures.images import SUFFIXES, read_picture
from hrem_lib.pictures.shards import Shard

CHUNK = 64  # pictures between two savings
LARGEST = 2**27  # bytes of a picture file
LARGEST_TEXT = 2**20  # bytes of a caption file, or of a header's long name


@dataclass(frozen=True)
class TarPicture(CaptionedPicture):
    """A picture `TAR/NAME` and where its bytes are; or why it is left out."""

    tar: Path = Path()
    start: int = 0
    size: int = 0
    fault: str | None = None


class Tars:
    """The tar files of a folder in the order of their names, or one tar file; shards have whole tars.

    Raises:
        UserError: none there.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder).expanduser().resolve()
        self.place = folder if folder.is_dir() else folder.parent
        self.tars = sorted(folder.glob("*.tar")) if folder.is_dir() else [folder]
        if not self.tars or not all(tar.suffix == ".tar" and tar.is_file() for tar in self.tars):
            raise UserError(f"{folder}: got no tar files, wanted --captions FILE, or names that end in .tar")

    def fingerprint(self) -> str:
        """Of the tars' names and sizes."""
        tars = [[tar.name, tar.stat().st_size] for tar in self.tars]
        return hashlib.sha256(json.dumps(tars).encode()).hexdigest()[:16]

    def chunks(self, shard: Shard) -> Iterator[Sequence[TarPicture]]:
        """A chunk ends with its tar, so that batches are the same in every shard."""
        for at in shard.cut(len(self.tars)):
            part = []
            for item in _pictures(self.tars[at]):
                part.append(item)
                if len(part) == CHUNK:
                    yield part
                    part = []
            if part:
                yield part

    def count(self, shard: Shard) -> None:
        """Not known before the tars are read."""

    def per_image(self) -> int:
        """Captions of the first picture that has some, at most 5; every shard finds the same."""
        found = (len(item.captions) for tar in self.tars for item in _pictures(tar) if item.fault is None)
        return min(5, next(found, 1))

    def read(self, item: CaptionedPicture) -> Image.Image:
        """A picture in RGB. Raises ValueError where it cannot be read."""
        assert isinstance(item, TarPicture)
        if item.fault is not None:
            raise ValueError(item.fault)
        return read_picture(io.BytesIO(_bytes(item.tar, item.start, item.size)))


def _bytes(tar: Path, start: int, size: int) -> bytes:
    with open(tar, "rb") as file:
        file.seek(start)
        return file.read(size)


class _Header(tarfile.TarInfo):
    """Refuses what would hold Python's reader for ever or fill the memory (CVE-2025-8194 and its like)."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a negative size")
        return super()._block(count)  # pyright: ignore[reportAttributeAccessIssue]  # not in its stubs

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _LONG and self.size > LARGEST_TEXT:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(tar)  # pyright: ignore[reportAttributeAccessIssue]  # not in its stubs


_LONG = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def _members(path: Path) -> Iterator[tarfile.TarInfo | str]:
    """Headers in their order; where a tar is damaged, the reason as the last one."""
    after = "its beginning"
    try:
        with tarfile.open(path, "r:", tarinfo=_Header) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # it would keep them all
                after = ascii(member.name)[1:-1]
                yield member
            end = tar.offset
        with open(path, "rb") as file:  # a damaged header looks like the end
            file.seek(end)
            whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE) and not file.read(2**20).strip(b"\0")
        if not whole:
            yield f"damaged after {after}, wanted a whole tar"
    except Exception as error:  # a damaged header can fail anywhere in tarfile, with many kinds
        yield f"damaged after {after} ({brief(error)}), wanted a whole tar that is not compressed"


def _pictures(tar: Path) -> Iterator[TarPicture]:
    """The pictures of a tar. No name comes twice: what stands there again is left out."""
    names = set()
    for item in _samples(tar):
        name, again = item.name, 1
        while name in names:
            again += 1
            name = f"{item.name}#{again}"
        names.add(name)
        yield item if again == 1 else _left_out(tar, name, "its name stands twice in the tar")


def _left_out(tar: Path, name: str, fault: str) -> TarPicture:
    return TarPicture(name, (), tar=tar, fault=fault)


def _samples(tar: Path) -> Iterator[TarPicture]:
    """Members that stand side by side with one name up to the first dot belong together."""
    before, fields = None, {}
    for member in _members(tar):
        key = fault = None
        if isinstance(member, tarfile.TarInfo) and (fault := _fault(member)) is None:
            folder, base = posixpath.split(posixpath.normpath(member.name))
            stem, _, kind = base.partition(".")
            kind = kind.lower()
            if not member.isreg() or not stem or not kind:
                continue  # a folder, a hidden file, a README
            key = posixpath.join(folder, stem)
            if key == before:
                fields.setdefault("picture" if f".{kind}" in SUFFIXES else kind, member)
                continue
            fields, done = {"picture" if f".{kind}" in SUFFIXES else kind: member}, fields
        else:
            fields, done = {}, fields
        if before is not None:
            yield _picture(tar, before, done)
        before = key
        if isinstance(member, str):
            yield _left_out(tar, tar.name, member)
        elif fault is not None:
            yield _left_out(tar, f"{tar.name}/{ascii(member.name)[1:-1]}", fault)
    if before is not None:
        yield _picture(tar, before, fields)


def _fault(member: tarfile.TarInfo) -> str | None:
    """Why a member is not taken."""
    parts = re.split(r"[/\\]", member.name)
    if not member.name.isprintable() or len(member.name) > 1000:
        return "its name is longer than 1000 characters or has characters that cannot be printed"
    if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return "its name leads out of the tar"
    if member.issparse() or not (member.isreg() or member.isdir()):
        return "a link, a device or a file with holes, wanted a plain file"
    return None


def _picture(tar: Path, key: str, fields: dict[str, tarfile.TarInfo]) -> TarPicture:
    picture, text = fields.get("picture"), fields.get("txt") or fields.get("json")
    if picture is None:
        return _left_out(tar, f"{tar.name}/{key}", "no picture of this name")
    name = f"{tar.name}/{posixpath.normpath(picture.name)}"
    try:
        if picture.size > LARGEST:
            raise ValueError(f"{picture.size} bytes, wanted at most {LARGEST}")
        if text is None:
            raise ValueError("no .txt and no .json beside it, wanted its captions")
        captions = _captions(tar, text)
    except (ValueError, RecursionError) as error:
        return _left_out(tar, name, str(error))
    return TarPicture(name, captions, tar=tar, start=picture.offset_data, size=picture.size)


def _captions(tar: Path, member: tarfile.TarInfo) -> tuple[str, ...]:
    """Captions of a .txt (one a line) or .json file in a tar.

    Raises:
        ValueError: none that the public layout can hold, with the reason.
    """
    kind = member.name[-5:]
    if member.size > LARGEST_TEXT:
        raise ValueError(f"captions of {member.size} bytes, wanted at most {LARGEST_TEXT}")
    try:
        text = _bytes(tar, member.offset_data, member.size).decode("utf-8-sig")
        found = text.split("\n")
        if kind.lower() == ".json":
            content = json.loads(text)
            if isinstance(content, dict):
                content = next((content[name] for name in CAPTION_NAMES if name in content), [])
            found = content if isinstance(content, list) else [content]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its captions cannot be read ({brief(error)})") from None
    found = [" ".join(line.split()) for line in found if isinstance(line, str)]
    found = tuple(line for line in found if line)
    if not found:
        raise ValueError("no caption in its .txt or .json")
    if any(len(line) > LINE_LENGTH or "\0" in line or re.search("[\ud800-\udfff]", line) for line in found):
        raise ValueError(f"a caption that is no text or longer than {LINE_LENGTH} characters")
    return found
