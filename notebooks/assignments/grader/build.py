"""Make the nbgrader source notebooks of the assignments from `source/NAME/*.py` and the course's seed.

A source is a Python file with `# %%` cells (jupytext's percent format, as for the lessons). What a cell is stands in
its first line:

    # %% numbers=true                run here, in no notebook: sets the values for {{...}}
    # %% [markdown]                  text
    # %% given="setup"               code that students get; "setup" cells run in the grader, too
    # %% given="..." skip=true       code that is not run again in grading (long training)
    # %% answer="A1"                 a student's code; its solution between ### BEGIN SOLUTION and ### END SOLUTION
    # %% test="A1" points=6          marks, with hidden parts between ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS
    # %% [markdown] manual="A7" points=4     a person marks it; a model answer stands between the solution marks
    # %% [markdown] rubric="A7"      in no notebook: goes into rubrics/NAME.md with the model answer
    # %% premise="A7"                in no notebook: asserts what the question takes for granted, with the data and the
                                     solutions of the cells above; its `found` is there for {{...}} in the cells below

`{{expression}}` is replaced by its value. The numbers cell has `np`, `torch`, `rng`, `data_seed` (students may see it)
and `hidden_seed` (only in hidden tests). The seeds follow from `course_seed` by SHA-256, one for each assignment. Where
a premise does not hold, the next data seed is taken; the same `course_seed` always gives the same assignment.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
import re
import tomllib
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import torch
from hrem_lib.errors import UserError

COURSE = Path(__file__).resolve().parent.parent
MARK = re.compile(r"\{\{(.+?)\}\}")
SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION\n?", re.DOTALL | re.MULTILINE)
BEGIN = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION\n?", re.DOTALL | re.MULTILINE)
TRIES = 10  # data seeds
HIDDEN = re.compile(r"^ *### BEGIN HIDDEN TESTS\n.*?^ *### END HIDDEN TESTS\n?", re.DOTALL | re.MULTILINE)


def settings(course: Path) -> dict:
    """`course.toml` of a course folder."""
    return tomllib.loads((course / "course.toml").read_text(encoding="utf-8"))


def weak(course: Path) -> bool:
    """Whether course.toml allows grading where students' code can't be locked in."""
    jail = settings(course).get("jail", "strong")
    if jail not in ("strong", "weak"):
        raise UserError(f'{course / "course.toml"}: got jail = {jail!r}, wanted "strong" or "weak"')
    return jail == "weak"


def seed_of(course_seed: str, assignment: str, use: str) -> int:
    """A seed below 2^63, too many to be tried; nobody gets from one use's seed to another's."""
    digest = hashlib.sha256(f"{course_seed}|{assignment}|{use}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def assignments(course: Path) -> dict[str, Path]:
    """Source of each assignment by name ("A", "B", ...)."""
    return {path.parent.name: path for path in sorted((course / "source").glob("*/[!_]*.py"))}


def notebook(source: Path, course_seed: str) -> tuple[nbformat.NotebookNode, str]:
    """The nbgrader source notebook of an assignment (with solutions and hidden tests), and its rubrics as Markdown.

    Raises:
        UserError: a premise of a question holds for no data seed.
    """
    return copy.deepcopy(_notebook(source.read_text(encoding="utf-8"), source.parent.name, course_seed))


@functools.cache
def _notebook(text: str, name: str, course_seed: str) -> tuple[nbformat.NotebookNode, str]:
    failed = None
    for attempt in range(TRIES):
        try:
            return _attempt(text, name, course_seed, f"data {attempt}" if attempt else "data")
        except AssertionError as error:
            failed = error
    raise UserError(f"assignment {name}: {failed}, for {TRIES} data seeds; change the task or the course_seed")


def _attempt(text: str, name: str, course_seed: str, data: str) -> tuple[nbformat.NotebookNode, str]:
    data_seed, hidden_seed = (seed_of(course_seed, name, use) for use in (data, "hidden"))
    numbers: dict[str, Any] = {"np": np, "torch": torch, "data_seed": data_seed, "hidden_seed": hidden_seed}
    numbers["rng"] = np.random.default_rng(seed_of(course_seed, name, "numbers"))
    cells, rubrics, models = [], [f"# Rubrics of assignment {name}"], {}
    for place, cell in enumerate(jupytext.reads(text, fmt="py:percent").cells):
        meta = cell.metadata
        if "numbers" in meta:
            exec(cell.source, numbers)
            continue
        code = cell.cell_type == "code"
        if "premise" in meta:
            numbers["found"] = _found(cells, cell.source)
            continue
        text = MARK.sub(lambda found: _shown(eval(found[1], numbers), code), cell.source)  # noqa: B023
        if "rubric" in meta:
            rubrics.append(f"{text}\n\n**Model answer**\n\n{models.get(meta['rubric'], '')}")
            continue
        new = nbformat.v4.new_code_cell if code else nbformat.v4.new_markdown_cell
        made, label = new(text, id=f"{name.lower()}{place:03d}"), f"{name.lower()}{place:03d}"
        grade = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3}
        if "answer" in meta:
            label, grade = f"{meta['answer']}-answer", {**grade, "solution": True, "locked": False}
        elif "test" in meta:
            label, grade = meta["test"], {**grade, "grade": True, "points": meta["points"]}
        elif "manual" in meta:
            label = meta["manual"]
            grade = {**grade, "grade": True, "solution": True, "locked": False, "points": meta["points"]}
            models[label] = "".join(SOLUTION.findall(text)).strip()
        made.metadata["nbgrader"] = {**grade, "grade_id": label, "cell_type": made.cell_type}
        made.metadata["hrem"] = {key: meta[key] for key in ("given", "skip") if key in meta}
        if not made.metadata["hrem"]:
            del made.metadata["hrem"]
        cells.append(made)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    return book, "\n\n".join(rubrics) + "\n"


def _found(cells: list, premise: str) -> dict:
    """What a premise found, run behind the course's cells with the solutions in them."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            grade = cell.metadata.nbgrader
            if cell.cell_type == "code" and (grade.solution or not grade.grade):
                exec(solved(cell.source), names)
        exec(premise, names)
    return names["found"]


def _shown(value: Any, code: bool) -> str:
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        value = value.tolist()
    return repr(value) if code or not isinstance(value, str) else value


def points(book: nbformat.NotebookNode) -> dict[str, tuple[float, bool]]:
    """Points of each question, and whether a test marks it (else a person does)."""
    grades = [cell.metadata.nbgrader for cell in book.cells if cell.metadata.nbgrader.grade]
    return {grade.grade_id: (grade.points, not grade.solution) for grade in grades}


def without_hidden(text: str) -> str:
    """A test cell as students get it."""
    return HIDDEN.sub("", text).rstrip("\n")


def stub(text: str, code: bool) -> str:
    """An answer cell as students get it: inside a function a NotImplementedError, at the top of a cell nothing."""

    def instead(found: re.Match) -> str:
        if not code:
            return "*Your answer here.*\n"
        return f"{found[1]}raise NotImplementedError\n" if found[1] else ""

    return BEGIN.sub(instead, text).rstrip("\n")


def solved(text: str) -> str:
    """An answer cell with its solution and without the marks."""
    return SOLUTION.sub(lambda found: found[1], text).rstrip("\n")
