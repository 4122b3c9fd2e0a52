"""From what students hand in (folders, zips, single notebooks; whole or damaged) to nbgrader's `submitted/`."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import nbformat

KEPT = ("text/plain", "image/png")


def rebuild(submitted: nbformat.NotebookNode, released: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The released notebook with a student's answers and own cells in it.

    Answers are found by their cell's name, wherever they stand; a copied cell (Lab copies the name, too) counts if the
    first one is still the stub. Cells that a student added follow the cell that they stood behind.

    Args:
        submitted: what the student handed in
        released: the version that students got
    """
    book = nbformat.from_dict(json.loads(json.dumps(released)))
    places = {cell.metadata.nbgrader.grade_id: cell for cell in book.cells}
    answered, behind, last = set(), {None: []}, None
    for cell in submitted.cells:
        name = cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")
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
            text = output.get("text", "")
            kept.append(nbformat.v4.new_output("stream", name="stdout", text="".join(text)[:20_000]))
        elif "data" in output:
            data = {kind: "".join(value) for kind, value in output["data"].items() if kind in KEPT}
            kept.append(nbformat.v4.new_output("display_data", data))
    return kept


def collect(inbox: Path, assignment: str, released: Path, submitted: Path, file_mb: int) -> dict[str, str]:
    """Fill `submitted/STUDENT/ASSIGNMENT/` from a folder of submissions.

    A submission is STUDENT.ipynb, STUDENT.zip or a folder STUDENT with the notebook and its files anywhere in it.

    Args:
        inbox: folder of submissions; it is only read
        assignment: e.g. "A"
        released: the released notebook
        submitted: nbgrader's folder
        file_mb: larger files are left out
    Returns:
        note for each student; "" where all was well
    """
    notes = {}
    for entry in sorted(inbox.iterdir()):
        if entry.name.startswith(".") or (entry.is_file() and entry.suffix not in (".zip", ".ipynb")):
            continue
        student = re.sub(r"[^A-Za-z0-9._-]", "_", entry.stem if entry.is_file() else entry.name)
        target = submitted / student / assignment
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            files = _files(entry, file_mb)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            files, notes[student] = {}, f"the zip file is damaged ({type(error).__name__}); "
        notes[student] = notes.get(student, "") + _write(files, released, target)
    return notes


def _files(entry: Path, file_mb: int) -> dict[str, bytes]:
    """Name -> content of a submission's files; folders are flattened down to the notebook's, links left out."""
    largest = file_mb * 2**20
    if entry.suffix == ".ipynb":
        return {entry.name: entry.read_bytes()} if entry.stat().st_size <= largest else {}
    if entry.suffix == ".zip":
        with zipfile.ZipFile(entry) as archive:
            chosen = [i for i in archive.infolist()[:200] if not i.is_dir() and i.file_size <= largest]
            return {info.filename: archive.read(info)[:largest] for info in chosen}
    paths = [p for p in sorted(entry.rglob("*"))[:500] if p.is_file() and not p.is_symlink()]
    return {str(p.relative_to(entry)): p.read_bytes() for p in paths if p.stat().st_size <= largest}


def _write(files: dict[str, bytes], released: Path, target: Path) -> str:
    """Write a submission's notebook under its own name and its other files beside it; says what was wrong."""
    files = {
        name: data
        for name, data in files.items()
        if not any(part.startswith((".", "__MACOSX")) for part in Path(name.replace("\\", "/")).parts)
    }
    books = [name for name in files if name.endswith(".ipynb")]
    named = [name for name in books if Path(name).name == released.name]
    note, empty = "", nbformat.read(released, as_version=4)
    chosen = named[0] if named else books[0] if len(books) == 1 else None
    if chosen is None:
        note = f"got {len(books)} notebooks, wanted {released.name}; marked as empty"
        book = empty
    else:
        try:
            book = nbformat.reads(files[chosen].decode("utf-8"), as_version=4)
            rebuild(book, empty)  # whatever is wrong with its cells shows here
        except Exception as error:  # a damaged file may fail in any way
            note, book = f"the notebook can't be read ({type(error).__name__}); marked as empty", empty
    nbformat.write(book, target / released.name)
    for name, data in files.items():
        plain = Path(name.replace("\\", "/")).name
        if not name.endswith(".ipynb") and plain not in ("README.md",):
            (target / plain).write_bytes(data)
    return note
