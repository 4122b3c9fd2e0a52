"""Grids of a study, in YAML: arms x seeds -> the settings of each run (Sec 4.3).

preset: sample
settings: {training.epochs: 20}                 # the same for all arms, may be left out
seeds: [0, 1, 2]
arms:
  "lambda = 0": {graph.relevance_weight: 0}
  "lambda = 1": {}
pairs:                                          # ensembles of two arms, the second with the next seed
  "lambda = 1, twice": ["lambda = 1", "lambda = 1"]
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from hrem_lib import config as configs
from hrem_lib import training
from hrem_lib.config import Config
from hrem_lib.errors import UserError

GRIDS = Path(__file__).resolve().parent / "grid_files"  # the grids of the reported results


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
    """The cells of a grid, seed by seed: an unfinished grid holds whole comparisons.

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
