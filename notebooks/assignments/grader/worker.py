"""The process that runs students' code. Started by `sandbox.py` as `python worker.py FD`; knows no hidden test.

The first process only imports the libraries. For each submission it forks a session (a new process group in a jail),
which runs the notebook's cells and then answers calls of the student's functions, each in a fork of its own: a call
that crashes, hangs or changes a global variable has no influence on the next one.
"""

from __future__ import annotations

import base64
import math
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

os.environ["MPLBACKEND"] = "inline"
import hrem_lib.exercises.grading
import matplotlib.pyplot  # noqa: F401 - imported once, shared by all sessions
import numpy as np
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib_inline.backend_inline import configure_inline_support
from traitlets.config import Config

from grader import jail
from grader.codec import Gone, pack, receive, send, unpack

WAIT = 10  # seconds that may pass for a second of processor time
KEPT = ("text/plain", "image/png")  # outputs that are kept: no script of a student runs in the instructor's browser


class Shell(InteractiveShell):
    """IPython without a front end."""

    def enable_gui(self, gui: str | None = None) -> None:
        """`%matplotlib inline` asks for it; there is no window here."""


class Overtime(BaseException):
    """A cell was too slow. No Exception, so that a student's `except Exception` lets it pass."""


def serve(control: socket.socket) -> None:
    """Fork a session for every job that the grader sends, until it hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    warm_up()
    send(control, {"ready": True})
    while True:
        control.settimeout(None)
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        job, channel = receive(control, 60), socket.socket(fileno=descriptors[0])
        child = os.fork()
        if child == 0:
            control.close()
            try:
                session(channel, job)
            finally:
                os._exit(0)
        channel.close()
        send(control, {"pid": child})


def warm_up() -> None:
    """Import what every notebook needs; start no threads, so that forking is safe."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.nn.GRU(4, 4)(torch.ones(2, 2, 4))  # what the libraries look up at their first use, they look up now
    import hrem_lib.checkpoints
    import hrem_lib.interaction
    import hrem_lib.plots
    import hrem_lib.training  # noqa: F401


def session(channel: socket.socket, job: dict) -> None:
    """Run one submission: answer the grader's messages until it hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    folder, hidden = Path(job["folder"]), [Path(place) for place in job["hidden"]]
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.chdir(folder)
    os.environ.update(HOME=str(folder), TMPDIR=str(folder), MPLCONFIGDIR=str(folder), HF_HUB_OFFLINE="1")
    jail.limit(job["cpu_seconds"], job["memory_gb"], job["file_mb"])
    apart = jail.isolate(folder, hidden)
    if apart:
        inner = os.fork()  # the first process of its own process namespace: if it ends, all in it end
        if inner:
            channel.close()
            os.waitpid(inner, 0)
            os._exit(0)
    quiet = Config({"HistoryManager": {"enabled": False}})  # else a thread writes a history: no good with forks
    shell = Shell.instance(colors="nocolor", config=quiet)
    configure_inline_support(shell, os.environ["MPLBACKEND"])
    sys.path.insert(0, str(folder))
    guard = jail.Guard(folder, hidden)
    send(channel, {"apart": apart})
    while True:
        try:
            message = receive(channel, None)
        except Gone:
            return
        if message["do"] == "cell":
            send(channel, run_cell(shell, message["source"], message["seconds"]))
        else:
            send(channel, in_fork(shell.user_ns, message, guard, channel))


def run_cell(shell: InteractiveShell, source: str, seconds: float) -> dict:
    """Run one cell; its outputs, and the name and text of its error or None."""
    rings, over = [], []

    def stop(*_: object) -> None:
        rings.append(1)
        if len(rings) > 5:
            os._exit(1)  # the cell goes on whatever is raised
        if not over:
            raise Overtime

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # processor time: a busy machine costs nobody points
    signal.setitimer(signal.ITIMER_REAL, WAIT * seconds, 1)  # for cells that sleep
    outputs, error = [], None
    try:
        with capture_output() as captured:
            result = shell.run_cell(source, store_history=False)
            over.append(1)
        failed = result.error_in_exec or result.error_before_exec
        if failed is not None:
            error = ["Overtime" if isinstance(failed, Overtime) else type(failed).__name__, str(failed)[:300]]
        for name in ("stdout", "stderr"):
            text = getattr(captured, name)[:20_000]
            if text and not (name == "stdout" and error and "Traceback" in text):
                outputs.append({"output_type": "stream", "name": name, "text": text})
        for rich in captured.outputs[:20]:
            kept = {kind: _text(value) for kind, value in rich.data.items() if kind in KEPT}
            outputs.append({"output_type": "display_data", "data": kept, "metadata": {}})
    except Overtime:
        error = ["Overtime", ""]
    except BaseException as problem:
        error = [type(problem).__name__, str(problem)[:300]]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"outputs": outputs, "error": error}


def _text(value: str | bytes) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)[:2_000_000]


def in_fork(names: dict, message: dict, guard: jail.Guard, channel: socket.socket) -> dict:
    """Answer a question about the student's names in a fork."""
    mine, theirs = socket.socketpair()
    guard.paused = True
    child = os.fork()
    guard.paused = False
    if child == 0:
        mine.close()
        channel.close()
        try:
            limit = math.ceil(message["seconds"])
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))  # of this fork alone; the system ends it
            send(theirs, answer(names, message))
        finally:
            os._exit(0)
    theirs.close()
    reply = None
    with suppress(Gone):
        reply = receive(mine, WAIT * message["seconds"])
    guard.paused = True
    os.kill(child, signal.SIGTERM if reply is None else signal.SIGKILL)
    guard.paused = False
    if reply is None:
        reply = {"error": ["Overtime", ""] if _ended_by_limit(child) else ["Crash", "the process ended"]}
    else:
        os.waitpid(child, 0)
    mine.close()
    return reply


def _ended_by_limit(child: int) -> bool:
    """Whether a fork without an answer used up its time (or slept through it)."""
    for _ in range(20):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL, signal.SIGTERM)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def answer(names: dict, message: dict) -> dict:
    """The value of a name, or the result of calling it."""
    name = message["name"]
    if name not in names:
        return {"error": ["NotImplementedError", f"{name} is missing"]}
    thing = names[name]
    try:
        if message["do"] == "look":
            return {"callable": True} if callable(thing) else {"value": pack(thing)}
        torch.manual_seed(message["seed"])
        np.random.seed(message["seed"])
        args, keywords = unpack(message["args"]), unpack(message["keywords"])
        if message["do"] == "gradient":
            return {"value": pack(hrem_lib.exercises.grading.gradient(thing, *args, by=message["by"]))}
        return {"value": pack(thing(*args, **keywords))}
    except BaseException as error:
        return {"error": [type(error).__name__, " ".join(str(error).split())[:300]]}


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
