"""Make the notebooks from their sources: one `NN_name.py` gives a lesson and its solution notebook.

    python notebooks/source/build.py            all
    python notebooks/source/build.py 03 05      some
    python notebooks/source/build.py --no-run   write the cells without running them

A source is a Python file with `# %%` cells (jupytext's percent format). Tags on a cell:

    exercise   stays in the solution notebook, too. What stands between `# BEGIN SOLUTION` and `# END SOLUTION` is the
               solution; the lesson has `raise NotImplementedError` there (or, with `# BEGIN SOLUTION: text`, that text)
               and the solution notebook folds the cell
    setup      goes into both notebooks
    lesson     (default) is in the lesson only
    solution   is in the solution notebook only

A cell `# %% page="graph"` is the part of that name of examples/hrem_in_two_pages.py, so that the code stands once. What
is there to be learned stays in view: JupyterLab folds the input of a cell that only draws and asserts (`folds`), and in
the solutions edition the solution's code.

A text has its numbers from the cells above it: `{{ recall }}` or `{{ recall:.1f }}` is any expression of the notebook,
formatted as in an f-string. Numbers from elsewhere (the paper, a calculation by hand) are named in the head of their
cell, `quoted="62.5, 81.9: the paper's Table 2"`; a test looks for all others in the outputs.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).resolve().parent
LESSONS, SOLUTIONS = SOURCE.parent, SOURCE.parent / "solutions"
TWO_PAGES = LESSONS.parent / "examples" / "hrem_in_two_pages.py"
FILLED = re.compile(r"\{\{ (.+?) \}\}")
BLOCK = re.compile(r"^( *)# BEGIN SOLUTION(?:: ?([^\n]*))?\n(.*?)^ *# END SOLUTION\n?", re.DOTALL | re.MULTILINE)


def sources() -> list[Path]:
    """All notebook sources, in reading order."""
    return sorted(SOURCE.glob("[0-9][0-9]_*.py"))


def stub(code: str) -> str:
    """A cell's code with every solution taken out."""
    return BLOCK.sub(lambda m: f"{m[1]}{m[2] or 'raise NotImplementedError'}\n", code).rstrip("\n")


def solved(code: str) -> str:
    """A cell's code with the marker lines taken out; its link to the solution leads back to the lesson."""
    code = re.sub(r"\[solution\]\(solutions/(\w+)_solutions\.ipynb\)", r"[lesson](../\1.ipynb)", code)
    return BLOCK.sub(lambda m: m[3], code).rstrip("\n")


def lines(code: str) -> dict[str, int]:
    """How many lines of a cell draw, assert, or do something else; `if` and `for` are what stands in them.

    A statement draws if it is `figure = ...`, a call of `plots`, or a call of or with a figure or axes of this cell.
    """
    counted, made = {"plot": 0, "assert": 0, "other": 0}, {"plots"}

    def names(node: ast.AST) -> list[str]:
        return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]

    def count(statement: ast.AST) -> None:
        inner = [part for part in ast.iter_child_nodes(statement) if isinstance(part, ast.stmt | ast.ExceptHandler)]
        kind = "other"
        if isinstance(statement, ast.For) and made & {*names(statement.iter)}:
            made.update(names(statement.target))  # for ax in axes
        if isinstance(statement, ast.Assert):
            kind = "assert"
        elif isinstance(statement, ast.Assign) and names(statement.targets[0])[:1] == ["figure"]:
            kind = "plot"
            made.update(names(statement.targets[0]))
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            taken = [part for part in statement.value.args if isinstance(part, ast.Name | ast.Subscript)]
            kind = "plot" if made & {name for part in (statement.value.func, *taken) for name in names(part)} else kind
        if not inner:
            counted[kind] += statement.end_lineno - statement.lineno + 1
        elif not isinstance(statement, ast.For | ast.If):
            counted[kind] += 1
        for part in inner:
            count(part)

    for statement in ast.parse(code).body:
        count(statement)
    return counted


def folds(code: str) -> bool:
    """Whether JupyterLab shows a cell's output alone: all that it does is to draw and to assert."""
    found = lines(code)
    return found["other"] == 0 and found["plot"] + found["assert"] > 0


def make(source: Path) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    """The lesson and the solution notebook of a source, not yet run."""
    parsed = jupytext.read(source)
    pages = {cell.metadata["part"]: cell.source for cell in jupytext.read(TWO_PAGES).cells if "part" in cell.metadata}
    lesson, solution = [], []
    for number, cell in enumerate(parsed.cells):
        if "page" in cell.metadata:
            cell.source = pages[cell.metadata["page"]]
        tags = set(cell.metadata.get("tags", []))
        kept = sorted(tags & {"nbval-ignore-output", "raises-exception"})
        for book, text, wanted in (
            (lesson, stub(cell.source), "solution" not in tags),
            (solution, solved(cell.source), tags & {"exercise", "setup", "solution"}),
        ):
            if wanted:
                metadata = {"tags": kept} if kept else {}
                if cell.cell_type == "code" and folds(text):
                    metadata["jupyter"] = {"source_hidden": True}
                new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
                folded = {"jupyter": {"source_hidden": True}} if book is solution and BLOCK.search(cell.source) else {}
                book.append(new(text, metadata=metadata | folded, id=f"c{number:03d}"))
    return _notebook(lesson), _notebook(solution)


def _notebook(cells: list) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def run(book: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a fresh kernel, fill in the texts' numbers; times and kernel details are not kept."""
    os.environ.setdefault("PYTHONHASHSEED", "0")
    cells, asked = book.cells, {}
    book.cells = []
    for cell in cells:
        book.cells.append(cell)
        wanted = FILLED.findall(cell.source) if cell.cell_type == "markdown" else []
        if wanted:  # asked for in a cell of its own, which is not kept
            formatted = ", ".join(f"f'''{{{expression}}}'''" for expression in wanted)
            asked[cell.id] = nbformat.v4.new_code_cell(f"print(*[{formatted}], sep=chr(0))")
            book.cells.append(asked[cell.id])
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    book.cells = cells
    for cell in cells:
        if cell.id in asked:
            values = iter(asked[cell.id].outputs[0].text.rstrip("\n").split(chr(0)))
            cell.source = FILLED.sub(lambda _, values=values: next(values), cell.source)
        cell.metadata.pop("execution", None)
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    book.metadata["language_info"] = {"name": "python"}
    return book


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", help="e.g. 03; default: all")
    parser.add_argument("--no-run", action="store_true")
    args = parser.parse_args()
    for source in sources():
        if args.numbers and source.name[:2] not in args.numbers:
            continue
        for book, folder in zip(make(source), (LESSONS, SOLUTIONS), strict=True):
            folder.mkdir(exist_ok=True)
            if not args.no_run:
                run(book, folder)
            path = folder / f"{source.stem}{'_solutions' if folder == SOLUTIONS else ''}.ipynb"
            nbformat.write(book, path)
            print(path.relative_to(LESSONS), f"{path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
