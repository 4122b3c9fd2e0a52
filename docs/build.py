"""`make site`: the lessons with their stored outputs, the pages and the API as a static site; runs no notebook.

    python docs/build.py [FOLDER]

The pages are laid out in a temporary folder as they lie in the repository, so that their links hold; a link to code
goes to its API page, one to another file to a copy. Settings: conf.py; the order of the pages: index.md.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import ziamath
from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LISTED = re.findall(r"^[\w/-]+$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
API = [page.removeprefix("api/") for page in LISTED if page.startswith("api/")]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)")


def lay_out(out: Path) -> None:
    """Everything that Sphinx reads, into the folder `out`."""
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "notebooks" / "assignments").glob("*.md")]
    pages += [path for folder in ("results", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.md")]
    for page in pages:
        copy_page(page, out)
    (out / "docs" / "index.md").rename(out / "index.md")
    for book in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")]:
        copy_notebook(book, out)
    (out / "api").mkdir()
    for name in API:
        (out / "api" / f"{name}.md").write_text(api_page(name), encoding="utf-8")
    (out / "_static").mkdir()
    shutil.copy(DOCS / "site.css", out / "_static")
    shutil.copy(
        Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf", out / "_static"
    )  # for the formulas
    shutil.copy(DOCS / "conf.py", out)


def copy_page(page: Path, out: Path) -> None:
    target = out / page.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = LINK.sub(lambda link: new_link(link, page.parent, out), page.read_text(encoding="utf-8"))
    listed = target.relative_to(out).with_suffix("").as_posix() in (*LISTED, "README", "docs/index")
    if not text.startswith("# ") and not listed:
        text = f"# {page.stem}\n\n{text}"
    if not listed:  # reached by links alone
        text = f"---\norphan: true\n---\n{text}"
    target.write_text(text, encoding="utf-8")


def new_link(link: re.Match, folder: Path, out: Path) -> str:
    """A page's link in the site: to a page, to the API, to a copy of a file; a folder's name without a link."""
    image, text, target, anchor = link.groups(default="")
    path = (folder / target).resolve()
    inside = path.relative_to(ROOT)
    if inside.as_posix() == "README.md":
        return f"{image}[{text}](/index.md{anchor})"
    if inside.parts[0] == "hrem_lib":
        return f"[{text}](/api/{api_of(inside)}.md)" if api_of(inside) else text
    if path.is_dir():
        return f"[{text}](/{inside.as_posix()}/README.md)" if (path / "README.md").exists() else text
    if path.suffix not in (".md", ".ipynb"):
        (out / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, out / inside)
    return link[0]


def api_of(inside: Path) -> str:
    """The API page that has a module of the library, "" without one."""
    name = inside.parts[1].removesuffix(".py")
    return "hrem_lib" if name == "__init__" else name if name in API else ""


def copy_notebook(path: Path, out: Path) -> None:
    """A notebook as it is stored, with its number in the title and what its figures show as alternative text."""
    book = json.loads(path.read_text(encoding="utf-8"))
    book["metadata"].pop("widgets", None)  # need a kernel, and scripts from the network
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["outputs"] = [o for o in cell["outputs"] if not any("widget" in kind for kind in o.get("data", ()))]
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):  # one figure a cell
                cell["metadata"]["mystnb"] = {"image": {"alt": output["metadata"]["image/png"]["alt"]}}
    number = path.name[:2]
    if path.parent.name == "solutions":  # reached from the lesson, not listed
        book["metadata"]["orphan"] = True
        lesson = f"../{path.name.replace('_solutions', '')}"
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = re.sub("^#+ ", "## ", cell["source"]).replace("](solutions/", "](")
        title = f"# {number} · Solutions\n\n[The lesson]({lesson})"
        book["cells"].insert(0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": title})
    else:
        book["cells"][0]["source"] = book["cells"][0]["source"].replace("# ", f"# {number} · ", 1)
    target = out / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(book), encoding="utf-8")


def api_page(name: str) -> str:
    """A module, or a wing and its modules; for the package its public names."""
    if name == "hrem_lib":
        import hrem_lib

        homes = [f"- {{py:obj}}`hrem_lib.{n} <hrem_lib.{hrem_lib._HOMES[n]}.{n}>`" for n in hrem_lib.__all__]
        return (
            "# hrem_lib\n\n" + automodule("hrem_lib", members=False) + "\n## Public names\n\n" + "\n".join(homes) + "\n"
        )
    text = f"# {name}\n\n{automodule(f'hrem_lib.{name}')}"
    for path in sorted((ROOT / "hrem_lib" / name).glob("[a-z]*.py")):
        text += f"\n## {name}.{path.stem}\n\n{automodule(f'hrem_lib.{name}.{path.stem}')}"
    return text


def automodule(name: str, members: bool = True) -> str:
    return f"```{{eval-rst}}\n.. automodule:: {name}\n" + "   :no-members:\n" * (not members) + "```\n"


def main(folder: Path) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        pages, trees, html = (Path(temporary) / name for name in ("pages", "trees", "html"))
        pages.mkdir()
        lay_out(pages)
        code = build_main(["-q", "-W", "--keep-going", "-b", "html", "-d", str(trees), str(pages), str(html)])
        if not (html / "index.html").exists():
            return code
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(html, folder, ignore=shutil.ignore_patterns(".buildinfo", "objects.inv"))
    print(f"open {os.path.relpath(folder / 'index.html')} in a browser")
    return code


if __name__ == "__main__":
    sys.exit(main(ROOT / "site" if len(sys.argv) < 2 else Path(sys.argv[1])))
