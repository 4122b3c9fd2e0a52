"""The grader's side of a student's process: start it, run cells, call functions, survive whatever it does."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hrem_lib.errors import UserError
from hrem_lib.exercises import Wrong

from grader import intake, jail
from grader.codec import Gone, pack, readable, receive, receive_channel, send, unpack

PIECE = 8 * 2**20  # bytes of a file in one message
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
    """Starts the processes that run students' code, one a submission; use as a context.

    One is always made ahead, since loading the libraries takes seconds.

    Args:
        course: folder that students' code must not see
        weak: without the jail
    Raises:
        UserError: this machine can't lock students' code in, and `weak` does not allow that.
    """

    def __init__(self, course: Path, weak: bool = False):
        self.course, self.weak, self.waiting = course.resolve(), weak, None

    def __enter__(self) -> Workers:
        if not self.weak and (missing := jail.probe(self.course)):
            raise UserError(
                f"grading: {missing}, so students' code can't be locked in; "
                'wanted that, or jail = "weak" in course.toml (its README says what is lost then)'
            )
        self.scratch = Path(tempfile.mkdtemp(prefix="hrem-grading-")).resolve()
        self.waiting = self._begin()
        return self

    def _begin(self) -> Worker:
        home = Path(tempfile.mkdtemp(dir=self.scratch)) if self.weak else jail.HOME
        mine, theirs = socket.socketpair()
        program = [jail.PYTHON, "-m", "grader.worker", str(theirs.fileno())]
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        if self.weak:
            options |= {"env": jail.environment(home), "pass_fds": [theirs.fileno()], "start_new_session": True}
            process = subprocess.Popen(program, cwd=home, **options)
        else:
            process = jail.start(program, self.scratch, theirs.fileno(), **options)
        theirs.close()
        return Worker(process, mine, home)

    def take(self) -> Worker:
        """A process that has loaded the libraries; the next one is begun."""
        taken, self.waiting = self.waiting, None
        receive(taken.channel, START)
        self.waiting = self._begin()
        return taken

    def __exit__(self, *_: object) -> None:
        if self.waiting is not None:
            self.waiting.end()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Worker(NamedTuple):
    """A process for one submission.

    Args:
        process: bubblewrap's (all processes in its jail end with it), in weak grading the leader of a process group
        channel: where it is asked
        home: its folder, as it sees it
    """

    process: subprocess.Popen
    channel: socket.socket
    home: Path

    def end(self) -> None:
        """End it and all that it started."""
        self.channel.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Session:
    """One submission. Cells that kill or hang the process are left out when it is started again.

    A test is asked twice: its visible parts where it stands among the cells, its hidden ones after the last cell, of
    the process as it was at the test (`keep`). So nothing that a student's process prints can hold a hidden number.

    Args:
        workers: see `Workers`
        files: the submission's folder; the process gets a copy, without the notebook
        limits: table `[limits]` of course.toml
    """

    def __init__(self, workers: Workers, files: Path, limits: dict):
        self.workers, self.limits = workers, limits
        paths = [path for path in sorted(files.rglob("*")) if path.is_file() and path.suffix != ".ipynb"]
        self.files = {str(path.relative_to(files)): path for path in paths if not path.is_symlink()}
        self.done: list[tuple[str, str]] = []  # ("cell", source) that ran to its end, ("keep", test): for a new start
        self.failures: dict[str, int] = {}  # by function
        self.starts, self.worker, self.end_at = 0, None, None
        self.room = 20 * 2**20  # characters of output that a page can still be opened with
        self.kept: dict[str, socket.socket] = {}

    def __enter__(self) -> Session:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self) -> None:
        self.starts += 1
        self.worker = self.workers.take()
        if self.end_at is None:
            self.end_at = time.monotonic() + self.limits["wall_seconds"]
        for name, path in self.files.items():
            with open(path, "rb") as file:
                for piece in (b"", *iter(lambda: file.read(PIECE), b"")):
                    send(self.worker.channel, {"do": "file", "name": name, "data": base64.b64encode(piece).decode()})
        hidden = [str(self.workers.course)] if self.workers.weak else []
        names = ("cpu_seconds", "memory_gb", "file_mb")
        job = {"do": "start", "home": str(self.worker.home), "weak": self.workers.weak, "hidden": hidden}
        send(self.worker.channel, {**job, **{name: self.limits[name] for name in names}})
        locked = receive(self.worker.channel, START)["locked"]
        if locked != ("weak" if self.workers.weak else "locked"):
            raise RuntimeError(f"the jail is open: {locked}")

    def _end(self) -> None:
        for channel in self.kept.values():
            channel.close()
        self.kept = {}
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    def _again(self) -> None:
        """A new process with the cells that went well; what it prints was seen before."""
        self._end()
        if self.starts > RESTARTS:
            return
        try:
            self._start()
            for do, what in self.done:
                if do == "keep":
                    self._keep(what)
                else:
                    seconds = self.limits["cell_seconds"]
                    send(self.worker.channel, {"do": "cell", "source": what, "seconds": seconds})
                    receive(self.worker.channel, self._left(WAIT * seconds))
        except Gone:
            self._end()

    def _left(self, seconds: float) -> float:
        return max(0.01, min(seconds, self.end_at - time.monotonic()))

    def _ask(self, message: dict, at: str | None = None) -> dict:
        """Send a message; a process that ended or hangs is replaced by one with the cells that went well.

        Args:
            message: what to do
            at: the test at which the process was kept; None for the process that runs the cells
        """
        if time.monotonic() >= self.end_at:
            self._end()
            return {"error": ["Late", f"the submission used up its {self.limits['wall_seconds']:g} seconds"]}
        channel = self.worker and (self.kept.get(at) if at else self.worker.channel)
        if channel is None:
            return {"error": ["Crash", "the submission ended its process too often"]}
        try:
            send(channel, message)
            reply = receive(channel, self._left(WAIT * message["seconds"]))
            error = reply.get("error") if isinstance(reply, dict) else 0
            if error is None or (isinstance(error, list) and [type(part) for part in error] == [str, str]):
                return reply
            slow = False
        except Gone as gone:
            slow = "slow" in str(gone)
        self._again()
        return {"error": ["Overtime", ""] if slow else ["Crash", "the process ended"]}

    def run(self, source: str) -> dict:
        """Run a cell: {"outputs": [...], "error": None or [name, text]}."""
        reply = self._ask({"do": "cell", "source": source, "seconds": self.limits["cell_seconds"]})
        error = reply.get("error")
        if error is None or error[0] not in ("Overtime", "Crash", "Late"):
            self.done.append(("cell", source))
        try:
            outputs = intake.plain(reply.get("outputs", []))
            self.room -= sum(len(str(output)) for output in outputs)
        except Exception:  # a process that a student controls may send anything
            outputs = []
        if self.room < 0:
            text = "(More than 20 MB of output; the rest is left out.)"
            outputs = intake.plain([{"output_type": "stream", "text": text}])
        return {"outputs": outputs, "error": error and [readable(part) for part in error]}

    def keep(self, test: str) -> None:
        """Keep the process as it is now, to be asked later under the test's name."""
        try:
            self._keep(test)
        except Gone:
            self._again()
        self.done.append(("keep", test))

    def _keep(self, test: str) -> None:
        if self.worker is None:
            return
        send(self.worker.channel, {"do": "keep", "seconds": self.limits["call_seconds"]})
        self.kept[test] = receive_channel(self.worker.channel, self._left(WAIT * self.limits["call_seconds"]))

    def get(self, name: str) -> Any:
        """What a name of the notebook stands for: a value, or an `Answer` where it is a function."""
        reply = self._ask({"do": "look", "name": name, "seconds": self.limits["call_seconds"]})
        if reply.get("callable"):
            return Answer(self, name)
        if "error" in reply:
            return Missing(reply["error"])
        try:
            return _unpacked(reply)
        except StudentError as error:
            return Missing([error.kind, str(error)])

    def call(self, do: str, name: str, args: tuple, keywords: dict, at: str | None, **more: Any) -> Any:
        """Call a student's function.

        Raises:
            NotImplementedError: it is still the stub; StudentError: it stopped, crashed or was too slow.
        """
        seconds = self.limits["call_seconds"]
        if self.failures.get(name, 0) >= FAILURES:
            raise StudentError("Crash", f"{FAILURES} calls crashed or were too slow, so no more were tried")
        message = {"do": do, "name": name, "args": pack(args), "keywords": pack(keywords), "seed": 0, **more}
        reply = self._ask({**message, "seconds": seconds}, at)
        if "error" in reply:
            if reply["error"][0] in ("Overtime", "Crash"):
                self.failures[name] = self.failures.get(name, 0) + 1
            _raise(reply["error"], seconds)
        if reply.get("changed"):  # said here, never done to the caller's own: what is wanted may be computed from it
            raise Wrong("Your function changes an argument; its caller needs it: work on a copy.")
        return _unpacked(reply)


def _unpacked(reply: dict) -> Any:
    try:
        return unpack(reply["value"])
    except Exception:  # a process that a student controls may send anything
        raise StudentError("Crash", "the answer could not be read") from None


def _raise(error: list, seconds: float = 0) -> None:
    kind, text = (readable(str(part)[:300]) for part in error)
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
        self._session, self.__name__, self.at = session, name, None  # at: see `Session._ask`

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._session.call("call", self.__name__, args, keywords, self.at)

    def gradient(self, args: tuple, by: int) -> Any:
        """See `hrem_lib.exercises.grading.gradient`."""
        return self._session.call("gradient", self.__name__, tuple(args), {}, self.at, by=by)


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
