"""Several processes: the batch whose graph is built is the whole one (two gloo processes on this machine)."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from hrem_lib import distributed

ROOT = Path(__file__).resolve().parent.parent


def torchrun(*arguments, processes=2, before=(), **variables):
    """The outcome of a command under torchrun, on this machine alone; `before`: words in front of it."""
    folders = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1", **variables}
    command = [
        *before,
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
    ]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "results.json"
    done = torchrun(str(ROOT / "tests" / "two_processes.py"), str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(out.read_text()), "stderr": done.stderr}


@pytest.mark.parametrize("case", ["warm-up", "fusion", "standalone", "hinge"])
@pytest.mark.parametrize(("precision", "limit"), [("float64", 1e-10), ("float32", 1e-5)])
def test_two_processes_give_the_loss_and_gradients_of_one(results, case, precision, limit):
    assert results["world"] == 2
    found = results[f"{case} {precision}"]
    assert found["compared"] > 15 and found["largest_gradient"] > 0.1  # there is something to compare
    scale = max(1.0, found["largest_gradient"])
    assert found["terms"] < limit * scale and found["gradients"] < limit * scale and found["statistics"] < limit


def test_dropout_differs_between_processes_and_negatives_do_not(results):
    assert results["own draws differ"] and results["common draws agree"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_no_thread_of_the_group_outlives_it(results):
    """Else one may drop its last tensor while the interpreter ends: "terminate called without an active exception"."""
    assert results["threads of the group"] > 0 and results["threads left"] == []


@pytest.mark.skipif(not os.environ.get("HREM_SLOW") or sys.platform != "linux", reason="HREM_SLOW=1: minutes, Linux")
def test_exit_with_threads_that_come_last(tmp_path):
    """Twenty times on one processor beside a process that never rests; 17 of 20 aborted."""
    spinner = subprocess.Popen(["taskset", "-c", "0", sys.executable, "-c", "while True: pass"])
    try:
        for number in range(20):
            script = [str(ROOT / "tests" / "two_processes.py"), str(tmp_path / "out.json")]
            done = torchrun(*script, before=["taskset", "-c", "0"], HREM_SLOW_THREADS="1")
            assert done.returncode == 0, f"run {number + 1}: {done.stderr[-3000:]}"
    finally:
        spinner.kill()


def test_two_processes_say_nothing_of_their_own(results):
    """No deprecated argument, no search for unused weights."""
    assert "Warning" not in results["stderr"]


def test_training_under_torchrun_writes_one_run(tmp_path):
    """Both kinds of batches; process 0 alone writes; a batch that cannot be shared is refused."""
    folder, out = tiny.write(tmp_path), tmp_path / "run"
    settings = (
        "--model.embed_dim 16 --model.heads 2 --model.word_dim 12 --training.epochs 2 --training.batch_size 20 "
        "--training.warmup_steps 5 --training.device cpu --training.decay_epochs 1 --sampling.neighbor_epoch 2 "
        "--sampling.clusters_per_batch 1 --sampling.images_per_cluster 20 --sampling.clusters 1"
    ).split()
    command = ["-m", "hrem_lib", "train", "f8k", "--data", str(folder), "--out", str(out), *settings]
    done = torchrun(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [line["sampling"] for line in history] == ["random", "neighbor"] and history[1]["loss"]["regularizer"] > 0
    assert history[0]["loss"]["initial"] < history[0]["collapse"] * 1.5  # the loss of 20 pairs, not of 10
    assert sum(line.startswith("epoch ") for line in done.stdout.splitlines()) == 2


def test_processes_are_started_by_the_command_itself(tmp_path):
    """A fault is one sentence and exit code 2: torchrun would add 30 lines."""
    folder, out = tiny.write(tmp_path), tmp_path / "run"
    command = [sys.executable, "-m", "hrem_lib", "train", "f8k", "--data", str(folder), "--out", str(out)]
    settings = "--model.embed_dim 16 --model.heads 2 --training.epochs 1 --training.warmup_steps 3"
    command += [*settings.split(), "--training.device", "cpu", "--processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = functools.partial(subprocess.run, capture_output=True, text=True, env=environment)
    odd = run([*command, "--training.batch_size", "21"])
    assert odd.returncode == 2 and not (out / "history.jsonl").exists()
    assert odd.stderr == "hrem: training.batch_size: got 21, wanted a multiple of the 2 processes\n"
    done = run([*command, "--training.batch_size", "20"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert sum(line.startswith("epoch ") for line in done.stdout.splitlines()) == 1
    assert len((out / "history.jsonl").read_text().splitlines()) == 1


def test_alone_everything_is_as_it_was():
    assert distributed.world_size() == 1 and distributed.rank() == 0
    x = torch.randn(3, 2)
    assert distributed.gather(x) is x and np.array_equal(distributed.local_part(np.arange(5)), np.arange(5))
    state = torch.get_rng_state()
    with distributed.process_rng(torch.device("cpu")):
        assert torch.equal(torch.get_rng_state(), state)
    layer = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    layer(torch.randn(3, 2)).sum().backward()
    before = [p.grad.clone() for p in layer.parameters()]
    distributed.data_parallel(layer)
    distributed.average_gradients(layer)
    assert type(layer[1]) is nn.BatchNorm1d
    assert all(torch.equal(p.grad, g) for p, g in zip(layer.parameters(), before, strict=True))


def test_shared_batch_norm_keeps_weights_and_is_batch_norm_alone():
    one, x = nn.BatchNorm1d(4), torch.randn(10, 4)
    other = nn.Sequential(nn.BatchNorm1d(4))
    before = other[0].weight
    distributed.share_batch_norm(other)
    assert type(other[0]) is distributed.GlobalBatchNorm and other[0].weight is before
    torch.testing.assert_close(other(x), one(x))
    torch.testing.assert_close(other[0].running_var, one.running_var)
    assert other.state_dict().keys() == {f"0.{name}" for name in one.state_dict()}


def test_slices_cover_a_batch_without_overlap(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    parts = []
    for number in range(4):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        parts.append(distributed.local_part(np.arange(100, 112)))
    assert np.concatenate(parts).tolist() == list(range(100, 112)) and {len(p) for p in parts} == {3}
