"""Limits for a process that runs a student's code: no network, nothing written outside its folder, time and memory.

Two layers. Linux namespaces, where the machine allows them: no network device, the whole file system read-only but for
the submission's folder, the course folder empty, no other process in sight. And in any case Python's audit hook, which
refuses sockets, other processes, and files of the course; it can't be taken out again, but code in C (ctypes) passes.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

CLONE_FS, CLONE_IPC, CLONE_USER, CLONE_PID, CLONE_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = 442, -100, 0x8000, 1


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


def isolate(folder: Path, hidden: list[Path]) -> bool:
    """Put this process into namespaces of its own; its next fork is the first process in sight of its own forks.

    Args:
        folder: the only place that stays writable
        hidden: folders that become empty
    Returns:
        False where the machine does not allow it (then only the audit hook guards)
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_USER | CLONE_FS | CLONE_NET | CLONE_IPC | CLONE_PID) != 0:
        return False
    with suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
    try:
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False

    def mount(source: str | None, target: Path | str, kind: str | None, flags: int) -> bool:
        texts = [text if text is None else str(text).encode() for text in (source, target, kind)]
        return libc.mount(*texts, ctypes.c_ulong(flags), None) == 0

    done = mount(None, "/", None, MS_REC | MS_PRIVATE)
    for place in (*hidden, Path("/proc")):  # /proc shows the grader's process and its memory
        done &= not place.is_dir() or mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV)
    done &= mount(str(folder), folder, None, MS_BIND)
    for place, clear, put in ((Path("/"), 0, ATTR_RDONLY), (folder, ATTR_RDONLY, 0)):
        attributes = (ctypes.c_uint64 * 4)(put, clear, 0, 0)
        flags = AT_RECURSIVE if put else 0
        path = str(place).encode()
        done &= libc.syscall(MOUNT_SETATTR, AT_FDCWD, path, flags, ctypes.byref(attributes), 32) == 0
    os.chdir(folder)  # the folder as it is mounted now
    return done


WRITES = {"os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.mkdir", "os.chmod"}
REFUSED = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
    *("os.kill", "os.killpg", "signal.pthread_kill", "shutil.rmtree", "sys.addaudithook"),
}


class Guard:
    """The audit hook; `paused` lets the grader's own fork through.

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
