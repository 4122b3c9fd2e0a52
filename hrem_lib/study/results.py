"""Result files: a folder a study, in it one JSON for each reported run.

`STUDY/settings.json` holds all settings of the study's preset as they were when it was begun; a run's file holds those
in which it differs: a preset may change later. Files of older versions hold a whole config.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hrem_lib import config as configs
from hrem_lib.checkpoints import CONFIG, read_history, without_paths
from hrem_lib.errors import UserError
from hrem_lib.files import read_json, write_json

SETTINGS = "settings.json"  # of a study


def from_run(run: str | Path, study: str = "", arm: str = "") -> dict:
    """The result of a finished run: name, study, arm, config, seed, dev and test figures, dev by epoch, versions, time.

    Args:
        run: run folder
        study: which table it belongs to; default: the run's preset
        arm: row of the table; default: interaction and batches, e.g. `fusion-neighbor`
    """
    run = Path(run)
    path = run / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not found, wanted a finished run")
    metrics, config = read_json(path), configs.load(run / CONFIG)
    if config.preset not in configs.PRESETS:  # it becomes part of a file's name
        raise UserError(f"{run / CONFIG}: got preset {config.preset!r}, wanted one of {', '.join(configs.PRESETS)}")
    kept = ("seed", "epoch", "selected_on", "dev", "test", "versions", "seconds")
    if not isinstance(metrics, dict) or set(kept) - set(metrics):
        raise UserError(f"{path}: not the figures of a run, wanted {', '.join(kept)}")
    study = study or config.preset
    arm = arm or f"{config.graph.interaction}-{'neighbor' if config.sampling.neighbor_epoch else 'random'}"
    epochs = read_history(run)
    return {
        "name": f"{study}-{arm}-{config.training.seed}",
        "study": study,
        "arm": arm,
        "config": without_paths(config).to_dict(),
        **{key: metrics[key] for key in kept},
        "dev_by_epoch": [round(line["dev"]["rSum"], 2) for line in epochs],
    }


def path_of(folder: Path, study: str, name: str) -> Path:
    """Where the file of a run is: in the study's folder, or, written by an older version, beside it."""
    old = folder / f"{name}.json"
    return old if old.is_file() else folder / study / f"{name}.json"


def write(result: dict, folder: Path) -> Path:
    """Write the file of a run into its study's folder; only the settings that differ from the study's are kept."""
    path = folder / result["study"] / f"{result['name']}.json"
    config, common = configs.from_dict(result["config"]), path.parent / SETTINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    if not common.is_file():
        write_json(common, configs.preset(config.preset).override({"data.folder": config.data.folder}).to_dict())
    base = configs.load(common)
    if base.preset != config.preset:
        raise UserError(f"{common}: got preset {base.preset}, wanted {config.preset} as in {result['name']}")
    tree = config.to_dict()
    own = {name: tree[name.split(".")[0]][name.split(".")[1]] for name in configs.differences(config, base, ())}
    kept = {"name": result["name"], "study": result["study"], "arm": result["arm"], "settings": own}
    write_json(path, kept | {key: value for key, value in result.items() if key not in {*kept, "config"}})
    return path


def load_file(path: Path) -> dict:
    """One result file, with its whole config."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if "config" not in result:
            own = result.pop("settings")
            result["config"] = configs.load(path.parent / SETTINGS).override(own).to_dict()
        _ = [result[key] for key in ("study", "arm", "config", "seed")], result["dev"]["rSum"], result["test"]["rSum"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a result file written by hrem ({error})") from None
    return result


def load(folder: str | Path) -> list[dict]:
    """All result files of a folder and of the studies' folders in it, by name."""
    paths = [*Path(folder).glob("*.json"), *Path(folder).glob("*/*.json")]
    return [load_file(path) for path in sorted(paths, key=lambda path: path.name) if path.name != SETTINGS]


BEYOND = "-"  # a rank of 10 or more


def pack(ranks: np.ndarray) -> str:
    """0-based ranks as text, one character a query; R@1, R@5 and R@10 need no more."""
    return "".join(str(rank) if rank < 10 else BEYOND for rank in ranks.tolist())


def unpack(text: str) -> np.ndarray:
    """What `pack` wrote; ranks of 10 and more become 10."""
    return np.array([10 if c == BEYOND else int(c) for c in text])
