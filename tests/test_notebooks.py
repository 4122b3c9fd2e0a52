"""The rules of the house for notebooks (what a reader, nbval and a projector need)."""

import ast
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
sys.path.insert(0, str(NOTEBOOKS / "source"))
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
ALL = LESSONS + SOLUTIONS
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9][0-9]_*.py"))
GLOSSARY = NOTEBOOKS.parent / "docs" / "notation.md"
every = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(book):
    return [output for cell in code(book) for output in cell.outputs]


@every
def test_run_in_order_from_a_fresh_kernel_with_outputs_kept(path):
    book = read(path)
    assert book.metadata.kernelspec.name == "python3"
    assert [cell.execution_count for cell in code(book)] == list(range(1, len(code(book)) + 1))
    assert all(output.output_type != "error" for output in outputs(book))


@every
def test_size(path):
    book = read(path)
    assert path.stat().st_size <= 500_000
    assert len(code(book)) <= 60
    for cell in code(book):
        assert len(cell.source.splitlines()) <= 25, cell.source.splitlines()[0]


@every
def test_outputs_are_png_and_quiet(path):
    for output in outputs(read(path)):
        assert output.get("name") != "stderr", output.get("text")
        assert "image/svg+xml" not in output.get("data", {})
        text = output.get("text", "") + json.dumps(output.get("data", {}).get("text/plain", ""))
        assert not re.search(r"0x[0-9a-f]{6,}|/(home|root|tmp|work)/|\d+(\.\d+)? ?(ms|s/it|it/s)\b", text), text
        assert not re.search(r"\d\.\d{4,}", text), f"more than three decimals: {text}"


@every
def test_few_ignored_cells_and_each_asserts(path):
    book = read(path)
    ignored = [cell for cell in code(book) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert len(ignored) <= max(1, 0.05 * len(code(book)))
    assert all("assert" in cell.source for cell in ignored)
    assert not any("NBVAL" in cell.source or "nbval-skip" in cell.metadata.get("tags", []) for cell in code(book))


@every
def test_set_up_is_short_and_needs_no_paths(path):
    first = code(read(path))[0].source
    assert len(first.splitlines()) <= 6 and "hrem_lib" in first
    for cell in code(read(path)):
        assert not re.search(r"pip install|!\w|%cd|sys\.path|os\.chdir", cell.source)


@lesson
def test_parts_of_a_lesson(path):
    book = read(path)
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    title = book.cells[0].source.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    wanted = ["minutes", "You will be able to", "Predict first", "What you should see", "Break it", "Summary", "Next"]
    assert not [part for part in wanted if part.lower() not in text.lower()]
    assert re.search(r"\|\s*paper\s*\|\s*released code\s*\|\s*here\s*\|", text, re.IGNORECASE)
    assert 3 <= len(set(re.findall(rf'check\("({path.name[:2]}[a-z])"', "".join(c.source for c in code(book))))) <= 6


def prose(path):
    """The text of a lesson: the markdown cells of its source that are not for the solutions alone."""
    cells = re.split(r"(?m)^# %%", path.read_text(encoding="utf-8"))
    cells = [cell.split("\n", 1) for cell in cells if cell.startswith(" [markdown]")]
    return [re.sub(r"(?m)^# ?", "", text).strip() for first, text in cells if '"solution"' not in first]


@source
def test_head_of_a_lesson(path):
    """Minutes that add up, and from 01 on what is in hand, what is missing, and why today."""
    title, *lines = [line for line in prose(path)[0].splitlines() if line]
    assert title.startswith("# ") and title.endswith("?")
    read, exercises = re.fullmatch(
        r"\*\*Minutes\*\*: (\d+) to read, (\d+) for the exercises(?: \(optional: \d+ more\))? · \*\*Needs\*\*: .+ · "
        r"\*\*Paper\*\*: Sec .+ · \[notation and words\]\(\.\./docs/notation\.md\)",
        lines[0],
    ).groups()
    sections = lines[1].removeprefix("**Sections** (minutes): ").split(" · ")
    minutes = [re.fullmatch(r"(?:(\d) )?(.+?) \((\d+)(?:; short path: skip.*)?\)", s).groups() for s in sections]
    text = "\n".join(prose(path))
    assert [number for number, _, _ in minutes if number] == re.findall(r"(?m)^## (\d)\. ", text)
    assert all(number or f"\n## {name}\n" in text for number, name, _ in minutes) and minutes[-1][1] == "Break it"
    assert abs(sum(int(m) for _, _, m in minutes) - int(read)) <= 0.1 * int(read)
    skipped = sum("short path: skip" in section for section in sections)
    assert len(re.findall(r"(?m)^\*Short path: ", text)) == skipped
    parts = [re.search(r"(.*)\n(?s:.*?)\bMinutes: (\d+)", part) for part in re.split(r"(?m)^#+ ", text)]
    asked = [int(part[2]) for part in parts if part and not re.search(r"\d[a-z]\*|\(optional\)", part[1])]
    assert abs(sum(asked) - int(exercises)) <= 0.1 * int(exercises)
    if path.name[:2] != "00":
        recap = [line for line in lines if line.startswith("- ")]
        assert recap == lines[2:] and len(recap) == 3
        assert [re.match(r"- \*\*(.+?)\*\*: \S", line)[1] for line in recap] == ["In hand", "Missing", "Today"]


def test_first_page_says_what_is_built():
    door = prose(SOURCES[0])[0]
    for part in ("Hierarchical RElation Modeling", "thecvf.com", "testall", "113,287", "29,000", "Does it help?"):
        assert part in door
    assert len(re.findall(r"\w+", re.sub(r"\]\(.*?\)", "]", door))) <= 240  # a minute of reading
    asked = re.search(r"last lesson finds out \(\[(\d\d)\]\((\w+)\.ipynb\)\)", door)
    assert asked[2] == SOURCES[-1].stem and asked[2].startswith(asked[1])
    assert prose(SOURCES[-1])[0].startswith("# Does it help?")


def test_every_word_of_the_lessons_is_in_the_glossary():
    page = GLOSSARY.read_text(encoding="utf-8")
    links = dict(re.findall(r"(?m)^\[(\d\d)\]: (\S+)$", page))
    assert links == {path.name[:2]: f"../notebooks/{path.stem}.ipynb" for path in SOURCES}
    entries = re.findall(r"(?m)^- \*\*(.+?)\*\*((?: \[\d\d\])+): ([A-Z1].+\.)$", page)
    assert len(entries) == len(re.findall(r"(?m)^- ", page))
    names = [name for name, _, _ in entries]
    assert names == sorted(set(names), key=str.casefold)
    assert not [name for name, _, sentence in entries if len(sentence.split()) > 25 or ". " in sentence]
    stands = {(name, number) for name, lessons, _ in entries for number in re.findall(r"\d\d", lessons)}
    said = set()
    for path in SOURCES:
        (words,) = re.findall(r"\*\*Words introduced\*\*: (.+)\.$", "\n".join(prose(path)), re.MULTILINE)
        said |= {(word, path.name[:2]) for word in words.split(", ")}
    assert said == stands


def test_letters_of_the_glossary_are_names_in_code():
    page = GLOSSARY.read_text(encoding="utf-8").split("## Words")[0]
    rows = re.findall(r"(?m)^\|[^|]*\|([^|]*`[^|]*)\|[^|]*\|[^|]*\| \[(\d\d)\] \|$", page)
    assert len(rows) == page.count("\n|") - 2
    for names, number in rows:
        lesson = next(path for path in SOURCES if path.name.startswith(number)).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", lesson), (name, number)


@lesson
def test_pictures_have_captions_and_alt_text(path):
    book = read(path)
    pictures = [o for o in outputs(book) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
    # plots.show(figure, alt) puts the alternative text into the output and a caption below the picture
    for picture in pictures:
        assert picture.metadata.get("image/png", {}).get("alt") or picture.data.get("text/plain", "").startswith(
            "Figure: "
        )


@lesson
def test_solution_exists_and_is_linked(path):
    assert (NOTEBOOKS / "solutions" / f"{path.stem}_solutions.ipynb") in SOLUTIONS
    assert f"solutions/{path.stem}_solutions.ipynb" in path.read_text()


@lesson
def test_exercises_are_not_solved_in_the_lesson_and_right_in_the_solution(path):
    def answers(book):
        return re.findall(r"\d\d[a-z]: (right|not attempted)", "".join(o.get("text", "") for o in outputs(book)))

    assert set(answers(read(path))) == {"not attempted"}
    solved = answers(read(NOTEBOOKS / "solutions" / f"{path.stem}_solutions.ipynb"))
    assert set(solved) == {"right"} and len(solved) == len(answers(read(path)))


@lesson
def test_lesson_and_solution_come_from_the_source(path):
    pytest.importorskip("jupytext")
    import build

    source = NOTEBOOKS / "source" / f"{path.stem}.py"
    ast.parse(source.read_text())
    made = build.make(source)
    stored = read(path), read(NOTEBOOKS / "solutions" / f"{path.stem}_solutions.ipynb")
    for new, old in zip(made, stored, strict=True):
        assert len(new.cells) == len(old.cells)
        for fresh, kept in zip(new.cells, old.cells, strict=True):
            pieces = build.FILLED.split(fresh.source)[::2]
            assert re.fullmatch(r"[^{}]{1,40}?".join(map(re.escape, pieces)), kept.source, re.DOTALL), kept.source


NUMBER = re.compile(r"(?<![\w.,=-])(\d[\d,]*\.\d+|\d+(?= ?%))")


def unexplained(cells, quoted, seen):
    """Decimals and percentages of a lesson's texts that neither its cells nor its quotations have."""

    def known(text):
        decimals = len(text.partition(".")[2])
        return any(f"{scale * value:.{decimals}f}" == text for value in seen for scale in (1, 100))

    found = []
    for text, allowed in zip(cells, quoted, strict=True):
        bare = re.sub(
            r"(?s)\{\{ .+? \}\}|```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|Sec\.? \d[\d.]*", " ", text
        )
        numbers = [number.replace(",", "") for number in NUMBER.findall(bare)]
        if "**By hand" not in text:
            found += [number for number in numbers if number not in allowed and not known(number)]
    return found


@source
def test_numbers_of_the_text_are_those_of_the_cells(path):
    """What `{{ }}` does not fill in must stand in an output, in code, or in the cell's `quoted`."""
    jupytext = pytest.importorskip("jupytext")
    texts = [
        cell
        for cell in jupytext.read(path).cells
        if cell.cell_type == "markdown" and "solution" not in cell.metadata.get("tags", [])
    ]
    quoted = [
        re.findall(r"\d+(?:\.\d+)?", cell.metadata.get("quoted", "").replace(",", "").split(":")[0]) for cell in texts
    ]
    book = read(NOTEBOOKS / f"{path.stem}.ipynb")
    shown = [cell.source for cell in code(book)]
    shown += [
        output.get("text", "") + json.dumps(output.get("data", {}).get("text/plain", "")) for output in outputs(book)
    ]
    shown += [str(output.get("data", {}).get("text/html", "")) for output in outputs(book)]
    seen = {float(number) for text in shown for number in re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))}
    assert not unexplained([cell.source for cell in texts], quoted, seen)


def test_a_number_that_no_cell_prints_is_found():
    text = "R@1 is 62.5, then {{ r1:.1f }}; `4.4`, $5.5$, Sec 3.1, [a](b1.5) and 55 % of 7."
    assert unexplained([text], [[]], {0.551}) == ["62.5"]
    assert unexplained([text], [["62.5"]], {1.0}) == ["55"]
    assert unexplained(["About 50.0 and 32.1"], [[]], {45.04, 32.13}) == ["50.0"]


@lesson
def test_what_is_in_view_is_what_is_learned(path):
    pytest.importorskip("jupytext")
    import build

    folded = {"plot": 0, "assert": 0}
    for cell in code(read(path)):
        found, hidden = build.lines(cell.source), cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert hidden == build.folds(cell.source), cell.source
        for kind in folded:
            folded[kind] += found[kind] * hidden
        assert hidden or (found["plot"] <= 1 and found["assert"] <= 2), f"split this cell:\n{cell.source}"
    assert folded["plot"] >= 15  # four plots at least, with caption and alternative text


FOLDED = (
    "plots.show(task.gallery(pictures), 'caption', 'alt')",
    "assert a == 1\nassert b == 2",
    "figure, axes = plt.subplots(1, 2)\nfor ax in axes:\n    draw.bars(ax, 3)\nplots.show(figure, 'c', 'a')",
    "if AUTHORS:\n    assert ok\n    plots.show(draw.bars(rows), 'c', 'a')",
)
IN_VIEW = (
    "",
    "# only a remark",
    "v = encode(x)\nassert v.shape == (2, 3)",
    "print('equal')\nassert a == b",
    "plots.show(draw.bars(rows), 'c', 'a')\nprint(rows)",
    "table = draw.shares(rows)\nplots.show(draw.bars(table), 'c', 'a')",
    "def recall(ranks):\n    assert len(ranks)\n    return 1",
    "with torch.no_grad():\n    assert model(x) > 0",
    "check('03a', figure)",
    "first = plots.load_pictures(split, range(6))",
)


@pytest.mark.parametrize("cell", [*FOLDED, *IN_VIEW])
def test_a_cell_is_folded_if_it_only_draws_and_asserts(cell):
    pytest.importorskip("jupytext")
    import build

    assert build.folds(cell) == (cell in FOLDED)


def test_lines_are_counted_by_what_they_do():
    pytest.importorskip("jupytext")
    import build

    cell = "v = 1\nif v:\n    assert v\nplots.show(\n    figure, 'c',\n    'a',\n)"
    assert build.lines(cell) == {"plot": 4, "assert": 1, "other": 1}


def test_lessons_and_sources_agree_and_the_readme_lists_them():
    names = (
        "00_task_and_metric 01_feature_extraction 02_fragment_relations 03_association_graph 04_relation_interaction "
        "05_sampling_and_losses 06_training 07_inference_and_embedding_space 08_reproducing_the_paper 09_does_it_help"
    )
    stems = [path.stem for path in LESSONS]
    assert stems and set(stems) <= set(names.split())
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"notebooks/(\d\d_\w+)\.ipynb", readme))) == stems
