"""What a submission can do at the desk of those who read it: feedback and formgrader, opened in a real browser."""

import base64
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
import zlib

import nbformat
import pytest
from assignments.classroom import SOURCES, command, extra, fill, make_course, solutions, source
from bs4 import BeautifulSoup
from grader import pages
from nbconvert.filters.markdown_mistune import markdown2html_mistune

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")


def png(width=40, height=20):
    """A red picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def run_js(name):
    return f"document.documentElement.setAttribute('ran-{name}','');new Image().src='http://127.0.0.1:PORT/{name}'"


def svg(name):
    return base64.b64encode(f"<svg xmlns='http://www.w3.org/2000/svg' onload=\"{run_js(name)}\"/>".encode()).decode()


HOSTILE = {  # each in a cell of its own; PORT is that of a listener
    "img": f'<img src=x onerror="{run_js("img")}">',
    "script": f"<script>{run_js('script')}</script>",
    "svg": f'<svg onload="{run_js("svg")}"></svg>',
    "details": f'<details open ontoggle="{run_js("details")}"><summary>x</summary></details>',
    "iframe": f'<iframe srcdoc="<script>parent.{run_js("iframe")}</script>"></iframe>',
    "frame": '<iframe src="http://127.0.0.1:PORT/frame"></iframe>',
    "object": '<object data="http://127.0.0.1:PORT/object"></object><embed src="http://127.0.0.1:PORT/embed">',
    "refresh": '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:PORT/refresh">',
    "base": '<base href="http://127.0.0.1:PORT/base/">',
    "style": "<style>body {display: none; background: url(http://127.0.0.1:PORT/style)}</style>",
    "css": '<div style="position:fixed;inset:0;background:url(http://127.0.0.1:PORT/css) white">over the page</div>',
    "import": '<link rel="stylesheet" href="http://127.0.0.1:PORT/import">',
    "form": '<form action="http://127.0.0.1:PORT/form"><input name="a" autofocus '
    f'onfocus="{run_js("form")}"><button>Send</button></form>',
    "picture": "![a](http://127.0.0.1:PORT/picture)",
    "mermaid": f'```mermaid\n<img src=x onerror="{run_js("mermaid")}">\n```',
    "quote": f"> <script>\n> {run_js('quote')}\n> </script>",
    "table": f'| a |\n|---|\n| <img src=x onerror="{run_js("table")}"> |',
    "formula": f'$\\text{{<img src=x onerror="{run_js("formula")}">}}$',
    "svg-uri": f"![a](data:image/svg+xml;base64,{svg('svg-uri')})",
    "link": f'[click](javascript:{run_js("link")}) [two](data:text/html,x) <a href="javascript:{run_js("link")}">y</a>',
    "href": f"$\\href{{javascript:{run_js('href')}}}{{x}}$ $\\class{{score tabbable}}{{y}}$ $\\unicode{{x3C}}$",
    "clobber": '<b id="A1" class="navbar-fixed-top">x</b><a id="MathJax" name="formgrader"></a>',
}
MATH = """With $a<b$ and

$$\\mathrm{SE} = \\sqrt{\\frac{n-1}{n}\\sum_i (\\theta_i-\\bar\\theta)^2}$$

![plot](attachment:my%20plot.png)"""
OUTPUT = """
print('<img src=x onerror="JS">\\x1b[31m<script>JS</script>\\x1b[0m')
from IPython.display import *
display(HTML('<script>JS</script>'), Markdown('<img src=x onerror="JS">'), Javascript('JS'), SVG('<svg onload="JS"/>'))
"""


@pytest.fixture(scope="module")
def listener():
    """Counts who calls: (port, function that gives the paths asked for)."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.5)

    def calls():
        found = []
        while len(found) < 20:
            try:
                with server.accept()[0] as caller:
                    caller.settimeout(1)
                    found.append(caller.recv(200).split(b" ")[1:2])
            except TimeoutError:
                break
        return found

    yield server.getsockname()[1], calls
    server.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, listener):
    """A course with one hostile submission of A, graded."""
    course = make_course(tmp_path_factory.mktemp("desk"))
    inbox = tmp_path_factory.mktemp("inbox")
    released = course / "release" / "A" / f"{SOURCES['A'].stem}.ipynb"
    hostile = "\n\n".join(HOSTILE.values()).replace("PORT", str(listener[0]))
    book = fill(released, solutions("A") | {"A7": MATH, "A8": hostile})
    names = [cell.metadata.nbgrader.grade_id for cell in book.cells]
    picture = {"image/svg+xml": svg("attached"), "image/png": png()}
    book.cells[names.index("A7")]["attachments"] = {"my plot.png": picture}
    for name, text in HOSTILE.items():
        cell = nbformat.v4.new_markdown_cell(f"own cell {name}\n\n" + text.replace("PORT", str(listener[0])))
        cell["attachments"] = {"a.svg": {"image/svg+xml": svg("own")}}
        book.cells.append(cell)
    book.cells.append(nbformat.v4.new_markdown_cell("![](attachment:a.svg) ![](attachment:nowhere.png)"))
    book.cells.append(
        nbformat.v4.new_raw_cell(f"<script>{run_js('raw')}</script>", metadata={"raw_mimetype": "text/html"})
    )
    book = extra(book, "A1", OUTPUT.replace("JS", run_js("output").replace("'", "")).replace("PORT", str(listener[0])))
    book.metadata["title"] = f"</title><script>{run_js('title')}</script>"
    nbformat.write(book, inbox / "mallory.ipynb")
    command(course, ("grade", "A", str(inbox)))
    return course


def show(address, folder):
    """The page's elements after a while, as Chromium has them."""
    words = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    words += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}"]
    words += ["--virtual-time-budget=8000", "--dump-dom", address]
    return subprocess.run(words, capture_output=True, text=True, timeout=120).stdout


def harmless(dom, calls):
    """Nothing of the submission ran, called out or stands where the page's own things are."""
    assert re.findall(r"\bran-[\w-]+", dom.split(">", 2)[1] + dom.split(">", 3)[2]) == []
    assert calls == []
    assert not re.search(r"<(iframe|object|embed|form|base|link[^>]+127\.0\.0\.1:\d+/import)\b", dom)
    inner = dom[dom.index('id="notebook-container"') :]
    assert not re.search(r"<[a-z][^>]*\s(on[a-z]+=|href=\"(javascript|data))", inner)
    assert '<b id="A1"' not in dom and '<b class="navbar' not in dom
    assert "over the page" in dom  # as text


def feedback(desk):
    (path,) = (desk / "feedback" / "mallory" / "A").glob("*.html")
    return path


@needs_browser
def test_feedback_of_a_hostile_answer_in_chromium(desk, listener, tmp_path):
    listener[1]()
    dom = show(feedback(desk).as_uri(), tmp_path)
    harmless(dom, listener[1]())
    assert "<title>A_metric_and_pooling</title>" in dom


def test_feedback_loads_nothing_and_shows_formulas_and_pictures(desk):
    text = feedback(desk).read_text(encoding="utf-8")
    wrong = r"<script|<[^>]+src=\"(?!data:image/(png|jpeg);base64,)"
    assert not re.search(wrong, text)
    assert text.index("Content-Security-Policy") < text.index("<body")
    assert "default-src 'none'" in text and "<msqrt>" in text and "<mo>&lt;</mo><mi>b</mi>" in text
    assert "$" not in re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", text[text.index("<body") :], flags=re.DOTALL)
    assert f'src="data:image/png;base64,{png()}"' in text and svg("attached") not in text
    assert "no picture a.svg: attachments are shown as PNG or JPEG only" in text


def test_formgrader_is_given_text_and_the_submission_is_kept(desk):
    name = f"{SOURCES['A'].stem}.ipynb"
    given = nbformat.read(desk / "autograded" / "mallory" / "A" / name, as_version=4)
    handed_in = nbformat.read(desk / "submitted" / "mallory" / "A" / name, as_version=4)
    texts = {c.metadata.get("nbgrader", {}).get("grade_id", c.source.split("\n")[0]): c.source for c in given.cells}
    assert pages.AS_TYPED in texts["A8"] and "`" * 3 in texts["A8"] and "shown as" not in texts["A7"]
    assert pages.AS_TEXT in "".join(cell.source for cell in given.cells if "own cell img" in cell.source)
    assert HOSTILE["clobber"] in "".join(cell.source for cell in handed_in.cells)
    for cell in given.cells:  # whoever reads it, also without this course's settings
        if cell.cell_type == "markdown" and not cell.metadata.get("nbgrader", {}).get("locked"):
            for element in BeautifulSoup(markdown2html_mistune(cell.source), "html.parser").find_all(True):
                assert element.name in pages.TAGS and element.get("src", "data:image/png").startswith("data:image/png")
                assert set(element.attrs) <= {"class", "href", "src", "alt", "title", "id"}, element
                assert pages.LINK.match(element.get("href", "#")), element


@pytest.fixture(scope="module")
def formgrader(desk, tmp_path_factory):
    """Address of the submission in formgrader, served from the course's folder."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{desk / 'gradebook.db'}") as book:
        submission = book.find_submission_notebook(SOURCES["A"].stem, "A", "mallory").id
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    words = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", f"--port={port}"]
    words += ["--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={desk}"]
    words += ["--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=True"]
    log = (home / "log").open("w")
    environment = {**os.environ, "HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home), "JUPYTER_CONFIG_DIR": str(home)}
    server = subprocess.Popen(words, cwd=desk, stdout=log, stderr=log, env=environment)
    address = f"http://127.0.0.1:{port}/formgrader/submissions/{submission}/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=60).read()
                break
            except OSError:
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@needs_browser
def test_formgrader_of_a_hostile_answer_in_chromium(formgrader, listener, tmp_path):
    listener[1]()
    dom = show(formgrader, tmp_path)
    harmless(dom, listener[1]())
    assert "<msqrt>" in dom and "cdnjs" not in dom  # formulas, without the network
    assert re.search(r'<input[^>]* id="A7"[^>]*>', dom) and "Submission 1 / 1" in dom


def test_course_texts_lose_nothing():
    """The course's own cells pass the same filter: every formula becomes MathML, no word is lost."""
    import html

    for name in SOURCES:
        for cell in source(name).cells:
            if cell.cell_type == "markdown":
                shown = pages.markdown2html(cell.source)
                assert "$" not in shown and "<code>\\" not in shown and "&lt;/" not in shown, (name, cell.source)
                words = re.findall(
                    r"[A-Za-z]{3,}", re.sub(r"\$\$.*?\$\$|\$.*?\$|\]\(.*?\)", "", cell.source, flags=re.DOTALL)
                )
                left = html.unescape(re.sub(r"<[^>]+>", "", shown))
                assert [word for word in words if word not in left] == [], name


HARD = {  # text -> what the page must hold
    "a < b, `x<y`, $a<b$": "<code>x&lt;y</code>",
    "H<sub>2</sub>O and <br> a <kbd>key</kbd>": "H<sub>2</sub>O",
    "| a | b |\n|:-:|--:|\n| 1 | 2 |": 'style="text-align:center;"',
    "[paper](https://example.org/a?b=c#d)": 'href="https://example.org/a?b=c#d"',
    "$\\notacommand{x}$": "<code>\\notacommand{x}</code>",
    "$\\def\\a{\\a\\a}\\a$": "<code>\\def",
    "$\\frac$": "<code>\\frac</code>",
    "```python\nx = 1  # <b>\n```": '<span class="c1"># &lt;b&gt;</span>',
}


@pytest.mark.parametrize("text", HARD)
def test_honest_text_stays(text):
    assert HARD[text] in pages.markdown2html(text)
    assert pages.plain_markdown(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_text(name):
    """Both walls, each by itself."""
    for text in (HOSTILE[name], f"- a\n  - {HOSTILE[name]}", f"$a$ {HOSTILE[name]} $b$ `c`"):
        shown = pages.markdown2html(text)
        wrong = r"<[a-z][^>]*\s(on\w+|id|src=\"http|href=\"(javascript|data))"
        assert not re.search(wrong + r"|<(script|style|iframe|svg|form|base|meta|link|object)", shown)
        plain = pages.plain_markdown(text)
        assert pages.plain_markdown(plain) == plain


def test_deep_and_long_texts_take_no_time():
    start = time.monotonic()
    for text in ("<div>" * 20_000, "<" * 20_000, "[" * 5000, "$" + "{" * 1900, "> " * 500, "![a](" * 3000, "*" * 6000):
        pages.markdown2html(pages.plain_markdown(text))
    assert time.monotonic() - start < 60
