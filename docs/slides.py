"""`make slides`: slides of every lesson, to be opened from disk; runs no notebook and loads nothing from the network.

    python docs/slides.py [FOLDER [NUMBER ...]]

`columns` is the one rule that says what goes on slides:

- Each section (`## `) is a column, but for the exercises. The first column has the title, the recap and the goals.
- Of a text: tables, lists, formulas, the first paragraph, those with a word in bold and short ones above a table or
  list, each as far as its first sentences go. Where something is left out, the whole text is in the speaker's notes.
- A plot has a slide with its caption and no more than two lines of text; *What you should see* shows it once more.
- Code that is in view has a slide with what it prints, and the text or code before it if there is room.
- Left out: set-up, folded code, up to three lines that print nothing, hints, answers (`<details>`), asides, minutes.

reveal.js comes from the package sphinx-revealjs, formulas are MathML as on the site (conf.py), looks: slides.css.
"""

import base64
import html
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

ROOT = Path(__file__).resolve().parent.parent
LINES, WIDE = 15, 88  # lines of text on a slide, letters a line
LONG, SHORT = 450, 160  # letters of a paragraph: more is cut; fewer may stand above a table
BRIEF = 3  # lines of code that are left out if they print nothing: they get a plot ready
LEAD, NEW, SEEN = 4.5, 2.5, 8  # lines of a text above code, above a plot, above a plot that is shown again
TAIL = 3.5  # lines of a text's end that begin no slide
SMALL = 0.7  # height of a line of code, in lines of text
OUT = ("**Minutes**", "**Sections**", "(")  # paragraphs in brackets are asides
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="parts/reveal.css">
<link rel="stylesheet" href="parts/slides.css">
</head>
<body>
<div class="reveal"><div class="slides">
{columns}
</div></div>
<script src="parts/reveal.js"></script>
<script src="parts/notes.js"></script>
<script src="parts/fit.js"></script>
</body>
</html>
"""
KEYS = "<p>Space: next · → next section · Esc: all slides · S: window with notes · F: full screen</p>"
INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Slides</title><link rel="stylesheet" href="parts/slides.css"></head>
<body class="index"><h1>Slides of the lessons</h1>
{keys}
<ul>
{lessons}
</ul>
</body>
</html>
"""


@dataclass
class Slide:
    """One slide: Markdown, then a plot or code, each with the text below it."""

    text: list[str] = field(default_factory=list)
    plot: tuple[str, str, str] | None = None  # file, alternative text, caption
    code: list[tuple[str, str]] = field(default_factory=list)  # with what it prints
    notes: str = ""


@dataclass
class Column:
    """A section of a lesson."""

    title: str
    slides: list[Slide] = field(default_factory=list)


def columns(book: dict, name: str = "") -> list[Column]:
    """What of a notebook goes on slides, section by section; `name` is the folder of its plots."""
    found: list[Column] = []
    setup = next(cell for cell in book["cells"] if cell["cell_type"] == "code")
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for part in re.split(r"(?m)^(?=##? )", re.sub(r"(?s)<details>.*?</details>", "", source)):
                if heading := re.match(r"##? (.+)\n?", part):
                    found.append(Column(heading[1]))
                    part = part[heading.end() :]
                if part.strip():
                    found[-1].slides += text_slides(part.strip(), found[-1].slides)
        elif cell is not setup:
            found[-1].slides += code_slides(cell, source, f"{name}/{cell['id']}.png", found[-1].slides)
    return [column for column in found if column.title != "Exercises"]


def text_slides(text: str, before: list[Slide]) -> list[Slide]:
    """A text cell, cut to what a class reads; plots are shown again beside what one should see in them."""
    made, parts = [Slide()], [block for block in blocks(text) if not block.startswith(OUT)]
    shown, first = [], True
    for block, after in zip(parts, [*parts[1:], ""], strict=True):
        if kind(block) != "paragraph":
            shown.append(block)
        elif first or "**" in block or (len(block) <= SHORT and kind(after) in ("list", "table")):
            shown.append(beginning(block))
        first = kind(block) == "heading" or (first and kind(block) != "paragraph")
    room = LINES - (0 if before else 2)  # the section's title
    for place, block in enumerate(shown):
        rest = sum(map(lines, shown[place:]))
        together = sum(map(lines, shown[place : place + 1 + (block.endswith(":") or kind(block) == "heading")]))
        full = sum(map(lines, made[-1].text)) + together > room + (TAIL if rest <= TAIL else 0)
        if {*map(kind, made[-1].text)} - {"heading"} and (full or block.startswith(("### ", "**Predict first"))):
            made.append(Slide())
            room = LINES
        made[-1].text.append(block)
    made = [slide for slide in made if slide.text]
    if made and shown != blocks(text):
        made[0].notes = text
    seen = made and made[0].text[0].startswith("**What you should see") and height(made[0]) <= SEEN
    if seen and before and before[-1].plot:
        made[0].plot = (*before[-1].plot[:2], "")
    return made


def blocks(text: str) -> list[str]:
    """Paragraphs, lists, tables, formulas and code of a text; a formula is apart from its paragraph."""
    text = re.sub(r"(?s)\n?(\$\$.+?\$\$)", r"\n\n\1\n\n", text)
    text = re.sub(r"(?m)^((?!- |\||\d\. ).+)\n(?=- |\|)", r"\1\n\n", text)
    fenced = re.split(r"(?s)(```.*?```|\$\$.+?\$\$)", text)
    parts = [[part] if n % 2 else re.split(r"\n\s*\n", part) for n, part in enumerate(fenced)]
    return [block.strip() for part in parts for block in part if block.strip(" \n.,")]


def beginning(paragraph: str) -> str:
    """The first sentences of a long paragraph, whole ones; nothing that is opened there is left open."""
    if len(paragraph) <= LONG:
        return paragraph
    ends = [m.start() for m in re.finditer(r"(?<=[.?!])\s+(?=[A-Z*`$0-9\"])", paragraph)]
    whole = [end for end in ends if all(paragraph[:end].count(mark) % 2 == 0 for mark in ("**", "`", "$"))]
    return paragraph[: max([end for end in whole if end <= LONG], default=min(whole, default=len(paragraph)))]


def kind(block: str) -> str:
    """What a block of Markdown is."""
    for name, begin in (
        ("heading", "#"),
        ("table", r"\|"),
        ("code", "```"),
        ("formula", r"\$\$"),
        ("list", r"- |\d\. "),
    ):
        if re.match(begin, block):
            return name
    return "paragraph"


def lines(block: str) -> float:
    """Room that a block of Markdown takes on a slide, in lines of text."""
    rows = block.splitlines()
    if kind(block) == "table":
        return 1.05 * len(rows)
    if kind(block) == "formula":
        return 2.4 + 1.2 * ("\\\\" in block)
    if kind(block) == "code":
        return SMALL * len(rows)
    items = re.split(r"\n(?=- |\d\. )", block) if kind(block) == "list" else [block.replace("\n", " ")]
    return 0.5 + sum(len(wrap(item, WIDE)) for item in items)


def code_slides(cell: dict, source: str, file: str, before: list[Slide]) -> list[Slide]:
    """A code cell: the plot of folded code, the code in view with what it prints."""
    made: list[Slide] = []
    outputs = cell.get("outputs", ())
    data = [output.get("data", {}) for output in outputs]
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
    if not folded and (printed or len(source.splitlines()) > BRIEF):
        made.append(Slide(code=[(source.rstrip(), printed.rstrip())]))
        last = before[-1] if before else Slide()
        most = LEAD if not last.code else LINES
        fits = height(last) <= most and height(last) + height(made[0]) <= LINES - (2 if len(before) == 1 else 0)
        if fits and (last.text or last.code) and not last.plot and not "".join(last.text).startswith("**Predict"):
            before.pop()
            made[0] = Slide(last.text, None, last.code + made[0].code, last.notes)
    for output, shown in zip(outputs, data, strict=True):
        if "image/png" in shown:
            lead = before and not made and not before[-1].plot and not before[-1].code and height(before[-1]) <= NEW
            made.append(before.pop() if lead else Slide())
            made[-1].plot = (file, output["metadata"]["image/png"]["alt"], "")
        elif "text/markdown" in shown:
            made[-1].plot = (*made[-1].plot[:2], "".join(shown["text/markdown"]))
    return made


def height(slide: Slide) -> float:
    """Lines of text, and of code with what it prints."""
    code = "\n\n".join(part for pair in slide.code for part in pair if part)
    return sum(map(lines, slide.text)) + SMALL * len(code.splitlines())


class Renderer(IPythonRenderer):
    """Markdown with MathML, and links to slides only where there are any."""

    def inline_math(self, body: str) -> str:
        from conf import mathml  # needs the extra `site`; the rule does not

        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        from conf import mathml

        return f'<div class="math">{mathml(body.strip(), "block")}</div>'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if url.startswith("https:"):
            return super().link(text, url, title)
        path = Path(url)
        return f'<a href="{path.stem}.html">{text}</a>' if path.suffix == ".ipynb" and path.stem == url[:-6] else text


def to_html(markdown: str) -> str:
    return MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(markdown)


def slide_html(slide: Slide, head: str) -> str:
    """A slide under its head; reveal.js shows the notes to the speaker alone."""
    parts = [head, to_html("\n\n".join(slide.text))]
    for code, printed in slide.code:
        parts.append(highlight(code, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True)))
        parts.append(f'<pre class="printed">{html.escape(printed)}</pre>' if printed else "")
    if slide.plot:
        file, alt, caption = slide.plot
        parts.append(f'<img src="{file}" alt="{html.escape(alt)}"><div class="caption">{to_html(caption)}</div>')
    notes = f'<aside class="notes">{to_html(slide.notes)}</aside>' if slide.notes else ""
    return f'<section><div class="slide">{"".join(parts)}</div>{notes}</section>'


def page(found: list[Column], number: str) -> str:
    """A lesson's slides as one page."""
    lesson, *sections = found
    title = (
        f'<section><div class="slide title"><p>Lesson {number}</p><h1>{inline(lesson.title)}</h1>{KEYS}</div></section>'
    )
    made = [f"<section>{title}{''.join(slide_html(s, again(lesson.title)) for s in lesson.slides)}</section>"]
    for column in sections:
        heads = [f"<h2>{inline(column.title)}</h2>", *[again(column.title)] * len(column.slides)]
        inner = "\n".join(slide_html(s, head) for s, head in zip(column.slides, heads, strict=False))
        made.append(f"<section>{inner}</section>")
    return PAGE.format(title=html.escape(f"{number} · {lesson.title}"), columns="\n".join(made))


def inline(title: str) -> str:
    """A heading; its number begins no list."""
    return re.sub(r"^<p>|</p>\s*$", "", to_html(re.sub(r"^(\d)\.", r"\1\.", title)))


def again(title: str) -> str:
    return f'<p class="again">{inline(title)}</p>'


def main(folder: Path, numbers: list[str]) -> None:
    import sphinx_revealjs
    import ziamath

    (folder / "parts").mkdir(parents=True, exist_ok=True)
    font = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
    reveal = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
    theirs = [reveal / name for name in ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")]
    for part in (*theirs, font, ROOT / "docs" / "slides.css", ROOT / "docs" / "fit.js"):
        shutil.copy(part, folder / "parts")
    lessons = []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if numbers and path.name[:2] not in numbers:
            continue
        book = json.loads(path.read_text(encoding="utf-8"))
        found = columns(book, path.stem)
        (folder / path.stem).mkdir(exist_ok=True)
        for cell in book["cells"]:
            for output in cell.get("outputs", ()):
                if "image/png" in output.get("data", ()):
                    png = base64.b64decode("".join(output["data"]["image/png"]))
                    (folder / path.stem / f"{cell['id']}.png").write_bytes(png)
        (folder / f"{path.stem}.html").write_text(page(found, path.name[:2]), encoding="utf-8")
        count = 1 + sum(len(column.slides) for column in found)
        lessons.append(
            f'<li><a href="{path.stem}.html">{path.name[:2]} · {inline(found[0].title)}</a> ({count} slides)</li>'
        )
    (folder / "index.html").write_text(INDEX.format(keys=KEYS, lessons="\n".join(lessons)), encoding="utf-8")
    print(f"open {os.path.relpath(folder / 'index.html')} in a browser")


if __name__ == "__main__":
    main(ROOT / "slides" if len(sys.argv) < 2 else Path(sys.argv[1]), sys.argv[2:])
