"""Markdown of a class, shown without risk: nothing in a submission runs, calls out or hides the page.

Two walls. `plain_markdown` changes the text that goes into the autograded notebook, so that no reader of it
(formgrader, JupyterLab, nbconvert) meets a student's HTML. `markdown2html` writes the pages of feedback and formgrader:
what Markdown became is cleaned by bleach, with formulas as MathML. (nbconvert's own SanitizeHTML cleans the Markdown
instead: it spoils `a < b` in formulas and code, and does not see `[a link](javascript:...)`.)
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import bleach
import latex2mathml.converter
import mistune
from bleach.css_sanitizer import CSSSanitizer
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TAGS = """p br hr h1 h2 h3 h4 h5 h6 em strong b i u s del sub sup kbd code pre span div blockquote ul ol li dl dt dd
table thead tbody tr th td a img details summary""".split()
BARE = re.compile(rf"</?({'|'.join(TAGS)}) ?/?>")  # HTML that stays in an answer: no attributes
PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
LINK = re.compile(r"(https?://|mailto:|#)")
OF_CODE = re.compile(r"highlight|language-\w+|[a-z]{1,2}\d?")  # classes that code colored by Pygments has
MARKS = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
HOLD = "\ue000"  # marks the place of a formula while the rest is cleaned
LONGEST = 2000  # characters of a formula
MANY = 2000  # tags of a cell; deeply nested ones take for ever
LONGEST_CELL = 20_000  # characters; some Markdown takes a time that grows with their square

MATH_TAGS = """math mrow mi mn mo mtext mspace ms mfrac msqrt mroot msub msup msubsup munder mover munderover mtable
mtr mtd mstyle mphantom mpadded menclose""".split()
MATH_ATTRIBUTES = """display mathvariant stretchy fence separator form accent accentunder linethickness columnalign
rowspacing columnspacing displaystyle scriptlevel minsize maxsize lspace rspace width notation movablelimits""".split()

AS_TEXT = "*(HTML in this cell is shown as text.)*"
AS_TYPED = "*(This cell is shown as it was typed, since something in it could run code.)*"


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, which browsers draw without a script; as code where the converter does not know it.

    The converter passes on tags and `\\href`, so its elements are rebuilt: known tags and attributes, escaped text.

    Args:
        latex: without dollars
        display: "inline" or "block"
    """
    as_code = f"<code>{html.escape(latex)}</code>"
    if len(latex) > LONGEST or re.search(r"\\([gex]?def|let|(re)?newcommand)\b", latex):  # macros can grow for ever
        return as_code
    try:
        made = latex2mathml.converter.convert_to_element(latex, display=display)
    except Exception:  # of an unfinished formula it raises what comes
        return as_code
    for element in made.iter():
        element.text = html.unescape(element.text or "")
        if element.tag not in MATH_TAGS or "\\" in element.text:
            return as_code
        element.attrib = {k: v for k, v in element.attrib.items() if k in MATH_ATTRIBUTES}
    return ElementTree.tostring(made, encoding="unicode", short_empty_elements=False)


class _Renderer(IPythonRenderer):
    """Keeps formulas aside; diagrams are shown as the text they are (nbconvert writes them unescaped)."""

    def __init__(self) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.formulas: list[str] = []

    def _keep(self, latex: str, display: str) -> str:
        self.formulas.append(mathml(latex, display))
        return f"{HOLD}{len(self.formulas) - 1}{HOLD}"

    def block_math(self, body: str) -> str:
        return self._keep(body, "block")

    def inline_math(self, body: str) -> str:
        return self._keep(body, "inline")

    def latex_environment(self, name: str, body: str) -> str:
        return self._keep(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre>{html.escape(code)}</pre>"


def _attribute(tag: str, name: str, value: str) -> bool:
    """Whether an attribute stays. No id and no class of the page's own: its scripts and styles look for them."""
    if HOLD in value:
        return False
    if name in ("alt", "title"):
        return True
    if tag == "img":
        return name == "src" and PICTURE.fullmatch(value) is not None
    if tag == "a":
        return name == "href" and LINK.match(value) is not None
    if name == "class":
        return tag in ("div", "span", "code") and OF_CODE.fullmatch(value) is not None
    return name == "style" and tag in ("th", "td")


def _parser(renderer: Any) -> MarkdownWithMath:
    names = ("strikethrough", "table", "url", "def_list")  # nbconvert's without check boxes
    return MarkdownWithMath(renderer, plugins=[mistune.import_plugin(name) for name in names])


def markdown2html(source: str) -> str:
    """In place of nbconvert's filter of this name: what is not allowed is shown as text, or left out."""
    renderer = _Renderer()
    text = _parser(renderer).render(source.replace(HOLD, ""))
    text = bleach.clean(
        text,
        tags=TAGS,
        attributes=_attribute,
        protocols=["http", "https", "mailto", "data"],
        css_sanitizer=CSSSanitizer(allowed_css_properties=["text-align"]),
    )
    return re.sub(rf"{HOLD}(\d+){HOLD}", lambda found: renderer.formulas[int(found[1])], text)


def plain_markdown(source: str) -> str:
    """Markdown in which a student's HTML is text; a last line says so. Text without HTML is returned as it is."""
    if len(source) > LONGEST_CELL:
        source = f"{source[:LONGEST_CELL]}\n(The rest of {len(source)} characters is left out.)"
    before = source
    source = re.sub(r"!(?=\[[^\]\n]*\]\(\s*<?https?:)", "", source)  # a picture elsewhere becomes a link to it
    for _ in range(8):  # text freed from a tag may hold another
        tags, links = _risks(source)
        if not tags and not links and source.count("<") <= MANY:
            return source if source == before else f"{source}\n\n{AS_TEXT}"
        if links or source.count("<") > MANY:
            break
        for tag in tags:
            source = source.replace(tag, tag.replace("<", "&lt;"))
    fence = "`" * (3 + max(map(len, re.findall("`+", before)), default=0))
    return f"{fence}\n{before}\n{fence}\n\n{AS_TYPED}"


def _risks(source: str) -> tuple[list[str], bool]:
    """Raw HTML in Markdown, and whether anything else in it could run code."""
    tags, other = [], False
    for token in _tokens(_parser(None).parse(source)[0]):
        kind, about = token["type"], token.get("attrs", {})
        if kind in ("block_html", "inline_html"):
            if not BARE.fullmatch(token["raw"].strip()):
                tags.append(token["raw"].strip())
        elif kind == "block_code":
            other |= about.get("info", "").startswith("mermaid")
        elif kind in ("link", "image"):
            address = unquote(html.unescape(html.unescape(about["url"]))).strip()
            known = PICTURE.fullmatch(address) if kind == "image" else LINK.match(address)
            other |= not known and ":" in address
    return tags, other


def _tokens(tokens: Any) -> Iterator[dict]:
    for token in tokens:
        yield token
        yield from _tokens(token.get("children", ()))


def with_pictures(source: str, attachments: dict) -> str:
    """Markdown with its attached PNG and JPEG pictures in it; other attachments are left out, with a word.

    Args:
        source: of a cell
        attachments: of the same cell: {name: {type: base64}}
    """

    def picture(found: re.Match) -> str:
        for kind, data in attachments.get(unquote(found[2]), {}).items():
            if kind in MARKS and isinstance(data, str):
                try:
                    start = base64.b64decode(data, validate=True)[:4]
                except (binascii.Error, ValueError):
                    continue
                if start.startswith(MARKS[kind]):
                    return f"![{found[1]}](data:{kind};base64,{data})"
        return f"(no picture {found[2]}: attachments are shown as PNG or JPEG only)"

    return re.sub(r"!\[([^\]\n]*)\]\(attachment:([^)\s]+)[^)\n]*\)", picture, source)
