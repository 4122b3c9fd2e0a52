"""One list of dependencies, explained, and the same for pip, conda and Binder."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]


def test_the_packages_of_the_course_are_core_dependencies():
    names = {re.match(r"[\w-]+", line)[0] for line in PROJECT["dependencies"]}
    assert {"torch", "transformers", "jupyterlab", "matplotlib", "seaborn", "umap-learn", "numpy", "nbval"} <= names


def test_every_dependency_has_two_bounds_and_a_reason():
    extras = [line for name in ("test", "course", "lint", "site") for line in PROJECT["optional-dependencies"][name]]
    for line in PROJECT["dependencies"] + extras:
        assert ">=" in line and "<" in line, line
        written, *_ = [text for text in PYPROJECT.splitlines() if text.strip().startswith(f'"{line}"')]
        if not line.startswith(("numpy",)):
            assert "#" in written, line


def test_conda_brings_python_and_pip_the_rest():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, lines = environment["dependencies"]
    version = re.fullmatch(r"python=(3\.\d+)", python)[1]  # Binder reads no other form
    assert float(version.split(".")[1]) >= float(PROJECT["requires-python"].split(".")[1])
    assert pip == "pip" and lines == {"pip": ["-e .[test]"]}


def test_ci_runs_the_readmes_test_command():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert {"make lint", "make test", "make assignments-check"} <= set(lines)


@pytest.mark.parametrize(
    ("modules", "most"),
    [
        ("attention pooling encoders graph interaction losses sampling model", 750),  # the method
        ("config text data", 900),  # reading and refusing
    ],
)
def test_core_stays_readable(modules, most):
    """The core is read in an afternoon: count code lines, without docstrings, comments and blank lines."""
    import ast

    total = 0
    for name in modules.split():
        source = (ROOT / "hrem_lib" / f"{name}.py").read_text(encoding="utf-8")
        statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
        code, text = set(), set()
        for node in statements:
            of_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            (text if of_text else code).update(range(node.lineno, node.end_lineno + 1))
        written = [line.strip() for line in source.splitlines()]
        total += sum(1 for n in code - text if written[n - 1] and not written[n - 1].startswith("#"))
    assert total <= most


def test_importing_the_library_is_cheap():
    """BERT, UMAP and seaborn take seconds to import: only where needed."""
    import subprocess
    import sys

    code = (
        "import sys, hrem_lib.model, hrem_lib.training, hrem_lib.evaluation, hrem_lib.cli;"
        "slow = ('umap', 'seaborn', 'sklearn', 'transformers.models.bert.modeling_bert');"
        "bad = [m for m in slow if m in sys.modules];"
        "sys.exit(','.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tests_named_in_the_readme_exist():
    text = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    all_tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    table = text[text.index("| Sec |") :]
    names = [n for n in re.findall(r"`([a-z0-9_.]+)`", table) if "_" in n and n not in ("make_tokenizer",)]
    assert len(names) > 40
    for name in names:
        name = name.removesuffix("...")
        assert (
            name.split(".")[0] in ("cap", "gnn", "step")
            or name in ("mean_", "topk_")
            or f"def test_{name}" in all_tests
        ), name
