"""Attacks on the grader with the real system calls: each must fail, and the class goes on.

Where this machine has no jail (bubblewrap, libseccomp, user namespaces) these are skipped; the weak form is tested by
test_cycle.py.
"""

import os
import re
import shutil
import sqlite3
import sys
import time

import nbformat
import numpy as np
import pytest
import torch
from assignments.classroom import (
    FOLDER,
    LIMITS,
    OPEN,
    ROOT,
    SOURCES,
    extra,
    make_course,
    points_of,
    run,
    solutions,
    source,
)
from grader import build, jail, sandbox, steps

from hrem_lib.errors import UserError
from hrem_lib.exercises import Wrong

locked = pytest.mark.skipif(bool(OPEN), reason=f"no jail: {OPEN}")
SECRET = "the course's secret"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """What an instructor has on the machine: a course with a gradebook, an inbox, a home."""
    desk = tmp_path_factory.mktemp("desk")
    for name in ("course/source", "inbox", "home"):
        (desk / name).mkdir(parents=True)
        (desk / name / "secret.txt").write_text(SECRET)
    with sqlite3.connect(desk / "course" / "gradebook.db") as book:
        book.execute("create table marks (points)")
        book.execute("insert into marks values (1)")
    return desk


ATTACK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
desk, SECRET = {desk!r}, "the course's " + "secret"
def read(path):
    found = libc.open(str(path).encode(), 0)
    text = ctypes.create_string_buffer(2000)
    return libc.read(found, text, 2000) > 0 and SECRET.encode() in text.raw if found >= 0 else False
def writes(path):
    found = libc.open(str(path).encode(), os.O_WRONLY | os.O_CREAT, 0o600)
    return found >= 0 and libc.write(found, b"x", 1) == 1
def call(number, *args):
    return libc.syscall(number, *args) >= 0
def forked(action):
    ours, theirs = os.pipe()
    if libc.fork() == 0:
        os.write(theirs, b"1" if action() else b"0")
        libc._exit(0)
    return os.read(ours, 1) == b"1"
places = [desk + "/" + name for name in ("course/source/secret.txt", "inbox/secret.txt", "home/secret.txt")]
try:
    won = ATTACK()
except BaseException as error:
    print("refused", type(error).__name__)
else:
    print("WON" if won else "refused", won)
"""
ATTACKS = {
    "plain open of course, inbox and home": "any([read(p) for p in places])",
    "an attack that works where it may": "not writes(os.environ['HOME'] + '/mine')",
    "umount2 of the course": "libc.umount2((desk + '/course').encode(), 2) == 0 or libc.umount2(desk.encode(), 2) == 0",
    "umount2 of the root": "libc.umount2(b'/', 2) == 0",
    "mount: the root made writable": "libc.mount(None, b'/', None, 32 | 4096, None) == 0 or writes('/x')",
    "mount: the library made writable": "libc.mount(None, {library!r}.encode(), None, 32 | 4096, None) == 0",
    "mount of a new file system": "libc.mount(b'proc', b'/proc', b'proc', 0, None) == 0",
    "mount_setattr": "call(442, -100, b'/', 0x8000, (ctypes.c_uint64 * 4)(0, 1, 0, 0), 32)",
    "open_tree, fsopen, fsmount": "call(428, -100, b'/', 1) or call(430, b'tmpfs', 0) or call(432, 3, 0, 0)",
    "pivot_root and chroot": "call(155, b'/', b'/') or libc.chroot(b'/') == 0",
    "setns": "any([libc.setns(libc.open(f'/proc/1/ns/{{n}}'.encode(), 0), 0) == 0 for n in ('user', 'mnt', 'pid')])",
    "unshare": "libc.unshare(0x10000000) == 0 or libc.unshare(0x20000) == 0",
    "clone with a namespace": "call(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "call(435, (ctypes.c_uint64 * 11)(0x10000000), 88)",
    "ptrace": "forked(lambda: libc.ptrace(16, 1, 0, 0) == 0 or libc.ptrace(0x4206, 1, 0, 0) == 0)",
    "process_vm_readv": "forked(lambda: call(310, 1, (ctypes.c_uint64 * 2)(), 1, (ctypes.c_uint64 * 2)(), 1, 0))",
    "pidfd_getfd": "call(438, libc.syscall(434, os.getpid(), 0), 0, 0)",
    "memory through /proc": "forked(lambda: libc.open(b'/proc/1/mem', 2) >= 0)",
    "/proc/*/root": "any([read(f'/proc/{{p}}/root{{s}}') for p in range(1, 5000) for s in places])",
    "/proc/*/cwd": "any([read(f'/proc/{{p}}/cwd/{{up}}{{s}}') for p in range(1, 99) for up in ('', '../' * 9) "
    "for s in places])",
    "processes of the grader": "os.getppid() != 0 or os.getpid() != 1",
    "sqlite3: the gradebook": "__import__('sqlite3').connect(f'file:{{desk}}/course/gradebook.db?mode=rw', uri=True)"
    ".execute('update marks set points = 100')",
    "sqlite3 from C": "__import__('sqlite3').connect('x').execute(f\"attach '{{desk}}/course/gradebook.db' as g\")"
    ".execute('select * from g.marks').fetchall()",
    "torch reads a file": "__import__('torch').UntypedStorage.from_file(places[1], False, 8)",
    "torch changes a file": "__import__('torch').UntypedStorage.from_file(places[1], True, 8).fill_(0)",
    "numpy maps a file": "__import__('numpy').memmap(places[0], mode='r')",
    "a symbolic link": "libc.symlink(places[1].encode(), b'link') == 0 and read('link')",
    "a hard link": "libc.link(places[1].encode(), b'hard') == 0",
    "open_by_handle_at": "call(304, 3, (ctypes.c_uint64 * 4)(), 0)",
    "what lies in the root": "set(os.listdir('/')) - {{'bin', 'dev', 'etc', 'grader', 'home', 'lib', 'lib32', 'lib64', "
    "'proc', 'sbin', 'sys', 'tmp', 'usr', *(p.split('/')[1] for p in {places!r})}}",
    "what lies beside the library": "set(os.listdir({root!r})) - {{'hrem_lib', 'data_samples', '.venv'}}",
    "writing outside": "[p for p in ('/x', '/usr/x', '/etc/x', '/dev/x', '/home/x', *(q + '/x' for q in {places!r})) "
    "if writes(p)]",
    "a socket to the world": "libc.socket(2, 1, 0) >= 0 or libc.socket(10, 1, 0) >= 0 or libc.socket(16, 3, 0) >= 0",
    "another program": "libc.system(b'true') == 0 or __import__('subprocess').run(['true'])",
    "execve": "libc.execv(b'/usr/bin/true', (ctypes.c_char_p * 2)(b'true')) == 0",
    "io_uring, bpf, userfaultfd": "any([call(n, 1, (ctypes.c_uint64 * 16)(), 0) for n in (425, 321, 323)])",
    "keys of the kernel": "call(250, 0, -3, 1)",
    "capabilities": "[line for line in open('/proc/self/status') if line.startswith('Cap') and int(line[8:], 16)]",
    "privileges to gain": "'NoNewPrivs:\\t1' not in open('/proc/self/status').read()",
    "a larger limit": "__import__('resource').setrlimit(0, (-1, -1)) is None",
    "the filter taken away": "libc.prctl(22, 0, None) == 0",
    "the grader's own code": "writes('/grader/grader/worker.py') or os.path.exists('/grader/grader/steps.py')",
    "room without end": "sum(libc.write(libc.open(f'big{{n}}'.encode(), 65, 384), bytes(2**20), 2**20) > 0 "
    "for n in range(400)) > 300",
}


@pytest.fixture(scope="module")
def prisoner(desk, tmp_path_factory):
    """A session whose limits allow all attacks."""
    limits = {**LIMITS, "cell_seconds": 20, "file_mb": 10}
    with sandbox.Workers(desk / "course") as workers:
        files = tmp_path_factory.mktemp("files")
        with sandbox.Session(workers, files, limits) as session:
            yield session


@locked
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused(attack, prisoner, desk):
    places = [str(place) for place in jail.places()]
    words = {"desk": str(desk), "library": str(ROOT / "hrem_lib"), "root": str(ROOT), "places": places}
    code = ATTACK.replace("ATTACK()", ATTACKS[attack]).format(**words)
    reply = prisoner.run(code)
    said = "".join(output.get("text", "") for output in reply["outputs"])
    assert said.startswith("refused"), (said, reply["error"])
    with sqlite3.connect(desk / "course" / "gradebook.db") as book:
        assert book.execute("select points from marks").fetchall() == [(1,)]
    assert prisoner.starts == 1 and all(path.read_text() == SECRET for path in desk.rglob("secret.txt"))


KILL = """
import ctypes
libc = ctypes.CDLL(None)
libc.kill(-1, 9)
libc._exit(3)
"""


@locked
def test_killing_everybody_kills_the_submission_only(workers, tmp_path):
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        assert session.run("x = 2\ndef f(y):\n    return x * y")["error"] is None
        killed = session.run(KILL)
        assert killed["error"] == ["Crash", "the process ended"]
        assert session.get("f")(3) == 6 and session.starts == 2
        session.keep("T1")
        session.run("def f(y):\n" + "\n".join(f"    {line}" for line in KILL.splitlines()))
        with pytest.raises(sandbox.StudentError, match="the process ended"):
            session.get("f")(3)
        f = session.get("f")
        f.at = "T1"
        with pytest.raises(sandbox.StudentError, match="the process ended"):
            f(3)
        assert f(3) == 6  # the kept process was made again


@locked
def test_nothing_is_left_for_the_next_submission(workers, tmp_path):
    write = "for place in ('/tmp', '/dev/shm', '.'):\n    libc.creat((place + '/left').encode(), 384)"
    look = "import os\nprint([p for p in ('/tmp/left', '/dev/shm/left', 'left') if os.path.exists(p)])"
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        assert session.run("import os, ctypes\nlibc = ctypes.CDLL(None)")["error"] is None
        session.run(
            write.replace("open(place + '/left', 'w').write('x')", "libc.creat((place + '/left').encode(), 384)")
        )
        assert session.run(look)["outputs"][0].text.count("left") == 3
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        assert session.run(look)["outputs"][0].text == "[]\n"
    assert list(tmp_path.iterdir()) == []


@locked
@pytest.mark.skipif(os.geteuid() == 0, reason="root may start any number of processes")
def test_a_fork_bomb_stops_at_the_limit(workers, tmp_path):
    bomb = """
import ctypes, os, time
libc, made = ctypes.CDLL(None), 0
for _ in range(300):
    child = libc.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    made += child > 0
print(made)
"""
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        assert int(session.run(bomb)["outputs"][0].text) < jail.PROCESSES


# ---- what a function writes down, what it changes, how long it sleeps


def graded(answers, workers, tmp_path, last=None, hidden=True, limits=LIMITS):
    """A submission of A with a last cell of its own, graded in this process: its notebook and the points."""
    made, book, right = source("A"), source("A"), solutions("A")
    for cell in book.cells:
        if cell.metadata.nbgrader.solution:
            question = cell.metadata.nbgrader.grade_id.removesuffix("-answer")
            cell.source = {**right, **answers}[question]
    if not hidden:
        for cell in made.cells:
            cell.source = build.without_hidden(cell.source)
    if last:
        extra(book, book.cells[-1].metadata.nbgrader.grade_id, last)
    steps.run(book, made, workers, tmp_path, limits)
    return book, points_of(book)


NOTES = """
def ranks_t2i(similarity, image_of_caption):
    with open("notes.txt", "a") as file:
        file.write(f"called with {similarity.tolist()}\\n")
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return (similarity > own).sum(0) + ((similarity == own).sum(0) - 1) / 2
"""
TELL = "import os\ntold = open('notes.txt').read() if os.path.exists('notes.txt') else ''\nprint(told)"
LATER = """
def summary(ranks):
    import os
    raise ValueError(open("notes.txt").read()[-150:] if os.path.exists("notes.txt") else "none")
"""


def test_hidden_numbers_never_reach_the_feedback(workers, tmp_path):
    """A function writes down what it is called with; a later cell and a later function tell it."""
    told = []
    for hidden in (True, False):
        book, found = graded({"A1": NOTES, "A2": LATER}, workers, tmp_path, TELL, hidden)
        assert found["A1"] == (6 if hidden else 2) and found["A2"] == 0
        said = str([cell.get("outputs") for cell in book.cells if "nbgrader" not in cell.metadata])
        told.append(sorted(re.findall(r"called with \[\[([-\d., ]+)\]", said)))
    assert told[0] and told[0] == told[1]  # the same with and without hidden tests


CHANGES = """
import numpy as np, torch
def tensor(x, a, names, table):
    x.mul_(0)
    return 0
def array(x, a, names, table):
    a[:] = 0
    return 0
def items(x, a, names, table):
    names.append("new")
    return 0
def keys(x, a, names, table):
    table["k"] = 1
    return 0
def shape(x, a, names, table):
    x.set_(torch.zeros(7))
    return 0
def none(x, a, names, table):
    x, a = x * 2, a + 1
    return x.sum()
"""


def test_changes_of_an_argument_are_refused_and_never_reach_the_grader(workers, tmp_path):
    """What is wanted may be computed from the argument after the call: a function that empties it would be right."""
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        session.run(CHANGES)
        given = torch.tensor([1.0, torch.nan]), np.array([1, 2]), ["old"], {3: "c"}
        for name in ("tensor", "array", "items", "keys", "shape"):
            with pytest.raises(Wrong, match="changes an argument"):
                session.get(name)(*given)
        assert session.get("none")(torch.ones(2), *given[1:]) == 4
        assert given[0][0] == 1 and given[1].tolist() == [1, 2] and given[2:] == (["old"], {3: "c"})


CHEAT = """
def ranks_t2i(similarity, image_of_caption):
    similarity *= 0  # all equal: every rank is easy to know
    return np.full(len(image_of_caption), (len(similarity) - 1) / 2)
"""


def test_an_emptied_argument_earns_nothing(workers, tmp_path):
    assert graded({"A1": CHEAT}, workers, tmp_path)[1]["A1"] == 0


SHOW = "from IPython.display import display\ndisplay({'image/png': chr(34) + ' onload=' + 'x'}, raw=True)"
ODD = {
    "half a surrogate pair": ("print('\\ud800')", "\ufffd"),
    "the same in an error": ("raise ValueError('\\udfff')", "ValueError"),
    "forty megabytes": ("for _ in range(40):\n    print('x' * 10**6)", "xxx"),
    "a quote in a picture": (SHOW, "display_data"),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_outputs_are_kept_out_and_grading_goes_on(odd, workers, tmp_path):
    book, found = graded({}, workers, tmp_path, last=ODD[odd][0])
    assert sum(found.values()) == 32
    nbformat.writes(book).encode("utf-8")
    (cell,) = [cell for cell in book.cells if "nbgrader" not in cell.metadata]
    said = str(cell.outputs)
    assert ODD[odd][1] in said and "onload" not in said and len(said) < 100_000


HARM = """
class Slow(dict):
    def items(self):
        return [(n * (2**61 - 1), 0) for n in range(60_000)]  # keys with one hash
class Odd(dict):
    def items(self):
        return [([1], 2)]  # a key that is a list
def f():
    return Slow(a=1)
value = Odd(a=1)
"""


def test_values_that_are_made_to_harm(workers, tmp_path):
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        session.run(HARM)
        begun = time.monotonic()
        with pytest.raises(sandbox.StudentError, match="could not be read"):
            session.get("f")()
        assert time.monotonic() - begun < 20
        with pytest.raises(sandbox.StudentError, match="could not be read"):
            session.get("value")["a"]


LOUD = """
import base64
from IPython.display import display
picture = base64.b64encode(b"\\x89PNG\\r\\n" + bytes(1_400_000)).decode()
for _ in range(20):
    display({"image/png": picture}, raw=True)
"""


def test_output_of_a_submission_has_an_end(workers, tmp_path):
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        sizes = [len(str(session.run(LOUD)["outputs"])) for _ in range(4)]
    assert sizes[0] > 10**6 and sizes[-1] < 1000 and "More than 20 MB" in str(session.run("1")["outputs"])


def test_sleep_holds_nobody_up(workers, tmp_path):
    limits = {**LIMITS, "cell_seconds": 2, "call_seconds": 1}
    with sandbox.Session(workers, tmp_path, limits) as session:
        begun = time.monotonic()
        assert session.run("import time\ntime.sleep(1000)")["error"][0] == "Overtime"
        session.run("def f():\n    time.sleep(1000)")
        with pytest.raises(sandbox.StudentError):
            session.get("f")()
        assert time.monotonic() - begun < 30  # 24 and 12 seconds for a cell and a call that compute


def test_the_whole_submission_has_a_limit_by_the_clock(workers, tmp_path):
    slow = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end:\n    pass"
    book, found = graded({"A1": slow}, workers, tmp_path, limits={**LIMITS, "cell_seconds": 6, "wall_seconds": 2})
    said = str([cell.get("outputs") for cell in book.cells])
    assert "The whole submission may take 2 seconds" in said and sum(found.values()) == 0


# ---- where there is no jail


@pytest.mark.parametrize("missing", ["bwrap", "start", "libseccomp"])
def test_a_machine_without_a_jail_is_found_before_anything_is_graded(missing, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    if missing == "start":
        (tools / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        (tools / "bwrap").chmod(0o755)
    elif missing == "libseccomp":
        if shutil.which("bwrap") is None:
            pytest.skip("bubblewrap is not installed")
        monkeypatch.setitem(sys.modules, "pyseccomp", None)
    if missing != "libseccomp":
        monkeypatch.setenv("PATH", str(tools))
    words = {"bwrap": "bubblewrap is not installed", "start": "No permissions", "libseccomp": "libseccomp is not"}
    if not sys.platform.startswith("linux"):
        words = dict.fromkeys(words, "not Linux")
    assert words[missing] in jail.probe(tmp_path)
    with pytest.raises(UserError, match="can't be locked in; wanted that, or jail"), sandbox.Workers(tmp_path):
        pass


def test_weak_grading_is_refused_or_said_loudly(tmp_path, monkeypatch):
    course = make_course(tmp_path / "course")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    released = course / "release" / "A" / f"{SOURCES['A'].stem}.ipynb"
    shutil.copy(released, inbox / "anna.ipynb")
    path = course / "course.toml"
    monkeypatch.setenv("PATH", str(tmp_path))  # no bubblewrap
    path.write_text(path.read_text().replace('jail = "weak"', 'jail = "strong"'))
    done = run(course, ("grade", "A", str(inbox)))
    assert done.returncode == 2 and "can't be locked in" in done.stderr and "Traceback" not in done.stderr
    assert not (course / "submitted").exists()
    path.write_text(path.read_text().replace('jail = "strong"', 'jail = "weak"'))
    done = run(course, ("grade", "A", str(inbox)))
    assert done.returncode == 0 and done.stderr.startswith("WEAK GRADING: "), done.stderr
    path.write_text(path.read_text().replace('jail = "weak"', 'jail = "no"'))
    done = run(course, ("grade", "A", str(inbox)))
    assert done.returncode == 2 and 'got jail = \'no\', wanted "strong" or "weak"' in done.stderr


def test_a_course_inside_what_students_see_is_refused():
    if OPEN:
        pytest.skip(f"no jail: {OPEN}")
    assert "must see; move the course" in jail.probe(ROOT / "hrem_lib" / "course")
    assert jail.probe(FOLDER) == ""
