"""Files: written whole or not at all; read with one clear sentence where they are not what they should be.

Tensors are safetensors with a checksum. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hrem_lib.errors import UserError

PART = ".part"  # behind the name of a file that is not yet whole
LINE_LENGTH = 4000  # characters; a longer line is a file without line ends, not a caption


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: no room, no permission; the earlier file, if any, is as it was.
    """
    part = path.with_name(path.name + PART)
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path}: {len(content)} bytes could not be written ({error.strerror}), the earlier file is as it was"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: missing, or not JSON in UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a JSON file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # a bad character, a huge number, too many brackets
        raise UserError(f"{path}: not readable as JSON ({error})") from None


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def read_lines(path: Path) -> list[str]:
    """Stripped lines of a UTF-8 file (byte order mark and CRLF accepted), without blank lines at the end."""
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a text file, one entry a line")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} line {line}: got bytes that are not UTF-8, wanted a text file in UTF-8") from None
    if "\0" in text:
        raise UserError(
            f"{path} line {text[: text.index(chr(0))].count(chr(10)) + 1}: got a zero byte, wanted UTF-8 text"
        )
    # not splitlines(): it also cuts at characters that may stand inside a caption
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UserError(
                f"{path} line {number}: got an empty line, wanted an entry on each of the {len(lines)} lines"
            )
        if len(line) > LINE_LENGTH:
            raise UserError(f"{path} line {number}: got {len(line)} characters, wanted at most {LINE_LENGTH}")
    return lines


def write_tensors(path: Path, tensors: dict[str, Tensor], info: dict | None = None) -> None:
    """Write tensors, and `info` as JSON in the header, with a checksum, whole or not at all."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    info = dict(info or {})
    # one entry only: safetensors writes several in an order that changes from process to process
    write_bytes(path, save(plain, {"info": json.dumps(info | {"crc32": checksum(plain, info)})}))


def checksum(tensors: dict[str, Tensor], info: dict) -> str:
    """Of names, types, shapes, values and `info`; safetensors itself does not notice a changed value."""
    crc = zlib.crc32(json.dumps(info).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), crc)  # pyright: ignore[reportArgumentType]  # an array is a buffer
    return f"{crc:08x}"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `write_tensors` wrote; files without a checksum are accepted.

    Raises:
        UserError: missing or damaged file.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a safetensors file written by hrem train")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            info = json.loads((file.metadata() or {}).get("info", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error})") from None
    if not isinstance(info, dict):
        raise UserError(f"{path}: got {type(info).__name__} for `info`, wanted an object")
    crc = info.pop("crc32", None)
    if crc is not None and crc != checksum(tensors, info):
        raise UserError(f"{path}: damaged, the content does not fit its checksum")
    return tensors, info
