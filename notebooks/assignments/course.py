"""The course's commands; `make release` and `make grade` in the project's Makefile call them.

python course.py release [A ...]          write the student versions to release/, and a zip of each
python course.py grade A SUBMISSIONS      mark a folder of submissions, or a platform's download; write feedback/,
                                          marks-A.csv, and marks-A-canvas.csv and marks-A-moodle.csv for import
python course.py feedback A [MARKS.csv]   both anew, after a person has marked the rest (in formgrader, or in a
                                          table with the columns student, question, points, comment)
python course.py similar A                pairs of submissions with equal answers
python course.py points                   the questions and points of all assignments
python course.py check [A ...]            the solution gets all points, the version of the students none, premises hold
python course.py rerun D STUDENT          train a run of a student's runs.json again (--run 2: the second one)
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# nbgrader calls `alembic` by its name
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

warnings.filterwarnings("ignore", "Object of type <Submitted")  # nbgrader with SQLAlchemy 2.1; harmless
warnings.filterwarnings("ignore", "Non-unique cell id")  # of a copied cell; `intake.rebuild` numbers them anew

import nbformat  # noqa: E402
from grader import build, intake, jail, marks, roster, sandbox, steps  # noqa: E402
from grader import similar as alike  # noqa: E402
from hrem_lib.errors import UserError  # noqa: E402
from hrem_lib.files import read_json, write_bytes, write_json  # noqa: E402
from nbgrader.api import Gradebook, MissingEntry  # noqa: E402
from nbgrader.apps import NbGraderAPI  # noqa: E402
from nbgrader.coursedir import CourseDirectory  # noqa: E402
from traitlets.config import PyFileConfigLoader  # noqa: E402


def api() -> NbGraderAPI:
    """nbgrader with this folder's settings."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(HERE)).load_config()
    made = NbGraderAPI(CourseDirectory(config=config), config=config)
    made.log.setLevel("ERROR")
    return made


def _source(name: str) -> Path:
    known = build.assignments(HERE)
    if name not in known:
        raise UserError(f"assignment: got {name!r}, wanted one of {', '.join(known)}")
    return known[name]


def _done(result: dict, what: str) -> None:
    if not result["success"]:
        raise RuntimeError(f"{what}: {result.get('error', '')}\n{result.get('log', '')}")


def release(names: list[str]) -> None:
    """Source notebooks, release/NAME/ with what students get, release/NAME.zip, rubrics/NAME.md."""
    course = build.settings(HERE)
    for name in names or list(build.assignments(HERE)):
        source = _source(name)
        book, rubric = build.notebook(source, course["course_seed"])
        nbformat.write(book, source.with_suffix(".ipynb"))
        (HERE / "rubrics").mkdir(exist_ok=True)
        (HERE / "rubrics" / f"{name}.md").write_text(rubric, encoding="utf-8")
        shutil.rmtree(HERE / "release" / name, ignore_errors=True)
        _done(api().generate_assignment(name), f"release of {name}")
        folder = HERE / "release" / name
        shutil.copy(HERE / "STUDENTS.md", folder / "README.md")
        written = {path.name for path in folder.rglob("*")}
        wanted = {f"{source.stem}.ipynb", "README.md"}
        if written != wanted:  # a solution left lying in source/ must not go out
            shutil.rmtree(folder)
            raise UserError(f"source/{name}: got {sorted(written)} in the release, wanted {sorted(wanted)}")
        with zipfile.ZipFile(HERE / "release" / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{name}/{path.name}")
        print(f"release/{name}.zip: {' '.join(sorted(written))}", flush=True)
    if course["course_seed"] == "change me":
        print("course.toml still has the public course_seed: everybody can make these hidden tests.")


def grade(name: str, inbox: Path) -> list[dict]:
    """Mark what was handed in; returns the rows of the table of marks."""
    source = _source(name)
    released = HERE / "release" / name / f"{source.stem}.ipynb"
    if not released.is_file():
        raise UserError(f"{released.name}: not released yet, wanted `make release` first")
    course, weak = build.settings(HERE), build.weak(HERE)
    people, kept = roster.read(HERE / "roster.csv"), records(name)
    limits = course["inbox"] | {"file_mb": course["limits"]["file_mb"]}
    grader = api()
    with sandbox.Workers(HERE, weak) as workers:
        if weak:
            print(jail.WEAK, file=sys.stderr, flush=True)
        found, nobody = intake.collect(inbox, name, HERE / "release", HERE / "submitted", limits, people)
        if not found:
            raise UserError(f"{inbox}: got no submission, wanted folders, .zip or .ipynb files named after students")
        steps.shared["workers"] = workers
        try:
            for student, record in found.items():
                result = grader.autograde(name, student)
                if not result["success"]:  # a fault of ours with one submission: say so, go on with the others
                    record["staff"].append("not graded, please look at grade.log")
                    record["graded"] = False
                    with open(HERE / "grade.log", "a", encoding="utf-8") as log:
                        log.write(f"{name} {student}\n{result.get('log', '')}\n{result.get('error', '')}\n")
                notes = "; ".join([*record["note"], *record["staff"]])
                print(f"{name} {student}{': ' + notes if notes else ''}", flush=True)
        finally:
            del steps.shared["workers"]
            write_json(HERE / f"notes-{name}.json", kept | found)
    if nobody:
        print(f"nobody's, left out: {', '.join(nobody)}")
    return feedback(name)


def records(name: str) -> dict[str, dict]:
    """What collecting and grading noted of each student (notes-NAME.json); see `intake.collect`."""
    path = HERE / f"notes-{name}.json"
    return read_json(path) if path.exists() else {}


def feedback(name: str) -> list[dict]:
    """feedback/STUDENT/NAME/*.html for all graded students, and the tables of marks; returns the rows for people."""
    source = _source(name)
    if not any((HERE / "autograded").glob(f"*/{name}/*.ipynb")):
        raise UserError(f"assignment {name}: nothing is graded yet, wanted `make grade` first (see grade.log)")
    people, noted = roster.read(HERE / "roster.csv"), records(name)
    _done(api().generate_feedback(name), f"feedback of {name}")
    for student, record in noted.items():
        folder = HERE / "feedback" / student / name
        for path in (
            folder.iterdir() if folder.is_dir() else ()
        ):  # nbgrader copies a student's own files there, pages too
            if path.name != f"{source.stem}.html":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if record["note"] and folder.is_dir():
            write_bytes(folder / "notes.txt", "".join(f"{note}\n" for note in record["note"]).encode("utf-8"))
    questions = build.points(nbformat.read(source.with_suffix(".ipynb"), as_version=4))
    with Gradebook(api().coursedir.db_url) as book:
        rows = marks.rows(book, name, questions, noted, people)
    marks.write(HERE, name, rows, noted, people)
    return rows


def enter(name: str, table: Path) -> None:
    """Enter a person's marks from a table with the columns student, question, points, comment."""
    with open(table, newline="", encoding="utf-8-sig") as file, Gradebook(api().coursedir.db_url) as book:
        notebook = _source(name).stem
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                student, question, points = row["student"], row["question"], float(row["points"])
                grade = book.find_grade(question, notebook, name, student)
            except (KeyError, ValueError, MissingEntry) as error:
                raise UserError(f"{table} line {number}: {error}, wanted student, question, points, comment") from None
            if not 0 <= points <= grade.max_score:
                raise UserError(f"{table} line {number}: got {points:g} points, wanted 0 to {grade.max_score:g}")
            grade.manual_score, grade.needs_manual_grade = points, False
            book.find_comment(question, notebook, name, student).manual_comment = row.get("comment") or None
        book.db.commit()


def similar(name: str) -> None:
    """Print pairs of submissions with equal answers."""
    released = HERE / "release" / name / f"{_source(name).stem}.ipynb"
    found = alike.pairs(HERE / "submitted", nbformat.read(released, as_version=4), released.name, name)
    for one, other, same in found:
        print(f"{one} and {other}: {len(same)} answers the same but for names: {' '.join(same)}")
    print(f"{len(found)} pairs")


def show_points() -> None:
    """Print the questions and points of every assignment."""
    for name, source in build.assignments(HERE).items():
        book, _ = build.notebook(source, build.settings(HERE)["course_seed"])
        found = build.points(book)
        tests, person = (sum(p for p, by_test in found.values() if by_test is kind) for kind in (True, False))
        print(f"{name}: {tests} points by tests, {person} by a person:", *(f"{q} {p}" for q, (p, _) in found.items()))


def check(names: list[str]) -> int:
    """Print a line for each assignment; 1 where a solution loses points, a stub earns some or a premise fails."""
    course, faults = build.settings(HERE), 0
    with sandbox.Workers(HERE, build.weak(HERE)) as workers:
        for name in names or list(build.assignments(HERE)):
            source = _source(name)
            try:
                book, _ = build.notebook(source, course["course_seed"])
            except UserError as error:
                faults += 1
                print(error, flush=True)
                continue
            wanted = {question: points for question, (points, by_test) in build.points(book).items() if by_test}
            solution, stub = (_earned(book, name, solved, workers, course["limits"]) for solved in (True, False))
            wrong = [f"{q}: the solution gets {solution[q]:g} of {p:g}" for q, p in wanted.items() if solution[q] != p]
            wrong += [f"{q}: the version of the students gets {stub[q]:g}" for q in wanted if stub[q]]
            faults += bool(wrong)
            right = f"solution {sum(solution.values()):g} of {sum(wanted.values()):g}, stub 0, premises hold"
            print(f"{name}: {'; '.join(wrong) or right}", flush=True)
    return 1 if faults else 0


def _earned(book: nbformat.NotebookNode, name: str, solved: bool, workers: sandbox.Workers, limits: dict) -> dict:
    """Points of each question that a test marks, for the solution or the version of the students."""
    mine = copy.deepcopy(book)
    for cell in mine.cells:
        if cell.metadata.nbgrader.solution:
            cell.source = build.solved(cell.source) if solved else build.stub(cell.source, cell.cell_type == "code")
    with tempfile.TemporaryDirectory() as empty:
        files = HERE / "planted" / name if solved else Path(empty)
        steps.run(mine, book, workers, files if files.is_dir() else Path(empty), limits)
    earned = {}
    for cell in mine.cells:
        if cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution:
            results = [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"]
            earned[cell.metadata.nbgrader.grade_id] = float(results[0]) if results else 0.0
    return earned


def rerun(name: str, student: str, number: int) -> None:
    """Train one run of a student's runs.json again, with our code only, and say how far its figures are."""
    path = HERE / "submitted" / student / name / "runs.json"
    if not path.is_file():
        raise UserError(f"{student}: no runs.json in submitted/{student}/{name}, wanted a graded submission")
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))
        told = [{k: run[k] for k in ("change", "seed", "dev", "test", "versions")} for run in runs]
        figures = [_figures(run) for run in told]
        fits = all(isinstance(run["change"], dict) and type(run["seed"]) is int for run in told)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path.name} of {student}: not the runs of train_once ({type(error).__name__})") from None
    if not 1 <= number <= len(told):
        raise UserError(f"--run: got {number}, wanted 1 to {len(told)}")
    change, seed = told[number - 1]["change"], told[number - 1]["seed"]
    if not fits or len(change) > 1 or not all(k.startswith(("model.", "graph.", "loss.", "sampling.")) for k in change):
        raise UserError(f"run {number} of {student}: got the change {change}, wanted none or one setting as D5 asks")
    names: dict = {}
    for cell in build.notebook(_source(name), build.settings(HERE)["course_seed"])[0].cells:
        if cell.metadata.get("hrem", {}).get("given") in ("setup", "helper"):
            exec(cell.source, names)
    if "train_once" not in names:
        raise UserError(f"assignment {name}: trains nothing, wanted D")
    again = names["train_once"](change, seed)
    apart = {k: abs(v - figures[number - 1][k]) for k, v in _figures(again).items()}
    told_rsum, rsum = told[number - 1]["dev"]["rSum"], again["dev"]["rSum"]
    print(f"{student}, run {number} ({change or 'base'}, seed {seed}): dev rSum {told_rsum:.1f}, again {rsum:.1f}")
    worst = max(apart, key=lambda k: apart[k])
    if apart[worst] < 0.051:  # figures have one decimal
        print("equal: all 14 figures")
    else:
        print(f"different: {worst} by {apart[worst]:.1f}. Trained with {told[number - 1]['versions']}; see the README.")


def _figures(run: dict) -> dict[str, float]:
    recalls = {
        f"{s} {d} R@{k}": float(run[s][d][f"R@{k}"])
        for s in ("dev", "test")
        for d in ("i2t", "t2i")
        for k in (1, 5, 10)
    }
    return recalls | {f"{s} rSum": float(run[s]["rSum"]) for s in ("dev", "test")}


def main(words: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release").add_argument("names", nargs="*")
    marking = commands.add_parser("grade")
    marking.add_argument("name")
    marking.add_argument("submissions", type=Path)
    second = commands.add_parser("feedback")
    second.add_argument("name")
    second.add_argument("marks", nargs="?", type=Path)
    commands.add_parser("similar").add_argument("name")
    commands.add_parser("points")
    commands.add_parser("check").add_argument("names", nargs="*")
    again = commands.add_parser("rerun")
    again.add_argument("name")
    again.add_argument("student")
    again.add_argument("--run", type=int, default=1)
    args = parser.parse_args(words)
    try:
        if args.command == "release":
            release(args.names)
        elif args.command == "points":
            show_points()
        elif args.command == "check":
            return check(args.names)
        elif args.command == "rerun":
            rerun(args.name, args.student, args.run)
        elif args.command == "similar":
            similar(args.name)
        else:
            if args.command == "feedback" and args.marks:
                roster.read(HERE / "roster.csv")  # a bad one is refused before a mark is entered
                enter(args.name, args.marks)
            rows = grade(args.name, args.submissions) if args.command == "grade" else feedback(args.name)
            for row in rows:
                waiting = f"  to mark: {row['to mark']}" if row["to mark"] else ""
                print(f"{row['student']:<24} tests {row['tests']:g}  person {row['person']:g}{waiting}")
            print(f"marks-{args.name}.csv, the tables for Canvas and Moodle beside it, and feedback/ are written")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
