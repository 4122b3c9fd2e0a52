"""The rule of imports: who may import whom inside `hrem_lib`. CONTRIBUTING.md's list is made from the table here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "hrem_lib"

# (what it is, modules in reading order): each imports only what stands before it
LAYERS = (
    ("what all need", "errors files config"),
    ("the method", "text pretrained data attention pooling encoders graph interaction losses sampling model"),
    ("training and figures", "metrics evaluation yardsticks distributed checkpoints training released hub"),
    ("the wings", "sample_world pictures search study"),
    ("what is drawn", "plots search.panel"),
    ("what is run", "exercises cli"),
)
BETWEEN_WINGS = {("pictures", "sample_world"), ("search", "pictures")}
SIDE_BY_SIDE = ("the wings", "what is run")  # apart from BETWEEN_WINGS, these rooms do not import each other


def listed() -> str:
    """The table as CONTRIBUTING.md has it."""
    return "\n".join(f"{n}. {what}: `{'` `'.join(rooms.split())}`" for n, (what, rooms) in enumerate(LAYERS, start=1))


ORDER = [(what, room) for what, rooms in LAYERS for room in rooms.split()]


def room_of(module: str) -> str:
    """The room of a module, e.g. `study` of `study.grids`; "" for the package itself."""
    names = [room for _, room in ORDER if module == room or module.startswith(room + ".")]
    return max(names, key=len, default="")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {name_of(path): path for path in sorted(LIBRARY.rglob("*.py"))}


def imported(path: Path, name: str) -> set[str]:
    """Modules of the library that a file imports, anywhere in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "hrem_lib"}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                source = ".".join(["hrem_lib", *above, *([source] if source else [])])
            if source.split(".")[0] == "hrem_lib":
                found |= {f"{source}.{alias.name}" for alias in node.names}
    modules = set()
    for full in found:
        inside = full.removeprefix("hrem_lib").removeprefix(".")
        while inside and inside not in MODULES:
            inside = inside.rpartition(".")[0]
        modules.add(inside)
    return modules - {""}


def against_the_rule(name: str, other: str) -> bool:
    here, there = room_of(name), room_of(other)
    if here == there:
        return False
    places = {room: at for at, (_, room) in enumerate(ORDER)}
    layer = {room: what for what, room in ORDER}
    if layer[here] == layer[there] and layer[here] in SIDE_BY_SIDE:
        return (here, there) not in BETWEEN_WINGS
    return places[there] > places[here]


def test_every_module_has_a_room():
    assert [name for name in MODULES if name not in ("", "__main__") and not room_of(name)] == []
    assert [room for _, room in ORDER if room not in MODULES] == []


def test_imports_go_one_way():
    pairs = [
        f"{name} -> {other}"
        for name, path in MODULES.items()
        if name not in ("", "__main__")
        for other in imported(path, name)
        if against_the_rule(name, other)
    ]
    assert pairs == []


@pytest.mark.parametrize(
    ("name", "other", "against"),
    [
        ("config", "training", True),
        ("training", "plots.training", True),
        ("distributed", "checkpoints", True),
        ("study.grids", "pictures.images", True),
        ("search.searcher", "pictures.images", False),
        ("search.searcher", "plots.style", True),
        ("search.panel", "plots.style", False),
        ("search.embedder", "search.panel", True),
        ("cli.train", "exercises.nb00", True),
        ("graph", "encoders", False),
        ("encoders", "graph", True),
    ],
)
def test_the_rule(name, other, against):
    assert against_the_rule(name, other) is against


def test_imports_within_a_wing_have_no_circle():
    edges = {name: {o for o in imported(path, name) if o != name} for name, path in MODULES.items()}
    edges = {n: {o for o in others if room_of(o) == room_of(n) != ""} for n, others in edges.items()}
    while free := [name for name, others in edges.items() if not others & edges.keys()]:
        for name in free:
            del edges[name]
    assert sorted(edges) == []


def test_contributing_has_the_table():
    assert listed() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_package_alone_loads_nothing():
    code = "import sys, hrem_lib; sys.exit(', '.join(m for m in ('torch', 'numpy', 'yaml') if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_public_names():
    import hrem_lib as hrem

    for name in hrem.__all__:
        thing = getattr(hrem, name)
        assert callable(thing) and thing.__doc__, name
        assert name in dir(hrem)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hrem.nothing  # noqa: B018
