"""How each action of the sample world is drawn: poses, hands that reach, and where the object goes.

One short function an action. `Stage` names the owner of every shape: each entity's box is known.
No section of the paper (choice of this project); the hard groups answer its Fig. 1.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hrem_lib.sample_world.canvas import COLORS, SKIN, WIDTH, Canvas, Point
from hrem_lib.sample_world.figures import (
    Body,
    Look,
    draw_bird,
    draw_cat,
    draw_dog,
    draw_horse,
    draw_person,
    pose_person,
)
from hrem_lib.sample_world.places import draw_setting  # fmt: skip
from hrem_lib.sample_world.things import (
    draw_ball,
    draw_bench,
    draw_bicycle,
    draw_book,
    draw_cake,
    draw_car,
    draw_chair,
    draw_guitar,
    draw_kite,
    draw_skateboard,
    draw_skis,
    draw_sled,
    draw_sofa,
    draw_stick,
    draw_surfboard,
    draw_table,
    draw_umbrella,
)

GROUND = {"beach": 128, "sea": 106, "park": 122, "street": 115, "snow": 126, "field": 126, "meadow": 128, "rink": 126,
          "kitchen": 132, "room": 130}  # fmt: skip


class Stage:
    """A canvas with the scene's people and things at hand: x of the action, its ground, facing (1 right, -1 left)."""

    def __init__(self, canvas: Canvas, setting: str, looks: dict[str, Look], colors: dict[str, str],
                 kinds: dict[str, str], x: float, facing: int, rng: Random) -> None:  # fmt: skip
        self.c, self.looks, self.colors, self.kinds = canvas, looks, colors, kinds
        self.setting, self.x, self.f, self.rng = setting, x, facing, rng
        self.y = GROUND[setting] + rng.randrange(-3, 4)

    def at(self, forward: float) -> float:
        """x of a point `forward` pixels ahead of the action's center."""
        return self.x + self.f * forward

    def body(self, pose: str, dx: float = 0, up: float = 0, who: str = "actor", turn: int = 1,
             seat: float | None = None) -> Body:  # fmt: skip
        """A person in `pose`, `dx` ahead and `up` above the ground (or with the hip at `seat`)."""
        return pose_person(self.looks[who], pose, self.at(dx), self.y - up, self.f * turn, seat)

    def person(self, body: Body, who: str = "actor", bare: bool = False) -> None:
        """Draw a body as entity `who`."""
        self.c.owner = who
        draw_person(self.c, body, bare)

    def palm(self, hand: Point) -> None:
        """A hand that closes over what was drawn last."""
        self.c.owner = "actor"
        self.c.disk(hand, 2.8, SKIN[self.looks["actor"].skin])

    def own(self, who: str | None = "object") -> str:
        """Shapes drawn from now on belong to `who`; returns the entity's color name."""
        self.c.owner = who
        return self.colors.get(who, "brown")  # pyright: ignore[reportArgumentType, reportCallIssue]  # None: nobody's


def surf_hold(s: Stage) -> None:
    b = s.body("stand", dx=-4)
    b.move_hand(0, (s.at(12), b.neck[1] + 12))
    draw_surfboard(s.c, s.at(16), s.y - 29, -88, s.f, s.own())
    s.person(b, bare=True)


def surf_ride(s: Stage) -> None:
    draw_surfboard(s.c, s.x, s.y, -5, s.f, s.own())
    s.person(s.body("glide", up=2), bare=True)


def surf_crouch(s: Stage) -> None:
    draw_surfboard(s.c, s.x, s.y, -4, s.f, s.own())
    s.person(s.body("crouch", dx=-6, up=2), bare=True)


def surf_lie(s: Stage) -> None:
    draw_surfboard(s.c, s.x, s.y, -3, s.f, s.own())
    s.person(s.body("lie", dx=-4, up=3), bare=True)


def bike_ride(s: Stage) -> None:
    parts = draw_bicycle(s.c, s.x, s.y, s.f, s.own())
    b = s.body("sit", seat=parts["seat"][1] - 1)
    shift = parts["seat"][0] - b.hip[0]
    lean = s.f * 0.11 * b.size
    b.hip, b.neck = (b.hip[0] + shift, b.hip[1]), (b.neck[0] + shift + lean, b.neck[1] + 1)
    b.arms = [[(px + shift + lean, py + 1) for px, py in arm] for arm in b.arms]
    b.legs = [[(px + shift, py) for px, py in leg] for leg in b.legs]
    for which, pedal in ((0, "near"), (1, "far")):
        b.move_foot(which, parts[pedal])
        b.move_hand(which, parts["bar"])
    s.person(b)


def bike_push(s: Stage) -> None:
    parts = draw_bicycle(s.c, s.at(14), s.y, s.f, s.own())
    b = s.body("walk", dx=-14)
    b.move_hand(0, (parts["bar"][0] - s.f * 5, parts["bar"][1]))
    b.move_hand(1, (parts["seat"][0], parts["seat"][1] + 3))
    s.person(b)


def bike_repair(s: Stage) -> None:
    draw_bicycle(s.c, s.at(10), s.y, s.f, s.own())
    b = s.body("kneel", dx=-26)
    b.move_hand(0, (s.at(-7), s.y - 13))
    b.move_hand(1, (s.at(-4), s.y - 18))
    s.person(b)
    s.own()
    s.c.stroke([b.hand, (b.hand[0] + s.f * 6, b.hand[1] + 4)], 1.8, (120, 124, 132), outline=True)


def skate_ride(s: Stage) -> None:
    draw_skateboard(s.c, s.x, s.y - 7, 0, s.f, s.own())
    s.person(s.body("glide", up=9))


def skate_jump(s: Stage) -> None:
    s.own(None)
    s.c.disk((s.x, s.y), 17, (120, 122, 122), outline=False, ry=2)
    draw_skateboard(s.c, s.x, s.y - 22, -16, s.f, s.own())
    s.person(s.body("jump", up=25))


def skate_carry(s: Stage) -> None:
    b = s.body("walk")
    b.move_hand(0, (s.at(4), b.hip[1] + 1))
    s.person(b)
    draw_skateboard(s.c, s.at(3), b.hip[1] - 5, -6, s.f, s.own())
    s.palm(b.hand)


def horse_ride(s: Stage) -> None:
    (sx, sy), (mx, my) = draw_horse(s.c, s.x, s.y, s.f, s.own(), run=True)
    b = pose_person(s.looks["actor"], "sit", sx, 0, s.f, seat=sy - 3)
    b.move_foot(0, (sx + s.f * 7, sy + 28))
    b.move_foot(1, (sx + s.f * 11, sy + 26))
    b.move_hand(0, (sx + s.f * 17, sy - 10))
    b.move_hand(1, (sx + s.f * 19, sy - 11))
    s.person(b)
    s.own()
    s.c.stroke([b.hand, (mx - s.f * 5, my)], 0.9, (80, 52, 36))


def horse_lead(s: Stage) -> None:
    _, mouth = draw_horse(s.c, s.at(-18), s.y, s.f, s.own())
    b = s.body("walk", dx=47)
    b.move_hand(0, (s.at(36), s.y - 33))
    s.person(b)
    s.own()
    s.c.stroke([b.hand, mouth], 1.1, (80, 52, 36))


def horse_feed(s: Stage) -> None:
    _, mouth = draw_horse(s.c, s.at(-18), s.y, s.f, s.own())
    b = s.body("reach", dx=46, turn=-1)
    b.move_hand(0, (mouth[0] + s.f * 4, mouth[1] + 4))
    s.person(b)
    s.own(None)
    s.c.polygon([b.hand, (b.hand[0] - s.f * 6, b.hand[1] - 1), (b.hand[0], b.hand[1] + 3)], COLORS["orange"])
    s.c.stroke([b.hand, (b.hand[0] + s.f * 3, b.hand[1] - 3)], 1.6, COLORS["green"])


def dog_walk(s: Stage) -> None:
    neck = draw_dog(s.c, s.at(24), s.y + 2, s.f, s.own())
    b = s.body("walk", dx=-16)
    b.move_hand(0, (s.at(2), b.hip[1] - 4))
    s.person(b)
    s.own(None)
    s.c.stroke([b.hand, ((b.hand[0] + neck[0]) / 2, (b.hand[1] + neck[1]) / 2 + 4), neck], 0.9, (150, 30, 30))


def dog_pet(s: Stage) -> None:
    draw_dog(s.c, s.at(14), s.y + 2, -s.f, s.own())
    b = s.body("kneel", dx=-20)
    b.move_hand(0, (s.at(2), s.y - 24))
    b.move_hand(1, (s.at(8), s.y - 16))
    s.person(b)


def dog_chase(s: Stage) -> None:
    draw_dog(s.c, s.at(34), s.y + 2, s.f, s.own(), run=True)
    s.person(s.body("run", dx=-20))


def dog_chased_by(s: Stage) -> None:
    draw_dog(s.c, s.at(-32), s.y + 2, s.f, s.own(), run=True)
    b = s.body("run", dx=22)
    b.move_hand(1, (b.neck[0] + s.f * 16, b.neck[1] - 12))
    b.move_hand(0, (b.neck[0] - s.f * 12, b.neck[1] - 10), elbow=-1)
    s.person(b)


def ball_kick(s: Stage) -> None:
    b = s.body("kick", dx=-8)
    foot = b.legs[0][2]
    s.person(b)
    draw_ball(s.c, foot[0] + s.f * 15, foot[1] + 1, s.own())


def ball_throw(s: Stage) -> None:
    b = s.body("throw", dx=-4)
    draw_ball(s.c, b.hand[0] - s.f * 1, b.hand[1] - 6, s.own())
    s.person(b)


def ball_hold(s: Stage) -> None:
    b = s.body("stand")
    spot = (s.at(13), b.neck[1] + 0.2 * b.size)
    b.move_hand(0, (spot[0] - s.f * 1, spot[1] + 6))
    b.move_hand(1, (spot[0] + s.f * 4, spot[1] - 1))
    s.person(b)
    draw_ball(s.c, *spot, s.own())
    for hand in (b.arms[1][2], b.hand):
        s.palm(hand)


def ski_ride(s: Stage) -> None:
    b = s.body("ski", up=3)
    draw_skis(s.c, s.at(4), s.y, 8, s.f, s.own())
    for which in (1, 0):
        hand = b.arms[which][2]
        s.c.stroke([(hand[0] + s.f * 3, hand[1] - 4), (hand[0] - s.f * 16, hand[1] + 20)], 1.2, (70, 74, 86))
    s.person(b)


def ski_carry(s: Stage) -> None:
    b = s.body("walk")
    draw_skis(s.c, s.at(2), b.neck[1] + 1, -24, s.f, s.own())
    b.move_hand(0, (s.at(16), b.neck[1] - 1))
    s.person(b)


def sled_ride(s: Stage) -> None:
    draw_sled(s.c, s.x, s.y, s.f, s.own())
    b = s.body("sit", dx=-8, seat=s.y - 16)
    b.move_foot(0, (s.at(16), s.y - 12))
    b.move_foot(1, (s.at(18), s.y - 12))
    b.move_hand(0, (s.at(10), s.y - 24))
    b.move_hand(1, (s.at(12), s.y - 24))
    s.person(b)
    s.own()
    s.c.stroke([b.hand, (s.at(22), s.y - 11)], 0.9, (90, 60, 40))


def sled_pull(s: Stage) -> None:
    draw_sled(s.c, s.at(-24), s.y, s.f, s.own())
    b = s.body("walk", dx=22)
    b.move_hand(0, (s.at(10), b.hip[1] - 2))
    s.person(b)
    s.own()
    s.c.stroke([b.hand, (s.at(-2), s.y - 11)], 1.1, (90, 60, 40))


def kite_fly(s: Stage) -> None:
    b = s.body("raise", dx=-24)
    b.move_hand(0, (s.at(-4), b.neck[1] - 12))
    b.move_hand(1, (s.at(-9), b.neck[1] + 1))
    spot = (s.at(30), 26)
    s.own()
    s.c.stroke([b.hand, ((b.hand[0] + spot[0]) / 2 + s.f * 5, (b.hand[1] + spot[1]) / 2 + 7), (spot[0], spot[1] + 15)],
               0.7, (110, 110, 116))  # fmt: skip
    draw_kite(s.c, *spot, s.own())
    s.person(b)


def kite_carry(s: Stage) -> None:
    b = s.body("walk")
    b.move_hand(0, (s.at(12), b.hip[1] - 6))
    s.person(b)
    draw_kite(s.c, s.at(16), b.hip[1] - 10, s.own(), 14)


def umbrella_hold(s: Stage) -> None:
    s.own(None)
    for _ in range(60):  # rain
        x, y = s.rng.randrange(WIDTH), s.rng.randrange(2, 140)
        s.c.stroke([(x, y), (x - 1.5, y + 6)], 0.7, (96, 136, 200))
    b = s.body("walk")
    b.move_hand(0, (s.at(10), b.neck[1] + 10))
    draw_umbrella(s.c, s.at(10), b.hip[1] - 4, s.own(), b.hip[1] - 4 - (b.head()[0][1] - 22))
    s.person(b)


def umbrella_sit(s: Stage) -> None:
    draw_umbrella(s.c, s.at(-14), s.y, s.own(), 72, 36)
    b = s.body("sit", dx=-10, seat=s.y - 5)
    b.move_foot(0, (s.at(12), s.y - 3))
    b.move_foot(1, (s.at(15), s.y - 3))
    b.move_hand(0, (s.at(-20), s.y - 5), elbow=-1)
    s.person(b, bare=True)


def cake_carry(s: Stage) -> None:
    b = s.body("walk")
    spot = (s.at(19), b.neck[1] + 0.2 * b.size)
    b.move_hand(0, (spot[0] - s.f * 4, spot[1] + 2))
    b.move_hand(1, (spot[0] + s.f * 2, spot[1] + 2))
    draw_cake(s.c, *spot, s.own())
    s.person(b)


def cake_cut(s: Stage) -> None:
    b = s.body("reach", dx=-28)
    s.own("other")
    top = draw_table(s.c, s.at(16), s.y, 58, 28)
    draw_cake(s.c, s.at(14), top, s.own())
    b.move_hand(0, (s.at(4), top - 20))
    s.person(b)
    s.own(None)
    s.c.stroke([b.hand, (b.hand[0] + s.f * 4, b.hand[1] - 2)], 2.2, (60, 44, 40))
    s.c.stroke(
        [(b.hand[0] + s.f * 4, b.hand[1]), (b.hand[0] + s.f * 8, b.hand[1] + 11)], 1.8, (200, 206, 216), outline=True
    )


def guitar_play(s: Stage) -> None:
    b = s.body("stand")
    spot = (s.at(6), b.hip[1] - 4)
    b.move_hand(1, (spot[0] + s.f * 22, spot[1] - 10))
    b.move_hand(0, (spot[0] + s.f * 3, spot[1]))
    strum = b.arms[0]
    s.person(b)
    draw_guitar(s.c, *spot, -24, s.f, s.own())
    s.c.owner = "actor"
    s.c.stroke([strum[1], strum[2]], 3.8, SKIN[b.look.skin], outline=True)


def guitar_carry(s: Stage) -> None:
    b = s.body("walk")
    b.move_hand(0, (s.at(7), b.hip[1] + 4))
    s.person(b)
    draw_guitar(s.c, s.at(4), b.hip[1] + 18, -72, s.f, s.own())


def book_read(s: Stage) -> None:
    color = s.own("other")
    seat = draw_sofa(s.c, s.x, s.y, color) if s.kinds["other"] == "sofa" else draw_bench(s.c, s.x, s.y)
    b = s.body("sit", dx=-6, seat=seat - 4)
    spot = (b.neck[0] + s.f * 19, b.neck[1] + 9)
    for which, off in ((0, -3), (1, 5)):
        b.move_hand(which, (spot[0] + s.f * off, spot[1] + 7))
    draw_book(s.c, *spot, s.own())
    s.person(b)


def sofa_sleep(s: Stage) -> None:
    color = s.own("object")
    seat = draw_sofa(s.c, s.x, s.y, color, 96) if s.kinds["object"] == "sofa" else draw_bench(s.c, s.x, s.y, 84)
    b = s.body("lie", dx=4, seat=seat - 6)
    b.move_hand(0, (b.neck[0] - s.f * 16, b.neck[1] - 2))
    b.move_hand(1, (b.neck[0] + s.f * 8, b.neck[1] + 3))
    s.person(b)
    s.own(None)
    hx, hy = b.head()[0]
    for k, size in enumerate((3.5, 4.5, 5.5)):
        x, y = hx + s.f * 3 + s.f * k * 8, hy - 15 - k * 9
        s.c.stroke(
            [(x - size, y - size), (x + size, y - size), (x - size, y + size), (x + size, y + size)], 1.4, (60, 70, 120)
        )


def pair_shake(s: Stage) -> None:
    for who, side in (("other", 1), ("actor", -1)):
        b = s.body("reach", dx=side * 17, who=who, turn=-side)
        b.move_hand(0, (s.x, s.y - 36))
        b.move_hand(1, (s.at(side * 20), b.hip[1] + 5))
        s.person(b, who)


def pair_hug(s: Stage) -> None:
    for who, side in (("other", 1), ("actor", -1)):
        b = s.body("stand", dx=side * 8, who=who, turn=-side)
        b.move_hand(0, (s.at(side * -13), b.neck[1] + 10))
        b.move_hand(1, (s.at(side * -13), b.neck[1] + 14))
        s.person(b, who)


def tennis_hit(s: Stage) -> None:
    b = s.body("swing", dx=-8)
    b.move_hand(0, (s.at(14), b.neck[1] - 1))
    s.person(b)
    head = draw_stick(s.c, "racket", b.hand, 118, s.f, s.own())
    s.own("other")
    draw_ball(s.c, head[0] + s.f * 18, head[1] - 3, s.colors["other"], 3.4)


def baseball_hit(s: Stage) -> None:
    b = s.body("swing", dx=-8)
    spot = (b.neck[0] - s.f * 5, b.neck[1] - 2)
    b.move_hand(0, spot, elbow=-1)
    b.move_hand(1, (spot[0] + s.f * 2, spot[1] + 3))
    draw_stick(s.c, "baseball bat", spot, -152, s.f, s.own())
    s.person(b)
    s.own("other")
    draw_ball(s.c, s.at(44), b.neck[1] + 6, s.colors["other"], 3.4)


def hockey_hit(s: Stage) -> None:
    b = s.body("ski", dx=-12)
    b.move_hand(0, (s.at(8), s.y - 30))
    b.move_hand(1, (s.at(2), s.y - 36))
    s.person(b)
    s.c.owner = "actor"
    for leg in b.legs:  # skates
        s.c.stroke([(leg[2][0] - s.f * 4, s.y + 1), (leg[2][0] + s.f * 7, s.y + 1)], 1.2, (120, 126, 136))
    end = draw_stick(s.c, "hockey stick", b.hand, 32, s.f, s.own())
    s.own("other")
    draw_ball(s.c, end[0] + s.f * 8, s.y - 1, s.colors["other"], 3.2)


def cricket_hit(s: Stage) -> None:
    s.own(None)
    for dx in (-38, -35, -32):
        s.c.stroke([(s.at(dx), s.y - 22), (s.at(dx), s.y)], 1.6, (230, 206, 150), outline=True)
    b = s.body("swing", dx=-12)
    b.move_hand(0, (s.at(6), s.y - 34))
    b.move_hand(1, (s.at(4), s.y - 38))
    s.person(b)
    s.c.owner = "actor"
    for leg in b.legs:  # white pads on the shins
        s.c.stroke([leg[1], leg[2]], 6.4, (248, 248, 244), outline=True)
    draw_stick(s.c, "cricket bat", b.hand, 22, s.f, s.own())
    s.own("other")
    draw_ball(s.c, s.at(36), s.y - 7, s.colors["other"], 3.2)


def polo_hit(s: Stage) -> None:
    s.own("mount")
    (sx, sy), (mx, my) = draw_horse(s.c, s.x, s.y, s.f, s.colors["mount"], run=True)
    b = pose_person(s.looks["actor"], "sit", sx, 0, s.f, seat=sy - 3)
    b.move_foot(0, (sx + s.f * 7, sy + 28))
    b.move_foot(1, (sx + s.f * 11, sy + 26))
    b.move_hand(1, (sx + s.f * 19, sy - 11))
    b.move_hand(0, (sx + s.f * 18, sy - 4))
    s.person(b)
    s.own("mount")
    s.c.stroke([b.arms[1][2], (mx - s.f * 5, my)], 0.9, (80, 52, 36))
    end = draw_stick(s.c, "mallet", b.hand, 24, s.f, s.own())
    s.own("other")
    draw_ball(s.c, end[0] + s.f * 12, s.y - 3, s.colors["other"], 3.6)


STAGES: dict[str, Callable[[Stage], None]] = {
    function.__name__: function
    for function in (
        surf_hold, surf_ride, surf_crouch, surf_lie, bike_ride, bike_push, bike_repair, skate_ride, skate_jump,
        skate_carry, horse_ride, horse_lead, horse_feed, dog_walk, dog_pet, dog_chase, dog_chased_by,
        ball_kick, ball_throw,
        ball_hold, ski_ride, ski_carry, sled_ride, sled_pull, kite_fly, kite_carry, umbrella_hold,
        umbrella_sit, cake_carry, cake_cut, guitar_play, guitar_carry, book_read, sofa_sleep, pair_shake, pair_hug,
        tennis_hit, baseball_hit, hockey_hit, cricket_hit, polo_hit,
    )
}  # fmt: skip


def draw_extra(s: Stage, kind: str, x: float, facing: int, count: int) -> None:
    """The bystander of a scene, drawn behind the action: a person, a thing, one or more animals."""
    color, y = s.own("extra"), s.y - 5
    if kind == "bird":
        for k in range(count):
            draw_bird(s.c, x + (k - (count - 1) / 2) * 17, 18 + 7 * (k % 2) + s.rng.randrange(4), 4.6)
    elif kind in ("dog", "cat"):
        draw, apart = (draw_dog, 15) if kind == "dog" else (draw_cat, 23)
        for k in range(count):  # the second one stands a step nearer
            draw(s.c, x + (k - (count - 1) / 2) * apart, y + 7 * k, facing, color)
    elif kind == "bench":
        draw_bench(s.c, x, y, 44)
    elif kind == "chair":
        draw_chair(s.c, x, y, facing, color)
    elif kind == "ball":
        draw_ball(s.c, x, y - 6, color)
    elif kind == "car":
        draw_car(s.c, x, y + 3, facing, color)
    else:
        draw_person(s.c, pose_person(s.looks["extra"], "stand", x, y, facing))


def draw_scene(setting: str, action: str, looks: dict[str, Look], colors: dict[str, str], kinds: dict[str, str],
               x: float, facing: int, extra: tuple[str, float, int, int] | None, rng: Random) -> Canvas:  # fmt: skip
    """Setting, extra, action: the finished canvas with every entity's extent."""
    canvas = Canvas()
    draw_setting(canvas, rng, setting, rain=action == "umbrella_hold")
    stage = Stage(canvas, setting, looks, colors, kinds, x, facing, rng)
    if extra is not None:
        draw_extra(stage, *extra)
    STAGES[action](stage)
    return canvas


__all__ = ["GROUND", "STAGES", "Body", "Point", "Stage", "draw_scene"]
