"""Every exercise has its line, three folded hints and a solution in one form; no hint gives the answer away."""

import contextlib
import io
import re
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
from ladder_fills import FILLS

pytest.importorskip("jupytext")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS / "source"))
import build  # noqa: E402  # it lies beside the lessons

LEVELS = r"(easy|medium|hard) · Importance: (low|medium|high) · Minutes: \d+"
HINT = re.compile(r"<details><summary>Hint (\d): (\w+)</summary>\n\n(.*?)\n</details>(?:\n\n|$)", re.DOTALL)
WORDS = ["**Idea**: ", "**Usual mistake**: ", "**Cost**: "]


def exercises():
    """Source, name and cells of every exercise; the cells up to the next one, in the lesson and in the solutions."""
    for source in build.sources():
        books = []
        for book in build.make(source):
            books.append({})
            for cell in book.cells:
                if heading := re.match(r"### Exercise (\d\d[a-z])(?: \(optional\))?: \S", cell.source):
                    assert heading[1] not in books[-1]
                    books[-1][heading[1]] = []
                elif re.match(r"#{1,3} ", cell.source) and cell.cell_type == "markdown":
                    books[-1][""] = []  # another section
                if books[-1]:
                    list(books[-1].values())[-1].append(cell)
        for name in books[0]:
            if name:
                yield source, name, books[0][name], books[1].get(name, [])


ALL = list(exercises())
each = pytest.mark.parametrize(("source", "name", "lesson", "solution"), ALL, ids=[name for _, name, *_ in ALL])


def hints(lesson):
    """The three hints: their names and texts."""
    (ladder,) = [cell.source for cell in lesson if "<summary>Hint 1" in cell.source]
    assert not HINT.sub("", ladder).strip(), "a ladder is a cell of its own, in one form"
    return {kind: text for _, kind, text in HINT.findall(ladder)}


def skeleton(lesson):
    """The code of the third hint."""
    return re.fullmatch(r"```python\n(.*)\n```", hints(lesson)["skeleton"], re.DOTALL)[1]


def normalized(code):
    """A code's lines without comments, spaces and what is empty or a bracket."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in code.splitlines()]
    return [line for line in (re.sub(r"\s", "", line) for line in lines) if re.search(r"\w", line)]


def test_all_exercises_with_a_check_are_here():
    checked = set()
    for source in build.sources():
        checked |= set(re.findall(r'check\("(\d\d[a-z])"', source.read_text(encoding="utf-8")))
        assert "### Think" not in source.read_text(encoding="utf-8")
    names = [name for _, name, *_ in ALL]
    assert len(checked) >= 48 and checked <= set(names) and names == sorted(set(names))


@each
def test_the_line_has_one_form(source, name, lesson, solution):
    link = rf"\[solution\]\(solutions/{source.stem}_solutions\.ipynb\)"
    heading, empty, line, *rest = lesson[0].source.split("\n")
    assert heading.startswith(f"### Exercise {name}") and not empty
    assert re.fullmatch(rf"Difficulty: {LEVELS} · {link}", line), line
    assert len(re.findall(r"Difficulty:|Importance:|\(solutions/", lesson[0].source)) == 3
    checked = any(f'check("{name}"' in cell.source for cell in lesson)
    assert checked != ("There is no check." in "\n".join(rest))


@each
def test_a_ladder_of_three_short_hints(source, name, lesson, solution):
    assert "<summary>Hint 1" in lesson[1].source, "the ladder stands right under the exercise"
    found = hints(lesson)
    assert list(found) == ["idea", "calls", "skeleton"]
    prose = f"{found['idea']} {found['calls']}"
    assert len(prose.split()) <= 90
    assert "```" not in prose
    for sentence in re.split(r"(?<=[.?!])\s", re.sub(r"`[^`]*`", "code", prose)):
        assert len(sentence.split()) < 25, sentence


@each
def test_the_skeleton_is_python_with_gaps(source, name, lesson, solution):
    code = skeleton(lesson)
    assert len(code.splitlines()) <= 8 and "..." in code
    with warnings.catch_warnings(action="error"):  # a gap that is indexed is a SyntaxWarning
        compile("def answer():\n" + textwrap.indent(code, "    "), name, "exec")


@each
def test_no_hint_gives_the_answer_away(source, name, lesson, solution):
    solved = [m[3] for m in build.BLOCK.finditer(source.read_text(encoding="utf-8")) if _of(source, name, m)]
    if not solved:
        assert "There is no check." in lesson[0].source
        return
    answer = normalized(solved[0])
    shown = normalized(skeleton(lesson))
    given = [line for line in answer if line in shown]
    assert len(given) <= len(answer) / 2, given
    decisive = max(answer, key=len)  # the longest line: nobody's first guess
    text = re.sub(r"\s", "", " ".join(hints(lesson).values()))
    assert decisive not in text, decisive
    before = re.sub(r"\s", "", hints(lesson)["idea"] + hints(lesson)["calls"])
    assert not [line for line in answer if len(line) > 25 and line in before]


def _of(source, name, block):
    """Is this solution block the one of this exercise?"""
    text = source.read_text(encoding="utf-8")
    return f'check("{name}"' in text[block.end() :] and re.search(r'check\("(\w+)"', text[block.end() :])[1] == name


@each
def test_the_solution_has_one_form(source, name, lesson, solution):
    first, words, *rest = solution
    assert first.source.splitlines()[0] == lesson[0].source.splitlines()[0], "the exercise stands above its solution"
    assert f"[lesson](../{source.stem}.ipynb)" in first.source and "(solutions/" not in first.source
    assert not any("<summary>Hint" in cell.source for cell in solution), "who reads solutions needs no hints"
    assert words.source.startswith("<details><summary>Solution") and words.source.endswith("</details>")
    lines = [line for line in words.source.splitlines() if line.startswith("- ")]
    assert len(lines) == 3 and "#" not in words.source
    for line, word in zip(lines, WORDS, strict=True):
        assert line.startswith(f"- {word}") and line.endswith((".", "!", "?"))
        assert sum(other in line for other in WORDS) == 1
    folded = [cell for cell in rest if cell.metadata.get("jupyter", {}).get("source_hidden")]
    checked = any(f'check("{name}"' in cell.source for cell in rest)
    assert len(folded) == checked and all(cell.cell_type == "code" for cell in folded)


def filled(name, code):
    """A skeleton with its gaps filled; those in comments stay."""
    fills, lines = iter(FILLS[name]), []
    for line in code.splitlines():
        parts = line.split("#")[0].rstrip().split("...")
        lines.append(parts[0] + "".join(next(fills) + part for part in parts[1:]))
    assert next(fills, None) is None
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("source", "name", "lesson"),
    [case[:3] for case in ALL if case[1] in FILLS],
    ids=[n for _, n, *_ in ALL if n in FILLS],
)
def test_a_filled_skeleton_is_right(source, name, lesson):
    code = filled(name, skeleton(lesson))
    book, _ = build.make(source)
    set_up = next(cell.source for cell in book.cells if cell.cell_type == "code")
    space, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in [set_up, *(cell.source for cell in lesson if cell.cell_type == "code")]:
            stub = r"(?m)^( *)raise NotImplementedError$|^()\w+ = None\b.*$"
            exec(re.sub(stub, lambda m: textwrap.indent(code, m[1] or ""), cell), space)
            if f'check("{name}"' in cell:
                break
    assert f"{name}: right." in said.getvalue(), said.getvalue()


def test_all_skeletons_are_tried():
    assert [name for _, name, lesson, _ in ALL if "There is no check." not in lesson[0].source] == list(FILLS)
