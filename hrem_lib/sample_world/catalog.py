"""What there is in the sample world: people, colors, actions, places and their words; entities and scenes.

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
from dataclasses import asdict, dataclass, field

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
    return Action(key, group, predicate, thing, tuple(settings.split()), pose, slots, *map(tuple, split), scarce)  # pyright: ignore[reportCallIssue]  # two tuples


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
"""200 slots; scene i takes slot 73 i mod 200: every 200 scenes hold each action exactly `slots` times."""

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
