"""Messages between the grader and a student's process: JSON with arrays; nothing in a message can run code."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from typing import Any

import numpy as np
import torch

LARGEST = 16 * 2**20  # bytes of one message; a list in lists takes thirty times of that when it is read
MOST_KEYS = 1000  # of a dictionary: numbers can be chosen such that each is compared with all before


class Gone(Exception):
    """The other side ended, was too slow or sent what is no message."""


def pack(value: Any) -> Any:
    """Numbers, text, lists, dicts, arrays and tensors as JSON values.

    Raises:
        TypeError: for anything else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return pack(value.item())
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        return {"tensor": str(plain.dtype).removeprefix("torch."), **_array(plain.numpy())}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": value.dtype.str, **_array(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return {"list" if isinstance(value, list) else "tuple": [pack(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(k), pack(v)] for k, v in value.items()]}
    raise TypeError(f"a {type(value).__name__} is no number, text, list, dictionary, array or tensor")


def _array(values: np.ndarray) -> dict:
    return {"shape": list(values.shape), "type": values.dtype.str, "data": base64.b64encode(values.tobytes()).decode()}


def unpack(value: Any) -> Any:
    """The inverse of `pack`."""
    if not isinstance(value, dict):
        return readable(value) if isinstance(value, str) else value
    if "data" in value:
        values = np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["type"]))
        values = values.reshape([int(n) for n in value["shape"]]).copy()
        return torch.from_numpy(values) if "tensor" in value else values
    if "dict" in value:
        if len(value["dict"]) > MOST_KEYS:
            raise ValueError(f"a dictionary with {len(value['dict'])} keys, wanted at most {MOST_KEYS}")
        return {unpack(k): unpack(v) for k, v in value["dict"]}
    return [unpack(v) for v in value["list"]] if "list" in value else tuple(unpack(v) for v in value["tuple"])


def readable(text: str) -> str:
    """Text that can be written to a file: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def send(channel: socket.socket, message: dict) -> None:
    """Send one message."""
    data = json.dumps(message).encode()
    try:
        channel.settimeout(60)
        channel.sendall(struct.pack(">Q", len(data)) + data)
    except OSError as error:
        raise Gone(str(error)) from None


def receive(channel: socket.socket, seconds: float | None) -> dict:
    """One message.

    Args:
        channel: connected socket
        seconds: how long to wait; None for ever
    Raises:
        Gone: nothing whole came in time.
    """
    end = None if seconds is None else time.monotonic() + seconds
    try:
        (size,) = struct.unpack(">Q", _read(channel, 8, end))
        if size > LARGEST:
            raise Gone("the answer is too large")
        return json.loads(_read(channel, size, end))
    except (OSError, ValueError, RecursionError) as error:
        raise Gone(str(error) or "no answer") from None


def receive_channel(channel: socket.socket, seconds: float) -> socket.socket:
    """A channel of its own that the other side hands over.

    Raises:
        Gone: none came in time.
    """
    try:
        channel.settimeout(seconds)
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        return socket.socket(fileno=descriptors[0])
    except (OSError, IndexError) as error:
        raise Gone(str(error) or "no channel") from None


def _read(channel: socket.socket, size: int, end: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise Gone("too slow")
        channel.settimeout(left)
        piece = channel.recv(min(size - len(data), 2**20))
        if not piece:
            raise Gone("ended")
        data += piece
    return bytes(data)
