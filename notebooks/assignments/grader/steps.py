"""Our steps in nbgrader's chains (`nbgrader_config.py` names them)."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
from pathlib import Path
from typing import Any

import nbformat
from hrem_lib.exercises import grading
from nbgrader import utils
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor

from grader import build, intake, pages, sandbox

shared: dict[str, Any] = {}  # "workers": the `Workers` of a grading run; made anew where nbgrader is called by itself


class ClearAnswers(NbGraderPreprocessor):
    """In place of nbgrader's ClearSolutions: no stub where the cell itself would stop at it."""

    def preprocess_cell(self, cell: nbformat.NotebookNode, resources: dict, index: int) -> tuple:
        """Take the solution out of an answer cell."""
        if utils.is_solution(cell):
            cell.source = build.stub(cell.source, cell.cell_type == "code")
        if "SOLUTION" in cell.source:
            raise ValueError(f"{cell.metadata.nbgrader.grade_id}: marks of a solution outside an answer, or unmatched")
        return cell, resources


class Rebuild(NbGraderPreprocessor):
    """First of all: the released notebook with the student's answers in it (see `intake.rebuild`)."""

    def preprocess(self, nb: nbformat.NotebookNode, resources: dict) -> tuple[nbformat.NotebookNode, dict]:
        """Whatever was deleted, moved, copied or edited outside the answers is as it was."""
        return intake.rebuild(nb, _notebook(self, resources, "release")), resources


class KeepPictures(NbGraderPreprocessor):
    """Before `Rebuild`: pictures that a student pasted into a text cell (see `pages.with_pictures`)."""

    def preprocess_cell(self, cell: nbformat.NotebookNode, resources: dict, index: int) -> tuple:
        """Attached pictures become part of the text."""
        if cell.cell_type == "markdown":
            cell.source = pages.with_pictures(cell.source, cell.get("attachments", {}))
        return cell, resources


class PlainText(NbGraderPreprocessor):
    """After `Rebuild`: no HTML in what a student wrote. The submission itself stays as it came."""

    def preprocess_cell(self, cell: nbformat.NotebookNode, resources: dict, index: int) -> tuple:
        """See `pages.plain_markdown`; the course's own cells are left alone."""
        if cell.cell_type == "markdown" and not cell.metadata.get("nbgrader", {}).get("locked"):
            cell.source = pages.plain_markdown(cell.source)
        return cell, resources


class RunApart(NbGraderPreprocessor):
    """In place of nbgrader's Execute: the student's cells run in a process of their own, the tests here.

    The tests never enter the student's process, so nothing that a submission does can read or change them.
    """

    def preprocess(self, nb: nbformat.NotebookNode, resources: dict) -> tuple[nbformat.NotebookNode, dict]:
        """Fill in the outputs of all cells."""
        about = resources["nbgrader"]
        course = _course(self)
        files = course / "submitted" / about["student"] / about["assignment"]
        limits, source = build.settings(course)["limits"], _notebook(self, resources, "source")
        if "workers" in shared:
            run(nb, source, shared["workers"], files, limits)
        else:
            with sandbox.Workers(course, build.weak(course)) as workers:
                run(nb, source, workers, files, limits)
        return nb, resources


class HideTests(ClearHiddenTests):
    """Take the hidden tests out before feedback is written."""

    enforce_metadata = False


def _course(step: NbGraderPreprocessor) -> Path:
    return Path(step.parent.parent.coursedir.root).resolve()  # step, exporter, converter


def _notebook(step: NbGraderPreprocessor, resources: dict, folder: str) -> nbformat.NotebookNode:
    about = resources["nbgrader"]
    path = _course(step) / folder / about["assignment"] / f"{about['notebook']}.ipynb"
    return nbformat.read(path, as_version=4)


def run(
    nb: nbformat.NotebookNode, source: nbformat.NotebookNode, workers: sandbox.Workers, files: Path, limits: dict
) -> None:
    """Run a notebook's cells and tests, leaving the outputs in it.

    The hidden parts of all tests come after the last cell. A function may write down what it is called with; nothing
    that runs later is shown to the student.

    Args:
        nb: the submission
        source: the course's own notebook: tests and setup are taken from it, never from a submission
        workers: see there
        files: the submission's folder
        limits: table `[limits]` of course.toml
    """
    own = {cell.metadata.nbgrader.grade_id: cell for cell in source.cells}
    given, tests = setup(source), []
    with sandbox.Session(workers, files, limits) as session:
        for cell in nb.cells:
            known = own.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
            if cell.cell_type != "code":
                continue
            if known is not None and utils.is_grade(known) and not utils.is_solution(known):
                test = Test(known.source, given, session)
                session.keep(known.metadata.nbgrader.grade_id)
                tests.append((cell, test, known.metadata.nbgrader.grade_id))
            elif known is None or not known.metadata.get("hrem", {}).get("skip"):
                reply = session.run(cell.source)
                cell.outputs = reply["outputs"]
                if reply["error"]:
                    cell.outputs.append(_text(sentence(reply["error"], limits), "stderr"))
        for cell, test, name in tests:
            cell.outputs = test.finish(name)


def sentence(error: list, limits: dict) -> str:
    """What the feedback says about a cell that stopped."""
    kind, text = error
    if kind == "Late":
        return f"The whole submission may take {limits['wall_seconds']:g} seconds; this cell was not run any more."
    if kind == "Overtime":
        return (
            f"This cell took more than {limits['cell_seconds']:g} seconds of processor time (or slept) and was stopped."
        )
    if kind == "Crash":
        return "This cell ended its process or could not be stopped; the others were run again without it."
    return f"This cell stopped with {kind}: {text}"


def setup(source: nbformat.NotebookNode) -> dict:
    """Names of the course's own setup cells, run here."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in source.cells:
            if cell.metadata.get("hrem", {}).get("given") == "setup":
                exec(compile(cell.source, "setup", "exec"), names)
    return names


class Test:
    """A test cell: its visible parts run here and now, the student's names standing for their process.

    Args:
        source: the course's own cell; its last line is the mark
        given: names of the course's setup
        session: the student's process
    """

    def __init__(self, source: str, given: dict, session: sandbox.Session):
        self.names, self.text, self.error = dict(given), io.StringIO(), None
        whole = ast.parse(source)
        self.mark = whole.body.pop().value
        visible = ast.parse(build.without_hidden(source))
        visible.body.pop()
        self.hidden = ast.parse("\n".join(build.HIDDEN.findall(source)))
        defined, used = set(), set()
        for node in ast.walk(whole):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
            elif isinstance(node, ast.FunctionDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
        self.asked = sorted(used - defined - set(self.names) - set(dir(builtins)))
        for name in self.asked:
            self.names[name] = session.get(name)
        self._do(visible)

    def _do(self, tree: ast.Module) -> None:
        try:
            with contextlib.redirect_stdout(self.text):
                exec(compile(tree, "test", "exec"), self.names)
        except Exception as error:
            self.error = error

    def finish(self, kept: str) -> list:
        """Run the hidden parts and return the cell's outputs, the mark last.

        Args:
            kept: name under which the session keeps the student's process as it was at this test
        """
        for name in self.asked:
            if isinstance(self.names[name], sandbox.Answer):
                self.names[name].at = kept
        self.names["part"] = functools.partial(grading.part, hidden=True)  # says its name only
        if self.error is None:
            self._do(self.hidden)
        if self.error is None:
            with contextlib.redirect_stdout(self.text):
                value = eval(compile(ast.Expression(self.mark), "test", "eval"), self.names)
            result = nbformat.v4.new_output("execute_result", {"text/plain": repr(value)}, execution_count=None)
            return [_text(self.text.getvalue(), "stdout"), result]
        kind = type(self.error).__name__
        said = f"{self.text.getvalue()}The test could not be finished ({kind})."
        return [nbformat.v4.new_output("error", ename=kind, evalue=said, traceback=[said])]


def _text(text: str, name: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)
