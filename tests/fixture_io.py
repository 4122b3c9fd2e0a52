"""How the reference cases are drawn, stored and read back.  Needs numpy, torch and safetensors only.

A *case* is two files: NAME.json (options, sizes, recipe, margins) and NAME.safetensors (tensors).
Weights and inputs are drawn from recipes, so a case whose tensors would be large stores only results:

    value[key] = a + b * z,   z from numpy.random.RandomState(crc32(f"{seed}/{key}"))
        dist "normal":  z = standard_normal(shape)      dist "uniform": z = random_sample(shape)
        dist "integers": randint(a, b, shape), int64    dist "constant": a everywhere
    computed in float64, then cast to float32 (RandomState's streams are frozen across numpy versions).
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file


def draw(key: str, shape, dist: str, a: float, b: float, seed: int) -> torch.Tensor:
    rng = np.random.RandomState(zlib.crc32(f"{seed}/{key}".encode()))
    shape = tuple(shape)
    if dist == "normal":
        value = a + b * rng.standard_normal(shape)
    elif dist == "uniform":
        value = a + b * rng.random_sample(shape)
    elif dist == "integers":
        return torch.from_numpy(np.asarray(rng.randint(int(a), int(b), shape), dtype=np.int64))
    elif dist == "constant":
        return torch.full(shape, int(a), dtype=torch.int64)
    else:
        raise ValueError(dist)
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def spec_of(key: str, tensor: torch.Tensor) -> dict:
    """The recipe entry for one entry of a state dict, by its name and shape."""
    shape = list(tensor.shape)
    leaf = key.rpartition(".")[2]
    if leaf in ("num_batches_tracked", "position_ids"):
        dist, a, b = "constant", 0, 0
    elif leaf == "running_var":
        dist, a, b = "uniform", 0.5, 1.0
    elif leaf == "running_mean":
        dist, a, b = "normal", 0.0, 0.1
    elif leaf in ("bias", "in_proj_bias"):  # small in the graph, whose outputs would else all be alike
        dist, a, b = "normal", 0.0, 0.02 if "gnn" in key else 0.1
    elif len(shape) == 1:  # gains of normalisation layers
        dist, a, b = "normal", 1.0, 0.1
    elif "embeddings" in key:
        dist, a, b = "normal", 0.0, 1.0
    else:
        dist, a, b = "normal", 0.0, round(float(shape[-1]) ** -0.5, 9)
    return {"key": key, "shape": shape, "dist": dist, "a": a, "b": b}


def state_recipe(name: str, module: torch.nn.Module) -> list[dict]:
    return [spec_of(f"{name}.{key}", tensor) for key, tensor in module.state_dict().items()]


def state_from(recipe: list[dict], name: str, seed: int) -> dict[str, torch.Tensor]:
    """The state dict of the module called `name`, from a case's recipe."""
    prefix = name + "."
    return {spec["key"][len(prefix) :]: draw(**spec, seed=seed) for spec in recipe if spec["key"].startswith(prefix)}


def input_recipe(sizes: dict, vocab: int) -> list[dict]:
    """Regions of one image share a part, and a caption's words come from one window of the vocabulary:
    else max-pooled embeddings of different items would be nearly equal."""
    batch, (r_low, r_high), (w_low, w_high) = sizes["batch"], sizes["regions"], sizes["words"]
    return [
        dict(key="input.image_base", shape=[batch, 1, sizes["img_dim"]], dist="normal", a=0.1, b=1.0),
        dict(key="input.region_noise", shape=[batch, r_high, sizes["img_dim"]], dist="normal", a=0.0, b=0.6),
        dict(key="input.image_lengths", shape=[batch], dist="integers", a=r_low, b=r_high + 1),
        dict(key="input.window", shape=[batch, 1], dist="integers", a=0, b=vocab),
        dict(key="input.word", shape=[batch, w_high], dist="integers", a=0, b=12),
        dict(key="input.lengths", shape=[batch], dist="integers", a=w_low, b=w_high + 1),
    ]


def make_inputs(sizes: dict, vocab: int, seed: int) -> dict[str, torch.Tensor]:
    """images, image_lengths, captions, lengths, img_ids: padded as the official collate function pads."""
    drawn = {spec["key"][6:]: draw(**spec, seed=seed) for spec in input_recipe(sizes, vocab)}
    batch = sizes["batch"]
    image_lengths, lengths = drawn["image_lengths"], drawn["lengths"].sort(descending=True).values
    image_lengths[batch // 2] = sizes["regions"][1]
    if sizes["regions"][0] == 1:
        image_lengths[1] = 1
    lengths[0], lengths[-1] = sizes["words"][1], sizes["words"][0]
    images = drawn["image_base"] + drawn["region_noise"]
    images = images * (torch.arange(images.size(1)) < image_lengths[:, None])[..., None]
    captions = 1 + (drawn["window"] + drawn["word"]) % (vocab - 1)
    captions = captions * (torch.arange(captions.size(1)) < lengths[:, None])
    img_ids = torch.arange(batch) * 3 + 11
    for i in range(sizes["repeats"]):  # the last items repeat the ids of the first; features stay those drawn
        img_ids[-1 - i] = img_ids[i // 2]
    return {
        "images": images,
        "image_lengths": image_lengths,
        "captions": captions,
        "lengths": lengths,
        "img_ids": img_ids,
    }


def save_case(folder: Path, name: str, tensors: dict[str, torch.Tensor], info: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    # clones, since safetensors refuses tensors that share memory
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, path)
    (folder / f"{name}.json").write_text(json.dumps(info, indent=1, default=_plain) + "\n")
    return path


def load_case(folder: str | Path, name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors by key, and the info; the states and inputs of a lean model case are drawn again."""
    folder = Path(folder)
    tensors = load_file(folder / f"{name}.safetensors")
    info = json.loads((folder / f"{name}.json").read_text())
    if info.get("stored_state") is False:
        for spec in info["recipe"]:
            tensors.setdefault(f"state.{spec['key']}", draw(**spec, seed=info["seed"]))
        for key, value in make_inputs(info["sizes"], info["bert_vocab"], info["seed"]).items():
            tensors.setdefault(f"input.{key}", value)
    return tensors, info


def _plain(value):
    if isinstance(value, (np.generic,)):
        return value.item()
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(type(value))


# ---- where the cases lie --------------------------------------------------------------------------------------

PROJECT = Path(__file__).resolve().parent.parent


def case_roots() -> list[Path]:
    """HREM_FIXTURES alone where it is set; else tests/fixtures, then ../shared/fixtures for what is too large."""
    named = os.environ.get("HREM_FIXTURES")
    if named:
        root = Path(named).expanduser().resolve()
        if not root.is_dir():
            raise FileNotFoundError(f"HREM_FIXTURES: got {named}, wanted an existing folder")
        return [root]
    roots = [PROJECT / "tests" / "fixtures", PROJECT.parent / "shared" / "fixtures"]
    return [root for root in roots if root.is_dir()]


def cases(group: str) -> list[tuple[Path, str]]:
    """(folder, name) of every NAME.json of a group (model, parts, metrics, e2e), each name once; empty if it is absent.

    In `model` and `parts` a case also needs its NAME.safetensors.
    """
    found: dict[str, Path] = {}
    for root in case_roots():
        for path in sorted((root / group).glob("*.json")):
            if group not in ("model", "parts") or path.with_suffix(".safetensors").is_file():
                found.setdefault(path.stem, path.parent)
    return [(folder, name) for name, folder in sorted(found.items())]
