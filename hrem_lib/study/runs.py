"""The runs of a grid, each a process of its own (`hrem train`); an interrupted grid goes on where it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hrem_lib import checkpoints, data, evaluation, metrics
from hrem_lib import config as configs
from hrem_lib.errors import UserError
from hrem_lib.study import hard_pictures, results
from hrem_lib.study.grids import Cell


def run_grid(cells: list[Cell], runs: Path, folder: Path, jobs: int = 1) -> list[Path]:
    """Train what is missing and write a result file for each cell; finished cells are left alone.

    Args:
        cells: from `read_grid`
        runs: a run folder for each cell is made here
        folder: of the result files
        jobs: runs at a time; each then has its share of the processor's threads
    Returns:
        result files written now
    Raises:
        UserError: a result or a run of that name has other settings, or a run failed; the others are finished first.
    """
    missing = [cell for cell in cells if not _finished(cell, folder)]
    for place in {cell.config.data.folder for cell in missing}:
        data.find_folder(place)  # before the first of many runs fails
    print(f"{len(cells)} runs, {len(cells) - len(missing)} of them finished before in {folder}", flush=True)
    began, done, one_at_a_time = time.perf_counter(), [], threading.Lock()
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    runs.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)

    def one(cell: Cell) -> Path | str:
        if cell.members:
            return finish(cell, [runs / name for name in cell.members])
        run, log = runs / cell.name, runs / f"{cell.name}.log"
        if not (run / "metrics.json").is_file():
            going_on = (run / checkpoints.CONFIG).is_file()
            with one_at_a_time:
                print(f"{cell.name}: {'goes on' if going_on else 'starts'}, {log}", flush=True)
            command = [sys.executable, "-m", "hrem_lib", "train", cell.config.preset]
            command += ["--resume" if going_on else "--out", str(run)]
            tree = cell.config.to_dict()
            for name in configs.names():
                section, key = name.split(".")
                value = tree[section][key]
                command += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
            with open(log, "ab") as file:
                code = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
            if code:
                last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                return f"{log}: the run ended with code {code} ({' '.join(last)})"
        if configs.differences(configs.load(run / checkpoints.CONFIG), cell.config):
            return f"{run}: got a run with other settings than the grid's, wanted another --runs folder"
        return finish(cell, [run])

    def finish(cell: Cell, members: list[Path]) -> Path:
        result: dict = _result(cell, members) | {"name": cell.name}
        with one_at_a_time:  # the study's settings are written by the first
            path = results.write(result, folder)
            done.append(path)
            print(
                f"{cell.name}: dev rSum {result['dev']['rSum']:.1f}; {len(done)} of {len(missing)} done, "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )
        return path

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        ends = list(pool.map(one, [cell for cell in missing if not cell.members]))
    if not any(isinstance(end, str) for end in ends):
        ends += [one(cell) for cell in missing if cell.members]
    faults = [end for end in ends if isinstance(end, str)]
    if faults:
        raise UserError(faults[0] + (f"; {len(faults) - 1} more runs failed" if len(faults) > 1 else ""))
    return ends  # pyright: ignore[reportReturnType]  # no fault is left


def _result(cell: Cell, runs: list[Path]) -> dict:
    """The result of a run, or of several averaged, with the test ranks of every query and the subsets of Fig. 1."""
    parts = [results.from_run(run, cell.study, cell.arm) for run in runs]
    loaded = [checkpoints.load_run(run) for run in runs]
    settings = cell.config.data
    place = data.find_folder(settings.folder)
    train, dev, test = (
        data.open_split(place, name, settings.captions_per_image) for name in ("train", "dev", settings.test_split)
    )

    def ranks(split: data.Split) -> tuple[np.ndarray, np.ndarray]:
        models = [(run.model, run.text.encode(split.captions)) for run in loaded]
        encoded = evaluation.encode_split(models, split, precision=[run.config.training.precision for run in loaded])
        return metrics.ensemble_ranks(encoded, split.image_of_caption)

    found = ranks(test)
    result = parts[0]
    if cell.members:
        del result["dev_by_epoch"]  # the first member's
        result |= {"members": list(cell.members), "seconds": sum(part["seconds"] for part in parts)}
        result |= {"test": metrics.rank_metrics(*found), "dev": metrics.rank_metrics(*ranks(dev))}
    masks = hard_pictures.find(train.captions, test.captions, test.captions_per_image, train.captions_per_image)
    result["ranks"] = {side: results.pack(r) for side, r in zip(metrics.DIRECTIONS, found, strict=True)}
    result["subsets"] = {name: "".join("01"[int(value)] for value in mask) for name, mask in masks.items()}
    return result


def _finished(cell: Cell, folder: Path) -> bool:
    path = results.path_of(folder, cell.study, cell.name)
    if not path.is_file():
        return False
    result = results.load_file(path)
    config = configs.from_dict(result["config"], str(path))  # settings newer than the file: defaults
    places = (*configs.PLACE, "training.start_from")  # of which a result names the last folder only
    if configs.differences(config, cell.config, places) or result.get("members", []) != list(cell.members):
        raise UserError(f"{path}: got a result with other settings than the grid's, wanted it removed or renamed")
    return True
