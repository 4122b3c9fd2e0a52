"""examples/hrem_in_two_pages.py: short, on its own, the notebook's cells, and the library's numbers in float64."""

import ast
import dataclasses
import importlib.util
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch

from hrem_lib import build_model, config, data, evaluation, text, training

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "examples" / "hrem_in_two_pages.py"


def load():
    spec = importlib.util.spec_from_file_location("two_pages", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def two():
    return load()


@pytest.fixture(scope="module")
def world():
    split = data.open_split(data.sample_dir(), "train")
    vocabulary = text.Vocabulary.build(split.captions)
    return split, vocabulary, data.PairDataset(split, vocabulary.encode(split.captions))


def code_lines(source):
    tree, strings = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            strings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return [line for number, line in lines if number not in strings and line.strip() and line.strip()[0] != "#"]


def test_it_is_short_and_only_reads_data_with_the_library():
    source = PATH.read_text()
    assert len(code_lines(source)) <= 160
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = [node for node in imports if "hrem_lib" in ast.unparse(node)]
    assert [ast.unparse(node) for node in ours] == ["from hrem_lib import data, text"]


def test_the_notebook_shows_every_part_once_and_in_order():
    parts = [cell.metadata["part"] for cell in jupytext.read(PATH).cells if "part" in cell.metadata]
    lesson = jupytext.read(ROOT / "notebooks" / "source" / "06_training.py")
    assert [cell.metadata["page"] for cell in lesson.cells if "page" in cell.metadata] == parts[:-1]
    assert parts[-1] == "main"


def pair(two, world, seed, **preset):
    """Our model and the library's with the same weights, and a batch in float64."""
    split, vocabulary, pairs = world
    settings = config.preset("sample").override({"model.dropout": 0, **preset})
    torch.manual_seed(seed)
    theirs = build_model(settings, split.region_dim, vocabulary.size).double()
    ours = two.build(split.region_dim, vocabulary.size, dropout=0).double()
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.copy_(other)
    captions = np.random.default_rng(seed).permutation(len(pairs))[: 32 * (seed + 1)]
    if seed == 1:
        captions[1] = captions[0] // 5 * 5 + (captions[0] + 1) % 5  # two captions of one picture
    batch = pairs[data.BatchPlan(1, 0, captions)]
    rows = data.drop_regions(batch.region_mask.numpy(), np.random.default_rng(seed), 0.4)  # masks with holes
    batch = dataclasses.replace(batch, regions=batch.regions.double(), region_mask=torch.from_numpy(rows))
    return ours, theirs, settings, batch


def losses_and_gradients(two, ours, theirs, settings, batch, relate):
    torch.manual_seed(7)
    loss = two.loss_of(ours, batch, relate)
    torch.manual_seed(7)
    terms, _, _ = training.forward(theirs, training.make_objective(settings), batch, relate, True)
    loss.backward()
    sum(terms.values()).backward()
    zeros = [torch.zeros(()) for _ in range(2)]
    gaps = [
        float(((zeros[0] if a.grad is None else a.grad) - (zeros[1] if b.grad is None else b.grad)).abs().max())
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    ]
    return abs(float(loss.detach()) - float(sum(terms.values()).detach())), max(gaps)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("relate", [True, False])
def test_loss_and_gradients_are_the_librarys(two, world, seed, relate):
    loss, gradient = losses_and_gradients(two, *pair(two, world, seed), relate)
    assert loss < 1e-10 and gradient < 1e-8


@pytest.mark.parametrize(("name", "value"), [("RHO", 0.4), ("LAMBDA", 0.9), ("BETA", 0.7), ("N", 32), ("MARGIN", 0.3)])
def test_a_wrong_constant_is_seen(two, world, name, value):
    models = pair(two, world, 2)
    setattr(two, name, value)
    assert losses_and_gradients(two, *models, True)[0] > 1e-4


def test_recalls_are_the_librarys(two, world):
    ours, theirs, _, _ = pair(two, world, 0)
    dev = data.open_split(data.sample_dir(), "dev")
    tokens = world[1].encode(dev.captions)
    got = two.recalls(ours.float(), dev, tokens)
    wanted = evaluation.evaluate([(theirs.float(), tokens)], dev)
    flat = [wanted[way][f"R@{k}"] for way in ("i2t", "t2i") for k in (1, 5, 10)]
    assert got == pytest.approx(flat, abs=1e-9)


def test_it_learns(two, world):
    class Few:
        def __len__(self):
            return 128

        def __getitem__(self, plan):
            return world[2][plan]

    torch.manual_seed(0)
    model = two.build(world[0].region_dim, world[1].size, dropout=0)
    batch = world[2][data.BatchPlan(1, 0, np.arange(0, 128, 2))]
    before = float(two.loss_of(model.eval(), batch, False).detach())
    for _ in two.train(model, Few(), epochs=12, decays=(), warmup=6, batch=64):
        pass
    assert float(two.loss_of(model.eval(), batch, False).detach()) < 0.7 * before
