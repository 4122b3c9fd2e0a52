"""Scenes of the sample world: sampled, drawn and described by the other modules, written with their truth.

Who does what with which object where. In the manner of the paper's Fig. 1 the pictures come in **hard groups**
(same actors, object and setting, another relation) and hold **scarce** ones (a sport seen in 2 % of the
pictures that shares stick, ball or horse with common ones). Scene i depends on (seed, split, i) only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from PIL import Image

from hrem_lib.sample_world.actions import draw_scene
from hrem_lib.sample_world.captions import write_captions
from hrem_lib.sample_world.catalog import (
    ACTIONS,
    BOTTOMS,
    COATS,
    EXTRAS,
    PAINT,
    PEOPLE,
    SCHEDULE,
    SEED,
    SPLIT_SIZES,
    TOPS,
    WOODEN,
    Action,
    Entity,
    Scene,
)
from hrem_lib.sample_world.figures import Look

# ------------------------------------------------------------------------------------------- sampling


def sample_person(rng: Random, name: str, action: Action, kinds: tuple[str, ...] = PEOPLE) -> tuple[Entity, Look]:
    """A person's truth and look; sports have helmets, water and saddles allow no skirt."""
    kind = rng.choice(kinds)
    main = name == "actor"
    bare = main and (action.group == "surfboard" or action.key == "umbrella_sit")
    no_skirt = bare or (main and (action.scarce or action.key in ("horse_ride", "ski_ride", "bike_ride", "sofa_sleep")))
    skirt = kind in ("woman", "girl") and not no_skirt and rng.random() < 0.5
    helmet = main and (action.scarce or (action.key in ("bike_ride", "baseball_hit") and rng.random() < 0.7))
    top, bottom = rng.choice(TOPS), rng.choice(BOTTOMS)
    hat = rng.choice(PAINT) if helmet or (rng.random() < 0.3 and action.group != "surfboard") else None
    garment = "skirt" if skirt else "shorts" if bare else "pants"
    entity = Entity(name, kind, top, action.pose if main else "standing", bottom, garment, hat,
                    ("helmet" if helmet else "cap") if hat else None)  # fmt: skip
    return entity, Look(kind, top, bottom, hat, rng.randrange(4), rng.randrange(4), helmet, skirt)


def sample_scene(split: str, index: int, seed: int = SEED) -> tuple[Scene, Image.Image]:
    """Scene `index` of `split` with boxes and captions, and its picture; a function of (seed, split, index) only."""
    rng = Random(f"{seed}/{split}/{index}")
    action = ACTIONS[SCHEDULE[73 * index % len(SCHEDULE)]]
    setting = rng.choice(action.settings)
    actor, look = sample_person(rng, "actor", action)
    entities, looks = {"actor": actor}, {"actor": look}
    relations: list[tuple[str, str, str]] = []
    facing = rng.choice((1, -1))

    def add(name: str, kind: str, color: str | None, pose: str | None = None, count: int = 1) -> None:
        entities[name] = Entity(name, kind, color, pose, count=count)

    if action.thing == "person":
        entities["other"], looks["other"] = sample_person(rng, "other", action)
        entities["other"].pose = action.pose
        relations.append(("actor", action.predicate, "other"))
    else:
        thing = {"room": "sofa", "park": "bench"}[setting] if action.thing == "seat" else action.thing
        color = rng.choice(COATS if thing in ("dog", "horse") else ("brown",) if thing in WOODEN else PAINT)
        running = action.key in ("horse_ride", "dog_chase", "dog_chased_by")
        posture = ("running" if running else "standing") if thing in ("dog", "horse") else None
        slot = "other" if action.key == "book_read" else "object"
        add(slot, thing, color, posture)
        relations.append(("actor", action.predicate, slot))
    if action.key == "book_read":
        add("object", "book", rng.choice(PAINT))
        relations.append(("actor", "holds", "object"))
    if action.key == "cake_cut":
        add("other", "table", "brown")
        relations.append(("object", "on", "other"))
    if action.key == "polo_hit":
        add("mount", "horse", rng.choice(COATS), "running")
        relations.append(("actor", "rides", "mount"))
    if action.key.endswith("_hit"):
        add("other", "ball", rng.choice(("red", "white", "yellow", "orange")))
        relations.append(("actor", "hits" if action.key != "baseball_hit" else "waits for", "other"))

    extra, x = None, float(rng.randrange(80, 113))
    choices = [k for k in EXTRAS[setting] if k not in {e.kind for e in entities.values()}]
    if choices and rng.random() < 0.65:
        kind, side, count = rng.choice(choices), rng.choice((-1, 1)), 1
        if kind == "person":
            entities["extra"], looks["extra"] = sample_person(rng, "extra", action)
        else:
            count = rng.choice({"bird": (2, 3, 4), "dog": (1, 1, 2), "cat": (1, 1, 2)}.get(kind, (1,)))
            color = {"bird": "black", "bench": "brown"}.get(kind) or rng.choice(
                COATS if kind in ("dog", "cat") else PAINT
            )
            add("extra", kind, color, {"dog": "standing", "cat": "sitting", "bird": "flying"}.get(kind), count)
        if kind == "bird":
            side = -facing  # the kite flies ahead
            relations.append(("extra", "above", "actor"))
        else:
            relations.append(("extra", "left of" if side < 0 else "right of", "actor"))
            x = float(rng.randrange(106, 127)) if side < 0 else float(rng.randrange(66, 87))
        spot = 96 + side * (rng.randrange(46, 60) if kind == "bird" else rng.randrange(68, 76))
        extra = (kind, float(spot), rng.choice((1, -1)), count)

    colors = {e.name: e.color for e in entities.values() if e.color}
    kinds = {e.name: e.kind for e in entities.values()}
    canvas = draw_scene(setting, action.key, looks, colors, kinds, x, facing, extra, rng)
    for name, entity in entities.items():
        entity.box = canvas.box(name)
    scene = Scene(split, index, setting, action.key, entities, relations)
    scene.captions = write_captions(scene, rng)
    return scene, canvas.finish()


def sample_world(split: str, count: int | None = None, seed: int = SEED) -> Iterator[tuple[Scene, Image.Image]]:
    """The first `count` scenes of a split, one after another."""
    for index in range(SPLIT_SIZES[split] if count is None else count):
        yield sample_scene(split, index, seed)


def write_world(folder: Path, seed: int = SEED, sizes: dict[str, int] | None = None) -> dict[str, list[Scene]]:
    """Draw the world into `folder`: pictures/SPLIT/0000.png and sample_precomp/SPLIT_{caps,ids}.txt, _scenes.jsonl."""
    worlds: dict[str, list[Scene]] = {}
    precomp = folder / "sample_precomp"
    precomp.mkdir(parents=True, exist_ok=True)
    for split, size in (sizes or SPLIT_SIZES).items():
        (folder / "pictures" / split).mkdir(parents=True, exist_ok=True)
        scenes = worlds[split] = []
        for scene, picture in sample_world(split, size, seed):
            save_picture(picture, folder / "pictures" / scene.picture_name)
            scenes.append(scene)
        lines = {"caps.txt": [c for s in scenes for c in s.captions], "ids.txt": [s.picture_name for s in scenes],
                 "scenes.jsonl": [s.as_json() for s in scenes]}  # fmt: skip
        for ending, rows in lines.items():
            (precomp / f"{split}_{ending}").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")
    return worlds


def to_palette(picture: Image.Image) -> Image.Image:
    """The picture in at most 128 colors of its own: a third of the size, no difference that the eye sees."""
    return picture.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a small PNG. The pixels are the same everywhere; the file's bytes depend on the zlib at hand."""
    to_palette(picture).save(path, optimize=True)


def read_scenes(path: Path) -> list[dict]:
    """The truth of a split, one dictionary a picture, from SPLIT_scenes.jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
