"""Answers that are the same but for names, comments and layout: where to look, no proof of anything."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import nbformat


def skeleton(code: str) -> str:
    """The code with its names replaced by their order of appearance; "" if it does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested without end
        return ""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        for field in ("id", "arg", "name", "attr"):
            old = getattr(node, field, None)
            if isinstance(old, str) and not isinstance(node, ast.Attribute):
                setattr(node, field, names.setdefault(old, f"n{len(names)}"))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def pairs(
    folder: Path, released: nbformat.NotebookNode, notebook: str, assignment: str
) -> list[tuple[str, str, list[str]]]:
    """Pairs of students with equal answers, most first: (one, other, questions).

    Args:
        folder: nbgrader's `submitted/`
        released: the student version, whose stubs are no answers
        notebook, assignment: names of the file and of its folder
    """
    stubs = {c.metadata.nbgrader.grade_id: skeleton(c.source) for c in released.cells if c.metadata.nbgrader.solution}
    answers: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob(f"*/{assignment}/{notebook}")):
        book = nbformat.read(path, as_version=4)
        answers[path.parent.parent.name] = {
            name: skeleton(cell.source)
            for cell in book.cells
            if cell.cell_type == "code" and (name := cell.metadata.get("nbgrader", {}).get("grade_id")) in stubs
        }
    found = []
    for one, other in itertools.combinations(answers, 2):
        same = [
            name.removesuffix("-answer")
            for name, shape in answers[one].items()
            if shape and shape != stubs[name] and answers[other].get(name) == shape
        ]
        if same:
            found.append((one, other, same))
    return sorted(found, key=lambda row: -len(row[2]))
