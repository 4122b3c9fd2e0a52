"""`make site`: everything is listed, nothing comes from the network. The whole build needs the extra `site`."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_imports import LAYERS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LISTED = re.findall(r"^[\w/-]+$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
FROM_THE_NETWORK = re.compile(r"""(?:\bsrc=|<link[^>]+href=|url\(|@import )["']?(?:https?:)?//[^"')\s]+""")


@pytest.mark.parametrize("name", ["conf.py", "build.py"])
def test_settings_are_python(name):
    assert ast.parse((DOCS / name).read_text(encoding="utf-8"))


def test_every_lesson_page_and_module_is_listed():
    wanted = [path for folder in ("notebooks", "docs") for path in sorted((ROOT / folder).glob("*.*"))]
    wanted = [path.relative_to(ROOT).with_suffix("").as_posix() for path in wanted if path.suffix in (".md", ".ipynb")]
    rooms = {what: names.split() for what, names in LAYERS}
    modules = ["config", *(m for what in ("the method", "training and figures", "the wings") for m in rooms[what])]
    wanted += [
        "results/README",
        "results/claims",
        "results/arms",
        "CONTRIBUTING",
        "CHANGELOG",
        "api/hrem_lib",
        *(f"api/{name}" for name in modules),
    ]
    assert sorted({*wanted} - {*LISTED}) == ["docs/index"]
    assert len(LISTED) == len({*LISTED})
    order = [page.removeprefix("api/") for page in LISTED if page.startswith("api/")]
    assert [name for name in order if name in modules] == modules


def test_nothing_comes_from_the_network():
    assert FROM_THE_NETWORK.search('<script src="https://a.b/c.js">') and FROM_THE_NETWORK.search("url(//a.b/c.ttf)")
    for path in (DOCS / "site.css", DOCS / "conf.py", DOCS / "build.py", DOCS / "index.md"):
        assert "http" not in path.read_text(encoding="utf-8").replace("https?:", ""), path


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_nb", "furo", "latex2mathml", "ziamath")),
    reason="needs the extra `site`",
)
def test_the_site_is_built_without_a_warning(tmp_path):
    site = tmp_path / "site"
    done = subprocess.run([sys.executable, DOCS / "build.py", site], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in LISTED:
        assert (site / f"{page}.html").exists(), page
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert not FROM_THE_NETWORK.search(text), path
        assert "&lt;no title&gt;" not in text and str(ROOT) not in text, path
        assert not re.search(r'<img [^>]*alt="[^"]*\.png"', text), path
        for link, anchor in re.findall(r'(?:href|src)="(?!https?:|data:)([^"#?]*)[^"#]*(?:#([^"]*))?"', text):
            target = (path.parent / link).resolve() if link else path
            assert target.exists(), f"{path}: {link}"
            if anchor and target.suffix == ".html":
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), f"{path}: {link}#{anchor}"
    lesson = (site / "notebooks" / "05_sampling_and_losses.html").read_text(encoding="utf-8")
    assert lesson.count("<math ") > 10 and "$$" not in lesson
    assert 'alt="Pipeline of eight boxes; the box losses and sampling is filled."' in lesson
    assert 'href="solutions/05_sampling_and_losses_solutions.html"' in lesson
    assert 'id="hrem_lib.losses.triplet"' in (site / "api" / "losses.html").read_text(encoding="utf-8")
