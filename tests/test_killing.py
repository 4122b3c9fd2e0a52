"""A run killed at any moment, or out of room, ends as if nothing had happened; `HREM_SLOW=1` kills everywhere."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("kills and limits processes the Linux way", allow_module_level=True)

import killing

from hrem_lib import checkpoints
from hrem_lib.cli import main

SLOW = os.environ.get("HREM_SLOW") == "1"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return killing.data_and_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def wanted(config, tmp_path_factory):
    """How the run ends that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert killing.finish(config, out, resume=False) == 0, Path(f"{out}.log").read_text()
    return killing.outcome(out)


def same_end(config, out, wanted):
    assert killing.finish(config, out) == 0, Path(f"{out}.log").read_text()
    assert killing.differences(wanted, killing.outcome(out)) == []


def test_the_undisturbed_run(wanted):
    """What is compared is all there, and a comparison can fail."""
    assert [line["epoch"] for line in wanted["history"]] == [1, 2, 3, 4, 5]
    assert wanted["info"]["history"] == wanted["history"]
    assert set(wanted["files"]) >= {".lock", "config.json", "metrics.json", checkpoints.MODEL, checkpoints.STATE}
    assert not [name for name in wanted["files"] if name.endswith(".part") or name == checkpoints.NEXT]
    assert any("relation.interaction" in name for name in wanted["state"]) and "random.torch" in wanted["state"]
    assert killing.differences(wanted, {**wanted, "history": wanted["history"][:-1]}) == ["history"]


# in one folder, one after the other: in the config, behind it (no vocabulary yet), in and around the first state,
# between a state and the model that belongs to it, and between a state and its line of the history
CHAIN = [("half", 1), ("after", 1), ("half", 2), ("half", 3), ("before", 3), ("after", 3), ("before", 2), ("half", 2)]


def test_killed_in_its_writes_again_and_again(config, wanted, tmp_path):
    out = tmp_path / "run"
    for number, fault in enumerate(CHAIN):
        assert killing.finish(config, out, resume=number > 0, fault=fault) == -signal.SIGKILL, fault
    assert (out / checkpoints.STATE).is_file() and not (out / "metrics.json").is_file()
    same_end(config, out, wanted)


def test_killed_at_random_moments_with_loader_processes(config, wanted, tmp_path):
    """The random kills hit loader processes, too, and none outlives its run; workers change no number."""
    with_workers = config.override({"data.workers": 2})
    killing.kill_at_random(with_workers, tmp_path / "run", 3, 2.0, random.Random(0))
    assert killing.finish(with_workers, tmp_path / "run") == 0, (tmp_path / "run.log").read_text()
    got = killing.outcome(tmp_path / "run")
    assert killing.differences(wanted, got) == []


def whole_files(out):
    return {p.name: p.read_bytes() for p in out.iterdir() if p.is_file() and p.name != ".lock"}


def test_no_room_for_a_file_loses_nothing(config, wanted, tmp_path):
    """A limit on the size of a file stands for the full disk: one sentence, and the last good state is there."""
    out = tmp_path / "run"
    assert killing.finish(config, out, resume=False, fault=("after", 5)) == -signal.SIGKILL  # epoch 1 is whole
    before = whole_files(out)
    size = len(before[checkpoints.STATE])
    assert killing.finish(config, out, fault=("limit", size // 2)) == 2
    last = (tmp_path / "run.log").read_text().splitlines()[-1]
    assert last.startswith("hrem: ") and "could not be written (File too large)" in last
    assert {name: content for name, content in whole_files(out).items() if name in before} == before
    assert not list(out.glob("*.part"))
    same_end(config, out, wanted)


@pytest.mark.skipif(not SLOW, reason="needs the right to mount: HREM_SLOW=1")
@pytest.mark.parametrize("kilobytes", [8, 40, 80, 120, 160, 200])
def test_full_disk(config, wanted, tmp_path, kilobytes):
    """A real one: a small file system in memory, made larger for the second try."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]).returncode:
        pytest.skip("no right to mount a file system")
    try:
        assert killing.finish(config, disk / "run", resume=False) == 2
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        same_end(config, disk / "run", wanted)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_second_run_in_the_folder_is_refused_until_the_first_is_dead(config, wanted, tmp_path, capsys):
    out = tmp_path / "run"
    first = killing.start(config, out, resume=False, fault=("stop", 3))  # in the middle of its first state
    end = time.monotonic() + 120
    while state_of(first.pid) != "T" and time.monotonic() < end:
        time.sleep(0.05)
    before = whole_files(out)
    for arguments in (["--resume", str(out)], ["--out", str(out)]):
        assert main(["train", "sample", *arguments]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"hrem: {out}: ") and message.count("\n") == 1
        assert "another run is writing into it" in message or "is not empty" in message
    assert killing.finish(config, out) == 2
    assert whole_files(out) == before
    first.kill()  # the lock dies with it
    first.join()
    same_end(config, out, wanted)


def test_two_runs_started_at_once_in_a_new_folder(config, wanted, tmp_path):
    """One of them trains, the other is refused."""
    out = tmp_path / "run"
    both = [killing.start(config, out, resume=False) for _ in range(2)]
    for process in both:
        process.join()
    assert sorted(process.exitcode for process in both) == [0, 2]
    assert killing.differences(wanted, killing.outcome(out)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_many_epochs_in_constant_room(config, tmp_path, workers):
    """Neither memory nor open files grow with the epochs."""
    epochs = 200 if SLOW else 14
    long = config.override({"training.epochs": epochs, "data.workers": workers, "sampling.neighbor_epoch": epochs})
    assert killing.finish(long, tmp_path / "run", resume=False, fault=("watch", 0)) == 0
    usage = [json.loads(line) for line in (tmp_path / "run.usage").read_text().splitlines()]
    assert len(usage) == epochs
    early, late = usage[epochs // 4], usage[-2]  # the last epoch brings in k-means
    print(f"workers {workers}, epoch {epochs // 4 + 1} and {epochs - 1}: {early} {late}")
    # a pipe or two come and go; a leak of one an epoch would be epochs / 2 and more
    assert late["files"] <= early["files"] + 2 and late["threads"] <= early["threads"] + 1
    assert late["mebibytes"] - early["mebibytes"] < (12 if SLOW else 6)
    history = (tmp_path / "run" / checkpoints.HISTORY).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == list(range(1, epochs + 1))


@pytest.mark.skipif(not SLOW, reason="minutes: HREM_SLOW=1")
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_everywhere(workers, capsys):
    killing.main(30, workers)
    ends = capsys.readouterr().out.splitlines()[-1]
    assert "OTHER" not in ends and "the same" in ends
