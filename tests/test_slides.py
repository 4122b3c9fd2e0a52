"""`make slides`: what goes on slides; nothing comes from the network. Whole pages need the extra `site`."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_site import FROM_THE_NETWORK

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TITLE = re.compile(r"(?m)^##? (.+)")
spec = importlib.util.spec_from_file_location("slides", ROOT / "docs" / "slides.py")
slides = importlib.util.module_from_spec(spec)
sys.modules["slides"] = slides  # its dataclasses ask for it
spec.loader.exec_module(slides)


def cells(path):
    return [{**cell, "source": "".join(cell["source"])} for cell in json.loads(path.read_text("utf-8"))["cells"]]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_goes_on_slides(path):
    book = cells(path)
    titles = [title for cell in book if cell["cell_type"] == "markdown" for title in TITLE.findall(cell["source"])]
    found = slides.columns({"cells": book}, path.stem)
    assert [column.title for column in found] == [title for title in titles if title != "Exercises"]
    assert all(column.slides for column in found)
    made = [slide for column in found for slide in column.slides]
    said = "\n".join(block for slide in made for block in slide.text)
    code = "\n".join(part for slide in made for part, _ in slide.code)
    assert not re.search(r"### Exercise|<details>|Hint \d|\*\*Minutes\*\*", said)
    assert not re.search(r"\bcheck\(|NotImplementedError|use_style|plots\.show\(", code)
    below = next(n for n, cell in enumerate(book) if "\n## Exercises" in f"\n{cell['source']}")
    plots = [
        cell["id"] for cell in book[:below] if any("image/png" in o.get("data", ()) for o in cell.get("outputs", ()))
    ]
    shown = [Path(slide.plot[0]).stem for slide in made if slide.plot and slide.plot[2]]
    assert shown == plots
    assert all(
        slides.height(slide) <= slides.LINES + slides.TAIL for slide in made if len(slide.text) + len(slide.code) > 1
    )
    taught = [cell for cell in book[:below] if cell["cell_type"] == "code" and len(cell["source"].splitlines()) > 3][1:]
    assert all(
        c["source"] in code for c in taught if not c["metadata"].get("jupyter") and "use_style" not in c["source"]
    )


def test_long_texts_are_cut_and_stand_whole_in_the_notes():
    long = " ".join(f"Sentence {n} has a **bold** word and $x_{n}$ in it." for n in range(30))
    text = f"First. It is short.\n\nNobody needs this.\n\nSee the table:\n\n| a |\n|---|\n| b |\n\nA **word**. {long}"
    (slide, *more) = slides.text_slides(text, [])
    shown = slide.text + [block for s in more for block in s.text]
    assert shown[:3] == ["First. It is short.", "See the table:", "| a |\n|---|\n| b |"] and len(shown) == 4
    assert len(shown[3]) <= slides.LONG and shown[3].endswith("in it.") and shown[3].count("$") % 2 == 0
    assert slide.notes == text and not slides.text_slides("All of it.", [])[0].notes


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "sphinx_revealjs", "latex2mathml", "ziamath")),
    reason="needs the extra `site`",
)
def test_slides_of_a_lesson_load_nothing_from_the_network(tmp_path):
    command = [sys.executable, ROOT / "docs" / "slides.py", tmp_path, "03"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lesson = tmp_path / "03_association_graph.html"
    text = lesson.read_text(encoding="utf-8")
    for path in [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css"), *tmp_path.rglob("*.js")]:
        assert not FROM_THE_NETWORK.search(path.read_text(encoding="utf-8")), path
    for target in re.findall(r'(?:src|href)="(?!https:|data:|0\d_\w+\.html)([^"]+)"', text):
        assert (tmp_path / target).exists(), target
    columns = slides.columns({"cells": cells(LESSONS[3])}, "")
    assert text.count("<section><section>") == len(columns)
    assert text.count('<section><div class="slide') == 1 + sum(len(column.slides) for column in columns)
    assert text.count("<h2>") == len(columns) - 1 and "<h2>1. Four nodes on paper</h2>" in text
    assert text.count("<math ") > 10 and not re.search(r"\$|\*\*|### ", re.sub("(?s)<pre.*?</pre>", "", text))
    assert all('alt="' in image for image in re.findall("<img [^>]+>", text))
