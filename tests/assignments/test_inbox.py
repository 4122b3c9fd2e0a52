"""What students hand in: every damaged, misnamed or strangely packed submission is one row with a note.

Here it is collected only; `test_marks.py` grades a class with some of it.
"""

import io
import json
import os
import random
import re
import tarfile
import unicodedata
import zipfile

import nbformat
import pytest
from assignments.classroom import SOURCES, build, fill, solutions, source
from grader import inbox, intake, roster, similar
from hypothesis import given
from hypothesis import strategies as st

from hrem_lib.errors import UserError

LIMITS = {"file_mb": 1, "unpacked_mb": 2, "files": 30, "seconds": 20}
BOOK = SOURCES["A"].name.replace(".py", ".ipynb")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Released notebooks as nbgrader leaves them, made without nbgrader."""
    folder = tmp_path_factory.mktemp("release")
    for name, path in SOURCES.items():
        book = source(name)
        for cell in book.cells:
            text = build.stub(cell.source, cell.cell_type == "code")
            cell.source = text if cell.metadata.nbgrader.solution else build.without_hidden(text)
        (folder / name).mkdir()
        nbformat.write(book, folder / name / f"{path.stem}.ipynb")
    return folder


class Class:
    """An inbox, and what collecting makes of it."""

    def __init__(self, folder, release):
        self.box, self.out, self.release = folder / "box", folder / "submitted", release
        self.box.mkdir()
        self.right = solutions("A")

    def text(self, name="A", answers=None):
        path = self.release / name / f"{SOURCES[name].stem}.ipynb"
        return nbformat.writes(fill(path, solutions(name) if answers is None else answers))

    def zip(self, name, files):
        with zipfile.ZipFile(self.box / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        return self.box / name

    def collect(self, box=None, name="A", people=(), limits=LIMITS):
        self.found, self.nobody = intake.collect(box or self.box, name, self.release, self.out, limits, list(people))
        for student, record in self.found.items():  # one folder each, with a notebook that nbgrader can read
            book = nbformat.read(self.out / student / name / f"{SOURCES[name].stem}.ipynb", as_version=4)
            released = nbformat.read(self.release / name / f"{SOURCES[name].stem}.ipynb", as_version=4)
            assert intake.answered(intake.rebuild(book, released), released) == record["answers"]
            assert record["answers"] or record["note"], (student, record)  # every zero says why
        json.dumps(self.found)
        return {student: ("; ".join(record["note"]), record["answers"]) for student, record in self.found.items()}


@pytest.fixture
def room(tmp_path, release):
    return Class(tmp_path, release)


ALL = 8  # answers of assignment A


# ---- one student's fault is one student's


def test_faults_of_one_student_are_one_row_with_a_note(room):
    text = room.text()
    (room.box / "good.ipynb").write_text(text)
    data = room.zip("cut.zip", {BOOK: text}).read_bytes()
    (room.box / "cut.zip").write_bytes(data[: len(data) // 2])
    (room.box / "scrambled.zip").write_bytes(data[:90] + bytes(60) + data[150:])
    locked = bytearray(data)  # the mark "needs a password" in both headers
    for start, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[data.index(start) + place] |= 1
    (room.box / "locked.zip").write_bytes(locked)
    room.zip("long.zip", {BOOK: text, "x" * 260 + ".txt": "x", "timestamp.txt": "never"})
    os.symlink(room.box / "not-there", room.box / "broken-link.zip")
    os.symlink("round", room.box / "round")
    os.mkfifo(room.box / "pipe.ipynb")
    (room.box / "inside").mkdir()
    (room.box / "inside" / BOOK).write_text(text)
    os.symlink(room.box / "inside", room.box / "inside" / "again")
    os.mkfifo(room.box / "inside" / "pipe.txt")
    (room.box / "packed.7z").write_bytes(b"7z\xbc\xaf")
    (room.box / "other.rar").write_bytes(b"Rar!")
    (room.box / "page.ipynb").write_text("<html>")
    (room.box / "deep.ipynb").write_text("[" * 100_000)
    (room.box / "surrogate.ipynb").write_text(text.replace("half", "\\ud800", 1))
    (room.box / "empty").mkdir()
    (room.box / "shopping.txt").write_text("milk")
    (room.box / ".DS_Store").write_text("x")
    got = room.collect()
    assert got["good"] == ("", ALL)
    assert got["long"][1] == ALL and "files left out (no data, or a name twice, too long or taken)" in got["long"][0]
    assert got["inside"][1] == ALL and "again was left out: a link" in got["inside"][0]
    assert "pipe.txt was left out: no plain file" in got["inside"][0]
    wanted = {
        "cut": "damaged",
        "scrambled": "can't be read",
        "locked": "locked with a password",
        "broken-link": "a link",
        "round": "a link",
        "pipe": "no plain file",
        "packed": "only zip and tar are read",
        "other": "only zip and tar are read",
        "page": "can't be read (NotJSONError)",
        "deep": "can't be read (",
        "surrogate": "can't be read (UnicodeEncodeError)",
        "empty": "got no notebook",
    }
    for student, words in wanted.items():
        assert words in got[student][0] and "marked as empty" in got[student][0] and got[student][1] == 0, student
    assert set(got) == {"good", "long", "inside", *wanted}
    assert sorted(room.nobody) == [".DS_Store", "shopping.txt"]


def test_files_that_vanish_or_may_not_be_read(room, monkeypatch):
    for name in ("anna", "ben", "cem"):
        (room.box / f"{name}.ipynb").write_text(room.text())
    read = inbox.read

    def then_one_vanishes(box):
        found = read(box)
        (box / "anna.ipynb").unlink()
        return found

    def forbidden(path, most, plain=inbox._from_disk):
        if path.name == "ben.ipynb":
            raise PermissionError(13, "Permission denied")
        return plain(path, most)

    monkeypatch.setattr(inbox, "read", then_one_vanishes)
    monkeypatch.setattr(inbox, "_from_disk", forbidden)
    got = room.collect()
    assert "No such file" in got["anna"][0] and "Permission denied" in got["ben"][0] and got["cem"] == ("", ALL)


def test_400_corrupted_zips(room):
    """Each is read rightly or has a note; no error gets out."""
    text, draw = room.text(), random.Random(20)
    packed = {
        kind: io.BytesIO() for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED)
    }
    for kind, file in packed.items():
        with zipfile.ZipFile(file, "w", kind) as archive:
            for name, content in ((f"A/{BOOK}", text), ("A/runs.json", "[1, 2, 3]")):
                archive.writestr(zipfile.ZipInfo(name), content, kind)  # of 1980: the same bytes in every run
    kinds = [file.getvalue() for file in packed.values()]
    for number in range(400):
        data = bytearray(kinds[number % 4])
        for _ in range(draw.choice((1, 3, 30))):  # anywhere, or in the headers at both ends
            place = draw.randrange(len(data)) if number % 2 else draw.randrange(-300, 60)
            data[place] = draw.randrange(256)
        if number % 5 == 0:
            data = data[: draw.randrange(len(data))]
        (room.box / f"s{number:03d}.zip").write_bytes(data)
    got = room.collect()
    assert len(got) == 400
    for student, (note, answers) in got.items():
        files = {p.name: p.read_text() for p in (room.out / student / "A").glob("*.json")}
        assert note or (answers == ALL and files == {"runs.json": "[1, 2, 3]"}), student
    assert 20 < sum(answers == ALL for _, answers in got.values()) < 380  # both happen


def test_sizes_and_numbers_are_capped(room):
    text, zeros = room.text(), bytes(10 * 2**20)
    room.zip("bomb.zip", {"a.txt": zeros, BOOK: text})
    room.zip("many.zip", {f"{n}.txt": "x" for n in range(60)})
    room.zip("some.zip", {f"{n}.txt": bytes(700_000) for n in range(9)} | {BOOK: text})
    data = room.zip("liar.zip", {BOOK: text, "a.txt": zeros}).read_bytes()
    small = (7).to_bytes(4, "little")  # both headers say 7 bytes
    (room.box / "liar.zip").write_bytes(data.replace(len(zeros).to_bytes(4, "little"), small))
    for name, opener in (("gz.tgz", "w:gz"), ("xz.tar.xz", "w:xz")):
        with tarfile.open(room.box / name, opener) as archive:
            info = tarfile.TarInfo("a.txt")
            info.size = len(zeros)
            archive.addfile(info, io.BytesIO(zeros))
    inner = (room.box / "bomb.zip").read_bytes()
    for depth in range(6):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{depth}.zip", inner)
        inner = file.getvalue()
    (room.box / "nested.zip").write_bytes(inner)
    with open(room.box / "huge.ipynb", "wb") as file:
        file.truncate(2 * 2**30)  # takes no room on the disk
    with open(room.box / "huge.zip", "wb") as file:
        file.truncate(2 * 2**30)
    import tracemalloc

    tracemalloc.start()
    got = room.collect()
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()
    assert got["bomb"][1] == ALL and "too large" in got["bomb"][0] and "a.txt" in got["bomb"][0]
    assert "only the first 30 files were read" in got["many"][0]
    assert "too large" in got["some"][0]
    assert got["liar"][1] == ALL and "a.txt can't be read (BadZipFile)" in got["liar"][0]
    assert all("too large" in got[name][0] for name in ("gz", "xz", "huge"))
    assert "too deep" in got["nested"][0]
    assert set(got) == {"bomb", "many", "some", "liar", "gz", "xz", "nested", "huge"}


def test_tars_are_read_and_lead_nowhere(room, tmp_path):
    for name, opener in (
        ("a.tar", "w"),
        ("b.tar.gz", "w:gz"),
        ("c.tgz", "w:gz"),
        ("d.tar.bz2", "w:bz2"),
        ("e.txz", "w:xz"),
    ):
        with tarfile.open(room.box / name, opener) as archive:
            for path, data in ((f"hw/{BOOK}", room.text()), ("../../escaped.txt", "x"), ("/else/absolute.txt", "x")):
                info = tarfile.TarInfo(path)
                info.size = len(data.encode())
                archive.addfile(info, io.BytesIO(data.encode()))
            link = tarfile.TarInfo("link.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    (room.box / "f.zip").write_bytes((room.box / "b.tar.gz").read_bytes())  # it goes by what it is
    got = room.collect()
    for student in "abcdef":
        assert got[student][1] == ALL and "link.txt was left out" in got[student][0], got[student]
        assert not (room.out / student / "A" / "link.txt").exists()
    assert not list(tmp_path.parent.glob("**/elsewhere")) and not (tmp_path / "escaped.txt").exists()
    assert "../../escaped.txt was left out: its name leads out of the folder" in got["a"][0]


# ---- right work is found


def stripped(text, ids=True, functions=True):
    """A notebook as a tool leaves it that drops metadata (and cell ids)."""
    book = nbformat.reads(text, as_version=4)
    for number, cell in enumerate(book.cells):
        cell.metadata = nbformat.from_dict({"colab": {"base_uri": "x"}})
        if not ids:
            cell["id"] = f"x{number}"
        if not functions:
            cell.source = re.sub(r"^def ", "async def ", cell.source, flags=re.MULTILINE)
    return nbformat.writes(book)


def test_answers_without_their_marks_are_found(room):
    text = room.text()
    (room.box / "ids.ipynb").write_text(stripped(text))
    (room.box / "texts.ipynb").write_text(stripped(text, ids=False))
    moved = nbformat.reads(stripped(text, ids=False), as_version=4)
    answers = [c for c in moved.cells if c.source in room.right.values() and c.cell_type == "code"]
    moved.cells = answers[::-1] + [c for c in moved.cells if c not in answers]
    moved.cells.insert(0, nbformat.v4.new_code_cell("x = 1"))
    (room.box / "moved.ipynb").write_text(nbformat.writes(moved))
    half = nbformat.reads(text, as_version=4)
    for cell in half.cells[::2]:
        cell.metadata = {}
    (room.box / "half.ipynb").write_text(nbformat.writes(half))
    got = room.collect()
    assert got["ids"] == ("cells had lost their marks; answers were found by cell id", ALL)
    assert got["texts"] == ("cells had lost their marks; answers were found by function name, place", ALL)
    assert got["moved"] == ("cells had lost their marks; answers were found by function name, place", ALL)
    assert got["half"][1] == ALL and "cells had lost their marks" in got["half"][0]
    for student in got:
        book = nbformat.read(room.out / student / "A" / BOOK, as_version=4)
        released = nbformat.read(room.release / "A" / BOOK, as_version=4)
        made = intake.rebuild(book, released)
        found = {c.metadata.nbgrader.grade_id: c.source for c in made.cells if "nbgrader" in c.metadata}
        for question, answer in room.right.items():
            assert found[f"{question}-answer" if f"{question}-answer" in found else question].strip() == answer.strip()
        assert len(made.cells) == len(released.cells) + (student == "moved")


def test_the_notebook_with_the_answers_counts(room):
    empty = room.text(answers={})
    few = room.text(answers={"A1": room.right["A1"]})
    room.zip("copy.zip", {BOOK: empty, BOOK.replace(".ipynb", "-Copy1.ipynb"): room.text()})
    room.zip("three.zip", {BOOK: few, "old/x.ipynb": empty, "new/y.ipynb": room.text(), "new/runs.json": "1"})
    room.zip("broken.zip", {BOOK: "{", "mine.ipynb": few})
    (room.box / "c-as-a.ipynb").write_text(room.text("C"))
    (room.box / "c-untouched.ipynb").write_text(stripped(room.text("C", {})))
    (room.box / "own.ipynb").write_text(
        nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))
    )
    (room.box / "untouched.ipynb").write_text(empty)
    room.zip("both.zip", {"C.ipynb": room.text("C"), "A.ipynb": few})
    got = room.collect()
    copy = BOOK.replace(".ipynb", "-Copy1.ipynb")
    assert got["copy"] == (f"took {copy} ({ALL} answers), not {BOOK} (0)", ALL)
    assert got["three"] == (f"took new/y.ipynb ({ALL} answers), not {BOOK} (1), old/x.ipynb (0)", ALL)
    assert got["broken"] == (f"{BOOK} can't be read (NotJSONError)", 1)
    assert got["c-as-a"] == ("c-as-a.ipynb is C's notebook; marked as empty", 0)
    assert got["c-untouched"] == ("c-untouched.ipynb is C's notebook; marked as empty", 0)
    assert got["own"] == ("own.ipynb has no cell of this assignment; marked as empty", 0)
    assert got["untouched"] == ("nothing is answered", 0)
    assert got["both"] == ("took A.ipynb (1 answers), not C.ipynb (0)", 1)


def test_other_files_come_along(room):
    """D's runs.json handed in beside the notebook, or in a zip of its own; own cells without an answer are kept."""
    (room.box / "anna.ipynb").write_text(room.text("D"))
    room.zip("anna.zip", {"hw/runs.json": "[1]", "hw/README.md": "x", "hw/.git/config": "x"})
    book = nbformat.reads(room.text("D", {}), as_version=4)
    book.cells.insert(5, nbformat.v4.new_code_cell("my = 'work'"))
    (room.box / "ben.ipynb").write_text(nbformat.writes(book))
    got = room.collect(name="D")
    assert (room.out / "anna" / "D" / "runs.json").read_text() == "[1]" and got["anna"][1] > 0
    assert got["anna"][0] == "handed in more than once: anna.ipynb goes before anna.zip"
    assert sorted(p.suffix for p in (room.out / "anna" / "D").iterdir()) == [".ipynb", ".json"]
    (path,) = (room.out / "ben" / "D").iterdir()
    assert got["ben"] == ("nothing is answered", 0) and "my = 'work'" in path.read_text()


# ---- ids

NAMES = st.text(st.characters(exclude_categories=()), max_size=90)


def same_name(text):
    return re.sub(r"\s+", "_", unicodedata.normalize("NFC", text).strip())


@given(NAMES, NAMES)
def test_ids_are_safe_stable_and_stay_different(one, other):
    made = roster.student_id(one)
    assert made == roster.student_id(one) == roster.student_id(made)
    assert made == roster.student_id(unicodedata.normalize("NFD", one)) or "\ud800" <= max(one, default="") <= "\udfff"
    assert 0 < len(made) <= roster.LONGEST and len(made.encode()) <= 240
    assert made[0] not in ".-" and made[-1] != "." and not roster.RESERVED.fullmatch(made)
    assert not set(made) & set("/\\:*?\"<>|[]{}%#&=+@,;' \t\n\0")
    if same_name(one) != same_name(other) and made != other and roster.student_id(other) != one:
        assert made != roster.student_id(other)


def test_ids_stay_readable():
    for name in ("Jörg", "Jürg", "李娜", "张伟", "अनिता", "O_Brien", "anna.meyer", "a-b"):
        assert roster.student_id(name) == name
    assert roster.student_id("Anna  Meyer") == "Anna_Meyer"
    for name in ("../etc", "CON", "con.txt", "-rf", ".", "", "a/b", "=1+1", "x" * 264, "a\u202eb", "[ab]*"):
        made = roster.student_id(name)
        assert made != name and re.search(r"-[0-9a-f]{8}$", made), name
    assert roster.student_id("a/b") != roster.student_id("a?b") != roster.student_id("a_b")


def test_one_row_for_one_student_and_two_for_two(room):
    few = room.text(answers={"A1": room.right["A1"]})
    for name in ("Jörg", "Jürg", "李娜", "张伟"):
        (room.box / f"{name}.ipynb").write_text(few)
    (room.box / f"{unicodedata.normalize('NFD', 'Jörg')}.zip").write_bytes(
        room.zip("anna.zip", {BOOK: room.text()}).read_bytes()
    )
    (room.box / "anna").mkdir()
    (room.box / "anna" / BOOK).write_text(few)
    (room.box / "Ben.ipynb").write_text(few)
    (room.box / "ben.ipynb").write_text(room.text())
    old, new = room.box / "cem.ipynb", room.box / "cem.tar"
    old.write_text(few)
    with tarfile.open(new, "w") as archive:
        other = room.text(answers={"A2": room.right["A2"]}).encode()
        info = tarfile.TarInfo(BOOK)
        info.size, info.mtime = len(other), old.stat().st_mtime + 60
        archive.addfile(info, io.BytesIO(other))
    got = room.collect()
    assert {"Jörg", "Jürg", "李娜", "张伟", "anna", "Ben", "cem"} < set(got) and len(got) == 8
    assert got["Jörg"][1] == ALL and "handed in more than once" in got["Jörg"][0]
    assert got["anna"][1] == ALL and "handed in more than once: anna.zip goes before anna" in got["anna"][0]
    assert "took" in got["anna"][0] and "(1)" in got["anna"][0]
    assert f"took {BOOK} (1 answers), not cem.ipynb (1)" in got["cem"][0]  # the newer one
    (twin,) = [student for student in got if student.startswith("ben-")]
    assert "capital letters" in room.found[twin]["staff"][0] and got[twin][1] == ALL and got["Ben"][1] == 1


# ---- platforms


def canvas_files(room):
    text = room.text()
    return {
        "meyeranna_LATE_48291_120934_A_metric_and_pooling-1.ipynb": text,
        "meyeranna_48291_120935_runs-2.json": "[1]",
        "李娜_48292_120936_work.zip": room.zip("x.zip", {BOOK: text}).read_bytes(),
        "typed_48293_text.html": "<p>hello</p>",
        "anon_Ab3xZ_120940_A.ipynb": text,
        "o_brien_48294_120941_A.ipynb": text,
    }


def test_names_that_only_look_like_canvas(room):
    """Of two students none may vanish: a wrong guess would make them one."""
    for name in ("2024_11_05_anna", "2024_11_05_ben", "hw_05_2024_anna", "hw_05_2024_ben", "a_1_2_cem", "a_1_2_dan"):
        (room.box / f"{name}.ipynb").write_text(room.text())
    (room.box / "LATE_anon_Ab3xZ_120940_A.ipynb").write_text(room.text())
    got = room.collect()
    assert len(got) == 7 and got["hw_05_2024_anna"] == got["2024_11_05_ben"] == got["a_1_2_dan"] == ("", ALL)
    assert got["anon_Ab3xZ"] == ("handed in late (Canvas)", ALL)


MOODLE = "Anna Meyer_1234567_assignsubmission_file_"


def moodle_files(room):
    text = room.text()
    return {
        f"{MOODLE}/{BOOK}": text,
        "Anna Meyer_1234567_assignsubmission_onlinetext_/onlinetext.html": "<p>see file</p>",
        "Anna Meyer_7654321_assignsubmission_file_/hw.zip": room.zip("x.zip", {f"A/{BOOK}": text}).read_bytes(),
        "Jörg Groß_11_assignsubmission_file_A.ipynb": text,
        "Participant_12_assignsubmission_file/A.ipynb": text,
        "Cem Öz_13_assignsubmission_onlinetext_/onlinetext.html": "<p>my work</p>",
    }


def put(room, files, as_zip, around=""):
    if (room.box / "x.zip").exists():
        (room.box / "x.zip").unlink()
    if as_zip:
        return room.zip("submissions.zip", {around + name: data for name, data in files.items()})
    for name, data in files.items():
        path = room.box / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return room.box


@pytest.mark.parametrize("as_zip", [False, True])
def test_canvas_download(room, as_zip):
    got = room.collect(put(room, canvas_files(room), as_zip))
    assert got["meyeranna_48291"] == ("handed in late (Canvas)", ALL)
    assert (room.out / "meyeranna_48291" / "A" / "runs.json").read_text() == "[1]"
    assert got["李娜_48292"] == got["anon_Ab3xZ"] == got["o_brien_48294"] == ("", ALL)
    assert got["typed_48293"][1] == 0 and "typed into Canvas is not read" in got["typed_48293"][0]
    assert len(got) == 5 and not room.nobody and room.found["meyeranna_48291"]["canvas_id"] == "48291"


@pytest.mark.parametrize("as_zip, around", [(False, ""), (True, ""), (True, "inbox A/")])
def test_moodle_download(room, as_zip, around):
    got = room.collect(put(room, moodle_files(room), as_zip, around))
    assert got["Anna_Meyer_1234567"][1] == ALL and "typed into Moodle is not read" in got["Anna_Meyer_1234567"][0]
    assert got["Anna_Meyer_7654321"] == got["Jörg_Groß_11"] == got["Participant_12"] == ("", ALL)
    assert got["Cem_Öz_13"][1] == 0 and "typed into Moodle" in got["Cem_Öz_13"][0]
    assert len(got) == 5 and room.found["Jörg_Groß_11"]["moodle_id"] == "11"


def test_a_download_without_the_mark_for_utf8(room):
    """Some programs write UTF-8 names into a zip without saying so."""
    path = room.zip("all.zip", {"Jörg.ipynb": room.text(), "Jürg.ipynb": room.text()})
    with zipfile.ZipFile(path) as archive:
        places = [info.header_offset for info in archive.infolist()]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place + 7] &= ~8
    for found in re.finditer(b"PK\x01\x02", bytes(data)):
        data[found.start() + 9] &= ~8
    path.write_bytes(data)
    assert room.collect(path) == {"Jörg": ("", ALL), "Jürg": ("", ALL)}


def test_a_damaged_member_of_a_download_is_one_students(room):
    path = room.zip("all.zip", {f"{name}/{BOOK}": room.text() for name in ("anna", "ben")} | {"cem.ipynb": room.text()})
    data = bytearray(path.read_bytes())
    data[400:420] = bytes(20)
    path.write_bytes(data)
    got = room.collect(path)
    assert "can't be read" in got["anna"][0] and got["ben"] == got["cem"] == ("", ALL)
    path.write_bytes(data[:-40])
    with pytest.raises(UserError, match=r"all.zip: (not a folder and no zip|damaged).* wanted"):
        room.collect(path)


# ---- the roster

ROSTER = """id,name,canvas_id,sis_id,login,moodle_id,email,section
s1,"Meyer, Anna",48291,900,ameyer,,anna@x.de,G1
s2,Jörg Groß,,901,jgross,11,,G2
s3,李娜,48292,,,,,
s4,Nobody Yet,,,,,,
s5,Ana María García López,,,,,,
"""


def test_roster_gives_ids(room, tmp_path):
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8-sig")
    people = roster.read(tmp_path / "roster.csv")
    names = {"meyeranna": "s1", "Anna Meyer": "s1", "AMEYER": "s1", "anna@x.de": "s1", "900": "s1", "Groß Jörg": "s2"}
    names |= {
        unicodedata.normalize("NFD", "Jörg Groß"): "s2",
        "李娜": "s3",
        "garcía lópez, ana maría": "s5",
        "S4": "s4",
    }
    for name, student in names.items():
        assert roster.find(people, name, None)["id"] == student, name
    assert roster.find(people, "x", ("moodle_id", "11"))["id"] == "s2"
    assert roster.find(people, "meyeranna", ("canvas_id", "77")) is None  # another Anna Meyer
    for name in ("Anna", "", "An", "?"):
        assert roster.find(people, name, None) is None
    put(room, canvas_files(room), False)
    (room.box / "jgross.pdf").write_text("x")
    (room.box / "stranger.pdf").write_text("x")
    got = room.collect(people=people)
    assert got["s1"] == ("handed in late (Canvas)", ALL) and got["s3"] == ("", ALL)
    assert got["s2"][1] == 0 and "got no notebook" in got["s2"][0] and room.nobody == ["stranger.pdf"]
    assert room.found["anon_Ab3xZ"]["staff"] == ["not on the roster"] and not room.found["s1"]["staff"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "got nobody"),
        ("id;name\n1;a\n", "line 1: got 'id;name', wanted id,name and any of canvas_id"),
        ("id,name,canvasid\n1,a,2\n", "line 1: got 'id,name,canvasid'"),
        ("id,name\n1,a\n1,b\n", "line 3: got id '1' of line 2"),
        ("id,name\nAnna,a\nanna,b\n", "line 3: got id 'anna' of line 2"),
        ("id,name,canvas_id\n1,a,7\n2,b,7\n", "line 3: got canvas_id '7' of line 2"),
        ("id,name\n1,a,b\n", "line 2: got 3 cells, wanted 2"),
        ("id,name\n1,\n", "line 2: got an empty id or name"),
        (b"id,name\n1,J\xf6rg\n", "line 2: got bytes that are not UTF-8"),
    ],
)
def test_bad_rosters_are_refused(tmp_path, text, words):
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        roster.read(path)
    assert str(caught.value).startswith(f"{path}") and "wanted" in str(caught.value)


def test_only_data_comes_along_and_no_time_stamp(room):
    """formgrader and feedback serve these files to a browser."""
    files = {"evil.html": "<script>", "a.svg": "<svg>", "timestamp-1.txt": "x", "d.csv": "1"}
    room.zip("anna.zip", {BOOK: room.text(), **files})
    note, answers = room.collect()["anna"]
    assert answers == ALL and "evil.html" in note and "a.svg" in note
    kept = {path.name for path in (room.out / "anna" / "A").iterdir()}
    assert kept == {BOOK, "d.csv", "timestamp-1.txt"}


def test_cells_of_no_kind_and_answers_nested_without_end(room):
    book = json.loads(room.text())
    book["cells"].insert(2, {"cell_type": "weird", "metadata": {}, "source": ""})
    (room.box / "anna.ipynb").write_text(json.dumps(book))
    assert room.collect()["anna"][1] == ALL
    assert similar.skeleton("x = 0\nx" + ".b" * 20_000) == "" == similar.skeleton("-" * 20_000 + "1")
