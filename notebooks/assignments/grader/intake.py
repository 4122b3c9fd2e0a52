"""From what students hand in to nbgrader's `submitted/`: which notebook counts, and the answers in it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import unicodedata
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from grader import inbox, roster
from grader.codec import readable

KEPT = ("text/plain", "image/png")
DEFINED = re.compile(r"^(?:async )?def (\w+)", re.MULTILINE)
AGAIN = re.compile(r"-\d+(\.[^.]+)$")  # what Canvas puts before the suffix when a file is handed in again
EMPTY = "marked as empty"  # the last words of a note where the released notebook stands for a submission
DATA = tuple(f".{kind}" for kind in "json jsonl csv tsv txt md py toml yaml npy npz png jpg jpeg".split())
TAKEN = "timestamp.txt"  # nbgrader reads the time of handing in from it
LONGEST_NAME = 200  # bytes of a file's name; systems allow 255


def rebuild(submitted: nbformat.NotebookNode, released: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The released notebook with a student's answers and own cells in it.

    Answers are found by their cell's name, wherever they stand; a copied cell (Lab copies the name, too) counts if the
    first one is still the stub. Cells that a student added follow the cell that they stood behind.

    Args:
        submitted: what the student handed in
        released: the version that students got
    """
    book: Any = nbformat.from_dict(json.loads(json.dumps(released)))
    places = {cell.metadata.nbgrader.grade_id: cell for cell in book.cells}
    behind: dict[str | None, list] = {None: []}
    answered, last = set(), None
    for cell in submitted.cells:
        name = _label(cell)
        source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
        if name in places:
            place, last = places[name], name
            if place.metadata.nbgrader.solution and cell.cell_type == place.cell_type:
                if name not in answered and source.strip() != place.source.strip():
                    answered.add(name)
                    place.source = source
                elif name in answered and source.strip() not in (place.source.strip(), ""):
                    behind.setdefault(last, []).append(_own(cell.cell_type, source))
            if "outputs" in place and place.metadata.get("hrem", {}).get("skip"):
                place.outputs = plain(cell.get("outputs", []))  # not run again: what the student's machine gave
        elif cell.cell_type in ("code", "markdown"):
            behind.setdefault(last, []).append(_own(cell.cell_type, source))
    cells = list(behind[None])
    for cell in book.cells:
        cells += [cell, *behind.get(cell.metadata.nbgrader.grade_id, [])]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number:03d}"
    book.cells = cells
    return book


def _own(kind: str, source: str) -> nbformat.NotebookNode:
    """A student's own cell, without its metadata."""
    return nbformat.v4.new_code_cell(source) if kind == "code" else nbformat.v4.new_markdown_cell(source)


def plain(outputs: list) -> list:
    """Outputs as text and pictures: no script of a student runs in the instructor's browser."""
    kept = []
    for output in outputs[:20]:
        if output.get("output_type") == "stream":
            text = readable("".join(output.get("text", ""))[:20_000])
            kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        elif "data" in output:
            data = {"text/plain": readable("".join(output["data"].get("text/plain", ""))[:20_000])}
            picture = _png("".join(output["data"].get("image/png", "")))
            kept.append(nbformat.v4.new_output("display_data", data | ({"image/png": picture} if picture else {})))
    return kept


def _png(text: str) -> str:
    """A picture as base64 and nothing else; a page puts it between quotes."""
    try:
        data = base64.b64decode(text)
    except ValueError:
        return ""
    return base64.b64encode(data).decode() if data.startswith(b"\x89PNG\r\n") else ""


def relabel(book: nbformat.NotebookNode, released: nbformat.NotebookNode) -> str:
    """Give cells back the names that a tool dropped with their metadata (Colab, converters), where answers lost theirs.

    A cell is known by its id, by its text (cells that are no answers), by the function that it defines, or by its place
    between known cells.

    Args:
        book: what a student handed in; the found cells get their names
        released: the version that students got
    Returns:
        a note; "" where no answer had lost its name
    """
    places = [cell.metadata.nbgrader.grade_id for cell in released.cells]
    wanted = dict(zip(places, released.cells, strict=True))
    names = [name if (name := _label(cell)) in wanted else None for cell in book.cells]
    lost = [n for n in places if n not in names]
    if not any(wanted[name].metadata.nbgrader.solution for name in lost):
        return ""
    ways: dict[str, int] = {}

    def take(name: str, fitting: list[int], way: str) -> None:
        """Of the fitting cells the first that is not the stub; a later one is the student's own, as in `rebuild`."""
        stub, answer = wanted[name].source.strip(), wanted[name].metadata.nbgrader.solution
        free = [i for i in fitting if names[i] is None and book.cells[i].cell_type == wanted[name].cell_type]
        if free:
            place = next((i for i in free if book.cells[i].source.strip() != stub), free[0]) if answer else free[0]
            names[place] = name
            lost.remove(name)
            ways[way] = ways.get(way, 0) + bool(answer)

    for name in list(lost):
        take(name, [i for i, cell in enumerate(book.cells) if cell.get("id") == wanted[name].get("id")], "cell id")
    for name in list(lost):
        cell = wanted[name]
        if not cell.metadata.nbgrader.solution:
            take(name, [i for i, c in enumerate(book.cells) if c.source.strip() == cell.source.strip()], "text")
    for name in list(lost):
        functions = set(DEFINED.findall(wanted[name].source))
        if functions and wanted[name].metadata.nbgrader.solution:
            own = [i for i, c in enumerate(book.cells) if functions & set(DEFINED.findall(c.source))]
            take(name, own, "function name")
    for name in list(lost):
        if wanted[name].metadata.nbgrader.solution:
            number = places.index(name)
            before = [names.index(n) for n in places[:number] if n in names]
            behind = [names.index(n) for n in places[number + 1 :] if n in names]
            if before and (behind or number + 1 == len(places)):
                take(name, list(range(before[-1] + 1, behind[0] if behind else len(names))), "place")
    for cell, name in zip(book.cells, names, strict=True):
        if name is not None:
            cell.metadata["nbgrader"] = nbformat.from_dict(dict(wanted[name].metadata.nbgrader))
    found = [way for way, answers in ways.items() if answers]
    return f"cells had lost their marks; answers were found by {', '.join(found)}" if found else ""


def _label(cell: nbformat.NotebookNode) -> str | None:
    """A cell's name in nbgrader's metadata."""
    marks = cell.get("metadata", {}).get("nbgrader")
    return marks.get("grade_id") if isinstance(marks, dict) else None


def answered(book: nbformat.NotebookNode, released: nbformat.NotebookNode) -> int:
    """How many answers of a rebuilt notebook are not the stub any more."""
    stubs = {c.metadata.nbgrader.grade_id: c.source.strip() for c in released.cells if c.metadata.nbgrader.solution}
    return sum(_label(cell) in stubs and cell.source.strip() != stubs[_label(cell)] for cell in book.cells)


@dataclass
class Book:
    """A notebook of a submission: its path, whose it is, its text for nbgrader, and how far it fits."""

    path: str
    handed: inbox.Handed
    text: bytes
    answers: int
    known: int
    named: bool
    time: float
    note: str


def _book(item: inbox.Item, data: bytes, handed: inbox.Handed, released: nbformat.NotebookNode, name: str) -> Book:
    """Read a notebook; whatever is wrong with it shows here (any error)."""
    book: Any = nbformat.reads(data.decode("utf-8-sig"), as_version=4)
    book.cells = [cell for cell in book.cells if cell.get("cell_type") in ("code", "markdown", "raw")]
    note = relabel(book, released)
    known = len({_label(cell) for cell in book.cells} & {_label(cell) for cell in released.cells})
    answers = answered(rebuild(book, released), released)
    text = nbformat.writes(book).encode("utf-8")
    return Book(item.path, handed, text, answers, known, item.path.split("/")[-1] == name, item.time, note)


def collect(
    box: Path, assignment: str, release: Path, submitted: Path, limits: dict, people: list[dict[str, str]]
) -> tuple[dict[str, dict], list[str]]:
    """Fill `submitted/STUDENT/ASSIGNMENT/` from what a platform or a folder hands over.

    Args:
        box: see `inbox.read`; it is only read
        assignment: e.g. "A"
        release: nbgrader's folder of released notebooks
        submitted: nbgrader's folder
        limits: see `inbox.contents`
        people: see `roster.read`
    Returns:
        for each student a record: `note` and `staff` (sentences for the student, and for the course's people only),
        `name`, `answers`, and the platform's number; and the entries of the inbox that are nobody's
    Raises:
        UserError: the inbox can't be read at all
    """
    students, nobody = _students(inbox.read(box), people)
    books = {path.parent.name: path for path in sorted(release.glob("*/*.ipynb"))}
    others = {name: nbformat.read(path, as_version=4) for name, path in books.items()}
    released = others.pop(assignment)
    for student, record in students.items():
        target = submitted / student / assignment
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _collect_one(record, books[assignment].name, released, others, target, limits)
    return students, nobody


def _students(found: list[inbox.Handed], people: list[dict[str, str]]) -> tuple[dict[str, dict], list[str]]:
    """Records with what each student handed in under `handed`; names of entries that are nobody's."""
    students: dict[str, dict] = {}
    nobody, spelled = [], {}
    for handed in found:
        person = roster.find(people, handed.name, handed.key)
        if not handed.sure and person is None:
            nobody += handed.entries
            continue
        staff = [] if person or not people else ["not on the roster"]
        name = handed.name if not handed.key else f"{handed.name}_{handed.key[1]}".lstrip("_")
        student = person["id"] if person else roster.student_id(name)
        other = spelled.setdefault(student.casefold(), student)
        if other != student:  # one folder where a system does not tell capital letters
            student = f"{student[: roster.LONGEST - 9]}-{roster.short(student)}"
            staff.append(f"its name differs from {other}'s in capital letters only: perhaps one student")
        shown = person["name"] if person else inbox.plain(unicodedata.normalize("NFC", handed.name))
        record = students.setdefault(student, {"name": shown, "note": [], "staff": [], "handed": []})
        record["handed"].append(handed)
        record["staff"] += [note for note in staff if note not in record["staff"]]
        if handed.key:
            record[handed.key[0]] = handed.key[1]
    return students, nobody


def _collect_one(
    record: dict, name: str, released: nbformat.NotebookNode, others: dict, target: Path, limits: dict
) -> None:
    """Write one student's notebook and files; the record's `handed` becomes notes."""
    every: list[inbox.Handed] = record.pop("handed")
    notes, books, files = record["note"], [], {}
    for handed in every:
        files[id(handed)] = inbox.contents(handed, limits)
        for item, data in files[id(handed)]:
            if item.path.lower().endswith(".ipynb"):
                args = (item, data, handed, released, name)
                book = inbox.attempt(item.path, handed.notes, partial(_book, *args))
                books += [book] if book else []
        notes += handed.notes
    books.sort(key=lambda book: (book.answers, book.known, book.named, book.time), reverse=True)
    chosen = books[0] if books else None
    every.sort(key=lambda handed: not chosen or handed is not chosen.handed)  # what came with the notebook first
    if len(every) > 1:
        came = ", ".join(entry for handed in every[1:] for entry in handed.entries)
        notes.append(f"handed in more than once: {', '.join(every[0].entries)} goes before {came}")
    if chosen and len(books) > 1:
        left = inbox.some([f"{book.path} ({book.answers})" for book in books[1:]])
        notes.append(f"took {chosen.path} ({chosen.answers} answers), not {left}")
    if chosen is None:
        got = "a notebook that can't be read" if any(".ipynb" in note for note in notes) else "no notebook"
        notes.append(f"got {got}, wanted {name}; {EMPTY}")
    elif chosen.answers == 0:
        notes.append(_why_empty(chosen, others))
    elif chosen.note:
        notes.append(chosen.note)
    record["answers"] = chosen.answers if chosen else 0
    emptied = bool(notes) and notes[-1].endswith(EMPTY)
    (target / name).write_bytes(chosen.text if chosen and not emptied else nbformat.writes(released).encode("utf-8"))
    notes += _write_files([file for handed in every for file in files[id(handed)]], target)


def _why_empty(book: Book, others: dict) -> str:
    """Why a notebook has no answer of this assignment: another assignment's, something else, or nothing written."""
    for other, released in others.items():
        known: Any = nbformat.reads(book.text.decode("utf-8"), as_version=4)
        relabel(known, released)
        if len({_label(c) for c in known.cells} & {_label(c) for c in released.cells}) > book.known:
            return f"{book.path} is {other}'s notebook; {EMPTY}"
    if book.known == 0:
        return f"{book.path} has no cell of this assignment; {EMPTY}"
    return "nothing is answered"


def _write_files(files: list[tuple[inbox.Item, bytes]], target: Path) -> list[str]:
    """The other files, beside the notebook; Canvas' `runs-1.json` of a second try also as `runs.json`.

    Only data: formgrader hands these files to a browser, which would run the scripts of a page or a drawing.
    """
    left, wanted = [], {}
    for item, data in files:
        name = item.path.split("/")[-1]
        if name.lower().endswith(".ipynb") or name == "README.md":  # README.md: the page that we gave out
            continue
        fits = name.lower().endswith(DATA) and len(name.encode()) <= LONGEST_NAME
        if name in wanted or name == TAKEN or not fits:
            left.append(item.path if len(item.path) <= 80 else f"{item.path[:80]}...")
        else:
            wanted[name] = data
    for name, data in list(wanted.items()):
        if AGAIN.sub(r"\1", name) != TAKEN:
            wanted.setdefault(AGAIN.sub(r"\1", name), data)
    for name, data in wanted.items():
        (target / name).write_bytes(data)
    return [f"files left out (no data, or a name twice, too long or taken): {inbox.some(left)}"] if left else []
