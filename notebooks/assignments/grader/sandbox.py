"""The grader's side of a student's process: start it, run cells, call functions, survive whatever it does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib
from hrem_lib.exercises import Wrong

from grader import intake
from grader.codec import Gone, pack, receive, send, unpack

HERE = Path(__file__).resolve().parent
WAIT = 12  # seconds that the grader waits for a second of processor time; the process itself stops a little earlier
START = 600  # seconds for a process to start, on the busiest machine
RESTARTS = 4
FAILURES = 3  # calls of one function that crash or are too slow; more are not tried


class StudentError(Exception):
    """The student's code stopped; `kind` is the name of its error."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class Workers:
    """The process that has the libraries loaded and forks a session for each submission; use as a context."""

    def __enter__(self) -> Workers:
        self.control, theirs = socket.socketpair()
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "HREM_SAMPLE_RUN", "LD_LIBRARY_PATH")},
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.scratch = Path(tempfile.mkdtemp(prefix="hrem-grading-")).resolve()
        environment["HOME"] = str(self.scratch)
        environment["MPLCONFIGDIR"] = matplotlib.get_cachedir()  # the font list is there; making it anew takes long
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=self.scratch,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        receive(self.control, START)
        return self

    def fork(self, job: dict) -> tuple[socket.socket, int]:
        """A new session: its channel and process id."""
        mine, theirs = socket.socketpair()
        socket.send_fds(self.control, [b"x"], [theirs.fileno()])
        send(self.control, job)
        theirs.close()
        return mine, receive(self.control, START)["pid"]

    def __exit__(self, *_: object) -> None:
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Session:
    """One submission. Cells that kill or hang the process are left out when it is started again.

    Args:
        workers: see `Workers`
        files: the submission's folder; a copy of it is the process's folder
        hidden: folders that the process must not see
        limits: table `[limits]` of course.toml
    """

    def __init__(self, workers: Workers, files: Path, hidden: list[Path], limits: dict):
        self.workers, self.limits, self.hidden = workers, limits, [str(Path(h).resolve()) for h in hidden]
        self.folder = Path(tempfile.mkdtemp(dir=workers.scratch))
        shutil.copytree(files, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.ipynb"))
        for path in self.folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.done: list[str] = []  # cells that ran to their end, for a new start
        self.failures: dict[str, int] = {}  # by function
        self.starts, self.apart, self.channel = 0, False, None

    def __enter__(self) -> Session:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self.starts += 1
        names = ("cpu_seconds", "memory_gb", "file_mb")
        job = {"folder": str(self.folder), "hidden": self.hidden, **{name: self.limits[name] for name in names}}
        self.channel, self.pid = self.workers.fork(job)
        self.apart = receive(self.channel, START)["apart"]

    def _end(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _ask(self, message: dict) -> dict:
        """Send a message; a process that ended or hangs is replaced by one with the cells that went well."""
        if self.channel is None:
            return {"error": ["Crash", "the submission ended its process too often"]}
        try:
            send(self.channel, message)
            reply = receive(self.channel, WAIT * message["seconds"])
            error = reply.get("error") if isinstance(reply, dict) else 0
            if error is None or (isinstance(error, list) and [type(part) for part in error] == [str, str]):
                return reply
        except Gone as gone:
            slow = "slow" in str(gone)
        else:
            slow = False
        self._end()
        if self.starts <= RESTARTS:
            try:
                self._start()
                for source in self.done:
                    seconds = self.limits["cell_seconds"]
                    send(self.channel, {"do": "cell", "source": source, "seconds": seconds})
                    receive(self.channel, WAIT * seconds)
            except Gone:
                self._end()
        return {"error": ["Overtime", ""] if slow else ["Crash", "the process ended"]}

    def run(self, source: str) -> dict:
        """Run a cell: {"outputs": [...], "error": None or [name, text]}."""
        reply = self._ask({"do": "cell", "source": source, "seconds": self.limits["cell_seconds"]})
        error = reply.get("error")
        if error is None or error[0] not in ("Overtime", "Crash"):
            self.done.append(source)
        try:
            outputs = intake.plain(reply.get("outputs", []))
        except Exception:  # a process that a student controls may send anything
            outputs = []
        return {"outputs": outputs, "error": error}

    def get(self, name: str) -> Any:
        """What a name of the notebook stands for: a value, or an `Answer` where it is a function."""
        reply = self._ask({"do": "look", "name": name, "seconds": self.limits["call_seconds"]})
        if reply.get("callable"):
            return Answer(self, name)
        if "error" in reply:
            return Missing(reply["error"])
        return _unpacked(reply)

    def call(self, do: str, name: str, args: tuple, keywords: dict, **more: Any) -> Any:
        """Call a student's function.

        Raises:
            NotImplementedError: it is still the stub; StudentError: it stopped, crashed or was too slow.
        """
        seconds = self.limits["call_seconds"]
        if self.failures.get(name, 0) >= FAILURES:
            raise StudentError("Crash", f"{FAILURES} calls crashed or were too slow, so no more were tried")
        message = {"do": do, "name": name, "args": pack(args), "keywords": pack(keywords), "seed": 0, **more}
        reply = self._ask({**message, "seconds": seconds})
        if "error" in reply:
            if reply["error"][0] in ("Overtime", "Crash"):
                self.failures[name] = self.failures.get(name, 0) + 1
            _raise(reply["error"], seconds)
        return _unpacked(reply)


def _unpacked(reply: dict) -> Any:
    try:
        return unpack(reply["value"])
    except Exception:  # a process that a student controls may send anything
        raise StudentError("Crash", "the answer could not be read") from None


def _raise(error: list, seconds: float = 0) -> None:
    kind, text = (str(part)[:300] for part in error)
    if kind == "NotImplementedError":
        raise NotImplementedError
    if kind == "Wrong":
        raise Wrong(text)
    if kind == "Overtime":
        text = f"more than {seconds:g} seconds of processor time for one call"
    raise StudentError(kind, text)


class Answer:
    """A student's function; calling it runs it in the student's process.

    Args:
        session: where it lives
        name: its name
    """

    def __init__(self, session: Session, name: str):
        self._session, self.__name__ = session, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._session.call("call", self.__name__, args, keywords)

    def gradient(self, args: tuple, by: int) -> Any:
        """See `hrem_lib.exercises.grading.gradient`."""
        return self._session.call("gradient", self.__name__, tuple(args), {}, by=by)


class Missing:
    """A name that the submission does not have, or a value that can't be read; any use says so."""

    def __init__(self, error: list):
        self._error = error

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        _raise(self._error)

    def gradient(self, args: tuple, by: int) -> Any:
        """As a call."""
        _raise(self._error)

    def __getattr__(self, name: str) -> Any:
        _raise(self._error)

    def __getitem__(self, key: Any) -> Any:
        _raise(self._error)

    def __iter__(self) -> Any:
        _raise(self._error)

    def __len__(self) -> int:
        _raise(self._error)
        return 0
