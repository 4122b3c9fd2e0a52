"""Measuring: a function beside the machine's own limit, interleaved in the same run, with peak memory.

The limit of a function is the time that its products and its bytes would need at the rates measured beside it: the
rate of one matrix product of the same shape and precision, and the bandwidth of a plain copy or of a pass in place
(whichever is faster); the longer of the two.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

COPY_BYTES = 2**27  # read plus written by one copy: more than any cache holds
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Case:
    """One thing to measure."""

    group: str  # row group of the table
    name: str
    run: Callable[[], object]
    size: str = ""  # e.g. "N = 128"
    precision: str = "float32"
    flops: float = 0.0  # of the products that real fragments need; padding is not counted
    bytes: float = 0.0  # that must be read and written at least once
    product: tuple[int, int, int] | None = None  # [m,k] x [k,n]: the shape whose rate is the limit
    beside: Callable[[], object] | None = None  # the limit itself, where it is neither a product nor a copy
    items: float = 0.0  # rows, images or captions of one run
    unit: str = ""  # their name
    repeats: int = 5
    parts: dict[str, float] | None = None  # seconds of parts, which `run` overwrites


class Machine:
    """Clock, limits and memory of a device.

    Args:
        device: "cpu" or "cuda"
        cpu_time: count this thread's own seconds instead of wall seconds (a machine that others use too)
    """

    def __init__(self, device: str, cpu_time: bool):
        self.device = torch.device(device)
        self.cpu_time = cpu_time
        if cpu_time:
            torch.set_num_threads(1)
        self._clock = time.thread_time if cpu_time else time.perf_counter
        self._copy = [torch.ones(COPY_BYTES // 8, device=self.device) for _ in range(2)]
        rates = {name: self.rate((1024, 1024, 1024), name, 4) for name in DTYPES}
        self.rates = rates
        # without bfloat16 units such a product is slower than float32, by up to a hundred times
        self.precisions = ["float32", "bfloat16"] if rates["bfloat16"] > 1.1 * rates["float32"] else ["float32"]

    def clock(self) -> float:
        """Seconds; on a GPU after all that was started has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self._clock()

    def seconds(self, function: Callable[[], object]) -> float:
        began = self.clock()
        function()
        return self.clock() - began

    def operands(self, shape: tuple[int, int, int], precision: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Random [m,k] and [n,k]."""
        m, k, n = shape
        return tuple(torch.randn(rows, k, device=self.device).to(DTYPES[precision]) for rows in (m, n))

    def rate(self, shape: tuple[int, int, int], precision: str, repeats: int) -> float:
        """FLOP/s of one matrix product, the best of `repeats`."""
        a, b = self.operands(shape, precision)
        return 2 * shape[0] * shape[1] * shape[2] / min(self.seconds(lambda: a @ b.T) for _ in range(repeats))

    def measure(self, case: Case) -> dict:
        """Run a case, its product and a copy in turn; the best of each counts."""
        peak = self._peak(case.run)  # the warm-up too
        beside = {
            "run": case.run,
            "copy": lambda: self._copy[0].copy_(self._copy[1]),
            "in place": lambda: self._copy[0].mul_(1.0),
        }
        if case.product:
            a, b = self.operands(case.product, case.precision)
            beside["product"] = lambda: a @ b.T
        if case.beside:
            beside["beside"] = case.beside
        best: dict[str, float] = {}
        parts: dict[str, float] = {}
        for _ in range(case.repeats):
            for name, function in beside.items():
                taken = self.seconds(function)
                if name == "run" and taken < best.get("run", float("inf")):
                    parts = dict(case.parts or {})
                best[name] = min(best.get(name, float("inf")), taken)
        bandwidth = COPY_BYTES / min(best["copy"], best["in place"])
        row = {
            "group": case.group, "name": case.name, "size": case.size, "precision": case.precision,
            "seconds": best["run"], "flops": case.flops, "bytes": case.bytes, "peak_bytes": peak,
            "bandwidth": bandwidth,
        }  # fmt: skip
        limits = [case.bytes / bandwidth]
        if case.product:
            m, k, n = case.product
            row["product_shape"], row["product_rate"] = case.product, 2 * m * k * n / best["product"]
            limits.append(case.flops / row["product_rate"])
        if case.beside:
            limits.append(best["beside"])
        row["limit_seconds"] = max(limits)
        row["share"] = row["limit_seconds"] / best["run"]
        if parts:
            row["parts"] = parts
        if case.items:
            row["items_per_second"], row["unit"] = case.items / best["run"], case.unit
        return row

    def _peak(self, function: Callable[[], object]) -> int | None:
        """Bytes that a call takes at its peak, beyond those held before it; None where the system does not tell."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            function()
            return torch.cuda.max_memory_allocated() - before
        if not sys.platform.startswith("linux"):
            function()
            return None
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed but kept would hide a new need
        before = resident("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forgets the highest value so far
        except OSError:
            function()
            return None
        function()
        return resident("VmHWM") - before

    def describe(self) -> dict:
        """What the figures depend on."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
        else:
            info = Path("/proc/cpuinfo")
            lines = info.read_text().splitlines() if info.is_file() else []
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
            name = name or platform.processor() or platform.machine()
        return {
            "device": name,
            "kind": self.device.type,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "clock": "seconds of one thread" if self.cpu_time else "wall seconds",
            "product_rates": self.rates,
            "precisions": self.precisions,
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "python": platform.python_version(),
            "torch": torch.__version__,
        }


def resident(field: str) -> int:
    """A figure of this process in bytes, e.g. VmRSS, VmHWM, RssAnon (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)
