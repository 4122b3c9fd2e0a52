"""Run by torchrun from test_distributed.py: two processes with B pairs each against one with 2B. Writes JSON.

With HREM_SLOW_THREADS=1 (Linux) gloo's threads run only when nothing else does: what they leave to the end comes too
late. Beside a process that never rests, on one processor (`taskset -c 0`), a group that outlives the run then aborts.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from composition import first_of_best
from tiny import config

from hrem_lib import data, distributed, losses, training
from hrem_lib.model import build_model

FRAGMENTS = {"regions": 6, "width": 7, "words": 9}


def batch_of(pairs: int, dtype: torch.dtype) -> data.Batch:
    """Pairs of different lengths; the second half's captions are shorter than the first half's."""
    rng = np.random.default_rng(0)
    regions = torch.tensor(rng.standard_normal((pairs, FRAGMENTS["regions"], FRAGMENTS["width"])), dtype=dtype)
    region_mask = torch.arange(FRAGMENTS["regions"]) < torch.tensor(rng.integers(2, 7, pairs))[:, None]
    lengths = torch.tensor(
        np.where(np.arange(pairs) < pairs // 2, rng.integers(5, 10, pairs), rng.integers(2, 5, pairs))
    )
    word_mask = torch.arange(int(lengths.max())) < lengths[:, None]
    words = torch.where(word_mask, torch.tensor(rng.integers(4, 30, word_mask.shape)), 0)
    ids = torch.tensor(rng.permutation(np.arange(pairs) // 2))  # pictures stand twice in a batch, across processes too
    return data.Batch(regions * region_mask[..., None], region_mask, words, word_mask, ids, torch.arange(pairs))


def part_of(batch: data.Batch) -> data.Batch:
    """This process's pairs, cut to their own longest caption."""
    rows = torch.from_numpy(distributed.local_part(np.arange(batch.size)))
    part = {name: tensor[rows] for name, tensor in vars(batch).items()}
    longest = int(part["word_mask"].sum(1).max())
    return data.Batch(**{n: t[:, :longest] if n in ("words", "word_mask") else t for n, t in part.items()})


def compare(dtype: torch.dtype, relation: bool, **settings) -> dict[str, float]:
    """Largest differences of loss terms, gradients and BatchNorm statistics, and the largest gradient."""
    found = config("", model__dropout=0.0, **settings)
    torch.manual_seed(0)
    model = build_model(found, FRAGMENTS["width"], 30).to(dtype).train()
    objective, batch = training.make_objective(found), batch_of(12, dtype)
    shared = copy.deepcopy(model)
    if distributed.rank() > 0:
        for tensor in shared.state_dict().values():
            tensor.zero_()  # process 0's weights are taken
    distributed.data_parallel(shared)
    several, _, _ = training.forward(shared, objective, part_of(batch), relation, True)
    sum(several.values()).backward()
    distributed.average_gradients(shared)
    number, distributed.world_size = distributed.world_size, lambda: 1  # the same library alone
    single, _, _ = training.forward(model, objective, batch, relation, True)
    distributed.world_size = number
    sum(single.values()).backward()
    mine = dict(shared.named_parameters())
    pairs = [(p.grad, mine[name].grad) for name, p in model.named_parameters() if p.grad is not None]
    statistics = zip(model.buffers(), shared.buffers(), strict=True)
    return {
        "terms": max(float((several[name] - value).detach().abs()) for name, value in single.items()),
        "gradients": max(float((a - b).abs().max()) for a, b in pairs),
        "statistics": max(float((a - b).abs().max()) for a, b in statistics),
        "largest_gradient": max(float(a.abs().max()) for a, _ in pairs),
        "compared": len(pairs),
    }


def threads() -> dict[int, str]:
    """Number and name of this process's threads, by the system (Linux; elsewhere none)."""
    folder = Path("/proc/self/task")
    return {int(t.name): (t / "comm").read_text().strip() for t in folder.iterdir()} if folder.is_dir() else {}


def main(out: Path) -> None:
    triplet = losses.triplet
    losses.triplet = lambda *args: triplet(*args, draw=first_of_best)
    before = threads()
    with distributed.processes():
        of_group = threads().keys() - before
        if os.environ.get("HREM_SLOW_THREADS"):
            for number in of_group:
                os.sched_setscheduler(number, os.SCHED_IDLE, os.sched_param(0))
        import torch.distributed.nn.functional  # as a library may, in the midst of a run

        results = {"world": distributed.world_size()}
        for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
            results[f"warm-up {name}"] = compare(dtype, False)
            for kind in ("fusion", "standalone"):
                results[f"{kind} {name}"] = compare(dtype, True, graph__interaction=kind)
            results[f"hinge {name}"] = compare(dtype, True, loss__initial="hinge", loss__enhanced="hinge")
        with distributed.process_rng(torch.device("cpu")):
            own = torch.rand(3)
        common = torch.rand(3)
        results["own draws differ"] = bool((distributed.gather(own[None])[0] != distributed.gather(own[None])[1]).all())
        results["common draws agree"] = bool((distributed.gather(common[None])[:1] == common).all())
        first = distributed.rank() == 0
    results["threads of the group"] = len(of_group)
    results["threads left"] = sorted(name for number, name in threads().items() if number in of_group)
    if first:
        out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
