"""Course assignments: the whole cycle (release, submissions, grade, feedback) in a temporary copy of the course.

`make assignments-check` runs this file; it needs the extra `course` (nbgrader) and a system that can fork.
"""

import csv
import fnmatch
import json
import re
import shutil
import socket
import subprocess
import sys
import zipfile

import nbformat
import pytest
from assignments.classroom import (
    FOLDER,
    GENERATED,
    LIMITS,
    NAMES,
    README,
    ROOT,
    SOURCES,
    command,
    extra,
    fill,
    planted,
    points_of,
    run,
    solutions,
    source,
)
from grader import build, codec, intake, sandbox, similar, steps

each = pytest.mark.parametrize("name", NAMES)


# ---- hostile submissions


RANKS = "def ranks_t2i(similarity, image_of_caption):\n    "
HOSTILE = {  # submission -> answer of A1; all other answers are right. A6 calls A1
    "exits-in-a-call": f"import os\n{RANKS}os._exit(0)",
    "loops": f"{RANKS}while True:\n        try:\n            sum(range(10**5))\n"
    "        except BaseException:\n            pass",
    "memory": f"{RANKS}return np.ones((10**12,))[: len(image_of_caption)]",
    "cheats": "import builtins, hrem_lib.exercises as e\nfrom hrem_lib.exercises import marks\n"
    "e.expect_close = expect_close = e.expect_shape = expect_shape = lambda *a, **k: None\n"
    "marks.total = total = lambda question, points: float(points)\nmarks.part.__exit__ = lambda *a: True\n"
    "np.testing.assert_allclose = torch.allclose = lambda *a, **k: True\n"
    f"class Yes:\n    shape = (5,)\n    def __eq__(self, other): return True\n{RANKS}return Yes()",
}
SPY = """
import gc, inspect, os, socket, subprocess
def say(action):
    try:
        print("spy", action())
    except BaseException as error:
        print("spy", type(error).__name__)
say(lambda: socket.create_connection(("127.0.0.1", {port}), 5))
say(lambda: subprocess.run(["ls", "{course}"]))
say(lambda: open("{course}/source/A/A_metric_and_pooling.py").read())
say(lambda: os.listdir("{course}"))
say(lambda: open("{outside}", "w").write("x"))
say(lambda: os.remove("{outside}.kept"))
say(lambda: open("mine.txt", "w").write("x"))
seen = []
def ranks_t2i(similarity, image_of_caption):
    seen.append(similarity)
    for frame in inspect.stack():
        print("spy", frame.code_context)
    print("spy", len(seen), [o for o in gc.get_objects() if isinstance(o, str) and "BEGIN " + "HIDDEN" in o])
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return (similarity > own).sum(0) + ((similarity == own).sum(0) - 1) / 2
"""


# ---- the cycle, once


@pytest.fixture(scope="session")
def visitors():
    """A listener on this machine that counts who calls."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def marks(course, visitors, tmp_path_factory):
    """Everything graded: {(assignment, student): row of the table of marks}."""
    rows, lines = {}, []
    for name in NAMES:
        inbox = tmp_path_factory.mktemp(f"inbox{name}")
        released, right = course / "release" / name / f"{SOURCES[name].stem}.ipynb", solutions(name)
        files = list((FOLDER / "planted" / name).glob("*"))
        submissions = {"solution": right, **{k: right | wrong for k, wrong in planted(name).items()}}
        for student, answers in submissions.items():
            (inbox / student).mkdir()
            nbformat.write(fill(released, answers), inbox / student / released.name)
            for path in files:
                shutil.copy(path, inbox / student)
        shutil.copy(released, inbox / "released.ipynb")
        if name == "A":
            hostile(inbox, released, right, course, visitors)
        lines.append(("grade", name, str(inbox)))
    command(course, *lines)
    for name in NAMES:
        with open(course / f"marks-{name}.csv", newline="", encoding="utf-8") as file:
            rows |= {(name, row["student"]): row for row in csv.DictReader(file)}
    return rows


def hostile(inbox, released, right, course, visitors):
    """Submissions that crash, hang, cheat or are damaged."""
    for student, code in HOSTILE.items():
        nbformat.write(fill(released, right | {"A1": code}), inbox / f"{student}.ipynb")
    outside = inbox / "outside"
    (inbox / "outside.kept").write_text("x")
    spy = SPY.format(port=visitors.getsockname()[1], course=course, outside=outside)
    nbformat.write(fill(released, right | {"A1": spy}), inbox / "spy.ipynb")
    book = extra(fill(released, right), "A1", "import os\nos._exit(1)")
    nbformat.write(extra(book, "A2", "while True:\n    sum(range(10**5))"), inbox / "bad-cells.ipynb")
    book = fill(released, right)
    book.cells = [c for c in book.cells if c.metadata.nbgrader.solution]
    nbformat.write(book, inbox / "deleted.ipynb")
    book = fill(released, {k: v for k, v in right.items() if k != "A1"})
    for cell in book.cells:
        if cell.metadata.nbgrader.grade_id == "A1":
            cell.source, cell.metadata.nbgrader.points = "100.0", 100
    nbformat.write(book, inbox / "edited.ipynb")
    (inbox / "broken.ipynb").write_text('{"cells": [')
    (inbox / "nothing").mkdir()
    with zipfile.ZipFile(inbox / "zipped.zip", "w") as archive:
        archive.writestr(f"A/homework/{released.name}", nbformat.writes(fill(released, right)))
        archive.writestr("../../escaped.txt", "x")


# ---- what the issue asks for


@each
def test_solution_gets_full_marks_and_the_released_version_none(name, marks):
    possible = sum(points for points, by_test in build.points(source(name)).values() if by_test)
    assert possible == 32 and float(marks[name, "solution"]["tests"]) == possible
    assert float(marks[name, "released"]["tests"]) == 0 == float(marks[name, "released"]["person"])
    for (of, student), row in marks.items():
        assert float(row["tests"]) <= 32 and "not graded" not in row["note"], (of, student, row)


@each
def test_planted_submissions_get_the_marks_of_the_readme(name, marks):
    table = README[README.index("<!-- planted -->") : README.index("<!-- end -->")]
    rows = re.findall(rf"^\| {name} \| (\S+) \| [^|]+ \| ([^|]+): (\d+) \|$", table, re.MULTILINE)
    assert {student for student, _, _ in rows} == set(planted(name)) and len(rows) >= 3
    for student, single, total in rows:
        row = marks[name, student]
        lost = {q: p for q, p in re.findall(r"(\w\d+) (\d+)", single)}
        for question, (points, by_test) in build.points(source(name)).items():
            if by_test:
                assert float(row[f"{question} ({points:g})"]) == float(lost.get(question, points)), (
                    student,
                    question,
                    row,
                )
        assert float(row["tests"]) == float(total)


def test_hostile_submissions_are_graded_and_lose_their_own_points_only(marks):
    for student in HOSTILE:
        assert float(marks["A", student]["tests"]) == 22, (student, marks["A", student])  # without A1 and A6
    for student in ("spy", "bad-cells", "deleted", "zipped"):
        assert float(marks["A", student]["tests"]) == 32, (student, marks["A", student])
    assert float(marks["A", "edited"]["tests"]) == 22
    for student in ("broken", "nothing"):
        assert float(marks["A", student]["tests"]) == 0 and "marked as empty" in marks["A", student]["note"]


def test_submissions_reach_neither_network_nor_files(course, marks, visitors, tmp_path_factory):
    with pytest.raises(TimeoutError):
        visitors.accept()
    book = nbformat.read(course / "autograded" / "spy" / "A" / f"{SOURCES['A'].stem}.ipynb", as_version=4)
    said = [o.text for c in book.cells for o in c.get("outputs", []) if "spy" in o.get("text", "")]
    *tried, wrote = re.findall(r"spy (\w+)", said[0])
    assert len(tried) == 6 and set(tried) <= {"PermissionError", "FileNotFoundError"} and wrote == "1"
    inbox = next(p for p in tmp_path_factory.getbasetemp().glob("inboxA*"))
    assert (inbox / "outside.kept").exists() and not (inbox / "outside").exists()
    assert not list(course.parent.rglob("escaped.txt")) and not list(inbox.parent.glob("escaped.txt"))
    assert not (course / "submitted" / "spy" / "A" / "mine.txt").exists()  # it wrote into a copy


def hidden_lines(name):
    """Lines of the hidden tests that stand nowhere else in the notebook."""
    cells = [cell for cell in source(name).cells if cell.metadata.nbgrader.grade and cell.cell_type == "code"]
    visible = "\n".join(build.without_hidden(cell.source) for cell in source(name).cells)
    regions = "\n".join("\n".join(build.HIDDEN.findall(cell.source)) for cell in cells)
    return {x.strip() for x in regions.splitlines() if len(x.strip()) > 12 and x.strip() not in visible}


@each
def test_release_holds_no_solution_and_no_hidden_test(name, course):
    folder = course / "release" / name
    with zipfile.ZipFile(course / "release" / f"{name}.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"{name}/{path.name}" for path in folder.iterdir())
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{SOURCES[name].stem}.ipynb", "README.md"])
    book = nbformat.read(folder / f"{SOURCES[name].stem}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in book.cells)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "hidden=True" not in text and "{{" not in text
    solved = "\n".join("\n".join(build.SOLUTION.findall(cell.source)) for cell in source(name).cells)
    stubs = "\n".join(build.SOLUTION.sub("", cell.source) for cell in source(name).cells)
    secret = {x.strip() for x in solved.splitlines() if len(x.strip()) > 12 and x.strip() not in stubs}
    lines = hidden_lines(name)
    assert len(secret) > 15 and len(lines) > 25
    assert not [x for x in secret | lines if x in text]
    seed = build.settings(FOLDER)["course_seed"]
    assert str(build.seed_of(seed, name, "hidden")) not in text and seed not in text


@each
def test_feedback_is_readable_and_reveals_no_hidden_test(name, course, marks):
    import html

    lines, seed = hidden_lines(name), str(build.seed_of(build.settings(FOLDER)["course_seed"], name, "hidden"))
    students = [student for of, student in marks if of == name]
    assert len(students) >= 5
    for student in students:
        (path,) = (course / "feedback" / student / name).glob("*.html")
        text = html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))
        assert not [x for x in lines if x in text], student
        assert seed not in text and "BEGIN HIDDEN" not in text
        assert f"{name}1, " in text and "(hidden test): " in text  # the sentences are there
    (path,) = (course / "feedback" / "library" / name).glob("*.html")
    assert ": not yet, 0 of " in path.read_text(encoding="utf-8")


@each
def test_released_notebook_runs(name, course, marks):
    """Without an answer every cell runs: the stubs stop in the tests' sentences only."""
    book = nbformat.read(course / "autograded" / "released" / name / f"{SOURCES[name].stem}.ipynb", as_version=4)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr", (cell.source, output)
    said = "".join(o.get("text", "") for c in book.cells for o in c.get("outputs", []))
    assert said.count("not attempted yet") > 20 and ": right" not in said and "your code stopped" not in said.lower()


def test_released_notebook_runs_in_a_students_kernel(course, tmp_path):
    from nbclient import NotebookClient

    with zipfile.ZipFile(course / "release" / "A.zip") as archive:
        archive.extractall(tmp_path)
    book = nbformat.read(tmp_path / "A" / f"{SOURCES['A'].stem}.ipynb", as_version=4)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path / "A")}}).execute()
    results = [
        o.data["text/plain"] for c in book.cells for o in c.get("outputs", []) if o.output_type == "execute_result"
    ]
    assert results == ["0.0"] * 6


def test_a_persons_marks_come_into_table_and_feedback(course, marks, tmp_path):
    assert marks["A", "solution"]["to mark"] == "A7 A8" and marks["A", "released"]["to mark"] == ""
    table = tmp_path / "marks.csv"
    table.write_text("student,question,points,comment\nsolution,A7,4.5,Read the curve once more\nsolution,A8,3,\n")
    command(course, ("feedback", "A", str(table)))
    with open(course / "marks-A.csv", newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["student"] == "solution")
    assert (float(row["person"]), row["to mark"], float(row["tests"])) == (7.5, "", 32)
    (path,) = (course / "feedback" / "solution" / "A").glob("*.html")
    assert "Read the curve once more" in path.read_text(encoding="utf-8")
    table.write_text("student,question,points,comment\nsolution,A7,6,\n")
    done = run(course, ("feedback", "A", str(table)))
    assert done.returncode == 2 and "line 2: got 6 points, wanted 0 to 5" in done.stderr


def test_similar_answers_are_listed(course, marks):
    said = command(course, ("similar", "A"))
    assert re.search(r"^library and no-padding: 2 answers the same but for names: A4 A6", said, re.MULTILINE), said
    one = "def f(x):\n    '''a'''\n    y = x + 1  # add\n    return y"
    assert similar.skeleton(one) == similar.skeleton("def g(k):\n    z = k + 1\n    return z")
    assert similar.skeleton(one) != similar.skeleton("def g(k):\n    z = k - 1\n    return z")


def test_rubrics_have_criteria_and_model_answers(course):
    for name in NAMES:
        text = (course / "rubrics" / f"{name}.md").read_text(encoding="utf-8")
        for question, (points, by_test) in build.points(source(name)).items():
            if not by_test:
                part = text[text.index(f"## {question} ({points} points)") :]
                model = part[part.index("**Model answer**") :].split("## ")[0]
                assert part.index("point") < part.index("**Model answer**") and len(model) > 200, question
        assert "SOLUTION" not in text


# ---- seeds


@each
def test_course_seed_changes_data_numbers_and_hidden_tests(name):
    one, two = source(name), source(name, "another seed")
    changed = [(a, b) for a, b in zip(one.cells, two.cells, strict=True) if a.source != b.source]
    assert "given" in [a.metadata.get("hrem", {}) and "given" for a, _ in changed]  # the data's seed
    tests = [(a.source, b.source) for a, b in changed if a.metadata.nbgrader.grade]
    assert [True for a, b in tests if build.without_hidden(a) != build.without_hidden(b)]  # numbers of the examples
    hidden = [(build.HIDDEN.findall(a), build.HIDDEN.findall(b)) for a, b in tests]
    assert sum(a != b for a, b in hidden) >= 5 and all(a and b for a, b in hidden)
    seeds = {build.seed_of(seed, n, use) for seed in ("x", "y") for n in NAMES for use in ("data", "hidden", "numbers")}
    assert len(seeds) == 24 and source(name) == one


@each
def test_solutions_hold_for_another_course_seed(name, workers, tmp_path):
    made, answered = source(name, f"seed of {name}"), source(name, f"seed of {name}")
    for cell in answered.cells:
        if cell.metadata.nbgrader.solution:
            cell.source = build.solved(cell.source)
    files = FOLDER / "planted" / name
    steps.run(answered, made, workers, files if files.is_dir() else tmp_path, build.settings(FOLDER)["limits"])
    assert points_of(answered) == {q: p for q, (p, by_test) in build.points(made).items() if by_test}


def test_ablations_that_the_text_of_d_names_are_settings():
    cells = {cell.metadata.get("hrem", {}).get("given"): cell.source for cell in source("D").cells}
    names = {}
    exec(cells["setup"] + "\n" + cells["helper"], names)
    (text,) = [cell.source for cell in source("D").cells if "Choose **one** setting" in cell.source]
    changes = [json.loads(found) for found in re.findall(r"`(\{.*?\})`", text)]
    assert len(changes) >= 5
    base = names["config"].preset("sample").override(names["SMALL"])
    for change in changes:
        assert names["config"].preset("sample").override({**names["SMALL"], **change}) != base


# ---- the parts


FUNCTIONS = """
import torch
count = [0]
def f(x, y=1):
    count[0] += 1
    return {"a": x + y, "n": count[0]}
def g():
    raise ValueError("no")
def h():
    raise NotImplementedError
z = object()
"""


def test_session_survives_and_forgets(workers, tmp_path):
    import numpy as np
    import torch

    with sandbox.Session(workers, tmp_path, LIMITS) as session:

        def error(source):
            return session.run(source)["error"]

        assert error(FUNCTIONS) is None
        f = session.get("f")
        assert torch.equal(f(torch.ones(2), y=2)["a"], torch.full((2,), 3.0))
        assert f(np.int64(3))["n"] == 1  # every call is a fork: nothing is left of the first
        assert error("1/0") == ["ZeroDivisionError", "division by zero"]
        assert error("import os\nos._exit(3)") == ["Crash", "the process ended"]
        assert session.starts == 2 and session.get("f")(1)["a"] == 2  # started again, without that cell
        assert error("try:\n    while True: pass\nexcept Exception:\n    pass")[0] == "Overtime"
        with pytest.raises(sandbox.StudentError, match="no") as caught:
            session.get("g")()
        assert caught.value.kind == "ValueError"
        for name in ("h", "nobody"):
            with pytest.raises(NotImplementedError):
                session.get(name)()
        with pytest.raises(sandbox.StudentError, match="object is no number"):
            session.get("z")["key"]
        assert "not allowed" in error("import os\nopen('mine', 'wb').write(b'x')\nos.fork()")[1]
        drawn = session.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
        (picture,) = drawn["outputs"]
        assert drawn["error"] is None and picture.data["image/png"].startswith("iVBOR")


def test_overtime_and_crashes_of_a_call(workers, tmp_path):
    with sandbox.Session(workers, tmp_path, LIMITS) as session:
        session.run(
            "import os, ctypes\ndef f(x):\n    while x == 0: pass\n    return ctypes.string_at(0) if x == 1 else x"
        )
        f = session.get("f")
        with pytest.raises(sandbox.StudentError, match="more than 1 seconds of processor time"):
            f(0)
        with pytest.raises(sandbox.StudentError, match="the process ended"):
            f(1)
        assert f(2) == 2 and session.starts == 1
        with pytest.raises(sandbox.StudentError, match="the process ended"):
            f(1)
        with pytest.raises(sandbox.StudentError, match="no more were tried"):
            f(2)


def test_messages_carry_numbers_and_nothing_else():
    import numpy as np
    import torch

    value = {"a": [1, 2.5, None, "x", (True,)], 3: torch.tensor([[1, 2]]), "n": np.array([np.nan, np.inf])}
    back = codec.unpack(json.loads(json.dumps(codec.pack(value))))
    assert (
        torch.equal(back[3], value[3])
        and back["a"] == value["a"]
        and np.array_equal(back["n"], value["n"], equal_nan=True)
    )
    for bad in (object(), lambda: 1, np.array([object()])):
        with pytest.raises(TypeError, match="is no number"):
            codec.pack(bad)


def test_rebuild_takes_answers_and_nothing_else():
    released = source("A")
    for cell in released.cells:
        text = build.stub(cell.source, cell.cell_type == "code")
        cell.source = text if cell.metadata.nbgrader.solution else build.without_hidden(text)
    book = nbformat.from_dict(json.loads(json.dumps(released)))
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in book.cells}
    copy = nbformat.from_dict(json.loads(json.dumps(cells["A1-answer"])))  # Lab copies a cell with its metadata
    copy.source = "mine"
    cells["A1"].source, cells["A2-answer"].source = "6.0", "two"
    own = nbformat.v4.new_code_cell("x = 1", metadata={"hrem": {"given": "setup"}, "nbgrader": {"locked": True}})
    book.cells = [cells["A2-answer"], own, cells["A1-answer"], copy, cells["A1"]]
    made = intake.rebuild(book, released)
    found = {c.metadata.nbgrader.grade_id: c for c in made.cells if "nbgrader" in c.metadata}
    assert list(found) == [c.metadata.nbgrader.grade_id for c in released.cells]
    assert found["A1-answer"].source == "mine" and found["A2-answer"].source == "two"
    assert found["A1"].source == {c.metadata.nbgrader.grade_id: c for c in released.cells}["A1"].source
    (mine,) = [c for c in made.cells if "nbgrader" not in c.metadata]
    assert (
        mine.source == "x = 1"
        and mine.metadata == {}
        and made.cells.index(mine) == made.cells.index(found["A2-answer"]) + 1
    )


def test_faults_of_a_teacher_are_told_in_a_sentence(course, tmp_path):
    stray = course / "source" / "B" / "old_solution.txt"
    stray.write_text("def f(): ...")
    done = run(course, ("grade", "E", "x"), ("grade", "A", str(tmp_path / "no")), ("release", "B"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "got 'E', wanted one of A, B, C, D\n" in done.stderr and "not a folder" in done.stderr
    assert "old_solution.txt" in done.stderr and not (course / "release" / "B").exists()  # nothing stray goes out
    stray.unlink()
    command(course, ("release", "B"))


def test_generated_folders_are_no_part_of_git_nor_of_the_tests(course):
    names = [
        f"notebooks/assignments/{n}"
        for n in (*(f"{g}/x" for g in GENERATED), "gradebook.db", "marks-A.csv", "source/A/a.ipynb")
    ]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == names
    root = course.parent.parent  # a repository with this folder, after a whole cycle
    shutil.copy(ROOT / "conftest.py", root)
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "tests").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests" / "nbval_sanitize.cfg", root / "tests")
    cell = nbformat.v4.new_code_cell("1")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), course.parent / "00_lesson.ipynb")
    assert len(list(course.rglob("*.ipynb"))) > 8
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", "notebooks/"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(collected) == 1 and fnmatch.fnmatch(collected[0], "*00_lesson.ipynb::*"), done.stdout + done.stderr


def test_readme_tells_the_points():
    for name in NAMES:
        found = build.points(source(name))
        tests, person = (sum(p for p, by_test in found.values() if by_test is kind) for kind in (True, False))
        assert re.search(rf"^\| {name} \| \[[^|]+\|[^|]+\| {tests} \| {person} \| \d to \d \|$", README, re.MULTILINE)
        assert f"**Points** {tests + person} ({tests} by tests, {person} by a person)" in SOURCES[name].read_text()
