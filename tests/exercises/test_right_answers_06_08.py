"""Right answers to lessons 06 to 08 are never refused: the solutions of the lessons, and other forms of each."""

import heapq
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hrem_lib import exercises
from hrem_lib.exercises.nb08 import CARD
from hrem_lib.plots.retrieval import picture_facts
from hrem_lib.sample_world import catalog

jupytext = pytest.importorskip("jupytext")
SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "source"


@pytest.mark.parametrize("lesson", ["06", "07", "08"])
def test_every_solution_is_right(lesson):
    sys.path.insert(0, str(SOURCE))
    import build

    kinds = {}

    def check(exercise, *answer):
        kinds[exercise] = exercises.judge(exercise, *answer)

    names = {}
    (source,) = SOURCE.glob(f"{lesson}_*.py")
    for cell in jupytext.read(source).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and ("setup" in tags or "exercise" in tags):
            exec(build.solved(cell.source), names)
            names["check"] = check
    assert len(kinds) >= 4 and all(kind == "right" for kind, _ in kinds.values()), kinds


def by_heart(losses, collapse):
    last = [float(loss) for loss in losses][-5:]
    return all(math.isfinite(loss) for loss in losses) and sum(last) / 5 < 0.1 * collapse


def by_heart_torch(losses, collapse):
    losses = torch.as_tensor(losses)
    return bool(losses.isfinite().all() and losses[-5:].mean() < collapse / 10)


def silent_counted(model):
    heard = {name: 0 for name, _ in model.named_children()}
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            heard[name.split(".")[0]] += int(weight.grad.count_nonzero())
    return {name for name, count in heard.items() if not count}


def silent_maximum(model):
    def largest(part):
        return max((float(p.grad.abs().max()) for p in part.parameters() if p.grad is not None), default=0.0)

    return tuple(name for name, part in model.named_children() if largest(part) == 0)


def rate_loop(epoch, base, decay_epochs, factor):
    for after in decay_epochs:
        if epoch > after:
            base *= factor
    return base


def optimism_loop(dev, test):
    total = 0
    for d, t in zip(dev.tolist(), test.tolist(), strict=True):
        total += max(t) - t[d.index(max(d))]
    return total / len(dev)


def optimism_torch(dev, test):
    dev, test = torch.as_tensor(dev), torch.as_tensor(test)
    return (test.amax(1) - test.gather(1, dev.argmax(1, keepdim=True))[:, 0]).mean()


def search_heap(query, stored, k):
    similarity = (stored @ query).tolist()
    best = heapq.nsmallest(k, range(len(similarity)), key=lambda i: (-similarity[i], i))
    return best, [similarity[i] for i in best]


def search_torch(query, stored, k):
    found = (torch.from_numpy(stored) @ torch.from_numpy(query)).sort(descending=True, stable=True)
    return found.indices[:k], found.values[:k]


def hubs_loop(similarity, k):
    counts = np.zeros(similarity.shape[1])
    for row in similarity:
        for j in np.argsort(-row, kind="stable")[:k]:
            counts[j] += 1
    return counts


def hubs_torch(similarity, k):
    order = torch.from_numpy(similarity).argsort(dim=1, descending=True, stable=True)
    return torch.bincount(order[:, :k].flatten(), minlength=similarity.shape[1])


def center_loop(image_emb, text_emb):
    sides = []
    for side in (image_emb, text_emb):
        rows = side - np.mean(side, axis=0, keepdims=True)
        sides.append(np.stack([row / np.sqrt(row @ row) for row in rows]))
    return sides


def center_torch(image_emb, text_emb):
    sides = (torch.from_numpy(side) for side in (image_emb, text_emb))
    return tuple(torch.nn.functional.normalize(side - side.mean(0), dim=1).numpy() for side in sides)


def failure_by_scene(wanted, found, named):
    one, other = (catalog.ACTIONS[scene["action"]] for scene in (wanted, found))
    if one.key != other.key:
        return "relation" if one.group == other.group else "scene"
    return "attribute" if set(named) - picture_facts(found) else "twin"


def rerank_sorted(scores, support, k, weight):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    top = sorted(order[:k], key=lambda i: -(scores[i] + weight * support[i]))
    return top + order[k:]


def convert_table(state):
    table = {f"ffn.{theirs}.{kind}": f"linear{ours}.{'weight' if kind == 'kernel' else 'bias'}"
             for ours, theirs in ((1, "first"), (2, "second")) for kind in ("kernel", "bias")}  # fmt: skip
    out = {}
    for name, tensor in state.items():
        short = name[7:] if name[:7] == "module." else name
        if short not in table:
            raise ValueError(short)
        out[table[short]] = tensor.t().clone() if short.endswith("kernel") else tensor.clone()
    return out


def fault_subtracted(theirs, ours, tolerance):
    for name in theirs:
        if name not in ours or ours[name].shape != theirs[name].shape:
            return name
        if not (ours[name] - theirs[name]).abs().max() <= tolerance:
            return name


def fault_numpy(theirs, ours, tolerance):
    for name, wanted in theirs.items():
        got = ours.get(name)
        if got is None or tuple(got.shape) != tuple(wanted.shape):
            return name
        difference = np.abs(got.numpy() - wanted.numpy())
        if np.isnan(difference).any() or (difference > tolerance).any():
            return name
    return None


def interval_loop(hits_a, hits_b, samples=2000, seed=0):
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(samples):
        rows = rng.integers(0, len(hits_a), len(hits_a))
        differences.append(100 * (hits_a[rows].mean() - hits_b[rows].mean()))
    return np.quantile(differences, 0.025), np.quantile(differences, 0.975)


def interval_torch(hits_a, hits_b, samples=2000, seed=0):
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.from_numpy(hits).double().mean(1) for hits in (hits_a, hits_b))
    rows = torch.randint(len(a), (samples, len(a)), generator=draw)
    return (100 * (a - b)[rows].mean(1)).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).numpy()


RIGHT = [
    ("06a", by_heart), ("06a", by_heart_torch), ("06b", silent_counted), ("06b", silent_maximum), ("06c", rate_loop),
    ("06d", " Umbrella "), ("06e", optimism_loop), ("06e", optimism_torch), ("07a", search_heap),
    ("07a", search_torch), ("07b", hubs_loop), ("07b", hubs_torch), ("07c", center_loop), ("07c", center_torch),
    ("07d", failure_by_scene), ("07e", rerank_sorted), ("08a", convert_table), ("08b", fault_subtracted),
    ("08b", fault_numpy), ("08c", interval_loop), ("08c", interval_torch),
    ("08d", CARD | {"selected on": "the test split", "test images": "1,000", "hardware": "1 GPU, nine hours"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("exercise", "answer"), RIGHT, ids=[f"{e}-{getattr(a, '__name__', 'value')}" for e, a in RIGHT]
)
def test_other_forms_are_right(exercise, answer):
    kind, text = exercises.judge(exercise, answer)
    assert kind == "right", text
