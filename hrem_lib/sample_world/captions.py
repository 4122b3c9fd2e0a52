"""Five captions of a scene, with paraphrase and omission, in the manner of the paper's Fig. 1."""

from __future__ import annotations

from random import Random

from hrem_lib.sample_world.catalog import ACTIONS, NUMBERS, PEOPLE, PLACES, WOODEN, WORDS, Entity, Scene


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
