"""README and docs are executed: their commands run, links lead somewhere, tables come from result files."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from hrem_lib import config as configs
from hrem_lib.cli import main, parser
from hrem_lib.study import results, runs, tables

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
RECIPE, USAGE = DOCS["recipe"], DOCS["usage"]
PAGES = [README, *DOCS.values()]


def commands(language, page=README):
    """Lines of a page's code blocks of a language ("" for none), without comments."""
    lines, inside = [], None
    for line in page.splitlines():
        if line.startswith("```"):
            inside = line[3:] if inside is None else None
        elif inside == language and line.strip():
            lines.append(line.split("  #")[0].strip())
    return lines


def test_quick_start_commands_are_make_targets():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    quick = [c.split("#")[0].split() for c in commands("bash") if c.startswith("make")]
    assert [c[1] for c in quick] == ["run", "test"]
    assert all(c[1] in targets for c in quick) and "lab" in targets


def test_hrem_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    lines = [shlex.split(c, comments=True) for c in commands("bash") if c.startswith("hrem ")]
    lines += [shlex.split(c, comments=True) for c in commands("bash", USAGE)]
    assert len(lines) >= 5 and lines[0][1:3] == lines[1][1:3] == ["search", "data_samples/checkpoint"]
    before = sorted((ROOT / "data_samples" / "checkpoint").rglob("*"))
    for line in lines[:2]:
        assert main(line[1:]) == 0, line
    shown, got = commands("text"), capsys.readouterr().out.splitlines()
    assert got.pop(0).startswith(
        "no index yet: making one of the 200 pictures of sample_precomp/test in runs/sample-index"
    )
    assert len(shown) == 6 and len(got) == len(shown)
    for wanted, line in zip(shown, got, strict=True):
        wanted, line = wanted.split(), line.split()
        if wanted[0].isdigit():  # place, cosine, answer; the cosine to the last printed digit
            assert float(line.pop(1)) == pytest.approx(float(wanted.pop(1)), abs=1.5e-3)
        assert wanted == line
    assert main(["index", "data_samples/checkpoint", "--split", "dev"]) == 0
    assert sorted((ROOT / "data_samples" / "checkpoint").rglob("*")) == before
    for line in lines[2:]:
        assert main(line[1:]) == 0, line


def test_the_first_commands_are_the_searches():
    first = [c for c in commands("bash") if not c.startswith("#")][:2]
    assert all(c.startswith("hrem search data_samples/checkpoint ") for c in first)
    assert README.index("## First look") < README.index("## Two commands")


def test_grids_of_the_results_page_train_in_a_fresh_clone(tmp_path, monkeypatch):
    """Its commands run the whole grid, though the files of the reported runs are in results/."""
    monkeypatch.chdir(ROOT)
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    lines = [c for c in commands("", page) if c.startswith("hrem ablate ")]
    assert len(lines) == 5
    asked = []
    monkeypatch.setattr(runs, "run_grid", lambda cells, runs, folder, jobs: asked.append((runs, folder)))
    monkeypatch.setattr(tables, "table", lambda *args: "")
    for line in lines:
        assert main(line.split("   ")[0].split()[1:]) == 0, line
        grid = line.split()[2]
        assert asked[-1] == (Path("runs/ablate"), Path("runs/ablate") / f"{grid}-results")
    ignored = subprocess.run(
        ["git", "check-ignore", "runs/ablate/sample-results/x.json"], cwd=ROOT, capture_output=True
    )
    assert ignored.returncode in (0, 128)  # 128: not a git checkout


def test_every_command_is_documented():
    shown = {c.split()[1] for c in commands("", USAGE) if c.startswith("hrem ")}
    known = set(parser()._subparsers._group_actions[0].choices)
    assert known <= shown


def test_commands_of_all_pages_are_known():
    """Those that need data or devices that are not here are parsed: command and flags exist."""
    lines = [
        c for page in PAGES for language in ("", "bash") for c in commands(language, page) if c.startswith("hrem ")
    ]
    assert len(lines) > 20
    for line in lines:
        if "[" in line or line.isupper():
            continue  # the usage's own summary
        words = shlex.split(line.split("   ")[0])[1:]
        words = [w for w in words if not (w.startswith("--") and "." in w)]  # settings: see below
        _, extra = parser().parse_known_args(words)
        assert not [word for word in extra if word.startswith("-")], line


def test_readme_is_short():
    assert len(README.encode()) <= 8000
    for name, page in DOCS.items():
        assert len(page.encode()) <= (16_000 if name == "notation" else 8000), name  # it is looked up, not read


def test_python_of_the_readme_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 5
    names = {}
    exec(code, names)
    assert names["scores"].shape == (2, 200)
    assert names["scores"][0].argmax() == 22  # the first answer of the first command


def test_the_picture_of_the_method_is_drawn_again(tmp_path):
    """The same size and nearly the same pixels: fonts differ by their version."""
    import sys

    import numpy as np
    from PIL import Image

    script = tmp_path / "method.py"
    script.write_text((ROOT / "docs" / "method.py").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, str(script)], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    new, old = (np.asarray(Image.open(f / "method.png").convert("L"), float) for f in (tmp_path, ROOT / "docs"))
    assert new.shape == old.shape and (np.abs(new - old) > 64).mean() < 0.02


def test_dry_run_of_the_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", RECIPE, re.DOTALL)[1], {})
    doctor, *lines = [c.split() for c in commands("bash", RECIPE)]
    assert main(doctor[1:]) == 2
    checked = capsys.readouterr().out.splitlines()
    failed = [line for line in checked if line.startswith("[FAIL]")]
    assert len(failed) == 3 and all("wanted" in line and "f30k_precomp/" in line for line in failed)
    assert len(lines) == 3
    for line in lines:
        assert main(line[1:]) == 0, line
    stored = [json.loads((tmp_path / "runs" / "dry" / name / "metrics.json").read_text()) for name in ("f30k", "coco")]
    assert stored[0]["test"]["images"] == 5 and stored[1]["test"]["folds"]["folds"] == 5


TRAINING = [c for page in PAGES for c in commands("", page) if c.startswith("hrem train ") and "PRESET" not in c]


@pytest.mark.parametrize("line", TRAINING)
def test_recipes_hold_known_settings(line):
    words = line.split("   ")[0].split()
    settings = {
        w.removeprefix("--"): v for w, v in zip(words, words[1:], strict=False) if w.startswith("--") and "." in w
    }
    assert configs.preset(words[2]).override(settings)


def test_tables_are_made_from_the_result_files():
    stored = results.load(ROOT / "results")
    for page in (ROOT / "README.md", *(ROOT / "results").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert tables.fill(text, stored) == text, page
    assert "<!-- answer -->\n| |" in README
    assert "<!-- main -->\n| claim |" in (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "results" / "arms.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- results (sample|f8k) -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert [data for data, _ in shown] == ["sample", "f8k"]
    for data, text in shown:
        runs = [r for r in stored if r["study"] == data]
        for arm in {r["arm"] for r in runs}:
            sums = [r["test"]["rSum"] for r in runs if r["arm"] == arm]
            assert f"| {len(sums)} |" in text and f"{sum(sums) / len(sums):.1f}" in text
        assert runs


def test_links_lead_somewhere():
    for folder in (".", "docs", "data_samples", "results", "benchmarks", "tests", "notebooks/assignments"):
        for page in (ROOT / folder).glob("*.md"):
            for target in re.findall(r"\]\(((?!http)[^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_links_of_the_notebooks_lead_somewhere():
    books = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")]
    found = 0
    for book in books:
        cells = json.loads(book.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for target in re.findall(r"\]\(((?!http)[^)#]+)(?:#[^)]*)?\)", text):
            assert (book.parent / target).exists(), f"{book.name}: {target}"
            found += 1
    assert found > 40


def test_repository_names_no_machine_and_no_large_file():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        assert path.stat().st_size < 5_000_000, name
        if path.suffix in (".py", ".md", ".toml", ".yml", ".cfg", ".ipynb") and "fixtures" not in name:
            assert not re.search("/(work|root)" + "/[a-z]", path.read_text(encoding="utf-8")), name
