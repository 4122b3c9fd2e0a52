"""The process that runs one student's code. `sandbox.py` starts it as `python -m grader.worker FD`; no test enters it.

It loads the libraries, gets the submission's files, locks itself in (`jail.py`), then runs the notebook's cells and
answers calls of the student's functions, each in a fork of its own: a call that crashes, hangs or changes a global
variable has no influence on the next one.
"""

from __future__ import annotations

import base64
import json
import math
import os
import resource
import select
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
from grader.codec import LARGEST, Gone, pack, receive, send, unpack

WAIT = 10  # seconds that may pass for a second of processor time, on a busy machine
IDLE = 0.05  # who uses less of a processor than this sleeps
KEPT = ("text/plain", "image/png")  # outputs that are kept: no script of a student runs in the instructor's browser


class Shell(InteractiveShell):
    """IPython without a front end."""

    def enable_gui(self, gui: str | None = None) -> None:
        """`%matplotlib inline` asks for it; there is no window here."""


class Overtime(BaseException):
    """A cell was too slow. No Exception, so that a student's `except Exception` lets it pass."""


def serve(channel: socket.socket) -> None:
    """Answer the grader's messages until it hangs up."""
    warm_up()
    send(channel, {"ready": True})
    while True:
        try:
            message = receive(channel, None)
        except Gone:
            return  # a process made ahead that was not needed
        if message["do"] == "start":
            return session(channel, message)
        path = Path(os.environ["HOME"], message["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(base64.b64decode(message["data"]))


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
    """Lock this process in; then run cells and answer questions."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    quiet = Config({"HistoryManager": {"enabled": False}})  # else a thread writes a history: no good with forks
    shell = Shell.instance(colors="nocolor", config=quiet)
    configure_inline_support(shell, os.environ["MPLBACKEND"])
    sys.path.insert(0, job["home"])
    jail.limit(job["cpu_seconds"], job["memory_gb"], job["file_mb"])
    if not job["weak"]:
        jail.lock()
    guard = jail.Guard(Path(job["home"]), [Path(place) for place in job["hidden"]])
    send(channel, {"locked": "weak" if job["weak"] else jail.state()})
    while True:
        try:
            message = receive(channel, None)
        except Gone:
            return
        if message["do"] == "cell":
            send(channel, run_cell(shell, message["source"], message["seconds"]))
        elif message["do"] == "keep":
            with jail.unguarded(guard):
                channel = keep(channel)
        else:
            send(channel, in_fork(shell.user_ns, message, guard, channel))


def keep(channel: socket.socket) -> socket.socket:
    """Fork; the child stays as this process is now and answers on a channel that the grader gets. Returns one's own."""
    mine, theirs = socket.socketpair()
    if os.fork() == 0:
        channel.close()
        theirs.close()
        return mine
    socket.send_fds(channel, [b"k"], [theirs.fileno()])
    mine.close()
    theirs.close()
    return channel


def run_cell(shell: InteractiveShell, source: str, seconds: float) -> dict:
    """Run one cell; its outputs, and the name and text of its error or None."""
    rings, over, used = [], [], [time.process_time()]

    def stop(ring: int, _: object) -> None:
        before, used[0] = used[0], time.process_time()
        if ring == signal.SIGALRM and used[0] - before > IDLE * seconds:
            return  # the machine is busy, the cell does not sleep
        rings.append(1)
        if len(rings) > 5:
            os._exit(1)  # the cell goes on whatever is raised
        if not over:
            raise Overtime

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # processor time: a busy machine costs nobody points
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # for cells that sleep
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
        room = LARGEST // 2
        for rich in captured.outputs[:20]:
            kept = {kind: _text(value) for kind, value in rich.data.items() if kind in KEPT}
            room -= sum(map(len, kept.values()))
            if room > 0:
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
    with jail.unguarded(guard):
        child = os.fork()
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
    with jail.unguarded(guard):
        reply = _reply(mine, child, message["seconds"])
        os.kill(child, signal.SIGTERM if reply is None else signal.SIGKILL)
    if reply is None:
        reply = {"error": ["Overtime", ""] if _ended_by_limit(child) else ["Crash", "the process ended"]}
    else:
        os.waitpid(child, 0)
    mine.close()
    return reply


def _reply(channel: socket.socket, child: int, seconds: float) -> dict | None:
    """What a fork answers; None where it ended, takes too long, or sleeps."""
    used = 0.0
    for _ in range(WAIT):
        if select.select([channel], [], [], seconds)[0]:
            with suppress(Gone):
                return receive(channel, WAIT * seconds)
            return None
        before, used = used, _cpu_seconds(child)
        if used - before < IDLE * seconds:
            return None
    return None


def _cpu_seconds(process: int) -> float:
    """Processor time of a process; infinite where the system does not say (then only the long wait ends it)."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return math.inf


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
        result = pack(thing(*args, **keywords))
        changed = [json.dumps(pack(value)) for value in args] != [json.dumps(v) for v in message["args"]["tuple"]]
        return {"value": result, "changed": changed}
    except BaseException as error:
        return {"error": [type(error).__name__, " ".join(str(error).split())[:300]]}


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
