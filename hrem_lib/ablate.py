"""Ablations: a grid of arms and seeds (YAML) -> one finished run and one result file for each of its cells (Sec 4.3).

    preset: sample
    settings: {training.epochs: 20}                 # the same for all arms, may be left out
    seeds: [0, 1, 2]
    arms:
      "lambda = 0": {graph.relevance_weight: 0}
      "lambda = 1": {}
    pairs:                                          # ensembles of two arms, the second with the next seed
      "lambda = 1, twice": ["lambda = 1", "lambda = 1"]

Each run is a process of its own (`hrem train`), so that a grid that was interrupted goes on where it was.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from hrem_lib import checkpoints, data, evaluation, results, subsets, training
from hrem_lib import config as configs
from hrem_lib.checkpoints import write_json
from hrem_lib.config import Config, UserError

GRIDS = Path(__file__).resolve().parent / "grids"  # the grids of the reported results


class Cell(NamedTuple):
    """One run of a grid."""

    study: str  # name of the grid
    arm: str
    config: Config  # of an ensemble: its first member's
    members: tuple[str, ...] = ()  # of an ensemble: names of the cells whose similarities are averaged

    @property
    def name(self) -> str:
        """Name of the run folder and of the result file."""
        slug = re.sub(r"[^a-z0-9.]+", "-", self.arm.lower()).strip("-")
        return f"{self.study}-{slug}-{self.config.training.seed}"


def read_grid(grid: str | Path, data: str | Path = "") -> list[Cell]:
    """The cells of a grid, seed by seed, so that an unfinished grid holds whole comparisons.

    Args:
        grid: a YAML file, or the name of one that comes with the library (`sample`, ...)
        data: data folder of all runs; empty: what the preset says
    Raises:
        UserError: not readable, unknown keys or settings, no arms or seeds, two arms of one name.
    """
    path = Path(grid)
    if not path.is_file():
        path = GRIDS / f"{grid}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise UserError(f"{grid}: not found, wanted a YAML file or one of {known}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: got {type(tree).__name__}, wanted preset, seeds and arms")
    unknown = sorted(set(map(str, tree)) - {"preset", "settings", "seeds", "arms", "pairs"})
    if unknown:
        raise UserError(f"{path}: unknown key {unknown[0]!r}, wanted preset, settings, seeds, arms and pairs")
    seeds, arms, shared = tree.get("seeds"), tree.get("arms"), tree.get("settings") or {}
    pairs = tree.get("pairs") or {}
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise UserError(f"{path}: got seeds {seeds!r}, wanted a list of different numbers")
    if not isinstance(arms, dict) or not arms or not all(isinstance(a, dict | None) for a in arms.values()):
        raise UserError(f"{path}: got arms {arms!r}, wanted a name and settings for each")
    if not isinstance(shared, dict):
        raise UserError(f"{path}: got settings {shared!r}, wanted names and values")
    known = {str(arm) for arm in arms}
    if not isinstance(pairs, dict) or not all(isinstance(p, list) and len(p) == 2 for p in pairs.values()):
        raise UserError(f"{path}: got pairs {pairs!r}, wanted a name and two arms for each")
    strange = sorted({str(arm) for pair in pairs.values() for arm in pair} - known)
    if strange:
        raise UserError(f"{path}: pairs: got {strange[0]!r}, wanted one of {', '.join(sorted(known))}")
    start = configs.preset(str(tree.get("preset")))
    fixed = {"data.folder": str(data)} if str(data) else {}
    cells = []
    try:
        for seed in seeds:
            for arm, own in arms.items():
                config, lines = training.follow(start, {**shared, **(own or {}), **fixed, "training.seed": seed})
                cells.append(Cell(path.stem, str(arm), config))
                print("".join(f"{arm}: {line}\n" for line in lines if seed == seeds[0]), end="")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    found = {(cell.arm, cell.config.training.seed): cell for cell in cells}
    for at, seed in enumerate(seeds):
        for name, (first, second) in pairs.items():
            one, other = found[str(first), seed], found[str(second), seeds[(at + 1) % len(seeds)]]
            cells.append(Cell(path.stem, str(name), one.config, (one.name, other.name)))
    if len({cell.name for cell in cells}) < len(cells):
        raise UserError(f"{path}: got arms whose names differ in punctuation only, wanted names that make files apart")
    return cells


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
    began, done, speaking = time.perf_counter(), [], threading.Lock()
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
            with speaking:
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
        result, path = _result(cell, members), folder / f"{cell.name}.json"
        write_json(path, result)
        with speaking:
            done.append(path)
            print(
                f"{cell.name}: test rSum {result['test']['rSum']:.1f}; {len(done)} of {len(missing)} done, "
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
    return ends


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
        return evaluation.ensemble_ranks(encoded, split.image_of_caption)

    found = ranks(test)
    result = parts[0]
    if cell.members:
        del result["dev_by_epoch"]  # the first member's
        result |= {"members": list(cell.members), "seconds": sum(part["seconds"] for part in parts)}
        result |= {"test": evaluation.rank_metrics(*found), "dev": evaluation.rank_metrics(*ranks(dev))}
    masks = subsets.find(train.captions, test.captions, test.captions_per_image, train.captions_per_image)
    result["ranks"] = {side: results.pack(r) for side, r in zip(evaluation.DIRECTIONS, found, strict=True)}
    result["subsets"] = {name: "".join("01"[int(value)] for value in mask) for name, mask in masks.items()}
    return result


def _finished(cell: Cell, folder: Path) -> bool:
    path = folder / f"{cell.name}.json"
    if not path.is_file():
        return False
    result = results.load_file(path)
    config = configs.from_dict(result["config"], str(path))  # settings newer than the file: defaults
    places = (*configs.PLACE, "training.start_from")  # of which a result names the last folder only
    if configs.differences(config, cell.config, places) or result.get("members", []) != list(cell.members):
        raise UserError(f"{path}: got a result with other settings than the grid's, wanted it removed or renamed")
    return True
