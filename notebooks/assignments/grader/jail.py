"""What a process that runs a student's code can't do: see other files, use the network, start programs, go on for ever.

Strong: bubblewrap (`bwrap`) starts the process in an empty root with Python, its packages and the sample data, all
read-only, and a folder of its own in memory; no capabilities, no other process in sight. A seccomp filter (libseccomp)
then takes away the calls with which it could change that. Weak, where these are missing: limits of the operating
system and Python's audit hook, which stops Python and not code in C. The hook is set in the jail, too: what it says is
easier to understand.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import matplotlib
from hrem_lib import data, errors

HERE = Path(__file__).resolve().parent
PYTHON = os.path.abspath(sys.executable)  # without "..", which may lead through a folder that the jail lacks
HOME = Path("/home/student")  # the only place with room to write, in memory
ROOM_MB = 256  # of HOME
CODE = Path("/grader")  # the worker's own files: they hold no test
WORKER = ("__init__", "worker", "codec", "jail")
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64")
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "fonts", "mime.types")
PROCESSES = 64
NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)  # CLONE_NEW...
FORBIDDEN = (  # system calls that change what a process sees, look into another one, or widen the kernel's surface
    *("mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount"),
    *("fspick", "pivot_root", "chroot", "unshare", "setns", "name_to_handle_at", "open_by_handle_at", "quotactl"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "pidfd_open"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter"),
    *("io_uring_register", "keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "init_module"),
    *("finit_module", "delete_module", "swapon", "swapoff", "reboot", "acct", "syslog", "sethostname", "setdomainname"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm", "personality", "vhangup"),
)


WEAK = (
    "WEAK GRADING: students' code is not locked in. Python's own calls are watched, code in C (ctypes) is not: "
    "it can read and change whatever you can, marks and other submissions included."
)


def probe(course: Path) -> str:
    """What is missing for a strong jail on this machine, in a sentence; "" if nothing is.

    A process is started in the jail and asked what it can do, so that a machine which forbids namespaces is found
    before anything is graded.

    Args:
        course: the folder that no student's process may see
    """
    if not sys.platform.startswith("linux"):
        return "this system is not Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (`apt install bubblewrap`, `dnf install bubblewrap`)"
    try:
        import pyseccomp  # noqa: F401
    except (ImportError, RuntimeError):  # RuntimeError: the package is there, the system's libseccomp is not
        return "libseccomp is not installed (`pip install -e '.[course]'`, `apt install libseccomp2`)"
    for place in places():
        if course.resolve().is_relative_to(place.resolve()):
            return f"the course's folder lies inside {place}, which students' code must see; move the course"
    with tempfile.TemporaryDirectory() as folder:
        code = "from grader import jail; jail.lock(); print(jail.state())"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        said, errors = start([PYTHON, "-c", code], Path(folder), **pipes).communicate(timeout=600)
    if said.strip() != "locked":
        last = (errors.strip() or said.strip() or "no answer").splitlines()[-1]
        return f"bubblewrap can't start a jail here ({last[:200]})"
    return ""


def state() -> str:
    """ "locked" in a process without capabilities, privileges to gain and a way out; else what is open."""
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    wanted = {"CapEff": 16 * "0", "CapBnd": 16 * "0", "NoNewPrivs": "1", "Seccomp": "2"}
    found = [f"{name} {status.get(name)}" for name, value in wanted.items() if status.get(name) != value]
    return ", ".join(found) or "locked"


def places() -> list[Path]:
    """Folders outside the system's that students' code needs: Python, its packages, the library, the sample data."""
    packages = [p for p in (*site.getsitepackages(), site.getusersitepackages(), *sys.path) if p.endswith("-packages")]
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *packages]
    found += [Path(errors.__file__).parent, data.sample_dir(), data.sample_run()]
    return list(dict.fromkeys(Path(os.path.abspath(place)) for place in found if Path(place).is_dir()))


def start(program: list[str], scratch: Path, keep: int | None = None, **options: Any) -> subprocess.Popen:
    """Start a program in a jail.

    Args:
        program: the command
        scratch: a folder for the filter's file
        keep: a file descriptor that the program gets
        options: for `subprocess.Popen`
    """
    with open(scratch / "filter", "w+b") as file:  # for all processes in the jail, its first one included
        _filter(programs=True).export_bpf(file)
        file.seek(0)
        descriptors = [file.fileno()] if keep is None else [file.fileno(), keep]
        words = [*_command(), "--seccomp", str(file.fileno()), "--", *program]
        return subprocess.Popen(words, pass_fds=descriptors, env=environment(HOME), start_new_session=True, **options)


def _command() -> list[str]:
    words = ["bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--hostname", "grading", "--cap-drop", "ALL"]
    words += ["--new-session", "--die-with-parent", "--as-pid-1", "--proc", "/proc", "--dev", "/dev"]
    for place in (Path("/usr"), *places()):
        words += ["--ro-bind", str(place), str(place)]
    for name in SYSTEM:
        place = Path("/", name)
        if place.is_symlink():
            words += ["--symlink", os.readlink(place), str(place)]
        elif place.is_dir():
            words += ["--ro-bind", str(place), str(place)]
    for name in ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]  # PyTorch asks for the caches
    for name in WORKER:
        words += ["--ro-bind", str(HERE / f"{name}.py"), str(CODE / "grader" / f"{name}.py")]
    size = ["--size", str(ROOM_MB * 2**20)] if _knows("--size") else []
    words += [*size, "--tmpfs", "/dev/shm", *size, "--tmpfs", str(HOME), "--symlink", str(HOME), "/tmp"]
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # making it anew takes long
        words += ["--ro-bind", str(fonts), str(HOME / ".matplotlib" / fonts.name)]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(HOME)]


def _knows(option: str) -> bool:
    done = subprocess.run(["bwrap", "--help"], capture_output=True, text=True)
    return option in done.stdout + done.stderr


def environment(home: Path) -> dict[str, str]:
    """Environment variables of a worker, nothing else of ours; in the jail its modules lie in /grader."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HREM_SAMPLE_RUN") if name in os.environ}
    ours = CODE if home == HOME else HERE.parent
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ours), str(Path(errors.__file__).parent.parent)]),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
        **dict.fromkeys(("HOME", "TMPDIR"), str(home)),
        **dict.fromkeys(("USER", "LOGNAME"), "student"),
        "MPLCONFIGDIR": str(HOME / ".matplotlib") if home == HOME else matplotlib.get_cachedir(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
    }


def limit(cpu_seconds: int, memory_gb: float, file_mb: int) -> None:
    """Limits of the operating system for this process and what it forks."""
    wanted = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: int(memory_gb * 2**30),
        resource.RLIMIT_FSIZE: file_mb * 2**20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    for name, value in wanted.items():
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):  # macOS has no limit on address space
            resource.setrlimit(name, (value, value))


def lock() -> None:
    """The last step in the jail, before any code of a student runs: few processes, no other programs."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))  # without effect where root grades
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/PID/mem of another process stays shut
    _filter(programs=False).load()


def _filter(programs: bool) -> Any:
    """The seccomp filter; `programs`: whether one may be started."""
    import pyseccomp as seccomp

    made, refused = seccomp.SyscallFilter(seccomp.ALLOW), seccomp.ERRNO(errno.EPERM)
    for name in FORBIDDEN if programs else (*FORBIDDEN, "execve", "execveat"):
        with suppress(OSError, ValueError):  # this processor's kernel has no such call
            made.add_rule(refused, name)
    for flag in NEW_NAMESPACES:
        made.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory, out of the filter's sight
    made.add_rule(refused, "socket", seccomp.Arg(0, seccomp.NE, 1))  # 1: AF_UNIX
    return made


WRITES = {"os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.mkdir", "os.chmod"}
REFUSED = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
    *("os.kill", "os.killpg", "signal.pthread_kill", "shutil.rmtree", "sys.addaudithook"),
}


class Guard:
    """The audit hook; `unguarded` lets the grader's own forks through.

    Args:
        folder: where files may be written
        hidden: folders in which no file may be opened
    """

    def __init__(self, folder: Path, hidden: list[Path]):
        self.folder, self.hidden, self.paused = str(folder), [str(place) for place in hidden], False
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple) -> None:
        """Called by Python for every event; raises to refuse."""
        if self.paused:
            return
        if event in REFUSED:
            raise PermissionError(f"{event} is not allowed while a submission is graded")
        if event == "open":
            path, mode, flags = args
            if isinstance(path, str | bytes):
                writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                    isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                )
                self._check(path, bool(writes))
        elif event == "os.listdir" and isinstance(args[0], str | bytes):
            self._check(args[0], False)
        elif event in WRITES:
            for path in args[:2]:
                if isinstance(path, str | bytes):
                    self._check(path, True)

    def _check(self, path: str | bytes, writes: bool) -> None:
        real = os.path.realpath(os.fsdecode(path))
        inside = real == self.folder or real.startswith(self.folder + os.sep)
        if any(real == place or real.startswith(place + os.sep) for place in self.hidden):
            raise PermissionError(f"{os.path.basename(real)} belongs to the grader")
        other = re.match(r"/proc/(\d+)", real)
        if other and int(other[1]) != os.getpid():
            raise PermissionError("other processes are not to be looked at")
        if writes and not inside and real != os.devnull:
            raise PermissionError(f"{os.path.basename(real)} lies outside the submission's folder")


@contextmanager
def unguarded(guard: Guard) -> Iterator[None]:
    """For the grader's own forks."""
    guard.paused = True
    try:
        yield
    finally:
        guard.paused = False
