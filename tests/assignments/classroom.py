"""The course's folder, submissions made for tests, and commands of course.py; needs the extra `course`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbgrader", reason="the extra `course` is not installed")
pytest.importorskip("resource", reason="grading forks processes; this system can't")
import jupytext
import nbformat

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "notebooks" / "assignments"
sys.path.insert(0, str(FOLDER))
from grader import build, jail  # noqa: E402

NAMES = ("A", "B", "C", "D")
SOURCES = build.assignments(FOLDER)
README = (FOLDER / "README.md").read_text(encoding="utf-8")
OPEN = jail.probe(FOLDER)  # why students' code can't be locked in on this machine, "" where it can
GENERATED = ("release", "submitted", "autograded", "feedback", "rubrics")
LIMITS = {"cell_seconds": 2, "call_seconds": 1, "cpu_seconds": 60, "wall_seconds": 300, "memory_gb": 6, "file_mb": 1}


def planted(name):
    """{submission: {question: code}} of planted/NAME.py."""
    found = {}
    for cell in jupytext.read(FOLDER / "planted" / f"{name}.py").cells:
        if "planted" in cell.metadata:
            found.setdefault(cell.metadata["planted"], {})[cell.metadata["answer"]] = cell.source
    return found


def source(name, seed=None):
    return build.notebook(SOURCES[name], seed or build.settings(FOLDER)["course_seed"])[0]


def solutions(name):
    cells = [cell for cell in source(name).cells if cell.metadata.nbgrader.solution]
    return {cell.metadata.nbgrader.grade_id.removesuffix("-answer"): build.solved(cell.source) for cell in cells}


def fill(released, answers):
    """A student's notebook: the released one with answers in it."""
    book = nbformat.read(released, as_version=4)
    for cell in book.cells:
        question = cell.metadata.nbgrader.grade_id.removesuffix("-answer")
        if cell.metadata.nbgrader.solution and question in answers:
            cell.source = answers[question]
    return book


def extra(book, behind, code):
    """Put a student's own cell behind the cell called `behind`."""
    place = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in book.cells].index(behind)
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(code))
    return book


def points_of(book):
    found = {}
    for cell in book.cells:
        if "nbgrader" in cell.metadata and cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution:
            (value,) = [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"]
            found[cell.metadata.nbgrader.grade_id] = float(value)
    return found


MANY = """
import sys
sys.path.insert(0, sys.argv[1])
import course
sys.exit(max([course.main(eval(line)) for line in sys.argv[2:]]))
"""


def run(course, *lines):
    """Commands of course.py, one after the other in one process (importing nbgrader and torch takes seconds)."""
    words = [sys.executable, "-c", MANY, str(course), *(repr(line) for line in lines)]
    return subprocess.run(words, capture_output=True, text=True)


def command(course, *lines):
    done = run(course, *lines)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def make_course(folder: Path) -> Path:
    """A released course in a folder, with the public seed and short limits."""
    course = folder / "notebooks" / "assignments"
    generated = shutil.ignore_patterns("*.ipynb", "__pycache__", "gradebook.db*", "marks-*", "grade.log", *GENERATED)
    shutil.copytree(FOLDER, course, ignore=generated)
    path = course / "course.toml"
    text = path.read_text().replace("cell_seconds = 60", "cell_seconds = 6")
    text = text.replace("call_seconds = 10", "call_seconds = 1")
    path.write_text(text.replace('jail = "strong"', 'jail = "weak"') if OPEN else text)
    command(course, ("release",))
    return course
