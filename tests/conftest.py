"""For all tests: no network, absent fixture groups skipped by name, and weights that depend on no random generator."""

from __future__ import annotations

import ipaddress
import os
import socket

# before anything imports the hub's client; subprocesses inherit it
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import pytest
import torch
from fixture_io import cases


def _is_local(address: object) -> bool:
    """Loopback and Unix sockets stay open: worker processes and torchrun talk over them."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """A connection to another machine, or a look-up of its name, is an error."""
    patch = pytest.MonkeyPatch()

    def guard(name: str) -> None:
        real = getattr(socket.socket, name)

        def call(self, *args):
            if not _is_local(args[-1]):
                raise RuntimeError(f"network is blocked in tests: {name} to {args[-1]}")
            return real(self, *args)

        patch.setattr(socket.socket, name, call)

    for name in ("connect", "connect_ex", "sendto"):
        guard(name)
    real_lookup = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_local((name,)):
            raise RuntimeError(f"network is blocked in tests: look-up of {name}")
        return real_lookup(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", lookup)
    yield
    patch.undo()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of test_parity_GROUP.py are skipped by the group's name where its folder holds no case."""
    absent = {}
    for item in items:
        stem = item.path.stem
        if not stem.startswith("test_parity_"):
            continue
        group = stem.removeprefix("test_parity_")
        if group not in absent:
            absent[group] = not cases(group)
        if absent[group]:
            item.add_marker(pytest.mark.skip(reason=f"{group}: this group is not among the fixtures"), append=False)


@pytest.fixture
def sine_ramp():
    """fill(module, scale=0.5): every parameter becomes a sine over its running index, the same on every machine."""

    def fill(module: torch.nn.Module, scale: float = 0.5) -> torch.nn.Module:
        start = 1
        with torch.no_grad():
            for _, parameter in sorted(module.named_parameters()):
                index = torch.arange(start, start + parameter.numel(), dtype=torch.float64)
                parameter.copy_(scale * torch.sin(0.7 * index).reshape(parameter.shape))
                start += parameter.numel()
        return module

    return fill
