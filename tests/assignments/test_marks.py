"""A class with faults in it, graded: one row each, notes that stay, and the tables that Canvas and Moodle import."""

import csv
import json
import shutil
import unicodedata
import zipfile

import nbformat
import pytest
from assignments.classroom import GENERATED, SOURCES, command, fill, run, solutions
from grader import marks
from hypothesis import given
from hypothesis import strategies as st

ROSTER = """id,name,canvas_id,sis_id,login,moodle_id,email,section
s1,"Meyer, Anna",48291,900,ameyer,,anna@x.de,G1
s2,Jörg Groß,,901,,11,+49@x.de,
s9,Nobody Yet,48299,,,99,,G1
"""


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory):
    """The course without its gradebook, with a roster, after grading a class with faults."""
    room = tmp_path_factory.mktemp("marks")
    copy = room / "course"
    shutil.copytree(course, copy, ignore=shutil.ignore_patterns("gradebook.db*", "marks-*", "notes-*", *GENERATED))
    command(copy, ("release", "A", "C"))
    released, right, box = copy / "release" / "A" / f"{SOURCES['A'].stem}.ipynb", solutions("A"), room / "box"
    box.mkdir()
    text = nbformat.writes(fill(released, right))
    bare = nbformat.reads(text, as_version=4)
    for cell in bare.cells:
        cell.metadata, cell["id"] = {}, f"x{cell['id']}"
    nbformat.write(bare, box / "meyeranna_LATE_48291_120934_A_metric_and_pooling-1.ipynb")
    (box / f"{unicodedata.normalize('NFD', 'Jörg')} Groß_11_assignsubmission_file_").mkdir()
    (box / f"{unicodedata.normalize('NFD', 'Jörg')} Groß_11_assignsubmission_file_" / "work.ipynb").write_text(text)
    nbformat.write(fill(released, {"A7": "=1+1", "A8": "text"}), box / "李娜.ipynb")
    nbformat.write(fill(copy / "release" / "C" / f"{SOURCES['C'].stem}.ipynb", solutions("C")), box / "=cmd().ipynb")
    nbformat.write(
        fill(released, {"A1": "def ranks_t2i(similarity, image_of_caption):\n    return 0"}), box / "wrong.ipynb"
    )
    with zipfile.ZipFile(box / "cut.zip", "w") as archive:
        archive.writestr("x" * 260, text)
    (box / "cut.zip").write_bytes((box / "cut.zip").read_bytes()[:-90])
    (box / "todo.txt").write_text("x")
    (copy / "roster.csv").write_text(ROSTER, encoding="utf-8")
    return copy, box, command(copy, ("grade", "A", str(box)))


def test_every_row_and_every_zero_says_why(graded):
    course, _, said = graded
    rows = {row["student"]: row for row in table(course / "marks-A.csv")}
    (formula,) = [student for student in rows if student.startswith("_cmd")]
    assert set(rows) == {"s1", "s2", "s9", "李娜", "wrong", "cut", formula}
    assert [float(rows[s]["tests"]) for s in ("s1", "s2")] == [32, 32] and rows["s1"]["name"] == "Meyer, Anna"
    assert "late" in rows["s1"]["note"] and "found by function name, place" in rows["s1"]["note"]
    assert rows["s2"]["note"] == ""
    zeros = {
        "s9": "nothing handed in",
        "cut": "got no notebook",
        "wrong": "not on the roster; no test passed",
        "李娜": "no test passed",
        formula: "is C's notebook",
    }
    for student, words in zeros.items():
        assert words in rows[student]["note"] and float(rows[student]["tests"]) == 0, rows[student]
    assert rows[formula]["name"] == "'=cmd()"  # no spreadsheet takes it for a formula
    assert "nobody's, left out: todo.txt" in said
    for row in rows.values():
        assert float(row["total"]) == float(row["tests"]) + float(row["person"]) and float(row["out of"]) == 40


def test_notes_last_and_reach_the_student(graded, tmp_path):
    course, box, _ = graded
    before = table(course / "marks-A.csv")
    written = tmp_path / "marks.csv"
    written.write_text(
        "student,question,points,comment\ns2,A7,4,\ns2,A8,2,\n李娜,A7,1,\n李娜,A8,1,\n", encoding="utf-8"
    )
    command(course, ("feedback", "A", str(written)))
    after = table(course / "marks-A.csv")
    assert [row["note"] for row in before] == [row["note"] for row in after]
    for path in box.iterdir():  # the late ones come alone
        if path.name != "wrong.ipynb":
            path.rename(tmp_path / path.name)
    command(course, ("grade", "A", str(box)))
    again = table(course / "marks-A.csv")
    assert [row["note"] for row in before] == [row["note"] for row in again]
    assert [row["total"] for row in after] == [row["total"] for row in again]
    notes = (course / "feedback" / "s1" / "A" / "notes.txt").read_text(encoding="utf-8")
    assert "handed in late (Canvas)\n" in notes
    assert not (course / "feedback" / "wrong" / "A" / "notes.txt").exists()  # "not on the roster" is not for students
    assert json.loads((course / "notes-A.json").read_text())["wrong"]["staff"] == ["not on the roster"]


def test_tables_for_canvas_and_moodle(graded):
    course, _, _ = graded
    canvas = table(course / "marks-A-canvas.csv")
    assert list(canvas[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "A"]
    assert canvas[0]["Student"].strip() == "Points Possible" and float(canvas[0]["A"]) == 40
    rows = {row["Student"]: row for row in canvas}
    assert [rows["Meyer, Anna"][c] for c in list(canvas[0])[1:]] == ["48291", "900", "ameyer", "G1", ""]  # A7, A8 wait
    assert rows["Jörg Groß"]["A"] == "38.0" and rows["Nobody Yet"]["A"] == ""
    moodle = {row["Full name"]: row for row in table(course / "marks-A-moodle.csv")}
    assert list(moodle) == ["Jörg Groß", "Nobody Yet"]
    row = moodle["Jörg Groß"]
    assert (row["Identifier"], row["Grade"], row["Maximum Grade"]) == ("Participant 11", "38.0", "40")
    assert row["Email address"] == "'+49@x.de" and row["Last modified (grade)"] == row["Feedback comments"] == ""
    assert (moodle["Nobody Yet"]["Status"], moodle["Nobody Yet"]["Grade"]) == ("No submission", "")


def test_a_bad_roster_stops_before_any_work(graded, tmp_path):
    course, box, _ = graded
    good, before = (course / "roster.csv").read_text(encoding="utf-8"), table(course / "marks-A.csv")
    written = tmp_path / "marks.csv"
    written.write_text("student,question,points,comment\ns2,A7,0,\n")
    (course / "roster.csv").write_text("id;name\n")
    done = run(course, ("grade", "A", str(box)), ("feedback", "A", str(written)))
    (course / "roster.csv").write_text(good, encoding="utf-8")
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stdout == ""
    assert done.stderr.count("roster.csv line 1: got 'id;name', wanted id,name") == 2
    command(course, ("feedback", "A"))
    assert table(course / "marks-A.csv") == before


@given(st.text(max_size=5))
def test_no_cell_is_a_formula(text):
    assert not marks.harmless(text).startswith(("=", "+", "-", "@", "\t", "\r")) and marks.harmless(-1.5) == -1.5
