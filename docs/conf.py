"""Sphinx settings of the site. `make site` calls build.py, which lays out the pages; nothing here runs a notebook."""

import inspect
import logging
import re

import latex2mathml.converter
from sphinx.util.docutils import nodes

import hrem_lib

logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells at length which build it takes

project = "HREM in notebooks"
release = version = hrem_lib.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["README.md"]  # index.md includes it
highlight_language = "text"  # of blocks that name none

nb_execution_mode = "off"  # the lessons' stored outputs are shown
nb_render_markdown_format = "myst"  # captions of figures hold formulas, too
nb_ipywidgets_js = {}  # would come from the network
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_show_search_summary = False  # the summaries are fetched, which browsers refuse on file://
html_math_renderer = "mathml"

autodoc_default_options = {"members": True, "member-order": "bysource", "special-members": "__call__"}
autodoc_inherit_docstrings = False  # not those of torch
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
viewcode_follow_imported_members = False  # its links would lead nowhere
maximum_signature_line_length = 100
add_module_names = False
napoleon_numpy_docstring = False
default_role = "code"  # of what stands between backticks on two lines

OPERATORS = {  # the converter makes letters of them, or lets them grow
    "<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>",  # ~
    "<mi>&#x000B1;</mi>": "<mo>&#x000B1;</mo>",  # plus or minus
    "<mo>&#x02016;</mo>": '<mo stretchy="false">&#x02016;</mo>',  # norm
}
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:")


def mathml(latex: str, display: str) -> str:
    """MathML, which browsers draw without a script; a command that the converter does not know is an error."""
    out = latex2mathml.converter.convert(latex.replace(r"\arg", r"\operatorname{arg}"), display=display)
    if "\\" in out:
        raise ValueError(f"no MathML for the formula {latex}: {out}")
    for old, new in OPERATORS.items():
        out = out.replace(old, new)
    return re.sub("<(mi|mo)>(log|ln|max|min|arg)</(mi|mo)>", r'<mo lspace="0.17em" rspace="0.1em">\2</mo>', out)


def inline_math(writer, node):
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(writer, node):
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def as_rst(line: str) -> str:
    """Our docstrings' `code` in reStructuredText: a link where it names something, else code."""
    parts = line.split("`")
    if "``" in line or len(parts) % 2 == 0:
        return line
    for n, part in enumerate(parts):
        if n % 2:
            parts[n] = f":py:obj:`{part}`" if re.fullmatch(r"[A-Za-z][\w.]*\w", part) else f"``{part}``"
        else:
            parts[n] = re.sub(r"((?<!\*)\*(?!\*)|[|@]|(?<=\w)_(?!\w))", r"\\\1", part)
    return "".join(parts)


def docstring(app, what, name, thing, options, lines):
    """Before napoleon reads it: indented text and columns outside Args and the like are literal; fields are listed."""
    out: list[str] = []
    section = literal = False
    for before, line in zip(["", *lines], lines, strict=False):
        outer = bool(line.strip()) and not line.startswith("    ")
        if line in SECTIONS or (outer and not before.strip()):
            section, literal = line in SECTIONS, False
        if not section and not literal and re.search(r"^    |\S {3,}\S", line):
            literal = True
            out += ["", "::", ""]
        out.append(f"    {line}" if literal else as_rst(line))
    lines[:] = out + (fields(thing) if what == "class" else [])


def fields(thing) -> list[str]:
    """Fields of a dataclass or a NamedTuple with the sentence that stands behind each as a comment."""
    if not (hasattr(thing, "__dataclass_fields__") or hasattr(thing, "_fields")):
        return []
    found = re.findall(r"^    (\w+: .+?)  # (.+)$", inspect.getsource(thing), re.MULTILINE)
    return ["", *(f"- ``{field}``: {as_rst(sentence)}" for field, sentence in found), ""]


def signature(app, what, name, thing, options, arguments, returned):
    """Sphinx reads no "<factory>", the default of a dataclass's list."""
    return (arguments or "").replace("<factory>", "...") or arguments, returned


def skip(app, what, name, thing, skipped, options):
    """Not the fields of a NamedTuple ("Alias for field number 0")."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("autodoc-process-docstring", docstring, priority=400)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
