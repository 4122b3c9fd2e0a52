"""The tables of marks: one for people, and the two that Canvas and Moodle import."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from hrem_lib.files import write_bytes
from nbgrader.api import Gradebook

NOTHING = "nothing handed in"
# the columns that their imports know: Canvas finds a student by a number, Moodle by `Participant` and a number
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
MOODLE = [
    "Identifier",
    "Full name",
    "Email address",
    "Status",
    "Grade",
    "Maximum Grade",
    "Grade can be changed",
    "Last modified (submission)",
    "Last modified (grade)",
    "Feedback comments",
]


def rows(
    book: Gradebook,
    name: str,
    questions: dict[str, tuple[float, bool]],
    records: dict[str, dict],
    people: list[dict[str, str]],
) -> list[dict]:
    """A row for everybody who is graded, was collected or stands on the roster.

    Args:
        book: nbgrader's
        name: of the assignment
        questions: points of each, and whether a test marks it
        records: see `intake.collect`
        people: see `roster.read`
    """
    graded = {submission.student.id: submission for submission in book.assignment_submissions(name)}
    listed = {person["id"]: person for person in people}
    made = []
    for student in sorted({*graded, *records, *listed}):
        record = records.get(student, {})
        grades = {g.name: g for n in graded[student].notebooks for g in n.grades} if student in graded else {}
        scores = {q: grades[q].score if q in grades else 0.0 for q in questions}
        tests, person = (sum(scores[q] for q in questions if questions[q][1] is kind) for kind in (True, False))
        notes = [*record.get("note", ()), *record.get("staff", ())]
        if student not in graded and not record:
            notes = [NOTHING]
        elif student not in graded and record.get("graded", True):
            notes.append("not graded yet")
        elif tests == 0 and record.get("answers", not notes) and record.get("graded", True):  # else a note says why
            notes.append("no test passed")
        made.append(
            {
                "student": student,
                "name": listed.get(student, record).get("name", ""),
                "tests": tests,
                "person": person,
                "total": tests + person,
                "out of": sum(points for points, _ in questions.values()),
                "to mark": " ".join(q for q in questions if q in grades and grades[q].needs_manual_grade),
                **{f"{q} ({points:g})": scores[q] for q, (points, _) in questions.items()},
                "note": "; ".join(notes),
            }
        )
    return made


def write(folder: Path, name: str, made: list[dict], records: dict[str, dict], people: list[dict[str, str]]) -> None:
    """marks-NAME.csv, marks-NAME-canvas.csv and marks-NAME-moodle.csv, each whole or not at all.

    The two for the platforms have a total only where nothing is left to be marked and something was handed in: their
    import would overwrite, and they have rules of their own for missing work. Moodle's has only those whose number is
    known.
    """
    listed = {person["id"]: person for person in people}
    canvas: list[dict] = [{"Student": "    Points Possible", name: made[0]["out of"]}]
    moodle = []
    for row in made:
        record, person = records.get(row["student"], {}), listed.get(row["student"], {})
        handed_in = row["note"] != NOTHING
        total = row["total"] if handed_in and not row["to mark"] else ""
        canvas.append(
            {
                "Student": row["name"] or row["student"],
                "ID": record.get("canvas_id") or person.get("canvas_id", ""),
                "SIS User ID": person.get("sis_id", ""),
                "SIS Login ID": person.get("login", ""),
                "Section": person.get("section", ""),
                name: total,
            }
        )
        number = record.get("moodle_id") or person.get("moodle_id", "")
        if number:
            moodle.append(
                {
                    "Identifier": f"Participant {number}",
                    "Full name": row["name"],
                    "Email address": person.get("email", ""),
                    "Status": "Submitted for grading" if handed_in else "No submission",
                    "Grade": total,
                    "Maximum Grade": row["out of"],
                    "Grade can be changed": "Yes",
                    "Last modified (submission)": "",
                    "Last modified (grade)": "",
                    "Feedback comments": "; ".join(record.get("note", ())),
                }
            )
    _table(folder / f"marks-{name}.csv", list(made[0]), made)
    _table(folder / f"marks-{name}-canvas.csv", [*CANVAS, name], canvas)
    _table(folder / f"marks-{name}-moodle.csv", MOODLE, moodle)


def _table(path: Path, columns: list[str], made: list[dict]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns)
    table.writeheader()
    table.writerows({column: harmless(cell) for column, cell in row.items()} for row in made)
    write_bytes(path, text.getvalue().encode("utf-8"))


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: names come from students."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
