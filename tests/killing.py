"""Kills training with SIGKILL, at random moments and at every file operation, and compares how it ends after a resume.

A run lives in a process of its own, forked from a server that has imported everything, so that a start costs little.
`python tests/killing.py KILLS [WORKERS]` is the long form of test_killing.py; it prints what it did.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import tiny
import torch
from matplotlib.figure import Figure

from hrem_lib import checkpoints, training
from hrem_lib.config import Config, from_dict
from hrem_lib.errors import UserError
from hrem_lib.files import read_tensors
from hrem_lib.plots import training as plots

SETTINGS = {  # warm-up, fusion, decay and neighbor batches, all within five epochs of ten steps
    "training__epochs": 5,
    "training__batch_size": 10,
    "training__warmup_steps": 14,
    "sampling__neighbor_epoch": 4,
    "sampling__clusters": 2,
    "sampling__clusters_per_batch": 1,
    "sampling__images_per_cluster": 10,
}
server = multiprocessing.get_context("forkserver")
# torch._dynamo: the first optimizer of a process imports it, seconds long
server.set_forkserver_preload(["killing", "torch._dynamo", "torch.utils.tensorboard", "sklearn.cluster"])


def data_and_config(folder: Path, workers: int = 0) -> Config:
    """A tiny data set below `folder`, and the settings of a run on it."""
    return tiny.config(tiny.write(folder, images=(20, 10, 10)), data__workers=workers, **SETTINGS)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(path: Path) -> None:
    """Note at the start of each epoch what this process takes, a line of JSON each."""
    real, page = training.plan_epoch, resource.getpagesize()

    def plan_epoch(*args):
        gc.collect()
        status = Path("/proc/self")
        pages = int((status / "statm").read_text().split()[1])
        counts = {"files": len(list((status / "fd").iterdir())), "threads": len(list((status / "task").iterdir()))}
        with path.open("a") as file:
            file.write(json.dumps({"mebibytes": round(pages * page / 2**20, 1), **counts}) + "\n")
        return real(*args)

    training.plan_epoch = plan_epoch


def _arm(fault: tuple[str, int] | None, out: str) -> None:
    """Make this process kill or stop itself in its n-th write, limit the size of its files, or watch it."""
    if fault is None:
        return
    kind, number = fault
    if kind == "watch":
        _watch(Path(f"{out}.usage"))
        return
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
        return
    seen = Counter()
    real = {"fsync": os.fsync, "replace": os.replace}

    def fsync(handle):
        seen["fsync"] += 1
        if kind == "half" and seen["fsync"] == number:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)  # as if killed in the middle of the write
            _die()
        if kind == "stop" and seen["fsync"] == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        real["fsync"](handle)

    def replace(old, new):
        seen["replace"] += 1
        if kind == "before" and seen["replace"] == number:
            _die()
        real["replace"](old, new)
        if kind == "after" and seen["replace"] == number:
            _die()

    checkpoints.os.fsync, checkpoints.os.replace = fsync, replace


def job(settings: dict, out: str, resume: bool, fault: tuple[str, int] | None) -> None:
    """What the process does; exit code 0, 2 after a UserError, 1 after anything else."""
    log = os.open(f"{out}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # else loader processes come from yet another server
    plots.training_curves = lambda history, config: Figure(figsize=(1, 1))  # half of the time of a run so small
    _arm(fault, out)
    try:
        training.train(from_dict(settings), out, resume)
        code = 0
    except UserError as error:
        code = 2
        with contextlib.suppress(OSError):  # the log may lie on the full disk, too
            os.write(2, f"hrem: {error}\n".encode())
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        code = 1
    os._exit(code)


def start(config: Config, out: Path, resume: bool, fault: tuple[str, int] | None = None) -> multiprocessing.Process:
    """A run in a process of its own; what it prints goes to OUT.log."""
    process = server.Process(target=job, args=(config.to_dict(), str(out), resume, fault))
    process.start()
    return process


def finish(config: Config, out: Path, resume: bool = True, fault: tuple[str, int] | None = None) -> int:
    """Run to the end; returns the exit code (-9: killed)."""
    process = start(config, out, resume, fault)
    process.join()
    code = process.exitcode
    process.close()
    return code


def children(pid: int) -> list[int]:
    """Processes that `pid` has started (Linux)."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def left_over(pids: list[int], seconds: float = 30) -> list[int]:
    """Those that still live after `seconds`."""
    alive = []
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if not select.select([handle], [], [], seconds)[0]:
            alive.append(pid)
        os.close(handle)
    return alive


def moment(out: Path) -> str:
    """How far a killed run had come."""
    if not (out / checkpoints.CONFIG).is_file():
        return "before it began"
    if any(out.glob("*.part")):
        return "in the middle of a write"
    if not (out / checkpoints.STATE).is_file():
        return "before the first checkpoint"
    if (out / "metrics.json").is_file():
        return "after the figures"
    return "between checkpoints"


def outcome(out: Path) -> dict:
    """All that must not depend on how often a run was killed: weights, states, figures, files; no times."""
    tensors, info = read_tensors(out / checkpoints.STATE)
    metrics = json.loads((out / "metrics.json").read_text())
    lines = [json.loads(line) for line in (out / checkpoints.HISTORY).read_text().splitlines()]
    for record in (metrics, *lines, *info["history"]):
        for name in ("seconds", "wall_seconds"):
            record.pop(name, None)
    return {
        "model": hashlib.sha256((out / checkpoints.MODEL).read_bytes()).hexdigest(),
        "state": {n: hashlib.sha256(t.reshape(-1).view(torch.uint8).numpy()).hexdigest() for n, t in tensors.items()},
        "info": info,
        "history": lines,
        "metrics": metrics,
        "files": sorted(path.name for path in out.iterdir()),
    }


def differences(a: dict, b: dict) -> list[str]:
    """Parts of two outcomes that are not the same."""
    return [name for name in a if a[name] != b[name]]


def kill_at_random(config: Config, out: Path, kills: int, longest: float, rng: random.Random) -> list[str]:
    """Kill a run `kills` times, each at a random moment of at most `longest` seconds; returns the moments."""
    moments = []
    for number in range(kills):
        process = start(config, out, resume=number > 0)
        process.join(rng.uniform(0, longest))
        workers = children(process.pid)
        process.kill()
        process.join()
        moments.append(moment(out) if process.exitcode == -signal.SIGKILL else "ended first")
        process.close()
        if left := left_over(workers):
            raise AssertionError(f"loader processes {left} outlive the run")
    return moments


def main(kills: int = 60, workers: int = 0, points: int = 1) -> None:
    """Random kills, two a run, then (`points` 1) one at every file operation; prints each and the counts."""
    rng, folder = random.Random(0), Path(tempfile.mkdtemp())
    config = data_and_config(folder, workers)
    assert finish(config, folder / "first", resume=False) == 0  # starts the server, too
    began = time.perf_counter()
    assert finish(config, folder / "whole", resume=False) == 0
    longest, wanted = time.perf_counter() - began, outcome(folder / "whole")
    print(f"uninterrupted: {longest:.1f} s, {workers} workers", flush=True)
    moments, ends = Counter(), Counter()

    def compare(out: Path, what: str) -> None:
        code = finish(config, out)
        other = differences(wanted, outcome(out)) if code == 0 else [f"exit code {code}"]
        ends["the same" if not other else "OTHER"] += 1
        print(f"{what}: {', '.join(other) or 'the same end'}", flush=True)

    number = 0
    while sum(moments.values()) - moments["ended first"] < kills:
        out, number = folder / f"random{number}", number + 1
        now = kill_at_random(config, out, 2, longest, rng)
        moments.update(now)
        compare(out, f"killed {' and '.join(now)}")
    for kind in ("half", "before", "after") if points else ():
        for number in range(1, 1000):
            out = folder / f"{kind}{number}"
            code = finish(config, out, resume=False, fault=(kind, number))
            if code == 0:
                break
            assert code == -signal.SIGKILL, Path(f"{out}.log").read_text()
            moments[f"write {kind}"] += 1
            compare(out, f"killed {kind} of write {number}")
    print(f"kills: {dict(moments)}; ends: {dict(ends)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
