"""The sample world: everyday scenes that are sampled, drawn and described, with their truth kept.

Who does what with which object where. In the manner of the paper's Fig. 1 the pictures come in **hard groups**
(same actors, object and setting, another relation) and hold **scarce** ones (a sport seen in 2 % of the
pictures that shares stick, ball or horse with common ones). Scene i depends on (seed, split, i) only.

Settings   beach sea park street snow field meadow rink kitchen room
Actors     man woman boy girl (colors of top and of pants, shorts or skirt, cap or helmet); dog cat horse birds
Hard groups (predicates)
    surfboard   holds, rides, crouches on, lies on        bicycle     rides, pushes, repairs
    skateboard  rides, jumps with, carries                horse       rides, leads, feeds
    dog         walks, pets, chases, is chased by         ball        kicks, throws, holds
    snow        skis on, carries skis, rides, pulls sled  kite        flies, carries
    umbrella    walks under, sits under                   cake        carries, cuts
    guitar      plays, carries                            rest        reads on, sleeps on (sofa, bench)
    people      shakes hands with, hugs                   bat         hits with a racket, hits with a baseball bat
Scarce     hockey (stick, ball, rink), cricket (bat, ball, field), polo (mallet, ball, horse, field)
Extras     a person, one or two dogs or cats, a bench, chair, car or ball to the left or right; two to four birds above
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from hrem_lib.drawing import Look
from hrem_lib.staging import draw_scene

SEED = 2023
SPLIT_SIZES = {"train": 1000, "dev": 200, "test": 200}
CAPTIONS_PER_IMAGE = 5

PEOPLE = ("man", "woman", "boy", "girl")
PAINT = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white")
TOPS = (*PAINT, "black")
BOTTOMS = ("blue", "black", "gray", "brown", "white", "red", "green")
COATS = ("brown", "black", "white")  # animals
WOODEN = ("bench", "table", "cricket bat")  # always brown, and no caption says so


@dataclass(frozen=True)
class Action:
    """One relation of the world. `verbs` are "rides/riding {o}", `passives` start with the object, `slots` of 200."""

    key: str
    group: str
    predicate: str
    thing: str
    settings: tuple[str, ...]
    pose: str
    slots: int
    verbs: tuple[str, ...]
    passives: tuple[str, ...] = ()
    scarce: bool = False


def _a(key: str, group: str, predicate: str, thing: str, settings: str, pose: str, slots: int, verbs: str,
       passives: str = "", scarce: bool = False) -> Action:  # fmt: skip
    split = [part.strip() for part in verbs.split(";")], [part.strip() for part in passives.split(";") if part.strip()]
    return Action(key, group, predicate, thing, tuple(settings.split()), pose, slots, *map(tuple, split), scarce)


ACTIONS: dict[str, Action] = {a.key: a for a in (
    _a("surf_hold", "surfboard", "holds", "surfboard", "beach", "standing", 5,
       "holds/holding {o}; stands/standing with {o}; stands/standing next to {o}", "{o} is held by {a}"),
    _a("surf_ride", "surfboard", "rides", "surfboard", "sea", "balancing", 6,
       "rides/riding {o}; surfs/surfing on {o}; rides/riding a wave on {o}; balances/balancing on {o}",
       "{o} is ridden by {a}"),
    _a("surf_crouch", "surfboard", "crouches on", "surfboard", "sea", "crouching", 5,
       "crouches/crouching on {o}; squats/squatting on {o}; bends/bending down on {o}", "{o} carries a crouching {p}"),
    _a("surf_lie", "surfboard", "lies on", "surfboard", "sea", "lying", 5,
       "lies/lying on {o}; lies/lying flat on {o}; paddles/paddling on {o}", "{o} with {a} lying on it"),
    _a("bike_ride", "bicycle", "rides", "bicycle", "street park", "sitting", 6,
       "rides/riding {o}; cycles/cycling on {o}", "{o} is ridden by {a}"),
    _a("bike_push", "bicycle", "pushes", "bicycle", "street park", "walking", 5,
       "pushes/pushing {o}; walks/walking with {o}", "{o} is pushed by {a}"),
    _a("bike_repair", "bicycle", "repairs", "bicycle", "street park", "kneeling", 5,
       "repairs/repairing {o}; fixes/fixing {o}; kneels/kneeling beside {o}", "{o} is repaired by {a}"),
    _a("skate_ride", "skateboard", "rides", "skateboard", "street park", "balancing", 5,
       "rides/riding {o}; balances/balancing on {o}; rolls/rolling along on {o}", "{o} is ridden by {a}"),
    _a("skate_jump", "skateboard", "jumps with", "skateboard", "street park", "jumping", 5,
       "jumps/jumping with {o}; does/doing a trick on {o}; flies/flying through the air with {o}",
       "{o} in the air under {a}"),
    _a("skate_carry", "skateboard", "carries", "skateboard", "street park", "walking", 4,
       "carries/carrying {o}; walks/walking with {o} in one hand", "{o} is carried by {a}"),
    _a("horse_ride", "horse", "rides", "horse", "meadow beach", "sitting", 6,
       "rides/riding {o}; gallops/galloping on {o}; sits/sitting on {o}", "{o} is ridden by {a}"),
    _a("horse_lead", "horse", "leads", "horse", "meadow beach", "walking", 5,
       "leads/leading {o}; walks/walking in front of {o}; guides/guiding {o} by a rope", "{o} is led by {a}"),
    _a("horse_feed", "horse", "feeds", "horse", "meadow beach", "reaching", 4,
       "feeds/feeding {o}; gives/giving a carrot to {o}; feeds/feeding a carrot to {o}", "{o} is fed by {a}"),
    _a("dog_walk", "dog", "walks", "dog", "park street beach", "walking", 6,
       "walks/walking {o}; walks/walking with {o} on a leash; takes/taking {o} for a walk",
       "{o} on a leash is walked by {a}"),
    _a("dog_pet", "dog", "pets", "dog", "park street beach", "kneeling", 5,
       "pets/petting {o}; strokes/stroking {o}; kneels/kneeling in front of {o}", "{o} is petted by {a}"),
    _a("dog_chase", "dog", "chases", "dog", "park street beach", "running", 5,
       "chases/chasing {o}; runs/running after {o}; runs/running behind {o}",
       "{o} is chased by {a}; {o} runs away from {a}"),
    _a("dog_chased_by", "dog", "is chased by", "dog", "park street beach", "running", 5,
       "runs/running away from {o}; flees/fleeing from {o}",
       "{o} chases {a}; {o} is running after {a}; {o} runs behind {a}"),
    _a("ball_kick", "ball", "kicks", "ball", "field park beach", "kicking", 6,
       "kicks/kicking {o}; shoots/shooting {o}; plays/playing soccer with {o}", "{o} is kicked by {a}"),
    _a("ball_throw", "ball", "throws", "ball", "field park beach", "throwing", 5,
       "throws/throwing {o}; tosses/tossing {o}", "{o} is thrown by {a}"),
    _a("ball_hold", "ball", "holds", "ball", "field park beach", "standing", 5,
       "holds/holding {o}; stands/standing with {o}; carries/carrying {o} in both hands", "{o} is held by {a}"),
    _a("ski_ride", "snow", "skis on", "skis", "snow", "skiing", 5,
       "skis/skiing down on {o}; skis/skiing downhill on {o}; slides/sliding down on {o}", "{o} are used by {a}"),
    _a("ski_carry", "snow", "carries", "skis", "snow", "walking", 4,
       "carries/carrying {o}; walks/walking with {o} on the shoulder", "{o} are carried by {a}"),
    _a("sled_ride", "snow", "rides", "sled", "snow", "sitting", 5,
       "rides/riding {o}; sits/sitting on {o}; slides/sliding down on {o}", "{o} is ridden by {a}"),
    _a("sled_pull", "snow", "pulls", "sled", "snow", "walking", 4,
       "pulls/pulling {o}; drags/dragging {o}; walks/walking and pulls/pulling {o}", "{o} is pulled by {a}"),
    _a("kite_fly", "kite", "flies", "kite", "beach park meadow", "raising", 5,
       "flies/flying {o}; plays/playing with {o}; holds/holding {o} by a string",
       "{o} is in the air above {a}; {o} is flown by {a}"),
    _a("kite_carry", "kite", "carries", "kite", "beach park meadow", "walking", 5,
       "carries/carrying {o}; walks/walking with {o}", "{o} is carried by {a}"),
    _a("umbrella_hold", "umbrella", "walks under", "umbrella", "street park", "walking", 5,
       "walks/walking under {o}; holds/holding {o} in the rain; walks/walking in the rain with {o}",
       "{o} is held by {a}"),
    _a("umbrella_sit", "umbrella", "sits under", "umbrella", "beach", "sitting", 4,
       "sits/sitting under {o}; rests/resting below {o}; sits/sitting in the shade of {o}", "{o} gives shade to {a}"),
    _a("cake_carry", "cake", "carries", "cake", "kitchen room", "walking", 5,
       "carries/carrying {o}; brings/bringing {o}; walks/walking with {o}", "{o} is carried by {a}"),
    _a("cake_cut", "cake", "cuts", "cake", "kitchen room", "reaching", 5,
       "cuts/cutting {o}; cuts/cutting {o} on a table; slices/slicing {o} with a knife", "{o} is cut by {a}"),
    _a("guitar_play", "guitar", "plays", "guitar", "room street park", "standing", 5,
       "plays/playing {o}; makes/making music with {o}; plays/playing a song on {o}", "{o} is played by {a}"),
    _a("guitar_carry", "guitar", "carries", "guitar", "room street park", "walking", 4,
       "carries/carrying {o}; walks/walking with {o}", "{o} is carried by {a}"),
    _a("book_read", "rest", "reads on", "seat", "room park", "sitting", 5,
       "reads/reading a book on {o}; sits/sitting on {o} with a book; sits/sitting on {o} and reads/reading",
       "{o} with {a} reading on it"),
    _a("sofa_sleep", "rest", "sleeps on", "seat", "room park", "lying", 5,
       "sleeps/sleeping on {o}; naps/napping on {o}; lies/lying on {o}", "{o} with {a} asleep on it"),
    _a("pair_shake", "people", "shakes hands with", "person", "park street room", "reaching", 5,
       "shakes/shaking hands with {o}; greets/greeting {o}", "{both} are shaking hands; {both} shake hands"),
    _a("pair_hug", "people", "hugs", "person", "park street room", "standing", 5,
       "hugs/hugging {o}; embraces/embracing {o}", "{both} are hugging each other; {both} hug"),
    _a("tennis_hit", "bat", "hits with", "racket", "field park", "swinging", 5,
       "plays/playing tennis; hits/hitting a ball with {o}; swings/swinging {o} at a ball",
       "a ball is hit with {o} by {a}"),
    _a("baseball_hit", "bat", "waits with", "baseball bat", "field park", "swinging", 4,
       "plays/playing baseball; waits/waiting for a ball with {o}; swings/swinging {o} at a ball",
       "{o} is held up by {a}"),
    _a("hockey_hit", "hockey", "hits with", "hockey stick", "rink", "skiing", 4,
       "plays/playing hockey; hits/hitting a ball with {o}; skates/skating with {o}",
       "a ball is hit with {o} by {a}", True),
    _a("cricket_hit", "cricket", "hits with", "cricket bat", "field", "swinging", 4,
       "plays/playing cricket; hits/hitting a ball with {o}; stands/standing before the wicket with {o}",
       "{o} is held by {a}", True),
    _a("polo_hit", "polo", "hits with", "mallet", "field", "sitting", 4,
       "plays/playing polo; hits/hitting a ball with {o} from a horse; rides/riding a horse and swings/swinging {o}",
       "a ball is hit with {o} by {a} on a horse", True),
)}  # fmt: skip

SCHEDULE = tuple(key for key, action in ACTIONS.items() for _ in range(action.slots))
"""200 slots; scene i takes slot 73 i mod 200, so that every 200 scenes hold each action exactly `slots` times."""

EXTRAS: dict[str, tuple[str, ...]] = {
    "beach": ("dog", "ball", "person", "bird"), "sea": ("bird",),
    "park": ("dog", "cat", "bench", "ball", "person", "bird"),
    "street": ("car", "cat", "dog", "person", "bench"), "snow": ("dog", "person", "bird"),
    "field": ("bird", "person", "dog"),
    "meadow": ("dog", "cat", "person", "bird"), "rink": ("person",), "kitchen": ("cat", "dog", "chair", "person"),
    "room": ("cat", "dog", "chair", "ball"),
}  # fmt: skip

PLACES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on the sand", "by the sea", "at the seaside"),
    "sea": ("in the sea", "in the ocean", "on the water", "in the waves"),
    "park": ("in the park", "in a park", "on a park path"),
    "street": ("on the street", "in the city", "in town", "in front of buildings"),
    "snow": ("in the snow", "on a snowy hill", "in the mountains"),
    "field": ("on the field", "in a stadium", "on a sports field"),
    "meadow": ("in a meadow", "on a farm", "near a wooden fence"),
    "rink": ("on the ice", "in an ice rink"),
    "kitchen": ("in the kitchen", "in a kitchen"),
    "room": ("in the living room", "at home", "in a room"),
}  # fmt: skip

WORDS: dict[str, tuple[str, ...]] = {
    "man": ("man", "man", "guy", "person"), "woman": ("woman", "woman", "lady", "person"),
    "boy": ("boy", "boy", "kid", "child"), "girl": ("girl", "girl", "kid", "child"), "dog": ("dog", "dog", "puppy"),
    "cat": ("cat", "cat", "kitten"), "surfboard": ("surfboard", "surfboard", "board"), "bicycle": ("bicycle", "bike"),
    "sofa": ("sofa", "couch"), "racket": ("racket", "tennis racket"),
    "baseball bat": ("baseball bat", "bat"), "hockey stick": ("hockey stick", "stick"),
    "cricket bat": ("cricket bat", "bat"), "mallet": ("mallet", "polo mallet", "stick"), "sled": ("sled", "sledge"),
}  # fmt: skip
NUMBERS = {2: "two", 3: "three", 4: "four"}


@dataclass
class Entity:
    """A person, animal, thing or flock: `kind`, main `color` (a person's top), posture, box in pixels x0 y0 x1 y1."""

    name: str
    kind: str
    color: str | None = None
    pose: str | None = None
    bottom: str | None = None
    garment: str | None = None
    hat: str | None = None
    headwear: str | None = None
    count: int = 1
    box: list[int] = field(default_factory=list)


@dataclass
class Scene:
    """One picture's truth: what is where, who relates to whom, and five captions."""

    split: str
    index: int
    setting: str
    action: str
    entities: dict[str, Entity]
    relations: list[tuple[str, str, str]]
    captions: list[str] = field(default_factory=list)

    @property
    def picture_name(self) -> str:
        """The picture's path below `data_samples/pictures`."""
        return f"{self.split}/{self.index:04d}.png"

    @property
    def tags(self) -> list[str]:
        """`scarce` or the hard group, as "group:surfboard"."""
        action = ACTIONS[self.action]
        return ["scarce", f"group:{action.group}"] if action.scarce else [f"group:{action.group}"]

    def as_json(self) -> str:
        """One compact line: entities without empty fields."""
        entities = [{k: v for k, v in asdict(e).items() if v is not None and (k, v) != ("count", 1)}
                    for e in self.entities.values()]  # fmt: skip
        row = {"picture": self.picture_name, "setting": self.setting, "action": self.action, "tags": self.tags,
               "entities": entities, "relations": self.relations}  # fmt: skip
        return json.dumps(row, separators=(",", ":"))


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


# ------------------------------------------------------------------------------------------- captions


def article(phrase: str) -> str:
    """ "a" or "an" before the phrase; none before a plural."""
    if phrase.split()[-1] == "skis":
        return phrase
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def name_of(entity: Entity, rng: Random) -> str:
    """A word for the entity's kind."""
    return rng.choice(WORDS.get(entity.kind, (entity.kind,)))


def describe(entity: Entity, rng: Random, detail: int) -> str:
    """A noun phrase that tells `detail` attributes (0 none, 1 a color, 2 two of a person's)."""
    word = name_of(entity, rng)
    if entity.count > 1:
        color = f"{entity.color} " if detail and entity.kind != "bird" else ""
        return f"{NUMBERS[entity.count]} {color}{entity.kind}s"
    if entity.kind not in PEOPLE:
        return article(f"{entity.color} {word}" if detail and entity.kind not in WOODEN else word)
    person = article(word)
    if not detail:
        return person
    top = rng.choice((f"in a {{}} {rng.choice(('shirt', 'top'))}", "wearing a {} shirt", "in {}", "dressed in {}"))
    first = top.format(entity.color).replace("a orange", "an orange")
    lower = f"{entity.bottom} {entity.garment}"
    lower = article(lower) if entity.garment == "skirt" else lower
    head = f"{article(entity.hat)} {entity.headwear}" if entity.hat else None
    if detail == 1:
        return f"{person} {rng.choice((first, first, f'with {head}' if head else first))}"
    if head and rng.random() < 0.5:
        return f"{person} {first} and {head}" if "shirt" in first or "top" in first else f"{person} {first} with {head}"
    return f"{person} in {article(f'{entity.color} shirt')} and {lower}"


def aside(scene: Scene, rng: Random) -> tuple[str, str]:
    """The extra as (noun phrase, where it is, ending in "of" or "above")."""
    extra = scene.entities["extra"]
    where = next(p for s, p, _ in scene.relations if s == "extra")
    if where == "above":
        return describe(extra, rng, 1), rng.choice(("above", "in the sky above", "flying over"))
    return describe(extra, rng, rng.randrange(2)), rng.choice((f"on the {where}", f"to the {where}", f"{where}"))


def write_captions(scene: Scene, rng: Random) -> list[str]:
    """Five different captions: paraphrase (synonyms, passive, order) and omission (action, colors, place, extra)."""
    action, e = ACTIONS[scene.action], scene.entities
    slot = "other" if action.thing == "person" or action.key == "book_read" else "object"

    def thing(detail: int) -> str:
        return describe(e[slot], rng, detail)

    def doing(form: str, detail: int) -> str:
        column = 0 if form == "s" else 1
        words = [word.split("/")[column] if "/" in word else word for word in rng.choice(action.verbs).split()]
        return ("is " if form == "is" else "") + " ".join(words).format(o=thing(detail))

    def place() -> str:
        return rng.choice(PLACES[scene.setting])

    def form() -> str:
        return rng.choice(("s", "is", "is", "ing"))

    def maybe() -> int:
        return rng.randrange(2)

    def actor(detail: int) -> str:
        return describe(e["actor"], rng, detail)

    def full() -> str:
        return f"{actor(1)} {doing(form(), maybe())} {place()}"

    def bare() -> str:
        return f"{actor(0)} {doing(form(), int(rng.random() < 0.3))}"

    def clothes() -> str:
        return f"{actor(1 + maybe())} {doing(form(), 0)}"

    def place_first() -> str:
        return f"{place()}, {actor(maybe())} {doing(rng.choice(('s', 'is')), maybe())}"

    def there_is() -> str:
        return f"there is {actor(maybe())} {doing('ing', maybe())} {place()}"

    def passive() -> str:
        both = f"{actor(maybe())} and {describe(e['other'], rng, maybe())}" if action.thing == "person" else ""
        text = rng.choice(action.passives).format(o=thing(maybe()), a=actor(maybe()), both=both,
                                                  p=name_of(e["actor"], rng))  # fmt: skip
        return f"{text} {place()}" if rng.random() < 0.3 else text

    def with_extra() -> str:
        what, where = aside(scene, rng)
        if rng.random() < 0.5:
            return f"{what} {where} {actor(maybe())} {doing('ing', int(rng.random() < 0.3))}"
        seen = "above" if where in ("above", "in the sky above", "flying over") else f"on the {where.split()[-2]}"
        return f"{actor(maybe())} {doing(form(), int(rng.random() < 0.3))}, with {what} {seen}"

    makers = [full, bare, clothes, rng.choice((place_first, there_is, passive)),
              with_extra if "extra" in e else rng.choice((passive, there_is, full))]  # fmt: skip
    captions: list[str] = []
    for maker in makers:
        text = maker()
        while text in captions:
            text = maker()
        captions.append(text)
    rng.shuffle(captions)
    return [human(text, rng) for text in captions]


def human(text: str, rng: Random) -> str:
    """Most people start with a capital and end with a period; some do not."""
    style = rng.random()
    if style < 0.85:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.7 else " ." if style > 0.93 else "")


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
